"""Whether and when a step that has failed is tried again; all pure."""

from dataclasses import dataclass

from curator.errors import Conflict, CoreError, CuratorError, ErrorCode
from curator.route.retry import pause
from curator.route.rule import Retry

#: Seconds before a step is tried again that another job is in the way of, at least and at most.
BUSY_FIRST = 2.0
BUSY_LONGEST = 60.0

#: HTTP status of what is not there now.
UNAVAILABLE = 503

#: Errors of the core that pass: no room, no answer, a database that is busy.
_PASSING = frozenset(
    {
        ErrorCode.NOT_ENOUGH_MEMORY,
        ErrorCode.NETWORK_PROTOCOL,
        ErrorCode.DATABASE,
        ErrorCode.CANNOT_WRITE_FILE,
        ErrorCode.TIMEOUT,
        ErrorCode.FULL_STORAGE,
        ErrorCode.DATABASE_PLUGIN,
        ErrorCode.STORAGE_AREA_PLUGIN,
        ErrorCode.DATABASE_UNAVAILABLE,
        ErrorCode.DATABASE_CANNOT_SERIALIZE,
        ErrorCode.FILE_STORAGE_CANNOT_WRITE,
        ErrorCode.MAKE_DIRECTORY,
        *(code for code in ErrorCode if ErrorCode.SQLITE_NOT_OPENED <= code < 2000),
    }
)


class Busy(Conflict):
    """Another job works on the same resources: the step is tried again until that is over."""


@dataclass(frozen=True)
class Again:
    """A step is tried again.

    Attributes
    ----------
    at : float
        Seconds since 1970.
    attempts : int
        That have failed so far.
    """

    at: float
    attempts: int


def passes(error: CuratorError) -> bool:
    """Tell whether what made a step fail may be over later.

    Not so where both sides of a conflict stand in the files, nor where a profile refuses one. What
    the core does not know any more was deleted while it was read: the next attempt finds the rest.
    """
    if isinstance(error, CoreError) and error.unknown_resource:
        return True
    if isinstance(error, Conflict):
        return not error.conflicts
    return error.error_code in _PASSING or error.status == UNAVAILABLE


def decide(
    error: CuratorError, attempts: int, waited: float, retry: Retry, now: float, chance: float
) -> Again | None:
    """Decide when a step that has failed is tried again, None where it has failed for good.

    A step that another job is in the way of has not failed: it waits as long as that takes.

    Parameters
    ----------
    attempts : int
        That have failed before this one.
    waited : float
        Seconds since the step was tried first.
    retry : Retry
        What the rule says.
    chance : float
        Between 0 and 1.
    """
    if isinstance(error, Busy):
        wait = min(max(BUSY_FIRST, waited / 2), BUSY_LONGEST)
        return Again(now + wait * (0.5 + chance / 2), attempts)
    failed = attempts + 1
    if not passes(error) or failed >= retry.attempts:
        return None
    longest = pause(failed, retry.first, retry.max_)
    return Again(now + longest * (0.5 + chance / 2), failed)


def words(error: CuratorError) -> str:
    """Return what is kept of an error for users."""
    said = [error.details]
    if isinstance(error, CoreError) and error.message not in error.details:
        said.append(f"({error.message})" if error.details else error.message)
    return " ".join(filter(None, said)) or type(error).__name__
