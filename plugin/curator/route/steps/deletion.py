"""``Delete``: of what there was when the run began, what has arrived wherever it was sent."""

from curator.gateway import Resource
from curator.route.delivery import Delivery
from curator.route.delivery_rows import InstanceState
from curator.route.kinds import DeliveryState
from curator.route.steps.work import Advanced, Result, Work

#: Instances that are deleted in one call.
BATCH = 64

_ARRIVED = (InstanceState.DELIVERED, InstanceState.BEFORE)


def delete(work: Work) -> Result:
    """Delete originals, each only if it is the file still that was there when the run began.

    What came later, or was overwritten, has an event of its own.
    """
    inventory, gateway = work.tools.inventory, work.tools.access.gateway
    originals = work.tools.runs.originals(work.run.id)
    there = inventory.instances(work.fired_for())
    unchanged = [
        orthanc_id
        for orthanc_id, fingerprint in originals.items()
        if _is_same(work, there.get(orthanc_id), fingerprint)
    ]
    going = _arrived(work, unchanged)
    for start in range(0, len(going), BATCH):
        work.checkpoint()
        gateway.delete_instances(going[start : start + BATCH])
    kept = len([one for one in originals if one in there]) - len(going)
    if not kept:
        return Advanced()
    return Advanced(note=f"{kept} instances were not deleted: they were changed, or sent nowhere")


def _is_same(work: Work, resource: Resource | None, fingerprint: str) -> bool:
    if resource is None or not fingerprint:
        return False
    return work.tools.inventory.fingerprint(resource) == fingerprint


def _arrived(work: Work, originals: list[str]) -> list[str]:
    """Return those of some originals that, or whose copies, have arrived wherever they were sent.

    Of a copy it is not known here whose it is: where one has not arrived, no original counts.
    """
    going = set(originals)
    for delivery in work.tools.deliveries.of_run(work.run.id):
        states = {
            row["instance"]: InstanceState(row["state"])
            for row in work.tools.deliveries.instances(delivery.id)
        }
        lost = {one for one, state in states.items() if _is_lost(state, delivery)}
        are_originals = not going.isdisjoint(states)
        going = going - lost if are_originals or not lost else set()
    return sorted(going)


def _is_lost(state: InstanceState, delivery: Delivery) -> bool:
    """Tell whether an instance has not arrived, nor goes with a delivery to another destination."""
    if delivery.state == DeliveryState.REDIRECTED:
        return state == InstanceState.GONE
    return state not in _ARRIVED
