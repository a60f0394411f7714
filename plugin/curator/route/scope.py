"""What is above and below a resource that a user names: rules may be for other levels."""

from curator.gateway import Gateway, Resource
from curator.level import Level

_LEVELS = tuple(Level)


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
