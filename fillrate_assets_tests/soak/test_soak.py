"""A short soak: processes are killed at random, and nothing is lost or done twice. The long one is a command."""

from __future__ import annotations

from pathlib import Path

import pytest

from fillrate_assets_tests.fixtures.patience import PATIENCE_SECONDS
from fillrate_assets_tests.fixtures.postgres import run_postgres
from fillrate_assets_tests.soak.fulfillment_findings import FULFILLMENT
from fillrate_assets_tests.soak.killing import Soak
from fillrate_assets_tests.soak.place import Findings, Place, find_ports

KILLS = 4


def run(soak: Soak) -> Findings:
    """Kill so often, let everything end, and look at what is left."""
    with soak.run():
        soak.kill(KILLS, PATIENCE_SECONDS, pause=0.3)
        soak.finish(PATIENCE_SECONDS)
    assert soak.killed.total() == KILLS
    found = soak.workload.inspect(soak.place)
    assert found.counts["events acknowledged to clients"] > 0
    return found


@pytest.mark.slow
@pytest.mark.first
def test_nothing_is_lost_or_doubled_when_processes_and_the_server_of_their_databases_are_killed(tmp_path: Path) -> None:
    with run_postgres({"fsync": "off", "max_connections": "200"}) as server:
        records, jobs = map(server.create_database, ("records", "jobs"))
        place = Place(tmp_path, records, jobs, find_ports(), 4 * PATIENCE_SECONDS, orders=1)
        soak = Soak(FULFILLMENT, place, server, seed=9)
        found = run(soak)
    assert soak.killed["server"] > 0
    assert not any(found.wrong.values()), found
