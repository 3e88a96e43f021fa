"""Migrations: an empty database becomes what the tables say, once, however many start at the same time."""

import asyncio
import sys
from datetime import UTC, datetime
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

from cases import tables
from cases.store import Cases

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
    assert await versions(cases) == ["sessions"]


async def test_what_was_there_before_a_start_is_there_after_it(url: str) -> None:
    async with Cases.opened(url) as cases, cases._engine.begin() as connection:
        await connection.execute(
            text("insert into request (viewer, key, fingerprint, result, at) values ('v', 'k', 'f', 'r', :at)"),
            {"at": "2026-03-14 00:00:00" if url.startswith("sqlite") else datetime(2026, 3, 14, tzinfo=UTC)},
        )
    async with Cases.opened(url) as cases, cases._engine.connect() as connection:
        assert (await connection.execute(text("select count(*) from request"))).scalar_one() == 1


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
