"""Comparison of item masters: which published days a change is about. Classifying lines again is no task of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import polars as pl

_DECISIVE: Final = ("item_type", "vendor", "department", "pack_size", "contract_committed")
"""What of an item changes records; its description does not."""


@dataclass(frozen=True)
class ItemChanges:
    """Items that changed for days in the past."""

    items: tuple[str, ...]
    first: date
    last: date


def find_item_changes(before: pl.DataFrame, after: pl.DataFrame, *, first: date, last: date) -> ItemChanges | None:
    """Find the items that are something else on days in a range than they were, and the days; None if none is.

    A row that only ends earlier or later changes the days in between.

    Args:
        before: `ITEMS` as the last run knew them.
        after: `ITEMS` as they are.
        first: the first day that was published.
        last: the last such day.

    """
    key = ["item", "valid_from"]
    old, new = (
        rows.select(*key, pl.col("valid_to").fill_null(date.max), pl.struct(_DECISIVE).hash().alias("facts"))
        for rows in (before, after)
    )
    end, new_end = pl.col("valid_to"), pl.col("valid_to_right")
    as_it_was = pl.col("facts").eq_missing(pl.col("facts_right"))
    days = (
        old.join(new, on=key, how="full", coalesce=True)
        .filter(~as_it_was | (end != new_end))
        .select(
            "item",
            pl.when(as_it_was)
            .then(pl.min_horizontal(end, new_end) + timedelta(days=1))
            .otherwise("valid_from")
            .clip(lower_bound=first)
            .alias("first"),
            pl.max_horizontal(end, new_end).clip(upper_bound=last).alias("last"),
        )
        .filter(pl.col("first") <= pl.col("last"))
    )
    if days.is_empty():
        return None
    (begin,), (until,) = days.select(pl.col("first").min()).row(0), days.select(pl.col("last").max()).row(0)
    return ItemChanges(tuple(days["item"].unique().sort()), begin, until)
