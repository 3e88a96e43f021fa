"""Who is asking, and what is open to them."""

import asyncio
from datetime import timedelta

import strawberry

from auth.viewer import Viewer as Asker
from connectors.registry import FamilyRegister
from resolvers import authority, case, officials
from resolvers.authority import Claim
from resolvers.context import Context, Own, Shown
from resolvers.graph import In, context_of
from resolvers.plan import Part
from schema.case import Case, CaseKind, MandateRole, Purpose, Refusal, RefusalCode
from schema.fields import resolves
from schema.identifiers import PersonId
from schema.person import Person
from schema.viewer import CaseCandidate, Official, Viewer

RECENT = timedelta(days=730)
"""Deaths longer ago are not offered: their year to open a case is over twice."""
MOST = 20
"""Deceased relatives looked at for one viewer."""

OBSTACLES = frozenset(
    {None, RefusalCode.STEP_UP_REQUIRED, RefusalCode.OUT_OF_TIME, RefusalCode.EVIDENCE_REQUIRED, RefusalCode.DISPUTED}
)
"""With these a candidate is still shown; with any other there is nothing that the viewer may know or do."""

Parent = strawberry.Parent[Viewer]


def viewer(context: Context) -> Viewer:
    """The viewer as the token says."""
    me = context.viewer
    official = None
    if me.is_official:
        official = Official(
            id=strawberry.ID(context.sealed("Official", me.person)),
            name=me.name or "",
            office=me.office or "",
            agency=me.agency or "",
        )
    return Viewer(official=official, roles=sorted(me.roles, key=lambda role: role.name), assurance=me.assurance)


@resolves(Viewer, "person")
async def person(parent: Parent, info: In) -> Person | None:
    """The signed-in person, from the register."""
    context = context_of(info)
    may = context.own_region().shown.allowed(Part.SELF)
    me = context.viewer.person
    if may <= {"Person.id"}:
        return context.unnamed(me)
    register = await context.register(me, Purpose.SUBJECT_ACCESS.name)
    return context.person(me, register, may)


@resolves(Viewer, "cases")
async def cases(parent: Parent, info: In, kind: CaseKind | None = None) -> list[Case]:
    """Cases on which the viewer holds a mandate and may act now; others are not listed."""
    context = context_of(info)
    records = [
        record
        for record in await context.house.cases.cases_of(context.viewer.person, context.now)
        if kind in {None, record.kind}
    ]
    entered = await asyncio.gather(*(context.enter_case(record.id) for record in records), return_exceptions=True)
    refused = {"NOT_ACCESSIBLE", "STEP_UP_REQUIRED"}
    found: list[Case] = []
    for hand in entered:
        if not isinstance(hand, BaseException):
            found.append(await case.shown(context, hand))
        elif getattr(hand, "extensions", {}).get("code") not in refused:
            raise hand
    return found


@resolves(Viewer, "candidates")
async def candidates(parent: Parent, info: In) -> list[CaseCandidate]:
    """The deceased whose heir the viewer is, and the children whose parent or guardian they are."""
    context = context_of(info)
    me = context.viewer.person
    if not officials.fits(context.viewer, MandateRole.HEIR):
        return []  # who signed in for their office has no claims of their own here
    register = await context.register(me, Purpose.SUBJECT_ACCESS.name)
    today = authority.day_of(context.now)
    deceased = [
        subject
        for subject, relative in register.persons.items()
        if subject != me and (opened := authority.opened_on(relative)) and today - opened <= RECENT
    ][:MOST]
    children = {p.child for p in register.parentage if p.parent == me}
    children |= {g.ward for g in register.guardianships if g.guardian == me and g.until is None}
    minors = [
        subject
        for subject in sorted(children)
        if register.persons[subject].death_date is None
        and authority.age(register.persons[subject].birth_date, today) < authority.CHILD_UNTIL
    ]
    found = await asyncio.gather(
        *(_candidate(context, CaseKind.ESTATE, subject) for subject in deceased),
        *(_candidate(context, CaseKind.BIRTH, subject) for subject in minors),
    )
    return [candidate for candidate in found if candidate is not None]


async def _candidate(context: Context, kind: CaseKind, subject: PersonId) -> CaseCandidate | None:
    purpose = Purpose.ESTATE_DISCOVERY if kind is CaseKind.ESTATE else Purpose.BIRTH_BENEFITS
    register = await context.register(subject, purpose.name)
    claim = authority.claim(kind, register, context.viewer.person, context.purposes)
    if claim is None:
        return None
    shown, refusal = standing(context, claim, register)
    if refusal not in OBSTACLES:
        return None
    context.own[subject] = Own(shown)
    return CaseCandidate(
        kind=kind,
        person=context.person(subject, register, shown.allowed(Part.PERSON)),
        relation=claim.relation,
        opens_until=claim.opens_until,
        obstacle=Refusal(code=refusal) if refusal else None,
    )


def standing(
    context: Context, claim: Claim, register: FamilyRegister, asker: Asker | None = None
) -> tuple[Shown, RefusalCode | None]:
    """The ruling on a case that is not open yet, and why it would not open (None when it would)."""
    shown = context.claimed(claim, register, asker)
    verdict = shown.power.entering(context.house.policies)
    return shown, verdict.refusal if not verdict.shows else None
