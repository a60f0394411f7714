"""A stop is noticed before the core tells of it, and nothing else is taken for one."""

import signal
import threading

import pytest

from curator.early_stop import EarlyStop, catches_sigterm

PATIENCE = 20
"""Seconds after which a test has failed that waits for a thread."""


def looked(answers: list[bool | None]) -> list[str]:
    """Return what became of a series of looks, until they are used up."""
    told: list[str] = []
    over = threading.Event()
    left = [answers[0], *answers]

    def catches() -> bool | None:
        if not left:
            over.set()
            return True
        return left.pop(0)

    def stop() -> None:
        told.append("stop")
        over.set()

    watch = EarlyStop(stop, lambda _name: None, catches, interval=0.0)
    watch.start()
    if answers[0] is not None:
        assert over.wait(PATIENCE)
    watch.stop()
    return told


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ([True, True, False, False], ["stop"]),
        ([False, False, False, True], []),  # the start
        ([False, True, False, False], ["stop"]),
        ([True, False, True, False, True], []),  # SIGHUP
        ([None], []),
    ],
)
def test_a_stop_is_when_signals_are_not_caught_any_more(answers, told):
    assert looked(answers) == told


def test_a_process_says_what_it_catches():
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        assert catches_sigterm() is True
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        assert catches_sigterm() is False
    finally:
        signal.signal(signal.SIGTERM, before)
