"""What anonymization needs before Orthanc starts, and everything that stops the start."""

import json
import stat

import pytest

from curator.anonymize.setup import Anonymization, prepare
from curator.config import ConfigurationError, load
from curator.errors import BadRequest, Conflict
from curator.jobs import State
from curator.store import Store
from unit.test_store import row

SECRET = "0123456789abcdef" * 4


class Site:
    """An Orthanc with its directories, before it starts."""

    def __init__(self, directory) -> None:
        self.directory = directory
        self.configuration = {
            "Python": {"AllowThreads": True},
            "IndexDirectory": "index",
            "Curator": {},
        }
        self.environ: dict[str, str] = {}
        self.store = Store(f"sqlite:///{directory / 'curator.db'}")
        self.key = directory / "index" / "curator.key"

    def prepare(self, **section) -> Anonymization:
        self.configuration["Curator"] = section
        settings = load(self.configuration)
        args = (settings, self.configuration, self.directory, self.environ, self.store)
        return prepare(*args)

    def problems(self, **section) -> list[str]:
        with pytest.raises(ConfigurationError) as raised:
            self.prepare(**section)
        assert SECRET not in str(raised.value)
        assert all(problem in str(raised.value) for problem in raised.value.problems)
        return raised.value.problems

    def write(self, name: str, content: str, mode: int = 0o600):
        path = self.directory / name
        path.write_text(content)
        path.chmod(mode)
        return path


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path)
    yield site
    site.store.close()


def test_without_settings_there_are_the_shipped_profiles_and_a_new_key(site):
    found = site.prepare()
    assert found.catalog.get("basic")[0].name == "basic"
    assert stat.S_IMODE(site.key.stat().st_mode) == 0o600
    assert found.allow_mapping_export is False
    assert found.reidentify_key is None
    assert site.prepare().keyring.current == found.keyring.current


def test_a_new_key_is_told_by_its_identifier_once(site, caplog):
    identifier = site.prepare().keys.identifier
    (record,) = caplog.records
    assert identifier in record.message
    assert str(site.key) in record.message
    site.prepare()
    site.environ["CURATOR_KEY"] = SECRET
    site.key.unlink()
    site.prepare()
    assert len(caplog.records) == 1
    assert site.key.exists() is False


def test_a_key_that_is_lost_is_not_replaced_in_silence(site):
    identifier = site.prepare().keys.identifier
    site.key.unlink()
    (problem,) = site.problems()
    assert problem.startswith(f"$.Curator.KeyFile: {site.key} does not exist")
    assert identifier in problem
    assert not site.key.exists()
    site.write("index/curator.key", f"{SECRET}\n")
    assert site.prepare().keys.identifier != identifier


def test_the_key_is_where_the_configuration_says(site):
    site.write("my.key", f"{SECRET}\n")
    named = site.prepare(KeyFile="my.key").keyring.current
    assert not site.key.exists()
    site.environ["CURATOR_KEY"] = SECRET
    assert site.prepare().keyring.current == named
    assert not site.key.exists()


def test_the_key_is_not_shown(site):
    site.write("my.key", f"{SECRET}\n")
    site.write("private.pem", f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n")
    found = site.prepare(KeyFile="my.key", ReidentifyKeyFile="private.pem")
    assert SECRET not in repr(found)
    assert SECRET in found.reidentify_key.decode()


def test_paths_start_from_the_directory_of_the_configuration(site):
    site.write("t.csv", "old,new\nPRIVATE,X\n")
    folder = site.directory / "profiles"
    folder.mkdir()
    rule = {"Tag": "AccessionNumber", "Action": "Lookup", "Table": "t"}
    (folder / "a.json").write_text(json.dumps({"Name": "a", "Rules": [rule]}))
    found = site.prepare(ProfilesDirectory="profiles", LookupTables={"t": "t.csv"})
    assert found.catalog.get("a")[0].rules[0].table == "t"
    assert found.tables == {"t": {"PRIVATE": "X"}}
    assert "PRIVATE" not in repr(found)


def test_all_problems_are_in_one_message(site):
    site.write("open.key", SECRET, 0o644)
    site.write("open.pem", "-----BEGIN", 0o640)
    site.write("t.csv", "old,new\nPRIVATE\n")
    folder = site.directory / "profiles"
    folder.mkdir()
    (folder / "a.yaml").write_text("Name: a\nOptoins: []\n")
    problems = site.problems(
        Profiles=[{"Name": "b", "Version": 5}],
        ProfilesDirectory="profiles",
        LookupTables={"t": "t.csv", "u": "absent.csv"},
        KeyFile="open.key",
        ReidentifyKeyFile="open.pem",
    )
    assert sorted(problem.partition(": ")[0] for problem in problems) == sorted(
        [
            "$.Curator.Profiles[0].Version",
            str(folder / "a.yaml"),
            "$.Curator.LookupTables.t",
            "$.Curator.LookupTables.u",
            "$.Curator.KeyFile",
            "$.Curator.ReidentifyKeyFile",
        ]
    )
    assert "PRIVATE" not in "\n".join(problems)


def test_a_profile_may_name_any_key_of_the_key_file_and_no_other(site):
    newer = SECRET[::-1]
    site.write("my.key", f"{SECRET}\n")
    old = site.prepare(KeyFile="my.key").keys.identifier
    site.write("my.key", f"{SECRET}\n{newer}\n")
    found = site.prepare(KeyFile="my.key", Profiles=[{"Name": "a", "Key": old}])
    assert found.keys.identifier != old
    assert found.catalog.get("a")[0].key == old
    assert found.catalog.put("b", {"Key": old}, "").profile.key == old
    for unknown in ("00000000", "nothing"):
        with pytest.raises(BadRequest, match=r"\$\.Key: "):
            found.catalog.put("c", {"Key": unknown}, "")
        with pytest.raises(BadRequest, match=r"\$\.Profile\.Key: "):
            found.catalog.parse({"Name": "c", "Key": unknown})
    site.write("my.key", f"{newer}\n")
    (problem,) = site.problems(KeyFile="my.key", Profiles=[{"Name": "a", "Key": old}])
    assert problem == f'$.Curator.Profiles[0].Key: the key file has no key "{old}"'
    with pytest.raises(Conflict, match=old):
        site.prepare(KeyFile="my.key").catalog.get("b")


def test_a_key_file_that_is_empty_is_refused(site):
    site.write("my.key", "")
    (problem,) = site.problems(KeyFile="my.key")
    assert problem.startswith("$.Curator.KeyFile: ")


def test_a_private_key_that_is_missing_is_refused(site):
    (problem,) = site.problems(ReidentifyKeyFile="absent.pem")
    assert problem.startswith("$.Curator.ReidentifyKeyFile: ")


def test_a_key_that_cannot_be_made_is_refused(site):
    (site.directory / "index").write_text("in the way")
    (problem,) = site.problems()
    assert problem.startswith("$.Curator.KeyFile: ")


def test_what_is_wrong_leaves_no_new_profile_behind(site):
    site.problems(Profiles=[{"Name": "a"}, {"Name": "b", "Version": 5}])
    assert "a" not in site.prepare().catalog.names()


def test_a_profile_that_a_job_needs_is_not_deleted(site):
    catalog = site.prepare().catalog
    for name in ("trial", "other"):
        catalog.put(name, {}, "")
    site.store.add_job(row("first", state=State.PENDING, request={"Profile": {"Name": "trial"}}))
    site.store.add_job(row("done", state=State.SUCCESS, request={"Profile": {"Name": "other"}}))
    site.store.add_job(row("split", state=State.RUNNING, request={"By": ["EchoTime"]}))
    with pytest.raises(Conflict, match="in use by job first"):
        catalog.delete("trial")
    catalog.delete("other")
    site.store.update_job("first", state=State.FAILURE)
    catalog.delete("trial")


def test_sequential_pseudonyms_go_on_with_a_new_key(site):
    site.write("my.key", f"{SECRET}\n")
    assert site.prepare(KeyFile="my.key").sequential("T-", "a") == "T-000001"
    site.write("my.key", f"{SECRET}\n{SECRET[::-1]}\n")
    changed = site.prepare(KeyFile="my.key").sequential
    assert changed("T-", "b") == "T-000002"
    assert changed("T-", "a") == "T-000001"
