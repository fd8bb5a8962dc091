"""`fillrate lake`: put the lake back as it was at a moment, and compare it with the records and with Dagster."""
# ruff: noqa: D301, PLC0415 - click's \b is a backspace, not a backslash; imports where they are needed, as in `cli`

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import click

_SHOWN: Final = 20
_DISAGREE: Final = 1


@click.group()
def lake() -> None:
    """Restore the lake, and see that it agrees with the records and with Dagster."""


@lake.command()
@click.option(
    "--to",
    "moment",
    required=True,
    metavar="MOMENT",
    type=click.DateTime(["%Y-%m-%dT%H:%M:%SZ"]),
    help="When, UTC: 2026-02-12T08:00:00Z.",
)
def restore(moment: datetime) -> None:
    """Put every file of the lake back as it was at a moment; for a lake on S3, whose bucket keeps versions.

    What is there now stays as an earlier version, so that another moment can be tried.

    \b
    Example
      fillrate lake restore --to 2026-02-12T08:00:00Z
    """
    from fillrate_assets import settings
    from fillrate_assets.aws.s3_versions import restore_objects
    from fillrate_assets.core.errors import PermanentFailure
    from fillrate_assets.storage.lake import Lake

    chosen = Lake(settings.load().storage.lake_root)
    if (place := chosen.find_bucket()) is None:
        msg = f"the lake ({chosen.root}) is not on S3, and keeps no versions: copy a backup of the home to its place"
        raise PermanentFailure(msg)
    done = restore_objects(*place, moment.replace(tzinfo=UTC))
    click.echo(f"{done.put_back} files put back, {done.removed} removed, {done.untouched} are as they were")


@lake.command()
def verify() -> int:
    """Compare, for every day, the records with those of the lake and with the partitions that Dagster shows.

    Nothing is changed. Exit code 1 where they do not agree.

    \b
    Example
      fillrate lake verify
    """
    from fillrate_assets import settings
    from fillrate_assets.cli.dagster_instance import open_instance, prepare_instance
    from fillrate_assets.cli.stored_days import compare_stores
    from fillrate_assets.core.text_table import format_table
    from fillrate_assets.fillrate.rules.stored_days import DISAGREEMENTS

    chosen = settings.load()
    prepare_instance(chosen)
    with open_instance() as instance:
        days, found = compare_stores(chosen, instance)
    if found.is_empty():
        click.echo(f"records, lake and Dagster agree on {days} days")
        return 0
    rows = [[dc, str(day), problem] for dc, day, problem in found.head(_SHOWN).iter_rows()]
    for line in format_table(["dc", "ship_date", "problem"], rows):
        click.echo(line)
    if found.height > _SHOWN:
        click.echo(f"and {found.height - _SHOWN} more")
    for problem in found["problem"].unique().sort():
        click.echo(f"{problem}: {DISAGREEMENTS[problem]}")
    return _DISAGREE
