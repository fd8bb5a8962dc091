"""What buyers want to know of a morning, in a browser without script: each from the first page in four clicks."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from fillrate_assets import settings
from fillrate_assets.buffers.buffer_store import BufferStore
from fillrate_assets.buffers.notice_store import NoticeStore
from fillrate_assets.fillrate.record_store import RESTATEMENTS
from fillrate_assets.notifications.signed_links import LinkSigner
from fillrate_assets.storage.database import Database
from fillrate_assets.subscriptions.view_store import SavedView
from fillrate_assets.web.access import Person
from fillrate_assets.web.app import build_app
from fillrate_assets.web.authentication import COOKIE
from fillrate_assets_tests.conftest import copy_home
from fillrate_assets_tests.factories.service import NOW, SIGNER, Service
from fillrate_assets_tests.factories.web_floor import POLICY, SECRET
from fillrate_assets_tests.fixtures.accessibility import Screen, find_violations, open_with_script
from fillrate_assets_tests.fixtures.served_app import serve_app

MOST_CLICKS: Final = 4


@dataclass
class Reader:
    """A buyer's browser on the first page, which counts clicks."""

    page: Page
    clicks: int = field(default=0)

    def follow(self, name: str, within: str = "main") -> None:
        """Follow the first link of a name."""
        self._click(self.page.locator(within).get_by_role("link", name=name).first.click)

    def follow_first(self, part: str) -> None:
        """Follow the link of the first row of a table."""
        self._click(self.page.locator(f"#{part} tbody th a").first.click)

    def open(self, name: str) -> None:
        """Open what is folded."""
        self._click(self.page.locator("summary", has_text=name).first.click)

    def press(self, name: str) -> None:
        """Press a button."""
        self._click(self.page.get_by_role("button", name=name).first.click)

    def _click(self, click: Callable[[], None]) -> None:
        click()
        self.clicks += 1
        assert self.clicks <= MOST_CLICKS

    def reads(self, *texts: str) -> None:
        """Require that the page says something."""
        for text in texts:
            expect(self.page.locator("main")).to_contain_text(text)


@pytest.fixture(scope="module")
def first_page(
    stock_buffers_template: Path, tmp_path_factory: pytest.TempPathFactory, chromium: Browser
) -> Iterator[Page]:
    home = copy_home(stock_buffers_template, tmp_path_factory.mktemp("service"))
    chosen = settings.load(home=home, web__subscription_domains=["dc.example"])
    database = Database.from_settings(chosen)
    moved = {"dc": "DC01", "ship_date": date(2026, 3, 10), "item": "A", "field": "lost_cases", "before": "2.0000"}
    moved |= {"after": "5.0000", "cause": "corrected", "run_id": "r", "restated_at": datetime(2026, 3, 16, 5)}  # noqa: DTZ001 - as stored
    with database.begin() as connection:
        connection.execute(RESTATEMENTS.insert().values(moved))
    listening = socket.create_server(("127.0.0.1", 0))
    base_url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    app = build_app(
        alerts=NoticeStore(database),
        answers=BufferStore(database),
        links=LinkSigner(base_url, [SECRET]),
        policy_version=lambda: POLICY,
        clock=lambda: NOW,
        routes=Service(chosen, base_url=base_url, max_age_seconds=3600).build_routes(),
    )
    with serve_app(app, listening):
        context = chromium.new_context(viewport={"width": 1280, "height": 900}, java_script_enabled=False)
        token = SIGNER.sign(Person.with_grants("Kim", ["buyer"]))
        context.add_cookies([{"name": COOKIE, "value": token, "url": base_url}])
        page = context.new_page()
        page.goto(f"{base_url}/")
        yield page
        context.close()


@pytest.fixture
def reader(first_page: Page) -> Reader:
    """A buyer on the first page."""
    first_page.goto(
        f"{first_page.url.split('/service')[0].split('/changes')[0].split('/views')[0].split('/search')[0]}/"
    )
    return Reader(first_page)


def test_which_vendors_cost_most_this_month_against_last(reader: Reader) -> None:
    reader.open("Another period")
    reader.follow("Month to date")
    reader.follow("All of by vendor")
    reader.reads("Sun 01 Mar 2026", "against", "Lost before", "Lost change")


def test_chronically_short_items_at_a_dc(reader: Reader) -> None:
    reader.follow("DC02")
    reader.reads("Chronic items", "Days short", "of the last 28 ship days")


def test_is_it_getting_better(reader: Reader) -> None:
    reader.reads("Is it getting better?")
    assert reader.page.locator("svg.course circle").count()
    reader.open("The numbers of the chart")
    reader.reads("2026-W11")


def test_who_is_below_contract_by_how_much_which_lines_prove_it_and_the_pack(reader: Reader) -> None:
    reader.follow("Contracts", "header")
    reader.reads("Lost on contract")
    reader.follow_first("vendors")
    reader.reads("Items and days that count", "The lines that prove it")
    with reader.page.expect_download() as pack:
        reader.follow("The vendor pack")
    assert pack.value.suggested_filename.endswith(".xlsx")


def test_what_changed_since_yesterday(reader: Reader) -> None:
    reader.follow("What changed", "header")
    reader.follow("Since yesterday")
    reader.reads("1 item of a DC changed; lost cases by +3 in all")


def test_why_was_this_item_short(reader: Reader) -> None:
    reader.follow_first("worst")
    reader.reads("Why it was short", "lost")


def test_what_should_i_order_more_of_and_why(reader: Reader) -> None:
    reader.reads("What to order")
    reader.follow_first("orders")
    reader.reads("What to hold", "like cases no more than", "being out of stock cost")
    reader.open("Accept, change or refuse")
    reader.press("Accept")
    reader.reads("Your decision is stored.", "Accepted by Kim")


def test_from_a_dc_to_a_vendor_to_an_item_to_its_lines(reader: Reader) -> None:
    reader.follow_first("dcs")
    reader.follow_first("vendors")
    reader.follow_first("worst")
    reader.follow_first("days")
    reader.reads("Lines of 2026-")


def test_the_same_weeks_last_year(reader: Reader) -> None:
    reader.open("Another period")
    reader.follow("a year earlier")
    assert "compare=year" in reader.page.url
    reader.reads("there is nothing earlier to compare with")


def test_mail_me_this_every_monday(reader: Reader) -> None:
    reader.follow("DC02")
    reader.follow("Mail this")
    reader.page.get_by_role("textbox", name="Address").fill("kim@dc.example")
    reader.press("Save")
    reader.reads("It is saved.", "Every Monday at 06:00", "kim@dc.example")
    reader.follow("Change or preview")
    reader.reads("As it would be sent now", "case fill")


@pytest.mark.parametrize("target", ["/service", "/service/dc/DC02"])
def test_the_tables_of_a_message_fit_a_phone(first_page: Page, published_template: Path, target: str) -> None:
    view = SavedView("v", "Kim", "sign-in", ["buyer"], NOW, "Monday", target, created_at=NOW, since=NOW)
    sender = Service(settings.load(home=published_template)).make_sender(lambda _: None)
    letter, _ = sender.render(view, NOW)
    page = first_page.context.new_page()
    page.set_viewport_size({"width": 360, "height": 800})
    page.set_content(letter.message.html)
    wide = "[...document.querySelectorAll('.wide')].filter(each => each.scrollWidth > each.clientWidth)"
    assert page.evaluate(f"{wide}.map(each => each.getAttribute('aria-label'))") == []
    page.close()


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (768, "light")])
def test_it_fits_a_phone_and_a_tablet(reader: Reader, width: int, scheme: str) -> None:
    reader.page.set_viewport_size({"width": width, "height": 800})
    reader.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    reader.page.reload()
    assert reader.page.evaluate("document.documentElement.scrollWidth") == width


def test_axe_finds_nothing_on_any_kind_of_page(
    reader: Reader, screens: Sequence[Screen], pytestconfig: pytest.Config
) -> None:
    """Of kinds that are alike, it looks at one; at each in a sweep."""
    base, waiting, kinds, found = reader.page.url.removesuffix("/service"), ["/service"], {"/service"}, list[str]()
    page, looked_at = open_with_script(reader.page), set[str]()
    while waiting:
        path = waiting.pop()
        page.goto(f"{base}{path}")
        kind = _find_kind(path)
        alike = kind if pytestconfig.getoption("sweep") else _ALIKE.sub("/service/*", kind)
        if alike not in looked_at:
            looked_at.add(alike)
            found += find_violations(page, screens)
        for link in page.locator("a").evaluate_all("all => all.map(each => each.href)"):
            path, kind = link.removeprefix(base), _find_kind(link)
            if kind not in kinds and path != link and "format=" not in link:
                kinds.add(kind)
                waiting.append(path)
    page.context.close()
    assert found == []
    of_one = {f"/service/{kind}/*" for kind in ("dc", "vendor", "department", "customer", "item", "item/*")}
    assert kinds >= {*of_one, "/service?table", "/service/contract", "/changes", "/views"}


_ALIKE: Final = re.compile("^/service/(dc|vendor|department|customer)(?=/)")


def _find_kind(link: str) -> str:
    """Find of what kind a page is: its path without names, and whether it shows one table whole."""
    address = urlsplit(link)
    _, *parts = address.path.split("/")
    kind = "/".join(["", *parts[:2], *("*" for _ in parts[2:])])
    return f"{kind}?table" if "table=" in address.query else kind
