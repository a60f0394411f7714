"""A stock server and one with Curator: each request goes to both, and the answers are compared.

What differs between any two servers is left out: identifiers and UIDs that a server makes, times,
and the details of an error, for which the SDK hands over no more than a code. Identifiers of what
was uploaded follow from the files, so they have to agree.
"""

import io
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import requests
from pydicom import dcmread

from integration.servers import RunningServer
from integration.stored import Node, file_elements, read_tree
from integration.waiting import wait_for_job

ORTHANC_ID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{8}){4}\b")

IDENTIFIER = re.compile(
    ORTHANC_ID.pattern + r"|\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"  # a job
    r"|\b1\.2\.276\.0\.7230010\.3\.(?!0\.3\.)[0-9.]+"  # UID made by DCMTK; 0.3 is its own
    r"|\bAnonymized[0-9]+\b|\b[0-9a-f]{32}(?= Anonymized)"  # the latter in names of folders
)
"""Identifiers and UIDs that a server makes."""

SHORTEST = 11
"""Letters that what a server makes has at least: "Anonymized1"."""

TIME = re.compile(r"\b\d{8}T\d{6}(?:\.\d{6})?\b")

MADE = re.compile(f"{IDENTIFIER.pattern}|{TIME.pattern}")
"""Identifiers, UIDs and times that a server makes."""

MULTIPART = re.compile(r"(?<=boundary=)[^;\s]+")

VARYING = frozenset({"ArchiveSize", "EffectiveRuntime", "IsStable"})
"""Keys of JSON answers whose values differ: with new UIDs in an archive, and with the moment."""


@dataclass
class Party:
    """One of the two servers, and what a test calls its resources."""

    server: RunningServer
    names: dict[str, str] = field(default_factory=dict)

    def fill(self, value: Any) -> Any:
        """Put identifiers in the places of their names, ``{study}``, at every depth."""
        match value:
            case str():
                for name, identifier in self.names.items():
                    value = value.replace(f"{{{name}}}", identifier)
                return value
            case bytes():
                return self.fill(value.decode("latin-1")).encode("latin-1")
            case list():
                return [self.fill(one) for one in value]
            case dict():
                return {self.fill(key): self.fill(one) for key, one in value.items()}
            case _:
                return value


@dataclass
class Pair:
    """A stock server and one with Curator, with the same content."""

    stock: Party
    curator: Party
    shared: set[str] = field(default_factory=set)
    """Identifiers and UIDs of what was uploaded, which are not made by a server."""

    def __iter__(self) -> Iterator[Party]:
        return iter((self.stock, self.curator))

    def upload(self, instances: list[bytes], **names: str) -> dict[str, str]:
        """Upload files to both, and compare the answers.

        ``names`` say what the resources of the last file are called: ``instance="ct"``; by default
        ``instance``, ``series``, ``study`` and ``patient``.
        """
        for dicom in instances:
            expected, given = self.ask("POST", "/instances", data=dicom, literal=True)
            assert given.json() == expected.json()
            stored = given.json()
            self.shared.update(_uids(dicom))
            self.shared.update(stored[key] for key in _LEVELS.values() if key in stored)
        found = {names.get(level, level): stored[key] for level, key in _LEVELS.items()}
        for party in self:
            party.names.update(found)
        return found

    def ask(
        self,
        method: str,
        path: str,
        *,
        keep: dict[str, str] | None = None,
        unordered: bool = False,
        literal: bool = False,
        alike: Callable[[requests.Response], Any] | None = None,
        **options: Any,
    ) -> tuple[requests.Response, requests.Response]:
        """Ask both servers the same, compare the answers, and return them, stock's first.

        Parameters
        ----------
        path, options
            Of :meth:`integration.servers.Http.request`; names in braces (``{study}``) stand for the
            identifier that each server knows the resource by.
        keep
            Names for identifiers in the answer: ``{"copy": "ID"}``.
        unordered
            The answer is a list in an order of the server's own.
        literal
            Bodies have no names in them.
        alike
            Makes of an answer what is compared in the place of its body.
        """
        answers = []
        for party in self:
            wanted = options if literal else {key: party.fill(one) for key, one in options.items()}
            answers.append(party.server.http.request(method, party.fill(path), **wanted))
        self.compare(*answers, unordered=unordered, alike=alike)
        for party, answer in zip(self, answers, strict=True):
            for name, key in (keep or {}).items():
                party.names[name] = answer.json()[key]
        return answers[0], answers[1]

    def succeed(self, method: str, path: str, **options: Any) -> requests.Response:
        """Ask both servers for what they have to do; return Curator's answer."""
        expected, given = self.ask(method, path, **options)
        assert expected.status_code == 200, expected.text[:2000]
        return given

    def finish(self, name: str) -> dict[str, Any]:
        """Wait for the job of a name on both servers, and compare how it ended."""
        jobs = [wait_for_job(party.server.http, party.names[name]) for party in self]
        self.ask("GET", f"/jobs/{{{name}}}")
        return jobs[1]

    def run(self, path: str, body: dict[str, Any], **options: Any) -> dict[str, Any]:
        """Have both do something by POST, as a job or not; return what Curator answers in the end.

        ``options`` are those of :meth:`ask`.
        """
        if body.get("Asynchronous") is not True and body.get("Synchronous") is not False:
            return dict(self.succeed("POST", path, json=body, **options).json())
        self.succeed("POST", path, json=body, keep={"job": "ID"}, **options)
        job = self.finish("job")
        assert job["State"] == "Success", job
        return job

    def compare_stored(self, leave_out: frozenset[str] = frozenset()) -> list[Node]:
        """Compare all that is stored, and what refers to what; return Curator's tree.

        ``leave_out`` names metadata that are not compared.
        """
        trees = [read_tree(party.server.http, leave_out) for party in self]
        expected, given = (self.numbered(self._sorted(tree)) for tree in trees)
        assert given == expected
        return trees[1]

    def numbered(self, value: Any) -> Any:
        """Return a value in which what a server makes has numbers, in the order of its places."""
        numbers: dict[str, str] = {}

        def number(found: re.Match[str]) -> str:
            if found[0] in self.shared:
                return found[0]
            return numbers.setdefault(found[0], f"made {len(numbers)}")

        return _changed(value, lambda text: TIME.sub("…", IDENTIFIER.sub(number, text)))

    def _sorted(self, nodes: list[Node]) -> list[Node]:
        """Return resources in an order that does not follow from what a server makes."""
        return [node for _, node in sorted(map(self._keyed, nodes), key=lambda pair: pair[0])]

    def _keyed(self, node: Node) -> tuple[str, Node]:
        """Return what to sort a resource by: itself, and those below it, which are sorted."""
        below = sorted(map(self._keyed, node.get("Below", ())), key=lambda pair: pair[0])
        own = {name: value for name, value in node.items() if name != "Below"}
        key = "".join([str(self.value(own)), *(key for key, _ in below)])
        return key, {**own, "Below": [child for _, child in below]}

    def compare(
        self,
        expected: requests.Response,
        given: requests.Response,
        *,
        unordered: bool = False,
        alike: Callable[[requests.Response], Any] | None = None,
    ) -> None:
        """Compare status, headers and body."""
        assert given.status_code == expected.status_code, (expected.text[:2000], given.text[:2000])
        assert self._headers(given) == self._headers(expected)
        read = self.body if alike is None else alike
        bodies = [read(expected), read(given)]
        if unordered:
            bodies = [sorted(body, key=str) for body in bodies]
        assert bodies[1] == bodies[0]

    def body(self, answer: requests.Response) -> Any:
        """Return what is the same on any two servers that do the same."""
        kind = answer.headers.get("Content-Type", "").partition(";")[0]
        if answer.status_code >= 400:
            return self._error(answer)
        if kind == "application/json":
            return self.value(answer.json())
        if kind.startswith("text/"):
            return self.text(answer.text)
        if kind == "application/dicom":
            return self.file(answer.content)
        if kind == "application/zip":
            return self.archive(answer.content)
        if kind.startswith("multipart/"):
            return self._parts(answer)
        return answer.content

    def text(self, text: str) -> str:
        """Return a text without what a server makes."""
        return MADE.sub(lambda found: found[0] if found[0] in self.shared else "…", text)

    def value(self, value: Any) -> Any:
        """Return a JSON value, or elements, without what a server makes."""
        return _changed(value, self.text)

    def file(self, dicom: bytes) -> Any:
        """Return the elements of a DICOM file, the File Meta Information among them."""
        return self.value(file_elements(dicom))

    def archive(self, content: bytes) -> tuple[list[str], list[Any]]:
        """Return names and contents of a ZIP archive; which is which is up to the server."""
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        files = (self.file(data) if data[128:132] == b"DICM" else data for data in members.values())
        return sorted(map(self.text, members)), sorted(files, key=str)

    def _headers(self, answer: requests.Response) -> dict[str, str]:
        """Return everything but when and how long; identifiers have their places."""
        return {
            name.lower(): MULTIPART.sub("…", self.text(value))
            for name, value in answer.headers.items()
            if name.lower() not in {"content-length", "date"}
        }

    def _error(self, answer: requests.Response) -> Any:
        if not answer.content:
            return None
        try:
            body = answer.json()
        except ValueError:
            return self.text(answer.text)
        if isinstance(body, dict):
            body.pop("Details", None)
        return self.value(body)

    def _parts(self, answer: requests.Response) -> list[Any]:
        """Return the parts of a multipart answer."""
        boundary = MULTIPART.search(answer.headers["Content-Type"])
        assert boundary is not None
        parts = answer.content.split(b"--" + boundary[0].strip('"').encode())[1:-1]
        read = []
        for part in parts:
            head, _, body = part.partition(b"\r\n\r\n")
            body = body.removesuffix(b"\r\n")
            read.append((head, self.file(body) if body[128:132] == b"DICM" else body))
        return read


def _changed(value: Any, change: Callable[[str], str]) -> Any:
    """Change each text of a value, at every depth, but for what varies."""
    match value:
        case str():
            return value if len(value) < SHORTEST else change(value)
        case list() | tuple():
            return type(value)(_changed(one, change) for one in value)
        case dict():
            return {
                change(key): "…" if key in VARYING else _changed(one, change)
                for key, one in value.items()
            }
        case _:
            return value


@lru_cache(maxsize=64)
def _uids(dicom: bytes) -> frozenset[str]:
    dataset = dcmread(io.BytesIO(dicom), force=True, stop_before_pixels=True)
    uids = (str(element.value) for element in dataset.iterall() if element.VR == "UI")
    return frozenset(uids)


_LEVELS = {
    "instance": "ID",
    "series": "ParentSeries",
    "study": "ParentStudy",
    "patient": "ParentPatient",
}
