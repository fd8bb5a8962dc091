"""The history of items at DCs: days that they were short, what was ordered and shipped each day, and their lines."""

# ruff: noqa: S608 - what is formatted are names of this module; values are bound

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

import polars as pl

from fillrate_assets.core.decimals import CASES
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.report.fact_queries import FactQueries, select_descriptions
from fillrate_assets.storage.lake import Lake

CHRONIC_DAYS: Final = 28
"""Ship days of a DC in which an item is counted as short or not."""

_SEARCHED_DAYS: Final = 60
"""Calendar days that hold so many ship days, unless the DC was closed for weeks."""


def find_chronic_days(last: date) -> tuple[date, date]:
    """Find the first and the last ship date of what `rank_chronic_items` looks through."""
    return last - timedelta(days=_SEARCHED_DAYS), last


def rank_chronic_items(facts: FactQueries, items: pl.LazyFrame, limit: int | None = None) -> pl.DataFrame:
    """Rank items by how many of their DC's last 28 ship days they lost cases on, most days first.

    Args:
        facts: of the days that `find_chronic_days` returns; their filters say which records count, but for customers,
            which records do not have.
        items: `ITEMS`, for the latest description.
        limit: rows to return.

    Returns:
        dc, item, description, vendor, days_short, ship_days (of the DC, with records), lost_cases, last_short.

    """
    key = ["dc", "item"]
    days = facts.retain().query(
        "SELECT DISTINCT dc, ship_date FROM {} WHERE records > 0", ("day_facts", ["dc", "ship_date"], ["records"])
    )
    counted = (
        days.filter(pl.col("ship_date").rank("dense", descending=True).over("dc") <= CHRONIC_DAYS)
        .group_by("dc")
        .agg(pl.len().cast(pl.Int64).alias("ship_days"), pl.col("ship_date").min().alias("since"))
        .sort("dc")
    )
    since = {f"dc_{number}": row for number, row in enumerate(counted.rows(named=True))}
    of_dcs = [f"dc = ${name} AND ship_date >= ${name}_since" for name in since]
    short = facts.retain(*(name for name in facts.filters if name != "customer")).query(
        f"""SELECT dc, item, arg_max_null(vendor, ship_date) AS vendor, sum(item_days)::BIGINT AS days_short,
            sum(lost_cases) AS lost_cases, max(ship_date) AS last_short
            FROM {{}} WHERE lost_cases > 0 AND ({" OR ".join(of_dcs) or "FALSE"}) GROUP BY ALL
            ORDER BY days_short DESC, lost_cases DESC, dc, item LIMIT $limit""",
        ("item_facts", [*key, "ship_date"], ["vendor", "item_days", "lost_cases"]),
        limit=limit,
        **{name: row["dc"] for name, row in since.items()},
        **{f"{name}_since": row["since"] for name, row in since.items()},
    )
    described = select_descriptions(items).collect()
    return (
        short.with_columns(pl.col("lost_cases").cast(CASES))
        .join(counted, on="dc", how="left", maintain_order="left")
        .join(described, on="item", how="left", maintain_order="left")
        .select(*key, "description", "vendor", "days_short", "ship_days", "lost_cases", "last_short")
    )


def read_item_days(lake: Lake, dc: str, item: str, first: date, last: date) -> pl.DataFrame:
    """Read the days of an item at a DC: those of `ITEM_DAYS`, with what its records say beside them; oldest first.

    Returns:
        ship_date, instock, lines, ordered_cases, shipped_cases; of the record, else null: path, reason_code,
        baseline_cases, confirmed_cases, estimated_cases, lost_cases, contract_lost_cases, method_version,
        method_1_cases, method_2_cases.

    """
    of_record = (
        "path",
        "reason_code",
        "baseline_cases",
        "confirmed_cases",
        "estimated_cases",
        "lost_cases",
        "contract_lost_cases",
        "method_version",
        "method_1_cases",
        "method_2_cases",
    )
    # Stock and baseline of an item-day, or its lines, are in no fact table: of one DC, these days are few files.
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
