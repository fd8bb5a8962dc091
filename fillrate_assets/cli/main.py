"""The `fillrate` command: its group, its errors and its exit codes. The commands themselves are in their modules.

Everything heavy is imported inside the command that needs it, so that `--help` answers at once and `calculate`
never loads Dagster.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Sequence
from typing import Final

import click

from fillrate_assets.cli import stopping
from fillrate_assets.cli.buffers import buffers
from fillrate_assets.cli.fillrate import COMMANDS, FAILED
from fillrate_assets.cli.fulfillment import fulfillment
from fillrate_assets.cli.input_files import COMMANDS as FILE_COMMANDS
from fillrate_assets.cli.inventory import inventory
from fillrate_assets.cli.lake import lake
from fillrate_assets.cli.outbox import outbox
from fillrate_assets.cli.replenishment import replenishment
from fillrate_assets.cli.serve import serve
from fillrate_assets.cli.subscriptions import subscriptions
from fillrate_assets.cli.tour import tour
from fillrate_assets.core.errors import FillrateError, SourceUnavailable
from fillrate_assets.core.shown_text import escape_controls

BAD_INPUT: Final = 2
INTERRUPTED: Final = stopping.EXIT_CODES[signal.SIGINT]
_OBJECTS_BEFORE_COLLECTION: Final = 100_000
"""Imports make a million objects that live on; to look for garbage after every 700 is a fifth of a command's start."""


def main() -> None:
    """Run the `fillrate` command and exit with its code."""
    gc.set_threshold(_OBJECTS_BEFORE_COLLECTION)
    with stopping.handle_signals():
        code = execute(sys.argv[1:])
    sys.exit(code)


def execute(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code: 0 done, 2 bad usage or bad input, 1 failed work.

    What a user can mend is one line on stderr; anything else is a defect and shows its traceback.
    """
    try:
        return int(cli.main(list(arguments), prog_name="fillrate", standalone_mode=False) or 0)
    except BrokenPipeError:
        # The reader of the pipe (`| head`) has enough; the interpreter's last flush must not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except BaseException as error:
        if (described := _describe(error) or _describe_foreign(error)) is None:
            raise
        message, code = described
        click.echo(f"fillrate: error: {escape_controls(' '.join(message.split()))}", err=True)
        return code


def _describe_foreign(error: BaseException) -> tuple[str, int] | None:
    """Describe what an engine or a driver says of files that are broken, full or not to be written to."""
    if (decimals := sys.modules.get("fillrate_assets.core.decimals")) and (
        overflow := decimals.describe_overflow(error)
    ):
        return overflow, BAD_INPUT
    if (files := sys.modules.get("fillrate_assets.storage.lake")) and (broken := files.name_broken_file(error)):
        return broken, BAD_INPUT
    if (sqlalchemy := sys.modules.get("sqlalchemy")) and isinstance(error, sqlalchemy.exc.DBAPIError):
        return f"a database does not work: {error.orig}", FAILED
    return None


def _describe(error: BaseException) -> tuple[str, int] | None:
    match error:
        case click.UsageError(ctx=click.Context(command_path=command)):
            return f"{error.format_message()} (see `{command} --help`)", BAD_INPUT
        case click.ClickException():
            return error.format_message(), BAD_INPUT
        case FillrateError():
            return str(error), FAILED if isinstance(error, SourceUnavailable) else BAD_INPUT
        case OSError():
            # A rename that fails has two names; the second is the one that the user knows.
            name = error.filename2 or error.filename
            return f"{name}: {error.strerror}" if name else str(error), FAILED
        case stopping.Stopped():
            return str(error), error.exit_code
        case _:
            interrupted = isinstance(error, (KeyboardInterrupt, click.Abort))
            return ("interrupted", INTERRUPTED) if interrupted else None


@click.group(no_args_is_help=False)
@click.version_option(package_name="fillrate-assets")
def cli() -> None:
    """Fill rate and lost cases: of everything ordered, how much shipped, and why did the rest not?

    And the buffers of robotized warehouses: which is about to overflow or starve, and what should the floor do?

    And the orders between receipt and delivery: what happened to each, and what happens next?

    And the stock: is every DC's count where it should be, and what should a buyer hold of each item?
    """


for command in (
    *COMMANDS,
    *FILE_COMMANDS,
    buffers,
    fulfillment,
    inventory,
    lake,
    outbox,
    replenishment,
    serve,
    subscriptions,
    tour,
):
    cli.add_command(command)
