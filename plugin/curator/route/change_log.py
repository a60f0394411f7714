"""The core's change log, read by pages."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from curator.gateway import Gateway
from curator.route.events import Change, types_of
from curator.route.kinds import Trigger
from curator.route.moments import moment_text, parse_moment
from curator.route.recent import oldest_update

#: Changes that are read in one call.
PAGE = 500


@dataclass(frozen=True)
class Page:
    """Changes in their order.

    Attributes
    ----------
    last : int
        Where to go on: the last number of the page. Of an empty page, the last number that the
        log has ever given out.
    done : bool
        Whether there are no more now.
    """

    changes: tuple[Change, ...]
    last: int
    done: bool


class ChangeLog:
    """The change log of a server."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def page(self, since: int, triggers: Collection[Trigger]) -> Page:
        """Read the changes after a number, those that some triggers come from."""
        types = types_of(triggers)
        selected = types if self._gateway.has_extended_changes else frozenset[str]()
        answer = self._gateway.changes(since, PAGE, selected)
        found = tuple(change for change in _changes(answer) if change.type in types)
        return Page(found, int(answer["Last"]), bool(answer["Done"]))

    def last(self) -> int:
        """Return the last number that was given out."""
        return int(self._gateway.get_json("/changes?last")["Last"])

    def last_before(self, moment: float) -> int:
        """Return the last number that was given out before a moment, in whole seconds."""
        last, text = self.last(), moment_text(moment)
        while last > 0:
            begin = max(0, last - PAGE)
            entries = [
                one for one in _changes(self._gateway.changes(begin, PAGE)) if one.number <= last
            ]
            earlier = [one.number for one in entries if one.date < text]
            if earlier:
                later = [one.number for one in entries if one.number > earlier[-1]]
                return later[0] - 1 if later else last
            last = begin
        return last

    def oldest(self) -> Change | None:
        """Return the first entry that is still there, None where the log is empty."""
        return next(iter(_changes(self._gateway.changes(0, 1))), None)

    def at(self, number: int) -> Change | None:
        """Return an entry by its number; None if it is not there any more, or was never."""
        found = _changes(self._gateway.changes(number - 1, 1)) if number > 1 else [self.oldest()]
        return next((one for one in found if one is not None and one.number == number), None)

    def is_cut_off(self, oldest: Change | None) -> bool:
        """Tell whether anything is stored that is older than the whole log.

        What is stored has entries, so they were removed; otherwise they went with what was deleted.
        """
        stored = oldest_update(self._gateway)
        if stored is None:
            return False
        begin = None if oldest is None else parse_moment(oldest.date)
        return begin is None or stored < begin


def _changes(answer: dict[str, Any]) -> list[Change]:
    return [
        Change(
            number=int(item["Seq"]),
            type=item["ChangeType"],
            level=item["ResourceType"],
            resource=item["ID"],
            date=item["Date"],
        )
        for item in answer["Changes"]
    ]
