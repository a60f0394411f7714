"""The button in Orthanc Explorer leads to the status, by a relative address, without any data."""

import re
from typing import cast

from curator.explorer import SCRIPT, add_button
from curator.sdk import Sdk
from unit.fake_sdk import FakeSdk


def test_button_is_added_once_under_the_name_of_the_python_plugin():
    sdk = FakeSdk()
    add_button(cast("Sdk", sdk))
    assert sdk.explorer == [("python", SCRIPT.read_text(encoding="utf-8"))]


def test_script_has_relative_addresses_and_sets_nothing_as_html():
    script = SCRIPT.read_text(encoding="utf-8")
    assert re.findall(r"'href', '([^']*)'", script) == ["../curator"]
    assert not re.search(r"\.html\(|innerHTML|\.append\(|https?:|eval", script)
