"""Which version of the comparison each DC's day is to follow, so that the database compares it with the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

import sqlalchemy as sa
from alembic import op

from fillrate_assets.storage.migrations.placement import get_schema
from fillrate_assets.storage.sql_types import ExactDecimal, make_text_type

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

_SUMS: Final = ("followed_cases", "deviation_cases", "usual_cases")
_PLACES: Final = 10_000


def upgrade() -> None:
    """Add the column, and compute it of the days that were compared."""
    column = sa.Column("network_version", make_text_type(255), nullable=True)
    op.add_column("network_days", column, schema=get_schema())
    if op.get_context().as_sql:
        # What is written down begins with empty tables.
        return
    days = _name_days()
    rows = [*op.get_bind().execute(sa.select(days).where(days.c.compared_version.is_not(None))).mappings()]
    of_day = (days.c.dc == sa.bindparam("of_dc")) & (days.c.ship_date == sa.bindparam("of_date"))
    computed = [{"of_dc": dc, "of_date": day, "computed": version} for (dc, day), version in _compute_versions(rows)]
    if computed:
        op.get_bind().execute(days.update().where(of_day).values(network_version=sa.bindparam("computed")), computed)


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("network_days", "network_version", schema=get_schema())


def _name_days() -> sa.TableClause:
    return sa.table(
        "network_days",
        sa.column("dc", make_text_type(200)),
        sa.column("ship_date", sa.Date()),
        sa.column("compared_version", make_text_type(255)),
        sa.column("factors_version", make_text_type(255)),
        *[sa.column(name, ExactDecimal()) for name in _SUMS],
        sa.column("item_days", sa.BigInteger()),
        sa.column("network_version", make_text_type(255)),
        schema=get_schema(),
    )


def _compute_versions(rows: list[Any]) -> Iterator[tuple[tuple[str, date], str]]:
    """Compute the versions as `compute_network_versions` did when this migration was written."""
    fits = {(row["dc"], row["ship_date"]): row for row in rows}
    for (dc, day), row in fits.items():
        if row["factors_version"] is None:
            continue
        before = [fit for back in range(1, 8) if (fit := fits.get((dc, day - timedelta(days=back))))]
        followed, deviation, usual = (_sum_units([fit[name] for fit in before]) for name in _SUMS)
        n = sum(fit["item_days"] or 0 for fit in before)
        denominator = deviation * n + 2 * usual
        hundredths = (2 * max(followed, 0) * n * 100 + denominator) // (2 * denominator) if denominator > 0 else 0
        weight = min(100 * hundredths, _PLACES)
        yield (dc, day), f"{row['factors_version']} {weight // _PLACES}.{weight % _PLACES:04}"


def _sum_units(quantities: list[Decimal | None]) -> int:
    """Sum quantities, in ten-thousandths of a case."""
    return int(sum(quantity * _PLACES for quantity in quantities if quantity is not None))
