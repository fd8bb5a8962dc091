"""The main job with a real SQL Server for shipping records and record store. Set FILLRATE_TEST_SQLSERVER_URL to run it.

    FILLRATE_TEST_SQLSERVER_URL='mssql+pymssql://user:password@host:1433/master'

The login must be allowed to create databases (role dbcreator): the tests make one of their own and drop it.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from threading import Barrier, Thread
from typing import Any
from uuid import uuid4

import dagster as dg
import polars as pl
import pytest
import sqlalchemy as sa

from fillrate_assets.core.errors import FillrateError, PermanentFailure, SourceUnavailable
from fillrate_assets.fillrate.record_store import RecordStore
from fillrate_assets.fillrate.watermark import WATERMARKS
from fillrate_assets.storage import sql
from fillrate_assets.storage.database import Database
from fillrate_assets_tests.conftest import TINY, copied
from fillrate_assets_tests.factories.rows import DAY
from fillrate_assets_tests.fixtures.home import Home
from fillrate_assets_tests.fixtures.patience import PATIENCE_SECONDS
from fillrate_assets_tests.fixtures.servers import (
    QUANTITIES,
    ServerTables,
    assert_a_wrong_password_is_permanent_and_not_shown,
    assert_the_main_job_is_the_same,
    connect_servers,
    onboard,
    read_quantities_back,
    require_url,
)

SERVER, pytestmark = require_url("FILLRATE_TEST_SQLSERVER_URL")


@pytest.fixture
def url() -> Iterator[str]:
    """An empty database."""
    name = f"fillrate_test_{uuid4().hex}"
    engine = sa.create_engine(SERVER, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    try:
        yield sa.make_url(SERVER).set(database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.exec_driver_sql(f"ALTER DATABASE {name} SET SINGLE_USER WITH ROLLBACK IMMEDIATE")
            connection.exec_driver_sql(f"DROP DATABASE {name}")


def test_the_main_job_gives_the_same_on_sql_server(url: str, tmp_path: Path, instance: dg.DagsterInstance) -> None:
    embedded = Home(tmp_path / "embedded" / "home")
    embedded.generate(TINY)
    tables = ServerTables(url, ("order_lines", "shipment_lines", "items"), "their")
    tables.fill(embedded)
    urls = dict.fromkeys(
        ("sources__order_system_url", "sources__shipping_records_url", "storage__record_store_url"), url
    )
    served = connect_servers(Home(copied(embedded.directory, tmp_path)), tables, **urls)
    onboard(embedded, served)
    assert_the_main_job_is_the_same(instance, embedded, served, tables)
    with sql.get_engine(url).connect() as connection:
        rows = connection.exec_driver_sql("SELECT dc, ship_date, ordered_cases, fill_rate FROM fill_rate_daily").all()
    totals = pl.concat([embedded.store.read_totals(dc, TINY.first, TINY.last) for dc in TINY.dc_codes])
    assert {(dc, day): ordered for dc, day, ordered, _ in rows} == {
        (dc, day): ordered for dc, day, ordered, _ in totals.rows()
    }
    assert all(rate is None or Decimal(0) <= rate <= Decimal(1) for *_, rate in rows)


@pytest.mark.parametrize("kind", [sa.Numeric(18, 4), sa.Unicode(40)])
def test_a_quantity_never_passes_through_a_float(url: str, kind: sa.types.TypeEngine[Any]) -> None:
    assert read_quantities_back(url, "order_lines", kind) == list(QUANTITIES)


def test_the_migrations_can_be_repeated(url: str) -> None:
    store = RecordStore(Database(url))
    store.database.upgrade()
    store.database.upgrade()
    assert store.read_ledger().is_empty()


def test_an_absent_table_is_permanent(url: str) -> None:
    with pytest.raises(PermanentFailure, match="Invalid object name 'ledger'"):
        RecordStore(Database(url)).read_ledger()


def test_a_wrong_password_is_permanent_and_not_shown() -> None:
    assert_a_wrong_password_is_permanent_and_not_shown(SERVER, "Login failed")


def test_an_unknown_database_is_permanent() -> None:
    url = sa.make_url(SERVER).set(database=f"absent_{uuid4().hex}").render_as_string(hide_password=False)
    with pytest.raises(PermanentFailure, match="refused"):
        RecordStore(Database(url)).read_ledger()


def test_a_deadlock_may_pass(url: str) -> None:
    Database(url).upgrade()
    with sql.get_engine(url).begin() as connection:
        connection.execute(WATERMARKS.insert(), [{"name": name, "moment": DAY} for name in ("a", "b")])
    barrier, met = Barrier(2), []

    def session(first: str, second: str) -> None:
        try:
            with sql.translate_errors("watermark", url), sql.get_engine(url).begin() as connection:
                for name in (first, second):
                    connection.execute(WATERMARKS.update().where(WATERMARKS.c.name == name).values(moment=DAY))
                    if name == first:
                        barrier.wait(PATIENCE_SECONDS)
        except FillrateError as error:
            met.append(error)

    threads = [Thread(target=session, args=names) for names in (("a", "b"), ("b", "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    (error,) = met
    assert isinstance(error, SourceUnavailable)
    assert "deadlock" in str(error)
