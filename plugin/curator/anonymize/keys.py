"""The secret that pseudonyms, UIDs and offsets are derived from."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys for HMAC-SHA-256, one for each use, derived from one master key.

    Parameters
    ----------
    identifier : str
        Names the master key, and tells nothing about it.
    """

    identifier: str
    uids: bytes = field(repr=False)
    pseudonyms: bytes = field(repr=False)
    dates: bytes = field(repr=False)
    hashes: bytes = field(repr=False)


def derived(master: bytes) -> Keys:
    """Derive the keys from a master key of at least 32 bytes."""

    def key(use: str) -> bytes:
        return hmac.digest(master, f"Curator {use}".encode("ascii"), hashlib.sha256)

    return Keys(
        identifier=key("identifier").hex()[:8],
        uids=key("UIDs"),
        pseudonyms=key("pseudonyms"),
        dates=key("dates"),
        hashes=key("hashes"),
    )
