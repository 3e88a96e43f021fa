"""The known answers: what the graph must show of each persona's case, and of everybody else per agency.

In the graph's own names and JSON forms: days as ISO text, decimals as text, won as integers, fractions as objects.
Opaque ids are left out; every list is sorted by the keys in SORTED_BY, which the graph shows too. The sums and the
heirs' shares are worked out here by hand, apart from the product's rules, so that one can be held against the other.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from sandbox.facts import (
    Building,
    Encumbrance,
    Fault,
    FinanceFacts,
    HealthFacts,
    Holdings,
    Institution,
    LandFacts,
    Membership,
    Nation,
    Parcel,
    PensionFacts,
    Person,
    Subject,
    TaxFacts,
    Vehicle,
    VehicleFacts,
)
from sandbox.holdings import holdings
from sandbox.identifiers import PREFIXES, sector_id
from sandbox.personas import PERSONAS, PersonaRecord, faults

Shown = dict[str, Any]

SORTED_BY: Final[Mapping[str, tuple[str, ...]]] = {
    "parcels": ("pnu",),
    "buildings": ("registerNumber",),
    "encumbrances": ("registeredOn", "kind"),
    "deposits": ("institution.code", "product", "numberSuffix", "balance"),
    "payoutAccounts": ("institution.code", "product", "numberSuffix", "balance"),
    "loans": ("institution.code", "product", "principal"),
    "securities": ("institution.code", "isin", "quantity"),
    "insurance": ("institution.code", "product", "role", "surrenderValue"),
    "cards": ("institution.code", "unpaid"),
    "guarantees": ("institution.code", "limit", "outstanding"),
    "custody": ("institution.code", "kind", "location"),
    "vouchers": ("name", "balance"),
    "memberships": ("scheme",),
    "survivorBenefits": ("kind",),
    "items": ("level", "tax", "period", "state", "assessed"),
    "unpaidPremiums": ("insurance",),
    "refunds": ("kind", "claimBy", "amount"),
    "vehicles": ("plate",),
    "fishingBoats": ("number",),
    "liens": ("registeredOn", "kind"),
    "unpaidFines": ("dueOn", "kind", "amount"),
    "screenings": ("test",),
    "immunizations": ("vaccine", "dose"),
    "checkups": ("round",),
    "heirs": ("name",),
    "parents": ("relation",),
}
"""List of the graph to the members by which it is sorted here; null sorts first."""

AGENCIES: Final = ("LAND", "FINANCE", "PENSIONS", "TAX", "HEALTH", "VEHICLES")
DWELLINGS: Final = frozenset({"아파트", "단독주택", "다세대주택", "연립주택", "다가구주택", "주거용 오피스텔"})


@dataclass(frozen=True, slots=True)
class _Heir:
    """One line of the heirs' table, written by hand from Civil Act 1000 to 1010 and 1112."""

    name: str
    relation: str
    rank: int
    share: str
    reserved: str | None
    standing: str = "ENTITLED"
    representing: str | None = None


@dataclass(frozen=True, slots=True)
class _Expected:
    """What is known of a persona's case beyond the facts; `rows` of the decision table allow or refuse it."""

    rows: tuple[str, ...]
    opens: bool = True
    heirs: tuple[_Heir, ...] = ()


EXPECTED: Final[Mapping[str, _Expected]] = {
    "heir": _Expected(
        ("D01", "D02", "D03", "D04"),
        heirs=(
            _Heir("박순영", "SPOUSE", 1, "3/7", "3/14"),
            _Heir("이서연", "CHILD", 1, "2/7", "1/7"),
            _Heir("이준호", "CHILD", 1, "2/7", "1/7"),
        ),
    ),
    "heir-in-debt": _Expected(
        ("D01", "D02", "D03", "D04"),
        heirs=(_Heir("강도현", "CHILD", 1, "2/5", "1/5"), _Heir("정미영", "SPOUSE", 1, "3/5", "3/10")),
    ),
    "heir-substitute": _Expected(
        ("D09", "D01", "D02", "D03", "D04"),
        heirs=(
            _Heir("노경수", "CHILD", 1, "0", None, "PREDECEASED"),
            _Heir("노은주", "CHILD", 1, "2/9", "1/9"),
            _Heir("노진우", "CHILD", 1, "2/9", "1/9"),
            _Heir("노하윤", "GRANDCHILD", 1, "4/45", "2/45", representing="노경수"),
            _Heir("윤미경", "OTHER", 1, "2/15", "1/15", representing="노경수"),
            _Heir("홍경자", "SPOUSE", 1, "1/3", "1/6"),
        ),
    ),
    "heir-second-rank": _Expected(
        ("D06",),
        heirs=(
            _Heir("남성호", "PARENT", 2, "2/7", "2/21"),
            _Heir("양수진", "SPOUSE", 2, "3/7", "3/14"),
            _Heir("한정숙", "PARENT", 2, "2/7", "2/21"),
        ),
    ),
    "sibling": _Expected(
        ("D07", "D08"),
        heirs=(
            _Heir("오경희", "SIBLING", 3, "0", None, "PREDECEASED"),
            _Heir("오승환", "SIBLING", 3, "1/3", None),
            _Heir("오태영", "HALF_SIBLING", 3, "1/3", None),
            _Heir("전수아", "NIECE_OR_NEPHEW", 3, "1/6", None, representing="오경희"),
            _Heir("전지영", "NIECE_OR_NEPHEW", 3, "1/6", None, representing="오경희"),
        ),
    ),
    "renounced": _Expected(
        ("D35",),
        opens=False,
        heirs=(_Heir("신재현", "CHILD", 1, "0", None, "RENOUNCED"), _Heir("신혜원", "CHILD", 1, "1", "1/2")),
    ),
    "executor": _Expected(
        ("D11",), heirs=(_Heir("하동현", "CHILD", 1, "1/2", "1/4"), _Heir("하소영", "CHILD", 1, "1/2", "1/4"))
    ),
    "parent": _Expected(("D23", "D24")),
    "parent-of-twins": _Expected(("D23", "D24")),
    "protected-birth": _Expected(("D27",)),
    "protected-person": _Expected(("D33",), opens=False),
}


def known_answers(nation: Nation, persona: str | None = None) -> Shown:
    """The personas (or one of them), then everybody else; KeyError for a name that no persona has."""
    chosen = PERSONAS.values() if persona is None else (PERSONAS[persona],)
    others = (subject for subject in nation.people if persona is None and subject not in nation.personas.values())
    return {
        "seed": nation.seed,
        "today": nation.today.isoformat(),
        "personas": [_persona(nation, record) for record in chosen],
        "people": [answers_of(nation, subject) for subject in others],
    }


def answers_of(nation: Nation, subject: Subject) -> Shown:
    """What the graph shows of one person when every agency answers: as an estate, and as a birth where one is known."""
    held = holdings(nation, subject)
    shown = {**_who(nation.people[subject]), "sections": _estate(held, {})}
    if subject in nation.births:
        shown["birth"] = _birth(nation, subject, None)
    return shown


def _persona(nation: Nation, record: PersonaRecord) -> Shown:
    cases = [_case(nation, record, about) for about in record.about]
    shown = {
        "persona": record.name,
        "subject": record.subject,
        "name": nation.people[record.subject].name,
        "roles": list(record.roles),
        "office": record.office,
        "agency": record.agency,
        "title": record.title,
        "description": {"en": record.description_en, "ko": record.description_ko},
        "registrationNumber": nation.people[record.subject].registration_number,
        "sectorIds": _sector_ids(record.subject),
        "case": cases[0] if cases else None,
    }
    return {**shown, "cases": cases} if len(cases) > 1 else shown


def _case(nation: Nation, record: PersonaRecord, about: Subject) -> Shown:
    """Where the case does not open nothing of it is shown, so nothing is listed beyond whom it is about."""
    expected = EXPECTED[record.name]
    case: Shown = {"kind": record.kind, "opens": expected.opens, "rows": list(expected.rows)}
    person = _who(nation.people[about])
    if record.kind == "BIRTH":
        birth = nation.births[about]
        case |= {"child": person, "birthOrder": birth.order, "multipleBirth": birth.multiple}
        case["parents"] = _sorted(
            "parents",
            (
                {"name": nation.people[tie.parent].name, "relation": tie.relation, "custody": tie.custody}
                for tie in nation.ties(about).parents
            ),
        )
        return {**case, "sections": _birth(nation, about, record.subject)}
    case["deceased"] = person
    if not expected.opens:
        return case
    troubles = {agency: found for (agency, whom), found in faults(nation.today).items() if whom == about}
    held = holdings(nation, about)
    sections = _estate(held, troubles)
    return {
        **case,
        "heirs": [_heir(heir) for heir in expected.heirs],
        "sections": sections,
        "summary": _summary(held, sections, troubles),
    }


def _who(person: Person) -> Shown:
    return {
        "subject": person.subject,
        "name": person.name,
        "birthDate": person.born.isoformat(),
        "deathDate": _day(person.died),
        "sex": person.sex,
        "address": None if person.protected else person.address,
        "registrationNumber": person.registration_number,
        "maskedRegistrationNumber": f"{person.registration_number[:8]}******",
        "sectorIds": _sector_ids(person.subject),
    }


def _heir(heir: _Heir) -> Shown:
    return {
        "name": heir.name,
        "relation": heir.relation,
        "rank": heir.rank,
        "share": _fraction(Fraction(heir.share)),
        "reservedPortion": None if heir.reserved is None else _fraction(Fraction(heir.reserved)),
        "representing": heir.representing,
        "standing": heir.standing,
    }


def _sector_ids(subject: Subject) -> dict[str, str]:
    return {agency: sector_id(agency, subject) for agency in PREFIXES}


# ---------------------------------------------------------------- an estate's sections

Troubles = Mapping[str, Sequence[Fault]]


def _estate(held: Holdings, troubles: Troubles) -> Shown:
    """Every agency's section with its status, as it stands with these faults."""
    sections = {
        "land": _land(held.land),
        "finance": _finance(held.finance, _silent(troubles, "FINANCE")),
        "pensions": _pensions(held.pensions, _silent(troubles, "PENSIONS")),
        "tax": _tax(held.tax),
        "health": _health(held.health),
        "vehicles": _vehicles(held.vehicles),
    }
    return {name: _stated(name.upper(), section, troubles.get(name.upper(), ())) for name, section in sections.items()}


def _silent(troubles: Troubles, agency: str) -> frozenset[str]:
    """Institutions or schemes that fail or are late while the rest answers."""
    return frozenset(fault.institution for fault in troubles.get(agency, ()) if fault.institution is not None)


def _stated(agency: str, section: Shown, found: Sequence[Fault]) -> Shown:
    """The section with the status of its answer first; lists are null when nothing is known."""
    for fault in found:
        if fault.institution is None and fault.kind in {"LATE", "DOWN"}:
            unknown = dict.fromkeys(section)
            if fault.kind == "DOWN":
                return {"status": "UNAVAILABLE", **unknown}
            return {"status": "PENDING", "expectedBy": _day(fault.expected_by), **unknown}
    partial = [fault for fault in found if fault.institution is not None]
    if partial:
        late = [fault.expected_by for fault in partial if fault.expected_by is not None]
        return {
            "status": "PARTIAL",
            **({"expectedBy": min(late).isoformat()} if late else {}),
            "silent": sorted(fault.institution or "" for fault in partial),
            **section,
        }
    if not any(section.values()):
        return {"status": "NONE_HELD", **section}
    if agency == "PENSIONS" and all(each["receiving"] is None for each in section["memberships"]):
        return {"status": "EXISTENCE_ONLY", **section}
    return {"status": "COMPLETE", **section}


def _land(facts: LandFacts | None) -> Shown:
    facts = facts or LandFacts()
    return {
        "parcels": _sorted("parcels", map(_parcel, facts.parcels)),
        "buildings": _sorted("buildings", map(_building, facts.buildings)),
    }


def _parcel(parcel: Parcel) -> Shown:
    return {
        "pnu": parcel.pnu,
        "address": parcel.address,
        "ledger": parcel.ledger,
        "category": parcel.category,
        "areaM2": str(parcel.area_m2),
        "ownershipShare": _fraction(parcel.share),
        "pricePerM2": parcel.price_per_m2,
        "priceYear": parcel.price_year,
        "assessedValue": _parcel_value(parcel),
        "acquiredOn": _day(parcel.acquired_on),
        "acquisitionCause": parcel.acquisition_cause,
        "encumbrances": _encumbrances(parcel.encumbrances),
    }


def _parcel_value(parcel: Parcel) -> int | None:
    """Price times area times share, rounded down to whole won."""
    if parcel.price_per_m2 is None:
        return None
    return parcel.price_per_m2 * Fraction(parcel.area_m2) * parcel.share // 1


def _building(building: Building) -> Shown:
    return {
        "registerNumber": building.register_number,
        "pnu": building.pnu,
        "name": building.name,
        "address": building.address,
        "purpose": building.purpose,
        "areaM2": str(building.area_m2),
        "approvedOn": _day(building.approved_on),
        "ownershipShare": _fraction(building.share),
        "assessedValue": _part(building.house_price, building.share),
        "encumbrances": _encumbrances(building.encumbrances),
    }


def _encumbrances(encumbrances: Iterable[Encumbrance]) -> list[Shown]:
    return _sorted(
        "encumbrances",
        (
            {
                "kind": each.kind,
                "holder": each.holder,
                "maximumClaim": each.maximum_claim,
                "registeredOn": each.registered_on.isoformat(),
            }
            for each in encumbrances
            if each.released_on is None
        ),
    )


def _finance(facts: FinanceFacts | None, silent: frozenset[str]) -> Shown:
    parts = [part for part in (facts or FinanceFacts()).institutions if part.institution.code not in silent]
    found: Shown = {
        "deposits": _sorted(
            "deposits", (_deposit(part.institution, each) for part in parts for each in part.deposits)
        ),
        "loans": _listed("loans", parts, lambda part: part.loans, ("product", "principal", "interest_due", "secured")),
        "securities": _listed(
            "securities", parts, lambda part: part.securities, ("isin", "name", "quantity", "market_value")
        ),
        "insurance": _listed(
            "insurance", parts, lambda part: part.insurance,
            ("product", "role", "surrender_value", "policy_loan", "part_of_estate", "beneficiary_name"),
        ),
        "cards": _listed("cards", parts, lambda part: part.cards, ("unpaid",)),
        "guarantees": _listed("guarantees", parts, lambda part: part.guarantees, ("limit", "outstanding")),
        "custody": _listed("custody", parts, lambda part: part.custody, ("kind", "location")),
    }  # fmt: skip
    # While an institution is silent an empty list would say what nobody knows.
    return {name: records or None for name, records in found.items()} if silent else found


def _listed(name: str, parts: Iterable[Any], of: Callable[[Any], Iterable[Any]], members: Sequence[str]) -> list[Shown]:
    """Records of one kind from all institutions, each with its institution and these members."""
    return _sorted(
        name,
        (
            {"institution": _institution(part.institution), **_members(each, members)}
            for part in parts
            for each in of(part)
        ),
    )


def _deposit(institution: Institution, deposit: Any) -> Shown:
    members = ("product", "number_suffix", "balance", "dormant", "jointly_held")
    return {"institution": _institution(institution), **_members(deposit, members)}


def _institution(institution: Institution) -> Shown:
    return _members(institution, ("code", "name", "sector", "phone"))


def _pensions(facts: PensionFacts | None, silent: frozenset[str]) -> Shown:
    """Schemes of which the person is a member, or which do not know."""
    held = [each for each in (facts or PensionFacts()).memberships if each.member != "NO" and each.scheme not in silent]
    return {"memberships": _sorted("memberships", map(_membership, held))}


def _membership(membership: Membership) -> Shown:
    members = (
        "scheme", "member", "receiving", "contribution_months", "monthly_pension", "overpaid_after_death", "loan",
        "loan_outstanding",
    )  # fmt: skip
    benefits = membership.survivor_benefits
    return {
        **_members(membership, members),
        "survivorBenefits": None
        if benefits is None
        else _sorted(
            "survivorBenefits",
            (_members(each, ("kind", "claimants", "estimate", "claim_by", "part_of_estate")) for each in benefits),
        ),
    }


def _tax(facts: TaxFacts | None) -> Shown:
    members = (
        "level", "tax", "period", "authority", "state", "assessed", "arrears", "surcharge", "refundable", "due_on",
    )  # fmt: skip
    return {"items": _sorted("items", (_members(item, members) for item in (facts or TaxFacts()).items))}


def _eligibility(facts: HealthFacts) -> Shown | None:
    if facts.eligibility is None:
        return None
    return _members(facts.eligibility, ("kind", "valid_from", "valid_until", "loss_reason"))


def _health(facts: HealthFacts | None) -> Shown:
    facts = facts or HealthFacts()
    return {
        "eligibility": _eligibility(facts),
        "unpaidPremiums": _sorted(
            "unpaidPremiums",
            (_members(each, ("insurance", "unpaid", "surcharge", "months")) for each in facts.premiums),
        ),
        "refunds": _sorted("refunds", (_members(each, ("kind", "amount", "claim_by")) for each in facts.refunds)),
    }


def _vehicles(facts: VehicleFacts | None) -> Shown:
    facts = facts or VehicleFacts()
    return {
        "vehicles": _sorted("vehicles", (_vehicle(each) for each in facts.vehicles if each.deregistered_on is None)),
        "fishingBoats": _sorted(
            "fishingBoats",
            (
                {**_members(each, ("number", "name", "tonnage", "port")), "assessedValue": each.standard_value}
                for each in facts.fishing_boats
            ),
        ),
    }


def _vehicle(vehicle: Vehicle) -> Shown:
    members = (
        "plate", "kind", "maker", "model", "model_year", "fuel", "first_registered_on", "inspection_valid_until",
        "insurance_valid_until",
    )  # fmt: skip
    return {
        **_members(vehicle, members),
        "vinSuffix": vehicle.vin[-6:],
        "ownershipShare": _fraction(vehicle.share),
        "assessedValue": _part(vehicle.standard_value, vehicle.share),
        "liens": _sorted(
            "liens",
            (
                _members(each, ("kind", "creditor", "claim", "registered_on"))
                for each in vehicle.liens
                if each.released_on is None
            ),
        ),
        "unpaidFines": _sorted(
            "unpaidFines",
            (
                _members(each, ("kind", "amount", "due_on", "authority"))
                for each in vehicle.fines
                if each.paid_on is None
            ),
        ),
    }


# ---------------------------------------------------------------- a birth's sections


def _birth(nation: Nation, child: Subject, viewer: Subject | None) -> Shown:
    """Facts about the child; homes of child and parents; accounts of the child and of the parent who asks."""
    held = holdings(nation, child)
    parents = [tie.parent for tie in nation.ties(child).parents]
    household = [held, *(holdings(nation, parent) for parent in parents)]
    homes = {
        building.register_number
        for each in household
        for building in (each.land.buildings if each.land else ())
        if building.purpose in DWELLINGS
    }
    payees = [held, *(holdings(nation, viewer) for _ in (1,) if viewer is not None and viewer in parents)]
    accounts = [
        _deposit(part.institution, deposit)
        for each in payees
        for part in (each.finance.institutions if each.finance else ())
        for deposit in part.deposits
    ]
    vouchers = [
        {"name": voucher.name_ko, "balance": voucher.balance, "expiresOn": voucher.expires_on.isoformat()}
        for part in (held.finance.institutions if held.finance else ())
        for voucher in part.vouchers
    ]
    pensions, tax, health = held.pensions or PensionFacts(), held.tax or TaxFacts(), held.health or HealthFacts()
    vehicles = held.vehicles or VehicleFacts()
    return {
        "land": {
            "status": "COMPLETE",
            "homes": len(homes),
            "newHomeTaxRelief": held.land.new_home_relief if held.land else "UNKNOWN",
        },
        "finance": {
            "status": "COMPLETE" if vouchers or accounts else "NONE_HELD",
            "vouchers": _sorted("vouchers", vouchers),
            "payoutAccounts": _sorted("payoutAccounts", accounts),
        },
        "pensions": {
            "status": "COMPLETE" if pensions.credit_months else "NONE_HELD",
            "creditMonths": pensions.credit_months or 0,
            "creditedParent": pensions.credited_parent,
        },
        "tax": {
            "status": "COMPLETE" if held.tax else "NONE_HELD",
            "childTaxCredit": tax.child_tax_credit,
            "birthTaxCredit": tax.birth_tax_credit,
        },
        "health": {
            "status": "COMPLETE" if held.health else "NONE_HELD",
            "eligibility": _eligibility(health),
            "dependantOf": health.dependant_of,
            "screenings": _sorted(
                "screenings", (_members(each, ("test", "taken_on", "result")) for each in health.screenings)
            ),
            "immunizations": _sorted(
                "immunizations",
                (
                    _members(each, ("vaccine", "dose", "given_on", "due_from", "due_until"))
                    for each in health.immunizations
                ),
            ),
            "checkups": _sorted(
                "checkups",
                (_members(each, ("round", "due_from", "due_until", "taken_on")) for each in health.checkups),
            ),
        },
        "vehicles": {
            "status": "COMPLETE" if held.vehicles else "NONE_HELD",
            "multiChildTaxRelief": vehicles.multi_child_relief,
            "reliefRatePercent": vehicles.relief_rate_percent,
        },
    }


# ---------------------------------------------------------------- the sums


def _summary(held: Holdings, sections: Shown, troubles: Troubles) -> Shown:
    """Assets and debts of what is known, agency by agency, and which agencies keep the sum from being whole."""
    amounts = {
        "LAND": _land_amounts(held.land),
        "FINANCE": _finance_amounts(held.finance, _silent(troubles, "FINANCE")),
        "PENSIONS": _pension_amounts(held.pensions, _silent(troubles, "PENSIONS")),
        "TAX": _tax_amounts(held.tax),
        "HEALTH": _health_amounts(held.health),
        "VEHICLES": _vehicle_amounts(held.vehicles),
    }
    by_agency, missing = [], []
    assets_in_all = debts_in_all = 0
    for agency in AGENCIES:
        status = sections[agency.lower()]["status"]
        assets, debts = amounts[agency] if status not in {"PENDING", "UNAVAILABLE"} else ([], [])
        known_assets, known_debts = sum(each or 0 for each in assets), sum(each or 0 for each in debts)
        assets_in_all, debts_in_all = assets_in_all + known_assets, debts_in_all + known_debts
        by_agency.append({"agency": agency, "assets": known_assets, "debts": known_debts})
        if status not in {"COMPLETE", "NONE_HELD"} or None in assets or None in debts:
            missing.append(agency)
    net = assets_in_all - debts_in_all
    decided = "ASSETS_EXCEED_DEBTS" if net > 0 else "DEBTS_EXCEED_ASSETS"
    return {
        "assets": assets_in_all,
        "debts": debts_in_all,
        "net": net,
        "byAgency": by_agency,
        "complete": not missing,
        "missing": missing,
        "outlook": "UNDECIDED" if missing or net == 0 else decided,
    }


Amounts = tuple[list[int | None], list[int | None]]
"""Assets and debts; None where an amount exists and is not known."""


def _land_amounts(facts: LandFacts | None) -> Amounts:
    """A registered tenant's deposit is owed back, and no bank names it; mortgages secure what the banks name."""
    facts = facts or LandFacts()
    buildings = [_part(building.house_price, building.share) for building in facts.buildings]
    burdens = [burden for parcel in facts.parcels for burden in parcel.encumbrances]
    burdens += [burden for building in facts.buildings for burden in building.encumbrances]
    deposits = [each.maximum_claim for each in burdens if each.kind == "LEASE_RIGHT" and each.released_on is None]
    return [*map(_parcel_value, facts.parcels), *buildings], deposits


def _finance_amounts(facts: FinanceFacts | None, silent: frozenset[str]) -> Amounts:
    """A policy with a named beneficiary is the beneficiary's; whose nobody says belongs to the unknown."""
    assets: list[int | None] = []
    debts: list[int | None] = []
    for part in (facts or FinanceFacts()).institutions:
        if part.institution.code in silent:
            continue
        assets += [deposit.balance for deposit in part.deposits]
        assets += [security.market_value for security in part.securities]
        for policy in part.insurance:
            if policy.part_of_estate:
                assets.append(policy.surrender_value)
                debts.append(policy.policy_loan)
            elif policy.part_of_estate is None:
                assets.append(None)
        debts += [loan.principal + loan.interest_due for loan in part.loans]
        debts += [card.unpaid for card in part.cards]
        debts += [guarantee.outstanding for guarantee in part.guarantees]
    return assets, debts


def _pension_amounts(facts: PensionFacts | None, silent: frozenset[str]) -> Amounts:
    """A scheme that says no more than yes leaves its amounts unknown."""
    assets: list[int | None] = []
    debts: list[int | None] = []
    for membership in (facts or PensionFacts()).memberships:
        if membership.member == "NO" or membership.scheme in silent:
            continue
        if membership.survivor_benefits is None:
            assets.append(None)
            continue
        assets += [benefit.estimate for benefit in membership.survivor_benefits if benefit.part_of_estate]
        debts += [membership.overpaid_after_death, membership.loan_outstanding]
    return assets, debts


def _tax_amounts(facts: TaxFacts | None) -> Amounts:
    assets: list[int | None] = []
    debts: list[int | None] = []
    for item in (facts or TaxFacts()).items:
        if item.state == "REFUNDABLE":
            assets.append(item.refundable)
        elif item.state == "ARREARS":
            debts += [item.arrears, item.surcharge]
        elif item.state in {"NOT_YET_DUE", "DEFERRED"}:
            debts.append(item.assessed)
    return assets, debts


def _health_amounts(facts: HealthFacts | None) -> Amounts:
    facts = facts or HealthFacts()
    return [refund.amount for refund in facts.refunds], [
        premium.unpaid + premium.surcharge for premium in facts.premiums
    ]


def _vehicle_amounts(facts: VehicleFacts | None) -> Amounts:
    facts = facts or VehicleFacts()
    kept = [vehicle for vehicle in facts.vehicles if vehicle.deregistered_on is None]
    values = [_part(vehicle.standard_value, vehicle.share) for vehicle in kept]
    fines: list[int | None] = [fine.amount for vehicle in kept for fine in vehicle.fines if fine.paid_on is None]
    return [*values, *(boat.standard_value for boat in facts.fishing_boats)], fines


# ---------------------------------------------------------------- JSON forms


def _part(value: int | None, share: Fraction) -> int | None:
    """The share of a value, rounded down to whole won."""
    return None if value is None else value * share // 1


def _day(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def _fraction(fraction: Fraction) -> Shown:
    return {"numerator": fraction.numerator, "denominator": fraction.denominator}


def _members(record: object, names: Sequence[str]) -> Shown:
    """These attributes under the graph's names and in its forms."""
    return {_graph_name(name): _form(getattr(record, name)) for name in names}


def _graph_name(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _form(value: object) -> object:
    match value:
        case date():
            return value.isoformat()
        case Decimal():
            return str(value)
        case tuple():
            return list(value)
        case _:
            return value


def _sorted(name: str, records: Iterable[Shown]) -> list[Shown]:
    return sorted(records, key=lambda record: [_rank(record, path) for path in SORTED_BY[name]])


def _rank(record: Shown, path: str) -> tuple[bool, Any]:
    value: Any = record
    for member in path.split("."):
        value = value[member]
    return (value is not None, value)


# ---------------------------------------------------------------- for people to read


def table(answers: Shown) -> str:
    """The known answers in lines: each person, the case, and what every agency holds."""
    lines: list[str] = []
    for persona in answers["personas"]:
        lines += [f"{persona['persona']}  {persona['name']}  {persona['description']['en']}"]
        for case in persona.get("cases", [persona["case"]] if persona["case"] else []):
            lines += _case_lines(case)
        lines.append("")
    for person in answers["people"]:
        died = f" to {person['deathDate']}" if person["deathDate"] else ""
        lines.append(f"{person['subject']}  {person['name']}  {person['birthDate']}{died}  {person['address'] or '-'}")
        lines += _section_lines(person["sections"])
    return "\n".join(lines) + "\n"


def _case_lines(case: Shown) -> list[str]:
    whom = case.get("deceased") or case["child"]
    dates = " to ".join(day for day in (whom["birthDate"], whom["deathDate"]) if day)
    lines = [f"  {case['kind'].lower()} of {whom['name']} ({dates}), {'opens' if case['opens'] else 'does not open'}"]
    for heir in case.get("heirs", ()):
        share = f"{heir['share']['numerator']}/{heir['share']['denominator']}"
        lines.append(f"    heir {heir['name']}  {heir['relation']}  {share}  {heir['standing']}")
    lines += _section_lines(case.get("sections", {}))
    if summary := case.get("summary"):
        missing = f"  missing {', '.join(summary['missing'])}" if summary["missing"] else ""
        lines.append(
            f"    sum: assets {summary['assets']:,}  debts {summary['debts']:,}  net {summary['net']:,}"
            f"  {summary['outlook']}{missing}"
        )
    return lines


def _section_lines(sections: Shown) -> list[str]:
    lines = []
    for name, section in sections.items():
        parts = [
            f"{len(value)} {member}" if isinstance(value, list) else f"{member} {value}"
            for member, value in section.items()
            if member != "status" and value not in (None, []) and not isinstance(value, dict)
        ]
        lines.append(f"    {name:<9} {section['status']:<14} {', '.join(parts)}".rstrip())
    return lines
