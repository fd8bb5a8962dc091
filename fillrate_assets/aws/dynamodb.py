"""A table of DynamoDB: items as plain values, conditions that do not hold as an error of their own.

Which items a table has belongs to the areas.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from fillrate_assets.aws import client
from fillrate_assets.core.errors import SourceUnavailable

Item = Mapping[str, str | int | None]
"""Text and whole numbers; what is None is left out."""

_NAME: Final = re.compile(r"(?<![:\w])([a-z_]+)(?![\w(])")
_CONFLICTS: Final = {"ConditionalCheckFailed", "TransactionConflict"}
_THROTTLED: Final = {"ThrottlingError", "ProvisionedThroughputExceeded"}
"""Reasons of a transaction that was cancelled."""


class ConditionFailedError(Exception):
    """A condition of a write does not hold, or another writer has the item now: nothing was written."""


@dataclass(frozen=True)
class DynamoTable:
    """A table whose items have the keys `pk` and `sk`."""

    name: str

    def get(self, pk: str, sk: str) -> dict[str, Any] | None:
        """Get an item as it is now; None if it is not there."""
        with client.translate_errors(self._system):
            found = self._client.get_item(TableName=self.name, Key=dump({"pk": pk, "sk": sk}), ConsistentRead=True)
        return load(found["Item"]) if "Item" in found else None

    def query(self, pk: str, prefix: str = "") -> list[dict[str, Any]]:
        """Query the items of a partition whose sort keys begin with a prefix, in their order, as they are now."""
        condition, values = "pk = :pk", {":pk": pk}
        if prefix:
            condition, values = "pk = :pk AND begins_with(sk, :prefix)", {":pk": pk, ":prefix": prefix}
        return [*self._query(condition, values, ConsistentRead=True)]

    def query_index(self, index: str, condition: str, values: Item, *, limit: int) -> list[dict[str, Any]]:
        """Query an index, which may be a moment behind, in its order."""
        found: list[dict[str, Any]] = []
        for item in self._query(condition, values, IndexName=index, Limit=limit):
            found.append(item)
            if len(found) == limit:
                break
        return found

    def count_index(self, index: str, condition: str, values: Item) -> int:
        """Count what a query of an index finds."""
        with client.translate_errors(self._system):
            pages = self._paginate("query", condition, values, IndexName=index, Select="COUNT")
            return sum(page["Count"] for page in pages)

    def scan(self, sk: str = "") -> Iterator[dict[str, Any]]:
        """Scan the table for the items with a sort key, or for all: either reads all there is."""
        chosen = {"FilterExpression": "sk = :sk", "ExpressionAttributeValues": dump({":sk": sk})} if sk else {}
        with client.translate_errors(self._system):
            for page in self._client.get_paginator("scan").paginate(TableName=self.name, **chosen):
                yield from map(load, page["Items"])

    def update(self, pk: str, sk: str, change: str, condition: str, values: Item) -> dict[str, Any] | None:
        """Update an item where a condition holds; return it as it is then, and None if the condition does not hold."""
        try:
            with client.translate_errors(self._system), _find_conflicts():
                changed = self._client.update_item(
                    **self.make_update(pk, sk, change, condition, values)["Update"], ReturnValues="ALL_NEW"
                )
        except ConditionFailedError:
            return None
        return load(changed["Attributes"])

    def write(self, actions: Sequence[Mapping[str, Any]]) -> None:
        """Write items in one transaction: all of them, or none.

        Args:
            actions: of `make_put`, `make_update` and `make_check`.

        Raises:
            ConditionFailedError: a condition does not hold, or another transaction has one of the items.
            SourceUnavailable: DynamoDB did not answer.

        """
        with client.translate_errors(self._system), _find_conflicts():
            self._client.transact_write_items(TransactItems=list(actions))

    def make_put(self, item: Item, condition: str = "attribute_not_exists(pk)") -> dict[str, Any]:
        """Make the action that puts an item, by default a new one."""
        return {"Put": {"TableName": self.name, "Item": dump(item), "ConditionExpression": condition}}

    def make_update(self, pk: str, sk: str, change: str, condition: str, values: Item) -> dict[str, Any]:
        """Make the action that changes an item where a condition holds, or in any case where that is empty."""
        conditions = {"ConditionExpression": condition} if condition else {}
        expressions = _name_attributes({"UpdateExpression": change, **conditions})
        key = {"TableName": self.name, "Key": dump({"pk": pk, "sk": sk})}
        return {"Update": {**key, **expressions, "ExpressionAttributeValues": dump(values)}}

    def make_check(self, pk: str, sk: str, condition: str, values: Item | None = None) -> dict[str, Any]:
        """Make the action that only checks a condition of an item."""
        check = {"TableName": self.name, "Key": dump({"pk": pk, "sk": sk})} | _name_attributes(
            {"ConditionExpression": condition}
        )
        return {"ConditionCheck": {**check, **({"ExpressionAttributeValues": dump(values)} if values else {})}}

    @property
    def _system(self) -> str:
        return f"DynamoDB table {self.name}"

    @property
    def _client(self) -> Any:  # noqa: ANN401 - boto3 makes its clients while it runs
        return client.get_client("dynamodb")

    def _query(self, condition: str, values: Item, **options: object) -> Iterator[dict[str, Any]]:
        with client.translate_errors(self._system):
            for page in self._paginate("query", condition, values, **options):
                yield from map(load, page["Items"])

    def _paginate(self, operation: str, condition: str, values: Item, **options: object) -> Iterator[dict[str, Any]]:
        yield from self._client.get_paginator(operation).paginate(
            TableName=self.name,
            ExpressionAttributeValues=dump(values),
            **_name_attributes({"KeyConditionExpression": condition}),
            **options,
        )


def dump(item: Item) -> dict[str, Any]:
    """Return an item as DynamoDB takes it."""
    return {
        name: {"N": str(value)} if isinstance(value, int) else {"S": value}
        for name, value in item.items()
        if value is not None
    }


def load(item: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """Return the plain values of an item."""
    return {name: int(value["N"]) if "N" in value else value["S"] for name, value in item.items()}


def dump_time(moment: datetime) -> str:
    """Return a moment as an attribute: text that sorts as time does."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _name_attributes(expressions: Mapping[str, str]) -> dict[str, Any]:
    """Put `#` before the names of attributes, which are in small letters: many words are reserved."""
    names = {name for text in expressions.values() for name in _NAME.findall(text)}
    named = {option: _NAME.sub(r"#\1", text) for option, text in expressions.items()}
    return {**named, "ExpressionAttributeNames": {f"#{name}": name for name in names}}


@contextmanager
def _find_conflicts() -> Iterator[None]:
    """Turn the errors of conditions into ours."""
    from botocore.exceptions import ClientError  # noqa: PLC0415 - a third of a second that only AWS users pay

    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        reasons = {each.get("Code") for each in error.response.get("CancellationReasons", ())}
        if code in {"ConditionalCheckFailedException", "TransactionConflictException"}:
            raise ConditionFailedError(str(error)) from error
        if code == "TransactionCanceledException":
            if reasons & _CONFLICTS:
                raise ConditionFailedError(str(error)) from error
            if reasons & _THROTTLED:
                msg = f"DynamoDB is too busy: {error}"
                raise SourceUnavailable(msg) from error
        raise
