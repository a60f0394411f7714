"""The rules that are in use: those of the configuration and the directory, and one set by REST.

A name belongs to the configuration and the directory first, as with profiles: what an administrator
has written is never hidden by what someone has put by REST. A set by REST is replaced whole and
validated first, together with all the others; where it is refused, the one before stays in use.
"""

import logging
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from curator.definition_files import Source
from curator.errors import BadRequest, Conflict, NotFound
from curator.models import MOST_PROBLEMS, InvalidModel, nearest
from curator.route.definitions import Defined, Definition, relocated
from curator.route.rule import RuleSet
from curator.route.rule_store import NO_SET, RuleStore, StoredSet
from curator.route.validation import RuleReader, ServerNames

logger = logging.getLogger(__name__)

Content = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _State:
    """What is in use at a time.

    Attributes
    ----------
    definitions : tuple of Definition
        One for each rule, in their order.
    problems : tuple of str
        Why the set by REST is not in use.
    is_closed : bool
        Whether nothing may come in, since its rules at reception cannot be used.
    """

    stored: StoredSet
    rules: RuleSet
    definitions: tuple[Definition, ...]
    problems: tuple[str, ...] = ()
    is_closed: bool = False


class LiveRules:
    """Rules that are in use.

    Parameters
    ----------
    defined : Defined
        What the configuration and the directory have.
    sets : RuleStore
        What was put by REST.
    reader : RuleReader
        Validates sets as they are written.
    surroundings : ServerNames
        What they are checked against as well.
    """

    def __init__(
        self, defined: Defined, sets: RuleStore, reader: RuleReader, surroundings: ServerNames
    ) -> None:
        self._defined = defined
        self._sets = sets
        self._reader = reader
        self._surroundings = surroundings
        self._listeners: list[Callable[[], None]] = []
        self._lock = threading.Lock()
        self._state = self._loaded(sets.current())

    # Look

    def current(self) -> RuleSet:
        """Return the rules, those at reception too."""
        return self._state.rules

    @property
    def is_closed(self) -> bool:
        """Whether nothing may come in, since there are rules at reception that cannot be used."""
        return self._state.is_closed

    @property
    def number(self) -> int:
        """Number of the set by REST; 0 where none was put yet."""
        return self._state.stored.number

    def problems(self) -> list[str]:
        """Return what is wrong now: a set that cannot be used, names that are not there any more.

        A rule that names what is not there stays in use: what it sends waits in the ledger.
        """
        state = self._state
        roots = [f'The rule "{one.rule.name}": $' for one in state.definitions]
        missing = self._surroundings.problems(state.rules)
        return [*state.problems, *(relocated(one, {"Rules": roots}) for one in missing)]

    def definitions(self) -> tuple[Definition, ...]:
        """Return every rule with where it comes from, in the order of the set."""
        return self._state.definitions

    def definition(self, name: str) -> Definition:
        """Return a rule.

        Raises
        ------
        NotFound
            If there is none; the nearest name is told.
        """
        for one in self._state.definitions:
            if one.rule.name == name:
                return one
        raise self._unknown(name)

    def users(self, profile: str) -> list[str]:
        """Return the rules that anonymize with a profile, in words."""
        return [
            f'rule "{rule.name}"'
            for rule in self._state.rules.rules
            if any(one.name == profile for one in RuleSet(rules=(rule,)).profiles())
        ]

    def parse(self, value: object) -> RuleSet:
        """Validate a list of rules that stands in a request, but for the test cases in it.

        Raises
        ------
        BadRequest
            With every problem; their paths begin with ``$.Rules``.
        """
        try:
            return self._reader.without_tests({"Rules": value})
        except InvalidModel as error:
            raise BadRequest(str(error)) from None

    # Change

    def on_change(self, listener: Callable[[], None]) -> None:
        """Let someone know whenever other rules are in use."""
        self._listeners.append(listener)

    def replace(self, content: Content, user: str) -> int:
        """Use another set by REST, and return its number.

        Raises
        ------
        BadRequest
            With every problem. The set before stays in use.
        Conflict
            If someone else puts one at the same moment, or it needs another start of Orthanc.
        """
        with self._lock:
            number = self._use(content, user, self._sets.current(), checked=None)
        self._tell()
        return number

    def put(self, name: str, content: Content, user: str) -> int:
        """Use one rule, new or in place of the one of its name in the set by REST.

        Raises
        ------
        BadRequest
            With every problem, also if the content has another name.
        Conflict
            As in `replace`, or if the rule is defined in the configuration.
        """
        self._refuse_defined(name, "change it there")
        named = {"Name": name, **content}
        if named["Name"] != name:
            raise BadRequest(f'$.Name: is not "{name}", as the URI says')
        return self._put(named, user, checked={name})

    def delete(self, name: str, user: str) -> int:
        """Take a rule out of the set by REST.

        Raises
        ------
        NotFound, Conflict
            As in `definition` and `put`.
        """
        self._refuse_defined(name, "remove it there")
        with self._lock:
            stored = self._visible(self._sets.current())
            rules = [rule for rule in stored.rules if rule["Name"] != name]
            if len(rules) == len(stored.rules):
                raise self._unknown(name)
            number = self._use(_with_rules(stored, rules).content, user, stored, checked=())
        self._tell()
        return number

    def enable(self, name: str, user: str, *, enabled: bool) -> int:
        """Enable or disable a rule of the set by REST.

        Raises
        ------
        NotFound, Conflict
            As in `definition` and `put`.
        """
        self._refuse_defined(name, "change it there, or pause it")
        content = {**self.definition(name).content, "Enabled": enabled}
        return self._put(content, user, checked={name} if enabled else ())

    def rollback(self, number: int, user: str) -> int:
        """Use an earlier set again, under a new number.

        Raises
        ------
        NotFound
            If there is none.
        BadRequest, Conflict
            As in `replace`.
        """
        return self.replace(self.stored(number).content, user)

    def stored(self, number: int) -> StoredSet:
        """Return a set by REST by its number.

        Raises
        ------
        NotFound
            If there is none.
        """
        found = self._sets.get(number)
        if found is None:
            raise NotFound(f"There is no rule set {number}")
        return found

    def history(self, since: int, limit: int | None) -> list[StoredSet]:
        """Return the sets by REST, the latest first."""
        return self._sets.history(since, limit)

    def _put(self, content: Content, user: str, checked: Collection[str]) -> int:
        """Use a rule in the place of the one of its name, or after all others."""
        with self._lock:
            stored = self._visible(self._sets.current())
            rules = stored.rules
            names = [rule["Name"] for rule in rules]
            place = names.index(content["Name"]) if content["Name"] in names else len(rules)
            rules[place : place + 1] = [content]
            number = self._use(_with_rules(stored, rules).content, user, stored, checked)
        self._tell()
        return number

    def _visible(self, stored: StoredSet) -> StoredSet:
        """Return a set without the rules that the configuration has as well."""
        rules = [rule for rule in stored.rules if rule["Name"] not in self._defined.rules]
        known = {one["Name"] for one in self._defined.receive}
        receive = [rule for rule in stored.receive if rule["Name"] not in known]
        return replace(stored, content={**stored.content, "Rules": rules, "Receive": receive})

    def _unknown(self, name: str) -> NotFound:
        known = [one.rule.name for one in self._state.definitions]
        return NotFound(f'Unknown rule "{name}"{nearest(name, known)}')

    def _refuse_defined(self, name: str, what_to_do: str) -> None:
        found = self._defined.rules.get(name)
        if found is not None:
            raise Conflict(f'The rule "{name}" is defined in {found.place}: {what_to_do}')

    def _use(
        self, content: Content, user: str, before: StoredSet, checked: Collection[str] | None
    ) -> int:
        """Validate a set and use it.

        Parameters
        ----------
        before : StoredSet
            What it takes the place of.
        checked : collection of str or None
            The rules that are checked against the server as well; all where None.
        """
        state = self._checked(StoredSet(before.number + 1, content, user, ""), checked)
        problem = self._surroundings.reception(state.rules.receive)
        if problem is not None:
            raise Conflict(f"$.Receive: {problem}")
        stored = self._sets.put(content, user, after=before.number)
        self._state = _State(stored, state.rules, state.definitions)
        return stored.number

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()

    def _checked(self, stored: StoredSet, checked: Collection[str] | None) -> _State:
        """Validate a set together with what the configuration has, and against the server.

        Raises
        ------
        BadRequest
            With every problem.
        """
        problems = _misshapen(stored.content)
        if problems:
            raise BadRequest("; ".join(problems))
        taken = self._taken(stored)
        try:
            state = self._combined(stored)
        except InvalidModel as error:
            others = [one for one in error.problems if one.partition(": ")[0] not in taken]
            raise BadRequest("; ".join([*taken.values(), *others])) from None
        added = enumerate(state.rules.rules[len(self._defined.rules) :])
        chosen = [(index, rule) for index, rule in added if checked is None or rule.name in checked]
        roots = [f"$.Rules[{index}]" for index, _ in chosen]
        missing = self._surroundings.problems(RuleSet(rules=tuple(rule for _, rule in chosen)))
        told = islice(missing, MOST_PROBLEMS)
        found = [relocated(one, {"Rules": roots}) for one in told]
        if found:
            raise BadRequest("; ".join(found))
        return state

    def _taken(self, stored: StoredSet) -> dict[str, str]:
        """Return what is to be said of names that the configuration has, by their paths."""
        found: dict[str, str] = {}
        for index, rule in enumerate(stored.content.get("Rules", ())):
            name = rule.get("Name") if isinstance(rule, dict) else None
            if isinstance(name, str) and name in self._defined.rules:
                path, place = f"$.Rules[{index}].Name", self._defined.rules[name].place
                found[path] = f'{path}: the rule "{name}" is defined in {place} already'
        return found

    def _combined(self, stored: StoredSet) -> _State:
        """Validate a set together with what the configuration has.

        Raises
        ------
        InvalidModel
            With paths in the set.
        """
        defined = self._defined
        content = {
            "Rules": [*(one.content for one in defined.rules.values()), *stored.rules],
            "Receive": [*defined.receive, *stored.receive],
        }
        try:
            rules = self._reader(content)
        except InvalidModel as error:
            roots = {
                kind: [f"$.Curator.{kind}[{index}]" for index in range(first)]
                + [f"$.{kind}[{index}]" for index in range(len(content[kind]) - first)]
                for kind, first in (
                    ("Rules", len(defined.rules)),
                    ("Receive", len(defined.receive)),
                )
            }
            problems = [relocated(problem, roots) for problem in error.problems]
            raise InvalidModel(problems) from None
        added = zip(rules.rules[len(defined.rules) :], stored.rules, strict=True)
        definitions = [Definition(rule, content, Source.DATABASE) for rule, content in added]
        return _State(stored, rules, (*defined.rules.values(), *definitions))

    def _loaded(self, stored: StoredSet) -> _State:
        """Take up the set of the last start, without those rules that the configuration has now.

        One that this Curator does not accept is not used, but for its rules at reception where
        they are valid by themselves. Where they are not, nothing comes in: what they are there to
        keep out or to change would be stored as it is.
        """
        visible = self._visible(stored)
        for name in sorted(_names(stored) - _names(visible)):
            found = self._defined.rules.get(name)
            place = "the configuration, at reception" if found is None else found.place
            logger.warning(
                "The rule %s of the database is not used: it is defined in %s", name, place
            )
        try:
            return self._combined(visible)
        except InvalidModel as error:
            problems = [
                f"Rule set {stored.number} of the database is not valid any more, none of its rules"
                f" is used: {problem}"
                for problem in error.problems
            ]
        is_closed = False
        try:
            state = self._combined(_with_rules(visible, []))
        except InvalidModel:
            is_closed = True
            problems.append(
                "Nothing that comes in is stored, since the rules at reception are not valid: put"
                " another rule set, or go back to an earlier one"
            )
            state = self._combined(NO_SET)
        for problem in problems:
            logger.error("%s", problem)
        return _State(stored, state.rules, state.definitions, tuple(problems), is_closed)


def _with_rules(stored: StoredSet, rules: Sequence[Content]) -> StoredSet:
    return replace(stored, content={**stored.content, "Rules": list(rules)})


def _names(stored: StoredSet) -> set[str]:
    return {str(rule["Name"]) for rule in (*stored.rules, *stored.receive)}


def _misshapen(content: Content) -> list[str]:
    """Return what keeps a set from being taken apart."""
    return [
        *(
            f"$.{name}: unknown field{nearest(name, list(RuleSet.field_names()))}"
            for name in content
            if name not in RuleSet.field_names()
        ),
        *(
            f"$.{name}: must be a list"
            for name in RuleSet.field_names()
            if not isinstance(content.get(name, []), list)
        ),
    ]
