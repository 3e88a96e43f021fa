"""The estate of a deceased person: its fields and how each is answered."""

from typing import Any

import strawberry

from resolvers import case, sections
from resolvers.context import Context, Hand
from resolvers.graph import In, context_of
from resolvers.plan import Part
from rules import estate as rules
from rules.succession import HeirShare
from schema.estate import EstateCase, EstateSummary
from schema.fields import resolves
from schema.finance import EstateFinance
from schema.health import EstateHealth
from schema.land import EstateLand
from schema.pensions import EstatePensions
from schema.person import Fraction, Heir, Person
from schema.scalars import Coordinate
from schema.tax import EstateTax
from schema.vehicles import EstateVehicles

ANSWERED = EstateCase
"""The type whose fields are answered here."""

HEIRS = Coordinate("EstateCase.heirs")
SUMMARY = Coordinate("EstateCase.summary")
Parent = strawberry.Parent[EstateCase]


@resolves(EstateCase, "deceased")
async def deceased(parent: Parent, info: In) -> Person:
    """The case's person."""
    return case.person(context_of(info), case.hand(info, parent))


@resolves(EstateCase, "heirs")
async def heirs(parent: Parent, info: In) -> list[Heir] | None:
    """Everybody of the rank that counts, with exact shares."""
    context, hand = context_of(info), case.hand(info, parent)
    hidden = hand.shown.withheld_of(Part.HEIR) & context.plan.coordinates(hand.region, Part.HEIR)
    if hand.succession is None or HEIRS in hand.withheld_of(Part.PERSON) or any(c.startswith("Heir.") for c in hidden):
        return None
    return [_heir(context, hand, share) for share in hand.succession.shares]


def _heir(context: Context, hand: Hand, share: HeirShare) -> Heir:
    def person(subject: Any) -> Person:
        return context.person(subject, hand.register, hand.shown.allowed(Part.HEIR), hand.case_id)

    return Heir(
        person=person(share.person),
        relation=share.relation,
        rank=share.rank,
        share=_fraction(share.share.numerator, share.share.denominator),
        reserved_portion=_fraction(share.reserved_portion.numerator, share.reserved_portion.denominator)
        if share.reserved_portion is not None
        else None,
        representing=person(share.representing) if share.representing else None,
        standing=share.standing,
    )


def _fraction(numerator: int, denominator: int) -> Fraction:
    return Fraction(numerator=numerator, denominator=denominator)


case.attach_sections(EstateCase, EstateLand, EstateFinance, EstatePensions, EstateTax, EstateHealth, EstateVehicles)


@resolves(EstateCase, "summary")
async def summary(parent: Parent, info: In) -> EstateSummary | None:
    """Known assets and debts, from the sections this operation asked for."""
    context, hand = context_of(info), case.hand(info, parent)
    if SUMMARY in hand.withheld_of(Part.PERSON):
        return None
    await sections.answers(context, hand)
    found = {agency.name.lower(): await sections.section(context, hand, agency) for agency in sections.SIX}
    return rules.summary(**found)
