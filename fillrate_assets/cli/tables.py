"""Tables that commands print: one look for all of them. What is in them belongs to the command."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.table import Table


def build_table(title: str, *columns: str) -> Table:
    """Build an empty table with a title; the first column and those without a name are text, the others numbers."""
    table = Table(title=f"\n{title}", title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    for position, name in enumerate(columns):
        table.add_column(name, justify="left" if position == 0 or not name else "right")
    return table
