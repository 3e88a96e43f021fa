"""Proofs are taken once, whichever worker gets them, and forgotten when they are too old anyway."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from cases.proofs import SWEEP_EVERY
from cases.store import Cases

NOW = datetime(2026, 3, 14, 15, 9, 26, tzinfo=UTC)
UNTIL = NOW + timedelta(seconds=120)


async def kept(cases: Cases) -> int:
    async with cases._engine.connect() as connection:
        return int((await connection.execute(text("select count(*) from proof"))).scalar_one())


async def test_a_proof_is_first_once(cases: Cases) -> None:
    assert await cases.proofs.first("a" * 64, UNTIL, NOW)
    assert not await cases.proofs.first("a" * 64, UNTIL, NOW)
    assert await cases.proofs.first("b" * 64, UNTIL, NOW)


async def test_of_many_workers_one_is_first(cases: Cases, url: str) -> None:
    async with Cases.opened(url) as other, Cases.opened(url) as third:
        for number in range(5):
            told = await asyncio.gather(
                *(each.proofs.first(f"{number:064}", UNTIL, NOW) for each in (cases, other, third) for _ in range(4))
            )
            assert sum(told) == 1


async def test_proofs_of_one_moment_share_one_commit(cases: Cases, monkeypatch: pytest.MonkeyPatch) -> None:
    commits: list[int] = []
    kept_by = cases.proofs._kept

    async def counted(until: Mapping[str, datetime]) -> set[str]:
        commits.append(len(until))
        return await kept_by(until)

    monkeypatch.setattr(cases.proofs, "_kept", counted)
    told = await asyncio.gather(*(cases.proofs.first(f"{number:064}", UNTIL, NOW) for number in range(300)))
    assert told == [True] * 300
    assert commits == [256, 44]
    assert await kept(cases) == 300


async def test_who_leaves_takes_nobody_along_and_their_proof_is_used_up(cases: Cases) -> None:
    leaving = asyncio.create_task(cases.proofs.first("a" * 64, UNTIL, NOW))
    staying = asyncio.create_task(cases.proofs.first("b" * 64, UNTIL, NOW))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying
    assert not await cases.proofs.first("a" * 64, UNTIL, NOW)


async def test_old_proofs_are_swept_out_by_and_by(cases: Cases) -> None:
    await cases.proofs.first("a" * 64, NOW + timedelta(seconds=5), NOW)
    await cases.proofs.first("b" * 64, UNTIL, NOW + SWEEP_EVERY - timedelta(seconds=1))
    assert await kept(cases) == 2
    await cases.proofs.first("c" * 64, UNTIL, NOW + SWEEP_EVERY)
    assert await kept(cases) == 2


async def test_workers_that_sweep_at_once_do_not_disturb_each_other(cases: Cases, url: str) -> None:
    async with Cases.opened(url) as other:
        for number in range(50):
            await cases.proofs.first(f"{number:064}", NOW, NOW)
        later = NOW + SWEEP_EVERY
        told = await asyncio.gather(
            cases.proofs.first("a" * 64, UNTIL, later), other.proofs.first("b" * 64, UNTIL, later)
        )
        assert told == [True, True]
        assert await kept(cases) == 2


async def test_a_database_that_does_not_answer_takes_no_proof(cases: Cases) -> None:
    async with cases._engine.begin() as connection:
        await connection.execute(text("drop table proof"))
    told = await asyncio.gather(*(cases.proofs.first(name * 64, UNTIL, NOW) for name in "abc"), return_exceptions=True)
    assert [type(each) for each in told] == [OSError] * 3
