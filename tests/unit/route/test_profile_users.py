"""A profile that a run under way needs is in use, whatever has become of the rule."""

import pytest

from curator.level import Level
from curator.route.kinds import UNFINISHED_RUNS, RunState, Trigger
from curator.route.profile_users import runs_with
from curator.route.run import Run
from curator.route.runs import Runs


@pytest.mark.parametrize("state", RunState)
def test_runs_that_are_not_over_need_their_profile(store, state):
    runs = Runs(store, lambda: 0.0)
    steps = {
        "send": [{"Send": "folder:out"}],
        "mine": [{"Anonymize": {"Profile": "trial"}}, {"Send": "folder:out"}],
        "other": [{"Anonymize": {"Profile": "else"}}, {"Send": "folder:out"}],
    }
    made = [
        Run(
            name, "a", "1", Trigger.MANUAL, Level.STUDY, "study", 0, 0.0, (),
            {"Name": "a", "Then": then}, 0.0, 0.0, state=state,
        )
        for name, then in steps.items()
    ]  # fmt: skip
    with store.transaction() as connection:
        runs.add(made, connection)
    assert runs_with(runs, "trial") == (["run mine"] if state in UNFINISHED_RUNS else [])
