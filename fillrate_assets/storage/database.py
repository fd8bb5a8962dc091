"""The platform's own database: one object that every store gets, instead of a URL and a schema.

The databases of sources are not meant: they are read through `sql.read`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Self

import sqlalchemy as sa

from fillrate_assets.settings import Settings
from fillrate_assets.storage import sql

RECORD_STORE: Final = "record store"
"""The name that messages give the database, unless a store has one of its own."""


@dataclass(frozen=True)
class Database:
    """Where the platform's own tables are."""

    url: str = field(repr=False)
    schema: str | None = None
    """Where its tables are, on a server; None is where the database puts tables that name none."""

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return the record store's database of an environment."""
        return cls(settings.storage.record_store_url, settings.record_store_schema)

    @property
    def engine(self) -> sa.Engine:
        """Return the engine that finds its tables; it raises the errors of SQLAlchemy."""
        return sql.get_engine(self.url, schema=self.schema)

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
        with sql.translate_errors(system, self.url), self.engine.begin() as connection:
            if durable and connection.dialect.name == "sqlite":
                connection.exec_driver_sql("PRAGMA synchronous=FULL")
            yield connection

    @contextmanager
    def hold_open(self) -> Iterator[None]:
        """Hold a file of SQLite open for as long as a process writes to it, transaction by transaction.

        The connection that closes such a file last moves its write-ahead log into it, and waits for the disk for that.
        """
        with self.connect():
            yield

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
