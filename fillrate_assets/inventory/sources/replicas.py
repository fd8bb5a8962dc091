"""Replicas: the DCs' own systems, which have a copy of every count."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol
from urllib.parse import urlencode

import polars as pl
from pydantic import ValidationError

from fillrate_assets.core.errors import PermanentFailure, SourceUnavailable
from fillrate_assets.inventory import schema
from fillrate_assets.inventory.change_documents import RESULTS, CopyDocument, Status, dump_change
from fillrate_assets.inventory.rules.replication import StockCount
from fillrate_assets.messaging.http_exchange import exchange

_MAX_ANSWER: Final = 256 * 1024 * 1024
_HEADERS: Final = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class ChangeResult:
    """What became of one change."""

    status: Status
    """REFUSED: the DC does not take it, whatever comes; BUSY: it may take it later."""

    reason: str = ""


class Replica(Protocol):
    """A DC that takes changes."""

    def apply(self, changes: Sequence[StockCount]) -> list[ChangeResult]:
        """Apply changes; return what became of each.

        Raises:
            SourceUnavailable: it did not answer; it may have applied them all the same.

        """

    def read_copy(self, dc: str, item: str) -> StockCount | None:
        """Read its copy of one count; None where there is none.

        Raises:
            SourceUnavailable: it did not answer.

        """

    def read_copies(self) -> pl.DataFrame:
        """Read all of its counts, in the shape of `schema.REPLICAS`.

        Raises:
            SourceUnavailable: it did not answer.

        """


@dataclass(frozen=True)
class HttpReplica:
    """A replica that is sent JSON: `POST /changes` with documents of changes, and `GET /copies` with a line for each.

    `GET /copies?dc=DC01&item=4711` is of one count; a system that answers with more of them is understood as well.

    It answers `{"results": [{"status": "APPLIED"}, ...]}`, in the order of the changes.
    """

    name: str
    """The DC."""

    url: str = field(repr=False)
    token: str = field(default="", repr=False)
    timeout_seconds: float = 10
    read_seconds: float = 120
    """For all of its counts."""

    def apply(self, changes: Sequence[StockCount]) -> list[ChangeResult]:
        """Apply changes."""
        body = json.dumps([dump_change(each) for each in changes], ensure_ascii=False)
        answer = self._exchange("POST", "changes", body.encode(), self.timeout_seconds)
        try:
            results = RESULTS.validate_json(answer).results
        except ValidationError as error:
            msg = f"{self.name} answers with results that cannot be read"
            raise PermanentFailure(msg) from error
        if len(results) != len(changes):
            msg = f"{self.name} answers with {len(results)} results to {len(changes)} changes"
            raise PermanentFailure(msg)
        return [ChangeResult(each.status, each.reason) for each in results]

    def read_copy(self, dc: str, item: str) -> StockCount | None:
        """Read its copy of one count."""
        found = self._read(f"copies?{urlencode({'dc': dc, 'item': item})}")
        return next((each.to_change() for each in found if (each.dc, each.item) == (dc, item)), None)

    def read_copies(self) -> pl.DataFrame:
        """Read all of its counts."""
        rows = [(self.name, *each.to_row()) for each in self._read("copies")]
        return pl.DataFrame(rows, schema=schema.REPLICAS.polars, orient="row")

    def _read(self, path: str) -> list[CopyDocument]:
        content = self._exchange("GET", path, b"", self.read_seconds)
        try:
            return [CopyDocument.model_validate_json(line) for line in content.splitlines()]
        except ValidationError as error:
            msg = f"{self.name} answers with counts that cannot be read: {error.errors()[0]['msg']}"
            raise SourceUnavailable(msg) from error

    def _exchange(self, method: str, path: str, body: bytes, seconds: float) -> bytes:
        authorization = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        answer = exchange(
            self.name,
            method,
            f"{self.url.rstrip('/')}/{path}",
            body=body,
            headers={**_HEADERS, **authorization},
            timeout_seconds=seconds,
            most_bytes=_MAX_ANSWER,
        )
        return answer.content
