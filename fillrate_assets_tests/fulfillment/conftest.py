"""What the tests of fulfillment share."""

from __future__ import annotations

import pytest

from fillrate_assets.fillrate.record_store import RecordStore
from fillrate_assets.fulfillment.transition_log import TransitionLog


@pytest.fixture
def log(store: RecordStore) -> TransitionLog:
    """An empty transition log on each database that is at hand."""
    return TransitionLog(store.database, "1.0")
