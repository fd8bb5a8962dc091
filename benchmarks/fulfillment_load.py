"""Load on the pipeline of fulfillment for benchmarks: databases, targets that count, and events at a pace."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.fulfillment_history import make_event
from fillrate_assets.core.errors import SourceUnavailable
from fillrate_assets.fulfillment.accepted_events import AcceptedEvents
from fillrate_assets.fulfillment.effect_store import EffectStore
from fillrate_assets.fulfillment.event_intake import EventIntake
from fillrate_assets.fulfillment.log_port import EffectRequest
from fillrate_assets.fulfillment.rules.event_documents import ReceivedEvent
from fillrate_assets.fulfillment.rules.lifecycles import FUNCTIONS
from fillrate_assets.fulfillment.sources.targets import TargetAnswer
from fillrate_assets.fulfillment.transition_log import TransitionLog
from fillrate_assets.fulfillment.worker import FulfillmentWorker
from fillrate_assets.messaging.dbos_queue import DbosQueue
from fillrate_assets.messaging.jobs import JobSender
from fillrate_assets.storage.database import Database

DAY_SECONDS: Final = 86_400
BATCH: Final = 500
_LONGEST_SECONDS: Final = 3_600


@dataclass
class CountingTarget:
    """A target that answers at once, unless it is down, and notes what it did and when."""

    done_at: dict[str, float] = field(default_factory=dict)
    """By order."""

    works: Counter[str] = field(default_factory=Counter)
    """By effect."""

    attempts: int = 0
    is_down: bool = False

    def request(self, effect: EffectRequest) -> TargetAnswer:
        """Do it."""
        self.attempts += 1
        if self.is_down:
            msg = "down"
            raise SourceUnavailable(msg)
        self.works[effect.effect_id] += 1
        self.done_at[effect.order_id] = time.perf_counter()
        return TargetAnswer()


@contextmanager
def open_databases(url: str | None) -> Iterator[tuple[Database, DbosQueue]]:
    """Open a record store and its queue: a URL's database, or files in a directory of their own."""
    if url is not None:
        with DbosQueue(url) as queue, _migrate(Database(url)).hold_open() as database:
            yield database, queue
        return
    with tempfile.TemporaryDirectory() as made:
        stored = _migrate(Database(f"sqlite:///{Path(made)}/records.db"))
        with DbosQueue(f"sqlite:///{Path(made)}/jobs.db") as queue, stored.hold_open() as database:
            yield database, queue


def make_worker(database: Database, queue: JobSender, targets: dict[str, CountingTarget]) -> FulfillmentWorker:
    """Make a worker over targets that count."""
    intake = EventIntake(queue, AcceptedEvents(database))
    return FulfillmentWorker(TransitionLog(database, "benchmark"), EffectStore(database), intake, targets)


def make_targets() -> dict[str, CountingTarget]:
    """Make the target of each function."""
    return {name: CountingTarget() for name in FUNCTIONS}


def receive(order_id: str, event_type: str = "OrderReceived") -> ReceivedEvent:
    """Make an event as it comes in."""
    return ReceivedEvent(make_event(order_id, event_type))


def pace(intake: EventIntake, events: Sequence[ReceivedEvent], per_second: float, at_once: int = 1) -> dict[str, float]:
    """Send events at a pace, so many at once; return when each was sent, by order."""
    sent: dict[str, float] = {}
    begun = time.perf_counter()
    for start in range(0, len(events), at_once):
        time.sleep(max(0.0, begun + start / per_second - time.perf_counter()))
        batch = events[start : start + at_once]
        sent.update(dict.fromkeys((each.event.order_id for each in batch), time.perf_counter()))
        intake.accept(batch)
    return sent


def describe(what: str, sent: dict[str, float], target: CountingTarget) -> float:
    """Print what events waited from their intake to the request of their effect; return the 99th percentile."""
    waited = sorted(target.done_at[order_id] - since for order_id, since in sent.items())
    p50, p99 = (waited[int(len(waited) * share)] for share in (0.5, 0.99))
    print(f"{what}: p50 {p50:.3f} s, p99 {p99:.3f} s", flush=True)
    return p99


def wait(reached: Callable[[], bool]) -> None:
    """Wait until something holds."""
    give_up = time.monotonic() + _LONGEST_SECONDS
    while not reached():
        if time.monotonic() > give_up:
            msg = f"not reached in {_LONGEST_SECONDS} s"
            raise TimeoutError(msg)
        time.sleep(0.01)


def report(what: str, count: int, seconds: float) -> None:
    """Print a rate."""
    per_second = count / seconds
    day = per_second * DAY_SECONDS / 1e6
    print(f"{what}: {count:,} in {seconds:.1f} s, {per_second:,.0f}/s, {day:.1f} M a day", flush=True)


def _migrate(database: Database) -> Database:
    database.upgrade()
    return database
