"""Reading our own records where they are asked for: where they lie in a file of SQLite, without a thread."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

from sqlalchemy import URL, Connection, Select, create_engine, event
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import StaticPool

KEPT = "kept"
"""The execution option of a statement that lives as long as the program, is asked with nothing but texts, and whose
rows are told apart by place."""


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
        self._kept: dict[Select[Any], _Kept] = {}

    @classmethod
    def of(cls, engine: AsyncEngine) -> Self | None:
        """None where there is no file, but a server or a memory."""
        of_a_file = engine.dialect.name == "sqlite" and engine.url.database not in (None, "", ":memory:")
        return cls(engine.url) if of_a_file else None

    def rows(self, statement: Any, values: Mapping[str, Any]) -> Sequence[Any]:
        """All rows, read at once: nothing is left open, so that the next statement sees what was written meanwhile."""
        if self._connection is None:  # kept: to open and to close one costs more than to read
            self._connection = self._engine.connect()
        if KEPT in statement.get_execution_options():
            kept = self._kept.get(statement) or self._kept.setdefault(statement, _Kept(statement))
            return kept.rows(self._connection.connection.driver_connection, values)
        try:
            return self._connection.execute(statement, values).all()
        except SQLAlchemyError:
            self._connection.rollback()
            raise

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._engine.dispose()


class _Kept:
    """A statement as the driver takes it, and how its values are read: SQLAlchemy says both once, not each time."""

    def __init__(self, statement: Select[Any]) -> None:
        dialect = sqlite.dialect(paramstyle="named")
        compiled = statement.compile(dialect=dialect)
        said = compiled.construct_expanded_state(compiled.params)
        self._text, self._constants = said.statement, said.parameters
        types = (column["type"].dialect_impl(dialect) for column in statement.column_descriptions)
        readers = enumerate(type_.result_processor(dialect, None) for type_ in types)
        self._readers = [(place, read) for place, read in readers if read is not None]

    def rows(self, connection: Any, values: Mapping[str, Any]) -> Sequence[Any]:
        found = [list(row) for row in connection.execute(self._text, {**self._constants, **values})]
        for row in found:
            for place, read in self._readers:
                row[place] = read(row[place])
        return found
