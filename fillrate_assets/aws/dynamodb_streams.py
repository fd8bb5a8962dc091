"""Streams of tables of DynamoDB: their shards, and records as AWS has them.

How they are read in batches, and what becomes of a record that fails, belongs to `messaging`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from fillrate_assets.aws import client

_SERVICE: Final = "dynamodbstreams"


class TrimmedError(Exception):
    """Records after a place are no longer there: DynamoDB stores them for a day."""


class ExpiredError(Exception):
    """An iterator was not used for a quarter of an hour."""


@dataclass(frozen=True)
class StreamShard:
    """A part of a stream."""

    shard_id: str
    parent_id: str | None
    first: str
    """Sequence number that it begins with; empty where nothing was written yet."""


@dataclass(frozen=True)
class Page:
    """Records, and what reads those after them."""

    records: list[dict[str, Any]]
    iterator: str | None
    """None where the shard is closed and has no more."""


def find_stream(table: str) -> str:
    """Find the stream of a table; empty where it has none."""
    with client.translate_errors(f"DynamoDB table {table}"):
        described = client.get_client("dynamodb").describe_table(TableName=table)["Table"]
    arn: str = described.get("LatestStreamArn", "")
    return arn


def list_shards(stream_arn: str) -> list[StreamShard]:
    """List the shards of a stream, in the order in which AWS has them: parents first."""
    found: list[StreamShard] = []
    start: dict[str, str] = {}
    with client.translate_errors(stream_arn):
        while True:
            described = _get_client().describe_stream(StreamArn=stream_arn, **start)["StreamDescription"]
            found += [
                StreamShard(
                    each["ShardId"],
                    each.get("ParentShardId"),
                    each["SequenceNumberRange"].get("StartingSequenceNumber", ""),
                )
                for each in described["Shards"]
            ]
            if "LastEvaluatedShardId" not in described:
                return found
            start = {"ExclusiveStartShardId": described["LastEvaluatedShardId"]}


def find_iterator(stream_arn: str, shard_id: str, after: str | None) -> str:
    """Find what reads a shard after a sequence number, or from its oldest record.

    Raises:
        TrimmedError: the record of that number is no longer there.

    """
    place = {"ShardIteratorType": "TRIM_HORIZON"}
    if after is not None:
        place = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": after}
    with client.translate_errors(stream_arn), _find_trimmed():
        found = _get_client().get_shard_iterator(StreamArn=stream_arn, ShardId=shard_id, **place)
    iterator: str = found["ShardIterator"]
    return iterator


def get_records(stream_arn: str, iterator: str, limit: int) -> Page:
    """Get records; there may be more of them, even where it gets none.

    Raises:
        TrimmedError: the next of them are no longer there.
        ExpiredError: the iterator is too old.

    """
    with client.translate_errors(stream_arn), _find_trimmed():
        found = _get_client().get_records(ShardIterator=iterator, Limit=limit)
    return Page(found["Records"], found.get("NextShardIterator"))


@contextmanager
def _find_trimmed() -> Iterator[None]:
    from botocore.exceptions import ClientError  # noqa: PLC0415 - a third of a second that only AWS users pay

    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code == "TrimmedDataAccessException":
            raise TrimmedError(str(error)) from error
        if code == "ExpiredIteratorException":
            raise ExpiredError(str(error)) from error
        raise


def _get_client() -> Any:  # noqa: ANN401 - boto3 makes its clients while it runs
    return client.get_client(_SERVICE)
