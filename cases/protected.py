"""The protected list as organisations keep it: who is on it, and which of their officials may look all the same.

Rows are added, never changed or deleted, each with who did it and why. Of whom they speak lies sealed (AES-256-GCM):
the database alone does not tell who is protected. Who is on any organisation's list is protected everywhere; an
organisation lets officials look for itself only.
"""

import secrets
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Column, Integer, LargeBinary, Row, String, Table, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from cases.pool import reader
from cases.tables import Instant, metadata
from schema.identifiers import PersonId

NONCE = 12


class Deed(StrEnum):
    """What is done to a list. To take a person off it also ends for whom it was open."""

    ADD = "ADD"
    REMOVE = "REMOVE"
    ALLOW = "ALLOW"
    DISALLOW = "DISALLOW"


protection = Table(
    "protection",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("deed", String(8), nullable=False),
    Column("organisation", String(120), nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("actor", String(40), nullable=False),
    Column("reason", String(500), nullable=False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One row: ADD and REMOVE name no official, ALLOW and DISALLOW do."""

    at: datetime
    deed: Deed
    organisation: str
    person: PersonId
    official: PersonId | None
    actor: PersonId
    reason: str


@dataclass(frozen=True, slots=True)
class Spell:
    """A time during which a person is on an organisation's list or, with an official, that official may look."""

    begun: Change
    until: datetime | None = None


class UnchangedError(Exception):
    """The list is as the change would make it, or the person that it is about is not on it."""


class SealError(Exception):
    """A row does not open: it was made with another key, or tampered with."""


def spells(changes: Iterable[Change]) -> list[Spell]:
    """Who was protected and who was let in, from when until when, out of changes in their order."""
    over: list[Spell] = []
    held: dict[tuple[str, PersonId, PersonId | None], Change] = {}
    for each in changes:
        whom = (each.organisation, each.person, each.official)
        listed = (each.organisation, each.person, None) in held
        if each.deed is Deed.ADD or (each.deed is Deed.ALLOW and listed):
            held.setdefault(whom, each)
        elif each.deed is not Deed.ALLOW:
            ended = [other for other in held if other == whom or (each.official is None and other[:2] == whom[:2])]
            over.extend(Spell(held.pop(other), each.at) for other in ended)
    return [*over, *(Spell(each) for each in held.values())]


class ProtectedList:
    """The store of the lists, in the database of the cases."""

    def __init__(self, engine: AsyncEngine, cipher: AESGCM) -> None:
        self._engine = engine
        self._cipher = cipher

    async def change(self, new: Change) -> None:
        """Note a change. Raises `UnchangedError` for one that changes nothing."""
        async with self._engine.begin() as connection:
            before = await self._of(connection, new.organisation)
            if _open(before) == _open([*before, new]):
                raise UnchangedError
            plain, nonce = f"{new.person} {new.official or ''}".encode(), secrets.token_bytes(NONCE)
            await connection.execute(
                insert(protection).values(
                    at=new.at,
                    deed=new.deed.value,
                    organisation=new.organisation,
                    sealed=nonce + self._cipher.encrypt(nonce, plain, _place(new.deed, new.organisation)),
                    actor=new.actor,
                    reason=new.reason,
                )
            )

    async def changes(self, organisation: str | None = None) -> Sequence[Change]:
        """What was done to one organisation's list, or to all, in its order. Raises `SealError`."""
        async with reader(self._engine).connect() as connection:
            return await self._of(connection, organisation)

    async def around(self, persons: Collection[str]) -> dict[str, list[tuple[object, ...]]]:
        """What the rules are told of these persons: rows of `protected` and `admitted`. Raises `SealError`."""
        found: dict[str, list[tuple[object, ...]]] = {"protected": [], "admitted": []}
        for each in spells(await self.changes()):
            its, when = each.begun, (each.begun.at, each.until)
            if its.person not in persons:
                continue
            if its.official is None:
                found["protected"].append((its.person, *when))
            else:
                found["admitted"].append((its.person, its.official, its.organisation, *when))
        return found

    async def _of(self, connection: AsyncConnection, organisation: str | None) -> list[Change]:
        asked = select(protection).order_by(protection.c.number)
        if organisation is not None:
            asked = asked.where(protection.c.organisation == organisation)
        return [self._change(row) for row in await connection.execute(asked)]

    def _change(self, row: Row[tuple[object, ...]]) -> Change:
        deed, box = Deed(row.deed), row.sealed
        try:
            plain = self._cipher.decrypt(box[:NONCE], box[NONCE:], _place(deed, row.organisation))
        except (InvalidTag, ValueError) as error:
            raise SealError(f"row {row.number} of the protected list does not open") from error
        person, _, official = plain.decode().partition(" ")
        return Change(
            at=row.at,
            deed=deed,
            organisation=row.organisation,
            person=PersonId(person),
            official=PersonId(official) if official else None,
            actor=PersonId(row.actor),
            reason=row.reason,
        )


def _place(deed: Deed, organisation: str) -> bytes:
    return f"protected/{deed.value}/{organisation}".encode()


def _open(changes: Iterable[Change]) -> list[Spell]:
    return [each for each in spells(changes) if each.until is None]
