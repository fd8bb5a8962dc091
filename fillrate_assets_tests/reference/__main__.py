"""The package against the reference, over as many random directories as are wanted.

    python -m fillrate_assets_tests.reference FIRST LAST [--networks N] [--platform]

Prints the differences of each seed, none where there are none, and exits with 1 if there are any. With `--platform`,
each directory is loaded into a home and run in Dagster by ranges of days in any order, which takes some seconds each.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from random import Random

from fillrate_assets_tests.fixtures.home import Home
from fillrate_assets_tests.fixtures.instances import open_in_memory
from fillrate_assets_tests.reference import comparison, model, platform
from fillrate_assets_tests.reference.generator import generate


def main() -> int:
    """Generate, compare, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("first", type=int)
    parser.add_argument("last", type=int)
    parser.add_argument("--networks", type=int, default=1, help="networks in a directory")
    parser.add_argument("--platform", action="store_true", help="load and run, instead of calculating from files")
    wanted = parser.parse_args()
    os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", "1000")
    wrong = 0
    for seed in range(wanted.first, wanted.last + 1):
        with tempfile.TemporaryDirectory() as place:
            folder = generate(seed, wanted.networks).write(Path(place) / "files")
            found = _run_platform(folder, seed) if wanted.platform else comparison.compare(folder)
        wrong += bool(found)
        print("\n".join([f"seed {seed}: {len(found)} differences", *[f"  {each}" for each in found]]), flush=True)  # noqa: T201 - a command
    return 1 if wrong else 0


def _run_platform(folder: Path, seed: int) -> list[str]:
    if platform.is_empty(folder):
        return []
    random, home = Random(seed), Home(folder.parent / "home")  # noqa: S311 - no secret
    expected = model.compute(folder, comparison.LOADED_AT)
    platform.load(home, folder)
    ranges = platform.split_days(home, expected, random, random.choice((1, 5, 60)))
    with open_in_memory() as instance:
        platform.run(home, instance, ranges)
    return platform.compare_platform(home, expected)


if __name__ == "__main__":
    sys.exit(main())
