"""Simulated worlds side by side: a tick costs by its steps, so one over all of them takes a fraction of the time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import polars as pl

from fillrate_assets.buffers.rules.tick import Feeds, MasterData
from fillrate_assets.sample.floor.scenarios import Truth, World


def join_worlds(worlds: Mapping[str, World]) -> World:
    """Join worlds side by side, their warehouses named apart by their prefixes."""
    renamed = [rename_world(world, prefix) for prefix, world in worlds.items()]
    masters, truths = [world.masters for world in renamed], [world.truth for world in renamed]
    return World(
        feeds=_make_feeds(pl.concat(same) for same in zip(*(_get_feeds(world) for world in renamed), strict=True)),
        masters=MasterData(
            pl.concat(each.warehouses for each in masters),
            pl.concat(each.unit_members for each in masters),
            pl.concat(each.shifts for each in masters),
            masters[0].alert_routes,
        ),
        truth=Truth(
            pl.concat(truth.latent for truth in truths),
            pl.concat(truth.events for truth in truths),
            pl.concat(truth.onsets for truth in truths),
        ),
    )


def rename_world(world: World, prefix: str) -> World:
    """Put a prefix before the names of a world's warehouses, as `join_worlds` does."""

    def named(rows: pl.DataFrame) -> pl.DataFrame:
        owners = [name for name in ("warehouse", "unit_id") if name in rows.columns]
        return rows.with_columns((prefix + pl.col(name)).alias(name) for name in owners)

    masters, truth = world.masters, world.truth
    return World(
        _make_feeds(named(feed) for feed in _get_feeds(world)),
        MasterData(named(masters.warehouses), named(masters.unit_members), named(masters.shifts), masters.alert_routes),
        Truth(named(truth.latent), named(truth.events), named(truth.onsets)),
    )


def _get_feeds(world: World) -> list[pl.DataFrame]:
    """Return the four feeds, which a simulation never lacks."""
    return [feed for feed in world.feeds.by_name.values() if feed is not None]


def _make_feeds(rows: Iterable[pl.DataFrame]) -> Feeds:
    occupancy, flow, staffing, limits = rows
    return Feeds(occupancy, flow, staffing, limits)
