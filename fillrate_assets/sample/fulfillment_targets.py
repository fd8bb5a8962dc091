"""Simulated targets of fulfillment: slow, busy, gone for a while, silent after they did the work, and late.

They are idempotent as targets have to be: an effect is done once for its id. What they did is recorded, so that a demo
or a test finds what was doubled or lost.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Final

from fillrate_assets.core.errors import PermanentFailure, SourceUnavailable
from fillrate_assets.fulfillment.log_port import EffectRequest
from fillrate_assets.fulfillment.sources.stock_target import StockTarget, read_lines
from fillrate_assets.fulfillment.sources.targets import TargetAnswer, TargetEvent
from fillrate_assets.inventory.rules.reservations import NONE, OrderLine, sum_by_item
from fillrate_assets.inventory.stock_ledger import StockLedger
from fillrate_assets.sample.order_stock import OrderStock
from fillrate_assets.sample.stock_in_memory import StockInMemory

_REFUSED_SHARE: Final = 0.02
_SHORT_SHARE: Final = 0.05
_PICK_SHORT_SHARE: Final = 0.03
_PARTS_SHARE: Final = 0.1


@dataclass(frozen=True)
class Faults:
    """How badly targets behave; shares of requests."""

    latency_seconds: float = 0.002
    """Mean."""

    throttled_share: float = 0.0
    timed_out_share: float = 0.0
    """Of requests that were done, and got no answer."""

    refused_share: float = 0.0
    """Of effects that are refused for good."""

    late_seconds: float = 0.5
    """How much later a system reports what it does after the request."""


@dataclass
class SimulatedWorld:
    """All targets, with what they did. Threads share it."""

    faults: Faults = Faults()
    seed: int = 1
    stock: OrderStock = field(default_factory=OrderStock)
    down: set[str] = field(default_factory=set)
    """Functions that do not answer now."""

    done: Counter[tuple[str, int, str]] = field(default_factory=Counter)
    """How often each effect was done: by order, version and kind, whatever its id was."""

    answers: dict[str, TargetAnswer] = field(default_factory=dict)
    requests: Counter[str] = field(default_factory=Counter)
    """How often each effect was requested, by its id."""

    inventory: StockLedger = field(default_factory=lambda: StockLedger(StockInMemory()))
    """Of which orders reserve."""

    receives_missing: bool = True
    """Whether what an order is not to be short of comes in just before; else orders take what was counted."""

    _lock: threading.Lock = field(default_factory=threading.Lock)

    def make_targets(self, functions: tuple[str, ...]) -> dict[str, SimulatedTarget]:
        """Make the target of each function."""
        return {name: SimulatedTarget(name, self) for name in functions}

    def perform(self, function: str, effect: EffectRequest) -> TargetAnswer:
        """Do what is requested, once; badly, as the faults say."""
        with self._lock:
            self.requests[effect.effect_id] += 1
            attempt = self.requests[effect.effect_id]
        # Of the effect and attempt, not of the order in which threads come.
        drawn = random.Random(f"{self.seed} {effect.effect_id} {attempt}")  # noqa: S311 - a simulation
        if function in self.down:
            msg = f"{function} does not answer"
            raise SourceUnavailable(msg)
        time.sleep(drawn.expovariate(1 / self.faults.latency_seconds))
        if drawn.random() < self.faults.throttled_share:
            msg = f"{function} answers 429: too many requests"
            raise SourceUnavailable(msg)
        if random.Random(f"{self.seed} {effect.effect_id}").random() < self.faults.refused_share:  # noqa: S311 - as above
            msg = f"{function} refuses {effect.kind}"
            raise PermanentFailure(msg)
        with self._lock:
            if effect.effect_id not in self.answers:
                self.done[effect.order_id, effect.version, effect.kind] += 1
                self.answers[effect.effect_id] = TargetAnswer([*self._answer(effect)])
        if drawn.random() < self.faults.timed_out_share:
            msg = f"{function} timed out"
            raise SourceUnavailable(msg)
        return self.answers[effect.effect_id]

    def _answer(self, effect: EffectRequest) -> Iterator[TargetEvent]:
        drawn = random.Random(f"{self.seed} {effect.effect_id}")  # noqa: S311 - as above
        late = self.faults.late_seconds * drawn.uniform(0.5, 1.5)
        lines = effect.details["order"].get("lines", [])
        match effect.kind:
            case "validate_order" | "validate_party":
                subject = "Order" if effect.kind == "validate_order" else "Onboarding"
                refused = drawn.random() < _REFUSED_SHARE
                validated = TargetEvent(f"{subject}Validated")
                yield TargetEvent(f"{subject}Refused", {"reason": "no credit"}) if refused else validated
            case "reserve_stock" | "await_stock" | "release_stock" | "consume_stock":
                yield from self._move_stock(effect, late, short=drawn.random() < _SHORT_SHARE)
            case "restock":
                yield from StockTarget(self.inventory).request(effect).events
            case "start_picking":
                yield TargetEvent("PickingStarted")
                short = drawn.random() < _PICK_SHORT_SHARE
                packed = TargetEvent("OrderPacked", {}, late)
                yield TargetEvent("PickShort", {"lines": lines[:1]}, late) if short else packed
            case "book_carrier":
                yield TargetEvent("CarrierBooked", {"carrier": "C1", "tracking": effect.effect_id})
                yield from self._ship(effect, lines, late, parts=drawn.random() < _PARTS_SHARE)
            case "provision_party":
                yield TargetEvent("PartyProvisioned", {}, late)
            case "activate_party":
                yield TargetEvent("PartyActivated")
            case _:
                return

    def _move_stock(self, effect: EffectRequest, late: float, *, short: bool) -> Iterator[TargetEvent]:
        """Let the stock do it; a backorder is filled by what comes in."""
        waits = effect.kind == "await_stock"
        if self.receives_missing and (waits or (effect.kind == "reserve_stock" and not short)):
            self._receive_missing(effect)
        for event in StockTarget(self.inventory).request(effect).events:
            yield replace(event, delay_seconds=late if waits else 0)

    def _receive_missing(self, effect: EffectRequest) -> None:
        needed = sum_by_item([OrderLine(*line) for line in read_lines(effect)])
        available = self.inventory.table.read_available(effect.dc, [*needed])
        missing = {item: cases - available.get(item, NONE) for item, cases in needed.items()}
        self.inventory.receive(effect.dc, {item: cases for item, cases in missing.items() if cases > NONE})

    def _ship(
        self, effect: EffectRequest, lines: list[Mapping[str, Any]], late: float, *, parts: bool
    ) -> Iterator[TargetEvent]:
        """Report the shipments of an order, the last one final, and its delivery."""
        day = effect.ship_date
        left = arrived = None
        if day is not None:
            left, arrived = self.stock.find_times(day, effect.order_id)
            lines = [{**line, "cases": self.stock.ship_line(effect.dc, day, effect.order_id, line)} for line in lines]

        def confirm(number: int, shipped: list[Mapping[str, Any]], *, final: bool) -> TargetEvent:
            shipment = f"{effect.order_id}-{effect.version}-{number}"
            payload = {"shipment_id": shipment, "lines": shipped, "final": final}
            return TargetEvent("ShipmentConfirmed", payload, late * 1.5 if final else late, left)

        if parts:
            first, *rest = lines
            half = Decimal(str(first["cases"])) // 2
            yield confirm(1, [{**first, "cases": str(half)}], final=False)
            lines = [{**first, "cases": str(Decimal(str(first["cases"])) - half)}, *rest]
        yield confirm(2, lines, final=True)
        yield TargetEvent("DeliveryConfirmed", {}, late * 2, arrived)
        if self.stock.reports_more(effect.order_id):
            yield replace(confirm(3, lines[:1], final=True), delay_seconds=late * 3)


@dataclass(frozen=True)
class SimulatedTarget:
    """The target of one function."""

    function: str
    world: SimulatedWorld

    def request(self, effect: EffectRequest) -> TargetAnswer:
        """Request an effect."""
        return self.world.perform(self.function, effect)
