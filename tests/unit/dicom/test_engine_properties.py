"""What holds for every data set: checked on generated ones against a model of plain data."""

from __future__ import annotations

from io import BytesIO

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.dicom import fallback
from curator.dicom.changes import changes_at
from curator.dicom.edits import AppendItems, Call, Drop, Edits, Keep, Replace, ReplaceEncoded
from curator.dicom.engine import apply
from curator.dicom.errors import DicomError, NotDicom
from curator.dicom.filemeta import MetaPolicy
from curator.dicom.reader import pixel_digest, read
from curator.dicom.tags import Path, PrivateTag, Step, Tag
from unit.dicom.model import (
    BIG_ENDIAN,
    EXPLICIT,
    IMPLICIT,
    JPEG,
    PRIVATE_CREATORS,
    SEQUENCES,
    TEXTS,
    El,
    File,
    Items,
    even,
    files,
    in_items,
    with_element,
    with_group_lengths,
    without,
)

EVERY_SYNTAX = (EXPLICIT, IMPLICIT, JPEG, BIG_ENDIAN)
text_tags = st.sampled_from(sorted(TEXTS))
texts = st.sampled_from(["", "N", "NEW", "NEW VALUE", "A new value that is longer than the old"])
sequence_tags = st.sampled_from(SEQUENCES)
indexes = st.none() | st.integers(0, 3)


def expected(file: File, elements: tuple[El, ...]) -> bytes:
    """Encode the edited model; group lengths, where there were some, are right."""
    lengths = {element.tag >> 16 for element in file.elements if not element.tag & 0xFFFF}
    if lengths and elements != file.elements:
        elements = tuple(
            element
            for element in with_group_lengths(elements, file.explicit, file.order)
            if element.tag & 0xFFFF or element.tag >> 16 in lengths
        )
    return File(elements, file.transfer_syntax).data


@given(files(EVERY_SYNTAX))
def test_no_edit_gives_identical_bytes(file):
    assert _unless_refused(file, Edits()) in (None, file.data)


@given(files(), text_tags, texts)
def test_replace_sets_or_inserts_and_touches_nothing_else(file, tag, text):
    new = El(tag, TEXTS[tag], even(text))
    assert apply(file.data, Edits({Tag(tag): Replace(text)})) == expected(
        file, with_element(file.elements, new)
    )


@given(files(EVERY_SYNTAX), st.data())
def test_drop_removes_one_element(file, data):
    tags = [e.tag for e in file.elements if e.tag & 0xFFFF and e.tag not in (0x80016, 0x80018)]
    tag = data.draw(st.sampled_from([*tags, 0x00189999]))
    edits = Edits({Tag(tag): Drop()})
    assert _unless_refused(file, edits) in (None, expected(file, without(file.elements, tag)))


def _unless_refused(file: File, edits: Edits) -> bytes | None:
    """Big endian goes through pydicom, which may not be able to prove every structure."""
    try:
        return apply(file.data, edits)
    except DicomError:
        assert file.transfer_syntax == BIG_ENDIAN
        return None


@given(files(), sequence_tags, indexes, text_tags, texts)
def test_replace_inside_items(file, sequence, index, tag, text):
    new = El(tag, TEXTS[tag], even(text))
    path = Path(Tag(tag), (Step(Tag(sequence), index),))
    model = in_items(file.elements, sequence, index, lambda level: with_element(level, new))
    assert apply(file.data, Edits({path: Replace(text)})) == expected(file, model)


@given(files(), sequence_tags, indexes, sequence_tags, indexes, text_tags)
def test_drop_two_levels_down(file, outer, outer_index, inner, inner_index, tag):
    path = Path(Tag(tag), (Step(Tag(outer), outer_index), Step(Tag(inner), inner_index)))
    model = in_items(
        file.elements,
        outer,
        outer_index,
        lambda level: in_items(level, inner, inner_index, lambda deep: without(deep, tag)),
    )
    assert apply(file.data, Edits({path: Drop()})) == expected(file, model)


@given(files(), st.lists(st.tuples(text_tags, texts), max_size=5), st.sets(text_tags, max_size=3))
def test_many_edits_at_once(file, replaced, dropped):
    model = file.elements
    edits: dict[Tag, Replace | Drop] = {}
    for tag, text in replaced:
        edits[Tag(tag)] = Replace(text)
    for tag in dropped:
        edits[Tag(tag)] = Drop()
    for tag, edit in edits.items():
        if isinstance(edit, Drop):
            model = without(model, tag)
        else:
            model = with_element(model, El(tag, TEXTS[tag], even(edit.values)))
    assert apply(file.data, Edits(edits)) == expected(file, model)
    in_two = Edits(dict(list(edits.items())[:2])).with_(dict(list(edits.items())[2:]))
    assert apply(file.data, in_two) == expected(file, model)


@given(files(), st.sampled_from(PRIVATE_CREATORS), st.sampled_from([0, 1, 2, 255]))
def test_private_edits_find_the_block_of_their_creator(file, creator, number):
    blocks = [
        e.tag & 0xFF
        for e in file.elements
        if 0x00290010 <= e.tag <= 0x002900FF and e.value.strip() == creator.encode()
    ]
    model = file.elements
    for block in blocks:
        model = without(model, 0x00290000 | block << 8 | number)
    edited = apply(file.data, Edits({PrivateTag(0x0029, creator, number): Drop()}))
    assert edited == expected(file, model)


@given(files(), st.sampled_from([b"", b"1", b"12", b"123456789"]))
def test_encoded_values_are_taken_as_they_are(file, raw):
    raw += b"\0" * (len(raw) % 2)
    new = El(0x00420011, "OB", raw)
    edits = Edits({Tag(0x00420011): ReplaceEncoded("OB", raw)})
    assert apply(file.data, edits) == expected(file, with_element(file.elements, new))


@given(files(EVERY_SYNTAX))
def test_calls_that_keep_change_nothing(file):
    edits = Edits(
        {
            Tag(0x00080070): Call(lambda element: Keep(), missing=True),
            Tag(0x00081140): Call(lambda element: None),
            Tag(0x7FE00010): Call(lambda element: Keep()),
        }
    )
    assert _unless_refused(file, edits) in (None, file.data)


@given(files())
def test_append_items_extends_or_creates(file):
    tag = 0x04000561
    item = {Tag(0x00400254): "appended", Tag(0x00080060): "CT"}
    added = Items((El(0x00080060, "CS", b"CT"), El(0x00400254, "LO", b"appended")))
    edits = Edits({Tag(tag): AppendItems((item,))})
    once = apply(file.data, edits)
    assert once == expected(file, with_element(file.elements, El(tag, "SQ", (added,))))
    twice = with_element(file.elements, El(tag, "SQ", (added, added)))
    assert apply(once, edits) == expected(file, twice)


@given(files(), sequence_tags)
def test_append_items_keeps_the_kind_of_length(file, tag):
    added = Items((El(0x00080060, "CS", b"CT"),))
    present = next((e for e in file.elements if e.tag == tag), El(tag, "SQ", ()))
    new = El(tag, present.vr, (*present.value, added), present.delimited)
    edits = Edits({Tag(tag): AppendItems(({Tag(0x00080060): "CT"},))})
    assert apply(file.data, edits) == expected(file, with_element(file.elements, new))


@given(files(EVERY_SYNTAX), text_tags, texts)
def test_pixel_data_comes_out_as_it_went_in(file, tag, text):
    edited = _unless_refused(file, Edits({Tag(tag): Replace(text)}))
    if edited is not None:
        assert pixel_digest(edited) == pixel_digest(file.data)


@given(files(), text_tags, texts, sequence_tags, indexes)
def test_both_paths_agree(file, tag, text, sequence, index):
    edits = Edits(
        {
            Tag(tag): Replace(text),
            Path(Tag(tag), (Step(Tag(sequence), index),)): Replace(text),
            Tag(0x00080060): Drop(),
        }
    )
    try:
        instance = fallback.opened(file.data, "ISO_IR 6", NotDicom("forced"))
        through_pydicom = instance.changed(changes_at(instance.site, edits.root), MetaPolicy.KEEP)
    except DicomError:
        return  # a structure that pydicom does not give back, such as UN with items
    assert through_pydicom == apply(file.data, edits)


@given(files((BIG_ENDIAN,)), text_tags, texts)
def test_big_endian_goes_through_pydicom(file, tag, text):
    edited = _unless_refused(file, Edits({Tag(tag): Replace(text)}))
    if edited is None:
        return
    new = El(tag, TEXTS[tag], even(text))
    assert edited == expected(file, with_element(file.elements, new))


@given(files(), text_tags, texts)
def test_pydicom_reads_the_result(file, tag, text):
    edited = apply(file.data, Edits({Tag(tag): Replace(text)}))
    dataset = pydicom.dcmread(BytesIO(edited))
    value = dataset.get_item(tag).value or b""
    assert value.decode().rstrip() == text.rstrip()
    assert read(edited, [Tag(tag)]).elements(Tag(tag))[0].raw == even(text)


@pytest.mark.parametrize("policy", list(MetaPolicy))
@given(file=files())
def test_file_meta_follows_the_data_set(policy, file):
    edits = Edits({Tag(0x00080018): Replace("1.2.3.999"), Tag(0x00080016): Replace("1.2.3.4")})
    edited = apply(file.data, edits, meta=policy)
    meta = pydicom.dcmread(BytesIO(edited)).file_meta
    assert meta.MediaStorageSOPInstanceUID == "1.2.3.999"
    assert meta.MediaStorageSOPClassUID == "1.2.3.4"
    assert meta.TransferSyntaxUID == file.transfer_syntax
    keeps = policy is MetaPolicy.KEEP
    assert edited.startswith(b"preamble") is keeps
    assert ("SourceApplicationEntityTitle" in meta) is keeps
