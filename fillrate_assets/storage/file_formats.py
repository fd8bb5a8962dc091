"""File formats of a table: which files are its own, and their rows as a frame of what is written in them.

CSV, TSV and text, also with gzip, Parquet and Excel workbooks. What values mean is decided in `core.parsing`.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from fillrate_assets.core.codes import format_codes
from fillrate_assets.core.errors import ContractViolation, FillrateError, PermanentFailure
from fillrate_assets.storage import csv_reader, xlsx_reader
from fillrate_assets.storage.csv_reader import MalformedRow
from fillrate_assets.storage.file_mapping import MAPPING_FILE, FileMapping

_TEXT: Final = (".csv", ".tsv", ".txt")
_GZIP: Final = ".gz"
_FORMATS: Final = (*_TEXT, ".parquet", ".xlsx")
SUFFIXES: Final = (".csv", ".parquet", ".tsv", ".txt", ".xlsx", *[f"{suffix}{_GZIP}" for suffix in _TEXT])
_MOST_NAMES: Final = 20

_SIGNATURES: Final = (
    (b"PK\x03\x04", "an Excel workbook or a zip file", ".xlsx"),
    (b"\xd0\xcf\x11\xe0", "a workbook of Excel before 2007: save it as", ".xlsx"),
    (b"PAR1", "a Parquet file", ".parquet"),
    (b"\x1f\x8b", "a file that gzip packed", ".gz"),
    (b"%PDF", "a PDF", ""),
    (b"SQLite format 3", "a SQLite database", ""),
)
"""How files of other formats begin, what they are, and what their names should end with."""
_DOCUMENTS: Final = {(b"<?xml",): "XML", (b"[{", b'{"', b"{\n", b"{\r"): "JSON"}


@dataclass(frozen=True)
class FileRows:
    """The rows of a table's files as they are written, and those that fit no header."""

    frame: pl.DataFrame
    ragged: tuple[MalformedRow, ...] = ()


@contextmanager
def translate_reader_errors(where: str) -> Iterator[None]:
    """Raise whatever a reader raises as a ContractViolation of one line; errors on purpose pass.

    Args:
        where: the file, or what else was being read, as the message names it.

    """
    try:
        yield
    except (FillrateError, OSError):
        raise
    except (Exception, pl.exceptions.PanicException) as error:
        # Libraries raise anything for a broken file, and the engine panics outside of `Exception`.
        line = next(iter(str(error).splitlines()), type(error).__name__)
        msg = f"{where}: cannot be read: {line}"
        raise ContractViolation(msg) from error


def locate(directory: Path, name: str, mapping: FileMapping) -> list[Path]:
    """Locate the files of a table: those that the mapping names, else the one, or the folder, called like the table.

    Raises:
        ContractViolation: a file that the mapping names does not exist or is no table, or there are several.

    """
    if mapping.file:
        return [file for pattern in mapping.file for file in _locate_named(directory, name, pattern)]
    files = [file for suffix in SUFFIXES if (file := directory / f"{name}{suffix}").is_file()]
    folder = directory / name
    if len(files) + folder.is_dir() > 1:
        first, second = [*files, folder][:2]
        msg = f"{directory}: both {first.name} and {second.name} exist; remove one, or name one in {MAPPING_FILE}"
        raise ContractViolation(msg)
    return _list_folder(folder) if folder.is_dir() else files


def describe_contents(directory: Path) -> str:
    """Describe what a directory contains, for a message about what it lacks."""
    names = sorted(entry.name for entry in directory.iterdir())
    listed = ", ".join(names[:_MOST_NAMES]) + (", ..." if len(names) > _MOST_NAMES else "")
    return f"found {listed}" if names else "the directory is empty"


def read_files(files: Sequence[Path], mapping: FileMapping) -> FileRows:
    """Read the rows of some files as one frame; a column that one of them lacks is null there.

    Raises:
        ContractViolation: a file cannot be read as a table at all.
        PermanentFailure: a file cannot be opened.

    """
    parts = []
    for file in files:
        with translate_reader_errors(str(file)):
            parts.append(_read_file(file, mapping))
    if len(parts) == 1:
        return parts[0]
    with translate_reader_errors(f"{files[0]} and {len(files) - 1} more"):
        frame = pl.concat(_align_types([part.frame for part in parts]), how="diagonal")
    ragged = [
        row._replace(key=f"{file.name} {row.key}", reason=f"{file.name}, {row.reason}")
        for file, part in zip(files, parts, strict=True)
        for row in part.ragged
    ]
    return FileRows(frame, tuple(ragged))


def _locate_named(directory: Path, name: str, pattern: str) -> list[Path]:
    path = directory / pattern
    if path.is_dir():
        return _list_folder(path)
    found = [path]
    if not path.is_file():
        try:
            found = sorted(file for file in directory.glob(pattern) if file.is_file())
        except (ValueError, NotImplementedError):
            found = []
    if not found:
        there = describe_contents(directory)
        msg = f"{directory}: {pattern}, which the mapping names for {name}, is missing; {there}"
        raise ContractViolation(msg)
    if wrong := [file for file in found if _find_format(file) not in _FORMATS]:
        msg = f"{wrong[0]}: a table is a .csv or a .parquet file, or {', '.join(SUFFIXES[2:])}"
        raise ContractViolation(msg)
    return found


def _list_folder(folder: Path) -> list[Path]:
    files = sorted(file for file in folder.iterdir() if file.is_file() and _find_format(file) in _FORMATS)
    if not files:
        msg = f"{folder}: the folder has no file of {', '.join(SUFFIXES)}; {describe_contents(folder)}"
        raise ContractViolation(msg)
    return files


def _find_format(file: Path) -> str:
    name = file.name.lower()
    bare = name.removesuffix(_GZIP)
    suffix = Path(bare).suffix
    return suffix if bare == name or suffix in _TEXT else _GZIP


def _read_file(file: Path, mapping: FileMapping) -> FileRows:
    form = _find_format(file)
    if form == ".parquet":
        return FileRows(_read_parquet(file))
    if form == ".xlsx":
        frame, ragged = xlsx_reader.read_xlsx(file, mapping)
    else:
        content = _read_bytes(file)
        _refuse_other_formats(file, content, mapping)
        separator = mapping.separator or ("," if form == ".csv" else "\t")
        frame, ragged = csv_reader.read_csv(file, content, mapping, separator)
    return FileRows(frame, tuple(ragged))


def _read_bytes(file: Path) -> bytes:
    try:
        content = file.read_bytes()
    except OSError as error:
        msg = f"{file}: cannot be read: {error.strerror}"
        raise PermanentFailure(msg) from error
    if not file.name.lower().endswith(_GZIP):
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        msg = f"{file}: not a file that gzip packed, or only a part of one: {error}"
        raise ContractViolation(msg) from error


def _refuse_other_formats(file: Path, content: bytes, mapping: FileMapping) -> None:
    """Refuse what is no text, and say what it is."""
    for signature, what, suffix in _SIGNATURES:
        if content.startswith(signature):
            advice = f"; a table of that kind is called {suffix}" if suffix else ""
            msg = f"{file}: this is {what}{advice}"
            raise ContractViolation(msg)
    start = content[:512].lstrip().lower()
    if start.startswith((b"<html", b"<!doctype html", b"<table")):
        msg = f"{file}: this is a web page, as some systems export for Excel; export it as CSV"
        raise ContractViolation(msg)
    for beginnings, what in _DOCUMENTS.items():
        if start.startswith(beginnings):
            msg = f"{file}: this is {what}; export it as CSV"
            raise ContractViolation(msg)
    if start.startswith(b"sep=") and not mapping.skip_lines:
        advice = "say skip_lines = 1 and the separator in the mapping"
        msg = f"{file}: its first line names the separator, for Excel: {advice}"
        raise ContractViolation(msg)


def _read_parquet(file: Path) -> pl.DataFrame:
    try:
        frame = pl.read_parquet(file)
    except (pl.exceptions.PolarsError, OSError) as error:
        msg = f"{file}: not a Parquet file that can be read: {str(error).splitlines()[0]}"
        raise ContractViolation(msg) from error
    return frame.with_columns(_decode_binary(column) for column in frame if column.dtype == pl.Binary)


def _decode_binary(column: pl.Series) -> pl.Series:
    """Decode text that its writer did not mark as such, as Impala and Hive do; other bytes stay what they are."""
    try:
        texts = [None if value is None else value.decode() for value in column]
    except UnicodeDecodeError:
        return column
    return pl.Series(column.name, texts, dtype=pl.String)


def _align_types(frames: list[pl.DataFrame]) -> list[pl.DataFrame]:
    """Turn columns that have different types in different files into text."""
    found: dict[str, set[pl.DataType]] = {}
    for frame in frames:
        for name, dtype in frame.schema.items():
            found.setdefault(name, set()).add(dtype)
    mixed = {name for name, dtypes in found.items() if len(dtypes) > 1}
    return [
        frame.with_columns(format_codes(pl.col(name), frame.schema[name]) for name in frame.columns if name in mixed)
        for frame in frames
    ]
