"""The store of findings: what was noticed and every step since. Rows are added, never changed or deleted."""

import hashlib
import json
import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import (
    CheckConstraint,
    Column,
    ColumnElement,
    ForeignKey,
    FromClause,
    Integer,
    Row,
    Select,
    String,
    Table,
    Text,
    and_,
    func,
    insert,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from cases.finding_steps import CLOSED, FindingRecord, Noticed, State, Step
from cases.pool import reader
from cases.tables import Instant, metadata
from schema.identifiers import PersonId

STATES = ", ".join(f"'{state.value}'" for state in State)

finding = Table(
    "finding",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("official", String(26), index=True),
    Column("organisation", String(120), index=True),
    Column("raised_at", Instant, nullable=False, index=True),
)

noticed = Table(
    "finding_noticed",
    metadata,
    Column("finding_id", ForeignKey("finding.id"), primary_key=True),
    Column("key", String(32), primary_key=True),
    Column("rule", String(24), nullable=False),
    Column("severity", String(8), nullable=False),
    Column("at", Instant, nullable=False),
    Column("entries", Text, nullable=False),
    Column("text_ko", Text, nullable=False),
    Column("text_en", Text, nullable=False),
    CheckConstraint("severity in ('LOW', 'MEDIUM', 'HIGH')", name="severity"),
)
"""`key` is over rule, time and entries (leaf indexes, JSON), so that nothing is noticed twice."""

step = Table(
    "finding_step",
    metadata,
    Column("finding_id", ForeignKey("finding.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("state", String(24), nullable=False),
    Column("at", Instant, nullable=False),
    Column("by", String(26)),
    Column("note", Text),
    Column("due_at", Instant),
    Column("supervisor", String(26)),
    CheckConstraint(f"state in ({STATES})", name="state"),
    CheckConstraint("(number = 1) = (state = 'OPEN')", name="first"),
    CheckConstraint("due_at is null or state = 'EXPLANATION_REQUESTED'", name="due"),
)


class ChangedMeanwhileError(Exception):
    """Somebody else took a step first: read the finding again."""


class FindingStore:
    """Findings, in the database of the cases."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._reader = reader(engine)

    async def keep(
        self,
        finding_id: str,
        official: PersonId | None,
        organisation: str | None,
        things: Sequence[Noticed],
        now: datetime,
    ) -> FindingRecord:
        """Open the finding, or add to the one that is there what it does not hold yet.

        To a finding that was closed nothing is added: what is new opens another one, which follows from it by name.
        """
        async with self._engine.begin() as connection:
            while (there := await self._one(connection, finding_id)) is not None:
                held = {_key(each) for each in there.noticed}
                things = [each for each in things if _key(each) not in held]
                if not things:
                    return there
                if there.state not in CLOSED:
                    break
                finding_id = str(uuid.uuid5(uuid.UUID(finding_id), "afterwards"))
            if there is None:
                await connection.execute(
                    self._insert(finding)
                    .values(
                        id=finding_id,
                        official=official,
                        organisation=organisation,
                        raised_at=min(each.at for each in things),
                    )
                    .on_conflict_do_nothing()
                )
                first = {"finding_id": finding_id, "number": 1, "state": State.OPEN.value, "at": now}
                await connection.execute(self._insert(step).values(first).on_conflict_do_nothing())
            for each in things:
                await connection.execute(
                    self._insert(noticed)
                    .values(
                        finding_id=finding_id,
                        key=_key(each),
                        rule=each.rule,
                        severity=each.severity,
                        at=each.at,
                        entries=json.dumps(each.entries),
                        text_ko=each.text_ko,
                        text_en=each.text_en,
                    )
                    .on_conflict_do_nothing()
                )
            kept = await self._one(connection, finding_id)
        if kept is None:
            raise LookupError(finding_id)
        return kept

    async def take(self, record: FindingRecord, taken: Step) -> FindingRecord:
        """Add a step to the finding as it was read. Raise ChangedMeanwhileError when it is not like that any more."""
        try:
            async with self._engine.begin() as connection:
                await connection.execute(
                    insert(step).values(
                        finding_id=record.id,
                        number=len(record.steps) + 1,
                        state=taken.state.value,
                        at=taken.at,
                        by=taken.by,
                        note=taken.note,
                        due_at=taken.due_at,
                        supervisor=taken.supervisor,
                    )
                )
                kept = await self._one(connection, record.id)
        except IntegrityError as error:
            raise ChangedMeanwhileError from error
        if kept is None:
            raise LookupError(record.id)
        return kept

    async def one(self, finding_id: str) -> FindingRecord | None:
        async with self._reader.connect() as connection:
            return await self._one(connection, finding_id)

    async def of_organisation(
        self,
        organisation: str,
        *,
        official: PersonId | None = None,
        state: State | None = None,
        first: int = 50,
        before: tuple[datetime, str] | None = None,
    ) -> list[FindingRecord]:
        """Findings about an organisation's officials and about the log, which is everybody's, newest first.

        `before` is time and id of the last one seen.
        """
        f = finding.c
        asked = select(finding).where((f.organisation == organisation) | f.organisation.is_(None))
        if official is not None:
            asked = asked.where(f.official == official)
        if state is not None:
            asked = asked.where(_state_is(state))
        if before is not None:
            asked = asked.where((f.raised_at < before[0]) | and_(f.raised_at == before[0], f.id < before[1]))
        return await self._all(asked.order_by(f.raised_at.desc(), f.id.desc()).limit(first))

    async def about(self, official: PersonId | None) -> list[FindingRecord]:
        """Findings about one official, or (None) about the log, newest first."""
        f = finding.c
        return await self._all(select(finding).where(f.official == official).order_by(f.raised_at.desc(), f.id.desc()))

    async def gone_over_to(self, supervisor: PersonId) -> list[FindingRecord]:
        """Findings whose overdue explanation went to this supervisor."""
        theirs = select(step.c.finding_id).where(step.c.supervisor == supervisor)
        return await self._all(select(finding).where(finding.c.id.in_(theirs)).order_by(finding.c.id))

    async def overdue(self, now: datetime) -> list[FindingRecord]:
        """Findings whose explanation is overdue and went to no supervisor yet."""
        last = step.alias()
        due = select(last.c.finding_id).where(_newest(last), last.c.due_at <= now, last.c.supervisor.is_(None))
        return await self._all(select(finding).where(finding.c.id.in_(due)).order_by(finding.c.id))

    async def _all(self, asked: Select[tuple[object, ...]]) -> list[FindingRecord]:
        async with self._reader.connect() as connection:
            return await self._records(connection, (await connection.execute(asked)).all())

    async def _one(self, connection: AsyncConnection, finding_id: str) -> FindingRecord | None:
        rows = (await connection.execute(select(finding).where(finding.c.id == finding_id))).all()
        found = await self._records(connection, rows)
        return found[0] if found else None

    async def _records(
        self, connection: AsyncConnection, rows: Iterable[Row[tuple[object, ...]]]
    ) -> list[FindingRecord]:
        rows = list(rows)
        ids = [row.id for row in rows]
        things: dict[str, list[Noticed]] = {each: [] for each in ids}
        steps: dict[str, list[Step]] = {each: [] for each in ids}
        by_time = select(noticed).where(noticed.c.finding_id.in_(ids)).order_by(noticed.c.at, noticed.c.key)
        for row in await connection.execute(by_time):
            things[row.finding_id].append(
                Noticed(row.rule, row.severity, row.at, tuple(json.loads(row.entries)), row.text_ko, row.text_en)
            )
        for row in await connection.execute(select(step).where(step.c.finding_id.in_(ids)).order_by(step.c.number)):
            steps[row.finding_id].append(
                Step(State(row.state), row.at, _person(row.by), row.note, row.due_at, _person(row.supervisor))
            )
        return [
            FindingRecord(
                row.id,
                _person(row.official),
                row.organisation,
                row.raised_at,
                tuple(things[row.id]),
                tuple(steps[row.id]),
            )
            for row in rows
        ]

    def _insert(self, table: Table) -> postgresql.Insert | sqlite.Insert:
        return postgresql.insert(table) if self._engine.dialect.name == "postgresql" else sqlite.insert(table)


def _newest(last: FromClause) -> ColumnElement[bool]:
    later = step.alias()
    newest = select(func.max(later.c.number)).where(later.c.finding_id == last.c.finding_id).scalar_subquery()
    return last.c.number == newest


def _state_is(state: State) -> ColumnElement[bool]:
    last = step.alias()
    return finding.c.id.in_(select(last.c.finding_id).where(_newest(last), last.c.state == state.value))


def _person(value: str | None) -> PersonId | None:
    return None if value is None else PersonId(value)


def _key(thing: Noticed) -> str:
    return hashlib.sha256(f"{thing.rule}/{thing.at.isoformat()}/{thing.entries}".encode()).hexdigest()[:32]
