"""Queries of AWS Athena, read from the files that it leaves on S3, and what they cost."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import polars as pl
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, OperationalError

from fillrate_assets.aws import client, secrets
from fillrate_assets.core import extras
from fillrate_assets.core.errors import PermanentFailure, SourceUnavailable

DIALECT: Final = "awsathena"
_ATTEMPTS: Final = 3
_PERMANENT: Final = re.compile(
    r"(SYNTAX_ERROR|[A-Z]+_NOT_FOUND|TYPE_MISMATCH|FUNCTION_|INVALID_|NOT_SUPPORTED|PERMISSION_DENIED|ACCESS_DENIED"
    r"|HIVE_BAD_DATA|HIVE_PARTITION_SCHEMA_MISMATCH|HIVE_INVALID_METADATA|HIVE_UNSUPPORTED_FORMAT|MISSING_"
    r"|DIVISION_BY_ZERO|FAILED:|line \d+:|Insufficient )"
)
"""How Athena begins to say why a query failed, where the same query would fail again."""

_DENIED: Final = re.compile(r"access ?denied|not authorized to perform|status code: 403", re.IGNORECASE)
"""What S3, Glue or Lake Formation say inside a message that begins like one of Athena's own troubles."""


@dataclass(frozen=True)
class QueryResult:
    """Rows of a query."""

    rows: pl.DataFrame
    bytes_scanned: int | None = None
    """What Athena charges for; None where a system counts none."""


@dataclass
class _Query:
    """What is known of a query that runs."""

    retryable: bool | None = None
    """Whether Athena says that it may succeed when it is sent again; None where it says nothing."""


def read(system: str, url: str, statement: sa.Select[Any]) -> QueryResult:
    """Run a query; binds are literals when Athena plans it, so those on partition columns prune.

    Args:
        system: its name in messages.
        url: `awsathena+polars://athena.REGION.amazonaws.com/DATABASE?work_group=...&s3_staging_dir=...`; with
            `unload=true` results are Parquet, else CSV. The staging directory may be the work group's, but not with
            `unload`.
        statement: decimals cast to text: Athena's CSV has their scale apart from their values.

    Raises:
        SourceUnavailable: Athena or S3 did not answer, or throttled the call, or the query may pass later.
        PermanentFailure: access is denied, or the query cannot work as it is.

    """
    started: list[str] = []
    options = {"on_start_query_execution": started.append}
    with _translate_errors(system, url) as query, _get_engine(url).connect() as connection:
        try:
            cursor: Any = connection.execute(statement, execution_options=options).cursor
        except OperationalError:
            if started:
                query.retryable = _read_retryable(connection, started[-1])
            raise
        return QueryResult(cursor.as_polars(), cursor.data_scanned_in_bytes)


@lru_cache(maxsize=8)
def _get_engine(url: str) -> sa.Engine:
    """Return an engine without a pool: a connection holds nothing, and a pooled one is tried with its own query."""
    extras.require("athena", f"the database URL {DIALECT}://")
    from pyathena.util import RetryConfig  # noqa: PLC0415 - only where it is used

    parsed = secrets.resolve_url(url)
    if parsed.get_driver_name() != "polars":
        msg = f"{DIALECT}+{parsed.get_driver_name()}: write {DIALECT}+polars://, which reads results from S3"
        raise PermanentFailure(msg)
    if parsed.host is None and (region := client.get_region()):
        parsed = parsed.update_query_dict({"region_name": region})
    retries = {"retry_config": RetryConfig(attempt=_ATTEMPTS)}
    return sa.create_engine(parsed, poolclass=sa.NullPool, connect_args=retries)


@contextmanager
def _translate_errors(system: str, url: str) -> Iterator[_Query]:
    query = _Query()
    shown = f"{system} ({sa.make_url(url).render_as_string(hide_password=True)})"
    with client.translate_errors(shown):
        try:
            yield query
        except DBAPIError as error:
            if (cause := _find_botocore_error(error)) is not None:
                raise client.classify_error(shown, cause) from error
            if isinstance(error, OperationalError) and not is_permanent(str(error.orig), retryable=query.retryable):
                msg = f"{shown} does not answer: {error.orig}"
                raise SourceUnavailable(msg) from error
            msg = f"{shown} refused a query: {error.orig}"
            raise PermanentFailure(msg) from error


def is_permanent(reason: str, *, retryable: bool | None = None) -> bool:
    """Return whether a query that failed would fail again; Athena's own troubles and limits pass.

    Args:
        reason: what Athena says.
        retryable: its `AthenaError.Retryable` (docs.aws.amazon.com/athena/latest/APIReference/API_AthenaError.html),
            where it has one.

    """
    if _PERMANENT.match(reason) or _DENIED.search(reason):
        return True
    return retryable is False


def _read_retryable(connection: sa.Connection, query: str) -> bool | None:
    """Read whether Athena says of a failed query that it may succeed when it is sent again."""
    raw: Any = connection.connection.driver_connection
    found = raw.client.get_query_execution(QueryExecutionId=query)["QueryExecution"]["Status"]
    flag = found.get("AthenaError", {}).get("Retryable")
    return flag if isinstance(flag, bool) else None


def _find_botocore_error(error: BaseException | None) -> Exception | None:
    """Find the error of botocore behind another, if there is one."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - only where it is used

    while error is not None and not isinstance(error, BotoCoreError | ClientError):
        error = error.__cause__
    return error if isinstance(error, Exception) else None
