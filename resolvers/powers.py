"""Which mandate a viewer acts on in a case, and the power it gives today by our records and the register. Pure."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from msgspec import structs

from auth.power import Power
from auth.viewer import Viewer
from cases.store import CaseRecord, MandateRecord
from connectors.registry import FamilyRegister
from resolvers import authority
from schema.case import MandateRole, Purpose
from schema.identifiers import PersonId

JOINT = "joint/"
"""How the id of a proxy of all heirs begins: of whose case, and who has it."""


def held(mandates: Sequence[MandateRecord], holder: PersonId, now: datetime) -> list[MandateRecord]:
    """The person's active mandates among all of a case, their own before those given to them.

    A proxy is active only while its giver's mandate is.
    """
    active = {mandate.id for mandate in mandates if mandate.active(now)}
    mine = [mandate for mandate in mandates if mandate.holder == holder and active.issuperset(mandate.rests_on)]
    return by_reach(mine)


def by_reach(mandates: Sequence[MandateRecord]) -> list[MandateRecord]:
    """One's own before those given, one of all heirs before one of one, discovery before settlement."""

    def place(mandate: MandateRecord) -> tuple[bool, bool, bool]:
        given = mandate.role is MandateRole.PROXY
        return given, given and not mandate.joint, mandate.purpose is Purpose.ESTATE_SETTLEMENT

    return sorted(mandates, key=place)


def joint(mandates: Sequence[MandateRecord], register: FamilyRegister, now: datetime) -> list[MandateRecord]:
    """The proxies of all heirs: somebody's to whom every entitled heir, of two or more, has given one.

    It is there only while all of them hold: found afresh for every question, it cannot outlive one that ended, nor an
    heir who comes or goes.
    """
    entitled = authority.entitled(register)
    found = []
    for holder in sorted({mandate.holder for mandate in mandates if mandate.giver is not None}):
        given = {each.on_behalf_of: each for each in held(mandates, holder, now) if each.giver is not None}
        if len(entitled) < 2 or not entitled <= given.keys():
            continue
        parts = tuple(given[heir] for heir in sorted(entitled))
        found.append(
            structs.replace(
                parts[0],
                id=f"{JOINT}{parts[0].case_id}/{holder}",
                on_behalf_of=None,
                legal_basis="Civil Act 114, for all heirs",
                issued_by="All heirs together",
                valid_from=max(each.valid_from for each in parts),
                valid_until=min(each.valid_until for each in parts if each.valid_until is not None),
                giver=None,
                joint=parts,
            )
        )
    return found


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
    if mandate.joint:
        parts = [power(viewer, part, record, register, now, sandbox=sandbox) for part in mandate.joint]
        if {part.on_behalf_of for part in mandate.joint} != authority.entitled(register):
            parts = [replace(part, facts=replace(part.facts, mandate_active=False)) for part in parts]
        return replace(parts[0], others=tuple(parts[1:]))
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
