"""The service report: how well was shipped, by any grouping, against targets; and what the workbook shows beside it.

Sums are taken first and divided once. Groups that ordered nothing but lost demand (items that nobody could order)
have a row too, so that the lost cases of a report always add up to those of its records.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from fillrate_assets.errors import ContractViolation, PermanentFailure
from fillrate_assets.fillrate import schema, words
from fillrate_assets.fillrate.schema import PATHS, cases, rate, units
from fillrate_assets.fillrate.service import GROUPINGS, service

METRICS: Final = tuple(words.METRICS)
WORST_ITEMS: Final = 50
_TOTAL: Final = "total"


def report(
    lines: pl.LazyFrame, records: pl.LazyFrame, by: Sequence[str], targets: pl.LazyFrame | None = None
) -> pl.LazyFrame:
    """Service metrics and lost cases per group, with target and gap where targets are given.

    Args:
        lines: `CLASSIFIED_LINES`.
        records: `LOST_CASES` of the same DCs and ship dates.
        by: grouping columns, out of `GROUPINGS`; none for the total.
        targets: any grouping columns of `by`, and metrics out of `METRICS` as shares; unique by its grouping columns.

    Returns:
        The grouping columns, those of `SERVICE`, lost_cases (null where no record tells, and by customer: demand
        that nobody ordered has no customer), and per targeted metric `<metric>_target` (share) and `<metric>_gap`
        (percentage points), sorted by group.

    Raises:
        PermanentFailure: an unknown grouping.
        ContractViolation: targets by a column that is not grouped by.

    """
    if unknown := [name for name in by if name not in GROUPINGS]:
        msg = f"cannot group by {', '.join(unknown)}; groupings are {', '.join(GROUPINGS)}"
        raise PermanentFailure(msg)
    key = [*by, _TOTAL]
    served = service(lines, by).with_columns(pl.lit(value=True).alias(_TOTAL))
    if "customer" in by:
        rows = served.with_columns(pl.lit(None, schema.CASES).alias("lost_cases"))
    else:
        lost = (
            records.group_by(*by, pl.lit(value=True).alias(_TOTAL))
            .agg(units("lost_cases").sum())
            .with_columns(cases(pl.col("lost_cases")))
        )
        rows = served.join(lost, on=key, how="full", coalesce=True, nulls_equal=True)
    rows = rows.with_columns(
        pl.col("lines", "orders").fill_null(0), pl.col("ordered_cases", "shipped_cases").fill_null(0)
    )
    if targets is not None:
        rows = _with_targets(rows, by, targets)
    return rows.sort(key, nulls_last=True).drop(_TOTAL)


def _with_targets(rows: pl.LazyFrame, by: Sequence[str], targets: pl.LazyFrame) -> pl.LazyFrame:
    columns = targets.collect_schema().names()
    key = target_key(targets)
    if beyond := [name for name in key if name not in by]:
        msg = f"the targets are by {', '.join(beyond)}, which the report is not grouped by ({', '.join(by) or 'total'})"
        raise ContractViolation(msg)
    metrics = [name for name in METRICS if name in columns]
    renamed = targets.select(
        *key, *[pl.col(name).alias(f"{name}_target") for name in metrics], pl.lit(value=True).alias(_TOTAL)
    )
    return (
        rows.join(renamed, on=[*key, _TOTAL], how="left")
        .with_columns(
            ((pl.col(name) - pl.col(f"{name}_target")) * 100).cast(pl.Decimal(18, 2)).alias(f"{name}_gap")
            for name in metrics
        )
        .select(*rows.collect_schema().names(), *[f"{name}_{part}" for name in metrics for part in ("target", "gap")])
    )


def target_key(targets: pl.LazyFrame) -> list[str]:
    """What targets are given by; nothing: one target for all."""
    return [name for name in targets.collect_schema().names() if name in GROUPINGS]


def total(lines: pl.LazyFrame, records: pl.LazyFrame, targets: pl.LazyFrame | None = None) -> pl.LazyFrame:
    """The one row of everything; it has a target only where one target is for all."""
    for_all = targets if targets is not None and not target_key(targets) else None
    return report(lines, records, [], for_all)


def trend(lines: pl.LazyFrame, records: pl.LazyFrame) -> pl.LazyFrame:
    """Per ship date: ordered and shipped cases, case fill, OTIF, and lost cases confirmed and estimated."""
    return (
        report(lines, records, ["ship_date"])
        .select("ship_date", "lines", "ordered_cases", "shipped_cases", "case_fill_rate", "line_fill_rate", "otif_rate")
        .join(_lost(records, ["ship_date"]), on="ship_date", how="left")
        .sort("ship_date")
    )


def by_vendor(lines: pl.LazyFrame, records: pl.LazyFrame) -> pl.LazyFrame:
    """Per vendor: service metrics and lost cases, confirmed, estimated and on contract; most lost first."""
    return (
        report(lines, records, ["vendor"])
        .drop("lost_cases")
        .join(_lost(records, ["vendor"]), on="vendor", how="left", nulls_equal=True)
        .sort(_most_lost(), "vendor", descending=[True, False], nulls_last=True)
    )


def by_path(records: pl.LazyFrame) -> pl.LazyFrame:
    """Per DC and path: items x days that lost, and lost cases confirmed, estimated and on contract."""
    return _lost(records.filter(pl.col("lost_cases") > 0), ["dc", "path"]).sort("dc", "path")


def worst_items(
    lines: pl.LazyFrame, records: pl.LazyFrame, items: pl.LazyFrame, limit: int = WORST_ITEMS
) -> pl.LazyFrame:
    """The items of a DC that lost most: what they are, on which path they lost it, and the reason of most of it.

    Args:
        lines: `CLASSIFIED_LINES`.
        records: `LOST_CASES`.
        items: `ITEMS`, for the latest description.
        limit: rows to return.

    """
    key = ["dc", "item"]
    described = items.sort("valid_from").group_by("item").agg(pl.col("description").last())
    ordered = (
        lines.filter(pl.col("disposition") == "COUNTED")
        .group_by(key)
        .agg(
            pl.col("vendor", "department").sort_by("ship_date").last(),
            units("ordered_cases").sum().alias("o"),
            units("shipped_cases").sum().alias("s"),
        )
    )
    named = records.group_by(key).agg(
        pl.col("vendor", "department").sort_by("ship_date").last().name.suffix("_of_record"),
        *[cases(units("lost_cases").filter(pl.col("path") == path).sum()).alias(path.lower()) for path in PATHS],
    )
    reasons = (
        records.filter(pl.col("reason_code").is_not_null())
        .group_by(*key, "reason_code")
        .agg(units("lost_cases").sum().alias("lost"))
        .sort("lost", "reason_code", descending=[True, False])
        .group_by(key)
        .agg(pl.col("reason_code").first())
    )
    return (
        ordered.join(named, on=key, how="full", coalesce=True)
        .join(_lost(records, key), on=key, how="left")
        .join(reasons, on=key, how="left")
        .join(described, on="item", how="left")
        .with_columns(
            *[pl.coalesce(name, f"{name}_of_record").alias(name) for name in ("vendor", "department")],
            pl.col("o", "s").fill_null(0),
        )
        .with_columns(
            cases(pl.col("o")).alias("ordered_cases"),
            cases(pl.col("s")).alias("shipped_cases"),
            rate(pl.col("s"), pl.col("o")).alias("case_fill_rate"),
        )
        .filter(pl.coalesce("lost_cases", pl.col("ordered_cases") - pl.col("shipped_cases")) > 0)
        .sort(_most_lost(), *key, descending=[True, False, False])
        .head(limit)
        .select(
            *key,
            "description",
            "vendor",
            "department",
            "ordered_cases",
            "shipped_cases",
            "case_fill_rate",
            "lost_cases",
            "confirmed_cases",
            "estimated_cases",
            *[path.lower() for path in PATHS],
            "item_days",
            "reason_code",
        )
    )


def _most_lost() -> pl.Expr:
    """Lost cases, or where no record tells, what was ordered and not shipped."""
    return pl.coalesce("lost_cases", pl.col("ordered_cases") - pl.col("shipped_cases"))


def _lost(records: pl.LazyFrame, by: Sequence[str]) -> pl.LazyFrame:
    quantities = ("confirmed_cases", "estimated_cases", "lost_cases", "contract_lost_cases")
    return (
        records.group_by(by)
        .agg(
            (pl.col("lost_cases") > 0).sum().cast(pl.Int64).alias("item_days"),
            *[units(name).sum() for name in quantities],
        )
        .with_columns(cases(pl.col(name)).alias(name) for name in quantities)
    )
