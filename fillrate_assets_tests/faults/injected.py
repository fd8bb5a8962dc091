"""A fault in a running platform: the main job runs into it, people are notified, and it runs again without."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Final

import dagster as dg

from fillrate_assets.notifications.outbox import OUTBOX
from fillrate_assets.orchestration.asset_options import name_step
from fillrate_assets_tests.conftest import DAYS, DC, Undisturbed, copy_home
from fillrate_assets_tests.fixtures.home import Home, Rows, read_messages, tick_failure_sensor

UI: Final = "https://dagster.example"
QUICK: Final[dict[str, Any]] = {
    "sensor__step_max_retries": 1,
    "sensor__step_retry_delay_seconds": 0,
    "notifications__ui_url": UI,
}
"""One retry, at once."""


def copy_waiting(undisturbed: Undisturbed, parent: Path, **settings: Any) -> Home:  # noqa: ANN401 - any setting
    """Copy the platform whose corrected days have not run again yet, under other settings."""
    return Home(copy_home(undisturbed.before.directory, parent), {**QUICK, **settings})


def read_rows(home: Home, *less: str) -> Rows:
    """Read every stored row, less the messages and some other tables."""
    return {name: found for name, found in home.read_stored().items() if name not in {OUTBOX.name, *less}}


def run(home: Home, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    """Run the days, whatever becomes of it."""
    return home.run(instance, DC, DAYS[0], DAYS[-1], raise_on_error=False)


def run_failing(home: Home, instance: dg.DagsterInstance, during: AbstractContextManager[object] | None = None) -> str:
    """Run the days, which fails and changes nothing that is stored; the message says where and what to do.

    Args:
        home: the platform.
        instance: where the run and the sensor's cursor are.
        during: what is so while the run goes on, and not when people are notified.

    Returns:
        The message.

    """
    before = read_rows(home)
    cursor = tick_failure_sensor(home.defs, instance, None)
    with during or nullcontext():
        result = run(home, instance)
    assert not result.success
    assert read_rows(home) == before
    tick_failure_sensor(home.defs, instance, cursor)
    (_, body) = read_messages(home.store)[-1]
    assert f"Where: {DC} {DAYS[0]} to {DAYS[-1]}\n" in body
    for part in ("Step", "Cause", "To do"):
        assert f"\n{part}: " in body
    assert f"fillrate run --dc {DC} --from {DAYS[0]} --to {DAYS[-1]}\n" in body
    assert body.endswith(f"\nRun: {UI}/runs/{result.run_id}")
    return body


def assert_recovers(home: Home, undisturbed: Undisturbed, instance: dg.DagsterInstance, *less: str) -> None:
    """Run the days again: nothing is lost, nothing is doubled; some tables may show how it came."""
    assert run(home, instance).success
    assert read_rows(home, *less) == read_rows(undisturbed.after, *less)
    frames = home.read_frames()
    assert [
        name for name, expected in undisturbed.after.read_frames().items() if not frames[name].equals(expected)
    ] == []


def list_restarts(result: dg.ExecuteInProcessResult) -> list[tuple[str | None, str]]:
    """List the steps that were tried again, and why."""
    return [
        (
            name_step(event.step_key or ""),
            event.step_retry_data.error.to_string() if event.step_retry_data.error else "",
        )
        for event in result.all_events
        if event.is_step_up_for_retry
    ]
