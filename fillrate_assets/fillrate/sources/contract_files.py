"""A directory of CSV or Parquet files as a source, by the input contracts.

Whatever cannot be placed on a DC and ship date ends in `rejects`, with its reason and the row as it came; what can
is judged by the rules, whatever else is wrong with it.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Final

import polars as pl

from fillrate_assets.core import decimals
from fillrate_assets.core.errors import ContractViolation, PermanentFailure
from fillrate_assets.core.parsing import parse_frame
from fillrate_assets.core.table_schema import TIMESTAMP, Column, TableSchema
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.rules.line_classification import LINE_KEY
from fillrate_assets.fillrate.rules.pipeline import Inputs
from fillrate_assets.fillrate.rules.service_metrics import GROUPINGS, METRICS
from fillrate_assets.storage.csv_reader import (
    MAPPING_FILE,
    RawTable,
    TableMapping,
    describe_contents,
    read_mapping,
    read_table,
)

EARLIEST_DATE: Final = date(1900, 1, 1)
"""Where a row without `valid_from` begins to hold."""

_PROBLEM: Final = next(column for column in schema.ORDER_LINES.columns if column.name == "problem")


@dataclass(frozen=True)
class _TableContract:
    """One table of the directory: its contract, the columns it must have, and those it may have besides."""

    contract: TableSchema
    required: tuple[str, ...]
    extra: tuple[Column, ...] = ()

    @property
    def parsed_schema(self) -> TableSchema:
        """The contract, with `problem` for what could not be read."""
        has_problem = "problem" in self.contract.names
        return self.contract if has_problem else replace(self.contract, columns=(*self.contract.columns, _PROBLEM))

    @property
    def columns(self) -> list[Column]:
        """What the table's file may hold."""
        return [*self.contract.source_columns, *self.extra]

    @property
    def moments(self) -> list[str]:
        """The columns that hold dates or times."""
        return [column.name for column in self.columns if column.dtype in {pl.Date, TIMESTAMP}]


_SNAPSHOTS: Final = replace(
    schema.INSTOCK_SNAPSHOTS,
    columns=tuple(
        replace(column, name="snapshot_date") if column.name == "ship_date" else column
        for column in schema.INSTOCK_SNAPSHOTS.columns
    ),
)
_SHIPPED_COLUMNS: Final = ("shipped_qty", "shipped_at", "delivered_at", "reason_code")
"""Columns of shipment_lines that order_lines may hold instead, where there is one shipment per line."""

_TABLES: Final = {
    "order_lines": _TableContract(
        schema.ORDER_LINES,
        ("dc", "ship_date", "order_id", "line_no", "item", "ordered_qty"),
        tuple(column for column in schema.SHIPMENT_LINES.columns if column.name in _SHIPPED_COLUMNS),
    ),
    "shipment_lines": _TableContract(schema.SHIPMENT_LINES, ("dc", "order_id", "line_no", "shipped_qty")),
    "instock_snapshots": _TableContract(_SNAPSHOTS, ("dc", "snapshot_date", "item", "instock")),
    "items": _TableContract(
        schema.ITEMS, ("item", "item_type"), (Column("fsa", pl.Boolean, "Alias of contract_committed"),)
    ),
    "dcs": _TableContract(schema.DCS, ("dc",)),
    "waivers": _TableContract(schema.WAIVERS, ("reason_code",)),
}


@dataclass(frozen=True)
class Contracts:
    """What a directory holds, by contract; `rejects` are the rows that no table could take."""

    order_lines: pl.DataFrame
    shipment_lines: pl.DataFrame
    instock_snapshots: pl.DataFrame
    items: pl.DataFrame
    dcs: pl.DataFrame
    waivers: pl.DataFrame
    rejects: pl.DataFrame

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
            rejects=self.rejects.lazy(),
            time_zones=self.time_zones,
        )


def read_directory(path: Path | str, mapping: Path | str | None = None, *, loaded_at: datetime) -> Contracts:
    """Read every table of a directory.

    Args:
        path: holds `<table>.csv` or `<table>.parquet` (or what the mapping names); order_lines and items must exist.
        mapping: a TOML file that says how the company calls and writes tables, columns and values; by default
            `mapping.toml` in the directory, if there is one.
        loaded_at: aware; the `processed_at` of tables that have none.

    Raises:
        PermanentFailure: the directory or the mapping does not exist.
        ContractViolation: a file or column that must be there is not, or a file is not a table.

    """
    directory = Path(path)
    if not directory.is_dir():
        msg = f"{directory} is not a directory"
        raise PermanentFailure(msg)
    mappings = _read_mappings(directory, mapping)
    tables = {
        name: read_table(directory, name, mappings.get(name, TableMapping()), table.moments)
        for name, table in _TABLES.items()
    }
    orders, items = tables["order_lines"], tables["items"]
    if orders is None or items is None:
        absent = " and ".join(f"{name}.csv (or .parquet)" for name in ("order_lines", "items") if tables[name] is None)
        msg = f"{directory}: {absent} is missing; {describe_contents(directory)}"
        raise ContractViolation(msg)
    order_lines, order_rejects, placed = _place_order_lines(orders, loaded_at)
    if (shipments := tables["shipment_lines"]) is not None:
        shipment_lines, shipment_rejects = _place_shipment_lines(shipments, order_lines, loaded_at)
    else:
        shipment_lines, shipment_rejects = _derive_shipments(orders, order_lines, placed), _build_no_rejects()
    snapshots, snapshot_rejects = _place_snapshots(tables["instock_snapshots"])
    item_rows, item_rejects = _check_items(items)
    waivers, waiver_rejects = _check_waivers(tables["waivers"])
    return Contracts(
        order_lines=order_lines,
        shipment_lines=shipment_lines,
        instock_snapshots=snapshots,
        items=item_rows,
        dcs=_check_dcs(tables["dcs"]),
        waivers=waivers,
        rejects=pl.concat(
            [
                *[_build_ragged_rejects(table) for table in tables.values() if table is not None],
                *[order_rejects, shipment_rejects, snapshot_rejects, item_rejects, waiver_rejects],
            ]
        ),
    )


def read_targets(file: Path) -> pl.DataFrame:
    """Read targets: grouping columns, and metrics as shares whether the file has 0.95, 95 or 95 %.

    Raises:
        PermanentFailure: the file does not exist.
        ContractViolation: a column is neither a grouping nor a metric, a value is not a number, a group is there twice.

    """
    if not file.is_file():
        msg = f"targets {file} does not exist"
        raise PermanentFailure(msg)
    table = read_table(file.parent, "targets", TableMapping(file=file.name), [])
    given = table.mapped if table else pl.DataFrame()
    metrics = [name for name in given.columns if name in METRICS]
    key = [name for name in given.columns if name in GROUPINGS]
    if not metrics or len(metrics) + len(key) < given.width:
        msg = (
            f"{file}: columns are {', '.join(given.columns)}; targets have any of {', '.join(GROUPINGS)}, and at least "
        )
        msg += f"one of {', '.join(METRICS)}"
        raise ContractViolation(msg)
    columns = [Column(name, pl.Date if name == "ship_date" else pl.String, "", nullable=True) for name in key]
    columns += [Column(name, pl.Decimal(18, 6), "", nullable=True) for name in metrics]
    bare = given.with_columns(pl.col(metrics).cast(pl.String).str.strip_suffix("%").str.strip_chars())
    typed = parse_frame(bare.lazy(), TableSchema("targets", (), (*columns, _PROBLEM)), table="targets").collect()
    problems = [*typed["problem"].drop_nulls()]
    if key and typed.select(key).is_duplicated().any():
        problems.append(f"the same {', '.join(key)} is there twice")
    if not key and typed.height != 1:
        problems.append("targets for all are one row")
    if problems:
        msg = f"{file}: {'; '.join(problems)}"
        raise ContractViolation(msg)
    return typed.select(*key, *[_to_share(typed[name]) for name in metrics])


def _to_share(metric: pl.Series) -> pl.Series:
    """Convert a column to shares; one with a value above 1 is in percent."""
    highest = metric.max()
    shares = metric / 100 if isinstance(highest, Decimal) and highest > 1 else metric
    return shares.cast(decimals.RATE)


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
    return read_mapping(file, {name: [column.name for column in table.columns] for name, table in _TABLES.items()})


def _place_order_lines(table: RawTable, loaded_at: datetime) -> tuple[pl.DataFrame, pl.DataFrame, pl.Series]:
    """Place the order lines on their days, and return the rejects, and which rows of the table those are."""
    typed = _add_versions(table, _parse_table(table), loaded_at)
    reason = _find_unplaced(table, typed, ["dc", "ship_date", "order_id", "line_no", "processed_at"])
    good, rejects = _split_rejects(table, typed, reason, _line_key_expr())
    return good, rejects, reason.is_null()


def _place_shipment_lines(
    table: RawTable, order_lines: pl.DataFrame, loaded_at: datetime
) -> tuple[pl.DataFrame, pl.DataFrame]:
    promised = (
        order_lines.sort("processed_at", "source_seq", "ship_date")
        .unique(LINE_KEY, keep="last")
        .select(*LINE_KEY, pl.col("ship_date").alias("promised"))
    )
    typed = (
        _add_versions(table, _parse_table(table), loaded_at)
        .join(promised, on=LINE_KEY, how="left", maintain_order="left")
        .with_columns(pl.coalesce("ship_date", "promised", pl.col("shipped_at").dt.date()).alias("ship_date"))
        .drop("promised")
    )
    unplaced = _find_unplaced(table, typed, [*LINE_KEY, "processed_at"])
    no_day = typed.select(
        pl.when(pl.col("ship_date").is_null()).then(pl.lit("no order line for this shipment")).alias("reason")
    ).to_series()
    return _split_rejects(table, typed, unplaced.fill_null(no_day), _line_key_expr())


def _derive_shipments(table: RawTable, order_lines: pl.DataFrame, placed: pl.Series) -> pl.DataFrame:
    """Derive shipments from what order_lines itself says of them; a line without a quantity shipped nothing."""
    if "shipped_qty" not in table.mapped.columns:
        msg = (
            "what was shipped is unknown: there is no shipment_lines file and order_lines has no shipped_qty column "
            "(a shipment_lines file with a header alone says that nothing shipped)"
        )
        raise ContractViolation(msg)
    names = [name for name in (*_SHIPPED_COLUMNS, "uom") if name in table.mapped.columns]
    mapped = table.mapped.filter(placed).select(names)
    typed = parse_frame(mapped.lazy(), schema.SHIPMENT_LINES, table=table.name).collect()
    nothing_said = pl.col("shipped_qty").is_null() & pl.col("problem").is_null()
    shipments = typed.with_columns(
        *order_lines.select(*LINE_KEY, "ship_date", "processed_at", "source_seq").get_columns(),
        pl.when(nothing_said).then(pl.lit(0)).otherwise("shipped_qty").cast(decimals.CASES).alias("shipped_qty"),
    )
    # A credit is rejected as an order line; its negative shipment would be the same reject again.
    credit = (order_lines["ordered_qty"] < 0).fill_null(value=False)
    return shipments.filter(~(credit & (shipments["shipped_qty"] < 0).fill_null(value=False)))


def _place_snapshots(table: RawTable | None) -> tuple[pl.DataFrame, pl.DataFrame]:
    if table is None:
        return schema.INSTOCK_SNAPSHOTS.make_empty().collect(), _build_no_rejects()
    typed = _parse_table(table)
    reason = _find_unplaced(table, typed, ["dc", "snapshot_date"])
    ship_date = {"snapshot_date": "ship_date"}
    return _split_rejects(table, typed.rename(ship_date), reason, pl.col("item"))


def _check_items(table: RawTable) -> tuple[pl.DataFrame, pl.DataFrame]:
    if "fsa" in table.mapped.columns and "contract_committed" not in table.mapped.columns:
        table = replace(table, mapped=table.mapped.rename({"fsa": "contract_committed"}))
    typed = _parse_table(table).with_columns(pl.col("item_type").str.to_uppercase())
    unknown = pl.format("item_type {} is neither STOCK nor FLOW", pl.col("item_type").fill_null("empty"))
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
    return _select_distinct(table, typed, schema.ITEMS, "a later row of the file has the same item and valid_from")


def _check_waivers(table: RawTable | None) -> tuple[pl.DataFrame, pl.DataFrame]:
    if table is None:
        return schema.WAIVERS.make_empty().collect(), _build_no_rejects()
    no_code = pl.when(pl.col("reason_code").is_null()).then(pl.lit("no reason_code"))
    typed = _parse_table(table).with_columns(
        pl.coalesce("problem", no_code).alias("problem"), pl.col("valid_from").fill_null(EARLIEST_DATE)
    )
    return _select_distinct(
        table, typed, schema.WAIVERS, "a later row of the file has the same reason_code and valid_from"
    )


def _check_dcs(table: RawTable | None) -> pl.DataFrame:
    """Check the DCs; a wrong row is an error: a DC in the wrong time zone would be late all year without a cause."""
    if table is None:
        return schema.DCS.make_empty().collect()
    typed = _parse_table(table).with_columns(
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
    return typed.drop("problem")


def _parse_table(table: RawTable) -> pl.DataFrame:
    """Parse the table by its contract, row for row as in the file, with `problem`."""
    given = _TABLES[table.name]
    derived = [column.name for column in given.parsed_schema.columns if column.derived]
    mapped = table.mapped.drop(derived, strict=False).lazy()
    return parse_frame(mapped, given.parsed_schema, table=table.name, required=given.required).collect()


def _add_versions(table: RawTable, typed: pl.DataFrame, loaded_at: datetime) -> pl.DataFrame:
    """Add the version of each row: all the same without `processed_at`; a row that lacks only its own has no place."""
    if "processed_at" not in table.mapped.columns:
        typed = typed.with_columns(pl.lit(loaded_at).cast(TIMESTAMP).alias("processed_at"))
    return typed.with_columns(pl.col("source_seq").fill_null(0))


def _find_unplaced(table: RawTable, typed: pl.DataFrame, key: Sequence[str]) -> pl.Series:
    """Find why a row has no place: what of its key is empty or could not be read; null where it has one."""
    empty = [pl.when(pl.col(name).is_null()).then(pl.lit(f"no {name}")) for name in key if name in table.mapped.columns]
    reasons = table.mapped.select(
        pl.concat_str(empty, separator="; ", ignore_nulls=True).replace("", None).alias("empty")
    )
    return (
        typed.with_columns(reasons)
        .select(
            pl.when(pl.any_horizontal(pl.col(name).is_null() for name in key))
            .then(pl.concat_str("problem", "empty", separator="; ", ignore_nulls=True))
            .alias("reason")
        )
        .to_series()
    )


def _select_distinct(
    table: RawTable, typed: pl.DataFrame, contract: TableSchema, doubled: str
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Select rows without a problem, the last of each key; the others are rejects."""
    # Rows with a problem must not outdo a good one: each is alone under its own row number.
    rows = typed.with_row_index("row").with_columns(pl.when(pl.col("problem").is_not_null()).then("row").alias("row"))
    last = rows.select(pl.struct(*contract.key, "row").is_last_distinct()).to_series()
    reason = typed["problem"].fill_null(pl.select(pl.when(~last).then(pl.lit(doubled)).alias("reason")).to_series())
    good, rejects = _split_rejects(table, typed, reason, pl.col(contract.key[0]))
    return good.drop("problem"), rejects


def _split_rejects(
    table: RawTable, typed: pl.DataFrame, reason: pl.Series, key: pl.Expr
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split rows without a reason from those with one, which become `REJECTS` with the row as it came."""
    wrong = reason.is_not_null()
    bad = typed.filter(wrong)
    came = table.original.filter(wrong).select(pl.struct(pl.all()).struct.json_encode().alias("raw"))
    rejects = bad.select(
        pl.lit(table.name).alias("table"),
        *[pl.col(name) if name in bad.columns else pl.lit(None).alias(name) for name in ("dc", "ship_date")],
        key.alias("key"),
        reason.filter(wrong).alias("reason"),
        came["raw"],
    )
    return typed.filter(~wrong), schema.REJECTS.conform(rejects.lazy()).collect()


def _build_ragged_rejects(table: RawTable) -> pl.DataFrame:
    return pl.DataFrame(
        [(table.name, None, None, key, reason, raw) for key, reason, raw in table.ragged],
        schema=schema.REJECTS.polars,
        orient="row",
    )


def _line_key_expr() -> pl.Expr:
    return pl.concat_str("order_id", "line_no", separator="/", ignore_nulls=True)


def _build_no_rejects() -> pl.DataFrame:
    return schema.REJECTS.make_empty().collect()
