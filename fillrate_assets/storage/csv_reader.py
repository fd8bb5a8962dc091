"""Reader of CSV: the fields of a text file as a frame of text, nothing guessed, nothing lost.

What a value means is decided once, in `core.parsing`. A row that does not fit its header is returned beside the
frame, with its reason and the text as it came.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from fillrate_assets.core.errors import ContractViolation
from fillrate_assets.storage.file_mapping import MAPPING_FILE, FileMapping

_BOMS: Final = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_CHUNK_ROWS: Final = 100_000
"""Rows that are Python strings at a time: bounds the memory of a large file."""

_DOUBLED: Final = " (column "


class MalformedRow(NamedTuple):
    """A row that could not be split into the header's columns."""

    key: str
    reason: str
    raw: str


def read_csv(
    file: Path, content: bytes, mapping: FileMapping, separator: str
) -> tuple[pl.DataFrame, list[MalformedRow]]:
    """Read the content of a CSV file.

    Args:
        file: its name in messages.
        content: all of it.
        mapping: how it is written.
        separator: of its fields.

    Returns:
        Its rows as text by the header's names, and the rows that do not fit the header.

    Raises:
        ContractViolation: it is no text, is empty, or a quote in it is never closed.

    """
    text = _decode(file, content, mapping).rstrip("\r\n")
    skipped, text = _skip_lines(text, mapping.skip_lines)
    if not text.strip():
        msg = f"{file}: the file is empty, without even a header"
        raise ContractViolation(msg)
    if not mapping.header:
        width = len(next(csv.reader(io.StringIO(text, newline=""), delimiter=separator)))
        skipped, text = skipped - 1, f"{separator.join(map(str, range(1, width + 1)))}\n{text}"
    ragged: list[MalformedRow] = []
    if _is_plain(text, separator):
        names, frame = _read_plain(text, separator)
    else:
        names, frame, ragged = _read_quoted(file, text, separator, skipped)
    return name_columns(frame, names), ragged


def name_columns(frame: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """Name the columns of a frame as its header does; one without a name can belong to no contract and is dropped.

    A name that is there more than once is followed by its place, so that no contract takes either of them.
    """
    names = [name.strip() for name in names]
    count = Counter(names)
    return frame.select(
        pl.nth(i).alias(name if count[name] == 1 else f"{name}{_DOUBLED}{i + 1})")
        for i, name in enumerate(names)
        if name
    )


def find_doubled(headers: Sequence[str]) -> list[str]:
    """Find the names that a header has more than once, as `name_columns` numbered them."""
    doubled = [name.rpartition(_DOUBLED)[0] for name in headers if _DOUBLED in name and name.endswith(")")]
    return [name for name, count in Counter(doubled).items() if count > 1]


def _skip_lines(text: str, count: int) -> tuple[int, str]:
    """Skip the lines before the header; their number and the rest."""
    if not count:
        return 0, text
    lines = io.StringIO(text, newline="")
    skipped = sum(1 for _ in islice(lines, count))
    return skipped, lines.read()


def _decode(file: Path, content: bytes, mapping: FileMapping) -> str:
    marked = [encoding for bom, encoding in _BOMS if content.startswith(bom)]
    line, tried = 1, marked or ["utf-8", *([mapping.encoding] if mapping.encoding else [])]
    for encoding in tried:
        try:
            text = content.decode(encoding)
        except UnicodeError as error:
            line = content.count(b"\n", 0, getattr(error, "start", 0)) + 1
            continue
        if "\0" not in text:
            return text
        _refuse_nul(file, text, encoding)
    msg = (
        f"{file}: line {line} is not {' or '.join(tried)}; name its encoding in {MAPPING_FILE}, "
        f'e.g. encoding = "cp1252"'
    )
    raise ContractViolation(msg)


def _refuse_nul(file: Path, text: str, encoding: str) -> None:
    """Refuse text with NULs: a single one is a broken row, one in every other place another encoding."""
    line = text.count("\n", 0, text.index("\0")) + 1
    many = text.count("\0") * 4 >= len(text)
    # UTF-16 without its mark decodes as UTF-8 full of NULs.
    likely = "utf-16-be" if text.startswith("\0") else "utf-16-le"
    hint = (
        f'is not {encoding}; it may be UTF-16 without its mark: encoding = "{likely}"'
        if many
        else "has a NUL character"
    )
    msg = f"{file}: line {line} {hint}"
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


def _read_quoted(
    file: Path, text: str, separator: str, skipped: int
) -> tuple[list[str], pl.DataFrame, list[MalformedRow]]:
    lines = list(io.StringIO(text, newline=""))
    rows = _read_rows(file, lines, separator, skipped)
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
                where = f"line {skipped + start + 1}" + (f"-{skipped + stop}" if stop > start + 1 else "")
                why = fields if isinstance(fields, str) else f"{len(fields)} fields, the header has {len(names)}"
                raw = json.dumps({"text": "".join(lines[start:stop]).rstrip("\r\n")}, ensure_ascii=False)
                ragged.append(MalformedRow(where, f"{where}: {why}", raw))
    return names, pl.concat(chunks), ragged


def _read_rows(
    file: Path, lines: list[str], separator: str, skipped: int
) -> Iterator[tuple[int, int, list[str] | str]]:
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
                msg = f"{file}: a quote opened on line {skipped + start + 1} is never closed"
                raise ContractViolation(msg) from error
            yield start, reader.line_num, "a quote closes before its field ends" if "expected after" in why else why
        else:
            if fields:
                yield start, reader.line_num, fields
