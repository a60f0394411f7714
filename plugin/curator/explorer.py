"""The button in Orthanc Explorer that leads to Curator's status."""

from pathlib import Path

from curator.sdk import Sdk

SCRIPT = Path(__file__).with_name("explorer.js")

#: The name of the Python plugin, under which the core looks for the script.
PLUGIN = "python"


def add_button(sdk: Sdk) -> None:
    """Add it; Orthanc Explorer runs the script whenever it is opened."""
    sdk.ExtendOrthancExplorer2(PLUGIN, SCRIPT.read_text(encoding="utf-8"))
