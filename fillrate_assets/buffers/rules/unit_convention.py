"""Units by convention: what follows from the paths that a warehouse names, where no one has said it otherwise.

A row of `warehouse_path` is enough to have a path monitored. The warehouse, its units and their members follow from
it; rows of `warehouse` and `unit_member` override them. How a unit is computed does not belong here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import polars as pl

from fillrate_assets.buffers import schema
from fillrate_assets.core.table_schema import TIMESTAMP

TOTAL: Final = "TOTAL"
PICKING: Final = "PICK"
"""The pool whose buffer the induct paths are."""

_ALWAYS: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NAME: Final = re.compile(r"(?<![A-Z0-9_-])(?:[A-Z0-9-]+_)?[A-Z0-9-]+[ _][A-Z0-9-]+(?![A-Z0-9_-])")
"""A unit as texts name it: its id, or its pool and path."""


def derive_warehouses(warehouses: pl.DataFrame, paths: pl.DataFrame) -> pl.DataFrame:
    """Derive the warehouses that only `WAREHOUSE_PATHS` names: each is a DC of its own, at UTC, and active.

    Args:
        warehouses: column warehouse: those that have a row of their own, usable or not.
        paths: column warehouse.

    Returns:
        `WAREHOUSES`.

    """
    name = pl.col("warehouse")
    return (
        paths.lazy()
        .select("warehouse")
        .unique()
        .join(warehouses.lazy().select("warehouse"), on="warehouse", how="anti")
        .select("warehouse", dc=name, name=name, time_zone=pl.lit("UTC"), active=pl.lit(value=True))
        .pipe(schema.WAREHOUSES.conform)
        .sort(schema.WAREHOUSES.key)
        .collect()
    )


def derive_members(paths: pl.DataFrame, members: pl.DataFrame) -> pl.DataFrame:
    """Derive the members of the units that no row of `UNIT_MEMBERS` names.

    A path counts in the TOTAL of its pool; of the pool INDUCT, in PICK_TOTAL: the induct paths together are the picking
    buffer. Who wrote an INDUCT_TOTAL has that by another name. Where single paths are judged (INDUCT, PACK, LANE), a
    path is a unit of its own too, whose id has `-` for every character that ids do not take. A path counts in every
    role, with the weight 1.

    Args:
        paths: `WAREHOUSE_PATHS`.
        members: `UNIT_MEMBERS` that people wrote; a unit with any row there is theirs.

    Returns:
        `UNIT_MEMBERS`.

    """
    return (
        _list_units(paths.lazy())
        .join(members.lazy().select("unit_id"), on="unit_id", how="anti")
        .join(members.lazy().select("unit_id"), left_on="named_total", right_on="unit_id", how="anti")
        .join(pl.LazyFrame({"role": schema.ROLES}), how="cross")
        .with_columns(weight=1.0, valid_from=pl.lit(_ALWAYS, TIMESTAMP), valid_to=pl.lit(None, TIMESTAMP))
        .pipe(schema.UNIT_MEMBERS.conform)
        .sort(schema.UNIT_MEMBERS.key)
        .collect()
    )


def derive_labels(paths: pl.DataFrame) -> dict[str, str]:
    """Derive what people call each unit, by unit_id: the label of its path; a TOTAL has its pool's name."""
    units = _list_units(paths.lazy()).collect()
    ids = pl.concat([units["unit_id"], units["named_total"]]).drop_nulls().unique()
    totals = {
        unit_id: f"{unit_id.split('_')[1].capitalize()} total" for unit_id in ids if unit_id.endswith(f"_{TOTAL}")
    }
    own = units.filter(pl.col("label").is_not_null(), pl.col("named_total").is_null())
    return {**totals, **dict(own.select("unit_id", "label").iter_rows())}


def derive_label(labels: Mapping[str, str]) -> pl.Expr:
    """Derive what people call the unit of a row, by its unit_id; empty without a label."""
    return pl.col("unit_id").replace_strict(dict(labels), default=None, return_dtype=pl.String)


def add_labels(text: str, labels: Mapping[str, str], warehouse: str) -> str:
    """Put the label beside each unit of a warehouse that a text names: `W1_PACK_L2` is `Lane 12 (PACK L2)` then."""

    def add_label(found: re.Match[str]) -> str:
        unit = found[0].replace(" ", "_")
        label = labels.get(unit if unit.startswith(f"{warehouse}_") else f"{warehouse}_{unit}")
        name = unit.removeprefix(f"{warehouse}_").replace("_", " ")
        return f"{label} ({name})" if label else found[0]

    return _NAME.sub(add_label, text)


def add_capacities(limits: pl.DataFrame | None, paths: pl.DataFrame, oldest: datetime) -> pl.DataFrame | None:
    """Add the capacity of `WAREHOUSE_PATHS` to `LIMITS`, as if it was reported at a moment; None: the feed failed.

    What the feed reported later counts before it.
    """
    known = paths.lazy().filter(pl.col("capacity") > 0)
    rows = known.select("warehouse", "path", "capacity", event_ts=oldest, ingest_ts=oldest, src_seq=-1)
    absent = [column for column in schema.LIMITS.columns if column.name not in rows.collect_schema()]
    added = rows.with_columns(pl.lit(None, column.dtype).alias(column.name) for column in absent)
    made = schema.LIMITS.conform(added).collect()
    if limits is None:
        return made if made.height else None
    return pl.concat([limits, made.select(limits.columns)])


def is_ambiguous() -> pl.Expr:
    """Return whether a row of `WAREHOUSE_PATHS` would make the same unit as one before it."""
    return ~pl.struct("warehouse", "pool", _derive_part()).is_first_distinct()


def _derive_part() -> pl.Expr:
    """Derive the part of a unit's id that names its path."""
    return pl.col("path").str.to_uppercase().str.replace_all(r"[^A-Z0-9-]", "-")


def _list_units(paths: pl.LazyFrame) -> pl.LazyFrame:
    """List the units of each path: unit_id, path, label, and of a TOTAL named_total, its id by the path's own pool."""
    induct, own = pl.col("pool") == "INDUCT", pl.col("pool").is_in(list(schema.UNIT_TYPES[1:]))
    buffer = pl.when(induct).then(pl.lit(PICKING)).otherwise("pool")
    total, named = (pl.concat_str("warehouse", pool, pl.lit(TOTAL), separator="_") for pool in (buffer, "pool"))
    single = pl.concat_str("warehouse", "pool", _derive_part(), separator="_")
    units = [
        paths.with_columns(unit_id=total, named_total=named),
        paths.filter(own).with_columns(unit_id=single, named_total=pl.lit(None, pl.String)),
    ]
    return pl.concat(units).select("unit_id", "path", "label", "named_total")
