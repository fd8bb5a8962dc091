"""The chain of one unit at one tick, in words."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.explain import Evidence, explain
from fillrate_assets.errors import PermanentFailure
from fillrate_assets.frames import TIMESTAMP
from fillrate_assets_tests.buffers.frames import TICK, alerts, feedback, notices, recommendations, tick, units

CHICAGO = ZoneInfo("America/Chicago")


def path(**row: Any) -> pl.DataFrame:  # noqa: ANN401 - any column
    ordinary: dict[str, Any] = {
        "dc": "CHI",
        "ship_date": TICK.date(),
        "snapshot_ts": TICK,
        "warehouse": "W1",
        "path": "P1",
        "observed": 500.0,
        "observed_ts": TICK,
        "level": 500.0,
        "fusion": "FIRST",
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
    [("W1_PICK_TOTAL", "P1", role, 1.0, tick(-100), None) for role in schema.ROLES],
    schema=schema.UNIT_MEMBERS.polars,
    orient="row",
)


def sent(**row: Any) -> pl.DataFrame:  # noqa: ANN401 - any column
    marks = {"created_at": tick(0.1), "sent_at": tick(0.2), "failure": None, **row}
    types = {"created_at": TIMESTAMP, "sent_at": TIMESTAMP, "failure": pl.String()}
    return notices({}).with_columns(pl.lit(marks[name], dtype).alias(name) for name, dtype in types.items())


EVIDENCE = Evidence(
    signals=path(),
    members=MEMBERS,
    units=units({"fill": 0.94, "minutes_to_overflow": 4.0, "slope": 3.2}),
    recommendations=recommendations(
        {"evidence": [{"name": "least_fill", "value": 0.94, "threshold": 0.93, "margin": 0.01}]}
    ),
    alerts=alerts({}),
    notices=sent(),
    feedback=feedback({"note": "well seen"}),
)


def told(**parts: pl.DataFrame) -> str:
    return "\n".join(explain(replace(EVIDENCE, **parts), zone=CHICAGO))


def test_the_chain_tells_every_step_with_its_numbers() -> None:
    text = told()
    for expected in (
        "W1_PICK_TOTAL (TOTAL, pool PICK of W1, CHI) at 2026-03-14 14:00 UTC, 09:00 there",
        "P1 (CAP+IN+LEVEL+OUT): observed 500 at 14:00:00 UTC: level 500 of 1,000 (FIRST), in 20.0, out 20.0 a minute",
        "94.0% full: 940 of 1,000 packages",
        "overflows in 4 min at this slope",
        "OVERFLOW: ACT by A-OVERFLOW-FULL: PICK TOTAL: 94.0 % full.",
        "least_fill: 0.94 against 0.93, margin +0.01",
        "OVERFLOW, MOVE_STAFF: NEW; episode 1 since 09:00",
        "console: NEW ACT of 09:00, sent 09:01:00",
        "CORRECT by kim, 2026-03-14 09:05: well seen",
    ):
        assert expected in text


def test_a_row_that_lost_tells_what_it_was_and_to_whom_it_lost() -> None:
    lost = {
        "resolution": "LOST",
        "resolution_rule": "R2",
        "winner": "W1_PACK_TOTAL OVERFLOW",
        "action": None,
        "quantity": None,
        "original_verdict": "ACT",
        "original_action": "MOVE_STAFF",
        "original_quantity": 4.0,
        "original_explanation": "94.0 % full: move 4.",
    }
    text = told(recommendations=recommendations(lost), alerts=alerts({"label": "SUPPRESSED", "reason": "SUBSUMED_BY"}))
    assert "ACT by A-OVERFLOW-FULL: 94.0 % full: move 4." in text
    assert "LOST by R2 to W1_PACK_TOTAL OVERFLOW: MOVE_STAFF 4 became nothing not known" in text
    assert "kept back (SUBSUMED_BY)" in text


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"signals": path(observed=None, level=None, level_fresh=False)}, "observed nothing: level not known of 1,000"),
        ({"signals": path(predicted=480.0)}, "observed 500 at 14:00:00 UTC, 480 predicted: level 500"),
        ({"signals": path(flow_fresh=False)}, "flow not fresh"),
        ({"signals": path().clear()}, "no feed told anything of its paths"),
        ({"units": units({"fill": None, "quality": "UNKNOWN", "missing_feeds": "FLOW"})}, "not fresh: FLOW"),
        ({"units": units({"staffed": None})}, "nobody knows whether it is staffed"),
        ({"units": units({"slope": None})}, "no trend"),
        ({"units": units({"slope": 0.0})}, "it does not move"),
        ({"units": units({"minutes_to_starvation": 7.0})}, "runs empty in 7 min"),
        ({"recommendations": recommendations({})}, "4. Conflicts within the warehouse\n   none"),
        ({"alerts": alerts()}, "no episode is open"),
        ({"notices": sent().clear()}, "6. Who was told in these episodes\n   nobody"),
        ({"notices": sent(sent_at=None, failure="refused")}, "not sent: refused"),
        ({"notices": sent(sent_at=None)}, "not sent: it waits"),
        ({"feedback": feedback()}, "nothing yet"),
        ({"feedback": feedback({"answer": "WRONG_QTY", "actual_quantity": 3.0})}, "WRONG_QTY 3 by kim"),
    ],
)
def test_what_is_not_known_is_said(parts: dict[str, pl.DataFrame], expected: str) -> None:
    assert expected in told(**parts)


def test_a_unit_of_which_nothing_is_kept_is_an_error() -> None:
    with pytest.raises(PermanentFailure, match="nothing is kept"):
        explain(replace(EVIDENCE, units=EVIDENCE.units.clear()), zone=UTC)
