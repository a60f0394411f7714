"""What is overwritten where it is."""

from curator.reshape.in_place import overwritten
from curator.reshape.source import Wanted
from unit.reshape.builders import holdings_of, orthanc_id, series_uid, sop_uid, study_uid

HOLDINGS = holdings_of(
    {"P1": {"A": {"A1": [{"SeriesNumber": 3, "SeriesDescription": "d"}, {}], "A2": [{}]}}},
    Wanted(frozenset()),
)
FIRST, SECOND = orthanc_id("P1", "A", "A1", 0), orthanc_id("P1", "A", "A1", 1)


def test_instances_are_overwritten_series_by_series_and_nothing_of_them_moves():
    edits = {FIRST: {"PatientSex": "F"}, orthanc_id("P1", "A", "A2", 0): {"PatientSex": "F"}}
    found = {one.source: one for one in overwritten(HOLDINGS, edits)}
    assert found.keys() == {orthanc_id("P1", "A", "A1"), orthanc_id("P1", "A", "A2")}
    series = found[orthanc_id("P1", "A", "A1")]
    assert (series.series_number, series.series_description) == ("3", "d")
    assert (series.whole, series.edits) == (False, {})
    (instance,) = series.instances
    assert instance.stays
    assert (instance.source, instance.edits) == (FIRST, {"PatientSex": "F"})
    assert (
        (series.study_instance_uid, series.series_instance_uid, instance.sop_instance_uid)
        == (
            series.source_study_instance_uid,
            series.source_series_instance_uid,
            instance.source_sop_instance_uid,
        )
        == (study_uid("A"), series_uid("A1"), sop_uid("A1", 0))
    )
    assert (series.orthanc_id, series.study_orthanc_id, series.patient_orthanc_id) == (
        series.source,
        series.source_study,
        series.source_patient,
    )


def test_what_does_not_change_is_not_overwritten():
    assert overwritten(HOLDINGS, {}) == ()
    assert overwritten(HOLDINGS, {FIRST: {}}) == ()
    (series,) = overwritten(HOLDINGS, {FIRST: {}, SECOND: {"PatientSex": None}})
    assert [one.source for one in series.instances] == [SECOND]
