"""What the floor answers -> how good the alerts are, and whether a challenger may take the champion's place.

Precision, recall, their intervals and the champion/challenger comparison belong here; running a policy again does not:
see `report.policy_backtest`. Alerts that data are missing (DATA) are not about a buffer, and a WARN is not sent in
production: neither counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import NormalDist
from typing import Final

import polars as pl

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.rules.alert_suppression import EPISODE, KEY, derive_episode_key
from fillrate_assets.buffers.rules.policy import CONFIDENCE, Promotion

WRONG: Final = ("WRONG_ACTION", "WRONG_QTY")

_COUNTS: Final = ("episodes", "answered", "true_positives", "false_positives", "wrong_actions", "missed")
_EXACT: Final = 9
"""Digits to which shares are compared: 0.90 - 0.85 is 0.05."""


# --- what was answered


def compute_majorities(feedback: pl.DataFrame) -> pl.DataFrame:
    """Compute the floor's majority on each episode: of every responder the last answer, whichever notice it was to.

    Whether there was a problem comes first: NO_PROBLEM against every other answer. A tie is no majority. Of those who
    saw one, more must call action and quantity right than wrong.

    Args:
        feedback: `FEEDBACK`, every version.

    Returns:
        Columns episode_key, responders, real (Boolean, null on a tie), right (Boolean: real, and action and quantity
        were right).

    """
    says_no, says_wrong = pl.col("answer") == "NO_PROBLEM", pl.col("answer").is_in(WRONG)
    yes = pl.col("responders") - pl.col("no")
    return (
        _select_last_answers(feedback)
        .filter(pl.col("episode_key").is_not_null())
        .group_by("episode_key")
        .agg(pl.len().alias("responders"), says_no.sum().alias("no"), says_wrong.sum().alias("wrong"))
        .with_columns(pl.when(yes != pl.col("no")).then(yes > pl.col("no")).alias("real"))
        .with_columns((pl.col("real") & (yes > 2 * pl.col("wrong"))).alias("right"))
        .select("episode_key", "responders", "real", "right")
        .sort("episode_key")
    )


def select_missed_problems(feedback: pl.DataFrame) -> pl.DataFrame:
    """Select the problems that were not notified: `FEEDBACK`, one row for each that its reporters still call missed."""
    return (
        _select_last_answers(feedback)
        .filter(pl.col("answer") == "MISSED_PROBLEM")
        .sort("rec_id", "responder")
        .unique("rec_id", keep="first", maintain_order=True)
    )


def _select_last_answers(feedback: pl.DataFrame) -> pl.DataFrame:
    return (
        feedback.filter(pl.col("direction") != "DATA")
        .sort("answered_at", "rec_id", "answer")
        .unique([pl.coalesce("episode_key", "rec_id"), "responder"], keep="last", maintain_order=True)
    )


def sample_silent_units(units: Sequence[str], alerts: pl.DataFrame, *, count: int, seed: int) -> list[str]:
    """Sample units to look at although nothing was sent about them: it shows what was missed.

    Args:
        units: every unit_id that was monitored.
        alerts: `ALERTS` of the period.
        count: how many to look at, if so many are silent.
        seed: one seed gives one sample, whatever the order of the units.

    Returns:
        Unit ids, sorted.

    """
    every = pl.DataFrame({"unit_id": units}, schema={"unit_id": pl.String}).unique()
    silent = every.join(select_actionable(alerts), on="unit_id", how="anti")
    return sorted(silent.sort("unit_id").sample(min(count, silent.height), seed=seed)["unit_id"])


# --- how good the alerts are


def compute_scorecard(alerts: pl.DataFrame, feedback: pl.DataFrame) -> pl.DataFrame:
    """Compute how right the alerts were, by warehouse, unit type and policy version.

    Args:
        alerts: `ALERTS` of the period.
        feedback: `FEEDBACK`, every version; answers to other episodes are left out.

    Returns:
        `SCORECARD`. Misses are those that the floor reported, or found in an audit of silent units.

    """
    key = schema.SCORECARD.key
    answered_episodes = _select_episodes(alerts).join(compute_majorities(feedback), on="episode_key", how="left")
    real = pl.col("real").fill_null(value=False)
    notified = answered_episodes.select(
        *key,
        pl.lit(1).alias("episodes"),
        pl.col("real").is_not_null().alias("answered"),
        real.alias("true_positives"),
        (~pl.col("real")).fill_null(value=False).alias("false_positives"),
        (real & ~pl.col("right")).alias("wrong_actions"),
        pl.lit(0).alias("missed"),
    )
    missed = select_missed_problems(feedback).select(
        *key, *[pl.lit(int(name == "missed")).alias(name) for name in _COUNTS]
    )
    totals = (
        pl.concat([frame.with_columns(pl.col(_COUNTS).cast(pl.Int64)) for frame in (notified, missed)])
        .group_by(key)
        .agg(pl.col(_COUNTS).sum())
    )
    return schema.SCORECARD.conform(_add_rates(totals).sort(key).lazy()).collect()


def _add_rates(totals: pl.DataFrame) -> pl.DataFrame:
    positives, answered = pl.col("true_positives"), pl.col("answered")
    right = positives - pl.col("wrong_actions")
    detection_low, detection_high = derive_wilson_interval(positives, answered)
    action_low, action_high = derive_wilson_interval(right, answered)
    problems = positives + pl.col("missed")
    recall_low, recall_high = derive_wilson_interval(positives, problems)
    return totals.with_columns(
        _derive_share(positives, answered).alias("detection_precision"),
        detection_low.alias("detection_low"),
        detection_high.alias("detection_high"),
        _derive_share(right, answered).alias("action_precision"),
        action_low.alias("action_low"),
        action_high.alias("action_high"),
        _derive_share(positives, problems).alias("recall"),
        recall_low.alias("recall_low"),
        recall_high.alias("recall_high"),
        _derive_share(answered, pl.col("episodes")).alias("response_rate"),
    )


def derive_wilson_interval(
    successes: pl.Expr, trials: pl.Expr, confidence: float = CONFIDENCE
) -> tuple[pl.Expr, pl.Expr]:
    """Derive the lower and upper end of the Wilson score interval of a share; null without trials.

    Source: E. B. Wilson, Probable inference, the law of succession, and statistical inference, Journal of the American
    Statistical Association 22 (1927), 209-212: (p + z^2/2n +- z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n).
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    p = _derive_share(successes, trials)
    middle = p + z**2 / (2 * trials)
    spread = z * (p * (1 - p) / trials + z**2 / (4 * trials**2)).sqrt()
    low, high = (middle - spread) / (1 + z**2 / trials), (middle + spread) / (1 + z**2 / trials)
    # Rounding may leave the ends of 0 and of 1 a hair outside.
    return low.clip(0, 1), high.clip(0, 1)


def _derive_share(part: pl.Expr, whole: pl.Expr) -> pl.Expr:
    return pl.when(whole > 0).then(part / whole)


def select_actionable(alerts: pl.DataFrame) -> pl.DataFrame:
    """Select the rows for which production requests an action."""
    return alerts.filter(
        pl.col("label").is_in(["NEW", "ONGOING"]), pl.col("severity") != "WARN", pl.col("direction") != "DATA"
    )


def _select_episodes(alerts: pl.DataFrame) -> pl.DataFrame:
    """Select the first notified row of every episode, with its episode_key."""
    return (
        select_actionable(alerts)
        .sort("snapshot_ts")
        .unique(EPISODE, keep="first", maintain_order=True)
        .with_columns(derive_episode_key().alias("episode_key"))
    )


# --- champion and challenger


@dataclass(frozen=True)
class PromotionEvidence:
    """What a challenger was measured by, against the champion on the same ticks."""

    promotion: Promotion
    since: datetime
    until: datetime
    seed: int
    episodes: int
    """Labelled episodes."""

    champion_f1: float
    challenger_f1: float
    difference_low: float
    """Lower end of the interval of challenger - champion."""

    difference_high: float
    worst_unit_type: str | None
    worst_loss: float
    """How much worse the challenger's F1 is for that unit type; negative: it is better for every one."""

    missed_emergencies: int
    champion_messages: int
    challenger_messages: int
    champion_precision_low: float | None
    """Lower end of the interval of the champion's detection precision: below it, a promoted challenger must go."""

    @property
    def days(self) -> int:
        """Whole days of the trial."""
        return (self.until - self.since).days

    @property
    def objections(self) -> tuple[str, ...]:
        """Every condition that does not hold, in words."""
        limits = self.promotion
        most = round(self.champion_messages * (1 + limits.max_message_growth), _EXACT)
        conditions = (
            (self.days >= limits.min_days, f"{self.days} days are less than {limits.min_days}"),
            (
                self.episodes >= limits.min_episodes,
                f"{self.episodes} labelled episodes are less than {limits.min_episodes}",
            ),
            (
                self.difference_low > 0,
                f"F1 may be no better: {self.difference_low:+.3f} to {self.difference_high:+.3f}",
            ),
            (
                round(self.worst_loss, _EXACT) <= limits.max_unit_type_loss,
                f"F1 of {self.worst_unit_type} is {self.worst_loss:.3f} worse",
            ),
            (self.missed_emergencies == 0, f"{self.missed_emergencies} emergencies would have been missed"),
            (
                self.challenger_messages <= most,
                f"{self.challenger_messages} messages instead of {self.champion_messages}",
            ),
        )
        return tuple(objection for holds, objection in conditions if not holds)

    @property
    def promoted(self) -> bool:
        """Return whether the challenger takes the champion's place."""
        return not self.objections


def compare_policies(
    champion: pl.DataFrame,
    challenger: pl.DataFrame,
    feedback: pl.DataFrame,
    *,
    since: datetime,
    until: datetime,
    promotion: Promotion,
    seed: int,
) -> PromotionEvidence:
    """Compare a challenger, which ran on the champion's ticks and sent nothing, with the champion.

    Args:
        champion: its `ALERTS`.
        challenger: its `ALERTS`.
        feedback: `FEEDBACK`, every version.
        since: begin of the trial, UTC.
        until: its end, UTC, not included.
        promotion: what it takes.
        seed: of the bootstrap; one seed gives one answer.

    Returns:
        The evidence; `Evidence.promoted` is the decision.

    """
    during = (pl.col("snapshot_ts") >= since) & (pl.col("snapshot_ts") < until)
    ours, theirs = champion.filter(during), challenger.filter(during)
    answers = feedback.filter(pl.col("episode_ts") >= since, pl.col("episode_ts") < until)
    events = label_events(ours, theirs, answers, promotion)
    scores = _compute_f1(events)
    worst_unit_type, worst_loss = _find_worst_unit_type(events)
    low, high = _bootstrap_difference(events, promotion, seed)
    return PromotionEvidence(
        promotion=promotion,
        since=since,
        until=until,
        seed=seed,
        episodes=_select_answered_episodes(ours, answers).height,
        champion_f1=scores["champion"],
        challenger_f1=scores["challenger"],
        difference_low=low,
        difference_high=high,
        worst_unit_type=worst_unit_type,
        worst_loss=worst_loss,
        missed_emergencies=_count_missed_emergencies(ours, theirs, answers, promotion),
        champion_messages=_count_messages(ours),
        challenger_messages=_count_messages(theirs),
        champion_precision_low=_compute_rates(ours, answers)["detection_low"],
    )


def needs_rollback(
    alerts: pl.DataFrame,
    feedback: pl.DataFrame,
    *,
    precision_low: float | None,
    promotion: Promotion,
    now: datetime,
) -> bool:
    """Return if a promoted challenger is less precise, over its last 7 days, than the champion before it surely was.

    Of fewer answered episodes than `Promotion.min_rollback_answers` nothing is known, and nothing is rolled back.

    Args:
        alerts: `ALERTS` or `NOTICES` of the promoted policy.
        feedback: `FEEDBACK`, every version.
        precision_low: of the evidence that it was promoted on, `Evidence.champion_precision_low`.
        promotion: over how many days.
        now: UTC.

    """
    since = now - timedelta(days=promotion.rollback_days)
    recent = alerts.filter(pl.col("snapshot_ts") >= since, pl.col("snapshot_ts") <= now)
    rates = _compute_rates(recent, feedback)
    answered, precision = rates["answered"] or 0, rates["detection_precision"]
    enough = answered >= promotion.min_rollback_answers
    return enough and precision is not None and precision_low is not None and precision < precision_low


def label_events(
    champion: pl.DataFrame, challenger: pl.DataFrame, feedback: pl.DataFrame, promotion: Promotion
) -> pl.DataFrame:
    """Label what the floor answered, and which policy alerted: answered episodes, and the problems missed.

    A policy alerted on an event when an alert of that unit and direction, once sent, was open from 30 minutes before
    its onset to 5 minutes after. The onset of an episode is when the champion first sent it: a challenger that alerts
    later gets no credit, and no one answers what only the challenger sends.

    Returns:
        `LABELLED`.

    """
    answered_episodes = _select_answered_episodes(champion, feedback).select(
        pl.col("episode_key").alias("event"),
        *("warehouse", "unit_id", "unit_type", "direction"),
        pl.col("snapshot_ts").alias("onset_ts"),
        "real",
    )
    missed = select_missed_problems(feedback).select(
        pl.col("rec_id").alias("event"),
        *("warehouse", "unit_id", "unit_type", "direction"),
        pl.col("episode_ts").alias("onset_ts"),
        pl.lit(value=True).alias("real"),
    )
    events = pl.concat([answered_episodes, missed])
    for name, alerts in (("champion", champion), ("challenger", challenger)):
        events = _add_alerted(events, alerts, promotion).rename({"alerted": name})
    return schema.LABELLED.conform(events.sort("event").lazy()).collect()


def _select_answered_episodes(alerts: pl.DataFrame, feedback: pl.DataFrame) -> pl.DataFrame:
    """Select the episodes that have a majority, by their first notified row, with `real`."""
    return (
        _select_episodes(alerts)
        .join(compute_majorities(feedback), on="episode_key", how="inner")
        .filter(pl.col("real").is_not_null())
    )


def _add_alerted(events: pl.DataFrame, alerts: pl.DataFrame, promotion: Promotion) -> pl.DataFrame:
    """Add `alerted` to events: whether an alert, once sent, was open about their `onset_ts`."""
    open_alerts = alerts.filter(
        "is_open", pl.col("seq") > 0, pl.col("peak_notified_severity") != "WARN", pl.col("direction") != "DATA"
    ).select(*KEY, "snapshot_ts")
    latest = pl.col("onset_ts") + timedelta(minutes=promotion.after_minutes)
    return (
        events.with_columns(latest.alias("latest"))
        .sort("latest", "event")
        .join_asof(
            open_alerts.sort("snapshot_ts").with_columns(pl.lit(value=True).alias("alerted")),
            left_on="latest",
            right_on="snapshot_ts",
            by=KEY,
            strategy="backward",
            tolerance=timedelta(minutes=promotion.before_minutes + promotion.after_minutes),
            check_sortedness=False,
        )
        .with_columns(pl.col("alerted").fill_null(value=False))
        .select(*events.columns, "alerted")
    )


def _derive_outcomes(policy: str) -> list[pl.Expr]:
    """Derive how many events a policy alerted on rightly, wrongly and not at all."""
    notified, real = pl.col(policy), pl.col("real")
    return [
        (real & notified).sum().alias(f"{policy}_right"),
        (~real & notified).sum().alias(f"{policy}_wrong"),
        (real & ~notified).sum().alias(f"{policy}_missed"),
    ]


def _derive_f1(policy: str) -> pl.Expr:
    """Derive F1 of summed outcomes; 1 where there was nothing to alert on and no alert."""
    right = 2 * pl.col(f"{policy}_right")
    whole = right + pl.col(f"{policy}_wrong") + pl.col(f"{policy}_missed")
    return pl.when(whole == 0).then(1.0).otherwise(right / whole).alias(policy)


_OUTCOMES: Final = [*_derive_outcomes("champion"), *_derive_outcomes("challenger")]
_SCORES: Final = [_derive_f1("champion"), _derive_f1("challenger")]


def _compute_f1(events: pl.DataFrame) -> dict[str, float]:
    return events.select(_OUTCOMES).select(_SCORES).row(0, named=True)


def _find_worst_unit_type(events: pl.DataFrame) -> tuple[str | None, float]:
    """Find the unit type for which the challenger loses most, and how much."""
    losses = (
        events.group_by("unit_type")
        .agg(_OUTCOMES)
        .select("unit_type", *_SCORES)
        .select("unit_type", (pl.col("champion") - pl.col("challenger")).alias("loss"))
        .sort("loss", "unit_type", descending=[True, False])
    )
    return losses.row(0) if losses.height else (None, 0.0)


def _bootstrap_difference(events: pl.DataFrame, promotion: Promotion, seed: int) -> tuple[float, float]:
    """Bootstrap the interval of F1(challenger) - F1(champion), on the same resampled warehouse-days.

    Days are drawn whole, as what happens in one warehouse on one (UTC) day is not independent.
    Source: B. Efron, R. Tibshirani, An Introduction to the Bootstrap (1993), chapter 13: the percentile interval.
    """
    day = pl.col("onset_ts").dt.date().alias("day")
    days = events.group_by("warehouse", day).agg(_OUTCOMES).sort("warehouse", "day").drop("warehouse", "day")
    if days.is_empty():
        return 0.0, 0.0
    samples = pl.concat(
        days.sample(days.height, with_replacement=True, seed=seed * promotion.resamples + number).sum()
        for number in range(promotion.resamples)
    )
    difference = samples.select(_SCORES).select(pl.col("challenger") - pl.col("champion")).to_series()
    tail = (1 - promotion.confidence) / 2
    low, high = (difference.quantile(share, interpolation="linear") for share in (tail, 1 - tail))
    return float(low or 0), float(high or 0)


def _count_missed_emergencies(
    champion: pl.DataFrame, challenger: pl.DataFrame, feedback: pl.DataFrame, promotion: Promotion
) -> int:
    """Count the champion's emergency episodes without an alert of the challenger; false alarms do not count."""
    false = compute_majorities(feedback).filter(~pl.col("real")).select("episode_key")
    emergencies = (
        _select_episodes(champion.filter(pl.col("severity") == "EMERGENCY"))
        .join(false, on="episode_key", how="anti")
        .select(*KEY, pl.col("episode_key").alias("event"), pl.col("snapshot_ts").alias("onset_ts"))
    )
    return _add_alerted(emergencies, challenger, promotion).filter(~pl.col("alerted")).height


def _count_messages(alerts: pl.DataFrame) -> int:
    """Count the messages to warehouses: one per tick, however much is in it."""
    return select_actionable(alerts).select("warehouse", "snapshot_ts").n_unique()


def _compute_rates(alerts: pl.DataFrame, feedback: pl.DataFrame) -> dict[str, float | None]:
    """Compute the rates of `SCORECARD` over everything."""
    return compute_scorecard(alerts, feedback).select(pl.col(_COUNTS).sum()).pipe(_add_rates).row(0, named=True)
