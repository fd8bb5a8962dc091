from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.rules.health import (
    compute_due_day,
    find_incomplete_days,
    find_stale_sources,
    find_unpublished_days,
)

DAY: Final = date(2026, 2, 10)
PAIR: Final = PartitionKey("DC01", DAY)
AT: Final = datetime(2026, 2, 10, 18, tzinfo=UTC)
HOUR: Final = timedelta(hours=1)
SIX: Final = time(6)


def _make_versions(**versions: tuple[datetime | None, int]) -> dict[str, pl.DataFrame]:
    return {
        source: pl.DataFrame(
            [(*PAIR, *versions[source])] if source in versions else [],
            schema=schema.PAIR_VERSIONS.polars,
            orient="row",
        )
        for source in ("orders", "shipments", "snapshots")
    }


def _make_ledger(state: str | None, pair: PartitionKey = PAIR) -> pl.DataFrame:
    reason = "no instock snapshot for the day" if state == "HELD" else None
    rows = [(*pair, AT, 3, AT, 3, AT, 9, None, 1, None, state, reason, "run", AT)] if state else []
    return pl.DataFrame(rows, schema=schema.LEDGER.polars, orient="row")


AHEAD: Final = {PAIR: "its sources changed at 2026-02-10 18:00 UTC, and that is not published"}
LATER: Final = {PAIR: "its sources changed at 2026-02-10 19:00 UTC, and that is not published"}
HELD: Final = {PAIR: "held: no instock snapshot for the day"}


@pytest.mark.parametrize(
    ("found", "state", "age", "expected"),
    [
        pytest.param(_make_versions(), None, 99, {}, id="nothing anywhere"),
        pytest.param(_make_versions(orders=(AT, 3)), "PUBLISHED", 99, {}, id="published"),
        pytest.param(_make_versions(orders=(AT, 3)), None, 24, {}, id="ahead, not for long"),
        pytest.param(_make_versions(orders=(AT, 3)), None, 25, AHEAD, id="ahead for too long"),
        pytest.param(
            _make_versions(orders=(AT, 3), shipments=(AT + HOUR, 3)), None, 26, LATER, id="the latest change counts"
        ),
        pytest.param(
            _make_versions(snapshots=(AT + HOUR, 9)), "PUBLISHED", 26, LATER, id="a snapshot that no run read"
        ),
        pytest.param(_make_versions(snapshots=(None, 8)), "PUBLISHED", 99, {}, id="since when is unknown"),
        pytest.param(_make_versions(), "HELD", 0, HELD, id="held"),
        pytest.param(_make_versions(orders=(AT, 4)), "HELD", 99, HELD, id="held and ahead"),
    ],
)
def test_no_day_is_left_behind(
    found: Mapping[str, pl.DataFrame], state: str | None, age: int, expected: Mapping[PartitionKey, str]
) -> None:
    assert find_unpublished_days(found, _make_ledger(state), now=AT + age * HOUR, max_ahead=24 * HOUR) == expected


def _parse_utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "deadline", "now", "day"),
    [
        pytest.param("UTC", "06:00", "2026-02-11 05:59", "2026-02-09", id="before the deadline"),
        pytest.param("UTC", "06:00", "2026-02-11 06:00", "2026-02-10", id="at the deadline"),
        pytest.param("UTC", "00:00", "2026-02-11 00:00", "2026-02-10", id="midnight"),
        pytest.param("America/Los_Angeles", "06:00", "2026-02-11 13:59", "2026-02-09", id="west, before"),
        pytest.param("America/Los_Angeles", "06:00", "2026-02-11 14:00", "2026-02-10", id="west, after"),
        pytest.param("America/Los_Angeles", "06:00", "2026-02-11 03:00", "2026-02-09", id="west, a day behind"),
        pytest.param("Pacific/Auckland", "06:00", "2026-02-10 17:00", "2026-02-10", id="east, a day ahead"),
        pytest.param("America/Los_Angeles", "06:00", "2026-07-11 13:00", "2026-07-10", id="west, in summer"),
        # New York skips 02:00 to 03:00 on 2026-03-08, at 07:00 UTC, and repeats 01:00 to 02:00 on 2026-11-01.
        pytest.param("America/New_York", "02:30", "2026-03-08 06:59", "2026-03-06", id="before a skipped deadline"),
        pytest.param("America/New_York", "02:30", "2026-03-08 07:30", "2026-03-07", id="after a skipped deadline"),
        pytest.param("America/New_York", "01:30", "2026-11-01 05:29", "2026-10-30", id="before a repeated deadline"),
        pytest.param("America/New_York", "01:30", "2026-11-01 05:30", "2026-10-31", id="the first of two"),
        pytest.param("America/New_York", "01:30", "2026-11-01 06:10", "2026-10-31", id="01:10 again: still passed"),
    ],
)  # fmt: skip
def test_a_day_is_due_at_its_deadline_by_the_clock_of_the_dc(zone: str, deadline: str, now: str, day: str) -> None:
    # Decision 0043.
    assert compute_due_day(ZoneInfo(zone), _parse_utc(now), time.fromisoformat(deadline)) == date.fromisoformat(day)


def _make_dcs(zone: str = "UTC", *, active: bool = True) -> pl.DataFrame:
    return pl.DataFrame([("DC01", None, zone, active)], schema=schema.DCS.polars, orient="row")


@pytest.mark.parametrize(
    ("ordered", "snapshots", "state", "lacks"),
    [
        pytest.param([PAIR], [PAIR], "PUBLISHED", None, id="complete"),
        pytest.param([], [], None, None, id="a closed day"),
        pytest.param([], [PAIR], None, None, id="a closed day with a snapshot"),
        pytest.param([PAIR], [], "PUBLISHED", "no instock snapshot", id="no snapshot"),
        pytest.param([PAIR], [PAIR], None, "not published", id="never ran"),
        pytest.param([PAIR], [], "HELD", "no instock snapshot and not published", id="held"),
        pytest.param([("DC02", DAY)], [], None, None, id="orders of another DC"),
    ],
)
def test_the_latest_day_that_is_due_is_complete(
    ordered: Collection[PartitionKey], snapshots: Collection[PartitionKey], state: str | None, lacks: str | None
) -> None:
    now = datetime(2026, 2, 11, 12, tzinfo=UTC)
    found = find_incomplete_days(_make_dcs(), ordered, snapshots, _make_ledger(state), now=now, deadline=SIX)
    assert found == ({PAIR: f"{lacks} by 06:00 UTC of the next day"} if lacks else {})
    left_alone = _make_dcs(active=False)
    assert find_incomplete_days(left_alone, ordered, snapshots, _make_ledger(state), now=now, deadline=SIX) == {}


def test_each_dc_is_due_by_its_own_clock() -> None:
    dcs = pl.concat([_make_dcs(), _make_dcs("America/Los_Angeles").with_columns(dc=pl.lit("DC02"))])
    ordered = {PartitionKey(dc, DAY - timedelta(days=days)) for dc in ("DC01", "DC02") for days in range(3)}
    now = datetime(2026, 2, 11, 12, tzinfo=UTC)
    found = find_incomplete_days(dcs, ordered, ordered, _make_ledger(None), now=now, deadline=SIX)
    assert list(found) == [("DC01", DAY), ("DC02", DAY - timedelta(days=1))]


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../etc"])
def test_an_unknown_time_zone_is_reported_and_the_other_dcs_are_judged(zone: str) -> None:
    dcs = pl.concat([_make_dcs().with_columns(dc=pl.lit("DC00"), time_zone=pl.lit(zone)), _make_dcs()])
    now = datetime(2026, 2, 11, 12, tzinfo=UTC)
    found = find_incomplete_days(dcs, [PAIR], [PAIR], _make_ledger(None), now=now, deadline=SIX)
    assert found[PartitionKey("DC00", now.date())] == f"the time zone {zone} is unknown: correct it in the table dcs"
    assert PAIR in found


@pytest.mark.parametrize(
    ("at", "reason"),
    [(AT, None), (AT - HOUR, "nothing since 2026-02-10 17:00 UTC"), (None, "nothing at all")],
)
def test_a_source_that_went_silent_is_reported(at: datetime | None, reason: str | None) -> None:
    latest = {"orders": AT + HOUR, "snapshots": at}
    assert find_stale_sources(latest, now=AT + 48 * HOUR, max_age=48 * HOUR) == (
        {"snapshots": reason} if reason else {}
    )
