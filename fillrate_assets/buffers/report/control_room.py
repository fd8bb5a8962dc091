"""The control room: what every unit of a floor is now, what to do, who was notified, and what the floor answered."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any, Final

import polars as pl

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.buffer_store import BufferStore
from fillrate_assets.buffers.control_store import ControlStore
from fillrate_assets.buffers.notice_store import NoticeStore
from fillrate_assets.buffers.report.board import find_tick
from fillrate_assets.buffers.report.notice_text import Described, describe_recommendation
from fillrate_assets.buffers.report.unit_controls import UnitControls, read_unit_controls
from fillrate_assets.buffers.rules import status_board
from fillrate_assets.buffers.rules.path_signals import load_time_zone
from fillrate_assets.buffers.rules.policy import Policy
from fillrate_assets.buffers.rules.tick import TICK
from fillrate_assets.buffers.tick_store import LakeTickStore
from fillrate_assets.notifications.notifiers.channel import redact_channel
from fillrate_assets.storage.lake import Lake

TREND: Final = timedelta(minutes=60)
"""What the board shows of each unit."""

COURSE: Final = timedelta(hours=4)
"""What the page of a unit shows of it."""

PAST: Final = timedelta(hours=24)
"""How far back the page of a unit lists notices and answers."""

_PLACE: Final = ("warehouse", "pool", "unit_id")


@dataclass(frozen=True)
class Site:
    """A warehouse as its people know it."""

    warehouse: str
    dc: str
    name: str
    time_zone: str

    @property
    def zone(self) -> tzinfo:
        """Its time zone; UTC where that does not exist."""
        return load_time_zone(self.time_zone)

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Site:
        """Make it of a row of `WAREHOUSES`."""
        return cls(row["warehouse"], row["dc"], row["name"], row["time_zone"])


@dataclass(frozen=True)
class SiteState:
    """A warehouse at a glance."""

    site: Site
    counts: Mapping[str, int]
    """Units in each state, all states named, worst first."""


@dataclass(frozen=True)
class Sent:
    """A notice to a channel."""

    channel: str
    at: datetime
    """Of its tick."""

    label: str
    severity: str
    failure: str | None
    """Why it did not arrive, if so."""


@dataclass(frozen=True)
class Answer:
    """What someone on the floor answered."""

    responder: str
    answer: str
    at: datetime
    note: str | None


@dataclass(frozen=True)
class UnitState:
    """A unit at a tick."""

    unit_id: str
    pool: str
    state: str
    fill: float | None
    missing_feeds: str | None
    words: Described
    since: datetime | None
    """When its open episode began."""

    sent: Sequence[Sent]
    """To whom, in that episode."""

    answers: Sequence[Answer]
    controls: UnitControls
    trend: Sequence[float | None]
    """Fill at the ticks of the last hour."""


@dataclass(frozen=True)
class FeedState:
    """A feed that brings nothing that can be used."""

    unit_id: str
    """What alerts call it, as W0001_DATA_OCCUPANCY."""

    words: Described
    controls: UnitControls


@dataclass(frozen=True)
class Board:
    """A floor at a tick, worst unit first."""

    site: Site
    tick: datetime
    counts: Mapping[str, int]
    """Units in each state, all states named, worst first."""

    units: Sequence[UnitState]
    feeds: Sequence[FeedState]


@dataclass(frozen=True)
class Course:
    """A unit's last hours, a row for each tick that is stored."""

    site: Site
    now: UnitState
    tick: datetime
    rows: pl.DataFrame
    """Columns snapshot_ts, fill, inflow_rate, outflow_rate, state."""

    limits: Mapping[str, float]
    """From which fill on something is done, by what it is then."""

    sent: Sequence[Sent]
    answers: Sequence[Answer]


@dataclass(frozen=True)
class ControlRoom:
    """The stores of a floor, and what is shown of them."""

    buffers: BufferStore
    notices: NoticeStore
    lake: Lake
    policy: Callable[[], Policy]
    """Returns the policy that decides now."""

    @property
    def controls(self) -> ControlStore:
        """What people set."""
        return ControlStore(self.buffers.database)

    def read_overview(self, warehouses: pl.DataFrame, now: datetime) -> tuple[datetime, list[SiteState]]:
        """Read the latest tick and what each of some warehouses is at it, worst first.

        Args:
            warehouses: `WAREHOUSES`.
            now: UTC.

        Raises:
            PermanentFailure: no tick is stored.
            SourceUnavailable: a store did not answer.

        """
        ticks = LakeTickStore(self.lake, tuple(sorted(set(warehouses["dc"]))))
        tick = find_tick(ticks, None, now)
        said = ticks.read(schema.RECOMMENDATIONS, tick, tick).collect()
        parts = said.partition_by("warehouse", as_dict=True)
        states = [
            SiteState(Site.of_row(row), status_board.count_states(parts.get((row["warehouse"],), said.clear())))
            for row in warehouses.sort("warehouse").iter_rows(named=True)
        ]
        return tick, sorted(states, key=lambda each: [-count for count in each.counts.values()])

    def read_board(self, site: Site, now: datetime, at: datetime | None = None) -> Board:
        """Read the floor of a warehouse at the tick at or before a moment, or the latest.

        Raises:
            PermanentFailure: no tick is stored, or none until then.
            SourceUnavailable: a store did not answer.

        """
        ticks = LakeTickStore(self.lake, (site.dc,))
        tick = find_tick(ticks, at, now)
        until = now if at is None else tick
        said = ticks.read(schema.RECOMMENDATIONS, tick, tick).filter(pl.col("warehouse") == site.warehouse).collect()
        units = list(self._read_units(site, ticks, said, tick, until))
        feeds = self._read_feeds(site, ticks, said, tick, until)
        return Board(site, tick, status_board.count_states(said), units, feeds)

    def _read_feeds(
        self, site: Site, ticks: LakeTickStore, said: pl.DataFrame, tick: datetime, until: datetime
    ) -> list[FeedState]:
        """Read the feeds that some `RECOMMENDATIONS` of a tick find wrong, as of a moment."""
        data = said.filter(pl.col("direction") == "DATA", pl.col("action").is_not_null())
        if data.is_empty():
            return []
        mine = pl.col("unit_id").is_in(data["unit_id"].implode())
        opened = ticks.read(schema.ALERTS, tick, tick).filter("is_open", mine).collect()
        zones = {site.warehouse: site.time_zone}
        controls = read_unit_controls(self.controls, data.select(_PLACE), opened, zones, until)
        return [
            FeedState(row["unit_id"], describe_recommendation(row, site.zone, {}), controls[row["unit_id"]])
            for row in data.iter_rows(named=True)
        ]

    def read_course(self, site: Site, unit_id: str, now: datetime, at: datetime | None = None) -> Course | None:
        """Read the last hours of a unit until a tick; None where the tick has no such unit.

        Raises:
            PermanentFailure: no tick is stored, or none until then.
            SourceUnavailable: a store did not answer.

        """
        ticks = LakeTickStore(self.lake, (site.dc,))
        tick = find_tick(ticks, at, now)
        unit = pl.col("unit_id") == unit_id
        until = now if at is None else tick
        said, units = (
            ticks.read(frame, tick - COURSE, tick).filter(unit).collect()
            for frame in (schema.RECOMMENDATIONS, schema.UNIT_TIMESERIES)
        )
        (found, *_) = [*self._read_units(site, ticks, said.filter(snapshot_ts=tick), tick, until), None]
        if found is None:
            return None
        states = status_board.compute_course(said).drop("unit_id")
        alerts = ticks.read(schema.ALERTS, tick - PAST, tick).filter(unit).collect()
        return Course(
            site,
            found,
            tick,
            units.sort("snapshot_ts")
            .select("snapshot_ts", "fill", "inflow_rate", "outflow_rate")
            .join(states, on="snapshot_ts", how="left", maintain_order="left"),
            _list_limits(self.policy(), units["unit_type"][-1]) if units.height else {},
            _list_sent(self.notices.read_history(alerts), tick),
            _list_answers(self.buffers.read_feedback(tick - PAST).filter(unit), until),
        )

    def _read_units(
        self, site: Site, ticks: LakeTickStore, said: pl.DataFrame, tick: datetime, until: datetime
    ) -> Iterator[UnitState]:
        """Read the units that some `RECOMMENDATIONS` of a tick are of, worst first, as of a moment."""
        chosen = pl.col("unit_id").is_in(said["unit_id"].unique().implode())
        alerts = ticks.read(schema.ALERTS, tick, tick).filter(chosen).collect()
        past = ticks.read(schema.UNIT_TIMESERIES, tick - TREND, tick).filter(chosen).collect()
        trends = past.select("unit_id", "snapshot_ts", "fill").partition_by("unit_id", as_dict=True)
        labels = self.buffers.read_master_data(site.warehouse).labels
        still_open = alerts.filter("is_open")
        history = self.notices.read_history(still_open)
        answers = self.buffers.read_feedback(tick - PAST).filter(chosen)
        rows = {row["unit_id"]: row for row in status_board.select_worst(said).iter_rows(named=True)}
        listed = status_board.list_units(said, past.filter(snapshot_ts=tick), labels)
        controls = read_unit_controls(
            self.controls, said.select(_PLACE), still_open, {site.warehouse: site.time_zone}, until
        )
        moments = pl.datetime_range(tick - TREND, tick, TICK, eager=True, time_unit="us")
        for unit in listed.iter_rows(named=True):
            unit_id, row = unit["unit_id"], rows[unit["unit_id"]]
            own = trends.get((unit_id,))
            by_tick = {} if own is None else dict(own.select("snapshot_ts", "fill").iter_rows())
            opened = still_open.filter(unit_id=unit_id)["opened_ts"].min()
            yield UnitState(
                unit_id,
                row["pool"],
                unit["state"],
                unit["fill"],
                unit["missing_feeds"],
                describe_recommendation(row, site.zone, labels),
                opened if isinstance(opened, datetime) else None,
                _list_sent(history.filter(unit_id=unit_id), tick),
                _list_answers(answers.filter(unit_id=unit_id), until) if opened else [],
                controls[unit_id],
                [by_tick.get(moment) for moment in moments],
            )


def _list_limits(policy: Policy, unit_type: str) -> dict[str, float]:
    """List the fills from which on the floor acts, of a kind of unit."""
    overflow = {"TOTAL": policy.total, "INDUCT": policy.induct}.get(unit_type, policy.lane)
    return {"emergency": overflow.emergency, "act": overflow.act, "empty": policy.starvation.act}


def _list_sent(history: pl.DataFrame, until: datetime) -> list[Sent]:
    """List notices until a tick, latest first, of what `NoticeStore.read_history` has."""
    return [
        Sent(redact_channel(row["channel"]), row["snapshot_ts"], row["label"], row["severity"], row["failure"])
        for row in history.filter(pl.col("snapshot_ts") <= until)
        .sort("snapshot_ts", "channel", descending=[True, False])
        .iter_rows(named=True)
    ]


def _list_answers(feedback: pl.DataFrame, until: datetime) -> list[Answer]:
    """List answers until a moment, latest first; of one person to one alert, the last."""
    latest = feedback.filter(pl.col("answered_at") <= until).sort("answered_at", descending=True)
    last = latest.unique(["rec_id", "responder"], keep="first", maintain_order=True)
    return [
        Answer(row["responder"], row["answer"], row["answered_at"], row["note"]) for row in last.iter_rows(named=True)
    ]
