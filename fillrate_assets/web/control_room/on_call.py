"""Who is on call for a warehouse: the next week, and what may be a mistake in it. People set it with SQL."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import polars as pl
from starlette.requests import Request
from starlette.responses import Response

from fillrate_assets.buffers.rules import on_call
from fillrate_assets.buffers.rules.policy import TICK_MINUTES
from fillrate_assets.buffers.schema import ANY
from fillrate_assets.notifications.notifiers.channel import redact_channel
from fillrate_assets.web.control_room.floors import Floors
from fillrate_assets.web.signed_in import find_person

SHOWN: Final = timedelta(days=7)


class OnCallPages:
    """The schedule of a warehouse."""

    def __init__(self, floors: Floors) -> None:
        """Over what all pages share."""
        self._floors = floors

    def show(self, request: Request) -> Response:
        """Show who is on call from now on."""
        site, now = self._floors.find_site(find_person(request), request.path_params["name"]), self._floors.clock()
        masters = self._floors.room.buffers.read_master_data(site.warehouse)
        rows = on_call.select_rows(masters.on_call, site.dc, site.warehouse)
        until = now + SHOWN
        ahead = rows.filter(pl.col("from_ts") < until, pl.col("to_ts").is_null() | (pl.col("to_ts") > now))
        people = [
            {
                **row,
                "channel": redact_channel(row["channel"]),
                "scope": site.warehouse if row["warehouse"] != ANY else row["dc"] if row["dc"] != ANY else "all",
                "is_on": row["from_ts"] <= now,
            }
            for row in ahead.iter_rows(named=True)
        ]
        values = {
            "site": site,
            "people": people,
            "problems": list(on_call.list_problems(ahead, now, until)),
            "minutes": self._floors.room.policy().suppression.acknowledge_ticks * TICK_MINUTES,
        }
        return self._floors.pages.render("on_call.html", values)
