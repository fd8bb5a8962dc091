"""The sample network: ten DCs, 7,209 items, and everything that goes wrong in a real one.

Pure: the same seed gives the same frames, whatever else was generated before. Frames have the columns of the
input contracts; quantities and promised dates are text, as a source file holds them, so that a few can be
unusable. Beside them stands the truth, which no real network knows: what stores would have ordered had every
item been in stock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import numpy as np
import polars as pl

from fillrate_assets.fillrate import schema
from fillrate_assets.sample.catalogue import MAX_ITEMS, SITES, Catalogue, Stream, catalogue, generator
from fillrate_assets.sample.trading import Activity, Site, correction, is_ship_day, trade

__all__ = ["Activity", "Masters", "Network", "activity", "advance", "masters", "next_ship_day"]

_ITEMS_PER_STORE: Final = 120
_MIN_STORES, _MAX_STORES = 3, 60
_MIN_ITEMS: Final = 100
_SIGMA_BETWEEN_SITES: Final = 0.25
_GAP_DC: Final = 4
_CORRECTED_AFTER_DAYS: Final = (2, 12)


@dataclass(frozen=True)
class Network:
    """Which network: its seed, its size, and the history that exists of it.

    Raises:
        ValueError: a size is out of range.

    """

    seed: int = 1
    dcs: int = 10
    items: int = 7209
    days: int = 60
    last: date = date(2026, 11, 14)
    corrections_per_day: int = 2
    """Late corrections to earlier ship dates that the whole network receives on a ship day."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        limits = {
            "seed": (self.seed, 0, 2**63),
            "dcs": (self.dcs, 1, len(SITES)),
            "items": (self.items, _MIN_ITEMS, MAX_ITEMS),
            "days": (self.days, 1, 3660),
            "corrections_per_day": (self.corrections_per_day, 0, 1000),
        }
        for name, (value, low, high) in limits.items():
            if not low <= value <= high:
                msg = f"{name} is {value}, expected {low:,} to {high:,}"
                raise ValueError(msg)

    @property
    def first(self) -> date:
        """First day of the history."""
        return self.last - timedelta(days=self.days - 1)

    @property
    def dc_codes(self) -> list[str]:
        """The DCs: DC01, DC02, ..."""
        return [f"DC{number:02}" for number in range(1, self.dcs + 1)]

    @property
    def ship_days(self) -> list[date]:
        """The days of the history on which the DCs ship."""
        return _ship_days(self.first, self.last)

    @property
    def snapshot_gap(self) -> tuple[str, date]:
        """The DC and ship day whose instock snapshot never arrived: DC04 (or the last DC), in mid-history."""
        middle = self.first + timedelta(days=self.days // 2)
        return self.dc_codes[min(_GAP_DC, self.dcs) - 1], middle if is_ship_day(middle) else next_ship_day(middle)


@dataclass(frozen=True)
class Masters:
    """Items as `schema.ITEMS`; DCs with columns dc, name, time_zone, active; waivers as `schema.WAIVERS`."""

    items: pl.DataFrame
    dcs: pl.DataFrame
    waivers: pl.DataFrame


def masters(network: Network) -> Masters:
    """The master data of a network."""
    names, zones = zip(*SITES[: network.dcs], strict=True)
    week = network.first + timedelta(days=network.days // 2)
    waivers = {"reason_code": ["12"], "valid_from": [week], "valid_to": [week + timedelta(days=6)]}
    return Masters(
        items=_catalogue(network).frame(),
        dcs=pl.DataFrame({"dc": network.dc_codes, "name": names, "time_zone": zones, "active": True}),
        waivers=pl.DataFrame(waivers, schema=schema.WAIVERS.polars),
    )


def activity(network: Network, dc: str, first: date | None = None, last: date | None = None) -> Activity:
    """What the sources of one DC received on the days from `first` to `last`, and the truth of those days.

    That is the activity of these ship dates and the late corrections, on these days, to earlier ones. Adjoining
    stretches, put together, are the whole.

    Args:
        network: which network.
        dc: which of its DCs.
        first: first day; by default that of the history.
        last: last day; by default that of the history.

    Raises:
        ValueError: the network has no such DC, or the stretch begins before the history.

    """
    first, last = first or network.first, last or network.last
    if first < network.first:
        msg = f"first is {first}, but the history begins on {network.first}"
        raise ValueError(msg)
    items, site = _catalogue(network), _site(network, dc)
    received = [_received(network, items, site, day) for day in _ship_days(first, last)]
    return Activity(
        *(
            pl.concat([getattr(day, name) for day in received])
            for name in ("order_lines", "shipment_lines", "instock_snapshots", "truth")
        )
    )


def advance(network: Network, dc: str, day: date) -> Activity:
    """What the sources of one DC receive on a ship day after the network's history.

    Every row is processed later than anything the DC received on earlier days.

    Args:
        network: which network; its history begins on `network.first`.
        dc: which of its DCs.
        day: the ship day, e.g. `next_ship_day(network.last)`.

    Raises:
        ValueError: the day belongs to the history, or is a Sunday.

    """
    if day <= network.last:
        msg = f"day is {day}, but the history goes on until {network.last}"
        raise ValueError(msg)
    if not is_ship_day(day):
        msg = f"day is {day}, a Sunday: the DCs are closed; the next ship day is {next_ship_day(day)}"
        raise ValueError(msg)
    return activity(network, dc, day, day)


def next_ship_day(day: date) -> date:
    """The first ship day after a day."""
    after = day + timedelta(days=1)
    return after if is_ship_day(after) else next_ship_day(after)


def _ship_days(first: date, last: date) -> list[date]:
    days = (first + timedelta(days=count) for count in range((last - first).days + 1))
    return [day for day in days if is_ship_day(day)]


def _catalogue(network: Network) -> Catalogue:
    return catalogue(network.seed, network.items, network.first)


def _site(network: Network, dc: str) -> Site:
    if dc not in network.dc_codes:
        msg = f"dc is {dc}, expected one of {', '.join(network.dc_codes)}"
        raise ValueError(msg)
    number = network.dc_codes.index(dc) + 1
    return Site(
        code=dc,
        number=number,
        time_zone=SITES[number - 1][1],
        stores=int(np.clip(network.items // _ITEMS_PER_STORE, _MIN_STORES, _MAX_STORES)),
        size=float(generator(network.seed, Stream.SITE, number).lognormal(0, _SIGMA_BETWEEN_SITES)),
    )


def _received(network: Network, items: Catalogue, site: Site, day: date) -> Activity:
    """What the sources of a DC receive of one ship day: its own activity, and corrections to earlier days."""
    today = trade(items, site, day, network.seed)
    corrected = _corrections(network, items, site, day)
    snapshots = today.instock_snapshots
    return Activity(
        order_lines=pl.concat([today.order_lines, *(orders for orders, _ in corrected)]),
        shipment_lines=pl.concat([today.shipment_lines, *(shipments for _, shipments in corrected)]),
        instock_snapshots=snapshots.clear() if (site.code, day) == network.snapshot_gap else snapshots,
        truth=today.truth,
    )


def _corrections(network: Network, items: Catalogue, site: Site, day: date) -> list[tuple[pl.DataFrame, pl.DataFrame]]:
    soonest, latest = _CORRECTED_AFTER_DAYS
    candidates = _ship_days(max(network.first, day - timedelta(days=latest)), day - timedelta(days=soonest))
    rows = []
    for slot in range(network.corrections_per_day if candidates else 0):
        rng = generator(network.seed, Stream.CORRECTIONS, day.toordinal(), slot)
        number, choice = int(rng.integers(1, network.dcs + 1)), int(rng.integers(len(candidates)))
        if number == site.number:
            rows.append(correction(trade(items, site, candidates[choice], network.seed), day, slot, rng))
    return rows
