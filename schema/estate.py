"""The estate case: what a deceased person leaves, from every agency, and what it comes to."""

import strawberry

from schema.case import Case
from schema.choice import Choice
from schema.disclosure import Agency, Disclosure, Sensitivity
from schema.fields import fetched
from schema.finance import EstateFinance
from schema.health import EstateHealth
from schema.land import EstateLand
from schema.pensions import EstatePensions
from schema.person import Heir, Person
from schema.scalars import Won
from schema.tax import EstateTax
from schema.vehicles import EstateVehicles

# A summary is computed from the amounts of all six agencies: showing it counts as reading all of them.
_SUMMARY = Disclosure(agency=Agency.FINANCE, sensitivity=Sensitivity.AMOUNT)


@strawberry.enum(description="Whether an estate is worth accepting, as far as is known.")
class EstateOutlook(Choice):
    ASSETS_EXCEED_DEBTS = strawberry.enum_value("ASSETS_EXCEED_DEBTS", description="More is left than owed.")
    DEBTS_EXCEED_ASSETS = strawberry.enum_value("DEBTS_EXCEED_ASSETS", description="More is owed than left.")
    UNDECIDED = strawberry.enum_value("UNDECIDED", description="Too little is known to tell, or both are equal.")


@strawberry.type(description="What one agency's answer adds to the sums.", directives=[_SUMMARY])
class AgencyTotal:
    agency: Agency = strawberry.field(description="The agency.")
    assets: Won = strawberry.field(description="Assets it named, in whole won.")
    debts: Won = strawberry.field(description="Debts it named, in whole won.")


@strawberry.type(
    description="Known assets and debts, by official values. Derived from the amounts of every agency, and shown "
    "only to those who may see them. `complete` is true only when every agency has positively answered.",
    directives=[_SUMMARY],
)
class EstateSummary:
    assets: Won = strawberry.field(description="Known assets in whole won.")
    debts: Won = strawberry.field(description="Known debts in whole won.")
    net: Won = strawberry.field(description="Known assets less known debts in whole won; negative when more is owed.")
    by_agency: list[AgencyTotal] = strawberry.field(description="The same by agency.")
    complete: bool = strawberry.field(
        description="True only when every agency has positively answered and named its amounts."
    )
    missing: list[Agency] = strawberry.field(description="Agencies whose answer is missing or names no amounts.")
    outlook: EstateOutlook = strawberry.field(description="Whether the estate is worth accepting, as far as is known.")


@strawberry.type(
    description="Everything a deceased person leaves, as far as the viewer's mandate reaches.",
    directives=[Disclosure(agency=Agency.REGISTRY, sensitivity=Sensitivity.PRESENCE)],
)
class EstateCase(Case):
    deceased: Person = fetched(description="Whose estate it is.")
    heirs: list[Heir] | None = fetched(
        description="Statutory heirs and their shares; null when the family register did not answer or it is withheld.",
        directives=[Disclosure(agency=Agency.REGISTRY, sensitivity=Sensitivity.IDENTITY)],
    )
    land: EstateLand = fetched(description="Land and buildings.")
    finance: EstateFinance = fetched(description="Deposits, debts, securities, insurance.")
    pensions: EstatePensions = fetched(description="Pensions and mutual aid.")
    tax: EstateTax = fetched(description="National and local tax.")
    health: EstateHealth = fetched(description="Health insurance: premiums and refunds.")
    vehicles: EstateVehicles = fetched(description="Vehicles and fishing boats.")
    summary: EstateSummary | None = fetched(
        description="Assets and debts of all agencies together. Null when amounts are withheld.", directives=[_SUMMARY]
    )
