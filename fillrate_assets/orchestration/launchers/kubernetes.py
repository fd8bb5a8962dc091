"""Runs as jobs of Kubernetes."""

from __future__ import annotations

from dagster_k8s import K8sRunLauncher

from fillrate_assets.orchestration.launchers.watched import WatchedLauncher


class WatchedK8sRunLauncher(WatchedLauncher, K8sRunLauncher):  # type: ignore[misc] # its base is not checked
    """Dagster's launcher of runs as jobs of Kubernetes, with leases."""
