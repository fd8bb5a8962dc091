"""The main job through Dagster over the sample network: what it stores, shows, holds and refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
import sqlalchemy as sa

from fillrate_assets.core import decimals
from fillrate_assets.core.partition_key import PartitionKey, list_dates
from fillrate_assets.definitions import JOB
from fillrate_assets.fillrate.defs import assets, metadata
from fillrate_assets.fillrate.record_store import RECORDS, RESTATEMENTS
from fillrate_assets.fillrate.schema import ITEM_DAYS
from fillrate_assets.notifications.outbox import OUTBOX
from fillrate_assets.orchestration import partitions
from fillrate_assets.orchestration.ui_metadata import split_by_day
from fillrate_assets.sample.network import Network
from fillrate_assets.storage import sql
from fillrate_assets_tests.conftest import SMALL, TINY, clear_environment, copy_home
from fillrate_assets_tests.fixtures.home import QUIET, Home
from fillrate_assets_tests.fixtures.instances import open_in_memory

pytestmark = pytest.mark.slow

PARTITIONED = sorted(asset.key.path[-1] for asset in assets.ASSETS if asset is not assets.items)
TABLES = {key.path[-1]: table for key, table in assets.TABLES.items()}
AROUND_SUNDAY = Network(seed=1, dcs=2, items=100, days=4, last=date(2026, 2, 16))
DAYS = list_dates(AROUND_SUNDAY.first, AROUND_SUNDAY.last)
HELD_DC, HELD_DAY = SMALL.snapshot_gap


@dataclass(frozen=True)
class MainRun:
    """One run over a range around the held day, and what Dagster keeps of it."""

    home: Home
    instance: dg.DagsterInstance
    result: dg.ExecuteInProcessResult
    days: list[date]

    @property
    def keys(self) -> list[str]:
        return [f"{HELD_DC}|{day}" for day in self.days]

    def read_metadata(self, asset: str) -> dict[str | None, Mapping[str, dg.MetadataValue]]:
        """Read what the UI shows of an asset, by partition."""
        events = self.result.asset_materializations_for_node(f"{assets.AREA}__{asset}")
        return {event.partition: event.metadata for event in events}


@pytest.fixture(scope="module")
def ran(network_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MainRun]:
    """Made once: tests only read it."""
    home = Home(copy_home(network_template, tmp_path_factory.mktemp("ran")))
    # From a day with rejects, over a Sunday, when nothing ships.
    days = [HELD_DAY + timedelta(days=offset) for offset in range(-5, 2)]
    with open_in_memory() as instance:
        with pytest.MonkeyPatch.context() as monkeypatch:
            clear_environment(monkeypatch)
            result = home.run(instance, HELD_DC, days[0], days[-1])
        yield MainRun(home, instance, result, days)


@pytest.fixture(scope="module")
def two_days_template(network_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of which two ship days of a DC are published. Tests take copies."""
    home = Home(copy_home(network_template, tmp_path_factory.mktemp("two days")))
    with pytest.MonkeyPatch.context() as monkeypatch, open_in_memory() as instance:
        clear_environment(monkeypatch)
        home.run(instance, "DC01", *SMALL.ship_days[:2])
    return home.directory


@pytest.fixture
def two_days(two_days_template: Path, tmp_path: Path) -> Home:
    return Home(copy_home(two_days_template, tmp_path))


def _list_evaluations(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    """The verdicts on the run as a whole."""
    found = [each for each in result.get_asset_check_evaluations() if each.partition is None]
    return {f"{each.asset_key.path[-1]}.{each.check_name}": each for each in found}


def _list_materialized(result: dg.ExecuteInProcessResult) -> set[str]:
    return {event.asset_key.path[-1] for event in result.get_asset_materialization_events() if event.asset_key}


def _change(home: Home, system: str, statement: str, **values: object) -> None:
    """Change a system behind the platform's back."""
    with sql.get_engine(
        home.settings.storage.record_store_url
        if system == "record_store"
        else getattr(home.settings.sources, f"{system}_url")
    ).begin() as connection:
        assert connection.execute(sa.text(statement), values).rowcount


def _read_lake(home: Home, asset: str) -> pl.DataFrame:
    return home.lake.scan(TABLES[asset]).collect()


def test_every_asset_is_materialized_for_every_partition_of_the_range(ran: MainRun) -> None:
    assert ran.result.success
    for name in PARTITIONED:
        assert ran.instance.get_materialized_partitions(dg.AssetKey([assets.AREA, name])) == set(ran.keys)
        assert sorted(str(key) for key in ran.read_metadata(name)) == ran.keys
    assert list(ran.read_metadata("items")) == [None]


def test_the_lake_holds_a_file_for_every_partition_that_could_be_judged(ran: MainRun) -> None:
    for name, frame in TABLES.items():
        if name != "items":
            held = {HELD_DAY} if name == "lost_cases" else set()
            # The averages look back on days that no run has computed.
            first = SMALL.first if name == "item_days" else ran.days[0]
            days = [day for day in list_dates(first, ran.days[-1]) if day not in held]
            assert ran.home.lake.list_partitions(frame) == [(HELD_DC, day) for day in days]
            frame.validate(_read_lake(ran.home, name))


def test_lost_cases_show_a_buyer_how_much_why_and_which_items(ran: MainRun) -> None:
    shown_of = ran.read_metadata("lost_cases")
    for pair, records in split_by_day(_read_lake(ran.home, "lost_cases")).items():
        expected = metadata.summarize_lost_cases(records)
        shown = {name: getattr(value, "value", value) for name, value in shown_of[partitions.make_key(*pair)].items()}
        shown.pop("in_doubt", None)
        assert shown == {name: getattr(value, "value", value) for name, value in expected.items()}
    day = shown_of[f"{HELD_DC}|{HELD_DAY + timedelta(days=1)}"]
    assert day.keys() >= {
        "dagster/partition_row_count",
        "ordered_cases",
        "shipped_cases",
        "lost_cases",
        "fill_rate_percent",
        "lost_by_path",
        "lost_by_path_chart",
        "ten_worst_items",
    }
    by_path, worst = day["lost_by_path"], day["ten_worst_items"]
    assert isinstance(by_path, dg.TableMetadataValue)
    assert isinstance(worst, dg.TableMetadataValue)
    assert sum(_get_number(row.data["lost"]) for row in by_path.records) == pytest.approx(day["lost_cases"].value)
    losses = [_get_number(row.data["lost"]) for row in worst.records]
    assert losses == sorted(losses, reverse=True)
    assert 0 < len(losses) <= 10


def _get_number(value: object) -> float:
    assert isinstance(value, float)
    return value


def test_each_partition_shows_its_own_rows(ran: MainRun) -> None:
    for name in ("orders", "shipments", "classified_lines", "item_days", "lost_cases", "fill_rates"):
        parts = split_by_day(_read_lake(ran.home, name))
        rows = {str(partitions.make_key(dc, day)): part.height for (dc, day), part in parts.items()}
        published = {key: each for key, each in ran.read_metadata(name).items() if "held" not in each}
        shown_of = {key: each["dagster/partition_row_count"].value for key, each in published.items()}
        assert shown_of == {key: rows.get(str(key), 0) for key in published}
        assert len(set(shown_of.values())) > 1, "days as alike as these show nothing"


def test_a_day_without_a_snapshot_is_held_by_name_and_the_others_are_published(ran: MainRun) -> None:
    check = _list_evaluations(ran.result)["lost_cases.held_days"]
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert str(check.description).startswith(f"{HELD_DC} {HELD_DAY}: no instock snapshot for the day: re-deliver")
    assert ran.home.store.read_records(HELD_DC, HELD_DAY).is_empty()
    ledger = {day: (state, reason) for _, day, *_, state, reason, _, _ in ran.home.store.read_ledger().iter_rows()}
    expected = dict.fromkeys(ran.days, ("PUBLISHED", None))
    assert ledger == expected | {HELD_DAY: ("HELD", "no instock snapshot for the day")}
    key = f"{HELD_DC}|{HELD_DAY}"
    assert ran.read_metadata("lost_cases")[key]["held"].value == "no instock snapshot for the day"
    assert ran.read_metadata("published_records")[key]["state"].value == "HELD: no instock snapshot for the day"
    assert [each for each, shown_of in ran.read_metadata("lost_cases").items() if "held" in shown_of] == [key]


def test_numbers_in_the_ui_have_what_is_in_doubt_of_them_beside_them(ran: MainRun) -> None:
    lines = split_by_day(_read_lake(ran.home, "classified_lines"))
    rejected = {
        str(partitions.make_key(*day)): rows.filter(disposition="REJECTED").height for day, rows in lines.items()
    }
    assert any(rejected.values())
    for name in ("lost_cases", "fill_rates"):
        for key, shown in ran.read_metadata(name).items():
            in_doubt = str(shown["in_doubt"].value) if "in_doubt" in shown else ""
            assert ("rejected: " in in_doubt) == bool(rejected.get(str(key))), (name, key)
    held = partitions.make_key(*SMALL.snapshot_gap)
    assert "no instock snapshot for the day" in str(ran.read_metadata("lost_cases")[held]["in_doubt"].value)


def test_every_other_check_of_good_data_passes_or_only_warns(ran: MainRun) -> None:
    checks = _list_evaluations(ran.result)
    assert sorted(checks) == [
        "classified_lines.contract",
        "classified_lines.reject_rate",
        "fill_rates.contract",
        "item_days.contract",
        "lost_cases.baseline_coverage",
        "lost_cases.contract",
        "lost_cases.flag_conflicts",
        "lost_cases.held_days",
        "lost_cases.phantom_stock",
        "published_records.reconciliation",
        "rolling_averages.contract",
        "usual_demand.contract",
        "weekday_indices.contract",
    ]
    errors = [name for name, each in checks.items() if not each.passed and each.severity == dg.AssetCheckSeverity.ERROR]
    assert errors == ["lost_cases.held_days"]


def test_people_are_notified_of_a_held_day_once(
    tiny_template: Path, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    home, (dc, day) = Home(copy_home(tiny_template, tmp_path)), TINY.snapshot_gap
    for _ in range(2):
        home.run(instance, dc, day)
    (message,) = home.read_stored()[OUTBOX.name]
    assert message == (
        f"{dc} {day} is held",
        (
            "no instock snapshot for the day; there are no records for that day\n"
            "To do: have the feed corrected or delivered again. The sensor tries the day again; or run it: "
            f"fillrate run --dc {dc} --from {day} --to {day}"
        ),
        None,
    )


@pytest.fixture(scope="module")
def at_once_and_one_by_one(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, Home]:
    """The same days as one run, and as a run for each; tests only read them."""
    directory = tmp_path_factory.mktemp("days")
    with pytest.MonkeyPatch.context() as monkeypatch, open_in_memory() as instance:
        clear_environment(monkeypatch)
        at_once = Home(directory / "home")
        at_once.generate(AROUND_SUNDAY)
        one_by_one = Home(copy_home(at_once.directory, directory / "one by one"))
        at_once.run(instance, "DC01", DAYS[0], DAYS[-1])
        job = one_by_one.defs.resolve_job_def(JOB)
        for day in DAYS:
            job.execute_in_process(
                run_config=QUIET, instance=instance, partition_key=str(partitions.make_key("DC01", day))
            )
    return at_once, one_by_one


@pytest.fixture
def few_days(at_once_and_one_by_one: tuple[Home, Home], tmp_path: Path) -> Home:
    """Days that are published."""
    at_once, _ = at_once_and_one_by_one
    return Home(copy_home(at_once.directory, tmp_path))


def test_a_range_in_one_run_and_each_day_in_its_own_give_the_same_records(
    at_once_and_one_by_one: tuple[Home, Home],
) -> None:
    at_once, one_by_one = at_once_and_one_by_one
    assert at_once.store.count(RECORDS) > 0
    assert one_by_one.read_stored()[RECORDS.name] == at_once.read_stored()[RECORDS.name]
    for name in sorted(set(TABLES) - {"classified_lines"}):
        order = TABLES[name].names
        assert _read_lake(one_by_one, name).sort(order).equals(_read_lake(at_once, name).sort(order)), name


def test_a_range_in_one_run_and_each_day_in_its_own_give_the_same_rejects(
    at_once_and_one_by_one: tuple[Home, Home],
) -> None:
    at_once, one_by_one = at_once_and_one_by_one
    assert one_by_one.read_stored() == at_once.read_stored()


def test_running_again_changes_nothing(few_days: Home, instance: dg.DagsterInstance) -> None:
    before = few_days.read_stored(without=set())
    again = few_days.run(instance, "DC01", DAYS[0], DAYS[-1])
    assert few_days.read_stored(without=set()) == before
    shown_of = [event.metadata for event in again.asset_materializations_for_node("fillrate__published_records")]
    assert [(each["changed"].value, each["restated_values"].value) for each in shown_of] == [(False, 0)] * len(DAYS)


def test_only_changed_days_are_read_again_and_their_dependants_are_judged_again(
    few_days: Home, instance: dg.DagsterInstance
) -> None:
    first, *_, last = DAYS
    result = few_days.run(instance, "DC01", first, last, changed=[first])
    # Dagster counts the whole range as materialized; what is shown of a day is what was done for it.
    events = {name: result.asset_materializations_for_node(f"{assets.AREA}__{name}") for name in PARTITIONED}
    shown_of = {
        name: sum("dagster/partition_row_count" in event.metadata for event in of_asset)
        for name, of_asset in events.items()
    }
    assert {len(of_asset) for of_asset in events.values()} == {len(DAYS)}
    assert shown_of == {
        **dict.fromkeys(("orders", "shipments", "instock_snapshots", "classified_lines", "item_days", "fill_rates"), 1),
        **dict.fromkeys(("rolling_averages", "weekday_indices", "usual_demand", "lost_cases"), len(DAYS)),
        "published_records": 0,
    }


def test_a_held_day_keeps_its_last_good_records(two_days: Home, instance: dg.DagsterInstance) -> None:
    day = SMALL.ship_days[0]
    good = two_days.read_stored()
    _change(
        two_days,
        "instock_warehouse",
        "UPDATE instock_snapshots SET snapshot_date = '1999-01-01' WHERE dc = 'DC01' AND snapshot_date = :day",
        day=day,
    )
    result = two_days.run(instance, "DC01", day)
    check = _list_evaluations(result)["lost_cases.held_days"]
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert {name for name, rows in two_days.read_stored().items() if rows != good[name]} == {"ledger", "outbox"}
    assert two_days.store.read_ledger()["state"].to_list() == ["HELD", "PUBLISHED"]
    assert _list_evaluations(result)["published_records.reconciliation"].passed


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE lost_cases SET ordered_cases = ordered_cases + 1 WHERE rowid = (SELECT min(rowid) FROM lost_cases)",
        "UPDATE lost_cases SET shipped_cases = shipped_cases + 1 WHERE rowid = (SELECT min(rowid) FROM lost_cases)",
        "DELETE FROM lost_cases WHERE ordered_cases > 0",
    ],
)
def test_records_changed_by_hand_do_not_reconcile(two_days: Home, instance: dg.DagsterInstance, statement: str) -> None:
    day = SMALL.ship_days[0]
    _change(two_days, "record_store", statement)
    check = _list_evaluations(two_days.run(instance, "DC01", day))["published_records.reconciliation"]
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert str(check.description).startswith(f"DC01 {day}: ")
    assert two_days.store.count(RESTATEMENTS) == 0


def _spoil(home: Home, day: date) -> None:
    """Every order line of a day becomes unreadable."""
    statement = "UPDATE order_lines SET ordered_qty = '12x' WHERE dc = 'DC01' AND ship_date = :day"
    _change(home, "order_system", statement, day=str(day))


def test_a_run_of_unusable_days_stops_before_anything_is_summed(
    network_home: Home, instance: dg.DagsterInstance
) -> None:
    day = SMALL.ship_days[0]
    _spoil(network_home, day)
    result = network_home.run(instance, "DC01", day, raise_on_error=False)
    assert not result.success
    check = _list_evaluations(result)["classified_lines.reject_rate"]
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert _list_materialized(result) == {"orders", "shipments", "instock_snapshots", "items", "classified_lines"}
    assert network_home.store.read_ledger().is_empty()


def test_an_unusable_day_among_good_ones_is_held_and_the_run_goes_on(
    network_home: Home, instance: dg.DagsterInstance
) -> None:
    bad, good = SMALL.ship_days[:2]
    _spoil(network_home, bad)
    result = network_home.run(instance, "DC01", bad, good)
    check = _list_evaluations(result)["classified_lines.reject_rate"]
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    ledger = network_home.store.read_ledger()
    assert ledger["state"].to_list() == ["HELD", "PUBLISHED"]
    assert "order lines were rejected" in ledger["reason"][0]


Damage = Callable[[pl.DataFrame], pl.DataFrame]


def _run_contract(
    home: Home, instance: dg.DagsterInstance, asset: str, damage: Damage
) -> tuple[dg.ExecuteInProcessResult, list[dg.AssetCheckEvaluation]]:
    """Damage one day's file of two and run the contract check of its asset, alone."""
    first, second = SMALL.ship_days[:2]
    instance.add_dynamic_partitions("dc", SMALL.dc_codes)
    (file,) = Path(home.settings.storage.lake_root).glob(f"{asset}/dc=DC01/ship_date={first}/*.parquet")
    damage(pl.read_parquet(file)).write_parquet(file)
    key = dg.AssetCheckKey(dg.AssetKey([assets.AREA, asset]), "contract")
    everything = home.defs.resolve_implicit_global_asset_job_def()
    job = everything.get_subset(asset_selection=set(), asset_check_selection={key})
    tags = partitions.make_range_tags("DC01", first, second)
    result = job.execute_in_process(run_config=QUIET, instance=instance, tags=tags, raise_on_error=False)
    return result, [each for each in result.get_asset_check_evaluations() if each.partition is None]


@pytest.mark.parametrize(
    ("asset", "damage", "problem"),
    [
        pytest.param(
            "lost_cases",
            lambda rows: pl.concat([rows, rows.head(1)]),
            "2 rows share their key ('dc', 'ship_date', 'item')",
            id="a record twice",
        ),
        pytest.param(
            "lost_cases",
            lambda rows: rows.with_columns(lost_cases=(pl.col("lost_cases") + 1).cast(decimals.CASES)),
            "records that break O = S + confirmed or lost = confirmed + estimated",
            id="lost cases that do not add up",
        ),
        pytest.param(
            "item_days",
            lambda rows: rows.with_columns(shipped_cases=pl.lit(Decimal(-1), decimals.CASES)),
            "rows with negative shipped_cases",
            id="negative cases",
        ),
        pytest.param(
            "classified_lines",
            lambda rows: rows.with_columns(disposition=pl.lit(None, pl.String)),
            "rows without disposition",
            id="a required value absent",
        ),
    ],
)
def test_a_file_damaged_by_hand_breaks_its_contract(
    two_days: Home, instance: dg.DagsterInstance, asset: str, damage: Damage, problem: str
) -> None:
    _, (evaluation,) = _run_contract(two_days, instance, asset, damage)
    assert (evaluation.passed, evaluation.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert evaluation.blocking
    assert problem in str(evaluation.description)
    assert str(evaluation.description).startswith(f"DC01 {SMALL.ship_days[0]}: ")


def test_an_undamaged_file_keeps_its_contract(two_days: Home, instance: dg.DagsterInstance) -> None:
    _, (evaluation,) = _run_contract(two_days, instance, "lost_cases", lambda rows: rows)
    assert (evaluation.passed, evaluation.description) == (True, None)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda rows: rows.with_columns(pl.col("ordered_cases").cast(pl.Float64)), id="a float"),
        pytest.param(lambda rows: rows.drop("shipped_cases"), id="a column absent"),
    ],
)
def test_a_file_of_other_columns_is_not_read_at_all(
    two_days: Home, instance: dg.DagsterInstance, damage: Damage
) -> None:
    result, evaluations = _run_contract(two_days, instance, "item_days", damage)
    assert not result.success
    assert evaluations == []


def test_a_file_that_is_no_parquet_is_computed_again_and_leaves_the_records(
    two_days: Home, instance: dg.DagsterInstance
) -> None:
    first, second = SMALL.ship_days[:2]
    before = two_days.read_stored()
    (file,) = Path(two_days.settings.storage.lake_root).glob(f"item_days/dc=DC01/ship_date={first}/*.parquet")
    file.write_bytes(b"half a file")
    assert two_days.run(instance, "DC01", second).success
    assert two_days.read_stored() == before
    assert two_days.lake.read(ITEM_DAYS, [PartitionKey("DC01", first)]).collect().height
