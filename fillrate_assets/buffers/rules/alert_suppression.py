"""Recommendations -> alerts: what the floor is notified of now, and what is suppressed and why.

Dedup, hysteresis, inhibition, flapping and notification windows belong here; which channel a notice goes to does not:
see `notification_routing`.

A key (unit, direction) has an episode from the tick at which an action is first requested until the unit is clear,
whichever actions are requested meanwhile: it is one problem (decision 0185). The state of an episode rides on its rows,
one at every tick while it is open, so a tick is computed from the rows before it and from nothing else: to run it
again, or late, gives what it gave or would have given in time.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import polars as pl

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.rules.grid import derive_literal
from fillrate_assets.buffers.rules.policy import TICK_MINUTES, Policy, Suppression
from fillrate_assets.buffers.rules.silences import Controls, join_silences
from fillrate_assets.core.table_schema import TIMESTAMP

KEY: Final = ["unit_id", "direction"]
EPISODE: Final = [*KEY, "episode"]

_TICK: Final = timedelta(minutes=TICK_MINUTES)
_SEVERITY: Final = pl.Enum(schema.SEVERITIES)
_WHERE: Final = ("dc", "ship_date", "warehouse", "pool", "unit_type")
_STATE: Final = (
    "action",
    "notified_action",
    "is_open",
    "episode",
    "opened_ts",
    "last_notified_ts",
    "peak_notified_severity",
    "clear_count",
    "openings",
    "seq",
    "unknown_since_ts",
)


def compute_alerts(
    recommendations: pl.DataFrame,
    history: pl.DataFrame,
    *,
    snapshot_ts: datetime,
    policy: Policy,
    controls: Controls | None = None,
) -> pl.DataFrame:
    """Label every episode that is open, or that ends, at a tick: sent or suppressed (decision 0060).

    An action that differs from the one that the floor was last notified of is sent as ONGOING(CHANGED). A unit without
    a row is UNKNOWN. An acknowledgement stops repeats for their window, a snooze what is no emergency, maintenance
    everything (decision 0302).

    Args:
        recommendations: `RECOMMENDATIONS` of the tick.
        history: `ALERTS` of the 60 minutes before the tick; later rows are ignored. Of older rows only
            what the last tick left open matters: it ends as EXPIRED_NO_DATA, or returns as NEW(HISTORY_GAP).
        snapshot_ts: the tick, UTC.
        policy: windows and counts.
        controls: what people stopped, as of the tick; None for nothing.

    Returns:
        `ALERTS` of the tick, sorted by key. `seq` is 0 while nothing was sent in the episode: its CLEARED is not sent.

    """
    rules = policy.suppression
    return (
        _build_keys(recommendations, _select_latest_states(history, snapshot_ts))
        .with_columns(derive_literal(snapshot_ts).alias("snapshot_ts"))
        .with_columns(_derive_unknown_since().alias("unknown_since_ts"))
        .with_columns((pl.col("is_open") & _is_past("unknown_since_ts", rules.history_minutes)).alias("lapsed"))
        .with_columns((pl.col("is_open") & ~pl.col("lapsed")).alias("is_open"))
        .with_columns((pl.col("own") & ~pl.col("is_open")).alias("opens"), _derive_input().alias("input"))
        .with_columns(_derive_episode(snapshot_ts, rules))
        .pipe(_join_controls, controls or Controls())
        .with_columns((pl.col("openings").list.len() >= rules.flapping_openings).alias("flapping"))
        .with_columns(_is_due(rules).alias("due"), _is_acknowledged(rules).alias("acknowledged"))
        .with_columns(_derive_decision(rules).alias("decision"))
        .unnest("decision")
        .with_columns(_derive_next_state())
        .with_columns(pl.lit(policy.version).alias("policy_version"))
        .sort(KEY)
        .lazy()
        .pipe(schema.ALERTS.conform)
        .collect()
    )


def replay(recommendations: pl.DataFrame, history: pl.DataFrame, *, policy: Policy) -> pl.DataFrame:
    """Replay ticks in their order, each from the rows before it. After a late tick: that one and every later one.

    Args:
        recommendations: `RECOMMENDATIONS` of the ticks.
        history: `ALERTS`; rows of the first of these ticks, or later, are ignored.
        policy: windows and counts.

    Returns:
        `ALERTS` of the ticks.

    """
    history = history.filter(pl.col("snapshot_ts") < pl.lit(recommendations["snapshot_ts"].min(), TIMESTAMP))
    made = schema.ALERTS.make_empty().collect()
    for (snapshot_ts,), rows in recommendations.sort("snapshot_ts").group_by("snapshot_ts", maintain_order=True):
        rows_of_tick = compute_alerts(rows, pl.concat([history, made]), snapshot_ts=snapshot_ts, policy=policy)
        made = pl.concat([made, rows_of_tick])
    return made


def derive_episode_key() -> pl.Expr:
    """Derive the name of an episode: all its notices, and the answers to them, share it (dedup key)."""
    return pl.concat_str(EPISODE, separator=".")


# --- what a tick starts from


def _select_latest_states(history: pl.DataFrame, snapshot_ts: datetime) -> pl.DataFrame:
    """Select the last row of every key before the tick: its state, and where and when that was."""
    return (
        history.filter(pl.col("snapshot_ts") < derive_literal(snapshot_ts))
        .sort("snapshot_ts")
        .unique(KEY, keep="last", maintain_order=True)
        .select(*KEY, *_STATE, *[pl.col(name).alias(f"{name}_before") for name in (*_WHERE, "snapshot_ts")])
    )


def _build_keys(recommendations: pl.DataFrame, latest: pl.DataFrame) -> pl.DataFrame:
    """Build every key that is requested or open: what its unit is, and its state."""
    units = recommendations.select(
        *KEY,
        *_WHERE,
        "verdict",
        "resolution",
        "resolution_rule",
        pl.when(_is_alarming()).then(_derive_action()).alias("requested"),
    )
    requests = units.filter(pl.col("requested").is_not_null()).select(KEY)
    # A unit that has no row any more is filed under its warehouse's operating day, not under the last one it had.
    today = recommendations.group_by("warehouse").agg(pl.col("ship_date").max().alias("today"))
    own = pl.col("requested").is_not_null()
    return (
        pl.concat([requests, latest.filter("is_open").select(KEY)])
        .unique()
        .join(units, on=KEY, how="left")
        .join(latest, on=KEY, how="left")
        .join(today, left_on="warehouse_before", right_on="warehouse", how="left")
        .with_columns(pl.coalesce("ship_date", "today").alias("ship_date"))
        .with_columns(pl.coalesce(name, f"{name}_before").alias(name) for name in _WHERE)
        .with_columns(
            own.alias("own"),
            # What ends is what the floor was notified of.
            pl.coalesce("requested", "notified_action", "action").alias("action"),
            pl.when(own).then("verdict").cast(_SEVERITY).alias("severity"),
            pl.col("peak_notified_severity").cast(_SEVERITY),
            pl.col("is_open").fill_null(value=False),
            pl.col("clear_count", "seq").fill_null(0),
            pl.col("openings").fill_null([]),
        )
    )


def _is_alarming() -> pl.Expr:
    return pl.col("verdict").is_in(schema.SEVERITIES)


def _derive_action() -> pl.Expr:
    """Derive the requested action; what it was before a conflict took it, or what the kind of unit takes."""
    usual = (
        pl.when(pl.col("direction") == "DATA")
        .then(pl.lit("CHECK_DATA"))
        .when(pl.col("unit_type") == "TOTAL")
        .then(pl.lit("MOVE_STAFF"))
        .when(pl.col("unit_type") == "INDUCT")
        .then(pl.lit("THROTTLE"))
        .otherwise(pl.lit("REBALANCE"))
    )
    return pl.coalesce("action", "original_action", usual)


def _derive_unknown_since() -> pl.Expr:
    """Derive since when nothing was known before this tick, if so: ticks that never ran count."""
    first_missed = pl.col("snapshot_ts_before") + _TICK
    missed = pl.col("is_open") & (first_missed < pl.col("snapshot_ts"))
    return pl.coalesce("unknown_since_ts", pl.when(missed).then(first_missed))


def _is_past(since: str, minutes: pl.Expr | int) -> pl.Expr:
    """Return whether so many minutes have gone by; not so where the time is empty."""
    passed = (pl.col("snapshot_ts") - pl.col(since)).dt.total_minutes() >= minutes
    return passed.fill_null(value=False)


# --- the state table


def _derive_input() -> pl.Expr:
    """Derive the input of the state table for a key."""
    notified_worse = pl.col("is_open") & (pl.col("seq") > 0) & (pl.col("peak_notified_severity") > pl.col("severity"))
    # R1 takes an emergency's place only where another unit reports the same paths.
    same_paths = ((pl.col("resolution") == "OVERRIDDEN") & (pl.col("resolution_rule") == "R1")).fill_null(value=False)
    eased_to_warn = (pl.col("severity") == "WARN") & notified_worse
    return (
        pl.when((pl.col("severity") == "EMERGENCY") & ~same_paths)
        .then(pl.lit("ACTION"))
        .when(pl.col("own") & pl.col("resolution").is_in(["OVERRIDDEN", "CAUSED_BY_ACTION"]))
        .then("resolution")
        .when(pl.col("own") & ~eased_to_warn.fill_null(value=False))
        .then(pl.lit("ACTION"))
        .when(_is_alarming())
        .then(pl.lit("HYSTERESIS"))
        .otherwise(pl.col("verdict").fill_null("UNKNOWN"))
    )


def _derive_episode(snapshot_ts: datetime, rules: Suppression) -> list[pl.Expr]:
    """Derive the tick's episode, with its clear ticks so far: a new one, or the one that is open."""
    opens, tick = pl.col("opens"), pl.col("snapshot_ts")
    earliest = snapshot_ts - timedelta(minutes=rules.flapping_minutes)
    recent = pl.col("openings").list.filter(pl.element() > earliest)
    following = pl.max_horizontal(pl.col("episode") + 1, pl.lit(_compute_first_episode(snapshot_ts, rules), pl.Int64))
    streak = pl.when(pl.col("unknown_since_ts").is_null()).then("clear_count").otherwise(0)
    return [
        pl.when(opens).then(following).otherwise("episode").alias("episode"),
        pl.when(opens).then(tick).otherwise("opened_ts").alias("opened_ts"),
        pl.when(opens).then(0).otherwise("seq").alias("seq"),
        pl.when(opens).then(recent.list.concat(pl.concat_list(tick))).otherwise(recent).alias("openings"),
        pl.when(pl.col("input") == "CLEAR").then(streak + 1).otherwise(0).alias("clear_count"),
    ]


def _compute_first_episode(snapshot_ts: datetime, rules: Suppression) -> int:
    """Compute the least number of an episode: number of the tick, since 1970, that began this span of history.

    Numbers are never used again, though what is older than history is forgotten: they grow by at most 1 a tick, so a
    forgotten key had a lesser one. A tick's own number would do as well, but a late tick that moves an opening would
    then nearly always change its number, and the floor be notified once more.
    """
    minutes = int(snapshot_ts.timestamp()) // 60
    return (minutes - minutes % rules.history_minutes) // TICK_MINUTES


def _join_controls(keys: pl.DataFrame, controls: Controls) -> pl.DataFrame:
    """Join keys with the kinds of silences that are in force, and with who acknowledged their episode last."""
    kinds = join_silences(keys.unique("unit_id"), controls.silences).group_by("unit_id").agg(pl.col("kind").unique())
    last = controls.acknowledgements.sort("acknowledged_at").unique(EPISODE, keep="last")
    acknowledged = last.select(*EPISODE, "acknowledged_at", pl.col("severity").cast(_SEVERITY).alias("known_severity"))
    return keys.join(kinds, on="unit_id", how="left").join(acknowledged, on=EPISODE, how="left")


def _is_silent(kind: str) -> pl.Expr:
    return pl.col("kind").list.contains(kind).fill_null(value=False)


def _is_acknowledged(rules: Suppression) -> pl.Expr:
    """Return whether someone knows of a problem that is as bad, and the window since they said so is not over."""
    known = (pl.col("severity") <= pl.col("known_severity")).fill_null(value=False)
    return known & ~_is_past("acknowledged_at", _derive_scaled_window(rules))


def _is_due(rules: Suppression) -> pl.Expr:
    """Return whether the window since the last notice is over, or it is worse than notified then, or another action."""
    changed = _is_changed() & _is_past("last_notified_ts", rules.changed * TICK_MINUTES)
    return _is_past("last_notified_ts", _derive_scaled_window(rules)) | _is_worse() | changed


def _is_changed() -> pl.Expr:
    """Return whether another action is requested than the floor was last notified of; a warning requests none."""
    return (pl.col("action") != pl.col("notified_action")).fill_null(value=False) & (pl.col("severity") != "WARN")


def _derive_scaled_window(rules: Suppression) -> pl.Expr:
    """Derive the minutes between two notices of one problem: more of one that comes and goes."""
    factor = pl.when("flapping").then(rules.flapping_window_factor).otherwise(1)
    return _derive_window(rules) * factor * TICK_MINUTES


def _derive_window(rules: Suppression) -> pl.Expr:
    """Derive the ticks between two notices of one problem."""
    action = pl.col("action")
    return (
        pl.when(pl.col("severity") == "EMERGENCY")
        .then(rules.emergency)
        .when(action == "MOVE_STAFF")
        .then(rules.move_staff)
        .when(action == "THROTTLE")
        .then(rules.throttle)
        .when(action == "CHECK_DATA")
        .then(rules.data)
        .otherwise(rules.rebalance)
    )


def _is_worse() -> pl.Expr:
    return (pl.col("severity") > pl.col("peak_notified_severity")).fill_null(value=True)


def _derive_decision(rules: Suppression) -> pl.Expr:
    """Derive label and reason: the state table."""
    state, lapsed, opens = pl.col("input"), pl.col("lapsed"), pl.col("opens")
    due = (state == "ACTION") & pl.col("due")
    unsent = pl.col("seq") == 0
    enough = pl.when("flapping").then(rules.flapping_clear_ticks).otherwise(rules.clear_ticks)
    reopened = pl.when("flapping").then(pl.lit("FLAPPING")).otherwise(pl.lit("REOPEN_IN_WINDOW"))
    return (
        pl.when(lapsed & ~opens)
        .then(_derive_row("SUPPRESSED", "EXPIRED_NO_DATA"))
        .when((state == "ACTION") & _is_silent("MAINTENANCE"))
        .then(_derive_row("SUPPRESSED", "MAINTENANCE"))
        .when((state == "ACTION") & (pl.col("severity") != "EMERGENCY") & _is_silent("SNOOZE"))
        .then(_derive_row("SUPPRESSED", "SNOOZED"))
        .when(due & unsent & lapsed)
        .then(_derive_row("NEW", "HISTORY_GAP"))
        .when(due & unsent)
        .then(_derive_row("NEW"))
        .when(due & _is_worse())
        .then(_derive_row("ONGOING", "ESCALATED"))
        .when(due & _is_changed())
        .then(_derive_row("ONGOING", "CHANGED"))
        .when(due & pl.col("acknowledged"))
        .then(_derive_row("SUPPRESSED", "ACKNOWLEDGED"))
        .when(due)
        .then(_derive_row("ONGOING"))
        .when((state == "ACTION") & unsent)
        .then(_derive_row("SUPPRESSED", reopened))
        .when(state == "ACTION")
        .then(_derive_row("SUPPRESSED", "WINDOW"))
        .when(state == "OVERRIDDEN")
        .then(_derive_row("SUPPRESSED", "SUBSUMED_BY"))
        .when(state == "CAUSED_BY_ACTION")
        .then(_derive_row("SUPPRESSED", "CONSEQUENCE_OF"))
        .when(state == "HYSTERESIS")
        .then(_derive_row("SUPPRESSED", "HYSTERESIS"))
        .when((state == "CLEAR") & (pl.col("clear_count") >= enough))
        .then(_derive_row("CLEARED"))
        .when(state == "CLEAR")
        .then(_derive_row("SUPPRESSED", "CLEARING"))
        .when(state == "NOT_STAFFED")
        .then(_derive_row("SUPPRESSED", "NOT_STAFFED"))
        .otherwise(_derive_row("SUPPRESSED", "DATA_STALE"))
    )


def _derive_row(label: str, reason: pl.Expr | str | None = None) -> pl.Expr:
    why = reason if isinstance(reason, pl.Expr) else pl.lit(reason, pl.String)
    return pl.struct(pl.lit(label).alias("label"), why.alias("reason"))


def _derive_next_state() -> list[pl.Expr]:
    """Derive what the next tick starts from."""
    label, tick = pl.col("label"), pl.col("snapshot_ts")
    sent = label.is_in(["NEW", "ONGOING"])
    greater = (label == "NEW") | (sent & _is_worse())
    ends = (label == "CLEARED") | pl.col("reason").eq_missing(pl.lit("EXPIRED_NO_DATA"))
    unknown = pl.col("input").is_in(["UNKNOWN", "NOT_STAFFED"]) & ~ends
    return [
        (~ends).alias("is_open"),
        pl.when(sent).then(tick).otherwise("last_notified_ts").alias("last_notified_ts"),
        pl.when(sent).then("action").otherwise("notified_action").alias("notified_action"),
        pl.when(greater).then("severity").otherwise("peak_notified_severity").alias("peak_notified_severity"),
        (pl.col("seq") + (sent | ((label == "CLEARED") & (pl.col("seq") > 0)))).alias("seq"),
        pl.when(unknown).then(pl.coalesce("unknown_since_ts", "snapshot_ts")).alias("unknown_since_ts"),
    ]
