"""Anonymization of a study, and in bulk: the built-in one, Curator's by profile, and the limit."""

from typing import Any

from bench.measuring import LIMIT, Bench, Stored, Work, copy, post, sources
from factory import ct_series
from integration.servers import OrthancServer

#: Instances of each of the many small studies.
OF_SMALL = 3


def small_files(instances: int, round_number: int) -> list[bytes]:
    """Make as many instances, in small studies of one patient each."""
    return [
        content
        for number in range(max(1, instances // OF_SMALL))
        for content in ct_series(
            OF_SMALL,
            study=f"small {round_number} {number}",
            PatientID=f"SMALL{round_number}-{number}",
            PatientName=f"FAMILY{number}^GIVEN{round_number}",
        )
    ]


def benches(threads: int) -> list[Bench]:
    """Return the benches."""
    return [
        Bench(
            "anonymize",
            {
                "built-in anonymize": ("stock", anonymize({})),
                "Curator, basic": ("curator", anonymize({"Profile": "basic"})),
                "Curator, research": ("curator", anonymize({"Profile": "research"})),
                LIMIT: ("limit", copy(threads)),
            },
            held=("Curator, basic", "Curator, research"),
        ),
        Bench("bulk", _in_bulk(threads), held=("Curator, basic",)),
        Bench(
            "bulk-small",
            _in_bulk(threads),
            held=("Curator, basic",),
            files=small_files,
            kind=f"small CT instances, {OF_SMALL} in a study, each of another patient",
        ),
    ]


def anonymize(body: dict[str, Any]) -> Work:
    """Return the anonymization of one study."""

    def work(server: OrthancServer, stored: Stored) -> None:
        post(server, f"/studies/{stored.study}/anonymize", body)

    return work


def _in_bulk(threads: int) -> dict[str, tuple[str, Work]]:
    return {
        "built-in bulk-anonymize": ("stock", _bulk({})),
        "Curator, basic": ("curator", _bulk({"Profile": "basic"})),
        LIMIT: ("limit", copy(threads)),
    }


def _bulk(body: dict[str, Any]) -> Work:
    def work(server: OrthancServer, stored: Stored) -> None:
        post(server, "/tools/bulk-anonymize", {**body, "Resources": sources(server, stored)})

    return work
