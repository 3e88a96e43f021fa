"""A log on SQLite, written through the driver's own connection: a whole commit is one hand-over to its thread.

aiosqlite hands every statement to the connection's thread and back, three or four times each: 20 times for an entry.
"""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncConnection

T = TypeVar("T")

BEGIN = "BEGIN IMMEDIATE"
AT_ONCE = 256
"""Rows in one statement: SQLite takes 32,766 values."""
OWN = "onestop_own"
"""Where a connection keeps what is behind it: SQLAlchemy makes a greenlet for it, each time it is asked."""


class Own(NamedTuple):
    """The driver's connection, SQLite's behind it, and for how many milliseconds that waits for another's lock."""

    driver: Any
    inner: sqlite3.Connection
    patience_ms: int

    async def in_its_thread(self, work: Callable[[], T]) -> T:
        # aiosqlite has no public way to run a function of ours there; SQLAlchemy's own dialect goes the same way.
        done: T = await self.driver._execute(work)  # noqa: SLF001
        return done


async def inside(connection: AsyncConnection, work: Callable[[sqlite3.Connection], T]) -> T:
    """What the work gives, done in the thread of a connection on which nothing else is under way."""
    own = await _own(connection)
    return await own.in_its_thread(lambda: work(own.inner))


async def committed(connection: AsyncConnection, work: Callable[[sqlite3.Connection], T], *, few: bool) -> T:
    """One transaction, on disk when this returns. After an error it is open: whoever called closes the connection.

    Few rows go in where the loop is, and only the commit, which waits for the disk, is its thread's: beside a loop that
    works, a thread would wait for the interpreter after each statement, and so would the loop. Where another process
    writes at this moment, or where pages may not wait for the commit in memory, all of it is the thread's.
    """
    own = await _own(connection)
    if few and _has_begun(own.inner):
        done = work(own.inner)
        await own.in_its_thread(lambda: own.inner.execute("COMMIT"))
        return done

    def whole() -> T:
        _wait_for_locks(own.inner, own.patience_ms)
        own.inner.execute(BEGIN)
        done = work(own.inner)
        own.inner.execute("COMMIT")
        return done

    return await own.in_its_thread(whole)


async def _own(connection: AsyncConnection) -> Own:
    kept = connection.info
    own: Own | None = kept.get(OWN)
    if own is None:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        inner: sqlite3.Connection = driver._conn  # noqa: SLF001 - as above
        own = kept[OWN] = Own(driver, inner, inner.execute("PRAGMA busy_timeout").fetchone()[0])
    return own


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
