"""What a table of operations is read with, and how it links to others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import quote, urlencode

from fillrate_assets.web.operations.systems import Systems
from fillrate_assets.web.signed_in import OPERATIONS
from fillrate_assets.web.tables import FIRST, Cell, Link, Paging


@dataclass(frozen=True)
class Query:
    """What a table is read with."""

    systems: Systems
    base: str
    """URL of the service."""

    now: datetime
    """UTC."""

    paging: Paging = FIRST
    order: str = ""
    """Which one is verified, if any."""

    others: Mapping[str, str] = field(default_factory=dict)
    """Other parts of the service, by path."""

    @property
    def window(self) -> dict[str, int]:
        """Return which rows of a long list are read."""
        return {"limit": self.paging.limit, "offset": self.paging.offset}

    def link(self, text: str, path: str, **values: str) -> Link:
        """Make a link to a page of operations."""
        query = f"?{urlencode(values)}" if values else ""
        return Link(text, f"{self.base}{OPERATIONS}/{path}{query}")

    def link_page(self, view: str, table: str, page: int) -> str:
        """Return the URL of another page of a table, on a view of its own."""
        return f"{self.base}{OPERATIONS}/{view}?{urlencode({**self._also, 'table': table, 'page': page})}"

    def link_file(self, table: str, form: str) -> str:
        """Return the URL of a table as a file: the rows that are shown."""
        shown = {**self._also, "page": self.paging.page}
        return f"{self.base}{OPERATIONS}/files/{table}.{form}?{urlencode(shown)}"

    @property
    def _also(self) -> dict[str, str]:
        return {"order": self.order} if self.order else {}

    def link_run(self, run_id: str) -> Cell:
        """Make a link to a run in Dagster's UI; its id alone where there is none."""
        ui = self.systems.ui_url
        return Link(run_id[:8], f"{ui}/runs/{quote(run_id, safe='')}") if ui else run_id


def name(code: str) -> str:
    """Name a state or class as a page reads: `NOT_STARTED` is "not started"."""
    return code.lower().replace("_", " ")
