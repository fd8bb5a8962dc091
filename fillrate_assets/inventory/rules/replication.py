"""The replica rule: what a change does to a copy of a count.

A change has absolute values and the version of the count, so that it may come twice, late and in any order. How changes
travel belongs to `messaging`, how copies are compared to `reconciliation`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Literal

Outcome = Literal["APPLIED", "STALE", "DUPLICATE", "CONFLICT"]
"""STALE: a later version is there. CONFLICT: this version is there, and it has other values."""


@dataclass(frozen=True)
class StockCount:
    """A count of one item in one DC, as of one version of it."""

    dc: str
    """Where the stock is."""

    item: str
    on_hand: Decimal
    """Cases; negative where more was shipped than was counted."""

    reserved: Decimal
    seq: int
    """Counts up in the same write as the quantities."""

    deleted: bool
    """Whether the DC no longer stocks the item; the row stays, so that an older change does not bring it back."""

    occurred_at: datetime
    origin: str
    change_id: str

    def __post_init__(self) -> None:
        """Refuse what no count can be.

        Raises:
            ValueError: a quantity is no number, less than nothing is reserved, or the version is not positive.

        """
        for name in ("on_hand", "reserved"):
            cases: Decimal = getattr(self, name)
            if not cases.is_finite():
                msg = f"{name} of {self.item} in {self.dc} is {cases}: a count is a number"
                raise ValueError(msg)
        if self.reserved < 0:
            msg = f"reserved of {self.item} in {self.dc} is {self.reserved}: orders reserve nothing or more"
            raise ValueError(msg)
        if self.seq < 1:
            msg = f"seq of {self.item} in {self.dc} is {self.seq}: versions count from 1"
            raise ValueError(msg)

    @property
    def key(self) -> tuple[str, str]:
        """Return the DC and the item."""
        return (self.dc, self.item)

    @property
    def values(self) -> tuple[Decimal, Decimal, bool]:
        """Return what two changes of one version have to agree on."""
        return (self.on_hand, self.reserved, self.deleted)

    @property
    def available(self) -> Decimal:
        """Return what can be promised; negative where a recount found less than is reserved."""
        return Decimal(0) if self.deleted else self.on_hand - self.reserved


@dataclass(frozen=True)
class Applied:
    """What a change did to a copy."""

    outcome: Outcome
    copy: StockCount
    """What the copy has afterwards."""

    skipped: int = 0
    """Versions between the one before and this one, which are no longer needed."""


def apply_change(copy: StockCount | None, change: StockCount) -> Applied:
    """Apply a change to a copy of its count; None where there is no copy yet."""
    if copy is None:
        return Applied("APPLIED", change)
    if change.seq > copy.seq:
        return Applied("APPLIED", change, change.seq - copy.seq - 1)
    if change.seq < copy.seq:
        return Applied("STALE", copy)
    return Applied("DUPLICATE" if change.values == copy.values else "CONFLICT", copy)


@dataclass(frozen=True)
class Cause:
    """Who changes a count, and by what."""

    origin: str
    """A system, the reconciliation, or a person."""

    change_id: str


def restate(latest: StockCount | None, key: tuple[str, str], *, above: int, cause: Cause, now: datetime) -> StockCount:
    """Return a count as a version that every copy takes, whatever it has.

    Args:
        latest: at the source; None where the source does not know the count, which is stated as deleted then.
        key: the DC and the item.
        above: the highest version of a copy.
        cause: of the restatement.
        now: UTC.

    """
    known = latest or StockCount(*key, Decimal(0), Decimal(0), 1, deleted=True, occurred_at=now, **vars(cause))
    return replace(known, seq=max(known.seq, above) + 1, occurred_at=now, **vars(cause))


def take_stock(
    latest: StockCount | None, key: tuple[str, str], on_hand: Decimal, *, deleted: bool, cause: Cause, now: datetime
) -> StockCount | None:
    """Return a count after somebody counted; None where that changes nothing.

    Args:
        latest: at the source; None where the item is new there.
        key: the DC and the item.
        on_hand: cases that were counted.
        deleted: whether the DC no longer stocks the item.
        cause: of the count.
        now: UTC.

    """
    if latest is None:
        return StockCount(*key, on_hand, Decimal(0), 1, deleted=deleted, occurred_at=now, **vars(cause))
    if (latest.on_hand, latest.deleted) == (on_hand, deleted):
        return None
    return replace(latest, on_hand=on_hand, deleted=deleted, seq=latest.seq + 1, occurred_at=now, **vars(cause))
