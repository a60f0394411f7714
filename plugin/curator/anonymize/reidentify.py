"""Give an instance back what its profile has encrypted (PS3.15 E.1.2)."""

from curator.anonymize.reversible import reidentified
from curator.dicom.errors import DicomError
from curator.errors import Conflict, UnreadableInstance
from curator.gateway import Gateway


class Reidentifier:
    """Opens what was encrypted, with the private key of the configuration.

    Parameters
    ----------
    private_key : bytes or None
        PEM; None where the configuration names none.
    default_charset : str
        Defined term for instances without Specific Character Set.
    """

    def __init__(self, gateway: Gateway, private_key: bytes | None, default_charset: str) -> None:
        self._gateway = gateway
        self._private_key = private_key
        self._default_charset = default_charset

    def reidentified(self, instance: str) -> bytes:
        """Return an instance with its original identifiers; nothing is stored.

        Raises
        ------
        Conflict
            If there is no private key.
        CannotReidentify
            If nothing is encrypted in the instance, or the key does not open it.
        UnreadableInstance
            If the instance is damaged.
        """
        if self._private_key is None:
            raise Conflict(
                "There is no private key: name its file by ReidentifyKeyFile in the configuration"
            )
        dicom = self._gateway.read(instance)
        try:
            return reidentified(dicom, self._private_key, default_charset=self._default_charset)
        except DicomError as error:
            raise UnreadableInstance(f"Instance {instance}: {error}") from None
