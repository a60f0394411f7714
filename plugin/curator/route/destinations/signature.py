"""Sign what is posted to a webhook, so that it can tell who sent it, and when.

``X-Curator-Signature: sha256=<HMAC-SHA-256 of "<timestamp>." and the body, in hexadecimal>``; the
timestamp is in ``X-Curator-Timestamp``, in seconds since 1970. A receiver compares both and refuses
what is older than some minutes.
"""

import hashlib
import hmac
from collections.abc import Iterable


def signature(secret: bytes, timestamp: int, body: Iterable[bytes]) -> str:
    """Return the value of ``X-Curator-Signature``.

    Parameters
    ----------
    body : iterable of bytes
        The body, in pieces.
    """
    digest = hmac.new(secret, f"{timestamp}.".encode(), hashlib.sha256)
    for piece in body:
        digest.update(piece)
    return f"sha256={digest.hexdigest()}"
