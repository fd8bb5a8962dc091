"""The port of a stream: records in the order in which they were written, in shards that are read one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

Failures = Mapping[int, str]
"""Why records failed, by their sequence numbers."""


@dataclass(frozen=True)
class StreamRecord:
    """What was written."""

    sequence: int
    """Its place in its shard."""

    written_at: datetime
    body: Mapping[str, Any]
    """JSON."""

    event_id: str = ""
    """Which no record of another shard has; empty where a stream has one shard, in which the place is one."""

    @property
    def name(self) -> str:
        """Return what no other record of the stream is called."""
        return self.event_id or str(self.sequence)


@dataclass(frozen=True)
class Shard:
    """A part of a stream, whose records are in order."""

    name: str
    parent: str | None = None
    """The shard that it continues: it is read when that one is done."""


@dataclass(frozen=True)
class Slice:
    """Records of a shard after a place in it."""

    records: Sequence[StreamRecord]
    is_end: bool = False
    """Whether the shard is closed, and has no more than these."""

    is_trimmed: bool = False
    """Whether records after that place are no longer there: who reads on has missed them."""


class Stream(Protocol):
    """Where records are read."""

    @property
    def name(self) -> str:
        """Return its name, by which progress is stored."""

    def list_shards(self) -> Sequence[Shard]:
        """List its shards, parents before those that continue them."""

    def read(self, shard: Shard, after: int, limit: int) -> Slice:
        """Read so many records after a sequence number; after 0 from the oldest that is there.

        Raises:
            SourceUnavailable: the stream did not answer.

        """
