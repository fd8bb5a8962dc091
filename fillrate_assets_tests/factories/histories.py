"""Histories of item-days for invariants: any orders and stock of a few items, on any days of six weeks."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import polars as pl
from hypothesis import strategies as st

from fillrate_assets_tests.factories.fillrate_frames import DAY, make_item_days

DAYS_BACK: Final = 42
DCS: Final = ("DC01", "DC02", "DC03")
ITEMS: Final = ("A", "B", "C")
_BYTES_PER_ROW: Final = 4
_MOST_ROWS: Final = 150
EXAMPLES: Final = 30


def draw_histories(dcs: tuple[str, ...] = DCS) -> st.SearchStrategy[pl.DataFrame]:
    """Draw `ITEM_DAYS` of the six weeks until the day itself, one row per key; of bytes, as drawing values is slow."""
    size = _BYTES_PER_ROW * _MOST_ROWS
    return st.binary(min_size=0, max_size=size).map(lambda drawn: _make_history(drawn, dcs)) | st.binary(
        min_size=size, max_size=size
    ).map(lambda drawn: _make_history(drawn, dcs))


def _make_history(drawn: bytes, dcs: tuple[str, ...]) -> pl.DataFrame:
    rows = {}
    for at in range(0, len(drawn) - _BYTES_PER_ROW + 1, _BYTES_PER_ROW):
        who, when, cases, kind = drawn[at : at + _BYTES_PER_ROW]
        dc, item = dcs[who % len(dcs)], ITEMS[who // 16 % len(ITEMS)]
        day = DAY - timedelta(days=when % (DAYS_BACK + 1))
        rows[dc, item, day] = {
            "dc": dc,
            "item": item,
            "ship_date": day,
            "ordered_cases": cases % 41,
            "shipped_cases": (0, 0, 5)[cases // 41 % 3],
            "instock": ("Y", "Y", "N", None)[kind % 4],
            "item_type": "FLOW" if kind // 4 % 8 == 1 else "STOCK",
            "lines": 0 if kind // 32 % 8 == 1 else 1,
            "department": ("D1", "D2", None)[kind % 3],
        }
    return make_item_days(*rows.values()).collect()
