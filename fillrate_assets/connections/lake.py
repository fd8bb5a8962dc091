"""The lake: one Parquet file per asset, DC and ship date, and files for people, on disk or on S3.

S3 is reached as `connections/aws.py` says: what lists and writes through boto3, what reads through Polars with
boto3's credentials.
"""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import IO, Final

import polars as pl

from fillrate_assets.connections import aws
from fillrate_assets.errors import ContractViolation, SourceUnavailable
from fillrate_assets.frames import Frame

Partition = tuple[str, date]

_S3: Final = "s3://"


@dataclass(frozen=True)
class Lake:
    """Frames by asset, DC and ship date under one root: a directory or `s3://bucket/prefix`."""

    root: str

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
        """Those of the partitions that are stored; none of them stored is a frame without rows.

        Raises:
            SourceUnavailable: S3 did not answer, or throttled the call.
            PermanentFailure: S3 denied access, or there is no such bucket.

        """
        wanted = list(partitions)
        return self._scan(frame, self._stored(frame, wanted))

    def write(self, frame: Frame, rows: pl.DataFrame, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """Replace partitions, each atomically; a partition without rows becomes a file without rows.

        Returns:
            Rows by partition.

        Raises:
            ContractViolation: the rows break the frame's schema, or lie outside the partitions.
            SourceUnavailable: S3 did not answer, or throttled the call; or the disk is full or not to be written to.
            PermanentFailure: S3 denied access, or there is no such bucket.

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
            self._replace(_path(frame, partition), parts.get(partition, empty).write_parquet)
        return {partition: parts.get(partition, empty).height for partition in wanted}

    def read_whole(self, frame: Frame) -> pl.LazyFrame:
        """An asset that is not partitioned."""
        return pl.scan_parquet(self._location(self._whole(frame)), glob=False)

    def stored_whole(self, frame: Frame) -> pl.DataFrame | None:
        """What is stored of an asset that is not partitioned; None if that is nothing yet."""
        path = self._whole(frame)
        stored = any(each.endswith(path) for each in self._listed(f"{frame.name}/"))
        return self.read_whole(frame).collect() if stored else None

    def write_whole(self, frame: Frame, rows: pl.DataFrame) -> None:
        """Replace an asset that is not partitioned."""
        frame.validate(rows)
        self._replace(self._whole(frame), rows.write_parquet)

    def write_file(self, path: str, content: bytes) -> str:
        """Replace a file that is no frame, atomically.

        Args:
            path: below the root.
            content: all of it.

        Returns:
            Where it is: a path, or an `s3://` URL.

        Raises:
            SourceUnavailable: S3 did not answer, or throttled the call.
            PermanentFailure: S3 denied access, or there is no such bucket.

        """
        self._replace(path, lambda file: file.write(content))
        return self._location(path)

    def partitions(self, frame: Frame) -> list[Partition]:
        """The stored partitions of an asset, sorted."""
        return sorted(_partitions(self._listed(f"{frame.name}/")))

    def written_at(self, frame: Frame, partitions: Iterable[Partition]) -> dict[Partition, datetime]:
        """When those of the partitions that are stored were written; on S3, to the second.

        Raises:
            SourceUnavailable: S3 did not answer, or throttled the call.
            PermanentFailure: S3 denied access, or there is no such bucket.

        """
        wanted = list(partitions)
        if self.root.startswith(_S3):
            found = self._stored_s3(frame, wanted)
            return {each: found[each] for each in wanted if each in found}
        files = {each: Path(self.root, _path(frame, each)) for each in wanted}
        return {
            each: datetime.fromtimestamp(file.stat().st_mtime, UTC) for each, file in files.items() if file.exists()
        }

    def _scan(self, frame: Frame, partitions: Sequence[Partition]) -> pl.LazyFrame:
        if not partitions:
            return frame.empty()
        paths = [self._location(_path(frame, partition)) for partition in partitions]
        # A filter by DC and ship date then opens no file that it does not need.
        hive = pl.Schema({"dc": pl.String(), "ship_date": pl.Date()})
        return pl.scan_parquet(paths, glob=False, schema=frame.polars, hive_schema=hive)

    def _stored(self, frame: Frame, partitions: Sequence[Partition]) -> list[Partition]:
        if not self.root.startswith(_S3):
            return [each for each in partitions if Path(self.root, _path(frame, each)).exists()]
        stored = self._stored_s3(frame, partitions)
        return [each for each in partitions if each in stored]

    def _stored_s3(self, frame: Frame, partitions: Sequence[Partition]) -> dict[Partition, datetime]:
        """What is stored of some DCs and a range of their days, and since when."""
        stored: dict[Partition, datetime] = {}
        for dc in {dc for dc, _ in partitions}:
            days = [day for each, day in partitions if each == dc]
            # One listing of a DC's days instead of a request a day.
            for key, at in self._listed_s3(f"{frame.name}/dc={dc}/", min(days), max(days)):
                stored |= dict.fromkeys(_partitions([key]), at)
        return stored

    def _listed(self, prefix: str) -> Iterable[str]:
        """Paths below a prefix, relative to the root."""
        if self.root.startswith(_S3):
            return (key for key, _ in self._listed_s3(prefix))
        from pyarrow.fs import FileSelector, LocalFileSystem  # noqa: PLC0415 - `--help` need not pay for it

        selector = FileSelector(f"{self.root}/{prefix}", allow_not_found=True, recursive=True)
        return [info.path for info in LocalFileSystem().get_file_info(selector)]

    def _listed_s3(
        self, prefix: str, first: date | None = None, last: date | None = None
    ) -> Iterator[tuple[str, datetime]]:
        """Keys below a prefix and since when; with dates, of `ship_date=` folders from the first to the last."""
        bucket, root = self._bucket()
        start = f"{root}{prefix}ship_date={first}/" if first else ""
        end = f"{root}{prefix}ship_date={last}0" if last else None  # "0" comes after "/"
        with aws.failures(f"lake ({self.root})"):
            pages = aws.client("s3").get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=bucket, Prefix=f"{root}{prefix}", StartAfter=start):
                for found in page.get("Contents", ()):
                    if end is not None and found["Key"] >= end:
                        return
                    yield found["Key"], found["LastModified"]

    def _replace(self, path: str, write: Callable[[IO[bytes]], object]) -> None:
        # In memory first: of a disk that is full, Polars tells that the Parquet is wrong.
        content = io.BytesIO()
        write(content)
        if self.root.startswith(_S3):
            bucket, root = self._bucket()
            # A PUT is atomic by itself: a reader sees the old object or the new one.
            with aws.failures(f"lake ({self.root})"):
                aws.client("s3").put_object(Bucket=bucket, Key=f"{root}{path}", Body=content.getvalue())
            return
        final = Path(self.root, path)
        with _disk_failures(self.root):
            final.parent.mkdir(parents=True, exist_ok=True)
            # Written beside its place and renamed into it: no reader ever sees half a file.
            incoming = final.with_name(f".{uuid.uuid4().hex}.incoming")
            try:
                incoming.write_bytes(content.getbuffer())
                incoming.replace(final)
            finally:
                incoming.unlink(missing_ok=True)

    def _location(self, path: str) -> str:
        """A path below the root, as Polars takes it."""
        if not self.root.startswith(_S3):
            return f"{self.root}/{path}"
        bucket, root = self._bucket()
        return f"{_S3}{bucket}/{root}{path}"

    def _bucket(self) -> tuple[str, str]:
        """The bucket, and the prefix of every key in it."""
        bucket, _, prefix = self.root.removeprefix(_S3).partition("/")
        prefix = prefix.strip("/")
        return bucket, f"{prefix}/" if prefix else ""

    @staticmethod
    def _whole(frame: Frame) -> str:
        return f"{frame.name}/part-0.parquet"


@contextmanager
def _disk_failures(root: str) -> Iterator[None]:
    """A disk that is full or not to be written to may be mended by the time of a retry."""
    try:
        yield
    except OSError as error:
        msg = f"lake ({root}) takes no files: {error}; free space there, or see that it may be written to"
        raise SourceUnavailable(msg) from error


def _path(frame: Frame, partition: Partition) -> str:
    dc, day = partition
    return f"{frame.name}/dc={dc}/ship_date={day.isoformat()}/part-0.parquet"


def _partitions(paths: Iterable[str]) -> Iterator[Partition]:
    for path in paths:
        _, *folders, name = path.rsplit("/", 3)
        if name.endswith(".parquet") and len(folders) == 2:  # noqa: PLR2004 - DC and ship date
            dc, day = folders
            if dc.startswith("dc=") and day.startswith("ship_date="):
                yield dc.removeprefix("dc="), date.fromisoformat(day.removeprefix("ship_date="))
