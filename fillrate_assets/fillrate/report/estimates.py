"""Sentences that say what both methods estimate of an item that was out of stock, and which of the two counts.

Every figure is on the record, or one multiplication away from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Final

from fillrate_assets.core.decimals import format_cases
from fillrate_assets.fillrate.report import labels
from fillrate_assets.fillrate.rules.rolling_baseline import LOOK_BACK_DAYS, MIN_OBSERVATIONS, WINDOW_DAYS
from fillrate_assets.fillrate.schema import METHODS

BESIDE: Final = "Beside it"
"""Label of what the method estimates that does not count."""
_ONE: Final = Decimal(1)
_PLACES: Final = Decimal("0.0001")
_OLDER: Final = "method 2: the record was computed before there was one; run the day again"

Row = Mapping[str, Any]


def find_method(record: Row) -> int:
    """Find whose estimate counts, 1 or 2."""
    return METHODS[record["method_version"]]


def find_other_estimate(record: Row) -> Decimal | None:
    """Find what the method estimates that does not count; None without an estimate, or in an older record."""
    if record["method_version"] is None:
        return None
    other: Decimal | None = record[f"method_{3 - find_method(record)}_cases"]
    return other


def is_estimated(record: Row) -> bool:
    """Return whether demand is estimated on the record's path at all."""
    return bool(record["path"] == "STOCK_OUT" or record["imputed"])


def format_estimates(record: Row) -> Iterator[tuple[str, str]]:
    """Format what each method estimates, as (label, text): first the one that counts, the other one beside it."""
    if not is_estimated(record):
        return
    sentences = {1: f"method 1: {format_method_1(record)}", 2: f"method 2: {format_method_2(record)}"}
    if record["method_1_cases"] is None:
        sentences[2] = _OLDER
    counted = find_method(record)
    yield "Counts", sentences[counted]
    yield BESIDE, sentences[3 - counted]


def format_method_1(record: Row) -> str:
    """Format how method 1 estimates: '38 a day on the 6 in-stock ship days of the last 7 - 20 ordered = 18'."""
    if record["baseline_cases"] is None:
        return "nothing, there is too little history"
    baseline, ordered = record["baseline_cases"], record["ordered_cases"]
    text = f"{format_cases(baseline)} a day on {describe_baseline_days(record)}"
    if baseline <= ordered:
        return f"{text} is no more than the {format_cases(ordered)} ordered: nothing is added"
    return f"{text} - {format_cases(ordered)} ordered = {format_cases(baseline - ordered)}"


def format_method_2(record: Row) -> str:
    """Format how method 2 estimates, in one sentence from the record alone.

    '34.2 a day (6 in-stock days of the last 7, steadied by 22 in 28) x 1.25 for Fridays x 1.1 (sold 10 % above usual at
    7 other DCs) = 47.025; nothing was ordered'
    """
    if record["shipped_cases"] > 0:
        return f"{format_cases(record['shipped_cases'])} shipped, so its orders were in: nothing is added"
    if record["level_cases"] is None:
        days = labels.format_count(record["month_n"], "in-stock ship day")
        return f"nothing, {days} in {LOOK_BACK_DAYS} and {MIN_OBSERVATIONS} are needed"
    return f"{_format_expected(record)}; {_format_beyond(record)}"


def describe_baseline_days(record: Row) -> str:
    """Describe the days of the rolling average: 'the 6 in-stock ship days of the last 7'."""
    n = record["baseline_n"]
    if record["baseline_source"] == "W7":
        return f"the {labels.format_count(n, 'in-stock ship day')} of the last {WINDOW_DAYS}"
    return f"the latest {labels.format_count(n, 'in-stock ship day')} within {LOOK_BACK_DAYS}"


def _format_expected(record: Row) -> str:
    level, index = record["level_cases"], record["weekday_index"]
    followed = _ONE + record["factor_weight"] * (record["network_factor"] - _ONE)
    text = f"{format_cases(level)} a day ({_describe_level_days(record)})"
    steps = [
        f" x {format_cases(index)} for {_name_weekday(record['ship_date'])}" if index != 1 else "",
        f" x {format_cases(followed.quantize(_PLACES))} ({_describe_network(record)})" if followed != 1 else "",
    ]
    return "".join([text, *steps, f" = {format_cases(record['expected_cases'])}" if any(steps) else ""])


def _describe_level_days(record: Row) -> str:
    week, month = record["week_n"], record["month_n"]
    if not week:
        return f"{labels.format_count(month, 'in-stock day')} in {LOOK_BACK_DAYS}, none in the last {WINDOW_DAYS}"
    days = labels.format_count(week, "in-stock day")
    return f"{days} of the last {WINDOW_DAYS}, steadied by {month} in {LOOK_BACK_DAYS}"


def _describe_network(record: Row) -> str:
    beyond, weight = (record["network_factor"] - _ONE) * 100, record["factor_weight"]
    direction = "above" if beyond > 0 else "below"
    text = f"sold {format_cases(abs(beyond))} % {direction} usual"
    text += f" at {labels.format_count(record['network_dcs'], 'other DC')}"
    return text if weight == 1 else f"{text}, followed to {format_cases(weight * 100)} %"


def _format_beyond(record: Row) -> str:
    """Format what was expected beyond the orders, scaled to what the day's differences add up to."""
    expected, ordered, scale = record["expected_cases"], record["ordered_cases"], record["calibration"]
    if expected <= ordered:
        return f"no more than the {format_cases(ordered)} ordered: nothing is added"
    nothing = ordered == 0
    text = (
        "nothing was ordered"
        if nothing
        else f"{format_cases(ordered)} ordered, {format_cases(expected - ordered)} more"
    )
    if scale == 1:
        return text
    estimate = format_cases(record["method_2_cases"])
    return f"{text}, x {format_cases(scale)} to what the day's differences add up to = {estimate}"


def _name_weekday(day: date) -> str:
    return f"{day:%A}s"
