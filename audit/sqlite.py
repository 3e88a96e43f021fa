"""A log on SQLite, written through the driver's own connection: a whole commit is one function in one thread.

aiosqlite hands every statement to the connection's thread and back, three or four times each: 20 times for an entry.
"""

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncConnection

T = TypeVar("T")

BEGIN = "BEGIN IMMEDIATE"
AT_ONCE = 256
"""Rows in one statement: SQLite takes 32,766 values."""


async def inside(connection: AsyncConnection, work: Callable[[sqlite3.Connection], T]) -> T:
    """What the work gives, done in the thread of a connection on which nothing else is under way."""
    driver: Any = (await connection.get_raw_connection()).driver_connection
    # aiosqlite has no public way to run a function of ours there; SQLAlchemy's own dialect goes the same way.
    done: T = await driver._execute(lambda: work(driver._conn))  # noqa: SLF001
    return done


def committed(connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
    """One transaction, on disk when this returns. After an error it is open: whoever called closes the connection."""
    connection.execute(BEGIN)
    done = work(connection)
    connection.execute("COMMIT")
    return done


def rows_where(connection: sqlite3.Connection, selected: str, among: Iterable[object]) -> list[tuple[Any, ...]]:
    """Rows of a statement that ends in IN."""
    values = list(among)
    return connection.execute(f"{selected} ({','.join('?' * len(values))})", values).fetchall()


def insert(
    connection: sqlite3.Connection, into: Table, rows: Sequence[Mapping[str, object]], *, or_ignore: bool = False
) -> None:
    """Many rows in one step: after each the thread waits for the interpreter, up to 5 ms while the loop works."""
    names = [column.name for column in into.c]
    verb = "INSERT OR IGNORE" if or_ignore else "INSERT"
    marks = f"({', '.join('?' * len(names))})"
    for begin in range(0, len(rows), AT_ONCE):
        some = rows[begin : begin + AT_ONCE]
        statement = f"{verb} INTO {into.name} ({', '.join(names)}) VALUES {', '.join([marks] * len(some))}"
        connection.execute(statement, [row[name] for row in some for name in names])
