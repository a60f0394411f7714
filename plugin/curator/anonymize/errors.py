"""Say why an instance is not anonymized: nothing leaves rather than something that identifies.

::

    CuratorError
    └── Refused                  409   what the profile asks for cannot be done with this instance
        ├── ResidualIdentifiers        identifiers of the subject are still in the result
        ├── PixelsNotCovered           no rule covers pixels that may show identifiers
        ├── LookupMissing              a table has no pseudonym for a value
        ├── DoesNotSuit                a new value does not suit its value representation
        └── CannotReidentify           what was encrypted cannot be read

Messages carry paths, keywords, names of the profile's own parts and counts, never a value.
"""

from __future__ import annotations

from collections.abc import Sequence

from curator.errors import CuratorError, ErrorCode


class Refused(CuratorError):
    """An instance that cannot be anonymized as its profile asks.

    Parameters
    ----------
    where : str
        Path or keyword of the element, empty where it is about the whole instance.
    why : str
        What is wrong, and what would be right.
    """

    code = ErrorCode.REVISION
    http_status = 409

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"{where}: {why}" if where else why)
        self.where = where
        self.why = why


class ResidualIdentifiers(Refused):
    """Identifiers of the subject are still in the result.

    Parameters
    ----------
    paths : sequence of str
        The elements that hold them.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        super().__init__(", ".join(paths), "an identifier of the subject is left in the result")
        self.paths = tuple(paths)


class PixelsNotCovered(Refused):
    """No rule covers pixels that may show identifiers."""


class LookupMissing(Refused):
    """A table has no pseudonym for a value."""


class DoesNotSuit(Refused):
    """A new value does not suit its value representation (PS3.5 6.2)."""


class CannotReidentify(Refused):
    """What was encrypted cannot be read."""
