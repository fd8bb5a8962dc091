"""Why a recommendation is what it is, in one sentence whose numbers can be multiplied by hand."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import polars as pl

from fillrate_assets.core.decimals import format_cases, format_percent

_LIMITS: Final = {
    "MINIMUM_ORDER": "the minimum order",
    "SHELF_LIFE": "no more than sells within the shelf life",
    "MINIMUM_BEYOND_SHELF_LIFE": "the minimum order would outlast the shelf life",
}


@dataclass(frozen=True)
class LostOutOfStock:
    """Cases that an item lost at a DC while it was out of stock, over a time that has a name."""

    period: str
    confirmed_cases: Decimal
    estimated_cases: Decimal


def explain_recommendation(row: Mapping[str, Any], lost: LostOutOfStock | None = None) -> str:
    """Explain one of `RECOMMENDATIONS`: level, forecast, like cases, gap, order, and what is a default.

    Args:
        row: its columns.
        lost: what being out of stock cost before, if it is known.

    """
    parts = [*_explain_level(row)]
    if row["reason"] is None:
        parts += [*_explain_gap(row)]
    if lost is not None:
        total = lost.confirmed_cases + lost.estimated_cases
        parts.append(
            f"{lost.period} being out of stock cost {format_cases(total)} cases"
            f" ({format_cases(lost.confirmed_cases)} confirmed, {format_cases(lost.estimated_cases)} estimated)"
        )
    if row["defaulted"] is not None:
        parts.append(f"defaults of the DC: {row['defaulted']}")
    if row["on_hand_source"] == "SNAPSHOT":
        parts.append("on hand as the instock record has it")
    if row["rejected"] is not None:
        parts.append(f"in doubt, for rows were rejected: {row['rejected']}")
    return "; ".join(parts)


def _explain_level(row: Mapping[str, Any]) -> Iterator[str]:
    match row["reason"]:
        case "NO_LEVEL":
            yield "no number: in stock on fewer than 3 ship days of the 28 days before"
            return
        case "NO_DEMAND":
            yield "no number: nothing was ordered on the days in stock of the 28 days before"
            return
    yield (
        f"usual {format_cases(row['level_cases'])} a day x {format_cases(row['period_weight'])} for"
        f" {row['period_ship_days']} ship days by their weekdays = {format_cases(row['forecast_cases'])}"
    )
    if row["reason"] == "FEW_ERRORS":
        yield (
            f"no number: {row['errors']:,} like cases, and a service of {format_percent(row['quantile'])} takes"
            f" {count_needed_errors(row['quantile']):,}"
        )
        return
    yield (
        f"in {format_cases(row['quantile'] * 100)} of 100 like cases no more than {format_cases(row['ratio'])} times"
        f" that came: {format_cases(row['order_up_to_cases'])}"
    )


def _explain_gap(row: Mapping[str, Any]) -> Iterator[str]:
    if row["gap_cases"] is None:
        yield "on hand is not known, so neither is the gap"
        return
    position = format_cases(row["on_hand_cases"] + (row["on_order_cases"] or 0))
    what = "on hand and on order" if row["on_order_cases"] is not None else "on hand, on order not known:"
    if row["gap_cases"] == 0:
        yield f"{what} {position}: enough"
        return
    yield f"{what} {position}: short {format_cases(row['gap_cases'])}"
    yield f"if it stays so, {format_cases(row['expected_lost_cases'])} more are lost in {row['protection_days']} days"
    limit = f", {_LIMITS[row['order_limit']]}" if row["order_limit"] is not None else ""
    yield f"order {format_cases(row['order_cases'])}{limit}"


def count_needed_errors(quantile: Decimal) -> int:
    """Count the errors that a class needs for a quantile: the least n of which q (n + 1), rounded up, is no more."""
    return math.ceil(quantile / (1 - quantile))


_DONE: Final = {"ACCEPTED": "accepted", "CHANGED": "changed", "REFUSED": "refused"}


def describe_decision(row: Mapping[str, Any]) -> str:
    """Describe a row of `DECISION_LOG`: what, who and when, how much instead, and why."""
    at = f"{row['decided_at']:%Y-%m-%d %H:%M} UTC"
    cases = f"{format_cases(row['ordered_cases'])} ordered, {format_cases(row['recommended_cases'])} recommended"
    why = f": {row['reason']}" if row["reason"] else ""
    return f"{_DONE[row['decision']]} by {row['decided_by']}, {at}; {cases}{why}"


def describe_decisions(log: pl.DataFrame) -> Iterator[str]:
    """Describe the decisions about a recommendation, the latest last, which counts."""
    for row in log.sort("decided_at").iter_rows(named=True):
        yield describe_decision(row)
