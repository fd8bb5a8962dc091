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
    r"|HIVE_BAD_DATA|HIVE_PARTITION_SCHEMA_MISMATCH|FAILED:|line \d+:|Insufficient )"
)
"""How Athena begins to say why a query failed, where the same query would fail again."""


@dataclass(frozen=True)
class QueryResult:
    """Rows of a query."""

    rows: pl.DataFrame
    bytes_scanned: int | None = None
    """What Athena charges for; None where a system counts none."""


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
    with _translate_errors(system, url), _get_engine(url).connect() as connection:
        cursor: Any = connection.execute(statement).cursor
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
def _translate_errors(system: str, url: str) -> Iterator[None]:
    shown = f"{system} ({sa.make_url(url).render_as_string(hide_password=True)})"
    with client.translate_errors(shown):
        try:
            yield
        except DBAPIError as error:
            if (cause := _find_botocore_error(error)) is not None:
                raise client.classify_error(shown, cause) from error
            if isinstance(error, OperationalError) and not is_permanent(str(error.orig)):
                msg = f"{shown} does not answer: {error.orig}"
                raise SourceUnavailable(msg) from error
            msg = f"{shown} refused a query: {error.orig}"
            raise PermanentFailure(msg) from error


def is_permanent(reason: str) -> bool:
    """Return whether a query that failed for a reason would fail again; Athena's own troubles and limits pass."""
    return _PERMANENT.match(reason) is not None


def _find_botocore_error(error: BaseException | None) -> Exception | None:
    """Find the error of botocore behind another, if there is one."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - only where it is used

    while error is not None and not isinstance(error, BotoCoreError | ClientError):
        error = error.__cause__
    return error if isinstance(error, Exception) else None
