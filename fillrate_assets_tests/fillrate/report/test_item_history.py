"""Items that are short again and again, as pages rank them, against the records themselves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fillrate_assets import settings
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.report.item_history import CHRONIC_DAYS
from fillrate_assets.fillrate.report.report_request import PlatformReports, ReportRequest
from fillrate_assets.storage.lake import Lake
from fillrate_assets_tests.conftest import SMALL

LAST = SMALL.last


@pytest.fixture(scope="module")
def reports(published_template: Path) -> PlatformReports:
    """Reports of a network in which all is published."""
    return PlatformReports.from_settings(settings.load(home=published_template))


def rank_by_hand(records: Sequence[Mapping[str, Any]], last: date) -> list[tuple[Any, ...]]:
    """Return dc, item, days short, ship days and lost cases, most days first."""
    days: dict[str, set[date]] = defaultdict(set)
    short: dict[tuple[str, str], set[date]] = defaultdict(set)
    lost: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for row in records:
        if last - timedelta(days=60) <= row["ship_date"] <= last:
            days[row["dc"]].add(row["ship_date"])
    counted = {dc: sorted(of_dc)[-CHRONIC_DAYS:] for dc, of_dc in days.items()}
    for row in records:
        if row["ship_date"] in counted.get(row["dc"], ()) and row["lost_cases"] > 0:
            short[row["dc"], row["item"]].add(row["ship_date"])
            lost[row["dc"], row["item"]] += row["lost_cases"]
    ranked = sorted(short, key=lambda key: (-len(short[key]), -lost[key], *key))
    return [(*key, len(short[key]), len(counted[key[0]]), lost[key], max(short[key])) for key in ranked]


@pytest.mark.parametrize("last", [LAST, LAST - timedelta(days=9)])
@pytest.mark.parametrize("dcs", [[], ["DC02"]])
def test_chronic_items_are_short_on_most_of_their_dcs_last_ship_days(
    reports: PlatformReports, last: date, dcs: list[str]
) -> None:
    records = reports.facts.lake.scan(schema.LOST_CASES, dcs or None).collect().to_dicts()
    expected = rank_by_hand(records, last)
    columns = ("dc", "item", "days_short", "ship_days", "lost_cases", "last_short")
    # A customer is no name of a record: what is limited to one shows the items of all.
    request = ReportRequest(first=last, last=last, filters={"dc": dcs, "customer": ["C1"]})
    assert len(expected) > len(SMALL.dc_codes)
    assert reports.read_chronic_items(request).select(columns).rows() == expected
    assert reports.read_chronic_items(request, limit=3).select(columns).rows() == expected[:3]


def test_filters_leave_the_ship_days_of_the_dc(reports: PlatformReports) -> None:
    records = Lake(reports.facts.lake.root).scan(schema.LOST_CASES).collect().to_dicts()
    vendor = next(row["vendor"] for row in records if row["lost_cases"] > 0)
    found = reports.read_chronic_items(ReportRequest(filters={"vendor": [vendor]}))
    ship_days = {dc: days for dc, _, _, days, _, _ in rank_by_hand(records, LAST)}
    assert found["vendor"].unique().to_list() == [vendor]
    assert all(ship_days[row["dc"]] == row["ship_days"] for row in found.rows(named=True))
