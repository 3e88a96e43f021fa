"""The graph against its contract. NOT_YET names what later issues add; it only shrinks."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import strawberry
from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    build_ast_schema,
    build_schema,
    find_breaking_changes,
    parse,
    print_ast,
)
from graphql.language import DefinitionNode, ObjectTypeDefinitionNode

CONTRACT = Path(__file__).parents[1] / "contract" / "schema.graphql"

ROOTS = {"Query", "Mutation", "Subscription"}
"""Made in resolvers/, and compared there."""

NOT_YET_TYPES = {
    # welfare
    *("WelfareCase", "HouseholdMember", "MeansTest", "MeansTestStep", "DuplicateBenefit", "DuplicateRule"),
    "OpenWelfareCaseInput",
    # benefits
    *("Benefit", "Entitlement", "EntitlementVerdict", "EntitlementReason", "Cadence", "BenefitForm"),
    *("BenefitApplication", "ApplicationStatus", "ApplicationStep"),
    *("ApplyForBenefitsInput", "ApplyForBenefitsPayload"),
}
NOT_YET_FIELDS = {"BirthCase.entitlements", "BirthCase.applications"}

ADDED = {
    # plain words, pseudonyms and entries of other people's cases, for the person whose data was seen
    "AccessEntry.purposeLabel(language: Language = EN): String",
    "AccessEntry.taskLabel(language: Language = EN): String!",
    "AccessEntry.outcomeLabel(language: Language = EN): String!",
    "AccessEntry.reduced(): Boolean!",
    "AccessedFields.agencyLabel(language: Language = EN): String!",
    "AccessedFields.typeLabel(language: Language = EN): String!",
    "AccessedFields.labels(language: Language = EN): [String!]!",
    "Actor.pseudonym(): String",
    "Actor.kindLabel(language: Language = EN): String!",
}
"""What we have beyond the contract, which allows additions."""


def in_scope(definition: DefinitionNode) -> DefinitionNode | None:
    name = definition.name.value  # type: ignore[attr-defined]  # the contract names every definition
    if name in ROOTS | NOT_YET_TYPES:
        return None
    if isinstance(definition, ObjectTypeDefinitionNode):
        kept = tuple(field for field in definition.fields or () if f"{name}.{field.name.value}" not in NOT_YET_FIELDS)
        return replace(definition, fields=kept)
    return definition


@pytest.fixture(scope="module")
def contract() -> GraphQLSchema:
    document = parse(CONTRACT.read_text(encoding="utf-8"))
    kept = (in_scope(definition) for definition in document.definitions)
    return build_ast_schema(replace(document, definitions=tuple(filter(None, kept))))


@pytest.fixture(scope="module")
def printed(graph: strawberry.Schema) -> GraphQLSchema:
    return build_schema(graph.as_str())


def spelled(type_: GraphQLNamedType) -> Iterator[str]:
    """What a portal relies on, one line each."""
    match type_:
        case GraphQLEnumType():
            yield from (f"{type_.name}.{value}" for value in type_.values)
        case GraphQLInputObjectType():
            yield from (f"{type_.name}.{name}: {at(field)}" for name, field in type_.fields.items())
        case GraphQLObjectType() | GraphQLInterfaceType():
            yield from (f"{type_.name} implements {interface.name}" for interface in type_.interfaces)
            for name, field in type_.fields.items():
                arguments = ", ".join(f"{key}: {at(value)}" for key, value in field.args.items())
                yield f"{type_.name}.{name}({arguments}): {field.type}"
        case _:
            yield type_.name


def at(place: GraphQLArgument | GraphQLInputField) -> str:
    """Type and default; a default of null is none."""
    node = place.ast_node
    default = print_ast(node.default_value) if node and node.default_value else "null"
    return f"{place.type} = {default}"


def test_nothing_of_the_contract_is_broken(contract: GraphQLSchema, printed: GraphQLSchema) -> None:
    assert [change.description for change in find_breaking_changes(contract, printed)] == []


def test_types_arguments_and_defaults_are_those_of_the_contract(
    contract: GraphQLSchema, printed: GraphQLSchema
) -> None:
    for name, promised in contract.type_map.items():
        if not name.startswith("__"):
            assert set(spelled(printed.type_map[name])) - ADDED == set(spelled(promised))


def test_nothing_is_here_that_the_contract_does_not_name_except_the_roots(
    contract: GraphQLSchema, printed: GraphQLSchema
) -> None:
    assert printed.type_map.keys() - ROOTS == contract.type_map.keys()


def test_what_is_not_yet_here_is_named_in_the_contract_and_is_not_here(printed: GraphQLSchema) -> None:
    whole = build_schema(CONTRACT.read_text(encoding="utf-8"))
    fields = {f"{name}.{field}" for name, type_ in whole.type_map.items() for field in getattr(type_, "fields", {})}
    ours = {f"{name}.{field}" for name, type_ in printed.type_map.items() for field in getattr(type_, "fields", {})}

    assert whole.type_map.keys() >= NOT_YET_TYPES
    assert fields >= NOT_YET_FIELDS
    assert not printed.type_map.keys() & NOT_YET_TYPES
    assert not ours & NOT_YET_FIELDS


def test_disclosure_is_printed_where_it_applies(graph: strawberry.Schema) -> None:
    sdl = graph.as_str()

    assert "type LandParcel @disclosure(agency: LAND, sensitivity: INVENTORY, thirdParty: false) {" in sdl
    assert "holder: String @disclosure(agency: LAND, sensitivity: AMOUNT, thirdParty: true)" in sdl
    assert "@disclosure(agency: Agency!, sensitivity: Sensitivity!, thirdParty: Boolean! = false)" in sdl


def test_the_value_of_an_enum_is_its_name_except_where_order_matters(core: GraphQLSchema) -> None:
    enums = [type_ for type_ in core.type_map.values() if isinstance(type_, GraphQLEnumType)]

    for type_ in enums:
        if type_.name != "Sensitivity" and not type_.name.startswith("__"):
            assert {name: value.value for name, value in type_.values.items()} == {name: name for name in type_.values}
