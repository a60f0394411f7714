"""Profiles by name: which one counts, and how they change."""

import json
import threading

import pytest
from sqlalchemy import update

from curator.anonymize.catalog import Catalog, Reader, as_json
from curator.anonymize.decision import Action, Place
from curator.anonymize.definitions import define
from curator.anonymize.profile import Profile
from curator.anonymize.profile_store import ProfileStore
from curator.anonymize.resolve import Resolver
from curator.anonymize.shipped import shipped
from curator.anonymize.tables import load
from curator.definition_files import Source
from curator.errors import BadRequest, Conflict, NotFound
from curator.models import validate
from curator.store import Store, profile_versions

PATIENT_COMMENTS = 0x00104000

KEEPS_COMMENTS = {"Rules": [{"Tag": "PatientComments", "Action": "Keep"}]}


def make(store, configured=(), users=(), tables=None) -> Catalog:
    problems: list[str] = []
    reader = Reader(tables or {})
    defined = define(configured, None, reader, problems)
    assert problems == []
    return Catalog(shipped(), defined, ProfileStore(store), load(), reader, users)


def comments(resolver: Resolver) -> Action:
    return resolver.decide(Place(PATIENT_COMMENTS, "LT")).action


def test_what_is_shipped_is_there_and_decides(store):
    catalog = make(store)
    assert set(catalog.names().values()) == {Source.SHIPPED}
    for name in catalog.names():
        profile, resolver = catalog.get(name)
        assert profile.name == name
        assert isinstance(comments(resolver), Action)
    assert comments(catalog.get("basic")[1]) is not Action.KEEP


def test_an_unknown_profile_is_a_404_with_the_nearest(store):
    with pytest.raises(NotFound, match='Unknown profile "basik", did you mean "basic"'):
        make(store).get("basik")


def test_what_is_put_is_used_at_once(store):
    catalog = make(store)
    catalog.put("trial", {"Version": "1"}, "alice")
    assert comments(catalog.get("trial")[1]) is not Action.KEEP
    catalog.put("trial", {"Version": "2", **KEEPS_COMMENTS}, "bob")
    profile, resolver = catalog.get("trial")
    assert (profile.version, comments(resolver)) == ("2", Action.KEEP)
    assert catalog.definition("trial").source == Source.DATABASE


def test_profiles_that_look_for_text_are_told_by_what_is_in_use(store):
    when = {"Tag": "Modality", "Equals": "US"}
    looks = {
        "Rules": [
            {"Tag": "PatientID", "Action": "Keep"},
            {"When": when, "Pixels": {"Detect": "Text"}},
        ]
    }
    catalog = make(store, configured=[{"Name": "file", **looks}, {"Name": "other"}])
    catalog.put("trial", {"Version": "1"}, "")
    assert catalog.detecting() == ["file"]
    catalog.put("trial", {"Version": "2", **looks}, "")
    assert catalog.detecting() == ["file", "trial"]
    catalog.delete("trial")
    assert catalog.detecting() == ["file"]


def test_a_profile_is_resolved_once(store):
    catalog = make(store)
    catalog.put("trial", {}, "")
    assert catalog.get("trial")[1] is catalog.get("trial")[1]
    assert catalog.get("basic")[1] is catalog.get("basic")[1]


def test_what_is_put_survives_a_restart_as_it_was(url):
    content = {
        "Name": "trial",
        "Version": "3",
        "Options": ["CleanDescriptors"],
        "Rules": [
            {"When": {"Tag": "Modality", "In": ["CT", "MR"]}, **KEEPS_COMMENTS["Rules"][0]},
            {"Tag": "PatientAge", "Action": "Generalize", "Bins": 5, "Above": 89},
            {"Tag": "StudyID", "Action": "Replace", "Value": "näme"},
        ],
        "Tables": {"t": {"a": "b"}},
    }
    first = Store(url)
    put = make(first).put("trial", content, "").profile
    first.close()
    second = Store(url)
    read = make(second).get("trial")[0]
    second.close()
    assert read == put == validate(Profile, content)


def test_another_server_on_the_database_sees_it_at_once(url):
    stores = [Store(url), Store(url)]
    here, there = (make(store) for store in stores)
    here.put("trial", {"Version": "1"}, "")
    assert there.get("trial")[0].version == "1"
    here.put("trial", {"Version": "2"}, "")
    assert there.get("trial")[0].version == "2"
    here.delete("trial")
    with pytest.raises(NotFound):
        there.get("trial")
    for store in stores:
        store.close()


def test_earlier_versions_stay_readable(store):
    catalog = make(store)
    for version in ("1", "2", "3"):
        catalog.put("trial", {"Version": version, "Description": f"number {version}"}, "alice")
    assert catalog.version("trial", "1").description == "number 1"
    assert {one.version for one in catalog.versions("trial")} == {"1", "2", "3"}
    assert {one.user for one in catalog.versions("trial")} == {"alice"}
    with pytest.raises(NotFound, match='"4"'):
        catalog.version("trial", "4")


def test_the_same_version_with_another_content_is_refused(store):
    catalog = make(store)
    catalog.put("trial", {"Version": "1"}, "")
    with pytest.raises(Conflict, match='raise "Version"'):
        catalog.put("trial", {"Version": "1", **KEEPS_COMMENTS}, "")
    catalog.put("trial", {"Version": "2"}, "")
    with pytest.raises(Conflict, match='raise "Version"'):
        catalog.put("trial", {"Version": "1", **KEEPS_COMMENTS}, "")
    assert catalog.get("trial")[0].version == "2"
    assert catalog.version("trial", "1").rules == ()


def test_the_same_content_may_be_put_again_however_it_is_written(store):
    catalog = make(store)
    catalog.put("trial", {"Version": "1", "Options": ["RetainUids"]}, "alice")
    again = {"Edition": "2026d", "Options": ["RetainUids"], "Name": "trial", "Rules": []}
    catalog.put("trial", again, "bob")
    assert [one.user for one in catalog.versions("trial")] == ["alice"]


def test_an_earlier_version_is_brought_back_by_putting_it_again(store):
    catalog = make(store)
    catalog.put("trial", {"Version": "1"}, "")
    catalog.put("trial", {"Version": "2", **KEEPS_COMMENTS}, "")
    catalog.put("trial", {"Version": "1"}, "")
    profile, resolver = catalog.get("trial")
    assert profile.version == "1"
    assert comments(resolver) is not Action.KEEP


def test_a_deleted_profile_is_gone_and_its_versions_are_not(store):
    catalog = make(store)
    catalog.put("trial", {"Version": "1"}, "")
    catalog.delete("trial")
    with pytest.raises(NotFound):
        catalog.get("trial")
    assert "trial" not in catalog.names()
    assert catalog.version("trial", "1").name == "trial"
    with pytest.raises(Conflict, match='raise "Version"'):
        catalog.put("trial", {"Version": "1", **KEEPS_COMMENTS}, "")
    with pytest.raises(NotFound):
        catalog.delete("trial")
    with pytest.raises(NotFound):
        catalog.versions("never")


def test_a_profile_in_use_is_not_deleted(store):
    users = [lambda name: ["job 1"] if name == "trial" else [], lambda _name: []]
    catalog = make(store, users=users)
    catalog.put("trial", {}, "")
    catalog.put("other", {}, "")
    with pytest.raises(Conflict, match="in use by job 1"):
        catalog.delete("trial")
    assert catalog.get("trial")[0].name == "trial"
    catalog.delete("other")


def test_what_a_file_has_is_neither_put_nor_deleted(store):
    catalog = make(store, [{"Name": "trial", **KEEPS_COMMENTS}])
    for change in (lambda: catalog.put("trial", {}, ""), lambda: catalog.delete("trial")):
        with pytest.raises(Conflict, match=r"\$\.Curator\.Profiles\[0\]"):
            change()
    assert comments(catalog.get("trial")[1]) is Action.KEEP


def test_what_a_file_has_comes_before_the_database(store, caplog):
    make(store).put("trial", {"Version": "9"}, "")
    catalog = make(store, [{"Name": "trial", "Version": "1"}])
    catalog.warn_of_hidden()
    assert "trial of the database is not used" in caplog.text
    assert catalog.get("trial")[0].version == "1"
    assert catalog.definition("trial").source == Source.CONFIGURATION
    assert catalog.names()["trial"] == Source.CONFIGURATION
    assert catalog.version("trial", "9").version == "9"


def test_what_is_shipped_may_be_replaced_and_comes_back(store):
    catalog = make(store)
    before = catalog.get("basic")[0]
    catalog.put("basic", {"Version": "site", **KEEPS_COMMENTS}, "")
    assert comments(catalog.get("basic")[1]) is Action.KEEP
    catalog.delete("basic")
    assert catalog.get("basic")[0] == before
    with pytest.raises(Conflict, match="comes with Curator"):
        catalog.delete("basic")
    configured = make(store, [{"Name": "basic", "Version": "mine"}])
    assert configured.get("basic")[0].version == "mine"


def test_a_wrong_profile_is_refused_with_all_problems_and_changes_nothing(store):
    catalog = make(store)
    catalog.put("trial", {"Version": "1"}, "")
    with pytest.raises(BadRequest) as raised:
        catalog.put("trial", {"Version": 2, "Optoins": [], "Options": ["Nothing"]}, "")
    for path in ("$.Version: ", "$.Optoins: unknown field", "$.Options[0]: "):
        assert path in raised.value.details
    assert catalog.get("trial")[0].version == "1"
    assert len(catalog.versions("trial")) == 1


@pytest.mark.parametrize("name", ["a b", "-a", "a" * 65, "ä", "a/b"])
def test_a_name_that_is_none_is_refused(store, name):
    with pytest.raises(BadRequest, match=r"\$\.Name: "):
        make(store).put(name, {}, "")


def test_the_name_in_the_body_has_to_be_that_of_the_uri(store):
    catalog = make(store)
    with pytest.raises(BadRequest, match=r'\$\.Name: is "b", but the URI says "a"'):
        catalog.put("a", {"Name": "b"}, "")
    assert "a" not in catalog.names()


@pytest.mark.parametrize("content", [[], None, "basic", 5, [{"Name": "a"}]])
def test_what_is_no_object_is_refused(store, content):
    with pytest.raises(BadRequest):
        make(store).put("a", content, "")


def test_a_profile_in_a_request_is_validated_with_its_path(store):
    catalog = make(store, tables={"site": {"a": "b"}})
    assert catalog.parse({"Name": "x"}).name == "x"
    with pytest.raises(BadRequest) as raised:
        catalog.parse({"Name": "x", "Optoins": 1, "Version": 5})
    assert "$.Profile.Optoins: unknown field" in raised.value.details
    assert "$.Profile.Version: " in raised.value.details
    resolver = catalog.resolver(catalog.parse({"Name": "x", **KEEPS_COMMENTS}))
    assert comments(resolver) is Action.KEEP


def test_a_stored_profile_that_is_not_valid_any_more_is_a_409_and_not_used(store):
    catalog = make(store)
    catalog.put("trial", {"Version": "1"}, "")
    with store.transaction() as connection:
        broken = {"Name": "trial", "Version": "1", "Options": ["Forgotten"]}
        connection.execute(update(profile_versions).values(content=broken))
    for use in (catalog.get, catalog.definition, lambda name: catalog.version(name, "1")):
        with pytest.raises(Conflict, match=r"not valid any more: \$\.Options\[0\]"):
            use("trial")
    assert "trial" in catalog.names()
    catalog.put("trial", {"Version": "2"}, "")
    assert catalog.get("trial")[0].version == "2"


def test_a_table_that_the_configuration_has_no_more_is_told(store):
    rule = {"Tag": "AccessionNumber", "Action": "Lookup", "Table": "site"}
    make(store, tables={"site": {"a": "b"}}).put("trial", {"Rules": [rule]}, "")
    with pytest.raises(Conflict, match=r'\$\.Rules\[0\]\.Table: there is no table "site"'):
        make(store).get("trial")


def test_the_json_of_a_profile_says_the_same(store):
    catalog = make(store)
    for name in catalog.names():
        profile = catalog.get(name)[0]
        assert validate(Profile, json.loads(json.dumps(as_json(profile)))) == profile


def test_versions_put_at_once_leave_one_in_use_and_all_to_read(url):
    stores = [Store(url), Store(url)]
    catalogs = [make(store) for store in stores]
    together = threading.Barrier(4)
    failures: list[BaseException] = []

    def work(worker: int) -> None:
        try:
            together.wait()
            for number in range(8):
                catalogs[worker % 2].put("trial", {"Version": f"{worker}.{number}"}, "")
                catalogs[worker % 2].get("trial")
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failures == []
    assert len(catalogs[0].versions("trial")) == 32
    assert catalogs[0].get("trial")[0] == catalogs[1].get("trial")[0]
    for store in stores:
        store.close()


def test_a_profile_in_a_request_is_no_longer_than_one_in_a_file(store):
    catalog = make(store)
    made = catalog.parse({"Name": "a", "Description": "x" * 1000})
    assert made.description == "x" * 1000
    with pytest.raises(BadRequest, match=r"^\$\.Profile: has more than"):
        catalog.parse({"Name": "a", "Description": "x" * 2_000_000})
