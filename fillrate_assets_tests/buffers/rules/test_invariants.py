"""What holds of verdicts and recommendations for every network, however bad the data."""

from __future__ import annotations

import random
from typing import Any, Final

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.rules import conflict_resolution, recommendation_sizing
from fillrate_assets.buffers.rules import verdicts as verdict_rules
from fillrate_assets_tests.factories.buffers_frames import (
    NO_HISTORY,
    NO_POOLS,
    NO_REJECTS,
    NO_UNITS,
    POLICY,
    make_recommendations,
    make_tick,
    make_units,
    make_verdicts,
)
from fillrate_assets_tests.fixtures.examples import take_examples

KEY: Final = ["unit_id", "direction", "snapshot_ts"]
CALM_TO_ALARMED: Final = {
    "UNKNOWN": 0,
    "NOT_STAFFED": 0,
    "CLEAR": 0,
    "HYSTERESIS": 1,
    "WARN": 2,
    "ACT": 3,
    "EMERGENCY": 4,
}
SIDE_BY_SIDE: Final = 5
"""Networks in an example: it costs what its queries cost, whatever their rows."""
FEW: Final = settings(max_examples=take_examples(4))
POOLS: Final = POLICY.pool_order
LANES: Final = tuple(f"W1_PACK_L{n}" for n in range(5))
UNITS: Final = [
    *[(f"{warehouse}_{pool}_TOTAL", "TOTAL") for warehouse in ("W1", "W2") for pool in POOLS],
    *[(f"W1_{pool}_{path}", "INDUCT") for pool in ("PICK", "INDUCT") for path in ("A", "B")],
    *[(lane, "LANE") for lane in LANES],
]
FILLS: Final = st.one_of(
    st.sampled_from([0.03, 0.07, 0.15, 0.4, 0.6, 0.8, 0.85, 0.9, 0.94, 0.97, 0.98]), st.floats(0, 1.2)
)
RATES: Final = st.one_of(st.sampled_from([0.0, 5.0, 20.0, 20.1, None]), st.floats(0, 60))
POOL_ROWS: Final = st.fixed_dictionaries(
    {
        "headcount": st.sampled_from([4.0, 10.0, 14.0, 14.0, 17.0, None]),
        "headcount_planned": st.sampled_from([8.0, 10.0, 10.0, None]),
        "units_per_hour": st.sampled_from([180.0, 180.0, 180.0, 97.0, 0.0, None]),
        "staffed": st.sampled_from([True, True, True, True, True, False, None]),
    }
)
UNIT_ROWS: Final = st.fixed_dictionaries(
    {
        "fill": FILLS,
        "quality": st.sampled_from(["FRESH", "FRESH", "FRESH", "DEGRADED", "UNKNOWN"]),
        "coverage": st.sampled_from([1.0, 0.95]),
        "inflow_rate": RATES,
        "outflow_rate": RATES,
        "slope": st.sampled_from([None, -30.0, -3.1, 0.0, 2.7, 30.0]),
        "trend_agrees": st.sampled_from([True, False, None]),
        "max_rate": st.sampled_from([3600.0, 1800.0, 9000.0, None]),
        "is_open": st.sampled_from([True, True, False, None]),
        "unknown_ticks": st.integers(0, 4),
        "missing_feeds": st.sampled_from([None, "OCCUPANCY", "FLOW,STAFFING"]),
    }
)


@st.composite
def draw_network(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw rows of `UNIT_TIMESERIES`; the units of a pool share its people."""
    people: dict[str, dict[str, Any]] = {}
    rows = []
    size = draw(st.integers(1, len(UNITS)))
    for unit_id, unit_type in draw(st.lists(st.sampled_from(UNITS), min_size=size, max_size=size, unique=True)):
        pool = unit_id.rsplit("_", 1)[0]
        people[pool] = people.get(pool) or draw(POOL_ROWS)
        paths = {"paths": list(_list_paths(unit_id))}
        rows.append(
            _add_times({"unit_id": unit_id, "unit_type": unit_type, **paths, **people[pool], **draw(UNIT_ROWS)})
        )
    return rows


def _list_paths(unit_id: str) -> tuple[str, ...]:
    """List the paths of a unit: PICK and INDUCT share theirs, of which PICK has one more."""
    _, pool, part = unit_id.split("_")
    whole = {"PICK": ("A", "B", "C"), "INDUCT": ("A", "B"), "PACK": tuple(lane.split("_")[2] for lane in LANES)}
    return whole.get(pool, (pool,)) if part == "TOTAL" else (part,)


def _move(rows: list[dict[str, Any]], number: int) -> list[dict[str, Any]]:
    """Move a network to warehouses of its own."""
    names = {f"W{each}": f"W{2 * number + each}" for each in (1, 2)}
    return [
        {**row, "unit_id": "_".join((names[warehouse], rest))}
        for row in rows
        for warehouse, _, rest in [row["unit_id"].partition("_")]
    ]


def _put_side_by_side(networks: tuple[list[dict[str, Any]], ...]) -> list[dict[str, Any]]:
    return [row for number, rows in enumerate(networks) for row in _move(rows, number)]


NETWORKS: Final = st.tuples(*[draw_network()] * SIDE_BY_SIDE).map(_put_side_by_side)


@st.composite
def draw_requests(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw rows of `VERDICTS_OF_UNITS` that contradict each other as much as can be."""
    surplus = {pool: draw(st.integers(0, 9)) for pool in POOLS}
    rows: list[dict[str, Any]] = []
    for pool in draw(st.lists(st.sampled_from(POOLS), min_size=2, unique=True)):
        # Mostly from the first pools to the last, so that donors are short before moves oppose each other.
        order = draw(st.sampled_from([POOLS, POOLS[::-1], *[POOLS] * 3]))
        source, target = draw(st.sampled_from(order[:2])), draw(st.sampled_from(order[2:]))
        move = {"source_unit": source, "target_unit": target, "surplus": surplus[source]}
        quantity = draw(st.sampled_from([surplus[source], *range(surplus[source]), None]))
        rows.append({"unit_id": f"W1_{pool}_TOTAL", "quantity": quantity, **move})
    headroom = {lane: draw(st.floats(0, 9)) for lane in LANES}
    for lane in draw(st.lists(st.sampled_from(LANES), unique=True)):
        others = draw(st.lists(st.sampled_from(LANES), min_size=1, unique=True))
        shares: list[dict[str, Any]] = [
            {"unit_id": other, "quantity": draw(st.floats(0, headroom[other])), "headroom": headroom[other]}
            for other in others
            if other != lane
        ]
        total = sum(float(share["quantity"]) for share in shares)
        rows.append({"unit_id": lane, "action": "REBALANCE", "quantity": total, "recipients": shares})
    fields = {
        "verdict": st.sampled_from(["ACT", "EMERGENCY", "WARN"]),
        "minutes_left": st.sampled_from([None, 1.0, 2.0]),
    }
    return [{**row, **draw(st.fixed_dictionaries(fields))} for row in rows]


def _put_requests_side_by_side(found: tuple[list[dict[str, Any]], ...]) -> pl.DataFrame:
    """Put rows side by side, each drawing in a warehouse of its own."""
    return make_verdicts(*(_rename(row, number) for number, rows in enumerate(found) for row in rows))


def _rename(row: dict[str, Any], number: int) -> dict[str, Any]:
    moved = {"unit_id": row["unit_id"].replace("W1", f"W{number}")}
    if "recipients" in row:
        moved["recipients"] = [{**each, **_rename({"unit_id": each["unit_id"]}, number)} for each in row["recipients"]]
    return {**row, **moved}


_HISTORY: Final = st.lists(
    st.fixed_dictionaries(
        {
            "unit_id": st.sampled_from([unit_id for unit_id, _ in UNITS]),
            "snapshot_ts": st.integers(-7, -1).map(make_tick),
            "verdict": st.sampled_from(["EMERGENCY", "ACT", "HYSTERESIS", "CLEAR"]),
            "action": st.sampled_from(["THROTTLE", "THROTTLE", "MOVE_STAFF", None]),
            "quantity": st.sampled_from([0.0, 450.0, 2000.0, None]),
            "resolution": st.sampled_from(["KEPT", "CHANGED", "OVERRIDDEN"]),
        }
    ),
    max_size=12,
    unique_by=lambda row: (row["unit_id"], row["snapshot_ts"]),
)
HISTORIES: Final = st.tuples(*[_HISTORY] * SIDE_BY_SIDE).map(_put_side_by_side)


def _add_times(row: dict[str, Any]) -> dict[str, Any]:
    """Add to the row what follows from its fill and slope."""
    level, slope = row["fill"] * 1000, row["slope"] or 0.0
    return {
        **row,
        "minutes_to_overflow": max(0.0, (950 - level) / slope) if slope > 0 else None,
        "minutes_to_starvation": max(0.0, (level - 50) / -slope) if slope < 0 else None,
    }


def _run_both(rows: list[dict[str, Any]], history: list[dict[str, Any]]) -> tuple[pl.DataFrame, pl.DataFrame]:
    before = make_recommendations(*history)
    now = make_units(*rows)
    found = verdict_rules.compute_verdicts(now, NO_POOLS, NO_REJECTS, before, policy=POLICY)
    schema.VERDICTS_OF_UNITS.validate(found)
    resolved = conflict_resolution.resolve_conflicts(found, now, before, policy=POLICY)
    schema.RECOMMENDATIONS.validate(resolved)
    return found, resolved


@FEW
@given(NETWORKS, HISTORIES, st.randoms(use_true_random=False))
def test_the_order_of_the_input_is_irrelevant(
    rows: list[dict[str, Any]], history: list[dict[str, Any]], order: random.Random
) -> None:
    found, resolved = _run_both(rows, history)
    order.shuffle(rows)
    order.shuffle(history)
    again, resolved_again = _run_both(rows, history)
    assert found.equals(again)
    assert resolved.equals(resolved_again)
    shuffled = found.sample(fraction=1, shuffle=True, seed=order.randrange(1000))
    assert resolved.equals(
        conflict_resolution.resolve_conflicts(
            shuffled, make_units(*rows), make_recommendations(*history), policy=POLICY
        )
    )


@FEW
@given(NETWORKS, HISTORIES)
def test_nothing_is_deleted(rows: list[dict[str, Any]], history: list[dict[str, Any]]) -> None:
    found, resolved = _run_both(rows, history)
    assert resolved.select(KEY).equals(found.select(KEY))
    before = ["action", "quantity", "verdict", "explanation"]
    changed = resolved.filter(pl.col("resolution") != "KEPT")
    originals = changed.select(*KEY, *[pl.col(f"original_{name}").alias(name) for name in before])
    assert originals.equals(changed.select(KEY).join(found, on=KEY, maintain_order="left").select(*KEY, *before))


@settings(max_examples=20)
@given(st.tuples(*[draw_requests()] * SIDE_BY_SIDE).map(_put_requests_side_by_side))
def test_what_remains_is_within_surplus_headroom_and_one_direction(found: pl.DataFrame) -> None:
    _assert_limits(found)


@FEW
@given(NETWORKS, HISTORIES)
def test_what_remains_of_a_network_is_within_them(rows: list[dict[str, Any]], history: list[dict[str, Any]]) -> None:
    _assert_limits(_run_both(rows, history)[0])


def _assert_limits(found: pl.DataFrame) -> None:
    resolved = conflict_resolution.resolve_conflicts(found, NO_UNITS, NO_HISTORY, policy=POLICY)
    remaining = resolved.filter(recommendation_sizing.NEEDS_ACTION, pl.col("resolution").is_in(["KEPT", "CHANGED"]))
    moves = remaining.filter(pl.col("action") == "MOVE_STAFF")
    donors = moves.filter(pl.col("quantity") > 0).group_by("warehouse", "source_unit")
    given_away = donors.agg(pl.col("quantity").sum(), pl.col("surplus").min())
    assert given_away.filter(pl.col("quantity") > pl.col("surplus")).is_empty()

    moving = moves.filter((pl.col("quantity") > 0).fill_null(value=True), pl.col("quality") != "UNKNOWN")
    gives = set(moving.drop_nulls("source_unit").select("warehouse", "source_unit").iter_rows())
    takes = set(moving.drop_nulls("target_unit").select("warehouse", "target_unit").iter_rows())
    assert not gives & takes

    shares = remaining.filter(pl.col("action") == "REBALANCE").explode("recipients").drop_nulls("recipients")
    taken = shares.unnest("recipients", separator=":").group_by("recipients:unit_id")
    full = taken.agg(pl.col("recipients:quantity").sum(), pl.col("recipients:headroom").min())
    assert full.filter(pl.col("recipients:quantity") > pl.col("recipients:headroom") + 1e-6).is_empty()
    alerting = found.filter(recommendation_sizing.NEEDS_ACTION)["unit_id"]
    assert full.filter(pl.col("recipients:quantity") > 0, pl.col("recipients:unit_id").is_in(alerting)).is_empty()


@FEW
@given(st.tuples(*[draw_network()] * SIDE_BY_SIDE), st.data())
def test_a_fuller_buffer_is_never_judged_less_severe(
    networks: tuple[list[dict[str, Any]], ...], data: st.DataObject
) -> None:
    """Fill one unit more in each network."""
    indices = [data.draw(st.integers(0, len(rows) - 1)) for rows in networks]
    after, fuller = [], []
    for number, (rows, index) in enumerate(zip(networks, indices, strict=True)):
        fill = max(rows[index]["fill"], data.draw(FILLS))
        changed = [_add_times({**row, "fill": fill}) if n == index else row for n, row in enumerate(rows)]
        after.append(changed)
        fuller.append(_move(changed, number)[index]["unit_id"])
    (low, _), (high, _) = (_run_both(_put_side_by_side(each), []) for each in (networks, tuple(after)))
    severity = pl.col("verdict").replace_strict(CALM_TO_ALARMED, return_dtype=pl.Int64)
    for direction, sign in (("OVERFLOW", 1), ("STARVATION", -1)):
        one, other = (
            frame.filter(pl.col("unit_id").is_in(fuller), direction=direction).select("unit_id", severity)
            for frame in (low, high)
        )
        assert one["unit_id"].equals(other["unit_id"])
        assert ((other["verdict"] - one["verdict"]) * sign >= 0).all()


@FEW
@given(NETWORKS, HISTORIES)
def test_resolving_again_takes_nothing_more_away(rows: list[dict[str, Any]], history: list[dict[str, Any]]) -> None:
    _, resolved = _run_both(rows, history)
    again = resolved.select(schema.VERDICTS_OF_UNITS.names)
    once_more = conflict_resolution.resolve_conflicts(
        again, make_units(*rows), make_recommendations(*history), policy=POLICY
    )
    remaining = resolved["resolution"].is_in(["KEPT", "CHANGED"])
    assert once_more.filter(remaining)["action"].equals(resolved.filter(remaining)["action"])
