"""What is known of the comparison of DCs: per DC and ship date, what is usual there and what came of comparing it.

Usual demand and factors themselves are in the lake; here are their versions, by which it shows what is due. What a day
is to follow is stored beside them, so that the database compares it with the ledger: of years of a thousand DCs, a tick
reads the few days that differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

import polars as pl
import sqlalchemy as sa

from fillrate_assets.core import parsing
from fillrate_assets.core.codes import MAX_LENGTH
from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.fillrate import demand_schema
from fillrate_assets.fillrate.record_store import LEDGER
from fillrate_assets.fillrate.rules.network_factor import WEIGHT_DAYS, compute_network_versions
from fillrate_assets.storage import bulk_insert, sql
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.tables import declare_table

NETWORK_DAYS: Final = declare_table(demand_schema.NETWORK_DAYS, lengths={"dc": MAX_LENGTH})

_KEY: Final = ["dc", "ship_date"]
_OF_DC: Final = ["usual_version", "observed_items"]
_OF_COMPARISON: Final = ["compared_version", "factors_version", *demand_schema.FACTOR_FITS.names[len(_KEY) :]]
_FOLLOWED: Final = "network_version"
_REACH: Final = timedelta(days=WEIGHT_DAYS)
"""How far a day's comparison reaches: the weights of so many days after it are learned from it."""


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

    def read_moved(self, dcs: Sequence[str], look_back: timedelta) -> pl.DataFrame:
        """Read the days of DCs from the first to the last date that is to be compared, and so far before, as stored.

        A date is to be compared where the usual demand of a DC came or moved; of one DC alone there is none.
        """
        days = NETWORK_DAYS.c
        moved = sa.select(sa.func.min(days.ship_date), sa.func.max(days.ship_date)).where(
            days.dc.in_(dcs), days.usual_version.is_distinct_from(days.compared_version)
        )
        with self.database.connect() as connection:
            first, last = connection.execute(moved).one() if _has_several(connection, dcs) else (None, None)
            if first is None:
                return demand_schema.NETWORK_DAYS.make_empty().collect()
            return _select(connection, dcs, first - look_back, last)

    def read_unfollowed(self, dcs: Sequence[str]) -> pl.DataFrame:
        """Read what published days of DCs are to follow, and do not yet, as `NETWORK_VERSIONS`.

        Of one DC alone there is nothing.
        """
        days, frame = NETWORK_DAYS.c, demand_schema.NETWORK_VERSIONS
        same_day = (LEDGER.c.dc == days.dc) & (LEDGER.c.ship_date == days.ship_date)
        moved = (
            sa.select(*[days[name] for name in frame.names])
            .join_from(NETWORK_DAYS, LEDGER, same_day)
            .where(LEDGER.c.state == "PUBLISHED", days.network_version.is_distinct_from(LEDGER.c.network_version))
        )
        with self.database.connect() as connection:
            if not _has_several(connection, dcs):
                return frame.make_empty().collect()
            rows = sql.select(connection, moved)
        return parsing.parse_rows(rows, frame).filter(pl.col("dc").is_in(list(dcs))).sort(_KEY)

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
            # The next days' weights are of all comparisons: one at a time is recorded.
            if (lock := sql.build_lock(NETWORK_DAYS.name, connection.dialect)) is not None:
                connection.execute(lock)
            known = _read_same_days(connection, found, reach=_REACH)
            changed = found.join(known, on=[*_KEY, *_OF_COMPARISON], how="anti", nulls_equal=True)
            names = [*_OF_COMPARISON, _FOLLOWED]
            moved = _compare(known, changed).join(known, on=[*_KEY, *names], how="anti", nulls_equal=True)
            _update(connection, moved.sort(_KEY), names)
        return [PartitionKey(dc, day) for dc, day in changed.select(_KEY).iter_rows()]


def _compare(known: pl.DataFrame, changed: pl.DataFrame) -> pl.DataFrame:
    """Put what came of comparing some days into `NETWORK_DAYS`, and what days are to follow since.

    Args:
        known: `NETWORK_DAYS` of the DCs, from 7 days before the first of `changed` to 7 days after the last.
        changed: dc, ship_date and the columns from compared_version on.

    """
    if changed.is_empty():
        return known
    of_comparison = changed.select(*_KEY, *_OF_COMPARISON, pl.lit(value=True).alias("compared"))
    put = [
        pl.when("compared").then(pl.col(f"{name}_right")).otherwise(pl.col(name)).alias(name) for name in _OF_COMPARISON
    ]
    days = known.join(of_comparison, on=_KEY, how="left").select(pl.exclude("compared", *_OF_COMPARISON), *put)
    # Of earlier days, what they were learned from is not known here; and nothing of it has changed.
    versions = compute_network_versions(days.lazy()).filter(pl.col("ship_date") >= changed["ship_date"].min()).collect()
    followed = versions.rename({_FOLLOWED: "computed"}).with_columns(pl.lit(value=True).alias("is_computed"))
    chosen = pl.when("is_computed").then("computed").otherwise(_FOLLOWED).alias(_FOLLOWED)
    return days.join(followed, on=_KEY, how="left").with_columns(chosen).select(known.columns)


def _has_several(connection: sa.Connection, dcs: Sequence[str]) -> bool:
    """Return whether there are days of more than one of the DCs."""
    known = connection.execute(sa.select(NETWORK_DAYS.c.dc).distinct()).scalars()
    return len({*known} & {*dcs}) > 1


def _read_same_days(connection: sa.Connection, found: pl.DataFrame, reach: timedelta | None = None) -> pl.DataFrame:
    """Read `NETWORK_DAYS` of the DCs and dates of some days, and of those around them; a reach is locked."""
    if found.is_empty():
        return demand_schema.NETWORK_DAYS.make_empty().collect()
    days, around = found["ship_date"].sort(), reach or timedelta()
    dcs = found["dc"].unique().to_list()
    return _select(connection, dcs, days[0] - around, days[-1] + around, locked=reach is not None)


def _select(
    connection: sa.Connection,
    dcs: Sequence[str] | None,
    first: date | None,
    last: date | None,
    *,
    locked: bool = False,
) -> pl.DataFrame:
    chosen = NETWORK_DAYS.select().where(
        *([NETWORK_DAYS.c.dc.in_(dcs)] if dcs is not None else []),
        *([NETWORK_DAYS.c.ship_date >= first] if first else []),
        *([NETWORK_DAYS.c.ship_date <= last] if last else []),
    )
    if locked:
        # The other databases wait before they read.
        chosen = chosen.with_hint(NETWORK_DAYS, "WITH (UPDLOCK, HOLDLOCK)", "mssql")
    return parsing.parse_rows(sql.select(connection, chosen), demand_schema.NETWORK_DAYS).sort(_KEY)


def _update(connection: sa.Connection, rows: pl.DataFrame, names: Sequence[str], **more: datetime) -> None:
    """Update columns of days that are there: others of them are written by others meanwhile."""
    set_to: dict[str, Any] = {name: moment.replace(tzinfo=None) for name, moment in more.items()}
    columns = NETWORK_DAYS.c
    for row in rows.iter_rows(named=True):
        of_day = (columns.dc == row["dc"]) & (columns.ship_date == row["ship_date"])
        connection.execute(NETWORK_DAYS.update().where(of_day).values({name: row[name] for name in names} | set_to))
