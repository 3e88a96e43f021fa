"""An operation that is compiled as a whole answers, and records, what graphql-core would.

Every question is asked twice of the same world: with the compiled operation and without any fast path. `SAMENESS=10000`
is the drill; CI asks fewer.
"""

import asyncio
import inspect
import json
import os
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from connectors.connector import Answered, Asked
from resolvers import operation, whole
from resolvers.context import Shown
from resolvers.documents import Document
from resolvers.operation import Graph
from resolvers.operation_types import FastPath, Reply
from resolvers.recording import RecordingExecutor
from resolvers.whole import Whole
from schema.answer import AnswerStatus
from schema.case import CaseKind
from schema.disclosure import Agency
from tests.resolvers.drawn import Drawn, documents
from tests.resolvers.test_completeness import EVERYTHING
from tests.resolvers.test_witness import claim
from tests.resolvers.world import BABY, CORE, FATHER, HUSBAND, STRANGER, UNCLE, WIFE, FakeAgency, World

TIMES = int(os.environ.get("SAMENESS", "80"))
ESTATE = Path(__file__).parents[2].joinpath("benchmarks", "estate.graphql").read_text()
CASES = {
    "HUSBANDS": (CaseKind.ESTATE, HUSBAND, WIFE),
    "FATHERS": (CaseKind.ESTATE, FATHER, WIFE),
    "BABYS": (CaseKind.BIRTH, BABY, WIFE),
    "FOREIGN": (CaseKind.ESTATE, UNCLE, STRANGER),
}
ROOTS = [*['estateCase(id: "HUSBANDS")'] * 4, *['birthCase(id: "BABYS")'] * 3, 'estateCase(id: "FATHERS")'] * 2
ROOTS += ['estateCase(id: "FOREIGN")', 'estateCase(id: "NONSENSE")']


@dataclass(repr=False)
class Ways:
    """The same house by both ways, and how often an answer came from the compiled operation."""

    world: World
    fast: Graph
    slow: Graph
    whole: int = 0
    ids: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, world: World) -> "Ways":
        slow = Graph(CORE, world.graph.documents, world.house, fast_path=FastPath.OFF)
        return cls(world, Graph(CORE, world.graph.documents, world.house), slow)

    async def named(self, text: str) -> str:
        """The text with the ids of the cases that it names."""
        for name, case in CASES.items():
            if name not in self.ids:
                self.ids[name] = await self.world.opened(*case)
            text = text.replace(f'"{name}"', f'"{self.ids[name]}"')
        return text

    async def said(self, graph: Graph, text: str, variables: dict[str, Any]) -> Any:
        """What is answered, and what is recorded of it."""
        self.world.forget()
        reply = await graph.answer(self.world.request(text, variables))
        return sent(reply), sorted(map(claim, await self.world.new_entries()))

    async def differ(self, text: str, variables: dict[str, Any] | None = None) -> Any:
        """What the two ways say, where it is not the same."""
        assert isinstance(self.world.graph.documents.take(text), Document), text
        counted = Counted.count
        fast = await self.said(self.fast, text, variables or {})
        self.whole += Counted.count - counted
        slow = await self.said(self.slow, text, variables or {})
        return None if fast == slow else (text, fast, slow)


def sent(reply: Reply) -> Any:
    """Data byte for byte, errors in any order."""
    return orjson.dumps(reply.data).decode(), sorted(json.dumps(each, default=str) for each in reply.errors)


class Counted:
    """How often a compiled operation gave the answer."""

    count = 0


@pytest.fixture(autouse=True)
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = Whole.answered

    async def counting(self: Whole, *args: Any) -> Any:
        found = await answered(self, *args)
        Counted.count += found is not None
        return found

    monkeypatch.setattr(Whole, "answered", counting)


statuses = st.tuples(
    *(
        st.sampled_from([AnswerStatus.COMPLETE] * 6 + [AnswerStatus.UNAVAILABLE, AnswerStatus.PARTIAL])
        for _ in range(12)
    )
)


@settings(
    max_examples=TIMES,
    derandomize=True,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(drawn=documents(CORE, ROOTS), answers=statuses)
async def test_random_questions_are_answered_and_recorded_alike(
    ways: Ways, drawn: Drawn, answers: tuple[AnswerStatus, ...]
) -> None:
    text = await ways.named(drawn.text)
    assume("ccessLog" not in text)  # which tells of the first time at the second
    assume(isinstance(ways.world.graph.documents.take(text), Document))
    for agency, status in zip(ways.world.everyone, answers, strict=True):
        agency.status = status
    difference = await ways.differ(text, drawn.variables)
    assert difference is None, difference


@pytest.fixture
async def ways(world: World) -> Ways:
    return Ways.of(world)


async def test_most_random_questions_are_compiled_as_a_whole(ways: Ways) -> None:
    asked = 0

    @settings(max_examples=40, derandomize=True, deadline=None, phases=[Phase.generate])
    @given(drawn=documents(CORE, ROOTS[:8]))
    def gathered(drawn: Drawn) -> None:
        texts.append(drawn)

    texts: list[Drawn] = []
    gathered()
    for drawn in texts:
        text = await ways.named(drawn.text)
        if "ccessLog" not in text and isinstance(ways.world.graph.documents.take(text), Document):
            asked += 1
            difference = await ways.differ(text, drawn.variables)
    assert difference is None, difference
    assert asked > 20
    assert ways.whole > asked / 2


@pytest.mark.parametrize("text", [ESTATE, EVERYTHING])
async def test_the_estate_question_is_compiled_as_a_whole(ways: Ways, husbands: str, text: str) -> None:
    for agency in ways.world.everyone:
        agency.full = True
    assert await ways.differ(text, {"id": husbands}) is None
    assert ways.whole == 1


@pytest.mark.parametrize(("path", "walks"), [("on", (0, 0)), ("selections", (1, 0)), ("off", (1, 1))])
async def test_each_compiled_way_is_turned_off_by_itself(
    ways: Ways, husbands: str, monkeypatch: pytest.MonkeyPatch, path: str, walks: tuple[bool, bool]
) -> None:
    """Whether graphql-core walks the case, and the parcels in it."""
    walked: set[str] = set()
    complete = RecordingExecutor.complete_object_value

    def noted(self: Any, return_type: Any, *rest: Any) -> Any:
        walked.add(return_type.name)
        return complete(self, return_type, *rest)

    monkeypatch.setattr(RecordingExecutor, "complete_object_value", noted)
    graph = Graph(CORE, ways.world.graph.documents, ways.world.house, fast_path=FastPath(path))
    told = await ways.said(graph, LAND, {"id": husbands})
    assert ("EstateCase" in walked, "LandParcel" in walked) == walks
    assert told == await ways.said(ways.slow, LAND, {"id": husbands})


# ---------------------------------------------------------------- exactly one fault

ODD: list[Any] = [
    None,
    "",
    "x",
    -1,
    2**31,
    2**63,
    1.5,
    True,
    [],
    [None],
    {},
    object(),
    ValueError("odd"),
    Decimal("NaN"),
]


def odd_in(path: tuple[str, ...], value: Any) -> Callable[[Answered[Any]], None]:
    """Put a value where the section has another."""

    def put(answered: Answered[Any]) -> None:
        at: Any = answered.section
        for name in path[:-1]:
            at = getattr(at, name)
            at = at[0] if isinstance(at, list) else at
        setattr(at, path[-1], value)

    return put


PLACES = [
    (Agency.LAND, ("parcels",)),
    (Agency.LAND, ("parcels", "pnu")),
    (Agency.LAND, ("parcels", "area_m2")),
    (Agency.LAND, ("parcels", "price_per_m2")),
    (Agency.LAND, ("parcels", "ledger")),
    (Agency.LAND, ("answer",)),
    (Agency.LAND, ("answer", "retrieved_at")),
    (Agency.LAND, ("answer", "source")),
    (Agency.LAND, ("answer", "problems")),
    (Agency.TAX, ("items", "due_on")),
]
LAND = """query ($id: ID!) { estateCase(id: $id) { id number
  land { answer { agency status source retrievedAt problems { code message } }
    parcels { pnu address ledger areaM2 pricePerM2 priceYear acquiredOn ownershipShare { numerator } } }
  tax { answer { status } items { id level assessed dueOn } } status } }"""


@pytest.mark.parametrize(("agency", "path"), PLACES)
async def test_one_odd_value_of_an_agency_is_answered_alike(
    ways: Ways, husbands: str, agency: Agency, path: tuple[str, ...]
) -> None:
    for each in ways.world.everyone:
        each.full = True
    assert await ways.differ(LAND, {"id": husbands}) is None
    bureau, fired = ways.world.estate[agency], 0
    for value in ODD:
        put = odd_in(path, value)

        def odd(asked: Asked, put: Callable[[Answered[Any]], None] = put) -> Answered[Any]:
            nonlocal fired
            bureau.answers = None
            said = bureau.answered(asked)
            bureau.answers = odd
            put(said)
            fired += 1
            return said

        bureau.answers = odd
        fast, slow = (
            await ways.said(ways.fast, LAND, {"id": husbands}),
            await ways.said(ways.slow, LAND, {"id": husbands}),
        )
        assert without_incidents(fast) == without_incidents(slow), value
    assert fired == 2 * len(ODD)


def without_incidents(said: Any) -> Any:
    """Every incident has a number of its own."""
    (data, errors), entries = said
    plain = [orjson.loads(each) for each in errors]
    for each in plain:
        if each["extensions"].get("incident"):
            each["extensions"]["incident"] = each["message"] = ""
    return data, sorted(json.dumps(each) for each in plain), entries


async def test_an_agency_that_fails_in_any_way_is_answered_by_the_compiled_operation(ways: Ways, husbands: str) -> None:
    land = ways.world.estate[Agency.LAND]
    for status in AnswerStatus:
        land.status = status
        assert await ways.differ(EVERYTHING, {"id": husbands}) is None, status
    land.raises = ValueError("odd")
    assert await ways.differ(EVERYTHING, {"id": husbands}) is None
    assert ways.whole == len(AnswerStatus) + 1


async def test_sections_are_completed_as_they_come_and_waited_for(ways: Ways, husbands: str) -> None:
    land, tax = ways.world.estate[Agency.LAND], ways.world.estate[Agency.TAX]
    land.released.clear()
    asked = asyncio.ensure_future(ways.said(ways.fast, LAND, {"id": husbands}))
    await tax.entered.wait()
    await land.entered.wait()
    assert not asked.done()
    land.released.set()
    fast = await asked
    assert fast == await ways.said(ways.slow, LAND, {"id": husbands})
    assert Counted.count


async def test_what_was_asked_in_vain_on_both_ways_is_one_attempt(ways: Ways, husbands: str) -> None:
    text = "query ($id: ID!) { estateCase(id: $id) { mandate { role } land { parcels { pnu } } } }"
    ways.world.register.silent = True
    said = await ways.said(ways.fast, text, {"id": husbands})
    assert said == await ways.said(ways.slow, text, {"id": husbands})
    assert len(said[1]) == 1


async def test_a_question_that_surprises_too_often_is_left_to_graphql_core(ways: Ways, husbands: str) -> None:
    land = ways.world.estate[Agency.LAND]
    land.answers = no_answer(land)
    for _ in range(20):
        assert without_incidents(await ways.said(ways.fast, LAND, {"id": husbands}))
    land.answers = None
    assert await ways.differ(LAND, {"id": husbands}) is None
    assert ways.whole == 0


# ---------------------------------------------------------------- a compiler that is wrong is noticed

TWO = """query ($id: ID!, $yes: Boolean!) { first: estateCase(id: $id) { ...F here: __typename }
  second: estateCase(id: $id) { tax @include(if: $yes) { items { id } } id } }
fragment F on EstateCase { x: number land { answer { status } } again: land { parcels { pnu } } id
  heirs { person { name } standing representing { name } } mandates { role holder { name } onBehalfOf { name } }
  deadlines { code } withheld { coordinate refusal { code message(language: KO) remedy } } }"""

MUTANTS = {
    "a null where none may be": ("if value is None and self.nullable:", "if value is None:"),
    "no null at all": ("if value is None and self.nullable:", "if False:"),
    "nobody knows whose data it is": ("if self.type_name in NOTED:", "if False:"),
    "sections are not waited for": ("await arriving.all()", "pass"),
    "a section that does not fit is left out": ("if self._given_up is not None:", "if False:"),
    "records are not noted": ("operation.completed[*path, self.key] = Projected", "_ = Projected"),
    "one place for all of a list": ("(*path, at), operation", "path, operation"),
    "keys as they come": ("{**self.keys, **self.leaves(value)}", "self.leaves(value)"),
    "names instead of aliases": ('leaves.append(f"{key!r}: {leaf}")', 'leaves.append(f"{name!r}: {leaf}")'),
    "the type's name under its own name": ("{key!r}: {type_.name!r}", "{name!r}: {type_.name!r}"),
    "arguments are forgotten": (
        "operation.variables) if definition.args else {}",
        "operation.variables) if False else {}",
    ),
    "a surprise is an error": ("except Exception:  # whatever", "except ZeroDivisionError:  # whatever"),
    "a refusal is an error": ("except GraphQLError:", "except ZeroDivisionError:"),
    "only the first root": ("for root in self.roots", "for root in self.roots[:1]"),
}
"""What is wrong, and how it comes about: a text of the module, and what stands there instead."""


def mutated(old: str, new: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    source = inspect.getsource(whole)
    assert source.count(old) >= 1, old
    module = types.ModuleType("mutant")
    monkeypatch.setitem(sys.modules, "mutant", module)  # where dataclasses look their annotations up
    exec(source.replace(old, new), module.__dict__)  # noqa: S102 - our own source, made wrong
    return module


@pytest.mark.parametrize("wrong", MUTANTS)
async def test_a_compiler_that_is_wrong_is_noticed(ways: Ways, monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setattr(operation, "whole", mutated(*MUTANTS[wrong], monkeypatch).whole)
    assert await noticed(ways)


async def noticed(ways: Ways) -> bool:
    """Whether the two ways ever differ, or the compiled operation is not used where it should be."""
    husbands, foreign = await ways.named('"HUSBANDS"'), await ways.named('"FOREIGN"')
    land = ways.world.estate[Agency.LAND]
    try:
        for yes in (True, False):
            if await ways.differ(TWO, {"id": husbands.strip('"'), "yes": yes}) or await ways.differ(
                TWO, {"id": foreign.strip('"'), "yes": yes}
            ):
                return True
        if await ways.differ(ESTATE, {"id": husbands.strip('"')}) or ways.whole != 3:
            return True
        land.answers = no_answer(land)
        fast = await ways.said(ways.fast, LAND, {"id": husbands.strip('"')})
        return without_incidents(fast) != without_incidents(
            await ways.said(ways.slow, LAND, {"id": husbands.strip('"')})
        )
    except Exception:  # noqa: BLE001 - a mutant may break in any way
        return True


def no_answer(bureau: FakeAgency) -> Callable[[Asked], Answered[Any]]:
    """A section that does not say how it stands, which none may."""

    def odd(asked: Asked) -> Answered[Any]:
        bureau.answers = None
        said = bureau.answered(asked)
        bureau.answers = odd
        said.section.answer = None
        return said

    return odd


async def test_the_questions_that_find_a_wrong_compiler_find_nothing_in_the_right_one(ways: Ways) -> None:
    assert not await noticed(ways)


# ---------------------------------------------------------------- what is kept with a plan


async def test_a_ruling_is_laid_out_once_for_as_long_as_its_verdicts_are_remembered(
    ways: Ways, husbands: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    laid_out = 0
    made = Shown.__init__

    def counting(self: Shown, *args: Any, **kwargs: Any) -> None:
        nonlocal laid_out
        laid_out += 1
        made(self, *args, **kwargs)

    monkeypatch.setattr(Shown, "__init__", counting)
    await ways.said(ways.fast, LAND, {"id": husbands})
    first = laid_out
    assert first > 0
    await ways.said(ways.fast, LAND, {"id": husbands})
    assert laid_out == first
    ways.world.house.policies.forget()  # a mandate was ended
    await ways.said(ways.fast, LAND, {"id": husbands})
    assert laid_out == 2 * first
    ways.world.register.dispute(HUSBAND)  # other facts
    await ways.said(ways.fast, LAND, {"id": husbands})
    assert laid_out == 3 * first
