"""A simulated day of the buffers at speed: every tick through the rules, the lake and the outbox, and the board."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import polars as pl
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.buffer_store import BufferStore
from fillrate_assets.buffers.defs.alert_dispatch import AlertDispatch
from fillrate_assets.buffers.history_store import HistoryStore
from fillrate_assets.buffers.notice_store import NoticeStore
from fillrate_assets.buffers.report import notice_text
from fillrate_assets.buffers.rules import status_board, tick
from fillrate_assets.buffers.rules.path_signals import load_time_zone
from fillrate_assets.buffers.rules.policy import Policy
from fillrate_assets.buffers.sources.floor_feeds import FloorFeeds
from fillrate_assets.buffers.tick_store import LakeTickStore
from fillrate_assets.cli.tour import Findings
from fillrate_assets.core.decimals import format_percent
from fillrate_assets.core.text_table import format_table
from fillrate_assets.fillrate.report.labels import format_count
from fillrate_assets.notifications import rendering, signed_links
from fillrate_assets.sample.buffers_loader import Floors
from fillrate_assets.settings import Settings
from fillrate_assets.storage.lake import Lake

_COLOURS: Final = {
    "EMERGENCY": "bold white on red",
    "ACT": "black on dark_orange",
    "WARN": "black on yellow",
    "HYSTERESIS": "white on blue",
    "CLEAR": "black on green",
    "NOT_STAFFED": "white on grey23",
    "UNKNOWN": "black on white",
}
_MOST_ACTIONS: Final = 8
_MOST_MESSAGES: Final = 4
_STARTED_AFTER: Final = timedelta(seconds=20)
"""How long after its time a tick sends."""


@dataclass(frozen=True)
class TickResult:
    """One tick of the day."""

    snapshot_ts: datetime
    recommendations: pl.DataFrame
    alerts: pl.DataFrame
    sent: int


def run_ticks(
    floors: Floors,
    feeds: FloorFeeds,
    tick_store: LakeTickStore,
    delivery: AlertDispatch,
    history: HistoryStore,
    policy: Policy,
) -> Iterator[TickResult]:
    """Run every tick of the day in its order, as its schedule would."""
    for at in floors.ticks:
        read = feeds.read(snapshot_ts=at, look_back=tick.compute_look_back(policy))
        tick.run_tick(read, floors.masters, tick_store, snapshot_ts=at, policy=policy)
        result = delivery.dispatch(floors.masters, tick_store, policy=policy, now=at + _STARTED_AFTER)
        members, labels = floors.masters.unit_members, floors.masters.labels
        history.sync(tick_store, at, members=members, labels=labels, now=at)
        rows = [tick_store.read(frame, at, at).collect() for frame in (schema.RECOMMENDATIONS, schema.ALERTS)]
        yield TickResult(at, rows[0], rows[1], result.delivered.sent)


def show_board(moments: Iterator[TickResult], floors: Floors, console: Console) -> list[TickResult]:
    """Show the board as the day goes by: moving on a terminal, a line an hour elsewhere."""
    zone, shown = load_time_zone(floors.masters.warehouses["time_zone"][0]), []
    if not console.is_terminal:
        for moment in moments:
            shown.append(moment)
            if moment.snapshot_ts.minute == 0:
                console.print(_format_line(moment, shown))
        return shown
    with Live(console=console, refresh_per_second=8) as live:
        for moment in moments:
            shown.append(moment)
            live.update(_build_board(moment, shown, f"{moment.snapshot_ts.astimezone(zone):%A %H:%M}"))
        if shown:
            worst = find_worst_tick(shown)
            live.update(_build_board(worst, shown, f"The worst tick, {worst.snapshot_ts.astimezone(zone):%A %H:%M}"))
    return shown


def find_worst_tick(results: Sequence[TickResult]) -> TickResult:
    """Find the tick at which most was to be done: emergencies that were sent first, then what was to act on."""

    def count(result: TickResult) -> tuple[int, ...]:
        sent = result.alerts.filter(pl.col("label").is_in(["NEW", "ONGOING"]))
        severe = [sent.filter(severity=severity).height for severity in schema.SEVERITIES[::-1]]
        return (*severe, sent.filter(label="NEW").height)

    return max(results, key=count)


def show_messages(
    worst: TickResult, floors: Floors, notices: NoticeStore, settings: Settings, now: datetime
) -> list[str]:
    """Show the messages of a tick as the floor gets them, and the links to the three pages for its answers.

    The links that were sent have expired where the simulated day is long past: these are made now.
    """
    at, masters = worst.snapshot_ts, floors.masters
    rows = notices.read_since(at, until=at + tick.TICK)
    messages = notice_text.render_messages(rows, masters.warehouses, notice_text.Links(), labels=masters.labels)
    lines = ["", f"Messages of the worst tick, {at:%Y-%m-%d %H:%M} UTC:"]
    for message in messages[:_MOST_MESSAGES]:
        lines += ["", *(f"  {line}".rstrip() for line in rendering.render_text(message).splitlines())]
    if len(messages) > _MOST_MESSAGES:
        lines += ["", f"  and {len(messages) - _MOST_MESSAGES} more"]
    signer = signed_links.make_signer(settings.web.feedback_url, settings.web.feedback_secret.get_secret_value())
    if signer is None or not messages:
        return [*lines, *([] if messages else ["", "  none: nothing was to be done"])]
    section, warehouse = _find_first_notice(rows, messages[0]), messages[0].warehouse
    place = masters.warehouses.filter(warehouse=warehouse)["time_zone"]
    week = signed_links.find_last_week(now, load_time_zone(place[0] if len(place) else "UTC"))
    return [
        *lines,
        "",
        "Answer the first of them, report a problem that no alert was sent for, look at a sample of silent units:",
        f"  {signer.make_alert_url(section, now=now)}",
        f"  {signer.make_missed_url(warehouse, now=now)}",
        f"  {signer.make_audit_url(warehouse, week, now=now)}",
    ]


def _find_first_notice(rows: pl.DataFrame, message: notice_text.NoticeMessage) -> str:
    """Find the rec_id of a notice in a message: the most severe one."""
    here = rows.filter(warehouse=message.warehouse, channel=message.channel)
    worst_first = (here if here.height else rows).sort(pl.col("severity").cast(schema.WORST_FIRST), "notice_id")
    return str(worst_first["rec_id"][0])


def answer_alerts(floors: Floors, store: BufferStore, alerts: pl.DataFrame) -> None:
    """Let the floor answer what it was alerted on, and report what it was not."""
    for row in floors.simulate_answers(alerts).iter_rows(named=True):
        store.add_feedback(row)


def summarize(floors: Floors, alerts: pl.DataFrame, console: Console) -> None:
    """Print what the day amounted to, against the truth."""
    onsets, episodes = floors.match_onsets(alerts), floors.judge_episodes(alerts)
    units = floors.masters.unit_members["unit_id"].n_unique()
    console.print(
        f"\n[bold]{floors.warehouses} warehouses, {units} units, {len(floors.ticks)} ticks[/bold]: trouble began"
        f" {onsets.height} times; {episodes.height} problems were reported."
    )
    numbers = ["sent", "right", "brief", "false", "precision", "trouble", "in time", "recall"]
    rows = []
    for direction in ("OVERFLOW", "STARVATION"):
        alerted, began = (found.filter(pl.col("direction") == direction) for found in (episodes, onsets))
        was = [alerted.filter(pl.col("was") == name).height for name in ("RIGHT", "BRIEF", "FALSE")]
        in_time = began["alert_ts"].count()
        shares = _format_share(was[0], alerted.height), _format_share(in_time, began.height)
        counts = [str(number) for number in (alerted.height, *was)]
        rows.append([direction, *counts, shares[0], str(began.height), str(in_time), shares[1]])
    title = "How right that was, by the truth that no feed shows"
    console.out(
        "", *format_table(["direction", *numbers], rows, numbers=numbers, title=title), sep="\n", highlight=False
    )


def find(floors: Floors, alerts: pl.DataFrame, worst: TickResult) -> Findings:
    """Say what the day amounted to in a few sentences, against the truth."""
    onsets, episodes = floors.match_onsets(alerts), floors.judge_episodes(alerts)
    judged = {was: episodes.filter(pl.col("was") == was).height for was in ("RIGHT", "BRIEF", "FALSE")}
    sent = worst.alerts.filter(pl.col("label").is_in(["NEW", "ONGOING"])).height
    units, at = floors.masters.unit_members["unit_id"].n_unique(), f"{worst.snapshot_ts:%Y-%m-%dT%H:%M}"
    of_day = f"{format_count(floors.warehouses, 'warehouse')}, {units} units, {len(floors.ticks)} ticks"
    began = f"trouble began {onsets.height} times, {onsets['alert_ts'].count()} times the floor was alerted in time"
    right = f"{judged['RIGHT']} right, {judged['BRIEF']} over before anyone could act, {judged['FALSE']} false"
    steps = {"What was it like at the worst?": f"buffers board --at {at}"}
    if unit := _find_worst_alert(worst.alerts):
        steps["Why was the floor alerted?"] = f"buffers explain {unit}"
    return Findings(
        [
            f"{of_day} of a simulated day: {began}.",
            f"{format_count(episodes.height, 'problem')} reported: {right}. The worst tick: {at} UTC, {sent} alerts.",
        ],
        steps,
    )


def _find_worst_alert(alerts: pl.DataFrame) -> str:
    """Find unit and time of the worst that was sent at a tick, as `explain` takes them; empty if nothing was."""
    sent = alerts.filter(pl.col("label") == "NEW", pl.col("severity").is_in(["EMERGENCY", "ACT"]))
    worst = sent.sort(pl.col("severity").cast(pl.Enum(schema.SEVERITIES)), "snapshot_ts", descending=True).head(1)
    return "".join(f"{row['unit_id']} {row['snapshot_ts']:%Y-%m-%dT%H:%M}" for row in worst.iter_rows(named=True))


def list_next_steps(alerts: pl.DataFrame, command: str, settings: Settings) -> list[str]:
    """List commands to go on with, about the worst that was sent."""
    worst = _find_worst_alert(alerts)
    explained = [f"{command} buffers explain {worst}"] if worst else []
    shown = [f"{command} buffers board --at {worst.rpartition(' ')[2]}"] if worst else []
    # Without either of them, it ends at once.
    linked = bool(settings.web.feedback_url and settings.web.feedback_secret.get_secret_value())
    served = [f"{command} serve"] if linked else []
    return ["", "Go on with:", *(f"  {step}" for step in [*served, *shown, *explained, "make ui"])]


def make_tick_store(floors: Floors) -> LakeTickStore:
    """Make the store of the day's ticks."""
    return LakeTickStore(Lake(floors.settings.storage.lake_root), tuple(sorted(set(floors.masters.warehouses["dc"]))))


def _format_line(moment: TickResult, shown: list[TickResult]) -> str:
    states = {state: count for state, count in status_board.count_states(moment.recommendations).items() if count}
    counted = ", ".join(f"{count} {status_board.name_state(state)}" for state, count in states.items())
    return f"{moment.snapshot_ts:%H:%M} UTC: {counted}; messages so far: {sum(each.sent for each in shown)}"


def _build_board(moment: TickResult, shown: list[TickResult], now: str) -> Group:
    strips = Table(box=None, padding=(0, 1), show_header=False)
    for (warehouse, pool), rows in status_board.compute_states(moment.recommendations).group_by(
        "warehouse", "pool", maintain_order=True
    ):
        strip = Text()
        for state in rows["state"]:
            strip.append("  ", style=f"on {_COLOURS[state].rpartition(' on ')[2]}")
            strip.append(" ")
        strips.add_row(str(warehouse), str(pool), strip)
    legend = Text()
    for state, style in _COLOURS.items():
        legend.append(f" {status_board.name_state(state)} ", style=style)
        legend.append(" ")
    actions = [
        [
            row["severity"],
            f"{row['unit_id']} {row['direction'].lower()}",
            row["action"],
            row["how_many"] or "",
            "" if row["minutes_left"] is None else f"{row['minutes_left']:.0f} min",
        ]
        for row in status_board.list_actions(moment.alerts, moment.recommendations)
        .head(_MOST_ACTIONS)
        .iter_rows(named=True)
    ]
    headings = ["severity", "unit", "action", "how many", "left"]
    to_do = Text("\n".join(format_table(headings, actions, numbers=headings[3:], title="To do now")), no_wrap=True)
    sent = sum(each.sent for each in shown)
    return Group(Text(f"{now}, tick {len(shown)}, messages sent: {sent}", style="bold"), strips, legend, to_do)


def _format_share(part: int, whole: int) -> str:
    return format_percent(part / whole if whole else None, 0)
