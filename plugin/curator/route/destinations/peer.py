"""Instances to an Orthanc peer of the server, over its REST API.

They go on their own, not as a job of the core: that is as fast, needs no worker, and only so the
peer tells of each instance what has become of it. A peer that filters what it receives answers 200
to the job as well.
"""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from curator.config import DestinationSettings
from curator.errors import CoreError
from curator.gateway import Gateway
from curator.route.delivery import Confirm, Failure, Outcome, Package
from curator.route.destinations.abilities import refusal
from curator.route.destinations.one_by_one import Attempt, Tally, file_of, send_one_by_one
from curator.route.kinds import DestinationKind, FailureKind

#: What a peer answers to an instance that it has now, or had already.
_STORED = ("Success", "AlreadyStored")


class Peer:
    """An Orthanc peer that is configured in the server.

    Parameters
    ----------
    peer : str
        Its name there.
    """

    def __init__(
        self, peer: str, gateway: Gateway, settings: DestinationSettings, clock: Callable[[], float]
    ) -> None:
        self.name = f"{DestinationKind.PEER}:{peer}"
        self._uri = f"/peers/{quote(peer, safe='')}"
        self._gateway = gateway
        self._settings = settings
        self._clock = clock

    def send(self, package: Package, confirm: Confirm, stopping: Callable[[], bool]) -> Outcome:
        """Send instances."""
        refused = refusal(DestinationKind.PEER, package, self._settings.transcode)
        if refused is not None:
            return refused
        syntax = package.delivery.options.transcode or self._settings.transcode

        def send(instance: str) -> Failure | None:
            content = file_of(self._gateway, instance, syntax)
            if isinstance(content, Failure):
                return content
            return _refusal(self._gateway.post(f"{self._uri}/store-straight", content))

        attempt = Attempt(confirm, stopping, Tally())
        name_thread = self._gateway.name_thread
        send_one_by_one(attempt, package.instances, send, self.is_back, name_thread, self._clock)
        return attempt.tally.outcome()

    def is_back(self) -> bool:
        """Ask the peer for its release."""
        return bool(self.test()["Success"])

    def test(self) -> dict[str, Any]:
        """Ask the peer for its release."""
        try:
            version = self._gateway.get_json(f"{self._uri}/system").get("Version", "?")
        except (CoreError, ValueError, AttributeError) as error:
            text = error.message if isinstance(error, CoreError) else "answers no JSON object"
            return {"Success": False, "Answer": f"GET /system: {text}"}
        return {"Success": True, "Answer": f"Orthanc {version}"}


def _refusal(answer: bytes) -> Failure | None:
    """Return what is wrong with the answer to an upload."""
    try:
        status = json.loads(answer)["Status"]
    except (ValueError, KeyError, TypeError):
        return Failure(FailureKind.TRANSIENT, "the peer does not say what it did")
    if status in _STORED:
        return None
    kind = FailureKind.PERMANENT if status == "FilteredOut" else FailureKind.TRANSIENT
    return Failure(kind, f"the peer answers {str(status)[:40]}")
