"""What rules are told of stored resources, and what it costs to know it."""

import pytest

from curator.dicom.tags import parse_path
from curator.errors import BadRequest
from curator.gateway import Gateway
from curator.level import Level
from curator.models import validate
from curator.route.decide import decide
from curator.route.facts import Source, Undecidable
from curator.route.kinds import Trigger
from curator.route.reading import FactsReader
from curator.route.rule import RuleSet
from factory import ct_series, make_instance, make_study, mr_series, uid
from unit.fake_sdk import FakeOrthancError
from unit.route.logging_orthanc import Clock, LoggingOrthanc, rule

STUDY = make_study(
    [
        ct_series(count=2, RequestAttributesSequence=[{"RequestedProcedureID": "RP1"}]),
        mr_series(count=2, echo_times=(10.0,)),
    ]
)


@pytest.fixture
def orthanc():
    orthanc = LoggingOrthanc(Clock())
    for file in STUDY:
        orthanc.put_instance(file)
    return orthanc


@pytest.fixture
def reader(orthanc):
    return FactsReader(Gateway(orthanc), "ISO_IR 100", orthanc.clock)


@pytest.fixture
def study(orthanc, reader):
    return reader.facts(Level.STUDY, orthanc.only(Level.STUDY))


def files_read(orthanc: LoggingOrthanc) -> int:
    return sum(uri.endswith("/file") for _, uri, _ in orthanc.calls)


def test_values_are_those_of_all_series_each_once(study):
    assert sorted(study.values(parse_path("Modality"))) == ["CT", "MR"]
    assert study.values(parse_path("StudyDescription")) == ("Synthetic study",)
    assert study.values(parse_path("PatientID")) == ("SYN0001",)


def test_main_dicom_tags_of_all_levels_above_are_known_of_an_instance(orthanc, reader):
    (first, *_) = orthanc.of(Level.INSTANCE)
    facts = reader.facts(Level.INSTANCE, first)
    for keyword, value in {
        "PatientID": "SYN0001",
        "StudyDescription": "Synthetic study",
        "Modality": "CT",
        "InstanceNumber": "1",
    }.items():
        assert facts.values(parse_path(keyword)) == (value,)
    assert files_read(orthanc) == 0


def test_main_dicom_tags_read_no_file_for_any_number_of_rules(orthanc, study):
    conditions = [{"Tag": "Modality", "Equals": f"X{number}"} for number in range(199)]
    conditions.append(
        {"All": [{"Tag": "PatientID", "Like": "SYN*"}, {"Tag": "Modality", "In": ["MR"]}]}
    )
    rules = [rule(f"r{number}", "StableStudy", If=one) for number, one in enumerate(conditions)]
    found = decide(validate(RuleSet, {"Rules": rules}).rules, Trigger.STABLE_STUDY, study)
    assert [one.rule.name for one in found if one.fires] == ["r199"]
    assert files_read(orthanc) == 0
    assert len(orthanc.calls) < 10


def test_other_elements_come_from_one_file_of_every_series(orthanc, study):
    assert study.values(parse_path("EchoTime")) == ("10.0",)
    path = parse_path("RequestAttributesSequence[*].RequestedProcedureID")
    assert study.values(path) == ("RP1",)
    assert study.values(path) == ("RP1",)
    assert files_read(orthanc) == 2


def test_what_the_index_did_not_keep_when_it_was_stored_comes_from_the_file(orthanc, study):
    for node in orthanc.of(Level.SERIES).values():
        del node.tags["Modality"]
        node.metadata["MainDicomTagsSignature"] = "0008,103e"
    assert sorted(study.values(parse_path("Modality"))) == ["CT", "MR"]
    assert files_read(orthanc) == 2


def test_what_the_index_says_is_absent_is_absent(orthanc, study):
    for node in orthanc.of(Level.SERIES).values():
        del node.tags["SeriesDescription"]
    assert study.values(parse_path("SeriesDescription")) == ()
    assert files_read(orthanc) == 0


def test_what_cannot_be_read_is_undecidable_and_says_no_value(orthanc, study):
    def refuse(_instance):
        raise FakeOrthancError(13, "Inexistent file")

    orthanc.GetDicomForInstance = refuse
    with pytest.raises(Undecidable, match="EchoTime cannot be read") as refused:
        study.values(parse_path("EchoTime"))
    assert "10" not in str(refused.value)


def test_a_study_that_is_deleted_meanwhile_is_not_one_without_series(orthanc, study):
    orthanc.remove(*orthanc.of(Level.INSTANCE))
    for path in ("Modality", "EchoTime"):
        with pytest.raises(Undecidable):
            study.values(parse_path(path))
    with pytest.raises(Undecidable):
        len(study.counts)


def test_every_way_that_instances_came_is_a_source(orthanc, reader):
    orthanc.source = {"RemoteAET": "MR1", "Origin": "DicomProtocol", "CalledAET": "HERE"}
    orthanc.put_instance(make_instance(**_identity_of("study"), SOPInstanceUID="1.2.3"))
    facts = reader.facts(Level.STUDY, next(iter(orthanc.of(Level.STUDY))))
    assert set(facts.sources) == {
        Source("CT1", "", "10.1.2.3", "DicomProtocol"),
        Source("MR1", "HERE", "", "DicomProtocol"),
    }


def _identity_of(study: str) -> dict[str, str]:
    return {"StudyInstanceUID": uid(study), "SeriesInstanceUID": uid(study, "CT")}


def test_counts_labels_and_metadata_are_those_of_the_resource(orthanc, reader):
    node = orthanc.nodes[orthanc.only(Level.STUDY)]
    node.labels.add("urgent")
    node.metadata["Ward"] = "7"
    facts = reader.facts(Level.STUDY, orthanc.only(Level.STUDY))
    assert facts.counts["Series"] == 2
    assert facts.counts.get("Instances") == 4
    assert facts.labels == {"urgent"}
    assert facts.metadata["Ward"] == "7"


def test_what_is_gone_has_no_facts(reader, orthanc):
    assert reader.facts(Level.STUDY, "no-such-study") is None
    assert reader.facts(Level.SERIES, orthanc.only(Level.STUDY)) is None


def test_the_facts_of_a_series_know_the_study(orthanc, reader, study):
    series = reader.series_facts(study)
    assert sorted(one.values(parse_path("Modality")) for one in series) == [("CT",), ("MR",)]
    assert {one.values(parse_path("PatientID")) for one in series} == {("SYN0001",)}
    assert list(reader.series_facts(series[0])) == [series[0]]


def test_instances_share_what_they_have_in_common(orthanc, reader):
    found = Gateway(orthanc).lookup(orthanc.of(Level.INSTANCE))
    orthanc.calls.clear()
    facts = reader.facts_of_instances(found)
    assert [one.values(parse_path("PatientID")) for one in facts] == [("SYN0001",)] * 4
    assert len(orthanc.calls) <= 5


def test_a_file_that_is_not_stored_has_values_only(reader):
    facts = reader.facts_of_file(STUDY[2])
    assert facts.level is Level.INSTANCE
    assert facts.values(parse_path("EchoTime")) == ("10.0",)
    assert facts.values(parse_path("AccessionNumber")) == ("ACC0001",)
    with pytest.raises(BadRequest):
        reader.facts_of_file(b"no DICOM")
