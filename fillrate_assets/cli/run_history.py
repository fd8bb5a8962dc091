"""What Dagster did lately, for the pages of operators."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.settings import Settings
from fillrate_assets.web.operations.systems import Instigator, NotConfiguredError, Run, Tick

if TYPE_CHECKING:
    import dagster as dg

_MOST_TICKS: Final = 1_500
"""Of one schedule or sensor: one a minute makes 1,440 a day."""

_MAX_ERROR: Final = 2_000


@dataclass(frozen=True)
class DagsterHistory:
    """The runs and ticks of an instance."""

    settings: Settings

    def read_runs(self, since: datetime, *, limit: int, offset: int = 0) -> list[Run]:
        """Read the runs that were created since a moment, latest first."""
        with self._open() as instance:
            records = instance.get_run_records(_created_since(since), limit=offset + limit)
        return [_describe_run(each) for each in records[offset:]]

    def count_runs(self, since: datetime) -> Mapping[str, int]:
        """Count the runs since a moment, by status."""
        import dagster as dg  # noqa: PLC0415 - it takes seconds, and a page that shows no run needs none of it

        with self._open() as instance:
            counts = {
                status.value: instance.get_runs_count(_created_since(since, status)) for status in dg.DagsterRunStatus
            }
        return {status: count for status, count in counts.items() if count}

    def read_instigators(self, since: datetime) -> list[Instigator]:
        """Read the schedules and sensors that were ever started, with what failed since a moment."""
        with self._open() as instance:
            found = [
                _describe_instigator(
                    state,
                    instance.get_ticks(
                        state.instigator_origin_id, state.selector_id, after=since.timestamp(), limit=_MOST_TICKS
                    ),
                )
                for state in instance.all_instigator_state()
            ]
        return sorted(found, key=lambda each: each.name)

    @contextmanager
    def _open(self) -> Iterator[dg.DagsterInstance]:
        from fillrate_assets.cli.dagster_instance import (  # noqa: PLC0415 - it imports Dagster
            open_instance,
            prepare_instance,
        )

        try:
            prepare_instance(self.settings)
        except PermanentFailure as error:
            raise NotConfiguredError(str(error)) from error
        with open_instance() as instance:
            yield instance


def _created_since(since: datetime, *statuses: dg.DagsterRunStatus) -> dg.RunsFilter:
    import dagster as dg  # noqa: PLC0415 - as above

    return dg.RunsFilter(created_after=since, statuses=statuses)


def _describe_run(record: dg.RunRecord) -> Run:
    run = record.dagster_run
    first, last = (run.tags.get(f"dagster/asset_partition_range_{end}") for end in ("start", "end"))
    keys = run.tags.get("dagster/partition") or " to ".join(dict.fromkeys(filter(None, (first, last))))
    created, begun, ended = record.create_timestamp.astimezone(UTC), record.start_time, record.end_time
    took = timedelta(seconds=ended - begun) if begun and ended else None
    return Run(run.run_id, run.job_name, keys.replace("|", " "), run.status.value, created, took)


def _describe_instigator(state: Any, ticks: Any) -> Instigator:  # noqa: ANN401 - Dagster does not export their classes
    described = [_describe_tick(each) for each in ticks]
    return Instigator(
        state.instigator_name,
        state.instigator_type.value.lower(),
        state.is_running,
        described[0] if described else None,
        len(described),
        [each for each in described if each.status == "FAILURE"],
    )


def _describe_tick(tick: Any) -> Tick:  # noqa: ANN401 - as above
    at = datetime.fromtimestamp(tick.timestamp, UTC)
    took = timedelta(seconds=tick.end_timestamp - tick.timestamp) if tick.end_timestamp else None
    reason = str(tick.error.message).strip()[:_MAX_ERROR] if tick.error else tick.skip_reason or ""
    return Tick(tick.instigator_name, at, tick.status.value, took, reason)
