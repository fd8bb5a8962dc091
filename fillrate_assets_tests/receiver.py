"""A receiver of webhooks on loopback that answers as a test says, and fails in every way that a server can."""

from __future__ import annotations

import http.server
import json
import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from standardwebhooks.webhooks import Webhook

Fault = Literal["", "silent", "drip", "cut", "reset"]
"""Says nothing, says it a byte at a time, ends in the middle of its answer, or resets the connection."""


@dataclass(frozen=True)
class Answer:
    """What a request is answered with."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    fault: Fault = ""


@dataclass(frozen=True)
class Request:
    """What came in."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 - whatever was sent
        """The body."""
        return json.loads(self.body)

    def verified(self, secret: str) -> Any:  # noqa: ANN401 - whatever was sent
        """The body, if its signature is right."""
        return Webhook(secret).verify(self.body, dict(self.headers))


@dataclass(frozen=True)
class Receiver:
    """A running server."""

    url: str
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    """By path, the next one first; the last one stays. A path that is not named takes everything."""

    requests: list[Request] = field(default_factory=list)

    def to(self, path: str) -> list[Request]:
        """What came in for a path."""
        return [each for each in self.requests if each.path == path]

    def answer(self, path: str) -> Answer:
        """The next answer of a path."""
        planned = self.answers.get(path, [Answer()])
        return planned.pop(0) if len(planned) > 1 else planned[0]


class _Server(http.server.ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.receiver = Receiver(f"http://127.0.0.1:{self.server_port}")
        self.stopped, self.lock = threading.Event(), threading.Lock()

    def handle_error(self, *_: object) -> None:
        """Who was hung up on has nothing to tell."""


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        receiver = self.server.receiver
        with self.server.lock:
            receiver.requests.append(Request(self.path, dict(self.headers), body))
            answer = receiver.answer(self.path)
        if answer.fault:
            self._fail(answer.fault)
            return
        self.send_response(answer.status)
        for name, value in {"Content-Length": "2", **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"ok")

    def _fail(self, fault: Fault) -> None:
        if fault == "silent":
            self.server.stopped.wait()
        elif fault == "drip":
            self.wfile.write(b"HTTP/1.1 200 ")
            with suppress(OSError):
                while not self.server.stopped.wait(0.01):
                    self.wfile.write(b"o")
        elif fault == "cut":
            self.wfile.write(b"HTTP/1.1 20")
        else:
            # To close it now, with nothing left to say, is a reset.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on a free port."""
    with _Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.receiver
        finally:
            server.stopped.set()
            server.shutdown()
            thread.join()
