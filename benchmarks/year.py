"""A year of the main job's rules and lake, against the same rules in pandas and DuckDB and against reading and writing.

    python -m benchmarks.year                                   # 10 DCs x 7,209 items x 365 days, from order lines
    python -m benchmarks.year --of item-days                    # the judging alone: baselines and lost cases
    python -m benchmarks.year --dcs 1 --days 60 --items 2000    # a small one
    python -m benchmarks.year --dcs 2 --method-2                # and what the second method costs beside the first

Every contender runs in its own process, DC by DC, reads the same Parquet files (one per table, DC and ship date) and
writes its results in the same layout. The sums of O, S, confirmed and estimated cases must agree to the last digit.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from benchmarks.year_contenders import MEASURES, Outcome, run_bare, run_duckdb, run_pandas, run_rules
from benchmarks.year_methods import report_method_2, run_both_methods
from benchmarks.year_network import INPUTS, LINES, Size, generate
from fillrate_assets.core import decimals

_LONGEST_SECONDS: Final = 4 * 3600

T = TypeVar("T")


def main() -> int:
    """Generate the input, run the contenders, compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--dcs", type=int, default=10)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--items", type=int, default=7_209)
    parser.add_argument("--of", choices=[*INPUTS], default=LINES, help="what the contenders begin with")
    parser.add_argument("--method-2", action="store_true", help="estimate by method 2 as well, instead of comparing")
    parser.add_argument("--directory", type=Path, help="where to put the data; default: a temporary directory")
    arguments = parser.parse_args()
    size = Size(arguments.dcs, arguments.days, arguments.items, arguments.of)
    with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
        root = Path(directory)
        _run_in_a_process(generate, root, size)
        count = size.dcs * size.items * size.days
        print(f"{size.dcs} DCs x {size.items:,} items x {size.days} days = {count:,} item-days, from {size.of}")
        if arguments.method_2:
            return report_method_2(*_run_in_a_process(run_both_methods, root, size))
        outcomes = []
        for contender in (run_rules, run_pandas, run_duckdb, run_bare):
            outcomes.append(_run_in_a_process(contender, root, size))
            print(f"  {outcomes[-1].name:<28}{outcomes[-1].seconds:9.1f} s", flush=True)
    return report(outcomes)


def report(outcomes: list[Outcome]) -> int:
    """Print the comparison; 1 when the results differ."""
    ours, bare = outcomes[0], outcomes[-1]
    print(f"\n{'contender':<28}{'seconds':>10}{'to ours':>10}{'CPU s':>10}{'to ours':>10}{'peak GB':>10}  results")
    for outcome in outcomes:
        wall, cpu = outcome.seconds / ours.seconds, outcome.cpu_seconds / ours.cpu_seconds
        print(
            f"{outcome.name:<28}{outcome.seconds:>10.1f}{wall:>9.2f}x{outcome.cpu_seconds:>10.1f}{cpu:>9.2f}x"
            f"{outcome.peak_gb:>10.2f}  {_judge(outcome, ours)}"
        )
    print("\nSums in cases: " + ", ".join(f"{name} {ours.totals[name] / decimals.PLACES:,.4f}" for name in MEASURES))
    print(
        "\nHow to read: above 1.00x is slower than ours; CPU seconds count the work of all cores and depend less on\n"
        "what else the machine does. The last row reads the same input and writes the same output without any rule\n"
        f"between: ours takes {ours.seconds / bare.seconds:.2f} times its seconds. pandas and DuckDB compute the "
        "columns that carry the result\nand leave out what people read beside it (rejects as JSON, substitutes, "
        "waivers), so they do somewhat less\nthan ours. Peak GB is the resident memory of the contender's own process."
    )
    return int(any(_judge(outcome, ours) == "MISMATCH" for outcome in outcomes))


def _judge(outcome: Outcome, ours: Outcome) -> str:
    if not outcome.totals:
        return "-"
    return "equal" if outcome.totals == ours.totals else "MISMATCH"


def _run_in_a_process(work: Callable[[Path, Size], T], root: Path, size: Size) -> T:
    """Memory is measured per process, so each contender gets a fresh one."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, root, size).result(_LONGEST_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
