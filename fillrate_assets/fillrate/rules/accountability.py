"""Who is accountable for lost cases: the vendor, the DC, the inbound, or no one that the records name (decision 0330).

How many cases were lost, and on which path, belongs to `lost_cases`.
"""

from __future__ import annotations

from typing import Final

import polars as pl

ACCOUNTABLE: Final = ("vendor", "dc", "inbound", "unknown")

_BY_REASON: Final = {"07": "dc", "11": "dc", "12": "inbound"}
"""Reasons that name who it was, whatever the path: inventory discrepancy, loading error, inbound carrier failure."""

_BY_PATH: Final = {"STOCK_IN": "dc", "STOCK_OUT": "vendor", "FLOW": "vendor", "MISSING": "unknown"}


def name_accountable(path: pl.Expr, reason: pl.Expr) -> pl.Expr:
    """Name who is accountable for what was lost on a path for a reason (X12 element 892), out of `ACCOUNTABLE`."""
    by_path = path.replace_strict(_BY_PATH, default="unknown", return_dtype=pl.String)
    return reason.replace_strict(_BY_REASON, default=by_path, return_dtype=pl.String)


def lacks_stock(path: pl.Expr, reason: pl.Expr) -> pl.Expr:
    """Return whether cases were lost for want of stock that the vendor did not supply: more of it would save them."""
    return name_accountable(path, reason) == "vendor"
