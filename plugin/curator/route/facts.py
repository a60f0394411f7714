"""What a rule may ask about a resource."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from curator.dicom.tags import Path
from curator.level import Level


class Undecidable(Exception):
    """What a condition asks for cannot be read now: the rule does not fire, and it is said why."""


@dataclass(frozen=True)
class Source:
    """Where a resource came from, as far as the core has kept it; empty where it does not know.

    Attributes
    ----------
    origin : str
        ``DicomProtocol``, ``RestApi``, ``Plugins``, ``Lua``, ``WebDav`` or ``Unknown``.
    """

    remote_aet: str = ""
    called_aet: str = ""
    remote_ip: str = ""
    origin: str = ""


class Values(Protocol):
    """Gives the values of an element below a resource: of all its series, each once, as text.

    Main DICOM tags come from the index; others from one file of every series.
    """

    def __call__(self, path: Path) -> tuple[str, ...]:
        """Return the values, none when absent.

        Raises
        ------
        Undecidable
            If they cannot be read.
        """


class Remembered:
    """Values that are read at most once, however many rules ask for them."""

    def __init__(self, values: Values) -> None:
        self._values = values
        self._known: dict[Path, tuple[str, ...] | Undecidable] = {}

    def __call__(self, path: Path) -> tuple[str, ...]:
        """Return the values of an element; raises as reading them did."""
        known = self._known.get(path)
        if known is None:
            known = self._known[path] = self._read(path)
        if isinstance(known, Undecidable):
            raise Undecidable(*known.args)
        return known

    def _read(self, path: Path) -> tuple[str, ...] | Undecidable:
        try:
            return self._values(path)
        except Undecidable as error:
            return error


@dataclass(frozen=True)
class Facts:
    """A resource, as rules see it.

    Attributes
    ----------
    sources : sequence of Source
        One where all instances came the same way.
    labels, metadata
        Of the resource itself.
    counts : mapping
        Number of resources below, by ``Studies``, ``Series``, ``Instances``.
    now : datetime
        Local time, with its zone.
    """

    level: Level
    resource: str
    values: Values
    now: datetime
    sources: Sequence[Source] = ()
    labels: frozenset[str] = frozenset()
    metadata: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
