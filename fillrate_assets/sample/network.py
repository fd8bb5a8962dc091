"""The sample network: ten DCs, 7,209 items, and everything that goes wrong in a real one.

Pure: the same seed gives the same frames under the same numpy, whatever else was generated before. Frames have
the columns of the input contracts; quantities and promised dates are text, as a source file holds them, so that a
few can be unusable. Beside them is the truth, which no real network knows: what stores would have ordered had
every item been in stock.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import polars as pl

from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.fillrate import schema
from fillrate_assets.sample import documents
from fillrate_assets.sample.catalogue import MAX_ITEMS, OPENED, Catalogue, Site, draw_catalogue, draw_site
from fillrate_assets.sample.documents import Activity
from fillrate_assets.sample.names import SITES
from fillrate_assets.sample.streams import Stream, make_generator
from fillrate_assets.sample.trading import is_ship_day, trade

__all__ = [
    "Activity",
    "Network",
    "NetworkMasterData",
    "advance",
    "draw_master_data",
    "find_next_ship_day",
    "simulate_activity",
]

_MIN_ITEMS: Final = 100
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
            "days": (self.days, 1, (self.last - OPENED).days + 1),
            "corrections_per_day": (self.corrections_per_day, 0, 100),
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
        return _list_ship_days(self.first, self.last)

    @property
    def snapshot_gap(self) -> PartitionKey:
        """The DC and ship day whose instock snapshot never arrived: DC04 (or the last DC), in mid-history."""
        middle = self.first + timedelta(days=self.days // 2)
        ship_date = middle if is_ship_day(middle) else find_next_ship_day(middle)
        return PartitionKey(self.dc_codes[min(_GAP_DC, self.dcs) - 1], ship_date)


@dataclass(frozen=True)
class NetworkMasterData:
    """Items as `schema.ITEMS`; DCs with columns dc, name, time_zone, active; waivers as `schema.WAIVERS`."""

    items: pl.DataFrame
    dcs: pl.DataFrame
    waivers: pl.DataFrame


def draw_master_data(network: Network) -> NetworkMasterData:
    """Draw the master data of a network."""
    names, time_zones = zip(*SITES[: network.dcs], strict=True)
    week = network.first + timedelta(days=network.days // 2)
    waivers = {"reason_code": ["12"], "valid_from": [week], "valid_to": [week + timedelta(days=6)]}
    return NetworkMasterData(
        items=_load_catalogue(network).build_frame(),
        dcs=pl.DataFrame({"dc": network.dc_codes, "name": names, "time_zone": time_zones, "active": True}),
        waivers=pl.DataFrame(waivers, schema=schema.WAIVERS.polars),
    )


def simulate_activity(network: Network, dc: str, first: date | None = None, last: date | None = None) -> Activity:
    """Simulate what the sources of one DC received on the days from `first` to `last`, and the truth of those days.

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
    items, origin = _load_catalogue(network), _load_site(network, dc)
    received = [_select_received(network, items, origin, day) for day in _list_ship_days(first, last)]

    def join_days(columns: pl.Schema, frames: Iterable[pl.DataFrame]) -> pl.DataFrame:
        return pl.concat([columns.to_frame(), *frames])

    return Activity(
        order_lines=join_days(documents.ORDER_LINES, (day.order_lines for day in received)),
        shipment_lines=join_days(documents.SHIPMENT_LINES, (day.shipment_lines for day in received)),
        instock_snapshots=join_days(documents.INSTOCK_SNAPSHOTS, (day.instock_snapshots for day in received)),
        truth=join_days(documents.TRUTH, (day.truth for day in received)),
    )


def advance(network: Network, dc: str, day: date) -> Activity:
    """Simulate what the sources of one DC receive on a ship day after the network's history.

    Every row is processed later than anything the DC received on earlier days. Ship days are meant to be taken in
    turn: a day's corrections may concern any of the days before it.

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
        msg = f"day is {day}, a Sunday: the DCs are closed; the next ship day is {find_next_ship_day(day)}"
        raise ValueError(msg)
    return simulate_activity(network, dc, day, day)


def find_next_ship_day(day: date) -> date:
    """Find the first ship day after a day."""
    after = day + timedelta(days=1)
    return after if is_ship_day(after) else find_next_ship_day(after)


def _list_ship_days(first: date, last: date) -> list[date]:
    days = (first + timedelta(days=count) for count in range((last - first).days + 1))
    return [day for day in days if is_ship_day(day)]


def _load_catalogue(network: Network) -> Catalogue:
    return draw_catalogue(network.seed, network.items, network.first)


def _load_site(network: Network, dc: str) -> Site:
    if dc not in network.dc_codes:
        msg = f"dc is {dc}, expected one of {', '.join(network.dc_codes)}"
        raise ValueError(msg)
    return draw_site(network.seed, network.dc_codes.index(dc) + 1, network.items)


def _select_received(network: Network, items: Catalogue, origin: Site, day: date) -> Activity:
    """Record what the sources of a DC receive on a ship day: its own records, and corrections to earlier days."""
    today = _record(network, items, origin, day)
    corrections = _correct(network, items, origin, day)
    missing = (origin.code, day) == network.snapshot_gap
    return Activity(
        order_lines=pl.concat([today.order_lines, *(order for order, _ in corrections)]),
        shipment_lines=pl.concat([today.shipment_lines, *(shipment for _, shipment in corrections)]),
        instock_snapshots=today.instock_snapshots.clear() if missing else today.instock_snapshots,
        truth=today.truth,
    )


def _record(network: Network, items: Catalogue, origin: Site, day: date) -> Activity:
    return documents.record_documents(trade(items, origin, day, network.seed), items, network.seed)


def _correct(network: Network, items: Catalogue, origin: Site, day: date) -> list[tuple[pl.DataFrame, pl.DataFrame]]:
    """Draw the DC's share of the day's corrections: order lines and shipment lines."""
    soonest, latest = _CORRECTED_AFTER_DAYS
    open_days = _list_ship_days(max(network.first, day - timedelta(days=latest)), day - timedelta(days=soonest))
    corrections = []
    for slot in range(network.corrections_per_day if open_days else 0):
        rng = make_generator(network.seed, Stream.CORRECTIONS, day.toordinal(), slot)
        number, past = int(rng.integers(1, network.dcs + 1)), open_days[int(rng.integers(len(open_days)))]
        if number == origin.number:
            corrections.append(documents.draw_correction(_record(network, items, origin, past), day, slot, rng))
    return corrections
