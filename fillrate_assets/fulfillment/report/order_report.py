"""An order or party as people read it: its status, its history, and why it is where it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.core.text_table import format_table
from fillrate_assets.fulfillment.accepted_events import ACCEPTED_EVENTS
from fillrate_assets.fulfillment.effect_store import EFFECTS
from fillrate_assets.fulfillment.interventions import INTERVENTIONS
from fillrate_assets.fulfillment.rules.lifecycles import LIFECYCLES
from fillrate_assets.fulfillment.transition_log import HEADS, REJECTED_EVENTS, TRANSITIONS
from fillrate_assets.storage.database import Database

_SYSTEM: Final = "transition log"
_TIME: Final = "%Y-%m-%d %H:%M:%S"

Row = Mapping[str, Any]


@dataclass(frozen=True)
class OrderReport:
    """Everything that is stored about one order."""

    order_id: str
    head: Row | None
    transitions: list[Row]
    effects: list[Row]
    rejected: list[Row]
    waiting: list[Row]
    """Events that were accepted, and are neither applied nor rejected."""

    interventions: list[Row]
    """What people had done to it."""

    def describe_status(self) -> list[str]:
        """Say where the order is, and what it waits for."""
        return [*self._describe_head(), *self._describe_open()]

    def describe_history(self) -> list[str]:
        """List what happened, oldest first."""
        rows = [
            [
                str(row["version"]),
                f"{row['occurred_at']:{_TIME}}",
                row["event_type"],
                f"{row['from_state']} -> {row['to_state']}",
                row["source"],
                row["actor"],
            ]
            for row in self.transitions
        ]
        headings = ["version", "occurred (UTC)", "event", "states", "source", "applied by"]
        return [*format_table(headings, rows, numbers=["version"]), *self._describe_interventions()]

    def explain(self) -> list[str]:
        """Say why the order is where it is: each event with its cause and effects, and what changed nothing."""
        return [
            *self._describe_head(),
            *self._explain_transitions(),
            *self._describe_interventions(),
            *self._describe_open(),
            *self._describe_next(),
        ]

    def _describe_head(self) -> Iterator[str]:
        if self.head is None:
            yield f"{self.order_id}: no event is applied"
            return
        head = self.head
        shipped = f", ships {head['ship_date']}" if head["ship_date"] else ""
        dc = f" of {head['dc']}" if head["dc"] else ""
        yield (
            f"{self.order_id}, {head['machine']}{dc}{shipped}: {head['state']} since {head['changed_at']:{_TIME}} UTC,"
            f" version {head['version']}"
        )

    def _describe_open(self) -> Iterator[str]:
        for row in self.effects:
            if row["state"] != "DONE":
                tried = f", attempts: {row['attempts']}: {row['failure']}" if row["failure"] else ""
                yield f"{row['state'].lower()}: {row['kind']} ({row['effect_id']}){tried}"
        yield from (f"waits to be applied: {row['event_type']} of {row['source']}" for row in self.waiting)
        for row in self.rejected:
            yield f"{row['rejection'].lower()}: {row['event_type']} of {row['source']}: {row['reason']}"

    def _explain_transitions(self) -> Iterator[str]:
        for row in self.transitions:
            cause = f", which answers {row['causation_id']}" if row["causation_id"] else ""
            yield (
                f"{row['version']}. {row['event_type']} of {row['source']}{cause}: {row['from_state']} ->"
                f" {row['to_state']}, applied by {row['actor']} with {row['code_version']}"
            )
            for effect in self.effects:
                if effect["version"] == row["version"]:
                    tried = f" after {effect['attempts']} attempts" if effect["attempts"] > 1 else ""
                    yield f"   {effect['kind']}: {effect['state'].lower()}{tried}"

    def _describe_interventions(self) -> Iterator[str]:
        for row in self.interventions:
            what = "" if row["subject"] == self.order_id else f" {row['subject']}"
            approved = f", approved by {row['approver']}" if row["approver"] else ""
            yield (
                f"{row['action'].lower()}{what} at {row['recorded_at']:{_TIME}} UTC by {row['actor']} with"
                f" {row['code_version']}{approved}: {row['reason']}"
            )

    def _describe_next(self) -> Iterator[str]:
        if self.head is not None:
            machine, state = LIFECYCLES[self.head["machine"]], self.head["state"]
            events = dict.fromkeys(
                row.event for row in machine.transitions if row.state == state and row.next_state != state
            )
            yield f"left by: {', '.join(events)}" if events else "this is final"


def read_order(database: Database, order_id: str) -> OrderReport:
    """Read what is stored about an order or party.

    Raises:
        PermanentFailure: nothing is.
        SourceUnavailable: the database did not answer.

    """
    with database.connect(_SYSTEM) as connection:

        def select(table: sa.Table, *order: str) -> list[Row]:
            columns = [table.c[name] for name in order]
            chosen = sa.select(table).where(table.c.order_id == order_id).order_by(*columns)
            return [*connection.execute(chosen).mappings()]

        accepted = select(ACCEPTED_EVENTS, "accepted_at")
        transitions, rejected = select(TRANSITIONS, "version"), select(REJECTED_EVENTS, "recorded_at")
        heads, effects = select(HEADS), select(EFFECTS, "version", "kind")
        interventions = select(INTERVENTIONS, "recorded_at", "subject")
    if not (accepted or transitions or rejected):
        msg = f"there is no event of {order_id}"
        raise PermanentFailure(msg)
    known = {row["event_id"] for row in (*transitions, *rejected)}
    waiting = [row for row in accepted if row["event_id"] not in known]
    return OrderReport(order_id, heads[0] if heads else None, transitions, effects, rejected, waiting, interventions)


def list_rejected(database: Database, limit: int) -> list[str]:
    """List the events that were rejected last, as a table; nothing where none was."""
    names = ("recorded_at", "order_id", "event_type", "source", "rejection", "reason")
    columns = [REJECTED_EVENTS.c[name] for name in names]
    newest = sa.select(*columns).order_by(REJECTED_EVENTS.c.recorded_at.desc(), REJECTED_EVENTS.c.event_id).limit(limit)
    with database.connect(_SYSTEM) as connection:
        rows = [[f"{at:{_TIME}}", *map(str, rest)] for at, *rest in connection.execute(newest)]
    return format_table(["rejected (UTC)", "order", "event", "source", "as", "why"], rows) if rows else []


@dataclass(frozen=True)
class Totals:
    """How much of what there is in the record store."""

    accepted: int
    applied: int
    rejected: dict[str, int]
    """By why: INVALID or CONFLICTING."""

    effects: dict[str, int]
    """By state."""

    attempts: int
    """Of effects, all together."""

    heads: dict[str, int]
    """Orders and parties, by state."""


def read_totals(database: Database) -> Totals:
    """Count what there is in the record store."""
    with database.connect(_SYSTEM) as connection:

        def count(table: sa.Table) -> int:
            return connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()

        def count_by(column: sa.Column[Any]) -> dict[str, int]:
            chosen = sa.select(column, sa.func.count()).group_by(column).order_by(column)
            return {str(value): int(found) for value, found in connection.execute(chosen).all()}

        attempts = connection.execute(sa.select(sa.func.coalesce(sa.func.sum(EFFECTS.c.attempts), 0))).scalar_one()
        return Totals(
            count(ACCEPTED_EVENTS),
            count(TRANSITIONS),
            count_by(REJECTED_EVENTS.c.rejection),
            count_by(EFFECTS.c.state),
            int(attempts),
            count_by(HEADS.c.state),
        )


def describe_totals(totals: Totals) -> list[str]:
    """Say how much of what there is."""
    heads, effects, rejected = map(_list_counts, (totals.heads, totals.effects, totals.rejected))
    return [
        f"orders and parties: {heads}",
        f"events: {totals.accepted:,} accepted, {totals.applied:,} applied; rejected: {rejected}",
        f"effects: {effects}; attempts: {totals.attempts:,}",
    ]


def _list_counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items()) or "none"
