"""Who may see what, and who someone is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from starlette.requests import HTTPConnection

from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.web.access import Grant, Person
from fillrate_assets.web.authentication import COOKIE, LIFETIME, ProxyHeaders, SessionSigner
from fillrate_assets_tests.factories.buffers_frames import make_warehouses

NOW: Final = datetime(2026, 3, 14, 14, tzinfo=UTC)
SECRET: Final = "only-the-tests-know-this-one-all-of-it"  # noqa: S105 - it protects nothing
WAREHOUSES: Final = make_warehouses(
    {"warehouse": "W1", "dc": "DC01"}, {"warehouse": "W2", "dc": "DC02"}, {"warehouse": "W3", "dc": "DC02"}
)


@pytest.mark.parametrize(
    ("grants", "seen"),
    [
        ([], []),
        (["buyer"], []),
        (["operator"], ["W1", "W2", "W3"]),
        (["floor:W1"], ["W1"]),
        (["floor:W9"], []),
        (["floor:*"], ["W1", "W2", "W3"]),
        (["dc_manager:DC02"], ["W2", "W3"]),
        (["dc_manager:DC01", "floor:W3", "buyer"], ["W1", "W3"]),
        (["dc_manager:W1", "floor:DC02"], []),
    ],
)
def test_a_role_shows_its_own_floors_and_no_other(grants: list[str], seen: list[str]) -> None:
    assert Person.with_grants("Kim", grants).select_warehouses(WAREHOUSES)["warehouse"].to_list() == seen


@pytest.mark.parametrize("text", ["operator", "buyer", "floor:W0001", "floor:*", "dc_manager:DC03"])
def test_a_grant_is_written_as_it_is_read(text: str) -> None:
    assert Grant.parse(f" {text} ").format() == text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("admin", "no role 'admin'; there are buyer"),
        ("", "no role ''"),
        ("floor", "written as floor:WAREHOUSE, or floor:\\*"),
        ("floor:", "written as floor:WAREHOUSE"),
        ("operator:W1", "written as operator alone"),
    ],
)
def test_a_grant_that_cannot_be_is_refused(text: str, problem: str) -> None:
    with pytest.raises(PermanentFailure, match=problem):
        Grant.parse(text)


def connect(headers: Mapping[str, str], *more: tuple[str, str], client: str | None = "10.1.2.3") -> HTTPConnection:
    sent = [(name.lower().encode(), value.encode()) for name, value in (*headers.items(), *more)]
    return HTTPConnection({"type": "http", "headers": sent, "client": client and (client, 4711)})


def make_proxy(**given: Any) -> ProxyHeaders:  # noqa: ANN401 - any of its fields
    grants = {"leads": ["dc_manager:DC01"], "floor 1": ["floor:W1"]}
    usual = {"user_header": "X-User", "groups_header": "X-Groups", "networks": ["10.0.0.0/8"], "grants": grants}
    return ProxyHeaders(**{**usual, **given})


SAID: Final = {"X-User": "kim@example", "X-Groups": "leads, others,floor 1"}


def test_a_trusted_proxy_says_who_it_is_and_groups_say_what_they_see() -> None:
    person = make_proxy().identify(connect(SAID))
    assert person == Person.with_grants("kim@example", ["dc_manager:DC01", "floor:W1"])
    assert make_proxy().identify(connect({"X-User": "kim"})) == Person.with_grants("kim", [])


@pytest.mark.parametrize(
    "connection",
    [
        connect(SAID, client="192.168.1.1"),
        connect(SAID, client=None),
        connect(SAID, client="unix"),
        connect({"X-Groups": "leads"}),
        connect({"X-User": " ", "X-Groups": "leads"}),
        connect(SAID, ("X-User", "someone")),
        connect(SAID, ("X-Groups", "floor 1")),
        connect({**SAID, "X-Forwarded-For": "10.1.2.3"}, client="192.168.1.1"),
    ],
)
def test_whatever_else_sends_the_headers_is_no_one(connection: HTTPConnection) -> None:
    assert make_proxy().identify(connection) is None


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"networks": []}, "FILLRATE_WEB__PROXY_NETWORKS has to name"),
        ({"networks": ["10.0.0.0/99"]}, "FILLRATE_WEB__PROXY_NETWORKS: '10.0.0.0/99'"),
        ({"grants": {"leads": ["admin"]}}, "no role 'admin'"),
    ],
)
def test_a_proxy_that_would_let_in_everyone_is_refused(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(PermanentFailure, match=problem):
        make_proxy(**given)


def make_signer(secret: str = SECRET, after: timedelta = timedelta(0)) -> SessionSigner:
    return SessionSigner([secret], lambda: NOW + after)


def change_last(token: str) -> str:
    return token[:-2] + ("AA" if not token.endswith("AA") else "BB")


@pytest.mark.parametrize(
    ("change", "signer"),
    [
        (lambda token: token, make_signer(after=LIFETIME)),
        (lambda token: token, make_signer(secret=SECRET[::-1])),
        (change_last, make_signer()),
        (lambda _: "", make_signer()),
        (lambda _: "x.y.z", make_signer()),
    ],
)
def test_a_session_is_good_for_a_day_and_as_it_was_signed(change: Callable[[str], str], signer: SessionSigner) -> None:
    person = Person.with_grants("this machine", ["operator", "floor:W1"])
    token = make_signer().sign(person)
    almost = make_signer(after=LIFETIME - timedelta(seconds=1))
    assert almost.identify(connect({"cookie": f"{COOKIE}={token}"})) == person
    assert signer.identify(connect({"cookie": f"{COOKIE}={change(token)}"})) is None
