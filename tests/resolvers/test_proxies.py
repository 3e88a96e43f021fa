"""A proxy sees at most what the heir may see, for as long as both mandates hold, and everybody can read who gave it."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from connectors.registry import Declaration, DeclarationKind
from resolvers.operation_types import Reply
from schema.case import CaseKind
from schema.disclosure import Agency
from schema.identifiers import PersonId
from tests.resolvers.world import CLIENT, DAUGHTER, HUSBAND, NOW, PERSONS, SON, STRANGER, UNCLE, WIFE, World

GRANT = """mutation ($input: GrantProxyInput!) { grantProxy(input: $input) {
  mandate { id role holder { id name } onBehalfOf { name } purpose legalBasis issuedBy validUntil revokedAt }
  refusal { code } } }"""
REVOKE = """mutation ($input: RevokeMandateInput!) { revokeMandate(input: $input) {
  mandate { id role revokedAt holder { name } } refusal { code } } }"""
ESTATE = """query ($id: ID!) { estateCase(id: $id) { id mandate { id role }
  mandates { id role revokedAt holder { name } onBehalfOf { name } }
  answers { agency status } withheld { coordinate refusal { code } } heirs { person { name address } }
  land { parcels { pnu assessedValue } } finance { deposits { product balance } }
  health { answer { status } refunds { amount } }
  summary { complete missing } } }"""
WATCH = "subscription ($id: ID!) { caseUpdated(id: $id) { answer { status } } }"
YEAR = timedelta(days=365)


def code(reply: Reply) -> str:
    (error,) = reply.errors
    said: str = error["extensions"]["code"]
    return said


def named(person: PersonId) -> dict[str, Any]:
    return {"name": PERSONS[person].name, "birthDate": PERSONS[person].birth_date.isoformat()}


async def grant(world: World, case: str, holder: PersonId = STRANGER, **told: Any) -> Reply:
    said = {"case": case, "holder": named(holder), "until": (NOW + YEAR).isoformat(), "idempotencyKey": "proxy"}
    return await world.ask(GRANT, {"input": said | told.pop("said", {})}, **told)


async def given_to(world: World, case: str, holder: PersonId = STRANGER, **told: Any) -> str:
    """The id of a proxy of the wife's."""
    reply = await grant(world, case, holder, **told)
    assert reply.data is not None, reply.errors
    return str(reply.data["grantProxy"]["mandate"]["id"])


def payload(reply: Reply) -> Mapping[str, Any]:
    """What a mutation said."""
    assert reply.data is not None, reply.errors
    (found,) = reply.data.values()
    assert isinstance(found, Mapping)
    return found


async def see(world: World, case: str, viewer: PersonId = STRANGER, **claims: Any) -> Reply:
    return await world.ask(ESTATE, {"id": case}, token=world.token(viewer, **claims))


async def end(world: World, mandate: str, viewer: PersonId = WIFE, reason: str = "I do it myself.") -> Reply:
    return await world.ask(REVOKE, {"input": {"mandate": mandate, "reason": reason}}, token=world.token(viewer))


# ---------------------------------------------------------------- giving


async def test_an_heir_gives_a_proxy_and_it_says_what_it_is(world: World, husbands: str) -> None:
    reply = await grant(world, husbands)
    mandate = payload(reply)["mandate"]
    assert {name: mandate[name] for name in ("role", "purpose", "legalBasis", "revokedAt")} == {
        "role": "PROXY",
        "purpose": "ESTATE_DISCOVERY",
        "legalBasis": "Civil Act 114",
        "revokedAt": None,
    }
    assert (mandate["holder"]["name"], mandate["onBehalfOf"]["name"]) == (PERSONS[STRANGER].name, PERSONS[WIFE].name)
    entries = {entry["staff"]["subject"]: entry for entry in await world.entries(reply)}
    assert set(entries) == {HUSBAND, WIFE, STRANGER}
    assert {entry["task"] for entry in entries.values()} == {"UPDATE"}
    assert "Person.name" in entries[STRANGER]["disclosed"]
    history = await world.house.cases.history(world.case_of(husbands))
    assert [(each.event, each.actor) for each in history] == [("GRANT", WIFE), ("GRANT", WIFE)]


async def test_the_same_request_gives_one_proxy_and_its_key_stands_for_nothing_else(
    world: World, husbands: str
) -> None:
    replies = await asyncio.gather(*(grant(world, husbands) for _ in range(5)))
    assert len({payload(reply)["mandate"]["id"] for reply in replies}) == 1
    assert code(await grant(world, husbands, SON)) == "BAD_INPUT"


@pytest.mark.parametrize(
    "until", [NOW, NOW - YEAR, NOW + YEAR + timedelta(seconds=1)], ids=["now", "past", "more than a year"]
)
async def test_a_proxy_ends_within_a_year(world: World, husbands: str, until: Any) -> None:
    assert code(await grant(world, husbands, said={"until": until.isoformat()})) == "BAD_INPUT"


async def test_a_proxy_is_given_to_somebody_else_who_lives_and_is_registered(world: World, husbands: str) -> None:
    assert code(await grant(world, husbands, WIFE)) == "BAD_INPUT"
    nobody = named(STRANGER) | {"name": "없는 사람"}
    refusals = [
        payload(await grant(world, husbands, said={"holder": nobody})),
        payload(await grant(world, husbands, UNCLE)),
    ]
    assert refusals == [{"mandate": None, "refusal": {"code": "NOT_ACCESSIBLE"}}] * 2


async def test_only_an_heir_signed_in_at_high_gives_one(world: World, husbands: str, foreign: str) -> None:
    weak = await grant(world, husbands, token=world.token(acr=2))
    assert payload(weak)["refusal"] == {"code": "STEP_UP_REQUIRED"}
    assert code(await grant(world, foreign)) == "NOT_ACCESSIBLE"
    await given_to(world, husbands)
    second = await grant(world, husbands, SON, token=world.token(STRANGER))
    assert payload(second)["refusal"] == {"code": "OUT_OF_SCOPE"}


# ---------------------------------------------------------------- seeing


async def test_a_proxy_sees_what_the_heir_sees_but_health(world: World, husbands: str) -> None:
    await given_to(world, husbands)
    heirs, proxys = [payload(await see(world, husbands, viewer)) for viewer in (WIFE, STRANGER)]
    assert proxys["mandate"]["role"] == "PROXY"
    assert (proxys["land"], proxys["finance"], proxys["heirs"]) == (heirs["land"], heirs["finance"], heirs["heirs"])
    assert (heirs["health"]["refunds"] is not None, proxys["health"]["refunds"]) == (True, None)
    told = {each["coordinate"]: each["refusal"]["code"] for each in proxys["withheld"]}
    assert (told["EstateHealth.refunds"], told["HealthRefund.amount"]) == ("SPECIAL_CATEGORY", "SPECIAL_CATEGORY")
    assert {each["agency"]: each["status"] for each in proxys["answers"]}["HEALTH"] == "REFUSED"
    assert proxys["health"]["answer"] == {"status": "REFUSED"}
    assert (proxys["summary"]["complete"], "HEALTH" in proxys["summary"]["missing"]) == (False, True)


async def test_the_record_says_for_whom_a_proxy_asked(world: World, husbands: str) -> None:
    await given_to(world, husbands)
    entries = await world.entries(await see(world, husbands))
    (about,) = [entry for entry in entries if entry["staff"]["subject"] == HUSBAND]
    assert (about["staff"]["viewer"], about["staff"]["on_behalf_of"]) == (STRANGER, WIFE)
    assert "proxy-of-an-heir" in about["policy_ids"]


async def test_a_proxy_who_signed_in_weakly_is_told_to_sign_in_again(world: World, husbands: str) -> None:
    await given_to(world, husbands)
    world.forget()
    assert code(await see(world, husbands, acr=2)) == "STEP_UP_REQUIRED"
    assert world.contacted == []


async def test_every_heir_sees_who_acts_for_whom(world: World, husbands: str) -> None:
    given = await given_to(world, husbands)
    (proxy,) = [each for each in payload(await see(world, husbands, WIFE))["mandates"] if each["role"] == "PROXY"]
    assert (proxy["id"], proxy["holder"]["name"]) == (given, PERSONS[STRANGER].name)
    assert STRANGER not in world.register.family.persons  # a name that the deceased's family does not hold


async def test_an_heir_who_is_a_proxy_too_acts_for_themselves(world: World, husbands: str) -> None:
    await given_to(world, husbands, SON)
    await world.opened(CaseKind.ESTATE, HUSBAND, SON)
    case = payload(await see(world, husbands, SON))
    assert (case["mandate"]["role"], case["health"]["refunds"] is not None) == ("HEIR", True)


# ---------------------------------------------------------------- ending


@pytest.mark.parametrize("who", [WIFE, STRANGER], ids=["the giver", "the holder"])
async def test_once_ended_a_proxy_sees_nothing_in_the_next_question(world: World, husbands: str, who: PersonId) -> None:
    given = await given_to(world, husbands)
    assert payload(await see(world, husbands))
    reply = await end(world, given, who)
    assert payload(reply)["mandate"]["revokedAt"] is not None
    assert reply.entry_ids
    world.forget()
    assert (code(await see(world, husbands)), world.contacted) == ("NOT_ACCESSIBLE", [])
    last = (await world.house.cases.history(world.case_of(husbands)))[-1]
    assert (last.event, last.actor, last.justification) == ("REVOKE", who, "I do it myself.")
    assert payload(await end(world, given))["mandate"]["revokedAt"] == payload(reply)["mandate"]["revokedAt"]


async def test_nobody_else_ends_a_mandate_and_none_is_told_from_none_at_all(world: World, husbands: str) -> None:
    given = await given_to(world, husbands)
    await world.opened(CaseKind.ESTATE, HUSBAND, SON)
    said = [await end(world, *each) for each in ((given, SON), (given, DAUGHTER), ("nonsense", SON), (husbands, SON))]
    assert [payload(each) for each in said] == [{"mandate": None, "refusal": {"code": "NOT_ACCESSIBLE"}}] * 4
    assert [entry["outcome"] for each in said for entry in await world.entries(each)] == ["REFUSED"] * 4
    assert payload(await see(world, husbands))
    for reason in ("", "  ", "x" * 501):
        assert code(await end(world, given, reason=reason)) == "BAD_INPUT"


async def test_a_proxy_does_not_end_the_mandate_of_its_giver(world: World, husbands: str) -> None:
    await given_to(world, husbands)
    (heirs,) = [each for each in payload(await see(world, husbands))["mandates"] if each["role"] == "HEIR"]
    assert payload(await end(world, heirs["id"], STRANGER))["refusal"] == {"code": "NOT_ACCESSIBLE"}


async def test_with_the_givers_mandate_its_proxies_end(world: World, husbands: str) -> None:
    await given_to(world, husbands)
    (heirs,) = [each for each in payload(await see(world, husbands))["mandates"] if each["role"] == "HEIR"]
    assert payload(await end(world, heirs["id"]))["mandate"]["role"] == "HEIR"
    world.forget()
    assert [code(await see(world, husbands, viewer)) for viewer in (WIFE, STRANGER)] == ["NOT_ACCESSIBLE"] * 2
    await world.opened(CaseKind.ESTATE, HUSBAND, WIFE)
    assert code(await see(world, husbands)) == "NOT_ACCESSIBLE"  # it was given out of the mandate that ended
    assert world.contacted == []


async def test_what_ends_the_givers_right_ends_the_proxys(world: World, husbands: str) -> None:
    await given_to(world, husbands)
    world.register.dispute(HUSBAND)
    disputed = payload(await see(world, husbands))["withheld"]
    told = {each["coordinate"]: each["refusal"]["code"] for each in disputed}
    assert (told["LandParcel.assessedValue"], told["Deposit.balance"]) == ("DISPUTED", "DISPUTED")
    world.register.declare(Declaration(HUSBAND, WIFE, DeclarationKind.RENUNCIATION, NOW.date()))
    world.forget()
    assert (code(await see(world, husbands)), world.contacted) == ("NOT_ACCESSIBLE", [])


async def test_a_proxy_ends_by_itself(world: World, husbands: str) -> None:
    await given_to(world, husbands, said={"until": (NOW + timedelta(hours=1)).isoformat()})
    assert payload(await see(world, husbands))
    world.time[0] += timedelta(hours=1)
    assert code(await see(world, husbands)) == "NOT_ACCESSIBLE"


@pytest.mark.parametrize("whose", ["PROXY", "HEIR"])
async def test_a_mandate_ended_while_an_agency_is_being_asked_shows_the_proxy_nothing(
    world: World, husbands: str, whose: str
) -> None:
    await given_to(world, husbands)
    mandates = await world.house.cases.mandates(world.case_of(husbands))
    (ended,) = [each for each in mandates if each.role.name == whose]
    land = world.estate[Agency.LAND]
    land.released.clear()
    asking = asyncio.create_task(see(world, husbands))
    await land.entered.wait()
    assert payload(await end(world, world.house.ids.sealed(CLIENT, "Mandate", ended.id)))["mandate"]
    land.released.set()
    reply = await asking
    assert (reply.data, code(reply)) == (None, "NOT_ACCESSIBLE")
    assert [entry["disclosed"] for entry in await world.entries(reply)] == [[]]


@pytest.mark.parametrize("whose", ["PROXY", "HEIR"])
async def test_a_mandate_ended_ends_what_the_proxy_watches_though_nothing_changed(
    world: World, husbands: str, whose: str
) -> None:
    await given_to(world, husbands)
    mandates = await world.house.cases.mandates(world.case_of(husbands))
    (ended,) = [each for each in mandates if each.role.name == whose]
    stream = await world.graph.subscribe(world.request(WATCH, {"id": husbands}, token=world.token(STRANGER)))
    assert not isinstance(stream, Reply)
    coming = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    await end(world, world.house.ids.sealed(CLIENT, "Mandate", ended.id))
    event = await asyncio.wait_for(coming, 5)
    assert (event.data, code(event)) == (None, "NOT_ACCESSIBLE")
    assert [each async for each in stream] == []
    assert [entry["outcome"] for entry in await world.entries(event)] == ["REFUSED"]


async def test_a_mandate_ends_though_the_register_is_silent(world: World, husbands: str) -> None:
    given = await given_to(world, husbands)
    world.register.silent = True
    assert code(await end(world, given)) == "OVERLOADED"
    world.register.silent = False
    assert code(await see(world, husbands)) == "NOT_ACCESSIBLE"
