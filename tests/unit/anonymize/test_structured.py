"""Content trees: what happens to every kind of item (PS3.15 E.3.4)."""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO

import pydicom
import pytest
from pydicom.uid import CTImageStorage

from curator.anonymize.decision import Action
from factory import ExplicitVRBigEndian, ImplicitVRLittleEndian, ct_series, uid
from referring import make_report
from unit.anonymize.planted import FAMILY, NAME, PATIENT_ID, anonymizer, secrets_in, table

CLEAN = ("CleanStructuredContent", "CleanDescriptors")


def code(value, scheme, meaning="Meaning"):
    return {"CodeValue": value, "CodingSchemeDesignator": scheme, "CodeMeaning": meaning}


LOCAL = code("L1", "99LOCAL")
FINDING = code("121071", "DCM", "Finding")
ACCESSION = code("121022", "DCM", "Accession Number")
OBSERVER = code("121008", "DCM", "Person Observer Name")
STARTED = code("111526", "DCM", "DateTime Started")

VALUES = {
    "TEXT": {"TextValue": f"Nodule of {NAME.replace('^', ' ')} in segment 4"},
    "CODE": {"ConceptCodeSequence": [code("X", "99LOCAL", f"Nodule ({FAMILY})")]},
    "PNAME": {"PersonName": NAME},
    "DATE": {"Date": "20240102"},
    "TIME": {"Time": "101500"},
    "DATETIME": {"DateTime": "20240102101500"},
    "UIDREF": {"UID": uid("some", "thing")},
    "NUM": {
        "MeasuredValueSequence": [
            {"NumericValue": "4.2", "MeasurementUnitsCodeSequence": [code("mm", "UCUM", "mm")]}
        ]
    },
    "CONTAINER": {"ContinuityOfContent": "SEPARATE"},
    "IMAGE": {
        "ReferencedSOPSequence": [
            {"ReferencedSOPClassUID": CTImageStorage, "ReferencedSOPInstanceUID": uid("i")}
        ]
    },
}


def item(value_type, name=LOCAL, **elements):
    return {
        "RelationshipType": "CONTAINS",
        "ValueType": value_type,
        "ConceptNameCodeSequence": [name],
        **VALUES[value_type],
        **elements,
    }


def report(*items, **elements):
    return make_report(
        ct_series(1),
        PatientName=NAME,
        PatientID=PATIENT_ID,
        ContentSequence=list(items),
        **elements,
    )


@lru_cache
def cleaning(options):
    return anonymizer(Options=list(options))


def tree(dicom, options=CLEAN):
    result = cleaning(tuple(options)).anonymize(dicom).dicom
    assert secrets_in(result) == []
    return pydicom.dcmread(BytesIO(result))


SYNTAXES = [
    {},
    {"transfer_syntax": ImplicitVRLittleEndian},
    {"transfer_syntax": ExplicitVRBigEndian},
    {"undefined_lengths": True},
]


@pytest.mark.parametrize("how", SYNTAXES)
def test_text_that_no_table_has_is_cleaned_at_every_depth(how):
    nested = item("CONTAINER", ContentSequence=[item("CONTAINER", ContentSequence=[item("TEXT")])])
    content = tree(report(nested, **how)).ContentSequence
    deep = content[0].ContentSequence[0].ContentSequence[0]
    assert deep.TextValue == "Nodule of in segment 4"
    assert deep.ConceptNameCodeSequence[0].CodeMeaning == "Meaning"


def test_text_of_which_nothing_is_left_is_not_empty():
    content = tree(report(item("TEXT", TextValue=NAME.replace("^", ", ")))).ContentSequence
    assert content[0].TextValue
    assert FAMILY not in content[0].TextValue


def test_meanings_of_codes_are_cleaned_and_codes_kept():
    found = tree(report(item("CODE"))).ContentSequence[0].ConceptCodeSequence[0]
    assert (found.CodeValue, found.CodingSchemeDesignator) == ("X", "99LOCAL")
    assert found.CodeMeaning == "Nodule"


def test_names_dates_and_references_are_replaced_and_numbers_kept():
    items = [item(kind) for kind in ("PNAME", "DATE", "TIME", "DATETIME", "UIDREF", "IMAGE", "NUM")]
    content = tree(report(*items)).ContentSequence
    name, date, time, moment, reference, image, number = content
    assert name.PersonName
    assert date.Date not in ("", "20240102")
    assert time.Time not in ("", "101500")
    assert not str(moment.DateTime).startswith("20240102")
    assert str(reference.UID).startswith("2.25.")
    assert VALUES["UIDREF"]["UID"] != reference.UID
    assert image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID != uid("i")
    assert image.ReferencedSOPSequence[0].ReferencedSOPClassUID == CTImageStorage
    assert number.MeasuredValueSequence[0].NumericValue == 4.2


@pytest.mark.parametrize("how", SYNTAXES)
def test_items_that_the_table_removes_go_with_what_they_contain(how):
    removed = item("TEXT", ACCESSION, ContentSequence=[item("NUM")])
    content = tree(report(removed, item("NUM"), **how)).ContentSequence
    assert [one.ValueType for one in content] == ["NUM"]


def test_a_container_that_loses_all_items_stays_without():
    container = item("CONTAINER", ContentSequence=[item("TEXT", ACCESSION)])
    content = tree(report(container)).ContentSequence
    assert content[0].ValueType == "CONTAINER"
    assert "ContentSequence" not in content[0]


def test_where_positions_are_referred_to_no_item_goes():
    referring = {"RelationshipType": "INFERRED FROM", "ReferencedContentItemIdentifier": [1, 2]}
    removed = item("TEXT", ACCESSION, TextValue="12345", ContentSequence=[item("TEXT")])
    content = tree(report(removed, item("NUM", ContentSequence=[referring]))).ContentSequence
    assert [one.ValueType for one in content] == ["TEXT", "NUM"]
    assert content[1].ContentSequence[0].ReferencedContentItemIdentifier == [1, 2]
    assert content[0].TextValue not in ("", "12345")
    assert "Nodule" not in content[0].ContentSequence[0].TextValue


def test_options_decide_on_listed_items():
    serial = code("121016", "DCM", "Device Observer Serial Number")
    dicom = report(item("TEXT", serial, TextValue="SN 4711"), item("NUM"))
    assert len(tree(dicom).ContentSequence) == 1
    kept = tree(dicom, [*CLEAN, "RetainDeviceIdentity"]).ContentSequence
    assert kept[0].TextValue == "SN 4711"


def test_dates_follow_the_temporal_options():
    dicom = report(item("DATETIME", STARTED))
    full = tree(dicom, [*CLEAN, "RetainLongitudinalFullDates"]).ContentSequence[0]
    assert full.DateTime == "20240102101500"
    shifted = tree(dicom, [*CLEAN, "RetainLongitudinalModifiedDates"]).ContentSequence[0]
    assert str(shifted.DateTime)[8:] == "101500"
    assert str(shifted.DateTime)[:8] != "20240102"


def test_without_the_option_nothing_of_the_tree_is_left():
    dicom = report(item("TEXT", TextValue="harmless words"))
    result = anonymizer().anonymize(dicom).dicom
    assert b"harmless words" not in result


def test_the_report_counts_what_was_removed():
    removed = [item("TEXT", ACCESSION), item("TEXT", ACCESSION)]
    counts = anonymizer(Options=list(CLEAN)).anonymize(report(*removed, item("NUM"))).counts
    assert counts[Action.REMOVE, "TextValue"] == 2


def listed():
    rows = table("ps3_15_e3_4_1")
    return [row for row in rows if row["value_type"] in VALUES]


@pytest.mark.parametrize("options", [CLEAN, ("CleanStructuredContent",)])
def test_every_row_of_the_table_happens_at_top_level_and_nested(options):
    """Of items that stay, no name, date or UID is as it was."""
    rows = listed()
    assert len(rows) > 150
    for row in rows:
        scheme = row["coding_scheme"]
        name = code(row["code_value"], scheme, row["code_meaning"])
        one = item(row["value_type"], name)
        dicom = report(one, item("CONTAINER", ContentSequence=[one]), item("NUM"))
        content = tree(dicom, options).ContentSequence
        cleaned = row["clean_desc"] == "C" and "CleanDescriptors" in options
        gone = row["basic"] == "X" and not cleaned
        assert len(content) == (2 if gone else 3), row
        nested = content[0 if gone else 1].get("ContentSequence", [])
        assert len(nested) == (0 if gone else 1), row
        for left in [*nested, *([] if gone else content[:1])]:
            assert left.ValueType == row["value_type"], row
