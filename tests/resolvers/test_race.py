"""The race of a revocation, or of what the register is told, against an agency that is slow: a hundred rounds each.

An answer is released when the mandates and the register have been looked at once more. What ended before that look
shows nothing; what ends after it ends with the next question.
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace as changed

from connectors.registry import Declaration, DeclarationKind
from resolvers.operation_types import Reply
from schema.answer import AnswerStatus
from schema.case import CaseKind
from schema.disclosure import Agency
from tests.resolvers.world import HUSBAND, NOW, PERSONS, WIFE, World

QUESTION = """query($id: ID!) { estateCase(id: $id) {
  number deceased { name } land { parcels { address } } finance { deposits { balance } } heirs { person { name } }
} }"""
ROUNDS = 100


class Clock:
    """What happened in which order."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.order: list[str] = []
        self.looked = asyncio.Event()
        look = world.house.cases.still_active

        async def looked(mandates: Sequence[str], now: datetime) -> bool:
            self.order.append("looking")
            found = await look(mandates, now)
            self.order.append("looked")
            self.looked.set()
            return found

        monkeypatch.setattr(world.house.cases, "still_active", looked)

    def was(self, first: str, then: str) -> bool:
        return self.order.index(first) < self.order.index(then)


async def one_round(world: World, clock: Clock, dice: random.Random) -> Reply:
    """Ask; let the land agency wait, and revoke, each for a while."""
    case = await world.opened(CaseKind.ESTATE, HUSBAND, WIFE)
    (mandate,) = [each for each in await world.house.cases.mandates(world.case_of(case)) if each.revoked_at is None]
    land = world.estate[Agency.LAND]
    land.entered.clear()
    land.released.clear()
    clock.order.clear()
    clock.looked.clear()
    asking = asyncio.create_task(world.ask(QUESTION, {"id": case}))
    await land.entered.wait()

    async def revoke() -> None:
        clock.order.append("revoking")
        await world.house.cases.revoke(mandate.id, mandate.holder, "Enough.", world.time[0])
        clock.order.append("revoked")

    async def in_a_while() -> None:
        await asyncio.sleep(dice.uniform(0, 0.03))
        await revoke()

    moment = dice.choice(["while the agency is asked", "at once with its answer", "when the look is over"])
    if moment == "while the agency is asked":
        await revoke()
    land.released.set()
    if moment == "at once with its answer":
        await in_a_while()
    if moment == "when the look is over":
        await clock.looked.wait()
        await revoke()
    return await asking


async def test_nothing_is_shown_of_a_case_whose_mandate_ended_before_release(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, dice = Clock(world, monkeypatch), random.Random(3)  # noqa: S311 - the same rounds each time
    sides: Counter[str] = Counter()
    for _ in range(ROUNDS):
        reply = await one_round(world, clock, dice)
        entries = await world.entries(reply)
        told = [entry["disclosed"] + entry["null"] for entry in entries]
        if clock.was("revoked", "looking"):
            sides["before"] += 1
            assert reply.data is None
        elif clock.was("looked", "revoking"):
            sides["after"] += 1
            assert reply.data is not None
        else:
            sides["at once"] += 1
        if reply.data is None:
            assert [each["extensions"]["code"] for each in reply.errors] == ["NOT_ACCESSIBLE"]
            assert PERSONS[HUSBAND].name not in json.dumps([reply.errors, reply.extensions], ensure_ascii=False)
            assert not any(told)
        else:
            assert any(told)
        assert entries
    assert sides.total() == ROUNDS
    assert min(sides["before"], sides["after"]) >= 20, sides


# ---------------------------------------------------------------- what the register is told


def dies(world: World) -> None:
    dead = changed(PERSONS[WIFE], death_date=NOW.date())
    world.register.family = replace(world.register.family, persons={**world.register.family.persons, WIFE: dead})


TOLD: dict[str, tuple[Callable[[World], None], str]] = {
    "a renunciation": (
        lambda world: world.register.declare(Declaration(HUSBAND, WIFE, DeclarationKind.RENUNCIATION, NOW.date())),
        "NOT_ACCESSIBLE",
    ),
    "a dispute": (lambda world: world.register.dispute(HUSBAND), "OVERLOADED"),
    "protection": (lambda world: world.register.protect(HUSBAND), "NOT_ACCESSIBLE"),
    "the heir's death": (dies, "NOT_ACCESSIBLE"),
}


class Register:
    """When the register was asked, and told."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.order: list[str] = []
        self.looked = asyncio.Event()
        relatives = world.register.relatives

        async def asked(*told: Any) -> Any:
            self.order.append("asking")
            found = await relatives(*told)
            self.order.append("asked")
            self.looked.set()
            return found

        monkeypatch.setattr(world.register, "relatives", asked)

    def last(self, what: str) -> int:
        return max(index for index, each in enumerate(self.order) if each == what)


async def test_nothing_is_shown_that_the_register_took_back_while_an_agency_was_asked(
    world: World, husbands: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    register, dice = Register(world, monkeypatch), random.Random(5)  # noqa: S311 - the same rounds each time
    land, before, sides = world.estate[Agency.LAND], world.register.family, Counter[str]()
    for number in range(ROUNDS):
        tell, code = list(TOLD.values())[number % len(TOLD)]
        world.register.family = before
        register.order.clear()
        land.entered.clear()
        land.released.clear()
        asking = asyncio.create_task(world.ask(QUESTION, {"id": husbands}))
        await land.entered.wait()
        world.time[0] += timedelta(seconds=1)
        register.looked.clear()
        moment = dice.choice(["while the agency is asked", "at once with its answer", "when the look is over"])
        if moment != "while the agency is asked":
            land.released.set()
        if moment == "at once with its answer":
            await asyncio.sleep(dice.uniform(0, 0.03))
        if moment == "when the look is over":
            await register.looked.wait()
        register.order.append("told")
        tell(world)
        land.released.set()
        reply = await asking
        told = register.order.index("told")
        entries = await world.entries(reply)
        if told < register.last("asking"):
            sides["before"] += 1
            assert (reply.data, [each["extensions"]["code"] for each in reply.errors]) == (None, [code])
        elif told > register.last("asked"):
            sides["after"] += 1
            assert reply.data is not None
        if reply.data is None:
            assert PERSONS[HUSBAND].name not in json.dumps([reply.errors, reply.extensions], ensure_ascii=False)
            assert entries
            assert not any(entry["disclosed"] + entry["null"] for entry in entries)
    assert min(sides["before"], sides["after"]) >= 20, sides


@pytest.mark.parametrize("event", TOLD)
async def test_a_stream_ends_with_the_first_event_after_the_register_took_the_case_back(
    world: World, husbands: str, event: str
) -> None:
    watch = "subscription ($id: ID!) { caseUpdated(id: $id) { answer { status } case { id } } }"
    stream = await world.graph.subscribe(world.request(watch, {"id": husbands}))
    assert not isinstance(stream, Reply)
    coming = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    TOLD[event][0](world)
    await world.ask("query($id: ID!) { estateCase(id: $id) { land { answer { status } } } }", {"id": husbands})
    await world.house.cases.note(world.case_of(husbands), {Agency.LAND: AnswerStatus.PENDING}, world.time[0])
    world.house.changes.announce(world.case_of(husbands))
    reply = await asyncio.wait_for(coming, 5)
    if event == "a dispute":  # hides amounts, and the event tells none
        assert reply.data is not None
    else:
        assert (reply.data, [each["extensions"]["code"] for each in reply.errors]) == (None, ["NOT_ACCESSIBLE"])
        assert [each async for each in stream] == []


async def test_a_register_that_is_silent_at_the_last_look_shows_nothing(world: World, husbands: str) -> None:
    land = world.estate[Agency.LAND]
    land.released.clear()
    asking = asyncio.create_task(world.ask(QUESTION, {"id": husbands}))
    await land.entered.wait()
    world.time[0] += timedelta(seconds=1)
    world.register.silent = True
    land.released.set()
    reply = await asking
    assert (reply.data, [each["extensions"]["code"] for each in reply.errors]) == (None, ["OVERLOADED"])
    assert "FAILED" in {entry["outcome"] for entry in await world.entries(reply)}
