"""Reader of one CSV or Parquet file: a raw frame under the contract's column names, nothing guessed, nothing lost.

CSV stays text: what a value means is decided once, in `core.parsing`. A row that does not fit its header is returned
beside the frame, with its reason and the text as it came. Which tables a directory must have belongs to the areas.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from fillrate_assets.core.errors import ContractViolation, PermanentFailure

MAPPING_FILE: Final = "mapping.toml"
_SUFFIXES: Final = (".csv", ".parquet")
_BOMS: Final = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_CHUNK_ROWS: Final = 100_000
"""Rows that are Python strings at a time: bounds the memory of a large file."""


class TableMapping(BaseModel):
    """How one table is called and written in the files of a company."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str | None = None
    columns: Mapping[str, str] = Field(default_factory=dict)
    """Contract name -> the file's column."""

    values: Mapping[str, Mapping[str, str]] = Field(default_factory=dict)
    """Contract name -> the file's value -> the contract's value."""

    constants: Mapping[str, str | int | float | bool | date] = Field(default_factory=dict)
    """Contract name -> the value of every row."""

    encoding: str | None = None
    """Tried where a CSV file has no byte order mark and is not UTF-8."""

    separator: str = Field(default=",", min_length=1, max_length=1)
    date_format: tuple[str, ...] = ()
    """strftime formats of the table's dates and times, tried in order, before ISO 8601."""

    @field_validator("date_format", mode="before")
    @classmethod
    def _wrap_single_format(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("encoding")
    @classmethod
    def _check_encoding(cls, value: str | None) -> str | None:
        try:
            return value and codecs.lookup(value).name
        except LookupError as error:
            msg = f"unknown encoding {value!r}"
            raise ValueError(msg) from error


class MalformedRow(NamedTuple):
    """A row that could not be split into the header's columns."""

    key: str
    reason: str
    raw: str


@dataclass(frozen=True)
class RawTable:
    """A file's rows, by contract names (trimmed, blanks as nulls) and as they came, and those that fit no header."""

    name: str
    mapped: pl.DataFrame
    original: pl.DataFrame
    ragged: tuple[MalformedRow, ...] = ()


def read_mapping(file: Path, tables: Mapping[str, Collection[str]]) -> dict[str, TableMapping]:
    """Read the mapping of each table that a mapping file names.

    Args:
        file: a TOML file with one section per table.
        tables: the contract's columns by table; anything else in the file is an error.

    Raises:
        ContractViolation: the file is not TOML, or names a table, key or column that does not exist.

    """
    try:
        sections = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        msg = f"{file}: not a TOML file: {error}"
        raise ContractViolation(msg) from error
    problems = [f"unknown table {name} (tables: {', '.join(tables)})" for name in sections if name not in tables]
    mappings = {}
    for name in sections.keys() & tables.keys():
        try:
            mappings[name] = TableMapping.model_validate(sections[name])
        except ValidationError as error:
            problems += [f"{'.'.join(map(str, (name, *e['loc'])))}: {_describe_error(e)}" for e in error.errors()]
            continue
        named = {*mappings[name].columns, *mappings[name].values, *mappings[name].constants}
        problems += [
            f"{name} has no column {column} (columns: {', '.join(tables[name])})"
            for column in sorted(named - set(tables[name]))
        ]
        both = sorted(mappings[name].columns.keys() & mappings[name].constants.keys())
        problems += [f"{name}.{column} is both a column and a constant" for column in both]
    if problems:
        msg = f"{file}: {'; '.join(sorted(problems))}"
        raise ContractViolation(msg)
    return mappings


def _describe_error(error: Mapping[str, object]) -> str:
    if error["type"] == "extra_forbidden":
        return f"unknown key (keys: {', '.join(TableMapping.model_fields)})"
    return str(error["msg"]).removeprefix("Value error, ")


def read_table(directory: Path, name: str, mapping: TableMapping, moments: Collection[str]) -> RawTable | None:
    """Read one table of a directory; None where there is no file for it.

    Args:
        directory: where the files are.
        name: the contract's name of the table, and of its file unless the mapping says otherwise.
        mapping: how the company writes the table.
        moments: contract columns that hold dates or times, for `date_format`.

    Raises:
        ContractViolation: the file cannot be read as a table at all.

    """
    file = _locate(directory, name, mapping)
    if file is None:
        return None
    if file.suffix.lower() == ".parquet":
        original = _read_parquet(file)
        ragged: list[MalformedRow] = []
    else:
        original, ragged = _read_csv(file, mapping)
    return RawTable(name, _apply_mapping(original, file, mapping, moments), original, tuple(ragged))


def _locate(directory: Path, name: str, mapping: TableMapping) -> Path | None:
    if mapping.file is not None:
        file = directory / mapping.file
        if not file.is_file():
            there = describe_contents(directory)
            msg = f"{directory}: {mapping.file}, which the mapping names for {name}, is missing; {there}"
            raise ContractViolation(msg)
        if file.suffix.lower() not in _SUFFIXES:
            msg = f"{file}: a table is a .csv or a .parquet file"
            raise ContractViolation(msg)
        return file
    files = [file for suffix in _SUFFIXES if (file := directory / f"{name}{suffix}").is_file()]
    if len(files) > 1:
        msg = f"{directory}: both {files[0].name} and {files[1].name} exist; remove one, or name one in {MAPPING_FILE}"
        raise ContractViolation(msg)
    return files[0] if files else None


def describe_contents(directory: Path) -> str:
    """Describe what a directory contains, for a message about what it lacks."""
    names = sorted(entry.name for entry in directory.iterdir())
    listed = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")  # noqa: PLR2004 - a line people can read
    return f"found {listed}" if names else "the directory is empty"


def _apply_mapping(original: pl.DataFrame, file: Path, mapping: TableMapping, moments: Collection[str]) -> pl.DataFrame:
    if absent := sorted(set(mapping.columns.values()) - set(original.columns)):
        msg = f"{file}: column {', '.join(absent)} of the mapping is missing; found {', '.join(original.columns)}"
        raise ContractViolation(msg)
    ours = {*mapping.columns, *mapping.constants}
    frame = original.select(
        *[pl.col(theirs).alias(name) for name, theirs in mapping.columns.items()],
        *[pl.lit(str(value)).alias(name) for name, value in mapping.constants.items()],
        *[name for name in original.columns if name not in ours],
    ).with_columns(pl.col(pl.String).str.strip_chars().replace("", None))
    translated = [
        pl.col(name).cast(pl.String).replace(dict(values)).alias(name)
        for name, values in mapping.values.items()
        if name in frame.columns
    ]
    iso = [
        pl.coalesce(
            *[
                pl.col(name).str.to_datetime(form, time_unit="us", strict=False).dt.to_string("iso")
                for form in mapping.date_format
            ],
            name,
        ).alias(name)
        for name in moments
        if mapping.date_format and frame.schema.get(name) == pl.String
    ]
    return frame.with_columns(translated).with_columns(iso)


def _read_parquet(file: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(file)
    except (pl.exceptions.PolarsError, OSError) as error:
        msg = f"{file}: not a Parquet file that can be read: {str(error).splitlines()[0]}"
        raise ContractViolation(msg) from error


def _read_csv(file: Path, mapping: TableMapping) -> tuple[pl.DataFrame, list[MalformedRow]]:
    text = _decode(file, mapping).rstrip("\r\n")
    if not text.strip():
        msg = f"{file}: the file is empty, without even a header"
        raise ContractViolation(msg)
    ragged: list[MalformedRow] = []
    if _is_plain(text, mapping.separator):
        names, frame = _read_plain(text, mapping.separator)
    else:
        names, frame, ragged = _read_quoted(file, text, mapping.separator)
    names = [name.strip() for name in names]
    if doubled := sorted({name for name in names if name and names.count(name) > 1}):
        msg = f"{file}: the header names {', '.join(doubled)} more than once"
        raise ContractViolation(msg)
    # A column without a name, as a trailing separator leaves, can belong to no contract.
    return frame.select(pl.nth(i).alias(name) for i, name in enumerate(names) if name), ragged


def _decode(file: Path, mapping: TableMapping) -> str:
    try:
        data = file.read_bytes()
    except OSError as error:
        msg = f"{file}: cannot be read: {error.strerror}"
        raise PermanentFailure(msg) from error
    marked = [encoding for bom, encoding in _BOMS if data.startswith(bom)]
    line, tried = 1, marked or ["utf-8", *([mapping.encoding] if mapping.encoding else [])]
    for encoding in tried:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            continue
        # UTF-16 without its mark decodes as UTF-8 full of NULs.
        if "\0" not in text:
            return text
        line = text.count("\n", 0, text.index("\0")) + 1
    msg = (
        f"{file}: line {line} is not {' or '.join(tried)}; name its encoding in {MAPPING_FILE}, "
        f'e.g. encoding = "cp1252"'
    )
    raise ContractViolation(msg)


def _is_plain(text: str, separator: str) -> bool:
    """Return whether Polars' reader, 15 times as fast, provably reads what the csv module would.

    That is: no quote, no carriage return but before a line feed, and every line as wide as the header.
    """
    if '"' in text or text.count("\r") != text.count("\r\n"):
        return False
    widths = {line.count(separator) for line in text.split("\n")}
    return len(widths) == 1 and widths != {0}


def _read_plain(text: str, separator: str) -> tuple[list[str], pl.DataFrame]:
    frame = pl.read_csv(
        io.BytesIO(text.encode()),
        separator=separator,
        quote_char=None,
        infer_schema=False,
        empty_string_is_null=False,
    )
    return text.partition("\n")[0].split(separator), frame


def _read_quoted(file: Path, text: str, separator: str) -> tuple[list[str], pl.DataFrame, list[MalformedRow]]:
    lines = list(io.StringIO(text, newline=""))
    rows = _read_rows(file, lines, separator)
    _, _, names = next(rows)
    if isinstance(names, str):
        msg = f"{file}: the header cannot be read: {names}"
        raise ContractViolation(msg)
    positions = [f"column_{i}" for i in range(len(names))]
    chunks = [pl.DataFrame(schema=dict.fromkeys(positions, pl.String))]
    ragged: list[MalformedRow] = []
    while chunk := list(islice(rows, _CHUNK_ROWS)):
        good = [fields for _, _, fields in chunk if isinstance(fields, list) and len(fields) == len(names)]
        if good:
            chunks.append(pl.DataFrame(dict(zip(positions, zip(*good, strict=True), strict=True))))
        for start, stop, fields in chunk:
            if isinstance(fields, str) or len(fields) != len(names):
                where = f"line {start + 1}" + (f"-{stop}" if stop > start + 1 else "")
                why = fields if isinstance(fields, str) else f"{len(fields)} fields, the header has {len(names)}"
                raw = json.dumps({"text": "".join(lines[start:stop]).rstrip("\r\n")}, ensure_ascii=False)
                ragged.append(MalformedRow(where, f"{where}: {why}", raw))
    return names, pl.concat(chunks), ragged


def _read_rows(file: Path, lines: list[str], separator: str) -> Iterator[tuple[int, int, list[str] | str]]:
    """Yield the lines (from, to) of each row that is not blank, and its fields or why it has none."""
    reader = csv.reader(lines, delimiter=separator, strict=True)
    while True:
        start = reader.line_num
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            why = str(error)
            # Whatever follows the quote was swallowed with it: no row of it can be trusted.
            if "unexpected end of data" in why or "field limit" in why:
                msg = f"{file}: a quote opened on line {start + 1} is never closed"
                raise ContractViolation(msg) from error
            yield start, reader.line_num, "a quote closes before its field ends" if "expected after" in why else why
        else:
            if fields:
                yield start, reader.line_num, fields
