"""Finding one organisation's entries by any filter, newest first, through the finding aid.

Where a person, an official or a case is named, their own index gives the candidates, the newest first. Otherwise the
filter picks facets. The newest entries of few facets are merged: that work grows with the facets. Where there are many,
some newest entries of the log are looked at before, in the order of their ids: that work grows with how rare the wanted
are. Where one is much the other is little, since many facets of rare entries take many entries; so the entries of an
organisation need no index in the order of time. What is found is opened and checked against its leaf like everything
that is read.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from audit import aid, store
from audit.aid import ENTRY_FACET, FACET
from audit.entry import SENSITIVITIES, Selection
from audit.keys import References, Vault
from audit.reading import EVERYTHING, DamageError, Filter, checked, selections_of
from audit.store import ENTRY, LEAF, SELECTION, Placed
from schema.identifiers import PersonId

CHUNK = 500
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
LATE_US = 3_600_000_000
"""An entry lies before all that were made so much later: it is written down when the access is answered."""
Place = tuple[int, int]
"""Moment in microseconds and leaf index: what a page goes on from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What an officer looks for: entries of one organisation, narrowed."""

    organisation: str
    where: Filter = EVERYTHING
    subject: PersonId | None = None
    viewer: PersonId | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """Newest first. `next` is where to go on, None on the last page. What was made unreadable by order is left out."""

    entries: tuple[Placed, ...]
    next: Place | None


@dataclass(frozen=True, slots=True)
class Span:
    """A part of the log's time, in microseconds: from `since`, before `until`, and behind a place."""

    since: int | None
    until: int | None
    behind: Place | None

    @classmethod
    def of(cls, where: Filter, behind: Place | None) -> "Span":
        since, until = (None if at is None else store.microseconds(at) for at in (where.since, where.until))
        if behind is not None:
            until = behind[0] + 1 if until is None else min(until, behind[0] + 1)
        return cls(since, until, behind)

    @property
    def of_places(self) -> list[ColumnElement[bool]]:
        """Conditions on the finding aid."""
        found = self._of(ENTRY_FACET.c.at_us)
        if self.behind is not None:
            found.append(tuple_(ENTRY_FACET.c.at_us, ENTRY_FACET.c.leaf_index) < tuple_(*self.behind))
        return found

    @property
    def of_months(self) -> list[ColumnElement[bool]]:
        """Conditions on an entry by which PostgreSQL leaves out partitions. SQLite would read every entry for them."""
        return self._of(ENTRY.c.at_us)

    @property
    def of_ids(self) -> list[ColumnElement[bool]]:
        """Conditions on an entry's id, which begins with the millisecond of the access."""
        found: list[ColumnElement[bool]] = []
        if self.since is not None:
            found.append(ENTRY.c.id >= _ids_from(self.since // 1000))
        if self.until is not None:
            found.append(ENTRY.c.id < _ids_from((self.until - 1) // 1000 + 1))
        return found

    def _of(self, at_us: ColumnElement[int]) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = []
        if self.since is not None:
            found.append(at_us >= self.since)
        if self.until is not None:
            found.append(at_us < self.until)
        return found


class Search:
    """Searches one log.

    `looked_at` says, in turn: where more than so many facets are wanted, so many entries, the newest ones of whatever
    kind, are looked at before all these facets are asked. An entry takes a store two or three times what a facet takes.
    `of_one` is how many of somebody's newest entries are looked at, in turn, before all of them are.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        vault: Vault,
        looked_at: Sequence[tuple[int, int]] = ((300, 1000), (10_000, 10_000)),
        of_one: Sequence[int] = (500, 5000),
    ) -> None:
        self._engine = engine
        self._vault = vault
        self._looked_at = looked_at
        self._of_one = of_one

    async def page(self, wanted: Wanted, *, first: int = 50, before: Place | None = None) -> Found:
        """One page of what is wanted. Raise DamageError at an entry that does not hold."""
        async with self._engine.connect() as connection:
            years = await store.references(connection, self._vault)
            places = await self.places(connection, wanted, years, first + 1, before)
            entries = await self._opened(connection, [leaf for _, leaf in places[:first]], years)
        return Found(tuple(entries), places[first - 1] if len(places) > first else None)

    async def at(self, leaf_indexes: Iterable[int], organisation: str) -> list[Placed]:
        """These entries of the organisation, newest first."""
        async with self._engine.connect() as connection:
            years = await store.references(connection, self._vault)
            found = await self._opened(connection, sorted(set(leaf_indexes), reverse=True), years)
        return [each for each in found if each.entry.access.organisation == organisation]

    async def of_offices(self, after: int, at_most: int = CHUNK) -> tuple[list[Placed], int | None]:
        """Entries of organisations after a leaf index, in order, and the last index looked at (None: nothing new).

        Where they are fewer than asked for, everything that is there was looked at: whoever goes on from there does not
        read the entries of persons themselves again. An entry that does not hold is left to `onestop log verify`.
        """
        of_office = select(FACET.c.id).where(FACET.c.id == ENTRY_FACET.c.facet, FACET.c.organisation_ref.is_not(None))
        asked = (
            select(ENTRY_FACET.c.leaf_index)
            .where(ENTRY_FACET.c.leaf_index > after, of_office.exists())
            .order_by(ENTRY_FACET.c.leaf_index)
            .limit(at_most)
        )
        async with self._engine.connect() as connection:
            years = await store.references(connection, self._vault)
            indexes = (await connection.execute(asked)).scalars().all()
            last = indexes[-1] if len(indexes) == at_most else await aid.last(connection)
            found = await self._opened(connection, indexes, years, tolerant=True)
        return found, last if last > after else None

    async def first_since(self, at_us: int) -> int:
        """A leaf index before every entry that was made at this moment or later, and not far before."""
        asked = select(ENTRY.c.leaf_index).where(ENTRY.c.id < _ids_from((at_us - LATE_US) // 1000))
        async with self._engine.connect() as connection:
            found = (await connection.execute(asked.order_by(ENTRY.c.id.desc()).limit(1))).scalar_one_or_none()
        return -1 if found is None else int(found)

    async def first_from(self, leaf_index: int) -> tuple[int, datetime] | None:
        """The first entry that has this leaf index or a greater one: its own, and when it was made."""
        asked = select(ENTRY.c.leaf_index, ENTRY.c.at_us).where(ENTRY.c.leaf_index >= leaf_index)
        async with self._engine.connect() as connection:
            found = (await connection.execute(asked.order_by(ENTRY.c.leaf_index).limit(1))).one_or_none()
        return None if found is None else (found.leaf_index, BEGINNING + timedelta(microseconds=found.at_us))

    async def places(
        self,
        connection: AsyncConnection,
        wanted: Wanted,
        years: Mapping[int, References],
        first: int,
        before: Place | None,
    ) -> list[Place]:
        """Where the first entries lie, newest first."""
        of_facet, span = self._of_facet(wanted), Span.of(wanted.where, before)
        if named := _named(wanted, years):
            return await self._of_named(connection, of_facet, named, span, first)
        found: list[Place] = []
        for few, rows in self._looked_at:
            if await _are_few(connection, of_facet, few):
                break
            newest, rest = await _parted(connection, span, rows)
            of_entry = newest.of_ids + (newest.of_months if connection.dialect.name == "postgresql" else [])
            found += await _placed(connection, _among(of_facet, of_entry, newest), first - len(found))
            if rest is None or len(found) == first:
                return found
            span = rest
        first -= len(found)
        return found + await _placed(connection, _merged(of_facet, span, first), first)

    async def _of_named(
        self,
        connection: AsyncConnection,
        of_facet: list[ColumnElement[bool]],
        named: list[ColumnElement[bool]],
        span: Span,
        first: int,
    ) -> list[Place]:
        """Of somebody with many entries the newest are looked at first, as far as places follow moments."""
        within = named
        for rows in self._of_one:
            oldest = await _nth(connection, within, rows)
            if oldest is None:
                break
            if within is named:
                within = [*named, *await _around(connection, span)]
                oldest = await _nth(connection, within, rows)
                if oldest is None:
                    break
            asked = _among(of_facet, [*within, ENTRY.c.leaf_index >= oldest[1]], span)
            found = await _placed(connection, asked, first)
            if len(found) == first and found[-1][0] >= oldest[0] + LATE_US:
                return found
        return await _placed(connection, _among(of_facet, within, span), first)

    def _of_facet(self, wanted: Wanted) -> list[ColumnElement[bool]]:
        where, f = wanted.where, FACET.c
        found = [f.organisation_ref == self._vault.reference("organisation", wanted.organisation)]
        if where.agency is not None:
            found.append(f.agencies.contains(f"|{where.agency}|", autoescape=True))
        if where.coordinate is not None:
            reads = SELECTION.c.coordinates.contains(f'"{where.coordinate}"', autoescape=True)
            found.append(f.selection.in_(select(SELECTION.c.id).where(reads)))
        if where.purpose is not None:
            found.append(f.purpose == where.purpose)
        if where.outcome is not None:
            found.append(f.outcome == where.outcome.value)
        if where.min_sensitivity is not None:
            found.append(f.max_sensitivity >= SENSITIVITIES.index(where.min_sensitivity))
        return found

    async def _opened(
        self,
        connection: AsyncConnection,
        indexes: Sequence[int],
        years: Mapping[int, References],
        *,
        tolerant: bool = False,
    ) -> list[Placed]:
        """The entries at these leaf indexes, in this order, as far as they can be opened."""
        found: dict[int, Placed] = {}
        for begin in range(0, len(indexes), CHUNK):
            asked = store.leaves().where(LEAF.c.leaf_index.in_(indexes[begin : begin + CHUNK]))  # by it all are found
            rows = [
                row for row in (await connection.execute(asked)).all() if row.wrapped is not None and row.year in years
            ]
            selections = await selections_of(connection, rows)
            if tolerant:  # a whole batch, for the rules: those who wait for an answer are served meanwhile
                found |= await asyncio.to_thread(self._checked, rows, selections, years, tolerant=True)
            else:
                found |= self._checked(rows, selections, years, tolerant=False)
        return [found[index] for index in indexes if index in found]

    def _checked(
        self,
        rows: Iterable[Row[Any]],
        selections: Mapping[str, Selection],
        years: Mapping[int, References],
        *,
        tolerant: bool,
    ) -> dict[int, Placed]:
        found: dict[int, Placed] = {}
        for row in rows:
            try:
                found[row.leaf_index] = checked(row, selections, years, self._vault)
            except DamageError:
                if not tolerant:
                    raise
        return found


def _ids_from(millisecond: int) -> str:
    """What no id of this millisecond or a later one comes before."""
    begun = f"{max(0, millisecond):012x}"
    return f"{begun[:8]}-{begun[8:]}"


async def _placed(connection: AsyncConnection, asked: Select[Any], first: int) -> list[Place]:
    ordered = asked.order_by(ENTRY_FACET.c.at_us.desc(), ENTRY_FACET.c.leaf_index.desc()).limit(first)
    return [(row.at_us, row.leaf_index) for row in await connection.execute(ordered)]


async def _nth(connection: AsyncConnection, within: list[ColumnElement[bool]], rows: int) -> Place | None:
    """The moment and the place of the last of so many newest entries, by place; None where there are not so many."""
    last = select(ENTRY.c.leaf_index).where(*within).order_by(ENTRY.c.leaf_index.desc()).limit(1).offset(rows)
    asked = select(ENTRY_FACET.c.at_us, ENTRY_FACET.c.leaf_index)
    row = (await connection.execute(asked.where(ENTRY_FACET.c.leaf_index == last.scalar_subquery()))).one_or_none()
    return None if row is None else (row.at_us, row.leaf_index)


async def _around(connection: AsyncConnection, span: Span) -> list[ColumnElement[bool]]:
    """Between which places the entries of a span lie."""
    found: list[ColumnElement[bool]] = []
    for at_us, way in ((span.since, -1), (span.until, 1)):
        if at_us is None:
            continue
        id_, index, late = ENTRY.c.id, ENTRY.c.leaf_index, _ids_from((at_us + way * LATE_US) // 1000)
        asked = select(index).where(id_ >= late if way > 0 else id_ < late)
        nearest = asked.order_by(id_ if way > 0 else id_.desc()).limit(1)
        if (place := (await connection.execute(nearest)).scalar_one_or_none()) is not None:
            found.append(index < place if way > 0 else index > place)
    return found


async def _are_few(connection: AsyncConnection, of_facet: list[ColumnElement[bool]], few: int) -> bool:
    some = select(FACET.c.id).where(*of_facet).limit(few + 1).subquery()
    count: int = (await connection.execute(select(func.count()).select_from(some))).scalar_one()
    return count <= few


async def _parted(connection: AsyncConnection, span: Span, rows: int) -> tuple[Span, Span | None]:
    """The newest part of a span, of about so many entries of whatever kind, and the rest of it.

    They are parted between two milliseconds, since that is what the order of ids says.
    """
    asked = select(ENTRY.c.id).where(*span.of_ids).order_by(ENTRY.c.id.desc()).limit(1).offset(rows)
    last = (await connection.execute(asked)).scalar_one_or_none()
    if last is None:
        return span, None
    at = (UUID(last).int >> 80) * 1000 + 1000
    return replace(span, since=at), replace(span, until=at if span.until is None else min(at, span.until))


def _among(of_facet: list[ColumnElement[bool]], of_entry: list[ColumnElement[bool]], span: Span) -> Select[Any]:
    """Those of some entries, which are few."""
    fits = select(FACET.c.id).where(FACET.c.id == ENTRY_FACET.c.facet, *of_facet).exists()
    return (
        select(ENTRY_FACET.c.at_us, ENTRY_FACET.c.leaf_index)
        .join_from(ENTRY, ENTRY_FACET, ENTRY_FACET.c.leaf_index == ENTRY.c.leaf_index)
        .where(*of_entry, fits, *span.of_places)
    )


def _merged(of_facet: list[ColumnElement[bool]], span: Span, first: int) -> Select[Any]:
    """The newest entries of all facets, of no facet more than can be wanted.

    Only facets whose newest entry is among so many newest can give any, and of each only so many.
    """
    at, within = ENTRY_FACET.c.at_us, (ENTRY_FACET.c.facet == FACET.c.id, *span.of_places)
    newest = select(func.max(at)).where(*within).scalar_subquery()
    heads = select(FACET.c.id, newest.label("head")).where(*of_facet).cte("heads")
    least = select(heads.c.head).where(heads.c.head.is_not(None)).order_by(heads.c.head.desc())
    reach = least.limit(1).offset(first - 1).scalar_subquery()
    within = (ENTRY_FACET.c.facet == heads.c.id, *span.of_places)
    so_many = select(at).where(*within).order_by(at.desc()).limit(1).offset(first - 1).scalar_subquery()
    chosen = (
        select(heads.c.id, func.coalesce(so_many, reach, 0).label("since"))
        .where(heads.c.head >= func.coalesce(reach, 0))
        .cte("chosen")
    )
    return (
        select(at, ENTRY_FACET.c.leaf_index)
        .join_from(chosen, ENTRY_FACET, ENTRY_FACET.c.facet == chosen.c.id)
        .where(at >= chosen.c.since, *span.of_places)
    )


def _named(wanted: Wanted, years: Mapping[int, References]) -> list[ColumnElement[bool]]:
    """Conditions on whom or what an entry names, which few entries meet."""
    found: list[ColumnElement[bool]] = []
    if wanted.subject is not None:
        found.append(ENTRY.c.subject_ref.in_([year.of("person", wanted.subject) for year in years.values()]))
    if wanted.viewer is not None:
        found.append(ENTRY.c.viewer_ref.in_([year.of("viewer", wanted.viewer) for year in years.values()]))
    if wanted.where.case_id is not None:
        found.append(ENTRY.c.case_ref.in_([year.of("case", wanted.where.case_id) for year in years.values()]))
    return found


async def catch_up(connection: AsyncConnection, vault: Vault, years: Mapping[int, References]) -> None:
    """Bring the aid up to a log that was written without it, in the transaction that runs."""
    at = await aid.last(connection)
    asked = store.leaves().order_by(ENTRY.c.leaf_index).limit(CHUNK)
    while rows := (await connection.execute(asked.where(ENTRY.c.leaf_index > at))).all():
        selections = await selections_of(connection, rows)
        placed = []
        for row in rows:
            try:
                placed.append((row.leaf_index, row.at_us, checked(row, selections, years, vault).entry))
            except DamageError:
                continue  # made unreadable by order, or for `onestop log verify` to find
        await aid.note(connection, aid.rows(placed, vault))
        at = rows[-1].leaf_index
