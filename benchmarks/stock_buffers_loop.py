"""The closed loop: items of the sample network reordered by several policies, on the same demand.

    python -m benchmarks.stock_buffers_loop [--items N] [--seed N] [--late SHARE]

Each policy runs with several parameters. What it loses at the mean stock of the sample's own policy is read off the
line between its two runs around that stock, on a logarithmic scale.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
from collections.abc import Sequence
from datetime import date
from typing import Final

from fillrate_assets.core.decimals import format_percent
from fillrate_assets.sample.reordering import (
    OWN,
    SETTLING_DAYS,
    WARM_UP_DAYS,
    Outcome,
    Policy,
    draw_world,
    run_policies,
)

FIRST: Final = date(2026, 1, 5)
DAYS: Final = WARM_UP_DAYS + SETTLING_DAYS + 56
"""The warm-up, the weeks in which stock settles, and eight that count."""
POLICIES: Final = (
    OWN,
    *(Policy("normal", target) for target in (0.90, 0.97, 0.99)),
    *(Policy("king", target) for target in (0.90, 0.97, 0.99)),
    *(Policy("buffers", target) for target in (0.85, 0.92, 0.97)),
)
NAMES: Final = {"normal": "z sigma sqrt(L)", "king": "King", "buffers": "error quantile"}


def main() -> int:
    """Run, compare, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--items", type=int, default=600, help="how many, of which some are not put away")
    parser.add_argument("--seed", type=int, default=1, help="of the network")
    parser.add_argument("--late", type=float, default=0.0, help="share of the deliveries that are late")
    arguments = parser.parse_args()
    world = draw_world(arguments.seed, arguments.items, FIRST, DAYS, arguments.late)
    print(f"{world.items.height:,} items, {DAYS} days from {FIRST}, {format_percent(arguments.late, 0)} late\n")
    outcomes = run_policies(world, POLICIES)
    print(f"{'policy':<18}{'mean stock':>12}{'lost':>10}")
    for outcome in outcomes:
        print(f"{outcome.policy.name:<18}{outcome.mean_stock_cases:>12,.0f}{format_percent(outcome.lost_share, 2):>10}")
    own = outcomes[0]
    print(f"\nAt {own.mean_stock_cases:,.0f} cases, of which the sample's own policy loses {own.lost_cases:,.0f}:")
    for formula, name in NAMES.items():
        runs = [outcome for outcome in outcomes if outcome.policy.formula == formula]
        lost = interpolate(runs, own.mean_stock_cases)
        change = "not within its runs" if lost is None else f"{lost:,.0f} lost, {lost / own.lost_cases - 1:+.0%}"
        print(f"  {name:<18}{change}")
    return 0


def interpolate(runs: Sequence[Outcome], stock: float) -> float | None:
    """Interpolate what is lost at a mean stock; None where no two runs lie around it."""
    ordered = sorted(runs, key=lambda run: run.mean_stock_cases)
    for low, high in itertools.pairwise(ordered):
        if low.mean_stock_cases <= stock <= high.mean_stock_cases and min(low.lost_cases, high.lost_cases) > 0:
            part = (stock - low.mean_stock_cases) / (high.mean_stock_cases - low.mean_stock_cases)
            return low.lost_cases * math.exp(part * math.log(high.lost_cases / low.lost_cases))
    return None


if __name__ == "__main__":
    sys.exit(main())
