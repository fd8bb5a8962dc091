"""Which policy decides about the buffers, and which ones run beside it: a table of the record store."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import polars as pl
import sqlalchemy as sa

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.policy import Policy, changed
from fillrate_assets.connections import sql
from fillrate_assets.connections.record_store import table_of
from fillrate_assets.errors import PermanentFailure
from fillrate_assets.fillrate import contracts

_LOG: Final = logging.getLogger("fillrate.policies")
_SYSTEM: Final = "record store"

POLICIES: Final = table_of(schema.POLICIES, lengths={"changes": None, "evidence": None})


@dataclass(frozen=True)
class Contenders:
    """The policies that run."""

    champion: Policy
    challengers: tuple[Policy, ...] = ()
    replaced: str | None = None
    """The version whose place the champion took."""

    precision_low: float | None = None
    """What the champion's detection precision must not fall below: the lower bound of the one it replaced."""

    @property
    def all(self) -> tuple[Policy, ...]:
        """The champion first."""
        return (self.champion, *self.challengers)


@dataclass(frozen=True)
class PolicyStore:
    """The roles of policies; where no row says otherwise, the platform's own policy is the champion."""

    url: str = field(repr=False)
    schema_name: str | None = None

    def contenders(self) -> Contenders:
        """The policies that run. A row that cannot be read is told in the log and left out: no typo stops a tick.

        Raises:
            SourceUnavailable: the store did not answer.

        """
        champion, challengers = Contenders(Policy()), []
        for row in self.rows().iter_rows(named=True):
            try:
                policy = changed(Policy(), json.loads(row["changes"]))
            except (ValueError, PermanentFailure) as error:
                _LOG.error("buffer_policy: version %s cannot be used: %s", row["version"], error)
                continue
            if row["role"] == "CHAMPION":
                evidence = json.loads(row["evidence"] or "{}")
                champion = Contenders(policy, (), row["replaced"], evidence.get("champion_precision_low"))
            elif row["role"] == "CHALLENGER":
                challengers.append(policy)
        return Contenders(champion.champion, tuple(challengers), champion.replaced, champion.precision_low)

    def rows(self) -> pl.DataFrame:
        """Every policy that has or had a role, as `POLICIES`."""
        with sql.failures(_SYSTEM, self.url), self._engine.connect() as connection:
            rows = sql.select(connection, sa.select(POLICIES))
        return contracts.parse(rows.lazy(), schema.POLICIES, table="buffer_policy").sort("version").collect()

    def propose(self, changes: dict[str, Any], *, by: str, now: datetime) -> Policy:
        """Let a policy run beside the champion: values that differ from the platform's own.

        Raises:
            PermanentFailure: there is no such value, or the policy has a role already.

        """
        policy = changed(Policy(), changes)
        if policy.version in {each.version for each in self.contenders().all}:
            msg = f"policy {policy.version} runs already"
            raise PermanentFailure(msg)
        with sql.failures(_SYSTEM, self.url), self._engine.begin() as connection:
            _put(connection, policy.version, "CHALLENGER", now, by, changes=json.dumps(changes))
        return policy

    def promote(self, version: str, evidence: object, *, by: str, now: datetime) -> None:
        """Let a challenger take the champion's place; the evidence, a dataclass, is kept with it."""
        before = self.contenders().champion.version
        told = json.dumps(asdict(evidence), default=str)  # type: ignore[call-overload]
        with sql.failures(_SYSTEM, self.url), self._engine.begin() as connection:
            _put(connection, before, "RETIRED", now, by)
            _put(connection, version, "CHAMPION", now, by, replaced=before, evidence=told)

    def retire(self, version: str, *, by: str, now: datetime) -> None:
        """Let a challenger run no more."""
        with sql.failures(_SYSTEM, self.url), self._engine.begin() as connection:
            _put(connection, version, "RETIRED", now, by)

    def roll_back(self, contenders: Contenders, *, by: str, now: datetime) -> None:
        """Give the place back to the policy that the champion replaced."""
        if contenders.replaced is None:
            return
        with sql.failures(_SYSTEM, self.url), self._engine.begin() as connection:
            _put(connection, contenders.champion.version, "RETIRED", now, by)
            _put(connection, contenders.replaced, "CHAMPION", now, by, replaced=None, evidence=None)

    @property
    def _engine(self) -> sa.Engine:
        return sql.engine(self.url, schema=self.schema_name)


def _put(connection: sa.Connection, version: str, role: str, now: datetime, by: str, **more: str | None) -> None:
    """Change a policy's role; the platform's own has no row until it gets one."""
    said = {"role": role, "since_ts": now.astimezone(UTC).replace(tzinfo=None), "updated_by": by, **more}
    if connection.execute(POLICIES.update().where(POLICIES.c.version == version).values(said)).rowcount == 0:
        connection.execute(POLICIES.insert().values({"changes": "{}", "version": version, **said}))
