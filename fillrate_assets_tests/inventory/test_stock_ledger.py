"""Reservations: one table of cases for each database that has a stock, and writers that reserve at the same time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fillrate_assets.aws.dynamodb import DynamoTable
from fillrate_assets.core.errors import PermanentFailure, SourceUnavailable
from fillrate_assets.inventory.dynamo_stock import DynamoStock
from fillrate_assets.inventory.rules import reservations as rules
from fillrate_assets.inventory.stock_ledger import StockLedger, StockLevel
from fillrate_assets.inventory.stock_store import StockStore
from fillrate_assets.sample.stock_in_memory import StockInMemory
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.write_conflicts import WriteConflictError
from fillrate_assets_tests.conftest import SCHEMA
from fillrate_assets_tests.fixtures.cloud import Cloud
from fillrate_assets_tests.fixtures.embedded import create_database
from fillrate_assets_tests.fixtures.postgres import Postgres

AT: Final = datetime(2026, 2, 10, 12, tzinfo=UTC)
DC: Final = "DC01"
WRITERS: Final = 8


@pytest.fixture(params=["memory", "sqlite", "postgresql", "dynamodb"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> StockLedger:
    """An empty stock in each place."""
    clock: Callable[[], datetime] = lambda: AT  # noqa: E731 - one value
    match request.param:
        case "memory":
            return StockLedger(StockInMemory(), clock)
        case "sqlite":
            return StockLedger(StockStore(create_database(f"sqlite:///{tmp_path}/records.db")), clock)
        case "postgresql":
            server: Postgres = request.getfixturevalue("postgres")
            url = server.create_database(f"stock {tmp_path.name}", request.getfixturevalue("postgres_template"))
            return StockLedger(StockStore(Database(url, SCHEMA)), clock)
        case _:
            cloud: Cloud = request.getfixturevalue("aws")
            return StockLedger(DynamoStock(DynamoTable(cloud.create_fulfillment_table())), clock)


def make_lines(*lines: tuple[str, str]) -> list[tuple[int, str, Decimal]]:
    return [(number, item, Decimal(cases)) for number, (item, cases) in enumerate(lines, start=1)]


def read(ledger: StockLedger, item: str = "A") -> tuple[str, str, int]:
    level = ledger.table.read_level(DC, item)
    assert level is not None
    return f"{level.on_hand.normalize():f}", f"{level.reserved.normalize():f}", level.seq


TEN: Final = make_lines(("A", "6"), ("A", "4"))


@dataclass(frozen=True)
class Case:
    """What is requested of a stock of ten, what is answered, and the stock afterwards: on hand, reserved, seq."""

    requests: list[Callable[[StockLedger], str]]
    answers: list[str]
    level: tuple[str, str, int]


def reserve(
    version: int = 2, order_id: str = "O1", lines: list[tuple[int, str, Decimal]] = TEN
) -> Callable[[StockLedger], str]:
    return lambda ledger: ledger.reserve(order_id, version, DC, lines)


def release(version: int) -> Callable[[StockLedger], str]:
    return lambda ledger: ledger.release("O1", version)


def expire(revision: int) -> Callable[[StockLedger], str]:
    return lambda ledger: "EXPIRED" if ledger.expire("O1", revision) else "UNCHANGED"


def commit(ledger: StockLedger) -> str:
    return ledger.commit("O1", DC, TEN)


def restock(ledger: StockLedger) -> str:
    return ledger.restock("O1")


CASES: Final = {
    "an order is reserved": Case([reserve()], ["RESERVED"], ("10", "10", 2)),
    "two lines of one item do not oversell": Case(
        [reserve(lines=make_lines(("A", "6"), ("A", "4.0001")))], ["SHORT"], ("10", "0", 1)
    ),
    "all lines or none": Case([reserve(lines=make_lines(("A", "1"), ("B", "1")))], ["SHORT"], ("10", "0", 1)),
    "what is reserved is not there for others": Case(
        [reserve(), reserve(order_id="O2")], ["RESERVED", "SHORT"], ("10", "10", 2)
    ),
    "a request that comes again takes nothing": Case([reserve(), reserve()], ["RESERVED"] * 2, ("10", "10", 2)),
    "a later request has what is there": Case([reserve(), reserve(5)], ["RESERVED"] * 2, ("10", "10", 2)),
    "a release gives back, once": Case(
        [reserve(), release(4), release(4)], ["RESERVED", *["RELEASED"] * 2], ("10", "0", 3)
    ),
    "a reservation that comes after its release is too late": Case(
        [release(4), reserve(2), reserve(5)], ["RELEASED", "RELEASED", "RESERVED"], ("10", "10", 2)
    ),
    "a release is not of what is reserved later": Case(
        [reserve(5), release(4)], ["RESERVED", "RELEASED"], ("10", "10", 2)
    ),
    "an order reserves again after a release": Case(
        [reserve(), release(4), reserve(4)], ["RESERVED", "RELEASED", "RESERVED"], ("10", "10", 4)
    ),
    "goods that left are gone, once": Case(
        [reserve(), commit, commit], ["RESERVED", *["COMMITTED"] * 2], ("0", "0", 3)
    ),
    "goods that left are gone without a reservation": Case(
        [reserve(), release(4), commit], ["RESERVED", "RELEASED", "COMMITTED"], ("0", "0", 4)
    ),
    "a late release gives nothing back of goods that left": Case(
        [reserve(), commit, release(9), reserve(3)], ["RESERVED", "COMMITTED", "RELEASED", "RESERVED"], ("0", "0", 3)
    ),
    "goods come back, once": Case(
        [reserve(), commit, restock, restock], ["RESERVED", "COMMITTED", *["RETURNED"] * 2], ("10", "0", 4)
    ),
    "what expires is given back, once, and only a later request reserves again": Case(
        [reserve(), expire(1), expire(1), release(2), reserve(), reserve(3), expire(1)],
        ["RESERVED", "EXPIRED", "UNCHANGED", "RELEASED", "RELEASED", "RESERVED", "UNCHANGED"],
        ("10", "10", 4),
    ),
    "what has left does not expire": Case(
        [reserve(), commit, expire(2)], ["RESERVED", "COMMITTED", "UNCHANGED"], ("0", "0", 3)
    ),
    "what never left does not come back": Case([reserve(), restock], ["RESERVED", "RETURNED"], ("10", "10", 2)),
}


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_a_request_moves_the_stock_as_the_rules_say(ledger: StockLedger, case: Case) -> None:
    # Decision 0271.
    ledger.receive(DC, {"A": Decimal(10)})
    assert [request(ledger) for request in case.requests] == case.answers
    assert read(ledger) == case.level


def test_a_reservation_that_another_writer_changed_is_not_written(ledger: StockLedger) -> None:
    ledger.receive(DC, {"A": Decimal(10), "B": Decimal(1)})
    before = ledger.table.read_reservation("O1")
    lines = [rules.OrderLine(1, "A", Decimal(3)), rules.OrderLine(2, "B", Decimal(1))]
    both = [rules.reserve(before, 2, DC, lines, {"A": Decimal(10), "B": Decimal(1)}) for _ in range(2)]
    ledger.table.write(before, both[0], now=AT)
    other = ledger.table.read_reservation("O2")
    with pytest.raises(WriteConflictError):
        ledger.table.write(before, both[1], now=AT)
    with pytest.raises(WriteConflictError):
        ledger.table.write(other, rules.reserve(other, 2, DC, lines, {"A": Decimal(10), "B": Decimal(1)}), now=AT)
    assert (read(ledger), read(ledger, "B")) == (("10", "3", 2), ("1", "1", 2))
    assert ledger.table.read_reservation("O1").lines == tuple(lines)
    assert ledger.table.read_reservation("O2").revision == 0


def test_eight_writers_oversell_nothing(ledger: StockLedger) -> None:
    ledger.receive(DC, {"A": Decimal(30), "B": Decimal(100)})
    lines = make_lines(("A", "2"), ("B", "1"), ("A", "1"))

    def write(writer: int) -> int:
        taken = 0
        for number in range(3):
            try:
                taken += ledger.reserve(f"O{writer}-{number}", 2, DC, lines) == "RESERVED"
            except SourceUnavailable:
                # As a worker does: it comes again. Here that it takes nothing twice is what matters.
                taken += ledger.table.read_reservation(f"O{writer}-{number}").state == "RESERVED"
        return taken

    with ThreadPoolExecutor(WRITERS) as pool:
        taken = sum(pool.map(write, range(WRITERS)))
    assert taken <= 10
    assert read(ledger)[:2] == ("30", str(3 * taken))
    assert read(ledger, "B")[:2] == ("100", str(taken))


def test_an_order_too_large_for_a_transaction_is_refused(aws: Cloud) -> None:
    ledger = StockLedger(DynamoStock(DynamoTable(aws.create_fulfillment_table())), lambda: AT)
    ledger.receive(DC, {"A": Decimal(1000)})
    with pytest.raises(PermanentFailure, match="order O1 has too many lines for one transaction of DynamoDB"):
        ledger.reserve("O1", 2, DC, make_lines(*[("A", "1")] * 99))


_LINES: Final = st.lists(st.tuples(st.sampled_from("AB"), st.integers(1, 6)), min_size=1, max_size=3)
_REQUESTS: Final = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "release", "expire", "commit", "restock"]), st.integers(1, 3), st.integers(1, 6)
    ),
    max_size=30,
)


@given(requests=_REQUESTS, wanted=st.tuples(_LINES, _LINES, _LINES))
def test_what_is_reserved_is_the_sum_of_reservations_and_is_there(
    requests: list[tuple[str, int, int]], wanted: tuple[list[tuple[str, int]], ...]
) -> None:
    table = StockInMemory()
    ledger = StockLedger(table, lambda: AT)
    ledger.receive(DC, {"A": Decimal(12), "B": Decimal(12)})
    for kind, order, version in requests:
        order_id, lines = f"O{order}", make_lines(*[(item, str(cases)) for item, cases in wanted[order - 1]])
        held = table.read_reservation(order_id).state == "RESERVED"
        match kind:
            case "reserve":
                ledger.reserve(order_id, version, DC, lines)
            case "release":
                ledger.release(order_id, version)
            case "expire":
                ledger.expire(order_id, version)
            case "commit" if held:
                ledger.commit(order_id, DC, lines)
            case "restock":
                ledger.restock(order_id)
    held_lines = [line for each in table.reservations.values() if each.state == "RESERVED" for line in each.lines]
    reserved = rules.sum_by_item(held_lines)
    for item in "AB":
        level = table.levels[DC, item]
        assert level.reserved == reserved.get(item, 0)
        assert 0 <= level.reserved <= level.on_hand
    assert isinstance(table.levels[DC, "A"], StockLevel)
