"""A proxy of all heirs is there only while every one of them agrees, and shows at most what each of them may see."""

import asyncio
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from msgspec.structs import replace as changed

from connectors.registry import Declaration, DeclarationKind, Parentage
from resolvers import authority, powers
from schema.case import CaseKind
from schema.disclosure import Agency
from schema.identifiers import PersonId
from schema.person import ParentRelation
from tests.resolvers.test_proxies import REVOKE, WATCH, code, grant, payload, see
from tests.resolvers.world import DAUGHTER, HUSBAND, NOW, PERSONS, SON, STRANGER, WIFE, World, registered

HEIRS = (WIFE, SON, DAUGHTER)
LATER = PersonId("later" + "a" * 21)


async def given_by(world: World, case: str, heir: PersonId, key: str = "") -> str:
    """The id of the heir's proxy to the stranger."""
    await world.opened(CaseKind.ESTATE, HUSBAND, heir)
    reply = await grant(world, case, token=world.token(heir), said={"idempotencyKey": f"{heir}{key}"})
    return str(payload(reply)["mandate"]["id"])


@pytest.fixture
async def given(world: World, husbands: str) -> dict[PersonId, str]:
    return {heir: await given_by(world, husbands, heir) for heir in HEIRS}


MANDATE = """query ($id: ID!) { estateCase(id: $id) {
  mandate { id role issuedBy legalBasis validUntil onBehalfOf { name } holder { name } }
  mandates { role issuedBy } land { parcels { assessedValue } } } }"""


async def mandate(world: World, case: str) -> dict[str, Any]:
    reply = await world.ask(MANDATE, {"id": case}, token=world.token(STRANGER))
    return dict(payload(reply)["mandate"])


async def end(world: World, mandate_id: str, viewer: PersonId) -> Any:
    asked = {"mandate": mandate_id, "reason": "Enough."}
    return payload(await world.ask(REVOKE, {"input": asked}, token=world.token(viewer)))


async def test_it_is_there_once_the_last_heir_has_given_one(world: World, husbands: str) -> None:
    for heir in HEIRS[:-1]:
        await given_by(world, husbands, heir)
        assert (await mandate(world, husbands))["issuedBy"] != "All heirs together"
    await given_by(world, husbands, HEIRS[-1])
    found = await mandate(world, husbands)
    assert (found["role"], found["issuedBy"], found["onBehalfOf"]) == ("PROXY", "All heirs together", None)
    assert found["holder"]["name"] == PERSONS[STRANGER].name
    assert found["legalBasis"] == "Civil Act 114, for all heirs"
    heirs = payload(await world.ask(MANDATE, {"id": husbands}))
    assert heirs["mandate"]["role"] == "HEIR"
    assert [each["issuedBy"] for each in heirs["mandates"]].count("All heirs together") == 1


@pytest.mark.parametrize("heir", HEIRS)
async def test_one_that_takes_theirs_back_ends_it_at_once(
    world: World, husbands: str, given: dict[PersonId, str], heir: PersonId
) -> None:
    assert (await mandate(world, husbands))["issuedBy"] == "All heirs together"
    assert (await end(world, given[heir], heir))["mandate"]["revokedAt"]
    assert (await mandate(world, husbands))["onBehalfOf"] is not None  # one of those that are left
    await given_by(world, husbands, heir, "again")
    assert (await mandate(world, husbands))["issuedBy"] == "All heirs together"


async def test_by_its_own_id_an_heir_ends_their_part_and_its_holder_all_of_it(
    world: World, husbands: str, given: dict[PersonId, str]
) -> None:
    assert len(given) == 3
    whole = (await mandate(world, husbands))["id"]
    assert (await end(world, whole, SON))["mandate"]["revokedAt"]
    assert (await mandate(world, husbands))["onBehalfOf"] is not None
    await given_by(world, husbands, SON, "again")
    stranger = await end(world, whole, PersonId("nobody" + "a" * 20))
    assert stranger == {"mandate": None, "refusal": {"code": "NOT_ACCESSIBLE"}}
    assert (await end(world, whole, STRANGER))["mandate"]["revokedAt"]
    assert code(await see(world, husbands)) == "NOT_ACCESSIBLE"


async def test_an_heir_who_comes_or_goes_ends_it(world: World, husbands: str, given: dict[PersonId, str]) -> None:
    family = world.register.family
    recognised = Parentage(HUSBAND, LATER, ParentRelation.FATHER, custody=False)
    world.register.family = replace(
        family,
        persons={**family.persons, LATER: registered(LATER, date(2001, 1, 1))},
        parentage=(*family.parentage, recognised),
    )
    assert given
    assert (await mandate(world, husbands))["issuedBy"] != "All heirs together"
    world.register.family = family
    before = await mandate(world, husbands)
    world.register.declare(Declaration(HUSBAND, SON, DeclarationKind.RENUNCIATION, NOW.date()))
    now = await mandate(world, husbands)  # those who are left still agree: it is another one
    assert (now["issuedBy"], now["id"]) != (before["issuedBy"], None)
    (left,) = powers.joint(
        await world.house.cases.mandates(world.case_of(husbands)), world.register_of(HUSBAND), world.time[0]
    )
    assert {part.on_behalf_of for part in left.joint} == {WIFE, DAUGHTER}


@pytest.mark.parametrize("heir", HEIRS)
async def test_an_answer_under_way_and_a_stream_end_with_one_heirs_word(
    world: World, husbands: str, given: dict[PersonId, str], heir: PersonId
) -> None:
    stream: Any = await world.graph.subscribe(world.request(WATCH, {"id": husbands}, token=world.token(STRANGER)))
    coming = asyncio.ensure_future(anext(stream))
    land = world.estate[Agency.LAND]
    land.released.clear()
    asking = asyncio.create_task(see(world, husbands))
    await land.entered.wait()
    await end(world, given[heir], heir)
    land.released.set()
    reply = await asking
    assert (reply.data, code(reply)) == (None, "NOT_ACCESSIBLE")
    assert code(await asyncio.wait_for(coming, 5)) == "NOT_ACCESSIBLE"


async def test_it_is_there_exactly_while_every_entitled_heir_has_one_in_force(world: World, husbands: str) -> None:
    """Every choice of who gave, who took back and who renounced."""
    for heir in HEIRS:
        await given_by(world, husbands, heir)
    mandates = await world.house.cases.mandates(world.case_of(husbands))
    register, seen = world.register_of(HUSBAND), 0
    for choice in range(4 ** len(HEIRS)):
        said = {heir: choice // 4**place % 4 for place, heir in enumerate(HEIRS)}
        renounced = [heir for heir, what in said.items() if what == 3]
        told = tuple(Declaration(HUSBAND, heir, DeclarationKind.RENUNCIATION, NOW.date()) for heir in renounced)
        as_told = replace(register, declarations=told)
        kept = [
            changed(each, revoked_at=NOW) if said[each.on_behalf_of or each.holder] == 2 and each.giver else each
            for each in mandates
            if not (each.giver and said[each.on_behalf_of or each.holder] == 1)
        ]
        entitled = authority.entitled(as_told)
        found = powers.joint(kept, as_told, world.time[0])
        agree = len(entitled) > 1 and all(said[heir] in {0, 3} for heir in entitled)
        assert bool(found) is agree
        assert all({part.on_behalf_of for part in each.joint} == entitled for each in found)
        seen += agree
    assert seen > 3
