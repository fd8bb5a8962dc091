"""Suggestion of a mapping: which file of a directory is which table, which of its columns is which, how it is written.

Everything here is a guess from names and a sample of rows; a person reads it before it counts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Final

import polars as pl

from fillrate_assets.core.codes import format_codes
from fillrate_assets.core.conventions import EMPTY_DATES, EXCEL, Conventions
from fillrate_assets.core.dates import add_moments, describe_moments, is_no_date, read_times
from fillrate_assets.core.errors import ContractViolation, FillrateError, PermanentFailure
from fillrate_assets.fillrate.rules.line_classification import LINE_TYPES
from fillrate_assets.fillrate.rules.line_classification import STATUSES as KNOWN_STATUSES
from fillrate_assets.fillrate.rules.units_of_measure import EACH_UNITS
from fillrate_assets.fillrate.rules.units_of_measure import UNITS as KNOWN_UNITS
from fillrate_assets.fillrate.sources.contract_tables import TABLES, TableContract
from fillrate_assets.fillrate.sources.erp_names import (
    COLUMN_NAMES,
    FILE_NAMES,
    HEADER_FILES,
    HEADER_KEYS,
    REJECTION_REASONS,
    STATUSES,
    UNITS,
)
from fillrate_assets.fillrate.sources.erp_names import (
    LINE_TYPES as LINE_TYPES_OF_SYSTEMS,
)
from fillrate_assets.fillrate.sources.table_mapping import ANY_VALUE
from fillrate_assets.storage.file_formats import SUFFIXES, describe_contents, read_files, translate_reader_errors
from fillrate_assets.storage.file_mapping import FileMapping
from fillrate_assets.storage.header_names import normalize

_SAMPLE_ROWS: Final = 1_000
_NEAR: Final = 0.88
_SEPARATORS: Final = (",", ";", "\t", "|")
_DATE_FORMATS: Final = (
    *("%d.%m.%Y", "%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S", "%d.%m.%y"),
    *("%m/%d/%Y", "%d/%m/%Y", "%m/%d/%Y %H:%M", "%d/%m/%Y %H:%M", "%m/%d/%y", "%d/%m/%y", "%m/%d/%y %H:%M"),
    *("%d-%m-%Y", "%d-%b-%y", "%d-%b-%Y", "%d-%m-%y", "%Y/%m/%d", "%Y%m%d", "%Y%m%d%H%M%S", "%A, %B %d, %Y"),
    *("%d-%b-%Y %H:%M:%S", "%d-%b-%y %H:%M:%S", "%d-%b-%y %I.%M.%S%.f %p", "%Y/%m/%d %H:%M:%S"),
    *("%m/%d/%Y %I:%M %p", "%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %H:%M:%S", "%d/%m/%Y %H:%M:%S"),
)
"""Month first where both fit: a file of days up to 12 alone says nothing, and the suggestion says so."""

_Columns = Mapping[str, pl.Series]


@dataclass(frozen=True)
class _File:
    """A file of the directory: how it is written, and a sample of it."""

    name: str
    mapping: FileMapping
    rows: pl.DataFrame

    @property
    def stem(self) -> str:
        """Its name without the ending, as names are compared."""
        return normalize(self.name.split(".")[0] if self.name.count(".") == 1 else self.name.rsplit(".", 1)[0])


@dataclass(frozen=True)
class _Match:
    """A file as a table: its columns by contract name, and those of the header file that is joined to it."""

    file: _File
    columns: Mapping[str, str]
    join: _File | None = None
    key: str = ""

    @property
    def rows(self) -> dict[str, pl.Series]:
        """Its columns, and those of the header file; a sample of each."""
        own = self.file.rows.to_dict()
        return own if self.join is None else {**self.join.rows.to_dict(), **own}


@dataclass(frozen=True)
class Suggestion:
    """A mapping as text, and what it could not say."""

    text: str
    open_questions: tuple[str, ...]


def suggest_mapping(directory: Path) -> Suggestion:
    """Suggest a mapping from the headers and first rows of a directory's files.

    Raises:
        PermanentFailure: the directory does not exist.
        ContractViolation: it has no file that can be read as a table, or none that has orders.

    """
    if not directory.is_dir():
        msg = f"{directory} is not a directory"
        raise PermanentFailure(msg)
    with translate_reader_errors(str(directory)):
        return _suggest(directory)


def _suggest(directory: Path) -> Suggestion:
    files = [file for entry in sorted(directory.iterdir()) if (file := _sample(entry)) is not None]
    matches = {name: match for name in TABLES if (match := _choose_file(name, files)) is not None}
    orders, shipments = matches.get("order_lines"), matches.get("shipment_lines")
    if orders and shipments and orders.file is shipments.file:
        # A file of orders says nothing of what left.
        del matches["shipment_lines"]
    stock = matches.get("instock_snapshots")
    if stock and any(stock.file is other.file for other in (orders, shipments) if other):
        # Nor of what was in stock: its quantities are ordered or shipped.
        del matches["instock_snapshots"]
    if "order_lines" not in matches:
        there = describe_contents(directory)
        msg = f"{directory}: no file has the columns of order lines, such as an order, an item and a quantity; {there}"
        raise ContractViolation(msg)
    if "items" not in matches:
        # Every item is named by the order lines.
        matches["items"] = _Match(
            matches["order_lines"].file, _find_columns("items", matches["order_lines"].file.rows.columns)
        )
    matches = {name: _agree_with_orders(name, match, matches["order_lines"]) for name, match in matches.items()}
    questions: list[str] = []
    sections = [_write_section(name, TABLES[name], match, matches, questions) for name, match in matches.items()]
    head = [
        "# A first mapping, guessed from names and a sample of rows: read it, then `fillrate check` the directory.",
        *[f"# Open: {question}" for question in questions],
        "",
    ]
    return Suggestion("\n".join([*head, *sections]), tuple(questions))


def _sample(file: Path) -> _File | None:
    """Sample a file; None where it is no table."""
    if not file.is_file() or not file.name.lower().endswith(SUFFIXES):
        return None
    mapping = FileMapping()
    try:
        if file.name.lower().endswith((".csv", ".tsv", ".txt")):
            mapping = _find_format(file)
        rows = read_files([file], mapping).frame
    except FillrateError:
        return None
    return _File(file.name, mapping, rows.head(_SAMPLE_ROWS))


def _find_format(file: Path) -> FileMapping:
    """Find the separator and encoding of a text file."""
    with file.open("rb") as handle:
        start = handle.read(1 << 20)
    encoding = None
    try:
        start.decode("utf-8")
    except UnicodeDecodeError as error:
        # A letter may be cut in two at the end of the sample.
        if error.start < len(start) - 4 and not start.startswith((b"\xff\xfe", b"\xfe\xff")):
            encoding = "cp1252"
    header = start.decode(encoding or "utf-8", errors="replace").partition("\n")[0]
    found = max(_SEPARATORS, key=header.count)
    by_default = "," if file.suffix.lower() == ".csv" else "\t"
    separator = found if header.count(found) and found != by_default else None
    return FileMapping(encoding=encoding, separator=separator)


def _choose_file(table: str, files: Sequence[_File]) -> _Match | None:
    """Choose the file that has most of a table's required columns, by its own name first."""
    if table not in COLUMN_NAMES:
        return next((_Match(file, {}) for file in files if file.stem == normalize(table)), None)
    best: tuple[tuple[int, int, int], _Match] | None = None
    for file in files:
        match = _join_headers(table, file, files)
        named = file.stem in {normalize(name) for name in (table, *FILE_NAMES[table])}
        others = any(
            file.stem in {normalize(name) for name in (other, *FILE_NAMES[other])}
            for other in FILE_NAMES
            if other != table
        )
        found = set(match.columns) & {
            *TABLES[table].required,
            *(["on_hand_cases"] if table == "instock_snapshots" else []),
        }
        if not named and (others or len(found) < _NEEDED[table] or file.stem in _HEADER_STEMS):
            continue
        rank = (2 * named - others, len(found), len(match.columns))
        if best is None or rank > best[0]:
            best = (rank, match)
    return best[1] if best else None


_NEEDED: Final = {"order_lines": 3, "shipment_lines": 4, "instock_snapshots": 4, "items": 2, "dcs": 3}
"""How many of a table's columns a file must have that is called by none of its names."""

_HEADER_STEMS: Final = {normalize(name) for names in HEADER_FILES.values() for name in names}


def _join_headers(table: str, file: _File, files: Sequence[_File]) -> _Match:
    """Match a file's columns, with those of its documents' headers where there is such a file."""
    headers = file.rows.columns
    stems = {normalize(name) for name in HEADER_FILES.get(table, ())}
    for other in files:
        key = next((name for name in HEADER_KEYS if name in headers and name in other.rows.columns), "")
        if other.stem in stems and other.stem != file.stem and key:
            own = _find_columns(table, headers)
            theirs = _find_columns(table, [name for name in other.rows.columns if name not in headers])
            used = {name: column for name, column in theirs.items() if name not in own}
            if used:
                return _Match(file, {**own, **used}, other, key)
    return _Match(file, _find_columns(table, headers))


def _find_columns(table: str, headers: Sequence[str]) -> dict[str, str]:
    """Find the header of each contract column: the contract's own name, a known one, else a near miss of either."""
    contract = TABLES[table]
    by_name = {_simplify(header): header for header in reversed(headers)}
    found: dict[str, str] = {}
    candidates = {
        column.name: [normalize(column.name), *map(normalize, COLUMN_NAMES.get(table, {}).get(column.name, ()))]
        for column in contract.columns
    }
    # Exact names of all columns first: a near miss must not take what another column is called.
    ranked = sorted(
        (rank, place, name, candidate)
        for place, (name, names) in enumerate(candidates.items())
        for rank, candidate in enumerate(names)
        if candidate in by_name
    )
    for _, _, name, candidate in ranked:
        if name not in found and by_name[candidate] not in found.values():
            found[name] = by_name[candidate]
    for name, names in candidates.items():
        free = {normal: header for normal, header in by_name.items() if header not in found.values()}
        near = [hit for each in names if name not in found for hit in get_close_matches(each, free, 1, _NEAR)]
        if near and name not in found:
            found[name] = free[near[0]]
    for name in set(contract.required) - set(found):
        # What must be there may be what an optional column took.
        if shared := next((by_name[candidate] for candidate in candidates[name] if candidate in by_name), None):
            found[name] = shared
    return {column.name: found[column.name] for column in contract.columns if column.name in found}


def _simplify(header: str) -> str:
    """Simplify a header for comparison: without the path of Odoo's exports, and the child table of ERPNext's."""
    steps = header.split("/")
    if len(steps) > 1 and " " not in header:
        last = len(steps) - 1
        while last and steps[last].strip(".") in _OWN_NAMES:
            last -= 1
        header = steps[last]
    return normalize(_CHILD_TABLE.sub("", header))


_OWN_NAMES: Final = ("id", "name", "display_name")
_CHILD_TABLE: Final = re.compile(r" \(Items\)$")


def _agree_with_orders(table: str, match: _Match, orders: _Match) -> _Match:
    """Take for codes those columns whose values the orders have, where a table has several of that name."""
    columns, rows = dict(match.columns), match.rows
    for name in _SHARED.get(table, ()):
        if name not in columns or name not in orders.columns:
            continue
        wanted = {*_list_values(orders.rows, orders.columns[name])}
        names = {normalize(name), *map(normalize, COLUMN_NAMES[table].get(name, ()))}
        candidates = [columns[name], *[header for header in rows if _simplify(header) in names]]
        columns[name] = max(candidates, key=lambda header: len(wanted & {*_list_values(rows, header)}))
    return replace(match, columns=columns)


_SHARED: Final = {"shipment_lines": ("order_id", "dc"), "instock_snapshots": ("item", "dc"), "items": ("item",)}
"""Codes that a table shares with the order lines."""


def _write_section(
    name: str, contract: TableContract, match: _Match, matches: Mapping[str, _Match], questions: list[str]
) -> str:
    """Write the section of one table."""
    rows = match.rows
    columns = _drop_doubtful(dict(match.columns), rows)
    ignored = [header for ours, header in match.columns.items() if ours not in columns]
    lines = [f"[{name}]"]
    if not match.file.name.lower().startswith(f"{name}."):
        lines.append(f"file = {_quote(match.file.name)}")
    lines += _write_format(match.file.mapping)
    moments = [
        rows[columns[column.name]] for column in contract.columns if column.name in columns and column.dtype in _MOMENTS
    ]
    lines += _write_dates(name, moments, questions)
    numbers = [
        rows[columns[column.name]]
        for column in contract.columns
        if column.name in columns and column.dtype.is_decimal()
    ]
    if _has_decimal_comma(numbers):
        lines.append('decimal = ","')
    elif _has_thousands(numbers):
        lines.append('thousands = ","')
    if ignored:
        lines.append(f"ignore = {json.dumps(ignored, ensure_ascii=False)}")
        questions += [f"{name}: is {header} a status? It is not read" for header in ignored]
    if "line_no" in columns and not _are_whole_numbers(rows, columns["line_no"]):
        lines.append('line_numbers = "text"')
    constants: dict[str, str] = {}
    lines += _fill_gaps(name, contract, columns, constants, matches, questions)
    if match.join is not None:
        lines += ["", f"[{name}.join]", f"file = {_quote(match.join.name)}", *_write_format(match.join.mapping)]
        lines.append(f"on = {_quote(match.key)}")
    named = {ours: theirs for ours, theirs in columns.items() if normalize(ours) != normalize(theirs)}
    if named:
        lines += ["", f"[{name}.columns]", *[f"{ours} = {_quote(theirs)}" for ours, theirs in named.items()]]
    if constants:
        lines += ["", f"[{name}.constants]", *[f"{ours} = {_quote(value)}" for ours, value in constants.items()]]
    lines += _write_units(name, columns, rows, questions)
    if name == "order_lines" and not any("pack_size" in each.columns for each in matches.values()):
        eaches = [unit for unit in _list_units(columns, rows) if unit.upper() in EACH_UNITS or UNITS.get(unit) == "EA"]
        questions += [f"{name}: how many {unit} are a case? Say pack_size in [{name}.constants]" for unit in eaches[:1]]
    lines += _write_statuses(name, columns, rows, questions)
    return "\n".join([*lines, ""])


_MOMENTS: Final = (pl.Date, pl.Datetime("us", "UTC"))


def _write_format(mapping: FileMapping) -> list[str]:
    return [
        f"{key} = {_quote(value)}"
        for key, value in (("separator", mapping.separator), ("encoding", mapping.encoding))
        if value is not None
    ]


def _write_dates(name: str, moments: Iterable[pl.Series], questions: list[str]) -> list[str]:
    """Write the formats in which every date of the sample can be read."""
    formats: list[str] = []
    for column in moments:
        if (
            column.dtype.is_temporal()
            or (known := _write(column).str.strip_chars().replace("", None).drop_nulls()).is_empty()
        ):
            continue
        known = known.filter(~_mean_none(known))
        as_iso = _count_read(known, ())
        if as_iso == known.len():
            continue
        share = {form: _count_read(known, (form,)) for form in (*_DATE_FORMATS, EXCEL)}
        best = max(share, key=lambda form: share[form])
        if share[best] <= as_iso:
            questions.append(f"{name}: how is {column.name} written, such as {known[0]}? Say it as date_format")
            continue
        other = best.replace("%m", "%x").replace("%d", "%m").replace("%x", "%d")
        if other != best and share.get(other) == share[best]:
            questions.append(f"{name}: is {column.name}, such as {known[0]}, {best} or {other}?")
        if best not in formats:
            formats.append(best)
    if not formats:
        return []
    return [f"date_format = {_quote(formats[0]) if len(formats) == 1 else json.dumps(formats)}"]


def _mean_none(texts: pl.Series) -> pl.Series:
    """Return which texts are dates that stand for none."""
    conventions = Conventions(empty_dates=EMPTY_DATES)
    read, moments = add_moments(texts.to_frame("text").lazy(), {"text": pl.String()}, {"text": conventions})
    none = is_no_date(moments["text"], pl.col("text"), pl.String(), conventions)
    return read.select(none.alias("none")).collect().to_series()


def _count_read(texts: pl.Series, formats: tuple[str, ...]) -> int:
    conventions = Conventions(date_formats=formats, years=(1990, 2100))
    read, moments = add_moments(texts.to_frame("text").lazy(), {"text": pl.String()}, {"text": conventions})
    times = read.select(read_times(moments["text"], conventions, None)).collect()
    return texts.len() - times.to_series().null_count()


def _has_decimal_comma(numbers: Iterable[pl.Series]) -> bool:
    """Return whether numbers have a comma before their decimals; 48,000 says so only if every number is like that."""
    texts = [
        column.drop_nulls().str.strip_chars().str.strip_chars("+-") for column in numbers if column.dtype == pl.String
    ]
    texts = [text for text in texts if text.len()]
    point = any(text.str.contains(r"^[\d,]*\.\d{1,2}$|\.\d{4,}$|,\d{3}\.").any() for text in texts)
    comma = any(text.str.contains(r"^[\d.]*,\d{1,2}$|,\d{4,}$|\.\d{3},").any() for text in texts)
    return not point and (comma or any(text.str.contains(r"^\d+,\d{3}$").all() for text in texts))


def _has_thousands(numbers: Iterable[pl.Series]) -> bool:
    """Return whether numbers have commas between thousands, and a point before their decimals."""
    texts = [column.drop_nulls().str.strip_chars() for column in numbers if column.dtype == pl.String]
    return any(text.str.contains(r"^[+-]?\d{1,3}(?:,\d{3})+\.\d").any() for text in texts)


def _fill_gaps(
    name: str,
    contract: TableContract,
    columns: dict[str, str],
    constants: dict[str, str],
    matches: Mapping[str, _Match],
    questions: list[str],
) -> list[str]:
    """Fill in what a table must have and no header is called: by a constant, a key, or a question."""
    lines = []
    absent = [column for column in contract.required if column not in columns]
    if name == "instock_snapshots" and "instock" in absent and "on_hand_cases" in columns:
        lines.append("instock_above = 0")
        absent.remove("instock")
    if name == "order_lines" and "shipment_lines" not in matches and "shipped_qty" not in columns:
        said = "order_lines: which column or file says what was shipped?"
        if "ordered_qty" in columns:
            columns["shipped_qty"] = columns["ordered_qty"]
            said += " It is taken as all that was ordered"
        questions.append(said)
    for column in absent:
        if column == "line_no" and name == "order_lines":
            lines.append('line_numbers = "count"')
        elif column == "item_type":
            constants[column] = "STOCK"
        elif column == "dc":
            constants[column] = "DC01"
            questions.append(f"{name}: no column names the DC; it is taken as DC01")
        else:
            questions.append(f"{name}: which column is {column}?")
    return lines


def _write_units(
    name: str, columns: Mapping[str, str], rows: Mapping[str, pl.Series], questions: list[str]
) -> list[str]:
    unknown = [unit for unit in _list_units(columns, rows) if unit.upper() not in KNOWN_UNITS]
    named = {unit: UNITS[unit] for unit in unknown if unit in UNITS}
    questions += [f"{name}: is the unit {unit} cases (CS) or eaches (EA)?" for unit in unknown if unit not in UNITS]
    if not named:
        return []
    return ["", f"[{name}.values.uom]", *_write_pairs(named)]


def _list_units(columns: Mapping[str, str], rows: Mapping[str, pl.Series]) -> list[str]:
    return _list_values(rows, columns["uom"]) if "uom" in columns else []


def _are_whole_numbers(rows: Mapping[str, pl.Series], column: str) -> bool:
    return all(re.fullmatch(r"\d+(?:\.0*)?", value) for value in _list_values(rows, column))


def _drop_doubtful(columns: dict[str, str], rows: Mapping[str, pl.Series]) -> dict[str, str]:
    """Drop a status that says none, such as the state of an address, and take SAP's reason of rejection for one."""
    known = {*STATUSES, *KNOWN_STATUSES}
    if "status" in columns and not known & set(_list_values(rows, columns["status"])):
        del columns["status"]
    reasons = {normalize(name) for name in REJECTION_REASONS}
    if "status" not in columns and normalize(columns.get("cancel_reason", "")) in reasons:
        columns["status"] = columns["cancel_reason"]
    return columns


def _write_statuses(
    name: str, columns: Mapping[str, str], rows: Mapping[str, pl.Series], questions: list[str]
) -> list[str]:
    lines = []
    if "status" in columns and columns["status"] == columns.get("cancel_reason"):
        lines += ["", f"[{name}.values.status]", '"" = "OPEN"', f'"{ANY_VALUE}" = "CANCELLED"']
    elif "status" in columns:
        values = [value for value in _list_values(rows, columns["status"]) if value.upper() not in KNOWN_STATUSES]
        named = {value: STATUSES[value] for value in values if value in STATUSES}
        questions += [
            f"{name}: is status {value} OPEN, SHIPPED or CANCELLED?" for value in values if value not in named
        ]
        if named:
            lines += [
                "",
                f"[{name}.values.status]",
                *[f"{_quote(theirs)} = {_quote(ours)}" for theirs, ours in named.items()],
            ]
    if "line_type" in columns:
        unknown = [value for value in _list_values(rows, columns["line_type"]) if value.upper() not in LINE_TYPES]
        named = {value: LINE_TYPES_OF_SYSTEMS[value] for value in unknown if value in LINE_TYPES_OF_SYSTEMS}
        open_ = [value for value in unknown if value not in named]
        if unknown:
            lines += ["", f"[{name}.values.line_type]", *_write_pairs(named)]
        if open_:
            lines.append(f'"{ANY_VALUE}" = "NORMAL"')
            questions.append(f"{name}: which of the line types {', '.join(open_[:5])} are no normal demand?")
    return lines


def _write_pairs(values: Mapping[str, str]) -> list[str]:
    return [f"{_quote(theirs)} = {_quote(ours)}" for theirs, ours in values.items()]


def _list_values(rows: Mapping[str, pl.Series], column: str) -> list[str]:
    texts = rows[column].to_frame().select(format_codes(pl.col(column), rows[column].dtype)).to_series()
    values = texts.str.strip_chars().unique(maintain_order=True).drop_nulls()
    return [value for value in values if value]


def _quote(text: str) -> str:
    """Quote a text as a basic string of TOML, which JSON's are."""
    return json.dumps(text, ensure_ascii=False)


def _write(column: pl.Series) -> pl.Series:
    """Write a column as text; dates at the ends of their range too, at which a cast panics."""
    if not isinstance(column.dtype, pl.Date | pl.Datetime):
        return column.cast(pl.String)
    return column.to_frame().select(describe_moments(pl.col(column.name), column.dtype).alias(column.name)).to_series()
