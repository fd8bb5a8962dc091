"""What is in doubt is beside every number, whatever the input."""

from __future__ import annotations

import io
import itertools
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import openpyxl
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.fillrate.report import doubts, labels, terminal
from fillrate_assets.fillrate.report.doubts import Doubts
from fillrate_assets.fillrate.report.explain import explain
from fillrate_assets.fillrate.report.notes import format_warnings
from fillrate_assets.fillrate.report.queries import (
    calculate_contracts,
    read_evidence_from_files,
    read_facts_from_files,
)
from fillrate_assets.fillrate.report.service_report import Comparison, build_report, build_report_data
from fillrate_assets.fillrate.report.workbook import write_workbook
from fillrate_assets.fillrate.rules.pipeline import Calculation, PartitionFilter
from fillrate_assets.fillrate.rules.service_metrics import GROUPINGS
from fillrate_assets.fillrate.sources.contract_files import Contracts, read_directory
from fillrate_assets_tests.factories.directories import write_csv, write_minimal_directory

LOADED_AT: Final = datetime(2024, 5, 20, 6, tzinfo=UTC)
DAYS: Final = ("2024-05-16", "2024-05-17")
FIRST: Final = date(2024, 5, 16)


def _make_rejects(*rows: tuple[str, str, int]) -> pl.DataFrame:
    return pl.DataFrame(rows, {"table": pl.String, "reason": pl.String, "rows": pl.Int64}, orient="row")


def test_a_table_names_its_three_commonest_reasons_with_their_share() -> None:
    rejected = _make_rejects(
        ("order_lines", "no item", 5),
        ("order_lines", "line_no 'one' is not a number", 2),
        ("order_lines", "line_no 'two' is not a number", 1),
        ("order_lines", "item 4711 is not in force on the ship date", 1),
        ("order_lines", "no ordered quantity", 1),
        ("items", "no item", 2),
    )
    shown = doubts.format_doubts(Doubts(rejected, {"order_lines": 40}))
    assert shown[0] == (
        "rejected: 10 of 40 order lines (25.00 %): 50.00 % no item; 30.00 % line_no 'one' is not a number, or the like;"
        " 10.00 % item 4711 is not in force on the ship date; 1 other reason"
    )
    assert shown[1:] == ["rejected: 2 items: 100.00 % no item"]


def test_reasons_that_differ_in_a_value_alone_are_one() -> None:
    reasons = [
        ("item A is not in force on the ship date", "item B is not in force on the ship date"),
        ("unit KAR is neither cases nor eaches", "unit PAL is neither cases nor eaches"),
        ("unknown status LOST", "unknown status FOUND"),
        ("instock is J, expected Y or N", "instock is empty, expected Y or N"),
        ("ordered_qty 'ten' is not a number", "ordered_qty 'x' is not a number"),
        ("item_type A is neither STOCK nor FLOW", "item_type empty is neither STOCK nor FLOW"),
        ("no order line for this shipment; is it order A?", "no order line for this shipment; is it order B C?"),
    ]
    rejected = _make_rejects(*[("order_lines", reason, 1) for pair in reasons for reason in pair])
    (found,) = doubts.summarize_rejects(Doubts(rejected))
    assert sorted(rows for _, rows in found.reasons) == [2] * len(reasons)


def test_days_of_one_kind_of_reason_are_one_line() -> None:
    days = {
        PartitionKey("DC01", date(2024, 5, day)): f"{day} of 1,0{day} order lines were rejected" for day in (16, 17)
    }
    assert labels.format_days_by_reason(days, "doubtful") == [
        "doubtful: DC01, 2 ship dates from 2024-05-16 to 2024-05-17: 16 of 1,016 order lines were rejected, or the like"
    ]


def test_a_value_in_a_reason_has_no_end_of_its_own() -> None:
    (shown,) = doubts.format_doubts(Doubts(_make_rejects(("items", f"item_type {'x' * 5000} is neither", 1))))
    assert len(shown) < 300


def _draw_messy_rows(**fields: list[Any]) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Draw up to 16 rows, any number as often as any other: an example costs what its queries cost, not its rows."""
    row = st.fixed_dictionaries({name: st.sampled_from(values) for name, values in fields.items()})
    return st.integers(0, 16).flatmap(lambda size: st.lists(row, min_size=size, max_size=size))


_ORDERS: Final = _draw_messy_rows(
    dc=["DC01", "DC01", "DC02", ""],
    ship_date=[*DAYS, *DAYS, "soon", ""],
    order_id=["O1", "O2"],
    line_no=[1, 2, 3, "one"],
    item=["A", "A", "B", "Z", ""],
    ordered_qty=[10, 4, "ten", -3],
    uom=["CS", "CS", "KAR"],
)
_SHIPMENTS: Final = _draw_messy_rows(
    dc=["DC01", "DC02"],
    order_id=["O1", "O2", "O9"],
    line_no=[1, 2, 3, "one"],
    shipped_qty=[10, 4, "ten"],
    uom=["CS", "CS", "PAL"],
)
_SNAPSHOTS: Final = _draw_messy_rows(
    dc=["DC01", "DC02"], snapshot_date=[*DAYS], item=["A", "B"], instock=["Y", "N", "perhaps"]
)


def _read(orders: list[dict[str, Any]], shipments: list[dict[str, Any]], snapshots: list[dict[str, Any]]) -> Contracts:
    good = {"dc": "DC01", "ship_date": DAYS[0], "order_id": "O0", "line_no": 9, "item": "A", "ordered_qty": 10}
    with TemporaryDirectory() as name:
        directory = Path(name)
        write_csv(directory / "order_lines.csv", [{**good, "uom": "CS"}, *orders])
        shipped = ["dc", "order_id", "line_no", "shipped_qty", "uom"]
        write_csv(directory / "shipment_lines.csv", shipments, shipped)
        write_csv(directory / "instock_snapshots.csv", snapshots, ["dc", "snapshot_date", "item", "instock"])
        write_csv(directory / "items.csv", [{"item": item, "item_type": "STOCK", "vendor": item} for item in "AB"])
        return read_directory(directory, loaded_at=LOADED_AT)


def _assert_shown(text: str, calculation: Calculation, contracts: Contracts) -> None:
    """Assert that the text names every table that has rejects, how many, and every day that is in doubt."""
    lines = text.splitlines()
    for table, rows in calculation.rejects.group_by("table").len().iter_rows():
        (shown,) = [
            line for line in lines if f" {labels.format_table(table)} (" in line and line.startswith("rejected:")
        ]
        assert shown.startswith(f"rejected: {rows:,} of {contracts.counts[table].read:,} ")
    for what, days in (("held", calculation.held), ("doubtful", calculation.doubtful)):
        shown_days: Counter[str] = Counter()
        for line in lines:
            if line.startswith(f"{what}: "):
                dc, span = line.removeprefix(f"{what}: ").split(", ", 1)
                shown_days[dc] += int(span.split()[0]) if " ship dates from " in span else 1
        assert shown_days == Counter(dc for dc, _ in days)


@settings(max_examples=16)
@given(_ORDERS, _SHIPMENTS, _SNAPSHOTS, st.lists(st.sampled_from(GROUPINGS), unique=True, max_size=2))
def test_no_number_is_shown_without_the_doubt_that_belongs_to_it(
    orders: list[dict[str, Any]], shipments: list[dict[str, Any]], snapshots: list[dict[str, Any]], by: list[str]
) -> None:
    contracts = _read(orders, shipments, snapshots)
    calculation = calculate_contracts(contracts, PartitionFilter())
    facts, _ = read_facts_from_files(contracts, PartitionFilter())
    report = build_report(facts, by)
    _assert_shown(terminal.format_report(report), calculation, contracts)
    _assert_shown("\n".join(format_warnings(report)), calculation, contracts)


@settings(max_examples=6)
@given(_ORDERS, _SHIPMENTS, _SNAPSHOTS)
def test_no_sheet_is_without_the_doubt_that_belongs_to_its_numbers(
    orders: list[dict[str, Any]], shipments: list[dict[str, Any]], snapshots: list[dict[str, Any]]
) -> None:
    contracts = _read(orders, shipments, snapshots)
    calculation = calculate_contracts(contracts, PartitionFilter())
    facts, _ = read_facts_from_files(contracts, PartitionFilter())
    file = io.BytesIO()
    write_workbook(file, build_report_data(facts, ["vendor"]), made_at=LOADED_AT)
    book = openpyxl.load_workbook(file)
    rejected = dict(calculation.rejects.group_by("table").len().iter_rows())
    in_doubt = bool(rejected or calculation.held or calculation.doubtful)
    for sheet in book.worksheets[:5]:
        notes = [str(row[0]) for row in sheet.iter_rows(values_only=True) if str(row[0]).startswith("Doubt: ")]
        assert len(notes) == in_doubt, sheet.title
        for table, rows in rejected.items():
            assert f"{rows:,} of {contracts.counts[table].read:,} {labels.format_table(table)} (" in notes[0]
        for what, days in (("held", calculation.held), ("doubtful", calculation.doubtful)):
            assert not days or f"{labels.format_count(len(days), 'ship day')} of a DC {what}" in notes[0]
    shown = {row[:4] for row in book["Doubts"].iter_rows(values_only=True)}
    expected = [
        (dc, datetime(day.year, day.month, day.day), what, why)  # noqa: DTZ001 - Excel has no zones
        for what, days in (("held", calculation.held), ("doubtful", calculation.doubtful))
        for (dc, day), why in days.items()
    ]
    assert shown >= {*expected}


def test_doubts_are_those_of_the_days_that_are_shown() -> None:
    line = {"order_id": "O1", "item": "A", "uom": "CS"}
    days = [*itertools.product(["DC01", "DC02"], [*DAYS, ""])]
    rows = [
        {**line, "line_no": number, "ordered_qty": "ten", "dc": dc, "ship_date": day}
        for number, (dc, day) in enumerate(days)
    ]
    good = [{**row, "line_no": 100 + number, "ordered_qty": 1} for number, row in enumerate(rows) if row["ship_date"]]
    contracts = _read([*rows, *good], [], [])
    facts, _ = read_facts_from_files(contracts, PartitionFilter(["DC02"], FIRST, FIRST))
    (found,) = doubts.summarize_rejects(facts.doubts)
    # That of the day, and the one of the DC without a day.
    assert (found.rows, found.read) == (2, 3)
    assert {dc for dc, _ in facts.doubts.doubtful} == {"DC02"}


def test_an_earlier_period_has_its_own_doubts_and_rows_without_a_day_count_once() -> None:
    bad = {"dc": "DC01", "order_id": "O1", "item": "A", "ordered_qty": "ten", "uom": "CS"}
    rows = [{**bad, "line_no": number, "ship_date": day} for number, day in enumerate((*DAYS, ""))]
    contracts = _read([*rows, {**bad, "line_no": 9, "ship_date": DAYS[1], "ordered_qty": 4}], [], [])
    days = [PartitionFilter(None, date.fromisoformat(day), date.fromisoformat(day)) for day in DAYS]
    facts, earlier = read_facts_from_files(contracts, days[1], days[0])
    assert earlier is not None
    assert [each.rows for each in doubts.summarize_rejects(facts.doubts)] == [2]
    assert [each.rows for each in doubts.summarize_rejects(earlier.doubts)] == [1]
    assert [day for _, day in earlier.doubts.doubtful] == [FIRST]


def test_each_day_is_described_by_its_own_doubts() -> None:
    line = {"dc": "DC01", "order_id": "O1", "item": "A", "uom": "CS"}
    rows = [{**line, "line_no": 1, "ship_date": DAYS[1], "item": "Z", "ordered_qty": 4}]
    calculation = calculate_contracts(_read(rows, [], []), PartitionFilter())
    described = doubts.describe_days(calculation.lines.lazy(), {PartitionKey("DC01", FIRST): "no snapshot"}, {})
    second = PartitionKey("DC01", date.fromisoformat(DAYS[1]))
    assert described == {
        PartitionKey("DC01", FIRST): ["held: DC01, 2024-05-16: no snapshot"],
        second: ["rejected: 1 of 1 order lines (100.00 %): 100.00 % item Z is not in force on the ship date"],
    }


def test_an_explanation_says_what_is_in_doubt_of_its_day_and_of_the_days_behind_its_average(tmp_path: Path) -> None:
    directory = write_minimal_directory(tmp_path / "in")
    order = {"dc": "DC01", "order_id": "O1", "item": "A", "ordered_qty": 10}
    days = [date(2024, 5, day) for day in (13, 14, 15, 16)]
    lines = [{**order, "ship_date": day, "line_no": day.day} for day in days]
    bad = [{**lines[number], "line_no": 90 + number, "ordered_qty": "ten"} for number in (1, 3)]
    write_csv(directory / "order_lines.csv", [*lines, *bad])
    shipped = [{"dc": "DC01", "order_id": "O1", "line_no": day.day, "shipped_qty": 10} for day in days[:3]]
    write_csv(directory / "shipment_lines.csv", shipped)
    stock = [{"dc": "DC01", "snapshot_date": day, "item": "A", "instock": "YN"[day == days[3]]} for day in days]
    write_csv(directory / "instock_snapshots.csv", stock)
    contracts = read_directory(directory, loaded_at=LOADED_AT)
    text = explain("DC01", days[3], "A", *read_evidence_from_files(contracts, "DC01", days[3]))
    reason = "1 of 2 order lines were rejected"
    assert f"  Tue 2024-05-14       10  yes       yes; doubtful: {reason}\n" in text
    assert "  Wed 2024-05-15       10  yes       yes\n" in text
    assert text.endswith(
        "rejected: 1 of 2 order lines (50.00 %): 100.00 % ordered_qty 'ten' is not a number\n"
        f"doubtful: DC01, 2024-05-16: {reason}\n"
    )


def test_a_report_names_the_doubtful_days_behind_its_averages() -> None:
    line = {"dc": "DC01", "order_id": "O1", "item": "A", "uom": "CS"}
    rows = [{**line, "line_no": 1, "ship_date": DAYS[0], "ordered_qty": "ten"}]
    contracts = _read([*rows, {**line, "line_no": 2, "ship_date": DAYS[1], "ordered_qty": 4}], [], [])
    days = [PartitionFilter(None, date.fromisoformat(day), date.fromisoformat(day)) for day in DAYS]
    facts, _ = read_facts_from_files(contracts, days[1])
    (shown,) = [line for line in doubts.format_doubts(facts.doubts) if line.startswith("behind the averages: ")]
    assert shown.startswith("behind the averages: DC01, 2024-05-16: ")
    assert "1 of 2 order lines were rejected" in shown
    # The day itself is reported, or compared with: it says so by itself.
    both, earlier = read_facts_from_files(contracts, days[1], days[0])
    assert earlier is not None
    report = build_report(both, ["dc"], earlier=Comparison(earlier, FIRST, FIRST))
    assert report.doubts.behind == {}
    assert {day for _, day in (*report.doubts.doubtful, *report.doubts.held)} >= {FIRST}


def test_files_of_other_days_are_refused_by_name() -> None:
    contracts = _read([], [], [])
    earlier = PartitionFilter(None, date(2023, 5, 16), date(2023, 5, 16))
    with pytest.raises(PermanentFailure, match="the files hold nothing of those ship dates; there are 2024-05-16 to"):
        read_facts_from_files(contracts, PartitionFilter(None, FIRST, FIRST), earlier)
