"""The comparison of DCs on the platform: it comes out as `calculate` has it, and restates what it moved (0353)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import dagster as dg
import polars as pl
import pytest

from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.fillrate import demand_schema, schema
from fillrate_assets.fillrate.defs import network
from fillrate_assets.fillrate.network_store import NetworkStore
from fillrate_assets.fillrate.record_store import RESTATEMENTS, RecordStore
from fillrate_assets.fillrate.rules.network_factor import compute_version
from fillrate_assets.fillrate.rules.network_planner import plan_networks
from fillrate_assets.fillrate.rules.pipeline import calculate
from fillrate_assets.fillrate.sources.contract_files import read_directory
from fillrate_assets.orchestration.partitions import (
    CHANGED_TAG,
    NOTHING_CHANGED,
    RANGE_END_TAG,
    RANGE_START_TAG,
    make_date_tags,
)
from fillrate_assets.sample import fillrate_loader
from fillrate_assets.storage.lake import Lake
from fillrate_assets_tests.factories.fillrate_frames import make_usual_demand
from fillrate_assets_tests.fixtures.home import Home
from fillrate_assets_tests.fixtures.ticks import Ticking

pytestmark = pytest.mark.slow

NOW: Final = datetime(2024, 6, 1, tzinfo=UTC)
DCS: Final = ("DC01", "DC02", "DC03")
DAYS: Final = [date(2024, 5, 6) + timedelta(days=number) for number in range(11)]
LAST: Final = DAYS[-1]
BY_OTHERS: Final = "what other DCs sold that day, or how far the DC follows them, moved"

_MOST_ROUNDS: Final = 6

Quantities = Mapping[tuple[str, date, str], int]


def _make_quantities() -> dict[tuple[str, date, str], int]:
    """Orders that rise and fall at all DCs together, so that each follows the others."""
    return {
        (dc, day, item): 20 if (day.day + number) % 2 else 5
        for dc in DCS
        for day in DAYS
        for number, item in enumerate("AB")
    }


@pytest.fixture
def ticking(tmp_path: Path, instance: dg.DagsterInstance) -> Ticking:
    return Ticking(Home(tmp_path / "home", {"estimate__network_wait_hours": 0}), instance)


def _load(home: Home, folder: Path, quantities: Quantities) -> pl.DataFrame:
    """Load orders that ship in full into a home, and return the records that `calculate` makes of them.

    DC01 is out of A on the last day, and nobody orders it there.
    """
    folder.mkdir(exist_ok=True)
    out = ("DC01", LAST, "A")
    lines = [
        (dc, day, f"{item}{day}", 1, item, n) for (dc, day, item), n in quantities.items() if (dc, day, item) != out
    ]
    snapshots = [(dc, day, item, "N" if (dc, day, item) == out else "Y") for dc, day, item in quantities]
    tables: dict[str, tuple[tuple[str, ...], list[tuple[Any, ...]]]] = {
        "items": (("item", "item_type"), [("A", "STOCK"), ("B", "STOCK")]),
        "order_lines": (("dc", "ship_date", "order_id", "line_no", "item", "ordered_qty"), lines),
        "shipment_lines": (
            ("dc", "ship_date", "order_id", "line_no", "shipped_qty"),
            [(*line[:4], line[5]) for line in lines],
        ),
        "instock_snapshots": (("dc", "snapshot_date", "item", "instock"), snapshots),
    }
    for name, (header, rows) in tables.items():
        text = "".join(",".join(map(str, row)) + "\n" for row in (header, *rows))
        (folder / f"{name}.csv").write_text(text)
    at = NOW + timedelta(minutes=sum(quantities.values()))
    contracts = read_directory(folder, loaded_at=at)
    fillrate_loader.load(home.settings, contracts, loaded_at=at)
    home.__dict__.pop("settings")
    return calculate(contracts.inputs).records


def _read_records(home: Home) -> pl.DataFrame:
    days = [home.store.read_records(dc, day) for dc in DCS for day in DAYS]
    return pl.concat(days).sort(schema.LOST_CASES.key)


def _evaluate(ticking: Ticking) -> list[dg.RunRequest]:
    """Evaluate the sensor of the comparison."""
    sensor = ticking.home.defs.resolve_sensor_def(network.network.__name__)
    with dg.build_sensor_context(ticking.instance, resources=ticking.home.defs.resources) as context:
        return [*(sensor.evaluate_tick(context).run_requests or [])]


def _settle(ticking: Ticking) -> list[tuple[str, str, str | None]]:
    """Run what both sensors request until they request nothing; what was run, in order."""
    ran: list[tuple[str, str, str | None]] = []
    for _ in range(_MOST_ROUNDS):
        orders = ticking.tick().run_requests or []
        ticking.run(orders)
        compared = _evaluate(ticking)
        for request in compared:
            assert ticking.home.run_job(ticking.instance, network.JOB, dict(request.tags)).success
        if not (orders or compared):
            return ran
        for request in (*orders, *compared):
            tags = request.tags
            ran.append((tags[RANGE_START_TAG], tags[RANGE_END_TAG], tags.get(CHANGED_TAG)))
    pytest.fail(f"there is no end of requests: {ran}")


def test_other_dcs_restate_a_day_where_it_matters_and_nowhere_else(ticking: Ticking, tmp_path: Path) -> None:
    home, quantities, files = ticking.home, _make_quantities(), tmp_path / "files"
    # DC03 is late.
    expected = _load(home, files, {key: n for key, n in quantities.items() if key[:2] != ("DC03", LAST)})
    _settle(ticking)
    assert _read_records(home).equals(expected)
    before = expected.row(by_predicate=(pl.col("dc") == "DC01") & (pl.col("network_dcs") > 0), named=True)
    assert (before["item"], before["network_dcs"], before["factor_weight"] > 0) == ("A", 1, True)
    stored = home.read_stored()
    result = home.run_job(ticking.instance, network.JOB, make_date_tags(LAST, LAST))
    (check,) = result.get_asset_check_evaluations()
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert check.description == f"{LAST}: DC03: their day is restated, and that of the others, once they come"
    assert home.read_stored() == stored

    # It comes, and sold more than usual of A, which DC01 had not.
    quantities["DC03", LAST, "A"] = 90
    expected = _load(home, files, quantities)
    assert _settle(ticking) == [
        (f"DC03|{LAST}", f"DC03|{LAST}", f"{LAST}"),
        (f"{LAST}", f"{LAST}", None),
        (f"DC01|{LAST}", f"DC01|{LAST}", NOTHING_CHANGED),
    ]
    assert _read_records(home).equals(expected)
    log = home.store.read_restatements("DC01", LAST, "A")
    assert set(log["cause"]) == {BY_OTHERS}
    assert {"network_factor", "network_dcs", "expected_cases", "method_2_cases"} <= set(log["field"])
    assert home.store.count(RESTATEMENTS) == log.height

    # A correction of B, which was out nowhere, and then of A.
    for item, reached in (("B", {"DC02"}), ("A", {"DC01", "DC02"})):
        quantities["DC02", LAST, item] += 1
        expected = _load(home, files, quantities)
        runs = [first.split("|") for first, _, _ in _settle(ticking)]
        assert {dc for dc, *day in runs if day} == reached, item
        assert _read_records(home).equals(expected)

    # The same again changes nothing and requests nothing.
    stored = home.read_stored()
    assert home.run(ticking.instance, "DC01", DAYS[0], LAST).success
    assert _settle(ticking) == []
    assert home.read_stored() == stored


def test_a_comparison_that_a_dc_overtakes_is_due_again(store: RecordStore, tmp_path: Path) -> None:
    lake, known = Lake(str(tmp_path / "lake")), NetworkStore(store.database)

    def write(dc: str, observed: int) -> None:
        """Store what a DC's run does."""
        rows = make_usual_demand({"dc": dc, "ship_date": LAST, "observed_cases": observed}).collect()
        lake.write(demand_schema.USUAL_DEMAND, rows, [PartitionKey(dc, LAST)])
        named = {"usual_version": pl.lit(compute_version(rows)), "observed_items": pl.lit(1, pl.Int64)}
        known.record_usual(rows.select("dc", "ship_date").with_columns(**named), now=NOW)

    class Overtaken(NetworkStore):
        """DC02 stores other usual demand after its version was read, and before the rows are."""

        def read(
            self, dcs: Sequence[str] | None = None, first: date | None = None, last: date | None = None
        ) -> pl.DataFrame:
            found = super().read(dcs, first, last)
            write("DC02", 30)
            return found

    def find_due() -> tuple[date, ...]:
        return plan_networks(known.read(), now=NOW, wait=timedelta(0)).due

    for dc in DCS:
        write(dc, 10)
    network.compare_dcs(lake, Overtaken(store.database), [LAST], DCS)
    assert find_due() == (LAST,)
    assert network.compare_dcs(lake, known, [LAST], DCS) == {LAST: (3, 1)}
    assert find_due() == ()
    assert network.compare_dcs(lake, known, [LAST], DCS) == {LAST: (3, 0)}
    write("DC02", 30)
    assert find_due() == ()
