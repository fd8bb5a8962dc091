"""The tables of operations about copies of stock: changes on their way, comparisons, and what is left to people."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Final

from fillrate_assets.core.decimals import format_cases, format_percent
from fillrate_assets.inventory.report import sync_report
from fillrate_assets.inventory.sync_metrics import read_replicas
from fillrate_assets.web.operations.query import Query, name
from fillrate_assets.web.tables import Cell, Table

_HOUR: Final = timedelta(hours=1)


def read_copies(query: Query) -> Table:
    """Read how changes of stock went to each DC in the last hour."""
    rows = [
        (each.name, each.applied, each.requests, each.failed, each.latency, each.longest)
        for each in read_replicas(query.systems.database, since=query.now - _HOUR)
    ]
    headings = ["DC", "Changes applied", "Requests", "Failed", "Mean latency", "Longest"]
    return Table(headings, rows, "No change was sent to a DC in the last hour.")


def read_rounds(query: Query) -> Table:
    """Read the latest comparisons of copies with the source."""
    rows = [
        (
            each.at,
            each.replica,
            each.compared,
            each.matching,
            each.recent,
            format_percent(each.matching / each.compared if each.compared else None, 2),
            each.failure,
        )
        for each in sync_report.read_rounds(query.systems.database, **query.window)
    ]
    headings = ["Compared (UTC)", "DC", "Copies", "Matching", "Just changed", "Accuracy", "Failure"]
    return Table.of_page(headings, rows, "Copies were never compared.", query.paging)


def read_findings(query: Query) -> Table:
    """Read what the latest comparison found, by class."""
    rows = [
        (name(each.finding), name(each.action), each.counts, each.repaired)
        for each in sync_report.count_findings(query.systems.database)
    ]
    return Table(["Found", "Action", "Counts", "Repaired"], rows, "The latest comparison found no difference.")


def read_left_to_people(query: Query) -> Table:
    """Read what of the latest comparison only people can put right."""
    rows = [
        (
            row.dc,
            row.item,
            name(row.finding),
            *(_format_cases(getattr(row, f"source_{side}_cases")) for side in ("on_hand", "reserved")),
            *(_format_cases(getattr(row, f"replica_{side}_cases")) for side in ("on_hand", "reserved")),
        )
        for row in sync_report.read_left_to_people(query.systems.database, **query.window)
    ]
    sides = ["On hand", "Reserved", "On hand explained", "Reserved explained"]
    note = "`fillrate inventory explain ITEM DC` says why; `fillrate inventory settle ITEM DC --by NAME` settles it."
    table = Table.of_page(["DC", "Item", "Found", *sides], rows, "Nothing is left to people.", query.paging)
    return replace(table, note=note if rows else "")


def _format_cases(value: Decimal | None) -> Cell:
    return "" if value is None else format_cases(value)
