"""How far streams are read: by shard, with what comes again, and the lease of the process that reads it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from fillrate_assets.core.table_schema import TIMESTAMP, Column, TableSchema
from fillrate_assets.messaging.stream_batches import Batch, Record
from fillrate_assets.messaging.streams import Stream
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.sql_types import to_stored
from fillrate_assets.storage.tables import declare_table

_SYSTEM: Final = "stream progress"
SCHEMA: Final = TableSchema(
    "stream_progress",
    ("stream", "shard"),
    (
        Column("stream", pl.String, "The stream"),
        Column("shard", pl.String, "The part of it"),
        Column("checkpoint", pl.String, "Sequence number up to which all is done or given up"),
        Column("batches", pl.String, "What is tried next, as JSON: the end is not read before these are done"),
        Column(
            "trying", pl.Boolean, "Whether the first of them is under way: a process that ends meanwhile has failed"
        ),
        Column("is_done", pl.Boolean, "Whether the shard is closed and done"),
        Column("owner", pl.String, "The process that reads it"),
        Column("lease_until", TIMESTAMP, "Until when no other process may read it", "UTC"),
    ),
)
PROGRESS: Final = declare_table(
    SCHEMA, lengths={"stream": 200, "shard": 200, "checkpoint": 64, "batches": None, "owner": 200}
)


class LeaseLostError(Exception):
    """Another process has taken the shard over: what was done meanwhile is done again there."""


@dataclass(frozen=True)
class Progress:
    """How far a shard is read."""

    checkpoint: int = 0
    batches: tuple[Batch, ...] = ()
    trying: bool = False
    is_done: bool = False


@dataclass(frozen=True)
class ProgressStore:
    """The progress of the streams of an environment."""

    database: Database
    owner: str
    """This process, by a name that no other has."""

    lease: timedelta = field(default=timedelta(seconds=15))

    def claim(self, stream: str, shard: str, *, now: datetime) -> Progress | None:
        """Lease a shard and return how far it is read; None while another process has it."""
        mine = _is_shard(stream, shard)
        free = mine & ((PROGRESS.c.owner == self.owner) | (PROGRESS.c.lease_until < to_stored(now)))
        leased = {"owner": self.owner, "lease_until": to_stored(now + self.lease)}
        with self.database.begin(_SYSTEM) as connection:
            if connection.execute(PROGRESS.update().where(free).values(**leased)).rowcount == 1:
                return _load(connection.execute(sa.select(PROGRESS).where(mine)).one())
            if connection.execute(sa.select(PROGRESS.c.owner).where(mine)).first() is not None:
                return None
        fresh = {"stream": stream, "shard": shard, **_dump(Progress()), **leased}
        with self.database.begin(_SYSTEM) as connection:
            try:
                connection.execute(PROGRESS.insert().values(**fresh))
            except IntegrityError:
                # Another process was quicker.
                connection.rollback()
                return None
        return Progress()

    def save(self, stream: str, shard: str, progress: Progress, *, now: datetime) -> None:
        """Store how far a shard is read, and lease it on.

        Raises:
            LeaseLostError: another process has it.

        """
        mine = _is_shard(stream, shard) & (PROGRESS.c.owner == self.owner)
        values = {**_dump(progress), "lease_until": to_stored(now + self.lease)}
        with self.database.begin(_SYSTEM, durable=True) as connection:
            if connection.execute(PROGRESS.update().where(mine).values(**values)).rowcount != 1:
                msg = f"shard {shard} of {stream} is read by another process"
                raise LeaseLostError(msg)

    def list_done(self, stream: str) -> set[str]:
        """List the shards that are closed and done."""
        return {shard for shard, is_done in self.list_shards(stream).items() if is_done}

    def list_shards(self, stream: str) -> dict[str, bool]:
        """List the shards that were read, and whether they are closed and done."""
        mine = sa.select(PROGRESS.c.shard, PROGRESS.c.is_done).where(PROGRESS.c.stream == stream)
        with self.database.connect(_SYSTEM) as connection:
            return {row.shard: row.is_done for row in connection.execute(mine)}

    def forget(self, stream: str, shard: str) -> None:
        """Delete the progress of a shard that is no longer there, if this process has it."""
        mine = _is_shard(stream, shard) & (PROGRESS.c.owner == self.owner)
        with self.database.begin(_SYSTEM) as connection:
            connection.execute(PROGRESS.delete().where(mine))


def find_unread(database: Database, stream: Stream, most: int = 1_000) -> list[datetime]:
    """Find when records were written that no process is done with, so many of a shard.

    Returns:
        Nothing where no process reads the stream, as where functions of Lambda do.

    Raises:
        SourceUnavailable: the stream or the database did not answer.

    """
    with database.connect(_SYSTEM) as connection:
        rows = connection.execute(sa.select(PROGRESS).where(PROGRESS.c.stream == stream.name)).all()
    known = {row.shard: _load(row) for row in rows}
    found: list[datetime] = []
    for shard in stream.list_shards() if known else ():
        progress = known.get(shard.name, Progress())
        if not progress.is_done:
            found += [record.written_at for record in stream.read(shard, progress.checkpoint, most).records]
    return found


def _is_shard(stream: str, shard: str) -> sa.ColumnElement[bool]:
    return (PROGRESS.c.stream == stream) & (PROGRESS.c.shard == shard)


def _dump(progress: Progress) -> dict[str, Any]:
    batches = [
        {
            "records": [[record.sequence, record.written_at.isoformat()] for record in batch.records],
            "retries": batch.retries,
        }
        for batch in progress.batches
    ]
    values = {"checkpoint": str(progress.checkpoint), "batches": json.dumps(batches)}
    return {**values, "trying": progress.trying, "is_done": progress.is_done}


def _load(row: sa.Row[Any]) -> Progress:
    batches = tuple(
        Batch(
            tuple(Record(sequence, datetime.fromisoformat(written)) for sequence, written in batch["records"]),
            batch["retries"],
        )
        for batch in json.loads(row.batches)
    )
    return Progress(int(row.checkpoint), batches, row.trying, row.is_done)
