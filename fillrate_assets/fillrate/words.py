"""How numbers, paths and codes read to people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from itertools import groupby
from typing import Final

import polars as pl

PATHS: Final = {
    "STOCK_IN": "in stock, yet short",
    "STOCK_OUT": "out of stock",
    "FLOW": "flow item: inbound or vendor short",
    "MISSING": "no instock record",
}

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


def cases(value: Decimal, places: int | None = None) -> str:
    """A quantity with thousands separators and one decimal, or none where it is whole: '1,234.5', '38'."""
    if places is None:
        places = 0 if value == value.to_integral_value() else 1
    return f"{value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP):,}"


def percent(rate: Decimal | None) -> str:
    """A share as '96.59 %'; '-' where there is none."""
    return "-" if rate is None else f"{rate * 100:,.2f} %"


def reason(code: str | None) -> str:
    """A reason code with its meaning: '01 out of stock'."""
    if code is None:
        return "none given"
    return f"{code} {REASONS[code]}" if code in REASONS else f"{code} (not in X12 element 892)"


def count(number: int, noun: str) -> str:
    """'1 day', '2,345 days'."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def held(days: Mapping[tuple[str, date], str]) -> list[str]:
    """One line per DC and reason: which days are held and why."""
    by_reason: Iterable[tuple[str, str, date]] = sorted((dc, reason, day) for (dc, day), reason in days.items())
    lines = []
    for (dc, why), group in groupby(by_reason, key=lambda row: row[:2]):
        dates = [day for *_, day in group]
        span = str(dates[0]) if len(dates) == 1 else f"{len(dates)} ship dates from {dates[0]} to {dates[-1]}"
        lines.append(f"held: {dc}, {span}: {why}")
    return lines


def summary(records: pl.DataFrame, rejects: int, held_days: int) -> list[str]:
    """What a calculation found, as aligned lines: records, lost cases by path, rejects, held days."""
    quantities = ["confirmed_cases", "estimated_cases", "lost_cases"]
    paths = {path: records.filter(pl.col("path") == path) for path in PATHS}
    rows = [
        ("lost", *_sums(records, quantities), ""),
        *[(f"  {path}", *_sums(part, quantities), PATHS[path]) for path, part in paths.items()],
    ]
    days = records.select("dc", "ship_date").n_unique()
    dcs = records["dc"].n_unique()
    return [
        f"{records.height:,} records of {count(days, 'ship day')} of {count(dcs, 'DC')}",
        "",
        f"{'cases':12}{'confirmed':>14}{'estimated':>14}{'lost':>14}",
        *[
            f"{name:12}{confirmed:>14}{estimated:>14}{lost:>14}  {why}".rstrip()
            for name, confirmed, estimated, lost, why in rows
        ],
        "",
        f"{count(rejects, 'row')} rejected, {count(held_days, 'ship day')} of a DC held",
    ]


def _sums(records: pl.DataFrame, quantities: list[str]) -> list[str]:
    return [cases(Decimal(str(records[name].sum())), 1) for name in quantities]
