"""Settings of all tests: how many examples hypothesis tries, by ``HYPOTHESIS_PROFILE``."""

import os

from hypothesis import HealthCheck, settings

settings.register_profile("default", deadline=None, print_blob=True)
settings.register_profile("thorough", settings.get_profile("default"), max_examples=2000)
settings.register_profile(
    "few",  # inside the interpreters of Orthanc, where the checkout is read-only
    settings.get_profile("default"),
    max_examples=10,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
