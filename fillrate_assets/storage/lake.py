"""The lake: Parquet files by asset, DC and ship date, and files for people, on disk or on S3.

A partition is one file, or one for each of its parts: of what ticks make, a part is a tick.

S3 is reached as `aws.client` says: what lists and writes through boto3, what reads through Polars with
boto3's credentials.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import uuid
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import IO, Final, NamedTuple, TypeVar

import polars as pl

from fillrate_assets.aws import client
from fillrate_assets.core import decimals
from fillrate_assets.core.errors import ContractViolation, PermanentFailure, SourceUnavailable
from fillrate_assets.core.partition_key import PartitionKey, decode_dc, encode_dc
from fillrate_assets.core.table_schema import TableSchema
from fillrate_assets.storage.atomic_write import replace_file

WHOLE: Final = "part-0"
"""The part of a partition that has no others."""

_S3: Final = "s3://"
_AT_ONCE: Final = 10
"""Requests at a time; boto3 pools as many connections."""

_PART: Final = re.compile(
    r"dc=(?P<dc>[^/]+)/ship_date=(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})/(?P<part>part-0|[0-9]{8}T[0-9]{4}Z)\.parquet"
)
"""The whole of a partition, or a tick."""

_ENGINE_ERRORS: Final = (pl.exceptions.PolarsError, pl.exceptions.PanicException)

_T = TypeVar("_T")
_R = TypeVar("_R")


class Part(NamedTuple):
    """One file of a partition."""

    dc: str
    ship_date: date
    name: str

    @property
    def partition(self) -> PartitionKey:
        """Return the partition that it belongs to."""
        return PartitionKey(self.dc, self.ship_date)


@dataclass(frozen=True)
class Lake:
    """Frames by asset, DC and ship date under one root: a directory or `s3://bucket/prefix`."""

    root: str

    def scan(
        self,
        schema: TableSchema,
        dcs: Sequence[str] | None = None,
        first: date | None = None,
        last: date | None = None,
    ) -> pl.LazyFrame:
        """Scan every stored partition of an asset, of some DCs, in a range of ship dates."""
        return self.read_parts(schema, self.list_parts(schema, dcs, first, last))

    def read(self, schema: TableSchema, partitions: Iterable[PartitionKey]) -> pl.LazyFrame:
        """Read those of the partitions that are stored; none of them stored is a frame without rows.

        Raises:
            SourceUnavailable: S3 did not answer, or throttled the call.
            PermanentFailure: S3 denied access, or there is no such bucket.

        """
        return self.read_parts(schema, sorted(self._find_parts(schema, set(partitions))))

    def read_parts(self, schema: TableSchema, parts: Sequence[Part]) -> pl.LazyFrame:
        """Read parts that are stored; without any, a frame without rows.

        Columns that are newer than a file are null.
        """
        if not parts:
            return schema.make_empty()
        _SCANS.append((self, schema, tuple(parts)))
        paths = [self._locate(build_path(schema, part)) for part in parts]
        # A filter by DC and ship date then opens no file that it does not need.
        # Polars reads columns from any folder with a "=", those above the root included.
        hive = None if "=" in self.root else pl.Schema({"dc": pl.String(), "ship_date": pl.Date()})
        return pl.scan_parquet(
            paths,
            glob=False,
            schema=schema.polars,
            hive_schema=hive,
            hive_partitioning=hive is not None,
            missing_columns="insert" if any(column.newer for column in schema.columns) else "raise",
        )

    def write(
        self, schema: TableSchema, rows: pl.DataFrame, partitions: Iterable[PartitionKey], *, part: str = WHOLE
    ) -> dict[PartitionKey, int]:
        """Replace partitions, each atomically; a partition without rows becomes a file without rows.

        Args:
            schema: schema of the rows, with dc and ship_date.
            rows: all of them.
            partitions: what to replace.
            part: which part of them; other parts stay.

        Returns:
            Rows by partition.

        Raises:
            ContractViolation: the rows break the frame's schema, or lie outside the partitions.
            SourceUnavailable: S3 did not answer, or throttled the call; or the disk is full or not to be written to.
            PermanentFailure: S3 denied access, or there is no such bucket.

        """
        schema.validate(rows)
        held = {
            (str(dc), day): of_day
            for (dc, day), of_day in rows.partition_by("dc", "ship_date", as_dict=True, maintain_order=True).items()
            if isinstance(day, date)
        }
        wanted = list(partitions)
        if stray := sorted(set(held) - set(wanted)):
            msg = f"{schema.name}: rows outside the run's partitions, e.g. {stray[:3]}"
            raise ContractViolation(msg)
        content = {partition: held.get(partition, rows.clear()) for partition in wanted}
        self._call_each(
            lambda partition: self._replace_frame(build_path(schema, Part(*partition, part)), content[partition]),
            wanted,
        )
        return {partition: of_day.height for partition, of_day in content.items()}

    def read_whole(self, schema: TableSchema) -> pl.LazyFrame:
        """Read an asset that is not partitioned."""
        _SCANS.append((self, schema, (None,)))
        return pl.scan_parquet(self._locate(self._build_whole_path(schema)), glob=False, hive_partitioning=False)

    def read_whole_if_stored(self, schema: TableSchema) -> pl.DataFrame | None:
        """Read what is stored of an asset that is not partitioned; None if that is nothing, or cannot be read."""
        path = self._build_whole_path(schema)
        stored = any(each.endswith(path) for each, _ in self._list_files(f"{schema.name}/"))
        return self.read_whole(schema).collect() if stored and self.find_fault(schema, None) is None else None

    def write_whole(self, schema: TableSchema, rows: pl.DataFrame) -> None:
        """Replace an asset that is not partitioned."""
        schema.validate(rows)
        self._replace_frame(self._build_whole_path(schema), rows)

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
        return self._locate(path)

    def read_file(self, path: str) -> bytes | None:
        """Read a file that is no frame; None if there is none.

        Args:
            path: below the root.

        Raises:
            SourceUnavailable: S3 did not answer, or throttled the call.
            PermanentFailure: S3 denied access, or there is no such bucket.

        """
        if not self.root.startswith(_S3):
            file = Path(self.root, path)
            return file.read_bytes() if file.exists() else None
        bucket, root = self._split_root()
        s3 = client.get_client("s3")
        with client.translate_errors(f"lake ({self.root})"):
            try:
                content: bytes = s3.get_object(Bucket=bucket, Key=f"{root}{path}")["Body"].read()
            except s3.exceptions.NoSuchKey:
                return None
        return content

    def find_bucket(self) -> tuple[str, str] | None:
        """Find the bucket of S3 and the prefix of every key in it; None of a lake on a disk."""
        return self._split_root() if self.root.startswith(_S3) else None

    def list_partitions(self, schema: TableSchema) -> list[PartitionKey]:
        """List the stored partitions of an asset, sorted."""
        return sorted({part.partition for part in self.list_parts(schema)})

    def list_parts(
        self,
        schema: TableSchema,
        dcs: Collection[str] | None = None,
        first: date | None = None,
        last: date | None = None,
    ) -> list[Part]:
        """List the stored parts of an asset, sorted: of some DCs, in a range of ship dates.

        Raises:
            SourceUnavailable: S3 did not answer, or throttled the call.
            PermanentFailure: S3 denied access, or there is no such bucket.

        """
        if dcs is None:
            found = _parse_parts(self._list_files(f"{schema.name}/"))
            return sorted(
                part
                for part in found
                if (first is None or part.ship_date >= first) and (last is None or part.ship_date <= last)
            )
        return sorted(self._find_parts_of_dcs(schema, dict.fromkeys(dcs, (first or date.min, last or date.max))))

    def list_write_times(self, schema: TableSchema) -> dict[PartitionKey, datetime]:
        """List the stored partitions of an asset, and when each was last written; on S3, to the second.

        Raises:
            SourceUnavailable: S3 did not answer, or throttled the call.
            PermanentFailure: S3 denied access, or there is no such bucket.

        """
        found = _parse_parts(self._list_files(f"{schema.name}/"))
        written: dict[PartitionKey, datetime] = {}
        for part, at in found.items():
            written[part.partition] = max(at, written.get(part.partition, at))
        return written

    def fetch_file(self, path: str, version: str, folder: Path, remedy: str) -> Path:
        """Return where a file is on this machine; one that is on S3 is copied into a folder, once for each version.

        Args:
            path: below the root.
            version: what is another once the file is.
            folder: for copies.
            remedy: what to do about a file that is not there, for people.

        Raises:
            SourceUnavailable: S3 did not answer, or throttled the call.
            PermanentFailure: S3 denied access, or there is no such bucket or file.

        """
        if not self.root.startswith(_S3):
            return Path(self.root, path)
        copy = folder / f"{hashlib.sha256(f'{path} {version}'.encode()).hexdigest()}.parquet"
        if not copy.exists():
            content = self.read_file(path)
            if content is None:
                msg = f"{self._locate(path)} is not there any more: {remedy}"
                raise PermanentFailure(msg)
            with replace_file(copy) as new:
                new.write_bytes(content)
        return copy

    def find_write_times(self, schema: TableSchema, partitions: Iterable[PartitionKey]) -> dict[PartitionKey, datetime]:
        """Find when those of the partitions that are stored were last written; on S3, to the second.

        Raises:
            SourceUnavailable: S3 did not answer, or throttled the call.
            PermanentFailure: S3 denied access, or there is no such bucket.

        """
        written: dict[PartitionKey, datetime] = {}
        for part, at in self._find_parts(schema, set(partitions)).items():
            written[part.partition] = max(at, written.get(part.partition, at))
        return written

    def find_unreadable(self, schema: TableSchema, partitions: Iterable[PartitionKey]) -> set[PartitionKey]:
        """Find those of the partitions that are not stored, or whose file cannot be read.

        Raises:
            SourceUnavailable: S3 did not answer, or throttled the call.
            PermanentFailure: S3 denied access, or there is no such bucket.

        """
        wanted = set(partitions)
        stored = list(self._find_parts(schema, wanted))
        faults = self._call_each(lambda part: self.find_fault(schema, part), stored)
        return wanted - {part.partition for part, fault in zip(stored, faults, strict=True) if fault is None}

    def find_fault(self, schema: TableSchema, part: Part | None) -> str | None:
        """Find what keeps a stored file from being read; None if it can be.

        Args:
            schema: its table.
            part: which one; None for an asset that is not partitioned.

        """
        try:
            found = pl.scan_parquet(self._locate_part(schema, part), glob=False, hive_partitioning=False).collect()
        except (OSError, *_ENGINE_ERRORS) as error:
            return " ".join(str(error).split())
        there = [column for column in schema.columns if column.name in found.columns or not column.newer]
        expected = pl.Schema({column.name: column.dtype for column in there})
        return None if found.schema == expected else f"its columns are {', '.join(found.columns)}"

    def name_fault(self, schema: TableSchema, parts: Iterable[Part | None]) -> str | None:
        """Name the first of some stored files that cannot be read, with what to do; None if all can be."""
        for part in parts:
            if (fault := self.find_fault(schema, part)) is not None:
                return f"{self._locate_part(schema, part)} cannot be read ({fault}): {name_remedy(part)} writes it anew"
        return None

    def _locate_part(self, schema: TableSchema, part: Part | None) -> str:
        return self._locate(self._build_whole_path(schema) if part is None else build_path(schema, part))

    def _find_parts(self, schema: TableSchema, partitions: set[PartitionKey]) -> dict[Part, datetime]:
        """Find the stored parts of partitions, and since when."""
        days = {dc: [day for each, day in partitions if each == dc] for dc, _ in partitions}
        found = self._find_parts_of_dcs(schema, {dc: (min(of_dc), max(of_dc)) for dc, of_dc in days.items()})
        return {part: at for part, at in found.items() if part.partition in partitions}

    def _find_parts_of_dcs(self, schema: TableSchema, ranges: Mapping[str, tuple[date, date]]) -> dict[Part, datetime]:
        """Find what is stored of DCs in ranges of ship dates, and since when: one listing of a DC, not one of a day."""
        listings = self._call_each(
            lambda dc: _parse_parts(self._list_files(f"{schema.name}/dc={encode_dc(dc)}/", *ranges[dc])), list(ranges)
        )
        return {part: at for listing in listings for part, at in listing.items()}

    def _call_each(self, call: Callable[[_T], _R], arguments: Sequence[_T]) -> list[_R]:
        """Call for each; on S3 several at a time, for that is mostly waiting."""
        if len(arguments) == 1 or not self.root.startswith(_S3):
            return [call(argument) for argument in arguments]
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            return list(threads.map(call, arguments))

    def _list_files(
        self, prefix: str, first: date | None = None, last: date | None = None
    ) -> Iterator[tuple[str, datetime]]:
        """List files below a prefix and since when; with dates, in `ship_date=` folders from the first to the last."""
        if self.root.startswith(_S3):
            return self._list_s3_files(prefix, first, last)
        return self._list_disk_files(prefix, first, last)

    def _list_disk_files(self, prefix: str, first: date | None, last: date | None) -> Iterator[tuple[str, datetime]]:
        root = f"{self.root}/{prefix}"
        if first is None or last is None:
            yield from _find_files(root)
            return
        # Only the days of the range are opened: a DC may have years of them, with a file for each tick.
        names = f"ship_date={first}", f"ship_date={last}"
        for day in _list_directory(root):
            if names[0] <= day.name <= names[1]:
                yield from _find_files(day.path)

    def _list_s3_files(self, prefix: str, first: date | None, last: date | None) -> Iterator[tuple[str, datetime]]:
        bucket, root = self._split_root()
        start = f"{root}{prefix}ship_date={first}/" if first else ""
        end = f"{root}{prefix}ship_date={last}0" if last else None  # "0" comes after "/"
        with client.translate_errors(f"lake ({self.root})"):
            pages = client.get_client("s3").get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=bucket, Prefix=f"{root}{prefix}", StartAfter=start):
                for found in page.get("Contents", ()):
                    if end is not None and found["Key"] >= end:
                        return
                    yield found["Key"], found["LastModified"]

    def _replace_frame(self, path: str, rows: pl.DataFrame) -> None:
        # Files are found by their paths, and have one group of rows: statistics would let nothing be skipped.
        self._replace(path, lambda content: rows.write_parquet(content, compression_level=1, statistics=False))

    def _replace(self, path: str, write: Callable[[IO[bytes]], object]) -> None:
        # In memory first: of a full disk, Polars reports that the Parquet is wrong.
        content = io.BytesIO()
        write(content)
        if self.root.startswith(_S3):
            bucket, root = self._split_root()
            # A PUT is atomic by itself: a reader sees the old object or the new one.
            with client.translate_errors(f"lake ({self.root})"):
                client.get_client("s3").put_object(Bucket=bucket, Key=f"{root}{path}", Body=content.getvalue())
            return
        final = Path(self.root, path)
        with _translate_disk_errors(self.root):
            final.parent.mkdir(parents=True, exist_ok=True)
            # Written beside its place and renamed into it: no reader ever sees half a file.
            incoming = final.with_name(f".{uuid.uuid4().hex}.incoming")
            try:
                incoming.write_bytes(content.getbuffer())
                incoming.replace(final)
            finally:
                incoming.unlink(missing_ok=True)

    def _locate(self, path: str) -> str:
        """Return a path below the root, as Polars takes it."""
        if not self.root.startswith(_S3):
            return f"{self.root}/{path}"
        bucket, root = self._split_root()
        return f"{_S3}{bucket}/{root}{path}"

    def _split_root(self) -> tuple[str, str]:
        """Return the bucket, and the prefix of every key in it."""
        bucket, _, prefix = self.root.removeprefix(_S3).partition("/")
        prefix = prefix.strip("/")
        return bucket, f"{prefix}/" if prefix else ""

    @staticmethod
    def _build_whole_path(schema: TableSchema) -> str:
        return f"{schema.name}/part-0.parquet"


_SCANS: Final[deque[tuple[Lake, TableSchema, tuple[Part | None, ...]]]] = deque(maxlen=50)
"""What was scanned last: frames are lazy, so the engine finds a broken file somewhere else."""


def _find_files(directory: str) -> Iterator[tuple[str, datetime]]:
    """Find the files below a directory, and since when they are there."""
    for entry in _list_directory(directory):
        if entry.is_dir():
            yield from _find_files(entry.path)
            continue
        # A file that is just being written is renamed between its listing and this.
        with suppress(FileNotFoundError):
            yield entry.path, datetime.fromtimestamp(entry.stat().st_mtime, UTC)


def _list_directory(directory: str) -> list[os.DirEntry[str]]:
    """List a directory; an absent one has no entries."""
    try:
        with os.scandir(directory) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []


@contextmanager
def translate_engine_errors() -> Iterator[None]:
    """Raise what the engine says of a broken file as PermanentFailure that names the file; the engine does not.

    A quantity without room in a column becomes a ContractViolation that names the column.
    """
    try:
        yield
    except _ENGINE_ERRORS as error:
        if (overflow := decimals.describe_overflow(error)) is not None:
            raise ContractViolation(overflow) from error
        if (found := name_broken_file(error)) is None:
            raise
        raise PermanentFailure(found) from error


def name_broken_file(error: BaseException) -> str | None:
    """Name a file that cannot be read, among those that were scanned last; None if that is not what the error says."""
    if not isinstance(error, _ENGINE_ERRORS):
        return None
    found = (lake.name_fault(schema, parts) for lake, schema, parts in reversed(_SCANS))
    return next((fault for fault in found if fault is not None), None)


def name_remedy(part: Part | None) -> str:
    """Name the command that writes a file anew."""
    if part is None:
        return "`fillrate run`"
    if part.name != WHOLE:
        return f"`fillrate buffers tick --at {datetime.strptime(part.name, '%Y%m%dT%H%MZ'):%Y-%m-%dT%H:%M}`"  # noqa: DTZ007 - UTC
    return f"`fillrate run --dc {part.dc} --from {part.ship_date} --to {part.ship_date}`"


@contextmanager
def _translate_disk_errors(root: str) -> Iterator[None]:
    """Raise a disk's errors as SourceUnavailable: it may have space, or be writable, by the time of a retry."""
    try:
        yield
    except OSError as error:
        msg = f"lake ({root}) takes no files: {error}; free space there, or see that it may be written to"
        raise SourceUnavailable(msg) from error


def build_path(schema: TableSchema, part: Part) -> str:
    """Build the path of a part below the root."""
    return f"{schema.name}/dc={encode_dc(part.dc)}/ship_date={part.ship_date.isoformat()}/{part.name}.parquet"


def _parse_parts(files: Iterable[tuple[str, datetime]]) -> dict[Part, datetime]:
    """Parse the parts among files, and since when."""
    found = {}
    for path, at in files:
        _, *folders, name = path.rsplit("/", 3)
        if (named := _PART.fullmatch("/".join((*folders, name)))) is None:
            continue
        # What people or tools leave beside the files, copies of them too, is none of the lake's.
        with suppress(ValueError):
            found[Part(decode_dc(named["dc"]), date.fromisoformat(named["day"]), named["part"])] = at
    return found
