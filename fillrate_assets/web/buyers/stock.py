"""Stock buffers on the buyers' pages: what to order, what to hold of an item at a DC, and what a buyer decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Final, Literal

import polars as pl
from pydantic import BeforeValidator, Field
from starlette.exceptions import HTTPException

from fillrate_assets.core.decimals import format_percent
from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.rules.accountability import lacks_stock
from fillrate_assets.replenishment.recommendation_store import add_decision
from fillrate_assets.replenishment.report.explain import describe_decisions, explain_recommendation
from fillrate_assets.replenishment.report.order_list import mark_row
from fillrate_assets.replenishment.report.queries import FillRateTables, StockBuffers
from fillrate_assets.replenishment.rules.decisions import list_details, make_decision, name_action
from fillrate_assets.settings import Settings
from fillrate_assets.web.actions import Submission
from fillrate_assets.web.buyers.visits import Visit
from fillrate_assets.web.forms import MAX_NOTE, Form, FormError, Note, parse_form
from fillrate_assets.web.tables import Cases, Link, Table

PATH: Final = "/stock-buffers"
"""Where decisions are sent."""

_FOR_WANT: Final = lacks_stock(pl.col("path"), pl.col("reason_code"))
_MOST_CASES: Final = 10**9


def open_stock(settings: Settings) -> StockBuffers:
    """Open the stock buffers of an environment."""
    return StockBuffers.from_settings(settings, FillRateTables(schema.LOST_CASES, schema.ITEMS, _FOR_WANT))


@dataclass(frozen=True)
class ItemStock:
    """What to hold of an item at a DC."""

    row: Mapping[str, Any]
    sentences: list[str]
    figures: list[tuple[str, Cases]]
    doubts: list[str]
    decisions: list[str]

    @property
    def may_be_decided(self) -> bool:
        """Return whether there is an order to decide about."""
        return self.row["order_cases"] is not None

    @property
    def order(self) -> Cases:
        """Return what is recommended to order."""
        return Cases(self.row["order_cases"])


def read_item_stock(visit: Visit, dc: str, item: str) -> ItemStock | None:
    """Read the latest recommendation of an item at a DC, and why it is that; None if there is none."""
    stock = open_stock(visit.desk.settings)
    rows = stock.read([dc], item=item)
    if rows.is_empty():
        return None
    row = rows.row(0, named=True)
    lost = stock.read_lost_before(dc, item, row["ship_date"])
    sentences = explain_recommendation({**row, "defaulted": None, "rejected": None}, lost).split("; ")
    log = stock.store.read_decisions([dc], item=item, first=row["ship_date"]).filter(ship_date=row["ship_date"])
    doubts = [
        *([f"Defaults of the DC: {_name_terms(row['defaulted'])}"] if row["defaulted"] else []),
        *([f"Rows were rejected that would be of it: {row['rejected']}"] if row["rejected"] else []),
        *(["On order is not known, and taken as none"] if _lacks_orders(row) else []),
    ]
    return ItemStock(row, sentences, _make_figures(row), doubts, [*describe_decisions(log)])


_TERMS: Final = {
    "lead_time_days": "lead time",
    "review_days": "review period",
    "moq": "minimum order",
    "case_multiple": "case multiple",
    "service_target": "service target",
}


def _name_terms(names: str) -> str:
    return ", ".join(_TERMS.get(name, name) for name in names.split(", "))


def _lacks_orders(row: Mapping[str, Any]) -> bool:
    return row["on_hand_cases"] is not None and row["on_order_cases"] is None


def _make_figures(row: Mapping[str, Any]) -> list[tuple[str, Cases]]:
    position = None if row["on_hand_cases"] is None else row["on_hand_cases"] + (row["on_order_cases"] or 0)
    numbers = {
        "Hold": row["order_up_to_cases"],
        "Reorder at": row["reorder_point_cases"],
        "On hand and on order": position,
        "Short": row["gap_cases"],
        "Lost if it stays so": row["expected_lost_cases"],
        "Order": row["order_cases"],
        "Costs": row["gap_cost"] or None,
    }
    return [(label, Cases(value)) for label, value in numbers.items() if value is not None]


def read_due(visit: Visit, limit: int | None) -> Table:
    """Read the table of what to order within what a page is of: what loses most first."""
    base_url = visit.desk.base_url
    limits = {name: values for name, values in visit.address.limits.items() if name in _LIMITS}
    if visit.restricted and "dc" not in limits:
        limits["dc"] = [*visit.dcs]
    rows = open_stock(visit.desk.settings).store.read_due(limits, limit or _MOST_ROWS)
    headings = ["Item", "DC", "Vendor", "Short", "Lost if it stays so", "Order", "Hold", "On hand and on order"]
    headings += ["Target", "Made on", "In doubt"]
    cells = [
        [
            Link(row["item"], f"{visit.address.show_item(row['item'], row['dc']).format(base_url)}#stock"),
            row["dc"],
            row["vendor"],
            *(Cases(row[f"{name}_cases"]) for name in ("gap", "expected_lost", "order", "order_up_to")),
            Cases(row["on_hand_cases"] + (row["on_order_cases"] or 0)),
            format_percent(row["quantile"]),
            row["ship_date"],
            mark_row(row["defaulted"], row["rejected"]),
        ]
        for row in rows.iter_rows(named=True)
    ]
    note = "Latest recommendations, whatever the period of the page; what would lose most first."
    return Table(headings, cells, "Nothing is to be ordered.", note=note)


_LIMITS: Final = ("dc", "vendor", "department", "item")
_MOST_ROWS: Final = 100_000


def _read_cases(text: object) -> object:
    return None if text == "" else text


class DecisionForm(Form):
    """What a buyer decides about a recommendation."""

    problems: ClassVar[Mapping[str, str]] = {
        "cases": "Say how many cases are ordered: a number of 0 or more.",
        "reason": f"The reason is too long: {MAX_NOTE} characters at most.",
    }

    dc: str
    item: str
    ship_date: date
    decision: Literal["ACCEPTED", "CHANGED", "REFUSED"]
    cases: Annotated[Decimal | None, Field(ge=0, lt=_MOST_CASES, decimal_places=4), BeforeValidator(_read_cases)] = None
    reason: Note = None


def decide(submission: Submission, stock: StockBuffers, form: DecisionForm) -> None:
    """Store a decision, and log it in the same transaction.

    Raises:
        FormError: it cannot be taken, or is about a recommendation that is the latest no more.

    """
    if form.decision != "ACCEPTED" and not form.reason:
        msg = "Say why."
        raise FormError(msg)
    if form.decision == "CHANGED" and form.cases is None:
        raise FormError(DecisionForm.problems["cases"])
    try:
        row = stock.find(form.dc, form.item)
        made = make_decision(
            row, form.decision, form.cases, reason=form.reason or "", by=submission.actor, now=submission.now
        )
    except PermanentFailure as error:
        problem = f"{str(error)[:1].upper()}{str(error)[1:]}."
        raise FormError(problem) from error
    if row["ship_date"] != form.ship_date:
        msg = f"Meanwhile there is a recommendation of {row['ship_date']}: look at it first."
        raise FormError(msg)
    subject = f"{form.dc} {form.item}"
    with submission.record(name_action(form.decision), subject, list_details(made), allowed=True) as connection:
        add_decision(connection, made)


def parse_decision(visit_dcs: list[str], fields: Mapping[str, str]) -> DecisionForm:
    """Parse a decision about a DC that a person sees.

    Raises:
        HTTPException: 404, they do not see it, or no page of ours sent this.
        FormError: a field is missing, too long or makes no sense.

    """
    if fields.get("dc") not in visit_dcs or not fields.get("item"):
        raise HTTPException(404)
    return parse_form(DecisionForm, fields)
