"""The buyers' pages over a published network, without a server; and their browsers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

import httpx
import polars as pl
from starlette.applications import Starlette

from fillrate_assets.fillrate.report.report_request import PlatformReports
from fillrate_assets.settings import Settings
from fillrate_assets.web.access import Person
from fillrate_assets.web.authentication import COOKIE, SessionSigner
from fillrate_assets.web.buyers.app import build_routes
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


@dataclass
class Service:
    """The pages, and what they aim at."""

    settings: Settings
    targets: pl.DataFrame | None = None
    base_url: str = URL

    @property
    def desk(self) -> Desk:
        """Return what the pages are made of."""
        return Desk(
            self.settings,
            PlatformReports.from_settings(self.settings),
            self.base_url,
            lambda: NOW,
            lambda: self.targets,
        )

    def open(self, *grants: str, name: str = "Kim") -> httpx.Client:
        """Open a browser that is signed in, with as many grants as are given."""
        app = SecurityHeaders(Starlette(routes=build_routes(self.desk, [SIGNER], [SECRET])))
        token = SIGNER.sign(Person.with_grants(name, grants))
        return httpx.Client(base_url=URL, transport=AsgiTransport(app), cookies={COOKIE: token})
