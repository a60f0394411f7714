"""What the README tells of the status, buttons and permissions is so, and is all."""

import json
import re
from pathlib import Path

import pytest

import engines
import settings as orthanc_settings
from curator.health.monitor import Status
from curator.health.verdict import Health
from endpoints import registered

README = (Path(__file__).resolve().parents[3] / "README.md").read_text(encoding="utf-8")
STATUS = README.partition("\n## Status\n")[2].partition("\n## ")[0]
BLOCKS = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", README, re.DOTALL)]

(PERMISSIONS,) = [
    block["Authorization"]["ExtraPermissions"] for block in BLOCKS if "Authorization" in block
]

#: Permissions of the authorization plugin (0.11.4) for routes of the core that Curator extends.
DEFAULTS = [
    ["get", "^/(patients|studies|series|instances)(|/)", "all|view"],
    [
        "post",
        "^/(patients|studies|series|instances)/([a-f0-9-]+)/(modify|merge)(.*)$",
        "all|modify",
    ],
    [
        "post",
        "^/(patients|studies|series|instances)/([a-f0-9-]+)/anonymize(.*)$",
        "all|anonymize",
    ],
    ["post", "^/tools/bulk-anonymize$", "all|anonymize"],
    ["get", "^/jobs$", "admin-permissions"],
    ["get", "^/jobs/([a-f0-9-]+)$", "all|send|modify|anonymize"],
    ["post", "^/jobs/([a-f0-9-]+)/(pause|resume|resubmit|cancel)$", "admin-permissions"],
    ["delete", "^/jobs/([a-f0-9-]+)$", "admin-permissions"],
]

ROUTES = [
    (method.lower(), re.sub(r"\{\w+\}", "0a1b2c3d-0a1b", endpoint.pattern))
    for endpoint in registered()
    for method in endpoint.handlers
    if not (endpoint.pattern.startswith("/jobs/") and method != "POST")
]


def permission(method: str, path: str) -> str | None:
    """Return what the plugin asks for: that of the first pattern that matches the whole path."""
    for asked, pattern, permissions in (*DEFAULTS, *PERMISSIONS):
        if asked == method and re.fullmatch(pattern, path):
            return permissions
    return None


@pytest.mark.parametrize("name", sorted(Status.__annotations__))
def test_every_field_of_the_status_is_documented(name):
    assert name == "Name" or f"`{name}`" in STATUS


@pytest.mark.parametrize("health", sorted(Health))
def test_every_health_is_documented(health):
    assert f"`{health}`" in STATUS


@pytest.mark.parametrize(("method", "path"), sorted(set(ROUTES)))
def test_every_route_has_a_permission(method, path):
    assert permission(method, path) is not None


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "/curator/profiles/trial/mapping"),
        ("put", "/curator/profiles/trial"),
        ("put", "/curator/rules"),
        ("put", "/curator/rules/a"),
        ("post", "/curator/rules/replay"),
        ("post", "/curator/rules/rollback"),
        ("post", "/instances/0a1b/reidentify"),
    ],
)
def test_what_opens_originals_or_sends_them_away_is_for_administrators(method, path):
    assert permission(method, path) == "admin-permissions"


def test_buttons_are_those_of_the_configuration_that_comes_along():
    (shown,) = [block for block in BLOCKS if "OrthancExplorer2" in block]
    configured = orthanc_settings.read(engines.CONFIGURATION)
    assert shown["OrthancExplorer2"] == configured["OrthancExplorer2"]


@pytest.mark.parametrize("place", re.findall(r"\]\(#([^)]+)\)", README))
def test_every_link_within_the_text_leads_somewhere(place):
    without_code = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", without_code, re.MULTILINE)
    anchors = [re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in titles]
    assert place in anchors
