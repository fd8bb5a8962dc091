"""Faults of what the main job writes to: the record store and the lake."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from uuid import uuid4

import dagster as dg
import pytest

from fillrate_assets.fillrate.record_store import build_day_lock
from fillrate_assets.notifications.outbox import OUTBOX
from fillrate_assets_tests.conftest import CORRECTED, DC, SCHEMA, SMALL, Undisturbed
from fillrate_assets_tests.faults.injected import (
    QUICK,
    assert_recovers,
    copy_waiting,
    list_restarts,
    run,
    run_failing,
)
from fillrate_assets_tests.fixtures import forked
from fillrate_assets_tests.fixtures.fakes import Overtaken
from fillrate_assets_tests.fixtures.home import Home, read_messages
from fillrate_assets_tests.fixtures.instances import open_in_memory
from fillrate_assets_tests.fixtures.patience import PATIENCE_SECONDS, wait_until
from fillrate_assets_tests.fixtures.postgres import Postgres
from fillrate_assets_tests.fixtures.servers import onboard, read_published

pytestmark = [pytest.mark.slow, pytest.mark.first]


@pytest.fixture
def served(
    undisturbed: Undisturbed,
    network_home: Home,
    postgres: Postgres,
    postgres_template: str,
    instance: dg.DagsterInstance,
) -> Home:
    """The platform with its record store on PostgreSQL, whose corrected days have not run again yet."""
    url = postgres.create_database(f"records {uuid4()}", postgres_template)
    home = Home(network_home.directory, {**QUICK, "storage__record_store_url": url})
    onboard(network_home, home)
    assert run(home, instance).success
    network_home.correct(DC, CORRECTED[0], CORRECTED[-1])
    assert _read_published(home) == _read_published(undisturbed.before)
    return home


def _read_published(home: Home) -> dict[str, object]:
    """Read what is published in a record store, whatever it is, less the messages."""
    return {name: found for name, found in read_published(home.store, SMALL).items() if name != OUTBOX.name}


def _run_sql(home: Home, *statements: str) -> None:
    with home.store.database.engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


_WAITS = f"SELECT count(*) FROM pg_locks WHERE relation = '{SCHEMA}.rejects'::regclass AND NOT granted"  # noqa: S608 - our schema


@pytest.mark.sweep
def test_a_deadlock_in_the_record_store(undisturbed: Undisturbed, served: Home, instance: dg.DagsterInstance) -> None:
    engine = served.store.database.engine
    # The run notices the deadlock, not the other one.
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        database = connection.exec_driver_sql("SELECT quote_ident(current_database())").scalar_one()
        connection.exec_driver_sql(f"ALTER DATABASE {database} SET deadlock_timeout = '3s'")
    locked = Event()

    def lock_rejects() -> None:
        with engine.begin() as connection:
            connection.exec_driver_sql("SET LOCAL deadlock_timeout = '1h'")
            connection.exec_driver_sql(f"LOCK TABLE {SCHEMA}.rejects")
            locked.set()
            wait_until(lambda: connection.exec_driver_sql(_WAITS).scalar_one())
            lock = build_day_lock(DC, CORRECTED[0], connection.dialect)
            assert lock is not None
            connection.execute(lock)

    thread = Thread(target=lock_rejects)
    thread.start()
    assert locked.wait(timeout=60)
    result = run(served, instance)
    thread.join(timeout=60)
    assert result.success
    ((step, why),) = list_restarts(result)
    assert step == "published_records"
    assert "deadlock detected" in why
    assert _read_published(served) == _read_published(undisturbed.after)
    assert read_messages(served.store) == []


@pytest.mark.sweep
def test_a_connection_that_is_lost_in_the_middle_of_a_bulk_copy(
    undisturbed: Undisturbed, served: Home, instance: dg.DagsterInstance
) -> None:
    _run_sql(
        served,
        "CREATE SEQUENCE copied",
        # A sequence counts on whatever becomes of the transaction: only the first copy is cut.
        """CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql AS $$
           BEGIN
             IF nextval('copied') = 20 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF;
             RETURN NEW;
           END $$""",
        f"CREATE TRIGGER cut BEFORE INSERT ON {SCHEMA}.lost_cases FOR EACH ROW EXECUTE FUNCTION cut()",
    )
    result = run(served, instance)
    assert result.success
    ((step, why),) = list_restarts(result)
    assert step == "published_records"
    assert "terminating connection due to administrator command" in why
    assert "COPY lost_cases" in why
    assert _read_published(served) == _read_published(undisturbed.after)
    assert read_messages(served.store) == []


@contextmanager
def _restore_limits() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _fill_the_disk(home: Home) -> str:
    """Run in a process of which no file may grow any more, once the order system has answered: the lake's are next."""

    def fill() -> None:
        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, most))

    order_system = Overtaken(home.settings.sources.order_system_url, meanwhile=[fill])
    with open_in_memory() as instance:
        full = Home(home.directory, home.overrides, {"order_system": order_system})
        return run_failing(full, instance, _restore_limits())


def test_the_disk_of_the_lake_is_full(undisturbed: Undisturbed, tmp_path: Path, instance: dg.DagsterInstance) -> None:
    home = copy_waiting(undisturbed, tmp_path, sensor__step_max_retries=0)
    with forked.make_executor() as pool:
        message = pool.submit(_fill_the_disk, Home(home.directory, home.overrides)).result(PATIENCE_SECONDS)
    assert "\nStep: orders" in message
    assert f"\nCause: lake ({home.settings.storage.lake_root}) takes no files: " in message
    assert "File too large" in message
    assert "free space there, or see that it may be written to" in message
    assert list(Path(home.settings.storage.lake_root).rglob("*.incoming")) == []
    assert_recovers(home, undisturbed, instance)
