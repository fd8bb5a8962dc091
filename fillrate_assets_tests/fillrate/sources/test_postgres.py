"""PostgreSQL's own ways to fail: what may pass is retried, the rest is reported once, without the password."""

from __future__ import annotations

import socket
import traceback
from collections.abc import Callable
from threading import Barrier, Thread
from uuid import uuid4

import pytest
import sqlalchemy as sa

from fillrate_assets.core.errors import FillrateError, PermanentFailure, SourceUnavailable
from fillrate_assets.fillrate.record_store import LEDGER, RecordStore
from fillrate_assets.fillrate.sources.order_system import OrderSystem
from fillrate_assets.fillrate.watermark import WATERMARKS
from fillrate_assets.storage import sql
from fillrate_assets.storage.database import Database
from fillrate_assets_tests.conftest import SCHEMA
from fillrate_assets_tests.factories.rows import DAY
from fillrate_assets_tests.fixtures.patience import PATIENCE_SECONDS
from fillrate_assets_tests.fixtures.postgres import PASSWORD, Postgres


@pytest.fixture
def url(postgres: Postgres, postgres_template: str) -> str:
    return postgres.create_database(f"failing {uuid4()}", postgres_template)


def _format(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def _get_refusal(kind: type[FillrateError], url: str) -> str:
    """Return the message of a store that cannot be reached."""
    with pytest.raises(kind, match=r"^record store ") as raised:
        RecordStore(Database(url)).read_ledger()
    assert type(raised.value) is kind
    password = sa.make_url(url).password
    assert password
    assert str(password) not in _format(raised.value)
    return str(raised.value)


def test_a_server_that_is_down_may_come_back() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    message = _get_refusal(SourceUnavailable, f"postgresql+psycopg://writer:s3cret-word@127.0.0.1:{port}/records")
    assert message.startswith(
        f"record store (postgresql+psycopg://writer:***@127.0.0.1:{port}/records) does not answer: "
    )


def test_a_host_that_is_not_found_may_come_back() -> None:
    _get_refusal(SourceUnavailable, "postgresql+psycopg://writer:s3cret-word@nowhere.invalid/records")


def test_a_wrong_password_is_permanent(postgres: Postgres) -> None:
    message = _get_refusal(PermanentFailure, postgres.make_url(password="wr0ng-word"))  # noqa: S106 - it opens nothing
    assert "refused: " in message
    assert 'password authentication failed for user "postgres"' in message


def test_an_unknown_user_is_permanent(postgres: Postgres) -> None:
    url = sa.make_url(postgres.make_url()).set(username="absent user").render_as_string(hide_password=False)
    _get_refusal(PermanentFailure, url)


def test_an_unknown_database_is_permanent(postgres: Postgres) -> None:
    assert 'database "absent" does not exist' in _get_refusal(PermanentFailure, postgres.make_url("absent"))


def test_an_absent_table_is_permanent(postgres: Postgres) -> None:
    assert 'relation "ledger" does not exist' in _get_refusal(PermanentFailure, postgres.make_url())


def test_an_absent_table_of_a_source_is_permanent(postgres: Postgres) -> None:
    with pytest.raises(PermanentFailure, match=r"^order system .* refused: relation \"order_lines\" does not exist"):
        OrderSystem(postgres.make_url()).read_order_lines("DC01", DAY, DAY)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://writer:s3cret word@host:port/records",
        "postgresql+psycopg//writer:s3cret@host/records",
    ],
)
def test_a_url_that_cannot_be_read_is_not_repeated(url: str) -> None:
    with pytest.raises(PermanentFailure, match="cannot use database URL") as raised:
        RecordStore(Database(url)).read_ledger()
    assert "s3cret" not in _format(raised.value)


def test_a_secret_in_the_query_of_a_url_is_not_shown() -> None:
    url = f"postgresql+psycopg://writer@127.0.0.1:1/records?password={PASSWORD}"
    with pytest.raises(SourceUnavailable, match=r"^record store ") as raised:
        RecordStore(Database(url)).read_ledger()
    assert PASSWORD not in _format(raised.value)


def test_a_statement_that_takes_too_long_may_pass(postgres: Postgres) -> None:
    engine = sql.get_engine(postgres.make_url(), statement_seconds=1)
    with (
        pytest.raises(SourceUnavailable, match="statement timeout"),
        sql.translate_errors("record store", postgres.make_url()),
        engine.connect() as connection,
    ):
        connection.exec_driver_sql("SELECT pg_sleep(60)")


def test_a_session_that_an_operator_ended_may_pass(postgres: Postgres, url: str) -> None:
    def lose_session() -> None:
        with sql.translate_errors("record store", url), sql.get_engine(url, schema=SCHEMA).connect() as connection:
            session = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
            postgres.execute(f"SELECT pg_terminate_backend({session})")
            connection.execute(sa.select(LEDGER))

    with pytest.raises(SourceUnavailable, match="terminating connection"):
        lose_session()


def _run_both(url: str, work: Callable[[sa.Connection, str, Barrier], None], level: str) -> list[FillrateError]:
    """Do the same in two sessions in turns, each with a name of its own; return their errors."""
    barrier, met = Barrier(2), []

    def run_session(name: str) -> None:
        try:
            with (
                sql.translate_errors("watermark", url),
                sql.get_engine(url, schema=SCHEMA).connect() as connection,
                connection.execution_options(isolation_level=level).begin(),
            ):
                work(connection, name, barrier)
        except FillrateError as error:
            met.append(error)

    threads = [Thread(target=run_session, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    return met


@pytest.fixture
def two_watermarks(url: str) -> str:
    with sql.get_engine(url, schema=SCHEMA).begin() as connection:
        connection.execute(WATERMARKS.insert(), [{"name": name, "moment": DAY} for name in ("a", "b")])
    return url


def _touch(connection: sa.Connection, name: str) -> None:
    connection.execute(WATERMARKS.update().where(WATERMARKS.c.name == name).values(moment=sa.func.now()))


def test_a_deadlock_may_pass(two_watermarks: str) -> None:
    def touch_crosswise(connection: sa.Connection, name: str, barrier: Barrier) -> None:
        _touch(connection, name)
        barrier.wait(PATIENCE_SECONDS)
        _touch(connection, {"a": "b", "b": "a"}[name])

    (error,) = _run_both(two_watermarks, touch_crosswise, "READ COMMITTED")
    assert isinstance(error, SourceUnavailable)
    assert "deadlock detected" in str(error)


def test_a_serialization_failure_may_pass(two_watermarks: str) -> None:
    def read_all_and_write_one(connection: sa.Connection, name: str, barrier: Barrier) -> None:
        connection.execute(sa.select(WATERMARKS)).all()
        barrier.wait(PATIENCE_SECONDS)
        _touch(connection, name)
        barrier.wait(PATIENCE_SECONDS)

    (error,) = _run_both(two_watermarks, read_all_and_write_one, "SERIALIZABLE")
    assert isinstance(error, SourceUnavailable)
    assert "could not serialize access" in str(error)
