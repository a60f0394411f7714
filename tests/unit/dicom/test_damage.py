"""Truncated and corrupted instances: refused by name, or changed in the one place asked for.

The measure needs no reader. One edit may take one range out of the data set and put one element in:
everything before and after it has to be there, byte for byte, in its place.
"""

from __future__ import annotations

import contextlib
import struct
import zlib

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from curator.dicom import deflate
from curator.dicom.edits import Call, Drop, Edits, Keep, Replace
from curator.dicom.engine import apply
from curator.dicom.errors import DicomError, Malformed, NotDicom, TooDeep
from curator.dicom.filemeta import read_file_meta
from curator.dicom.reader import pixel_digest, read
from curator.dicom.tags import MAXIMUM_DEPTH, Path, Step, Tag, parse_path
from factory import make_instance, multi_frame
from unit.dicom.model import (
    EXPLICIT,
    IMPLICIT,
    El,
    File,
    Items,
    encode,
    encode_element,
    files,
    head,
)

DEFLATED = "1.2.840.10008.1.2.1.99"
PATIENT_ID = Tag(0x00100020)
NEW_PATIENT_ID = El(0x00100020, "LO", b"REPLACED")
REPLACE = Edits({PATIENT_ID: Replace("REPLACED")})


def edited_or_refused(data: bytes, edits: Edits) -> bytes | None:
    """Return the edited instance, None for a refusal by name; anything else is a failure."""
    try:
        return apply(data, edits)
    except DicomError:
        return None


def check_only_patient_id_changed(data: bytes, edited: bytes) -> None:
    """See that one element went in, and that at most the old one came out."""
    before, after = _data_set(data), _data_set(edited)
    if before == after:
        return
    candidates = [encode((NEW_PATIENT_ID,), explicit) for explicit in (True, False)]
    candidates.append(encode((NEW_PATIENT_ID,), True, ">"))
    assert any(_changed_in_one_place(before, after, new) for new in candidates)


def _data_set(data: bytes) -> bytes:
    try:
        meta = read_file_meta(data)
    except NotDicom:
        return data
    if meta.transfer_syntax_uid == DEFLATED:
        return zlib.decompressobj(-15).decompress(data[meta.end :])
    return data[meta.end :]


def _changed_in_one_place(before: bytes, after: bytes, new: bytes) -> bool:
    place = after.find(new)
    while place >= 0:
        rest = after[place + len(new) :]
        taken_out = before[place : len(before) - len(rest)]
        same = before.startswith(after[:place]) and before.endswith(rest)
        if same and len(rest) + place <= len(before) and _is_nothing_or_patient_id(taken_out):
            return True
        place = after.find(new, place + 1)
    return False


def _is_nothing_or_patient_id(raw: bytes) -> bool:
    if not raw:
        return True
    if raw[:4] not in (b"\x10\0\x20\0", b"\0\x10\0\x20"):
        return False
    order = "<" if raw[0] else ">"
    as_implicit = struct.unpack(f"{order}I", raw[4:8])[0]
    as_short = struct.unpack(f"{order}H", raw[6:8])[0]
    lengths = {8 + as_implicit, 8 + as_short}
    if len(raw) >= 12:
        lengths.add(12 + struct.unpack(f"{order}I", raw[8:12])[0])
    return len(raw) in lengths


def samples() -> list[bytes]:
    sequence = [{"ReferencedSOPInstanceUID": "1.2", "PurposeOfReferenceCodeSequence": [{}]}, {}]
    common = {"ReferencedImageSequence": sequence, "Rows": 4, "Columns": 4}
    return [
        make_instance(transfer_syntax=syntax, undefined_lengths=undefined, **common)
        for syntax in (EXPLICIT, IMPLICIT, "1.2.840.10008.1.2.2", DEFLATED)
        for undefined in (False, True)
    ] + [make_instance(transfer_syntax="1.2.840.10008.1.2.4.50", **common), multi_frame(2)]


SAMPLES = samples()


@pytest.mark.parametrize("number", range(len(SAMPLES)))
def test_truncation_at_any_offset_loses_nothing(number):
    data = SAMPLES[number]
    for end in range(0, len(data), 1 if len(data) < 2500 else 3):
        edited = edited_or_refused(data[:end], REPLACE)
        if edited is not None:
            check_only_patient_id_changed(data[:end], edited)


def test_what_would_unpack_to_too_much_is_refused_before_it_is(monkeypatch):
    data = make_instance(transfer_syntax=DEFLATED)
    assert edited_or_refused(data, REPLACE) is not None
    monkeypatch.setattr(deflate, "MOST_BYTES", 100)
    with pytest.raises(Malformed, match="too large"):
        apply(data, REPLACE)


@pytest.mark.parametrize("number", range(len(SAMPLES)))
@given(st.data())
def test_changed_bytes_lose_nothing(number, data):
    damaged = bytearray(SAMPLES[number])
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(damaged) - 1))
        damaged[place] = data.draw(
            st.sampled_from([0, 1, 2, 4, 8, 16, 32, 64, 128, 255]) | st.integers(0, 255)
        )
    edited = edited_or_refused(bytes(damaged), REPLACE)
    if edited is not None:
        check_only_patient_id_changed(bytes(damaged), edited)


@given(files((EXPLICIT, IMPLICIT, "1.2.840.10008.1.2.2")), st.data())
def test_wrong_lengths_lose_nothing(file, data):
    """Aim at the headers: every length field of the top level is where damage does most harm."""
    body = file.body
    offsets = [0]
    for element in file.elements:
        offsets.append(offsets[-1] + len(encode_element(element, file.explicit, file.order)))
    place = data.draw(st.sampled_from(offsets[:-1]))
    field = place + data.draw(st.sampled_from([4, 6, 8]))
    assume(field + 2 <= len(body))
    delta = data.draw(st.sampled_from([-8, -4, -2, -1, 1, 2, 4, 8, 12, 16, 256, 65535]))
    number = int.from_bytes(body[field : field + 2], "little") + delta
    damaged = body[:field] + (number % 65536).to_bytes(2, "little") + body[field + 2 :]
    damaged = file.head + damaged
    edited = edited_or_refused(damaged, REPLACE)
    if edited is not None and not any(not e.tag & 0xFFFF for e in file.elements):
        check_only_patient_id_changed(damaged, edited)


@given(st.binary(max_size=400))
def test_noise_is_refused_or_left_alone(noise):
    for data in (noise, bytes(128) + b"DICM" + noise):
        edited = edited_or_refused(data, REPLACE)
        if edited is not None:
            check_only_patient_id_changed(data, edited)


@given(files(), st.binary(min_size=1, max_size=40))
def test_bytes_after_the_data_set_are_never_dropped(file, more):
    edited = edited_or_refused(file.data + more, REPLACE)
    if edited is not None and not any(not e.tag & 0xFFFF for e in file.elements):
        check_only_patient_id_changed(file.data + more, edited)


# Damage of one kind each.

SOP = (
    El(0x00080016, "UI", b"1.2.840.10008.5.1.4.1.1.7\0"),
    El(0x00080018, "UI", b"1.2.3\0"),
)


def file_of(*elements: El, transfer_syntax: str = EXPLICIT, more: bytes = b"") -> bytes:
    return File((*SOP, *elements), transfer_syntax).data + more


EDITS_INSIDE = Edits(
    {
        Path(PATIENT_ID, (Step(Tag(0x00081140), None),)): Replace("X"),
    }
)


@pytest.mark.parametrize("transfer_syntax", [EXPLICIT, IMPLICIT])
def test_an_element_twice_is_refused(transfer_syntax):
    element = El(0x00100010, "PN", b"A^B ")
    with pytest.raises(Malformed, match="twice"):
        apply(file_of(element, element, transfer_syntax=transfer_syntax), REPLACE)


def test_out_of_order_stays_so_in_explicit_vr():
    first, second = El(0x00100010, "PN", b"A^B "), El(0x00080060, "CS", b"CT")
    last = El(0x00200010, "SH", b"1 ")
    edited = apply(file_of(first, second, last), REPLACE)
    assert edited == File((*SOP, first, second, NEW_PATIENT_ID, last)).data
    dropped = apply(file_of(first, second, last), Edits({Tag(0x00080060): Drop()}))
    assert dropped == File((*SOP, first, last)).data
    assert apply(file_of(first, second), Edits()) == file_of(first, second)


def test_out_of_order_is_refused_in_implicit_vr():
    first, second = El(0x00100010, "PN", b"A^B "), El(0x00080060, "CS", b"CT")
    with pytest.raises(Malformed, match="out of order"):
        apply(file_of(first, second, transfer_syntax=IMPLICIT), REPLACE)


@pytest.mark.parametrize("transfer_syntax", [EXPLICIT, IMPLICIT, "1.2.840.10008.1.2.2"])
def test_zeros_after_a_wrong_length_are_refused(transfer_syntax):
    """Eight zeros are a header in implicit VR: the walk must not go through a whole image."""
    data = file_of(
        El(0x7FE00010, "OW", b""), transfer_syntax=transfer_syntax, more=bytes(8_000_000)
    )
    with pytest.raises(Malformed):
        apply(data, REPLACE)


@pytest.mark.parametrize("tag", [0x00000100, 0x00020010])
def test_elements_that_belong_elsewhere_are_refused(tag):
    with pytest.raises(Malformed):
        apply(
            File((El(tag, "UI", b"1.2\0"), *SOP)).head + encode((*SOP, El(tag, "UI", b""))), REPLACE
        )


def test_a_file_without_data_set_is_refused():
    with pytest.raises(Malformed, match="no data set"):
        apply(head(EXPLICIT, b"1.2\0", b"1.2\0"), Edits())


@pytest.mark.parametrize("data", [b"", b"\0", bytes(132), b"not a DICOM file" * 20])
def test_what_is_no_dicom_is_refused(data):
    with pytest.raises(NotDicom):
        apply(data, Edits())


def test_an_odd_length_is_copied():
    odd = El(0x00081030, "LO", b"ODD")
    assert apply(file_of(odd), REPLACE) == file_of(odd, NEW_PATIENT_ID)


def test_item_longer_than_its_sequence_is_refused_when_entered():
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 100) + encode((NEW_PATIENT_ID,))
    data = file_of(El(0x00081140, "SQ", item))
    with pytest.raises(Malformed, match=r"longer than its sequence \(ReferencedImageSequence"):
        apply(data, EDITS_INSIDE)
    assert apply(data, REPLACE) == file_of(El(0x00081140, "SQ", item), NEW_PATIENT_ID)


@pytest.mark.parametrize("cut", [8, 16])
def test_missing_delimiters_are_refused(cut):
    sequence = El(0x00081140, "SQ", (Items((NEW_PATIENT_ID,), True),), True)
    with pytest.raises(Malformed):
        apply(file_of(sequence)[:-cut], REPLACE)
    later = encode((El(0x00200010, "SH", b"1 "),))
    with pytest.raises(Malformed):
        apply(file_of(sequence)[:-cut] + later, REPLACE)


def test_wrong_fragment_lengths_are_copied_up_to_the_delimiter():
    pixels = El(0x7FE00010, "OB", (Items(b""), Items(b"12345678")), True)
    data = bytearray(file_of(pixels, transfer_syntax="1.2.840.10008.1.2.4.50"))
    place = data.rindex(b"12345678")
    data[place - 4 : place] = struct.pack("<I", 10)
    check_only_patient_id_changed(bytes(data), apply(bytes(data), REPLACE))
    with pytest.raises(Malformed):
        apply(bytes(data)[:-8], REPLACE)


def test_explicit_vr_declared_as_implicit_is_taken_for_what_it_is():
    explicit = encode((*SOP, El(0x00080060, "CS", b"CT")))
    edited = apply(head(IMPLICIT, b"1.2.3\0", b"1.2\0") + explicit, REPLACE)
    assert edited.endswith(explicit + encode((NEW_PATIENT_ID,)))
    assert read_file_meta(edited).transfer_syntax_uid == EXPLICIT


def test_implicit_vr_declared_as_explicit_is_taken_for_what_it_is():
    implicit = encode((*SOP, El(0x00080060, "CS", b"CT")), explicit=False)
    edited = apply(head(EXPLICIT, b"1.2.3\0", b"1.2\0") + implicit, REPLACE)
    assert edited.endswith(implicit + encode((NEW_PATIENT_ID,), explicit=False))
    assert read_file_meta(edited).transfer_syntax_uid == IMPLICIT


@pytest.mark.parametrize("explicit", [True, False])
def test_a_data_set_alone_gets_file_meta(explicit):
    body = encode(SOP, explicit)
    edited = apply(body, REPLACE)
    meta = read_file_meta(edited)
    assert meta.transfer_syntax_uid == (EXPLICIT if explicit else IMPLICIT)
    assert meta.uid(0x00020003) == "1.2.3"
    assert edited[meta.end :] == body + encode((NEW_PATIENT_ID,), explicit)
    assert apply(body, Edits()) == body


def nested(levels: int, delimited: bool) -> bytes:
    """Return a file with sequences nested `levels` deep."""
    if not delimited:
        content = b""
        for _ in range(levels):
            item = struct.pack("<HHI", 0xFFFE, 0xE000, len(content)) + content
            content = struct.pack("<HH2sHI", 0x0008, 0x1140, b"SQ", 0, len(item)) + item
        return file_of(more=content)
    start = struct.pack("<HH2sHI", 0x0008, 0x1140, b"SQ", 0, 0xFFFFFFFF)
    start += struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    end = struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    return file_of(more=start * levels + end * levels)


DEEP = [MAXIMUM_DEPTH + 1, 500, 10_000]
WIDEN = Edits({PATIENT_ID: Replace("山田")})


@pytest.mark.parametrize("levels", DEEP)
def test_deep_nesting_of_undefined_length_is_refused(levels):
    with pytest.raises(TooDeep):
        apply(nested(levels, delimited=True), REPLACE)
    with pytest.raises(TooDeep):
        read(nested(levels, delimited=True), [PATIENT_ID])


@pytest.mark.parametrize("levels", DEEP)
def test_deep_nesting_of_defined_length_is_copied_or_refused_when_entered(levels):
    data = nested(levels, delimited=False)
    assert apply(data, REPLACE) == data + encode((NEW_PATIENT_ID,))
    with pytest.raises(TooDeep):
        apply(data, WIDEN)


@pytest.mark.parametrize("delimited", [False, True])
def test_nesting_up_to_the_limit_is_followed(delimited):
    data = nested(MAXIMUM_DEPTH - 1, delimited)
    assert read(apply(data, WIDEN), [PATIENT_ID]).string(PATIENT_ID) == "山田"


@pytest.mark.parametrize("levels", DEEP)
@pytest.mark.parametrize("delimited", [False, True])
def test_deep_nesting_through_pydicom_is_refused(levels, delimited):
    body = nested(levels, delimited)[len(File(SOP).head) :]
    with pytest.raises((TooDeep, NotDicom)):
        apply(body, WIDEN)


@given(st.sampled_from(SAMPLES), st.integers(0, 3000))
def test_readers_refuse_by_name_too(data, end):
    for call in (
        lambda: read(data[:end], [PATIENT_ID, parse_path("ReferencedImageSequence[*].PatientID")]),
        lambda: pixel_digest(data[:end]),
        lambda: apply(data[:end], Edits({PATIENT_ID: Call(lambda _: Keep())})),
        lambda: apply(data[:end], Edits({PATIENT_ID: Drop()})),
    ):
        with contextlib.suppress(DicomError):
            call()
