"""The `fillrate` command: reads what is asked, calls the rule or the connection that does it, says what happened.

Everything heavy is imported inside the command that needs it, so that `--help` answers at once and `calculate`
never loads Dagster.
"""
# ruff: noqa: D301, PLC0415 - click's \b is a backspace, not a backslash; imports as said above

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from fillrate_assets.errors import FillrateError, PermanentFailure, SourceUnavailable

if TYPE_CHECKING:
    from fillrate_assets.connections.files import Contracts
    from fillrate_assets.fillrate.calculation import Calculation, Scope

FAILED: Final = 1
BAD_INPUT: Final = 2
INTERRUPTED: Final = 130


def main() -> None:
    """Entry point of the `fillrate` command."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command and tell its exit code: 0 done, 2 bad usage or bad input, 1 failed work.

    What a user can mend is one line on stderr; anything else is a defect and keeps its traceback.
    """
    try:
        return int(cli.main(list(arguments), prog_name="fillrate", standalone_mode=False) or 0)
    except BrokenPipeError:
        # Whoever read the pipe (`| head`) has seen enough; the interpreter's last flush must not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (click.ClickException, click.Abort, KeyboardInterrupt, FillrateError, OSError) as error:
        message, code = _told(error)
        click.echo(f"fillrate: error: {' '.join(message.split())}", err=True)
        return code


def _told(error: BaseException) -> tuple[str, int]:
    match error:
        case click.UsageError(ctx=click.Context(command_path=command)):
            return f"{error.format_message()} (see `{command} --help`)", BAD_INPUT
        case click.ClickException():
            return error.format_message(), BAD_INPUT
        case SourceUnavailable():
            return str(error), FAILED
        case FillrateError():
            return str(error), BAD_INPUT
        case OSError():
            return f"{error.filename}: {error.strerror}" if error.filename else str(error), FAILED
        case _:
            return "interrupted", INTERRUPTED


class _Day(click.ParamType[date]):
    name = "YYYY-MM-DD"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:  # noqa: ANN401
        try:
            return value if isinstance(value, date) else date.fromisoformat(value)
        except ValueError:
            self.fail(f"'{value}' is not a date; write YYYY-MM-DD", param, ctx)


DAY: Final = _Day()
DIRECTORY: Final = click.Path(path_type=Path)
FILE: Final = click.Path(path_type=Path, dir_okay=False)


def scoped(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that limit a command to some DCs and ship dates."""
    command = click.option("--to", "last", type=DAY, help="Last ship date.")(command)
    command = click.option("--from", "first", type=DAY, help="First ship date.")(command)
    return click.option("--dc", "dcs", multiple=True, metavar="DC", help="Only this DC; may be repeated.")(command)


def mapped(command: Callable[..., Any]) -> Callable[..., Any]:
    """The option that names a mapping file."""
    text = "How your files call and write tables, columns and values (default: mapping.toml in the directory)."
    return click.option("--mapping", type=FILE, metavar="FILE", help=text)(command)


@click.group(no_args_is_help=False)
@click.version_option(package_name="fillrate-assets")
def cli() -> None:
    """Fill rate and lost cases: of everything ordered, how much shipped, and why did the rest not?"""


@cli.command()
@click.argument("directory", metavar="DIR", type=DIRECTORY)
@click.option("--out", type=FILE, required=True, metavar="FILE", help="Records to write: a .csv or .parquet file.")
@mapped
@scoped
def calculate(
    directory: Path, out: Path, mapping: Path | None, dcs: tuple[str, ...], first: date | None, last: date | None
) -> None:
    """Compute the lost-case records of a directory of CSV or Parquet files.

    Nothing but the files is read or written: no platform, no database. Beside FILE, the rows that could not be used
    are written to FILE's name with `.rejects`, each with its reason.

    \b
    Example: last week of one DC, with the 28 days before it in the files for the averages
      fillrate calculate data/ --out lost.csv --dc DC03 --from 2026-03-09 --to 2026-03-15
    """
    from fillrate_assets.connections.files import write_frames
    from fillrate_assets.fillrate import words

    scope = _scope(dcs, first, last)
    rejects = _rejects_beside(out)
    calculation = _calculated(directory, mapping, scope)
    with _working(f"Writing {out}"):
        write_frames({rejects: calculation.rejects, out: calculation.records})
    for line in words.summary(calculation.records, calculation.rejects.height, len(calculation.held)):
        click.echo(line)
    click.echo(f"wrote {out} and {rejects}")
    _tell_held(calculation)


def _scope(dcs: tuple[str, ...], first: date | None, last: date | None) -> Scope:
    from fillrate_assets.fillrate.calculation import Scope

    if first and last and first > last:
        msg = f"--from {first} is after --to {last}"
        raise click.UsageError(msg, click.get_current_context())
    return Scope(dcs or None, first, last)


def _rejects_beside(out: Path) -> Path:
    """Where the rejects go; bad places are told before any work is done."""
    if out.suffix.lower() not in {".csv", ".parquet"}:
        msg = f"--out {out}: records are written as .csv or .parquet"
        raise click.UsageError(msg, click.get_current_context())
    if not out.parent.is_dir():
        msg = f"--out {out}: {out.parent} is not a directory"
        raise click.UsageError(msg, click.get_current_context())
    return out.with_name(f"{out.stem}.rejects{out.suffix}")


def _calculated(directory: Path, mapping: Path | None, scope: Scope) -> Calculation:
    from fillrate_assets.fillrate.calculation import calculate

    contracts = _read(directory, mapping)
    days = contracts.order_lines.select("dc", "ship_date").lazy()
    if not scope.of(days).head(1).collect().height:
        dcs = ", ".join(contracts.order_lines["dc"].unique().sort().head(20))
        dates = contracts.order_lines["ship_date"]
        msg = f"{directory} holds no order lines that were asked for: "
        msg += f"there are {dcs}, from {dates.min()!s} to {dates.max()!s}" if dcs else "it holds none that can be used"
        raise PermanentFailure(msg)
    with _working("Calculating"):
        return calculate(contracts.inputs, scope)


def _read(directory: Path, mapping: Path | None) -> Contracts:
    from fillrate_assets.connections.files import read_directory

    with _working(f"Reading {directory}"):
        return read_directory(directory, mapping, loaded_at=datetime.now(UTC))


def _tell_held(calculation: Calculation) -> None:
    from fillrate_assets.fillrate import words

    for line in words.held(calculation.held):
        click.echo(line, err=True)


@contextmanager
def _working(what: str) -> Iterator[None]:
    """Show that work is going on, where a person looks at a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(f"{what} ..."):
        yield
