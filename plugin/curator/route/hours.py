"""The local clock of this machine, and windows by it."""

from datetime import datetime

from curator.route.window import Window


def local(moment: float) -> datetime:
    """Return seconds since 1970 as local time, with its zone."""
    return datetime.fromtimestamp(moment).astimezone()


def opening(window: str | None, moment: float) -> float:
    """Return when a window is open from a moment on: that moment, or later; seconds since 1970."""
    if window is None:
        return moment
    parsed, now = Window.parse(window), local(moment)
    return moment if parsed.is_open(now) else parsed.next_opening(now).timestamp()
