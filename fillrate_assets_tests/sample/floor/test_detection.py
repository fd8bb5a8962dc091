"""Detection: what counts as notified in time and as right, case by case; and the pipeline on one short floor."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from fillrate_assets.buffers.rules.policy import Policy
from fillrate_assets.sample.floor import detection
from fillrate_assets.sample.floor.events import Event
from fillrate_assets.sample.floor.layout import draw_layout, draw_roster
from fillrate_assets.sample.floor.scenarios import TUNING, simulate
from fillrate_assets.sample.floor.schema import ONSETS, Kind

START = datetime(2026, 11, 9, 12, tzinfo=UTC)
PATH, SIBLING, WHOLE, OTHER = "W1_PACK_P1", "W1_PACK_P2", "W1_PACK_TOTAL", "W1_LANE_TOTAL"
TWIN = "W1_SORT_TOTAL"
"""Of the same paths as the total of PACK."""
SHORT = replace(next(scenario for scenario in TUNING if scenario.name == "jams"), days=1)


def get_time(minute: float) -> datetime:
    return START + timedelta(minutes=minute)


RELATED = detection.relate_units(
    pl.DataFrame(
        [
            *((PATH, "P1"), (SIBLING, "P2"), (WHOLE, "P1"), (WHOLE, "P2"), (OTHER, "L1")),
            *((TWIN, "P1"), (TWIN, "P2"), ("W2_PACK_TOTAL", "P1")),
        ],
        schema=("unit_id", "path"),
        orient="row",
    )
)


def make_notified(
    *notified: tuple[str, float], direction: str = "OVERFLOW", named: list[str] | None = None
) -> pl.DataFrame:
    """Make episodes, one for each unit, and the minutes at which they are notified."""
    rows = [(unit, "TOTAL", direction, f"{unit}.1", get_time(minute), named) for unit, minute in notified]
    names = ("unit_id", "unit_type", "direction", "episode", "notified_ts", "named")
    dtypes = {"notified_ts": pl.Datetime("us", "UTC"), "named": pl.List(pl.String)}
    return pl.DataFrame(rows, schema=names, orient="row").cast(dtypes)  # type: ignore[arg-type]


def make_onset(unit: str = PATH, begin: float = 0, end: float | None = 20) -> pl.DataFrame:
    row = ("W1", unit, "PACK", "OVERFLOW", get_time(begin), None if end is None else get_time(end), "JAM")
    return pl.DataFrame([row], schema=ONSETS.polars, orient="row")


def make_fills(minutes: range = range(0)) -> pl.DataFrame:
    """The path, 95 % full in these minutes."""
    rows = [
        (PATH, "PACK", get_time(minute), 0.95 if minute in minutes else 0.9, True, True) for minute in range(-60, 120)
    ]
    names = ("unit_id", "unit_type", "ts", "fill", "staffed", "lane_open")
    return pl.DataFrame(rows, schema=names, orient="row").cast({"ts": pl.Datetime("us", "UTC")})


@pytest.mark.parametrize(
    ("unit", "minutes", "first"),
    [
        (PATH, [-30], -30),
        (PATH, [-31], None),
        (PATH, [5], 5),
        (PATH, [5.1], None),
        (PATH, [-31, -16, -1], -16),
        (WHOLE, [0], 0),
        (TWIN, [0], 0),
        ("W2_PACK_TOTAL", [0], None),
        (SIBLING, [0], None),
        (OTHER, [0], None),
    ],
)
def test_an_onset_is_notified_in_time_by_its_unit_or_its_total(
    unit: str, minutes: list[float], first: float | None
) -> None:
    found = detection.match_onsets(make_notified(*((unit, minute) for minute in minutes)), make_onset(), RELATED)
    assert found["alert_ts"].to_list() == [None if first is None else get_time(first)]


def test_a_total_is_not_notified_by_its_paths_and_no_overflow_by_a_starvation() -> None:
    assert detection.match_onsets(make_notified((PATH, 0)), make_onset(WHOLE), RELATED)["alert_ts"].to_list() == [None]
    starving = make_notified((PATH, 0), direction="STARVATION")
    assert detection.match_onsets(starving, make_onset(), RELATED)["alert_ts"].to_list() == [None]


def test_who_notified_an_onset_counts_apart() -> None:
    def find(*notified: tuple[str, float], named: list[str] | None = None, of: str = PATH) -> list[float | None]:
        row = detection.match_onsets(make_notified(*notified, named=named), make_onset(of), RELATED).row(0, named=True)
        times = (row["own_ts"], row["named_ts"], row["alert_ts"])
        return [None if time is None else (time - START).total_seconds() / 60 for time in times]

    assert find((PATH, -5), (WHOLE, -10)) == [-5, -5, -10]
    assert find((WHOLE, -10), named=[SIBLING, PATH]) == [None, -10, -10]
    assert find((WHOLE, -10), named=[SIBLING]) == [None, None, -10]
    assert find((TWIN, 0), of=WHOLE) == [0, 0, 0]


def test_units_of_equal_paths_have_one_onset() -> None:
    both = pl.concat([make_onset(WHOLE), make_onset(TWIN)])
    assert detection.match_onsets(make_notified((TWIN, 1)), both, RELATED)["own_ts"].to_list() == [get_time(1)]


@pytest.mark.parametrize(("of", "own"), [(PATH, True), (WHOLE, False)])
def test_an_episode_of_a_path_may_be_right_by_its_total(of: str, *, own: bool) -> None:
    judged = detection.judge_episodes(make_notified((PATH, 0)), make_onset(of), make_fills(), RELATED)
    assert judged.select("was", "own").row(0) == ("RIGHT", own)


@pytest.mark.parametrize(
    ("notified", "of", "was"),
    [
        ([(PATH, -30)], PATH, "RIGHT"),
        ([(PATH, -31)], PATH, "FALSE"),
        ([(PATH, -90), (PATH, 25)], PATH, "RIGHT"),
        ([(PATH, 26)], PATH, "FALSE"),
        ([(WHOLE, 0)], PATH, "RIGHT"),
        ([(PATH, 0)], WHOLE, "RIGHT"),
        ([(TWIN, 0)], PATH, "RIGHT"),
        ([(SIBLING, 0)], PATH, "FALSE"),
        ([(OTHER, 0)], WHOLE, "FALSE"),
    ],
)
def test_an_episode_is_right_if_trouble_of_its_pool_was_there_or_came(
    notified: list[tuple[str, float]], of: str, was: str
) -> None:
    judged = detection.judge_episodes(make_notified(*notified), make_onset(of), make_fills(), RELATED)
    assert judged["was"].to_list() == [was]


@pytest.mark.parametrize(
    ("minutes", "was"),
    [(range(30, 33), "BRIEF"), (range(31, 34), "FALSE"), (range(-7, -4), "BRIEF"), (range(-9, -5), "FALSE")],
)
def test_an_episode_about_too_few_minutes_to_be_an_onset_was_brief(minutes: range, was: str) -> None:
    judged = detection.judge_episodes(
        make_notified((PATH, 0)), ONSETS.make_empty().collect(), make_fills(minutes), RELATED
    )
    assert judged["was"].to_list() == [was]


def test_an_onset_that_outlasts_the_simulation_is_trouble_to_its_end() -> None:
    judged = detection.judge_episodes(make_notified((PATH, 90)), make_onset(end=None), make_fills(), RELATED)
    assert judged["was"].to_list() == ["RIGHT"]


def test_a_static_threshold_notifies_until_two_ticks_are_within_it() -> None:
    shares = {0: 0.95, 5: 0.94, 10: 0.95, 15: 0.9, 20: 0.9, 25: 0.96, 30: 0.04}
    levels = pl.DataFrame(
        [
            (unit, kind, get_time(minute), fill)
            for unit, kind in ((PATH, "PACK"), (WHOLE, "TOTAL"))
            for minute, fill in shares.items()
        ],
        schema=("unit_id", "unit_type", "snapshot_ts", "fill"),
        orient="row",
    )
    notified = detection.detect_by_level(levels, 0.95, 0.05)
    episodes = notified.group_by("unit_id", "direction", "episode", maintain_order=True).agg("notified_ts")
    assert episodes.select("unit_id", "direction", "notified_ts").sort(
        "unit_id", "direction", "notified_ts"
    ).rows() == [
        (PATH, "OVERFLOW", [get_time(0), get_time(10)]),
        (PATH, "OVERFLOW", [get_time(25)]),
        (WHOLE, "OVERFLOW", [get_time(0), get_time(10)]),
        (WHOLE, "OVERFLOW", [get_time(25)]),
        (WHOLE, "STARVATION", [get_time(30)]),
    ]


# --- the pipeline on a short floor


def run_morning(*events: Event, minutes: tuple[int, int]) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Run a morning: what is notified between two minutes, the onsets of all of it, and how units are related."""
    world = simulate(SHORT, [1], events)
    begin = draw_roster(draw_layout(SHORT.seed, 1), datetime.combine(SHORT.first, datetime.min.time()), 1).start
    since, until = (begin + timedelta(minutes=minute) for minute in minutes)
    made = detection.run_ticks(world.feeds, world.masters, since=since, until=until, policy=Policy())
    notified = detection.select_notified(made.alerts, made.recommendations)
    return notified, world.truth.onsets, detection.relate_units(world.masters.unit_members)


@pytest.mark.sweep
def test_every_onset_of_a_jam_and_of_a_dry_spell_is_notified() -> None:
    jam, dry = Event(Kind.JAM, 565, 25, "LN-01"), Event(Kind.DRY_SPELL, 595, 40)
    notified, onsets, related = run_morning(jam, dry, minutes=(555, 635))
    assert set(onsets["direction"]) == {"OVERFLOW", "STARVATION"}
    assert detection.match_onsets(notified, onsets, related)["alert_ts"].null_count() == 0


def test_on_a_healthy_floor_nothing_is_notified() -> None:
    notified, onsets, _ = run_morning(minutes=(555, 595))
    assert (notified.height, onsets.height) == (0, 0)
