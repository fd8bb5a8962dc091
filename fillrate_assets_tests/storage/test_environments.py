"""Environments on one server: what one does never shows in another."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import dagster as dg
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from fillrate_assets.core.errors import PermanentFailure, SourceUnavailable
from fillrate_assets.environments import ENVIRONMENTS
from fillrate_assets.fillrate.record_store import RecordStore
from fillrate_assets.fillrate.watermark import DatabaseWatermark
from fillrate_assets.notifications.platform_outbox import Outbox
from fillrate_assets.storage import sql
from fillrate_assets.storage.database import Database
from fillrate_assets_tests.conftest import SMALL, copy_home
from fillrate_assets_tests.fixtures.home import Home, read_stored_rows
from fillrate_assets_tests.fixtures.postgres import PASSWORD, Postgres

NOW = datetime(2026, 2, 11, 6, tzinfo=UTC)
DC = SMALL.dc_codes[0]
DAYS = (SMALL.first, SMALL.first + timedelta(days=2))


@pytest.fixture
def url(postgres: Postgres) -> str:
    return postgres.create_database(f"shared {uuid4()}")


def _make_home(directory: Path, embedded: Home, **overrides: str) -> Home:
    """Make a home whose record store is an environment's own, with the masters of an embedded one."""
    made = Home(copy_home(embedded.directory, directory), overrides)
    made.store.database.upgrade()
    made.store.add_dcs(embedded.store.read_dcs())
    made.store.add_waivers(embedded.store.read_waivers())
    return made


def _list_schemas(url: str) -> dict[str, set[str]]:
    """List the tables by schema; PostgreSQL's own are left out."""
    with sql.get_engine(url).connect() as connection:
        inspector = sa.inspect(connection)
        return {
            name: set(inspector.get_table_names(name))
            for name in inspector.get_schema_names()
            if name != "information_schema"
        }


def test_environments_share_a_database_and_a_lake_and_nothing_in_them(
    network_home: Home, tmp_path: Path, url: str, instance: dg.DagsterInstance
) -> None:
    shared = {"storage__record_store_url": url, "storage__lake_root": str(tmp_path / "lake")}
    dev, prod = (_make_home(tmp_path / env, network_home, env=env, **shared) for env in ("dev", "prod"))
    everything = {*sa.inspect(network_home.store.database.engine).get_table_names()}
    assert _list_schemas(url) == {"public": set(), "fillrate_dev": everything, "fillrate_prod": everything}
    untouched = read_stored_rows(dev.store)

    assert prod.run(instance, DC, *DAYS).success
    assert prod.read_stored()["lost_cases"]
    assert read_stored_rows(dev.store) == untouched
    assert [path.name for path in (tmp_path / "lake").iterdir()] == ["prod"]

    assert dev.run(instance, DC, *DAYS).success
    assert dev.read_stored() == prod.read_stored()
    assert [path.name for path in sorted((tmp_path / "lake").iterdir())] == ["dev", "prod"]


def test_each_environment_has_watermarks_and_messages_of_its_own(url: str) -> None:
    stores = [RecordStore(Database(url, environment.schema)) for environment in ENVIRONMENTS.values()]
    for store in stores:
        store.database.upgrade()
        mark = DatabaseWatermark(store.database)
        assert mark.read("orders") is None
        assert mark.move("orders", NOW, previous=None)
        assert Outbox(store.database).send("held", "", key="the same", now=NOW)
    assert read_stored_rows(stores[0]) == read_stored_rows(stores[1])


def test_what_is_undone_in_one_environment_stays_in_the_other(url: str) -> None:
    dev, prod = (RecordStore(Database(url, environment.schema)) for environment in ENVIRONMENTS.values())
    for store in (dev, prod):
        store.database.upgrade()
    before = _list_schemas(url)
    config = Config()
    config.set_main_option("script_location", "fillrate_assets.storage:migrations")
    with dev.database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    assert _list_schemas(url) == {**before, "fillrate_dev": {"alembic_version"}}
    dev.database.upgrade()
    assert _list_schemas(url) == before


@pytest.fixture
def tenant(postgres: Postgres, url: str) -> str:
    """The same database for a user who may connect and nothing else."""
    role = f"tenant_{uuid4().hex[:8]}"
    postgres.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
    return sa.make_url(url).set(username=role).render_as_string(hide_password=False)


def test_a_user_who_may_not_create_the_schema_is_refused(tenant: str) -> None:
    with pytest.raises(PermanentFailure, match=r"^record store .* refused: permission denied for database"):
        Database(tenant, "fillrate_prod").upgrade()


def test_a_schema_that_an_administrator_made_is_taken(tenant: str, url: str) -> None:
    with sql.get_engine(url).begin() as connection:
        connection.execute(sa.schema.CreateSchema("fillrate_prod"))
        connection.exec_driver_sql(f"GRANT USAGE, CREATE ON SCHEMA fillrate_prod TO {sa.make_url(tenant).username}")
    store = RecordStore(Database(tenant, "fillrate_prod"))
    store.database.upgrade()
    assert store.read_ledger().is_empty()


def test_a_server_that_is_down_is_not_upgraded_and_may_come_back() -> None:
    with pytest.raises(SourceUnavailable, match="does not answer"):
        Database("postgresql+psycopg://writer@127.0.0.1:1/records", "fillrate_prod").upgrade()
