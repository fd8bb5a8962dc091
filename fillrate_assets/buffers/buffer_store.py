"""What the buffers store in the database: master tables that people change with SQL, and feedback.

Every tick reads the master tables anew, so one statement of SQL takes effect with the next. Where a row makes no
sense, or holds what its column cannot, as SQLite allows, the other rows are read all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl
import sqlalchemy as sa

from fillrate_assets.buffers import control_schema, schema
from fillrate_assets.buffers.rules import unit_convention
from fillrate_assets.buffers.rules.tick import MasterData
from fillrate_assets.core import parsing
from fillrate_assets.core.table_schema import TIMESTAMP, Column, TableSchema
from fillrate_assets.core.text_columns import format_text
from fillrate_assets.notifications.notifiers.channel import redact_channel
from fillrate_assets.storage import bulk_insert, sql
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.sql_types import to_stored
from fillrate_assets.storage.tables import declare_table

WAREHOUSES: Final = declare_table(schema.WAREHOUSES)
UNIT_MEMBERS: Final = declare_table(schema.UNIT_MEMBERS, lengths={"unit_id": 200})
WAREHOUSE_PATHS: Final = declare_table(schema.WAREHOUSE_PATHS)
# SQL Server takes 900 bytes for a key, two for a letter.
ALERT_ROUTES: Final = declare_table(schema.ALERT_ROUTES, lengths={"unit_type": 16, "min_severity": 16, "channel": 255})
SHIFTS: Final = declare_table(schema.SHIFTS)
ON_CALL: Final = declare_table(control_schema.ON_CALL, lengths={"channel": 255})
FEEDBACK: Final = declare_table(
    schema.FEEDBACK,
    sa.Index("buffer_feedback_by_time", "answered_at"),
    lengths={"rec_id": 255, "responder": 128, "note": None},
)

_REASON: Final = Column("problem", pl.String, "What is wrong with the row", nullable=True)
_ID_PARTS: Final = ("warehouse", "pool")
_ALWAYS: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MASTERS: Final = (
    (WAREHOUSES, schema.WAREHOUSES),
    (UNIT_MEMBERS, schema.UNIT_MEMBERS),
    (SHIFTS, schema.SHIFTS),
    (ALERT_ROUTES, schema.ALERT_ROUTES),
    (WAREHOUSE_PATHS, schema.WAREHOUSE_PATHS),
    (ON_CALL, control_schema.ON_CALL),
)


@dataclass(frozen=True)
class BufferStore:
    """Warehouses, units, shifts, routes, and what the floor answered."""

    database: Database

    def read_master_data(self, warehouse: str | None = None) -> MasterData:
        """Read the master tables as they are now, each sorted by its key; of one warehouse, or of all.

        A row that cannot be used is left out and reported in `rejects`, but for two kinds. A warehouse whose time zone
        does not exist runs by UTC. A member of a unit that cannot be read stays without its weight: the unit is
        UNKNOWN then, rather than computed without one of its paths.

        What follows from `warehouse_path` by convention is among the warehouses and members.

        Raises:
            SourceUnavailable: the store did not answer.

        """
        with self.database.connect() as connection:
            written = [
                _fetch_rows(
                    connection, table, frame, *([] if warehouse is None else [_is_of_warehouse(table, warehouse)])
                )
                for table, frame in _MASTERS
            ]
        return _judge_masters(_Written(tuple(written)))

    def read_warehouses(self) -> pl.DataFrame:
        """Read the warehouses alone, as `read_master_data` has them: units are what takes long to read.

        Raises:
            SourceUnavailable: the store did not answer.

        """
        path = WAREHOUSE_PATHS.c
        with self.database.connect() as connection:
            rows = _check_warehouses(_read_table(connection, WAREHOUSES, schema.WAREHOUSES))
            found = sql.select(connection, sa.select(path.warehouse, path.pool).distinct())
        named = found.cast(pl.String).filter(_format_part_fault(name).is_null() for name in _ID_PARTS)
        derived = unit_convention.derive_warehouses(rows, named)
        return _merge_frames(schema.WAREHOUSES, _select_valid(rows, schema.WAREHOUSES), derived)

    def merge_master_data(self, masters: MasterData) -> None:
        """Add rows to the master tables, or change those that are there; the same again changes nothing.

        Raises:
            SourceUnavailable: the store did not answer.

        """
        with self.database.begin() as connection:
            frames = masters.warehouses, masters.unit_members, masters.shifts, masters.alert_routes
            for (table, frame), rows in zip(_MASTERS, (*frames, masters.paths, masters.on_call), strict=True):
                _merge_rows(connection, table, frame, rows)

    def read_feedback(self, since: datetime) -> pl.DataFrame:
        """Read what was answered since a moment, that included: every version, as `FEEDBACK`.

        Raises:
            SourceUnavailable: the store did not answer.

        """
        return self._select_feedback(FEEDBACK.c.answered_at >= to_stored(since))

    def read_answers(self, rec_id: str, responder: str) -> pl.DataFrame:
        """Read what someone answered to an alert: every version, as `FEEDBACK`.

        Raises:
            SourceUnavailable: the store did not answer.

        """
        return self._select_feedback(FEEDBACK.c.rec_id == rec_id, FEEDBACK.c.responder == responder)

    def _select_feedback(self, *where: sa.ColumnElement[bool]) -> pl.DataFrame:
        with self.database.connect() as connection:
            rows = sql.select(connection, sa.select(FEEDBACK).where(*where))
        return parsing.parse_rows(rows, schema.FEEDBACK).sort(schema.FEEDBACK.key)

    def add_feedback(self, row: Mapping[str, Any]) -> bool:
        """Store an answer, a row of `FEEDBACK`; a later answer of the same responder adds a version.

        Returns:
            Whether it is new; not if the responder's answer of that moment is stored already.

        Raises:
            SourceUnavailable: the store did not answer.
            ContractViolation: the row is none of `FEEDBACK`.

        """
        answer = pl.DataFrame([row], schema=schema.FEEDBACK.polars)
        schema.FEEDBACK.validate(answer)
        values = answer.with_columns(pl.col(TIMESTAMP).dt.replace_time_zone(None)).row(0, named=True)
        with self.database.connect() as connection:
            try:
                with connection.begin():
                    connection.execute(FEEDBACK.insert().values(values))
            except sa.exc.IntegrityError:
                return False
        return True


@dataclass(frozen=True, eq=False)
class _Written:
    """The rows of the master tables as the driver handed them over, in the order of `_MASTERS`."""

    tables: tuple[pl.DataFrame, ...]

    def __eq__(self, other: object) -> bool:
        """Return whether every value is the same, of the same type."""
        return isinstance(other, _Written) and all(
            mine.schema == theirs.schema and mine.equals(theirs)
            for mine, theirs in zip(self.tables, other.tables, strict=True)
        )

    def __hash__(self) -> int:
        """Return the same number for the same rows."""
        return hash(tuple(table.height for table in self.tables))


@lru_cache(maxsize=8)
def _judge_masters(written: _Written) -> MasterData:
    """Make master data of what people wrote; once while it stays as it is, for that takes longer than to read it."""
    warehouses, members, shifts, routes, paths, on_call = (
        _parse_rows(rows, frame) for rows, (_, frame) in zip(written.tables, _MASTERS, strict=True)
    )
    warehouses = _check_warehouses(warehouses)
    members = _add_problems(members, schema.UNIT_MEMBERS)
    shifts = _add_problems(
        shifts,
        schema.SHIFTS,
        pl.when(~pl.col("weekday").is_between(1, 7)).then(format_text("weekday {} is none of 1 to 7", "weekday")),
    )
    routes = _add_problems(
        routes.with_columns(pl.col("updated_by").fill_null("")),
        schema.ALERT_ROUTES,
        _format_code_fault("min_severity", schema.SEVERITIES),
        _format_code_fault("unit_type", (schema.ANY, *schema.UNIT_TYPES)),
    )
    paths = _add_problems(
        paths,
        schema.WAREHOUSE_PATHS,
        *(_format_part_fault(name) for name in _ID_PARTS),
        pl.when(pl.col("capacity") <= 0).then(format_text("capacity {} is not above 0", "capacity")),
        pl.when(unit_convention.is_ambiguous()).then(pl.lit("another path makes the same unit")),
    )
    on_call = _add_problems(
        on_call.with_columns(pl.col("updated_by").fill_null("")),
        control_schema.ON_CALL,
        pl.when(pl.col("to_ts") <= pl.col("from_ts")).then(pl.lit("to_ts is not after from_ts")),
    )
    named, readable = _select_valid(paths, schema.WAREHOUSE_PATHS), _mask_unreadable(members)
    derived = unit_convention.derive_warehouses(warehouses, named)
    of_units = unit_convention.derive_members(named, readable)
    return MasterData(
        warehouses=_merge_frames(schema.WAREHOUSES, _select_valid(warehouses, schema.WAREHOUSES), derived),
        unit_members=_merge_frames(schema.UNIT_MEMBERS, readable, of_units),
        shifts=_select_valid(shifts, schema.SHIFTS),
        alert_routes=_select_valid(routes, schema.ALERT_ROUTES),
        paths=named,
        on_call=_select_valid(on_call, control_schema.ON_CALL),
        rejects=pl.concat(
            [
                _collect_rejects(warehouses, schema.WAREHOUSES),
                _collect_rejects(_select_utc_fallbacks(warehouses), schema.WAREHOUSES),
                _collect_rejects(members, schema.UNIT_MEMBERS),
                _collect_rejects(shifts, schema.SHIFTS),
                _collect_rejects(routes, schema.ALERT_ROUTES),
                _collect_rejects(paths, schema.WAREHOUSE_PATHS),
                _collect_rejects(on_call, control_schema.ON_CALL),
            ]
        ).sort("table", "key", "reason"),
    )


# --- reading what people wrote


def _is_of_warehouse(table: sa.Table, warehouse: str) -> sa.ColumnElement[bool]:
    """Return whether a row is of a warehouse, or of any."""
    if table is UNIT_MEMBERS:
        return table.c.unit_id.startswith(f"{warehouse}_", autoescape=True)
    return table.c.warehouse.in_([warehouse, schema.ANY])


def _read_table(connection: sa.Connection, table: sa.Table, table_schema: TableSchema) -> pl.DataFrame:
    """Read a table by its frame, sorted, with `problem` for what could not be read of a row."""
    return _parse_rows(_fetch_rows(connection, table, table_schema), table_schema)


def _fetch_rows(
    connection: sa.Connection, table: sa.Table, table_schema: TableSchema, *where: sa.ColumnElement[bool]
) -> pl.DataFrame:
    """Fetch a table's rows as the driver hands them over: SQLAlchemy stops at a value not of its column's type."""
    columns = [sa.type_coerce(table.c[name], sa.types.NullType()).label(name) for name in table_schema.names]
    rows = connection.execute(sa.select(*columns).where(*where)).all()
    values = zip(*rows, strict=True) if rows else [()] * len(columns)
    return pl.DataFrame([_build_series(name, column) for name, column in zip(table_schema.names, values, strict=True)])


def _parse_rows(rows: pl.DataFrame, table_schema: TableSchema) -> pl.DataFrame:
    read_as = replace(table_schema, columns=(*table_schema.columns, _REASON))
    return parsing.parse_rows(rows, read_as).sort(table_schema.key, maintain_order=True)


def _build_series(name: str, values: tuple[Any, ...]) -> pl.Series:
    """Build a series: values of one type as they are; of several, as text."""
    if len({type(value) for value in values} - {type(None)}) > 1:
        return pl.Series(name, [None if value is None else str(value) for value in values], pl.String)
    return pl.Series(name, values)


def _add_problems(rows: pl.DataFrame, table_schema: TableSchema, *more: pl.Expr) -> pl.DataFrame:
    """Add what is wrong in `problem`: unreadable, empty, there twice once it is read, or one of `more`."""
    empty = [
        pl.when(pl.col(column.name).is_null()).then(pl.lit(f"{column.name} is empty"))
        for column in table_schema.columns
        if not column.nullable
    ]
    key = pl.struct(table_schema.key)
    twice = pl.when(~key.is_first_distinct()).then(pl.lit("the same key is there twice"))
    return rows.with_columns(pl.coalesce("problem", *empty, *more, twice).alias("problem"))


def _check_warehouses(rows: pl.DataFrame) -> pl.DataFrame:
    return _add_problems(
        rows.with_columns(pl.col("name").fill_null(pl.col("warehouse"))),
        schema.WAREHOUSES,
        pl.when(pl.col("dc").str.contains(r"[/\\]")).then(format_text("dc {} cannot name a folder", "dc")),
    )


def _format_code_fault(name: str, codes: tuple[str, ...]) -> pl.Expr:
    listed = f"{', '.join(codes[:-1])} and {codes[-1]}"
    return pl.when(~pl.col(name).is_in(list(codes))).then(format_text(f"{name} {{}} is none of {listed}", name))


def _format_part_fault(name: str) -> pl.Expr:
    """Format why a text cannot be a part of a unit's id; empty if it can."""
    fault = format_text(f"{name} {{}} is not of A-Z, 0-9 and -", name)
    return pl.when(~pl.col(name).str.contains(r"^[A-Z0-9-]+$")).then(fault)


def _merge_frames(table_schema: TableSchema, rows: pl.DataFrame, more: pl.DataFrame) -> pl.DataFrame:
    """Merge two parts of a table, sorted by its key."""
    return pl.concat([rows, more]).sort(table_schema.key, maintain_order=True) if more.height else rows


def _select_valid(rows: pl.DataFrame, table_schema: TableSchema) -> pl.DataFrame:
    return rows.filter(pl.col("problem").is_null()).select(table_schema.names)


def _mask_unreadable(members: pl.DataFrame) -> pl.DataFrame:
    """Mask the weight of members that cannot be read."""
    return members.filter(pl.col("unit_id").is_not_null()).select(
        "unit_id",
        "path",
        "role",
        pl.when(pl.col("problem").is_null()).then("weight").alias("weight"),
        pl.col("valid_from").fill_null(pl.lit(_ALWAYS, TIMESTAMP)),
        "valid_to",
    )


def _select_utc_fallbacks(warehouses: pl.DataFrame) -> pl.DataFrame:
    """Select the warehouses that run by UTC for want of their own time zone, and why in `problem`."""
    sound = warehouses.filter(pl.col("problem").is_null())
    unknown = [zone for zone in sound["time_zone"].unique() if not _is_time_zone(zone)]
    words = format_text("time_zone {} does not exist: UTC is taken", "time_zone")
    return sound.filter(pl.col("time_zone").is_in(unknown)).with_columns(words.alias("problem"))


def _is_time_zone(time_zone: str) -> bool:
    try:
        ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # not there, not a name, a folder of zones
        return False
    return True


def _collect_rejects(rows: pl.DataFrame, table_schema: TableSchema) -> pl.DataFrame:
    key = pl.concat_str(
        [pl.col(name).cast(pl.String).fill_null("(empty)") for name in table_schema.key], separator=", "
    )
    wrong = rows.filter(pl.col("problem").is_not_null())
    if "channel" in table_schema.key:
        # Someone may have written a URL there, which is a credential.
        wrong = wrong.with_columns(pl.col("channel").map_elements(redact_channel, pl.String))
    return wrong.select(pl.lit(table_schema.name).alias("table"), key.alias("key"), pl.col("problem").alias("reason"))


# --- writing


def _merge_rows(connection: sa.Connection, table: sa.Table, table_schema: TableSchema, rows: pl.DataFrame) -> None:
    known = _read_table(connection, table, table_schema)
    changed = rows.join(known, on=table_schema.names, how="anti", nulls_equal=True)
    outdated = changed.join(known, on=table_schema.key, how="semi").select(table_schema.key)
    if outdated.height:
        this = [table.c[name] == sa.bindparam(f"_{name}") for name in table_schema.key]
        naive = outdated.with_columns(pl.col(TIMESTAMP).dt.replace_time_zone(None))
        keys = naive.rename({name: f"_{name}" for name in table_schema.key}).to_dicts()
        connection.execute(table.delete().where(*this), keys)
    bulk_insert.insert(connection, table, changed)
