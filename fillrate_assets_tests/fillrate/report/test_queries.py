"""What the platform's numbers are in doubt of: ledger, lake and rejects together."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl

from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.record_store import LEDGER
from fillrate_assets.fillrate.report.doubts import LAST_GOOD, UNPUBLISHED, summarize_rejects
from fillrate_assets.fillrate.report.explain import explain
from fillrate_assets.fillrate.report.platform_facts import PlatformFacts
from fillrate_assets.fillrate.report.queries import read_evidence_from_lake
from fillrate_assets.fillrate.report.service_report import Facts
from fillrate_assets.fillrate.rules.pipeline import PartitionFilter
from fillrate_assets_tests.conftest import SMALL
from fillrate_assets_tests.fixtures.home import Home

DC, HELD_DAY = SMALL.snapshot_gap
DAY = next(day for day in SMALL.ship_days if day != HELD_DAY)


def _read(home: Home, scope: PartitionFilter | None = None) -> Facts:
    facts, _ = PlatformFacts(home.settings).read(scope or PartitionFilter())
    return facts


def _set_ledger(home: Home, day: date, **values: object) -> None:
    with home.store.database.begin() as connection:
        changed = connection.execute(
            LEDGER.update().where(LEDGER.c.dc == DC, LEDGER.c.ship_date == day).values(**values)
        )
        assert changed.rowcount == 1


def test_a_report_of_the_platform_has_its_rejects_and_held_days(published_home: Home) -> None:
    doubts = _read(published_home).doubts
    lines = published_home.lake.scan(schema.CLASSIFIED_LINES).collect()
    expected = dict(lines.filter(disposition="REJECTED").group_by("source_table").len().iter_rows())
    found = {each.table: each for each in summarize_rejects(doubts)}
    assert {table: each.rows for table, each in found.items()} == expected
    ledger = published_home.store.read_ledger()
    assert found["order_lines"].read == lines.filter(source_table="order_lines").height
    assert found["shipment_lines"].read == ledger["shipments_lines"].sum()
    assert doubts.held == {(DC, HELD_DAY): "no instock snapshot for the day"}
    assert doubts.doubtful == {}


def test_doubts_of_the_platform_are_those_of_the_days_that_are_shown(published_home: Home) -> None:
    doubts = _read(published_home, PartitionFilter([DC], DAY, DAY)).doubts
    of_day = published_home.lake.read(schema.CLASSIFIED_LINES, [PartitionKey(DC, DAY)]).collect()
    assert sum(each.rows for each in summarize_rejects(doubts)) == of_day.filter(disposition="REJECTED").height
    assert doubts.held == {}


def test_rows_that_a_loader_could_not_place_count_in_every_report_that_they_may_belong_to(published_home: Home) -> None:
    row = {"table": "items", "dc": None, "ship_date": None, "key": "A", "reason": "no item", "raw": "{}"}
    elsewhere = {**row, "table": "waivers", "dc": "DC99"}
    rejects = pl.DataFrame([row, elsewhere], schema=schema.REJECTS.polars)
    published_home.store.add_rejects(rejects, run_id="load")
    found = {each.table: each.rows for each in summarize_rejects(_read(published_home, PartitionFilter([DC])).doubts)}
    assert found["items"] == 1
    assert "waivers" not in found


def test_a_published_day_with_a_reason_is_doubtful(published_home: Home) -> None:
    _set_ledger(published_home, DAY, reason="2 of 9 shipment lines were rejected")
    assert _read(published_home).doubts.doubtful == {(DC, DAY): "2 of 9 shipment lines were rejected"}


def test_a_report_names_the_days_in_doubt_behind_its_averages(published_home: Home) -> None:
    after = min(day for day in SMALL.ship_days if day > HELD_DAY)
    doubts = _read(published_home, PartitionFilter([DC], after, after)).doubts
    assert doubts.held == {}
    assert doubts.behind == {(DC, HELD_DAY): "held: no instock snapshot for the day"}


def test_a_held_day_whose_last_good_records_count_says_so(published_home: Home) -> None:
    _set_ledger(published_home, DAY, state="HELD", reason="3 of 9 items have no instock record")
    doubts = _read(published_home, PartitionFilter([DC], DAY, DAY)).doubts
    assert doubts.held == {(DC, DAY): f"3 of 9 items have no instock record{LAST_GOOD}"}
    assert doubts.last_good == {(DC, DAY)}


def test_a_day_that_was_computed_and_never_published_is_doubtful(published_home: Home) -> None:
    with published_home.store.database.begin() as connection:
        connection.execute(LEDGER.delete().where(LEDGER.c.dc == DC, LEDGER.c.ship_date == DAY))
    assert _read(published_home).doubts.doubtful == {(DC, DAY): UNPUBLISHED}


def test_a_day_that_a_stopped_run_left_newer_in_the_lake_is_judged_by_what_is_there(published_home: Home) -> None:
    key = PartitionKey(DC, DAY)
    lines = published_home.lake.read(schema.CLASSIFIED_LINES, [key]).collect()
    published_home.lake.write(schema.CLASSIFIED_LINES, lines.with_columns(disposition=pl.lit("REJECTED")), [key])
    _set_ledger(published_home, DAY, published_at=datetime.now(UTC).replace(tzinfo=None) - timedelta(hours=1))
    held = _read(published_home).doubts.held
    assert " order lines were rejected" in held[key]


def test_an_explanation_of_the_platform_has_the_doubts_of_its_day_and_of_those_behind_it(published_home: Home) -> None:
    records = published_home.lake.scan(schema.LOST_CASES).filter(
        pl.col("dc") == DC, pl.col("baseline_source") == "W7", pl.col("path") == "STOCK_OUT"
    )
    record = records.sort("ship_date", "item").tail(1).collect().row(0, named=True)
    day = record["ship_date"]
    behind = max(each for each in SMALL.ship_days if each < day)
    _set_ledger(published_home, day, reason="2 of 9 shipment lines were rejected")
    _set_ledger(published_home, behind, reason="1 of 9 order lines were rejected")
    evidence = read_evidence_from_lake(published_home.settings, DC, day, record["item"])
    text = explain(DC, day, record["item"], *evidence)
    assert f"\ndoubtful: {DC}, {day}: 2 of 9 shipment lines were rejected\n" in text
    (row,) = [line for line in text.splitlines() if f" {behind} " in line]
    assert row.endswith("; doubtful: 1 of 9 order lines were rejected")
