"""The signer of feedback links, as the settings describe it."""

from __future__ import annotations

import json
import uuid
from typing import Final

import pytest

from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.notifications import feedback_links
from fillrate_assets.notifications.signed_links import Link
from fillrate_assets_tests.factories.buffers_frames import TICK
from fillrate_assets_tests.fixtures.cloud import Cloud

URL: Final = "https://feedback.example"
OLD: Final = "an-old-secret-that-is-long-enough-to-sign"
NEW: Final = "a-new-secret-that-is-long-enough-as-well"


@pytest.mark.parametrize(("url", "secret"), [("", ""), (URL, ""), ("", NEW), (URL, "  ")])
def test_without_a_service_or_a_secret_there_are_no_links(url: str, secret: str) -> None:
    assert feedback_links.signer(url, secret) is None


def test_several_secrets_are_accepted_and_the_first_signs() -> None:
    both, old, new = (feedback_links.signer(URL, secret) for secret in (f"{NEW} {OLD}", OLD, NEW))
    assert both
    assert old
    assert new
    url = both.make_missed_url("W1", now=TICK)
    assert url == new.make_missed_url("W1", now=TICK)
    assert both.read(old.make_missed_url("W1", now=TICK).rpartition("/")[2], now=TICK) == Link("missed", "W1")


def test_a_secret_may_be_kept_in_secrets_manager_and_hold_several(aws: Cloud) -> None:
    name = f"fillrate/{uuid.uuid4().hex}"
    held = json.dumps({"signing": f"{NEW} {OLD}"})
    aws.client("secretsmanager").create_secret(Name=name, SecretString=held)
    fetched, given = (feedback_links.signer(URL, secret) for secret in (f"secret://{name}#signing", f"{NEW} {OLD}"))
    assert fetched
    assert given
    assert fetched.secrets == given.secrets


def test_a_short_secret_is_refused_and_not_told() -> None:
    with pytest.raises(PermanentFailure, match="32 characters") as raised:
        feedback_links.signer(URL, "hunter2")
    assert "hunter2" not in str(raised.value)
