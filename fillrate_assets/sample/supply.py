"""Terms of supply and stock positions of the sample network, with a row that no one can use."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any, Final

import numpy as np
import polars as pl

from fillrate_assets.replenishment import schema
from fillrate_assets.replenishment.rules.term_checks import judge_terms
from fillrate_assets.sample.network import Network
from fillrate_assets.sample.streams import Stream, make_generator

_SINCE: Final = date(2020, 1, 1)
_LEAD_DAYS: Final = (2, 3, 4, 7)
_REVIEW_DAYS: Final = (1, 1, 7)
_MULTIPLES: Final = (1, 1, 2, 5)
_COSTS: Final = (8, 40)
"""Of a case, by department."""

_TARGETS: Final = ("0.90", "0.95", "0.98")
_ON_ORDER: Final = 0.4
"""Share of the items of which something is on order."""


def draw_terms(network: Network, items: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Draw the terms of a network: of each DC by default, of its vendors, and targets and costs by department.

    Args:
        network: which network.
        items: its item master.

    Returns:
        `SUPPLY_TERMS`, and `INPUT_REJECTS`: a target in percent where a share is meant.

    """
    rng = make_generator(network.seed, Stream.SUPPLY)
    vendors, departments = (items[name].drop_nulls().unique().sort().to_list() for name in ("vendor", "department"))
    rows: list[dict[str, Any]] = [
        {"dc": dc, "lead_time_days": 5, "review_days": 7, "service_target": Decimal("0.95")} for dc in network.dc_codes
    ]
    rows += [
        {
            "vendor": vendor,
            "lead_time_days": int(rng.choice(_LEAD_DAYS)),
            "review_days": int(rng.choice(_REVIEW_DAYS)),
            "case_multiple": Decimal(int(rng.choice(_MULTIPLES))),
        }
        for vendor in vendors
    ]
    rows += [
        {
            "department": department,
            "service_target": Decimal(_TARGETS[number % len(_TARGETS)]),
            "unit_cost": Decimal(int(rng.integers(*_COSTS))),
        }
        for number, department in enumerate(departments)
    ]
    rows.append({"vendor": vendors[0], "dc": network.dc_codes[0], "service_target": Decimal(95)})
    drawn = pl.DataFrame([{**row, "valid_from": _SINCE} for row in rows], schema=schema.SUPPLY_TERMS.polars)
    judged = judge_terms(drawn.lazy()).collect()
    wrong = pl.col("problem").is_not_null()
    rejects = judged.filter(wrong).with_columns(
        pl.lit(schema.SUPPLY_TERMS.name).alias("table"),
        pl.col("problem").alias("reason"),
        pl.struct(schema.SUPPLY_TERMS.names).struct.json_encode().alias("raw"),
    )
    return judged.filter(~wrong).drop("problem"), schema.INPUT_REJECTS.conform(rejects.lazy()).collect()


def draw_positions(network: Network, snapshots: pl.DataFrame) -> pl.DataFrame:
    """Draw what is on order of a DC at the beginning of the last day: of some items, about what is on hand.

    Args:
        network: which network.
        snapshots: instock records of the DC; on hand stays theirs.

    Returns:
        `STOCK_POSITIONS`.

    """
    last = (
        snapshots.rename({"snapshot_date": "ship_date"}, strict=False)
        .filter(pl.col("ship_date") == network.last, pl.col("item").is_not_null())
        .unique(["dc", "item"], keep="last", maintain_order=True)
        .sort("item")
    )
    rng = make_generator(network.seed, Stream.SUPPLY, *(int(dc[2:]) for dc in last["dc"].unique()))
    has_order = rng.random(last.height) < _ON_ORDER
    cases = np.where(has_order, np.ceil(rng.exponential(1.0, last.height) * 20), 0).astype(np.int64)
    return schema.STOCK_POSITIONS.conform(
        last.lazy().with_columns(
            pl.lit(None).alias("on_hand_cases"), pl.lit(pl.Series(cases, dtype=pl.Int64)).alias("on_order_cases")
        )
    ).collect()
