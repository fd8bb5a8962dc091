"""What is left of a soak of fulfillment: everything that was accepted is accounted for, and nothing was done twice."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

import sqlalchemy as sa

from fillrate_assets.fulfillment.accepted_events import ACCEPTED_EVENTS
from fillrate_assets.fulfillment.effect_store import EFFECTS
from fillrate_assets.fulfillment.replay import ReplayScope, verify
from fillrate_assets.fulfillment.transition_log import REJECTED_EVENTS, TRANSITIONS
from fillrate_assets.messaging.dbos_queue import DbosQueue
from fillrate_assets.storage.database import Database
from fillrate_assets_tests.soak.fulfillment_processes import CLIENTS, run_client, run_intake, run_worker
from fillrate_assets_tests.soak.place import Findings, Kind, Place, Workload

_LISTED: Final = 100_000


def inspect(place: Place) -> Findings:
    """Compare log, heads, effects, queue, what was acknowledged, and what the targets did."""
    database = Database(place.records)
    with DbosQueue(place.jobs) as queue:
        parked, dead = queue.list_parked(_LISTED), queue.list_dead_letters(_LISTED)
    with database.connect() as connection:

        def read(column: sa.Column[str], *where: sa.ColumnElement[bool]) -> set[str]:
            return set(connection.execute(sa.select(column).where(*where)).scalars())

        accepted, applied = read(ACCEPTED_EVENTS.c.event_id), read(TRANSITIONS.c.event_id)
        rejected, effects = read(REJECTED_EVENTS.c.event_id), read(EFFECTS.c.effect_id)
        done, given_up = (read(EFFECTS.c.effect_id, EFFECTS.c.state == state) for state in ("DONE", "DEAD"))
    waiting = {str(each.job.body["event_id"]) for each in (*parked, *dead) if "event_id" in each.job.body}
    known, acknowledged = applied | rejected | waiting, place.read_acknowledged()
    works = [json.loads(file.read_text()) for file in place.ledger.iterdir() if not file.name.startswith(".")]
    keys = Counter((each["order_id"], each["version"], each["kind"]) for each in works)
    replayed = verify(database, ReplayScope())
    counts = {
        "events acknowledged to clients": len(acknowledged),
        "events accepted": len(accepted),
        "events applied": len(applied),
        "events rejected": len(rejected),
        "jobs parked": len(parked),
        "dead letters": len(dead),
        "effects": len(effects),
        "effects done": len(done),
        "works of targets": len(works),
        "orders and parties": replayed.orders,
    }
    wrong = {
        "acknowledged and lost": len(acknowledged - known),
        "accepted and lost": len(accepted - known),
        "acknowledged and not known as accepted": len(acknowledged - accepted),
        "effects neither done nor given up": len(effects - done - given_up),
        "effects marked as done that no target did": len(done) - sum(_count_works(works, done)),
        "works done twice": sum(count - 1 for count in keys.values()),
        "works that no effect requested": sum(1 for each in works if _name(each) not in effects),
        "heads and lines that the log does not explain": replayed.differing,
    }
    return Findings(counts, wrong)


def _count_works(works: list[dict[str, object]], done: set[str]) -> Iterator[bool]:
    return (_name(each) in done for each in works)


def _name(work: Mapping[str, object]) -> str:
    return f"{work['order_id']}:{work['version']}:{work['kind']}"


def _prepare(place: Place) -> None:
    place.ledger.mkdir()


def _count_left(place: Place) -> int:
    with DbosQueue(place.jobs) as queue:
        return queue.count_unfinished()


FULFILLMENT: Final = Workload(
    {
        "worker": Kind(run_worker, 2, 6),
        "intake": Kind(run_intake, 1, 3),
        "client": Kind(run_client, CLIENTS, 2, is_client=True),
    },
    _prepare,
    _count_left,
    inspect,
)
