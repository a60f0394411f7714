"""What was encrypted comes back byte for byte, for the recipients and nobody else."""

from datetime import UTC, datetime
from functools import lru_cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
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

SYNTAXES = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")
IDENTIFYING = {
    "PatientName": "Müller^Jörg",
    "PatientID": "12345",
    "StudyDescription": "",
    "RequestAttributesSequence": [{"AccessionNumber": "A1", "RequestedProcedureID": "P2"}],
}
REPLACED = {
    "PatientName": Replace("PSEUDONYM"),
    "PatientID": Replace("P1"),
    "StudyDescription": Drop(),
    "SOPInstanceUID": Replace("2.25.1"),
    "RequestAttributesSequence": Drop(),
}


@lru_cache
def key_of(name: str, bits: int):
    return (
        ec.generate_private_key(ec.SECP256R1())
        if name == "elliptic"
        else rsa.generate_private_key(65537, bits)
    )


@lru_cache
def certificate_of(name: str, bits: int = 2048) -> str:
    key = key_of(name, bits)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder(
        subject, subject, key.public_key(), x509.random_serial_number()
    )
    builder = builder.not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
    builder = builder.not_valid_after(datetime(2040, 1, 1, tzinfo=UTC))
    certificate = builder.sign(key, hashes.SHA256())
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def private_pem(name: str, password: bytes | None = None) -> bytes:
    algorithm = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    return key_of(name, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, algorithm
    )


def both_pem(name: str) -> bytes:
    return private_pem(name) + certificate_of(name).encode()


def original(**elements) -> bytes:
    elements = {"SpecificCharacterSet": "ISO_IR 100", **IDENTIFYING, **elements}
    private = [Private(0x0029, "CREATOR", 0x01, "LO", "private")]
    return make_instance(private=private, **elements)


def anonymized(dicom: bytes, *recipients: str, edits=REPLACED) -> bytes:
    site = engine.opened(dicom).site
    tags = [parse_tag(keyword) for keyword in edits]
    originals = {tag: site.encoded(tag) for tag in tags if tag in site.tags}
    item = encrypted_item(originals, site.encoding, [certificate_of(name) for name in recipients])
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
    assert b"12345" not in hidden
    assert (
        b"A1" not in hidden[: hidden.index(b"\xe0\x7f") if b"\xe0\x7f" in hidden else None][:2000]
    )
    restored = reidentified(hidden, both_pem("one"))
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
    assert elements(reidentified(anonymized(dicom, "one", "two"), both_pem(name))) == elements(
        dicom
    )


def test_key_and_certificate_may_be_apart_and_the_key_have_a_password():
    hidden = anonymized(original(), "one")
    certificate = certificate_of("one").encode()
    restored = reidentified(
        hidden, private_pem("one", b"word"), password=b"word", certificate=certificate
    )
    assert elements(restored) == elements(original())


def test_every_length_of_the_envelope_is_read():
    for length in range(1, 18):
        dicom = original(PatientID="1" * length)
        assert elements(reidentified(anonymized(dicom, "one"), both_pem("one"))) == elements(dicom)


def test_the_last_of_several_items_that_the_key_opens_counts():
    once = anonymized(original(), "one")
    twice = anonymized(once, "two", edits={"PatientID": Replace("P2")})
    assert dcmread(DicomBytesIO(reidentified(twice, both_pem("two")))).PatientID == "P1"
    assert dcmread(DicomBytesIO(reidentified(twice, both_pem("one")))).PatientID == "12345"


def test_a_file_that_was_widened_is_restored_in_utf_8():
    wide = {**REPLACED, "PatientName": Replace("山田^太郎")}
    restored = reidentified(anonymized(original(), "one", edits=wide), both_pem("one"))
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
    restored = dcmread(DicomBytesIO(reidentified(out.getvalue(), both_pem("one"))))
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
        reidentified(out.getvalue(), both_pem("one"))


def test_marks_that_were_there_before_come_back():
    dicom = original(PatientIdentityRemoved="YES", DeidentificationMethod="earlier")
    edits = {
        **REPLACED,
        "PatientIdentityRemoved": Replace("YES"),
        "DeidentificationMethod": Replace("by a test"),
    }
    restored = dcmread(
        DicomBytesIO(reidentified(anonymized(dicom, "one", edits=edits), both_pem("one")))
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
        (original, lambda: both_pem("one"), "no encrypted attributes"),
        (lambda: anonymized(original(), "one"), lambda: both_pem("two"), "for this key"),
        (damaged, lambda: both_pem("one"), "for this key|no data set|no modified|not one item"),
        (original, lambda: private_pem("one"), "certificate is not with it"),
        (
            original,
            lambda: private_pem("one") + certificate_of("two").encode(),
            "another private key",
        ),
        (original, lambda: b"nonsense", "cannot be read"),
        (original, lambda: private_pem("one", b"word") + both_pem("one"), "cannot be read"),
        (
            original,
            lambda: private_pem("elliptic") + certificate_of("elliptic").encode(),
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
    check_certificate(certificate_of("one"))
    for pem in ("", "nonsense", "Zertifikat für alle", private_pem("one").decode()):
        with pytest.raises(ValueError, match="is no certificate in PEM"):
            check_certificate(pem)
    for pem in (certificate_of("elliptic"), certificate_of("short", 1024)):
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
