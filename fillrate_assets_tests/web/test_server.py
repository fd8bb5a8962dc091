"""The service as a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import httpx
import pytest

from fillrate_assets import settings
from fillrate_assets.buffers.buffer_store import BufferStore
from fillrate_assets.buffers.policy_store import PolicyStore
from fillrate_assets.buffers.rules.policy import Policy
from fillrate_assets.cli.operations_systems import make_systems
from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.notifications.signed_links import LinkSigner
from fillrate_assets.storage.database import Database
from fillrate_assets.web import server
from fillrate_assets_tests.buffers.test_policy_store import Evidence
from fillrate_assets_tests.conftest import ROOT
from fillrate_assets_tests.factories.web_floor import SECRET, Browser, make_masters
from fillrate_assets_tests.fixtures.patience import PATIENCE_SECONDS, wait_until

URL: Final = "https://feedback.example"
_PATIENCE_SECONDS: Final = 120


@pytest.mark.parametrize("env", ["dev", "prod"])
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"web__feedback_url": URL},
        {"web__feedback_secret": SECRET},
        {"web__feedback_url": URL, "web__feedback_secret": "short"},
    ],
)
def test_without_a_url_and_a_secret_it_does_not_start(tmp_path: Path, env: str, given: dict[str, str]) -> None:
    with pytest.raises(PermanentFailure, match="FILLRATE_WEB__FEEDBACK_SECRET"):
        server.serve(settings.load(home=tmp_path, env=env, **given), "127.0.0.1", 0, print, make_systems)


def test_the_secret_is_not_shown(tmp_path: Path) -> None:
    assert SECRET not in repr(settings.load(home=tmp_path, web__feedback_secret=SECRET))


@contextmanager
def serve_home(home: Path) -> Iterator[str]:
    """Serve a home by the command until the block ends; then stop it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    base = f"http://127.0.0.1:{port}"
    given = {"FILLRATE_HOME": str(home), "FILLRATE_WEB__FEEDBACK_URL": base, "FILLRATE_WEB__FEEDBACK_SECRET": SECRET}
    command = [sys.executable, "-c", "from fillrate_assets.cli.main import main; main()"]
    command += ["serve", "--port", str(port)]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **given}, stdout=log, stderr=log)  # noqa: S603 - our own
    try:
        _wait(process, f"{base}/health", home / "log")
        yield base
        process.send_signal(signal.SIGTERM)
        process.wait(_PATIENCE_SECONDS)
    finally:
        process.kill()
        process.wait(_PATIENCE_SECONDS)
    assert process.returncode in {0, -signal.SIGTERM}, (home / "log").read_text()


def test_the_command_serves_until_it_is_stopped(tmp_path: Path) -> None:
    Database(settings.load(home=tmp_path).storage.record_store_url).upgrade()
    with serve_home(tmp_path) as base:
        assert httpx.get(f"{base}/health", timeout=PATIENCE_SECONDS).text == "ok"


def test_a_promotion_counts_from_the_next_report_on_without_a_new_start(tmp_path: Path) -> None:
    url = settings.load(home=tmp_path).storage.record_store_url
    Database(url).upgrade()
    store, policies, now = BufferStore(Database(url)), PolicyStore(Database(url)), datetime.now(UTC)
    store.merge_master_data(make_masters())
    eager = policies.propose({"total": {"act": 0.9}}, by="ann", now=now)
    when = (now - timedelta(minutes=1)).astimezone(ZoneInfo("America/Chicago"))
    report = {"responder": "Kim", "unit_id": "W1_PICK_TOTAL", "when": f"{when:%Y-%m-%dT%H:%M}"}
    with serve_home(tmp_path) as base, httpx.Client(timeout=PATIENCE_SECONDS) as client:
        browser = Browser(LinkSigner(base, [SECRET]).make_missed_url("W1", now=now), client)
        browser.send_accepted(**report, direction="OVERFLOW")
        policies.promote(eager.version, Evidence(), by="ann", now=now)
        browser.send_accepted(**report, direction="STARVATION")
    rows = store.read_feedback(now).sort("answered_at")
    assert rows.select("direction", "policy_version").rows() == [
        ("OVERFLOW", Policy().version),
        ("STARVATION", eager.version),
    ]


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    def answers() -> bool:
        try:
            httpx.get(url)
        except httpx.TransportError:
            assert process.poll() is None, log.read_text()
            return False
        return True

    wait_until(answers, log.read_text)
