"""How good the recommendations were, as commands and workbooks say it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import polars as pl

from fillrate_assets.core.decimals import format_cases, format_percent
from fillrate_assets.core.text_table import format_table
from fillrate_assets.replenishment.rules.scoring import add_up_service

_DONE: Final = {"ACCEPTED": "accepted", "CHANGED": "changed", "REFUSED": "refused"}


def format_service(days: pl.DataFrame) -> Iterator[str]:
    """Format `SERVICE_OF_DAY` of a while: the service reached by DC, class of item and target."""
    reached = add_up_service(days.lazy()).collect()
    if reached.is_empty():
        yield "no period is past yet of which every ship day was observed"
        return
    numbers = ["target", "periods", "served", "reached", "short"]
    rows = [
        [
            row["dc"],
            row["item_class"],
            format_percent(row["quantile"]),
            f"{row['periods']:,}",
            f"{row['served']:,}",
            format_percent(row["reached"]),
            format_cases(row["short_cases"]),
        ]
        for row in reached.iter_rows(named=True)
    ]
    yield from format_table(["dc", "class", *numbers], rows, numbers=numbers)


def summarize_service(days: pl.DataFrame) -> Iterator[str]:
    """Summarize `SERVICE_OF_DAY` by target: one sentence for each."""
    by_target = days.group_by("quantile").agg(pl.col("periods", "served").sum()).sort("quantile")
    for target, periods, served in by_target.iter_rows():
        reached = format_percent(served / periods)
        yield f"{reached} of {periods:,} periods served for a target of {format_percent(target)}"


def format_decisions(decided: pl.DataFrame) -> Iterator[str]:
    """Format `DECIDED_SERVICE`: what the decisions of buyers did, beside what was recommended."""
    for row in decided.iter_rows(named=True):
        past = (
            "none is past and wholly observed yet"
            if not row["periods"]
            else f"of {row['periods']:,} that are past the recommendation sufficed for {row['served_recommended']:,},"
            f" what was ordered for {row['served_decided']:,}; short {format_cases(row['short_decided_cases'])} cases"
            f" instead of {format_cases(row['short_recommended_cases'])}"
        )
        yield f"{row['decided']:,} {_DONE[row['decision']]}: {past}"
