"""The monthly review: an organisation's own figures, signed for once, by an officer with nothing to answer for."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import create_async_engine

from audit.entry import Access
from audit.keys import Keys
from audit.searching import Search, Wanted
from audit.writer import AccessLog
from auth.viewer import Viewer
from cases.finding_steps import Actor, Noticed, Verdict, closed
from cases.monthly_reviews import monthly_review
from cases.store import Cases
from schema.identifiers import PersonId
from schema.viewer import Assurance, Role
from serving.monthly import ReviewRefusal, lines, review, sign_off

Accesses = Callable[..., Access]
Clock = Callable[[], datetime]
IN_FEBRUARY = datetime(2026, 2, 10, 3, tzinfo=UTC)
NOW = datetime(2026, 3, 14, tzinfo=UTC)
OFFICER = Viewer(
    PersonId("o" * 26), "desk", frozenset({Role.PRIVACY_OFFICER}), Assurance.HIGH, NOW, "jti", NOW, agency="city-1"
)
COLLEAGUE = replace(OFFICER, person=PersonId("c" * 26))
LOOKED = Noticed("NO_OPEN_CASE", "MEDIUM", IN_FEBRUARY, (1,), "사건이 없습니다.", "No case.")


@asynccontextmanager
async def world(
    folder: Path, keys: Keys, clock: Clock, access: Accesses, cases_url: str = ""
) -> AsyncIterator[tuple[AccessLog, Cases]]:
    """Thirty accesses of February in one organisation, and some of another and of another month."""

    def look(number: int, organisation: str, at: datetime) -> Access:
        return access(
            at=at,
            viewer=PersonId("k" * 26),
            roles=("OFFICIAL",),
            organisation=organisation,
            case_id=None,
            subject=PersonId(f"person-{number}"),
        )

    async with (
        AccessLog.open(f"sqlite+aiosqlite:///{folder}/log.db", keys, clock) as log,
        Cases.opened(cases_url or f"sqlite+aiosqlite:///{folder}/cases.db") as cases,
    ):
        await log.append(
            [
                look(-1, "city-1", datetime(2026, 1, 31, 14, 59, tzinfo=UTC)),
                *(look(number, "city-1", IN_FEBRUARY + timedelta(hours=number)) for number in range(30)),
                look(-2, "city-2", IN_FEBRUARY),
                look(-3, "city-1", datetime(2026, 2, 28, 15, tzinfo=UTC)),
            ]
        )
        await cases.findings().keep("f1", PersonId("k" * 26), "city-1", [LOOKED], NOW)
        await cases.findings().keep("f2", PersonId("l" * 26), "city-2", [LOOKED], NOW)
        yield log, cases


async def test_it_tells_of_the_month_and_the_organisation_and_is_recorded(
    tmp_path: Path, keys: Keys, clock: Clock, access: Accesses
) -> None:
    async with world(tmp_path, keys, clock, access) as (log, cases):
        seen = await review(OFFICER, "2026-02", log, cases, NOW)
        assert (seen["accesses"], seen["explainedShare"], seen["findings"]) == (30, 0.0, 1)
        assert (seen["byState"], seen["byRule"]) == ({"OPEN": 1}, {"NO_OPEN_CASE": 1})
        assert len({each["entry"] for each in seen["sample"]}) == 20
        assert await review(COLLEAGUE, "2026-02", log, cases, NOW) == seen
        assert "Nobody signed for it." in lines(seen)
        looks = await Search(log.reading.engine, log.reading.vault).page(
            Wanted(organisation="city-1", viewer=OFFICER.person)
        )
        (look,) = [each.entry.access for each in looks.entries]
        assert (look.purpose, look.variables) == ("LOG_REVIEW", {"month": "2026-02", "signOff": False})


async def test_it_is_signed_once_for_good_and_later_changes_show(
    tmp_path: Path, postgres_url: str, keys: Keys, clock: Clock, access: Accesses
) -> None:
    for url in ("", postgres_url):
        folder = tmp_path / (url and "second")
        folder.mkdir(exist_ok=True)
        async with world(folder, keys, clock, access, url) as (log, cases):
            signed = await sign_off(OFFICER, "2026-02", log, cases, NOW)
            assert signed["signedOff"] == {
                "officer": OFFICER.person, "at": NOW.isoformat(), "hash": signed["hash"], "asNow": True,
            }  # fmt: skip
            for officer in (OFFICER, COLLEAGUE):
                with pytest.raises(ReviewRefusal, match="signed for already"):
                    await sign_off(officer, "2026-02", log, cases, NOW)
            record = await cases.findings().one("f1")
            assert record
            step = closed(record, Actor(OFFICER.person, judges=True), Verdict.JUSTIFIED, "An errand.", NOW)
            await cases.findings().take(record, step)
            later = await review(OFFICER, "2026-02", log, cases, NOW)
            assert (later["signedOff"]["hash"], later["signedOff"]["asNow"]) == (signed["hash"], False)
            assert "others then" in lines(later)
        engine = create_async_engine(url or f"sqlite+aiosqlite:///{folder}/cases.db")
        for deed in (update(monthly_review).values(figures=""), delete(monthly_review)):
            with pytest.raises(IntegrityError, match="stay as they are"):
                async with engine.begin() as connection:
                    await connection.execute(deed)
        await engine.dispose()


async def test_who_may_not_sign_is_told_why(tmp_path: Path, keys: Keys, clock: Clock, access: Accesses) -> None:
    async with world(tmp_path, keys, clock, access) as (log, cases):
        suspect = replace(OFFICER, person=PersonId("k" * 26))
        auditor = replace(OFFICER, roles=frozenset({Role.AUDITOR}))
        for officer, month, why in (
            (suspect, "2026-02", "finding about you is open"),
            (auditor, "2026-02", "privacy officer signs"),
            (OFFICER, "2026-03", "not over yet"),
        ):
            with pytest.raises(ReviewRefusal, match=why):
                await sign_off(officer, month, log, cases, NOW)
            assert (await review(officer, month, log, cases, NOW))["signedOff"] is None
        for officer, month, why in (
            (replace(OFFICER, roles=frozenset({Role.OFFICIAL})), "2026-02", "Only privacy officers"),
            (replace(OFFICER, agency=None), "2026-02", "Only privacy officers"),
            (replace(OFFICER, assurance=Assurance.LOW), "2026-02", "high assurance"),
            (OFFICER, "2026-13", "YYYY-MM"),
            (OFFICER, "2026-04", "has begun"),
        ):
            with pytest.raises(ReviewRefusal, match=why):
                await review(officer, month, log, cases, NOW)
