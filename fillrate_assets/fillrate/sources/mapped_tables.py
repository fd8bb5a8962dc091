"""Tables of a directory under their contracts' names: files read, joined, filtered and translated by the mapping.

Values stay as they are written; typing them belongs to `core.parsing`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import polars as pl

from fillrate_assets.core.codes import format_codes
from fillrate_assets.core.conventions import Conventions
from fillrate_assets.core.decimals import CASES
from fillrate_assets.core.errors import ContractViolation
from fillrate_assets.core.numbers import read_numbers
from fillrate_assets.fillrate.sources.erp_names import COLUMN_NAMES
from fillrate_assets.fillrate.sources.header_names import describe_near_misses, find_known_names
from fillrate_assets.fillrate.sources.table_mapping import ANY_VALUE, JoinMapping, TableMapping
from fillrate_assets.storage import header_names
from fillrate_assets.storage.csv_reader import MalformedRow, find_doubled
from fillrate_assets.storage.file_formats import FileRows, locate, read_files, translate_reader_errors

_THOUSANDS: Final = r"^[1-9]\d{0,2}(?:\.\d{3})+$"
_FLOAT_CODE: Final = r"^-?\d+\.0$"
_TEXT_NUMBERS: Final = 10**15
"""Numbers that stand for line numbers which are text begin here: no source counts as far."""


@dataclass(frozen=True)
class RawTable:
    """A table's rows, by contract names (trimmed, blanks as nulls) and as they came, and those that fit no header."""

    name: str
    where: str
    mapped: pl.DataFrame
    original: pl.DataFrame
    ragged: tuple[MalformedRow, ...] = ()
    excluded: int = 0
    """Rows that the mapping leaves out."""

    notes: tuple[str, ...] = field(default=())
    """What a person should know of the columns."""

    @property
    def height(self) -> int:
        """How many rows the files hold."""
        return self.original.height + len(self.ragged) + self.excluded


def read_table(
    directory: Path, name: str, mapping: TableMapping, columns: Mapping[str, pl.DataType]
) -> RawTable | None:
    """Read one table of a directory; None where there is no file for it.

    Args:
        directory: where the files are.
        name: the contract's name of the table, and of its file unless the mapping says otherwise.
        mapping: how the company writes the table.
        columns: the contract's columns and their types.

    Raises:
        ContractViolation: the files cannot be read as a table at all, or a header comes so near to a column of the
            contract that it must be requested.

    """
    files = locate(directory, name, mapping)
    if not files:
        return None
    where = str(files[0]) if len(files) == 1 else f"{files[0]} and {len(files) - 1} more"
    read = read_files(files, mapping)
    with translate_reader_errors(where):
        if mapping.join is not None:
            read = FileRows(_join(directory, name, where, read.frame, mapping.join), read.ragged)
        original = _filter(read.frame, where, mapping)
        excluded = read.frame.height - original.height
        chosen = _choose_columns(original.columns, where, mapping, columns)
        notes = _ask_for_near_misses(name, where, original, mapping, columns, chosen)
        mapped = _translate(original, mapping, columns, chosen)
        notes += _ask_for_thousands(where, mapped, mapping, columns)
        if mapping.instock_above is not None:
            mapped = _derive_instock(mapped, where, mapping)
        if mapping.line_numbers != "whole":
            mapped = _number_lines(mapped, where, mapping)
    return RawTable(name, where, mapped, original, read.ragged, excluded, notes)


def _join(directory: Path, name: str, where: str, lines: pl.DataFrame, join: JoinMapping) -> pl.DataFrame:
    """Join the header file's columns to every line; a name that both have stays the line's."""
    files = locate(directory, name, join)
    if not files:
        msg = f"{directory}: [{name}.join] names no file"
        raise ContractViolation(msg)
    headers = read_files(files, join).frame
    ours = [_pick(theirs, lines.columns, where) for theirs in join.on]
    theirs = [_pick(column, headers.columns, str(files[0])) for column in join.on.values()]

    def key(frame: pl.DataFrame, names: Sequence[str]) -> list[pl.Expr]:
        return [
            format_codes(pl.col(column), frame.schema[column]).str.strip_chars().alias(f"join key {i}")
            for i, column in enumerate(names)
        ]

    keys = [f"join key {i}" for i in range(len(ours))]
    right = headers.select(
        *key(headers, theirs), *[column for column in headers.columns if column not in lines.columns]
    )
    if doubled := right.filter(pl.struct(keys).is_duplicated()).height:
        first = right.filter(pl.struct(keys).is_duplicated()).row(0)[: len(keys)]
        msg = f"{files[0]}: {doubled} rows share their {', '.join(theirs)}, e.g. {', '.join(map(str, first))}"
        raise ContractViolation(msg)
    return lines.with_columns(key(lines, ours)).join(right, on=keys, how="left", maintain_order="left").drop(keys)


def _filter(frame: pl.DataFrame, where: str, mapping: TableMapping) -> pl.DataFrame:
    """Select the rows that the mapping counts."""

    def is_any(theirs: str, values: Sequence[str]) -> pl.Expr:
        column = _pick(theirs, frame.columns, where)
        text = format_codes(pl.col(column), frame.schema[column]).str.strip_chars()
        return text.fill_null("").is_in(list(values))

    wanted = [is_any(theirs, values) for theirs, values in mapping.where.items()]
    unwanted = [~is_any(theirs, values) for theirs, values in mapping.where_not.items()]
    return frame.filter(*wanted, *unwanted) if wanted or unwanted else frame


def _pick(theirs: str, headers: Sequence[str], where: str) -> str:
    """Pick the column of a file that the mapping names."""
    found = header_names.find_header(theirs, headers)
    if len(found) == 1:
        return found[0]
    msg = f"{where}: column {theirs} of the mapping is missing; found {', '.join(headers)}"
    raise ContractViolation(msg)


def _choose_columns(
    headers: Sequence[str], where: str, mapping: TableMapping, columns: Collection[str]
) -> dict[str, str]:
    """Choose the file's column of each contract column: as the mapping says, else the one that is called like it."""
    if not mapping.header and (beyond := [place for place in mapping.columns.values() if str(place) not in headers]):
        msg = f"{where}: the mapping names column {beyond[0]}; the file has {len(headers)}"
        raise ContractViolation(msg)
    found = {name: header_names.find_header(str(theirs), headers) for name, theirs in mapping.columns.items()}
    doubled = find_doubled_names(headers)
    if repeated := [theirs for theirs in mapping.columns.values() if header_names.normalize(str(theirs)) in doubled]:
        msg = f"{where}: the header names {', '.join(map(str, repeated))} more than once"
        raise ContractViolation(msg)
    if absent := sorted(str(mapping.columns[name]) for name, of_name in found.items() if len(of_name) != 1):
        msg = f"{where}: column {', '.join(absent)} of the mapping is missing; found {', '.join(headers)}"
        raise ContractViolation(msg)
    chosen = {name: of_name[0] for name, of_name in found.items()}
    taken = {*chosen.values(), *mapping.ignore}
    for name in columns:
        if name in mapping.columns or name in mapping.constants:
            continue
        if header_names.normalize(name) in doubled:
            msg = f"{where}: the header names {doubled[header_names.normalize(name)]} more than once"
            raise ContractViolation(msg)
        free = [header for header in headers if header == name or header not in taken]
        same = [header for header in free if header_names.normalize(header) == header_names.normalize(name)]
        if len(same) > 1:
            msg = f"{where}: {' and '.join(same)} are both {name}; name one in the mapping"
            raise ContractViolation(msg)
        if same:
            chosen[name] = same[0]
    return chosen


def find_doubled_names(headers: Sequence[str]) -> dict[str, str]:
    """Find the names that a header has more than once: normalized -> as written."""
    return {header_names.normalize(name): name for name in find_doubled(headers)}


def _ask_for_near_misses(
    name: str,
    where: str,
    original: pl.DataFrame,
    mapping: TableMapping,
    columns: Collection[str],
    chosen: Mapping[str, str],
) -> tuple[str, ...]:
    """Refuse headers that are a contract's name misspelt; return a note of those that may be one."""
    absent = [column for column in columns if column not in chosen and column not in mapping.constants]
    used = {*chosen.values(), *mapping.ignore, *mapping.where, *mapping.where_not}
    near = header_names.find_near_misses(absent, [header for header in original.columns if header not in used])
    typos = {column: header for column, header in near.items() if header_names.is_typo(column, header)}
    if typos:
        msg = f"{where}: {describe_near_misses(name, typos)}"
        raise ContractViolation(msg)
    free = [header for header in original.columns if header not in used]
    known = find_known_names(absent, COLUMN_NAMES.get(name, {}), free)
    return tuple(
        f"{where}: column {header} is not read; if it is {column}, name it in [{name}.columns] of the mapping"
        for column, header in {**known, **near}.items()
    )


def _ask_for_thousands(
    where: str, mapped: pl.DataFrame, mapping: TableMapping, columns: Mapping[str, pl.DataType]
) -> tuple[str, ...]:
    """Note the columns in which every point may separate thousands; where the mapping says nothing of it."""
    if mapping.thousands is not None or mapping.decimal == ",":
        return ()
    numbers = [name for name, dtype in columns.items() if dtype.is_decimal() and mapped.schema.get(name) == pl.String]
    doubtful = []
    for name in numbers:
        pointed = mapped[name].drop_nulls().str.strip_chars().str.strip_chars("+-")
        pointed = pointed.filter(pointed.str.contains(".", literal=True))
        if pointed.len() and pointed.str.contains(_THOUSANDS).all():
            doubtful.append(f"{name} such as {pointed[0]}")
    if not doubtful:
        return ()
    said = ", ".join(doubtful)
    return (
        f'{where}: {said} is read with a decimal point; if it separates thousands, say decimal = "," in the mapping',
    )


def _translate(
    original: pl.DataFrame,
    mapping: TableMapping,
    columns: Mapping[str, pl.DataType],
    chosen: Mapping[str, str],
) -> pl.DataFrame:
    """Rename, add constants, drop what means nothing, and translate values."""
    ours = {*chosen, *mapping.constants}
    rest = [name for name in original.columns if name not in ours and name not in set(chosen.values())]
    frame = original.select(
        *[pl.col(theirs).alias(name) for name, theirs in chosen.items()],
        *[pl.lit(str(value)).alias(name) for name, value in mapping.constants.items()],
        *rest,
    ).with_columns(pl.col(pl.String).str.strip_chars().replace("", None))
    if mapping.nulls:
        frame = frame.with_columns(pl.col(pl.String).replace(dict.fromkeys(mapping.nulls)))
    coded = [name for name, dtype in columns.items() if dtype == pl.String and frame.schema.get(name) == pl.String]
    frame = frame.with_columns(pl.col(name).str.strip_suffix(".0") for name in coded if _was_float(frame[name]))
    # A default for a column that the file lacks is a constant.
    return frame.with_columns(
        _translate_values(frame, name, values)
        for name, values in mapping.values.items()
        if name in frame.columns or "" in values
    )


def _translate_values(frame: pl.DataFrame, name: str, values: Mapping[str, str]) -> pl.Expr:
    if name not in frame.columns:
        return pl.lit(values[""]).alias(name)
    text = format_codes(pl.col(name), frame.schema[name])
    named = {theirs: ours for theirs, ours in values.items() if theirs not in {"", ANY_VALUE}}
    translated = text.replace(named)
    if ANY_VALUE in values:
        translated = (
            pl.when(text.is_in(list(named)) | text.is_null()).then(translated).otherwise(pl.lit(values[ANY_VALUE]))
        )
    return (translated.fill_null(values[""]) if "" in values else translated).alias(name)


def _was_float(column: pl.Series) -> bool:
    """Return whether every value of a text column is a whole number with one zero behind it, as floats are written."""
    known = column.drop_nulls()
    return known.len() > 0 and str(known[0]).endswith(".0") and bool(known.str.contains(_FLOAT_CODE).all())


def _derive_instock(mapped: pl.DataFrame, where: str, mapping: TableMapping) -> pl.DataFrame:
    """Derive `instock` from a quantity: what is above the mapping's number is in stock."""
    source = next((name for name in ("instock", "on_hand_cases") if name in mapped.columns), None)
    if source is None:
        msg = f"{where}: instock_above needs a quantity: map instock or on_hand_cases to its column"
        raise ContractViolation(msg)
    conventions = mapping.make_conventions(Conventions(), {})
    quantity = read_numbers(pl.col(source), mapped.schema[source], CASES, conventions)
    flag = pl.when(quantity > mapping.instock_above).then(pl.lit("Y")).when(quantity.is_not_null()).then(pl.lit("N"))
    # What is no quantity stays as it is, for the rules to name.
    return mapped.with_columns(pl.coalesce(flag, pl.col(source).cast(pl.String)).alias("instock"))


def _number_lines(mapped: pl.DataFrame, where: str, mapping: TableMapping) -> pl.DataFrame:
    """Give lines a number whose number is text, or which have none."""
    if mapping.line_numbers == "count":
        if "order_id" not in mapped.columns:
            msg = f"{where}: lines are counted by order, and order_id is missing"
            raise ContractViolation(msg)
        by = [name for name in ("dc", "order_id") if name in mapped.columns]
        return mapped.with_columns(pl.int_range(1, pl.len() + 1).over(by).cast(pl.String).alias("line_no"))
    names = [name for name in ("line_no", "substitute_for_line") if mapped.schema.get(name) == pl.String]
    return mapped.with_columns(pl.Series(name, [_number(text) for text in mapped[name]], pl.String) for name in names)


def _number(text: str | None) -> str | None:
    """Return the number in place of the text of a line number; always the same, and whole numbers stay."""
    if text is None or text.removesuffix(".0").isdecimal():
        return text
    digest = int(hashlib.sha256(text.encode()).hexdigest(), 16)
    return str(_TEXT_NUMBERS + digest % _TEXT_NUMBERS)
