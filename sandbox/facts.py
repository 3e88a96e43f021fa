"""What is true in the synthetic nation: plain facts about people, before an agency puts them into its own words.

The generator (nation.py, holdings.py) makes them, the agencies (agencies/) serve them, and known_answers.py turns them
into what the graph must show. Money is whole won, areas are square metres, days are Korean calendar days. No identifier
here can belong to anyone: registration numbers carry an impossible day, sector identifiers are keyed hashes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import NewType

Subject = NewType("Subject", str)
"""Internal id of a person: 26 characters of lower-case base32 (128 bits)."""

# ---------------------------------------------------------------- people


@dataclass(frozen=True, slots=True)
class Person:
    subject: Subject
    name: str
    sex: str  # FEMALE MALE
    born: date
    died: date | None
    missing_declared_on: date | None
    address: str
    municipality: str  # five digits: province and city, county or district
    registration_number: str  # YYMMDD-G######, with a day that no month has
    protected: bool = False
    missing_final_on: date | None = None


@dataclass(frozen=True, slots=True)
class Parentage:
    parent: Subject
    child: Subject
    relation: str  # MOTHER FATHER ADOPTIVE_PARENT
    custody: bool


@dataclass(frozen=True, slots=True)
class Marriage:
    a: Subject
    b: Subject
    since: date
    until: date | None
    ended_by: str | None  # DIVORCE DEATH


@dataclass(frozen=True, slots=True)
class Guardianship:
    ward: Subject
    guardian: Subject
    since: date
    until: date | None
    agencies: tuple[str, ...]  # what the court order names
    sensitivity: str  # the greatest that the order names
    order: str  # reference of the court order


@dataclass(frozen=True, slots=True)
class Declaration:
    """What an heir or a court declared about one person's part in one succession."""

    deceased: Subject
    heir: Subject
    kind: str  # RENUNCIATION LIMITED_ACCEPTANCE DISQUALIFICATION LOSS_OF_RIGHTS VEHICLE_TAKEOVER
    on: date


@dataclass(frozen=True, slots=True)
class Appointment:
    deceased: Subject
    holder: Subject
    kind: str  # EXECUTOR ADMINISTRATOR
    on: date
    document: str


@dataclass(frozen=True, slots=True)
class Dispute:
    deceased: Subject
    opened_on: date
    closed_on: date | None


@dataclass(frozen=True, slots=True)
class ProtectionOrder:
    """Whom an order protects from whom."""

    protected: Subject
    against: Subject
    since: date
    until: date | None


@dataclass(frozen=True, slots=True)
class Birth:
    """What only the birth report says of a child."""

    child: Subject
    order: int
    multiple: bool
    under_protection: bool  # the mother gave birth under the Protected Birth Act: no parent is recorded


@dataclass(frozen=True, slots=True)
class Ties:
    """One person's place in the register."""

    parents: list[Parentage] = field(default_factory=list)
    children: list[Parentage] = field(default_factory=list)
    marriages: list[Marriage] = field(default_factory=list)


@dataclass(slots=True)
class Nation:
    """Everybody, and what the family register holds of them."""

    seed: int
    today: date
    people: dict[Subject, Person] = field(default_factory=dict)
    parentage: list[Parentage] = field(default_factory=list)
    marriages: list[Marriage] = field(default_factory=list)
    guardianships: list[Guardianship] = field(default_factory=list)
    declarations: list[Declaration] = field(default_factory=list)
    appointments: list[Appointment] = field(default_factory=list)
    disputes: list[Dispute] = field(default_factory=list)
    protection_orders: list[ProtectionOrder] = field(default_factory=list)
    births: dict[Subject, Birth] = field(default_factory=dict)
    personas: dict[str, Subject] = field(default_factory=dict)
    index: dict[Subject, Ties] = field(default_factory=dict, repr=False, compare=False)

    def ties(self, subject: Subject) -> Ties:
        """Everything that names the person; looked up once for all, so ask only when the register is complete."""
        if not self.index:
            self.index.update({each: Ties() for each in self.people})
            for tie in self.parentage:
                self.index[tie.child].parents.append(tie)
                self.index[tie.parent].children.append(tie)
            for marriage in self.marriages:
                self.index[marriage.a].marriages.append(marriage)
                self.index[marriage.b].marriages.append(marriage)
        return self.index[subject]


# ---------------------------------------------------------------- land


@dataclass(frozen=True, slots=True)
class Encumbrance:
    kind: str  # EncumbranceKind of the contract: MORTGAGE ATTACHMENT ... OTHER
    holder: str | None
    maximum_claim: int | None
    registered_on: date
    released_on: date | None = None  # a released one is history and must not be shown


@dataclass(frozen=True, slots=True)
class Parcel:
    pnu: str  # 19 digits: legal dong 10, ledger 1 (1 land, 2 forest), main number 4, sub number 4
    address: str
    ledger: str  # LAND FOREST
    category: str  # one of the 28, e.g. 전
    area_m2: Decimal
    share: Fraction
    price_per_m2: int | None
    price_year: int | None
    acquired_on: date | None
    acquisition_cause: str | None
    encumbrances: tuple[Encumbrance, ...] = ()


@dataclass(frozen=True, slots=True)
class Building:
    register_number: str
    pnu: str
    name: str | None
    address: str
    purpose: str  # 아파트 단독주택 다세대주택 오피스텔 근린생활시설 창고 ...
    area_m2: Decimal
    approved_on: date | None
    share: Fraction
    house_price: int | None  # of the whole building or unit, not of the share
    encumbrances: tuple[Encumbrance, ...] = ()


@dataclass(frozen=True, slots=True)
class LandFacts:
    parcels: tuple[Parcel, ...] = ()
    buildings: tuple[Building, ...] = ()
    new_home_relief: str = "UNKNOWN"  # YES NO UNKNOWN


# ---------------------------------------------------------------- finance


@dataclass(frozen=True, slots=True)
class Institution:
    code: str
    name: str
    sector: str  # BANK SECURITIES LIFE_INSURANCE NONLIFE_INSURANCE CARD SAVINGS_BANK COOPERATIVE POST PUBLIC_FUND
    phone: str | None


@dataclass(frozen=True, slots=True)
class Deposit:
    reference: str
    product: str
    number_suffix: str | None
    balance: int
    dormant: bool
    jointly_held: bool


@dataclass(frozen=True, slots=True)
class Loan:
    reference: str
    product: str
    principal: int
    interest_due: int
    secured: bool


@dataclass(frozen=True, slots=True)
class Security:
    reference: str
    isin: str | None
    name: str
    quantity: Decimal
    market_value: int | None


@dataclass(frozen=True, slots=True)
class Policy:
    reference: str
    product: str
    role: str  # POLICYHOLDER INSURED BENEFICIARY
    surrender_value: int | None
    policy_loan: int | None
    part_of_estate: bool | None
    beneficiary_name: str | None


@dataclass(frozen=True, slots=True)
class Card:
    reference: str
    unpaid: int


@dataclass(frozen=True, slots=True)
class Guarantee:
    reference: str
    limit: int
    outstanding: int


@dataclass(frozen=True, slots=True)
class Custody:
    reference: str
    kind: str
    location: str


@dataclass(frozen=True, slots=True)
class Voucher:
    reference: str
    name_ko: str
    name_en: str
    balance: int
    expires_on: date


@dataclass(frozen=True, slots=True)
class InstitutionFacts:
    institution: Institution
    deposits: tuple[Deposit, ...] = ()
    loans: tuple[Loan, ...] = ()
    securities: tuple[Security, ...] = ()
    insurance: tuple[Policy, ...] = ()
    cards: tuple[Card, ...] = ()
    guarantees: tuple[Guarantee, ...] = ()
    custody: tuple[Custody, ...] = ()
    vouchers: tuple[Voucher, ...] = ()


@dataclass(frozen=True, slots=True)
class FinanceFacts:
    institutions: tuple[InstitutionFacts, ...] = ()


# ---------------------------------------------------------------- pensions


@dataclass(frozen=True, slots=True)
class SurvivorBenefit:
    kind: str  # SURVIVOR_PENSION REFUND_LUMP_SUM DEATH_LUMP_SUM UNPAID_PENSION MUTUAL_AID_PAYOUT
    claimants: tuple[str, ...]  # SPOUSE CHILD PARENT GRANDCHILD GRANDPARENT SIBLING
    estimate: int | None
    claim_by: date | None
    part_of_estate: bool


@dataclass(frozen=True, slots=True)
class Membership:
    """One scheme's word on one person. A scheme that only says yes or no leaves the rest None."""

    scheme: str  # NPS GEPS TP MILITARY COMWEL CWMA POBA MMAA SEMA KTCU
    member: str  # YES NO UNKNOWN
    receiving: bool | None = None
    contribution_months: int | None = None
    monthly_pension: int | None = None
    overpaid_after_death: int | None = None
    loan: str = "UNKNOWN"
    loan_outstanding: int | None = None
    survivor_benefits: tuple[SurvivorBenefit, ...] | None = None


@dataclass(frozen=True, slots=True)
class PensionFacts:
    memberships: tuple[Membership, ...] = ()  # one per scheme, ten in all, in the order of the schemes
    credit_months: int | None = None  # pension credit that a birth brings (asked about the child)
    credited_parent: str | None = None  # MOTHER FATHER ADOPTIVE_PARENT


# ---------------------------------------------------------------- tax


@dataclass(frozen=True, slots=True)
class TaxItem:
    reference: str
    level: str  # NATIONAL LOCAL
    tax: str
    period: str
    authority: str
    state: str  # ARREARS NOT_YET_DUE PAID REFUNDABLE DEFERRED
    assessed: int | None
    arrears: int | None
    surcharge: int | None
    refundable: int | None
    due_on: date | None


@dataclass(frozen=True, slots=True)
class TaxFacts:
    items: tuple[TaxItem, ...] = ()
    child_tax_credit: int | None = None
    birth_tax_credit: int | None = None


# ---------------------------------------------------------------- health


@dataclass(frozen=True, slots=True)
class Eligibility:
    kind: str  # EMPLOYEE REGIONAL DEPENDANT MEDICAL_AID_1 MEDICAL_AID_2
    valid_from: date
    valid_until: date | None
    loss_reason: str | None


@dataclass(frozen=True, slots=True)
class Premium:
    insurance: str  # HEALTH LONG_TERM_CARE PENSION EMPLOYMENT INDUSTRIAL_ACCIDENT
    unpaid: int
    surcharge: int
    months: int


@dataclass(frozen=True, slots=True)
class Refund:
    kind: str  # COPAY_CAP_EXCESS OVERPAID_PREMIUM COPAY_REFUND
    amount: int
    claim_by: date


@dataclass(frozen=True, slots=True)
class Screening:
    test: str  # METABOLIC HEARING CONGENITAL HIP
    taken_on: date | None
    result: str | None  # NORMAL RECHECK REFERRED PENDING


@dataclass(frozen=True, slots=True)
class Immunization:
    vaccine: str
    dose: int
    given_on: date | None
    due_from: date | None
    due_until: date | None


@dataclass(frozen=True, slots=True)
class Checkup:
    round: int
    due_from: date
    due_until: date
    taken_on: date | None


@dataclass(frozen=True, slots=True)
class HealthFacts:
    eligibility: Eligibility | None = None
    dependant_of: str | None = None  # MOTHER FATHER ADOPTIVE_PARENT
    premiums: tuple[Premium, ...] = ()
    refunds: tuple[Refund, ...] = ()
    screenings: tuple[Screening, ...] = ()
    immunizations: tuple[Immunization, ...] = ()
    checkups: tuple[Checkup, ...] = ()


# ---------------------------------------------------------------- vehicles


@dataclass(frozen=True, slots=True)
class VehicleLien:
    kind: str  # MORTGAGE SEIZURE PROVISIONAL_ATTACHMENT
    creditor: str | None
    claim: int | None
    registered_on: date
    released_on: date | None = None


@dataclass(frozen=True, slots=True)
class Fine:
    kind: str
    amount: int
    due_on: date
    authority: str
    paid_on: date | None = None


@dataclass(frozen=True, slots=True)
class Vehicle:
    plate: str
    kind: str  # PASSENGER VAN TRUCK SPECIAL MOTORCYCLE
    maker: str
    model: str
    model_year: int
    fuel: str  # GASOLINE DIESEL LPG HYBRID ELECTRIC HYDROGEN
    first_registered_on: date
    vin: str  # 17 characters; the graph shows the last six
    share: Fraction
    standard_value: int | None  # of the whole vehicle
    inspection_valid_until: date | None
    insurance_valid_until: date | None
    deregistered_on: date | None = None
    liens: tuple[VehicleLien, ...] = ()
    fines: tuple[Fine, ...] = ()


@dataclass(frozen=True, slots=True)
class FishingBoat:
    number: str
    name: str
    tonnage: Decimal
    port: str
    standard_value: int | None


@dataclass(frozen=True, slots=True)
class VehicleFacts:
    vehicles: tuple[Vehicle, ...] = ()
    fishing_boats: tuple[FishingBoat, ...] = ()
    multi_child_relief: str = "UNKNOWN"  # YES NO UNKNOWN
    relief_rate_percent: int | None = None


# ---------------------------------------------------------------- all of one person


@dataclass(frozen=True, slots=True)
class Holdings:
    """What the six agencies hold of one person; None where an agency has never heard of the person, and says so."""

    land: LandFacts | None
    finance: FinanceFacts | None
    pensions: PensionFacts | None
    tax: TaxFacts | None
    health: HealthFacts | None
    vehicles: VehicleFacts | None


@dataclass(frozen=True, slots=True)
class Fault:
    """How an agency misbehaves about one person (docs/wire/faults.md)."""

    kind: str  # SLOW DOWN LATE FAILED SURPLUS
    seconds: float = 0.0  # SLOW: waits this long before it answers
    expected_by: date | None = None  # LATE: answers on this day
    institution: str | None = None  # FAILED or LATE: the institution code or pension scheme; None for the whole agency
    text: str | None = None  # SURPLUS: what it says beside everything it was asked for


Faults = Mapping[tuple[str, Subject], tuple[Fault, ...]]
"""(agency, person) to the faults it has from the start."""
