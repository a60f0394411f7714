"""A DICOM server for tests, by pynetdicom: it stores, refuses, aborts, stalls and is slow as told.

>>> with Scp() as scp:
...     scp.statuses[sop_instance_uid] = 0xA700
"""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, AllTransferSyntaxes
from pynetdicom import AE, AllStoragePresentationContexts, build_role, evt
from pynetdicom.presentation import build_context

from integration.servers import free_port

VERIFICATION = UID("1.2.840.10008.1.1")
STORAGE_COMMITMENT = UID("1.2.840.10008.1.20.1")
STORAGE_COMMITMENT_INSTANCE = UID("1.2.840.10008.1.20.1.1")
STUDY_ROOT_FIND = UID("1.2.840.10008.5.1.4.1.2.2.1")


@dataclass
class Behavior:
    """What an SCP does; may be changed while it runs.

    Attributes
    ----------
    refuse : bool
        Reject every association.
    status : int
        What C-STORE is answered, where ``statuses`` does not say.
    statuses : dict
        What C-STORE is answered, by SOP Instance UID.
    abort_on : set of str
        SOP Instance UIDs at which the association is aborted.
    delay : float
        Seconds that each C-STORE takes.
    forgets : set of str
        SOP Instance UIDs that are answered with success, but not kept.
    commits : bool
        Whether storage commitment is answered at all.
    """

    refuse: bool = False
    status: int = 0x0000
    statuses: dict[str, int] = field(default_factory=dict)
    abort_on: set[str] = field(default_factory=set)
    delay: float = 0.0
    forgets: set[str] = field(default_factory=set)
    commits: bool = True


class Scp:
    """A server for C-STORE, C-ECHO, C-FIND of instances and storage commitment.

    Parameters
    ----------
    reports_to : tuple, optional
        Host, port and AE title that reports on storage commitment go to.
    syntaxes : list of UID, optional
        Transfer syntaxes that it takes, by default all.
    stalls : bool
        Whether it keeps every C-STORE waiting until it is told to go on.
    delay : float
        Seconds that each C-STORE takes.

    Attributes
    ----------
    received : list of str
        SOP Instance UIDs of what it has answered, also of what it has refused.
    stored : dict
        Series Instance UID by SOP Instance UID of what it keeps.
    syntaxes : dict
        Transfer syntax UID by SOP Instance UID.
    associations : int
        Associations that were asked for.
    """

    def __init__(
        self,
        ae_title: str = "SCP",
        *,
        reports_to: Callable[[], tuple[str, int, str]] | None = None,
        syntaxes: list[UID] | None = None,
        stalls: bool = False,
        delay: float = 0.0,
    ) -> None:
        self.ae_title = ae_title
        self.port = free_port()
        self.behavior = Behavior(delay=delay)
        self.received: list[str] = []
        self.stored: dict[str, str] = {}
        self.syntaxes: dict[str, str] = {}
        self.associations = 0
        self._flows = threading.Event()
        self._waiting = 0
        if not stalls:
            self._flows.set()
        self._reports_to = reports_to
        self._lock = threading.Lock()
        self._ae = AE(ae_title)
        self._ae.maximum_associations = 100
        taken: list[str | UID] = [*(syntaxes or AllTransferSyntaxes)]
        storage = [context.abstract_syntax for context in AllStoragePresentationContexts]
        self._ae.supported_contexts = [
            *(build_context(uid, taken) for uid in storage if uid is not None),
            *map(build_context, (VERIFICATION, STUDY_ROOT_FIND, STORAGE_COMMITMENT)),
        ]
        self._server: Any = None

    @property
    def modality(self) -> list[object]:
        """Its entry in ``DicomModalities``."""
        return [self.ae_title, "127.0.0.1", self.port]

    @property
    def stalled(self) -> bool:
        """Whether a C-STORE waits now."""
        return self._waiting > 0

    def stall(self) -> None:
        """Keep every C-STORE waiting from now on."""
        self._flows.clear()

    def go_on(self) -> None:
        """Answer what has been kept waiting, and what comes."""
        self._flows.set()

    def start(self) -> Self:
        """Listen."""
        handlers: list[Any] = [
            (evt.EVT_REQUESTED, self._requested),
            (evt.EVT_C_ECHO, lambda _: 0x0000),
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_C_FIND, self._find),
            (evt.EVT_N_ACTION, self._commit),
        ]
        self._server = self._ae.start_server(
            ("127.0.0.1", self.port), block=False, evt_handlers=handlers
        )
        return self

    def stop(self) -> None:
        """End at once, as a machine does that is switched off."""
        self.go_on()
        if self._server is not None:
            self._server.shutdown()
            self._server = None
        for association in self._ae.active_associations:
            _cut_off(association)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _requested(self, event: evt.Event) -> None:
        with self._lock:
            self.associations += 1
        if self.behavior.refuse:
            event.assoc.acse.send_reject(0x01, 0x01, 0x03)  # calling AE title not recognized
            event.assoc.kill()

    def _store(self, event: evt.Event) -> int:
        request: Any = event.request
        uid = str(request.AffectedSOPInstanceUID)
        behavior = self.behavior
        with self._lock:
            self._waiting += 1
        self._flows.wait()
        with self._lock:
            self._waiting -= 1
        if behavior.delay:
            threading.Event().wait(behavior.delay)
        with self._lock:
            self.received.append(uid)
        if uid in behavior.abort_on:
            event.assoc.abort()
            return 0xC000
        status = behavior.statuses.get(uid, behavior.status)
        if status in (0x0000, 0x0111) or status >> 12 == 0xB:
            with self._lock:
                self.syntaxes[uid] = str(event.context.transfer_syntax)
                if uid not in behavior.forgets:
                    self.stored[uid] = str(event.dataset.SeriesInstanceUID)
        return status

    def _find(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        query = event.identifier
        for uid, series in list(self.stored.items()):
            if series == query.SeriesInstanceUID:
                answer = Dataset()
                answer.QueryRetrieveLevel = "IMAGE"
                answer.StudyInstanceUID = query.StudyInstanceUID
                answer.SeriesInstanceUID = series
                answer.SOPInstanceUID = uid
                yield 0xFF00, answer

    def _commit(self, event: evt.Event) -> tuple[int, Dataset | None]:
        if self.behavior.commits and self._reports_to is not None:
            request = event.action_information
            threading.Thread(target=self._report, args=(request,), daemon=True).start()
        return 0x0000, None

    def _report(self, request: Dataset) -> None:
        """Report on a storage commitment over an association of our own (PS3.4 J.3.3)."""
        assert self._reports_to is not None
        there = [
            item.ReferencedSOPInstanceUID in self.stored for item in request.ReferencedSOPSequence
        ]
        report = Dataset()
        report.TransactionUID = request.TransactionUID
        items = list(zip(request.ReferencedSOPSequence, there, strict=True))
        report.ReferencedSOPSequence = Sequence([item for item, kept in items if kept])
        failed = [item for item, kept in items if not kept]
        for item in failed:
            item.FailureReason = 0x0112
        if failed:
            report.FailedSOPSequence = Sequence(failed)
        host, port, ae_title = self._reports_to()
        ae = AE(self.ae_title)
        ae.add_requested_context(STORAGE_COMMITMENT)
        role = build_role(STORAGE_COMMITMENT, scp_role=True)
        association = ae.associate(host, port, ae_title=ae_title, ext_neg=[role])
        if association.is_established:
            association.send_n_event_report(
                report,
                2 if failed else 1,
                STORAGE_COMMITMENT,
                STORAGE_COMMITMENT_INSTANCE,
            )
            association.release()


def _cut_off(association: Any) -> None:
    """Close a connection in whatever state it is; an abort needs one that is established."""
    connection = association.dul.socket and association.dul.socket.socket
    if connection is not None:
        with suppress(OSError):  # closed meanwhile
            connection.shutdown(socket.SHUT_RDWR)
