"""LightGBM with all that is known of a day, for benchmarks/estimate.py: what a method that explains itself gives up."""

from __future__ import annotations

from typing import Final

import lightgbm
import polars as pl

KEY: Final = ["dc", "ship_date", "item"]
LAGS: Final = (1, 2, 3, 4, 5, 6, 7, 14, 21, 28)
WINDOWS: Final = (3, 7, 14, 28)
CATEGORIES: Final = ("store", "product_id", "third_category_id", "city_id", "weekday")
OF_TODAY: Final = ("discount", "promo", "holiday")
OF_METHOD_2: Final = (
    "level_cases",
    "week_n",
    "month_n",
    "weekday_index",
    "usual_cases",
    "network_factor",
    "network_dcs",
    "factor_weight",
    "expected_cases",
)
OBJECTIVES: Final = {"LightGBM, for the mean": "regression", "LightGBM, for the median": "regression_l1"}
PARAMETERS: Final = {
    "learning_rate": 0.1,
    "num_leaves": 63,
    "min_data_in_leaf": 200,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "cat_smooth": 50,
    "num_threads": 2,
    "seed": 1,
    "deterministic": True,
    "verbosity": -1,
}
ROUNDS: Final = 250


def predict(
    sales: pl.DataFrame, expected: pl.DataFrame, learned: pl.DataFrame, scored: pl.DataFrame
) -> dict[str, pl.DataFrame]:
    """Learn from some days and predict others.

    Args:
        sales: every day of every series, sorted by DC, ship date and item.
        expected: `EXPECTED_DEMAND` by method 2: features as any other.
        learned: rows of `sales` to learn from, all earlier than those of `scored`.
        scored: rows of `sales` to predict.

    Returns:
        By name of the model: `KEY` and expected_cases.

    """
    features = _make_features(sales, expected)
    names = [name for name in features.columns if name not in {*KEY, "sold"}]
    train, test = (features.join(rows.select(KEY), on=KEY, how="semi") for rows in (learned, scored))
    data = lightgbm.Dataset(
        train.select(names).to_pandas(),
        train["sold"].to_numpy(),
        categorical_feature=list(CATEGORIES),
        free_raw_data=False,
    )
    unseen = test.select(names).to_pandas()
    models = {
        name: lightgbm.train({**PARAMETERS, "objective": objective}, data, ROUNDS)
        for name, objective in OBJECTIVES.items()
    }
    return {
        name: test.select(KEY).with_columns(pl.Series("expected_cases", model.predict(unseen)))
        for name, model in models.items()
    }


def _make_features(sales: pl.DataFrame, expected: pl.DataFrame) -> pl.DataFrame:
    """Make a row of features per series and day; what is of the day itself are the other stores and its promotions."""
    series = ["dc", "item"]
    seen = pl.when(pl.col("instock") == "Y").then(pl.col("sold"))
    whole = pl.when("never_out").then(pl.col("sold"))
    return (
        sales.lazy()
        .sort("dc", "item", "ship_date")
        .with_columns(pl.col("ordered_cases").cast(pl.Float32).alias("sold"))
        .select(
            *KEY,
            "sold",
            *OF_TODAY,
            pl.col("dc").rank("dense").cast(pl.Int32).alias("store"),
            *("product_id", "third_category_id", "city_id"),
            pl.col("ship_date").dt.weekday().cast(pl.Int32).alias("weekday"),
            *(seen.shift(lag).over(series).alias(f"lag_{lag}") for lag in LAGS),
            *(
                frame.shift(1).rolling_mean(days, min_samples=1).over(series).alias(f"{name}_{days}")
                for name, frame in {"seen": seen, "whole": whole}.items()
                for days in WINDOWS
            ),
            seen.shift(1).rolling_std(28, min_samples=2).over(series).alias("deviation_28"),
            (~pl.col("never_out")).cast(pl.Float32).shift(1).rolling_mean(7, min_samples=1).over(series).alias("out_7"),
            pl.col("discount").shift(1).rolling_mean(28, min_samples=1).over(series).alias("discount_28"),
        )
        .join(expected.lazy().select(*KEY, pl.col(OF_METHOD_2).cast(pl.Float32)), on=KEY)
        .collect()
    )
