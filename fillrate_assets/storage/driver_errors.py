"""Errors of a driver that is used past SQLAlchemy, raised as SQLAlchemy would raise them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError


@contextmanager
def translate_driver_errors(connection: sa.Connection, statement: str) -> Iterator[None]:
    """Raise the driver's own errors, of a connection that is used past SQLAlchemy, as SQLAlchemy would."""
    dialect, errors = connection.dialect, connection.dialect.loaded_dbapi.Error
    try:
        yield
    except errors as error:
        if lost := dialect.is_disconnect(error, connection.connection.dbapi_connection, None):
            # Else its rollback fails too, and hides why.
            connection.invalidate(error)
        raise DBAPIError.instance(
            statement, None, error, errors, connection_invalidated=lost, dialect=dialect
        ) from error
