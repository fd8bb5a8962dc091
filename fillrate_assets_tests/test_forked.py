"""What the tests fork processes from."""

import subprocess
import sys
from typing import Final

from fillrate_assets_tests import delivering, forked

THREADS: Final = """
from pathlib import Path
print(*(Path(task, "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()))
"""
A_QUERY: Final = "import polars\npolars.select(1).lazy().collect()"
OF_QUERIES: Final = "polars-0"


def _threads(*lines: str) -> list[str]:
    code = "\n".join([*lines, THREADS])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603 - Python itself
    return done.stdout.split()


def test_it_has_run_no_query_whose_threads_no_fork_outlives() -> None:
    modules = ", ".join([delivering.__name__, *forked.IMPORTED])
    assert OF_QUERIES not in _threads(f"import {modules}")
    assert OF_QUERIES in _threads(A_QUERY)
