"""Reading our own records where they are asked for: where they lie in a file of SQLite, without a thread."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

from sqlalchemy import URL, Connection, Row, create_engine, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import StaticPool


class Here:
    """One connection to a SQLite file that reads where it is asked, without a thread.

    Handing a statement to a thread and its rows back costs ten times what reading them does. With a write-ahead log
    no writer keeps a reader waiting; whatever else might, it does not wait here.
    """

    def __init__(self, file: URL) -> None:
        self._engine = create_engine(
            file.set(drivername="sqlite+pysqlite"),
            poolclass=StaticPool,
            isolation_level="AUTOCOMMIT",
            connect_args={"check_same_thread": False, "timeout": 0},
        )
        event.listen(self._engine, "connect", lambda made, _entry: made.execute("PRAGMA query_only=ON").close())
        self._connection: Connection | None = None

    @classmethod
    def of(cls, engine: AsyncEngine) -> Self | None:
        """None where there is no file, but a server or a memory."""
        of_a_file = engine.dialect.name == "sqlite" and engine.url.database not in (None, "", ":memory:")
        return cls(engine.url) if of_a_file else None

    def rows(self, statement: Any, values: Mapping[str, Any]) -> Sequence[Row[Any]]:
        """All rows, read at once: nothing is left open, so that the next statement sees what was written meanwhile."""
        if self._connection is None:  # kept: to open and to close one costs more than to read
            self._connection = self._engine.connect()
        try:
            return self._connection.execute(statement, values).all()
        except SQLAlchemyError:
            self._connection.rollback()
            raise

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._engine.dispose()
