"""Whose data a field is and how sensitive: the @disclosure directive and what follows from it for each coordinate.

Policies speak of (agency, sensitivity) pairs, never of single fields. Source: the graph's contract.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import total_ordering
from typing import Final

import strawberry
from graphql import GraphQLSchema
from strawberry.schema_directive import Location

from schema.choice import Choice
from schema.fields import definitions
from schema.scalars import Coordinate


@strawberry.enum(description="The authority whose data a field is.")
class Agency(Choice):
    REGISTRY = strawberry.enum_value("REGISTRY", description="Family register (가족관계등록부) of the Supreme Court.")
    LAND = strawberry.enum_value("LAND", description="Cadastre and building ledgers (토지대장, 건축물대장).")
    FINANCE = strawberry.enum_value(
        "FINANCE", description="Banks, insurers, brokers and card issuers, through the Financial Supervisory Service."
    )
    PENSIONS = strawberry.enum_value("PENSIONS", description="Ten public pension and mutual-aid schemes.")
    TAX = strawberry.enum_value("TAX", description="National Tax Service and the municipalities' local tax.")
    HEALTH = strawberry.enum_value("HEALTH", description="National Health Insurance Service (국민건강보험공단).")
    VEHICLES = strawberry.enum_value("VEHICLES", description="Vehicle and fishing-boat registers of municipalities.")
    WELFARE = strawberry.enum_value("WELFARE", description="Register of benefits being paid.")


@strawberry.enum(
    description="How much a field tells, from least to most. "
    "What must never leave (registration numbers, source keys) is not in the graph at all."
)
@total_ordering
class Sensitivity(Choice):
    PRESENCE = strawberry.enum_value(0, description="That an agency holds something.")
    IDENTITY = strawberry.enum_value(1, description="Name, birth date, district.")
    INVENTORY = strawberry.enum_value(
        2, description="What is held, without money: parcel and share, institution and product, scheme, plate."
    )
    AMOUNT = strawberry.enum_value(3, description="Balances, prices, arrears, benefits, liens.")
    SPECIAL = strawberry.enum_value(
        4, description="Health findings, welfare status, transaction lines, a protected person's address."
    )

    def __lt__(self, other: "Sensitivity") -> bool:
        return int(self.value) < int(other.value)


@strawberry.schema_directive(
    locations=[Location.OBJECT, Location.FIELD_DEFINITION],
    description="Whose data a field is and how sensitive; on a type it holds for every field that says nothing else. "
    "`thirdParty`: the value describes somebody other than the case's person (a co-owner, beneficiary, creditor).",
)
class Disclosure:
    agency: Agency
    sensitivity: Sensitivity
    third_party: bool = False


@dataclass(frozen=True, slots=True)
class Disclosed:
    """What showing one field discloses."""

    agency: Agency
    sensitivity: Sensitivity
    third_party: bool


INHERITS: Final = frozenset({"Answer", "AnswerProblem", "Fraction"})
"""Shared value types that say nothing of their own: they disclose what the field discloses that leads to them."""


def disclosures(schema: GraphQLSchema) -> Mapping[Coordinate, Disclosed]:
    """What each field of each object type discloses: its own @disclosure, else its type's.

    A coordinate is missing when neither says anything: types of INHERITS, and our own records. Fields of interfaces are
    looked up on the object type at hand.
    """
    return {
        coordinate: Disclosed(said.agency, said.sensitivity, said.third_party)
        for coordinate, type_, field in definitions(schema)
        if (said := _said(field.directives) or _said(type_.directives or ()))
    }


def _said(directives: Iterable[object]) -> Disclosure | None:
    return next((directive for directive in directives if isinstance(directive, Disclosure)), None)
