"""The buyers' pages over HTTP: what they show, to whom, and that their numbers are those of `fillrate report`."""

from __future__ import annotations

import csv
import io
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from html import unescape
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpx
import openpyxl
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from fillrate_assets import settings
from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.record_store import RESTATEMENTS
from fillrate_assets.fillrate.report import labels
from fillrate_assets.fillrate.report.explain import explain
from fillrate_assets.fillrate.report.queries import read_evidence_from_lake
from fillrate_assets.fillrate.report.report_request import PlatformReports, ReportRequest
from fillrate_assets.fillrate.report.service_report import Report
from fillrate_assets.fillrate.schema import PATHS
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.lake import Lake
from fillrate_assets.web.buyers.addresses import MAX_QUERY, MAX_VALUES, decode_value, encode_value
from fillrate_assets.web.buyers.tables import MOST_ROWS
from fillrate_assets_tests.conftest import SMALL
from fillrate_assets_tests.factories.fillrate_frames import make_counted_lines, make_items
from fillrate_assets_tests.factories.rows import make_records
from fillrate_assets_tests.factories.service import LAST, WEEKS, Service
from fillrate_assets_tests.fixtures.embedded import create_database

HOSTILE: Final = '=1+"><script>alert(1)</script>'
KIND_TABLES: Final = {
    "dcs": "dc",
    "vendors": "vendor",
    "departments": "department",
    "customers": "customer",
    "items": "item",
}
HEADINGS: Final = {
    "Lost": "lost_cases",
    "Lost before": "lost_cases_before",
    "Lost change": "lost_cases_change",
    "Confirmed": "confirmed_cases",
    "Estimated": "estimated_cases",
    "Lost on contract": "contract_lost_cases",
    "Ordered": "ordered_cases",
    "Shipped": "shipped_cases",
    "Case fill": "case_fill_rate",
    "Case fill change (points)": "case_fill_rate_change",
    "Line fill": "line_fill_rate",
    "Order fill": "order_fill_rate",
    "Order fill, of orders with its items": "order_fill_rate",
    "On time": "on_time_rate",
    "OTIF": "otif_rate",
    "OTIF, of orders with its items": "otif_rate",
}


@pytest.fixture(scope="module")
def service(published_template: Path) -> Service:
    """Pages over the published network; they only read."""
    return Service(settings.load(home=published_template), max_age_seconds=3600)


@pytest.fixture(scope="module")
def buyer(service: Service) -> httpx.Client:
    """A buyer's browser."""
    return service.open("buyer")


def read_text(reply: httpx.Response) -> str:
    """Read what a page says, without its markup."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", reply.text)).split())


def read_rows(reply: httpx.Response) -> list[dict[str, str]]:
    """Read a table that was sent as CSV."""
    assert reply.status_code == 200, read_text(reply)
    return list(csv.DictReader(io.StringIO(reply.content.decode("utf-8-sig"))))


def read_workbook(reply: httpx.Response) -> list[tuple[Any, ...]]:
    """Read the lines of a table that was sent as a workbook, its heading first."""
    assert reply.status_code == 200, read_text(reply)
    book = openpyxl.load_workbook(io.BytesIO(reply.content))
    assert book.active is not None
    return list(book.active.iter_rows(values_only=True))


# --- what


def test_the_network_page_says_how_it_is_against_before_and_who_is_accountable(buyer: httpx.Client) -> None:
    text = read_text(buyer.get("/service"))
    assert "Mon 16 Feb 2026 to Sun 15 Mar 2026" in text
    for heading in ("Case fill", "OTIF", "Lost", "Confirmed", "By DC", "Who is accountable", "Items that lost most"):
        assert heading in text
    assert "held: " in text


def test_from_the_network_to_a_dc_to_a_vendor_to_an_item_filters_combine(buyer: httpx.Client) -> None:
    page = buyer.get("/service")
    for kind in ("dc", "vendor"):
        found = re.search(rf'<a href="([^"]*/service/{kind}/[^"]*)"', page.text)
        assert found is not None
        page = buyer.get(unescape(found[1]))
        assert page.status_code == 200
    assert "dc=DC0" in str(page.url)
    assert re.search(r"/service/item/[^\"]*/DC0", page.text)


def test_a_table_is_as_a_file_what_is_shown_in_the_same_order(buyer: httpx.Client) -> None:
    page = buyer.get("/service", params={"table": "vendors"})
    shown = re.findall(r'<th scope="row"><a [^>]*>([^<]*)</a>', page.text)
    rows = read_rows(buyer.get("/service", params={"table": "vendors", "format": "csv"}))
    assert [row["Vendor"] for row in rows][: len(shown)] == [unescape(name) for name in shown]
    short = read_rows(buyer.get("/service", params={"table": "vendors", "top": "yes", "format": "csv"}))
    assert short == rows[:10]
    lines = read_workbook(buyer.get("/service", params={"table": "vendors", "format": "xlsx"}))
    assert [row[0] for row in lines[1:]] == [row["Vendor"] for row in rows]
    assert [f"{row[1]:.4f}" for row in lines[1:]] == [row["Lost"] for row in rows]


@given(data=st.data())
@hypothesis_settings(max_examples=4)
def test_numbers_are_those_of_the_report_to_the_digit(
    service: Service, buyer: httpx.Client, data: st.DataObject
) -> None:
    table, by = data.draw(st.sampled_from(sorted(KIND_TABLES.items())))
    begin = data.draw(st.integers(0, SMALL.days - 1))
    end = data.draw(st.integers(begin, SMALL.days - 1))
    first, last = (SMALL.first + timedelta(days=number) for number in (begin, end))
    reports = PlatformReports.from_settings(service.settings, 3600)
    filters: dict[str, list[str | None]] = {}
    for name in data.draw(st.sets(st.sampled_from(["dc", "vendor", "department", "item", "path"]), max_size=2)):
        known = [*PATHS] if name == "path" else [*reports.read_known(name, limit=5)["name"], *[None][: name != "dc"]]
        filters[name] = [data.draw(st.sampled_from(known))]
    limits = {name: encode_value(values[0]) for name, values in filters.items()}

    def get(name: str, form: str = "csv") -> httpx.Response:
        query = {"from": str(first), "to": str(last), "table": name, "format": form}
        return buyer.get("/service", params={**query, **limits})

    request = ReportRequest([by], first, last, filters, "previous", top=MOST_ROWS)
    try:
        expected = _read_report(reports, request).groups
    except PermanentFailure:
        assert get(table).status_code == 404
        return
    rows = read_rows(get(table))
    _require_numbers(rows, by, expected)
    lines = read_workbook(get(table, "xlsx"))
    assert [[str(cell) for cell in lines[0]], len(lines) - 1] == [[*rows[0]], len(rows)] if rows else len(lines) == 1
    for row, line in zip(rows, lines[1:], strict=True):
        numbers = {heading: value for heading, value in zip(row, line, strict=True) if heading in HEADINGS}
        assert {heading: None if value is None else f"{value:.4f}" for heading, value in numbers.items()} == {
            heading: f"{Decimal(row[heading]):.4f}" if row[heading] else None for heading in numbers
        }
    begins = last - timedelta(days=last.weekday() + 7 * 12)
    weeks = reports.read(ReportRequest(["week"], begins, last, filters)).groups
    _require_numbers(read_rows(get("weeks")), "week", weeks.reverse())
    reasons = _read_report(reports, replace(request, by=["path", "reason"], top=None)).groups
    reasons = reasons.filter(pl.col("lost_cases") > 0)
    of_reasons = {(row["Path"].partition(":")[0], row["Reason"]): row for row in read_rows(get("accountable"))}
    assert len(of_reasons) == reasons.height
    for right in reasons.iter_rows(named=True):
        found = of_reasons[right["path"], labels.format_reason(right["reason"])]
        for heading in ("Lost", "Confirmed", "Estimated"):
            assert Decimal(found[heading] or 0) == right[HEADINGS[heading]]


def _require_numbers(rows: Sequence[Mapping[str, str]], by: str, expected: pl.DataFrame) -> None:
    """Require that a table has the groups of a report, in their order, and its numbers."""
    assert [next(iter(row.values())) for row in rows] == ["(none)" if name is None else name for name in expected[by]]
    shown = {heading: column for heading, column in HEADINGS.items() if rows and heading in rows[0]}
    assert shown or not rows
    for row, right in zip(rows, expected.iter_rows(named=True), strict=True):
        assert {heading: Decimal(row[heading]) if row[heading] else None for heading in shown} == {
            heading: right[column] for heading, column in shown.items()
        }


def _read_report(reports: PlatformReports, request: ReportRequest) -> Report:
    try:
        return reports.read(request)
    except PermanentFailure:
        return reports.read(replace(request, compare=None))


def test_targets_are_beside_what_they_aim_at(service: Service) -> None:
    aimed = pl.DataFrame({"dc": ["DC01"], "otif_rate": [Decimal("0.9500")]})
    browser = Service(service.settings, aimed, max_age_seconds=3600).open("buyer")
    assert "points to target" in read_text(browser.get("/service/dc/DC01"))
    assert "OTIF target" in read_text(browser.get("/service", params={"table": "dcs"}))
    assert "target" not in read_text(browser.get("/service/dc/DC02"))


def test_a_year_earlier_of_which_there_is_nothing_is_named(buyer: httpx.Client) -> None:
    text = read_text(buyer.get("/service", params={**WEEKS, "compare": "year"}))
    assert "there is nothing earlier to compare with" in text


def test_a_year_earlier_is_the_same_dates_of_last_year(tmp_path: Path) -> None:
    chosen = settings.load(home=tmp_path)
    create_database(chosen.storage.record_store_url)
    days = {
        # Vendor V1 ships item A, V2 item B; 10 cases of either are ordered: date, shipped of A, shipped of B.
        date(2026, 3, 10): (8, 10),
        date(2025, 3, 10): (5, 9),
        date(2025, 3, 15): (10, 7),
        # A day after the dates of last year, though a day of the same ISO week as the last of this year's.
        date(2025, 3, 16): (0, 0),
    }
    lines, records = [], []
    for day, shipped in days.items():
        for item, vendor, cases in zip("AB", ("V1", "V2"), shipped, strict=True):
            lost = Decimal(10 - cases)
            lines.append({"ship_date": day, "item": item, "vendor": vendor, "shipped_cases": cases})
            amounts = {"lost_cases": lost, "confirmed_cases": lost, "shipped_cases": Decimal(cases)}
            records.append({"ship_date": day, "item": item, "vendor": vendor, **amounts})
    lake, partitions = Lake(chosen.storage.lake_root), [PartitionKey("DC01", day) for day in days]
    lake.write(schema.CLASSIFIED_LINES, make_counted_lines(*lines).collect(), partitions)
    lake.write(schema.LOST_CASES, make_records(*records), partitions)
    lake.write_whole(schema.ITEMS, make_items({}).collect())
    browser = Service(chosen, max_age_seconds=3600).open("buyer")
    week = {"from": "2026-03-09", "to": "2026-03-15", "compare": "year"}
    page = read_text(browser.get("/service", params=week))
    assert "against 09 Mar 2025 to 15 Mar 2025" in page
    # 18 of 20 cases and 1 of 2 lines, against 31 of 40 and 1 of 4.
    assert "Case fill 90.00 % better +12.50 points Line fill 50.00 % better +25.00 points" in page
    assert "Lost 2 better -7" in page
    assert "Ordered 20 -20 Shipped 18 -13" in page
    rows = read_rows(browser.get("/service", params={**week, "table": "vendors", "format": "csv"}))
    shown = ("Vendor", "Lost", "Lost before", "Lost change", "Case fill", "Case fill change (points)")
    assert [[row[heading] for heading in shown] for row in rows] == [
        ["V1", "2.0000", "5.0000", "-3.0000", "0.8000", "5.00"],
        ["V2", "0.0000", "4.0000", "-4.0000", "1.0000", "20.00"],
    ]


# --- who


@pytest.mark.parametrize(
    ("grants", "status"),
    [(["buyer"], 200), (["operator"], 200), (["dc_manager:DC01"], 200), (["floor:*"], 404), ([], 404)],
)
def test_a_role_sees_the_service_or_nothing(service: Service, grants: list[str], status: int) -> None:
    assert service.open(*grants).get("/service/dc/DC01").status_code == status


def test_no_one_sees_it_who_is_not_signed_in(service: Service) -> None:
    browser = service.open("buyer")
    browser.cookies.clear()
    for path in ("/service", "/service/dc/DC01", "/service?table=dcs&format=csv"):
        assert browser.get(path).status_code == 401


def test_a_manager_sees_their_own_dcs_alone(service: Service) -> None:
    browser, buyer = service.open("dc_manager:DC02"), service.open("buyer")
    assert [row["DC"] for row in read_rows(browser.get("/service?table=dcs&format=csv"))] == ["DC02"]
    assert "of your DCs alone: DC02" in read_text(browser.get("/service"))
    own = read_rows(browser.get("/service?table=vendors&format=csv"))
    assert own == read_rows(buyer.get("/service?table=vendors&format=csv&dc=DC02"))
    for table in ("worst", "chronic"):
        assert {row["DC"] for row in read_rows(browser.get(f"/service?table={table}&format=csv"))} == {"DC02"}
    unknown = read_text(browser.get("/service/dc/DC99")).replace("DC99", "")
    for path in (
        "/service/dc/DC01",
        "/service?dc=DC01",
        "/service?dc=DC02&dc=DC01",
        "/service?dc=DC01&table=dcs&format=csv",
        "/service/vendor/V1?dc=DC01",
    ):
        reply = browser.get(path)
        assert (reply.status_code, read_text(reply)) == (404, unknown)
        assert "DC01" not in reply.text


# --- what is not there, and attacks


def test_an_unknown_name_names_the_nearest(buyer: httpx.Client) -> None:
    known = buyer.get("/service?table=vendors&format=csv")
    name = read_rows(known)[0]["Vendor"]
    reply = buyer.get(f"/service/vendor/{name}x")
    assert reply.status_code == 404
    assert f"the nearest is {name}" in read_text(reply)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("from=2026-02-16", 400),
        ("from=2026-03-02&to=2026-03-01", 400),
        ("from=1900-01-01&to=2026-03-01", 400),
        ("from=%27%20OR%201=1--&to=x", 400),
        ("compare=%3Cscript%3E", 400),
        ("table=..%2F..%2Fetc%2Fpasswd", 404),
        ("table=vendors&format=exe", 404),
        ("table=vendors&sort=lost_cases;DROP%20TABLE", 400),
        ("table=vendors&page=99999", 404),
        ("table=vendors&page=-1", 404),
        ("vendor=%27%3B%20DROP%20TABLE%20records%3B--", 404),
        ("&".join(f"vendor=V{number}" for number in range(MAX_VALUES + 1)), 400),
        (f"vendor={'x' * 300}", 400),
        (f"vendor={'x' * MAX_QUERY}", 414),
    ],
)
def test_what_cannot_be_is_refused_clearly(buyer: httpx.Client, query: str, status: int) -> None:
    assert buyer.get(f"/service?{query}").status_code == status


@pytest.mark.parametrize(
    "path",
    ["/service/", "/service/dc", "/service/nothing/x", "/service/vendor/%ff", "/service/vendor/a%2F..%2F..%2Fetc"],
)
def test_a_path_that_cannot_be_is_404(buyer: httpx.Client, path: str) -> None:
    assert buyer.get(path).status_code == 404


@pytest.mark.parametrize("value", [None, "", ".", "..", "(none)", "~", "~x", "A/B", "ä é", "a?b#c&d=e", "<script>"])
def test_any_name_is_read_as_it_was_written(value: str | None) -> None:
    assert decode_value(encode_value(value)) == value


# --- items, contracts, changes, search


@pytest.fixture(scope="module")
def short(service: Service) -> dict[str, Any]:
    """A record of an item of a contract that was out of stock, its lines among those of its day."""
    records = Lake(service.settings.storage.lake_root).scan(schema.LOST_CASES)
    owed = records.filter(pl.col("contract_lost_cases") > 0, pl.col("confirmed_cases") > 0, pl.col("dc") == "DC01")
    last = (pl.col("ship_date") >= date.fromisoformat(WEEKS["from"])) & pl.col("vendor").is_not_null()
    return owed.filter(last).sort("lost_cases", "item", descending=True).collect().row(0, named=True)


def test_an_item_at_a_dc_says_why_it_was_short_and_which_lines(
    service: Service, buyer: httpx.Client, short: dict[str, Any]
) -> None:
    place = f"/service/item/{quote(short['item'], safe='')}/{short['dc']}"
    page = buyer.get(place)
    assert f"Item {short['item']} at {short['dc']}" in read_text(page)
    assert f"/{short['dc']}/{short['ship_date']}" in page.text
    text = read_text(buyer.get(f"{place}/{short['ship_date']}"))
    day = (short["dc"], short["ship_date"], short["item"])
    explained = explain(*day, *read_evidence_from_lake(service.settings, *day)).partition("\n")[0].partition(": ")[2]
    assert explained[1:] in text
    days = read_rows(buyer.get(f"{place}?table=days&format=csv"))
    (row,) = [each for each in days if each["Ship date"] == str(short["ship_date"])]
    assert Decimal(row["Lost"]) == short["lost_cases"]
    lines = read_rows(buyer.get(f"{place}/{short['ship_date']}?table=lines&format=csv"))
    counted = [Decimal(line["Ordered"]) for line in lines if line["Outcome"] == "counted"]
    assert sum(counted) == short["ordered_cases"]
    for path in (f"{place}/x", f"{place}/2020-01-01", "/service/item/nothing/DC01", f"{place}?table=none&format=csv"):
        assert buyer.get(path).status_code == 404
    for hidden in (place, f"{place}/{short['ship_date']}", f"{place}?table=days&format=csv"):
        assert service.open("dc_manager:DC02").get(hidden).status_code == 404


def test_what_the_other_method_estimates_is_beside_the_estimate(service: Service, buyer: httpx.Client) -> None:
    out = Lake(service.settings.storage.lake_root).scan(schema.LOST_CASES).filter(path="STOCK_OUT")
    record = out.sort("ship_date", "lost_cases", "item").last().collect().row(0, named=True)
    place = f"/service/item/{quote(record['item'], safe='')}/{record['dc']}"
    day = str(record["ship_date"])
    assert "Beside it, method 2: " in read_text(buyer.get(f"{place}/{day}"))
    (row,) = [each for each in read_rows(buyer.get(f"{place}?table=days&format=csv")) if each["Ship date"] == day]
    assert (row["Estimated"], row["Other method"]) == (str(record["method_1_cases"]), str(record["method_2_cases"]))
    text = read_text(buyer.get(place))
    assert "Estimated by method 1; other method: what method 2 estimates." in text
    assert "Estimated by method 1, on " in text


def test_a_contract_names_the_lines_that_prove_it_and_the_pack_has_them(
    buyer: httpx.Client, short: dict[str, Any]
) -> None:
    place = f"/service/contract/{quote(short['vendor'], safe='')}"
    vendors = read_rows(buyer.get("/service/contract?table=vendors&format=csv"))
    (total,) = [row for row in vendors if row["Vendor"] == short["vendor"]]
    service = read_rows(buyer.get("/service?table=vendors&format=csv"))
    (same,) = [row for row in service if row["Vendor"] == short["vendor"]]
    assert total["Lost on contract"] == same["Lost on contract"]
    days = read_rows(buyer.get(f"{place}?table=item-days&format=csv"))
    assert sum(Decimal(row["Lost on contract"]) for row in days) == Decimal(total["Lost on contract"])
    book = openpyxl.load_workbook(io.BytesIO(buyer.get(f"{place}?table=pack&format=xlsx").content))
    assert book.sheetnames == ["Contract", "Item-days", "Lines that prove it", "Waived and not supply"]
    proven = [*book["Lines that prove it"].iter_rows(values_only=True)]
    key = {name: proven[0].index(name) for name in ("DC", "Item", "Ordered", "Shipped")}
    of_item = [row for row in proven[1:] if (row[key["Item"]], row[key["DC"]]) == (short["item"], short["dc"])]
    assert of_item
    assert "The lines that prove it" in read_text(buyer.get(place))
    assert buyer.get("/service/contract/nothing").status_code == 404


def test_what_changed_is_netted_by_dc_and_item(tmp_path: Path, service: Service) -> None:
    home = shutil.copytree(service.settings.home, tmp_path / "home")
    changed = Service(settings.load(home=home))
    row = {"ship_date": date(2026, 3, 10), "item": "A", "field": "lost_cases", "cause": HOSTILE, "run_id": "r"}
    moved = [("DC01", "2.0000", "5.0000"), ("DC01", "5.0000", "4.5000"), ("DC02", "1.0000", "0.0000")]
    with Database.from_settings(changed.settings).begin() as connection:
        for dc, before, after in moved:
            values = {**row, "dc": dc, "before": before, "after": after, "restated_at": datetime(2026, 3, 15)}  # noqa: DTZ001 - as stored
            connection.execute(RESTATEMENTS.insert().values(values))
    browser, manager = changed.open("buyer"), changed.open("dc_manager:DC02")
    query = "/changes?since=2026-03-14T00:00Z"
    rows = read_rows(browser.get(f"{query}&format=csv"))
    assert [(row["Item"], row["DC"], row["Lost"]) for row in rows] == [
        ("A", "DC01", "2.5000"),
        ("A", "DC02", "-1.0000"),
    ]
    assert rows[0]["Why"] == f"'{HOSTILE}"
    page = browser.get(query)
    assert "<script" not in page.text
    assert "lost cases by +1.5 in all" in read_text(page)
    assert "Nothing changed" in read_text(browser.get("/changes?since=2026-03-16T00:00Z"))
    assert [row["DC"] for row in read_rows(manager.get(f"{query}&format=csv"))] == ["DC02"]
    assert manager.get(f"{query}&dc=DC01").status_code == 404
    for wrong in ("/changes?since=x", "/changes?since="):
        assert browser.get(wrong).status_code == 400


def test_since_i_last_looked_is_what_a_browser_signed(service: Service) -> None:
    browser = service.open("buyer")
    assert "since=2026-03-15T06%3A00%3A00Z" in browser.get("/changes").headers["location"]
    assert "since=2026-03-16T06%3A00%3A00Z" in browser.get("/changes").headers["location"]
    browser.cookies.clear()
    stranger = service.open("buyer")
    stranger.cookies.set("fillrate_looked", "1.forged")
    assert "since=2026-03-15T06" in stranger.get("/changes").headers["location"]


def test_search_finds_items_by_words_and_every_kind_by_name(service: Service, buyer: httpx.Client) -> None:
    items = Lake(service.settings.storage.lake_root).read_whole(schema.ITEMS).collect()
    item, description, vendor = items.select("item", "description", "vendor").drop_nulls().row(0)
    for words in (item, description.upper(), vendor, "dc01"):
        page = buyer.get("/search", params={"q": words})
        assert "Nothing has all" not in read_text(page)
    assert item in buyer.get("/search", params={"q": " ".join(reversed(description.split()))}).text
    reply = buyer.get("/search", params={"q": HOSTILE})
    assert "<script" not in reply.text
    assert "Nothing has all of these words" in read_text(reply)
    assert buyer.get("/search", params={"q": "x" * 101}).status_code == 400
    assert "DC01" not in service.open("dc_manager:DC02").get("/search", params={"q": "dc"}).text


@pytest.mark.parametrize(
    ("grants", "place"),
    [(["buyer"], "/service"), (["dc_manager:DC01"], "/service"), (["operator"], "/service"), (["floor:W1"], "/floor")],
)
def test_the_front_page_leads_to_the_pages_of_a_role(service: Service, grants: list[str], place: str) -> None:
    assert service.open(*grants).get("/").headers["location"].endswith(place)
    if place == "/floor":
        for path in ("/changes", "/search?q=a", "/service/contract"):
            assert service.open(*grants).get(path).status_code == 404


def test_a_hostile_name_of_a_source_is_text_on_pages_and_in_files(tmp_path: Path, service: Service) -> None:
    home = shutil.copytree(service.settings.home, tmp_path / "home")
    hostile = Service(settings.load(home=home), max_age_seconds=3600)
    lake = Lake(hostile.settings.storage.lake_root)
    items = lake.read_whole(schema.ITEMS).with_columns(pl.lit(HOSTILE).alias("description")).collect()
    lake.write_whole(schema.ITEMS, items)
    days = [PartitionKey(dc, LAST) for dc in ("DC01", "DC02")]
    for table, names in (
        (schema.CLASSIFIED_LINES, ["customer", "vendor", "department", "reason"]),
        (schema.LOST_CASES, ["vendor", "department", "reason_code"]),
    ):
        rows = lake.read(table, days).with_columns(pl.lit(HOSTILE).alias(name) for name in names).collect()
        lake.write(table, rows, days)
    browser = hostile.open("buyer")
    period = {"from": str(LAST), "to": str(LAST)}
    vendors = browser.get("/service", params={**period, "table": "vendors", "format": "csv"})
    name = read_rows(vendors)[0]["Vendor"]
    assert name == f"'{HOSTILE}"
    worst = read_rows(browser.get("/service", params={**period, "table": "worst", "format": "csv"}))[0]
    pages = [
        browser.get("/service", params=period),
        browser.get(f"/service/vendor/{quote(HOSTILE, safe='')}", params=period),
        browser.get(f"/service/item/{worst['Item']}/{worst['DC']}/{LAST}"),
        browser.get("/service", params={**period, "customer": HOSTILE}),
        browser.get("/search", params={"q": worst["Item"]}),
    ]
    for page in pages:
        assert page.status_code == 200, read_text(page)
        assert "<script" not in page.text
        assert HOSTILE in unescape(page.text)
