"""Which policy decides about the buffers, and which ones run beside it: a table of the record store.

A row stores the values that differ from the platform's own, and a version of all of them. Where a release changes a
value of its own, rows that an earlier one made name a policy that never ran: they are not used. What a policy
does belongs to `rules`, champion/challenger comparisons to `rules.scorecard`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

import polars as pl
import sqlalchemy as sa

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.rules.policy import Policy, list_changes, override_policy
from fillrate_assets.core import parsing
from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.storage import sql
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.sql_types import to_stored
from fillrate_assets.storage.tables import declare_table

_LOG: Final = logging.getLogger("fillrate.policies")

POLICIES: Final = declare_table(schema.POLICIES, lengths={"changes": None, "evidence": None})


@dataclass(frozen=True)
class ActivePolicies:
    """The policies that run."""

    champion: Policy
    challengers: tuple[Policy, ...] = ()
    replaced: str | None = None
    """The version that gets the place back if the champion is worse: the one whose place it took, if that can run."""

    precision_low: float | None = None
    """What the champion's detection precision must not fall below: the lower bound of the one it replaced."""

    @property
    def all(self) -> tuple[Policy, ...]:
        """The champion first."""
        return (self.champion, *self.challengers)


@dataclass(frozen=True)
class PolicyStore:
    """The roles of policies; where no row is a champion that can run, the platform's own policy is."""

    database: Database
    promotes_automatically: bool = False
    """Whether a challenger that is better takes the champion's place by itself."""

    def read_active(self) -> ActivePolicies:
        """Read the policies that run. A row that cannot be used is logged and left out: no typo stops a tick.

        Raises:
            SourceUnavailable: the store did not answer.

        """
        return find_active_policies(self.read_all())

    def read_all(self) -> pl.DataFrame:
        """Read every policy that has or had a role, as `POLICIES`."""
        with self.database.connect() as connection:
            rows = sql.select(connection, sa.select(POLICIES))
        return parsing.parse_rows(rows, schema.POLICIES).sort("version")

    def propose(self, changes: dict[str, Any], *, by: str, now: datetime) -> Policy:
        """Let a policy run beside the champion: values that differ from the champion's, as a backtest takes them.

        Raises:
            PermanentFailure: there is no such value, or the policy has a role already.

        """
        active = self.read_active()
        policy = override_policy(active.champion, changes)
        if policy.version in {each.version for each in active.all}:
            msg = f"policy {policy.version} runs already"
            raise PermanentFailure(msg)
        stored = json.dumps(list_changes(policy))
        with self.database.begin() as connection:
            known = POLICIES.c.version == policy.version
            if not _set_role(connection, known, role="CHALLENGER", by=by, now=now, changes=stored):
                values = _build_role_values("CHALLENGER", by, now)
                connection.execute(POLICIES.insert().values(version=policy.version, changes=stored, **values))
        return policy

    def promote(self, version: str, evidence: object, *, by: str, now: datetime) -> None:
        """Let a challenger take the champion's place; the evidence, a dataclass, is stored with it.

        Raises:
            PermanentFailure: there is no such challenger.

        """
        running = self.read_active()
        stored = json.dumps(asdict(evidence), default=str)  # type: ignore[call-overload]
        before = {"replaced": running.champion.version, "evidence": stored}
        mine = (POLICIES.c.version == version) & (POLICIES.c.role == "CHALLENGER")
        with self.database.begin() as connection:
            # All of them: one that another release made is no champion, but may be one again with the next.
            _set_role(connection, POLICIES.c.role == "CHAMPION", role="RETIRED", by=by, now=now)
            runs = version in {each.version for each in running.challengers}
            if not runs or not _set_role(connection, mine, role="CHAMPION", by=by, now=now, **before):
                raise _make_no_challenger_error(version)

    def retire(self, version: str, *, by: str, now: datetime) -> None:
        """Let a challenger run no more, or forget a policy that another release made.

        Raises:
            PermanentFailure: there is no such challenger.

        """
        decides = version == self.read_active().champion.version
        mine = (POLICIES.c.version == version) & POLICIES.c.role.in_(
            ["CHALLENGER"] if decides else ["CHALLENGER", "CHAMPION"]
        )
        with self.database.begin() as connection:
            if not _set_role(connection, mine, role="RETIRED", by=by, now=now):
                raise _make_no_challenger_error(version)

    def roll_back(self, policies: ActivePolicies, *, by: str, now: datetime) -> None:
        """Give the place back to the policy that the champion replaced, unless another has taken it since."""
        if policies.replaced is None:
            return
        champions = POLICIES.c.role == "CHAMPION"
        mine = champions & (POLICIES.c.version == policies.champion.version)
        with self.database.begin() as connection:
            if _set_role(connection, mine, role="RETIRED", by=by, now=now):
                _set_role(connection, champions, role="RETIRED", by=by, now=now)
                # The platform's own has no row, and needs none.
                before = POLICIES.c.version == policies.replaced
                _set_role(connection, before, role="CHAMPION", by=by, now=now, replaced=None, evidence=None)


def find_active_policies(rows: pl.DataFrame) -> ActivePolicies:
    """Find the policies that run among `POLICIES`. A row that cannot be used is logged and left out."""
    champion, challengers = ActivePolicies(Policy()), []
    for row in rows.filter(pl.col("role") != "RETIRED").iter_rows(named=True):
        try:
            policy = _load_policy(row)
        except (ValueError, TypeError, RecursionError, PermanentFailure) as error:
            _LOG.error("buffer_policy: version %s cannot be used: %s", row["version"], error)
            continue
        if row["role"] == "CHAMPION":
            evidence = json.loads(row["evidence"] or "{}")
            champion = ActivePolicies(policy, (), _find_replaced(rows, row), evidence.get("champion_precision_low"))
        elif row["role"] == "CHALLENGER":
            challengers.append(policy)
    return ActivePolicies(champion.champion, tuple(challengers), champion.replaced, champion.precision_low)


def _load_policy(row: Mapping[str, Any]) -> Policy:
    """Load the policy of a row.

    Raises:
        ValueError: its changes are no JSON.
        PermanentFailure: they name no values, or of this release they make another policy.

    """
    policy = override_policy(Policy(), json.loads(row["changes"]))
    if policy.version != row["version"]:
        msg = f"it was made by another release, of this one it is {policy.version}: propose it again, and retire this"
        raise PermanentFailure(msg)
    return policy


def _find_replaced(rows: pl.DataFrame, champion: Mapping[str, Any]) -> str | None:
    """Find the version whose place a champion took; the platform's own, where that one cannot run any more."""
    if champion["replaced"] is None:
        return None
    for row in rows.filter(pl.col("version") == champion["replaced"]).iter_rows(named=True):
        with suppress(ValueError, TypeError, RecursionError, PermanentFailure):
            return _load_policy(row).version
    return Policy().version


def _set_role(
    connection: sa.Connection, where: sa.ColumnElement[bool], *, role: str, by: str, now: datetime, **more: str | None
) -> int:
    """Give policies a role; return how many there are."""
    return connection.execute(
        POLICIES.update().where(where).values(**_build_role_values(role, by, now), **more)
    ).rowcount


def _build_role_values(role: str, by: str, now: datetime) -> dict[str, Any]:
    return {"role": role, "since_ts": to_stored(now), "updated_by": by}


def _make_no_challenger_error(version: str) -> PermanentFailure:
    return PermanentFailure(f"{version} is no challenger")
