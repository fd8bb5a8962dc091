from __future__ import annotations

import pytest

from fillrate_assets.cli import settings_reference
from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.settings import list_settings
from fillrate_assets_tests.conftest import ROOT

PAGE = ROOT / "docs" / "reference" / "settings.md"


def test_the_reference_is_what_the_code_says() -> None:
    assert settings_reference.update(PAGE.read_text()) == PAGE.read_text(), "run `make settings`"


def test_every_setting_says_what_it_means() -> None:
    assert [setting.variable for setting in list_settings() if not setting.meaning] == []


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(PermanentFailure, match="the page has no <!-- begin"):
        settings_reference.update("# Settings\n")
