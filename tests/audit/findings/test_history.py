"""The rules over what the log holds: what they find is kept once, however often, and however it was judged before."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from audit.entry import Access
from audit.keys import Keys
from audit.searching import Search
from audit.writer import AccessLog
from cases.finding_steps import Actor, Verdict, closed
from cases.store import Cases
from schema.identifiers import PersonId
from serving.evaluation import Judging
from serving.history import evaluated

Accesses = Callable[..., Access]
Clock = Callable[[], datetime]
KIM, OFFICER = PersonId("k" * 26), PersonId("o" * 26)


@asynccontextmanager
async def world(folder: Path, keys: Keys, clock: Clock) -> AsyncIterator[tuple[AccessLog, Cases]]:
    async with (
        AccessLog.open(f"sqlite+aiosqlite:///{folder}/log.db", keys, clock) as log,
        Cases.opened(f"sqlite+aiosqlite:///{folder}/cases.db") as cases,
    ):
        yield log, cases


def looks(access: Accesses, at: datetime, days: int = 40) -> list[Access]:
    """An official looks at somebody else each day, three persons a night, without any case."""
    return [
        access(
            at=at + timedelta(days=day - days, hours=-day % 3, minutes=person),
            viewer=KIM,
            roles=("OFFICIAL",),
            organisation="city-1",
            agency="city-1",
            office="office-1",
            case_id=None,
            case_number=None,
            subject=PersonId(f"person-{day}-{person}"),
        )
        for day in range(days)
        for person in range(3)
    ]


async def held(cases: Cases) -> list[Any]:
    return await cases.findings().about(KIM)


async def test_history_is_judged_with_our_records_and_kept_once(
    tmp_path: Path, keys: Keys, clock: Clock, access: Accesses
) -> None:
    async with world(tmp_path, keys, clock) as (log, cases):
        await log.append(looks(access, clock()))
        dry = await evaluated(log.reading, cases, 0, clock(), keep=False)
        assert (dry["accesses"], dry["explained_share"], dry["new"], await held(cases)) == (120, 0.0, 0, [])
        assert dry["rules"]["NO_OPEN_CASE"]["noticed"] == 120
        first = await evaluated(log.reading, cases, 0, clock(), keep=True)
        assert first | {"new": 0} == dry
        kept = await held(cases)
        assert len(kept) == first["findings"] == 2
        assert first["new"] == sum(len(each.noticed) for each in kept)
        again = await evaluated(log.reading, cases, 0, clock(), keep=True)
        assert (again, await held(cases)) == (first | {"new": 0}, kept)


async def test_what_the_minute_noticed_and_officers_closed_is_not_raised_again(
    tmp_path: Path, keys: Keys, clock: Clock, access: Accesses
) -> None:
    async with world(tmp_path, keys, clock) as (log, cases):
        await log.append(looks(access, clock()))
        minute, at, now = Judging(Search(log.reading.engine, log.reading.vault), cases), -1, clock()
        for upto in (30, 60, 120):
            hits, at = await minute.went_through(at, upto)
            await minute.kept(hits, now)
            for record in await held(cases):
                if record.state.value == "OPEN":
                    step = closed(record, Actor(OFFICER, judges=True), Verdict.JUSTIFIED, "An errand.", now)
                    await cases.findings().take(record, step)
        before = await held(cases)
        assert (await evaluated(log.reading, cases, 0, now, keep=True))["new"] == 0
        assert await held(cases) == before


async def test_only_what_lies_since_then_is_judged(tmp_path: Path, keys: Keys, clock: Clock, access: Accesses) -> None:
    async with world(tmp_path, keys, clock) as (log, cases):
        await log.append(looks(access, clock()))
        seen = await evaluated(log.reading, cases, 118, clock(), keep=True)
        assert (seen["accesses"], seen["rules"]["NO_OPEN_CASE"]["noticed"]) == (3, 3)
        assert (await evaluated(log.reading, cases, 121, clock(), keep=True))["accesses"] == 0
