"""Visits: what a page is about, of when, beside what, and within which DCs its visitor sees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from typing import Any, Final

import polars as pl
from starlette.exceptions import HTTPException
from starlette.requests import Request

from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.fillrate.report import labels
from fillrate_assets.fillrate.report.periods import USUAL, Period, list_presets
from fillrate_assets.fillrate.report.report_request import PlatformReports, ReportRequest
from fillrate_assets.fillrate.report.service_report import Report, find_earlier_period
from fillrate_assets.fillrate.rules.service_metrics import GROUPINGS
from fillrate_assets.settings import Settings
from fillrate_assets.storage.lake import Lake
from fillrate_assets.web.access import Person
from fillrate_assets.web.buyers.addresses import Address, Compare, parse_address, show_value
from fillrate_assets.web.signed_in import PageProblem, find_person

MOST_DCS: Final = 10_000
_NOTHING: Final = "Nothing of that"


@dataclass(frozen=True)
class Desk:
    """What the pages are made of."""

    settings: Settings
    reports: PlatformReports
    base_url: str
    clock: Callable[[], datetime]
    read_targets: Callable[[], pl.DataFrame | None]
    """Returns what is aimed at, as of `fillrate report --targets`."""

    @property
    def lake(self) -> Lake:
        """Return where the frames are."""
        return self.reports.facts.lake

    def open_visit(self, request: Request) -> Visit:
        """Open a visit.

        Raises:
            HTTPException: 401 or 404 of someone who may see none of this, 400 of what cannot be meant, 404 of a DC
                that is not there or not theirs.

        """
        person, every = self.find_dcs(request)
        address = parse_address(request)
        visit = Visit(self, address, person, every)
        visit.require_own_dcs()
        return visit

    def has_days(self) -> bool:
        """Return whether anything was computed."""
        return not self.reports.read_known("dc", limit=1).is_empty()

    def find_dcs(self, request: Request) -> tuple[Person, Sequence[str]]:
        """Find who visits, and the DCs whose service they may see; 404 where there is none."""
        person = find_person(request)
        if not person.sees_service:
            raise HTTPException(404)
        return person, person.select_dcs(self.reports.read_known("dc", limit=MOST_DCS)["name"])


@dataclass(frozen=True)
class Visit:
    """A visit to a page."""

    desk: Desk
    address: Address
    person: Person
    dcs: Sequence[str]
    """That this person sees."""

    @property
    def restricted(self) -> bool:
        """Return whether there are DCs that this person does not see, or may not see once they are there."""
        return not self.person.select_dcs(["*any*"])

    @cached_property
    def span(self) -> tuple[Period, dict[str, Period]]:
        """The ship dates that there are, and the periods that are offered."""
        try:
            first, last = self.desk.reports.read_span()
        except PermanentFailure:
            text = "No ship date was computed yet. `fillrate run` computes what the sources hold."
            raise PageProblem(404, "Nothing is computed yet", text) from None
        return Period(first, last), list_presets(self.desk.clock().date(), last)

    @property
    def period(self) -> Period:
        """Return the ship dates that are shown."""
        return self.address.period or self.span[1][USUAL]

    @property
    def shown_dcs(self) -> list[str] | None:
        """Return the DCs that this page is of; None for all."""
        chosen = [dc for dc in self.address.limits.get("dc", ()) if dc is not None]
        return chosen or ([*self.dcs] if self.restricted else None)

    def require_own_dcs(self) -> None:
        """Refuse a DC that is not there or not this person's: for them the two are the same."""
        for dc in self.address.limits.get("dc", ()):
            if dc is None or dc not in self.dcs:
                nearest = labels.find_nearest(show_value(dc), self.dcs)
                raise PageProblem(404, "No such DC", "There is no such DC." + _suggest(nearest))

    def request(self, by: Sequence[str] = (), **changes: Any) -> ReportRequest:  # noqa: ANN401 - fields of a request
        """Return the request of a report of what this page shows."""
        filters = dict(self.address.limits)
        if self.restricted and "dc" not in filters:
            filters["dc"] = list(self.dcs)
        request = ReportRequest(by, self.period.first, self.period.last, filters, self.compared)
        targets = self.choose_targets(by)
        return ReportRequest(**{**vars(request), "targets": targets, **changes})

    @property
    def earlier(self) -> tuple[date, date]:
        """Return the ship dates that it is compared with, if there is anything of them."""
        return find_earlier_period(self.address.compare, self.period.first, self.period.last, ())[:2]

    @property
    def compared(self) -> Compare | None:
        """Return what it is compared with; None where there is nothing to compare with."""
        first, last = self.earlier
        known = self.span[0]
        return self.address.compare if last >= known.first and first <= known.last else None

    def read(self, by: Sequence[str] = (), **changes: Any) -> Report:  # noqa: ANN401 - as above
        """Read a report of what this page shows.

        Raises:
            PageProblem: there is nothing of that; the nearest is named.

        """
        request = self.request(by, **changes)
        try:
            return self.desk.reports.read(request)
        except PermanentFailure as error:
            if request.compare is None:
                raise PageProblem(404, _NOTHING, f"{str(error)[:1].upper()}{str(error)[1:]}.") from error
        # What is there now need not have been there then.
        return self.read(by, **{**changes, "compare": None})

    def choose_targets(self, by: Sequence[str]) -> pl.DataFrame | None:
        """Choose the targets that a report by some columns can have: of what the page is of, or of its groups."""
        targets = self.desk.read_targets()
        if targets is None:
            return None
        for name in [name for name in targets.columns if name in GROUPINGS and name not in by]:
            values = self.address.limits.get(name, ())
            if len(values) != 1:
                return None
            targets = targets.filter(pl.col(name).eq_missing(pl.lit(values[0]))).drop(name)
        return targets if targets.height else None


def _suggest(nearest: str | None) -> str:
    return f" The nearest is {nearest}." if nearest else ""
