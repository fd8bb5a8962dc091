"""Reports as people read them in a terminal. Their numbers come from `service_report`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from io import StringIO
from typing import Final

import polars as pl
from rich import box
from rich.console import Console
from rich.table import Table

from fillrate_assets.fillrate.report import labels

TOTAL: Final = "TOTAL"
_NO_LIMIT: Final = 10_000


def format_report(groups: pl.DataFrame, total: pl.DataFrame, by: Sequence[str], *, styled: bool) -> str:
    """Format a report with its total as a table that is as wide as it must be; styled for a terminal."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    columns = [name for name in groups.columns if name not in by]
    for name in by:
        table.add_column(labels.format_heading(name), no_wrap=True)
    for name in columns:
        # A metric's target and gap go under it: the table stays narrow.
        table.add_column(
            labels.format_heading(name).replace(" target", "\ntarget").replace(" gap", "\ngap"),
            justify="right",
            no_wrap=True,
        )
    whole = {name: _is_whole(groups[name]) for name in columns}
    for row in groups.iter_rows(named=True):
        table.add_row(
            *["-" if row[name] is None else str(row[name]) for name in by], *_format_cells(row, columns, whole)
        )
    if total.height and by:
        table.add_section()
        table.add_row(
            TOTAL, *[""] * (len(by) - 1), *_format_cells(total.row(0, named=True), columns, whole), style="bold"
        )
    text = StringIO()
    # As wide as its content: cut-off numbers are worse than long lines.
    console = Console(file=text, force_terminal=styled, width=_NO_LIMIT)
    console.width = console.measure(table).maximum
    console.print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"


def _format_cells(
    row: dict[str, Decimal | int | date | None], columns: Sequence[str], whole: dict[str, bool]
) -> list[str]:
    return [_format_cell(name, row.get(name), whole=whole[name]) for name in columns]


def _format_cell(name: str, value: Decimal | int | date | None, *, whole: bool) -> str:
    if value is None:
        return "-"
    if not isinstance(value, Decimal):
        return f"{value:,}"
    if name.endswith("_gap"):
        return f"{value:+.2f}"
    return labels.format_cases(value, 0 if whole else 1) if name.endswith("_cases") else labels.format_percent(value)


def _is_whole(column: pl.Series) -> bool:
    """Return whether every quantity of a column is whole, so that its decimals line up either way."""
    return not column.dtype.is_decimal() or bool((column == column.floor()).fill_null(value=True).all())
