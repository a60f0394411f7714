"""Retired group lengths (PS3.5 7.2): kept right where they were right, else left alone."""

from __future__ import annotations

import struct

import pytest

from curator.dicom.edits import Edits, Replace
from curator.dicom.engine import apply
from curator.dicom.errors import Malformed
from curator.dicom.tags import Tag, parse_path
from unit.dicom.model import BIG_ENDIAN, EXPLICIT, IMPLICIT, El, File, Items, with_group_lengths

SOP = (El(0x00080016, "UI", b"1.2.4\0"), El(0x00080018, "UI", b"1.2.3\0"))
OLD, NEW = El(0x00100020, "LO", b"OLD "), El(0x00100020, "LO", b"REPLACED")
EDITS = Edits({Tag(0x00100020): Replace("REPLACED")})


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
def test_a_right_group_length_stays_right(syntax):
    order = ">" if syntax == BIG_ENDIAN else "<"

    def file(element):
        elements = with_group_lengths((*SOP, element), syntax != IMPLICIT, order)
        return File(elements, syntax).data

    assert apply(file(OLD), EDITS) == file(NEW)


@pytest.mark.parametrize("vr", ["UL", "DS", "US"])
def test_what_is_no_right_group_length_is_left_alone(vr):
    """A damaged tag may look like a group length: its value is not ours to overwrite."""
    odd = El(0x00100000, vr, b"1.00")
    assert apply(File((*SOP, odd, OLD)).data, EDITS) == File((*SOP, odd, NEW)).data
    short = El(0x00100000, "US", b"\x01\0")
    assert apply(File((*SOP, short, OLD)).data, EDITS) == File((*SOP, short, NEW)).data


def test_group_lengths_inside_items():
    def file(element):
        item = Items(with_group_lengths((element,), True, "<"))
        return File((*SOP, El(0x00081140, "SQ", (item,)))).data

    path = parse_path("ReferencedImageSequence[0].PatientID")
    assert apply(file(OLD), Edits({path: Replace("REPLACED")})) == file(NEW)


def test_group_lengths_out_of_order_are_refused():
    length = El(0x00100000, "UL", struct.pack("<I", 12))
    with pytest.raises(Malformed, match="out of order"):
        apply(File((*SOP, OLD, length)).data, EDITS)
