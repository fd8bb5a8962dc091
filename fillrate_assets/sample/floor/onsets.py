"""When a floor was in trouble, by its true state alone.

A unit is OVERFLOWING in a minute that ends with at least 95 % of its capacity taken, and STARVING in one that ends with
at most 5 %. Only minutes count in which its pool works: during breaks and outside shifts nothing is judged. Five such
minutes in a row are an onset, which begins with the first of them. Spells of one unit and direction that lie less than
15 working minutes apart are one onset; it ends with its last minute of trouble.

Every unit can overflow. Only a TOTAL can starve: where a single path runs empty, its people work at another. A closed
lane is not checked.

These numbers say what trouble is. They are not the detector's, and are not to be tuned with it.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from fillrate_assets.sample.floor.layout import TOTAL
from fillrate_assets.sample.floor.schema import FLOOR_KINDS, ONSETS, UNKNOWN_CAUSE

FULL: Final = 0.95
EMPTY: Final = 0.05
SPELL_MINUTES: Final = 5
"""Working minutes in a row that make a spell."""
APART_MINUTES: Final = 15
"""Working minutes between two spells that make two onsets of them."""
CAUSE_MINUTES: Final = 120
"""An event that was over for longer is not the cause."""

_KEY: Final = ["warehouse", "unit_id", "unit_type", "direction"]


def find_onsets(latent: pl.DataFrame, members: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """Find every onset of overflow and starvation.

    The cause is the event of the warehouse that began last before the onset; NONE where there is none.

    Args:
        latent: `schema.LATENT`.
        members: `buffers.schema.UNIT_MEMBERS`; its roles LEVEL and CAP count.
        events: `schema.EVENTS`.

    Returns:
        `schema.ONSETS`, sorted by its key.

    """
    fills = compute_unit_fills(latent, members).filter("staffed").sort("unit_id", "ts")
    minutes = fills.with_columns(n=pl.int_range(pl.len()).over("unit_id"))
    troubled = pl.concat(
        [
            minutes.with_columns(direction=pl.lit("OVERFLOW"), bad=(pl.col("fill") >= FULL) & pl.col("lane_open")),
            minutes.filter(unit_type=TOTAL).with_columns(direction=pl.lit("STARVATION"), bad=pl.col("fill") <= EMPTY),
        ]
    )
    spells = (
        troubled.with_columns(spell=pl.col("bad").rle_id().over("unit_id", "direction"))
        .with_columns(last_n=pl.col("n").max().over("unit_id", "direction"))
        .filter("bad")
        .group_by(*_KEY, "spell", "last_n")
        .agg(onset_ts=pl.col("ts").min(), end_ts=pl.col("ts").max(), first=pl.col("n").min(), last=pl.col("n").max())
        .filter(pl.col("last") - pl.col("first") + 1 >= SPELL_MINUTES)
        .sort("unit_id", "direction", "first")
    )
    apart = (pl.col("first") - pl.col("last").shift(1) - 1).over("unit_id", "direction") >= APART_MINUTES
    merged = (
        spells.with_columns(onset=apart.fill_null(value=True).cum_sum().over("unit_id", "direction"))
        .group_by(*_KEY, "onset")
        .agg(
            pl.col("onset_ts").min(),
            end_ts=pl.when(pl.col("last").max() < pl.col("last_n").first()).then(pl.col("end_ts").max()),
        )
        .sort("onset_ts")
    )
    return ONSETS.conform(_add_causes(merged, events).sort(ONSETS.key).lazy()).collect()


def compute_unit_fills(latent: pl.DataFrame, members: pl.DataFrame) -> pl.DataFrame:
    """Compute the true fill of every unit in every minute.

    Args:
        latent: `schema.LATENT`.
        members: `buffers.schema.UNIT_MEMBERS`.

    Returns:
        warehouse, unit_id, unit_type, ts, fill, staffed, lane_open (one of its paths is).

    """
    parts = members.filter(pl.col("role").is_in(["LEVEL", "CAP"])).select(
        "unit_id", "path", "role", "weight", warehouse=pl.col("unit_id").str.split("_").list.first()
    )
    weights = parts.pivot("role", index=["warehouse", "unit_id", "path"], values="weight").fill_null(0.0)
    return (
        weights.join(latent, on=["warehouse", "path"])
        .group_by("warehouse", "unit_id", "ts")
        .agg(
            fill=(pl.col("level") * pl.col("LEVEL")).sum() / (pl.col("capacity") * pl.col("CAP")).sum(),
            staffed=pl.col("staffed").any(),
            lane_open=pl.col("lane_open").any(),
            pool=pl.col("pool").first(),
        )
        .with_columns(
            unit_type=pl.when(pl.col("unit_id").str.ends_with(f"_{TOTAL}")).then(pl.lit(TOTAL)).otherwise("pool")
        )
    )


def _add_causes(found: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    began = (
        events.filter(pl.col("kind").is_in(FLOOR_KINDS))
        .select("warehouse", "kind", "started_ts", "ended_ts")
        .sort("started_ts", "kind")
    )
    joined = found.join_asof(began, left_on="onset_ts", right_on="started_ts", by="warehouse", check_sortedness=False)
    remembered = pl.col("onset_ts") <= pl.col("ended_ts") + pl.duration(minutes=CAUSE_MINUTES)
    return joined.with_columns(cause=pl.when(remembered).then("kind").otherwise(pl.lit(UNKNOWN_CAUSE)))
