"""What changed: restatements since a moment, also since a browser last looked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final
from urllib.parse import urlencode

from itsdangerous import BadData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from fillrate_assets.fillrate.record_store import RecordStore
from fillrate_assets.fillrate.report.restated import MOST_ROWS, sum_restatements
from fillrate_assets.notifications.signed_links import make_serializer
from fillrate_assets.storage.database import Database
from fillrate_assets.web.buyers.addresses import NO_NAME, Address
from fillrate_assets.web.buyers.tables import make_link
from fillrate_assets.web.buyers.visits import Desk
from fillrate_assets.web.signed_in import PageProblem
from fillrate_assets.web.tables import Change, Link, Table

PATH: Final = "/changes"
COOKIE: Final = "fillrate_looked"
_SALT: Final = "fillrate.looked"
_MAX_AGE: Final = timedelta(days=180)
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True)
class LastLook:
    """When a browser last looked at what changed, signed, in a cookie."""

    secrets: Sequence[str]
    secure: bool

    def read(self, request: Request) -> datetime | None:
        """Read it; None of a browser that never looked, or of a cookie that is not ours."""
        try:
            return datetime.fromtimestamp(make_serializer(self.secrets, _SALT).loads(request.cookies[COOKIE]), UTC)
        except (BadData, KeyError, TypeError, ValueError, OverflowError):
            return None

    def write(self, response: Response, now: datetime) -> None:
        """Write that a browser looks now."""
        token = make_serializer(self.secrets, _SALT).dumps(int(now.timestamp()))
        age = int(_MAX_AGE.total_seconds())
        response.set_cookie(COOKIE, token, max_age=age, secure=self.secure, httponly=True, samesite="lax")


def redirect_to_last(desk: Desk, look: LastLook, request: Request) -> Response:
    """Redirect to what changed since the browser last looked, or else in the last day: the address says since when."""
    now = desk.clock()
    since = look.read(request) or now - _DAY
    response = RedirectResponse(link_since(desk, since), status_code=303)
    look.write(response, now)
    return response


def link_since(desk: Desk, since: datetime) -> str:
    """Link what changed since a moment."""
    return f"{desk.base_url}{PATH}?{urlencode({'since': f'{since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}'})}"


def link_dcs(dcs: Sequence[str]) -> str:
    """Link what changed at some DCs, without its beginning; of none, at all that someone sees."""
    return f"{PATH}?{urlencode([('dc', dc) for dc in dcs])}" if dcs else PATH


def sum_lost(table: Table) -> Change:
    """Add up by how much what was lost changed."""
    return Change(sum((row[2] for row in table.rows if isinstance(row[2], Decimal)), Decimal(0)))


def find_shown_dcs(desk: Desk, request: Request) -> tuple[list[str] | None, Sequence[str]]:
    """Find the DCs that are shown, None for all, and those that someone is limited to; 404 of any other."""
    person, dcs = desk.find_dcs(request)
    restricted = not person.select_dcs([NO_NAME])
    chosen = request.query_params.getlist("dc")
    if any(dc not in dcs for dc in chosen):
        raise HTTPException(404)
    return chosen or ([*dcs] if restricted else None), dcs if restricted else ()


def parse_since(request: Request) -> datetime:
    """Parse the moment that an address names."""
    try:
        since = datetime.fromisoformat(request.query_params["since"])
    except ValueError:
        raise PageProblem(400, "No such moment", "Write it as since=2026-03-14T06:00Z.") from None
    return since.replace(tzinfo=UTC) if since.tzinfo is None else since.astimezone(UTC)


def make_changes(desk: Desk, since: datetime, dcs: Sequence[str] | None) -> Table:
    """Make the table of what changed since a moment, by DC and item."""
    store = RecordStore(Database.from_settings(desk.settings))
    rows = store.read_restatements_since(since, dcs, limit=MOST_ROWS)
    nowhere = Address()
    headings = ["Item", "DC", "Lost", "Ordered", "Shipped", "Ship dates", "From", "To", "Records", "Why", "Restated"]
    cells = [
        [
            Link(row["item"], nowhere.show_item(row["item"], row["dc"], str(row["last"])).format(desk.base_url)),
            make_link(nowhere, desk.base_url, "dc", row["dc"]),
            *(Change(row[f"{name}_cases_change"]) for name in ("lost", "ordered", "shipped")),
            row["ship_dates"],
            row["first"],
            row["last"],
            row["records"],
            row["cause"],
            row["restated_at"].replace(tzinfo=UTC),
        ]
        for row in sum_restatements(rows).iter_rows(named=True)
    ]
    note = f"Of the latest {MOST_ROWS:,} changed values alone." if rows.height == MOST_ROWS else ""
    return Table(headings, cells, "Nothing changed: every published number is as it was then.", note=note)
