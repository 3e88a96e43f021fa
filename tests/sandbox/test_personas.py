"""The personas keep what the contract's page promises, on whatever day they are asked."""

from collections import Counter
from dataclasses import fields, is_dataclass
from datetime import date, timedelta
from fractions import Fraction

import pytest

from sandbox.facts import FinanceFacts, Holdings, LandFacts, Nation, PensionFacts, TaxFacts, VehicleFacts
from sandbox.holdings import holdings
from sandbox.identifiers import is_isin, is_vin, persona_subject
from sandbox.nation import nation
from sandbox.personas import PERSONAS, faults
from sandbox.tables import PLACES

PAGE = (
    "heir heir-in-debt heir-substitute heir-second-rank sibling renounced executor proxy parent parent-of-twins "
    "protected-birth case-officer other-office curious-official welfare-officer privacy-officer stranger "
    "protected-person"
)
"""The names of the contract's page, in its order."""
DAYS = [date(2026, 11, 21), date(2027, 1, 1), date(2028, 2, 29), date(2028, 12, 31), date(2031, 5, 3)]
DUE = {"due_on", "due_from", "due_until", "claim_by", "expires_on", "inspection_valid_until", "insurance_valid_until"}


@pytest.fixture(params=DAYS, ids=str)
def families(request: pytest.FixtureRequest) -> Nation:
    return nation(7, 0, request.param)


def estate(families: Nation, persona: str) -> Holdings:
    return holdings(families, persona_subject(f"{persona}/deceased"))


def days(record: object, name: str = "") -> list[tuple[str, date]]:
    if isinstance(record, date):
        return [(name, record)]
    if is_dataclass(record):
        return [day for each in fields(record) for day in days(getattr(record, each.name), each.name)]
    return [day for each in record for day in days(each, name)] if isinstance(record, tuple) else []


def test_all_personas_of_the_page_are_there_with_stable_subjects(families: Nation) -> None:
    assert list(PERSONAS) == PAGE.split()
    assert families.personas == {name: persona_subject(name) for name in PERSONAS}
    assert PERSONAS["heir"].subject == "zkwcsthjvkxpv7zl7n6c5vlkpm"
    assert all(families.people[record.subject].died is None for record in PERSONAS.values())


def test_nothing_about_them_lies_after_the_day_before_yesterday_unless_it_falls_due(families: Nation) -> None:
    last_day = families.today - timedelta(days=2)
    for subject, person in families.people.items():
        happened = [day for name, day in days(holdings(families, subject)) if name not in DUE]
        assert max([person.born, person.died or person.born, *happened]) <= last_day


def test_the_estate_of_heir_holds_what_the_page_says(families: Nation) -> None:
    held = estate(families, "heir")
    assert isinstance(held.land, LandFacts)
    assert len(held.land.parcels) == 3
    assert [parcel.share for parcel in held.land.parcels].count(Fraction(1, 3)) == 1
    mortgaged = [
        parcel
        for parcel in held.land.parcels
        if any(each.kind == "MORTGAGE" and each.released_on is None for each in parcel.encumbrances)
    ]
    assert len(mortgaged) == 1
    assert [building.purpose for building in held.land.buildings] == ["아파트"]
    assert isinstance(held.finance, FinanceFacts)
    parts = held.finance.institutions
    assert sum(len(part.deposits) for part in parts) == 6
    assert sum(bool(part.deposits) for part in parts) == 4
    assert sum(len(part.loans) for part in parts) == 2
    assert sum(len(part.securities) for part in parts) == 3
    assert all(each.isin and is_isin(each.isin) for part in parts for each in part.securities)
    policies = [policy for part in parts for policy in part.insurance]
    assert len(policies) == 2
    assert [policy.beneficiary_name is not None for policy in policies].count(True) == 1
    assert [card.unpaid > 0 for part in parts for card in part.cards] == [True]
    assert isinstance(held.pensions, PensionFacts)
    assert len(held.pensions.memberships) == 10
    members = [each for each in held.pensions.memberships if each.member == "YES"]
    assert [(each.scheme, each.monthly_pension is None) for each in members] == [("NPS", False), ("COMWEL", True)]
    assert isinstance(held.tax, TaxFacts)
    states = Counter(item.state for item in held.tax.items)
    assert states.total() == 5
    assert states["ARREARS"] >= 1
    assert states["REFUNDABLE"] >= 1
    assert held.health
    assert sum(premium.unpaid for premium in held.health.premiums) > 0
    assert len(held.health.refunds) == 1
    assert isinstance(held.vehicles, VehicleFacts)
    kept = [vehicle for vehicle in held.vehicles.vehicles if vehicle.deregistered_on is None]
    assert len(kept) == 2
    seized = [any(lien.kind == "SEIZURE" and lien.released_on is None for lien in vehicle.liens) for vehicle in kept]
    assert sorted(seized) == [False, True]
    assert all(is_vin(vehicle.vin) for vehicle in held.vehicles.vehicles)


def test_history_that_must_not_be_shown_is_there_to_be_left_out(families: Nation) -> None:
    held = estate(families, "heir")
    assert held.land
    assert held.vehicles
    assert any(each.released_on for parcel in held.land.parcels for each in parcel.encumbrances)
    assert any(each.released_on for building in held.land.buildings for each in building.encumbrances)
    assert any(vehicle.deregistered_on for vehicle in held.vehicles.vehicles)
    assert any(lien.released_on for vehicle in held.vehicles.vehicles for lien in vehicle.liens)
    assert any(fine.paid_on for vehicle in held.vehicles.vehicles for fine in vehicle.fines)


@pytest.mark.parametrize(
    "persona", ["heir", "heir-in-debt", "heir-substitute", "heir-second-rank", "sibling", "executor"]
)
def test_the_inquiry_into_each_estate_is_still_open(families: Nation, persona: str) -> None:
    """One year from the end of the month of death."""
    died = families.people[persona_subject(f"{persona}/deceased")].died
    assert died is not None
    assert timedelta(days=30) < families.today - died < timedelta(days=120)


def test_the_family_of_heir_is_a_spouse_and_two_children_and_heir_asks(families: Nation) -> None:
    deceased = persona_subject("heir/deceased")
    children = {tie.child for tie in families.ties(deceased).children}
    assert children == {persona_subject("heir"), persona_subject("heir/co-heir")}
    assert [marriage.ended_by for marriage in families.ties(deceased).marriages] == ["DEATH"]
    assert families.people[persona_subject("heir/spouse")].died is None


def test_the_predeceased_son_leaves_a_widow_who_asks_and_a_minor_daughter(families: Nation) -> None:
    late, opened = (
        families.people[persona_subject(f"heir-substitute/{role}")].died for role in ("late-son", "deceased")
    )
    assert late is not None
    assert opened is not None
    assert late < opened
    child = families.people[persona_subject("heir-substitute/grandchild")]
    assert (opened - child.born).days < 19 * 365
    guardians = [tie.parent for tie in families.ties(child.subject).parents if tie.custody]
    assert guardians == [persona_subject("heir-substitute")]


def test_no_descendants_where_the_mother_inherits_and_nobody_nearer_where_the_brother_does(families: Nation) -> None:
    assert families.ties(persona_subject("heir-second-rank/deceased")).children == []
    brother = families.ties(persona_subject("sibling/deceased"))
    assert (brother.children, brother.marriages) == ([], [])
    assert all(families.people[tie.parent].died for tie in brother.parents)


def test_renunciation_and_appointment_are_registered(families: Nation) -> None:
    assert [(each.heir, each.kind) for each in families.declarations] == [
        (persona_subject("renounced"), "RENUNCIATION"),
        (persona_subject("missing/son"), "VEHICLE_TAKEOVER"),
    ]
    remaining = {tie.child for tie in families.ties(persona_subject("renounced/deceased")).children}
    assert remaining == {persona_subject("renounced"), persona_subject("renounced/sister")}
    assert [(each.holder, each.kind) for each in families.appointments] == [(persona_subject("executor"), "EXECUTOR")]
    assert families.ties(persona_subject("executor")).parents == []
    assert families.ties(persona_subject("executor")).children == []


def test_the_first_child_is_born_to_married_parents_in_a_depopulation_area(families: Nation) -> None:
    child = persona_subject("parent/child")
    assert families.births[child].order == 1
    assert not families.births[child].multiple
    assert {tie.relation: tie.custody for tie in families.ties(child).parents} == {"MOTHER": True, "FATHER": True}
    assert families.people[child].municipality in {place.municipality for place in PLACES if place.depopulation}
    assert 28 <= (families.today - families.people[child].born).days <= 42
    (marriage,) = families.ties(persona_subject("parent")).marriages
    assert marriage.until is None
    assert marriage.since < families.people[child].born


def test_the_twins_are_the_second_and_third_child(families: Nation) -> None:
    children = [families.births[tie.child] for tie in families.ties(persona_subject("parent-of-twins")).children]
    assert [(birth.order, birth.multiple) for birth in children] == [(1, False), (2, True), (3, True)]
    assert len({families.people[birth.child].born for birth in children}) == 2


def test_the_protected_child_has_no_parents_and_a_guardian_for_every_agency(families: Nation) -> None:
    child = persona_subject("protected-birth/child")
    assert families.ties(child).parents == []
    assert families.births[child].under_protection
    (order,) = families.guardianships
    assert (order.ward, order.guardian, order.until) == (child, persona_subject("protected-birth"), None)
    assert order.agencies == ("REGISTRY", "LAND", "FINANCE", "PENSIONS", "TAX", "HEALTH", "VEHICLES")
    assert order.sensitivity == "AMOUNT"


def test_the_protected_dead_have_an_heir_and_holdings_that_nobody_may_see(families: Nation) -> None:
    deceased = persona_subject("protected-person/deceased")
    assert families.people[deceased].protected
    assert [tie.child for tie in families.ties(deceased).children] == [persona_subject("protected-person")]
    assert holdings(families, deceased).finance is not None
    assert [person.subject for person in families.people.values() if person.protected] == [deceased]


def test_the_stranger_and_the_proxy_have_no_dead_and_no_newborn(families: Nation) -> None:
    for name in ("stranger", "proxy"):
        ties = families.ties(persona_subject(name))
        kin = [tie.parent for tie in ties.parents] + [tie.child for tie in ties.children]
        assert all(families.people[subject].died is None for subject in kin)
        assert ties.children == []


def test_officials_have_an_office_and_the_others_none() -> None:
    officials = {name for name, record in PERSONAS.items() if record.office and record.agency}
    assert officials == {"case-officer", "other-office", "curious-official", "welfare-officer", "privacy-officer"}
    assert {name for name, record in PERSONAS.items() if record.roles == ("OFFICIAL",)} == officials - {
        "privacy-officer"
    }
    assert PERSONAS["privacy-officer"].roles == ("PRIVACY_OFFICER",)
    assert PERSONAS["case-officer"].office == PERSONAS["curious-official"].office
    assert PERSONAS["case-officer"].office != PERSONAS["other-office"].office


def test_one_agency_is_late_one_institution_fails_and_one_scheme_is_late(families: Nation) -> None:
    found = {
        (agency, subject): [(fault.kind, fault.institution, fault.expected_by) for fault in of_agency]
        for (agency, subject), of_agency in faults(families.today).items()
    }
    assert found == {
        ("FINANCE", persona_subject("heir-second-rank/deceased")): [
            ("LATE", None, families.today + timedelta(days=12))
        ],
        ("FINANCE", persona_subject("heir-substitute/deceased")): [("FAILED", "088", None)],
        ("PENSIONS", persona_subject("executor/deceased")): [("LATE", "KTCU", families.today + timedelta(days=13))],
    }
    asked = holdings(families, persona_subject("heir-substitute/deceased")).finance
    assert asked
    assert [part.institution.code for part in asked.institutions] == ["012", "071", "088"]
