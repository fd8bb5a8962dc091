"""Processes of a soak of fulfillment: workers, the intake over HTTP, and the clients that send events.

They are forked from a process that has imported this module and opened nothing. How they are killed, and what has to
hold afterwards, is in `killing` and `fulfillment_findings`.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from threading import Event
from typing import Any, Final
from urllib.parse import quote

import httpx

from fillrate_assets.core.errors import SourceUnavailable
from fillrate_assets.fulfillment.accepted_events import AcceptedEvents
from fillrate_assets.fulfillment.effect_store import EffectStore
from fillrate_assets.fulfillment.event_intake import EventIntake
from fillrate_assets.fulfillment.feed_store import OrderFeed
from fillrate_assets.fulfillment.log_port import EffectRequest
from fillrate_assets.fulfillment.rules.lifecycles import FUNCTIONS
from fillrate_assets.fulfillment.sources.targets import TargetAnswer, TargetEvent
from fillrate_assets.fulfillment.transition_log import TransitionLog
from fillrate_assets.fulfillment.worker import FulfillmentWorker, build_queues
from fillrate_assets.messaging.dbos_engine import DbosWorker
from fillrate_assets.messaging.dbos_queue import DbosQueue
from fillrate_assets.messaging.jobs import RetrySchedule
from fillrate_assets.sample.fulfillment_day import SimulatedDay
from fillrate_assets.sample.fulfillment_targets import Faults, SimulatedWorld
from fillrate_assets.storage.database import Database
from fillrate_assets.web.events.app import build_app
from fillrate_assets.web.events.authentication import EventSenders
from fillrate_assets.web.server import build_server
from fillrate_assets_tests.soak.place import HOST, Place

CLIENTS: Final = 2

_TOKEN: Final = "a-token-of-a-soak-of-32-characters"  # noqa: S105 - of tests
_FIRST_DAY: Final = date(2026, 2, 10)
_SENT: Final = 5
_MAX_BACKLOG: Final = 150
_THROTTLED_SHARE: Final = 0.03
_TIMED_OUT_SHARE: Final = 0.03
_SOON: Final = RetrySchedule(base_seconds=0.05, max_seconds=2, max_attempts=12)


@dataclass(frozen=True)
class RecordedTarget:
    """A target that does its work once for each id, which a file proves, and answers the same ever after."""

    function: str
    world: SimulatedWorld
    ledger: Path

    def request(self, effect: EffectRequest) -> TargetAnswer:
        """Do what is requested; at times too busy before it, or silent after it."""
        share, file = random.random(), self.ledger / quote(effect.effect_id, safe="")  # noqa: S311 - a simulation
        if share < _THROTTLED_SHARE:
            msg = f"{self.function} is too busy"
            raise SourceUnavailable(msg)
        if not file.exists():
            _write_once(file, effect, self.world.perform(self.function, effect))
        if share > 1 - _TIMED_OUT_SHARE:
            msg = f"{self.function} timed out"
            raise SourceUnavailable(msg)
        return TargetAnswer([TargetEvent(**each) for each in json.loads(file.read_text())["events"]])


def _write_once(file: Path, effect: EffectRequest, answer: TargetAnswer) -> None:
    """Write what was done, whole or not at all; of two at a time the first counts."""
    written = file.with_name(f".{os.getpid()} {file.name}"[:250])
    done = {"order_id": effect.order_id, "version": effect.version, "kind": effect.kind}
    written.write_text(json.dumps({**done, "events": [*map(_dump, answer.events)]}))
    try:
        os.link(written, file)
    except FileExistsError:
        pass
    finally:
        written.unlink()


def _dump(event: TargetEvent) -> dict[str, Any]:
    return {"type": event.type, "payload": event.payload, "delay_seconds": event.delay_seconds}


def run_worker(place: Place, name: str) -> None:
    """Run a worker until it is killed."""
    place.enter(name)
    world = SimulatedWorld(Faults(latency_seconds=0.001, late_seconds=0.05), seed=1)
    with DbosQueue(place.jobs) as queue, Database(place.records).hold_open() as database:
        worker = FulfillmentWorker(
            TransitionLog(database, "soak"),
            EffectStore(database),
            EventIntake(queue, AcceptedEvents(database)),
            {function: RecordedTarget(function, world, place.ledger) for function in FUNCTIONS},
            name,
            doubt=OrderFeed(database).doubt,
        )
        options = [replace(each, retry=_SOON) for each in build_queues(FUNCTIONS, {}, {})]
        with DbosWorker(queue, options, worker.handlers, worker.bury, name=name, stopping_seconds=0):
            worker.request_left_effects()
            Event().wait(place.lifetime_seconds)


def run_intake(place: Place, name: str) -> None:
    """Serve the intake until it is killed."""
    place.enter(name)
    with DbosQueue(place.jobs) as queue, Database(place.records).hold_open() as database:
        app = build_app(
            intake=EventIntake(queue, AcceptedEvents(database)),
            senders=EventSenders((_TOKEN,), ()),
            max_backlog=_MAX_BACKLOG,
            allowed_hosts={HOST},
        )
        build_server(app, HOST, place.ports[0]).run()


def run_client(place: Place, name: str) -> None:
    """Send events until it is killed, each twice and in no order; those that it is not sure of again."""
    place.enter(name)
    position, number = place.directory / f"position-{name}", int(name.rpartition("-")[2])
    chunk = int(position.read_text()) if position.exists() else 0
    with (
        (place.directory / f"acknowledged-{name}").open("a", buffering=1) as acknowledged,
        httpx.Client(
            base_url=f"http://{HOST}:{place.ports[0]}", headers={"Authorization": f"Bearer {_TOKEN}"}
        ) as client,
    ):
        while not place.is_ending:
            documents = _make_documents(place, chunk * CLIENTS + number)
            for start in range(0, len(documents), _SENT):
                for event_id in _send(client, documents[start : start + _SENT], place.lifetime_seconds):
                    acknowledged.write(f"{event_id}\n")
            chunk += 1
            moved = position.with_suffix(".new")
            moved.write_text(str(chunk))
            moved.replace(position)


def _make_documents(place: Place, number: int) -> list[dict[str, Any]]:
    day = SimulatedDay(place.orders, 1, _FIRST_DAY + timedelta(days=number), number, doubled_share=1)
    documents = day.make_documents()
    random.Random(number).shuffle(documents)  # noqa: S311 - a simulation
    return documents


def _send(client: httpx.Client, documents: list[dict[str, Any]], seconds: float) -> Iterator[str]:
    """Send events until the intake answers, and return the ids of those that it acknowledges."""
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        try:
            answer = client.post("/events", json=documents, timeout=20)
        except httpx.TransportError:
            time.sleep(0.05)
            continue
        if answer.status_code == httpx.codes.MULTI_STATUS:
            yield from (each["event_id"] for each in answer.json()["results"] if each["status"] in {200, 202})
            return
        time.sleep(0.1)
