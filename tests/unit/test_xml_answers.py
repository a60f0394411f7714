"""XML in the place of JSON, as the core writes it."""

import json
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.gateway import Gateway
from curator.web import Endpoint, Request, dispatch, json_response
from curator.xml_answers import to_xml, wants_xml
from unit.fake_sdk import FakeSdk

DECLARED = '<?xml version="1.0" encoding="utf-8"?>\n'


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("application/xml", True),
        ("application/xml;q=0.9", True),
        ("application/json;application/xml", True),
        ("application/xml;application/json", False),
        ("application/json", False),
        ("", False),
        ("*/*", False),
        ("text/html,application/xml", False),  # the core takes no notice of commas
        (" application/xml", False),
    ],
)
def test_xml_is_wanted_where_the_core_takes_it_to_be(accept, expected):
    assert wants_xml(accept) is expected


def test_layout_is_that_of_the_core():
    value = {"b": [1, "x", {"c": None}], "a": True, "e": {}, "f": [], "g": "", "h": -0.5}
    assert to_xml(json.dumps(value).encode()).decode() == DECLARED + (
        "<root>\n  <a>true</a>\n  <b>\n    <item>1</item>\n    <item>x</item>\n"
        "    <item>\n      <c>null</c>\n    </item>\n  </b>\n  <e />\n  <f />\n  <g />\n"
        "  <h>-0.5</h>\n</root>\n"
    )


def test_numbers_have_single_precision():
    assert b"<root>0.00100000005</root>" in to_xml(b"0.001")
    assert b"<root>inf</root>" in to_xml(b"1e300")


def test_key_that_is_empty_has_the_name_that_the_core_gives_it():
    assert b"\n  <:anonymous>1</:anonymous>\n" in to_xml(b'{"": 1}')


def test_text_cannot_become_markup():
    content = to_xml(json.dumps("</root><evil a='1'>&amp;\x07\r").encode())
    assert b"<evil" not in content
    assert b"&lt;/root&gt;&lt;evil a='1'&gt;&amp;amp;&#07;&#13;" in content


@given(st.recursive(st.text("aä<>&\"'\n ") | st.integers(), lambda inner: st.lists(inner)))
def test_any_text_is_read_back(value):
    def read(element: ET.Element) -> object:
        return [read(one) for one in element] if len(element) else element.text or ""

    def expected(one: object) -> object:
        return ([expected(child) for child in one] or "") if isinstance(one, list) else str(one)

    written = to_xml(json.dumps(value).encode())
    assert read(ET.fromstring(written)) == expected(value)  # noqa: S314  we wrote it


def test_errors_and_other_kinds_stay_as_they_are():
    endpoint = Endpoint("/one", {"GET": lambda _: json_response({"a": 1})})
    gateway = Gateway(FakeSdk())
    asked = Request("GET", "/one", headers={"accept": "application/xml"})
    given = dispatch(endpoint, asked, gateway, describe=True)
    assert given.content_type == "application/xml; charset=utf-8"
    assert given.body.decode() == DECLARED + "<root>\n  <a>1</a>\n</root>\n"
    failing = Endpoint("/one", {"GET": lambda _: 1 / 0})
    given = dispatch(failing, asked, gateway, describe=True)
    assert (given.status, given.content_type) == (500, "text/plain")
    assert json.loads(given.body)["HttpStatus"] == 500
