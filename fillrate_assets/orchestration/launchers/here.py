"""Runs in the code location's server, each a process of it."""

from __future__ import annotations

import dagster as dg

from fillrate_assets.orchestration.launchers.watched import WatchedLauncher


class WatchedDefaultRunLauncher(WatchedLauncher, dg.DefaultRunLauncher):
    """Dagster's launcher of runs in the code location's server, each a process of it, with leases."""
