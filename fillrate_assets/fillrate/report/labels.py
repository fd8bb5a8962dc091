"""Labels of numbers, paths and codes as people read them. No layout of a page or table belongs here."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from itertools import groupby
from typing import Final

import polars as pl

from fillrate_assets.core import decimals, text_table
from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.fillrate.rules.quality_gate import GateLimits
from fillrate_assets.fillrate.schema import ORDERS_WITH_ITEMS

PATHS: Final = {
    "STOCK_IN": "in stock, yet short",
    "STOCK_OUT": "out of stock",
    "FLOW": "flow item: inbound or vendor short",
    "MISSING": "no instock record",
}

MAX_REASON: Final = 200
"""Characters of a reject's reason that are shown: it may hold a value of any length."""

DEFINITIONS: Final = {
    "Ordered": "Cases on counted lines: not customer-cancelled, backorder, blanket, drop-ship, credit or return lines.",
    "Shipped": "Cases shipped, per line at most what it ordered: an over-shipment never hides a short.",
    "Case fill": "Shipped / ordered cases.",
    "Line fill": "Lines shipped complete / lines.",
    "Order fill": "Orders with every line complete / orders.",
    "On time": "Orders with every line on time / orders of which it is known.",
    "OTIF": "Orders complete and on time / orders of which it is known.",
    "Orders with its items": "By department, vendor, item, path, reason: orders are judged by their lines of it alone.",
    "Confirmed": "Ordered and not shipped.",
    "Estimated": "While out of stock: what was to be expected that day, above what was ordered, by one of two methods.",
    "Method 1": "Expects the mean daily orders on in-stock ship days of the last 7.",
    "Method 2": (
        "Expects a mean steadied by 28 days, times weekday and what sold at other DCs; adds nothing where something"
        " shipped, and is scaled so that it is not biased."
    ),
    "Lost": "Confirmed + estimated. Not by customer: demand that was not ordered has no customer.",
    "STOCK_IN": "The record says in stock, yet the order was short.",
    "STOCK_OUT": "The record says out of stock.",
    "FLOW": "A flow item (received and re-sorted, never put away): inbound or vendor short.",
    "MISSING": "A stocked item without an instock record on a day that has a snapshot.",
    "Held": "The day's feeds are in doubt: it has service metrics, but no lost cases.",
    "Doubtful": "So many of the day's rows were rejected that its numbers say little.",
    "Rejected": "Rows that could not be used; no number has them.",
}

LIMITATIONS: Final = (
    "Customers who re-order cut cases inflate what was ordered on consecutive out-of-stock days.",
    "Deferred demand is not netted: a case that is re-ordered and shipped later was still lost on its day.",
    "Bulk orders inflate the rolling average, and with it what is estimated.",
    "The time of day at which the instock snapshot is taken, relative to picking, matters.",
)
"""What no record can show (methodology, "What the records disclose")."""

REASONS: Final = {
    "01": "out of stock",
    "07": "inventory discrepancy",
    "09": "substitution",
    "11": "loading error",
    "12": "inbound carrier failure",
    "13": "allocation exceeded",
    "17": "discontinued",
    "23": "not stocked at the shipping location",
    "ZZ": "other",
}
"""X12 element 892."""

METRICS: Final = {
    "case_fill_rate": "Case fill",
    "line_fill_rate": "Line fill",
    "order_fill_rate": "Order fill",
    "on_time_rate": "On time",
    "otif_rate": "OTIF",
}

HEADINGS: Final = {
    "dc": "DC",
    "ship_date": "Ship date",
    "path": "Path",
    "reason": "Reason",
    "lines": "Lines",
    "orders": "Orders",
    "ordered_cases": "Ordered",
    "shipped_cases": "Shipped",
    **METRICS,
    "orders_timed": "On time known",
    "order_basis": "Orders are",
    "lost_cases": "Lost",
    "confirmed_cases": "Confirmed",
    "estimated_cases": "Estimated",
    "contract_lost_cases": "Lost on contract",
    "not_shipped_cases": "Not shipped",
    "item_days": "Item-days lost",
    "baseline_cases": "Baseline",
    "reason_code": "Mostly because",
    "share": "Share of DC",
    **{path.lower(): path for path in PATHS},
}


_OF_ORDERS: Final = ("order_fill_rate", "on_time_rate", "otif_rate")
_SUFFIXES: Final = {"_target": "target", "_gap": "gap", "_before": "before", "_change": "change"}


def format_heading(column: str, *, parted: bool = False) -> str:
    """Format a column's name as people read it: 'On time', 'OTIF target', 'Department'.

    Args:
        column: its name.
        parted: whether a group holds parts of orders, so that its metrics are not those of whole orders.

    """
    for suffix, noun in _SUFFIXES.items():
        if column.endswith(suffix):
            return f"{format_heading(column.removesuffix(suffix), parted=parted)} {noun}"
    heading = HEADINGS.get(column) or column.replace("_", " ").capitalize()
    if parted and column == "orders":
        return ORDERS_WITH_ITEMS.capitalize()
    return f"{heading}, {ORDERS_WITH_ITEMS}" if parted and column in _OF_ORDERS else heading


def format_table(table: str) -> str:
    """Format the name of a source table: 'order lines'."""
    return table.replace("_", " ")


def find_nearest(name: str, known: Collection[str]) -> str | None:
    """Find the known name that is most like one that is not known; leading zeros, case and blanks count least."""
    plain = {_plain(each): each for each in sorted(known, reverse=True)}
    if not plain:
        return None
    if same := plain.get(_plain(name)):
        return same
    return plain[difflib.get_close_matches(_plain(name), plain, n=1, cutoff=0)[0]]


def _plain(name: str) -> str:
    bare = re.sub(r"[\s_-]+", "", name).casefold()
    return bare.lstrip("0") or bare


def format_cases(value: Decimal, places: int | None = None) -> str:
    """Format a quantity with thousands separators and one decimal, or none where it is whole: '1,234.5', '38'."""
    if places is None:
        places = 0 if value == value.to_integral_value() else 1
    return f"{value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP):,}"


def format_percent(rate: Decimal | None) -> str:
    """Format a share as '96.59 %'; '-' where there is none."""
    return decimals.format_percent(rate, 2)


def format_reason(code: str | None) -> str:
    """Format a reason code with its meaning: '01 out of stock'."""
    if code is None:
        return "none given"
    return f"{code} {REASONS[code]}" if code in REASONS else f"{code} (not in X12 element 892)"


def format_count(number: int, noun: str) -> str:
    """Format a number with its noun: '1 day', '2,345 days'."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def format_days_by_reason(days: Mapping[PartitionKey, str], what: str = "held") -> list[str]:
    """Format one line per DC and kind of reason: which days are held, or doubtful, and why."""
    rows: Iterable[tuple[str, str, date, str]] = sorted(
        (dc, re.sub(r"\d[\d,.]*", "0", reason), day, reason) for (dc, day), reason in days.items()
    )
    lines = []
    for (dc, _), group in groupby(rows, key=lambda row: row[:2]):
        dates, reasons = zip(*[(day, reason) for *_, day, reason in group], strict=True)
        span = str(dates[0]) if len(dates) == 1 else f"{len(dates)} ship dates from {dates[0]} to {dates[-1]}"
        why = reasons[0] if len(set(reasons)) == 1 else f"{reasons[0]}, or the like"
        lines.append(f"{what}: {dc}, {span}: {why}")
    return lines


def format_summary(records: pl.DataFrame, rejects: int, held_days: int) -> list[str]:
    """Format what a calculation found, as aligned lines: records, lost cases by path, rejects, held days."""
    quantities = ["confirmed_cases", "estimated_cases", "lost_cases"]
    paths = {path: records.filter(pl.col("path") == path) for path in PATHS}
    rows = [
        ("lost", *_sum_quantities(records, quantities), ""),
        *[(f"  {path}", *_sum_quantities(part, quantities), PATHS[path]) for path, part in paths.items()],
    ]
    numbers = ["confirmed", "estimated", "lost"]
    days = records.select("dc", "ship_date").n_unique()
    dcs = records["dc"].n_unique()
    return [
        f"{format_count(records.height, 'record')} of {format_count(days, 'ship day')} of {format_count(dcs, 'DC')}",
        "",
        *text_table.format_table(["cases", *numbers, ""], rows, numbers=numbers),
        "",
        f"{format_count(rejects, 'row')} rejected, {format_count(held_days, 'ship day')} of a DC held",
    ]


def format_gate(limits: GateLimits) -> str:
    """Format above which shares a day is held, and whether settings say so."""
    usual = GateLimits()
    settings = {
        "max_reject_share": ("rejected rows", limits.reject_share, usual.reject_share),
        "max_credit_share": ("credits", limits.credit_share, usual.credit_share),
        "max_missing_share": ("items without a snapshot", limits.missing_share, usual.missing_share),
    }
    shares = ", ".join(f"{decimals.format_percent(share)} {what}" for what, share, _ in settings.values())
    changed = [f"FILLRATE_HEALTH__{name.upper()}" for name, (_, share, default) in settings.items() if share != default]
    return f"quality gate: a day is in doubt above {shares} ({' and '.join(changed) or 'the defaults'})"


def _sum_quantities(records: pl.DataFrame, quantities: list[str]) -> list[str]:
    return [format_cases(Decimal(str(records[name].sum())), 1) for name in quantities]
