"""Where entries lie: SQLite in WAL mode with every commit synced, or PostgreSQL. The store only ever grows.

`leaf` holds what the tree is built from, one row per index without a gap; `entry` and `selection` hold what the leaves
commit to, `dropped_month` and `erased_key` what was let go of, each with a leaf that says so. Triggers refuse to change
or delete any of them, but for the entries of a month that was dropped. `year_key` and `person_key` may be emptied,
which is how a year is unlinked or a person's year made unreadable. The columns beside the two sealed parts are there to
look entries up: keyed references, names of agencies, outcome, purpose and sensitivity; no text, no identity.
"""

import asyncio
import secrets
import sqlite3
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from typing import Any, NamedTuple

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import (
    URL,
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Select,
    Table,
    Text,
    column,
    event,
    func,
    insert,
    inspect,
    make_url,
    select,
    text,
    update,
)
from sqlalchemy import table as named_table
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool
from sqlalchemy.util import await_only

from audit import aid, postgres, sqlite
from audit.entry import SENSITIVITIES, Entry, Selection, part_name
from audit.keys import KEY_BYTES, NOBODY, NONCE_BYTES, References, Vault, key_check, sealed

SCHEMA_VERSION = "2"
ADVISORY_LOCK = 0x6F6E6573746F70
PAGE_BYTES = 8192
"""Of SQLite's file, where it is made now: a row of an entry has 2 kB, of which a page of 4,096 bytes holds only one."""
LEAF_INDEX = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData()
META = Table("meta", metadata, Column("name", Text, primary_key=True), Column("value", Text, nullable=False))
YEAR_KEY = Table(
    "year_key",
    metadata,
    Column("year", Integer, primary_key=True, autoincrement=False),
    Column("wrapped", LargeBinary),
)
PERSON_KEY = Table(
    "person_key",
    metadata,
    Column("id", Text, primary_key=True),
    Column("year", Integer, nullable=False),
    Column("subject_ref", LargeBinary, nullable=False),
    Column("wrapped", LargeBinary),
    Index("person_key_by_subject", "subject_ref", "year"),
)
LEAF = Table(
    "leaf",
    metadata,
    Column("leaf_index", LEAF_INDEX, primary_key=True, autoincrement=False),
    Column("leaf", LargeBinary, nullable=False),
)
SELECTION = Table(
    "selection",
    metadata,
    Column("id", Text, primary_key=True),
    Column("leaf_index", LEAF_INDEX, ForeignKey("leaf.leaf_index"), nullable=False, unique=True),
    Column("schema_hash", Text, nullable=False),
    Column("coordinates", Text, nullable=False),
)
ENTRY = Table(
    "entry",
    metadata,
    Column("leaf_index", LEAF_INDEX, ForeignKey("leaf.leaf_index"), primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False, unique=True),
    Column("at_us", BigInteger, nullable=False),
    Column("year", Integer, nullable=False),
    Column("key", Text, ForeignKey("person_key.id"), nullable=False),
    Column("subject_ref", LargeBinary, nullable=False),
    Column("viewer_ref", LargeBinary, nullable=False),
    Column("case_ref", LargeBinary),
    Column("agencies", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("purpose", Text),
    Column("max_sensitivity", Integer),
    Column("selection", Text, ForeignKey("selection.id"), nullable=False),
    Column("person_part", LargeBinary, nullable=False),
    Column("staff_part", LargeBinary, nullable=False),
    Index("entry_by_subject", "subject_ref", "leaf_index"),
    Index("entry_by_viewer", "viewer_ref", "leaf_index"),
    Index("entry_by_case", "case_ref", "leaf_index"),
)
DROPPED_MONTH = Table(
    "dropped_month",
    metadata,
    Column("month", Integer, primary_key=True, autoincrement=False),
    Column("at", Text, nullable=False),
)
ERASED_KEY = Table(
    "erased_key",
    metadata,
    Column("key_id", Text, primary_key=True),
    Column("at", Text, nullable=False),
    Column("order_reference", Text, nullable=False),
)

LAST_INDEX = select(func.max(LEAF.c.leaf_index))
# One reading of what a commit has to know: selections that are stored, keys of persons that are alive, the last leaf.
KNOWN_THERE = """
SELECT id, NULL::integer, NULL::bytea, NULL::bytea, NULL::bigint FROM selection WHERE id = ANY($1::text[])
UNION ALL SELECT id, year, subject_ref, wrapped, NULL FROM person_key
 WHERE wrapped IS NOT NULL AND subject_ref = ANY($2::bytea[])
UNION ALL SELECT NULL, NULL, NULL, NULL, max(leaf_index) FROM leaf
"""
KNOWN = "onestop_known"
"""Where a connection remembers what it has seen in the store."""
MOST_KNOWN = 50_000
KEPT = (LEAF, SELECTION, ENTRY, DROPPED_MONTH, ERASED_KEY)
# SQLite has no months to drop whole: rows go one by one, and only those of a month that is recorded as dropped.
OF_A_DROPPED_MONTH = (
    "EXISTS (SELECT 1 FROM dropped_month "
    "WHERE month = CAST(strftime('%Y%m', OLD.at_us / 1000000, 'unixepoch') AS INTEGER))"
)
ENTRIES_STAY = (
    f"CREATE TRIGGER entry_no_delete BEFORE DELETE ON entry WHEN NOT {OF_A_DROPPED_MONTH} "
    "BEGIN SELECT RAISE(ABORT, 'the access log is append only'); END"
)
TRIGGERS = {
    "sqlite": (
        *(
            f"CREATE TRIGGER {table.name}_no_{verb.lower()} BEFORE {verb} ON {table.name} "
            "BEGIN SELECT RAISE(ABORT, 'the access log is append only'); END"
            for table in KEPT
            for verb in ("UPDATE", "DELETE")
            if (table, verb) != (ENTRY, "DELETE")
        ),
        ENTRIES_STAY,
    ),
    "postgresql": (
        *(
            f"CREATE TRIGGER {table.name}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table.name} "
            "FOR EACH STATEMENT EXECUTE FUNCTION onestop_append_only()"
            for table in KEPT
        ),
        postgres.META_STAYS,
    ),
}


MONTHS_OF_VERSION_1 = (
    "SELECT DISTINCT to_char(to_timestamp(at_us / 1000000) AT TIME ZONE 'UTC', 'YYYYMM')::integer FROM entry_1"
)


class StoreError(Exception):
    """The store is missing, of another version, or would not keep what it is told to keep."""

    code = "LOG_UNAVAILABLE"


@dataclass(frozen=True, slots=True)
class Placed:
    """An entry and its place in the log."""

    leaf_index: int
    entry: Entry


def writing_engine(url: str, busy_ms: int, limit_s: float | None = 10) -> AsyncEngine:
    """Each connection is new, so that one that failed is never used again; a transaction begins with the write lock.

    `limit_s` is how long PostgreSQL may take for one statement.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        engine = create_async_engine(parsed, poolclass=NullPool, hide_parameters=True)
        pragmas = (
            f"busy_timeout={busy_ms}",
            f"page_size={PAGE_BYTES}",  # a file that is there keeps its own
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "secure_delete=ON",
        )
        _prepare_sqlite(engine, pragmas, sqlite.BEGIN)
        return engine
    served = {"synchronous_commit": "on", "lock_timeout": str(busy_ms), "application_name": "onestop-log"}
    return create_async_engine(
        parsed,
        poolclass=NullPool,
        hide_parameters=True,
        connect_args={"server_settings": served, "timeout": 5, "command_timeout": limit_s},
    )


def reading_engine(url: str) -> AsyncEngine:
    """Never writes, and never creates a file that is not there."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        engine = create_async_engine(_existing(parsed), hide_parameters=True)
        _prepare_sqlite(engine, ("busy_timeout=1000", "query_only=ON"), "BEGIN")
        return engine
    # Whoever reads waits for some rows that an index finds: what pays for large reports takes longer than that.
    # Nor is what finds twenty entries of one case the plan for twenty thousand of another.
    small = {
        "jit": "off",
        "max_parallel_workers_per_gather": "0",
        "random_page_cost": "1.1",
        "plan_cache_mode": "force_custom_plan",
    }
    read_only = {"server_settings": {"default_transaction_read_only": "on"} | small, "timeout": 5}
    # Repeatable read: a verdict takes several statements about one moment.
    return create_async_engine(parsed, hide_parameters=True, connect_args=read_only, isolation_level="REPEATABLE READ")


def _existing(url: URL) -> URL:
    path = (url.database or "").replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    return url.set(database=f"file:{path}", query={"mode": "rw", "uri": "true"})


def _prepare_sqlite(engine: AsyncEngine, pragmas: Sequence[str], begin: str) -> None:
    @event.listens_for(engine.sync_engine, "do_connect")
    def require_openable(_dialect: object, _record: object, passed: list[Any], named: dict[str, Any]) -> None:
        # aiosqlite's thread outlives a failure to open, and then reports to a loop that may have ended.
        await_only(asyncio.to_thread(lambda: sqlite3.connect(*passed, **named).close()))

    @event.listens_for(engine.sync_engine, "connect")
    def connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # transactions begin below, not where the driver guesses
        # SQLite keeps any type in any column: text that was put where bytes were is to be found, not stumbled over.
        connection.driver_connection.text_factory = partial(str, encoding="utf-8", errors="surrogateescape")
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin_it(connection: Any) -> None:
        connection.exec_driver_sql(begin)


@asynccontextmanager
async def writing(connection: AsyncConnection) -> AsyncIterator[None]:
    """One transaction of the only writer: SQLite by its write lock, PostgreSQL by an advisory lock."""
    async with connection.begin():
        if connection.dialect.name == "postgresql":
            await connection.execute(select(func.pg_advisory_xact_lock(ADVISORY_LOCK)))
        yield


async def create(connection: AsyncConnection, now: datetime, master: bytes) -> str:
    """The epoch of the log that lies here, made where there is none. Raise StoreError for another version or key.

    A log that is made says what its key is known by. On PostgreSQL this month and the next get their partitions.
    """
    if not await exists(connection):
        try:
            await _make(connection)
        except ProgrammingError as error:
            raise StoreError(
                "there is no access log here, and this role may not make one: `onestop log init`"
            ) from error
        probed = now.astimezone(UTC).isoformat()
        facts = {"schema_version": SCHEMA_VERSION, "epoch": secrets.token_hex(16), "last_probe": probed}
        facts |= {"key_check": key_check(master)}
        await connection.execute(insert(META), [{"name": name, "value": value} for name, value in facts.items()])
    elif connection.dialect.name == "sqlite":
        await migrate(connection, master)
    known = await meta(connection)
    found = epoch(known)
    if known.get("key_check", key_check(master)) != key_check(master):
        raise StoreError("the log was made with another key; give the one it was made with")
    try:
        await aid.make(connection)
    except aid.AidMissingError as error:
        raise StoreError("the log has no finding aid, and this role may not make one: `onestop log init`") from error
    if connection.dialect.name == "postgresql":
        await postgres.make_months(connection, postgres.months_ahead(now))
    return found


async def exists(connection: AsyncConnection) -> bool:
    return await connection.run_sync(lambda sync: inspect(sync).has_table(META.name))


async def _make(connection: AsyncConnection) -> None:
    if connection.dialect.name == "postgresql":
        await postgres.make_functions(connection)
        await connection.run_sync(
            metadata.create_all, tables=[table for table in metadata.sorted_tables if table is not ENTRY]
        )
        await connection.run_sync(postgres.partitioned(ENTRY).create)
    else:
        await connection.run_sync(metadata.create_all)
    for trigger in TRIGGERS[connection.dialect.name]:
        await connection.exec_driver_sql(trigger)


async def migrate(connection: AsyncConnection, master: bytes) -> None:
    """Bring a log of version 1 to this one: it had no dropped months, no erased keys, no partitions, no key check."""
    if (await meta(connection)).get("schema_version") != "1":
        return
    dialect = connection.dialect.name
    if dialect == "postgresql":
        for trigger in ("leaf", "selection", "entry"):
            await connection.exec_driver_sql(f"DROP TRIGGER {trigger}_append_only ON {trigger}")
        # The names of indexes and keys go with the old table, which goes last.
        await connection.exec_driver_sql("ALTER TABLE entry RENAME TO entry_1")
        for index in ENTRY.indexes:
            await connection.exec_driver_sql(f"ALTER INDEX {index.name} RENAME TO {index.name}_1")
        await connection.exec_driver_sql("ALTER INDEX entry_pkey RENAME TO entry_1_pkey")
        await _make(connection)
        months = (await connection.execute(text(MONTHS_OF_VERSION_1))).scalars().all()
        await postgres.make_months(connection, months)
        # Ids of version 1 said when they were written down, not when the access was: theirs are not held to it.
        for each in months:
            await connection.exec_driver_sql(f"ALTER TABLE entry_{each} DROP CONSTRAINT id_of_its_moment")
        old = named_table("entry_1", *(column(each.name) for each in ENTRY.c))
        await connection.execute(insert(ENTRY).from_select([each.name for each in ENTRY.c], select(old)))
        for each in months:
            held = f"ADD CONSTRAINT id_of_its_moment CHECK ({postgres.ID_OF_ITS_MOMENT}) NOT VALID"
            await connection.exec_driver_sql(f"ALTER TABLE entry_{each} {held}")
        await connection.exec_driver_sql("DROP TABLE entry_1")
        await connection.exec_driver_sql("ALTER TABLE meta DISABLE TRIGGER meta_stays")
    else:
        await connection.run_sync(metadata.create_all)
        await connection.exec_driver_sql("DROP TRIGGER entry_no_delete")
        made = (DROPPED_MONTH.name, ERASED_KEY.name, ENTRY.name + "_no_delete")
        for trigger in TRIGGERS[dialect]:
            if trigger.split()[2].startswith(made):
                await connection.exec_driver_sql(trigger)
    await connection.execute(update(META).where(META.c.name == "schema_version").values(value=SCHEMA_VERSION))
    await connection.execute(insert(META).values(name="key_check", value=key_check(master)))
    if dialect == "postgresql":
        await connection.exec_driver_sql("ALTER TABLE meta ENABLE TRIGGER meta_stays")


async def require_durable(connection: AsyncConnection) -> None:
    """Ask the connection itself whether a commit will be on disk. Raise StoreError when it will not."""
    if connection.dialect.name == "postgresql":
        wanted: dict[str, str | int] = {"SHOW synchronous_commit": "on", "SHOW fsync": "on"}
    else:
        wanted = {"PRAGMA journal_mode": "wal", "PRAGMA synchronous": 2, "PRAGMA foreign_keys": 1}
    for question, answer in wanted.items():
        if (await connection.execute(text(question))).scalar_one() != answer:
            raise StoreError(f"{question} is not {answer}")


async def meta(connection: AsyncConnection) -> dict[str, str]:
    found = await connection.execute(select(META.c.name, META.c.value))
    return {row.name: row.value for row in found}


def epoch(facts: Mapping[str, str]) -> str:
    if facts.get("schema_version") != SCHEMA_VERSION or "epoch" not in facts:
        version = facts.get("schema_version")
        remedy = "; `onestop log init` brings it up to date" if version == "1" else ""
        raise StoreError(f"the log has schema version {version}, not {SCHEMA_VERSION}{remedy}")
    return facts["epoch"]


async def probe(connection: AsyncConnection, now: datetime) -> None:
    """A write that says nothing, to see whether writing works."""
    at = now.astimezone(UTC).isoformat()
    await connection.execute(update(META).where(META.c.name == "last_probe").values(value=at))


async def references(connection: AsyncConnection, vault: Vault) -> dict[int, References]:
    """The years that can be referred to; a year whose salt was destroyed or changed is not among them."""
    found = {}
    for year, wrapped in await connection.execute(select(YEAR_KEY.c.year, YEAR_KEY.c.wrapped)):
        if wrapped is not None:
            with suppress(InvalidTag, TypeError):
                found[year] = vault.references(vault.unwrapped(wrapped, year, None))
    return found


async def new_year(connection: AsyncConnection, vault: Vault, year: int) -> None:
    """Give a year its salt, once."""
    if (await connection.execute(select(YEAR_KEY.c.year).where(YEAR_KEY.c.year == year))).first() is None:
        wrapped = vault.wrapped(secrets.token_bytes(KEY_BYTES), year, None)
        await connection.execute(insert(YEAR_KEY).values(year=year, wrapped=wrapped))


async def next_index(connection: AsyncConnection) -> int:
    last = (await connection.execute(LAST_INDEX)).scalar_one()
    return 0 if last is None else last + 1


def selection_columns(selection: Selection, leaf_index: int) -> dict[str, Any]:
    return {
        "id": selection.id,
        "leaf_index": leaf_index,
        "schema_hash": selection.schema_hash,
        "coordinates": orjson.dumps(selection.coordinates).decode(),
    }


async def commit(connection: AsyncConnection, entries: Sequence[Entry], vault: Vault) -> list[int]:
    """Add entries, and before them the selections that are new, and return their leaf indexes: one transaction.

    Keys are asked for every time: one that was destroyed meanwhile seals nothing more, and its person gets a new one.
    After an error the connection is to be closed.
    """
    known = _known(connection)
    if connection.dialect.name == "sqlite":
        added = await sqlite.inside(
            connection, lambda inner: sqlite.committed(inner, lambda inner: _add_inside(inner, known, entries, vault))
        )
    else:
        driver = await postgres.driver_of(connection)
        async with postgres.transaction(driver, ADVISORY_LOCK):
            added = await _add_there(driver, postgres.known_months(connection), known, entries, vault)
    known.note(entries, added)
    return added.indexes


@dataclass(frozen=True, slots=True)
class Known:
    """What a connection has seen in the store that nothing takes out again: ids of selections and of facets."""

    selections: set[str] = field(default_factory=set)
    facets: set[int] = field(default_factory=set)

    def note(self, entries: Iterable[Entry], added: "Added") -> None:
        """What was put in, or was there already, by a transaction that is on disk."""
        if len(self.selections) + len(self.facets) > MOST_KNOWN:
            self.selections.clear()
            self.facets.clear()
        self.selections.update(entry.access.selection.id for entry in entries)
        self.facets.update(row["id"] for row in added.facets)


def _known(connection: AsyncConnection) -> Known:
    known: Known = connection.info.setdefault(KNOWN, Known())
    return known


async def _add_there(driver: Any, months: set[int], known: Known, entries: Sequence[Entry], vault: Vault) -> "Added":
    unsure, refs = list(_read(entries).keys() - known.selections), [ref for _, ref in _subjects(entries)]
    found = await driver.fetch(KNOWN_THERE, unsure, refs)
    added = _added(entries, vault, known, found)
    await postgres.make_months_there(driver, {entry.access.month for entry in entries}, months)
    for table, columns in added.rows:
        await postgres.insert_in(driver, table, columns)
    for table, columns in added.noted:
        await postgres.insert_in(driver, table, columns, or_ignore=True)
    return added


@lru_cache(maxsize=1024)
def _known_inside(selections: int, refs: int) -> str:
    """KNOWN_THERE, for so many of each."""
    return (
        f"SELECT id, NULL, NULL, NULL, NULL FROM selection WHERE id IN {sqlite.marks(selections)} "  # noqa: S608 - marks
        "UNION ALL SELECT id, year, subject_ref, wrapped, NULL FROM person_key "
        f"WHERE wrapped IS NOT NULL AND subject_ref IN {sqlite.marks(refs)} "
        "UNION ALL SELECT NULL, NULL, NULL, NULL, max(leaf_index) FROM leaf"
    )


def _add_inside(connection: sqlite3.Connection, known: Known, entries: Sequence[Entry], vault: Vault) -> "Added":
    unsure, refs = _read(entries).keys() - known.selections, [ref for _, ref in _subjects(entries)]
    found = connection.execute(_known_inside(len(unsure), len(refs)), [*unsure, *refs]).fetchall()
    added = _added(entries, vault, known, found)
    for table, columns in added.rows:
        sqlite.insert(connection, table, columns)
    for table, columns in added.noted:
        sqlite.insert(connection, table, columns, or_ignore=True)
    return added


class StoredKey(NamedTuple):
    """A row of PERSON_KEY that was not destroyed."""

    id: str
    year: int
    subject_ref: bytes
    wrapped: bytes


@dataclass(frozen=True, slots=True)
class Added:
    """What entries become: rows by table, in the order in which they go in, and where the entries lie.

    `noted` are the rows of the officers' finding aid, some of which may be there already.
    """

    rows: Sequence[tuple[Table, Sequence[Mapping[str, Any]]]]
    noted: aid.Rows
    indexes: list[int]

    @property
    def facets(self) -> Sequence[Mapping[str, Any]]:
        """Those that were not known."""
        ((_, facets), _) = self.noted
        return facets


def _read(entries: Sequence[Entry]) -> dict[str, Selection]:
    return {entry.access.selection.id: entry.access.selection for entry in entries}


def _subjects(entries: Sequence[Entry]) -> set[tuple[int, bytes]]:
    return {subject_of(entry) for entry in entries}


def _added(entries: Sequence[Entry], vault: Vault, known: Known, found: Sequence[Sequence[Any]]) -> Added:
    """What to put in, after what was found by KNOWN_THERE."""
    stored = {name for name, year, *_ in found if year is None}
    (last,) = (row[4] for row in found if row[0] is None)
    first = 0 if last is None else last + 1
    read = _read(entries)
    new = [read[name] for name in read.keys() - known.selections - stored]
    live = [StoredKey(*row[:4]) for row in found if row[1] is not None]
    keys, new_keys = _person_keys(live, _subjects(entries), vault)
    first_entry = first + len(new)
    leaf_of = [selection.leaf for selection in new] + [entry.leaf for entry in entries]
    indexes = list(range(first_entry, first_entry + len(entries)))
    entry_rows = [
        entry_columns(entry, index, keys[subject_of(entry)]) for index, entry in zip(indexes, entries, strict=True)
    ]
    (facet, facets), placed = aid.rows(
        ((row["leaf_index"], row["at_us"], each) for row, each in zip(entry_rows, entries, strict=True)), vault
    )
    return Added(
        (
            (LEAF, [{"leaf_index": index, "leaf": leaf} for index, leaf in enumerate(leaf_of, first)]),
            (SELECTION, [selection_columns(selection, index) for index, selection in enumerate(new, first)]),
            (PERSON_KEY, new_keys),
            (ENTRY, entry_rows),
        ),
        ((facet, [row for row in facets if row["id"] not in known.facets]), placed),
        indexes,
    )


@dataclass(frozen=True, slots=True)
class BodyKey:
    """The key that seals one person's entries of one year, and its row."""

    id: str
    cipher: AESGCM


def subject_of(entry: Entry) -> tuple[int, bytes]:
    return entry.access.year, entry.subject_ref or NOBODY


def _person_keys(
    live: Iterable[StoredKey], subjects: AbstractSet[tuple[int, bytes]], vault: Vault
) -> tuple[dict[tuple[int, bytes], BodyKey], list[dict[str, Any]]]:
    """The keys of persons and years, and rows for those that had none."""
    found: dict[tuple[int, bytes], BodyKey] = {}
    for row in live:
        if (row.year, row.subject_ref) in subjects:
            opened = vault.unwrapped(row.wrapped, row.year, row.subject_ref)
            found[row.year, row.subject_ref] = BodyKey(row.id, AESGCM(opened))
    rows = []
    for year, ref in subjects - found.keys():
        secret = secrets.token_bytes(KEY_BYTES)
        found[year, ref] = BodyKey(secrets.token_hex(16), AESGCM(secret))
        wrapped = vault.wrapped(secret, year, ref)
        rows.append({"id": found[year, ref].id, "year": year, "subject_ref": ref, "wrapped": wrapped})
    return found, rows


def entry_columns(entry: Entry, leaf_index: int, key: BodyKey) -> dict[str, Any]:
    """A row of ENTRY: each part sealed together with its salt, so that a destroyed key takes the salts along."""
    entry_id, random = str(entry.id), secrets.token_bytes(2 * NONCE_BYTES)
    person, staff = entry.person_salt + entry.person_part, entry.staff_salt + entry.staff_part
    return looked_up_by(entry) | {
        "leaf_index": leaf_index,
        "key": key.id,
        "person_part": sealed(key.cipher, person, part_name(entry_id, "person"), random[:NONCE_BYTES]),
        "staff_part": sealed(key.cipher, staff, part_name(entry_id, "staff"), random[NONCE_BYTES:]),
    }


def looked_up_by(entry: Entry) -> dict[str, Any]:
    """The columns beside the sealed parts; all of them follow from the entry."""
    access = entry.access
    return {
        "id": str(entry.id),
        "at_us": microseconds(access.at),
        "year": access.year,
        "subject_ref": entry.subject_ref or NOBODY,
        "viewer_ref": entry.viewer_ref,
        "case_ref": entry.case_ref,
        "agencies": aid.agencies_text(access.answers),
        "outcome": access.outcome.value,
        "purpose": access.purpose,
        "max_sensitivity": None if access.sensitivity is None else SENSITIVITIES.index(access.sensitivity),
        "selection": access.selection.id,
    }


def microseconds(at: datetime) -> int:
    """Since 1970, exact."""
    since = at - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def month_of(at_us: int) -> int:
    """The month, yyyymm in UTC, of a moment in microseconds since 1970."""
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_us)
    return at.year * 100 + at.month


def year_key_id(year: int) -> str:
    """How a year's salt is called where it was destroyed by order."""
    return f"year:{year}"


def leaves() -> Select[Any]:
    """Every leaf with the entry or the selection it commits to and the key that opens it."""
    return (
        select(
            LEAF.c.leaf_index,
            LEAF.c.leaf,
            SELECTION.c.id.label("selection_id"),
            SELECTION.c.schema_hash,
            SELECTION.c.coordinates,
            *(column for column in ENTRY.c if column is not ENTRY.c.leaf_index),
            ENTRY.c.leaf_index.label("entry_index"),
            PERSON_KEY.c.wrapped,
        )
        .select_from(LEAF)
        .outerjoin(SELECTION, SELECTION.c.leaf_index == LEAF.c.leaf_index)
        .outerjoin(ENTRY, ENTRY.c.leaf_index == LEAF.c.leaf_index)
        .outerjoin(PERSON_KEY, PERSON_KEY.c.id == ENTRY.c.key)
    )
