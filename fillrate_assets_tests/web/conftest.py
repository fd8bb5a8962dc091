"""One service for all tests of it: each begins without an answer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fillrate_assets_tests.factories.web_floor import Floor, serve


@pytest.fixture(scope="session")
def _served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Floor]:
    with serve(tmp_path_factory.mktemp("feedback")) as floor:
        yield floor


@pytest.fixture
def floor(_served: Floor) -> Floor:
    """A warehouse with an alert, without an answer."""
    _served.reset()
    return _served
