"""The log says what the answer shows, no less and no more, and what is withheld was asked of nobody.

Random documents over the real graph, answered by the real engine with real policies, cases and access log; only the
agencies and the register are fakes. What an answer shows is read off it here by the naive reading of the document.
"""

import json
import os
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from graphql import GraphQLObjectType, SelectionSetNode, is_composite_type
from hypothesis import HealthCheck, Phase, assume, event, given, settings
from hypothesis import strategies as st

from auth.policy import Facts, Need
from connectors.registry import Declaration, DeclarationKind
from resolvers.documents import Document
from resolvers.operation import Graph
from resolvers.operation_types import FastPath
from schema.answer import AnswerStatus
from schema.case import CaseKind, Purpose, RefusalCode
from schema.disclosure import Agency, Disclosed, Sensitivity
from schema.identifiers import PersonId
from schema.scalars import Coordinate
from tests.resolvers.drawn import Drawn, Naive, documents
from tests.resolvers.world import (
    BABY,
    CLIENT,
    CORE,
    DISCLOSED,
    FAMILY,
    FATHER,
    HUSBAND,
    SIX,
    STRANGER,
    UNCLE,
    WIFE,
    World,
    world_in,
)

SHARED = {"Answer", "AnswerProblem", "Fraction"}
OWN_RECORDS = {"AccessEntryConnection", "AccessEntryEdge", "AccessEntry", "Actor", "AccessedFields", "EntryIntegrity"}
OWN_RECORDS |= {"PageInfo", "Viewer", "Official", "Query", "Withheld", "Refusal"}
"""Types that say nothing of an agency's, or that are not about one person only."""


# ---------------------------------------------------------------- what an answer shows


@dataclass(frozen=True)
class Told:
    """One field of one object of an answer."""

    coordinate: Coordinate
    subject: PersonId | None
    disclosed: Disclosed | None
    leaf: bool
    shown: bool
    """Whether there is a value: no null, no empty list."""


@dataclass
class Reader:
    """Reads an answer beside its document, knowing nothing of plans."""

    world: World
    naive: Naive

    def told(self, data: Mapping[str, Any] | None) -> Iterator[Told]:
        if data is not None:
            type_, sets = self.naive.root()
            yield from self.of_object(data, type_, sets, None, None)

    def of_object(
        self,
        data: Mapping[str, Any],
        type_: GraphQLObjectType,
        sets: list[SelectionSetNode],
        subject: PersonId | None,
        inherited: Disclosed | None,
    ) -> Iterator[Told]:
        about = self.about(type_.name, data, subject)
        for key, nodes in self.naive.collected(type_, sets).items():
            name = nodes[0].name.value
            if name.startswith("__"):
                continue
            assert key in data
            at, value = Coordinate(f"{type_.name}.{name}"), data[key]
            disclosed = inherited if type_.name in SHARED else DISCLOSED.get(at)
            inner = self.naive.field_type(type_, nodes[0])
            yield Told(at, about, disclosed, not is_composite_type(inner), value is not None and value != [])
            if is_composite_type(inner):
                below = [node.selection_set for node in nodes if node.selection_set]
                for item in value if isinstance(value, list) else [value]:
                    if item is not None:
                        object_ = CORE.type_map[
                            item["__typename"] if len(self.naive.objects(inner)) > 1 else inner.name
                        ]
                        assert isinstance(object_, GraphQLObjectType)
                        yield from self.of_object(item, object_, below, about, disclosed)

    def about(self, type_name: str, data: Mapping[str, Any], subject: PersonId | None) -> PersonId | None:
        """Whose data an object of the type holds, told from the ids in the answer."""
        match type_name:
            case "EstateCase" | "BirthCase":
                return self.world.kinds[self.world.case_of(data["id"])].subject
            case "Person":
                return self.person(data["id"])
            case "Heir" | "Parent" | "CaseCandidate":
                return self.person(data["person"]["id"])
            case "Viewer":
                return WIFE
            case "AccessEntryConnection" if subject is None:
                return WIFE
        return subject

    def person(self, sealed: str) -> PersonId:
        parts = self.world.house.ids.opened(CLIENT, sealed)
        assert parts is not None
        return PersonId(parts[-1])


def covered(entries: list[dict[str, Any]], kind: str) -> dict[PersonId, set[str]]:
    """What the entries name, by person."""
    found: defaultdict[PersonId, set[str]] = defaultdict(set)
    for entry in entries:
        if entry["staff"]["subject"] is not None:
            found[PersonId(entry["staff"]["subject"])] |= set(entry[kind])
    return found


def claim(entry: dict[str, Any]) -> str:
    """What an entry says of the answer, however it was come by."""
    kinds = ("subject_role", "records", "answers", "disclosed", "null", "withheld", "failed", "derived", "outcome")
    return json.dumps([entry["staff"]["subject"], *(entry[kind] for kind in kinds)])


# ---------------------------------------------------------------- circumstances


@dataclass(frozen=True)
class Circumstances:
    """Who asks, under what, and how agencies answer."""

    acr: int
    signed_in_s: int
    disputed: bool
    renounced: bool
    protected: bool
    statuses: tuple[AnswerStatus, ...]

    def apply(self, world: World) -> None:
        world.register.family = FAMILY
        if self.disputed:
            world.register.dispute(HUSBAND)
        if self.renounced:
            world.register.declare(Declaration(HUSBAND, WIFE, DeclarationKind.RENUNCIATION, date(2026, 2, 1)))
        if self.protected:
            world.register.protect(BABY)
        for agency, status in zip(world.everyone, self.statuses, strict=True):
            agency.status = status


mostly = st.sampled_from([False] * 5 + [True])
circumstances = st.builds(
    Circumstances,
    acr=st.sampled_from([3, 3, 3, 2, 1]),
    signed_in_s=st.sampled_from([60, 60, 3600]),
    disputed=mostly,
    renounced=mostly,
    protected=mostly,
    statuses=st.tuples(
        *(
            st.sampled_from([AnswerStatus.COMPLETE] * 6 + [AnswerStatus.UNAVAILABLE, AnswerStatus.PARTIAL])
            for _ in range(12)
        )
    ),
)
ROOTS = [
    *['estateCase(id: "HUSBANDS")'] * 4,
    *['birthCase(id: "BABYS")'] * 2,
    'estateCase(id: "FATHERS")',
    'estateCase(id: "FOREIGN")',
    'estateCase(id: "NONSENSE")',
    'node(id: "HUSBANDS")',
    "viewer",
    "accessLog(first: 3)",
]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """On memory where there is some: hundreds of synced writes are not what is tested here."""
    shared = "/dev/shm"  # noqa: S108 - a folder of its own in it
    with tempfile.TemporaryDirectory(dir=shared if os.path.isdir(shared) else None) as made:  # noqa: PTH112
        yield Path(made)


@pytest.fixture
async def world(folder: Path, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    own = folder / str(abs(hash(request.node.nodeid)))
    own.mkdir()
    async with world_in(own) as made:
        yield made


CASES = {
    "HUSBANDS": (CaseKind.ESTATE, HUSBAND, WIFE),
    "FATHERS": (CaseKind.ESTATE, FATHER, WIFE),
    "BABYS": (CaseKind.BIRTH, BABY, WIFE),
    "FOREIGN": (CaseKind.ESTATE, UNCLE, STRANGER),
}


async def named(world: World, text: str) -> str:
    """The text with the ids of the cases that it names; the first time, the cases are opened."""
    if not world.kinds:
        for kind, subject, holder in CASES.values():
            await world.opened(kind, subject, holder)
    for name, record in zip(CASES, world.kinds.values(), strict=True):
        text = text.replace(f'"{name}"', f'"{world.house.ids.sealed(CLIENT, record.kind.name, record.id)}"')
    return text


def facts(world: World, said: Circumstances) -> dict[str, Facts]:
    """What the policies may know, from the circumstances alone, by what agencies call the case's person."""
    who: dict[str, Any] = {
        "assurance": said.acr,
        "fresh": said.signed_in_s <= 900,
        "mandate_active": True,
        "opened_in_time": True,
        "sandbox": True,
    }
    heir = Facts("HEIR", Purpose.ESTATE_DISCOVERY, rank=1, **who)
    of = {
        HUSBAND: replace(heir, dispute=said.disputed, renounced=said.renounced),
        FATHER: heir,
        BABY: Facts("PARENT", Purpose.BIRTH_BENEFITS, protected=said.protected, **who),
    }
    sector_id = world.house.ids.sector_id
    return {sector_id(agency, person): each for agency in SIX for person, each in of.items()}


# ---------------------------------------------------------------- what must hold of every answer


def every_leaf_has_its_entry(told: list[Told], disclosed: Mapping[PersonId, set[str]]) -> None:
    for each in told:
        if each.leaf and each.shown and each.disclosed is not None:
            assert each.subject is not None, each
            assert each.coordinate in disclosed[each.subject], each


def no_entry_claims_more(told: list[Told], disclosed: Mapping[PersonId, set[str]]) -> None:
    shown: defaultdict[PersonId, set[str]] = defaultdict(set)
    for each in told:
        if each.shown and each.subject is not None:
            shown[each.subject].add(each.coordinate)
    for subject, claimed in disclosed.items():
        ours = {each for each in claimed if each.partition(".")[0] not in OWN_RECORDS}
        assert ours <= shown[subject], (subject, ours - shown[subject])


def what_is_withheld_reached_nobody(world: World, entries: list[dict[str, Any]], said: Circumstances) -> bool:
    """Whether anything was withheld at all."""
    withheld: defaultdict[str, set[str]] = defaultdict(set)
    for entry in entries:
        assert set(entry["withheld"]).isdisjoint(entry["disclosed"])
        if entry["subject_role"] in {"deceased", "child"}:
            withheld[entry["staff"]["subject"]] |= set(entry["withheld"])
    known = facts(world, said)
    for agency in world.everyone:
        for question in agency.questions:
            people = {world.house.ids.sector_id(agency.agency, person): person for _, person, _ in CASES.values()}
            assert withheld[people[question.person]].isdisjoint(question.coordinates)
            disclosed = [DISCLOSED[Coordinate(each)] for each in question.coordinates]
            needs = [Need(each.agency, each.sensitivity, third_party=each.third_party) for each in disclosed]
            ruling = world.house.policies.ruling(known[question.person], needs)
            assert all(ruling[need].shows for need in needs), (agency.section, said)
    return any(withheld.values())


@settings(
    max_examples=120,
    derandomize=True,
    deadline=None,
    phases=[Phase.generate],  # an answer that is wrong is told at once; shrinking it takes minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(drawn=documents(CORE, ROOTS), said=circumstances)
async def test_entries_cover_what_is_shown_and_claim_no_more_and_what_is_withheld_reached_nobody(
    world: World, drawn: Drawn, said: Circumstances
) -> None:
    text = await named(world, drawn.text)
    document = world.graph.documents.take(text)
    assume(isinstance(document, Document))
    assert isinstance(document, Document)
    world.forget()
    said.apply(world)
    reply = await world.ask(text, drawn.variables, token=world.token(acr=said.acr, signed_in_s=said.signed_in_s))
    entries = await world.new_entries()
    assert [entry["id"] for entry in entries] == list(reply.entry_ids)
    assert "INTERNAL" not in {each["extensions"]["code"] for each in reply.errors}, reply.errors

    slow = Graph(CORE, world.graph.documents, world.house, fast_path=FastPath.OFF)
    again = await slow.answer(
        world.request(text, drawn.variables, token=world.token(acr=said.acr, signed_in_s=said.signed_in_s))
    )
    recorded = await world.new_entries()
    if "ccessLog" not in text:  # which tells of the first question by now
        assert json.dumps(again.data) == json.dumps(reply.data)
        assert sorted(map(json.dumps, again.errors)) == sorted(map(json.dumps, reply.errors))
        assert sorted(map(claim, recorded)) == sorted(map(claim, entries))

    told = list(Reader(world, Naive(CORE, document.node, drawn.variables)).told(reply.data))
    disclosed = covered(entries, "disclosed")
    every_leaf_has_its_entry(told, disclosed)
    no_entry_claims_more(told, disclosed)
    if what_is_withheld_reached_nobody(world, entries, said):
        event("something was withheld")
    if any(agency.asked for agency in world.everyone):
        event("an agency was asked")
    if any(each.leaf and each.shown and each.disclosed for each in told):
        event("something was shown")


# ---------------------------------------------------------------- what random documents seldom meet

ALL_OF_IT = """query ($id: ID!) { estateCase(id: $id) { id deceased { id name address maskedRegistrationNumber }
  land { answer { status } parcels { pnu assessedValue encumbrances { holder maximumClaim } } }
  finance { answer { status } deposits { id balance } }
  withheld { coordinate sensitivity refusal { code } } } }"""


async def test_a_field_asked_only_in_the_second_of_two_merged_places_is_asked_shown_and_recorded(
    world: World, husbands: str, fathers: str
) -> None:
    world.estate[Agency.LAND].full = True
    reply = await world.ask(
        """query ($a: ID!, $b: ID!) { a: estateCase(id: $a) { ...F land { answer { source } } }
             b: estateCase(id: $b) { ...F land { answer { asOf } parcels { assessedValue } } } }
           fragment F on EstateCase { land { parcels { pnu } } }""",
        {"a": husbands, "b": fathers},
    )
    assert reply.data is not None
    assert reply.data["b"]["land"]["answer"]["asOf"] is not None
    assert all(parcel["assessedValue"] is not None for parcel in reply.data["b"]["land"]["parcels"])
    disclosed = covered(await world.entries(reply), "disclosed")
    assert {"Answer.asOf", "LandParcel.pnu", "LandParcel.assessedValue"} <= disclosed[FATHER]
    assert all("LandParcel.assessedValue" in question.coordinates for question in world.estate[Agency.LAND].questions)


async def test_without_a_fresh_sign_in_amounts_are_null_named_and_never_asked(world: World, husbands: str) -> None:
    reply = await world.ask(ALL_OF_IT, {"id": husbands}, token=world.token(acr=2))
    assert reply.data is not None
    said = {each["coordinate"]: each["refusal"]["code"] for each in reply.data["estateCase"]["withheld"]}
    step_up = RefusalCode.STEP_UP_REQUIRED.name
    amounts = {"LandParcel.assessedValue", "LandParcel.encumbrances", "Deposit.balance"}
    assert {each: said.get(each) for each in amounts} == dict.fromkeys(amounts, step_up)
    assert said["Person.maskedRegistrationNumber"] == step_up
    (entry,) = await world.entries(reply)
    assert amounts <= set(entry["withheld"])
    assert entry["outcome"] == "PARTIAL"
    asked = {each for agency in world.everyone for question in agency.questions for each in question.coordinates}
    assert asked.isdisjoint(said)
    assert not any(DISCLOSED[Coordinate(each)].sensitivity >= Sensitivity.AMOUNT for each in asked)


@pytest.mark.parametrize(
    ("agency", "coordinate"),
    [
        (Agency.LAND, "LandParcel.assessedValue"),
        (Agency.LAND, "LandParcel.encumbrances"),
        (Agency.FINANCE, "Deposit.balance"),
    ],
)
async def test_a_connector_that_hands_over_what_is_withheld_is_an_error_of_ours_and_shows_nothing(
    world: World, husbands: str, agency: Agency, coordinate: str
) -> None:
    world.estate[agency].full = True
    world.estate[agency].leaks = frozenset({coordinate})
    reply = await world.ask(ALL_OF_IT, {"id": husbands}, token=world.token(acr=2))
    assert coordinate not in world.estate[agency].questions[0].coordinates
    assert reply.data is None
    (error,) = reply.errors
    assert error["extensions"]["code"] == "INTERNAL"
    assert error["extensions"]["incident"] in error["message"]
    assert coordinate not in str(error)
    (entry,) = await world.entries(reply)
    assert entry["disclosed"] == entry["null"] == []
