"""The service over a database of its own, served on loopback as it is in production, and its visitors."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import polars as pl
import sqlalchemy as sa

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.buffer_store import FEEDBACK, BufferStore
from fillrate_assets.buffers.notice_store import NOTICES, NoticeStore
from fillrate_assets.buffers.rules.tick import MasterData
from fillrate_assets.notifications.outbox import OUTBOX
from fillrate_assets.notifications.signed_links import LinkSigner
from fillrate_assets.storage.database import Database
from fillrate_assets.web.app import build_app
from fillrate_assets_tests.factories import buffers_frames
from fillrate_assets_tests.factories.buffers_frames import TICK
from fillrate_assets_tests.fixtures.patience import PATIENCE_SECONDS
from fillrate_assets_tests.fixtures.sending_process import LIFETIME, render
from fillrate_assets_tests.fixtures.served_app import serve_app

SECRET: Final = "only-the-tests-know-this-one-all-of-it"  # noqa: S105 - it protects nothing
POLICY: Final = "2-trial"
REC_ID: Final = f"{buffers_frames.EPISODE_KEY}.1"
ANSWERED_AT: Final = TICK + timedelta(minutes=3)
WEEK: Final = "2026-W10"
"""The week before `TICK`."""

LANES: Final = tuple(f"W1_LANE_L{number:02d}" for number in range(14))
_TOKEN: Final = re.compile(r'name="csrf_token" value="([^"]+)"')


@dataclass
class Floor:
    """The stores behind the service, and how to change them."""

    notices: NoticeStore
    store: BufferStore
    links: LinkSigner
    transport: httpx.BaseTransport
    """Of every browser: to make one takes longer than a test."""

    now: datetime = ANSWERED_AT
    policy: str = POLICY
    """Version of the policy that decides."""

    first: dict[sa.Table, list[dict[str, Any]]] = field(default_factory=dict)
    """The rows of the alert of `REC_ID`, once they are written."""

    def make_browser(self, url: str) -> Browser:
        """Make a browser that was never here, with a link."""
        return Browser(url, httpx.Client(transport=self.transport, timeout=PATIENCE_SECONDS))

    def reset(self) -> None:
        """Restore two warehouses and the alert of `REC_ID`, without an answer."""
        self.now, self.policy = ANSWERED_AT, POLICY
        with self.store.database.engine.begin() as connection:
            for table in (NOTICES, OUTBOX, FEEDBACK):
                connection.execute(table.delete())
            for table, rows in self.first.items():
                connection.execute(table.insert(), rows)
        if not self.first:
            self.add_notice()
            with self.store.database.engine.connect() as connection:
                for table in (NOTICES, OUTBOX):
                    self.first[table] = [dict(row) for row in connection.execute(sa.select(table)).mappings()]

    def add_notice(self, **row: Any) -> str:  # noqa: ANN401 - any column of NOTICES
        """Write a notice; its rec_id. What is not given is as in the alert of `REC_ID`."""
        rec_id = str(row.get("rec_id", REC_ID))
        names = ("unit_id", "direction", "episode", "seq")
        parts = dict(zip(names, rec_id.split("."), strict=True))
        numbers = {name: int(parts[name]) for name in ("episode", "seq")}
        notices = buffers_frames.make_notices({"rec_id": rec_id, "notice_id": rec_id, **parts, **numbers, **row})
        lost = schema.UNDELIVERED_NOTICES.make_empty().collect()
        self.notices.write(notices, lost, render=render, lifetime=LIFETIME, now=TICK)
        return rec_id

    def read_rows(self) -> list[dict[str, Any]]:
        """Read every row of FEEDBACK, as it was answered."""
        with self.store.database.engine.connect() as connection:
            found = connection.execute(sa.select(FEEDBACK).order_by("answered_at", "rec_id"))
            return [dict(row) for row in found.mappings()]

    @contextmanager
    def break_store(self) -> Iterator[None]:
        """Remove its tables until the block ends."""
        with self.store.database.engine.begin() as connection:
            connection.execute(sa.text("ALTER TABLE notices RENAME TO gone"))
        try:
            yield
        finally:
            with self.store.database.engine.begin() as connection:
                connection.execute(sa.text("ALTER TABLE gone RENAME TO notices"))

    def link_alert(self, rec_id: str = REC_ID, responder: str = "") -> str:
        """Make the link to answer an alert."""
        return self.links.make_alert_url(rec_id, now=TICK, responder=responder)

    def link_missed(self, warehouse: str = "W1") -> str:
        """Make the link to report a missed problem."""
        return self.links.make_missed_url(warehouse, now=TICK)

    def link_audit(self, warehouse: str = "W1") -> str:
        """Make the link to last week's sample."""
        return self.links.make_audit_url(warehouse, WEEK, now=TICK)


@dataclass
class Browser:
    """A browser without JavaScript: stores cookies, fills in a form, says where it comes from."""

    url: str
    client: httpx.Client

    def open(self) -> httpx.Response:
        """Open the link."""
        return self.client.get(self.url)

    def send(self, origin: str | None = "own", **fields: str) -> httpx.Response:
        """Open the link, fill in its form and send it; the answer as it comes, a redirect is not followed."""
        return self.post({"csrf_token": self.read_token(), **fields}, origin)

    def read_token(self) -> str:
        """Read the CSRF token in the form of the page."""
        page = self.open().text
        found = _TOKEN.search(page)
        assert found, page
        return unescape(found[1])

    def post(self, fields: Mapping[str, str], origin: str | None = "own") -> httpx.Response:
        """Send a form."""
        parts = urlsplit(self.url)
        own = f"{parts.scheme}://{parts.netloc}"
        headers = {} if origin is None else {"origin": own if origin == "own" else origin}
        return self.client.post(self.url, data=dict(fields), headers=headers)

    def send_accepted(self, **fields: str) -> httpx.Response:
        """Send a form that is taken and return the page that says so."""
        response = self.send(**fields)
        assert response.status_code == httpx.codes.SEE_OTHER, response.text
        return self.client.get(response.url.join(response.headers["location"]))


def make_masters() -> MasterData:
    """Make two warehouses: W1 has a TOTAL and `LANES`, W2 a TOTAL."""
    member = {"path": "P", "role": "LEVEL", "weight": 1.0, "valid_from": TICK - timedelta(days=90)}
    members = [{**member, "unit_id": unit_id} for unit_id in ("W1_PICK_TOTAL", *LANES, "W2_PICK_TOTAL")]
    return MasterData(
        buffers_frames.make_warehouses({}, {"warehouse": "W2"}),
        pl.DataFrame(members, schema=schema.UNIT_MEMBERS.polars),
        schema.SHIFTS.make_empty().collect(),
        schema.ALERT_ROUTES.make_empty().collect(),
    )


@contextmanager
def serve(directory: Path) -> Iterator[Floor]:
    """Serve a floor with a warehouse and an alert until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as listening, httpx.HTTPTransport() as transport:
        port = listening.getsockname()[1]
        url = f"sqlite:///{directory}/record_store.db"
        Database(url).upgrade()
        links = LinkSigner(f"http://127.0.0.1:{port}", [SECRET])
        floor = Floor(NoticeStore(Database(url)), BufferStore(Database(url)), links, transport)
        floor.store.merge_master_data(make_masters())
        floor.reset()
        pages = build_app(
            alerts=floor.notices,
            answers=floor.store,
            links=links,
            policy_version=lambda: floor.policy,
            clock=lambda: floor.now,
        )
        with serve_app(pages, listening):
            yield floor
