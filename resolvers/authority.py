"""What makes a viewer entitled, from the family register as it stands now: facts for the policies. Pure.

Read afresh for every operation, so that a renunciation, a dispute, a protection order or a death counts at once.
"""

import calendar
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone

from auth.policy import LEVEL, NOBODY, SELF, Facts
from auth.viewer import Viewer
from connectors.registry import (
    AppointmentKind,
    DeclarationKind,
    FamilyRegister,
    Marriage,
    MarriageEnd,
    RegisteredPerson,
)
from resolvers.errors import FRESH_S
from rules.deadlines import last_day
from rules.succession import INHERITING, Family, HeirShare, Kin, heirs
from schema.case import CaseKind, MandateRole, Purpose
from schema.identifiers import PersonId
from schema.person import HeirStanding, Relation
from schema.viewer import Assurance, Role

KOREA = timezone(timedelta(hours=9))
ASSURANCE = {Assurance.LOW: 1, Assurance.SUBSTANTIAL: 2, Assurance.HIGH: 3}
CHILD_UNTIL = 9
"""A birth case may be opened until this birthday (decision table D23)."""

APPOINTED = {
    AppointmentKind.EXECUTOR: MandateRole.EXECUTOR,
    AppointmentKind.ADMINISTRATOR: MandateRole.ESTATE_ADMINISTRATOR,
}
LEGAL_BASIS = {
    MandateRole.EXECUTOR: "Civil Act 1101",
    MandateRole.ESTATE_ADMINISTRATOR: "Civil Act 1053",
    MandateRole.HEIR: "Civil Act 1000 and 1003; MOIS rule 211",
    MandateRole.PARENT: "Civil Act 909 and 913",
    MandateRole.GUARDIAN: "MOIS rule 211",
}
SETTLING = "National Pension Act 72-73; Automobile Management Act 12"
"""Of an heir or survivor who settles what is theirs (decision table D43 and D44)."""


def day_of(now: datetime) -> date:
    """The calendar day in Korea."""
    return now.astimezone(KOREA).date()


@dataclass(frozen=True, slots=True)
class Succession:
    """Who inherits, with what the register says that bears on it."""

    register: FamilyRegister
    shares: tuple[HeirShare, ...]

    def share_of(self, person: PersonId) -> HeirShare | None:
        """The person's place; the entitled one where there are several."""
        found = [share for share in self.shares if share.person == person]
        return next((share for share in found if share.standing in INHERITING), found[0] if found else None)


@dataclass(frozen=True, slots=True)
class Claim:
    """On what ground somebody may act on a person's case, as the register shows it."""

    kind: CaseKind
    role: MandateRole
    purpose: Purpose
    relation: Relation
    opens_until: date | None
    """None where the law sets no last day."""

    @property
    def legal_basis(self) -> str:
        """The statute that it rests on."""
        settling = (self.role, self.purpose) == (MandateRole.HEIR, Purpose.ESTATE_SETTLEMENT)
        return SETTLING if settling else LEGAL_BASIS[self.role]


def succession(register: FamilyRegister) -> Succession | None:
    """The succession of the register's person; None while they live. Worked out once: every question needs it often."""
    person = person_of(register)
    opened = opened_on(person)
    if opened is None:
        return None
    shares: tuple[HeirShare, ...] | None = register.worked_out.get("heirs")
    if shares is None:
        shares = register.worked_out["heirs"] = heirs(Family(person.subject, opened, _kin(register)))
    return Succession(register, shares)


def person_of(register: FamilyRegister) -> RegisteredPerson:
    """The person whose family it is."""
    return register.persons[register.subject]


def opened_on(person: RegisteredPerson) -> date | None:
    """The day the succession opened: death, or the declaration of absence once it is final (Civil Act 28, 997)."""
    return person.death_date or (person.missing_declared_on if person.missing_final_on else None)


def opens_until(kind: CaseKind, person: RegisteredPerson) -> date:
    """Last day on which a case may be opened."""
    if kind is CaseKind.BIRTH:
        born = person.birth_date
        return born.replace(year=born.year + CHILD_UNTIL, day=min(born.day, 28)) - timedelta(days=1)
    opened = opened_on(person) or date.min
    return last_day(end_of_month(opened), months=12)


def end_of_month(day: date) -> date:
    """The last day of the month."""
    return day.replace(day=calendar.monthrange(day.year, day.month)[1])


def age(born: date, today: date) -> int:
    """Completed years."""
    return today.year - born.year - ((today.month, today.day) < (born.month, born.day))


def claims(kind: CaseKind, register: FamilyRegister, viewer: PersonId) -> tuple[Claim, ...]:
    """The viewer's grounds on this person's case, whether or not it still opens; the one usually meant comes first.

    Nothing for strangers and for the dead.
    """
    me = register.persons.get(viewer)
    if me is not None and me.death_date is not None:
        return ()
    return _on_estate(register, viewer) if kind is CaseKind.ESTATE else _on_birth(register, viewer)


def claim(
    kind: CaseKind, register: FamilyRegister, viewer: PersonId, purposes: Collection[Purpose] | None = None
) -> Claim | None:
    """The first ground, of these purposes if there is one; None for strangers."""
    found = claims(kind, register, viewer)
    meant = [each for each in found if purposes is None or each.purpose in purposes]
    return next(iter(meant or found), None)


def _on_estate(register: FamilyRegister, viewer: PersonId) -> tuple[Claim, ...]:
    found, person = succession(register), person_of(register)
    share, role = found and found.share_of(viewer), appointed(register, viewer)
    claimed = []
    if share and share.standing is not HeirStanding.PREDECEASED:
        until = opens_until(CaseKind.ESTATE, person)
        claimed += [Claim(CaseKind.ESTATE, MandateRole.HEIR, Purpose.ESTATE_DISCOVERY, share.relation, until)]
    if role:
        claimed += [Claim(CaseKind.ESTATE, role, Purpose.ESTATE_SETTLEMENT, Relation.OTHER, None)]
    relation = survivor(register, viewer) or (share.relation if share and takes_vehicle(found, viewer) else None)
    if relation:
        claimed += [Claim(CaseKind.ESTATE, MandateRole.HEIR, Purpose.ESTATE_SETTLEMENT, relation, None)]
    return tuple(claimed)


def _on_birth(register: FamilyRegister, viewer: PersonId) -> tuple[Claim, ...]:
    person = person_of(register)
    until = opens_until(CaseKind.BIRTH, person)
    if any(p.parent == viewer and p.child == person.subject for p in register.parentage):
        return (Claim(CaseKind.BIRTH, MandateRole.PARENT, Purpose.BIRTH_BENEFITS, Relation.PARENT, until),)
    mine = any(g.guardian == viewer and g.ward == person.subject and g.until is None for g in register.guardianships)
    if mine and person.death_date is None:  # a guardianship ends with its ward
        return (Claim(CaseKind.BIRTH, MandateRole.GUARDIAN, Purpose.WARD_ADMINISTRATION, Relation.OTHER, until),)
    return ()


def survivor(register: FamilyRegister, viewer: PersonId) -> Relation | None:
    """What somebody is to the dead who gives them a survivor's pension of their own: spouse, child or parent."""
    person = person_of(register)
    if opened_on(person) is None:
        return None
    if _spouse(person, register) == viewer:
        return Relation.SPOUSE
    ties = [(p.parent, p.child) for p in register.parentage]
    if (person.subject, viewer) in ties:
        return Relation.CHILD
    return Relation.PARENT if (viewer, person.subject) in ties else None


def entitled(register: FamilyRegister) -> frozenset[PersonId]:
    """Everybody who inherits."""
    found = succession(register)
    return frozenset(share.person for share in found.shares if share.standing in INHERITING) if found else frozenset()


def takes_vehicle(found: Succession | None, viewer: PersonId) -> bool:
    """Whether the vehicles become the viewer's: as the only heir, or by the heirs' agreement (Civil Act 1013)."""
    inherits = {share.person for share in found.shares if share.standing in INHERITING} if found else set()
    agreed = found is not None and any(
        d.kind is DeclarationKind.VEHICLE_TAKEOVER and (d.heir, d.deceased) == (viewer, found.register.subject)
        for d in found.register.declarations
    )
    return viewer in inherits and (agreed or len(inherits) == 1)


def _orders(register: FamilyRegister, viewer: PersonId, today: date) -> tuple[bool, bool]:
    """Whether an order in force protects a parent of the child from the viewer, and whether it covers the child.

    It covers the child whom it names, and the one who lives with the protected parent: where the child lives tells
    where the parent does.
    """
    child = person_of(register)
    protected = {
        order.protected
        for order in register.protection_orders
        if order.against == viewer and order.since <= today and (order.until is None or today <= order.until)
    }
    parents = protected & {p.parent for p in register.parentage if p.child == child.subject}
    homes = {register.persons[parent].address for parent in parents}
    return bool(parents), child.subject in protected or bool(homes & {None, child.address})


def appointed(register: FamilyRegister, holder: PersonId) -> MandateRole | None:
    """What a will or a court has made of somebody for this estate (Civil Act 1093-1096, 1053)."""
    kinds = {each.kind for each in register.appointments if each.holder == holder and each.deceased == register.subject}
    return next((role for kind, role in APPOINTED.items() if kind in kinds), None)


def facts(
    viewer: Viewer,
    role: MandateRole | None,
    purpose: Purpose,
    register: FamilyRegister,
    *,
    active: bool,
    case_opened_on: date,
    now: datetime,
    sandbox: bool,
) -> Facts:
    """Everything the policies may know of this question. `role` is None for a viewer without a mandate."""
    person, me = person_of(register), viewer.person
    found = succession(register)
    share = found.share_of(me) if found else None
    declared = _declared(register).get(me, [])
    order = next((g for g in register.guardianships if g.guardian == me and g.ward == person.subject), None)
    kind = CaseKind.ESTATE if opened_on(person) else CaseKind.BIRTH
    protects_parent, covers_child = _orders(register, me, day_of(now))
    return Facts(
        role=role.name if role else NOBODY,
        purpose=purpose,
        assurance=ASSURANCE[viewer.assurance],
        fresh=fresh(viewer, now),
        mandate_active=active,
        opened_in_time=case_opened_on <= opens_until(kind, person),
        missing=person.death_date is None and opened_on(person) is not None,
        survivor=survivor(register, me) is not None,
        takes_vehicle=takes_vehicle(found, me),
        rank=_rank(share),
        by_substitution=share is not None and share.representing is not None,
        both_deaths_registered=share is not None
        and _is_dead(register, share.representing)
        and opened_on(person) is not None,  # who is declared missing counts as dead (Civil Act 28)
        nearer_rank_entitled=share is not None
        and any(other.rank < share.rank and other.standing in INHERITING for other in (found.shares if found else ())),
        appointed=role is not None and appointed(register, me) is role,
        renounced=DeclarationKind.RENUNCIATION in declared,
        disqualified=DeclarationKind.DISQUALIFICATION in declared or DeclarationKind.LOSS_OF_RIGHTS in declared,
        dispute=any(d.deceased == person.subject and d.closed_on is None for d in register.disputes),
        # No policy tells older people apart, and facts that are alike share their verdicts.
        child_age=min(age(person.birth_date, day_of(now)), CHILD_UNTIL),
        order_agencies=frozenset(agency.name for agency in order.agencies) if order else frozenset(),
        order_sensitivity=LEVEL[order.sensitivity] if order else 0,
        protected=person.protected,
        protection_order=protects_parent,
        order_covers_child=covers_child,
        service=Role.SERVICE in viewer.roles,
        sender_bound=viewer.sender_bound,
        sandbox=sandbox,
    )


def own_facts(viewer: Viewer, now: datetime, *, sandbox: bool) -> Facts:
    """Facts of a question about oneself."""
    return Facts(
        role=SELF,
        purpose=Purpose.SUBJECT_ACCESS,
        assurance=ASSURANCE[viewer.assurance],
        fresh=fresh(viewer, now),
        service=Role.SERVICE in viewer.roles,
        sender_bound=viewer.sender_bound,
        sandbox=sandbox,
    )


def fresh(viewer: Viewer, now: datetime) -> bool:
    """Whether the viewer signed in at most a quarter of an hour ago."""
    return viewer.signed_in_at is not None and now - viewer.signed_in_at <= timedelta(seconds=FRESH_S)


def _rank(share: HeirShare | None) -> int:
    return share.rank if share is not None and share.standing in INHERITING else 0


def _is_dead(register: FamilyRegister, person: PersonId | None) -> bool:
    return person is not None and person in register.persons and register.persons[person].death_date is not None


def _kin(register: FamilyRegister) -> dict[PersonId, Kin]:
    """Everybody in the register, as the rules of succession know them."""
    parents: defaultdict[PersonId, list[PersonId]] = defaultdict(list)
    for tie in register.parentage:
        parents[tie.child].append(tie.parent)
    declared = _declared(register)
    return {
        person.subject: Kin(
            id=person.subject,
            parents=frozenset(parents[person.subject]),
            spouse=_spouse(person, register),
            born=person.birth_date,
            died=person.death_date,
            disqualified=DeclarationKind.DISQUALIFICATION in (said := declared.get(person.subject, [])),
            lost_rights=DeclarationKind.LOSS_OF_RIGHTS in said,
            renounced=DeclarationKind.RENUNCIATION in said,
            limited=DeclarationKind.LIMITED_ACCEPTANCE in said,
        )
        for person in register.persons.values()
    }


def _declared(register: FamilyRegister) -> Mapping[PersonId, Sequence[DeclarationKind]]:
    """What is declared of each heir of this estate."""
    found: dict[PersonId, list[DeclarationKind]] = {}
    for each in register.declarations:
        if each.deceased == register.subject:
            found.setdefault(each.heir, []).append(each.kind)
    return found


def _spouse(person: RegisteredPerson, register: FamilyRegister) -> PersonId | None:
    """Whom the person was married to when the deceased died, or when they died themselves if earlier."""
    opened, died = opened_on(person_of(register)), person.death_date
    at = min(opened, died) if opened and died else opened or died
    for marriage in register.marriages:
        if person.subject in (marriage.a, marriage.b) and _holds(marriage, at):
            return marriage.b if marriage.a == person.subject else marriage.a
    return None


def _holds(marriage: Marriage, at: date | None) -> bool:
    """Whether it is one on the day; it is still on the day on which a death ends it."""
    until = marriage.until
    if until is None:
        return at is None or marriage.since <= at
    if at is None:
        return False
    return marriage.since <= at and (until > at or (until == at and marriage.ended_by is MarriageEnd.DEATH))
