"""Anonymization: the built-in one, Curator's by profile, and the limit, in one run."""

from typing import Any

from bench.reshape import Bench, Work, copy, post
from integration.servers import OrthancServer


def benches(threads: int) -> list[Bench]:
    """Return the benches."""
    return [
        Bench(
            "anonymize",
            {
                "built-in anonymize": ("stock", _anonymize({})),
                "Curator, basic": ("curator", _anonymize({"Profile": "basic"})),
                "Curator, research": ("curator", _anonymize({"Profile": "research"})),
                "limit: read and store": ("limit", copy(threads)),
            },
        )
    ]


def _anonymize(body: dict[str, Any]) -> Work:
    def work(server: OrthancServer, study: str, _target: str) -> None:
        post(server, f"/studies/{study}/anonymize", body)

    return work
