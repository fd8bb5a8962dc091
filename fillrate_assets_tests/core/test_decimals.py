from __future__ import annotations

from decimal import Decimal

import polars as pl
import pytest

from fillrate_assets.core import decimals


@pytest.mark.parametrize(
    ("shipped", "ordered", "rate"),
    [
        (1, 3, "0.3333"),
        (2, 3, "0.6667"),
        (10**17, 10**17, "1"),
        (10**18 - 1, 10**18, "1"),
        (5 * 10**17, 10**18, "0.5"),
    ],
)
def test_a_rate_of_sums_near_64_bits_is_exact(shipped: int, ordered: int, rate: str) -> None:
    frame = pl.DataFrame({"s": [shipped], "o": [ordered]})
    assert frame.select(decimals.to_rate(pl.col("s"), pl.col("o"))).item() == Decimal(rate)


def test_a_rate_of_nothing_is_null() -> None:
    frame = pl.DataFrame({"s": [0], "o": [0]})
    assert frame.select(decimals.to_rate(pl.col("s"), pl.col("o"))).item() is None


def test_a_sum_beyond_the_store_is_an_error_and_never_another_number() -> None:
    with pytest.raises(pl.exceptions.InvalidOperationError, match="failed"):
        pl.DataFrame({"s": [10**18]}).select(decimals.to_cases(pl.col("s")))
