"""Explanation of why an item was short on a day: path, inputs, baseline days, lines, restatements.

Every number is in a frame already; nothing is computed here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

import polars as pl

from fillrate_assets.core.decimals import format_cases
from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.core.text_table import format_table
from fillrate_assets.fillrate.report import labels
from fillrate_assets.fillrate.report.doubts import Doubts, format_doubts
from fillrate_assets.fillrate.report.estimates import (
    describe_baseline_days,
    find_method,
    format_estimates,
    format_method_2,
    is_estimated,
)
from fillrate_assets.fillrate.rules.rolling_baseline import LOOK_BACK_DAYS, MIN_OBSERVATIONS, WINDOW_DAYS
from fillrate_assets.fillrate.rules.ship_days import filter_ship_days

_LABEL_WIDTH: Final = 12
_SUPPLY_PATHS: Final = ("STOCK_OUT", "FLOW")
_NEAREST_DAYS: Final = 3
_MAX_LINES: Final = 40

Row = dict[str, Any]


@dataclass(frozen=True)
class Evidence:
    """What there is to say of one DC; rows of other DCs, days and items are passed over."""

    item_days: pl.LazyFrame
    """`ITEM_DAYS` of all items of the DC, on the day and the 28 days before it: they show the DC's ship days."""
    records: pl.LazyFrame
    """`LOST_CASES`"""
    lines: pl.LazyFrame
    """`CLASSIFIED_LINES`"""
    items: pl.LazyFrame
    """`ITEMS`"""
    waivers: pl.LazyFrame
    """`WAIVERS`"""
    calendar: pl.LazyFrame
    """`DC_CALENDAR`"""
    restatements: pl.LazyFrame
    """`RESTATEMENTS` with run_id and restated_at; may be empty."""
    doubts: Doubts = field(default_factory=Doubts)
    """What is in doubt of the DC on the day, and of the days behind its averages."""


def explain(dc: str, ship_date: date, item: str, evidence: Evidence, known: pl.LazyFrame) -> str:
    """Explain why the item was short on the day.

    Args:
        dc: distribution centre.
        ship_date: the day.
        item: item number.
        evidence: the frames.
        known: dc, ship_date and item of every item-day there is; looked at only where there is nothing to explain.

    Returns:
        Plain text of several paragraphs; the first sentence is the answer.

    Raises:
        PermanentFailure: nothing is known of the item on the day; the message says what is.

    """
    here = (pl.col("dc") == dc) & (pl.col("ship_date") == ship_date) & (pl.col("item") == item)
    began = ship_date - timedelta(days=LOOK_BACK_DAYS)
    look_back = evidence.item_days.filter(
        pl.col("dc") == dc, pl.col("ship_date").is_between(began, ship_date, closed="left")
    )
    ship_days = filter_ship_days(evidence.item_days.filter(pl.col("dc") == dc), evidence.calendar)
    day, record, lines, master, history, open_days, waivers, restated = (
        frame.to_dicts()
        for frame in pl.collect_all(
            [
                evidence.item_days.filter(here),
                evidence.records.filter(here),
                evidence.lines.filter(here).sort("order_id", "line_no", "disposition", nulls_last=True),
                evidence.items.filter(pl.col("item") == item).sort("valid_from"),
                look_back.filter(pl.col("item") == item),
                ship_days.select("ship_date").unique(),
                evidence.waivers,
                evidence.restatements.filter(here),
            ]
        )
    )
    if not day and not lines:
        raise PermanentFailure(_describe_absence(dc, ship_date, item, known))
    description = master[-1]["description"] if master else None
    subject = f"{dc}, {ship_date}, item {item}" + (f" ({description})" if description else "")
    paragraphs: list[Iterator[str]] = []
    opened = {row["ship_date"] for row in open_days}
    if record:
        observations = _list_observations(
            ship_date,
            history,
            opened,
            {day: why for (_, day), why in evidence.doubts.behind.items()},
        )
        paragraphs = [_format_inputs(record[0], lines, waivers), _format_baseline(record[0], observations)]
    paragraphs += [_format_lines(lines), _format_restatements(restated)]
    doubts = evidence.doubts
    # The table of days has those behind the average; without a record, the first sentence says why the day is held.
    paragraphs.append(iter(format_doubts(replace(doubts, behind={}, held=doubts.held if record else {}))))
    answer = _format_answer(record, day, doubts.held.get(PartitionKey(dc, ship_date)), closed=ship_date not in opened)
    text = [f"{subject}: {answer}"]
    text += ["\n".join(lines) for lines in map(list, paragraphs) if lines]
    return "\n\n".join(text) + "\n"


def _format_answer(record: Sequence[Row], day: Sequence[Row], held: str | None, *, closed: bool) -> str:
    if record:
        return _format_sentence(record[0])
    amounts = (
        f"{format_cases(day[0]['ordered_cases'])} ordered, {format_cases(day[0]['shipped_cases'])} shipped"
        if day
        else ""
    )
    if held:
        return f"{f'{amounts}; ' if amounts else ''}the day is held, so nothing is judged: {held}."
    if not day:
        return "no line of it counted and there is no instock record, so nothing was lost."
    if closed:
        return "the DC was closed: no order line of it was due, so nothing was lost."
    if not day[0]["lines"]:
        return "it was not ordered and not out of stock, so nothing was lost."
    return f"{amounts}; the day has no record: it was not computed yet."


def _format_sentence(record: Row) -> str:
    """Format the answer, as '20 ordered, 0 shipped, out of stock; ...; lost 38 = 20 confirmed + 18 estimated.'."""
    ordered, shipped = format_cases(record["ordered_cases"]), format_cases(record["shipped_cases"])
    parts = [f"{ordered} ordered, {shipped} shipped, {_describe_state(record)}"]
    if record["estimated_cases"] > 0:
        parts.append(_describe_expectation(record))
    lost = f"lost {format_cases(record['lost_cases'])}"
    if record["estimated_cases"] > 0:
        confirmed, estimated = format_cases(record["confirmed_cases"]), format_cases(record["estimated_cases"])
        lost += f" = {confirmed} confirmed + {estimated} estimated"
    parts.append(lost if record["lost_cases"] > 0 else "nothing lost")
    return "; ".join(parts) + "."


def _describe_state(record: Row) -> str:
    if record["path"] == "STOCK_IN":
        return "in stock"
    if record["path"] == "FLOW":
        return "a flow item"
    return labels.PATHS[record["path"]]


def _describe_expectation(record: Row) -> str:
    if find_method(record) != 1:
        return format_method_2(record)
    return f"{format_cases(record['baseline_cases'])} a day were ordered on {describe_baseline_days(record)}"


def _format_inputs(record: Row, lines: Sequence[Row], waivers: Sequence[Row]) -> Iterator[str]:
    yield _format_entry("Path", f"{record['path']}: {_explain_path(record)}")
    who = [f"{name} {record[name]}" for name in ("vendor", "department") if record[name] is not None]
    yield _format_entry("Item", ", ".join([f"{record['item_type']} item", *who]))
    yield _format_entry("Cases", _format_arithmetic(record))
    for label, text in format_estimates(record):
        yield _format_entry(label, text)
    if record["fill_rate"] is not None:
        yield _format_entry(
            "Fill rate",
            f"{labels.format_percent(record['fill_rate'])} of what was ordered{_format_demand_rate(record)}",
        )
    else:
        yield _format_entry("Fill rate", "none: nothing was ordered")
    if record["over_cases"] > 0:
        yield _format_entry(
            "Over", f"{format_cases(record['over_cases'])} shipped beyond what their lines ordered: not credited"
        )
    if record["sub_cases"] > 0:
        with_subs = labels.format_percent(record["fill_rate_with_subs"])
        yield _format_entry(
            "Substitutes", f"{format_cases(record['sub_cases'])} shipped in its place: {with_subs} with them"
        )
    if record["reason_code"] is not None:
        said = {line["reason_code"] for line in lines}
        source = "the shipping records say so" if record["reason_code"] in said else "it follows from the path"
        yield _format_entry("Reason", f"{labels.format_reason(record['reason_code'])}; {source}")
    if record["contract_committed"]:
        yield _format_entry("Contract", _describe_contract(record, waivers))
    if record["phantom_stock"]:
        yield _format_entry("Doubt", "the record says in stock, yet nothing shipped: phantom stock?")
    if record["flag_conflict"]:
        yield _format_entry("Doubt", "the record says out of stock, yet everything shipped: which was late?")


def _explain_path(record: Row) -> str:
    if record["imputed"]:
        return "no instock record of the day, and nothing shipped: taken as out of stock"
    return {
        "STOCK_IN": "the instock record of the day says in stock",
        "STOCK_OUT": "the instock record of the day says out of stock",
        "FLOW": "received and re-sorted, never put away: its instock record is ignored",
        "MISSING": "no instock record of the day; that something shipped, or was not even ordered, is no stock-out",
    }[record["path"]]


def _format_arithmetic(record: Row) -> str:
    ordered, shipped, lost = (format_cases(record[f"{name}_cases"]) for name in ("ordered", "shipped", "lost"))
    confirmed, estimated = format_cases(record["confirmed_cases"]), format_cases(record["estimated_cases"])
    text = f"confirmed {confirmed} = {ordered} ordered - {shipped} shipped"
    if record["estimated_cases"] > 0:
        text += f"; estimated {estimated}"
    elif is_estimated(record):
        text += "; nothing estimated"
    return f"{text}; lost {lost}"


def _format_demand_rate(record: Row) -> str:
    if record["estimated_cases"] == 0:
        return ""
    return f", {labels.format_percent(record['demand_fill_rate'])} of demand"


def _describe_contract(record: Row, waivers: Sequence[Row]) -> str:
    lost = format_cases(record["contract_lost_cases"])
    if record["contract_lost_cases"] > 0 or record["lost_cases"] == 0:
        return f"contract-committed (FSA): {lost} lost on it"
    if record["path"] not in _SUPPLY_PATHS and not record["imputed"]:
        return "contract-committed (FSA): nothing lost on it, the shortfall is not caused by supply"
    spans = [
        f"from {row['valid_from']}" + (f" to {row['valid_to']}" if row["valid_to"] else "")
        for row in waivers
        if row["reason_code"] == record["reason_code"]
        and row["valid_from"] <= record["ship_date"]
        and (row["valid_to"] is None or record["ship_date"] <= row["valid_to"])
    ]
    return f"contract-committed (FSA): waived, reason {record['reason_code']} is uncontrollable {' and '.join(spans)}"


@dataclass(frozen=True)
class _Observation:
    """A day before the ship date: what was ordered, and whether it counts for the baseline."""

    day: date
    ordered: Decimal
    instock: str
    counted: bool
    why: str


def _list_observations(
    ship_date: date, history: Sequence[Row], ship_days: set[date], doubts: Mapping[date, str]
) -> list[_Observation]:
    """List the 28 days before, latest first, each with what is in doubt of it."""
    rows = {row["ship_date"]: row for row in history}
    days = [ship_date - timedelta(days=back) for back in range(1, LOOK_BACK_DAYS + 1)]
    judged = [_judge_observation(day, rows.get(day), ship_day=day in ship_days) for day in days]
    return [replace(each, why=f"{each.why}; {doubts[each.day]}") if each.day in doubts else each for each in judged]


def _judge_observation(day: date, row: Row | None, *, ship_day: bool) -> _Observation:
    if row is None:
        why = "nothing ordered and no instock record" if ship_day else "the DC was closed"
        return _Observation(day, Decimal(0), "-", counted=False, why=f"no: {why}")
    instock, shipped = row["instock"], row["shipped_cases"] > 0
    refusals = (
        (not ship_day, "the DC was closed"),
        (row["item_type"] != "STOCK", "a flow item that day"),
        (instock == "N", "out of stock, its orders say too little"),
        (instock is None and not shipped, "no instock record and nothing shipped"),
    )
    refusal = next((why for refused, why in refusals if refused), None)
    accepted = "yes" if instock else "yes: no instock record, but it shipped"
    shown = {"Y": "yes", "N": "no"}.get(instock, "-")
    return _Observation(
        day, row["ordered_cases"], shown, counted=refusal is None, why=f"no: {refusal}" if refusal else accepted
    )


def _format_baseline(record: Row, observations: Sequence[_Observation]) -> Iterator[str]:
    """List the days that average and level were taken from, back to the earliest that counts."""
    if not is_estimated(record):
        return
    week, counted = observations[:WINDOW_DAYS], [each for each in observations if each.counted]
    if record["baseline_source"] == "NONE":
        days = labels.format_count(len(counted), "in-stock ship day")
        yield f"Baseline: none, {days} in {LOOK_BACK_DAYS}, and {MIN_OBSERVATIONS} are needed: nothing is estimated."
        shown = counted
    else:
        days = describe_baseline_days(record)
        yield f"Baseline: {format_cases(record['baseline_cases'])} a day, the mean of {days}."
        used = (week if record["baseline_source"] == "W7" else counted)[: record["baseline_n"]]
        earliest = min(each.day for each in (*week, *used))
        # The level of method 2 is of all 28 days.
        shown = [each for each in observations if each.day >= earliest or find_method(record) != 1]
    if shown:
        yield ""
        rows = [(f"{each.day:%a %Y-%m-%d}", format_cases(each.ordered), each.instock, each.why) for each in shown]
        yield from _indent_table(["day", "ordered", "in stock", "counts"], rows, ["ordered"])


def _format_lines(lines: Sequence[Row]) -> Iterator[str]:
    if not lines:
        yield "Lines: none."
        return
    yield f"Lines: {len(lines)}" + (f"; the first {_MAX_LINES}:" if len(lines) > _MAX_LINES else "")
    yield ""
    rows = [
        (
            "/".join(str(line[name]) for name in ("order_id", "line_no") if line[name] is not None) or "-",
            line["customer"] or "-",
            *[format_cases(line[name]) for name in ("ordered_cases", "shipped_cases", "sub_cases")],
            _describe_outcome(line),
        )
        for line in lines[:_MAX_LINES]
    ]
    numbers = ["ordered", "shipped", "subs"]
    yield from _indent_table(["line", "customer", *numbers, "what became of it"], rows, numbers)


def _describe_outcome(line: Row) -> str:
    if line["disposition"] != "COUNTED":
        return f"{line['disposition'].lower()}: {line['reason']}"
    parts = ["counted"]
    if line["over_cases"]:
        parts.append(f"{format_cases(line['over_cases'])} over")
    if line["reason_code"] is not None:
        parts.append(labels.format_reason(line["reason_code"]))
    if line["on_time"] is False and line["shipped_cases"]:
        parts.append("late")
    return ", ".join(parts)


def _format_restatements(restated: Sequence[Row]) -> Iterator[str]:
    if not restated:
        return
    yield f"Restated: {labels.format_count(len(restated), 'value')}"
    yield ""
    rows = [
        (
            f"{row['restated_at']:%Y-%m-%d %H:%M}",
            row["field"],
            _format_value(row["before"]),
            _format_value(row["after"]),
            row["cause"],
        )
        for row in restated
    ]
    yield from _indent_table(["when (UTC)", "value", "before", "after", "cause"], rows, ["before", "after"])


def _format_value(text: str | None) -> str:
    """Format a restated value: numbers without their trailing zeros, as everywhere here."""
    if text is None:
        return "-"
    head, point, places = text.partition(".")
    return head if point and not places.strip("0") else text


def _describe_absence(dc: str, ship_date: date, item: str, known: pl.LazyFrame) -> str:
    """Describe what there is instead of what was requested: DCs, days of the DC, days of the item."""
    keys = known.select("dc", "ship_date", "item").filter(pl.col("dc") == dc)
    dcs, days, item_days = (
        frame.to_series().to_list()
        for frame in pl.collect_all(
            [
                known.select(pl.col("dc").unique().sort()),
                keys.select(pl.col("ship_date").unique().sort()),
                keys.filter(pl.col("item") == item).select(pl.col("ship_date").unique().sort()),
            ]
        )
    )
    if not dcs:
        return "there are no item-days at all: nothing was computed yet"
    if dc not in dcs:
        return f"there is no DC {dc}; there are {', '.join(dcs[:20])}"
    if ship_date not in days:
        return f"{dc} has nothing on {ship_date}; the nearest days are {_list_nearest(ship_date, days)}"
    if not item_days:
        return f"{dc} knows no item {item}, on {ship_date} or any other day from {days[0]} to {days[-1]}"
    return f"{dc} has nothing of item {item} on {ship_date}; its nearest days are {_list_nearest(ship_date, item_days)}"


def _list_nearest(ship_date: date, days: Sequence[date]) -> str:
    return ", ".join(map(str, sorted(sorted(days, key=lambda day: abs(day - ship_date))[:_NEAREST_DAYS])))


def _format_entry(label: str, text: str) -> str:
    return f"{label:{_LABEL_WIDTH}}{text}"


def _indent_table(headings: Sequence[str], rows: Sequence[Sequence[str]], numbers: Collection[str]) -> Iterator[str]:
    return (f"  {line}" for line in format_table(headings, rows, numbers=numbers))
