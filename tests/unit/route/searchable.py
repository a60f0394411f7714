"""An Orthanc in memory whose ``/tools/find`` looks at the query, the labels and the page."""

import json
from fnmatch import fnmatchcase
from typing import Any

from curator.level import Level
from unit.reshape.memory import MemoryOrthanc


class SearchableOrthanc(MemoryOrthanc):
    """Answers searches for identifiers.

    Attributes
    ----------
    cap : int
        ``LimitFindResults``.
    """

    cap = 1_000_000

    def _answer(self, method: str, uri: str, body: bytes = b"") -> bytes:
        if uri == "/tools/find" and json.loads(body).get("Expand") is False:
            query = json.loads(body)
            if "Limit" in query and not any(name.startswith("Parent") for name in query):
                self.calls.append((method, uri, body))
                return json.dumps(self._searched(query)).encode()
        return super()._answer(method, uri, body)

    def _searched(self, query: dict[str, Any]) -> list[str]:
        found = [
            orthanc_id
            for orthanc_id, node in self.of(Level(query["Level"])).items()
            if node.labels.issuperset(query.get("Labels", ()))
            and all(
                fnmatchcase(node.tags.get(name, ""), pattern)
                for name, pattern in query["Query"].items()
            )
        ]
        since = query.get("Since", 0)
        return found[since : since + min(self.cap, query["Limit"])]
