"""What contract-committed vendors owe: lost cases that count on their contract, what is waived, and the lines of both.

Which cases count is decided by `rules.lost_cases`; here they are selected and added up.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Final

import polars as pl

from fillrate_assets.core.decimals import to_cases, to_rate, to_units
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.report.fact_queries import select_descriptions
from fillrate_assets.storage.lake import Lake

COUNTS, WAIVED, ELSEWHERE = "counts", "waived", "not supply"
"""What becomes of lost cases of a committed item: they count on the contract or are waived, or supply is no cause."""

_ITEM_DAY: Final = ["dc", "ship_date", "item"]


def read_contract_vendors(lake: Lake, first: date, last: date, dcs: Sequence[str] | None = None) -> pl.DataFrame:
    """Read what each committed vendor lost on its contract, most first.

    Returns:
        vendor, items (committed and ordered or lost), ordered_cases, shipped_cases, case_fill_rate, lost_cases,
        contract_lost_cases, waived_cases, contract_share (of what was ordered), item_days (that count).

    """
    ordered, shipped, counted = to_units("ordered_cases"), to_units("shipped_cases"), to_units("contract_lost_cases")
    lost, outcome = to_units("lost_cases"), _outcome_expr()
    return (
        _scan_committed(lake, first, last, dcs)
        .group_by("vendor")
        .agg(
            pl.col("item").n_unique().cast(pl.Int64).alias("items"),
            ordered.sum().alias("o"),
            shipped.sum().alias("s"),
            lost.sum().alias("l"),
            counted.sum().alias("c"),
            lost.filter(outcome == WAIVED).sum().alias("w"),
            (counted > 0).sum().cast(pl.Int64).alias("item_days"),
        )
        .select(
            "vendor",
            "items",
            to_cases(pl.col("o")).alias("ordered_cases"),
            to_cases(pl.col("s")).alias("shipped_cases"),
            to_rate(pl.col("s"), pl.col("o")).alias("case_fill_rate"),
            to_cases(pl.col("l")).alias("lost_cases"),
            to_cases(pl.col("c")).alias("contract_lost_cases"),
            to_cases(pl.col("w")).alias("waived_cases"),
            to_rate(pl.col("c"), pl.col("o")).alias("contract_share"),
            "item_days",
        )
        .sort("contract_lost_cases", "vendor", descending=[True, False], nulls_last=True)
        .collect()
    )


def read_contract_days(
    lake: Lake, vendor: str | None, first: date, last: date, dcs: Sequence[str] | None = None
) -> pl.DataFrame:
    """Read the items and days on which a vendor's committed items lost cases, and what becomes of these.

    Returns:
        dc, ship_date, item, description, outcome, path, reason_code, ordered_cases, shipped_cases, baseline_cases,
        lost_cases, contract_lost_cases; those that count first, most lost first.

    """
    described = select_descriptions(lake.read_whole(schema.ITEMS))
    quantities = ["ordered_cases", "shipped_cases", "baseline_cases", "lost_cases", "contract_lost_cases"]
    return (
        _scan_committed(lake, first, last, dcs)
        .filter(pl.col("vendor").eq_missing(pl.lit(vendor)), pl.col("lost_cases") > 0)
        .with_columns(_outcome_expr().alias("outcome"))
        .join(described, on="item", how="left")
        .sort("contract_lost_cases", "lost_cases", *_ITEM_DAY, descending=[True, True, False, False, False])
        .select(*_ITEM_DAY, "description", "outcome", "path", "reason_code", *quantities)
        .collect()
    )


def read_contract_lines(lake: Lake, days: pl.DataFrame) -> pl.DataFrame:
    """Read the order lines that were short on some item-days: they prove what was lost.

    Args:
        lake: where the lines are.
        days: dc, ship_date and item.

    Returns:
        dc, ship_date, item, order_id, line_no, customer, ordered_cases, shipped_cases, short_cases, reason_code.

    """
    if days.is_empty():
        return schema.CLASSIFIED_LINES.make_empty().collect().select(*_ITEM_DAY, "order_id").clear()
    first, last = days["ship_date"].min(), days["ship_date"].max()
    assert isinstance(first, date) and isinstance(last, date)  # noqa: PT018, S101 - there are some
    short = to_cases(to_units("ordered_cases") - to_units("shipped_cases"))
    return (
        lake.scan(schema.CLASSIFIED_LINES, days["dc"].unique().sort().to_list(), first, last)
        .filter(pl.col("disposition") == "COUNTED", pl.col("shipped_cases") < pl.col("ordered_cases"))
        .join(days.lazy().select(_ITEM_DAY), on=_ITEM_DAY, how="semi")
        .with_columns(short.alias("short_cases"))
        .select(
            *_ITEM_DAY,
            "order_id",
            "line_no",
            "customer",
            "ordered_cases",
            "shipped_cases",
            "short_cases",
            "reason_code",
        )
        .sort(*_ITEM_DAY, "order_id", "line_no")
        .collect()
    )


def _scan_committed(lake: Lake, first: date, last: date, dcs: Sequence[str] | None) -> pl.LazyFrame:
    # Fact tables add up item-days without telling which were committed and which a waiver covers.
    return lake.scan(schema.LOST_CASES, dcs, first, last).filter("contract_committed")


def _outcome_expr() -> pl.Expr:
    by_supply = pl.col("path").is_in(["STOCK_OUT", "FLOW"]) | pl.col("imputed")
    return (
        pl.when(pl.col("contract_lost_cases") > 0)
        .then(pl.lit(COUNTS))
        .when(by_supply)
        .then(pl.lit(WAIVED))
        .otherwise(pl.lit(ELSEWHERE))
    )
