"""The buyers' pages over HTTP as people wait for them, over a year of the full network, for one person and for twenty.

    python -m benchmarks.web                              # 10 DCs x 7,209 items x 365 days, some minutes
    python -m benchmarks.web --dcs 2 --items 1000         # a small one
    python -m benchmarks.web --people 20 --seconds 60 --pause 0    # how many people, for how long, how hasty

`fillrate serve` runs as a process of its own and is measured as one; what it remembers between requests is what it
remembers in production. So the first time that a page is opened is shown by itself, and each of the people opens pages
of other vendors, items and DCs. The queries alone, beside bare DuckDB, are in `benchmarks.web_queries`.
"""

from __future__ import annotations

import os
import random
import re
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Final

import httpx

from benchmarks.web_queries import (
    DEPARTMENTS,
    LAST,
    MOST_MEMORY_GB,
    MOST_SECONDS,
    Size,
    count_orders,
    fill,
    find_vendor,
    measure,
    parse_arguments,
)
from fillrate_assets import settings as settings_module

WHOLE_DAYS: Final = 92
"""Days whose lines and records pages of items and contracts read: 13 weeks and a bit."""

OTHERS: Final = 7
"""How many pages of a kind one person opens, each of something else."""

_LINK: Final = re.compile(r"http://\S+/enter/\S+")
_STARTING_SECONDS: Final = 60
_PATIENCE_SECONDS: Final = 120


@dataclass(frozen=True)
class Served:
    """A running service."""

    url: str
    link: str
    """Signs in."""
    process: subprocess.Popen[str]

    @contextmanager
    def sign_in(self) -> Iterator[httpx.Client]:
        """Open the browser of someone who signed in."""
        with httpx.Client(base_url=self.url, timeout=_PATIENCE_SECONDS, follow_redirects=True) as client:
            client.get(self.link).raise_for_status()
            yield client

    def measure_memory(self) -> float:
        """Return the most memory that it had, in GB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        (most,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
        return int(most) / 2**20


@contextmanager
def serve(home: Path) -> Iterator[Served]:
    """Serve a home until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    own = {
        "FILLRATE_HOME": str(home),
        "FILLRATE_WEB__FEEDBACK_URL": url,
        "FILLRATE_WEB__FEEDBACK_SECRET": secrets.token_hex(32),
    }
    command = [str(Path(sys.executable).with_name("fillrate")), "serve", "--port", str(port)]
    with subprocess.Popen(command, env={**os.environ, **own}, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - as above
        try:
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            link = next((found[0] for line in process.stdout if (found := _LINK.search(line))), None)
            if link is None:
                msg = f"{' '.join(command)} ended; what it wrote is above"
                raise RuntimeError(msg)
            _wait_until_open(port)
            yield Served(url, link, process)
        finally:
            process.terminate()


def _wait_until_open(port: int) -> None:
    until = perf_counter() + _STARTING_SECONDS
    while perf_counter() < until:
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    msg = "the service does not listen"
    raise TimeoutError(msg)


def list_pages(size: Size) -> dict[str, Sequence[str]]:
    """List the pages by what they are of: their paths, each of something else."""
    begin = LAST - timedelta(days=size.days - 1)
    year = f"from={begin}&to={LAST}"
    dcs = size.dc_names
    numbers = range(0, size.items, max(1, size.items // 25))
    items = [f"I{number:05}" for number in numbers]
    of_vendors = dict.fromkeys(find_vendor(number) for number in range(size.items))
    vendors, committed = ([f"V{number:03}" for number in of_vendors if number % step == 0] for step in (1, 10))
    departments = sorted({f"D{number % DEPARTMENTS}" for number in of_vendors})
    customers = [f"C{number}" for number in range(min(25, count_orders(size.items)))]
    days = [begin + timedelta(days=number) for number in range(0, min(size.days, 90), 7)]
    return {
        "network, 4 weeks": [f"/service?to={LAST}&from={LAST - timedelta(days=27 + n)}" for n in range(OTHERS)],
        "network, the year": [f"/service?from={first}&to={LAST}" for first in days],
        "DC": [f"/service/dc/{dc}" for dc in dcs],
        "DC, the year": [f"/service/dc/{dc}?{year}" for dc in dcs],
        "vendor": [f"/service/vendor/{vendor}" for vendor in vendors],
        "vendor, the year": [f"/service/vendor/{vendor}?{year}" for vendor in vendors],
        "department": [f"/service/department/{department}" for department in departments],
        "customer": [f"/service/customer/{customer}" for customer in customers],
        "item": [f"/service/item/{item}" for item in items],
        "item at a DC": [f"/service/item/{item}/{dcs[number % len(dcs)]}" for number, item in enumerate(items)],
        "all vendors": [f"/service/dc/{dc}?table=vendors" for dc in dcs],
        "all vendors as xlsx": [f"/service/dc/{dc}?table=vendors&format=xlsx" for dc in dcs],
        "contracts": [f"/service/contract?dc={dc}" for dc in dcs],
        "contract of a vendor": [f"/service/contract/{vendor}" for vendor in committed],
        "what changed": [f"/changes?since={LAST - timedelta(days=number)}T00:00:00Z" for number in range(OTHERS)],
        "search": [f"/search?q={item[-4:]}" for item in items],
    }


def read_pages(served: Served, pages: dict[str, Sequence[str]]) -> bool:
    """Print how long one person waits for each page; return whether all is within the limit."""
    good = True
    sys.stdout.write(f"{'page':24}{'first':>8}{'P50':>8}{'P95':>8}{'again':>8}{'kB':>7}\n")
    with served.sign_in() as client:
        for name, paths in pages.items():
            size = 0

            def read(path: str) -> None:
                nonlocal size
                size = len(client.get(path).raise_for_status().content)

            first, *others = (measure(lambda path=path: read(path), 1)[0] for path in paths[: OTHERS + 1])  # type: ignore[misc]
            again = median(measure(lambda path=paths[0]: read(path)))  # type: ignore[misc]
            waited = sorted(others) or [first]
            good &= waited[-1] <= MOST_SECONDS[1]
            sys.stdout.write(
                f"{name:24}{first:8.2f}{median(waited):8.2f}{waited[-1]:8.2f}{again:8.2f}{size / 1000:7.0f}\n"
            )
    return good


def load(served: Served, pages: dict[str, Sequence[str]], people: int, seconds: float, pause: float) -> bool:
    """Have people read pages, and look at each for a while; return whether P95 and memory are within their limits."""
    waited: list[float] = []
    ends = perf_counter() + seconds
    paths = [*pages.values()]

    def visit(number: int) -> None:
        choice = random.Random(number)  # noqa: S311 - which page is next
        with served.sign_in() as client:
            while perf_counter() < ends:
                time.sleep(choice.uniform(0, 2 * pause))
                begun = perf_counter()
                client.get(choice.choice(choice.choice(paths))).raise_for_status()
                waited.append(perf_counter() - begun)

    with ThreadPoolExecutor(people) as threads:
        list(threads.map(visit, range(people)))
    ordered = sorted(waited)
    p50, p95 = (ordered[int(len(ordered) * share)] for share in (0.5, 0.95))
    memory = served.measure_memory()
    sys.stdout.write(
        f"{people} people for {seconds:.0f} s, {pause:.0f} s on a page: {len(waited)} pages,"
        f" P50 {p50:.2f} s, P95 {p95:.2f} s, {memory:.2f} GB\n"
    )
    return p95 <= MOST_SECONDS.get(people, p95) and memory <= MOST_MEMORY_GB


def main() -> int:
    """Measure, and say with the exit code whether all is within the limits."""
    size, chosen = parse_arguments(__doc__)
    with TemporaryDirectory(prefix="web-") as folder:
        fill(settings_module.load(home=Path(folder)), size, WHOLE_DAYS)
        pages = list_pages(size)
        with serve(Path(folder)) as served:
            good = read_pages(served, pages)
            return 0 if load(served, pages, chosen.people, chosen.seconds, chosen.pause) and good else 1


if __name__ == "__main__":
    sys.exit(main())
