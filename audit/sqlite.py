"""A log on SQLite, written through the driver's own connection: a whole commit is one function in one thread.

aiosqlite hands every statement to the connection's thread and back, three or four times each: 20 times for an entry.
"""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any, TypeVar

from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncConnection

T = TypeVar("T")

BEGIN = "BEGIN IMMEDIATE"
AT_ONCE = 256
"""Rows in one statement: SQLite takes 32,766 values."""
DRIVER = "onestop_driver"
"""Where a connection keeps what SQLAlchemy makes a greenlet for, each time it is asked."""


async def inside(connection: AsyncConnection, work: Callable[[sqlite3.Connection], T]) -> T:
    """What the work gives, done in the thread of a connection on which nothing else is under way."""
    driver: Any = connection.info.get(DRIVER)
    if driver is None:
        driver = connection.info[DRIVER] = (await connection.get_raw_connection()).driver_connection
    # aiosqlite has no public way to run a function of ours there; SQLAlchemy's own dialect goes the same way.
    done: T = await driver._execute(lambda: work(driver._conn))  # noqa: SLF001
    return done


def committed(connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
    """One transaction, on disk when this returns. After an error it is open: whoever called closes the connection."""
    connection.execute(BEGIN)
    done = work(connection)
    connection.execute("COMMIT")
    return done


def marks(number: int) -> str:
    """So many places for values."""
    return f"({', '.join('?' * number)})"


def insert(
    connection: sqlite3.Connection, into: Table, rows: Sequence[Mapping[str, object]], *, or_ignore: bool = False
) -> None:
    """Many rows in one step: after each the thread waits for the interpreter, up to 5 ms while the loop works."""
    values = _values_in(into)
    for begin in range(0, len(rows), AT_ONCE):
        some = rows[begin : begin + AT_ONCE]
        connection.execute(_inserting(into, len(some), or_ignore=or_ignore), [*chain.from_iterable(map(values, some))])


@lru_cache
def _values_in(into: Table) -> Callable[[Mapping[str, object]], tuple[object, ...]]:
    return itemgetter(*into.c.keys())


@lru_cache(maxsize=1024)
def _inserting(into: Table, rows: int, *, or_ignore: bool) -> str:
    verb = "INSERT OR IGNORE" if or_ignore else "INSERT"
    return f"{verb} INTO {into.name} ({', '.join(into.c.keys())}) VALUES {', '.join([marks(len(into.c))] * rows)}"
