"""Why a DC has the count that it has: the source, the copy, and what reconciliations found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import sqlalchemy as sa

from fillrate_assets.core.decimals import format_cases, format_percent
from fillrate_assets.core.text_table import format_table
from fillrate_assets.inventory.change_stream import STOCK_CHANGES, from_row
from fillrate_assets.inventory.reconcile import Reconciled
from fillrate_assets.inventory.reconciliation_store import FINDINGS
from fillrate_assets.inventory.rules.replication import StockCount
from fillrate_assets.inventory.stock_store import STOCK
from fillrate_assets.storage.database import Database

_SYSTEM: Final = "stock"
_LISTED: Final = 20


@dataclass(frozen=True)
class CountReport:
    """One count, and a DC's copy of it."""

    dc: str
    item: str
    replica: str
    source: StockCount | None
    copy: StockCount | None
    unread: str | None
    """Why the copy could not be read."""

    changes: list[Any]
    """The latest changes at the source, newest first."""

    findings: list[Any]
    """What reconciliations found, newest first."""

    def describe(self) -> Iterator[str]:
        """Say how both compare, and why."""
        where = f"{self.item} of {self.dc}"
        yield f"source    {_describe(self.source) or f'knows no {where}'}"
        copy = f"not read: {self.unread}" if self.unread else _describe(self.copy) or f"has no copy of {where}"
        yield f"{self.replica:<8}  {copy}"
        if not self.unread:
            yield f"so        {self._compare()}"
        if self.changes:
            yield ""
            yield "What changed at the source, newest first:"
            yield from format_table(
                ["seq", "when (UTC)", "on hand", "reserved", "by", "change"],
                [
                    [
                        str(each.seq),
                        _format(each.occurred_at),
                        format_cases(each.on_hand_cases) + (" deleted" if each.deleted else ""),
                        format_cases(each.reserved_cases),
                        each.origin,
                        each.change_id,
                    ]
                    for each in self.changes
                ],
                numbers=["seq", "on hand", "reserved"],
            )
        if self.findings:
            yield ""
            yield "What reconciliations found, newest first:"
            yield from format_table(
                ["when (UTC)", "found", "source", "copy", "done"],
                [
                    [
                        _format(each.at),
                        each.finding,
                        f"{_number(each.source_on_hand_cases)} by seq {_number(each.source_seq)}",
                        f"{_number(each.replica_on_hand_cases)} by seq {_number(each.replica_seq)}",
                        f"{each.action.lower()}, sent seq {each.repaired_seq}"
                        if each.repaired_seq
                        else each.action.lower(),
                    ]
                    for each in self.findings
                ],
            )

    def _compare(self) -> str:
        if self.source is None and self.copy is None:
            return "both know nothing of it"
        if self.source is None or self.copy is None:
            return "one knows of it and the other does not: the next reconciliation repairs it"
        if self.source.seq == self.copy.seq:
            same = self.source.values == self.copy.values
            return "both are equal" if same else "one version has two values: two reconciliations restate it"
        behind = self.source.seq - self.copy.seq
        if behind < 0:
            return "the copy has a version that the source has not: two reconciliations restate it"
        return f"the copy is {behind} version{'s' if behind > 1 else ''} behind: it is on its way, or is sent again"


def read_count(
    database: Database, dc: str, item: str, replica: str, copy: StockCount | None, unread: str | None
) -> CountReport:
    """Read what there is of a count in the record store."""
    mine = (STOCK_CHANGES.c.dc == dc) & (STOCK_CHANGES.c.item == item)
    changes = sa.select(STOCK_CHANGES).where(mine).order_by(STOCK_CHANGES.c.seq.desc()).limit(_LISTED)
    found = (FINDINGS.c.dc == dc) & (FINDINGS.c.item == item) & FINDINGS.c.replica.in_([replica, ""])
    findings = sa.select(FINDINGS).where(found).order_by(FINDINGS.c.at.desc()).limit(_LISTED)
    with database.connect(_SYSTEM) as connection:
        listed = [*connection.execute(changes).all()]
        findings_of_it = [*connection.execute(findings).all()]
    source = from_row(listed[0]) if listed else None
    return CountReport(dc, item, replica, source, copy, unread, listed, findings_of_it)


def describe_stock(database: Database, item: str | None) -> Iterator[str]:
    """Say what every DC has of an item, or of all."""
    chosen = sa.select(STOCK).order_by(STOCK.c.item, STOCK.c.dc)
    if item is not None:
        chosen = chosen.where(STOCK.c.item == item)
    with database.connect(_SYSTEM) as connection:
        rows = connection.execute(chosen).all()
    if not rows:
        yield "there is no stock" if item is None else f"there is no stock of {item}"
        return
    yield from format_table(
        ["item", "DC", "on hand", "reserved", "free", "seq", "changed (UTC)", "by"],
        [
            [
                row.item,
                row.dc,
                format_cases(row.on_hand_cases),
                format_cases(row.reserved_cases),
                "deleted" if row.deleted else format_cases(row.on_hand_cases - row.reserved_cases),
                str(row.seq),
                _format(row.occurred_at),
                row.origin,
            ]
            for row in rows
        ],
        numbers=["on hand", "reserved", "free", "seq"],
    )


def describe_reconciliation(done: Reconciled) -> Iterator[str]:
    """Say what a reconciliation found and did."""
    rows = [
        [
            row["replica"],
            f"{row['compared']:,}",
            f"{row['matching']:,}",
            f"{row['recent']:,}",
            format_percent(row["matching"] / row["compared"] if row["compared"] else None, 2),
            done.failures.get(row["replica"], ""),
        ]
        for row in done.summary.rows(named=True)
    ]
    names = ["DC", "compared", "matching", "just changed", "accuracy", "failure"]
    yield from format_table(names, rows, numbers=names[1:5])
    counts = done.findings.group_by("finding", "action").len().sort("finding", "action").rows()
    if counts:
        yield ""
        yield from format_table(
            ["found", "action", "counts"],
            [[name, action, f"{number:,}"] for name, action, number in counts],
            numbers=["counts"],
        )
    yield ""
    yield f"{done.repaired:,} repaired."


def _describe(count: StockCount | None) -> str:
    if count is None:
        return ""
    has = (
        "no longer stocks it"
        if count.deleted
        else f"has {format_cases(count.on_hand)}, {format_cases(count.reserved)} of it reserved"
    )
    return f"{has}, by seq {count.seq} at {_format(count.occurred_at)} ({count.origin}, change {count.change_id})"


def _format(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def _number(value: Decimal | int | None) -> str:
    return "nothing" if value is None else format_cases(value) if isinstance(value, Decimal) else str(value)
