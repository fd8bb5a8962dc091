"""Stock buffers on the buyers' pages: what to order, why, and what a buyer decides."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest

from fillrate_assets import settings
from fillrate_assets.replenishment.recommendation_store import DECISIONS, RecommendationStore
from fillrate_assets.storage.action_log import ACTION_LOG, ActionLog
from fillrate_assets_tests.conftest import DC, copy_home
from fillrate_assets_tests.factories.service import URL, Service

ORIGIN = {"Origin": URL}


@pytest.fixture(scope="module")
def _opened(stock_buffers_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Service:
    home = copy_home(stock_buffers_template, tmp_path_factory.mktemp("stock pages"))
    return Service(settings.load(home=home), max_age_seconds=3600)


@pytest.fixture
def service(_opened: Service) -> Service:
    """Pages over a network of which every recommendation waits for its decision; tests change no day."""
    with _opened.database.begin() as connection:
        for table in (DECISIONS, ACTION_LOG):
            connection.execute(table.delete())
    return _opened


@pytest.fixture
def store(service: Service) -> RecommendationStore:
    return RecommendationStore(service.database)


@pytest.fixture
def due(store: RecommendationStore) -> dict[str, Any]:
    """What would lose most."""
    return store.read_due({}, 1).row(0, named=True)


def read_form(browser: httpx.Client, row: dict[str, Any]) -> dict[str, str]:
    page = browser.get(f"/service/item/{row['item']}/{row['dc']}").text
    found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page)
    return {name: unescape(value) for name, value in found}


def test_what_to_order_is_listed_and_leads_to_the_item_and_why(service: Service, due: dict[str, Any]) -> None:
    buyer = service.open("buyer")
    network = buyer.get("/service").text
    assert "What to order" in network
    assert f"/service/item/{due['item']}/{DC}#stock" in network
    page = buyer.get(f"/service/item/{due['item']}/{DC}").text
    assert "What to hold" in page
    assert "Defaults of the DC: lead time, review period, " in page
    assert re.search(r"In 95 of 100 like cases no more than [\d.]+ times that came", page)
    listed = buyer.get("/service/dc/DC01?table=orders&format=csv")
    assert due["item"] in listed.text.splitlines()[1]


def test_where_no_stock_buffers_are_made_nothing_is_said_of_them(published_template: Path) -> None:
    buyer = Service(settings.load(home=published_template)).open("buyer")
    assert "What to order" not in buyer.get("/service").text


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"decision": "ACCEPTED"}, ("ACCEPTED", None)),
        ({"decision": "CHANGED", "cases": "12.5", "reason": "promotion"}, ("CHANGED", "promotion")),
        ({"decision": "REFUSED", "reason": "discontinued"}, ("REFUSED", "discontinued")),
    ],
)
def test_a_decision_is_stored_and_logged_under_the_name_of_the_sign_in(
    service: Service,
    store: RecommendationStore,
    due: dict[str, Any],
    sent: dict[str, str],
    expected: tuple[str, str | None],
) -> None:
    buyer = service.open("buyer")
    reply = buyer.post("/stock-buffers", data={**read_form(buyer, due), **sent}, headers=ORIGIN)
    assert (reply.status_code, reply.headers["location"].rpartition("?")[2]) == (303, "done=decided#stock")
    (row,) = store.read_decisions([DC]).iter_rows(named=True)
    assert (row["decision"], row["reason"], row["decided_by"]) == (*expected, "Kim")
    ((_, action),) = ActionLog(service.database).read(limit=5)
    assert (action.actor, action.named_by, action.subject) == ("Kim", "sign-in", f"{DC} {due['item']}")
    assert f"{expected[0].capitalize()} by Kim" in buyer.get(f"/service/item/{due['item']}/{DC}").text


@pytest.mark.parametrize(
    ("sent", "problem"),
    [
        ({"decision": "REFUSED"}, "Say why."),
        ({"decision": "CHANGED", "reason": "promotion"}, "Say how many cases are ordered"),
        ({"decision": "CHANGED", "reason": "promotion", "cases": "-1"}, "Say how many cases are ordered"),
        ({"decision": "ACCEPTED", "ship_date": "2026-03-02"}, "Meanwhile there is a recommendation of"),
        ({"decision": "DOUBLED"}, "The form was not complete."),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_to_do(
    service: Service, store: RecommendationStore, due: dict[str, Any], sent: dict[str, str], problem: str
) -> None:
    buyer = service.open("buyer")
    reply = buyer.post("/stock-buffers", data={**read_form(buyer, due), **sent}, headers=ORIGIN)
    assert (reply.status_code, problem in reply.text) == (422, True)
    assert store.read_decisions().is_empty()


def test_only_who_sees_the_dc_decides_and_only_from_our_page(
    service: Service, store: RecommendationStore, due: dict[str, Any]
) -> None:
    buyer, other, floor = (service.open(grant) for grant in ("buyer", "dc_manager:DC02", "floor:W0001"))
    form = {**read_form(buyer, due), "decision": "ACCEPTED"}
    for browser, fields, status in (
        (buyer, {**form, "csrf_token": "forged"}, 403),
        (other, {**form, "csrf_token": read_form(other, {**due, "dc": "DC02"}).get("csrf_token", "")}, 403),
        (floor, form, 403),
    ):
        assert browser.post("/stock-buffers", data=fields, headers=ORIGIN).status_code == status
    manager = service.open("dc_manager:DC01")
    assert manager.post("/stock-buffers", data={**form, **read_form(manager, due)}, headers=ORIGIN).status_code == 303
    hidden = {**form, **read_form(manager, due), "dc": "DC02"}
    assert manager.post("/stock-buffers", data=hidden, headers=ORIGIN).status_code == 404
    assert store.read_decisions().height == 1
