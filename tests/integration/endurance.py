"""Clients that ask one server for everything at once, and know what has to come of it.

Each has patients of its own, so that whatever the others do must change nothing of what it sees.
What it asks for is drawn from a seed. A server that is restarted meanwhile is asked again, as a
client does that was not answered: by `OperationId` the same operation is done once.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from io import BytesIO
from typing import Any

import requests
from pydicom import dcmread

from integration.anonymizing import traces
from integration.routing import UNDER_WAY
from integration.servers import Http
from integration.shapes import (
    PATIENTS,
    PROFILE,
    UNWANTED,
    Held,
    Image,
    Model,
    Origin,
    Reshape,
    SeriesShown,
    Shape,
    expected_pixels,
    make_image,
)
from integration.waiting import FINISHED, wait_until
from invariants import identity


class Client:
    """A user of the server.

    Parameters
    ----------
    name : str
        What its patients, operations and rules are called.
    url : str
        The server.
    seed : str
        From which all is drawn.
    turn : int
        How many actions other clients of this seed have done or do: it goes on with the next ones,
        so that together they do everything.

    Attributes
    ----------
    done : int
        Actions so far.
    counts : Counter
        How often it did what.
    operations : set of str
        Identifiers of the operations and undos that were done.
    """

    def __init__(self, name: str, url: str, seed: str, turn: int) -> None:
        self.name = name
        self.http = Http(url)
        self.done = 0
        self.operations: set[str] = set()
        self._chance = random.Random(f"{seed} {name}")
        self._number = 0
        self._origins: dict[str, Origin] = {}
        self._model: Model = Counter()
        self._studies: list[Held] = []
        self._images: dict[str, Image] = {}
        actions: list[Callable[[], bool]] = [
            self._reshape,
            self._reshape,
            self._reshape,
            self._reshape,
            self._split_all,
            self._anonymize,
            self._anonymize_in_bulk,
            self._arrive_late,
            self._arrive_after_a_move,
            self._find_duplicates,
            self._query,
            self._change_profile,
            self._change_rules,
            self._be_rejected,
            self._delete,
            self._research,
        ]
        self.counts = Counter({one.__name__.strip("_"): 0 for one in actions})
        random.Random(seed).shuffle(actions)
        self._actions = deque(actions)
        self._actions.rotate(-turn)

    def work(self, actions: int) -> None:
        """Begin with new patients, and do as many things with them."""
        self._upload_household()
        while self.done < actions:
            action = self._actions[0]
            self._actions.rotate(-1)
            if action():
                self._check(action.__name__)
                self.counts[action.__name__.strip("_")] += 1
                self.done += 1
        self.http.close()

    def leave(self) -> None:
        """Delete all that is left of its patients."""
        for study in self._studies:
            self._gone(f"/studies/{study.orthanc_id}")
        self._model.clear()
        self._check("leave")
        self.http.close()

    # Instances

    def _upload_household(self) -> None:
        first, second = self._new_patient(), self._new_patient()
        for patient in (first, first, second):
            self._upload_study(patient)
        self._check("upload")

    def _new_patient(self) -> str:
        return f"{PATIENTS}.{self.name}.{self._next()}"

    def _upload_study(self, patient: str) -> str:
        """Upload a study of two series; return its name."""
        study = f"{self.name}.{self._next()}"
        series = [
            frozenset(self._store(study, patient, modality, 1 + number, range(count)))
            for number, (modality, count) in enumerate((("CT", 3), ("MR", 2)))
        ]
        self._model[Shape(patient, frozenset(series))] += 1
        return study

    def _store(
        self, study: str, patient: str, modality: str, number: int, indexes: Iterable[int]
    ) -> list[str]:
        """Upload instances of a series; return what they show."""
        shown = []
        for index in indexes:
            file = make_image(study, patient, modality, number, index)
            answer = self._request("POST", "/instances", data=file)
            assert answer.status_code == 200, answer.text
            shown.append(identity(dcmread(BytesIO(file))))
            self._origins[shown[-1]] = Origin(study, modality, 1 + index % 2)
        return shown

    # Asking

    def _request(self, method: str, path: str, **options: Any) -> requests.Response:
        """Ask until there is an answer, whatever becomes of the server meanwhile.

        Something of a user's own that is still under way is waited for: a restart finishes it.
        """

        def ask() -> requests.Response | None:
            try:
                answer = self.http.request(method, path, **options)
            except requests.RequestException:
                return None
            stopping = answer.status_code == 503
            claimed = answer.status_code == 409 and "is not done with" in answer.text
            return None if stopping or claimed else answer

        found = wait_until(f"{method} {path}", ask, lambda answer: answer is not None)
        assert found is not None
        return found

    def _json(self, path: str, **options: Any) -> Any:
        answer = self._request("GET", path, **options)
        assert answer.status_code == 200, f"GET {path}: {answer.status_code} {answer.text[:2000]}"
        return answer.json()

    def _ask(self, path: str, **body: Any) -> dict[str, Any]:
        answer = self._request("POST", f"/{path}", json=body)
        assert answer.status_code == 200, f"{path} {body}: {answer.text[:4000]}"
        return dict(answer.json())

    def _operate(self, path: str, **body: Any) -> str:
        """Do an operation and return its identifier."""
        operation = f"{self.name}-{self._next()}"
        self._ask(path, OperationId=operation, **body)
        self.operations.add(operation)
        return operation

    def _gone(self, path: str) -> None:
        assert self._request("DELETE", path).status_code in (200, 404)

    def _ended(self, job: str) -> dict[str, Any]:
        return dict(
            wait_until(
                f"job {job}",
                lambda: self._json(f"/jobs/{job}"),
                lambda found: found["State"] in FINISHED,
            )
        )

    def _next(self) -> int:
        self._number += 1
        return self._number

    # What there is

    def _read(self) -> list[Held]:
        query = {"Level": "Study", "Query": {"PatientID": f"{PATIENTS}.{self.name}.*"}}
        return [self._held(one) for one in sorted(self._found(query))]

    def _found(self, query: dict[str, Any]) -> list[str]:
        return list(self._request("POST", "/tools/find", json=query).json())

    def _held(self, study: str) -> Held:
        files, series, patients = {}, dict[str, set[str]](), set()
        for one in self._json(f"/studies/{study}/instances"):
            image = self._image(one["ID"], one["FileUuid"])
            files[one["ID"]] = image.file
            series.setdefault(one["ParentSeries"], set()).add(image.shown)
            patients.add(image.patient)
        assert sum(map(len, series.values())) == len(files), "a study shows something twice"
        (patient,) = patients
        by_shown = {frozenset(shown): one for one, shown in series.items()}
        return Held(study, Shape(patient, frozenset(by_shown)), by_shown, files)

    def _image(self, instance_id: str, file_uuid: str) -> Image:
        """Read an instance, unless its file is one that was read before."""
        if file_uuid not in self._images:
            file = self._file(instance_id)
            dataset = dcmread(BytesIO(file))
            self._images[file_uuid] = Image(file, identity(dataset), dataset.PatientID)
        return self._images[file_uuid]

    def _file(self, instance_id: str) -> bytes:
        answer = self._request("GET", f"/instances/{instance_id}/file")
        assert answer.status_code == 200, answer.text
        return answer.content

    def _check(self, when: str) -> None:
        """See that the server has what the model has, no more and no less."""
        self._studies = self._read()
        found = Counter(one.shape for one in self._studies)
        assert found == self._model, (
            f"{self.name} after {when}: lost {self._model - found}, added {found - self._model}"
        )

    def _some(self) -> Held:
        return self._chance.choice(self._studies)

    # Splits, merges, undo

    def _reshape(self) -> bool:
        drawn = self._draw()
        if drawn is None:
            return False
        ways = (self._do, self._do, self._do_and_undo, self._dry_run, self._cancel)
        self._chance.choice(ways)(drawn)
        return True

    def _draw(self) -> Reshape | None:
        kinds = [
            self._split_of_study,
            self._split_of_series,
            self._merge_of_studies,
            self._merge_of_series,
            self._merge_of_patients,
        ]
        self._chance.shuffle(kinds)
        return next((drawn for kind in kinds if (drawn := kind()) is not None), None)

    def _do(self, drawn: Reshape) -> str:
        operation = self._operate(drawn.path, **drawn.body)
        self._model = drawn.on(self._model)
        return operation

    def _do_and_undo(self, drawn: Reshape) -> None:
        before, files = self._model, self._files()
        operation = self._do(drawn)
        self._check(drawn.path)
        self._operate(f"curator/operations/{operation}/undo")
        self._model = before
        self._check(f"undo of {drawn.path}")
        assert self._files() == files, f"undo of {drawn.path}: files are others"

    def _files(self) -> dict[str, bytes]:
        return {name: file for one in self._studies for name, file in one.files.items()}

    def _dry_run(self, drawn: Reshape) -> None:
        before = self._files()
        self._ask(drawn.path, DryRun=True, **drawn.body)
        self._check(f"dry run of {drawn.path}")
        assert self._files() == before

    def _cancel(self, drawn: Reshape) -> None:
        operation = f"{self.name}-{self._next()}"
        body = {"Asynchronous": True, "OperationId": operation, **drawn.body}
        job = self._ask(drawn.path, **body)["ID"]
        self._request("POST", f"/jobs/{job}/cancel")
        if self._ended(job)["State"] == "Success":
            self.operations.add(operation)
            self._model = drawn.on(self._model)

    def _split_of_study(self) -> Reshape | None:
        study = self._some()
        if len(study.series) < 2:
            return None
        moved = self._chance.choice(sorted(study.series, key=sorted))
        copies = self._chance.random() < 0.2
        rest = frozenset(one for one in study.series if one != moved)
        stays = study.shape if copies else replace(study.shape, series=rest)
        return Reshape(
            f"studies/{study.orthanc_id}/split",
            {"Series": [study.series[moved]], "Into": "Studies", "KeepSource": copies},
            (study.shape,),
            (stays, replace(study.shape, series=frozenset([moved]))),
        )

    def _split_of_series(self, study: Held | None = None) -> Reshape | None:
        study = study or self._some()
        shown = self._chance.choice(sorted(study.series, key=sorted))
        parts: dict[int, set[str]] = {}
        for one in shown:
            parts.setdefault(self._origins[one].acquisition, set()).add(one)
        if len(parts) < 2:
            return None
        series = study.shape.series - {shown} | {frozenset(part) for part in parts.values()}
        return Reshape(
            f"series/{study.series[shown]}/split",
            {"By": ["AcquisitionNumber"]},
            (study.shape,),
            (replace(study.shape, series=series),),
        )

    def _merge_of_studies(self) -> Reshape | None:
        if len(self._studies) < 2:
            return None
        target, source = self._chance.sample(self._studies, 2)
        shown = [one for study in (target, source) for series in study.series for one in series]
        if len(set(shown)) < len(shown):
            return None  # of a copy and what it was made of, one would be dropped
        return Reshape(
            f"studies/{target.orthanc_id}/merge",
            {"Resources": [source.orthanc_id], "OnConflict": "Target"},
            (target.shape, source.shape),
            (replace(target.shape, series=target.shape.series | source.shape.series),),
        )

    def _merge_of_series(self) -> Reshape | None:
        study = self._some()
        alike: dict[tuple[str, str], list[SeriesShown]] = {}
        for shown in sorted(study.series, key=sorted):
            origins = {(self._origins[one].study, self._origins[one].modality) for one in shown}
            if len(origins) == 1:  # of one frame of reference
                alike.setdefault(origins.pop(), []).append(shown)
        several = [found for found in alike.values() if len(found) > 1]
        if not several:
            return None
        target, source = self._chance.sample(self._chance.choice(several), 2)
        series = study.shape.series - {target, source} | {target | source}
        return Reshape(
            f"series/{study.series[target]}/merge",
            {"Resources": [study.series[source]]},
            (study.shape,),
            (replace(study.shape, series=series),),
        )

    def _merge_of_patients(self) -> Reshape | None:
        patients = sorted({one.shape.patient for one in self._studies})
        if len(patients) < 2:
            return None
        target, source = self._chance.sample(patients, 2)
        moved = [one for one in self._studies if one.shape.patient == source]
        body: dict[str, Any] = {"Studies": [one.orthanc_id for one in moved]}
        if self._chance.random() < 0.5:
            uids = ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"]
            body |= {"Keep": uids, "Force": True}
        return Reshape(
            f"patients/{self._patient(target)}/merge",
            {**body, "OtherPatientIDs": True},
            tuple(one.shape for one in moved),
            tuple(replace(one.shape, patient=target) for one in moved),
        )

    def _patient(self, patient: str) -> str:
        (found,) = self._found({"Level": "Patient", "Query": {"PatientID": patient}})
        return found

    def _split_all(self) -> bool:
        """Ask for several splits at once, without waiting for any of them."""
        drawn = [self._split_of_series(study) for study in self._studies]
        asked = [one for one in drawn if one is not None]
        jobs = []
        for one in asked:
            operation = f"{self.name}-{self._next()}"
            body = {"Asynchronous": True, "OperationId": operation, **one.body}
            jobs.append(self._ask(one.path, **body)["ID"])
            self.operations.add(operation)
            self._model = one.on(self._model)
        for job in jobs:
            assert self._ended(job)["State"] == "Success"
        return bool(jobs)

    # Anonymization

    def _anonymize(self) -> bool:
        study = self._some()
        path = f"studies/{study.orthanc_id}/anonymize"
        if self._chance.random() < 0.3:
            self._ask(path, Profile="endurance", DryRun=True)
            return True
        made = self._ask(path, Profile="endurance")["ID"]
        self._check_copies(study.files.values(), [made])
        return True

    def _anonymize_in_bulk(self) -> bool:
        if len(self._studies) < 2:
            return False
        studies = self._chance.sample(self._studies, 2)
        if len({shown for one in studies for shown in one.shape.series}) < sum(
            len(one.series) for one in studies
        ):
            return False
        body = {"Resources": [one.orthanc_id for one in studies], "Profile": "endurance"}
        job = self._ask("tools/bulk-anonymize", Asynchronous=True, Map=True, **body)["ID"]
        if self._chance.random() < 0.3:
            self._request("POST", f"/jobs/{job}/cancel")
        ended = self._ended(job)
        if ended["State"] == "Failure":
            assert ended["ErrorDescription"] == "This job was canceled", ended
            return True
        made = ended["Content"]["Map"]["Studies"]
        files = [file for one in studies for file in one.files.values()]
        self._check_copies(files, [one["New"] for one in made])
        return True

    def _check_copies(self, originals: Iterable[bytes], made: list[str]) -> None:
        """See that copies tell nobody's name and show the same but for the banner; delete them."""
        copies = [
            self._file(one["ID"])
            for study in made
            for one in self._json(f"/studies/{study}/instances")
        ]
        assert [trace for copy in copies for trace in traces(copy)] == []
        wanted = Counter(expected_pixels(dcmread(BytesIO(one))) for one in originals)
        assert Counter(dcmread(BytesIO(one)).PixelData for one in copies) == wanted
        for study in made:
            self._gone(f"/studies/{study}")

    def _research(self) -> bool:
        """Let a rule send an anonymized copy of a study, and label it."""
        study = self._some()
        before = self._runs_of(study)
        body = {"Resources": [study.orthanc_id]}
        assert self._request("POST", "/curator/rules/research/run", json=body).ok
        runs = wait_until(
            f"research of {study.orthanc_id}",
            lambda: [run for one, run in self._runs_of(study).items() if one not in before],
            lambda found: bool(found) and all(one["State"] not in UNDER_WAY for one in found),
        )
        assert {one["State"] for one in runs} == {"Done"}, runs
        assert self._json(f"/studies/{study.orthanc_id}/labels") == ["in-research"]
        return True

    def _runs_of(self, study: Held) -> dict[str, dict[str, Any]]:
        query = {"rule": "research", "resource": study.orthanc_id, "limit": 1000}
        return {one["ID"]: one for one in self._json("/curator/runs", params=query)["Runs"]}

    # Arrivals and departures

    def _arrive_late(self) -> bool:
        """A study that nobody has touched gets one more instance."""
        patient = self._new_patient()
        study = self._upload_study(patient)
        (shape,) = (one for one in self._model if one.patient == patient)
        (series,) = (one for one in shape.series if self._modality(one) == "MR")
        late = self._store(study, patient, "MR", 2, [5])
        longer = shape.series - {series} | {series | frozenset(late)}
        self._model = self._model - Counter([shape]) + Counter([replace(shape, series=longer)])
        return True

    def _arrive_after_a_move(self) -> bool:
        """A series has moved to another study; what arrives for it under the old one follows."""
        patient = self._new_patient()
        study = self._upload_study(patient)
        self._check("upload")
        (held,) = (one for one in self._studies if one.shape.patient == patient)
        (ct,) = (one for one in held.series if self._modality(one) == "CT")
        (mr,) = (one for one in held.series if self._modality(one) == "MR")
        body = {"Series": [held.series[mr]], "Into": "Studies", "KeepSource": False}
        self._operate(f"studies/{held.orthanc_id}/split", **body)
        late = self._store(study, patient, "MR", 2, [5])
        followed = Shape(patient, frozenset([mr | frozenset(late)]))
        self._model = self._model - Counter([held.shape])
        self._model += Counter([Shape(patient, frozenset([ct])), followed])
        wait_until("late instance", self._shapes, lambda found: found == self._model)
        return True

    def _shapes(self) -> Model | None:
        try:
            return Counter(one.shape for one in self._read())
        except (AssertionError, ValueError):
            return None  # something moves while it is read

    def _modality(self, series: SeriesShown) -> str:
        (modality,) = {self._origins[one].modality for one in series}
        return modality

    def _be_rejected(self) -> bool:
        file = make_image(UNWANTED, self._new_patient(), "CT", 1, 0)
        assert self._request("POST", "/instances", data=file).status_code == 400
        return True

    def _delete(self) -> bool:
        if len(self._studies) < 3:
            self._upload_study(self._new_patient())
            return True
        study = self._some()
        if self._chance.random() < 0.5:
            self._gone(f"/studies/{study.orthanc_id}")
        else:
            body = {"Resources": [study.orthanc_id]}
            answer = self._request("POST", "/tools/bulk-delete", json=body)
            assert answer.status_code in (200, 404), answer.text
        self._model -= Counter([study.shape])
        return True

    # Questions and settings

    def _find_duplicates(self) -> bool:
        studies = [one.orthanc_id for one in self._studies]
        found = self._ask("tools/find-duplicates", By=["Pixels"], Resources=studies)
        shown = Counter(one for study in self._studies for series in study.series for one in series)
        copies = sorted(count for count in shown.values() if count > 1)
        assert sorted(len(one["Instances"]) for one in found["Duplicates"]) == copies
        return True

    def _query(self) -> bool:
        study = self._some().orthanc_id
        for path in (
            "/curator",
            "/curator/operations?limit=10",
            "/curator/deliveries?limit=10",
            "/curator/destinations",
            "/jobs?expand",
            "/changes?last",
            f"/studies/{study}/shared-tags",
            "/tools/metrics-prometheus",
        ):
            assert self._request("GET", path).status_code == 200, path
        found = self._ask("curator/rules/test", Resource=study)
        assert {one["Rule"] for one in found["Rules"]} >= {"archive", "research"}
        return True

    def _change_profile(self) -> bool:
        path = f"/curator/profiles/{self.name}"
        version = str(1 + self._number % 5)
        answer = self._request("PUT", path, json={**PROFILE, "Version": version})
        assert answer.status_code in (200, 409), answer.text
        assert self._json(path)["Name"] == self.name
        self._gone(path)
        return True

    def _change_rules(self) -> bool:
        path = f"/curator/rules/{self.name}"
        rule = {"When": "Manual", "Then": [{"Label": {"Add": [self.name]}}]}
        assert self._request("PUT", path, json=rule).ok
        assert self._json(path)["Name"] == self.name
        self._gone(path)
        return True
