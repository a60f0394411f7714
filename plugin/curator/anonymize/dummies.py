"""Values that say nothing, valid for every value representation (PS3.5 6.2, PS3.15 E.2).

A dummy never depends on the value it replaces: if a different one were written where the original
happens to be the dummy, it would tell what the original was.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from functools import lru_cache

from pydicom import datadict

from curator.anonymize.fitting import encoded, suits
from curator.anonymize.placeholders import PLACEHOLDERS, REMOVED
from curator.anonymize.uids import NAMING_A_KIND
from curator.dicom.edits import ItemValues, Replace, ReplaceEncoded
from curator.dicom.element import NUMBER_CODES, STRING_VRS, Element
from curator.dicom.encoded import EncodedSite
from curator.dicom.errors import DicomError
from curator.dicom.structure import ALL_VRS, Scan, items, level_of
from curator.dicom.tags import AnyTag, Tag, dictionary_vr, tag_for_keyword

_BINARY = {"OB": 2, "OW": 2, "UN": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}
"""Bytes of one value."""


def _by_tag(values: dict[str, str | int]) -> dict[int, str | int]:
    return {int(tag_for_keyword(keyword)): value for keyword, value in values.items()}


_BY_TAG = _by_tag(
    {
        "CompletionFlag": "PARTIAL",
        "ContinuityOfContent": "SEPARATE",
        "MIMETypeOfEncapsulatedDocument": "application/octet-stream",
        "PatientSex": "O",
        "PatientSexNeutered": "UNALTERED",
        "PregnancyStatus": 4,
        "PreliminaryFlag": "PRELIMINARY",
        "QualityControlSubject": "NO",
        "ReasonForTheAttributeModification": "CORRECT",
        "RelationshipType": "CONTAINS",
        "ResponsiblePersonRole": "OWNER",
        "SmokingStatus": "UNKNOWN",
        "TimezoneOffsetFromUTC": "+0000",
        "TypeOfPatientID": "TEXT",
        "ValueType": "TEXT",
        "VerificationFlag": "UNVERIFIED",
    }
)
"""Terms that PS3.3 defines, where the VR alone would allow what the attribute does not."""


def _item(values: dict[str, Replace | tuple[ItemValues, ...]]) -> ItemValues:
    return {tag_for_keyword(keyword): value for keyword, value in values.items()}


def _code(value: str, scheme: str, meaning: str) -> ItemValues:
    return _item(
        {
            "CodeValue": Replace(value),
            "CodingSchemeDesignator": Replace(scheme),
            "CodeMeaning": Replace(meaning),
        }
    )


_DUMMY_CODE = _code("REMOVED", "99CURATOR", REMOVED)

_TEXT_ITEM = _item(
    {
        "RelationshipType": Replace("CONTAINS"),
        "ValueType": Replace("TEXT"),
        "ConceptNameCodeSequence": (_code("121071", "DCM", "Finding"),),
        "TextValue": Replace(REMOVED),
    }
)
_ANNOTATION = _item(
    {
        "ReferencedWaveformChannels": Replace((1, 0), "US"),
        "UnformattedTextValue": Replace(REMOVED),
    }
)
_TEXT_OBJECT = _item(
    {
        "UnformattedTextValue": Replace(REMOVED),
        "AnchorPointAnnotationUnits": Replace("DISPLAY"),
        "AnchorPoint": Replace((0.0, 0.0), "FL"),
        "AnchorPointVisibility": Replace("N"),
    }
)
_GRAPHIC = _item({"GraphicLayer": Replace("REMOVED"), "TextObjectSequence": (_TEXT_OBJECT,)})
_PERSON = _item(
    {
        "PersonIdentificationCodeSequence": (_DUMMY_CODE,),
        "InstitutionName": Replace(REMOVED),
    }
)
_OBSERVER = _item(
    {
        "VerifyingOrganization": Replace(REMOVED),
        "VerificationDateTime": Replace(PLACEHOLDERS["DT"]),
        "VerifyingObserverName": Replace(PLACEHOLDERS["PN"]),
        "VerifyingObserverIdentificationCodeSequence": (),
    }
)
_FLOW = _item(
    {
        "FlowIdentifier": Replace(bytes(2), "OB"),
        "FlowTransferSyntaxUID": Replace("1.2.840.10008.1.2.7.1"),
    }
)

_ITEMS: dict[int, ItemValues] = {
    tag_for_keyword(keyword): item
    for keyword, item in {
        "ContentSequence": _TEXT_ITEM,
        "FlowIdentifierSequence": _FLOW,
        "GraphicAnnotationSequence": _GRAPHIC,
        "OperatorIdentificationSequence": _PERSON,
        "VerifyingObserverSequence": _OBSERVER,
        "WaveformAnnotationSequence": _ANNOTATION,
    }.items()
}
"""Items that are complete by PS3.3, of the sequences that Table E.1-1 wants a dummy for."""

_CODE_MEANING = tag_for_keyword("CodeMeaning")
_MAXIMUM_DEPTH = 8

MapUid = Callable[[bytes], bytes]
"""Maps a value field of VR UI."""


def dummy(element: Element, vr: str, map_uid: MapUid) -> Replace | ReplaceEncoded:
    """Return what replaces an element whose value has to go while something has to stay.

    Parameters
    ----------
    element : Element
        Of its values only the structure of a sequence is used, and UIDs, which are mapped.
    vr : str
        Its VR.
    map_uid : callable
        Maps UIDs.
    """
    if vr == "SQ":
        return Replace((_dummy_item(element, map_uid, 0),), "SQ")
    if vr == "UI":
        keep = element.tag in NAMING_A_KIND
        return ReplaceEncoded(vr, element.raw if keep else map_uid(element.raw))
    return plain_dummy(element.tag, vr, element.order)


@lru_cache(maxsize=4096)
def plain_dummy(tag: int, vr: str, order: str = "<") -> ReplaceEncoded:
    """Return the dummy of an element that is neither a sequence nor a UID."""
    term = _BY_TAG.get(tag)
    count = _least_multiplicity(tag)
    if vr in _BINARY:
        return ReplaceEncoded(vr, bytes(_BINARY[vr]))
    if vr in STRING_VRS:
        text = str(term or "")
        one = text if text and suits(vr, text) else PLACEHOLDERS[vr]
        return encoded(vr, "\\".join([one] * count))
    if vr == "AT":
        return ReplaceEncoded(vr, bytes(4 * count))
    number = term if isinstance(term, int) else 1
    return ReplaceEncoded(vr, struct.pack(f"{order}{count}{NUMBER_CODES[vr]}", *[number] * count))


def _least_multiplicity(tag: int) -> int:
    """Return how many values an element has at least by the dictionary (PS3.6): 3 of ``3-3n``."""
    if tag >> 16 & 1:
        return 1
    try:
        least = datadict.dictionary_VM(tag).split("-")[0]
    except KeyError:
        return 1
    return int(least) if least.isdecimal() else 1


def _dummy_item(element: Element, map_uid: MapUid, depth: int) -> ItemValues:
    """Return an item of the kind that a sequence has, with dummies in it."""
    if element.tag in _ITEMS:
        return _ITEMS[element.tag]
    found = _first_item(element) if depth < _MAXIMUM_DEPTH else {}
    if _CODE_MEANING in found or (not found and _holds_codes(element.tag)):
        return _DUMMY_CODE
    return {tag: _nested(inner, map_uid, depth) for tag, inner in found.items()}


def _nested(element: Element, map_uid: MapUid, depth: int) -> Replace | ReplaceEncoded:
    vr = element.vr if element.vr != "UN" else dictionary_vr(element.tag)
    if vr == "SQ":
        items = (_dummy_item(element, map_uid, depth + 1),) if element.raw else ()
        return Replace(items, "SQ")
    return dummy(element, vr, map_uid)


def _first_item(element: Element) -> dict[AnyTag, Element]:
    """Return the standard elements of the first item; none where there is no item to be read."""
    for explicit in _likely_encodings(element.raw):
        if element.order != "<":
            break
        try:
            return dict(_elements(element, explicit))
        except DicomError:
            continue
    return {}


def _elements(element: Element, explicit: bool) -> Iterator[tuple[Tag, Element]]:
    raw = element.raw
    how = Scan(len(raw), explicit, 1)
    for item in items(raw, 0, len(raw), how):
        site = EncodedSite(raw, level_of(raw, item, how), element.charset, how.depth)
        for tag in site.tags:
            if not tag >> 16 & 1 and tag & 0xFFFF:
                yield Tag(tag), site.element(tag)
        return


def _likely_encodings(raw: bytes) -> tuple[bool, bool]:
    """Return explicit VR and implicit VR, first the one that the first element looks like."""
    first = raw[12:14] in ALL_VRS
    return first, not first


def _holds_codes(tag: int) -> bool:
    return datadict.keyword_for_tag(tag).endswith("CodeSequence")
