"""STOW-RS to a server of the DICOMweb plugin.

The plugin sends a batch in one request, as a job, and tells only whether all of it was taken. So
a batch that was refused is cut in two until the instance that is to blame stands alone.
"""

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

from curator.config import DestinationSettings
from curator.errors import CoreError, ErrorCode
from curator.gateway import Gateway
from curator.route.delivery import Confirm, Failure, Outcome, Package
from curator.route.destinations.abilities import refusal
from curator.route.destinations.classify import of_stow
from curator.route.destinations.core_jobs import CoreJobs, End, Ended, batches
from curator.route.destinations.one_by_one import GONE, Attempt, Tally
from curator.route.destinations.verification import Verifier
from curator.route.kinds import DestinationKind, FailureKind

#: Seconds that a job waits for a worker: there is no other way for its instances.
PATIENCE = 600.0

_JSON = {"Accept": "application/dicom+json"}


class DicomWeb:
    """A DICOMweb server that is configured in the DICOMweb plugin.

    Parameters
    ----------
    server : str
        Its name there.
    root : str
        Where the plugin's own routes are, ``/dicom-web/``.
    """

    def __init__(
        self,
        server: str,
        root: str,
        gateway: Gateway,
        jobs: CoreJobs,
        settings: DestinationSettings,
        verifier: Verifier,
    ) -> None:
        self.name = f"{DestinationKind.DICOMWEB}:{server}"
        self._uri = f"{root}servers/{quote(server, safe='')}"
        self._gateway = gateway
        self._jobs = jobs
        self._settings = settings
        self._verifier = verifier

    def send(self, package: Package, confirm: Confirm, stopping: Callable[[], bool]) -> Outcome:
        """Send instances by STOW-RS."""
        refused = refusal(DestinationKind.DICOMWEB, package, self._settings.transcode)
        if refused is not None:
            return refused
        attempt = Attempt(confirm, stopping, Tally())
        for batch in batches(package.instances, self._settings.batch):
            if package.delivery.options.check_count:
                self._send_and_search(batch, attempt)
            else:
                self._send(batch, attempt)
            if attempt.over:
                break
        return attempt.tally.outcome()

    def is_back(self) -> bool:
        """Search for one study."""
        return bool(self.test()["Success"])

    def test(self) -> dict[str, Any]:
        """Search for one study."""
        try:
            self._qido("/studies", {"limit": "1"})
        except CoreError as error:
            return {"Success": False, "Answer": f"QIDO-RS: {error.message}"}
        return {"Success": True, "Answer": "QIDO-RS: Success"}

    def _send_and_search(self, batch: Sequence[str], attempt: Attempt) -> None:
        sent: list[str] = []
        self._send(batch, Attempt(sent.extend, attempt.stopping, attempt.tally))
        if sent:
            timeout, stopping = self._settings.timeout, attempt.stopping
            checked = self._verifier.search(self._search, "QIDO-RS", sent, timeout, stopping)
            attempt.tally.failures.update(checked.failures)
            attempt.confirm(checked.there)

    def _send(self, batch: Sequence[str], attempt: Attempt) -> None:
        """Send a batch, and its halves where it was refused."""
        stored = {resource.orthanc_id for resource in self._gateway.lookup(batch)}
        gone = [instance for instance in batch if instance not in stored]
        attempt.tally.failures.update(dict.fromkeys(gone, GONE))
        left = [[instance for instance in batch if instance in stored]]
        while left and not attempt.over:
            part = left.pop(0)
            if not part:
                continue
            failure = self._stow(part, attempt.stopping)
            if attempt.stopping() and failure is not None:
                return
            if failure is None:
                attempt.confirm(part)
                attempt.tally.succeeded()
            elif not self.is_back():
                attempt.tally.unreachable(failure)
            elif len(part) > 1:
                left[:0] = [part[: len(part) // 2], part[len(part) // 2 :]]
            else:
                self._refused(part[0], failure, attempt)

    def _refused(self, instance: str, failure: Failure, attempt: Attempt) -> None:
        """Note that one instance was refused, unless that is because it is there already."""
        checked = self._verifier.search(self._search, "QIDO-RS", [instance], 0.0, attempt.stopping)
        if checked.there:
            attempt.confirm(checked.there)
            attempt.tally.succeeded()
        else:
            attempt.tally.failed(instance, failure)

    def _stow(self, instances: Sequence[str], stopping: Callable[[], bool]) -> Failure | None:
        """Send instances in one request; return why that was refused, or failed."""
        body = {"Resources": list(instances), "Asynchronous": True}
        ended = self._jobs.run(
            lambda: self._gateway.post_to_plugins(f"{self._uri}/stow", body),
            len(instances),
            lambda _: None,
            stopping,
            PATIENCE,
        )
        if ended is None:
            return Failure(FailureKind.TRANSIENT, "no worker of the core was free (ConcurrentJobs)")
        return None if ended.end is End.SUCCESS else _failure(ended)

    def _search(self, study: str, series: str) -> list[str]:
        uids = {"StudyInstanceUID": study, "SeriesInstanceUID": series}
        found = self._qido("/instances", uids)
        return [value for item in found for value in item.get("00080018", {}).get("Value", ())]

    def _qido(self, uri: str, arguments: dict[str, str]) -> list[dict[str, Any]]:
        body = {"Uri": uri, "Arguments": arguments, "HttpHeaders": _JSON}
        try:
            found = self._gateway.post_to_plugins(f"{self._uri}/get", body)
        except ValueError:
            return []  # 204: no content
        return found if isinstance(found, list) else []


def _failure(ended: Ended) -> Failure:
    """Classify a failed job of the plugin, which keeps the reason in its content."""
    if ended.end is not End.FAILURE:
        return Failure(FailureKind.TRANSIENT, ended.details or ended.message or str(ended.end))
    code = int(ended.content.get("FunctionErrorCode", ErrorCode.INTERNAL_ERROR))
    text = str(ended.content.get("FunctionErrorDescription", ended.message))
    return of_stow(code, text, str(ended.content.get("FunctionErrorDetails", "")))
