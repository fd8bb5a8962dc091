"""How well the estimates match the sample's truth: what only a made-up network shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

from fillrate_assets.core import decimals
from fillrate_assets.core.decimals import format_percent, to_units
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.rules.rolling_baseline import LOOK_BACK_DAYS

_KEY: Final = ["dc", "ship_date", "item"]


@dataclass(frozen=True)
class Score:
    """Estimated against true lost cases beyond what was ordered, over out-of-stock item-days."""

    days: int
    """Item-days compared."""
    true_lost_cases: float
    """Cases that stores wanted and, seeing the item out of stock, did not order."""
    estimated_cases: float
    """What was estimated for the same item-days."""
    absolute_error_cases: float
    """Sum of the differences per item-day, whichever their sign."""
    by_source: tuple[tuple[str, Score], ...] = ()
    """The same per `baseline_source`."""

    @property
    def bias(self) -> float | None:
        """Share by which the total is estimated too high; None where nothing was truly lost."""
        return (self.estimated_cases - self.true_lost_cases) / self.true_lost_cases if self.true_lost_cases else None

    @property
    def wape(self) -> float | None:
        """Absolute error per true lost case; None where nothing was truly lost."""
        return self.absolute_error_cases / self.true_lost_cases if self.true_lost_cases else None

    def describe(self) -> str:
        """Describe how far off the estimates are, in total and one by one."""
        if self.bias is None or self.wape is None:
            return "there is nothing to score"
        direction = "many" if self.bias >= 0 else "few"
        return (
            f"estimated {self.estimated_cases:,.0f}: {format_percent(abs(self.bias))} too {direction} in total, "
            f"{format_percent(self.wape, 0)} off item by item and day by day"
        )


def format_scores(records: pl.DataFrame, truth: pl.DataFrame) -> list[str]:
    """Format how well each method estimates, for a buyer: the truth, and a line for each.

    Args:
        records: as of `compute_score`.
        truth: as of `compute_score`.

    """
    scores = {method: compute_score(records, truth, f"method_{method}_cases") for method in schema.METHOD_VERSIONS}
    score = next(iter(scores.values()))
    if score.wape is None:
        return [f"No demand went unordered on {score.days:,} out-of-stock item-days: there is nothing to score."]
    versions = set(records["method_version"])
    counted = {method for method, version in schema.METHOD_VERSIONS.items() if versions == {version}}
    return [
        f"On {score.days:,} out-of-stock item-days stores left {score.true_lost_cases:,.0f} cases unordered.",
        *(
            f"Method {method}{', which counts,' if method in counted else ''} {each.describe()}."
            for method, each in scores.items()
        ),
    ]


def compute_score(records: pl.DataFrame, truth: pl.DataFrame, estimate: str = "estimated_cases") -> Score:
    """Compare estimates with the truth, where there are any: STOCK_OUT and imputed MISSING.

    The truth of an item-day is its demand above what was ordered. The first 28 days of the truth are left out:
    they have no full look-back yet.

    Args:
        records: `schema.LOST_CASES`.
        truth: dc, ship_date, item, demand_cases: `Activity.truth` of the same DCs and days.
        estimate: the column of the estimates; records that lack it are left out.

    """
    history_begins = pl.lit(truth.select(pl.col("ship_date").min()).item(), pl.Date)
    judged = (
        records.filter((pl.col("path") == "STOCK_OUT") | pl.col("imputed"), pl.col(estimate).is_not_null())
        .join(truth, on=_KEY)
        .filter(pl.col("ship_date") >= history_begins + pl.duration(days=LOOK_BACK_DAYS))
        .select(
            "baseline_source",
            to_units(estimate).alias("estimated"),
            pl.max_horizontal(to_units("demand_cases") - to_units("ordered_cases"), 0).alias("true"),
        )
    )
    by_source = [(source, _sum_score(judged.filter(baseline_source=source))) for source in schema.BASELINE_SOURCES]
    return _sum_score(judged, tuple(by_source))


def _sum_score(judged: pl.DataFrame, by_source: tuple[tuple[str, Score], ...] = ()) -> Score:
    def sum_where(expr: pl.Expr) -> float:
        return int(judged.select(expr.sum()).item()) / decimals.PLACES

    true, estimated = pl.col("true"), pl.col("estimated")
    return Score(judged.height, sum_where(true), sum_where(estimated), sum_where((estimated - true).abs()), by_source)
