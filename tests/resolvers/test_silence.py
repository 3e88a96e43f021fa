"""Ids of nothing, of somebody else's case, of a protected person's and of no kind at all: the same answer and work."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import event

from resolvers import silence
from resolvers.operation_types import Reply
from schema.case import CaseKind
from tests.resolvers.world import BABY, CLIENT, FATHER, HUSBAND, PERSONS, SON, STRANGER, UNCLE, WIFE, World

QUESTIONS = {
    "estateCase": "query($id: ID!) { estateCase(id: $id) { status land { parcels { pnu } } heirs { rank } } }",
    "birthCase": "query($id: ID!) { birthCase(id: $id) { status health { dependantOf } } }",
    "node": "query($id: ID!) { node(id: $id) { id } }",
    "several ways": "query($id: ID!) { estateCase(id: $id) { id } birthCase(id: $id) { id } node(id: $id) { id } }",
    "requestAnswers": "mutation($id: ID!) { requestAnswers(input: {case: $id, agencies: [LAND], idempotencyKey: "
    '"one"}) { refusal { code } } }',
}
OPEN = "mutation ($input: OpenEstateCaseInput!) { openEstateCase(input: $input) { case { id } refusal { code } } }"


VALUE = re.compile(r"[xX]?'(?:[^']|'')*'|\bNULL\b|-?\b\d+\b")


@asynccontextmanager
async def statements(world: World) -> AsyncIterator[list[str]]:
    """What both databases are told, without values: through SQLAlchemy, or by the log's writer to its driver."""
    told: list[str] = []

    def hear(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        told.append(statement)

    here = world.house.cases._here
    assert here is not None
    asynchronous = (world.house.cases._engine, world.log._engine, world.log._readers)
    engines = [here._engine, *(each.sync_engine for each in asynchronous)]
    assert world.log._connection is not None
    driver: Any = (await world.log._connection.get_raw_connection()).driver_connection
    for engine in engines:
        event.listen(engine, "before_cursor_execute", hear)
    await driver.set_trace_callback(lambda statement: told.append(VALUE.sub("?", statement)))
    yield told
    await driver.set_trace_callback(None)
    for engine in engines:
        event.remove(engine, "before_cursor_execute", hear)


def bare(reply: Reply) -> str:
    """Everything that is sent, without what is new in every answer."""
    ids = len(reply.entry_ids)
    text = json.dumps(
        [reply.data, reply.has_data, reply.errors, reply.extensions, reply.status, dict(reply.headers), ids]
    )
    text = re.sub(r'"id": "[0-9a-f-]{36}"', '"id"', text)
    text = re.sub(r'"leafHash": "[0-9a-f]{64}"', '"leafHash"', text)
    return re.sub(r'"signature": "[A-Za-z0-9+/=]{88}"', '"signature"', text)


@pytest.fixture
async def ids(world: World) -> dict[str, str]:
    """Ids that are nothing to the stranger, each for another reason."""
    theirs = await world.opened(CaseKind.ESTATE, FATHER, WIFE)
    protected = await world.opened(CaseKind.ESTATE, HUSBAND, SON)
    world.register.protect(HUSBAND)
    ended = await world.opened(CaseKind.ESTATE, UNCLE, STRANGER)
    (mandate,) = await world.house.cases.mandates(world.case_of(ended))
    await world.house.cases.revoke(mandate.id, mandate.holder, "Enough.", world.time[0])
    sealed = world.house.ids.sealed
    return {
        "foreign": theirs,
        "protected": protected,
        "ended": ended,
        "of a birth": await world.opened(CaseKind.BIRTH, BABY, WIFE),
        "unknown": sealed(CLIENT, "ESTATE", str(uuid4())),
        "of a person": sealed(CLIENT, "Person", "", HUSBAND),
        "without a case": sealed(CLIENT, "ESTATE"),
        "another client's": sealed("another", "ESTATE", world.case_of(theirs)),
        "plain": world.case_of(theirs),
        "changed": theirs[:-1] + ("A" if theirs[-1] != "A" else "B"),
        "nothing": "",
        "nul": "\0",
        "words": "없는 사건",
        "long": "A" * 5000,
    }


@pytest.mark.parametrize("question", QUESTIONS)
async def test_an_id_that_is_not_ones_own_makes_the_same_answer_and_the_same_work(
    world: World, ids: dict[str, str], question: str
) -> None:
    token = world.token(STRANGER)

    async def asked(sealed: str) -> tuple[str, list[str], list[dict[str, Any]]]:
        async with statements(world) as told:
            reply = await world.ask(QUESTIONS[question], {"id": sealed}, token=token)
        return bare(reply), told, await world.new_entries()

    if "node" in QUESTIONS[question]:
        ids.pop("plain")  # has the form of an entry's id
    for each in ids.values():  # a person's first entry of the year makes their key
        await asked(each)
    world.forget()
    found = {what: await asked(each) for what, each in ids.items()}
    assert (world.register.asked, world.contacted) == ([], [])
    first_said, first_told, first_entries = found["unknown"]
    assert "NOT_ACCESSIBLE" in first_said
    assert {statement.split()[0] for statement in first_told} >= {"SELECT", "INSERT", "COMMIT"}
    for what, (said, told, entries) in found.items():
        assert said == first_said, what
        assert told == first_told, what
        assert [entry["outcome"] for entry in entries] == ["REFUSED"] * len(first_entries), what


async def test_an_entry_that_is_not_ones_own_makes_the_same_answer_and_the_same_work(world: World) -> None:
    case_id = await world.opened(CaseKind.ESTATE, FATHER, WIFE)
    foreign, *_ = (await world.ask(QUESTIONS["estateCase"], {"id": case_id}, token=world.token(WIFE))).entry_ids
    question = "query($id: ID!) { accessEntry(id: $id) { at disclosed { coordinates } } }"

    async def asked(entry_id: str) -> tuple[str, list[str]]:
        async with statements(world) as told:
            reply = await world.ask(question, {"id": entry_id}, token=world.token(STRANGER))
        return bare(reply), told

    await asked("first")  # a person's first entry of the year makes their key
    found = {each: await asked(each) for each in (str(uuid4()), foreign, foreign.upper(), case_id, "", "words")}
    said, told = found.popitem()[1]
    assert "entry" in "".join(told)
    assert '"accessEntry": null' in said
    for each in found.values():
        assert each == (said, told)


async def test_a_refusal_leaves_on_the_grid_and_an_answer_when_it_is_ready(
    world: World, ids: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    real = silence.until_the_next_line

    async def watched(began: float) -> None:
        await real(began)
        waited.append(asyncio.get_running_loop().time() - began)

    monkeypatch.setattr(silence, "until_the_next_line", watched)
    for what in ("foreign", "protected", "unknown", "nothing"):
        await world.ask(QUESTIONS["estateCase"], {"id": ids[what]}, token=world.token(STRANGER))
    assert len(waited) == 4
    assert min(waited) >= silence.GRID_S

    await world.ask(QUESTIONS["estateCase"], {"id": ids["foreign"]}, token=world.token(WIFE))
    assert len(waited) == 4


async def test_who_holds_a_mandate_on_a_protected_persons_case_reads_the_same_words(
    world: World, ids: dict[str, str]
) -> None:
    """Only the register knows of the protection, so that it is asked; the holder knew of the case before."""
    token = world.token(SON)
    replies = [
        await world.ask(QUESTIONS["estateCase"], {"id": ids[what]}, token=token) for what in ("protected", "unknown")
    ]
    assert bare(replies[0]) == bare(replies[1])
    assert world.contacted == []


async def test_naming_somebody_one_is_no_relative_of_is_as_naming_nobody(world: World) -> None:
    somebody = {"name": PERSONS[HUSBAND].name, "birthDate": PERSONS[HUSBAND].birth_date.isoformat()}
    sealed = world.house.ids.sealed
    named = [
        {"deceased": somebody},
        {"deceased": {**somebody, "name": "없는 사람"}},
    ]
    picked = [{"candidate": sealed(CLIENT, "Person", "", HUSBAND)}, {"candidate": "nonsense"}]

    async def opened(way: dict[str, Any]) -> tuple[str, list[str], list[str]]:
        world.register.asked.clear()
        async with statements(world) as told:
            variables = {"input": {**way, "idempotencyKey": "one"}}
            reply = await world.ask(OPEN, variables, token=world.token(STRANGER))
        return bare(reply), told, list(world.register.asked)

    for way in (*named, *picked):  # a person's first entry of the year makes their key
        await opened(way)
    for ways in (named, picked):
        first, second = [await opened(way) for way in ways]
        assert first == second
        assert first[2] == [STRANGER]
