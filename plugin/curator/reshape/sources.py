"""Reads from Orthanc what a plan needs to know."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from curator.dicom.errors import DicomError
from curator.dicom.identifiers import orthanc_identifiers
from curator.dicom.tags import Path
from curator.errors import Conflict, CoreError, NotFound
from curator.gateway import Gateway, Level, Resource
from curator.reshape import values
from curator.reshape.files import FileCache
from curator.reshape.numbering import whole_number
from curator.reshape.split import Source, SourceInstance, SourceSeries
from curator.reshape.values import Values


class SourceReader:
    """Reads studies and series with the values of their instances.

    Parameters
    ----------
    gateway : Gateway
    threads : int
        Instances that are read at the same time.
    default_charset : str
        Defined term for instances without Specific Character Set.
    """

    def __init__(self, gateway: Gateway, threads: int, default_charset: str) -> None:
        self._gateway = gateway
        self._threads = threads
        self._default_charset = default_charset

    def study_of(self, level: Level, orthanc_id: str) -> str:
        """Return the Orthanc identifier of the study that a study or series is in.

        Raises
        ------
        NotFound
            If there is no such resource.
        """
        resource = self._resource(level, orthanc_id)
        return resource.parent if level == Level.SERIES else resource.orthanc_id

    def instances(self, level: Level, orthanc_id: str) -> list[Resource]:
        """Read the instances of a study or series with what hangs on them."""
        return self._gateway.descendants(Level.INSTANCE, level, orthanc_id)

    def read(
        self,
        level: Level,
        orthanc_id: str,
        instances: Sequence[Resource],
        paths: Iterable[Path],
        files: FileCache,
    ) -> Source:
        """Read a study, or one series of it.

        Parameters
        ----------
        instances : sequence of Resource
            All instances of it.
        files : FileCache
            Where the files are kept.

        Raises
        ------
        NotFound
            If there is no such resource.
        Conflict
            If it changes meanwhile.
        """
        study = self._resource(Level.STUDY, self.study_of(level, orthanc_id))
        patient = self._resource(Level.PATIENT, study.parent)
        series = self._gateway.descendants(Level.SERIES, Level.STUDY, study.orthanc_id)
        readable, unreadable = self._values(instances, frozenset(paths), files)
        source = Source(
            level=level,
            orthanc_id=orthanc_id,
            patient_orthanc_id=patient.orthanc_id,
            patient_id=patient.tags.get("PatientID", ""),
            study_orthanc_id=study.orthanc_id,
            study_instance_uid=study.tags["StudyInstanceUID"],
            series=tuple(self._series(one, instances) for one in series),
            instances=tuple(readable),
            unreadable=tuple(unreadable),
        )
        _check_identifiers(source)
        return source

    def _resource(self, level: Level, orthanc_id: str) -> Resource:
        resource = self._gateway.resource(level, orthanc_id)
        if resource is None:
            raise NotFound(f"Unknown {level.lower()}: {orthanc_id}")
        return resource

    def _series(self, series: Resource, instances: Sequence[Resource]) -> SourceSeries:
        return SourceSeries(
            orthanc_id=series.orthanc_id,
            series_instance_uid=series.tags["SeriesInstanceUID"],
            instances_count=sum(one.parent == series.orthanc_id for one in instances),
            series_number=whole_number(series.tags.get("SeriesNumber", "")),
        )

    def _values(
        self, instances: Sequence[Resource], paths: frozenset[Path], files: FileCache
    ) -> tuple[list[SourceInstance], list[tuple[str, str]]]:
        readable: list[SourceInstance] = []
        unreadable: list[tuple[str, str]] = []

        def read(instance: Resource) -> Values | str:
            try:
                dicom = self._gateway.read(instance.orthanc_id)
                files.keep(instance.orthanc_id, dicom)
                return values.read(dicom, paths, self._default_charset)
            except DicomError as error:
                return str(error)
            except CoreError as error:
                if error.unknown_resource:
                    raise Conflict(
                        f"Instance {instance.orthanc_id} was deleted meanwhile"
                    ) from None
                return error.message

        with ThreadPoolExecutor(self._threads, "curator-read") as pool:
            for instance, found in zip(instances, pool.map(read, instances), strict=True):
                if isinstance(found, str):
                    unreadable.append((instance.orthanc_id, found))
                else:
                    readable.append(
                        SourceInstance(
                            instance.orthanc_id, instance.parent, instance.file_uuid, found
                        )
                    )
        return readable, unreadable


def _check_identifiers(source: Source) -> None:
    """Make sure that Orthanc's identifiers are computed here as they are there.

    The plan tells future identifiers, and a crash is cleaned up by them.
    """
    series_uids = {one.orthanc_id: one.series_instance_uid for one in source.series}
    for instance in source.instances:
        computed = orthanc_identifiers(
            source.patient_id,
            source.study_instance_uid,
            series_uids[instance.series],
            instance.values.sop_instance_uid,
        )[3]
        if computed != instance.orthanc_id:
            raise Conflict(
                f"Instance {instance.orthanc_id} is not stored under the identifier that its"
                " identifying elements give; reconstruct its study first"
                " (POST /studies/{id}/reconstruct)"
            )
