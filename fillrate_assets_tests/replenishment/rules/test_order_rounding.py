"""How much is ordered to fill a gap."""

from __future__ import annotations

from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fillrate_assets.core.decimals import CASES
from fillrate_assets.replenishment.rules.order_rounding import round_orders

Order = tuple[Decimal | None, str | None]


def order(gap: float | None, moq: float = 0, multiple: float = 1, shelf_life: int | None = None) -> Order:
    """Order for 20 cases on hand of which 10 are forecast a day."""
    row = {"gap_cases": gap, "position_cases": 20, "forecast_cases": 30, "moq": moq, "case_multiple": multiple}
    frame = pl.LazyFrame([row], schema=dict.fromkeys(row, CASES)).with_columns(
        pl.lit(3).alias("protection_days"), pl.lit(shelf_life, pl.Int64).alias("shelf_life_days")
    )
    cases, limit = round_orders(frame).select("order_cases", "order_limit").collect().row(0)
    return cases, limit


@pytest.mark.parametrize(
    ("gap", "moq", "multiple", "shelf_life", "expected"),
    [
        (0, 50, 12, None, (0, None)),
        (None, 50, 12, None, (None, None)),
        (25, 0, 1, None, (25, None)),
        (24.0001, 0, 12, None, (36, None)),
        (24, 0, 12, None, (24, None)),
        (0.3, 0, 0.5, None, (0.5, None)),
        (5, 30, 12, None, (36, "MINIMUM_ORDER")),
        (36, 30, 12, None, (36, None)),
        (50, 0, 12, 6, (36, "SHELF_LIFE")),
        (40, 0, 1, 6, (40, None)),
        (50, 48, 12, 6, (0, "MINIMUM_BEYOND_SHELF_LIFE")),
        (5, 48, 12, 6, (0, "MINIMUM_BEYOND_SHELF_LIFE")),
        (5, 0, 1, 2, (0, "SHELF_LIFE")),
        (5, 0, 1, 1, (0, "SHELF_LIFE")),
    ],
)
def test_an_order_fills_the_gap_within_its_limits(
    gap: float | None, moq: float, multiple: float, shelf_life: int | None, expected: Order
) -> None:
    assert order(gap, moq, multiple, shelf_life) == expected


@given(
    st.decimals(0, 500, places=4),
    st.decimals(0, 200, places=2),
    st.decimals("0.25", 50, places=2),
    st.one_of(st.none(), st.integers(1, 90)),
)
def test_an_order_is_a_multiple_at_least_the_minimum_and_sells_in_time(
    gap: Decimal, moq: Decimal, multiple: Decimal, shelf_life: int | None
) -> None:
    cases, limit = order(float(gap), float(moq), float(multiple), shelf_life)
    assert cases is not None
    assert cases % multiple == 0
    assert cases == 0 or cases >= moq
    assert shelf_life is None or cases == 0 or cases + 20 <= 10 * shelf_life
    assert cases >= gap or limit in {"SHELF_LIFE", "MINIMUM_BEYOND_SHELF_LIFE"}
    assert cases < max(gap, moq) + multiple
