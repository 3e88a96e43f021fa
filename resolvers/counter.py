"""A case that an official opens for somebody at their counter: whose claim it is, and who handles it from then on.

The applicant's own sign-in, exchanged for a token that names them beside the official (RFC 8693), is the application;
made within the last quarter of an hour it is the consent to amounts as well (docs/decisions/officials.md).
"""

from dataclasses import dataclass, replace
from datetime import timedelta

from auth.viewer import Viewer
from cases.store import Assignment, Consent, Evidence, Grant
from connectors.registry import FamilyRegister
from connectors.roster import Work
from resolvers import inputs, officials
from resolvers.context import PRESENCE, Context
from resolvers.errors import FRESH_S
from resolvers.officials import LEGAL_BASIS, PURPOSE, Standing
from schema.case import CaseKind, MandateRole, RefusalCode
from schema.identifiers import PersonId
from schema.viewer import Role

WORK = {CaseKind.ESTATE: Work.ESTATE, CaseKind.BIRTH: Work.BIRTH}
ISSUER = "The office that took the application"


@dataclass(frozen=True, slots=True)
class Applicant:
    """Whose claim opens a case: `viewer` is the one to rule on. An official who acts for nobody has none (`claims`)."""

    viewer: Viewer
    at_counter: bool
    claims: bool

    @property
    def person(self) -> PersonId:
        """Who applies."""
        return self.viewer.person


def applicant(viewer: Viewer) -> Applicant:
    """The viewer themself, or whom an official acts for."""
    if officials.fits(viewer, MandateRole.HEIR):
        return Applicant(viewer, at_counter=False, claims=True)
    if Role.OFFICIAL in viewer.roles and viewer.on_behalf_of is not None:
        citizen = replace(viewer, person=viewer.on_behalf_of, roles=frozenset({Role.CITIZEN}))
        return Applicant(citizen, at_counter=True, claims=True)
    return Applicant(viewer, at_counter=False, claims=False)


async def assignment(
    context: Context, kind: CaseKind, register: FamilyRegister
) -> tuple[Assignment | None, RefusalCode | None]:
    """The case's assignment to the official who takes it, or why they may not take it."""
    viewer = context.viewer
    duty = await context.duty()
    if duty is None or WORK[kind].name not in duty.tasks:
        return None, RefusalCode.OUT_OF_SCOPE
    stands = Standing(
        register=register,
        own=await context.register(viewer.person, PURPOSE[kind].name),
        active=True,
        assigned=True,
        same_office=officials.works_at(viewer, duty.office, duty.agency, duty),
        on_duty=duty.on_duty,
    )
    facts = officials.facts(
        viewer, MandateRole.CASE_OFFICER, PURPOSE[kind], stands, context.now, sandbox=context.house.sandbox
    )
    verdict = context.house.policies.ruling(facts, [PRESENCE])[PRESENCE]
    if not verdict.shows:
        return None, verdict.refusal
    proof = inputs.fingerprint(["application", viewer.token_id, viewer.on_behalf_of or ""])
    grant = Grant(
        role=MandateRole.CASE_OFFICER,
        holder=viewer.person,
        purpose=PURPOSE[kind],
        legal_basis=LEGAL_BASIS[MandateRole.CASE_OFFICER, kind],
        issued_by=ISSUER,
        evidence=Evidence(
            kind="APPLICATION",
            issuer=ISSUER,
            dated=viewer.issued_at or context.now,
            assurance=viewer.assurance.name,
            hash=proof,
            verified_by="onestop",
        ),
        on_behalf_of=viewer.on_behalf_of,
        justification="Taken at the counter.",
    )
    consents = frozenset({Consent.AMOUNT}) if _is_fresh(context) else frozenset()
    return Assignment(grant, duty.office, duty.agency, "Taken at the counter.", consents, proof), None


def _is_fresh(context: Context) -> bool:
    """Whether the applicant's sign-in was exchanged just now."""
    at = context.viewer.issued_at
    return at is not None and context.now - at <= timedelta(seconds=FRESH_S)
