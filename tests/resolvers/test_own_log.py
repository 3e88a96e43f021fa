"""What the access log tells persons: nothing that betrays another's case, and nothing before its time."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from audit.verifying import verify
from cases.delays import Delay
from schema.case import CaseKind
from tests.resolvers.world import HUSBAND, NOW, SON, STRANGER, WIFE, World

OWN = """query ($filter: AccessFilter, $first: Int, $after: String) { accessLog(
  filter: $filter, first: $first, after: $after) { totalCount pageInfo { hasNextPage endCursor } edges { node {
    id reduced purpose purposeLabel legalBasis case caseNumber operationName documentHash outcome
    actor { kind agency pseudonym } disclosed { coordinates } withheld { coordinates } } } } }"""
OF_CASE = """query ($id: ID!, $first: Int) { node(id: $id) { ... on Case { accessLog(first: $first) {
  totalCount pageInfo { hasNextPage } edges { cursor node { id outcome actor { pseudonym kind } } } } } } }"""
ONE = "query ($id: ID!) { accessEntry(id: $id) { id reduced } }"
HEIRS = "query Heirs($id: ID!) { estateCase(id: $id) { heirs { person { name } } } }"
OFFICER = "officeraaaaaaaaaaaaaaaaaaa"


async def own(world: World, viewer: Any = SON, **asked: Any) -> Any:
    reply = await world.ask(OWN, {"first": 50, **asked}, token=world.token(viewer))
    assert not reply.errors, reply.errors
    assert reply.data
    return reply.data["accessLog"]


async def about_son(world: World, husbands: str) -> str:
    """The id of the entry that the wife's question about her husband's heirs left about their son."""
    reply = await world.ask(HEIRS, {"id": husbands})
    (entry,) = [each for each in await world.entries(reply) if each["staff"]["subject"] == SON]
    return str(entry["id"])


async def official(world: World, case_id: str, officer: str = OFFICER) -> str:
    """The id of the entry that an official's attempt left."""
    token = world.token(officer, roles=["OFFICIAL"], office="Civil affairs", agency="Jongno", name="김공무")
    reply = await world.ask(HEIRS, {"id": case_id}, token=token)
    (entry_id,) = reply.entry_ids
    return entry_id


async def order(world: World, days: float, person: Any = HUSBAND, organisation: str = "Jongno") -> None:
    now = world.time[0]
    until = now + timedelta(days=days)
    new = Delay(
        person=person,
        organisation=organisation,
        since=now,
        until=until,
        authority="Seoul Central District Court",
        order="2026-7",
        reason="An inquiry",
        entered_by=OFFICER,
    )
    await world.house.cases.delays().add(new)


# ---------------------------------------------------------------- other people's cases


async def test_an_entry_of_somebody_elses_case_says_no_more_than_that_it_is_one(world: World, husbands: str) -> None:
    entry_id = await about_son(world, husbands)
    (entry,) = [each["node"] for each in (await own(world))["edges"] if each["node"]["id"] == entry_id]
    assert entry["reduced"]
    assert entry["purposeLabel"] == "Handling of another person's case"
    assert entry["disclosed"] == entry["withheld"] == []
    told = ("purpose", "legalBasis", "case", "caseNumber", "operationName", "documentHash")
    assert [entry[name] for name in told] == [None] * len(told)
    assert entry["actor"]["pseudonym"] is None  # the wife: a relative could be recognised by it


async def test_who_has_the_case_themself_is_told_everything(world: World, husbands: str) -> None:
    entry_id = await about_son(world, husbands)
    await world.opened(CaseKind.ESTATE, HUSBAND, SON)
    (entry,) = [each["node"] for each in (await own(world))["edges"] if each["node"]["id"] == entry_id]
    assert (entry["reduced"], entry["purpose"]) == (False, "ESTATE_DISCOVERY")
    assert entry["disclosed"][0]["coordinates"] == ["Person.name"]
    assert entry["caseNumber"]
    assert entry["actor"]["pseudonym"]


@pytest.mark.parametrize(
    "asked",
    [
        {"purpose": "ESTATE_DISCOVERY"},
        {"coordinate": "Person.name"},
        {"minSensitivity": "IDENTITY"},
        {"agency": "REGISTRY"},
    ],
    ids=lambda asked: next(iter(asked)),
)
async def test_what_an_entry_does_not_tell_cannot_be_found_out_by_searching(
    world: World, husbands: str, asked: dict[str, str]
) -> None:
    entry_id = await about_son(world, husbands)
    assert entry_id not in {each["node"]["id"] for each in (await own(world, filter=asked))["edges"]}
    assert entry_id in {each["node"]["id"] for each in (await own(world, filter={"outcome": "DISCLOSED"}))["edges"]}


# ---------------------------------------------------------------- pseudonyms


async def test_an_official_has_one_pseudonym_for_a_reader_and_another_for_the_next(world: World, husbands: str) -> None:
    entries = [await official(world, husbands), await official(world, husbands)]
    other = await official(world, husbands, "colleagueaaaaaaaaaaaaaaaaa")
    sons = await world.opened(CaseKind.ESTATE, HUSBAND, SON)
    names: dict[Any, dict[str, str]] = {}
    for viewer, case_id in ((WIFE, husbands), (SON, sons)):
        reply = await world.ask(OF_CASE, {"id": case_id, "first": 50}, token=world.token(viewer))
        assert reply.data
        edges = reply.data["node"]["accessLog"]["edges"]
        names[viewer] = {each["node"]["id"]: each["node"]["actor"]["pseudonym"] for each in edges}
    for known in names.values():
        assert known[entries[0]] == known[entries[1]] != known[other]
    assert names[WIFE][entries[0]] != names[SON][entries[0]]


# ---------------------------------------------------------------- told later


async def case_log(world: World, case_id: str, first: int = 50) -> Any:
    reply = await world.ask(OF_CASE, {"id": case_id, "first": first})
    assert not reply.errors
    assert reply.data
    return reply.data["node"]["accessLog"]


async def test_an_entry_under_an_order_appears_by_itself_when_the_order_ends(world: World, husbands: str) -> None:
    await order(world, days=2)
    entry_id = await official(world, husbands)
    assert entry_id not in {each["node"]["id"] for each in (await case_log(world, husbands))["edges"]}
    hidden = await world.ask(ONE, {"id": entry_id})
    unknown = await world.ask(ONE, {"id": "01958f7e-0000-7000-8000-000000000001"})
    assert (hidden.data, hidden.errors) == (unknown.data, unknown.errors) == ({"accessEntry": None}, [])
    (kept,) = [each for each in await world.entries() if each["id"] == entry_id]
    assert kept["staff"]["visibility"] == {
        "hidden_until": (NOW + timedelta(days=2)).isoformat(timespec="microseconds"),
        "authority": "Seoul Central District Court",
        "order": "2026-7",
    }
    world.time[0] = NOW + timedelta(days=2)
    assert entry_id in {each["node"]["id"] for each in (await case_log(world, husbands))["edges"]}
    url = world.log._engine.url.render_as_string(hide_password=False)
    assert (await asyncio.to_thread(verify, url, world.log._keys.master)).intact


async def test_pages_are_as_full_and_as_many_as_if_nothing_were_hidden(world: World, husbands: str) -> None:
    await official(world, husbands)
    await order(world, days=2)
    for _ in range(5):
        await official(world, husbands)
    log = await case_log(world, husbands, first=1)
    assert [each["node"]["outcome"] for each in log["edges"]] == ["REFUSED"]
    assert (log["pageInfo"]["hasNextPage"], log["totalCount"]) == (False, None)


@pytest.mark.parametrize(
    "elsewhere", [{"organisation": "Jungnang"}, {"person": SON}], ids=["another organisation", "another person"]
)
async def test_an_order_covers_its_person_and_organisation_only(
    world: World, husbands: str, elsewhere: dict[str, Any]
) -> None:
    await order(world, days=2, **elsewhere)
    entry_id = await official(world, husbands)
    assert entry_id in {each["node"]["id"] for each in (await case_log(world, husbands))["edges"]}


async def test_a_citizens_access_is_never_hidden(world: World, husbands: str) -> None:
    await order(world, days=2)
    reply = await world.ask(HEIRS, {"id": husbands}, token=world.token(STRANGER))
    (entry_id,) = reply.entry_ids
    assert entry_id in {each["node"]["id"] for each in (await case_log(world, husbands))["edges"]}
