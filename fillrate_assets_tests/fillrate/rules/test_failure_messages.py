from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Final

import dagster as dg
import pytest

from fillrate_assets import settings
from fillrate_assets.core.errors import FillrateError, PermanentFailure, SourceUnavailable
from fillrate_assets.definitions import JOB, build_defs
from fillrate_assets.fillrate.rules.failure_messages import FailedRun, format_failure
from fillrate_assets.notifications.outbox import OUTBOX
from fillrate_assets.orchestration.partitions import CHANGED_TAG, make_range_tags
from fillrate_assets_tests.conftest import SMALL
from fillrate_assets_tests.fixtures.fakes import Failing
from fillrate_assets_tests.fixtures.home import QUIET, Home, read_messages, tick_failure_sensor

DAY: Final = date(2026, 2, 10)
FAILED: Final = FailedRun(
    run_id="r1",
    job=JOB,
    dcs=["DC01"],
    first=DAY,
    last=date(2026, 2, 12),
    steps=("orders",),
    kind="SourceUnavailable",
    cause="order system does not answer",
    requested_again=True,
)


def test_a_message_says_what_where_why_and_what_to_do() -> None:
    assert format_failure(FAILED, "https://dagster.example/") == (
        "DC01 2026-02-10 to 2026-02-12: orders failed",
        (
            f"What: run r1 of {JOB}\n"
            "Where: DC01 2026-02-10 to 2026-02-12\n"
            "Step: orders\n"
            "Cause: order system does not answer\n"
            "To do: The system did not answer, after every retry. See whether it and the network to it are up."
            " The sensor requests the days again.\n"
            "Run: https://dagster.example/runs/r1"
        ),
    )


@pytest.mark.parametrize(
    ("failed", "subject", "text", "unknown"),
    [
        pytest.param(replace(FAILED, last=DAY), "DC01 2026-02-10: orders failed", "Where: DC01 2026-02-10\n", "Run: ",
                     id="one day, no link"),
        pytest.param(replace(FAILED, requested_again=False), "DC01 2026-02-10 to 2026-02-12: orders failed",
                     "Then run again: fillrate run --dc DC01 --from 2026-02-10 --to 2026-02-12", "sensor",
                     id="no sensor requests it again"),
        pytest.param(replace(FAILED, dcs=[], first=None, last=None), f"{JOB}: orders failed", "Step: orders",
                     "None", id="no ship dates"),
        pytest.param(replace(FAILED, steps=(), kind=""), "DC01 2026-02-10 to 2026-02-12: the run failed",
                     "Step: none; the process ended", "did not answer", id="no step"),
        pytest.param(replace(FAILED, kind="PermanentFailure"), "DC01 2026-02-10 to 2026-02-12: orders failed",
                     "A retry cannot help", "did not answer", id="permanent"),
        pytest.param(replace(FAILED, kind="ValueError"), "DC01 2026-02-10 to 2026-02-12: orders failed",
                     "An unexpected error", "did not answer", id="a defect"),
    ],
)  # fmt: skip
def test_a_message_says_only_what_is_known(failed: FailedRun, subject: str, text: str, unknown: str) -> None:
    said, body = format_failure(failed, "")
    assert said == subject
    assert text in body
    assert unknown not in body


def test_a_subject_is_no_longer_than_its_column() -> None:
    subject, _ = format_failure(replace(FAILED, dcs=["D" * 300]), "")
    assert len(subject) == OUTBOX.c.subject.type.length  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("failure", "advice"),
    [(SourceUnavailable("order system: gone"), "did not answer"), (PermanentFailure("no table"), "retry cannot help")],
)
def test_a_failed_run_is_reported_once_and_one_that_succeeds_is_not(
    network_home: Home, instance: dg.DagsterInstance, failure: FillrateError, advice: str
) -> None:
    chosen = settings.load(
        home=network_home.directory, sensor__step_max_retries=0, notifications__ui_url="https://dagster.example"
    )
    failures: list[FillrateError] = []
    defs = build_defs(chosen, order_system=Failing(chosen.sources.order_system_url, failures=failures))
    job = defs.resolve_job_def(JOB)
    instance.add_dynamic_partitions("dc", ["DC01"])
    tags = {**make_range_tags("DC01", SMALL.first, SMALL.first), CHANGED_TAG: SMALL.first.isoformat()}

    def run() -> dg.ExecuteInProcessResult:
        return job.execute_in_process(run_config=QUIET, instance=instance, tags=tags, raise_on_error=False)

    first = tick_failure_sensor(defs, instance, None)
    assert run().success
    first = tick_failure_sensor(defs, instance, first)
    failures.append(failure)
    failed = run()
    assert not failed.success
    last = tick_failure_sensor(defs, instance, first)
    # The daemon dies before it keeps the cursor: the same run comes up again.
    assert tick_failure_sensor(defs, instance, first) == last
    tick_failure_sensor(defs, instance, last)
    ((subject, body),) = read_messages(network_home.store)
    assert subject == f"DC01 {SMALL.first}: orders failed"
    assert f"Cause: {failure}\n" in body
    assert advice in body
    assert body.endswith(f"Run: https://dagster.example/runs/{failed.run_id}")


def test_a_run_whose_process_died_is_reported_without_a_step(network_home: Home, instance: dg.DagsterInstance) -> None:
    defs = network_home.defs
    cursor = tick_failure_sensor(defs, instance, None)
    instance.add_dynamic_partitions("dc", ["DC01"])
    tags = make_range_tags("DC01", SMALL.first, SMALL.first)
    run = instance.create_run_for_job(defs.resolve_job_def(JOB), tags=tags, status=dg.DagsterRunStatus.STARTED)
    instance.report_run_failed(run, "process 7 ended without a word")
    tick_failure_sensor(defs, instance, cursor)
    ((subject, body),) = read_messages(network_home.store)
    assert subject == f"DC01 {SMALL.first}: the run failed"
    assert "Cause: process 7 ended without a word\n" in body
