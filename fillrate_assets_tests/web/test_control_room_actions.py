"""What people set in the control room: acknowledge, snooze, maintenance; and who may. The app has no server here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from html import unescape
from typing import Final

import httpx
import pytest

from fillrate_assets.buffers.buffer_store import BufferStore
from fillrate_assets.buffers.control_store import ACKNOWLEDGEMENTS, SILENCES, ControlStore
from fillrate_assets.buffers.report.board import render_board
from fillrate_assets.storage.action_log import ACTION_LOG, ActionLog
from fillrate_assets.storage.database import Database
from fillrate_assets_tests.factories.buffers_frames import TICK, make_on_call
from fillrate_assets_tests.factories.control_room import FEED, FULL, LANE, OTHER, Room, open_room

PLAN: Final = "/floor/W1/maintenance"
ONCE: Final = {
    "action": "once",
    "scope": "*",
    "begins": "2026-03-14T09:00",
    "until": "2026-03-14T11:00",
    "reason": "belt",
}
WEEKLY: Final = {
    "action": "weekly",
    "scope": "PICK",
    "day6": "on",
    "starts": "08:00",
    "ends": "10:00",
    "reason": "belt",
}
SNOOZE: Final = {"action": "snooze", "hours": "2", "reason": "a scan gun is lost"}
KNOW: Final = {"action": "acknowledge", "direction": "OVERFLOW", "episode": "1"}


@pytest.fixture(scope="module")
def _opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    with open_room(tmp_path_factory.mktemp("room")) as room:
        yield room


@pytest.fixture
def room(_opened: Room) -> Room:
    """A control room two minutes after its last tick, in which no one did anything."""
    _opened.now = TICK + timedelta(minutes=2)
    with Database.from_settings(_opened.settings).begin() as connection:
        for table in (ACKNOWLEDGEMENTS, SILENCES, ACTION_LOG):
            connection.execute(table.delete())
    return _opened


def read_text(reply: httpx.Response) -> str:
    """Read what a page says, without its markup."""
    inline = re.sub(r"</?(time|small)[^>]*>", "", reply.text)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", inline)).split())


def send(browser: httpx.Client, path: str, fields: dict[str, str], **more: str) -> httpx.Response:
    """Send a form as the page has it; with a token of our own, none of the page's is looked for."""
    form = {**fields, **more}
    if "csrf_token" not in form:
        found = re.search(r'name="csrf_token" value="([^"]+)"', browser.get(path).text)
        assert found is not None
        form["csrf_token"] = found[1]
    return browser.post(path, data=form, headers={"Origin": str(browser.base_url)})


def list_logged(room: Room) -> list[tuple[str, str, str]]:
    log = ActionLog(Database.from_settings(room.settings))
    return [(each.actor, each.action, each.subject) for _, each in log.read(limit=10)]


# --- what


def test_an_acknowledgement_is_shown_with_who_and_when_and_logged(room: Room) -> None:
    browser = room.sign_in("floor:W1")
    assert "No one has acknowledged it." in read_text(browser.get(f"/floor/{FULL}"))
    reply = send(browser, f"/floor/{FULL}", KNOW)
    assert (reply.status_code, reply.headers["location"]) == (303, f"{room.base_url}/floor/{FULL}")
    assert "Too full since 09:00, ▓ act Kim acknowledged it at 09:02, when it was act." in read_text(
        browser.get(f"/floor/{FULL}")
    )
    assert "Kim knows since 09:02." in read_text(browser.get("/floor/W1"))
    assert "Kim knows" in "\n".join(render_board(room.settings, None, room.now))
    assert list_logged(room) == [("Kim", "acknowledge", FULL)]
    # At the tick itself no one knew yet.
    assert "knows" not in read_text(browser.get("/floor/W1", params={"at": "2026-03-14T14:01"}))


def test_a_feed_is_acknowledged_on_the_board(room: Room) -> None:
    browser = room.sign_in("floor:W1")
    form = re.search(
        r'<form[^>]+/floor/W1_DATA_OCCUPANCY">.*?value="([^"]+)".*?</form>', browser.get("/floor/W1").text, re.DOTALL
    )
    assert form is not None
    know = {**KNOW, "direction": "DATA", "csrf_token": form[1]}
    over = send(browser, f"/floor/{FEED}", {**know, "episode": "7"})
    assert (over.status_code, "That problem is over." in read_text(over)) == (422, True)
    assert send(browser, f"/floor/{FEED}", know).headers["location"] == f"{room.base_url}/floor/W1"
    page = browser.get("/floor/W1")
    assert "40 % full. Kim knows since 09:02." in read_text(page)
    assert "csrf_token" not in page.text
    assert list_logged(room) == [("Kim", "acknowledge", FEED)]


def test_a_problem_that_is_over_cannot_be_acknowledged(room: Room) -> None:
    reply = send(room.sign_in("operator"), f"/floor/{FULL}", {**KNOW, "episode": "7"})
    assert reply.status_code == 422
    assert "That problem is over." in read_text(reply)
    assert list_logged(room) == []


def test_a_snooze_has_a_reason_and_an_end_and_is_ended_early(room: Room) -> None:
    browser = room.sign_in("dc_manager:CHI")
    assert send(browser, f"/floor/{FULL}", SNOOZE).status_code == 303
    page = browser.get(f"/floor/{FULL}")
    assert "Snoozed until 11:02 on Sat 14 Mar Kim: a scan gun is lost" in read_text(page)
    assert "Snoozed until 11:02 by Kim: a scan gun is lost." in read_text(browser.get("/floor/W1"))
    assert "snooze until 16:02, Kim: a scan gun is lost" in "\n".join(render_board(room.settings, None, room.now))
    (silence_id,) = re.findall(r'name="silence_id" value="(\w+)"', page.text)
    room.now += timedelta(minutes=5)
    # Not from the page of another unit.
    assert "It is over already." in read_text(
        send(browser, f"/floor/{LANE}", {"action": "end", "silence_id": silence_id})
    )
    assert send(browser, f"/floor/{FULL}", {"action": "end", "silence_id": silence_id}).status_code == 303
    assert "Snoozed" not in read_text(browser.get(f"/floor/{FULL}"))
    assert send(browser, f"/floor/{FULL}", {"action": "end", "silence_id": silence_id}).status_code == 422
    assert list_logged(room) == [("Kim", "end", FULL), ("Kim", "snooze", FULL)]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"hours": "24.5"}, "A snooze is for more than 0 and at most 24 hours."),
        ({"hours": "0"}, "A snooze is for more than 0"),
        ({"hours": "nan"}, "A snooze is for more than 0"),
        ({"hours": ""}, "A snooze is for more than 0"),
        ({"reason": " \u200b"}, "Please type a reason"),
        ({"reason": "x" * 1001}, "Please type a reason"),
        ({"until": "2030-01-01"}, "The form was not complete."),
    ],
)
def test_a_snooze_that_is_too_long_or_has_no_reason_is_refused(
    room: Room, fields: dict[str, str], problem: str
) -> None:
    reply = send(room.sign_in("operator"), f"/floor/{FULL}", {**SNOOZE, **fields})
    assert (reply.status_code, problem in read_text(reply)) == (422, True)
    assert ControlStore(Database.from_settings(room.settings)).read_silences(room.now).is_empty()


def test_maintenance_is_planned_listed_shown_and_ended(room: Room) -> None:
    browser = room.sign_in("floor:W1")
    for plan in (ONCE, WEEKLY):
        assert send(browser, PLAN, plan).headers["location"] == f"{room.base_url}{PLAN}"
    page = browser.get(PLAN)
    text = read_text(page)
    assert "the whole warehouse, now until Sat 14 Mar 2026, 11:00 On: Sat 14 Mar, 09:00 to 11:00 Kim: belt" in text
    assert "all of PICK, now Saturday, 08:00 to 10:00 On: Sat 14 Mar, 08:00 to 10:00 Kim: belt" in text
    assert "In maintenance until 10:00 by Kim: belt. In maintenance until 11:00 by Kim: belt." in read_text(
        browser.get("/floor/W1")
    )
    assert "In maintenance until 11:00 on Sat 14 Mar" in read_text(browser.get(f"/floor/{LANE}"))
    for silence_id in re.findall(r'name="silence_id" value="(\w+)"', page.text):
        assert send(browser, PLAN, {"action": "end", "silence_id": silence_id}).status_code == 303
        assert "It is over already." in read_text(send(browser, PLAN, {"action": "end", "silence_id": silence_id}))
    assert "None is planned." in read_text(browser.get(PLAN))


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({**ONCE, "until": "2026-03-14T09:00"}, "It has to end after it begins"),
        ({**ONCE, "begins": "2026-03-13T09:00", "until": "2026-03-14T08:59"}, "not in the past"),
        ({**ONCE, "until": "2026-06-14T09:00"}, "within 90 days"),
        ({**ONCE, "until": "9999-12-31T23:59"}, "within 400 days"),
        ({**ONCE, "until": "2026-03-14T11:00Z"}, "at the warehouse's own time"),
        ({**ONCE, "begins": "soon"}, "Please type when it begins."),
        ({**ONCE, "scope": "W2_PICK_TOTAL"}, "Please choose what it is of."),
        ({**ONCE, "scope": "<script>"}, "Please choose what it is of."),
        ({**ONCE, "reason": ""}, "Please type a reason"),
        ({**WEEKLY, "day6": ""}, "not complete"),
        ({name: value for name, value in WEEKLY.items() if name != "day6"}, "at least one weekday"),
        ({**WEEKLY, "starts": "8 o'clock"}, "at which time it begins"),
        ({**WEEKLY, "starts": "08:00Z"}, "at which time it begins"),
        ({**WEEKLY, "last_day": "2026-03-13"}, "The last day is over."),
        ({**WEEKLY, "last_day": "9999-12-31"}, "within 400 days"),
    ],
)
def test_maintenance_that_cannot_be_is_refused(room: Room, fields: dict[str, str], problem: str) -> None:
    reply = send(room.sign_in("operator"), PLAN, fields)
    assert (reply.status_code, problem in read_text(reply)) == (422, True)
    assert list_logged(room) == []


def test_weekly_maintenance_over_midnight_ends_in_the_morning_after_its_last_day(room: Room) -> None:
    night = {**WEEKLY, "starts": "22:00", "ends": "06:00", "last_day": "2026-03-21"}
    browser = room.sign_in("operator")
    assert send(browser, PLAN, night).status_code == 303
    assert "Saturday, 22:00 to 06:00, until Sun 22 Mar 2026 Next: Sat 14 Mar, 22:00 to Sun 15 Mar, 06:00" in read_text(
        browser.get(PLAN)
    )


# --- who


@pytest.mark.parametrize(
    ("grants", "mine", "theirs"),
    [
        ([], 404, 404),
        (["buyer"], 404, 404),
        (["floor:W1"], 303, 404),
        (["dc_manager:DC02"], 404, 303),
        (["operator"], 303, 303),
    ],
)
def test_only_those_of_a_floor_set_something_there(room: Room, grants: list[str], mine: int, theirs: int) -> None:
    browser, operator = room.sign_in(*grants), room.sign_in("operator")
    found = []
    for unit in (FULL, OTHER):
        page = browser.get(f"/floor/{unit}")
        # Without a page of one's own there is no form; with the form of someone else, it is refused before that.
        token = {} if page.status_code == 200 else {"csrf_token": "x"}
        found.append(send(browser, f"/floor/{unit}", SNOOZE, **token).status_code)
        found.append(send(browser, f"/floor/{unit[:2]}/maintenance", ONCE, **token).status_code)
    assert found == [403 if status == 404 else status for status in (mine, mine, theirs, theirs)]
    assert [browser.get(f"/floor/{name}/maintenance").status_code for name in ("W1", "W2", "W9")] == [
        200 if mine == 303 else 404,
        200 if theirs == 303 else 404,
        404,
    ]
    assert len(list_logged(room)) == found.count(303)
    assert operator.get(PLAN).status_code == 200


@pytest.mark.parametrize("fields", [{}, {"action": "delete"}])
def test_what_no_form_of_ours_sends_is_refused(room: Room, fields: dict[str, str]) -> None:
    browser = room.sign_in("operator")
    for path in (f"/floor/{FULL}", PLAN):
        reply = send(browser, path, fields)
        assert (reply.status_code, "Nothing was changed" in reply.text) == (400, True)


def test_what_was_is_not_changed(room: Room) -> None:
    page = room.sign_in("operator").get(f"/floor/{FULL}", params={"at": "2026-03-14T14:01"})
    assert "csrf_token" not in page.text


def test_a_hostile_reason_is_text(room: Room) -> None:
    browser = room.sign_in("operator")
    send(browser, f"/floor/{FULL}", SNOOZE, reason='"><script>alert(1)</script>')
    send(browser, PLAN, ONCE, reason="<img src=x onerror=alert(1)>")
    for path in (f"/floor/{FULL}", "/floor/W1", PLAN):
        assert not re.search(r"<(script|img)", browser.get(path).text)
    reply = send(browser, f"/floor/{FULL}", {**SNOOZE, "hours": '"><script>'})
    assert "<script" not in reply.text


# --- on call


def test_the_schedule_says_who_is_on_call_and_what_it_lacks(room: Room) -> None:
    browser = room.sign_in("floor:W1")
    assert "No one is on call from Sat 14 Mar 14:02 to Sat 21 Mar 14:02 UTC." in read_text(
        browser.get("/floor/W1/on-call")
    )
    rows = make_on_call(
        {"to_ts": TICK + timedelta(days=8)}, {"warehouse": "W2"}, {"to_ts": TICK, "channel": "slack:over"}
    )
    store = BufferStore(Database.from_settings(room.settings))
    store.merge_master_data(replace(store.read_master_data(), on_call=rows))
    text = read_text(browser.get("/floor/W1/on-call"))
    assert "Kim, now all slack:kim 21:40 on Tue 10 Mar 09:00 on Sun 22 Mar" in text
    assert "No one is on call" not in text
    assert "slack:over" not in text
    assert browser.get("/floor/W2/on-call").status_code == 404


# --- incidents


@pytest.mark.parametrize(
    ("query", "listed"),
    [
        ({}, 1),
        ({"warehouse": "W1", "unit": "pick", "words": "FULL 94.0", "severity": "ACT", "state": "open"}, 1),
        ({"first": "2026-03-14", "last": "2026-03-14"}, 1),
        ({"words": "94.0 empty"}, 0),
        ({"words": "%"}, 1),
        ({"words": "_%_%"}, 0),
        ({"severity": "EMERGENCY"}, 0),
        ({"state": "over"}, 0),
        ({"warehouse": "W2"}, 0),
        ({"last": "2026-03-13"}, 0),
        ({"page": "2"}, 0),
    ],
)
def test_an_incident_is_found_by_what_it_was(room: Room, query: dict[str, str], listed: int) -> None:
    text = read_text(room.sign_in("operator").get("/floor/incidents", params=query))
    assert (FULL in text, "There was none." in text) == (bool(listed), not listed)


def test_the_file_is_exactly_the_list_that_is_shown(room: Room) -> None:
    browser = room.sign_in("floor:W1")
    send(browser, f"/floor/{FULL}", KNOW)
    page = browser.get("/floor/incidents", params={"words": "pick"})
    assert "2026-03-14 14:00:00 W1 W1_PICK_TOTAL too full act 1 Kim PICK TOTAL: 94.0 % full." in read_text(page)
    links = [unescape(each) for each in re.findall(r'href="([^"]+)"', page.text)]
    assert f"{room.base_url}/floor/{FULL}?at=2026-03-14T14:00Z" in links
    (csv,) = [each for each in links if "incidents.csv" in each]
    reply = browser.get(csv)
    assert reply.headers["content-disposition"] == 'attachment; filename="incidents.csv"'
    assert reply.content.decode("utf-8-sig").splitlines()[1:] == [
        "2026-03-14T14:00:00Z,,W1,W1_PICK_TOTAL,too full,act,1,Kim,,PICK TOTAL: 94.0 % full."
    ]
    assert browser.get(f"/floor/{FULL}", params={"at": "2026-03-14T14:00Z"}).status_code == 200


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ({"words": "x" * 101}, "Please type 100 characters at most."),
        ({"first": "yesterday"}, "Please type the first day as a date."),
        ({"state": "all"}, "The form was not complete."),
    ],
)
def test_a_search_that_cannot_be_says_so(room: Room, query: dict[str, str], problem: str) -> None:
    reply = room.sign_in("operator").get("/floor/incidents", params=query)
    assert (reply.status_code, problem in read_text(reply)) == (422, True)


def test_incidents_are_those_of_ones_own_floors(room: Room) -> None:
    assert FULL in room.sign_in("dc_manager:CHI").get("/floor/incidents").text
    theirs = room.sign_in("floor:W2")
    for query in ({}, {"warehouse": "W1"}, {"unit": FULL}):
        assert "There was none." in read_text(theirs.get("/floor/incidents", params=query))
        assert FULL not in theirs.get("/floor/incidents.csv", params=query).text
    assert room.sign_in("buyer").get("/floor/incidents.csv").status_code == 404
    assert room.sign_in("operator").get("/floor/incidents.exe").status_code == 404
