"""What the commands of fulfillment work on, made of settings: queue, intake and worker."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from fillrate_assets.core import extras
from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.fulfillment.accepted_events import AcceptedEvents
from fillrate_assets.fulfillment.effect_store import EffectStore
from fillrate_assets.fulfillment.event_intake import EventIntake
from fillrate_assets.fulfillment.feed_store import OrderFeed
from fillrate_assets.fulfillment.rules.lifecycles import FUNCTIONS
from fillrate_assets.fulfillment.sources.targets import HttpTarget, Target
from fillrate_assets.fulfillment.transition_log import TransitionLog
from fillrate_assets.fulfillment.worker import FulfillmentWorker, build_queues
from fillrate_assets.inventory.stock_ledger import StockLedger
from fillrate_assets.inventory.stock_store import StockStore
from fillrate_assets.messaging import log_context, telemetry
from fillrate_assets.settings import Settings
from fillrate_assets.storage.database import Database

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fillrate_assets.messaging.dbos_engine import DbosWorker
    from fillrate_assets.messaging.dbos_queue import DbosQueue

STOPPING_SECONDS: Final = 5
"""How long jobs that run may take once a command is to end; it is killed soon after."""


def open_database(settings: Settings) -> Database:
    """Return the record store; an embedded one is made, or brought up to date."""
    database = Database.from_settings(settings)
    if settings.record_store_schema is None:
        database.upgrade()
    return database


def make_queue(settings: Settings, needed_by: str) -> DbosQueue:
    """Make the queue of an environment.

    Args:
        settings: where it is.
        needed_by: the command that needs it, for the message where its extra is not installed.

    """
    extras.require("fulfillment", needed_by)
    from fillrate_assets.messaging.dbos_queue import DbosQueue  # noqa: PLC0415 - it needs an extra

    return DbosQueue(settings.fulfillment.queue_url, settings.queue_schema)


@contextmanager
def report(settings: Settings, service: str, queue: DbosQueue) -> Iterator[None]:
    """Write log lines with their ids meanwhile, and export traces and metrics where the settings say so.

    Raises:
        PermanentFailure: they do, and the extra is not installed.

    """
    given = settings.telemetry
    with ExitStack() as opened:
        opened.enter_context(log_context.write_lines(sys.stderr, given.log_format, settings.environment.log_level))
        if given.otlp_endpoint:
            extras.require("telemetry", "the setting FILLRATE_TELEMETRY__OTLP_ENDPOINT")
            from fillrate_assets.messaging.otlp_exporter import OtlpExporter  # noqa: PLC0415 - it needs an extra

            exporter = opened.enter_context(OtlpExporter(given, service))
            exporter.observe("fillrate.jobs.waiting", queue.count_waiting, "queue")
            opened.enter_context(telemetry.export(exporter))
        yield


def make_worker(
    settings: Settings, database: Database, queue: DbosQueue, targets: Mapping[str, Target], name: str
) -> tuple[FulfillmentWorker, DbosWorker]:
    """Make what applies events and requests effects, and what runs it.

    Raises:
        PermanentFailure: a setting names a queue that there is not.

    """
    from fillrate_assets.messaging.dbos_engine import DbosWorker  # noqa: PLC0415 - it needs an extra

    given = settings.fulfillment
    for setting, names in (("concurrency", given.concurrency), ("max_per_second", given.max_per_second)):
        if unknown := sorted(set(names) - {"events", *FUNCTIONS}):
            msg = f"settings: fulfillment.{setting} names {', '.join(unknown)}, which is no queue"
            raise PermanentFailure(msg)
    release = version("fillrate-assets")
    worker = FulfillmentWorker(
        TransitionLog(database, release),
        EffectStore(database),
        EventIntake(queue, AcceptedEvents(database)),
        targets,
        name,
        doubt=OrderFeed(database).doubt,
    )
    queues = build_queues(targets, given.concurrency, given.max_per_second)
    engine = DbosWorker(
        queue,
        queues,
        worker.handlers,
        worker.bury,
        name=name,
        code_version=release,
        stopping_seconds=STOPPING_SECONDS,
    )
    return worker, engine


def make_stock(database: Database) -> StockLedger:
    """Make the stock of an environment."""
    return StockLedger(StockStore(database))


def make_targets(settings: Settings) -> dict[str, Target]:
    """Make the targets that the settings name.

    Raises:
        PermanentFailure: they name a function that there is not.

    """
    given = settings.fulfillment.targets
    if unknown := sorted(set(given) - set(FUNCTIONS)):
        msg = f"settings: fulfillment.targets names {', '.join(unknown)}; the functions are {', '.join(FUNCTIONS)}"
        raise PermanentFailure(msg)
    return {name: HttpTarget(url) for name, url in given.items()}
