"""Numbers are the same whatever they are read from: files, days of the lake, or the history's months (0320, 0321)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.core.table_schema import TableSchema
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.fact_schema import FACTS
from fillrate_assets.fillrate.report.fact_queries import FactQueries
from fillrate_assets.fillrate.report.fact_tables import FrameFacts
from fillrate_assets.fillrate.report.history import (
    MonthKey,
    build_month_path,
    find_due_months,
    read_stored,
    write_history,
)
from fillrate_assets.fillrate.report.methods import Methods
from fillrate_assets.fillrate.report.platform_facts import OpenDays, StoredFacts
from fillrate_assets.fillrate.rules.pipeline import PartitionFilter
from fillrate_assets.fillrate.rules.service_metrics import GROUPINGS, RECORD_GROUPINGS, compute_service
from fillrate_assets.fillrate.schema import PATHS
from fillrate_assets.storage.lake import Lake
from fillrate_assets_tests.fixtures.cloud import Cloud
from fillrate_assets_tests.fixtures.patience import wait_until

DAYS: Final = [date(2024, 1, 30), date(2024, 1, 31), date(2024, 2, 1), date(2024, 2, 2)]
PARTITIONS: Final = [PartitionKey(dc, day) for dc in ("DC01", "DC/2") for day in DAYS]
TIMES: Final = (True, False, None)
BY_METHOD: Final = ("method_1_cases", "method_2_cases")
LATER: Final = datetime(2100, 1, 1, tzinfo=UTC)


RECORD: Final[dict[str, Any]] = {
    "item_type": "STOCK",
    "method_version": 1,
    "baseline_n": 0,
    "baseline_source": "NONE",
    **dict.fromkeys(("contract_committed", "imputed", "phantom_stock", "flag_conflict"), False),
}


def _make_frame(frame: TableSchema, rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    zero = {name: Decimal(0) for name in frame.names if name.endswith("_cases") and name != "baseline_cases"}
    filled = [{name: (zero | dict(row)).get(name) for name in frame.names} for row in rows]
    return pl.DataFrame(filled, schema=frame.polars)


def _draw_lines(draw: st.DrawFn, size: int) -> pl.DataFrame:
    def choose(*values: Any) -> Any:  # noqa: ANN401 - any value
        return draw(st.sampled_from(values))

    rows = []
    for _ in range(size):
        dc, day = choose(*PARTITIONS)
        rows.append(
            {
                "source_table": choose("order_lines", "order_lines", "shipment_lines"),
                "dc": dc,
                "ship_date": day,
                "order_id": choose("O1", "O2", "O3"),
                "customer": choose("C1", "C2", None),
                "item": choose("A", "B", "C"),
                "vendor": choose("V1", "V2", None),
                "department": choose("D1", None),
                "disposition": choose("COUNTED", "COUNTED", "COUNTED", "REJECTED"),
                "reason": choose("no item", None),
                "ordered_cases": choose(Decimal("0.5"), Decimal(3), Decimal(7)),
                "shipped_cases": choose(Decimal(0), Decimal("0.3333"), Decimal(3)),
                "on_time": choose(*TIMES),
            }
        )
    return _make_frame(schema.CLASSIFIED_LINES, rows)


def _draw_records(draw: st.DrawFn) -> pl.DataFrame:
    keys = [(*day, item) for day in PARTITIONS for item in "ABD"]
    rows = []
    for dc, day, item in draw(st.lists(st.sampled_from(keys), unique=True, max_size=12)):
        confirmed, estimated = draw(st.sampled_from([(0, 0), (2, 0), (1, 4), (0, 3)]))
        rows.append(
            {
                "dc": dc,
                "ship_date": day,
                "item": item,
                **RECORD,
                "method_version": draw(st.sampled_from([1, 2])),
                **draw(st.sampled_from([dict.fromkeys(BY_METHOD), dict.fromkeys(BY_METHOD, Decimal(5))])),
                "vendor": draw(st.sampled_from(["V1", "V2", None])),
                "department": "D1",
                "path": draw(st.sampled_from(PATHS)),
                "reason_code": draw(st.sampled_from(["01", "ZZ", None])),
                "confirmed_cases": Decimal(confirmed),
                "estimated_cases": Decimal(estimated),
                "lost_cases": Decimal(confirmed + estimated),
                "contract_lost_cases": Decimal(estimated),
            }
        )
    return _make_frame(schema.LOST_CASES, rows)


@dataclass(frozen=True)
class _Case:
    """Lines and records of some days, and what is requested of them."""

    lines: pl.DataFrame
    records: pl.DataFrame
    by: list[str]
    filters: dict[str, list[str]]
    scope: PartitionFilter

    def query(self, source: FrameFacts | StoredFacts) -> list[pl.DataFrame]:
        """Query everything that a report and a workbook show."""
        queries = FactQueries(source, self.filters, "7d")
        items = schema.ITEMS.make_empty()
        worst = queries.rank_worst_items(items).drop("vendor", "department")
        rejected, orders = queries.count_lines()
        return [
            queries.sum_groups(self.by),
            queries.sum_groups([]),
            worst,
            queries.sum_by_path(),
            queries.list_days().sort("dc", "ship_date"),
            rejected.sort("table", "reason", nulls_last=True),
            pl.DataFrame({"orders": [orders]}),
            pl.DataFrame([vars(queries.sum_methods())]),
        ]

    def of_frames(self) -> FrameFacts:
        return FrameFacts(*(self.scope.filter(frame.lazy()) for frame in (self.lines, self.records)))


@st.composite
def _cases(draw: st.DrawFn) -> _Case:
    first, last = sorted(draw(st.tuples(st.sampled_from(DAYS), st.sampled_from(DAYS))))
    limits = {"vendor": ["V1"], "department": ["D1"], "customer": ["C1", "C2"], "item": ["A", "B"], "path": ["FLOW"]}
    return _Case(
        _draw_lines(draw, draw(st.integers(0, 14))),
        _draw_records(draw),
        draw(st.lists(st.sampled_from(GROUPINGS), max_size=3, unique=True)),
        {name: limits[name] for name in draw(st.lists(st.sampled_from(sorted(limits)), max_size=2, unique=True))},
        PartitionFilter(draw(st.sampled_from([None, ["DC01"]])), first, last),
    )


def _write(lake: Lake, case: _Case, days: Sequence[PartitionKey] = PARTITIONS) -> None:
    for table, rows in ((schema.CLASSIFIED_LINES, case.lines), (schema.LOST_CASES, case.records)):
        wanted = pl.DataFrame(days, schema={"dc": pl.String, "ship_date": pl.Date}, orient="row")
        lake.write(table, rows.join(wanted, on=["dc", "ship_date"], how="semi"), days)


@settings(max_examples=3)
@given(_cases(), _cases())
def test_numbers_are_those_of_the_days_with_history_without_and_with_one_that_is_behind(
    tmp_path_factory: pytest.TempPathFactory, case: _Case, before: _Case
) -> None:
    lake = Lake(str(tmp_path_factory.mktemp("lake [1]")))
    open_days = OpenDays(lake)
    expected = case.query(case.of_frames())

    def compare() -> None:
        source = StoredFacts(lake, read_stored(lake), case.scope, open_days)
        for frame, found in zip(expected, case.query(source), strict=True):
            assert_frame_equal(frame, found)

    _write(lake, before)
    for dc in ("DC01", "DC/2"):
        write_history(lake, dc, LATER)
    behind = PARTITIONS[1:3]
    _write(lake, case, behind + PARTITIONS[4:])
    _write(lake, case, [day for day in PARTITIONS[:4] if day not in behind])
    compare()
    write_history(lake, "DC01", LATER)
    assert {key.dc for key in find_due_months(read_stored(lake))} == {"DC/2"}
    compare()
    write_history(lake, "DC/2", LATER)
    compare()


@settings(max_examples=15)
@given(_cases())
def test_service_of_facts_is_that_of_the_rule(case: _Case) -> None:
    by = [name for name in case.by if name not in RECORD_GROUPINGS]
    limits = {name: values for name, values in case.filters.items() if name not in RECORD_GROUPINGS}
    lines = case.lines.lazy().filter(*[pl.col(name).is_in(values) for name, values in limits.items()])
    rule = compute_service(lines, by).collect()
    found = FactQueries(FrameFacts(case.lines.lazy(), case.records.lazy()), limits).sum_groups(by)
    ordered = found.filter(pl.col("lines") > 0).select(rule.columns)
    assert_frame_equal(rule.filter(pl.col("lines") > 0), ordered)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    made = Lake(str(tmp_path))
    line = {"source_table": "order_lines", "order_id": "O1", "item": "A", "disposition": "COUNTED"}
    amounts = {"ordered_cases": Decimal(2), "shipped_cases": Decimal(1)}
    rows = [{"dc": dc, "ship_date": day, **line, **amounts} for dc, day in PARTITIONS]
    made.write(schema.CLASSIFIED_LINES, _make_frame(schema.CLASSIFIED_LINES, rows), PARTITIONS)
    return made


def test_records_that_are_older_than_method_2_are_read_as_they_are(lake: Lake) -> None:
    row = {**RECORD, "dc": "DC01", "item": "A", "path": "STOCK_OUT", "estimated_cases": Decimal(3)}
    days = [key for key in PARTITIONS if key.dc == "DC01"]
    rows = [{**row, "ship_date": day, **dict.fromkeys(BY_METHOD, Decimal(2))} for _, day in days]
    lake.write(schema.LOST_CASES, _make_frame(schema.LOST_CASES, rows), days)
    older = next(Path(lake.root).glob(f"lost_cases/*/ship_date={DAYS[0]}/*"))
    pl.read_parquet(older, hive_partitioning=False).drop(column.name for column in schema.ESTIMATES).write_parquet(
        older
    )
    write_history(lake, "DC01", LATER)
    source = StoredFacts(lake, read_stored(lake), PartitionFilter(["DC01"], None, None), OpenDays(lake))
    assert FactQueries(source, {}).sum_methods() == Methods(4, 0, 3, Decimal(6), Decimal(6))


def test_a_month_is_written_once_and_again_when_one_of_its_days_changes(lake: Lake) -> None:
    january = MonthKey("DC01", date(2024, 1, 1))
    assert write_history(lake, "DC01", LATER) == {january: 2, MonthKey("DC01", date(2024, 2, 1)): 2}
    assert write_history(lake, "DC01", LATER) == {}
    key = PartitionKey("DC01", DAYS[0])
    lake.write(schema.CLASSIFIED_LINES, lake.read(schema.CLASSIFIED_LINES, [key]).collect(), [key])
    assert write_history(lake, "DC01", LATER) == {january: 2}


def test_the_files_in_force_stay_until_the_new_ones_are_complete(lake: Lake) -> None:
    write_history(lake, "DC01", LATER)
    january = MonthKey("DC01", date(2024, 1, 1))
    before = Path(lake.root, build_month_path("item_facts", january, read_stored(lake).months[january].slot))
    content = before.read_bytes()
    key = PartitionKey("DC01", DAYS[0])
    lake.write(schema.CLASSIFIED_LINES, lake.read(schema.CLASSIFIED_LINES, [key]).collect().clear(), [key])
    write_history(lake, "DC01", LATER)
    assert before.read_bytes() == content
    assert read_stored(lake).months[january].slot not in before.name


def test_a_day_that_was_just_written_waits_for_the_next_time(lake: Lake) -> None:
    assert write_history(lake, "DC01", datetime.now(UTC) - timedelta(hours=1)) == dict.fromkeys(
        [MonthKey("DC01", date(2024, 1, 1)), MonthKey("DC01", date(2024, 2, 1))], 0
    )
    assert read_stored(lake).months == {}


def test_the_files_have_the_columns_that_are_declared(lake: Lake) -> None:
    write_history(lake, "DC01", LATER)
    january = MonthKey("DC01", date(2024, 1, 1))
    slot = read_stored(lake).months[january].slot
    for table, fact in FACTS.items():
        found = pl.read_parquet(
            Path(lake.root, build_month_path(table, january, slot)), hive_partitioning=False, glob=False
        )
        fact.schema.validate(found)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda root: next(root.glob("classified_lines/*/*/*")),
            r"classified_lines/.*cannot be read.*fillrate run --dc",
        ),
        (
            lambda root: next(root.glob("history/dc=DC01/*/line_counts*")),
            "history cannot be read: delete .*/history; reports",
        ),
    ],
)
def test_a_broken_file_is_named_with_what_to_do(lake: Lake, spoil: Callable[[Path], Path], message: str) -> None:
    write_history(lake, "DC01", LATER)
    spoil(Path(lake.root)).write_bytes(b"half a file")
    source = StoredFacts(lake, read_stored(lake), PartitionFilter(), OpenDays(lake))
    with pytest.raises(PermanentFailure, match=message):
        FactQueries(source, {}).count_lines()


def test_a_history_on_s3_is_that_on_disk_is_fetched_anew_when_it_changes_and_named_when_it_is_gone(
    lake: Lake, aws: Cloud
) -> None:
    bucket = aws.create_bucket()
    on_s3 = Lake(f"s3://{bucket}/lake")
    days = [PartitionKey("DC/2", day) for day in DAYS]
    lines = lake.read(schema.CLASSIFIED_LINES, days).collect()
    on_s3.write(schema.CLASSIFIED_LINES, lines, days)
    copies, case = OpenDays(on_s3), _Case(lines, lines, ["dc", "week"], {}, PartitionFilter(["DC/2"]))

    def write() -> list[pl.DataFrame]:
        """Write both histories, and return what a report of the one on S3 has, which is that of the other."""
        for each in (lake, on_s3):
            write_history(each, "DC/2", LATER)
        found, expected = (
            case.query(StoredFacts(each, read_stored(each), case.scope, opened))
            for each, opened in ((on_s3, copies), (lake, OpenDays(lake)))
        )
        for mine, theirs in zip(found, expected, strict=True):
            assert_frame_equal(mine, theirs)
        return found

    (total,) = write()[1].select("ordered_cases", "shipped_cases").rows()
    assert total == (8, 4)
    key, before = days[0], on_s3.list_write_times(schema.CLASSIFIED_LINES)
    restated = lines.filter(dc=key.dc, ship_date=key.ship_date).with_columns(shipped_cases=pl.col("ordered_cases"))
    lake.write(schema.CLASSIFIED_LINES, restated, [key])

    def is_newer() -> bool:
        # S3 knows seconds.
        on_s3.write(schema.CLASSIFIED_LINES, restated, [key])
        return on_s3.list_write_times(schema.CLASSIFIED_LINES)[key] != before[key]

    wait_until(is_newer)
    (total,) = write()[1].select("ordered_cases", "shipped_cases").rows()
    assert total == (8, 5)
    month = MonthKey("DC/2", date(2024, 1, 1))
    gone = build_month_path("line_counts", month, read_stored(on_s3).months[month].slot)
    aws.make_client("s3").delete_object(Bucket=bucket, Key=f"lake/{gone}")
    assert write()
    with pytest.raises(PermanentFailure, match=rf"{gone} is not there any more: delete s3://{bucket}/lake/history"):
        case.query(StoredFacts(on_s3, read_stored(on_s3), case.scope, OpenDays(on_s3)))


def test_a_period_without_days_has_no_facts(lake: Lake) -> None:
    source = StoredFacts(lake, read_stored(lake, []), PartitionFilter(), OpenDays(lake))
    rejected, orders = FactQueries(source, {}).count_lines()
    assert (rejected.height, orders) == (0, 0)
