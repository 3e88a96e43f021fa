"""The sum of an estate: what counts, what stays outside, and when nothing may be concluded."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
import strawberry
from hypothesis import given
from hypothesis import strategies as st

from rules.estate import summary
from schema.answer import Answer, AnswerStatus, KnownFact, Section
from schema.disclosure import Agency
from schema.estate import EstateOutlook, EstateSummary
from schema.finance import (
    CardDebt,
    CustodyItem,
    Deposit,
    EstateFinance,
    Guarantee,
    Institution,
    InsurancePolicy,
    InsuredRole,
    Loan,
    SecurityHolding,
)
from schema.health import EstateHealth, HealthRefund, HealthRefundKind, SocialInsurance, SocialPremium
from schema.land import Building, Encumbrance, EncumbranceKind, EstateLand, LandLedger, LandParcel
from schema.pensions import EstatePensions, PensionMembership, PensionScheme, SurvivorBenefit, SurvivorBenefitKind
from schema.person import Fraction
from schema.scalars import Won
from schema.tax import EstateTax, TaxItem, TaxLevel, TaxState
from schema.vehicles import EstateVehicles, Fine, FishingBoat, Vehicle, VehicleFuel, VehicleKind

Amount = Any
"""Plain numbers stand for Won here, and None for an amount that was not told."""

INCOMPLETE = sorted(set(AnswerStatus) - {AnswerStatus.COMPLETE, AnswerStatus.NONE_HELD}, key=lambda status: status.name)
ID = strawberry.ID("x")
BANK = Institution(code="004", name="은행", sector="BANK", phone=None)
MORTGAGE = Encumbrance(kind=EncumbranceKind.MORTGAGE, holder="은행", maximum_claim=Won(999_000_000), registered_on=None)


def answer(agency: Agency, status: AnswerStatus = AnswerStatus.COMPLETE) -> Answer:
    return Answer(
        agency=agency,
        status=status,
        source="sandbox",
        source_reference=None,
        requested_at=None,
        expected_by=None,
        retrieved_at=None,
        as_of=None,
        visible_until=None,
        retry_after_seconds=None,
        problems=[],
    )


def parcel(value: Amount) -> LandParcel:
    return LandParcel(
        pnu="1174011000102450001",
        address="서울",
        ledger=LandLedger.LAND,
        category="대",
        area_m2=Decimal(100),
        ownership_share=Fraction(numerator=1, denominator=3),
        price_per_m2=None,
        price_year=None,
        assessed_value=value,
        acquired_on=None,
        acquisition_cause=None,
        encumbrances=[MORTGAGE],
    )


def building(value: Amount) -> Building:
    return Building(
        register_number="11680-1",
        pnu="1174011000102450001",
        name=None,
        address="서울",
        purpose="아파트",
        area_m2=Decimal(84),
        approved_on=None,
        ownership_share=None,
        assessed_value=value,
        encumbrances=[],
    )


def lease_right(claim: Amount) -> Encumbrance:
    return Encumbrance(kind=EncumbranceKind.LEASE_RIGHT, holder="임차인", maximum_claim=claim, registered_on=None)


def deposit(balance: Amount, *, jointly_held: bool = False) -> Deposit:
    return Deposit(
        id=ID,
        institution=BANK,
        product="",
        number_suffix=None,
        balance=balance,
        dormant=False,
        jointly_held=jointly_held,
    )


def loan(principal: Amount, interest_due: Amount = 0) -> Loan:
    return Loan(id=ID, institution=BANK, product="", principal=principal, interest_due=interest_due, secured=True)


def policy(*, part_of_estate: bool | None, value: Amount, policy_loan: Amount = 0) -> InsurancePolicy:
    return InsurancePolicy(
        id=ID,
        institution=BANK,
        product="",
        role=InsuredRole.POLICYHOLDER,
        surrender_value=value,
        policy_loan=policy_loan,
        part_of_estate=part_of_estate,
        beneficiary_name=None,
    )


def holding(value: Amount) -> SecurityHolding:
    return SecurityHolding(id=ID, institution=BANK, isin=None, name="주식", quantity=Decimal(1), market_value=value)


def membership(**facts: Any) -> PensionMembership:
    silent: dict[str, Any] = {
        "scheme": PensionScheme.NPS,
        "member": KnownFact.YES,
        "receiving": False,
        "contribution_months": None,
        "monthly_pension": None,
        "overpaid_after_death": None,
        "loan": KnownFact.NO,
        "loan_outstanding": None,
        "survivor_benefits": [],
    }
    return PensionMembership(**silent | facts)


def benefit(estimate: Amount, *, part_of_estate: bool) -> SurvivorBenefit:
    kind = SurvivorBenefitKind.UNPAID_PENSION if part_of_estate else SurvivorBenefitKind.SURVIVOR_PENSION
    return SurvivorBenefit(kind=kind, claimants=[], estimate=estimate, claim_by=None, part_of_estate=part_of_estate)


def tax_item(state: TaxState, **amounts: Amount) -> TaxItem:
    silent: dict[str, Any] = dict.fromkeys(("assessed", "arrears", "surcharge", "refundable"))
    return TaxItem(
        id=ID,
        level=TaxLevel.LOCAL,
        tax="재산세",
        period="2026",
        authority="",
        state=state,
        due_on=None,
        **silent | amounts,
    )


def card(unpaid: Amount) -> CardDebt:
    return CardDebt(id=ID, institution=BANK, unpaid=unpaid)


def guarantee(outstanding: Amount) -> Guarantee:
    limit: Amount = 50_000_000
    return Guarantee(id=ID, institution=BANK, limit=limit, outstanding=outstanding)


def premium(unpaid: Amount, surcharge: Amount = 0) -> SocialPremium:
    return SocialPremium(insurance=SocialInsurance.HEALTH, unpaid=unpaid, surcharge=surcharge, months=1)


def refund(amount: Amount) -> HealthRefund:
    return HealthRefund(kind=HealthRefundKind.COPAY_CAP_EXCESS, amount=amount, claim_by=None)


def vehicle(value: Amount, fines: list[Fine] | None = None) -> Vehicle:
    return Vehicle(
        plate="12가3456",
        kind=VehicleKind.PASSENGER,
        maker="",
        model="",
        model_year=2020,
        fuel=VehicleFuel.HYBRID,
        first_registered_on=date(2020, 1, 1),
        vin_suffix=None,
        ownership_share=None,
        assessed_value=value,
        liens=None,
        unpaid_fines=fines,
        inspection_valid_until=None,
        insurance_valid_until=None,
    )


def fine(amount: Amount) -> Fine:
    return Fine(kind="PARKING", amount=amount, due_on=None, authority="")


def boat(value: Amount) -> FishingBoat:
    return FishingBoat(number="1", name="", tonnage=Decimal(2), port="", assessed_value=value)


EMPTY: dict[str, Section] = {
    "land": EstateLand(answer=answer(Agency.LAND), parcels=[], buildings=[]),
    "finance": EstateFinance(
        answer=answer(Agency.FINANCE),
        deposits=[],
        loans=[],
        securities=[],
        insurance=[],
        cards=[],
        guarantees=[],
        custody=[],
    ),
    "pensions": EstatePensions(answer=answer(Agency.PENSIONS), memberships=[]),
    "tax": EstateTax(answer=answer(Agency.TAX), items=[]),
    "health": EstateHealth(answer=answer(Agency.HEALTH), eligibility=None, unpaid_premiums=[], refunds=[]),
    "vehicles": EstateVehicles(answer=answer(Agency.VEHICLES), vehicles=[], fishing_boats=[]),
}
"""Every agency has answered, and nobody holds anything."""

FULL: dict[str, dict[str, Any]] = {
    "land": {"parcels": [parcel(100_000_000)], "buildings": [building(300_000_000)]},
    "finance": {
        "deposits": [deposit(5_000_000), deposit(1_000_000, jointly_held=True)],
        "loans": [loan(150_000_000, 500_000)],
        "securities": [holding(7_000_000)],
        "insurance": [policy(part_of_estate=True, value=2_000_000, policy_loan=300_000)],
        "cards": [card(700_000)],
        "guarantees": [guarantee(20_000_000)],
    },
    "pensions": {
        "memberships": [
            membership(
                receiving=True,
                overpaid_after_death=400_000,
                loan=KnownFact.YES,
                loan_outstanding=3_000_000,
                survivor_benefits=[benefit(900_000, part_of_estate=True), benefit(600_000, part_of_estate=False)],
            )
        ]
    },
    "tax": {
        "items": [
            tax_item(TaxState.ARREARS, assessed=1_000_000, arrears=800_000, surcharge=24_000),
            tax_item(TaxState.NOT_YET_DUE, assessed=250_000),
            tax_item(TaxState.PAID, assessed=9_000_000),
            tax_item(TaxState.REFUNDABLE, refundable=120_000),
        ]
    },
    "health": {"unpaid_premiums": [premium(330_000, 9_000)], "refunds": [refund(450_000)]},
    "vehicles": {
        "vehicles": [vehicle(5_000_000, [fine(40_000), fine(70_000)])],
        "fishing_boats": [boat(8_000_000)],
    },
}


def summed(**changes: dict[str, Any]) -> EstateSummary:
    sections: dict[str, Any] = {name: replace(empty, **changes.get(name, {})) for name, empty in EMPTY.items()}
    return summary(**sections)


def totals(found: EstateSummary) -> dict[str, tuple[int, int]]:
    return {total.agency.name: (total.assets, total.debts) for total in found.by_agency}


def test_everything_that_an_agency_names_is_counted_once() -> None:
    found = summed(**FULL)
    assert totals(found) == {
        "LAND": (400_000_000, 0),
        "FINANCE": (15_000_000, 171_500_000),
        "PENSIONS": (900_000, 3_400_000),
        "TAX": (120_000, 1_074_000),
        "HEALTH": (450_000, 339_000),
        "VEHICLES": (13_000_000, 110_000),
    }
    assert (found.assets, found.debts, found.net) == (429_470_000, 176_423_000, 253_047_000)
    assert (found.complete, found.missing, found.outlook) == (True, [], EstateOutlook.ASSETS_EXCEED_DEBTS)


def test_a_mortgage_is_not_owed_on_top_of_the_loan_it_secures() -> None:
    found = summed(land={"parcels": [parcel(100)]}, finance={"loans": [loan(40)]})
    assert (found.assets, found.debts) == (100, 40)


def test_the_deposit_of_a_registered_tenant_is_owed() -> None:
    rented = replace(parcel(1_000_000), encumbrances=[MORTGAGE, lease_right(400_000)])
    found = summed(land={"parcels": [rented]})
    assert (found.assets, found.debts) == (1_000_000, 400_000)


def test_a_policy_with_a_named_beneficiary_stays_outside_with_its_loan() -> None:
    found = summed(finance={"insurance": [policy(part_of_estate=False, value=500, policy_loan=100)]})
    assert (found.assets, found.debts, found.complete) == (0, 0, True)


def test_a_policy_that_nobody_places_stays_outside_and_leaves_a_gap() -> None:
    found = summed(finance={"insurance": [policy(part_of_estate=None, value=500, policy_loan=100)]})
    assert (found.assets, found.debts, found.missing) == (0, 0, [Agency.FINANCE])


def test_deferred_tax_is_still_owed() -> None:
    assert summed(tax={"items": [tax_item(TaxState.DEFERRED, assessed=70)]}).debts == 70


@pytest.mark.parametrize(
    ("loans", "outlook"),
    [(99, EstateOutlook.ASSETS_EXCEED_DEBTS), (100, EstateOutlook.UNDECIDED), (101, EstateOutlook.DEBTS_EXCEED_ASSETS)],
)
def test_a_whole_picture_says_which_way_the_estate_tends(loans: int, outlook: EstateOutlook) -> None:
    found = summed(finance={"deposits": [deposit(100)], "loans": [loan(loans)]})
    assert (found.complete, found.outlook) == (True, outlook)


def test_agencies_that_hold_nothing_leave_no_gap() -> None:
    found = summed(**{name: {"answer": answer(Agency[name.upper()], AnswerStatus.NONE_HELD)} for name in EMPTY})
    assert (found.assets, found.debts, found.complete, found.outlook) == (0, 0, True, EstateOutlook.UNDECIDED)


@pytest.mark.parametrize("name", EMPTY)
@pytest.mark.parametrize("status", INCOMPLETE)
def test_an_answer_that_is_not_whole_leaves_everything_undecided(name: str, status: AnswerStatus) -> None:
    agency = Agency[name.upper()]
    found = summed(**FULL | {name: FULL[name] | {"answer": answer(agency, status)}})
    assert (found.complete, found.missing, found.outlook) == (False, [agency], EstateOutlook.UNDECIDED)
    assert (found.assets, found.debts) == (429_470_000, 176_423_000)


LISTS = [
    (name, field)
    for name, section in EMPTY.items()
    for field, value in vars(section).items()
    if isinstance(value, list)
]


@pytest.mark.parametrize(("name", "field"), LISTS)
def test_a_list_that_is_not_known_leaves_a_gap(name: str, field: str) -> None:
    found = summed(**FULL | {name: FULL[name] | {field: None}})
    assert (found.complete, found.missing) == (False, [Agency[name.upper()]])


GAPS = {
    "a parcel without value": {"land": {"parcels": [parcel(None)]}},
    "a building without value": {"land": {"buildings": [building(None)]}},
    "a deposit of which only the existence is known": {"finance": {"deposits": [deposit(None)]}},
    "a loan of which only the existence is known": {"finance": {"loans": [loan(None)]}},
    "a loan without its interest": {"finance": {"loans": [loan(1, None)]}},
    "a holding without price": {"finance": {"securities": [holding(None)]}},
    "a policy without surrender value": {"finance": {"insurance": [policy(part_of_estate=True, value=None)]}},
    "a policy loan not told": {"finance": {"insurance": [policy(part_of_estate=True, value=1, policy_loan=None)]}},
    "a card debt not told": {"finance": {"cards": [card(None)]}},
    "a guarantee not told": {"finance": {"guarantees": [guarantee(None)]}},
    "a membership that may or may not be": {"pensions": {"memberships": [membership(member=KnownFact.UNKNOWN)]}},
    "a pension loan of unknown amount": {"pensions": {"memberships": [membership(loan=KnownFact.YES)]}},
    "a pension loan that may or may not be": {"pensions": {"memberships": [membership(loan=KnownFact.UNKNOWN)]}},
    "a pension paid on, nobody says how long": {"pensions": {"memberships": [membership(receiving=True)]}},
    "survivor benefits not told": {"pensions": {"memberships": [membership(survivor_benefits=None)]}},
    "an unpaid pension of unknown amount": {
        "pensions": {"memberships": [membership(survivor_benefits=[benefit(None, part_of_estate=True)])]}
    },
    "arrears not told": {"tax": {"items": [tax_item(TaxState.ARREARS, surcharge=0)]}},
    "a surcharge not told": {"tax": {"items": [tax_item(TaxState.ARREARS, arrears=1)]}},
    "an assessment not told": {"tax": {"items": [tax_item(TaxState.NOT_YET_DUE)]}},
    "a tax refund not told": {"tax": {"items": [tax_item(TaxState.REFUNDABLE)]}},
    "a premium not told": {"health": {"unpaid_premiums": [premium(None)]}},
    "a refund not told": {"health": {"refunds": [refund(None)]}},
    "a vehicle without value": {"vehicles": {"vehicles": [vehicle(None, fines=[])]}},
    "burdens on land not known": {"land": {"parcels": [replace(parcel(1), encumbrances=None)]}},
    "a lease right of unknown amount": {"land": {"parcels": [replace(parcel(1), encumbrances=[lease_right(None)])]}},
    "fines not known": {"vehicles": {"vehicles": [vehicle(1)]}},
    "a fine of unknown amount": {"vehicles": {"vehicles": [vehicle(1, fines=[fine(None)])]}},
    "a boat without value": {"vehicles": {"fishing_boats": [boat(None)]}},
}


@pytest.mark.parametrize("changes", GAPS.values(), ids=GAPS)
def test_an_amount_that_is_not_named_leaves_a_gap(changes: dict[str, dict[str, Any]]) -> None:
    found = summed(**changes)
    assert (found.complete, found.missing) == (False, [Agency[name.upper()] for name in changes])


WHOLE = {
    "an amount that does not count may be missing": {
        "pensions": {"memberships": [membership(survivor_benefits=[benefit(None, part_of_estate=False)])]}
    },
    "a scheme that says no owes nothing": {
        "pensions": {"memberships": [membership(member=KnownFact.NO, loan=KnownFact.UNKNOWN, survivor_benefits=None)]}
    },
    "a paid tax": {"tax": {"items": [tax_item(TaxState.PAID)]}},
    "a safe box": {"finance": {"custody": [CustodyItem(id=ID, institution=BANK, kind="SAFE_BOX", location=None)]}},
}


@pytest.mark.parametrize("changes", WHOLE.values(), ids=WHOLE)
def test_what_does_not_count_leaves_no_gap(changes: dict[str, dict[str, Any]]) -> None:
    found = summed(**changes)
    assert (found.assets, found.debts, found.complete) == (0, 0, True)


# ---------------------------------------------------------------- what holds for every estate

amounts = st.none() | st.integers(0, 10**12)
facts = st.sampled_from(KnownFact)
records: dict[tuple[str, str], st.SearchStrategy[Any]] = {
    ("land", "parcels"): amounts.map(parcel),
    ("land", "buildings"): amounts.map(building),
    ("finance", "deposits"): amounts.map(deposit),
    ("finance", "loans"): st.builds(loan, amounts, amounts),
    ("finance", "securities"): amounts.map(holding),
    ("finance", "insurance"): st.builds(
        policy, part_of_estate=st.sampled_from([True, False, None]), value=amounts, policy_loan=amounts
    ),
    ("pensions", "memberships"): st.builds(
        membership,
        member=facts,
        receiving=st.sampled_from([True, False, None]),
        overpaid_after_death=amounts,
        loan=facts,
        loan_outstanding=amounts,
        survivor_benefits=st.none() | st.lists(st.builds(benefit, amounts, part_of_estate=st.booleans()), max_size=2),
    ),
    ("tax", "items"): st.builds(
        tax_item,
        st.sampled_from(TaxState),
        assessed=amounts,
        arrears=amounts,
        surcharge=amounts,
        refundable=amounts,
    ),
    ("health", "unpaid_premiums"): st.builds(premium, amounts, amounts),
    ("health", "refunds"): amounts.map(refund),
    ("vehicles", "vehicles"): st.builds(vehicle, amounts, st.none() | st.lists(amounts.map(fine), max_size=2)),
    ("vehicles", "fishing_boats"): amounts.map(boat),
}


@st.composite
def estates(draw: st.DrawFn) -> dict[str, dict[str, Any]]:
    changes: dict[str, dict[str, Any]] = {}
    for name in EMPTY:
        status = draw(st.sampled_from([AnswerStatus.COMPLETE] * 4 + INCOMPLETE))
        changes[name] = {"answer": answer(Agency[name.upper()], status)}
    for (name, field), one in records.items():
        changes[name][field] = draw(st.lists(one, max_size=3) | st.none())
    return changes


@given(estates())
def test_the_sums_agree_and_only_a_whole_picture_tends_anywhere(changes: dict[str, dict[str, Any]]) -> None:
    found = summed(**changes)
    assert found.net == found.assets - found.debts
    assert [total.agency for total in found.by_agency] == [Agency[name.upper()] for name in EMPTY]
    assert found.assets == sum(total.assets for total in found.by_agency)
    assert found.debts == sum(total.debts for total in found.by_agency)
    assert found.complete == (found.missing == [])
    assert found.complete or found.outlook is EstateOutlook.UNDECIDED


@given(estates(), st.randoms(use_true_random=False))
def test_the_order_of_records_changes_nothing(changes: dict[str, dict[str, Any]], order: Any) -> None:
    shuffled = {
        name: {
            key: order.sample(value, len(value)) if isinstance(value, list) else value for key, value in fields.items()
        }
        for name, fields in changes.items()
    }
    assert summed(**shuffled) == summed(**changes)


MORE_DEBT: list[tuple[str, str, Any]] = [
    ("finance", "loans", loan(1, 1)),
    ("finance", "cards", card(1)),
    ("finance", "guarantees", guarantee(1)),
    ("pensions", "memberships", membership(loan=KnownFact.YES, loan_outstanding=1)),
    ("tax", "items", tax_item(TaxState.ARREARS, arrears=1, surcharge=1)),
    ("health", "unpaid_premiums", premium(1)),
]


@given(estates(), st.sampled_from(MORE_DEBT))
def test_one_debt_more_always_lowers_the_net(changes: dict[str, dict[str, Any]], debt: tuple[str, str, Any]) -> None:
    name, field, record = debt
    before = changes | {name: changes[name] | {field: changes[name].get(field) or []}}
    after = before | {name: before[name] | {field: [*before[name][field], record]}}
    assert summed(**after).net < summed(**before).net
    assert summed(**after).missing == summed(**before).missing
