"""Vehicle register: what a person keeps on the road and at sea.

Held by municipalities under the Automobile Management Act and the Fishing Vessels Act. Days are Korean calendar days.
"""

from datetime import date
from decimal import Decimal

import strawberry

from schema.answer import KnownFact, Section
from schema.choice import Choice
from schema.disclosure import Agency, Disclosure, Sensitivity
from schema.person import Fraction
from schema.scalars import Won

_PRESENCE = Disclosure(agency=Agency.VEHICLES, sensitivity=Sensitivity.PRESENCE)
_INVENTORY = Disclosure(agency=Agency.VEHICLES, sensitivity=Sensitivity.INVENTORY)
_AMOUNT = Disclosure(agency=Agency.VEHICLES, sensitivity=Sensitivity.AMOUNT)


@strawberry.enum(description="Class of a vehicle.")
class VehicleKind(Choice):
    PASSENGER = strawberry.enum_value("PASSENGER", description="Passenger car (승용).")
    VAN = strawberry.enum_value("VAN", description="Van or bus (승합).")
    TRUCK = strawberry.enum_value("TRUCK", description="Truck (화물).")
    SPECIAL = strawberry.enum_value("SPECIAL", description="Special-purpose vehicle (특수).")
    MOTORCYCLE = strawberry.enum_value("MOTORCYCLE", description="Motorcycle (이륜).")


@strawberry.enum(description="What a vehicle runs on.")
class VehicleFuel(Choice):
    GASOLINE = strawberry.enum_value("GASOLINE", description="Gasoline.")
    DIESEL = strawberry.enum_value("DIESEL", description="Diesel.")
    LPG = strawberry.enum_value("LPG", description="Liquefied petroleum gas.")
    HYBRID = strawberry.enum_value("HYBRID", description="Hybrid.")
    ELECTRIC = strawberry.enum_value("ELECTRIC", description="Battery-electric.")
    HYDROGEN = strawberry.enum_value("HYDROGEN", description="Hydrogen fuel cell.")


@strawberry.enum(description="What weighs on a vehicle.")
class VehicleLienKind(Choice):
    MORTGAGE = strawberry.enum_value("MORTGAGE", description="Mortgage (저당).")
    SEIZURE = strawberry.enum_value("SEIZURE", description="Seizure (압류). The vehicle cannot be transferred before.")
    PROVISIONAL_ATTACHMENT = strawberry.enum_value(
        "PROVISIONAL_ATTACHMENT", description="Provisional attachment (가압류)."
    )


@strawberry.type(description="An entry that weighs on the vehicle.", directives=[_AMOUNT])
class VehicleLien:
    kind: VehicleLienKind = strawberry.field(description="What it is.")
    creditor: str | None = strawberry.field(
        description="For whom it is entered; a natural person's name is masked. Null when not told.",
        directives=[Disclosure(agency=Agency.VEHICLES, sensitivity=Sensitivity.AMOUNT, third_party=True)],
    )
    claim: Won | None = strawberry.field(description="Registered claim in whole won; null when not told.")
    registered_on: date | None = strawberry.field(description="Day of registration; null when not told.")


@strawberry.type(description="An unpaid fine on the vehicle.", directives=[_AMOUNT])
class Fine:
    kind: str = strawberry.field(description="What for, e.g. `PARKING`, `SPEED`, `TOLL`.")
    amount: Won | None = strawberry.field(description="In whole won; null when not told.")
    due_on: date | None = strawberry.field(description="Day it was or is due; null when not told.")
    authority: str = strawberry.field(description="Who imposed it and is to be paid.")


@strawberry.type(description="A vehicle in the register.", directives=[_INVENTORY])
class Vehicle:
    plate: str = strawberry.field(description="Registration plate as printed, e.g. 12가3456.")
    kind: VehicleKind = strawberry.field(description="Class of the vehicle.")
    maker: str = strawberry.field(description="Manufacturer.")
    model: str = strawberry.field(description="Model name.")
    model_year: int = strawberry.field(description="Model year, four digits.")
    fuel: VehicleFuel = strawberry.field(description="What it runs on.")
    first_registered_on: date = strawberry.field(description="Day of first registration.")
    vin_suffix: str | None = strawberry.field(
        description="Last six characters of the vehicle identification number; null when not told."
    )
    ownership_share: Fraction | None = strawberry.field(description="The person's share; null when not told.")
    assessed_value: Won | None = strawberry.field(
        description="The person's part of the standard value for taxes (시가표준액): value by share, rounded down to "
        "whole won; null when none is set.",
        directives=[_AMOUNT],
    )
    liens: list[VehicleLien] | None = strawberry.field(
        description="What weighs on it. Null when not known, empty when it is free.", directives=[_AMOUNT]
    )
    unpaid_fines: list[Fine] | None = strawberry.field(
        description="Unpaid fines. Null when not known, empty when there are none.", directives=[_AMOUNT]
    )
    inspection_valid_until: date | None = strawberry.field(
        description="Last day of the periodic inspection's validity; null when not told."
    )
    insurance_valid_until: date | None = strawberry.field(
        description="Last day of compulsory insurance; null when not told or not insured."
    )


@strawberry.type(description="A registered fishing boat.", directives=[_INVENTORY])
class FishingBoat:
    number: str = strawberry.field(description="Boat number.")
    name: str = strawberry.field(description="Name of the boat.")
    tonnage: Decimal = strawberry.field(description="Gross tonnage in tons.")
    port: str = strawberry.field(description="Port of registry.")
    assessed_value: Won | None = strawberry.field(
        description="Standard value for taxes (시가표준액), whole won; null when none is set.", directives=[_AMOUNT]
    )


@strawberry.type(description="Vehicles and fishing boats a deceased person leaves.", directives=[_PRESENCE])
class EstateVehicles(Section):
    vehicles: list[Vehicle] | None = strawberry.field(
        description="Vehicles. Null when not known, empty when the agency says there are none.",
        directives=[_INVENTORY],
    )
    fishing_boats: list[FishingBoat] | None = strawberry.field(
        description="Fishing boats. Null when not known, empty when the agency says there are none.",
        directives=[_INVENTORY],
    )


@strawberry.type(
    description="Relief from vehicle acquisition tax for families with several children.", directives=[_PRESENCE]
)
class BirthVehicles(Section):
    multi_child_tax_relief: KnownFact = strawberry.field(description="Whether the family has the relief.")
    relief_rate_percent: int | None = strawberry.field(
        description="Part of the tax that is waived, in percent; null when there is none or it is not known.",
        directives=[_INVENTORY],
    )
