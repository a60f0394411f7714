"""How many cases a fuzz test tries: the same ones every time, unless it is told to be thorough."""

import os

from hypothesis import settings

#: With fewer cases, none may be of a kind that a test waits for.
LEAST = 15

_THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"


def cases(number: int) -> settings:
    """Return settings for so many cases in CI, and as much more or less as the profile asks for."""
    scaled = number * settings().max_examples // 100
    return settings(max_examples=max(scaled, min(number, LEAST)), derandomize=not _THOROUGH)
