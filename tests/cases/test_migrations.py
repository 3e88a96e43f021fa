"""Migrations: an empty database becomes what the tables say, once, however many start at the same time."""

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, insert, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import create_async_engine

from cases import tables
from cases.store import Cases, _is_newest, _upgraded

NOW = datetime(2026, 3, 14, tzinfo=UTC)
START = """
import asyncio, sys
from cases.store import Cases

async def main():
    async with Cases.opened(sys.argv[1]) as cases:
        print(await cases.healthy())

asyncio.run(main())
"""


def differences(connection: Connection) -> list[Any]:
    context = MigrationContext.configure(
        connection, opts={"version_table": "cases_version", "compare_type": True, "compare_server_default": True}
    )
    return list(compare_metadata(context, tables.metadata))


async def versions(cases: Cases) -> list[str]:
    async with cases._engine.connect() as connection:
        return [row[0] for row in await connection.execute(text("select version_num from cases_version"))]


async def test_a_migrated_database_is_what_the_tables_say(cases: Cases) -> None:
    async with cases._engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_migrating_again_changes_nothing(cases: Cases, url: str) -> None:
    async with Cases.opened(url) as again, again._engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    assert await versions(cases) == ["protected"]


async def test_a_start_at_the_newest_revision_does_without_alembic(cases: Cases, url: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", START + "print('alembic' in sys.modules)", url), stdout=asyncio.subprocess.PIPE
    )

    assert (await process.communicate())[0] == b"True\nFalse\n"
    async with cases._engine.begin() as connection:
        assert await connection.run_sync(_is_newest)
        await connection.execute(text("update cases_version set version_num = 'facts'"))
        assert not await connection.run_sync(_is_newest)
        await connection.execute(text("drop table cases_version"))
        assert not await connection.run_sync(_is_newest)


async def test_what_was_there_before_a_start_is_there_after_it(url: str) -> None:
    async with Cases.opened(url) as cases, cases._engine.begin() as connection:
        await connection.execute(
            text("insert into request (viewer, key, fingerprint, result, at) values ('v', 'k', 'f', 'r', :at)"),
            {"at": "2026-03-14 00:00:00" if url.startswith("sqlite") else NOW},
        )
    async with Cases.opened(url) as cases, cases._engine.connect() as connection:
        assert (await connection.execute(text("select count(*) from request"))).scalar_one() == 1


BROKEN: list[tuple[str, Any, dict[str, Any]]] = [
    ("a kind of case that there is not", tables.case, {"kind": "OTHER", "subject": "x", "number": "N-2"}),
    ("a second case of one person", tables.case, {"number": "N-2"}),
    ("a number given twice", tables.case, {"subject": "x"}),
    ("a second live mandate", tables.mandate, {}),
    ("a mandate that ends before it begins", tables.mandate, {"holder": "x", "valid_until": NOW - timedelta(days=1)}),
    ("a mandate on no case", tables.mandate, {"holder": "x", "case_id": "none"}),
]


@pytest.mark.parametrize(("table", "changed"), [each[1:] for each in BROKEN], ids=[each[0] for each in BROKEN])
async def test_the_database_itself_refuses(cases: Cases, table: Any, changed: dict[str, Any]) -> None:
    # What autogeneration does not compare: checks, and the condition of a partial index.
    case = {
        "id": "1",
        "kind": "ESTATE",
        "subject": "s",
        "number": "N-1",
        "purpose": "P",
        "opened_at": NOW,
        "opened_by": "h",
    }
    mandate: dict[str, Any] = {
        "id": "1",
        "case_id": "1",
        "role": "HEIR",
        "holder": "h",
        "purpose": "P",
        "legal_basis": "L",
    }
    mandate |= {"issued_by": "I", "valid_from": NOW}
    ended = mandate | {"id": "0", "revoked_at": NOW}
    async with cases._engine.begin() as connection:
        await connection.execute(insert(tables.case).values(case))
        await connection.execute(insert(tables.mandate).values(ended))
        await connection.execute(insert(tables.mandate).values(mandate))
    good = case if table is tables.case else mandate
    with pytest.raises(IntegrityError):
        async with cases._engine.begin() as connection:
            await connection.execute(insert(table).values(good | {"id": "2"} | changed))


WAITING = text("select pg_sleep(0.02), exists (select from pg_locks where not granted) as somebody")


async def test_a_start_beside_one_that_is_migrating_waits_for_it(postgres_url: str) -> None:
    first = create_async_engine(postgres_url)
    try:
        async with first.connect() as migrating, first.connect() as watching:
            await migrating.begin()
            await migrating.run_sync(_upgraded)  # and does not commit yet
            second = asyncio.create_task(started(postgres_url))
            async with asyncio.timeout(20):
                while not (await watching.execute(WAITING)).one().somebody and not second.done():
                    pass
            await migrating.commit()
            assert await second
    finally:
        await first.dispose()


async def started(url: str) -> bool:
    async with Cases.opened(url) as cases:
        return await cases.healthy()


async def test_processes_that_start_at_the_same_time_all_find_the_tables(url: str) -> None:
    started = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", START, url, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        for _ in range(3)
    ]
    told = await asyncio.gather(*(process.communicate() for process in started))
    assert [(out.strip(), process.returncode) for (out, _), process in zip(told, started, strict=True)] == [
        (b"True", 0)
    ] * 3, told
    async with Cases.opened(url) as cases, cases._engine.connect() as connection:
        assert await connection.run_sync(differences) == []
