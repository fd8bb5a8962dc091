"""A poller of the stream of a table, as Lambda polls one: for a machine of one's own, and for tests.

It remembers how far it is while it runs; when it starts it begins with the oldest record. What it hands over is
therefore idempotent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from fillrate_assets.aws import client

_SERVICE: Final = "dynamodbstreams"


@dataclass
class StreamPoller:
    """A poller of all shards of a stream."""

    stream_arn: str
    handle: Callable[[dict[str, Any]], Mapping[str, Any]]
    """Takes `Records` and returns `batchItemFailures`."""

    on_failure: Callable[[Mapping[str, Any]], None]
    """Takes a record that failed too often, which then holds up none behind it."""

    batch: int = 100
    max_attempts: int = 5
    _iterators: dict[str, str | None] = field(default_factory=dict)
    _attempts: dict[str, int] = field(default_factory=dict)

    def poll(self) -> int:
        """Hand over what is new in each shard, once; return how many records were passed."""
        with client.translate_errors(self.stream_arn):
            description = self._client.describe_stream(StreamArn=self.stream_arn)["StreamDescription"]
        return sum(self._poll_shard(shard["ShardId"]) for shard in description["Shards"])

    def _poll_shard(self, shard_id: str) -> int:
        if shard_id not in self._iterators:
            self._iterators[shard_id] = self._find(shard_id, ShardIteratorType="TRIM_HORIZON")
        iterator = self._iterators[shard_id]
        if iterator is None:
            return 0
        with client.translate_errors(self.stream_arn):
            found = self._client.get_records(ShardIterator=iterator, Limit=self.batch)
        records = found["Records"]
        failed = self._hand_over(records) if records else None
        if failed is None:
            self._iterators[shard_id] = found.get("NextShardIterator")
            return len(records)
        number = records[failed]["dynamodb"]["SequenceNumber"]
        self._attempts[number] = self._attempts.get(number, 0) + 1
        given_up = self._attempts[number] >= self.max_attempts
        if given_up:
            self.on_failure(records[failed])
            del self._attempts[number]
        begin = "AFTER_SEQUENCE_NUMBER" if given_up else "AT_SEQUENCE_NUMBER"
        self._iterators[shard_id] = self._find(shard_id, ShardIteratorType=begin, SequenceNumber=number)
        return failed + given_up

    def _hand_over(self, records: list[dict[str, Any]]) -> int | None:
        """Hand over records; return the place of the first that failed."""
        failures = self.handle({"Records": records})["batchItemFailures"]
        numbers = {each["itemIdentifier"] for each in failures}
        places = (place for place, each in enumerate(records) if each["dynamodb"]["SequenceNumber"] in numbers)
        return next(places, None)

    def _find(self, shard_id: str, **position: str) -> str:
        with client.translate_errors(self.stream_arn):
            found = self._client.get_shard_iterator(StreamArn=self.stream_arn, ShardId=shard_id, **position)
        iterator: str = found["ShardIterator"]
        return iterator

    @property
    def _client(self) -> Any:  # noqa: ANN401 - boto3 makes its clients while it runs
        return client.get_client(_SERVICE)
