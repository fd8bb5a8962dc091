"""What `fillrate serve` shows operators, made of settings: the queues and their dead letters, and what Dagster did."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from typing import Final

from fillrate_assets.cli import fulfillment_systems
from fillrate_assets.cli.run_history import DagsterHistory
from fillrate_assets.fulfillment.dead_letters import make_dead_letters
from fillrate_assets.fulfillment.effect_store import EffectStore
from fillrate_assets.fulfillment.pipeline_store import make_limits
from fillrate_assets.fulfillment.rules.alarms import QUEUES
from fillrate_assets.inventory.fan_out import is_sync_queue
from fillrate_assets.messaging.dead_letters import DeadLetters
from fillrate_assets.settings import Settings
from fillrate_assets.storage import sql
from fillrate_assets.storage.database import Database
from fillrate_assets.web.operations.systems import NotConfiguredError, Queues, Systems

_COMMAND: Final = "fillrate serve"


def make_systems(settings: Settings, database: Database) -> Systems:
    """Make what the pages of operators work on.

    Args:
        settings: where the queues are, and from where on there are alarms.
        database: the record store.

    """
    table = settings.fulfillment_aws.table
    return Systems(
        database,
        DagsterHistory(settings),
        _Opener(settings, database).open,
        make_limits(settings.fulfillment),
        f"it is in the table {table} of DynamoDB: `fillrate fulfillment status` counts it" if table else "",
        settings.notifications.ui_url.rstrip("/"),
    )


@dataclass
class _Opener:
    """Opens the queues once they are first looked at; connections are used again."""

    settings: Settings
    database: Database
    _opened: Queues | None = field(default=None, init=False)
    _one_at_a_time: Lock = field(default_factory=Lock, init=False, repr=False)

    def open(self) -> Queues:
        """Open the queues.

        Raises:
            NotConfiguredError: nothing has made them yet.
            PermanentFailure: their extra is not installed.
            SourceUnavailable: their database does not answer.

        """
        with self._one_at_a_time:
            if self._opened is None:
                self._opened = self._open()
        return self._opened

    def _open(self) -> Queues:
        if self.settings.fulfillment_aws.table:
            stores = fulfillment_systems.open_aws(self.settings)
            return Queues(stores.queue, {"fulfillment": stores.letters})
        file = sql.find_embedded_file(self.settings.fulfillment.queue_url)
        if file is not None and not file.exists():
            msg = "there are no queues yet: `fillrate fulfillment worker` or `fillrate inventory worker` makes them"
            raise NotConfiguredError(msg)
        queue = fulfillment_systems.make_queue(self.settings, _COMMAND)
        queue.open()
        letters = {
            "fulfillment": make_dead_letters(queue, EffectStore(self.database), QUEUES.__contains__),
            "inventory": DeadLetters(queue, is_sync_queue),
        }
        return Queues(queue, letters, queue.find_oldest)
