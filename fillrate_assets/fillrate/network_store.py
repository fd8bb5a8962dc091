"""What is known of the comparison of DCs: per DC and ship date, what is usual there and what came of comparing it.

Usual demand and factors themselves are in the lake; here are their versions, by which it shows what is due.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

import polars as pl
import sqlalchemy as sa

from fillrate_assets.core import parsing
from fillrate_assets.core.codes import MAX_LENGTH
from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.core.table_schema import TableSchema
from fillrate_assets.fillrate import demand_schema
from fillrate_assets.fillrate.rules.network_factor import compute_network_versions
from fillrate_assets.storage import bulk_insert, sql
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.tables import declare_table

NETWORK_DAYS: Final = declare_table(demand_schema.NETWORK_DAYS, lengths={"dc": MAX_LENGTH})

_KEY: Final = ["dc", "ship_date"]
_VERSIONED: Final = TableSchema(
    NETWORK_DAYS.name,
    demand_schema.NETWORK_DAYS.key,
    tuple(
        column
        for column in demand_schema.NETWORK_DAYS.columns
        if column.name not in {"usual_version", "usual_at", "observed_items"}
    ),
)
"""What versions are made of: they are read of every day of every DC."""

_OF_DC: Final = ["usual_version", "observed_items"]
_OF_COMPARISON: Final = ["compared_version", "factors_version", *demand_schema.FACTOR_FITS.names[len(_KEY) :]]


@dataclass(frozen=True)
class NetworkStore:
    """What is known of each DC's day; the DC's run writes its usual demand, a comparison of DCs the rest."""

    database: Database

    def read(
        self, dcs: Sequence[str] | None = None, first: date | None = None, last: date | None = None
    ) -> pl.DataFrame:
        """Read `NETWORK_DAYS` of some DCs, in a range of ship dates."""
        with self.database.connect() as connection:
            return _select(connection, dcs, first, last)

    def read_versions(self, dcs: Sequence[str]) -> pl.DataFrame:
        """Read what the days of DCs are to follow, as `NETWORK_VERSIONS`; of one DC alone there is nothing."""
        with self.database.connect() as connection:
            days = _select(connection, dcs, None, None, _VERSIONED)
        if days["dc"].n_unique() <= 1:
            return demand_schema.NETWORK_VERSIONS.make_empty().collect()
        return compute_network_versions(days.lazy()).collect()

    def record_usual(self, found: pl.DataFrame, *, now: datetime) -> None:
        """Record what is usual of days of a DC; what did not change is left untouched.

        Args:
            found: dc, ship_date, usual_version and observed_items.
            now: the time to write down, UTC.

        """
        with self.database.begin() as connection:
            known = _read_same_days(connection, found)
            changed = found.join(known, on=[*_KEY, *_OF_DC], how="anti")
            _update(connection, changed.join(known, on=_KEY, how="semi"), _OF_DC, usual_at=now)
            new = changed.join(known, on=_KEY, how="anti").with_columns(usual_at=pl.lit(now.replace(tzinfo=None)))
            bulk_insert.insert(connection, NETWORK_DAYS, new)

    def record_comparison(self, found: pl.DataFrame) -> list[PartitionKey]:
        """Record what came of comparing DCs; what did not change is left untouched.

        Args:
            found: dc, ship_date and the columns from compared_version on.

        Returns:
            The days that changed.

        """
        with self.database.begin() as connection:
            known = _read_same_days(connection, found)
            changed = found.join(known, on=[*_KEY, *_OF_COMPARISON], how="anti", nulls_equal=True)
            _update(connection, changed, _OF_COMPARISON)
        return [PartitionKey(dc, day) for dc, day in changed.select(_KEY).iter_rows()]


def _read_same_days(connection: sa.Connection, found: pl.DataFrame) -> pl.DataFrame:
    if found.is_empty():
        return demand_schema.NETWORK_DAYS.make_empty().collect()
    days = found["ship_date"].sort()
    return _select(connection, found["dc"].unique().to_list(), days[0], days[-1])


def _select(
    connection: sa.Connection,
    dcs: Sequence[str] | None,
    first: date | None,
    last: date | None,
    table: TableSchema = demand_schema.NETWORK_DAYS,
) -> pl.DataFrame:
    chosen = sa.select(*[NETWORK_DAYS.c[name] for name in table.names]).where(
        *([NETWORK_DAYS.c.dc.in_(dcs)] if dcs is not None else []),
        *([NETWORK_DAYS.c.ship_date >= first] if first else []),
        *([NETWORK_DAYS.c.ship_date <= last] if last else []),
    )
    return parsing.parse_rows(sql.select(connection, chosen), table).sort(_KEY)


def _update(connection: sa.Connection, rows: pl.DataFrame, names: Sequence[str], **more: datetime) -> None:
    """Update columns of days that are there: others of them are written by others meanwhile."""
    set_to: dict[str, Any] = {name: moment.replace(tzinfo=None) for name, moment in more.items()}
    columns = NETWORK_DAYS.c
    for row in rows.iter_rows(named=True):
        of_day = (columns.dc == row["dc"]) & (columns.ship_date == row["ship_date"])
        connection.execute(NETWORK_DAYS.update().where(of_day).values({name: row[name] for name in names} | set_to))
