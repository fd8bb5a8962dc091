"""The text of notices: what each message of a warehouse, channel and tick says, in the warehouse's own time.

A floor reads it in five seconds: what and where first, one instruction, one reason, what is new since the last message,
and in one line what is still open (decision 0190).

Who gets a notice is decided in `buffers.rules.notification_routing`; how it looks in `notifications.notifiers`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Any, Final

import polars as pl

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.rules import unit_convention
from fillrate_assets.buffers.rules.alert_suppression import EPISODE, KEY
from fillrate_assets.buffers.rules.notification_routing import derive_scope
from fillrate_assets.buffers.rules.path_signals import load_time_zone
from fillrate_assets.buffers.rules.unit_convention import TOTAL
from fillrate_assets.buffers.rules.verdicts import DATA_POOL
from fillrate_assets.core.text_columns import format_text
from fillrate_assets.notifications.rendering import Message, Section

_STATE: Final = {"OVERFLOW": "full", "STARVATION": "empty"}
_FEED: Final = {
    "OCCUPANCY": "Feed of levels",
    "FLOW": "Feed of flows",
    "STAFFING": "Feed of staffing",
    "LIMITS": "Feed of limits",
}
_LONGEST_MINUTES: Final = 60
"""Nothing that lies further ahead is said: it is not known."""

_MOST_NAMED: Final = 5
_MOST_PATHS: Final = 3
_MOST_WAREHOUSES: Final = 20
_LABEL: Final = {"NEW": "new", "ONGOING": "still", "SUPPRESSED": "suppressed"}
_REASON: Final = {
    "HISTORY_GAP": "no data for an hour before",
    "ESCALATED": "worse than at the last notice",
    "CHANGED": "another action than at the last notice",
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
    "ACKNOWLEDGED": "someone knows",
    "SNOOZED": "snoozed",
    "MAINTENANCE": "in maintenance",
    "UNACKNOWLEDGED": "no one has acknowledged it",
}
_ENDED: Final = {
    "MOVE_STAFF": "Send the moved associates back.",
    "THROTTLE": "Release the throttle.",
    "REBALANCE": "End the diversion.",
    "OPEN_LANE": "Close the extra lane.",
    "CHECK_DATA": "Use its data again.",
}


_LIMIT: Final = {
    "SETTLES": "it settles by itself",
    "NO_SURPLUS": "no pool can spare anyone",
    "NO_STATIONS": "no station is free",
    "NO_UPSTREAM": "no pool is known to fill it",
    "NO_ROOM": "no sibling has room",
    "IN_FORCE": "the measure in force stays",
}


@dataclass(frozen=True)
class Links:
    """Where a message leads to; None leaves a link out."""

    chart: Callable[[str, datetime], str] | None = None
    """URL of a unit's chart around a tick."""

    feedback: Callable[[str], str] | None = None
    """URL of the form, filled in for a rec_id."""


@dataclass(frozen=True)
class Past:
    """What channels know before a message."""

    alerts: pl.DataFrame = field(default_factory=schema.ALERTS.make_empty().collect)
    """`ALERTS` of the ticks of the notices."""

    sent: pl.DataFrame = field(default_factory=schema.NOTICES.make_empty().collect)
    """`NOTICES` that the outbox has of the episodes in `alerts`."""


@dataclass(frozen=True, kw_only=True)
class NoticeMessage(Message):
    """The message of one warehouse, channel and tick; of many warehouses, if a feed fails in all of them."""

    warehouse: str
    """`schema.ANY` for many."""

    channel: str
    snapshot_ts: datetime


@dataclass(frozen=True)
class Described:
    """A row of `RECOMMENDATIONS` in words."""

    name: str
    """What people call the unit, or the feed."""

    state: str
    """As 'full in 4 min'."""

    instruction: str
    """What to do, in a sentence; '' where that is nothing."""

    why: str
    """In one sentence."""


def describe_recommendation(row: dict[str, Any], zone: tzinfo, labels: Mapping[str, str]) -> Described:
    """Describe a row of `RECOMMENDATIONS` in the words of its messages.

    Args:
        row: the row.
        zone: of its warehouse.
        labels: what people call each unit, by unit_id.

    """
    wording = _Wording(zone, labels, row["warehouse"], Links(), row["snapshot_ts"])
    instruction = wording.add_labels(wording.describe_instruction(row)) if row["action"] else ""
    return Described(wording.name_unit(row["unit_id"]), _describe_state(row), instruction, wording.describe_why(row))


def render_messages(
    notices: pl.DataFrame,
    warehouses: pl.DataFrame,
    links: Links,
    *,
    recommendations: pl.DataFrame | None = None,
    labels: Mapping[str, str] | None = None,
    past: Past | None = None,
) -> list[NoticeMessage]:
    """Return one message per warehouse, channel and tick; times are the warehouse's own.

    What `notification_routing.derive_scope` joins is one message for many warehouses, in UTC.

    Args:
        notices: `NOTICES`.
        warehouses: `WAREHOUSES`; times of one that it lacks, or whose time zone does not exist, are UTC.
        links: where a message leads to.
        recommendations: `RECOMMENDATIONS` of the ticks, to name the units without a notice too, as development does.
        labels: what people call each unit, by unit_id; None for none.
        past: what channels know already; None for nothing.

    Returns:
        Messages sorted by warehouse, channel and tick.

    """
    known = {row["warehouse"]: row for row in warehouses.iter_rows(named=True)}
    quiet = {} if recommendations is None else _list_quiet(recommendations, notices)
    group = ["scope", "channel", "snapshot_ts"]
    made = []
    scoped = notices.with_columns(derive_scope().alias("scope"))
    for (scope, channel, snapshot_ts), rows in _sort_by_urgency(scoped).group_by(group, maintain_order=True):
        place = known.get(scope)
        wording = _Wording(
            load_time_zone(place["time_zone"]) if place else UTC, labels or {}, str(scope), links, snapshot_ts
        )
        if scope == schema.ANY:
            sections = wording.build_feed_sections(rows)
            where = f"{rows['warehouse'].n_unique()} warehouses"
        else:
            sections = tuple(wording.build_section(row) for row in rows.iter_rows(named=True))
            where = place["name"] if place else scope
        subject = wording.format_subject(rows, where)
        silent = [wording.add_labels(line) for line in quiet.get((scope, snapshot_ts), [])]
        before = past or Past()
        made.append(
            NoticeMessage(
                subject,
                sections,
                news=wording.format_news(rows, before.sent.filter(pl.col("channel") == channel)),
                still_open=wording.format_still_open(rows, before, channel),
                footer=("Nothing is sent about", *silent) if silent else (),
                event=_build_event(scope, snapshot_ts, subject, rows.drop("scope"), wording),
                warehouse=scope,
                channel=channel,
                snapshot_ts=snapshot_ts,
            )
        )
    return made


def _sort_by_urgency(notices: pl.DataFrame) -> pl.DataFrame:
    """Sort what needs hands first, then what ended, then what is suppressed; each in the order of conflicts."""
    urgency = pl.when(pl.col("label").is_in(["NEW", "ONGOING"])).then(0).when(pl.col("label") == "CLEARED").then(1)
    return notices.sort(
        "scope",
        "channel",
        "snapshot_ts",
        urgency.otherwise(2),
        pl.col("severity").cast(pl.Enum(schema.SEVERITIES[::-1])),
        pl.col("unit_type").cast(pl.Enum(schema.UNIT_TYPES)),
        pl.col("minutes_left"),
        *KEY,
        nulls_last=True,
    )


def _list_quiet(recommendations: pl.DataFrame, notices: pl.DataFrame) -> dict[tuple[str, datetime], list[str]]:
    """Return 'CLEAR: W1_PACK_L1, W1_PACK_L2', the worst first, by warehouse and tick: units without a notice."""
    others = (
        recommendations.join(notices, on=["unit_id", "snapshot_ts"], how="anti")
        .group_by("warehouse", "snapshot_ts", "unit_id")
        .agg(pl.col("verdict").cast(schema.WORST_FIRST).min())
        .sort("verdict", "unit_id")
        .group_by("warehouse", "snapshot_ts", "verdict", maintain_order=True)
        .agg(pl.col("unit_id").str.join(", "))
        .with_columns(format_text("{}: {}", "verdict", "unit_id").alias("line"))
        .group_by("warehouse", "snapshot_ts", maintain_order=True)
        .agg("line")
    )
    return {(warehouse, snapshot_ts): lines for warehouse, snapshot_ts, lines in others.iter_rows()}


def _build_event(
    scope: str, snapshot_ts: datetime, subject: str, rows: pl.DataFrame, wording: _Wording
) -> dict[str, Any]:
    """Return what a webhook posts, in the form that Standard Webhooks recommends."""
    linked = [
        {
            **row,
            "unit_label": wording.labels.get(row["unit_id"]),
            "chart_url": wording.make_chart_url(row),
            "feedback_url": wording.make_feedback_url(row),
        }
        for row in rows.sort("notice_id").iter_rows(named=True)
    ]
    data = {"warehouse": scope, "subject": subject, "notices": linked}
    return {"type": "buffer.notices", "timestamp": snapshot_ts, "data": data}


@dataclass(frozen=True)
class _Wording:
    """How the notices of one message read."""

    zone: tzinfo
    labels: Mapping[str, str]
    warehouse: str
    links: Links
    snapshot_ts: datetime

    def build_section(self, row: dict[str, Any]) -> Section:
        """Build the section of a notice: what it is about and how bad, what to do, why, and where to go on."""
        named = (("Chart", self.make_chart_url(row)), ("Feedback", self.make_feedback_url(row)))
        return Section(
            self._describe_heading(row),
            self.add_labels(self._describe_what(row)),
            self.describe_why(row),
            urgent=row["severity"] == "EMERGENCY",
            links=tuple((name, url) for name, url in named if url),
        )

    def build_feed_sections(self, rows: pl.DataFrame) -> tuple[Section, ...]:
        """Build a section for each feed that fails in many warehouses, and each label."""
        sections = []
        feeds = rows.with_columns(unit_feed=pl.col("unit_id").str.split("_").list.last())
        for _, part in feeds.group_by("unit_feed", "label", "severity", maintain_order=True):
            row, names = part.row(0, named=True), part["warehouse"].unique().sort().to_list()
            ended = row["label"] == "CLEARED"
            what = f"{'Its data are used again' if ended else 'Check it'}: {_list_names(names, _MOST_WAREHOUSES)}."
            feedback = self.make_feedback_url(row)
            links = (("Feedback", feedback),) if feedback else ()
            why = "" if ended else f"{len(names)} warehouses have no usable data of it."
            sections.append(Section(self._describe_heading(row), what, why, links=links))
        return tuple(sections)

    def format_subject(self, rows: pl.DataFrame, where: str) -> str:
        """Return 'Lane 12 (PACK L2) and 1 more, Chicago West 09:00 CDT: full in 4 min'."""
        first = rows.row(0, named=True)
        more = rows["unit_id"].n_unique() - 1 if self.warehouse != schema.ANY else 0
        others = f" and {more} more" if more else ""
        at = self.snapshot_ts.astimezone(self.zone)
        state = "cleared" if first["label"] == "CLEARED" else _describe_state(first)
        return f"{self._name_place(first)}{others}, {where} {at:%H:%M %Z}: {state}"

    def format_news(self, rows: pl.DataFrame, sent: pl.DataFrame) -> str:
        """Return 'Since 08:45: new Lane 12 (PACK L2); cleared Lane 3 (PACK L3)'; "" where all is new."""
        before = sent.filter(pl.col("warehouse").is_in(rows["warehouse"].unique().implode()))
        last = before.filter(pl.col("snapshot_ts") < self.snapshot_ts)["snapshot_ts"].max()
        if self.warehouse == schema.ANY or not isinstance(last, datetime):
            return ""
        kinds = {
            "new": pl.col("label") == "NEW",
            "worse": (pl.col("label") == "ONGOING") & (pl.col("reason") == "ESCALATED"),
            "changed": (pl.col("label") == "ONGOING") & (pl.col("reason") == "CHANGED"),
            "cleared": pl.col("label") == "CLEARED",
        }
        parts = [
            f"{kind} {_list_names(names)}"
            for kind, wanted in kinds.items()
            if (names := [self.name_unit(each) for each in rows.filter(wanted)["unit_id"].unique(maintain_order=True)])
        ]
        return f"Since {last.astimezone(self.zone):%H:%M}: {'; '.join(parts) or 'nothing new'}."

    def format_still_open(self, rows: pl.DataFrame, past: Past, channel: str) -> str:
        """Return 'Still open: Pack total since 08:40', of what the channel was sent and this message leaves out."""
        if self.warehouse == schema.ANY:
            return ""
        heard = past.sent.filter(pl.col("channel") == channel).select(EPISODE).unique()
        open_now = (
            past.alerts.filter("is_open", snapshot_ts=self.snapshot_ts, warehouse=self.warehouse)
            .join(heard, on=EPISODE, how="semi")
            .join(rows, on=EPISODE, how="anti")
            .sort("opened_ts", "unit_id")
            .unique("unit_id", keep="first", maintain_order=True)
        )
        names = [
            f"{self.name_unit(row['unit_id'])} since {row['opened_ts'].astimezone(self.zone):%H:%M}"
            for row in open_now.iter_rows(named=True)
        ]
        return f"Still open: {_list_names(names)}." if names else ""

    def name_unit(self, unit_id: str) -> str:
        """Return 'Lane 12 (PACK L2)'; without a label, 'PACK L2'."""
        warehouse, _, unit = unit_id.partition("_")
        pool, _, path = unit.partition("_")
        if pool == DATA_POOL:
            return _FEED.get(path, unit)
        name, label = unit.replace("_", " ") or warehouse, self.labels.get(unit_id)
        if not label:
            return name
        return label if path == TOTAL else f"{label} ({name})"

    def add_labels(self, text: str) -> str:
        """Put labels beside the units that a text names."""
        return unit_convention.add_labels(text, self.labels, self.warehouse)

    def make_chart_url(self, row: dict[str, Any]) -> str | None:
        """Make the URL of the chart of a notice's unit."""
        return self.links.chart(row["unit_id"], row["snapshot_ts"]) if self.links.chart else None

    def make_feedback_url(self, row: dict[str, Any]) -> str | None:
        """Make the URL by which a notice is answered."""
        return self.links.feedback(row["rec_id"]) if self.links.feedback else None

    def _name_place(self, row: dict[str, Any]) -> str:
        """Name the unit; of a TOTAL, the paths with the problem before it."""
        if not row["named_units"]:
            return self.name_unit(row["unit_id"])
        total = self.name_unit(row["unit_id"])
        paths = [self.name_unit(unit.strip()) for unit in row["named_units"].split(",")]
        # So many are the TOTAL's own problem.
        return f"{total} ({len(paths)} paths)" if len(paths) > _MOST_PATHS else f"{', '.join(paths)} in {total}"

    def _describe_heading(self, row: dict[str, Any]) -> str:
        """Return 'Lane 12 (PACK L2): full in 4 min - ACT, new'."""
        if row["label"] == "CLEARED":
            return f"{self.name_unit(row['unit_id'])}: cleared"
        reason = f" ({_REASON[row['reason']]})" if row["reason"] else ""
        return f"{self._name_place(row)}: {_describe_state(row)} - {row['severity']}, {_LABEL[row['label']]}{reason}"

    def _describe_what(self, row: dict[str, Any]) -> str:
        """Describe what to do, in a sentence; what can end, of an episode that did."""
        if row["label"] == "CLEARED":
            return _describe_end(row)
        if row["winner"]:
            return f"Its own action gave way to {row['winner']}."
        return self.describe_instruction(row)

    def describe_why(self, row: dict[str, Any]) -> str:
        """Describe why, in one sentence that does not name the unit again."""
        text = row["explanation"] or ""
        name = row["unit_id"].partition("_")[2].replace("_", " ")
        sentence, dot, _ = text.removeprefix(f"{name}: ").partition(". ")
        return self.add_labels(f"{sentence}." if dot else sentence)

    def describe_instruction(self, row: dict[str, Any]) -> str:
        """Describe what to do, in a sentence, without labels."""
        unit = row["unit_id"].partition("_")[2].replace("_", " ")
        source, target, amount = row["source_unit"], row["target_unit"], _format_amount(row)
        nothing = row["quantity"] == 0 and row["action"] != "THROTTLE"
        limit = _LIMIT.get(row["limited_by"] or ("IN_FORCE" if nothing else ""), "")
        if limit and not row["quantity"]:
            return f"{limit[0].upper()}{limit[1:]}."
        until = f" until {row['until_ts'].astimezone(self.zone):%H:%M}" if row["until_ts"] else ""
        missing = f" without {row['missing_inputs']}" if row["missing_inputs"] else ""
        end = f"{until}{'' if amount else f' (how many is not known{missing})'}{f': {limit}' if limit else ''}."
        match row["action"]:
            case "MOVE_STAFF":
                origin, aim = f" from {source}" if source else "", f" to {target}" if target else ""
                return f"Move {amount or 'associates'}{origin}{aim}{end}"
            case "THROTTLE":
                return f"Throttle {source or unit} to {amount or 'less'}{end}"
            case "REBALANCE":
                shares = f" to siblings: {target}" if target else ""
                return f"Divert {amount or 'packages'} from {source or unit}{end.removesuffix('.')}{shares}."
            case "OPEN_LANE":
                return f"Open {target or 'a lane'} for {amount or 'packages'} of {unit}{end}"
            case _:
                return f"Check {self.name_unit(row['unit_id']).lower()}."


def _describe_state(row: dict[str, Any]) -> str:
    """Return 'full now', 'empty in 4 min', 'too full'; 'no usable data' of a feed."""
    state, minutes = _STATE.get(row["direction"]), row["minutes_left"]
    if state is None:
        return "no usable data"
    if minutes is None or minutes > _LONGEST_MINUTES:
        return f"too {state}"
    return f"{state} in {minutes:.0f} min" if round(minutes) else f"{state} now"


def _list_names(names: Sequence[str], most: int = _MOST_NAMED) -> str:
    """Return 'A, B and 3 more'."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def _describe_end(row: dict[str, Any]) -> str:
    """Describe what can end; of a throttle that is still in force, how far it may be raised."""
    if row["action"] == "THROTTLE" and (amount := _format_amount(row)):
        return f"Release the throttle step by step: at most {amount} for now."
    return _ENDED[row["action"]]


def _format_amount(row: dict[str, Any]) -> str:
    """Return '4 associates', '1,250 packages/hour'; '' where it is not known."""
    if row["quantity"] is None:
        return ""
    number, unit = f"{row['quantity']:,.1f}".removesuffix(".0"), row["quantity_unit"] or ""
    return f"{number} {unit.replace('s/', '/').removesuffix('s') if number == '1' else unit}".rstrip()
