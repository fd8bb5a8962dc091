"""A soak: processes are killed at random, what they send comes twice and in no order, and nothing may be missing.

    python -m fillrate_assets_tests.soak                              # fulfillment, 1,000 kills on SQLite
    python -m fillrate_assets_tests.soak --postgresql                 # and of a PostgreSQL server of its own, too
    python -m fillrate_assets_tests.soak inventory --kills 50 --seconds 60

Processes and the database server are killed (`kill -9`) and started again, until there were so many kills or the time
is up. Then what is left is done, and what there is compared. It exits with 1 if anything was lost or done twice.

fulfillment: workers, the intake over HTTP, and clients. Log, heads, effects, queues, what the intake has acknowledged
and what targets did have to agree.

inventory: workers, writers, the systems of three DCs, which are gone for a while, and one who sends DCs old changes.
All copies have to be equal after one reconciliation, which the second proves; then DCs and the ledger are spoilt.
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
from fillrate_assets_tests.soak.fulfillment_findings import FULFILLMENT
from fillrate_assets_tests.soak.inventory_findings import INVENTORY
from fillrate_assets_tests.soak.killing import Soak
from fillrate_assets_tests.soak.place import Place, find_ports

_DRAIN_SECONDS: Final = 300
WORKLOADS: Final = {"fulfillment": FULFILLMENT, "inventory": INVENTORY}


def main() -> None:
    """Kill, and say what is left."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("area", nargs="?", choices=[*WORKLOADS], default="fulfillment")
    parser.add_argument("--kills", type=int, default=1_000, help="how many (default: 1000)")
    parser.add_argument("--seconds", type=int, default=900, help="for how long at most (default: 900)")
    parser.add_argument("--pause", type=float, default=0.4, help="seconds between two, in the mean (default: 0.4)")
    parser.add_argument("--seed", type=int, default=1, help="another seed, other victims (default: 1)")
    parser.add_argument("--postgresql", action="store_true", help="on a PostgreSQL server of its own")
    parser.add_argument("--directory", type=Path, help="where files are left; default: none are")
    arguments = parser.parse_args()
    begun = time.perf_counter()
    with _open(arguments) as (place, server):
        soak = Soak(WORKLOADS[arguments.area], place, server, arguments.seed)
        with soak.run():
            soak.kill(arguments.kills, arguments.seconds, pause=arguments.pause)
            killed_for = time.perf_counter() - begun
            soak.finish(_DRAIN_SECONDS)
        found = soak.workload.inspect(place)
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
            yield Place(directory, records, jobs, find_ports(), lifetime), None
            return
        with run_postgres({"max_connections": "300"}) as server:
            records, jobs = map(server.create_database, ("records", "jobs"))
            yield Place(directory, records, jobs, find_ports(), lifetime), server


if __name__ == "__main__":
    main()
