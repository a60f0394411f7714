"""What Lua scripts do in Orthanc, done by rules: a test for each row of the README's table.

Receiving is in ``test_route_receive.py``, and the Book's samples as rules are in the unit tests.
"""

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import pytest
from pydicom import Dataset, dcmread

from curator.level import Level
from factory import make_instance, uid
from integration.archives import ARCHIVE, at_port, count, modality, wait_for_count
from integration.http_sink import HttpSink
from integration.servers import OrthancServer, engine_name, external_url, free_port
from integration.waiting import wait_until

pytestmark = pytest.mark.skipif(
    external_url() is not None, reason="starts servers of its own; CURATOR_TEST_URL names another"
)


#: What ``SetHttpCredentials`` of Lua does.
HEADERS = {"Authorization": "Basic eDp5"}


@dataclass(frozen=True)
class Site:
    """A router, the archive that is a modality and a peer of it, and a web server."""

    router: OrthancServer
    archive: OrthancServer
    web: HttpSink

    def use(self, *rules: dict[str, Any]) -> None:
        """Put rules in the place of those of the test before."""
        answer = self.router.http.put("/curator/rules", {"Rules": list(rules)})
        assert answer.status_code == 200, answer.text

    def arrived(self) -> list[Dataset]:
        """Return what is in the archive."""
        return [
            dcmread(BytesIO(self.archive.http.get(f"/instances/{one}/file").content))
            for one in self.archive.http.json("/instances")
        ]

    def told(self) -> list[dict[str, Any]]:
        """Return what the web server was told."""
        return [json.loads(request.body) for request in self.web.posted]


@pytest.fixture(scope="module")
def shared_site(release: str) -> Iterator[Site]:
    archive = OrthancServer(release, ARCHIVE, with_plugin=False, engine=engine_name())
    with archive, HttpSink() as web:
        settings = {
            "StableAge": 1,
            "DicomModalities": {"archive": modality(archive), "off": at_port(free_port())},
            "OrthancPeers": {"archive": {"Url": archive.url}},
            "UserMetadata": {"routed": 1024},
            "Curator": {"Webhooks": {"web": {"Url": web.url, "Headers": HEADERS}}},
        }
        with OrthancServer(release, settings, engine=engine_name()) as router:
            yield Site(router, archive, web)


@pytest.fixture
def site(shared_site: Site) -> Iterator[Site]:
    shared_site.use()
    shared_site.router.clear()
    shared_site.archive.clear()
    shared_site.web.requests.clear()
    yield shared_site
    shared_site.use()


def rule(name: str, trigger: str, *steps: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"Name": name, "When": trigger, "Then": list(steps), **fields}


NUMBERS = itertools.count()


def upload(site: Site, **elements: Any) -> str:
    """Store an instance that no rule has seen; return the identifier of its study."""
    number = next(NUMBERS)
    unique = {
        keyword: uid("lua parity", keyword, number)
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    }
    return str(site.router.upload(make_instance(**{**unique, **elements}))["ParentStudy"])


CT_ONLY = {"Tag": "Modality", "Equals": "CT"}


def test_on_stored_instance_with_send_to_modality(site):
    to = {"Send": "modality:archive"}
    site.use(rule("all", "StoredInstance", to, Batch={"Seconds": 0}, If=CT_ONLY))
    upload(site, Modality="CT")
    upload(site, Modality="US")
    wait_for_count(site.archive, 1)
    assert [one.Modality for one in site.arrived()] == ["CT"]


@pytest.mark.parametrize("level", ["Series", "Study", "Patient"])
def test_on_stable_with_send_to_peer(site, level):
    site.use(rule("stable", f"Stable{level}", {"Send": "peer:archive"}))
    study = uid("lua parity", level)
    upload(site, StudyInstanceUID=study)
    upload(site, StudyInstanceUID=study)
    wait_for_count(site.archive, 2)


def test_modify_instance_with_delete_of_the_original(site):
    """The sample AutoroutingModification.lua: send a changed copy, keep neither."""
    changed = {"Modify": {"Replace": {"StationName": "Routed"}, "Remove": ["StudyID"]}}
    steps = (changed, {"Send": "modality:archive"}, {"Delete": True})
    site.use(rule("changed", "StoredInstance", *steps, Batch={"Seconds": 0}))
    upload(site, StudyID="7")
    wait_for_count(site.archive, 1)
    (arrived,) = site.arrived()
    assert arrived.StationName == "Routed"
    assert "StudyID" not in arrived
    wait_until("instances left", lambda: count(site.router), lambda left: left == 0)


def test_rest_api_put_of_labels_and_metadata(site):
    steps = ({"Label": {"Add": ["seen"]}}, {"Metadata": {"Set": {"routed": "yes"}}})
    site.use(rule("marked", "StableStudy", *steps))
    study = upload(site)
    labels = f"/studies/{study}/labels"
    wait_until("labels", lambda: site.router.http.json(labels), lambda found: found == ["seen"])
    metadata = f"/studies/{study}/metadata/routed"
    wait_until("metadata", lambda: site.router.http.get(metadata).text, lambda text: text == "yes")


def test_http_post_of_a_stable_study(site):
    site.use(rule("tell", "StableStudy", {"Send": "webhook:web"}))
    study = upload(site)
    wait_until("events", site.told, bool)
    assert [(one["Rule"], one["ID"]) for one in site.told()] == [("tell", study)]
    assert site.web.posted[0].headers.items() >= {"authorization": "Basic eDp5"}.items()


def test_on_deleted_at_every_level(site):
    of_studies = {"Metadata": "Level", "Equals": "Study"}
    tell = {"Send": "webhook:web"}
    site.use(rule("all", "Deleted", tell), rule("studies", "Deleted", tell, If=of_studies))
    study = upload(site)
    site.router.http.delete(f"/studies/{study}")
    expected = {("all", level) for level in Level} | {("studies", Level.STUDY)}
    wait_until(
        "events",
        lambda: {(one["Rule"], one["Level"]) for one in site.told()},
        lambda found: found == expected,
    )


def test_on_updated_at_every_level(site):
    site.use(rule("updated", "Updated", {"Send": "webhook:web"}))
    upload(site)
    updated = set()
    for level in Level:
        (one,) = site.router.http.json(f"/{level.collection}")
        put = site.router.http.put(f"/{level.collection}/{one}/metadata/routed", data=b"by hand")
        assert put.ok, put.text
        updated.add(("Updated", level, one))
    wait_until(
        "events",
        lambda: {(one["Trigger"], one["Level"], one["ID"]) for one in site.told()},
        lambda found: found >= updated,
    )


@pytest.mark.parametrize(("to", "end"), [("archive", "Success"), ("off", "Failure")])
def test_on_job(site, to, end):
    site.use(rule("jobs", "Job", {"Send": "webhook:web"}))
    body = {"Resources": [upload(site)], "Asynchronous": True}
    job = site.router.http.post(f"/modalities/{to}/store", body).json()["ID"]
    wait_until(
        "events",
        lambda: {one["State"] for one in site.told() if one["ID"] == job},
        lambda found: found == {"Submitted", end},
    )


def test_on_heart_beat(site):
    site.use(rule("beat", "Schedule", {"Send": "webhook:web"}, Schedule={"Every": 0.1}))
    wait_until("events", site.told, bool)
    assert site.told()[0]["Trigger"] == "Schedule"
