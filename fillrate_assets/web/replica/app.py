"""The replica of a DC over HTTP: `POST /changes` with a list of changes, `GET /copies` with a line for each count.

Each change has a result of its own: what is no change is refused, the others are applied.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Collection, Iterator
from datetime import datetime
from typing import Any, Final

from anyio import CapacityLimiter, to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from fillrate_assets.core.errors import ContractViolation
from fillrate_assets.inventory import schema
from fillrate_assets.inventory.change_documents import CopyDocument, load_change
from fillrate_assets.inventory.replica_store import ReplicaStore
from fillrate_assets.inventory.rules.replication import StockCount
from fillrate_assets.inventory.sources.local_replica import LocalReplica
from fillrate_assets.web.json_service import MAX_CONCURRENT, build_service, read_body

MAX_CHANGES: Final = 500
"""Of one request."""

_LINES: Final = "application/x-ndjson"


def build_app(
    store: ReplicaStore, *, token: str, allowed_hosts: Collection[str], clock: Callable[[], datetime]
) -> ASGIApp:
    """Build the service of a DC.

    Args:
        store: its copies.
        token: that requests have as bearer.
        allowed_hosts: names under which it is reached; `*` for any.
        clock: the time, UTC.

    """
    service = _Service(LocalReplica(store, clock), token)
    routes = [
        Route("/changes", service.apply, methods=["POST"]),
        Route("/copies", service.list_copies, methods=["GET"]),
    ]
    return build_service(routes, allowed_hosts)


class _Service:
    def __init__(self, replica: LocalReplica, token: str) -> None:
        self._replica, self._token = replica, token
        self._answering = CapacityLimiter(MAX_CONCURRENT)

    async def apply(self, request: Request) -> Response:
        """Apply what a request sends."""
        self._authorize(request)
        body = await read_body(request)
        try:
            documents = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise HTTPException(400, "the body is no JSON") from error
        if not isinstance(documents, list) or not 0 < len(documents) <= MAX_CHANGES:
            raise HTTPException(400, f"send a list of 1 to {MAX_CHANGES} changes")
        return await to_thread.run_sync(self._apply, documents, limiter=self._answering)

    async def list_copies(self, request: Request) -> Response:
        """List all copies, or the one that is named by `dc` and `item`, a line for each."""
        self._authorize(request)
        named = request.query_params
        key = (named["dc"], named["item"]) if {"dc", "item"} <= named.keys() else None
        return await to_thread.run_sync(self._list, key, limiter=self._answering)

    def _apply(self, documents: list[object]) -> Response:
        changes = [_load(each) for each in documents]
        applied = iter(self._replica.apply([each for each in changes if isinstance(each, StockCount)]))
        results: list[dict[str, Any]] = [
            vars(next(applied)) if isinstance(each, StockCount) else {"status": "REFUSED", "reason": each}
            for each in changes
        ]
        return JSONResponse({"results": results})

    def _list(self, key: tuple[str, str] | None) -> Response:
        copies = self._replica.store.read_copies(key).drop("replica")
        return StreamingResponse(_write_lines(copies.iter_rows()), media_type=_LINES)

    def _authorize(self, request: Request) -> None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), self._token.encode()):
            raise HTTPException(401, "send the token", {"WWW-Authenticate": "Bearer"})


def _load(document: object) -> StockCount | str:
    try:
        return load_change(document)
    except ContractViolation as error:
        return str(error)


def _write_lines(rows: Iterator[tuple[Any, ...]]) -> Iterator[str]:
    names = [name.removesuffix("_cases") for name in schema.COPIES.names]
    for row in rows:
        yield CopyDocument(**dict(zip(names, row, strict=True))).model_dump_json() + "\n"
