"""What the commands of fulfillment work on, made of settings: queue, intake and worker."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from fillrate_assets.aws.dynamodb import DynamoTable
from fillrate_assets.core import extras
from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.fulfillment import dynamo_replay, replay
from fillrate_assets.fulfillment.accepted_events import AcceptedEvents
from fillrate_assets.fulfillment.dead_letters import make_dead_letters
from fillrate_assets.fulfillment.dynamo_log import DynamoEffects, DynamoRegister
from fillrate_assets.fulfillment.effect_store import EffectStore
from fillrate_assets.fulfillment.event_intake import EventIntake
from fillrate_assets.fulfillment.feed_store import OrderFeed
from fillrate_assets.fulfillment.interventions import Intervention
from fillrate_assets.fulfillment.log_port import EventRegister
from fillrate_assets.fulfillment.replay import ReplayResult, ReplayScope
from fillrate_assets.fulfillment.report import dynamo_report, order_report
from fillrate_assets.fulfillment.report.order_report import OrderReport
from fillrate_assets.fulfillment.rules.alarms import QUEUES
from fillrate_assets.fulfillment.rules.lifecycles import FUNCTIONS
from fillrate_assets.fulfillment.sources.targets import HttpTarget, Target
from fillrate_assets.fulfillment.transition_log import TransitionLog
from fillrate_assets.fulfillment.worker import FulfillmentWorker, build_queues
from fillrate_assets.inventory.backpressure import Backpressure
from fillrate_assets.inventory.sources.replica_factory import open_stock
from fillrate_assets.inventory.stock_ledger import StockLedger
from fillrate_assets.messaging import log_context, telemetry
from fillrate_assets.messaging.dead_letters import DeadLetters
from fillrate_assets.messaging.jobs import JobQueue
from fillrate_assets.messaging.sqs_queues import SqsQueues
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


@dataclass(frozen=True)
class Stores:
    """Where what the operator works on is: on a machine and its servers, or in AWS."""

    queue: JobQueue
    letters: DeadLetters
    accepted: EventRegister
    read_order: Callable[[str], OrderReport]
    describe_totals: Callable[[], list[str]]


@contextmanager
def open_stores(settings: Settings, needed_by: str) -> Iterator[Stores]:
    """Open the stores that the settings choose: those in AWS where they name a table of DynamoDB."""
    if settings.fulfillment_aws.table:
        yield open_aws(settings)
        return
    with make_queue(settings, needed_by) as queue:
        database = open_database(settings)
        yield Stores(
            queue,
            # The inventory has queues in the same database.
            make_dead_letters(queue, EffectStore(database), QUEUES.__contains__),
            AcceptedEvents(database),
            partial(order_report.read_order, database),
            lambda: order_report.describe_totals(order_report.read_totals(database)),
        )


@dataclass(frozen=True)
class Replay:
    """The replay of a log, wherever that is."""

    verify_parts: Callable[[ReplayScope], Iterator[ReplayResult]]
    rebuild: Callable[[ReplayResult, Intervention], int]


def choose_replay(settings: Settings) -> Replay:
    """Choose the replay of the log that the settings name."""
    if settings.fulfillment_aws.table:
        table = DynamoTable(settings.fulfillment_aws.table)
        return Replay(partial(dynamo_replay.verify_parts, table), partial(dynamo_replay.rebuild, table))
    database = open_database(settings)
    return Replay(partial(replay.verify_parts, database), partial(replay.rebuild, database))


def open_aws(settings: Settings) -> Stores:
    """Open the stores in AWS."""
    names = settings.fulfillment_aws
    table = DynamoTable(names.table)
    queues = SqsQueues(names.queue_urls, names.deferred_queue_url, names.parked_queue_url, names.dead_letter_queue_url)
    return Stores(
        queues,
        make_dead_letters(queues, DynamoEffects(table)),
        DynamoRegister(table),
        partial(dynamo_report.read_order, table),
        partial(dynamo_report.describe_totals, table),
    )


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
        if unknown := sorted(set(names) - QUEUES):
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


def make_stock(settings: Settings, database: Database) -> StockLedger:
    """Make the stock of an environment."""
    return StockLedger(open_stock(settings, database), slow_down=Backpressure(database).slow_down)


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
