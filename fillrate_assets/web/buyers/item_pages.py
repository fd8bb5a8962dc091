"""An item at a DC: its days of 13 weeks, why it was short, and the lines of a day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

import polars as pl
from starlette.exceptions import HTTPException

from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.fillrate.report import labels
from fillrate_assets.fillrate.report.estimates import BESIDE, find_other_estimate
from fillrate_assets.fillrate.report.explain import explain
from fillrate_assets.fillrate.report.item_history import read_item_days, read_lines, read_ship_days
from fillrate_assets.fillrate.report.queries import read_evidence_from_lake
from fillrate_assets.fillrate.report.report_request import TREND_WEEKS
from fillrate_assets.fillrate.schema import METHODS
from fillrate_assets.web.buyers.tables import make_cell
from fillrate_assets.web.buyers.visits import Visit
from fillrate_assets.web.signed_in import PageProblem
from fillrate_assets.web.tables import Link, Table

_QUANTITIES: Final = (
    "ordered_cases",
    "shipped_cases",
    "lost_cases",
    "confirmed_cases",
    "estimated_cases",
    "contract_lost_cases",
    "baseline_cases",
)
_BESIDE: Final = _QUANTITIES.index("estimated_cases") + 1
"""Where the estimate of the other method is."""
_INSTOCK: Final = {"Y": "in stock", "N": "out of stock", None: "no record"}
_ITEM_AND_DC: Final = 3


@dataclass(frozen=True)
class StripDay:
    """A day of the strip: where it is, what it was, and what is said of it."""

    day: date
    column: int
    row: int
    state: str
    """`in`, `short` (in stock, yet short), `out`, `unknown` or `closed`."""

    title: str


@dataclass(frozen=True)
class ItemDays:
    """The days of an item at a DC."""

    item: str
    dc: str
    rows: pl.DataFrame
    strip: list[StripDay]

    @property
    def last_short(self) -> date | None:
        """Return the latest day on which it was short."""
        days = self.rows.filter(pl.col("lost_cases") > 0)["ship_date"]
        return days[-1] if days.len() else None


def read_days(visit: Visit) -> ItemDays:
    """Read the days of 13 weeks, which end with the period of the page.

    Raises:
        PageProblem: nothing is known of the item at the DC; the nearest item is named.

    """
    item, dc = str(visit.address.path[1]), str(visit.address.path[2])
    last = min(visit.period.last, visit.span[0].last)
    first = last - timedelta(days=last.weekday() + 7 * (TREND_WEEKS - 1))
    rows = read_item_days(visit.desk.lake, dc, item, first, last)
    if rows.is_empty():
        known = visit.desk.reports.read_known("item", limit=1_000_000)["name"]
        nearest = labels.find_nearest(item, [each for each in known if each != item])
        hint = f" The nearest is {nearest}." if item not in set(known) else ""
        text = f"There is nothing of item {item} at {dc} from {first} to {last}.{hint}"
        raise PageProblem(404, "Nothing of that item", text)
    return ItemDays(item, dc, rows, _draw_strip(rows, first, last, read_ship_days(visit.desk.lake, dc, first, last)))


def _draw_strip(rows: pl.DataFrame, first: date, last: date, ship_days: set[date]) -> list[StripDay]:
    known = {row["ship_date"]: row for row in rows.iter_rows(named=True)}
    strip = []
    for number in range((last - first).days + 1):
        day = first + timedelta(days=number)
        state = _judge(known.get(day), open_that_day=day in ship_days)
        strip.append(StripDay(day, number // 7, number % 7, state, f"{day:%a %Y-%m-%d}: {_STATES[state]}"))
    return strip


_STATES: Final = {
    "in": "in stock",
    "short": "in stock, yet short",
    "out": "out of stock",
    "unknown": "no instock record",
    "closed": "the DC shipped nothing",
}


def _judge(row: dict[str, Any] | None, *, open_that_day: bool) -> str:
    if not open_that_day:
        return "closed"
    if row is None or row["instock"] is None:
        return "unknown"
    if row["instock"] == "N":
        return "out"
    return "short" if (row["lost_cases"] or 0) > 0 else "in"


def make_days(visit: Visit, days: ItemDays, limit: int | None = None) -> Table:
    """Make the table of the days, latest first; each leads to its lines."""
    rows = days.rows.reverse()
    note = f"{limit} of {rows.height} days." if limit and rows.height > limit else ""
    quantities = [*map(labels.format_heading, _QUANTITIES)]
    quantities.insert(_BESIDE, "Other method")
    headings = ["Ship date", *quantities, "Stock", "Path", "Reason"]
    cells = [
        [
            Link(
                str(row["ship_date"]),
                visit.address.show_item(days.item, days.dc, str(row["ship_date"])).format(visit.desk.base_url),
            ),
            *(make_cell(name, row[name]) for name in _QUANTITIES[:_BESIDE]),
            make_cell("estimated_cases", find_other_estimate(row)),
            *(make_cell(name, row[name]) for name in _QUANTITIES[_BESIDE:]),
            _INSTOCK.get(row["instock"], row["instock"]),
            row["path"],
            None if row["reason_code"] is None else labels.format_reason(row["reason_code"]),
        ]
        for row in (rows.head(limit) if limit else rows).iter_rows(named=True)
    ]
    of_methods = _describe_methods(days.rows)
    return Table(headings, cells, "Nothing was ordered.", note=" ".join(filter(None, [note, of_methods])))


def _describe_methods(rows: pl.DataFrame) -> str:
    """Describe whose estimates a table has; nothing where nothing was estimated."""
    versions = rows.filter(pl.col("method_1_cases").is_not_null())["method_version"].unique()
    methods = sorted({METHODS[version] for version in versions})
    if not methods:
        return ""
    if len(methods) == 1:
        return f"Estimated by method {methods[0]}; other method: what method {3 - methods[0]} estimates."
    return "Estimated by method 1 on some days and by method 2 on others; the page of a day says which."


def make_lines(visit: Visit, days: ItemDays, day: date) -> Table:
    """Make the table of the lines of a day."""
    lines = read_lines(visit.desk.lake, days.dc, days.item, day, day)
    quantities = ["ordered_cases", "shipped_cases", "over_cases", "sub_cases"]
    headings = ["Order", "Line", "Customer", "Source", "Ordered", "Shipped", "Over", "Substitutes", "On time"]
    headings += ["Outcome", "Reason"]
    cells = [
        [
            row["order_id"],
            row["line_no"],
            row["customer"],
            labels.format_table(row["source_table"]),
            *(make_cell(name, row[name]) for name in quantities),
            {True: "yes", False: "late"}.get(row["on_time"]),
            row["disposition"].lower(),
            row["reason"] or (labels.format_reason(row["reason_code"]) if row["reason_code"] else None),
        ]
        for row in lines.iter_rows(named=True)
    ]
    return Table(headings, cells, "There are no lines.")


def parse_day(visit: Visit) -> date | None:
    """Parse the day that an address names, if it does; 404 where there cannot be such a one."""
    if len(visit.address.path) == _ITEM_AND_DC:
        return None
    try:
        return date.fromisoformat(str(visit.address.path[_ITEM_AND_DC]))
    except ValueError as error:
        raise HTTPException(404) from error


@dataclass(frozen=True)
class Explanation:
    """What `fillrate explain` says of a day."""

    day: date
    sentence: str
    """The answer."""

    beside: str
    """What the method estimates that does not count; empty where nothing is estimated."""

    rest: str


def explain_day(visit: Visit, days: ItemDays, day: date) -> Explanation:
    """Explain a day as `fillrate explain` does."""
    evidence, known = read_evidence_from_lake(visit.desk.settings, days.dc, day, days.item)
    try:
        text = explain(days.dc, day, days.item, evidence, known.filter(pl.col("dc").is_in([*visit.dcs])))
    except PermanentFailure as error:
        raise PageProblem(404, "Nothing of that day", f"{str(error)[:1].upper()}{str(error)[1:]}.") from error
    answer, _, rest = text.partition("\n\n")
    sentence = answer.partition(": ")[2]
    beside = next((line.removeprefix(BESIDE) for line in rest.splitlines() if line.startswith(BESIDE)), "")
    return Explanation(day, f"{sentence[:1].upper()}{sentence[1:]}", beside.strip(), rest)
