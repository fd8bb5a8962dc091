from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.fillrate.report.explain import Evidence, explain
from fillrate_assets.fillrate.report.queries import read_evidence_from_files
from fillrate_assets.fillrate.sources.contract_files import read_directory
from fillrate_assets_tests.factories import directories

DAY = directories.GOLDEN_DAY
LOADED_AT = datetime(2024, 5, 17, 6, tzinfo=UTC)

Known = tuple[Evidence, pl.LazyFrame]


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Known:
    directory = directories.write_golden_directory(tmp_path_factory.mktemp("golden"))
    return read_evidence_from_files(read_directory(directory, loaded_at=LOADED_AT), "DC01", DAY)


def _explain(known: Known, item: str, day: date = DAY, dc: str = "DC01") -> str:
    return explain(dc, day, item, *known)


_WEEK = "a day were ordered on the 6 in-stock ship days of the last 7"
_MONTH = "a day were ordered on the latest 5 in-stock ship days within 28"


@pytest.mark.parametrize(
    ("item", "answer"),
    [
        ("1", "100 ordered, 92 shipped, in stock; lost 8."),
        ("2", f"20 ordered, 0 shipped, out of stock; 38 {_WEEK}; lost 38 = 20 confirmed + 18 estimated."),
        ("4", "55 ordered, 15 shipped, out of stock; lost 40."),
        ("6", f"0 ordered, 0 shipped, out of stock; 24 {_MONTH}; lost 24 = 0 confirmed + 24 estimated."),
        ("7", "12 ordered, 0 shipped, out of stock; lost 12."),
        ("8", "120 ordered, 96 shipped, a flow item; lost 24."),
        ("10", f"30 ordered, 0 shipped, no instock record; 38 {_WEEK}; lost 38 = 30 confirmed + 8 estimated."),
        ("14", "2.5 ordered, 1.5 shipped, in stock; lost 1."),
        ("FILL", "1 ordered, 1 shipped, in stock; nothing lost."),
    ],
)
def test_the_first_sentence_is_the_answer(item: str, answer: str, golden: Known) -> None:
    assert _explain(golden, item).splitlines()[0] == f"DC01, 2024-05-16, item {item}: {answer}"


@pytest.mark.parametrize(
    ("item", "text"),
    [
        ("1", "Contract    contract-committed (FSA): nothing lost on it, the shortfall is not caused by supply"),
        ("2", "Contract    contract-committed (FSA): 38 lost on it"),
        ("2", "Cases       confirmed 20 = 20 ordered - 0 shipped; estimated 18; lost 38"),
        ("2", "Counts      method 1: 38 a day on the 6 in-stock ship days of the last 7 - 20 ordered = 18"),
        ("2", "Reason      01 out of stock; it follows from the path"),
        ("3", "Fill rate   none: nothing was ordered"),
        ("4", "Beside it   method 2: 15 shipped, so its orders were in: nothing is added"),
        ("5", "  Sat 2024-05-11        5  no        no: out of stock, its orders say too little"),
        ("5", "  Sun 2024-05-12        0  -         no: the DC was closed"),
        ("6", "  Wed 2024-05-01        0  -         no: nothing ordered and no instock record"),
        ("7", "Baseline: none, 2 in-stock ship days in 28, and 3 are needed: nothing is estimated."),
        ("8", "Path        FLOW: received and re-sorted, never put away: its instock record is ignored"),
        ("10", "Path        MISSING: no instock record of the day, and nothing shipped: taken as out of stock"),
        ("11", "Over        4 shipped beyond what their lines ordered: not credited"),
        ("12", "superseded: a later version of the line exists"),
        ("12", "excluded: cancelled by the customer"),
        ("12", "rejected: negative quantity"),
    ],
)
def test_the_explanation_says(item: str, text: str, golden: Known) -> None:
    assert text in _explain(golden, item)


@pytest.mark.parametrize("item", ["2", "3", "4", "5", "6", "7", "10", "13"])
def test_the_days_that_are_said_to_count_are_those_of_the_baseline(item: str, golden: Known) -> None:
    record = golden[0].records.filter(pl.col("item") == item).collect().row(0, named=True)
    days = re.findall(r"^  \w{3} (\S+) +(\S+)  \S+ +(yes|no)", _explain(golden, item), re.MULTILINE)
    counted = [Decimal(ordered) for _, ordered, counts in days if counts == "yes"]
    assert len(counted) == record["baseline_n"]
    if record["baseline_cases"] is not None:
        assert sum(counted) / len(counted) == record["baseline_cases"]


def test_a_reason_that_the_shipping_records_give_is_shown_as_theirs(tmp_path: Path) -> None:
    directory = directories.write_minimal_directory(tmp_path / "in")
    shipment = {"dc": "DC01", "order_id": "O1", "line_no": 1, "shipped_qty": 8, "reason_code": "11"}
    directories.write_csv(directory / "shipment_lines.csv", [shipment])
    text = _explain(_read_evidence(directory), "A")
    assert text.startswith("DC01, 2024-05-16, item A (Tomato soup, 12 x 400 g): ")
    assert "Reason      11 loading error; the shipping records say so" in text
    assert "O1/1  -              10        8     0  counted, 11 loading error" in text


def test_a_waived_contract_shows_the_reason_and_since_when(tmp_path: Path) -> None:
    directory = directories.write_golden_directory(tmp_path / "in")
    directories.write_csv(directory / "waivers.csv", [{"reason_code": "12", "valid_from": "2024-01-01"}])
    line = "Contract    contract-committed (FSA): waived, reason 12 is uncontrollable from 2024-01-01"
    assert line in _explain(_read_evidence(directory), "8")


def test_substitutes_are_shown_with_the_rate_they_make(tmp_path: Path) -> None:
    directory = directories.write_minimal_directory(tmp_path / "in")
    order = {"dc": "DC01", "ship_date": DAY, "order_id": "O1", "ordered_qty": 10}
    substitute = {"line_no": 2, "item": "B", "line_type": "SUBSTITUTE", "substitute_for_line": 1}
    directories.write_csv(
        directory / "order_lines.csv", [{**order, "line_no": 1, "item": "A"}, {**order, **substitute}]
    )
    shipped = [{"dc": "DC01", "order_id": "O1", "line_no": n, "shipped_qty": qty} for n, qty in [(1, 8), (2, 1)]]
    directories.write_csv(directory / "shipment_lines.csv", shipped)
    directories.write_csv(directory / "items.csv", [{"item": item, "item_type": "STOCK"} for item in "AB"])
    assert "Substitutes 1 shipped in its place: 90.00 % with them" in _explain(_read_evidence(directory), "A")


def test_restatements_are_shown_with_their_cause(golden: Known) -> None:
    evidence, known = golden
    restated = pl.LazyFrame(
        {
            "dc": ["DC01"],
            "ship_date": [DAY],
            "item": ["13"],
            "field": ["baseline_cases"],
            "before": ["38.0000"],
            "after": ["42.0000"],
            "cause": ["an earlier day was corrected: the baseline moved"],
            "run_id": ["r1"],
            "restated_at": [datetime(2024, 5, 17, 6, 30, tzinfo=UTC)],
        }
    )
    text = _explain((replace(evidence, restatements=restated), known), "13")
    assert "Restated: 1 value" in text
    assert "  2024-05-17 06:30  baseline_cases      38     42  an earlier day was corrected: the baseline moved" in text


def test_a_held_day_is_shown_as_held(tmp_path: Path) -> None:
    directory = directories.write_minimal_directory(tmp_path / "in")
    (directory / "instock_snapshots.csv").unlink()
    line = "10 ordered, 8 shipped; the day is held, so nothing is judged: no instock snapshot for the day."
    assert line in _explain(_read_evidence(directory), "A")


def test_an_item_in_stock_without_an_order_lost_nothing(tmp_path: Path) -> None:
    directory = directories.write_minimal_directory(tmp_path / "in")
    with (directory / "instock_snapshots.csv").open("a") as handle:
        handle.write("DC01,2024-05-16,B,Y\n")
    directories.write_csv(directory / "items.csv", [{"item": item, "item_type": "STOCK"} for item in "AB"])
    assert "it was not ordered and not out of stock, so nothing was lost." in _explain(_read_evidence(directory), "B")


def test_a_line_that_does_not_count_is_shown_where_there_is_no_item_day(tmp_path: Path) -> None:
    directory = directories.write_minimal_directory(tmp_path / "in")
    directories.write_csv(directory / "items.csv", [{"item": "B", "item_type": "STOCK"}])
    text = _explain(_read_evidence(directory), "A")
    assert "rejected: item A is not in force on the ship date" in text


@pytest.mark.parametrize(
    ("dc", "day", "item", "message"),
    [
        ("DC02", DAY, "1", "there is no DC DC02; there are DC01"),
        ("DC01", date(2024, 5, 12), "1", "the nearest days are 2024-05-10, 2024-05-11, 2024-05-13"),
        ("DC01", DAY, "99", "DC01 knows no item 99, on 2024-05-16 or any other day from 2024-04-08 to 2024-05-16"),
        ("DC01", DAY - timedelta(days=6), "7", "its nearest days are 2024-05-14, 2024-05-15, 2024-05-16"),
    ],
)
def test_what_is_not_there_is_named_with_what_is(dc: str, day: date, item: str, message: str, golden: Known) -> None:
    with pytest.raises(PermanentFailure, match=message):
        _explain(golden, item, day, dc)


def test_no_line_ends_in_blanks(golden: Known) -> None:
    lines = _explain(golden, "12").splitlines()
    assert lines == [line.rstrip() for line in lines]


def _read_evidence(directory: Path) -> Known:
    return read_evidence_from_files(read_directory(directory, loaded_at=LOADED_AT), "DC01", DAY)
