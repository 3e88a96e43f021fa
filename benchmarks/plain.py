"""onestop with six plain JSON agencies in place of its own six, for comparing it with gateways.

Server, token check, case, family register, plan, rulings, execution, witness and access log are the program's own; only
the agencies' protocols are not.

`python benchmarks/plain.py <any command of onestop>`; BENCH_PORTS has the agencies' ports
(benchmarks/agencies.py). BENCH_LOG=off leaves out the log's append, to see what it costs; nothing else.
"""

import json
import os
import sys
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import strawberry

sys.path.insert(0, str(Path(__file__).parents[1]))

import app
from audit.writer import AccessLog
from connectors.connector import Answered, Asked, Connector, Speed
from connectors.transport import Transport, Unreadable
from schema import finance, health, land, pensions, tax, vehicles
from schema.answer import Answer, AnswerStatus, KnownFact
from schema.disclosure import Agency
from serving import program

PORTS: dict[str, int] = json.loads(os.environ.get("BENCH_PORTS", "{}"))


class Wire(msgspec.Struct, rename="camel", frozen=True):
    """A record as an agency writes it."""


class Parcel(Wire, frozen=True):
    pnu: str
    address: str
    ledger: land.LandLedger
    category: str
    area_m2: Decimal = msgspec.field(name="areaM2")
    price_per_m2: int | None = msgspec.field(name="pricePerM2")
    price_year: int | None
    acquired_on: date | None


class Institution(Wire, frozen=True):
    code: str
    name: str


class Deposit(Wire, frozen=True):
    id: str
    institution: Institution
    product: str
    number_suffix: str | None
    balance: int | None
    dormant: bool
    jointly_held: bool


class Membership(Wire, frozen=True):
    scheme: pensions.PensionScheme
    member: KnownFact
    receiving: bool | None
    contribution_months: int | None
    monthly_pension: int | None
    overpaid_after_death: int | None
    loan: KnownFact
    loan_outstanding: int | None


class Item(Wire, frozen=True):
    id: str
    level: tax.TaxLevel
    tax: str
    period: str
    authority: str
    state: tax.TaxState
    assessed: int | None
    due_on: date | None


class Premium(Wire, frozen=True):
    insurance: health.SocialInsurance
    unpaid: int | None
    surcharge: int | None
    months: int


class Car(Wire, frozen=True):
    plate: str
    kind: vehicles.VehicleKind
    maker: str
    model: str
    model_year: int
    fuel: vehicles.VehicleFuel
    first_registered_on: date
    assessed_value: int | None


def parcels(records: list[Parcel], asked: Asked) -> dict[str, Any]:
    price, acquired = asked.may_read("LandParcel.pricePerM2"), asked.may_read("LandParcel.acquiredOn")
    year = asked.may_read("LandParcel.priceYear")
    return {
        "parcels": [
            land.LandParcel(
                pnu=it.pnu,
                address=it.address,
                ledger=it.ledger,
                category=it.category,
                area_m2=it.area_m2,
                ownership_share=None,
                price_per_m2=it.price_per_m2 if price else None,
                price_year=it.price_year if year else None,
                assessed_value=None,
                acquired_on=it.acquired_on if acquired else None,
                acquisition_cause=None,
                encumbrances=None,
            )
            for it in records
        ],
        "buildings": None,
    }


def deposits(records: list[Deposit], asked: Asked) -> dict[str, Any]:
    suffix, balance = asked.may_read("Deposit.numberSuffix"), asked.may_read("Deposit.balance")
    others = dict.fromkeys(("loans", "securities", "insurance", "cards", "guarantees", "custody"))
    return others | {
        "deposits": [
            finance.Deposit(
                id=strawberry.ID(it.id),
                institution=finance.Institution(
                    code=it.institution.code, name=it.institution.name, sector="BANK", phone=None
                ),
                product=it.product,
                number_suffix=it.number_suffix if suffix else None,
                balance=it.balance if balance else None,
                dormant=it.dormant,
                jointly_held=it.jointly_held,
            )
            for it in records
        ]
    }


def memberships(records: list[Membership], asked: Asked) -> dict[str, Any]:
    paid, owed = asked.may_read("PensionMembership.monthlyPension"), asked.may_read("PensionMembership.loanOutstanding")
    return {
        "memberships": [
            pensions.PensionMembership(
                scheme=it.scheme,
                member=it.member,
                receiving=it.receiving,
                contribution_months=it.contribution_months,
                monthly_pension=it.monthly_pension if paid else None,
                overpaid_after_death=it.overpaid_after_death if paid else None,
                loan=it.loan,
                loan_outstanding=it.loan_outstanding if owed else None,
                survivor_benefits=None,
            )
            for it in records
        ]
    }


def items(records: list[Item], asked: Asked) -> dict[str, Any]:
    assessed = asked.may_read("TaxItem.assessed")
    return {
        "items": [
            tax.TaxItem(
                id=strawberry.ID(it.id),
                level=it.level,
                tax=it.tax,
                period=it.period,
                authority=it.authority,
                state=it.state,
                assessed=it.assessed if assessed else None,
                arrears=None,
                surcharge=None,
                refundable=None,
                due_on=it.due_on,
            )
            for it in records
        ]
    }


def premiums(records: list[Premium], asked: Asked) -> dict[str, Any]:
    unpaid = asked.may_read("SocialPremium.unpaid")
    return {
        "eligibility": None,
        "refunds": None,
        "unpaid_premiums": [
            health.SocialPremium(
                insurance=it.insurance,
                unpaid=it.unpaid if unpaid else None,
                surcharge=it.surcharge if unpaid else None,
                months=it.months,
            )
            for it in records
        ],
    }


def cars(records: list[Car], asked: Asked) -> dict[str, Any]:
    value = asked.may_read("Vehicle.assessedValue")
    return {
        "fishing_boats": None,
        "vehicles": [
            vehicles.Vehicle(
                plate=it.plate,
                kind=it.kind,
                maker=it.maker,
                model=it.model,
                model_year=it.model_year,
                fuel=it.fuel,
                first_registered_on=it.first_registered_on,
                vin_suffix=None,
                ownership_share=None,
                assessed_value=it.assessed_value if value else None,
                liens=None,
                unpaid_fines=None,
                inspection_valid_until=None,
                insurance_valid_until=None,
            )
            for it in records
        ],
    }


def estate(
    agency: Agency, section: type, record: type, shaped: Callable[[Any, Asked], dict[str, Any]]
) -> Callable[..., Connector[Any]]:
    """What stands in for `connectors.<agency>.estate`."""

    def made(_transport: object, clock: Callable[[], datetime], *_: object) -> Connector[Any]:
        transport = Transport(agency, f"http://127.0.0.1:{PORTS[agency.name]}", timeout_s=10.0)
        decoder = msgspec.json.Decoder(dict[str, dict[str, list[record]]])  # type: ignore[valid-type]

        async def one(asked: Asked) -> Answered[Any]:
            requested_at = clock()
            reply = await transport.request(
                "GET", "/", purpose=asked.purpose, case=asked.case, params={"person": asked.person}
            )
            if (reply.status, reply.content_type) != (200, "application/json"):
                raise Unreadable("NOT_JSON")
            ((records,),) = (each.values() for each in decoder.decode(reply.body).values())
            answer = Answer(
                agency=agency,
                status=AnswerStatus.COMPLETE,
                source=agency.name,
                source_reference=None,
                requested_at=requested_at,
                expected_by=None,
                retrieved_at=clock(),
                as_of=None,
                visible_until=None,
                retry_after_seconds=None,
                problems=[],
            )
            return Answered(section(answer=answer, **shaped(records, asked)), answer)

        async def fetch(questions: Sequence[Asked]) -> list[Answered[Any]]:
            return [await one(asked) for asked in questions]

        return Connector(agency, Speed.INSTANT, agency.name, section, fetch)

    return made


STANDING_IN = {
    "land": estate(Agency.LAND, land.EstateLand, Parcel, parcels),
    "finance": estate(Agency.FINANCE, finance.EstateFinance, Deposit, deposits),
    "pensions": estate(Agency.PENSIONS, pensions.EstatePensions, Membership, memberships),
    "tax": estate(Agency.TAX, tax.EstateTax, Item, items),
    "health": estate(Agency.HEALTH, health.EstateHealth, Premium, premiums),
    "vehicles": estate(Agency.VEHICLES, vehicles.EstateVehicles, Car, cars),
}


async def _not_written(_log: AccessLog, _accesses: Sequence[Any]) -> Sequence[Any]:
    return ()


def stand_in() -> None:
    """From now on the program is made with the plain agencies."""
    for name, made in STANDING_IN.items():
        own = getattr(program, name)
        setattr(program, name, SimpleNamespace(**{**vars(own), "estate": made}))


if __name__ == "__main__":
    stand_in()
    if os.environ.get("BENCH_LOG") == "off":
        AccessLog.append = _not_written  # type: ignore[method-assign]
    app.main()
