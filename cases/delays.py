"""Orders that somebody is told only later of accesses to their data, as kept. Rows are added, never changed or deleted.

An order says whose data, which organisation's accesses, until when, on whose authority and by which reference; and, of
the privacy officer who entered it, who it was and why. It ends by itself.
"""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import CheckConstraint, Column, Row, String, Table, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine

from cases.pool import reader
from cases.tables import Instant, metadata
from schema.identifiers import PersonId

delay = Table(
    "delay",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("person", String(26), nullable=False, index=True),
    Column("organisation", String(120), nullable=False),
    Column("since", Instant, nullable=False),
    Column("until", Instant, nullable=False),
    Column("authority", String(120), nullable=False),
    Column("order_reference", String(120), nullable=False),
    Column("reason", String(500), nullable=False),
    Column("entered_by", String(40), nullable=False),
    CheckConstraint("until > since", name="ends"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """One order."""

    person: PersonId
    organisation: str
    since: datetime
    until: datetime
    authority: str
    order: str
    reason: str
    entered_by: str


class Delays:
    """The store of orders, in the database of the cases."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def add(self, new: Delay) -> None:
        """Keep an order; it holds from its `since` on."""
        async with self._engine.begin() as connection:
            await connection.execute(
                insert(delay).values(
                    id=str(uuid.uuid4()),
                    person=new.person,
                    organisation=new.organisation,
                    since=new.since,
                    until=new.until,
                    authority=new.authority,
                    order_reference=new.order,
                    reason=new.reason,
                    entered_by=new.entered_by,
                )
            )

    async def in_force(self, persons: Collection[PersonId], organisation: str, now: datetime) -> Sequence[Delay]:
        """The orders about these persons and this organisation that hold now, the one that lasts longest first."""
        asked = select(delay).where(
            delay.c.person.in_(sorted(persons)),
            delay.c.organisation == organisation,
            delay.c.since <= now,
            delay.c.until > now,
        )
        async with reader(self._engine).connect() as connection:
            return [_delay(row) for row in await connection.execute(asked.order_by(delay.c.until.desc(), delay.c.id))]

    async def all(self) -> Sequence[Delay]:
        """Every order there ever was, the newest first."""
        async with reader(self._engine).connect() as connection:
            found = await connection.execute(select(delay).order_by(delay.c.since.desc(), delay.c.id))
            return [_delay(row) for row in found]


def _delay(row: Row[tuple[object, ...]]) -> Delay:
    return Delay(
        person=row.person,
        organisation=row.organisation,
        since=row.since,
        until=row.until,
        authority=row.authority,
        order=row.order_reference,
        reason=row.reason,
        entered_by=row.entered_by,
    )
