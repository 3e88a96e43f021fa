"""What the owner of the access log does, and nobody else: making it, dropping months, destroying keys by order.

Each act is a leaf of its own, written in the transaction that begins it. Entries of a dropped month are gone, bodies,
salts and the columns they were looked up by; their leaves stay, and the tree over them. A destroyed key leaves rows
that nobody can open. The least retention is that of the standard of safety measures for personal information
(개인정보의 안전성 확보조치 기준, article 8): two years for a system like this.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import delete, func, insert, make_url, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from audit import postgres, store
from audit.aid import ENTRY_FACET
from audit.checkpoint import CheckpointError, VerifierKey, origin
from audit.entry import COMPACTED, changed_key_leaf, compacted_month_leaf, dropped_month_leaf, erased_key_leaf
from audit.keys import NOBODY, Vault
from audit.store import DROPPED_MONTH, ENTRY, ERASED_KEY, LEAF, META, PERSON_KEY, YEAR_KEY, StoreError
from audit.succession import Change, changes, introduced, require_in_force
from schema.identifiers import PersonId

LEAST_MONTHS = 24
ROWS_AT_ONCE = 2000
PATIENCE_MS = 1000
ORDER_LENGTH = 200
NOT_PERMITTED = "42501"
"""PostgreSQL's insufficient_privilege."""


class OwnerRefusal(Exception):
    """What was asked may not or cannot be done. The text names the remedy and no person."""

    code = "BAD_INPUT"


async def prepare(
    url: str, master: bytes, now: datetime, writer_url: str | None = None, reader_url: str | None = None
) -> None:
    """Make the log or bring it to this version; on PostgreSQL give writer and reader their roles.

    Raise OwnerRefusal where a role of the two is the owner's own, StoreError for a log that is not ours.
    """
    owner = make_url(url)
    roles = [
        (power, make_url(given))
        for power, given in ((postgres.WRITER, writer_url), (postgres.READER, reader_url))
        if given
    ]
    names = [role.username for _, role in roles]
    if owner.get_backend_name() == "postgresql" and (owner.username in names or len(set(names)) < len(names)):
        raise OwnerRefusal("owner, writer and reader are three roles; give each URL a user of its own")
    engine = store.writing_engine(url, PATIENCE_MS, limit_s=None)
    try:
        async with engine.connect() as connection, store.writing(connection):
            if await store.exists(connection):
                await store.migrate(connection, master)
            await store.create(connection, now, master)
            if connection.dialect.name == "postgresql":
                for power, role in roles:
                    await postgres.grant(connection, power, role)
    finally:
        await engine.dispose()


class Owner:
    """One log, opened by its owner."""

    def __init__(self, engine: AsyncEngine, vault: Vault) -> None:
        self._engine = engine
        self._vault = vault

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, master: bytes) -> AsyncIterator["Owner"]:
        """Raise StoreError when there is no log at the URL, or one of another version."""
        engine, reader = store.writing_engine(url, PATIENCE_MS, limit_s=None), store.reading_engine(url)
        try:
            async with reader.connect() as connection:  # makes no file where there is none
                epoch = store.epoch(await store.meta(connection))
            yield cls(engine, Vault(master, epoch))
        except (DBAPIError, OSError) as error:
            if getattr(getattr(error, "orig", None), "sqlstate", None) == NOT_PERMITTED:
                raise StoreError("only its owner may do that; set ONESTOP_LOG_OWNER_URL") from error
            raise StoreError("it cannot be opened, or is busy; ask again") from error
        finally:
            await reader.dispose()
            await engine.dispose()

    async def retain(self, months: int, now: datetime) -> list[int]:
        """Drop the months that ended more than so many months ago; their numbers, yyyymm.

        Killed in between, the next call goes on. Raise OwnerRefusal below two years.
        """
        if months < LEAST_MONTHS:
            raise OwnerRefusal(f"entries are kept for at least {LEAST_MONTHS} months; ask for {LEAST_MONTHS} or more")
        at = now.astimezone(UTC)
        first_kept = at.year * 12 + at.month - 1 - months
        dropped = []
        async with self._engine.connect() as connection:
            while month := await self._oldest(connection, first_kept // 12 * 100 + first_kept % 12 + 1):
                async with store.writing(connection):
                    await self._record(connection, month, now)
                    if connection.dialect.name == "postgresql":
                        since, until = _bounds(month)
                        of_month = (ENTRY_FACET.c.at_us >= since, ENTRY_FACET.c.at_us < until)
                        await connection.execute(delete(ENTRY_FACET).where(*of_month))
                        await postgres.drop_month(connection, month)
                while connection.dialect.name == "sqlite" and await self._delete_some(connection, month):
                    pass
                dropped.append(month)
            await self._forget(connection)
        return dropped

    async def _oldest(self, connection: AsyncConnection, before: int) -> int | None:
        """The oldest month before this one that has entries."""
        async with connection.begin():
            if connection.dialect.name == "postgresql":
                months = await postgres.month_partitions(connection)
                return months[0] if months and months[0] < before else None
            oldest = (await connection.execute(select(func.min(ENTRY.c.at_us)))).scalar_one()
        return None if oldest is None or store.month_of(oldest) >= before else store.month_of(oldest)

    async def _record(self, connection: AsyncConnection, month: int, now: datetime) -> None:
        if (await connection.execute(select(DROPPED_MONTH).where(DROPPED_MONTH.c.month == month))).first() is None:
            await _add_leaf(connection, dropped_month_leaf(month))
            await connection.execute(insert(DROPPED_MONTH).values(month=month, at=_moment(now)))

    async def _delete_some(self, connection: AsyncConnection, month: int) -> bool:
        """Not all at once: writers wait meanwhile."""
        since, until = _bounds(month)
        of_month = (ENTRY.c.at_us >= since, ENTRY.c.at_us < until)
        some = select(ENTRY.c.leaf_index).where(*of_month).limit(ROWS_AT_ONCE)
        async with store.writing(connection):
            await connection.execute(delete(ENTRY_FACET).where(ENTRY_FACET.c.leaf_index.in_(some)))
            deleted = await connection.execute(delete(ENTRY).where(ENTRY.c.leaf_index.in_(some)))
        return deleted.rowcount == ROWS_AT_ONCE

    async def erase(self, person: PersonId | None, year: int, order: str, now: datetime) -> int:
        """Make one person's entries of a year unreadable, or with None those of nobody; how many keys were destroyed.

        What is recorded of the person afterwards has a new key. Raise OwnerRefusal when there is nothing to destroy.
        """
        _require_order(order)
        async with self._engine.connect() as connection:
            async with store.writing(connection):
                years = await store.references(connection, self._vault)
                if year not in years:
                    raise OwnerRefusal(f"the log has no key of {year} by which a person could be found")
                ref = NOBODY if person is None else years[year].of("person", person)
                asked = select(PERSON_KEY.c.id).where(
                    PERSON_KEY.c.subject_ref == ref, PERSON_KEY.c.year == year, PERSON_KEY.c.wrapped.is_not(None)
                )
                keys = (await connection.execute(asked)).scalars().all()
                if not keys:
                    raise OwnerRefusal(f"the log has nothing readable of this person in {year}; check person and year")
                for key in keys:
                    await self._destroyed(connection, key, order, now)
                await connection.execute(update(PERSON_KEY).where(PERSON_KEY.c.id.in_(keys)).values(wrapped=None))
            await self._forget(connection)
        return len(keys)

    async def unlink(self, year: int, order: str, now: datetime) -> None:
        """Destroy the key of a year's references: nobody is found in it any more, and nothing of it is opened.

        Raise OwnerRefusal for a year that is not over, or that has no key.
        """
        _require_order(order)
        if year >= now.astimezone(UTC).year:
            raise OwnerRefusal(f"{year} is not over; entries are still written with its key")
        async with self._engine.connect() as connection:
            async with store.writing(connection):
                if year not in await store.references(connection, self._vault):
                    raise OwnerRefusal(f"the log has no key of {year}; check the year")
                await self._destroyed(connection, store.year_key_id(year), order, now)
                await connection.execute(update(YEAR_KEY).where(YEAR_KEY.c.year == year).values(wrapped=None))
            await self._forget(connection)

    async def compacted(self, month: int, manifest_hash: str) -> None:
        """Put on record that a month was compacted, and its manifest's hash. Raise OwnerRefusal the second time."""
        name = f"{COMPACTED}{month}"
        said = compacted_month_leaf(name, manifest_hash)
        async with self._engine.connect() as connection, store.writing(connection):
            if said is None or name in await store.meta(connection):
                raise OwnerRefusal(f"{month} was compacted before; its files are those that were recorded then")
            await _add_leaf(connection, said)
            await connection.execute(insert(META).values(name=name, value=manifest_hash))

    async def change_signing_key(self, old: Ed25519PrivateKey, new: Ed25519PrivateKey) -> Change:
        """Give the log's signing key up for another; heads that cover the leaf that says so are signed by the new one.

        Raise OwnerRefusal when the old one is not in force, or the new one was before.
        """
        name = origin(self._vault.epoch)
        async with self._engine.connect() as connection, store.writing(connection):
            facts = await store.meta(connection)
            named, index = VerifierKey(name, old.public_key()), await store.next_index(connection)
            try:
                before = changes(name, facts)
                require_in_force(named, before)
                change = Change(len(before) + 1, index, named, VerifierKey(name, new.public_key()))
                note = introduced(change, old, new)
                changes(name, facts | {change.fact: note})
            except CheckpointError as error:
                raise OwnerRefusal(str(error)) from error
            await _add_leaf(connection, changed_key_leaf(change.fact, note))
            await connection.execute(insert(META).values(name=change.fact, value=note))
        return change

    async def _destroyed(self, connection: AsyncConnection, key_id: str, order: str, now: datetime) -> None:
        await _add_leaf(connection, erased_key_leaf(key_id))
        row = {"key_id": key_id, "at": _moment(now), "order_reference": order.strip()}
        await connection.execute(insert(ERASED_KEY).values(row))

    async def _forget(self, connection: AsyncConnection) -> None:
        """Leave nothing of it in SQLite's files: pages are overwritten (secure_delete), and the WAL is cut."""
        if connection.dialect.name == "sqlite":
            raw = (await connection.get_raw_connection()).driver_connection
            if raw is not None:
                await raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")


async def _add_leaf(connection: AsyncConnection, leaf: bytes) -> None:
    index = await store.next_index(connection)
    await connection.execute(insert(LEAF).values(leaf_index=index, leaf=leaf))


def _require_order(order: str) -> None:
    if not 0 < len(order.strip()) <= ORDER_LENGTH:
        raise OwnerRefusal(f"name the order, in 1 to {ORDER_LENGTH} characters")


def _moment(now: datetime) -> str:
    return now.astimezone(UTC).isoformat(timespec="seconds")


def _bounds(month: int) -> tuple[int, int]:
    """First microsecond of a month in UTC, and of the next."""
    since = datetime(month // 100, month % 100, 1, tzinfo=UTC)
    return store.microseconds(since), store.microseconds((since + timedelta(days=32)).replace(day=1))
