"""The main job with a real Oracle as order system. Set FILLRATE_TEST_ORACLE_URL to run it.

    FILLRATE_TEST_ORACLE_URL='oracle+oracledb://user:password@host:1521/?service_name=FREEPDB1'

The user needs CREATE SESSION, CREATE TABLE and a quota. Every table gets a name of its own and is dropped afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import dagster as dg
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import oracle

from fillrate_assets.core.errors import PermanentFailure, SourceUnavailable
from fillrate_assets.fillrate.sources.order_system import OrderSystem
from fillrate_assets.settings import SourceTable
from fillrate_assets.storage import sql
from fillrate_assets_tests.conftest import TINY, copy_home
from fillrate_assets_tests.factories.rows import DAY
from fillrate_assets_tests.fixtures.home import Home
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

URL, pytestmark = require_url("FILLRATE_TEST_ORACLE_URL")


@pytest.fixture
def prefix() -> str:
    """Of names of these tests alone, short enough for Oracle 12.1."""
    return f"frt{uuid4().hex[:6]}"


@pytest.fixture
def tables(prefix: str) -> Iterator[ServerTables]:
    made = ServerTables(URL, ("order_lines", "items"), prefix)
    yield made
    made.drop()


def test_the_main_job_gives_the_same_on_oracle(
    tables: ServerTables, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    embedded = Home(tmp_path / "embedded" / "home")
    embedded.generate(TINY)
    tables.fill(embedded)
    served = connect_servers(Home(copy_home(embedded.directory, tmp_path)), tables, sources__order_system_url=URL)
    # The shipping records stay embedded, and have the same rows.
    onboard(embedded, served)
    assert_the_main_job_is_the_same(instance, embedded, served, tables)


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(sa.Numeric(18, 4), id="NUMBER(18,4)"),
        pytest.param(oracle.NUMBER(), id="NUMBER"),  # type: ignore[no-untyped-call]
        pytest.param(sa.Unicode(40), id="text"),
    ],
)
def test_a_quantity_never_passes_through_a_float(prefix: str, kind: sa.types.TypeEngine[Any]) -> None:
    assert read_quantities_back(URL, f"{prefix}_exact", kind) == list(QUANTITIES)


def test_an_absent_table_is_permanent(prefix: str) -> None:
    orders = OrderSystem(URL, {"order_lines": SourceTable(name=f"{prefix}_absent")})
    with pytest.raises(PermanentFailure, match="ORA-00942"):
        orders.read_order_lines("DC01", DAY, DAY)


def test_a_wrong_password_is_permanent_and_not_shown() -> None:
    assert_a_wrong_password_is_permanent_and_not_shown(URL, "ORA-01017")


def test_a_statement_that_takes_too_long_may_pass() -> None:
    engine = sql.get_engine(URL, statement_seconds=1)
    endless = "SELECT count(*) FROM all_objects a CROSS JOIN all_objects b CROSS JOIN all_objects c"
    with (
        pytest.raises(SourceUnavailable, match="DPY-4024"),
        sql.translate_errors("order system", URL),
        engine.connect() as connection,
    ):
        connection.exec_driver_sql(endless)
