"""Cost of an event in a log of 1,000 to 1,000,000 events, and of a replay of the largest.

    python -m benchmarks.fulfillment_growth                    # SQLite, in a directory of its own
    python -m benchmarks.fulfillment_growth --url postgresql+psycopg://user:password@host/database --sizes 1000 100000

An event is taken in, applied, and its effects are requested of a target that answers at once; 8 events make an order.
The queue is left out: what is done is deleted there, so it does not grow. An empty database is left with the log in it.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Final

from benchmarks.fulfillment_history import NOW, WAY, fill, make_event
from fillrate_assets.fulfillment.accepted_events import AcceptedEvents
from fillrate_assets.fulfillment.effect_store import EffectStore
from fillrate_assets.fulfillment.event_intake import EventIntake
from fillrate_assets.fulfillment.interventions import Intervention
from fillrate_assets.fulfillment.log_port import EffectRequest
from fillrate_assets.fulfillment.pipeline_store import read_status
from fillrate_assets.fulfillment.replay import ReplayResult, ReplayScope, rebuild, verify_parts
from fillrate_assets.fulfillment.rules.event_documents import ReceivedEvent
from fillrate_assets.fulfillment.rules.lifecycles import FUNCTIONS
from fillrate_assets.fulfillment.sources.targets import TargetAnswer
from fillrate_assets.fulfillment.transition_log import HEADS, TransitionLog
from fillrate_assets.fulfillment.worker import FulfillmentWorker
from fillrate_assets.messaging.dbos_queue import DbosQueue
from fillrate_assets.messaging.jobs import Done, Job
from fillrate_assets.storage.database import Database

SIZES: Final = (1_000, 10_000, 100_000, 1_000_000)
_WRONG: Final = 1_000


@dataclass
class Sent:
    """A queue that hands on what is enqueued, and holds nothing."""

    jobs: list[Job] = field(default_factory=list)

    def enqueue(self, jobs: Sequence[Job]) -> None:
        """Take jobs."""
        self.jobs += jobs

    def count_waiting(self) -> dict[str, int]:
        """Count none."""
        return {}


class Answering:
    """A target that answers at once."""

    def request(self, _effect: EffectRequest) -> TargetAnswer:
        """Answer that nothing more happened."""
        return TargetAnswer()


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="events in the log")
    parser.add_argument("--orders", type=int, default=100, help="orders that are run at each size (default: 100)")
    parser.add_argument("--url", help="an empty database; default: SQLite in a directory of its own")
    arguments = parser.parse_args()
    with _open(arguments.url) as database:
        database.upgrade()
        with database.hold_open() as held:
            _run_orders(held, "warm", arguments.orders)
            first, before = 0.0, 0
            for size in arguments.sizes:
                begun = time.perf_counter()
                fill(held, before, size)
                filled, before = time.perf_counter() - begun, size
                # What was filled goes to the disk now, not while events wait for it.
                os.sync()
                _run_orders(held, f"warm at {size}", arguments.orders // 10)
                wall, cpu = _run_orders(held, f"at {size}", arguments.orders)
                status = _time_status(held)
                first = first or cpu
                print(
                    f"{size:>9,} logged: {cpu * 1e3:.2f} ms CPU an event, {wall * 1e3:.2f} ms in all,"
                    f" ratio {cpu / first:.2f}; status {status * 1e3:.1f} ms; filled in {filled:.0f} s",
                    flush=True,
                )
            _replay(held)


@contextmanager
def _open(url: str | None) -> Iterator[Database]:
    if url is not None:
        yield Database(url)
        return
    with tempfile.TemporaryDirectory() as directory:
        yield Database(f"sqlite:///{Path(directory)}/records.db")


def _run_orders(database: Database, name: str, orders: int) -> tuple[float, float]:
    """Return the seconds of an event: by the clock, and of CPU."""
    queue, target = Sent(), Answering()
    worker = FulfillmentWorker(
        TransitionLog(database, "benchmark"),
        EffectStore(database),
        EventIntake(queue, AcceptedEvents(database)),
        dict.fromkeys(FUNCTIONS, target),
    )
    wall, cpu = time.perf_counter(), time.process_time()
    for event_type in WAY:
        for number in range(orders):
            worker.intake.accept([ReceivedEvent(make_event(f"{name} {number}", event_type))])
            result = worker.apply_event(queue.jobs.pop())
            for job in result.following if isinstance(result, Done) else ():
                worker.request_effect(job)
    events = orders * len(WAY)
    return (time.perf_counter() - wall) / events, (time.process_time() - cpu) / events


def _time_status(database: Database) -> float:
    with tempfile.TemporaryDirectory() as directory, DbosQueue(f"sqlite:///{directory}/jobs.db") as queue:
        queue.prepare()
        begun = time.perf_counter()
        read_status(database, queue, {"PICKING": timedelta(hours=1)}, since=NOW, now=NOW + timedelta(days=1))
        return time.perf_counter() - begun


def _replay(database: Database) -> None:
    """Verify the log, spoil some heads, and rebuild them."""
    _time_replay("verified", database, lambda _part: 0)
    with database.begin() as connection:
        spoilt = HEADS.c.order_id < f"L{_WRONG:08}"
        connection.execute(HEADS.update().where(spoilt).values(state="SPOILT"))
    who = Intervention("REBUILT", "benchmark", "a benchmark", "benchmark")
    _time_replay("rebuilt", database, lambda part: rebuild(database, part, replace(who)))


def _time_replay(what: str, database: Database, use: Callable[[ReplayResult], int]) -> None:
    begun, result, used = time.perf_counter(), ReplayResult(), 0
    for part in verify_parts(database, ReplayScope()):
        used += use(part)
        result.add(part)
    seconds, most = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{what}: {result.events:,} events of {result.orders:,} orders in {seconds:.0f} s,"
        f" {result.events / seconds:,.0f}/s; {result.differing:,} differed, {used:,} rebuilt; at most {most:.0f} MiB"
    )


if __name__ == "__main__":
    main()
