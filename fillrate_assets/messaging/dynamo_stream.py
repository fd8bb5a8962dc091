"""The stream of a table of DynamoDB, for a consumer where no function of Lambda reads it.

The body of a record is what AWS has: the kind of change (`eventName`), and under `dynamodb` the item before and after.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from fillrate_assets.aws import dynamodb_streams
from fillrate_assets.aws.dynamodb_streams import ExpiredError, Page, StreamShard, TrimmedError
from fillrate_assets.messaging.streams import Shard, Slice, StreamRecord


@dataclass
class DynamoStream:
    """A stream by its ARN. Used by one thread."""

    stream_arn: str
    refresh_seconds: float = 10
    """After which shards are listed again."""

    _shards: dict[str, StreamShard] = field(default_factory=dict, init=False, repr=False)
    _listed_at: float | None = field(default=None, init=False, repr=False)
    _found: dict[str, tuple[int, Slice]] = field(default_factory=dict, init=False, repr=False)
    """What was read last, by shard, and after which record: a consumer reads a batch twice."""

    _next: dict[str, tuple[int, str]] = field(default_factory=dict, init=False, repr=False)
    """What reads on, by shard, and after which record."""

    @property
    def name(self) -> str:
        """Return the table and the label of its stream."""
        return self.stream_arn.rpartition(":table/")[2]

    def list_shards(self) -> Sequence[Shard]:
        """List its shards."""
        now = time.monotonic()
        if self._listed_at is None or now - self._listed_at >= self.refresh_seconds:
            self._shards = {each.shard_id: each for each in dynamodb_streams.list_shards(self.stream_arn)}
            self._listed_at = now
        return [Shard(each.shard_id, each.parent_id) for each in self._shards.values()]

    def read(self, shard: Shard, after: int, limit: int) -> Slice:
        """Read so many records after a sequence number."""
        place, found = self._found.pop(shard.name, (None, Slice([])))
        if place == after and len(found.records) >= limit:
            return Slice(found.records[:limit])
        try:
            page, trimmed = self._get(shard, after, limit), False
        except TrimmedError:
            page, trimmed = self._get(shard, 0, limit), True
        records = [load_record(each) for each in page.records]
        if page.iterator is None:
            self._listed_at = None
        else:
            self._next[shard.name] = (records[-1].sequence if records else after, page.iterator)
        found = Slice(records, is_end=page.iterator is None, is_trimmed=trimmed)
        if records and not trimmed:
            self._found[shard.name] = (after, found)
        return found

    def _get(self, shard: Shard, after: int, limit: int) -> Page:
        """Get as many records as there are, up to a limit: a page may have fewer."""
        place, iterator = self._next.pop(shard.name, (None, ""))
        if place != after:
            iterator = self._seek(shard, after)
        try:
            page = dynamodb_streams.get_records(self.stream_arn, iterator, limit)
        except ExpiredError:
            page = dynamodb_streams.get_records(self.stream_arn, self._seek(shard, after), limit)
        records, part = [*page.records], page
        while part.records and part.iterator is not None and len(records) < limit:
            part = dynamodb_streams.get_records(self.stream_arn, part.iterator, limit - len(records))
            records += part.records
        return Page(records, part.iterator)

    def _seek(self, shard: Shard, after: int) -> str:
        # As many digits as the shard's other numbers have.
        digits = len(self._shards[shard.name].first)
        return dynamodb_streams.find_iterator(self.stream_arn, shard.name, str(after).zfill(digits) if after else None)


def load_record(found: Mapping[str, Any]) -> StreamRecord:
    """Load a record, as the stream or Lambda has it."""
    stream = found["dynamodb"]
    written = stream["ApproximateCreationDateTime"]
    at = written.astimezone(UTC) if isinstance(written, datetime) else datetime.fromtimestamp(written, UTC)
    body = {"eventName": found["eventName"], "dynamodb": {**stream, "ApproximateCreationDateTime": at.timestamp()}}
    return StreamRecord(int(stream["SequenceNumber"]), at, body, found["eventID"])
