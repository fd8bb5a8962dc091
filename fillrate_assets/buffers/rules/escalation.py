"""Escalation: what no one acknowledges goes to who is on call, each step to those of a wider scope (decision 0303)."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import polars as pl

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.rules.alert_suppression import EPISODE, KEY, derive_episode_key
from fillrate_assets.buffers.rules.notification_routing import join_recommended
from fillrate_assets.buffers.rules.policy import TICK_MINUTES, Policy
from fillrate_assets.core.text_columns import format_text

_PLACE: Final = ["dc", "warehouse"]
_SEVERITY: Final = pl.Enum(schema.SEVERITIES)
_NO_ONE: Final = "No one has acknowledged it, and no one is on call for it: add a row to on_call"


def escalate(
    alerts: pl.DataFrame,
    recommendations: pl.DataFrame,
    on_call: pl.DataFrame,
    acknowledgements: pl.DataFrame,
    sent: pl.DataFrame,
    *,
    now: datetime,
    policy: Policy,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Escalate what was sent, still needs an action, and was not acknowledged for some ticks.

    The first step goes to those on call for the warehouse, the next ones to those of the DC and of all, each after as
    many ticks again; a scope without anyone takes no step. A step of an episode is sent once.

    Args:
        alerts: `ALERTS` of the last minutes; the latest row of a key counts.
        recommendations: `RECOMMENDATIONS` of the same ticks.
        on_call: `ON_CALL`; where it is empty, nothing is escalated.
        acknowledgements: `ACKNOWLEDGEMENTS`; one stops the escalation of what is no worse than it was then.
        sent: `NOTICES` that the outbox has of the episodes in `alerts`.
        now: UTC.
        policy: after how many ticks.

    Returns:
        `NOTICES` with the reason UNACKNOWLEDGED that are not in `sent`, and `UNDELIVERED_NOTICES` for want of anyone.

    """
    ticks = policy.suppression.acknowledge_ticks if on_call.height else 0
    known = acknowledgements.group_by(EPISODE).agg(pl.col("severity").cast(_SEVERITY).max().alias("known"))
    late = _select_late(alerts, known, sent, ticks) if ticks else alerts.clear().with_columns(waited=0, steps=0)
    step = pl.col("step").fill_null(1)
    rows = (
        late.join(_list_steps(late, on_call, now), on="warehouse", how="left")
        .filter(step <= pl.col("steps"))
        .with_columns(
            format_text("{}.{}", derive_episode_key(), "seq").alias("rec_id"),
            format_text("{}.unacknowledged{}", derive_episode_key(), step).alias("notice_id"),
            pl.lit("ONGOING").alias("label"),
            pl.lit("UNACKNOWLEDGED").alias("reason"),
            pl.lit(value=True).alias("own"),
        )
        .join(sent, on="notice_id", how="anti")
        .pipe(join_recommended, recommendations)
    )
    why = pl.col("explanation").fill_null("")
    said = format_text("Not acknowledged for {} min; on call: {}. {}", "waited", "people", why).str.strip_chars()
    reached = rows.filter(pl.col("channel").is_not_null()).with_columns(said.alias("explanation"))
    lost = rows.filter(pl.col("channel").is_null()).with_columns(pl.lit(_NO_ONE).alias("problem"))
    return (
        schema.NOTICES.conform(reached.sort(schema.NOTICES.key).lazy()).collect(),
        schema.UNDELIVERED_NOTICES.conform(lost.sort("notice_id").lazy()).collect(),
    )


def _select_late(alerts: pl.DataFrame, known: pl.DataFrame, sent: pl.DataFrame, ticks: int) -> pl.DataFrame:
    """Select the latest rows that no one acknowledged in time, with the minutes since, and how many steps are due."""
    severity = pl.col("severity").cast(_SEVERITY)
    is_unknown = pl.col("known").is_null() | (severity > pl.col("known"))
    since = (
        sent.filter(pl.col("label").is_in(["NEW", "ONGOING"]))
        .join(known, on=EPISODE, how="left")
        .filter(is_unknown)
        .group_by(EPISODE)
        .agg(pl.col("snapshot_ts").min().alias("since"))
    )
    requested = pl.col("label").is_in(["NEW", "ONGOING"]) | pl.col("reason").is_in(["WINDOW", "ACKNOWLEDGED"])
    waited = (pl.col("snapshot_ts") - pl.col("since")).dt.total_minutes()
    return (
        alerts.sort("snapshot_ts")
        .unique(KEY, keep="last", maintain_order=True)
        .filter("is_open", requested.fill_null(value=False), pl.col("severity").is_in(["ACT", "EMERGENCY"]))
        .join(known, on=EPISODE, how="left")
        .filter(is_unknown)
        .join(since, on=EPISODE)
        .with_columns(waited.alias("waited"), (waited // (ticks * TICK_MINUTES)).alias("steps"))
        .filter(pl.col("steps") > 0)
    )


def _list_steps(rows: pl.DataFrame, on_call: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """List whom each step goes to: warehouse, step, channel, people; a warehouse without anyone is absent."""
    ends = pl.col("to_ts")
    active = on_call.filter(pl.col("from_ts") <= now, ends.is_null() | (ends > now))
    # From narrow to wide: a row that names a warehouse is of that alone.
    level = pl.when(pl.col("warehouse_scope") != schema.ANY).then(0).when(pl.col("dc_scope") != schema.ANY).then(1)
    fits = ((pl.col(f"{name}_scope") == schema.ANY) | (pl.col(f"{name}_scope") == pl.col(name)) for name in _PLACE)
    return (
        rows.select(_PLACE)
        .unique()
        .join(active.rename({name: f"{name}_scope" for name in _PLACE}), how="cross")
        .filter(*fits)
        .with_columns(level.otherwise(2).alias("level"))
        .with_columns(pl.col("level").rank("dense").over("warehouse").cast(pl.Int64).alias("step"))
        .group_by("warehouse", "step", "channel")
        .agg(pl.col("person").unique().sort().str.join(", ").alias("people"))
    )
