"""Lines and shipments as real exports have them: what is reported, and what is said of it (decision 0150)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from fillrate_assets import settings
from fillrate_assets.cli import main
from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.fillrate.report.input_check import TableCheck, check_contracts
from fillrate_assets.fillrate.rules.pipeline import Calculation, calculate
from fillrate_assets.fillrate.sources.contract_files import read_directory
from fillrate_assets.sample import fillrate_loader
from fillrate_assets.sample.fillrate_loader import EmbeddedSystems

NOW = datetime(2024, 6, 1, tzinfo=UTC)
DAY = date(2024, 5, 16)
ITEMS = "item,item_type,vendor,pack_size\nA,STOCK,Acme,12\nB,STOCK,Borealis,12\n"
SNAPSHOTS = "dc,snapshot_date,item,instock\nDC01,2024-05-16,A,Y\nDC01,2024-05-16,B,Y\n"
ORDER = "dc,ship_date,order_id,line_no,item,ordered_qty\n"
SHIPPED = "dc,ship_date,order_id,line_no,item,ordered_qty,shipped_qty\n"

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a directory of files, with items and snapshots unless they are given."""

    def write(name: str = "files", **tables: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for table, text in {"items": ITEMS, "instock_snapshots": SNAPSHOTS, **tables}.items():
            (folder / f"{table}.csv").write_text(text, encoding="utf-8")
        return folder

    return write


def _calculate(folder: Path) -> Calculation:
    return calculate(read_directory(folder, loaded_at=NOW).inputs)


def _sum_days(calculation: Calculation) -> list[tuple[int, float, float]]:
    """Sum ordered and shipped cases by day of the month."""
    days = calculation.item_days.group_by("ship_date").agg(pl.col("ordered_cases", "shipped_cases").sum())
    return [
        (day.day, float(ordered), float(shipped)) for day, ordered, shipped in days.sort("ship_date").rows() if ordered
    ]


def test_a_line_that_left_in_two_trucks_shipped_both_parts(write: Write) -> None:
    shipments = (
        "dc,order_id,line_no,shipped_qty,shipped_at\nDC01,O1,1,6,2024-05-16 08:00\nDC01,O1,1,4,2024-05-16 15:00\n"
    )
    found = _calculate(write(order_lines=f"{ORDER}DC01,2024-05-16,O1,1,A,10\n", shipment_lines=shipments))
    assert _sum_days(found) == [(16, 10, 10)]
    assert found.lines["on_time"].to_list() == [True]
    assert not found.doubtful


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param("DC01,2024-05-16,O1,1,A,6,6\nDC01,2024-05-18,O1,1,A,4,0\n", id="on two dates"),
        pytest.param("DC01,2024-05-16,O1,1,A,10,10\nDC01,2024-05-16,O1,1,A,6,2\n", id="on one date"),
    ],
)
def test_rows_of_one_key_without_a_version_are_named_and_their_day_is_in_doubt(write: Write, rows: str) -> None:
    found = _calculate(write(order_lines=SHIPPED + rows))
    assert found.rejects.filter(table="order_lines")["key"].to_list() == ["O1/1", "O1/1"]
    assert all("contradict another of their line (O1/1)" in reason for reason in found.doubtful.values())
    assert PartitionKey("DC01", DAY) in found.doubtful


def test_a_schedule_line_tells_such_rows_apart(write: Write) -> None:
    header = SHIPPED.replace("line_no", "line_no,schedule_line")
    rows = "DC01,2024-05-16,O1,1,1,A,6,6\nDC01,2024-05-18,O1,1,2,A,4,0\n"
    snapshots = f"{SNAPSHOTS}DC01,2024-05-18,A,Y\n"
    found = _calculate(write(order_lines=header + rows, instock_snapshots=snapshots))
    assert _sum_days(found) == [(16, 6, 6), (18, 4, 0)]
    assert not found.doubtful


def test_a_line_of_nothing_is_no_line(write: Write) -> None:
    header = SHIPPED.replace("shipped_qty", "shipped_qty,shipped_at")
    found = _calculate(
        write(order_lines=f"{header}DC01,2024-05-16,O1,1,A,10,10,2024-05-16 08:00\nDC01,2024-05-16,O1,2,B,0,0,\n")
    )
    assert found.lines.sort("line_no").select("disposition", "on_time").rows() == [
        ("COUNTED", True),
        ("EXCLUDED", None),
    ]


def test_a_line_of_which_nothing_shipped_is_late_whatever_its_time_says(write: Write) -> None:
    header = SHIPPED.replace("shipped_qty", "shipped_qty,shipped_at")
    found = _calculate(write(order_lines=f"{header}DC01,2024-05-16,O1,1,A,10,0,2024-05-16 08:00\n"))
    assert found.lines["on_time"].to_list() == [False]


@pytest.mark.parametrize(
    ("orders", "shipments", "reason", "doubt"),
    [
        pytest.param(
            "DC01,2024-05-16,0000004711,10,A,10\n",
            "dc,order_id,line_no,shipped_qty\nDC01,4711,10,10\n",
            "no order line for this shipment; is it order 0000004711?",
            "1 of 1 shipment lines were rejected, and name no day",
            id="leading zeros",
        ),
        pytest.param(
            "DC01,2024-05-16,O1,1,A,10\n",
            "dc,order_id,line_no,shipped_qty,uom\nDC01,O1,1,10,KAR\n",
            "unit KAR is neither cases nor eaches",
            "1 of 1 shipment lines were rejected",
            id="unknown unit",
        ),
    ],
)
def test_a_rejected_shipment_is_never_nothing_shipped_in_silence(
    write: Write, orders: str, shipments: str, reason: str, doubt: str
) -> None:
    found = _calculate(write(order_lines=ORDER + orders, shipment_lines=shipments))
    assert found.rejects["reason"].to_list() == [reason]
    assert found.doubtful == {("DC01", DAY): doubt}


def test_lines_without_a_day_put_every_day_of_their_dc_in_doubt(write: Write) -> None:
    rows = "DC01,2024-05-16,O1,1,A,10,10\nDC01,,O2,1,A,10,0\nDC01,,O3,1,A,10,0\nDC02,2024-05-16,O4,1,A,10,10\n"
    found = _calculate(write(order_lines=SHIPPED + rows))
    assert found.doubtful == {("DC01", DAY): "2 of 3 order lines were rejected, and name no day"}


def test_a_closed_day_charges_nothing_whatever_its_snapshot_says(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    days = [DAY + timedelta(days=back) for back in range(-8, 3)]
    opened = [day for day in days if day.weekday() < 5]
    orders = SHIPPED + "".join(f"DC01,{day},O{day:%d},1,A,10,10\n" for day in opened if day <= DAY)
    snapshots = "dc,snapshot_date,item,instock\n" + "".join(
        f"DC01,{day},A,{'Y' if day <= DAY else 'N'}\n" for day in days
    )
    folder = write(order_lines=orders, instock_snapshots=snapshots)
    found = _calculate(folder)
    assert found.records["ship_date"].max() == DAY
    assert main.execute(["explain", "DC01", "2024-05-18", "A", "--input", str(folder)]) == 0
    assert "the DC was closed" in capsys.readouterr().out
    calendar = write(
        "called_open",
        order_lines=orders,
        instock_snapshots=snapshots,
        dc_calendar="dc,ship_date,open\nDC01,2024-05-17,Y\n",
    )
    (record,) = _calculate(calendar).records.filter(pl.col("ship_date") > DAY).to_dicts()
    assert (record["ship_date"].day, record["path"], record["estimated_cases"]) == (17, "STOCK_OUT", 10)


def test_a_line_that_moved_and_moved_back_is_where_it_was_last_put(write: Write, tmp_path: Path) -> None:
    home = settings.load(home=tmp_path / "home")
    days = ("2024-05-16", "2024-05-20", "2024-05-16")
    new = []
    for number, day in enumerate(days):
        at = NOW + timedelta(days=number)
        folder = write(f"load{number}", order_lines=f"{SHIPPED}DC01,{day},O1,1,A,10,10\n")
        counts = fillrate_loader.load(home, read_directory(folder, loaded_at=at), loaded_at=at).rows
        new.append((counts["order_lines"], counts["shipment_lines"]))
    assert new == [(1, 1), (1, 1), (1, 1)]
    systems = EmbeddedSystems.from_settings(home).create()
    for read in (systems.order_system.read_order_lines, systems.shipping_records.read_shipment_lines):
        rows = read("DC01", DAY, DAY + timedelta(days=9)).filter(pl.col("moved_at").is_null())
        assert rows["ship_date"].unique().to_list() == [DAY]


def test_a_corrected_load_lifts_what_an_earlier_one_rejected_without_a_day(write: Write, tmp_path: Path) -> None:
    home = settings.load(home=tmp_path / "home")
    good = f"{SHIPPED}DC01,2024-05-16,O1,1,A,10,10\n"
    other_dc = f"{SHIPPED}DC02,2024-05-16,O1,1,A,10,10\n"
    loads = [
        ({"order_lines": f"{good}DC01,,O2,1,A,10,0\n,,O3,1,A,10,0\n", "items": f"{ITEMS},STOCK,Acme,12\n"}, [1, 1, 1]),
        ({"order_lines": other_dc}, [1]),
        ({"order_lines": good}, []),
    ]
    for number, (tables, left) in enumerate(loads):
        folder = write(f"load{number}", **tables)
        fillrate_loader.load(home, read_directory(folder, loaded_at=NOW), loaded_at=NOW)
        rejected = EmbeddedSystems.from_settings(home).create().record_store.count_loader_rejects()
        assert rejected["rows"].to_list() == left, rejected


def test_what_a_load_rejected_is_lifted_by_a_corrected_one(write: Write, tmp_path: Path) -> None:
    home = settings.load(home=tmp_path / "home")
    good = f"{SHIPPED}DC01,2024-05-16,O1,1,A,10,10\n"
    for name, rows, doubt in (("first", f"{good}DC01,,O2,1,A,10,0\n", [1]), ("second", good, [])):
        fillrate_loader.load(home, read_directory(write(name, order_lines=rows), loaded_at=NOW), loaded_at=NOW)
        assert (
            EmbeddedSystems.from_settings(home)
            .create()
            .record_store.read_loader_rejects([PartitionKey("DC01", DAY)])["unplaced"]
            .to_list()
            == doubt
        )


def test_a_shipment_of_an_order_of_an_earlier_load_finds_its_day(write: Write, tmp_path: Path) -> None:
    home = settings.load(home=tmp_path / "home")
    order_system = EmbeddedSystems.from_settings(home).create().order_system
    shipments = "dc,order_id,line_no,shipped_qty\n"
    loads = [
        (f"{ORDER}DC01,2024-05-16,O1,1,A,10\n", shipments),
        (f"{ORDER}DC01,2024-05-17,O2,1,A,5\n", f"{shipments}DC01,O1,1,10\nDC01,O2,1,5\nDC01,O9,1,5\n"),
    ]
    for number, (orders, shipped) in enumerate(loads):
        folder = write(f"load{number}", order_lines=orders, shipment_lines=shipped)
        contracts = read_directory(folder, loaded_at=NOW, find_orders=order_system.read_orders)
        fillrate_loader.load(home, contracts, loaded_at=NOW)
    assert contracts.shipment_lines.select("order_id", "ship_date").rows() == [("O1", DAY), ("O2", date(2024, 5, 17))]
    assert contracts.rejects["key"].to_list() == ["O9/1"]


def test_later_shipments_of_a_day_do_not_lift_the_doubt_of_its_order_lines(write: Write, tmp_path: Path) -> None:
    home = settings.load(home=tmp_path / "home")
    bad = f"{ORDER}DC01,2024-05-16,O1,1,A,10\nDC01,2024-05-16,,1,A,10\n"
    late = "dc,ship_date,order_id,line_no,shipped_qty\nDC01,2024-05-16,O1,1,10\n"
    empty = "dc,ship_date,order_id,line_no,shipped_qty\n"
    loads = [
        ("first", bad, empty, [("order_lines", 1)]),
        ("shipments", f"{ORDER}DC01,2024-05-17,O2,1,A,10\n", late, [("order_lines", 1)]),
        ("corrected", f"{ORDER}DC01,2024-05-16,O1,1,A,10\nDC01,2024-05-16,O3,1,A,10\n", empty, []),
    ]
    for name, orders, shipments, doubt in loads:
        folder = write(name, order_lines=orders, shipment_lines=shipments)
        fillrate_loader.load(home, read_directory(folder, loaded_at=NOW), loaded_at=NOW)
        store = EmbeddedSystems.from_settings(home).create().record_store
        found = store.read_loader_rejects([PartitionKey("DC01", DAY)]).select("table", "rejected").rows()
        assert found == doubt, name


def test_a_delivery_whose_time_cannot_be_read_is_not_on_time_because_it_left_on_time(write: Write) -> None:
    shipments = (
        "dc,order_id,line_no,shipped_qty,shipped_at,delivered_at\nDC01,O1,1,10,2024-05-16 08:00,later\n"
        "DC01,O2,1,10,soon,2024-05-16 09:00\n"
    )
    orders = f"{ORDER}DC01,2024-05-16,O1,1,A,10\nDC01,2024-05-16,O2,1,A,10\n"
    lines = _calculate(write(order_lines=orders, shipment_lines=shipments)).lines
    judged = lines.filter(source_table="order_lines").sort("order_id")
    assert judged["on_time"].to_list() == [None, True]
    assert judged["shipped_cases"].to_list() == [10, 10]


@pytest.mark.parametrize("quantity", ["7", "12x"])
def test_shipments_of_rows_that_contradict_each_other_are_counted_once(write: Write, quantity: str) -> None:
    orders = f"{ORDER}DC01,2024-05-16,O1,1,A,10\nDC01,2024-05-16,O1,1,A,{quantity}\n"
    shipments = "dc,order_id,line_no,shipped_qty\nDC01,O1,1,10\n"
    folder = write(order_lines=orders, shipment_lines=shipments)
    checked = {each.table: each for each in check_contracts(read_directory(folder, loaded_at=NOW)).tables}
    assert checked["shipment_lines"] == TableCheck("shipment_lines", 1, 1, 0, 0, 0)
    assert checked["order_lines"] == TableCheck("order_lines", 2, 0, 0, 2, 0)


def test_of_equally_late_shipments_the_greater_reason_code_counts_in_any_order(write: Write) -> None:
    rows = ["DC01,O1,1,3,S1,07", "DC01,O1,1,4,S2,12", "DC01,O1,1,1,S3,01"]
    for number, order in enumerate((rows, rows[::-1])):
        text = "\n".join(["dc,order_id,line_no,shipped_qty,shipment_id,reason_code", *order, ""])
        orders = f"{ORDER}DC01,2024-05-16,O1,1,A,10\n"
        found = _calculate(write(str(number), order_lines=orders, shipment_lines=text))
        assert found.records["reason_code"].to_list() == ["12"]


def test_a_shipment_without_a_schedule_line_moves_with_its_line_whatever_schedule_the_line_has(write: Write) -> None:
    orders = (
        "dc,ship_date,order_id,line_no,schedule_line,item,ordered_qty,processed_at\n"
        "DC01,2024-05-16,O1,1,1,A,10,2024-05-15 08:00\nDC01,2024-05-17,O1,1,1,A,10,2024-05-16 08:00\n"
    )
    shipments = (
        "dc,ship_date,order_id,line_no,shipment_id,shipped_qty,processed_at\n"
        "DC01,2024-05-16,O1,1,S1,10,2024-05-16 09:00\nDC01,2024-05-17,O1,1,S1,10,2024-05-17 09:00\n"
    )
    found = _calculate(write(order_lines=orders, shipment_lines=shipments))
    assert found.doubtful == {}
    assert _sum_days(found) == [(17, 10.0, 10.0)]
    assert found.lines.filter(source_table="shipment_lines")["disposition"].to_list() == ["SUPERSEDED"]


def test_a_shipment_without_a_schedule_line_is_of_the_order_line_without_one(write: Write) -> None:
    orders = (
        "dc,ship_date,order_id,line_no,schedule_line,item,ordered_qty\n"
        "DC01,2024-05-16,O1,1,,A,10\nDC01,2024-05-16,O1,1,2,B,10\n"
    )
    shipments = "dc,ship_date,order_id,line_no,shipped_qty\nDC01,2024-05-16,O1,1,10\n"
    records = _calculate(write(order_lines=orders, shipment_lines=shipments)).records
    assert dict(records.select("item", "shipped_cases").iter_rows()) == {"A": 10, "B": 0}


def test_a_load_begins_with_the_first_ship_day_of_its_data(write: Write, tmp_path: Path) -> None:
    calendar = "dc,ship_date,open\nDC01,2024-05-10,Y\nDC01,2024-05-13,Y\nDC01,2024-05-12,N\n"
    snapshots = "dc,snapshot_date,item,instock\n" + "".join(f"DC01,2024-05-{day},A,Y\n" for day in (12, 13, 16))
    tables = {"dc_calendar": calendar, "instock_snapshots": snapshots, "shipment_lines": f"{SHIPPED}"}
    folder = write(order_lines=f"{ORDER}DC01,2024-05-16,O1,1,A,10\n", **tables)
    home = settings.load(home=tmp_path / "home")
    fillrate_loader.load(home, read_directory(folder, loaded_at=NOW), loaded_at=NOW)
    # Open, with a snapshot: an observation of nothing ordered, to the averages of the days after it.
    assert settings.load(home=tmp_path / "home").first_ship_date == date(2024, 5, 13)


def test_a_substitute_that_moved_twice_is_credited_with_its_latest_shipments_alone(write: Write) -> None:
    orders = (
        "dc,ship_date,order_id,line_no,item,ordered_qty,line_type,substitute_for_line\n"
        "DC01,2024-05-16,O1,1,A,10,,\nDC01,2024-05-17,O1,2,B,10,SUBSTITUTE,1\n"
    )
    shipments = (
        "dc,ship_date,order_id,line_no,shipment_id,shipped_qty,processed_at\n"
        "DC01,2024-05-17,O1,2,S1,4,2024-05-17 09:00\nDC01,2024-05-17,O1,2,S2,3,2024-05-17 09:00\n"
        "DC01,2024-05-18,O1,2,S2,3,2024-05-18 09:00\n"
    )
    records = _calculate(write(order_lines=orders, shipment_lines=shipments)).records
    assert records.select("item", "sub_cases").rows() == [("A", 4)]


def test_a_date_that_cannot_be_read_hides_no_doubt_about_the_parts(write: Write) -> None:
    orders = f"{ORDER.strip()},requested_date\nDC01,2024-05-16,O1,1,A,10,soon\n"
    shipments = "dc,order_id,line_no,shipped_qty,shipped_at\n" + "".join(
        f"DC01,O1,1,{cases},2024-05-16 {hour}\n" for cases, hour in ((8, "08:00"), (10, "09:00"))
    )
    assert list(_calculate(write(order_lines=orders, shipment_lines=shipments)).doubtful) == [PartitionKey("DC01", DAY)]


@pytest.mark.parametrize(
    ("tables", "note"),
    [
        pytest.param(
            {
                "order_lines": f"{ORDER}DC01,2024-05-16,O1,1,A,10\n",
                "shipment_lines": "dc,order_id,line_no,shipped_qty\nDC01,O1,1,5\nDC01,O1,1,5\n",
            },
            "shipment_lines: 1 row repeats another in every value, and no repeat counts: O1/1",
            id="a shipment twice",
        ),
        pytest.param(
            {"order_lines": SHIPPED + "DC01,2024-05-16,O1,1,A,10,5\n" * 3},
            "order_lines: 2 rows repeat another in every value, and no repeat counts: O1/1",
            id="an order line three times",
        ),
    ],
)
def test_repeated_rows_count_once_and_are_named(tables: dict[str, str], note: str, write: Write) -> None:
    contracts = read_directory(write(**tables), loaded_at=NOW)
    assert contracts.notes == (note,)
    assert _sum_days(calculate(contracts.inputs)) == [(16, 10, 5)]
    reasons = check_contracts(contracts).reasons.select("disposition", "reason").rows()
    assert ("SUPERSEDED", "the same row is there twice") in reasons


def test_rows_that_ship_different_quantities_are_no_repeats(write: Write) -> None:
    rows = "DC01,2024-05-16,O1,1,A,10,6\nDC01,2024-05-16,O1,1,A,10,4\nDC01,2024-05-16,O2,1,A,10,10\n"
    contracts = read_directory(write(order_lines=f"{SHIPPED}{rows}"), loaded_at=NOW)
    assert not contracts.notes
    assert (
        "rows contradict another of their line (O1/1)"
        in calculate(contracts.inputs).doubtful[PartitionKey("DC01", DAY)]
    )


def test_a_shipment_of_a_dc_without_orders_is_blamed_on_the_one_that_it_may_mean(write: Write) -> None:
    shipments = "dc,order_id,line_no,shipped_qty\n7,O1,1,10\n"
    orders = f"{ORDER}0007,2024-05-16,O1,1,A,10\n"
    found = _calculate(write(order_lines=orders, shipment_lines=shipments))
    assert found.rejects["reason"].to_list() == ["no order line for this shipment; is it DC 0007?"]
    assert found.doubtful[PartitionKey("0007", DAY)] == "1 of 1 shipment lines were rejected, and name no day"


@pytest.mark.parametrize("other", ["o1", "000O1", "00o1.0"])
def test_an_order_that_differs_in_its_writing_alone_is_suggested(other: str, write: Write) -> None:
    shipments = f"dc,order_id,line_no,shipped_qty\nDC01,{other},1,10\n"
    found = _calculate(write(order_lines=f"{ORDER}DC01,2024-05-16,O1,1,A,10\n", shipment_lines=shipments))
    assert found.rejects["reason"].to_list() == ["no order line for this shipment; is it order O1?"]
    assert PartitionKey("DC01", DAY) in found.doubtful


def test_items_that_no_row_of_items_names_are_noted_with_the_one_that_they_may_mean(write: Write) -> None:
    snapshots = SNAPSHOTS.replace(",A,", ",000A,")
    contracts = read_directory(
        write(order_lines=f"{SHIPPED}DC01,2024-05-16,O1,1,A,10,5\n", instock_snapshots=snapshots), loaded_at=NOW
    )
    assert contracts.notes == ("instock_snapshots: 1 of 2 items are in no row of items, such as 000A; is it A?",)


def test_a_check_says_which_times_cannot_be_read(write: Write) -> None:
    orders = f"{SHIPPED[:-1]},shipped_at\nDC01,2024-05-16,O1,1,A,10,5,16/05/2024 04:10\n"
    check = check_contracts(read_directory(write(order_lines=orders), loaded_at=NOW))
    unread = "shipped_at '16/05/2024 04:10' is not a time (YYYY-MM-DD HH:MM:SS, UTC)"
    assert check.reasons.select("disposition", "reason").rows() == [("COUNTED", unread)]
