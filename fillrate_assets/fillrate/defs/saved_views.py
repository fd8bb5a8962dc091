"""The schedule of saved views: what is due of the buyers' pages is sent every quarter of an hour."""

from datetime import UTC, datetime
from typing import Any, Final, Protocol

import dagster as dg

JOB: Final = "saved_views"


class ViewMail(Protocol):
    """What sends saved views; the pages that they are of are above the areas."""

    def send_due(self, now: datetime) -> dict[str, Any]:
        """Send what is due; return how many messages were written, sent, failed and given up, and which problems."""


@dg.op
def send_due_views(context: dg.OpExecutionContext, view_mail: dg.ResourceParam[ViewMail]) -> None:
    """Write the views that are due to the outbox, each once, and send what waits there."""
    context.add_output_metadata(view_mail.send_due(datetime.now(UTC)))


@dg.job(name=JOB, description="Sends saved views of the buyers' pages that are due, by mail and chat.")
def saved_views() -> None:
    """Send what is due."""
    send_due_views()


def build_schedule() -> dg.ScheduleDefinition:
    """Run the job every quarter of an hour."""
    return dg.ScheduleDefinition(
        name=JOB,
        job=saved_views,
        cron_schedule="*/15 * * * *",
        execution_timezone="UTC",
        description="Every quarter of an hour: saved views of the buyers' pages that are due.",
        default_status=dg.DefaultScheduleStatus.STOPPED,
    )
