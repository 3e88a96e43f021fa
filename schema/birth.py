"""The birth case: what the agencies hold for a newborn."""

import strawberry

from schema.case import Case
from schema.disclosure import Agency, Disclosure, Sensitivity
from schema.fields import fetched
from schema.finance import BirthFinance
from schema.health import BirthHealth
from schema.land import BirthLand
from schema.pensions import BirthPensions
from schema.person import Parent, Person
from schema.tax import BirthTax
from schema.vehicles import BirthVehicles


@strawberry.type(
    description="Everything that follows from a birth.",
    directives=[Disclosure(agency=Agency.REGISTRY, sensitivity=Sensitivity.PRESENCE)],
)
class BirthCase(Case):
    child: Person = fetched(description="Who was born.")
    birth_order: int = fetched(description="Which child of the family it is, from 1.")
    multiple_birth: bool = fetched(description="Whether it is a twin or other multiple.")
    parents: list[Parent] | None = fetched(
        description="Registered parents; empty where the mother gave birth under protection, null when not known.",
        directives=[Disclosure(agency=Agency.REGISTRY, sensitivity=Sensitivity.IDENTITY)],
    )
    land: BirthLand = fetched(description="Homes of the household, and relief on a home bought for the child.")
    finance: BirthFinance = fetched(description="Vouchers and payout accounts.")
    pensions: BirthPensions = fetched(description="Pension credit.")
    tax: BirthTax = fetched(description="Tax credits.")
    health: BirthHealth = fetched(description="Coverage, screenings, immunizations and check-ups.")
    vehicles: BirthVehicles = fetched(description="Relief from vehicle acquisition tax.")
