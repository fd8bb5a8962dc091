"""The layout and the scoring of the VN2 inventory challenge of 2025: weekly sales of products in stores.

Before each of six weeks every series is ordered; an order arrives two weeks later. What is left at the end of a week
costs 0.2 a piece, what was wanted and not there 1, over eight weeks. No files of the contest are part of the project.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from fillrate_assets.sample.streams import Floats, Mask

LEAD_WEEKS: Final = 2
REVIEW_WEEKS: Final = 1
ORDERS: Final = 6
SCORED_WEEKS: Final = ORDERS + LEAD_WEEKS
HOLDING_COST: Final = 0.2
SHORTAGE_COST: Final = 1.0

_KEY: Final = ["Store", "Product"]


@dataclass(frozen=True)
class WeeklySales:
    """Sales by series and week."""

    series: tuple[str, ...]
    """Store and product, as `store-product`, in the order of the file."""
    weeks: tuple[date, ...]
    """Mondays."""
    sold: Floats
    in_stock: Mask
    """False where the week does not show what was wanted."""


@dataclass(frozen=True)
class StartingStock:
    """What every series has before the first order: on hand, and on order for the first weeks, soonest first."""

    on_hand: Floats
    in_transit: tuple[Floats, ...]


def read_sales(folder: Path) -> WeeklySales:
    """Read the latest file of sales, and the flags of what was in stock.

    Files are named `Week 3 - 2024-04-29 - Sales.csv` and `Week 0 - In Stock.csv`; both have the columns Store and
    Product, and one for each week. A week without a flag counts as in stock.

    Raises:
        FileNotFoundError: one of the files is missing.
        ValueError: both have not the same series.

    """
    sales = pl.read_csv(_find_latest(folder, "Sales"), infer_schema_length=None)
    flags = pl.read_csv(_find_latest(folder, "In Stock"), infer_schema_length=None)
    if not sales.select(_KEY).equals(flags.select(_KEY)):
        msg = f"{folder}: the files of sales and of stock have not the same series in the same order"
        raise ValueError(msg)
    weeks = [name for name in sales.columns if name not in _KEY]
    missing = pl.lit(value=True).alias
    known = flags.select(pl.col(week) if week in flags.columns else missing(week) for week in weeks)
    return WeeklySales(
        series=tuple(sales.select(pl.concat_str(_KEY, separator="-")).to_series()),
        weeks=tuple(date.fromisoformat(week) for week in weeks),
        sold=sales.select(pl.col(weeks).cast(pl.Float64)).to_numpy(),
        in_stock=known.cast(pl.Boolean).to_numpy(),
    )


def read_starting_stock(folder: Path) -> StartingStock:
    """Read the stock before the first order of the contest, in the order of the sales."""
    state = pl.read_csv(_find_latest(folder, "Initial State"))
    arriving = tuple(state[f"In Transit W+{week}"].cast(pl.Float64).to_numpy() for week in range(1, LEAD_WEEKS + 1))
    return StartingStock(state["End Inventory"].cast(pl.Float64).to_numpy(), arriving)


def _find_latest(folder: Path, kind: str) -> Path:
    found = {int(number): path for path in folder.glob("*.csv") for number in _read_number(path, kind)}
    if not found:
        msg = f"{folder} has no file named like 'Week 0 - ... {kind}.csv'"
        raise FileNotFoundError(msg)
    return found[max(found)]


def _read_number(path: Path, kind: str) -> Sequence[str]:
    return re.findall(rf"^Week (\d+) - (?:\d{{4}}-\d\d-\d\d - )?{kind}\.csv$", path.name)


def compute_costs(demand: Floats, start: StartingStock, order_up_to: Floats) -> Floats:
    """Compute the cost of each series over a window of `SCORED_WEEKS`.

    Args:
        demand: by series and week of the window.
        start: before the first order.
        order_up_to: by series and order; what is on hand and on order is filled up to it, in whole pieces.

    """
    on_hand, arriving = start.on_hand.copy(), [*start.in_transit]
    costs = np.zeros(len(on_hand))
    for week in range(SCORED_WEEKS):
        ordered = np.zeros(len(on_hand))
        if week < ORDERS:
            ordered = np.ceil(np.maximum(order_up_to[:, week] - on_hand - sum(arriving), 0.0))
        arriving.append(ordered)
        on_hand += arriving.pop(0)
        left = on_hand - demand[:, week]
        costs += HOLDING_COST * np.maximum(left, 0.0) + SHORTAGE_COST * np.maximum(-left, 0.0)
        on_hand = np.maximum(left, 0.0)
    return costs


def assume_starting_stock(weekly: Floats) -> StartingStock:
    """Assume the stock of a window of the past: a week's worth on hand, and one arriving in each of the next weeks."""
    each = np.ceil(weekly)
    return StartingStock(each, (each,) * LEAD_WEEKS)
