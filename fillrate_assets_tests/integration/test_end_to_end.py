"""The platform as a company runs it: PostgreSQL for its SQL systems, AWS for snapshots, lake, watermarks and alerts.

Whatever the sensor requests, the runs compute and people get is what the embedded systems give.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from uuid import uuid4

import dagster as dg
import polars as pl
import pytest
import sqlalchemy as sa
from polars.testing import assert_frame_equal

from fillrate_assets.fillrate.defs import assets
from fillrate_assets.fillrate.record_store import RESTATEMENTS
from fillrate_assets.orchestration import partitions
from fillrate_assets.storage import sql
from fillrate_assets_tests.conftest import TINY, copy_home
from fillrate_assets_tests.fixtures.cloud import Cloud, Topic
from fillrate_assets_tests.fixtures.home import Home, read_messages
from fillrate_assets_tests.fixtures.postgres import Postgres
from fillrate_assets_tests.fixtures.servers import ServerTables, connect_servers, onboard, read_changes, read_published
from fillrate_assets_tests.fixtures.ticks import Ticking

pytestmark = [pytest.mark.slow, pytest.mark.first]

SHORT: Final = replace(TINY, days=6)
SOURCES: Final = ("order_system_url", "shipping_records_url", "instock_warehouse_url")


@dataclass(frozen=True)
class Both:
    """The same platform twice, on the same Dagster instance."""

    embedded: Ticking
    served: Ticking
    tables: tuple[ServerTables, ...]
    topic: Topic

    def tick(self) -> list[dg.RunRequest]:
        """What both request."""
        expected, found = (each.tick().run_requests or [] for each in (self.embedded, self.served))
        assert [(each.run_key, each.tags) for each in found] == [(each.run_key, each.tags) for each in expected]
        assert self.served.read_watermarks() == self.embedded.read_watermarks()
        return list(found)

    def run(self, requests: list[dg.RunRequest]) -> None:
        """Run it on both, and compare everything that is stored."""
        for each in (self.embedded, self.served):
            each.run(requests)
        here, there = self.embedded.home, self.served.home
        assert read_published(there.store, SHORT) == read_published(here.store, SHORT)
        for frame in assets.TABLES.values():
            if frame.name == "items":
                assert there.lake.read_whole(frame).collect().equals(here.lake.read_whole(frame).collect())
                continue
            assert there.lake.list_partitions(frame) == here.lake.list_partitions(frame)
            assert_frame_equal(there.lake.scan(frame).collect(), here.lake.scan(frame).collect(), check_row_order=False)


@pytest.fixture
def both(postgres: Postgres, aws: Cloud, tmp_path: Path, instance: dg.DagsterInstance) -> Both:
    embedded = Home(tmp_path / "embedded" / "home")
    embedded.generate(SHORT)
    orders, shipments = (postgres.create_database(f"{name} {uuid4()}") for name in ("orders", "shipments"))
    with sql.get_engine(orders).begin() as connection:
        connection.execute(sa.schema.CreateSchema("Order System"))
    tables = (
        ServerTables(orders, ("order_lines", "items"), "their", "Order System"),
        ServerTables(shipments, ("shipment_lines",), "their"),
    )
    for each in tables:
        each.fill(embedded)
    warehouse = embedded.systems.instock_warehouse
    stock = pl.concat(warehouse.read_snapshots(dc, SHORT.first, SHORT.last) for dc in SHORT.dc_codes).drop("problem")
    topic = aws.create_topic()
    served = connect_servers(
        Home(copy_home(embedded.directory, tmp_path)),
        *tables,
        env="prod",
        sources__order_system_url=orders,
        sources__shipping_records_url=shipments,
        storage__record_store_url=postgres.create_database(f"records {uuid4()}"),
        sources__instock_warehouse_url=aws.create_warehouse(
            stock.rename({"ship_date": "snapshot_date"}).with_columns(pl.col("snapshot_at").dt.replace_time_zone(None))
        ),
        storage__lake_root=f"s3://{aws.create_bucket()}/lake",
        storage__watermark_url=f"ssm://{uuid4().hex}",
        notifications__alert_topic_arn=topic.arn,
    )
    served.store.database.upgrade()
    onboard(embedded, served)
    return Both(Ticking(embedded, instance), Ticking(served, instance), tables, topic)


@contextmanager
def _count_queries() -> Iterator[Counter[str]]:
    """How many statements each database is sent."""
    queries: Counter[str] = Counter()

    def count(connection: sa.Connection, *_: object) -> None:
        queries[str(connection.engine.url.database)] += 1

    sa.event.listen(sa.Engine, "before_cursor_execute", count)
    try:
        yield queries
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", count)


def test_the_platform_on_servers_is_the_embedded_one(both: Both, instance: dg.DagsterInstance) -> None:
    embedded, served = both.embedded.home, both.served.home
    dc, day = SHORT.dc_codes[0], SHORT.ship_days[2]
    held_dc, held_day = SHORT.snapshot_gap
    assert read_changes(served) == read_changes(embedded)

    everything = both.tick()
    assert len(everything) == len(SHORT.dc_codes)
    both.run(everything)
    assert not (served.directory / "lake").exists()
    ((subject, body),) = both.topic.list_received()
    assert subject == f"{held_dc} {held_day} is held"
    assert [(subject, body)] == read_messages(embedded.store)
    records = instance.fetch_materializations(assets.instock_snapshots.key, limit=1000).records
    materializations = [each.asset_materialization for each in records if each.asset_materialization]
    scanned = [
        each.metadata["query_bytes_scanned"].value
        for each in materializations
        if "query_bytes_scanned" in each.metadata
    ]
    # Of the one platform, and not of the other.
    assert 0 < len(scanned) < len(materializations)
    assert all(scanned)

    ledger = served.store.read_ledger()
    embedded.correct(dc, day, day)
    for each in both.tables:
        each.correct(embedded)
    (correction,) = both.tick()
    wanted = partitions.make_range_tags(dc, day, SHORT.ship_days[-1]) | {partitions.CHANGED_TAG: day.isoformat()}
    assert correction.tags.items() >= wanted.items()
    both.run([correction])
    first_restated = sa.select(RESTATEMENTS.c.dc, sa.func.min(RESTATEMENTS.c.ship_date)).group_by(RESTATEMENTS.c.dc)
    with served.store.database.engine.connect() as connection:
        assert connection.execute(first_restated).all() == [(dc, day)]
    others = (pl.col("dc") != dc) | (pl.col("ship_date") < day)
    assert served.store.read_ledger().filter(others).equals(ledger.filter(others))

    stored = served.read_stored()
    both.served.run(everything)
    assert served.read_stored() == stored
    assert both.topic.list_received() == []
    with _count_queries() as queries:
        assert both.tick() == []
    of_sources = [sa.make_url(getattr(served.settings.sources, name)).database for name in SOURCES]
    # What changed and, of the two with a watermark, the latest change by which it is bounded.
    assert [queries[str(name)] for name in of_sources] == [2, 2, 1]
