"""What every case answers, whatever it is about."""

from collections.abc import Awaitable, Callable
from typing import Any

import strawberry

from cases.store import MandateRecord
from resolvers import authority, log, sections
from resolvers.authority import person_of
from resolvers.context import PRESENCE, Context, Hand
from resolvers.graph import In, context_of
from resolvers.plan import Part
from rules.deadlines import BirthFacts, EstateFacts, birth_deadlines, estate_deadlines
from schema.access import AccessEntryConnection
from schema.answer import Answer, Section
from schema.birth import BirthCase
from schema.case import Case, CaseKind, CaseStatus, Deadline, Mandate, MandateRole, Withheld
from schema.disclosure import Agency
from schema.estate import EstateCase
from schema.fields import resolves
from schema.identifiers import PersonId
from schema.person import Person
from schema.scalars import Coordinate

PERSON_ID = Coordinate("Person.id")
HOLDER, ON_BEHALF_OF = Coordinate("Mandate.holder"), Coordinate("Mandate.onBehalfOf")
Parent = strawberry.Parent[Case]
TYPES: dict[CaseKind, type[EstateCase] | type[BirthCase]] = {CaseKind.ESTATE: EstateCase, CaseKind.BIRTH: BirthCase}


def hand(info: In, parent: Case) -> Hand:
    """Everything this operation knows of the case."""
    return context_of(info).hands[parent.ref]


def person(context: Context, held: Hand) -> Person:
    """The deceased, or the child."""
    return context.person(held.record.subject, held.register, held.shown.allowed(Part.PERSON), held.case_id)


async def shown(context: Context, held: Hand) -> EstateCase | BirthCase:
    """A case that was entered, as the graph has it; the agencies that its fields need have been asked."""
    await sections.begun(context, held)
    record = held.record
    return TYPES[record.kind](
        id=strawberry.ID(context.sealed(record.kind.name, record.id)),
        number=record.number,
        kind=record.kind,
        opened_at=record.opened_at,
        purpose=held.mandate.purpose,
        ref=record.id,
        subject=record.subject,
    )


def mandate_of(context: Context, record: MandateRecord) -> Mandate:
    """A mandate as the graph has it."""
    return Mandate(
        id=strawberry.ID(context.sealed("Mandate", record.id)),
        role=record.role,
        purpose=record.purpose,
        legal_basis=record.legal_basis,
        issued_by=record.issued_by,
        valid_from=record.valid_from,
        valid_until=record.valid_until,
        revoked_at=record.revoked_at,
        held_by=record.holder,
        acting_for=record.on_behalf_of,
        ref=record.case_id,
    )


@resolves(Case, "status")
async def status(parent: Parent, info: In) -> CaseStatus:
    """Where it stands once all agencies that this question asks have answered."""
    return await sections.status(context_of(info), hand(info, parent))


@resolves(Case, "mandate")
async def mandate(parent: Parent, info: In) -> Mandate:
    """The viewer's own power."""
    return mandate_of(context_of(info), hand(info, parent).mandate)


@resolves(Case, "mandates")
async def mandates(parent: Parent, info: In) -> list[Mandate]:
    """Everyone's power, ended ones included; one's own, where the mandate reaches a single agency."""
    context, held = context_of(info), hand(info, parent)
    everyones = held.shown.power.ruling(context.house.policies, [PRESENCE])[PRESENCE].shows
    return [
        mandate_of(context, record) for record in held.mandates if everyones or record.holder == context.viewer.person
    ]


@resolves(Mandate, "holder")
async def holder(parent: strawberry.Parent[Mandate], info: In) -> Person | None:
    """Who has it, as the register knows them."""
    return await _known(info, parent, HOLDER, parent.held_by)


@resolves(Mandate, "on_behalf_of")
async def on_behalf_of(parent: strawberry.Parent[Mandate], info: In) -> Person | None:
    """For whom a proxy acts."""
    return await _known(info, parent, ON_BEHALF_OF, parent.acting_for)


async def _known(info: In, parent: Mandate, field: Coordinate, subject: PersonId | None) -> Person | None:
    context = context_of(info)
    held, register = context.hands[parent.ref], context.hands[parent.ref].register
    if field in held.withheld_of(Part.PERSON):
        return None
    if subject is not None and subject not in register.persons and parent.role is MandateRole.PROXY:
        register = await context.register(subject, parent.purpose.name, held.record)
        if register.persons[subject].protected:
            return None
    if subject is None or subject not in register.persons or PERSON_ID in held.withheld_of(Part.HOLDER):
        return None
    return context.person(subject, register, held.shown.allowed(Part.HOLDER), held.case_id)


@resolves(Case, "answers")
async def answers(parent: Parent, info: In) -> list[Answer]:
    """Where the six agencies stand now."""
    return await sections.answers(context_of(info), hand(info, parent))


@resolves(Case, "withheld")
async def withheld(parent: Parent, info: In) -> list[Withheld]:
    """Fields of this document that are not shown."""
    return hand(info, parent).shown.withheld


@resolves(Case, "deadlines")
async def deadlines(parent: Parent, info: In) -> list[Deadline]:
    """What falls due, the nearest first."""
    context, held = context_of(info), hand(info, parent)
    today = authority.day_of(context.now)
    registered = person_of(held.register)
    if held.record.kind is CaseKind.BIRTH:
        return list(birth_deadlines(BirthFacts(registered.birth_date), today))
    if Agency.FINANCE in held.sections:  # what it says now may be kept, and may end on another day
        await sections.section(context, held, Agency.FINANCE)
    facts = EstateFacts(
        opened_on=authority.opened_on(registered) or today,
        declared_missing_on=None if registered.death_date else registered.missing_declared_on,
        finance_visible_until=held.inquiry.visible_until if held.inquiry else None,
    )
    return list(estate_deadlines(facts, today))


@resolves(Case, "access_log")
async def access_log(
    parent: Parent, info: In, first: int | None = 50, after: str | None = None
) -> AccessEntryConnection:
    """Who saw data of this case."""
    return await log.of_case(context_of(info), hand(info, parent), first, after)


def attach_sections(cls: type[Case], *types: type[Section]) -> None:
    """Give a kind of case its six sections, in the order of `sections.SIX`: each crosses to one agency."""
    for agency, type_ in zip(sections.SIX, types, strict=True):
        resolves(cls, agency.name.lower())(_section(agency, type_))


def _section(agency: Agency, type_: type[Section]) -> Callable[..., Awaitable[Any]]:
    async def section(parent: Parent, info: In) -> Any:
        return await sections.section(context_of(info), hand(info, parent), agency)

    section.__annotations__["return"] = type_  # what Strawberry reads
    return section
