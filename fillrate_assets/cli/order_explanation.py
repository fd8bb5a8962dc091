"""Why an order was short, across the areas: its events, what its DC had at that time, and what fill rates say of it.

What each area says is its own; here it is put together.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC
from decimal import Decimal
from typing import Any, Final

import polars as pl

from fillrate_assets.core.decimals import format_cases
from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.core.text_table import format_table
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.report import labels
from fillrate_assets.fulfillment.report.order_report import OrderReport, read_order
from fillrate_assets.inventory.report.order_stock import ItemStock, read_stock_at
from fillrate_assets.inventory.rules.reservations import OrderLine, Reservation, sum_by_item
from fillrate_assets.inventory.stock_store import StockStore
from fillrate_assets.settings import Settings
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.lake import Lake

_CASES: Final = ("ordered_cases", "shipped_cases")
_DECISIONS: Final = ("InventoryShort", "InventoryReserved")
_TIME: Final = "%Y-%m-%d %H:%M:%S"


@dataclass(frozen=True)
class OrderExplanation:
    """One order in every area."""

    order: OrderReport
    decision: Mapping[str, Any] | None
    """The transition with which the inventory answered: that it was short, if it ever was."""

    wanted: Mapping[str, Decimal]
    """By item."""

    reservation: Reservation
    stock: Mapping[str, ItemStock]
    """Of its DC when the inventory answered, by item."""

    lines: pl.DataFrame
    """What fill rates say of its lines."""

    @property
    def is_short(self) -> bool:
        """Return whether the inventory answered that it was short."""
        return self.decision is not None and self.decision["event_type"] == _DECISIONS[0]

    @property
    def short_items(self) -> list[str]:
        """Return the items of which there was too little; those first that others had reserved."""
        short = [item for item, stock in self.stock.items() if self.is_short and stock.find_short(self.wanted[item])]
        return sorted(short, key=lambda item: not self.stock[item].reserved_for)

    def describe(self) -> Iterator[str]:
        """Say what every area knows of it."""
        yield from self.order.describe_status()
        yield ""
        yield from self._describe_stock()
        yield ""
        if self.lines.is_empty():
            yield "Fill rates have nothing of it: its day was not computed yet."
            return
        yield "What fill rates say of it, in cases:"
        rows = [
            [
                str(row["line_no"]),
                row["item"] or "",
                *_list_cases(row),
                row["path"] or "",
                _name_path(row),
                _name_reason(row),
            ]
            for row in self.lines.iter_rows(named=True)
        ]
        headings = ["line", "item", "ordered", "shipped", "path", "which means", "reason"]
        yield from format_table(headings, rows, numbers=["line", "ordered", "shipped"])

    def summarize(self) -> list[str]:
        """Say in a sentence of each area why it was short; nothing where it was not."""
        if self.decision is None or not self.short_items:
            return []
        item, state = self.short_items[0], (self.order.head or {}).get("state")
        at = f"{self.decision['occurred_at']:{_TIME}} UTC"
        counts = "; ".join(self.stock[item].describe(self.wanted[item], reserved=False))
        said = [
            f"Fulfillment: {state}, as the inventory answered {self.decision['event_type']} at {at}.",
            f"Inventory, item {item} of {self.decision['dc']}: {counts}. {self._describe_reservation()}",
        ]
        for line in self.lines.filter(item=item).head(1).iter_rows(named=True):
            ordered, shipped = _list_cases(line)
            reason = f"reason {known}" if (known := _name_reason(line)) else ""
            why = ", ".join(each for each in (line["path"], _name_path(line), reason) if each)
            said.append(f"Fill rate, line {line['line_no']}: {ordered} ordered, {shipped} shipped: {why}.")
        return said

    def _describe_stock(self) -> Iterator[str]:
        if self.decision is None:
            yield f"The inventory has not answered. {self._describe_reservation()}"
            return
        at = f"{self.decision['occurred_at']:{_TIME}} UTC"
        yield f"{self.decision['event_type']} at {at}. {self._describe_reservation()}"
        yield f"What {self.decision['dc']} had then, in cases; an order is reserved as a whole, or not at all:"
        for item, stock in self.stock.items():
            first, *more = stock.describe(self.wanted[item], reserved=not self.is_short)
            yield f"  {item}  {first}"
            yield from (f"  {'':{len(item)}}  {line}" for line in more)

    def _describe_reservation(self) -> str:
        now = self.reservation
        if now.state == "NEW":
            return "Nothing was reserved for it."
        cases = sum((line.cases for line in now.lines), Decimal(0))
        lines = labels.format_count(len(now.lines), "line")
        return f"Its reservation is {now.state}: {format_cases(cases)} cases, {lines}."


def read_explanation(settings: Settings, order_id: str) -> OrderExplanation:
    """Read what every area knows of an order.

    Raises:
        PermanentFailure: there is no event of it, or its log is not in the record store.
        SourceUnavailable: the record store did not answer.

    """
    if settings.fulfillment_aws.table:
        msg = f"the log of {order_id} is in DynamoDB: see `fillrate fulfillment explain {order_id}`"
        raise PermanentFailure(msg)
    database = Database.from_settings(settings)
    order = read_order(database, order_id)
    answers = [row for name in _DECISIONS for row in order.transitions if row["event_type"] == name]
    decision, head = answers[0] if answers else None, order.head or {}
    wanted = sum_by_item(_list_lines(order))
    stock = {}
    if decision is not None:
        dc, day, at = decision["dc"], head["ship_date"], decision["occurred_at"].replace(tzinfo=UTC)
        stock = {item: read_stock_at(database, dc, item, day, at) for item in wanted}
    lines = _read_lines(settings, order_id, head)
    return OrderExplanation(order, decision, wanted, StockStore(database).read_reservation(order_id), stock, lines)


def _list_lines(order: OrderReport) -> Iterator[OrderLine]:
    for row in order.transitions:
        if row["event_type"] == "OrderReceived":
            for line in json.loads(row["payload"])["lines"]:
                yield OrderLine(line["line_no"], line["item"], Decimal(str(line["cases"])))


def _read_lines(settings: Settings, order_id: str, head: Mapping[str, Any]) -> pl.DataFrame:
    """Read the lines of an order with the path of their item and day, in the order of their numbers."""
    lake = Lake(settings.storage.lake_root)
    day = [PartitionKey(head["dc"], head["ship_date"])] if head.get("dc") and head.get("ship_date") else []
    records = lake.read(schema.LOST_CASES, day).select("item", "path", pl.col("reason_code").alias("item_reason"))
    return (
        lake.read(schema.CLASSIFIED_LINES, day)
        .filter(pl.col("order_id") == order_id, pl.col("source_table") == "order_lines")
        .join(records, on="item", how="left")
        .with_columns(reason_code=pl.coalesce("reason_code", "item_reason"))
        .sort("line_no", "disposition")
        .collect()
    )


def _list_cases(line: Mapping[str, Any]) -> list[str]:
    """List what a line ordered and what of it shipped, where that could be read."""
    return ["" if (cases := line[name]) is None else format_cases(cases) for name in _CASES]


def _name_path(line: Mapping[str, Any]) -> str:
    if line["disposition"] != "COUNTED":
        return f"{line['disposition'].lower()}: {line['reason']}"
    return "complete" if _is_complete(line) else labels.PATHS.get(line["path"] or "", "not judged")


def _name_reason(line: Mapping[str, Any]) -> str:
    known = line["reason_code"] and line["disposition"] == "COUNTED" and not _is_complete(line)
    return labels.format_reason(line["reason_code"]) if known else ""


def _is_complete(line: Mapping[str, Any]) -> bool:
    return bool(line["shipped_cases"] >= line["ordered_cases"])
