"""`fillrate serve`: the pages of the floor, the control room, and operations."""
# ruff: noqa: D301, PLC0415 - click's \b is a backspace, not a backslash; imports where they are needed, as in `cli`

from __future__ import annotations

from contextlib import suppress

import click

from fillrate_assets.cli import stopping
from fillrate_assets.core import extras


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=8099, show_default=True, help="Port to listen on.")
def serve(host: str, port: int) -> None:
    """Serve the control room, operations, and the pages on which the floor answers alerts, behind signed links.

    Who sees what is said by a proxy that authenticates (FILLRATE_WEB__PROXY_USER_HEADER); on this machine
    alone, by a link for a day, which is printed.

    \b
    Example: behind a proxy that speaks TLS, at FILLRATE_WEB__FEEDBACK_URL
      fillrate serve --port 8099
    """
    extras.require("web", "fillrate serve")
    from fillrate_assets import settings
    from fillrate_assets.cli.operations_systems import make_systems
    from fillrate_assets.web import server

    # It is meant to be stopped: that is no failure.
    with suppress(stopping.Stopped):
        server.serve(settings.load(), host, port, click.echo, make_systems)
