"""The pages in a real browser, as wide as a small phone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect

from fillrate_assets_tests.factories.web_floor import Floor
from fillrate_assets_tests.fixtures.accessibility import Screen, find_violations

PHONE: Final[ViewportSize] = {"width": 360, "height": 740}
MIN_TAP: Final = 44
"""Pixels that a thumb hits."""

GIVEN_UP: Final = "net::ERR_ABORTED"

pytestmark = pytest.mark.slow


@pytest.fixture(params=["light", pytest.param("dark", marks=pytest.mark.sweep)])
def phone(request: pytest.FixtureRequest, chromium: Browser) -> Iterator[Page]:
    """A page of a new phone; whatever its browser complains of fails the test."""
    context = chromium.new_context(
        viewport=PHONE, color_scheme=request.param, has_touch=True, java_script_enabled=False
    )
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    # A picture that is still on its way when somebody taps is given up.
    page.on("requestfailed", lambda failed: complaints.append(failed.url) if failed.failure != GIVEN_UP else None)
    yield page
    context.close()
    assert not complaints


def check_page(page: Page, file: Path) -> None:
    """Take a picture; nothing is wider than the phone, and everything to tap is large enough."""
    page.screenshot(path=file, full_page=True)
    assert file.stat().st_size > 0
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    heights = "all => all.filter(each => each.checkVisibility()).map(each => each.getBoundingClientRect().height)"
    assert min(page.locator("main :is(button, select, summary, a, .choice)").evaluate_all(heights)) >= MIN_TAP


def test_an_alert_is_answered_with_one_tap(floor: Floor, phone: Page, tmp_path: Path) -> None:
    phone.goto(floor.link_alert(responder="Kim"))
    expect(phone.get_by_role("heading", name="Was this alert right?")).to_be_in_viewport()
    expect(phone.get_by_role("button", name="Yes, it was right")).to_be_in_viewport()
    check_page(phone, tmp_path / "alert.png")
    phone.get_by_role("button", name="There was no problem").tap()
    expect(phone.get_by_role("status")).to_contain_text("Kim: “There was no problem”")
    check_page(phone, tmp_path / "recorded.png")
    phone.reload()
    phone.go_back()
    assert [(row["responder"], row["answer"]) for row in floor.read_rows()] == [("Kim", "NO_PROBLEM")]


def test_the_name_is_typed_once_and_enter_sends_no_answer(floor: Floor, phone: Page, tmp_path: Path) -> None:
    phone.goto(floor.link_alert())
    phone.get_by_label("Your name").fill("Maria")
    phone.keyboard.press("Enter")
    phone.get_by_label("Number that would have been right").fill("6")
    phone.keyboard.press("Enter")
    assert not floor.read_rows()
    phone.get_by_role("button", name="Right action, wrong number").tap()
    expect(phone.get_by_role("status")).to_contain_text("6 would have been right")
    phone.get_by_role("link", name="Change the answer").tap()
    expect(phone.get_by_text("You answer as Maria")).to_be_visible()
    check_page(phone, tmp_path / "again.png")
    floor.now += timedelta(minutes=1)
    phone.get_by_role("button", name="It came too late").tap()
    expect(phone.get_by_role("status")).to_contain_text("It came too late")
    assert [row["answer"] for row in floor.read_rows()] == ["WRONG_QTY", "TOO_LATE"]


def test_a_missed_problem_is_reported(floor: Floor, phone: Page, tmp_path: Path) -> None:
    phone.goto(floor.link_missed())
    check_page(phone, tmp_path / "missed.png")
    phone.get_by_label("Your name").fill("Maria")
    phone.get_by_label("Buffer").select_option("W1_LANE_L03")
    phone.get_by_label("Too full").check()
    phone.get_by_role("button", name="Report the problem").tap()
    expect(phone.get_by_role("status")).to_contain_text("W1_LANE_L03, too full")
    check_page(phone, tmp_path / "reported.png")
    floor.now += timedelta(minutes=1)
    phone.get_by_role("button", name="It was a mistake").tap()
    expect(phone.get_by_role("status")).to_contain_text("withdrawn")
    assert [row["answer"] for row in floor.read_rows()] == ["MISSED_PROBLEM", "NO_PROBLEM"]


def test_a_sample_is_gone_through(floor: Floor, phone: Page, tmp_path: Path) -> None:
    phone.goto(floor.link_audit())
    phone.get_by_label("Your name").fill("Maria")
    phone.get_by_role("button", name="Begin").tap()
    expect(phone.get_by_role("status")).to_contain_text("0 of 10")
    phone.get_by_role("button", name="No problem").nth(6).tap()
    expect(phone.get_by_text("Recorded")).to_be_in_viewport()
    phone.get_by_text("There was a problem").first.tap()
    phone.get_by_label("Too empty").first.check()
    phone.get_by_label("When did it begin").first.fill("2026-03-03T10:15")
    check_page(phone, tmp_path / "audit.png")
    phone.get_by_role("button", name="Record the problem").tap()
    expect(phone.get_by_role("status")).to_contain_text("2 of 10")
    assert {row["answer"] for row in floor.read_rows()} == {"NO_PROBLEM", "MISSED_PROBLEM"}


def test_axe_finds_nothing_where_alerts_are_answered(
    floor: Floor, chromium: Browser, screens: Sequence[Screen]
) -> None:
    page, found = chromium.new_context().new_page(), list[str]()
    for link in (floor.link_alert(), floor.link_missed(), floor.link_audit()):
        page.goto(link)
        found += find_violations(page, screens)
    page.context.close()
    assert found == []
