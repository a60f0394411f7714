"""Facts for tests of rules."""

from datetime import UTC, datetime

from curator.dicom.tags import Path, parse_path
from curator.level import Level
from curator.route.facts import Facts, Source, Undecidable

NOW = datetime(2026, 3, 2, 14, 0, tzinfo=UTC)
"""A Monday."""

_UNKNOWN = (Source(),)

UNREADABLE = "UNREADABLE"
"""Stands for the value of an element that cannot be read."""


def facts(level=Level.STUDY, *, sources=_UNKNOWN, now=NOW, counts=None, asked=None, **given):
    """Return facts: values by keyword (one or several), ``labels`` and ``metadata``.

    Parameters
    ----------
    asked : list, optional
        Gets the elements in the order in which they are asked for.
    """
    labels = frozenset(given.pop("labels", ()))
    metadata = given.pop("metadata", {})
    known = {
        parse_path(name): (value,) if isinstance(value, str) else tuple(value)
        for name, value in given.items()
    }

    def values(path: Path) -> tuple[str, ...]:
        if asked is not None:
            asked.append(str(path))
        found = known.get(path, ())
        if UNREADABLE in found:
            raise Undecidable(f"{path} cannot be read")
        return found

    return Facts(
        level=level,
        resource="6b9e19d9-62094390-5f9ddb01-4a191ae7-9766b715",
        values=values,
        now=now,
        sources=sources,
        labels=labels,
        metadata=metadata,
        counts={"Series": 3, "Instances": 40} if counts is None else counts,
    )
