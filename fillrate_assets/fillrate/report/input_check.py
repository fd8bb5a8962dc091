"""Check of a directory of files before anything is computed from it: what became of each row, and which days hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.core.shown_text import escape_controls
from fillrate_assets.core.text_table import format_table
from fillrate_assets.fillrate.report import labels
from fillrate_assets.fillrate.rules.item_days import select_latest_snapshots
from fillrate_assets.fillrate.rules.pipeline import calculate
from fillrate_assets.fillrate.rules.quality_gate import GateLimits
from fillrate_assets.fillrate.rules.row_versions import TWICE
from fillrate_assets.fillrate.rules.shipments import PARTS_EXCEED
from fillrate_assets.fillrate.sources.contract_files import Contracts

_MOST_REASONS: Final = 20


@dataclass(frozen=True)
class TableCheck:
    """What became of the rows of one table: they are used, excluded, rejected or superseded, each exactly once."""

    table: str
    read: int
    used: int
    excluded: int
    rejected: int
    superseded: int


@dataclass(frozen=True)
class InputCheck:
    """What a directory of files would give."""

    tables: tuple[TableCheck, ...]
    reasons: pl.DataFrame
    """table, what (excluded, rejected, counted in doubt, there twice), reason, rows; the commonest first."""

    matched_shipments: int
    """Shipment lines that name an order line of the files."""

    shipments: int
    held: Mapping[PartitionKey, str]
    doubtful: Mapping[PartitionKey, str]
    notes: tuple[str, ...]
    gate: GateLimits


def check_contracts(contracts: Contracts) -> InputCheck:
    """Check what was read from files."""
    calculation = calculate(contracts.inputs)
    # A counted line has a reason where a time of it could not be read.
    listed = (pl.col("disposition") != "COUNTED") | (
        pl.col("reason").is_not_null() & (pl.col("reason") != PARTS_EXCEED)
    )
    judged = (
        calculation.lines.filter(listed)
        .group_by("source_table", "disposition", "reason")
        .len("rows")
        .rename({"source_table": "table"})
    )
    at_the_door = contracts.rejects.group_by("table", "reason").len("rows")
    reasons = pl.concat(
        [judged, at_the_door.with_columns(pl.lit("REJECTED").alias("disposition"))], how="diagonal"
    ).filter((pl.col("disposition") != "SUPERSEDED") | (pl.col("reason") == TWICE))
    tables = [_check_table(contracts, calculation.lines, name, reasons.filter(table=name)) for name in contracts.counts]
    by_mapping = [
        ("EXCLUDED", name, "left out by the mapping", count.excluded)
        for name, count in contracts.counts.items()
        if count.excluded
    ]
    excluded = pl.DataFrame(
        by_mapping,
        schema={"disposition": pl.String, "table": pl.String, "reason": pl.String, "rows": reasons.schema["rows"]},
        orient="row",
    )
    key = [name for name in ("dc", "order_id", "line_no") if name in contracts.order_lines.columns]
    matched = contracts.shipment_lines.join(contracts.order_lines.select(key).unique(), on=key, how="semi")
    return InputCheck(
        tuple(tables),
        pl.concat([reasons, excluded], how="diagonal").sort("rows", "table", "reason", descending=[True, False, False]),
        matched.height,
        contracts.shipment_lines.height,
        calculation.held,
        calculation.doubtful,
        contracts.notes,
        contracts.gate,
    )


def format_check(check: InputCheck) -> list[str]:
    """Format a check as lines: a table of the tables, the reasons, the days that would be held."""
    numbers = ("rows", "used", "excluded", "rejected", "superseded")
    rows = [
        [each.table, *[f"{n:,}" for n in (each.read, each.used, each.excluded, each.rejected, each.superseded)]]
        for each in check.tables
    ]
    lines = format_table(["table", *numbers], rows, numbers=numbers)
    share = f" of {check.shipments:,}" if check.shipments else ""
    lines += ["", f"matched shipments: {check.matched_shipments:,}{share}"]
    for disposition, table, reason, rows in (
        check.reasons.select("disposition", "table", "reason", "rows").head(_MOST_REASONS).iter_rows()
    ):
        lines.append(f"  {rows:>8,}  {disposition.lower()}, {table}: {reason or 'no reason'}")
    if check.reasons.height > _MOST_REASONS:
        lines.append(f"            and {check.reasons.height - _MOST_REASONS:,} more reasons")
    lines += ["", *labels.format_days_by_reason(check.held), *labels.format_days_by_reason(check.doubtful, "doubtful")]
    if not check.held and not check.doubtful:
        lines.append("no day is held or doubtful")
    lines.append(labels.format_gate(check.gate))
    return [*map(escape_controls, [*lines, *[f"note: {note}" for note in check.notes]])]


def _check_table(contracts: Contracts, classified: pl.DataFrame, name: str, reasons: pl.DataFrame) -> TableCheck:
    counts = contracts.counts[name]
    rejected = int(reasons.filter(disposition="REJECTED")["rows"].sum())
    of_table = classified.filter(source_table=name)
    excluded = counts.excluded + of_table.filter(disposition="EXCLUDED").height
    superseded = counts.superseded + of_table.filter(disposition="SUPERSEDED").height
    if name == "order_lines":
        used = of_table.filter(disposition="COUNTED").height
    elif name == "shipment_lines":
        used = int(classified["shipments"].sum())
    elif name == "instock_snapshots":
        used = select_latest_snapshots(contracts.instock_snapshots.lazy()).collect().height
        usable = contracts.instock_snapshots.height - of_table.filter(disposition="REJECTED").height
        superseded += usable - used
    else:
        used = getattr(contracts, name).height
    return TableCheck(name, counts.read, used, excluded, rejected, superseded)
