"""The sensor over a platform, as Dagster's daemon lets it tick."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import dagster as dg
from dagster._core.definitions.sensor_definition import SensorExecutionData

from fillrate_assets.fillrate.rules.change_planner import WATERMARKED
from fillrate_assets_tests.home import Home


@dataclass
class Ticking:
    """The sensor over a home, with its cursor from tick to tick."""

    home: Home
    instance: dg.DagsterInstance
    cursor: str | None = None

    def tick(self) -> SensorExecutionData:
        """Evaluate the sensor, and keep its cursor."""
        ticked = self.preview()
        self.cursor = ticked.cursor
        return ticked

    def preview(self) -> SensorExecutionData:
        """Evaluate the sensor as `dagster sensor preview` and the UI do: nobody keeps the cursor."""
        sensor = self.home.defs.resolve_sensor_def("new_orders")
        context = dg.build_sensor_context(self.instance, self.cursor, resources=self.home.defs.resources)
        return sensor.evaluate_tick(context)

    def run(self, requests: Sequence[dg.RunRequest]) -> None:
        """Execute what a tick requests."""
        for request in requests:
            assert self.home.run_tagged(self.instance, dict(request.tags)).success

    def watermarks(self) -> dict[str, datetime | None]:
        """How far the sensor has looked."""
        watermark = (self.home.defs.resources or {})["watermark"]
        return {source: watermark.read(source) for source in WATERMARKED}
