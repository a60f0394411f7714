"""Plant identifiers in a DICOM file, at every kind of place, and find out which survive.

Every planted value is found nowhere else: what is still in the bytes of a result has survived.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pydicom
from pydicom import datadict
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID

import curator
from curator.dicom.deflate import inflated
from curator.dicom.filemeta import DEFLATED, read_file_meta

TABLE = Path(curator.__file__).parent / "anonymize" / "data" / "ps3_15_e1_1.csv"

TEXT_VRS = ("LO", "SH", "PN", "ST", "LT", "UT", "UC", "CS", "AE", "UR")
DATE_VRS = ("DA", "DT", "TM")

#: A private block, which no list of safe ones has.
CREATOR = "CURATOR PLANTED"

#: A sequence that every profile keeps, with one that stands in its items.
KEPT = ("SharedFunctionalGroupsSequence", "PlanePositionSequence")

#: What Table E.1-1 does not list: covered by the value representation.
UNLISTED = {
    "PN": "EvaluatorName",
    "UI": "TargetFrameOfReferenceUID",
    "DA": "ExpiryDate",
    "TM": "SecondaryReviewTime",
    "DT": "AlarmDecisionTime",
}


@dataclass(frozen=True)
class Planted:
    """A file with what was planted in it: needles by the kind of place."""

    dicom: bytes
    needles: Mapping[str, tuple[bytes, ...]]

    def survivors(self, result: bytes) -> Counter[str]:
        """Count the needles that are still in a result, by the kind of place."""
        result = plain(result)
        return Counter(
            place
            for place, needles in self.needles.items()
            for needle in needles
            if needle in result  # much faster, and nearly always false
            and re.search(rb"(?<![0-9])" + re.escape(needle) + rb"(?![0-9])", result)
        )


def plain(dicom: bytes) -> bytes:
    """Return a file in which bytes can be searched: deflated ones inflated."""
    meta = read_file_meta(dicom)
    if meta.transfer_syntax_uid not in DEFLATED:
        return dicom
    return dicom[: meta.end] + inflated(dicom, meta.end)


class _Planter:
    """Makes values that occur once, by VR."""

    def __init__(self, seed: int) -> None:
        self._number = seed * 100_000
        self.needles: dict[str, list[bytes]] = {}

    def value(self, place: str, vr: str) -> str:
        """Return a new value, and remember what to look for."""
        self._number += 1
        text = self._text(vr)
        self.needles.setdefault(place, []).append(text.encode("ascii"))
        return text

    def _text(self, vr: str) -> str:
        number = self._number
        if vr == "UI":
            return f"1.3.6.1.4.1.55555.{number}.7"
        if vr == "DA":
            return f"{1700 + number % 89}{number // 89 % 12 + 1:02}{number // 1068 % 28 + 1:02}"
        if vr == "DT":
            return f"{1700 + number % 89}0307{number % 24:02}4217.{number % 1_000_000:06}"
        if vr == "TM":
            return f"{number % 24:02}4217.{number % 1_000_000:06}"
        if vr == "AS":
            return f"{number % 999:03}W"
        return f"PLANTED{number:08}"


def planted(dicom: bytes, seed: int = 0) -> Planted:
    """Plant identifiers in a file.

    Raises
    ------
    Exception
        Of pydicom, which cannot write every file that it reads.
    """
    dataset = pydicom.dcmread(BytesIO(dicom), force=True)
    planter = _Planter(seed)
    _plant_table(dataset, planter, "table")
    nested = Dataset()
    _plant_table(nested, planter, "table, nested")
    _plant_unlisted(dataset, planter, "by value representation")
    _plant_unlisted(nested, planter, "by value representation, nested")
    _plant_private(dataset, planter, "private")
    _plant_private(nested, planter, "private, nested")
    inner = Dataset()
    setattr(inner, KEPT[1], Sequence([nested]))
    setattr(dataset, KEPT[0], Sequence([inner]))
    _plant_repeating(dataset, planter)
    _plant_meta(dataset, planter)
    dataset.add_new(0xFFFCFFFC, "OB", _even(planter.value("padding", "LO")))
    out = BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    needles = {place: tuple(values) for place, values in planter.needles.items()}
    return Planted(out.getvalue(), needles)


def _even(text: str) -> bytes:
    return (text + " " * (len(text) % 2)).encode("ascii")


def _rows() -> Iterator[tuple[int, str]]:
    """Yield tag and VR of the rows that hold text, dates or UIDs, but for the file's own head."""
    with TABLE.open(encoding="utf-8") as file:
        lines = (line for line in file if not line.startswith("#"))
        for row in csv.DictReader(lines):
            if "x" in row["tag"].lower() or "g" in row["tag"]:
                continue
            tag = int(row["tag"], 16)
            if tag >> 16 in (0x0000, 0x0002, 0x0004) or not datadict.dictionary_has_tag(tag):
                continue
            yield tag, datadict.dictionary_VR(tag)


def _plant_table(dataset: Dataset, planter: _Planter, place: str) -> None:
    """Plant in every row that can hold it, unless the file would be another one for it."""
    for tag, vr in _rows():
        if vr in (*TEXT_VRS, *DATE_VRS, "UI"):
            dataset.add_new(tag, vr, planter.value(f"{place}: {_kind(vr)}", vr))


def _kind(vr: str) -> str:
    if vr in DATE_VRS:
        return "dates"
    return "UIDs" if vr == "UI" else "text"


def _plant_unlisted(dataset: Dataset, planter: _Planter, place: str) -> None:
    for vr, keyword in UNLISTED.items():
        setattr(dataset, keyword, planter.value(place, vr))


def _plant_private(dataset: Dataset, planter: _Planter, place: str) -> None:
    block = dataset.private_block(0x0099, CREATOR, create=True)
    for number, vr in enumerate((*TEXT_VRS, *DATE_VRS, "UI")):
        block.add_new(number, vr, planter.value(place, vr))
    block.add_new(0x40, "UN", _even(planter.value(place, "LO")))
    item = Dataset()
    item.PatientName = planter.value(place, "PN")
    block.add_new(0x41, "SQ", Sequence([item]))


def _plant_repeating(dataset: Dataset, planter: _Planter) -> None:
    """Plant in curves and overlays, which are repeating groups (PS3.5 7.6)."""
    dataset.add_new(0x50000022, "LO", planter.value("curves", "LO"))
    dataset.add_new(0x50003000, "OW", _even(planter.value("curves", "LO")))
    dataset.add_new(0x60004000, "LT", planter.value("overlays", "LT"))
    dataset.add_new(0x60003000, "OW", _even(planter.value("overlays", "LO")))


def _plant_meta(dataset: Dataset, planter: _Planter) -> None:
    preamble = planter.value("preamble", "LO").encode("ascii")
    dataset.preamble = preamble + bytes(128 - len(preamble))
    meta = dataset.file_meta
    meta.SourceApplicationEntityTitle = planter.value("File Meta", "AE")
    meta.PrivateInformationCreatorUID = UID(planter.value("File Meta", "UI"))
    meta.PrivateInformation = _even(planter.value("File Meta", "LO"))
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
