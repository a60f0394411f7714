"""What a kind of destination can do, so that a rule that asks for more is refused."""

from curator.route.delivery import Failure, Outcome, Package, SendOptions
from curator.route.kinds import DestinationKind, FailureKind

_TRANSCODES = frozenset(DestinationKind) - {DestinationKind.DICOMWEB}
_COMMITS = frozenset({DestinationKind.MODALITY})
_COUNTS = frozenset({DestinationKind.MODALITY, DestinationKind.DICOMWEB})


def missing(kind: DestinationKind, options: SendOptions, transcode: str | None) -> str | None:
    """Return what is asked of a destination that its kind cannot do, None where nothing is.

    A delivery that cannot be checked as its rule wants is not made: a step that deletes may follow.

    Parameters
    ----------
    transcode : str or None
        Transfer syntax UID of what is to be sent.
    """
    if transcode is not None and kind not in _TRANSCODES:
        return f"{kind} destinations cannot transcode: Orthanc sends the files as they are stored"
    if options.storage_commitment and kind not in _COMMITS:
        return f"StorageCommitment is possible with modalities only, not with {kind} destinations"
    if options.check_count and kind not in _COUNTS:
        return f"CheckCount is possible with modalities and DICOMweb servers, not with {kind}"
    return None


def refusal(kind: DestinationKind, package: Package, transcode: str | None) -> Outcome | None:
    """Return the outcome of a package that asks for more than its destination can do.

    Parameters
    ----------
    transcode : str or None
        Transfer syntax UID in the settings of the destination.
    """
    options = package.delivery.options
    lacking = missing(kind, options, options.transcode or transcode)
    return Outcome(failure=Failure(FailureKind.PERMANENT, lacking)) if lacking else None
