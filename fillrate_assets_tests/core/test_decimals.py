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


@pytest.mark.parametrize(
    ("left", "right", "product"),
    [
        (20_000, 15_000, 30_000),
        (1, 5_000, 1),
        (1, 4_999, 0),
        (0, 10_000, 0),
        (10**18 - 1, 10_000, 10**18 - 1),
        (None, 10_000, None),
    ],
)
def test_a_product_of_ten_thousandths_is_rounded_once_and_half_up(
    left: int | None, right: int, product: int | None
) -> None:
    frame = pl.DataFrame({"l": [left], "r": [right]}, {"l": pl.Int64, "r": pl.Int64})
    assert frame.select(decimals.multiply_half_up(pl.col("l"), pl.col("r"))).item() == product


def test_the_largest_sum_is_exact() -> None:
    most = pl.DataFrame({"s": [10**18 - 1]}).select(decimals.to_cases(pl.col("s"))).item()
    assert most == Decimal("99999999999999.9999") < decimals.MOST


@pytest.mark.parametrize(
    ("sums", "name"),
    [
        pytest.param(
            pl.LazyFrame({"s": [10**18, 1]}).select(decimals.to_cases(pl.col("s"))), "s", id="of ten-thousandths"
        ),
        pytest.param(
            pl.LazyFrame({"s": [Decimal(5 * 10**13)] * 2}, {"s": decimals.CASES}).select(
                pl.col("s").sum().cast(decimals.CASES)
            ),
            "a quantity",
            id="of cases",
        ),
    ],
)
def test_a_sum_beyond_the_store_is_an_error_that_says_so_and_never_another_number(
    sums: pl.LazyFrame, name: str
) -> None:
    with pytest.raises(pl.exceptions.InvalidOperationError) as raised:
        sums.collect()
    assert decimals.describe_overflow(raised.value) == (
        f"{name} adds up to 100,000,000,000,000: a quantity or a sum must be below 100,000,000,000,000 cases"
    )


def test_other_errors_are_no_sum_without_room() -> None:
    with pytest.raises(pl.exceptions.InvalidOperationError) as raised:
        pl.DataFrame({"s": ["x"]}).select(pl.col("s").cast(pl.Int64))
    assert decimals.describe_overflow(raised.value) is None
    assert decimals.describe_overflow(ValueError("conversion from `i64` to `decimal[18,0]` failed")) is None
