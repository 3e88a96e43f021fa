"""Months that were dropped, keys that were destroyed by order: what remains, what says so, and who may do it."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import TextClause, make_url, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from audit import owning, store
from audit.entry import Access, dropped_month_leaf, erased_key_leaf
from audit.keys import Keys
from audit.owning import Owner, OwnerRefusal, prepare
from audit.reading import Reading
from audit.store import StoreError
from audit.verifying import verify
from audit.writer import AccessLog, LogUnavailable
from schema.identifiers import PersonId

Accesses = Callable[..., Access]
Clock = Callable[[], datetime]

DECEASED, CHILD = PersonId("deceased-person"), PersonId("child")
LATER = datetime(2026, 11, 22, tzinfo=UTC)
ROLES = count(1)


@asynccontextmanager
async def at(url: str) -> AsyncIterator[AsyncConnection]:
    engine = create_async_engine(url)
    try:
        async with engine.begin() as connection:
            yield connection
    finally:
        await engine.dispose()


async def told(url: str, statement: TextClause, **given: object) -> None:
    async with at(url) as connection:
        await connection.execute(statement, given)


async def rows(url: str, question: str, **given: object) -> list[Any]:
    async with at(url) as connection:
        return list((await connection.execute(text(question), given)).all())


async def the_leaves(url: str) -> list[bytes]:
    return [bytes(row.leaf) for row in await rows(url, "SELECT leaf FROM leaf ORDER BY leaf_index")]


async def is_intact(url: str, keys: Keys) -> bool:
    verdict = await asyncio.to_thread(verify, url, keys.master)
    assert verdict.intact == (verdict.reason is None)
    return verdict.intact


@pytest.fixture
async def years(url: str, keys: Keys, clock: Clock, access: Accesses) -> str:
    """Give a log with two entries in each of four months: September and October 2021, and May of 2025 and 2026."""
    async with AccessLog.open(url, keys, clock) as log:
        for year, month, day in ((2021, 9, 30), (2021, 10, 31), (2025, 5, 1), (2026, 5, 1)):
            moment = datetime(year, month, day, 23, 59, 59, 999999, tzinfo=UTC)
            await log.append([access(at=moment), access(at=moment, subject=CHILD)])
    return url


# ---------------------------------------------------------------- retention


async def test_months_whose_time_is_over_are_dropped_and_the_tree_stays(years: str, keys: Keys) -> None:
    before = await the_leaves(years)

    async with Owner.open(years, keys.master) as owner:
        assert await owner.retain(60, LATER) == [202109, 202110]
        assert await owner.retain(60, LATER) == []

    assert await the_leaves(years) == [*before, dropped_month_leaf(202109), dropped_month_leaf(202110)]
    assert len(await rows(years, "SELECT 1 FROM entry WHERE at_us >= 1746057600000000")) == 4
    assert len(await rows(years, "SELECT 1 FROM entry")) == 4
    assert await is_intact(years, keys)


async def test_what_remains_is_read_without_the_dropped(years: str, keys: Keys, clock: Clock, access: Accesses) -> None:
    (old,) = await rows(years, "SELECT id FROM entry WHERE leaf_index = 1")
    async with Owner.open(years, keys.master) as owner:
        await owner.retain(60, LATER)

    async with AccessLog.open(years, keys, clock) as log:
        page = await log.reading.of_person(DECEASED)
        assert [placed.leaf_index for placed in page.entries] == [7, 5]
        assert [line["leaf_index"] async for line in log.reading.export()] == [5, 6, 7, 8]
        assert await log.reading.entry(old.id) is None
        (receipt,) = await log.append([access()])
    assert receipt.leaf_index == 11


async def test_a_month_stays_until_its_last_day_is_old_enough(years: str, keys: Keys) -> None:
    async with Owner.open(years, keys.master) as owner:
        assert await owner.retain(60, datetime(2026, 10, 31, 23, 59, 59, tzinfo=UTC)) == [202109]
        assert await owner.retain(60, datetime(2026, 11, 1, tzinfo=UTC)) == [202110]


async def test_two_years_are_the_least(years: str, keys: Keys) -> None:
    async with Owner.open(years, keys.master) as owner:
        with pytest.raises(OwnerRefusal, match="at least 24 months"):
            await owner.retain(23, LATER)
        assert await owner.retain(24, LATER) == [202109, 202110]


async def test_a_drop_that_was_cut_short_goes_on(
    years: str, keys: Keys, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """SQLite deletes in steps; PostgreSQL drops a month in one."""
    monkeypatch.setattr(owning, "ROWS_AT_ONCE", 1)
    async with Owner.open(years, keys.master) as owner:
        steps = []

        async def cut_short(connection: AsyncConnection, month: int) -> bool:
            steps.append(month)
            if len(steps) == 2:
                raise KeyboardInterrupt
            return await Owner._delete_some(owner, connection, month)

        if "sqlite" in request.node.name:
            monkeypatch.setattr(owner, "_delete_some", cut_short)
            with pytest.raises(KeyboardInterrupt):
                await owner.retain(60, LATER)
            monkeypatch.undo()
            assert await is_intact(years, keys)
        await owner.retain(60, LATER)

    assert len(await rows(years, "SELECT 1 FROM entry")) == 4
    assert len(await rows(years, "SELECT 1 FROM dropped_month")) == 2
    assert await is_intact(years, keys)


@pytest.mark.parametrize("table", ["dropped_month", "erased_key"])
async def test_a_record_of_letting_go_that_no_leaf_bears_out_is_damage(years: str, keys: Keys, table: str) -> None:
    values = "(202105, 'x')" if table == "dropped_month" else "('k', 'x', 'x')"
    async with at(years) as connection:
        await connection.execute(text(f"INSERT INTO {table} VALUES {values}"))  # noqa: S608 - names of our own

    assert not await is_intact(years, keys)


async def test_a_row_of_a_month_that_was_not_dropped_cannot_be_deleted(years: str, keys: Keys) -> None:
    async with Owner.open(years, keys.master) as owner:
        await owner.retain(60, LATER)

    with pytest.raises(DBAPIError, match="append only"):
        async with at(years) as connection:
            await connection.execute(text("DELETE FROM entry WHERE leaf_index = 7"))


# ---------------------------------------------------------------- erasure by order


async def test_an_order_makes_one_persons_year_unreadable_and_is_a_leaf(
    years: str, keys: Keys, clock: Clock, access: Accesses
) -> None:
    (key,) = await rows(years, "SELECT key FROM entry WHERE leaf_index = 5")
    before = await the_leaves(years)
    async with Owner.open(years, keys.master) as owner:
        assert await owner.erase(DECEASED, 2025, "Seoul Central 2026-7", LATER) == 1
        with pytest.raises(OwnerRefusal, match="nothing readable"):
            await owner.erase(DECEASED, 2025, "Seoul Central 2026-7", LATER)

    assert await the_leaves(years) == [*before, erased_key_leaf(key.key)]
    assert await rows(years, "SELECT key_id, order_reference FROM erased_key") == [(key.key, "Seoul Central 2026-7")]
    async with AccessLog.open(years, keys, clock) as log:
        assert [each.leaf_index for each in (await log.reading.of_person(DECEASED)).entries] == [7, 3, 1]
        assert [each.leaf_index for each in (await log.reading.of_person(CHILD)).entries] == [8, 6, 4, 2]
        assert await is_intact(years, keys)
        await log.append([access(at=datetime(2025, 6, 1, tzinfo=UTC))])  # has a key of its own
        assert [each.leaf_index for each in (await log.reading.of_person(DECEASED)).entries] == [10, 7, 3, 1]
    assert await is_intact(years, keys)


async def test_a_key_that_was_destroyed_without_an_order_is_damage(years: str, keys: Keys) -> None:
    async with Owner.open(years, keys.master) as owner:
        await owner.erase(DECEASED, 2025, "order 1", LATER)
    async with at(years) as connection:
        await connection.execute(text("UPDATE person_key SET wrapped = NULL WHERE year = 2026"))

    assert (await asyncio.to_thread(verify, years, keys.master)).first_bad == 7


async def test_a_year_is_unlinked_by_order_once_it_is_over(years: str, keys: Keys) -> None:
    async with Owner.open(years, keys.master) as owner:
        with pytest.raises(OwnerRefusal, match="2026 is not over"):
            await owner.unlink(2026, "order 2", LATER)
        await owner.unlink(2025, "order 2", LATER)
        with pytest.raises(OwnerRefusal, match="no key of 2025"):
            await owner.unlink(2025, "order 2", LATER)
        with pytest.raises(OwnerRefusal, match="no key of 2025"):
            await owner.erase(DECEASED, 2025, "order 2", LATER)

    assert (await the_leaves(years))[-1] == erased_key_leaf("year:2025")
    async with Reading.open(years, keys.master) as reading:
        assert [each.leaf_index for each in (await reading.of_person(DECEASED)).entries] == [7, 3, 1]
    assert await is_intact(years, keys)


@pytest.mark.parametrize("order", ["", " ", "x" * 201])
async def test_an_order_has_a_reference(years: str, keys: Keys, order: str) -> None:
    async with Owner.open(years, keys.master) as owner:
        with pytest.raises(OwnerRefusal, match="name the order"):
            await owner.erase(DECEASED, 2025, order, LATER)


async def test_nothing_of_a_destroyed_key_or_a_dropped_body_stays_in_the_files(
    sqlite_url: str, keys: Keys, clock: Clock, access: Accesses
) -> None:
    async with AccessLog.open(sqlite_url, keys, clock) as log:
        await log.append([access(at=datetime(2021, 1, 1, tzinfo=UTC)), access(), access(subject=CHILD)])
    path = Path(sqlite_url.removeprefix("sqlite+aiosqlite:///"))
    with closing(sqlite3.connect(path)) as opened:
        (body,) = opened.execute("SELECT person_part FROM entry WHERE leaf_index = 1").fetchone()
        (key,) = opened.execute(
            "SELECT wrapped FROM person_key WHERE id = (SELECT key FROM entry WHERE leaf_index = 2)"
        ).fetchone()

    async with Owner.open(sqlite_url, keys.master) as owner:
        await owner.retain(24, LATER)
        await owner.erase(DECEASED, 2026, "order 3", LATER)

    left = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert body not in left
    assert key not in left


# ---------------------------------------------------------------- versions


VERSION_1 = (
    "DROP TABLE dropped_month",
    "DROP TABLE erased_key",
    "UPDATE meta SET value = '1' WHERE name = 'schema_version'",
    "DELETE FROM meta WHERE name = 'key_check'",
)


async def test_a_sqlite_log_of_version_1_is_brought_here_when_it_is_opened(
    sqlite_url: str, keys: Keys, clock: Clock, access: Accesses
) -> None:
    async with AccessLog.open(sqlite_url, keys, clock) as log:
        await log.append([access(at=datetime(2021, 1, 1, tzinfo=UTC))])
    async with at(sqlite_url) as connection:
        await connection.execute(text("DROP TRIGGER entry_no_delete"))
        for statement in VERSION_1:
            await connection.execute(text(statement))
        await connection.execute(
            text(
                "CREATE TRIGGER entry_no_delete BEFORE DELETE ON entry "
                "BEGIN SELECT RAISE(ABORT, 'the access log is append only'); END"
            )
        )

    async with AccessLog.open(sqlite_url, keys, clock) as log:
        await log.append([access()])
    made = await rows(sqlite_url, "SELECT count(*) AS many FROM sqlite_master WHERE type = 'trigger'")
    async with Owner.open(sqlite_url, keys.master) as owner:
        assert await owner.retain(24, LATER) == [202101]

    assert made[0].many == len(store.TRIGGERS["sqlite"])
    assert await is_intact(sqlite_url, keys)


async def test_a_postgresql_log_of_version_1_gets_its_partitions_from_its_owner(
    postgres_url: str, keys: Keys, clock: Clock, access: Accesses
) -> None:
    async with AccessLog.open(postgres_url, keys, clock) as log:
        await log.append([access(at=datetime(2021, 1, 1, tzinfo=UTC)), access()])
    async with at(postgres_url) as connection:
        await connection.execute(text("ALTER TABLE meta DISABLE TRIGGER meta_stays"))
        for statement in (
            "CREATE TABLE plain (LIKE entry, PRIMARY KEY (leaf_index), UNIQUE (id))",
            "INSERT INTO plain SELECT * FROM entry",
            "DROP TABLE entry",
            "ALTER TABLE plain RENAME TO entry",
            "ALTER INDEX plain_pkey RENAME TO entry_pkey",
            *(
                f"CREATE INDEX entry_by_{name} ON entry ({name}_ref, leaf_index)"
                for name in ("subject", "viewer", "case")
            ),
            (
                "CREATE TRIGGER entry_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON entry "
                "FOR EACH STATEMENT EXECUTE FUNCTION onestop_append_only()"
            ),
            "DROP TRIGGER meta_stays ON meta",
            *VERSION_1,
        ):
            await connection.execute(text(statement))

    with pytest.raises(StoreError, match="onestop log init"):
        async with AccessLog.open(postgres_url, keys, clock):
            pass
    await prepare(postgres_url, keys.master, LATER)

    async with AccessLog.open(postgres_url, keys, clock) as log:
        await log.append([access()])
        assert [each.leaf_index for each in (await log.reading.of_person(DECEASED)).entries] == [3, 2, 1]
    async with Owner.open(postgres_url, keys.master) as owner:
        assert await owner.retain(24, LATER) == [202101]
    assert await is_intact(postgres_url, keys)


# ---------------------------------------------------------------- PostgreSQL: months and roles


async def partitions(url: str) -> list[str]:
    asked = "SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE inhparent = 'entry'::regclass"
    return sorted(row.relname for row in await rows(url, asked))


@pytest.fixture
async def roles(postgres_url: str, keys: Keys) -> AsyncIterator[Mapping[str, str]]:
    """Give the URLs of owner, writer and reader of one log; the owner is no superuser."""
    number = next(ROLES)
    urls = {
        name: make_url(postgres_url).set(username=f"{name}-{number}", password=f"{name}'s word").render_as_string(False)
        for name in ("owner", "writer", "reader")
    }
    async with at(postgres_url) as connection:
        await connection.execute(text(f"CREATE ROLE \"owner-{number}\" LOGIN CREATEROLE PASSWORD 'owner''s word'"))
        name = make_url(postgres_url).database
        await connection.execute(text(f'ALTER DATABASE {name} OWNER TO "owner-{number}"'))
    await prepare(urls["owner"], keys.master, LATER, urls["writer"], urls["reader"])
    yield urls
    async with at(postgres_url) as connection:
        for name in ("writer", "reader", "owner"):
            await connection.execute(text(f'REASSIGN OWNED BY "{name}-{number}" TO postgres'))
            await connection.execute(text(f'DROP OWNED BY "{name}-{number}"'))


async def test_a_month_without_a_partition_gets_one_in_the_transaction_of_its_entry(
    roles: Mapping[str, str], keys: Keys, clock: Clock, access: Accesses
) -> None:
    assert await partitions(roles["owner"]) == ["entry_202611", "entry_202612"]

    async with AccessLog.open(roles["writer"], keys, clock, read_url=roles["reader"]) as log:
        moments = [datetime(2019, 12, 31, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC)]
        await log.append([access(at=moment) for moment in moments])
        await log.append([access(at=moment) for moment in moments])

        assert len((await log.reading.of_person(DECEASED)).entries) == 4
    assert await is_intact(roles["reader"], keys)
    made = ["entry_201912", "entry_202603", "entry_202604", "entry_202611", "entry_202612", "entry_203101"]
    assert await partitions(roles["owner"]) == made


async def test_a_partition_that_cannot_be_made_loses_no_entry_and_shows_nothing(
    roles: Mapping[str, str], keys: Keys, clock: Clock, access: Accesses
) -> None:
    async with AccessLog.open(roles["writer"], keys, clock) as log:
        await log.append([access()])
        async with at(roles["owner"]) as connection:
            await connection.execute(
                text(
                    'REVOKE EXECUTE ON FUNCTION onestop_log_month FROM "'
                    + str(make_url(roles["writer"]).username)
                    + '"'
                )
            )

        with pytest.raises(LogUnavailable):
            await log.append([access(at=datetime(2019, 12, 31, tzinfo=UTC))])

    assert len(await the_leaves(roles["owner"])) == 2


async def test_one_id_is_kept_once_over_all_months(
    roles: Mapping[str, str], keys: Keys, clock: Clock, access: Accesses
) -> None:
    async with AccessLog.open(roles["writer"], keys, clock) as log:
        await log.append([access()])
    columns = ", ".join(column.name for column in store.ENTRY.c)
    moved = columns.replace("leaf_index", "0").replace("at_us", "at_us + :later")
    again = text(f"INSERT INTO entry ({columns}) SELECT {moved} FROM entry")  # noqa: S608 - names of our own

    for later, why in ((1, "duplicate key"), (20 * 86_400_000_000, "id_of_its_moment")):
        with pytest.raises(IntegrityError, match=why):
            await told(roles["writer"], again, later=later)


FORBIDDEN = (
    *(
        verb.format(table)
        for table in (
            "leaf",
            "selection",
            "entry",
            "entry_202603",
            "dropped_month",
            "erased_key",
            "year_key",
            "person_key",
        )
        for verb in (
            "DELETE FROM {}",
            "TRUNCATE {} CASCADE",
            "DROP TABLE {} CASCADE",
            "ALTER TABLE {} DISABLE TRIGGER ALL",
            "ALTER TABLE {} ADD COLUMN more text",
        )
    ),
    "UPDATE leaf SET leaf = leaf",
    "UPDATE selection SET coordinates = coordinates",
    "UPDATE entry SET outcome = outcome",
    "UPDATE entry_202603 SET outcome = outcome",
    "UPDATE person_key SET wrapped = NULL",
    "UPDATE year_key SET wrapped = NULL",
    "UPDATE meta SET value = 'x' WHERE name = 'epoch'",
    "UPDATE meta SET name = 'x'",
    "DELETE FROM meta",
    "INSERT INTO meta VALUES ('x', 'x')",
    "INSERT INTO dropped_month VALUES (202603, 'x')",
    "INSERT INTO erased_key VALUES ('x', 'x', 'x')",
    "INSERT INTO entry_202603 SELECT * FROM entry",
    "DROP TRIGGER entry_append_only ON entry",
    "ALTER TABLE entry DETACH PARTITION entry_202603",
    "DROP FUNCTION onestop_log_month",
    "CREATE OR REPLACE FUNCTION onestop_append_only() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
    "CREATE TABLE mine (x int)",
    "SET session_replication_role = replica",
    "SET ROLE postgres",
    "ALTER SYSTEM SET fsync = off",
)


@pytest.mark.parametrize("name", ["writer", "reader"])
async def test_neither_writer_nor_reader_can_bend_what_was_written(bendable: Mapping[str, str], name: str) -> None:
    engine = create_async_engine(bendable[name])
    async with engine.connect() as connection:
        for statement in FORBIDDEN:
            with pytest.raises(DBAPIError, match=r"permission denied|must be owner|append only|cannot run inside"):
                await connection.execute(text(statement))
            await connection.rollback()
    await engine.dispose()


@pytest.fixture
async def bendable(roles: Mapping[str, str], keys: Keys, clock: Clock, access: Accesses) -> Mapping[str, str]:
    async with AccessLog.open(roles["writer"], keys, clock) as log:
        await log.append([access()])
    return roles


async def test_a_reader_cannot_write_and_a_writer_is_no_owner(
    bendable: Mapping[str, str], keys: Keys, clock: Clock
) -> None:
    with pytest.raises(DBAPIError, match="permission denied"):
        async with at(bendable["reader"]) as connection:
            await connection.execute(text("INSERT INTO leaf VALUES (99, '')"))
    with pytest.raises(StoreError, match="only its owner"):
        async with Owner.open(bendable["writer"], keys.master) as owner:
            await owner.erase(DECEASED, 2026, "order 4", LATER)
    async with Owner.open(bendable["owner"], keys.master) as owner:
        assert await owner.erase(DECEASED, 2026, "order 4", LATER) == 1
        assert await owner.retain(24, datetime(2029, 1, 1, tzinfo=UTC)) == [202603, 202604, 202611, 202612]
    async with AccessLog.open(bendable["writer"], keys, clock, read_url=bendable["reader"]):
        assert await is_intact(bendable["reader"], keys)


async def test_three_roles_are_three_users(roles: Mapping[str, str], keys: Keys) -> None:
    with pytest.raises(OwnerRefusal, match="three roles"):
        await prepare(roles["owner"], keys.master, LATER, roles["owner"], roles["reader"])
    with pytest.raises(OwnerRefusal, match="three roles"):
        await prepare(roles["owner"], keys.master, LATER, roles["writer"], roles["writer"])


async def test_a_writer_before_the_owner_is_told_what_is_missing(postgres_url: str, keys: Keys, clock: Clock) -> None:
    name = f"early-{next(ROLES)}"
    async with at(postgres_url) as connection:
        await connection.execute(text(f'CREATE ROLE "{name}" LOGIN'))
    early = make_url(postgres_url).set(username=name).render_as_string(False)

    with pytest.raises(StoreError, match="onestop log init"):
        async with AccessLog.open(early, keys, clock):
            pass
