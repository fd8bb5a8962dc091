"""Alerts -> who is told what, in words: one message per warehouse, channel and tick.

`notices` decides what is told to whom, `messages` words it, and `text`, `slack` and `teams` lay it out. Nothing here
sends: the outbox keeps the notices first, and what it already has is not told again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import product
from typing import Any, Final

import polars as pl

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.rules.alert_suppression import EPISODE, KEY, UNIT, derive_episode_key
from fillrate_assets.buffers.rules.path_signals import load_time_zone
from fillrate_assets.buffers.rules.policy import Policy

MAX_ENTRIES: Final = 10
"""Entries that a card has in full: Slack refuses about 13,000 characters, Teams 28 KB. Plain text has all."""

MAX_WHY: Final = 300
"""Characters of a reason on a card."""

MAX_MORE: Final = 1500
"""Characters of a card that name further entries."""

MAX_HEADER: Final = 150
"""Characters of a Slack header."""

_AMOUNTS: Final = ("quantity", "quantity_unit", "source_unit", "target_unit", "until_ts")
_SCOPE: Final = ("warehouse", "pool", "unit_type")
_SEVERITY: Final = pl.Enum(schema.SEVERITIES)
_NO_ROUTE: Final = "No active row of alert_route takes it: add a row for *, *, * that takes its severity"

_WORST_FIRST: Final = pl.Enum(["EMERGENCY", "ACT", "WARN", "UNKNOWN", "HYSTERESIS", "NOT_STAFFED", "CLEAR"])

_URGENCY: Final = {"EMERGENCY": "emergency", "ACT": "to act on", "WARN": "to watch"}
_DIRECTION: Final = {"OVERFLOW": "overflow", "STARVATION": "starvation", "DATA": "no usable data"}
_LABEL: Final = {"NEW": "new", "ONGOING": "still", "SUPPRESSED": "kept back"}
_REASON: Final = {
    "HISTORY_GAP": "nothing was known of it for an hour",
    "ESCALATED": "worse than when last told",
    "REOPEN_IN_WINDOW": "it was told shortly before, and came back",
    "FLAPPING": "it comes and goes",
    "WINDOW": "it was told shortly before",
    "SUBSUMED_BY": "another action comes first",
    "CONSEQUENCE_OF": "an action of ours causes it",
    "HYSTERESIS": "neither to act on nor clear",
    "CLEARING": "clear, but not for long enough",
    "NOT_STAFFED": "nobody is scheduled there",
    "DATA_STALE": "nothing is known of it now",
    "EXPIRED_NO_DATA": "nothing was known of it for an hour, it is no longer followed",
}
_ENDED: Final = {
    "MOVE_STAFF": "Moved associates can go back.",
    "THROTTLE": "The throttle can be released.",
    "REBALANCE": "The diversion can end.",
    "OPEN_LANE": "The extra lane can close.",
    "CHECK_DATA": "Its data can be used again.",
}


@dataclass(frozen=True)
class Links:
    """Where a message leads to; None leaves a link out."""

    chart: Callable[[str, datetime], str] | None = None
    """URL of a unit's chart around a tick."""

    feedback: Callable[[str], str] | None = None
    """URL of the form, filled in for a rec_id."""


@dataclass(frozen=True)
class Entry:
    """One notice in words."""

    notice_id: str
    severity: str
    heading: str
    what: str
    why: str
    chart_url: str | None
    feedback_url: str | None

    @property
    def links(self) -> list[tuple[str, str]]:
        """Names and addresses of its links."""
        named = (("Chart", self.chart_url), ("Feedback", self.feedback_url))
        return [(name, url) for name, url in named if url]


@dataclass(frozen=True)
class Message:
    """What one channel is told of one warehouse at one tick."""

    warehouse: str
    channel: str
    snapshot_ts: datetime
    subject: str
    entries: tuple[Entry, ...]
    """Most urgent first."""

    quiet: tuple[str, ...] = ()
    """The warehouse's units without a notice, by what they are; only where every label is shown."""


# --- who is told what


def notices(
    alerts: pl.DataFrame,
    recommendations: pl.DataFrame,
    routes: pl.DataFrame,
    sent: pl.DataFrame,
    *,
    now: datetime,
    policy: Policy,
    every_label: bool = False,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What to tell now, and what nobody can be told because no route takes it.

    Told are NEW, ONGOING and CLEARED rows that are to act on or worse, by the routes of this moment. CLEARED goes to
    the channels that were told of the episode, to no other. What was due while no tick ran in time is told with
    the next tick, if it is still to act on: so a late start delays a notice and does not swallow it. The first notice
    that is told of an episode is NEW, whatever was not told before it.

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
        `NOTICES` that are not in `sent`, and `DEAD_LETTERS`.

    """
    told = _told(alerts, sent, now - timedelta(minutes=policy.suppression.max_send_minutes), every_label=every_label)
    rows = told.join(_said(recommendations), on=[*UNIT, "snapshot_ts"], how="left").with_columns(
        # What another action needs says nothing of this one; of a throttle it is known for as long as it is in force.
        *(pl.when(pl.col("asked") == pl.col("action")).then(name).alias(name) for name in _AMOUNTS),
        *(pl.when("own").then(name).alias(name) for name in ("minutes_left", "winner")),
    )
    ends = (pl.col("label") == "CLEARED") & (pl.col("seq") > 0)
    ended = rows.filter(ends).join(sent.select(*EPISODE, "channel").unique(), on=EPISODE, how="inner")
    routed = _routed(rows.filter(~ends), routes, now)
    found = pl.concat([ended, routed.filter(pl.col("channel").is_not_null())], how="diagonal")
    lost = routed.filter(pl.col("channel").is_null()).with_columns(pl.lit(_NO_ROUTE).alias("problem"))
    fresh = found.join(sent, on=schema.NOTICES.key, how="anti").sort(schema.NOTICES.key)
    return (
        schema.NOTICES.conform(fresh.lazy()).collect(),
        schema.DEAD_LETTERS.conform(lost.sort("notice_id").lazy()).collect(),
    )


def has_default_route(routes: pl.DataFrame, *, now: datetime) -> bool:
    """Whether an active row of `ALERT_ROUTES` takes whatever is to act on, as one must."""
    anything = [pl.col(name) == schema.ANY for name in _SCOPE]
    return not _active(routes, now).filter(*anything, pl.col("min_severity") <= "ACT").is_empty()


def _told(alerts: pl.DataFrame, sent: pl.DataFrame, oldest: datetime, *, every_label: bool) -> pl.DataFrame:
    """The rows to tell, with their ids; `own` where the tick asks for the action of the row."""
    severity = pl.coalesce("severity", "peak_notified_severity", pl.lit("WARN"))
    known = sent.select(EPISODE).unique().with_columns(pl.lit(value=True).alias("known"))
    having = sent.select(*EPISODE, "seq").unique().with_columns(pl.lit(value=True).alias("had"))
    rows = (
        alerts.filter(pl.col("snapshot_ts") >= oldest)
        .join(known, on=EPISODE, how="left")
        .join(having, on=[*EPISODE, "seq"], how="left")
        .with_columns(pl.col("severity").is_not_null().alias("own"), severity.alias("severity"))
        .with_columns(
            pl.format("{}.{}", derive_episode_key(), "seq").alias("rec_id"),
            (pl.col("severity") != "WARN").alias("serious"),
        )
    )
    owed = (pl.col("reason") == "WINDOW").fill_null(value=False) & pl.col("had").is_null()
    again = owed | (pl.col("label") == "ONGOING")
    tells = (again | (pl.col("label") == "NEW")) & (pl.lit(every_label) | pl.col("serious"))
    # Who was told neither of the warning nor of what came too late must not read that it goes on.
    begins = again & pl.col("known").is_null() & (pl.col("seq") == pl.when(tells).then("seq").min().over(EPISODE))
    rows = rows.with_columns(
        pl.when(begins).then(pl.lit("NEW")).when(owed).then(pl.lit("ONGOING")).otherwise("label").alias("label"),
        pl.when(~(owed | begins)).then("reason").alias("reason"),
    )
    counts = (pl.col("label") != "SUPPRESSED") & (pl.col("seq") > 0)
    moment = pl.col("snapshot_ts").dt.strftime("@%Y%m%dT%H%MZ")
    return (
        rows.filter(pl.lit(every_label) | (counts & pl.col("serious")))
        .with_columns(pl.when(counts).then("rec_id").otherwise(pl.col("rec_id") + moment).alias("notice_id"))
        # The tick that was to tell it did not, and the next one owes it too: once, as it is now.
        .sort("snapshot_ts")
        .unique("notice_id", keep="last", maintain_order=True)
    )


def _said(recommendations: pl.DataFrame) -> pl.DataFrame:
    """What the notices say of a recommendation."""
    lost = pl.col("resolution").is_in(["OVERRIDDEN", "CAUSED_BY_ACTION"])
    winner = pl.when(lost).then("winner").alias("winner")
    asked = pl.col("action").alias("asked")
    return recommendations.select(*UNIT, "snapshot_ts", asked, *_AMOUNTS, "minutes_left", "explanation", winner)


def _routed(rows: pl.DataFrame, routes: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """The rows once for every channel of the most specific routes that take them; channel is null where none does."""
    active = _active(routes, now).select(*_SCOPE, pl.col("min_severity"), "channel")
    needs = rows.select(*_SCOPE, "severity").unique()
    levels = []
    for level, wild in enumerate(product((False, True), repeat=len(_SCOPE))):
        asked = [
            (pl.lit(schema.ANY) if any_ else pl.col(name)).alias(f"{name}_asked")
            for name, any_ in zip(_SCOPE, wild, strict=True)
        ]
        taken = needs.with_columns(asked).join(
            active, left_on=[f"{name}_asked" for name in _SCOPE], right_on=_SCOPE, how="inner"
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


def _active(routes: pl.DataFrame, now: datetime) -> pl.DataFrame:
    begun, ends = pl.col("active_from") <= now, pl.col("active_to")
    return routes.filter(begun, ends.is_null() | (ends > now)).with_columns(pl.col("min_severity").cast(_SEVERITY))


# --- in words


def messages(
    notices: pl.DataFrame,
    warehouses: pl.DataFrame,
    links: Links,
    *,
    recommendations: pl.DataFrame | None = None,
) -> list[Message]:
    """One message per warehouse, channel and tick; times are the warehouse's own.

    Args:
        notices: `NOTICES`.
        warehouses: `WAREHOUSES`; times of one that it lacks, or whose time zone does not exist, are UTC.
        links: where a message leads to.
        recommendations: `RECOMMENDATIONS` of the ticks, to name the units without a notice too, as development does.

    Returns:
        Messages sorted by warehouse, channel and tick.

    """
    known = {row["warehouse"]: row for row in warehouses.iter_rows(named=True)}
    quiet = {} if recommendations is None else _quiet(recommendations, notices)
    made = []
    group = ["warehouse", "channel", "snapshot_ts"]
    for (warehouse, channel, snapshot_ts), rows in _by_urgency(notices).group_by(group, maintain_order=True):
        zone = load_time_zone(known[warehouse]["time_zone"]) if warehouse in known else UTC
        name = f"{warehouse} {known[warehouse]['name']}" if warehouse in known else warehouse
        entries = tuple(_entry(row, zone, links) for row in rows.iter_rows(named=True))
        subject = f"{name}, {snapshot_ts.astimezone(zone):%H:%M %Z}: {_counts(rows)}"
        silent = tuple(quiet.get((warehouse, snapshot_ts), ()))
        made.append(Message(warehouse, channel, snapshot_ts, subject, entries, silent))
    return made


def _by_urgency(notices: pl.DataFrame) -> pl.DataFrame:
    """What needs hands first, then what ended, then what is kept back; each in the order in which conflicts rank."""
    standing = pl.when(pl.col("label").is_in(["NEW", "ONGOING"])).then(0).when(pl.col("label") == "CLEARED").then(1)
    return notices.sort(
        "warehouse",
        "channel",
        "snapshot_ts",
        standing.otherwise(2),
        pl.col("severity").cast(pl.Enum(schema.SEVERITIES[::-1])),
        pl.col("unit_type").cast(pl.Enum(schema.UNIT_TYPES)),
        pl.col("minutes_left"),
        *KEY,
        nulls_last=True,
    )


def _counts(rows: pl.DataFrame) -> str:
    """'1 emergency, 2 to act on, 1 cleared, 3 kept back'."""
    told = rows.filter(pl.col("label").is_in(["NEW", "ONGOING"]))["severity"].to_list()
    labels = rows["label"].to_list()
    counts = [(told.count(severity), words) for severity, words in _URGENCY.items()]
    counts += [(labels.count("CLEARED"), "cleared"), (labels.count("SUPPRESSED"), "kept back")]
    return ", ".join(f"{count} {words}" for count, words in counts if count)


def _quiet(recommendations: pl.DataFrame, notices: pl.DataFrame) -> dict[tuple[str, datetime], list[str]]:
    """'CLEAR: W1_PACK_L1, W1_PACK_L2', the worst first, by warehouse and tick: units of which nothing is told."""
    others = (
        recommendations.join(notices, on=["unit_id", "snapshot_ts"], how="anti")
        .group_by("warehouse", "snapshot_ts", "unit_id")
        .agg(pl.col("verdict").cast(_WORST_FIRST).min())
        .sort("verdict", "unit_id")
        .group_by("warehouse", "snapshot_ts", "verdict", maintain_order=True)
        .agg(pl.col("unit_id").str.join(", "))
        .with_columns(pl.format("{}: {}", "verdict", "unit_id").alias("line"))
        .group_by("warehouse", "snapshot_ts", maintain_order=True)
        .agg("line")
    )
    return {(warehouse, snapshot_ts): lines for warehouse, snapshot_ts, lines in others.iter_rows()}


def _entry(row: dict[str, Any], zone: tzinfo, links: Links) -> Entry:
    return Entry(
        row["notice_id"],
        row["severity"],
        _heading(row),
        _what(row, zone),
        row["explanation"] or "",
        links.chart(row["unit_id"], row["snapshot_ts"]) if links.chart else None,
        links.feedback(row["rec_id"]) if links.feedback else None,
    )


def _heading(row: dict[str, Any]) -> str:
    """'EMERGENCY, new: W1_PICK_TOTAL, overflow in 4 min'."""
    ahead = row["minutes_left"]
    when = "" if ahead is None else f" in {ahead:.0f} min"
    unit = f"{row['unit_id']}, {_DIRECTION[row['direction']]}{when}"
    if row["label"] == "CLEARED":
        return f"Cleared: {unit}"
    reason = f" ({_REASON[row['reason']]})" if row["reason"] else ""
    return f"{row['severity']}, {_LABEL[row['label']]}{reason}: {unit}"


def _what(row: dict[str, Any], zone: tzinfo) -> str:
    """What to do, in a sentence; what can end, of an episode that did."""
    if row["label"] == "CLEARED":
        return _end(row)
    if row["winner"]:
        return f"Its own action gave way to {row['winner']}."
    return _instruction(row, zone)


def _end(row: dict[str, Any]) -> str:
    """What can end; of a throttle that is still in force, how far it may be raised."""
    if row["action"] == "THROTTLE" and (amount := _amount(row)):
        return f"Release the throttle step by step: at most {amount} for now."
    return _ENDED[row["action"]]


def _instruction(row: dict[str, Any], zone: tzinfo) -> str:
    unit, source, target, amount = row["unit_id"], row["source_unit"], row["target_unit"], _amount(row)
    until = f" until {row['until_ts'].astimezone(zone):%H:%M}" if row["until_ts"] else ""
    unknown = "" if amount else " (quantity unknown)"
    match row["action"]:
        case "MOVE_STAFF":
            origin, aim = f" from {source}" if source else "", f" to {target}" if target else ""
            who = "nobody" if row["quantity"] == 0 else amount or "associates"
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


def _amount(row: dict[str, Any]) -> str:
    """'4 associates', '1,250 packages/hour'; '' where it is not known."""
    if row["quantity"] is None:
        return ""
    number, unit = f"{row['quantity']:,.1f}".removesuffix(".0"), row["quantity_unit"] or ""
    return f"{number} {unit.replace('s/', '/').removesuffix('s') if number == '1' else unit}".rstrip()


# --- laid out


def text(message: Message) -> str:
    """The whole message as plain text."""
    lines = [message.subject]
    for entry in message.entries:
        details = [entry.what, *([f"Why: {entry.why}"] if entry.why else [])]
        lines += ["", entry.heading, *[f"  {line}" for line in details]]
        lines += [f"  {name}: {url}" for name, url in entry.links]
    if message.quiet:
        lines += ["", "Nothing is told of", *[f"  {line}" for line in message.quiet]]
    return "\n".join(lines)


def slack(message: Message) -> dict[str, Any]:
    """The message as Slack takes it: text for notifications, and Block Kit blocks."""
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": _cut(message.subject, MAX_HEADER)}}
    ]
    for entry in message.entries[:MAX_ENTRIES]:
        links = " | ".join(f"<{url}|{name}>" for name, url in entry.links)
        lines = [f"*{_escaped(entry.heading)}*", _escaped(entry.what), _escaped(_cut(entry.why, MAX_WHY)), links]
        blocks.append({"type": "section", "text": {"type": "mrkdwn", "text": _joined(lines, "\n")}})
    if more := _more(message.entries):
        blocks.append({"type": "context", "elements": [{"type": "plain_text", "text": more}]})
    return {"text": _escaped(message.subject), "blocks": blocks}


def teams(message: Message) -> dict[str, Any]:
    """The message as a Teams webhook takes it: an Adaptive Card."""
    body: list[dict[str, Any]] = [_line(message.subject, weight="Bolder", size="Medium")]
    for entry in message.entries[:MAX_ENTRIES]:
        links = " | ".join(f"[{name}]({url})" for name, url in entry.links)
        lines = [entry.what, _cut(entry.why, MAX_WHY), links]
        color = "Attention" if entry.severity == "EMERGENCY" else "Default"
        body += [_line(entry.heading, weight="Bolder", color=color), _line(_joined(lines, "\n\n"))]
    if more := _more(message.entries):
        body.append(_line(more, isSubtle=True))
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}


def _line(words: str, **style: str | bool) -> dict[str, Any]:
    return {"type": "TextBlock", "text": words, "wrap": True, **style}


def _more(entries: Sequence[Entry]) -> str:
    more = [entry.heading for entry in entries[MAX_ENTRIES:]]
    return _cut(f"and {len(more)} more: {'; '.join(more)}", MAX_MORE) if more else ""


def _joined(lines: Sequence[str], separator: str) -> str:
    return separator.join(line for line in lines if line)


def _cut(words: str, length: int) -> str:
    return words if len(words) <= length else f"{words[: length - 3]}..."


def _escaped(words: str) -> str:
    """Slack reads these three characters as its own."""
    return words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
