"""The history of items at DCs: days that they were short, what was ordered and shipped each day, and their lines."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Final

import polars as pl

from fillrate_assets.core.decimals import to_cases, to_units
from fillrate_assets.fillrate import schema
from fillrate_assets.storage.lake import Lake

CHRONIC_DAYS: Final = 28
"""Ship days of a DC in which an item is counted as short or not."""

_SEARCHED_DAYS: Final = 60
"""Calendar days that hold so many ship days, unless the DC was closed for weeks."""


def read_chronic_items(
    lake: Lake,
    last: date,
    dcs: Sequence[str] | None,
    filters: Sequence[pl.Expr] = (),
    limit: int | None = None,
) -> pl.DataFrame:
    """Read on how many of its DC's last 28 ship days each item lost cases, most days first.

    Args:
        lake: where the records are.
        last: last ship date that counts.
        dcs: only these; None: all.
        filters: of `LOST_CASES`: only these records count.
        limit: how many to return.

    Returns:
        dc, item, description, vendor, days_short, ship_days (of the DC, with records), lost_cases, last_short.

    """
    first = date.fromordinal(last.toordinal() - _SEARCHED_DAYS)
    records = lake.scan(schema.LOST_CASES, dcs, first, last)
    days = (
        records.select("dc", "ship_date")
        .unique()
        .filter(pl.col("ship_date").rank("dense", descending=True).over("dc") <= CHRONIC_DAYS)
    )
    counted = days.group_by("dc").agg(pl.len().cast(pl.Int64).alias("ship_days"))
    described = lake.read_whole(schema.ITEMS).sort("valid_from").group_by("item").agg(pl.col("description").last())
    key = ["dc", "item"]
    short = (
        records.filter(pl.col("lost_cases") > 0, *filters)
        .join(days, on=["dc", "ship_date"], how="semi")
        .group_by(key)
        .agg(
            pl.col("vendor").sort_by("ship_date").last(),
            pl.len().cast(pl.Int64).alias("days_short"),
            to_cases(to_units("lost_cases").sum()).alias("lost_cases"),
            pl.col("ship_date").max().alias("last_short"),
        )
        .sort("days_short", "lost_cases", *key, descending=[True, True, False, False])
    )
    return (
        (short if limit is None else short.head(limit))
        .join(counted, on="dc", how="left", maintain_order="left")
        .join(described, on="item", how="left", maintain_order="left")
        .select(*key, "description", "vendor", "days_short", "ship_days", "lost_cases", "last_short")
        .collect()
    )


def read_item_days(lake: Lake, dc: str, item: str, first: date, last: date) -> pl.DataFrame:
    """Read the days of an item at a DC: those of `ITEM_DAYS`, with what its records say beside them; oldest first.

    Returns:
        ship_date, instock, lines, ordered_cases, shipped_cases; of the record, else null: path, reason_code,
        baseline_cases, confirmed_cases, estimated_cases, lost_cases, contract_lost_cases.

    """
    of_record = (
        "path",
        "reason_code",
        "baseline_cases",
        "confirmed_cases",
        "estimated_cases",
        "lost_cases",
        "contract_lost_cases",
    )
    item_days, records = (
        lake.scan(table, [dc], first, last).filter(pl.col("item") == item)
        for table in (schema.ITEM_DAYS, schema.LOST_CASES)
    )
    return (
        item_days.select("ship_date", "instock", "lines", "ordered_cases", "shipped_cases")
        .join(records.select("ship_date", *of_record), on="ship_date", how="left")
        .sort("ship_date")
        .collect()
    )


def read_ship_days(lake: Lake, dc: str, first: date, last: date) -> set[date]:
    """Read the days on which a DC had counted order lines."""
    lines = lake.scan(schema.ITEM_DAYS, [dc], first, last).filter(pl.col("lines") > 0)
    return set(lines.select(pl.col("ship_date").unique()).collect()["ship_date"])


def read_lines(lake: Lake, dc: str, item: str, first: date, last: date) -> pl.DataFrame:
    """Read the order and shipment lines of an item at a DC, as `CLASSIFIED_LINES`."""
    lines = lake.scan(schema.CLASSIFIED_LINES, [dc], first, last)
    key = ["ship_date", "source_table", "order_id", "line_no", "disposition"]
    return lines.filter(pl.col("item") == item).sort(key, nulls_last=True).collect()


def describe_item(lake: Lake, item: str) -> dict[str, str | None]:
    """Describe an item as the latest row of its master does: description, vendor, department, item_type; or nothing."""
    rows = lake.read_whole(schema.ITEMS).filter(pl.col("item") == item).sort("valid_from").tail(1)
    found = rows.select("description", "vendor", "department", "item_type").collect()
    return found.row(0, named=True) if found.height else {}
