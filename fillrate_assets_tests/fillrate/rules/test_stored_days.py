"""Days of which the record store, the lake and Dagster say something else."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from fillrate_assets.fillrate.rules.stored_days import DISAGREEMENTS, find_disagreements

DAY = date(2026, 2, 12)
DAYS = pl.Schema({"dc": pl.String(), "ship_date": pl.Date()})


@pytest.mark.parametrize(
    ("state", "records", "stored", "shown", "problems"),
    [
        ("PUBLISHED", 2, 2, True, []),
        ("PUBLISHED", 0, 0, True, []),
        ("PUBLISHED", 2, None, True, ["not in the lake"]),
        ("PUBLISHED", 2, 3, True, ["other records"]),
        ("PUBLISHED", 2, 2, False, ["not shown"]),
        ("PUBLISHED", 2, None, False, ["not in the lake", "not shown"]),
        ("HELD", 2, None, True, []),
        ("HELD", 2, 3, True, []),
        (None, 0, 2, True, ["not published", "shown only"]),
        (None, 0, 0, False, ["not published"]),
        (None, 0, None, True, ["shown only"]),
    ],
)
def test_a_day_is_wrong_where_two_of_the_three_do_not_agree(
    state: str | None,
    records: int,
    stored: int | None,
    shown: bool,  # noqa: FBT001 - a column of the table
    problems: list[str],
) -> None:
    ledger = {"dc": ["DC01"], "ship_date": [DAY], "state": [state], "records": [records]}
    found = find_disagreements(
        pl.DataFrame(ledger, schema={**DAYS, "state": pl.String, "records": pl.Int64}).filter(
            pl.col("state").is_not_null()
        ),
        pl.DataFrame([("DC01", DAY, stored)], schema={**DAYS, "records": pl.Int64}, orient="row").filter(
            pl.col("records").is_not_null()
        ),
        pl.DataFrame([("DC01", DAY)] if shown else [], schema=DAYS, orient="row"),
    )
    assert found["problem"].to_list() == problems
    assert set(problems) <= set(DISAGREEMENTS)
