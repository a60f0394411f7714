"""Random operations on random patients: whatever is done, the model holds, and undo undoes it.

``HYPOTHESIS_PROFILE=thorough`` tries many more than the few examples of every day.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, Phase, event, given, note, settings
from hypothesis import strategies as st

from integration.model import check_everything, upload_all
from integration.operating import (
    Everything,
    ask,
    assert_as_before,
    everything,
    hang_on_everything,
    undo,
)
from integration.servers import RunningServer
from invariants import Check, identity
from patients import RandomPatient, two_patients

EXAMPLES = settings().max_examples // 8
"""Of each release; an example is a thousand requests."""

MOST_OPERATIONS = 3

OF_STUDIES_AND_SERIES = ("SeriesInstanceUID", "SOPInstanceUID")
OF_PATIENTS = ("StudyInstanceUID", *OF_STUDIES_AND_SERIES)


@dataclass(frozen=True)
class Step:
    """An operation that was drawn."""

    path: str
    body: dict[str, Any]

    @property
    def made(self) -> bool:
        """Whether sources go, so that as much is there as before."""
        return not self.body.get("KeepSource", False)


class Draws:
    """Draws operations on what a server holds.

    Identifiers of what an operation has made are others in each run. So resources are drawn from
    lists in an order that does not depend on them: by what their instances show.
    """

    def __init__(self, data: st.DataObject, server: RunningServer, now: Everything) -> None:
        self._data = data
        self._server = server
        self._resources = now.content.resources
        datasets = now.content.datasets
        self._shown = {one: identity(dataset) for one, dataset in datasets.items()}
        self._classes = {one: str(dataset.SOPClassUID) for one, dataset in datasets.items()}

    def step(self) -> Step:
        """Draw one operation; it may be one that is refused."""
        kinds = [self._split_of_study, self._split_of_series, self._split_of_patient]
        if len(self._all("Study")) > 1:
            kinds += [self._merge_of_studies, self._merge_of_studies]
        if self._all("Patient")[1:]:
            kinds.append(self._merge_of_patients)
        if self._studies_with_like_series():
            kinds.append(self._merge_of_series)
        return self._data.draw(st.sampled_from(kinds))()

    def _split_of_study(self) -> Step:
        study = self._one(self._all("Study"))
        body: dict[str, Any] = {"Into": self._one(["Studies", "Series"])}
        if self._bool():
            body["Series"] = self._some(self._children(study))
        else:
            body["By"] = [self._one(["Modality", "InstanceNumber", "SeriesNumber", "SOPClassUID"])]
        return Step(f"studies/{study}/split", body | self._options(OF_STUDIES_AND_SERIES))

    def _split_of_series(self) -> Step:
        series = self._one(self._all("Series"))
        body = {
            "By": [self._one(["InstanceNumber", {"Tag": "InstanceNumber", "Tolerance": 1.5}])],
            "Into": self._one(["Studies", "Series"]),
        }
        return Step(f"series/{series}/split", body | self._options(OF_STUDIES_AND_SERIES))

    def _split_of_patient(self) -> Step:
        patient = self._one(self._all("Patient"))
        return Step(f"patients/{patient}/split", self._options(OF_PATIENTS))

    def _merge_of_studies(self) -> Step:
        studies = self._all("Study")
        target = self._one(studies)
        sources = [one for one in studies if one != target]
        named = self._some([*sources, *(one for study in sources for one in self._children(study))])
        body = {"Resources": named, **self._on_conflict()}
        if self._bool():
            body["PatientStudy"] = self._one(["Keep", "Target", "Clear"])
        return Step(f"studies/{target}/merge", body | self._options(OF_STUDIES_AND_SERIES))

    def _merge_of_series(self) -> Step:
        target, *others = self._one(self._studies_with_like_series())
        body = {"Resources": self._some(others), "Duplicates": self._one(["Refuse", "KeepFirst"])}
        return Step(f"series/{target}/merge", body | self._options(("SOPInstanceUID",)))

    def _merge_of_patients(self) -> Step:
        patients = self._all("Patient")
        target = self._one(patients)
        others = [one for one in patients if one != target]
        body = self._on_conflict()
        if self._bool():
            body["Resources"] = self._some(others)
        else:
            body["Studies"] = self._some([one for other in others for one in self._children(other)])
        if self._bool():
            body["OtherPatientIDs"] = True
        return Step(f"patients/{target}/merge", body | self._options(OF_PATIENTS))

    def _options(self, keepable: Sequence[str]) -> dict[str, Any]:
        options: dict[str, Any] = {"Follow": False}  # what is made anew for the next example stays
        match self._one(["move", "move", "copy", "keep"]):
            case "copy":
                options["KeepSource"] = True
            case "keep":
                options |= {"Keep": self._some(keepable), "Force": True}
        if not self._data.draw(st.integers(0, 3)):
            options["OriginalAttributes"] = False
        return options

    def _on_conflict(self) -> dict[str, Any]:
        return {"OnConflict": self._one(["Refuse", "Target", "Target"])}

    def _studies_with_like_series(self) -> list[list[str]]:
        """Return groups of series of one study whose instances are of one class."""
        groups: list[list[str]] = []
        for study in self._all("Study"):
            by_class: dict[str, list[str]] = {}
            for series in self._children(study):
                (found, *_) = sorted({self._classes[one] for one in self._children(series)})
                by_class.setdefault(found, []).append(series)
            groups += [one for _, one in sorted(by_class.items()) if len(one) > 1]
        return groups

    def _all(self, level: str) -> list[str]:
        found = [one for one, stored in self._resources.items() if stored.level == level]
        return sorted(found, key=self._order)

    def _children(self, parent: str) -> list[str]:
        found = [one for one, stored in self._resources.items() if stored.parent == parent]
        return sorted(found, key=self._order)

    def _order(self, resource: str) -> list[str]:
        """Return what the instances of a resource show; copies come in any order."""
        if resource in self._shown:
            return [self._shown[resource]]
        below = [one for one, stored in self._resources.items() if stored.parent == resource]
        return sorted(shown for one in below for shown in self._order(one))

    def _one(self, choices: Sequence[Any]) -> Any:
        return choices[self._data.draw(st.integers(0, len(choices) - 1))]

    def _some(self, choices: Sequence[str]) -> list[str]:
        indexes = st.lists(
            st.integers(0, len(choices) - 1), min_size=1, max_size=len(choices), unique=True
        )
        return [choices[one] for one in self._data.draw(indexes)]

    def _bool(self) -> bool:
        return bool(self._data.draw(st.booleans()))


@settings(
    max_examples=EXAMPLES,
    phases=set(Phase) - {Phase.explain},  # which would take minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(two_patients(), st.data())
def test_operations_keep_the_model_and_undo_takes_them_back(
    server: RunningServer, both: tuple[RandomPatient, RandomPatient], data: st.DataObject
) -> None:
    server.clear()
    for patient in both:
        upload_all(server, patient.files)
    hang_on_everything(server)
    states = [everything(server)]
    done: list[str] = []
    for _ in range(data.draw(st.integers(1, MOST_OPERATIONS))):
        before = states[-1]
        step = Draws(data, server, before).step()
        answer = ask(server, step.path, **step.body)
        note(f"{step}: {answer.status_code} {answer.text if not answer.ok else ''}")
        event(f"{step.path.split('/')[0]} {step.path.rsplit('/')[-1]} {answer.status_code}")
        if not answer.ok:
            assert answer.status_code in (400, 409), answer.text
            assert answer.json()["Details"]
            assert_as_before(server, before, "after a refused operation")
            continue
        result = answer.json()
        if not _changes(result):
            assert_as_before(server, before, "after an operation with nothing to do")
            continue
        done.append(result["Operation"])
        check_everything(
            server,
            before.content if step.made else None,
            ignoring=_ignored(result),
            patient_study=step.body.get("PatientStudy") != "Keep",
        )
        states.append(everything(server))
    while done:
        undo(server, done.pop())
        states.pop()
        assert_as_before(server, states[-1], f"after the undo of step {len(states)}")


def _changes(result: dict[str, Any]) -> bool:
    moved, overwritten = result["InstancesCount"], result["OverwrittenInstancesCount"]
    return bool(moved or overwritten or result.get("DroppedInstances"))


def _ignored(result: dict[str, Any]) -> tuple[Check, ...]:
    """Return what an operation changes on purpose: duplicates go."""
    if not result.get("DroppedInstances"):
        return ()
    return (Check.TOTALS, Check.PIXELS, Check.RESOLVED)
