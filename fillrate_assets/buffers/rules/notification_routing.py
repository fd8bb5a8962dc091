"""Alerts -> notices: which alert is sent to which channel at a tick.

Frames only: `buffers.report.notice_text` writes the text of a notice, `notifications.notifiers` lay it out for each
kind of channel, and `NoticeStore` records it before anything is sent.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from itertools import product
from typing import Final

import polars as pl

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.rules.alert_suppression import EPISODE, KEY, derive_episode_key
from fillrate_assets.buffers.rules.policy import Policy
from fillrate_assets.core.text_columns import format_text

_AMOUNTS: Final = (
    *("quantity", "quantity_unit", "source_unit", "target_unit", "until_ts"),
    *("missing_inputs", "limited_by"),
)
_OF_NOW: Final = ("minutes_left", "winner", "named_units")
"""What the tick that recommends the action of a row says of the unit."""

MANY_WAREHOUSES: Final = 2
"""From so many on, a feed that fails is one message of them all, not one of each."""

_SCOPE: Final = ("warehouse", "pool", "unit_type")
_SEVERITY: Final = pl.Enum(schema.SEVERITIES)
_NO_ROUTE: Final = "No active row of alert_route takes it: add a row for *, *, * that takes its severity"


def route_notices(
    alerts: pl.DataFrame,
    recommendations: pl.DataFrame,
    routes: pl.DataFrame,
    sent: pl.DataFrame,
    *,
    now: datetime,
    policy: Policy,
    every_label: bool = False,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Route notices: what to send now, and what cannot be sent because no route takes it.

    Sent are NEW, ONGOING and CLEARED rows that are to act on or worse, by the routes of this moment. CLEARED goes to
    the channels that got a notice of the episode, to no other. What the outbox has for one channel is no news for
    another one: a changed route counts for what comes after it. What was due while no tick ran in time is sent with
    the next tick, if it is still to act on: so a late start delays a notice and does not swallow it. The first notice
    that is sent of an episode is NEW, whatever was not sent before it.

    Args:
        alerts: `ALERTS`; ticks older than 10 minutes are left out.
        recommendations: `RECOMMENDATIONS` of the same ticks.
        routes: `ALERT_ROUTES`; the most specific row wins: by warehouse, then pool, then unit type. Of equally
            specific rows all win.
        sent: `NOTICES` that the outbox has of the episodes in `alerts`.
        now: UTC.
        policy: how old a notice may be.
        every_label: also WARN and all that is suppressed, as development shows it.

    Returns:
        `NOTICES` that are not in `sent`, and `UNDELIVERED_NOTICES`.

    """
    due = _select_due(
        alerts, sent, now - timedelta(minutes=policy.suppression.max_send_minutes), every_label=every_label
    )
    rows = join_recommended(due, recommendations)
    ends = (pl.col("label") == "CLEARED") & (pl.col("seq") > 0)
    ended = rows.filter(ends).join(sent.select(*EPISODE, "channel").unique(), on=EPISODE, how="inner")
    routed = _join_channels(rows.filter(~ends), routes, now)
    found = pl.concat([ended, routed.filter(pl.col("channel").is_not_null())], how="diagonal")
    lost = routed.filter(pl.col("channel").is_null()).with_columns(pl.lit(_NO_ROUTE).alias("problem"))
    fresh = found.join(sent, on="notice_id", how="anti").sort(schema.NOTICES.key)
    return (
        schema.NOTICES.conform(fresh.lazy()).collect(),
        schema.UNDELIVERED_NOTICES.conform(lost.sort("notice_id").lazy()).collect(),
    )


def join_recommended(rows: pl.DataFrame, recommendations: pl.DataFrame) -> pl.DataFrame:
    """Join rows of `ALERTS` with what is recommended; `own` says whether their tick recommends their action."""
    return rows.join(_select_recommended(recommendations), on=[*KEY, "snapshot_ts"], how="left").with_columns(
        # What another action needs says nothing of this one; of a throttle it is known for as long as it is in force.
        *(pl.when(pl.col("recommended_action") == pl.col("action")).then(name).alias(name) for name in _AMOUNTS),
        *(pl.when("own").then(name).alias(name) for name in _OF_NOW),
    )


def derive_scope() -> pl.Expr:
    """Derive whose message a row of `NOTICES` belongs to: its warehouse's, or `ANY` where feeds fail in many."""
    is_data = pl.col("direction") == "DATA"
    many = pl.col("warehouse").filter(is_data).n_unique().over("channel", "snapshot_ts") >= MANY_WAREHOUSES
    return pl.when(is_data & many).then(pl.lit(schema.ANY)).otherwise("warehouse")


def has_default_route(routes: pl.DataFrame, *, now: datetime) -> bool:
    """Return whether an active row of `ALERT_ROUTES` takes whatever is to act on, as one must."""
    anything = [pl.col(name) == schema.ANY for name in _SCOPE]
    return not _select_active(routes, now).filter(*anything, pl.col("min_severity") <= "ACT").is_empty()


def select_usable_routes(
    routes: pl.DataFrame, unknown: Collection[str], *, fallback: str, now: datetime
) -> pl.DataFrame:
    """Select the routes whose channels are known; the others fall back to the next route, at last to the default.

    Args:
        routes: `ALERT_ROUTES`.
        unknown: channels that do not exist.
        fallback: the channel that takes everything where the default route is of an unknown channel; "" for none.
        now: UTC.

    """
    usable = routes.filter(~pl.col("channel").is_in(list(unknown)))
    if not fallback or has_default_route(usable, now=now) or not has_default_route(routes, now=now):
        return usable
    row = dict.fromkeys(_SCOPE, schema.ANY) | {"min_severity": "ACT", "channel": fallback, "active_from": now}
    default = pl.DataFrame([{**row, "updated_by": "platform"}], schema=schema.ALERT_ROUTES.polars)
    return pl.concat([usable, default])


def _select_due(alerts: pl.DataFrame, sent: pl.DataFrame, oldest: datetime, *, every_label: bool) -> pl.DataFrame:
    """Select the rows to send, with their ids; `own` where the tick recommends the action of the row."""
    severity = pl.coalesce("severity", "peak_notified_severity", pl.lit("WARN"))
    known = sent.select(EPISODE).unique().with_columns(pl.lit(value=True).alias("known"))
    # What went to who is on call was not sent to the floor.
    routed = sent.filter(pl.col("reason").ne_missing(pl.lit("UNACKNOWLEDGED")))
    having = routed.select(*EPISODE, "seq").unique().with_columns(pl.lit(value=True).alias("had"))
    rows = (
        alerts.filter(pl.col("snapshot_ts") >= oldest)
        .join(known, on=EPISODE, how="left")
        .join(having, on=[*EPISODE, "seq"], how="left")
        .with_columns(pl.col("severity").is_not_null().alias("own"), severity.alias("severity"))
        .with_columns(
            format_text("{}.{}", derive_episode_key(), "seq").alias("rec_id"),
            (pl.col("severity") != "WARN").alias("serious"),
        )
    )
    owed = (pl.col("reason") == "WINDOW").fill_null(value=False) & pl.col("had").is_null()
    again = owed | (pl.col("label") == "ONGOING")
    is_due = (again | (pl.col("label") == "NEW")) & (pl.lit(every_label) | pl.col("serious"))
    # To one who got neither the warning nor what came too late, the problem is new.
    begins = again & pl.col("known").is_null() & (pl.col("seq") == pl.when(is_due).then("seq").min().over(EPISODE))
    rows = rows.with_columns(
        pl.when(begins).then(pl.lit("NEW")).when(owed).then(pl.lit("ONGOING")).otherwise("label").alias("label"),
        pl.when(~(owed | begins)).then("reason").alias("reason"),
    )
    counts = (pl.col("label") != "SUPPRESSED") & (pl.col("seq") > 0)
    moment = pl.col("snapshot_ts").dt.strftime("@%Y%m%dT%H%MZ")
    return (
        rows.filter(pl.lit(every_label) | (counts & pl.col("serious")))
        .with_columns(pl.when(counts).then("rec_id").otherwise(pl.col("rec_id") + moment).alias("notice_id"))
        # The tick that was to send it did not, and the next one owes it too: once, as it is now.
        .sort("snapshot_ts")
        .unique("notice_id", keep="last", maintain_order=True)
    )


def _select_recommended(recommendations: pl.DataFrame) -> pl.DataFrame:
    """Select what the notices have of a recommendation."""
    lost = pl.col("resolution").is_in(["OVERRIDDEN", "CAUSED_BY_ACTION"])
    winner = pl.when(lost).then("winner").alias("winner")
    action = pl.col("action").alias("recommended_action")
    return recommendations.select(
        *KEY, "snapshot_ts", action, *_AMOUNTS, "minutes_left", "named_units", "explanation", winner
    )


def _join_channels(rows: pl.DataFrame, routes: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """Repeat the rows for every channel of the most specific routes that take them; channel is null where none does."""
    active = _select_active(routes, now).select(*_SCOPE, pl.col("min_severity"), "channel")
    needs = rows.select(*_SCOPE, "severity").unique()
    levels = []
    for level, wild in enumerate(product((False, True), repeat=len(_SCOPE))):
        scope = [
            (pl.lit(schema.ANY) if any_ else pl.col(name)).alias(f"{name}_scope")
            for name, any_ in zip(_SCOPE, wild, strict=True)
        ]
        taken = needs.with_columns(scope).join(
            active, left_on=[f"{name}_scope" for name in _SCOPE], right_on=_SCOPE, how="inner"
        )
        levels.append(taken.with_columns(pl.lit(level).alias("level")))
    key = [*_SCOPE, "severity"]
    best = (
        pl.concat(levels)
        .filter(pl.col("min_severity") <= pl.col("severity").cast(_SEVERITY))
        .filter(pl.col("level") == pl.col("level").min().over(key))
        .select(*key, "channel")
        .unique()
    )
    return rows.join(best, on=key, how="left")


def _select_active(routes: pl.DataFrame, now: datetime) -> pl.DataFrame:
    begun, ends = pl.col("active_from") <= now, pl.col("active_to")
    return routes.filter(begun, ends.is_null() | (ends > now)).with_columns(pl.col("min_severity").cast(_SEVERITY))
