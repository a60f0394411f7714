"""Sequential pseudonyms: one number for a patient, one patient for a number."""

import threading

from sqlalchemy import select

from curator.anonymize.sequential import Sequential
from curator.store import Store, pseudonyms

KEY = b"k" * 32


def test_patients_are_counted_in_the_order_in_which_they_come(store):
    sequential = Sequential(store, [KEY])
    assert [sequential("T-", one) for one in ("b", "a", "b", "c")] == [
        *("T-000001", "T-000002", "T-000001", "T-000003"),
    ]


def test_each_prefix_counts_for_itself(store):
    sequential = Sequential(store, [KEY])
    assert sequential("A-", "x") == "A-000001"
    assert sequential("B-", "y") == "B-000001"
    assert sequential("B-", "x") == "B-000002"
    assert sequential("", "x") == "000001"


def test_numbers_survive_a_restart(url):
    first = Store(url)
    assert Sequential(first, [KEY])("T-", "a") == "T-000001"
    first.close()
    second = Store(url)
    assert Sequential(second, [KEY])("T-", "b") == "T-000002"
    assert Sequential(second, [KEY])("T-", "a") == "T-000001"
    second.close()


def test_another_key_never_gives_a_number_again(store):
    assert Sequential(store, [KEY])("T-", "a") == "T-000001"
    assert Sequential(store, [b"o" * 32])("T-", "a") == "T-000002"


def test_a_patient_keeps_the_number_while_the_old_key_is_kept_too(store):
    old, new = KEY, b"o" * 32
    assert Sequential(store, [old])("T-", "a") == "T-000001"
    changed = Sequential(store, [old, new])
    assert changed("T-", "b") == "T-000002"
    assert changed("T-", "a") == "T-000001"
    assert changed.preview()("T-", "a") == "T-000001"
    assert Sequential(store, [new])("T-", "b") == "T-000002"


def test_the_table_does_not_tell_who_it_is(store):
    for key in (KEY, b"o" * 32):
        Sequential(store, [key])("T-", "PATIENT^JANE")
    rows = store.rows(select(pseudonyms))
    assert "PATIENT" not in str(rows)
    assert len({row["original"] for row in rows}) == 2


def test_the_same_patient_is_not_seen_to_be_the_same_under_another_prefix(store):
    sequential = Sequential(store, [KEY])
    sequential("A-", "x")
    sequential("B-", "x")
    assert len({row["original"] for row in store.rows(select(pseudonyms))}) == 2


def test_callers_at_once_share_no_number_and_split_no_patient(url):
    """Two servers with two threads each, on one database, with many patients in common."""
    stores = [Store(url), Store(url)]
    together = threading.Barrier(4)
    found: list[tuple[str, str]] = []
    failures: list[BaseException] = []

    def work(sequential: Sequential, start: int) -> None:
        try:
            together.wait()
            for number in range(30):
                original = f"patient {(start + number) % 40}"
                found.append((original, sequential("T-", original)))
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    sequentials = [Sequential(store, [KEY]) for store in stores]
    workers = [
        threading.Thread(target=work, args=(sequentials[index % 2], 10 * index))
        for index in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for store in stores:
        store.close()
    assert failures == []
    given = set(found)
    assert len(given) == len({original for original, _ in given}) == 40
    assert sorted(pseudonym for _, pseudonym in given) == [
        f"T-{number:06d}" for number in range(1, 41)
    ]


def test_a_preview_tells_what_would_be_given_and_gives_nothing(store):
    sequential = Sequential(store, [KEY])
    sequential("T-", "a")
    preview = sequential.preview()
    told = {one: preview("T-", one) for one in ("b", "a", "c", "b")}
    assert told == {"a": "T-000001", "b": "T-000002", "c": "T-000003"}
    assert preview("N-", "b") == "N-000001"
    assert {one: sequential("T-", one) for one in ("a", "b", "c")} == told
