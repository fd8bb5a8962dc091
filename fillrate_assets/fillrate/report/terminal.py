"""Reports as people read them in a terminal. Their numbers come from `service_report`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Final

import polars as pl

from fillrate_assets.core.shown_text import escape_controls
from fillrate_assets.core.text_table import format_table
from fillrate_assets.fillrate.report import labels
from fillrate_assets.fillrate.report.notes import format_notes
from fillrate_assets.fillrate.report.service_report import BASIS, Report, is_points
from fillrate_assets.fillrate.schema import ORDERS_WITH_ITEMS

TOTAL: Final = "TOTAL"


def format_report(report: Report) -> str:
    """Format a report as a table that is as wide as it must be, its total and notes below."""
    groups, by = report.groups, report.by
    columns = [name for name in groups.columns if name not in {*by, *_list_hidden(report)}]
    numbers = [_fold_heading(name, parted=report.parted) for name in columns]
    whole = {name: _is_whole(groups[name]) for name in columns}
    rows = [
        [*[_format_group(name, row[name]) for name in by], *_format_cells(row, columns, whole)]
        for row in groups.iter_rows(named=True)
    ]
    total = None
    if report.total.height and by:
        cells = _format_cells(report.total.row(0, named=True), columns, whole)
        total = [TOTAL, *[""] * (len(by) - 1), *cells]
    table = format_table([*map(labels.format_heading, by), *numbers], rows, numbers=numbers, total=total)
    notes = [*map(escape_controls, format_notes(report))]
    return "\n".join([*table, *(["", *notes] if notes else []), ""])


def _list_hidden(report: Report) -> list[str]:
    """List the columns that a terminal has no room for: what is plain, or follows from others."""
    before = [name for name in report.groups.columns if name.endswith("_before")]
    return [BASIS, *before, *(["orders_timed"] if report.all_timed else [])]


def _fold_heading(name: str, *, parted: bool) -> str:
    """Fold a heading: a metric's target and gap go under it, and the table stays narrow."""
    folded = labels.format_heading(name, parted=parted)
    folded = folded.replace(f" {ORDERS_WITH_ITEMS}", "\norders with\nits items").replace(" with its", " with\nits")
    for noun in ("target", "gap", "before", "change"):
        if folded.endswith(f" {noun}"):
            folded = f"{folded.removesuffix(f' {noun}')}\n{noun}"
    return folded


def _format_group(name: str, value: object) -> str:
    if value is None:
        return "-"
    text = labels.format_reason(str(value)) if name == "reason" else str(value)
    return escape_controls(text)


def _format_cells(
    row: dict[str, Decimal | int | date | None], columns: Sequence[str], whole: dict[str, bool]
) -> list[str]:
    return [_format_cell(name, row.get(name), whole=whole[name]) for name in columns]


def _format_cell(name: str, value: Decimal | int | date | None, *, whole: bool) -> str:
    if value is None:
        return "-"
    if not isinstance(value, Decimal):
        return f"{value:,}"
    if is_points(name):
        return f"{value:+.2f}"
    name = name.removesuffix("_change")
    return labels.format_cases(value, 0 if whole else 1) if name.endswith("_cases") else labels.format_percent(value)


def _is_whole(column: pl.Series) -> bool:
    """Return whether every quantity of a column is whole, so that its decimals line up either way."""
    return not column.dtype.is_decimal() or bool((column == column.floor()).fill_null(value=True).all())
