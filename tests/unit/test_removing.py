"""Deletion takes only what is still as it was read."""

import pytest

from curator.access import Access
from curator.gateway import Gateway
from curator.level import Level
from curator.removing import BATCH, delete_unchanged
from factory import ct_series
from unit.reshape.memory import MemoryOrthanc, QuietJob, Steps


@pytest.fixture
def orthanc():
    found = MemoryOrthanc(Steps())
    for file in ct_series(3 * BATCH):
        found.put_instance(file)
    return found


def removed(orthanc: MemoryOrthanc, files: list[tuple[str, str]]) -> int:
    return delete_unchanged(Access(Gateway(orthanc), 1, "ISO_IR 6"), files, QuietJob())


def files_of(orthanc: MemoryOrthanc) -> list[tuple[str, str]]:
    return [(one, orthanc.file_uuid(one)) for one in orthanc.of(Level.INSTANCE)]


def test_all_go_and_their_parents_with_them(orthanc):
    assert removed(orthanc, files_of(orthanc)) == 0
    assert orthanc.nodes == {}


def test_what_is_overwritten_while_others_are_deleted_is_kept(orthanc):
    """Right before its own batch, too: nobody looks at all of them first."""
    files = files_of(orthanc)
    late = files[-1][0]

    def overwrite() -> None:
        if len(orthanc.of(Level.INSTANCE)) == BATCH:
            orthanc.touch(late)

    orthanc.steps.watch = overwrite
    assert removed(orthanc, files) == 1
    assert list(orthanc.of(Level.INSTANCE)) == [late]


def test_what_is_gone_is_passed_over(orthanc):
    files = files_of(orthanc)
    orthanc.remove(files[0][0], files[BATCH][0])
    assert removed(orthanc, files) == 0
    assert orthanc.nodes == {}


def test_nothing_to_delete_asks_for_nothing(orthanc):
    assert removed(orthanc, []) == 0
    assert orthanc.calls == []
