"""Which mandate a viewer acts on in a case, and the power it gives today by our records and the register. Pure."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from auth.power import Power
from auth.viewer import Viewer
from cases.store import CaseRecord, MandateRecord
from connectors.registry import FamilyRegister
from resolvers import authority
from schema.case import MandateRole, Purpose
from schema.identifiers import PersonId


def held(mandates: Sequence[MandateRecord], holder: PersonId, now: datetime) -> list[MandateRecord]:
    """The person's active mandates among all of a case, their own before those given to them.

    A proxy is active only while its giver's mandate is. An heir's discovery reaches further than their settlement.
    """
    active = {mandate.id for mandate in mandates if mandate.active(now)}
    mine = [mandate for mandate in mandates if mandate.holder == holder and active.issuperset(mandate.rests_on)]
    return sorted(mine, key=lambda each: (each.giver is not None, each.purpose is Purpose.ESTATE_SETTLEMENT))


def power(
    viewer: Viewer,
    mandate: MandateRecord,
    record: CaseRecord,
    register: FamilyRegister,
    now: datetime,
    *,
    sandbox: bool,
) -> Power:
    """What an active mandate gives its holder: as much as the register still bears out."""
    claiming = viewer.person if mandate.on_behalf_of is None else mandate.on_behalf_of
    claimed = MandateRole.HEIR if mandate.role is MandateRole.PROXY else mandate.role
    active = (claimed, mandate.purpose) in {
        (claim.role, claim.purpose) for claim in authority.claims(record.kind, register, claiming)
    }
    opened_on = authority.day_of(record.opened_at)
    own = authority.facts(
        viewer,
        mandate.role,
        mandate.purpose,
        register,
        active=active,
        case_opened_on=opened_on,
        now=now,
        sandbox=sandbox,
    )
    giver = None
    if mandate.role is MandateRole.PROXY:
        heir = replace(viewer, person=claiming)
        giver = authority.facts(
            heir,
            claimed,
            mandate.purpose,
            register,
            active=active,
            case_opened_on=opened_on,
            now=now,
            sandbox=sandbox,
        )
    return Power(own, giver, mandate.agencies, mandate.sensitivity)
