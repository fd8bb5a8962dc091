"""Which policy decides, and which ones run beside it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from fillrate_assets.buffers.policy import Policy, changed
from fillrate_assets.connections.policy_store import PolicyStore
from fillrate_assets.connections.record_store import RecordStore
from fillrate_assets.errors import PermanentFailure

NOW = datetime(2026, 3, 14, 14, tzinfo=UTC)
OWN = Policy().version
EAGER = {"total": {"act": 0.9}}


@dataclass(frozen=True)
class Evidence:
    champion_precision_low: float | None = 0.85


@pytest.fixture
def store(tmp_path: Path) -> PolicyStore:
    url = f"sqlite:///{tmp_path}/store.db"
    RecordStore(url).upgrade()
    return PolicyStore(url)


def roles(store: PolicyStore) -> dict[str, str]:
    return dict(store.rows().select("version", "role").iter_rows())


def test_where_nothing_is_said_the_platforms_own_policy_decides(store: PolicyStore) -> None:
    assert [each.version for each in store.contenders().all] == [OWN]
    assert roles(store) == {}


def test_a_challenger_runs_takes_the_place_and_gives_it_back(store: PolicyStore) -> None:
    eager = store.propose(EAGER, by="ann", now=NOW)
    assert eager.total.act == 0.9
    assert [each.version for each in store.contenders().all] == [OWN, eager.version]
    with pytest.raises(PermanentFailure, match="runs already"):
        store.propose(EAGER, by="bob", now=NOW)

    store.promote(eager.version, Evidence(), by="ann", now=NOW)
    contenders = store.contenders()
    assert (contenders.champion, contenders.challengers) == (eager, ())
    assert (contenders.replaced, contenders.precision_low) == (OWN, 0.85)
    assert roles(store) == {OWN: "RETIRED", eager.version: "CHAMPION"}
    (evidence,) = store.rows().filter(role="CHAMPION")["evidence"]
    assert json.loads(evidence) == {"champion_precision_low": 0.85}

    store.roll_back(contenders, by="platform", now=NOW)
    assert roles(store) == {OWN: "CHAMPION", eager.version: "RETIRED"}
    assert store.contenders().replaced is None
    store.roll_back(store.contenders(), by="platform", now=NOW)
    assert roles(store) == {OWN: "CHAMPION", eager.version: "RETIRED"}


def test_a_challenger_that_is_retired_runs_no_more_and_may_come_back(store: PolicyStore) -> None:
    eager = store.propose(EAGER, by="ann", now=NOW)
    store.retire(eager.version, by="ann", now=NOW)
    assert store.contenders().challengers == ()
    assert store.propose(EAGER, by="ann", now=NOW) == eager
    assert roles(store) == {eager.version: "CHALLENGER"}


@pytest.mark.parametrize("broken", ["{", '{"total": {"akt": 0.9}}', "[]"])
def test_a_row_that_cannot_be_read_stops_nothing(
    store: PolicyStore, broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    eager = store.propose(EAGER, by="ann", now=NOW)
    with sa.create_engine(store.url).begin() as connection:
        row = {"version": "mine", "changes": broken, "since": "2026-03-14 14:00:00.000000"}
        insert = "INSERT INTO buffer_policy VALUES (:version, 'CHAMPION', :changes, :since, NULL, NULL, 'bob')"
        connection.execute(sa.text(insert), row)
    assert [each.version for each in store.contenders().all] == [OWN, eager.version]
    assert "version mine cannot be used" in caplog.text


def test_every_value_counts_in_the_version_and_none_may_be_misspelt() -> None:
    assert changed(Policy(), {}).version == OWN
    assert changed(Policy(), {"pool_order": ["PICK", "PACK"]}).pool_order == ("PICK", "PACK")
    assert changed(Policy(), EAGER).version != OWN
    for wrong in ({"akt": 1}, {"total": 1}, {"total": {"act": "much"}}, {"total": {"act": True}}, {"name": 1}):
        with pytest.raises(PermanentFailure, match="policy: "):
            changed(Policy(), wrong)
