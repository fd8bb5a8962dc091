"""One downstream target down for ten simulated minutes, and what the others notice of it.

    python -m benchmarks.fulfillment_outage                    # SQLite, in a directory of its own
    python -m benchmarks.fulfillment_outage --url postgresql+psycopg://user:password@host/database
    python -m benchmarks.fulfillment_outage --scale 1          # ten real minutes

Time runs faster by a scale: retries, probes and the outage are that much shorter, the pace of events is not. Orders and
parties come in turn. First both targets work, then that of orders is down: what parties wait for is compared. When it
is back, its backlog is drained; how many came before one that waited longer, and what was done twice, is counted.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from itertools import cycle
from typing import Final

from benchmarks import fulfillment_load as load
from fillrate_assets.fulfillment.rules.lifecycles import FUNCTIONS
from fillrate_assets.fulfillment.worker import FulfillmentWorker, build_queues
from fillrate_assets.messaging.dbos_engine import DbosWorker
from fillrate_assets.messaging.jobs import QueueOptions

_OUTAGE_SECONDS: Final = 600


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--scale", type=float, default=20, help="how much faster time runs (default: 20)")
    parser.add_argument("--pace", type=float, default=29, help="events a second (default: 29)")
    parser.add_argument("--url", help="an empty database; default: SQLite in a directory of its own")
    arguments = parser.parse_args()
    with load.open_databases(arguments.url) as (database, queue):
        targets = load.make_targets()
        worker = load.make_worker(database, queue, targets)
        options = [_hasten(each, arguments.scale) for each in build_queues(FUNCTIONS, {}, {})]
        with DbosWorker(queue, options, worker.handlers, worker.bury):
            _run(worker, targets, arguments.pace, _OUTAGE_SECONDS / arguments.scale)
        print(f"dead letters: {queue.count_dead_letters()}, parked: {queue.count_parked()}")
    twice = {name: sum(count - 1 for count in target.works.values()) for name, target in targets.items()}
    print(f"done twice: {sum(twice.values())}")


def _run(worker: FulfillmentWorker, targets: dict[str, load.CountingTarget], pace: float, seconds: float) -> None:
    orders, parties = targets["order"], targets["onboarding"]
    before = _send(worker, "before", pace, seconds)
    load.wait(lambda: before.keys() <= orders.done_at.keys() | parties.done_at.keys())
    p99 = load.describe("others, while all work", _select(before, "party"), parties)
    orders.is_down, attempts = True, orders.attempts
    during = _send(worker, "during", pace, seconds)
    others, backlog = _select(during, "party"), _select(during, "order")
    load.wait(lambda: others.keys() <= parties.done_at.keys())
    p99_down = load.describe("others, while one is down", others, parties)
    print(f"ratio of the 99th percentiles: {p99_down / p99:.2f}")
    print(f"attempts at the one that is down: {orders.attempts - attempts}, for {len(backlog):,} effects")
    orders.is_down, begun = False, time.perf_counter()
    load.wait(lambda: backlog.keys() <= orders.done_at.keys())
    load.report("backlog drained", len(backlog), time.perf_counter() - begun)
    _describe_order(backlog, orders)


def _send(worker: FulfillmentWorker, name: str, pace: float, seconds: float) -> dict[str, float]:
    kinds = cycle((("order", "OrderReceived"), ("party", "OnboardingRequested")))
    numbered = zip(range(int(pace * seconds)), kinds, strict=False)
    events = [load.receive(f"{kind} {name} {number}", event_type) for number, (kind, event_type) in numbered]
    return load.pace(worker.intake, events, pace)


def _select(sent: dict[str, float], kind: str) -> dict[str, float]:
    return {order_id: since for order_id, since in sent.items() if order_id.startswith(kind)}


def _describe_order(backlog: dict[str, float], orders: load.CountingTarget) -> None:
    """Print how many of a backlog were overtaken by more than may run at a time."""
    at_a_time = build_queues(["order"], {}, {})[1].concurrency
    place = {order_id: number for number, order_id in enumerate(sorted(backlog, key=orders.done_at.__getitem__))}
    late = [place[order_id] - number for number, order_id in enumerate(sorted(backlog, key=backlog.__getitem__))]
    overtaken = sum(1 for each in late if each > at_a_time)
    print(f"in order: {len(backlog) - overtaken:,} of {len(backlog):,}; others had been tried, and waited for a retry")


def _hasten(options: QueueOptions, scale: float) -> QueueOptions:
    """Make retries and probes of a queue that much faster."""
    retry = options.retry
    breaker = options.breaker and replace(options.breaker, probe_seconds=options.breaker.probe_seconds / scale)
    quick = replace(retry, base_seconds=retry.base_seconds / scale, max_seconds=retry.max_seconds / scale)
    return replace(options, retry=quick, breaker=breaker)


if __name__ == "__main__":
    main()
