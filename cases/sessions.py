"""The portal's sessions, kept here and not in the browser. What is kept comes sealed; the id comes as a hash."""

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Column, LargeBinary, String, Table, delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from cases.pool import reader
from cases.tables import Instant, metadata

session = Table(
    "session",
    metadata,
    Column("id_hash", String(64), primary_key=True),
    Column("kept", LargeBinary, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("last_used_at", Instant, nullable=False, index=True),
)


@dataclass(frozen=True, slots=True)
class SessionRecord:
    id_hash: str
    kept: bytes = field(repr=False)
    created_at: datetime
    last_used_at: datetime


class Sessions:
    """The store of sessions, in the database of the cases."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def begin(self, record: SessionRecord, instead_of: str | None = None) -> None:
        """Keep a new session; the one that it takes the place of ends in the same moment."""
        async with self._engine.begin() as connection:
            if instead_of is not None:
                await connection.execute(delete(session).where(session.c.id_hash == instead_of))
            await connection.execute(
                insert(session).values(
                    id_hash=record.id_hash,
                    kept=record.kept,
                    created_at=record.created_at,
                    last_used_at=record.last_used_at,
                )
            )

    async def find(self, id_hash: str) -> SessionRecord | None:
        async with reader(self._engine).connect() as connection:
            row = (await connection.execute(select(session).where(session.c.id_hash == id_hash))).first()
        return SessionRecord(row.id_hash, row.kept, row.created_at, row.last_used_at) if row else None

    async def use(self, id_hash: str, now: datetime) -> None:
        """Note that the session is in use. One that has ended meanwhile stays ended."""
        async with self._engine.begin() as connection:
            await connection.execute(update(session).where(session.c.id_hash == id_hash).values(last_used_at=now))

    async def end(self, id_hash: str) -> None:
        async with self._engine.begin() as connection:
            await connection.execute(delete(session).where(session.c.id_hash == id_hash))

    async def purge(self, created_before: datetime, used_before: datetime) -> None:
        """Forget sessions that are over."""
        over = or_(session.c.created_at <= created_before, session.c.last_used_at <= used_before)
        async with self._engine.begin() as connection:
            await connection.execute(delete(session).where(over))
