"""Runs in workers of Celery."""

from __future__ import annotations

from dagster_celery.launcher import CeleryRunLauncher

from fillrate_assets.orchestration.launchers.watched import WatchedLauncher


class WatchedCeleryRunLauncher(WatchedLauncher, CeleryRunLauncher):  # type: ignore[misc] # its base is not checked
    """Dagster's launcher of runs in workers of Celery, with leases."""
