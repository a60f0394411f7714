"""What the actions make of values: the same for the same patient and key, never the original."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import config
from pydicom.valuerep import validate_value

from curator.anonymize.decision import Action, Decision
from curator.anonymize.errors import DoesNotSuit, LookupMissing, Refused
from curator.anonymize.keys import derived
from curator.anonymize.profile import Profile, Rule
from curator.anonymize.subject import Subject
from curator.anonymize.values import Values
from curator.dicom.charset import charset_of
from curator.dicom.edits import KEEP, Drop, Replace, ReplaceEncoded
from curator.dicom.element import NUMBER_CODES, STRING_VRS, Element
from curator.dicom.errors import DicomError
from curator.dicom.structure import ALL_VRS
from curator.dicom.tags import Tag, dictionary_vr, parse_path, parse_tag
from curator.models import validate

KEYS, OTHER_KEYS = derived(b"k" * 32), derived(b"o" * 32)
PATIENT, OTHER_PATIENT = Subject("12345"), Subject("54321")
VRS = sorted(vr.decode() for vr in ALL_VRS)
LATIN_1 = charset_of(b"ISO_IR 100")
ORIGINAL = {"StudyID": ("7",), "Modality": ("CT",), "ImageType": ("ORIGINAL", "PRIMARY")}


def lookup(path) -> tuple[str, ...]:
    found = {parse_path(keyword): values for keyword, values in ORIGINAL.items()}
    return found.get(path, ())


def values_of(keys=KEYS, sequential=None, tables=None, **profile) -> Values:
    model = validate(Profile, {"Name": "test", **profile})
    return Values(model, keys, tables=tables or {}, sequential=sequential)


VALUES, OTHER_VALUES = values_of(), values_of(OTHER_KEYS)


def decision(action: Action, **parameters) -> Decision:
    if not parameters:
        return Decision(action, "test")
    return Decision(action, "test", validate(Rule, parameters))


def edited(
    action: Action,
    keyword: str,
    value: str | bytes,
    vr=None,
    values=VALUES,
    subject=PATIENT,
    **rule,
):
    tag = parse_tag(keyword)
    raw = value.encode("latin_1") if isinstance(value, str) else value
    raw += b" " * (len(raw) % 2)
    element = Element(Tag(tag), vr or dictionary_vr(tag), raw, LATIN_1)
    return values.edit(decision(action, **rule), element, subject, lookup)


def text(*args, **kwargs) -> str:
    """Return the text that an edit writes."""
    edit = edited(*args, **kwargs)
    if isinstance(edit, ReplaceEncoded):
        assert len(edit.raw) % 2 == 0
        return edit.raw.decode("ascii").rstrip(" \0")
    assert isinstance(edit, Replace)
    return "\\".join(map(str, edit.values))


def test_empty_leaves_nothing():
    assert edited(Action.EMPTY, "PatientName", "A^B") == ReplaceEncoded("PN", b"")
    assert edited(Action.EMPTY, "OtherPatientIDsSequence", b"item") == ReplaceEncoded("SQ", b"")
    assert edited(Action.EMPTY, "PatientName", "") is KEEP


def test_a_uid_is_mapped_where_it_stands_for_something():
    new = text(Action.UID, "StudyInstanceUID", "1.2.3")
    assert new == VALUES.uid("1.2.3") == VALUES.uid_raw(b"1.2.3\0").decode().rstrip("\0")
    assert new != "1.2.3"
    assert edited(Action.UID, "SOPClassUID", "1.2.840.10008.5.1.4.1.1.2") is KEEP
    assert edited(Action.UID, "SOPClassUID", "1.3.12.2.1107.5.9.1") is KEEP
    assert edited(Action.UID, "FrameOfReferenceUID", "1.2.840.10008.1.4.1.1\0") is KEEP
    assert edited(Action.UID, "StudyInstanceUID", "") is KEEP
    assert edited(Action.UID, "StudyInstanceUID", "1.2.3", vr="UN").vr == "UI"
    assert edited(Action.UID, "StudyInstanceUID", "1.2.3", vr="LO").vr == "UI"


def test_a_uid_where_none_is_expected_is_mapped_if_it_fits():
    new = VALUES.uid("1.2.3")
    assert edited(Action.UID, "0029,1001", "1.2.3", vr="UN").raw.rstrip(b"\0") == new.encode()
    assert text(Action.UID, "0029,1001", "1.2.3", vr="LO") == new
    assert text(Action.UID, "0029,1001", "1.2.3", vr="SH") == "Removed"
    assert edited(Action.UID, "0029,1001", "1.2.840.10008.1.2 ", vr="LO") is KEEP


def test_dates_of_a_patient_move_together():
    values = values_of(Dates={"RangeDays": [-400, -300]})
    offset = values.offset_days(PATIENT)
    assert -400 <= offset <= -300
    for vr, keyword, raw in [
        ("DA", "StudyDate", "20230501"),
        ("DT", "AcquisitionDateTime", "2023"),
    ]:
        assert text(Action.SHIFT_DATE, keyword, raw, values=values).startswith("2022")
        assert edited(Action.SHIFT_DATE, keyword, raw, values=values).vr == vr
    assert edited(Action.SHIFT_DATE, "StudyTime", "101500") is KEEP
    assert edited(Action.SHIFT_DATE, "StudyDate", "") is KEEP
    assert text(Action.SHIFT_DATE, "StudyDate", "nonsense") == "19000101"
    assert edited(Action.SHIFT_DATE, "StudyDate", "20230501", vr="UN").vr == "DA"


def test_a_timestamp_that_is_no_text_does_not_stay():
    edit = edited(Action.SHIFT_DATE, "FrameOriginTimestamp", b"12345678")
    assert edit == ReplaceEncoded("OB", b"\0\0")
    assert edited(Action.SHIFT_DATE, "FrameOriginTimestamp", b"") is KEEP


@pytest.mark.parametrize("keyword", ["PatientName", "PatientID", "OtherPatientIDs"])
def test_everything_that_names_the_patient_gets_one_pseudonym(keyword):
    assert text(Action.PSEUDONYM, keyword, "whatever") == VALUES.pseudonym(PATIENT)
    assert text(Action.PSEUDONYM, keyword, "") == VALUES.pseudonym(PATIENT)
    assert len(VALUES.pseudonym(PATIENT)) == 16


def test_other_values_get_pseudonyms_of_their_own():
    first = text(Action.PSEUDONYM, "AccessionNumber", "A1")
    assert first == text(Action.PSEUDONYM, "AccessionNumber", "A1", subject=OTHER_PATIENT)
    assert first != text(Action.PSEUDONYM, "AccessionNumber", "A2")
    assert first != text(Action.PSEUDONYM, "StudyID", "A1")
    assert edited(Action.PSEUDONYM, "AccessionNumber", "") is KEEP
    both = text(Action.PSEUDONYM, "ReferringPhysicianName", "A^B\\C^D", vr="PN")
    assert both.split("\\") == [
        text(Action.PSEUDONYM, "ReferringPhysicianName", name) for name in ("A^B", "C^D")
    ]


def rule(action: str, tag: str, **parameters) -> dict:
    return {"Tag": tag, "Action": action, **parameters}


def broad(action: str, **parameters) -> dict:
    """Return a rule whose validation cannot know which elements it will meet."""
    return {"PrivateCreator": "TEST", "Action": action, **parameters}


def test_pseudonyms_have_prefix_scheme_and_length():
    by = rule("Pseudonym", "PatientID", Prefix="TRIAL-")
    assert text(Action.PSEUDONYM, "PatientID", "x", **by) == f"TRIAL-{VALUES.pseudonym(PATIENT)}"
    by = rule("Pseudonym", "PatientID", Scheme="Number", Length=12)
    assert text(Action.PSEUDONYM, "PatientID", "x", **by).isdecimal()
    assert len(text(Action.PSEUDONYM, "PatientID", "x", **by)) == 12
    by = rule("Pseudonym", "PatientID", Prefix="Schlüssel-")
    assert text(Action.PSEUDONYM, "PatientID", "x", **by).startswith("Schlüssel-")
    by = broad("Pseudonym", Prefix="TRIAL-")
    with pytest.raises(DoesNotSuit, match=r"AccessionNumber: .*SH"):
        edited(Action.PSEUDONYM, "AccessionNumber", "A1", **by)


def test_private_values_get_the_same_pseudonym_in_every_block():
    one = text(Action.PSEUDONYM, "0029,1001", "A", vr="LO")
    assert one == text(Action.PSEUDONYM, "0029,1101", "A", vr="LO")
    assert one != text(Action.PSEUDONYM, "0029,1002", "A", vr="LO")


def test_sequential_pseudonyms_come_from_the_port():
    asked = []

    def sequential(prefix: str, original: str) -> str:
        asked.append((prefix, original))
        return f"{prefix}{len(asked):04d}"

    values = values_of(sequential=sequential)
    by = rule("Pseudonym", "PatientID", Scheme="Sequential", Prefix="P")
    assert text(Action.PSEUDONYM, "PatientID", "x", values=values, **by) == "P0001"
    assert text(Action.PSEUDONYM, "AccessionNumber", "A1", values=values, **by) == "P0002"
    assert asked == [("P", "12345"), ("P", "AccessionNumber\\A1")]
    with pytest.raises(Refused, match="no database"):
        edited(Action.PSEUDONYM, "PatientID", "x", **by)


def test_tables_give_pseudonyms():
    tables = {"site": {"12345": "S1", "A1": "a"}, "own": {"12345": "wrong"}}
    values = values_of(tables=tables, Tables={"own": {"12345": "O1"}})
    by = rule("Pseudonym", "PatientID", Scheme="Lookup", Table="site", Prefix="X")
    assert text(Action.PSEUDONYM, "PatientName", "x", values=values, **by) == "XS1"
    by = rule("Pseudonym", "PatientID", Scheme="Lookup", Table="own")
    assert text(Action.PSEUDONYM, "PatientID", "x", values=values, **by) == "O1"
    by = rule("Lookup", "AccessionNumber", Table="site")
    assert text(Action.LOOKUP, "AccessionNumber", "A1", values=values, **by) == "a"
    assert edited(Action.LOOKUP, "AccessionNumber", "", values=values, **by) is KEEP


@pytest.mark.parametrize("action", [Action.LOOKUP, Action.PSEUDONYM])
def test_what_a_table_does_not_have_is_refused_unless_the_rule_says_otherwise(action):
    values = values_of(Tables={"t": {"A": "B"}})
    scheme = {"Scheme": "Lookup"} if action is Action.PSEUDONYM else {}
    by = rule(str(action), "AccessionNumber", Table="t", **scheme)
    for raw in ("SECRET", "A\\SECRET"):
        with pytest.raises(LookupMissing, match="AccessionNumber: ") as refusal:
            edited(action, "AccessionNumber", raw, values=values, **by)
        assert "SECRET" not in refusal.value.details
        removing, emptying = ({**by, "Otherwise": how} for how in ("Remove", "Empty"))
        assert edited(action, "AccessionNumber", raw, values=values, **removing) == Drop()
        empty = edited(action, "AccessionNumber", raw, values=values, **emptying)
        assert empty == ReplaceEncoded("SH", b"")
    with pytest.raises(LookupMissing, match='no table "t"'):
        edited(action, "AccessionNumber", "A", **by)


@pytest.mark.parametrize(
    ("keyword", "before", "parameters", "after"),
    [
        ("PatientAge", "047Y", {"Bins": 5, "Above": 89}, "045Y"),
        ("PatientAge", "95", {"Bins": 5, "Above": 89}, ""),
        ("PatientBirthDate", "19600203", {"To": "Year"}, "19600101"),
        ("PatientWeight", "72.6", {"Bins": 10}, "70"),
        ("PatientWeight", "1e300", {"Bins": 10}, ""),
        ("RegionOfResidence", "12345", {"Digits": 2}, "12"),
    ],
)
def test_a_value_is_generalized(keyword, before, parameters, after):
    by = rule("Generalize", keyword, **parameters)
    assert text(Action.GENERALIZE, keyword, before, **by) == after


def test_binary_numbers_are_generalized():
    by = rule("Generalize", "Rows", Bins=10)
    raw = struct.pack("<H", 57)
    assert edited(Action.GENERALIZE, "Rows", raw, **by) == Replace((50,), "US")
    raw = struct.pack("<d", 57.5)
    assert edited(Action.GENERALIZE, "DiffusionBValue", raw, **by) == Replace((50.0,), "FD")
    raw = struct.pack("<d", float("nan"))
    assert edited(Action.GENERALIZE, "DiffusionBValue", raw, **by) == ReplaceEncoded("FD", b"")
    assert edited(Action.GENERALIZE, "0029,1001", b"SECRET", vr="OB", **by) == ReplaceEncoded(
        "OB", b""
    )


def test_an_expression_changes_every_value():
    by = rule("Regex", "StudyDescription", Pattern=r"^([A-Z]+)-\d+$", With=r"\1")
    assert text(Action.REGEX, "StudyDescription", "CT-123", **by) == "CT"
    assert text(Action.REGEX, "StudyDescription", "CT-123\\MR-4", **by) == "CT\\MR"
    assert edited(Action.REGEX, "StudyDescription", "", **by) is KEEP
    removing = rule("Regex", "StudyDescription", Pattern=r"\d+", With="")
    assert text(Action.REGEX, "StudyDescription", "CT 123", **removing) == "CT"


def test_an_expression_that_does_not_match_is_refused_unless_the_rule_says_otherwise():
    by = rule("Regex", "StudyDescription", Pattern=r"\d+", With="")
    for raw in ("SECRET", "1\\SECRET"):
        with pytest.raises(Refused, match="StudyDescription: ") as refusal:
            edited(Action.REGEX, "StudyDescription", raw, **by)
        assert "SECRET" not in refusal.value.details
        other = {**by, "Otherwise": "Remove"}
        assert edited(Action.REGEX, "StudyDescription", raw, **other) == Drop()


def test_what_an_expression_makes_has_to_suit():
    by = rule("Regex", "Modality", Pattern="CT", With="computed")
    with pytest.raises(DoesNotSuit, match="Modality"):
        edited(Action.REGEX, "Modality", "CT", **by)
    by = broad("Regex", Pattern="1", With="2")
    with pytest.raises(DoesNotSuit, match="is no text"):
        edited(Action.REGEX, "Rows", b"11", **by)


def test_a_hash_is_cut_to_its_vr():
    long = text(Action.HASH, "PatientID", "A")
    short = text(Action.HASH, "AccessionNumber", "A")
    assert (len(long), len(short)) == (64, 16)
    assert text(Action.HASH, "PatientID", "A") == long
    assert text(Action.HASH, "PatientID", "B") != long
    assert len(text(Action.HASH, "PatientID", "A", **rule("Hash", "PatientID", Length=8))) == 8
    with pytest.raises(DoesNotSuit):
        edited(Action.HASH, "StudyDate", "20230101")


@pytest.mark.parametrize(
    ("keyword", "value", "after"),
    [
        ("ClinicalTrialProtocolID", "ABC-1", "ABC-1"),
        ("StudyDescription", "{Modality} of {{{StudyID}}}", "CT of {7}"),
        ("StudyDescription", "{ImageType}/{AccessionNumber}", "ORIGINAL PRIMARY/"),
        ("ImageType", ["DERIVED", "SECONDARY"], "DERIVED\\SECONDARY"),
        ("PatientWeight", 72.5, "72.5"),
        ("SeriesNumber", 7, "7"),
        ("PatientComments", "über", "über"),
    ],
)
def test_a_replacement_is_constant_or_filled_from_the_original(keyword, value, after):
    by = rule("Replace", keyword, Value=value)
    assert text(Action.REPLACE, keyword, "Y", **by) == after


def test_a_replacement_has_to_suit():
    with pytest.raises(DoesNotSuit, match="StudyDate"):
        edited(Action.REPLACE, "StudyDate", "", **broad("Replace", Value="today"))
    with pytest.raises(DoesNotSuit, match="Rows"):
        edited(Action.REPLACE, "Rows", b"11", **broad("Replace", Value="many"))
    with pytest.raises(DoesNotSuit, match="Rows"):
        edited(Action.REPLACE, "Rows", b"11", **broad("Replace", Value=1.5))
    with pytest.raises(DoesNotSuit, match="cannot be given"):
        edited(Action.REPLACE, "0029,1001", b"11", vr="OB", **broad("Replace", Value="1"))


def test_replacements_of_numbers_keep_every_digit():
    by = broad("Replace", Value=2**63 + 1)
    assert edited(Action.REPLACE, "0029,1001", b"", vr="UV", **by) == Replace((2**63 + 1,), "UV")
    by = broad("Replace", Value=["{StudyID}", 0.5])
    assert edited(Action.REPLACE, "0029,1001", b"", vr="FD", **by) == Replace((7, 0.5), "FD")


def test_an_action_on_more_than_the_value_is_not_done_here():
    with pytest.raises(ValueError, match="CleanText"):
        edited(Action.CLEAN_TEXT, "StudyDescription", "text")


@pytest.mark.parametrize("action", [Action.UID, Action.DUMMY, Action.EMPTY])
def test_what_stands_already_is_kept(action):
    first = edited(action, "StudyInstanceUID", "1.2.840.10008.1.1\0")
    assert first is KEEP or first.raw == b""


patients = st.text(min_size=1, max_size=20).map(Subject)


@given(patients, st.from_regex(r"[1-9]{1,5}(\.[1-9][0-9]{0,8}){2,5}", fullmatch=True), st.dates())
def test_the_same_patient_and_key_give_the_same_in_another_run(patient, uid, day):
    again = values_of()
    raw = f"{day:%Y%m%d}".rjust(8, "0")
    assert VALUES.pseudonym(patient) == again.pseudonym(patient)
    assert VALUES.offset_days(patient) == again.offset_days(patient)
    assert VALUES.uid(uid) == again.uid(uid)
    assert edited(Action.SHIFT_DATE, "StudyDate", raw, subject=patient) == edited(
        Action.SHIFT_DATE, "StudyDate", raw, subject=patient, values=again
    )


@given(patients, st.from_regex(r"[1-9]{1,5}(\.[1-9][0-9]{0,8}){2,5}", fullmatch=True))
def test_another_key_has_nothing_in_common(patient, uid):
    assert VALUES.pseudonym(patient) != OTHER_VALUES.pseudonym(patient)
    assert VALUES.uid(uid) != OTHER_VALUES.uid(uid)
    one, other = (
        text(Action.HASH, "PatientID", patient.key.encode().hex(), values=values)
        for values in (VALUES, OTHER_VALUES)
    )
    assert one != other


RULES = {
    Action.REPLACE: broad("Replace", Value="1"),
    Action.GENERALIZE: broad("Generalize", Bins=5),
    Action.REGEX: broad("Regex", Pattern=".*", With="1", Otherwise="Empty"),
    Action.LOOKUP: broad("Lookup", Table="t", Otherwise="Empty"),
}
ACTIONS = (
    *(Action.EMPTY, Action.DUMMY, Action.UID, Action.PSEUDONYM, Action.SHIFT_DATE, Action.HASH),
    *RULES,
)
TOTAL = values_of(Tables={"t": {"A": "B"}})


@given(
    st.sampled_from(ACTIONS),
    st.sampled_from(VRS),
    st.binary(max_size=40),
    st.sampled_from(
        ["PatientID", "StudyInstanceUID", "0029,1001", "OperatorIdentificationSequence"]
    ),
)
def test_any_bytes_become_a_valid_value_or_a_refusal(action, vr, raw, keyword):
    raw += b" " * (len(raw) % 2)
    by = RULES.get(action, {})
    try:
        edit = edited(action, keyword, raw, vr=vr, values=TOTAL, **by)
    except (Refused, DicomError):
        return
    if isinstance(edit, ReplaceEncoded):
        assert len(edit.raw) % 2 == 0
        if edit.vr in STRING_VRS:
            for value in edit.raw.decode("ascii").rstrip(" \0").split("\\"):
                validate_value(edit.vr, value, config.RAISE)
        elif edit.vr in NUMBER_CODES:
            assert len(edit.raw) % struct.calcsize(NUMBER_CODES[edit.vr]) == 0


@pytest.mark.parametrize(
    "keyword", ["PatientName", "StudyInstanceUID", "AccessionNumber", "StudyDate", "StudyTime"]
)
@given(secret=st.text("QWXZ", min_size=6, max_size=14))
def test_no_original_survives(keyword, secret):
    makers = [Action.DUMMY, Action.PSEUDONYM, Action.SHIFT_DATE, Action.UID]
    if keyword in ("StudyInstanceUID", "StudyDate", "StudyTime"):
        makers.remove(Action.PSEUDONYM)
    for action in makers:
        assert secret.encode() not in edited(action, keyword, secret).raw
