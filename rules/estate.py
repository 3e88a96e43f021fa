"""What an estate comes to: known assets and debts by agency, and whether the sum can be relied on.

Official values as the agencies name them, of the day of their answers; Civil Act (민법) 1005 for what passes to heirs.
Not in the sums:

- mortgages, attachments and liens: they secure debts, and the debts themselves are counted as loans;
- insurance with a named beneficiary, whose own right it is (Supreme Court 2000다31502), and the loan on it, which is
  deducted from the benefit (2005다15598); survivor benefits that the scheme does not pay into the estate;
- things in custody, which have no value until somebody looks.

A registered lease right (전세권, Civil Act 303) is a debt: the tenant gets the deposit back, and no agency names it as
a loan. Deposits held jointly and guarantees given count in full: how much belongs to others, and whether a guarantee is
called, no agency says. None knows of debts to private persons.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from schema.answer import AnswerStatus, KnownFact, Section
from schema.disclosure import Agency
from schema.estate import AgencyTotal, EstateOutlook, EstateSummary
from schema.finance import EstateFinance
from schema.health import EstateHealth
from schema.land import EncumbranceKind, EstateLand
from schema.pensions import EstatePensions, PensionMembership
from schema.scalars import Won
from schema.tax import EstateTax, TaxState
from schema.vehicles import EstateVehicles

Amounts = Iterable[int | None]
"""None where an amount exists and is not known."""

ANSWERED: Final = frozenset({AnswerStatus.COMPLETE, AnswerStatus.NONE_HELD})


@dataclass(frozen=True, slots=True)
class Tally:
    """What one agency adds. `whole`: it has positively answered, every list is known and every counted amount named."""

    agency: Agency
    assets: int
    debts: int
    whole: bool


def summary(
    *,
    land: EstateLand,
    finance: EstateFinance,
    pensions: EstatePensions,
    tax: EstateTax,
    health: EstateHealth,
    vehicles: EstateVehicles,
) -> EstateSummary:
    """Everything known so far. Which way the estate tends is told only when nothing is missing and the sums differ.

    What is still unknown could always overturn it, and who accepts or renounces cannot take it back (Civil Act 1024).
    """
    tallies = (_land(land), _finance(finance), _pensions(pensions), _tax(tax), _health(health), _vehicles(vehicles))
    assets, debts = sum(tally.assets for tally in tallies), sum(tally.debts for tally in tallies)
    missing = [tally.agency for tally in tallies if not tally.whole]
    if missing or assets == debts:
        outlook = EstateOutlook.UNDECIDED
    else:
        outlook = EstateOutlook.ASSETS_EXCEED_DEBTS if assets > debts else EstateOutlook.DEBTS_EXCEED_ASSETS
    return EstateSummary(
        assets=Won(assets),
        debts=Won(debts),
        net=Won(assets - debts),
        by_agency=[AgencyTotal(agency=t.agency, assets=Won(t.assets), debts=Won(t.debts)) for t in tallies],
        complete=not missing,
        missing=missing,
        outlook=outlook,
    )


def _land(section: EstateLand) -> Tally:
    parcels, buildings = section.parcels, section.buildings
    owned = (*(parcels or ()), *(buildings or ()))
    deposits = [
        burden.maximum_claim
        for property_ in owned
        for burden in property_.encumbrances or ()
        if burden.kind is EncumbranceKind.LEASE_RIGHT
    ]
    known = (parcels, buildings, *(property_.encumbrances for property_ in owned))
    return _tally(Agency.LAND, section, known, [property_.assessed_value for property_ in owned], deposits)


def _finance(section: EstateFinance) -> Tally:
    counted = (
        section.deposits,
        section.loans,
        section.securities,
        section.insurance,
        section.cards,
        section.guarantees,
    )
    policies = [policy for policy in section.insurance or () if policy.part_of_estate is not False]
    # Not known to be part of the estate: outside the sums, and a gap.
    unclear = [None for policy in policies if policy.part_of_estate is None]
    assets = [
        *(deposit.balance for deposit in section.deposits or ()),
        *(holding.market_value for holding in section.securities or ()),
        *(policy.surrender_value for policy in policies if policy.part_of_estate),
        *unclear,
    ]
    debts = [
        *(amount for loan in section.loans or () for amount in (loan.principal, loan.interest_due)),
        *(card.unpaid for card in section.cards or ()),
        *(guarantee.outstanding for guarantee in section.guarantees or ()),
        *(policy.policy_loan for policy in policies if policy.part_of_estate),
    ]
    return _tally(Agency.FINANCE, section, (*counted, section.custody), assets, debts)


def _pensions(section: EstatePensions) -> Tally:
    held = [membership for membership in section.memberships or () if membership.member is not KnownFact.NO]
    assets = [amount for membership in held for amount in _pension_assets(membership)]
    debts = [amount for membership in held for amount in _pension_debts(membership)]
    return _tally(Agency.PENSIONS, section, (section.memberships,), assets, debts)


def _pension_assets(membership: PensionMembership) -> Iterator[int | None]:
    if membership.survivor_benefits is None or membership.member is KnownFact.UNKNOWN:
        yield None
    for benefit in membership.survivor_benefits or ():
        if benefit.part_of_estate:
            yield benefit.estimate


def _pension_debts(membership: PensionMembership) -> Iterator[int | None]:
    """Nothing was overpaid where no pension was paid; nothing is owed where there is no loan."""
    if membership.receiving is not False or membership.overpaid_after_death is not None:
        yield membership.overpaid_after_death
    if membership.loan is not KnownFact.NO or membership.loan_outstanding is not None:
        yield membership.loan_outstanding


def _tax(section: EstateTax) -> Tally:
    """Arrears with their surcharge, what is assessed and still to be paid, deferred or not, and refunds."""
    items = section.items or ()
    assets = [item.refundable for item in items if item.state is TaxState.REFUNDABLE]
    overdue = [amount for item in items if item.state is TaxState.ARREARS for amount in (item.arrears, item.surcharge)]
    to_come = [item.assessed for item in items if item.state in {TaxState.NOT_YET_DUE, TaxState.DEFERRED}]
    return _tally(Agency.TAX, section, (section.items,), assets, (*overdue, *to_come))


def _health(section: EstateHealth) -> Tally:
    assets = [refund.amount for refund in section.refunds or ()]
    debts = [amount for premium in section.unpaid_premiums or () for amount in (premium.unpaid, premium.surcharge)]
    return _tally(Agency.HEALTH, section, (section.refunds, section.unpaid_premiums), assets, debts)


def _vehicles(section: EstateVehicles) -> Tally:
    vehicles = section.vehicles or ()
    fines = [vehicle.unpaid_fines for vehicle in vehicles]
    assets = [owned.assessed_value for owned in (*vehicles, *(section.fishing_boats or ()))]
    debts = [fine.amount for of_vehicle in fines for fine in of_vehicle or ()]
    return _tally(Agency.VEHICLES, section, (section.vehicles, section.fishing_boats, *fines), assets, debts)


def _tally(
    agency: Agency, section: Section, lists: Iterable[Sequence[object] | None], assets: Amounts, debts: Amounts
) -> Tally:
    known_assets, known_debts = list(assets), list(debts)
    gaps = None in known_assets or None in known_debts or any(records is None for records in lists)
    return Tally(
        agency=agency,
        assets=sum(amount or 0 for amount in known_assets),
        debts=sum(amount or 0 for amount in known_debts),
        whole=section.answer.status in ANSWERED and not gaps,
    )
