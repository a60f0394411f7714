"""The conformance statement of a profile."""

import pytest

from curator import __version__
from curator.anonymize import tables
from curator.anonymize.conformance import statement
from curator.anonymize.profile import Option, Profile
from curator.anonymize.resolve import Resolver
from curator.anonymize.shipped import shipped
from curator.models import validate


def written(content: dict[str, object]) -> str:
    profile = validate(Profile, {"Name": "test", **content})
    return statement(profile, Resolver(profile, tables.load()))


@pytest.mark.parametrize("name", sorted(shipped()))
def test_it_is_the_same_every_time(name):
    profile = shipped()[name]
    texts = {statement(profile, Resolver(profile, tables.load())) for _ in range(2)}
    assert len(texts) == 1


def test_it_says_for_every_option_whether_it_applies():
    text = written({"Options": ["RetainUids", "CleanGraphics"]})
    for option in Option:
        applied = "yes" if option in ("RetainUids", "CleanGraphics") else "no"
        assert f"| {option} | {applied} |" in text


def test_it_has_every_attribute_of_the_table():
    text = written({})
    for row in tables.load().rows:
        tag = f"({row.tag[:4]},{row.tag[4:]})"
        assert f"| {row.name} | {tag} |" in text


def test_it_names_rules_that_deviate_and_their_direction():
    rules = [
        {"Tag": "StudyDescription", "Action": "Keep"},
        {"Tag": "PatientAge", "Action": "Remove"},
    ]
    text = written({"Options": ["RetainPatientCharacteristics"], "Rules": rules})
    weaker = text.index("protect less")
    stronger = text.index("protect more")
    assert weaker < text.index("StudyDescription: Keep instead of Remove (rule 0)") < stronger
    assert stronger < text.index("PatientAge: Remove instead of Keep (rule 1)")
    assert "Application Level Confidentiality Profile | with exceptions |" in text
    assert "(113100, DCM" not in text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, "(0028,0303): REMOVED"),
        ({"Options": ["RetainLongitudinalFullDates"]}, "(0028,0303): UNMODIFIED"),
        (
            {"Options": ["RetainLongitudinalModifiedDates"], "Dates": {"RangeDays": [-9, 9]}},
            "from -9 to 9",
        ),
        ({"Rules": [{"Tag": "StudyDate", "Action": "ShiftDate"}]}, "(0028,0303): MODIFIED"),
        ({"Options": ["RetainLongitudinalFullDates"]}, "such as the birth date"),
        ({"Options": ["RetainLongitudinalModifiedDates"]}, "such as the birth date"),
        ({"Residual": "Report"}, "findings are reported"),
        ({}, "pixels and documents are not searched"),
        ({}, "hold no encrypted originals"),
        ({}, "whoever has the key"),
        ({}, "text that is burned in stays"),
        ({}, f"by Curator {__version__}"),
        ({"Mapping": True}, "keeps which Patient ID became which"),
        ({"Options": ["CleanPixelData"]}, "are refused where no rule covers them"),
        ({"OptionsMeet": "Permissive"}, "the more permissive wins"),
        ({"Rules": [{"Pixels": {"Detect": "Text"}}]}, "optical character recognition"),
        (
            {"Rules": [{"Tag": "PatientID", "Action": "Pseudonym", "Scheme": "Sequential"}]},
            "Sequential pseudonyms are counted",
        ),
        ({"Options": ["RetainUids"]}, "UIDs stay (option RetainUids)"),
        ({}, "The profile has no rules."),
    ],
)
def test_it_says_how_values_are_treated(content, said):
    assert said in written(content)


def test_texts_of_the_profile_cannot_break_its_tables():
    rules = [{"PrivateCreator": "A|B", "Action": "Keep"}]
    text = written({"Description": "one\n\n# two | three", "Rules": rules})
    assert "\n# two" not in text
    assert "| private creator A\\|B |" in text


def test_texts_of_the_profile_are_no_markup():
    like = {"Tag": "Modality", "Like": "a`|<b"}
    rules = [
        {"Tag": "PatientID", "Action": "Pseudonym", "Prefix": "[x](y:1)|"},
        {"Tag": "StudyID", "Action": "Keep", "When": like},
    ]
    text = written({"Version": "<img src=x>", "Description": "`code` &lt; <a>", "Rules": rules})
    assert "Version \\<img src=x> of" in text
    assert "\n\\`code\\` \\&lt; \\<a>\n" in text
    assert "Prefix=\\[x](y:1)\\| |" in text
    assert r'| `{"Tag":"Modality","Like":"a\u0060\u007c<b"}` |' in text


def test_tables_of_originals_are_not_in_it():
    rules = [{"Tag": "PatientID", "Action": "Lookup", "Table": "map"}]
    originals = {"map": {"hidden1": "hidden2"}}
    assert "hidden" not in written({"Rules": rules, "Tables": originals})


def test_every_action_that_it_names_is_explained():
    """Who reads it knows the codes of the standard, not the words of Curator."""
    for name in ("basic", "research-pixels"):
        text = statement(shipped()[name], Resolver(shipped()[name], tables.load()))
        table = text[text.index("| Attribute |") :].splitlines()[2:]
        named = {word for line in table for word in line.split(" | ")[3].split("/")}
        assert [word for word in sorted(named) if f"- {word}: " not in text] == []
