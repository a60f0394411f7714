"""What a user is told of a rule that was tried on a resource (``/curator/rules/test``)."""

import json
from typing import Any

from curator.route.decide import Verdict
from curator.route.rule import Rule
from curator.route.step import WRITABLE, ModifyStep, Step


def explain(verdict: Verdict) -> dict[str, Any]:
    """Tell whether a rule fires, what stopped it, and what it does.

    Returns
    -------
    dict
        ``Rule``, ``Version``, ``Fires``, ``StoppedBy`` (JSON path in the rule), ``Reason``,
        ``Detail``, ``Steps`` (in words) and ``Destinations``.
    """
    rule = verdict.rule
    return {
        "Rule": rule.name,
        "Version": rule.version,
        "Fires": verdict.fires,
        "StoppedBy": verdict.stopped_by,
        "Reason": verdict.reason.value,
        "Detail": verdict.detail,
        "Steps": describe(rule),
        "Destinations": rule.destinations(),
    }


def describe(rule: Rule) -> list[str]:
    """Tell in words what the steps of a rule do, one line each."""
    return [_describe(step) for step in rule.then]


def _describe(step: Step) -> str:
    if step.anonymize is not None:
        return f'anonymize with the profile "{step.anonymize.profile}"'
    if step.modify is not None:
        return _modify(step.modify)
    if step.split is not None:
        return f"split by {json.dumps(step.split['By'], ensure_ascii=False)}"
    if step.merge is not None:
        return f"merge the patient's studies with the same {', '.join(step.merge.same)}"
    if step.transcode is not None:
        return f"transcode what is sent to {WRITABLE[step.transcode]}"
    if step.label is not None:
        return _both("label", "add", step.label.add, step.label.remove)
    if step.metadata is not None:
        return _both("metadata", "set", tuple(step.metadata.set_), step.metadata.remove)
    if step.send is not None:
        return f"send to {', '.join(step.send.to)}"
    return "delete what the rule fired for"


def _modify(step: ModifyStep) -> str:
    parts = [
        *([f"replace {', '.join(step.replace)}"] if step.replace else []),
        *([f"remove {', '.join(step.remove)}"] if step.remove else []),
        *(["remove private elements"] if step.remove_private_tags else []),
    ]
    return f"modify: {'; '.join(parts)}"


def _both(what: str, verb: str, added: tuple[str, ...], removed: tuple[str, ...]) -> str:
    parts = [
        *([f"{verb} {', '.join(added)}"] if added else []),
        *([f"remove {', '.join(removed)}"] if removed else []),
    ]
    return f"{what}: {'; '.join(parts)}"
