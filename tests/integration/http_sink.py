"""An HTTP server for tests that records what it is sent and answers as told."""

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass(frozen=True)
class Received:
    """A request."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """What a request is answered."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    promised: int = 0  # bytes that never come, beside those of the body


class HttpSink:
    """Answers every request with the next of ``answers``, and when there is none as told.

    Attributes
    ----------
    respond : callable
        Returns the answer to a request.
    requests : list of Received
        What came, in order.
    stalled : threading.Event
        Cleared, it lets every request wait until it is set again.
    """

    def __init__(self) -> None:
        self.respond: Callable[[Received], Answer] = lambda _: Answer()
        self.answers: deque[Answer] = deque()
        self.requests: list[Received] = []
        self.stalled = threading.Event()
        self.stalled.set()
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(size)
                headers = {name.lower(): value for name, value in self.headers.items()}
                received = Received(self.command, self.path, headers, body)
                sink.requests.append(received)
                sink.stalled.wait()
                answer = sink.answers.popleft() if sink.answers else sink.respond(received)
                with contextlib.suppress(OSError):  # who asked may have gone
                    self.reply(answer)

            def reply(self, answer: Answer) -> None:
                self.send_response(answer.status)
                for name, value in answer.headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body) + answer.promised))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer.body)

            do_GET = do_POST = do_PUT = do_HEAD = handle_one  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/hook"

    @property
    def posted(self) -> list[Received]:
        """The POST requests."""
        return [request for request in self.requests if request.method == "POST"]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stalled.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
