"""The key is made once, found again, and refused where others could read it; it is never shown."""

import os
import stat
import threading

import pytest

from curator.anonymize.keyfile import KeyFileError, keyring, private_key
from curator.anonymize.keys import derived

SECRET, OLDER = "0123456789abcdef" * 4, "fedcba9876543210" * 4


@pytest.fixture
def path(tmp_path):
    return tmp_path / "curator.key"


def written(path, text, mode=0o600):
    path.write_text(text)
    path.chmod(mode)
    return path


def master_key(*args) -> bytes:
    """Return the key that is in use."""
    return keyring(*args).masters[-1]


def refused(*args) -> str:
    with pytest.raises(KeyFileError) as refusal:
        keyring(*args)
    assert SECRET not in str(refusal.value)
    return str(refusal.value)


def test_a_key_is_made_at_the_first_start_and_found_at_the_next(path):
    key = master_key(None, {}, path)
    assert len(key) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert master_key(None, {}, path) == key
    assert master_key(path, {}, path.with_name("other")) == key
    assert [found.name for found in path.parent.iterdir()] == [path.name]


def test_every_site_has_its_own_key(path):
    assert master_key(None, {}, path) != master_key(None, {}, path.with_name("other"))


def test_the_mode_does_not_depend_on_the_umask(path):
    previous = os.umask(0)
    try:
        master_key(None, {}, path)
    finally:
        os.umask(previous)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_servers_that_start_together_share_one_key(path):
    keys, start = [], threading.Barrier(8)

    def first_start() -> None:
        start.wait()
        keys.append(master_key(None, {}, path))

    threads = [threading.Thread(target=first_start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8
    assert len(set(keys)) == 1


def test_the_environment_may_hold_the_key(path):
    assert master_key(None, {"CURATOR_KEY": SECRET}, path) == bytes.fromhex(SECRET)
    assert not path.exists()


def test_a_key_in_two_places_is_refused(path):
    written(path, SECRET)
    assert "name one of them" in refused(path, {"CURATOR_KEY": SECRET}, path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o620])
def test_a_file_that_is_open_to_others_is_refused(path, mode):
    assert f"mode {mode:04o}" in refused(written(path, SECRET, mode), {}, path)
    with pytest.raises(KeyFileError, match=f"mode {mode:04o}"):
        private_key(path)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_file_of_its_owner_alone_is_taken(path, mode):
    assert master_key(written(path, SECRET, mode), {}, path) == bytes.fromhex(SECRET)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "holds no key"),
        ("# a remark\n\n", "holds no key"),
        (SECRET[:62], "has 31 bytes"),
        (SECRET[:63], "hexadecimal"),
        (f"{SECRET}\nsecret words", "key 2 is not"),
        (f"{SECRET} {SECRET}", "hexadecimal"),
    ],
)
def test_what_is_no_key_is_refused(path, text, why):
    written(path, text)
    assert why in refused(path, {}, path)
    assert why in refused(None, {"CURATOR_KEY": text}, path)


def test_what_is_no_text_is_refused(path):
    path.write_bytes(b"\xff" * 40)
    path.chmod(0o600)
    assert "ASCII" in refused(path, {}, path)


def test_a_directory_is_refused(path):
    path.mkdir(mode=0o700)
    assert str(path) in refused(path, {}, path)


def test_a_file_that_cannot_be_made_is_refused(path):
    assert "cannot be created" in refused(path / "absent" / "curator.key", {}, path)
    written(path, SECRET)
    assert "cannot be read" in refused(path / "curator.key", {}, path)


def test_a_rotated_key_is_found_by_its_identifier(path):
    written(path, f"# first\n{OLDER}\n# second\n{SECRET}\n")
    ring = keyring(path, {}, path)
    older, current = derived(bytes.fromhex(OLDER)), derived(bytes.fromhex(SECRET))
    assert ring.current == current
    assert ring.get(older.identifier) == older
    assert ring.get(current.identifier) == current
    assert ring.get("00000000") is None
    assert master_key(path, {}, path) == bytes.fromhex(SECRET)


def test_keys_are_not_shown(path):
    written(path, SECRET)
    ring = keyring(path, {}, path)
    shown = repr(ring) + repr(ring.current)
    assert SECRET not in shown
    assert repr(bytes.fromhex(SECRET)) not in shown
    secrets = (ring.current.uids, ring.current.pseudonyms, ring.current.dates, ring.current.hashes)
    assert not any(repr(secret) in shown for secret in secrets)
    assert len({*secrets, ring.masters[-1]}) == 5


def test_a_private_key_is_read_as_it_is(path):
    assert private_key(written(path, "-----BEGIN…".replace("…", "-----\n"))) == b"-----BEGIN-----\n"
    with pytest.raises(KeyFileError, match="does not exist"):
        private_key(path.with_name("absent.pem"))
