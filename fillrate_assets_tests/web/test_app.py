"""What the service refuses: others' links, others' forms, and whatever is no form of its own."""

from __future__ import annotations

import re
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from html import unescape
from typing import Final
from urllib.parse import urlencode, urlsplit

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.requests import Request

from fillrate_assets.notifications.signed_links import AUDIT_LIFETIME, LIFETIME, Link, LinkSigner
from fillrate_assets.storage.sql import find_embedded_file
from fillrate_assets.web.csrf import MAX_BODY, CsrfGuard
from fillrate_assets.web.limits import MAX_REQUESTS
from fillrate_assets.web.security_headers import HEADERS
from fillrate_assets_tests.factories.buffers_frames import TICK
from fillrate_assets_tests.factories.web_floor import LANES, REC_ID, SECRET, Floor
from fillrate_assets_tests.web.test_pages import REPORT

PATIENCE_SECONDS: Final = 60
SAID: Final = {"responder": "Kim", "answer": "CORRECT"}
FORM: Final = {"content-type": "application/x-www-form-urlencoded"}
OF_THE_ALERT: Final = ("W1", "PICK", "Chicago", "associates", "94.0")
METHODS: Final = ("PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
HOSTILE: Final = {
    "a script": "<script>alert(1)</script>",
    "out of an attribute": '"><img src=x onerror=alert(1)>',
    "out of a text area": "</textarea><svg onload=alert(1)>",
    "a template": "{{ 7 * 7 }}{% include '/etc/passwd' %}",
    "a quote": "'; DROP TABLE buffer_feedback; --",
    "always true": "' OR '1'='1",
    "another query": '") UNION SELECT * FROM warehouse --',
    "a pattern": "%_[a-z]%",
    "a header": "Kim\r\nSet-Cookie: admin=1",
}


def assert_shows_nothing(reply: httpx.Response) -> bool:
    return not any(word in reply.text for word in OF_THE_ALERT)


# --- links


@pytest.fixture(params=["alert", "missed", "audit"])
def url(request: pytest.FixtureRequest, floor: Floor) -> str:
    """A link of each kind."""
    return str(getattr(floor, f"link_{request.param}")())


def test_a_link_opens_its_page(floor: Floor, url: str) -> None:
    reply = floor.make_browser(url).open()
    assert reply.status_code == 200
    assert not assert_shows_nothing(reply)


def test_an_expired_link_says_where_to_get_a_new_one_and_shows_nothing(floor: Floor, url: str) -> None:
    browser = floor.make_browser(url)
    token = browser.read_token()
    floor.now = TICK + AUDIT_LIFETIME
    for reply in (browser.open(), browser.post({"csrf_token": token, **SAID}), browser.client.head(url)):
        assert reply.status_code == 410
        assert assert_shows_nothing(reply)
    assert "from your control room" in browser.open().text
    assert not floor.read_rows()


def test_a_form_that_was_opened_in_time_and_sent_too_late_is_not_taken(floor: Floor) -> None:
    browser = floor.make_browser(floor.link_alert())
    token = browser.read_token()
    floor.now = TICK + LIFETIME
    assert browser.post({"csrf_token": token, **SAID}).status_code == 410
    assert not floor.read_rows()


def test_a_forged_link_looks_like_a_place_that_is_not_there(floor: Floor) -> None:
    base = floor.links.base_url
    forged = LinkSigner(base, ["another secret, as long as it has to be"]).make_alert_url(REC_ID, now=TICK)
    unknown = floor.link_alert("W1_PICK_TOTAL.OVERFLOW.7.1")
    elsewhere = [forged, unknown, floor.link_alert() + "x", f"{base}/", f"{base}/f/", f"{base}/f/a.b", f"{base}/admin"]
    replies = [floor.make_browser(each).open() for each in elsewhere]
    assert {reply.status_code for reply in replies} == {404}
    assert len({reply.text for reply in replies}) == 1
    assert assert_shows_nothing(replies[0])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_link_that_was_altered_in_one_place_opens_nothing(floor: Floor, data: st.DataObject) -> None:
    token = floor.link_alert().rpartition("/")[2]
    place = data.draw(st.integers(0, len(token) - 1))
    letters = st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~%=")
    altered = token[:place] + data.draw(letters.filter(lambda letter: letter != token[place])) + token[place + 1 :]
    browser = floor.make_browser(floor.links.build_url(altered))
    for reply in (browser.open(), browser.post({"csrf_token": "x", **SAID})):
        assert reply.status_code in {400, 404}
        assert assert_shows_nothing(reply)
    assert not floor.read_rows()


def test_a_link_of_one_kind_is_none_of_another(floor: Floor) -> None:
    token = floor.links.sign(Link("missed", REC_ID), expires=TICK + LIFETIME)
    assert floor.make_browser(floor.links.build_url(token)).open().status_code == 404


# --- looking records nothing


@pytest.mark.parametrize(
    "agent",
    [
        "Slackbot-LinkExpanding 1.0",
        pytest.param("SkypeUriPreview Preview/0.5", marks=pytest.mark.sweep),
        pytest.param("Mozilla/5.0", marks=pytest.mark.sweep),
    ],
)
def test_who_only_looks_records_nothing(floor: Floor, url: str, agent: str) -> None:
    browser = floor.make_browser(url)
    browser.client.headers["user-agent"] = agent
    query = urlencode({"csrf_token": browser.read_token(), **SAID, "quiet": LANES[0], **REPORT})
    for address in (url, f"{url}?{query}", f"{url}?recorded={REC_ID}"):
        assert browser.client.get(address).status_code == 200
        head = browser.client.head(address)
        assert head.status_code == 200
        assert not head.content
    assert not floor.read_rows()


@pytest.mark.parametrize("method", METHODS)
def test_other_methods_are_refused(floor: Floor, method: str) -> None:
    browser = floor.make_browser(floor.link_alert())
    fields = urlencode({"csrf_token": browser.read_token(), **SAID})
    reply = browser.client.request(method, browser.url, content=fields, headers=FORM)
    assert reply.status_code == 405
    assert assert_shows_nothing(reply)
    assert not floor.read_rows()


# --- forms of others


ORIGINS: Final = {
    "none": None,
    "unknown": "null",
    "another site": "https://evil.example",
    "another scheme": "https://127.0.0.1",
    "another port": "http://127.0.0.1:1",
    "ours as a part": "http://127.0.0.1.evil.example",
}


@pytest.mark.parametrize("origin", ORIGINS.values(), ids=ORIGINS)
def test_a_form_of_another_site_is_refused(floor: Floor, origin: str | None) -> None:
    reply = floor.make_browser(floor.link_alert()).send(origin, **SAID)
    assert reply.status_code == 403
    assert assert_shows_nothing(reply)
    assert not floor.read_rows()


BASES: Final = {
    "https": ("https://floor.example:443", "https://floor.example"),
    "http": ("http://floor.example:80/answers", "http://floor.example"),
    "IPv6": ("https://[2001:db8::443]:443", "https://[2001:db8::443]"),
    "none": ("https://floor.example", "https://floor.example"),
    "another": ("https://floor.example:8443", "https://floor.example:8443"),
    "of the other scheme": ("https://floor.example:80", "https://floor.example:80"),
}


@pytest.mark.parametrize(("base", "origin"), BASES.values(), ids=BASES)
def test_a_default_port_is_no_part_of_where_a_form_comes_from(base: str, origin: str) -> None:
    keeper = CsrfGuard(base, [SECRET])
    visit = keeper.create_visit()
    sent = {"origin": origin, "cookie": f"{keeper.cookie}={visit}"}
    headers = [(name.encode(), value.encode()) for name, value in sent.items()]
    keeper.check(Request({"type": "http", "headers": headers}), "token", keeper.sign("token", visit))


def test_a_form_without_the_word_of_its_page_is_refused(floor: Floor) -> None:
    browser = floor.make_browser(floor.link_alert())
    token = browser.read_token()
    for fields in (SAID, {"csrf_token": "", **SAID}, {"csrf_token": token[:-1], **SAID}, {"csrf_token": "ä", **SAID}):
        assert browser.post(fields).status_code == 403
    assert not floor.read_rows()


def test_the_word_of_another_browser_or_of_another_link_is_refused(floor: Floor) -> None:
    mine, theirs = floor.make_browser(floor.link_alert()), floor.make_browser(floor.link_alert())
    mine.open()
    assert mine.post({"csrf_token": theirs.read_token(), **SAID}).status_code == 403
    other = floor.make_browser(floor.link_missed())
    other.client.cookies.update(mine.client.cookies)
    assert mine.post({"csrf_token": other.read_token(), **SAID}).status_code == 403
    assert not floor.read_rows()


def test_two_pages_in_one_browser_do_not_disturb_each_other(floor: Floor) -> None:
    browser = floor.make_browser(floor.link_alert())
    token = browser.read_token()
    browser.client.get(floor.link_missed())
    assert browser.post({"csrf_token": token, **SAID}).status_code == 303
    assert len(floor.read_rows()) == 1


def test_a_browser_without_cookies_gets_a_message(floor: Floor) -> None:
    browser = floor.make_browser(floor.link_alert())
    token = browser.read_token()
    browser.client.cookies.clear()
    reply = browser.post({"csrf_token": token, **SAID})
    assert reply.status_code == 403
    assert "cookies" in reply.text


# --- what is no form


BODIES: Final[dict[str, tuple[bytes, str, int]]] = {
    "json": (b'{"answer": "CORRECT"}', "application/json", 415),
    "parts": (b"--x\r\n\r\n--x--", "multipart/form-data; boundary=x", 415),
    "plain": (b"answer=CORRECT", "text/plain", 415),
    "too long": (b"note=" + b"n" * MAX_BODY, FORM["content-type"], 413),
    "too many": (b"&".join(b"a%d=1" % number for number in range(11)), FORM["content-type"], 400),
    "twice": (b"answer=CORRECT&answer=NO_PROBLEM", FORM["content-type"], 400),
    "no letters": (b"answer=%ff%fe", FORM["content-type"], 400),
    "raw bytes": (b"answer=\xff", FORM["content-type"], 400),
    "half a letter": (b"answer=%ed%a0%80", FORM["content-type"], 400),
    "no pairs": (b"answer", FORM["content-type"], 400),
    "nothing": (b"", FORM["content-type"], 403),
}


@pytest.mark.parametrize(("body", "kind", "status"), BODIES.values(), ids=BODIES)
def test_what_is_no_form_is_refused(floor: Floor, body: bytes, kind: str, status: int) -> None:
    browser = floor.make_browser(floor.link_alert())
    browser.open()
    origin = {"origin": floor.links.base_url, "content-type": kind}
    reply = browser.client.post(browser.url, content=body, headers=origin)
    assert reply.status_code == status
    assert assert_shows_nothing(reply)
    assert not floor.read_rows()


def test_a_body_that_does_not_say_how_long_it_is_is_cut_off(floor: Floor) -> None:
    parts = (b"note=" if number == 0 else b"n" * 1024 for number in range(MAX_BODY // 1024 + 2))
    # The service hangs up on who goes on sending, maybe before its answer is read.
    with suppress(httpx.TransportError):
        reply = floor.make_browser(floor.link_alert()).client.post(floor.link_alert(), content=parts, headers=FORM)
        assert reply.status_code == 413
    assert not floor.read_rows()


# --- hostile words


@pytest.mark.parametrize("words", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_is_stored_as_it_is_and_shown_as_text(floor: Floor, words: str) -> None:
    rec_id = floor.add_notice(rec_id="W1_PICK_TOTAL.OVERFLOW.2.1", explanation=words, source_unit=words)
    browser = floor.make_browser(floor.link_alert(rec_id))
    name = " ".join(words.split())[:60]
    pages = [browser.send_accepted(responder=name, answer="CORRECT", note=words), browser.open()]
    (row,) = floor.read_rows()
    assert (row["responder"], row["note"]) == (name, words.replace("\r\n", "\n"))
    for page in pages:
        assert not re.search(r"<(script|img|svg)|on\w+=alert(?!\(1\)[&<])|>49<", page.text.replace("&#34;", ""))
        assert name in unescape(page.text)
        assert "set-cookie: admin" not in str(page.headers).lower()
    assert floor.store.read_master_data("W1").unit_members.height == 1 + len(LANES)


@pytest.mark.parametrize(
    "field", ["answer", "quantity", "unit_id", "direction", "when", "withdraw", "quiet", "csrf_token"]
)
def test_hostile_words_in_any_other_field_record_nothing(
    floor: Floor, url: str, field: str, pytestconfig: pytest.Config
) -> None:
    """Two kinds of words; all of them in a sweep."""
    kinds = HOSTILE if pytestconfig.getoption("sweep") else ("a script", "a quote")
    browser = floor.make_browser(url)
    said = {"csrf_token": browser.read_token(), **(SAID | {"quantity": "1"} if url == floor.link_alert() else REPORT)}
    for kind in kinds:
        reply = browser.post({**said, field: HOSTILE[kind]})
        assert reply.status_code in {403, 422}
        assert "<script" not in reply.text
    assert not floor.read_rows()


def test_hostile_words_in_the_address_show_the_form(floor: Floor, url: str) -> None:
    browser = floor.make_browser(url)
    for words in (*HOSTILE.values(), "\x00", "a" * 300):
        reply = browser.client.get(f"{url}?{urlencode({'recorded': words})}")
        assert reply.status_code == 200, words
        assert words not in reply.text


# --- what every answer carries


def test_every_answer_carries_the_security_headers(floor: Floor) -> None:
    browser = floor.make_browser(floor.link_alert())
    base = floor.links.base_url
    paths = ("health", "nowhere", "static/style.css", "static/../web.py")
    replies = [
        browser.open(),
        browser.send(**SAID),
        browser.send("https://evil.example", **SAID),
        *[browser.client.get(f"{base}/{path}") for path in paths],
    ]
    assert [reply.status_code for reply in replies] == [200, 303, 403, 200, 404, 200, 404]
    for reply in replies:
        assert {name: reply.headers.get(name) for name in HEADERS} == HEADERS
        assert reply.headers["cache-control"] == "no-store"
        assert "server" not in reply.headers


def test_no_page_needs_a_script_or_anything_of_another_site(floor: Floor, url: str) -> None:
    text = floor.make_browser(url).open().text
    assert "<script" not in text
    assert " style=" not in text
    assert not re.search(r"\son\w+=", text)
    assert all(found.startswith(floor.links.base_url) for found in re.findall(r'(?:href|src|action)="([^"]+)"', text))


def test_cookies_are_for_this_site_and_for_no_script(floor: Floor) -> None:
    browser = floor.make_browser(floor.link_alert())
    for reply in (browser.open(), browser.send(**SAID)):
        (cookie,) = reply.headers.get_list("set-cookie")
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie


def test_health_says_that_it_is_there_and_nothing_else(floor: Floor) -> None:
    reply = floor.make_browser(f"{floor.links.base_url}/health").open()
    assert (reply.status_code, reply.text) == (200, "ok")


def test_a_store_that_does_not_answer_is_shown_as_it_is(floor: Floor) -> None:
    browser = floor.make_browser(floor.link_alert())
    token = browser.read_token()
    with floor.break_store():
        replies = [browser.open(), browser.post({"csrf_token": token, **SAID})]
        assert floor.make_browser(f"{floor.links.base_url}/health").open().status_code == 200
    for reply in replies:
        assert reply.status_code in {500, 503}
        assert "Nothing was recorded" in reply.text
        assert "sqlite" not in reply.text.lower()
        assert "buffer_feedback" not in reply.text
        assert reply.headers["x-frame-options"] == "DENY"
    assert browser.post({"csrf_token": token, **SAID}).status_code == 303


# --- names, hosts, and much at a time


def test_no_redirect_carries_a_link_to_the_host_that_a_client_names(floor: Floor) -> None:
    url = floor.link_alert()
    for reply in (
        httpx.get(f"{url}/", headers={"host": "evil.example"}, timeout=PATIENCE_SECONDS),
        httpx.get(f"{url}/", timeout=PATIENCE_SECONDS),
        httpx.get(url, headers={"host": "evil.example"}, timeout=PATIENCE_SECONDS),
        httpx.get(f"{floor.links.base_url}/static", headers={"host": "evil.example"}, timeout=PATIENCE_SECONDS),
    ):
        assert reply.status_code in {404, 421}
        assert "location" not in reply.headers
        assert assert_shows_nothing(reply)
    location = floor.make_browser(url).send(**SAID).headers["location"]
    assert location.startswith("?recorded=")


def test_a_database_that_is_gone_is_shown_with_a_time_to_try_again(floor: Floor) -> None:
    browser = floor.make_browser(floor.link_alert())
    token = browser.read_token()
    file = find_embedded_file(floor.store.database.url)
    assert file is not None
    away = file.rename(file.with_suffix(".away"))
    try:
        replies = [browser.open(), browser.post({"csrf_token": token, **SAID})]
    finally:
        away.rename(file)
    for reply in replies:
        assert (reply.status_code, reply.headers["retry-after"]) == (503, "60")
    assert not floor.read_rows()


@pytest.mark.parametrize(
    "name", ["\u200b", "\u2800\u2800", "\u3164", "\u00ad", "\u0301", "\u202e \u2066", "\U000e0041"]
)
def test_a_name_that_shows_nothing_is_no_name(floor: Floor, name: str) -> None:
    reply = floor.make_browser(floor.link_alert()).send(**{**SAID, "responder": name})
    assert reply.status_code == 422
    assert not floor.read_rows()


def test_names_that_look_the_same_are_one_person(floor: Floor) -> None:
    for name in ("Kim", "K\u200bim", "Kim\ufe0f", "\u2060Kim\u3164"):
        floor.make_browser(floor.link_alert()).send_accepted(**{**SAID, "responder": name})
    assert {row["responder"] for row in floor.read_rows()} == {"Kim"}


def test_slow_clients_shut_no_one_out(floor: Floor) -> None:
    url = floor.link_alert()
    parts = urlsplit(url)
    half = f"POST {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-length: 900\r\n\r\nresponder".encode()
    with ExitStack() as stack:
        for number in range(2 * MAX_REQUESTS + 20):
            slow = stack.enter_context(socket.create_connection((str(parts.hostname), int(parts.port or 0))))
            # Those that were dropped already are what is tested.
            with suppress(OSError):
                slow.sendall(half if number % 2 else b"GET / HT")
        assert httpx.get(f"{floor.links.base_url}/health", timeout=PATIENCE_SECONDS).text == "ok"
        assert httpx.get(url, timeout=PATIENCE_SECONDS).status_code == 200


def test_a_locked_database_holds_up_neither_health_nor_pages(floor: Floor) -> None:
    url = floor.link_alert()
    with ThreadPoolExecutor(45) as threads, floor.store.database.engine.connect() as connection:
        browsers = [floor.make_browser(url) for _ in range(45)]
        words = [browser.read_token() for browser in browsers]
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        answering = [
            threads.submit(browser.post, {"csrf_token": token, **SAID})
            for browser, token in zip(browsers, words, strict=True)
        ]
        assert httpx.get(f"{floor.links.base_url}/health", timeout=PATIENCE_SECONDS).text == "ok"
        assert httpx.get(url, timeout=PATIENCE_SECONDS).status_code == 200
        assert not any(each.done() for each in answering)
        connection.rollback()
        assert {each.result(PATIENCE_SECONDS).status_code for each in answering} == {303}
