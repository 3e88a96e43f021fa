"""How far the log was looked through for findings, and who supervises an office."""

from datetime import datetime, timedelta

from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    String,
    Table,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncEngine

from cases.pool import reader
from cases.tables import Instant, metadata
from schema.identifiers import PersonId

progress = Table(
    "finding_progress",
    metadata,
    Column("log", String(64), primary_key=True),
    Column("leaf_index", BigInteger, nullable=False),
    Column("holder", String(64)),
    Column("held_until", Instant),
)
"""One row a log, named by its epoch: the newest entry that was judged, and which process judges now."""

supervision = Table(
    "supervision",
    metadata,
    Column("agency", String(256), primary_key=True),
    Column("office", String(256), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("supervisor", String(26), nullable=False),
    Column("named_by", String(26), nullable=False),
    Column("at", Instant, nullable=False),
)
"""The newest row holds. Rows are never changed or deleted."""


class Reviews:
    """Both, in the database of the cases."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._reader = reader(engine)

    async def turn(self, log: str, holder: str, now: datetime, lasts: timedelta) -> int | None:
        """The newest leaf index that was judged (-1: none), when it is this holder's turn; None when another's."""
        dialect = postgresql if self._engine.dialect.name == "postgresql" else sqlite
        async with self._engine.begin() as connection:
            first = dialect.insert(progress).values(log=log, leaf_index=-1).on_conflict_do_nothing()
            await connection.execute(first)
            mine = or_(progress.c.holder.is_(None), progress.c.holder == holder, progress.c.held_until <= now)
            taken = await connection.execute(
                update(progress).where(progress.c.log == log, mine).values(holder=holder, held_until=now + lasts)
            )
            if taken.rowcount != 1:
                return None
            asked = select(progress.c.leaf_index).where(progress.c.log == log)
            return int((await connection.execute(asked)).scalar_one())

    async def went_on(self, log: str, holder: str, leaf_index: int) -> None:
        """Everything up to this entry was judged by the holder."""
        async with self._engine.begin() as connection:
            mine = (progress.c.log == log, progress.c.holder == holder)
            await connection.execute(update(progress).where(*mine).values(leaf_index=leaf_index))

    async def supervisor(self, agency: str, office: str) -> PersonId | None:
        """Who supervises the office now."""
        s = supervision.c
        asked = select(s.supervisor).where(s.agency == agency, s.office == office).order_by(s.number.desc()).limit(1)
        async with self._reader.connect() as connection:
            found = (await connection.execute(asked)).scalar_one_or_none()
        return None if found is None else PersonId(found)

    async def name_supervisor(
        self, agency: str, office: str, supervisor: PersonId, named_by: PersonId, now: datetime
    ) -> None:
        """From now on this is the office's supervisor."""
        s = supervision.c
        async with self._engine.begin() as connection:
            last = select(func.max(s.number)).where(s.agency == agency, s.office == office)
            number = ((await connection.execute(last)).scalar_one() or 0) + 1
            await connection.execute(
                insert(supervision).values(
                    agency=agency, office=office, number=number, supervisor=supervisor, named_by=named_by, at=now
                )
            )
