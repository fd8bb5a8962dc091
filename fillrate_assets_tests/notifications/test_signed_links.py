"""Links that no one without the secret can make or alter, or use too late."""

from __future__ import annotations

import json
import string
import uuid
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.notifications.signed_links import (
    MAX_TOKEN,
    ExpiredLinkError,
    ForgedLinkError,
    Kind,
    Link,
    LinkSigner,
    find_last_week,
    make_signer,
)
from fillrate_assets_tests.factories.buffers_frames import EPISODE_KEY, TICK
from fillrate_assets_tests.fixtures.cloud import Cloud

BASE: Final = "https://feedback.example"
OLD: Final = "an-old-secret-that-is-long-enough-to-sign"
NEW: Final = "a-new-secret-that-is-long-enough-as-well"
SIGNER: Final = LinkSigner(BASE, [NEW])
REC_ID: Final = f"{EPISODE_KEY}.1"
EXPIRES: Final = TICK + timedelta(days=7)
TOKEN: Final = SIGNER.sign(Link("alert", REC_ID), expires=EXPIRES)
LINKS: Final = st.builds(
    Link,
    kind=st.sampled_from(("alert", "missed", "audit")),
    about=st.text(max_size=60),
    week=st.sampled_from(("", "2026-W11")),
    responder=st.text(max_size=60),
)


@given(link=LINKS)
def test_a_link_says_what_it_was_made_for(link: Link) -> None:
    assert SIGNER.read(SIGNER.sign(link, expires=EXPIRES), now=TICK) == link


@given(link=LINKS)
def test_a_token_is_taken_by_a_url_as_it_is(link: Link) -> None:
    assert set(SIGNER.sign(link, expires=EXPIRES)) <= set(string.ascii_letters + string.digits + "-_.")


def test_a_link_is_short() -> None:
    assert len(SIGNER.make_alert_url(REC_ID, now=TICK)) < 160


def test_each_kind_of_link_opens_its_page() -> None:
    urls: dict[Kind, str] = {
        "alert": SIGNER.make_alert_url(REC_ID, now=TICK, responder="Kim"),
        "missed": SIGNER.make_missed_url("W1", now=TICK, responder="Kim"),
        "audit": SIGNER.make_audit_url("W1", "2026-W10", now=TICK, responder="Kim"),
    }
    for kind, url in urls.items():
        base, _, token = url.rpartition("/f/")
        link = SIGNER.read(token, now=TICK)
        assert (base, link.kind, link.responder) == (BASE, kind, "Kim")


@given(place=st.integers(0, len(TOKEN) - 1), other=st.characters())
def test_a_token_that_is_altered_anywhere_is_refused(place: int, other: str) -> None:
    altered = TOKEN[:place] + other + TOKEN[place + 1 :]
    if altered != TOKEN:
        with pytest.raises(ForgedLinkError):
            SIGNER.read(altered, now=TICK)


@pytest.mark.parametrize("place", range(len(TOKEN)))
def test_no_bit_of_a_token_is_free(place: int) -> None:
    for bit in range(7):
        altered = TOKEN[:place] + chr(ord(TOKEN[place]) ^ 1 << bit) + TOKEN[place + 1 :]
        with pytest.raises(ForgedLinkError):
            SIGNER.read(altered, now=TICK)


@given(place=st.integers(0, len(TOKEN)), more=st.text(min_size=1, max_size=3))
def test_a_token_with_more_in_it_is_refused(place: int, more: str) -> None:
    with pytest.raises(ForgedLinkError):
        SIGNER.read(TOKEN[:place] + more + TOKEN[place:], now=TICK)


@given(token=st.text(max_size=200))
def test_a_token_that_was_made_up_is_refused(token: str) -> None:
    with pytest.raises(ForgedLinkError):
        SIGNER.read(token, now=TICK)


@pytest.mark.parametrize("token", ["", ".", "a.b", TOKEN[: TOKEN.index(".")], TOKEN[:-1], TOKEN + "=", "a" * 10**6])
def test_a_token_that_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(ForgedLinkError):
        SIGNER.read(token, now=TICK)


def test_a_token_longer_than_any_of_ours_is_not_looked_at() -> None:
    # What repeats itself would be compressed.
    about = "".join(sha256(bytes([number])).hexdigest() for number in range(50))
    token = SIGNER.sign(Link("alert", about), expires=EXPIRES)
    assert len(token) > MAX_TOKEN
    with pytest.raises(ForgedLinkError):
        SIGNER.read(token, now=TICK)


@pytest.mark.parametrize(("late", "works"), [(-1, True), (0, False), (1, False), (10**7, False)])
def test_a_link_expires(late: int, *, works: bool) -> None:
    now = EXPIRES + timedelta(seconds=late)
    if works:
        assert SIGNER.read(TOKEN, now=now).about == REC_ID
    else:
        with pytest.raises(ExpiredLinkError):
            SIGNER.read(TOKEN, now=now)


def test_a_link_that_was_altered_is_not_called_expired() -> None:
    with pytest.raises(ForgedLinkError):
        SIGNER.read(TOKEN[:-1], now=EXPIRES)


ROTATIONS: Final = {
    "the same": ([OLD], [OLD], True),
    "a new one in front": ([OLD], [NEW, OLD], True),
    "signed by the new one": ([NEW, OLD], [NEW], True),
    "not signed by the old one": ([NEW, OLD], [OLD], False),
    "the old one left": ([OLD], [NEW], False),
}


@pytest.mark.parametrize(("signs", "reads", "accepted"), ROTATIONS.values(), ids=ROTATIONS)
def test_the_first_secret_signs_and_all_are_accepted(signs: list[str], reads: list[str], *, accepted: bool) -> None:
    link = Link("missed", "W1")
    token = LinkSigner(BASE, signs).sign(link, expires=EXPIRES)
    if accepted:
        assert LinkSigner(BASE, reads).read(token, now=TICK) == link
    else:
        with pytest.raises(ForgedLinkError):
            LinkSigner(BASE, reads).read(token, now=TICK)


@pytest.mark.parametrize("secrets", [[], [""], ["short"], [NEW, "short"]])
def test_a_secret_that_can_be_guessed_is_refused(secrets: list[str]) -> None:
    with pytest.raises(PermanentFailure, match="FILLRATE_WEB__FEEDBACK_SECRET") as raised:
        LinkSigner(BASE, secrets)
    assert "short" not in str(raised.value)


def test_the_base_may_end_with_a_slash() -> None:
    assert LinkSigner(f"{BASE}/", [NEW]).make_missed_url("W1", now=TICK) == SIGNER.make_missed_url("W1", now=TICK)


# --- the week of an audit


WEEKS: Final = {
    "a Saturday": ("2026-03-14T14:00Z", "UTC", "2026-W10"),
    "the last minute of a week": ("2026-03-08T23:59Z", "UTC", "2026-W09"),
    "the first of the next": ("2026-03-09T00:00Z", "UTC", "2026-W10"),
    "it is still Sunday there": ("2026-03-09T04:59Z", "America/Chicago", "2026-W09"),
    "it is Monday there as well": ("2026-03-09T05:00Z", "America/Chicago", "2026-W10"),
    "it is Monday there already": ("2026-03-08T15:00Z", "Asia/Tokyo", "2026-W10"),
    "a year of 53 weeks": ("2027-01-06T00:00Z", "UTC", "2026-W53"),
}


@pytest.mark.parametrize(("now", "zone", "week"), WEEKS.values(), ids=WEEKS)
def test_last_week_is_the_latest_that_is_over_at_the_warehouse(now: str, zone: str, week: str) -> None:
    assert find_last_week(datetime.fromisoformat(now), ZoneInfo(zone)) == week


# --- the signer, as the settings describe it


@pytest.mark.parametrize(("url", "secret"), [("", ""), (BASE, ""), ("", NEW), (BASE, "  ")])
def test_without_a_service_or_a_secret_there_are_no_links(url: str, secret: str) -> None:
    assert make_signer(url, secret) is None


def test_several_secrets_are_accepted_and_the_first_signs() -> None:
    both, old, new = (make_signer(BASE, secret) for secret in (f"{NEW} {OLD}", OLD, NEW))
    assert both
    assert old
    assert new
    url = both.make_missed_url("W1", now=TICK)
    assert url == new.make_missed_url("W1", now=TICK)
    assert both.read(old.make_missed_url("W1", now=TICK).rpartition("/")[2], now=TICK) == Link("missed", "W1")


def test_a_secret_may_be_stored_in_secrets_manager_and_hold_several(aws: Cloud) -> None:
    name = f"fillrate/{uuid.uuid4().hex}"
    held = json.dumps({"signing": f"{NEW} {OLD}"})
    aws.make_client("secretsmanager").create_secret(Name=name, SecretString=held)
    fetched, given = (make_signer(BASE, secret) for secret in (f"secret://{name}#signing", f"{NEW} {OLD}"))
    assert fetched
    assert given
    assert fetched.secrets == given.secrets


def test_a_short_secret_is_refused_and_not_shown() -> None:
    with pytest.raises(PermanentFailure, match="32 characters") as raised:
        make_signer(BASE, "hunter2")
    assert "hunter2" not in str(raised.value)
