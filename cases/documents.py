"""Trusted documents: what a portal registered, and what privacy officers approved of it.

An approval is about one document of one client for one purpose, and keeps what the document disclosed when it was
given. It is never changed but to end it, once, with who did and why (a trigger holds that), so that the table is its
own history.
"""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Column, ForeignKeyConstraint, Index, String, Table, Text, Update, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from cases.pool import reader
from cases.tables import Instant, metadata
from schema.case import Purpose
from schema.identifiers import PersonId

document = Table(
    "trusted_document",
    metadata,
    Column("client", String(256), primary_key=True),
    Column("hash", String(71), primary_key=True, index=True),
    Column("purpose", String(32), primary_key=True),
    Column("operations", String(1000), nullable=False),
    Column("text", Text, nullable=False),
    Column("registered_at", Instant, nullable=False),
)

approval = Table(
    "trusted_document_approval",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("client", String(256), nullable=False),
    Column("hash", String(71), nullable=False),
    Column("purpose", String(32), nullable=False),
    Column("approver", String(26), nullable=False),
    Column("schema_hash", String(64), nullable=False),
    Column("disclosures", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("ended_because", String(500)),
    Column("ended_by", String(256)),
    ForeignKeyConstraint(
        ["client", "hash", "purpose"],
        ["trusted_document.client", "trusted_document.hash", "trusted_document.purpose"],
        name="fk_trusted_document_approval_document",
    ),
    Index(
        "uq_trusted_document_approval_live",
        "client",
        "hash",
        "purpose",
        "approver",
        unique=True,
        sqlite_where=text("ended_at is null"),
        postgresql_where=text("ended_at is null"),
    ),
)


@dataclass(frozen=True, slots=True)
class Registered:
    """A document that a client wants to ask for a purpose. `operations`: the names in it, sorted, by commas."""

    client: str
    hash: str
    purpose: Purpose
    operations: str
    text: str
    registered_at: datetime


@dataclass(frozen=True, slots=True)
class Approval:
    """A privacy officer's word on it. `disclosures` is JSON: what each coordinate disclosed then."""

    client: str
    hash: str
    purpose: Purpose
    approver: PersonId
    schema_hash: str
    disclosures: str
    at: datetime
    ended_at: datetime | None = None
    ended_because: str | None = None
    ended_by: str | None = None
    """The officer, or the account at the machine: `account:NAME`. None for one that ended before this was kept."""


class DocumentStore:
    """The two tables, on the engine of the other records."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._reader = reader(engine)

    async def text(self, hash_: str) -> str | None:
        """The text of a registered document, whoever registered it: a hash has one text."""
        async with self._reader.connect() as connection:
            return (await connection.execute(select(document.c.text).where(document.c.hash == hash_).limit(1))).scalar()

    async def register(self, found: Registered) -> None:
        """Keep a document, unless it is there."""
        keys = (
            document.c.client == found.client,
            document.c.hash == found.hash,
            document.c.purpose == found.purpose.name,
        )
        async with self._engine.begin() as connection:
            if (await connection.execute(select(document.c.hash).where(*keys))).first():
                return
            await connection.execute(
                insert(document).values(
                    client=found.client,
                    hash=found.hash,
                    purpose=found.purpose.name,
                    operations=found.operations,
                    text=found.text,
                    registered_at=found.registered_at,
                )
            )

    async def registered(self, client: str | None = None, hash_: str | None = None) -> list[Registered]:
        """The documents (of a client; of a hash), the first registered first."""
        asked = select(document).order_by(document.c.registered_at, document.c.hash, document.c.purpose)
        asked = asked if client is None else asked.where(document.c.client == client)
        asked = asked if hash_ is None else asked.where(document.c.hash == hash_)
        async with self._reader.connect() as connection:
            return [
                Registered(row.client, row.hash, Purpose[row.purpose], row.operations, row.text, row.registered_at)
                for row in await connection.execute(asked)
            ]

    async def approvals(self, client: str, hash_: str) -> list[Approval]:
        """Every approval that a document of a client was given, the earliest first."""
        asked = (
            select(approval)
            .where(approval.c.client == client, approval.c.hash == hash_)
            .order_by(approval.c.at, approval.c.id)
        )
        async with self._reader.connect() as connection:
            return [
                Approval(
                    client=row.client,
                    hash=row.hash,
                    purpose=Purpose[row.purpose],
                    approver=PersonId(row.approver),
                    schema_hash=row.schema_hash,
                    disclosures=row.disclosures,
                    at=row.at,
                    ended_at=row.ended_at,
                    ended_because=row.ended_because,
                    ended_by=row.ended_by,
                )
                for row in await connection.execute(asked)
            ]

    async def approve(self, given: Approval) -> None:
        """Add an approval; it takes the place of an earlier one by the same officer."""
        its = (approval.c.purpose == given.purpose.name, approval.c.approver == given.approver)
        async with self._engine.begin() as connection:
            again = _ending(given.client, given.hash, given.at, "approved again", given.approver)
            await connection.execute(again.where(*its))
            await connection.execute(
                insert(approval).values(
                    id=str(uuid.uuid4()),
                    client=given.client,
                    hash=given.hash,
                    purpose=given.purpose.name,
                    approver=given.approver,
                    schema_hash=given.schema_hash,
                    disclosures=given.disclosures,
                    at=given.at,
                )
            )

    async def revoke(self, client: str, hash_: str, reason: str, by: str, now: datetime) -> Iterable[PersonId]:
        """End all approvals of a client's document, for every purpose: whose they were."""
        async with self._engine.begin() as connection:
            ended = await connection.execute(_ending(client, hash_, now, reason, by).returning(approval.c.approver))
            return [PersonId(row.approver) for row in ended]


def _ending(client: str, hash_: str, now: datetime, because: str, by: str) -> Update:
    return (
        update(approval)
        .where(approval.c.client == client, approval.c.hash == hash_, approval.c.ended_at.is_(None))
        .values(ended_at=now, ended_because=because, ended_by=by)
    )
