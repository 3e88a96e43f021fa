"""The rows of a log on PostgreSQL, straight from asyncpg, for whoever checks them.

Apart from audit/checking.py, as a process that checks a file needs neither the driver nor an event loop: 12 MB each.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import asyncpg

from audit.checking import Row, Unreadable

AT_ONCE = 512
"""Rows that are fetched at a time."""


class PostgresRows:
    """Read-only, in one repeatable-read transaction. Raise Unreadable when the server does not let us in."""

    failure: type[Exception] = asyncpg.PostgresError

    def __init__(self, server: Mapping[str, Any]) -> None:
        self._loop = asyncio.Runner()
        try:
            self.connection: Any = self._loop.run(asyncpg.connect(**server, timeout=5))
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            self._loop.close()
            raise Unreadable(f"the database server does not let us in ({error})") from error
        self._loop.run(self.connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"))

    def ask(self, sql: str, *passed: object) -> Sequence[Row]:
        found: Sequence[Row] = self._loop.run(self.connection.fetch(sql, *passed))
        return found

    def each(self, sql: str, *passed: object) -> Iterator[Row]:
        cursor = self._loop.run(self._cursor(sql, passed))
        while found := self._loop.run(cursor.fetch(AT_ONCE)):
            yield from found

    async def _cursor(self, sql: str, passed: Sequence[object]) -> Any:
        return await self.connection.cursor(sql, *passed)

    def keys(self, ids: Sequence[str]) -> Sequence[Row]:
        return self.ask("SELECT id, year, subject_ref, wrapped FROM person_key WHERE id = ANY($1::text[])", ids)

    def has_table(self, name: str) -> bool:
        return bool(self.ask("SELECT 1 WHERE to_regclass($1) IS NOT NULL", name))

    def go_forward(self) -> None:
        """Nothing to do: the pages are the server's."""

    def close(self) -> None:
        self._loop.run(self.connection.close())
        self._loop.close()
