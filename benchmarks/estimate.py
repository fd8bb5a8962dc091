"""The estimate of lost cases by method 1, by method 2, by each of its steps, and by LightGBM with everything.

    python -m benchmarks.estimate                     # the sample network, whose truth is known
    python -m benchmarks.estimate PATH                # and 4.5 million real store-days
    python -m benchmarks.estimate PATH --stores 100   # a part of them
    python -m benchmarks.estimate PATH --no-sample --choose

On the sample the score is that of the demo: cases that stores wanted of an item that was out and did not order. Real
demand of such days is unknown; there, what sold on a day without a stock-out is predicted from the days before and
from what the other stores sold that day. LightGBM learns from the first days, and all are scored on the last ones;
`--choose` shows how other constants of method 2 do on the first days alone.

Data: FreshRetailNet-50K, Dingdong-Inc, CC-BY-4.0, https://huggingface.co/datasets/Dingdong-Inc/FreshRetailNet-50K
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import polars as pl

from benchmarks import baseline_backtest, estimate_lightgbm
from benchmarks.baseline_backtest import GROUPS, STORES_AT_A_TIME
from fillrate_assets.core import decimals, parsing
from fillrate_assets.core.table_schema import TableSchema
from fillrate_assets.core.text_columns import format_text
from fillrate_assets.fillrate import demand_schema, schema
from fillrate_assets.fillrate.rules import (
    network_factor,
    pipeline,
    rolling_baseline,
    unbiased_estimate,
    weekday_index,
)
from fillrate_assets.sample.network import Network, NetworkMasterData, draw_master_data, simulate_activity
from fillrate_assets.sample.score import compute_score

KEY: Final = ["dc", "ship_date", "item"]
PARTED: Final = ", days turned"


@dataclass(frozen=True)
class Variant:
    """Which steps of method 2 are taken; none: method 1."""

    name: str
    level: bool = False
    weekday: bool = False
    network: bool = False
    shipped: bool = False
    """Nothing is added where something shipped."""
    calibrated: bool = False


METHOD_1: Final = Variant("method 1")
METHOD_2: Final = Variant("method 2", level=True, weekday=True, network=True, shipped=True, calibrated=True)
LEVEL: Final = Variant("its level alone", level=True)
WEEKDAY: Final = Variant("its weekday index alone", weekday=True)
NETWORK: Final = Variant("its factor of the network alone", network=True)
WITHOUT_NETWORK: Final = replace(METHOD_2, name="method 2 without the network", network=False)
ON_SALES: Final = (METHOD_1, LEVEL, WEEKDAY, NETWORK, WITHOUT_NETWORK, METHOD_2)
ON_SAMPLE: Final = (
    METHOD_1,
    Variant("nothing where something shipped", shipped=True),
    LEVEL,
    WEEKDAY,
    NETWORK,
    Variant("its calibration alone", calibrated=True),
    WITHOUT_NETWORK,
    METHOD_2,
)


@dataclass(frozen=True)
class Constants:
    """The constants of method 2, by default those of the rules."""

    steadying: int = rolling_baseline.STEADYING_OBSERVATIONS
    weekday_prior: int = weekday_index.PRIOR_OBSERVATIONS
    weight_days: int = network_factor.WEIGHT_DAYS
    weight_prior: int = network_factor.PRIOR_DEVIATION


CANDIDATES: Final = {
    "steadying": (0, 2, 4, 6, 8),
    "weekday_prior": (0, 20, 100),
    "weight_days": (3, 7, 14),
    "weight_prior": (1, 2, 4),
}


@dataclass(frozen=True)
class Days:
    """Item-days of a network and the ship dates that can be estimated."""

    item_days: pl.DataFrame
    ship_dates: Sequence[date]

    @property
    def estimated(self) -> pl.LazyFrame:
        """Return the item-days of those dates."""
        return self.item_days.lazy().filter(pl.col("ship_date").is_in(self.ship_dates))

    def yield_dcs(self) -> Iterator[pl.LazyFrame]:
        """Yield the item-days of some DCs at a time, to save memory."""
        dcs = self.item_days["dc"].unique().sort().to_list()
        size = STORES_AT_A_TIME if len(dcs) > STORES_AT_A_TIME else 1
        for start in range(0, len(dcs), size):
            yield self.item_days.lazy().filter(pl.col("dc").is_in(dcs[start : start + size]))


def main() -> int:
    """Score on the sample and on real sales."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("path", type=Path, nargs="?", help="the Parquet file of daily sales")
    parser.add_argument("--stores", type=int, help="so many of its stores; default: all")
    parser.add_argument("--choose", action="store_true", help="try other constants on the first days")
    parser.add_argument("--no-sample", action="store_true", help="leave the sample network out")
    parser.add_argument("--dcs", type=int, default=10, help="size of the sample network")
    parser.add_argument("--items", type=int, default=7_209)
    parser.add_argument("--days", type=int, default=60)
    arguments = parser.parse_args()
    if arguments.path is not None and not arguments.path.exists():
        print(f"{arguments.path} is not there: pass the Parquet file of daily sales", file=sys.stderr)
        return 2
    if not arguments.no_sample:
        # Late corrections to single lines matter to no score, and parsing them needs the systems that hold them.
        score_sample(Network(dcs=arguments.dcs, items=arguments.items, days=arguments.days, corrections_per_day=0))
    if arguments.path is not None:
        score_sales(baseline_backtest.read(arguments.path, arguments.stores), choose=arguments.choose)
    return 0


def score_sample(network: Network) -> None:
    """Score what was estimated of days out of stock against what stores wanted and did not order."""
    found = [_calculate(network, draw_master_data(network), dc) for dc in network.dc_codes]
    item_days, records, truth = (pl.concat(frames) for frames in zip(*found, strict=True))
    days = _find_dates(item_days)
    print(f"Sample: {network.dcs} DCs x {network.items:,} items, {days.ship_dates[0]} to {days.ship_dates[-1]}")
    print(f"\n{'':<50}{'true':>12}{'estimated':>12}{'bias':>8}{'WAPE':>8}")
    for variant in ON_SAMPLE:
        expected, weight = expect(days, variant)
        score = compute_score(_estimate(records, expected, variant), truth)
        print(
            f"{variant.name:<50}{score.true_lost_cases:>12,.0f}{score.estimated_cases:>12,.0f}"
            f"{score.bias:>8.1%}{score.wape:>8.3f}{_format_weight(variant, weight)}",
            flush=True,
        )


def _calculate(network: Network, master: NetworkMasterData, dc: str) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Compute item-days and records of a DC, beside the truth."""
    received = simulate_activity(network, dc)

    def parse(frame: pl.DataFrame, contract: TableSchema) -> pl.LazyFrame:
        return parsing.parse_frame(frame.lazy(), contract, table=contract.name)

    inputs = pipeline.Inputs(
        order_lines=parse(received.order_lines, schema.ORDER_LINES),
        shipment_lines=parse(received.shipment_lines, schema.SHIPMENT_LINES),
        instock_snapshots=parse(
            received.instock_snapshots.rename({"snapshot_date": "ship_date"}), schema.INSTOCK_SNAPSHOTS
        ),
        items=master.items.lazy(),
        waivers=master.waivers.lazy(),
        dc_calendar=schema.DC_CALENDAR.make_empty(),
        rejects=schema.REJECTS.make_empty(),
        time_zones=dict(master.dcs.select("dc", "time_zone").iter_rows()),
    )
    calculation = pipeline.calculate(inputs)
    return calculation.item_days, calculation.records, received.truth


def _estimate(records: pl.DataFrame, expected: pl.DataFrame, variant: Variant) -> pl.DataFrame:
    """Put the estimates of a variant into the records."""
    if variant.calibrated:
        shipped = pl.col("shipped_cases") if variant.shipped else pl.lit(0).cast(decimals.CASES).alias("shipped_cases")
        out = records.filter((pl.col("path") == "STOCK_OUT") | pl.col("imputed")).select(*KEY, "ordered_cases", shipped)
        known = out.join(expected.select(*KEY, "expected_cases"), on=KEY, how="left")
        estimates = unbiased_estimate.add_unbiased_cases(known.lazy()).collect()
        found = estimates.select(*KEY, pl.col("method_2_cases").alias("estimate"))
        return records.drop("estimated_cases").join(found, on=KEY, how="left").rename({"estimate": "estimated_cases"})
    beyond = pl.max_horizontal(pl.col("expected_cases") - pl.col("ordered_cases"), pl.lit(0).cast(decimals.CASES))
    counted = (pl.col("shipped_cases") == 0) | (not variant.shipped)
    return (
        records.drop("estimated_cases", "expected_cases")
        .join(expected.select(*KEY, "expected_cases"), on=KEY, how="left")
        .with_columns(
            pl.when(counted).then(beyond).otherwise(0).fill_null(0).cast(decimals.CASES).alias("estimated_cases")
        )
    )


def score_sales(sales: pl.DataFrame, *, choose: bool) -> None:
    """Score what was predicted of the last days without a stock-out, by the days out in the week before."""
    days = _find_dates(sales)
    middle = days.ship_dates[len(days.ship_dates) // 2]
    first, last = pl.col("ship_date") < middle, pl.col("ship_date") >= middle
    tested = _select_tested(sales, days)
    print(
        f"\nReal sales: {sales.height:,} store-item-days of {sales['dc'].n_unique()} stores. Predicted are days without"
        f"\na stock-out from {middle} to {days.ship_dates[-1]}; LightGBM learns from those from {days.ship_dates[0]} to"
        f"\nthe day before, on which alone --choose compares constants."
    )
    if choose:
        _choose(days, tested.filter(first))
    print(f"\n{'days out in the week before:':<50}" + "".join(f"{f'{name}: bias':>13}{'WAPE':>8}" for name in GROUPS))
    scored = tested.filter(last)
    for variant in ON_SALES:
        expected, weight = expect(days, variant)
        _print_score(variant.name, scored, expected, _format_weight(variant, weight))
        if variant == METHOD_2:
            learned = estimate_lightgbm.predict(sales, expected, tested.filter(first), scored)
    for name, expected in learned.items():
        _print_score(name, scored, expected)
    parted = _part_stores(sales)
    of_parted = _find_dates(parted)
    scored = _select_tested(parted, of_parted).filter(last)
    for variant in (WITHOUT_NETWORK, METHOD_2):
        expected, weight = expect(of_parted, variant)
        _print_score(f"{variant.name}{PARTED}", scored, expected, _format_weight(variant, weight))
    print(_HOW_TO_READ)


def _choose(days: Days, tested: pl.DataFrame) -> None:
    """Print how other constants do on the first days, one at a time."""
    print("\nconstants, on the first days alone (* as in the rules)")
    for name, values in CANDIDATES.items():
        for value in values:
            constants = replace(Constants(), **{name: value})
            expected, _ = expect(days, METHOD_2, constants)
            mark = "*" if constants == Constants() else " "
            _print_score(f"{mark} {name} {value}", tested, expected)


def _select_tested(sales: pl.DataFrame, days: Days) -> pl.DataFrame:
    """Select the days without a stock-out, which alone show demand, and count the days out in the week before."""
    tested = sales.filter(pl.col("never_out"), pl.col("ship_date").is_in(days.ship_dates))
    return tested.join(_count_days_out(sales), on=KEY)


def _print_score(name: str, tested: pl.DataFrame, expected: pl.DataFrame, remark: str = "") -> None:
    """Print bias and WAPE; days of which too little is known are left out, the same ones for every method."""
    both = tested.join(expected.select(*KEY, "expected_cases"), on=KEY)
    scores = [
        baseline_backtest.score(both.filter(pl.col("days_out").is_between(*group)), "expected_cases", "ordered_cases")
        for group in GROUPS.values()
    ]
    print(f"{name:<50}" + "".join(f"{bias:>13.1%}{wape:>8.3f}" for bias, wape in scores) + remark, flush=True)


def _format_weight(variant: Variant, weight: float) -> str:
    return f"   mean weight {weight:.2f}" if variant.network else ""


def expect(days: Days, variant: Variant, constants: Constants | None = None) -> tuple[pl.DataFrame, float]:
    """Compute what a variant expects of each item-day, and the mean weight of the network."""
    constants = constants or Constants()
    usual = []
    for part in days.yield_dcs():
        levels = rolling_baseline.compute_rolling_averages(part, days.ship_dates, steadying=constants.steadying)
        if not variant.level:
            levels = levels.with_columns(pl.col("baseline_cases").alias("level_cases"))
        indices = demand_schema.WEEKDAY_INDICES.make_empty()
        if variant.weekday:
            indices = weekday_index.compute_weekday_indices(part, days.ship_dates, prior=constants.weekday_prior)
        of_dates = part.filter(pl.col("ship_date").is_in(days.ship_dates))
        of_levels = levels.select(*KEY, "level_cases", "week_n", "month_n")
        known = of_dates.select(*KEY, "department").join(of_levels, on=KEY).pipe(weekday_index.add_usual_cases, indices)
        known = known.drop("department", "of_department", "weekday", "usual_cases")
        usual.append(network_factor.compute_usual_demand(of_dates, levels, indices).join(known, on=KEY).collect())
    both = pl.concat(usual).lazy()
    if not variant.network:
        nothing = demand_schema.NETWORK_FACTORS.make_empty(), demand_schema.FACTOR_WEIGHTS.make_empty()
        return unbiased_estimate.add_expected_cases(both, *nothing).collect(), 0.0
    compared = network_factor.compare_usual_demand(both).collect().lazy()
    fits = network_factor.compute_factor_fits(compared)
    weights = network_factor.learn_factor_weights(
        fits, days.ship_dates, days=constants.weight_days, prior=constants.weight_prior
    ).collect()
    mean = weights.select(pl.col("factor_weight").cast(pl.Float64).mean()).item()
    factors = demand_schema.NETWORK_FACTORS.conform(compared)
    return unbiased_estimate.add_expected_cases(both, factors, weights.lazy()).collect(), float(mean or 0)


def _find_dates(item_days: pl.DataFrame) -> Days:
    """Find the dates that have their whole look-back."""
    dates = item_days["ship_date"].unique().sort().to_list()
    first = dates[0] + timedelta(days=rolling_baseline.LOOK_BACK_DAYS)
    return Days(item_days, [day for day in dates if day >= first])


def _count_days_out(sales: pl.DataFrame) -> pl.DataFrame:
    return (
        sales.lazy()
        .sort(KEY)
        .rolling("ship_date", period=f"{rolling_baseline.WINDOW_DAYS}d", closed="left", group_by=["dc", "item"])
        .agg((pl.col("instock") == "N").sum().alias("days_out"))
        .collect()
    )


def _part_stores(sales: pl.DataFrame) -> pl.DataFrame:
    """Make networks of as many stores as there are weeks, and turn the days of each store by weeks of its own.

    A day then means something else at every store of a network. To deal out the items alone would not do: all items
    of a day have its weather and its holidays in common.
    """
    first = sales.select(pl.col("ship_date").min()).item()
    after = (pl.col("ship_date") - pl.lit(first)).dt.total_days()
    weeks = sales.select(after.max()).item() // 7
    store = pl.col("dc").rank("dense").cast(pl.Int64) - 1
    turned = (after + 7 * (store % weeks)) % (7 * weeks)
    return sales.filter(after < 7 * weeks).with_columns(
        (pl.lit(first) + pl.duration(days=turned)).alias("ship_date"),
        format_text("{}-{}", store // weeks, "item").alias("item"),
    )


_HOW_TO_READ: Final = """
How to read: columns by how many of the seven days before were wholly out of stock. Bias is the sum of (expected -
sold) over what was sold, WAPE the sum of absolute errors over the same. LightGBM sees what the methods see and more:
single days, promotions, discounts, holidays; the one for the mean is the one to compare, as estimates are added up.
Days turned: each store has days of other weeks, so that stores have nothing in common today; the weight should be
near 0, and following it cost nothing."""


if __name__ == "__main__":
    sys.exit(main())
