"""Which months of an organisation's accesses were reviewed and signed for. Rows are added, never changed or deleted."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Column, String, Table, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from cases.pool import reader
from cases.tables import Instant, metadata
from schema.identifiers import PersonId

monthly_review = Table(
    "monthly_review",
    metadata,
    Column("organisation", String(120), primary_key=True),
    Column("month", String(7), primary_key=True),
    Column("officer", String(26), nullable=False),
    Column("at", Instant, nullable=False),
    Column("figures", String(64), nullable=False),
)
"""`figures` is the SHA-256 of what the officer saw, in hexadecimal."""


class AlreadySignedError(Exception):
    """Somebody signed for the month before."""


@dataclass(frozen=True, slots=True)
class SignOff:
    """Who signed for what, and when."""

    organisation: str
    month: str
    officer: PersonId
    at: datetime
    figures: str


class MonthlyReviews:
    """The store of them, in the database of the cases."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def sign(self, signed: SignOff) -> None:
        """Keep it. Raise AlreadySignedError when the month has one."""
        values = {name: getattr(signed, name) for name in monthly_review.c.keys()}  # noqa: SIM118 - no mapping
        try:
            async with self._engine.begin() as connection:
                await connection.execute(insert(monthly_review).values(values))
        except IntegrityError as error:
            raise AlreadySignedError(signed.month) from error

    async def of(self, organisation: str, month: str) -> SignOff | None:
        m = monthly_review.c
        asked = select(monthly_review).where(m.organisation == organisation, m.month == month)
        async with reader(self._engine).connect() as connection:
            row = (await connection.execute(asked)).one_or_none()
        if row is None:
            return None
        return SignOff(row.organisation, row.month, PersonId(row.officer), row.at, row.figures)
