"""Which policy decides, and which ones run beside it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from fillrate_assets.buffers.policy_store import POLICIES, ActivePolicies, PolicyStore
from fillrate_assets.buffers.rules.policy import Policy, override_policy
from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets_tests.fixtures.embedded import create_database

NOW = datetime(2026, 3, 14, 14, tzinfo=UTC)
OWN = Policy().version
EAGER = {"total": {"act": 0.9}}
CALM = {"total": {"act": 0.95}}
OLD = "v1-00000000"


@dataclass(frozen=True)
class Evidence:
    champion_precision_low: float | None = 0.85


@pytest.fixture
def store(tmp_path: Path) -> PolicyStore:
    return PolicyStore(create_database(f"sqlite:///{tmp_path}/store.db"))


def read_roles(store: PolicyStore) -> dict[str, str]:
    return dict(store.read_all().select("version", "role").iter_rows())


def promote_policy(store: PolicyStore, changes: dict[str, Any]) -> str:
    """The version of a policy that was proposed and promoted."""
    version = store.propose(changes, by="ann", now=NOW).version
    store.promote(version, Evidence(), by="ann", now=NOW)
    return version


def add_policy_of_another_release(store: PolicyStore, role: str) -> None:
    """A row of `EAGER` as a release wrote it whose own values were others."""
    said = {"role": role, "changes": json.dumps(EAGER), "since_ts": NOW.replace(tzinfo=None), "updated_by": "bob"}
    with sa.create_engine(store.database.url).begin() as connection:
        connection.execute(POLICIES.insert().values(version=OLD, **said))


def test_where_nothing_is_said_the_platforms_own_policy_decides(store: PolicyStore) -> None:
    assert [each.version for each in store.read_active().all] == [OWN]
    assert read_roles(store) == {}


def test_a_challenger_runs_takes_the_place_and_gives_it_back(store: PolicyStore) -> None:
    eager = store.propose(EAGER, by="ann", now=NOW)
    assert eager.total.act == 0.9
    assert [each.version for each in store.read_active().all] == [OWN, eager.version]
    with pytest.raises(PermanentFailure, match="runs already"):
        store.propose(EAGER, by="bob", now=NOW)

    store.promote(eager.version, Evidence(), by="ann", now=NOW)
    contenders = store.read_active()
    assert (contenders.champion, contenders.challengers) == (eager, ())
    assert (contenders.replaced, contenders.precision_low) == (OWN, 0.85)
    assert read_roles(store) == {eager.version: "CHAMPION"}
    (evidence,) = store.read_all().filter(role="CHAMPION")["evidence"]
    assert json.loads(evidence) == {"champion_precision_low": 0.85}

    store.roll_back(contenders, by="platform", now=NOW)
    assert read_roles(store) == {eager.version: "RETIRED"}
    assert store.read_active() == ActivePolicies(Policy())
    store.roll_back(store.read_active(), by="platform", now=NOW)
    assert store.read_active() == ActivePolicies(Policy())


def test_the_place_goes_back_to_the_one_that_had_it(store: PolicyStore) -> None:
    eager, calm = promote_policy(store, EAGER), promote_policy(store, CALM)
    contenders = store.read_active()
    assert contenders.replaced == eager
    store.roll_back(contenders, by="platform", now=NOW)
    assert store.read_active().champion.version == eager
    assert store.read_active().replaced is None
    assert read_roles(store) == {eager: "CHAMPION", calm: "RETIRED"}


def test_who_took_the_place_meanwhile_keeps_it(store: PolicyStore) -> None:
    eager = promote_policy(store, EAGER)
    as_it_was = store.read_active()
    calm = promote_policy(store, CALM)
    store.roll_back(as_it_was, by="platform", now=NOW)
    assert read_roles(store) == {eager: "RETIRED", calm: "CHAMPION"}


@pytest.mark.parametrize("role", ["CHAMPION", "RETIRED", None])
def test_nothing_but_a_challenger_is_promoted_or_retired(store: PolicyStore, role: str | None) -> None:
    version = "v1-unknown" if role is None else promote_policy(store, EAGER)
    if role == "RETIRED":
        promote_policy(store, CALM)
    before = store.read_all()
    with pytest.raises(PermanentFailure, match=f"{version} is no challenger"):
        store.promote(version, Evidence(), by="ann", now=NOW)
    with pytest.raises(PermanentFailure, match=f"{version} is no challenger"):
        store.retire(version, by="ann", now=NOW)
    assert store.read_all().equals(before)


# --- rows of another release, whose own values were others


@pytest.mark.parametrize("role", ["CHAMPION", "CHALLENGER"])
def test_a_policy_of_another_release_is_logged_left_out_and_can_be_retired(
    store: PolicyStore, role: str, caplog: pytest.LogCaptureFixture
) -> None:
    add_policy_of_another_release(store, role)
    assert store.read_active() == ActivePolicies(Policy())
    assert f"version {OLD} cannot be used: it was made by another release" in caplog.text
    with pytest.raises(PermanentFailure, match=f"{OLD} is no challenger"):
        store.promote(OLD, Evidence(), by="ann", now=NOW)
    assert read_roles(store) == {OLD: role}

    again = store.propose(EAGER, by="ann", now=NOW)
    store.retire(OLD, by="ann", now=NOW)
    caplog.clear()
    assert store.read_active() == ActivePolicies(Policy(), (again,))
    assert caplog.text == ""
    assert read_roles(store) == {OLD: "RETIRED", again.version: "CHALLENGER"}


def test_a_promotion_leaves_one_champion(store: PolicyStore) -> None:
    add_policy_of_another_release(store, "CHAMPION")
    calm = promote_policy(store, CALM)
    assert read_roles(store) == {OLD: "RETIRED", calm: "CHAMPION"}
    assert store.read_active().replaced == OWN


@pytest.mark.parametrize("known", [True, False])
def test_where_the_one_before_cannot_run_any_more_the_place_goes_back_to_the_platforms_own(
    store: PolicyStore, *, known: bool
) -> None:
    calm = promote_policy(store, CALM)
    if known:
        add_policy_of_another_release(store, "RETIRED")
    with sa.create_engine(store.database.url).begin() as connection:
        connection.execute(POLICIES.update().where(POLICIES.c.version == calm).values(replaced=OLD))
    contenders = store.read_active()
    assert (contenders.champion.version, contenders.replaced) == (calm, OWN)
    store.roll_back(contenders, by="platform", now=NOW)
    assert store.read_active() == ActivePolicies(Policy())
    assert "CHAMPION" not in read_roles(store).values()


def test_a_challenger_that_is_retired_runs_no_more_and_may_come_back(store: PolicyStore) -> None:
    eager = store.propose(EAGER, by="ann", now=NOW)
    store.retire(eager.version, by="ann", now=NOW)
    assert store.read_active().challengers == ()
    assert store.propose(EAGER, by="ann", now=NOW) == eager
    assert read_roles(store) == {eager.version: "CHALLENGER"}


@pytest.mark.parametrize("broken", ["{", '{"total": {"akt": 0.9}}', "[]"])
def test_a_row_that_cannot_be_read_stops_nothing(
    store: PolicyStore, broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    eager = store.propose(EAGER, by="ann", now=NOW)
    with sa.create_engine(store.database.url).begin() as connection:
        row = {"version": "mine", "changes": broken, "since": "2026-03-14 14:00:00.000000"}
        insert = "INSERT INTO buffer_policy VALUES (:version, 'CHAMPION', :changes, :since, NULL, NULL, 'bob')"
        connection.execute(sa.text(insert), row)
    assert [each.version for each in store.read_active().all] == [OWN, eager.version]
    assert "version mine cannot be used" in caplog.text


def test_every_value_counts_in_the_version_and_none_may_be_misspelt() -> None:
    assert override_policy(Policy(), {}).version == OWN
    assert override_policy(Policy(), {"pool_order": ["PICK", "PACK"]}).pool_order == ("PICK", "PACK")
    assert override_policy(Policy(), EAGER).version != OWN
    for wrong in ({"akt": 1}, {"total": 1}, {"total": {"act": "much"}}, {"total": {"act": True}}, {"name": 1}):
        with pytest.raises(PermanentFailure, match="policy: "):
            override_policy(Policy(), wrong)
