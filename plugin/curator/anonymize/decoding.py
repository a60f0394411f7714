"""Decode the pixels of stored instances: by the server as far as it can, else by pydicom."""

from __future__ import annotations

from curator.anonymize.native import with_decoded_pixels
from curator.anonymize.pixels import jpeg2000, syntax
from curator.dicom import engine
from curator.errors import CoreError
from curator.gateway import Gateway


class Decoder:
    """Decodes instances with compressed pixels."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def native(self, instance: str, dicom: bytes) -> bytes:
        """Return a stored instance in Explicit VR Little Endian.

        Parameters
        ----------
        instance : str
            Orthanc identifier.
        dicom : bytes
            Its file.

        Raises
        ------
        Refused
            If nobody can decode it.
        DicomError
            If it cannot be read for certain.
        """
        try:
            if engine.transfer_syntax(dicom) in jpeg2000.JPEG_2000:
                return jpeg2000.decoded(dicom, self._gateway.picture)
            decoded = self._gateway.native(instance)
        except CoreError:
            return syntax.decoded(dicom)
        return with_decoded_pixels(dicom, decoded)
