"""The race of a revocation against an agency that is slow: a hundred rounds, revoked at a moment drawn from a seed.

An answer is released when the mandates have been looked at once more. A mandate that ended before that look shows
nothing; one that ends after it ends with the next question.
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Sequence
from datetime import datetime

import pytest

from resolvers.operation_types import Reply
from schema.case import CaseKind
from schema.disclosure import Agency
from tests.resolvers.world import HUSBAND, PERSONS, WIFE, World

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
