"""Days of the ledger that are held or doubtful, with their reasons.

What makes them so belongs to `rules.quality_gate`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

import sqlalchemy as sa

from fillrate_assets.fillrate.record_store import LEDGER
from fillrate_assets.storage.database import Database

_IS_HELD: Final = LEDGER.c.state == "HELD"
_IS_DOUBTFUL: Final = ~_IS_HELD & LEDGER.c.reason.is_not(None) & (LEDGER.c.reason != "")


@dataclass(frozen=True)
class UncertainDay:
    """A day of a DC that is held or doubtful."""

    dc: str
    ship_date: date
    held: bool
    reason: str
    records: int
    """Records in force; of a held day, those of its last good publication."""

    run_id: str
    written_at: datetime


def read_uncertain_days(database: Database, *, limit: int, offset: int = 0) -> list[UncertainDay]:
    """Read the held days, then the doubtful ones, each latest first.

    Raises:
        SourceUnavailable: the record store did not answer.

    """
    names = ("dc", "ship_date", "state", "reason", "records", "run_id", "published_at")
    order = (sa.case((_IS_HELD, 0), else_=1), LEDGER.c.ship_date.desc(), LEDGER.c.dc)
    chosen = sa.select(*[LEDGER.c[name] for name in names]).where(_IS_HELD | _IS_DOUBTFUL).order_by(*order)
    with database.connect() as connection:
        return [
            UncertainDay(
                row.dc,
                row.ship_date,
                row.state == "HELD",
                row.reason or "",
                row.records,
                row.run_id,
                row.published_at.replace(tzinfo=UTC),
            )
            for row in connection.execute(chosen.limit(limit).offset(offset))
        ]


def count_uncertain_days(database: Database) -> tuple[int, int]:
    """Count the held and the doubtful days.

    Raises:
        SourceUnavailable: the record store did not answer.

    """
    counted = [sa.func.count(sa.case((condition, 1))) for condition in (_IS_HELD, _IS_DOUBTFUL)]
    with database.connect() as connection:
        row = connection.execute(sa.select(*counted).select_from(LEDGER)).one()
    return row[0], row[1]
