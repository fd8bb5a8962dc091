"""Backtest of a policy: history again, in memory, compared with what was sent; and the trial of a challenger.

What a comparison counts belongs to `rules.scorecard`; here it is run and printed.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import polars as pl

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.buffer_store import BufferStore
from fillrate_assets.buffers.policy_store import PolicyStore
from fillrate_assets.buffers.rules import scorecard, tick
from fillrate_assets.buffers.rules.alert_suppression import EPISODE
from fillrate_assets.buffers.rules.policy import Policy, Promotion, override_policy
from fillrate_assets.buffers.sources.floor_feeds import FloorFeeds
from fillrate_assets.buffers.tick_store import LakeTickStore
from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.core.text_table import format_table
from fillrate_assets.settings import Settings
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.lake import Lake

_SEED: Final = 1
TRIAL_DAYS: Final = 28
"""What an automatic promotion looks back over: twice what it needs at least."""

_WARM_UP: Final = timedelta(hours=2)
"""Ticks before the first one that are run as well: trends and episodes need a past."""


def build_policy(policy: Policy, changes: Sequence[str], file: Path | None) -> Policy:
    """Build a policy with other values, as a command line gives them: see `parse_changes`."""
    return override_policy(policy, parse_changes(changes, file))


def parse_changes(changes: Sequence[str], file: Path | None) -> dict[str, Any]:
    """Parse values of a policy as a command line gives them, those of a part nested.

    Args:
        changes: `total.act=0.9`, one for each value; they come after the file's.
        file: TOML of the same shape: `[total]` and `act = 0.9`.

    Raises:
        PermanentFailure: the file cannot be read, or something is no value.

    """
    try:
        values: dict[str, Any] = tomllib.loads(file.read_text()) if file else {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        msg = f"{file}: {error}"
        raise PermanentFailure(msg) from error
    for change in changes:
        name, _, value = change.partition("=")
        *parts, last = name.strip().split(".")
        place = values
        for part in parts:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                msg = f"--set {change}: {part} has no parts"
                raise PermanentFailure(msg)
        place[last] = _parse_value(value.strip(), change)
    return values


@dataclass(frozen=True)
class ChallengerTrial:
    """A challenger against the champion, by what the floor answered."""

    evidence: scorecard.PromotionEvidence

    @property
    def lines(self) -> list[str]:
        """The result in sentences."""
        found = self.evidence
        numbers = (
            f"By {found.episodes} answered episodes: F1 {found.champion_f1:.3f} and {found.challenger_f1:.3f},"
            f" difference {found.difference_low:+.3f} to {found.difference_high:+.3f};"
            f" {found.champion_messages} and {found.challenger_messages} messages."
        )
        verdict = ["The other policy may take the champion's place."] if found.promoted else []
        return [numbers, *verdict, *(f"Against it: {objection}." for objection in found.objections)]


def evaluate_challenger(settings: Settings, version: str, days: int, *, now: datetime) -> ChallengerTrial:
    """Evaluate a challenger that ran by the floor's answers of some days, of those since it was proposed.

    Raises:
        PermanentFailure: there is no such challenger.

    """
    policies = PolicyStore(Database.from_settings(settings))
    active = policies.read_active()
    if version not in {each.version for each in active.challengers}:
        named = ", ".join(each.version for each in active.challengers) or "none"
        msg = f"{version} is no challenger; there are {named}"
        raise PermanentFailure(msg)
    store = BufferStore(Database.from_settings(settings))
    dcs = tuple(sorted(set(store.read_warehouses()["dc"])))
    roots = (settings.storage.lake_root, f"{settings.storage.lake_root}/challengers/{version}")
    ours, theirs = (LakeTickStore(Lake(root), dcs) for root in roots)
    return ChallengerTrial(collect_evidence(ours, theirs, store, policies, version, days=days, now=now))


def collect_evidence(
    champion: tick.TickStore,
    challenger: tick.TickStore,
    store: BufferStore,
    policies: PolicyStore,
    version: str,
    *,
    days: int = TRIAL_DAYS,
    now: datetime,
) -> scorecard.PromotionEvidence:
    """Collect what a challenger's promotion rests on: the ticks of some days since it was proposed, and the answers."""
    (proposed,) = policies.read_all().filter(version=version)["since_ts"]
    # It decided nothing on earlier ticks, which is neither right nor wrong.
    since = max(now - timedelta(days=days), proposed)
    ours, theirs = (each.read(schema.ALERTS, since, now).collect() for each in (champion, challenger))
    return scorecard.compare_policies(
        ours, theirs, store.read_feedback(since), since=since, until=now, promotion=Promotion(), seed=_SEED
    )


@dataclass
class Backtest:
    """History again, in memory, beside what was stored of it."""

    settings: Settings
    policy: Policy
    first: datetime
    last: datetime
    dcs: Sequence[str] = ()
    _tick_store: tick.InMemoryTickStore = field(default_factory=tick.InMemoryTickStore)

    @property
    def ticks(self) -> list[datetime]:
        """Every tick of it, with those that warm up."""
        begin = tick.align_to_grid(self.first) - _WARM_UP
        return [
            begin + number * tick.TICK for number in range((tick.align_to_grid(self.last) - begin) // tick.TICK + 1)
        ]

    def run(self) -> Iterator[datetime]:
        """Run it; yield each tick when it is done.

        Raises:
            PermanentFailure: no warehouse of these DCs is active, or the range is empty.
            SourceUnavailable: the feeds or the record store did not answer.

        """
        masters = self._store.read_master_data()
        if self.dcs:
            masters = masters.restrict_to(masters.warehouses.filter(pl.col("dc").is_in(list(self.dcs))))
        here = masters.warehouses.filter("active")["warehouse"].to_list()
        if not here or self.first > self.last:
            msg = f"nothing to run again: {len(here)} active warehouses, {self.first} to {self.last}"
            raise PermanentFailure(msg)
        feeds = FloorFeeds(
            self.settings.sources.floor_feeds_url,
            self.settings.sources.source_tables,
            self.settings.sources.tick_statement_timeout_seconds,
        )
        for at in self.ticks:
            read = feeds.read(snapshot_ts=at, look_back=tick.compute_look_back(self.policy), warehouses=here)
            tick.run_tick(read, masters, self._tick_store, snapshot_ts=at, policy=self.policy)
            yield at

    def compare(self) -> list[str]:
        """Compare in lines of text what was sent, what would have been, and how both agree with the floor's answers."""
        dcs = self.dcs or sorted(set(self._store.read_warehouses()["dc"]))
        ours = (
            LakeTickStore(Lake(self.settings.storage.lake_root), tuple(dcs))
            .read(schema.ALERTS, self.first, self.last)
            .collect()
        )
        theirs = self._tick_store.read(schema.ALERTS, self.first, self.last).collect()
        if ours.is_empty() and theirs.is_empty():
            return ["Neither policy has anything to send."]
        versions = ", ".join(ours["policy_version"].unique().sort()) or "nothing was stored"
        title = f"Problems sent, {self.first:%Y-%m-%d %H:%M} to {self.last:%Y-%m-%d %H:%M} UTC"
        answers = self._store.read_feedback(self.first - timedelta(days=1))
        end = self.last + tick.TICK
        evidence = scorecard.compare_policies(
            ours, theirs, answers, since=self.first, until=end, promotion=Promotion(), seed=_SEED
        )
        heading = f"{title}: {versions} against {self.policy.version}"
        return [heading, "", *_tabulate(ours, theirs), "", *ChallengerTrial(evidence).lines]

    @property
    def _store(self) -> BufferStore:
        return BufferStore(Database.from_settings(self.settings))


def _tabulate(ours: pl.DataFrame, theirs: pl.DataFrame) -> list[str]:
    """Tabulate how many problems each sent, by direction and unit type, and how many the other one did not."""
    key = ["direction", "unit_type"]
    episodes = [_select_actionable_episodes(alerts) for alerts in (ours, theirs)]
    units = [rows.select(*key, "unit_id").unique() for rows in episodes]
    numbers = ["stored", "again", "units only stored", "units only again"]
    lines = []
    for direction, unit_type in pl.concat(episodes).select(key).unique().sort(key).iter_rows():
        here = (pl.col("direction") == direction) & (pl.col("unit_type") == unit_type)
        counts = [rows.filter(here).height for rows in episodes]
        only = [
            one.filter(here).join(other, on="unit_id", how="anti").height
            for one, other in ((units[0], units[1].filter(here)), (units[1], units[0].filter(here)))
        ]
        lines.append([direction, unit_type, *(str(number) for number in [*counts, *only])])
    return format_table(["direction", "unit type", *numbers], lines, numbers=numbers)


def _select_actionable_episodes(alerts: pl.DataFrame) -> pl.DataFrame:
    """Select the episodes for which production requests an action."""
    sent = alerts.filter(pl.col("label").is_in(["NEW", "ONGOING"]), pl.col("severity").is_in(["ACT", "EMERGENCY"]))
    return sent.unique(EPISODE)


def _parse_value(text: str, change: str) -> float | str:
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        msg = f"--set {change}: {text or 'nothing'} is not a number"
        raise PermanentFailure(msg) from None
