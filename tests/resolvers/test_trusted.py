"""Trusted documents in the engine: only what was approved, for the client and purpose it was approved for."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from cases.documents import Approval, Registered
from resolvers.documents import Document, Documents
from resolvers.documents import Limits as DocumentLimits
from resolvers.operation import Graph
from resolvers.operation_types import Reply
from resolvers.trusted import Readings, State, grown, standing
from schema.case import Purpose
from schema.disclosure import Agency, Disclosed, Sensitivity
from schema.scalars import Coordinate
from tests.resolvers.world import CLIENT, CORE, DISCLOSED, HUSBAND, NOW, SON, WIFE, World, person_id

OFFICERS = [person_id("officera"), person_id("officerb")]
LAND = "query Land($id: ID!) { estateCase(id: $id) { land { parcels { pnu } } } }"
FINDINGS = "query Findings($id: ID!) { birthCase(id: $id) { health { screenings { result } } } }"
OPEN = """mutation Open($candidate: ID!) {
  openEstateCase(input: {candidate: $candidate, idempotencyKey: "1"}) { case { id } refusal { code } }
}"""
WATCH = "subscription Watch($id: ID!) { caseUpdated(id: $id) { answer { status } } }"


def document(text: str) -> Document:
    taken = Documents(CORE, DocumentLimits()).take(text)
    assert isinstance(taken, Document), taken
    return taken


def approval(world: World, text: str, purpose: Purpose, officer: Any, **told: Any) -> Approval:
    reading = Readings(CORE, DISCLOSED).of(document(text))
    given: dict[str, Any] = {
        "client": CLIENT,
        "hash": document(text).hash,
        "purpose": purpose,
        "approver": officer,
        "schema_hash": world.house.schema_hash,
        "disclosures": reading.encoded(),
        "at": NOW,
    }
    return Approval(**given | told)


async def approve(world: World, text: str, purpose: Purpose, *officers: Any, **told: Any) -> None:
    store = world.house.cases.documents
    for officer in officers or OFFICERS[:1]:
        given = approval(world, text, purpose, officer, **told)
        await store.register(Registered(given.client, given.hash, purpose, "", text, NOW))
        await store.approve(given)


@pytest.fixture
def production(world: World) -> World:
    """The same house, answering trusted documents only."""
    registered = world.house.cases.documents.text
    documents = Documents(CORE, DocumentLimits(), registered=registered, trusted_only=True, introspection=False)
    return replace(world, graph=Graph(CORE, documents, world.house))


def code(reply: Reply) -> str:
    (error,) = reply.errors
    return str(error["extensions"]["code"])


async def test_production_answers_what_is_approved_for_the_client_and_nothing_else(
    production: World, husbands: str
) -> None:
    reply = await production.ask(LAND, {"id": husbands})
    assert (code(reply), reply.has_data, production.contacted) == ("DOCUMENT_NOT_TRUSTED", False, [])
    assert "approve" in reply.errors[0]["message"]
    await approve(production, LAND, Purpose.ESTATE_DISCOVERY)
    reply = await production.ask(LAND, {"id": husbands})
    assert (reply.errors, production.contacted) == ([], ["EstateLand"])
    other = await production.ask(LAND, {"id": husbands}, token=production.token(client_id="other-portal"))
    assert (code(other), other.has_data) == ("DOCUMENT_NOT_TRUSTED", False)
    unregistered = await production.graph.documents.found(LAND + " ", None)
    assert not isinstance(unregistered, Document)
    assert unregistered.code == "DOCUMENT_NOT_TRUSTED"


async def test_in_production_not_even_the_graph_itself_is_told_to_strangers(production: World) -> None:
    assert (await production.ask("{ __typename }", token=None)).status == 401
    assert code(await production.ask("{ __typename }")) == "DOCUMENT_NOT_TRUSTED"
    await approve(production, "{ __typename }", Purpose.SUBJECT_ACCESS)
    assert (await production.ask("{ __typename }")).data == {"__typename": "Query"}


async def test_an_id_stands_for_an_approved_document_where_any_text_is_answered_too(
    world: World, husbands: str
) -> None:
    by_id = replace(world.request(LAND, {"id": husbands}), by_id=True)
    assert code(await world.graph.answer(by_id)) == "DOCUMENT_NOT_TRUSTED"
    await approve(world, LAND, Purpose.ESTATE_DISCOVERY)
    assert (await world.graph.answer(by_id)).errors == []
    assert (await world.ask(LAND, {"id": husbands})).errors == []


async def test_a_document_is_not_answered_on_a_case_of_another_purpose(
    production: World, husbands: str, foreign: str
) -> None:
    await approve(production, LAND, Purpose.BIRTH_BENEFITS)
    reply = await production.ask(LAND, {"id": husbands})
    assert (code(reply), reply.data) == ("DOCUMENT_NOT_TRUSTED", {"estateCase": None})
    assert "BIRTH_BENEFITS" in reply.errors[0]["message"]
    assert (production.contacted, production.register.asked) == ([], [])
    (entry,) = await production.entries(reply)
    assert entry["outcome"] == "REFUSED"
    # Who has no claim learns no more than ever.
    assert code(await production.ask(LAND, {"id": foreign})) == "NOT_ACCESSIBLE"
    await approve(production, LAND, Purpose.ESTATE_DISCOVERY)
    assert (await production.ask(LAND, {"id": husbands})).errors == []


async def test_a_document_of_another_purpose_opens_no_case(production: World) -> None:
    await approve(production, OPEN, Purpose.BIRTH_BENEFITS)
    candidate = production.house.ids.sealed(CLIENT, "Person", "", HUSBAND)
    reply = await production.ask(OPEN, {"candidate": candidate}, token=production.token(SON))
    assert code(reply) == "DOCUMENT_NOT_TRUSTED"
    await approve(production, OPEN, Purpose.ESTATE_DISCOVERY)
    reply = await production.ask(OPEN, {"candidate": candidate}, token=production.token(SON))
    assert reply.data is not None
    assert reply.data["openEstateCase"]["case"]


async def test_special_categories_take_two_officers(production: World, babys: str) -> None:
    for _ in range(2):  # one officer twice is one officer
        await approve(production, FINDINGS, Purpose.BIRTH_BENEFITS, OFFICERS[0])
        assert code(await production.ask(FINDINGS, {"id": babys})) == "DOCUMENT_NOT_TRUSTED"
    await approve(production, FINDINGS, Purpose.BIRTH_BENEFITS, OFFICERS[1])
    assert (await production.ask(FINDINGS, {"id": babys})).errors == []


async def test_a_field_that_became_more_sensitive_suspends_the_approval(production: World, husbands: str) -> None:
    reading = Readings(CORE, DISCLOSED).of(document(LAND))
    was = {name: [d.agency.name, d.sensitivity.name, d.third_party] for name, d in reading.everything.items()}
    was["LandParcel.pnu"][1] = "IDENTITY"
    old = {"schema_hash": "0" * 64}
    await approve(production, LAND, Purpose.ESTATE_DISCOVERY, disclosures=msgspec.json.encode(was).decode(), **old)
    reply = await production.ask(LAND, {"id": husbands})
    assert (code(reply), "suspended" in reply.errors[0]["message"]) == ("DOCUMENT_NOT_TRUSTED", True)
    approvals = await production.house.cases.documents.approvals(CLIENT, document(LAND).hash)
    stands = standing(reading, approvals, production.house.schema_hash)
    assert stands.state is State.SUSPENDED
    assert "LandParcel.pnu is LAND INVENTORY, and was LAND IDENTITY" in (stands.reason or "")
    # Another graph in which the document tells the same suspends nothing.
    await approve(production, LAND, Purpose.ESTATE_DISCOVERY, **old)
    assert (await production.ask(LAND, {"id": husbands})).errors == []


def test_more_is_told_when_the_sensitivity_grows_or_somebody_else_is_told_of() -> None:
    name = Coordinate("Thing.name")
    before = Disclosed(Agency.LAND, Sensitivity.INVENTORY, third_party=False)
    now = {
        replace(before, sensitivity=Sensitivity.AMOUNT): True,
        replace(before, sensitivity=Sensitivity.IDENTITY): False,
        replace(before, agency=Agency.TAX): True,
        replace(before, third_party=True): True,
        before: False,
    }
    assert {told: bool(grown({name: before}, {name: told})) for told in now} == now
    assert grown({}, {name: before})
    assert not grown({name: before}, {})


async def test_nothing_leaves_when_it_is_revoked_while_agencies_are_asked(production: World, husbands: str) -> None:
    await approve(production, LAND, Purpose.ESTATE_DISCOVERY)
    agency = production.estate[Agency.LAND]
    agency.released.clear()
    asking = asyncio.create_task(production.ask(LAND, {"id": husbands}))
    await agency.entered.wait()
    assert await production.house.cases.documents.revoke(CLIENT, document(LAND).hash, "too much", "account:kim", NOW)
    agency.released.set()
    reply = await asking
    assert (code(reply), reply.data) == ("DOCUMENT_NOT_TRUSTED", None)
    assert "revoked" in reply.errors[0]["message"]


async def test_a_stream_ends_when_its_document_is_revoked(production: World, husbands: str) -> None:
    await approve(production, WATCH, Purpose.ESTATE_DISCOVERY)
    await approve(production, LAND, Purpose.ESTATE_DISCOVERY)
    events = await production.graph.subscribe(production.request(WATCH, {"id": husbands}))
    assert isinstance(events, AsyncIterator)
    first = asyncio.ensure_future(anext(events))
    await production.ask(LAND, {"id": husbands})
    assert (await first).errors == []
    await production.house.cases.documents.revoke(CLIENT, document(WATCH).hash, "over", "account:kim", NOW)
    assert [code(each) async for each in events] == ["DOCUMENT_NOT_TRUSTED"]
    assert code(await _one(production, husbands)) == "DOCUMENT_NOT_TRUSTED"


async def _one(world: World, case: str) -> Reply:
    reply = await world.graph.subscribe(world.request(WATCH, {"id": case}, token=world.token(WIFE)))
    assert isinstance(reply, Reply)
    return reply


def test_conditions_do_not_hide_what_a_document_can_read() -> None:
    hidden = """query Q($id: ID!, $more: Boolean!) {
      estateCase(id: $id) { finance @include(if: $more) { deposits { balance } } ...Debts @skip(if: true) }
    }
    fragment Debts on EstateCase { tax { items { arrears } } }"""
    reading = Readings(CORE, DISCLOSED).of(document(hidden))
    assert {"Deposit.balance", "TaxItem.arrears"} <= reading.disclosures.keys()
    assert reading.agencies == (Agency.REGISTRY, Agency.FINANCE, Agency.TAX)


def test_a_summary_counts_as_reading_what_it_is_made_of() -> None:
    reading = Readings(CORE, DISCLOSED).of(document("query($id: ID!) { estateCase(id: $id) { summary { net } } }"))
    assert "Deposit.balance" in reading.derived
    assert {Agency.LAND, Agency.FINANCE, Agency.PENSIONS, Agency.TAX, Agency.HEALTH, Agency.VEHICLES} <= set(
        reading.agencies
    )
