"""Loader directories for tests: small files on disk, as a person would drop them."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Final

GOLDEN_DAY: Final = date(2024, 5, 16)

_H_A: Final = "05-09 40 Y,05-10 50 Y,05-11 30 Y,05-13 60 Y,05-14 0 Y,05-15 48 Y"
_H_B: Final = "05-09 40 Y,05-10 50 Y,05-11 5 N,05-13 0 N,05-14 0 N,05-15 30 Y"
_H_C: Final = (
    "04-30 12 Y,05-02 24 Y,05-03 18 Y,05-04 0 N,05-06 0 N,05-07 0 N,05-08 0 N,05-09 0 N,05-10 0 N,05-11 0 N,05-13 0 N,"
    "05-14 30 Y,05-15 36 Y"
)
_H_D: Final = "05-14 30 Y,05-15 36 Y"

_CASES: Final[Sequence[tuple[str, str, str, str, str | None, list[tuple[int, int]]]]] = (
    # item, history, item type, contract, instock on the day, lines (ordered, shipped) of the day
    ("1", _H_A, "STOCK", "Y", "Y", [(100, 92)]),
    ("2", _H_A, "STOCK", "Y", "N", [(20, 0)]),
    ("3", _H_A, "STOCK", "N", "N", []),
    ("4", _H_A, "STOCK", "N", "N", [(55, 15)]),
    ("5", _H_B, "STOCK", "N", "N", [(10, 0)]),
    ("6", _H_C, "STOCK", "N", "N", []),
    ("7", _H_D, "STOCK", "N", "N", [(12, 0)]),
    ("8", _H_A, "FLOW", "Y", "N", [(120, 96)]),
    ("9", _H_A, "STOCK", "N", None, [(30, 24)]),
    ("10", _H_A, "STOCK", "N", None, [(30, 0)]),
    ("11", "", "STOCK", "N", "Y", [(10, 14), (20, 15)]),
    ("12", "", "STOCK", "N", "Y", []),
    ("13", _H_A, "STOCK", "Y", "N", [(20, 0)]),
    ("14", "", "STOCK", "N", "Y", []),
)

GOLDEN_RECORDS: Final = {
    # item: path, O, S, A, confirmed, estimated, lost, fill, contract_lost (methodology section 7)
    "1": ("STOCK_IN", "100", "92", "38", "8", "0", "8", "0.9200", "0"),
    "2": ("STOCK_OUT", "20", "0", "38", "20", "18", "38", "0", "38"),
    "3": ("STOCK_OUT", "0", "0", "38", "0", "38", "38", "", "0"),
    "4": ("STOCK_OUT", "55", "15", "38", "40", "0", "40", "0.2727", "0"),
    "5": ("STOCK_OUT", "10", "0", "40", "10", "30", "40", "0", "0"),
    "6": ("STOCK_OUT", "0", "0", "24", "0", "24", "24", "", "0"),
    "7": ("STOCK_OUT", "12", "0", "", "12", "0", "12", "0", "0"),
    "8": ("FLOW", "120", "96", "", "24", "0", "24", "0.8000", "24"),
    "9": ("MISSING", "30", "24", "38", "6", "0", "6", "0.8000", "0"),
    "10": ("MISSING", "30", "0", "38", "30", "8", "38", "0", "0"),
    "11": ("STOCK_IN", "30", "25", "", "5", "0", "5", "0.8333", "0"),
    "12": ("STOCK_IN", "15", "8", "", "7", "0", "7", "0.5333", "0"),
    "13": ("STOCK_OUT", "20", "0", "42", "20", "22", "42", "0", "42"),
    "14": ("STOCK_IN", "2.5", "1.5", "", "1", "0", "1", "0.6000", "0"),
}


def write_csv(file: Path, rows: Iterable[Mapping[str, object]], columns: Sequence[str] | None = None) -> None:
    """A CSV file of the rows' columns, or of those named."""
    rows = list(rows)
    with file.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, columns or list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)


def write_minimal_directory(directory: Path) -> Path:
    """One order line of one stocked item, shipped short and in stock, of DC01 on 2024-05-16."""
    directory.mkdir(parents=True, exist_ok=True)
    order = {"dc": "DC01", "ship_date": "2024-05-16", "order_id": "O1", "line_no": 1}
    write_csv(directory / "order_lines.csv", [{**order, "item": "A", "ordered_qty": 10}])
    write_csv(directory / "shipment_lines.csv", [{"dc": "DC01", "order_id": "O1", "line_no": 1, "shipped_qty": 8}])
    snapshot = {"dc": "DC01", "snapshot_date": "2024-05-16", "item": "A", "instock": "Y"}
    write_csv(directory / "instock_snapshots.csv", [snapshot])
    write_csv(directory / "items.csv", [{"item": "A", "item_type": "STOCK", "description": "Tomato soup, 12 x 400 g"}])
    return directory


def write_golden_directory(directory: Path) -> Path:
    """The worked examples of the methodology, an item each, as a loader directory."""
    directory.mkdir(parents=True, exist_ok=True)
    orders: list[dict[str, object]] = []
    shipments: list[dict[str, object]] = []
    snapshots: list[dict[str, object]] = []

    def ship(item: str, day: date, ordered: float, shipped: float | None, **more: object) -> None:
        line = {"dc": "DC01", "order_id": f"SO-{day}", "line_no": len(orders) + 1, "processed_at": f"{day} 18:00:00"}
        line |= {name: more[name] for name in ("line_no", "processed_at") if name in more}
        orders.append({**line, "ship_date": day, "item": item, "ordered_qty": ordered, **more})
        if shipped is not None:
            shipments.append({**line, "shipped_qty": shipped, "uom": more.get("uom", "CS")})

    def stock(item: str, day: date, instock: str) -> None:
        snapshots.append({"dc": "DC01", "snapshot_date": day, "item": item, "instock": instock})

    # An item that always sells makes every day but Sunday a ship day.
    days = [GOLDEN_DAY - timedelta(days=back) for back in range(40)]
    for day in (day for day in days if day.weekday() != 6):
        ship("FILL", day, 1, 1)
        stock("FILL", day, "Y")
    for item, history, _, _, instock, lines in _CASES:
        for entry in filter(None, history.split(",")):
            month_day, ordered, available = entry.split()
            day = date.fromisoformat(f"2024-{month_day}")
            stock(item, day, available)
            if int(ordered):
                ship(item, day, int(ordered), int(ordered))
        if instock:
            stock(item, GOLDEN_DAY, instock)
        for ordered_qty, shipped_qty in lines:
            ship(item, GOLDEN_DAY, ordered_qty, shipped_qty)
    ship("12", GOLDEN_DAY, 10, 10, line_no=900, processed_at="2024-05-16 17:00:00")
    ship("12", GOLDEN_DAY, 10, 8, line_no=900, processed_at="2024-05-16 19:00:00")
    ship("12", GOLDEN_DAY, 6, None, status="CANCELLED", cancel_reason="CUSTOMER")
    ship("12", GOLDEN_DAY, 5, None, status="CANCELLED", cancel_reason="NO_STOCK")
    ship("12", GOLDEN_DAY, -3, None)
    corrected = date(2024, 5, 14)
    ship("13", corrected, 0, 0, line_no=800, processed_at="2024-05-14 18:00:00")
    ship("13", corrected, 24, 24, line_no=800, processed_at="2024-05-17 06:00:00")
    ship("14", GOLDEN_DAY, 30, 18, uom="EA", pack_size=12)

    items = [{"item": "FILL", "item_type": "STOCK", "contract_committed": "N"}]
    items += [{"item": item, "item_type": kind, "contract_committed": fsa} for item, _, kind, fsa, _, _ in _CASES]
    write_csv(directory / "order_lines.csv", orders)
    write_csv(directory / "shipment_lines.csv", shipments)
    write_csv(directory / "instock_snapshots.csv", snapshots)
    write_csv(directory / "items.csv", items)
    return directory
