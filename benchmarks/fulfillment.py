"""Events through the worker, beside bare jobs of the same engine and a bare insert of the same transitions.

    python -m benchmarks.fulfillment                           # SQLite, in a directory of its own
    python -m benchmarks.fulfillment --url postgresql+psycopg://user:password@host/database
    python -m benchmarks.fulfillment --logged 100000           # with so many events in the log before

A job is an event that is applied, or an effect that is requested. First so many events wait, and are drained as fast as
it goes. Then events come at a steady pace: the latency is from the intake of an event to the request of its effect.
Targets answer at once and report nothing. At last the target of half of the events is gone: what the others wait for,
with it and without it, is compared, and its backlog is drained. An empty database is left with the tables in it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

from fillrate_assets.core.errors import SourceUnavailable
from fillrate_assets.fulfillment.accepted_events import AcceptedEvents
from fillrate_assets.fulfillment.effect_store import EffectStore
from fillrate_assets.fulfillment.event_intake import EventIntake
from fillrate_assets.fulfillment.log_port import EffectRequest
from fillrate_assets.fulfillment.rules.event_documents import ReceivedEvent
from fillrate_assets.fulfillment.rules.events import Event, compute_event_id
from fillrate_assets.fulfillment.rules.lifecycles import FUNCTIONS
from fillrate_assets.fulfillment.sources.targets import TargetAnswer
from fillrate_assets.fulfillment.transition_log import TRANSITIONS, TransitionLog
from fillrate_assets.fulfillment.worker import FulfillmentWorker, build_queues
from fillrate_assets.messaging.dbos_engine import DbosWorker
from fillrate_assets.messaging.dbos_queue import DbosQueue
from fillrate_assets.messaging.jobs import Done, Job, QueueOptions, Result
from fillrate_assets.storage.database import Database

NOW: Final = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY_SECONDS: Final = 86_400
BATCH: Final = 500


@dataclass
class CountingTarget:
    """A target that answers at once, unless it is down, and notes when it was requested."""

    requested_at: dict[str, float] = field(default_factory=dict)
    is_down: bool = False

    def request(self, effect: EffectRequest) -> TargetAnswer:
        """Note the request."""
        if self.is_down:
            msg = "down"
            raise SourceUnavailable(msg)
        self.requested_at[effect.order_id] = time.perf_counter()
        return TargetAnswer()


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--events", type=int, default=1_000, help="events that wait at first (default: 1000)")
    parser.add_argument("--pace", type=float, default=29, help="events a second afterwards (default: 29)")
    parser.add_argument("--seconds", type=int, default=20, help="for how long (default: 20)")
    parser.add_argument("--logged", type=int, default=0, help="events in the log before (default: 0)")
    parser.add_argument("--url", help="an empty database; default: SQLite in a directory of its own")
    arguments = parser.parse_args()
    with _open_databases(arguments.url) as (database, queue):
        database.upgrade()
        with database.hold_open() as held:
            _fill(held, arguments.logged)
            _report("bare inserts", arguments.events, _insert_bare(held, arguments.events))
            _report("bare jobs", arguments.events, _run_bare(queue, arguments.events))
            _run_worker(held, queue, arguments)


@contextmanager
def _open_databases(url: str | None) -> Iterator[tuple[Database, DbosQueue]]:
    if url is not None:
        with DbosQueue(url) as queue:
            yield Database(url), queue
        return
    with tempfile.TemporaryDirectory() as directory, DbosQueue(f"sqlite:///{Path(directory)}/jobs.db") as queue:
        yield Database(f"sqlite:///{Path(directory)}/records.db"), queue


def _run_worker(database: Database, queue: DbosQueue, arguments: argparse.Namespace) -> None:
    intake = EventIntake(queue, AcceptedEvents(database))
    targets = {name: CountingTarget() for name in FUNCTIONS}
    worker = FulfillmentWorker(TransitionLog(database, "benchmark"), EffectStore(database), intake, targets)
    waiting = [_make_event(f"waiting {number}") for number in range(arguments.events)]
    begun = time.perf_counter()
    for start in range(0, len(waiting), BATCH):
        intake.accept(waiting[start : start + BATCH])
    _report("accepted", len(waiting), time.perf_counter() - begun)
    orders, parties = targets["order"], targets["onboarding"]
    with DbosWorker(queue, build_queues(FUNCTIONS, {}, {}), worker.handlers):
        begun = time.perf_counter()
        _wait(lambda: len(orders.requested_at) == len(waiting))
        # Each event is two jobs.
        _report("drained, jobs", 2 * len(waiting), time.perf_counter() - begun)
        pace, seconds = arguments.pace, arguments.seconds
        sent = _pace(intake, "paced", pace, seconds)
        _wait(lambda: set(sent) <= set(orders.requested_at))
        _describe(f"{pace:g} events/s for {seconds} s", sent, orders)
        for name, is_down in (("beside one that works", False), ("beside one that is down", True)):
            orders.is_down = is_down
            sent = _pace(intake, name, pace, seconds, with_parties=True)
            of_others = {order_id: since for order_id, since in sent.items() if order_id.startswith("party")}
            _wait(lambda: set(of_others) <= set(parties.requested_at))  # noqa: B023 - called at once
            _describe(f"others {name}", of_others, parties)
        orders.is_down, begun = False, time.perf_counter()
        left = set(sent) - set(of_others) - set(orders.requested_at)
        _wait(lambda: left <= set(orders.requested_at))
        _report("drained after it was down", len(left), time.perf_counter() - begun)


def _pace(intake: EventIntake, name: str, pace: float, seconds: int, *, with_parties: bool = False) -> dict[str, float]:
    """Send events at a pace; return when each was sent. Every other one may be about a party."""
    sent: dict[str, float] = {}
    begun = time.perf_counter()
    for number in range(int(pace * seconds)):
        time.sleep(max(0.0, begun + number / pace - time.perf_counter()))
        of_party = with_parties and number % 2 == 0
        order_id = f"{'party' if of_party else 'order'} {name} {number}"
        sent[order_id] = time.perf_counter()
        intake.accept([_make_event(order_id, "OnboardingRequested" if of_party else "OrderReceived")])
    return sent


def _describe(what: str, sent: dict[str, float], target: CountingTarget) -> None:
    waited = sorted(target.requested_at[order_id] - since for order_id, since in sent.items())
    p50, p99 = (waited[int(len(waited) * share)] for share in (0.5, 0.99))
    print(f"{what}: p50 {p50:.3f} s, p99 {p99:.3f} s")


def _run_bare(queue: DbosQueue, jobs: int) -> float:
    """Return the seconds in which jobs without any work are drained."""
    done: list[str] = []

    def run(job: Job) -> Result:
        done.append(job.job_id)
        return Done()

    queue.enqueue([Job(f"bare {number:09}", "bare", partition=str(number)) for number in range(jobs)])
    with DbosWorker(queue, [QueueOptions("bare", concurrency=64, ordered=True)], {"bare": run}):
        begun = time.perf_counter()
        _wait(lambda: len(done) == jobs)
        return time.perf_counter() - begun


def _insert_bare(database: Database, events: int) -> float:
    """Return the seconds in which the same transitions are inserted, one transaction for each."""
    rows = [_make_row(f"bare {number}") for number in range(events)]
    begun = time.perf_counter()
    for row in rows:
        with database.begin(durable=True) as connection:
            connection.execute(TRANSITIONS.insert().values(**row).inline())
    return time.perf_counter() - begun


def _fill(database: Database, events: int) -> None:
    for start in range(0, events, BATCH):
        rows = [_make_row(f"logged {number}") for number in range(start, min(start + BATCH, events))]
        with database.begin() as connection:
            connection.execute(TRANSITIONS.insert(), rows)


def _make_event(order_id: str, event_type: str = "OrderReceived") -> ReceivedEvent:
    event_id = compute_event_id("benchmark", order_id, event_type, "1")
    lines = [{"line_no": number, "item": f"ITEM{number}", "cases": "12.5"} for number in range(5)]
    event = Event(event_id, event_type, 1, order_id, "DC01", date(2026, 3, 3), NOW, "benchmark")
    return ReceivedEvent(Event(**{**vars(event), "payload": {"customer": "C1", "lines": lines}}))


def _make_row(order_id: str) -> dict[str, object]:
    event = _make_event(order_id).event
    same = {
        name: getattr(event, name) for name in ("event_id", "schema_version", "order_id", "dc", "ship_date", "source")
    }
    states = {"machine": "order", "from_state": "NOTHING", "to_state": "RECEIVED", "version": 1}
    moment = NOW.replace(tzinfo=None)
    return {
        **same,
        **states,
        "event_type": event.type,
        "payload": str(event.payload),
        "payload_sha256": event.payload_sha256,
        "actor": "benchmark",
        "code_version": "benchmark",
        "occurred_at": moment,
        "recorded_at": moment,
    }


def _wait(reached: Callable[[], bool]) -> None:
    while not reached():
        time.sleep(0.01)


def _report(what: str, count: int, seconds: float) -> None:
    per_second = count / seconds
    print(f"{what}: {count:,} in {seconds:.1f} s, {per_second:,.0f}/s, {per_second * DAY_SECONDS / 1e6:.1f} M a day")


if __name__ == "__main__":
    main()
