"""The pages of saved views: what people save, change and stop, and what others cannot."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import httpx
import pytest

from fillrate_assets import settings
from fillrate_assets.core.errors import SourceUnavailable
from fillrate_assets.notifications.notifiers.channel import OutgoingMessage
from fillrate_assets.notifications.outbox import ATTACHMENTS, OUTBOX
from fillrate_assets.storage.action_log import ACTION_LOG, Action, ActionLog
from fillrate_assets.subscriptions.rhythm import Rhythm
from fillrate_assets.subscriptions.view_store import SAVED_VIEWS, SavedView, add_view
from fillrate_assets.web.buyers.view_pages import MOST_VIEWS
from fillrate_assets_tests.conftest import copy_home
from fillrate_assets_tests.factories.service import NOW, URL, Service

TABLE: Final = "/service?table=vendors&top=yes"
FORM: Final = {
    "action": "save",
    "view": TABLE,
    "name": "Vendors",
    "rhythm": "weekly",
    "weekday": "4",
    "hour": "7",
    "channel": "address",
    "address": "kim@example.com",
}


@pytest.fixture(scope="module")
def service(tiny_published_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Service:
    home = copy_home(tiny_published_template, tmp_path_factory.mktemp("views"))
    web = {"web__subscription_domains": ["Example.com"], "web__subscription_channels": ["slack:buyers"]}
    return Service(settings.load(home=home, **web), max_age_seconds=3600)


@pytest.fixture(autouse=True)
def _empty(service: Service) -> Iterator[None]:
    yield
    with service.database.begin() as connection:
        for table in (SAVED_VIEWS, OUTBOX, ATTACHMENTS, ACTION_LOG):
            connection.execute(table.delete())


@pytest.fixture
def kim(service: Service) -> httpx.Client:
    """Kim's browser, a buyer."""
    return service.open("buyer", name="Kim")


def read_token(page: httpx.Response) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
    assert found is not None, page.text
    return unescape(found[1])


def open_form(browser: httpx.Client, target: str = TABLE) -> httpx.Response:
    return browser.get("/views/new", params={"view": target})


def post(browser: httpx.Client, **fields: str) -> httpx.Response:
    page = open_form(browser)
    sent = {"csrf_token": read_token(page), **fields}
    return browser.post("/views", data=sent, headers={"origin": URL})


def save(service: Service, **changes: Any) -> SavedView:  # noqa: ANN401 - fields of a view
    view = SavedView(
        view_id="v1",
        owner="Kim",
        named_by="sign-in",
        grants=("buyer",),
        signed_in_at=NOW,
        name="Vendors",
        target=TABLE,
        created_at=NOW,
        since=NOW,
        channel="mailto:kim@example.com",
        rhythm=Rhythm("weekly", 4, 7, "UTC"),
    )
    made = replace(view, **changes)
    with service.database.begin() as connection:
        add_view(connection, made)
    return made


def _refuse(_: OutgoingMessage) -> None:
    msg = "down"
    raise SourceUnavailable(msg)


def read_log(service: Service) -> list[Action]:
    return [action for _, action in ActionLog(service.database).read(limit=5)]


# --- one's own


@pytest.mark.parametrize(
    "path", ["/service", "/service/dc/DC01", "/service/contract", "/changes?since=2026-03-01", TABLE]
)
def test_each_page_leads_to_the_form_that_mails_it(kim: httpx.Client, path: str) -> None:
    found = re.search(r'<a href="([^"]*)">Mail this</a>', kim.get(path).text)
    assert found is not None
    form = kim.get(unescape(found[1]))
    assert form.status_code == 200
    assert path.partition("?")[0] in unescape(form.text)


def test_a_page_is_mailed_every_week_once_it_is_saved(service: Service, kim: httpx.Client) -> None:
    saved = post(kim, **FORM)
    assert saved.status_code == 303
    (view,) = service.views.list_views("Kim")
    assert (view.name, view.target, view.channel) == ("Vendors", TABLE, "mailto:kim@example.com")
    assert (view.rhythm, view.grants, view.since) == (Rhythm("weekly", 4, 7, "UTC"), ["buyer"], NOW)
    listed = kim.get("/views").text
    assert "Every Friday at 07:00, UTC, to kim@example.com." in listed
    (action, *_) = read_log(service)
    assert (action.actor, action.action, action.subject) == ("Kim", "save view", view.view_id)


def test_a_period_that_pages_offer_moves_and_another_stays(service: Service, kim: httpx.Client) -> None:
    desk = service.make_sender(lambda _: None).desk
    span = desk.reports.read_span()
    page = unescape(kim.get("/service").text)
    week = re.search(r'href="http://service.example(/service\?from=[^"]*)"[^>]*>Last week<', page)
    assert week is not None
    post(kim, **{**FORM, "view": week[1], "name": "moves"})
    fixed = f"/service?from={span[0]}&to={span[0]}"
    post(kim, **{**FORM, "view": fixed, "name": "stays"})
    found = {view.name: (view.target, view.period) for view in service.views.list_views("Kim")}
    assert found == {"moves": ("/service", "Last week"), "stays": (fixed, "")}
    assert "last week, counted anew each time" in open_form(kim, week[1]).text


def test_a_week_is_of_the_clocks_of_the_dc_that_a_view_is_of(service: Service, kim: httpx.Client) -> None:
    post(kim, **{**FORM, "view": "/service/dc/DC01"})
    (view,) = service.views.list_views("Kim")
    assert view.rhythm.time_zone != "UTC"


def test_a_view_is_changed_stopped_and_deleted(service: Service, kim: httpx.Client) -> None:
    save(service, since=NOW - timedelta(days=9), problem="refused")
    changed = {**FORM, "action": "change", "view_id": "v1", "name": "Other", "rhythm": "published"}
    changed.pop("view")
    assert post(kim, **changed).status_code == 303
    (view,) = service.views.list_views()
    assert (view.name, view.rhythm.kind, view.since, view.problem) == ("Other", "published", NOW, "")
    assert post(kim, action="stop", view_id="v1").status_code == 303
    (view,) = service.views.list_views()
    assert (view.is_sent, view.stopped_by) == (False, "Kim")
    assert "Stopped Mon 16 Mar 2026 by Kim." in kim.get("/views").text
    assert post(kim, action="send", view_id="v1").status_code == 422
    assert post(kim, action="delete", view_id="v1").status_code == 303
    assert service.views.list_views() == []
    assert [each.action for each in read_log(service)[:3]] == ["delete view", "stop view", "change view"]


def test_a_view_is_shown_as_it_would_be_sent_and_sent_at_once(service: Service) -> None:
    posted: list[OutgoingMessage] = []
    browser = service.open("buyer", name="Kim", sent=posted.append)
    save(service)
    page = browser.get("/views/v1").text
    done = post(browser, action="send", view_id="v1")
    (message,) = posted
    assert message.channel == "mailto:kim@example.com"
    assert message.message.subject in unescape(page)
    assert "It was sent." in browser.get(done.headers["location"]).text
    waits = post(service.open("buyer", name="Kim"), action="send", view_id="v1")
    assert waits.headers["location"].endswith("done=repeated")


def test_what_a_view_cannot_show_any_more_is_said(service: Service, kim: httpx.Client) -> None:
    save(service, target="/service/vendor/V-gone")
    assert "It would not be sent" in kim.get("/views/v1").text
    refused = post(kim, action="send", view_id="v1")
    assert refused.status_code == 422
    assert "V-gone" in refused.text


def test_roles_are_noted_when_someone_comes_by(service: Service) -> None:
    save(service, signed_in_at=NOW - timedelta(days=30))
    service.open("dc_manager:DC02", name="Kim").get("/service")
    (view,) = service.views.list_views()
    assert (view.grants, view.signed_in_at) == (["dc_manager:DC02"], NOW)


def test_who_lost_a_dc_reads_nothing_of_it_from_a_view(service: Service) -> None:
    posted: list[OutgoingMessage] = []
    save(service, target="/service")
    demoted = service.open("dc_manager:DC02", name="Kim", sent=posted.append)
    assert "of DC02 alone" in demoted.get("/views/v1").text
    post(demoted, action="send", view_id="v1")
    assert "DC01" not in posted[0].message.html


def test_who_lost_every_role_is_noted_though_nothing_is_shown(service: Service) -> None:
    save(service)
    assert service.open(name="Kim").get("/views").status_code == 404
    assert service.views.list_views()[0].grants == []


def test_a_rendered_view_notes_no_sign_in(service: Service) -> None:
    save(service, signed_in_at=NOW - timedelta(days=30), since=NOW - timedelta(days=30))
    assert service.make_sender(lambda _: None).send_due(NOW).written == ["Vendors"]
    (view,) = service.views.list_views()
    assert view.signed_in_at == NOW - timedelta(days=30)


@pytest.mark.parametrize("how", ["stop", "delete", "change", "link"])
def test_what_waits_is_not_sent_once_it_is_stopped(service: Service, kim: httpx.Client, how: str) -> None:
    view = save(service, since=NOW - timedelta(days=9))
    other = save(service, view_id="v12", since=NOW - timedelta(days=9))
    down = service.make_sender(_refuse)
    assert down.send_due(NOW).delivered.failed == 2
    assert post(kim, action="send", view_id="v1").headers["location"].endswith("done=waits")
    if how == "link":
        open_unknown(service).post(read_link(service, view))
    else:
        address = {**FORM, "rhythm": "published", "address": "other@example.com"} if how == "change" else {}
        address.pop("view", "")
        assert post(kim, **{**address, "action": how, "view_id": "v1"}).status_code == 303
    posted: list[OutgoingMessage] = []
    service.make_sender(posted.append).send_due(NOW + timedelta(hours=6))
    assert [each.message_id.startswith(f"view_{other.view_id}_") for each in posted] == [True]


# --- what cannot be saved

WRONG: Final = {
    "no name": {"name": " \u200b"},
    "a long name": {"name": "x" * 61},
    "no rhythm": {"rhythm": "hourly"},
    "no day": {"weekday": "7"},
    "no hour": {"hour": "24"},
    "no address": {"address": "kim"},
    "two addresses": {"address": "kim@example.com,eve@example.com"},
    "a header": {"address": "kim@example.com\r\nBcc: eve@evil.example"},
    "a route": {"address": "eve%evil.example@example.com"},
    "an old route": {"address": "evil.example!eve@example.com"},
    "what shows nothing": {"address": "kim\x00@example.com"},
    "a foreign domain": {"address": "kim@evil.example"},
    "a domain that looks like it": {"address": "kim@example.com.evil.example"},
    "a channel of alerts": {"channel": "slack:floor"},
    "an address of the web": {"channel": "slack:https://evil.example/hook"},
    "a secret": {"channel": "email:secret://fillrate/leads#address"},
    "a topic": {"channel": "sns:arn:aws:sns:eu-central-1:000000000000:t"},
    "the console": {"channel": "console"},
    "more than there is": {"owner": "Ada"},
}


@pytest.mark.parametrize("fields", WRONG.values(), ids=WRONG)
def test_what_makes_no_sense_is_refused_with_what_to_do(
    service: Service, kim: httpx.Client, fields: dict[str, str]
) -> None:
    refused = post(kim, **{**FORM, **fields})
    assert refused.status_code == 422
    assert 'role="alert"' in refused.text
    assert service.views.list_views() == []


@pytest.mark.parametrize(
    "target",
    [
        "",
        "/operations",
        "/floor",
        "/service/nothing/x",
        "/service/dc/DC01/x",
        "/service?table=nothing",
        "/changes?dc=DC09",
        "https://evil.example/service",
        "//evil.example/service",
        "/service/../operations",
        "/service/dc/Ä",
        "/service\r\nx",
    ],
)
def test_only_pages_of_buyers_are_saved(service: Service, kim: httpx.Client, target: str) -> None:
    assert open_form(kim, target).status_code == 404
    assert post(kim, **{**FORM, "view": target}).status_code == 404
    assert service.views.list_views() == []


def test_a_name_is_one_line_of_text_and_never_markup(service: Service, kim: httpx.Client) -> None:
    hostile = "<script>alert(1)</script>\r\nBcc: eve@evil.example"
    assert post(kim, **{**FORM, "name": hostile}).status_code == 303
    (view,) = service.views.list_views()
    assert view.name == "<script>alert(1)</script> Bcc: eve@evil.example"
    for path in ("/views", f"/views/{view.view_id}"):
        assert "<script" not in kim.get(path).text


def test_no_one_has_more_views_than_they_look_at(service: Service, kim: httpx.Client) -> None:
    for number in range(MOST_VIEWS):
        save(service, view_id=f"v{number}")
    refused = post(kim, **FORM)
    assert refused.status_code == 422
    assert "delete one" in refused.text


def test_without_a_domain_mail_goes_to_the_address_of_the_sign_in(service: Service) -> None:
    web = service.settings.web.model_copy(update={"subscription_domains": []})
    other = Service(service.settings.model_copy(update={"web": web}))
    browser = other.open("buyer", name="kim@dc.example")
    assert post(browser, **FORM).status_code == 422
    assert post(browser, **{**FORM, "address": "kim@dc.example"}).status_code == 303
    unnamed = open_form(other.open("buyer", name="Kim")).text
    assert 'name="address"' not in unnamed


# --- whose


@pytest.mark.parametrize("grants", [("buyer",), ("dc_manager:DC01",)])
def test_a_view_of_another_is_as_if_it_were_not_there(service: Service, grants: tuple[str, ...]) -> None:
    save(service)
    save(service, view_id="v2", owner="Ada", named_by="form")
    ada = service.open(*grants, name="Ada")
    for view_id in ("v1", "v2", "nothing", "../v1"):
        assert ada.get(f"/views/{view_id}").status_code == 404
        for action in ("stop", "delete", "send"):
            assert post(ada, action=action, view_id=view_id).status_code in {404, 422}
    assert "Vendors" not in ada.get("/views").text
    assert len(service.views.list_views()) == 2
    assert all(view.is_sent for view in service.views.list_views())


def test_an_operator_stops_whatever_is_sent(service: Service) -> None:
    save(service)
    operator = service.open("operator", name="Op")
    assert "Of Kim." in operator.get("/views").text
    assert post(operator, action="stop", view_id="v1").status_code == 303
    assert not service.views.list_views()[0].is_sent


def test_a_dc_manager_saves_pages_of_their_own_dcs_alone(service: Service) -> None:
    manager = service.open("dc_manager:DC02", name="Max")
    assert open_form(manager, "/service/dc/DC01").status_code == 404
    refused = post(manager, **{**FORM, "view": "/service/dc/DC01"})
    assert refused.status_code == 404
    assert post(manager, **{**FORM, "view": "/service/dc/DC02"}).status_code == 303


@pytest.mark.parametrize("grants", [(), ("floor:W0001",)])
def test_who_sees_no_service_has_no_views(service: Service, grants: tuple[str, ...]) -> None:
    browser = service.open(*grants, name="Flo")
    for path in ("/views", "/views/new?" + urlencode({"view": TABLE}), "/views/v1"):
        assert browser.get(path).status_code == 404


def test_no_one_saves_without_a_sign_in_or_from_another_page(service: Service, kim: httpx.Client) -> None:
    unknown = service.open("buyer")
    unknown.cookies.clear()
    assert unknown.get("/views").status_code == 401
    token = read_token(open_form(kim))
    for headers, fields in (
        ({"origin": "https://evil.example"}, {"csrf_token": token}),
        ({}, {"csrf_token": token}),
        ({"origin": URL}, {}),
        ({"origin": URL}, {"csrf_token": f"{token}x"}),
    ):
        assert kim.post("/views", data={**FORM, **fields}, headers=headers).status_code == 403
    ada = service.open("buyer", name="Ada")
    open_form(ada)
    assert ada.post("/views", data={**FORM, "csrf_token": token}, headers={"origin": URL}).status_code == 403
    assert service.views.list_views() == []


def test_a_link_for_a_day_saves_under_a_name_that_was_typed(service: Service) -> None:
    local = service.open("operator", name="")
    assert post(local, **FORM).status_code == 422
    assert post(local, **FORM, responder="Kim").status_code == 303
    (view,) = service.views.list_views()
    assert (view.owner, view.named_by) == ("Kim", "form")


# --- the link that stops messages


def read_link(service: Service, view: SavedView) -> str:
    return urlsplit(service.make_sender(lambda _: None).unsubscriber.make_url(view)).path


def open_unknown(service: Service) -> httpx.Client:
    """A browser of someone who is not signed in."""
    browser = service.open("buyer")
    browser.cookies.clear()
    return browser


def test_to_open_the_link_changes_nothing_and_to_send_its_form_stops_it(service: Service) -> None:
    link, browser = read_link(service, save(service)), open_unknown(service)
    for method in ("GET", "HEAD", "GET"):
        assert browser.request(method, link).status_code == 200
    assert service.views.list_views()[0].is_sent
    assert "Stop these messages" in browser.get(link).text
    stopped = browser.post(link, data={"List-Unsubscribe": "One-Click"})
    assert stopped.status_code == 200
    assert not service.views.list_views()[0].is_sent
    assert browser.post(link).status_code == 200
    assert "are stopped" in browser.get(link).text
    actions = [each for each in read_log(service) if each.subject == "v1"]
    assert (actions[0].actor, actions[0].named_by, actions[0].action) == ("a link in a message", "link", "stop view")
    assert [each.named_by for each in actions].count("link") == 1


def test_a_link_that_is_not_ours_stops_nothing(service: Service) -> None:
    view = save(service)
    link, browser = read_link(service, view), open_unknown(service)
    token = link.rpartition("/")[2]
    of_another = read_link(service, replace(view, view_id="v2")).rpartition("/")[2]
    payload, signature = token.rpartition(".")[0], of_another.rpartition(".")[2]
    for forged in ("x", token[:-2], f"{payload}.{signature}", of_another, "a" * 5000, "%00", "{}", f".{signature}"):
        assert browser.post(f"/unsubscribe/{forged}").status_code == 404
    assert service.views.list_views()[0].is_sent


def test_a_link_stops_messages_to_where_it_was_sent_alone(service: Service) -> None:
    link = read_link(service, save(service, channel="mailto:before@example.com"))
    with service.database.begin() as connection:
        connection.execute(SAVED_VIEWS.update().values(channel="mailto:kim@example.com"))
    assert open_unknown(service).post(link).status_code == 404
    assert service.views.list_views()[0].is_sent
