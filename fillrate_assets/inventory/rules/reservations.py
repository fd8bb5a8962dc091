"""What a request of an order does to its reservation and to the stock: all of its lines, or none (decision 0271).

Quantities are summed by item first: two lines of one item must not oversell it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final, Literal, NamedTuple

NONE: Final = Decimal(0)
ReservationState = Literal["NEW", "RESERVED", "RELEASED", "EXPIRED", "COMMITTED", "RETURNED"]
"""NEW: nothing is stored. EXPIRED: released, since it was not used in time. COMMITTED: the goods have left."""

Outcome = Literal["RESERVED", "SHORT", "RELEASED", "COMMITTED", "RETURNED"]


class OrderLine(NamedTuple):
    """A line of an order."""

    line_no: int
    item: str
    cases: Decimal


@dataclass(frozen=True)
class Reservation:
    """The reservation of an order."""

    order_id: str
    dc: str = ""
    state: ReservationState = "NEW"
    version: int = 0
    """Of the order, for which it was taken."""

    released_below: int = 0
    """Requests of lower versions of the order come too late."""

    revision: int = 0
    lines: tuple[OrderLine, ...] = ()


@dataclass(frozen=True)
class StockChange:
    """What is added to the stock of an item."""

    on_hand: Decimal = NONE
    reserved: Decimal = NONE


@dataclass(frozen=True)
class Movement:
    """What a request does; nothing is to be written where `after` is None."""

    outcome: Outcome
    after: Reservation | None = None
    changes: Mapping[str, StockChange] = field(default_factory=dict)
    """By item."""

    short: tuple[str, ...] = ()
    """Items of which there is too little."""


def sum_by_item(lines: Iterable[OrderLine]) -> dict[str, Decimal]:
    """Sum the lines of an order by item, in the order of items: writers lock them in one order."""
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for line in lines:
        sums[line.item] += line.cases
    return dict(sorted(sums.items()))


def reserve(
    before: Reservation, version: int, dc: str, lines: Sequence[OrderLine], available: Mapping[str, Decimal]
) -> Movement:
    """Reserve the lines of an order.

    Args:
        before: its reservation.
        version: of the order, that requests it.
        dc: whose stock it is.
        lines: of the order.
        available: what is there and not reserved, by item.

    """
    if before.state in {"COMMITTED", "RETURNED"} or (before.state == "RESERVED" and before.version >= version):
        return Movement("RESERVED")
    if version < before.released_below:
        return Movement("RELEASED")
    if before.state == "RESERVED":
        return Movement("RESERVED", _step(before, version=version))
    needed = sum_by_item(lines)
    if short := tuple(item for item, cases in needed.items() if available.get(item, NONE) < cases):
        return Movement("SHORT", short=short)
    after = _step(before, dc=dc, state="RESERVED", version=version, lines=tuple(lines))
    return Movement("RESERVED", after, {item: StockChange(reserved=cases) for item, cases in needed.items()})


def release(before: Reservation, version: int) -> Movement:
    """Give back what was reserved for lower versions of the order; what is requested for them later comes too late."""
    if before.state in {"COMMITTED", "RETURNED"} or before.released_below >= version:
        return Movement("RELEASED")
    if before.state != "RESERVED":
        return Movement("RELEASED", _step(before, state="RELEASED", released_below=version))
    if before.version >= version:
        return Movement("RELEASED", _step(before, released_below=version))
    given = {item: StockChange(reserved=-cases) for item, cases in sum_by_item(before.lines).items()}
    return Movement("RELEASED", _step(before, state="RELEASED", released_below=version), given)


def expire(before: Reservation, revision: int) -> Movement:
    """Give back what was not used in time, unless the reservation is another one by now.

    The request that it came from comes too late from then on; a later one of the order may reserve again.
    """
    if before.state != "RESERVED" or before.revision != revision:
        return Movement("RELEASED")
    given = {item: StockChange(reserved=-cases) for item, cases in sum_by_item(before.lines).items()}
    return Movement("RELEASED", _step(before, state="EXPIRED", released_below=before.version + 1), given)


def commit(before: Reservation, dc: str, lines: Sequence[OrderLine]) -> Movement:
    """Take the goods of an order that has left out of the stock, also where their reservation was released before."""
    if before.state in {"COMMITTED", "RETURNED"}:
        return Movement("COMMITTED")
    if before.state == "RESERVED":
        taken = {item: StockChange(-cases, -cases) for item, cases in sum_by_item(before.lines).items()}
        return Movement("COMMITTED", _step(before, state="COMMITTED"), taken)
    gone = {item: StockChange(-cases) for item, cases in sum_by_item(lines).items()}
    return Movement("COMMITTED", _step(before, dc=dc, state="COMMITTED", lines=tuple(lines)), gone)


def restock(before: Reservation) -> Movement:
    """Put the goods of an order that came back into the stock, once."""
    if before.state != "COMMITTED":
        return Movement("RETURNED")
    back = {item: StockChange(cases) for item, cases in sum_by_item(before.lines).items()}
    return Movement("RETURNED", _step(before, state="RETURNED"), back)


def _step(before: Reservation, **changes: object) -> Reservation:
    return replace(before, revision=before.revision + 1, **changes)  # type: ignore[arg-type] # fields of a reservation
