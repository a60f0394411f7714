"""Orthanc is asked to reconstruct what its index has wrong, and nothing else."""

import pytest

from curator.access import Access
from curator.errors import CoreError
from curator.gateway import Gateway
from curator.level import Level
from curator.reshape.refresh import refresh
from factory import ct_series
from unit.reshape.memory import DICOM, MemoryOrthanc


@pytest.fixture
def orthanc():
    made = MemoryOrthanc()
    for file in ct_series(2, StudyDescription="Überblick", SpecificCharacterSet="ISO_IR 100"):
        made.receive(file)
    return made


def asked(orthanc: MemoryOrthanc, level: Level) -> bool:
    """Refresh the one resource of a level; tell whether Orthanc was asked to reconstruct it."""
    (orthanc_id,) = orthanc.of(level)
    refresh(Access(Gateway(orthanc), 1, "ISO_IR 100"), level, orthanc_id)
    return any(uri.endswith("/reconstruct") for _, uri, _ in orthanc.calls)


@pytest.mark.parametrize("level", [Level.PATIENT, Level.STUDY, Level.SERIES])
def test_what_the_index_has_right_is_left_alone(orthanc, level):
    assert not asked(orthanc, level)


@pytest.mark.parametrize("wrong", ["other", None])
def test_what_the_index_has_wrong_is_read_again(orthanc, wrong):
    (study,) = orthanc.of(Level.STUDY).values()
    if wrong is None:
        del study.tags["StudyDescription"]
    else:
        study.tags["StudyDescription"] = wrong
    assert asked(orthanc, Level.STUDY)
    assert study.tags["StudyDescription"] == "Überblick"


def test_what_nobody_can_read_is_left_to_orthanc(orthanc):
    for node in orthanc.of(Level.INSTANCE).values():
        node.attachments[DICOM] = b"damaged"
    with pytest.raises(CoreError):
        asked(orthanc, Level.STUDY)
    assert orthanc.calls[-1][1].endswith("/reconstruct")


def test_what_is_gone_is_passed_over(orthanc):
    refresh(Access(Gateway(orthanc), 1, "ISO_IR 100"), Level.STUDY, "gone")
    assert not any(uri.endswith("/reconstruct") for _, uri, _ in orthanc.calls)
