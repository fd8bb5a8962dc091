"""What the tests of the platform share: a sample network in a home of its own, and Dagster instances over it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from uuid import uuid4

import dagster as dg
import hypothesis
import pytest

from fillrate_assets.connections.record_store import RecordStore
from fillrate_assets.sample.network import Network
from fillrate_assets_tests.home import Home
from fillrate_assets_tests.postgres import Postgres, running

ROOT = Path(__file__).parent.parent
# Speed is measured in benchmarks/, never in a test.
hypothesis.settings.register_profile("any speed", deadline=None)
hypothesis.settings.load_profile("any speed")

SMALL = Network(seed=1, dcs=2, items=150, days=40, last=date(2026, 3, 14))


def _without_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("FILLRATE_", "DAGSTER_"))]:
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the settings of whoever runs it."""
    _without_environment(monkeypatch)


@pytest.fixture(scope="session")
def network_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a sample network; nothing has run. Tests take copies."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        _without_environment(monkeypatch)
        home = Home(tmp_path_factory.mktemp("network") / "home")
        home.generate(SMALL)
    return home.directory


@pytest.fixture(scope="session")
def published_template(network_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same home after the main job has run for everything. Tests take copies."""
    with pytest.MonkeyPatch.context() as monkeypatch, dg.DagsterInstance.ephemeral() as instance:
        _without_environment(monkeypatch)
        home = Home(copied(network_template, tmp_path_factory.mktemp("published")))
        for dc in SMALL.dc_codes:
            home.run(instance, dc, SMALL.first, SMALL.last)
    return home.directory


@pytest.fixture
def network_home(network_template: Path, tmp_path: Path) -> Home:
    """A sample network of which nothing has run."""
    return Home(copied(network_template, tmp_path))


@pytest.fixture
def published_home(published_template: Path, tmp_path: Path) -> Home:
    """A sample network of which everything is published."""
    return Home(copied(published_template, tmp_path))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server; it forgets on a crash what tests do not need to keep."""
    with running({"fsync": "off", "max_connections": "50"}) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_template(postgres: Postgres) -> str:
    """The name of a database with an empty record store. Tests take copies."""
    RecordStore(postgres.create_database("record_store")).upgrade()
    return "record_store"


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> RecordStore:
    """An empty record store on each database that is at hand."""
    if request.param == "postgresql":
        server, template = request.getfixturevalue("postgres"), request.getfixturevalue("postgres_template")
        return RecordStore(server.create_database(f"store {uuid4()}", template))
    made = RecordStore(f"sqlite:///{tmp_path}/record_store.db")
    made.upgrade()
    return made


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """A Dagster instance in memory."""
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def copied(template: Path, parent: Path) -> Path:
    return Path(shutil.copytree(template, parent / "home"))
