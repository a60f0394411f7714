"""Names from templates."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.dicom.tags import Path, parse_path
from curator.reshape.naming import LIMITS, parse_template

FOUND = {
    "SeriesDescription": ("t2 tse",),
    "EchoTime": ("2.460",),
    "AcquisitionNumber": ("3",),
    "ImageType": ("ORIGINAL", "PRIMARY"),
    "PatientName": (),
    "StudyDate": ("20240102",),
    "ProtocolName": ("a\\b\tc",),
    "RepetitionTime": ("inf",),
    "FlipAngle": ("1e300",),
}


def lookup(path: Path) -> tuple[str, ...]:
    return FOUND[str(path)]


def named(template: str, limit: int = 64, group: str = "EchoTime=2.46", index: int = 7) -> str:
    return parse_template(template).fill(lookup, group, index, limit)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("plain", "plain"),
        ("", ""),
        ("{SeriesDescription} TE={EchoTime:g}", "t2 tse TE=2.46"),
        ("{EchoTime}", "2.460"),
        ("{0018,0081:.1f}", "2.5"),
        ("{EchoTime:08.2f}", "00002.46"),
        ("{EchoTime:d}", "2"),
        ("{EchoTime:03}", "2.46"),
        ("{AcquisitionNumber}", "3"),
        ("{AcquisitionNumber:03}", "003"),
        ("{AcquisitionNumber:03d}", "003"),
        ("{AcquisitionNumber:.2f}", "3.00"),
        ("{AcquisitionNumber:x}", "3"),
        ("{AcquisitionNumber:.2}", "3.0"),
        ("{AcquisitionNumber:s}", "3"),
        ("{StudyDate:d}", "20240102"),
        ("{SeriesDescription:05d}", "t2 tse"),
        ("{ImageType}", "ORIGINAL PRIMARY"),
        ("[{PatientName}]", "[]"),
        ("{Group}", "EchoTime=2.46"),
        ("{Index}", "7"),
        ("{Index:03}", "007"),
        ("{Group:d}", "EchoTime=2.46"),
        ("{{{Index}}}", "{7}"),
        ("{RepetitionTime:d}", "inf"),
        ("{RepetitionTime:.2f}", "inf"),
        ("{ProtocolName}", "a/b c"),
        ("a\\b\r\n\x00c", "a/b   c"),
        ("  x  ", "x"),
    ],
)
def test_a_template_is_filled(template, expected):
    assert named(template) == expected


@pytest.mark.parametrize(
    "template",
    [
        "{",
        "}",
        "{EchoTime",
        "{}",
        "{0}",
        "{Unknown}",
        "{EchoTime!r}",
        "{EchoTime!s}",
        "{EchoTime:{Index}}",
        "{EchoTime:999f}",
        "{EchoTime:.999f}",
        "{EchoTime:c}",
        "{EchoTime:,}",
        "{EchoTime:_d}",
        "{EchoTime:q}",
        "{EchoTime.real}",
        "{EchoTime[0]}",
        "{Group.upper}",
        "{EchoTime.__class__}",
    ],
)
def test_what_is_no_template_is_refused(template):
    with pytest.raises(ValueError):
        parse_template(template)


def test_the_elements_of_a_template_are_known():
    template = parse_template("{Group} {EchoTime:g} {Index} {0008,103E}")
    assert list(template.paths()) == [parse_path("EchoTime"), parse_path("SeriesDescription")]


def test_a_path_into_a_sequence_can_be_named():
    path = "RequestAttributesSequence[0].RequestedProcedureID"
    template = parse_template(f"{{{path}}}")
    assert list(template.paths()) == [parse_path(path)]
    assert template.fill(lambda _path: ("RP1",), "", 1, 64) == "RP1"


@pytest.mark.parametrize(("keyword", "limit"), LIMITS.items())
def test_names_are_cut_to_what_the_element_can_hold(keyword, limit):
    assert named("x" * 100, limit) == "x" * limit


texts = st.text(st.characters(codec=None), max_size=40)


@given(st.lists(texts, max_size=3), texts, st.sampled_from(sorted(set(LIMITS.values()))), st.data())
def test_no_name_holds_what_no_text_element_may(found, group, limit, data):
    spec = data.draw(st.sampled_from(["", ":g", ":08.2f", ":d", ":>20", ":x", ":%", ":s", ":=+9d"]))
    template = parse_template(f"\\\x1b{{EchoTime{spec}}} {{Group{spec}}} {{Index{spec}}}")
    name = template.fill(lambda _path: tuple(found), group, 1, limit)
    assert len(name) <= limit
    assert name == name.strip()
    assert "\\" not in name
    assert not any(unicodedata.category(char) in ("Cc", "Cs") for char in name)
    name.encode()


@given(st.floats() | st.integers())
def test_any_number_can_be_formatted(value):
    template = parse_template("{EchoTime:d} {EchoTime:g} {EchoTime:x} {EchoTime:03} {EchoTime:.3}")
    assert isinstance(template.fill(lambda _path: (str(value),), "", 1, 64), str)
