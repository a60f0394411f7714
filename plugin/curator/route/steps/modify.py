"""``Modify``: go on with modified copies, made by the byte engine."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from curator.dicom import engine, reader
from curator.dicom.edits import Edits
from curator.dicom.errors import DicomError
from curator.dicom.identifiers import orthanc_identifiers
from curator.dicom.instance import Instance
from curator.dicom.tags import parse_path
from curator.dicom.uidmap import Place, UidMap
from curator.errors import BadRequest, Conflict, CoreError, ErrorCode, UnreadableInstance
from curator.gateway import Gateway, Resource
from curator.level import Level
from curator.route.inventory import Line
from curator.route.kinds import Trigger
from curator.route.modification import UIDS, Modification, modification
from curator.route.products import ProductKind
from curator.route.run import Subject
from curator.route.steps.work import Advanced, Gone, Result, Work
from curator.storing import NotStored, check_stored, store

MODIFIED_FROM = "ModifiedFrom"

#: Instances that each thread has in memory.
AHEAD = 4

_IDENTITY = (parse_path("PatientID"), *UIDS.values())


@dataclass(frozen=True)
class _Made:
    """A modified instance that is not stored yet, with its identifiers in Orthanc."""

    source: str
    line: Line
    instance: str
    content: bytes


def modify(work: Work) -> Result:
    """Make and store modified copies of what there is now."""
    sources = work.instances()
    if not sources:
        raise Gone(work.run)
    modifier = _Modifier(work, sources)
    made = modifier.copies()
    tools = work.tools
    stored = tools.inventory.instances(Subject(Level.INSTANCE, one) for one in made)
    gone = tools.products.note_made(work.run, stored, ProductKind.FOUND)
    if gone or len(stored) < len(made):
        raise Conflict(f"{len(made) - len(stored) + len(gone)} modified copies are gone")
    tools.products.mark_parents(work.run, stored.values())
    subjects = modifier.subjects(made)
    return Advanced(subjects=subjects, products=subjects)


class _Modifier:
    """Modifies the instances of one step."""

    def __init__(self, work: Work, sources: Mapping[str, Resource]) -> None:
        step = work.rule.then[work.run.position].modify
        if step is None:
            raise TypeError("not a step that modifies")
        self._work = work
        self._sources = sources
        self._gateway: Gateway = work.tools.access.gateway
        self._charset = work.tools.access.default_charset
        self._lines = work.tools.inventory.lines(sources.values())
        batch = work.run.trigger == Trigger.STORED_INSTANCE
        self._level = Level.INSTANCE if batch else work.run.level
        try:
            self._modification: Modification = modification(step, work.rule.name, self._level)
        except (ValueError, DicomError) as error:
            raise BadRequest(f"$.Then[{work.run.position}].Modify: {error}") from None
        self._common = Edits(self._modification.edits)
        self._uids = self._uid_map()

    def copies(self) -> dict[str, _Made]:
        """Make all copies, by what Orthanc calls them."""
        made: dict[str, _Made] = {}
        with ThreadPoolExecutor(self._work.tools.access.threads, "curator-route") as pool:
            for portion in self._portions():
                self._work.checkpoint()
                copies = list(pool.map(self._make, portion))
                for one in copies:
                    first = made.setdefault(one.instance, one)
                    if first.source != one.source:
                        raise Conflict(
                            f"Instances {first.source} and {one.source} would become the same one"
                        )
                standing = self._note(copies)
                stands = [one.instance in standing for one in copies]
                list(pool.map(self._put, copies, stands))
                made |= {one.instance: replace(one, content=b"") for one in copies}
        self._say_parents(made.values())
        return made

    def subjects(self, made: Mapping[str, _Made]) -> tuple[Subject, ...]:
        """Return what the next step works on."""
        if self._level == Level.INSTANCE:
            return tuple(Subject(Level.INSTANCE, one) for one in made)
        parents = dict.fromkeys(one.line.at(self._level) for one in made.values())
        return tuple(Subject(self._level, one) for one in parents)

    def _portions(self) -> Iterator[Sequence[str]]:
        names = list(self._sources)
        size = AHEAD * self._work.tools.access.threads
        for start in range(0, len(names), size):
            yield names[start : start + size]

    def _uid_map(self) -> UidMap:
        """Return where the instances are afterwards, for the references among them."""
        gateway = self._gateway
        series = {one.orthanc_id: one for one in gateway.lookup(self._lines)}
        studies = {
            one.orthanc_id: one
            for one in gateway.lookup(line.study for line in self._lines.values())
        }
        change = self._modification
        instances: dict[str, Place] = {}
        moved_series: dict[str, tuple[str, str]] = {}
        moved_studies: dict[str, str] = {}
        for resource in self._sources.values():
            line = self._lines.get(resource.parent)
            if line is None or line.series not in series or line.study not in studies:
                raise Gone(self._work.run)
            study_uid = studies[line.study].tags.get("StudyInstanceUID", "")
            series_uid = series[line.series].tags.get("SeriesInstanceUID", "")
            sop_uid = resource.tags.get("SOPInstanceUID", "")
            new_study = change.uid(Level.STUDY, study_uid)
            new_series = change.uid(Level.SERIES, series_uid)
            instances[sop_uid] = Place(new_study, new_series, change.uid(Level.INSTANCE, sop_uid))
            if self._level != Level.INSTANCE:
                moved_series[series_uid] = new_study, new_series
            if self._level in (Level.STUDY, Level.PATIENT):
                moved_studies[study_uid] = new_study
        return UidMap(instances, moved_series, moved_studies)

    def _make(self, source: str) -> _Made:
        self._work.checkpoint()
        try:
            original = self._gateway.read(source)
        except CoreError as error:
            if error.unknown_resource and not self._gateway.exists(Level.INSTANCE, source):
                raise Conflict(f"Instance {source} was deleted meanwhile") from None
            raise
        try:
            opened = engine.opened(original, self._charset)
            own = self._modification.edits_of(_uids(opened), opened.site)
            content = engine.apply(
                original, self._common.with_(own), default_charset=self._charset, uids=self._uids
            )
            patient, study, series, instance = orthanc_identifiers(
                *_identity(engine.opened(content, self._charset))
            )
        except DicomError as error:
            raise UnreadableInstance(f"Instance {source}: {error}") from None
        if instance == source:
            raise BadRequest(
                f"Instance {source} would be overwritten by its modified copy, which has the same"
                " identifiers: let the rule change at least one of them"
            )
        return _Made(source, Line(series, study, patient), instance, content)

    def _note(self, copies: Sequence[_Made]) -> frozenset[str]:
        """Note what is to be stored, before it is; return what was there before."""
        run, products = self._work.run, self._work.tools.products
        names = [one.instance for one in copies]
        products.share(run, names)
        there = frozenset(one.orthanc_id for one in self._gateway.lookup(names))
        found, copy = ProductKind.FOUND, ProductKind.COPY
        products.note(run, {one: found if one in there else copy for one in names})
        return there

    def _put(self, made: _Made, stands: bool) -> None:
        """Store a copy, or see that the one that is there is the same."""
        self._work.checkpoint()
        gateway = self._gateway
        if not stands:
            store(gateway, made.content, made.instance)
            if gateway.stored_size(made.instance) != len(made.content):
                check_stored(
                    gateway, made.instance, made.content, lambda: gateway.decoded(made.source)
                )
            self._say(Level.INSTANCE, made.instance, made.source)
            return
        try:
            check_stored(gateway, made.instance, made.content, lambda: gateway.decoded(made.source))
        except NotStored:
            raise Conflict(
                f"Instance {made.instance} is stored already with another content, perhaps made by"
                " another version of this rule: delete it first"
            ) from None

    def _say_parents(self, made: Iterable[_Made]) -> None:
        """Say of new patients, studies and series what they were made from."""
        pairs: dict[tuple[Level, str], str] = {}
        for one in made:
            line = self._lines[self._sources[one.source].parent]
            for level in (Level.SERIES, Level.STUDY, Level.PATIENT):
                if one.line.at(level) != line.at(level):
                    pairs.setdefault((level, one.line.at(level)), line.at(level))
        for (level, target), source in pairs.items():
            self._say(level, target, source)

    def _say(self, level: Level, target: str, source: str) -> None:
        """Say what something was made from; with ``CheckRevisions``, what was said first stays."""
        try:
            self._gateway.set_metadata(level, target, MODIFIED_FROM, source)
        except CoreError as error:
            if error.core_code != ErrorCode.REVISION:
                raise


def _uids(instance: Instance) -> dict[Level, str]:
    header = reader.header_of(instance, UIDS.values())
    return {level: header.string(path) or "" for level, path in UIDS.items()}


def _identity(instance: Instance) -> tuple[str, str, str, str]:
    header = reader.header_of(instance, _IDENTITY)
    found = (header.element(path) for path in _IDENTITY)
    patient_id, study, series, sop = ("" if one is None else one.text for one in found)
    return patient_id, study, series, sop
