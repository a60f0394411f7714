"""What a profile decides, compared with the tables of the standard as they are written."""

import csv
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import datadict

from curator.anonymize import tables
from curator.anonymize.decision import Action, Decision, Place
from curator.anonymize.profile import Option, Profile
from curator.anonymize.resolve import Resolver
from curator.dicom.tags import dictionary_vr
from curator.models import validate
from keypair import certificate
from unit.anonymize.planted import COLUMNS

STANDARD = tables.load()
DATA = Path(tables.__file__).parent / "data"

CT = "1.2.840.10008.5.1.4.1.1.2"
SEQUENCE = 0x00400275  # RequestAttributesSequence

CODES = {"X": "Remove", "Z": "Empty", "D": "Dummy", "U": "Uid", "K": "Keep"}
BY_TYPE = {
    "X/Z": {"1": "Dummy", "2": "Empty", "3": "Remove", "": "Empty"},
    "X/D": {"1": "Dummy", "2": "Dummy", "3": "Remove", "": "Dummy"},
    "Z/D": {"1": "Dummy", "2": "Empty", "3": "Empty", "": "Dummy"},
    "X/Z/D": {"1": "Dummy", "2": "Empty", "3": "Remove", "": "Dummy"},
    "X/Z/U*": {"1": "Keep", "2": "Empty", "3": "Remove", "": "Keep"},
}
PSEUDONYMOUS = ("00100010", "00100020")
TEXT = {"AE", "CS", "LO", "LT", "PN", "SH", "SQ", "ST", "UC", "UR", "UT"}
DATES = {"DA", "DT", "TM"}


def records(name: str) -> list[dict[str, str]]:
    lines = (DATA / f"{name}.csv").read_text(encoding="utf-8").splitlines()
    return list(csv.DictReader(lines[1:]))


ROWS = [row for row in records("ps3_15_e1_1") if row["tag"] != "ggggeeee"]
TYPES = {
    (row["sop_class_uid"], row["tag"]): row["type"].rstrip("C") for row in records("compound_types")
}
CLASSES: dict[str, dict[str, str]] = {}
for (uid, tag), kind in TYPES.items():
    CLASSES.setdefault(tag, {})[kind] = uid


def resolver(*options: str, rules: tuple[object, ...] = (), **fields: object) -> Resolver:
    content = {"Name": "test", "Options": options, "Rules": rules, **fields}
    return Resolver(validate(Profile, content), STANDARD)


def tag_of(row: dict[str, str]) -> int:
    return int(row["tag"].replace("50xxxxxx", "50023000").replace("x", "0"), 16)


def place_of(row: dict[str, str], **fields: object) -> Place:
    tag = tag_of(row)
    return replace(Place(tag, dictionary_vr(tag)), **fields)  # type: ignore[arg-type]


def basic(row: dict[str, str], type_of: str) -> str:
    """Return what the Basic Profile does to a row."""
    if row["tag"] in PSEUDONYMOUS:
        return "Pseudonym"
    if "/" in row["basic"]:
        return BY_TYPE[row["basic"]][type_of]
    return CODES[row["basic"]]


def expected(row: dict[str, str], column: str, type_of: str) -> str:
    """Return what the Basic Profile with one option does to a row."""
    code, vr = row[column], dictionary_vr(tag_of(row))
    if code == "C" and column == "clean_struct_cont":
        return "CleanStructuredContent"
    if code == "C" and column == "clean_graph":
        return "CleanGraphics"
    if code == "C" and row["keyword"] == "TimezoneOffsetFromUTC":
        return "Keep"
    if code == "C" and column == "rtn_long_modif_dates" and vr in DATES:
        return "ShiftDate"
    if code == "C" and column != "rtn_long_modif_dates" and vr in TEXT:
        return "CleanText"
    return CODES.get(code) or basic(row, type_of)


def types_of(row: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield a SOP class for each attribute type of a row; none of the type "" at all."""
    yield "", ""
    yield "1.2.3", ""
    yield from ((uid, kind) for kind, uid in CLASSES.get(row["tag"], {}).items())


@pytest.mark.parametrize("column", ["", *COLUMNS])
def test_every_row_is_decided_as_the_table_says(column):
    subject = resolver(*filter(None, [COLUMNS.get(column)]))
    wrong = []
    for row in ROWS:
        for uid, type_of in types_of(row):
            want = expected(row, column, type_of) if column else basic(row, type_of)
            found = subject.decide(place_of(row, sop_class_uid=uid))
            if found.action != want:
                wrong.append((row["keyword"], uid, want, found))
    assert wrong == []


@pytest.mark.parametrize("column", ["", *COLUMNS])
def test_every_row_is_decided_as_of_unknown_type_in_items(column):
    subject = resolver(*filter(None, [COLUMNS.get(column)]))
    wrong = []
    for row in ROWS:
        want = expected(row, column, "") if column else basic(row, "")
        for uid, _ in types_of(row):
            above = (SEQUENCE, SEQUENCE) if uid else (SEQUENCE,)
            found = subject.decide(place_of(row, above=above, sop_class_uid=uid))
            if found.action != want:
                wrong.append((row["keyword"], above, uid, want, found))
    assert wrong == []


@pytest.mark.parametrize(("first", "second"), list(combinations(COLUMNS, 2)))
@pytest.mark.parametrize("meet", ["Protective", "Permissive"])
def test_where_two_options_meet_the_profile_says_who_wins(first, second, meet):
    if {first, second} == {"rtn_long_full_dates", "rtn_long_modif_dates"}:
        return  # such a profile is refused
    subject = resolver(COLUMNS[first], COLUMNS[second], OptionsMeet=meet)
    order = "XZDUCK" if meet == "Protective" else "KCUDZX"
    wrong = []
    for row in ROWS:
        columns = sorted(filter(row.get, (first, second)), key=lambda name: order.index(row[name]))
        want = expected(row, columns[0], "") if columns else basic(row, "")
        found = subject.decide(place_of(row))
        if found.action != want:
            wrong.append((row["keyword"], want, found))
    assert wrong == []


def test_options_really_meet_on_some_rows():
    by_row = [[row[column] for column in COLUMNS if row[column]] for row in ROWS]
    assert sum(len(codes) > 1 for codes in by_row) > 100


@pytest.mark.parametrize(
    ("options", "vr", "action"),
    [
        ((), "UI", "Uid"),
        (("RetainUids",), "UI", "Keep"),
        ((), "DA", "Dummy"),
        ((), "TM", "Dummy"),
        ((), "DT", "Dummy"),
        (("RetainLongitudinalModifiedDates",), "DT", "ShiftDate"),
        (("RetainLongitudinalFullDates",), "TM", "Keep"),
        ((), "PN", "Dummy"),
        ((), "LO", "Keep"),
        ((), "SQ", "Keep"),
        ((), "OW", "Keep"),
    ],
)
def test_what_no_table_has_is_decided_by_value_representation(options, vr, action):
    listed = {int(row["tag"], 16) for row in ROWS if "x" not in row["tag"]}
    others = [
        tag
        for tag, entry in datadict.DicomDictionary.items()
        if entry[0] == vr and tag not in listed and tag >> 16 not in (0, 2) and tag & 0xFFFF
    ]
    subject = resolver(*options)
    assert others
    assert {subject.decide(Place(tag, vr)).action for tag in others} == {action}
    assert {subject.decide(Place(tag, "UN")).action for tag in others} == {action}
    assert subject.by_vr(vr).action == action


@pytest.mark.parametrize(
    ("keyword", "vr", "action"),
    [
        ("FrameOfReferenceUID", "LO", "Uid"),
        ("ReferencedSOPClassUID", "LO", "Uid"),  # by the dictionary
        ("PatientDeathDateInAlternativeCalendar", "DA", "ShiftDate"),  # by what stands
        ("StudyDate", "LO", "Empty"),  # cannot be shifted, so as the Basic Profile has it
        ("ScheduledStudyStartDate", "LO", "Remove"),
        ("SecondaryReviewDate", "LO", "Dummy"),
        ("DeidentificationMethod", "LO", "Keep"),
    ],
)
def test_a_wrong_value_representation_protects_no_less(keyword, vr, action):
    subject = resolver("RetainLongitudinalModifiedDates")
    tag = datadict.tag_for_keyword(keyword)
    assert subject.decide(Place(tag, vr)).action == action


def test_what_ps3_6_does_not_know_is_removed_unless_a_rule_keeps_it():
    place = Place(0x00080009, "LO")
    assert resolver().decide(place) == Decision(Action.REMOVE, "Not in PS3.6")
    keeping = resolver(rules=({"Tag": "0008,0009", "Action": "Keep"},))
    assert keeping.decide(place).action is Action.KEEP


def test_binary_values_are_never_cleaned_as_text_or_dates():
    subject = resolver("CleanDescriptors", "RetainLongitudinalModifiedDates")
    actions = {
        keyword: subject.decide(Place(datadict.tag_for_keyword(keyword), "OB")).action
        for keyword in ("MakerNote", "FrameOriginTimestamp", "CertifiedTimestamp")
    }
    assert list(actions.values()) == ["Remove", "Dummy", "Remove"]


# Overlays


@pytest.mark.parametrize(
    ("options", "rules", "rows", "description"),
    [
        ((), (), "Remove", "Remove"),
        (("CleanGraphics",), (), "Keep", "CleanText"),
        ((), ({"Tag": "(60xx,3000)", "Action": "Keep"},), "Keep", "Keep"),
        (("CleanGraphics",), ({"Tag": "60023000", "Action": "Remove"},), "Remove", "Remove"),
    ],
)
def test_what_describes_an_overlay_goes_with_it(options, rules, rows, description):
    subject = resolver(*options, rules=rules)
    assert subject.decide(Place(0x60020010, "US")).action == rows
    assert subject.decide(Place(0x60020022, "LO")).action == description


# Private elements

PLACE = Place(0x01F11026, "DS", "ELSCINT1")


def test_private_elements_are_removed():
    assert resolver().decide(PLACE).action is Action.REMOVE


def test_safe_private_elements_stay_with_the_option():
    subject = resolver("RetainSafePrivate", "RetainLongitudinalModifiedDates")
    for row in records("safe_private"):
        group, _, element = row["tag"].partition(",xx")
        vr = row["vr"].partition("/")[0] or "UN"
        place = Place(int(group, 16) << 16 | 0x4200 | int(element, 16), vr, row["private_creator"])
        found = subject.decide(place)
        assert found.action == ("Uid" if vr == "UI" else "Keep"), row
        assert found.reason.startswith("Option RetainSafePrivate")
        assert subject.decide(replace(place, vr="UN")).action == found.action, row
        assert subject.decide(replace(place, creator="SOMEBODY ELSE")).action is Action.REMOVE
        assert subject.decide(replace(place, creator=None)).action is Action.REMOVE
        assert resolver("CleanDescriptors").decide(place).action is Action.REMOVE


def test_private_creators_and_group_lengths_are_not_retained_by_any_rule():
    rules = ({"PrivateCreator": "ELSC*", "Action": "Keep"}, {"VR": "LO", "Action": "Keep"})
    subject = resolver("RetainSafePrivate", rules=rules)
    assert subject.decide(Place(0x01F10010, "LO")).action is Action.REMOVE
    assert subject.decide(Place(0x01F10000, "UL")).action is Action.REMOVE


@pytest.mark.parametrize(
    "rule",
    [
        {"Tag": '(01F1,"ELSCINT1",26)', "Action": "Keep"},
        {"PrivateCreator": "ELSCINT1", "Action": "Keep"},
        {"PrivateCreator": "ELS*?", "Action": "Keep"},
    ],
)
def test_a_rule_retains_private_elements_with_what_identifies_mapped(rule):
    subject = resolver("RetainLongitudinalModifiedDates", rules=(rule,))
    for vr, action in (("DS", "Keep"), ("UI", "Uid"), ("DA", "ShiftDate"), ("PN", "Dummy")):
        found = subject.decide(replace(PLACE, vr=vr))
        assert found.action == action
        assert found.reason.startswith("$.Rules[0]")
    assert subject.decide(replace(PLACE, creator="GEMS_PARM_01")).action is Action.REMOVE
    assert subject.decide(replace(PLACE, creator=None)).action is Action.REMOVE


def test_a_rule_by_value_representation_retains_no_private_element():
    rule = {"VR": "DS", "Action": "Keep"}
    assert resolver(rules=(rule,)).decide(PLACE).action is Action.REMOVE
    emptying = {"VR": "DS", "Action": "Empty"}
    retaining = {"PrivateCreator": "ELSCINT1", "Action": "Keep"}
    assert resolver(rules=(emptying,)).decide(PLACE).action is Action.REMOVE
    assert resolver(rules=(retaining, emptying)).decide(PLACE).action is Action.EMPTY
    assert resolver(rules=(emptying, retaining)).decide(PLACE).action is Action.KEEP


def test_what_stands_in_private_sequences_is_decided_as_anywhere():
    subject = resolver("RetainSafePrivate")
    inner = Place(0x00100010, "PN", above=(0x20051080,))
    assert subject.decide(inner).action is Action.PSEUDONYM
    assert subject.decide(replace(PLACE, creator="Other", above=(0x20051080,))).action == "Remove"


# Rules

ACTIONS = ("Keep", "Remove", "Empty", "Dummy", "Hash", "CleanText")


@given(st.lists(st.sampled_from(ACTIONS), min_size=1, max_size=5), st.data())
def test_the_last_rule_that_holds_wins(actions, data):
    conditional = data.draw(st.lists(st.booleans(), min_size=len(actions), max_size=len(actions)))
    holding = frozenset(data.draw(st.sets(st.integers(0, len(actions) - 1))))
    when = {"Tag": "Modality", "Equals": "CT"}
    rules = tuple(
        {"Tag": "StudyDescription", "Action": action, **({"When": when} if has else {})}
        for action, has in zip(actions, conditional, strict=True)
    )
    subject = resolver("CleanDescriptors", rules=rules)
    place = Place(0x00081030, "LO", holding=holding)
    effective = [index for index, has in enumerate(conditional) if not has or index in holding]
    found = subject.decide(place)
    if effective:
        assert (found.action, found.reason) == (actions[effective[-1]], f"$.Rules[{effective[-1]}]")
        assert found.rule is subject.profile.rules[effective[-1]]
    else:
        assert found == subject.without_rules(place)
        assert found.action is Action.CLEAN_TEXT
    assert set(subject.conditions) == {index for index, has in enumerate(conditional) if has}


@given(st.sets(st.sampled_from(sorted(COLUMNS.values()))), st.sampled_from(ROWS), st.booleans())
def test_rules_win_over_options_over_the_basic_profile(options, row, nested):
    if {"RetainLongitudinalFullDates", "RetainLongitudinalModifiedDates"} <= options:
        options = options - {"RetainLongitudinalFullDates"}
    place = place_of(row, above=(SEQUENCE,) if nested else ())
    plain, optional = resolver(), resolver(*options)
    saying = [COLUMNS[column] for column in COLUMNS if row[column] and COLUMNS[column] in options]
    if not saying:
        assert optional.decide(place) == plain.decide(place)
    if place.tag >> 16 != 2:
        tag = f"{place.tag:08X}"
        ruled = resolver(*options, rules=({"Tag": tag, "Action": "Keep"},))
        assert ruled.decide(place) == Decision(Action.KEEP, "$.Rules[0]", ruled.profile.rules[0])


@pytest.mark.parametrize(
    ("rule", "covered", "not_covered"),
    [
        ({"Tag": "Modality"}, [(0x00080060, "CS", ())], [(0x00080061, "CS", ())]),
        ({"Tag": "0008,0060"}, [(0x00080060, "CS", (SEQUENCE,))], []),
        (
            {"Tag": "RequestAttributesSequence[*].Modality"},
            [(0x00080060, "CS", (SEQUENCE,))],
            [(0x00080060, "CS", ()), (0x00080060, "CS", (SEQUENCE, SEQUENCE))],
        ),
        (
            {"Tag": "0040,0275[*].(0008,006x)"},
            [(0x00080060, "CS", (SEQUENCE,)), (0x00080068, "CS", (SEQUENCE,))],
            [(0x00080060, "CS", ())],
        ),
        (
            {"Tag": "(60xx,4000)"},
            [(0x60004000, "LT", ()), (0x601E4000, "LT", (SEQUENCE,))],
            [(0x60003000, "OW", ()), (0x50004000, "LT", ()), (0x60014000, "LT", ())],
        ),
        (
            {"Tag": "50XX-xxxx"},
            [(0x50003000, "OW", ()), (0x50022500, "LO", ())],
            [(0x60003000, "OW", ()), (0x50013000, "OW", ())],
        ),
        ({"VR": "CS"}, [(0x00080060, "CS", ()), (0x00080060, "UN", ())], [(0x00081030, "LO", ())]),
        (
            {"Keyword": "*Description"},
            [(0x00081030, "LO", ()), (0x0008103E, "LO", (SEQUENCE,))],
            [(0x00400260, "SQ", ()), (0x00091030, "LO", ())],
        ),
        ({"Keyword": "PatientA??"}, [(0x00101010, "AS", ())], [(0x00101040, "LO", ())]),
        # of the table, and newer than the dictionary
        ({"Keyword": "*DiagnosisCodeSequence"}, [(0x00081301, "SQ", ())], []),
    ],
)
def test_a_selector_covers_what_it_says(rule, covered, not_covered):
    subject = resolver(rules=({**rule, "Action": "Keep"},))
    for tag, vr, above in covered:
        assert subject.decide(Place(tag, vr, above=above)).reason == "$.Rules[0]"
    for tag, vr, above in not_covered:
        assert subject.decide(Place(tag, vr, above=above)).rule is None


PROTECTED = (
    (0x00080005, "CS"),
    (0x00080016, "UI"),
    (0x00080018, "UI"),
    (0x0020000D, "UI"),
    (0x0020000E, "UI"),
    (0x00100020, "LO"),
    (0x00120063, "LO"),
    (0x00020003, "UI"),
    (0x7FE00010, "OW"),
)


@pytest.mark.parametrize(
    "selector",
    [
        {"VR": "UI"}, {"VR": "CS"}, {"VR": "LO"}, {"VR": "OW"}, {"Keyword": "*"},
        {"Tag": "0xxx,xxxx"}, {"Tag": "xxx8,xxxx"}, {"Tag": "xxxx,001x"},
    ],
)  # fmt: skip
@pytest.mark.parametrize("action", ["Remove", "Empty"])
def test_rules_by_pattern_leave_alone_what_no_rule_may_treat_so(selector, action):
    plain, subject = resolver(), resolver(rules=({**selector, "Action": action},))
    for tag, vr in PROTECTED:
        assert subject.decide(Place(tag, vr)) == plain.decide(Place(tag, vr))


def test_rules_say_nothing_about_values_that_their_action_does_not_suit():
    rule = {"Keyword": "*Date*", "Action": "ShiftDate"}
    plain, subject = resolver(), resolver(rules=(rule,))
    assert subject.decide(Place(0x00080020, "DA")).action is Action.SHIFT_DATE
    odd = Place(0x00400555, "SQ")
    assert subject.decide(odd) == plain.decide(odd)
    assert subject.decide(Place(0x00080020, "LO")) == plain.decide(Place(0x00080020, "LO"))


@pytest.mark.parametrize(
    ("keyword", "rule", "uid", "action"),
    [
        ("StudyDate", "Remove", "", "Empty"),  # Z: type 2
        ("StudyDate", "Empty", "", "Empty"),
        ("PatientName", "Remove", "", "Empty"),
        ("StructureSetLabel", "Remove", "", "Dummy"),  # D: type 1
        ("StructureSetLabel", "Empty", "", "Dummy"),
        ("SeriesDescription", "Remove", "", "Remove"),
        ("Modality", "Remove", "", "Dummy"),  # type 1 by the General Series Module
        ("SeriesNumber", "Remove", "", "Empty"),
        ("DeviceSerialNumber", "Remove", CT, "Remove"),  # type 3
        ("DeviceSerialNumber", "Remove", "1.2.840.10008.5.1.4.1.1.2.1", "Dummy"),  # type 1
    ],
)
def test_a_rule_leaves_no_required_attribute_empty_or_missing(keyword, rule, uid, action):
    subject = resolver(rules=({"Tag": keyword, "Action": rule},))
    tag = datadict.tag_for_keyword(keyword)
    found = subject.decide(Place(tag, dictionary_vr(tag), sop_class_uid=uid))
    assert found.action == action
    assert found.reason.startswith("$.Rules[0]")


def test_types_of_modules_count_at_the_top_level_only():
    subject = resolver(rules=({"Tag": "Modality", "Action": "Remove"},))
    nested = Place(0x00080060, "CS", above=(SEQUENCE,))
    assert subject.decide(nested).action is Action.REMOVE


@pytest.mark.parametrize("first", ["Pseudonym", None])
def test_what_is_encrypted_is_treated_in_the_open_as_without_the_rule(first):
    earlier = [{"Tag": "PatientID", "Action": first, "Prefix": "T-"}] if first else []
    rules = (*earlier, {"Tag": "PatientID", "Action": "Encrypt"})
    subject = resolver(rules=rules, Recipients=[certificate()])
    found = subject.decide(Place(0x00100020, "LO"))
    assert found.action is Action.ENCRYPT
    assert found.instead is not None
    assert found.instead.action is Action.PSEUDONYM
    assert found.instead.reason.startswith("$.Rules[0]" if first else "PS3.15")
    twice = resolver(rules=(*rules, rules[-1]), Recipients=[certificate()])
    assert twice.decide(Place(0x00100020, "LO")).instead == found.instead


def test_caches_may_leave_out_what_does_not_matter():
    plain = resolver(rules=({"Tag": "Modality", "Action": "Keep"},))
    assert plain.relevant((1, 2, 3)) == (1,)
    assert plain.relevant(()) == ()
    with_path = resolver(rules=({"Tag": "0040,0275[*].Modality", "Action": "Keep"},))
    assert with_path.relevant((1, 2, 3)) == (1, 2, 3)


def test_rules_of_pixels_are_apart():
    rules = (
        {"Tag": "Modality", "Action": "Keep"},
        {"When": {"Tag": "Modality", "Equals": "US"}, "Pixels": {"Regions": "Ultrasound"}},
        {"Pixels": {"Fill": [[0, 0, "Columns", 60]]}},
    )
    subject = resolver("CleanPixelData", rules=rules)
    assert [index for index, _ in subject.pixel_rules] == [1, 2]
    assert set(subject.conditions) == {1}


# Content items


@pytest.mark.parametrize("column", ["", *(name for name in COLUMNS if name != "rtn_safe_priv")])
def test_every_concept_is_decided_as_the_table_of_content_items_says(column):
    subject = resolver(*{"CleanStructuredContent", COLUMNS.get(column, "CleanGraphics")})
    wrong = []
    for row in records("ps3_15_e3_4_1"):
        code = row.get(column) or row["basic"].rpartition("/")[2]
        kind = row["value_type"]
        want = CODES.get(code, "ShiftDate" if kind in ("DATE", "DATETIME", "TIME") else "CleanText")
        if code == "D" and kind == "UIDREF":
            want = "Uid"
        scheme = row["coding_scheme"].partition(" ")[0]
        found = subject.structured(row["code_value"], scheme, kind)
        if found is None or found.action != want:
            wrong.append((row["code_meaning"], want, found))
    assert wrong == []


def test_a_concept_of_several_value_types_is_decided_by_the_more_protective():
    subject = resolver("CleanDescriptors", "CleanStructuredContent")
    assert subject.structured("371524004", "SCT", "TEXT").action is Action.CLEAN_TEXT
    assert subject.structured("371524004", "SCT", "COMPOSITE").action is Action.REMOVE
    assert subject.structured("371524004", "SCT").action is Action.REMOVE
    assert subject.structured("371524004", "SCT", "NUM").action is Action.REMOVE
    assert subject.structured("371524004", "DCM") is None


# What is said about a profile


@pytest.mark.parametrize(
    ("rule", "options", "weaker"),
    [
        ({"Tag": "StudyDescription", "Action": "Keep"}, (), [True]),
        ({"Tag": "StudyDescription", "Action": "CleanText"}, (), [True]),
        ({"Tag": "StudyDescription", "Action": "CleanText"}, ("CleanDescriptors",), []),
        ({"Tag": "StudyDescription", "Action": "Remove"}, ("CleanDescriptors",), [False]),
        ({"Tag": "StudyDescription", "Action": "Replace", "Value": "x"}, (), []),
        ({"Tag": "PatientID", "Action": "Pseudonym"}, (), []),
        ({"Tag": "PatientAge", "Action": "Generalize", "Bins": 5}, (), [True]),
        (
            {"Tag": "PatientAge", "Action": "Generalize", "Bins": 5},
            ("RetainPatientCharacteristics",),
            [False],
        ),
        ({"Tag": "Modality", "Action": "Keep"}, (), []),
        ({"PrivateCreator": "ACME", "Action": "Keep"}, (), [True]),
        ({"PrivateCreator": "ACME", "Action": "Keep"}, ("RetainSafePrivate",), []),
        ({"Tag": '(0009,"ACME",01)', "Action": "Remove"}, ("RetainSafePrivate",), []),
        ({"Tag": "RequestAttributesSequence[*].AccessionNumber", "Action": "Keep"}, (), [True]),
        (
            {"Tag": "PatientSex", "Action": "Keep", "When": {"Tag": "Modality", "Equals": "PT"}},
            (),
            [True],
        ),
        ({"Tag": "(60xx,4000)", "Action": "Keep"}, (), [True]),
        ({"Pixels": {"Fill": [[0, 0, 9, 9]]}}, (), []),
    ],
)
def test_a_weaker_rule_costs_the_claim_of_the_basic_profile(rule, options, weaker):
    subject = resolver(*options, rules=(rule,))
    assert [one.weaker for one in subject.deviations] == weaker
    claimed = ("113100", "Basic Application Confidentiality Profile") in subject.codes()
    assert claimed == (True not in weaker)


def test_a_rule_that_a_later_one_replaces_is_no_deviation():
    rules = tuple({"Tag": "StudyDescription", "Action": action} for action in ("Keep", "Remove"))
    assert resolver(rules=rules).deviations == ()


def test_the_codes_are_those_of_the_options():
    offered = [option for option in Option if option != "CleanRecognizableVisualFeatures"]
    found = {}
    for option in offered:
        (_, code) = resolver(option).codes()
        found[option.value] = code[0]
    assert found == {
        "RetainSafePrivate": "113111",
        "RetainUids": "113110",
        "RetainDeviceIdentity": "113109",
        "RetainInstitutionIdentity": "113112",
        "RetainPatientCharacteristics": "113108",
        "RetainLongitudinalFullDates": "113106",
        "RetainLongitudinalModifiedDates": "113107",
        "CleanDescriptors": "113105",
        "CleanStructuredContent": "113104",
        "CleanGraphics": "113103",
        "CleanPixelData": "113101",
    }


def test_the_resolved_table_has_every_row_and_every_rule():
    rules = (
        {"Tag": "PatientID", "Action": "Pseudonym", "Prefix": "T-"},
        {"Tag": "RequestAttributesSequence[*].Modality", "Action": "Remove"},
        {"VR": "PN", "Action": "Remove", "When": {"Tag": "Modality", "Equals": "CT"}},
        {"Pixels": {"Fill": [[0, 0, 9, 9]]}},
    )
    subject = resolver("RetainSafePrivate", "CleanStructuredContent", rules=rules)
    rows = subject.table()
    assert len(rows) == 657 + 3 + 7 + 479 + 214
    by_tag = {row["Tag"]: row for row in rows}
    assert by_tag["(0010,0020)"] == {
        "Tag": "(0010,0020)",
        "Name": "Patient ID",
        "VR": "LO",
        "Action": "Pseudonym",
        "Reason": "$.Rules[0]",
        "Parameters": {"Prefix": "T-"},
    }
    assert by_tag["(0008,002A)"]["Action"] == "Dummy/Remove/Empty"
    assert by_tag["(gggg,eeee)"]["Action"] == "Remove"
    path = by_tag["RequestAttributesSequence[*].Modality"]
    assert (path["Action"], path["Reason"]) == ("Remove", "$.Rules[1]")
    conditional = next(row for row in rows if row["Reason"] == "$.Rules[2]")
    assert conditional["VR"] == "PN"
    assert conditional["Parameters"]["When"] == {"Tag": "Modality", "Equals": "CT"}
    assert by_tag["(7FE0,0010)"]["Parameters"] == {"Pixels": {"Fill": [[0, 0, 9, 9]]}}
    assert by_tag['(01E1,"ELSCINT1",26)']["Action"] == "Keep"
    assert by_tag["(121022, DCM)"]["Action"] == "Remove"
