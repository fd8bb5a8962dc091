"""Hostile directories: whatever lies in one, the end is numbers, or one line that says what is wrong."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, time
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Literal

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fillrate_assets.cli import main
from fillrate_assets.core.errors import ContractViolation, FillrateError
from fillrate_assets.fillrate.report.input_check import InputCheck, check_contracts, format_check
from fillrate_assets.fillrate.sources.contract_files import read_directory
from fillrate_assets.fillrate.sources.contract_tables import TABLES
from fillrate_assets.fillrate.sources.mapping_suggestion import suggest_mapping
from fillrate_assets.storage.file_formats import translate_reader_errors
from fillrate_assets_tests.factories import directories
from fillrate_assets_tests.fixtures.examples import take_examples

NOW = datetime(2024, 6, 1, tzinfo=UTC)

GOOD = {
    "dc": ["DC01", "DC02"],
    "ship_date": ["2024-05-16", "2024-05-17"],
    "snapshot_date": ["2024-05-16", "2024-05-17"],
    "order_id": ["O1", "O2"],
    "line_no": ["1", "2"],
    "item": ["A", "B"],
    "ordered_qty": ["10", "5"],
    "shipped_qty": ["8", "5", "-1"],
    "uom": ["CS", "EA", "PAL"],
    "status": ["OPEN", "CANCELLED"],
    "line_type": ["NORMAL", "BACKORDER", "CREDIT"],
    "instock": ["Y", "N", "?"],
    "item_type": ["STOCK", "FLOW"],
    "reason_code": ["01", "12"],
    "processed_at": ["2024-05-16T08:00:00Z", "2024-05-16T09:00:00Z"],
}
HOSTILE = [
    *["", "0", "-1", "1e400", "NaN", "-inf", "9" * 400, "0.00000000000000000001", "3-", "1,5", "4.711E+09", "²", "١٢"],
    *["2024-02-30", "0000-00-00", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "-0001-01-01", "24-05-16"],
    *["10000-01-01", "2024-05-16T25:61:61", "2024-05-16T00:00+99:99", "20240516T063000Z", "45428.5", "Mars/Olympus"],
    *[
        "\u202eabc",
        "\x1b[31m",
        "a\u200bb",
        "x" * 300,
        "A|B",
        "../..",
        "a...b",
        "*",
        "[x]",
        '"',
        "'",
        "{}",
        "a\r\nb",
        "\ufeff",
    ],
]
LINES_OF_MAPPINGS = [
    *['date_format = "%q"', 'date_format = "excel"', 'date_format = "%Y%Y"', 'date_format = ["%Y%m%d", "%H"]'],
    *[
        'encoding = "utf-7"',
        'encoding = "idna"',
        'encoding = "utf-32"',
        'encoding = "unicode_escape"',
        'separator = ";"',
    ],
    *["header = false", "skip_lines = 1", 'file = "*"', 'file = "../x"', 'file = "["', 'file = "**"', 'file = ""'],
    *[
        'join = {file = "items.csv", on = "item"}',
        'where = {dc = "DC01"}',
        "instock_above = 0",
        'line_numbers = "text"',
    ],
    *['decimal = ","', 'thousands = " "', 'time_zone = "dc"', 'time_zone = "Pacific/Kiritimati"', "years = [1, 9999]"],
    *[
        'line_numbers = "count"',
        'nulls = ["A", "1"]',
        "years = [2100, 2000]",
        'values = {uom = {"*" = "CS", "" = "EA"}}',
    ],
    *["a = " + "[" * 3_000, "constants = {ship_date = 0000-01-01}", "constants = {ordered_qty = nan}", "x = \ud7ff"],
]

_TICKS: tuple[Literal["ms", "us", "ns"], ...] = ("ms", "us", "ns")
_PHYSICAL = st.sampled_from([0, 1, -1, 19_859, 2**31 - 1, -(2**31)])
_MOMENTS = st.sampled_from(
    [0, 1_715_839_200_000_000, 2**62, -(2**63), 253_402_300_799_999_999, -62_135_596_800_000_000]
)


def _cast(dtype: pl.DataType, column: pl.Series) -> pl.Series:
    return column.cast(dtype)


def _list_columns(height: int) -> st.SearchStrategy[pl.Series]:
    """Columns of every type that Parquet has."""

    def column(
        values: st.SearchStrategy[object], dtype: pl.DataType | type[pl.DataType]
    ) -> st.SearchStrategy[pl.Series]:
        rows = st.lists(st.none() | values, min_size=height, max_size=height)
        return rows.map(lambda given: pl.Series(given, dtype=dtype))

    text = st.sampled_from(HOSTILE)
    whole = st.sampled_from([0, 1, -1, 2**63 - 1, -(2**63), 20_240_516])
    real = st.sampled_from([0.0, -0.0, 1.5, float("nan"), float("inf"), 1e300, 5e-324, 1e22])
    exact = st.sampled_from([Decimal("1.5"), Decimal("0.00000000000001"), Decimal(99999999999999999999)])
    return st.one_of(
        column(text, pl.String),
        column(text, pl.Categorical),
        column(whole, pl.Int64),
        column(st.sampled_from([0, 2**64 - 1]), pl.UInt64),
        column(st.sampled_from([0, 2**100]), pl.Int128),
        column(real, pl.Float64),
        column(exact, pl.Decimal(38, 14)),
        column(st.booleans(), pl.Boolean),
        column(st.sampled_from([b"abc", b"\xff\xfe", b"a\0b", b""]), pl.Binary),
        column(st.just(["a"]), pl.List(pl.String)),
        column(st.just({"a": 1}), pl.Struct({"a": pl.Int64})),
        column(st.just(time(6, 30)), pl.Time),
        column(st.none(), pl.Null),
        column(_PHYSICAL, pl.Int32).map(lambda days: days.cast(pl.Date)),
        column(_PHYSICAL, pl.Int64).map(lambda ticks: ticks.cast(pl.Duration("us"))),
        *[column(_MOMENTS, pl.Int64).map(partial(_cast, pl.Datetime(unit))) for unit in _TICKS],
        column(_MOMENTS, pl.Int64).map(lambda ticks: ticks.cast(pl.Datetime("us", "Asia/Tokyo"))),
    )


@st.composite
def _texts(draw: st.DrawFn, name: str, hostility: int) -> str:
    hostile = draw(st.integers(0, 99)) < hostility
    return draw(st.sampled_from(HOSTILE if hostile else GOOD.get(name, [""])))


@st.composite
def _tables(draw: st.DrawFn, folder: Path, name: str, hostility: int) -> None:
    """Write one table: CSV with hostile values or bytes, or Parquet with columns of any type."""
    columns = [column.name for column in TABLES[name].columns]
    if draw(st.booleans()):
        columns = [column for column in columns if column in TABLES[name].required or draw(st.booleans())]
    height = draw(st.integers(0, 4))
    rows = [[draw(_texts(column, hostility)) for column in columns] for _ in range(height)]
    if draw(st.booleans()):
        frame = {column: pl.Series([row[i] for row in rows], dtype=pl.String) for i, column in enumerate(columns)}
        if hostility and columns:
            frame[draw(st.sampled_from(columns))] = draw(_list_columns(height))
        pl.DataFrame(frame).write_parquet(folder / f"{name}.parquet")
        return
    text = pl.DataFrame(rows, schema=columns, orient="row").write_csv() if rows else ",".join(columns)
    content = text.encode()
    if hostility and draw(st.booleans()):
        place = draw(st.integers(0, len(content)))
        content = content[:place] + draw(st.binary(max_size=3)) + content[place:]
    (folder / f"{name}.csv").write_bytes(content)


def _check(folder: Path) -> InputCheck | None:
    """Check a directory as the command does; None where the end is one line."""
    try:
        checked = check_contracts(read_directory(folder, loaded_at=NOW))
    except FillrateError:
        return None
    assert format_check(checked)
    return checked


def _must_add_up(checked: InputCheck) -> bool:
    return all(
        each.read == each.used + each.excluded + each.rejected + each.superseded
        and min(each.used, each.excluded, each.rejected, each.superseded) >= 0
        for each in checked.tables
    )


@settings(max_examples=take_examples(15), suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), hostility=st.sampled_from([1, 10, 40]))
def test_a_hostile_directory_ends_in_numbers_or_in_one_line(
    data: st.DataObject, hostility: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("hostile")
    hostile = data.draw(st.sampled_from(sorted(TABLES)))
    for name in TABLES:
        if name in {"order_lines", "items", hostile} or data.draw(st.booleans()):
            data.draw(_tables(folder, name, hostility if name == hostile else 0))
    if data.draw(st.integers(0, 2)) == 0:
        lines = data.draw(st.lists(st.sampled_from(LINES_OF_MAPPINGS), min_size=1, max_size=2, unique=True))
        text = "\n".join([f"[{hostile}]", *lines])
        (folder / "mapping.toml").write_bytes(text.encode("utf-8", errors="surrogatepass"))
    checked = _check(folder)
    assert checked is None or _must_add_up(checked)
    (folder / "mapping.toml").unlink(missing_ok=True)
    with suppress(FillrateError):
        assert suggest_mapping(folder).text


@settings(max_examples=take_examples(15), suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_every_row_is_used_excluded_rejected_or_superseded(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("whole")
    for name in TABLES:
        if name in {"order_lines", "items", "shipment_lines"} or (name != "dcs" and data.draw(st.booleans())):
            data.draw(_tables(folder, name, 3))
    if (checked := _check(folder)) is not None:
        assert _must_add_up(checked), checked.tables


@pytest.mark.parametrize(
    "error", [pl.exceptions.PanicException("first\nsecond"), RecursionError("deep"), KeyError("x")]
)
def test_whatever_a_reader_raises_is_one_line(error: BaseException) -> None:
    with (
        pytest.raises(ContractViolation, match=r"^orders.csv: cannot be read: (first|deep|'x')$"),
        translate_reader_errors("orders.csv"),
    ):
        raise error


def test_what_is_raised_on_purpose_passes() -> None:
    with pytest.raises(KeyboardInterrupt), translate_reader_errors("orders.csv"):
        raise KeyboardInterrupt


@pytest.mark.parametrize("command", ["check", "calculate"])
def test_what_a_command_prints_of_rejects_has_no_control_character(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    folder = directories.write_minimal_directory(tmp_path / "files")
    (folder / "waivers.csv").write_text("reason_code,valid_from\n01,\u2066x\u202e\x1b[31m\n", encoding="utf-8")
    arguments = [command, str(folder)] + (["--out", str(tmp_path / "lost.csv")] if command == "calculate" else [])
    assert main.execute(arguments) == 0
    printed = "".join(capsys.readouterr())
    assert "valid_from '\\u2066x\\u202e\\x1b[31m' is not a date" in printed
    assert "\x1b" not in printed


def test_a_suggestion_reads_moments_at_the_ends_of_their_range(tmp_path: Path) -> None:
    folder = directories.write_minimal_directory(tmp_path / "files")
    orders = pl.read_csv(folder / "order_lines.csv").with_columns(
        ship_date=pl.Series([2**62]).cast(pl.Datetime("us")), requested_date=pl.Series([2**31 - 1]).cast(pl.Int32)
    )
    orders.with_columns(pl.col("requested_date").cast(pl.Date)).write_parquet(folder / "order_lines.parquet")
    (folder / "order_lines.csv").unlink()
    assert "[order_lines]" in suggest_mapping(folder).text
