"""PUBLIC_FIGURE over the log, with the lists as organisations keep them: at the minute and over history."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from audit.entry import Access
from audit.keys import Keys
from audit.searching import Search
from audit.writer import AccessLog
from cases.protected import Change, Deed
from cases.store import Cases
from schema.identifiers import PersonId
from serving.evaluation import Judging
from serving.history import evaluated

KIM, LEE, ACTOR, OFFICER = (PersonId(letter * 26) for letter in "klao")
CITY = "city-1"
MINUTE = timedelta(minutes=1)


BY_OFFICE = {"roles": ("OFFICIAL",), "organisation": CITY, "agency": CITY, "office": "1", "case_id": None}


@pytest.fixture
async def log(tmp_path: Path, keys: Keys, clock: Callable[[], datetime]) -> AsyncIterator[AccessLog]:
    async with AccessLog.open(f"sqlite+aiosqlite:///{tmp_path}/log.db", keys, clock) as opened:
        yield opened


@pytest.fixture
async def cases(tmp_path: Path) -> AsyncIterator[Cases]:
    async with Cases.opened(f"sqlite+aiosqlite:///{tmp_path}/cases.db") as opened:
        yield opened


async def test_who_looks_at_somebody_on_a_list_is_asked_unless_let_in(
    log: AccessLog, cases: Cases, clock: Callable[[], datetime], access: Callable[..., Access]
) -> None:
    kept, now = cases.protected(AESGCM(bytes(32))), clock()
    looks = [
        access(at=now + minute * MINUTE, viewer=viewer, subject=ACTOR, **BY_OFFICE)
        for viewer, minute in ((KIM, 0), (KIM, 2), (LEE, 2), (KIM, 4))
    ]
    await log.append(looks)
    add = Change(
        at=now + MINUTE,
        deed=Deed.ADD,
        organisation="elsewhere",
        person=ACTOR,
        official=None,
        actor=OFFICER,
        reason="Every evening on television.",
    )
    allow = replace(add, deed=Deed.ALLOW, official=LEE, organisation=CITY)
    for each in (add, replace(add, organisation=CITY), allow, replace(add, at=now + 3 * MINUTE, deed=Deed.REMOVE)):
        await kept.change(each)
    await kept.change(replace(add, at=now + 3 * MINUTE, deed=Deed.REMOVE, organisation=CITY))

    judging = Judging(Search(log.reading.engine, log.reading.vault), cases, protected=kept)
    hits, _ = await judging.went_through(-1)
    assert [(hit.official, hit.at) for hit in hits if hit.rule == "PUBLIC_FIGURE"] == [(KIM, now + 2 * MINUTE)]
    await judging.kept(hits, now)
    about = await cases.findings().about(KIM)
    noticed = [each for record in about for each in record.noticed if each.rule == "PUBLIC_FIGURE"]
    assert [(each.severity, each.text_ko, each.text_en) for each in noticed] == [
        (
            "HIGH",
            "보호 명단에 있는 사람이며, 이 공무원은 그 열람 명단에 없습니다.",
            "The person is on the protected list, and the official is not on its access list.",
        )
    ]
    history = await evaluated(log.reading, cases, 0, now, keep=True, protected=kept)
    assert (history["rules"]["PUBLIC_FIGURE"]["noticed"], history["new"]) == (1, 0)


async def test_a_list_that_does_not_open_silences_no_other_rule(
    log: AccessLog, cases: Cases, clock: Callable[[], datetime], access: Callable[..., Access]
) -> None:
    add = Change(
        at=clock(), deed=Deed.ADD, organisation=CITY, person=ACTOR, official=None, actor=OFFICER, reason="Famous."
    )
    await cases.protected(AESGCM(bytes(32))).change(add)
    await log.append([access(at=clock(), viewer=KIM, subject=ACTOR, **BY_OFFICE)])
    other = cases.protected(AESGCM(bytes(range(32))))
    judging = Judging(Search(log.reading.engine, log.reading.vault), cases, protected=other)
    hits, _ = await judging.went_through(-1)
    assert {hit.rule.value for hit in hits} == {"NO_OPEN_CASE"}
