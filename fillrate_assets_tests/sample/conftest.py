"""The history that all tests of the sample read."""

from __future__ import annotations

import pytest

from fillrate_assets_tests.factories.history import SMALL, History


@pytest.fixture(scope="session")
def history() -> History:
    """Made once: tests only read it."""
    return History(SMALL)
