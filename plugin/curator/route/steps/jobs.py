"""``Anonymize``, ``Split`` and ``Merge``: jobs of other features, found again after a stop."""

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from curator.conditions import parse_element
from curator.dicom.tags import Path, tag_text
from curator.errors import Conflict, CuratorError, Stopping
from curator.gateway import Resource
from curator.journal import Action, Change
from curator.level import Level
from curator.route.patience import Busy
from curator.route.ports import JobKind
from curator.route.products import ProductKind
from curator.route.run import Subject
from curator.route.steps.work import Advanced, Gone, Impossible, Result, Work

ANONYMIZED_FROM = "AnonymizedFrom"

_MADE = (Action.COPIED, Action.MOVED)


def anonymize(work: Work) -> Result:
    """Go on with anonymized copies of what there is now."""
    step = work.rule.then[work.run.position].anonymize
    if step is None:
        raise TypeError("not a step that anonymizes")
    run, tools = work.run, work.tools
    sources = work.instances()
    if not sources:
        raise Gone(run)
    subjects = _exactly(work, sources)
    try:
        content = tools.jobs.run(
            JobKind.ANONYMIZE, run.job, subjects, {"Profile": step.profile}, run.user
        )
    except (Busy, Stopping):
        raise
    except CuratorError:
        left = work.instances()
        if not left:
            raise Gone(run) from None
        if sources.keys() - left.keys():
            raise Conflict("Instances were deleted while they were anonymized") from None
        raise
    origins = {*sources, *work.instances()}
    made = {
        one: resource
        for one, resource in tools.inventory.instances(_results(content)).items()
        if resource.metadata.get(ANONYMIZED_FROM, "") in origins
    }
    gone = tools.products.note_made(run, made, ProductKind.FOUND)
    expected = content["InstancesCount"] - content["FailedInstancesCount"]
    if gone or len(made) < expected:
        tools.jobs.forget(run.job)
        raise Conflict(
            f"{expected - len(made) + len(gone)} of {expected} anonymized copies are gone"
        )
    tools.products.mark_parents(run, made.values())
    going_on = _subjects(work, made)
    return Advanced(subjects=going_on, products=going_on)


def split(work: Work) -> Result:
    """Go on with what the resource was split into, and with what was left of it."""
    body = work.rule.then[work.run.position].split
    if body is None:
        raise TypeError("not a step that splits")
    run, tools = work.run, work.tools
    begun = [one for one in run.subjects if tools.journal.operation(_part(run.job, one))]
    if not begun:
        _refuse_foreign(work)
    moves = not body.get("KeepSource", False)
    made: dict[str, Resource] = {}
    for subject in run.subjects:
        job_id = _part(run.job, subject)
        if subject in begun or tools.inventory.exists(subject):
            tools.jobs.run(JobKind.SPLIT, job_id, [subject], dict(body), run.user)
            made |= _made(work, tools.journal.changes(job_id))
    copies = tools.products.are_copies(run) or not moves
    _note(work, made, moved=not copies)
    left = [one for one in run.subjects if moves and tools.inventory.exists(one)]
    subjects = tuple(dict.fromkeys((*left, *_subjects(work, made)))) or run.subjects
    return Advanced(subjects=subjects, products=subjects if copies else ())


def merge(work: Work) -> Result:
    """Go on with the earliest of the patient's studies that have the same values."""
    step = work.rule.then[work.run.position].merge
    if step is None:
        raise TypeError("not a step that merges")
    run, tools = work.run, work.tools
    begun = tools.journal.operation(run.job)
    if begun is not None:
        target, body = begun["resource"], dict(begun["request"])
    else:
        _refuse_foreign(work)
        studies = _alike(work, [parse_element(name) for name in step.same])
        if len(studies) < 2:
            return Advanced()
        target = studies[0].orthanc_id
        body = {
            "Resources": [one.orthanc_id for one in studies[1:]],
            "KeepSource": step.keep_source,
        }
        if step.on_conflict is not None:
            body["OnConflict"] = step.on_conflict
    subject = Subject(Level.STUDY, target)
    tools.jobs.run(JobKind.MERGE, run.job, [subject], body, run.user)
    made = _made(work, tools.journal.changes(run.job))
    copies = tools.products.are_copies(run) or step.keep_source
    if copies:  # what the others are merged into goes on as well
        standing = tools.inventory.instances([subject]).keys() - made.keys()
        tools.products.note(run, dict.fromkeys(standing, ProductKind.FOUND))
    _note(work, made, moved=not copies)
    return Advanced(subjects=(subject,))


def _note(work: Work, made: Mapping[str, Resource], *, moved: bool) -> None:
    products = work.tools.products
    kind = ProductKind.MOVED if moved else ProductKind.COPY
    gone = products.note_made(work.run, made, kind)
    if gone:
        raise Conflict(f"{len(gone)} new instances were deleted meanwhile")
    products.mark_parents(work.run, made.values())


def _made(work: Work, changes: Iterable[Change]) -> dict[str, Resource]:
    """Return the instances that an operation has made, or moved, as far as they are there."""
    made = [
        Subject(Level.INSTANCE, change.new)
        for change in changes
        if change.action in _MADE and change.old != change.new
    ]
    return work.tools.inventory.instances(made)


def _exactly(work: Work, instances: Mapping[str, Resource]) -> list[Subject]:
    """Return what a job is to work on: the subjects, if there is nothing else in them."""
    subjects = list(work.run.subjects)
    if len(work.tools.inventory.instances(subjects)) == len(instances):
        there = work.tools.inventory.exists
        return [one for one in subjects if there(one)]
    return [Subject(Level.INSTANCE, one) for one in instances]


def _refuse_foreign(work: Work) -> None:
    """Refuse to move what another run has made and removes again."""
    instances = work.tools.inventory.instances(work.run.subjects)
    if not instances:
        raise Gone(work.run)
    if work.tools.products.foreign(instances, work.run.id):
        raise Busy("Another run has copies in what is to be split or merged")


def _results(content: Mapping[str, Any]) -> list[Subject]:
    """Return what an anonymization has made: one resource, or the instances of several."""
    if "ID" in content:
        return [Subject(Level(content["Type"]), content["ID"])]
    return [
        Subject(Level.INSTANCE, one["ID"])
        for one in content.get("Resources", ())
        if one["Type"] == Level.INSTANCE
    ]


def _subjects(work: Work, made: Mapping[str, Resource]) -> tuple[Subject, ...]:
    """Return what new instances belong to, at the level that the step has worked on."""
    level = work.run.subjects[0].level
    if level == Level.INSTANCE:
        return tuple(Subject(level, one) for one in made)
    lines = work.tools.inventory.lines(made.values())
    parents = (lines[one.parent].at(level) for one in made.values() if one.parent in lines)
    return tuple(Subject(level, one) for one in dict.fromkeys(parents))


def _part(job_id: str, subject: Subject) -> str:
    return str(uuid.uuid5(uuid.UUID(job_id), subject.orthanc_id))


def _alike(work: Work, paths: list[Path]) -> list[Resource]:
    """Return the studies of the patient with the same values, the earliest first.

    What is empty is not the same as anything.
    """
    gateway, run = work.tools.access.gateway, work.run
    own = gateway.resource(Level.STUDY, run.subjects[0].orthanc_id)
    if own is None:
        raise Gone(run)
    keywords = [_keyword(work, path) for path in paths]
    values = [own.tags.get(keyword, "").strip() for keyword in keywords]
    if not all(values):
        return []
    studies = gateway.passing(Level.STUDY, Level.PATIENT, own.parent)
    copies = work.tools.products.among(one.orthanc_id for one in studies)
    alike = [
        one
        for one in studies
        if [one.tags.get(keyword, "").strip() for keyword in keywords] == values
        and (one.orthanc_id not in copies or one.orthanc_id == own.orthanc_id)
    ]
    return sorted(alike, key=_when)


def _keyword(work: Work, path: Path) -> str:
    """Return the name of an element in the index of studies."""
    text = tag_text(path.tag)
    if path.steps or text not in work.tools.access.gateway.main_dicom_tags(Level.STUDY):
        raise Impossible(
            f'"Same": {path} is none of the main DICOM tags of studies on this server; add it to'
            ' "ExtraMainDicomTags"'
        )
    return text


def _when(study: Resource) -> tuple[str, str, str]:
    date, time = study.tags.get("StudyDate", ""), study.tags.get("StudyTime", "")
    return date or "9", time or "9", study.orthanc_id
