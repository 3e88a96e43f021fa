"""Who handles a case: given, taken back, closed, opened again; its history; emergencies; what the database bars."""

import asyncio
import itertools
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, insert, update
from sqlalchemy.exc import IntegrityError

from cases import tables
from cases.store import (
    LATE,
    Assignment,
    CaseClosedError,
    CaseFile,
    CaseRecord,
    Cases,
    Consent,
    Evidence,
    Grant,
    MandateRecord,
    Request,
)
from schema.answer import AnswerStatus
from schema.case import CaseKind, MandateRole, Purpose
from schema.disclosure import Agency, Sensitivity
from schema.identifiers import CaseId, PersonId, SectorId

NOW = datetime(2026, 3, 14, 6, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
DECEASED, WIFE, SON, OFFICER, COLLEAGUE = (PersonId(letter * 26) for letter in "dwsoc")
PROOF = Evidence("FAMILY_REGISTER", "Family register", NOW, "HIGH", "0f" * 32, "onestop")
HEIR = Grant(MandateRole.HEIR, WIFE, Purpose.ESTATE_DISCOVERY, "Civil Act 1000", "Family register", PROOF)
OFFICERS = replace(HEIR, role=MandateRole.CASE_OFFICER, holder=OFFICER, on_behalf_of=WIFE)
TAKEN = Assignment(OFFICERS, "민원여권과", "노원구", "Taken at the counter.", frozenset({Consent.AMOUNT}), "ab" * 32)
EMERGENCY = replace(
    HEIR,
    role=MandateRole.BREAK_GLASS,
    holder=OFFICER,
    valid_until=NOW + timedelta(minutes=30),
    agencies=frozenset(Agency),
    sensitivity=Sensitivity.AMOUNT,
    justification="Somebody is in danger.",
)


async def taken(
    cases: Cases, assignment: Assignment = TAKEN, grant: Grant = HEIR, now: datetime = NOW, key: str = "key"
) -> CaseRecord:
    """The case as it is after an application at the counter."""
    request = Request(assignment.grant.holder, key, "1" * 64)
    record = await cases.opened_case(CaseKind.ESTATE, DECEASED, grant, request, now, assignment)
    return await again(cases, record)


async def again(cases: Cases, record: CaseRecord) -> CaseRecord:
    found = await cases.case(record.id)
    assert found is not None
    return found


async def live(cases: Cases, record: CaseRecord) -> list[MandateRecord]:
    return [each for each in await cases.mandates(record.id) if each.revoked_at is None]


async def events(cases: Cases, record: CaseRecord) -> list[tuple[str, PersonId, PersonId | None]]:
    return [(each.event, each.actor, each.officer) for each in await cases.case_events(record.id)]


async def test_a_case_taken_at_the_counter_is_the_officers_and_the_applicants(cases: Cases) -> None:
    case = await taken(cases)
    assert (case.office, case.agency, case.officer, case.applicant) == ("민원여권과", "노원구", OFFICER, WIFE)
    assert {(each.role, each.holder, each.on_behalf_of) for each in await live(cases, case)} == {
        (MandateRole.HEIR, WIFE, None),
        (MandateRole.CASE_OFFICER, OFFICER, WIFE),
    }
    assert await cases.consents(case) == {Consent.AMOUNT}
    assert await events(cases, case) == [("ASSIGN", OFFICER, OFFICER)]
    assert await cases.case_numbered(case.number) == case
    assert [each.id for each in await cases.cases_of(OFFICER)] == [case.id]


async def test_the_same_application_again_changes_nothing(cases: Cases) -> None:
    case = await taken(cases)
    made = await asyncio.gather(*(taken(cases) for _ in range(10)))
    assert {each.version for each in made} == {case.version}
    assert await events(cases, case) == [("ASSIGN", OFFICER, OFFICER)]


async def test_two_officers_who_take_applications_at_once_leave_one_with_the_case(cases: Cases) -> None:
    others = replace(TAKEN, grant=replace(OFFICERS, holder=COLLEAGUE, on_behalf_of=SON))
    sons = replace(HEIR, holder=SON)
    await asyncio.gather(
        *(taken(cases, key=f"{number}") for number in range(5)),
        *(taken(cases, others, sons, key=f"{number}") for number in range(5)),
    )
    case = await taken(cases, key="last")
    held = [each for each in await live(cases, case) if each.role is MandateRole.CASE_OFFICER]
    assert [(each.holder, each.on_behalf_of) for each in held] == [(case.officer, case.applicant)] == [(OFFICER, WIFE)]
    assert [each.number for each in await numbers(cases)] == list(range(1, len(await numbers(cases)) + 1))


async def numbers(cases: Cases) -> Any:
    return await cases._all(tables.case_event.select().order_by(tables.case_event.c.number))


async def test_consent_is_the_applicants_own(cases: Cases) -> None:
    await taken(cases)
    others = replace(TAKEN, grant=replace(OFFICERS, on_behalf_of=SON), consents=frozenset())
    case = await taken(cases, others, replace(HEIR, holder=SON), key="other")
    assert (case.applicant, await cases.consents(case)) == (SON, frozenset())


async def test_a_case_given_to_somebody_else_is_no_longer_the_first_officers(cases: Cases) -> None:
    case = await taken(cases)
    given = replace(TAKEN, grant=replace(OFFICERS, holder=COLLEAGUE), reason="He is on leave.", consents=frozenset())
    await cases.assign(case.id, given, OFFICER, LATER)
    case = await again(cases, case)
    assert (case.officer, case.applicant, await cases.consents(case)) == (COLLEAGUE, WIFE, {Consent.AMOUNT})
    held = [each for each in await live(cases, case) if each.role is MandateRole.CASE_OFFICER]
    assert [(each.holder, each.on_behalf_of) for each in held] == [(COLLEAGUE, WIFE)]
    assert await events(cases, case) == [("ASSIGN", OFFICER, OFFICER), ("ASSIGN", OFFICER, COLLEAGUE)]
    assert (await cases.case_events(case.id))[-1].reason == "He is on leave."


async def test_closing_ends_the_officers_mandate_and_not_the_heirs(cases: Cases) -> None:
    case = await taken(cases)
    await cases.close(case.id, OFFICER, "All agencies have answered.", LATER)
    case = await again(cases, case)
    assert (case.closed_at, case.officer) == (LATER, OFFICER)
    assert [each.role for each in await live(cases, case)] == [MandateRole.HEIR]
    with pytest.raises(CaseClosedError):
        await cases.close(case.id, OFFICER, "Again.", LATER)
    with pytest.raises(CaseClosedError):
        await cases.assign(case.id, TAKEN, OFFICER, LATER)
    case = await taken(cases, key="a new application")
    assert case.closed_at is None
    assert await events(cases, case) == [
        ("ASSIGN", OFFICER, OFFICER),
        ("CLOSE", OFFICER, None),
        ("REOPEN", OFFICER, None),
    ]
    assert {each.role for each in await live(cases, case)} == {MandateRole.HEIR, MandateRole.CASE_OFFICER}


async def words(cases: Cases, case: CaseRecord) -> Mapping[str, str]:
    file = await cases.file(case.id)
    assert file is not None
    return file.justifications


async def test_one_reading_brings_everything_of_a_case_and_nothing_of_another(cases: Cases) -> None:
    case = await taken(cases)
    other = await cases.emergency(CaseKind.ESTATE, PersonId("x" * 26), EMERGENCY, NOW)
    for each, hours in itertools.product((case, other), (1, 2)):
        at = NOW + timedelta(hours=hours)
        ticket = f"{each.number} {hours}"
        await cases.inquire(each.id, LATE, hours, SectorId("fin1_x"), ticket, NOW.date(), at, at)
    await cases.keep(f"{case.number} 2", b"sealed", LATER, LATER)
    await cases.note(case.id, {LATE: AnswerStatus.PENDING, Agency.TAX: AnswerStatus.COMPLETE}, NOW)
    await cases.note(other.id, {Agency.TAX: AnswerStatus.UNAVAILABLE}, NOW)
    for each in (await again(cases, case), await again(cases, other)):
        file = await cases.file(each.id)
        assert file is not None
        assert (file.record, list(file.mandates)) == (each, list(await cases.mandates(each.id)))
        assert (file.standings, file.consents) == (await cases.standings(each.id), await cases.consents(each))
        assert file.inquiry == await cases.inquiry(each.id, LATE)
        assert file.inquiry is not None
        assert file.inquiry.generation == 2
    assert await cases.file(CaseId("none")) is None


async def test_a_new_case_has_a_file_with_nothing_in_it_but_its_mandate(cases: Cases) -> None:
    case = await cases.opened_case(CaseKind.ESTATE, DECEASED, HEIR, Request(WIFE, "key", "f" * 64), NOW)
    file = await cases.file(case.id)
    assert file is not None
    assert [mandate.holder for mandate in file.mandates] == [WIFE]
    assert file == CaseFile(case, file.mandates, {}, {}, frozenset(), None)


async def test_an_emergency_has_a_mandate_with_its_words_and_a_second_one_replaces_it(cases: Cases) -> None:
    case = await cases.emergency(CaseKind.ESTATE, DECEASED, EMERGENCY, NOW)
    (first,) = await live(cases, case)
    assert (first.role, first.valid_until, first.sensitivity) == (
        MandateRole.BREAK_GLASS,
        NOW + timedelta(minutes=30),
        Sensitivity.AMOUNT,
    )
    assert await words(cases, case) == {first.id: "Somebody is in danger."}
    later = replace(EMERGENCY, valid_until=LATER + timedelta(minutes=30), justification="Still.")
    assert (await cases.emergency(CaseKind.ESTATE, DECEASED, later, LATER)).id == case.id
    (second,) = await live(cases, case)
    assert await words(cases, case) == {first.id: "Somebody is in danger.", second.id: "Still."}
    assert second.id != first.id
    assert (case.officer, case.applicant) == (None, None)


CASE = {"id": "1", "kind": "ESTATE", "subject": "s", "number": "N", "purpose": "P", "opened_at": NOW, "opened_by": "h"}
MANDATE = {
    "id": "m",
    "case_id": "1",
    "holder": OFFICER,
    "purpose": "P",
    "legal_basis": "L",
    "issued_by": "I",
    "valid_from": NOW,
}
EVENT = {"case_id": "1", "number": 1, "event": "ASSIGN", "at": NOW, "actor": OFFICER, "reason": "Because."}
OFFICE = {"officer": OFFICER, "office": "O", "agency": "A"}
GLASS = MANDATE | {"role": "BREAK_GLASS", "sensitivity": "AMOUNT", "valid_until": NOW + timedelta(minutes=30)}
YES = {"case_id": "1", "applicant": WIFE, "scope": "AMOUNT", "recorded_by": OFFICER, "at": NOW, "proof": "p"}
BROKEN: dict[str, Any] = {
    "an officer without an office": insert(tables.case).values(CASE | {"id": "2", "subject": "t", "officer": OFFICER}),
    "an officer as applicant": insert(tables.case).values(
        CASE | OFFICE | {"id": "2", "subject": "t", "applicant": OFFICER}
    ),
    "an officer without history": update(tables.case).values(OFFICE),
    "an officer's mandate on a case that is not theirs": insert(tables.mandate).values(
        MANDATE | {"role": "CASE_OFFICER"}
    ),
    "an assignment to nobody": insert(tables.case_event).values(EVENT | {"number": 2}),
    "an unknown event": insert(tables.case_event).values(EVENT | {"number": 2, "event": "OTHER"}),
    "a closing that names an officer": insert(tables.case_event).values(
        EVENT | OFFICE | {"number": 2, "event": "CLOSE"}
    ),
    "another history": update(tables.case_event).values(reason="Other."),
    "no history": delete(tables.case_event),
    "consent to something else": insert(tables.consent).values(YES | {"scope": "SPECIAL"}),
    "consent that one gives oneself": insert(tables.consent).values(YES | {"scope": "FINANCIAL", "recorded_by": WIFE}),
    "another consent": update(tables.consent).values(proof="q"),
    "no consent": delete(tables.consent),
    "an emergency without end": insert(tables.mandate).values(GLASS | {"valid_until": None}),
    "an emergency of more than half an hour": insert(tables.mandate).values(
        GLASS | {"valid_until": NOW + timedelta(minutes=30, seconds=1)}
    ),
    "an emergency without bounds": insert(tables.mandate).values(GLASS | {"sensitivity": None}),
    "an emergency that reaches health findings": insert(tables.mandate).values(GLASS | {"sensitivity": "SPECIAL"}),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
async def test_the_database_itself_refuses(cases: Cases, broken: Any) -> None:
    async with cases._engine.begin() as connection:
        await connection.execute(insert(tables.case).values(CASE))
        await connection.execute(insert(tables.case_event).values(EVENT | OFFICE | {"officer": COLLEAGUE}))
        await connection.execute(insert(tables.consent).values(YES))
        await connection.execute(insert(tables.mandate).values(GLASS | {"id": "good"}))
        await connection.execute(update(tables.mandate).values(revoked_at=NOW))
    with pytest.raises(IntegrityError):
        async with cases._engine.begin() as connection:
            await connection.execute(broken)
