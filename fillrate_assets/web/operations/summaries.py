"""A sentence for each view of operations: how it is there, and whether someone should look."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from fillrate_assets.buffers.report.scorecards import read_scorecard
from fillrate_assets.core.decimals import format_percent
from fillrate_assets.fillrate.report.uncertain_days import count_uncertain_days
from fillrate_assets.fulfillment.interventions import read_interventions
from fillrate_assets.inventory.report.sync_report import count_findings, read_rounds
from fillrate_assets.notifications.outbox_admin import count_unsent
from fillrate_assets.storage.action_log import ActionLog
from fillrate_assets.web.operations.query import Query
from fillrate_assets.web.operations.views import DAY, read_alarms
from fillrate_assets.web.tables import format_cell, format_duration


@dataclass(frozen=True)
class Summary:
    """How it is in a view."""

    text: str
    needs_people: bool = False


def _summarize_runs(query: Query) -> Summary:
    counts = query.systems.runs.count_runs(query.now - DAY)
    failed = counts.get("FAILURE", 0)
    parts = [f"{count:,} {status.lower().replace('_', ' ')}" for status, count in sorted(counts.items())]
    return Summary(f"In the last day: {', '.join(parts) or 'no run'}.", failed > 0)


def _summarize_days(query: Query) -> Summary:
    held, doubtful = count_uncertain_days(query.systems.database)
    return Summary(f"{held:,} held, {doubtful:,} doubtful.", held > 0)


def _summarize_queues(query: Query) -> Summary:
    queues = query.systems.open_queues()
    due, oldest = sum(queues.queue.count_waiting().values()), queues.find_oldest() if queues.find_oldest else {}
    age = f", the oldest for {format_duration(query.now - min(oldest.values()))}" if oldest else ""
    alarms = len(read_alarms(query).rows)
    wrong = f" {alarms} {'thing is' if alarms == 1 else 'things are'} wrong." if alarms else ""
    return Summary(f"{due:,} due{age}.{wrong}", alarms > 0)


def _summarize_letters(query: Query) -> Summary:
    queue = query.systems.open_queues().queue
    dead = queue.count_dead_letters()
    return Summary(f"{dead:,} given up, {queue.count_parked():,} parked.", dead > 0)


def _summarize_replays(query: Query) -> Summary:
    last = read_interventions(query.systems.database, query.now - DAY, limit=1)
    if not last:
        return Summary("None in the last day.")
    done = last[0]
    return Summary(f"Last: {done.action.lower()} {done.first_subject}, by {done.actor}.")


def _summarize_reconciliations(query: Query) -> Summary:
    rounds = read_rounds(query.systems.database, limit=1)
    if not rounds:
        return Summary("Copies were never compared.")
    found = count_findings(query.systems.database)
    left = sum(each.counts for each in found if each.action == "REVIEW")
    differing = sum(each.counts for each in found)
    text = f"{format_cell(rounds[0].at)} UTC: {differing:,} differences, {left:,} left to people."
    return Summary(text, left > 0)


def _summarize_outbox(query: Query) -> Summary:
    counts = count_unsent(query.systems.database)
    age = f", the oldest for {format_duration(query.now - counts.oldest)}" if counts.oldest else ""
    return Summary(f"{counts.waiting:,} wait{age}; {counts.dead:,} given up.", counts.dead > 0)


def _summarize_scorecards(query: Query) -> Summary:
    cards = read_scorecard(query.systems.database, now=query.now)
    answered, real = int(cards["answered"].sum()), int(cards["true_positives"].sum())
    if not answered:
        return Summary(f"{int(cards['episodes'].sum()):,} episodes in seven days, none answered.")
    share = format_percent(real / answered, 0)
    return Summary(f"{share} of {answered:,} answered episodes were real, in seven days.")


def _summarize_actions(query: Query) -> Summary:
    last = ActionLog(query.systems.database).read(limit=1)
    if not last:
        return Summary("No one has changed anything from a page.")
    ((_, action),) = last
    return Summary(f"Last: {action.action} {action.subject}, by {action.actor}, {format_cell(action.recorded_at)} UTC.")


SUMMARIES: Final[Mapping[str, Callable[[Query], Summary]]] = {
    "runs": _summarize_runs,
    "days": _summarize_days,
    "queues": _summarize_queues,
    "dead-letters": _summarize_letters,
    "replays": _summarize_replays,
    "reconciliations": _summarize_reconciliations,
    "outbox": _summarize_outbox,
    "scorecards": _summarize_scorecards,
    "actions": _summarize_actions,
}
