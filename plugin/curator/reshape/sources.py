"""Reads from Orthanc what a plan needs to know."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from curator.access import Access
from curator.dicom import engine, reader, references
from curator.dicom.errors import DicomError
from curator.dicom.identifiers import orthanc_identifiers
from curator.errors import Conflict, CoreError, NotFound
from curator.gateway import Resource
from curator.level import Level
from curator.reshape.elements import read_elements
from curator.reshape.files import FileCache
from curator.reshape.numbering import whole_number
from curator.reshape.source import Holdings, SourceInstance, SourceSeries, SourceStudy, Wanted
from curator.reshape.values import values_of

#: Nothing but references is read of instances that an operation cannot move.
_NOTHING = Wanted(frozenset())


class SourceReader:
    """Reads patients with the values and references of their instances."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._gateway = access.gateway

    def resource(self, level: Level, orthanc_id: str) -> Resource:
        """Read a patient, study or series.

        Raises
        ------
        NotFound
            If there is none.
        """
        resource = self._gateway.resource(level, orthanc_id)
        if resource is None:
            raise NotFound(f"Unknown {level.lower()}: {orthanc_id}")
        return resource

    def lineage(self, level: Level, orthanc_id: str) -> dict[Level, str]:
        """Return the identifiers of a patient, study or series and of its parents, by level.

        Raises
        ------
        NotFound
            If there is no such resource.
        """
        levels = list(Level)
        line: dict[Level, str] = {}
        for one in reversed(levels[: levels.index(level) + 1]):
            line[one] = orthanc_id
            orthanc_id = self.resource(one, orthanc_id).parent
        return line

    def lines(
        self, orthanc_ids: Sequence[str], levels: Collection[Level], field: str
    ) -> list[dict[Level, str]]:
        """Return the same for resources of several levels, instances too.

        Raises
        ------
        NotFound
            If one of them does not exist at any of the levels; `field` is where they are named.
        """
        found = {one.orthanc_id: one for one in self._gateway.lookup(orthanc_ids)}
        lines: list[dict[Level, str]] = []
        for index, orthanc_id in enumerate(orthanc_ids):
            resource = found.get(orthanc_id)
            if resource is None or resource.level not in levels:
                names = " or ".join(level.lower() for level in levels)
                raise NotFound(f"$.{field}[{index}]: unknown {names}: {orthanc_id}")
            if resource.level == Level.INSTANCE:
                above = self.lineage(Level.SERIES, resource.parent)
                lines.append({Level.INSTANCE: orthanc_id, **above})
            else:
                lines.append(self.lineage(resource.level, orthanc_id))
        return lines

    def read(
        self, patients: Iterable[str], concerned: Collection[str], wanted: Wanted, files: FileCache
    ) -> tuple[Holdings, dict[str, Resource]]:
        """Read patients.

        Parameters
        ----------
        concerned : collection of str
            Patients, studies, series or instances that the operation may move or change.
        wanted : Wanted
            What to read of those.
        files : FileCache
            Where their files are kept.

        Returns
        -------
        holdings : Holdings
        resources : dict
            The instances by Orthanc identifier, with what hangs on them.

        Raises
        ------
        NotFound
            If there is no such patient.
        Conflict
            If one changes meanwhile.
        """
        patient_ids: dict[str, str] = {}
        studies: dict[str, SourceStudy] = {}
        series: dict[str, SourceSeries] = {}
        resources: dict[str, Resource] = {}
        for patient in dict.fromkeys(patients):
            found = self.resource(Level.PATIENT, patient)
            patient_ids[patient] = found.tags.get("PatientID", "")
            below = {
                level: self._gateway.passing(level, Level.PATIENT, patient)
                for level in (Level.STUDY, Level.SERIES, Level.INSTANCE)
            }
            studies.update((one.orthanc_id, _study(one)) for one in below[Level.STUDY])
            counts = Counter(one.parent for one in below[Level.INSTANCE])
            series.update(
                (one.orthanc_id, _series(one, counts[one.orthanc_id]))
                for one in below[Level.SERIES]
                if one.parent in studies
            )
            resources.update(
                (one.orthanc_id, one) for one in below[Level.INSTANCE] if one.parent in series
            )
        tree = Holdings(patient_ids, studies, series, (), frozenset())
        chosen = self._concerned(tree, resources, concerned)
        instances, unreadable = self._instances(list(resources.values()), chosen, wanted, files)
        holdings = replace(
            tree, instances=tuple(instances), concerned=chosen, unreadable=tuple(unreadable)
        )
        _check_identifiers(holdings)
        return holdings, resources

    def _concerned(
        self, tree: Holdings, resources: Mapping[str, Resource], concerned: Collection[str]
    ) -> frozenset[str]:
        """Return the instances that an operation may move or change.

        Others may store and delete elsewhere in the patient meanwhile, but not among those.
        """
        lines = {
            one.orthanc_id: {one.orthanc_id, *tree.parents(one.parent)}
            for one in resources.values()
        }
        counted = Counter(one for line in lines.values() for one in line)
        for orthanc_id in concerned:
            found = counted[orthanc_id]
            level = _level_of(tree, orthanc_id)
            count = 1 if level is None else self._gateway.count(Level.INSTANCE, level, orthanc_id)
            if found != count:
                raise Conflict(
                    f"{level or Level.INSTANCE} {orthanc_id} changes while it is read: {count}"
                    f" instances were announced, {found} were found"
                )
        wanted = set(concerned)
        return frozenset(one for one, line in lines.items() if not wanted.isdisjoint(line))

    def _instances(
        self,
        resources: Sequence[Resource],
        concerned: Collection[str],
        wanted: Wanted,
        files: FileCache,
    ) -> tuple[list[SourceInstance], list[tuple[str, str, str]]]:
        readable: list[SourceInstance] = []
        unreadable: list[tuple[str, str, str]] = []

        def read(resource: Resource) -> SourceInstance | str | None:
            if resource.orthanc_id in concerned:
                found = self._instance(resource, wanted, files)
                if found is None:
                    raise Conflict(f"Instance {resource.orthanc_id} was deleted meanwhile")
                return found
            return self._instance(resource, _NOTHING, None)

        with ThreadPoolExecutor(self._access.threads, "curator-read") as pool:
            for resource, found in zip(resources, pool.map(read, resources), strict=True):
                if found is None:
                    continue
                if isinstance(found, str):
                    unreadable.append((resource.orthanc_id, resource.parent, found))
                else:
                    readable.append(found)
        return readable, unreadable

    def _instance(
        self, resource: Resource, wanted: Wanted, files: FileCache | None
    ) -> SourceInstance | str | None:
        """Read an instance, or return why it cannot be read; None if it is not there any more."""
        try:
            dicom = self._gateway.read(resource.orthanc_id)
            if files is not None:
                files.keep(resource.orthanc_id, dicom)
            instance = engine.opened(dicom, self._access.default_charset)
            return SourceInstance(
                orthanc_id=resource.orthanc_id,
                series=resource.parent,
                file_uuid=resource.file_uuid,
                values=values_of(instance, wanted.paths),
                elements=read_elements(instance.site, wanted.elements),
                references=references.references(instance.site),
                mentions=references.mentions(instance.site),
                signed=references.is_signed(instance.site),
                pixel_digest=reader.pixel_digest(dicom) if wanted.pixels else None,
            )
        except DicomError as error:
            return str(error)
        except CoreError as error:
            return None if error.unknown_resource else error.message


def _study(study: Resource) -> SourceStudy:
    return SourceStudy(study.orthanc_id, study.tags["StudyInstanceUID"], study.parent)


def _series(series: Resource, count: int) -> SourceSeries:
    return SourceSeries(
        orthanc_id=series.orthanc_id,
        series_instance_uid=series.tags["SeriesInstanceUID"],
        instances_count=count,
        series_number=whole_number(series.tags.get("SeriesNumber", "")),
        study=series.parent,
        series_description=series.tags.get("SeriesDescription", ""),
    )


def _level_of(tree: Holdings, orthanc_id: str) -> Level | None:
    """Return the level of what has instances below it."""
    levels = {Level.PATIENT: tree.patients, Level.STUDY: tree.studies, Level.SERIES: tree.series}
    return next((level for level, known in levels.items() if orthanc_id in known), None)


def _check_identifiers(holdings: Holdings) -> None:
    """Refuse instances whose Orthanc identifiers do not follow from their identifying elements.

    Orthanc hashes what it reads, so where the two differ, a copy would get another identifier than
    the plan says.
    """
    for instance in holdings.instances:
        if instance.orthanc_id not in holdings.concerned:
            continue
        series, study, patient = holdings.parents(instance.series)
        expected = orthanc_identifiers(
            holdings.patients[patient],
            holdings.studies[study].study_instance_uid,
            holdings.series[series].series_instance_uid,
            instance.values.sop_instance_uid,
        )
        if (patient, study, series, instance.orthanc_id) != expected:
            raise Conflict(
                f"Instance {instance.orthanc_id} is not stored under the identifier that its"
                " identifying elements give; reconstruct its study first"
            )
