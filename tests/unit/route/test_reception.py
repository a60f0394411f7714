"""What becomes of instances on their way in; the core's part of it is played by `Core`."""

import logging
from io import BytesIO

import pytest
from pydicom import dcmread

from curator.models import InvalidModel
from curator.route.reception import (
    NO_DICOM,
    NO_FILE,
    PROCESSING_FAILURE,
    Reception,
)
from factory import make_instance
from unit.fake_sdk import FakeInstanceOrigin, FakeReceivedInstanceAction, FakeSdk

DIMSE = FakeInstanceOrigin.DICOM_PROTOCOL
REST = FakeInstanceOrigin.REST_API
STOW = FakeInstanceOrigin.PLUGIN

TABLES = {"sites": {"A": "North", "B": "South"}}
NOON = 1_800_000_000.0


class Incoming:
    """An instance as the filter of C-STORE gets it."""

    def __init__(self, aet):
        self.aet = aet

    def GetInstanceRemoteAet(self):  # noqa: N802
        return self.aet


class Core:
    """Does with an instance what the core does with the answers of its callbacks."""

    def __init__(self, rules=(), tables=TABLES):
        self.sdk = FakeSdk()
        self.metrics = {}
        self.ours = False
        self.reception = Reception(
            self.sdk,
            tables,
            "ISO_IR 100",
            lambda: self.ours,
            self.metrics.__setitem__,
            lambda: NOON,
        )
        self.reception.use(rules)
        self.reception.register()
        (self.received,), (self.cstore,) = self.sdk.received, self.sdk.cstore

    def store(self, dicom, origin=REST, aet="ANY"):
        """Return what is stored, None for nothing, and the status for the sender."""
        action, changed = self.received(dicom, origin)
        if action == FakeReceivedInstanceAction.DISCARD:
            return None, 0 if origin == DIMSE else 200
        if action == FakeReceivedInstanceAction.MODIFY:
            if changed == NO_FILE:
                return None, 0xA700 if origin == DIMSE else 500
            if changed == NO_DICOM:
                return None, 0xA700 if origin == DIMSE else 400
            dicom = changed
        status = self.cstore(Incoming(aet)) if origin == DIMSE else 200
        return (None if origin == DIMSE and status else dicom), status

    def dataset(self, dicom, origin=REST, aet="ANY"):
        """Return what is stored, read by pydicom."""
        stored, _ = self.store(dicom, origin, aet)
        return dcmread(BytesIO(stored))


def rule(*then, name="rule", **fields):
    return {"Name": name, "Then": list(then), **fields}


CT = make_instance(Modality="CT", InstitutionName="A", StudyID="7", PatientComments="x")
US = make_instance(Modality="US", InstitutionName="C")
ONLY_US = {"Tag": "Modality", "Equals": "US"}
BY_SENDER = {"Source": {"RemoteAet": "CT*"}}


@pytest.mark.parametrize("origin", [DIMSE, REST, STOW])
def test_what_no_rule_concerns_is_stored_as_it_came(origin):
    core = Core([rule({"Reject": {}}, If=ONLY_US)])
    assert core.store(CT, origin) == (CT, 0 if origin == DIMSE else 200)


@pytest.mark.parametrize(
    ("reject", "origin", "status"),
    [
        ({}, DIMSE, 0x0124),
        ({}, REST, 400),
        ({}, STOW, 400),
        ({"Dimse": "0xA900", "Http": 500}, DIMSE, 0xA900),
        ({"Dimse": "0xA900", "Http": 500}, REST, 500),
        ({"Dimse": "0xA700"}, DIMSE, 0xA700),
        ({"Dimse": "0x0000", "Http": 200}, DIMSE, 0),
        ({"Dimse": "0x0000", "Http": 200}, REST, 200),
        ({"Dimse": "0xB000"}, DIMSE, 0xB000),
    ],
)
def test_rejected_instances_are_not_stored_and_their_senders_told(reject, origin, status):
    core = Core([rule({"Reject": reject}, If=ONLY_US)])
    assert core.store(US, origin) == (None, status)
    assert core.metrics == {"curator_receive_rejected": 1}


@pytest.mark.parametrize("origin", [DIMSE, REST])
def test_edits_of_all_rules_are_made_and_the_first_one_of_an_element_counts(origin):
    core = Core(
        [
            rule({"Set": {"StationName": "second", "StudyDescription": "S{StudyID}"}}, name="low"),
            rule({"Set": {"StationName": "first"}}, name="high", Priority=1),
            rule({"Remove": ["PatientComments"]}, name="more"),
            rule({"Map": {"Tag": "InstitutionName", "Table": "sites"}}, name="map"),
        ]
    )
    stored = core.dataset(CT, origin)
    assert stored.StationName == "first"
    assert stored.StudyDescription == "S7"
    assert stored.InstitutionName == "North"
    assert "PatientComments" not in stored


def test_conditions_and_templates_see_the_instance_as_it_came():
    core = Core(
        [
            rule({"Set": {"Modality": "MR"}}, name="a"),
            rule({"Set": {"StationName": "{Modality}"}}, name="b", If={"Not": ONLY_US}),
        ]
    )
    stored = core.dataset(CT)
    assert (stored.Modality, stored.StationName) == ("MR", "CT")


def test_accepting_ends_it():
    core = Core(
        [
            rule({"Set": {"StationName": "x"}}, {"Accept": True}, name="a", If=ONLY_US),
            rule({"Reject": {}}, name="b"),
        ]
    )
    assert core.dataset(US).StationName == "x"
    assert core.store(CT)[0] is None


def test_what_does_not_fit_the_character_set_widens_it():
    stored = Core([rule({"Set": {"InstitutionName": "山田病院"}})]).dataset(CT)
    assert stored.SpecificCharacterSet == "ISO_IR 192"
    assert stored.InstitutionName == "山田病院"


def test_file_meta_information_follows_a_forced_uid():
    core = Core([rule({"Set": {"SOPInstanceUID": "2.25.{StudyID}"}}, Force=True)])
    stored = core.dataset(CT)
    assert stored.SOPInstanceUID == stored.file_meta.MediaStorageSOPInstanceUID == "2.25.7"


@pytest.mark.parametrize("value", ["{Modality}", "{SOPInstanceUID}" * 2])
def test_what_is_no_uid_is_never_stored_as_one(value):
    core = Core([rule({"Set": {"SOPInstanceUID": value}}, Force=True)])
    assert core.store(CT) == (None, 500)


@pytest.mark.parametrize(("value", "known"), [("A", True), ("C", False), (None, False)])
def test_values_that_a_table_does_not_have_stay_or_are_rejected(value, known):
    dicom = make_instance(InstitutionName=value)
    one = {"Tag": "InstitutionName", "Table": "sites"}
    kept = Core([rule({"Map": one})]).dataset(dicom)
    assert kept.get("InstitutionName") == ("North" if known else value)
    stored, status = Core([rule({"Map": {**one, "Else": "Reject"}})]).store(dicom, DIMSE)
    assert (stored is not None, status) == (known, 0 if known else 0x0124)


@pytest.mark.parametrize(("origin", "status"), [(DIMSE, 0xA700), (REST, 500), (STOW, 500)])
@pytest.mark.parametrize(
    ("dicom", "rules"),
    [
        (CT[:-1], [rule({"Reject": {}}, If=ONLY_US)]),  # the end is missing
        (CT, [rule({"Set": {"StationName": "{PatientState}"}})]),  # has no value
    ],
    ids=["truncated", "template without a value"],
)
def test_what_cannot_be_decided_or_changed_is_not_stored_and_visible(dicom, rules, origin, status):
    core = Core(rules)
    assert core.store(dicom, origin) == (None, status)
    assert core.metrics == {"curator_receive_failed": 1}


def test_an_error_of_ours_does_not_let_an_instance_in(caplog):
    core = Core([rule({"Reject": {}}, If=ONLY_US)])
    core.reception._clock = lambda: 1 / 0
    assert core.store(CT) == (None, 500)
    assert "ZeroDivisionError" in caplog.text


def test_an_error_in_telling_of_an_error_does_not_let_an_instance_in():
    core = Core([rule({"Reject": {}}, If=ONLY_US)])
    core.reception._publish = None
    assert core.store(CT[:-1]) == (None, 500)
    assert core.store(US) == (None, 500)


@pytest.mark.parametrize("dicom", [b"", b"PK\x03\x04", b"no DICOM at all" * 50])
def test_what_is_no_dicom_file_stays_that_for_the_core(dicom):
    assert Core([rule({"Reject": {}}, If=ONLY_US)]).store(dicom) == (None, 400)


def test_values_are_not_logged(caplog):
    caplog.set_level(logging.DEBUG)
    secret = make_instance(PatientName="Secret^Name", PatientID="SECRET", Modality="US")
    core = Core(
        [
            rule({"Set": {"StudyInstanceUID": "{PatientID}"}}, Force=True, If={"Not": ONLY_US}),
            rule({"Reject": {"Reason": "not here"}}, name="b", If=ONLY_US),
        ]
    )
    core.store(secret, DIMSE)
    core.store(secret)
    core.store(make_instance(PatientID="SECRET", Modality="CT"))
    assert "not here" in caplog.text
    assert "StudyInstanceUID cannot be set" in caplog.text
    assert "secret" not in caplog.text.lower()


class TestWhoSends:
    REJECTS = rule({"Reject": {"Dimse": "0xC001"}}, name="by-sender", If=BY_SENDER)

    def test_is_asked_for_when_it_is_known(self):
        core = Core([self.REJECTS])
        assert core.store(CT, DIMSE, "CT1") == (None, 0xC001)
        assert core.store(CT, DIMSE, "MR1") == (CT, 0)

    def test_is_nobody_outside_of_dicom(self):
        core = Core([self.REJECTS])
        assert core.store(CT, REST) == (CT, 200)
        core.reception.use([{**self.REJECTS, "If": {"Not": BY_SENDER}}])
        assert core.store(CT, REST) == (None, 400)

    def test_can_be_combined_with_elements(self):
        both = {"All": [BY_SENDER, ONLY_US]}
        core = Core([{**self.REJECTS, "If": both}])
        assert core.store(US, DIMSE, "CT1") == (None, 0xC001)
        assert core.store(CT, DIMSE, "CT1") == (CT, 0)

    def test_accepted_by_who_sends_goes_before_a_later_rejection(self):
        core = Core(
            [rule({"Accept": True}, name="known", If=BY_SENDER), rule({"Reject": {}}, name="all")]
        )
        assert core.store(CT, DIMSE, "CT1") == (CT, 0)
        assert core.store(CT, DIMSE, "MR1") == (None, 0x0124)

    def test_edits_before_it_are_made(self):
        changes = rule({"Set": {"StationName": "x"}}, name="changes")
        core = Core([changes, self.REJECTS])
        assert core.dataset(CT, DIMSE, "MR1").StationName == "x"
        assert core.store(CT, DIMSE, "CT1") == (None, 0xC001)


def test_what_curator_stores_itself_is_left_alone():
    core = Core([rule({"Reject": {}})])
    core.ours = True
    assert core.store(CT, STOW) == (CT, 200)


def test_a_decision_is_taken_away_with_its_instance():
    core = Core([rule({"Reject": {"Dimse": "0xA900"}}, If=ONLY_US)])
    core.received(US, DIMSE)  # the core ends before it asks for the status
    assert core.store(CT, DIMSE) == (CT, 0)
    core.received(CT, DIMSE)
    assert core.store(US, DIMSE) == (None, 0xA900)
    assert core.cstore(Incoming("ANY")) == PROCESSING_FAILURE  # nobody has looked at this one


def test_without_rules_nothing_is_looked_at():
    core = Core()
    assert core.store(b"whatever", REST) == (b"whatever", 200)
    assert core.store(b"whatever", DIMSE) == (b"whatever", 0)


def test_bad_rules_leave_those_before_in_use():
    core = Core([rule({"Reject": {}}, If=ONLY_US)])
    with pytest.raises(InvalidModel):
        core.reception.use([rule({"Set": {"Nothing": "x"}})])
    assert core.store(US)[0] is None


@pytest.mark.parametrize(("origin", "status"), [(DIMSE, 0xA700), (REST, 500), (STOW, 500)])
def test_while_it_is_closed_nothing_comes_in_but_what_curator_stores(origin, status):
    core = Core()
    core.reception.close()
    assert core.store(CT, origin) == (None, status)
    assert core.metrics == {"curator_receive_failed": 1}
    assert core.cstore(Incoming("ANY")) == PROCESSING_FAILURE
    core.ours = True
    assert core.store(CT, STOW) == (CT, 200)
    core.ours = False
    core.reception.use([])
    assert core.store(CT, origin)[0] == CT


def test_rules_need_callbacks_that_only_a_start_registers():
    reception = Reception(FakeSdk(), {}, "ISO_IR 100", lambda: False, print, lambda: NOON)
    assert reception.refusal([]) is None
    assert '"Reception": true' in reception.refusal([rule({"Accept": True})])
    reception.register()
    assert reception.refusal([rule({"Accept": True})]) is None
