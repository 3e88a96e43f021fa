"""Our own records on SQLite and on PostgreSQL: each thing once, whoever asks at the same time."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import aiosqlite
import pytest
from msgspec.structs import replace as changed
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import create_async_engine

from cases import tables
from cases.here import Here
from cases.store import (
    CASE,
    FILE,
    GIVEN_BESIDE,
    CaseRecord,
    Cases,
    Evidence,
    GiverEndedError,
    Grant,
    KeyReusedError,
    MandateRecord,
    Request,
    mandates,
)
from schema.answer import AnswerStatus
from schema.case import CaseKind, MandateRole, Purpose
from schema.disclosure import Agency, Sensitivity
from schema.identifiers import CaseId, PersonId, SectorId

NOW = datetime(2026, 3, 14, 15, 9, 26, 535897, tzinfo=UTC)
HOUR = timedelta(hours=1)
DECEASED, WIFE, SON = (PersonId(letter * 26) for letter in "dws")
PROOF = Evidence("FAMILY_REGISTER", "Family register", NOW, "HIGH", "0f" * 32, "onestop")
GRANT = Grant(MandateRole.HEIR, WIFE, Purpose.ESTATE_DISCOVERY, "Civil Act 1000", "Family register", PROOF)
OF_SON = replace(GRANT, holder=SON)


def request(key: str = "key", viewer: PersonId = WIFE, fingerprint: str = "1" * 64) -> Request:
    return Request(viewer, key, fingerprint)


async def opened(cases: Cases, key: str = "key", grant: Grant = GRANT, now: datetime = NOW) -> CaseRecord:
    return await cases.opened_case(CaseKind.ESTATE, DECEASED, grant, request(key, grant.holder), now)


async def rows(cases: Cases, table: Any) -> Sequence[Any]:
    return await cases._all(select(table))


# ---------------------------------------------------------------- cases and mandates


async def test_a_case_is_what_it_was_opened_as_with_its_mandate_and_its_proof(cases: Cases) -> None:
    case = await opened(cases)
    assert await cases.case(case.id) == case
    assert (case.kind, case.subject, case.purpose, case.opened_by) == (
        CaseKind.ESTATE,
        DECEASED,
        Purpose.ESTATE_DISCOVERY,
        WIFE,
    )
    assert (case.opened_at, case.closed_at, case.version) == (NOW, None, 0)
    (mandate,) = await cases.mandates(case.id)
    assert (mandate.role, mandate.holder, mandate.legal_basis) == (MandateRole.HEIR, WIFE, "Civil Act 1000")
    assert (mandate.valid_from, mandate.valid_until, mandate.revoked_at) == (NOW, None, None)
    (proof,) = await rows(cases, tables.evidence)
    assert (proof.mandate_id, proof.kind, proof.dated, proof.hash) == (mandate.id, PROOF.kind, NOW, PROOF.hash)


async def test_instants_keep_their_moment_whatever_their_offset(cases: Cases) -> None:
    case = await opened(cases, now=NOW.astimezone(ZoneInfo("Asia/Seoul")))
    assert case.opened_at == NOW
    assert case.opened_at.utcoffset() == timedelta(0)


async def test_fifty_openings_with_one_key_at_the_same_time_open_one_case(cases: Cases) -> None:
    made = await asyncio.gather(*(opened(cases) for _ in range(50)))
    assert len({case.id for case in made}) == 1
    counts = [len(await rows(cases, table)) for table in (tables.case, tables.mandate, tables.evidence, tables.request)]
    assert counts == [1, 1, 1, 1]


async def test_fifty_openings_with_as_many_keys_open_one_case_with_one_live_mandate_a_holder(cases: Cases) -> None:
    grants = [GRANT, OF_SON]
    made = await asyncio.gather(*(opened(cases, f"key {number}", grants[number % 2]) for number in range(50)))
    assert len({(case.id, case.number) for case in made}) == 1
    held = Counter(mandate.holder for mandate in await cases.mandates(made[0].id))
    assert held == {WIFE: 1, SON: 1}
    assert len(await rows(cases, tables.evidence)) == 2
    assert len(await rows(cases, tables.request)) == 50


async def test_two_processes_that_open_at_the_same_time_open_one_case(cases: Cases, url: str) -> None:
    async with Cases.opened(url) as other:
        made = await asyncio.gather(*(opened((cases, other)[number % 2], f"key {number % 5}") for number in range(20)))
    assert len({case.id for case in made}) == 1
    assert len(await cases.mandates(made[0].id)) == 1


async def test_two_persons_may_choose_the_same_key(cases: Cases) -> None:
    assert (await opened(cases)).id == (await opened(cases, grant=OF_SON)).id


async def test_a_key_that_stands_for_something_else_is_refused_and_leaves_nothing(cases: Cases) -> None:
    await opened(cases)
    with pytest.raises(KeyReusedError):
        await cases.opened_case(CaseKind.ESTATE, SON, GRANT, request(), NOW)
    with pytest.raises(KeyReusedError):
        await cases.opened_case(CaseKind.ESTATE, DECEASED, GRANT, request(fingerprint="2" * 64), NOW)
    assert [len(await rows(cases, table)) for table in (tables.case, tables.mandate)] == [1, 1]


async def test_an_estate_and_a_birth_of_one_person_are_two_cases(cases: Cases) -> None:
    estate = await opened(cases)
    parent = replace(GRANT, role=MandateRole.PARENT, purpose=Purpose.BIRTH_BENEFITS)
    birth = await cases.opened_case(CaseKind.BIRTH, DECEASED, parent, request("other"), NOW + HOUR)
    assert estate.id != birth.id
    assert (estate.number[0], birth.number[0]) == ("E", "B")
    assert [case.id for case in await cases.cases_of(WIFE)] == [birth.id, estate.id]
    assert await cases.cases_of(SON) == []


async def test_an_unknown_case_is_none(cases: Cases) -> None:
    unknown = CaseId("00000000-0000-4000-8000-000000000000")
    assert await cases.case(unknown) is None
    assert await cases.mandates(unknown) == []


async def test_a_revoked_mandate_ends_at_once_and_may_be_given_anew(cases: Cases) -> None:
    case = await opened(cases)
    (first,) = await cases.mandates(case.id)
    assert await cases.still_active([first.id], NOW)
    await cases.revoke(first.id, WIFE, "Enough.", NOW + HOUR)
    await cases.revoke(first.id, WIFE, "Enough.", NOW + 2 * HOUR)  # the first time counts
    (ended,) = await cases.mandates(case.id)
    assert ended.revoked_at == NOW + HOUR
    assert not ended.active(NOW + HOUR)
    assert not await cases.still_active([first.id], NOW + HOUR)
    assert await cases.cases_of(WIFE) == []
    assert (await opened(cases, "another key", now=NOW + 3 * HOUR)).id == case.id
    _, second = await cases.mandates(case.id)
    assert second.active(NOW + 3 * HOUR)
    assert not await cases.still_active([first.id, second.id], NOW + 3 * HOUR)
    assert await cases.still_active([second.id], NOW + 3 * HOUR)


async def test_a_repeated_request_does_not_bring_a_revoked_mandate_back(cases: Cases) -> None:
    case = await opened(cases)
    (mandate,) = await cases.mandates(case.id)
    await cases.revoke(mandate.id, WIFE, "Enough.", NOW + HOUR)
    assert (await opened(cases, now=NOW + 2 * HOUR)).id == case.id
    assert [each.revoked_at for each in await cases.mandates(case.id)] == [NOW + HOUR]


async def test_a_mandate_is_active_within_its_dates(cases: Cases) -> None:
    case = await opened(cases)
    (mandate,) = await cases.mandates(case.id)
    bounded = changed(mandate, valid_until=NOW + HOUR)
    assert not bounded.active(NOW - GIVEN_BESIDE - timedelta(microseconds=1))
    assert bounded.active(NOW - GIVEN_BESIDE)
    assert bounded.active(NOW)
    assert bounded.active(NOW + HOUR - timedelta(microseconds=1))
    assert not bounded.active(NOW + HOUR)
    assert not await cases.still_active([mandate.id], NOW - HOUR)


# ---------------------------------------------------------------- proxies and the history of mandates

PROXY = PersonId("p" * 26)
ALL_BUT_HEALTH = frozenset(Agency) - {Agency.HEALTH}


async def power(cases: Cases, case: CaseRecord) -> MandateRecord:
    """The wife's own."""
    return next(each for each in await cases.mandates(case.id) if each.holder == WIFE and each.revoked_at is None)


def proxy(giver: MandateRecord, until: datetime = NOW + HOUR, **told: Any) -> Grant:
    given: dict[str, Any] = {
        "role": MandateRole.PROXY,
        "holder": PROXY,
        "legal_basis": "Civil Act 114",
        "issued_by": "The heir",
        "on_behalf_of": giver.holder,
        "giver": giver.id,
        "valid_until": until,
        "agencies": ALL_BUT_HEALTH,
        "sensitivity": Sensitivity.AMOUNT,
    }
    return replace(GRANT, **given | told)


async def test_a_proxy_is_what_it_was_given_as_and_the_same_request_gives_no_second(cases: Cases) -> None:
    case = await opened(cases)
    giver = await power(cases, case)
    made = await asyncio.gather(*(cases.granted(case.id, proxy(giver), request("p"), NOW) for _ in range(10)))
    assert len(set(made)) == 1
    assert (made[0].holder, made[0].on_behalf_of, made[0].giver) == (PROXY, WIFE, giver.id)
    assert (made[0].valid_until, made[0].agencies, made[0].sensitivity) == (
        NOW + HOUR,
        ALL_BUT_HEALTH,
        Sensitivity.AMOUNT,
    )
    assert made[0].rests_on == (made[0].id, giver.id)
    assert await cases.mandate(made[0].id) == made[0]
    assert [each for each in await cases.mandates(case.id) if each.giver] == [made[0]]
    with pytest.raises(KeyReusedError):
        await cases.granted(case.id, proxy(giver), request("p", fingerprint="2" * 64), NOW)


async def test_a_proxy_given_again_ends_the_one_before_and_a_repeated_request_brings_neither_back(cases: Cases) -> None:
    case = await opened(cases)
    giver = await power(cases, case)
    first = await cases.granted(case.id, proxy(giver), request("1"), NOW)
    second = await cases.granted(case.id, proxy(giver, NOW + 2 * HOUR), request("2"), NOW)
    assert (await cases.still_active([first.id], NOW), await cases.still_active([second.id], NOW)) == (False, True)
    await cases.revoke(second.id, PROXY, "Too much work.", NOW)
    for key in "12":
        again = await cases.granted(case.id, proxy(giver), request(key), NOW)
        assert again.revoked_at == NOW


async def test_one_person_may_be_the_proxy_of_two_heirs(cases: Cases) -> None:
    case = await opened(cases)
    await opened(cases, grant=OF_SON)
    givers = await cases.mandates(case.id)
    for giver in givers:
        await cases.granted(case.id, proxy(giver), request("p", giver.holder), NOW)
    assert {each.on_behalf_of for each in await cases.mandates(case.id) if each.giver} == {WIFE, SON}


async def test_the_history_says_who_gave_and_who_ended_what_and_why(cases: Cases) -> None:
    case = await opened(cases)
    giver = await power(cases, case)
    given = await cases.granted(case.id, proxy(giver, justification="I live abroad."), request("p"), NOW + HOUR / 2)
    await cases.revoke(given.id, WIFE, "I am back.", NOW + HOUR)
    await cases.revoke(given.id, SON, "Me too.", NOW + HOUR)
    assert [(e.mandate_id, e.event, e.actor, e.justification) for e in await cases.history(case.id)] == [
        (giver.id, "GRANT", WIFE, None),
        (given.id, "GRANT", WIFE, "I live abroad."),
        (given.id, "REVOKE", WIFE, "I am back."),
    ]


@pytest.mark.parametrize(
    "deed",
    [
        "update mandate_event set actor = 'somebody else'",
        "update mandate_event set justification = 'another'",
        "delete from mandate_event",
        "delete from mandate",
        "update mandate set holder = 'somebody else'",
        "update mandate set valid_until = null where giver is not null",
        "update mandate set sensitivity = 'SPECIAL'",
        "update mandate set revoked_at = null where revoked_at is not null",
    ],
)
async def test_the_database_keeps_mandates_and_their_history_as_they_were(cases: Cases, deed: str) -> None:
    case = await opened(cases)
    giver = await power(cases, case)
    ended = await cases.granted(case.id, proxy(giver), request("p"), NOW)
    await cases.revoke(ended.id, WIFE, "Enough.", NOW)
    before = [await rows(cases, table) for table in (tables.mandate, tables.mandate_event)]
    with pytest.raises(IntegrityError):
        async with cases._engine.begin() as connection:
            await connection.execute(text(deed))
    assert [await rows(cases, table) for table in (tables.mandate, tables.mandate_event)] == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"on_behalf_of": SON},
        {"on_behalf_of": None},
        {"giver": None},
        {"giver": "unknown"},
        {"valid_until": None},
        {"valid_until": NOW - HOUR},
        {"purpose": Purpose.ESTATE_SETTLEMENT},
        {"role": MandateRole.HEIR},
        {"holder": WIFE},
    ],
)
async def test_the_database_takes_no_proxy_that_exceeds_its_giver(cases: Cases, wrong: dict[str, Any]) -> None:
    case = await opened(cases)
    giver = await power(cases, case)
    with pytest.raises(GiverEndedError):
        await cases.granted(case.id, replace(proxy(giver), **wrong), request("p"), NOW)
    assert await cases.mandates(case.id) == [giver]


async def test_no_proxy_is_given_out_of_a_mandate_that_ended_or_out_of_another_proxy(cases: Cases) -> None:
    case = await opened(cases)
    giver = await power(cases, case)
    given = await cases.granted(case.id, proxy(giver, NOW + HOUR), request("p"), NOW)
    second = replace(proxy(giver), giver=given.id, on_behalf_of=PROXY, holder=SON)
    with pytest.raises(GiverEndedError):
        await cases.granted(case.id, second, request("q"), NOW)
    await cases.revoke(giver.id, WIFE, "Enough.", NOW)
    with pytest.raises(GiverEndedError):
        await cases.granted(case.id, replace(proxy(giver), holder=SON), request("r"), NOW)


async def test_an_unknown_mandate_is_not_active_and_none_at_all_is(cases: Cases) -> None:
    case = await opened(cases)
    (mandate,) = await cases.mandates(case.id)
    assert not await cases.still_active([mandate.id, "unknown"], NOW)
    assert await cases.still_active([], NOW)
    assert await cases.still_active([mandate.id, mandate.id], NOW)


async def test_a_request_happens_once(cases: Cases) -> None:
    told = await asyncio.gather(*(cases.once(request(), "result", NOW) for _ in range(20)))
    assert Counter(told) == {True: 1, False: 19}
    for wrong in (request(fingerprint="2" * 64), request()):
        with pytest.raises(KeyReusedError):
            await cases.once(wrong, "another result", NOW)


# ---------------------------------------------------------------- answers that come later

PERSON = SectorId("fin1_" + "a" * 26)
DAY = date(2026, 4, 2)


async def inquire(cases: Cases, case: CaseRecord, ticket: str, generation: int = 1, poll_at: datetime = NOW) -> None:
    await cases.inquire(case.id, Agency.FINANCE, generation, PERSON, ticket, DAY, NOW, poll_at)


@pytest.fixture
async def case(cases: Cases) -> CaseRecord:
    return await opened(cases)


async def test_there_is_one_inquiry_a_generation_and_the_newest_counts(cases: Cases, case: CaseRecord) -> None:
    assert await cases.inquiry(case.id, Agency.FINANCE) is None
    await asyncio.gather(*(inquire(cases, case, f"T-{number}") for number in range(10)))
    (row,) = await rows(cases, tables.inquiry)
    first = await cases.inquiry(case.id, Agency.FINANCE)
    assert first is not None
    assert (first.ticket, first.generation, first.person, first.expected_by) == (row.ticket, 1, PERSON, DAY)
    assert (first.kept, first.retrieved_at, first.visible_until, first.opened_at) == (None, None, None, NOW)
    await inquire(cases, case, "second", generation=2)
    newest = await cases.inquiry(case.id, Agency.FINANCE)
    assert newest is not None
    assert newest.ticket == "second"
    assert await cases.inquiry(case.id, Agency.PENSIONS) is None
    assert await cases.inquiry_of("second") == (newest, True)
    assert await cases.inquiry_of(first.ticket) == (first, False)
    assert await cases.inquiry_of("unknown") is None


async def test_an_answer_is_kept_once(cases: Cases, case: CaseRecord) -> None:
    await inquire(cases, case, "T-1")
    kept = await asyncio.gather(*(cases.keep("T-1", bytes([number]) * 3, NOW, NOW + HOUR) for number in range(10)))
    assert Counter(kept) == {True: 1, False: 9}
    found = await cases.inquiry(case.id, Agency.FINANCE)
    assert found is not None
    assert found.kept == bytes([kept.index(True)]) * 3
    assert (found.retrieved_at, found.visible_until) == (NOW, NOW + HOUR)
    assert "kept" not in repr(found)
    assert not await cases.keep("unknown", b"", NOW, None)
    assert await cases.due(NOW + 100 * HOUR, HOUR) == []


async def test_pollers_at_the_same_time_never_get_the_same_inquiry(cases: Cases, url: str, case: CaseRecord) -> None:
    for number in range(12):
        await inquire(cases, case, f"T-{number}", generation=number + 1)
    async with Cases.opened(url) as other:
        found = await asyncio.gather(*(((cases, other)[number % 2]).due(NOW, HOUR, limit=5) for number in range(8)))
        tickets = [inquiry.ticket for each in found for inquiry in each]
        again = [inquiry.ticket for inquiry in await other.due(NOW, HOUR, limit=50)]
    assert len(tickets) == len(set(tickets))
    assert Counter([*tickets, *again]) == Counter(f"T-{number}" for number in range(12))
    assert max(len(each) for each in found) <= 5


async def test_a_lease_that_ran_out_is_given_again(cases: Cases, case: CaseRecord) -> None:
    await inquire(cases, case, "T-1")
    assert await cases.due(NOW - timedelta(seconds=1), HOUR) == []
    assert [each.ticket for each in await cases.due(NOW, HOUR)] == ["T-1"]
    assert await cases.due(NOW + HOUR - timedelta(seconds=1), HOUR) == []
    assert [each.ticket for each in await cases.due(NOW + HOUR, HOUR)] == ["T-1"]


async def test_what_is_due_longest_comes_first(cases: Cases, case: CaseRecord) -> None:
    for number, hours in enumerate((3, 1, 2)):
        await inquire(cases, case, f"{hours} hours ago", generation=number + 1, poll_at=NOW - hours * HOUR)
    assert [each.ticket for each in await cases.due(NOW, HOUR, limit=2)] == ["3 hours ago", "2 hours ago"]


async def test_the_next_poll_is_set_with_the_day_expected_or_never(cases: Cases, case: CaseRecord) -> None:
    await inquire(cases, case, "T-1")
    await cases.poll_again("T-1", NOW + HOUR, date(2026, 5, 1))
    assert await cases.due(NOW, HOUR) == []
    (due,) = await cases.due(NOW + HOUR, HOUR)
    assert due.expected_by == date(2026, 5, 1)
    await cases.poll_again("T-1", None)
    assert await cases.due(NOW + 1000 * HOUR, HOUR) == []
    found = await cases.inquiry(case.id, Agency.FINANCE)
    assert found is not None
    assert found.expected_by == date(2026, 5, 1)


# ---------------------------------------------------------------- how agencies stand


async def version(cases: Cases, case: CaseRecord) -> int:
    found = await cases.case(case.id)
    assert found is not None
    return found.version


async def test_a_change_gives_the_case_a_new_version_and_the_same_again_does_not(
    cases: Cases, case: CaseRecord
) -> None:
    complete, pending = AnswerStatus.COMPLETE, AnswerStatus.PENDING
    assert await cases.standings(case.id) == {}
    assert await cases.note(case.id, {Agency.LAND: complete, Agency.FINANCE: pending}, NOW)
    assert not await cases.note(case.id, {Agency.LAND: complete}, NOW)
    assert await version(cases, case) == 1
    assert await cases.note(case.id, {Agency.FINANCE: complete}, NOW)
    assert await cases.standings(case.id) == {Agency.LAND: complete, Agency.FINANCE: complete}
    assert await version(cases, case) == 2
    assert not await cases.note(case.id, {}, NOW)
    await cases.touched(case.id)
    assert await version(cases, case) == 3


async def test_notes_at_the_same_time_lose_none(cases: Cases, case: CaseRecord) -> None:
    await asyncio.gather(
        *(cases.note(case.id, {agency: AnswerStatus.COMPLETE}, NOW) for agency in Agency for _ in range(3))
    )
    assert await cases.standings(case.id) == dict.fromkeys(Agency, AnswerStatus.COMPLETE)
    assert await version(cases, case) >= len(Agency)


async def test_the_store_says_whether_it_answers(cases: Cases) -> None:
    assert await cases.healthy()


async def test_on_sqlite_a_commit_is_synced_and_references_are_checked(cases: Cases, url: str) -> None:
    if url.startswith("sqlite"):
        async with cases._engine.connect() as connection:
            told = [
                (await connection.execute(text(f"PRAGMA {name}"))).scalar_one()
                for name in ("journal_mode", "synchronous", "foreign_keys")
            ]
        assert told == ["wal", 2, 1]
    else:
        async with cases._engine.connect() as connection:
            assert (await connection.execute(text("show synchronous_commit"))).scalar_one() == "on"


# ---------------------------------------------------------------- reading where it is asked


async def test_what_reads_here_reads_on_after_an_error_and_sees_what_others_wrote(tmp_path: Path) -> None:
    async with Cases.opened(f"sqlite+aiosqlite:///{tmp_path}/cases.db") as cases:
        here = cases._here
        assert here is not None
        assert here.rows(select(tables.case), {}) == []
        with pytest.raises(OperationalError):
            here.rows(text("select * from nothing"), {})

        case = await opened(cases)

        assert [row[0] for row in here.rows(CASE, {"id": case.id})] == [case.id]


async def test_what_reads_here_reads_what_its_thread_would_read(tmp_path: Path) -> None:
    async with Cases.opened(f"sqlite+aiosqlite:///{tmp_path}/cases.db") as cases:
        case = await opened(cases)
        (given,) = await cases.mandates(case.id)
        here, cases._here = cases._here, None
        assert here is not None

        for statement, values in ((CASE, {"id": case.id}), (FILE, {"id": case.id}), (mandates(1), {"id0": given.id})):
            assert here.rows(statement, values) == [list(row) for row in await cases._all(statement, **values)]


async def test_a_store_that_cannot_be_opened_starts_no_thread_that_would_outlive_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[object] = []
    straight = aiosqlite.connect
    monkeypatch.setattr(aiosqlite, "connect", lambda *a, **k: (started.append(a), straight(*a, **k))[1])
    with pytest.raises(OperationalError):
        async with Cases.opened(f"sqlite+aiosqlite:///{tmp_path / 'none' / 'cases.db'}"):
            pass
    assert started == []
    async with Cases.opened(f"sqlite+aiosqlite:///{tmp_path / 'cases.db'}"):
        assert started != []


async def test_a_read_that_fails_halfway_keeps_no_old_state_of_a_mandate(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/cases.db"
    async with Cases.opened(url) as cases, Cases.opened(url, migrate=False) as elsewhere:
        here = cases._here
        assert here is not None
        case = await opened(cases)
        (mandate,) = await cases.mandates(case.id)
        fails = "select id from case_record union all select abs(-9223372036854775807 - 1)"
        with pytest.raises(OperationalError, match="integer overflow"):
            here.rows(text(fails), {})
        await elsewhere.revoke(mandate.id, WIFE, "Enough.", NOW)
        assert not await cases.still_active([mandate.id], NOW)


async def test_a_database_in_memory_and_one_that_is_served_are_not_read_here(postgres_url: str) -> None:
    assert Here.of(create_async_engine("sqlite+aiosqlite:///:memory:")) is None
    assert Here.of(create_async_engine(postgres_url)) is None
