"""What method 2 costs beside method 1: rules and lake of both, as the assets and the comparison of DCs call them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import polars as pl

from benchmarks.year_contenders import (
    Outcome,
    Stopwatch,
    add_totals,
    store_averages,
    store_item_days,
    store_records,
    sum_measures,
)
from benchmarks.year_network import Size, list_months
from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.fillrate import demand_schema, schema
from fillrate_assets.fillrate.defs.network import DATES_AT_ONCE
from fillrate_assets.fillrate.rules import lost_cases, network_factor, rolling_baseline, weekday_index
from fillrate_assets.orchestration.ui_metadata import split_by_day
from fillrate_assets.storage.lake import Lake


def run_both_methods(root: Path, size: Size) -> tuple[Outcome, Outcome]:
    """Run method 1 alone and both methods side by side, a month of each at a time, as the machine does other work too.

    What is usual of each DC, then the comparison of each date, then the records of each DC; what comes before is the
    same for both, and runs once.
    """
    alone, both = (Lake(str(root / "output" / name)) for name in ("alone", "both"))
    shared, first, second = Stopwatch(), Stopwatch(), Stopwatch()
    known: dict[str, Lake] = {}
    for dc in size.dc_names:
        with shared:
            known[dc] = store_item_days(root / "input", root / "output" / "shared", dc, size)
        for month in list_months(dc, size):
            with first:
                store_averages(known[dc], alone, dc, month)
            with second:
                _store_usual(known[dc], both, dc, month)
    with second:
        weeks = [size.ship_dates[begin : begin + DATES_AT_ONCE] for begin in range(0, size.days, DATES_AT_ONCE)]
        fits = pl.concat([_compare_dcs(both, size.dc_names, dates) for dates in weeks]).lazy()
        weights = network_factor.learn_factor_weights(fits, size.ship_dates).collect()
    for dc in size.dc_names:
        for month in list_months(dc, size):
            with first:
                store_records(known[dc], alone, month)
            with second:
                _store_records(known[dc], both, month, weights.lazy())
    return _sum_up("method 1", shared + first, alone, size), _sum_up("methods 1 and 2", shared + second, both, size)


def _sum_up(name: str, watch: Stopwatch, stored: Lake, size: Size) -> Outcome:
    return watch.outcome(name, add_totals(sum_measures(stored, dc) for dc in size.dc_names))


def _store_usual(known: Lake, stored: Lake, dc: str, month: Sequence[PartitionKey]) -> None:
    """Store all that comes before the comparison of DCs, and compute the versions by which it is due."""
    history, days = known.scan(schema.ITEM_DAYS, [dc]), [day for _, day in month]
    stored.write(schema.ROLLING_AVERAGES, rolling_baseline.compute_rolling_averages(history, days).collect(), month)
    stored.write(demand_schema.WEEKDAY_INDICES, weekday_index.compute_weekday_indices(history, days).collect(), month)
    of_days, averages, indices = _read_judged(known, stored, month)
    usual = network_factor.compute_usual_demand(of_days, averages, indices).collect()
    stored.write(demand_schema.USUAL_DEMAND, usual, month)
    for rows in usual.partition_by("ship_date"):
        network_factor.compute_version(rows)


def _compare_dcs(stored: Lake, dcs: Sequence[str], dates: Sequence[date]) -> pl.DataFrame:
    """Store the factors that records follow; return what the weights of later days need."""
    days = [PartitionKey(dc, day) for dc in dcs for day in dates]
    usual = stored.read(demand_schema.USUAL_DEMAND, days).collect().lazy()
    compared = network_factor.compare_usual_demand(usual).collect().lazy()
    fits = network_factor.compute_factor_fits(compared).collect()
    followed = split_by_day(network_factor.select_followed(compared).collect())
    for day, rows in followed.items():
        network_factor.compute_version(rows)
        stored.write(demand_schema.NETWORK_FACTORS, rows, [day])
    return fits


def _store_records(known: Lake, stored: Lake, month: Sequence[PartitionKey], weights: pl.LazyFrame) -> None:
    """Store the records of a month."""
    of_days, averages, indices = _read_judged(known, stored, month)
    records = lost_cases.compute_lost_cases(
        of_days,
        averages,
        schema.WAIVERS.make_empty(),
        indices=indices,
        factors=stored.read(demand_schema.NETWORK_FACTORS, month),
        weights=weights,
    )
    stored.write(schema.LOST_CASES, records.collect(), month)


def _read_judged(known: Lake, stored: Lake, month: Sequence[PartitionKey]) -> tuple[pl.LazyFrame, ...]:
    """Read what both the comparison and the records look at: item-days, averages and indices."""
    frames = (schema.ROLLING_AVERAGES, demand_schema.WEEKDAY_INDICES)
    return known.read(schema.ITEM_DAYS, month), *(stored.read(frame, month) for frame in frames)


def report_method_2(first: Outcome, both: Outcome) -> int:
    """Print what both methods take against the first alone; 1 if they differ in what is of method 1."""
    print(f"\n{'contender':<28}{'seconds':>10}{'CPU s':>10}{'to method 1':>14}")
    for outcome in (first, both):
        ratio = outcome.cpu_seconds / first.cpu_seconds
        print(f"{outcome.name:<28}{outcome.seconds:>10.1f}{outcome.cpu_seconds:>10.1f}{ratio:>13.2f}x")
    print(
        f"\nSums of records: {'equal' if first.totals == both.totals else 'MISMATCH'}. Peak: {both.peak_gb:.2f} GB.\n"
        "How to read: method 1 is without a frame or column of method 2; what comes before baselines counts for both."
    )
    return int(first.totals != both.totals)
