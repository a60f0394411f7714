"""POST to an HTTP server: a notice in JSON, or the instances in a ZIP archive.

Addresses come from the configuration file only, never from REST or a rule: otherwise whoever may
write rules could make the server call any address within its network. Redirects are not followed
and the proxies of the environment are not used, for the same reason.
"""

import io
import json
import logging
import ssl
import tempfile
import uuid
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import urllib3
from urllib3.exceptions import HTTPError, InsecureRequestWarning

from curator.config import DestinationSettings, Webhook, WebhookContent
from curator.errors import trace
from curator.gateway import Gateway
from curator.route.delivery import Confirm, Failure, Outcome, Package
from curator.route.destinations.abilities import refusal
from curator.route.destinations.classify import of_errno, of_http
from curator.route.destinations.core_jobs import batches
from curator.route.destinations.crew import Crew
from curator.route.destinations.one_by_one import Tally, file_of
from curator.route.destinations.signature import signature
from curator.route.kinds import DestinationKind, FailureKind

logger = logging.getLogger(__name__)

#: Bytes of an answer that are read; more is of no interest.
LONGEST_ANSWER = 65_536

#: Bytes of an archive that are kept in memory; larger ones are on disk while they are sent.
IN_MEMORY = 32 * 1024 * 1024

CHUNK = 1024 * 1024

#: Seconds that a connection may take, where an answer may take longer.
CONNECT_SECONDS = 10.0


_NO_SECRET = Failure(FailureKind.TRANSIENT, "the file with the secret cannot be read, or is empty")

#: Where the identifiers of parts of a delivery come from.
_PARTS = uuid.UUID("7f0b8a52-2f3c-4c1e-9d0e-5d5b6a1c7e11")


@dataclass(frozen=True)
class Posted:
    """What became of one request.

    Attributes
    ----------
    instances : sequence of str
        What was in it.
    failures : dict
        What could not be put into it.
    failure : Failure or None
        Why it was not taken.
    """

    instances: Sequence[str] = ()
    failures: dict[str, Failure] = field(default_factory=dict)
    failure: Failure | None = None


class WebhookDestination:
    """An HTTP server of the configuration.

    Parameters
    ----------
    webhook : str
        Its name there.
    address : Webhook
    secret_file : Path or None
        Holds what bodies are signed with; read for every body, so that it can be changed.
    clock : callable
        Seconds since 1970.
    """

    def __init__(
        self,
        webhook: str,
        address: Webhook,
        secret_file: Path | None,
        gateway: Gateway,
        settings: DestinationSettings,
        clock: Callable[[], float],
    ) -> None:
        self.name = f"{DestinationKind.WEBHOOK}:{webhook}"
        self._address = address
        self._secret_file = secret_file
        self._gateway = gateway
        self._settings = settings
        self._clock = clock
        self._http = urllib3.PoolManager(
            ssl_context=_tls(address.verify),
            timeout=urllib3.Timeout(min(CONNECT_SECONDS, address.timeout), address.timeout),
            retries=False,
        )

    def send(self, package: Package, confirm: Confirm, stopping: Callable[[], bool]) -> Outcome:
        """Post the event with all instances, or the instances in archives."""
        refused = refusal(DestinationKind.WEBHOOK, package, self._settings.transcode)
        if refused is not None:
            return refused
        tally = Tally()
        parts: list[Sequence[str]] = [package.instances]
        post = self._post_notice
        if self._address.content is WebhookContent.ARCHIVE and package.instances:
            parts = batches(package.instances, self._settings.batch)
            post = self._post_archive
        name_thread = self._gateway.name_thread
        crew = Crew(
            lambda part: _guarded(post, package, part), parts, 1, _failed, stopping, name_thread
        )
        for posted in (one.result for done in crew for one in done):
            tally.failures.update(posted.failures)
            if posted.failure is None:
                confirm(posted.instances)
            else:
                tally.unreachable(posted.failure)
                crew.enough()
        return tally.outcome()

    def post_json(self, content: dict[str, Any]) -> Failure | None:
        """Post a JSON object that belongs to no delivery, such as a digest of alerts.

        Returns
        -------
        Failure or None
            Why it was not taken.
        """
        try:
            return self._post_body(content, {})
        except (HTTPError, OSError) as error:
            return _no_answer(error)

    def is_back(self) -> bool:
        """Tell whether the server answers anything at all to a request that changes nothing."""
        try:
            self._request("HEAD", None, self._address.headers)
        except (HTTPError, OSError):
            return False
        return True

    def test(self) -> dict[str, Any]:
        """Post ``{"Event": "Test"}``."""
        failure = self.post_json({"Event": "Test"})
        if failure is None:
            return {"Success": True, "Answer": "the webhook has taken a test event"}
        return {"Success": False, "Answer": failure.answer}

    def _post_notice(self, package: Package, part: Sequence[str]) -> Posted:
        headers = {"X-Curator-Delivery": package.delivery.id}
        return Posted(part, failure=self._post_body(notice(package), headers))

    def _post_archive(self, package: Package, part: Sequence[str]) -> Posted:
        delivery = package.delivery
        syntax = delivery.options.transcode or self._settings.transcode
        with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY) as file:
            packed, failures = self._pack(part, syntax, file)
            if not packed:
                return Posted(failures=failures)
            headers = {
                "Content-Type": "application/zip",
                "X-Curator-Delivery": delivery.id,
                "X-Curator-Part": str(uuid.uuid5(_PARTS, "/".join([delivery.id, *packed]))),
            }
            return Posted(packed, failures, self._post(file, headers))

    def _pack(
        self, part: Sequence[str], syntax: str | None, file: IO[bytes]
    ) -> tuple[list[str], dict[str, Failure]]:
        """Write instances into a ZIP archive, each under its Orthanc identifier."""
        packed: list[str] = []
        failures: dict[str, Failure] = {}
        with zipfile.ZipFile(file, "w") as archive:
            for instance in part:
                content = file_of(self._gateway, instance, syntax)
                if isinstance(content, Failure):
                    failures[instance] = content
                    continue
                entry = zipfile.ZipInfo(f"{instance}.dcm")
                archive.writestr(entry, content, zipfile.ZIP_DEFLATED, compresslevel=1)
                packed.append(instance)
        return packed, failures

    def _post_body(self, content: dict[str, Any], headers: dict[str, str]) -> Failure | None:
        body = io.BytesIO(json.dumps(content, sort_keys=True).encode())
        return self._post(body, {"Content-Type": "application/json", **headers})

    def _post(self, file: IO[bytes], headers: dict[str, str]) -> Failure | None:
        """Post a file; return what is wrong with the answer."""
        now = self._clock()
        sent = {
            **self._address.headers,
            **headers,
            "X-Curator-Timestamp": str(int(now)),
            "Content-Length": str(file.seek(0, io.SEEK_END)),
        }
        if self._secret_file is not None:
            secret = _content(self._secret_file)
            if not secret:
                return _NO_SECRET
            sent["X-Curator-Signature"] = signature(secret, int(now), _pieces(file))
        status, retry_after = self._request("POST", _pieces(file), sent)
        return of_http(status, retry_after, now)

    def _request(
        self, method: str, body: Iterator[bytes] | None, headers: dict[str, str]
    ) -> tuple[int, str | None]:
        """Make a request; return the status, and ``Retry-After``."""
        answer = self._http.request(
            method,
            self._address.url,
            body=body,
            headers=headers,
            redirect=False,
            preload_content=False,
            decode_content=False,
        )
        try:
            self._pass_over(answer)
            return answer.status, answer.headers.get("Retry-After")
        finally:
            answer.close()

    def _pass_over(self, answer: urllib3.BaseHTTPResponse) -> None:
        """Read the body of an answer, so that its connection can be used again.

        The status counts, whether the rest comes or not: what was taken is not posted again.
        """
        until = self._clock() + self._address.timeout
        left = LONGEST_ANSWER
        with suppress(HTTPError, OSError):
            while left > 0 and self._clock() < until:
                piece = answer.read1(left)
                if not piece:
                    break
                left -= len(piece)


def notice(package: Package) -> dict[str, Any]:
    """Return what a webhook is told of a delivery: identifiers, and nothing of the patient."""
    delivery = package.delivery
    return {
        "Event": "Delivery",
        "Rule": delivery.rule,
        "Version": delivery.version,
        **(delivery.event or {"Level": delivery.level, "ID": delivery.resource}),
        "Instances": list(package.instances),
        "Delivery": delivery.id,
    }


def _guarded(
    post: Callable[[Package, Sequence[str]], Posted], package: Package, part: Sequence[str]
) -> Posted:
    try:
        return post(package, part)
    except (HTTPError, OSError) as error:
        return Posted(failure=_no_answer(error))
    except Exception as error:  # noqa: BLE001  whatever it is, it has to reach the ledger
        logger.error("A request for delivery %s failed: %s", package.delivery.id, trace(error))
        text = f"the request could not be made: {type(error).__name__}"
        return Posted(failure=Failure(FailureKind.TRANSIENT, text))


def _failed(posted: Posted) -> bool:
    return posted.failure is not None


def _no_answer(error: HTTPError | OSError) -> Failure:
    """Classify what was raised instead of an answer; its text may quote the address."""
    if isinstance(error, OSError) and error.errno is not None:
        return of_errno(error.errno)
    return Failure(FailureKind.TRANSIENT, f"no answer: {type(error).__name__}")


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    file.seek(0)
    while piece := file.read(CHUNK):
        yield piece


def _content(file: Path) -> bytes:
    """Return what a file has, nothing where it cannot be read."""
    try:
        return file.read_bytes().strip()
    except OSError:
        return b""


def _tls(verify: bool | str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=verify if isinstance(verify, str) else None)
    if verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        urllib3.disable_warnings(InsecureRequestWarning)
    return context
