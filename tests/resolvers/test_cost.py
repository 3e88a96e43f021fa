"""What a question costs, counted in calls of Python functions: the same on every machine. Time is for benchmarks/.

Fixed questions in a fixed world whose agencies have their answers at hand. `CALLS` is what each cost when it was
counted last. A tenth more fails; whoever saves much writes the better figure down, or later losses would hide in it.
"""

import asyncio
import gc
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from msgspec.structs import replace as changed

from connectors.connector import Answered, Asked
from resolvers.context import Context
from tests.resolvers.test_completeness import EVERYTHING
from tests.resolvers.world import FakeAgency, World

PARCELS = """query ($id: ID!) { estateCase(id: $id) { land { answer { status }
  parcels { pnu address ledger category areaM2 pricePerM2 priceYear acquiredOn } } } }"""
CALLS = {"the whole estate": 2_512, "two parcels": 1_448, "two hundred parcels": 1_448}


def at_hand(agency: FakeAgency, times: int = 1) -> Callable[[Asked], Answered[Any]]:
    """What the agency says to the first question, with its lists so many times over, to every question."""
    agency.full, agency.answers = True, None
    kept: list[Answered[Any]] = []

    def answers(asked: Asked) -> Answered[Any]:
        if not kept:
            agency.answers = None
            said = agency.answered(asked)
            agency.answers = answers
            for name, value in vars(said.section).items():
                if isinstance(value, list):
                    setattr(said.section, name, value * times)
            kept.append(said)
        return changed(kept[0])

    return answers


async def calls(world: World, text: str, case: str) -> int:
    """Calls in this thread from the question to the reply, with everything kept that is kept from one to the next."""
    for _ in range(3):
        await world.ask(text, {"id": case})
    token, here, counted = world.token(), threading.get_ident(), 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal counted
        counted += event == "call" and threading.get_ident() == here

    sys.setprofile(count)
    try:
        reply = await world.ask(text, {"id": case}, token=token)
    finally:
        sys.setprofile(None)
    assert not reply.errors
    return counted


@pytest.mark.parametrize(
    ("question", "text", "times"),
    [("the whole estate", EVERYTHING, 1), ("two parcels", PARCELS, 1), ("two hundred parcels", PARCELS, 100)],
)
async def test_a_question_costs_what_it_cost(world: World, husbands: str, question: str, text: str, times: int) -> None:
    for agency in world.estate.values():
        agency.answers = at_hand(agency, times)
    counted = await calls(world, text, husbands)
    assert counted <= 1.1 * CALLS[question], f"{counted} calls where {CALLS[question]} were counted last"


def contexts() -> list[Context]:
    """Those that have not gone."""
    return [each for each in gc.get_objects() if isinstance(each, Context)]


@pytest.mark.parametrize(
    "text",
    [
        EVERYTHING,
        """query ($id: ID!) { a: estateCase(id: $id) { answers { status } } b: estateCase(id: $id) { ...F } }
           fragment F on EstateCase { land { parcels { pnu } } }""",
    ],
    ids=["whole", "twice"],
)
async def test_what_was_known_of_a_person_goes_with_the_operation(world: World, husbands: str, text: str) -> None:
    """Of what is compiled; graphql-core's own executor leaves a cycle."""
    await world.ask(text, {"id": husbands})
    gc.collect()
    others = contexts()  # of tests that keep theirs
    gc.disable()
    try:
        await world.ask(text, {"id": husbands})
        await asyncio.sleep(0)  # what tasks still tell each other when they are done
        assert [each for each in contexts() if not any(each is other for other in others)] == []
    finally:
        gc.enable()
