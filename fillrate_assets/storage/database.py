"""The platform's own database: one object that every store gets, instead of a URL and a schema.

The databases of sources are not meant: they are read through `sql.read`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal, Self

import sqlalchemy as sa

from fillrate_assets.settings import Settings
from fillrate_assets.storage import sql

if TYPE_CHECKING:
    from sqlalchemy.pool import ConnectionPoolEntry

RECORD_STORE: Final = "record store"
"""The name that messages give the database, unless a store has one of its own."""


@dataclass(frozen=True)
class Database:
    """Where the platform's own tables are."""

    url: str = field(repr=False)
    schema: str | None = None
    """Where its tables are, on a server; None is where the database puts tables that name none."""

    held: sa.Engine | None = field(default=None, repr=False, compare=False)
    """The engine whose connections are used again; see `hold_open`."""

    statement_seconds: int = field(default=sql.STATEMENT_SECONDS, repr=False)
    """How long a server may work at one statement."""

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return the record store's database of an environment."""
        return cls(settings.storage.record_store_url, settings.record_store_schema)

    @property
    def engine(self) -> sa.Engine:
        """Return the engine that finds its tables; it raises the errors of SQLAlchemy."""
        if self.held is not None:
            return self.held
        return sql.get_engine(self.url, schema=self.schema, statement_seconds=self.statement_seconds)

    @contextmanager
    def connect(self, system: str = RECORD_STORE) -> Iterator[sa.Connection]:
        """Open a connection.

        Args:
            system: the database's name in messages.

        Raises:
            SourceUnavailable: the database did not answer; a retry may succeed.
            PermanentFailure: it refused, or its embedded file does not exist.

        """
        with sql.translate_errors(system, self.url), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def begin(self, system: str = RECORD_STORE, *, durable: bool = False) -> Iterator[sa.Connection]:
        """Open a connection in a transaction, which is committed when the block succeeds; else as `connect`.

        Args:
            system: the database's name in messages.
            durable: whether what is committed outlives a power cut in SQLite as well, which waits for the disk then;
                the end of this process it outlives always.

        """
        with self.connect(system) as connection:
            waits = durable and connection.dialect.name == "sqlite"
            if waits:
                _set_synchronous(connection, "FULL")
            try:
                with connection.begin():
                    yield connection
            finally:
                if waits and self.held is not None:
                    _set_synchronous(connection, "NORMAL")

    @contextmanager
    def hold_open(self) -> Iterator[Self]:
        """Yield the database with connections that are used again, for a process of many small transactions.

        To open a connection takes longer than such a transaction. The one that closes a file of SQLite last moves its
        write-ahead log into it, and waits for the disk for that. Frames of the same file are not read meanwhile.
        """
        engine = sql.make_engine(
            self.url, schema=self.schema, read_only=False, pooled=True, statement_seconds=self.statement_seconds
        )
        try:
            yield replace(self, held=engine)
        finally:
            # A thread that goes on longer would give its connection back to a pool that is never closed.
            sa.event.listen(engine, "checkin", _close)
            engine.dispose()

    def upgrade(self) -> None:
        """Create the tables, and the schema if need be, or migrate older ones to the newest version.

        Raises:
            SourceUnavailable: the database did not answer.
            PermanentFailure: its user may not create what is missing.

        """
        from alembic import command  # noqa: PLC0415 - only where it is used
        from alembic.config import Config  # noqa: PLC0415 - only where it is used

        sql.make_directory(self.url)
        config = Config()
        config.set_main_option("script_location", "fillrate_assets.storage:migrations")
        with sql.translate_errors(RECORD_STORE, self.url, creating=True), self.engine.begin() as connection:
            if self.schema and not sa.inspect(connection).has_schema(self.schema):
                connection.execute(sa.schema.CreateSchema(self.schema))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def _close(_connection: object, entry: ConnectionPoolEntry) -> None:
    entry.invalidate()


def _set_synchronous(connection: sa.Connection, level: Literal["FULL", "NORMAL"]) -> None:
    """Set what a commit of SQLite waits for, outside of a transaction: a statement of SQLAlchemy would begin one."""
    if (driver := connection.connection.driver_connection) is not None:
        driver.execute(f"PRAGMA synchronous={level}")
