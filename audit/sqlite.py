"""A log on SQLite, written through the driver's own connection: a whole commit is one hand-over to its thread.

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
DRIVER, PATIENCE = "onestop_driver", "onestop_patience"
"""Where a connection keeps what SQLAlchemy makes a greenlet for, each time it is asked, and its first time-out."""


async def inside(connection: AsyncConnection, work: Callable[[sqlite3.Connection], T]) -> T:
    """What the work gives, done in the thread of a connection on which nothing else is under way."""
    driver = await _driver_of(connection)
    return await _in_its_thread(driver, lambda: work(driver._conn))  # noqa: SLF001 - as below


async def committed(connection: AsyncConnection, work: Callable[[sqlite3.Connection], T], *, few: bool) -> T:
    """One transaction, on disk when this returns. After an error it is open: whoever called closes the connection.

    Few rows go in where the loop is, and only the commit, which waits for the disk, is its thread's: beside a loop that
    works, a thread would wait for the interpreter after each statement, and so would the loop. Where another process
    writes at this moment, or where pages may not wait for the commit in memory, all of it is the thread's.
    """
    driver = await _driver_of(connection)
    inner: sqlite3.Connection = driver._conn  # noqa: SLF001 - as below
    patience: int | None = connection.info.get(PATIENCE)
    if patience is None:
        patience = connection.info[PATIENCE] = inner.execute("PRAGMA busy_timeout").fetchone()[0]
    if few and _has_begun(inner):
        done = work(inner)
        await _in_its_thread(driver, lambda: inner.execute("COMMIT"))
        return done

    def whole() -> T:
        _wait_for_locks(inner, patience)
        inner.execute(BEGIN)
        done = work(inner)
        inner.execute("COMMIT")
        return done

    return await _in_its_thread(driver, whole)


async def _driver_of(connection: AsyncConnection) -> Any:
    driver = connection.info.get(DRIVER)
    if driver is None:
        driver = connection.info[DRIVER] = (await connection.get_raw_connection()).driver_connection
    return driver


async def _in_its_thread(driver: Any, work: Callable[[], T]) -> T:
    # aiosqlite has no public way to run a function of ours there; SQLAlchemy's own dialect goes the same way.
    done: T = await driver._execute(work)  # noqa: SLF001
    return done


def _has_begun(connection: sqlite3.Connection) -> bool:
    """Begin without waiting. False where another process holds the write lock."""
    _wait_for_locks(connection, 0)
    try:
        connection.execute(BEGIN)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True


def _wait_for_locks(connection: sqlite3.Connection, at_most_ms: int) -> None:
    """SQLite follows this pragma when it reads it, so it may not come from the driver's memory of statements."""
    connection.executescript(f"PRAGMA busy_timeout={at_most_ms}")


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
