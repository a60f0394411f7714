"""What a transformation of a whole instance asks of the engine, beyond edits by path."""

from __future__ import annotations

import pytest

import factory
from curator.dicom.changes import ItemFate, sequence_of
from curator.dicom.charset import UTF_8_TERM
from curator.dicom.encode import encode_element, encode_values
from curator.dicom.engine import fitting, opened
from curator.dicom.errors import UnsupportedInstance
from curator.dicom.filemeta import MetaPolicy
from curator.dicom.instance import Instance
from curator.dicom.tags import PIXEL_DATA, parse_tag
from factory import make_instance

SEQUENCE = parse_tag("ReferencedInstanceSequence")
DESCRIPTION = parse_tag("StudyDescription")
RLE = "1.2.840.10008.1.2.5"


def items(undefined_lengths: bool, transfer_syntax: str) -> Instance:
    references = [{"ReferencedSOPInstanceUID": f"1.2.3.{number}"} for number in range(3)]
    data = make_instance(
        ReferencedInstanceSequence=references,
        undefined_lengths=undefined_lengths,
        transfer_syntax=transfer_syntax,
    )
    return opened(data)


@pytest.mark.parametrize("undefined_lengths", [False, True])
@pytest.mark.parametrize(
    "syntax",
    [
        factory.ExplicitVRLittleEndian,
        factory.ImplicitVRLittleEndian,
        factory.ExplicitVRBigEndian,
        factory.DeflatedExplicitVRLittleEndian,
    ],
)
def test_items_can_be_removed(undefined_lengths, syntax):
    instance = items(undefined_lengths, syntax)
    new = sequence_of(
        instance.site, SEQUENCE, lambda index, _item: ItemFate.REMOVED if index == 1 else None
    )
    after = opened(instance.changed({SEQUENCE: new}, MetaPolicy.KEEP)).site
    before = [item.encoded for item in instance.site.items(SEQUENCE)]
    assert [item.encoded for item in after.items(SEQUENCE)] == [before[0], before[2]]


@pytest.mark.parametrize(
    "syntax",
    [
        factory.ExplicitVRLittleEndian,
        factory.ImplicitVRLittleEndian,
        factory.ExplicitVRBigEndian,
        factory.DeflatedExplicitVRLittleEndian,
    ],
)
def test_heads_are_tag_and_vr_in_the_order_of_the_tags(syntax):
    site = opened(make_instance(transfer_syntax=syntax)).site
    for tag, head in zip(site.tags, site.heads(), strict=True):
        assert head[:4] == (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little")
        assert head[4:] in (b"", site.vr(tag).encode("ascii"))


class TestTransferSyntax:
    PIXELS = encode_element(PIXEL_DATA, "OB", b"\0\0", opened(make_instance()).site.encoding)

    @pytest.mark.parametrize(
        "old",
        [
            factory.ExplicitVRLittleEndian,
            factory.DeflatedExplicitVRLittleEndian,
            factory.JPEGBaseline8Bit,
        ],
    )
    def test_of_the_result_can_be_another(self, old):
        instance = opened(make_instance(transfer_syntax=old))
        data = instance.changed({PIXEL_DATA: self.PIXELS}, MetaPolicy.REBUILD, RLE)
        after = opened(data)
        assert after.meta.transfer_syntax_uid == RLE
        assert after.site.encoded(PIXEL_DATA) == self.PIXELS
        assert data.endswith(after.site.assembled({}))

    @pytest.mark.parametrize("old", [factory.ImplicitVRLittleEndian, factory.ExplicitVRBigEndian])
    def test_needs_elements_in_explicit_vr_little_endian(self, old):
        instance = opened(make_instance(transfer_syntax=old))
        with pytest.raises(UnsupportedInstance):
            instance.changed({PIXEL_DATA: self.PIXELS}, MetaPolicy.KEEP, RLE)

    def test_with_other_elements_is_not_to_be_had(self):
        instance = opened(make_instance())
        with pytest.raises(UnsupportedInstance):
            instance.changed(
                {PIXEL_DATA: self.PIXELS}, MetaPolicy.KEEP, factory.ImplicitVRLittleEndian
            )


def test_what_does_not_fit_is_tried_again_in_utf_8():
    seen = []

    def function(instance: Instance) -> bytes:
        seen.append(instance.site.encoding.charset.terms)
        return encode_values(DESCRIPTION, "LO", "研究", instance.site.encoding)

    instance = opened(make_instance(SpecificCharacterSet="ISO_IR 100", StationName="Zürich"))
    assert fitting(instance, function) == "研究".encode()
    assert seen == [("ISO_IR 100",), (UTF_8_TERM,)]


@pytest.mark.parametrize("right", [True, False])
def test_a_group_length_that_is_removed_does_not_come_back(right):
    instance = opened(make_instance())
    site = instance.site
    size = sum(len(site.encoded(tag)) for tag in site.tags if tag >> 16 == 0x0010)
    length = encode_element(
        0x00100000, "UL", (size + (not right)).to_bytes(4, "little"), site.encoding
    )
    data = instance.changed({0x00100000: length}, MetaPolicy.KEEP)
    changed = opened(data).site.assembled({0x00100000: b"", DESCRIPTION: b""})
    assert changed == site.assembled({DESCRIPTION: b""})
