"""Operations in a real browser, as wide as a small phone."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import Browser, expect

from fillrate_assets.web.access import Person
from fillrate_assets.web.authentication import COOKIE
from fillrate_assets.web.operations.views import VIEWS
from fillrate_assets_tests.factories.operations import CHANGES, SIGNER, make_letter, make_operations
from fillrate_assets_tests.fixtures.accessibility import Screen, find_violations
from fillrate_assets_tests.fixtures.served_app import serve_app


def test_a_phone_shows_and_tries_again_without_script(chromium: Browser, tmp_path: Path) -> None:
    operations, listening = make_operations(tmp_path), socket.create_server(("127.0.0.1", 0))
    operations.base_url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    # A name that its column has to break.
    operations.queue.dead.append(make_letter("N" * 200, "carrier", "n" * 500))
    context = chromium.new_context(
        viewport={"width": 360, "height": 740}, color_scheme="dark", java_script_enabled=False
    )
    session = SIGNER.sign(Person.with_grants("", ["operator"]))
    with serve_app(operations.build_app(), listening):
        context.add_cookies([{"name": COOKIE, "value": session, "url": operations.base_url}])
        page = context.new_page()
        for path in ("", *(f"/{view}" for view in VIEWS)):
            page.goto(f"{operations.base_url}/operations{path}")
            assert page.evaluate("document.documentElement.scrollWidth") == 360
        page.goto(f"{operations.base_url}/operations/dead-letters")
        page.get_by_role("link", name=CHANGES).click()
        page.get_by_role("textbox", name="Your name").first.fill("Lee")
        page.get_by_role("button", name="Try again").click()
        expect(page.get_by_role("status")).to_contain_text("It is tried again.")
        page.screenshot(path=tmp_path / "letter.png", full_page=True)
        page.reload()
    context.close()
    assert [(action.actor, action.subject) for action in operations.list_logged()] == [("Lee", CHANGES)]


def test_axe_finds_nothing_in_operations(chromium: Browser, screens: Sequence[Screen], tmp_path: Path) -> None:
    operations, listening = make_operations(tmp_path), socket.create_server(("127.0.0.1", 0))
    operations.base_url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    session = SIGNER.sign(Person.with_grants("", ["operator"]))
    context, found = chromium.new_context(), list[str]()
    with serve_app(operations.build_app(), listening):
        context.add_cookies([{"name": COOKIE, "value": session, "url": operations.base_url}])
        page = context.new_page()
        for path in ("", *(f"/{view}" for view in VIEWS)):
            page.goto(f"{operations.base_url}/operations{path}")
            found += find_violations(page, screens)
    context.close()
    assert found == []
