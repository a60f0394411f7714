"""Split and merge: the built-in ones, Curator's on the same selection, and the limit."""

from bench.measuring import LIMIT, Bench, Stored, copy, post
from integration.servers import OrthancServer


def _split(server: OrthancServer, stored: Stored) -> None:
    series = server.http.json(f"/studies/{stored.study}")["Series"]
    post(server, f"/studies/{stored.study}/split", {"Series": series})


def split_by_curator(server: OrthancServer, stored: Stored) -> None:
    """Split as the built-in does: whole series into a new study."""
    series = server.http.json(f"/studies/{stored.study}")["Series"]
    body = {"Series": series, "Into": "Studies", "Follow": False}
    post(server, f"/studies/{stored.study}/split", body)


def split_by_acquisition(server: OrthancServer, stored: Stored) -> None:
    """Split each series by a criterion."""
    body = {"By": ["AcquisitionNumber"], "Into": "Series", "Follow": False}
    post(server, f"/studies/{stored.study}/split", body)


def _merge(server: OrthancServer, stored: Stored) -> None:
    post(server, f"/studies/{stored.target}/merge", {"Resources": [stored.study]})


def merge_by_curator(server: OrthancServer, stored: Stored) -> None:
    """Merge a study into the target."""
    _merged(server, stored)


def merge_and_undo(server: OrthancServer, stored: Stored) -> None:
    """Merge a study into the target, and take that back."""
    operation = _merged(server, stored)
    post(server, f"/curator/operations/{operation}/undo", {})


def _merged(server: OrthancServer, stored: Stored) -> str:
    body = {"Resources": [stored.study], "OnConflict": "Refuse", "Follow": False}
    return str(post(server, f"/studies/{stored.target}/merge", body)["Operation"])


def benches(threads: int) -> list[Bench]:
    """Return the benches."""
    return [
        Bench(
            "split",
            {
                "built-in split": ("stock", _split),
                "Curator, same selection": ("curator", split_by_curator),
                "Curator, by criterion": ("curator", split_by_acquisition),
                LIMIT: ("limit", copy(threads)),
            },
            held=("Curator, same selection", "Curator, by criterion"),
        ),
        Bench(
            "merge",
            {
                "built-in merge": ("stock", _merge),
                "Curator": ("curator", merge_by_curator),
                "Curator, and undo": ("curator", merge_and_undo),
                LIMIT: ("limit", copy(threads)),
            },
            held=("Curator",),
        ),
    ]
