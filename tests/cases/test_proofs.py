"""Proofs are taken once, whichever worker gets them, and forgotten when they are too old anyway."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from cases.store import SWEEP_EVERY, Cases

NOW = datetime(2026, 3, 14, 15, 9, 26, tzinfo=UTC)
UNTIL = NOW + timedelta(seconds=120)


async def kept(cases: Cases) -> int:
    async with cases._engine.connect() as connection:
        return int((await connection.execute(text("select count(*) from proof"))).scalar_one())


async def test_a_proof_is_first_once(cases: Cases) -> None:
    assert await cases.first_proof("a" * 64, UNTIL, NOW)
    assert not await cases.first_proof("a" * 64, UNTIL, NOW)
    assert await cases.first_proof("b" * 64, UNTIL, NOW)


async def test_of_many_workers_one_is_first(cases: Cases, url: str) -> None:
    async with Cases.opened(url) as other, Cases.opened(url) as third:
        for number in range(5):
            told = await asyncio.gather(
                *(each.first_proof(f"{number:064}", UNTIL, NOW) for each in (cases, other, third) for _ in range(4))
            )
            assert sum(told) == 1


async def test_old_proofs_are_swept_out_by_and_by(cases: Cases) -> None:
    await cases.first_proof("a" * 64, NOW + timedelta(seconds=5), NOW)
    await cases.first_proof("b" * 64, UNTIL, NOW + SWEEP_EVERY - timedelta(seconds=1))
    assert await kept(cases) == 2
    await cases.first_proof("c" * 64, UNTIL, NOW + SWEEP_EVERY)
    assert await kept(cases) == 2


async def test_workers_that_sweep_at_once_do_not_disturb_each_other(cases: Cases, url: str) -> None:
    async with Cases.opened(url) as other:
        for number in range(50):
            await cases.first_proof(f"{number:064}", NOW, NOW)
        later = NOW + SWEEP_EVERY
        told = await asyncio.gather(
            cases.first_proof("a" * 64, UNTIL, later), other.first_proof("b" * 64, UNTIL, later)
        )
        assert told == [True, True]
        assert await kept(cases) == 2


async def test_a_database_that_does_not_answer_takes_no_proof(cases: Cases) -> None:
    async with cases._engine.begin() as connection:
        await connection.execute(text("drop table proof"))
    with pytest.raises(OSError, match="Error"):
        await cases.first_proof("a" * 64, UNTIL, NOW)
