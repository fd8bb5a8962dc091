"""The schedule of who is on call, in words: who is, when no one is, and who share it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import combinations
from typing import Final

import polars as pl

from fillrate_assets.buffers.schema import ANY

_FORMAT: Final = "%a %d %b %H:%M"


def select_rows(on_call: pl.DataFrame, dc: str, warehouse: str) -> pl.DataFrame:
    """Select the rows of `ON_CALL` that a warehouse of a DC is in, those of its own first."""
    fits = [pl.col(name).is_in([ANY, value]) for name, value in (("dc", dc), ("warehouse", warehouse))]
    return on_call.filter(*fits).sort(pl.col("warehouse") == ANY, pl.col("dc") == ANY, "from_ts", "person")


def list_gaps(rows: pl.DataFrame, since: datetime, until: datetime) -> list[tuple[datetime, datetime]]:
    """List the times between two moments in which none of some rows of `ON_CALL` has anyone."""
    gaps, free = [], since
    for begin, end in rows.sort("from_ts").select("from_ts", "to_ts").iter_rows():
        if begin >= until:
            break
        if begin > free:
            gaps.append((free, begin))
        free = max(free, until if end is None else end)
    return [*gaps, (free, until)] if free < until else gaps


def list_problems(rows: pl.DataFrame, since: datetime, until: datetime) -> Iterator[str]:
    """List in words what may be a mistake in the rows of a warehouse: times are UTC."""
    for begin, end in list_gaps(rows, since, until):
        yield f"No one is on call from {begin:{_FORMAT}} to {end:{_FORMAT}} UTC."
    for one, other in combinations(rows.iter_rows(named=True), 2):
        begin = max(one["from_ts"], other["from_ts"], since)
        end = min(*(each["to_ts"] or until for each in (one, other)), until)
        same = all(one[name] == other[name] for name in ("dc", "warehouse"))
        if same and begin < end:
            who = " and ".join(sorted({one["person"], other["person"]}))
            yield f"{who} share it from {begin:{_FORMAT}} to {end:{_FORMAT}} UTC: each is notified."
