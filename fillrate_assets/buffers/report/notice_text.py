"""The text of notices: what each message of a warehouse, channel and tick says, in the warehouse's own time.

Who gets a notice is decided in `buffers.rules.notification_routing`; how it looks in `notifications.notifiers`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any, Final

import polars as pl

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.rules.alert_suppression import KEY
from fillrate_assets.buffers.rules.path_signals import load_time_zone
from fillrate_assets.notifications.rendering import Message, Section

_URGENCY: Final = {"EMERGENCY": "emergency", "ACT": "to act on", "WARN": "to watch"}
_DIRECTION: Final = {"OVERFLOW": "overflow", "STARVATION": "starvation", "DATA": "no usable data"}
_LABEL: Final = {"NEW": "new", "ONGOING": "still", "SUPPRESSED": "suppressed"}
_REASON: Final = {
    "HISTORY_GAP": "no data for an hour before",
    "ESCALATED": "worse than at the last notice",
    "REOPEN_IN_WINDOW": "notified shortly before, and back again",
    "FLAPPING": "it comes and goes",
    "WINDOW": "notified shortly before",
    "SUBSUMED_BY": "another action comes first",
    "CONSEQUENCE_OF": "an action of ours causes it",
    "HYSTERESIS": "neither to act on nor clear",
    "CLEARING": "clear, but not for long enough",
    "NOT_STAFFED": "no one is scheduled there",
    "DATA_STALE": "no usable data now",
    "EXPIRED_NO_DATA": "no data for an hour: no longer monitored",
}
_ENDED: Final = {
    "MOVE_STAFF": "Send the moved associates back.",
    "THROTTLE": "Release the throttle.",
    "REBALANCE": "End the diversion.",
    "OPEN_LANE": "Close the extra lane.",
    "CHECK_DATA": "Use its data again.",
}


@dataclass(frozen=True)
class Links:
    """Where a message leads to; None leaves a link out."""

    chart: Callable[[str, datetime], str] | None = None
    """URL of a unit's chart around a tick."""

    feedback: Callable[[str], str] | None = None
    """URL of the form, filled in for a rec_id."""


@dataclass(frozen=True, kw_only=True)
class NoticeMessage(Message):
    """The message of one warehouse, channel and tick."""

    warehouse: str
    channel: str
    snapshot_ts: datetime


def render_messages(
    notices: pl.DataFrame,
    warehouses: pl.DataFrame,
    links: Links,
    *,
    recommendations: pl.DataFrame | None = None,
) -> list[NoticeMessage]:
    """Return one message per warehouse, channel and tick; times are the warehouse's own.

    Args:
        notices: `NOTICES`.
        warehouses: `WAREHOUSES`; times of one that it lacks, or whose time zone does not exist, are UTC.
        links: where a message leads to.
        recommendations: `RECOMMENDATIONS` of the ticks, to name the units without a notice too, as development does.

    Returns:
        Messages sorted by warehouse, channel and tick.

    """
    known = {row["warehouse"]: row for row in warehouses.iter_rows(named=True)}
    quiet = {} if recommendations is None else _list_quiet(recommendations, notices)
    made = []
    group = ["warehouse", "channel", "snapshot_ts"]
    for (warehouse, channel, snapshot_ts), rows in _sort_by_urgency(notices).group_by(group, maintain_order=True):
        zone = load_time_zone(known[warehouse]["time_zone"]) if warehouse in known else UTC
        name = f"{warehouse} {known[warehouse]['name']}" if warehouse in known else warehouse
        sections = tuple(_build_section(row, zone, links) for row in rows.iter_rows(named=True))
        subject = f"{name}, {snapshot_ts.astimezone(zone):%H:%M %Z}: {_count_labels(rows)}"
        silent = quiet.get((warehouse, snapshot_ts))
        made.append(
            NoticeMessage(
                subject,
                sections,
                footer=("Nothing is sent about", *silent) if silent else (),
                event=_build_event(warehouse, snapshot_ts, subject, rows.sort("notice_id").rows(named=True), links),
                warehouse=warehouse,
                channel=channel,
                snapshot_ts=snapshot_ts,
            )
        )
    return made


def _sort_by_urgency(notices: pl.DataFrame) -> pl.DataFrame:
    """Sort what needs hands first, then what ended, then what is suppressed; each in the order of conflicts."""
    urgency = pl.when(pl.col("label").is_in(["NEW", "ONGOING"])).then(0).when(pl.col("label") == "CLEARED").then(1)
    return notices.sort(
        "warehouse",
        "channel",
        "snapshot_ts",
        urgency.otherwise(2),
        pl.col("severity").cast(pl.Enum(schema.SEVERITIES[::-1])),
        pl.col("unit_type").cast(pl.Enum(schema.UNIT_TYPES)),
        pl.col("minutes_left"),
        *KEY,
        nulls_last=True,
    )


def _count_labels(rows: pl.DataFrame) -> str:
    """Return '1 emergency, 2 to act on, 1 cleared, 3 suppressed'."""
    severities = rows.filter(pl.col("label").is_in(["NEW", "ONGOING"]))["severity"].to_list()
    labels = rows["label"].to_list()
    counts = [(severities.count(severity), name) for severity, name in _URGENCY.items()]
    counts += [(labels.count("CLEARED"), "cleared"), (labels.count("SUPPRESSED"), "suppressed")]
    return ", ".join(f"{count} {name}" for count, name in counts if count)


def _list_quiet(recommendations: pl.DataFrame, notices: pl.DataFrame) -> dict[tuple[str, datetime], list[str]]:
    """Return 'CLEAR: W1_PACK_L1, W1_PACK_L2', the worst first, by warehouse and tick: units without a notice."""
    others = (
        recommendations.join(notices, on=["unit_id", "snapshot_ts"], how="anti")
        .group_by("warehouse", "snapshot_ts", "unit_id")
        .agg(pl.col("verdict").cast(schema.WORST_FIRST).min())
        .sort("verdict", "unit_id")
        .group_by("warehouse", "snapshot_ts", "verdict", maintain_order=True)
        .agg(pl.col("unit_id").str.join(", "))
        .with_columns(pl.format("{}: {}", "verdict", "unit_id").alias("line"))
        .group_by("warehouse", "snapshot_ts", maintain_order=True)
        .agg("line")
    )
    return {(warehouse, snapshot_ts): lines for warehouse, snapshot_ts, lines in others.iter_rows()}


def _build_section(row: dict[str, Any], zone: tzinfo, links: Links) -> Section:
    named = (("Chart", _make_chart_url(row, links)), ("Feedback", _make_feedback_url(row, links)))
    return Section(
        _describe_heading(row),
        _describe_what(row, zone),
        row["explanation"] or "",
        urgent=row["severity"] == "EMERGENCY",
        links=tuple((name, url) for name, url in named if url),
    )


def _build_event(
    warehouse: str, snapshot_ts: datetime, subject: str, rows: Sequence[dict[str, Any]], links: Links
) -> dict[str, Any]:
    """Return what a webhook posts, in the form that Standard Webhooks recommends."""
    linked = [
        {**row, "chart_url": _make_chart_url(row, links), "feedback_url": _make_feedback_url(row, links)}
        for row in rows
    ]
    data = {"warehouse": warehouse, "subject": subject, "notices": linked}
    return {"type": "buffer.notices", "timestamp": snapshot_ts, "data": data}


def _make_chart_url(row: dict[str, Any], links: Links) -> str | None:
    return links.chart(row["unit_id"], row["snapshot_ts"]) if links.chart else None


def _make_feedback_url(row: dict[str, Any], links: Links) -> str | None:
    return links.feedback(row["rec_id"]) if links.feedback else None


def _describe_heading(row: dict[str, Any]) -> str:
    """Return 'EMERGENCY, new: W1_PICK_TOTAL, overflow in 4 min'."""
    ahead = row["minutes_left"]
    when = "" if ahead is None else f" in {ahead:.0f} min"
    unit = f"{row['unit_id']}, {_DIRECTION[row['direction']]}{when}"
    if row["label"] == "CLEARED":
        return f"Cleared: {unit}"
    reason = f" ({_REASON[row['reason']]})" if row["reason"] else ""
    return f"{row['severity']}, {_LABEL[row['label']]}{reason}: {unit}"


def _describe_what(row: dict[str, Any], zone: tzinfo) -> str:
    """Describe what to do, in a sentence; what can end, of an episode that did."""
    if row["label"] == "CLEARED":
        return _describe_end(row)
    if row["winner"]:
        return f"Its own action gave way to {row['winner']}."
    return _describe_instruction(row, zone)


def _describe_end(row: dict[str, Any]) -> str:
    """Describe what can end; of a throttle that is still in force, how far it may be raised."""
    if row["action"] == "THROTTLE" and (amount := _format_amount(row)):
        return f"Release the throttle step by step: at most {amount} for now."
    return _ENDED[row["action"]]


def _describe_instruction(row: dict[str, Any], zone: tzinfo) -> str:
    unit, source, target, amount = row["unit_id"], row["source_unit"], row["target_unit"], _format_amount(row)
    until = f" until {row['until_ts'].astimezone(zone):%H:%M}" if row["until_ts"] else ""
    unknown = "" if amount else " (quantity unknown)"
    match row["action"]:
        case "MOVE_STAFF":
            origin, aim = f" from {source}" if source else "", f" to {target}" if target else ""
            who = "no one" if row["quantity"] == 0 else amount or "associates"
            return f"Move {who}{origin}{aim}{until}{unknown}."
        case "THROTTLE":
            return f"Throttle {source or unit} to {amount or 'less'}{until}{unknown}."
        case "REBALANCE":
            what = "nothing" if row["quantity"] == 0 else amount or "packages"
            shares = f": {target}" if target else ""
            return f"Divert {what} from {source or unit}{until}{unknown}{shares}."
        case "OPEN_LANE":
            return f"Open {target or 'a lane'} for {amount or 'packages'} of {unit}{until}{unknown}."
        case _:
            return f"Check the data of {source or unit}."


def _format_amount(row: dict[str, Any]) -> str:
    """Return '4 associates', '1,250 packages/hour'; '' where it is not known."""
    if row["quantity"] is None:
        return ""
    number, unit = f"{row['quantity']:,.1f}".removesuffix(".0"), row["quantity_unit"] or ""
    return f"{number} {unit.replace('s/', '/').removesuffix('s') if number == '1' else unit}".rstrip()
