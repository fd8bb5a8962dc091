"""The record store: records, ledger, restatements, rejects, waivers, DCs. SQL Server or PostgreSQL; embedded: SQLite.

What is published for a DC and ship date changes in one transaction: its records, its rejects, what was
restated, and the ledger's entry of what was processed. Which runs to request belongs to `rules.change_planner`.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Final

import polars as pl
import sqlalchemy as sa

from fillrate_assets.core import parsing
from fillrate_assets.core.codes import MAX_LENGTH
from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.core.table_schema import TIMESTAMP, Column, TableSchema
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.rules import change_planner
from fillrate_assets.fillrate.rules.restatements import find_restatements
from fillrate_assets.storage import bulk_insert, sql
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.sql_types import UtcDateTime, make_text_type
from fillrate_assets.storage.tables import METADATA, declare_identity_column, declare_table

_CODES: Final = dict.fromkeys(("dc", "item", "reason_code"), MAX_LENGTH)
"""Two of them and a date are as much as the key of a table has on SQL Server."""

RECORDS: Final = declare_table(
    schema.LOST_CASES,
    sa.Column("run_id", make_text_type(64), nullable=False),
    sa.Column("source_watermark", UtcDateTime()),
    # A hash of the record's values: what did not change is found without reading it back.
    sa.Column("fingerprint", sa.BigInteger(), nullable=False),
    lengths={**_CODES, "reason_code": 255},
)
LEDGER: Final = declare_table(schema.LEDGER, lengths=_CODES)
WAIVERS: Final = declare_table(schema.WAIVERS, lengths=_CODES)
DCS: Final = declare_table(schema.DCS, lengths=_CODES)
DC_CALENDAR: Final = declare_table(schema.DC_CALENDAR, lengths=_CODES)
LOADER_REJECTS: Final = declare_table(schema.LOADER_REJECTS, lengths=_CODES)
RESTATEMENTS: Final = declare_table(
    schema.RESTATEMENTS,
    declare_identity_column(),
    sa.Column("run_id", make_text_type(64), nullable=False),
    sa.Column("restated_at", UtcDateTime(), nullable=False),
    sa.Index("restatements_by_item", "dc", "ship_date", "item"),
)
REJECTS: Final = sa.Table(
    "rejects",
    METADATA,
    declare_identity_column(),
    sa.Column("table", make_text_type(64), nullable=False),
    sa.Column("dc", make_text_type(MAX_LENGTH)),
    sa.Column("ship_date", sa.Date()),
    sa.Column("key", make_text_type(255)),
    sa.Column("reason", make_text_type(1000), nullable=False),
    sa.Column("raw", make_text_type(), nullable=False),
    sa.Column("run_id", make_text_type(64), nullable=False),
    sa.Column("stage", make_text_type(16), nullable=False),
    sa.Index("rejects_by_day", "dc", "ship_date"),
)

_MAX_CHANGED: Final = sql.MAX_BINDS
"""Above this many changed records of a day, the whole day is replaced: servers limit the binds of a statement."""

OUTDATED: Final = "a run with older sources came later; it is computed again"
"""Why a day is held whose newer records are in force: the sensor requests it again (decision 0041)."""

SUBSTITUTES: Final = "a substitute for its lines changed on another ship date; it is computed again"
"""Why a day is held for whose lines a run of another day found newer substitutes (decision 0160)."""

_RESTATED: Final = sa.select(
    *[RESTATEMENTS.c[name] for name in schema.RESTATEMENTS.names], RESTATEMENTS.c.run_id, RESTATEMENTS.c.restated_at
)
_MOST_NAMED: Final = 500
"""DCs in a query; of more, the whole table is read."""

_TOTALS: Final = ("dc", "ship_date", "ordered_cases", "shipped_cases")


@dataclass(frozen=True)
class DayPublication:
    """What is to be published for one DC and ship date; held days have a reason and no records."""

    dc: str
    ship_date: date
    records: pl.DataFrame
    rejects: pl.DataFrame
    source: pl.DataFrame
    """One `LEDGER` row's columns of `change_planner.VERSIONS`: what of the sources was processed."""
    held: str | None = None
    read_at: datetime | None = None
    """When the run began to read the day's sources, UTC; None if an earlier run read them."""

    doubt: str | None = None
    """What is doubtful about records that are published."""

    network_version: str | None = None
    """Which factors and weight of the network the records were made with."""

    only_depends: bool = False
    """Whether the run judges the day again for the sake of an earlier one, and computed nothing else of it anew."""


@dataclass(frozen=True)
class PublishResult:
    """What publishing one day did."""

    dc: str
    ship_date: date
    changed: bool
    records: int
    """Records in force now."""

    restated: int
    held: str | None = None
    """Why the day is held now, if it is."""

    newly_held: bool = False


@dataclass(frozen=True)
class RecordStore:
    """Records in force, and everything needed to say how they came about."""

    database: Database

    def publish(self, days: Iterable[DayPublication], *, run_id: str, now: datetime) -> list[PublishResult]:
        """Publish each day's records, a transaction a day; what is already published is left untouched.

        Args:
            days: the days to publish.
            run_id: the run that computed them.
            now: the time to write down, UTC.

        Raises:
            SourceUnavailable: the store did not answer; days already published stay.

        """
        with self.database.connect() as connection:
            return [_publish_day(connection, day, run_id, now.replace(tzinfo=None)) for day in days]

    def await_substitutes(self, days: Iterable[PartitionKey]) -> None:
        """Hold published days until they are computed again; their records stay in force."""
        with self.database.begin() as connection:
            for day in sorted(days):
                published = (LEDGER.c.dc == day.dc) & (LEDGER.c.ship_date == day.ship_date)
                due = LEDGER.update().where(published, LEDGER.c.state == "PUBLISHED")
                connection.execute(due.values(state="HELD", reason=SUBSTITUTES))

    def read_records(self, dc: str, ship_date: date) -> pl.DataFrame:
        """Read the published records of one DC and ship date, as `LOST_CASES`."""
        return self._read(schema.LOST_CASES, RECORDS, RECORDS.c.dc == dc, RECORDS.c.ship_date == ship_date)

    def read_totals(self, dc: str, first: date, last: date) -> pl.DataFrame:
        """Sum ordered and shipped cases of the published records: dc, ship_date, ordered_cases, shipped_cases."""
        day = (RECORDS.c.dc, RECORDS.c.ship_date)
        summed = [sa.func.sum(RECORDS.c[name]).label(name) for name in ("ordered_cases", "shipped_cases")]
        frame = TableSchema("totals", (), tuple(c for c in schema.LOST_CASES.columns if c.name in _TOTALS))
        statement = (
            sa.select(*day, *summed).where(RECORDS.c.dc == dc, RECORDS.c.ship_date.between(first, last)).group_by(*day)
        )
        return self._select(frame, statement)

    def read_ledger(self, dc: str | None = None) -> pl.DataFrame:
        """Read what was processed, of one DC or all, as `LEDGER`."""
        return self._read(schema.LEDGER, LEDGER, *([LEDGER.c.dc == dc] if dc else []))

    def read_ledger_of(self, dcs: Collection[str], since: date | None = None) -> pl.DataFrame:
        """Read the `LEDGER` of some DCs, and that of all DCs from a ship date on."""
        if len(dcs) > _MOST_NAMED:
            return self.read_ledger()
        recent = [LEDGER.c.ship_date >= since] if since else []
        return self._read(schema.LEDGER, LEDGER, sa.or_(LEDGER.c.dc.in_(sorted(dcs)), *recent))

    def read_held_days(self) -> list[PartitionKey]:
        """Read the days that are held."""
        held = sa.select(LEDGER.c.dc, LEDGER.c.ship_date).where(LEDGER.c.state == "HELD")
        with self.database.connect() as connection:
            return sorted(PartitionKey(dc, day) for dc, day in connection.execute(held))

    def count_loader_rejects(self) -> pl.DataFrame:
        """Count the rows that loaders rejected, of which most name no day: table, dc, ship_date, reason, rows."""
        names = ("table", "dc", "ship_date", "reason")
        grouped = [REJECTS.c[name] for name in names]
        counted = sa.select(*grouped, sa.func.count().label("rows")).where(REJECTS.c.stage == "load").group_by(*grouped)
        columns = [column for column in schema.REJECTS.columns if column.name in names]
        frame = TableSchema("rejects", (), (*columns, Column("rows", pl.Int64, "How many", "rows")))
        return self._select(frame, counted)

    def read_waivers(self) -> pl.DataFrame:
        """Read the reason codes that waive contract lost cases, as `WAIVERS`."""
        return self._read(schema.WAIVERS, WAIVERS)

    def read_calendar(self) -> pl.DataFrame:
        """Read the days that DCs are open or closed on, as `DC_CALENDAR`."""
        return self._read(schema.DC_CALENDAR, DC_CALENDAR)

    def read_loader_rejects(self, days: Sequence[PartitionKey]) -> pl.DataFrame:
        """Read what loaders rejected of some days, as `LOADER_REJECTS`."""
        if not days:
            return schema.LOADER_REJECTS.make_empty().collect()
        chosen = pl.DataFrame(days, schema={"dc": pl.String, "ship_date": pl.Date}, orient="row")
        within = LOADER_REJECTS.c.ship_date.between(min(day for _, day in days), max(day for _, day in days))
        return self._read(schema.LOADER_REJECTS, LOADER_REJECTS, within).join(
            chosen, on=["dc", "ship_date"], how="semi"
        )

    def read_dcs(self) -> pl.DataFrame:
        """Read the distribution centres, as `DCS`."""
        return self._read(schema.DCS, DCS)

    def read_time_zones(self) -> dict[str, str]:
        """Read the IANA time zone of each DC."""
        return dict(self.read_dcs().select("dc", "time_zone").iter_rows())

    def read_active_dcs(self) -> list[str]:
        """Read the DCs that are computed."""
        return self.read_dcs().filter("active")["dc"].to_list()

    def read_restatements(self, dc: str, ship_date: date, item: str) -> pl.DataFrame:
        """Read what was restated of one item's day: `RESTATEMENTS` and run_id, restated_at; oldest first."""
        of_day = (RESTATEMENTS.c.dc == dc, RESTATEMENTS.c.ship_date == ship_date, RESTATEMENTS.c.item == item)
        return self._read_restatements(_RESTATED.where(*of_day).order_by(RESTATEMENTS.c.id))

    def read_restatements_since(self, since: datetime, dcs: Sequence[str] | None = None, *, limit: int) -> pl.DataFrame:
        """Read what was restated since a moment, in UTC, of some DCs or all: as `read_restatements`, latest first."""
        of_dcs = [] if dcs is None else [RESTATEMENTS.c.dc.in_(dcs)]
        later = RESTATEMENTS.c.restated_at >= since.replace(tzinfo=None)
        return self._read_restatements(_RESTATED.where(later, *of_dcs).order_by(RESTATEMENTS.c.id.desc()).limit(limit))

    def _read_restatements(self, chosen: sa.Select[Any]) -> pl.DataFrame:
        frame = TableSchema(
            "restatements",
            (),
            (
                *schema.RESTATEMENTS.columns,
                Column("run_id", pl.String, "Run that restated"),
                Column("restated_at", TIMESTAMP, "When", "UTC"),
            ),
        )
        return self._select(frame, chosen)

    def count(self, table: sa.Table) -> int:
        """Count the rows of one of the store's tables."""
        with self.database.connect() as connection:
            return connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()

    def add_dcs(self, dcs: pl.DataFrame) -> None:
        """Onboard DCs, or change those that are there."""
        self._merge(DCS, dcs.to_dicts())

    def add_waivers(self, waivers: pl.DataFrame) -> None:
        """Add waivers, or change those that are there."""
        self._merge(WAIVERS, waivers.to_dicts())

    def add_calendar(self, calendar: pl.DataFrame) -> None:
        """Add days of the calendar, or change those that are there."""
        self._merge(DC_CALENDAR, calendar.to_dicts())

    def replace_loader_rejects(self, days: pl.DataFrame, counts: pl.DataFrame) -> None:
        """Replace what loaders rejected on some days, its rows too: a corrected file lifts the doubt of an earlier one.

        Args:
            days: table, dc and ship_date of what was loaded.
            counts: `LOADER_REJECTS` of these days.

        """
        spans = days.group_by("table", "dc").agg(pl.col("ship_date").unique())
        with self.database.begin() as connection:
            for of_table, dc, dates in spans.iter_rows():
                for part in sql.split_binds(dates):
                    for table, stage in ((LOADER_REJECTS, sa.true()), (REJECTS, REJECTS.c.stage == "load")):
                        of_days = (table.c.table == of_table) & (table.c.dc == dc) & table.c.ship_date.in_(part)
                        connection.execute(table.delete().where(of_days, stage))
            bulk_insert.insert(connection, LOADER_REJECTS, counts)

    def discard_unplaced_rejects(self, tables: Mapping[str, Sequence[str]]) -> None:
        """Discard the rows without a day that earlier loads rejected of some tables (decision 0161).

        Args:
            tables: those that are loaded again, with the DCs that they have rows of; what was rejected of others stays.

        """
        with self.database.begin() as connection:
            for table, dcs in tables.items():
                ours = (REJECTS.c.stage == "load") & REJECTS.c.ship_date.is_(None) & (REJECTS.c.table == table)
                connection.execute(REJECTS.delete().where(ours, REJECTS.c.dc.is_(None)))
                for part in sql.split_binds(dcs):
                    connection.execute(REJECTS.delete().where(ours, REJECTS.c.dc.in_(part)))

    def add_rejects(self, rejects: pl.DataFrame, *, run_id: str) -> int:
        """Add rows that a loader could not attribute to any partition; the same row is stored once.

        Returns:
            How many were new.

        """
        names = schema.REJECTS.names
        loaded = sa.select(*[REJECTS.c[name] for name in names]).where(REJECTS.c.stage == "load")
        known = self._select(schema.REJECTS, loaded)
        stamped = _clip_texts(rejects.with_columns(run_id=pl.lit(run_id), stage=pl.lit("load")))
        new = stamped.join(known, on=names, how="anti", nulls_equal=True).unique(maintain_order=True)
        with self.database.begin() as connection:
            bulk_insert.insert(connection, REJECTS, new)
        return new.height

    def _read(self, table_schema: TableSchema, table: sa.Table, *where: sa.ColumnElement[bool]) -> pl.DataFrame:
        return self._select(
            table_schema, sa.select(*[table.c[name] for name in table_schema.names]).where(*where)
        ).sort(list(table_schema.key))

    def _select(self, table_schema: TableSchema, statement: sa.Select[Any]) -> pl.DataFrame:
        with self.database.connect() as connection:
            return parsing.parse_rows(sql.select(connection, statement), table_schema)

    def _merge(self, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
        key = [column.name for column in table.primary_key]
        with self.database.begin() as connection:
            for row in rows:
                connection.execute(table.delete().where(*[table.c[name] == row[name] for name in key]))
                connection.execute(table.insert().values(row))


def build_day_lock(dc: str, ship_date: date, dialect: sa.Dialect) -> sa.Executable | None:
    """Build the statement that locks a day until the transaction ends, before it is read, entry or not.

    None on SQL Server, where the hint of `select_ledger_entry` locks the gap of an entry that is not there yet.
    """
    return sql.build_lock(f"ledger {dc} {ship_date}", dialect)


def select_ledger_entry(dc: str, ship_date: date) -> sa.Select[Any]:
    """Select the ledger's entry of a day; SQL Server locks it, or its gap, until the transaction ends."""
    chosen = LEDGER.select().where(LEDGER.c.dc == dc, LEDGER.c.ship_date == ship_date)
    return chosen.with_hint(LEDGER, "WITH (UPDLOCK, HOLDLOCK)", "mssql")


def _publish_day(connection: sa.Connection, day: DayPublication, run_id: str, now: datetime) -> PublishResult:
    with connection.begin():
        if (lock := build_day_lock(day.dc, day.ship_date, connection.dialect)) is not None:
            connection.execute(lock)
        this_day = (LEDGER.c.dc == day.dc) & (LEDGER.c.ship_date == day.ship_date)
        published = connection.execute(select_ledger_entry(day.dc, day.ship_date)).mappings().one_or_none()
        before = None if published is None else {str(name): value for name, value in published.items()}
        if day.only_depends and day.held is None and before is not None and before["reason"] == SUBSTITUTES:
            day = replace(day, held=SUBSTITUTES)
        records = day.records.sort("item")
        source = day.source.row(0, named=True)
        if day.only_depends:
            source = _choose_processed(source, before)
        checksum = _compute_checksum(records, day.rejects) if day.held is None else (before or {}).get("checksum")
        entry = _strip_time_zones(
            {
                "dc": day.dc,
                "ship_date": day.ship_date,
                **source,
                "network_version": day.network_version if day.held is None else (before or {}).get("network_version"),
                "records": records.height if day.held is None else (before or {}).get("records", 0),
                "checksum": checksum,
                "state": "PUBLISHED" if day.held is None else "HELD",
                "reason": day.held or day.doubt,
            }
        )
        if before is not None and all(before[name] == value for name, value in entry.items()):
            return PublishResult(
                day.dc, day.ship_date, changed=False, records=entry["records"], restated=0, held=day.held
            )
        if before is not None and _is_outdated(day, entry, before):
            connection.execute(LEDGER.update().where(this_day).values(state="HELD", reason=OUTDATED))
            return PublishResult(
                day.dc, day.ship_date, changed=False, records=before["records"], restated=0, held=OUTDATED
            )
        replaced = day.held is None and (before is None or before["checksum"] != checksum)
        restated = 0
        if replaced:
            watermark = max(filter(None, (entry["orders_processed_at"], entry["shipments_processed_at"])), default=None)
            stamped = records.with_columns(
                run_id=pl.lit(run_id),
                source_watermark=pl.lit(watermark, pl.Datetime("us")),
                fingerprint=_compute_fingerprints(records),
            )
            # A day without earlier records is not restated, it is published.
            had_records = (
                before is not None and before["checksum"] is not None and _had_records(connection, day, before)
            )
            log = _replace_records(connection, day, stamped, had_records=had_records)
            restated = log.height
            bulk_insert.insert(
                connection, RESTATEMENTS, log.with_columns(run_id=pl.lit(run_id), restated_at=pl.lit(now))
            )
        # A held day's rejects are what has to be read to release it.
        connection.execute(_delete_day(REJECTS, day).where(REJECTS.c.stage == "run"))
        rejects = day.rejects.with_columns(run_id=pl.lit(run_id), stage=pl.lit("run"))
        bulk_insert.insert(connection, REJECTS, _clip_texts(rejects))
        connection.execute(LEDGER.delete().where(this_day))
        connection.execute(LEDGER.insert().values({**entry, "run_id": run_id, "published_at": now}))
    newly_held = day.held is not None and (before is None or before["reason"] != day.held)
    return PublishResult(day.dc, day.ship_date, replaced, entry["records"], restated, day.held, newly_held)


def _had_records(connection: sa.Connection, day: DayPublication, before: Mapping[str, Any]) -> bool:
    """Return whether a published day ever had records; it may have been published before it had orders."""
    restated = sa.select(RESTATEMENTS.c.id).where(
        RESTATEMENTS.c.dc == day.dc, RESTATEMENTS.c.ship_date == day.ship_date
    )
    return bool(before["records"]) or connection.execute(restated.limit(1)).first() is not None


def _choose_processed(stored: dict[str, Any], before: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return which sources a day was computed from that only depends on another one (decision 0042)."""
    known = (
        change_planner.NOTHING_PROCESSED
        if before is None
        else {name: before[name] for name in change_planner.NOTHING_PROCESSED}
    )
    return known if change_planner.is_older(known, _strip_time_zones(stored)) else stored


def _is_outdated(day: DayPublication, entry: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    """Return whether another run has already published newer sources of a day (decision 0041)."""
    read_since = day.read_at is not None and day.read_at.replace(tzinfo=None) > before["published_at"]
    return not read_since and change_planner.is_older(entry, before)


def _replace_records(
    connection: sa.Connection, day: DayPublication, stamped: pl.DataFrame, *, had_records: bool
) -> pl.DataFrame:
    """Write the records that differ from the published ones, and return the differences, as `RESTATEMENTS`."""
    of_day = (RECORDS.c.dc == day.dc) & (RECORDS.c.ship_date == day.ship_date)
    names = schema.LOST_CASES.names
    if not had_records:
        connection.execute(_delete_day(RECORDS, day))
        bulk_insert.insert(connection, RECORDS, stamped)
        return schema.RESTATEMENTS.make_empty().collect()
    known = sql.select(connection, sa.select(RECORDS.c.item, RECORDS.c.fingerprint).where(of_day)).cast(
        {"item": pl.String, "fingerprint": pl.Int64}
    )
    both = known.join(stamped.select("item", "fingerprint"), on="item", how="full", coalesce=True)
    items = both.filter(pl.col("fingerprint").ne_missing(pl.col("fingerprint_right")))["item"].to_list()
    chosen = of_day & RECORDS.c.item.in_(items) if len(items) <= _MAX_CHANGED else of_day
    old = sql.select(connection, sa.select(*[RECORDS.c[name] for name in names]).where(chosen))
    before = parsing.parse_rows(old, schema.LOST_CASES)
    after = stamped.filter(pl.col("item").is_in(items)) if len(items) <= _MAX_CHANGED else stamped
    connection.execute(RECORDS.delete().where(chosen))
    bulk_insert.insert(connection, RECORDS, after)
    return find_restatements(before, after.select(names))


def _compute_fingerprints(records: pl.DataFrame) -> pl.Series:
    return records.select(pl.struct(schema.LOST_CASES.names).hash().reinterpret(signed=True)).to_series()


def _delete_day(table: sa.Table, day: DayPublication) -> sa.Delete:
    return table.delete().where(table.c.dc == day.dc, table.c.ship_date == day.ship_date)


def _clip_texts(rejects: pl.DataFrame) -> pl.DataFrame:
    """Clip the texts of rejects to the length of their columns: only `raw` has all of it."""
    lengths = {column.name: column.type.length for column in REJECTS.columns if isinstance(column.type, sa.String)}
    return rejects.with_columns(
        bulk_insert.clip_texts(rejects[name], length) for name, length in lengths.items() if length
    )


def _compute_checksum(records: pl.DataFrame, rejects: pl.DataFrame) -> str:
    digest = hashlib.sha256()
    for frame in (records, rejects):
        buffer = io.BytesIO()
        frame.rechunk().write_ipc(buffer, compat_level=pl.CompatLevel.oldest())
        digest.update(buffer.getbuffer())
    return digest.hexdigest()


def _strip_time_zones(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: value.replace(tzinfo=None) if isinstance(value, datetime) else value for name, value in entry.items()}
