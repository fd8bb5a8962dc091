"""Dagster's instance, as commands of this machine find and open it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import sqlalchemy as sa

from fillrate_assets.core.errors import PermanentFailure, SourceUnavailable
from fillrate_assets.settings import Settings


def prepare_instance(settings: Settings) -> None:
    """Make sure that Dagster has a home: `DAGSTER_HOME`, or the working directory if it holds a dagster.yaml."""
    settings.home.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("FILLRATE_HOME", str(settings.home))
    os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", "1000")
    if "DAGSTER_HOME" not in os.environ:
        here = Path.cwd()
        if not (here / "dagster.yaml").exists():
            msg = f"DAGSTER_HOME is not set and {here} has no dagster.yaml: set DAGSTER_HOME to a folder with one"
            raise PermanentFailure(msg)
        os.environ["DAGSTER_HOME"] = str(here)


@contextmanager
def open_instance() -> Iterator[dg.DagsterInstance]:
    """Open Dagster's instance; raise what its storage does not do as SourceUnavailable."""
    try:
        with dg.DagsterInstance.get() as instance:
            yield instance
    except (OSError, sqlite3.Error, sa.exc.SQLAlchemyError, dg.DagsterError) as error:
        cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
        msg = (
            f"Dagster's instance ({os.environ['DAGSTER_HOME']}) does not work: {cause}; see that there is space, and"
            " that it may be written to"
        )
        raise SourceUnavailable(msg) from error
