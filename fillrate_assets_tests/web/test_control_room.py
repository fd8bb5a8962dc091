"""The control room over HTTP and in a browser: what it shows, to whom, and that it shows what the terminal shows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, timedelta
from html import unescape
from pathlib import Path
from typing import Final

import httpx
import pytest
from playwright.sync_api import Browser, expect

from fillrate_assets.buffers.buffer_store import FEEDBACK, BufferStore
from fillrate_assets.buffers.control_store import ACKNOWLEDGEMENTS
from fillrate_assets.buffers.report.board import render_board
from fillrate_assets.storage.database import Database
from fillrate_assets.web.authentication import LIFETIME, ProxyHeaders
from fillrate_assets.web.charts import Frame, draw_sparkline
from fillrate_assets.web.control_room.boards import REFRESH_SECONDS
from fillrate_assets.web.security_headers import HEADERS
from fillrate_assets_tests.factories import buffers_frames
from fillrate_assets_tests.factories.buffers_frames import TICK, make_tick
from fillrate_assets_tests.factories.control_room import FULL, LABEL, LANE, OTHER, Room, serve_room
from fillrate_assets_tests.fixtures.accessibility import Screen, find_violations

PROXY: Final = ProxyHeaders("X-User", "X-Groups", ["127.0.0.1/32"], {"leads": ["dc_manager:DC02"]})
SHOWN: Final = ("Chicago", "PICK", "94.0", "associates")


@pytest.fixture(scope="module")
def _served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    with serve_room(tmp_path_factory.mktemp("room"), PROXY) as room:
        yield room


@pytest.fixture
def room(_served: Room) -> Room:
    """A control room two minutes after its last tick."""
    _served.now = TICK + timedelta(minutes=2)
    with BufferStore(Database.from_settings(_served.settings)).database.engine.begin() as connection:
        connection.execute(FEEDBACK.delete())
        connection.execute(ACKNOWLEDGEMENTS.delete())
    return _served


def assert_shows_nothing(reply: httpx.Response) -> None:
    assert not any(word in reply.text for word in SHOWN)


def read_text(reply: httpx.Response) -> str:
    """Read what a page says, without its markup."""
    inline = re.sub(r"</?(time|small)[^>]*>", "", reply.text)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", inline)).split())


# --- to whom


@pytest.mark.parametrize("path", ["/floor", "/floor/W1", f"/floor/{FULL}"])
def test_who_is_not_signed_in_sees_nothing(room: Room, path: str) -> None:
    browser = room.make_browser()
    for headers in ({}, {"X-Groups": "leads"}, {"cookie": "fillrate_session=x.y"}):
        reply = browser.get(path, headers=headers)
        assert reply.status_code == 401
        assert_shows_nothing(reply)
        assert {name: reply.headers.get(name) for name in HEADERS} == HEADERS


def test_a_link_signs_in_for_a_day(room: Room) -> None:
    browser = room.sign_in("operator")
    assert browser.get("/floor").status_code == 200
    room.now += LIFETIME
    assert browser.get("/floor").status_code == 401
    for token in (browser.cookies["fillrate_session"], "forged.token"):
        reply = room.make_browser().get(f"/enter/{token}")
        assert (reply.status_code, reply.headers.get("set-cookie")) == (403, None)


@pytest.mark.parametrize(
    ("grants", "seen", "hidden"),
    [
        (["floor:W1"], ["W1", FULL, LANE], ["W2", OTHER]),
        (["dc_manager:DC02"], ["W2", OTHER], ["W1", FULL]),
        (["operator"], ["W1", "W2", FULL, OTHER], []),
        (["buyer"], [], ["W1", "W2", FULL]),
        ([], [], ["W1", "W2", FULL]),
    ],
)
def test_what_is_not_ones_own_is_as_if_it_were_not_there(
    room: Room, grants: list[str], seen: list[str], hidden: list[str]
) -> None:
    browser = room.sign_in(*grants)
    assert [browser.get(f"/floor/{name}").status_code for name in seen] == [200] * len(seen)
    unknown = browser.get("/floor/W9")
    for name in (*hidden, "W9_PICK_TOTAL", "W1_PICK_NONE", "%3Cscript%3E"):
        reply = browser.get(f"/floor/{name}")
        assert (reply.status_code, reply.text) == (404, unknown.text)
    floors = browser.get("/floor")
    assert floors.status_code == (200 if seen else 404)
    assert ('href="' + room.base_url + '/operations"' in floors.text) is (grants == ["operator"])


def test_a_proxy_signs_in_and_its_groups_say_what_is_seen(room: Room) -> None:
    browser = room.make_browser()
    said = {"X-User": "kim", "X-Groups": "leads"}
    # The one floor that they may see is shown at once.
    assert "W2 Chicago West" in browser.get("/floor", headers=said).text
    assert browser.get(f"/floor/{FULL}", headers=said).status_code == 404
    assert browser.get("/floor", headers={"X-User": "kim"}).status_code == 404


@pytest.mark.parametrize(("method", "path"), [("POST", "/floor"), ("PUT", "/floor/W1"), ("DELETE", "/floor/W1")])
def test_nothing_is_changed_but_by_a_form(room: Room, method: str, path: str) -> None:
    assert room.sign_in("operator").request(method, path).status_code == 405
    assert room.sign_in("operator").post("/floor/W1").status_code == 415


# --- what


def test_the_board_says_what_each_unit_is_what_to_do_since_when_and_who_knows(room: Room) -> None:
    store = BufferStore(Database.from_settings(room.settings))
    (answer,) = buffers_frames.make_feedback({"answered_at": TICK + timedelta(minutes=1)}).iter_rows(named=True)
    assert store.add_feedback(answer)
    reply = room.sign_in("floor:W1").get("/floor")
    text = read_text(reply)
    assert "W1 Chicago West at 09:00" in text
    assert "1 ▓ act 1 ? unknown" in text
    assert "PICK TOTAL ▓ act 98 %" in text
    assert "Full in 4 min. Move 4 associates from INDUCT to PICK until 09:30." in text
    assert "Since 09:00. Sent 09:00 to slack:floor. kim, 09:01: Yes, it was right." in text
    assert f"{LABEL} LANE L00 ? unknown no level" in text
    assert "No tick since" not in text
    assert reply.headers["refresh"] == str(REFRESH_SECONDS)


def test_an_old_tick_is_not_taken_for_the_floor_as_it_is_now(room: Room) -> None:
    room.now = TICK + timedelta(minutes=11)
    for path in ("/floor", "/floor/W1"):
        assert "No tick since" in read_text(room.sign_in("operator").get(path))


def test_a_time_shows_what_was_then(room: Room) -> None:
    browser = room.sign_in("operator")
    for at in ("2026-03-14T13:57", "2026-03-14T13:57Z", "2026-03-14T08:57-05:00"):
        reply = browser.get("/floor/W1", params={"at": at})
        assert "W1 Chicago West at 08:55 on Sat 14 Mar" in read_text(reply)
        assert "1 · clear" in read_text(reply)
        assert "refresh" not in reply.headers
    for at in ("yesterday", "2026-13-01"):
        assert browser.get("/floor/W1", params={"at": at}).status_code == 404
    assert browser.get("/floor/W1", params={"at": "2020-01-01T00:00"}).status_code == 503


def test_the_page_of_a_unit_has_its_course_its_notices_and_the_numbers_of_its_chart(room: Room) -> None:
    text = read_text(room.sign_in("floor:W1").get(f"/floor/{FULL}"))
    assert "PICK TOTAL at 09:00 on Sat 14 Mar" in text
    assert "▓ act 98 % full" in text
    assert "94.0 % full." in text
    assert "09:00 act, new slack:floor" in text
    assert "09:00 act 98 % 20.0 20.0 08:55 clear 92 % 20.0 20.0" in text


def test_the_board_shows_what_the_terminal_shows(room: Room) -> None:
    printed = "\n".join(render_board(room.settings, None, room.now))
    counted = re.search(r"there: (.*)", printed)
    assert counted is not None
    assert counted[1] == "1 act, 1 unknown, 1 clear"
    browser = room.sign_in("operator")
    pages = [read_text(browser.get(f"/floor/{name}")) for name in ("W1", "W2")]
    fills = {line.split()[1]: line.split(" %")[0].split()[-1] for line in printed.splitlines() if " % " in line}
    assert fills == {FULL: "98", OTHER: "40"}
    assert f" {fills[FULL]} % " in pages[0]
    assert f" {fills[OTHER]} % " in pages[1]


def test_a_hostile_label_is_text(room: Room) -> None:
    browser = room.sign_in("operator")
    for name in ("W1", LANE):
        page = browser.get(f"/floor/{name}").text
        assert "<script" not in page
        assert LABEL in unescape(page)


# --- in a browser


@pytest.mark.parametrize(
    ("width", "scheme"), [(360, "dark"), pytest.param(768, "light", marks=pytest.mark.sweep), (1920, "dark")]
)
def test_it_fits_a_phone_a_tablet_and_a_wall(
    room: Room, chromium: Browser, width: int, scheme: str, tmp_path: Path
) -> None:
    token = room.sign_in("operator").cookies["fillrate_session"]
    context = chromium.new_context(
        viewport={"width": width, "height": 800},
        color_scheme="dark" if scheme == "dark" else "light",
        java_script_enabled=False,
    )
    page = context.new_page()
    page.goto(f"{room.base_url}/enter/{token}")
    for link, heading in (("W1 Chicago West", "W1 Chicago West at 09:00"), ("PICK TOTAL", "PICK TOTAL at 09:00")):
        page.get_by_role("link", name=link).first.click()
        expect(page.get_by_role("heading", level=1)).to_contain_text(heading)
        assert page.evaluate("document.documentElement.scrollWidth") == width
    page.screenshot(path=tmp_path / "unit.png", full_page=True)
    page.get_by_role("button", name="I know").click()
    expect(page.get_by_text("Kim acknowledged it at 09:02")).to_be_visible()
    for path in ("W1/maintenance", "W1/on-call", "incidents"):
        page.goto(f"{room.base_url}/floor/{path}")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") == width
    context.close()


def test_axe_finds_nothing_in_the_control_room(room: Room, chromium: Browser, screens: Sequence[Screen]) -> None:
    token = room.sign_in("operator").cookies["fillrate_session"]
    page = chromium.new_context().new_page()
    page.goto(f"{room.base_url}/enter/{token}")
    found = find_violations(page, screens)
    for path in ("W1", FULL, "W1/maintenance", "W1/on-call", "incidents"):
        page.goto(f"{room.base_url}/floor/{path}")
        found += find_violations(page, screens)
    page.context.close()
    assert found == []


# --- charts


def make_frame(top: float = 100) -> Frame:
    return Frame(TICK, make_tick(24), UTC, top=top, width=200, height=100)


@pytest.mark.parametrize(
    ("values", "lines"),
    [
        ([], []),
        ([None, None], []),
        ([0.0, 1.0], ["0.0,24.0 96.0,0.0"]),
        ([0.5, None, 2.0], ["0.0,12.0 0.0,12.0", "96.0,0.0 96.0,0.0"]),
        ([-1.0], ["0.0,24.0 0.0,24.0"]),
    ],
)
def test_a_sparkline_has_gaps_where_nothing_is_known(values: list[float | None], lines: list[str]) -> None:
    assert draw_sparkline(values, 96, 24, 1) == lines


def test_a_frame_names_full_hours_and_even_parts() -> None:
    frame = make_frame()
    assert [(each.at, each.text) for each in frame.x_ticks] == [(0.0, "14:00"), (100.0, "15:00"), (200.0, "16:00")]
    assert [(each.at, each.text) for each in frame.y_ticks] == [(100.0, "0"), (50.0, "50"), (0.0, "100")]
    assert [each.text for each in make_frame(top=1).y_ticks] == ["0.0", "0.5", "1.0"]
    assert frame.draw([TICK, make_tick(12)], [0.0, 50.0]) == ["0.0,100.0 100.0,50.0"]
