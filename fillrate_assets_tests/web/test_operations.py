"""Operations over HTTP: who sees it, what it shows of each store, and what its forms do, once."""

from __future__ import annotations

import re
import threading
from html import unescape
from pathlib import Path
from typing import Final

import httpx
import pytest

from fillrate_assets.core.errors import PermanentFailure, SourceUnavailable
from fillrate_assets.fulfillment.transition_log import TransitionLog
from fillrate_assets.notifications.outbox_admin import count_unsent
from fillrate_assets.storage.database import Database
from fillrate_assets.web.operations import sections
from fillrate_assets.web.operations.systems import NotConfiguredError, Queues
from fillrate_assets.web.operations.views import VIEWS
from fillrate_assets.web.tables import MAX_PAGE, PAGE_ROWS
from fillrate_assets_tests.factories.fulfillment_events import AT, LINES, WAY, make_event
from fillrate_assets_tests.factories.operations import (
    CHANGES,
    HOSTILE,
    LETTER,
    MESSAGE,
    URL,
    Operations,
    make_letter,
    make_operations,
)
from fillrate_assets_tests.fixtures.patience import PATIENCE_SECONDS

PATHS: Final = (
    "/operations",
    *(f"/operations/{view}" for view in VIEWS),
    "/operations/dead-letter?job=x",
    "/operations/message?id=x",
    "/operations/files/days.csv",
)
FORMS: Final = ("redrive", "discard", "release", "send-again", "redeliver")
SHOWN: Final = ("DC01", "carrier", "held", "slack:floor")


@pytest.fixture
def operations(tmp_path: Path) -> Operations:
    """Pages over stores with something in each table."""
    return make_operations(tmp_path)


def read_text(reply: httpx.Response) -> str:
    """Read what a page says, without its markup."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", reply.text)).split())


def read_token(page: httpx.Response, form: str) -> str:
    """Read the CSRF token of a form."""
    found = re.search(rf'action="[^"]*/{form}".*?name="csrf_token" value="([^"]+)"', page.text, re.DOTALL)
    assert found is not None
    return found[1]


def send(browser: httpx.Client, page: str, form: str, *, origin: str = URL, **fields: str) -> httpx.Response:
    """Open a page, and send its form as a browser does."""
    token = fields.pop("csrf_token", None) or read_token(browser.get(page), form)
    return browser.post(f"/operations/{form}", data={"csrf_token": token, **fields}, headers={"origin": origin})


# --- to whom


@pytest.mark.parametrize("path", PATHS)
def test_no_one_but_an_operator_sees_that_it_is_there(operations: Operations, path: str) -> None:
    unknown = operations.open("operator").get("/operations/unknown")
    assert unknown.status_code == 404
    for grants in (["buyer"], ["floor:*"], ["dc_manager:*"], []):
        reply = operations.open(*grants).get(path)
        assert (reply.status_code, reply.text) == (404, unknown.text)
    said = {"X-User": "kim", "X-Groups": "ops"}
    for headers in ({}, said, {**said, "X-Forwarded-For": "10.1.2.3"}, {"cookie": "fillrate_session=x.y"}):
        reply = httpx.Client(base_url=URL, transport=operations.transport).get(path, headers=headers)
        assert reply.status_code == 401
        assert not any(word in reply.text for word in SHOWN)


@pytest.mark.parametrize("form", FORMS)
def test_only_an_operator_with_our_page_in_this_browser_changes_anything(operations: Operations, form: str) -> None:
    fields = {"job": LETTER, "note": "x", "message": MESSAGE, "order": "O1", "request": "0" * 32}
    operator = operations.open("operator")
    token = read_token(operator.get("/operations/dead-letter", params={"job": LETTER}), "redrive")
    for browser, headers, sent, status in (
        (operator, {"origin": URL}, {}, 403),
        (operator, {"origin": URL}, {"csrf_token": "x"}, 403),
        (operator, {"origin": "https://other.example"}, {"csrf_token": token}, 403),
        (operator, {}, {"csrf_token": token}, 403),
        (operations.open("operator", name="Eve"), {"origin": URL}, {"csrf_token": token}, 403),
        (operations.open("floor:*"), {"origin": URL}, {"csrf_token": token}, 404),
        (httpx.Client(base_url=URL, transport=operations.transport), {"origin": URL}, {"csrf_token": token}, 401),
    ):
        if form == "redrive" and headers == {"origin": URL} and browser is operator and sent.get("csrf_token") == token:
            continue
        reply = browser.post(f"/operations/{form}", data={**fields, **sent}, headers=headers)
        assert reply.status_code == status
    assert operator.get(f"/operations/{form}").status_code == 404 or form in VIEWS
    assert [each.job.job_id for each in operations.queue.dead] == [LETTER, CHANGES]
    assert not operations.list_logged()


@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST"])
def test_pages_take_no_other_method(operations: Operations, method: str) -> None:
    assert operations.open("operator").request(method, "/operations/days").status_code == 405


def test_an_operator_without_a_floor_begins_here(operations: Operations) -> None:
    browser = operations.open("operator")
    reply = browser.get("/floor")
    assert reply.url.path == "/operations"
    assert all(f'href="{URL}{path}"' in reply.text for path in ("/service", "/floor"))
    assert operations.open("floor:*").get("/floor").status_code == 404


# --- what


def test_the_overview_says_how_it_is_everywhere(operations: Operations) -> None:
    text = read_text(operations.open("operator").get("/operations"))
    for sentence in (
        "Look: In the last day: 1 failure.",
        "Look: 1 held, 1 doubtful.",
        "Look: 1 due, the oldest for 3 min. 4 things are wrong.",
        "Look: 2 given up, 1 parked.",
        "Replays None in the last day.",
        "2026-03-14 13:00:00 UTC: 1 differences, 1 left to people.",
        "Look: 1 wait, the oldest for 3 h 0 min; 1 given up.",
        "No one has changed anything from a page.",
    ):
        assert sentence in text, text


@pytest.mark.parametrize(
    ("view", "texts"),
    [
        ("runs", ["fillrate DC01 failure 1 min 01234567", f"new_orders {HOSTILE}", "new_orders sensor on"]),
        ("days", [f"DC01 2026-03-02 held {HOSTILE}", "DC01 2026-03-01 doubtful few snapshots"]),
        (
            "queues",
            ["fulfillment events 1 2026-03-14 13:57:00 3 min", "Parked until they are released: 1.", "given up"],
        ),
        ("dead-letters", [f"{LETTER} fulfillment carrier", f"{CHANGES} inventory replica-DC02", "parked:E2 events"]),
        (
            "reconciliations",
            ["DC02 200 198 1 99.00 %", "ledger mismatch review 1 0", f"DC01 {HOSTILE} ledger mismatch"],
        ),
        ("outbox", ["msg_1 platform slack:floor", "given up 0", "msg_2 platform slack:floor"]),
        ("scorecards", ["No alert was sent in the last seven days."]),
        ("replays", ["No order was replayed in the last 30 days."]),
        ("actions", ["No one has changed anything from a page."]),
    ],
)
def test_a_view_shows_what_the_stores_have_and_texts_are_text(
    operations: Operations, view: str, texts: list[str]
) -> None:
    reply = operations.open("operator").get(f"/operations/{view}")
    assert reply.status_code == 200
    text = read_text(reply)
    assert not [each for each in texts if each not in text], text
    assert "<script" not in reply.text


def test_runs_and_held_days_lead_into_dagster(operations: Operations) -> None:
    browser = operations.open("operator")
    for view in ("runs", "days"):
        assert 'href="https://dagster.example/runs/0123456789ab"' in browser.get(f"/operations/{view}").text


def test_a_long_list_has_pages(operations: Operations) -> None:
    operations.queue.dead = [make_letter(f"L{number:03}", "carrier") for number in range(PAGE_ROWS + 1)]
    browser = operations.open("operator")
    first = browser.get("/operations/dead-letters").text
    assert "L049" in first
    assert "L050" not in first
    (following,) = re.findall(r'rel="next" href="([^"]+)"', first)
    second = browser.get(unescape(following)).text
    assert "L050" in second
    assert 'rel="next"' not in second
    assert "parked:E2" not in second
    assert b"L050" in browser.get("/operations/files/dead-letters.csv?page=2").content


@pytest.mark.parametrize("page", ["0", "-1", str(MAX_PAGE + 1), "x", "", "1e9", "9" * 400, "\u0661"])
def test_a_page_that_cannot_be_is_not_there(operations: Operations, page: str) -> None:
    assert operations.open("operator").get("/operations/days", params={"page": page}).status_code == 404


@pytest.mark.parametrize(
    "path",
    ["days.exe", "unknown.csv", "days", "..%2Fdays.csv", ".csv", "days.csv%00", "%2e%2e%2f%2e%2e%2fsettings.csv"],
)
def test_a_file_that_is_no_table_is_not_there(operations: Operations, path: str) -> None:
    assert operations.open("operator").get(f"/operations/files/{path}").status_code == 404


# --- what does not answer


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (NotConfiguredError("there are no queues yet"), "Not configured: there are no queues yet."),
        (SourceUnavailable("job queue: no route"), "Does not answer: job queue: no route."),
        (PermanentFailure("the extra is missing"), "Does not work: the extra is missing."),
        (ZeroDivisionError("a bug with a secret"), "Does not work: the log of the service says why."),
    ],
)
def test_what_does_not_answer_says_so_in_its_place_and_the_rest_shows(
    operations: Operations, error: Exception, text: str
) -> None:
    def fail() -> Queues:
        raise error

    operations.open_queues = fail
    browser = operations.open("operator")
    overview = read_text(browser.get("/operations"))
    assert overview.count(text) == 2
    assert "1 held, 1 doubtful." in overview
    assert read_text(browser.get("/operations/queues")).count(text) == 2
    assert "a secret" not in browser.get("/operations/queues").text
    assert browser.get("/operations/files/queues.csv").status_code == 503
    assert browser.get("/operations").status_code == 200


def test_a_store_that_hangs_holds_no_page_up(operations: Operations, monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()

    def hang() -> Queues:
        answered.wait(PATIENCE_SECONDS)
        msg = "gone"
        raise SourceUnavailable(msg)

    monkeypatch.setattr(sections, "READ_SECONDS", 0.5)
    operations.open_queues = hang
    text = read_text(operations.open("operator").get("/operations"))
    answered.set()
    for title in ("Queues", "Dead letters"):
        assert f"{title} Does not answer: it takes longer than 0.5 s." in text
    assert "1 held, 1 doubtful." in text


def test_without_a_record_store_every_page_says_so(operations: Operations, tmp_path: Path) -> None:
    operations.database = Database(f"sqlite:///{tmp_path}/none.db")
    browser = operations.open("operator")
    for path in ("/operations", *(f"/operations/{view}" for view in VIEWS)):
        reply = browser.get(path)
        assert reply.status_code == 200
        assert "Does not" in reply.text or path.endswith(("runs", "dead-letters"))


# --- what is done


def name_page(job: str = LETTER) -> str:
    return f"/operations/dead-letter?{httpx.QueryParams({'job': job})}"


def test_a_dead_letter_shows_what_it_has_to_do(operations: Operations) -> None:
    browser = operations.open("operator")
    listed = browser.get("/operations/dead-letters").text
    (link,) = [each for each in re.findall(r'href="([^"]+/dead-letter\?[^"]+)"', listed) if "O1" in each]
    reply = browser.get(unescape(link))
    text = read_text(reply)
    assert LETTER in text
    assert "Attempts 8" in text
    assert '"note": "=1+1 \\"><script>alert(1)</script> {{ 7*7 }}"' in text
    assert "<script" not in reply.text


def test_a_job_is_tried_again_once_under_a_name(operations: Operations) -> None:
    browser, page = operations.open("operator"), name_page()
    assert "It is tried again." in read_text(send(browser, page, "redrive", job=LETTER))
    assert [job.job_id for job in operations.queue.jobs] == ["E1", LETTER]
    other = name_page(CHANGES)
    assert "Nothing was done" in read_text(send(browser, other, "redrive", job=LETTER))
    assert len(operations.queue.jobs) == 2
    (action,) = operations.list_logged()
    assert (action.actor, action.action, action.subject) == ("Kim", "redrive", LETTER)
    assert f"Kim sign-in redrive {LETTER}" in read_text(browser.get("/operations/actions"))


def test_a_job_is_discarded_with_a_reason_and_a_name(operations: Operations) -> None:
    browser = operations.open("operator", name="")
    page = name_page()
    for missing in ({"responder": "Lee"}, {"note": "sold"}, {"note": " ", "responder": "Lee"}):
        assert "Nothing was done: your name" in read_text(send(browser, page, "discard", job=LETTER, **missing))
    assert not operations.list_logged()
    reply = send(browser, page, "discard", job=LETTER, note=HOSTILE, responder="Lee")
    assert "It is discarded." in read_text(reply)
    assert [each.job.job_id for each in operations.queue.dead] == [CHANGES]
    (action,) = operations.list_logged()
    assert (action.actor, action.named_by, action.details["reason"]) == ("Lee", "form", HOSTILE)
    assert "<script" not in browser.get("/operations/actions").text


def test_a_job_of_no_area_is_no_ones_dead_letter(operations: Operations) -> None:
    operations.queue.dead.append(make_letter("X", "elsewhere"))
    browser = operations.open("operator")
    assert "not among the dead letters" in read_text(browser.get(name_page("X")))
    assert "Nothing was done" in read_text(send(browser, name_page(), "redrive", job="X"))


def test_a_parked_job_is_released_once(operations: Operations) -> None:
    browser = operations.open("operator")
    page = "/operations/dead-letters"
    token = read_token(browser.get(page), "release")
    for outcome in ("It is released.", "Nothing was done"):
        assert outcome in read_text(send(browser, page, "release", job="parked:E2", csrf_token=token))
    assert "Release a parked job" not in browser.get(page).text
    assert [action.action for action in operations.list_logged()] == ["release"]


def test_a_message_that_was_given_up_is_due_again_once(operations: Operations) -> None:
    browser = operations.open("operator")
    page = f"/operations/message?id={MESSAGE}"
    token = read_token(browser.get(page), "send-again")
    assert "It is due again." in read_text(send(browser, page, "send-again", message=MESSAGE, csrf_token=token))
    assert count_unsent(operations.database).dead == 0
    assert "Nothing was done" in read_text(send(browser, page, "send-again", message=MESSAGE, csrf_token=token))
    assert [action.subject for action in operations.list_logged()] == [MESSAGE]


def test_a_form_that_fails_is_not_logged(operations: Operations) -> None:
    browser = operations.open("operator")
    page = name_page()
    token = read_token(browser.get(page), "redrive")

    def fail() -> Queues:
        msg = "job queue: no route"
        raise SourceUnavailable(msg)

    operations.open_queues = fail
    browser = httpx.Client(base_url=URL, transport=operations.transport, cookies=browser.cookies)
    assert send(browser, page, "redrive", job=LETTER, csrf_token=token).status_code == 503
    assert not operations.list_logged()


def test_the_events_of_an_order_are_delivered_again_once_for_a_page(operations: Operations) -> None:
    log = TransitionLog(operations.database, "1.0")
    for event_type in WAY[:2]:
        log.apply(make_event(event_type, HOSTILE, lines=LINES), actor="worker", now=AT)
    browser = operations.open("operator")
    page = f"/operations/replays?{httpx.QueryParams({'order': HOSTILE})}"
    shown = browser.get(page)
    assert f"{HOSTILE} 2 as its events say" in read_text(shown)
    assert b"as its events say" in browser.get(page.replace("replays", "files/verification.csv")).content
    (request,) = re.findall(r'name="request" value="([0-9a-f]{32})"', shown.text)
    fields = {"order": HOSTILE, "note": "the queue got lost", "csrf_token": read_token(shown, "redeliver")}
    waiting = len(operations.queue.jobs)
    reply = send(browser, page, "redeliver", request=request, **fields)
    assert "Its events are delivered again." in read_text(reply)
    assert f"redelivered 1 {HOSTILE} Kim the queue got lost" in read_text(reply)
    assert "<script" not in reply.text
    assert "Nothing was done" in read_text(send(browser, page, "redeliver", request=request, **fields))
    assert len(operations.queue.jobs) == waiting + 2
    assert [action.action for action in operations.list_logged()] == ["redeliver"]
    unknown = {**fields, "order": "O9", "request": "0" * 32}
    assert "There is no event of O9." in read_text(send(browser, page, "redeliver", **unknown))
    assert len(operations.list_logged()) == 1


def test_without_queues_a_page_of_one_job_says_so(operations: Operations) -> None:
    def fail() -> Queues:
        msg = "there are no queues yet"
        raise NotConfiguredError(msg)

    operations.open_queues = fail
    assert operations.open("operator").get(name_page()).status_code == 503
