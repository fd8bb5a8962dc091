"""The faults in the documentation and the tests of them are about the same."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from fillrate_assets_tests.cli import test_outbox
from fillrate_assets_tests.conftest import ROOT
from fillrate_assets_tests.faults import test_daemon, test_sources, test_stores
from fillrate_assets_tests.fillrate.defs import test_backfill, test_crash, test_lake_repair, test_main_job, test_sensors

TESTS: Final[dict[str, Callable[..., None]]] = {
    "A source is down": (test_sources.test_a_source_that_is_down),
    "A source is slower than its time-out": (test_sources.test_a_source_that_is_slower_than_its_time_out),
    "Wrong credentials": (test_sources.test_wrong_credentials),
    "Athena throttles": (test_sources.test_athena_throttles),
    "A query of Athena fails": (test_sources.test_a_query_of_athena_fails),
    "A deadlock in the record store": (test_stores.test_a_deadlock_in_the_record_store),
    "A connection is lost in the middle of a bulk copy": (
        test_stores.test_a_connection_that_is_lost_in_the_middle_of_a_bulk_copy
    ),
    "The disk of the lake is full": (test_stores.test_the_disk_of_the_lake_is_full),
    "A process is killed": (test_crash.test_a_run_after_a_killed_one_leaves_what_an_undisturbed_run_leaves),
    "A backfill failed": (test_backfill.test_a_backfill_whose_run_was_killed_is_taken_up_from_there),
    "A snapshot is missing": (test_main_job.test_a_held_day_keeps_its_last_good_records),
    "Half of a snapshot is missing": (test_sources.test_half_of_a_snapshot_is_missing),
    "Two runs on one day": (
        test_sensors.test_of_two_runs_on_one_day_the_newer_sources_win_and_the_day_is_computed_again
    ),
    "A file of the lake is lost, empty, cut short or garbled": (
        test_lake_repair.test_a_broken_look_back_is_computed_again_and_restates_nothing
    ),
    "A watermark or a cursor cannot be": (test_sensors.test_a_watermark_of_a_time_to_come_hides_no_change),
    "The clock of a source is wrong": (
        test_sensors.test_a_source_whose_clock_is_wrong_loses_nothing_before_and_after_it_is_put_right
    ),
    "Rows are committed late": (test_sensors.test_rows_that_are_committed_late_are_found_within_the_overlap),
    "A tick comes twice": (test_sensors.test_a_tick_that_comes_twice_requests_the_same_runs_and_they_double_nothing),
    "The daemon is killed between a launch and its cursor": (
        test_daemon.test_the_daemon_is_killed_between_a_launch_and_its_cursor
    ),
    "A source loses a column": (test_sources.test_a_source_loses_a_column),
    "A source changes the type of a column": (test_sources.test_a_source_changes_the_type_of_a_column),
    "A source gets a new column": (test_sources.test_a_source_gets_a_new_column),
    "A message is a dead letter": (test_outbox.test_what_is_not_sent_is_listed_and_a_dead_letter_replayed),
}
"""The test of each fault, by its heading."""


LABELS: Final = ["What happens", "Notified", "To do"]


def test_each_fault_of_the_documentation_has_its_test() -> None:
    page = (ROOT / "docs" / "how-to" / "recover.md").read_text()
    faults = [section.partition("\n## ")[0].partition("\n") for section in page.split("\n### ")[1:]]
    for fault, _, text in faults:
        assert re.findall(r"(?m)^- ([^:]+): \S", text) == LABELS, fault
    assert [fault for fault, _, _ in faults] == list(TESTS)
