"""What a job says of the instances that it has anonymized."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from curator.anonymize.decision import Action
from curator.anonymize.result import Anonymized


@dataclass(slots=True)
class Report:
    """Counts over many instances; holds no value of any element.

    Attributes
    ----------
    counts : Counter
        How often each action was applied, by action and tag.
    kept_private : set of str
        Private elements that were kept in at least one instance.
    pixel_rules, warnings : Counter
        Instances for which a pixel rule fired, or which a warning is about.
    refused : dict of str to str
        Why an instance was left out, by its Orthanc identifier.
    """

    instances: int = 0
    counts: Counter[tuple[Action, str]] = field(default_factory=Counter)
    kept_private: set[str] = field(default_factory=set)
    pixel_rules: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)
    refused: dict[str, str] = field(default_factory=dict)

    def add(self, anonymized: Anonymized) -> None:
        """Count one more instance."""
        self.instances += 1
        self.counts.update(anonymized.counts)
        self.kept_private.update(anonymized.kept_private)
        self.pixel_rules.update(set(anonymized.pixel_rules))
        self.warnings.update(set(anonymized.warnings))

    def refuse(self, instance: str, why: str) -> None:
        """Note an instance that is left out."""
        self.refused[instance] = why

    def describe(self, by_element: bool) -> dict[str, Any]:
        """Return the JSON of the report.

        Parameters
        ----------
        by_element : bool
            Whether actions are counted for each element as well.
        """
        actions: Counter[str] = Counter()
        elements: dict[str, dict[str, int]] = {}
        for (action, tag), count in sorted(self.counts.items()):
            actions[action] += count
            elements.setdefault(tag, {})[action] = count
        described: dict[str, Any] = {
            "Actions": dict(actions),
            "KeptPrivate": sorted(self.kept_private),
            "PixelRules": _counted("Rule", self.pixel_rules),
            "Refused": [{"ID": one, "Details": why} for one, why in sorted(self.refused.items())],
            "Warnings": _counted("Text", self.warnings),
        }
        if by_element:
            described["Elements"] = dict(sorted(elements.items()))
        return described


def _counted(name: str, counter: Counter[str]) -> list[dict[str, Any]]:
    return [{name: text, "InstancesCount": count} for text, count in sorted(counter.items())]
