"""A company's own tables on a server, under names and types of its own, with the rows of an embedded home."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

import dagster as dg
import polars as pl
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mssql, oracle

from fillrate_assets.core import parsing
from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.core.table_schema import TIMESTAMP
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.record_store import OUTBOX, REJECTS, RESTATEMENTS, RecordStore
from fillrate_assets.fillrate.sources.order_system import OrderSystem
from fillrate_assets.fillrate.sources.shipping_records import ShippingRecords
from fillrate_assets.sample.network import Network
from fillrate_assets.settings import SourceTable
from fillrate_assets.storage import sql
from fillrate_assets.storage.sql import Window
from fillrate_assets_tests.home import CORRECTIONS, OF_THE_RUN, Home
from fillrate_assets_tests.rows import AT, DAY

_MOMENT: Final = (
    sa.TIMESTAMP(timezone=True)
    .with_variant(oracle.TIMESTAMP(), "oracle")
    .with_variant(mssql.DATETIME2(precision=6), "mssql")  # type: ignore[no-untyped-call]
)
_TYPES: Final[dict[Any, sa.types.TypeEngine[Any]]] = {
    pl.Date: sa.Date(),
    TIMESTAMP: _MOMENT,
    pl.Int64: sa.BigInteger().with_variant(oracle.NUMBER(18, 0), "oracle"),  # type: ignore[no-untyped-call]
    schema.CASES: sa.Numeric(18, 4),
    pl.Boolean: sa.Boolean().with_variant(sa.CHAR(1), "oracle"),
    pl.String: sa.Unicode(255),
}
_CONTRACTS: Final = {
    "order_lines": schema.ORDER_LINES,
    "shipment_lines": schema.SHIPMENT_LINES,
    "items": schema.ITEMS,
}
_CHUNK: Final = 500
TINY: Final = Network(seed=3, dcs=2, items=100, days=12, last=date(2026, 3, 14))
QUANTITIES: Final = (
    Decimal("99999999999999.9999"),
    Decimal("0.0001"),
    Decimal("12345678901234.5678"),
    Decimal(1000),
    Decimal("-0.3"),
    None,
)
"""Most of them no float can hold."""


def named_by(variable: str) -> tuple[str, pytest.MarkDecorator]:
    """The URL of a server that nobody can start for a test; without its variable, the tests of it are skipped."""
    url = os.environ.get(variable, "")
    return url, pytest.mark.skipif(not url, reason=f"{variable} names no server")


def assert_a_wrong_password_is_permanent_and_not_told(url: str, refusal: str) -> None:
    """A server that is asked with a wrong password refuses in its own words."""
    wrong = sa.make_url(url).set(password="wr0ng-word").render_as_string(hide_password=False)  # noqa: S106 - it opens nothing
    with pytest.raises(PermanentFailure, match=refusal) as raised:
        OrderSystem(wrong).items()
    assert "wr0ng-word" not in str(raised.value)


@dataclass(frozen=True)
class ServerTables:
    """Some of the sources' tables on a server; every one begins with a prefix, so that nothing else is touched."""

    url: str
    contracts: tuple[str, ...]
    prefix: str
    schema_name: str | None = None
    zoned: bool = True
    """Whether times keep a zone and flags are flags; Oracle has neither."""

    metadata: sa.MetaData = field(default_factory=sa.MetaData)

    @property
    def mapping(self) -> dict[str, SourceTable]:
        """The settings that describe them."""
        return {
            name: SourceTable(
                name=f"{self.prefix}_{name}",
                schema_name=self.schema_name,
                columns={column.name: f"x_{column.name}" for column in _CONTRACTS[name].source_columns},
            )
            for name in self.contracts
        }

    def fill(self, home: Home) -> None:
        """Create the tables with what an embedded home holds."""
        for name in self.contracts:
            rows = _rows(home, name)
            self._table(name, rows).create(sql.engine(self.url))
            self._insert(name, rows)

    def correct(self, home: Home) -> None:
        """Add the corrections that `Home.correct` has made in an embedded home."""
        for name in self.contracts:
            if name != "items":
                self._insert(name, _rows(home, name).filter(pl.col("source_seq") >= CORRECTIONS))

    def drop(self) -> None:
        """Remove the tables."""
        self.metadata.drop_all(sql.engine(self.url))

    def _table(self, name: str, rows: pl.DataFrame) -> sa.Table:
        theirs = self.mapping[name]
        plain: dict[Any, sa.types.TypeEngine[Any]] = (
            {} if self.zoned else {TIMESTAMP: sa.TIMESTAMP(), pl.Boolean: sa.CHAR(1)}
        )
        types: dict[Any, sa.types.TypeEngine[Any]] = {**_TYPES, **plain}
        columns: list[sa.Column[Any]] = [
            sa.Column(theirs.columns[column], types[dtype], key=column) for column, dtype in rows.schema.items()
        ]
        return sa.Table(theirs.name or name, self.metadata, *columns, schema=self.schema_name)

    def _insert(self, name: str, rows: pl.DataFrame) -> None:
        (table,) = (each for each in self.metadata.tables.values() if each.name == self.mapping[name].name)
        naive = pl.col(pl.Datetime).dt.replace_time_zone(None)
        flags = pl.col(pl.Boolean).replace_strict({True: "Y", False: "N"}, return_dtype=pl.String)
        oracles = not self.zoned or sql.engine(self.url).dialect.name == "oracle"
        rows = rows.with_columns(naive, *([flags] if oracles else []))
        with sql.engine(self.url).begin() as connection:
            for part in rows.iter_slices(_CHUNK):
                connection.execute(table.insert(), part.to_dicts())


def _rows(home: Home, name: str) -> pl.DataFrame:
    """The rows of an embedded table, typed; a column with a value that cannot be read stays text."""
    url = home.settings.shipping_records_url if name == "shipment_lines" else home.settings.order_system_url
    contract = _CONTRACTS[name]
    columns: list[sa.ColumnClause[Any]] = [sa.column(column.name) for column in contract.source_columns]
    raw = sql.read(name, url, sa.select(*columns).select_from(sa.table(name)))
    typed = parsing.parse(raw.lazy(), contract, table=name).collect()
    return typed.select(
        typed[column.name] if typed[column.name].null_count() == raw[column.name].null_count() else raw[column.name]
        for column in contract.source_columns
    )


def on_servers(home: Home, *tables: ServerTables, **urls: str) -> Home:
    """The same home with some of its systems on servers."""
    mapping: dict[str, Any] = {name: theirs for each in tables for name, theirs in each.mapping.items()}
    return Home(home.directory, {"tables": mapping, **urls})


def onboard(embedded: Home, served: Home) -> None:
    """Give a new record store on a server the DCs and waivers of an embedded one."""
    served.store.upgrade()
    served.store.add_dcs(embedded.store.dcs())
    served.store.add_waivers(embedded.store.waivers())


def assert_the_main_job_is_the_same(
    instance: dg.DagsterInstance, embedded: Home, served: Home, tables: ServerTables
) -> None:
    """Run everything on both, then correct a day on both and run it again; compare what the sensor is told as well."""
    network = embedded.network
    first, *_, last = network.ship_days
    assert changes(served) == changes(embedded)
    for home in (embedded, served):
        for dc in network.dc_codes:
            home.run(instance, dc, first, last)
    assert published(served.store, network) == published(embedded.store, network)

    embedded.correct("DC01", first, first)
    tables.correct(embedded)
    assert changes(served) == changes(embedded)
    for home in (embedded, served):
        home.run(instance, "DC01", first, last, changed=[first])
    after = published(embedded.store, network)
    assert after["restatements"], "a correction that restates nothing shows nothing"
    assert published(served.store, network) == after


def published(store: RecordStore, network: Network) -> dict[str, object]:
    """What stands in a record store, the same on every database: nothing of the run, no order of its own."""
    days = [(dc, day) for dc in network.dc_codes for day in network.ship_days]
    frames = {f"records of {dc} {day}": store.records(dc, day).to_dicts() for dc, day in days}
    totals = {f"totals of {dc}": store.totals(dc, network.first, network.last).rows() for dc in network.dc_codes}
    logs = {table.name: _logged(store, table) for table in (REJECTS, RESTATEMENTS, OUTBOX)}
    return {
        **frames,
        **{name: sorted(rows) for name, rows in totals.items()},
        **logs,
        "ledger": store.ledger().drop("run_id", "published_at").to_dicts(),
        "waivers": store.waivers().to_dicts(),
        "dcs": store.dcs().to_dicts(),
    }


def _logged(store: RecordStore, table: sa.Table) -> list[tuple[object, ...]]:
    columns = [column for column in table.columns if column.name not in OF_THE_RUN | {"destination"}]
    with store.engine.connect() as connection:
        return sorted(map(tuple, connection.execute(sa.select(*columns))), key=repr)


def changes(home: Home) -> Mapping[str, object]:
    """What the sensor would be told: everything, and what has come since a moment within the history."""
    network = home.network
    moments = [None, datetime(network.last.year, network.last.month, network.last.day, 12, 30, 15, 123456, UTC)]
    settings = home.settings
    systems = (
        OrderSystem(settings.order_system_url, settings.tables),
        ShippingRecords(settings.shipping_records_url, settings.tables),
    )
    return {
        f"{type(system).__name__} since {since}": system.changes(
            Window(network.dc_codes, since, network.first, network.last)
        ).to_dicts()
        for system in systems
        for since in moments
    }


def quantities_read_back(url: str, name: str, kind: sa.types.TypeEngine[Any]) -> list[Decimal | None]:
    """What an order system reads of `QUANTITIES` in a column of some type; the table is gone afterwards."""
    columns: list[sa.Column[Any]] = [
        *[sa.Column(column, sa.Unicode(20)) for column in ("dc", "order_id", "item")],
        *[sa.Column(column, sa.Integer()) for column in ("line_no", "source_seq")],
        sa.Column("ship_date", sa.Date()),
        sa.Column("processed_at", _MOMENT),
        sa.Column("ordered_qty", kind),
    ]
    table = sa.Table(name, sa.MetaData(), *columns)
    line = {
        "dc": "DC01",
        "order_id": "O1",
        "item": "A",
        "source_seq": 1,
        "ship_date": DAY,
        "processed_at": AT.replace(tzinfo=None),
    }
    text = isinstance(kind, sa.String)
    rows = [
        {**line, "line_no": number, "ordered_qty": str(quantity) if text and quantity is not None else quantity}
        for number, quantity in enumerate(QUANTITIES)
    ]
    present = {column.name for column in columns}
    absent = {column.name: "" for column in schema.ORDER_LINES.source_columns if column.name not in present}
    table.create(sql.engine(url))
    try:
        with sql.engine(url).begin() as connection:
            for row in rows:
                connection.execute(table.insert(), row)
        orders = OrderSystem(url, {"order_lines": SourceTable(name=name, columns=absent)})
        found = orders.order_lines("DC01", DAY, DAY).sort("line_no")
    finally:
        table.drop(sql.engine(url))
    assert found["problem"].null_count() == found.height
    assert found["processed_at"].unique().to_list() == [AT]
    return found["ordered_qty"].to_list()
