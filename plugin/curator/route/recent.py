"""What was updated lately, newest first."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from curator.gateway import Gateway
from curator.level import Level
from curator.route.moments import parse_moment

#: Resources that are listed in one call.
PAGE = 500

#: What orders resources that were updated in the same second, so that pages fit together.
_IDENTIFIERS = {
    Level.PATIENT: "PatientID",
    Level.STUDY: "StudyInstanceUID",
    Level.SERIES: "SeriesInstanceUID",
}


@dataclass(frozen=True)
class Updated:
    """A resource, and when something was added to it or removed last.

    Attributes
    ----------
    text : str
        ``LastUpdate`` as the core has it.
    moment : float
        The same in seconds since 1970.
    is_complete : bool
        Of a series: all instances that it announces are there.
    """

    level: Level
    orthanc_id: str
    text: str
    moment: float
    is_stable: bool
    is_complete: bool


def updated_since(
    gateway: Gateway, level: Level, since: float, *, completeness: bool = False
) -> Iterator[Updated]:
    """Yield what was updated at a moment or later, each once.

    Others may store and delete meanwhile. What is there all the time is found: a page begins with
    the last resource of the one before, and is read again from further up where it does not.

    Parameters
    ----------
    completeness : bool
        Whether series are asked if they are complete, for which the core reads all their instances.
    """
    content = ["Metadata", "IsStable", *(["Status"] if completeness else [])]
    known: set[str] = set()
    start = 0
    while True:
        page = _page(gateway, level, content, start)
        if start and not (page and page[0]["ID"] in known):
            start = max(0, start - PAGE)
            continue
        for item in page:
            one = _updated(level, item)
            if item["ID"] in known:
                continue
            known.add(item["ID"])
            if one is None:
                continue  # stored by an Orthanc that did not keep it
            if one.moment < since:
                return
            yield one
        if len(page) <= 1:
            return
        start += len(page) - 1


def oldest_update(gateway: Gateway) -> float | None:
    """Return when the study was updated that nothing was added to for longest."""
    page = _page(gateway, Level.STUDY, ["Metadata"], 0, direction="ASC", limit=1)
    one = _updated(Level.STUDY, page[0]) if page else None
    return None if one is None else one.moment


def _page(
    gateway: Gateway,
    level: Level,
    content: list[str],
    start: int,
    direction: str = "DESC",
    limit: int = PAGE,
) -> list[dict[str, Any]]:
    order = [
        {"Type": "Metadata", "Key": "LastUpdate", "Direction": direction},
        {"Type": "DicomTag", "Key": _IDENTIFIERS[level], "Direction": direction},
    ]
    found: list[dict[str, Any]] = gateway.post_json(
        "/tools/find",
        {
            "Level": level,
            "Query": {},
            "OrderBy": order,
            "ResponseContent": content,
            "Since": start,
            "Limit": limit,
        },
    )
    return found


def _updated(level: Level, item: dict[str, Any]) -> Updated | None:
    text = item["Metadata"].get("LastUpdate", "")
    moment = parse_moment(text)
    if moment is None:
        return None
    return Updated(
        level=level,
        orthanc_id=item["ID"],
        text=text,
        moment=moment,
        is_stable=bool(item.get("IsStable", True)),
        is_complete=item.get("Status") == "Complete",
    )
