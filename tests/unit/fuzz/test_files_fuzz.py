"""Real files with their structure spoiled: refused by name, or changed where they should be only.

Other tests of the engine make files of their own and cut them; here the files are those that come
with pydicom, and every VR occurs.
"""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from io import BytesIO
from pathlib import Path as File

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collection import load
from curator.anonymize.anonymizers import Anonymizers
from curator.anonymize.catalog import Reader
from curator.anonymize.errors import Refused
from curator.anonymize.setup import prepare
from curator.config import Settings
from curator.dicom import reader
from curator.dicom.edits import Drop, Edits, Replace, ReplaceEncoded
from curator.dicom.engine import apply, opened
from curator.dicom.errors import DicomError
from curator.dicom.filemeta import read_file_meta
from curator.dicom.structure import ALL_VRS
from curator.dicom.tags import Path, Tag, parse_path
from curator.store import Store
from factory import make_instance
from unit.dicom.model import BIG_ENDIAN, EXPLICIT, IMPLICIT, El, Items
from unit.dicom.model import File as Built
from unit.fuzz.cases import cases
from unit.fuzz.spoiling import small_files, spoiled

PATIENT_ID = Tag(0x00100020)
COMMENTS = Tag(0x00104000)
EDITED = {int(PATIENT_ID), int(COMMENTS)}

EDITS = Edits(
    {
        PATIENT_ID: Replace("FUZZED"),
        COMMENTS: Drop(),
        parse_path("RequestAttributesSequence[*].PatientID"): Replace("FUZZED"),
        parse_path(
            "ReferencedImageSequence[0].PurposeOfReferenceCodeSequence[*].CodeValue"
        ): Drop(),
    }
)
AT_TOP = Edits({PATIENT_ID: Replace("FUZZED"), COMMENTS: Drop()})


def check(data: bytes) -> bool:
    """Change a file and see what has become of it; return whether it was taken."""
    try:
        edited = apply(data, AT_TOP)
        before = opened(data)
    except DicomError:
        return False
    after = opened(edited)
    assert apply(edited, AT_TOP) == edited
    kept = [tag for tag in before.site.tags if tag & 0xFFFF and tag not in EDITED]
    assert [tag for tag in after.site.tags if tag & 0xFFFF and tag not in EDITED] == kept
    for tag in kept:
        assert after.site.encoded(tag) == before.site.encoded(tag)
    assert reader.read(edited, [PATIENT_ID]).string(PATIENT_ID) == "FUZZED"
    return True


def check_nested(data: bytes) -> None:
    """See that edits inside sequences and readers refuse by name, too."""
    for use in (lambda: apply(data, EDITS), lambda: reader.pixel_digest(data)):
        try:
            use()
        except DicomError:
            continue


def as_pydicom_reads(data: bytes) -> dict[int, bytes] | None:
    """Return the values that pydicom reads, None where it reads none."""
    try:
        dataset = pydicom.dcmread(BytesIO(data), stop_before_pixels=True)
        found = {int(tag): dataset.get_item(tag) for tag in dataset.keys()}  # noqa: SIM118
    except Exception:  # noqa: BLE001 -- whatever it says of a broken file
        return None
    return {
        tag: element.value
        for tag, element in found.items()
        if isinstance(element.value, bytes) and tag & 0xFFFF
    }


@pytest.mark.filterwarnings("ignore")
@cases(80)
@given(spoiled())
def test_a_spoiled_file_is_refused_or_changed_in_one_place(data):
    if not check(data):
        return
    check_nested(data)
    before, after = as_pydicom_reads(data), as_pydicom_reads(apply(data, AT_TOP))
    if before is None or after is None:
        return
    for tag in before.keys() - EDITED:
        assert after.get(tag) == before[tag]


def test_enough_spoiled_files_are_taken():
    """Else the test above says nothing."""
    taken = 0

    @cases(60)
    @given(spoiled())
    def count(data: bytes) -> None:
        nonlocal taken
        taken += check(data)

    count()
    assert taken > 0


@pytest.mark.filterwarnings("ignore")
@cases(60)
@given(st.sampled_from(small_files()), st.data())
def test_a_deflated_file_that_is_spoiled_is_refused_or_changed_in_one_place(name, data):
    original = load(name)
    try:
        body = opened(original).site.assembled({})
    except DicomError:
        return
    place = data.draw(st.integers(0, len(body)))
    broken = body[:place] + data.draw(st.binary(max_size=12)) + body[place + 4 :]
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(broken) + packer.flush()
    meta = read_file_meta(make_instance(transfer_syntax="1.2.840.10008.1.2.1.99"))
    head = make_instance(transfer_syntax="1.2.840.10008.1.2.1.99")[: meta.end]
    check(head + packed[: len(packed) - data.draw(st.sampled_from([0, 0, 0, 1, 9]))])


def elements(depth: int) -> st.SearchStrategy[tuple[El, ...]]:
    """Draw a level with elements of any VR, whatever the dictionary says of their tags."""
    plain = st.builds(
        El,
        st.sampled_from(_ANY_TAGS),
        st.sampled_from(sorted(vr.decode() for vr in ALL_VRS if vr != b"SQ")),
        st.binary(max_size=24),
    )
    kinds = plain
    if depth:
        items = st.lists(
            st.builds(Items, st.deferred(lambda: elements(depth - 1)), st.booleans()), max_size=2
        )
        sequence = st.builds(
            El, st.sampled_from(_ANY_TAGS), st.just("SQ"), items.map(tuple), st.booleans()
        )
        kinds = plain | sequence
    return st.lists(kinds, max_size=6).map(_in_order)


_ANY_TAGS = (
    0x00080005, 0x00080008, 0x00080060, 0x00081140, 0x00081111, 0x00090010, 0x00091001, 0x00100010,
    0x00100020, 0x00104000, 0x00189999, 0x00280010, 0x00283010, 0x00400275, 0x0040A730, 0x00431010,
    0x50000010, 0x60003000, 0x7FE00010,
)  # fmt: skip


def _in_order(found: list[El]) -> tuple[El, ...]:
    by_tag = {element.tag: element for element in found}
    return tuple(by_tag[tag] for tag in sorted(by_tag))


@cases(60)
@given(elements(3), st.sampled_from([EXPLICIT, IMPLICIT, BIG_ENDIAN]))
def test_any_value_representation_in_any_place_is_refused_or_comes_out_as_it_was(drawn, syntax):
    instance = El(0x00080018, "UI", b"1.2.3\0"), El(0x00080016, "UI", b"1.2.840.1\0")
    built = Built(_in_order([*drawn, *instance]), syntax)
    check(built.data)
    check_nested(built.data)


@pytest.mark.parametrize("name", ["test_files/MR_small.dcm", "test_files/CT_small.dcm"])
def test_memory_is_a_small_multiple_of_the_file(name):
    data = load(name)
    apply(data, EDITS)  # what is made once, such as dictionaries, does not count
    tracemalloc.start()
    try:
        apply(data, EDITS)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * len(data) + 200_000


@pytest.mark.parametrize("length", [0xFFFFFFFE, 0x7FFFFFFF, 0x10000000])
@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
def test_a_length_that_is_claimed_costs_no_memory(syntax, length):
    order = ">" if syntax == BIG_ENDIAN else "<"
    head = struct.pack(f"{order}HH", 0x0042, 0x0011)
    if syntax != IMPLICIT:
        head += b"OB\0\0"
    data = Built((El(0x00080016, "UI", b"1.2\0"), El(0x00080018, "UI", b"1.3\0")), syntax).data
    data += head + struct.pack(f"{order}I", length)
    tracemalloc.start()
    try:
        with pytest.raises(DicomError):
            apply(data, EDITS)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10_000_000


PAINTING = {
    "Name": "paint",
    "Options": ["CleanPixelData"],
    "Rules": [{"Pixels": {"Fill": [[0, 0, "Columns", 4]], "Blur": [[0, 8, 8, 8]]}}],
}

WORDS = (0, 1, 3, 7, 8, 12, 16, 17, 32, 64, 65535)

COUNTS = (b"", b"0", b"-1", b"1", b"2 ", b"2147483647", b"99999999999999999999", b"1.5 ", b"x ")

TEXTS = (b"MONOCHROME1 ", b"PALETTE COLOR ", b"YBR_FULL_422", b"RGB ", b"", b"X\0")

SHAPES: dict[str, tuple[str, tuple[bytes, ...]]] = {
    **dict.fromkeys(
        (
            "Rows",
            "Columns",
            "SamplesPerPixel",
            "BitsAllocated",
            "BitsStored",
            "HighBit",
            "PixelRepresentation",
            "PlanarConfiguration",
        ),
        ("US", (b"", b"\1", *(struct.pack("<H", number) for number in WORDS))),
    ),
    "NumberOfFrames": ("IS", COUNTS),
    "PhotometricInterpretation": ("CS", TEXTS),
    "PixelData": ("OW", (b"", b"\0", bytes(511), bytes(512))),
}


@pytest.fixture(scope="module")
def painter():
    store = Store("sqlite://")
    anonymization = prepare(Settings(), {}, File(), {"CURATOR_KEY": "00" * 32}, store)
    yield Anonymizers(anonymization, "ISO_IR 100", None)(Reader({})(PAINTING), preview=True)
    store.close()


SYNTAXES = (EXPLICIT, IMPLICIT, "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.50")


def test_pixels_that_do_not_fit_their_description_are_refused_without_much_memory(painter):
    shapes = st.fixed_dictionaries(
        {},
        optional={
            parse_path(name): st.builds(ReplaceEncoded, st.just(vr), st.sampled_from(values))
            for name, (vr, values) in SHAPES.items()
        },
    )
    images = [make_instance(transfer_syntax=syntax) for syntax in SYNTAXES]

    @cases(60)
    @given(st.sampled_from(images), shapes)
    def check_painting(image: bytes, shape: dict[Path, ReplaceEncoded]) -> None:
        try:
            dicom = apply(image, Edits(shape))
        except DicomError:
            return
        tracemalloc.start()
        try:
            painter.anonymize(dicom)
        except (Refused, DicomError):
            pass
        finally:
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        assert peak < 20_000_000

    check_painting()


@pytest.mark.filterwarnings("ignore")
def test_a_spoiled_file_is_anonymized_or_refused_by_name(painter):
    @cases(60)
    @given(spoiled())
    def check_anonymized(data: bytes) -> None:
        try:
            result = painter.anonymize(data).dicom
        except (Refused, DicomError):
            return
        assert opened(result).site.tags

    check_anonymized()
