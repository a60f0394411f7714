"""Try rules on a stored resource, or on a file that need not be stored; nothing is changed."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from curator.errors import Conflict, NotFound
from curator.gateway import Gateway
from curator.level import Level
from curator.route.decide import Reason, Verdict, decide, level_of_facts
from curator.route.delivery import Item
from curator.route.explain import explain
from curator.route.facts import Facts
from curator.route.inventory import Inventory
from curator.route.kinds import Trigger
from curator.route.ledger import Ledger
from curator.route.reading import FactsReader
from curator.route.rule import Rule
from curator.route.run import Subject
from curator.route.scope import Scope

#: Steps after which others are sent than what the rule fired for.
_MAKING = frozenset({"Anonymize", "Modify", "Split", "Merge"})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a rule with some resources alike.

    Attributes
    ----------
    verdict : Verdict
        Of the first of them.
    """

    verdict: Verdict
    level: Level
    resources: list[str] = field(default_factory=list)


class Trials:
    """Tries rules.

    Parameters
    ----------
    ledger : Ledger
        Knows what was sent before.
    """

    def __init__(
        self, gateway: Gateway, reader: FactsReader, inventory: Inventory, ledger: Ledger
    ) -> None:
        self._gateway = gateway
        self._reader = reader
        self._inventory = inventory
        self._ledger = ledger

    def scope(self, orthanc_id: str) -> Scope:
        """Return a stored resource with those around it.

        Raises
        ------
        NotFound
            If there is none.
        """
        found = self._gateway.lookup([orthanc_id])
        if not found:
            raise NotFound(f"There is no patient, study, series or instance {orthanc_id}")
        return Scope(self._gateway, found[0])

    def on_stored(
        self, rules: Sequence[Rule], scope: Scope, trigger: Trigger | None
    ) -> list[dict[str, Any]]:
        """Try rules on a stored resource, and on those above and below it that they are about.

        Parameters
        ----------
        trigger : Trigger or None
            What is taken to have happened; by default what each rule waits for.

        Returns
        -------
        list of dict
            What is told of every rule, by what came out; for those that fire, how many instances
            would be sent where.
        """
        return [
            {**explain(one.verdict), **self._about(one), **self._sends(one)}
            for one in self.outcomes(rules, scope, trigger)
        ]

    def on_file(
        self, rules: Sequence[Rule], dicom: bytes, trigger: Trigger | None
    ) -> list[dict[str, Any]]:
        """Try rules on a DICOM file, as if it were all there is.

        Raises
        ------
        BadRequest
            If it cannot be read for certain.
        """
        facts = self._reader.facts_of_file(dicom)
        verdicts = [
            verdict for group in _groups(rules) for verdict in _verdicts(group, trigger, facts)
        ]
        return [explain(one) for one in sorted(verdicts, key=lambda one: -one.rule.priority)]

    def outcomes(
        self, rules: Sequence[Rule], scope: Scope, trigger: Trigger | None
    ) -> list[Outcome]:
        """Decide rules for a resource and those around it, higher priorities first."""
        facts: dict[Level | None, list[Facts]] = {}
        found: dict[tuple[str, str, str, str], Outcome] = {}
        for group in _groups(rules):
            level = level_of_facts(group[0])
            if level not in facts:
                facts[level] = self._facts(scope, level)
            for one in facts[level]:
                for verdict in _verdicts(group, trigger, one):
                    key = (verdict.rule.name, verdict.reason, verdict.stopped_by, verdict.detail)
                    outcome = found.setdefault(key, Outcome(verdict, one.level))
                    outcome.resources.append(one.resource)
        return sorted(found.values(), key=lambda one: -one.verdict.rule.priority)

    def items(self, subjects: Iterable[Subject]) -> list[Item]:
        """Return the stored instances of resources as deliveries have them."""
        instances = self._inventory.instances(subjects)
        return [
            Item(orthanc_id, self._inventory.fingerprint(one))
            for orthanc_id, one in instances.items()
        ]

    def sends(
        self, rule: Rule, items: Sequence[Item], *, again: bool = False
    ) -> list[dict[str, Any]]:
        """Tell how many instances a rule would send where.

        What is sent after a step that makes others is counted as what the rule fired for; whether
        the destination has it is known only once it is made.

        Parameters
        ----------
        again : bool
            Whether what was sent before goes again.
        """
        told: list[dict[str, Any]] = []
        made = False
        for step in rule.then:
            made = made or step.kind in _MAKING
            for name in step.send.to if step.send is not None else ():
                sent = None if made else 0
                if not made and not again:
                    sent = len(self._ledger.sent_before(rule.name, name, items))
                told.append(
                    {
                        "Destination": name,
                        "InstancesCount": len(items) - (sent or 0),
                        "SentBeforeCount": sent,
                    }
                )
        return told

    def _facts(self, scope: Scope, level: Level | None) -> list[Facts]:
        resources = scope.at(level)
        if level == Level.INSTANCE:
            found = self._reader.facts_of_instances(resources)
        else:
            read = (self._reader.facts(one.level, one.orthanc_id) for one in resources)
            found = [one for one in read if one is not None]
        if not found:
            raise Conflict(f"{scope.resource.level} {scope.resource.orthanc_id} was just deleted")
        return found

    def _about(self, outcome: Outcome) -> dict[str, Any]:
        return {"Level": outcome.level, "Resources": outcome.resources}

    def _sends(self, outcome: Outcome) -> dict[str, Any]:
        if not outcome.verdict.fires:
            return {}
        subjects = [Subject(outcome.level, one) for one in outcome.resources]
        return {"Sends": self.sends(outcome.verdict.rule, self.items(subjects))}


def _groups(rules: Sequence[Rule]) -> Iterator[list[Rule]]:
    """Yield rules that one event is for: the same trigger, and the same level."""
    found: dict[tuple[Trigger, Level | None], list[Rule]] = {}
    for rule in rules:
        found.setdefault((rule.when, level_of_facts(rule)), []).append(rule)
    yield from found.values()


def _verdicts(rules: Sequence[Rule], trigger: Trigger | None, facts: Facts) -> list[Verdict]:
    """Decide rules of the same trigger; those that only tell are for no resource."""
    if trigger is None and rules[0].only_tells:
        return [Verdict(rule, fires=False, reason=Reason.TRIGGER) for rule in rules]
    return decide(rules, trigger or rules[0].when, facts)
