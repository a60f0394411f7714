"""Work that follows changes, but not each of them."""

import threading

from curator.errors import CuratorError
from curator.route import pulse as pulse_module
from curator.route.pulse import Pulse
from unit.route.delivering import PATIENCE


class Work:
    """Counts how often it was done, and says when it wants to be done again."""

    def __init__(self, again: float | None = None) -> None:
        self.again = again
        self.times = 0
        self.error: Exception | None = None
        self._done = threading.Condition()

    def __call__(self) -> float | None:
        with self._done:
            self.times += 1
            self._done.notify_all()
            error, self.error = self.error, None
        if error:
            raise error
        return self.again

    def wait(self, times: int) -> None:
        with self._done:
            assert self._done.wait_for(lambda: self.times >= times, PATIENCE)


def started(work: Work, interval: float = 0.0) -> Pulse:
    pulse = Pulse("curator-test", work, interval, lambda _name: None)
    pulse.start()
    work.wait(1)
    return pulse


def test_it_works_at_the_start_and_after_each_poke():
    work = Work()
    pulse = started(work)
    pulse.poke()
    work.wait(2)
    pulse.stop()


def test_it_works_again_by_itself_when_the_work_wants_it():
    work = Work(again=0.001)
    pulse = started(work)
    work.wait(5)
    pulse.stop()


def test_many_pokes_within_an_interval_are_one(monkeypatch):
    work = Work()
    pulse = started(work, interval=3600)
    for _ in range(100):
        pulse.poke()
    pulse.stop()
    assert work.times == 1


def test_an_error_is_not_the_end(monkeypatch):
    monkeypatch.setattr(pulse_module, "AFTER_ERROR", 0.001)
    work = Work()
    work.error = CuratorError("database")
    pulse = started(work)
    work.wait(2)
    pulse.stop()


def test_one_that_was_never_started_can_be_stopped():
    Pulse("curator-test", Work(), 1.0, lambda _name: None).stop()
