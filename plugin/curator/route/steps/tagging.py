"""``Label`` and ``Metadata``: what hangs on the resource that the rule fired for."""

from curator.errors import CoreError, ErrorCode
from curator.gateway import Gateway, uri
from curator.route.run import Subject
from curator.route.steps.work import Advanced, Gone, Impossible, Result, Work


def label(work: Work) -> Result:
    """Add and remove labels."""
    step = work.rule.then[work.run.position].label
    if step is None:
        raise TypeError("not a step that labels")
    gateway = work.tools.access.gateway
    for target in _targets(work):
        for name in step.add:
            gateway.add_label(target.level, target.orthanc_id, name)
        for name in step.remove:
            gateway.remove_label(target.level, target.orthanc_id, name)
    return Advanced()


def metadata(work: Work) -> Result:
    """Set and remove user metadata."""
    step = work.rule.then[work.run.position].metadata
    if step is None:
        raise TypeError("not a step that sets metadata")
    gateway = work.tools.access.gateway
    for target in _targets(work):
        for name, value in step.set_.items():
            _set(gateway, target, name, value)
        for name in step.remove:
            _remove(gateway, target, name)
    return Advanced()


def _targets(work: Work) -> list[Subject]:
    """Return what is there still of what the rule fired for, or what it was moved to."""
    wanted = work.fired_for()
    there = [one for one in wanted if work.tools.inventory.exists(one)]
    if not there and not work.tools.products.are_copies(work.run):
        there = [one for one in work.run.subjects if work.tools.inventory.exists(one)]
    if not there:
        raise Gone(work.run)
    return there


def _set(gateway: Gateway, target: Subject, name: str, value: str) -> None:
    """Set metadata; with ``CheckRevisions``, a server changes none that a plugin has not read."""
    try:
        gateway.set_metadata(target.level, target.orthanc_id, name, value)
    except CoreError as error:
        if error.core_code != ErrorCode.REVISION:
            raise
        if gateway.get(f"{uri(target.level, target.orthanc_id)}/metadata/{name}") != value.encode():
            raise _protected(target, name) from None


def _remove(gateway: Gateway, target: Subject, name: str) -> None:
    try:
        gateway.delete_metadata(target.level, target.orthanc_id, name)
    except CoreError as error:
        if error.core_code != ErrorCode.REVISION:
            raise
        raise _protected(target, name) from None


def _protected(target: Subject, name: str) -> Impossible:
    return Impossible(
        f"{target.level} {target.orthanc_id} has the metadata {name} already, and a server with"
        ' "CheckRevisions" lets no plugin change it'
    )
