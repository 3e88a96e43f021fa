"""What makes an official entitled to a case: facts for the policies, from our records, roster and register. Pure.

Sources: the decision table D15-D22, D28-D30 and D36; docs/decisions/officials.md.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from auth.policy import Facts
from auth.power import Power
from auth.viewer import Viewer
from cases.store import CaseRecord, Consent, Evidence, Grant, MandateRecord
from connectors.registry import FamilyRegister
from connectors.roster import Duty
from resolvers import authority
from schema.case import CaseKind, MandateRole, Purpose
from schema.identifiers import PersonId
from schema.viewer import Assurance, Role

ROLES = frozenset({MandateRole.CASE_OFFICER, MandateRole.WELFARE_OFFICER, MandateRole.BREAK_GLASS})
"""Mandates that are an office's, not a person's own."""
WITHOUT_CASE = "OFFICIAL"
"""The policies' word for an official who has no mandate."""
PURPOSE = {CaseKind.ESTATE: Purpose.ESTATE_DISCOVERY, CaseKind.BIRTH: Purpose.BIRTH_BENEFITS}
LEGAL_BASIS = {
    (MandateRole.CASE_OFFICER, CaseKind.ESTATE): "MOIS rule 211",
    (MandateRole.CASE_OFFICER, CaseKind.BIRTH): "OSPC handling rule",
    (MandateRole.BREAK_GLASS, CaseKind.ESTATE): "PIPA 15(1) 5 (imminent danger)",
    (MandateRole.BREAK_GLASS, CaseKind.BIRTH): "PIPA 15(1) 5 (imminent danger)",
}


@dataclass(frozen=True, slots=True)
class Standing:
    """How an official stands to one case. `own` is the family register around the official."""

    register: FamilyRegister
    own: FamilyRegister
    active: bool
    case_open: bool = True
    assigned: bool = False
    same_office: bool = False
    on_duty: bool = False
    consents: frozenset[Consent] = frozenset()
    emergency: frozenset[str] = frozenset()
    """Agencies that a declared emergency names."""

    @property
    def own_family(self) -> bool:
        """Whether the register knows the official and the case's person as each other's family, from either side."""
        return self.own.subject in self.register.persons or self.register.subject in self.own.persons


def fits(viewer: Viewer, role: MandateRole) -> bool:
    """Whether the viewer signed in in the capacity that a mandate of this role is held in."""
    if role in ROLES:
        return Role.OFFICIAL in viewer.roles
    return Role.CITIZEN in viewer.roles or not viewer.is_official


def works_at(viewer: Viewer, office: str | None, agency: str | None, duty: Duty | None) -> bool:
    """Whether the official is of this office, by their token and by the roster."""
    place = (office, agency)
    return None not in place and place == (viewer.office, viewer.agency) == (duty and (duty.office, duty.agency))


def facts(
    viewer: Viewer, role: MandateRole, purpose: Purpose, standing: Standing, now: datetime, *, sandbox: bool
) -> Facts:
    """Everything the policies may know of an official's question."""
    return Facts(
        role=role.name,
        purpose=purpose,
        assurance=authority.ASSURANCE[viewer.assurance],
        fresh=authority.fresh(viewer, now),
        mandate_active=standing.active,
        protected=authority.person_of(standing.register).protected,
        office_case=True,
        case_open=standing.case_open,
        assigned=standing.assigned,
        same_office=standing.same_office,
        on_duty=standing.on_duty,
        own_family=standing.own_family,
        consent=Consent.AMOUNT in standing.consents,
        consent_financial=Consent.FINANCIAL in standing.consents,
        break_glass_agencies=standing.emergency,
        break_glass_valid=role is MandateRole.BREAK_GLASS and standing.active,
        service=Role.SERVICE in viewer.roles,
        sender_bound=viewer.sender_bound,
        sandbox=sandbox,
    )


def power(viewer: Viewer, mandate: MandateRecord, standing: Standing, now: datetime, *, sandbox: bool) -> Power:
    """What an official's mandate gives today."""
    own = facts(viewer, mandate.role, mandate.purpose, standing, now, sandbox=sandbox)
    return Power(own, None, mandate.agencies, mandate.sensitivity)


def standing(
    viewer: Viewer,
    mandate: MandateRecord,
    record: CaseRecord,
    register: FamilyRegister,
    own: FamilyRegister,
    duty: Duty | None,
    consents: frozenset[Consent],
    now: datetime,
) -> Standing:
    """How the holder of an official's mandate stands to the case."""
    named = mandate.agencies if mandate.role is MandateRole.BREAK_GLASS else None
    return Standing(
        register=register,
        own=own,
        active=mandate.active(now),
        case_open=record.closed_at is None,
        assigned=record.officer == viewer.person,
        same_office=works_at(viewer, record.office, record.agency, duty),
        on_duty=duty is not None and duty.on_duty,
        consents=consents,
        emergency=frozenset(agency.name for agency in named or ()),
    )


def without_mandate(
    viewer: Viewer, record: CaseRecord | None, mandates: Sequence[MandateRecord], now: datetime, *, sandbox: bool
) -> Facts:
    """The facts of an official who has no mandate (any more), as far as they need nobody to be asked."""
    had = next((each.role for each in mandates if each.holder == viewer.person and each.role in ROLES), None)
    office = (record.office, record.agency) if record else (None, None)
    return Facts(
        role=had.name if had else WITHOUT_CASE,
        purpose=record.purpose if record else Purpose.ESTATE_DISCOVERY,
        assurance=authority.ASSURANCE[viewer.assurance],
        fresh=authority.fresh(viewer, now),
        office_case=had is not None,
        case_open=record is not None and record.closed_at is None,
        same_office=None not in office and office == (viewer.office, viewer.agency),
        service=Role.SERVICE in viewer.roles,
        sender_bound=viewer.sender_bound,
        sandbox=sandbox,
    )


def applied(own: Power, record: CaseRecord) -> Power:
    """A family member's power on a case that somebody applied for at a counter (decision table D08)."""
    if record.applicant is None:
        return own
    giver = own.giver and replace(own.giver, opened_by_officer=True)
    return replace(own, facts=replace(own.facts, opened_by_officer=True), giver=giver)


def handed_over(record: CaseRecord, officer: PersonId, by: str, now: datetime) -> Grant:
    """The mandate of the officer to whom a case is given."""
    issuer = "The office that handles the case"
    said = json.dumps([record.id, officer, by, now.isoformat()])
    return Grant(
        role=MandateRole.CASE_OFFICER,
        holder=officer,
        purpose=PURPOSE[record.kind],
        legal_basis=LEGAL_BASIS[MandateRole.CASE_OFFICER, record.kind],
        issued_by=issuer,
        evidence=Evidence(
            kind="ASSIGNMENT",
            issuer=issuer,
            dated=now,
            assurance=Assurance.HIGH.name,
            hash=hashlib.sha256(said.encode()).hexdigest(),
            verified_by="onestop",
        ),
        on_behalf_of=record.applicant,
        justification="The case was given to this officer.",
    )
