"""Sign-in by OpenID Connect, against a provider that runs in a process of its own."""

from __future__ import annotations

import json
import logging
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.web.authentication import SessionSigner
from fillrate_assets.web.rendering import make_templates
from fillrate_assets.web.sign_in import CALLBACK, CompanySignIn, Provider
from fillrate_assets.web.signed_in import Pages, find_person
from fillrate_assets_tests.factories.web_floor import SECRET
from fillrate_assets_tests.fixtures.asgi_transport import AsgiTransport
from fillrate_assets_tests.fixtures.patience import PATIENCE_SECONDS, wait_until

BASE: Final = "http://fillrate.example"
GRANTS: Final = {"leads": ["dc_manager:DC03"], "buying": ["buyer"]}
USERS: Final = [
    {"sub": "kim", "email": "kim@example.com", "email_verified": True, "groups": ["leads", "others"]},
    {"sub": "lou", "email": "lou@example.com", "groups": "buying"},
    {"sub": "max", "email": "max@example.com", "groups": ["others"]},
    {"sub": "eve", "email": "kim@example.com", "email_verified": False, "groups": ["leads"]},
    {"sub": "ann", "email": "ann@example.com"},
    {"sub": "bob", "groups": ["leads"]},
    {"sub": "odd", "email": "odd@example.com", "groups": {"leads": True}},
]


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    """A provider with `USERS`, which answers on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    users = [part for user in USERS for part in ("--user-claims", json.dumps(user))]
    command = [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", "--port", str(port), *users]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:  # noqa: S603 - our own command
        url = f"http://127.0.0.1:{port}"
        try:
            wait_until(lambda: _answers(url), lambda: f"the provider did not start: {process.poll()}")
            yield url
        finally:
            process.kill()
            process.wait(PATIENCE_SECONDS)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/.well-known/openid-configuration").is_success
    except httpx.TransportError:
        return False


@pytest.fixture
def provider(issuer: str) -> Provider:
    return Provider(issuer, "fillrate", "a secret", "email", "groups", GRANTS)


@dataclass
class Visitor:
    """A browser at the service and at the provider."""

    own: httpx.Client
    elsewhere: httpx.Client

    def begin(self, path: str = "/floor?at=x%26y") -> str:
        """Open a page, and go to the provider: its URL."""
        sent = self.own.get(path)
        assert sent.status_code == 303
        there = self.own.get(sent.headers["location"])
        assert there.status_code == 302
        return str(there.headers["location"])

    def answer(self, url: str, user: str | None) -> str:
        """Sign in as a user, or refuse to: the URL that the provider sends back to."""
        form = {"action": "deny"} if user is None else {"sub": user}
        back = self.elsewhere.post(url, data=form)
        assert back.status_code == 302
        return str(back.headers["location"])

    def sign_in(self, user: str | None, path: str = "/floor?at=x%26y") -> httpx.Response:
        """Do all of it."""
        return self.own.get(self.answer(self.begin(path), user))


def _show_name(request: Request) -> Response:
    person = find_person(request)
    return PlainTextResponse(f"{person.name} {sorted(grant.format() for grant in person.grants)}")


Visit = Callable[[Provider], Visitor]


@pytest.fixture
def visit() -> Iterator[Visit]:
    """Makes a browser, and a service that has one page."""
    with httpx.Client() as elsewhere:

        def make(provider: Provider) -> Visitor:
            sessions = SessionSigner([SECRET], lambda: datetime.now(UTC))
            sign_in = CompanySignIn(provider, sessions, base_url=BASE, secret=SECRET)
            pages = Pages(make_templates("fillrate_assets.web", {"base": BASE}), logging.getLogger("test"), {})
            shown = pages.build_routes([Route("/floor", _show_name)], [sign_in])
            app = Starlette(routes=[*shown, *sign_in.build_routes()])
            return Visitor(httpx.Client(base_url=BASE, transport=AsgiTransport(app)), elsewhere)

        yield make


@pytest.mark.parametrize(
    ("user", "shown"),
    [("kim", "kim@example.com ['dc_manager:DC03']"), ("lou", "lou@example.com ['buyer']")],
)
def test_who_signs_in_sees_the_page_that_was_requested(visit: Visit, provider: Provider, user: str, shown: str) -> None:
    visitor = visit(provider)
    back = visitor.sign_in(user)
    assert (back.status_code, back.headers["location"]) == (303, f"{BASE}/floor?at=x%26y")
    assert visitor.own.get("/floor").text == shown
    cookie = next(each for each in back.headers.get_list("set-cookie") if each.startswith("fillrate_session="))
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie

    assert "Signed out" in visitor.own.get("/sign-out").text
    assert visitor.own.get("/floor").status_code == 303


@pytest.mark.parametrize("user", ["max", "eve", "ann", "bob", "odd", None])
def test_who_has_no_name_or_no_group_is_not_signed_in(visit: Visit, provider: Provider, user: str | None) -> None:
    visitor = visit(provider)
    refused = visitor.sign_in(user)
    assert refused.status_code == 403
    assert "You are not signed in" in refused.text
    assert visitor.own.get("/floor").status_code == 303


def test_the_request_has_state_nonce_and_a_challenge_that_are_never_the_same(visit: Visit, provider: Provider) -> None:
    queries = [parse_qs(urlsplit(visit(provider).begin()).query) for _ in range(2)]
    for name in ("state", "nonce", "code_challenge"):
        values = [query[name][0] for query in queries]
        assert len(set(values)) == 2
        assert min(map(len, values)) >= 20
    assert queries[0]["code_challenge_method"] == ["S256"]
    assert queries[0]["redirect_uri"] == [f"{BASE}{CALLBACK}"]


def _change_state(url: str) -> str:
    return re.sub(r"state=[^&]*", "state=other", url)


def _change_code(url: str) -> str:
    return re.sub(r"code=[^&]*", "code=other", url)


@pytest.mark.parametrize("change", [_change_state, _change_code, lambda _: f"{BASE}{CALLBACK}"])
def test_an_answer_that_is_not_of_this_sign_in_opens_no_session(visit: Visit, provider: Provider, change: Any) -> None:  # noqa: ANN401 - of a URL
    visitor = visit(provider)
    assert visitor.own.get(change(visitor.answer(visitor.begin(), "kim"))).status_code == 403
    assert visitor.own.get("/floor").status_code == 303


def test_an_answer_is_good_once_and_in_the_browser_that_requested_it(visit: Visit, provider: Provider) -> None:
    visitor, other = visit(provider), visit(provider)
    back = visitor.answer(visitor.begin(), "kim")
    other.begin()
    assert other.own.get(back).status_code == 403, "someone else's browser"
    assert visitor.own.get(back).status_code == 303
    assert visitor.own.get(back).status_code == 403, "a second time"


@pytest.mark.parametrize("path", ["//evil.example/x", "/\\evil.example", "https://evil.example", "x", ""])
def test_no_link_leads_elsewhere_after_the_sign_in(visit: Visit, provider: Provider, path: str) -> None:
    visitor = visit(provider)
    there = visitor.own.get("/sign-in", params={"next": path}).headers["location"]
    assert visitor.own.get(visitor.answer(there, "kim")).headers["location"] == f"{BASE}/"


def test_an_id_token_of_another_issuer_or_for_another_client_is_refused(visit: Visit, provider: Provider) -> None:
    for other in (replace(provider, issuer=f"{provider.issuer}/"), replace(provider, client_id="other")):
        visitor = visit(provider)
        sent = visitor.answer(visitor.begin(), "kim")
        strict = visit(other)
        strict.own.cookies.update(visitor.own.cookies)
        assert strict.own.get(sent).status_code == 403, other


def test_a_provider_that_does_not_answer_is_said_to_be_down(visit: Visit) -> None:
    down = visit(Provider("http://127.0.0.1:9", "fillrate", "a secret", "email", "groups", {}))
    reply = down.own.get("/sign-in")
    assert reply.status_code == 503
    assert "does not answer" in reply.text


def test_a_form_is_refused_and_not_redirected(visit: Visit, provider: Provider) -> None:
    assert visit(provider).own.post("/floor").status_code == 405


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"issuer": "http://login.example"}, "has to begin with https://"),
        ({"client_id": ""}, "needs FILLRATE_WEB__OIDC_CLIENT_ID"),
        ({"client_secret": ""}, "FILLRATE_WEB__OIDC_CLIENT_SECRET"),
        ({"grants": {"all": ["king"]}}, "no role 'king'"),
    ],
)
def test_a_provider_that_cannot_work_is_refused(given: Mapping[str, Any], problem: str) -> None:
    right = {"issuer": "https://login.example", "client_id": "x", "client_secret": "y", "grants": GRANTS}
    with pytest.raises(PermanentFailure, match=re.escape(problem)):
        Provider(**{"user_claim": "email", "groups_claim": "groups", **right, **given})
