"""The contest's files and its costs, on made-up series."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from fillrate_assets.sample.weekly_contest import StartingStock, compute_costs, read_sales, read_starting_stock

SALES = "Store,Product,2024-04-01,2024-04-08\n0,126,3.0,0.0\n1,126,2.0,5.0\n"
LATER = "Store,Product,2024-04-01,2024-04-08,2024-04-15\n0,126,3.0,0.0,1.0\n1,126,2.0,5.0,4.0\n"
FLAGS = "Store,Product,2024-04-01,2024-04-08\n0,126,True,False\n1,126,True,True\n"
STATE = "Store,Product,Sales,End Inventory,In Transit W+1,In Transit W+2\n0,126,9,3,0,2\n1,126,0,1,4,0\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {"2024-04-08 - Sales": SALES, "In Stock": FLAGS, "2024-04-08 - Initial State": STATE, "Master": ""}
    for name, text in files.items():
        (tmp_path / f"Week 0 - {name}.csv").write_text(text)
    return tmp_path


def test_sales_are_read_with_what_was_in_stock(folder: Path) -> None:
    sales = read_sales(folder)
    assert (sales.series, sales.weeks) == (("0-126", "1-126"), (date(2024, 4, 1), date(2024, 4, 8)))
    assert sales.sold.tolist() == [[3, 0], [2, 5]]
    assert sales.in_stock.tolist() == [[True, False], [True, True]]


def test_the_latest_sales_are_read_and_a_week_without_a_flag_is_in_stock(folder: Path) -> None:
    (folder / "Week 1 - 2024-04-15 - Sales.csv").write_text(LATER)
    sales = read_sales(folder)
    assert sales.sold[:, 2].tolist() == [1, 4]
    assert sales.in_stock[:, 2].all()


def test_the_stock_before_the_first_order_is_read(folder: Path) -> None:
    start = read_starting_stock(folder)
    assert (start.on_hand.tolist(), [each.tolist() for each in start.in_transit]) == ([3, 1], [[0, 4], [2, 0]])


def test_files_of_other_series_are_refused(folder: Path) -> None:
    (folder / "Week 0 - In Stock.csv").write_text(FLAGS.replace("1,126", "1,127"))
    with pytest.raises(ValueError, match="have not the same series"):
        read_sales(folder)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no file named like 'Week 0 - \.\.\. Sales\.csv'"):
        read_sales(tmp_path)


def test_an_order_arrives_two_weeks_later_and_what_is_left_or_missing_costs() -> None:
    start = StartingStock(np.array([2.0]), (np.array([1.0]), np.array([0.0])))
    demand = np.array([[2.0, 3.0, 4.0, 0.0, 0.0, 0.0, 0.0, 0.0]])
    # Before week 1 there are 3 on hand and on order: 3.5 lack, so 4 are ordered, for week 3. 1 is left after week 1,
    # and 2 of week 2 are missed. 1.5, 0.5 and 2 lack before the weeks 2, 3 and 4: 2, 1 and 2 come in the weeks 4 to 6,
    # after which nothing lacks and nothing is wanted.
    up_to = np.array([[6.5, 6.5, 6.5, 5.0, 5.0, 5.0]])
    left = [1, 0, 0, 2, 3, 5, 5, 5]
    assert compute_costs(demand, start, up_to).tolist() == pytest.approx([0.2 * sum(left) + 2])
