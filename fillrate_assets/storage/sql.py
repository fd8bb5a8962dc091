"""Access to any SQL database: engines, typed errors, and bulk paths behind one `read` and one `append`.

It knows no table. The platform's own database is `database`; tables are declared with `tables`.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import polars as pl
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, NoSuchModuleError, OperationalError

from fillrate_assets.aws import secrets
from fillrate_assets.core import database_url, extras
from fillrate_assets.core.errors import FillrateError, PermanentFailure, SourceUnavailable
from fillrate_assets.core.table_schema import TIMESTAMP
from fillrate_assets.storage import oracle
from fillrate_assets.storage.driver_errors import translate_driver_errors
from fillrate_assets.storage.row_frames import to_frame
from fillrate_assets.storage.transient_errors import is_transient, is_transient_sql_server

if TYPE_CHECKING:
    import pyarrow as pa
    from adbc_driver_sqlite import dbapi
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry

T = TypeVar("T")

_LOG: Final = logging.getLogger("fillrate.sql")

_BUSY_SECONDS: Final = 60
_IDLE_SECONDS: Final = 2
_USED_AT: Final = "used_at"
_POOLED: Final = 16
"""Connections that are left open in a pool; more are opened where more are used at a time."""

_CONNECT_SECONDS: Final = 15
_KEEP_ALIVE_MINUTES: Final = 1
_DUCKDB: Final = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
"""Nothing is downloaded because of a name in a URL or in a statement."""

_SHOWN_OPTIONS: Final = {"service_name", "sid"}

_HIDDEN: Final = "***"
_SHORTEST_SECRET: Final = 4

STATEMENT_SECONDS: Final = 300
MAX_BINDS: Final = 500
"""Servers limit the binds of a statement."""

_WHOLE_RESULT: Final = 50_000_000
"""The driver guesses a column's type from one batch; nulls first would make it a number for good."""


@lru_cache(maxsize=32)
def get_engine(
    url: str,
    *,
    schema: str | None = None,
    read_only: bool = False,
    statement_seconds: int = STATEMENT_SECONDS,
) -> sa.Engine:
    """Return the engine of a URL, one per process, whose connections do not outlive their use; else as `make_engine`.

    So each attempt opens its own, and none is found dead.
    """
    return make_engine(url, schema=schema, read_only=read_only, pooled=False, statement_seconds=statement_seconds)


def make_engine(url: str, *, schema: str | None, read_only: bool, pooled: bool, statement_seconds: int) -> sa.Engine:
    """Make an engine; nothing is connected yet, but a URL's secret is fetched.

    Args:
        url: where the system is.
        schema: where tables are that name no schema themselves; None leaves that to the database.
        read_only: several processes may read an embedded DuckDB file at a time, but only if none may write.
        pooled: whether connections are used again, by a process that reads no frames of the same SQLite file.
        statement_seconds: how long a server may work at one statement.

    Raises:
        PermanentFailure: the URL cannot be understood, or its driver is not known or not installed.

    """
    _parse_url(url)
    parsed = secrets.resolve_url(url)
    for extra in extras.find_extras(f"{parsed.drivername}://"):
        extras.require(extra, f"the database URL {parsed.drivername}://")
    backend = parsed.get_backend_name()
    arguments = {
        **_choose_arguments(backend, statement_seconds),
        **({"read_only": read_only, "config": _DUCKDB} if backend == "duckdb" else {}),
    }
    pool = {"poolclass": sa.QueuePool, "pool_size": _POOLED, "max_overflow": -1}
    try:
        made = sa.create_engine(
            parsed,
            connect_args={name: value for name, value in arguments.items() if name not in parsed.query},
            **(pool if pooled else {"poolclass": sa.NullPool}),
        )
    except NoSuchModuleError as error:
        msg = f"cannot use database URL: {error}"
        raise PermanentFailure(msg) from error
    except Exception:  # noqa: BLE001 - whatever a driver raises
        # Whatever a driver makes of a URL: its error may quote the password.
        msg = (
            f"cannot use database URL: the driver {parsed.drivername} does not take it; see its host, port and options"
        )
        raise PermanentFailure(msg) from None
    sa.event.listen(made, "do_connect", _open)
    if pooled:
        sa.event.listen(made, "checkin", _note_use)
        sa.event.listen(made, "checkout", _try_idle)
    if backend == "sqlite":
        sa.event.listen(made, "connect", _enable_write_ahead)
    if backend == "oracle":
        sa.event.listen(made, "connect", partial(_prepare_oracle, statement_seconds))
    if backend == "mssql":
        sa.event.listen(made, "connect", _prepare_sql_server)
    if backend == "postgresql":
        sa.event.listen(made, "connect", _prepare_postgresql)
    if backend == "redshift":
        sa.event.listen(made, "connect", partial(_prepare_redshift, statement_seconds))
    return made.execution_options(schema_translate_map={None: schema}) if schema else made


def limit_sqlite_wait(url: str, seconds: int) -> str:
    """Return the URL with a limit to the wait for a locked file; of another database, the URL as it is."""
    parsed = _parse_url(url)
    if parsed.get_backend_name() != "sqlite":
        return url
    return parsed.update_query_dict({"timeout": str(seconds)}).render_as_string(hide_password=False)


def _open(dialect: sa.Dialect, _record: object, arguments: list[Any], options: dict[str, Any]) -> DBAPIConnection:
    """Open a connection; what a driver raises of options that it cannot read is no error of a database."""
    try:
        return dialect.connect(*arguments, **options)
    except (TypeError, ValueError, KeyError):
        # Without the cause, which may quote the password.
        msg = f"cannot use database URL: the driver {dialect.name}+{dialect.driver} does not take its options"
        raise PermanentFailure(msg) from None


def get_schema(connection: sa.Connection) -> str | None:
    """Return the schema that the connection's engine was made for."""
    places: Mapping[str | None, str] = connection.get_execution_options().get("schema_translate_map", {})
    return places.get(None)


def _choose_arguments(backend: str, statement_seconds: int) -> dict[str, Any]:
    """Choose the options that a driver connects with, unless the URL sets them."""
    if backend == "sqlite":
        return {"timeout": _BUSY_SECONDS}
    if backend == "postgresql":
        options = f"-c timezone=UTC -c statement_timeout={statement_seconds * 1000}"
        return {"connect_timeout": _CONNECT_SECONDS, "client_encoding": "utf8", "options": options}
    if backend == "redshift":
        return {"connect_timeout": _CONNECT_SECONDS}
    if backend == "oracle":
        # The driver bounds neither the login nor the wait for it: keep-alive notices a peer that is gone.
        return {"tcp_connect_timeout": _CONNECT_SECONDS, "expire_time": _KEEP_ALIVE_MINUTES}
    if backend == "mssql":
        # Without it, times are sent as DATETIME, which rounds them to 3 milliseconds.
        return {"timeout": statement_seconds, "login_timeout": _CONNECT_SECONDS, "use_datetime2": True}
    return {}


@lru_cache(maxsize=32)
def _parse_url(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        parsed = None
    if parsed is None or not (url.startswith(secrets.SCHEME) or database_url.is_clear(url)):
        # What was wrong may be a part of the password.
        msg = f"cannot use database URL: {database_url.EXPECTED}"
        raise PermanentFailure(msg)
    return parsed


def redact_url(url: str) -> str:
    """Return a URL as it may be shown: without its password and its options, which may have one as well."""
    if not url or url.startswith(secrets.SCHEME):
        return url
    if not database_url.is_clear(url):
        return f"{url.partition('://')[0]}://***"
    return sa.make_url(url).set(query={}).render_as_string()


def make_directory(url: str) -> None:
    """Create the directory of an embedded database file."""
    if (file := find_embedded_file(url)) is not None:
        file.parent.mkdir(parents=True, exist_ok=True)


def split_binds(values: Sequence[T], most: int = MAX_BINDS) -> Iterator[Sequence[T]]:
    """Split values into as many as one statement binds; servers limit that."""
    return (values[start : start + most] for start in range(0, len(values), most))


def create_tables(system: str, url: str, *tables: sa.Table) -> None:
    """Create tables of an embedded system, and its file, where they are absent.

    A table that an older version made gets the columns that it lacks, if they may be empty (decision 0163).

    Raises:
        SourceUnavailable: another process holds the file, or it may not be written.
        PermanentFailure: a table lacks a column that every row must have.

    """
    make_directory(url)
    with translate_errors(system, url, creating=True), get_engine(url).begin() as connection:
        for table in tables:
            if sa.inspect(connection).has_table(table.name, table.schema):
                _add_columns(f"{system} ({_show_place(url)})", connection, table)
            table.metadata.create_all(connection)


def _add_columns(place: str, connection: sa.Connection, table: sa.Table) -> None:
    """Add the columns that a table of an older version lacks."""
    # Not what an inspector says of columns: that of DuckDB asks for catalogues which it does not have.
    there: sa.Select[Any] = (
        sa.select(sa.literal_column("*")).select_from(sa.table(table.name, schema=table.schema)).limit(0)
    )
    known = set(connection.execute(there).keys())
    absent = [column for column in table.columns if column.name not in known]
    if needed := [column.name for column in absent if not column.info.get("may_be_empty")]:
        msg = f"{place}: {table.name} lacks {', '.join(needed)}: load its files into a new home"
        raise PermanentFailure(msg)
    if not absent:
        return
    from alembic.ddl import postgresql  # noqa: PLC0415 - only where it is used
    from alembic.migration import MigrationContext  # noqa: PLC0415 - only where it is used
    from alembic.operations import Operations  # noqa: PLC0415 - only where it is used

    # Alembic finds what it knows of a dialect by this class; it knows nothing of DuckDB, whose statement is the same.
    type("DuckDb", (postgresql.PostgresqlImpl,), {"__dialect__": "duckdb"})
    context = MigrationContext.configure(connection)
    for column in absent:
        added: sa.Column[Any] = sa.Column(column.name, column.type)
        Operations(context).add_column(table.name, added, schema=table.schema)


def find_embedded_file(url: str) -> Path | None:
    """Find the file of an embedded database; None for a server."""
    parsed = _parse_url(url)
    embedded = parsed.get_backend_name() in {"sqlite", "duckdb"} and parsed.database
    return Path(parsed.database) if embedded and parsed.database else None


def require_file(
    system: str, url: str, made_by: str = "`fillrate demo`, `fillrate sample` or `fillrate load DIR`"
) -> None:
    """Raise PermanentFailure if the file of an embedded database is not there."""
    if (file := find_embedded_file(url)) is not None and not file.exists():
        msg = f"{system}: there is no {file}; run {made_by} first"
        raise PermanentFailure(msg)


@contextmanager
def translate_errors(system: str, url: str, *, creating: bool = False) -> Iterator[None]:
    """Turn a driver's errors into ours: what may pass is `SourceUnavailable`, the rest is permanent.

    Args:
        system: its name in messages.
        url: where it is.
        creating: whether the file of an embedded one is about to be made; else it has to be there.

    """
    _parse_url(url)
    if not creating:
        require_file(system, url)
    try:
        yield
    except DBAPIError as error:
        translated = _translate(system, url, error.orig, passes=is_transient(error, get_engine(url).dialect.name))
        quotes = _hide_secrets(str(error.orig), url) != str(error.orig)
        raise translated from (None if quotes else error)
    except Exception as error:
        if not type(error).__module__.startswith("pymssql."):
            raise
        # What it raises at a rollback is no error of DB-API, and hides the one that led there.
        first = error.__context__ if isinstance(error.__context__, DBAPIError) else None
        cause = error if first is None or first.orig is None else first.orig
        passes = is_transient(first, "mssql") if first else is_transient_sql_server(error)
        raise _translate(system, url, cause, passes=passes) from error


def _translate(system: str, url: str, error: BaseException | None, *, passes: bool) -> FillrateError:
    text = _hide_secrets(str(error), url)
    if passes:
        return SourceUnavailable(f"{system} ({_show_place(url)}) does not answer: {text}")
    return PermanentFailure(f"{system} ({_show_place(url)}) refused: {text}")


def _hide_secrets(text: str, url: str) -> str:
    """Hide the password of a URL, and what its options are set to, where a driver quotes them."""
    parsed = get_engine(url).url
    options = [value for name, value in parsed.query.items() if name not in _SHOWN_OPTIONS]
    for secret in (parsed.password, *options):
        if isinstance(secret, str) and len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, _HIDDEN)
    return text


def _show_place(url: str) -> str:
    """Show where a system is: its host, also if that is in a secret; of its options only those that are none."""
    parsed = get_engine(url).url
    options = {name: value for name, value in parsed.query.items() if name in _SHOWN_OPTIONS}
    return parsed.set(query=options).render_as_string(hide_password=True)


def read(
    system: str, url: str, statement: sa.Select[Any], *, statement_seconds: int = STATEMENT_SECONDS
) -> pl.DataFrame:
    """Run a query of a source and return its rows as a frame, through Arrow where the driver can.

    The Arrow driver brings a SQLite library of its own, and two of them in one process must not have the same
    file open: so engines pool no connection, and the record store, which writes, reads with `select`.

    Raises:
        SourceUnavailable: the system did not answer: never an empty frame.
        PermanentFailure: the statement cannot work as it is.

    """
    with translate_errors(system, url):
        try:
            rows = _read_rows(url, statement, statement_seconds)
        except (pl.exceptions.PolarsError, ValueError, TypeError, ArithmeticError, NotImplementedError) as error:
            # A value that a driver cannot make: a date before the year 1, a type that it does not know.
            named = ", ".join(sorted({str(table) for table in sa.sql.visitors.iterate(statement) if _is_table(table)}))
            msg = f"{system} ({_show_place(url)}): the rows of {named} cannot be read: {_hide_secrets(str(error), url)}"
            raise PermanentFailure(msg) from error
    _LOG.debug("%s: %d rows", system, rows.height)
    return rows


def select(connection: sa.Connection, statement: sa.Select[Any]) -> pl.DataFrame:
    """Run a query on an open connection and return its rows as a frame, values as SQLAlchemy types them."""
    result = connection.execute(statement)
    return pl.DataFrame(result.all(), schema=list(result.keys()), orient="row", infer_schema_length=None)


def build_lock(name: str, dialect: sa.Dialect) -> sa.Executable | None:
    """Build the statement that locks a name until the transaction ends, before what it names is read.

    SQLite locks the whole file. None on SQL Server, where a hint of the read locks rows and the gaps between them.
    """
    if dialect.name == "sqlite":
        return sa.text("BEGIN IMMEDIATE")
    if dialect.name == "postgresql":
        return sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(name, 0)))
    return None


def append(system: str, url: str, table: sa.Table, frame: pl.DataFrame) -> None:
    """Bulk-insert a frame into an embedded table, columns by name.

    Raises:
        SourceUnavailable: another process holds the file.

    """
    if frame.is_empty():
        return
    names = {column.key: column.name for column in table.columns}
    theirs = frame.rename({key: name for key, name in names.items() if key in frame.columns})
    with translate_errors(system, url):
        if get_engine(url).dialect.name == "sqlite":
            _append_sqlite(url, table.name, theirs)
            return
        with get_engine(url).begin() as connection:
            raw = connection.connection.driver_connection
            raw.register("incoming", theirs.to_arrow())  # type: ignore[union-attr]
            listed = sa.table("incoming", *[sa.column(name) for name in theirs.columns])
            connection.execute(table.insert().from_select(frame.columns, sa.select(listed)))
            raw.unregister("incoming")  # type: ignore[union-attr]


def to_sqlite_text(frame: pl.DataFrame) -> pl.DataFrame:
    """Convert dates and times to the ISO text that SQLAlchemy stores in SQLite; decimals to text, flags to 0 and 1."""
    forms: dict[pl.DataType, str] = {TIMESTAMP: "%Y-%m-%d %H:%M:%S%.6f", pl.Time(): "%H:%M:%S%.6f"}
    return frame.with_columns(
        *[
            pl.col(name).dt.strftime(forms[dtype]) if dtype in forms else pl.col(name).cast(pl.String)
            for name, dtype in frame.schema.items()
            if dtype.is_temporal() or dtype.is_decimal()
        ],
        *[pl.col(name).cast(pl.Int64) for name, dtype in frame.schema.items() if dtype == pl.Boolean],
    )


def _read_rows(url: str, statement: sa.Select[Any], statement_seconds: int) -> pl.DataFrame:
    backend = get_engine(url).dialect.name
    if backend == "sqlite":
        return _read_sqlite(url, statement)
    if backend == "duckdb":
        return _read_duckdb(url, statement)
    with get_engine(url, statement_seconds=statement_seconds).connect() as connection:
        return oracle.read(connection, statement) if backend == "oracle" else _read_rows_of(connection, statement)


@contextmanager
def open_sqlite_cursor(url: str, doing: str) -> Iterator[dbapi.Cursor]:
    """Open a cursor of the Arrow driver, which waits for a locked file as SQLAlchemy's driver does.

    Args:
        url: the embedded file; its option `timeout` says how many seconds to wait.
        doing: the statement or the table, for the error.

    """
    from adbc_driver_sqlite import dbapi  # noqa: PLC0415 - only where it is used

    seconds = float(str(_parse_url(url).query.get("timeout", _BUSY_SECONDS)))
    try:
        with dbapi.connect(str(find_embedded_file(url))) as connection, connection.cursor() as cursor:
            cursor.execute(f"PRAGMA busy_timeout={int(seconds * 1000)}")
            yield cursor
            connection.commit()
    except dbapi.Error as error:
        raise OperationalError(doing, None, error) from error


def _read_sqlite(url: str, statement: sa.Select[Any]) -> pl.DataFrame:
    text, values = _compile(url, statement)
    with open_sqlite_cursor(url, text) as cursor:
        cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": _WHOLE_RESULT})
        cursor.execute(text, [_to_sqlite_value(value) for value in values])
        return _to_frame(cursor.fetch_arrow_table())


def _read_duckdb(url: str, statement: sa.Select[Any]) -> pl.DataFrame:
    text, values = _compile(url, statement)
    with get_engine(url, read_only=True).connect() as connection, translate_driver_errors(connection, text):
        relation = connection.connection.driver_connection.sql(text, params=values)  # type: ignore[union-attr]
        return _to_frame(relation.to_arrow_table())


def _read_rows_of(connection: sa.Connection, statement: sa.Select[Any]) -> pl.DataFrame:
    """Read as the driver makes values: SQLAlchemy would take any text for true in a column of yes and no."""
    _read_dates_as_text(connection)
    result = connection.execute(statement)
    with translate_driver_errors(connection, str(statement)):
        return to_frame(list(result.keys()), result.cursor.fetchall())


def _read_dates_as_text(connection: sa.Connection) -> None:
    """Have psycopg hand over dates as PostgreSQL writes them: it makes none of `infinity`, or before the year 1."""
    if connection.dialect.driver != "psycopg":
        return
    from psycopg.types.string import TextLoader  # noqa: PLC0415 - only where it is used

    raw: Any = connection.connection.driver_connection
    for kind in ("date", "timestamp", "timestamptz"):
        raw.adapters.register_loader(kind, TextLoader)


def _compile(url: str, statement: sa.Select[Any]) -> tuple[str, list[object]]:
    """Compile a statement as its dialect writes it, with the bound values in order."""
    compiled = statement.compile(dialect=get_engine(url).dialect, compile_kwargs={"render_postcompile": True})
    values = compiled.construct_params()
    return str(compiled), [values[name] for name in getattr(compiled, "positiontup", None) or ()]


def _is_table(part: object) -> bool:
    return isinstance(part, sa.Table)


def _to_frame(table: pa.Table) -> pl.DataFrame:
    return pl.DataFrame(table)


def _append_sqlite(url: str, table: str, frame: pl.DataFrame) -> None:
    with open_sqlite_cursor(url, table) as cursor:
        cursor.adbc_ingest(table, to_sqlite_text(frame).to_arrow(), mode="append")


def _to_sqlite_value(value: object) -> object:
    if isinstance(value, datetime):
        return value.replace(tzinfo=None).isoformat(" ", timespec="microseconds")
    return value.isoformat() if isinstance(value, date) else value


def _prepare_oracle(seconds: int, connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    """Bound every call, and make the zone of times without one UTC, whatever that of this machine is."""
    connection.call_timeout = seconds * 1000
    cursor = connection.cursor()
    cursor.execute("ALTER SESSION SET TIME_ZONE = '+00:00'")
    cursor.close()


def _prepare_postgresql(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    """Set the zone of the session, in which times without one are compared, also where a URL has options of its own."""
    cursor = connection.cursor()
    cursor.execute("SET TIME ZONE 'UTC'")
    cursor.close()
    # Or a rollback would undo it.
    connection.commit()


def _prepare_sql_server(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    """Set what the language of a login would decide: how dates are read, and the texts that drivers recognize."""
    cursor = connection.cursor()
    cursor.execute("SET LANGUAGE us_english SET DATEFORMAT ymd")
    cursor.close()


def _prepare_redshift(seconds: int, connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    cursor.execute(f"SET statement_timeout TO {seconds * 1000}")
    cursor.execute("SET timezone TO 'UTC'")
    cursor.close()
    # Or a rollback would undo it.
    connection.commit()


def _note_use(_: DBAPIConnection | None, entry: ConnectionPoolEntry) -> None:
    entry.info[_USED_AT] = time.monotonic()


def _try_idle(connection: DBAPIConnection, entry: ConnectionPoolEntry, _: object) -> None:
    """Try a connection that was not used for a while: its server may have gone. One in use costs no query more."""
    if time.monotonic() - entry.info.get(_USED_AT, math.inf) <= _IDLE_SECONDS:
        return
    cursor = connection.cursor()
    try:
        cursor.execute("SELECT 1")
        connection.rollback()
    except Exception as error:  # whatever a driver raises
        raise sa.exc.DisconnectionError from error
    finally:
        cursor.close()


def _enable_write_ahead(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()
