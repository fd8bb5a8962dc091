"""Running history again with another policy, in memory, and comparing what would have been told."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import polars as pl
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from fillrate_assets.buffers import feedback, schema, tick
from fillrate_assets.buffers.policy import Policy, Promotion
from fillrate_assets.buffers.suppression import EPISODE
from fillrate_assets.connections.buffer_store import BufferStore
from fillrate_assets.connections.floor_feeds import FloorFeeds
from fillrate_assets.connections.lake import Lake
from fillrate_assets.connections.tick_lake import TickLake
from fillrate_assets.errors import PermanentFailure
from fillrate_assets.settings import Settings

_NAME: Final = "replay"
_SEED: Final = 1
_WARM_UP: Final = timedelta(hours=2)
"""Ticks before the first one that are run as well: trends and episodes need a past."""


def changed_policy(changes: Sequence[str], file: Path | None) -> Policy:
    """The policy in force with other values.

    Args:
        changes: `total.act=0.9`, one for each value.
        file: TOML of the same shape, `[total]` and `act = 0.9`; `changes` come after it.

    Raises:
        PermanentFailure: there is no such value, or it is not of its kind.

    """
    try:
        told: dict[str, Any] = tomllib.loads(file.read_text()) if file else {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        msg = f"{file}: {error}"
        raise PermanentFailure(msg) from error
    policy: Policy = _changed(Policy(), told, "")
    for change in changes:
        name, _, value = change.partition("=")
        nested: Any = _value(value.strip(), change)
        for part in reversed(name.strip().split(".")):
            nested = {part: nested}
        policy = _changed(policy, nested, "")
    return replace(policy, name=_NAME)


@dataclass
class Replay:
    """History again, in memory, beside what was kept of it."""

    settings: Settings
    policy: Policy
    first: datetime
    last: datetime
    dcs: Sequence[str] = ()
    _kept: tick.InMemory = field(default_factory=tick.InMemory)

    @property
    def ticks(self) -> list[datetime]:
        """Every tick of it, with those that warm up."""
        begin = tick.on_grid(self.first) - _WARM_UP
        return [begin + number * tick.TICK for number in range((tick.on_grid(self.last) - begin) // tick.TICK + 1)]

    def run(self) -> Iterator[datetime]:
        """Run it; yields each tick when it is done.

        Raises:
            PermanentFailure: no warehouse of these DCs is active, or the range is empty.
            SourceUnavailable: the feeds or the record store did not answer.

        """
        masters = self._store.masters()
        if self.dcs:
            masters = masters.of(masters.warehouses.filter(pl.col("dc").is_in(list(self.dcs))))
        here = masters.warehouses.filter("active")["warehouse"].to_list()
        if not here or self.first > self.last:
            msg = f"nothing to run again: {len(here)} active warehouses, {self.first} to {self.last}"
            raise PermanentFailure(msg)
        feeds = FloorFeeds(self.settings.floor_feeds_url, self.settings.tables, self.settings.tick_statement_seconds)
        for at in self.ticks:
            read = feeds.read(snapshot_ts=at, reach=tick.reach(self.policy), warehouses=here)
            tick.run(read, masters, self._kept, snapshot_ts=at, policy=self.policy)
            yield at

    def compare(self, console: Console) -> None:
        """Print what was told, what would have been, and what the floor's answers say of both."""
        dcs = self.dcs or sorted(set(self._store.masters().warehouses["dc"]))
        ours = TickLake(Lake(self.settings.lake_root), tuple(dcs)).read(schema.ALERTS, self.first, self.last).collect()
        theirs = self._kept.read(schema.ALERTS, self.first, self.last).collect()
        if ours.is_empty() and theirs.is_empty():
            console.print("Neither policy has anything to tell.")
            return
        versions = ", ".join(ours["policy_version"].unique().sort()) or "nothing was kept"
        title = f"Problems told, {self.first:%Y-%m-%d %H:%M} to {self.last:%Y-%m-%d %H:%M} UTC"
        console.print(f"[bold]{title}[/bold]: {versions} against {self.policy.version}")
        console.print(_compared(ours, theirs))
        answers = self._store.feedback(self.first - timedelta(days=1))
        end = self.last + tick.TICK
        evidence = feedback.compare(
            ours, theirs, answers, since=self.first, until=end, promotion=Promotion(), seed=_SEED
        )
        console.print(
            f"By {evidence.episodes} answered episodes: F1 {evidence.champion_f1:.3f} and {evidence.challenger_f1:.3f},"
            f" difference {evidence.difference_low:+.3f} to {evidence.difference_high:+.3f};"
            f" {evidence.champion_messages} and {evidence.challenger_messages} messages."
        )
        if evidence.promoted:
            console.print("The other policy may take the champion's place.")
        for objection in evidence.objections:
            console.print(f"Against it: {objection}.")

    @property
    def _store(self) -> BufferStore:
        return BufferStore(self.settings.record_store_url, self.settings.record_store_schema)


def _compared(ours: pl.DataFrame, theirs: pl.DataFrame) -> Table:
    """How many problems each told, by direction and unit type, and how many the other one did not."""
    key = ["direction", "unit_type"]
    told = [_told(alerts) for alerts in (ours, theirs)]
    units = [rows.select(*key, "unit_id").unique() for rows in told]
    table = Table(box=SIMPLE_HEAD)
    for number, name in enumerate(("direction", "unit type", "kept", "again", "units only kept", "units only again")):
        table.add_column(name, justify="left" if number < len(key) else "right")
    for direction, unit_type in pl.concat(told).select(key).unique().sort(key).iter_rows():
        here = (pl.col("direction") == direction) & (pl.col("unit_type") == unit_type)
        counts = [rows.filter(here).height for rows in told]
        only = [
            one.filter(here).join(other, on="unit_id", how="anti").height
            for one, other in ((units[0], units[1].filter(here)), (units[1], units[0].filter(here)))
        ]
        table.add_row(direction, unit_type, *(str(number) for number in [*counts, *only]))
    return table


def _told(alerts: pl.DataFrame) -> pl.DataFrame:
    """The episodes of which production tells that something is to be done."""
    told = alerts.filter(pl.col("label").is_in(["NEW", "ONGOING"]), pl.col("severity").is_in(["ACT", "EMERGENCY"]))
    return told.unique(EPISODE)


def _changed(part: Any, told: Mapping[str, Any], where: str) -> Any:  # noqa: ANN401 - a policy or a part of one
    """A frozen object with other values."""
    known = {each.name for each in fields(part)}
    for name, value in told.items():
        if name not in known:
            msg = f"policy: there is no {where}{name}; there are {', '.join(sorted(known))}"
            raise PermanentFailure(msg)
        before = getattr(part, name)
        if is_dataclass(before):
            if not isinstance(value, Mapping):
                msg = f"policy: {where}{name} has parts: {', '.join(each.name for each in fields(before))}"
                raise PermanentFailure(msg)
            value = _changed(before, value, f"{where}{name}.")  # noqa: PLW2901 - the part instead of what was told of it
        elif isinstance(value, Mapping) or isinstance(value, str) != isinstance(before, str):
            msg = f"policy: {where}{name} is {before!r}, it cannot be {value!r}"
            raise PermanentFailure(msg)
        part = replace(part, **{name: value})
    return part


def _value(text: str, change: str) -> float | str:
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        msg = f"--set {change}: {text or 'nothing'} is not a number"
        raise PermanentFailure(msg) from None
