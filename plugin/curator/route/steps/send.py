"""``Send``: open the deliveries of what there is now, or see that they are over."""

from collections.abc import Mapping
from dataclasses import replace

from curator.gateway import Resource
from curator.route.delivery import Delivery, Item, SendOptions
from curator.route.kinds import UNFINISHED_DELIVERIES, DeliveryState
from curator.route.rule import Rule
from curator.route.steps.work import Advanced, Gone, Result, Sending, Work

#: Seconds of an hour, which ``MaxAge`` of a rule is in.
HOUR = 3600.0


def send(work: Work) -> Result:
    """Open a delivery to every destination; opened again after a stop, it is the same."""
    step = work.rule.then[work.run.position].send
    if step is None:
        raise TypeError("not a step that sends")
    instances = {} if work.rule.only_tells else work.instances()
    if not instances and not work.rule.only_tells:
        raise Gone(work.run)
    senders = work.tools.senders
    back = {} if work.rule.return_to_sender else senders.sent_by(step.to, instances)
    items = _items(work, instances)
    copies = work.tools.products.are_copies(work.run)
    options = replace(options_of(work.rule, work.run.position), copies=copies)
    for destination in step.to:
        going = [one for name, one in items.items() if name not in back.get(destination, ())]
        if going or work.rule.only_tells:
            work.checkpoint()
            work.tools.deliveries.open(work.run, destination, going, options, work.run.event)
    nowhere = frozenset.intersection(*(back.get(one, frozenset()) for one in step.to))
    if nowhere:
        origins = senders.origins({one: instances[one] for one in nowhere})
        work.tools.runs.spare(work.run.id, origins)
    note = "; ".join(
        f"{len(found)} instances came from {destination} and were not sent back"
        for destination, found in back.items()
    )
    return Advanced(note=note) if instances and len(nowhere) == len(instances) else Sending(note)


def _items(work: Work, instances: Mapping[str, Resource]) -> dict[str, Item]:
    items: dict[str, Item] = {}
    for orthanc_id, resource in instances.items():
        work.checkpoint()
        items[orthanc_id] = Item(orthanc_id, work.tools.inventory.fingerprint(resource))
    return items


def options_of(rule: Rule, position: int) -> SendOptions:
    """Return how the deliveries of a step are made."""
    step = rule.then[position].send
    transcoding = [one.transcode for one in rule.then[:position] if one.transcode is not None]
    return SendOptions(
        transcode=transcoding[-1] if transcoding else None,
        storage_commitment=step is not None and step.storage_commitment,
        check_count=step is not None and step.check_count,
        attempts=rule.retry.attempts,
        first=rule.retry.first,
        longest=rule.retry.max_,
        max_age=rule.retry.max_age * HOUR,
        window=rule.window,
    )


def are_over(deliveries: list[Delivery]) -> bool:
    """Tell whether nothing more comes of deliveries."""
    return not any(one.state in UNFINISHED_DELIVERIES for one in deliveries)


def not_delivered(deliveries: list[Delivery]) -> list[Delivery]:
    """Return those that are over without having come to any destination."""
    return [one for one in deliveries if one.state == DeliveryState.CANCELED]
