"""Runs as tasks of ECS."""

from __future__ import annotations

from dagster_aws.ecs import EcsRunLauncher

from fillrate_assets.orchestration.launchers.watched import WatchedLauncher


class WatchedEcsRunLauncher(WatchedLauncher, EcsRunLauncher):
    """Dagster's launcher of runs as tasks of ECS, with leases."""
