# ruff: noqa: RUF001  (letters of many scripts are the point)
from __future__ import annotations

import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.charset import convert_encodings
from pydicom.charset import decode_bytes as pydicom_decode

from curator.dicom.charset import charset_of, decode_text, encode_text
from curator.dicom.errors import DoesNotFit, EncodingError

EXAMPLES = [
    # the examples of PS3.5 annexes H, I, J, K and of PS3.3 C.12.1.1.2
    ("", "ISO_IR 6", "Adams^John", b"Adams^John"),
    ("ISO_IR 100", "", "Äneas^Rüdiger", b"\xc4neas^R\xfcdiger"),
    ("ISO_IR 144", "", "Люкceмбypг", b"\xbb\xee\xdace\xdc\xd1yp\xd3"),
    ("ISO_IR 127", "", "قباني^لنزار", b"\xe2\xc8\xc7\xe6\xea^\xe4\xe6\xd2\xc7\xd1"),
    ("ISO_IR 126", "", "Διονυσιος", b"\xc4\xe9\xef\xed\xf5\xf3\xe9\xef\xf2"),
    ("ISO_IR 138", "", "שרון^דבורה", b"\xf9\xf8\xe5\xef^\xe3\xe1\xe5\xf8\xe4"),
    ("ISO_IR 192", "", "Wang^XiaoDong=王^小东", "Wang^XiaoDong=王^小东".encode()),
    ("GB18030", "", "Wang^XiaoDong=王^小东", b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab"),
    (
        "\\ISO 2022 IR 87",
        "",
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
        b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
    ),
    (
        "\\ISO 2022 IR 149",
        "",
        "Hong^Gildong=洪^吉洞=홍^길동",
        b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
    ),
    (
        "\\ISO 2022 IR 58",
        "",
        "Zhang^XiaoDong=张^小东",
        b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab",
    ),
]


@pytest.mark.parametrize(("terms", "_note", "text", "raw"), EXAMPLES)
def test_the_examples_of_the_standard(terms, _note, text, raw):
    charset = charset_of(terms.encode())
    assert decode_text(raw, charset, "PN") == text
    assert encode_text(text, charset, "PN") == raw


def test_katakana_and_kanji_of_annex_h():
    charset = charset_of(b"ISO 2022 IR 13\\ISO 2022 IR 87")
    raw = (
        b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J"
        b"=\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J"
    )
    assert decode_text(raw, charset, "PN") == "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"


def test_a_two_byte_character_may_hold_a_backslash_byte():
    charset = charset_of(b"\\ISO 2022 IR 87")
    raw = encode_text("十", charset, "LO")
    assert b"=" in raw or raw
    for text in ("十", "構", "表\\山"):
        assert decode_text(encode_text(text, charset, "LO"), charset, "LO") == text
    gbk = charset_of(b"GBK")
    assert decode_text(encode_text("俓\\山", gbk, "LO"), gbk, "LO") == "俓\\山"


@pytest.mark.parametrize(
    ("spelled", "codec"),
    [
        (b"ISO_IR_100", "latin_1"),
        (b"ISO IR 100", "latin_1"),
        (b"ISO-IR 100 ", "latin_1"),
        (b"iso_ir 192", "utf_8"),
        (b"ISO 2022 IR 100", "latin_1"),
        (b"ISO_2022_IR_100", "latin_1"),
        (b"ISO 2022 IR 87", "ascii"),
        (b"", "ascii"),
        (b"  ", "ascii"),
        (b"\\ISO 2022 IR 87", "ascii"),
    ],
)
def test_spellings_of_terms(spelled, codec):
    assert charset_of(spelled).initial == codec


def test_an_instance_without_charset_takes_the_default():
    assert charset_of(b"", "ISO_IR 100").initial == "latin_1"


def test_an_unknown_term_takes_ascii_only():
    charset = charset_of(b"EBCDIC")
    assert encode_text("Doe", charset, "PN") == b"Doe"
    with pytest.raises(DoesNotFit):
        encode_text("Döe", charset, "PN")
    with pytest.raises(EncodingError, match="does not define"):
        decode_text(b"D\xf6e", charset, "PN")


@pytest.mark.parametrize(
    ("terms", "raw"),
    [
        (b"", b"D\xf6e"),
        (b"ISO_IR 192", b"D\xf6e"),
        (b"ISO_IR 100", b"\x1b$B;3ED\x1b(B"),
        (b"\\ISO 2022 IR 87", b"\x1b$B;3E\x1b(B"),
        (b"\\ISO 2022 IR 87", b"\x1b%Gabc"),
        (b"\\ISO 2022 IR 87", b"abc\x1b"),
        (b"\\ISO 2022 IR 149", b"\x1b$)C\xff\xff"),
        (b"ISO_IR 127", b"\xa1"),
    ],
)
def test_bytes_that_are_no_text_are_refused_without_their_value(terms, raw):
    with pytest.raises(EncodingError) as refusal:
        decode_text(raw, charset_of(terms), "LO")
    assert "\ufffd" not in str(refusal.value)
    assert "?" not in str(refusal.value)


@pytest.mark.parametrize(
    ("terms", "text"),
    [
        (b"", "é"),
        (b"ISO_IR 100", "山田"),
        (b"ISO_IR 13", "山田"),
        (b"ISO_IR 144", "é"),
        (b"\\ISO 2022 IR 87", "é"),
        (b"ISO_IR 192", "\udc80"),
        (b"ISO_IR 100", "\x1b$Bé"),
    ],
)
def test_text_that_does_not_fit(terms, text):
    with pytest.raises(DoesNotFit):
        encode_text(text, charset_of(terms), "LO")


TERMS = [
    "",
    "ISO_IR 100",
    "ISO_IR 101",
    "ISO_IR 109",
    "ISO_IR 110",
    "ISO_IR 126",
    "ISO_IR 127",
    "ISO_IR 138",
    "ISO_IR 144",
    "ISO_IR 148",
    "ISO_IR 166",
    "ISO_IR 203",
    "ISO_IR 13",
    "ISO_IR 192",
    "GB18030",
    "GBK",
    "\\ISO 2022 IR 87",
    "ISO 2022 IR 13\\ISO 2022 IR 87\\ISO 2022 IR 159",
    "\\ISO 2022 IR 149",
    "\\ISO 2022 IR 58",
    "ISO 2022 IR 100\\ISO 2022 IR 144\\ISO 2022 IR 126",
]
LETTERS = "aZ ^=\\\r\néüßŁđĦĸЖяعبאבαωğş€ก山田太郎やまだﾔﾏ홍길동张东十構\x1b\0"


@given(
    st.sampled_from(TERMS),
    st.text(st.sampled_from(LETTERS) | st.characters(), max_size=12),
    st.sampled_from(["PN", "LO", "LT"]),
)
def test_what_is_encoded_reads_back_or_does_not_fit(terms, text, vr):
    charset = charset_of(terms.encode())
    try:
        raw = encode_text(text, charset, vr)
    except DoesNotFit:
        return
    assert decode_text(raw, charset, vr) == text


@given(st.sampled_from(TERMS), st.binary(max_size=20))
def test_any_bytes_decode_or_are_refused(terms, raw):
    charset = charset_of(terms.encode())
    try:
        text = decode_text(raw, charset, "LO")
    except EncodingError:
        return
    assert "\ufffd" not in text or terms in ("ISO_IR 192", "GB18030")


SAME_AS_PYDICOM = "ISO_IR 100", "ISO_IR 144", "ISO_IR 127", "\\ISO 2022 IR 87", "\\ISO 2022 IR 149"


@given(st.sampled_from(SAME_AS_PYDICOM), st.text(st.sampled_from("aZ éЖع山田홍길"), max_size=8))
def test_pydicom_reads_what_is_encoded(terms, text):
    charset = charset_of(terms.encode())
    try:
        raw = encode_text(text, charset, "LO")
    except DoesNotFit:
        return
    encodings = convert_encodings(terms.split("\\"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert pydicom_decode(raw, encodings, {0x0A, 0x0C, 0x0D, 0x09}) == text
