"""Encapsulated documents are replaced by ones that can still be opened."""

from __future__ import annotations

import re
import struct
from io import BytesIO
from xml.etree import ElementTree as ET

import pydicom
import pytest

from curator.anonymize.documents import DOCUMENT, NOTICE, replacement, with_length
from curator.dicom.encode import encode_element
from curator.dicom.engine import opened
from curator.dicom.tags import Tag
from factory import ExplicitVRBigEndian, ImplicitVRLittleEndian, make_instance
from unit.anonymize.planted import NAME, PATIENT_ID, anonymizer

ENCAPSULATED_PDF = "1.2.840.10008.5.1.4.1.1.104.1"
ORIGINAL = b"%PDF-1.4 the original of somebody"


def document(mime_type="application/pdf", **elements):
    return make_instance(
        **{
            "SOPClassUID": ENCAPSULATED_PDF,
            "PatientName": NAME,
            "PatientID": PATIENT_ID,
            "EncapsulatedDocument": ORIGINAL + b"\0",
            "EncapsulatedDocumentLength": len(ORIGINAL),
            "MIMETypeOfEncapsulatedDocument": mime_type,
            "pixels": b"",
            **elements,
        }
    )


def new(mime_type):
    return replacement(opened(document(mime_type)).site)


@pytest.mark.parametrize(
    "how",
    [{}, {"transfer_syntax": ImplicitVRLittleEndian}, {"transfer_syntax": ExplicitVRBigEndian}],
)
@pytest.mark.parametrize("options", [[], ["CleanDescriptors", "CleanStructuredContent"]])
def test_the_document_is_replaced_and_its_type_kept(how, options):
    result = anonymizer(Options=options).anonymize(document(**how)).dicom
    assert b"somebody" not in result
    found = pydicom.dcmread(BytesIO(result))
    assert found.MIMETypeOfEncapsulatedDocument == "application/pdf"
    assert found.EncapsulatedDocument.rstrip(b"\0") == new("application/pdf")


def test_the_length_follows_the_new_document():
    site = opened(document()).site
    encoded = encode_element(DOCUMENT, "OB", new("application/pdf"), site.encoding)
    changes = with_length(site, {DOCUMENT: encoded})
    length = len(new("application/pdf"))
    assert changes[0x00420015][-4:] == struct.pack("<I", length)
    assert with_length(site, {0x00100010: b""}) == {0x00100010: b""}
    assert 0x00420015 not in with_length(opened(make_instance()).site, {DOCUMENT: encoded})


def test_a_pdf_has_a_right_table_of_objects():
    pdf = new("application/pdf")
    assert pdf.startswith(b"%PDF-")
    assert pdf.rstrip().endswith(b"%%EOF")
    start = int(re.search(rb"startxref\n(\d+)\n", pdf)[1])
    assert pdf[start:].startswith(b"xref")
    offsets = [int(one) for one in re.findall(rb"(\d{10}) 00000 n", pdf)]
    assert len(offsets) == 5
    for number, offset in enumerate(offsets, start=1):
        assert pdf[offset:].startswith(b"%d 0 obj" % number)
    page = re.search(rb"/Length (\d+) >>\nstream\n(.*)\nendstream", pdf, re.DOTALL)
    assert int(page[1]) == len(page[2])
    assert NOTICE.encode() in page[2]


def test_a_cda_is_an_xml_document():
    root = ET.fromstring(new("text/xml; charset=utf-8").decode("ascii"))  # noqa: S314
    assert root.tag == "{urn:hl7-org:v3}ClinicalDocument"
    assert NOTICE in "".join(root.itertext())


def test_a_model_has_no_facets():
    stl = new("model/stl")
    assert len(stl) == 84
    assert struct.unpack_from("<I", stl, 80) == (0,)
    assert not stl.startswith(b"solid")


@pytest.mark.parametrize("mime_type", ["model/obj", "model/mtl"])
def test_a_mesh_is_a_comment(mime_type):
    assert new(mime_type) == f"# {NOTICE}\n".encode()


@pytest.mark.parametrize("mime_type", ["", "application/octet-stream", None])
def test_a_document_of_another_type_becomes_a_plain_notice(mime_type):
    assert new(mime_type) == f"{NOTICE}\n".encode()


def test_the_length_that_is_declared_follows_the_new_document():
    content = document(EncapsulatedDocumentLength=len(ORIGINAL))
    site = opened(anonymizer().anonymize(content).dicom).site
    declared = site.element(Tag(0x00420015)).numbers
    assert declared == (len(new("application/pdf")),)
