"""The plan of a document: the same coordinates, of the same persons, as the naive reading finds."""

from collections.abc import Mapping
from typing import Any

import pytest
from graphql import SelectionSetNode, is_composite_type
from graphql.type import GraphQLObjectType
from hypothesis import Phase, assume, given, settings

from resolvers.documents import Document, Documents, Limits
from resolvers.plan import Part, Plan, Plans, Region, condition_variables
from schema.disclosure import Disclosed, disclosures
from serving import program
from tests.resolvers.drawn import Drawn, Naive, documents

CORE = program.schema()._schema
DISCLOSED = disclosures(CORE)
DOCUMENTS = Documents(CORE, Limits())
ROOTS = ['estateCase(id: "1")', 'birthCase(id: "2")', 'node(id: "3")', "viewer", "accessLog(first: 3)"]
SHARED = {"Answer", "AnswerProblem", "Fraction"}
REGIONS = {
    "EstateCase": (Region.ESTATE, Part.PERSON),
    "BirthCase": (Region.BIRTH, Part.PERSON),
    "Viewer": (Region.SELF, Part.SELF),
    "CaseCandidate": (Region.CANDIDATE, Part.PERSON),
    "AccessEntryConnection": (Region.LOG, Part.SELF),
    "AccessEntry": (Region.LOG, Part.SELF),
    "Finding": (Region.LOG, Part.SELF),
    "FindingConnection": (Region.LOG, Part.SELF),
    "FindingPayload": (Region.LOG, Part.SELF),
    "Actor": (Region.LOG, Part.SELF),
    "RequestAnswersPayload": (Region.REQUEST, Part.PERSON),
    "MandatePayload": (Region.MANDATE, Part.PERSON),
    "CaseUpdate": (Region.UPDATE, Part.PERSON),
}
OTHERS = {
    "EstateCase.heirs": Part.HEIR,
    "BirthCase.parents": Part.PARENT,
    "Mandate.holder": Part.HOLDER,
    "Mandate.onBehalfOf": Part.HOLDER,
    "EstateCase.deceased": Part.PERSON,
    "BirthCase.child": Part.PERSON,
    "CaseCandidate.person": Part.PERSON,
}

Place = tuple[Region, Part] | None
Reads = set[tuple[Region, Part, str, Disclosed | None, bool, bool]]


def naive_reads(naive: Naive) -> Reads:
    """What the document reads, expanded without memory."""
    found: Reads = set()

    def visit(
        type_: GraphQLObjectType, sets: list[SelectionSetNode], place: Place, inherited: Disclosed | None
    ) -> None:
        for nodes in naive.collected(type_, sets).values():
            name = nodes[0].name.value
            if name.startswith("__"):
                continue
            at = f"{type_.name}.{name}"
            shared = type_.name in SHARED
            disclosed = inherited if shared else DISCLOSED.get(at)  # type: ignore[call-overload]  # a NewType over str
            inner = naive.field_type(type_, nodes[0])
            if place is not None:
                found.add((*place, at, disclosed, not is_composite_type(inner), shared))
            below = [node.selection_set for node in nodes if node.selection_set]
            for object_ in naive.objects(inner):
                moved = (place[0], OTHERS.get(at, place[1])) if place else None
                visit(object_, below, REGIONS.get(object_.name, moved), disclosed)

    visit(*naive.root(), None, None)
    return found


def taken(text: str) -> Document:
    document = DOCUMENTS.take(text)
    assert isinstance(document, Document), document
    return document


def plan_of(text: str, variables: Mapping[str, Any] | None = None, plans: Plans | None = None) -> Plan:
    document = taken(text)
    operation = next(iter(document.operations.values()))
    return (plans or Plans(CORE, DISCLOSED)).plan(document, operation, variables or {})


def reads(plan: Plan) -> Reads:
    return {
        (region, each.part, each.coordinate, each.disclosed, each.leaf, each.inherited)
        for region, found in plan.reads.items()
        for each in found
    }


def naive(text: str, variables: Mapping[str, Any] | None = None) -> Reads:
    return naive_reads(Naive(CORE, taken(text).node, variables or {}))


@settings(max_examples=250, derandomize=True, deadline=None, phases=[Phase.generate])
@given(documents(CORE, ROOTS))
def test_a_plan_reads_what_the_document_expanded_naively_reads(drawn: Drawn) -> None:
    assume(isinstance(DOCUMENTS.take(drawn.text), Document))
    assert reads(plan_of(drawn.text, drawn.variables)) == naive(drawn.text, drawn.variables)


SAME = [
    # one fragment spread in two places, each with more of the same field beside it
    """{ a: estateCase(id: "1") { ...F land { buildings { name } } }
         b: estateCase(id: "1") { ...F land { parcels { assessedValue } } } }
       fragment F on EstateCase { land { parcels { pnu } } }""",
    """{ a: estateCase(id: "1") { ...F deceased { name } } b: estateCase(id: "1") { ...F deceased { address } } }
       fragment F on EstateCase { deceased { id } }""",
    """{ estateCase(id: "1") { land { ...F answer { status } } vehicles { answer { asOf } } } }
       fragment F on EstateLand { answer { source } }""",
    """{ estateCase(id: "1") { land { answer { source } } land { answer { ...G } } } }
       fragment G on Answer { problems { code } }""",
    """{ node(id: "1") { ...N } } fragment N on Node { id ...C ... on EstateCase { mandates { id } } }
       fragment C on Case { mandates { role holder { name } } ... on BirthCase { mandates { purpose } } }""",
    """{ estateCase(id: "1") { heirs { person { ...P } representing { ...P birthDate } } mandate { holder { ...P } } } }
       fragment P on Person { name }""",
    """{ estateCase(id: "1") { ... on Case { ... on Node { ... on EstateCase { tax { items { id } } } } } } }""",
    """{ viewer { cases { ... on EstateCase { land { answer { status } } } } candidates { person { name } } } }""",
    """{ estateCase(id: "1") { accessLog(first: 1) { edges { node { subject { name } } } } } }""",
    """{ estateCase(id: "1") { land { parcels { ownershipShare { numerator } } } heirs { share { denominator } } } }""",
]


@pytest.mark.parametrize("text", SAME)
def test_shapes_that_are_easy_to_get_wrong(text: str) -> None:
    assert reads(plan_of(text)) == naive(text) != set()


def test_two_ways_to_one_field_keep_what_each_of_them_asks() -> None:
    plan = plan_of(
        """{ a: estateCase(id: "1") { deceased { ...F } deceased { address } }
             b: estateCase(id: "2") { deceased { ...F sex } } } fragment F on Person { name }"""
    )
    assert plan.coordinates(Region.ESTATE, Part.PERSON) == {
        *("EstateCase.deceased", "Person.name", "Person.address", "Person.sex")
    }


CONDITIONAL = """query ($land: Boolean!, $tax: Boolean! = false) {
  estateCase(id: "1") { land @include(if: $land) { parcels { pnu } } ...T @include(if: $tax)
    deceased @skip(if: $land) { id } } }
  fragment T on EstateCase { tax { items { id arrears @skip(if: $land) } } }"""


def test_one_document_has_a_plan_for_each_way_its_conditions_fall() -> None:
    plans = Plans(CORE, DISCLOSED)
    for land, tax in [(True, True), (True, False), (False, True), (False, False), (True, True)]:
        variables = {"land": land, "tax": tax}
        plan = plan_of(CONDITIONAL, variables, plans)
        assert reads(plan) == naive(CONDITIONAL, variables)
        assert plan is plan_of(CONDITIONAL, variables, plans)
    assert condition_variables(taken(CONDITIONAL).node) == {"land", "tax"}


@pytest.mark.parametrize(
    ("directive", "reads_it"),
    [
        ("@skip(if: true)", False),
        ("@skip(if: false)", True),
        ("@include(if: true)", True),
        ("@include(if: false)", False),
        ("@include(if: true) @skip(if: true)", False),
        ("@skip(if: false) @include(if: false)", False),
    ],
)
def test_conditions_that_are_written_out(directive: str, reads_it: bool) -> None:
    for text in (
        f'{{ estateCase(id: "1") {{ id deceased {directive} {{ name }} }} }}',
        f'{{ estateCase(id: "1") {{ id ... {directive} {{ deceased {{ name }} }} }} }}',
        f'{{ estateCase(id: "1") {{ id ...F {directive} }} }} fragment F on EstateCase {{ deceased {{ name }} }}',
    ):
        assert ("Person.name" in plan_of(text).coordinates(Region.ESTATE)) is reads_it


@pytest.mark.parametrize(
    ("text", "nobody"),
    [
        ("{ __typename }", True),
        ("{ __schema { queryType { name } } x: __typename }", True),
        ("{ viewer { roles } }", False),
        ("{ __typename viewer { roles } }", False),
        ("{ __typename viewer @skip(if: true) { roles } }", True),
    ],
)
def test_only_the_graph_itself_needs_no_viewer(text: str, nobody: bool) -> None:
    assert plan_of(text).asks_nobody is nobody


def test_of_two_operations_only_the_one_that_is_asked_is_read() -> None:
    document = taken('query A { estateCase(id: "1") { id } } query B { estateCase(id: "1") { number } }')
    plans = Plans(CORE, DISCLOSED)
    read = {
        name: plans.plan(document, operation, {}).coordinates(Region.ESTATE)
        for name, operation in document.operations.items()
    }
    assert read == {"A": {"EstateCase.id"}, "B": {"EstateCase.number"}}
