"""What is retried in a run, and what is not."""

from __future__ import annotations

import sys

import dagster as dg
import pytest
from dagster._utils.error import serializable_error_info_from_exc_info
from dagster_shared.error import SerializableErrorInfo

from fillrate_assets import settings
from fillrate_assets.core.errors import FillrateError, PermanentFailure, SourceUnavailable
from fillrate_assets.definitions import JOB, build_defs
from fillrate_assets.orchestration.partitions import make_range_tags
from fillrate_assets.orchestration.retries import find_root_cause
from fillrate_assets_tests.conftest import SMALL
from fillrate_assets_tests.fixtures.fakes import Failing
from fillrate_assets_tests.fixtures.home import QUIET, Home


def _run(home: Home, instance: dg.DagsterInstance, failures: list[FillrateError]) -> dg.ExecuteInProcessResult:
    chosen = settings.load(home=home.directory, sensor__step_max_retries=2, sensor__step_retry_delay_seconds=0)
    defs = build_defs(chosen, order_system=Failing(chosen.sources.order_system_url, failures=failures))
    instance.add_dynamic_partitions("dc", ["DC01"])
    tags = make_range_tags("DC01", SMALL.first, SMALL.first)
    job = defs.resolve_job_def(JOB)
    return job.execute_in_process(run_config=QUIET, instance=instance, tags=tags, raise_on_error=False)


def _count_restarts(result: dg.ExecuteInProcessResult) -> int:
    return sum(event.event_type == dg.DagsterEventType.STEP_RESTARTED for event in result.all_events)


def test_a_system_that_does_not_answer_is_tried_again(network_home: Home, instance: dg.DagsterInstance) -> None:
    result = _run(network_home, instance, [SourceUnavailable("gone")] * 2)
    assert result.success
    assert _count_restarts(result) == 2
    assert network_home.store.read_ledger("DC01")["state"].to_list() == ["PUBLISHED"]


def test_a_system_that_never_answers_fails_the_run(network_home: Home, instance: dg.DagsterInstance) -> None:
    failures: list[FillrateError] = [SourceUnavailable("gone")] * 9
    result = _run(network_home, instance, failures)
    assert (result.success, _count_restarts(result), len(failures)) == (False, 2, 6)


def test_what_a_retry_cannot_mend_is_not_retried(network_home: Home, instance: dg.DagsterInstance) -> None:
    failures: list[FillrateError] = [PermanentFailure("no such table")] * 2
    result = _run(network_home, instance, failures)
    assert (result.success, _count_restarts(result), len(failures)) == (False, 0, 1)
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    assert failed.step_failure_data.user_failure_data is not None
    assert failed.step_failure_data.user_failure_data.description == "no such table"


def _make_error(cause: Exception | None, raised: Exception) -> SerializableErrorInfo:
    try:
        raise raised from cause
    except type(raised):
        return serializable_error_info_from_exc_info(sys.exc_info())


@pytest.mark.parametrize(
    ("error", "cause_and_message"),
    [
        (_make_error(None, ValueError("no\nnumber")), ("ValueError", "no number")),
        (_make_error(OSError("reset"), ValueError("no number")), ("OSError", "reset")),
        (_make_error(OSError("reset"), SourceUnavailable("orders: gone")), ("SourceUnavailable", "orders: gone")),
        (_make_error(PermanentFailure("no table: x"), dg.Failure("no table: x")), ("PermanentFailure", "no table: x")),
        (_make_error(None, KeyError()), ("KeyError", "KeyError")),
    ],
)
def test_the_cause_is_our_own_error_or_the_first_of_all_in_one_line(
    error: SerializableErrorInfo, cause_and_message: tuple[str, str]
) -> None:
    assert find_root_cause(error) == cause_and_message
