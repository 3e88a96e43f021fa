"""Break glass: an official who declares an imminent danger in words sees one person's data for half an hour (D36).

Nobody is asked before; everything is reviewed afterwards: the entry of each access carries the words and the policy.
"""

from datetime import timedelta
from typing import Final

from graphql import GraphQLError

from cases.store import Evidence, Grant
from connectors.registry import FamilyRegister
from resolvers import authority, case, errors, inputs, officials
from resolvers.context import ASSURED, PRESENCE, Attempt, Context
from resolvers.officials import LEGAL_BASIS, PURPOSE, Standing
from resolvers.redaction import without_numbers
from schema.case import BreakGlassInput, CaseKind, MandateRole, OpenCasePayload, Refusal, RefusalCode
from schema.disclosure import Agency, Sensitivity
from schema.identifiers import PersonId
from schema.viewer import Role

LASTS: Final = timedelta(minutes=30)
SHORTEST: Final = 40
LONGEST: Final = 500
REACHES: Final = frozenset(Agency)
"""The input names no agencies, so it names all of them."""


async def declared(context: Context, asked: BreakGlassInput) -> OpenCasePayload:
    """Open the person's case to the official, or refuse in the same words whatever the reason."""
    reason = " ".join(asked.reason.split())
    if not SHORTEST <= len(reason) <= LONGEST:
        raise errors.bad_input(
            "input.reason", f"Say what the danger is and why it cannot wait, in {SHORTEST} to {LONGEST} characters."
        )
    reason = without_numbers(reason)
    viewer, kind = context.viewer, asked.kind
    subject = await inputs.looked_up(context, asked.person, "person", PURPOSE[kind])
    if Role.OFFICIAL not in viewer.roles or viewer.case is not None:
        return _refused(context, subject, RefusalCode.NOT_ACCESSIBLE, reason)
    if authority.ASSURANCE[viewer.assurance] < ASSURED:
        return _refused(context, subject, RefusalCode.STEP_UP_REQUIRED, reason)
    if subject is None:
        return _refused(context, None, RefusalCode.NOT_ACCESSIBLE, reason)
    register = await context.register(subject, PURPOSE[kind].name)
    own = await context.register(viewer.person, PURPOSE[kind].name)
    stands = Standing(register, own, active=True, emergency=frozenset(agency.name for agency in REACHES))
    facts = officials.facts(
        viewer, MandateRole.BREAK_GLASS, PURPOSE[kind], stands, context.now, sandbox=context.house.sandbox
    )
    verdict = context.house.policies.ruling(facts, [PRESENCE])[PRESENCE]
    if not verdict.shows or not _has_case(kind, register, context):
        code = verdict.refusal or RefusalCode.NOT_ACCESSIBLE
        return _refused(context, subject, code, reason, () if verdict.shows else verdict.policies)
    context.require_purpose(PURPOSE[kind], Attempt(subject, None, RefusalCode.OUT_OF_SCOPE, reason=reason))
    record = await context.house.cases.emergency(kind, subject, _grant(context, kind, subject, reason), context.now)
    context.created.add(subject)
    try:
        hand = await context.enter_case(record.id)
    except GraphQLError as error:
        if (error.extensions or {}).get("code") != RefusalCode.NOT_ACCESSIBLE.name:
            raise
        return OpenCasePayload(case=None, refusal=Refusal(code=RefusalCode.NOT_ACCESSIBLE))
    return OpenCasePayload(case=await case.shown(context, hand), refusal=None)


def _has_case(kind: CaseKind, register: FamilyRegister, context: Context) -> bool:
    """Whether such a case can be about the person: the dead leave estates, and children are born."""
    person = authority.person_of(register)
    if kind is CaseKind.ESTATE:
        return authority.opened_on(person) is not None
    young = authority.age(person.birth_date, authority.day_of(context.now)) < authority.CHILD_UNTIL
    return young and person.death_date is None


def _grant(context: Context, kind: CaseKind, subject: PersonId, reason: str) -> Grant:
    return Grant(
        role=MandateRole.BREAK_GLASS,
        holder=context.viewer.person,
        purpose=PURPOSE[kind],
        legal_basis=LEGAL_BASIS[MandateRole.BREAK_GLASS, kind],
        issued_by="The official who declared the emergency",
        evidence=Evidence(
            kind="DECLARED_EMERGENCY",
            issuer="The official who declared the emergency",
            dated=context.now,
            assurance=context.viewer.assurance.name,
            hash=inputs.fingerprint([reason, subject]),
            verified_by="onestop",
        ),
        valid_until=context.now + LASTS,
        agencies=REACHES,
        sensitivity=Sensitivity.AMOUNT,
        justification=reason,
    )


def _refused(
    context: Context, subject: PersonId | None, code: RefusalCode, reason: str, policies: tuple[str, ...] = ()
) -> OpenCasePayload:
    context.attempts.append(Attempt(subject, None, code, policies, reason))
    return OpenCasePayload(case=None, refusal=Refusal(code=code))
