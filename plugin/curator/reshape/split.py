"""The plan of a split, from the values of the instances and the request; pure."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from curator.conditions import parse_element
from curator.dicom.identifiers import derived_uid
from curator.dicom.tags import Path, dictionary_vr, parse_path
from curator.errors import BadRequest
from curator.reshape import moving, numbering
from curator.reshape.criteria import Criterion, Key
from curator.reshape.modules import SERIES_LEVEL, STUDY_LEVEL
from curator.reshape.moving import (
    SERIES_UID,
    Destination,
    count_edits,
    created,
    digest_of,
    moved_series,
    numbered,
    refuse_unreadable,
    series_uid,
)
from curator.reshape.naming import LIMITS, Template
from curator.reshape.numbering import SeriesNumbers
from curator.reshape.plan import Edits, Kind, Plan, PlannedGroup, PlannedSeries
from curator.reshape.request import Into, Missing, SplitRequest
from curator.reshape.source import (
    Holdings,
    SourceInstance,
    SourceSeries,
    SourceStudy,
    by_series,
)
from curator.reshape.values import Values

#: Where the name of a group is cut; it ends up in answers and descriptions.
_NAME_LIMIT = 200

_STUDY_KEYWORDS = ("StudyDescription", "StudyID", "AccessionNumber")
_SERIES_KEYWORDS = ("SeriesDescription", "SeriesNumber")
_IDENTIFIERS = frozenset(
    map(parse_path, ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"))
)
_PATIENT_ID = parse_path("PatientID")
_SERIES_DESCRIPTION = parse_path("SeriesDescription")
_CONCATENATION = parse_path("ConcatenationUID")

#: What the plan reads, beyond what criteria, conditions and templates ask for.
PATHS = (*moving.PATHS, _CONCATENATION, _PATIENT_ID)


@dataclass(frozen=True)
class Source:
    """What is to be split: a study, or one of its series.

    ``series`` are all series of the study; ``instances`` those of the study or series to be split
    that can be read, and ``unreadable`` the Orthanc identifiers of the others.
    """

    level: str
    orthanc_id: str
    patient_id: str
    study: SourceStudy
    series: tuple[SourceSeries, ...]
    instances: tuple[SourceInstance, ...]
    unreadable: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class _Group:
    name: str
    values: dict[str, str]
    instances: tuple[SourceInstance, ...]


def source_of(holdings: Holdings, level: str, orthanc_id: str) -> Source:
    """Return the study, or the one series, that is to be split.

    Raises
    ------
    KeyError
        If it is not among what was read.
    """
    series = holdings.series.get(orthanc_id)
    study = holdings.studies[orthanc_id if series is None else series.study]
    return Source(
        level=level,
        orthanc_id=orthanc_id,
        patient_id=holdings.patients[study.patient],
        study=study,
        series=tuple(
            one if series in (None, one) else replace(one, instances_count=0)
            for one in holdings.series_of(study.orthanc_id)
        ),
        instances=holdings.within([orthanc_id]),
        unreadable=holdings.unreadable_within([orthanc_id]),
    )


def paths(request: SplitRequest) -> frozenset[Path]:
    """Return the elements that have to be read for a plan."""
    asked: set[Path] = set(PATHS)
    for criterion in request.criteria():
        asked.update(criterion.paths)
    if request.where is not None:
        asked.update(request.where.paths())
    for template in request.templates().values():
        asked.update(template.paths())
    return frozenset(asked)


def check(request: SplitRequest, default: Into) -> Into:
    """Check what does not depend on the instances, and return what groups become.

    Raises
    ------
    BadRequest
        With the JSON path of the field.
    """
    into = request.into or default
    if not (request.by or request.series or request.instances or request.where):
        raise BadRequest('$: one of "By", "Series", "Instances" and "Where" is needed')
    allowed = STUDY_LEVEL if into == Into.STUDIES else SERIES_LEVEL
    modules = "patient and study" if into == Into.STUDIES else "series and equipment"
    places = {f'$.Replace["{text}"]': text for text in request.replace}
    places |= {f"$.Remove[{index}]": text for index, text in enumerate(request.remove)}
    for place, text in places.items():
        path = parse_element(text)
        if path in _IDENTIFIERS or path.steps or path.tag not in allowed:
            raise BadRequest(
                f"{place}: {text} is not in the {modules} modules, so it cannot be changed"
                f" while splitting into {into}"
            )
    for text, value in request.replace.items():
        if isinstance(value, str) == (dictionary_vr(parse_element(text).tag) == "SQ"):
            raise BadRequest(
                f'$.Replace["{text}"]: an array of objects is for sequences, a text for all others'
            )
    if numbering.SERIES_NUMBER in map(parse_element, request.remove):
        raise BadRequest("$.Remove: SeriesNumber stays, since it keeps series apart")
    _templates(request, into)
    if into == Into.SERIES and SERIES_UID in request.keep:
        raise BadRequest(
            "$.Keep: SeriesInstanceUID cannot be kept while splitting into series,"
            " which would leave the instances where they are"
        )
    return into


def make_plan(source: Source, request: SplitRequest, default: Into, now: datetime) -> Plan:
    """Plan a split.

    Raises
    ------
    BadRequest
        If the request does not fit the instances.
    Conflict
        If it names another state of the source than there is (``Plan``).
    """
    into = check(request, default)
    source = replace(source, instances=tuple(sorted(source.instances, key=_place)))
    digest = _digest(source, request, into)
    unreadable = refuse_unreadable(source.unreadable, request)
    warnings: list[str] = []
    groups = list(_groups(source, request, into, warnings))
    planner = _Planner(source, request, into, digest)
    planned = tuple(planner.group(number, group) for number, group in enumerate(groups, start=1))
    moved = sum(group.instances_count for group in planned)
    if not moved:
        warnings.append("There is nothing to split: all instances belong to one group")
    unmoved = len(source.instances) - moved
    studies = {series.study_instance_uid for group in planned for series in group.series}
    whole = source.level == "Study" and not (unmoved or unreadable)
    moves = into == Into.STUDIES and whole and len(studies) == 1
    return Plan(
        kind=Kind.SPLIT,
        digest=digest,
        created=created(now),
        level=source.level,
        resource=source.orthanc_id,
        parents=(source.orthanc_id,),
        studies={source.study.study_instance_uid: studies.pop()} if moves else {},
        keep_source=request.keep_source,
        keep_labels=request.keep_labels,
        original_attributes=request.original_attributes,
        groups=planned,
        unmoved=unmoved,
        unreadable=unreadable,
        warnings=tuple(warnings),
    )


def _place(instance: SourceInstance) -> tuple[str, str]:
    return instance.series, instance.orthanc_id


# Groups


def _groups(
    source: Source, request: SplitRequest, into: Into, warnings: list[str]
) -> Iterator[_Group]:
    if request.explicit_groups:
        yield from _explicit_groups(source, request, warnings)
        return
    selected = _whole_concatenations(source, _selected(source, request), warnings)
    if not selected:
        raise BadRequest("No instance is selected")
    if not request.by:
        yield _Group("Selection", {}, selected)
        return
    for scope in _scopes(selected, into):
        groups = _separate(scope, request, warnings)
        if len(groups) > 1 or len(scope) < _size_of_scope(source, scope, into):
            yield from groups


def _explicit_groups(
    source: Source, request: SplitRequest, warnings: list[str]
) -> Iterator[_Group]:
    seen: set[str] = set()
    for number, group in enumerate(request.explicit_groups):
        place = f"$.By[0].Groups[{number}]"
        members = _members(source, group.series or (), group.instances or (), place)
        where = request.where
        if where is not None:
            members = tuple(one for one in members if where.holds(one.values.strings))
        members = _whole_concatenations(source, members, warnings)
        twice = seen.intersection(one.orthanc_id for one in members)
        if twice:
            raise BadRequest(f"{place}: instance {min(twice)} is in two groups")
        seen.update(one.orthanc_id for one in members)
        if members:
            yield _Group(group.name[:_NAME_LIMIT], {}, members)


def _selected(source: Source, request: SplitRequest) -> tuple[SourceInstance, ...]:
    if request.series is None and request.instances is None:
        selected = source.instances
    else:
        selected = _members(source, request.series or (), request.instances or (), "$")
    where = request.where
    if where is None:
        return selected
    return tuple(instance for instance in selected if where.holds(instance.values.strings))


def _whole_concatenations(
    source: Source, selected: tuple[SourceInstance, ...], warnings: list[str]
) -> tuple[SourceInstance, ...]:
    """Add the other parts of concatenations that are selected in part."""
    chosen = {instance.orthanc_id for instance in selected}
    begun = {instance.values.string(_CONCATENATION) for instance in selected} - {""}
    added = {
        instance.orthanc_id
        for instance in source.instances
        if instance.orthanc_id not in chosen and instance.values.string(_CONCATENATION) in begun
    }
    warnings += map(_concatenation_warning, sorted(added))
    return tuple(one for one in source.instances if one.orthanc_id in chosen | added)


def _concatenation_warning(instance_orthanc_id: str) -> str:
    return f"Instance {instance_orthanc_id} stays with its concatenation"


def _members(
    source: Source, series: Iterable[str], instances: Iterable[str], place: str
) -> tuple[SourceInstance, ...]:
    """Return the instances named one by one or by their series, each once."""
    known_series = {one.orthanc_id for one in source.series if one.instances_count}
    known = {instance.orthanc_id for instance in source.instances}
    known |= {orthanc_id for orthanc_id, _reason in source.unreadable}
    wanted_series, wanted = set(series), set(instances)
    for field, unknown in (
        ("Series", wanted_series - known_series),
        ("Instances", wanted - known),
    ):
        if unknown:
            raise BadRequest(
                f"{place}.{field}: {min(unknown)} does not belong to"
                f" {source.level} {source.orthanc_id}"
            )
    return tuple(
        instance
        for instance in source.instances
        if instance.series in wanted_series or instance.orthanc_id in wanted
    )


def _scopes(selected: Sequence[SourceInstance], into: Into) -> list[list[SourceInstance]]:
    """Return what is separated on its own: each series, or the whole study."""
    if into == Into.STUDIES:
        return [list(selected)]
    return list(by_series(selected).values())


def _size_of_scope(source: Source, scope: Sequence[SourceInstance], into: Into) -> int:
    """Count the readable instances that the scope was selected from."""
    if into == Into.STUDIES:
        return len(source.instances)
    return sum(instance.series == scope[0].series for instance in source.instances)


def _separate(
    scope: Sequence[SourceInstance], request: SplitRequest, warnings: list[str]
) -> list[_Group]:
    criteria = request.criteria()
    values = [instance.values for instance in scope]
    columns = [criterion.keys(values) for criterion in criteria]
    _refuse_missing(request, criteria, columns)
    keys: list[tuple[Key | None, ...]] = list(zip(*columns, strict=True))
    _keep_concatenations(scope, keys, warnings)
    members: dict[tuple[Key | None, ...], list[SourceInstance]] = defaultdict(list)
    for instance, key in zip(scope, keys, strict=True):
        members[key].append(instance)
    separating = _separating(criteria, list(members))
    return [
        _Group(_name(criteria, key, separating), _texts(criteria, key), tuple(members[key]))
        for key in sorted(members, key=_sort_key)
    ]


def _refuse_missing(
    request: SplitRequest, criteria: Sequence[Criterion], columns: Sequence[Sequence[Key | None]]
) -> None:
    if request.missing == Missing.GROUP:
        return
    for criterion, column in zip(criteria, columns, strict=True):
        missing = column.count(None)
        if missing:
            raise BadRequest(f"{criterion.name} is missing in {missing} of {len(column)} instances")


def _keep_concatenations(
    scope: Sequence[SourceInstance], keys: list[tuple[Key | None, ...]], warnings: list[str]
) -> None:
    """Give all parts of a concatenation one key, their least (PS3.3 C.7.6.16.2.2.4)."""
    parts: dict[str, list[int]] = defaultdict(list)
    for index, instance in enumerate(scope):
        concatenation = instance.values.string(_CONCATENATION)
        if concatenation:
            parts[concatenation].append(index)
    for indexes in parts.values():
        least = min((keys[index] for index in indexes), key=_sort_key)
        for index in indexes:
            if keys[index] != least:
                warnings.append(_concatenation_warning(scope[index].orthanc_id))
                keys[index] = least


def _separating(
    criteria: Sequence[Criterion], keys: Sequence[tuple[Key | None, ...]]
) -> frozenset[int]:
    """Return the criteria by which the groups differ; all of them if there is one group."""
    differing = {index for index in range(len(criteria)) if len({key[index] for key in keys}) > 1}
    return frozenset(differing or range(len(criteria)))


def _name(
    criteria: Sequence[Criterion], key: tuple[Key | None, ...], separating: frozenset[int]
) -> str:
    parts = [
        f"{criterion.name} missing" if value is None else f"{criterion.name}={value.text}"
        for index, (criterion, value) in enumerate(zip(criteria, key, strict=True))
        if index in separating
    ]
    return ", ".join(parts)[:_NAME_LIMIT]


def _texts(criteria: Sequence[Criterion], key: tuple[Key | None, ...]) -> dict[str, str]:
    return {
        criterion.name: value.text
        for criterion, value in zip(criteria, key, strict=True)
        if value is not None
    }


def _sort_key(key: tuple[Key | None, ...]) -> tuple[Any, ...]:
    return tuple((value is None, value or Key((), "")) for value in key)


# New series


class _Planner:
    """Turns groups into new series, with identifiers, numbers and edits."""

    def __init__(self, source: Source, request: SplitRequest, into: Into, digest: str) -> None:
        self._source = source
        self._request = request
        self._into = into
        self._digest = digest
        self._templates = _templates(request, into)
        self._patient_id = _new_patient_id(source, request)
        self._numbers = SeriesNumbers(
            [one.series_number for one in source.series if one.series_number is not None]
        )
        self._series = {one.orthanc_id: one for one in source.series}

    def group(self, number: int, group: _Group) -> PlannedGroup:
        if self._into == Into.STUDIES:
            self._numbers = SeriesNumbers()
        return PlannedGroup(
            name=group.name,
            values=group.values,
            series=tuple(
                self._planned(number, group, self._series[series], instances)
                for series, instances in by_series(group.instances).items()
            ),
        )

    def _planned(
        self, number: int, group: _Group, series: SourceSeries, instances: list[SourceInstance]
    ) -> PlannedSeries:
        order = numbering.instance_order([instance.values for instance in instances])
        instances = [instances[index] for index in order]
        keep, first = self._request.keep, instances[0].values
        edits = self._edits(number, group, instances)
        shown = {
            path: first.string(path) for path in (_SERIES_DESCRIPTION, numbering.SERIES_NUMBER)
        }
        shown |= {path: edits[str(path)] or "" for path in shown if str(path) in edits}
        destination = Destination(
            patient_id=self._patient_id,
            study_instance_uid=self._study_uid(number),
            series_instance_uid=series_uid(keep, self._digest, series, len(instances), str(number)),
            series_number=shown[numbering.SERIES_NUMBER],
            series_description=shown[_SERIES_DESCRIPTION],
        )
        members = numbered(instances, destination, keep, self._digest)
        return moved_series(self._source.study, series, destination, edits, members)

    def _edits(self, number: int, group: _Group, instances: Sequence[SourceInstance]) -> Edits:
        first = instances[0].values
        edits = count_edits(instances)
        edits |= {str(parse_element(text)): None for text in self._request.remove}
        edits |= {str(parse_element(text)): value for text, value in self._request.replace.items()}
        for keyword, template in self._templates.items():
            of_study = keyword in _STUDY_KEYWORDS  # the same in all series of the study
            named_after = group.instances[0].values if of_study else first
            edits[keyword] = template.fill(named_after.strings, group.name, number, LIMITS[keyword])
        edits.update(self._series_number(edits.get("SeriesNumber"), first))
        return edits

    def _series_number(self, named: str | None, values: Values) -> dict[str, str]:
        """Choose a series number: as named, else as before where that is free, else the next."""
        present = numbering.whole(values, numbering.SERIES_NUMBER)
        if named is not None:
            wanted = numbering.whole_number(named)
        elif self._into == Into.STUDIES:
            if present is None:
                return {}
            wanted = present
        else:
            wanted = None
        return {"SeriesNumber": str(self._numbers.take(wanted))}

    def _study_uid(self, number: int) -> str:
        if self._into == Into.STUDIES:
            return derived_uid(self._digest, "study", str(number))
        return self._source.study.study_instance_uid


def _templates(request: SplitRequest, into: Into) -> dict[str, Template]:
    """Return the templates by the keyword that they fill, with the short form resolved."""
    allowed = _SERIES_KEYWORDS if into == Into.SERIES else (*_STUDY_KEYWORDS, *_SERIES_KEYWORDS)
    templates = request.templates()
    if "Description" in templates:
        keyword = "SeriesDescription" if into == Into.SERIES else "StudyDescription"
        templates[keyword] = templates.pop("Description")
    replaced = {str(parse_element(text)) for text in (*request.replace, *request.remove)}
    for keyword in templates:
        if keyword not in allowed:
            raise BadRequest(
                f'$.Naming["{keyword}"]: while splitting into {into}, these can be named:'
                f" {', '.join(allowed)}"
            )
        if keyword in replaced:
            raise BadRequest(f'$.Naming["{keyword}"]: is also in "Replace" or "Remove"')
    return templates


def _new_patient_id(source: Source, request: SplitRequest) -> str:
    for text, value in request.replace.items():
        if parse_element(text) == _PATIENT_ID:
            return str(value).strip()
    if any(parse_element(text) == _PATIENT_ID for text in request.remove):
        return ""
    return source.patient_id


def _digest(source: Source, request: SplitRequest, into: Into) -> str:
    unreadable = [orthanc_id for orthanc_id, _reason in source.unreadable]
    state = moving.described_state(source.instances, unreadable, source.series)
    return digest_of(source.orthanc_id, request, {"Into": into, **state})
