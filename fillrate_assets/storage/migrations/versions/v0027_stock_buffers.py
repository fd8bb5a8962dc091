"""Stock buffers: terms of supply, stock positions, recommendations, the service they reach, and decisions."""

import sqlalchemy as sa
from alembic import op

from fillrate_assets.storage.sql_types import ExactDecimal, UtcDateTime, make_text_type

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

_TABLES = (
    "supply_terms",
    "stock_positions",
    "replenishment_rejects",
    "stock_buffer_recommendations",
    "stock_buffer_service",
    "stock_buffer_decisions",
)


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "supply_terms",
        sa.Column("term_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(), nullable=False),
        sa.Column("item", make_text_type(200), nullable=True),
        sa.Column("vendor", make_text_type(200), nullable=True),
        sa.Column("department", make_text_type(200), nullable=True),
        sa.Column("dc", make_text_type(200), nullable=True),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("valid_to", sa.Date(), nullable=True),
        sa.Column("lead_time_days", sa.BigInteger(), nullable=True),
        sa.Column("lead_time_deviation_days", ExactDecimal(), nullable=True),
        sa.Column("review_days", sa.BigInteger(), nullable=True),
        sa.Column("moq", ExactDecimal(), nullable=True),
        sa.Column("case_multiple", ExactDecimal(), nullable=True),
        sa.Column("shelf_life_days", sa.BigInteger(), nullable=True),
        sa.Column("unit_cost", ExactDecimal(), nullable=True),
        sa.Column("unit_price", ExactDecimal(), nullable=True),
        sa.Column("service_target", ExactDecimal(), nullable=True),
        sa.Column("shortage_cost", ExactDecimal(), nullable=True),
        sa.Column("holding_cost", ExactDecimal(), nullable=True),
        sa.PrimaryKeyConstraint("term_id"),
        sa.UniqueConstraint("item", "vendor", "department", "dc", "valid_from", name="supply_terms_by_key"),
    )
    op.create_table(
        "stock_positions",
        sa.Column("dc", make_text_type(200), nullable=False),
        sa.Column("item", make_text_type(200), nullable=False),
        sa.Column("ship_date", sa.Date(), nullable=False),
        sa.Column("on_hand_cases", ExactDecimal(), nullable=True),
        sa.Column("on_order_cases", ExactDecimal(), nullable=True),
        sa.PrimaryKeyConstraint("dc", "item", "ship_date"),
    )
    op.create_table(
        "replenishment_rejects",
        sa.Column("table", make_text_type(255), nullable=False),
        sa.Column("item", make_text_type(200), nullable=True),
        sa.Column("vendor", make_text_type(200), nullable=True),
        sa.Column("department", make_text_type(200), nullable=True),
        sa.Column("dc", make_text_type(200), nullable=True),
        sa.Column("valid_from", sa.Date(), nullable=True),
        sa.Column("valid_to", sa.Date(), nullable=True),
        sa.Column("reason", make_text_type(1000), nullable=False),
        sa.Column("raw", make_text_type(), nullable=False),
        sa.Column("reject_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(), nullable=False),
        sa.PrimaryKeyConstraint("reject_id"),
    )
    op.create_table(
        "stock_buffer_recommendations",
        sa.Column("dc", make_text_type(200), nullable=False),
        sa.Column("ship_date", sa.Date(), nullable=False),
        sa.Column("item", make_text_type(200), nullable=False),
        sa.Column("department", make_text_type(255), nullable=True),
        sa.Column("vendor", make_text_type(255), nullable=True),
        sa.Column("lead_time_days", sa.BigInteger(), nullable=False),
        sa.Column("protection_days", sa.BigInteger(), nullable=False),
        sa.Column("level_cases", ExactDecimal(), nullable=True),
        sa.Column("period_ship_days", sa.BigInteger(), nullable=False),
        sa.Column("period_weight", ExactDecimal(), nullable=False),
        sa.Column("forecast_cases", ExactDecimal(), nullable=True),
        sa.Column("quantile", ExactDecimal(), nullable=False),
        sa.Column("quantile_source", make_text_type(255), nullable=False),
        sa.Column("ratio", ExactDecimal(), nullable=True),
        sa.Column("errors", sa.BigInteger(), nullable=False),
        sa.Column("safety_stock_cases", ExactDecimal(), nullable=True),
        sa.Column("reorder_point_cases", ExactDecimal(), nullable=True),
        sa.Column("order_up_to_cases", ExactDecimal(), nullable=True),
        sa.Column("on_hand_cases", ExactDecimal(), nullable=True),
        sa.Column("on_order_cases", ExactDecimal(), nullable=True),
        sa.Column("on_hand_source", make_text_type(255), nullable=True),
        sa.Column("days_of_cover", ExactDecimal(), nullable=True),
        sa.Column("gap_cases", ExactDecimal(), nullable=True),
        sa.Column("expected_lost_cases", ExactDecimal(), nullable=True),
        sa.Column("order_cases", ExactDecimal(), nullable=True),
        sa.Column("order_limit", make_text_type(255), nullable=True),
        sa.Column("gap_cost", ExactDecimal(), nullable=True),
        sa.Column("normal_order_up_to_cases", ExactDecimal(), nullable=True),
        sa.Column("king_order_up_to_cases", ExactDecimal(), nullable=True),
        sa.Column("defaulted", make_text_type(255), nullable=True),
        sa.Column("rejected", make_text_type(), nullable=True),
        sa.Column("reason", make_text_type(255), nullable=True),
        sa.PrimaryKeyConstraint("dc", "ship_date", "item"),
    )
    op.create_table(
        "stock_buffer_service",
        sa.Column("dc", make_text_type(200), nullable=False),
        sa.Column("ship_date", sa.Date(), nullable=False),
        sa.Column("item_class", make_text_type(8), nullable=False),
        sa.Column("quantile", ExactDecimal(), nullable=False),
        sa.Column("periods", sa.BigInteger(), nullable=False),
        sa.Column("served", sa.BigInteger(), nullable=False),
        sa.Column("short_cases", ExactDecimal(), nullable=False),
        sa.PrimaryKeyConstraint("dc", "ship_date", "item_class", "quantile"),
    )
    op.create_table(
        "stock_buffer_decisions",
        sa.Column("decision_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(), nullable=False),
        sa.Column("dc", make_text_type(200), nullable=False),
        sa.Column("item", make_text_type(200), nullable=False),
        sa.Column("ship_date", sa.Date(), nullable=False),
        sa.Column("decided_at", UtcDateTime(), nullable=False),
        sa.Column("decision", make_text_type(255), nullable=False),
        sa.Column("recommended_cases", ExactDecimal(), nullable=False),
        sa.Column("ordered_cases", ExactDecimal(), nullable=False),
        sa.Column("position_cases", ExactDecimal(), nullable=False),
        sa.Column("reason", make_text_type(), nullable=True),
        sa.Column("decided_by", make_text_type(255), nullable=False),
        sa.PrimaryKeyConstraint("decision_id"),
        sa.UniqueConstraint("dc", "item", "ship_date", "decided_at", name="stock_buffer_decisions_by_key"),
    )


def downgrade() -> None:
    """Drop them."""
    for name in reversed(_TABLES):
        op.drop_table(name)
