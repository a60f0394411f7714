"""Keep the originals in the instance, encrypted for who may read them (PS3.3 C.12.1.1.4).

Encrypted Attributes Sequence (0400,0500) holds CMS EnvelopedData (RFC 5652): AES-256 in CBC mode,
its key encrypted with RSA for each recipient's certificate. What is encrypted is a data set of one
element, Modified Attributes Sequence (0400,0550), with one item: the elements as they were, in the
transfer syntax that the instance had, under the character set that the item names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import BytesIO

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.serialization import Encoding as Form
from cryptography.hazmat.primitives.serialization import load_pem_private_key, pkcs7
from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from curator.anonymize.errors import CannotReidentify, Refused
from curator.dicom import engine
from curator.dicom.changes import framed_item
from curator.dicom.charset import DEFAULT_TERM
from curator.dicom.edits import ItemValues, Replace
from curator.dicom.encode import Encoding, encode_element
from curator.dicom.errors import DicomError
from curator.dicom.filemeta import (
    EXPLICIT_BIG_ENDIAN,
    EXPLICIT_LITTLE_ENDIAN,
    IMPLICIT_LITTLE_ENDIAN,
    TRANSFER_SYNTAX_UID,
    MetaPolicy,
    new_file_meta,
)
from curator.dicom.instance import Instance
from curator.dicom.site import Changes, Site
from curator.dicom.tags import SPECIFIC_CHARACTER_SET, tag_for_keyword
from curator.dicom.widen import widening_changes

ENCRYPTED_ATTRIBUTES = tag_for_keyword("EncryptedAttributesSequence")
MODIFIED_ATTRIBUTES = tag_for_keyword("ModifiedAttributesSequence")
ENCRYPTED_CONTENT_TRANSFER_SYNTAX_UID = tag_for_keyword("EncryptedContentTransferSyntaxUID")
ENCRYPTED_CONTENT = tag_for_keyword("EncryptedContent")
PATIENT_IDENTITY_REMOVED = tag_for_keyword("PatientIdentityRemoved")

LEAST_RSA_BITS = 2048

_MARKS = frozenset(
    map(
        tag_for_keyword,
        (
            "DeidentificationMethod",
            "DeidentificationMethodCodeSequence",
            "EncryptedAttributesSequence",
        ),
    )
)
"""What goes with the anonymization unless it was there before (PS3.15 E.1.2)."""

_SYNTAXES = {
    (True, "<"): EXPLICIT_LITTLE_ENDIAN,
    (False, "<"): IMPLICIT_LITTLE_ENDIAN,
    (True, ">"): EXPLICIT_BIG_ENDIAN,
}
_WHERE = "EncryptedAttributesSequence"


def check_certificate(pem: str) -> None:
    """See that a recipient can be encrypted for.

    Raises
    ------
    ValueError
        If it is no certificate in PEM, or not one of an RSA key of 2048 bits or more.
    """
    _certificate(pem)


def encrypted_item(
    originals: Mapping[int, bytes], encoding: Encoding, recipients: Sequence[str]
) -> ItemValues:
    """Return the item of Encrypted Attributes Sequence that holds original elements.

    Parameters
    ----------
    originals : mapping of int to bytes
        Encoded elements of the top level as they stood, headers included: all that are changed or
        go. Of a sequence in which anything changes, the whole sequence.
    encoding : Encoding
        That of the level they stood at.
    recipients : sequence of str
        Certificates in PEM of those who can read it, at least one.

    Raises
    ------
    Refused
        If there is no recipient, or no transfer syntax has this encoding.
    ValueError
        If a certificate cannot be used.
    """
    syntax = _SYNTAXES.get((encoding.explicit, encoding.order))
    if syntax is None or not recipients:
        raise Refused(_WHERE, "there is nobody to encrypt for, or no transfer syntax to do it in")
    elements = dict(originals)
    elements.setdefault(SPECIFIC_CHARACTER_SET, _charset_element(encoding))
    item = framed_item(b"".join(raw for _, raw in sorted(elements.items())), False, encoding.order)
    content = encode_element(MODIFIED_ATTRIBUTES, "SQ", item, encoding)
    builder = pkcs7.PKCS7EnvelopeBuilder().set_data(content)
    builder = builder.set_content_encryption_algorithm(AES256)
    for pem in recipients:
        builder = builder.add_recipient(_certificate(pem))
    envelope = builder.encrypt(Form.DER, [pkcs7.PKCS7Options.Binary])
    return {
        ENCRYPTED_CONTENT_TRANSFER_SYNTAX_UID: Replace(syntax, "UI"),
        ENCRYPTED_CONTENT: Replace(envelope, "OB"),
    }


def reidentified(
    dicom: bytes,
    private_key: bytes,
    *,
    password: bytes | None = None,
    certificate: bytes | None = None,
    default_charset: str = DEFAULT_TERM,
) -> bytes:
    """Return an anonymized instance with its original elements put back.

    The steps are those of PS3.15 E.1.2: Patient Identity Removed becomes NO where the original did
    not say. What the profile changed without encrypting it stays changed, and so stays Longitudinal
    Temporal Information Modified, which tells of dates.

    Parameters
    ----------
    dicom : bytes
        The anonymized instance.
    private_key : bytes
        PEM with the private key of a recipient.
    password : bytes, optional
        Of the private key.
    certificate : bytes, optional
        PEM with the recipient's certificate; by default in the same PEM as the key.
    default_charset : str, optional
        Defined term for instances without Specific Character Set.

    Raises
    ------
    CannotReidentify
        If nothing is encrypted in the instance, or not for this key, or the key cannot be used.
    DicomError
        If the instance cannot be read for certain.
    """
    recipient = _Recipient(private_key, password, certificate or private_key)
    instance = engine.opened(dicom, default_charset)
    content = _opened_content(instance.site, recipient)
    try:
        return _restored(instance, _modified(content), default_charset)
    except DicomError:
        raise CannotReidentify(_WHERE, "what was encrypted is no data set") from None


class _Recipient:
    """A private key and its certificate."""

    def __init__(self, private_key: bytes, password: bytes | None, certificates: bytes) -> None:
        try:
            key = load_pem_private_key(private_key, password)
            found = x509.load_pem_x509_certificates(certificates)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise CannotReidentify(
                "", "the private key cannot be read, or its certificate is not with it (both PEM)"
            ) from None
        if not isinstance(key, RSAPrivateKey):
            raise CannotReidentify("", "the private key is not one of RSA")
        self._key = key
        self._certificates = [one for one in found if one.public_key() == key.public_key()]
        if not self._certificates:
            raise CannotReidentify("", "the certificate belongs to another private key")

    def opened(self, envelope: bytes) -> bytes | None:
        """Return what is in an envelope, None where it is for others."""
        for certificate in self._certificates:
            try:
                return pkcs7.pkcs7_decrypt_der(envelope, certificate, self._key, [])
            except (ValueError, UnsupportedAlgorithm):
                continue
        return None


def _certificate(pem: str) -> x509.Certificate:
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode("ascii"))
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("is no certificate in PEM") from None
    if not isinstance(key, RSAPublicKey) or key.key_size < LEAST_RSA_BITS:
        raise ValueError(f"is not the certificate of an RSA key of {LEAST_RSA_BITS} bits or more")
    return certificate


def _charset_element(encoding: Encoding) -> bytes:
    raw = "\\".join(encoding.charset.terms).encode("ascii")
    return encode_element(SPECIFIC_CHARACTER_SET, "CS", raw + b" " * (len(raw) % 2), encoding)


def _opened_content(site: Site, recipient: _Recipient) -> bytes:
    """Return what is encrypted for the recipient, as a file; the last item that he can open."""
    if ENCRYPTED_ATTRIBUTES not in site.tags:
        raise CannotReidentify(_WHERE, "the instance has no encrypted attributes")
    for envelope, syntax in reversed(list(_envelopes(site))):
        content = recipient.opened(envelope)
        if content is not None:
            meta = new_file_meta().updated({TRANSFER_SYNTAX_UID: syntax}, MetaPolicy.KEEP)
            return meta.encoded() + content
    raise CannotReidentify(_WHERE, "nothing is encrypted for this key")


def _envelopes(site: Site) -> Iterator[tuple[bytes, bytes]]:
    """Yield envelope and transfer syntax of each item."""
    for item in site.items(ENCRYPTED_ATTRIBUTES):
        inner = item.enter()
        if {ENCRYPTED_CONTENT, ENCRYPTED_CONTENT_TRANSFER_SYNTAX_UID} <= set(inner.tags):
            syntax = inner.raw(ENCRYPTED_CONTENT_TRANSFER_SYNTAX_UID)
            yield _without_padding(inner.raw(ENCRYPTED_CONTENT)), syntax


def _without_padding(der: bytes) -> bytes:
    """Return a DER value without the zero that made its length even."""
    if len(der) < 2 or der[1] < 0x80:
        return der[: 2 + der[1]] if len(der) > 1 else der
    count = der[1] & 0x7F
    return der[: 2 + count + int.from_bytes(der[2 : 2 + count], "big")]


def _modified(content: bytes) -> Instance:
    """Return the item of Modified Attributes Sequence as an instance of its own."""
    outer = engine.opened(content)
    if MODIFIED_ATTRIBUTES not in outer.site.tags:
        raise CannotReidentify(_WHERE, "what was encrypted are no modified attributes")
    items = list(outer.site.items(MODIFIED_ATTRIBUTES))
    if len(items) != 1:
        raise CannotReidentify(_WHERE, "what was encrypted is not one item")
    return engine.opened(outer.meta.encoded() + items[0].enter().assembled({}))


def _restored(instance: Instance, originals: Instance, default_charset: str) -> bytes:
    if originals.site.encoding.charset == instance.site.encoding.charset:
        kept = _encoded_as(instance, originals, without=(SPECIFIC_CHARACTER_SET,))
    else:  # one of them has been widened, and then both have to be
        instance = engine.opened(_widened(instance), default_charset)
        kept = _encoded_as(instance, engine.opened(_widened(originals)), without=())
    changes: dict[int, bytes] = {tag: b"" for tag in _MARKS if tag in instance.site.tags}
    changes[PATIENT_IDENTITY_REMOVED] = encode_element(
        PATIENT_IDENTITY_REMOVED, "CS", b"NO", instance.site.encoding
    )
    return instance.changed({**changes, **kept}, MetaPolicy.KEEP)


def _widened(instance: Instance) -> bytes:
    return instance.changed(widening_changes(instance.site), MetaPolicy.KEEP)


def _encoded_as(instance: Instance, originals: Instance, without: Iterable[int]) -> Changes:
    """Return the original elements, encoded as the instance is now."""
    now, then = instance.site.encoding, originals.site.encoding
    site = originals.site
    if (now.explicit, now.order) != (then.explicit, then.order):
        site = engine.opened(_converted(originals, now)).site
    return {tag: site.encoded(tag) for tag in site.tags if tag not in without}


def _converted(originals: Instance, encoding: Encoding) -> bytes:
    """Return the elements in another transfer syntax: the instance has been transcoded since."""
    if ">" in (encoding.order, originals.site.encoding.order):
        raise CannotReidentify(_WHERE, "the originals have another byte order than the instance")
    head = new_file_meta().updated(
        {TRANSFER_SYNTAX_UID: _SYNTAXES[encoding.explicit, "<"].encode("ascii")},
        MetaPolicy.KEEP,
    )
    try:
        dataset = dcmread(BytesIO(originals.data))
        out = DicomBytesIO()
        out.is_implicit_VR = not encoding.explicit
        out.is_little_endian = True
        write_dataset(out, dataset)
    except (InvalidDicomError, ValueError, KeyError, TypeError, AttributeError):
        raise CannotReidentify(_WHERE, "the originals cannot be transcoded") from None
    return head.encoded() + out.getvalue()
