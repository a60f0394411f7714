import threading
from collections import Counter

import pytest

from curator.route.destinations import crew
from curator.route.destinations.crew import Crew


def never():
    return False


def unnamed(_):
    pass


def crew_of(function, items, threads=2, is_trouble=bool, stopping=never):
    return Crew(function, items, threads, is_trouble, stopping, unnamed)


def results_of(one):
    return [(each.item, each.result) for done in one for each in done]


def test_every_item_has_its_result_once():
    items = list(range(50))
    results = results_of(crew_of(lambda item: item * 2, items, 3))
    assert Counter(results) == Counter((item, item * 2) for item in items)


def test_no_more_threads_than_asked_for_work_at_once():
    at_once, most, lock = [], [], threading.Lock()
    both = threading.Barrier(2, timeout=10)

    def work(item):
        with lock:
            at_once.append(item)
            most.append(len(at_once))
        both.wait()
        with lock:
            at_once.remove(item)

    results_of(crew_of(work, list(range(6))))
    assert max(most) == 2


def test_after_trouble_nothing_is_begun_until_it_has_been_considered():
    begun = []
    one = crew_of(lambda item: begun.append(item) or item == 3, list(range(100)), 1)
    results = []
    for done in one:
        results += [each.item for each in done]
        if any(each.result for each in done):
            one.enough()
    assert results == begun == [0, 1, 2, 3]


def test_a_stop_leaves_a_call_behind_that_does_not_return(monkeypatch):
    monkeypatch.setattr(crew, "GRACE", 0.0)
    monkeypatch.setattr(crew, "LOOK", 0.001)
    blocked = threading.Event()
    begun = []

    def work(item):
        begun.append(item)
        blocked.wait()

    results = results_of(crew_of(work, [1, 2, 3], 1, stopping=lambda: True))
    blocked.set()
    assert results == []
    assert begun == [1]


@pytest.mark.parametrize("items", [[], [1]])
def test_few_items_are_no_trouble(items):
    assert [item for item, _ in results_of(crew_of(str, items, 4))] == items


def test_when_nobody_takes_the_results_nothing_more_is_begun():
    begun = []
    one = crew_of(lambda item: begun.append(item) or True, list(range(100)), 1)
    results = iter(one)
    next(results)
    results.close()
    for thread in one._threads:
        thread.join(10)
    assert begun == [0]
