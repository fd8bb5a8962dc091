"""Dates, times, numbers and codes as real exports write them: each gives the right value, or is named."""
# ruff: noqa: DTZ001 - a time without a zone is the case at hand

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from fillrate_assets.core.errors import ContractViolation
from fillrate_assets.fillrate.rules.pipeline import Calculation, calculate
from fillrate_assets.fillrate.rules.service_metrics import compute_service
from fillrate_assets.fillrate.sources.contract_files import Contracts, read_directory
from fillrate_assets.fillrate.sources.targets import read_targets
from fillrate_assets_tests.factories import directories

NOW = datetime(2024, 6, 1, tzinfo=UTC)
LINE: Mapping[str, object] = {
    "dc": "DC01",
    "ship_date": "2024-05-16",
    "order_id": "O1",
    "line_no": "1",
    "item": "A",
    "ordered_qty": "10",
    "shipped_qty": "10",
}


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Contracts]:
    """Read one or more order lines, each a change of a plain one, with a mapping and a time zone of the DC."""

    def read_lines(*lines: Mapping[str, object], mapping: str = "", time_zone: str = "") -> Contracts:
        directories.write_csv(tmp_path / "order_lines.csv", [{**LINE, **line} for line in lines or ({},)])
        return _read_rest(tmp_path, mapping, time_zone)

    return read_lines


def _read_rest(folder: Path, mapping: str = "", time_zone: str = "") -> Contracts:
    directories.write_csv(folder / "items.csv", [{"item": "A", "item_type": "STOCK", "pack_size": 12}])
    snapshot = {"dc": "DC01", "snapshot_date": "2024-05-16", "item": "A", "instock": "Y"}
    directories.write_csv(folder / "instock_snapshots.csv", [snapshot])
    if mapping:
        (folder / "mapping.toml").write_text(mapping, encoding="utf-8")
    if time_zone:
        directories.write_csv(folder / "dcs.csv", [{"dc": "DC01", "time_zone": time_zone}])
    return read_directory(folder, loaded_at=NOW)


def _read_parquet(folder: Path, **columns: pl.Series) -> Contracts:
    height = max((column.len() for column in columns.values()), default=1)
    plain = {name: pl.Series([value] * height) for name, value in LINE.items()}
    pl.DataFrame({**plain, **columns}).write_parquet(folder / "order_lines.parquet")
    return _read_rest(folder)


def _compute_rate(calculation: Calculation, name: str) -> Decimal | None:
    found = compute_service(calculation.lines.lazy(), []).collect()[name].item()
    assert found is None or isinstance(found, Decimal)
    return found


# Dates


@pytest.mark.parametrize("day", ["24-05-16", "0024-05-16", "1999-12-31", "2101-01-01", "16.05.24"])
def test_a_year_outside_of_business_is_a_reject_and_no_ship_day(day: str, read: Callable[..., Contracts]) -> None:
    contracts = read({"ship_date": day}, {"line_no": "2"})
    assert contracts.order_lines["ship_date"].to_list() == [date(2024, 5, 16)]
    (reason,) = contracts.rejects["reason"]
    assert reason.startswith(f"ship_date '{day}' is not a date (YYYY-MM-DD)")


def test_the_years_of_business_may_be_others(read: Callable[..., Contracts]) -> None:
    contracts = read({"ship_date": "1999-12-31"}, mapping="[order_lines]\nyears = [1990, 2030]\n")
    assert contracts.order_lines["ship_date"].to_list() == [date(1999, 12, 31)]


def test_the_first_day_of_an_item_may_be_of_any_year(read: Callable[..., Contracts], tmp_path: Path) -> None:
    read()
    row = {"item": "A", "item_type": "STOCK", "valid_from": "1987-03-01", "valid_to": "9999-12-31"}
    directories.write_csv(tmp_path / "items.csv", [row])
    items = read_directory(tmp_path, loaded_at=NOW).items
    assert items.select("valid_from", "valid_to").row(0) == (date(1987, 3, 1), None)


@pytest.mark.parametrize(
    "sentinel",
    [
        *["1900-01-01", "1900-01-01 00:00:00", "1753-01-01", "9999-12-31", "9999-12-31 23:59:59", "0001-01-01"],
        *["0000-00-00", "0000-00-00 00:00:00", "00000000", "0", "19000101", "99991231", "99999999", "1899-12-30"],
    ],
)
def test_a_date_that_means_none_is_unknown_and_never_on_time(sentinel: str, read: Callable[..., Contracts]) -> None:
    line = {"requested_date": "2024-05-16"}
    contracts = read({**line, "delivered_at": sentinel}, {**line, "order_id": "O2", "delivered_at": "2024-05-16 10:00"})
    assert contracts.shipment_lines["delivered_at"].to_list() == [None, datetime(2024, 5, 16, 10, tzinfo=UTC)]
    assert contracts.shipment_lines["problem"].to_list() == [None, None]
    assert calculate(contracts.inputs).lines.sort("order_id")["on_time"].to_list() == [None, True]


def test_a_ship_date_that_means_none_is_a_reject(read: Callable[..., Contracts]) -> None:
    assert read({"ship_date": "1900-01-01"}).rejects["reason"].to_list() == ["no ship_date"]


def test_which_dates_stand_for_none_may_be_said(read: Callable[..., Contracts]) -> None:
    contracts = read({"delivered_at": "2024-01-01"}, mapping="[order_lines]\nempty_dates = [2024-01-01]\n")
    assert contracts.shipment_lines["delivered_at"].to_list() == [None]


@pytest.mark.parametrize(
    ("written", "time_zone", "day"),
    [
        ("2024-05-17T00:00:00+02:00", "", date(2024, 5, 17)),  # of a DC whose zone is not known: as written
        ("2024-05-17T00:00:00+02:00", "Europe/Berlin", date(2024, 5, 17)),
        ("2024-05-15T22:00:00.000Z", "Europe/Berlin", date(2024, 5, 16)),
        ("2024-05-15T22:00:00.000Z", "UTC", date(2024, 5, 15)),
        ("2024-05-16T23:30:00-0500", "America/New_York", date(2024, 5, 17)),
        ("2024-05-16T23:30:00-05", "America/Chicago", date(2024, 5, 16)),
        ("2024-05-16 00:00:00", "America/New_York", date(2024, 5, 16)),
        ("2024-05-16t23:30z", "Asia/Tokyo", date(2024, 5, 17)),
        ("20240516T233000Z", "Asia/Tokyo", date(2024, 5, 17)),
    ],
)
def test_a_zoned_ship_date_is_the_business_date_of_the_dc(
    written: str, time_zone: str, day: date, read: Callable[..., Contracts]
) -> None:
    assert read({"ship_date": written}, time_zone=time_zone).order_lines["ship_date"].to_list() == [day]


@pytest.mark.parametrize("time_zone", ["America/New_York", "UTC", "Asia/Tokyo", "Pacific/Kiritimati"])
@pytest.mark.parametrize(("day", "on_time"), [("2024-05-16", True), ("2024-05-17", False)])
@pytest.mark.parametrize("column", ["delivered_at", "shipped_at"])
def test_a_date_without_a_time_is_a_day_of_the_dc(
    column: str, day: str, on_time: object, time_zone: str, read: Callable[..., Contracts]
) -> None:
    contracts = read({"requested_date": "2024-05-16", column: day}, time_zone=time_zone)
    assert calculate(contracts.inputs).lines["on_time"].to_list() == [on_time]


@pytest.mark.parametrize(("day", "on_time"), [("2024-05-16", True), ("2024-05-17", False)])
@pytest.mark.parametrize("form", ["{} 00:00:00", "{}T00:00", "{} 00:00:00.000"])
def test_a_column_of_midnights_is_one_of_days(
    form: str, day: str, on_time: object, read: Callable[..., Contracts]
) -> None:
    line = {"delivered_at": form.format(day)}
    other = {"order_id": "O2", "delivered_at": "1900-01-01 00:00:00"}
    days = calculate(read(line, other, time_zone="America/New_York").inputs)
    assert days.lines.sort("order_id")["on_time"].to_list() == [on_time, None]
    times = read(line, {**other, "delivered_at": "2024-05-16 08:30"}, time_zone="America/New_York")
    assert times.shipment_lines["delivered_at"][0] == datetime.fromisoformat(f"{day}T00:00+00:00")


def test_a_column_of_midnights_in_another_form_is_one_of_days(read: Callable[..., Contracts]) -> None:
    line = {"ship_date": "16.05.2024 00:00", "shipped_at": "17.05.2024 00:00"}
    mapping = '[order_lines]\ndate_format = "%d.%m.%Y %H:%M"\n'
    calculation = calculate(read(line, mapping=mapping, time_zone="America/Chicago").inputs)
    assert calculation.lines["on_time"].to_list() == [False]


def test_a_date_in_another_form_is_a_day_of_the_dc_as_well(read: Callable[..., Contracts]) -> None:
    line = {"ship_date": "16.05.2024", "shipped_at": "17.05.2024"}
    mapping = '[order_lines]\ndate_format = "%d.%m.%Y"\n'
    calculation = calculate(read(line, mapping=mapping, time_zone="America/Chicago").inputs)
    assert [_compute_rate(calculation, name) for name in ("on_time_rate", "otif_rate")] == [Decimal(0), Decimal(0)]


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("2024-05-16T08:30:00+02:00", datetime(2024, 5, 16, 6, 30)),
        ("2024-05-16T08:30:00+0200", datetime(2024, 5, 16, 6, 30)),
        ("2024-05-16T08:30+02", datetime(2024, 5, 16, 6, 30)),
        ("2024-05-16 08:30:00 +05:45", datetime(2024, 5, 16, 2, 45)),
        ("2024-05-16t06:30:00z", datetime(2024, 5, 16, 6, 30)),
        ("2024-05-16T06:30:00,5Z", datetime(2024, 5, 16, 6, 30, 0, 500_000)),
        ("2024-05-16T06:30:00 UTC", datetime(2024, 5, 16, 6, 30)),
        ("2024-05-16T06Z", datetime(2024, 5, 16, 6)),
        ("20240516T063000Z", datetime(2024, 5, 16, 6, 30)),
        ("2024-05-16 06:30", datetime(2024, 5, 16, 6, 30)),
    ],
)
def test_times_are_read_as_iso_8601_has_them(written: str, moment: datetime, read: Callable[..., Contracts]) -> None:
    contracts = read({"processed_at": written})
    assert contracts.order_lines["processed_at"].to_list() == [moment.replace(tzinfo=UTC)]


@pytest.mark.parametrize(
    "written", ["2024-05-16T06:30+99:99", "2024-05-16T25:00", "2024-13-01", "2024-05-16Z06", "now"]
)
def test_what_is_no_time_is_named(written: str, read: Callable[..., Contracts]) -> None:
    (reason,) = read({"processed_at": written}).rejects["reason"]
    assert reason == f"processed_at '{written}' is not a time (YYYY-MM-DD HH:MM:SS, UTC)"


@pytest.mark.parametrize(
    ("zone", "written", "moment"),
    [
        ("Europe/Berlin", "2024-05-16 08:30", datetime(2024, 5, 16, 6, 30)),
        ("Europe/Berlin", "2024-01-16 08:30", datetime(2024, 1, 16, 7, 30)),
        ("Europe/Berlin", "2024-10-27 02:30", datetime(2024, 10, 27, 0, 30)),  # twice: the first
        ("Europe/Berlin", "2024-03-31 02:30", datetime(2024, 3, 31, 1, 30)),  # never: by the clock before it
        ("dc", "2024-05-16 08:30", datetime(2024, 5, 16, 12, 30)),
        ("Europe/Berlin", "2024-05-16 08:30:00Z", datetime(2024, 5, 16, 8, 30)),
    ],
)
def test_times_without_an_offset_are_in_the_zone_that_the_mapping_names(
    zone: str, written: str, moment: datetime, read: Callable[..., Contracts]
) -> None:
    mapping = f'[order_lines]\ntime_zone = "{zone}"\n'
    contracts = read({"processed_at": written}, mapping=mapping, time_zone="America/New_York")
    assert contracts.order_lines["processed_at"].to_list() == [moment.replace(tzinfo=UTC)]


@pytest.mark.parametrize("form", ["%q", "%", "soon", "%z %Y-%m-%d", "%E"])
def test_a_date_format_that_the_engine_lacks_is_named(form: str, read: Callable[..., Contracts]) -> None:
    with pytest.raises(ContractViolation, match=r"mapping.toml: order_lines.date_format: '.*' is no date format"):
        read(mapping=f'[order_lines]\ndate_format = "{form}"\n')


def test_a_date_format_may_end_with_an_offset(read: Callable[..., Contracts]) -> None:
    contracts = read(
        {"processed_at": "16.05.2024 08:30 +0200"}, mapping='[order_lines]\ndate_format = "%d.%m.%Y %H:%M %z"\n'
    )
    assert contracts.order_lines["processed_at"].to_list() == [datetime(2024, 5, 16, 6, 30, tzinfo=UTC)]


# Types of Parquet


@pytest.mark.parametrize(
    "column",
    [
        pytest.param(pl.Series(["2024-05-16"], dtype=pl.Categorical), id="category"),
        pytest.param(pl.Series(["2024-05-16"], dtype=pl.Enum(["2024-05-16"])), id="enum"),
        pytest.param(pl.Series([b"2024-05-16"]), id="binary text"),
        pytest.param(pl.Series([date(2024, 5, 16)]), id="date"),
        pytest.param(pl.Series([datetime(2024, 5, 16, 9)], dtype=pl.Datetime("ms")), id="milliseconds"),
        pytest.param(pl.Series([datetime(2024, 5, 16, 9)], dtype=pl.Datetime("ns")), id="nanoseconds"),
        pytest.param(pl.Series([datetime(2024, 5, 16, 9, tzinfo=UTC)]), id="zoned"),
    ],
)
def test_a_date_is_read_of_every_type_that_holds_one(column: pl.Series, tmp_path: Path) -> None:
    assert _read_parquet(tmp_path, ship_date=column).order_lines["ship_date"].to_list() == [date(2024, 5, 16)]


@pytest.mark.parametrize("number", [20240516, 20240516.0, 45428])
def test_a_number_is_no_date_until_the_mapping_says_so(number: float, tmp_path: Path) -> None:
    contracts = _read_parquet(tmp_path, ship_date=pl.Series([number]))
    assert contracts.rejects["reason"].to_list() == [f"ship_date '{number}' is not a date (YYYY-MM-DD)"]
    form = "excel" if number < 100_000 else "%Y%m%d"
    again = _read_rest(tmp_path, f'[order_lines]\ndate_format = "{form}"\n')
    assert again.order_lines["ship_date"].to_list() == [date(2024, 5, 16)]


@pytest.mark.parametrize("written", ["45428", "45428.0", "45428.354166666664"])
def test_excel_serials_are_read_in_text_as_well(written: str, read: Callable[..., Contracts]) -> None:
    contracts = read({"ship_date": written}, mapping='[order_lines]\ndate_format = "excel"\n')
    assert contracts.order_lines["ship_date"].to_list() == [date(2024, 5, 16)]


@pytest.mark.parametrize(
    ("name", "column", "said"),
    [
        ("ordered_qty", pl.Series([[1]]), "(Int64), not a number"),
        ("ordered_qty", pl.Series([{"a": 1}]), "not a number"),
        ("ordered_qty", pl.Series([date(2024, 5, 16)]), ", not a number"),
        ("ordered_qty", pl.Series([True]), ", not a number"),
        ("ship_date", pl.Series([1]).cast(pl.Duration("us")), "not a date (YYYY-MM-DD)"),
        ("ship_date", pl.Series([1]).cast(pl.Time), ", not a date (YYYY-MM-DD)"),
        ("item", pl.Series([b"\xff\xfe"]), ", not a code"),
        ("item", pl.Series([[1]]), "(Int64), not a code"),
    ],
)
def test_a_column_of_another_type_is_named_with_its_file(
    name: str, column: pl.Series, said: str, tmp_path: Path
) -> None:
    with pytest.raises(
        ContractViolation, match=rf"order_lines.parquet: column {name} has the type .*{re.escape(said)}$"
    ):
        _read_parquet(tmp_path, **{name: column})


@pytest.mark.parametrize(
    "column",
    [
        pl.Series([2**31 - 1], dtype=pl.Int32).cast(pl.Date),
        pl.Series([-(2**31)], dtype=pl.Int32).cast(pl.Date),
        *[pl.Series([2**62]).cast(pl.Datetime(unit)) for unit in ("ms", "us")],
        pl.Series([-(2**63)]).cast(pl.Datetime("us", "UTC")),
    ],
)
def test_a_date_at_the_end_of_its_range_is_a_reject(column: pl.Series, tmp_path: Path) -> None:
    (reason,) = _read_parquet(tmp_path, ship_date=column).rejects["reason"]
    assert reason.startswith("ship_date '")
    assert "is not a date (YYYY-MM-DD)" in reason


def test_columns_that_no_contract_knows_may_be_of_any_type(tmp_path: Path) -> None:
    contracts = _read_parquet(
        tmp_path,
        ship_date=pl.Series(["2024-05-16", "soon"]),
        photo=pl.Series([b"\xff", None]),
        tags=pl.Series([["a"], []]),
        lead=pl.Series([1, 2]).cast(pl.Duration("us")),
        far=pl.Series([2**31 - 1, 0], dtype=pl.Int32).cast(pl.Date),
    )
    assert (contracts.order_lines.height, contracts.rejects.height) == (1, 1)
    assert '"photo":null' in contracts.rejects["raw"].item()


# Codes


@pytest.mark.parametrize(
    ("column", "code"),
    [
        (pl.Series([10482.0]), "10482"),
        (pl.Series([10482.5]), "10482.5"),
        (pl.Series([Decimal("10482.0000000000")], dtype=pl.Decimal(38, 10)), "10482"),
        (pl.Series([Decimal(10482)], dtype=pl.Decimal(38, 0)), "10482"),
        (pl.Series([Decimal("100.00")], dtype=pl.Decimal(18, 2)), "100"),
        (pl.Series([10482], dtype=pl.UInt64), "10482"),
        (pl.Series(["  10482 "]), "10482"),
        (pl.Series(["10482.0"]), "10482"),
        (pl.Series(["V1.0"]), "V1.0"),
    ],
)
def test_a_code_that_became_a_number_is_whole_again(column: pl.Series, code: str, tmp_path: Path) -> None:
    assert _read_parquet(tmp_path, item=column).order_lines["item"].to_list() == [code]


def test_one_code_that_ends_with_a_zero_among_others_stays(read: Callable[..., Contracts]) -> None:
    contracts = read({"item": "1.0"}, {"item": "1.2", "line_no": "2"})
    assert contracts.order_lines["item"].to_list() == ["1.0", "1.2"]


def test_a_float_that_lost_digits_is_named(tmp_path: Path) -> None:
    contracts = _read_parquet(tmp_path, order_id=pl.Series([1e22]))
    assert contracts.rejects["reason"].to_list() == ["order_id '1e+22' is not a code: a float as large has lost digits"]


def test_a_number_that_a_spreadsheet_rounded_is_named(read: Callable[..., Contracts]) -> None:
    contracts = read({"order_id": "4.711E+09"})
    assert contracts.rejects["reason"].to_list() == ["order_id '4.711E+09' is a number that a spreadsheet has rounded"]


# Numbers


@pytest.mark.parametrize(
    ("written", "mapping", "value"),
    [
        ("1.200", 'decimal = ","', "1200"),
        ("1.200,5", 'decimal = ","', "1200.5"),
        ("0,5", 'decimal = ","', "0.5"),
        ("1200", 'decimal = ","', "1200"),
        ("1 200,50", 'decimal = ","\nthousands = " "', "1200.5"),
        ("1\u00a0200,50", 'decimal = ","\nthousands = " "', "1200.5"),
        ("1,234,567.5", 'thousands = ","', "1234567.5"),
        ("1'200", 'thousands = "\'"', "1200"),
        ("3-", "", "-3"),
        ("\u22123", "", "-3"),
        ("3\u2212", "", "-3"),
        ("1.200,5-", 'decimal = ","', "-1200.5"),
        ("12.5 %", "percent = true", "0.125"),
        ("+7", "", "7"),
        ("0.00004999999999995", "", "0"),
        ("0.00005", "", "0.0001"),
        ("2.00004999999999995", "", "2"),
        ("-0.00005", "", "-0.0001"),
    ],
)
def test_numbers_are_read_as_the_mapping_says(
    written: str, mapping: str, value: str, read: Callable[..., Contracts]
) -> None:
    row = read({"ordered_qty": written}, mapping=f"[order_lines]\n{mapping}\n").order_lines.row(0, named=True)
    assert (row["ordered_qty"], row["problem"]) == (Decimal(value), None)


@pytest.mark.parametrize(
    ("written", "mapping"),
    [
        ("1,200", ""),
        ("1.2", 'decimal = ","'),
        ("1.20,5", 'decimal = ","'),
        ("1,2,3", 'decimal = ","'),
        ("12,34", 'thousands = ","'),
        ("5%", ""),
        ("-3-", ""),
        ("3-", "trailing_minus = false"),
        ("(3)", ""),
    ],
)
def test_a_number_in_doubt_is_named(written: str, mapping: str, read: Callable[..., Contracts]) -> None:
    contracts = read({"ordered_qty": written}, mapping=f"[order_lines]\n{mapping}\n")
    assert contracts.order_lines["problem"].to_list() == [f"ordered_qty '{written}' is not a number"]


def test_points_that_may_separate_thousands_are_noted(read: Callable[..., Contracts]) -> None:
    (note,) = read({"ordered_qty": "1.200", "shipped_qty": "900"}).notes
    assert "ordered_qty such as 1.200 is read with a decimal point; if it separates thousands" in note
    assert not read({"ordered_qty": "1.200"}, {"ordered_qty": "0.5", "line_no": "2"}).notes


def test_a_decimal_of_parquet_is_rounded_once(tmp_path: Path) -> None:
    column = pl.Series([Decimal("0.00004999999999995")], dtype=pl.Decimal(38, 20))
    assert _read_parquet(tmp_path, ordered_qty=column).order_lines["ordered_qty"].to_list() == [Decimal(0)]


def test_a_return_with_its_minus_behind_is_rejected_by_rule(read: Callable[..., Contracts]) -> None:
    lines = [{"order_id": f"O{number}"} for number in range(9)]
    calculation = calculate(read(*lines, {"order_id": "R1", "ordered_qty": "3-", "shipped_qty": "0"}).inputs)
    assert calculation.rejects["reason"].to_list() == [
        "negative quantity: a return or credit, never netted against demand"
    ]
    assert not calculation.doubtful


@pytest.mark.parametrize(
    ("written", "share"),
    [
        ("49.865", "0.4987"),
        ("0.49865", "0.4987"),
        ("49.865%", "0.4987"),
        ("1%", "0.01"),
        ("0.5%", "0.005"),
        ("0.5", "0.5"),
        ("1", "1"),
        ("95", "0.95"),
        ("100", "1"),
    ],
)
def test_a_target_is_a_share_however_it_is_written(written: str, share: str, tmp_path: Path) -> None:
    (tmp_path / "targets.csv").write_text(f"case_fill_rate\n{written}\n")
    assert read_targets(tmp_path / "targets.csv")["case_fill_rate"].to_list() == [Decimal(share)]


def test_targets_that_are_both_shares_and_percents_are_named(tmp_path: Path) -> None:
    (tmp_path / "targets.csv").write_text("dc,case_fill_rate\nDC01,0.95\nDC02,95\n")
    with pytest.raises(ContractViolation, match="case_fill_rate is both below 1 and above: write percents with their"):
        read_targets(tmp_path / "targets.csv")


@pytest.mark.parametrize("written", ["-1", "101", "100.5%", "-0.5"])
def test_a_target_that_is_no_rate_is_named(written: str, tmp_path: Path) -> None:
    file = tmp_path / "targets.csv"
    file.write_text(f"dc,case_fill_rate\nDC01,{written}\n")
    with pytest.raises(ContractViolation, match=f"case_fill_rate {written} is no rate: it is 0 to 100 %"):
        read_targets(file)


def test_a_quantity_that_its_pack_size_makes_too_large_is_a_reject(read: Callable[..., Contracts]) -> None:
    large = {"uom": "EA", "pack_size": "0.0001", "ordered_qty": "10000000", "shipped_qty": "1"}
    calculation = calculate(read({}, *[{**large, "line_no": str(number)} for number in range(2, 40)]).inputs)
    assert set(calculation.rejects.filter(table="order_lines")["reason"]) == {"quantity above 10,000,000"}
    assert calculation.lines.filter(disposition="COUNTED")["ordered_cases"].to_list() == [Decimal(10)]


def test_the_largest_quantities_add_up_exactly(read: Callable[..., Contracts]) -> None:
    lines = [
        {"line_no": str(number), "ordered_qty": "10000000", "shipped_qty": "9999999"} for number in range(1, 20_001)
    ]
    calculation = calculate(read(*lines).inputs)
    assert calculation.lines["ordered_cases"].sum() == 20_000 * Decimal(10_000_000)
    assert (_compute_rate(calculation, "case_fill_rate"), calculation.rejects.height) == (Decimal(1), 0)
