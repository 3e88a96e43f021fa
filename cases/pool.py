"""Connections to the server that our own records lie on, with as few ways there and back as can be.

SQLAlchemy's `pool_pre_ping` is three of them before every use, and a transaction around a reading two more.
"""

import time
from typing import Any

from sqlalchemy import event
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import ConnectionPoolEntry

RESTED_S = 1.0
"""Who was used less than this ago is not asked whether it lives: the driver has heard of a server that went away."""


def reader(engine: AsyncEngine) -> AsyncEngine:
    """The engine for what only reads. On PostgreSQL each statement stands for itself, as it does in READ COMMITTED."""
    alone = {"isolation_level": "AUTOCOMMIT"} if engine.dialect.name == "postgresql" else {}
    return engine.execution_options(only_reads=True, **alone)


def take_none_that_died(engine: AsyncEngine, rested_s: float = RESTED_S) -> None:
    """Let the pool give out no connection that is closed, nor one that rested and does not answer."""
    dialect = engine.sync_engine.dialect

    @event.listens_for(engine.sync_engine, "checkin")
    def rests(_connection: Any, entry: ConnectionPoolEntry) -> None:
        entry.info["since"] = time.monotonic()

    @event.listens_for(engine.sync_engine, "checkout")
    def lives(connection: Any, entry: ConnectionPoolEntry, _given: Any) -> None:
        since = entry.info.pop("since", None)
        if connection.driver_connection.is_closed():
            raise InvalidatePoolError
        if since is not None and time.monotonic() - since > rested_s:
            try:
                dialect.do_ping(connection)
            except dialect.loaded_dbapi.Error as silent:
                raise InvalidatePoolError from silent
