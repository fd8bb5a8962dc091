"""A control room over stored ticks, served on loopback as it is in production."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import polars as pl
from starlette.types import ASGIApp

from fillrate_assets import settings
from fillrate_assets.buffers import schema
from fillrate_assets.buffers.buffer_store import BufferStore
from fillrate_assets.buffers.history_store import HistoryStore
from fillrate_assets.buffers.notice_store import NoticeStore
from fillrate_assets.buffers.report.control_room import ControlRoom
from fillrate_assets.buffers.tick_store import LakeTickStore
from fillrate_assets.notifications.signed_links import LinkSigner
from fillrate_assets.settings import Settings
from fillrate_assets.storage.action_log import ActionLog
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.lake import Lake
from fillrate_assets.web.access import Person
from fillrate_assets.web.actions import Actions
from fillrate_assets.web.app import build_app
from fillrate_assets.web.authentication import Authenticator, SessionSigner
from fillrate_assets.web.control_room.app import build_routes
from fillrate_assets_tests.factories import buffers_frames
from fillrate_assets_tests.factories.buffers_frames import POLICY, TICK, make_tick
from fillrate_assets_tests.factories.web_floor import SECRET, make_masters
from fillrate_assets_tests.fixtures.asgi_transport import AsgiTransport
from fillrate_assets_tests.fixtures.embedded import create_database
from fillrate_assets_tests.fixtures.patience import PATIENCE_SECONDS
from fillrate_assets_tests.fixtures.sending_process import LIFETIME, render
from fillrate_assets_tests.fixtures.served_app import serve_app

DCS: Final = ("CHI", "DC02")
FULL: Final = "W1_PICK_TOTAL"
LANE: Final = "W1_LANE_L00"
OTHER: Final = "W2_PICK_TOTAL"
FEED: Final = "W1_DATA_OCCUPANCY"
LABEL: Final = '"><script>alert(1)</script>'
"""What people call the lane."""


@dataclass
class Room:
    """A control room, and the clock that it goes by."""

    settings: Settings
    base_url: str
    sessions: SessionSigner
    transport: httpx.BaseTransport
    """Of every browser."""

    now: datetime = field(default=TICK + timedelta(minutes=2))

    def sign_in(self, *grants: str) -> httpx.Client:
        """Make a browser that is signed in."""
        browser = self.make_browser()
        token = self.sessions.sign(Person.with_grants("Kim", grants))
        assert browser.get(f"/enter/{token}").status_code == httpx.codes.SEE_OTHER
        return browser

    def make_browser(self) -> httpx.Client:
        """Make a browser that was never here."""
        return httpx.Client(base_url=self.base_url, transport=self.transport, timeout=PATIENCE_SECONDS)


def store_ticks(home: Settings) -> None:
    """Store an hour of ticks: W1's pick total is full and was sent, a lane and a feed of it lack data, W2 is clear."""
    store = BufferStore(create_database(home.storage.record_store_url))
    masters = make_masters()
    warehouses = masters.warehouses.with_columns(
        pl.col("warehouse").replace_strict({"W1": "CHI", "W2": "DC02"}).alias("dc")
    )
    path = {"warehouse": "W1", "pool": "LANE", "path": "L00", "capacity": 100.0, "label": LABEL}
    paths = pl.DataFrame([path], schema=schema.WAREHOUSE_PATHS.polars)
    store.merge_master_data(replace(masters, warehouses=warehouses, paths=paths))
    ticks = LakeTickStore(Lake(home.storage.lake_root), DCS)
    for number in range(-12, 1):
        at, fill = make_tick(number), 0.5 + max(0, number + 8) * 0.06
        place: dict[str, Any] = {"snapshot_ts": at}
        in_w2 = {"unit_id": OTHER, "warehouse": "W2", "dc": "DC02", **place}
        ticks.write(
            schema.UNIT_TIMESERIES,
            buffers_frames.make_units(
                {"fill": fill, **place},
                {"unit_id": LANE, "fill": None, "quality": "UNKNOWN", **place},
                {"fill": 0.4, **in_w2},
            ),
            at,
        )
        feed = {"unit_id": FEED, "pool": "DATA", "direction": "DATA", "action": "CHECK_DATA", **place}
        calm: dict[str, Any] = {"verdict": "CLEAR", "action": None, "quantity": None, "explanation": "40 % full."}
        ticks.write(
            schema.RECOMMENDATIONS,
            buffers_frames.make_recommendations(
                {"verdict": "ACT" if number == 0 else "CLEAR", **place},
                {**calm, "unit_id": LANE, "verdict": "UNKNOWN", **place},
                {**calm, **in_w2},
                *([{**calm, "verdict": "ACT", **feed}] if number == 0 else []),
            ),
            at,
        )
        ticks.write(schema.ALERTS, buffers_frames.make_alerts(*([place, feed] if number == 0 else [])), at)
    HistoryStore(store.database, days=1).sync(ticks, TICK, members=masters.unit_members, labels={}, now=TICK)
    NoticeStore(store.database).write(
        buffers_frames.make_notices({"channel": "slack:floor"}),
        schema.UNDELIVERED_NOTICES.make_empty().collect(),
        render=render,
        lifetime=LIFETIME,
        now=TICK,
    )


@contextmanager
def serve_room(home: Path, *more: Authenticator) -> Iterator[Room]:
    """Serve a control room until the block ends; what more says who someone is comes before its sessions."""
    listening = socket.create_server(("127.0.0.1", 0))
    room, app = _build(home, f"http://127.0.0.1:{listening.getsockname()[1]}", more)
    with room.transport, serve_app(app, listening):
        yield room


@contextmanager
def open_room(home: Path) -> Iterator[Room]:
    """Open a control room without a server, until the block ends."""
    room, app = _build(home, "http://floor.example", ())
    with AsgiTransport(app) as room.transport:
        yield room


def _build(home: Path, base_url: str, more: Sequence[Authenticator]) -> tuple[Room, ASGIApp]:
    chosen = settings.load(home=home)
    store_ticks(chosen)
    database = Database.from_settings(chosen)
    room = Room(chosen, base_url, SessionSigner([SECRET], lambda: room.now), httpx.HTTPTransport())
    buffers, notices = BufferStore(database), NoticeStore(database)
    shown = ControlRoom(buffers, notices, Lake(chosen.storage.lake_root), lambda: POLICY)
    actions = Actions(base_url, [SECRET], ActionLog(database), lambda: room.now)
    ways = [*more, room.sessions]
    return room, build_app(
        alerts=notices,
        answers=buffers,
        links=LinkSigner(base_url, [SECRET]),
        policy_version=lambda: POLICY.version,
        clock=lambda: room.now,
        routes=build_routes(shown, room.sessions, ways, actions, base_url=base_url, clock=lambda: room.now),
    )
