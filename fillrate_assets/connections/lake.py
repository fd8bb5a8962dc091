"""The lake: one Parquet file per asset, DC and ship date, on disk or on S3, and the IO manager over it."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from fillrate_assets.errors import ContractViolation
from fillrate_assets.fillrate.schema import Frame

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

Partition = tuple[str, date]


@dataclass(frozen=True)
class Lake:
    """Frames by asset, DC and ship date under one root: a directory or `s3://bucket/prefix`."""

    root: str
    storage_options: Mapping[str, str] = field(default_factory=dict, repr=False)

    def scan(
        self,
        frame: Frame,
        dcs: Sequence[str] | None = None,
        first: date | None = None,
        last: date | None = None,
    ) -> pl.LazyFrame:
        """Every stored partition of an asset, of some DCs, in a range of ship dates."""
        stored = [
            partition
            for partition in self.partitions(frame)
            if (dcs is None or partition[0] in dcs)
            and (first is None or partition[1] >= first)
            and (last is None or partition[1] <= last)
        ]
        return self._scan(frame, stored)

    def read(self, frame: Frame, partitions: Iterable[Partition]) -> pl.LazyFrame:
        """Those of the partitions that are stored; none of them stored is a frame without rows."""
        wanted = list(partitions)
        return self._scan(frame, self._stored(frame, wanted))

    def write(self, frame: Frame, rows: pl.DataFrame, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """Replace partitions, each atomically; a partition without rows becomes a file without rows.

        Returns:
            Rows by partition.

        Raises:
            ContractViolation: the rows break the frame's schema, or lie outside the partitions.

        """
        frame.validate(rows)
        parts = {
            (str(dc), day): part
            for (dc, day), part in rows.partition_by("dc", "ship_date", as_dict=True, maintain_order=True).items()
            if isinstance(day, date)
        }
        wanted = list(partitions)
        if stray := sorted(set(parts) - set(wanted)):
            msg = f"{frame.name}: rows outside the run's partitions, e.g. {stray[:3]}"
            raise ContractViolation(msg)
        empty = rows.clear()
        for partition in wanted:
            self._replace(self._path(frame, partition), parts.get(partition, empty))
        return {partition: parts.get(partition, empty).height for partition in wanted}

    def read_whole(self, frame: Frame) -> pl.LazyFrame:
        """An asset that is not partitioned."""
        path = f"{self.root}/{frame.name}/part-0.parquet"
        return pl.scan_parquet(path, storage_options=dict(self.storage_options) or None)

    def stored_whole(self, frame: Frame) -> pl.DataFrame | None:
        """What is stored of an asset that is not partitioned; None if that is nothing yet."""
        from pyarrow.fs import FileType  # noqa: PLC0415 - a quarter of a second that `--help` need not pay

        file_system, root = self._file_system()
        info = file_system.get_file_info(f"{root}/{frame.name}/part-0.parquet")
        return None if info.type == FileType.NotFound else self.read_whole(frame).collect()

    def write_whole(self, frame: Frame, rows: pl.DataFrame) -> None:
        """Replace an asset that is not partitioned."""
        frame.validate(rows)
        self._replace(f"{self.root}/{frame.name}/part-0.parquet", rows)

    def partitions(self, frame: Frame) -> list[Partition]:
        """The stored partitions of an asset, sorted."""
        from pyarrow.fs import FileSelector  # noqa: PLC0415 - a quarter of a second that `--help` need not pay

        file_system, root = self._file_system()
        selector = FileSelector(f"{root}/{frame.name}", allow_not_found=True, recursive=True)
        found = []
        for info in file_system.get_file_info(selector):
            *_, dc, day, name = info.path.split("/")
            if name.endswith(".parquet") and dc.startswith("dc=") and day.startswith("ship_date="):
                found.append((dc.removeprefix("dc="), date.fromisoformat(day.removeprefix("ship_date="))))
        return sorted(found)

    def _scan(self, frame: Frame, partitions: Sequence[Partition]) -> pl.LazyFrame:
        if not partitions:
            return frame.empty()
        paths = [self._path(frame, partition) for partition in partitions]
        # A filter by DC and ship date then opens no file that it does not need.
        hive = pl.Schema({"dc": pl.String(), "ship_date": pl.Date()})
        options = dict(self.storage_options) or None
        return pl.scan_parquet(paths, schema=frame.polars, hive_schema=hive, storage_options=options)

    def _stored(self, frame: Frame, partitions: Sequence[Partition]) -> list[Partition]:
        from pyarrow.fs import FileType  # noqa: PLC0415 - as above

        if not partitions:
            return []
        file_system, root = self._file_system()
        paths = [self._path(frame, partition).replace(self.root, root, 1) for partition in partitions]
        infos = file_system.get_file_info(paths)
        return [partition for partition, info in zip(partitions, infos, strict=True) if info.type != FileType.NotFound]

    def _path(self, frame: Frame, partition: Partition) -> str:
        dc, day = partition
        return f"{self.root}/{frame.name}/dc={dc}/ship_date={day.isoformat()}/part-0.parquet"

    def _replace(self, path: str, rows: pl.DataFrame) -> None:
        if self.root.startswith("s3://"):
            # An S3 PUT is atomic by itself.
            rows.write_parquet(path, storage_options=dict(self.storage_options) or None)
            return
        final = Path(path)
        final.parent.mkdir(parents=True, exist_ok=True)
        # Written beside its place and renamed into it: no reader ever sees half a file.
        incoming = final.with_name(f".{uuid.uuid4().hex}.incoming")
        try:
            rows.write_parquet(incoming)
            incoming.replace(final)
        finally:
            incoming.unlink(missing_ok=True)

    def _file_system(self) -> tuple[FileSystem, str]:
        from pyarrow import fs  # noqa: PLC0415 - as above

        if not self.root.startswith("s3://"):
            return fs.LocalFileSystem(), self.root
        endpoint = self.storage_options.get("aws_endpoint_url", "")
        scheme, _, host = endpoint.rpartition("://")
        s3 = fs.S3FileSystem(
            region=self.storage_options.get("aws_region"),
            access_key=self.storage_options.get("aws_access_key_id"),
            secret_key=self.storage_options.get("aws_secret_access_key"),
            endpoint_override=host or None,
            scheme=scheme or "https",
        )
        return s3, self.root.removeprefix("s3://")
