"""Events through the worker, beside a loop made by hand, bare jobs of the engine and bare inserts of the same rows.

    python -m benchmarks.fulfillment                           # SQLite, in a directory of its own
    python -m benchmarks.fulfillment --url postgresql+psycopg://user:password@host/database
    python -m benchmarks.fulfillment --seconds 120 --burst 60  # longer at a steady pace, and a burst of a minute

A job is an event that is applied, or an effect that is requested; each event here is two. First so many events wait,
and are drained as fast as it goes: by a loop over a table of jobs, then by the worker. Then events come at a steady
pace: the latency is from the intake of an event to the request of its effect. At last ten times as many come for a
while. Targets answer at once. An empty database is left with the tables in it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from benchmarks import fulfillment_load as load
from benchmarks.fulfillment_history import NOW, make_event
from fillrate_assets.fulfillment.rules.lifecycles import FUNCTIONS
from fillrate_assets.fulfillment.transition_log import TRANSITIONS
from fillrate_assets.fulfillment.worker import FulfillmentWorker, build_queues
from fillrate_assets.messaging.dbos_engine import DbosWorker
from fillrate_assets.messaging.dbos_queue import DbosQueue
from fillrate_assets.messaging.jobs import Done, Job, QueueOptions, Result
from fillrate_assets.storage.database import Database

_TIMES: Final = 10
_FETCHED: Final = 100


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--events", type=int, default=1_000, help="events that wait at first (default: 1000)")
    parser.add_argument("--pace", type=float, default=29, help="events a second afterwards (default: 29)")
    parser.add_argument("--seconds", type=int, default=20, help="for how long (default: 20)")
    parser.add_argument("--burst", type=int, default=10, help="seconds of ten times that pace (default: 10)")
    parser.add_argument("--url", help="an empty database; default: SQLite in a directory of its own")
    arguments = parser.parse_args()
    with load.open_databases(arguments.url) as (database, queue):
        load.report("bare inserts", arguments.events, _insert_bare(database, arguments.events))
        load.report("loop made by hand, jobs", 2 * arguments.events, _run_loop(database, arguments.events))
        load.report("bare jobs", arguments.events, _run_bare(queue, arguments.events))
        _run_worker(database, queue, arguments)


def _run_worker(database: Database, queue: DbosQueue, arguments: argparse.Namespace) -> None:
    targets = load.make_targets()
    worker = load.make_worker(database, queue, targets)
    orders = targets["order"]
    waiting = [load.receive(f"waiting {number}") for number in range(arguments.events)]
    begun = time.perf_counter()
    for start in range(0, len(waiting), load.BATCH):
        worker.intake.accept(waiting[start : start + load.BATCH])
    load.report("accepted", len(waiting), time.perf_counter() - begun)
    with DbosWorker(queue, build_queues(FUNCTIONS, {}, {}), worker.handlers):
        begun = time.perf_counter()
        load.wait(lambda: len(orders.done_at) == len(waiting))
        load.report("drained, jobs", 2 * len(waiting), time.perf_counter() - begun)
        paced = [load.receive(f"paced {number}") for number in range(int(arguments.pace * arguments.seconds))]
        sent = load.pace(worker.intake, paced, arguments.pace)
        load.wait(lambda: sent.keys() <= orders.done_at.keys())
        load.describe(f"{arguments.pace:g} events/s for {arguments.seconds} s", sent, orders)
        _send_burst(worker, orders, _TIMES * arguments.pace, arguments.burst)
    print(f"works done twice: {sum(count - 1 for count in orders.works.values())}")


def _send_burst(worker: FulfillmentWorker, orders: load.CountingTarget, per_second: float, seconds: int) -> None:
    burst = [load.receive(f"burst {number}") for number in range(int(per_second * seconds))]
    begun = time.perf_counter()
    sent = load.pace(worker.intake, burst, per_second, at_once=_TIMES)
    took = time.perf_counter() - begun
    left = len(sent.keys() - orders.done_at.keys())
    load.wait(lambda: sent.keys() <= orders.done_at.keys())
    drained = time.perf_counter() - begun - took
    print(
        f"burst of {per_second:g} events/s for {seconds} s: taken in {took:.1f} s, {left:,} left then,"
        f" drained {drained:.1f} s later",
        flush=True,
    )


def _insert_bare(database: Database, events: int) -> float:
    """Return the seconds in which the same transitions are inserted, one transaction for each."""
    rows = [_make_row(f"bare {number}") for number in range(events)]
    begun, insert = time.perf_counter(), TRANSITIONS.insert().inline()
    for row in rows:
        with database.begin(durable=True) as connection:
            connection.execute(insert, row)
    return time.perf_counter() - begun


def _make_row(order_id: str) -> dict[str, object]:
    event, moment = make_event(order_id), NOW.replace(tzinfo=None)
    names = ("event_id", "schema_version", "order_id", "dc", "ship_date", "source", "payload_sha256")
    return {
        **{name: getattr(event, name) for name in names},
        "machine": "order",
        "from_state": "NOTHING",
        "to_state": "RECEIVED",
        "version": 1,
        "event_type": event.type,
        "payload": str(event.payload),
        "actor": "benchmark",
        "code_version": "benchmark",
        "occurred_at": moment,
        "recorded_at": moment,
    }


def _run_bare(queue: DbosQueue, jobs: int) -> float:
    """Return the seconds in which jobs without any work are drained."""
    done: list[str] = []

    def run(job: Job) -> Result:
        done.append(job.job_id)
        return Done()

    queue.enqueue([Job(f"bare {number:09}", "bare", partition=str(number)) for number in range(jobs)])
    with DbosWorker(queue, [QueueOptions("bare", concurrency=64, ordered=True)], {"bare": run}):
        begun = time.perf_counter()
        load.wait(lambda: len(done) == jobs)
        return time.perf_counter() - begun


@dataclass(frozen=True)
class HandMadeQueue:
    """A table of jobs that one loop works off: no delay, no retry, no limit, no second worker."""

    database: Database
    jobs: sa.Table

    def enqueue(self, jobs: Sequence[Job]) -> None:
        """Insert jobs."""
        with self.database.begin(durable=True) as connection:
            connection.execute(self.jobs.insert(), [{"body": job.dump()} for job in jobs])

    def count_waiting(self) -> dict[str, int]:
        """Count none."""
        return {}

    def drain(self, worker: FulfillmentWorker) -> None:
        """Run every job, one after another, and delete it."""
        fetch, delete = sa.select(self.jobs).order_by(self.jobs.c.number).limit(_FETCHED), self.jobs.delete()
        mine = delete.where(self.jobs.c.number == sa.bindparam("done"))
        while found := self._fetch(fetch):
            for number, body in found:
                job = Job.load(body)
                result = worker.handlers[job.queue](job)
                if isinstance(result, Done) and result.following:
                    self.enqueue(result.following)
                with self.database.begin(durable=True) as connection:
                    connection.execute(mine, {"done": number})

    def _fetch(self, fetch: sa.Select[int, str]) -> list[tuple[int, str]]:
        with self.database.connect() as connection:
            return [(number, body) for number, body in connection.execute(fetch)]


def _run_loop(database: Database, events: int) -> float:
    """Return the seconds in which a loop made by hand applies events and requests their effects."""
    metadata = sa.MetaData()
    number = sa.Column("number", sa.Integer, sa.Identity(), primary_key=True)
    queue = HandMadeQueue(database, sa.Table("hand_made_jobs", metadata, number, sa.Column("body", sa.Text)))
    metadata.create_all(database.engine)
    worker = load.make_worker(database, queue, load.make_targets())
    worker.intake.accept([load.receive(f"by hand {each}") for each in range(events)])
    begun = time.perf_counter()
    queue.drain(worker)
    seconds = time.perf_counter() - begun
    metadata.drop_all(database.engine)
    return seconds


if __name__ == "__main__":
    main()
