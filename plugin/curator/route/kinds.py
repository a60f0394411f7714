"""The words of routing: what rules wait for, how runs and deliveries stand, why one fails."""

from enum import StrEnum


class Trigger(StrEnum):
    """What makes a rule look at a resource."""

    STORED_INSTANCE = "StoredInstance"
    STABLE_SERIES = "StableSeries"
    STABLE_STUDY = "StableStudy"
    STABLE_PATIENT = "StablePatient"
    COMPLETED_SERIES = "CompletedSeries"
    LABEL = "Label"
    MANUAL = "Manual"
    SCHEDULE = "Schedule"
    DELETED = "Deleted"
    UPDATED = "Updated"
    JOB = "Job"


#: Triggers whose resource is gone or is none: such rules can only tell webhooks.
NOTICES = frozenset({Trigger.DELETED, Trigger.UPDATED, Trigger.JOB})


class RunState(StrEnum):
    """How a rule stands with a resource."""

    WAITING = "Waiting"  # for more instances, completeness, its time, or the next attempt
    RUNNING = "Running"  # a step is at work, also while Orthanc is down
    SENDING = "Sending"  # its deliveries are under way
    HELD = "Held"  # incomplete at its deadline; goes on when a user says so
    FAILED = "Failed"  # a step failed for good; nothing was sent in its place
    DONE = "Done"
    CANCELED = "Canceled"


UNFINISHED_RUNS = (RunState.WAITING, RunState.RUNNING, RunState.SENDING, RunState.HELD)


class DeliveryState(StrEnum):
    """How a delivery stands."""

    QUEUED = "Queued"  # also for its next attempt
    SENDING = "Sending"  # also while Orthanc is down
    DELIVERED = "Delivered"  # every instance is confirmed
    PARKED = "Parked"  # waits for a user
    CANCELED = "Canceled"  # by a user, or what was to be sent was deleted
    REDIRECTED = "Redirected"  # a delivery to another destination has taken its place


UNFINISHED_DELIVERIES = (DeliveryState.QUEUED, DeliveryState.SENDING, DeliveryState.PARKED)


class FailureKind(StrEnum):
    """Why a delivery, or one instance of it, was not confirmed."""

    TRANSIENT = "Transient"  # tried again
    PERMANENT = "Permanent"  # parked at once
    PARTIAL = "Partial"  # some are confirmed, the rest goes again
    GONE = "Gone"  # was deleted meanwhile


class DestinationKind(StrEnum):
    """What a destination is; its name is ``kind:name``."""

    MODALITY = "modality"
    PEER = "peer"
    DICOMWEB = "dicomweb"
    WEBHOOK = "webhook"
    FOLDER = "folder"
