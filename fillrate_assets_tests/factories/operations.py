"""Operations over embedded stores, with texts that sources could have set, without a server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import httpx
import polars as pl
from starlette.types import ASGIApp

from fillrate_assets.buffers.buffer_store import BufferStore
from fillrate_assets.buffers.notice_store import NoticeStore
from fillrate_assets.buffers.report.control_room import ControlRoom
from fillrate_assets.buffers.rules.policy import Policy
from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.fillrate.record_store import LEDGER
from fillrate_assets.fulfillment.dead_letters import make_dead_letters
from fillrate_assets.fulfillment.effect_store import EffectStore
from fillrate_assets.fulfillment.pipeline_store import make_limits
from fillrate_assets.fulfillment.rules.alarms import QUEUES
from fillrate_assets.inventory import schema
from fillrate_assets.inventory.fan_out import is_sync_queue
from fillrate_assets.inventory.reconciliation_store import ReconciliationStore
from fillrate_assets.messaging.dead_letters import DeadLetters
from fillrate_assets.messaging.jobs import Job, StoredJob
from fillrate_assets.notifications.notifiers.channel import OutgoingMessage
from fillrate_assets.notifications.outbox import MessageQueue
from fillrate_assets.notifications.rendering import Message
from fillrate_assets.notifications.signed_links import LinkSigner
from fillrate_assets.settings import Fulfillment
from fillrate_assets.storage.action_log import Action, ActionLog
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.lake import Lake
from fillrate_assets.web.access import Person
from fillrate_assets.web.actions import Actions
from fillrate_assets.web.app import build_app
from fillrate_assets.web.authentication import COOKIE, Authenticator, ProxyHeaders, SessionSigner
from fillrate_assets.web.control_room import app as control_room
from fillrate_assets.web.operations import app as operations
from fillrate_assets.web.operations.systems import Instigator, Queues, Run, Systems, Tick
from fillrate_assets_tests.factories.web_floor import SECRET
from fillrate_assets_tests.fixtures.asgi_transport import AsgiTransport
from fillrate_assets_tests.fixtures.embedded import create_database
from fillrate_assets_tests.fixtures.recorded_queue import RecordedQueue

URL: Final = "http://pages.example"
NOW: Final = datetime(2026, 3, 14, 14, tzinfo=UTC)
HOSTILE: Final = '=1+1 "><script>alert(1)</script> {{ 7*7 }}'
"""What a source could set, where any text is allowed."""

LETTER: Final = f"O1/../%2e:5:{HOSTILE}~001"
"""Id of a dead letter: that of an order is part of it, and orders come from outside."""

CHANGES: Final = "DC02:4711-12"
MESSAGE: Final = "msg_1"
SIGNER: Final = SessionSigner([SECRET], lambda: NOW)
PROXY: Final = ProxyHeaders("X-User", "X-Groups", ["10.0.0.0/8"], {"ops": ["operator"]})


@dataclass
class LettersQueue(RecordedQueue):
    """A queue of which dead letters and parked jobs can be moved, as real ones do it."""

    parked: list[StoredJob] = field(default_factory=list)

    def list_parked(self, limit: int) -> list[StoredJob]:
        return self.parked[:limit]

    def count_parked(self) -> int:
        return len(self.parked)

    def redrive(self, job_id: str) -> Job:
        job = self.discard(job_id)
        self.jobs.append(job)
        return job

    def discard(self, job_id: str) -> Job:
        return self._take(self.dead, job_id)

    def release(self, job_id: str) -> None:
        self.jobs.append(self._take(self.parked, job_id))

    @staticmethod
    def _take(stored: list[StoredJob], job_id: str) -> Job:
        found = next((each for each in stored if each.job.job_id == job_id), None)
        if found is None:
            raise PermanentFailure(job_id)
        stored.remove(found)
        return found.job


@dataclass
class History:
    """What Dagster did."""

    runs: list[Run] = field(default_factory=list)
    instigators: list[Instigator] = field(default_factory=list)

    def read_runs(self, since: datetime, *, limit: int, offset: int = 0) -> list[Run]:
        return [each for each in self.runs if each.created_at >= since][offset:][:limit]

    def count_runs(self, since: datetime) -> Mapping[str, int]:
        return {"FAILURE": sum(each.created_at >= since for each in self.runs)}

    def read_instigators(self, since: datetime) -> list[Instigator]:
        return [each for each in self.instigators if each.last is None or each.last.at >= since]


@dataclass
class Operations:
    """The pages, and what they are about."""

    database: Database
    queue: LettersQueue
    history: History = field(default_factory=History)
    open_queues: Callable[[], Queues] | None = None
    """In place of the queue."""

    base_url: str = URL

    def find_oldest(self) -> Mapping[str, datetime]:
        return {job.queue: NOW - timedelta(minutes=3) for job in self.queue.jobs}

    def _open_queues(self) -> Queues:
        letters = {
            "fulfillment": make_dead_letters(self.queue, EffectStore(self.database), QUEUES.__contains__),
            "inventory": DeadLetters(self.queue, is_sync_queue),
        }
        return Queues(self.queue, letters, self.find_oldest)

    def open(self, *grants: str, name: str = "Kim") -> httpx.Client:
        """Open a browser that is signed in."""
        token = SIGNER.sign(Person.with_grants(name, grants))
        return httpx.Client(base_url=URL, transport=self.transport, cookies={COOKIE: token}, follow_redirects=True)

    @property
    def transport(self) -> AsgiTransport:
        """Return what every browser sends to."""
        return AsgiTransport(self.build_app())

    def build_app(self) -> ASGIApp:
        """Build the app, with the control room over the same store."""
        systems = Systems(
            self.database,
            self.history,
            self.open_queues or self._open_queues,
            make_limits(Fulfillment()),
            ui_url="https://dagster.example",
        )
        actions = Actions(self.base_url, [SECRET], ActionLog(self.database), lambda: NOW)
        room = ControlRoom(BufferStore(self.database), NoticeStore(self.database), Lake(""), Policy)
        ways: list[Authenticator] = [PROXY, SIGNER]
        url = self.base_url
        return build_app(
            alerts=room.notices,
            answers=room.buffers,
            links=LinkSigner(self.base_url, [SECRET]),
            policy_version=lambda: "",
            routes=[
                *control_room.build_routes(room, SIGNER, ways, actions, base_url=url, clock=lambda: NOW),
                *operations.build_routes(systems, ways, actions, base_url=url, clock=lambda: NOW),
            ],
        )

    def list_logged(self) -> list[Action]:
        """List what people did, latest first."""
        return [action for _, action in ActionLog(self.database).read(limit=10)]


def make_letter(job_id: str, queue: str, reason: str = HOSTILE) -> StoredJob:
    return StoredJob(Job(job_id, queue, {"note": HOSTILE}, attempts=8), reason, NOW - timedelta(hours=2))


def make_operations(home: Path) -> Operations:
    """Make the pages over a store with something in each table."""
    database = create_database(f"sqlite:///{home}/records.db")
    store_days(database)
    store_comparison(database)
    store_messages(database)
    dead = [make_letter(LETTER, "carrier"), make_letter(CHANGES, "replica-DC02")]
    queue = LettersQueue([Job("E1", "events")], dead, [make_letter("parked:E2", "events", "too early")])
    tick = Tick("new_orders", NOW, "FAILURE", timedelta(seconds=3), HOSTILE)
    run = Run("0123456789ab", "fillrate", "DC01", "FAILURE", NOW, timedelta(seconds=90))
    history = History([run], [Instigator("new_orders", "sensor", True, tick, 1, [tick])])  # noqa: FBT003 - it is on
    return Operations(database, queue, history)


def store_days(database: Database) -> None:
    """Store a held, a doubtful and a good day."""
    days = [("DC01", 2, "HELD", HOSTILE), ("DC01", 1, "PUBLISHED", "few snapshots"), ("DC02", 3, "PUBLISHED", None)]
    nothing = {"orders_lines": 0, "shipments_lines": 0, "snapshots_rows": 0, "records": 0, "run_id": "0123456789ab"}
    with database.begin() as connection:
        for dc, day, state, reason in days:
            key = {"dc": dc, "ship_date": datetime(2026, 3, day, tzinfo=UTC).date()}
            row = {**key, **nothing, "state": state, "reason": reason, "published_at": NOW.replace(tzinfo=None)}
            connection.execute(LEDGER.insert().values(row))


def store_comparison(database: Database) -> None:
    """Store a comparison that left one count to people."""
    at = NOW - timedelta(hours=1)
    summary = {"at": at, "replica": "DC02", "compared": 200, "matching": 198, "recent": 1, "failure": None}
    found = {"at": at, "replica": "", "dc": "DC01", "item": HOSTILE, "finding": "LEDGER_MISMATCH", "action": "REVIEW"}
    counts = {"source_on_hand_cases": 7, "replica_on_hand_cases": 5}
    findings = pl.DataFrame([{**found, **counts}], schema=schema.STORED_FINDINGS.polars)
    ReconciliationStore(database).write(pl.DataFrame([summary], schema=schema.RECONCILIATIONS.polars), findings)


def store_messages(database: Database) -> None:
    """Store a message that waits, and one that was given up."""
    queue = MessageQueue("platform")
    messages = [OutgoingMessage(name, "slack:floor", Message(HOSTILE, body="text")) for name in (MESSAGE, "msg_2")]
    with database.begin() as connection:
        queue.write(connection, messages, now=NOW - timedelta(hours=3))
        queue.mark_dead(connection, MESSAGE, HOSTILE)
