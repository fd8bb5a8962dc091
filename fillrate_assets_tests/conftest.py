"""What the tests of the platform share: a sample network in a home of its own, and Dagster instances over it."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from uuid import uuid4

import dagster as dg
import hypothesis
import polars as pl
import pytest

from fillrate_assets.environments import ENVIRONMENTS
from fillrate_assets.fillrate.record_store import RECORDS, RESTATEMENTS, RecordStore
from fillrate_assets.replenishment.schema import SUPPLY_TERMS
from fillrate_assets.replenishment.supply_store import SupplyStore, make_no_rejects
from fillrate_assets.sample.network import Network
from fillrate_assets.storage.database import Database
from fillrate_assets_tests.fixtures import c_environment, cloud
from fillrate_assets_tests.fixtures.cloud import Cloud
from fillrate_assets_tests.fixtures.embedded import create_database
from fillrate_assets_tests.fixtures.home import Home
from fillrate_assets_tests.fixtures.instances import open_in_memory
from fillrate_assets_tests.fixtures.postgres import Postgres, run_postgres
from fillrate_assets_tests.fixtures.templates import make_once

ROOT = Path(__file__).parent.parent
# Speed is measured in benchmarks/, never in a test.
hypothesis.settings.register_profile("sample", deadline=None, max_examples=30)
hypothesis.settings.register_profile("sweep", deadline=None, max_examples=200)

SCHEMA = ENVIRONMENTS["dev"].schema
SMALL = Network(seed=1, dcs=2, items=100, days=33, last=date(2026, 3, 14))
TINY = Network(seed=3, dcs=2, items=100, days=12, last=date(2026, 3, 14))
"""For what needs no days beyond those that depend on a day: a run costs what its days cost."""

DC = "DC01"
SHORT_TERMS = pl.DataFrame(
    [{"dc": DC, "valid_from": SMALL.first, "lead_time_days": 2, "review_days": 1}], schema=SUPPLY_TERMS.polars
)
"""Of a DC whose protection periods are past within the network: two days of lead time, reviewed daily."""

DAYS = [SMALL.first + timedelta(days=number) for number in range(5)]
CORRECTED = DAYS[:3]

_IN_MEMORY = Path("/dev/shm")  # noqa: S108 - pytest makes a directory of its own in it
_ROOM_BYTES = 2 * 10**9


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option of `make sweep`."""
    parser.addoption(
        "--sweep", action="store_true", help="run the tests marked `sweep` too, and more examples of each rule"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Let the environment grow while it is read, and put temporary files into memory where there is room.

    Databases wait for a disk at every commit. Imports make no garbage worth looking for.
    """
    gc.disable()
    hypothesis.settings.load_profile("sweep" if config.getoption("sweep") else "sample")
    c_environment.grow_in_place()
    if "TMPDIR" not in os.environ and _IN_MEMORY.is_dir() and shutil.disk_usage(_IN_MEMORY).free > _ROOM_BYTES:
        os.environ["TMPDIR"] = str(_IN_MEMORY)
        tempfile.tempdir = None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what only `make sweep` runs, and begin with the tests that wait longest.

    Others have the cores meanwhile. The order was shuffled before. Coverage is not measured in slow tests: it makes
    them slower by half, and what a branch does is shown by quick ones.
    """
    for item in items:
        if item.get_closest_marker("slow") is not None:
            item.add_marker("no_cover")
    if not config.getoption("sweep"):
        taken = [item for item in items if item.get_closest_marker("sweep") is None]
        config.hook.pytest_deselected(items=[*{*items} - {*taken}])
        items[:] = taken
    items.sort(key=lambda item: item.get_closest_marker("first") is None)


def pytest_collection_finish() -> None:
    """Leave what the imports made out of garbage collection: looking through it again costs a twentieth of the time."""
    gc.freeze()
    gc.enable()


@dataclass(frozen=True)
class Undisturbed:
    """`DAYS` of `DC` are published, then `CORRECTED` at the source: before they run again, and what a run makes of it.

    Homes that no test changes: tests take copies.
    """

    before: Home
    after: Home


def clear_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("FILLRATE_", "DAGSTER_", "AWS_"))]:
        monkeypatch.delenv(name)
    # As every deployment has it.
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "1000")


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads the settings of the account that runs it."""
    clear_environment(monkeypatch)


def _make_network(factory: pytest.TempPathFactory, name: str, network: Network) -> Path:
    def make(directory: Path) -> None:
        with pytest.MonkeyPatch.context() as monkeypatch:
            clear_environment(monkeypatch)
            Home(directory / "home").generate(network)

    return make_once(factory, name, make) / "home"


def _publish(factory: pytest.TempPathFactory, name: str, template: Path) -> Path:
    def make(directory: Path) -> None:
        with pytest.MonkeyPatch.context() as monkeypatch, open_in_memory() as instance:
            clear_environment(monkeypatch)
            home = Home(copy_home(template, directory))
            for dc in home.network.dc_codes:
                home.run(instance, dc, home.network.first, home.network.last)

    return make_once(factory, name, make) / "home"


@pytest.fixture(scope="session")
def network_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a sample network, `SMALL`; nothing has run. Tests take copies."""
    return _make_network(tmp_path_factory, "network", SMALL)


@pytest.fixture(scope="session")
def published_template(network_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same home after the main job has run for everything. Tests take copies."""
    return _publish(tmp_path_factory, "published", network_template)


@pytest.fixture(scope="session")
def stock_buffers_template(published_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same home with stock buffers of all days of `DC`, by `SHORT_TERMS`. Tests take copies."""

    def make(directory: Path) -> None:
        with pytest.MonkeyPatch.context() as monkeypatch, open_in_memory() as instance:
            clear_environment(monkeypatch)
            home = Home(copy_home(published_template, directory))
            SupplyStore(home.store.database).replace_terms(SHORT_TERMS, make_no_rejects())
            home.make_stock_buffers(instance, DC, SMALL.first, SMALL.last)

    return make_once(tmp_path_factory, "stock buffers", make) / "home"


@pytest.fixture(scope="session")
def tiny_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the network `TINY`; nothing has run. Tests take copies."""
    return _make_network(tmp_path_factory, "tiny", TINY)


@pytest.fixture(scope="session")
def tiny_published_template(tiny_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same home after the main job has run for everything. Tests take copies."""
    return _publish(tmp_path_factory, "tiny published", tiny_template)


@pytest.fixture(scope="session")
def undisturbed(network_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """What a run leaves that nothing disturbs."""

    def make(directory: Path) -> None:
        with pytest.MonkeyPatch.context() as monkeypatch, open_in_memory() as instance:
            clear_environment(monkeypatch)
            before = Home(copy_home(network_template, directory / "before"))
            before.run(instance, DC, DAYS[0], DAYS[-1])
            before.correct(DC, CORRECTED[0], CORRECTED[-1])
            after = Home(copy_home(before.directory, directory / "after"))
            after.run(instance, DC, DAYS[0], DAYS[-1])

    made = make_once(tmp_path_factory, "undisturbed", make)
    before, after = (Home(made / name / "home") for name in ("before", "after"))
    assert after.store.count(RESTATEMENTS)
    assert after.read_stored()[RECORDS.name] != before.read_stored()[RECORDS.name]
    return Undisturbed(before, after)


@pytest.fixture
def dagster_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with our dagster.yaml, as this process's own instance."""
    directory = tmp_path / "dagster"
    directory.mkdir()
    shutil.copy(ROOT / "dagster.yaml", directory)
    monkeypatch.setenv("DAGSTER_HOME", str(directory))
    monkeypatch.setenv("FILLRATE_HOME", str(directory))
    return directory


@pytest.fixture
def network_home(network_template: Path, tmp_path: Path) -> Home:
    """A sample network of which nothing has run."""
    return Home(copy_home(network_template, tmp_path))


@pytest.fixture
def published_home(published_template: Path, tmp_path: Path) -> Home:
    """A sample network of which everything is published."""
    return Home(copy_home(published_template, tmp_path))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server; it forgets on a crash what no test needs afterwards."""
    with run_postgres({"fsync": "off", "max_connections": "50"}) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_template(postgres: Postgres) -> str:
    """The name of a database with an empty record store in a schema of its own. Tests take copies."""
    Database(postgres.create_database("record_store"), SCHEMA).upgrade()
    return "record_store"


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> RecordStore:
    """An empty record store on each database that is at hand."""
    if request.param == "postgresql":
        server, template = request.getfixturevalue("postgres"), request.getfixturevalue("postgres_template")
        return RecordStore(Database(server.create_database(f"store {uuid4()}", template), SCHEMA))
    return RecordStore(create_database(f"sqlite:///{tmp_path}/record_store.db"))


@pytest.fixture(scope="session")
def aws_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A local AWS for the whole session; tests use names of their own in it."""
    with cloud.run_cloud(tmp_path_factory.mktemp("aws")) as made:
        yield made


@pytest.fixture
def aws(aws_emulator: Cloud, _own_environment: None, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """The local AWS, as this process's own."""
    for name, value in aws_emulator.environment.items():
        monkeypatch.setenv(name, value)
    return aws_emulator


_BUSY = [("ThrottlingException", 400), ("InternalError", 500), ("SlowDown", 503)]


def _serve_instead(aws: Cloud, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Another endpoint in the emulator's place, requested once."""
    assert url != aws.endpoint
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")


@pytest.fixture(params=_BUSY, ids=[code for code, _ in _BUSY])
def busy_aws(request: pytest.FixtureRequest, aws: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An AWS that is too busy to answer."""
    with cloud.serve_error(*request.param) as url:
        _serve_instead(aws, monkeypatch, url)
        yield


@pytest.fixture
def denying_aws(aws: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An AWS that denies everything."""
    with cloud.serve_error("AccessDenied", 403) as url:
        _serve_instead(aws, monkeypatch, url)
        yield


@pytest.fixture
def absent_aws(aws: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """An AWS that cannot be reached: nothing listens on port 1."""
    _serve_instead(aws, monkeypatch, "http://127.0.0.1:1")


@pytest.fixture(scope="session")
def _shared_instance() -> Iterator[dg.DagsterInstance]:
    with open_in_memory() as made:
        yield made


@pytest.fixture
def instance(_shared_instance: dg.DagsterInstance) -> Iterator[dg.DagsterInstance]:
    """A Dagster instance in memory, which is empty; to make one takes longer than many a test."""
    yield _shared_instance
    _shared_instance.wipe()


def copy_home(template: Path, parent: Path) -> Path:
    return Path(shutil.copytree(template, parent / "home"))
