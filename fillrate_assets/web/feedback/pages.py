"""The three pages of the floor: answer an alert, report what was missed, look at a sample of what was silent.

A page knows no HTTP: it is shown to a visitor, and takes what the visitor sends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from hashlib import sha256
from typing import Any, Final, Protocol

import polars as pl

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.report import notice_text
from fillrate_assets.buffers.rules import scorecard, unit_timeseries
from fillrate_assets.buffers.rules.alert_suppression import derive_episode_key
from fillrate_assets.buffers.rules.path_signals import load_time_zone
from fillrate_assets.buffers.rules.policy import TICK_MINUTES
from fillrate_assets.buffers.rules.tick import MasterData
from fillrate_assets.notifications.signed_links import Link
from fillrate_assets.web.feedback.forms import AnswerForm, QuietForm, ReportForm, WithdrawForm
from fillrate_assets.web.feedback.stores import Alerts, Answers, Recorder
from fillrate_assets.web.forms import FormError, NamedForm, parse_form

AUDITED_UNITS: Final = 10
"""Units of a warehouse that are looked at in a week."""

ANSWERS: Final = {
    "CORRECT": "Yes, it was right",
    "NO_PROBLEM": "There was no problem",
    "WRONG_ACTION": "Real problem, wrong action",
    "WRONG_QTY": "Right action, wrong number",
    "TOO_LATE": "It came too late",
    "ALREADY_KNOWN": "We already knew",
}
DIRECTIONS: Final = {"OVERFLOW": "Too full", "STARVATION": "Too empty"}

_BLANK: Final[Mapping[str, Any]] = dict.fromkeys(schema.FEEDBACK.names)
_MOMENT: Final = "%a %d %b %Y, %H:%M %Z"
_INPUT: Final = "%Y-%m-%dT%H:%M"
"""What a browser's date and time field holds."""


class NothingThereError(Exception):
    """The link is good, but what it is about is not, or not any more."""


@dataclass(frozen=True)
class Visit:
    """Who looks at a page, and when."""

    link: Link
    responder: str
    """Who it is as far as is known; "" if not."""

    now: datetime
    recorded: str = ""
    """rec_id of what was just recorded."""


@dataclass(frozen=True)
class Page:
    """What is shown."""

    template: str
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Receipt:
    """What was sent is stored; the page is to be shown again, with a note of it."""

    responder: str
    recorded: str = ""


class FeedbackPage(Protocol):
    """One of the pages."""

    def show(self, visit: Visit) -> Page:
        """Return what a visitor sees; nothing is recorded."""

    def submit(self, visit: Visit, sent: Mapping[str, str]) -> Receipt:
        """Record what a visitor sent; a `FormError` names what is wrong with it."""


@dataclass(frozen=True)
class Site:
    """A warehouse as its people know it."""

    warehouse: str
    name: str
    zone: tzinfo
    masters: MasterData

    @staticmethod
    def read(answers: Answers, warehouse: str) -> Site:
        """Read the site of a warehouse."""
        masters = answers.read_master_data(warehouse)
        if masters.warehouses.is_empty():
            raise NothingThereError
        row = masters.warehouses.row(0, named=True)
        return Site(warehouse, row["name"], load_time_zone(row["time_zone"]), masters)

    def list_units(self, at: datetime) -> pl.DataFrame:
        """Return unit_id, warehouse and unit_type of the units that it has at a time."""
        return unit_timeseries.list_units(self.masters.unit_members, at=at)

    @property
    def title(self) -> str:
        """What it is called."""
        return f"{self.warehouse} {self.name}"

    def format_time(self, moment: datetime) -> str:
        """Format a moment at the warehouse's own time."""
        return moment.astimezone(self.zone).strftime(_MOMENT)

    def format_input(self, moment: datetime) -> str:
        """Format a moment as a field for date and time holds it."""
        return moment.astimezone(self.zone).strftime(_INPUT)

    def parse_input(self, typed: datetime, *, since: datetime, until: datetime) -> datetime:
        """Return the moment, UTC, that was typed at the warehouse's own time.

        Raises:
            FormError: it is not between the two.

        """
        # Within a day of the limits: at the ends of the calendar, a zone leads out of it.
        near = (since - timedelta(days=1)).date() <= typed.date() <= (until + timedelta(days=1)).date()
        moment = typed.replace(tzinfo=self.zone).astimezone(UTC) if near and typed.tzinfo is None else None
        if moment is None or not since <= moment <= until:
            msg = f"The time must be between {self.format_time(since)} and {self.format_time(until)}."
            raise FormError(msg)
        return moment


class AlertPage:
    """The alert as it was sent, and a tap for each answer."""

    def __init__(self, alerts: Alerts, answers: Answers, recorder: Recorder) -> None:
        """Over what was sent and what was answered."""
        self._alerts, self._answers, self._recorder = alerts, answers, recorder

    def show(self, visit: Visit) -> Page:
        """Return the form, filled in with what the visitor answered before; after an answer, what was recorded."""
        notices, _ = self._read_notice(visit.link.about)
        notice = notices.row(0, named=True)
        site = Site.read(self._answers, notice["warehouse"])
        last = self._recorder.find_last(visit.link.about, visit.responder) if visit.responder else None
        values = {"site": site, "last": last, "answered": ANSWERS.get(last["answer"]) if last else None}
        if last and visit.recorded:
            return Page("recorded.html", {**values, "at": site.format_time(last["answered_at"])})
        (message,) = notice_text.render_messages(
            notices, site.masters.warehouses, notice_text.Links(), labels=site.masters.labels
        )
        offered = {code: text for code, text in ANSWERS.items() if code in _list_offered(notice)}
        return Page(
            "alert.html",
            {
                **values,
                "section": message.sections[0],
                "at": site.format_time(notice["snapshot_ts"]),
                "answers": offered,
                "requested": notice["quantity"],
                "quantity_unit": notice["quantity_unit"],
                "filled": {"quantity": last["actual_quantity"], "note": last["note"]} if last else {},
            },
        )

    def submit(self, visit: Visit, sent: Mapping[str, str]) -> Receipt:
        """Record an answer."""
        form = parse_form(AnswerForm, sent)
        notices, since = self._read_notice(visit.link.about)
        notice = notices.row(0, named=True)
        if form.answer not in _list_offered(notice):
            msg = "Please tap one of the answers."
            raise FormError(msg)
        # A visitor who goes back finds an earlier number filled in, and sends it with any other answer too.
        quantity = form.quantity if form.answer == "WRONG_QTY" else None
        if form.answer == "WRONG_QTY" and quantity is None:
            msg = "Please type the number that would have been right, then tap again."
            raise FormError(msg)
        row = {name: notice[name] for name in schema.FEEDBACK.names if name in notice} | {
            "responder": form.responder,
            "answered_at": visit.now,
            "answer": form.answer,
            "actual_quantity": None if quantity is None else round(quantity, 4),
            "note": form.note,
            "episode_key": notices.select(derive_episode_key()).item(),
            "episode_ts": since,
        }
        self._recorder.record(row)
        return Receipt(form.responder, visit.link.about)

    def _read_notice(self, rec_id: str) -> tuple[pl.DataFrame, datetime]:
        """Return the notice of an alert, and when its episode was first sent."""
        episode = self._alerts.read_episode(rec_id)
        # In development, what was suppressed has the rec_id of what was sent before it.
        notices = episode.filter(pl.col("rec_id") == rec_id).sort(pl.col("notice_id") != rec_id, "snapshot_ts").head(1)
        if notices.is_empty():
            raise NothingThereError
        return notices, episode["snapshot_ts"].min()  # type: ignore[return-value]


def _list_offered(notice: Mapping[str, Any]) -> Sequence[str]:
    """Return the answers that make sense: a number that was not requested cannot be wrong."""
    return [code for code in ANSWERS if code != "WRONG_QTY" or notice["quantity"] is not None]


class MissedPage:
    """A problem that no alert reported."""

    def __init__(
        self, answers: Answers, recorder: Recorder, policy_version: Callable[[], str], lifetime: timedelta
    ) -> None:
        """Over what was answered; problems count against the policy that decides, and may lie back for so long."""
        self._answers, self._recorder = answers, recorder
        self._policy_version, self._lifetime = policy_version, lifetime

    def show(self, visit: Visit) -> Page:
        """Return the form; after a report, what was recorded, and how to take it back."""
        site = Site.read(self._answers, visit.link.about)
        values = {"site": site, "directions": DIRECTIONS}
        last = self._recorder.find_last(visit.recorded, visit.responder) if visit.recorded and visit.responder else None
        if last and last["warehouse"] == site.warehouse:
            return Page("reported.html", {**values, "last": last, "began": site.format_time(last["episode_ts"])})
        since, until = visit.now - self._lifetime, visit.now
        known = site.list_units(visit.now)
        return Page(
            "missed.html",
            {
                **values,
                "units": known["unit_id"].to_list(),
                "earliest": site.format_input(since),
                "latest": site.format_input(until),
                "filled": {"when": site.format_input(until)},
            },
        )

    def submit(self, visit: Visit, sent: Mapping[str, str]) -> Receipt:
        """Record a report, or that it was a mistake."""
        site = Site.read(self._answers, visit.link.about)
        if "withdraw" in sent:
            return self._withdraw(site, visit, parse_form(WithdrawForm, sent))
        form = parse_form(ReportForm, sent)
        known = site.list_units(visit.now)
        began = site.parse_input(form.when, since=visit.now - self._lifetime, until=visit.now)
        # Two who report one problem name the same 5 minutes, more often than not: then it counts once.
        tick = began - timedelta(minutes=began.minute % TICK_MINUTES)
        rec_id = f"missed.{form.unit_id}.{form.direction}.{tick:%Y%m%dT%H%MZ}"
        self._recorder.record(
            {
                **_build_report(rec_id, form, _find_unit(known, form.unit_id), began),
                "answered_at": visit.now,
                "policy_version": self._policy_version(),
            }
        )
        return Receipt(form.responder, rec_id)

    def _withdraw(self, site: Site, visit: Visit, form: WithdrawForm) -> Receipt:
        last = self._recorder.find_last(form.withdraw, form.responder)
        if last is None or last["warehouse"] != site.warehouse or last["episode_key"] is not None:
            raise NothingThereError
        self._recorder.record({**last, "answer": "NO_PROBLEM", "answered_at": visit.now})
        return Receipt(form.responder, form.withdraw)


class AuditPage:
    """Units of a week without an alert: was there a problem?"""

    def __init__(self, alerts: Alerts, answers: Answers, recorder: Recorder, policy_version: Callable[[], str]) -> None:
        """Over what was sent and what was answered; problems count against the policy that decides."""
        self._alerts, self._answers, self._recorder = alerts, answers, recorder
        self._policy_version = policy_version

    def show(self, visit: Visit) -> Page:
        """Return the sample, each unit with what the visitor answered."""
        site, since, until = self._read_week(visit)
        sample = self._draw_sample(site, visit.link.week)["unit_id"].to_list() if visit.responder else []
        shown = [self._describe_unit(site, visit, unit) for unit in sample]
        return Page(
            "audit.html",
            {
                "site": site,
                "week": visit.link.week,
                "from_day": f"{since.astimezone(site.zone):%a %d %b}",
                "to_day": f"{(until - timedelta(hours=12)).astimezone(site.zone):%a %d %b %Y}",
                "earliest": site.format_input(since),
                "latest": site.format_input(until - timedelta(minutes=1)),
                "units": shown,
                "answered": sum(unit["last"] is not None for unit in shown),
                "directions": DIRECTIONS,
            },
        )

    def submit(self, visit: Visit, sent: Mapping[str, str]) -> Receipt:
        """Record what was observed of a unit; with a name alone, nothing but the name."""
        site, since, until = self._read_week(visit)
        if sent.keys() == {"responder"}:
            return Receipt(parse_form(NamedForm, sent).responder)
        sample = self._draw_sample(site, visit.link.week)
        row: dict[str, Any]
        if "quiet" in sent:
            quiet = parse_form(QuietForm, sent)
            # Of no problem there is no direction, but the column has to have one.
            answer = {
                "answer": "NO_PROBLEM",
                "direction": "OVERFLOW",
                "episode_ts": since,
                "responder": quiet.responder,
            }
            row = {
                **_BLANK,
                **_find_unit(sample, quiet.quiet),
                **answer,
                "rec_id": _make_audit_id(visit.link, quiet.quiet),
            }
        else:
            form = parse_form(ReportForm, sent)
            began = site.parse_input(form.when, since=since, until=until - timedelta(minutes=1))
            row = _build_report(_make_audit_id(visit.link, form.unit_id), form, _find_unit(sample, form.unit_id), began)
        self._recorder.record({**row, "answered_at": visit.now, "policy_version": self._policy_version()})
        return Receipt(row["responder"], row["rec_id"])

    def _read_week(self, visit: Visit) -> tuple[Site, datetime, datetime]:
        """Return the warehouse, and begin and end of the week; there is nothing to see before it is over.

        Each alert of a running week would draw another sample, and answers to units of the one before would be lost.
        """
        site = Site.read(self._answers, visit.link.about)
        since, until = _find_limits(visit.link.week, site.zone)
        if visit.now < until:
            raise NothingThereError
        return site, since, until

    def _describe_unit(self, site: Site, visit: Visit, unit_id: str) -> dict[str, Any]:
        """Return a unit with what the visitor answered."""
        rec_id = _make_audit_id(visit.link, unit_id)
        last = self._recorder.find_last(rec_id, visit.responder)
        return {
            "unit_id": unit_id,
            "rec_id": rec_id,
            "last": last,
            "began": last and site.format_time(last["episode_ts"]),
        }

    def _draw_sample(self, site: Site, week: str) -> pl.DataFrame:
        """Draw the same units for everyone and every time, but for what is given up in the minutes after the week."""
        since, until = _find_limits(week, site.zone)
        known = site.list_units(since)
        seed = int.from_bytes(sha256(f"{site.warehouse} {week}".encode()).digest()[:4])
        notices = self._alerts.read_since(since, until=until, warehouse=site.warehouse)
        silent = scorecard.sample_silent_units(known["unit_id"].to_list(), notices, count=AUDITED_UNITS, seed=seed)
        return known.filter(pl.col("unit_id").is_in(silent))


def _build_report(rec_id: str, form: ReportForm, unit: Mapping[str, str], began: datetime) -> dict[str, Any]:
    """Return the row of `FEEDBACK` for a missed problem."""
    answer = {"answer": "MISSED_PROBLEM", "direction": form.direction, "episode_ts": began, "note": form.note}
    return {**_BLANK, **unit, **answer, "rec_id": rec_id, "responder": form.responder}


def _find_unit(known: pl.DataFrame, unit_id: str) -> Mapping[str, str]:
    rows = known.filter(pl.col("unit_id") == unit_id)
    if rows.is_empty():
        msg = "Please pick one of the units."
        raise FormError(msg)
    return rows.row(0, named=True)


def _make_audit_id(link: Link, unit_id: str) -> str:
    return f"audit.{link.week}.{unit_id}"


def _find_limits(week: str, zone: tzinfo) -> tuple[datetime, datetime]:
    """Return begin and end of an ISO week at a warehouse's own time, UTC."""
    year, number = week.split("-W")
    monday = date.fromisocalendar(int(year), int(number), 1)
    days = (monday, monday + timedelta(weeks=1))
    begin, end = (datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC) for day in days)
    return begin, end
