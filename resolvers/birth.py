"""What follows from a birth: the fields of the birth case and how each is answered."""

import strawberry

from resolvers import case
from resolvers.authority import person_of
from resolvers.graph import In, context_of
from resolvers.plan import Part
from schema.birth import BirthCase
from schema.fields import resolves
from schema.finance import BirthFinance
from schema.health import BirthHealth
from schema.land import BirthLand
from schema.pensions import BirthPensions
from schema.person import Parent as RegisteredParent
from schema.person import Person
from schema.scalars import Coordinate
from schema.tax import BirthTax
from schema.vehicles import BirthVehicles

ANSWERED = BirthCase
"""The type whose fields are answered here."""

PARENTS = Coordinate("BirthCase.parents")
Parent = strawberry.Parent[BirthCase]


@resolves(BirthCase, "child")
async def child(parent: Parent, info: In) -> Person:
    """The case's person."""
    return case.person(context_of(info), case.hand(info, parent))


@resolves(BirthCase, "birth_order")
async def birth_order(parent: Parent, info: In) -> int:
    """From the birth report; a child of whom it does not speak is the first that we know of."""
    report = person_of(case.hand(info, parent).register).birth
    return report.order if report else 1


@resolves(BirthCase, "multiple_birth")
async def multiple_birth(parent: Parent, info: In) -> bool:
    """From the birth report."""
    report = person_of(case.hand(info, parent).register).birth
    return report is not None and report.multiple


@resolves(BirthCase, "parents")
async def parents(parent: Parent, info: In) -> list[RegisteredParent] | None:
    """Registered parents; none where the mother gave birth under protection."""
    context, hand = context_of(info), case.hand(info, parent)
    if PARENTS in hand.withheld_of(Part.PERSON):
        return None
    return [
        RegisteredParent(
            person=context.person(one.parent, hand.register, hand.shown.allowed(Part.PARENT), hand.case_id),
            relation=one.relation,
            custody=one.custody,
        )
        for one in hand.register.parentage
        if one.child == hand.record.subject
    ]


case.attach_sections(BirthCase, BirthLand, BirthFinance, BirthPensions, BirthTax, BirthHealth, BirthVehicles)
