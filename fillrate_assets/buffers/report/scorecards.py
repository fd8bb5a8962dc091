"""Scorecards as people read them: how right the alerts of the last days were, by what the floor answered."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import polars as pl

from fillrate_assets.buffers.buffer_store import BufferStore
from fillrate_assets.buffers.notice_store import NoticeStore
from fillrate_assets.buffers.rules.scorecard import compute_scorecard
from fillrate_assets.storage.database import Database

SCORED: Final = timedelta(days=7)
"""How far back alerts count, as in the asset `algorithm_scorecard`."""


def read_scorecard(database: Database, *, now: datetime) -> pl.DataFrame:
    """Read how right the alerts of the last seven days were: `SCORECARD`.

    Raises:
        SourceUnavailable: the record store did not answer.

    """
    since = now - SCORED
    answers = BufferStore(database).read_feedback(since)
    missed_before = (pl.col("answer") == "MISSED_PROBLEM") & (pl.col("episode_ts") < since)
    return compute_scorecard(NoticeStore(database).read_since(since), answers.filter(~missed_before))
