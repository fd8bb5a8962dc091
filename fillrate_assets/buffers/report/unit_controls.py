"""What people stopped of each unit, and who knows of its problems, as the boards show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import polars as pl

from fillrate_assets.buffers.control_store import ControlStore
from fillrate_assets.buffers.rules.alert_suppression import EPISODE
from fillrate_assets.buffers.rules.silences import join_silences, select_controls
from fillrate_assets.buffers.schema import ANY

_ANY_EPISODE: Final = timedelta(days=7)


@dataclass(frozen=True)
class Acknowledgement:
    """Someone knows of a problem."""

    by: str
    at: datetime
    severity: str
    """How bad it was then."""


@dataclass(frozen=True)
class OpenEpisode:
    """A problem that is not over."""

    direction: str
    episode: int
    severity: str
    """How bad it is; if that is not known now, how bad it was."""

    since: datetime
    acknowledged: Sequence[Acknowledgement]
    """Latest first."""


@dataclass(frozen=True)
class ActiveSilence:
    """Why no alert of a unit is sent."""

    silence_id: str
    kind: str
    until: datetime | None
    """None where it has no end."""

    reason: str
    by: str
    of_unit: bool
    """Whether it is of this unit alone."""


@dataclass(frozen=True)
class UnitControls:
    """What people set about a unit."""

    episodes: Sequence[OpenEpisode] = field(default_factory=list)
    silences: Sequence[ActiveSilence] = field(default_factory=list)


def read_unit_controls(
    store: ControlStore, units: pl.DataFrame, open_alerts: pl.DataFrame, time_zones: Mapping[str, str], at: datetime
) -> dict[str, UnitControls]:
    """Read what people set about units, as of a moment.

    Args:
        store: where that is.
        units: columns warehouse, pool and unit_id.
        open_alerts: `ALERTS` of one tick, those that are open.
        time_zones: of the warehouses; of one alone, what is read is of it alone.
        at: UTC.

    Raises:
        SourceUnavailable: the store did not answer.

    """
    (warehouse, *more) = time_zones or [None]
    only = None if more else warehouse
    controls = select_controls(
        store.read_acknowledgements(at - _ANY_EPISODE, only), store.read_silences(at, only), time_zones, at
    )
    whose = controls.silences.select("silence_id", pl.col("unit_id").alias("scope"))
    silences = (
        join_silences(units.unique(), controls.silences).join(whose, on="silence_id").sort("until_ts", nulls_last=True)
    )
    of_units = silences.partition_by("unit_id", as_dict=True)
    known = open_alerts.select(EPISODE).join(controls.acknowledgements, on=EPISODE).sort("acknowledged_at")
    episodes = open_alerts.sort("opened_ts").partition_by("unit_id", as_dict=True)
    return {
        unit_id: UnitControls(
            _list_episodes(episodes.get((unit_id,), open_alerts.clear()), known),
            _list_silences(of_units.get((unit_id,), silences.clear())),
        )
        for unit_id in units["unit_id"].unique()
    }


def format_controls(controls: UnitControls) -> str:
    """Format in a few words what is stopped, for a terminal: times are UTC."""
    silences = [
        f"{each.kind.lower()}{f' until {each.until:%H:%M}' if each.until else ''}, {each.by}: {each.reason}"
        for each in controls.silences
    ]
    known = [f"{each.acknowledged[0].by} knows" for each in controls.episodes if each.acknowledged]
    return "; ".join([*silences, *known])


def _list_episodes(alerts: pl.DataFrame, known: pl.DataFrame) -> list[OpenEpisode]:
    return [
        OpenEpisode(
            row["direction"],
            row["episode"],
            row["severity"] or row["peak_notified_severity"] or "WARN",
            row["opened_ts"],
            [
                Acknowledgement(each["acknowledged_by"], each["acknowledged_at"], each["severity"])
                for each in known.filter(**{name: row[name] for name in EPISODE}).reverse().iter_rows(named=True)
            ],
        )
        for row in alerts.iter_rows(named=True)
    ]


def _list_silences(rows: pl.DataFrame) -> list[ActiveSilence]:
    return [
        ActiveSilence(
            row["silence_id"], row["kind"], row["until_ts"], row["reason"], row["created_by"], row["scope"] != ANY
        )
        for row in rows.iter_rows(named=True)
    ]
