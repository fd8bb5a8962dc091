"""The instock warehouse: one snapshot of every stocked item a day. Athena; embedded: DuckDB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Final

import polars as pl
import sqlalchemy as sa

from fillrate_assets.aws import secrets
from fillrate_assets.aws.athena import DIALECT, QueryResult, read
from fillrate_assets.core import parsing
from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.sources import line_versions
from fillrate_assets.fillrate.sources.source_values import SourceValues
from fillrate_assets.settings import SourceTable
from fillrate_assets.storage import sql, tables
from fillrate_assets.storage.sql_functions import DayOf, is_in_days

_SYSTEM: Final = "instock warehouse"
_TEXT: Final = ("on_hand_cases",)
_SNAPSHOT_DATE: Final = {"snapshot_date": "ship_date"}


@dataclass(frozen=True)
class InstockWarehouse:
    """Instock snapshots by DC and date."""

    url: str = field(repr=False)
    tables: Mapping[str, SourceTable] = field(default_factory=dict)
    values: SourceValues = field(default_factory=SourceValues)

    def read_snapshots(self, dc: str, first: date, last: date) -> pl.DataFrame:
        """Read the instock records of one DC in a date range.

        Returns:
            `INSTOCK_SNAPSHOTS`; a date without a row has no snapshot.

        Raises:
            SourceUnavailable: the system did not answer.

        """
        days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
        return self.read([PartitionKey(dc, day) for day in days]).rows

    def read(self, days: Sequence[PartitionKey]) -> QueryResult:
        """Read the instock records of some DCs and dates, by one query, and what Athena scanned for it.

        Returns:
            `INSTOCK_SNAPSHOTS`; a date without a row has no snapshot.

        Raises:
            SourceUnavailable: the system did not answer.

        """
        table = self._declare_snapshots().alias("snapshots")
        by_dc = {dc: [day for other, day in days if other == dc] for dc, _ in days}
        # Plain comparisons of the partition columns with values: Athena then opens no other partition.
        wanted = [
            (table.c.dc == dc) & sa.or_(*(is_in_days(table.c.ship_date, *span) for span in _find_spans(dates)))
            for dc, dates in by_dc.items()
        ]
        columns = [
            (sa.cast(column, sa.String) if self._is_in_athena and column.key in _TEXT else column).label(column.key)
            for column in table.columns
        ]
        answer = self._run(sa.select(*columns).where(sa.or_(sa.false(), *wanted)))
        rows = self.values.parse(
            answer.rows, schema.INSTOCK_SNAPSHOTS, table="instock_snapshots", required=("dc", "item", "instock")
        )
        return QueryResult(rows, answer.bytes_scanned)

    def read_changes(self, window: line_versions.ChangeWindow) -> pl.DataFrame:
        """Count the instock records of each DC and date in a window, and read when the latest was taken.

        By date alone, whatever the window's `since`: the tables of a warehouse are partitioned by date, and a search
        by time would read them whole.

        Returns:
            `PAIR_VERSIONS`.

        """
        table = self._declare_snapshots().alias("snapshots")
        taken = sa.func.max(table.c.snapshot_at) if "snapshot_at" in table.c else sa.null()
        stored = (
            sa.select(
                table.c.dc.label("dc"),
                DayOf(table.c.ship_date).label("ship_date"),
                taken.label("processed_at"),
                sa.func.count().label("lines"),
            )
            .where(table.c.dc.in_(window.dcs), is_in_days(table.c.ship_date, window.due_from, window.due_to))
            .group_by(table.c.dc, table.c.ship_date)
            .subquery("stored")
        )
        statement = sa.select(
            stored.c.dc,
            stored.c.ship_date,
            sa.func.max(stored.c.processed_at).label("processed_at"),
            sa.func.sum(stored.c.lines).label("lines"),
        ).group_by(stored.c.dc, stored.c.ship_date)
        rows = self._run(statement).rows
        parsed = parsing.parse_frame(rows.lazy(), schema.PAIR_VERSIONS, table="instock_snapshots")
        return parsed.sort("dc", "ship_date").collect()

    def create(self) -> None:
        """Create the embedded system's table, where it is absent."""
        sql.create_tables(_SYSTEM, self.url, self._declare_snapshots())

    def append(self, snapshots: pl.DataFrame) -> None:
        """Add instock records to the embedded system."""
        sql.append(_SYSTEM, self.url, self._declare_snapshots(), snapshots.rename(_SNAPSHOT_DATE, strict=False))

    @property
    def _is_in_athena(self) -> bool:
        return secrets.resolve_url(self.url).get_backend_name() == DIALECT

    def _run(self, statement: sa.Select[Any]) -> QueryResult:
        if self._is_in_athena:
            return read(_SYSTEM, self.url, statement)
        return QueryResult(sql.read(_SYSTEM, self.url, statement))

    def _declare_snapshots(self) -> sa.Table:
        theirs = self.tables.get("instock_snapshots", SourceTable())
        columns = {"ship_date": theirs.columns.get("snapshot_date", "snapshot_date"), **theirs.columns}
        columns.pop("snapshot_date", None)
        named = {"instock_snapshots": theirs.model_copy(update={"columns": columns})}
        return tables.declare_source_table(self.url, schema.INSTOCK_SNAPSHOTS, "instock_snapshots", named, text=_TEXT)


def _find_spans(days: Sequence[date]) -> list[tuple[date, date]]:
    """Find the first and last day of each run of days."""
    spans: list[tuple[date, date]] = []
    for day in sorted(set(days)):
        if spans and spans[-1][1] == day - timedelta(days=1):
            spans[-1] = (spans[-1][0], day)
        else:
            spans.append((day, day))
    return spans
