"""One service for all tests of it, each of which begins without an answer, and one browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence

import pytest
from playwright.sync_api import Browser, sync_playwright

from fillrate_assets_tests.factories.web_floor import Floor, serve
from fillrate_assets_tests.fixtures.accessibility import SCREENS, Screen


@pytest.fixture(scope="session")
def _served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Floor]:
    with serve(tmp_path_factory.mktemp("feedback")) as floor:
        yield floor


@pytest.fixture
def floor(_served: Floor) -> Floor:
    """A warehouse with an alert, without an answer."""
    _served.reset()
    return _served


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Debian's browser, without a window; while it is there, its thread can run no other event loop."""
    if (program := shutil.which("chromium")) is None:
        pytest.skip("no chromium is installed: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        yield browser
        browser.close()


@pytest.fixture
def screens(pytestconfig: pytest.Config) -> Sequence[Screen]:
    """Those on which pages are looked at: a dark phone; all of them in a sweep."""
    return SCREENS if pytestconfig.getoption("sweep") else SCREENS[:1]
