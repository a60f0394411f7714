"""Who needs an anonymization profile, beside the rules in use: runs that are not over."""

from curator.route.kinds import UNFINISHED_RUNS
from curator.route.run import Run
from curator.route.runs import Runs

#: Runs that are looked at in one go.
PAGE = 1000


def runs_with(runs: Runs, profile: str) -> list[str]:
    """Return the unfinished runs whose rules, as they were, anonymize with a profile, in words."""
    found: list[str] = []
    since = 0
    while page := runs.find(states=UNFINISHED_RUNS, since=since, limit=PAGE):
        found += [f"run {run.id}" for run in page if _needs(run, profile)]
        since += len(page)
    return found


def _needs(run: Run, profile: str) -> bool:
    return any(step.get("Anonymize", {}).get("Profile") == profile for step in run.content["Then"])
