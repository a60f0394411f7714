"""The tables of the standard as they come along."""

import csv
from pathlib import Path

import pytest

from curator.anonymize import tables
from curator.anonymize.profile import Option
from curator.anonymize.standard import AttributeType, Code, Row, parse_standard

STANDARD = tables.load()
DATA = Path(tables.__file__).parent / "data"
FILES = sorted(DATA.glob("*.csv"))


def records(name: str) -> list[dict[str, str]]:
    lines = (DATA / name).read_text(encoding="utf-8").splitlines()
    return list(csv.DictReader(lines[1:]))


@pytest.mark.parametrize("name", [f"{name}.csv" for name in tables._NAMES])
def test_every_table_names_its_edition(name):
    first = (DATA / name).read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# DICOM PS3.")
    assert "2026d, © NEMA" in first


def test_every_row_of_the_files_is_there():
    assert len(STANDARD.rows) == 657
    assert len(STANDARD.by_tag) == 657 - 4  # curves, two overlay rows, private
    assert len(STANDARD.safe_private) == 479
    assert sum(map(len, STANDARD.content.values())) == 214
    assert len(STANDARD.compound_types) == len(records("compound_types.csv"))


def test_every_code_of_every_option_is_read():
    columns = [column for column in records("ps3_15_e1_1.csv")[0] if column not in NAMES]
    written = sum(bool(row[column]) for row in records("ps3_15_e1_1.csv") for column in columns)
    assert sum(len(row.options) for row in STANDARD.rows) == written


NAMES = ("tag", "keyword", "name", "retired", "in_std_iod", "basic")


def test_repeating_groups_have_their_rows():
    assert STANDARD.row(0x50123456) is STANDARD.curves
    assert STANDARD.row(0x60043000) is STANDARD.overlays[0x3000]
    assert STANDARD.row(0x60044000) is STANDARD.overlays[0x4000]
    assert STANDARD.row(0x60040010) is None
    assert STANDARD.row(0x60013000) is None
    assert STANDARD.row(0x00080008) is None


def test_a_version_in_brackets_is_no_part_of_a_coding_scheme():
    assert ("15", "NCDR") in STANDARD.content


def test_the_strictest_module_counts():
    assert STANDARD.module_types[0x00080060] is AttributeType.ONE  # Modality
    assert STANDARD.module_types[0x00100020] is AttributeType.TWO


@pytest.mark.parametrize(
    ("basic", "one", "two", "three", "unknown"),
    [
        ("X", "X", "X", "X", "X"),
        ("U", "U", "U", "U", "U"),
        ("X/Z", "D", "Z", "X", "Z"),
        ("X/D", "D", "D", "X", "D"),
        ("Z/D", "D", "Z", "Z", "D"),
        ("X/Z/D", "D", "Z", "X", "D"),
        ("X/Z/U*", "U", "Z", "X", "U"),
    ],
)
def test_a_compound_code_follows_the_type_of_the_attribute(basic, one, two, three, unknown):
    row = Row("00080020", "", "", basic, {})
    types = (AttributeType.ONE, AttributeType.TWO, AttributeType.THREE, None)
    assert [row.code(type_of) for type_of in types] == [one, two, three, unknown]


def test_every_compound_code_of_the_table_is_known():
    known = {"X/Z", "X/D", "Z/D", "X/Z/D", "X/Z/U*"}
    assert {row.basic for row in STANDARD.rows if "/" in row.basic} == known


def test_an_unknown_code_is_refused():
    texts = {name: (DATA / f"{name}.csv").read_text(encoding="utf-8") for name in tables._NAMES}
    texts["ps3_15_e1_1"] = texts["ps3_15_e1_1"].replace(",K,", ",Q,", 1)
    with pytest.raises(ValueError, match="Q"):
        parse_standard(texts)


def test_options_of_a_row_are_those_of_its_columns():
    row = STANDARD.by_tag[0x00181002]  # DeviceUID
    assert row.options == {Option.RETAIN_UIDS: Code.K, Option.RETAIN_DEVICE_IDENTITY: Code.K}
