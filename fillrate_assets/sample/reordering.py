"""The closed loop: a DC of the sample network that reorders its items by a policy, on the demand that stores have.

Every policy reorders a DC of its own, side by side: the same items, demand, terms and late deliveries. What is not on
hand is lost. Policies see what a real one sees: orders of days in stock. The first weeks are run by the sample's own
policy everywhere, so that the others begin with a history.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from fillrate_assets.core.decimals import PLACES, RATE, to_cases
from fillrate_assets.fillrate import schema as fillrate_schema
from fillrate_assets.fillrate.rules import rolling_baseline, weekday_index
from fillrate_assets.replenishment import schema
from fillrate_assets.replenishment.rules import comparison_formulas, forecast_errors, protection_forecast, usual_demand
from fillrate_assets.replenishment.rules.ship_days_ahead import project_ship_days
from fillrate_assets.replenishment.rules.stock_buffers import recommend_buffers
from fillrate_assets.replenishment.rules.supply_terms import DefaultTerms, resolve_terms
from fillrate_assets.sample.catalogue import Catalogue, draw_catalogue, draw_site
from fillrate_assets.sample.names import DEPARTMENTS
from fillrate_assets.sample.streams import Ints, Mask, Stream, make_generator
from fillrate_assets.sample.trading import is_ship_day, trade

Formula = Literal["cover", "normal", "king", "buffers"]

WARM_UP_DAYS: Final = 63
"""Days under the sample's own policy, the last of which fill the pools of errors."""
SETTLING_DAYS: Final = 28
"""Days after it that are not counted: what was on order then has to arrive."""
_OWN_COVER_DAYS: Final = 3.0
_LEAD_DAYS: Final = (2, 4, 7, 10)
_REVIEWS: Final = (1, 7)
_LATE_ENDS: Final = 0.5
"""Chance that a late delivery arrives the next day."""
_MULTIPLES: Final = (1, 2, 5, 10, 20)
_MOST_DAYS_OF_MULTIPLE: Final = 2
_MOST_DAYS_OF_MINIMUM: Final = 4
_SHOWN_BEFORE_FLAG: Final = 0.6
"""Share of the day's cases that are picked when the instock flag is written."""

_KEY: Final = ["dc", "item", "ship_date"]
Units = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Policy:
    """How a DC reorders: a formula, and its days of cover on top of the protection period or its service target."""

    formula: Formula
    parameter: float

    @property
    def name(self) -> str:
        """Name it, as `buffers 0.95`: the code of its DC."""
        return f"{self.formula} {self.parameter:g}"


OWN: Final = Policy("cover", _OWN_COVER_DAYS)
"""The sample's own policy: the seven-day average over the protection period and three days, whatever the item."""


@dataclass(frozen=True)
class Supply:
    """The terms of supply, per item, and how late the deliveries of a day are."""

    lead_days: Ints
    review_days: Ints
    review_offset: Ints
    minimum: Units
    multiple: Units
    vendor: Ints
    seed: int
    late_share: float
    """Share of the deliveries that are late, by two days on the mean."""

    @property
    def lead_deviation_days(self) -> float:
        """Standard deviation of the lead time that follows from it."""
        mean = self.late_share / _LATE_ENDS
        return float(np.sqrt(self.late_share * (2 - _LATE_ENDS) / _LATE_ENDS**2 - mean**2))

    def draw_delays(self, day: date) -> Ints:
        """Draw by how many days the orders of a day are late; a vendor's are of one truck."""
        rng = make_generator(self.seed, Stream.SUPPLY, day.toordinal())
        vendors = int(self.vendor.max()) + 1
        late = np.where(rng.random(vendors) < self.late_share, rng.geometric(_LATE_ENDS, vendors), 0)
        return late[self.vendor]

    def select_reviewed(self, day: date) -> Mask:
        """Select the items that are ordered on a day."""
        reviewed: Mask = (day.toordinal() + self.review_offset) % self.review_days == 0
        return reviewed


@dataclass(frozen=True)
class World:
    """What every policy has in common: items that are put away, their supply, and what stores want of them."""

    items: pl.DataFrame
    """item, department, vendor."""
    supply: Supply
    days: tuple[date, ...]
    demand: Units
    """By day and item, ten-thousandths of a case; 0 on days on which the DC does not ship."""


def draw_world(seed: int, items: int, first: date, days: int, late_share: float = 0.0) -> World:
    """Draw a world of the first DC of the sample network: so many days, of so many items as are put away of these."""
    catalogue, site = draw_catalogue(seed, items, first), draw_site(seed, 1, items)
    stored = ~catalogue.flow
    dates = tuple(first + timedelta(days=offset) for offset in range(days))
    nothing = np.zeros(catalogue.size, np.int64)
    wanted = [trade(catalogue, site, day, seed).demand_units if is_ship_day(day) else nothing for day in dates]
    departments = pl.Series([department.name for department in DEPARTMENTS])
    named = pl.DataFrame(
        {
            "item": catalogue.numbers,
            "department": departments.gather(catalogue.department),
            "vendor": catalogue.vendor_names.gather(catalogue.vendor),
        }
    )
    demand = np.stack(wanted)[:, stored]
    supply = _draw_supply(catalogue, stored, site.size, seed, late_share)
    return World(named.filter(pl.Series(stored)), supply, dates, demand)


def _draw_supply(catalogue: Catalogue, stored: Mask, size: float, seed: int, late_share: float) -> Supply:
    rng = make_generator(seed, Stream.SUPPLY)
    vendors = int(catalogue.vendor.max()) + 1
    vendor = catalogue.vendor[stored]
    lead, review = rng.choice(_LEAD_DAYS, vendors), rng.choice(_REVIEWS, vendors)
    daily = catalogue.daily_cases[stored] * size
    most = rng.choice(_MULTIPLES, len(vendor))
    multiple = np.maximum(np.minimum(most, (daily * _MOST_DAYS_OF_MULTIPLE).astype(np.int64)), 1)
    minimum = (rng.random(len(vendor)) * _MOST_DAYS_OF_MINIMUM * daily).astype(np.int64)
    return Supply(
        lead_days=lead[vendor],
        review_days=review[vendor],
        # Day 0 of a week by its ordinal is a Sunday, on which nothing is ordered.
        review_offset=rng.integers(1, 7, vendors)[vendor],
        minimum=minimum * PLACES,
        multiple=multiple * PLACES,
        vendor=vendor,
        seed=seed,
        late_share=late_share,
    )


@dataclass(frozen=True)
class Outcome:
    """What a policy came to over the days that count."""

    policy: Policy
    demand_cases: float
    lost_cases: float
    mean_stock_cases: float

    @property
    def lost_share(self) -> float:
        """Share of what stores wanted that was lost."""
        return self.lost_cases / self.demand_cases


def run_policies(
    world: World, policies: Sequence[Policy], warm_up_days: int = WARM_UP_DAYS, settling_days: int = SETTLING_DAYS
) -> list[Outcome]:
    """Run all policies over a world, and count from the settling days after the warm-up on."""
    loop = _Loop(world, [policy.name for policy in policies])
    counted = warm_up_days + settling_days
    lost, stock = np.zeros(len(policies)), np.zeros(len(policies))
    for number, day in enumerate(world.days):
        loop.receive(day)
        if is_ship_day(day):
            plan = loop.plan(day, policies if number >= warm_up_days else [OWN] * len(policies))
            loop.order(day, plan)
        short = loop.ship(day, world.demand[number])
        if number >= counted:
            lost += short.sum(axis=1)
            stock += loop.on_hand.sum(axis=1)
    days = len(world.days) - counted
    demand = float(world.demand[counted:].sum()) / PLACES
    return [
        Outcome(policy, demand, float(lost[place]) / PLACES, float(stock[place]) / PLACES / days)
        for place, policy in enumerate(policies)
    ]


class _Loop:
    """The DCs of all policies, day by day; arrays are by policy and item."""

    def __init__(self, world: World, names: Sequence[str]) -> None:
        self._world = world
        self._dcs = pl.DataFrame({"dc": names}).with_row_index("place")
        self._items = self._dcs.join(world.items.with_row_index("number"), how="cross")
        shape = (len(names), world.items.height)
        start = world.demand.mean(axis=0) * (world.supply.lead_days + world.supply.review_days + _OWN_COVER_DAYS)
        self.on_hand: Units = np.broadcast_to(start.astype(np.int64), shape).copy()
        self._on_order: Units = np.zeros(shape, np.int64)
        self._arriving: dict[date, Units] = {}
        self._item_days: list[pl.DataFrame] = []
        self._forecasts = schema.FORECASTS.make_empty().collect()
        self._indices = schema.WEEKDAY_INDICES.make_empty().collect()
        self._errors = schema.FORECAST_ERRORS.make_empty().collect()
        self._last_plan: Units = self.on_hand.copy()
        self._terms = self._make_terms()

    def _make_terms(self) -> pl.DataFrame:
        """Make the terms that hold for all days: those of a row per item, so that none is a default."""
        supply = self._world.supply
        rows = self._world.items.select("item").with_columns(
            pl.Series("lead_time_days", supply.lead_days),
            pl.Series("review_days", supply.review_days),
            pl.Series("moq", supply.minimum / PLACES),
            pl.Series("case_multiple", supply.multiple / PLACES),
            pl.lit(supply.lead_deviation_days).alias("lead_time_deviation_days"),
            pl.lit(self._world.days[0]).alias("valid_from"),
        )
        missing = [name for name in schema.SUPPLY_TERMS.names if name not in rows.columns]
        complete = rows.lazy().with_columns(pl.lit(None).alias(name) for name in missing)
        items = self._items.lazy().with_columns(pl.lit(self._world.days[0]).alias("ship_date"))
        return resolve_terms(
            items.select(schema.ITEMS.names), schema.SUPPLY_TERMS.conform(complete), DefaultTerms()
        ).collect()

    def receive(self, day: date) -> None:
        """Receive what arrives."""
        arrived = self._arriving.pop(day, None)
        if arrived is not None:
            self.on_hand += arrived
            self._on_order -= arrived

    def ship(self, day: date, demand: Units) -> Units:
        """Ship what stores want, as far as it is there; return what is lost."""
        shipped = np.minimum(self.on_hand, demand)
        if is_ship_day(day):
            flagged_in = (self.on_hand > 0) & (self.on_hand >= _SHOWN_BEFORE_FLAG * demand)
            self._record(day, np.broadcast_to(demand, shipped.shape), shipped, flagged_in)
        self.on_hand -= shipped
        lost: Units = demand - shipped
        return lost

    def _record(self, day: date, ordered: Units, shipped: Units, flagged_in: npt.NDArray[np.bool_]) -> None:
        """Record the item-days, as the systems of a DC would."""
        facts = self._items.lazy().with_columns(
            to_cases(pl.lit(pl.Series(ordered.ravel()))).alias("ordered_cases"),
            to_cases(pl.lit(pl.Series(shipped.ravel()))).alias("shipped_cases"),
            pl.when(pl.Series(flagged_in.ravel())).then(pl.lit("Y")).otherwise(pl.lit("N")).alias("instock"),
            pl.lit(day).alias("ship_date"),
            pl.lit("STOCK").alias("item_type"),
            pl.lit(value=False).alias("contract_committed"),
            pl.lit(None, pl.String).alias("reason_code"),
            *(pl.lit(number).alias(name) for name, number in (("lines", 1), ("over_cases", 0), ("sub_cases", 0))),
        )
        self._item_days = [
            *self._item_days[-rolling_baseline.LOOK_BACK_DAYS :],
            fillrate_schema.ITEM_DAYS.conform(facts).collect(),
        ]

    def plan(self, day: date, policies: Sequence[Policy]) -> Units:
        """Plan up to what each policy orders, before anything of the day is known."""
        if not self._item_days:
            return self._last_plan
        item_days = pl.concat(self._item_days).lazy()
        ship_days = self._list_ship_days(item_days, day)
        terms = self._terms.with_columns(pl.lit(day).alias("ship_date"), self._choose_quantiles(policies)).lazy()
        indices = weekday_index.compute_weekday_indices(item_days, [day]).select(schema.WEEKDAY_INDICES.names).collect()
        self._indices = pl.concat([self._indices, indices])
        averages = rolling_baseline.compute_rolling_averages(item_days, [day])
        levels = usual_demand.compute_levels(_select_demand(item_days), day)
        forecasts = protection_forecast.forecast_protection(terms, levels, ship_days, indices.lazy()).collect()
        self._learn(day, forecasts, item_days, ship_days)
        baselines = averages.select(*_KEY, "baseline_cases").collect()
        numbers = self._recommend(day, terms, forecasts, item_days).join(baselines, on=_KEY, how="left")
        return self._choose_levels(numbers, policies)

    def _list_ship_days(self, item_days: pl.LazyFrame, day: date) -> pl.LazyFrame:
        past = item_days.select("dc", "ship_date").unique()
        longest = int((self._world.supply.lead_days + self._world.supply.review_days).max())
        return pl.concat([past, project_ship_days(past, day, longest)]).collect().lazy()

    def _choose_quantiles(self, policies: Sequence[Policy]) -> pl.Expr:
        quantiles = {
            name: 0.5 if policy.formula == "cover" else float(policy.parameter)
            for name, policy in zip(self._dcs["dc"], policies, strict=True)
        }
        return pl.col("dc").replace_strict(quantiles, return_dtype=pl.Float64).cast(RATE).alias("quantile")

    def _learn(self, day: date, forecasts: pl.DataFrame, item_days: pl.LazyFrame, ship_days: pl.LazyFrame) -> None:
        """Measure the forecasts whose periods are past, and remember those of today."""
        ends = pl.col("ship_date") + pl.duration(days="protection_days")
        waiting = pl.concat([self._forecasts, forecasts])
        past = waiting.filter(ends <= day)
        self._forecasts = waiting.filter(ends > day)
        if past.is_empty():
            return
        errors = forecast_errors.measure_errors(
            past.lazy(), _select_demand(item_days), ship_days, self._indices.lazy()
        ).collect()
        since = day - timedelta(weeks=forecast_errors.POOLED_WEEKS)
        self._errors = pl.concat([self._errors.filter(pl.col("made_on") >= since), errors])

    def _recommend(
        self, day: date, terms: pl.LazyFrame, forecasts: pl.DataFrame, item_days: pl.LazyFrame
    ) -> pl.DataFrame:
        return recommend_buffers(
            terms,
            forecasts.lazy(),
            forecast_errors.pool_errors(self._errors.lazy(), day).collect().lazy(),
            schema.POSITIONS.make_empty(),
            comparison_formulas.compute_deviations(forecasts.lazy().select(_KEY), _select_demand(item_days)),
        ).collect()

    def _choose_levels(self, numbers: pl.DataFrame, policies: Sequence[Policy]) -> Units:
        """Choose the level of each policy's formula; else that of the sample's own policy, else the one before.

        An item that was out for four weeks has no level of either.
        """
        cover = {
            name: float(policy.parameter) if policy.formula == "cover" else _OWN_COVER_DAYS
            for name, policy in zip(self._dcs["dc"], policies, strict=True)
        }
        formulas = {name: policy.formula for name, policy in zip(self._dcs["dc"], policies, strict=True)}
        days = pl.col("period_ship_days") + pl.col("dc").replace_strict(cover, return_dtype=pl.Float64)
        formula = pl.col("dc").replace_strict(formulas)
        level = (
            pl.when(formula == "buffers")
            .then("order_up_to_cases")
            .when(formula == "normal")
            .then("normal_order_up_to_cases")
            .when(formula == "king")
            .then("king_order_up_to_cases")
            .cast(pl.Float64)
        )
        own = pl.col("baseline_cases").cast(pl.Float64) * days
        chosen = numbers.select("dc", "item", pl.coalesce(level, own).fill_null(-1.0).alias("level"))
        ordered = self._items.join(chosen, on=["dc", "item"], how="left", maintain_order="left")
        levels = ordered["level"].fill_null(-1.0).to_numpy().reshape(self.on_hand.shape)
        planned = np.where(levels >= 0, np.rint(levels * PLACES).astype(np.int64), self._last_plan)
        self._last_plan = planned
        return planned

    def order(self, day: date, plan: Units) -> None:
        """Order what lacks of the plan, of the items that are reviewed: in multiples, at least the minimum."""
        supply = self._world.supply
        gap = np.where(supply.select_reviewed(day), plan - self.on_hand - self._on_order, 0)
        needed = np.where(gap > 0, np.maximum(gap, supply.minimum), 0)
        ordered = -(-needed // supply.multiple) * supply.multiple
        arrives = supply.lead_days + supply.draw_delays(day)
        self._on_order += ordered
        for days in np.unique(arrives):
            at = day + timedelta(days=int(days))
            arriving = np.where(arrives == days, ordered, 0)
            self._arriving[at] = self._arriving.get(at, np.zeros_like(arriving)) + arriving


def _select_demand(item_days: pl.LazyFrame) -> pl.LazyFrame:
    """Select what was ordered on days in stock, as `DEMAND`."""
    return item_days.filter(pl.col("instock") == "Y").select(*_KEY, pl.col("ordered_cases").alias("demand_cases"))
