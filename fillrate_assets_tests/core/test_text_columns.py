"""Text columns: what they say, and that no batch without rows disturbs them."""

from __future__ import annotations

from decimal import Decimal

import polars as pl
import pytest

from fillrate_assets.core.decimals import CASES
from fillrate_assets.core.text_columns import format_text

FRAME = pl.DataFrame(
    {"name": ["a", None, "c"], "count": [1, 2, 3], "cases": [Decimal("1.5"), Decimal(2), None]},
    schema_overrides={"cases": CASES},
)


@pytest.mark.parametrize(
    ("template", "values", "expected"),
    [
        ("{}", ["name"], ["a", None, "c"]),
        ("item {}", ["name"], ["item a", None, "item c"]),
        ("{} of {}!", ["count", pl.col("count") + 1], ["1 of 2!", "2 of 3!", "3 of 4!"]),
        ("{}{}", ["name", "count"], ["a1", None, "c3"]),
        ("{} cases", ["cases"], ["1.5000 cases", "2.0000 cases", None]),
        ("{}: {}", [pl.lit("x"), "count"], ["x: 1", "x: 2", "x: 3"]),
    ],
)
def test_a_text_has_its_values_in_their_places(
    template: str, values: list[str | pl.Expr], expected: list[str | None]
) -> None:
    assert FRAME.select(text=format_text(template, *values))["text"].to_list() == expected
    assert FRAME.lazy().head(0).select(text=format_text(template, *values)).collect()["text"].to_list() == []


def test_batches_without_rows_are_no_trouble() -> None:
    # Of a batch for each part of the frame; those that the filter leaves empty make `pl.format` panic.
    parts = [
        pl.DataFrame({"name": ["a"] * rows, "is_left": is_left})
        for rows, is_left in ((3, False), (2, True), (4, False))
    ]
    rows = pl.concat(parts, rechunk=False).lazy().filter("is_left")
    assert rows.select(text=format_text("item {}", "name")).collect()["text"].to_list() == ["item a"] * 2


@pytest.mark.parametrize("values", [[], ["name", "count"]])
def test_each_place_has_a_value(values: list[str]) -> None:
    with pytest.raises(ValueError, match=rf"'item \{{\}}' has 1 places, and there are {len(values)} values"):
        format_text("item {}", *values)
