"""One outbox: the messages of the buffers move into the table of the platform's own."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from fillrate_assets.storage.migrations.placement import get_schema
from fillrate_assets.storage.sql_types import UtcDateTime, make_text_type

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_MINUTES = 10
"""How old a notice may be to be sent."""


def upgrade() -> None:
    """Give the outbox queues, and move what is known of the notices' messages there."""
    schema = get_schema()
    queue = sa.Column("queue", make_text_type(64), server_default=sa.text("'platform'"), nullable=False)
    op.add_column("outbox", queue, schema=schema)
    op.add_column("outbox", sa.Column("payload", make_text_type(), nullable=True), schema=schema)
    op.add_column("outbox", sa.Column("expires_at", UtcDateTime(), nullable=True), schema=schema)
    _rename("key", "message_id", schema, nullable=False)
    _rename("destination", "channel", schema, nullable=True)
    outbox, notices = _name_outbox(schema), _name_notices(schema)
    op.execute(
        outbox.update()
        .where(outbox.c.channel.like("arn:%"))
        .values(channel=sa.literal("sns:", sa.Unicode()) + outbox.c.channel)
    )
    heartbeat = outbox.c.channel.is_not(None) & ~outbox.c.channel.like("sns:arn:%")
    op.execute(outbox.update().where(heartbeat).values(queue="heartbeat"))
    first = [
        sa.func.min(notices.c[name]).label(name)
        for name in ("created_at", "channel", "attempts", "next_attempt_at", "sent_at", "failure")
    ]
    subject = sa.func.min(notices.c.warehouse) + sa.literal(": alerts, see below", sa.Unicode())
    blank, comma, colon = (sa.literal(each, sa.Unicode()) for each in (" ", ", ", ": "))
    what = notices.c.severity + blank + notices.c.action + comma + notices.c.unit_id + blank + notices.c.direction
    line = what + colon + sa.func.coalesce(notices.c.explanation, sa.literal("", sa.Unicode()))
    moved = sa.select(
        sa.literal("buffers", sa.Unicode()).label("queue"),
        notices.c.message_id,
        subject.label("subject"),
        sa.func.aggregate_strings(line, "\n").label("body"),
        _add_minutes(sa.func.min(notices.c.snapshot_ts)).label("expires_at"),
        *first,
    ).group_by(notices.c.message_id)
    op.execute(outbox.insert().from_select([column.name for column in moved.selected_columns], moved))
    op.drop_index("outbox_by_attempt", table_name="outbox", schema=schema)
    op.create_index("outbox_by_attempt", "outbox", ["queue", "next_attempt_at"], unique=False, schema=schema)
    op.drop_index("notices_by_attempt", table_name="notices", schema=schema)
    for name in ("attempts", "next_attempt_at", "sent_at", "failure"):
        op.drop_column("notices", name, schema=schema)


def downgrade() -> None:
    """Give the notices back what is known of their messages."""
    schema = get_schema()
    attempts = sa.Column("attempts", sa.BigInteger(), server_default=sa.text("0"), nullable=False)
    op.add_column("notices", attempts, schema=schema)
    for name in ("next_attempt_at", "sent_at"):
        op.add_column("notices", sa.Column(name, UtcDateTime(), nullable=True), schema=schema)
    op.add_column("notices", sa.Column("failure", make_text_type(), nullable=True), schema=schema)
    outbox, notices = _name_outbox(schema), _name_notices(schema)
    mine = outbox.c.message_id == notices.c.message_id
    values: dict[str, sa.ColumnElement[Any]] = {
        name: sa.select(outbox.c[name]).where(mine).scalar_subquery()
        for name in ("next_attempt_at", "sent_at", "failure")
    }
    values["attempts"] = sa.func.coalesce(sa.select(outbox.c.attempts).where(mine).scalar_subquery(), 0)
    op.execute(notices.update().values(values))
    op.create_index("notices_by_attempt", "notices", ["next_attempt_at"], unique=False, schema=schema)
    op.execute(outbox.delete().where(outbox.c.queue.not_in(["platform", "heartbeat"])))
    prefixed = outbox.update().where(outbox.c.channel.like("sns:arn:%"), outbox.c.queue == "platform")
    op.execute(prefixed.values(channel=sa.func.replace(outbox.c.channel, "sns:arn:", "arn:")))
    op.drop_index("outbox_by_attempt", table_name="outbox", schema=schema)
    op.create_index("outbox_by_attempt", "outbox", ["next_attempt_at"], unique=False, schema=schema)
    _rename("message_id", "key", schema, nullable=False)
    _rename("channel", "destination", schema, nullable=True)
    for name in ("expires_at", "payload"):
        op.drop_column("outbox", name, schema=schema)
    op.drop_column("outbox", "queue", schema=schema, mssql_drop_default=True)


def _rename(name: str, new: str, schema: str | None, *, nullable: bool) -> None:
    op.alter_column(
        "outbox", name, new_column_name=new, existing_type=sa.Unicode(255), existing_nullable=nullable, schema=schema
    )


def _name_outbox(schema: str | None) -> sa.TableClause:
    text = [sa.column(name, sa.Unicode()) for name in ("queue", "message_id", "channel", "subject", "body", "failure")]
    moments = [sa.column(name, UtcDateTime()) for name in ("created_at", "expires_at", "next_attempt_at", "sent_at")]
    return sa.table("outbox", *text, *moments, sa.column("attempts", sa.BigInteger()), schema=schema)


def _name_notices(schema: str | None) -> sa.TableClause:
    names = ("message_id", "channel", "warehouse", "severity", "action", "unit_id", "direction", "explanation")
    text = [sa.column(name, sa.Unicode()) for name in (*names, "failure")]
    moments = [sa.column(name, UtcDateTime()) for name in ("created_at", "snapshot_ts", "next_attempt_at", "sent_at")]
    return sa.table("notices", *text, *moments, sa.column("attempts", sa.BigInteger()), schema=schema)


def _add_minutes(moment: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Add minutes to a time, as each database does."""
    match op.get_context().dialect.name:
        case "sqlite":
            added = sa.func.strftime("%Y-%m-%d %H:%M:%f", moment, f"+{_MINUTES} minutes")
            return sa.type_coerce(added, sa.Unicode()) + sa.literal("000", sa.Unicode())
        case "mssql":
            return sa.func.dateadd(sa.text("minute"), _MINUTES, moment)
        case _:
            return moment + sa.text(f"INTERVAL '{_MINUTES} minutes'")
