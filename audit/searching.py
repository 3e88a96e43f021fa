"""Finding one organisation's entries by any filter, newest first, through the finding aid.

Where a person, an official or a case is named, their own index gives few candidates. Otherwise the filter picks facets,
and the newest entries of the facets are merged: the work grows with the facets of the organisation, not with the log.
What is found is opened and checked against its leaf like everything that is read.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from heapq import nlargest
from typing import Any

from sqlalchemy import ColumnElement, Row, func, select, tuple_, union_all
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from audit import aid, store
from audit.aid import ENTRY_FACET, FACET
from audit.entry import SENSITIVITIES, Selection
from audit.keys import References, Vault
from audit.reading import EVERYTHING, DamageError, Filter, checked, selections_of
from audit.store import ENTRY, SELECTION, Placed
from schema.identifiers import PersonId

CHUNK = 500
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
TOGETHER = 16
"""Facets asked for in one statement."""
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


class Search:
    """Searches one log."""

    def __init__(self, engine: AsyncEngine, vault: Vault) -> None:
        self._engine = engine
        self._vault = vault

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
        """Entries of organisations after a leaf index, in order, and the last index looked at (None: no more).

        An entry that does not hold is left to `onestop log verify`.
        """
        of_offices = select(FACET.c.id).where(FACET.c.organisation_ref.is_not(None))
        asked = (
            select(ENTRY_FACET.c.leaf_index)
            .where(ENTRY_FACET.c.leaf_index > after, ENTRY_FACET.c.facet.in_(of_offices))
            .order_by(ENTRY_FACET.c.leaf_index)
            .limit(at_most)
        )
        async with self._engine.connect() as connection:
            years = await store.references(connection, self._vault)
            indexes = (await connection.execute(asked)).scalars().all()
            found = await self._opened(connection, indexes, years, tolerant=True)
        return found, indexes[-1] if indexes else None

    async def first_since(self, at_us: int) -> int:
        """The leaf index before the first entry that was made at this moment or later."""
        asked = select(func.min(ENTRY.c.leaf_index)).where(ENTRY.c.at_us >= at_us)
        async with self._engine.connect() as connection:
            found = (await connection.execute(asked)).scalar_one()
            return await aid.last(connection) if found is None else int(found) - 1

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
        of_facet = self._of_facet(wanted)
        named = _named(wanted, years)
        if named:
            belongs = (
                select(ENTRY_FACET.c.leaf_index)
                .join(FACET, FACET.c.id == ENTRY_FACET.c.facet)
                .where(ENTRY_FACET.c.leaf_index == ENTRY.c.leaf_index, *of_facet)
                .exists()
            )
            asked = select(ENTRY.c.at_us, ENTRY.c.leaf_index).where(*named, belongs, *_bounds(ENTRY, wanted, before))
            ordered = asked.order_by(ENTRY.c.at_us.desc(), ENTRY.c.leaf_index.desc()).limit(first)
            return [(row.at_us, row.leaf_index) for row in await connection.execute(ordered)]
        return await _merged(connection, wanted, of_facet, first, before)

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
            asked = store.leaves().where(ENTRY.c.leaf_index.in_(indexes[begin : begin + CHUNK]))
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


async def _merged(
    connection: AsyncConnection, wanted: Wanted, of_facet: list[ColumnElement[bool]], first: int, before: Place | None
) -> list[Place]:
    """The newest entries of all facets: those with the newest entry first, until none can add any."""
    at, leaf = ENTRY_FACET.c.at_us, ENTRY_FACET.c.leaf_index
    bounds = _bounds(ENTRY_FACET, wanted, before)
    newest = select(func.max(at)).where(ENTRY_FACET.c.facet == FACET.c.id, *bounds).scalar_subquery()
    heads = [
        (int(head), int(facet))
        for facet, head in await connection.execute(select(FACET.c.id, newest).where(*of_facet))
        if head is not None
    ]
    # So many newest entries there are at least: what is older than the last of them cannot be among the first.
    least = nlargest(first, heads)[-1][0] if len(heads) >= first else None
    heads = sorted((head for head in heads if least is None or head[0] >= least), reverse=True)
    best: list[Place] = []
    for begin in range(0, len(heads), TOGETHER):
        some = heads[begin : begin + TOGETHER]
        if len(best) == first and some[0][0] < best[-1][0]:
            break
        oldest = best[-1][0] if len(best) == first else least
        since = () if oldest is None else (at >= oldest,)
        of_each = [
            select(at, leaf)
            .where(ENTRY_FACET.c.facet == facet, *bounds, *since)
            .order_by(at.desc(), leaf.desc())
            .limit(first)
            .subquery()
            for _, facet in some
        ]
        rows = await connection.execute(union_all(*(select(each) for each in of_each)))
        best = nlargest(first, [*best, *((row.at_us, row.leaf_index) for row in rows)])
    return best


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


def _bounds(of: Any, wanted: Wanted, before: Place | None) -> list[ColumnElement[bool]]:
    where, found = wanted.where, []
    if where.since is not None:
        found.append(of.c.at_us >= store.microseconds(where.since))
    if where.until is not None:
        found.append(of.c.at_us < store.microseconds(where.until))
    if before is not None:
        found += [of.c.at_us <= before[0], tuple_(of.c.at_us, of.c.leaf_index) < tuple_(*before)]
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
