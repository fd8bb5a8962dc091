"""How the lake's Parquet is best written: codecs, statistics and groups of rows, for each frame.

    python -m benchmarks.lake_files .fillrate/lake

It takes files of a lake that there is, in memory, and writes and reads them in each way by turns: the CPU seconds of
the best turn count. Ratios are to what Polars does of itself: zstd at level 3 with statistics, and one group of rows.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from time import process_time
from typing import Any, Final, NamedTuple

import polars as pl

FRAMES: Final = (
    *("orders", "shipments", "instock_snapshots", "items", "classified_lines", "item_days"),
    *("rolling_averages", "lost_cases", "fill_rates"),
)
WAYS: Final[Mapping[str, Mapping[str, Any]]] = {
    "as Polars does": {},
    "no statistics": {"statistics": False},
    "zstd 1": {"compression_level": 1},
    "zstd 1, no statistics": {"compression_level": 1, "statistics": False},
    "lz4": {"compression": "lz4"},
    "snappy": {"compression": "snappy"},
    "groups of 20,000": {"row_group_size": 20_000},
}
FIRST: Final = "as Polars does"


class Cost(NamedTuple):
    """What a way costs: CPU seconds, and bytes."""

    write: float
    read: float
    size: int


def main() -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("lake", type=Path, help="folder of the lake")
    parser.add_argument("--files", type=int, default=4, help="files of each frame, the largest (default: 4)")
    parser.add_argument("--turns", type=int, default=12, help="turns of each way (default: 12)")
    arguments = parser.parse_args()
    costs = {
        frame: _measure(found, arguments.turns)
        for frame in FRAMES
        if (found := _read_largest(arguments.lake / frame, arguments.files))
    }
    if not costs:
        sys.exit(f"there are no frames in {arguments.lake}")
    costs["all"] = {way: _add_up(of_frame[way] for of_frame in costs.values()) for way in WAYS}
    for frame, of_frame in costs.items():
        _report(frame, of_frame)
    return 0


def _read_largest(folder: Path, most: int) -> list[pl.DataFrame]:
    files = sorted(folder.rglob("*.parquet"), key=lambda file: file.stat().st_size, reverse=True)
    return [pl.read_parquet(file, hive_partitioning=False, glob=False) for file in files[:most]]


def _measure(frames: list[pl.DataFrame], turns: int) -> dict[str, Cost]:
    found: dict[str, list[Cost]] = {way: [] for way in WAYS}
    for _ in range(turns):
        for way, options in WAYS.items():
            found[way].append(_write_and_read(frames, options))
    return {way: Cost(*map(min, zip(*of_way, strict=True))) for way, of_way in found.items()}


def _write_and_read(frames: list[pl.DataFrame], options: Mapping[str, Any]) -> Cost:
    contents = [io.BytesIO() for _ in frames]
    started = process_time()
    for frame, content in zip(frames, contents, strict=True):
        frame.write_parquet(content, **options)
    written = process_time()
    for content in contents:
        content.seek(0)
        pl.read_parquet(content)
    return Cost(written - started, process_time() - written, sum(len(content.getbuffer()) for content in contents))


def _add_up(costs: Iterable[Cost]) -> Cost:
    return Cost(*map(sum, zip(*costs, strict=True)))


def _report(frame: str, costs: Mapping[str, Cost]) -> None:
    first = costs[FIRST]
    print(f"{frame}: written in {first.write:.4f} s, read in {first.read:.4f} s, {first.size:,} bytes")
    for way, cost in costs.items():
        both = (cost.write + cost.read) / (first.write + first.read)
        ratios = f"write {cost.write / first.write:.2f}, read {cost.read / first.read:.2f}, both {both:.2f}"
        print(f"  {way:22} {ratios}, size {cost.size / first.size:.2f}")


if __name__ == "__main__":
    sys.exit(main())
