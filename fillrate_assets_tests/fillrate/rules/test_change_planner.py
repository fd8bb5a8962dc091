from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from itertools import product
from typing import Any, Final

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.demand_schema import NETWORK_VERSIONS
from fillrate_assets.fillrate.rules.change_planner import (
    SOURCES,
    VERSIONS,
    WATERMARKED,
    Attempt,
    Plan,
    is_older,
    plan_runs,
)

DAY: Final = date(2026, 2, 10)
AT: Final = datetime(2026, 2, 10, 18, tzinfo=UTC)
NOW: Final = datetime(2026, 2, 10, 20, tzinfo=UTC)
MINUTE: Final = timedelta(minutes=1)
RETRY: Final = timedelta(minutes=15)
PAIR: Final = PartitionKey("DC01", DAY)

Version = tuple[datetime, int]
FoundVersions = Mapping[PartitionKey, Version]


@dataclass(frozen=True)
class Entry:
    """What the ledger says of a pair."""

    orders: Version | None = (AT, 3)
    shipments: Version | None = (AT, 3)
    snapshots: tuple[datetime | None, int] | None = None
    state: str = "PUBLISHED"
    network: str | None = None


def _plan(
    orders: FoundVersions | None = None,
    shipments: FoundVersions | None = None,
    ledger: Mapping[PartitionKey, Entry] | None = None,
    attempts: Mapping[PartitionKey, Attempt] | None = None,
    now: datetime = NOW,
    snapshots: Mapping[PartitionKey, tuple[datetime | None, int]] | None = None,
    **more: Any,  # noqa: ANN401 - arguments of `plan`
) -> Plan:
    found = {
        "orders": _make_versions(orders or {}),
        "shipments": _make_versions(shipments or {}),
        "snapshots": _make_versions(snapshots or {}),
    }
    limits = {"max_requests": 1000, **more}
    if "network" in limits:
        rows = [(*pair, version) for pair, version in limits["network"].items()]
        limits["network"] = pl.DataFrame(rows, schema=NETWORK_VERSIONS.polars, orient="row")
    return plan_runs(found, _make_ledger(ledger or {}), attempts or {}, now=now, retry_delay=RETRY, **limits)


def _make_versions(found: Mapping[PartitionKey, tuple[datetime | None, int]]) -> pl.DataFrame:
    rows = [(*pair, *version) for pair, version in found.items()]
    return pl.DataFrame(rows, schema=schema.PAIR_VERSIONS.polars, orient="row")


def _make_ledger(entries: Mapping[PartitionKey, Entry]) -> pl.DataFrame:
    rows = [
        (
            *pair,
            *(entry.orders or (None, 0)),
            *(entry.shipments or (None, 0)),
            *(entry.snapshots or (None, 0)),
            *(entry.network, 1, None, entry.state, None, "run", AT),
        )
        for pair, entry in entries.items()
    ]
    return pl.DataFrame(rows, schema=schema.LEDGER.polars, orient="row")


def _shift(offset: int, dc: str = "DC01") -> PartitionKey:
    return PartitionKey(dc, DAY + timedelta(days=offset))


def _list_ranges(made: Plan) -> list[tuple[str, int, int, list[int]]]:
    """List requests as DC, first, last and changed ship dates, in days from `DAY`."""
    return [
        (each.dc, (each.first - DAY).days, (each.last - DAY).days, [(day - DAY).days for day in each.changed])
        for each in made.requests
    ]


@pytest.mark.parametrize(
    ("orders", "shipments", "ledger", "requested"),
    [
        pytest.param({}, {}, {}, [], id="nothing anywhere"),
        pytest.param({PAIR: (AT, 3)}, {}, {}, [PAIR], id="a new pair"),
        pytest.param({}, {PAIR: (AT, 3)}, {}, [PAIR], id="shipments of a new pair"),
        pytest.param({PAIR: (AT, 3)}, {PAIR: (AT, 3)}, {PAIR: Entry()}, [], id="as the ledger says"),
        pytest.param({PAIR: (AT + MINUTE, 3)}, {}, {PAIR: Entry()}, [PAIR], id="orders ahead by time"),
        pytest.param({PAIR: (AT, 4)}, {}, {PAIR: Entry()}, [PAIR], id="orders ahead by count"),
        pytest.param({PAIR: (AT, 2)}, {}, {PAIR: Entry()}, [PAIR], id="rows gone from the source"),
        pytest.param({PAIR: (AT, 3)}, {PAIR: (AT + MINUTE, 3)}, {PAIR: Entry()}, [PAIR], id="shipments ahead by time"),
        pytest.param({PAIR: (AT, 3)}, {PAIR: (AT, 4)}, {PAIR: Entry()}, [PAIR], id="shipments ahead by count"),
        pytest.param({}, {PAIR: (AT, 1)}, {PAIR: Entry(shipments=None)}, [PAIR], id="first shipments"),
        pytest.param({PAIR: (AT - MINUTE, 3)}, {}, {PAIR: Entry()}, [], id="a moved line read without its move"),
        pytest.param({}, {}, {PAIR: Entry()}, [], id="unseen and published"),
        pytest.param({}, {}, {PAIR: Entry(state="HELD")}, [PAIR], id="unseen and held"),
        pytest.param({PAIR: (AT, 3)}, {}, {PAIR: Entry(state="HELD")}, [PAIR], id="unchanged and held"),
    ],
)
def test_a_pair_is_requested_when_a_source_is_ahead_of_the_ledger_or_it_is_held(
    orders: FoundVersions,
    shipments: FoundVersions,
    ledger: Mapping[PartitionKey, Entry],
    requested: Sequence[PartitionKey],
) -> None:
    made = _plan(orders, shipments, ledger)
    assert [(each.dc, day) for each in made.requests for day in each.changed] == requested
    assert list(made.attempts) == requested
    assert made.reason == ""


@pytest.mark.parametrize("ledger", [{}, {PAIR: Entry()}, {PAIR: Entry(state="HELD")}])
def test_a_pair_that_a_run_is_about_to_publish_is_requested_when_it_is_still_ahead_after_that(
    ledger: Mapping[PartitionKey, Entry],
) -> None:
    orders = {PAIR: (AT + MINUTE, 4), _shift(60): (AT + MINUTE, 1)}
    during = _plan(orders, {}, ledger, in_progress=[PAIR])
    assert _list_ranges(during) == [("DC01", 60, 60, [60])]
    assert during.watermarks["orders"] == AT + MINUTE
    alone = _plan({PAIR: orders[PAIR]}, {}, ledger, during.attempts, in_progress=[PAIR])
    assert alone.requests == ()
    assert alone.reason == "1 left to the runs and backfills that are queued or in progress, e.g. DC01 2026-02-10"
    assert PAIR not in alone.attempts
    after = _plan({PAIR: orders[PAIR]}, {}, ledger, alone.attempts)
    assert [each.changed for each in after.requests] == [(DAY,)]


def test_an_attempt_remains_while_its_run_is_queued() -> None:
    first = _plan({PAIR: (AT, 3)})
    later = NOW + 9 * RETRY
    queued = _plan({PAIR: (AT, 3)}, attempts=first.attempts, now=later, in_progress=[PAIR])
    assert (queued.requests, queued.attempts) == ((), first.attempts)
    assert _plan({PAIR: (AT, 3)}, attempts=queued.attempts, now=later).attempts[PAIR].number == 2


@pytest.mark.parametrize(
    ("snapshots", "ledger", "requested"),
    [
        pytest.param((AT, 9), {}, [], id="before the day's first publication"),
        pytest.param((AT, 9), {PAIR: Entry(None, None)}, [], id="a closed day"),
        pytest.param((AT, 9), {PAIR: Entry(snapshots=(AT, 9))}, [], id="as the ledger says"),
        pytest.param((AT - MINUTE, 9), {PAIR: Entry(snapshots=(AT, 9))}, [], id="older, as many"),
        pytest.param((AT, 9), {PAIR: Entry()}, [PAIR], id="the first snapshot"),
        pytest.param((AT + MINUTE, 9), {PAIR: Entry(snapshots=(AT, 9))}, [PAIR], id="delivered again"),
        pytest.param((AT, 10), {PAIR: Entry(snapshots=(AT, 9))}, [PAIR], id="more records"),
        pytest.param((AT, 8), {PAIR: Entry(snapshots=(AT, 9))}, [PAIR], id="records gone"),
        pytest.param((None, 9), {PAIR: Entry(snapshots=(None, 9))}, [], id="without a time, as the ledger says"),
        pytest.param((None, 9), {PAIR: Entry(snapshots=(AT, 9))}, [], id="the time is gone, as many"),
        pytest.param((None, 10), {PAIR: Entry(snapshots=(None, 9))}, [PAIR], id="without a time, more records"),
        pytest.param(None, {PAIR: Entry(snapshots=(AT, 9))}, [], id="unseen"),
    ],
)
def test_a_snapshot_alone_requests_only_a_day_of_which_lines_were_processed(
    snapshots: tuple[datetime | None, int] | None,
    ledger: Mapping[PartitionKey, Entry],
    requested: Sequence[PartitionKey],
) -> None:
    made = _plan({}, {}, ledger, snapshots={PAIR: snapshots} if snapshots else {})
    assert [(each.dc, day) for each in made.requests for day in each.changed] == requested
    assert made.watermarks == {}


def test_a_corrected_snapshot_takes_the_dependent_days_along() -> None:
    ledger = {_shift(offset): Entry(snapshots=(AT, 9)) for offset in range(40)}
    assert _list_ranges(_plan({}, {}, ledger, snapshots={_shift(1): (AT + MINUTE, 9)})) == [("DC01", 1, 29, [1])]


def test_snapshots_that_arrive_before_the_first_publication_request_nothing_twice() -> None:
    found = {PAIR: (AT, 3)}
    requested = _plan(found, found, snapshots={PAIR: (AT, 9)})
    again = _plan(found, found, {}, requested.attempts, NOW + MINUTE, {PAIR: (AT + MINUTE, 18)})
    assert (len(requested.requests), again.requests) == (1, ())
    read_too_early = {PAIR: Entry(snapshots=(AT, 9))}
    late = _plan(found, found, read_too_early, again.attempts, NOW + MINUTE, {PAIR: (AT + MINUTE, 18)})
    assert len(late.requests) == 1


def test_a_held_day_is_requested_at_once_when_its_snapshot_arrives() -> None:
    held = {PAIR: Entry(state="HELD")}
    first = _plan({}, {}, held)
    assert _plan({}, {}, held, first.attempts, NOW + MINUTE).requests == ()
    assert len(_plan({}, {}, held, first.attempts, NOW + MINUTE, {PAIR: (AT, 9)}).requests) == 1


DELAYS: Final = [
    pytest.param(1, timedelta(minutes=15), id="first retry"),
    pytest.param(2, timedelta(minutes=30), id="second"),
    pytest.param(3, timedelta(hours=1), id="third"),
    pytest.param(5, timedelta(hours=4), id="fifth"),
    pytest.param(6, timedelta(hours=6), id="sixth"),
    pytest.param(60, timedelta(hours=6), id="sixtieth"),
]


@pytest.mark.parametrize("entry", [pytest.param({}, id="ahead"), pytest.param({PAIR: Entry(state="HELD")}, id="held")])
@pytest.mark.parametrize(("number", "delay"), DELAYS)
def test_a_pair_is_requested_again_after_a_delay_that_doubles_up_to_six_hours(
    entry: Mapping[PartitionKey, Entry], number: int, delay: timedelta
) -> None:
    found = {PAIR: (AT, 3)}
    (first,) = _plan(found, found, entry).attempts.values()
    earlier = {PAIR: replace(first, number=number)}
    early = _plan(found, found, entry, earlier, NOW + delay - MINUTE)
    assert (early.requests, early.attempts) == ((), earlier)
    due = _plan(found, found, entry, earlier, NOW + delay)
    assert len(due.requests) == 1
    assert due.attempts == {PAIR: Attempt(first.version, number + 1, NOW + delay)}


@pytest.mark.parametrize("state", ["PUBLISHED", "HELD"])
def test_a_new_version_is_requested_at_once_as_a_first_attempt(state: str) -> None:
    ledger = {PAIR: Entry(state=state)}
    before = _plan({PAIR: (AT + MINUTE, 4)}, {}, ledger)
    later = NOW + MINUTE
    after = _plan({PAIR: (AT + 2 * MINUTE, 5)}, {}, ledger, before.attempts, later)
    assert len(after.requests) == 1
    assert (after.attempts[PAIR].number, after.attempts[PAIR].requested_at) == (1, later)
    assert after.requests[0].run_key != before.requests[0].run_key


def test_a_held_pair_keeps_its_attempts_whether_a_tick_sees_it_or_not() -> None:
    ledger = {PAIR: Entry(state="HELD")}
    found = {PAIR: (AT, 3)}
    # Its own rows may be older than the move that the ledger knows of.
    for orders, shipments in ((found, found), ({}, found), ({PAIR: (AT - MINUTE, 3)}, {}), ({}, {})):
        first = _plan(found, found, ledger)
        assert _plan(orders, shipments, ledger, first.attempts, NOW + MINUTE).attempts == first.attempts


def test_a_published_pair_is_forgotten() -> None:
    found = {PAIR: (AT, 3)}
    requested = _plan(found, found)
    published = _plan(found, found, {PAIR: Entry()}, requested.attempts, NOW + MINUTE)
    assert (published.requests, published.attempts, published.reason) == ((), {}, "")


@pytest.mark.parametrize(
    ("changed", "known", "expected"),
    [
        pytest.param([_shift(0)], [], [("DC01", 0, 0, [0])], id="no dependants yet"),
        pytest.param([_shift(0)], [_shift(3)], [("DC01", 0, 3, [0])], id="dependants up to the last known day"),
        pytest.param([_shift(0)], [_shift(90)], [("DC01", 0, 28, [0])], id="28 dependants"),
        pytest.param([_shift(0)], [_shift(-9)], [("DC01", 0, 0, [0])], id="days before do not depend"),
        pytest.param([_shift(0)], [_shift(9, "DC02")], [("DC01", 0, 0, [0])], id="nor do other DCs"),
        pytest.param(
            [_shift(0), _shift(5)],
            [_shift(90)],
            [("DC01", 0, 33, [0, 5])],
            id="overlapping dependants: one run",
        ),
        pytest.param(
            [_shift(0), _shift(28)],
            [_shift(90)],
            [("DC01", 0, 56, [0, 28])],
            id="a changed day that depends",
        ),
        pytest.param(
            [_shift(0), _shift(29)],
            [_shift(90)],
            [("DC01", 0, 28, [0]), ("DC01", 29, 57, [29])],
            id="apart: two runs",
        ),
        pytest.param(
            [_shift(0, "DC02"), _shift(1), _shift(2)],
            [_shift(4), _shift(1, "DC02")],
            [("DC01", 1, 4, [1, 2]), ("DC02", 0, 1, [0])],
            id="a run for each DC",
        ),
    ],
)
def test_changed_days_are_grouped_with_the_days_that_depend_on_them(
    changed: Sequence[PartitionKey], known: Sequence[PartitionKey], expected: Sequence[tuple[str, int, int, list[int]]]
) -> None:
    found = dict.fromkeys(changed, (AT, 3))
    assert _list_ranges(_plan(found, found, {pair: Entry() for pair in known})) == expected


def test_waiting_pairs_are_not_requested_along_with_others() -> None:
    found = {_shift(0): (AT, 3), _shift(1): (AT, 3)}
    waiting = _plan({_shift(0): (AT, 3)}).attempts
    made = _plan(found, {}, {}, waiting, NOW + MINUTE)
    assert _list_ranges(made) == [("DC01", 1, 1, [1])]
    assert {pair: attempt.requested_at for pair, attempt in made.attempts.items()} == {
        _shift(0): NOW,
        _shift(1): NOW + MINUTE,
    }


def test_a_run_key_changes_with_the_range_the_version_and_the_attempt() -> None:
    found = {PAIR: (AT, 3)}
    first = _plan(found)
    plans = [
        first,
        _plan(found, {PAIR: (AT, 1)}),
        _plan({PAIR: (AT, 4)}),
        _plan({PAIR: (AT + MINUTE, 3)}),
        _plan({_shift(1): (AT, 3)}),
        _plan({_shift(0, "DC02"): (AT, 3)}),
        _plan(found, ledger={_shift(1): Entry()}),
        _plan(found, attempts=first.attempts, now=NOW + RETRY),
    ]
    keys = [request.run_key for made in plans for request in made.requests]
    assert len(set(keys)) == len(plans)
    assert _plan(found, now=NOW + MINUTE).requests == first.requests


@pytest.mark.parametrize(
    ("orders", "ledger", "minutes"),
    [
        pytest.param({PAIR: (AT, 3), _shift(1): (AT + MINUTE, 3)},
                     {PAIR: Entry(), _shift(1): Entry((AT + MINUTE, 3))}, 1,
                     id="nothing ahead: the largest change"),
        pytest.param({PAIR: (AT, 3), _shift(1): (AT + MINUTE, 3)}, {}, 0, id="all ahead: the smallest"),
        pytest.param({PAIR: (AT, 3), _shift(1): (AT + MINUTE, 3), _shift(2): (AT + 2 * MINUTE, 3)}, {PAIR: Entry()}, 1,
                     id="some ahead: the smallest of those"),
        pytest.param({PAIR: (AT, 3), _shift(1): (AT + MINUTE, 3)},
                     {PAIR: Entry(state="HELD"), _shift(1): Entry((AT + MINUTE, 3))}, 1,
                     id="a held pair does not hold it back"),
        pytest.param({PAIR: (AT, 4), _shift(1): (AT + MINUTE, 3)},
                     {PAIR: Entry(state="HELD"), _shift(1): Entry((AT + MINUTE, 3))}, 0,
                     id="unless it is ahead"),
    ],
)  # fmt: skip
def test_the_watermark_moves_to_the_smallest_change_still_ahead_or_to_the_largest_read(
    orders: FoundVersions, ledger: Mapping[PartitionKey, Entry], minutes: int
) -> None:
    assert _plan(orders, {}, ledger).watermarks == {"orders": AT + minutes * MINUTE}


def test_the_watermark_never_passes_our_own_clock() -> None:
    ahead_of_us = (NOW + timedelta(hours=3), 3)
    assert _plan({PAIR: ahead_of_us}, {}, {PAIR: Entry(ahead_of_us)}).watermarks == {"orders": NOW}


def test_each_source_has_a_watermark_of_its_own() -> None:
    made = _plan({PAIR: (AT, 3)}, {PAIR: (AT + MINUTE, 3), _shift(1): (AT + 2 * MINUTE, 3)}, {_shift(1): Entry()})
    assert made.watermarks == {"orders": AT, "shipments": AT + MINUTE}


def test_a_tick_that_waits_says_for_what_and_until_when() -> None:
    found = {_shift(0): (AT, 3), _shift(1): (AT, 3)}
    first = _plan(found).attempts
    attempts = {_shift(0): replace(first[_shift(0)], number=3), _shift(1): first[_shift(1)]}
    assert _plan(found, attempts=attempts, now=NOW + MINUTE).reason == (
        "2 requested and not published yet, e.g. DC01 2026-02-11 (attempt 1); next retry at 2026-02-10 20:15 UTC"
    )


TEN: Final = {_shift(0, f"DC{number:02}"): (AT + number * MINUTE, 3) for number in range(10)}


@pytest.mark.parametrize(
    ("entry", "version", "requested"),
    [
        pytest.param(Entry(), "f 0.1", True, id="other DCs are there"),
        pytest.param(Entry(network="f 0.1"), "f 0.1", False, id="as before"),
        pytest.param(Entry(network="f 0.1"), "g 0.1", True, id="they sold something else"),
        pytest.param(Entry(network="f 0.1"), None, True, id="they had nothing of it"),
        pytest.param(None, "f 0.1", False, id="never published"),
    ],
)
def test_a_published_day_is_judged_again_when_what_it_follows_moved(
    entry: Entry | None, version: str | None, *, requested: bool
) -> None:
    ledger = {PAIR: entry} if entry else {}
    made = _plan(ledger=ledger, network={PAIR: version})
    assert [(each.first, each.last, each.changed) for each in made.requests] == ([(DAY, DAY, ())] if requested else [])
    again = _plan(ledger=ledger, network={PAIR: version}, attempts=made.attempts, now=NOW + MINUTE)
    assert again.requests == ()
    # One that failed is requested again; a held one is, for its own sake.
    later = _plan(ledger=ledger, network={PAIR: version}, attempts=made.attempts, now=NOW + RETRY)
    assert len(later.requests) == requested
    if entry:
        (held,) = _plan(ledger={PAIR: replace(entry, state="HELD")}, network={PAIR: version}).requests
        assert held.changed == (DAY,)


def test_days_that_follow_others_join_the_run_that_reaches_them() -> None:
    days = [PartitionKey("DC01", DAY + timedelta(days=number)) for number in (0, 5, 40, 41)]
    ledger = dict.fromkeys(days, Entry())
    network = dict.fromkeys(days[1:], "f 0.1")
    made = _plan({days[0]: (AT, 4)}, {days[0]: (AT, 3)}, ledger, network=network)
    assert _list_ranges(made) == [("DC01", 0, 28, [0]), ("DC01", 40, 41, [])]
    assert [len(each.due) for each in made.requests] == [2, 2]
    # What is too much for one tick is requested by the next.
    few = _plan({days[0]: (AT, 4)}, {days[0]: (AT, 3)}, ledger, network=network, max_requests=1)
    assert (len(few.requests), few.left_out, len(few.attempts)) == (1, 1, 2)


def test_ten_changed_dcs_are_ten_requests() -> None:
    made = _plan(TEN, TEN, max_requests=10)
    assert ([each.dc for each in made.requests], made.left_out) == ([dc for dc, _ in TEN], 0)


def test_what_is_too_much_for_one_tick_is_requested_by_the_next_and_holds_back_the_watermark() -> None:
    first = _plan(TEN, {}, max_requests=4)
    assert ([each.dc for each in first.requests], first.left_out) == ([f"DC{number:02}" for number in range(4)], 6)
    done = {key: Entry(TEN[key], None) for key in (PartitionKey(each.dc, DAY) for each in first.requests)}
    second = _plan(TEN, {}, done, first.attempts, NOW + MINUTE, max_requests=4)
    assert second.watermarks == {"orders": AT + 4 * MINUTE}
    assert [each.dc for each in second.requests] == [f"DC{number:02}" for number in range(4, 8)]
    third = _plan(TEN, {}, done, second.attempts, NOW + 2 * MINUTE, max_requests=4)
    assert ([each.dc for each in third.requests], third.left_out) == (["DC08", "DC09"], 0)


def test_what_was_requested_least_often_goes_first() -> None:
    pairs = list(TEN)
    requested = _plan(dict(list(TEN.items())[:2]), {}).attempts
    made = _plan(TEN, {}, {}, requested, NOW + RETRY, max_requests=9)
    assert [each.dc for each in made.requests] == [*[dc for dc, _ in pairs[2:]], "DC00"]
    assert made.attempts[pairs[1]] == requested[pairs[1]]


READ: Final = {"orders": (AT, 3), "shipments": (AT, 3), "snapshots": (AT, 9)}


@pytest.mark.parametrize(
    ("read", "older"),
    [
        pytest.param({}, False, id="the same"),
        pytest.param({"orders": (AT + MINUTE, 3)}, False, id="newer"),
        pytest.param({"orders": (AT, 4)}, False, id="as late, more rows"),
        pytest.param({"orders": (AT + MINUTE, 2)}, False, id="newer, fewer rows"),
        pytest.param({"orders": (AT, 2)}, True, id="as late, fewer rows"),
        pytest.param({"orders": (AT - MINUTE, 4)}, True, id="earlier"),
        pytest.param({"orders": (None, 0)}, True, id="nothing"),
        pytest.param({"shipments": (AT - MINUTE, 3)}, True, id="earlier shipments"),
        pytest.param({"snapshots": (AT - MINUTE, 9)}, True, id="an earlier snapshot"),
        pytest.param({"orders": (AT + MINUTE, 4), "snapshots": (AT, 8)}, True, id="newer and older"),
    ],
)
def test_a_version_is_older_if_any_source_is(read: Mapping[str, tuple[datetime | None, int]], *, older: bool) -> None:
    def name_columns(versions: Mapping[str, tuple[datetime | None, int]]) -> dict[str, object]:
        return {
            name: value
            for source, names in VERSIONS.items()
            for name, value in zip(names, versions[source], strict=True)
        }

    assert is_older(name_columns({**READ, **read}), name_columns(READ)) is older
    nothing = name_columns(dict.fromkeys(SOURCES, (None, 0)))
    assert not is_older(name_columns({**READ, **read}), nothing)


PAIRS: Final = [_shift(offset, dc) for dc, offset in product(("DC01", "DC02"), (-40, -3, -2, 0))]
OVERLAP: Final = timedelta(minutes=15)


@dataclass
class World:
    """Sources that commit, a sensor that ticks, runs that publish, hold or fail: all in memory."""

    now: datetime = NOW
    rows: dict[str, dict[PartitionKey, list[datetime]]] = field(
        default_factory=lambda: {source: {} for source in SOURCES}
    )
    ledger: dict[PartitionKey, Entry] = field(default_factory=dict)
    marks: dict[str, datetime] = field(default_factory=dict)
    attempts: Mapping[PartitionKey, Attempt] = field(default_factory=dict)
    run_keys: set[str] = field(default_factory=set)

    def commit(self, source: str, pair: PartitionKey, age: timedelta) -> None:
        """End a source's transaction; its row may be older than what others committed before."""
        self.rows[source].setdefault(pair, []).append(self.now - age)

    def read_version(self, source: str, pair: PartitionKey) -> Version | None:
        times = self.rows[source].get(pair)
        return (max(times), len(times)) if times else None

    def read_source(self, source: str) -> FoundVersions:
        """Read what a query finds since the watermark less the overlap, and of the ship dates due since then."""
        since = self.marks[source] - OVERLAP if source in self.marks else None
        return {
            pair: version
            for pair in self.rows[source]
            if (version := self.read_version(source, pair))
            and (since is None or version[0] > since or pair[1] >= since.date())
        }

    def plan(self) -> Plan:
        orders, shipments, snapshots = (self.read_source(source) for source in SOURCES)
        return _plan(orders, shipments, self.ledger, self.attempts, self.now, snapshots)

    def tick(self) -> Plan:
        made = self.plan()
        self.marks |= made.watermarks
        self.attempts = made.attempts
        return made

    def run(self, made: Plan, outcome: str) -> None:
        """Launch what Dagster would: requests whose run key it does not have yet."""
        for request in made.requests:
            assert request.run_key not in self.run_keys, "a request that Dagster would ignore"
            self.run_keys.add(request.run_key)
            for day in request.changed if outcome != "FAILED" else ():
                pair = PartitionKey(request.dc, day)
                orders, shipments, snapshots = (self.read_version(source, pair) for source in SOURCES)
                self.ledger[pair] = Entry(orders, shipments, snapshots, outcome)

    def find_ahead(self) -> set[PartitionKey]:
        """Find the pairs whose sources hold something else than was processed; a snapshot alone is nothing to do."""
        return {
            pair
            for source in SOURCES
            for pair in self.rows[source]
            if (source in WATERMARKED or any(self.read_version(lines, pair) for lines in WATERMARKED))
            and ((entry := self.ledger.get(pair)) is None or self.read_version(source, pair) != getattr(entry, source))
        }


_COMMITS: Final = st.tuples(
    st.sampled_from(SOURCES), st.sampled_from(PAIRS), st.integers(0, 14).map(lambda minutes: minutes * MINUTE)
)
_STEPS: Final = st.tuples(
    st.lists(_COMMITS, max_size=3),
    st.sampled_from([MINUTE, 5 * MINUTE, timedelta(hours=1), timedelta(hours=7)]),
    st.sampled_from(["PUBLISHED", "HELD", "FAILED"]),
)


@given(st.lists(_STEPS, min_size=1, max_size=12))
def test_no_change_is_lost_whatever_fails_and_nothing_is_requested_twice(
    steps: list[tuple[list[tuple[str, PartitionKey, timedelta]], timedelta, str]],
) -> None:
    world = World()
    for commits, passed, outcome in steps:
        for commit in commits:
            world.commit(*commit)
        made = world.tick()
        assert world.plan().requests == (), "planning again at the same time"
        assert world.find_ahead() <= world.attempts.keys()
        world.run(made, outcome)
        world.now += passed
    world.now += timedelta(hours=6)
    world.run(world.tick(), "PUBLISHED")
    assert world.find_ahead() == set()
    assert {entry.state for entry in world.ledger.values()} <= {"PUBLISHED"}
    world.now += timedelta(hours=6)
    assert world.tick().requests == ()
    assert world.attempts == {}
