"""An incomplete picture never looks complete, a refused question reaches nobody, and no log means no data."""

import asyncio
import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from graphql import GraphQLObjectType, get_named_type
from msgspec.structs import replace as changed

from audit.writer import LogUnavailable
from connectors.registry import Declaration, DeclarationKind, Guardianship
from resolvers.documents import Rejection
from resolvers.house import Limits
from resolvers.operation import Graph
from resolvers.operation_types import Reply
from schema.answer import AnswerStatus
from schema.case import CaseKind, MandateRole, Purpose
from schema.disclosure import Agency, Sensitivity
from tests.resolvers.world import (
    BABY,
    CORE,
    DISCLOSED,
    FATHER,
    HUSBAND,
    NOW,
    PERSONS,
    SIX,
    SON,
    STRANGER,
    UNCLE,
    WIFE,
    World,
    world_in,
)

EVERYTHING = """query ($id: ID!) { estateCase(id: $id) { id status deceased { id name } answers { agency status }
  land { answer { status problems { code } } parcels { pnu assessedValue } buildings { name } }
  finance { answer { status } deposits { balance } } pensions { answer { status } memberships { scheme } }
  tax { answer { status } items { arrears } } health { answer { status } refunds { amount } eligibility { kind } }
  vehicles { answer { status } vehicles { plate } } summary { assets debts net complete missing outlook } } }"""
LAND = "query ($id: ID!) { estateCase(id: $id) { land { answer { status } parcels { pnu } } } }"


def code(reply: Reply) -> str:
    (error,) = reply.errors
    said: str = error["extensions"]["code"]
    return said


# ---------------------------------------------------------------- each agency once


async def test_two_cases_in_one_document_ask_each_agency_once(world: World, husbands: str, fathers: str) -> None:
    sections = "land { parcels { pnu } } finance { deposits { id } } tax { items { id } }"
    text = (
        f"query ($a: ID!, $b: ID!) {{ a: estateCase(id: $a) {{ {sections} }} b: estateCase(id: $b) {{ {sections} }} }}"
    )
    await world.ask(text, {"a": husbands, "b": fathers})
    for agency in (Agency.LAND, Agency.FINANCE, Agency.TAX):
        (questions,) = world.estate[agency].asked
        people = {world.house.ids.sector_id(agency, person) for person in (HUSBAND, FATHER)}
        assert {question.person for question in questions} == people
    assert world.contacted == ["EstateLand", "EstateFinance", "EstateTax"]


async def test_one_case_under_two_names_is_asked_about_once_for_what_both_read(world: World, husbands: str) -> None:
    reply = await world.ask(
        """query ($id: ID!) { a: estateCase(id: $id) { land { parcels { pnu } } }
             b: estateCase(id: $id) { land { buildings { name } } }
             node(id: $id) { ... on EstateCase { id land { answer { status } } } } }""",
        {"id": husbands},
    )
    assert not reply.errors
    (question,) = world.estate[Agency.LAND].questions
    assert {"EstateLand.parcels", "LandParcel.pnu", "EstateLand.buildings", "Building.name"} <= question.coordinates
    assert world.register.asked == [HUSBAND]
    assert len(reply.entry_ids) == 1


async def test_an_agency_of_which_nothing_is_read_is_not_asked(world: World, husbands: str) -> None:
    await world.ask(
        "query ($id: ID!) { estateCase(id: $id) { number status deceased { name } deadlines { code } } }",
        {"id": husbands},
    )
    assert world.contacted == []
    await world.ask(LAND, {"id": husbands})
    assert world.contacted == ["EstateLand"]


async def test_an_agency_of_which_nothing_may_be_shown_is_not_asked_and_says_refused(
    world: World, husbands: str
) -> None:
    reply = await world.ask(EVERYTHING, {"id": husbands}, token=world.token(acr=2))
    assert reply.data is not None
    health = reply.data["estateCase"]["health"]
    assert (health["answer"]["status"], health["refunds"], health["eligibility"]) == ("REFUSED", None, None)
    assert not world.estate[Agency.HEALTH].asked
    assert world.estate[Agency.LAND].asked
    assert reply.data["estateCase"]["status"] != "COMPLETE"


async def test_what_a_status_is_said_of_is_asked_whole(world: World, husbands: str) -> None:
    await world.ask("query ($id: ID!) { estateCase(id: $id) { tax { answer { status } } } }", {"id": husbands})
    (question,) = world.estate[Agency.TAX].questions
    assert "EstateTax.items" in question.coordinates


async def test_nothing_held_is_not_said_of_what_may_not_be_read(world: World, babys: str) -> None:
    world.birth[Agency.HEALTH].status = AnswerStatus.NONE_HELD
    text = "query ($id: ID!) { birthCase(id: $id) { health { answer { status } checkups { round } } } }"
    fully = await world.ask(text, {"id": babys})
    partly = await world.ask(text, {"id": babys}, token=world.token(acr=2))
    assert fully.data is not None
    assert partly.data is not None
    assert fully.data["birthCase"]["health"]["answer"]["status"] == "NONE_HELD"
    assert partly.data["birthCase"]["health"]["answer"]["status"] != "NONE_HELD"


def everything(type_name: str) -> str:
    """All fields of a type, all the way down."""
    type_ = CORE.type_map[type_name]
    if not isinstance(type_, GraphQLObjectType):
        return ""
    inner = {name: get_named_type(each.type).name for name, each in type_.fields.items()}
    return "{ " + " ".join(f"{name} {everything(below)}" for name, below in inner.items()) + " }"


async def test_a_summary_alone_says_what_it_says_beside_everything_else(world: World, husbands: str) -> None:
    for agency in world.estate.values():
        agency.full = True
    alone = await world.ask(
        "query ($id: ID!) { estateCase(id: $id) { summary { assets debts net missing } } }", {"id": husbands}
    )
    world.forget()
    beside = " ".join(f"{agency.name.lower()} {everything(f'Estate{agency.name.title()}')}" for agency in SIX)
    together = await world.ask(
        f"query ($id: ID!) {{ estateCase(id: $id) {{ summary {{ assets debts net missing }} {beside} }} }}",
        {"id": husbands},
    )
    assert not together.errors
    assert alone.data is not None
    assert together.data is not None
    assert alone.data["estateCase"]["summary"] == together.data["estateCase"]["summary"]


@pytest.mark.parametrize("fields", ["pnu", "pnu assessedValue"])
async def test_an_entry_says_the_greatest_sensitivity_of_what_it_told(world: World, husbands: str, fields: str) -> None:
    world.estate[Agency.LAND].full = True
    reply = await world.ask(
        f"query ($id: ID!) {{ estateCase(id: $id) {{ number land {{ parcels {{ {fields} }} }} }} }}", {"id": husbands}
    )
    (entry,) = await world.entries(reply)
    told = {DISCLOSED[each].sensitivity for each in (*entry["disclosed"], *entry["null"]) if each in DISCLOSED}
    assert len(told) > 1
    assert entry["sensitivity"] == max(told).name


async def test_a_summary_counts_as_reading_the_amounts_behind_it(world: World, husbands: str) -> None:
    reply = await world.ask("query ($id: ID!) { estateCase(id: $id) { summary { net } } }", {"id": husbands})
    (entry,) = await world.entries(reply)
    assert {"Deposit.balance", "LandParcel.assessedValue", "Encumbrance.maximumClaim"} <= set(entry["derived"])
    assert entry["sensitivity"] == "AMOUNT"


# ---------------------------------------------------------------- agencies that fail


async def test_an_agency_that_never_answers_is_unavailable_and_the_others_are_whole(tmp_path: Path) -> None:
    async with world_in(tmp_path, limits=Limits(deadline_s=0.3)) as world:
        case = await world.opened(CaseKind.ESTATE, HUSBAND, WIFE)
        world.estate[Agency.LAND].released.clear()
        reply = await world.ask(EVERYTHING, {"id": case})
        assert world.estate[Agency.LAND].entered.is_set()
        world.estate[Agency.LAND].released.set()
        assert reply.data is not None
        shown = reply.data["estateCase"]
        assert shown["land"]["answer"] == {"status": "UNAVAILABLE", "problems": [{"code": "DEADLINE"}]}
        assert shown["land"]["parcels"] is None
        assert {shown[agency.name.lower()]["answer"]["status"] for agency in SIX[1:]} == {"COMPLETE"}
        assert shown["status"] == "PARTIAL"
        assert "LAND" in shown["summary"]["missing"]
        assert (shown["summary"]["complete"], shown["summary"]["outlook"]) == (False, "UNDECIDED")
        (entry,) = await world.entries(reply)
        assert entry["answers"]["LAND"] == "UNAVAILABLE"
        assert {"EstateLand.parcels", "EstateLand.buildings"} <= set(entry["failed"])
        assert entry["outcome"] == "PARTIAL"


@pytest.mark.parametrize("status", [each for each in AnswerStatus if each.name not in {"COMPLETE", "NONE_HELD"}])
async def test_no_other_status_makes_the_picture_whole(world: World, husbands: str, status: AnswerStatus) -> None:
    for agency in world.estate.values():
        agency.full = True
    world.estate[Agency.TAX].status = status
    reply = await world.ask(EVERYTHING, {"id": husbands})
    assert reply.data is not None
    assert reply.data["estateCase"]["summary"]["complete"] is False
    assert "TAX" in reply.data["estateCase"]["summary"]["missing"]
    if status is not AnswerStatus.EXISTENCE_ONLY:  # that is all such an agency ever says
        assert reply.data["estateCase"]["status"] != "COMPLETE"


async def test_a_connector_that_breaks_takes_its_own_section_and_no_other(world: World, husbands: str) -> None:
    world.estate[Agency.LAND].raises = RuntimeError("parcel 4111 of Kim")
    reply = await world.ask(EVERYTHING, {"id": husbands})
    assert world.estate[Agency.LAND].asked
    assert reply.data is not None
    shown = reply.data["estateCase"]
    assert (shown["land"]["answer"]["status"], shown["land"]["parcels"]) == ("UNAVAILABLE", None)
    assert {shown[agency.name.lower()]["answer"]["status"] for agency in SIX[1:]} == {"COMPLETE"}
    assert shown["summary"]["complete"] is False
    assert "Kim" not in json.dumps([reply.errors, reply.data])
    (entry,) = await world.entries(reply)
    assert entry["answers"]["LAND"] == "UNAVAILABLE"


async def test_what_nobody_foresaw_is_an_incident_without_a_word_of_what_was_said(world: World, husbands: str) -> None:
    world.register.raises = RuntimeError("Kim of Sejong-ro 1")
    reply = await world.ask(LAND, {"id": husbands})
    assert code(reply) == "INTERNAL"
    (error,) = reply.errors
    assert error["extensions"]["incident"] in error["message"]
    assert "Kim" not in json.dumps([reply.errors, reply.data])
    assert "RuntimeError" not in json.dumps(reply.errors)
    assert world.contacted == []


async def test_a_register_that_is_silent_makes_everything_wait_and_asks_nobody(world: World, husbands: str) -> None:
    world.register.silent = True
    reply = await world.ask(EVERYTHING, {"id": husbands})
    assert reply.data == {"estateCase": None}
    assert code(reply) == "OVERLOADED"
    assert reply.errors[0]["extensions"]["retryAfterSeconds"] == 7
    assert world.contacted == []
    (entry,) = await world.entries(reply)
    assert (entry["outcome"], entry["disclosed"], entry["staff"]["subject"]) == ("FAILED", [], HUSBAND)


OPEN = "mutation ($input: OpenEstateCaseInput!) { openEstateCase(input: $input) { case { id } refusal { code } } }"


async def test_opening_a_case_while_the_register_is_silent_leaves_an_entry(world: World) -> None:
    candidate = world.house.ids.sealed("portal", "Person", "", HUSBAND)
    world.register.silent = True
    reply = await world.ask(OPEN, {"input": {"candidate": candidate, "idempotencyKey": "one"}})
    assert code(reply) == "OVERLOADED"
    assert world.register.asked == [WIFE]  # of whom she is a relative, before anything is asked about the deceased
    (entry,) = await world.entries(reply)
    assert (entry["outcome"], entry["staff"]["subject"]) == ("FAILED", WIFE)


async def test_candidates_that_the_register_could_not_tell_leave_an_entry(world: World) -> None:
    world.register.silent = True
    reply = await world.ask("{ viewer { candidates { kind } } }")
    assert code(reply) == "OVERLOADED"
    assert [entry["staff"]["subject"] for entry in await world.entries(reply)] == [WIFE]


# ---------------------------------------------------------------- questions that are refused


@pytest.mark.parametrize(
    "text",
    [
        "{ estateCase(id: 1) { nothing } }",
        "{ estateCase { id } }",
        "{ viewer { roles",
        "{ " + " ".join(f'a{number}: estateCase(id: "1") {{ id }}' for number in range(40)) + " }",
        "{ viewer { cases { mandate { holder { ...A } } } } } fragment A on Person { ...A }",
    ],
    ids=["no such field", "no argument", "no syntax", "too many cases", "a cycle"],
)
def test_a_document_that_is_wrong_or_too_costly_never_becomes_a_question(world: World, text: str) -> None:
    assert isinstance(world.graph.documents.take(text), Rejection)


@pytest.mark.parametrize(
    ("variables", "name"), [({}, None), ({"id": None}, None), ({"id": ["a"]}, None), ({"id": "x"}, "Another")]
)
async def test_bad_variables_or_an_unknown_operation_reach_nobody(
    world: World, variables: Mapping[str, Any], name: str | None
) -> None:
    reply = await world.graph.answer(world.request(LAND, variables, name=name))
    assert (reply.has_data, code(reply), list(reply.entry_ids)) == (False, "BAD_INPUT", [])
    assert (world.contacted, world.register.asked) == ([], [])


@pytest.mark.parametrize("token", [None, "Basic x", "Bearer x.y.z"])
async def test_without_a_good_token_nobody_is_asked(world: World, husbands: str, token: str | None) -> None:
    reply = await world.ask(EVERYTHING, {"id": husbands}, token=token)
    assert (reply.status, reply.has_data, reply.data, code(reply)) == (401, False, None, "UNAUTHENTICATED")
    challenge = reply.headers["WWW-Authenticate"]
    assert ("DPoP realm=" in challenge, "Bearer realm=" in challenge) == (True, True)
    assert (world.contacted, world.register.asked, await world.entries()) == ([], [], [])


async def test_a_foreign_case_leaves_one_refused_entry_about_its_person_and_reaches_nobody(
    world: World, foreign: str
) -> None:
    text = EVERYTHING.replace("estateCase(id: $id)", "a: estateCase(id: $id)", 1)
    reply = await world.ask(text[:-2] + " b: estateCase(id: $id) { id } }", {"id": foreign})
    assert reply.data == {"a": None, "b": None}
    assert {error["extensions"]["code"] for error in reply.errors} == {"NOT_ACCESSIBLE"}
    assert sorted(error["path"] for error in reply.errors) == [["a"], ["b"]]
    (entry,) = await world.entries(reply)
    assert (entry["outcome"], entry["staff"]["subject"], entry["disclosed"]) == ("REFUSED", UNCLE, [])
    assert entry["case"] == world.case_of(foreign)
    assert (world.contacted, world.register.asked) == ([], [])


async def test_unknown_foreign_protected_renounced_and_revoked_cases_look_alike(
    world: World, foreign: str, fathers: str, babys: str
) -> None:
    gone = await world.opened(CaseKind.ESTATE, HUSBAND, WIFE)
    world.register.declare(Declaration(FATHER, WIFE, DeclarationKind.RENUNCIATION, date(2026, 1, 5)))
    world.register.protect(BABY)
    (mandate,) = await world.house.cases.mandates(world.case_of(gone))
    await world.house.cases.revoke(mandate.id, WIFE, "Enough.", NOW)
    elsewhere = world.house.ids.sealed("another portal", "ESTATE", world.case_of(fathers))
    unknown = world.house.ids.sealed("portal", "ESTATE", "00000000-0000-4000-8000-000000000000")
    text = "query ($id: ID!) { node(id: $id) { id } }"
    said = set()
    for case in (foreign, fathers, babys, gone, elsewhere, unknown, "nonsense", "", "é", fathers[:-1]):
        reply = await world.ask(text, {"id": case})
        said.add(json.dumps([reply.data, reply.errors, reply.status]))
        (entry,) = await world.entries(reply)
        assert (entry["outcome"], entry["disclosed"]) == ("REFUSED", [])
    assert len(said) == 1
    assert "NOT_ACCESSIBLE" in said.pop()
    assert world.contacted == []


async def test_a_birth_case_is_no_estate_case(world: World, babys: str) -> None:
    reply = await world.ask(LAND, {"id": babys})
    assert (reply.data, code(reply)) == ({"estateCase": None}, "NOT_ACCESSIBLE")


async def test_a_token_for_one_case_opens_no_other(world: World, husbands: str, fathers: str) -> None:
    token = world.token(case=husbands)
    for case, data in ((husbands, True), (fathers, False)):
        reply = await world.ask("query ($id: ID!) { estateCase(id: $id) { number } }", {"id": case}, token=token)
        assert reply.data is not None
        assert (reply.data["estateCase"] is not None) is data


async def test_who_signed_in_weakly_is_told_to_sign_in_again(world: World, husbands: str) -> None:
    reply = await world.ask(LAND, {"id": husbands}, token=world.token(acr=1))
    assert (reply.status, reply.data, code(reply)) == (401, {"estateCase": None}, "STEP_UP_REQUIRED")
    assert reply.errors[0]["extensions"]["maxAge"] == 900
    assert world.contacted == []


async def test_a_dispute_hides_amounts_and_says_so(world: World, husbands: str) -> None:
    world.register.dispute(HUSBAND)
    text = LAND.replace("parcels { pnu }", "parcels { pnu assessedValue } } withheld { coordinate refusal { code } ")
    reply = await world.ask(text, {"id": husbands})
    assert reply.data is not None
    (withheld,) = reply.data["estateCase"]["withheld"]
    assert withheld == {"coordinate": "LandParcel.assessedValue", "refusal": {"code": "DISPUTED"}}


async def test_a_guardian_reads_what_the_order_names(world: World) -> None:
    order = Guardianship(
        ward=BABY,
        guardian=SON,
        since=date(2026, 2, 2),
        until=None,
        agencies=frozenset({Agency.REGISTRY, Agency.FINANCE}),
        sensitivity=Sensitivity.INVENTORY,
        order="2026느단1",
    )
    world.register.appoint(order)
    case = await world.opened(CaseKind.BIRTH, BABY, SON, role=MandateRole.GUARDIAN, purpose=Purpose.WARD_ADMINISTRATION)
    text = """query ($id: ID!) { birthCase(id: $id) { finance { vouchers { id balance } } land { homes } } }"""
    reply = await world.ask(text, {"id": case}, token=world.token(SON))
    assert reply.data is not None
    assert world.contacted == ["BirthFinance"]
    assert "Voucher.balance" not in world.birth[Agency.FINANCE].questions[0].coordinates
    world.register.appoint(changed(order, until=date(2026, 3, 1)))
    world.forget()
    ended = await world.ask(text, {"id": case}, token=world.token(SON))
    assert (ended.data, world.contacted) == ({"birthCase": None}, [])


async def test_a_parent_who_is_registered_as_one_no_more_sees_nothing(world: World, babys: str) -> None:
    text = "query ($id: ID!) { birthCase(id: $id) { child { name } health { eligibility { kind } } } }"
    before = await world.ask(text, {"id": babys})
    assert before.data is not None
    assert before.data["birthCase"] is not None
    family = world.register.family
    world.register.family = replace(family, parentage=tuple(one for one in family.parentage if one.child != BABY))
    world.forget()
    after = await world.ask(text, {"id": babys})
    assert (after.data, world.contacted) == ({"birthCase": None}, [])


# ---------------------------------------------------------------- release


async def test_a_mandate_revoked_while_an_agency_is_being_asked_shows_nothing(world: World, husbands: str) -> None:
    land = world.estate[Agency.LAND]
    land.released.clear()
    asking = asyncio.create_task(world.ask(EVERYTHING, {"id": husbands}))
    await land.entered.wait()
    (mandate,) = await world.house.cases.mandates(world.case_of(husbands))
    await world.house.cases.revoke(mandate.id, WIFE, "Enough.", NOW)
    land.released.set()
    reply = await asking
    assert (reply.data, code(reply)) == (None, "NOT_ACCESSIBLE")
    entries = await world.entries(reply)
    assert [entry["disclosed"] + entry["null"] for entry in entries] == [[]]
    assert entries[0]["answers"]["LAND"] == "COMPLETE"  # it was asked, and that is on record


async def test_a_token_that_runs_out_while_an_agency_is_being_asked_shows_nothing(world: World, husbands: str) -> None:
    land = world.estate[Agency.LAND]
    land.released.clear()
    asking = asyncio.create_task(world.ask(LAND, {"id": husbands}))
    await land.entered.wait()
    world.time[0] += timedelta(seconds=310)
    land.released.set()
    reply = await asking
    assert reply.data is None
    assert len(await world.entries(reply)) == 1


async def test_who_asked_and_left_is_still_recorded(world: World, husbands: str) -> None:
    land = world.estate[Agency.LAND]
    land.released.clear()
    asking = asyncio.create_task(world.ask(LAND, {"id": husbands}))
    await land.entered.wait()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    running = list(world.graph._running)
    land.released.set()
    await asyncio.gather(*running)
    (entry,) = await world.entries()
    assert {"EstateCase.land", "EstateLand.answer"} <= set(entry["disclosed"])


class NoLog:
    """A log that cannot be written."""

    def __init__(self) -> None:
        self.tried = 0

    async def append(self, _accesses: object) -> object:
        self.tried += 1
        raise LogUnavailable("the disk is full")


def unavailable(reply: Reply) -> bool:
    return (reply.status, reply.has_data, reply.data, code(reply)) == (503, False, None, "LOG_UNAVAILABLE")


async def test_without_a_log_nothing_is_shown(world: World, husbands: str, foreign: str) -> None:
    no_log: Any = NoLog()
    graph = Graph(CORE, world.graph.documents, replace(world.house, log=no_log))
    for case in (husbands, foreign):
        reply = await graph.answer(world.request(EVERYTHING, {"id": case}))
        assert unavailable(reply)
        assert reply.headers["Retry-After"]
    assert no_log.tried == 2


@contextmanager
def held(database: Path) -> Iterator[None]:
    """Somebody else writes to the database and does not come to an end."""
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


async def test_while_the_logs_file_cannot_be_written_nothing_is_shown_and_afterwards_it_is(tmp_path: Path) -> None:
    async with world_in(tmp_path, busy_ms=50) as world:
        case = await world.opened(CaseKind.ESTATE, HUSBAND, WIFE)
        assert not unavailable_or_whole(await world.ask(LAND, {"id": case}))
        with held(tmp_path / "log.db"):
            assert unavailable_or_whole(await world.ask(LAND, {"id": case}))
            assert not world.log.healthy
        recovery = world.log._recovery
        assert recovery is not None
        await recovery
        assert not unavailable_or_whole(await world.ask(LAND, {"id": case}))
        assert len(await world.entries()) == 2


def unavailable_or_whole(reply: Reply) -> bool:
    """True for LOG_UNAVAILABLE, False for data without errors."""
    if reply.errors:
        assert unavailable(reply)
        return True
    assert reply.data is not None
    return False


# ---------------------------------------------------------------- opening


async def test_a_candidate_is_opened_once_however_often_it_is_asked_for(world: World) -> None:
    shown = await world.ask("{ viewer { candidates { kind person { id name } obstacle { code } } } }")
    assert shown.data is not None
    estates = {
        each["person"]["name"]: each["person"]["id"]
        for each in shown.data["viewer"]["candidates"]
        if each["kind"] == "ESTATE" and each["obstacle"] is None
    }
    assert set(estates) == {PERSONS[HUSBAND].name, PERSONS[FATHER].name}
    variables = {"input": {"candidate": estates[PERSONS[HUSBAND].name], "idempotencyKey": "one"}}
    replies = await asyncio.gather(*(world.ask(OPEN, variables) for _ in range(10)))
    assert len({json.dumps(reply.data) for reply in replies}) == 1
    assert replies[0].data is not None
    case = world.case_of(replies[0].data["openEstateCase"]["case"]["id"])
    assert len(await world.house.cases.mandates(case)) == 1
    other = {"input": {"candidate": estates[PERSONS[FATHER].name], "idempotencyKey": "one"}}
    assert code(await world.ask(OPEN, other)) == "BAD_INPUT"
    (entry,) = await world.entries(replies[0])
    assert (entry["task"], entry["staff"]["subject"]) == ("CREATE", HUSBAND)


async def test_who_asked_first_and_came_second_finds_the_case_opened_and_its_end_at_once(world: World) -> None:
    husband = PERSONS[HUSBAND]
    deceased = {"name": husband.name, "birthDate": husband.birth_date.isoformat()}
    asked_first, given = world.time[0], world.time[0] + timedelta(milliseconds=40)
    opened = []
    for began in (given, asked_first):  # the one that began earlier finds what the other, whose clock is ahead, gave
        world.time[0] = began
        reply = await world.ask(OPEN, {"input": {"deceased": deceased, "idempotencyKey": "one"}})
        assert reply.data is not None
        assert reply.data["openEstateCase"]["refusal"] is None
        opened.append(reply.data["openEstateCase"]["case"]["id"])
    assert opened[0] == opened[1]
    (mandate,) = await world.house.cases.mandates(world.case_of(opened[0]))
    await world.house.cases.revoke(mandate.id, mandate.holder, "Enough.", given)
    assert code(await world.ask("query($id: ID!) { estateCase(id: $id) { number } }", {"id": opened[0]})) == (
        "NOT_ACCESSIBLE"
    )


async def test_a_stranger_opens_nothing_and_their_attempt_is_recorded(world: World) -> None:
    husband = PERSONS[HUSBAND]
    deceased = {"name": husband.name, "birthDate": husband.birth_date.isoformat()}
    token = world.token(STRANGER)
    reply = await world.ask(OPEN, {"input": {"deceased": deceased, "idempotencyKey": "one"}}, token=token)
    assert reply.data == {"openEstateCase": {"case": None, "refusal": {"code": "NOT_ACCESSIBLE"}}}
    (entry,) = await world.entries(reply)
    assert (entry["outcome"], entry["staff"]["subject"]) == ("REFUSED", HUSBAND)
    nobody = await world.ask(
        OPEN, {"input": {"deceased": deceased | {"name": "없는 사람"}, "idempotencyKey": "two"}}, token=token
    )
    assert nobody.data == reply.data
    (entry,) = await world.entries(nobody)
    assert (entry["outcome"], entry["staff"]["subject"]) == ("REFUSED", None)
