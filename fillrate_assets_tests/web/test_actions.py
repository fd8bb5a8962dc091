"""Writes from pages: whose they are, where they come from, who may do what, and that each is logged."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.storage.action_log import Action, ActionLog
from fillrate_assets.web.access import Person
from fillrate_assets.web.actions import Actions, Submission
from fillrate_assets.web.authentication import COOKIE, Authentication, ProxyHeaders, SessionSigner
from fillrate_assets.web.forms import FormError
from fillrate_assets.web.rendering import make_templates
from fillrate_assets_tests.factories.buffers_frames import TICK
from fillrate_assets_tests.factories.web_floor import SECRET
from fillrate_assets_tests.fixtures.asgi_transport import AsgiTransport
from fillrate_assets_tests.fixtures.embedded import create_database

URL: Final = "http://pages.example"
PAGE: Final = "/floor/W1"
W1: Final = {"dc": "DC01", "warehouse": "W1"}
SIGNER: Final = SessionSigner([SECRET], lambda: TICK)
PROXY: Final = ProxyHeaders("X-User", "X-Groups", ["127.0.0.1/32"], {"w1": ["floor:W1"]})
TEMPLATE: Final = '{% import "actions.html" as actions %}<form>{{ actions.fields(forms, path) }}</form>'


@dataclass
class Site:
    """A page with a form, and what it logs."""

    log: ActionLog
    transport: AsgiTransport

    def open(self, *grants: str, name: str = "Kim") -> httpx.Client:
        """Make a browser that is signed in by a link."""
        token = SIGNER.sign(Person.with_grants(name, grants))
        return httpx.Client(base_url=URL, transport=self.transport, cookies={COOKIE: token})

    def list_logged(self) -> list[Action]:
        """List what is logged, latest first."""
        return [action for _, action in self.log.read(limit=10)]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A page about W1, and one about everything."""
    log = ActionLog(create_database(f"sqlite:///{tmp_path}/records.db"))
    actions = Actions(URL, [SECRET], log, lambda: TICK)
    template = make_templates("fillrate_assets.web.control_room", {}).from_string(TEMPLATE)

    def show(request: Request) -> Response:
        forms = actions.prepare(request)
        return forms.protect(HTMLResponse(template.render(forms=forms, path=request.url.path)))

    def submit(submission: Submission, place: Mapping[str, Any] | None) -> Response:
        try:
            with submission.record("snooze", "W1_PICK_TOTAL", {"until": submission.now}, place=place):
                if submission.fields.get("fails"):
                    msg = "the store refused"
                    raise PermanentFailure(msg)
        except FormError as error:
            return PlainTextResponse(str(error), 422)
        return actions.redirect(submission, PAGE)

    async def act(request: Request) -> Response:
        place = W1 if request.url.path == PAGE else None
        return await actions.take(request, lambda submission: submit(submission, place))

    methods = (("GET", show), ("POST", act))
    app = Starlette(
        routes=[Route(path, each, methods=[method]) for path in (PAGE, "/all") for method, each in methods],
        middleware=[Middleware(AuthenticationMiddleware, backend=Authentication([PROXY, SIGNER]))],
        exception_handlers={PermanentFailure: lambda *_: PlainTextResponse("", 503)},
    )
    return Site(log, AsgiTransport(app))


def read_token(browser: httpx.Client, path: str = PAGE, **given: Any) -> str:  # noqa: ANN401 - of a request
    found = re.search(r'name="csrf_token" value="([^"]+)"', browser.get(path, **given).text)
    assert found is not None
    return found[1]


def send(browser: httpx.Client, path: str = PAGE, **fields: str) -> httpx.Response:
    """Send the form of a page, from our page."""
    fields.setdefault("csrf_token", read_token(browser, path))
    return browser.post(path, data=fields, headers={"Origin": URL})


def test_a_form_is_taken_once_shown_anew_and_logged_with_the_name(site: Site) -> None:
    reply = send(site.open("floor:W1"), note="x")
    assert (reply.status_code, reply.headers["location"]) == (303, f"{URL}{PAGE}")
    assert site.list_logged() == [
        Action("Kim", "sign-in", "snooze", "W1_PICK_TOTAL", TICK, {"until": TICK.isoformat()})
    ]


@pytest.mark.parametrize(
    ("grants", "of_w1", "of_all"),
    [
        ([], 403, 403),
        (["buyer"], 403, 403),
        (["floor:W1"], 303, 403),
        (["floor:*"], 303, 403),
        (["floor:W2", "dc_manager:DC02"], 403, 403),
        (["dc_manager:DC01"], 303, 403),
        (["operator"], 303, 303),
    ],
)
def test_a_role_may_change_its_own_places_and_no_other(site: Site, grants: list[str], of_w1: int, of_all: int) -> None:
    browser = site.open(*grants)
    assert [send(browser, path).status_code for path in (PAGE, "/all")] == [of_w1, of_all]
    assert len(site.list_logged()) == [of_w1, of_all].count(303)


def test_a_form_that_is_not_of_this_page_and_session_is_refused(site: Site) -> None:
    kim, lee = site.open("operator"), site.open("operator", name="Lee")
    good = read_token(kim)
    for token in (read_token(kim, "/all"), read_token(lee), "", "x.y", good[:-1]):
        assert send(kim, csrf_token=token).status_code == 403
    # The browser of someone who was signed in with another link meanwhile.
    kim.cookies.set(COOKIE, SIGNER.sign(Person.with_grants("Kim", ["buyer", "operator"])))
    assert send(kim, csrf_token=good).status_code == 403
    assert site.list_logged() == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": URL}, 303),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({}, 403),
        ({"Origin": URL, "Content-Type": "text/plain"}, 415),
    ],
)
def test_a_form_comes_from_our_own_page(site: Site, headers: dict[str, str], status: int) -> None:
    browser = site.open("operator")
    assert browser.post(PAGE, data={"csrf_token": read_token(browser)}, headers=headers).status_code == status


def test_who_is_not_signed_in_changes_nothing(site: Site) -> None:
    browser = httpx.Client(base_url=URL, transport=site.transport)
    assert browser.post(PAGE, data={}, headers={"Origin": URL}).status_code == 401
    browser.cookies.set(COOKIE, SIGNER.sign(Person.with_grants("", ["operator"]))[:-2])
    assert browser.post(PAGE, data={}, headers={"Origin": URL}).status_code == 401


def test_a_proxy_names_who_it_is_whatever_the_form_says(site: Site) -> None:
    browser = httpx.Client(base_url=URL, transport=site.transport, headers={"X-User": "kim@example", "X-Groups": "w1"})
    assert 'name="responder"' not in browser.get(PAGE).text
    assert send(browser, responder="someone else").status_code == 303
    assert [(each.actor, each.named_by) for each in site.list_logged()] == [("kim@example", "sign-in")]


def test_a_link_that_names_no_one_needs_a_name_and_remembers_it(site: Site) -> None:
    browser = site.open("operator", name="")
    for name in ("", "\u200b ", "x" * 61):
        assert "Please type your name" in send(browser, responder=name).text
    assert site.list_logged() == []
    assert send(browser, responder=" Kim\u200b  Ó ").status_code == 303
    assert 'value="Kim Ó"' in browser.get(PAGE).text
    assert [(each.actor, each.named_by) for each in site.list_logged()] == [("Kim Ó", "form")]


def test_what_fails_is_not_logged(site: Site) -> None:
    assert send(site.open("operator"), fails="1").status_code == 503
    assert site.list_logged() == []


def test_the_log_is_read_latest_first_by_subject_and_from_a_number_on(site: Site) -> None:
    for number, subject in enumerate(["W1", "W2", "W1"]):
        with site.log.record(Action("Kim", "command", "end", subject, TICK + timedelta(minutes=number))):
            pass
    rows = site.log.read(limit=2)
    assert [(action_id, each.subject) for action_id, each in rows] == [(3, "W1"), (2, "W2")]
    assert [action_id for action_id, _ in site.log.read(limit=5, before=3)] == [2, 1]
    assert [action_id for action_id, _ in site.log.read(limit=5, subject="W1")] == [3, 1]
