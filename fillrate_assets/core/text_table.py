"""Tables of text, the one layout of everything that people read in a terminal or in a file.

What is in a table belongs to the report that prints it. The width of a terminal plays no part: nothing is cut off, and
what is piped is what was shown.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterator, Sequence
from typing import Final

from fillrate_assets.core.shown_text import escape_controls

_GAP: Final = "  "
_RULE: Final = "─"


def format_table(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    numbers: Collection[str] = (),
    title: str = "",
    total: Sequence[str] | None = None,
) -> list[str]:
    r"""Format rows as aligned columns, each as wide as its content.

    Args:
        headings: of the columns; one may have several lines.
        rows: the cells, each in one line; what a terminal would act on is escaped.
        numbers: headings of the columns that are aligned to the right.
        title: a line above the table.
        total: a last row below a rule.

    Returns:
        Lines without blanks at their ends.

    >>> print("\n".join(format_table(["dc", "cases"], [["DC01", "1,250"], ["DC02", "38"]], numbers=["cases"])))
    dc    cases
    ───────────
    DC01  1,250
    DC02     38

    """
    head = [heading.split("\n") for heading in headings]
    rows = [[escape_controls(cell) for cell in row] for row in rows]
    height = max((len(lines) for lines in head), default=0)
    top = [[lines[row] if row < len(lines) else "" for lines in head] for row in range(height)]
    below = [*rows, *([total] if total is not None else [])]
    widths = [max(map(_measure, column), default=0) for column in zip(*top, *below, strict=True)]
    right = [heading in numbers for heading in headings]
    rule = _RULE * (sum(widths) + len(_GAP) * (len(widths) - 1))
    lines = [*_align(top, widths, right), rule, *_align(rows, widths, right)]
    if total is not None:
        lines += [rule, *_align([total], widths, right)]
    return [*([title] if title else []), *lines]


def _align(rows: Sequence[Sequence[str]], widths: Sequence[int], right: Sequence[bool]) -> Iterator[str]:
    for row in rows:
        cells = zip(row, widths, right, strict=True)
        yield _GAP.join(
            f"{' ' * (width - _measure(cell))}{cell}" if to_right else f"{cell}{' ' * (width - _measure(cell))}"
            for cell, width, to_right in cells
        ).rstrip()


def _measure(text: str) -> int:
    """Measure the columns of a terminal that a text takes: letters of some scripts take two, accents none."""
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )
