"""Doubts: what belongs to numbers beside them. Rejected rows with their reasons, and days that are doubtful or held.

Every report, explanation and workbook has one, and shows it. Where it is shown belongs to its page; what makes a day
doubtful or held belongs to `rules.quality_gate`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

import polars as pl

from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.fillrate.report import labels

MOST_REASONS: Final = 3
"""Reasons that are named of a table's rejects."""
UNPUBLISHED: Final = "computed, but not published: its run did not end well"
LAST_GOOD: Final = "; its lost cases are those of its last good records"

_COUNTS: Final = pl.Schema({"table": pl.String(), "reason": pl.String(), "rows": pl.Int64()})


@dataclass(frozen=True)
class Doubts:
    """What is in doubt of the DCs and ship dates of some numbers."""

    rejected: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=_COUNTS))
    """table, reason, rows: how many rows of a source table were rejected, and why."""
    read: Mapping[str, int] = field(default_factory=dict)
    """Rows that were read by source table, the rejected ones too; a table whose rows are not known is absent."""
    held: Mapping[PartitionKey, str] = field(default_factory=dict)
    """Why a day of a DC is held."""
    doubtful: Mapping[PartitionKey, str] = field(default_factory=dict)
    """Why a day of a DC has numbers that say little."""
    last_good: frozenset[PartitionKey] = frozenset()
    """Held days that still have the records of an earlier publication."""
    behind: Mapping[PartitionKey, str] = field(default_factory=dict)
    """What is in doubt of the days before the first, from which averages were taken."""


@dataclass(frozen=True)
class TableRejects:
    """Rejected rows of one source table, with their commonest reasons."""

    table: str
    rows: int
    read: int | None
    """Rows that were read, if that is known."""
    reasons: tuple[tuple[str, int], ...]
    """Reasons and their rows, the commonest first; reasons that differ in a value alone are one."""

    @property
    def share(self) -> Decimal | None:
        """Return the share of the table's rows that was rejected."""
        return Decimal(self.rows) / self.read if self.read else None


def count_reasons(rejects: pl.LazyFrame) -> pl.LazyFrame:
    """Count rows of `REJECTS` by table and reason."""
    return rejects.group_by("table", "reason").agg(pl.len().cast(pl.Int64).alias("rows"))


def count_rejected_lines(lines: pl.LazyFrame) -> pl.LazyFrame:
    """Count the rejected rows of `CLASSIFIED_LINES` by table and reason."""
    rejected = lines.filter(pl.col("disposition") == "REJECTED")
    return count_reasons(rejected.select(pl.col("source_table").alias("table"), "reason"))


def build_published_doubts(ledger: pl.DataFrame, rejected: pl.DataFrame, order_lines: int) -> Doubts:
    """Build what is in doubt of published days.

    Args:
        ledger: `LEDGER` of the days.
        rejected: table, reason and rows of what was rejected of them.
        order_lines: order lines that were classified of them, every version.

    """
    days = {PartitionKey(row["dc"], row["ship_date"]): row for row in ledger.iter_rows(named=True)}
    held = {day: row for day, row in days.items() if row["state"] == "HELD"}
    last_good = frozenset(day for day, row in held.items() if row["records"])
    rows = dict(rejected.group_by("table").agg(pl.col("rows").sum()).iter_rows())
    read = {
        "order_lines": order_lines,
        "shipment_lines": int(ledger["shipments_lines"].sum()),
        "instock_snapshots": int(ledger["snapshots_rows"].sum()),
    }
    return Doubts(
        rejected,
        # Sources that a run read anew without publishing the day: how many rows they have is not in the ledger.
        {table: count for table, count in read.items() if count >= rows.get(table, 0)},
        {day: f"{row['reason']}{LAST_GOOD if day in last_good else ''}" for day, row in held.items()},
        {day: row["reason"] for day, row in days.items() if row["state"] != "HELD" and row["reason"]},
        last_good,
    )


def describe_days(
    lines: pl.LazyFrame, held: Mapping[PartitionKey, str], doubtful: Mapping[PartitionKey, str]
) -> dict[PartitionKey, list[str]]:
    """Describe what is in doubt of each day of `CLASSIFIED_LINES`; a day of which nothing is, is absent."""
    day = ("dc", "ship_date")
    rejected, read = pl.collect_all(
        [
            lines.filter(pl.col("disposition") == "REJECTED")
            .group_by(*day, pl.col("source_table").alias("table"), "reason")
            .agg(pl.len().cast(pl.Int64).alias("rows")),
            lines.filter(pl.col("source_table") == "order_lines").group_by(day).agg(pl.len().alias("rows")),
        ]
    )
    rows = {PartitionKey(dc, on): count for dc, on, count in read.iter_rows()}
    counts: dict[PartitionKey, list[tuple[str, str, int]]] = {}
    for dc, on, *count in rejected.iter_rows():
        counts.setdefault(PartitionKey(dc, on), []).append((count[0], count[1], count[2]))
    return {
        key: format_doubts(
            Doubts(
                pl.DataFrame(counts.get(key, []), _COUNTS, orient="row"),
                {"order_lines": rows[key]} if key in rows else {},
                {key: held[key]} if key in held else {},
                {key: doubtful[key]} if key in doubtful else {},
            )
        )
        for key in sorted({*counts, *held, *doubtful})
    }


def join_days(doubts: Doubts) -> dict[PartitionKey, str]:
    """Join the doubtful and the held days, each with what it is and why."""
    joined: dict[PartitionKey, str] = {}
    for what, days in (("doubtful", doubts.doubtful), ("held", doubts.held)):
        for day, reason in days.items():
            joined[day] = "; ".join(filter(None, [joined.get(day), f"{what}: {reason}"]))
    return joined


def summarize_rejects(doubts: Doubts) -> list[TableRejects]:
    """Summarize the rejects of each table that has any, most rows first."""
    kinds = (
        doubts.rejected.with_columns(_kind_expr().alias("kind"))
        .group_by("table", "kind")
        .agg(pl.col("rows").sum(), pl.col("reason").n_unique().alias("variants"), pl.col("reason").min())
        .sort("rows", "reason", descending=[True, False])
    )
    found = []
    for (table,), of_table in kinds.group_by("table", maintain_order=True):
        reasons = tuple(
            (_clip(row["reason"]) + (", or the like" if row["variants"] > 1 else ""), row["rows"])
            for row in of_table.iter_rows(named=True)
        )
        found.append(TableRejects(str(table), sum(rows for _, rows in reasons), doubts.read.get(str(table)), reasons))
    return sorted(found, key=lambda each: (-each.rows, each.table))


def format_doubts(doubts: Doubts) -> list[str]:
    """Format all that is in doubt as lines: rejects of each table, doubtful days, held days."""
    return [*format_rejects(doubts), *format_days(doubts)]


def format_days(doubts: Doubts) -> list[str]:
    """Format the doubtful and the held days, and those behind the averages, a line for each DC and reason."""
    return [
        *labels.format_days_by_reason(doubts.doubtful, "doubtful"),
        *labels.format_days_by_reason(doubts.held, "held"),
        *labels.format_days_by_reason(doubts.behind, "behind the averages"),
    ]


def format_summary(doubts: Doubts) -> str:
    """Format what is in doubt as one sentence, for below a table; nothing if nothing is."""
    parts = [format_share(each) + " rejected" for each in summarize_rejects(doubts)]
    parts += [
        f"{labels.format_count(len(days), 'ship day')} of a DC {what}"
        for days, what in ((doubts.doubtful, "doubtful"), (doubts.held, "held"), (doubts.behind, "behind the averages"))
        if days
    ]
    return f"Doubt: {', '.join(parts)}." if parts else ""


def format_rejects(doubts: Doubts) -> Iterator[str]:
    """Format the rejects of each table with their commonest reasons."""
    for each in summarize_rejects(doubts):
        named = [f"{_format_part(rows, each.rows)} {reason}" for reason, rows in each.reasons[:MOST_REASONS]]
        if others := len(each.reasons) - MOST_REASONS:
            named += [f"{labels.format_count(others, 'other reason')}"] if others > 0 else []
        yield f"rejected: {format_share(each)}: {'; '.join(named)}"


def format_share(each: TableRejects) -> str:
    """Format how many rows of a table were rejected: '3 of 120 order lines (2.50 %)'."""
    name = labels.format_table(each.table)
    if each.read is None:
        return f"{each.rows:,} {name}"
    return f"{each.rows:,} of {each.read:,} {name} ({_format_part(each.rows, each.read)})"


def _format_part(rows: int, of: int) -> str:
    return labels.format_percent(Decimal(rows) / of if of else None)


def _kind_expr() -> pl.Expr:
    """Return a reason without its values: quoted text, codes with a digit, and what the rules name without quotes."""
    return (
        pl.col("reason")
        .str.replace_all(r"'[^']*'", "'...'")
        .str.replace(r"^item .+? is not in force", "item ... is not in force")
        .str.replace(r"^(unknown status|unknown line type|unit|item_type) .+?( is neither.*)?$", "$1 ... $2")
        .str.replace(r"; is it (order|DC) .+\?$", "; is it $1 ...?")
        .str.replace(r" is .+?, expected", " is ..., expected")
        .str.replace_all(r"\S*\d\S*", "...")
    )


def _clip(reason: str) -> str:
    return reason if len(reason) <= labels.MAX_REASON else f"{reason[: labels.MAX_REASON]}..."
