"""The instock warehouse in Athena, on an emulator that runs the queries."""

from __future__ import annotations

import http.server
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from fillrate_assets.aws import athena
from fillrate_assets.core.errors import FillrateError, PermanentFailure, SourceUnavailable
from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.sources.instock_warehouse import InstockWarehouse
from fillrate_assets.fillrate.sources.line_versions import ChangeWindow
from fillrate_assets_tests.factories.rows import AT, DAY, make_snapshots
from fillrate_assets_tests.fixtures.cloud import Cloud
from fillrate_assets_tests.fixtures.loopback import serve

URL = "awsathena+polars:///warehouse?s3_staging_dir=s3%3A%2F%2Fresults%2F&poll_interval=0.05"


def _make_stock(*rows: dict[str, Any]) -> pl.DataFrame:
    """Make snapshots as a lake stores them: decimals, times without a zone."""
    return make_snapshots(*rows).with_columns(
        pl.col("on_hand_cases").cast(pl.Decimal(18, 4)), pl.col("snapshot_at").dt.replace_time_zone(None)
    )


def _list_queries(cloud: Cloud, url: str) -> list[str]:
    """List the queries that one warehouse got."""
    return cloud.list_queries(str(sa.make_url(url).database))


def test_snapshots_come_back_as_the_contract_types_them(aws: Cloud) -> None:
    rows = (
        {"on_hand_cases": "12345678901234.0625"},
        {"item": "B", "instock": None, "on_hand_cases": None, "snapshot_at": None},
    )
    found = InstockWarehouse(aws.create_warehouse(_make_stock(*rows))).read_snapshots("DC01", DAY, DAY).sort("item")
    schema.INSTOCK_SNAPSHOTS.validate(found)
    first, second = found.to_dicts()
    assert (first["dc"], first["ship_date"], first["instock"]) == ("DC01", DAY, "Y")
    assert (first["on_hand_cases"], first["snapshot_at"]) == (Decimal("12345678901234.0625"), AT)
    assert (second["instock"], second["on_hand_cases"], second["snapshot_at"]) == (None, None, None)
    assert found["problem"].to_list() == [None, None]


def test_all_days_are_read_by_one_query_whose_values_prune(aws: Cloud) -> None:
    days = [DAY + timedelta(days=number) for number in range(6)]
    url = aws.create_warehouse(
        _make_stock(*[{"dc": dc, "snapshot_date": day} for dc in ("DC01", "DC0'2") for day in days])
    )
    wanted = [PartitionKey("DC01", days[0]), PartitionKey("DC01", days[4]), PartitionKey("DC0'2", days[5])]
    answer = InstockWarehouse(url).read(wanted)
    assert answer.rows.select("dc", "ship_date").sort("dc", "ship_date").rows() == sorted(wanted)
    assert answer.bytes_scanned
    (query,) = _list_queries(aws, url)
    for first, after in (("2026-02-10", "2026-02-11"), ("2026-02-14", "2026-02-15")):
        span = f"snapshots.snapshot_date >= DATE '{first}' AND snapshots.snapshot_date < DATE '{after}'"
        assert span in query
    assert "snapshots.dc = 'DC0''2'" in query


def test_a_date_without_a_snapshot_has_no_rows(aws: Cloud) -> None:
    found = InstockWarehouse(aws.create_warehouse(_make_stock({}))).read_snapshots(
        "DC01", DAY + timedelta(days=1), DAY + timedelta(days=2)
    )
    schema.INSTOCK_SNAPSHOTS.validate(found)
    assert found.is_empty()


def test_changes_have_how_many_records_each_day_has_and_when_the_latest_was_taken(aws: Cloud) -> None:
    later = {"item": "B", "snapshot_at": AT + timedelta(hours=1)}
    url = aws.create_warehouse(_make_stock({}, later, {"dc": "DC02", "snapshot_at": None}, {"dc": "DC03"}))
    found = InstockWarehouse(url).read_changes(ChangeWindow(["DC01", "DC02"], None, DAY, DAY))
    assert found.rows() == [("DC01", DAY, AT + timedelta(hours=1), 2), ("DC02", DAY, None, 1)]
    (query,) = _list_queries(aws, url)
    assert "snapshot_date >= DATE '2026-02-10' AND snapshots.snapshot_date < DATE '2026-02-11'" in query


def test_unload_is_used_where_the_url_says_so(aws: Cloud) -> None:
    url = aws.create_warehouse(_make_stock({}))
    # The emulator has no UNLOAD; the query that it got is all there is to check.
    with pytest.raises(FillrateError, match="UNLOAD"):
        InstockWarehouse(f"{url}&unload=true").read_snapshots("DC01", DAY, DAY)
    (query,) = _list_queries(aws, url)
    assert query.startswith("UNLOAD (")
    assert "format = 'PARQUET'" in query


@pytest.mark.usefixtures("busy_aws")
def test_an_athena_that_is_busy_may_answer_later() -> None:
    with pytest.raises(SourceUnavailable, match=r"^instock warehouse \(awsathena.* does not answer: "):
        InstockWarehouse(URL).read_snapshots("DC01", DAY, DAY)


@pytest.mark.usefixtures("absent_aws")
def test_an_athena_that_cannot_be_reached_may_answer_later() -> None:
    with pytest.raises(SourceUnavailable, match=r"^instock warehouse .* does not answer: Could not connect"):
        InstockWarehouse(URL).read_snapshots("DC01", DAY, DAY)


@pytest.mark.usefixtures("denying_aws")
def test_an_athena_that_denies_access_is_no_matter_of_time() -> None:
    with pytest.raises(PermanentFailure, match=r"^instock warehouse .* refused: .*AccessDenied"):
        InstockWarehouse(URL).read_snapshots("DC01", DAY, DAY)


@pytest.mark.usefixtures("aws")
def test_a_driver_that_rounds_or_pages_is_refused() -> None:
    with pytest.raises(PermanentFailure, match=r"write awsathena\+polars://"):
        InstockWarehouse(URL.replace("polars", "rest")).read_snapshots("DC01", DAY, DAY)


@pytest.mark.parametrize(
    ("reason", "lasting"),
    [
        ("SYNTAX_ERROR: line 1:8: Column 'x' cannot be resolved", True),
        ("TABLE_NOT_FOUND: line 1:15: Table 'awsdatacatalog.dw.x' does not exist", True),
        ("COLUMN_NOT_FOUND: line 1:8: Column 'x' cannot be resolved", True),
        ("TYPE_MISMATCH: line 1:8: Cannot apply operator: varchar = date", True),
        ("Insufficient permissions to execute the query.", True),
        ("Query exhausted resources at this scale factor", False),
        ("GENERIC_INTERNAL_ERROR: Encountered an exception", False),
        ("HIVE_CURSOR_ERROR: Please reduce your request rate. (Service: Amazon S3; Status Code: 503)", False),
        ("Internal error", False),
        (
            "HIVE_INVALID_METADATA: Hive metadata for table is invalid: Table descriptor contains duplicate columns",
            True,
        ),
        ("HIVE_UNSUPPORTED_FORMAT: Unable to create input format", True),
        ("MISSING_COLUMN_NAME: line 1:8: Column name not specified", True),
        ("DIVISION_BY_ZERO: Division by zero", True),
        ("HIVE_CURSOR_ERROR: Access Denied (Service: Amazon S3; Status Code: 403; Error Code: AccessDenied)", True),
        ("HIVE_METASTORE_ERROR: AccessDeniedException: User is not authorized to perform: glue:GetTable", True),
    ],
)
def test_what_would_fail_again_is_known_by_athenas_words(reason: str, *, lasting: bool) -> None:
    assert athena.is_permanent(reason) is lasting


@pytest.mark.parametrize(
    ("reason", "retryable", "error"),
    [
        ("GENERIC_INTERNAL_ERROR: Encountered an exception", True, SourceUnavailable),
        ("GENERIC_INTERNAL_ERROR: Encountered an exception", False, PermanentFailure),
        ("GENERIC_INTERNAL_ERROR: Encountered an exception", None, SourceUnavailable),
        ("TABLE_NOT_FOUND: line 1:15: Table does not exist", True, PermanentFailure),
    ],
)
def test_athena_says_whether_a_query_may_succeed_when_it_is_sent_again(
    aws: Cloud, monkeypatch: pytest.MonkeyPatch, reason: str, *, retryable: bool | None, error: type[FillrateError]
) -> None:
    assert aws.environment
    with serve_failing_athena(reason, retryable) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        with pytest.raises(error, match=reason):
            InstockWarehouse(URL).read_snapshots("DC01", DAY, DAY)


@contextmanager
def serve_failing_athena(reason: str, retryable: bool | None) -> Iterator[str]:  # noqa: FBT001 - as Athena says it
    """An Athena whose every query fails; yields its URL."""
    failure = (
        {} if retryable is None else {"AthenaError": {"ErrorCategory": 1, "ErrorType": 200, "Retryable": retryable}}
    )
    status = {"State": "FAILED", "StateChangeReason": reason, **failure}
    execution = {"QueryExecutionId": "q1", "Query": "SELECT 1", "Status": status, "ResultConfiguration": {}}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            starts = "StartQueryExecution" in self.headers.get("X-Amz-Target", "")
            reply = json.dumps({"QueryExecutionId": "q1"} if starts else {"QueryExecution": execution}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with serve(Handler) as url:
        yield url
