"""The tables of operations: what each shows, and what it is read from.

How something is read belongs to the reports and stores of the areas, how a table is shown to the templates.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final

from fillrate_assets.buffers.report.scorecards import read_scorecard
from fillrate_assets.core.decimals import format_percent
from fillrate_assets.core.runbooks import name_runbook
from fillrate_assets.fillrate.report.uncertain_days import read_uncertain_days
from fillrate_assets.fulfillment import pipeline_store
from fillrate_assets.fulfillment.interventions import read_interventions
from fillrate_assets.fulfillment.replay import ReplayResult, ReplayScope, verify
from fillrate_assets.fulfillment.rules import alarms as order_alarms
from fillrate_assets.inventory.report import sync_report
from fillrate_assets.inventory.rules import sync_alarms
from fillrate_assets.messaging.jobs import StoredJob
from fillrate_assets.notifications.outbox_admin import list_unsent
from fillrate_assets.storage.action_log import ActionLog
from fillrate_assets.web.operations.query import Query, name
from fillrate_assets.web.operations.stock_tables import read_copies, read_findings, read_left_to_people, read_rounds
from fillrate_assets.web.operations.systems import NotConfiguredError
from fillrate_assets.web.tables import Cell, Table

DAY: Final = timedelta(days=1)
_MONTH: Final = timedelta(days=30)
_MAX_BODY: Final = 50_000
"""Characters of a body that are shown."""

LATELY: Final = timedelta(minutes=5)
"""Over which the lag of events and of changes of stock counts."""


def read_runs(query: Query) -> Table:
    """Read the runs of the last day."""
    rows = [
        (each.created_at, each.job, each.partition, name(each.status), each.took, query.link_run(each.run_id))
        for each in query.systems.runs.read_runs(query.now - DAY, **query.window)
    ]
    headings = ["Created (UTC)", "Job", "Of", "State", "Took", "Run"]
    return Table.of_page(headings, rows, "No run was created in the last day.", query.paging)


def read_instigators(query: Query) -> Table:
    """Read the schedules and sensors, with their last tick."""
    rows: list[list[Cell]] = []
    for each in query.systems.runs.read_instigators(query.now - DAY):
        last = each.last
        ended = [None, "", None] if last is None else [last.at, last.status.lower(), last.took]
        rows.append([each.name, each.kind, "on" if each.running else "off", *ended, each.ticks, len(each.failed)])
    headings = ["Name", "Kind", "State", "Last tick (UTC)", "Result", "Took", "Ticks", "Failed"]
    return Table(headings, rows, "No schedule or sensor was ever started: Dagster's daemon does so.")


def read_failed_ticks(query: Query) -> Table:
    """Read the ticks of the last day that failed."""
    failed = [tick for each in query.systems.runs.read_instigators(query.now - DAY) for tick in each.failed]
    failed.sort(key=lambda tick: tick.at, reverse=True)
    rows = [(tick.at, tick.name, tick.reason) for tick in failed[query.paging.offset :][: query.paging.limit]]
    return Table.of_page(["Time (UTC)", "Name", "Why"], rows, "No tick failed in the last day.", query.paging)


def read_days(query: Query) -> Table:
    """Read the held and the doubtful days."""
    rows = [
        (
            each.dc,
            each.ship_date,
            "held" if each.held else "doubtful",
            each.reason,
            each.records,
            each.written_at,
            query.link_run(each.run_id),
        )
        for each in read_uncertain_days(query.systems.database, **query.window)
    ]
    headings = ["DC", "Ship date", "State", "Why", "Records in force", "Since (UTC)", "Run"]
    return Table.of_page(headings, rows, "No day is held or doubtful.", query.paging)


def read_queues(query: Query) -> Table:
    """Read how much waits in each queue, and since when."""
    queues = query.systems.open_queues()
    waiting, oldest = queues.queue.count_waiting(), queues.find_oldest() if queues.find_oldest else {}
    rows: list[list[Cell]] = []
    for queue in sorted({*waiting, *oldest}, key=lambda each: (queues.find_area(each), each)):
        since = oldest.get(queue)
        rows.append([queues.find_area(queue), queue, waiting.get(queue, 0), since, since and query.now - since])
    put_off = queues.queue.count_unfinished() - sum(waiting.values())
    note = f"Put off until later: {put_off:,}. Parked until they are released: {queues.queue.count_parked():,}."
    return Table(["Area", "Queue", "Due", "Oldest (UTC)", "Age"], rows, "No job is due.", note)


def read_alarms(query: Query) -> Table:
    """Read what is wrong with orders and with copies of stock, as their alarms say it."""
    found = {**_find_order_alarms(query), **_find_stock_alarms(query)}
    rows = [(name(alarm), text, name_runbook(alarm)) for alarm, text in found.items()]
    return Table(["Alarm", "What is wrong", "Runbook"], rows, "Nothing is wrong.")


def _find_order_alarms(query: Query) -> Mapping[str, str]:
    systems, now = query.systems, query.now
    if systems.log_elsewhere:
        return {}
    status = pipeline_store.read_status(
        systems.database, systems.open_queues().queue, systems.limits.longest_in_state, since=now - LATELY, now=now
    )
    return order_alarms.find_alarms(status, systems.limits, now=now)


def _find_stock_alarms(query: Query) -> Mapping[str, str]:
    queues, now = query.systems.open_queues(), query.now
    if queues.find_oldest is None:
        return {}
    sync = sync_report.read_sync(query.systems.database, queues.queue, queues.find_oldest, now=now, window=LATELY)
    return sync_alarms.find_alarms(sync, now=now)


def read_effects(query: Query) -> Table:
    """Read what effects that are not done failed of."""
    if query.systems.log_elsewhere:
        raise NotConfiguredError(query.systems.log_elsewhere)
    failures = pipeline_store.read_failures(query.systems.database)
    rows = [(each.function, each.effects, each.failure) for each in failures]
    return Table(["Function", "Effects", "Why the last attempt failed"], rows, "No effect that is not done has failed.")


def read_letters(query: Query) -> Table:
    """Read the dead letters of every area, oldest first."""
    queues, paging = query.systems.open_queues(), query.paging
    listed = queues.queue.list_dead_letters(paging.offset + paging.limit)[paging.offset :]
    rows = [
        (
            query.link(each.job.job_id, "dead-letter", job=each.job.job_id),
            queues.find_area(each.job.queue),
            each.job.queue,
            each.since,
            query.now - each.since,
            each.job.attempts,
            each.reason,
        )
        for each in listed
    ]
    headings = ["Job", "Area", "Queue", "Given up (UTC)", "Age", "Attempts", "Why"]
    return Table.of_page(headings, rows, "There are no dead letters.", paging)


def describe_letter(found: StoredJob, area: str) -> dict[str, Cell]:
    """Describe a dead letter by name."""
    job = found.job
    return {
        "Area": area,
        "Queue": job.queue,
        "Given up (UTC)": found.since,
        "First failed": job.first_failed_at,
        "Attempts": job.attempts,
        "Release": found.code_version,
        "Source": found.source,
        "Error": found.error,
        "Why": found.reason,
    }


def dump_body(found: StoredJob) -> str:
    """Return what a dead letter has to do, as JSON, or the message as it came."""
    came = found.body if not found.is_job else None
    text = json.dumps(dict(found.job.body), indent=2, ensure_ascii=False) if came is None else came
    return text if len(text) <= _MAX_BODY else f"{text[:_MAX_BODY]}\n... {len(text) - _MAX_BODY:,} characters more"


def read_parked(query: Query) -> Table:
    """Read the jobs that wait until they are released, oldest first."""
    paging = query.paging
    listed = query.systems.open_queues().queue.list_parked(paging.offset + paging.limit)[paging.offset :]
    rows = [(each.job.job_id, each.job.queue, each.since, query.now - each.since, each.reason) for each in listed]
    return Table.of_page(["Job", "Queue", "Parked (UTC)", "Age", "Why"], rows, "No job is parked.", paging)


def read_replays(query: Query) -> Table:
    """Read what people had done to orders in the last month: replays, redeliveries, effects requested again."""
    if query.systems.log_elsewhere:
        raise NotConfiguredError(query.systems.log_elsewhere)
    rows = [
        (
            row.recorded_at.replace(tzinfo=query.now.tzinfo),
            row.action.lower(),
            row.subjects,
            row.first_subject,
            row.actor,
            row.approver,
            row.reason,
        )
        for row in read_interventions(query.systems.database, query.now - _MONTH, **query.window)
    ]
    headings = ["Time (UTC)", "What", "Orders", "First", "By", "Approved by", "Why"]
    return Table.of_page(headings, rows, "No order was replayed in the last 30 days.", query.paging)


def read_verification(query: Query) -> Table:
    """Fold what happened to an order, and compare it with its state."""
    if query.systems.log_elsewhere:
        raise NotConfiguredError(query.systems.log_elsewhere)
    result = verify(query.systems.database, ReplayScope(order_id=query.order)) if query.order else ReplayResult()
    found = "; ".join(result.problems) or "as its events say"
    rows = [(query.order, result.events, found)] if result.events else []
    nothing = f"There is no event of {query.order}." if query.order else "Name an order below to verify it."
    return Table(["Order", "Events", "Its state"], rows, nothing)


def read_outbox(query: Query) -> Table:
    """Read the messages that wait and those that were given up, oldest first."""
    rows = [
        (
            query.link(each.message_id, "message", id=each.message_id),
            each.queue,
            each.channel,
            each.created_at,
            query.now - each.created_at,
            "given up" if each.next_attempt_at is None else "waits",
            each.attempts,
            each.subject,
            each.failure,
        )
        for each in list_unsent(query.systems.database, limit=query.paging.limit, offset=query.paging.offset)
    ]
    headings = ["Message", "Queue", "Channel", "Written (UTC)", "Age", "State", "Attempts", "Subject", "Last failure"]
    return Table.of_page(headings, rows, "Every message is sent.", query.paging)


def read_scorecards(query: Query) -> Table:
    """Read how right the alerts of the last seven days were."""
    cards = read_scorecard(query.systems.database, now=query.now)
    shares = ("detection_precision", "action_precision", "recall", "response_rate")
    counts = ("episodes", "answered", "true_positives", "false_positives", "wrong_actions", "missed")
    rows = [
        (
            *(row[each] for each in ("warehouse", "unit_type", "policy_version", *counts)),
            *(format_percent(row[each], 0) for each in shares),
        )
        for row in cards.iter_rows(named=True)
    ]
    headings = ["Warehouse", "Unit type", "Policy", "Episodes", "Answered", "Real", "False", "Wrong action", "Missed"]
    named = ["Precision", "Right action", "Recall", "Response"]
    paging = query.paging
    shown = rows[paging.offset :][: paging.limit]
    return Table.of_page([*headings, *named], shown, "No alert was sent in the last seven days.", paging)


def read_actions(query: Query) -> Table:
    """Read what people did from pages, latest first."""
    paging = query.paging
    listed = ActionLog(query.systems.database).read(limit=paging.offset + paging.limit)[paging.offset :]
    rows = [
        (
            each.recorded_at,
            each.actor,
            each.named_by,
            each.action,
            each.subject,
            "; ".join(f"{key}: {value}" for key, value in each.details.items()),
        )
        for _, each in listed
    ]
    headings = ["Time (UTC)", "Who", "Named by", "What", "About", "Details"]
    return Table.of_page(headings, rows, "No one has changed anything from a page.", paging)


TABLES: Final[Mapping[str, tuple[str, Callable[[Query], Table]]]] = {
    "runs": ("Runs of the last day", read_runs),
    "instigators": ("Schedules and sensors", read_instigators),
    "failed-ticks": ("Ticks that failed", read_failed_ticks),
    "days": ("Held and doubtful days", read_days),
    "alarms": ("What is wrong now", read_alarms),
    "queues": ("What waits", read_queues),
    "effects": ("Effects that fail", read_effects),
    "copies": ("Changes of stock to the DCs, in the last hour", read_copies),
    "dead-letters": ("Dead letters", read_letters),
    "parked": ("Parked jobs", read_parked),
    "verification": ("Verification of an order", read_verification),
    "replays": ("Replays of the last 30 days", read_replays),
    "left-to-people": ("Left to people", read_left_to_people),
    "findings": ("Differences of the latest comparison", read_findings),
    "comparisons": ("Comparisons", read_rounds),
    "outbox": ("Messages that are not sent", read_outbox),
    "scorecards": ("How right the alerts were, in the last seven days", read_scorecards),
    "actions": ("What people did from pages", read_actions),
}
"""Title of each table, and what reads it, by its name in URLs."""

VIEWS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "runs": ("Runs and ticks", ("runs", "failed-ticks", "instigators")),
    "days": ("Held days", ("days",)),
    "queues": ("Queues", ("alarms", "queues", "effects", "copies")),
    "dead-letters": ("Dead letters", ("dead-letters", "parked")),
    "replays": ("Replays", ("verification", "replays")),
    "reconciliations": ("Reconciliations", ("left-to-people", "findings", "comparisons")),
    "outbox": ("Outbox", ("outbox",)),
    "scorecards": ("Scorecards", ("scorecards",)),
    "actions": ("Actions", ("actions",)),
}
"""Title of each view, and its tables, by its name in URLs."""
