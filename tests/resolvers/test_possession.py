"""Senders who prove possession, and those who must sign in again: what the operation makes of it (RFC 9449, 9470)."""

from dataclasses import replace
from typing import Any

import pytest
from joserfc.jwk import ECKey

from resolvers.operation_types import Asked, Reply
from sandbox.proof import proof
from tests.resolvers.world import AUDIENCE, World

KEY = ECKey.generate_key("P-256")
LAND = "query ($id: ID!) { estateCase(id: $id) { land { answer { status } parcels { address } } } }"
STEP_UP = 'error="insufficient_user_authentication"'


def bound(world: World, text: str, variables: dict[str, Any], **claims: Any) -> Asked:
    """A question with a bound token and a proof for it."""
    token = world.token(**{"cnf": {"jkt": KEY.thumbprint()}} | claims).removeprefix("Bearer ")
    made = proof(KEY, method="POST", url=AUDIENCE, token=token, now=world.time[0])
    return replace(world.request(text, variables), authorization=f"DPoP {token}", dpop=made)


async def answered(world: World, asked: Asked) -> Reply:
    return await world.graph.answer(asked)


async def test_who_proves_possession_is_answered_and_the_second_time_is_not(world: World, husbands: str) -> None:
    asked = bound(world, LAND, {"id": husbands})
    assert (await answered(world, asked)).status == 200
    again = await answered(world, asked)
    assert (again.status, again.has_data) == (401, False)
    assert again.headers["WWW-Authenticate"].startswith('DPoP realm="onestop", error="invalid_dpop_proof", ')


async def test_without_the_store_of_proofs_nothing_is_shown(world: World, husbands: str) -> None:
    asked = bound(world, LAND, {"id": husbands})
    async with world.house.cases._engine.begin() as connection:
        await connection.exec_driver_sql("drop table proof")
    reply = await answered(world, asked)
    assert (reply.status, reply.has_data) == (503, False)
    assert reply.errors[0]["extensions"]["code"] == "OVERLOADED"
    assert world.contacted == []


async def test_a_host_header_cannot_break_out_of_the_challenge(world: World) -> None:
    asked = replace(
        world.request("{ viewer { roles } }", token=None), url='https://evil.test", error="x\r\nX: y/graphql'
    )
    challenge = (await answered(world, asked)).headers["WWW-Authenticate"]
    assert challenge.count('"') == 2 * len(["realm", "algs", "metadata", "realm", "metadata"])
    assert "\n" not in challenge


@pytest.mark.parametrize("is_bound", [False, True])
async def test_who_needs_a_stronger_sign_in_for_everything_is_challenged(
    world: World, husbands: str, is_bound: bool
) -> None:
    text = LAND.replace("estateCase", "__typename a: estateCase")
    asked = world.request(text, {"id": husbands}, token=world.token(acr=1))
    asked = bound(world, text, {"id": husbands}, acr=1) if is_bound else asked
    reply = await answered(world, asked)
    assert (reply.status, reply.data) == (401, {"__typename": "Query", "a": None})
    challenge = reply.headers["WWW-Authenticate"]
    assert challenge.startswith(f'{"DPoP" if is_bound else "Bearer"} realm="onestop", {STEP_UP}')
    assert 'acr_values="urn:onestop:loa:3", max_age="900"' in challenge
    assert challenge.count(STEP_UP) == 1
    assert reply.errors[0]["extensions"] == {
        "code": "STEP_UP_REQUIRED",
        "acrValues": ["urn:onestop:loa:3"],
        "maxAge": 900,
    }
    assert len(reply.entry_ids) == 1


async def test_who_is_shown_something_is_answered(world: World, husbands: str) -> None:
    text = LAND.replace("{ estate", "{ viewer { roles } estate", 1)
    reply = await world.ask(text, {"id": husbands}, token=world.token(acr=1))
    assert (reply.status, reply.errors[0]["extensions"]["code"]) == (200, "STEP_UP_REQUIRED")
    assert reply.data is not None
    assert reply.data["viewer"]["roles"] == ["CITIZEN"]


async def test_one_refusal_of_another_kind_and_no_sign_in_is_asked_for(world: World, husbands: str) -> None:
    text = "query ($id: ID!) { estateCase(id: $id) { number } b: estateCase(id: 7) { number } }"
    reply = await world.ask(text, {"id": husbands}, token=world.token(acr=1))
    assert reply.status == 200
    assert {each["extensions"]["code"] for each in reply.errors} == {"STEP_UP_REQUIRED", "NOT_ACCESSIBLE"}


async def test_a_subscription_that_needs_a_stronger_sign_in_is_challenged(world: World, husbands: str) -> None:
    text = "subscription ($id: ID!) { caseUpdated(id: $id) { answer { status } } }"
    reply = await world.graph.subscribe(world.request(text, {"id": husbands}, token=world.token(acr=1)))
    assert isinstance(reply, Reply)
    assert (reply.status, STEP_UP in reply.headers["WWW-Authenticate"]) == (401, True)


async def test_an_open_stream_goes_on_with_the_proof_it_began_with(world: World, husbands: str) -> None:
    text = "subscription ($id: ID!) { caseUpdated(id: $id) { answer { status } } }"
    stream = await world.graph.subscribe(bound(world, text, {"id": husbands}))
    assert not isinstance(stream, Reply)
    await world.graph.answer(world.request(LAND, {"id": husbands}))
    event = await anext(stream)
    assert (event.status, event.errors) == (200, [])
