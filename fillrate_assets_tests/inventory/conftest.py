"""What the tests of the inventory share."""

from __future__ import annotations

import pytest

from fillrate_assets.fillrate.record_store import RecordStore
from fillrate_assets.storage.database import Database


@pytest.fixture
def database(store: RecordStore) -> Database:
    """An empty database of each kind that is at hand."""
    return store.database
