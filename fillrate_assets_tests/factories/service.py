"""The buyers' pages over a published network, without a server; and their browsers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from typing import Final

import httpx
import polars as pl
from starlette.applications import Starlette
from starlette.routing import BaseRoute

from fillrate_assets.core.errors import SourceUnavailable
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.report.report_request import PlatformReports
from fillrate_assets.notifications.delivery import RetrySchedule
from fillrate_assets.notifications.notifiers.channel import OutgoingMessage
from fillrate_assets.notifications.outbox import Send
from fillrate_assets.notifications.signed_links import LinkSigner
from fillrate_assets.settings import Settings
from fillrate_assets.storage.action_log import ActionLog
from fillrate_assets.storage.database import Database
from fillrate_assets.subscriptions.view_store import ViewStore
from fillrate_assets.web.access import Person
from fillrate_assets.web.actions import Actions
from fillrate_assets.web.authentication import COOKIE, SessionSigner
from fillrate_assets.web.buyers.app import build_routes
from fillrate_assets.web.buyers.destinations import Destinations
from fillrate_assets.web.buyers.sending import ViewSender
from fillrate_assets.web.buyers.view_pages import ViewPages
from fillrate_assets.web.buyers.visits import Desk
from fillrate_assets.web.security_headers import SecurityHeaders
from fillrate_assets_tests.conftest import SMALL
from fillrate_assets_tests.factories.web_floor import SECRET
from fillrate_assets_tests.fixtures.asgi_transport import AsgiTransport

URL: Final = "http://service.example"
NOW: Final = datetime(2026, 3, 16, 6, tzinfo=UTC)
"""The Monday after the last ship day of the network."""

SIGNER: Final = SessionSigner([SECRET], lambda: NOW)
WEEKS: Final = {"from": "2026-02-16", "to": "2026-03-15"}
"""The usual period at that time."""

LAST: Final[date] = SMALL.last


_SOON: Final = RetrySchedule()


def _refuse(_: OutgoingMessage) -> None:
    msg = "nothing is sent from here"
    raise SourceUnavailable(msg)


@dataclass
class Service:
    """The pages, and what they aim at."""

    settings: Settings
    targets: pl.DataFrame | None = None
    base_url: str = URL
    max_age_seconds: float = 0
    """How long what is stored may be as it was: a test that changes no day needs to look it up once."""

    @cached_property
    def desk(self) -> Desk:
        """Return what the pages are made of."""
        return Desk(
            self.settings,
            PlatformReports.from_settings(self.settings, self.max_age_seconds),
            self.base_url,
            lambda: NOW,
            lambda: self.targets,
        )

    @property
    def database(self) -> Database:
        """Return the record store."""
        return Database.from_settings(self.settings)

    @property
    def views(self) -> ViewStore:
        """Return the saved views."""
        return ViewStore(self.database)

    def make_sender(self, send: Send, schedule: RetrySchedule = _SOON) -> ViewSender:
        """Make what sends saved views, over something that sends a message."""
        destinations = Destinations.from_settings(self.settings.web)
        links = LinkSigner(self.base_url, [SECRET])
        return ViewSender(self.desk, self.views, send, links, destinations, schedule=schedule)

    def build_routes(self, sent: Send = _refuse) -> list[BaseRoute]:
        """Build the routes of the pages."""
        sender, log = self.make_sender(sent), ActionLog(self.database)
        actions = Actions(self.base_url, [SECRET], log, lambda: NOW)
        views = ViewPages(sender, actions, log, self.settings.web.subscription_time_zone)
        return build_routes(sender.desk, [SIGNER], [SECRET], views)

    def find_names(self) -> dict[str, str]:
        """Find an item of DC01, a day on which it was short, and a vendor that lost cases on its contract."""
        records = self.desk.lake.scan(schema.LOST_CASES, ["DC01"], date(2026, 2, 16), date(2026, 3, 15))
        owed = records.filter(pl.col("contract_lost_cases") > 0).sort("ship_date", "item").collect()
        item, day, vendor = owed.select("item", "ship_date", "vendor").row(-1)
        return {"item": item, "day": str(day), "vendor": vendor}

    def open(self, *grants: str, name: str = "Kim", sent: Send = _refuse) -> httpx.Client:
        """Open a browser that is signed in, with as many grants as are given."""
        app = SecurityHeaders(Starlette(routes=self.build_routes(sent)))
        token = SIGNER.sign(Person.with_grants(name, grants))
        return httpx.Client(base_url=URL, transport=AsgiTransport(app), cookies={COOKIE: token})
