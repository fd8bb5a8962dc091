"""Why a DC has the count that it has: the source, the copy, and what reconciliations found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import sqlalchemy as sa

from fillrate_assets.core.decimals import format_cases, format_percent
from fillrate_assets.core.text_table import format_table
from fillrate_assets.inventory.change_stream import STOCK_CHANGES, from_row
from fillrate_assets.inventory.reconcile import Reconciled
from fillrate_assets.inventory.reconciliation_store import FINDINGS, RECONCILIATIONS
from fillrate_assets.inventory.rules.replication import StockCount
from fillrate_assets.inventory.schema import CLASSES
from fillrate_assets.inventory.stock_store import STOCK
from fillrate_assets.inventory.sync_metrics import read_status
from fillrate_assets.storage.database import Database

_SYSTEM: Final = "stock"
_LISTED: Final = 20
_WIDEST: Final = max(map(len, CLASSES))


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
            yield "What changed at the source, in cases, newest first:"
            yield from format_table(
                ["seq", "when (UTC)", "on hand", "reserved", "by", "change"],
                [
                    [
                        str(each.seq),
                        _format(each.occurred_at),
                        format_cases(each.on_hand_cases) + (" deleted" if each.deleted else ""),
                        format_cases(each.reserved_cases),
                        each.origin,
                        each.change_id.removeprefix(f"{each.origin}:"),
                    ]
                    for each in self.changes
                ],
                numbers=["seq", "on hand", "reserved"],
            )
        if self.findings:
            yield ""
            yield "What reconciliations found, in cases, newest first:"
            yield from format_table(
                ["when (UTC)", "found", "source", "copy, or what explains it", "action"],
                [
                    [
                        _format(each.at),
                        each.finding,
                        _describe_side(each, "source"),
                        _describe_side(each, "replica"),
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


def describe_stock(database: Database, item: str) -> Iterator[str]:
    """Say what every DC has of an item."""
    chosen = sa.select(STOCK).where(STOCK.c.item == item).order_by(STOCK.c.dc)
    with database.connect(_SYSTEM) as connection:
        rows = connection.execute(chosen).all()
    if not rows:
        yield f"there is no stock of {item}"
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
        title="Cases",
    )


def describe_network(database: Database, *, now: datetime) -> Iterator[str]:
    """Say how much every DC has, whether its copies were right when they were compared last, and what is under way."""
    on_hand, reserved = STOCK.c.on_hand_cases, STOCK.c.reserved_cases
    sold_out = sa.func.sum(sa.case((on_hand <= reserved, 1), else_=0)).label("sold_out")
    sums = [sa.func.count().label("items"), *(sa.func.sum(each).label(each.name) for each in (on_hand, reserved))]
    totals = sa.select(STOCK.c.dc, *sums, sold_out).where(~STOCK.c.deleted).group_by(STOCK.c.dc).order_by(STOCK.c.dc)
    last = sa.select(RECONCILIATIONS).where(
        RECONCILIATIONS.c.at == sa.select(sa.func.max(RECONCILIATIONS.c.at)).scalar_subquery()
    )
    with database.connect(_SYSTEM) as connection:
        rows = connection.execute(totals).all()
        compared = {row.replica: row for row in connection.execute(last)}
    if not rows:
        yield "there is no stock"
        return
    listed = []
    for row in rows:
        known = compared.get(row.dc)
        share = known.matching / known.compared if known is not None and known.compared else None
        cases = [
            format_cases(each)
            for each in (row.on_hand_cases, row.reserved_cases, row.on_hand_cases - row.reserved_cases)
        ]
        when = _format(known.at) if known is not None else "never"
        listed.append([row.dc, f"{row.items:,}", *cases, f"{row.sold_out:,}", when, format_percent(share, 2)])
    numbers = ["items", "on hand", "reserved", "free", "sold out", "accuracy"]
    headings = ["DC", *numbers[:5], "compared (UTC)", "accuracy"]
    yield from format_table(headings, listed, numbers=numbers, title="Cases by DC")
    status = read_status(database, 0, now=now, window=timedelta(minutes=5))
    since = f", the oldest of {_format(status.unread_since)} UTC" if status.unread_since else ""
    yield ""
    yield f"Changes that no worker has read of the stream: {status.unread:,}{since}."


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
        yield "Why, for example?"
        for row in done.findings.unique("finding", maintain_order=True).sort("finding").iter_rows(named=True):
            command = f"fillrate inventory explain {row['item']} {row['dc']} {row['replica']}".rstrip()
            yield f"  {row['finding']:<{_WIDEST}}  {command}"
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
    return f"{has}; seq {count.seq} of {_format(count.occurred_at)} by {count.origin}"


def _format(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def _number(value: Decimal | int | None) -> str:
    return "nothing" if value is None else format_cases(value) if isinstance(value, Decimal) else str(value)


def _describe_side(finding: Any, side: str) -> str:  # noqa: ANN401 - a row
    """Describe the quantity that a finding is about."""
    on_hand, reserved, seq = (getattr(finding, f"{side}_{name}") for name in ("on_hand_cases", "reserved_cases", "seq"))
    if finding.finding == "RESERVATION_LEAK":
        return f"{_number(reserved)} reserved"
    if finding.finding == "LEDGER_MISMATCH" and side == "replica":
        return f"{_number(on_hand)} by its changes"
    return f"{_number(on_hand)} by seq {_number(seq)}"
