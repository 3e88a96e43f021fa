"""Connections to a server: used without asking twice, and never when they died."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from cases.pool import reader, take_none_that_died


@asynccontextmanager
async def pool(url: str, rested_s: float) -> AsyncIterator[AsyncEngine]:
    """A pool of one connection."""
    engine = create_async_engine(url, pool_size=1, max_overflow=0)
    take_none_that_died(engine, rested_s)
    yield engine
    await engine.dispose()


async def driver(engine: AsyncEngine) -> Any:
    async with engine.connect() as connection:
        return (await connection.get_raw_connection()).driver_connection


async def said_besides(engine: AsyncEngine, of: AsyncEngine) -> list[str]:
    """What is said to the server besides a prepared statement, on a connection that is there."""
    heard: list[str] = []
    (await driver(engine)).add_query_logger(lambda query: heard.append(query.query))
    async with of.connect() as connection:
        assert (await connection.execute(text("select 1"))).scalar_one() == 1
    await asyncio.sleep(0)  # it is heard a turn later
    return heard


async def test_a_reading_is_one_way_there_and_back(postgres_url: str) -> None:
    async with pool(postgres_url, rested_s=60) as engine:
        assert await said_besides(engine, engine) == ["BEGIN;", "ROLLBACK;"]
        assert await said_besides(engine, reader(engine)) == []


async def test_a_connection_that_rested_is_asked_whether_it_lives(postgres_url: str) -> None:
    async with pool(postgres_url, rested_s=0) as engine:
        assert ";" in await said_besides(engine, reader(engine))


@pytest.mark.parametrize("rested_s", [0, 60])
async def test_a_connection_that_the_server_ended_is_not_given_out(postgres_url: str, rested_s: float) -> None:
    async with pool(postgres_url, rested_s) as engine, pool(postgres_url, 60) as other:
        ended, heard = await driver(engine), asyncio.Event()
        ended.add_termination_listener(lambda _: heard.set())
        async with other.connect() as connection:
            await connection.execute(text(f"select pg_terminate_backend({ended.get_server_pid()})"))
        if rested_s:  # the driver hears of it; who rested is asked, whether it has or not
            await asyncio.wait_for(heard.wait(), 10)
        async with reader(engine).connect() as connection:
            assert (await connection.execute(text("select 1"))).scalar_one() == 1
        assert await driver(engine) is not ended
