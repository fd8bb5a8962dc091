"""What copies would be, had each change been sent once: a measure for a sync that sends again, and compares."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from fillrate_assets.inventory.rules.replication import StockCount, apply_change
from fillrate_assets.sample.faulty_replica import FaultyReplica


def count_discrepancies(
    changes: Sequence[StockCount], replicas: Mapping[str, FaultyReplica], gone: str, batch: int
) -> int:
    """Count the copies that would differ from the source.

    Args:
        changes: of all counts, in their order.
        replicas: with their faults; what they have is not looked at.
        gone: the replica that does not answer for the middle third.
        batch: changes of one request.

    """
    latest = {change.key: change for change in changes}
    differing = 0
    for name, replica in replicas.items():
        drawn = random.Random(f"{replica.seed} {name} once")  # noqa: S311 - a simulation
        copies: dict[tuple[str, str], StockCount] = {}
        for start in range(0, len(changes), batch):
            is_gone = name == gone and 1 / 3 <= start / len(changes) < 2 / 3
            # A request that is silent was done all the same.
            if drawn.random() >= replica.busy_share and not is_gone:
                for change in changes[start : start + batch]:
                    copies[change.key] = apply_change(copies.get(change.key), change).copy
        differing += sum(copies.get(key) != change for key, change in latest.items())
    return differing
