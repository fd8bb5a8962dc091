"""What method 2 costs beside method 1: rules and lake of both, as the assets and the comparison of DCs call them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from statistics import median

import polars as pl

from benchmarks.year_contenders import Outcome, Stopwatch, store_item_days
from benchmarks.year_network import Size, list_months
from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.fillrate import demand_schema, schema
from fillrate_assets.fillrate.defs.network import DATES_AT_ONCE
from fillrate_assets.fillrate.rules import lost_cases, network_factor, rolling_baseline, weekday_index
from fillrate_assets.orchestration.ui_metadata import split_by_day
from fillrate_assets.storage.lake import Lake


def run_both_methods(root: Path, size: Size) -> Outcome:
    """Run the rules of both methods: what is usual of each DC, the comparison of each date, the records of each DC."""
    output = root / "output" / "both"
    stored, watch = Lake(str(output)), Stopwatch()
    with watch:
        for dc in size.dc_names:
            known = store_item_days(root / "input", output, dc, size)
            for month in list_months(dc, size):
                _store_usual(known, stored, dc, month)
        at_once = [size.ship_dates[begin : begin + DATES_AT_ONCE] for begin in range(0, size.days, DATES_AT_ONCE)]
        fits = pl.concat([_compare_dcs(stored, size.dc_names, dates) for dates in at_once]).lazy()
        weights = network_factor.learn_factor_weights(fits, size.ship_dates).collect()
        for dc in size.dc_names:
            for month in list_months(dc, size):
                _store_records(known, stored, month, weights.lazy())
    return watch.outcome("methods 1 and 2", {})


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


def report_method_2(pairs: Sequence[tuple[Outcome, Outcome]]) -> int:
    """Print what both methods take together against the first alone, one after the other in each pair."""
    print(f"\n{'pair':<8}{'contender':<28}{'seconds':>10}{'CPU s':>10}{'peak GB':>10}{'CPU to method 1':>18}")
    ratios = [both.cpu_seconds / first.cpu_seconds for first, both in pairs]
    for number, (pair, ratio) in enumerate(zip(pairs, ratios, strict=True), start=1):
        for name, outcome, beside in zip(("method 1", "methods 1 and 2"), pair, ("", f"{ratio:.2f}x"), strict=True):
            figures = f"{outcome.seconds:>10.1f}{outcome.cpu_seconds:>10.1f}{outcome.peak_gb:>10.2f}{beside:>18}"
            print(f"{number:<8}{name:<28}{figures}")
    print(
        f"\nmedian: {median(ratios):.2f} times the CPU seconds of method 1 alone, without a frame or column of method 2"
    )
    return 0
