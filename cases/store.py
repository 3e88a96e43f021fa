"""Reading and writing our own records. One call is one transaction, and may run beside others in other processes."""

import asyncio
import re
import secrets
import sqlite3
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Self

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import (
    BindParameter,
    Connection,
    Row,
    Select,
    and_,
    bindparam,
    event,
    false,
    func,
    insert,
    inspect,
    not_,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.util import await_only

from cases import tables
from cases.delays import Delays
from cases.documents import DocumentStore
from cases.finding_context import FindingContext
from cases.findings import FindingStore
from cases.here import KEPT, Here
from cases.monthly_reviews import MonthlyReviews
from cases.pool import reader, take_none_that_died
from cases.proofs import Proofs
from cases.protected import ProtectedList
from cases.reviews import Reviews
from cases.sessions import Sessions
from schema.answer import AnswerStatus
from schema.case import CaseKind, MandateRole, Purpose
from schema.disclosure import Agency, Sensitivity
from schema.identifiers import CaseId, PersonId, SectorId


class CaseRecord(msgspec.Struct, frozen=True):
    """A case as it was opened. `version` grows with every change of an agency's answer."""

    id: CaseId
    kind: CaseKind
    subject: PersonId
    number: str
    purpose: Purpose
    opened_at: datetime
    opened_by: PersonId
    closed_at: datetime | None
    version: int
    agency: str | None = None
    office: str | None = None
    officer: PersonId | None = None
    applicant: PersonId | None = None
    """Who asked for it at the counter of an office."""


GIVEN_BESIDE = timedelta(minutes=1)
"""No request lasts longer, and no two clocks of one installation differ by more."""


class MandateRecord(msgspec.Struct, frozen=True):
    """A viewer's power on a case. A proxy's is given out of that of its giver, and holds no longer than that.

    `agencies` and `sensitivity` bound what it reaches; None for no bound of its own.
    """

    id: str
    case_id: CaseId
    role: MandateRole
    holder: PersonId
    on_behalf_of: PersonId | None
    purpose: Purpose
    legal_basis: str
    issued_by: str
    valid_from: datetime
    valid_until: datetime | None
    revoked_at: datetime | None
    giver: str | None = None
    agencies: frozenset[Agency] | None = None
    sensitivity: Sensitivity | None = None
    joint: tuple["MandateRecord", ...] = ()
    """The proxies of all heirs that make this one (resolvers/powers.py); it is nowhere kept itself."""

    @property
    def rests_on(self) -> tuple[str, ...]:
        """The mandates that have to be active for this one to be: itself and its giver, or all that make it."""
        if self.joint:
            return tuple(each for part in self.joint for each in part.rests_on)
        return (self.id,) if self.giver is None else (self.id, self.giver)

    def active(self, now: datetime) -> bool:
        """Granted, within its dates and not revoked.

        A request is judged at the moment when it began, and a mandate is given at such a moment of another request,
        by another process's clock: what a request finds given has begun although that moment was a little later.
        """
        begun = self.valid_from - GIVEN_BESIDE <= now
        return self.revoked_at is None and begun and (self.valid_until is None or now < self.valid_until)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a mandate rests on; `hash` is over the facts as they were found, so that a later dispute can compare."""

    kind: str
    issuer: str
    dated: datetime
    assurance: str
    hash: str
    verified_by: str


@dataclass(frozen=True, slots=True)
class Grant:
    """A mandate to be given: when a case is opened, or as a proxy out of the mandate `giver`."""

    role: MandateRole
    holder: PersonId
    purpose: Purpose
    legal_basis: str
    issued_by: str
    evidence: Evidence
    on_behalf_of: PersonId | None = None
    giver: str | None = None
    valid_until: datetime | None = None
    agencies: frozenset[Agency] | None = None
    sensitivity: Sensitivity | None = None
    justification: str | None = None


@dataclass(frozen=True, slots=True)
class MandateEvent:
    """A GRANT or a REVOKE: who did it, and why."""

    mandate_id: str
    event: str
    at: datetime
    actor: PersonId
    justification: str | None


class Consent(Enum):
    """What an applicant agrees to have shown to the officer of their case."""

    AMOUNT = "AMOUNT"
    FINANCIAL = "FINANCIAL"


@dataclass(frozen=True, slots=True)
class Assignment:
    """To whom a case is given, and why. `grant` is the officer's mandate, on behalf of the applicant if there is one.

    `consents` are the applicant's, shown by what hashes to `proof`.
    """

    grant: Grant
    office: str
    agency: str
    reason: str
    consents: frozenset[Consent] = frozenset()
    proof: str = ""


@dataclass(frozen=True, slots=True)
class CaseEvent:
    """An ASSIGN (to an officer of an office), a CLOSE or a REOPEN: who did it, and why."""

    event: str
    at: datetime
    actor: PersonId
    officer: PersonId | None
    office: str | None
    agency: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Request:
    """One idempotent request: the same viewer and key always get the first result."""

    viewer: PersonId
    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Inquiry:
    """A question that an agency answers later. `kept` is the sealed answer, once it came."""

    id: str
    case_id: CaseId
    agency: Agency
    generation: int
    person: SectorId
    ticket: str
    expected_by: date
    opened_at: datetime
    kept: bytes | None = field(repr=False)
    retrieved_at: datetime | None
    visible_until: datetime | None


@dataclass(frozen=True, slots=True)
class CaseFile:
    """Everything that our records say of one case, as it stood at one moment."""

    record: CaseRecord
    mandates: Sequence[MandateRecord]
    """All ever given, oldest first."""
    justifications: Mapping[str, str]
    """By mandate, the words with which it was given, where there are any."""
    standings: Mapping[Agency, AnswerStatus]
    consents: frozenset[Consent]
    inquiry: Inquiry | None
    """The newest at the agency that answers later."""


MIGRATION_LOCK = 0x6F6E6573746F70
MIGRATIONS = Path(__file__).parent / "migrations"
"""Any number that nobody else locks in this database."""


LATE = Agency.FINANCE
"""The agency that answers later."""

# Every question asks these. Built once: to build one costs ten times what it takes to run it.
CASE = select(tables.case).where(tables.case.c.id == bindparam("id")).execution_options(**{KEPT: True})
NEWEST = tables.inquiry.alias()
FILE = (
    select(
        tables.case,
        tables.mandate,
        tables.inquiry,
        tables.mandate_event.c.justification,
        select(func.aggregate_strings(tables.standing.c.agency + ":" + tables.standing.c.status, ","))
        .where(tables.standing.c.case_id == bindparam("id"))
        .scalar_subquery()
        .label("standings"),
        select(func.aggregate_strings(tables.consent.c.scope, ","))
        .where(tables.consent.c.case_id == tables.case.c.id, tables.consent.c.applicant == tables.case.c.applicant)
        .scalar_subquery()
        .label("consents"),
    )
    .outerjoin_from(tables.case, tables.mandate, tables.mandate.c.case_id == tables.case.c.id)
    .outerjoin(
        tables.mandate_event,
        and_(tables.mandate_event.c.mandate_id == tables.mandate.c.id, tables.mandate_event.c.event == "GRANT"),
    )
    .outerjoin(
        tables.inquiry,
        tables.inquiry.c.id
        == select(NEWEST.c.id)
        .where(NEWEST.c.case_id == bindparam("id"), NEWEST.c.agency == LATE.name)
        .order_by(NEWEST.c.generation.desc())
        .limit(1)
        .scalar_subquery(),
    )
    .where(tables.case.c.id == bindparam("id"))
    .order_by(tables.mandate.c.valid_from, tables.mandate.c.id)
    .execution_options(**{KEPT: True})
)
"""One row for each mandate, so that one reading brings a case: on a server each reading is a way there and back."""
MANDATES_OF = (
    select(tables.mandate)
    .where(tables.mandate.c.case_id == bindparam("case"))
    .order_by(tables.mandate.c.valid_from, tables.mandate.c.id)
)
INQUIRIES = (
    select(tables.inquiry)
    .where(
        tables.inquiry.c.case_id.in_(bindparam("cases", expanding=True)), tables.inquiry.c.agency == bindparam("agency")
    )
    .order_by(tables.inquiry.c.generation)
)
STANDINGS = select(tables.standing).where(tables.standing.c.case_id == bindparam("case"))


@cache
def mandates(count: int) -> Select[Any]:
    """So many mandates, by the parameters `id0`, `id1` and so on."""
    ids: list[BindParameter[str]] = [bindparam(f"id{n}") for n in range(count)]
    return select(tables.mandate).where(tables.mandate.c.id.in_(ids)).execution_options(**{KEPT: True})


class KeyReusedError(Exception):
    """The idempotency key was used for something else."""


class CaseClosedError(Exception):
    """A closed case is given to nobody, and not closed again."""


class GiverEndedError(Exception):
    """The mandate that a proxy was to be given out of is not in force any more, or ends earlier."""


class Cases:
    """The store. Open it with `Cases.opened(url)`."""

    def __init__(self, engine: AsyncEngine, here: Here | None = None) -> None:
        self._engine = engine
        self._here = here
        self._reader = reader(engine)
        self.documents = DocumentStore(engine)
        self.proofs = Proofs(engine)

    @classmethod
    @asynccontextmanager
    async def opened(cls, url: str, *, migrate: bool = True) -> AsyncIterator[Self]:
        """The store at an SQLAlchemy URL, brought to the current schema first."""
        engine = create_async_engine(url)
        if engine.dialect.name == "sqlite":
            event.listen(engine.sync_engine, "do_connect", _sqlite_openable)
            event.listen(engine.sync_engine, "connect", _sqlite_connected)
            event.listen(engine.sync_engine, "begin", _sqlite_begin)
        else:
            take_none_that_died(engine)
        try:
            if migrate:
                async with engine.begin() as connection:
                    await connection.run_sync(_upgraded)
            here = Here.of(engine)
            try:
                yield cls(engine, here)
            finally:
                if here is not None:
                    here.close()
        finally:
            await engine.dispose()

    def sessions(self) -> Sessions:
        """The portal's sessions, in the same database."""
        return Sessions(self._engine)

    def delays(self) -> Delays:
        """Orders that somebody is told only later, in the same database."""
        return Delays(self._engine)

    def reviews(self) -> Reviews:
        """How far findings went, and who supervises an office."""
        return Reviews(self._engine)

    def monthly_reviews(self) -> MonthlyReviews:
        """Which months were reviewed and signed for."""
        return MonthlyReviews(self._engine)

    def finding_context(self) -> FindingContext:
        """What our records know that explains an access."""
        return FindingContext(self._engine)

    def protected(self, cipher: AESGCM) -> ProtectedList:
        """Whom organisations have on their protected lists, in the same database; the cipher opens of whom."""
        return ProtectedList(self._engine, cipher)

    def findings(self) -> FindingStore:
        """Findings about accesses, in the same database."""
        return FindingStore(self._engine)

    async def healthy(self) -> bool:
        """Whether the database answers."""
        async with self._reader.connect() as connection:
            return bool((await connection.execute(text("select 1"))).scalar_one())

    # ------------------------------------------------------------ cases and mandates

    async def opened_case(
        self,
        kind: CaseKind,
        subject: PersonId,
        grant: Grant,
        request: Request,
        now: datetime,
        assignment: Assignment | None = None,
    ) -> CaseRecord:
        """Open the case of a person, or find it again, and give the mandate unless its holder has it.

        With an assignment the case was asked for at a counter: it is its officer's from now on, open again if it was
        closed. Raises `KeyReusedError` when the key stands for another request.
        """
        async with self._engine.begin() as connection:
            found = await self._case_of(connection, kind, subject, grant, now)
            first = await self._once(connection, request, found.id, now)
            if first:  # a request that is made again gives nothing back that was revoked meanwhile
                await self._give(connection, str(uuid.uuid4()), found.id, grant, request.viewer, now)
                if assignment is not None:
                    await self._assign(connection, found.id, assignment, request.viewer, now, applicant=grant.holder)
            return _case(found)

    async def _case_of(
        self, connection: AsyncConnection, kind: CaseKind, subject: PersonId, grant: Grant, now: datetime
    ) -> Row[Any]:
        """The person's case; opened with this grant if there is none."""
        c = tables.case.c
        await self._insert_unless_there(
            connection,
            tables.case,
            id=str(uuid.uuid4()),
            kind=kind.name,
            subject=subject,
            number=_number(kind, now),
            purpose=grant.purpose.name,
            opened_at=now,
            opened_by=grant.holder,
        )
        return (await connection.execute(select(tables.case).where(c.kind == kind.name, c.subject == subject))).one()

    async def granted(self, case_id: CaseId, grant: Grant, request: Request, now: datetime) -> MandateRecord:
        """Give a mandate on a case that is there; one that its holder has from the same giver is ended for it.

        Raises `KeyReusedError` when the key stands for another request, and `GiverEndedError` when the giver's
        mandate does not allow it any more.
        """
        mandate_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{request.viewer}/{request.key}"))
        c = tables.mandate.c
        try:
            async with self._engine.begin() as connection:
                if await self._once(connection, request, mandate_id, now):
                    older = select(c.id).where(c.giver == grant.giver, c.holder == grant.holder, c.revoked_at.is_(None))
                    for (each,) in (await connection.execute(older)).all():
                        await self._end(connection, each, request.viewer, "Another was given instead.", now)
                    await self._give(connection, mandate_id, case_id, grant, request.viewer, now)
                return _mandate((await connection.execute(select(tables.mandate).where(c.id == mandate_id))).one())
        except IntegrityError as refused:
            raise GiverEndedError from refused

    async def _give(
        self, connection: AsyncConnection, mandate_id: str, case_id: str, grant: Grant, actor: PersonId, now: datetime
    ) -> None:
        """Give a mandate with its proof, unless its holder has it."""
        given = await self._insert_unless_there(
            connection,
            tables.mandate,
            id=mandate_id,
            case_id=case_id,
            role=grant.role.name,
            holder=grant.holder,
            on_behalf_of=grant.on_behalf_of,
            purpose=grant.purpose.name,
            legal_basis=grant.legal_basis,
            issued_by=grant.issued_by,
            valid_from=now,
            valid_until=grant.valid_until,
            giver=grant.giver,
            agencies=None if grant.agencies is None else ",".join(sorted(each.name for each in grant.agencies)),
            sensitivity=grant.sensitivity.name if grant.sensitivity else None,
        )
        if not given:
            return
        proof = grant.evidence
        await connection.execute(
            insert(tables.evidence).values(
                id=str(uuid.uuid4()),
                mandate_id=mandate_id,
                kind=proof.kind,
                issuer=proof.issuer,
                dated=proof.dated,
                assurance=proof.assurance,
                hash=proof.hash,
                verified_by=proof.verified_by,
            )
        )
        await connection.execute(
            insert(tables.mandate_event).values(
                mandate_id=mandate_id, event="GRANT", at=now, actor=actor, justification=grant.justification
            )
        )

    async def once(self, request: Request, result: str, now: datetime) -> bool:
        """Note that a request was made; False when it had been made before. Raises `KeyReusedError`."""
        async with self._engine.begin() as connection:
            return await self._once(connection, request, result, now)

    async def _once(self, connection: AsyncConnection, request: Request, result: str, now: datetime) -> bool:
        first = await self._insert_unless_there(
            connection,
            tables.request,
            viewer=request.viewer,
            key=request.key,
            fingerprint=request.fingerprint,
            result=result,
            at=now,
        )
        if first:
            return True
        there = (
            await connection.execute(
                select(tables.request).where(
                    tables.request.c.viewer == request.viewer, tables.request.c.key == request.key
                )
            )
        ).one()
        if (there.fingerprint, there.result) != (request.fingerprint, result):
            raise KeyReusedError
        return False

    async def case(self, case_id: CaseId) -> CaseRecord | None:
        """A case by its internal id."""
        row = await self._first(CASE, id=case_id)
        return _case(row) if row else None

    async def file(self, case_id: CaseId) -> CaseFile | None:
        """All of a case in one reading."""
        rows = await self._all(FILE, id=case_id)
        if not rows:
            return None
        given = [(_mandate(row[_MANDATE]), row[_INQUIRY.stop]) for row in rows if row[_MANDATE][0] is not None]
        inquiry, (_, standings, consents) = rows[0][_INQUIRY], rows[0][_INQUIRY.stop :]
        stood = (each.split(":") for each in (standings or "").split(",") if each)
        return CaseFile(
            record=_case(rows[0][_CASE]),
            mandates=[mandate for mandate, _ in given],
            justifications={mandate.id: said for mandate, said in given if said is not None},
            standings={Agency[agency]: AnswerStatus[status] for agency, status in stood},
            consents=frozenset(Consent[scope] for scope in (consents or "").split(",") if scope),
            inquiry=None if inquiry[0] is None else _inquiry(inquiry),
        )

    async def cases_of(self, holder: PersonId, now: datetime | None = None) -> Sequence[CaseRecord]:
        """The cases on which the person holds a mandate that was not taken back (nor is over now), newest first."""
        c = tables.mandate.c
        over = false() if now is None else and_(c.valid_until.is_not(None), c.valid_until <= now)
        rows = await self._all(
            select(tables.case)
            .where(
                tables.case.c.id.in_(select(c.case_id).where(c.holder == holder, c.revoked_at.is_(None), not_(over)))
            )
            .order_by(tables.case.c.opened_at.desc(), tables.case.c.id)
        )
        return [_case(row) for row in rows]

    async def mandates(self, case_id: CaseId) -> Sequence[MandateRecord]:
        """All mandates ever given on a case, oldest first."""
        rows = await self._all(MANDATES_OF, case=case_id)
        return [_mandate(row) for row in rows]

    async def still_active(self, mandate_ids: Iterable[str], now: datetime) -> bool:
        """Whether every one of these mandates is active, read afresh."""
        wanted = set(mandate_ids)
        rows = await self._all(mandates(len(wanted)), **{f"id{n}": each for n, each in enumerate(wanted)})
        return {mandate.id for row in rows if (mandate := _mandate(row)).active(now)} == wanted

    async def mandate(self, mandate_id: str) -> MandateRecord | None:
        """A mandate by its internal id."""
        row = await self._first(select(tables.mandate).where(tables.mandate.c.id == mandate_id))
        return _mandate(row) if row else None

    async def revoke(self, mandate_id: str, actor: PersonId, reason: str, now: datetime) -> None:
        """End a mandate now; one that has ended stays as it is."""
        async with self._engine.begin() as connection:
            await self._end(connection, mandate_id, actor, reason, now)

    async def _end(
        self, connection: AsyncConnection, mandate_id: str, actor: PersonId, reason: str, now: datetime
    ) -> None:
        ended = await connection.execute(
            update(tables.mandate)
            .where(tables.mandate.c.id == mandate_id, tables.mandate.c.revoked_at.is_(None))
            .values(revoked_at=now)
        )
        if ended.rowcount:
            await connection.execute(
                insert(tables.mandate_event).values(
                    mandate_id=mandate_id, event="REVOKE", at=now, actor=actor, justification=reason
                )
            )

    async def history(self, case_id: CaseId) -> Sequence[MandateEvent]:
        """Every grant and revocation on a case, oldest first."""
        e = tables.mandate_event.c
        rows = await self._all(
            select(tables.mandate_event)
            .where(e.mandate_id.in_(select(tables.mandate.c.id).where(tables.mandate.c.case_id == case_id)))
            .order_by(e.at, e.event, e.mandate_id)
        )
        return [MandateEvent(r.mandate_id, r.event, r.at, PersonId(r.actor), r.justification) for r in rows]

    # ------------------------------------------------------------ offices and emergencies

    async def case_numbered(self, number: str) -> CaseRecord | None:
        """A case by the number that people quote."""
        row = await self._first(select(tables.case).where(tables.case.c.number == number))
        return _case(row) if row else None

    async def assign(self, case_id: CaseId, assignment: Assignment, actor: PersonId, now: datetime) -> None:
        """Give an open case to an officer; whoever had it has it no more. Raises `CaseClosedError`."""
        async with self._engine.begin() as connection:
            if (await self._locked(connection, case_id)).closed_at is not None:
                raise CaseClosedError
            await self._assign(connection, case_id, assignment, actor, now)

    async def _assign(
        self,
        connection: AsyncConnection,
        case_id: str,
        assignment: Assignment,
        actor: PersonId,
        now: datetime,
        *,
        applicant: PersonId | None = None,
    ) -> None:
        grant, was = assignment.grant, await self._locked(connection, case_id)
        if was.closed_at is not None:
            await self._noted(connection, case_id, "REOPEN", actor, assignment.reason, now)
        given = {"officer": grant.holder, "office": assignment.office, "agency": assignment.agency}
        if (was.officer, was.office, was.agency) != tuple(given.values()):
            await self._noted(connection, case_id, "ASSIGN", actor, assignment.reason, now, **given)
        await self._changed(connection, case_id, closed_at=None, applicant=applicant or was.applicant, **given)
        await self._end_officials(connection, case_id, actor, assignment.reason, now, but=grant)
        await self._give(connection, str(uuid.uuid4()), case_id, grant, actor, now)
        for scope in assignment.consents:
            await self._insert_unless_there(
                connection,
                tables.consent,
                case_id=case_id,
                applicant=applicant,
                scope=scope.name,
                recorded_by=actor,
                at=now,
                proof=assignment.proof,
            )

    async def close(self, case_id: CaseId, actor: PersonId, reason: str, now: datetime) -> None:
        """Close a case: its officer's mandate ends, and those of the family stay. Raises `CaseClosedError`."""
        async with self._engine.begin() as connection:
            if (await self._locked(connection, case_id)).closed_at is not None:
                raise CaseClosedError
            await self._noted(connection, case_id, "CLOSE", actor, reason, now)
            await self._changed(connection, case_id, closed_at=now)
            await self._end_officials(connection, case_id, actor, reason, now)

    async def emergency(self, kind: CaseKind, subject: PersonId, grant: Grant, now: datetime) -> CaseRecord:
        """Give an official in an emergency a mandate of their own on a person's case; one given before ends for it."""
        c = tables.mandate.c
        async with self._engine.begin() as connection:
            found = await self._case_of(connection, kind, subject, grant, now)
            older = select(c.id).where(
                c.case_id == found.id, c.role == grant.role.name, c.holder == grant.holder, c.revoked_at.is_(None)
            )
            for (each,) in (await connection.execute(older)).all():
                await self._end(connection, each, grant.holder, "Another was declared instead.", now)
            await self._give(connection, str(uuid.uuid4()), found.id, grant, grant.holder, now)
            return _case(found)

    async def consents(self, record: CaseRecord) -> frozenset[Consent]:
        """What the case's applicant agreed to."""
        c = tables.consent.c
        rows = await self._all(select(c.scope).where(c.case_id == record.id, c.applicant == record.applicant))
        return frozenset(Consent[row.scope] for row in rows)

    async def case_events(self, case_id: CaseId) -> Sequence[CaseEvent]:
        """To whom a case was given and when it was closed, oldest first."""
        e = tables.case_event.c
        rows = await self._all(select(tables.case_event).where(e.case_id == case_id).order_by(e.number))
        return [
            CaseEvent(
                event=row.event,
                at=row.at,
                actor=PersonId(row.actor),
                officer=PersonId(row.officer) if row.officer else None,
                office=row.office,
                agency=row.agency,
                reason=row.reason,
            )
            for row in rows
        ]

    async def _locked(self, connection: AsyncConnection, case_id: str) -> Row[Any]:
        """The case as it is until this transaction ends."""
        found = select(tables.case).where(tables.case.c.id == case_id).with_for_update()
        return (await connection.execute(found)).one()

    async def _noted(
        self,
        connection: AsyncConnection,
        case_id: str,
        kind: str,
        actor: PersonId,
        reason: str,
        now: datetime,
        **of: str,
    ) -> None:
        e = tables.case_event.c
        last = (await connection.execute(select(func.max(e.number)).where(e.case_id == case_id))).scalar_one()
        await connection.execute(
            insert(tables.case_event).values(
                case_id=case_id, number=(last or 0) + 1, event=kind, at=now, actor=actor, reason=reason, **of
            )
        )

    async def _changed(self, connection: AsyncConnection, case_id: str, **values: Any) -> None:
        await connection.execute(
            update(tables.case).where(tables.case.c.id == case_id).values(version=tables.case.c.version + 1, **values)
        )

    async def _end_officials(
        self,
        connection: AsyncConnection,
        case_id: str,
        actor: PersonId,
        reason: str,
        now: datetime,
        *,
        but: Grant | None = None,
    ) -> None:
        """End what officers hold on a case, except what is about to be given again."""
        c = tables.mandate.c
        live = select(c.id, c.role, c.holder, c.on_behalf_of).where(
            c.case_id == case_id,
            c.role.in_([MandateRole.CASE_OFFICER.name, MandateRole.WELFARE_OFFICER.name]),
            c.revoked_at.is_(None),
        )
        stays = but and (but.role.name, but.holder, but.on_behalf_of)
        for each in (await connection.execute(live)).all():
            if (each.role, each.holder, each.on_behalf_of) != stays:
                await self._end(connection, each.id, actor, reason, now)

    # ------------------------------------------------------------ answers that come later

    async def inquiry(self, case_id: CaseId, agency: Agency) -> Inquiry | None:
        """The newest inquiry of a case at an agency."""
        return (await self.inquiries([case_id], agency)).get(case_id)

    async def inquiries(self, case_ids: Sequence[CaseId], agency: Agency) -> dict[CaseId, Inquiry]:
        """The newest inquiry of each case at an agency, where there is one."""
        rows = await self._all(INQUIRIES, cases=list(case_ids), agency=agency.name)
        return {CaseId(row.case_id): _inquiry(row) for row in rows}

    async def inquiry_of(self, ticket: str) -> tuple[Inquiry, bool] | None:
        """The inquiry with this ticket, and whether it is still its case's newest."""
        row = await self._first(select(tables.inquiry).where(tables.inquiry.c.ticket == ticket))
        if row is None:
            return None
        found = _inquiry(row)
        newest = await self.inquiry(found.case_id, found.agency)
        return found, newest is not None and newest.id == found.id

    async def inquire(
        self,
        case_id: CaseId,
        agency: Agency,
        generation: int,
        person: SectorId,
        ticket: str,
        expected_by: date,
        now: datetime,
        next_poll_at: datetime,
    ) -> None:
        """Remember an inquiry; one already there under this generation stays."""
        async with self._engine.begin() as connection:
            await self._insert_unless_there(
                connection,
                tables.inquiry,
                id=str(uuid.uuid4()),
                case_id=case_id,
                agency=agency.name,
                generation=generation,
                person=person,
                ticket=ticket,
                expected_by=expected_by,
                opened_at=now,
                next_poll_at=next_poll_at,
            )

    async def keep(self, ticket: str, kept: bytes, retrieved_at: datetime, visible_until: datetime | None) -> bool:
        """Keep the answer to an inquiry; False when it was kept before."""
        async with self._engine.begin() as connection:
            done = await connection.execute(
                update(tables.inquiry)
                .where(tables.inquiry.c.ticket == ticket, tables.inquiry.c.kept.is_(None))
                .values(kept=kept, retrieved_at=retrieved_at, visible_until=visible_until, next_poll_at=None)
            )
            return bool(done.rowcount)

    async def due(self, now: datetime, lease: timedelta, limit: int = 20) -> Sequence[Inquiry]:
        """Inquiries to be polled now, leased to the caller: nobody else gets them before the lease has run out."""
        c = tables.inquiry.c
        async with self._engine.begin() as connection:
            rows = (
                await connection.execute(
                    select(tables.inquiry)
                    .where(c.kept.is_(None), c.next_poll_at <= now)
                    .order_by(c.next_poll_at)
                    .limit(limit)
                    .with_for_update(skip_locked=True)
                )
            ).all()
            if rows:
                await connection.execute(
                    update(tables.inquiry).where(c.id.in_([row.id for row in rows])).values(next_poll_at=now + lease)
                )
            return [_inquiry(row) for row in rows]

    async def poll_again(self, ticket: str, at: datetime | None, expected_by: date | None = None) -> None:
        """Set the next poll of an inquiry (None: never again), and when the agency now expects to answer."""
        async with self._engine.begin() as connection:
            values: dict[str, Any] = {"next_poll_at": at}
            if expected_by is not None:
                values["expected_by"] = expected_by
            await connection.execute(update(tables.inquiry).where(tables.inquiry.c.ticket == ticket).values(values))

    # ------------------------------------------------------------ how agencies stand

    async def standings(self, case_id: CaseId) -> dict[Agency, AnswerStatus]:
        """How each agency's last answer stood."""
        rows = await self._all(STANDINGS, case=case_id)
        return {Agency[row.agency]: AnswerStatus[row.status] for row in rows}

    async def note(
        self,
        case_id: CaseId,
        statuses: Mapping[Agency, AnswerStatus],
        now: datetime,
        before: Mapping[Agency, AnswerStatus] | None = None,
    ) -> bool:
        """Note how agencies stand now; True, and a new version of the case, when any of them changed.

        `before` is how they stood, where the caller has read it.
        """
        if before is None:
            before = await self.standings(case_id)
        changed = {agency: status for agency, status in statuses.items() if before.get(agency) is not status}
        if not changed:
            return False
        async with self._engine.begin() as connection:
            for agency, status in changed.items():
                row = {"case_id": case_id, "agency": agency.name, "status": status.name, "at": now}
                statement = self._insert(tables.standing).values(row)
                await connection.execute(
                    statement.on_conflict_do_update(
                        index_elements=["case_id", "agency"],
                        set_={"status": statement.excluded.status, "at": statement.excluded.at},
                    )
                )
            await connection.execute(
                update(tables.case).where(tables.case.c.id == case_id).values(version=tables.case.c.version + 1)
            )
        return True

    async def touched(self, case_id: CaseId) -> None:
        """Give the case a new version, so that whoever watches it looks again."""
        async with self._engine.begin() as connection:
            await connection.execute(
                update(tables.case).where(tables.case.c.id == case_id).values(version=tables.case.c.version + 1)
            )

    # ------------------------------------------------------------ mechanics

    async def _first(self, statement: Any, **values: Any) -> Row[Any] | None:
        return next(iter(await self._all(statement, **values)), None)

    async def _all(self, statement: Any, **values: Any) -> Sequence[Row[Any]]:
        if self._here is not None:
            with suppress(OperationalError, sqlite3.OperationalError):  # busy: wait for it in its thread
                return self._here.rows(statement, values)
        async with self._reader.connect() as connection:
            return (await connection.execute(statement, values)).all()

    def _insert(self, table: Any) -> Any:
        return (postgresql if self._engine.dialect.name == "postgresql" else sqlite).insert(table)

    async def _insert_unless_there(self, connection: AsyncConnection, table: Any, **values: Any) -> bool:
        done = await connection.execute(self._insert(table).values(values).on_conflict_do_nothing())
        return bool(done.rowcount)


def _sqlite_openable(_dialect: object, _entry: object, passed: list[Any], named: dict[str, Any]) -> None:
    # aiosqlite's thread outlives a failure to open, and then reports to a loop that may have ended.
    await_only(asyncio.to_thread(lambda: sqlite3.connect(*passed, **named).close()))


def _sqlite_connected(connection: Any, _entry: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # SQLAlchemy begins, not the driver
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _sqlite_begin(connection: Connection) -> None:
    # A transaction that reads first and writes then must hold the lock from the start, or two of them fail.
    connection.exec_driver_sql("BEGIN" if connection.get_execution_options().get("only_reads") else "BEGIN IMMEDIATE")


def _is_newest(connection: Connection) -> bool:
    """Whether the store has the newest revision, told without alembic."""
    if not inspect(connection).has_table("cases_version"):
        return False
    texts = [file.read_text() for file in (MIGRATIONS / "versions").glob("*.py")]
    newest = {name for text in texts for name in re.findall(r'^revision = "(.+)"', text, re.MULTILINE)}
    newest -= {name for text in texts for name in re.findall(r'^down_revision = "(.+)"', text, re.MULTILINE)}
    return set(connection.exec_driver_sql("SELECT version_num FROM cases_version").scalars()) == newest


def _upgraded(connection: Connection) -> None:
    if _is_newest(connection):
        return
    from alembic.command import upgrade  # noqa: PLC0415 - a tenth of a start, which most starts do not need
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    if connection.dialect.name == "postgresql":  # SQLite's transaction has its lock; here one start waits for another
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
    upgrade(config, "head")


def _number(kind: CaseKind, now: datetime) -> str:
    """A case number for people: kind, year, eight characters that nobody can guess or misread."""
    alphabet = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
    drawn = "".join(secrets.choice(alphabet) for _ in range(8))
    return f"{kind.name[0]}{now:%y}-{drawn[:4]}-{drawn[4:]}"


_CASE = slice(len(tables.case.c))
_MANDATE = slice(_CASE.stop, _CASE.stop + len(tables.mandate.c))
_INQUIRY = slice(_MANDATE.stop, _MANDATE.stop + len(tables.inquiry.c))
"""Where in a row of FILE each is."""


def _case(row: Sequence[Any]) -> CaseRecord:
    """From the columns of its table, in their order."""
    (
        id_, kind, subject, number, purpose, opened_at, opened_by, closed_at, version, agency, office, officer,
        applicant,
    ) = row  # fmt: skip
    return CaseRecord(
        id=CaseId(id_),
        kind=CaseKind[kind],
        subject=PersonId(subject),
        number=number,
        purpose=Purpose[purpose],
        opened_at=opened_at,
        opened_by=PersonId(opened_by),
        closed_at=closed_at,
        version=version,
        agency=agency,
        office=office,
        officer=PersonId(officer) if officer else None,
        applicant=PersonId(applicant) if applicant else None,
    )


def _mandate(row: Sequence[Any]) -> MandateRecord:
    """From the columns of its table, in their order."""
    (
        id_, case_id, role, holder, on_behalf_of, purpose, legal_basis, issued_by, valid_from, valid_until, revoked_at,
        giver, agencies, sensitivity,
    ) = row  # fmt: skip
    return MandateRecord(
        id=id_,
        case_id=CaseId(case_id),
        role=MandateRole[role],
        holder=PersonId(holder),
        on_behalf_of=PersonId(on_behalf_of) if on_behalf_of else None,
        purpose=Purpose[purpose],
        legal_basis=legal_basis,
        issued_by=issued_by,
        valid_from=valid_from,
        valid_until=valid_until,
        revoked_at=revoked_at,
        giver=giver,
        agencies=None if agencies is None else frozenset(Agency[name] for name in agencies.split(",") if name),
        sensitivity=Sensitivity[sensitivity] if sensitivity else None,
    )


def _inquiry(row: Sequence[Any]) -> Inquiry:
    """From the columns of its table, in their order."""
    (
        id_, case_id, agency, generation, person, ticket, expected_by, opened_at, kept, retrieved_at, visible_until, _,
    ) = row  # fmt: skip
    return Inquiry(
        id=id_,
        case_id=CaseId(case_id),
        agency=Agency[agency],
        generation=generation,
        person=SectorId(person),
        ticket=ticket,
        expected_by=expected_by,
        opened_at=opened_at,
        kept=kept,
        retrieved_at=retrieved_at,
        visible_until=visible_until,
    )
