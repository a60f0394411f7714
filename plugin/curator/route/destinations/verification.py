"""Ask a destination again whether it has what it was sent, where a rule wants that.

Nothing is confirmed to the ledger before: storage commitment (PS3.4 Annex J), or a search for the
instances of the series (C-FIND, QIDO-RS).
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from curator.errors import CoreError
from curator.gateway import Gateway
from curator.route.delivery import Failure, SendOptions
from curator.route.destinations.classify import of_commitment, of_core
from curator.route.destinations.core_jobs import Wait
from curator.route.kinds import FailureKind

#: Seconds that a modality may take to report on a storage commitment.
COMMITMENT_SECONDS = 600.0

#: Seconds between two questions; they grow from the one to the other.
FIRST_PAUSE = 0.05
LONGEST_PAUSE = 2.0


@dataclass(frozen=True)
class Place:
    """The UIDs by which a destination knows an instance."""

    study: str
    series: str
    instance: str


@dataclass(frozen=True)
class Checked:
    """What a check has found; an instance that is in neither was not checked to the end."""

    there: list[str] = field(default_factory=list)
    failures: dict[str, Failure] = field(default_factory=dict)


#: Returns the SOP Instance UIDs that a destination has of a series.
Search = Callable[[str, str], Iterable[str]]


class Verifier:
    """Checks deliveries.

    Parameters
    ----------
    gateway : Gateway
    wait : callable
        Waits for an event, some seconds at most.
    """

    def __init__(self, gateway: Gateway, wait: Wait = threading.Event.wait) -> None:
        self._gateway = gateway
        self._wait = wait

    def modality(
        self,
        modality_uri: str,
        instances: Sequence[str],
        options: SendOptions,
        timeout: int,
        stopping: Callable[[], bool],
    ) -> Checked:
        """Check what was sent to a modality, in the ways that are wanted."""
        checked = Checked(list(instances))
        if options.storage_commitment:
            checked = self._commitment(modality_uri, checked.there, timeout, stopping)
        if options.check_count and checked.there:
            search = _c_find(self._gateway, modality_uri, timeout)
            found = self.search(search, "C-FIND", checked.there, timeout, stopping)
            checked = Checked(found.there, {**checked.failures, **found.failures})
        return checked

    def search(
        self,
        search: Search,
        name: str,
        instances: Sequence[str],
        timeout: float,
        stopping: Callable[[], bool],
    ) -> Checked:
        """Look for instances until all are found; an archive may need a while to index them."""
        wanted = self.places(instances)
        there: list[str] = []
        failure = Failure(FailureKind.TRANSIENT, f"not found by {name} after it was sent")
        for _ in self._looks(timeout, stopping):
            try:
                found = _found(search, wanted)
            except CoreError as error:
                failure = of_core(error.core_code, f"{name}: {error.message}")
                break
            there += found
            wanted = {one: place for one, place in wanted.items() if one not in found}
            if not wanted:
                break
        return Checked(there, {} if stopping() else dict.fromkeys(wanted, failure))

    def places(self, instances: Sequence[str]) -> dict[str, Place]:
        """Return the UIDs of instances; what was deleted meanwhile is left out."""
        found = self._gateway.lookup(instances)
        series = {one.orthanc_id: one for one in self._gateway.lookup(one.parent for one in found)}
        studies = self._gateway.lookup(one.parent for one in series.values())
        study_uids = {study.orthanc_id: study.tags["StudyInstanceUID"] for study in studies}
        return {
            one.orthanc_id: Place(
                study_uids[parent.parent],
                parent.tags["SeriesInstanceUID"],
                one.tags["SOPInstanceUID"],
            )
            for one in found
            if (parent := series.get(one.parent)) is not None and parent.parent in study_uids
        }

    def _commitment(
        self,
        modality_uri: str,
        instances: Sequence[str],
        timeout: int,
        stopping: Callable[[], bool],
    ) -> Checked:
        uids = {place.instance: one for one, place in self.places(instances).items()}
        body = {"Resources": list(uids.values()), "Timeout": timeout}
        report: dict[str, list[dict[str, object]]] = {}
        failure = Failure(FailureKind.TRANSIENT, "no report on the storage commitment")
        try:
            path = self._gateway.post_json(f"{modality_uri}/storage-commitment", body)["Path"]
            for _ in self._looks(COMMITMENT_SECONDS, stopping):
                answer = self._gateway.get_json(path)
                if answer["Status"] != "Pending":
                    report = answer
                    break
        except CoreError as error:
            failure = Failure(FailureKind.TRANSIENT, f"storage commitment: {error.message}")
        if stopping() and not report:
            return Checked()
        there = [uids[uid] for uid in _uids(report.get("Success", ())) if uid in uids]
        refused = {
            uids[str(item["SOPInstanceUID"])]: of_commitment(int(str(item["FailureReason"])))
            for item in report.get("Failures", ())
            if item["SOPInstanceUID"] in uids
        }
        silent = {one: failure for one in uids.values() if one not in {*there, *refused}}
        return Checked(there, {**silent, **refused})

    def _looks(self, seconds: float, stopping: Callable[[], bool]) -> Iterator[None]:
        """Yield at once and after pauses that grow, until the time is up or Orthanc stops."""
        waited, pause = 0.0, FIRST_PAUSE
        while not stopping():
            yield
            if waited >= seconds:
                return
            self._wait(threading.Event(), pause)
            waited += pause
            pause = min(pause * 2, LONGEST_PAUSE)


def wanted(options: SendOptions) -> bool:
    """Tell whether a rule wants more than the answers to its instances."""
    return options.storage_commitment or options.check_count


def _found(search: Search, places: Mapping[str, Place]) -> list[str]:
    by_series: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for one, place in places.items():
        by_series[place.study, place.series][place.instance] = one
    return [
        ours[uid]
        for (study, series), ours in by_series.items()
        for uid in dict.fromkeys(search(study, series))
        if uid in ours
    ]


def _uids(items: Iterable[Mapping[str, object]]) -> list[str]:
    return [str(item["SOPInstanceUID"]) for item in items]


def _c_find(gateway: Gateway, modality_uri: str, timeout: int) -> Search:
    def search(study: str, series: str) -> list[str]:
        query = {"StudyInstanceUID": study, "SeriesInstanceUID": series, "SOPInstanceUID": ""}
        body = {"Level": "Instance", "Query": query, "Timeout": timeout}
        path = gateway.post_json(f"{modality_uri}/query", body)["Path"]
        try:
            answers = gateway.get_json(f"{path}/answers?expand&simplify")
        finally:
            gateway.delete(path)
        return [answer.get("SOPInstanceUID", "") for answer in answers]

    return search
