"""What an answer of a destination means for a delivery: wait, give up, or done already.

Messages of DCMTK and of the core are matched where they hold the only trace of what has happened;
what is kept of them are codes and words of ours, since a message may quote what was sent.
"""

import errno
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from curator.errors import ErrorCode
from curator.route.delivery import Failure
from curator.route.kinds import FailureKind

#: C-STORE: the SCP has the instance already (PS3.7 C.5.10).
DUPLICATE_SOP_INSTANCE = 0x0111

#: An HTTP server has what it was sent already.
CONFLICT = 409

#: Characters that are kept of an answer.
LONGEST_ANSWER = 300

_HTTP_TRANSIENT = frozenset({408, 421, 423, 425, 429})
#: What another attempt at the same path cannot change.
_DISK_PERMANENT = frozenset(
    {errno.EEXIST, errno.EILSEQ, errno.EINVAL, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG}
)

_DIMSE_STATUS = re.compile(r"DIMSE status 0x([0-9A-Fa-f]{4})")


def dimse_status(details: str, payload: object) -> int | None:
    """Return the status of a failed C-STORE, None where it was no answer that failed.

    Parameters
    ----------
    details : str
        ``ErrorDetails`` of the job.
    payload : object
        ``ErrorPayload`` of the job, which newer releases have.
    """
    match payload:
        case {"Content": {"DimseErrorStatus": int(status)}}:
            return status
    found = _DIMSE_STATUS.search(details)
    return int(found[1], 16) if found else None


def of_dimse(status: int) -> Failure | None:
    """Classify a status of C-STORE (PS3.4 Table B.2-1, PS3.7 Annex C); None where it is stored.

    Out of resources (A7xx) and a failure of the SCP's own (0110, 0213) pass; a data set that does
    not match or cannot be understood, a SOP class that is not supported and a refusal to this
    sender stay.
    """
    if status in (0x0000, DUPLICATE_SOP_INSTANCE) or status & 0xF000 == 0xB000:
        return None
    kind = FailureKind.PERMANENT
    if status & 0xFF00 == 0xA700 or status in (0x0110, 0x0210, 0x0213, 0xFE00):
        kind = FailureKind.TRANSIENT
    return Failure(kind, f"DIMSE status 0x{status:04X}")


def of_commitment(reason: int) -> Failure:
    """Classify a failure reason of storage commitment (PS3.3 C.14.1.1)."""
    permanent = reason in (0x0119, 0x0122)
    kind = FailureKind.PERMANENT if permanent else FailureKind.TRANSIENT
    return Failure(kind, f"storage commitment failed with reason 0x{reason:04X}")


def of_http(status: int, retry_after: str | None, now: float) -> Failure | None:
    """Classify a status of HTTP; None where it is done, or was done before.

    Parameters
    ----------
    retry_after : str or None
        The header ``Retry-After``: seconds, or a date (RFC 9110 10.2.3).
    now : float
        Seconds since 1970.
    """
    if 200 <= status < 300 or status == CONFLICT:
        return None
    transient = status >= 500 or status in _HTTP_TRANSIENT
    kind = FailureKind.TRANSIENT if transient else FailureKind.PERMANENT
    wait = _seconds(retry_after, now) if transient and retry_after else None
    return Failure(kind, f"HTTP status {status}", wait)


def of_errno(number: int | None) -> Failure:
    """Classify an error of the file system; what an administrator may repair is tried again."""
    kind = FailureKind.PERMANENT if number in _DISK_PERMANENT else FailureKind.TRANSIENT
    return Failure(kind, f"cannot write the file: {errno.errorcode.get(number or 0, 'error')}")


def of_core(code: int, message: str, details: str = "") -> Failure:
    """Classify an error of the core that holds no status of the destination.

    Parameters
    ----------
    message : str
        Its text for the code.
    details : str
        What the job says: presentation contexts and transcoding are told apart there only.
    """
    permanent = code in _CORE_PERMANENT or any(words in details for words in _NEVER_WORKS)
    kind = FailureKind.PERMANENT if permanent else FailureKind.TRANSIENT
    return Failure(kind, shortened(details or message))


def of_stow(code: int, message: str, details: str) -> Failure:
    """Classify what the DICOMweb plugin says of a STOW-RS request (PS3.18 10.5).

    It tells 400, 401, 403 and 404 apart, and what the answer of the server reports as failed.
    """
    refused = code in _HTTP_REFUSED or "Failed SOP Sequence" in details
    kind = FailureKind.PERMANENT if refused else FailureKind.TRANSIENT
    return Failure(kind, f"STOW-RS: {shortened(details or message)}")


def is_connecting(details: str) -> bool:
    """Tell whether a failed job of the core got no association.

    An abort later is none of that: it may be due to the instance that was on its way.
    """
    return "connecting to AET" in details


def is_timeout(details: str) -> bool:
    """Tell whether a failed job of the core has waited for an answer in vain."""
    return "timeout" in details.lower()


def shortened(text: str) -> str:
    """Return a message in one line of bounded length."""
    return " ".join(text.split())[:LONGEST_ANSWER]


_CORE_PERMANENT = frozenset(
    {ErrorCode.NO_SOP_CLASS_OR_INSTANCE, ErrorCode.NO_PRESENTATION_CONTEXT}
    | {ErrorCode.BAD_FILE_FORMAT, ErrorCode.CORRUPTED_FILE}
)

_HTTP_REFUSED = frozenset({ErrorCode.BAD_REQUEST, ErrorCode.UNAUTHORIZED})

_NEVER_WORKS = (
    "No valid presentation context",
    "has not accepted any TransferSyntax",
    "Cannot transcode",
)


def _seconds(retry_after: str, now: float) -> float | None:
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(0.0, (moment - datetime.fromtimestamp(now, UTC)).total_seconds())
    except (ValueError, OverflowError):  # no date, or none that there is
        return None
