"""Which instances a request is about, each once, with the resources that they belong to."""

from collections.abc import Iterable, Sequence

from curator.errors import Conflict, NotFound
from curator.gateway import Content, Gateway, Resource
from curator.level import Level
from curator.models import Model


class Source(Model):
    """An instance that is to be anonymized, by Orthanc identifiers.

    Attributes
    ----------
    file_uuid : str
        The stored file, which is another one when the instance was overwritten.
    labels : tuple of str
        Labels of the instance.
    """

    instance: str
    series: str
    study: str
    patient: str
    file_uuid: str
    labels: tuple[str, ...] = ()

    def parents(self) -> Iterable[tuple[Level, str]]:
        """Yield what the instance belongs to, from the patient down."""
        yield Level.PATIENT, self.patient
        yield Level.STUDY, self.study
        yield Level.SERIES, self.series


class Selector:
    """Finds the instances of resources."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def resource(self, level: Level, orthanc_id: str) -> Resource:
        """Read a resource of a level.

        Raises
        ------
        NotFound
            If there is none.
        """
        found = self._gateway.lookup([orthanc_id])
        if not found or found[0].level != level:
            raise NotFound(f"Unknown {level.lower()}: {orthanc_id}")
        return found[0]

    def resources(self, orthanc_ids: Sequence[str]) -> list[Resource]:
        """Read resources of any level, each once.

        Raises
        ------
        NotFound
            If one of them does not exist.
        """
        found = {one.orthanc_id: one for one in self._gateway.lookup(orthanc_ids)}
        for index, orthanc_id in enumerate(orthanc_ids):
            if orthanc_id not in found:
                raise NotFound(
                    f"$.Resources[{index}]: unknown patient, study, series or instance:"
                    f" {orthanc_id}"
                )
        return [found[one] for one in dict.fromkeys(orthanc_ids)]

    def studies(self, resources: Iterable[Resource]) -> frozenset[str]:
        """Return the studies that resources are, have, or belong to."""
        studies: set[str] = set()
        series: set[str] = set()
        for one in resources:
            match one.level:
                case Level.PATIENT:
                    below = self._gateway.descendants(Level.STUDY, one.level, one.orthanc_id, ())
                    studies.update(study.orthanc_id for study in below)
                case Level.STUDY:
                    studies.add(one.orthanc_id)
                case Level.SERIES:
                    studies.add(one.parent)
                case Level.INSTANCE:
                    series.add(one.parent)
        studies.update(self._parents(series).values())
        return frozenset(studies)

    def sources(self, resources: Iterable[Resource], with_labels: bool = False) -> list[Source]:
        """Return the instances of resources.

        Raises
        ------
        Conflict
            If they change while they are read.
        """
        content = [Content.ATTACHMENTS, Content.PARENT]
        if with_labels:
            content.append(Content.LABELS)
        found: dict[str, Resource] = {}
        files: dict[str, str] = {}
        for one in resources:
            if one.level == Level.INSTANCE:
                found[one.orthanc_id] = one
                files[one.orthanc_id] = self._file_of(one)
                continue
            level, orthanc_id = one.level, one.orthanc_id
            for below in self._gateway.descendants(Level.INSTANCE, level, orthanc_id, content):
                found[below.orthanc_id] = below
        studies = self._parents({one.parent for one in found.values()})
        patients = self._parents(set(studies.values()))
        return [
            Source(
                instance=one.orthanc_id,
                series=one.parent,
                study=studies[one.parent],
                patient=patients[studies[one.parent]],
                file_uuid=files.get(one.orthanc_id, one.file_uuid),
                labels=one.labels,
            )
            for one in found.values()
        ]

    def _file_of(self, instance: Resource) -> str:
        uuid = self._gateway.file_uuid(instance.orthanc_id)
        if uuid is None:
            raise Conflict(f"Instance {instance.orthanc_id} was deleted meanwhile")
        return uuid

    def _parents(self, orthanc_ids: set[str]) -> dict[str, str]:
        """Return the parents of series or studies by their identifiers.

        Raises
        ------
        NotFound
            If one of them was deleted meanwhile.
        """
        found = {one.orthanc_id: one.parent for one in self._gateway.lookup(sorted(orthanc_ids))}
        gone = orthanc_ids - found.keys()
        if gone:
            raise NotFound(f"Resource {min(gone)} was deleted meanwhile")
        return found
