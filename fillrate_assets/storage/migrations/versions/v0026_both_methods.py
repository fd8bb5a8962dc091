"""What both methods of the estimate say of an item that was out of stock.

Records that are there have nulls: they are older than method 2. A run over their days fills them.
"""

import sqlalchemy as sa
from alembic import op

from fillrate_assets.storage.migrations.placement import get_schema
from fillrate_assets.storage.sql_types import ExactDecimal

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

_COUNTS = ("week_n", "month_n", "network_dcs")
_COLUMNS = (
    "level_cases",
    "week_n",
    "month_n",
    "weekday_index",
    "network_factor",
    "network_dcs",
    "factor_weight",
    "expected_cases",
    "calibration",
    "method_1_cases",
    "method_2_cases",
)


def upgrade() -> None:
    """Add the columns."""
    for name in _COLUMNS:
        column = sa.Column(name, sa.BigInteger() if name in _COUNTS else ExactDecimal(), nullable=True)
        op.add_column("lost_cases", column, schema=get_schema())


def downgrade() -> None:
    """Drop them."""
    for name in reversed(_COLUMNS):
        op.drop_column("lost_cases", name, schema=get_schema())
