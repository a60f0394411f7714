"""Every row of Table E.1-1 under every option: what it says is what happens, nested or not.

What is expected is read from the tables here, not asked of the code that is tested.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pydicom
import pytest
from pydicom import config, datadict
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.valuerep import validate_value

from curator.anonymize.decision import Action
from factory import encoded
from unit.anonymize.planted import COLUMNS, FAMILY, NAME, anonymizer, table

#: Of nobody's tables: the types of its attributes are unknown.
SOP_CLASS = "1.2.826.0.1.3680043.8.498.77"

#: Sequences that stay, the second in the first.
OUTER, INNER = 0x52009229, 0x00189112

OPTIONS = {"": None, **COLUMNS}

#: Standing apart: they have tests of their own, or a dataset cannot hold them.
APART = {
    "00001000": "commands are no part of a data set",
    "00001001": "commands are no part of a data set",
    "00020003": "File Meta follows the data set",
    "ggggeeee": "private",
}

TAGS = {"50xxxxxx": 0x50003000, "60xx3000": 0x60003000, "60xx4000": 0x60004000}

VRS_OF_NEW = {"DateTime": "DT", "Sequence": "SQ", "Sequences": "SQ", "Comment": "LT", "URI": "UR"}
"""Of attributes that pydicom does not know yet, by the end of their keyword."""

TEXTS = {
    **dict.fromkeys(("LO", "LT", "ST", "UT", "UC"), f"Thorax {FAMILY}"),
    "SH": f"Th {FAMILY}",
    "AE": FAMILY,
    "CS": FAMILY,
    "PN": NAME,
    "DA": "19680229",
    "TM": "071502.5",
    "DT": "19680229071502.5",
    "AS": "055Y",
    "DS": "5.5",
    "IS": "55",
    "UR": f"http://{FAMILY}.example",
}

ROWS = [row for row in table("ps3_15_e1_1") if row["tag"] not in APART]


def tag_of(row: dict[str, str]) -> int:
    return TAGS.get(row["tag"]) or int(row["tag"], 16)


def vr_of(row: dict[str, str]) -> str:
    tag = tag_of(row)
    if row["tag"] == "60xx3000" or row["tag"] == "50xxxxxx":
        return "OW"
    try:
        return {"UN": "OB", "OB or OW": "OB"}.get(vr := datadict.dictionary_VR(tag), vr)
    except KeyError:
        ends = (vr for end, vr in VRS_OF_NEW.items() if row["keyword"].endswith(end))
        return next(ends, "LO")


def value_of(row: dict[str, str]) -> Any:
    vr = vr_of(row)
    if vr == "SQ":
        item, text = Dataset(), Dataset()
        text.UnformattedTextValue = f"Thorax {FAMILY}"
        item.TextObjectSequence = [text]
        item.PatientName = NAME
        item.CodeMeaning = f"Thorax {FAMILY}"
        return Sequence([item])
    if vr == "UI":
        return f"1.2.826.0.1.3680043.{tag_of(row)}"
    if vr in ("OB", "OW", "UN"):
        return f"{NAME}  ".encode("ascii")
    if row["keyword"] == "TimezoneOffsetFromUTC":
        return "+0100"
    if vr in TEXTS and "C" not in row.values():
        return TEXTS[vr].removeprefix("Thorax ").removeprefix("Th ")
    return TEXTS.get(vr, 5)


def original() -> Dataset:
    """Return a data set with every row at top level, and two sequences below."""
    top, outer, inner = Dataset(), Dataset(), Dataset()
    for row in ROWS:
        for level in (top, inner):
            level.add(DataElement(tag_of(row), vr_of(row), value_of(row)))
    top.SOPClassUID = SOP_CLASS
    outer.add(DataElement(INNER, "SQ", Sequence([inner])))
    top.add(DataElement(OUTER, "SQ", Sequence([outer])))
    top.PatientName = inner.PatientName = NAME
    return top


ORIGINAL = original()


@pytest.fixture(scope="module")
def data() -> bytes:
    config_before = config.settings.writing_validation_mode
    config.settings.writing_validation_mode = config.IGNORE
    try:
        return encoded(ORIGINAL)
    finally:
        config.settings.writing_validation_mode = config_before


def expected(row: dict[str, str], column: str) -> str:
    """Return the code that counts: that of the option, else the last, which suits every type."""
    code = row[column] if column else ""
    if not code or (code == "C" and not can_be_cleaned(row, column)):
        code = row["basic"].split("/")[-1].rstrip("*")
    return code


def can_be_cleaned(row: dict[str, str], column: str) -> bool:
    """Tell whether values of the row's kind are such that an option can clean them."""
    vr = vr_of(row)
    if column == "rtn_long_modif_dates":
        return vr in ("DA", "TM", "DT") or row["keyword"] == "TimezoneOffsetFromUTC"
    if column == "clean_struct_cont":
        return vr == "SQ"
    return column == "clean_graph" or vr not in ("OB", "OW", "UN")


@pytest.mark.parametrize("column", sorted(OPTIONS))
def test_every_row_does_what_its_code_says(data, column):
    option = OPTIONS[column]
    options = [option] if option else []
    result = anonymizer(Options=options, Residual="Report").anonymize(data)
    after = pydicom.dcmread(BytesIO(result.dicom))
    inner = after[OUTER][0][INNER][0]
    wrong = []
    for row in ROWS:
        for level, found in (("top", after), ("nested", inner)):
            try:
                check(row, column, found)
            except AssertionError as problem:
                wrong.append((level, row["tag"], row["keyword"], expected(row, column), problem))
    assert wrong == []


def check(row: dict[str, str], column: str, after: Dataset) -> None:
    """See that one row has been carried out at one level."""
    tag, vr, code = tag_of(row), vr_of(row), expected(row, column)
    before = ORIGINAL[tag]
    element = after.get(tag)
    if code == "X":
        assert element is None, "is still there"
        return
    if element is None and code == "C" and tag in TAGS.values():
        return  # curves and overlays cannot be cleaned, but for regions of interest
    assert element is not None, "has gone"
    assert FAMILY.lower() not in str(element).lower() or code == "K", "still says it"
    if code == "Z":
        emptied = element.is_empty or row["keyword"] in ("PatientID", "PatientName")
        assert emptied, "is not empty"
    elif code == "D":
        assert not element.is_empty, "is empty"
        assert element.value != before.value, "is the same"
        valid(element)
    elif code == "U":
        assert element.VR == "SQ" or str(element.value).startswith("2.25."), "is not mapped"
    elif code == "K":
        assert vr == "SQ" or element.value == before.value, "is another"
    elif code == "C":
        cleaned(row, column, before, element)


def valid(element: DataElement) -> None:
    """See that a value suits its VR, by pydicom's strictest rules."""
    values = [element.value] if element.VM == 1 else element.value
    if element.VR in ("SQ", "OB", "OW"):
        return
    for value in values:
        validate_value(element.VR, value, config.RAISE)


def cleaned(row: dict[str, str], column: str, before: DataElement, after: DataElement) -> None:
    vr = before.VR
    if column == "rtn_long_modif_dates":
        if row["keyword"] == "TimezoneOffsetFromUTC":
            return
        assert (after.value == before.value) == (vr == "TM"), "is not shifted"
        valid(after)
    elif vr in ("LO", "SH", "LT", "ST", "UT", "UC"):
        assert str(after.value).strip() in ("Thorax", "Th"), "has lost its words"


def test_the_tables_have_nothing_else():
    assert len(ROWS) + len(APART) == 657
    assert {row[column] for row in ROWS for column in OPTIONS if column} <= {"", "K", "C"}


def test_what_is_kept_is_not_counted_as_changed(data):
    result = anonymizer(Options=["RetainUids"], Residual="Report").anonymize(data)
    mapped = {row["keyword"] for row in ROWS if row["basic"] == "U" and not row["rtn_uids"]}
    assert {name for action, name in result.counts if action is Action.UID} == mapped
