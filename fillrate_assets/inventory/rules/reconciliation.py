"""Reconciliation: how the copies of counts compare with the source, and what is done about it.

Pure frames in and out: how both sides are read at one moment, and how repairs are sent, belongs to the stores and
to `defs`.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import polars as pl

from fillrate_assets.inventory import schema

GRACE: Final = timedelta(seconds=60)
"""What changed this shortly before the comparison may still be under way. What is dated later than that after it is not
from now: a clock that is ahead, or a DC that made it up, would hide it from every comparison."""

_KEY: Final = ("dc", "item")
_VALUES: Final = ("on_hand_cases", "reserved_cases", "seq", "deleted")
_ACTIONS: Final = {
    "MATCH": "NONE",
    "RECENT": "NONE",
    "LAGGING": "RESEND",
    "MISSING": "RESEND",
    "AHEAD": "CONFIRM",
    "DIVERGED": "CONFIRM",
    "ORPHAN": "TOMBSTONE",
    "LEDGER_MISMATCH": "REVIEW",
    "RESERVATION_LEAK": "REVIEW",
}
_CONFIRMED: Final = "RESTATE"
_COMPARED: Final = [*(f"{side}_{name}" for side in ("source", "replica") for name in _VALUES)]


def compare_replicas(
    source: pl.DataFrame, replicas: pl.DataFrame, names: list[str], previous: pl.DataFrame, *, at: datetime
) -> pl.DataFrame:
    """Compare every copy of every count with the source.

    Args:
        source: shape of `schema.STOCK`.
        replicas: shape of `schema.REPLICAS`, of the replicas that could be read.
        names: which these are; one without a row has copies of nothing.
        previous: shape of `schema.FINDINGS`, of the comparison before. Only what it found alike is restated: a copy
            that overtook the reading of the source looks the same once.
        at: when both sides were read, UTC.

    Returns:
        Shape of `schema.FINDINGS`: MATCH; RECENT, which changed within `GRACE`; LAGGING, an older version; MISSING, no
        version; AHEAD, a version that the source has not; DIVERGED, the same version with other values; ORPHAN, an item
        that the source does not know.

    """
    each = pl.DataFrame({"replica": names}, schema={"replica": pl.String})
    expected = each.join(source, how="cross").rename({name: f"source_{name}" for name in (*_VALUES, "occurred_at")})
    found = replicas.rename({name: f"replica_{name}" for name in (*_VALUES, "occurred_at")})
    columns = ["replica", *_KEY]
    joined = expected.select(*columns, *_side("source")).join(
        found.select(*columns, *_side("replica")), on=columns, how="full", coalesce=True
    )
    compared = joined.with_columns(finding=_classify(at)).with_columns(
        action=pl.col("finding").replace_strict(_ACTIONS, return_dtype=pl.String)
    )
    return _confirm(compared, previous).pipe(_conform)


def check_source(source: pl.DataFrame, sums: pl.DataFrame, *, at: datetime) -> pl.DataFrame:
    """Check the source against its own ledger and reservations.

    Args:
        source: shape of `schema.STOCK`.
        sums: shape of `schema.SOURCE_SUMS`; a count without a row has moved and promised nothing.
        at: when both were read, UTC.

    Returns:
        Shape of `schema.FINDINGS`, without a replica: LEDGER_MISMATCH, where the count is not the sum of its movements;
        RESERVATION_LEAK, where more or less is reserved than orders have open. The columns of the replica have what
        the count should be.

    """
    joined = source.join(sums, on=_KEY, how="full", coalesce=True)
    # A movement or a reservation without a count is one of a count of 0.
    settled = joined.filter(~_is_recent("occurred_at", at))
    sides = settled.select(
        *_KEY,
        pl.lit("").alias("replica"),
        *(pl.col(name).alias(f"source_{name}") for name in _VALUES),
        replica_on_hand_cases=pl.col("moved_cases").fill_null(0),
        replica_reserved_cases=pl.col("promised_cases").fill_null(0),
        replica_seq=pl.lit(None, pl.Int64),
        replica_deleted=pl.lit(None, pl.Boolean),
    )
    findings = [
        sides.filter(pl.col(f"source_{name}").fill_null(0) != pl.col(f"replica_{name}")).with_columns(
            finding=pl.lit(finding), action=pl.lit(_ACTIONS[finding])
        )
        for name, finding in (("on_hand_cases", "LEDGER_MISMATCH"), ("reserved_cases", "RESERVATION_LEAK"))
    ]
    return pl.concat(findings).pipe(_conform)


def list_resends(findings: pl.DataFrame) -> pl.DataFrame:
    """List the copies that are sent the source's latest change again, as `replica`, `dc` and `item`."""
    return findings.filter(pl.col("action") == "RESEND").select("replica", *_KEY)


def list_restatements(findings: pl.DataFrame) -> pl.DataFrame:
    """List the counts that the source states once more, as `dc` and `item`, with the version `above` all copies.

    A count that the source does not know is stated as deleted.
    """
    restated = findings.filter(pl.col("action").is_in([_CONFIRMED, "TOMBSTONE"]))
    return restated.group_by(_KEY).agg(above=pl.col("replica_seq").max()).sort(_KEY)


def measure_accuracy(findings: pl.DataFrame, by: str) -> pl.DataFrame:
    """Measure how many copies match.

    Args:
        findings: shape of `schema.FINDINGS`.
        by: `replica`, `dc` or `item`.

    Returns:
        By that column: `compared` copies without those that are RECENT, `matching` ones, `discrepancies`, and
        `accuracy`, the share that matches; null where nothing was compared.

    """
    counted = findings.filter(pl.col("replica") != "").group_by(by)
    match, recent = (pl.col("finding") == name for name in ("MATCH", "RECENT"))
    return (
        counted.agg(compared=(~recent).sum(), matching=match.sum())
        .with_columns(discrepancies=pl.col("compared") - pl.col("matching"))
        .with_columns(accuracy=pl.when(pl.col("compared") > 0).then(pl.col("matching") / pl.col("compared")))
        .sort(by)
    )


def _side(side: str) -> list[str]:
    return [f"{side}_{name}" for name in (*_VALUES, "occurred_at")]


def _classify(at: datetime) -> pl.Expr:
    source, replica = (pl.col(f"{side}_seq") for side in ("source", "replica"))
    gone = [pl.col(f"{side}_deleted").fill_null(value=True) for side in ("source", "replica")]
    recent = pl.any_horizontal(_is_recent(f"{side}_occurred_at", at) for side in ("source", "replica"))
    differ = pl.any_horizontal(
        pl.col(f"source_{name}") != pl.col(f"replica_{name}") for name in ("on_hand_cases", "reserved_cases", "deleted")
    )
    return (
        pl.when((source == replica) & ~differ)
        .then(pl.lit("MATCH"))
        .when((source.is_null() | replica.is_null()) & gone[0] & gone[1])
        .then(pl.lit("MATCH"))
        .when(recent)
        .then(pl.lit("RECENT"))
        .when(source.is_null())
        .then(pl.lit("ORPHAN"))
        .when(replica.is_null())
        .then(pl.lit("MISSING"))
        .when(replica < source)
        .then(pl.lit("LAGGING"))
        .when(replica > source)
        .then(pl.lit("AHEAD"))
        .otherwise(pl.lit("DIVERGED"))
    )


def _is_recent(name: str, at: datetime) -> pl.Expr:
    """Return whether something has just changed; False where nothing has."""
    return pl.col(name).is_between(at - GRACE, at + GRACE, closed="right").fill_null(value=False)


def _confirm(compared: pl.DataFrame, previous: pl.DataFrame) -> pl.DataFrame:
    """Restate what two comparisons in a row found alike."""
    alike = ["replica", *_KEY, "finding", *_COMPARED]
    found_before = previous.select(*alike, before=pl.lit(value=True)).unique(alike)
    joined = compared.join(found_before, on=alike, how="left", nulls_equal=True, maintain_order="left")
    confirmed = (pl.col("action") == "CONFIRM") & pl.col("before").fill_null(value=False)
    return joined.with_columns(action=pl.when(confirmed).then(pl.lit(_CONFIRMED)).otherwise("action"))


def _conform(frame: pl.DataFrame) -> pl.DataFrame:
    return schema.FINDINGS.conform(frame.lazy()).sort(schema.FINDINGS.key).collect()
