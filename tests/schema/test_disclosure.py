"""Every field says whose data it is, and withholding one never takes away more than it."""

from collections.abc import Iterator, Mapping
from itertools import pairwise

import pytest
import strawberry
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    get_named_type,
    is_specified_scalar_type,
)

from schema.disclosure import INHERITS, Agency, Disclosed, Disclosure, Sensitivity, disclosures
from schema.scalars import Coordinate

OWN_RECORDS = {
    "Query": "the ways in; what they lead to says its own",
    "Viewer": "who is asking, told to the one who asks",
    "Official": "the viewer's own office, told to that viewer",
    "Withheld": "names a field, never a value",
    "Refusal": "fixed words by code",
    "AccessEntry": "our log: who may read it is decided entry by entry, not by an agency's data",
    "AccessEntryConnection": "a page of our log",
    "AccessEntryEdge": "a place in our log",
    "AccessedFields": "names of fields in our log, never a value",
    "Actor": "our log tells names to officers only",
    "Finding": "about accesses in our log, by pseudonym",
    "FindingConnection": "a page of findings",
    "FindingEdge": "a place among findings",
    "FindingStep": "what was said about a finding, by pseudonym",
    "FindingPayload": "a finding, or fixed words by code",
    "EntryIntegrity": "hashes that tell nothing",
    "PageInfo": "opaque places in our log",
    "OpenCasePayload.refusal": "fixed words by code",
    "RequestAnswersPayload.refusal": "fixed words by code",
    "MandatePayload.refusal": "fixed words by code",
}


def objects(core: GraphQLSchema) -> Iterator[GraphQLObjectType]:
    yield from (
        type_
        for type_ in core.type_map.values()
        if isinstance(type_, GraphQLObjectType) and not type_.name.startswith("__")
    )


def undescribed(core: GraphQLSchema) -> Iterator[str]:
    for name, type_ in core.type_map.items():
        if name.startswith("__") or is_specified_scalar_type(type_):
            continue
        if not type_.description:
            yield name
        match type_:
            case GraphQLEnumType():
                yield from (f"{name}.{value}" for value, at in type_.values.items() if not at.description)
            case GraphQLObjectType() | GraphQLInterfaceType() | GraphQLInputObjectType():
                for field, at in type_.fields.items():
                    if not at.description:
                        yield f"{name}.{field}"
                    yield from (
                        f"{name}.{field}({key}:)"
                        for key, argument in getattr(at, "args", {}).items()
                        if not argument.description
                    )
            case GraphQLScalarType():
                pass


def test_everything_is_described(core: GraphQLSchema) -> None:
    assert list(undescribed(core)) == []


def test_every_field_says_whose_data_it_is_or_has_a_reason_not_to(core: GraphQLSchema) -> None:
    said = disclosures(core)
    silent = {
        f"{type_.name}.{field}"
        for type_ in objects(core)
        for field in type_.fields
        if f"{type_.name}.{field}" not in said
        and not {type_.name, f"{type_.name}.{field}"} & (OWN_RECORDS.keys() | INHERITS)
    }

    assert silent == set()


def test_no_exception_outlives_its_reason(core: GraphQLSchema) -> None:
    said = disclosures(core)
    speaking = {at.partition(".")[0] for at in said} | set(said)
    known = {type_.name for type_ in objects(core)} | {f"{t.name}.{field}" for t in objects(core) for field in t.fields}

    assert not (OWN_RECORDS.keys() | INHERITS) & speaking
    assert known >= OWN_RECORDS.keys() | INHERITS


def bubbling(said: Mapping[Coordinate, Disclosed], type_: GraphQLObjectType, gate: Disclosed) -> Iterator[str]:
    """Non-null fields of `type_` that may be withheld while `gate`, the nullable field that leads here, is not."""
    todo, seen = [(type_, gate)], set()
    while todo:
        type_, gate = todo.pop()
        if (type_.name, gate) in seen:
            continue
        seen.add((type_.name, gate))
        for name, field in type_.fields.items():
            here = said.get(Coordinate(f"{type_.name}.{name}"), gate)
            optional = not isinstance(field.type, GraphQLNonNull)
            if not optional and not (
                here.sensitivity is Sensitivity.PRESENCE
                or (here.agency is gate.agency and here.sensitivity <= gate.sensitivity)
            ):
                yield f"{type_.name}.{name}: {here} under {gate}"
            if not optional and here.third_party:
                yield f"{type_.name}.{name}: about a third party"
            if isinstance(reached := get_named_type(field.type), GraphQLObjectType) and reached.name not in OWN_RECORDS:
                todo.append((reached, here if optional else gate))


@pytest.mark.parametrize("case", ["EstateCase", "BirthCase"])
def test_withholding_a_field_never_takes_away_another(core: GraphQLSchema, case: str) -> None:
    type_ = core.type_map[case]
    assert isinstance(type_, GraphQLObjectType)

    assert list(bubbling(disclosures(core), type_, Disclosed(Agency.REGISTRY, Sensitivity.PRESENCE, False))) == []


def test_a_list_of_a_section_is_nullable_and_tells_more_than_presence(core: GraphQLSchema) -> None:
    said = disclosures(core)
    sections = [type_ for type_ in objects(core) if "Section" in {interface.name for interface in type_.interfaces}]
    assert len(sections) == 12

    for section in sections:
        assert said[Coordinate(f"{section.name}.answer")].sensitivity is Sensitivity.PRESENCE
        assert len({said[Coordinate(f"{section.name}.{field}")].agency for field in section.fields}) == 1
        for name, field in section.fields.items():
            if not isinstance(field.type, GraphQLNonNull):
                assert said[Coordinate(f"{section.name}.{name}")].sensitivity > Sensitivity.PRESENCE


@pytest.mark.parametrize(
    ("coordinate", "disclosed"),
    [
        ("LandParcel.pnu", Disclosed(Agency.LAND, Sensitivity.INVENTORY, False)),  # its type's
        ("LandParcel.assessedValue", Disclosed(Agency.LAND, Sensitivity.AMOUNT, False)),  # its own
        ("EstateLand.answer", Disclosed(Agency.LAND, Sensitivity.PRESENCE, False)),  # inherited from Section
        ("EstateCase.answers", Disclosed(Agency.REGISTRY, Sensitivity.PRESENCE, False)),  # inherited from Case
        ("Encumbrance.holder", Disclosed(Agency.LAND, Sensitivity.AMOUNT, True)),
        ("InsurancePolicy.beneficiaryName", Disclosed(Agency.FINANCE, Sensitivity.INVENTORY, True)),
        ("Person.id", Disclosed(Agency.REGISTRY, Sensitivity.PRESENCE, False)),
        ("Person.name", Disclosed(Agency.REGISTRY, Sensitivity.IDENTITY, False)),
        ("EstateCase.summary", Disclosed(Agency.FINANCE, Sensitivity.AMOUNT, False)),
        ("BirthHealth.screenings", Disclosed(Agency.HEALTH, Sensitivity.SPECIAL, False)),
        ("Fraction.numerator", None),
        ("AccessEntry.at", None),
    ],
)
def test_a_field_discloses_its_own_else_its_types(
    core: GraphQLSchema, coordinate: str, disclosed: Disclosed | None
) -> None:
    assert disclosures(core).get(Coordinate(coordinate)) == disclosed


def test_sensitivities_are_ordered_and_no_third_party_value_is_required(core: GraphQLSchema) -> None:
    assert all(lesser < greater for lesser, greater in pairwise(Sensitivity))
    assert max(Sensitivity) is Sensitivity.SPECIAL
    assert Sensitivity.AMOUNT <= Sensitivity.AMOUNT
    assert {at for at, disclosed in disclosures(core).items() if disclosed.third_party} == {
        "Encumbrance.holder",
        "InsurancePolicy.beneficiaryName",
        "VehicleLien.creditor",
    }


def test_a_required_amount_behind_an_inventory_list_is_found() -> None:
    inventory = Disclosure(agency=Agency.LAND, sensitivity=Sensitivity.INVENTORY)
    amount = Disclosure(agency=Agency.LAND, sensitivity=Sensitivity.AMOUNT)

    @strawberry.type(directives=[inventory])
    class Parcel:
        price: int = strawberry.field(directives=[amount])

    @strawberry.type(directives=[Disclosure(agency=Agency.LAND, sensitivity=Sensitivity.PRESENCE)])
    class Query:
        parcels: list[Parcel] | None = strawberry.field(directives=[inventory])

    core = strawberry.Schema(query=Query)._schema
    assert core.query_type

    found = list(bubbling(disclosures(core), core.query_type, Disclosed(Agency.LAND, Sensitivity.PRESENCE, False)))

    assert [at.partition(":")[0] for at in found] == ["Parcel.price"]
