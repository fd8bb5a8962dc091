"""Hands assets what the lake has of the assets before them. Assets store their rows themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import dagster as dg
import polars as pl

from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.core.table_schema import TableSchema
from fillrate_assets.storage.lake import Lake


@dataclass(frozen=True)
class LakeInput:
    """Partitions of an upstream asset that a step may read: none is looked up before `read`."""

    lake: Lake
    table: TableSchema
    partitions: tuple[PartitionKey, ...] | None
    """None for an asset that is not partitioned."""

    def read(self) -> pl.LazyFrame:
        """Read those of the partitions that are stored, as one frame.

        Raises:
            SourceUnavailable: S3 did not answer, or throttled the call.
            PermanentFailure: S3 denied access, or there is no such bucket.

        """
        if self.partitions is None:
            return self.lake.read_whole(self.table)
        return self.lake.read(self.table, self.partitions)


class LakeIOManager(dg.IOManager):
    """One partition, a range or a look-back window of an asset, by the same code, as one `LakeInput`."""

    def __init__(self, lake: Lake, tables: Mapping[dg.AssetKey, TableSchema]) -> None:
        """Read from a lake.

        Args:
            lake: where the tables are stored.
            tables: schema by asset key.

        """
        self._lake = lake
        self._tables = tables

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:  # noqa: ARG002 - Dagster's signature
        """Refuse: an asset that stores its rows returns no value.

        Raises:
            PermanentFailure: always.

        """
        msg = f"asset {context.asset_key.to_user_string()} returned a value: store it in the lake instead"
        raise PermanentFailure(msg)

    def load_input(self, context: dg.InputContext) -> LakeInput:
        """Return the upstream partitions that the run's mapping selects.

        Raises:
            PermanentFailure: the asset has no schema, or a partition key is not one of DC and ship date.

        """
        if (table := self._tables.get(context.asset_key)) is None:
            msg = f"asset {context.asset_key.to_user_string()} has no schema: add one to the lake's tables"
            raise PermanentFailure(msg)
        if not context.has_asset_partitions:
            return LakeInput(self._lake, table, None)
        return LakeInput(self._lake, table, tuple(_parse_partition(key) for key in context.asset_partition_keys))


def _parse_partition(key: str) -> PartitionKey:
    if not isinstance(key, dg.MultiPartitionKey):
        msg = f"partition key {key!r} is not one of DC and ship date"
        raise PermanentFailure(msg)
    dims = key.keys_by_dimension
    return PartitionKey(dims["dc"], date.fromisoformat(dims["ship_date"]))
