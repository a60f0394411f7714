"""Levels of the DICOM model of the real world."""

from enum import StrEnum


class Level(StrEnum):
    """Levels of the DICOM model of the real world, named as in the core's JSON."""

    PATIENT = "Patient"
    STUDY = "Study"
    SERIES = "Series"
    INSTANCE = "Instance"

    @property
    def collection(self) -> str:
        """First component of the level's URIs: ``patients``, ``studies``, ``series``, and so on."""
        return _COLLECTIONS[self]


_COLLECTIONS = {
    Level.PATIENT: "patients",
    Level.STUDY: "studies",
    Level.SERIES: "series",
    Level.INSTANCE: "instances",
}
