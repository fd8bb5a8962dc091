"""Hands assets their frames from the lake and stores what they return."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import dagster as dg
import polars as pl

from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.core.table_schema import TableSchema
from fillrate_assets.orchestration.retries import typed
from fillrate_assets.storage.lake import Lake


@dataclass(frozen=True)
class Replacement:
    """Rows that replace some of a run's partitions, piece by piece; its other partitions are left as they stand.

    The pieces are taken once, and none is kept: Dagster holds on to what assets return until the run ends.
    """

    pieces: Iterable[tuple[pl.DataFrame, Sequence[PartitionKey]]]


class LakeIOManager(dg.IOManager):
    """One partition, a range or a look-back window of an asset, by the same code, as one LazyFrame."""

    def __init__(self, lake: Lake, frames: Mapping[str, TableSchema]) -> None:
        """Store frames in a lake.

        Args:
            lake: where they are stored.
            frames: schema by asset name.

        """
        self._lake = lake
        self._frames = frames

    def handle_output(self, context: dg.OutputContext, obj: Replacement | pl.DataFrame) -> None:
        """Validate and store what an asset returned."""
        # An asset computes while its pieces are taken.
        with typed():
            frame = self._frame(context.asset_key)
            if isinstance(obj, Replacement):
                for rows, partitions in obj.pieces:
                    self._lake.write(frame, rows, partitions)
            else:
                self._lake.write_whole(frame, obj)

    def load_input(self, context: dg.InputContext) -> pl.LazyFrame:
        """The upstream partitions that the run's mapping asks for and that are stored."""
        frame = self._frame(context.asset_key)
        if not context.has_asset_partitions:
            return self._lake.read_whole(frame)
        return self._lake.read(frame, [_partition(key) for key in context.asset_partition_keys])

    def _frame(self, asset_key: dg.AssetKey) -> TableSchema:
        if (frame := self._frames.get(asset_key.path[-1])) is None:
            msg = f"asset {asset_key.to_user_string()} has no schema: add one to the lake's frames"
            raise PermanentFailure(msg)
        return frame


def _partition(key: str) -> PartitionKey:
    if not isinstance(key, dg.MultiPartitionKey):
        msg = f"partition key {key!r} is not one of DC and ship date"
        raise PermanentFailure(msg)
    dims = key.keys_by_dimension
    return PartitionKey(dims["dc"], date.fromisoformat(dims["ship_date"]))
