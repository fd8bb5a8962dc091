"""The chain of one unit at one tick, in words."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from fillrate_assets import settings
from fillrate_assets.buffers import schema
from fillrate_assets.buffers.buffer_store import BufferStore
from fillrate_assets.buffers.notice_store import NoticeStore
from fillrate_assets.buffers.report.explain import UnitEvidence, explain_unit
from fillrate_assets.buffers.report.explain_queries import read_evidence
from fillrate_assets.buffers.rules.tick import MasterData
from fillrate_assets.buffers.tick_store import LakeTickStore
from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.core.table_schema import TIMESTAMP
from fillrate_assets.settings import Settings
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.lake import Lake
from fillrate_assets_tests.factories.buffers_frames import (
    TICK,
    make_alerts,
    make_feedback,
    make_notices,
    make_recommendations,
    make_tick,
    make_units,
    make_warehouses,
)
from fillrate_assets_tests.fixtures.embedded import create_database
from fillrate_assets_tests.fixtures.sending_process import LIFETIME, render

CHICAGO = ZoneInfo("America/Chicago")


def make_path(**row: Any) -> pl.DataFrame:  # noqa: ANN401 - any column
    ordinary: dict[str, Any] = {
        "dc": "CHI",
        "ship_date": TICK.date(),
        "snapshot_ts": TICK,
        "warehouse": "W1",
        "path": "P1",
        "observed": 500.0,
        "observed_ts": TICK,
        "level": 500.0,
        "fusion": "OBSERVED",
        "suspect_sign": 0,
        "predicted_ticks": 0,
        "capacity": 1000.0,
        "inflow_rate": 20.0,
        "outflow_rate": 20.0,
        "level_fresh": True,
        "flow_fresh": True,
        "policy_version": "v1",
    }
    return schema.SIGNALS.conform(
        pl.LazyFrame([{**dict.fromkeys(schema.SIGNALS.names), **ordinary, **row}], schema=schema.SIGNALS.polars)
    ).collect()


MEMBERS = pl.DataFrame(
    [("W1_PICK_TOTAL", "P1", role, 1.0, make_tick(-100), None) for role in schema.ROLES],
    schema=schema.UNIT_MEMBERS.polars,
    orient="row",
)


def make_sent(**row: Any) -> pl.DataFrame:  # noqa: ANN401 - any column
    marks = {"created_at": make_tick(0.1), "sent_at": make_tick(0.2), "failure": None, **row}
    types = {"created_at": TIMESTAMP, "sent_at": TIMESTAMP, "failure": pl.String()}
    return make_notices({}).with_columns(pl.lit(marks[name], dtype).alias(name) for name, dtype in types.items())


EVIDENCE = UnitEvidence(
    signals=make_path(),
    members=MEMBERS,
    units=make_units({"fill": 0.94, "minutes_to_overflow": 4.0, "slope": 3.2}),
    recommendations=make_recommendations(
        {"evidence": [{"name": "least_fill", "value": 0.94, "threshold": 0.93, "margin": 0.01}]}
    ),
    alerts=make_alerts({}),
    notices=make_sent(),
    feedback=make_feedback({"note": "well spotted"}),
)


def explain_parts(**parts: Any) -> str:  # noqa: ANN401 - any part
    return "\n".join(explain_unit(replace(EVIDENCE, **parts), zone=CHICAGO))


def test_units_have_their_labels_beside_their_names() -> None:
    lines = explain_parts(labels={"W1_PICK_TOTAL": "Pick total", "W2_PICK_TOTAL": "of another"}).splitlines()
    assert lines[:2] == [explain_parts().splitlines()[0], "On the floor: Pick total"]
    assert "   OVERFLOW: ACT by A-OVERFLOW-FULL: Pick total (PICK TOTAL): 94.0 % full." in lines


def test_the_chain_shows_every_step_with_its_numbers() -> None:
    text = explain_parts()
    for expected in (
        "W1_PICK_TOTAL (TOTAL, pool PICK of W1, CHI) at 2026-03-14 14:00 UTC, 09:00 there",
        "P1 (CAP+IN+LEVEL+OUT): observed 500 at 14:00:00 UTC: level 500 of 1,000 (OBSERVED), in 20.0, out 20.0 a",
        "94.0 % full: 940 of 1,000 packages",
        "overflows in 4 min at this slope",
        "OVERFLOW: ACT by A-OVERFLOW-FULL: PICK TOTAL: 94.0 % full.",
        "least_fill: 0.94 against 0.93, margin +0.01",
        "OVERFLOW, MOVE_STAFF: NEW; episode 1 since 09:00",
        "console: NEW ACT of 09:00, sent 09:01:00",
        "CORRECT by kim, 2026-03-14 09:05: well spotted",
    ):
        assert expected in text


def test_a_row_that_lost_shows_what_it_was_and_to_whom_it_lost() -> None:
    lost = {
        "resolution": "OVERRIDDEN",
        "resolution_rule": "R2",
        "winner": "W1_PACK_TOTAL OVERFLOW",
        "action": None,
        "quantity": None,
        "original_verdict": "ACT",
        "original_action": "MOVE_STAFF",
        "original_quantity": 4.0,
        "original_explanation": "94.0 % full: move 4.",
    }
    text = explain_parts(
        recommendations=make_recommendations(lost), alerts=make_alerts({"label": "SUPPRESSED", "reason": "SUBSUMED_BY"})
    )
    assert "ACT by A-OVERFLOW-FULL: 94.0 % full: move 4." in text
    assert "OVERRIDDEN by R2 to W1_PACK_TOTAL OVERFLOW: MOVE_STAFF 4 became nothing not known" in text
    assert "suppressed (SUBSUMED_BY)" in text


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (
            {"signals": make_path(observed=None, level=None, level_fresh=False)},
            "observed nothing: level not known of 1,000",
        ),
        ({"signals": make_path(predicted=480.0)}, "observed 500 at 14:00:00 UTC, 480 predicted: level 500"),
        ({"signals": make_path(flow_fresh=False)}, "flow not fresh"),
        ({"signals": make_path().clear()}, "no feed reported on its paths"),
        ({"units": make_units({"fill": None, "quality": "UNKNOWN", "missing_feeds": "FLOW"})}, "not fresh: FLOW"),
        ({"units": make_units({"staffed": None})}, "not known whether it is staffed"),
        ({"units": make_units({"slope": None})}, "no trend"),
        ({"units": make_units({"slope": 0.0})}, "it does not move"),
        ({"units": make_units({"minutes_to_starvation": 7.0})}, "runs empty in 7 min"),
        ({"recommendations": make_recommendations({})}, "4. Conflicts within the warehouse\n   none"),
        ({"alerts": make_alerts()}, "no episode is open"),
        ({"notices": make_sent().clear()}, "6. Who was notified in these episodes\n   no one"),
        ({"notices": make_sent(sent_at=None, failure="refused")}, "not sent: refused"),
        ({"notices": make_sent(sent_at=None)}, "not sent: it waits"),
        ({"feedback": make_feedback()}, "nothing yet"),
        ({"feedback": make_feedback({"answer": "WRONG_QTY", "actual_quantity": 3.0})}, "WRONG_QTY 3 by kim"),
    ],
)
def test_what_is_not_known_is_said(parts: dict[str, pl.DataFrame], expected: str) -> None:
    assert expected in explain_parts(**parts)


def test_a_unit_of_which_nothing_is_stored_is_an_error() -> None:
    nothing = replace(EVIDENCE, units=EVIDENCE.units.clear(), recommendations=EVIDENCE.recommendations.clear())
    with pytest.raises(PermanentFailure, match="nothing is stored"):
        explain_unit(nothing, zone=UTC)


# --- the same from where it is stored


OCCUPANCY = "W1_DATA_OCCUPANCY"
OF_A_FEED = {"unit_id": OCCUPANCY, "pool": "DATA", "unit_type": "TOTAL", "direction": "DATA", "action": "CHECK_DATA"}
PASTED = "https://hooks.example/services/T0/B0/known-to-no-one"


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    """W1 with the unit of `EVIDENCE`, of which path P2 has left, and with a feed that is missing; both were sent."""
    chosen = settings.load(home=tmp_path)
    create_database(chosen.storage.record_store_url)
    before = MEMBERS.with_columns(valid_from=make_tick(-2000), valid_to=make_tick(-100))
    left = before.with_columns(pl.lit("P2").alias("path"))
    none = [frame.make_empty().collect() for frame in (schema.SHIFTS, schema.ALERT_ROUTES)]
    BufferStore(Database(chosen.storage.record_store_url)).merge_master_data(
        MasterData(make_warehouses({}), pl.concat([MEMBERS, before, left]), *none)
    )
    ticks = LakeTickStore(Lake(chosen.storage.lake_root), ("CHI",))
    of_a_feed = {**OF_A_FEED, "quantity": None, "rule_id": "DATA-UNKNOWN", "explanation": "OCCUPANCY: 2 of 3 units."}
    for frame, rows in (
        (schema.SIGNALS, pl.concat([make_path(), make_path(path="P2")])),
        (schema.UNIT_TIMESERIES, make_units({})),
        (schema.RECOMMENDATIONS, make_recommendations({}, of_a_feed)),
        (schema.ALERTS, make_alerts({}, OF_A_FEED)),
    ):
        ticks.write(frame, rows, TICK)
    sent_to = [f"slack:{PASTED}", PASTED, "slack:floor-w1"]
    each = {"notice_id": "N2", "rec_id": f"{OCCUPANCY}.DATA.1.1"}
    written = make_notices(*({"channel": channel} for channel in sent_to), {**OF_A_FEED, **each})
    NoticeStore(Database(chosen.storage.record_store_url)).write(
        written, schema.UNDELIVERED_NOTICES.make_empty().collect(), render=render, lifetime=LIFETIME, now=make_tick(0.1)
    )
    return chosen


def read_chain(home: Settings, unit_id: str) -> str:
    return "\n".join(explain_unit(read_evidence(home, unit_id, TICK)[0], zone=CHICAGO))


def test_the_members_of_a_unit_are_those_of_the_tick(home: Settings) -> None:
    text = read_chain(home, "W1_PICK_TOTAL")
    assert "P1 (CAP+IN+LEVEL+OUT): observed 500" in text
    assert "P2" not in text


def test_no_url_of_a_channel_is_shown(home: Settings) -> None:
    text = read_chain(home, "W1_PICK_TOTAL")
    assert PASTED not in text
    assert [f"   {name}: NEW ACT of 09:00" in text for name in ("slack:...", "https:...", "slack:floor-w1")] == [
        True
    ] * 3


def test_a_feed_that_an_alert_names_has_a_chain_without_paths(home: Settings) -> None:
    text = read_chain(home, OCCUPANCY)
    assert text.startswith(f"{OCCUPANCY} (TOTAL, pool DATA of W1, CHI) at 2026-03-14 14:00 UTC")
    for expected in (
        "1. What each rule decided, the unit by itself\n   DATA: ACT by DATA-UNKNOWN: OCCUPANCY: 2 of 3 units.",
        "3. Sent or suppressed\n   DATA, CHECK_DATA: NEW; episode 1",
        "4. Who was notified in these episodes\n   console: NEW ACT of 09:00",
    ):
        assert expected in text
    assert "paths" not in text


@pytest.mark.parametrize("unit_id", ["W1_DATA_WEATHER", "W2_DATA_OCCUPANCY", "W1_PICK_NONE"])
def test_what_is_neither_a_unit_nor_a_feed_is_an_error(home: Settings, unit_id: str) -> None:
    with pytest.raises(PermanentFailure, match=f"no unit {unit_id}; there are W1_PICK_TOTAL"):
        read_evidence(home, unit_id, TICK)
