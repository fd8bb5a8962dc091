"""What the pages read, and the one thing that they write."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from threading import Lock
from typing import Any, Protocol

import polars as pl

from fillrate_assets.buffers.rules.tick import MasterData


class Alerts(Protocol):
    """The alerts that were sent."""

    def read_episode(self, rec_id: str) -> pl.DataFrame:
        """Return `NOTICES` of the episode that an alert belongs to, every one; empty where there is no such alert."""

    def read_since(self, since: datetime, *, until: datetime, warehouse: str) -> pl.DataFrame:
        """Return `NOTICES` of a warehouse's ticks since a moment and before another."""


class Answers(Protocol):
    """What is known of warehouses, and what the floor answered."""

    def read_master_data(self, warehouse: str) -> MasterData:
        """Return the master tables of a warehouse."""

    def read_answers(self, rec_id: str, responder: str) -> pl.DataFrame:
        """`FEEDBACK`: every version of what someone answered."""

    def add_feedback(self, row: Mapping[str, Any]) -> bool:
        """Store a row of `FEEDBACK`; return whether it is new."""


class Recorder:
    """A store of answers: the same one again is no new version, a changed one is."""

    def __init__(self, answers: Answers) -> None:
        """Over a store of answers."""
        self._answers = answers
        self._one_at_a_time = Lock()

    def find_last(self, rec_id: str, responder: str) -> Mapping[str, Any] | None:
        """Return the row of `FEEDBACK` that counts, if there is one."""
        rows = self._answers.read_answers(rec_id, responder).sort("answered_at")
        return rows.row(-1, named=True) if rows.height else None

    def record(self, row: Mapping[str, Any]) -> bool:
        """Store a row of `FEEDBACK`, unless it is what its responder answered last; return whether it did."""
        # A double tap posts twice at once: without this, both would find nothing and both would be stored.
        with self._one_at_a_time:
            last = self.find_last(row["rec_id"], row["responder"])
            if last is not None and {**last, "answered_at": None} == {**row, "answered_at": None}:
                return False
            return self._answers.add_feedback(row)
