"""The service as a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import httpx
import pytest

from fillrate_assets import feedback_service, settings
from fillrate_assets.connections.record_store import RecordStore
from fillrate_assets.errors import PermanentFailure
from fillrate_assets_tests.conftest import ROOT
from fillrate_assets_tests.feedback_service.floor import SECRET

URL: Final = "https://feedback.example"
_PATIENCE_SECONDS: Final = 120


@pytest.mark.parametrize("env", ["dev", "prod"])
@pytest.mark.parametrize(
    "given", [{}, {"feedback_url": URL}, {"feedback_secret": SECRET}, {"feedback_url": URL, "feedback_secret": "short"}]
)
def test_without_a_url_and_a_secret_it_does_not_start(tmp_path: Path, env: str, given: dict[str, str]) -> None:
    with pytest.raises(PermanentFailure, match="FILLRATE_FEEDBACK_SECRET"):
        feedback_service.serve(settings.load(home=tmp_path, env=env, **given), "127.0.0.1", 0)


def test_the_secret_is_not_shown(tmp_path: Path) -> None:
    assert SECRET not in repr(settings.load(home=tmp_path, feedback_secret=SECRET))


def test_the_command_serves_until_it_is_told_to_end(tmp_path: Path) -> None:
    RecordStore(settings.load(home=tmp_path).record_store_url).upgrade()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    given = {"FILLRATE_HOME": str(tmp_path), "FILLRATE_FEEDBACK_URL": URL, "FILLRATE_FEEDBACK_SECRET": SECRET}
    command = [sys.executable, "-c", "from fillrate_assets.cli import main; main()"]
    command += ["buffers", "serve", "--port", str(port)]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **given}, stdout=log, stderr=log)  # noqa: S603 - our own
    try:
        reply = _answer(process, f"http://127.0.0.1:{port}/health", tmp_path / "log")
        process.send_signal(signal.SIGTERM)
        process.wait(_PATIENCE_SECONDS)
    finally:
        process.kill()
        process.wait()
    assert reply.text == "ok"
    assert process.returncode in {0, -signal.SIGTERM}, (tmp_path / "log").read_text()


def _answer(process: subprocess.Popen[bytes], url: str, log: Path) -> httpx.Response:
    give_up = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return httpx.get(url)
        except httpx.TransportError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < give_up
            time.sleep(0.1)
