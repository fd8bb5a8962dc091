"""What the ticks of the buffers made, in the lake: a Parquet file per frame, DC, operating day and tick.

How a tick is computed does not belong here: see `rules.tick`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Final

import polars as pl

from fillrate_assets.core.errors import ContractViolation
from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.core.table_schema import Column, TableSchema
from fillrate_assets.storage.lake import Lake, Part

_NAME: Final = "%Y%m%dT%H%MZ"
_DAY: Final = timedelta(days=1)
_PLACE: Final = (Column("dc", pl.String, "Whose ticks"), Column("ship_date", pl.Date, "Date of the tick, UTC"))


@dataclass(frozen=True)
class LakeTickStore:
    """A `TickStore` of some DCs; what is stored of other DCs is neither read nor touched.

    Frames that name no DC are stored by the tick's UTC date for all the DCs together: they are of the ticks of exactly
    these.
    """

    lake: Lake
    dcs: Collection[str]

    def read(self, frame: TableSchema, since: datetime, until: datetime) -> pl.LazyFrame:
        """Read the rows of the ticks from `since` to `until`, both included; of a tick that is not stored, none.

        Raises:
            SourceUnavailable: S3 did not answer, or throttled the call.
            PermanentFailure: S3 denied access, or there is no such bucket.

        """
        return self._read_parts(frame, self._list_parts(frame, since, until))

    def read_last(self, frame: TableSchema, since: datetime, until: datetime) -> pl.LazyFrame:
        """Read the rows of the last tick that is stored from `since` to `until`, both included.

        Raises:
            SourceUnavailable: S3 did not answer, or throttled the call.
            PermanentFailure: S3 denied access, or there is no such bucket.

        """
        parts: list[Part] = []
        # Day by day: a week has thousands of files, and nearly always the first day has the tick.
        while not parts and since <= until:
            parts = self._list_parts(frame, max(since, until - _DAY), until)
            until -= _DAY
        last = max(map(_parse_tick, parts), default=None)
        return self._read_parts(frame, [part for part in parts if _parse_tick(part) == last])

    def write(self, frame: TableSchema, rows: pl.DataFrame, snapshot_ts: datetime) -> None:
        """Replace what a tick made of a frame, each file atomically.

        Every DC has a file of the tick then: without rows, where it has none.

        Raises:
            ContractViolation: the rows break the frame's schema, or are of another tick or DC.
            SourceUnavailable: the lake did not take them; files that were replaced are whole.
            PermanentFailure: S3 denied access, or there is no such bucket.

        """
        frame.validate(rows)
        if (strays := rows.filter(pl.col("snapshot_ts") != snapshot_ts)).height:
            msg = f"{frame.name}: {strays.height} rows are of other ticks than {snapshot_ts}, e.g. {strays.row(0)}"
            raise ContractViolation(msg)
        stored, places, today = self._extend_frame(frame), self._list_places(frame), snapshot_ts.astimezone(UTC).date()
        if stored is not frame:
            rows = rows.select(pl.lit(places[0]).alias("dc"), pl.lit(today).alias("ship_date"), *frame.names)
        if strangers := sorted(set(rows["dc"]) - set(places)):
            msg = f"{frame.name}: rows of DCs that the tick is not of: {', '.join(strangers)}"
            raise ContractViolation(msg)
        held = set(map(PartitionKey._make, rows.select("dc", "ship_date").unique().iter_rows()))
        silent = {PartitionKey(dc, today) for dc in places if dc not in set(rows["dc"])}
        days, name = _list_operating_days(snapshot_ts), snapshot_ts.astimezone(UTC).strftime(_NAME)
        stale = {
            part.partition for part in self.lake.list_parts(stored, places, days[0], days[-1]) if part.name == name
        }
        self.lake.write(stored, rows, sorted(held | silent | stale), part=name)

    def list_ticks(
        self, frame: TableSchema, dcs: Collection[str], first: date, last: date | None = None
    ) -> list[datetime]:
        """List the ticks that are stored of any of some DCs, sorted: of a day, or until another, included."""
        return sorted({_parse_tick(part) for part in self.lake.list_parts(frame, dcs, first, last or first)})

    def _list_parts(self, frame: TableSchema, since: datetime, until: datetime) -> list[Part]:
        """List what is stored of the ticks from `since` to `until`, both included."""
        first, last = _list_operating_days(since)[0], _list_operating_days(until)[-1]
        stored = self.lake.list_parts(self._extend_frame(frame), self._list_places(frame), first, last)
        return [part for part in stored if since <= _parse_tick(part) <= until]

    def _read_parts(self, frame: TableSchema, parts: list[Part]) -> pl.LazyFrame:
        return self.lake.read_parts(self._extend_frame(frame), parts).select(frame.names)

    def _list_places(self, frame: TableSchema) -> list[str]:
        """List what names the DC in the paths of a frame."""
        dcs = sorted(set(self.dcs))
        if "dc" in frame.names or len(dcs) == 1:
            return dcs
        digest = hashlib.sha256("\n".join(dcs).encode()).hexdigest()[:8]
        return [f"{len(dcs)}-{digest}"]

    @staticmethod
    def _extend_frame(frame: TableSchema) -> TableSchema:
        """Extend the frame by the DC and date that it is stored by."""
        return frame if "dc" in frame.names else replace(frame, columns=(*_PLACE, *frame.columns))


def _list_operating_days(tick: datetime) -> list[date]:
    """List the dates that a tick may have somewhere on earth."""
    today = tick.astimezone(UTC).date()
    return [today - _DAY, today, today + _DAY]


def _parse_tick(part: Part) -> datetime:
    return datetime.strptime(part.name, _NAME).replace(tzinfo=UTC)
