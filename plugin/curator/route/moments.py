"""Moments as the core writes them: UTC, without separators, whole seconds."""

from datetime import UTC, datetime

#: How the core writes ``LastUpdate``, ``ReceptionDate`` and the dates of its change log.
FORMAT = "%Y%m%dT%H%M%S"

_LENGTH = len("20240131T235959")


def parse_moment(text: str) -> float | None:
    """Return the seconds since 1970 of a moment of the core, None if it is none."""
    try:
        return datetime.strptime(text[:_LENGTH], FORMAT).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def moment_text(moment: float) -> str:
    """Write seconds since 1970 as the core does."""
    return datetime.fromtimestamp(moment, UTC).strftime(FORMAT)
