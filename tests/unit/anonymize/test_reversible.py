"""What was encrypted comes back byte for byte, for the recipients and nobody else."""

import pytest
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO

from curator.anonymize.errors import CannotReidentify, Refused
from curator.anonymize.reversible import (
    ENCRYPTED_ATTRIBUTES,
    check_certificate,
    encrypted_item,
    reidentified,
)
from curator.dicom import engine
from curator.dicom.edits import AppendItems, Drop, Edits, Replace
from curator.dicom.tags import PIXEL_DATA, parse_tag
from factory import Private, make_instance
from keypair import NO_RSA, SHORT, certificate, key_and_certificate, private_key

SYNTAXES = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")
IDENTIFYING = {
    "PatientName": "Müller^Jörg",
    "PatientID": "MRN7734501",
    "StudyDescription": "",
    "RequestAttributesSequence": [{"AccessionNumber": "ACX9981234", "RequestedProcedureID": "P2"}],
}
REPLACED = {
    "PatientName": Replace("PSEUDONYM"),
    "PatientID": Replace("P1"),
    "StudyDescription": Drop(),
    "SOPInstanceUID": Replace("2.25.1"),
    "RequestAttributesSequence": Drop(),
}


def original(**elements) -> bytes:
    elements = {"SpecificCharacterSet": "ISO_IR 100", **IDENTIFYING, **elements}
    private = [Private(0x0029, "CREATOR", 0x01, "LO", "private")]
    return make_instance(private=private, **elements)


def anonymized(dicom: bytes, *recipients: str, edits=REPLACED) -> bytes:
    site = engine.opened(dicom).site
    tags = [parse_tag(keyword) for keyword in edits]
    originals = {tag: site.encoded(tag) for tag in tags if tag in site.tags}
    item = encrypted_item(originals, site.encoding, [certificate(name) for name in recipients])
    marks = {
        "PatientIdentityRemoved": Replace("YES"),
        "DeidentificationMethod": Replace("by a test"),
        "LongitudinalTemporalInformationModified": Replace("REMOVED"),
        "EncryptedAttributesSequence": AppendItems((item,)),
    }
    return engine.apply(
        dicom, Edits({parse_tag(name): edit for name, edit in {**edits, **marks}.items()})
    )


def elements(dicom: bytes) -> dict[int, bytes]:
    site = engine.opened(dicom).site
    marks = map(parse_tag, ("PatientIdentityRemoved", "LongitudinalTemporalInformationModified"))
    return {tag: site.encoded(tag) for tag in set(site.tags).difference(marks)}


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("delimited", [False, True])
def test_the_original_comes_back_byte_for_byte(syntax, delimited):
    dicom = original(transfer_syntax=syntax, undefined_lengths=delimited)
    hidden = anonymized(dicom, "one")
    assert b"ACX9981234" not in hidden
    assert b"7734501" not in hidden
    restored = reidentified(hidden, key_and_certificate("one"))
    assert elements(restored) == elements(dicom)
    dataset = dcmread(DicomBytesIO(restored))
    assert dataset.PatientIdentityRemoved == "NO"
    assert dataset.LongitudinalTemporalInformationModified == "REMOVED"
    assert dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID


def test_the_envelope_is_as_the_standard_has_it():
    dataset = dcmread(DicomBytesIO(anonymized(original(), "one", "two")))
    (item,) = dataset.EncryptedAttributesSequence
    assert item.EncryptedContentTransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert len(item.EncryptedContent) % 2 == 0
    assert item.EncryptedContent[:1] == b"\x30"
    assert bytes.fromhex("06092a864886f70d010703") in item.EncryptedContent[:30]  # enveloped data
    assert bytes.fromhex("060960864801650304012a") in item.EncryptedContent  # AES-256 in CBC mode


@pytest.mark.parametrize("name", ["one", "two"])
def test_every_recipient_can_read_it(name):
    dicom = original()
    assert elements(
        reidentified(anonymized(dicom, "one", "two"), key_and_certificate(name))
    ) == elements(dicom)


def test_key_and_certificate_may_be_apart_and_the_key_have_a_password():
    hidden = anonymized(original(), "one")
    owner = certificate("one").encode()
    restored = reidentified(
        hidden, private_key("one", b"word"), password=b"word", certificate=owner
    )
    assert elements(restored) == elements(original())


def test_every_length_of_the_envelope_is_read():
    for length in range(1, 18):
        dicom = original(PatientID="1" * length)
        assert elements(
            reidentified(anonymized(dicom, "one"), key_and_certificate("one"))
        ) == elements(dicom)


def test_the_last_of_several_items_that_the_key_opens_counts():
    once = anonymized(original(), "one")
    twice = anonymized(once, "two", edits={"PatientID": Replace("P2")})
    assert dcmread(DicomBytesIO(reidentified(twice, key_and_certificate("two")))).PatientID == "P1"
    assert (
        dcmread(DicomBytesIO(reidentified(twice, key_and_certificate("one")))).PatientID
        == "MRN7734501"
    )


def test_a_file_that_was_widened_is_restored_in_utf_8():
    wide = {**REPLACED, "PatientName": Replace("山田^太郎")}
    restored = reidentified(anonymized(original(), "one", edits=wide), key_and_certificate("one"))
    dataset = dcmread(DicomBytesIO(restored))
    assert dataset.SpecificCharacterSet == "ISO_IR 192"
    assert dataset.PatientName == "Müller^Jörg"


@pytest.mark.parametrize("then", SYNTAXES[:2])
@pytest.mark.parametrize("now", SYNTAXES[:2])
def test_a_file_that_was_transcoded_is_restored(then, now):
    hidden = dcmread(DicomBytesIO(anonymized(original(transfer_syntax=then), "one")))
    hidden.file_meta.TransferSyntaxUID = now
    out = DicomBytesIO()
    hidden.save_as(out, implicit_vr=now == SYNTAXES[0], little_endian=True)
    restored = dcmread(DicomBytesIO(reidentified(out.getvalue(), key_and_certificate("one"))))
    expected = dcmread(DicomBytesIO(original(transfer_syntax=then)))
    for keyword in (*REPLACED, "Modality"):
        assert restored[keyword] == expected[keyword]
    assert restored.file_meta.TransferSyntaxUID == now


def test_a_file_whose_byte_order_was_changed_is_refused():
    big = dcmread(DicomBytesIO(anonymized(original(transfer_syntax=SYNTAXES[2]), "one")))
    little = dcmread(DicomBytesIO(anonymized(original(), "one")))
    (item,) = little.EncryptedAttributesSequence
    item.EncryptedContent = big.EncryptedAttributesSequence[0].EncryptedContent
    item.EncryptedContentTransferSyntaxUID = SYNTAXES[2]
    out = DicomBytesIO()
    little.save_as(out)
    with pytest.raises(CannotReidentify, match="byte order"):
        reidentified(out.getvalue(), key_and_certificate("one"))


def test_marks_that_were_there_before_come_back():
    dicom = original(PatientIdentityRemoved="YES", DeidentificationMethod="earlier")
    edits = {
        **REPLACED,
        "PatientIdentityRemoved": Replace("YES"),
        "DeidentificationMethod": Replace("by a test"),
    }
    restored = dcmread(
        DicomBytesIO(
            reidentified(anonymized(dicom, "one", edits=edits), key_and_certificate("one"))
        )
    )
    assert restored.PatientIdentityRemoved == "YES"
    assert restored.DeidentificationMethod == "earlier"


def damaged() -> bytes:
    hidden = anonymized(original(), "one")
    place = hidden.index(bytes.fromhex("06092a864886f70d010701"))  # the encrypted data follow it
    return hidden[: place + 60] + bytes(16) + hidden[place + 76 :]


@pytest.mark.parametrize(
    ("dicom", "key", "why"),
    [
        (original, lambda: key_and_certificate("one"), "no encrypted attributes"),
        (lambda: anonymized(original(), "one"), lambda: key_and_certificate("two"), "for this key"),
        (
            damaged,
            lambda: key_and_certificate("one"),
            "for this key|no data set|no modified|not one item",
        ),
        (original, lambda: private_key("one"), "certificate is not with it"),
        (
            original,
            lambda: private_key("one") + certificate("two").encode(),
            "another private key",
        ),
        (original, lambda: b"nonsense", "cannot be read"),
        (
            original,
            lambda: private_key("one", b"word") + key_and_certificate("one"),
            "cannot be read",
        ),
        (
            original,
            lambda: key_and_certificate(NO_RSA),
            "not one of RSA",
        ),
    ],
)
def test_what_cannot_be_opened_is_refused(dicom, key, why):
    with pytest.raises(CannotReidentify, match=why) as refusal:
        reidentified(dicom(), key())
    assert refusal.value.status == 409
    assert "PRIVATE KEY" not in refusal.value.details


def test_a_certificate_is_checked():
    check_certificate(certificate("one"))
    for pem in ("", "nonsense", "Zertifikat für alle", private_key("one").decode()):
        with pytest.raises(ValueError, match="is no certificate in PEM"):
            check_certificate(pem)
    for pem in (certificate(NO_RSA), certificate(SHORT)):
        with pytest.raises(ValueError, match="RSA key of 2048 bits"):
            check_certificate(pem)


def test_without_a_recipient_nothing_is_encrypted():
    with pytest.raises(Refused, match="nobody to encrypt for"):
        encrypted_item({}, engine.opened(original()).site.encoding, [])


def test_pixels_and_what_was_not_changed_are_not_touched():
    dicom, hidden = original(), anonymized(original(), "one")
    before, after = elements(dicom), elements(hidden)
    assert before[PIXEL_DATA] == after[PIXEL_DATA]
    changed = {tag for tag in before if before[tag] != after.get(tag)}
    assert changed == {tag for tag in map(parse_tag, REPLACED) if tag in before}
    assert ENCRYPTED_ATTRIBUTES in after
