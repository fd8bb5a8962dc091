"""The inventory as a target: reservations are taken of a stock that is at hand, and not over HTTP.

Which stock that is, is decided where both are known.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.fulfillment.log_port import EffectRequest
from fillrate_assets.fulfillment.sources.targets import TargetAnswer, TargetEvent

Lines = Sequence[tuple[int, str, Decimal]]
"""Of an order: number, item, cases."""


class Stock(Protocol):
    """A stock of which orders reserve; a request that comes again does nothing."""

    def reserve(self, order_id: str, version: int, dc: str, lines: Lines) -> str:
        """Reserve the lines of an order, all or none: RESERVED, SHORT, or RELEASED where it comes too late."""

    def release(self, order_id: str, version: int) -> str:
        """Give back what was reserved for lower versions of an order."""

    def commit(self, order_id: str, dc: str, lines: Lines) -> str:
        """Take the goods of an order that has left out of the stock."""

    def restock(self, order_id: str) -> str:
        """Put the goods of an order that came back into the stock."""


@dataclass(frozen=True)
class StockTarget:
    """The target of the effects of the inventory."""

    stock: Stock

    def request(self, effect: EffectRequest) -> TargetAnswer:
        """Request an effect."""
        return TargetAnswer([*self._answer(effect)])

    def _answer(self, effect: EffectRequest) -> Iterator[TargetEvent]:
        lines = read_lines(effect)
        match effect.kind:
            case "reserve_stock" | "await_stock":
                outcome = self.stock.reserve(effect.order_id, effect.version, effect.dc, lines)
                if outcome == "RESERVED":
                    yield TargetEvent("InventoryReserved")
                elif outcome == "SHORT" and effect.kind == "reserve_stock":
                    yield TargetEvent("InventoryShort")
            case "release_stock":
                self.stock.release(effect.order_id, effect.version)
                yield TargetEvent("ReservationReleased")
            case "consume_stock":
                self.stock.commit(effect.order_id, effect.dc, lines)
            case "restock":
                self.stock.restock(effect.order_id)
            case _:
                msg = f"the inventory does not do {effect.kind}"
                raise PermanentFailure(msg)


def read_lines(effect: EffectRequest) -> Lines:
    """Read the lines of the order that requests an effect."""
    lines = effect.details["order"].get("lines", [])
    return [(int(each["line_no"]), str(each["item"]), Decimal(str(each["cases"]))) for each in lines]
