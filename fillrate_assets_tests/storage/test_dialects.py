"""The statements of the connections as Oracle, SQL Server and PostgreSQL would get them: nothing that they refuse."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

import polars as pl
import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory

from fillrate_assets.buffers import buffer_store
from fillrate_assets.buffers import schema as floors
from fillrate_assets.buffers.rules import tick
from fillrate_assets.buffers.rules.policy import Policy
from fillrate_assets.buffers.sources.floor_feeds import FloorFeeds
from fillrate_assets.fillrate import record_store, schema
from fillrate_assets.fillrate.record_store import RecordStore
from fillrate_assets.fillrate.sources import line_versions
from fillrate_assets.fillrate.sources.order_system import OrderSystem
from fillrate_assets.fillrate.sources.shipping_records import ShippingRecords
from fillrate_assets.fulfillment import accepted_events, transition_log
from fillrate_assets.inventory import reconciliation_store
from fillrate_assets.messaging import stream_progress
from fillrate_assets.settings import SourceTable
from fillrate_assets.storage import action_log, bulk_insert, sql
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.migrations.versions import v0002_views
from fillrate_assets.storage.tables import METADATA
from fillrate_assets.subscriptions import view_store
from fillrate_assets_tests.factories.rows import AT, DAY

LONGEST_NAME: Final = 30
"""Of Oracle before 12.2."""

MOST_KEY_BYTES: Final = 900
"""Of a clustered key in SQL Server; a letter has two."""

Sent = list[sa.Executable]


def _make_dialect(url: str, version: tuple[int, ...]) -> Any:  # noqa: ANN401 - a dialect's own attributes
    dialect: Any = sa.make_url(url).get_dialect()()
    dialect.server_version_info = version
    return dialect


def _make_oracle() -> sa.Dialect:
    made: sa.Dialect = _make_dialect("oracle+oracledb://", (19, 0, 0))
    return made


def _make_sql_server() -> sa.Dialect:
    made = _make_dialect("mssql+pymssql://", (16, 0, 0, 0))
    # What the dialect finds out when it connects.
    made._setup_version_attributes()  # noqa: SLF001 - the same
    connected: sa.Dialect = made
    return connected


def _make_postgresql() -> sa.Dialect:
    made: sa.Dialect = _make_dialect("postgresql+psycopg://", (16, 0))
    return made


DIALECTS: Final = {"oracle": _make_oracle, "mssql": _make_sql_server, "postgresql": _make_postgresql}


@pytest.fixture(params=sorted(DIALECTS))
def dialect(request: pytest.FixtureRequest) -> sa.Dialect:
    return DIALECTS[request.param]()


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sent]:
    """The statements that the sources send; each gets a frame without rows."""
    statements: Sent = []

    def note(_system: str, _url: str, statement: sa.Executable, **_: object) -> pl.DataFrame:
        statements.append(statement)
        names = list(statement.selected_columns.keys()) if isinstance(statement, sa.Select) else []
        return pl.DataFrame(schema=dict.fromkeys(names, pl.String))

    monkeypatch.setattr(sql, "read", note)
    yield statements
    assert statements


RENAMED: Final = {
    name: SourceTable(name=name.upper(), schema_name="wms", columns={"dc": "LEVEL", "ship_date": "DATE"})
    for name in ("order_lines", "shipment_lines")
} | {"buffer_limits": SourceTable(name="WCS_LIMITS", schema_name="wms", columns={"path": "ROWID", "max_rate": ""})}


@pytest.fixture(params=[{}, RENAMED], ids=["our names", "their names"])
def queries(request: pytest.FixtureRequest, sent: Sent) -> Sent:
    """Every query of the sources."""
    url = "postgresql+psycopg://reader@host/db"
    orders, shipments = OrderSystem(url, request.param), ShippingRecords(url, request.param)
    windows = [line_versions.ChangeWindow(["DC01", "DC02"], since, DAY, DAY) for since in (None, AT)]
    orders.read_order_lines("DC01", DAY, DAY)
    orders.read_items()
    shipments.read_shipment_lines("DC01", DAY, DAY)
    for window in windows:
        orders.read_changes(window)
        shipments.read_changes(window)
    FloorFeeds(url, request.param).read(
        snapshot_ts=AT, look_back=tick.compute_look_back(Policy()), warehouses=["W1", "W2"]
    )
    return sent


def _compile(statement: Any, dialect: sa.Dialect) -> str:  # noqa: ANN401 - whatever compiles
    return str(statement.compile(dialect=dialect, compile_kwargs={"render_postcompile": True}))


def _strip_names(text: str) -> str:
    """Strip the quoted names from a statement."""
    return re.sub(r'"[^"]*"|\[[^\]]*\]', "quoted", text)


def test_no_server_gets_what_it_refuses(queries: Sent, dialect: sa.Dialect) -> None:
    for statement in queries:
        text = _compile(statement, dialect)
        plain = _strip_names(text).upper()
        assert not re.search(r"\b(LIMIT|TRUE|FALSE|ILIKE|IS DISTINCT)\b", plain), text
        assert len(max(re.findall(r"\w+", text), key=len)) <= LONGEST_NAME, text
        assert not re.search(r"\bORDER BY\b", plain), "no order is promised, and none may be in a subquery"


def test_nothing_is_grouped_by_a_bind(queries: Sent, dialect: sa.Dialect) -> None:
    for statement in queries:
        text = _compile(statement, dialect)
        for grouped in re.findall(r"GROUP BY ([^)]*)", text):
            assert re.fullmatch(r'[\w."\[\], \n]+', grouped), text


def test_oracle_names_no_table_with_as(queries: Sent) -> None:
    for statement in queries:
        text = _compile(statement, _make_oracle())
        assert not re.search(r"(FROM|JOIN) [^\s(]+ AS ", text), text
        assert not re.search(r"\) AS (candidates|found|moves|pairs|latest|doubtful|stored)", text), text


def test_reserved_names_are_quoted(sent: Sent, dialect: sa.Dialect) -> None:
    OrderSystem("postgresql+psycopg://reader@host/db", RENAMED).read_order_lines("DC01", DAY, DAY)
    (statement,) = sent
    # All that is left unquoted is what the dialect does not reserve.
    assert '"DATE"' in _compile(statement, dialect) or "[DATE]" in _compile(statement, dialect)
    assert '"LEVEL"' in _compile(statement, dialect) or "[LEVEL]" in _compile(statement, dialect)


def test_every_column_comes_under_the_contracts_name(queries: Sent) -> None:
    known = {"moved_at", "lines"}
    sources = (schema.PAIR_VERSIONS, schema.ORDER_LINES, schema.SHIPMENT_LINES, schema.ITEMS)
    for contract in (*sources, floors.OCCUPANCY, floors.FLOW, floors.STAFFING, floors.LIMITS):
        known |= set(contract.names)
    for statement in queries:
        assert isinstance(statement, sa.Select)
        assert set(statement.selected_columns.keys()) <= known


@pytest.mark.parametrize("backend", ["mssql", "postgresql"])
def test_the_migrations_can_be_written_down_for_a_server(backend: str) -> None:
    """Offline, as an administrator would get them."""
    written = io.StringIO()
    context = MigrationContext.configure(dialect=DIALECTS[backend](), opts={"as_sql": True, "output_buffer": written})
    config = Config()
    config.set_main_option("script_location", "fillrate_assets.storage:migrations")
    newest_first = ScriptDirectory.from_config(config).walk_revisions()
    with Operations.context(context):
        for revision in reversed(list(newest_first)):
            revision.module.upgrade()
    text = written.getvalue()
    renamed = dict(re.findall(r"(?:ALTER TABLE |sp_rename ')(\w+)(?: RENAME TO|',) (\w+)", text))
    created = re.findall(r"CREATE TABLE (\w+)", text)
    assert {renamed.get(table, table) for table in created} == set(METADATA.tables)
    if backend == "mssql":
        refused = re.findall(r"CREATE TRIGGER \w+ ON (\w+) INSTEAD OF UPDATE, DELETE AS THROW", text)
        assert refused == ["transitions", "rejected_events"]
        # Else `a1` and `A1` would be one code.
        assert not re.search(r"NVARCHAR\((max|\d+)\)(?! COLLATE Latin1_General_100_BIN2)", text)
    of_buffers = {"buffer_ticks", "buffer_units", "buffer_signals", "buffer_recommendations", "buffer_alerts"}
    assert set(re.findall(r"CREATE VIEW (\w+)", text)) == {"fill_rate_daily", "lost_cases_by_vendor", *of_buffers}


def test_sql_server_keeps_text_times_and_quantities_whole() -> None:
    types = _make_sql_server().type_compiler_instance
    kinds = {types.process(column.type) for table in METADATA.tables.values() for column in table.columns}
    families = {re.sub(r"\(.*", "", kind) for kind in kinds}
    assert families == {
        "NVARCHAR",
        "DATE",
        "TIME",
        "DATETIME2",
        "NUMERIC",
        "DOUBLE PRECISION",
        "BIGINT",
        "BIT",
        "VARBINARY",
    }
    assert {kind for kind in kinds if kind.startswith(("DATETIME2", "NUMERIC"))} == {"DATETIME2(6)", "NUMERIC(18, 4)"}


def test_no_key_is_longer_than_sql_server_takes() -> None:
    declared = {
        buffer_store.ALERT_ROUTES,
        transition_log.TRANSITIONS,
        accepted_events.ACCEPTED_EVENTS,
        stream_progress.PROGRESS,
        reconciliation_store.FINDINGS,
        action_log.ACTION_LOG,
        view_store.SAVED_VIEWS,
    }
    assert declared <= {*METADATA.tables.values()}
    for table in METADATA.tables.values():
        letters = sum(key.type.length or 0 for key in table.primary_key if isinstance(key.type, sa.String))
        others = [key for key in table.primary_key if not isinstance(key.type, sa.String)]
        assert 2 * letters + 8 * len(others) <= MOST_KEY_BYTES, table.name


def test_sql_server_inserts_from_json_by_type() -> None:
    dialect = _make_sql_server()
    statement = bulk_insert.build_json_insert(record_store.REJECTS, ["table", "ship_date", "raw"], dialect)
    assert " ".join(_compile(statement, dialect).split()) == (
        "INSERT INTO rejects ([table], ship_date, raw) SELECT [table], ship_date, raw"
        " FROM OPENJSON(:rows) WITH ([table] NVARCHAR(max), ship_date DATE, raw NVARCHAR(max))"
    )


def test_sql_server_locks_the_entry_of_a_day_that_is_published() -> None:
    entry = record_store.select_ledger_entry("DC01", DAY)
    assert "FROM ledger WITH (UPDLOCK, HOLDLOCK)" in _compile(entry, _make_sql_server())
    assert record_store.build_day_lock("DC01", DAY, _make_sql_server()) is None


def test_sql_server_reads_and_writes_the_environments_schema() -> None:
    dialect = _make_sql_server()
    place: dict[str | None, str | None] = {None: "fillrate_prod"}

    def compile_in_place(statement: sa.ClauseElement) -> str:
        return str(statement.compile(dialect=dialect, schema_translate_map=place, render_schema_translate=True))

    assert "FROM fillrate_prod.ledger WITH (UPDLOCK, HOLDLOCK)" in compile_in_place(
        record_store.select_ledger_entry("DC01", DAY)
    )
    insert = compile_in_place(bulk_insert.build_json_insert(record_store.REJECTS, ["dc"], dialect))
    assert insert.startswith("INSERT INTO fillrate_prod.rejects (dc)")
    for view in v0002_views.build_views("mssql"):
        ddl = str(dialect.ddl_compiler(dialect, view, schema_translate_map=place, render_schema_translate=True))
        assert f"CREATE VIEW fillrate_prod.{view.table.name} AS" in ddl
        assert "FROM fillrate_prod.lost_cases" in ddl


def test_a_moment_is_bound_without_a_zone(queries: Sent) -> None:
    bound = [
        value
        for statement in queries
        for value in statement.compile().params.values()  # type: ignore[attr-defined]
        if isinstance(value, datetime)
    ]
    assert AT.replace(tzinfo=None) in bound
    assert {moment.tzinfo for moment in bound} == {None}


def test_a_record_store_shows_no_url() -> None:
    assert "s3cret" not in repr(RecordStore(Database("mssql+pymssql://writer:s3cret@host/records")))
