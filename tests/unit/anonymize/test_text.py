"""Texts of radiology in several languages: what has to go, and what has to stay."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.sr._cid_dict import cid_concepts

from curator.anonymize.subject import Subject
from curator.anonymize.text import TextCleaner, cleaned, cleaner_of
from curator.dicom.charset import charset_of
from curator.dicom.edits import KEEP, Drop, Replace
from curator.dicom.element import Element
from curator.dicom.errors import EncodingError
from curator.dicom.tags import tag_for_keyword

SUBJECT = Subject(
    key="MRN-00123456",
    names=(
        "Müller-Lüdenscheidt^Hans Jörg^^Dr.",
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
        "Иванов^Пётр",
        "O'Brien^Seán",
    ),
    identifiers=("MRN-00123456", "ACC0042", "77889911", "0012345"),
    birth_dates=("19700203",),
    contacts=("+49 170 1234567", "Musterstr. 5, 12345 Berlin", "h.mueller@example.org"),
    persons=("van der Berg^Anna", "Li^Wu", "Smith^J", "Wu^Xiaoming"),
    surroundings=("Klinikum Steglitz, Charité Berlin", "Nuclear Medicine", "CTSKYRA07"),
    ages=("067Y",),
    uids=("1.3.6.1.4.1.99999.77.2",),
)
NOBODY = Subject(key="")

STAYS = (
    "CT THORAX 5.0 B30f",
    "T2 TSE 3mm",
    "L4/L5",
    "10 mg",
    "2.5 mm",
    "TR 500",
    "v1.2.3",
    "Siemens VB17A syngo MR B19",
    "MR Knie rechts",
    "DR THORAX AP",
    "MR BRAIN WITH AND WITHOUT CONTRAST",
    "PET/CT FDG 250 MBq 60 min p.i.",
    "T1 mprage sag p2 iso 1.0",
    "5.0 x 3.2 cm lesion in segment IV",
    "post-op day 3",
    "3.0T MR 1.5 mm 512x512 FOV 240",
    "Dose 100000 IU heparin",
    "BI-RADS 4a, Gleason 3+4=7, TNM pT2 N0 M0",
    "EF 55%, LVEDV 120 ml, RR 120/80",
    "Kein Hinweis auf Pneumothorax. Herz nicht vergrößert.",
    "Pas d'épanchement pleural. Rachis cervical de face et de profil.",
    "TAC de tórax sin contraste, cortes de 1,25 mm",
    "RM del ginocchio destro, sequenze PD SPAIR",
    "CT-thorax met contrast, 120 kV, 200 mAs",
    "КТ органов грудной клетки без контраста",  # noqa: RUF001
    "胸部CT 造影なし 5mm",
    "흉부 CT 조영증강",
    "1.2.840.10008.5.1.4.1.1.2",
    "b=0,50,400,800 s/mm2",
    "Multi-Phase Liver 4 phases 35s/70s/180s",
    "Head First Supine",
    "C-arm, 2 projections",
    "Nuclear Medicine: bone scan, 5 year follow up",
    "Y-90 SIRT, 90Y microspheres, 95 kg, 120 kV",
    "M. Crohn, Morbus Basedow, Mr spectroscopy, M. Parkinson",
    "T10/T11 disc, L5-S1, series 4, image 123, Se:3/Im:45",
    "Z-score -2.5, SUVmax 12.345, PI-RADS 4, ICD C34.1",
    "University of Wisconsin solution, hospital acquired pneumonia",
    "performed by CT guidance, reviewed by AI",
)

GOES = {
    "CT Abdomen Hans Müller 3 Feb 1970": "CT Abdomen",
    "CT Abdomen MUELLER-LUEDENSCHEIDT": "CT Abdomen",
    "Thorax Herr Lüdenscheidt, geb. 03.02.1970": "Thorax",
    "Knie, Mullers Befund": "Knie, Befund",
    "Smith J CT": "CT",
    "J. Smith: T2 weighted": "T2 weighted",
    "Smith T2": "T2",
    "SMITH_CT_THORAX": "CT_THORAX",
    "Muellerluedenscheidt Hals": "Hals",
    "Abdomen (Li Wu)": "Abdomen",
    "consult Wu, L. today": "consult today",
    "van der Berg, A. Becken": "Becken",
    "OBrien knee": "knee",
    "O'Brien's knee": "knee",
    "Sean knee": "knee",
    "患者山田太郎の胸部": "患者 の胸部",
    "ﾔﾏﾀﾞ ﾀﾛｳ 胸部": "胸部",
    "ヤマダ 胸部": "胸部",
    "Направлен Иванову П., КТ": "Направлен, КТ",  # noqa: RUF001
    "ИВАНОВ Петр КТ": "КТ",  # noqa: RUF001
    "mrn00123456 chest": "chest",
    "acc 0042 / ACC-0042 chest": "chest",
    "12345 chest": "chest",
    "77 88 99 11 chest": "chest",
    "01/02/1999 chest": "chest",
    "prior study 2019-05-06 compared": "prior study compared",
    "12 Jan 1970 follow up": "follow up",
    "January 12, 1970 follow up": "follow up",
    "12. März 2020 Kontrolle": "Kontrolle",
    "le 3 février 2021 contrôle": "le contrôle",
    "12 de enero de 2020 control": "control",
    "2024年3月5日 胸部": "胸部",
    "seen 14:35:20 chest": "seen chest",
    "Dr. Meier Thorax": "Thorax",
    "Frau Schmidt Abdomen": "Abdomen",
    "Mme Dupont genou gauche": "genou gauche",
    "Dr. med. Karl Weber, Schulter": "Schulter",
    "Patient: Jones, Mary knee": "Patient: knee",
    "DOE^JOHN head": "head",
    "MRN: 123 knee": "knee",
    "Acc# 4711 chest": "chest",
    "Fallnr. 998877 Hüfte": "Hüfte",
    "call 030 1234567 now": "call now",
    "Tel. +1 (617) 555-0100 chest": "chest",
    "0170/1234567 chest": "chest",
    "mail a.b@example.com chest": "mail chest",
    "see https://pacs.example.com/u/1?x=2 chest": "see chest",
    "wohnt Musterstr. 5": "wohnt",
    "wohnt Musterstr. 5, 12345 Berlin": "wohnt",
    "12 Main Street knee": "knee",
    "SSN 123-45-6789 chest": "SSN chest",
    "P0012345 chest": "chest",
    "Hans": "",
    "19700203": "",
    "YAMADA TARO chest": "chest",
    "u Lüdenscheidta, kolano": "u, kolano",  # declined
    "Müller-Lu\u0308denscheidt chest": "chest",
    "Mül\u00adler chest": "chest",
    "at KLINIKUM STEGLITZ, Charite": "at",
    "done on ctskyra07": "done on",
    "67-year-old with cough": "with cough",
    "67 y/o with cough": "with cough",
    "067Y with cough": "with cough",
    "67-jähriger Patient": "Patient",
    "âgée de 67 ans, toux": "toux",
    "93 y/o with cough": "with cough",
    "homme de 95 ans, toux": "toux",
    "92 jähriger Patient": "Patient",
    "see 1.3.6.1.4.1.99999.77.2 chest": "see chest",
    "see 1.2.276.0.7230010.3.1.2.8323329.4711 chest": "see chest",
    "Befunder: Dr. med. Max Mustermann": "Befunder",
    "signed electronically by Karen O'Neil": "signed electronically by",
    "Karen Miller, MD": "MD",
    "NHS No 943 476 5919 chest": "chest",
    "Case no: AB-12/3456 chest": "chest",
    "compared to 2019-03": "compared to",
    "born in 1931": "",
}


@pytest.mark.parametrize("text", STAYS)
@pytest.mark.parametrize("subject", [SUBJECT, NOBODY], ids=["somebody", "nobody"])
def test_clinical_text_stays_as_it_is(text, subject):
    assert cleaner_of(subject).clean(text) == text


@pytest.mark.parametrize(("text", "expected"), GOES.items(), ids=list(GOES))
def test_identifiers_go_and_the_rest_stays(text, expected):
    assert cleaner_of(SUBJECT).clean(text) == expected


def test_meanings_of_the_common_anatomic_regions_stay():
    regions = {name for names in cid_concepts[4031].values() for name in names}
    cleaner = cleaner_of(NOBODY)
    assert len(regions) > 50
    assert [name for name in regions if cleaner.clean(name) != name] == []


SPELLINGS = (
    *("{family}, {given}", "{family} {given}", "{given} {family}", "{given}{family}"),
    *("{family}^{given}", "{given}.{family}", "{family}_{given}_CT", "{family}", "{given}"),
    *("{initial}. {family}", "{family} {initial}", "CT/{family}/2"),
)
LETTERS = st.text(st.characters(categories=["Ll"], max_codepoint=0x17F), min_size=4, max_size=9)
CASES = st.sampled_from([str.upper, str.lower, str.title, str.casefold])


@given(LETTERS, LETTERS, st.sampled_from(SPELLINGS), CASES)
def test_no_spelling_of_a_name_survives(family, given_name, spelling, case):
    cleaner = TextCleaner(Subject("", names=(f"{family.title()}^{given_name.title()}",)))
    parts = {"family": family, "given": given_name, "initial": given_name[0]}
    written = case(spelling.format(**parts))
    left = cleaner.clean(f"CT {written} thorax")
    assert not cleaner.names_somebody(left)
    assert family.casefold() not in left.casefold()


@given(
    st.from_regex(r"[A-Z]{0,3}[0-9]{5,12}", fullmatch=True),
    st.sampled_from(["", "-", " ", "/"]),
    st.integers(1, 4),
)
def test_no_spelling_of_an_identifier_survives(identifier, separator, every):
    cleaner = TextCleaner(Subject("", identifiers=(identifier,)))
    pieces = [identifier[start : start + every] for start in range(0, len(identifier), every)]
    left = cleaner.clean(f"knee {separator.join(pieces)} left")
    assert left == "knee left"


@given(st.dates(), st.sampled_from(["%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%Y%m%d", "%d %b %Y",
                                    "%B %d, %Y", "%d%m%Y", "%d.%m.%y"]))  # fmt: skip
def test_no_usual_form_of_the_birth_date_survives(date, form):
    born = f"{date.year:04}{date.month:02}{date.day:02}"
    cleaner = TextCleaner(Subject("", birth_dates=(born,)))
    if date.year < 1000:
        date = date.replace(year=date.year + 1000)
        cleaner = TextCleaner(Subject("", birth_dates=(f"{int(born) + 10000000}",)))
    assert cleaner.clean(f"knee {date.strftime(form)} left") == "knee left"


@given(st.text(max_size=80))
def test_any_text_is_cleaned_once_and_for_all(text):
    cleaner = cleaner_of(SUBJECT)
    once = cleaner.clean(text)
    assert cleaner.clean(once) == once
    assert not cleaner.names_somebody(once)


@given(st.lists(st.sampled_from([*STAYS, *GOES, "\r\n", "Müller", "0012345", "^", "("])))
def test_what_is_left_of_any_text_names_nobody(parts):
    cleaner = TextCleaner(SUBJECT)
    assert not cleaner.names_somebody(cleaner.clean(" ".join(parts)))


def test_lines_stay_lines():
    text = "FINDINGS:\r\nMr. Miller has a cyst.\r\nIMPRESSION: cyst."
    assert cleaner_of(NOBODY).clean(text) == "FINDINGS:\r\nhas a cyst.\r\nIMPRESSION: cyst."


def test_a_long_text_is_cleaned_in_linear_time():
    """Nothing here may depend on a clock: a quadratic pattern would not end at all."""
    cleaner = TextCleaner(SUBJECT)
    for piece in ("a", "1", "a.", "1-", "A ", "@", "^", "0 ", "Dr. ", "(", "12 de "):
        cleaner.clean(piece * (50_000 // len(piece)))


def element(keyword, vr, raw, charset=b"ISO_IR 100"):
    return Element(tag_for_keyword(keyword), vr, raw, charset_of(charset))


def test_values_are_cleaned_one_by_one():
    edit = cleaned(element("ProtocolName", "LO", b"CT Smith\\Thorax"), cleaner_of(SUBJECT))
    assert edit == Replace(("CT", "Thorax"))


def test_text_of_one_value_keeps_its_backslashes():
    raw = "CT\\Müller\\Thorax ".encode("latin_1")
    edit = cleaned(element("ImageComments", "LT", raw), cleaner_of(SUBJECT))
    assert edit == Replace("CT\\ \\Thorax")


@pytest.mark.parametrize(
    ("vr", "raw"),
    [("LO", b"CT Thorax "), ("DS", b"1.5\\2"), ("IS", b"512 "), ("US", b"\0\2"), ("UT", b"")],
)
def test_what_names_nobody_is_kept_byte_for_byte(vr, raw):
    assert cleaned(element("ProtocolName", vr, raw), cleaner_of(SUBJECT)) == KEEP


def test_a_number_that_is_an_identifier_goes():
    edit = cleaned(element("InstanceNumber", "IS", b"77889911"), cleaner_of(SUBJECT))
    assert edit == Replace(())


@pytest.mark.parametrize("vr", ["UN", "OB", "OW", "UI"])
def test_what_is_no_text_goes(vr):
    assert isinstance(cleaned(element("ProtocolName", vr, b"CT"), cleaner_of(SUBJECT)), Drop)


def test_text_that_nobody_can_read_is_an_error():
    with pytest.raises(EncodingError):
        cleaned(element("ProtocolName", "LO", b"M\xfcll", b"ISO_IR 192"), cleaner_of(SUBJECT))
