"""What a worker of Celery works at: runs of the instance of `DAGSTER_HOME`, by the broker that its launcher names.

celery --app fillrate_assets.orchestration.celery_worker worker --queues dagster --concurrency 1
"""

from __future__ import annotations

import dagster as dg
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tasks import create_execute_job_task

from fillrate_assets.core.errors import PermanentFailure

with dg.DagsterInstance.get() as _instance:
    _launcher = _instance.run_launcher
    if not isinstance(_launcher, CeleryRunLauncher):
        _problem = f"dagster.yaml launches runs by {type(_launcher).__name__}: set DAGSTER_RUN_LAUNCHER to celery"
        raise PermanentFailure(_problem)
    app = _launcher.celery
    """The application of Celery."""

create_execute_job_task(app)
