"""Faults of the systems that the main job reads."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import dagster as dg
import polars as pl
import pytest
import sqlalchemy as sa

from fillrate_assets.fillrate.record_store import RESTATEMENTS
from fillrate_assets.settings import SourceTable
from fillrate_assets.storage import sql
from fillrate_assets_tests.conftest import CORRECTED, DAYS, DC, Undisturbed, clear_environment
from fillrate_assets_tests.faults.injected import UI, assert_recovers, copy_waiting, run, run_failing
from fillrate_assets_tests.fixtures import cloud
from fillrate_assets_tests.fixtures.cloud import Cloud
from fillrate_assets_tests.fixtures.home import Home, read_messages
from fillrate_assets_tests.fixtures.postgres import PASSWORD, Postgres
from fillrate_assets_tests.fixtures.servers import ServerTables

pytestmark = pytest.mark.slow

RETRIED = "To do: The system did not answer, after every retry."
NOT_RETRIED = "To do: A retry cannot help: correct the settings or the table that the cause names."


@pytest.fixture(scope="module")
def order_tables(undisturbed: Undisturbed, postgres: Postgres) -> ServerTables:
    """The order system of the platform on PostgreSQL, which tests only read."""
    tables = ServerTables(postgres.create_database(f"orders {uuid4()}"), ("order_lines", "items"), "their")
    with pytest.MonkeyPatch.context() as monkeypatch:
        clear_environment(monkeypatch)
        tables.fill(undisturbed.before)
    return tables


def _connect(home: Home, tables: ServerTables, url: str, **settings: object) -> Home:
    """Connect the same home with its order system on a server."""
    return Home(
        home.directory,
        {**home.overrides, "sources__source_tables": tables.mapping, "sources__order_system_url": url, **settings},
    )


def test_a_source_that_is_down(
    undisturbed: Undisturbed, order_tables: ServerTables, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    # The same server, where nothing listens.
    elsewhere = sa.make_url(order_tables.url).update_query_dict({"host": str(tmp_path)})
    home = copy_waiting(undisturbed, tmp_path)
    message = run_failing(_connect(home, order_tables, elsewhere.render_as_string(hide_password=False)), instance)
    assert "\nCause: order system (postgresql+psycopg://postgres:***@/" in message
    assert "does not answer: connection is bad" in message
    assert RETRIED in message
    assert_recovers(_connect(home, order_tables, order_tables.url), undisturbed, instance)


@pytest.mark.sweep
def test_a_source_that_is_slower_than_its_time_out(
    undisturbed: Undisturbed, order_tables: ServerTables, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    home = copy_waiting(undisturbed, tmp_path)
    slow = _connect(home, order_tables, order_tables.url, sources__source_statement_timeout_seconds=1)
    with sql.get_engine(order_tables.url).begin() as other:
        other.exec_driver_sql("LOCK TABLE their_order_lines")
        message = run_failing(slow, instance)
    assert "\nStep: orders\n" in message
    assert "does not answer: canceling statement due to statement timeout" in message
    assert RETRIED in message
    assert_recovers(_connect(home, order_tables, order_tables.url), undisturbed, instance)


@pytest.mark.sweep
def test_wrong_credentials(
    undisturbed: Undisturbed, order_tables: ServerTables, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    wrong = sa.make_url(order_tables.url).set(password="wr0ng-word").render_as_string(hide_password=False)  # noqa: S106 - it opens nothing
    home = copy_waiting(undisturbed, tmp_path)
    message = run_failing(_connect(home, order_tables, wrong), instance)
    assert "refused: connection failed" in message
    assert "password authentication failed" in message
    assert NOT_RETRIED in message
    assert "wr0ng-word" not in message
    assert PASSWORD not in message
    assert_recovers(_connect(home, order_tables, order_tables.url), undisturbed, instance)


@pytest.fixture
def warehouse(undisturbed: Undisturbed, aws: Cloud) -> str:
    """The URL of the platform's instock warehouse in Athena."""
    found = undisturbed.before.systems.instock_warehouse.read_snapshots(DC, DAYS[0], DAYS[-1]).drop("problem")
    naive = pl.col("snapshot_at").dt.replace_time_zone(None)
    return aws.create_warehouse(found.rename({"ship_date": "snapshot_date"}).with_columns(naive))


@pytest.mark.sweep
def test_athena_throttles(
    undisturbed: Undisturbed,
    warehouse: str,
    tmp_path: Path,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home = copy_waiting(undisturbed, tmp_path, sources__instock_warehouse_url=warehouse)
    with cloud.serve_error("ThrottlingException", 400) as url, monkeypatch.context() as busy:
        busy.setenv("AWS_ENDPOINT_URL", url)
        busy.setenv("AWS_MAX_ATTEMPTS", "1")
        message = run_failing(home, instance)
    assert "\nStep: instock_snapshots\n" in message
    assert "ThrottlingException" in message
    assert RETRIED in message
    assert_recovers(home, undisturbed, instance)


@pytest.mark.sweep
def test_a_query_of_athena_fails(
    undisturbed: Undisturbed, warehouse: str, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    home = copy_waiting(undisturbed, tmp_path, sources__instock_warehouse_url=warehouse)
    absent = {"instock_snapshots": SourceTable(columns={"instock": "in_stock_flag"})}
    message = run_failing(Home(home.directory, {**home.overrides, "sources__source_tables": absent}), instance)
    assert "\nStep: instock_snapshots\n" in message
    assert "in_stock_flag" in message
    assert_recovers(home, undisturbed, instance)


def test_half_of_a_snapshot_is_missing(undisturbed: Undisturbed, tmp_path: Path, instance: dg.DagsterInstance) -> None:
    home, day = copy_waiting(undisturbed, tmp_path), CORRECTED[1]
    warehouse = home.systems.instock_warehouse
    whole = warehouse.read_snapshots(DC, day, day).drop("problem")
    half = whole.gather_every(2)
    with sql.get_engine(home.settings.sources.instock_warehouse_url).begin() as connection:
        of_day = sa.text("DELETE FROM instock_snapshots WHERE dc = :dc AND snapshot_date = :day")
        connection.execute(of_day, {"dc": DC, "day": day})
    warehouse.append(half)
    records = home.store.read_records(DC, day)
    result = run(home, instance)
    assert result.success
    assert home.store.read_records(DC, day).equals(records)
    ((subject, body),) = read_messages(home.store)
    assert subject == f"{DC} {day} is held"
    assert "the last good records stay\nTo do: have the feed corrected or delivered again." in body
    assert body.endswith(f"Run: {UI}/runs/{result.run_id}")
    warehouse.append(whole.join(half, on="item", how="anti"))
    # The days after it were judged without half of its observations meanwhile, and are restated.
    assert_recovers(home, undisturbed, instance, RESTATEMENTS.name)


def _alter(home: Home, statement: str) -> None:
    with sql.get_engine(home.settings.sources.order_system_url).begin() as connection:
        connection.exec_driver_sql(statement)


@pytest.mark.sweep
def test_a_source_loses_a_column(undisturbed: Undisturbed, tmp_path: Path, instance: dg.DagsterInstance) -> None:
    home = copy_waiting(undisturbed, tmp_path)
    _alter(home, "ALTER TABLE order_lines RENAME COLUMN customer TO customer_no")
    message = run_failing(home, instance)
    assert "\nCause: order system (sqlite:" in message
    assert "no such column: order_lines.customer" in message
    assert NOT_RETRIED in message
    renamed = {"order_lines": SourceTable(columns={"customer": "customer_no"})}
    assert_recovers(Home(home.directory, {**home.overrides, "sources__source_tables": renamed}), undisturbed, instance)


@pytest.mark.sweep
def test_a_source_changes_the_type_of_a_column(
    undisturbed: Undisturbed, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    home = copy_waiting(undisturbed, tmp_path)
    _alter(home, "UPDATE order_lines SET ordered_qty = ordered_qty || ' cases'")
    message = run_failing(home, instance)
    assert "\nStep: " in message
    assert "A blocking check failed: read what it says in the run, and correct the source." in message
    _alter(home, "UPDATE order_lines SET ordered_qty = replace(ordered_qty, ' cases', '')")
    assert_recovers(home, undisturbed, instance)


def test_a_source_gets_a_new_column(undisturbed: Undisturbed, tmp_path: Path, instance: dg.DagsterInstance) -> None:
    home = copy_waiting(undisturbed, tmp_path)
    _alter(home, "ALTER TABLE order_lines ADD COLUMN channel TEXT DEFAULT 'store'")
    assert_recovers(home, undisturbed, instance)
    assert read_messages(home.store) == []
