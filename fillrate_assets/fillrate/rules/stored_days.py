"""Days of which the record store, the lake and Dagster say something else, as after a restore."""

from __future__ import annotations

from typing import Final

import polars as pl

DISAGREEMENTS: Final = {
    "not in the lake": "the record store has records of the day, the lake has not: `fillrate run` computes it again",
    "other records": "the lake has another number of records: `fillrate run` computes the day again",
    "not published": "the lake has records that were not published: the sensor requests the day again",
    "not shown": "Dagster does not know that the day was published: `fillrate run` shows it",
    "shown only": "Dagster shows a day that the record store does not have: the sensor requests it again",
}
"""What may be wrong with a day, and what it means."""

_KEY: Final = ["dc", "ship_date"]


def find_disagreements(ledger: pl.DataFrame, stored: pl.DataFrame, shown: pl.DataFrame) -> pl.DataFrame:
    """Find days of which the three say something else.

    Args:
        ledger: as `LEDGER`.
        stored: dc, ship_date and records of each day that the lake has records of, be it none.
        shown: dc and ship_date of each day that Dagster shows as published or held.

    Returns:
        dc, ship_date and problem, one of `DISAGREEMENTS`, sorted.

    """
    known = ledger.select(*_KEY, "state", in_force="records")
    published = known.filter(pl.col("state") == "PUBLISHED").join(stored, on=_KEY, how="left")
    found = {
        "not in the lake": published.filter(pl.col("records").is_null()),
        "other records": published.filter(pl.col("records") != pl.col("in_force")),
        "not published": stored.join(known, on=_KEY, how="anti"),
        "not shown": known.join(shown, on=_KEY, how="anti"),
        "shown only": shown.join(known, on=_KEY, how="anti"),
    }
    return pl.concat(days.select(*_KEY, problem=pl.lit(problem)) for problem, days in found.items()).sort(
        *_KEY, "problem"
    )
