"""Recipients of encrypted attributes: private keys, and the certificates of their owners."""

from datetime import UTC, datetime
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

NO_RSA = "elliptic"
"""Somebody whose key is on an elliptic curve."""

SHORT = "short"
"""Somebody whose RSA key has 1024 bits; all others have 2048."""


def private_key(name: str = "recipient", password: bytes | None = None) -> bytes:
    """Return the private key of somebody, in PEM, the same as long as the tests run."""
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password is not None:
        encryption = serialization.BestAvailableEncryption(password)
    return _key(name).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )


def certificate(name: str = "recipient") -> str:
    """Return the certificate of somebody, in PEM, signed by himself; the same every time."""
    return _certificate(name)


def key_and_certificate(name: str = "recipient") -> bytes:
    """Return both of somebody, as the file of an administrator has them."""
    return private_key(name) + certificate(name).encode("ascii")


@cache
def _key(name: str) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
    if name == NO_RSA:
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(65537, 1024 if name == SHORT else 2048)


@cache
def _certificate(name: str) -> str:
    key = _key(name)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder(
        subject, subject, key.public_key(), x509.random_serial_number()
    )
    builder = builder.not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
    builder = builder.not_valid_after(datetime(2040, 1, 1, tzinfo=UTC))
    signed = builder.sign(key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM).decode("ascii")
