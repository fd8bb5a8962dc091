"""A simulated day of orders and onboardings at speed, with faults switched on, and what became of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

import polars as pl
import sqlalchemy as sa

from fillrate_assets.cli import fulfillment_systems as systems
from fillrate_assets.cli.network_day import NetworkDay
from fillrate_assets.cli.order_explanation import OrderExplanation
from fillrate_assets.cli.progress import without_job_warnings
from fillrate_assets.cli.tour import Findings
from fillrate_assets.core.decimals import format_percent
from fillrate_assets.core.text_table import format_table
from fillrate_assets.fillrate.report.doubts import Doubts, format_doubts, format_summary
from fillrate_assets.fillrate.report.platform_facts import PlatformFacts
from fillrate_assets.fillrate.rules.pipeline import PartitionFilter
from fillrate_assets.fillrate.schema import CLASSIFIED_LINES
from fillrate_assets.fulfillment.accepted_events import ACCEPTED_EVENTS
from fillrate_assets.fulfillment.effect_store import EFFECTS
from fillrate_assets.fulfillment.replay import ReplayScope, verify
from fillrate_assets.fulfillment.report.order_report import read_totals
from fillrate_assets.fulfillment.report.order_units import OrderUnits, read_units
from fillrate_assets.fulfillment.rules.event_documents import parse_document
from fillrate_assets.fulfillment.rules.lifecycles import FUNCTIONS
from fillrate_assets.fulfillment.transition_log import REJECTED_EVENTS, TRANSITIONS
from fillrate_assets.messaging.dbos_queue import DbosQueue
from fillrate_assets.messaging.jobs import RetrySchedule
from fillrate_assets.sample.fulfillment_targets import Faults, SimulatedWorld
from fillrate_assets.sample.order_network import OrderNetwork
from fillrate_assets.sample.order_stock import OrderStock
from fillrate_assets.settings import Settings
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.lake import Lake

FAULTS: Final = Faults(throttled_share=0.05, timed_out_share=0.05, refused_share=0.002)
_DOWN: Final = "carrier"
_BATCH: Final = 50
_LISTED: Final = 100_000


@dataclass(frozen=True)
class DayResult:
    """What became of a simulated day."""

    documents: int
    sent: Counter[str]
    """What the intake said, by answer."""

    counts: dict[str, int]
    states: dict[str, int]
    seconds: float

    @property
    def is_right(self) -> bool:
        """Whether nothing was lost, nothing done twice, and the log explains the orders."""
        return not any(self.counts[name] for name in ("effects doubled", "events lost", "effects lost", "heads wrong"))


def run_day(
    settings: Settings,
    documents: Sequence[Mapping[str, Any]],
    seed: int,
    *,
    outage: bool,
    network: OrderNetwork | None = None,
    progress: Callable[[str], None] = lambda _text: None,
) -> DayResult:
    """Send what a day brings through intake, queues and worker, until nothing is left to do.

    Args:
        settings: where the home is.
        documents: what is sent.
        seed: of what targets do.
        outage: whether a downstream system is gone for a third of it.
        network: whose counts go to its DCs meanwhile, and whose orders of today follow.
        progress: gets a line now and then.

    """
    stored = systems.open_database(settings)
    begun, sent = time.perf_counter(), Counter[str]()
    with systems.make_queue(settings, "fillrate fulfillment demo") as queue, stored.hold_open() as database:
        world = SimulatedWorld(
            FAULTS, seed=seed, stock=OrderStock(seed), inventory=systems.make_stock(settings, database)
        )
        worker, engine = systems.make_worker(settings, database, queue, world.make_targets(FUNCTIONS), "demo")
        quick = RetrySchedule(base_seconds=0.2, max_seconds=2)
        engine = replace(engine, queues=[replace(each, retry=quick) for each in engine.queues])
        day = None if network is None else NetworkDay.make(settings, database, queue, network)

        def send(documents: Sequence[Mapping[str, Any]]) -> None:
            for start in range(0, len(documents), _BATCH):
                share = start / len(documents)
                world.down = {_DOWN} if outage and 1 / 3 <= share < 2 / 3 else set()
                received = [parse_document(each) for each in documents[start : start + _BATCH]]
                sent.update(worker.intake.accept(received))
                progress(f"{min(start + _BATCH, len(documents))} of {len(documents)} events sent")
            world.down = set()
            while (left := queue.count_unfinished()) or (day is not None and day.sync.is_behind()):
                progress(f"{left} jobs to do")
                time.sleep(0.2)

        with engine if day is None else day.sync.join(engine), without_job_warnings():
            if day is None:
                send(documents)
            else:
                with day.sync.read_stream():
                    send(documents)
                    documents = [*documents, *day.run(world, send)]
        counts = _count(database, queue, world)
    return DayResult(len(documents), sent, counts, read_totals(stored).heads, time.perf_counter() - begun)


def describe(result: DayResult) -> Iterator[str]:
    """Say what became of a day."""
    rows = [
        ["events sent", f"{result.documents:,}"],
        *([f"  {answer.lower()}", f"{count:,}"] for answer, count in sorted(result.sent.items())),
        *([name, f"{count:,}"] for name, count in result.counts.items()),
    ]
    yield from format_table(["what", "how many"], rows, numbers=["how many"])
    yield ""
    yield from format_table(
        ["state", "orders and parties"],
        [[state, f"{count:,}"] for state, count in result.states.items()],
        numbers=["orders and parties"],
    )
    jobs = result.counts["applied"] + result.counts["effects done"]
    yield ""
    if result.sent["ACCEPTED"]:
        yield f"{result.seconds:,.0f} s, {jobs / result.seconds:,.0f} jobs a second."
    else:
        yield "All of it was known."


def _count(database: Database, queue: DbosQueue, world: SimulatedWorld) -> dict[str, int]:
    totals, parked = read_totals(database), queue.list_parked(_LISTED)
    with database.connect() as connection:

        def read(column: sa.Column[str], *where: sa.ColumnElement[bool]) -> set[str]:
            return set(connection.execute(sa.select(column).where(*where)).scalars())

        applied, rejected = read(TRANSITIONS.c.event_id), read(REJECTED_EVENTS.c.event_id)
        accepted = read(ACCEPTED_EVENTS.c.event_id)
        done, dead = (read(EFFECTS.c.effect_id, EFFECTS.c.state == state) for state in ("DONE", "DEAD"))
        effects = read(EFFECTS.c.effect_id)
    waiting = {str(each.job.body["event_id"]) for each in parked}
    dead_events = {
        str(each.job.body["event_id"]) for each in queue.list_dead_letters(_LISTED) if "event_id" in each.job.body
    }
    of_day = {effect_id for effect_id in effects if effect_id in world.requests}
    return {
        "accepted, with what targets reported": len(accepted),
        "applied": totals.applied,
        "rejected": sum(totals.rejected.values()),
        "parked": len(parked),
        "effects done": len(done),
        "effects requested again": sum(world.requests.values()) - len(world.requests),
        "dead letters": len(dead) + len(dead_events),
        "effects doubled": sum(count - 1 for count in world.done.values()),
        "events lost": len(accepted - applied - rejected - waiting - dead_events),
        "effects lost": len(effects - done - dead) + len((done & of_day) - set(world.answers)),
        "heads wrong": verify(database, ReplayScope()).differing,
    }


def reconcile(settings: Settings) -> Iterator[str]:
    """Say what the events add up to, beside what fill rates say of them."""
    units = read_units(systems.open_database(settings))
    ordered, shipped = _read_cases(settings)
    rows = [
        ["orders received", f"{units.received:,f}", ""],
        ["  refused", f"{units.refused:,f}", ""],
        ["  cancelled by customers", f"{units.cancelled:,f}", ""],
        ["  left: ordered", f"{units.ordered:,f}", f"{ordered:,f}"],
        ["shipped", f"{units.shipped:,f}", f"{shipped:,f}"],
    ]
    yield from format_table(["cases", "by events", "by fill rates"], rows, numbers=["by events", "by fill rates"])
    yield from format_doubts(_read_doubts(settings)) or ["Nothing is in doubt."]


def find(settings: Settings, result: DayResult, order_id: str, short: OrderExplanation | None) -> Findings:
    """Say what became of a day in a few sentences, and why an order was short."""
    counts, units = result.counts, read_units(systems.open_database(settings))
    orders = sum(result.states.values())
    sent = f"{result.documents:,} events of {orders:,} orders and onboardings were sent, some twice, early or"
    accepted = f"{counts['accepted, with what targets reported']:,} accepted with those of targets"
    became = f"{counts['applied']:,} applied, {counts['rejected']:,} rejected, {counts['parked']:,} parked"
    done = f"{counts['effects done']:,} effects done, {counts['effects requested again']:,} of them requested again"
    lost = counts["events lost"] + counts["effects lost"]
    wrong = f"done twice: {counts['effects doubled']}, lost: {lost}, states that the log does not explain:"
    sentences = [
        f"{sent} contradicting, to targets that are slow, busy or gone: {accepted}, {became}.",
        f"{done}, {counts['dead letters']:,} given up; {wrong} {counts['heads wrong']}.",
        f"{units.ordered:,f} cases ordered and {units.shipped:,f} shipped by the events{_compare(settings, units)}.",
        format_summary(_read_doubts(settings)) or "Nothing of that is in doubt.",
    ]
    steps = {
        "Why is an order where it is?": f"fulfillment explain {order_id}",
        "What was given up?": "fulfillment dead-letters",
        "What did not ship, and why?": "report --by path",
    }
    if short is None:
        return Findings(sentences, steps)
    return Findings(sentences, steps, short.order.order_id, short.summarize())


def _compare(settings: Settings, units: OrderUnits) -> str:
    ordered, shipped = _read_cases(settings)
    if (ordered, shipped) == (units.ordered, units.shipped):
        return f"; fill rates say the same: case fill {format_percent(shipped / ordered)}" if ordered else ""
    return f"; fill rates say {ordered:,f} and {shipped:,f}"


def _read_cases(settings: Settings) -> tuple[Decimal, Decimal]:
    """Read the cases ordered and shipped that fill rates count; nothing where they were not run."""
    lines = Lake(settings.storage.lake_root).scan(CLASSIFIED_LINES).filter(pl.col("source_table") == "order_lines")
    ordered, shipped = lines.select(pl.col("ordered_cases", "shipped_cases").sum()).collect().row(0)
    return ordered.normalize(), shipped.normalize()


def _read_doubts(settings: Settings) -> Doubts:
    """Read what is beside the fill rates: events that were rejected, parked or given up, and days."""
    return PlatformFacts(settings).read(PartitionFilter())[0].doubts


def list_next_steps(order_ids: Sequence[str], short: OrderExplanation | None, command: str) -> Iterator[str]:
    """List what to look at next."""
    for order_id in order_ids[:1]:
        yield f"Why is an order where it is?  {command} fulfillment explain {order_id}"
    if short is not None:
        yield f"Why was an order short?       {command} explain-order {short.order.order_id}"
    yield f"What was given up?            {command} fulfillment dead-letters"
    yield f"Does the log explain all?     {command} fulfillment replay verify"
    if short is not None:
        yield f"What did not ship, and why?   {command} report --by path"
