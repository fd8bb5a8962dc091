"""What the sample network sells and from where: items, vendors, departments, sites.

Everything here is drawn once per seed. `Catalogue` holds it as arrays, one element per item, because a day of
trading is arithmetic over all items at once; `masters` in `network.py` shows the same facts as frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import IntEnum
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from fillrate_assets.fillrate import schema

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


class Stream(IntEnum):
    """Purposes that draw from separate random streams, so that a change to one leaves the others as they were."""

    CATALOGUE = 1
    SITE = 2
    SPELLS = 3
    TRADE = 4
    CORRECTIONS = 5


def generator(seed: int, stream: Stream, *key: int) -> np.random.Generator:
    """The random stream of one purpose and key, e.g. one DC and day: no stream depends on another's use."""
    return np.random.default_rng([seed, stream, *key])


class Department(NamedTuple):
    """A department and the words its item descriptions are made of."""

    name: str
    products: tuple[str, ...]
    kinds: tuple[str, ...]
    sizes: tuple[str, ...]


# Three neighbours share a truck: a store sends one order per group of three.
DEPARTMENTS: Final = (
    Department(
        "Dry Grocery",
        ("Long Grain Rice", "Penne", "Spaghetti", "Flour", "Red Lentils", "Couscous", "Brown Sugar", "Olive Oil"),
        ("Classic", "Organic", "Whole Grain", "Family Pack", "Premium"),
        ("16 oz", "24 oz", "2 lb", "5 lb"),
    ),
    Department(
        "Canned Goods",
        ("Diced Tomatoes", "Black Beans", "Chickpeas", "Sweet Corn", "Chunk Tuna", "Chicken Soup", "Sliced Peaches"),
        ("Original", "No Salt Added", "Organic", "in Sauce", "Low Sodium"),
        ("8 oz", "10.5 oz", "14.5 oz", "28 oz"),
    ),
    Department(
        "Breakfast",
        ("Corn Flakes", "Rolled Oats", "Granola", "Pancake Mix", "Maple Syrup", "Strawberry Jam", "Peanut Butter"),
        ("Original", "Honey", "Organic", "Reduced Sugar", "Crunchy"),
        ("12 oz", "18 oz", "24 oz", "32 oz"),
    ),
    Department(
        "Snacks",
        ("Potato Chips", "Tortilla Chips", "Pretzels", "Popcorn", "Salted Peanuts", "Trail Mix", "Rice Cakes"),
        ("Sea Salt", "Barbecue", "Sour Cream", "Lightly Salted", "Chili Lime"),
        ("1.5 oz", "7 oz", "10 oz", "16 oz"),
    ),
    Department(
        "Beverages",
        ("Cola", "Ginger Ale", "Orange Juice", "Sparkling Water", "Iced Tea", "Ground Coffee", "Sports Drink"),
        ("Original", "Zero Sugar", "Lemon", "Caffeine Free", "Peach"),
        ("12 oz", "16.9 oz", "1 L", "2 L"),
    ),
    Department(
        "Confectionery",
        ("Milk Chocolate", "Gummy Bears", "Mint Drops", "Caramels", "Licorice", "Chewing Gum", "Wafer Bar"),
        ("Classic", "Dark", "Assorted", "Sugar Free", "Mini"),
        ("1.4 oz", "3.5 oz", "8 oz", "14 oz"),
    ),
    Department(
        "Dairy",
        ("Greek Yogurt", "Cheddar", "Mozzarella", "Butter", "Cottage Cheese", "Half and Half", "Cream Cheese"),
        ("Plain", "Low Fat", "Organic", "Lactose Free", "Strawberry"),
        ("5.3 oz", "8 oz", "16 oz", "32 oz"),
    ),
    Department(
        "Deli",
        ("Smoked Turkey", "Black Forest Ham", "Hummus", "Potato Salad", "Salami", "Coleslaw", "Roast Beef"),
        ("Traditional", "Thin Sliced", "Reduced Sodium", "Spicy", "Garlic"),
        ("7 oz", "9 oz", "12 oz", "16 oz"),
    ),
    Department(
        "Frozen",
        ("Green Peas", "Cheese Pizza", "Vanilla Ice Cream", "Fish Sticks", "French Fries", "Waffles", "Mixed Berries"),
        ("Classic", "Family Size", "Organic", "Gluten Free", "Steam Bag"),
        ("10 oz", "16 oz", "24 oz", "48 oz"),
    ),
    Department(
        "Household",
        ("Laundry Detergent", "Dish Soap", "Glass Cleaner", "Bleach", "Trash Bags", "Sponges", "Fabric Softener"),
        ("Fresh Scent", "Free & Clear", "Lemon", "Heavy Duty", "Lavender"),
        ("16 oz", "28 oz", "64 oz", "100 oz"),
    ),
    Department(
        "Paper Goods",
        ("Paper Towels", "Bath Tissue", "Napkins", "Facial Tissue", "Paper Plates", "Sandwich Bags", "Foil"),
        ("Everyday", "Ultra Soft", "Strong", "Recycled", "Printed"),
        ("4 ct", "6 ct", "12 ct", "80 ct"),
    ),
    Department(
        "Health & Beauty",
        ("Shampoo", "Conditioner", "Body Wash", "Toothpaste", "Hand Soap", "Sunscreen", "Cotton Swabs"),
        ("Daily", "Sensitive", "Mint", "Moisturizing", "Unscented"),
        ("3 oz", "6.4 oz", "12 oz", "25 oz"),
    ),
)
DEPARTMENTS_PER_ORDER: Final = 3
ORDER_GROUPS: Final = len(DEPARTMENTS) // DEPARTMENTS_PER_ORDER

_BRANDS: Final = (
    *("Alder Creek", "Ashford", "Bellwether", "Birchline", "Blue Heron", "Bramble Hill", "Calder", "Cedar & Rye"),
    *("Copperfield", "Dunmore", "Eastwind", "Fairhaven", "Fernwood", "Granite Bay", "Halden", "Hartwell"),
    *("Juniper", "Kingsley", "Lakemont", "Marlow", "Northgate", "Old Mill", "Pinecrest", "Quarry Lane"),
    *("Redwood", "Sable Point", "Silverbrook", "Thornbury", "Westmark", "Yarrow"),
)
_COMPANIES: Final = ("Brands", "Trading", "Supply", "Partners", "Industries", "Group")
_MAX_VENDORS: Final = len(_BRANDS) * len(_COMPANIES)
_ITEMS_PER_VENDOR: Final = 40
_PACK_SIZES: Final = (4, 6, 8, 10, 12, 16, 20, 24, 36, 48)

_FLOW_SHARE: Final = 0.12
_CONTRACT_SHARE: Final = 0.15
_ITEMS_PER_CHANGE: Final = 200
_ITEMS_PER_UNKNOWN_PACK: Final = 100
_CHANGE_AFTER_DAYS: Final = (7, 35)
_MEDIAN_DAILY_CASES: Final = 2.8
_SIGMA_BETWEEN_ITEMS: Final = 1.2
_MEAN_SPELL_STARTS: Final = 0.0155
_SIGMA_SPELL_STARTS: Final = 0.5

_FIRST_ITEM_NUMBER: Final = 10_000
UNKNOWN_ITEM: Final = "99999"
"""A well-formed item number that no item has."""
MAX_ITEMS: Final = 50_000
_OPENED: Final = date(2020, 1, 1)

SITES: Final = (
    ("Allentown", "America/New_York"),
    ("Joliet", "America/Chicago"),
    ("Fort Worth", "America/Chicago"),
    ("Reno", "America/Los_Angeles"),
    ("Lakeland", "America/New_York"),
    ("Denver", "America/Denver"),
    ("Phoenix", "America/Phoenix"),
    ("Columbus", "America/New_York"),
    ("Memphis", "America/Chicago"),
    ("Stockton", "America/Los_Angeles"),
    ("Savannah", "America/New_York"),
    ("Kansas City", "America/Chicago"),
    ("Salt Lake City", "America/Denver"),
    ("Tacoma", "America/Los_Angeles"),
    ("Greensboro", "America/New_York"),
    ("Louisville", "America/Kentucky/Louisville"),
)


@dataclass(frozen=True)
class Catalogue:
    """Every item of the network, one array element per item; items of a department are neighbours.

    A few dozen items change vendor or pack size on `changes`: their second version holds from that day on.
    """

    numbers: pl.Series
    descriptions: pl.Series
    department: Ints
    flow: Mask
    vendor: Ints
    pack: Ints
    knows_pack: Mask
    changes: Ints
    """Proleptic ordinal of the day of the second version; 0: there is none."""
    later_vendor: Ints
    later_pack: Ints
    contract_vendors: Mask
    vendor_names: pl.Series
    daily_cases: Floats
    """Mean demand per ship day in a DC of average size."""
    spell_starts: Floats
    """Chance that the item runs out of stock on a ship day."""

    @property
    def size(self) -> int:
        """How many items there are."""
        return len(self.department)

    def packs_on(self, day: date) -> Ints:
        """Eaches per case in force on a day; meaningless where the pack is not known."""
        changed = (self.changes > 0) & (self.changes <= day.toordinal())
        return np.where(changed, self.later_pack, self.pack)

    def frame(self) -> pl.DataFrame:
        """The items as `schema.ITEMS`: one row per version."""
        first = self._versions(np.arange(self.size), self.vendor, self.pack)
        changed = np.flatnonzero(self.changes)
        second = self._versions(changed, self.later_vendor, self.later_pack)
        until = pl.Series([date.fromordinal(int(day)) for day in self.changes[changed]], dtype=pl.Date)
        ends = pl.DataFrame({"item": second["item"], "valid_to": until}).with_columns(
            pl.col("valid_to").dt.offset_by("-1d")
        )
        frame = pl.concat(
            [
                first.with_columns(pl.lit(_OPENED).alias("valid_from")).join(ends, on="item", how="left"),
                second.with_columns(until.alias("valid_from"), pl.lit(None, pl.Date).alias("valid_to")),
            ]
        ).sort("item", "valid_from")
        return schema.ITEMS.conform(frame.lazy()).collect()

    def _versions(self, which: Ints, vendors: Ints, packs: Ints) -> pl.DataFrame:
        vendor = vendors[which]
        known = pl.Series(self.knows_pack[which])
        return pl.DataFrame(
            {
                "item": self.numbers.gather(which),
                "description": self.descriptions.gather(which),
                "item_type": pl.Series(["STOCK", "FLOW"]).gather(self.flow[which].astype(np.int64)),
                "vendor": self.vendor_names.gather(vendor),
                "department": pl.Series([department.name for department in DEPARTMENTS]).gather(self.department[which]),
                "pack_size": packs[which],
                "contract_committed": self.contract_vendors[vendor],
            }
        ).with_columns(pl.when(known).then("pack_size").alias("pack_size"))


def catalogue(seed: int, items: int, first: date) -> Catalogue:
    """Draw the catalogue of a network.

    Args:
        seed: of the network.
        items: how many.
        first: first day of the network's history; vendor and pack changes happen in the weeks after it.

    """
    rng = generator(seed, Stream.CATALOGUE)
    candidates = np.arange(_FIRST_ITEM_NUMBER, int(UNKNOWN_ITEM))
    numbers = np.sort(rng.choice(candidates, items, replace=False))
    department = np.arange(items) * len(DEPARTMENTS) // items
    vendors = int(np.clip(items // _ITEMS_PER_VENDOR, len(DEPARTMENTS), _MAX_VENDORS))
    companies = rng.permutation(_MAX_VENDORS)[:vendors]
    vendor = _vendors_of(rng, department, vendors)
    pack = rng.choice(_PACK_SIZES, items)

    changing = rng.choice(items, max(2, items // _ITEMS_PER_CHANGE), replace=False)
    changes = np.zeros(items, np.int64)
    changes[changing] = first.toordinal() + rng.integers(*_CHANGE_AFTER_DAYS, len(changing))
    to_vendor, to_pack = changing[::2], changing[1::2]
    later_vendor, later_pack = vendor.copy(), pack.copy()
    later_vendor[to_vendor] = (vendor[to_vendor] + len(DEPARTMENTS)) % vendors
    later_pack[to_pack] = pack[to_pack] * 2

    knows_pack = np.ones(items, np.bool_)
    knows_pack[rng.choice(items, max(1, items // _ITEMS_PER_UNKNOWN_PACK), replace=False)] = False
    contract_vendors = np.zeros(vendors, np.bool_)
    contract_vendors[rng.choice(vendors, round(vendors * _CONTRACT_SHARE), replace=False)] = True
    brands = pl.Series(_BRANDS).gather(companies % len(_BRANDS))
    return Catalogue(
        numbers=pl.Series(numbers).cast(pl.String),
        descriptions=_descriptions(rng, brands.gather(vendor), department),
        department=department,
        flow=rng.random(items) < _FLOW_SHARE,
        vendor=vendor,
        pack=pack,
        knows_pack=knows_pack,
        changes=changes,
        later_vendor=later_vendor,
        later_pack=later_pack,
        contract_vendors=contract_vendors,
        vendor_names=brands + " " + pl.Series(_COMPANIES).gather(companies // len(_BRANDS)),
        daily_cases=rng.lognormal(np.log(_MEDIAN_DAILY_CASES), _SIGMA_BETWEEN_ITEMS, items),
        spell_starts=np.clip(rng.lognormal(np.log(_MEAN_SPELL_STARTS), _SIGMA_SPELL_STARTS, items), 0, 0.2),
    )


def _vendors_of(rng: np.random.Generator, department: Ints, vendors: int) -> Ints:
    """A vendor for each item: vendor v serves department v mod 12."""
    departments = len(DEPARTMENTS)
    serving = (vendors - 1 - department) // departments + 1
    return department + departments * rng.integers(0, serving)


def _descriptions(rng: np.random.Generator, brands: pl.Series, department: Ints) -> pl.Series:
    described = []
    for index, words in enumerate(DEPARTMENTS):
        here = np.flatnonzero(department == index)
        parts = [pl.Series(part).gather(rng.integers(0, len(part), len(here))) for part in words[1:]]
        product, kind, size = parts
        described.append(brands.gather(here) + " " + product + " " + kind + " " + size)
    return pl.concat(described)
