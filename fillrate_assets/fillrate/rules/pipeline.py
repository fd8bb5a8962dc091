"""Pipeline of the rules in one pass over all the frames at once: what an analyst computes without a platform.

The assets take the same steps one by one, day by day; what they store and this returns are the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

import polars as pl

from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.fillrate import demand_schema, schema
from fillrate_assets.fillrate.rules import (
    item_days,
    line_classification,
    loader_rejects,
    lost_cases,
    network_factor,
    quality_gate,
    rejects,
    rolling_baseline,
    weekday_index,
)
from fillrate_assets.fillrate.rules.quality_gate import GateLimits
from fillrate_assets.fillrate.rules.substitutes import SubstitutesElsewhere, find_substitutes_elsewhere


@dataclass(frozen=True)
class PartitionFilter:
    """DCs and ship dates to compute; None: no limit."""

    dcs: Sequence[str] | None = None
    first: date | None = None
    last: date | None = None

    def filter(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        """Filter the rows in scope."""
        within = [
            *([pl.col("dc").is_in(list(self.dcs))] if self.dcs is not None else []),
            *([pl.col("ship_date") >= self.first] if self.first else []),
            *([pl.col("ship_date") <= self.last] if self.last else []),
        ]
        return frame.filter(*within) if within else frame

    def covers(self, dc: str, day: date) -> bool:
        """Return whether a day of a DC is in scope."""
        return (
            (self.dcs is None or dc in self.dcs)
            and (self.first is None or day >= self.first)
            and (self.last is None or day <= self.last)
        )


@dataclass(frozen=True)
class Inputs:
    """The contracts' frames, and what was rejected before they were typed (`REJECTS`)."""

    order_lines: pl.LazyFrame
    shipment_lines: pl.LazyFrame
    instock_snapshots: pl.LazyFrame
    items: pl.LazyFrame
    waivers: pl.LazyFrame
    dc_calendar: pl.LazyFrame
    rejects: pl.LazyFrame
    time_zones: Mapping[str, str]
    times_complete: bool = False
    """Whether every shipment has a time."""

    gate: GateLimits = field(default_factory=GateLimits)
    """The shares that a day may have."""

    method: int = 1
    """Whose estimate is published, 1 or 2."""


@dataclass(frozen=True)
class Calculation:
    """What the rules make of the inputs; lines, records and rejects in scope, item-days with their look-back."""

    lines: pl.DataFrame
    item_days: pl.DataFrame
    records: pl.DataFrame
    rejects: pl.DataFrame
    held: Mapping[PartitionKey, str]
    """Reason by DC and ship date; held days have no records."""
    doubtful: Mapping[PartitionKey, str]
    """Days with so many rejects that the platform would hold them; an analyst gets their records, and a warning."""


def classify_sources(
    order_lines: pl.LazyFrame,
    shipment_lines: pl.LazyFrame,
    snapshots: pl.LazyFrame,
    items: pl.LazyFrame,
    time_zones: Mapping[str, str] | None = None,
    *,
    times_complete: bool = False,
    elsewhere: SubstitutesElsewhere | None = None,
) -> pl.LazyFrame:
    """Classify the rows of all three sources; arguments as of `classify_lines`, and `INSTOCK_SNAPSHOTS`.

    Returns:
        `CLASSIFIED_LINES`.

    """
    lines = line_classification.classify_lines(
        order_lines, shipment_lines, items, time_zones, times_complete=times_complete, elsewhere=elsewhere
    )
    return pl.concat([lines, item_days.classify_snapshot_rejects(snapshots)])


def calculate(inputs: Inputs, scope: PartitionFilter | None = None) -> Calculation:
    """Compute lost-case records of every DC and ship date in scope that can be judged.

    Rows before the scope serve as look-back. A row that could be placed on a day but not typed counts against that
    day's reject rate like one that the rules reject.

    Returns:
        Lines (`CLASSIFIED_LINES`), item-days (`ITEM_DAYS`), records (`LOST_CASES`, sorted by key), rejects
        (`REJECTS`; those without a day belong to every scope) and the held days.

    """
    scope = scope or PartitionFilter()
    classified = classify_sources(
        inputs.order_lines,
        inputs.shipment_lines,
        inputs.instock_snapshots,
        inputs.items,
        inputs.time_zones,
        times_complete=inputs.times_complete,
        elsewhere=find_substitutes_elsewhere(inputs.order_lines, inputs.shipment_lines),
    ).collect()
    days = item_days.compute_item_days(classified.lazy(), inputs.instock_snapshots, inputs.items).collect()
    in_scope = scope.filter(classified.lazy())
    judged = scope.filter(days.lazy())
    held = quality_gate.find_days_without_snapshot(judged, inputs.gate, calendar=inputs.dc_calendar)
    counts = loader_rejects.count_loader_rejects(inputs.order_lines, inputs.shipment_lines, inputs.rejects)
    doubtful = quality_gate.join_reasons(
        quality_gate.find_days_of_rejects(in_scope, inputs.gate, scope.filter(counts)),
        quality_gate.find_doubts(in_scope),
    )
    held_rows = pl.LazyFrame(list(held), schema={"dc": pl.String, "ship_date": pl.Date}, orient="row")
    ship_dates = judged.select(pl.col("ship_date").unique().sort()).collect().to_series().to_list()
    averages, indices, factors, weights = _compute_expectations(days, ship_dates, inputs.dc_calendar)
    records = lost_cases.compute_lost_cases(
        judged.join(held_rows, on=["dc", "ship_date"], how="anti"),
        averages,
        inputs.waivers,
        inputs.dc_calendar,
        indices=indices,
        factors=factors,
        weights=weights,
        method=inputs.method,
    ).sort("dc", "ship_date", "item")
    placeless = pl.col("dc").is_null() | pl.col("ship_date").is_null()
    rejected = pl.concat(
        [
            inputs.rejects.filter(placeless),
            scope.filter(inputs.rejects.filter(~placeless)),
            rejects.select_rejects(in_scope),
        ]
    ).sort("table", "dc", "ship_date", "key", "reason", "raw")
    scoped_lines, scoped_records, scoped_rejects = pl.collect_all(
        [in_scope, schema.LOST_CASES.conform(records), schema.REJECTS.conform(rejected)]
    )
    return Calculation(scoped_lines, days, scoped_records, scoped_rejects, held, doubtful)


def _compute_expectations(
    days: pl.DataFrame, ship_dates: Sequence[date], calendar: pl.LazyFrame
) -> tuple[pl.LazyFrame, pl.LazyFrame, pl.LazyFrame, pl.LazyFrame]:
    """Compute `ROLLING_AVERAGES`, `WEEKDAY_INDICES`, `NETWORK_FACTORS` and `FACTOR_WEIGHTS` of ship dates.

    A single DC has none to compare with. The weights are learned from the days before, which need all the rest too.
    """
    alone = days["dc"].n_unique() <= 1
    back = range(1 if alone else network_factor.WEIGHT_DAYS + 1)
    dates = sorted({day - timedelta(days=n) for day in ship_dates for n in back} & set(days["ship_date"].unique()))
    averages, indices = pl.collect_all(
        [
            rolling_baseline.compute_rolling_averages(days.lazy(), dates, calendar),
            weekday_index.compute_weekday_indices(days.lazy(), dates, calendar),
        ]
    )
    if alone:
        nothing = demand_schema.NETWORK_FACTORS.make_empty(), demand_schema.FACTOR_WEIGHTS.make_empty()
        return averages.lazy(), indices.lazy(), *nothing
    today = days.lazy().filter(pl.col("ship_date").is_in(dates))
    usual = network_factor.compute_usual_demand(today, averages.lazy(), indices.lazy(), calendar).collect()
    compared = network_factor.compare_usual_demand(usual.lazy()).collect().lazy()
    weights = network_factor.learn_factor_weights(network_factor.compute_factor_fits(compared), ship_dates)
    return averages.lazy(), indices.lazy(), demand_schema.NETWORK_FACTORS.conform(compared), weights
