"""The main job with PostgreSQL in the place of every SQL system gives what it gives on the embedded ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import dagster as dg
import pytest
import sqlalchemy as sa

from fillrate_assets.connections import sql
from fillrate_assets_tests.conftest import copied
from fillrate_assets_tests.home import Home
from fillrate_assets_tests.postgres import Postgres
from fillrate_assets_tests.servers import (
    QUANTITIES,
    TINY,
    ServerTables,
    assert_the_main_job_is_the_same,
    on_servers,
    onboard,
    quantities_read_back,
)


def test_the_main_job_gives_the_same_on_postgresql(
    postgres: Postgres, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    embedded = Home(tmp_path / "embedded" / "home")
    embedded.generate(TINY)
    url = postgres.create_database(f"company {uuid4()}")
    with sql.engine(url).begin() as connection:
        connection.execute(sa.schema.CreateSchema("Order System"))
    tables = ServerTables(url, ("order_lines", "shipment_lines", "items"), "their", "Order System")
    tables.fill(embedded)
    urls = dict.fromkeys(("order_system_url", "shipping_records_url", "record_store_url"), url)
    served = on_servers(Home(copied(embedded.directory, tmp_path)), tables, **urls)
    onboard(embedded, served)
    assert_the_main_job_is_the_same(instance, embedded, served, tables)


@pytest.mark.parametrize("kind", [sa.Numeric(), sa.Numeric(18, 4), sa.Text()])
def test_a_quantity_never_passes_through_a_float(postgres: Postgres, kind: sa.types.TypeEngine[Any]) -> None:
    url = postgres.create_database(f"exact {uuid4()}")
    assert quantities_read_back(url, "order_lines", kind) == list(QUANTITIES)
