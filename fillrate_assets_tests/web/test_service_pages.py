"""The buyers' pages over HTTP: what they show, to whom, and that their numbers are those of `fillrate report`."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from html import unescape
from pathlib import Path
from typing import Final

import httpx
import openpyxl
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from fillrate_assets import settings
from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.fillrate.report.report_request import PlatformReports, ReportRequest
from fillrate_assets.fillrate.report.service_report import Report
from fillrate_assets.fillrate.schema import PATHS
from fillrate_assets.web.buyers.addresses import MAX_QUERY, MAX_VALUES, decode_value, encode_value
from fillrate_assets.web.buyers.tables import MOST_ROWS
from fillrate_assets_tests.conftest import SMALL
from fillrate_assets_tests.factories.service import WEEKS, Service

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
    return Service(settings.load(home=published_template))


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
    book = openpyxl.load_workbook(
        io.BytesIO(buyer.get("/service", params={"table": "vendors", "format": "xlsx"}).content)
    )
    assert book.active is not None
    lines = list(book.active.iter_rows(values_only=True))
    assert [row[0] for row in lines[1:]] == [row["Vendor"] for row in rows]
    assert [f"{row[1]:.4f}" for row in lines[1:]] == [row["Lost"] for row in rows]


@given(data=st.data())
@hypothesis_settings(max_examples=8)
def test_numbers_are_those_of_the_report_to_the_digit(
    service: Service, buyer: httpx.Client, data: st.DataObject
) -> None:
    table, by = data.draw(st.sampled_from(sorted(KIND_TABLES.items())))
    begin = data.draw(st.integers(0, SMALL.days - 1))
    end = data.draw(st.integers(begin, SMALL.days - 1))
    first, last = (SMALL.first + timedelta(days=number) for number in (begin, end))
    reports = PlatformReports.from_settings(service.settings)
    filters: dict[str, list[str | None]] = {}
    for name in data.draw(st.sets(st.sampled_from(["dc", "vendor", "department", "item", "path"]), max_size=2)):
        known = [*PATHS] if name == "path" else [*reports.read_known(name, limit=5)["name"], *[None][: name != "dc"]]
        filters[name] = [data.draw(st.sampled_from(known))]
    query = {"from": str(first), "to": str(last), "table": table, "format": "csv"}
    limits = {name: encode_value(values[0]) for name, values in filters.items()}
    reply = buyer.get("/service", params={**query, **limits})
    request = ReportRequest([by], first, last, filters, "previous", top=MOST_ROWS)
    try:
        expected = _read_report(reports, request).groups
    except PermanentFailure:
        assert reply.status_code == 404
        return
    rows = read_rows(reply)
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
    browser = Service(service.settings, aimed).open("buyer")
    assert "points to target" in read_text(browser.get("/service/dc/DC01"))
    assert "OTIF target" in read_text(browser.get("/service", params={"table": "dcs"}))
    assert "target" not in read_text(browser.get("/service/dc/DC02"))


def test_a_year_earlier_of_which_there_is_nothing_is_named(buyer: httpx.Client) -> None:
    text = read_text(buyer.get("/service", params={**WEEKS, "compare": "year"}))
    assert "there is nothing earlier to compare with" in text


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
