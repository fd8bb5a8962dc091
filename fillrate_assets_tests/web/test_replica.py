"""The replica of a DC over HTTP, and what speaks to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import pytest

from fillrate_assets.core.errors import PermanentFailure, SourceUnavailable
from fillrate_assets.inventory import schema
from fillrate_assets.inventory.change_documents import dump_change
from fillrate_assets.inventory.replica_store import ReplicaStore
from fillrate_assets.inventory.sources.replicas import ChangeResult, HttpReplica
from fillrate_assets.web.replica.app import MAX_CHANGES, build_app
from fillrate_assets_tests.factories.stock_changes import NOON, make_change
from fillrate_assets_tests.fixtures.embedded import create_database
from fillrate_assets_tests.fixtures.loopback import serve
from fillrate_assets_tests.fixtures.served_app import serve_app

TOKEN = "a-token-of-a-replica"  # noqa: S105 - of tests


@pytest.fixture
def copies(tmp_path: Path) -> ReplicaStore:
    return ReplicaStore(create_database(f"sqlite:///{tmp_path}/DC02.db"), "DC02")


@pytest.fixture
def url(copies: ReplicaStore) -> Iterator[str]:
    with serve_app(build_app(copies, token=TOKEN, allowed_hosts=["127.0.0.1"], clock=lambda: NOON)) as served:
        yield served


@pytest.fixture
def replica(url: str) -> HttpReplica:
    return HttpReplica("DC02", url, TOKEN)


def test_changes_go_there_and_copies_come_back_as_they_are(replica: HttpReplica, copies: ReplicaStore) -> None:
    assert replica.read_copies().is_empty()
    batch = [
        make_change(2, "0.5"),
        make_change(1),
        make_change(2, "9"),
        make_change(1, "-2.25", "0", item="Ä b", deleted=True),
    ]
    assert [each.status for each in replica.apply(batch)] == ["APPLIED", "STALE", "CONFLICT", "APPLIED"]
    assert [each.status for each in replica.apply(batch[:1])] == ["DUPLICATE"]
    found = replica.read_copies()
    schema.REPLICAS.validate(found)
    assert found.equals(copies.read_copies())
    assert len(found) == 2
    for item in ("4711", "Ä b", "4712"):
        assert replica.read_copy("DC01", item) == copies.read_copy("DC01", item)


def post(url: str, content: bytes, token: str = TOKEN) -> httpx.Response:
    return httpx.post(f"{url}/changes", content=content, headers={"Authorization": f"Bearer {token}"}, timeout=30)


def test_what_is_no_change_is_refused_alone(url: str, copies: ReplicaStore) -> None:
    answer = post(url, json.dumps([{"item": "A"}, dump_change(make_change(1)), None]).encode())
    results = answer.json()["results"]
    assert [each["status"] for each in results] == ["REFUSED", "APPLIED", "REFUSED"]
    assert results[0]["reason"].startswith("no change of stock: dc: Field required")
    assert copies.read_copy("DC01", "4711") == make_change(1)


@pytest.mark.parametrize(
    ("content", "token", "status"),
    [
        (b"[]", "another", 401),
        (b"[]", TOKEN, 400),
        (b"{}", TOKEN, 400),
        (b"[", TOKEN, 400),
        (b"[" * 100_000, TOKEN, 400),
        (json.dumps([{}] * (MAX_CHANGES + 1)).encode(), TOKEN, 400),
        (b" " * (1024 * 1024 + 1), TOKEN, 413),
    ],
)
def test_what_is_wrong_is_said(url: str, content: bytes, token: str, status: int) -> None:
    answer = post(url, content, token)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert TOKEN not in answer.text


def test_copies_are_shown_to_those_with_the_token_alone(url: str) -> None:
    assert httpx.get(f"{url}/copies", timeout=30).status_code == 401
    with pytest.raises(PermanentFailure, match="DC02 refuses with 401"):
        HttpReplica("DC02", url, "another").read_copies()


def test_a_dc_that_is_gone_is_not_there_now(copies: ReplicaStore) -> None:
    with serve_app(build_app(copies, token=TOKEN, allowed_hosts=["127.0.0.1"], clock=lambda: NOON)) as url:
        pass
    gone = HttpReplica("DC02", url, TOKEN)
    for ask in (gone.read_copies, lambda: gone.apply([make_change(1)])):
        with pytest.raises(SourceUnavailable, match="DC02 cannot be reached: ConnectError"):
            ask()


def make_handler(status: int, body: bytes) -> type[BaseHTTPRequestHandler]:
    class Answering(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:  # noqa: ANN401 - as the library has it
            return

    return Answering


@pytest.mark.parametrize(
    ("status", "body", "error", "message"),
    [
        (200, b"{}", PermanentFailure, "DC02 answers with results that cannot be read"),
        (200, b'{"results": []}', PermanentFailure, "DC02 answers with 0 results to 1 changes"),
        (200, b'{"results": [{"status": "FINE"}]}', PermanentFailure, "DC02 answers with results that cannot be read"),
        (503, b"", SourceUnavailable, "DC02 answers 503"),
        (429, b"", SourceUnavailable, "DC02 answers 429"),
        (404, b"", PermanentFailure, "DC02 refuses with 404"),
    ],
)
def test_a_dc_that_answers_something_else_is_understood(
    status: int, body: bytes, error: type[Exception], message: str
) -> None:
    with serve(make_handler(status, body)) as url, pytest.raises(error, match=f"^{message}$"):
        HttpReplica("DC02", url).apply([make_change(1)])


def test_a_busy_dc_may_say_so_of_each_change() -> None:
    body = b'{"results": [{"status": "BUSY", "reason": "it is counted"}]}'
    with serve(make_handler(200, body)) as url:
        assert HttpReplica("DC02", url).apply([make_change(1)]) == [ChangeResult("BUSY", "it is counted")]
