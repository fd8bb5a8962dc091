"""`fillrate replenishment`: terms are loaded, orders recommended, explained, decided about and scored."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import openpyxl
import polars as pl
import pytest

from fillrate_assets.cli import main
from fillrate_assets.replenishment.recommendation_store import RecommendationStore
from fillrate_assets.replenishment.report.order_list import ORDER_LIST
from fillrate_assets.replenishment.supply_store import SupplyStore
from fillrate_assets_tests.conftest import DC, SMALL, copy_home
from fillrate_assets_tests.fixtures.home import Home

LAST = SMALL.ship_days[-1]
Execute = Callable[..., list[str]]


@pytest.fixture
def home(stock_buffers_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    directory = copy_home(stock_buffers_template, tmp_path)
    monkeypatch.setenv("FILLRATE_HOME", str(directory))
    return Home(directory)


@pytest.fixture
def execute(home: Home, capsys: pytest.CaptureFixture[str]) -> Execute:
    def run(*arguments: str, code: int = 0) -> list[str]:
        assert main.execute(["replenishment", *arguments]) == code, capsys.readouterr().err
        printed = capsys.readouterr()
        return (printed.err if code else printed.out).splitlines()

    assert home.directory.exists()
    return run


def test_files_are_loaded_and_the_rows_of_no_use_named(home: Home, execute: Execute, tmp_path: Path) -> None:
    terms = f"dc,lead_time_days,service_target\n{DC},5,0.9\nDC02,5,90\n"
    (tmp_path / "supply_terms.csv").write_text(terms, encoding="utf-8")
    assert execute("load", str(tmp_path)) == [
        "supply_terms                   1 rows",
        "rejected                       1 rows",
        "         1  supply_terms: service_target is not between 0.5 and 0.999: it is a share of 1",
    ]
    assert SupplyStore(home.store.database).read_terms()["lead_time_days"].to_list() == [5]


def test_orders_are_written_in_the_columns_of_the_contract(execute: Execute, tmp_path: Path) -> None:
    shown = execute("recommend", "--top", "3")
    assert shown[0] == f"At the beginning of {LAST}"
    assert any(line.startswith("defaults of the DC for ") for line in shown)
    for name in ("orders.csv", "orders.xlsx"):
        assert execute("recommend", "--out", str(tmp_path / name))[0].startswith(f"wrote {tmp_path / name}: ")
    orders = pl.read_csv(tmp_path / "orders.csv", infer_schema=False)
    assert orders.columns == ORDER_LIST.names
    row = orders.filter(pl.col("order_eaches").is_not_null(), pl.col("order_cases") != "0.0000").row(0, named=True)
    assert row["need_date"] == str(LAST + timedelta(days=2))
    assert Decimal(row["order_eaches"]) >= Decimal(row["order_cases"]) > 0
    sheet = openpyxl.load_workbook(tmp_path / "orders.xlsx")["orders"]
    assert [cell.value for cell in sheet[1]] == ORDER_LIST.names
    assert sheet.max_row == orders.height + 1
    of_vendor = execute("recommend", "--vendor", row["vendor"], "--date", str(LAST))
    assert row["item"] in "\n".join(of_vendor)
    assert "no recommendation of these" in execute("recommend", "--vendor", "nobody", code=2)[0]


def test_a_buyer_has_a_list_of_what_would_have_saved_most(execute: Execute, tmp_path: Path) -> None:
    lines = execute("recommend", "--buyer-list", "2")
    assert [line for line in lines if "would have saved" in line]
    execute("recommend", "--buyer-list", "2", "--by", "dc", "--out", str(tmp_path / "list.csv"))
    saved = pl.read_csv(tmp_path / "list.csv", schema_overrides={"item": pl.String})
    assert saved["saved_cases"].to_list() == sorted(saved["saved_cases"], reverse=True)
    assert 1 <= saved.height <= 2
    assert (saved["saved_cases"] <= saved["gap_cases"]).all()


def test_a_decision_is_logged_explained_and_scored(home: Home, execute: Execute) -> None:
    day = LAST - timedelta(days=7)
    of_day = ("--date", str(day), "--by", "Kim")
    orders = execute("recommend", "--date", str(day), "--top", "1")
    item = orders[3].split()[1]
    assert "recommended" in execute("accept", DC, item, *of_day)[0]
    (said,) = execute("change", DC, item, *of_day, "--cases", "1.5", "--reason", "promotion")
    assert said.startswith(f"{item} at {DC}, {day}: changed by Kim, ")
    assert said.endswith(" recommended: promotion")
    explained = execute("explain", DC, item, str(day))
    assert explained[0] == f"{item} at {DC}, at the beginning of {day}:"
    assert [line.split(" by ")[0] for line in explained[-2:]] == ["accepted", "changed"]
    scored = execute("score")
    assert any(line.startswith("1 changed: ") for line in scored)
    assert any(line.endswith("for a target of 95.0 %") for line in scored)
    with home.store.database.connect() as connection:
        logged = connection.exec_driver_sql("SELECT action, subject FROM action_log ORDER BY action_id").all()
    assert [tuple(row) for row in logged] == [
        ("accepted stock buffer", f"{DC} {item}"),
        ("changed stock buffer", f"{DC} {item}"),
    ]
    execute("refuse", DC, item, *of_day, "--reason", "discontinued")
    assert "there is no recommendation" in execute("explain", DC, "absent", code=2)[0]


def test_the_weekly_workbook_has_what_to_order_and_what_would_have_saved_most(home: Home, tmp_path: Path) -> None:
    arguments = ["report", "--from", str(LAST - timedelta(days=5)), "--to", str(LAST), "--out"]
    assert main.execute([*arguments, str(tmp_path / "week.xlsx")]) == 0
    book = openpyxl.load_workbook(tmp_path / "week.xlsx")
    assert book.sheetnames[-4:] == ["Stock buffers", "Would have saved", "Doubts", "Notes"]
    rows = [row for row in book["Stock buffers"].iter_rows(values_only=True) if row[1] is not None]
    due = RecommendationStore(home.store.database).read_due({}, 1000)
    assert rows[0][:3] == ("DC", "Item", "Description")
    assert [row[1] for row in rows[1:]] == due["item"].to_list()
    assert [Decimal(str(row[5])) for row in rows[1:4]] == due["order_cases"][:3].to_list()
    saved = [row for row in book["Would have saved"].iter_rows(values_only=True) if row[1] is not None]
    assert saved[0][-1] == "Would have saved"
    assert len(saved) > 1
