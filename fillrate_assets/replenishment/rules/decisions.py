"""What buyers' decisions did: whether what they ordered sufficed, beside what was recommended."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

import polars as pl

from fillrate_assets.core.decimals import to_cases, to_units
from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.replenishment import schema

_KEY = ["dc", "item", "ship_date"]

Decision = Literal["ACCEPTED", "CHANGED", "REFUSED"]


def make_decision(
    recommendation: Mapping[str, Any],
    decision: Decision,
    cases: Decimal | None = None,
    *,
    reason: str = "",
    by: str,
    now: datetime,
) -> dict[str, Any]:
    """Make a row of `DECISION_LOG`.

    Args:
        recommendation: a row of `RECOMMENDATIONS`.
        decision: what was decided.
        cases: what is ordered, where that was changed.
        reason: why it was changed or refused.
        by: who decided.
        now: when, UTC.

    Raises:
        PermanentFailure: there is no order to decide about, or a change that orders the same.

    """
    recommended = recommendation["order_cases"]
    if recommended is None:
        msg = "nothing is recommended to order: on hand is not known, or there is no number"
        raise PermanentFailure(msg)
    ordered = {"ACCEPTED": recommended, "CHANGED": cases, "REFUSED": Decimal(0)}[decision]
    if decision == "CHANGED" and ordered == recommended:
        msg = "that is what is recommended: accept it"
        raise PermanentFailure(msg)
    return {
        **{name: recommendation[name] for name in _KEY},
        "decided_at": now,
        "decision": decision,
        "recommended_cases": recommended,
        "ordered_cases": ordered,
        "position_cases": recommendation["on_hand_cases"] + (recommendation["on_order_cases"] or 0),
        "reason": reason or None,
        "decided_by": by,
    }


def name_action(decision: str) -> str:
    """Name a decision as the log of what people did has it."""
    return f"{decision.lower()} stock buffer"


def list_details(row: Mapping[str, Any]) -> dict[str, str]:
    """List what the log of what people did has of a row of `DECISION_LOG`."""
    return {
        "ship_date": row["ship_date"].isoformat(),
        "recommended_cases": f"{row['recommended_cases']:f}",
        "ordered_cases": f"{row['ordered_cases']:f}",
        **({"reason": row["reason"]} if row["reason"] else {}),
    }


def select_decisions_in_force(log: pl.LazyFrame) -> pl.LazyFrame:
    """Select the latest decision about each recommendation of `DECISION_LOG`."""
    return log.sort("decided_at").unique(_KEY, keep="last", maintain_order=True)


def score_decisions(decisions: pl.LazyFrame, scores: pl.LazyFrame) -> pl.LazyFrame:
    """Score decisions of which the whole protection period was observed.

    What was on hand and on order, and what was recommended or ordered, had to suffice for what came.

    Args:
        decisions: `DECISION_LOG`, the latest of each recommendation.
        scores: `SCORES`.

    Returns:
        `DECIDED_SERVICE`, a row for each kind of decision that there is.

    """
    came = scores.select("dc", "item", pl.col("made_on").alias("ship_date"), to_units("came_cases").alias("came"))
    beyond = {
        each: pl.col("came") - to_units("position_cases") - to_units(f"{column}_cases")
        for each, column in (("recommended", "recommended"), ("decided", "ordered"))
    }
    return (
        decisions.join(came, on=_KEY, how="left")
        .group_by("decision")
        .agg(
            pl.len().cast(pl.Int64).alias("decided"),
            pl.col("came").count().cast(pl.Int64).alias("periods"),
            *((short <= 0).sum().cast(pl.Int64).alias(f"served_{each}") for each, short in beyond.items()),
            *(to_cases(short.clip(0).sum()).alias(f"short_{each}_cases") for each, short in beyond.items()),
        )
        .pipe(schema.DECIDED_SERVICE.conform)
        .sort(pl.col("decision").cast(pl.Enum(schema.DECISIONS)))
    )
