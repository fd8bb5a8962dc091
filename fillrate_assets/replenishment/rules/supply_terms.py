"""The terms of an item: each is that of the most specific row in force that has it, else the default."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from itertools import combinations
from typing import Final

import polars as pl

from fillrate_assets.core.decimals import RATE, to_rate, to_units
from fillrate_assets.replenishment import schema

_VALUES: Final = (
    "lead_time_days",
    "lead_time_deviation_days",
    "review_days",
    "moq",
    "case_multiple",
    "shelf_life_days",
    "unit_cost",
    "unit_price",
)
_NEEDED: Final = ("lead_time_days", "review_days", "moq", "case_multiple", "service_target")
"""Terms without which there is no number: the DC's default has to do where nothing more specific is known."""


@dataclass(frozen=True)
class DefaultTerms:
    """What holds where no row has a term."""

    lead_time_days: int = 7
    review_days: int = 7
    moq: Decimal = Decimal(0)
    case_multiple: Decimal = Decimal(1)
    service_target: Decimal = Decimal("0.95")


def resolve_terms(
    items: pl.LazyFrame, terms: pl.LazyFrame, defaults: DefaultTerms, rejected: pl.LazyFrame | None = None
) -> pl.LazyFrame:
    """Resolve the terms of items on their ship dates.

    A row that is of an item goes before one of a vendor, that before one of a department, that before one of a DC;
    of two as specific, the one that is in force since later. A quantile is a service target, or
    shortage / (shortage + holding) of a row that has both costs and no target.

    Args:
        items: `ITEMS`.
        terms: `SUPPLY_TERMS`.
        defaults: where no row has a term.
        rejected: what `describe_rejects` returns of the items, if rows were rejected.

    Returns:
        `ITEM_TERMS`; `defaulted` names what comes from a row of the DC alone, or from `defaults`.

    """
    from_costs = to_rate(to_units("shortage_cost"), to_units("shortage_cost") + to_units("holding_cost"))
    target = pl.col("service_target")
    rows = terms.with_columns(
        pl.coalesce(target, from_costs).alias("quantile"),
        pl.when(target.is_not_null())
        .then(pl.lit("TARGET"))
        .when(from_costs.is_not_null())
        .then(pl.lit("COSTS"))
        .alias("quantile_source"),
    )
    # Terms are few, and of few kinds: to plan a join for every kind there could be takes longer than to run those.
    known = rows.collect()
    found = pl.concat([_match_rows(items, known.lazy(), keys) for keys in _list_keys() if _is_any_of(known, keys)])
    by_item = list(schema.ITEMS.key)
    values = [*_VALUES, "quantile", "quantile_source"]
    ranked = found.sort("rank", "valid_from", descending=True)
    specific = pl.col("is_specific")
    chosen = ranked.group_by(by_item, maintain_order=True).agg(
        *(pl.col(name).drop_nulls().first() for name in values),
        *(
            specific.filter(pl.col(column).is_not_null()).first().fill_null(value=False).alias(f"{name}|specific")
            for name, column in _list_needed()
        ),
    )
    defaulted = pl.concat_str(
        [pl.when(~pl.col(f"{name}|specific").fill_null(value=False)).then(pl.lit(name)) for name, _ in _list_needed()],
        separator=", ",
        ignore_nulls=True,
    )
    no_reject = pl.lit(None, pl.String).alias("rejected")
    judged = items.with_columns(no_reject) if rejected is None else items.join(rejected, on=by_item, how="left")
    return (
        judged.join(chosen, on=by_item, how="left")
        .with_columns(
            pl.col("lead_time_days").fill_null(defaults.lead_time_days),
            pl.col("review_days").fill_null(defaults.review_days),
            pl.col("moq").fill_null(pl.lit(defaults.moq)),
            pl.col("case_multiple").fill_null(pl.lit(defaults.case_multiple)),
            pl.col("quantile").fill_null(pl.lit(defaults.service_target).cast(RATE)),
            pl.col("quantile_source").fill_null("DEFAULT"),
            pl.when(defaulted != "").then(defaulted).alias("defaulted"),
        )
        .with_columns((pl.col("lead_time_days") + pl.col("review_days")).alias("protection_days"))
        .pipe(schema.ITEM_TERMS.conform)
    )


def _list_needed() -> list[tuple[str, str]]:
    """List the terms that every item needs, and the columns that have them."""
    return [(name, "quantile" if name == "service_target" else name) for name in _NEEDED]


def _list_keys() -> list[tuple[str, ...]]:
    """List what rows can be of: every subset of the keys, from nothing (a row for all) to all of them."""
    return [keys for size in range(len(schema.TERM_KEYS) + 1) for keys in combinations(schema.TERM_KEYS, size)]


def _is_any_of(rows: pl.DataFrame, keys: tuple[str, ...]) -> bool:
    """Return whether a row is of just these keys; of no row at all, whether they are none, so that there is a frame."""
    named = [pl.col(key).is_not_null() if key in keys else pl.col(key).is_null() for key in schema.TERM_KEYS]
    return not keys or not rows.filter(named).is_empty()


def _match_rows(items: pl.LazyFrame, rows: pl.LazyFrame, keys: tuple[str, ...]) -> pl.LazyFrame:
    """Match the rows that are of just these keys with the items that have their values, on the days in force."""
    others = [key for key in schema.TERM_KEYS if key not in keys]
    of_keys = rows.filter(
        *(pl.col(key).is_not_null() for key in keys), *(pl.col(key).is_null() for key in others)
    ).drop(others)
    joined = items.join(of_keys, on=list(keys)) if keys else items.join(of_keys, how="cross")
    rank = sum(2 ** (len(schema.TERM_KEYS) - place) for place, key in enumerate(schema.TERM_KEYS) if key in keys)
    day = pl.col("ship_date")
    return joined.filter(
        day >= pl.col("valid_from"), pl.col("valid_to").is_null() | (day <= pl.col("valid_to"))
    ).select(
        *schema.ITEMS.key,
        pl.lit(rank).alias("rank"),
        pl.lit(bool(set(keys) - {"dc"})).alias("is_specific"),
        "valid_from",
        *_VALUES,
        "quantile",
        "quantile_source",
    )


def list_protection_lengths(terms: pl.DataFrame, defaults: DefaultTerms) -> list[int]:
    """List the lengths that protection periods can have by `SUPPLY_TERMS`, in days: any lead time and any review."""
    leads = {defaults.lead_time_days, *terms["lead_time_days"].drop_nulls()}
    reviews = {defaults.review_days, *terms["review_days"].drop_nulls()}
    return sorted({lead + review for lead in leads for review in reviews})
