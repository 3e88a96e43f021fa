"""Officials: a case taken at the counter is its officer's, as long as it is open, theirs and they are on duty."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from cases.store import Assignment
from resolvers import officials
from resolvers.operation_types import Reply
from schema.case import CaseKind, MandateRole
from schema.disclosure import Agency
from schema.identifiers import CaseId, PersonId
from tests.resolvers.world import (
    BABY,
    CLIENT,
    COLLEAGUE,
    FAMILY,
    FATHER,
    HUSBAND,
    MUNICIPALITY,
    NOW,
    OFFICE,
    OFFICER,
    PERSONS,
    SON,
    STRANGER,
    UNCLE,
    WIFE,
    World,
)

OPEN_ESTATE = """mutation ($input: OpenEstateCaseInput!) { openEstateCase(input: $input) {
  case { id mandate { role onBehalfOf { name } } } refusal { code } } }"""
OPEN_BIRTH = """mutation ($input: OpenBirthCaseInput!) { openBirthCase(input: $input) {
  case { id mandate { role } } refusal { code } } }"""
BREAK = """mutation ($input: BreakGlassInput!) { breakGlass(input: $input) {
  case { id mandate { role validUntil legalBasis } ... on EstateCase {
    deceased { name } finance { deposits { balance } } health { refunds { amount } } heirs { person { name } } } }
  refusal { code } } }"""
ESTATE = """query ($id: ID!) { estateCase(id: $id) { id mandate { role } deceased { name maskedRegistrationNumber }
  withheld { coordinate refusal { code } } heirs { person { name } }
  land { parcels { pnu assessedValue } } finance { deposits { product balance } }
  health { answer { status } refunds { amount } } } }"""
BIRTH = """query ($id: ID!) { birthCase(id: $id) { id child { name } parents { person { name } }
  withheld { coordinate refusal { code } } tax { birthTaxCredit } health { screenings { test result } } } }"""
CASES = "{ viewer { cases { id number } candidates { kind } } }"
WATCH = "subscription ($id: ID!) { caseUpdated(id: $id) { answer { status } } }"
REASON = "The house of the deceased is on fire and children may be inside."


def code(reply: Reply) -> str:
    (error,) = reply.errors
    return str(error["extensions"]["code"])


def payload(reply: Reply) -> Mapping[str, Any]:
    assert reply.data is not None, reply.errors
    (found,) = reply.data.values()
    assert isinstance(found, Mapping)
    return found


def named(person: PersonId) -> dict[str, Any]:
    return {"name": PERSONS[person].name, "birthDate": PERSONS[person].birth_date.isoformat()}


def office(world: World, officer: PersonId = OFFICER, **claims: Any) -> str:
    """The official's own token."""
    said = {"roles": ["OFFICIAL"], "office": OFFICE, "agency": MUNICIPALITY}
    return world.token(officer, **said | claims)


def counter(world: World, applicant: PersonId = WIFE, officer: PersonId = OFFICER, **claims: Any) -> str:
    """The token that names the applicant beside the official."""
    return office(world, applicant, act={"sub": officer}, **claims)


async def apply(
    world: World, applicant: PersonId = WIFE, subject: PersonId = HUSBAND, *, key: str = "k", **told: Any
) -> Reply:
    estate = PERSONS[subject].death_date is not None
    whom = "deceased" if estate else "child"
    token = told.pop("token", None) or counter(world, applicant, **told)
    return await world.ask(
        OPEN_ESTATE if estate else OPEN_BIRTH, {"input": {whom: named(subject), "idempotencyKey": key}}, token=token
    )


async def taken(world: World, *given: Any, **told: Any) -> str:
    case = payload(await apply(world, *given, **told))["case"]
    assert case is not None
    return str(case["id"])


async def see(world: World, case: str, officer: PersonId = OFFICER, document: str = ESTATE, **claims: Any) -> Reply:
    return await world.ask(document, {"id": case}, token=office(world, officer, **claims))


async def hand_over(world: World, case: str, to: PersonId, place: tuple[str, str] = (OFFICE, MUNICIPALITY)) -> None:
    case_id = world.case_of(case)
    (mandate,) = [
        each
        for each in await world.house.cases.mandates(case_id)
        if each.role is MandateRole.CASE_OFFICER and each.revoked_at is None
    ]
    record = await world.house.cases.case(case_id)
    assert record is not None
    await world.house.cases.assign(
        case_id, Assignment(officials.handed_over(record, to, mandate.holder, NOW), *place, "On leave."), OFFICER, NOW
    )


def withheld(case: Mapping[str, Any]) -> dict[str, str]:
    return {each["coordinate"]: each["refusal"]["code"] for each in case["withheld"]}


# ---------------------------------------------------------------- taking


async def test_what_is_taken_at_the_counter_is_the_applicants_case_and_the_officers_to_handle(world: World) -> None:
    reply = await apply(world)
    case = payload(reply)["case"]
    assert case["mandate"]["role"] == "CASE_OFFICER"
    record = await world.house.cases.case(world.case_of(case["id"]))
    assert record is not None
    assert (record.officer, record.office, record.agency) == (OFFICER, OFFICE, MUNICIPALITY)
    assert (record.applicant, record.opened_by) == (WIFE, WIFE)
    mandates = await world.house.cases.mandates(record.id)
    assert {(each.role.name, each.holder, each.on_behalf_of) for each in mandates} == {
        ("HEIR", WIFE, None),
        ("CASE_OFFICER", OFFICER, WIFE),
    }
    (entry,) = [each for each in await world.entries(reply) if each["staff"]["subject"] == HUSBAND]
    assert (entry["task"], entry["staff"]["viewer"], entry["staff"]["on_behalf_of"]) == ("CREATE", OFFICER, WIFE)
    assert (entry["staff"]["office"], "officer-estate" in entry["policy_ids"]) == (OFFICE, True)
    assert payload(await world.ask(ESTATE, {"id": case["id"]}))["mandate"]["role"] == "HEIR"  # the wife, at home


async def test_the_same_application_again_is_the_same_case_and_its_key_is_for_this_applicant(world: World) -> None:
    replies = await asyncio.gather(*(apply(world) for _ in range(5)))
    assert len({payload(reply)["case"]["id"] for reply in replies}) == 1
    assert code(await apply(world, SON)) == "BAD_INPUT"


async def test_the_officer_sees_the_case_with_the_applicants_consent_to_amounts(world: World) -> None:
    case_id = await taken(world)
    world.forget()
    reply = await see(world, case_id)
    case = payload(reply)
    assert case["deceased"]["name"] == PERSONS[HUSBAND].name
    assert {"LandParcel.assessedValue", "Deposit.balance"}.isdisjoint(withheld(case))
    assert (case["health"]["answer"]["status"], case["health"]["refunds"], case["heirs"]) == ("REFUSED", None, None)
    assert "EstateHealth" not in world.contacted
    (entry,) = await world.entries(reply)
    assert (entry["staff"]["viewer"], entry["staff"]["on_behalf_of"]) == (OFFICER, WIFE)
    assert {"officer-estate", "officer-estate-amounts"} <= set(entry["policy_ids"])
    assert (entry["purpose"], entry["legal_basis"]) == ("ESTATE_DISCOVERY", "MOIS rule 211")


async def test_an_application_with_an_old_exchange_is_no_consent(world: World) -> None:
    stale = counter(world, iat=int(NOW.timestamp()) - 901)
    case = payload(await see(world, await taken(world, token=stale)))
    assert withheld(case)["Deposit.balance"] == "CONSENT_REQUIRED"
    assert "LandParcel.pnu" not in withheld(case)


async def test_the_officers_cases_are_listed_and_a_citizen_of_the_same_name_has_none(world: World) -> None:
    case_id = await taken(world)
    listed = payload(await world.ask(CASES, token=office(world)))
    assert [each["id"] for each in listed["cases"]] == [case_id]
    assert payload(await world.ask(CASES, token=world.token(OFFICER)))["cases"] == []
    assert code(await world.ask(ESTATE, {"id": case_id}, token=world.token(OFFICER))) == "NOT_ACCESSIBLE"


async def test_a_birth_case_shows_the_officer_no_amounts_and_no_findings(world: World) -> None:
    case_id = await taken(world, WIFE, BABY)
    case = payload(await see(world, case_id, document=BIRTH))
    assert (case["child"]["name"], case["parents"][0]["person"]["name"]) == (PERSONS[BABY].name, PERSONS[WIFE].name)
    said = withheld(case)
    assert (said["BirthTax.birthTaxCredit"], said["Screening.result"]) == ("OUT_OF_SCOPE", "SPECIAL_CATEGORY")


@pytest.mark.parametrize(
    ("claims", "refusal"),
    [
        ({"acr": 2}, "STEP_UP_REQUIRED"),
        ({"office": "archive"}, "NOT_ACCESSIBLE"),
        ({"agency": None}, "NOT_ACCESSIBLE"),
        ({"roles": ["PRIVACY_OFFICER"]}, "NOT_ACCESSIBLE"),
    ],
    ids=["a weak sign-in", "an office that the roster does not have them in", "no organisation", "not an official"],
)
async def test_who_may_not_take_an_application_takes_none(world: World, claims: Any, refusal: str) -> None:
    reply = await apply(world, token=counter(world, **claims))
    assert payload(reply) == {"case": None, "refusal": {"code": refusal}}
    assert [entry["outcome"] for entry in await world.entries(reply)] == ["REFUSED"]
    assert await world.house.cases.cases_of(WIFE) == []


async def test_applications_are_taken_on_duty_by_those_whose_task_it_is(world: World) -> None:
    at_work = world.roster.staff[OFFICER]
    for duty, refusal in (
        (replace(at_work, on_duty=False), "OUT_OF_TIME"),
        (replace(at_work, tasks=frozenset({"WELFARE"})), "OUT_OF_SCOPE"),
    ):
        world.roster.staff[OFFICER] = duty
        assert payload(await apply(world))["refusal"] == {"code": refusal}
    world.roster.silent = True
    assert code(await apply(world)) == "OVERLOADED"
    del world.roster.staff[OFFICER]
    world.roster.silent = False
    assert payload(await apply(world))["refusal"] == {"code": "OUT_OF_SCOPE"}


async def test_an_official_alone_opens_nobodys_case_not_even_their_own(world: World) -> None:
    for token in (office(world), office(world, WIFE)):
        assert payload(await apply(world, token=token))["refusal"] == {"code": "NOT_ACCESSIBLE"}
    assert payload(await world.ask(CASES, token=office(world, WIFE)))["candidates"] == []


async def test_a_claim_that_the_applicant_does_not_have_is_not_made_by_an_officer(world: World) -> None:
    for applicant, subject in ((STRANGER, HUSBAND), (WIFE, UNCLE), (STRANGER, BABY)):
        assert payload(await apply(world, applicant, subject))["refusal"] == {"code": "NOT_ACCESSIBLE"}
    world.register.protect(HUSBAND)
    assert payload(await apply(world))["refusal"] == {"code": "NOT_ACCESSIBLE"}


async def test_a_case_that_the_family_opened_at_home_can_be_applied_for_at_the_counter(
    world: World, husbands: str
) -> None:
    assert code(await see(world, husbands)) == "NOT_ACCESSIBLE"
    assert await taken(world, SON) == husbands
    assert payload(await see(world, husbands))["mandate"]["role"] == "CASE_OFFICER"


# ---------------------------------------------------------------- not seeing


async def test_nobody_but_the_assigned_officer_sees_it_and_the_record_says_by_which_row(world: World) -> None:
    case_id = await taken(world)
    world.forget()
    for who, claims, policies in (
        (COLLEAGUE, {}, {"official-without-case"}),
        (COLLEAGUE, {"office": "archive"}, {"official-without-case", "official-of-another-office"}),
    ):
        reply = await see(world, case_id, who, **claims)
        assert code(reply) == "NOT_ACCESSIBLE"
        (entry,) = await world.entries(reply)
        assert (entry["outcome"], set(entry["policy_ids"])) == ("REFUSED", policies)
    assert (world.contacted, world.register.asked) == ([], [])


@pytest.mark.parametrize("how", ["off duty", "in another office", "unknown to the roster", "closed", "given away"])
async def test_what_ends_an_officers_right_shows_in_the_next_question(world: World, how: str) -> None:
    case_id = await taken(world)
    match how:
        case "off duty":
            world.roster.send_home(OFFICER)
        case "in another office":
            world.roster.staff[OFFICER] = replace(world.roster.staff[OFFICER], office="archive")
        case "unknown to the roster":
            del world.roster.staff[OFFICER]
        case "closed":
            await world.house.cases.close(world.case_of(case_id), OFFICER, "Done.", NOW)
        case "given away":
            await hand_over(world, case_id, COLLEAGUE)
    world.forget()
    reply = await see(world, case_id)
    assert (code(reply), world.contacted) == ("NOT_ACCESSIBLE", [])
    (entry,) = await world.entries(reply)
    row = "official-of-another-office" if how == "in another office" else "officer-out-of-time"
    assert (entry["outcome"], row in entry["policy_ids"]) == ("REFUSED", True)


async def test_the_roster_is_never_taken_for_a_yes(world: World) -> None:
    case_id = await taken(world)
    world.roster.silent = True
    world.forget()
    reply = await see(world, case_id)
    assert (code(reply), world.contacted) == ("OVERLOADED", [])
    assert [entry["outcome"] for entry in await world.entries(reply)] == ["FAILED"]


async def test_citizens_questions_do_not_ask_the_roster(world: World, husbands: str) -> None:
    assert payload(await world.ask(ESTATE, {"id": husbands}))
    assert world.roster.asked == 0


async def test_who_takes_the_case_over_sees_it_with_the_consent_that_is_on_it(world: World) -> None:
    case_id = await taken(world)
    await hand_over(world, case_id, COLLEAGUE)
    case = payload(await see(world, case_id, COLLEAGUE))
    assert (case["mandate"]["role"], "Deposit.balance" in withheld(case)) == ("CASE_OFFICER", False)


async def test_a_case_given_to_another_office_is_no_longer_this_ones(world: World) -> None:
    case_id = await taken(world)
    await hand_over(world, case_id, COLLEAGUE, ("archive", MUNICIPALITY))
    assert code(await see(world, case_id, COLLEAGUE)) == "NOT_ACCESSIBLE"


@pytest.mark.parametrize("how", ["off duty", "closed", "given away", "roster silent"])
async def test_an_answer_whose_agencies_are_still_asked_shows_nothing_once_the_right_has_ended(
    world: World, how: str
) -> None:
    case_id = await taken(world)
    land = world.estate[Agency.LAND]
    land.entered.clear()
    land.released.clear()
    asking = asyncio.create_task(see(world, case_id))
    await land.entered.wait()
    match how:
        case "off duty":
            world.roster.send_home(OFFICER)
        case "closed":
            await world.house.cases.close(world.case_of(case_id), OFFICER, "Done.", NOW)
        case "given away":
            await hand_over(world, case_id, COLLEAGUE)
        case "roster silent":
            world.roster.silent = True
    land.released.set()
    reply = await asking
    assert (reply.data, code(reply)) == (None, "NOT_ACCESSIBLE")
    assert not any(entry["disclosed"] for entry in await world.entries(reply))


async def test_a_stream_ends_when_the_case_is_given_away(world: World) -> None:
    case_id = await taken(world)
    stream = await world.graph.subscribe(world.request(WATCH, {"id": case_id}, token=office(world)))
    assert not isinstance(stream, Reply)
    coming = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    await hand_over(world, case_id, COLLEAGUE)
    event = await asyncio.wait_for(coming, 5)
    assert (event.data, code(event)) == (None, "NOT_ACCESSIBLE")


# ---------------------------------------------------------------- their own family


@pytest.mark.parametrize("officer", [person for person in FAMILY.persons if PERSONS[person].death_date is None])
async def test_no_official_is_on_a_case_of_their_own_family(world: World, officer: PersonId) -> None:
    """Every living member of the family as the official, every case there is in it, every way in."""
    world.roster.staff[officer] = world.roster.staff[OFFICER]
    for subject in (HUSBAND, FATHER, BABY):
        applicant = next(each for each in (WIFE, SON) if each != officer)
        reply = await apply(world, applicant, subject, key=f"{subject}", officer=officer)
        assert payload(reply)["refusal"] == {"code": "NOT_ACCESSIBLE"}
        asked = {"kind": "BIRTH" if subject == BABY else "ESTATE", "person": named(subject), "reason": REASON}
        broken = await world.ask(BREAK, {"input": asked}, token=office(world, officer))
        assert payload(broken)["refusal"] == {"code": "NOT_ACCESSIBLE"}
        (entry,) = await world.entries(broken)
        assert "official-of-the-family" in entry["policy_ids"]
    for subject, applicant in ((HUSBAND, SON if officer == WIFE else WIFE), (BABY, WIFE)):
        if applicant == officer:
            continue  # nobody is their own officer: the database holds that
        case_id = await taken(world, applicant, subject, key=f"{subject} again")
        await hand_over(world, case_id, officer)
        world.forget()
        assert code(await see(world, case_id, officer, BIRTH if subject == BABY else ESTATE)) == "NOT_ACCESSIBLE"
        assert world.contacted == []


async def test_an_heir_who_signed_in_for_their_office_does_not_act_as_an_heir(world: World, husbands: str) -> None:
    assert code(await see(world, husbands, WIFE)) == "NOT_ACCESSIBLE"
    both = await see(world, husbands, WIFE, roles=["CITIZEN", "OFFICIAL"])
    assert payload(both)["mandate"]["role"] == "HEIR"


# ---------------------------------------------------------------- break glass


async def glass(world: World, token: str | None = None, **told: Any) -> Reply:
    said = {"kind": "ESTATE", "person": named(HUSBAND), "reason": REASON}
    return await world.ask(BREAK, {"input": said | told}, token=token or office(world))


async def test_a_declared_emergency_shows_amounts_at_once_and_its_entry_has_the_words(world: World) -> None:
    reply = await glass(world)
    case = payload(reply)["case"]
    assert (case["mandate"]["role"], case["deceased"]["name"]) == ("BREAK_GLASS", PERSONS[HUSBAND].name)
    assert case["mandate"]["validUntil"] == (NOW + timedelta(minutes=30)).isoformat().replace("+00:00", "Z")
    assert (case["heirs"], case["finance"]["deposits"] is None) == (None, False)
    (entry,) = await world.entries(reply)
    assert (entry["staff"]["reason"], "break-glass" in entry["policy_ids"]) == (REASON, True)
    assert (entry["task"], entry["legal_basis"]) == ("CREATE", "PIPA 15(1) 5 (imminent danger)")
    later = await see(world, case["id"])
    (entry,) = await world.entries(later)
    assert (entry["staff"]["reason"], "break-glass" in entry["policy_ids"]) == (REASON, True)


async def test_the_entry_has_policy_and_words_though_nothing_of_the_case_was_read(world: World) -> None:
    document = "mutation ($input: BreakGlassInput!) { breakGlass(input: $input) { refusal { code } } }"
    asked = {"kind": "ESTATE", "person": named(HUSBAND), "reason": REASON}
    (entry,) = await world.entries(await world.ask(document, {"input": asked}, token=office(world)))
    assert (entry["staff"]["reason"], "break-glass" in entry["policy_ids"]) == (REASON, True)


async def test_an_emergency_is_over_after_half_an_hour_and_can_be_declared_again(world: World) -> None:
    case_id = payload(await glass(world))["case"]["id"]
    world.time[0] += timedelta(minutes=30)
    assert code(await see(world, case_id)) == "NOT_ACCESSIBLE"
    assert payload(await world.ask(CASES, token=office(world)))["cases"] == []
    assert payload(await glass(world))["case"]["id"] == case_id
    assert payload(await see(world, case_id))["mandate"]["role"] == "BREAK_GLASS"


@pytest.mark.parametrize("reason", ["", "x" * 39, " " * 60, "a" + " " * 60 + "b", "x" * 501])
async def test_the_danger_is_said_in_words(world: World, reason: str) -> None:
    reply = await glass(world, reason=reason)
    (error,) = reply.errors
    said = error["extensions"]
    assert (said["code"], said["field"]) == ("BAD_INPUT", "input.reason")
    assert "40 to 500 characters" in said["remedy"]


async def test_a_registration_number_in_the_words_is_not_kept(world: World) -> None:
    reply = await glass(world, reason=f"{REASON} 550101-1234567")
    (entry,) = await world.entries(reply)
    assert "1234567" not in str(entry)
    case_id = world.case_of(payload(reply)["case"]["id"])
    assert "1234567" not in str(await world.house.cases.history(case_id))


async def test_only_officials_at_high_assurance_declare_one(world: World) -> None:
    for token, refusal in (
        (world.token(STRANGER), "NOT_ACCESSIBLE"),
        (world.token(WIFE), "NOT_ACCESSIBLE"),
        (office(world, roles=["PRIVACY_OFFICER"]), "NOT_ACCESSIBLE"),
        (office(world, case="narrowed"), "NOT_ACCESSIBLE"),
        (office(world, acr=2), "STEP_UP_REQUIRED"),
    ):
        reply = await glass(world, token)
        assert payload(reply) == {"case": None, "refusal": {"code": refusal}}
        (entry,) = await world.entries(reply)
        assert (entry["outcome"], entry["staff"]["subject"], entry["staff"]["reason"]) == ("REFUSED", HUSBAND, REASON)


async def test_who_cannot_be_looked_at_in_an_emergency_is_as_nobody(world: World) -> None:
    world.register.protect(FATHER)
    for told in (
        {"person": {"name": "없는 사람", "birthDate": "1950-01-01"}},
        {"person": named(FATHER)},
        {"person": named(SON)},
        {"person": named(SON), "kind": "BIRTH"},
    ):
        reply = await glass(world, **told)
        assert payload(reply) == {"case": None, "refusal": {"code": "NOT_ACCESSIBLE"}}
        assert len(await world.entries(reply)) == 1
    assert await world.house.cases.cases_of(OFFICER) == []


async def test_the_assigned_officers_emergency_goes_before_their_assignment(world: World) -> None:
    await taken(world, token=counter(world, iat=int(NOW.timestamp()) - 901))
    case = payload(await glass(world))["case"]
    assert (case["mandate"]["role"], case["finance"]["deposits"] is None) == ("BREAK_GLASS", False)


async def test_an_emergency_is_no_application(world: World) -> None:
    """Rank 3 sees amounts of a case that an officer opened for somebody (D08), not of one that was broken into."""
    case_id = world.case_of(payload(await glass(world))["case"]["id"])
    record = await world.house.cases.case(CaseId(case_id))
    assert record is not None
    assert (record.applicant, record.officer) == (None, None)
    assert world.house.ids.sealed(CLIENT, CaseKind.ESTATE.name, case_id)
