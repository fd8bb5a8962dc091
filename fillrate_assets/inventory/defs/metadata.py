"""What the UI shows of the inventory: numbers that it draws over time, and tables of the latest.

Each number has a label of its own, which is a chart in the UI. A class that was not found is a 0, so that no chart has
holes.
"""

from typing import Any, Final

import polars as pl

from fillrate_assets.inventory import schema
from fillrate_assets.inventory.reconcile import Reconciled
from fillrate_assets.inventory.rules.backpressure import compute_pause
from fillrate_assets.inventory.rules.reconciliation import measure_accuracy
from fillrate_assets.inventory.rules.sync_alarms import SyncStatus
from fillrate_assets.orchestration.ui_metadata import make_table

_LISTED: Final = 50
_WORST_ITEMS: Final = 10
_FINDING: Final = (
    *schema.FINDINGS.key,
    "action",
    *(f"{side}_{name}" for name in ("seq", "on_hand_cases", "reserved_cases") for side in ("source", "replica")),
)
"""What is compared, side by side."""

_DISCREPANCIES: Final = [name for name in schema.CLASSES if name not in {"MATCH", "RECENT"}]


def describe_reconciliation(done: Reconciled) -> dict[str, Any]:
    """Describe a reconciliation: all copies, then those of each DC, then what was found, by class and item."""
    compared, matching = (int(done.summary[name].sum()) for name in ("compared", "matching"))
    classes, items = dict(done.findings["finding"].value_counts().iter_rows()), _rank_items(done.findings)
    described: dict[str, Any] = _describe_accuracy("", compared, matching)
    if done.accuracy is not None:
        described["discrepancy rate, %"] = round(100 * (1 - done.accuracy), 4)
    for row in done.summary.iter_rows(named=True):
        described |= _describe_accuracy(f"{row['replica']}: ", row["compared"], row["matching"])
    by_dc = done.summary.with_columns(
        accuracy_percent=(100 * pl.col("matching") / pl.when(pl.col("compared") > 0).then("compared")).round(4)
    )
    return described | {
        **{f"found {name}": classes.get(name, 0) for name in _DISCREPANCIES},
        "compared": compared,
        "just changed": int(done.summary["recent"].sum()),
        "repaired": done.repaired,
        "items with discrepancies": items.height,
        "by DC": make_table(by_dc.select("replica", "accuracy_percent", "compared", "matching", "recent", "failure")),
        "items with most discrepancies": make_table(items.head(_WORST_ITEMS)),
        "findings": make_table(done.findings.select(_FINDING).head(_LISTED)),
    }


def describe_sync(status: SyncStatus) -> dict[str, float]:
    """Describe how changes went to the DCs in a while."""
    described: dict[str, float] = {"not read of the stream": status.unread, "dead letters": status.dead_letters}
    if pause := max((compute_pause(each.latency) for each in status.replicas), default=0):
        described["writers wait after a change, s"] = round(pause, 3)
    for each in status.replicas:
        described[f"{each.name}: applied"] = each.applied
        described[f"{each.name}: failed"] = each.failed
        if each.latency is not None:
            described[f"{each.name}: mean latency, s"] = round(each.latency.total_seconds(), 3)
            described[f"{each.name}: longest, s"] = round(each.longest.total_seconds(), 3)
    return described


def _describe_accuracy(whose: str, compared: int, matching: int) -> dict[str, float]:
    accuracy = {f"{whose}accuracy, %": round(100 * matching / compared, 4)} if compared else {}
    return {**accuracy, f"{whose}discrepancies": compared - matching}


def _rank_items(findings: pl.DataFrame) -> pl.DataFrame:
    wrong = measure_accuracy(findings, "item").filter(pl.col("discrepancies") > 0)
    return wrong.select("item", "discrepancies").sort("discrepancies", "item", descending=[True, False])
