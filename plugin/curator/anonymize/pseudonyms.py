"""Make pseudonyms and hashes from values and a key: the same value gets the same one everywhere."""

from __future__ import annotations

import hmac

TEXT_LENGTH, NUMBER_LENGTH = 16, 10
"""Characters of a pseudonym, where the profile does not say how many: 80 bits of text.

Ten digits are for up to some thousands of patients: among 10,000, two get the same one with a
probability of half a percent.
"""

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Base 32 of Crockford: no letter that is taken for a digit, nothing but what VR CS allows."""

_BITS = 5


def text(domain: str, original: str, key: bytes, length: int = TEXT_LENGTH) -> str:
    """Return a pseudonym of letters and digits.

    Parameters
    ----------
    domain : str
        What `original` is: the same value of another domain gets another pseudonym.
    original : str
        The value.
    key : bytes
        For HMAC-SHA-256.
    length : int, optional
        Number of characters.
    """
    bits = _number(domain, original, key, _BITS * length)
    return "".join(_ALPHABET[bits >> shift & 31] for shift in range(0, _BITS * length, _BITS))


def digits(domain: str, original: str, key: bytes, length: int = NUMBER_LENGTH) -> str:
    """Return a pseudonym of decimal digits; parameters as those of :func:`text`."""
    # 4 bits for each digit and 64 more make every number equally likely.
    return f"{_number(domain, original, key, 4 * length + 64) % 10**length:0{length}d}"


def hashed(domain: str, original: str, key: bytes, length: int) -> str:
    """Return a keyed hash in hexadecimal digits, upper case; 64 of them at most."""
    return _digest(domain, original, key).hex().upper()[:length]


def _number(domain: str, original: str, key: bytes, bits: int) -> int:
    digest = _digest(domain, original, key)
    while len(digest) * 8 < bits:
        digest += hmac.digest(key, digest, "sha256")
    return int.from_bytes(digest, "big") & ((1 << bits) - 1)


def _digest(domain: str, original: str, key: bytes) -> bytes:
    message = f"{domain}\0{original}".encode("utf_8", "surrogatepass")
    return hmac.digest(key, message, "sha256")
