from __future__ import annotations

import os
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Final

import polars as pl
import pytest

from examples import atliq, onlineretail
from fillrate_assets.fillrate.report.fact_queries import FactQueries
from fillrate_assets.fillrate.report.fact_tables import FrameFacts
from fillrate_assets.fillrate.report.service_report import compute_report, compute_total
from fillrate_assets.fillrate.rules.pipeline import Calculation, calculate
from fillrate_assets.fillrate.sources.contract_files import read_directory
from fillrate_assets.fillrate.sources.targets import read_targets
from fillrate_assets_tests.factories.directories import write_csv

DATA: Final = Path(os.environ.get("FILLRATE_TEST_DATA", "absent"))
"""A folder with `atliq` and `onlineretail`, whose data may not be redistributed."""

LOADED_AT: Final = datetime(2026, 1, 1, tzinfo=UTC)


def _calculate(directory: Path) -> Calculation:
    return calculate(read_directory(directory, loaded_at=LOADED_AT).inputs)


def _compute_service(calculation: Calculation) -> dict[str, object]:
    return compute_total(_query(calculation)).row(0, named=True)


def _query(calculation: Calculation) -> FactQueries:
    return FactQueries(FrameFacts(calculation.lines.lazy(), calculation.records.lazy()), {})


def _count_short_by_at_most_a_twentieth(lines: pl.DataFrame) -> int:
    ordered, shipped = pl.col("ordered_cases"), pl.col("shipped_cases")
    return lines.filter(disposition="COUNTED").filter(shipped < ordered, (ordered - shipped) * 20 <= ordered).height


def _write_atliq(source: Path) -> Path:
    source.mkdir()
    customers = [("1", "Rel Fresh", "Surat"), ("2", "Coolblue", "Vadodara")]
    write_csv(
        source / "dim_customers.csv",
        [dict(zip(("customer_id", "customer_name", "city"), row, strict=True)) for row in customers],
    )
    write_csv(source / "dim_products.csv", [{"product_name": "Milk", "product_id": "P1", "category": "Dairy"}])
    target = {"ontime_target%": 90, "infull_target%": 80, "otif_target%": 75}
    write_csv(source / "dim_targets_orders.csv", [{"customer_id": "1", **target}, {"customer_id": "2", **target}])
    lines = [
        # order, customer, ordered, delivered, agreed, actual
        ("A", "1", 100, 100, "2022-03-02", "2022-03-02"),
        ("A", "1", 100, 95, "2022-03-02", "2022-03-02"),
        ("B", "1", 10, 10, "2022-03-02", "2022-03-01"),
        ("C", "2", 20, 20, "2022-03-02", "2022-03-04"),
        ("D", "2", 20, 18, "2022-03-03", "2022-03-03"),
    ]
    names = ("order_id", "customer_id", "order_qty", "delivery_qty", "agreed_delivery_date", "actual_delivery_date")
    rows = [{**dict(zip(names, line, strict=True)), "product_id": "P1"} for line in lines]
    write_csv(source / "fact_order_lines.csv", rows)
    return source


def test_atliq_shaped_files_give_service_per_order_and_not_per_line(tmp_path: Path) -> None:
    assert atliq.convert(_write_atliq(tmp_path / "source"), tmp_path / "in") == 5
    calculation = _calculate(tmp_path / "in")
    assert calculation.rejects.is_empty()
    got = _compute_service(calculation)
    assert (got["lines"], got["orders"]) == (5, 4)
    assert (got["case_fill_rate"], got["line_fill_rate"]) == (Decimal("0.9720"), Decimal("0.6"))
    assert (got["order_fill_rate"], got["on_time_rate"], got["otif_rate"]) == tuple(
        map(Decimal, ("0.5", "0.75", "0.25"))
    )
    assert _count_short_by_at_most_a_twentieth(calculation.lines) == 1


def test_atliq_targets_are_by_customer(tmp_path: Path) -> None:
    atliq.convert(_write_atliq(tmp_path / "source"), tmp_path / "in")
    calculation, targets = _calculate(tmp_path / "in"), read_targets(tmp_path / "in" / "targets.csv")
    rows = compute_report(_query(calculation), ["customer"], targets.lazy())
    assert rows.select("customer", "otif_rate_target", "otif_rate_gap").rows() == [
        ("1 Rel Fresh", Decimal("0.75"), Decimal(-25)),
        ("2 Coolblue", Decimal("0.75"), Decimal(-75)),
    ]


@pytest.mark.skipif(not (DATA / "atliq").is_dir(), reason="FILLRATE_TEST_DATA names no folder with AtliQ's data")
def test_atliq_gives_its_published_service_figures(tmp_path: Path) -> None:
    assert atliq.convert(DATA / "atliq", tmp_path) == 57_096
    calculation = _calculate(tmp_path)
    assert calculation.rejects.is_empty()
    got = _compute_service(calculation)
    assert (got["lines"], got["orders"]) == (57_096, 31_729)
    published = {
        "line_fill_rate": "0.6596",
        "case_fill_rate": "0.9659",
        "on_time_rate": "0.5903",
        "order_fill_rate": "0.5278",
        "otif_rate": "0.2902",
    }
    assert {name: got[name] for name in published} == {name: Decimal(rate) for name, rate in published.items()}
    # 3,729 with a careless test on floats.
    assert _count_short_by_at_most_a_twentieth(calculation.lines) == 4_149


def _write_retail(file: Path, rows: list[tuple[str, str, float]]) -> Path:
    content = {
        "InvoiceNo": [invoice for invoice, _, _ in rows],
        "StockCode": [item for _, item, _ in rows],
        "Description": [f"{item} in words" for _, item, _ in rows],
        "Quantity": [quantity for _, _, quantity in rows],
        "InvoiceDate": [datetime(2010, 12, 1, 8, 26)] * len(rows),  # noqa: DTZ001 - the data have no zone
        "CustomerID": [17850.0] * len(rows),
        "Country": ["France"] * len(rows),
    }
    pl.DataFrame(content).write_parquet(file)
    return file


def test_retail_shaped_invoices_count_once_and_credits_never(tmp_path: Path) -> None:
    rows = [("1", "A", 6.0), ("1", "A", 6.0), ("1", "A", 7.0), ("C2", "A", -6.0), ("3", "B", -1.0)]
    assert onlineretail.convert(_write_retail(tmp_path / "retail.parquet", rows), tmp_path / "in") == 5
    lines = _calculate(tmp_path / "in").lines.filter(source_table="order_lines")
    fates = lines.group_by("disposition").len().sort("disposition")
    assert fates.rows() == [("COUNTED", 2), ("REJECTED", 2), ("SUPERSEDED", 1)]


@pytest.mark.skipif(
    not (DATA / "onlineretail").is_dir(), reason="FILLRATE_TEST_DATA names no folder with Online Retail's data"
)
def test_retail_loses_no_line(tmp_path: Path) -> None:
    lines = onlineretail.convert(DATA / "onlineretail" / "onlineretail.parquet", tmp_path)
    judged = _calculate(tmp_path).lines.filter(source_table="order_lines")
    fates = dict(judged.group_by("disposition").len().iter_rows())
    assert sum(fates.values()) == lines == 541_909
    # Its 5,268 exact duplicates; its 10,624 negative quantities but for the 37 that are duplicates themselves.
    assert fates == {"COUNTED": 526_054, "SUPERSEDED": 5_268, "REJECTED": 10_587}
