"""Rules at reception, at work in the callbacks of the SDK.

What the core does, in one thread, with an instance that comes in by C-STORE, REST, STOW or WebDAV:

1. It calls `received` with the file and where it comes from, not with who sends. What this answers
   is stored in its place, or discarded (and the sender told that all is well), or it is an error of
   the core by which nothing is stored: no file at all, or what is no DICOM file. An exception
   would have the instance stored as it came, so none leaves `received`.
2. For C-STORE it calls `cstore`, which knows the AE title of the sender, and whose answer is the
   status that the sender gets. What `received` has decided is handed over by thread; every call of
   `received` begins with removing what the one before has left.

Both are called under a lock of the core, so nothing here waits for anything. They can be registered
while the core loads the plugin, not later: whoever registers holds the interpreter's lock and waits
for that of the core, while a callback holds the one of the core and waits for the interpreter's.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from threading import get_ident
from typing import Any

from curator.dicom.engine import opened
from curator.dicom.errors import DicomError, NotDicom
from curator.dicom.identifiers import orthanc_identifiers
from curator.dicom.instance import Instance
from curator.dicom.reader import header_of
from curator.dicom.tags import parse_path
from curator.errors import trace
from curator.route.condition import Origin
from curator.route.facts import Source
from curator.route.hours import local
from curator.route.receive_decision import (
    Decision,
    Impossible,
    ReceiveRules,
    changed,
)
from curator.route.receive_rule import Rejection, Table, read_rules
from curator.sdk import DicomInstance, Sdk

logger = logging.getLogger(__name__)

SUCCESS = 0x0000

#: Processing failure (PS3.7 C.5.15).
PROCESSING_FAILURE = 0x0110

#: Refused, out of resources (PS3.4 B.2.3): what the core answers where it was given no file.
OUT_OF_RESOURCES = 0xA700

#: In the place of a file: the core answers the HTTP status 500.
NO_FILE = b""

#: In the place of a file: the core answers the HTTP status 400, and that it is no DICOM file.
NO_DICOM = b"rejected"

_IDENTITY = tuple(
    map(parse_path, ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"))
)

#: The registered callbacks. The Python plugin lets go of them without holding the interpreter's
#: lock when Orthanc stops, which crashes it if nobody else has a reference.
_registered: list[Callable[..., Any]] = []

Answer = tuple[int, bytes | None]


@dataclass(frozen=True, slots=True)
class _Note:
    """What `received` leaves for `cstore`."""

    decision: Decision
    orthanc_id: str


class Reception:
    """Applies rules to what comes in.

    Parameters
    ----------
    sdk : Sdk
        For its constants, and for `register`.
    tables : mapping
        The tables of ``LookupTables``, by name.
    default_charset : str
        Defined term for instances without Specific Character Set.
    is_ours : callable
        Tells whether it is Curator itself that stores, in this thread.
    publish : callable
        Takes the name of a metric, and its value.
    clock : callable
        Seconds since 1970.
    """

    def __init__(
        self,
        sdk: Sdk,
        tables: Mapping[str, Table],
        default_charset: str,
        is_ours: Callable[[], bool],
        publish: Callable[[str, int], None],
        clock: Callable[[], float],
    ) -> None:
        self._sdk = sdk
        self._actions = sdk.ReceivedInstanceAction
        self._origins = {
            sdk.InstanceOrigin.DICOM_PROTOCOL: Origin.DICOM_PROTOCOL,
            sdk.InstanceOrigin.REST_API: Origin.REST_API,
            sdk.InstanceOrigin.PLUGIN: Origin.PLUGINS,
            sdk.InstanceOrigin.LUA: Origin.LUA,
            sdk.InstanceOrigin.WEB_DAV: Origin.WEB_DAV,
        }
        self._tables = tables
        self._default_charset = default_charset
        self._is_ours = is_ours
        self._publish = publish
        self._clock = clock
        self._rules = ReceiveRules()
        self._notes: dict[int, _Note] = {}
        self._counts = {"rejected": 0, "failed": 0}
        self._is_registered = False
        self._is_closed = False

    def register(self) -> None:
        """Let the core ask about every instance; only while it loads the plugin."""
        received, cstore = self.received, self.cstore
        _registered.extend((received, cstore))
        self._sdk.RegisterReceivedInstanceCallback(received)
        self._sdk.RegisterIncomingCStoreInstanceFilter(cstore)
        self._is_registered = True

    def refusal(self, rules: Sequence[object]) -> str | None:
        """Tell why rules cannot be used before the next start, None where they can."""
        if self._is_registered or not rules:
            return None
        return (
            "Orthanc was started without rules at reception, and does not let Curator see what"
            ' comes in; set "Reception": true in the section "Curator", and start it again'
        )

    def use(self, rules: Sequence[object]) -> None:
        """Apply other rules from now on.

        Raises
        ------
        InvalidModel
            If they are not valid; then those before stay in use.
        """
        self._rules = ReceiveRules(read_rules(rules, self._tables), self._tables)
        self._is_closed = False

    def close(self) -> None:
        """Let nothing in until rules are used: those that there are cannot be."""
        self._is_closed = True

    def received(self, dicom: bytes, origin: int) -> Answer:
        """Decide on a file, and change it (``RegisterReceivedInstanceCallback``)."""
        self._notes.pop(get_ident(), None)
        if not self._has_a_say or self._is_ours():
            return self._actions.KEEP_AS_IS, None
        try:
            return self._decided(dicom, self._origins.get(origin, Origin.UNKNOWN))
        except NotDicom:
            return self._actions.MODIFY, NO_DICOM
        except BaseException as error:  # noqa: BLE001 -- what is raised here lets it in unchanged
            self._notes.pop(get_ident(), None)
            with suppress(BaseException):  # nor may what is done about it
                self._fail("An instance that came in", error)
            return self._actions.MODIFY, NO_FILE

    def cstore(self, instance: DicomInstance) -> int:
        """Return the status for a sender, 0 to store (``RegisterIncomingCStoreInstanceFilter``).

        Whatever is raised here, the core refuses the instance.
        """
        note = self._notes.pop(get_ident(), None)
        if note is None:
            return PROCESSING_FAILURE if self._has_a_say else SUCCESS
        source = Source(remote_aet=instance.GetInstanceRemoteAet(), origin=Origin.DICOM_PROTOCOL)
        try:
            ending = note.decision.settled(source, self._now())
        except Impossible as error:
            self._fail(f"Instance {note.orthanc_id}", error)
            return PROCESSING_FAILURE
        if ending is None or ending.rejection is None:
            return SUCCESS
        self._tell(ending.rule, ending.rejection, note.orthanc_id)
        return ending.rejection.dimse

    @property
    def _has_a_say(self) -> bool:
        return self._is_closed or bool(self._rules.rules)

    def _decided(self, dicom: bytes, origin: Origin) -> Answer:
        if self._is_closed:
            raise Impossible("the rules at reception are not valid")
        instance = opened(dicom, self._default_charset)
        if instance.meta.is_directory:
            return self._actions.MODIFY, NO_DICOM  # the core stores none either
        by_dimse = origin is Origin.DICOM_PROTOCOL
        rules, source = self._rules, Source(origin=origin)
        decision = rules.decide(instance, source, self._now(), sender_known=not by_dimse)
        if by_dimse:
            self._notes[get_ident()] = _Note(decision, _orthanc_id(instance))
        if decision.rejected is not None:
            return self._turned_away(*decision.rejected, instance, by_dimse=by_dimse)
        edited = changed(dicom, decision.edits, self._default_charset)
        if edited is dicom:
            return self._actions.KEEP_AS_IS, None
        return self._actions.MODIFY, edited

    def _turned_away(
        self, rule: str, rejection: Rejection, instance: Instance, *, by_dimse: bool
    ) -> Answer:
        discarded: Answer = (self._actions.DISCARD, None)
        no_file: Answer = (self._actions.MODIFY, NO_FILE)
        no_dicom: Answer = (self._actions.MODIFY, NO_DICOM)
        if by_dimse:
            answer = {SUCCESS: discarded, OUT_OF_RESOURCES: no_file}.get(rejection.dimse)
        else:
            answer = {200: discarded, 400: no_dicom, 500: no_file}[rejection.http]
        if answer is None:  # any other status is for `cstore` to give
            return self._actions.KEEP_AS_IS, None
        self._tell(rule, rejection, _orthanc_id(instance))
        return answer

    def _tell(self, rule: str, rejection: Rejection, orthanc_id: str) -> None:
        reason = f": {rejection.reason}" if rejection.reason else ""
        logger.info("Rule %s rejected instance %s%s", rule, orthanc_id, reason)
        self._add("rejected")

    def _fail(self, what: str, error: BaseException) -> None:
        why = error if isinstance(error, Impossible | DicomError) else trace(error)
        logger.error("%s is not stored: %s", what, why)
        self._add("failed")

    def _add(self, what: str) -> None:
        self._counts[what] += 1
        self._publish(f"curator_receive_{what}", self._counts[what])

    def _now(self) -> datetime:
        return local(self._clock())


def _orthanc_id(instance: Instance) -> str:
    header = header_of(instance, _IDENTITY)
    return orthanc_identifiers(*(header.string(path) or "" for path in _IDENTITY))[3]
