"""A directory of CSV or Parquet files as a source, by the input contracts.

Whatever cannot be placed on a DC and ship date ends in `rejects`, with its reason and the row as it came; what can
is judged by the rules, whatever else is wrong with it.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Final

import polars as pl

from fillrate_assets.core import codes, decimals, parsing
from fillrate_assets.core.conventions import Conventions
from fillrate_assets.core.errors import ContractViolation, PermanentFailure
from fillrate_assets.core.table_schema import TIMESTAMP
from fillrate_assets.core.text_columns import format_text
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.rules.line_classification import find_business_date
from fillrate_assets.fillrate.rules.pipeline import Inputs
from fillrate_assets.fillrate.rules.quality_gate import GateLimits
from fillrate_assets.fillrate.rules.row_versions import LINE_KEY
from fillrate_assets.fillrate.rules.shipments import suggest_orders
from fillrate_assets.fillrate.sources.contract_tables import EARLIEST_DATE, SHIPPED_COLUMNS, TABLES
from fillrate_assets.fillrate.sources.input_notes import describe_repeats, describe_unknown_items
from fillrate_assets.fillrate.sources.mapped_tables import RawTable, read_table
from fillrate_assets.fillrate.sources.table_mapping import TableMapping, read_mapping
from fillrate_assets.fillrate.sources.table_parsing import (
    find_unplaced,
    make_no_rejects,
    make_ragged_rejects,
    parse_rows,
    parse_table,
    select_distinct,
    split_rejects,
)
from fillrate_assets.storage.file_formats import describe_contents, translate_reader_errors
from fillrate_assets.storage.file_mapping import MAPPING_FILE

_ONLY_SHIPMENT: Final = "order line"
"""Identity of the shipment that a row of order_lines itself names: its versions are those of the line."""

_SEVERAL_DATES: Final = (
    "the order line ships on several dates, and the shipment names neither a schedule line nor a date"
)


FindOrders = Callable[[str, Sequence[str]], pl.DataFrame]
"""Finds `ORDER_LINES` by DC and order numbers."""


@dataclass(frozen=True)
class TableCounts:
    """What became of the rows of one table before any rule judged them."""

    read: int
    excluded: int = 0
    """Left out by the mapping."""

    superseded: int = 0
    """Repeats of master data that say nothing new."""


@dataclass(frozen=True)
class Contracts:
    """What a directory holds, by contract; `rejects` are the rows that no table could take."""

    order_lines: pl.DataFrame
    shipment_lines: pl.DataFrame
    instock_snapshots: pl.DataFrame
    items: pl.DataFrame
    dcs: pl.DataFrame
    waivers: pl.DataFrame
    dc_calendar: pl.DataFrame
    rejects: pl.DataFrame
    counts: Mapping[str, TableCounts] = field(default_factory=dict)
    """By table, those that the directory has."""

    notes: tuple[str, ...] = ()
    """What a person should know of the files' columns."""

    times_complete: bool = False
    """Whether every shipment has a time."""

    gate: GateLimits = field(default_factory=GateLimits)
    """The shares that a day may have."""

    method: int = 1
    """Whose estimate is published, 1 or 2."""

    @property
    def time_zones(self) -> dict[str, str]:
        """IANA time zone by DC."""
        return dict(self.dcs.select("dc", "time_zone").iter_rows())

    @property
    def inputs(self) -> Inputs:
        """The frames as the rules take them."""
        return Inputs(
            order_lines=self.order_lines.lazy(),
            shipment_lines=self.shipment_lines.lazy(),
            instock_snapshots=self.instock_snapshots.lazy(),
            items=self.items.lazy(),
            waivers=self.waivers.lazy(),
            dc_calendar=self.dc_calendar.lazy(),
            rejects=self.rejects.lazy(),
            time_zones=self.time_zones,
            times_complete=self.times_complete,
            gate=self.gate,
            method=self.method,
        )


def read_directory(
    path: Path | str,
    mapping: Path | str | None = None,
    *,
    loaded_at: datetime,
    find_orders: FindOrders | None = None,
) -> Contracts:
    """Read every table of a directory.

    Args:
        path: holds `<table>.csv` or `<table>.parquet` (or what the mapping names); order_lines and items must exist.
        mapping: a TOML file that says how the company calls and writes tables, columns and values; by default
            `mapping.toml` in the directory, if there is one.
        loaded_at: aware; the `processed_at` of tables that have none.
        find_orders: finds the lines of orders that earlier loads brought; their later shipments need not name a day.

    Raises:
        PermanentFailure: the directory or the mapping does not exist.
        ContractViolation: a file or column that must be there is not, or a file is not a table.

    """
    directory = Path(path)
    if not directory.is_dir():
        msg = f"{directory} is not a directory"
        raise PermanentFailure(msg)
    with translate_reader_errors(str(directory)):
        mappings = _read_mappings(directory, mapping)
        tables = {
            name: read_table(directory, name, mappings.get(name, TableMapping()), table.types)
            for name, table in TABLES.items()
        }
        orders, items = tables["order_lines"], tables["items"]
        if orders is None or items is None:
            absent = [f"{name}.csv (or .parquet)" for name in ("order_lines", "items") if tables[name] is None]
            msg = f"{directory}: {' and '.join(absent)} is missing; {describe_contents(directory)}"
            raise ContractViolation(msg)
        dcs, zones = _check_dcs(tables["dcs"], _Reading(mappings, loaded_at, {}))
        reading = _Reading(mappings, loaded_at, zones, find_orders)
        order_lines, order_rejects, placed = _place_order_lines(orders, reading)
        if (shipments := tables["shipment_lines"]) is not None:
            shipment_lines, shipment_rejects = _place_shipment_lines(shipments, order_lines, reading)
        else:
            shipment_lines = _derive_shipments(orders, order_lines, placed, reading)
            shipment_rejects = make_no_rejects()
        snapshots, snapshot_rejects = _place_snapshots(tables["instock_snapshots"], reading)
        item_rows, item_rejects, repeated_items = _check_items(items, reading)
        waivers, waiver_rejects, repeated_waivers = _check_waivers(tables["waivers"], reading)
        calendar = _check_calendar(tables["dc_calendar"], reading)
    there = [table for table in tables.values() if table is not None]
    superseded = {"items": repeated_items, "waivers": repeated_waivers}
    notes = [
        *[note for table in there for note in table.notes],
        *describe_repeats("order_lines", order_lines, LINE_KEY, shipment_lines if shipments is None else None),
        *(describe_repeats("shipment_lines", shipment_lines, LINE_KEY) if shipments is not None else []),
        *describe_unknown_items("order_lines", order_lines, item_rows),
        *describe_unknown_items("instock_snapshots", snapshots, item_rows),
    ]
    return Contracts(
        order_lines=order_lines,
        shipment_lines=shipment_lines,
        instock_snapshots=snapshots,
        items=item_rows,
        dcs=dcs,
        waivers=waivers,
        dc_calendar=calendar,
        rejects=pl.concat(
            [
                *[make_ragged_rejects(table) for table in there],
                *[order_rejects, shipment_rejects, snapshot_rejects, item_rejects, waiver_rejects],
            ]
        ),
        counts={
            table.name: TableCounts(table.height, table.excluded, superseded.get(table.name, 0)) for table in there
        },
        notes=tuple(notes),
    )


@dataclass(frozen=True)
class _Reading:
    """What the tables of one directory are read by."""

    mappings: Mapping[str, TableMapping]
    loaded_at: datetime
    dc_time_zones: Mapping[str, str]
    """Of the DCs whose time zone is known; of others, times and dates are as written."""

    find_orders: FindOrders | None = None

    def find_conventions(self, table: str) -> Conventions:
        """Return how a table's values are written."""
        mapping = self.mappings.get(table, TableMapping())
        return mapping.make_conventions(TABLES[table].conventions, self.dc_time_zones)

    def parse(self, table: RawTable) -> pl.DataFrame:
        """Parse a table by its contract."""
        return parse_table(table, self.find_conventions(table.name))


def write_frame(frame: pl.DataFrame, file: Path) -> None:
    """Write Parquet or, where the file is not called that, CSV: quantities as exact text, nulls as nothing."""
    if file.suffix.lower() == ".parquet":
        frame.write_parquet(file)
    else:
        frame.write_csv(file)


def _read_mappings(directory: Path, mapping: Path | str | None) -> dict[str, TableMapping]:
    file = Path(mapping) if mapping is not None else directory / MAPPING_FILE
    if not file.is_file():
        if mapping is None:
            return {}
        msg = f"mapping {file} does not exist"
        raise PermanentFailure(msg)
    return read_mapping(file, {name: [column.name for column in table.columns] for name, table in TABLES.items()})


def _place_order_lines(table: RawTable, reading: _Reading) -> tuple[pl.DataFrame, pl.DataFrame, pl.Series]:
    """Place the order lines on their days, and return the rejects, and which rows of the table those are."""
    typed = _add_versions(table, reading.parse(table), reading.loaded_at)
    reason = find_unplaced(table, typed, ["dc", "ship_date", "order_id", "line_no", "processed_at"])
    good, rejects = split_rejects(table, typed, reason, _line_key_expr())
    return good, rejects, reason.is_null()


def _place_shipment_lines(
    table: RawTable, order_lines: pl.DataFrame, reading: _Reading
) -> tuple[pl.DataFrame, pl.DataFrame]:
    line = ["dc", "order_id", "line_no"]
    parsed = _add_versions(table, reading.parse(table), reading.loaded_at)
    lines = _add_earlier_orders(parsed, order_lines, reading.find_orders)
    latest = lines.sort("processed_at", "source_seq", "ship_date").unique(LINE_KEY, keep="last")
    promised = latest.select(*LINE_KEY, pl.col("ship_date").alias("promised"))
    # Of a line with several schedule lines, a shipment that names none may belong to any.
    known = latest.group_by(line).agg(pl.col("ship_date").unique().alias("dates"))
    left = find_business_date(pl.col("shipped_at"), reading.dc_time_zones)
    typed = (
        parsed.join(promised, on=LINE_KEY, how="left", nulls_equal=True, maintain_order="left")
        .join(known, on=line, how="left", maintain_order="left")
        .with_columns(
            pl.coalesce(
                "ship_date",
                "promised",
                pl.when(pl.col("dates").list.len() == 1).then(pl.col("dates").list.first()),
                pl.when(pl.col("dates").is_null()).then(left),
            ).alias("ship_date")
        )
        .with_columns(pl.lit("no order line for this shipment").alias("no_line"))
        .lazy()
        .pipe(suggest_orders, latest.lazy(), ["dc", "line_no"], "no_line")
        .collect()
    )
    unplaced = find_unplaced(table, typed, [*line, "processed_at"])
    no_day = typed.select(
        pl.when(pl.col("ship_date").is_not_null())
        .then(pl.lit(None, pl.String))
        .when(pl.col("dates").is_not_null())
        .then(pl.lit(_SEVERAL_DATES))
        .otherwise("no_line")
        .alias("reason")
    ).to_series()
    typed = typed.select(schema.SHIPMENT_LINES.names)
    return _blame_meant_dcs(*split_rejects(table, typed, unplaced.fill_null(no_day), _line_key_expr()), order_lines)


def _add_earlier_orders(
    shipments: pl.DataFrame, order_lines: pl.DataFrame, find_orders: FindOrders | None
) -> pl.DataFrame:
    """Add the order lines of earlier loads that shipments name, where they name no day and the files no such line."""
    line = ["dc", "order_id", "line_no"]
    if find_orders is None:
        return order_lines
    stray = shipments.filter(pl.col("ship_date").is_null()).drop_nulls(line).join(order_lines, on=line, how="anti")
    orders = stray.group_by("dc").agg(pl.col("order_id").unique().sort()).sort("dc")
    earlier = [find_orders(dc, ids).select(order_lines.columns) for dc, ids in orders.iter_rows()]
    if not earlier:
        return order_lines
    return pl.concat([order_lines, pl.concat(earlier).join(stray, on=line, how="semi")])


def _blame_meant_dcs(
    good: pl.DataFrame, rejects: pl.DataFrame, order_lines: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Blame shipments of a DC without orders on the one that it may mean: its days shipped more than is known."""
    bare = codes.strip_code(pl.col("dc")).str.to_lowercase().alias("bare")
    known = order_lines.select("dc").unique()
    meant = known.group_by(bare).agg(pl.col("dc").min().alias("meant"))
    found = rejects.join(
        known.with_columns(pl.lit(value=True).alias("known")), on="dc", how="left", maintain_order="left"
    )
    found = found.with_columns(bare).join(meant, on="bare", how="left", maintain_order="left")
    doubtful = pl.col("known").is_null() & pl.col("meant").is_not_null()
    blamed = found.with_columns(
        pl.when(doubtful).then("meant").otherwise("dc").alias("dc"),
        pl.when(doubtful).then(format_text("{}; is it DC {}?", "reason", "meant")).otherwise("reason").alias("reason"),
    )
    return good, blamed.select(rejects.columns)


def _derive_shipments(table: RawTable, order_lines: pl.DataFrame, placed: pl.Series, reading: _Reading) -> pl.DataFrame:
    """Derive shipments from what order_lines itself says of them; a line without a quantity shipped nothing."""
    if "shipped_qty" not in table.mapped.columns:
        msg = (
            "what was shipped is unknown: there is no shipment_lines file and order_lines has no shipped_qty column "
            "(a shipment_lines file with a header alone says that nothing shipped)"
        )
        raise ContractViolation(msg)
    names = [name for name in (*SHIPPED_COLUMNS, "uom") if name in table.mapped.columns]
    mapped = table.mapped.filter(placed).select("dc", *names)
    typed = parse_rows(table.where, mapped, schema.SHIPMENT_LINES, table.name, reading.find_conventions(table.name))
    unread = parsing.extract_unread_text(pl.col("problem"), schema.SHIPMENT_LINES, "shipped_qty")
    nothing_said = pl.col("shipped_qty").is_null() & unread.is_null()
    shipments = typed.with_columns(
        *order_lines.select(*LINE_KEY, "ship_date", "processed_at", "source_seq").get_columns(),
        pl.lit(_ONLY_SHIPMENT).alias("shipment_id"),
        pl.when(nothing_said).then(pl.lit(0)).otherwise("shipped_qty").cast(decimals.CASES).alias("shipped_qty"),
    )
    # A credit is rejected as an order line; its negative shipment would be the same reject again.
    credit = (order_lines["ordered_qty"] < 0).fill_null(value=False)
    return shipments.filter(~(credit & (shipments["shipped_qty"] < 0).fill_null(value=False)))


def _place_snapshots(table: RawTable | None, reading: _Reading) -> tuple[pl.DataFrame, pl.DataFrame]:
    if table is None:
        return schema.INSTOCK_SNAPSHOTS.make_empty().collect(), make_no_rejects()
    typed = reading.parse(table).with_columns(pl.col("snapshot_at").fill_null(reading.loaded_at))
    reason = find_unplaced(table, typed, ["dc", "snapshot_date"])
    ship_date = {"snapshot_date": "ship_date"}
    return split_rejects(table, typed.rename(ship_date), reason, pl.col("item"))


def _check_items(table: RawTable, reading: _Reading) -> tuple[pl.DataFrame, pl.DataFrame, int]:
    if "fsa" in table.mapped.columns and "contract_committed" not in table.mapped.columns:
        table = replace(table, mapped=table.mapped.rename({"fsa": "contract_committed"}))
    typed = reading.parse(table).with_columns(pl.col("item_type").str.to_uppercase())
    unknown = format_text("item_type {} is neither STOCK nor FLOW", pl.col("item_type").fill_null("empty"))
    reason = pl.concat_str(
        "problem",
        pl.when(pl.col("item").is_null()).then(pl.lit("no item")),
        pl.when(~pl.col("item_type").is_in(["STOCK", "FLOW"]).fill_null(value=False)).then(unknown),
        separator="; ",
        ignore_nulls=True,
    ).replace("", None)
    typed = typed.with_columns(
        reason.alias("problem"),
        pl.col("valid_from").fill_null(EARLIEST_DATE),
        pl.col("contract_committed").fill_null(value=False),
    )
    return select_distinct(table, typed, schema.ITEMS, "a later row of the file has the same item and valid_from")


def _check_waivers(table: RawTable | None, reading: _Reading) -> tuple[pl.DataFrame, pl.DataFrame, int]:
    if table is None:
        return schema.WAIVERS.make_empty().collect(), make_no_rejects(), 0
    no_code = pl.when(pl.col("reason_code").is_null()).then(pl.lit("no reason_code"))
    typed = reading.parse(table).with_columns(
        pl.coalesce("problem", no_code).alias("problem"), pl.col("valid_from").fill_null(EARLIEST_DATE)
    )
    return select_distinct(
        table, typed, schema.WAIVERS, "a later row of the file has the same reason_code and valid_from"
    )


def _check_dcs(table: RawTable | None, reading: _Reading) -> tuple[pl.DataFrame, dict[str, str]]:
    """Check the DCs, and return them with the time zones that the file names.

    A wrong row is an error: a DC in the wrong time zone would be late all year without a cause.
    """
    if table is None:
        return schema.DCS.make_empty().collect(), {}
    named = reading.parse(table)
    typed = named.with_columns(
        pl.col("time_zone").fill_null("UTC"),
        pl.col("active").fill_null(value=True),
        pl.col("name").fill_null(pl.col("dc")),
    )
    problems = [
        *typed["problem"].drop_nulls(),
        *([f"{typed['dc'].null_count()} rows have no dc"] if typed["dc"].null_count() else []),
        *[f"dc {dc} is there twice" for dc in typed.filter(pl.col("dc").is_duplicated())["dc"].unique().sort()],
        *[
            f"time_zone '{zone}' of {dc} is not an IANA time zone such as Europe/Berlin"
            for dc, zone in typed.select("dc", "time_zone").iter_rows()
            if zone not in zoneinfo.available_timezones()
        ],
    ]
    if problems:
        msg = f"dcs: {'; '.join(problems)}"
        raise ContractViolation(msg)
    return typed.drop("problem"), dict(named.select("dc", "time_zone").drop_nulls().iter_rows())


def _check_calendar(table: RawTable | None, reading: _Reading) -> pl.DataFrame:
    """Check the calendar; a wrong row is an error: a closed day would be charged with lost cases."""
    if table is None:
        return schema.DC_CALENDAR.make_empty().collect()
    typed, key = reading.parse(table), ["dc", "ship_date"]
    doubled = typed.filter(pl.struct(key).is_duplicated()).select(key).unique().sort(key)
    problems = [
        *typed["problem"].drop_nulls(),
        *[f"{count} rows have no {name}" for name in (*key, "open") if (count := typed[name].null_count())],
        *[f"{dc}, {day} is there twice" for dc, day in doubled.rows()],
    ]
    if problems:
        msg = f"dc_calendar: {'; '.join(problems)}"
        raise ContractViolation(msg)
    return typed.drop("problem")


def _add_versions(table: RawTable, typed: pl.DataFrame, loaded_at: datetime) -> pl.DataFrame:
    """Add the version of each row: all the same without `processed_at`; a row that lacks only its own has no place."""
    if "processed_at" not in table.mapped.columns:
        typed = typed.with_columns(pl.lit(loaded_at).cast(TIMESTAMP).alias("processed_at"))
    return typed.with_columns(pl.col("source_seq").fill_null(0))


def _line_key_expr() -> pl.Expr:
    return pl.concat_str("order_id", "line_no", "schedule_line", separator="/", ignore_nulls=True)
