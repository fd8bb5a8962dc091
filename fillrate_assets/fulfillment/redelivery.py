"""Replay towards the queues: events of the log are enqueued again, and named effects are requested again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC
from typing import Any, Final

import sqlalchemy as sa

from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.fulfillment.effect_store import EFFECTS
from fillrate_assets.fulfillment.event_intake import EVENT_QUEUE, list_ids
from fillrate_assets.fulfillment.interventions import Intervention
from fillrate_assets.fulfillment.replay import ReplayScope
from fillrate_assets.fulfillment.rules.event_documents import dump_event
from fillrate_assets.fulfillment.rules.events import Event
from fillrate_assets.fulfillment.transition_log import TRANSITIONS
from fillrate_assets.messaging import telemetry
from fillrate_assets.messaging.job_ids import JobIds
from fillrate_assets.messaging.jobs import REPLAYED, Job, JobSender
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.sql import split_binds
from fillrate_assets.storage.sql_types import to_stored

_SYSTEM: Final = "transition log"
_BATCH: Final = 500
_EVENT: Final = (
    *("event_id", "schema_version", "order_id", "dc", "ship_date", "occurred_at", "source"),
    *("causation_id", "correlation_id"),
)


def redeliver(
    database: Database,
    queue: JobSender,
    scope: ReplayScope,
    intervention: Intervention,
    *,
    progress: Callable[[int], None] = lambda _events: None,
) -> int:
    """Enqueue the events of orders again, from the first on; return how many.

    Each is known, so it changes nothing: effects of it that are not done are requested again, under their ids. What is
    enqueued goes behind what else waits.

    Args:
        database: the record store.
        queue: where events wait.
        scope: whose events.
        intervention: who does it, and why.
        progress: gets the number of events so far.

    Raises:
        SourceUnavailable: a database did not answer; some are enqueued.

    """
    columns = [TRANSITIONS.c[name] for name in (*_EVENT, "event_type", "payload", "version")]
    chosen = sa.select(*columns).order_by(TRANSITIONS.c.order_id, TRANSITIONS.c.version)
    if (orders := scope.select_orders()) is not None:
        chosen = chosen.where(TRANSITIONS.c.order_id.in_(orders))
    ids, sent = JobIds(), 0
    with database.connect(_SYSTEM) as connection:
        for rows in connection.execution_options(yield_per=_BATCH).execute(chosen).partitions():
            with database.begin(_SYSTEM, durable=True) as recording:
                # Before they are enqueued: what was done is never without a trace.
                intervention.insert(recording, [(row.order_id, row.order_id) for row in rows if row.version == 1])
            queue.enqueue([_make_job(row, ids) for row in rows])
            sent += len(rows)
            progress(sent)
    return sent


def refire(
    database: Database,
    queue: JobSender,
    effect_ids: Sequence[str],
    intervention: Intervention,
    *,
    new_generation: bool = False,
) -> list[str]:
    """Request effects again of their targets, also those that are done; return the ids that they get.

    Args:
        database: the record store.
        queue: where effects wait.
        effect_ids: which.
        intervention: who does it, why, and who approved it.
        new_generation: whether they get new ids, so that a target does again what it has done.

    Raises:
        PermanentFailure: there is no such effect, or it was approved by the one who does it; nothing is requested.
        SourceUnavailable: a database did not answer; try again.

    """
    if not intervention.approver or intervention.approver == intervention.actor:
        msg = "effects are requested again with the approval of another person"
        raise PermanentFailure(msg)
    wanted = [*dict.fromkeys(effect_ids)]
    with database.begin(_SYSTEM, durable=True) as connection:
        found = {row.effect_id: row for row in _select_effects(connection, wanted)}
        if missing := [each for each in wanted if each not in found]:
            msg = f"there is no such effect: {', '.join(missing)}"
            raise PermanentFailure(msg)
        reopen = _start_generation if new_generation else _reopen
        fired = [(reopen(connection, found[each], intervention), found[each]) for each in wanted]
        intervention.insert(connection, [(effect_id, row.order_id) for effect_id, row in fired])
    ids = JobIds()
    # Not the effect's id, as its first job has: the queue may still know that as done.
    contexts = [telemetry.make_context(effect_id=effect_id, order_id=row.order_id) for effect_id, row in fired]
    queue.enqueue(
        [
            Job(f"{effect_id}:{ids.make()}", row.function, {"effect_id": effect_id}, context=context)
            for (effect_id, row), context in zip(fired, contexts, strict=True)
        ]
    )
    return [effect_id for effect_id, _ in fired]


def _make_job(row: sa.Row[Any], ids: JobIds) -> Job:
    named = {name: getattr(row, name) for name in _EVENT}
    named["occurred_at"] = named["occurred_at"].replace(tzinfo=UTC)
    event = Event(**named, type=row.event_type, payload=json.loads(row.payload))
    context = telemetry.make_context(**list_ids(event))
    body = dump_event(event)
    return Job(ids.make(), EVENT_QUEUE, body, partition=event.order_id, priority=REPLAYED, context=context)


def _select_effects(connection: sa.Connection, effect_ids: Sequence[str]) -> Iterator[sa.Row[Any]]:
    for part in split_binds(effect_ids):
        yield from connection.execute(sa.select(EFFECTS).where(EFFECTS.c.effect_id.in_(part)))


def _reopen(connection: sa.Connection, row: sa.Row[Any], _intervention: Intervention) -> str:
    mine = EFFECTS.c.effect_id == row.effect_id
    connection.execute(EFFECTS.update().where(mine).values(state="PENDING", done_at=None))
    return str(row.effect_id)


def _start_generation(connection: sa.Connection, row: sa.Row[Any], intervention: Intervention) -> str:
    """Store an effect anew, under the id of its kind with the next number behind it."""
    of_kind = (EFFECTS.c.order_id == row.order_id) & (EFFECTS.c.version == row.version) & (EFFECTS.c.kind == row.kind)
    there = connection.execute(sa.select(sa.func.count()).where(of_kind)).scalar_one()
    effect_id = f"{row.order_id}:{row.version}:{row.kind}:{there + 1}"
    names = ("order_id", "version", "kind", "function", "dc", "request")
    fresh = {"effect_id": effect_id, "state": "PENDING", "attempts": 0, "created_at": to_stored(intervention.now)}
    connection.execute(EFFECTS.insert(), {**{name: getattr(row, name) for name in names}, **fresh})
    return effect_id
