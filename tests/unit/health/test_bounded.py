"""A call that is stuck holds up nobody for longer than the patience."""

import threading

import pytest

from curator.health.bounded import Bounded

#: Only so that a failing test ends.
HANGS = 60.0


def test_answer_and_error_come_through():
    answers = iter([7])

    def call():
        try:
            return next(answers)
        except StopIteration:
            raise KeyError("none") from None

    bounded = Bounded(call, HANGS, lambda _name: None)
    assert bounded() == 7
    with pytest.raises(KeyError):
        bounded()


def test_stuck_call_is_given_up_and_none_is_made_beside_it():
    calls: list[str] = []
    goes_on, has_ended = threading.Event(), threading.Event()

    def call():
        calls.append(threading.current_thread().name)
        if len(calls) == 1:
            goes_on.wait(HANGS)
            has_ended.set()
        return len(calls)

    bounded = Bounded(call, 0.01, lambda _name: None)
    for _ in range(3):
        with pytest.raises(TimeoutError):
            bounded()
    assert calls == ["curator-status"]
    goes_on.set()
    assert has_ended.wait(HANGS)
    patient = Bounded(call, HANGS, lambda _name: None)
    assert patient() == 2


def test_calls_go_on_when_the_stuck_one_has_ended():
    gate = threading.Event()
    ended = threading.Event()

    class Tracked(Bounded[str]):
        def _work(self, result):
            super()._work(result)
            ended.set()

    bounded = Tracked(lambda: "in time" if gate.wait(HANGS) else "", 0.01, lambda _name: None)
    with pytest.raises(TimeoutError):
        bounded()
    gate.set()
    assert ended.wait(HANGS)
    bounded._patience = HANGS  # the machine may be busy now
    assert bounded() == "in time"


def test_those_who_ask_meanwhile_share_the_next_call():
    """However many ask at once: what is slow for one is not slower for fifty."""
    is_running, goes_on = threading.Event(), threading.Event()
    calls: list[int] = []

    def call():
        calls.append(1)
        is_running.set()
        goes_on.wait(HANGS)
        return len(calls)

    bounded = Bounded(call, HANGS, lambda _name: None)
    answers: list[int] = []
    asking = [threading.Thread(target=lambda: answers.append(bounded())) for _ in range(50)]
    asking[0].start()
    assert is_running.wait(HANGS)
    for thread in asking[1:]:
        thread.start()
    threading.Timer(0.2, goes_on.set).start()
    for thread in asking:
        thread.join(HANGS)
    assert len(answers) == 50
    assert 2 <= len(calls) < 50
    assert all(answer > 1 for answer in sorted(answers)[1:])  # begun after they had asked
