"""What the on-change callback tells, in the words of routing."""

from curator.level import Level
from curator.route.kinds import Trigger
from curator.sdk import Sdk


class Signals:
    """Knows the numbers that the on-change callback is called with.

    Parameters
    ----------
    sdk : Sdk
        The module ``orthanc``.
    """

    def __init__(self, sdk: Sdk) -> None:
        changes, levels = sdk.ChangeType, sdk.ResourceType
        self._triggers = {
            int(changes.NEW_INSTANCE): Trigger.STORED_INSTANCE,
            int(changes.STABLE_SERIES): Trigger.STABLE_SERIES,
            int(changes.STABLE_STUDY): Trigger.STABLE_STUDY,
            int(changes.STABLE_PATIENT): Trigger.STABLE_PATIENT,
            int(changes.COMPLETED_SERIES): Trigger.COMPLETED_SERIES,
            int(changes.UPDATED_ATTACHMENT): Trigger.UPDATED,
            int(changes.UPDATED_METADATA): Trigger.UPDATED,
            int(changes.DELETED): Trigger.DELETED,
            int(changes.JOB_SUBMITTED): Trigger.JOB,
            int(changes.JOB_SUCCESS): Trigger.JOB,
            int(changes.JOB_FAILURE): Trigger.JOB,
        }
        self._jobs = {
            int(changes.JOB_SUBMITTED): "Submitted",
            int(changes.JOB_SUCCESS): "Success",
            int(changes.JOB_FAILURE): "Failure",
        }
        self._levels = {
            int(levels.PATIENT): Level.PATIENT,
            int(levels.STUDY): Level.STUDY,
            int(levels.SERIES): Level.SERIES,
            int(levels.INSTANCE): Level.INSTANCE,
        }

    def trigger(self, change: int) -> Trigger | None:
        """Return what a change means to rules."""
        return self._triggers.get(change)

    def level(self, number: int) -> Level:
        """Return the level of the resource; of what is none, such as a job, the patient's."""
        return self._levels.get(number, Level.PATIENT)

    def job_state(self, change: int) -> str:
        """Return what has become of a job."""
        return self._jobs[change]
