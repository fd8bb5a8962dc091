"""Fulfillment: the transition log, heads of orders, effects and rejected events; triggers hold what is append-only."""

import sqlalchemy as sa
from alembic import op

from fillrate_assets.storage.migrations.placement import get_schema
from fillrate_assets.storage.sql_types import UtcDateTime, make_text_type

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_TABLES = ("rejected_events", "effects", "order_heads", "transitions")
_APPEND_ONLY = ("transitions", "rejected_events")
_FUNCTION = "refuse_change"
_MESSAGE = "rows of %(table)s are never changed"
_SQLITE = f"BEGIN SELECT RAISE(ABORT, '{_MESSAGE}'); END"
_TRIGGERS = {
    "sqlite": (
        f"CREATE TRIGGER %(table)s_not_updated BEFORE UPDATE ON %(fullname)s {_SQLITE}",
        f"CREATE TRIGGER %(table)s_not_deleted BEFORE DELETE ON %(fullname)s {_SQLITE}",
    ),
    "postgresql": (
        "CREATE TRIGGER %(table)s_append_only BEFORE UPDATE OR DELETE ON %(fullname)s EXECUTE FUNCTION %(function)s()",
        "CREATE TRIGGER %(table)s_not_truncated BEFORE TRUNCATE ON %(fullname)s EXECUTE FUNCTION %(function)s()",
    ),
    "mssql": (f"CREATE TRIGGER %(trigger)s ON %(fullname)s INSTEAD OF UPDATE, DELETE AS THROW 51000, '{_MESSAGE}', 1",),
}
_FUNCTION_BODY = "BEGIN RAISE EXCEPTION USING MESSAGE = 'rows of ' || TG_TABLE_NAME || ' are never changed'; END"
"""Of triggers on PostgreSQL; those for each statement refuse it whether or not it meets a row."""


def upgrade() -> None:
    """Create the tables, and what refuses to change their rows."""
    op.create_table(
        "transitions",
        sa.Column(
            "global_seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            sa.Identity(always=False),
            nullable=False,
        ),
        sa.Column("order_id", make_text_type(200), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("machine", make_text_type(255), nullable=False),
        sa.Column("event_id", make_text_type(255), nullable=False),
        sa.Column("event_type", make_text_type(255), nullable=False),
        sa.Column("schema_version", sa.BigInteger(), nullable=False),
        sa.Column("dc", make_text_type(200), nullable=False),
        sa.Column("ship_date", sa.Date(), nullable=True),
        sa.Column("from_state", make_text_type(255), nullable=False),
        sa.Column("to_state", make_text_type(255), nullable=False),
        sa.Column("payload", make_text_type(), nullable=False),
        sa.Column("payload_sha256", make_text_type(255), nullable=False),
        sa.Column("source", make_text_type(255), nullable=False),
        sa.Column("causation_id", make_text_type(255), nullable=True),
        sa.Column("correlation_id", make_text_type(255), nullable=True),
        sa.Column("actor", make_text_type(), nullable=False),
        sa.Column("code_version", make_text_type(255), nullable=False),
        sa.Column("occurred_at", UtcDateTime(), nullable=False),
        sa.Column("recorded_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("global_seq"),
        sa.UniqueConstraint("order_id", "version", name="transitions_by_key"),
        sa.UniqueConstraint("event_id", name="transitions_by_event"),
    )
    op.create_table(
        "order_heads",
        sa.Column("order_id", make_text_type(200), nullable=False),
        sa.Column("machine", make_text_type(255), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("state", make_text_type(255), nullable=False),
        sa.Column("dc", make_text_type(200), nullable=False),
        sa.Column("ship_date", sa.Date(), nullable=True),
        sa.Column("changed_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("order_id"),
    )
    op.create_index("order_heads_by_state", "order_heads", ["machine", "state", "changed_at"], unique=False)
    op.create_table(
        "effects",
        sa.Column("effect_id", make_text_type(255), nullable=False),
        sa.Column("order_id", make_text_type(200), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("kind", make_text_type(255), nullable=False),
        sa.Column("function", make_text_type(255), nullable=False),
        sa.Column("state", make_text_type(255), nullable=False),
        sa.Column("dc", make_text_type(200), nullable=False),
        sa.Column("request", make_text_type(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("response", make_text_type(), nullable=True),
        sa.Column("failure", make_text_type(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("done_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("effect_id"),
    )
    op.create_index("effects_by_state", "effects", ["state", "function", "created_at"], unique=False)
    op.create_index("effects_by_order", "effects", ["order_id", "version"], unique=False)
    op.create_table(
        "rejected_events",
        sa.Column("event_id", make_text_type(64), nullable=False),
        sa.Column("payload_sha256", make_text_type(64), nullable=False),
        sa.Column("order_id", make_text_type(200), nullable=False),
        sa.Column("event_type", make_text_type(255), nullable=False),
        sa.Column("source", make_text_type(255), nullable=False),
        sa.Column("rejection", make_text_type(255), nullable=False),
        sa.Column("reason", make_text_type(), nullable=False),
        sa.Column("payload", make_text_type(), nullable=False),
        sa.Column("occurred_at", UtcDateTime(), nullable=False),
        sa.Column("recorded_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("event_id", "payload_sha256"),
    )
    _refuse_changes()


def downgrade() -> None:
    """Drop them; a trigger goes with its table."""
    for table in _TABLES:
        op.drop_table(table)
    if op.get_context().dialect.name == "postgresql":
        op.execute(f"DROP FUNCTION {_format_name(_FUNCTION)}()")


def _refuse_changes() -> None:
    backend, function = op.get_context().dialect.name, _format_name(_FUNCTION)
    if backend == "postgresql":
        op.execute(f"CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $$ {_FUNCTION_BODY} $$")
    for table in _APPEND_ONLY:
        names = {"table": table, "fullname": _format_name(table), "function": function}
        for statement in _TRIGGERS[backend]:
            op.execute(statement % {**names, "trigger": _format_name(f"{table}_append_only")})


def _format_name(name: str) -> str:
    """Format the name of what is in the tables' schema, quoted where it has to be."""
    placed = sa.Table(name, sa.MetaData(), schema=get_schema())
    return op.get_context().dialect.identifier_preparer.format_table(placed)
