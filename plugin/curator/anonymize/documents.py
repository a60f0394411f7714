"""Replace encapsulated documents by ones that say that the content was removed (PS3.3 C.24.2).

A document cannot be cleaned: nobody looks into it here. The new one has the same MIME type, so that
the instance stays valid and can be opened.
"""

from __future__ import annotations

import struct

from curator.anonymize.decision import Action, Decision
from curator.anonymize.walk import Above, Walk
from curator.dicom.encode import encode_element
from curator.dicom.site import Site
from curator.dicom.tags import tag_for_keyword

DOCUMENT = tag_for_keyword("EncapsulatedDocument")
_LENGTH = tag_for_keyword("EncapsulatedDocumentLength")
_MIME_TYPE = tag_for_keyword("MIMETypeOfEncapsulatedDocument")

NOTICE = "The content of this document was removed to protect the patient."
_PAGE_TEXT = f"BT /F1 12 Tf 72 720 Td ({NOTICE}) Tj ET"
_PAGE = (
    "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R "
    "/Resources << /Font << /F1 5 0 R >> >> >>"
)
_PDF_OBJECTS = (
    "<< /Type /Catalog /Pages 2 0 R >>",
    "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
    _PAGE,
    f"<< /Length {len(_PAGE_TEXT)} >>\nstream\n{_PAGE_TEXT}\nendstream",
    "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
)


def _pdf() -> bytes:
    """Return a PDF of one page (ISO 32000-1 7.5)."""
    body = "%PDF-1.4\n"
    offsets = []
    for number, content in enumerate(_PDF_OBJECTS, start=1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{content}\nendobj\n"
    entries = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    size = len(_PDF_OBJECTS) + 1
    table = f"xref\n0 {size}\n0000000000 65535 f \n{entries}"
    trailer = f"trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{len(body)}\n%%EOF\n"
    return (body + table + trailer).encode("ascii")


_CDA = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<ClinicalDocument xmlns="urn:hl7-org:v3">'
    '<typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/>'
    f"<title>{NOTICE}</title>"
    '<component><nonXMLBody><text mediaType="text/plain">'
    f"{NOTICE}</text></nonXMLBody></component></ClinicalDocument>\n"
)

_STL_HEADER = 80
_DOCUMENTS = {
    b"application/pdf": _pdf(),
    b"text/xml": _CDA.encode("ascii"),
    b"application/xml": _CDA.encode("ascii"),
    b"model/stl": NOTICE.encode("ascii").ljust(_STL_HEADER) + struct.pack("<I", 0),
    b"model/obj": f"# {NOTICE}\n".encode("ascii"),
    b"model/mtl": f"# {NOTICE}\n".encode("ascii"),
}
_OTHER = f"{NOTICE}\n".encode("ascii")


def changed(site: Site, tag: int, above: Above, walk: Walk) -> bytes | None:
    """Return the document that stands for an encapsulated one, see :data:`.walk.Handler`."""
    document = replacement(site)
    padded = document + b"\0" * (len(document) % 2)
    decision = walk.decided(site, tag, above)
    if decision.action is Action.REMOVE:
        return b""
    new = encode_element(tag, "OB", padded, site.encoding)
    walk.note(site, tag, Decision(Action.DUMMY, decision.reason, decision.rule), new)
    return new


def replacement(site: Site) -> bytes:
    """Return the document of the MIME type that a level declares; else a plain text."""
    raw = site.raw(_MIME_TYPE) if _MIME_TYPE in site.tags else b""
    mime_type = raw.split(b";")[0].strip(b" \0").lower()
    return _DOCUMENTS.get(mime_type, _OTHER)


def with_length(site: Site, changes: dict[int, bytes]) -> dict[int, bytes]:
    """Return `changes` with Encapsulated Document Length after that of the new document."""
    if not changes.get(DOCUMENT) or _LENGTH not in site.tags:
        return changes
    raw = struct.pack(f"{site.encoding.order}I", len(replacement(site)))
    return changes | {_LENGTH: encode_element(_LENGTH, "UL", raw, site.encoding)}
