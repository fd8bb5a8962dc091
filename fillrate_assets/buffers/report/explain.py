"""Why a unit was alerted on, or was not: the chain from what its paths showed to what the floor answered, in words.

Text is made here; what it is made of is read by `explain_queries`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any, Final

import polars as pl

from fillrate_assets.buffers.rules import unit_convention
from fillrate_assets.core.decimals import format_percent
from fillrate_assets.core.errors import PermanentFailure

_SUPPRESSED: Final = "SUPPRESSED"
_NOTHING: Final = "not known"


@dataclass(frozen=True)
class UnitEvidence:
    """What is stored of one unit at one tick; every frame has only rows of that unit."""

    signals: pl.DataFrame
    """`SIGNALS` of its paths."""

    members: pl.DataFrame
    """`UNIT_MEMBERS` of the unit at that tick."""

    units: pl.DataFrame
    """Empty of a unit of pool DATA, which is a feed and has no paths."""

    recommendations: pl.DataFrame
    alerts: pl.DataFrame
    notices: pl.DataFrame
    """Of the outbox, what was written for its episodes: `NOTICES`, with channels as people may see them, and
    created_at, sent_at, failure."""

    feedback: pl.DataFrame
    labels: Mapping[str, str] = field(default_factory=dict)
    """What people call each unit, by unit_id."""


def explain_unit(evidence: UnitEvidence, *, zone: tzinfo) -> list[str]:
    """Explain the chain of one unit at one tick.

    Args:
        evidence: what is stored of it.
        zone: the warehouse's own.

    Returns:
        Lines of text.

    Raises:
        PermanentFailure: nothing is stored of the unit at that tick.

    """
    units, recommendations = evidence.units, evidence.recommendations
    if units.is_empty() and recommendations.is_empty():
        msg = "nothing is stored of that unit at that tick: see `fillrate buffers explain --help`"
        raise PermanentFailure(msg)
    chain: list[tuple[str, Iterable[str]]] = [
        ("What each rule decided, the unit by itself", _explain_verdicts(recommendations)),
        ("Conflicts within the warehouse", _explain_conflicts(recommendations)),
        ("Sent or suppressed", _explain_alerts(evidence.alerts, zone)),
        ("Who was notified in these episodes", _explain_notices(evidence.notices, zone)),
        ("What the floor answered", _explain_answers(evidence.feedback, zone)),
    ]
    if units.height:
        unit = units.row(0, named=True)
        chain = [
            ("What its paths showed", _explain_paths(evidence)),
            ("What the unit was", _explain_unit_state(unit)),
            *chain,
        ]
    about = (units if units.height else recommendations).row(0, named=True)
    labels, warehouse = evidence.labels, about["warehouse"]
    label = labels.get(about["unit_id"])
    lines = [_format_heading(about, zone), *([f"On the floor: {label}"] if label else [])]
    for number, (title, text) in enumerate(chain, 1):
        lines += ["", f"{number}. {title}", *(unit_convention.add_labels(line, labels, warehouse) for line in text)]
    return lines


def _format_heading(unit: dict[str, Any], zone: tzinfo) -> str:
    tick: datetime = unit["snapshot_ts"]
    return (
        f"{unit['unit_id']} ({unit['unit_type']}, pool {unit['pool']} of {unit['warehouse']}, {unit['dc']}) at"
        f" {tick:%Y-%m-%d %H:%M} UTC, {tick.astimezone(zone):%H:%M} there, by policy {unit['policy_version']}"
    )


def _explain_paths(evidence: UnitEvidence) -> Iterator[str]:
    roles = evidence.members.group_by("path").agg(pl.col("role").unique().sort().str.join("+"))
    rows = evidence.signals.join(roles, on="path").sort("path")
    if rows.is_empty():
        yield "   no feed reported on its paths"
    for row in rows.iter_rows(named=True):
        observed = (
            "nothing" if row["observed"] is None else f"{row['observed']:.0f} at {row['observed_ts']:%H:%M:%S} UTC"
        )
        predicted = "" if row["predicted"] is None else f", {row['predicted']:.0f} predicted"
        yield (
            f"   {row['path']} ({row['role']}): observed {observed}{predicted}: level {_format_number(row['level'])} of"
            f" {_format_number(row['capacity'])} ({row['fusion']}), in {_format_number(row['inflow_rate'], 1)}, out"
            f" {_format_number(row['outflow_rate'], 1)} a minute"
            + ("" if row["level_fresh"] else ", level not fresh")
            + ("" if row["flow_fresh"] else ", flow not fresh")
        )


def _explain_unit_state(unit: dict[str, Any]) -> Iterator[str]:
    fill = _NOTHING if unit["fill"] is None else f"{format_percent(unit['fill'])} full"
    yield f"   {fill}: {_format_number(unit['level'])} of {_format_number(unit['capacity'])} packages"
    missing = f", not fresh: {unit['missing_feeds']}" if unit["missing_feeds"] else ""
    yield f"   data {unit['quality']}, {format_percent(unit['coverage'], 0)} of the capacity covered{missing}"
    yield (
        f"   in {_format_number(unit['inflow_rate'], 1)}, out {_format_number(unit['outflow_rate'], 1)} packages a"
        f" minute; slope {_format_number(unit['slope'], 1)}; {_format_minutes(unit)}"
    )
    staffed = {True: "staffed", False: "not staffed", None: "not known whether it is staffed"}[unit["staffed"]]
    yield (
        f"   {staffed}: {_format_number(unit['headcount'])} of {_format_number(unit['headcount_planned'])} planned"
        f" associates, who can take {_format_number(unit['service_rate'], 1)} packages a minute"
    )


def _format_minutes(unit: dict[str, Any]) -> str:
    if unit["minutes_to_overflow"] is not None:
        return f"overflows in {unit['minutes_to_overflow']:.0f} min at this slope"
    if unit["minutes_to_starvation"] is not None:
        return f"runs empty in {unit['minutes_to_starvation']:.0f} min at this slope"
    return "no trend" if unit["slope"] is None else "it does not move"


def _explain_verdicts(recommendations: pl.DataFrame) -> Iterator[str]:
    for row in recommendations.sort("direction").iter_rows(named=True):
        words = row["original_explanation"] or row["explanation"]
        yield f"   {row['direction']}: {row['original_verdict'] or row['verdict']} by {row['rule_id']}: {words}"
        for each in row["evidence"]:
            limit = "" if each["threshold"] is None else f" against {each['threshold']:g}, margin {each['margin']:+.3g}"
            yield f"      {each['name']}: {_format_digits(each['value'])}{limit}"


def _explain_conflicts(recommendations: pl.DataFrame) -> Iterator[str]:
    resolved = recommendations.filter(pl.col("resolution") != "KEPT").sort("direction")
    if resolved.is_empty():
        yield "   none"
    for row in resolved.iter_rows(named=True):
        was = f"{row['original_action'] or 'nothing'} {_format_number(row['original_quantity'])}"
        now = f"{row['action'] or 'nothing'} {_format_number(row['quantity'])}"
        yield (
            f"   {row['direction']}: {row['resolution']} by {row['resolution_rule']} to {row['winner']}: {was}"
            f" became {now}"
        )


def _explain_alerts(alerts: pl.DataFrame, zone: tzinfo) -> Iterator[str]:
    if alerts.is_empty():
        yield "   no episode is open: there is nothing to send"
    for row in alerts.sort("direction", "action").iter_rows(named=True):
        why = f" ({row['reason']})" if row["reason"] else ""
        verb = "suppressed" if row["label"] == _SUPPRESSED else row["label"]
        last_sent = (
            f"last sent {row['last_notified_ts'].astimezone(zone):%H:%M}" if row["last_notified_ts"] else "never sent"
        )
        yield (
            f"   {row['direction']}, {row['action']}: {verb}{why}; episode {row['episode']} since"
            f" {row['opened_ts'].astimezone(zone):%H:%M}, {last_sent}, {row['seq']} notices"
        )


def _explain_notices(notices: pl.DataFrame, zone: tzinfo) -> Iterator[str]:
    if notices.is_empty():
        yield "   no one"
    for row in notices.sort("created_at", "channel").iter_rows(named=True):
        if row["sent_at"] is not None:
            state = f"sent {row['sent_at'].astimezone(zone):%H:%M:%S}"
        else:
            state = f"not sent: {row['failure'] or 'it waits'}"
        tick = row["snapshot_ts"].astimezone(zone)
        yield f"   {row['channel']}: {row['label']} {row['severity']} of {tick:%H:%M}, {state}"


def _explain_answers(feedback: pl.DataFrame, zone: tzinfo) -> Iterator[str]:
    if feedback.is_empty():
        yield "   nothing yet"
    for row in feedback.sort("answered_at").iter_rows(named=True):
        actual = "" if row["actual_quantity"] is None else f" {row['actual_quantity']:g}"
        note = f": {row['note']}" if row["note"] else ""
        at = row["answered_at"].astimezone(zone)
        yield f"   {row['answer']}{actual} by {row['responder']}, {at:%Y-%m-%d %H:%M}{note}"


def _format_number(value: float | None, digits: int = 0) -> str:
    return _NOTHING if value is None else f"{value:,.{digits}f}"


def _format_digits(value: float | None) -> str:
    return _NOTHING if value is None else f"{value:,.4g}"
