"""Which resources a rule is asked about, where a user names others: those above or below."""

from curator.gateway import Gateway, Resource
from curator.level import Level
from curator.route.kinds import Trigger
from curator.route.rule import Rule

_LEVELS = tuple(Level)


def level_of_facts(rule: Rule) -> Level | None:
    """Return the level of what a rule's condition is asked of; None where any will do.

    It is that of what the rule works on, but for stored instances, which are asked one by one.
    """
    return Level.INSTANCE if rule.when == Trigger.STORED_INSTANCE else rule.level


class Scope:
    """A stored resource, those above it and those below."""

    def __init__(self, gateway: Gateway, resource: Resource) -> None:
        self._gateway = gateway
        self._at: dict[Level, list[Resource]] = {resource.level: [resource]}
        self.resource = resource

    def at(self, level: Level | None) -> list[Resource]:
        """Return the resources of a level, the own one where it is None.

        Empty where all have been deleted meanwhile.
        """
        if level is None:
            return [self.resource]
        if level not in self._at:
            above = _LEVELS.index(level) < _LEVELS.index(self.resource.level)
            self._at[level] = self._above(level) if above else self._below(level)
        return self._at[level]

    def _above(self, level: Level) -> list[Resource]:
        found = [self.resource]
        while found and found[0].level != level:
            found = self._gateway.lookup([found[0].parent])
        return found

    def _below(self, level: Level) -> list[Resource]:
        own = self.resource
        return self._gateway.passing(level, own.level, own.orthanc_id)
