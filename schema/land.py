"""Land and buildings: what a person owns, with shares, values and what weighs on it.

Held by municipalities and the land ministry: cadastre (토지대장, 임야대장) and building ledger (건축물대장).
Encumbrances come from the court's register (등기부). Values are official prices (공시가격), not market prices.
"""

from datetime import date
from decimal import Decimal

import strawberry

from schema.answer import KnownFact, Section
from schema.choice import Choice
from schema.disclosure import Agency, Disclosure, Sensitivity
from schema.person import Fraction
from schema.scalars import Won

_PRESENCE = Disclosure(agency=Agency.LAND, sensitivity=Sensitivity.PRESENCE)
_INVENTORY = Disclosure(agency=Agency.LAND, sensitivity=Sensitivity.INVENTORY)
_AMOUNT = Disclosure(agency=Agency.LAND, sensitivity=Sensitivity.AMOUNT)


@strawberry.enum(description="Cadastral book a parcel is entered in.")
class LandLedger(Choice):
    LAND = strawberry.enum_value("LAND", description="Land ledger (토지대장).")
    FOREST = strawberry.enum_value("FOREST", description="Forest ledger (임야대장); lot numbers begin with 산.")


@strawberry.enum(description="What weighs on land or a building.")
class EncumbranceKind(Choice):
    MORTGAGE = strawberry.enum_value("MORTGAGE", description="Mortgage up to a maximum claim (근저당).")
    ATTACHMENT = strawberry.enum_value("ATTACHMENT", description="Attachment (압류).")
    PROVISIONAL_ATTACHMENT = strawberry.enum_value(
        "PROVISIONAL_ATTACHMENT", description="Provisional attachment (가압류)."
    )
    PROVISIONAL_DISPOSITION = strawberry.enum_value(
        "PROVISIONAL_DISPOSITION", description="Injunction against disposal (가처분)."
    )
    LEASE_RIGHT = strawberry.enum_value("LEASE_RIGHT", description="Registered deposit lease (전세권).")
    SUPERFICIES = strawberry.enum_value("SUPERFICIES", description="Right to build or plant on it (지상권).")
    EASEMENT = strawberry.enum_value("EASEMENT", description="Easement (지역권).")
    AUCTION = strawberry.enum_value("AUCTION", description="Auction has begun (경매개시).")
    TRUST = strawberry.enum_value("TRUST", description="Held in trust (신탁).")
    OTHER = strawberry.enum_value("OTHER", description="Any other entry.")


@strawberry.type(description="An entry in the court's register that weighs on the property.", directives=[_AMOUNT])
class Encumbrance:
    kind: EncumbranceKind = strawberry.field(description="What it is.")
    holder: str | None = strawberry.field(
        description="Creditor or right holder; a natural person's name is masked. Null when not told.",
        directives=[Disclosure(agency=Agency.LAND, sensitivity=Sensitivity.AMOUNT, third_party=True)],
    )
    maximum_claim: Won | None = strawberry.field(
        description="Registered ceiling of the claim in whole won, not the debt. Null where the kind has none."
    )
    registered_on: date | None = strawberry.field(description="Day of registration; null when not told.")


@strawberry.type(description="A parcel of land in which the person has a share.", directives=[_INVENTORY])
class LandParcel:
    pnu: str = strawberry.field(
        description="Parcel number (PNU), 19 digits: legal district 10, ledger 1, main lot 4, sub lot 4."
    )
    address: str = strawberry.field(description="District and lot number, e.g. ending in `산 12-3`.")
    ledger: LandLedger = strawberry.field(description="Cadastral book.")
    category: str = strawberry.field(description="One of the 28 statutory categories (지목), e.g. 전, 답, 대, 임야.")
    area_m2: Decimal = strawberry.field(description="Area of the whole parcel in square metres.")
    ownership_share: Fraction | None = strawberry.field(description="The person's share; null when not told.")
    price_per_m2: Won | None = strawberry.field(
        description="Official price (개별공시지가) per square metre, won, of `priceYear`; null when none is set.",
        directives=[_AMOUNT],
    )
    price_year: int | None = strawberry.field(description="Year the official price is of; null when none is set.")
    assessed_value: Won | None = strawberry.field(
        description="Price × area × share, whole won: the person's part, not the parcel. Null when not known.",
        directives=[_AMOUNT],
    )
    acquired_on: date | None = strawberry.field(description="Day of acquisition; null when not told.")
    acquisition_cause: str | None = strawberry.field(
        description="How it was acquired, e.g. 매매, 상속, 증여; null when not told."
    )
    encumbrances: list[Encumbrance] | None = strawberry.field(
        description="What weighs on it. Null when the court's register did not answer; empty when it is free.",
        directives=[_AMOUNT],
    )


@strawberry.type(description="A building, or a unit in one, in which the person has a share.", directives=[_INVENTORY])
class Building:
    register_number: str = strawberry.field(description="Key in the building ledger, e.g. `11680-145318`.")
    pnu: str = strawberry.field(description="Parcel it stands on (PNU, 19 digits).")
    name: str | None = strawberry.field(description="Name of the building; null when it has none.")
    address: str = strawberry.field(description="Road-name address with unit.")
    purpose: str = strawberry.field(description="Main use as in the ledger, e.g. 아파트, 단독주택.")
    area_m2: Decimal = strawberry.field(description="Floor area in square metres.")
    approved_on: date | None = strawberry.field(description="Day of approval for use; null when not told.")
    ownership_share: Fraction | None = strawberry.field(description="The person's share; null when not told.")
    assessed_value: Won | None = strawberry.field(
        description="Official house price × share, whole won: the person's part. Null when none is set.",
        directives=[_AMOUNT],
    )
    encumbrances: list[Encumbrance] | None = strawberry.field(
        description="What weighs on it. Null when the court's register did not answer; empty when it is free.",
        directives=[_AMOUNT],
    )


@strawberry.type(description="Land and buildings a deceased person leaves.", directives=[_PRESENCE])
class EstateLand(Section):
    parcels: list[LandParcel] | None = strawberry.field(
        description="Parcels. Null when not known, empty when the agency says there are none.", directives=[_INVENTORY]
    )
    buildings: list[Building] | None = strawberry.field(
        description="Buildings. Null when not known, empty when the agency says there are none.",
        directives=[_INVENTORY],
    )


@strawberry.type(
    description="Homes of the household, and tax relief on a home bought for the child.", directives=[_PRESENCE]
)
class BirthLand(Section):
    homes: int | None = strawberry.field(
        description="Homes in which a parent has a share; null when not known.", directives=[_INVENTORY]
    )
    new_home_tax_relief: KnownFact = strawberry.field(
        description="Whether acquisition tax was reduced for a home bought because of the birth."
    )
