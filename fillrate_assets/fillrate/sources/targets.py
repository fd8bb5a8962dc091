"""Targets of a report: a file of grouping columns and metrics. What is compared with them belongs to the report."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import polars as pl

from fillrate_assets.core import decimals
from fillrate_assets.core.conventions import Conventions
from fillrate_assets.core.errors import ContractViolation, PermanentFailure
from fillrate_assets.core.parsing import parse_frame
from fillrate_assets.core.table_schema import Column, TableSchema
from fillrate_assets.fillrate.rules.service_metrics import GROUPINGS, METRICS
from fillrate_assets.fillrate.sources.contract_tables import PROBLEM
from fillrate_assets.fillrate.sources.mapped_tables import read_table
from fillrate_assets.fillrate.sources.table_mapping import TableMapping

_EXACT: Final = pl.Decimal(38, 10)


def read_targets(file: Path) -> pl.DataFrame:
    """Read targets: grouping columns, and metrics as shares whether the file has 0.95, 95 or 95 %.

    A value with a percent sign is in percent. Without one, a column is in percent if all its values are above 1.

    Raises:
        PermanentFailure: the file does not exist.
        ContractViolation: a column is neither a grouping nor a metric, a value is not a number, a group is there twice,
            a value is no rate, or a column has values both above 1 and below.

    """
    if not file.is_file():
        msg = f"targets {file} does not exist"
        raise PermanentFailure(msg)
    table = read_table(file.parent, "targets", TableMapping(file=(file.name,)), {})
    given = table.mapped if table else pl.DataFrame()
    metrics = [name for name in given.columns if name in METRICS]
    key = [name for name in given.columns if name in GROUPINGS]
    if not metrics or len(metrics) + len(key) < given.width:
        msg = (
            f"{file}: columns are {', '.join(given.columns)}; targets have any of {', '.join(GROUPINGS)}, and at least "
        )
        msg += f"one of {', '.join(METRICS)}"
        raise ContractViolation(msg)
    columns = [Column(name, pl.Date if name == "ship_date" else pl.String, "", nullable=True) for name in key]
    columns += [Column(name, _EXACT, "", nullable=True) for name in metrics]
    typed = parse_frame(
        given.lazy(),
        TableSchema("targets", (), (*columns, PROBLEM)),
        table="targets",
        conventions=Conventions(percent=True),
    ).collect()
    problems = [*typed["problem"].drop_nulls()]
    if key and typed.select(key).is_duplicated().any():
        problems.append(f"the same {', '.join(key)} is there twice")
    if not key and typed.height != 1:
        problems.append("targets for all are one row")
    shares = [_to_share(typed[name], given[name].cast(pl.String)) for name in metrics]
    for name, share in zip(metrics, shares, strict=True):
        known = share.drop_nulls()
        texts = given[name].cast(pl.String)
        limit = pl.select(pl.when(texts.str.contains("%", literal=True)).then(1).otherwise(100)).to_series()
        if beyond := texts.filter(((typed[name] < 0) | (typed[name] > limit)).fill_null(value=False)).to_list():
            problems.append(f"{name} {beyond[0]} is no rate: it is 0 to 100 %")
        elif known.len() and not known.is_between(0, 1).all():
            problems.append(f"{name} is both below 1 and above: write percents with their sign, such as 0.5%")
    if problems:
        msg = f"{file}: {'; '.join(problems)}"
        raise ContractViolation(msg)
    return typed.select(*key, *[share.cast(decimals.RATE) for share in shares])


def _to_share(metric: pl.Series, written: pl.Series) -> pl.Series:
    """Convert a column to shares, rounded once; without signs, one that goes above 1 and not below is in percent."""
    bare = ~written.str.contains("%", literal=True)
    plain = metric.filter(bare.fill_null(value=False)).drop_nulls()
    positive = plain.filter(plain > 0)
    in_percent = positive.len() > 0 and bool((positive >= 1).all()) and bool((positive > 1).any())
    frame = pl.DataFrame({"metric": metric, "bare": bare})
    share = pl.when(pl.col("bare") & in_percent).then(pl.col("metric") / 100).otherwise("metric")
    return frame.select(share.round(decimals.RATE.scale, mode="half_away_from_zero").alias(metric.name)).to_series()
