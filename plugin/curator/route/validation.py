"""Check rules: as they are written, and against the server that they are for."""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from curator.gateway import FIRST_USER_NUMBER
from curator.models import InvalidModel, nearest, validate
from curator.route.decide import test_failures
from curator.route.rule import RuleSet
from curator.route.step import MetadataStep

#: Last components of URIs that stand where the name of a rule does.
RESERVED = frozenset({"history", "replay", "rollback", "test"})

#: Number of the last metadata that users may have.
LAST_NUMBER = 65_535

#: Labels that the core takes.
_LABEL = re.compile(r"[A-Za-z0-9_-]{1,64}")

#: Tells what is wrong with a name, None where nothing is.
FindProblem = Callable[[str], str | None]

#: Tells what is wrong with rules at reception, each with its path (``$.Receive[0].If``).
CheckReceive = Callable[[Sequence[dict[str, Any]]], Sequence[str]]


#: Tells what is wrong with the body of a split, each with its path.
SplitProblems = Callable[[dict[str, Any]], Sequence[str]]


@dataclass(frozen=True, slots=True)
class RuleReader:
    """Validates rule sets as they are written, with the test cases that they carry.

    Attributes
    ----------
    receive : callable
        Validates the rules at reception.
    """

    receive: CheckReceive = lambda _rules: ()

    def __call__(self, value: object) -> RuleSet:
        """Validate the JSON of a rule set.

        Raises
        ------
        InvalidModel
            With every problem and its JSON path.
        """
        rules = self.without_tests(value)
        failures = test_failures(rules)
        if failures:
            raise InvalidModel(failures)
        return rules

    def without_tests(self, value: object) -> RuleSet:
        """Validate the JSON of a rule set whatever its test cases say.

        Raises
        ------
        InvalidModel
            With every problem and its JSON path.
        """
        rules = validate(RuleSet, value)
        problems = [*_misnamed(rules), *self.receive(rules.receive)]
        if problems:
            raise InvalidModel(problems)
        return rules


@dataclass(frozen=True, slots=True)
class ServerNames:
    """What there is on this server, that rules name.

    Attributes
    ----------
    destination, profile : callable
        Tells what is wrong with a name.
    metadata : callable
        Returns the names of user metadata that the configuration registers.
    split : callable
        Tells what is wrong with the body of a split.
    reception : callable
        Tells why rules at reception cannot be used before the next start.
    """

    destination: FindProblem
    profile: FindProblem
    metadata: Callable[[], Collection[str]]
    split: SplitProblems = lambda _options: ()
    reception: Callable[[Sequence[dict[str, Any]]], str | None] = lambda _rules: None

    def problems(self, rules: RuleSet) -> Iterator[str]:
        """Yield what rules name that this server does not have, each with its JSON path."""
        for problem_of, mentions in (
            (self.destination, rules.destinations()),
            (self.profile, rules.profiles()),
        ):
            known = cache(problem_of)  # many rules name the same ones, and the server is asked
            for mention in mentions:
                problem = known(mention.name)
                if problem is not None:
                    yield f"{mention.path}: {problem}"
        for path, step in rules.steps():
            if step.metadata is not None:
                yield from self._metadata(f"{path}.Metadata", step.metadata)
            if step.split is not None:
                problems = self.split(step.split)
                yield from (f"{path}.Split{one.removeprefix('$')}" for one in problems)

    def _metadata(self, path: str, step: MetadataStep) -> Iterator[str]:
        known = sorted(self.metadata())
        places = [(f"{path}.Set", name) for name in step.set_]
        places += [(f"{path}.Remove[{index}]", name) for index, name in enumerate(step.remove)]
        for place, name in places:
            is_number = name.isascii() and name.isdigit() and len(name) <= len(str(LAST_NUMBER))
            if name not in known and not (
                is_number and FIRST_USER_NUMBER <= int(name) <= LAST_NUMBER
            ):
                yield (
                    f'{place}: there is no user metadata "{name}"{nearest(name, known)}; it has to'
                    f' be in the section "UserMetadata", or a number from {FIRST_USER_NUMBER} to'
                    f" {LAST_NUMBER}"
                )


def _misnamed(rules: RuleSet) -> Iterator[str]:
    """Yield names that a rule cannot have, and labels that the core does not take."""
    for index, rule in enumerate(rules.rules):
        if rule.name in RESERVED:
            yield (
                f'$.Rules[{index}].Name: no rule can be called "{rule.name}", since a URI is'
                " called so"
            )
    for place, label in _labels(rules):
        if not _LABEL.fullmatch(label):
            yield f"{place}: a label has 1 to 64 letters, digits, hyphens and underscores"


def _labels(rules: RuleSet) -> Iterator[tuple[str, str]]:
    for index, rule in enumerate(rules.rules):
        if rule.label is not None:
            yield f"$.Rules[{index}].Label", rule.label
    for path, step in rules.steps():
        if step.label is not None:
            for name, labels in (("Add", step.label.add), ("Remove", step.label.remove)):
                places = (f"{path}.Label.{name}[{index}]" for index in range(len(labels)))
                yield from zip(places, labels, strict=True)
