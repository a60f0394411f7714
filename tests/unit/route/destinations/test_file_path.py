import unicodedata
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.dicom.tags import SOP_INSTANCE_UID, Path, parse_path
from curator.route.destinations.file_path import LONGEST_NAME, parse_path_template

UID = "1.2.3"


def filled(text, **values):
    paths = {parse_path(keyword): value for keyword, value in values.items()}
    paths[Path(SOP_INSTANCE_UID)] = UID
    return parse_path_template(text).fill(lambda path: tuple(filter(None, [paths.get(path)])))


def test_elements_fill_the_path():
    found = filled("{PatientID}/{StudyDate}_x/{SOPInstanceUID}.dcm", PatientID="P1", StudyDate="2")
    assert found == ("P1", "2_x", "1.2.3.dcm")


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("../../etc", "___.._etc"),
        ("..", "__"),
        (".", "_"),
        ("", "_"),
        ("a/b\\c", "a_b_c"),
        (".hidden", "_hidden"),
        ("a\x00b\n", "a_b"),
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("DOE^JOHN", "DOE^JOHN"),
        ("山田^太郎", "山田^太郎"),
    ],
)
def test_a_value_is_made_harmless(value, name):
    assert filled("{PatientID}/{SOPInstanceUID}", PatientID=value) == (name, UID)


@given(st.text(max_size=400))
def test_no_value_leaves_the_folder_or_makes_a_name_too_long(value):
    names = filled("{PatientID}/x-{PatientID}.dcm/{SOPInstanceUID}", PatientID=value)
    assert len(names) == 3
    for name in names:
        assert name not in ("", ".", "..")
        assert not name.startswith(".")
        assert len(name.encode(errors="surrogatepass")) <= LONGEST_NAME + 1
        assert len(PurePosixPath(name).parts) == 1
        assert len(PureWindowsPath(name).parts) == 1
        assert not any(unicodedata.category(character) in ("Cc", "Cs") for character in name)


@given(st.text("ab", min_size=200, max_size=300), st.text("ab", min_size=200, max_size=300))
def test_long_values_that_differ_stay_apart(one, other):
    names = [filled("{PatientID}/{SOPInstanceUID}", PatientID=value)[0] for value in (one, other)]
    assert (names[0] == names[1]) == (one == other)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "relative path"),
        ("/x/{SOPInstanceUID}", "relative path"),
        ("{SOPInstanceUID}/", "relative path"),
        ("../{SOPInstanceUID}", "must not be empty"),
        ("a//{SOPInstanceUID}", "must not be empty"),
        ("a:b/{SOPInstanceUID}", "not allowed"),
        ("{PatientID}.dcm", "must contain {SOPInstanceUID}"),
        ("{PatientIDD}/{SOPInstanceUID}", "PatientID"),
        ("{SOPInstanceUID", "}"),
    ],
)
def test_a_template_that_is_wrong_says_how(text, words):
    with pytest.raises(ValueError) as caught:
        parse_path_template(text)
    assert words in str(caught.value)
