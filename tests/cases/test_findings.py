"""The store of findings: nothing is noticed twice, nothing is lost, no two officers take the same step."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from cases.finding_steps import Actor, FindingRecord, Noticed, State, Verdict, closed, escalated, explained, requested
from cases.findings import ChangedMeanwhileError, FindingStore
from cases.store import Cases
from schema.identifiers import PersonId

NOW = datetime(2026, 3, 14, tzinfo=UTC)
DAY = timedelta(days=1)
KIM, OFFICER, CHIEF = PersonId("kim"), PersonId("officer"), PersonId("chief")
JUDGE = Actor(OFFICER, judges=True)
ID = "6a0a3d39-5a5f-5b07-a8a3-8a0f8f3f0001"
LOOKED = Noticed("NO_OPEN_CASE", "MEDIUM", NOW - DAY, (7,), "사건이 없습니다.", "No case.")
AGAIN = Noticed("OWN_RECORD", "HIGH", NOW, (8, 9), "자신의 기록.", "Own record.")


@pytest.fixture
def store(cases: Cases) -> FindingStore:
    return cases.findings()


async def kept(store: FindingStore, *things: Noticed, finding_id: str = ID) -> FindingRecord:
    return await store.keep(finding_id, KIM, "city-1", things or (LOOKED,), NOW)


async def test_a_finding_comes_out_as_it_went_in(store: FindingStore) -> None:
    record = await kept(store)
    assert record == await store.one(ID)
    assert (record.official, record.organisation, record.raised_at) == (KIM, "city-1", NOW - DAY)
    assert record.noticed == (LOOKED,)
    assert [step.state for step in record.steps] == [State.OPEN]


async def test_the_same_again_changes_nothing_and_more_is_added(store: FindingStore) -> None:
    first = await kept(store)
    assert await kept(store) == first
    assert (await kept(store, LOOKED, AGAIN)).noticed == (LOOKED, AGAIN)


async def test_what_is_noticed_after_closing_is_another_finding(store: FindingStore) -> None:
    record = await kept(store)
    await store.take(record, closed(record, JUDGE, Verdict.JUSTIFIED, "An errand of the office.", NOW))
    assert (await kept(store)).state is State.JUSTIFIED
    other = await kept(store, LOOKED, AGAIN)
    assert (other.id == ID, other.state, other.noticed) == (False, State.OPEN, (AGAIN,))
    assert await kept(store, LOOKED, AGAIN) == other


async def test_the_whole_way_with_its_history(store: FindingStore) -> None:
    record = await kept(store)
    record = await store.take(record, requested(record, JUDGE, NOW + DAY, "Why?", NOW))
    assert await store.overdue(NOW) == []
    (overdue,) = await store.overdue(NOW + DAY)
    up = escalated(overdue, CHIEF, NOW + DAY)
    assert up is not None
    record = await store.take(overdue, up)
    assert await store.overdue(NOW + DAY) == []
    record = await store.take(record, explained(record, Actor(KIM), "I was asked to.", NOW + DAY))
    record = await store.take(record, closed(record, JUDGE, Verdict.VIOLATION, "Nobody had asked.", NOW + DAY))
    assert [(step.state, step.by) for step in (await store.about(KIM))[0].steps] == [
        (State.OPEN, None),
        (State.EXPLANATION_REQUESTED, OFFICER),
        (State.EXPLANATION_REQUESTED, None),
        (State.EXPLAINED, KIM),
        (State.VIOLATION, OFFICER),
    ]


async def test_of_two_officers_at_once_one_has_to_look_again(store: FindingStore) -> None:
    record = await kept(store)
    step = requested(record, JUDGE, NOW + DAY, None, NOW)
    outcomes = await asyncio.gather(*(store.take(record, step) for _ in range(2)), return_exceptions=True)
    assert sorted(type(each).__name__ for each in outcomes) == ["ChangedMeanwhileError", "FindingRecord"]
    with pytest.raises(ChangedMeanwhileError):
        await store.take(record, step)


async def test_two_evaluations_at_once_open_one_finding(store: FindingStore) -> None:
    await asyncio.gather(*(kept(store, LOOKED, AGAIN) for _ in range(4)))
    record = await kept(store)
    assert (len(record.steps), record.noticed) == (1, (LOOKED, AGAIN))


async def test_an_organisation_sees_its_own_and_those_about_the_log_newest_first_page_by_page(
    store: FindingStore,
) -> None:
    for number in range(4):
        thing = Noticed("OFF_HOURS", "LOW", NOW + number // 2 * DAY, (number,), "가", "a")
        await kept(store, thing, finding_id=ID[:-1] + str(number))
    await store.keep(ID[:-1] + "9", None, None, [LOOKED], NOW)
    seen = [record.id[-1] for record in await store.of_organisation("city-1")]
    assert seen == ["3", "2", "1", "0", "9"]
    two = await store.of_organisation("city-1", first=2)
    rest = await store.of_organisation("city-1", before=(two[-1].raised_at, two[-1].id))
    assert [record.id[-1] for record in [*two, *rest]] == seen
    assert [record.id[-1] for record in await store.of_organisation("city-2")] == ["9"]
    await store.take(two[0], requested(two[0], JUDGE, NOW + DAY, None, NOW))
    (waiting,) = await store.of_organisation("city-1", state=State.EXPLANATION_REQUESTED)
    assert waiting.id == two[0].id
    assert len(await store.of_organisation("city-1", official=KIM, state=State.OPEN)) == 3


@pytest.mark.parametrize("table", ["finding", "finding_noticed", "finding_step"])
@pytest.mark.parametrize("deed", ["delete from {}", "update {} set finding_id = 'x'"])
async def test_rows_stay_as_they_are(cases: Cases, store: FindingStore, table: str, deed: str) -> None:
    await kept(store)
    deed = deed.replace("finding_id", "id") if table == "finding" else deed
    with pytest.raises(IntegrityError, match="stay as they are"):
        async with cases._engine.begin() as connection:
            await connection.execute(text(deed.format(table)))
