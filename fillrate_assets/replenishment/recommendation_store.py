"""Stock buffers in the record store: each DC's latest recommendations, the service reached by day, and decisions.

All days are in the lake. Pages and commands read the latest from here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import polars as pl
import sqlalchemy as sa

from fillrate_assets.core import parsing
from fillrate_assets.core.codes import MAX_LENGTH
from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.core.table_schema import TIMESTAMP, TableSchema
from fillrate_assets.replenishment import schema
from fillrate_assets.storage import bulk_insert, sql
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.sql_types import to_stored
from fillrate_assets.storage.tables import declare_table

_CODES: Final = dict.fromkeys(("dc", "item"), MAX_LENGTH)

RECOMMENDATIONS: Final = declare_table(schema.RECOMMENDATIONS, lengths={**_CODES, "rejected": None})
SERVICE: Final = declare_table(schema.SERVICE_OF_DAY, lengths={**_CODES, "item_class": 8})
DECISIONS: Final = declare_table(schema.DECISION_LOG, lengths={**_CODES, "reason": None}, counted_by="decision_id")


@dataclass(frozen=True)
class RecommendationStore:
    """Recommendations, the service that they reach, and what buyers did about them."""

    database: Database

    def publish_latest(self, dc: str, ship_date: date, rows: pl.DataFrame) -> bool:
        """Replace a DC's recommendations by those of a ship date, in one transaction, unless there are later ones.

        Args:
            dc: which one.
            ship_date: of all rows.
            rows: `RECOMMENDATIONS`, all of the day.

        Returns:
            Whether they are the latest.

        """
        of_dc = RECOMMENDATIONS.c.dc == dc
        with self.database.begin() as connection:
            latest = connection.execute(sa.select(sa.func.max(RECOMMENDATIONS.c.ship_date)).where(of_dc)).scalar()
            if latest is not None and latest > ship_date:
                return False
            connection.execute(RECOMMENDATIONS.delete().where(of_dc))
            bulk_insert.insert(connection, RECOMMENDATIONS, rows)
        return True

    def publish_service(self, days: Iterable[PartitionKey], rows: pl.DataFrame) -> None:
        """Replace the service reached of some DCs and days, in one transaction; `rows` is `SERVICE_OF_DAY`."""
        with self.database.begin() as connection:
            for dc, day in days:
                connection.execute(SERVICE.delete().where(SERVICE.c.dc == dc, SERVICE.c.ship_date == day))
            bulk_insert.insert(connection, SERVICE, rows)

    def find_latest(self) -> dict[str, date]:
        """Find the ship date of each DC's latest recommendations."""
        latest = sa.select(RECOMMENDATIONS.c.dc, sa.func.max(RECOMMENDATIONS.c.ship_date)).group_by(
            RECOMMENDATIONS.c.dc
        )
        with self.database.connect() as connection:
            return {row[0]: row[1] for row in connection.execute(latest)}

    def read_latest(
        self,
        dcs: Sequence[str] | None = None,
        *,
        item: str | None = None,
        vendor: str | None = None,
        department: str | None = None,
    ) -> pl.DataFrame:
        """Read each DC's latest `RECOMMENDATIONS`: of some DCs or all, of an item, a vendor or a department."""
        table = RECOMMENDATIONS.c
        chosen = sa.select(RECOMMENDATIONS)
        for column, value in ((table.item, item), (table.vendor, vendor), (table.department, department)):
            if value is not None:
                chosen = chosen.where(column == value)
        if dcs is not None:
            chosen = chosen.where(table.dc.in_(dcs))
        return self._read(schema.RECOMMENDATIONS, chosen)

    def read_due(self, limits: Mapping[str, Sequence[str | None]], limit: int) -> pl.DataFrame:
        """Read those of each DC's latest `RECOMMENDATIONS` that order something, what loses most first.

        Args:
            limits: values by column, of which a row must have one; None is no value.
            limit: rows to return.

        """
        columns = RECOMMENDATIONS.c
        wanted = [
            sa.or_(columns[name].in_([each for each in values if each is not None]), columns[name].is_(None))
            if None in values
            else columns[name].in_(values)
            for name, values in limits.items()
        ]
        chosen = (
            sa.select(RECOMMENDATIONS)
            .where(columns.order_cases > 0, *wanted)
            .order_by(columns.expected_lost_cases.desc(), columns.dc, columns.item)
            .limit(limit)
        )
        with self.database.connect() as connection:
            rows = sql.select(connection, chosen)
        return parsing.parse_rows(rows, schema.RECOMMENDATIONS)

    def has_recommendations(self) -> bool:
        """Return whether any were made."""
        with self.database.connect() as connection:
            return connection.execute(sa.select(RECOMMENDATIONS.c.dc).limit(1)).first() is not None

    def read_service(
        self, dcs: Sequence[str] | None = None, first: date | None = None, last: date | None = None
    ) -> pl.DataFrame:
        """Read `SERVICE_OF_DAY` of periods that were past on these days."""
        chosen = sa.select(SERVICE)
        if dcs is not None:
            chosen = chosen.where(SERVICE.c.dc.in_(dcs))
        if first is not None:
            chosen = chosen.where(SERVICE.c.ship_date >= first)
        if last is not None:
            chosen = chosen.where(SERVICE.c.ship_date <= last)
        return self._read(schema.SERVICE_OF_DAY, chosen)

    def read_decisions(
        self, dcs: Sequence[str] | None = None, *, item: str | None = None, first: date | None = None
    ) -> pl.DataFrame:
        """Read `DECISION_LOG`: of some DCs or all, of an item, about recommendations from a ship date on."""
        chosen = sa.select(DECISIONS)
        if dcs is not None:
            chosen = chosen.where(DECISIONS.c.dc.in_(dcs))
        if item is not None:
            chosen = chosen.where(DECISIONS.c.item == item)
        if first is not None:
            chosen = chosen.where(DECISIONS.c.ship_date >= first)
        return self._read(schema.DECISION_LOG, chosen)

    def _read(self, table: TableSchema, statement: sa.Select[Any]) -> pl.DataFrame:
        with self.database.connect() as connection:
            rows = sql.select(connection, statement)
        return parsing.parse_rows(rows, table).sort(table.key)


def add_decision(connection: sa.Connection, row: Mapping[str, Any]) -> None:
    """Add a row of `DECISION_LOG`, in the transaction that is open; the same again at the same moment adds nothing."""
    made = pl.DataFrame([row], schema=schema.DECISION_LOG.polars)
    schema.DECISION_LOG.validate(made)
    same = [DECISIONS.c[name] == row[name] for name in ("dc", "item", "ship_date")]
    at = DECISIONS.c.decided_at == to_stored(row["decided_at"])
    if connection.execute(sa.select(DECISIONS.c.decision_id).where(*same, at)).first() is None:
        values = made.with_columns(pl.col(TIMESTAMP).dt.replace_time_zone(None)).row(0, named=True)
        connection.execute(DECISIONS.insert().values(values))
