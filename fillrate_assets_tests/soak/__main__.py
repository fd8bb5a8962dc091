"""A soak of fulfillment: processes are killed at random, events come twice and in no order, and nothing may be missing.

    python -m fillrate_assets_tests.soak                              # 1,000 kills on SQLite
    python -m fillrate_assets_tests.soak --postgresql                 # and of a PostgreSQL server of its own, too
    python -m fillrate_assets_tests.soak --kills 50 --seconds 60

Workers, the intake over HTTP, clients and the database server are killed (`kill -9`) and started again, until there
were so many kills or the time is up. Then what is left is done, and log, heads, effects, queues, what the intake has
acknowledged and what targets did are compared. It exits with 1 if anything was lost or done twice.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from fillrate_assets_tests.fixtures.postgres import Postgres, run_postgres
from fillrate_assets_tests.soak.findings import inspect
from fillrate_assets_tests.soak.killing import Soak, find_port
from fillrate_assets_tests.soak.processes import Place

_DRAIN_SECONDS: Final = 300


def main() -> None:
    """Kill, and say what is left."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--kills", type=int, default=1_000, help="how many (default: 1000)")
    parser.add_argument("--seconds", type=int, default=900, help="for how long at most (default: 900)")
    parser.add_argument("--pause", type=float, default=0.4, help="seconds between two, in the mean (default: 0.4)")
    parser.add_argument("--seed", type=int, default=1, help="another seed, other victims (default: 1)")
    parser.add_argument("--postgresql", action="store_true", help="on a PostgreSQL server of its own")
    parser.add_argument("--directory", type=Path, help="where files are left; default: none are")
    arguments = parser.parse_args()
    begun = time.perf_counter()
    with _open(arguments) as (place, server):
        soak = Soak(place, server, arguments.seed)
        with soak.run():
            soak.kill(arguments.kills, arguments.seconds, pause=arguments.pause)
            killed_for = time.perf_counter() - begun
            soak.finish(_DRAIN_SECONDS)
        found = inspect(place)
    killed = ", ".join(f"{count:,} {kind}" for kind, count in sorted(soak.killed.items()))
    verdict = "nothing lost, nothing done twice" if found.is_right else "WRONG"
    lines = [
        f"killed {sum(soak.killed.values()):,} times in {killed_for:.0f} s: {killed}",
        f"ended by themselves: {soak.ended.total():,}",
        *(f"{name}: {count:,}" for name, count in {**found.counts, **found.wrong}.items()),
        f"{time.perf_counter() - begun:.0f} s in all: {verdict}",
    ]
    print("\n".join(lines))  # noqa: T201 - a command
    sys.exit(0 if found.is_right else 1)


@contextmanager
def _open(arguments: argparse.Namespace) -> Iterator[tuple[Place, Postgres | None]]:
    with tempfile.TemporaryDirectory() as made:
        directory = arguments.directory or Path(made)
        directory.mkdir(parents=True, exist_ok=True)
        lifetime = arguments.seconds + 2 * _DRAIN_SECONDS
        if not arguments.postgresql:
            records, jobs = (f"sqlite:///{directory}/{name}.db" for name in ("records", "jobs"))
            yield Place(directory, records, jobs, find_port(), lifetime), None
            return
        with run_postgres({"max_connections": "300"}) as server:
            records, jobs = map(server.create_database, ("records", "jobs"))
            yield Place(directory, records, jobs, find_port(), lifetime), server


if __name__ == "__main__":
    main()
