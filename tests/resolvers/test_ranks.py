"""Ranks 2 and 3 see an estate only when nobody nearer is entitled, whatever the family; and only while it is borne out.

The families are drawn; who is entitled is found here by the naive reading of Civil Act 1000 to 1003 and 1042.
"""

import random
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

import pytest
from msgspec.structs import replace as changed

from auth.policy import Need, Policies, written
from auth.power import Power
from auth.viewer import Viewer
from cases.store import CaseRecord, MandateRecord
from connectors.registry import (
    Appointment,
    AppointmentKind,
    Declaration,
    DeclarationKind,
    FamilyRegister,
    Guardianship,
    Marriage,
    MarriageEnd,
    Parentage,
    RegisteredPerson,
)
from resolvers import authority, powers
from schema.case import CaseKind, MandateRole, Purpose
from schema.disclosure import Agency, Sensitivity
from schema.identifiers import CaseId, PersonId
from schema.person import ParentRelation
from schema.viewer import Assurance
from tests.resolvers.world import BABY, FAMILY, HUSBAND, NOW, STRANGER, WIFE, person_id, registered

DIED = date(2026, 1, 10)
BEFORE = DIED - timedelta(days=900)
HELD = [Need(agency, Sensitivity.PRESENCE) for agency in Agency]
FAMILIES = 300


@dataclass
class Drawn:
    """A family around a deceased."""

    persons: dict[PersonId, RegisteredPerson] = field(default_factory=dict)
    parentage: list[Parentage] = field(default_factory=list)
    marriages: list[Marriage] = field(default_factory=list)
    renounced: set[PersonId] = field(default_factory=set)

    def add(self, name: str, born: int, dead: bool, *parents: PersonId) -> PersonId:
        subject = person_id(name)
        self.persons[subject] = registered(subject, date(born, 1, 1), BEFORE if dead else None)
        relations = (ParentRelation.MOTHER, ParentRelation.FATHER)
        self.parentage += [Parentage(p, subject, r, custody=False) for p, r in zip(parents, relations, strict=False)]
        return subject

    def lives(self, subject: PersonId) -> bool:
        return self.persons[subject].death_date is None

    def may(self, subject: PersonId) -> bool:
        return self.lives(subject) and subject not in self.renounced

    def children(self, of: PersonId) -> list[PersonId]:
        return [tie.child for tie in self.parentage if tie.parent == of]


def drawn(draw: random.Random) -> tuple[FamilyRegister, Drawn, PersonId]:
    family = Drawn()
    mother, father = family.add("mother", 1930, draw.random() < 0.6), family.add("dad", 1928, draw.random() < 0.7)
    me = family.add("gone", 1955, False, mother, father)
    family.persons[me] = changed(family.persons[me], death_date=DIED)
    for number in range(draw.choice([0, 0, 0, 1, 2])):
        child = family.add(f"child{'bc'[number]}", 1985, draw.random() < 0.4, me)
        for grandchild in range(draw.choice([0, 1])):
            family.add(f"grand{'bc'[number]}{'de'[grandchild]}", 2005, False, child)
    for number in range(draw.choice([1, 2])):
        sibling = family.add(f"sibling{'bc'[number]}", 1958, draw.random() < 0.3, mother, father)
        family.add(f"niece{'bc'[number]}", 1990, False, sibling)
    if draw.random() < 0.4:
        spouse = family.add("spouse", 1957, False)
        family.marriages.append(Marriage(me, spouse, date(1983, 1, 1), DIED, MarriageEnd.DEATH))
    family.renounced = {each for each in family.persons if family.lives(each) and draw.random() < 0.15}
    declared = tuple(Declaration(me, each, DeclarationKind.RENUNCIATION, DIED) for each in sorted(family.renounced))
    register = FamilyRegister(
        me, family.persons, tuple(family.parentage), tuple(family.marriages), (), declared, (), ()
    )
    return register, family, me


def nearer(family: Drawn, me: PersonId) -> tuple[bool, bool]:
    """Whether somebody of rank 1 is entitled, and somebody of rank 2 or the spouse."""
    spouse = family.may(person_id("spouse")) if family.marriages else False
    children = family.children(me)
    in_place = [each for child in children if not family.lives(child) for each in family.children(child)]
    first = any(map(family.may, [*children, *in_place]))
    if not first and not spouse:  # nobody of the first degree is left: the next one inherits in its own right
        first = any(family.may(each) for child in children for each in family.children(child))
    alone = spouse and any(child in family.renounced for child in children)  # 2020그42
    return first or alone, spouse or family.may(person_id("mother")) or family.may(person_id("dad"))


def viewer(person: PersonId) -> Viewer:
    return Viewer(
        person=person,
        client="portal",
        roles=frozenset(),
        assurance=Assurance.HIGH,
        signed_in_at=NOW,
        token_id="1",
        expires_at=NOW + timedelta(minutes=5),
    )


def power(register: FamilyRegister, person: PersonId, role: MandateRole, purpose: Purpose) -> Power:
    """What a mandate that was once given gives today."""
    kind = CaseKind.ESTATE if purpose.name.startswith("ESTATE") else CaseKind.BIRTH
    case = CaseRecord(CaseId("case"), kind, register.subject, "E26-1", purpose, NOW, person, None, 0)
    mandate = MandateRecord("m", case.id, role, person, None, purpose, "-", "-", NOW, None, None)
    return powers.power(viewer(person), mandate, case, register, NOW, sandbox=True)


def shows(policies: Policies, of: Power) -> bool:
    return any(verdict.shows for verdict in of.ruling(policies, HELD).values())


@pytest.fixture(scope="module")
def policies() -> Policies:
    return Policies(pytest.fail)


def test_ranks_two_and_three_see_nothing_while_somebody_nearer_is_entitled(policies: Policies) -> None:
    draw, seen = random.Random(1000), Counter[str]()  # noqa: S311 - the same families each time
    for _ in range(FAMILIES):
        register, family, me = drawn(draw)
        first, second = nearer(family, me)
        for person in (each for each in family.persons if each != me and family.lives(each)):
            rank = 2 if person in {person_id("mother"), person_id("dad")} else 3
            if rank == 3 and not person.startswith(("sibling", "niece")):
                continue
            shown = shows(policies, power(register, person, MandateRole.HEIR, Purpose.ESTATE_DISCOVERY))
            barred = first or (rank == 3 and second)
            assert not (shown and (barred or person in family.renounced)), (person, family)
            seen[f"{rank} {'shown' if shown else 'barred' if barred else 'not shown'}"] += 1
    assert min(seen[each] for each in ("2 shown", "2 barred", "3 shown", "3 barred")) >= 15, seen


# ---------------------------------------------------------------- evidence

ESTATE = replace(FAMILY, subject=HUSBAND)
BIRTH = replace(FAMILY, subject=BABY)
WITH_STRANGER = {**FAMILY.persons, STRANGER: registered(STRANGER, date(1980, 1, 1))}
APPOINTED = replace(
    ESTATE,
    persons=WITH_STRANGER,
    appointments=(Appointment(HUSBAND, STRANGER, AppointmentKind.EXECUTOR, DIED, "2026 유언검인 제1호"),),
)
ORDER = Guardianship(BABY, STRANGER, date(2026, 2, 2), None, frozenset(Agency), Sensitivity.AMOUNT, "2026느단1")
WARD = replace(BIRTH, persons=WITH_STRANGER, parentage=(), guardianships=(ORDER,))
DISCOVERY, SETTLEMENT = Purpose.ESTATE_DISCOVERY, Purpose.ESTATE_SETTLEMENT


def dead(register: FamilyRegister, person: PersonId) -> FamilyRegister:
    return replace(
        register,
        persons={**register.persons, person: changed(register.persons[person], death_date=NOW.date())},
    )


def marriage_annulled(register: FamilyRegister) -> FamilyRegister:
    return replace(register, marriages=())


EVIDENCE = {
    "an heir's marriage": (WIFE, MandateRole.HEIR, DISCOVERY, ESTATE, marriage_annulled(ESTATE)),
    "a survivor's marriage": (WIFE, MandateRole.HEIR, SETTLEMENT, ESTATE, marriage_annulled(ESTATE)),
    "an heir's life": (WIFE, MandateRole.HEIR, DISCOVERY, ESTATE, dead(ESTATE, WIFE)),
    "an appointment": (STRANGER, MandateRole.EXECUTOR, SETTLEMENT, APPOINTED, replace(APPOINTED, appointments=())),
    "an executor's life": (STRANGER, MandateRole.EXECUTOR, SETTLEMENT, APPOINTED, dead(APPOINTED, STRANGER)),
    "an order for a guardian": (
        *(STRANGER, MandateRole.GUARDIAN, Purpose.WARD_ADMINISTRATION, WARD),
        replace(WARD, guardianships=(changed(ORDER, until=NOW.date()),)),
    ),
    "a ward's life": (STRANGER, MandateRole.GUARDIAN, Purpose.WARD_ADMINISTRATION, WARD, dead(WARD, BABY)),
    "parenthood": (WIFE, MandateRole.PARENT, Purpose.BIRTH_BENEFITS, BIRTH, replace(BIRTH, parentage=())),
}


@pytest.mark.parametrize("evidence", EVIDENCE)
def test_a_mandate_is_active_only_while_the_register_bears_its_evidence_out(policies: Policies, evidence: str) -> None:
    person, role, purpose, before, after = EVIDENCE[evidence]
    assert power(before, person, role, purpose).entering(policies).shows
    lost = power(after, person, role, purpose)
    assert not lost.facts.mandate_active
    assert not lost.entering(policies).shows


def test_the_age_of_the_dead_makes_no_new_facts() -> None:
    told = {
        authority.facts(
            Viewer(WIFE, "portal", frozenset(), Assurance.HIGH, NOW, "token", NOW + timedelta(minutes=5)),
            MandateRole.HEIR,
            Purpose.ESTATE_DISCOVERY,
            replace(FAMILY, subject=HUSBAND, persons={**FAMILY.persons, HUSBAND: registered(HUSBAND, born, DIED)}),
            active=True,
            case_opened_on=DIED,
            now=NOW,
            sandbox=True,
        )
        for born in (date(1935, 1, 1), date(1955, 1, 1), date(2000, 1, 1))
    }
    assert len(told) == 1


def test_no_policy_asks_for_another_age_than_facts_can_tell() -> None:
    asked = re.findall(r"child_age\s*(\S+)\s*(\w+)", written())
    assert asked
    assert set(asked) == {("<", str(authority.CHILD_UNTIL))}


def test_a_declaration_of_absence_opens_a_succession_once_it_is_final(policies: Policies) -> None:
    absent = changed(FAMILY.persons[HUSBAND], death_date=None, missing_declared_on=DIED)
    marriage = changed(FAMILY.marriages[0], until=None, ended_by=None)
    pending = replace(ESTATE, persons={**ESTATE.persons, HUSBAND: absent}, marriages=(marriage,))
    final = changed(absent, missing_final_on=DIED + timedelta(days=15))
    opened = replace(pending, persons={**ESTATE.persons, HUSBAND: final})
    assert authority.claims(CaseKind.ESTATE, pending, WIFE) == ()
    found = power(opened, WIFE, MandateRole.HEIR, DISCOVERY)
    assert (found.facts.missing, found.entering(policies).shows) == (True, True)


def test_heirs_are_worked_out_once_for_a_register_and_anew_for_one_with_a_change() -> None:
    first = authority.succession(ESTATE)
    assert first is not None
    assert first.share_of(WIFE) is not None
    again = authority.succession(ESTATE)
    assert again is not None
    assert again.shares is first.shares

    without = {person: found for person, found in ESTATE.persons.items() if person != WIFE}
    marriages = tuple(each for each in ESTATE.marriages if WIFE not in {each.a, each.b})
    alone = authority.succession(replace(ESTATE, persons=without, marriages=marriages))
    assert alone is not None
    assert alone.share_of(WIFE) is None
