"""One ship day at one DC as it really is: stock, what stores want, what they order, what ships.

A day is a pure function of the seed, the DC and the date: any stretch of history can be made, in any order.
What the systems write down of it is in `documents.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from enum import IntEnum
from typing import Final

import numpy as np

from fillrate_assets.core.decimals import PLACES
from fillrate_assets.sample.catalogue import Catalogue, Site
from fillrate_assets.sample.streams import Floats, Ints, Mask, Stream, make_generator

# Demand.
_WEEKDAYS: Final = (1.10, 0.95, 0.95, 1.05, 1.25, 0.70, 0.0)
"""Demand from Monday to Sunday against the mean; nothing ships on Sundays."""
_DEMAND_SHAPE: Final = 4.0
"""Shape of the gamma around an item's mean: spread from day to day beyond Poisson, a CV of 0.5."""
_SPLIT_FROM: Final = (6, 20)
"""From this many cases a day, a second and a third store share an item's demand."""
_EACHES: Final = 0.03

# Stock.
_SPELL_ENDS: Final = 0.35
"""Chance that an out-of-stock spell is over the next day."""
_MAX_SPELL_DAYS: Final = 6
_FLOW_SHORT: Final = 0.05
"""Share of flow items of which the inbound truck brings too little."""

# The instock flag, written in the middle of picking.
_PICKED_BEFORE_FLAG: Final = 0.6
"""Share of the day's cases: stock that runs out later is still flagged in."""
_PHANTOM: Final = 0.03
"""Share of empty items that are flagged in."""
_WRONGLY_OUT: Final = 0.001
"""Share of items in stock that are flagged out."""

# What stores do about an item that is flagged out.
_NO_STORE_ORDERS: Final = 0.6
_STILL_ORDERS: Final = 0.4
"""Chance of each line, on days on which somebody orders."""


class Outcome(IntEnum):
    """How an order line ended."""

    FILLED = 0
    SHORT_OF_STOCK = 1
    SHORT_OF_INBOUND = 2
    PICKED_SHORT = 3
    OVER_SHIPPED = 4
    SUBSTITUTED = 5
    CANCELLED_NO_STOCK = 6
    CANCELLED_BY_WAREHOUSE = 7
    CANCELLED = 8
    NEVER_SHIPPED = 9


_UNTOUCHED: Final = {Outcome.CANCELLED_NO_STOCK: 0.2, Outcome.CANCELLED: 0.05, Outcome.SUBSTITUTED: 0.1}
"""Shares of the lines of which stock fills nothing; the others are just short."""
_STOCKED: Final = {
    Outcome.CANCELLED_BY_WAREHOUSE: 0.001,
    Outcome.NEVER_SHIPPED: 0.0003,
    Outcome.OVER_SHIPPED: 0.003,
    Outcome.PICKED_SHORT: 0.008,
}
"""Shares of the lines that stock fills; the others ship in full."""


@dataclass(frozen=True)
class Stock:
    """The stock of a day, per item."""

    out: Mask
    """Out of stock, for the whole day or from some time of it on."""
    runs_out: Mask
    """Out from some time of the day on."""
    share: Floats
    """Share of the day's ordered cases that stock could fill; 1: all."""
    flagged_out: Mask
    """What the instock system believes of the items that are put away."""


@dataclass(frozen=True)
class Lines:
    """Order lines, by item: per line, indices and quantities."""

    item: Ints
    store: Ints
    quantity: Ints
    """In eaches where `eaches`, otherwise in cases."""
    eaches: Mask
    units: Ints
    """Ten-thousandths of a case."""

    def select(self, mask: Mask) -> Lines:
        """Select the lines of a mask."""
        return Lines(self.item[mask], self.store[mask], self.quantity[mask], self.eaches[mask], self.units[mask])


@dataclass(frozen=True)
class TradingDay:
    """One ship day at one DC."""

    day: date
    site: Site
    stock: Stock
    demand_units: Ints
    """Per item: ten-thousandths of a case that stores wanted."""
    lines: Lines
    """What they ordered."""
    shipped: Ints
    """Per line, in its unit."""
    outcome: Ints
    """Per line, as `Outcome`."""


def is_ship_day(day: date) -> bool:
    """Return whether DCs ship on a day."""
    return _WEEKDAYS[day.weekday()] > 0


def trade(catalogue: Catalogue, site: Site, day: date, seed: int) -> TradingDay:
    """Let one DC trade on one ship day."""
    rng = make_generator(seed, Stream.TRADE, site.number, day.toordinal())
    stock = _draw_stock(catalogue, site, day, seed, rng)
    wanted = _draw_wanted(catalogue, site, day, stock, rng)
    lines = wanted.select(_select_ordered(stock, wanted, rng))
    shipped, outcome = _ship(catalogue, stock, lines, rng)
    demand_units = np.bincount(wanted.item, wanted.units, catalogue.size).astype(np.int64)
    return TradingDay(day, site, stock, demand_units, lines, shipped, outcome)


def _draw_stock(catalogue: Catalogue, site: Site, day: date, seed: int, rng: np.random.Generator) -> Stock:
    begins = _draw_spell_lengths(catalogue, site, day, seed) > 0
    begun = [
        _draw_spell_lengths(catalogue, site, day - timedelta(days=age), seed) > age for age in range(1, _MAX_SPELL_DAYS)
    ]
    empty = np.any(begun, axis=0)
    runs_out = begins & ~empty
    short = runs_out | (catalogue.flow & (rng.random(catalogue.size) < _FLOW_SHORT))
    share = np.select([empty, short], [0.0, rng.random(catalogue.size)], 1.0)
    mistaken = rng.random(catalogue.size) < np.where(empty, _PHANTOM, _WRONGLY_OUT)
    shown_out = empty | (runs_out & (share < _PICKED_BEFORE_FLAG))
    return Stock(
        out=empty | runs_out, runs_out=runs_out, share=share, flagged_out=(shown_out ^ mistaken) & ~catalogue.flow
    )


def _draw_spell_lengths(catalogue: Catalogue, site: Site, day: date, seed: int) -> Ints:
    """Draw for how many days the items that run out on a day are out, that day included; 0: does not run out."""
    if not is_ship_day(day):
        return np.zeros(catalogue.size, np.int64)
    rng = make_generator(seed, Stream.SPELLS, site.number, day.toordinal())
    begins = (rng.random(catalogue.size) < catalogue.spell_starts * site.trouble) & ~catalogue.flow
    return np.where(begins, np.minimum(rng.geometric(_SPELL_ENDS, catalogue.size), _MAX_SPELL_DAYS), 0)


def _draw_wanted(catalogue: Catalogue, site: Site, day: date, stock: Stock, rng: np.random.Generator) -> Lines:
    """Draw what stores would order if everything were in stock."""
    # Stock runs out on days of high demand: such a day is drawn with a weight of its demand. A gamma-Poisson
    # weighted so is one more than that of the next shape.
    spread = rng.gamma(_DEMAND_SHAPE + stock.runs_out) / _DEMAND_SHAPE
    mean = catalogue.daily_cases * site.size * _WEEKDAYS[day.weekday()]
    wanted = rng.poisson(mean * spread) + stock.runs_out
    count = np.where(wanted > 0, 1 + np.searchsorted(_SPLIT_FROM, wanted, side="right"), 0)
    item = np.repeat(np.arange(catalogue.size), count)
    line_cases = _split(wanted[item], item, rng)
    # The stores that share an item's demand are a third of the list apart, so they are never the same.
    nth = np.arange(len(item)) - _find_first_lines(item)
    store = (rng.integers(0, site.stores, catalogue.size)[item] + nth * (site.stores // 3)) % site.stores
    # A store that orders eaches seldom wants full cases.
    pack = catalogue.find_packs(day)[item]
    eaches = (rng.random(len(item)) < _EACHES) & catalogue.knows_pack[item]
    quantity = np.where(eaches, line_cases * pack - rng.integers(0, pack), line_cases)
    units = np.where(eaches, (2 * quantity * PLACES + pack) // (2 * pack), quantity * PLACES)
    return Lines(item, store, quantity, eaches, units)


def _split(wanted: Ints, item: Ints, rng: np.random.Generator) -> Ints:
    """Cut each item's cases into its lines: unequal shares, whole cases, at least one each."""
    running = np.cumsum(rng.uniform(0.5, 1.5, len(item)))
    first, last = _find_first_lines(item), np.searchsorted(item, item, side="right") - 1
    before = np.where(first > 0, running[first - 1], 0.0)
    cuts = np.rint(wanted * (running - before) / (running[last] - before)).astype(np.int64)
    return np.where(first == np.arange(len(item)), cuts, cuts - np.roll(cuts, 1))


def _find_first_lines(item: Ints) -> Ints:
    """Find, per line, the position of the first line of its item; lines are sorted by item."""
    return np.searchsorted(item, item)


def _select_ordered(stock: Stock, wanted: Lines, rng: np.random.Generator) -> Mask:
    """Select the wanted lines that are ordered: stores see the flag, and few order what is flagged out."""
    # When stock runs out during the day, the day's orders are in already.
    discouraged = stock.flagged_out & ~stock.runs_out
    somebody = ~discouraged | (rng.random(len(discouraged)) >= _NO_STORE_ORDERS)
    this_store = ~discouraged[wanted.item] | (rng.random(len(wanted.item)) < _STILL_ORDERS)
    return somebody[wanted.item] & this_store


def _ship(catalogue: Catalogue, stock: Stock, lines: Lines, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Draw what ships of each line, in its unit, and its `Outcome`."""
    in_stock = _fill_in_turn(lines, stock.share)
    short = in_stock < lines.quantity
    flow = catalogue.flow[lines.item]
    untouched = short & ~flow & (in_stock == 0)
    chance = rng.random(len(lines.item))
    outcome = np.select(
        [short & flow, untouched, short],
        [Outcome.SHORT_OF_INBOUND, _draw_outcomes(chance, _UNTOUCHED, Outcome.SHORT_OF_STOCK), Outcome.SHORT_OF_STOCK],
        _draw_outcomes(chance, _STOCKED, Outcome.FILLED),
    )
    substitutable = ~lines.eaches & ~(stock.out | catalogue.flow)[catalogue.find_substitutes(lines.item)]
    outcome[(outcome == Outcome.SUBSTITUTED) & ~substitutable] = Outcome.SHORT_OF_STOCK
    shipped = np.select(
        [
            (outcome == Outcome.CANCELLED_BY_WAREHOUSE) | (outcome == Outcome.NEVER_SHIPPED),
            outcome == Outcome.PICKED_SHORT,
            outcome == Outcome.OVER_SHIPPED,
        ],
        [0, (lines.quantity * rng.random(len(lines.item))).astype(np.int64), lines.quantity + 1],
        in_stock,
    )
    return shipped, outcome


def _fill_in_turn(lines: Lines, share: Floats) -> Ints:
    """Compute what stock fills of each line, in its unit, when it holds a share of the cases ordered of its item."""
    ordered = np.bincount(lines.item, lines.units, len(share))
    running = np.cumsum(lines.units) - lines.units
    taken = running - running[_find_first_lines(lines.item)]
    left = np.where(share < 1, share * ordered, np.inf)[lines.item] - taken
    return (lines.quantity * np.clip(left / lines.units, 0.0, 1.0)).astype(np.int64)


def _draw_outcomes(chance: Floats, shares: Mapping[Outcome, float], otherwise: Outcome) -> Ints:
    """Draw an outcome for each number in [0, 1)."""
    edges = np.cumsum([*shares.values()])
    return np.array([*shares, otherwise])[np.searchsorted(edges, chance, side="right")]
