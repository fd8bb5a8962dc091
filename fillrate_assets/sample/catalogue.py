"""What the sample network sells, from whom, and where from: items, vendors, sites.

Everything here is drawn once per seed. A day of trading is arithmetic over all items at once, so `Catalogue`
holds arrays with one element per item; `Catalogue.frame` shows the same facts as the item master.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np
import polars as pl

from fillrate_assets.fillrate import schema
from fillrate_assets.sample.names import BRANDS, COMPANIES, DEPARTMENTS, SITES
from fillrate_assets.sample.streams import Floats, Ints, Mask, Stream, make_generator

OPENED: Final = date(2020, 1, 1)
"""From when on items are in force."""
MAX_ITEMS: Final = 50_000
_FIRST_ITEM_NUMBER: Final = 10_000
UNKNOWN_ITEM: Final = "99999"
"""A well-formed item number that no item has."""

_COMPANIES: Final = len(BRANDS) * len(COMPANIES)
_ITEMS_PER_VENDOR: Final = 40
_MIN_VENDORS_OF_DEPARTMENT, _MAX_VENDORS_OF_DEPARTMENT = 2, _COMPANIES // len(DEPARTMENTS)
_CONTRACT_SHARE: Final = 0.15
_FLOW_SHARE: Final = 0.12
_PACK_SIZES: Final = (4, 6, 8, 10, 12, 16, 20, 24, 36, 48)
_ITEMS_PER_CHANGE: Final = 200
_CHANGE_AFTER_DAYS: Final = (7, 35)
_ITEMS_PER_UNKNOWN_PACK: Final = 100

_MEDIAN_DAILY_CASES: Final = 2.8
_SIGMA_DAILY_CASES: Final = 1.2
_MEDIAN_SPELL_STARTS: Final = 0.012
_SIGMA_SPELL_STARTS_ITEM: Final = 0.4
_SIGMA_SPELL_STARTS_VENDOR: Final = 0.4
_MAX_SPELL_STARTS: Final = 0.2

_ITEMS_PER_STORE: Final = 120
_MIN_STORES, _MAX_STORES = 3, 60
_SIGMA_SIZE: Final = 0.25
_SIGMA_TROUBLE: Final = 0.2


@dataclass(frozen=True)
class Site:
    """One DC: code, number, time zone, stores served, and its volume and troubles against the average DC."""

    code: str
    number: int
    time_zone: str
    stores: int
    size: float
    trouble: float


@dataclass(frozen=True)
class Catalogue:
    """Every item of the network, one array element per item; items of a department are neighbours."""

    numbers: pl.Series
    descriptions: pl.Series
    department: Ints
    """Index into `DEPARTMENTS`."""
    flow: Mask
    vendor: Ints
    """Index into `vendor_names` and `contract_vendors`."""
    pack: Ints
    """Eaches per case."""
    knows_pack: Mask
    """False where the item master has no pack size."""
    changes: Ints
    """Ordinal of the day on which another vendor or pack size takes over; 0: none does."""
    later_vendor: Ints
    later_pack: Ints
    vendor_names: pl.Series
    contract_vendors: Mask
    daily_cases: Floats
    """Mean demand per ship day at a DC of average size."""
    spell_starts: Floats
    """Chance of running out of stock on a ship day at a DC with average troubles."""

    @property
    def size(self) -> int:
        """How many items there are."""
        return len(self.department)

    def find_packs(self, day: date) -> Ints:
        """Find the eaches per case in force on a day."""
        changed = (self.changes > 0) & (self.changes <= day.toordinal())
        return np.where(changed, self.later_pack, self.pack)

    def find_substitutes(self, item: Ints) -> Ints:
        """Find the item that replaces another: its neighbour, which is, but for the last, of the same department."""
        return (item + 1) % self.size

    def build_frame(self) -> pl.DataFrame:
        """Build the item master, `schema.ITEMS`: two versions of the items that change."""
        changing = self.changes > 0
        changes = pl.Series([date.fromordinal(int(day)) for day in self.changes[changing]], dtype=pl.Date)
        first = self._build_version(self.vendor, self.pack).with_columns(pl.lit(OPENED).alias("valid_from"))
        second = self._build_version(self.later_vendor, self.later_pack).filter(pl.Series(changing))
        second = second.with_columns(changes.alias("valid_from"))
        until = second.select("item", pl.col("valid_from").dt.offset_by("-1d").alias("valid_to"))
        both = pl.concat([first.join(until, on="item", how="left"), second], how="diagonal")
        return schema.ITEMS.conform(both.sort("item", "valid_from").lazy()).collect()

    def _build_version(self, vendor: Ints, pack: Ints) -> pl.DataFrame:
        departments = pl.Series([department.name for department in DEPARTMENTS])
        return pl.DataFrame(
            {
                "item": self.numbers,
                "description": self.descriptions,
                "item_type": pl.Series(["STOCK", "FLOW"]).gather(self.flow.astype(np.int64)),
                "vendor": self.vendor_names.gather(vendor),
                "department": departments.gather(self.department),
                "contract_committed": self.contract_vendors[vendor],
                "pack_size": pack,
                "knows_pack": self.knows_pack,
            }
        ).with_columns(pl.when("knows_pack").then("pack_size").alias("pack_size"))


def draw_catalogue(seed: int, items: int, first: date) -> Catalogue:
    """Draw the catalogue of a network.

    Args:
        seed: of the network.
        items: how many.
        first: first day of the history; a few dozen items change vendor or pack size in the weeks after it.

    """
    rng = make_generator(seed, Stream.CATALOGUE)
    numbers = np.sort(rng.choice(np.arange(_FIRST_ITEM_NUMBER, int(UNKNOWN_ITEM)), items, replace=False))
    department = np.arange(items) * len(DEPARTMENTS) // items
    # Vendor v serves department v modulo the number of departments.
    serving = np.clip(
        items // _ITEMS_PER_VENDOR // len(DEPARTMENTS), _MIN_VENDORS_OF_DEPARTMENT, _MAX_VENDORS_OF_DEPARTMENT
    )
    vendors = int(serving) * len(DEPARTMENTS)
    vendor = department + len(DEPARTMENTS) * rng.integers(0, serving, items)
    pack = rng.choice(_PACK_SIZES, items)

    changing = rng.choice(items, max(2, items // _ITEMS_PER_CHANGE), replace=False)
    changes = np.zeros(items, np.int64)
    changes[changing] = first.toordinal() + rng.integers(*_CHANGE_AFTER_DAYS, len(changing))
    later_vendor, later_pack = vendor.copy(), pack.copy()
    later_vendor[changing[::2]] = (vendor[changing[::2]] + len(DEPARTMENTS)) % vendors
    later_pack[changing[1::2]] *= 2

    companies = rng.permutation(_COMPANIES)[:vendors]
    brands = pl.Series(BRANDS).gather(companies % len(BRANDS))
    trouble = rng.lognormal(0, _SIGMA_SPELL_STARTS_VENDOR, vendors)[vendor]
    spell_starts = trouble * rng.lognormal(np.log(_MEDIAN_SPELL_STARTS), _SIGMA_SPELL_STARTS_ITEM, items)
    return Catalogue(
        numbers=pl.Series(numbers).cast(pl.String),
        descriptions=_draw_descriptions(brands.gather(vendor), department, rng),
        department=department,
        flow=rng.random(items) < _FLOW_SHARE,
        vendor=vendor,
        pack=pack,
        knows_pack=~_choose(items, max(1, items // _ITEMS_PER_UNKNOWN_PACK), rng),
        changes=changes,
        later_vendor=later_vendor,
        later_pack=later_pack,
        vendor_names=brands + " " + pl.Series(COMPANIES).gather(companies // len(BRANDS)),
        contract_vendors=_choose(vendors, round(vendors * _CONTRACT_SHARE), rng),
        daily_cases=rng.lognormal(np.log(_MEDIAN_DAILY_CASES), _SIGMA_DAILY_CASES, items),
        spell_starts=np.minimum(spell_starts, _MAX_SPELL_STARTS),
    )


def draw_site(seed: int, number: int, items: int) -> Site:
    """Draw one DC, numbered from 1; it does not depend on how many others there are."""
    rng = make_generator(seed, Stream.SITE, number)
    return Site(
        code=f"DC{number:02}",
        number=number,
        time_zone=SITES[number - 1].time_zone,
        stores=int(np.clip(items // _ITEMS_PER_STORE, _MIN_STORES, _MAX_STORES)),
        size=float(rng.lognormal(0, _SIGMA_SIZE)),
        trouble=float(rng.lognormal(0, _SIGMA_TROUBLE)),
    )


def _choose(size: int, count: int, rng: np.random.Generator) -> Mask:
    mask = np.zeros(size, np.bool_)
    mask[rng.choice(size, count, replace=False)] = True
    return mask


def _draw_descriptions(brands: pl.Series, department: Ints, rng: np.random.Generator) -> pl.Series:
    described = []
    for index, words in enumerate(DEPARTMENTS):
        here = np.flatnonzero(department == index)
        product, kind, size = (
            pl.Series(choices).gather(rng.integers(0, len(choices), len(here)))
            for choices in (words.products, words.kinds, words.sizes)
        )
        described.append(brands.gather(here) + " " + product + " " + kind + " " + size)
    return pl.concat(described)
