"""Where runs go on besides the code location: workers of Celery, and Kubernetes by Dagster's chart."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets_tests.conftest import ROOT

DEPLOY = ROOT / "deploy"
WORKER = "fillrate_assets.orchestration.celery_worker"


def _read_yaml(path: Path) -> dict[str, Any]:
    loaded = yaml.safe_load(path.read_text())
    assert isinstance(loaded, dict)
    return loaded


def _make_instance(directory: Path, launcher: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write an instance of a launcher, on SQLite."""
    instance = _read_yaml(ROOT / "dagster.yaml") | _read_yaml(DEPLOY / "launchers" / f"{launcher}.yaml")
    (directory / "dagster.yaml").write_text(yaml.safe_dump(instance))
    monkeypatch.setenv("DAGSTER_HOME", str(directory))
    monkeypatch.setenv("FILLRATE_HOME", str(directory))
    monkeypatch.setenv("DAGSTER_CELERY_BROKER_URL", "memory://")


def test_a_worker_takes_runs_from_the_broker_that_the_instance_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _make_instance(tmp_path, "celery", monkeypatch)
    app = importlib.import_module(WORKER).app
    assert app.conf.broker_url == "memory://"
    assert app.conf.worker_prefetch_multiplier == 1
    assert not app.conf.task_acks_late
    assert app.conf.result_expires > _read_yaml(ROOT / "dagster.yaml")["run_monitoring"]["max_runtime_seconds"]
    assert "execute_job" in app.tasks


def test_a_worker_of_an_instance_with_another_launcher_says_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _make_instance(tmp_path, "here", monkeypatch)
    with pytest.raises(PermanentFailure, match="set DAGSTER_RUN_LAUNCHER to celery"):
        importlib.reload(importlib.import_module(WORKER))


def test_the_values_of_the_chart_make_the_same_instance() -> None:
    values, instance = _read_yaml(DEPLOY / "kubernetes" / "values.yaml"), _read_yaml(DEPLOY / "dagster.yaml")
    launcher = _read_yaml(DEPLOY / "launchers" / "kubernetes.yaml")["run_launcher"]
    assert values["runLauncher"] == {"type": "CustomRunLauncher", "config": {"customRunLauncher": launcher}}
    coordinator = values["dagsterDaemon"]["runCoordinator"]["config"]["customRunCoordinator"]
    assert coordinator == {**instance["run_coordinator"], "config": {}}
    more = values["additionalInstanceConfig"]
    assert more == {name: instance[name] for name in more}
    # What the chart makes of its own values.
    ours = {"storage", "run_coordinator", "compute_logs", "python_logs", "telemetry"}
    assert instance.keys() - more.keys() == ours
    assert values["telemetry"] == instance["telemetry"]
    assert values["pythonLogs"]["managedPythonLoggers"] == instance["python_logs"]["managed_python_loggers"]
    logs = values["computeLogManager"]["config"]["s3ComputeLogManager"]
    named = {"skipEmptyFiles": "skip_empty_files", "uploadInterval": "upload_interval"}
    assert {named.get(name, name): value for name, value in logs.items()} == instance["compute_logs"]["config"]


def test_the_instance_of_the_chart_launches_jobs_of_kubernetes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _make_instance(tmp_path, "kubernetes", monkeypatch)
    for name in ("INSTANCE_CONFIG_MAP", "PG_PASSWORD_SECRET", "PIPELINE_RUN_ENV_CONFIGMAP", "PIPELINE_RUN_NAMESPACE"):
        monkeypatch.setenv(f"DAGSTER_K8S_{name}", f"of-{name.lower().replace('_', '-')}")
    # As in a pod: where the cluster is, and what says who asks.
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "6443")
    incluster = importlib.import_module("kubernetes.config.incluster_config")
    for name in ("token", "ca.crt"):
        (tmp_path / name).write_text("x")
    monkeypatch.setattr(incluster, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    with dg.DagsterInstance.get() as instance:
        launcher = instance.run_launcher
        assert type(launcher).__name__ == "K8sRunLauncher"
