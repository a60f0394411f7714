import errno

import pytest

from curator.config import DestinationSettings
from curator.gateway import Gateway
from curator.route.delivery import Outcome
from curator.route.destinations import folder as folder_module
from curator.route.destinations.file_path import parse_path_template
from curator.route.destinations.folder import FolderDestination
from curator.route.kinds import FailureKind
from factory import make_instance, uid
from unit.route.destinations.sending import make_package, never

TEMPLATE = "{PatientID}/{SOPInstanceUID}.dcm"


@pytest.fixture
def root(tmp_path):
    directory = tmp_path / "root"
    directory.mkdir()
    return directory


@pytest.fixture
def folder(root, gateway, ticks):
    return make_folder(root, gateway, ticks)


def make_folder(root, gateway: Gateway, ticks, template=TEMPLATE):
    settings = DestinationSettings()
    parsed = parse_path_template(template)
    return FolderDestination("export", root, parsed, gateway, settings, "ISO_IR 100", ticks)


def add(core, number, **elements):
    elements.setdefault("SOPInstanceUID", uid("folder", number))
    core.files[f"i-{number}"] = make_instance(**elements)
    return f"i-{number}"


def send(folder, *instances):
    confirmed = []
    return folder.send(make_package(instances), confirmed.extend, never), confirmed


def files(root):
    found = (path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): path.read_bytes() for path in found}


def test_instances_are_at_their_paths_and_nothing_else_is(core, folder, root):
    one, two = add(core, 1, PatientID="P1"), add(core, 2, PatientID="P2")
    assert send(folder, one, two)[0] == Outcome()
    assert files(root) == {
        f"P1/{uid('folder', 1)}.dcm": core.files[one],
        f"P2/{uid('folder', 2)}.dcm": core.files[two],
    }


def test_the_same_file_is_there_already_and_a_new_version_takes_its_place(core, folder, root):
    one = add(core, 1)
    send(folder, one)
    (path,) = root.rglob("*.dcm")
    before = path.stat()
    assert send(folder, one) == (Outcome(), [one])
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    add(core, 1, StudyDescription="Corrected")
    assert send(folder, one) == (Outcome(), [one])
    assert files(root).popitem()[1] == core.files[one]


def test_another_file_at_the_path_is_never_overwritten(core, folder, root):
    one = add(core, 1, PatientID="P1")
    path = root / "P1" / f"{uid('folder', 1)}.dcm"
    path.parent.mkdir()
    path.write_bytes(make_instance(SOPInstanceUID="1.2.3"))
    outcome, confirmed = send(folder, one)
    assert outcome.failures[one].kind == FailureKind.PERMANENT
    assert confirmed == []
    path.unlink()
    path.mkdir()
    assert send(folder, one)[0].failures[one].kind == FailureKind.PERMANENT


def test_another_patient_with_the_same_uids_never_takes_the_place(core, root, gateway, ticks):
    folder = make_folder(root, gateway, ticks, "{SOPInstanceUID}.dcm")
    one = add(core, 1, PatientID="P1")
    assert send(folder, one) == (Outcome(), [one])
    first = core.files[one]
    add(core, 1, PatientID="P2")
    outcome, confirmed = send(folder, one)
    assert outcome.failures[one].kind == FailureKind.PERMANENT
    assert confirmed == []
    assert list(files(root).values()) == [first]


def test_no_identifier_leads_out_of_the_root(core, folder, root, tmp_path):
    one = add(core, 1, PatientID="../outside")
    send(folder, one)
    assert [path for path in tmp_path.rglob("*.dcm") if root not in path.parents] == []


def test_a_link_out_of_the_root_is_not_followed(core, folder, root, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (root / "P1").symlink_to(outside)
    one = add(core, 1, PatientID="P1")
    outcome, confirmed = send(folder, one)
    assert outcome.failures[one].kind == FailureKind.PERMANENT
    assert confirmed == []
    assert files(outside) == {}


def test_a_full_disk_passes_and_leaves_no_half_of_a_file(core, folder, root, monkeypatch):
    one = add(core, 1)

    def full(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(folder_module.os, "fsync", full)
    root.joinpath("SYN0001").mkdir()
    outcome, confirmed = send(folder, one)
    assert outcome.failures[one].kind == FailureKind.TRANSIENT
    assert "ENOSPC" in outcome.failures[one].answer
    assert (confirmed, files(root)) == ([], {})


def test_what_a_kill_left_is_overwritten(core, folder, root):
    one = add(core, 1, PatientID="P1")
    (root / "P1").mkdir()
    (root / "P1" / f".{one}.d-1.part").write_bytes(b"half")
    assert send(folder, one) == (Outcome(), [one])
    assert list(files(root)) == [f"P1/{uid('folder', 1)}.dcm"]


def test_a_root_that_is_gone_is_away_and_is_back_when_it_is(core, folder, root):
    one = add(core, 1)
    root.rmdir()
    outcome, _ = send(folder, one)
    assert outcome.failure.kind == FailureKind.TRANSIENT
    assert not folder.is_back()
    assert not folder.test()["Success"]
    root.mkdir()
    assert folder.is_back()
    assert folder.test()["Success"]
    assert files(root) == {}


def test_what_is_no_dicom_is_permanent_and_what_is_gone_is_gone(core, folder):
    core.files["broken"] = b"no DICOM"
    outcome, _ = send(folder, "broken", "missing")
    assert outcome.failures["broken"].kind == FailureKind.PERMANENT
    assert outcome.failures["missing"].kind == FailureKind.GONE


def test_what_a_folder_cannot_promise_is_refused(core, folder):
    one = add(core, 1)
    package = make_package([one], storage_commitment=True)
    outcome = folder.send(package, lambda _: pytest.fail("confirmed"), never)
    assert outcome.failure.kind == FailureKind.PERMANENT
