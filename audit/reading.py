"""What the log says.

Everything that is read is checked first: a stored entry that does not match its leaf is never shown as one. Whether all
of the log still says what was written is for audit/verifying.py.
"""

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Row, Select, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from audit import store
from audit.entry import (
    ENTRY_LEAF,
    LEAF_BYTES,
    LEAF_VERSION,
    ORDER_LEAVES,
    SALT_BYTES,
    SELECTION_LEAF,
    SENSITIVITIES,
    Access,
    Entry,
    Outcome,
    Selection,
    dropped_month_leaf,
    erased_key_leaf,
    leaf_hash,
    part_name,
    recorded_entry,
    recorded_leaf,
)
from audit.keys import References, Vault, opened
from audit.store import DROPPED_MONTH, ENTRY, ERASED_KEY, LEAF, SELECTION, Placed, StoreError
from schema.identifiers import CaseId, PersonId
from schema.scalars import Coordinate

CHUNK = 500
TAIL = 256


class DamageError(Exception):
    """A leaf, or what it commits to, is not what was written. The text names no person."""

    code = "LOG_UNAVAILABLE"

    def __init__(self, leaf_index: int, reason: str) -> None:
        super().__init__(f"leaf {leaf_index}: {reason}")
        self.leaf_index = leaf_index
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What to look for, all at once. `since` is included, `until` is not; names are those of the graph's enums."""

    since: datetime | None = None
    until: datetime | None = None
    agency: str | None = None
    coordinate: Coordinate | None = None
    purpose: str | None = None
    outcome: Outcome | None = None
    min_sensitivity: str | None = None
    case_id: CaseId | None = None

    @property
    def tells(self) -> bool:
        """Whether what is found tells what was read, or why."""
        return any((self.agency, self.coordinate, self.purpose, self.min_sensitivity))


@dataclass(frozen=True, slots=True)
class Page:
    """Newest first. `next` is the cursor to go on from, None on the last page.

    Entries whose key was destroyed are left out, and so are those that may not be told; the page is full all the same.
    """

    entries: tuple[Placed, ...]
    next: int | None


EVERYTHING = Filter()
Told = Callable[[Access], bool]
"""Whether an access may be told to whoever reads. What may not be leaves no gap: pages are as full without it."""


def everyone(_access: Access) -> bool:
    return True


class Reading:
    """Reads one log: for the graph beside the writer, for the commands on its own."""

    def __init__(self, engine: AsyncEngine, vault: Vault) -> None:
        self._engine = engine
        self._vault = vault

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, master: bytes) -> AsyncIterator["Reading"]:
        """Raise StoreError when there is no log at the URL, or one of another version."""
        engine = store.reading_engine(url)
        try:
            try:
                async with engine.connect() as connection:
                    epoch = store.epoch(await store.meta(connection))
            except (DBAPIError, OSError) as error:
                raise StoreError("there is no access log here that can be opened") from error
            yield cls(engine, Vault(master, epoch))
        finally:
            await engine.dispose()

    @property
    def engine(self) -> AsyncEngine:
        """What it reads with; it cannot write."""
        return self._engine

    @property
    def vault(self) -> Vault:
        """What it opens entries with."""
        return self._vault

    @property
    def epoch(self) -> str:
        """Which log it is."""
        return self._vault.epoch

    async def of_person(
        self,
        person: PersonId,
        where: Filter = EVERYTHING,
        *,
        first: int = 50,
        before: int | None = None,
        told: Told = everyone,
    ) -> Page:
        """Accesses to one person's data, whoever made them and in whatever case."""
        async with self._engine.connect() as connection:
            years = await store.references(connection, self._vault)
            asked = entries().where(ENTRY.c.subject_ref.in_([year.of("person", person) for year in years.values()]))
            return await self._page(connection, _before(asked, before), years, where, first, told)

    async def of_case(
        self,
        case_id: CaseId,
        where: Filter = EVERYTHING,
        *,
        first: int = 50,
        before: int | None = None,
        told: Told = everyone,
    ) -> Page:
        """Accesses made in one case, to whomever's data."""
        async with self._engine.connect() as connection:
            years = await store.references(connection, self._vault)
            asked = _of_case(entries(), case_id, years)
            return await self._page(connection, _before(asked, before), years, where, first, told)

    async def entries(self, ids: Collection[str]) -> dict[str, Placed]:
        """The entries of these ids, by id; those that are not there, or whose key was destroyed, are left out."""
        found: dict[str, Placed] = {}
        async with self._engine.connect() as connection:
            years = await store.references(connection, self._vault)
            wanted = sorted(ids)
            for at in range(0, len(wanted), CHUNK):
                asked = entries().where(ENTRY.c.id.in_(wanted[at : at + CHUNK]))
                rows = [row for row in (await connection.execute(asked)).all() if _readable(row, years)]
                selections = await selections_of(connection, rows)
                found |= {row.id: checked(row, selections, years, self._vault) for row in rows}
        return found

    async def entry(
        self, entry_id: str, *, about: PersonId | None = None, cases: Iterable[CaseId] = ()
    ) -> Placed | None:
        """The entry of this id; of a person's only if it is about them or in one of the cases. Raise DamageError.

        For every other id, known to the log or not, the work is the same: one statement that finds nothing.
        """
        async with self._engine.connect() as connection:
            years = await store.references(connection, self._vault)
            asked = entries().where(ENTRY.c.id == entry_id)
            if about is not None:
                persons = [year.of("person", about) for year in years.values()]
                in_cases = [year.of("case", case_id) for case_id in cases for year in years.values()]
                asked = asked.where(ENTRY.c.subject_ref.in_(persons) | ENTRY.c.case_ref.in_(in_cases))
            row = (await connection.execute(asked)).first()
            if row is None or not _readable(row, years):
                return None
            return checked(row, await selections_of(connection, [row]), years, self._vault)

    async def export(self, since: int = 0) -> AsyncIterator[dict[str, Any]]:
        """Entries from a leaf index on, in order, as plain JSON values with the names of coordinates spelled out.

        Each chunk is a transaction of its own, so that a long export holds nothing up. An entry whose key was destroyed
        shows its place and nothing else. Raise DamageError at the first entry that does not hold.
        """
        at = since
        while True:
            async with self._engine.connect() as connection:
                years = await store.references(connection, self._vault)
                asked = store.leaves().where(ENTRY.c.leaf_index >= at).order_by(ENTRY.c.leaf_index).limit(CHUNK)
                rows = (await connection.execute(asked)).all()
                selections = await selections_of(connection, rows)
            for row in rows:
                told = _exported(checked(row, selections, years, self._vault).entry) if _readable(row, years) else {}
                yield {"leaf_index": row.leaf_index, "leaf_hash": leaf_hash(row.leaf).hex(), "id": row.id} | told
            if len(rows) < CHUNK:
                return
            at = rows[-1].leaf_index + 1

    async def _page(
        self,
        connection: AsyncConnection,
        asked: Select[Any],
        years: Mapping[int, References],
        where: Filter,
        first: int,
        told: Told,
    ) -> Page:
        """One more than asked for is looked for, since a next page is one that has something to tell."""
        narrowed = _narrowed(asked, where, years).order_by(ENTRY.c.leaf_index.desc()).limit(first + 1)
        placed: list[Placed] = []
        rest: Select[Any] | None = narrowed
        while rest is not None and len(placed) <= first:
            rows = (await connection.execute(rest)).all()
            selections = await selections_of(connection, rows)
            found = (checked(row, selections, years, self._vault) for row in rows if _readable(row, years))
            placed += [each for each in found if told(each.entry.access)]
            rest = _before(narrowed, rows[-1].leaf_index) if len(rows) > first else None
        return Page(tuple(placed[:first]), placed[first - 1].leaf_index if len(placed) > first else None)


def entries() -> Select[Any]:
    """Leaves that are entries. By the comparison SQLite learns to begin with the entry instead of with every leaf."""
    return store.leaves().where(ENTRY.c.leaf_index >= 0)


def _before(asked: Select[Any], leaf_index: int | None) -> Select[Any]:
    return asked if leaf_index is None else asked.where(ENTRY.c.leaf_index < leaf_index)


def _of_case(asked: Select[Any], case_id: CaseId, years: Mapping[int, References]) -> Select[Any]:
    return asked.where(ENTRY.c.case_ref.in_([year.of("case", case_id) for year in years.values()]))


def _narrowed(asked: Select[Any], where: Filter, years: Mapping[int, References]) -> Select[Any]:
    if where.since is not None:
        asked = asked.where(ENTRY.c.at_us >= store.microseconds(where.since))
    if where.until is not None:
        asked = asked.where(ENTRY.c.at_us < store.microseconds(where.until))
    if where.agency is not None:
        asked = asked.where(ENTRY.c.agencies.contains(f"|{where.agency}|", autoescape=True))
    if where.coordinate is not None:
        named = SELECTION.alias()
        reads = named.c.coordinates.contains(f'"{where.coordinate}"', autoescape=True)
        asked = asked.where(ENTRY.c.selection.in_(select(named.c.id).where(reads)))
    if where.purpose is not None:
        asked = asked.where(ENTRY.c.purpose == where.purpose)
    if where.outcome is not None:
        asked = asked.where(ENTRY.c.outcome == where.outcome.value)
    if where.min_sensitivity is not None:
        asked = asked.where(ENTRY.c.max_sensitivity >= SENSITIVITIES.index(where.min_sensitivity))
    if where.case_id is not None:
        asked = _of_case(asked, where.case_id, years)
    return asked


def _readable(row: Row[Any], years: Mapping[int, References]) -> bool:
    return row.wrapped is not None and row.year in years


def _exported(entry: Entry) -> dict[str, Any]:
    person: dict[str, Any] = orjson.loads(entry.person_part)
    staff: dict[str, Any] = orjson.loads(entry.staff_part)
    access = entry.access
    spelled = {
        "selection": {"id": access.selection.id, "schema": access.selection.schema_hash},
        "disclosed": sorted(access.disclosed),
        "null": sorted(access.null),
        "withheld": sorted(access.withheld),
        "failed": sorted(access.failed),
        "derived": sorted(access.derived),
    }
    return person | spelled | {"staff": staff | {"variables": access.variables}}


async def selections_of(connection: AsyncConnection, rows: Iterable[Row[Any]]) -> dict[str, Selection]:
    """The selections that entries name, by id; one that no longer hashes to its id is not among them."""
    asked = select(SELECTION).where(SELECTION.c.id.in_({row.selection for row in rows if row.selection is not None}))
    found = [_selection(row.schema_hash, row.coordinates) for row in await connection.execute(asked)]
    return {selection.id: selection for selection in found if selection is not None}


def _selection(schema_hash: str, coordinates: str) -> Selection | None:
    try:
        return Selection(schema_hash, tuple(orjson.loads(coordinates)))
    except (ValueError, TypeError):
        return None


async def require_sound_tail(connection: AsyncConnection, vault: Vault) -> None:
    """Check the newest leaves before anything is added to them. Raise DamageError."""
    years = await store.references(connection, vault)
    gone = await _let_go(connection)
    size = await store.next_index(connection)
    first = max(0, size - TAIL)
    rows = (
        await connection.execute(store.leaves().where(LEAF.c.leaf_index >= first).order_by(LEAF.c.leaf_index))
    ).all()
    selections = await selections_of(connection, rows)
    for at, row in enumerate(rows, first):
        _check(row, at, selections, years, vault, gone)
    for table in (ENTRY, SELECTION):
        index = table.c.leaf_index
        for outside in (index < 0, index >= size):  # apart: together SQLite looks at every row
            asked = select(index).where(outside).order_by(index).limit(1)
            stray = (await connection.execute(asked)).scalar_one_or_none()
            if stray is not None:
                raise DamageError(stray, f"the {table.name} has no leaf")


@dataclass(frozen=True, slots=True)
class LetGo:
    """Months that were dropped and keys that were destroyed, as recorded, and the leaves of orders."""

    months: frozenset[int]
    keys: frozenset[str]
    leaves: frozenset[bytes]

    def explains(self, row: Row[Any], years: Mapping[int, References]) -> bool:
        """Whether the entry of this row is unreadable by order."""
        by_key = row.wrapped is None and row.key in self.keys
        return by_key or (row.year not in years and store.year_key_id(row.year) in self.keys)


async def _let_go(connection: AsyncConnection) -> LetGo:
    months = frozenset((await connection.execute(select(DROPPED_MONTH.c.month))).scalars())
    keys = frozenset((await connection.execute(select(ERASED_KEY.c.key_id))).scalars())
    compacted = filter(None, (recorded_leaf(*fact) for fact in (await store.meta(connection)).items()))
    return LetGo(months, keys, frozenset((*map(dropped_month_leaf, months), *map(erased_key_leaf, keys), *compacted)))


def _check(
    row: Row[Any],
    at: int,
    selections: Mapping[str, Selection],
    years: Mapping[int, References],
    vault: Vault,
    gone: LetGo,
) -> None:
    """Raise DamageError unless the leaf is in its place, well formed, and commits to what is stored beside it."""
    if row.leaf_index != at:
        raise DamageError(at, "the leaf is missing or out of place")
    leaf = bytes(row.leaf) if isinstance(row.leaf, bytes) else b""
    kind = leaf[1] if len(leaf) == LEAF_BYTES and leaf[0] == LEAF_VERSION else None
    held = (row.entry_index is not None, row.selection_id is not None)
    month = int.from_bytes(leaf[2:6], "big")
    if kind == ENTRY_LEAF and held == (True, False):
        if not gone.explains(row, years):
            checked(row, selections, years, vault)
        elif store.month_of(row.at_us) != month:
            raise DamageError(row.leaf_index, "column at_us was changed")
    elif kind == SELECTION_LEAF and held == (False, True):
        selection = _selection(row.schema_hash, row.coordinates)
        if selection is None or selection.id != row.selection_id or selection.leaf != leaf:
            raise DamageError(row.leaf_index, "the leaf does not commit to the selection")
    elif held != (False, False) or not (
        (kind == ENTRY_LEAF and month in gone.months) or (kind in ORDER_LEAVES and leaf in gone.leaves)
    ):
        raise DamageError(row.leaf_index, "the leaf is not well formed, or what it commits to is gone")


def checked(
    row: Row[Any], selections: Mapping[str, Selection], years: Mapping[int, References], vault: Vault
) -> Placed:
    """The entry of a row of `store.leaves()`. Raise DamageError unless leaf and columns follow from what was sealed."""
    if not _readable(row, years):
        raise DamageError(row.leaf_index, "the key of its year or of its person and year is gone or was changed")
    if row.selection not in selections:
        raise DamageError(row.leaf_index, "its selection is gone or was changed")
    try:
        cipher = AESGCM(vault.unwrapped(row.wrapped, row.year, row.subject_ref))
        person = opened(cipher, row.person_part, part_name(row.id, "person"))
        staff = opened(cipher, row.staff_part, part_name(row.id, "staff"))
        entry = recorded_entry(
            person[SALT_BYTES:],
            staff[SALT_BYTES:],
            (person[:SALT_BYTES], staff[:SALT_BYTES]),
            selections[row.selection],
            years[row.year],
        )
    except (InvalidTag, ValueError, KeyError, TypeError) as error:
        raise DamageError(row.leaf_index, "a sealed part or the key to it was changed") from error
    if entry.leaf != row.leaf:
        raise DamageError(row.leaf_index, "the leaf does not commit to the entry")
    for name, value in store.looked_up_by(entry).items():
        if getattr(row, name) != value:
            raise DamageError(row.leaf_index, f"column {name} was changed")
    return Placed(row.leaf_index, entry)
