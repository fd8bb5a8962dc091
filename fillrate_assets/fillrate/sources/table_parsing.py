"""Parsing of a directory's tables: rows typed by their contract, those of no use split off with their reason.

Which rows a table needs, and what follows from them, belongs to `contract_files`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import polars as pl

from fillrate_assets.core import codes, dates
from fillrate_assets.core.conventions import Conventions
from fillrate_assets.core.errors import ContractViolation, FillrateError
from fillrate_assets.core.parsing import find_wrong_types, parse_frame
from fillrate_assets.core.partition_key import FORBIDDEN_IN_DC, MAX_DC_BYTES
from fillrate_assets.core.table_schema import TableSchema
from fillrate_assets.core.text_columns import format_text
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.sources.contract_tables import TABLES
from fillrate_assets.fillrate.sources.mapped_tables import RawTable

_CODES: Final = ("dc", "order_id", "item", "shipment_id", "customer", "vendor", "department", "reason_code")
_ROUNDED: Final = r"^\d\.\d+E\+\d+$"
"""How a spreadsheet shows a long number: which one it was is lost."""


def parse_table(table: RawTable, conventions: Conventions) -> pl.DataFrame:
    """Parse a table by its contract, row for row as in the file, with `problem`.

    Codes that no store can hold are null, with the reason in `problem`.

    Raises:
        ContractViolation: a column is missing, or its values cannot be read at all.

    """
    given = TABLES[table.name]
    derived = [column.name for column in given.parsed_schema.columns if column.derived]
    mapped = table.mapped.drop(derived, strict=False)
    if absent := [name for name in given.required if name not in mapped.columns]:
        found = ", ".join(mapped.columns)
        hint = _suggest_separator(mapped.columns)
        if not hint and len(absent) == len(given.required):
            hint = "; if the header is further down, say skip_lines; if there is none, header = false"
        msg = f"{table.name}: column {', '.join(absent)} is missing; found {found}{hint}"
        raise ContractViolation(msg)
    return refuse_codes(parse_rows(table.where, mapped, given.parsed_schema, table.name, conventions))


def parse_rows(
    where: str, mapped: pl.DataFrame, contract: TableSchema, name: str, conventions: Conventions
) -> pl.DataFrame:
    """Parse rows by a contract; whatever the engine raises becomes one line with file, column and row."""
    if wrong := find_wrong_types(mapped.schema, contract):
        msg = f"{where}: {'; '.join(wrong)}"
        raise ContractViolation(msg)

    def parse(rows: pl.DataFrame) -> pl.DataFrame:
        return parse_frame(rows.lazy(), contract, table=name, conventions=conventions).collect()

    try:
        return parse(mapped)
    except FillrateError:
        raise
    except (Exception, pl.exceptions.PanicException) as error:
        line = next(iter(str(error).splitlines()), type(error).__name__)
        msg = f"{where}: {_locate_failure(mapped, contract, parse)} cannot be read: {line}"
        raise ContractViolation(msg) from error


def refuse_codes(typed: pl.DataFrame) -> pl.DataFrame:
    """Drop codes that no path, key or store can hold, and describe each in `problem`."""
    names = [name for name in _CODES if name in typed.columns]
    refused = {name: _describe_refusal(name) for name in names}
    return typed.with_columns(
        *[pl.when(reason.is_null()).then(name).alias(name) for name, reason in refused.items()],
        pl.concat_str("problem", *refused.values(), separator="; ", ignore_nulls=True)
        .replace("", None)
        .alias("problem"),
    )


def find_unplaced(table: RawTable, typed: pl.DataFrame, key: Sequence[str]) -> pl.Series:
    """Find why a row has no place: what of its key is empty or could not be read; null where it has one."""
    problem = pl.col("problem").fill_null("")
    empty = [
        pl.when(pl.col(name).is_null() & ~problem.str.contains(rf"(?:^|; ){name} ")).then(pl.lit(f"no {name}"))
        for name in key
        if name in table.mapped.columns
    ]
    return typed.select(
        pl.when(pl.any_horizontal(pl.col(name).is_null() for name in key))
        .then(pl.concat_str("problem", *empty, separator="; ", ignore_nulls=True))
        .alias("reason")
    ).to_series()


def select_distinct(
    table: RawTable, typed: pl.DataFrame, contract: TableSchema, doubled: str
) -> tuple[pl.DataFrame, pl.DataFrame, int]:
    """Select rows without a problem, the last of each key.

    Returns:
        The rows, the rejects, and how many rows say nothing new: those that another one repeats, and all but one of
        those that a later row contradicts, for which one reject speaks.

    """
    # Rows with a problem must not outdo a good one: each is alone under its own row number.
    bad = pl.col("problem").is_not_null()
    rows = typed.with_row_index("row").with_columns(pl.when(bad).then("row").alias("alone"))
    key = [*contract.key, "alone"]
    content = [name for name in contract.names if name not in contract.key]
    judged = rows.with_columns(
        pl.struct(key).is_last_distinct().alias("last"),
        pl.struct(*key, *content).is_last_distinct().alias("says_more"),
        pl.struct(content).n_unique().over(key).alias("versions"),
    ).with_columns((~pl.col("last") & pl.col("says_more")).alias("contradicted"))
    first = judged.filter("contradicted").unique(key, keep="first")["row"]
    more = pl.col("versions") - 2
    reason = judged.select(
        pl.when(bad)
        .then("problem")
        .when(pl.col("row").is_in(first.implode()))
        .then(
            pl.when(more > 0).then(format_text("{}; so have {} more", pl.lit(doubled), more)).otherwise(pl.lit(doubled))
        )
        .alias("reason")
    ).to_series()
    silent = judged["last"].not_() & reason.is_null() & typed["problem"].is_null()
    good, rejects = split_rejects(table, typed, reason, pl.col(contract.key[0]))
    return good.filter(~silent.filter(reason.is_null())).drop("problem"), rejects, int(silent.sum())


def split_rejects(
    table: RawTable, typed: pl.DataFrame, reason: pl.Series, key: pl.Expr
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split rows without a reason from those with one, which become `REJECTS` with the row as it came."""
    wrong = reason.is_not_null()
    bad = typed.filter(wrong)
    came = _make_encodable(table.original.filter(wrong)).select(pl.struct(pl.all()).struct.json_encode().alias("raw"))
    rejects = bad.select(
        pl.lit(table.name).alias("table"),
        _name_dcs(table, wrong, bad),
        "ship_date" if "ship_date" in bad.columns else pl.lit(None).alias("ship_date"),
        key.alias("key"),
        reason.filter(wrong).alias("reason"),
        came["raw"],
    )
    return typed.filter(~wrong), schema.REJECTS.conform(rejects.lazy()).collect()


def _name_dcs(table: RawTable, wrong: pl.Series, bad: pl.DataFrame) -> pl.Series:
    """Name the DC of each reject, a refused one as it can be stored: its rows cast no doubt on other DCs."""
    if "dc" not in bad.columns or "dc" not in table.mapped.columns:
        return bad["dc"] if "dc" in bad.columns else pl.Series("dc", [None] * bad.height, pl.String)
    column = table.mapped.filter(wrong)["dc"]
    written = codes.format_codes(pl.col("dc"), column.dtype).str.strip_chars().str.replace_all(r"[\x00-\x1f\x7f]", "?")
    refused = column.to_frame().select(written.str.head(codes.MAX_LENGTH).replace("", None)).to_series()
    return bad["dc"].zip_with(bad["dc"].is_not_null(), refused)


def make_ragged_rejects(table: RawTable) -> pl.DataFrame:
    """Make the rejects of rows that fit no header."""
    return pl.DataFrame(
        [(table.name, None, None, key, reason, raw) for key, reason, raw in table.ragged],
        schema=schema.REJECTS.polars,
        orient="row",
    )


def make_no_rejects() -> pl.DataFrame:
    """Make a frame of no rejects."""
    return schema.REJECTS.make_empty().collect()


def _describe_refusal(name: str) -> pl.Expr:
    code = pl.col(name)
    rounded = pl.when(code.str.contains(_ROUNDED)).then(
        format_text("{} '{}' is a number that a spreadsheet has rounded", pl.lit(name), code)
    )
    reasons = [codes.describe_refusal(code, name), rounded]
    if name == "dc":
        # Encoded, a byte of a letter beyond ASCII, or of a character that a path may not have, takes three.
        encoded = code.str.len_bytes() + 2 * code.str.replace_all("[a-zA-Z0-9._ -]", "").str.len_bytes()
        impossible = code.str.contains(FORBIDDEN_IN_DC) | (encoded > MAX_DC_BYTES)
        has = "it has |, ..., .. as a folder or a control character, or is too long"
        reasons.append(pl.when(impossible).then(format_text(f"dc '{{}}' cannot be a DC: {has}", code)))
    return pl.coalesce(reasons)


def _suggest_separator(headers: Sequence[str]) -> str:
    """Suggest the separator of a file that was read as one column."""
    if len(headers) != 1:
        return ""
    found = [separator for separator in ";\t|," if separator in headers[0]]
    return f'; name its separator in the mapping: separator = "{found[0]}"'.replace("\t", "\\t") if found else ""


def _locate_failure(mapped: pl.DataFrame, contract: TableSchema, parse: Callable[[pl.DataFrame], pl.DataFrame]) -> str:
    """Locate the column and row at which parsing fails, by halves; parsing them together had failed."""

    def fails(rows: pl.DataFrame) -> bool:
        try:
            parse(rows)
        except (Exception, pl.exceptions.PanicException):  # noqa: BLE001 - which it is was named already
            return True
        return False

    wrong = next((name for name in mapped.columns if name in contract.names and fails(mapped.select(name))), None)
    if wrong is None:
        return "a row"
    rows, start = mapped.select(wrong), 0
    while rows.height > 1:
        half = rows.height // 2
        first = rows.head(half)
        if fails(first):
            rows = first
        else:
            rows, start = rows.tail(rows.height - half), start + half
    return f"column {wrong}, row {start + 1}"


def _make_encodable(rows: pl.DataFrame) -> pl.DataFrame:
    """Make rows of any type ones that JSON can hold."""

    def encode(name: str, dtype: pl.DataType) -> pl.Expr:
        column = pl.col(name)
        if dtype == pl.Binary:
            return column.bin.encode("hex")
        if isinstance(dtype, pl.Date | pl.Datetime):
            return dates.describe_moments(column, dtype)
        if isinstance(dtype, pl.Duration | pl.Time):
            return column.to_physical()
        return column.cast(pl.String) if isinstance(dtype, pl.Categorical | pl.Enum) else column

    readable = {name: dtype for name, dtype in rows.schema.items() if dtype != pl.Object}
    return rows.select(encode(name, dtype).alias(name) for name, dtype in readable.items())
