"""What makes a viewer entitled, from the family register as it stands now: facts for the policies. Pure.

Read afresh for every operation, so that a renunciation, a dispute, a protection order or a death counts at once.
"""

import calendar
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone

from auth.policy import LEVEL, NOBODY, SELF, Facts
from auth.viewer import Viewer
from connectors.registry import AppointmentKind, DeclarationKind, FamilyRegister, MarriageEnd, RegisteredPerson
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


def succession(register: FamilyRegister) -> Succession | None:
    """The succession of the register's person; None while they live."""
    person = person_of(register)
    opened = opened_on(person)
    if opened is None:
        return None
    kin = {subject: _kin(relative, register) for subject, relative in register.persons.items()}
    return Succession(register, heirs(Family(person.subject, opened, kin)))


def person_of(register: FamilyRegister) -> RegisteredPerson:
    """The person whose family it is."""
    return register.persons[register.subject]


def opened_on(person: RegisteredPerson) -> date | None:
    """The day the succession opened: death, or the declaration of absence (Civil Act 28, 997)."""
    return person.death_date or person.missing_declared_on


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


def claim(kind: CaseKind, register: FamilyRegister, viewer: PersonId) -> Claim | None:
    """The viewer's ground on this person's case, whether or not it still opens; None for strangers."""
    person = person_of(register)
    if kind is CaseKind.ESTATE:
        found = succession(register)
        share = found.share_of(viewer) if found else None
        if share is None or share.standing is HeirStanding.PREDECEASED:
            role = appointed(register, viewer)
            return role and Claim(kind, role, Purpose.ESTATE_SETTLEMENT, Relation.OTHER, None)
        return Claim(kind, MandateRole.HEIR, Purpose.ESTATE_DISCOVERY, share.relation, opens_until(kind, person))
    if any(p.parent == viewer and p.child == person.subject for p in register.parentage):
        until = opens_until(kind, person)
        return Claim(kind, MandateRole.PARENT, Purpose.BIRTH_BENEFITS, Relation.PARENT, until)
    if any(g.guardian == viewer and g.ward == person.subject and g.until is None for g in register.guardianships):
        until = opens_until(kind, person)
        return Claim(kind, MandateRole.GUARDIAN, Purpose.WARD_ADMINISTRATION, Relation.OTHER, until)
    return None


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
    declared = {d.kind for d in register.declarations if d.heir == me and d.deceased == person.subject}
    order = next((g for g in register.guardianships if g.guardian == me and g.ward == person.subject), None)
    kind = CaseKind.ESTATE if opened_on(person) else CaseKind.BIRTH
    return Facts(
        role=role.name if role else NOBODY,
        purpose=purpose,
        assurance=ASSURANCE[viewer.assurance],
        fresh=fresh(viewer, now),
        mandate_active=active,
        opened_in_time=case_opened_on <= opens_until(kind, person),
        rank=_rank(share),
        by_substitution=share is not None and share.representing is not None,
        both_deaths_registered=share is not None
        and _is_dead(register, share.representing)
        and person.death_date is not None,
        nearer_rank_entitled=share is not None
        and any(other.rank < share.rank and other.standing in INHERITING for other in (found.shares if found else ())),
        appointed=role is not None and appointed(register, me) is role,
        renounced=DeclarationKind.RENUNCIATION in declared,
        disqualified=not declared.isdisjoint({DeclarationKind.DISQUALIFICATION, DeclarationKind.LOSS_OF_RIGHTS}),
        dispute=any(d.deceased == person.subject and d.closed_on is None for d in register.disputes),
        child_age=age(person.birth_date, day_of(now)),
        order_agencies=frozenset(agency.name for agency in order.agencies) if order else frozenset(),
        order_sensitivity=LEVEL[order.sensitivity] if order else 0,
        protected=person.protected,
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


def _kin(person: RegisteredPerson, register: FamilyRegister) -> Kin:
    said = {d.kind for d in register.declarations if d.heir == person.subject and d.deceased == register.subject}
    return Kin(
        id=person.subject,
        parents=frozenset(p.parent for p in register.parentage if p.child == person.subject),
        spouse=_spouse(person, register),
        born=person.birth_date,
        died=person.death_date,
        disqualified=DeclarationKind.DISQUALIFICATION in said,
        lost_rights=DeclarationKind.LOSS_OF_RIGHTS in said,
        renounced=DeclarationKind.RENUNCIATION in said,
        limited=DeclarationKind.LIMITED_ACCEPTANCE in said,
    )


def _spouse(person: RegisteredPerson, register: FamilyRegister) -> PersonId | None:
    """Whom the person was married to when the deceased died, or when they died themselves if earlier."""
    at = min(filter(None, (opened_on(person_of(register)), person.death_date)), default=None)

    def holds(since: date, until: date | None, ended_by: MarriageEnd | None) -> bool:
        if at is None:
            return until is None
        return since <= at and (until is None or until > at or (until == at and ended_by is MarriageEnd.DEATH))

    def partners() -> Iterable[PersonId]:
        for m in register.marriages:
            if person.subject in {m.a, m.b} and holds(m.since, m.until, m.ended_by):
                yield m.b if m.a == person.subject else m.a

    return next(iter(partners()), None)
