"""The stock of an environment and its replicas, made of its settings."""

from __future__ import annotations

from datetime import UTC, datetime

from fillrate_assets.aws import dynamodb_streams, secrets
from fillrate_assets.aws.dynamodb import DynamoTable
from fillrate_assets.core.database_url import locate_file
from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.inventory.change_stream import StockStream
from fillrate_assets.inventory.dynamo_stock import DynamoStock
from fillrate_assets.inventory.replica_registry import ReplicaRegistry
from fillrate_assets.inventory.replica_store import ReplicaStore
from fillrate_assets.inventory.sources.local_replica import LocalReplica
from fillrate_assets.inventory.sources.replicas import HttpReplica, Replica
from fillrate_assets.inventory.stock_store import StockStore
from fillrate_assets.messaging.dynamo_stream import DynamoStream
from fillrate_assets.messaging.streams import Stream
from fillrate_assets.settings import Settings
from fillrate_assets.storage.database import Database


def get_utc_now() -> datetime:
    """Return the time, UTC."""
    return datetime.now(UTC)


def open_replica_store(settings: Settings, dc: str) -> ReplicaStore:
    """Open the copies of a DC in the home, which are made if need be.

    Raises:
        PermanentFailure: its code is no name of a file.

    """
    if not dc or any(each in dc for each in "/\\:\0") or dc.startswith("."):
        msg = f"the code {dc!r} of a DC is no name of a file: set FILLRATE_INVENTORY__REPLICAS"
        raise PermanentFailure(msg)
    database = Database(locate_file("sqlite", f"{settings.home}/replicas/{dc}.db"))
    database.upgrade()
    return ReplicaStore(database, dc)


def open_stock(settings: Settings, database: Database) -> DynamoStock | StockStore:
    """Open the stock: a table of DynamoDB where the settings name one, the record store otherwise."""
    table = settings.fulfillment_aws.stock_table
    return DynamoStock(DynamoTable(table)) if table else StockStore(database)


def open_stream(settings: Settings, database: Database) -> Stream:
    """Open the stream of the stock's changes."""
    table = settings.fulfillment_aws.stock_table
    return DynamoStream(dynamodb_streams.find_stream(table)) if table else StockStream(database)


def make_replicas(settings: Settings, database: Database) -> dict[str, Replica]:
    """Make the replicas that the settings name; by default, one in the home for each DC that has stock or was added."""
    given = settings.inventory
    if not given.replicas:
        dcs = sorted({*open_stock(settings, database).list_dcs(), *ReplicaRegistry(database).read()})
        return {dc: LocalReplica(open_replica_store(settings, dc), get_utc_now) for dc in dcs}
    token = secrets.reveal(given.replica_token.get_secret_value())
    return {dc: HttpReplica(dc, url, token) for dc, url in given.replicas.items()}
