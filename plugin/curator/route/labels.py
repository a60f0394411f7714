"""Notices labels: the change log does not tell of them."""

import threading
from collections.abc import Iterator, Sequence
from functools import partial

from sqlalchemy import Connection

from curator.gateway import Gateway
from curator.level import Level
from curator.route.arrivals import Arrivals
from curator.route.events import Event
from curator.route.keeping import Keeping
from curator.route.kinds import Trigger
from curator.route.planning import Plan
from curator.route.rule import Rule
from curator.route.state import RouteState
from curator.store import Store

#: Seconds between two looks.
INTERVAL = 5.0

#: Begin of the keys of labels that are watched, and of the resources that have them.
WATCHED = "label:"
LABELED = "labeled:"

#: Resources that are listed in one call, or taken up in one transaction.
_PAGE = 500
_TOGETHER = 20


class Labels:
    """Lets rules fire for resources that get a label.

    What has it already when the first rule begins to wait for it does not count. A resource counts
    again only after it was seen without the label.
    """

    def __init__(
        self, gateway: Gateway, arrivals: Arrivals, keeping: Keeping, store: Store
    ) -> None:
        self._gateway = gateway
        self._arrivals = arrivals
        self._keeping = keeping
        self._store = store
        self._state = RouteState(store)
        self._lock = threading.Lock()

    @property
    def watched(self) -> frozenset[str]:
        """The labels that rules wait for."""
        return frozenset(rule.label for rule in self._rules() if rule.label is not None)

    def look(self) -> None:
        """Take up what has got labels.

        Raises
        ------
        CuratorError
            If the server does not answer now. Nothing is lost, it can be called again.
        """
        for label in self.begin():
            self._look_for(label)

    def begin(self) -> list[str]:
        """Note what has the labels already that rules begin to wait for, and forget the others.

        Returns
        -------
        list of str
            The labels that rules wait for.

        Raises
        ------
        CuratorError
            If the server does not answer now.
        """
        with self._lock:
            known, watched = self._state.below(WATCHED).keys(), self.watched
            for label in known - watched:
                self._forget(label)
            for label in watched - known:
                self._begin(label, [one for one, _level in self._labeled(label)])
        return sorted(watched)

    def _look_for(self, label: str) -> None:
        levels = dict(self._labeled(label))
        seen = self._state.below(_labeled_key(label))
        missing = sorted(seen.keys() - levels.keys())
        self._drop(label, [one for one in missing if self._is_without(one, label)])
        new = [one for one in levels if one not in seen]
        for start in range(0, len(new), _TOGETHER):
            together = new[start : start + _TOGETHER]
            plan = Plan()
            for one in together:
                event = Event(Trigger.LABEL, levels[one], one, details={"Label": label})
                plan.add(self._arrivals.plan(event, self._rules(label)))
            self._keeping.keep(plan, partial(self._note, label, together))

    def _rules(self, label: str | None = None) -> list[Rule]:
        rules = self._arrivals.rules(Trigger.LABEL)
        return rules if label is None else [rule for rule in rules if rule.label == label]

    def _labeled(self, label: str) -> Iterator[tuple[str, Level]]:
        """Yield the resources that have a label; one that others make room for may be missing."""
        for level in Level:
            start = 0
            while page := self._page(label, level, start):
                yield from ((one, level) for one in page)
                start += len(page)

    def _page(self, label: str, level: Level, start: int) -> list[str]:
        body = {"Level": level, "Query": {}, "Labels": [label], "Expand": False}
        found: list[str] = self._gateway.post_json(
            "/tools/find", {**body, "Since": start, "Limit": _PAGE}
        )
        return found

    def _is_without(self, orthanc_id: str, label: str) -> bool:
        found = self._gateway.lookup([orthanc_id])
        return not found or label not in found[0].labels

    def _begin(self, label: str, resources: Sequence[str]) -> None:
        with self._store.transaction() as connection:
            self._note(label, resources, connection)
            self._state.put(WATCHED + label, True, connection)

    def _note(self, label: str, resources: Sequence[str], connection: Connection) -> None:
        for one in resources:
            self._state.put(_labeled_key(label) + one, True, connection)

    def _drop(self, label: str, resources: Sequence[str]) -> None:
        if resources:
            with self._store.transaction() as connection:
                self._state.drop([_labeled_key(label) + one for one in resources], connection)

    def _forget(self, label: str) -> None:
        self._drop(label, list(self._state.below(_labeled_key(label))))
        with self._store.transaction() as connection:
            self._state.drop([WATCHED + label], connection)


def _labeled_key(label: str) -> str:
    return f"{LABELED}{label}:"
