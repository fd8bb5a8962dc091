"""Acknowledgements and silences as they are stored, on each database that is at hand."""

from __future__ import annotations

from datetime import time

import pytest
from polars.testing import assert_frame_equal

from fillrate_assets.buffers import control_store
from fillrate_assets.buffers.control_store import ControlStore
from fillrate_assets.core.errors import ContractViolation
from fillrate_assets.fillrate.record_store import RecordStore
from fillrate_assets_tests.factories.buffers_frames import make_acknowledgements, make_silences, make_tick


@pytest.fixture
def controls(store: RecordStore) -> ControlStore:
    return ControlStore(store.database)


def test_an_acknowledgement_is_read_as_it_was_and_stored_once(controls: ControlStore) -> None:
    rows = make_acknowledgements({"warehouse": "W2", "unit_id": "W2_PICK_TOTAL"}, {})
    for _ in range(2):
        with controls.database.begin() as connection:
            for row in rows.iter_rows(named=True):
                control_store.acknowledge(connection, row)
    assert_frame_equal(controls.read_acknowledgements(make_tick(1)), rows.sort("unit_id"))
    assert controls.read_acknowledgements(make_tick(1), "W1").height == 1
    assert controls.read_acknowledgements(make_tick(1.1)).is_empty()


def test_a_silence_is_read_until_it_is_over_and_ended_once(controls: ControlStore) -> None:
    weekly = {"to_ts": None, "weekdays": "6,7", "starts": time(22), "ends": time(6), "kind": "MAINTENANCE"}
    rows = make_silences({"warehouse": "W2"}, weekly)
    with controls.database.begin() as connection:
        for row in rows.iter_rows(named=True):
            control_store.add_silence(connection, row)
    assert_frame_equal(controls.read_silences(make_tick(0)), rows)
    assert controls.read_silences(make_tick(12.1))["silence_id"].to_list() == ["S1"]
    assert controls.read_silences(make_tick(0), "W2")["silence_id"].to_list() == ["S0"]
    with controls.database.begin() as connection:
        ended = [
            control_store.end_silence(connection, "S1", place, by="Lee", at=make_tick(number))
            for place, number in (("W2", 3), ("W1", 4), ("W1", 5))
        ]
    assert ended == [False, True, False]
    assert controls.read_silences(make_tick(12.1)).is_empty()
    assert controls.read_silences(make_tick(0)).select("ended_by", "ended_at").row(1) == ("Lee", make_tick(4))


def test_a_row_that_is_none_is_refused(controls: ControlStore) -> None:
    (row,) = make_silences({}).iter_rows(named=True)
    with controls.database.begin() as connection, pytest.raises(ContractViolation, match="kind"):
        control_store.add_silence(connection, {**row, "kind": "OTHER"})
