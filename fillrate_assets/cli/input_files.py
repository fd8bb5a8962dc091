"""Commands about files before anything is computed from them: a first mapping, and a check of what would count."""
# ruff: noqa: D301, PLC0415 - click's \b is a backspace, not a backslash; imports where they are needed

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from fillrate_assets.cli.fillrate import DIRECTORY, FAILED, FILE, add_mapping_option
from fillrate_assets.cli.progress import show_activity


@click.command()
@click.argument("directory", metavar="DIR", type=DIRECTORY)
@add_mapping_option
def check(directory: Path, mapping: Path | None) -> None:
    """Check files before anything is computed from them.

    Says of each table how many rows there are, and how many of them are used, excluded, rejected and superseded, with
    the commonest reasons; how many shipments match an order line; and which days would be held. Exit code 1 if a
    required table has no row that can be used.

    \b
    Example:
      fillrate check data/
    """
    from fillrate_assets import settings
    from fillrate_assets.fillrate.report.input_check import check_contracts, format_check
    from fillrate_assets.fillrate.report.queries import apply_settings
    from fillrate_assets.fillrate.sources.contract_files import read_directory

    chosen = settings.load()
    with show_activity(f"Reading {directory}"):
        contracts = read_directory(directory, mapping, loaded_at=datetime.now(UTC))
    with show_activity("Checking"):
        checked = check_contracts(apply_settings(contracts, chosen))
    for line in format_check(checked):
        click.echo(line)
    if any(table.used == 0 for table in checked.tables if table.table in {"order_lines", "items"}):
        raise click.exceptions.Exit(FAILED)


@click.group()
def mapping() -> None:
    """Say how your files call and write tables, columns and values."""


@mapping.command()
@click.argument("directory", metavar="DIR", type=DIRECTORY)
@click.option("--out", type=FILE, metavar="FILE", help="Where to write it (default: mapping.toml in the directory).")
def suggest(directory: Path, out: Path | None) -> None:
    """Write a first mapping from the headers and rows of files.

    Knows the usual names of SAP, Oracle E-Business Suite, Dynamics, NetSuite, Odoo and ERPNext. It is a guess: read
    it, then see with `fillrate check` what it makes of the files. A mapping that is there is never replaced.

    \b
    Example:
      fillrate mapping suggest data/
    """
    from fillrate_assets.core.shown_text import escape_controls
    from fillrate_assets.fillrate.sources.mapping_suggestion import suggest_mapping
    from fillrate_assets.storage.file_mapping import MAPPING_FILE

    file = out or directory / MAPPING_FILE
    if file.exists():
        msg = f"{file} is there already; name another with --out"
        raise click.UsageError(msg, click.get_current_context())
    with show_activity(f"Reading {directory}"):
        suggestion = suggest_mapping(directory)
    file.write_text(suggestion.text, encoding="utf-8")
    click.echo(f"wrote {file}")
    for question in suggestion.open_questions:
        click.echo(f"open: {escape_controls(question)}")


COMMANDS: Final = (check, mapping)
"""What `fillrate` offers about files."""
