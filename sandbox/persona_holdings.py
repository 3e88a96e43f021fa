"""What the agencies hold of the personas' dead and of their newborn children, written out fact by fact.

Everything here follows from the day `today` alone. The tests hold it against the promises of the contract's page.
"""

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from itertools import groupby
from typing import Final

from sandbox.children import checkups, immunizations
from sandbox.facts import (
    Building,
    Card,
    Custody,
    Deposit,
    Eligibility,
    Encumbrance,
    FinanceFacts,
    Fine,
    FishingBoat,
    Guarantee,
    HealthFacts,
    Holdings,
    InstitutionFacts,
    LandFacts,
    Loan,
    Membership,
    Parcel,
    PensionFacts,
    Policy,
    Premium,
    Refund,
    Screening,
    Security,
    Subject,
    SurvivorBenefit,
    TaxFacts,
    TaxItem,
    Vehicle,
    VehicleFacts,
    VehicleLien,
    Voucher,
)
from sandbox.identifiers import isin, persona_subject, pnu, vin
from sandbox.personas import BORN_DAYS_AGO, DIED_DAYS_AGO
from sandbox.tables import INSTITUTIONS, MODELS, PLACES, SHARES, Place, months_after, price_year

SCHEMES: Final = ("NPS", "GEPS", "TP", "MILITARY", "COMWEL", "CWMA", "POBA", "MMAA", "SEMA", "KTCU")
_WHOLE: Final = Fraction(1)
_HALF: Final = Fraction(1, 2)

Record = Deposit | Loan | Security | Policy | Card | Guarantee | Custody | Voucher


def finance_facts(*records: Record) -> FinanceFacts:
    """Records by institution, which the first three characters of a reference name."""

    def code(record: Record) -> str:
        return record.reference[:3]

    parts = []
    for institution, held in groupby(sorted(records, key=code), code):
        of = tuple(held)
        parts.append(
            InstitutionFacts(
                institution=INSTITUTIONS[institution],
                deposits=tuple(each for each in of if isinstance(each, Deposit)),
                loans=tuple(each for each in of if isinstance(each, Loan)),
                securities=tuple(each for each in of if isinstance(each, Security)),
                insurance=tuple(each for each in of if isinstance(each, Policy)),
                cards=tuple(each for each in of if isinstance(each, Card)),
                guarantees=tuple(each for each in of if isinstance(each, Guarantee)),
                custody=tuple(each for each in of if isinstance(each, Custody)),
                vouchers=tuple(each for each in of if isinstance(each, Voucher)),
            )
        )
    return FinanceFacts(tuple(parts))


def pension_facts(*memberships: Membership, months: int | None = None, parent: str | None = None) -> PensionFacts:
    """The word of all ten schemes: those given, and NO of every other; credit for a birth."""
    known = {membership.scheme: membership for membership in memberships}
    return PensionFacts(tuple(known.get(scheme, Membership(scheme, "NO")) for scheme in SCHEMES), months, parent)


def _place(town: str) -> Place:
    return next(place for place in PLACES if town in {place.town, place.ri})


def _parcel(
    today: date,
    lot: str,
    category: str,
    area_m2: str,
    price_per_m2: int,
    *,
    acquired: tuple[date, str],
    share: Fraction = _WHOLE,
    encumbrances: tuple[Encumbrance, ...] = (),
) -> Parcel:
    """A parcel at a lot such as `봉양리 산 12-3`."""
    town, *rest = lot.split()
    place, ledger = _place(town), "FOREST" if rest[0] == "산" else "LAND"
    main, sub = (int(number) for number in f"{rest[-1]}-0".split("-")[:2])
    return Parcel(
        pnu=pnu(place.code, ledger, main, sub),
        address=place.lot_address(ledger, main, sub),
        ledger=ledger,
        category=category,
        area_m2=Decimal(area_m2),
        share=share,
        price_per_m2=price_per_m2,
        price_year=price_year(today),
        acquired_on=acquired[0],
        acquisition_cause=acquired[1],
        encumbrances=encumbrances,
    )


def _building(
    lot: str,
    at: str,
    purpose: str,
    area_m2: str,
    house_price: int,
    *,
    approved: date,
    name: str | None = None,
    share: Fraction = _WHOLE,
    encumbrances: tuple[Encumbrance, ...] = (),
) -> Building:
    """A building on a lot such as `상계동 671`, at a road, number and unit such as `상계로|128|104동 1203호`."""
    town, numbers = lot.split()
    main, sub = (int(number) for number in f"{numbers}-0".split("-")[:2])
    place = _place(town)
    road, number, unit = at.split("|")
    return Building(
        register_number=f"{place.municipality}-1{main:05d}{sub:03d}",
        pnu=pnu(place.code, "LAND", main, sub),
        name=name,
        address=place.road_address(road, int(number), unit),
        purpose=purpose,
        area_m2=Decimal(area_m2),
        approved_on=approved,
        share=share,
        house_price=house_price,
        encumbrances=encumbrances,
    )


def _deposit(
    reference: str, product: str, suffix: str, balance: int, *, dormant: bool = False, jointly_held: bool = False
) -> Deposit:
    return Deposit(reference, product, suffix, balance, dormant, jointly_held)


def _stock(reference: str, name: str, quantity: int) -> Security:
    issuer, price = next((issuer, price) for company, issuer, price in SHARES if company == name)
    return Security(reference, isin(issuer), name, Decimal(quantity), price * quantity)


def _policy(
    reference: str,
    product: str,
    surrender_value: int,
    loan: int = 0,
    *,
    role: str = "POLICYHOLDER",
    to: str | None = None,
) -> Policy:
    """A policy; with a named beneficiary, `to`, it is not part of the estate."""
    return Policy(reference, product, role, surrender_value, loan, part_of_estate=to is None, beneficiary_name=to)


def _member(
    scheme: str, months: int, monthly: int = 0, *benefits: SurvivorBenefit, overpaid: int = 0, loan: int = 0
) -> Membership:
    """Membership of a scheme that tells amounts; a pension was being paid if `monthly` is not 0."""
    return Membership(
        scheme=scheme,
        member="YES",
        receiving=monthly > 0,
        contribution_months=months,
        monthly_pension=monthly,
        overpaid_after_death=overpaid,
        loan="YES" if loan else "NO",
        loan_outstanding=loan,
        survivor_benefits=benefits,
    )


def _benefit(
    died: date, kind: str, claimants: tuple[str, ...], estimate: int, *, part_of_estate: bool = False
) -> SurvivorBenefit:
    """Claims on a pension scheme are extinguished after five years (National Pension Act 115)."""
    return SurvivorBenefit(kind, claimants, estimate, months_after(died, 60), part_of_estate)


def _arrears(
    reference: str, tax: str, period: str, authority: str, amount: int, *, surcharge: int, due: date
) -> TaxItem:
    return TaxItem(reference, _level(reference), tax, period, authority, "ARREARS", amount, amount, surcharge, 0, due)


def _not_yet_due(reference: str, tax: str, period: str, authority: str, amount: int, *, due: date) -> TaxItem:
    return TaxItem(reference, _level(reference), tax, period, authority, "NOT_YET_DUE", amount, 0, 0, 0, due)


def _refundable(reference: str, tax: str, period: str, authority: str, amount: int) -> TaxItem:
    return TaxItem(reference, _level(reference), tax, period, authority, "REFUNDABLE", 0, 0, 0, amount, None)


def _level(reference: str) -> str:
    return "NATIONAL" if reference.startswith("N") else "LOCAL"


def _refund(died: date, kind: str, amount: int) -> Refund:
    """Claims on the health insurer are extinguished after three years (National Health Insurance Act 91)."""
    return Refund(kind, amount, months_after(died, 36))


def _eligibility(kind: str, since: date, died: date) -> Eligibility:
    return Eligibility(kind, since, died, "사망")


def _vehicle(
    plate: str,
    model: str,
    registered: date,
    standard_value: int,
    *,
    inspected: date | None = None,
    insured: date | None = None,
    share: Fraction = _WHOLE,
    deregistered: date | None = None,
    liens: tuple[VehicleLien, ...] = (),
    fines: tuple[Fine, ...] = (),
) -> Vehicle:
    kind, maker, world_code, _, fuel, _ = next(each for each in MODELS if each[3] == model)
    return Vehicle(
        plate=plate,
        kind=kind,
        maker=maker,
        model=model,
        model_year=registered.year,
        fuel=fuel,
        first_registered_on=registered,
        vin=vin(world_code, registered.year, int(plate[-4:]) * 97 + 11),
        share=share,
        standard_value=standard_value,
        inspection_valid_until=inspected,
        insurance_valid_until=insured,
        deregistered_on=deregistered,
        liens=liens,
        fines=fines,
    )


# ---------------------------------------------------------------- estates


class _Days:
    """Days as seen from `today` and from the death or birth, `event`."""

    def __init__(self, today: date, days_ago: int) -> None:
        self.today = today
        self.event = today - timedelta(days=days_ago)

    def ago(self, years: int, month: int, day: int) -> date:
        return date(self.today.year - years, month, day)

    def before(self, days: int) -> date:
        """So many days before the event; after it if negative."""
        return self.event - timedelta(days=days)

    def ahead(self, days: int) -> date:
        return self.today + timedelta(days=days)

    def year(self, years_ago: int) -> str:
        return str(self.today.year - years_ago)


def _heir(day: _Days) -> Holdings:
    inherited, district = day.ago(18, 8, 30), "서울특별시 노원구"
    lifted = Encumbrance("ATTACHMENT", "노원구청", 4_200_000, day.ago(9, 5, 2), day.ago(8, 1, 9))
    repaid = Encumbrance("MORTGAGE", "KB국민은행", 132_000_000, day.ago(22, 4, 16), day.ago(6, 9, 1))
    mortgage = Encumbrance("MORTGAGE", "NH농협은행", 36_000_000, day.ago(5, 3, 18))
    land = LandFacts(
        parcels=(
            _parcel(
                day.today, "상계동 123-4", "대", "165.20", 3_710_000,
                acquired=(day.ago(31, 2, 11), "상속"), share=Fraction(1, 3), encumbrances=(lifted,),
            ),
            _parcel(
                day.today, "봉양리 412-7", "전", "1322.00", 48_300,
                acquired=(inherited, "상속"), encumbrances=(mortgage,),
            ),
            _parcel(day.today, "봉양리 산 12-3", "임야", "9917.00", 2_150, acquired=(inherited, "상속")),
        ),
        buildings=(
            _building(
                "상계동 671", "상계로|128|104동 1203호", "아파트", "84.93", 612_000_000,
                approved=day.ago(27, 11, 30), name="상계한빛아파트", encumbrances=(repaid,),
            ),
        ),
    )  # fmt: skip
    finance = finance_facts(
        _deposit("004-D-1", "정기예금", "4417", 42_000_000),
        _deposit("004-D-2", "보통예금", "0932", 3_184_520),
        Loan("004-L-1", "신용대출", 8_000_000, 31_560, secured=False),
        Custody("004-C-1", "SAFE_BOX", "상계역지점 대여금고 117호"),
        _deposit("011-D-1", "주거래우대통장", "2206", 1_725_340),
        _deposit("011-D-2", "정기적금", "7751", 12_600_000),
        Loan("011-L-1", "농지담보대출", 27_500_000, 91_240, secured=True),
        _deposit("045-D-1", "정기예탁금", "5083", 20_000_000, jointly_held=True),
        _deposit("088-D-1", "저축예금", "6619", 48_210, dormant=True),
        _stock("230-S-1", "한들전자", 120),
        _stock("230-S-2", "미르화학", 45),
        _stock("230-S-3", "온새미건설", 300),
        _policy("L03-I-1", "종신보험", 21_400_000, to="박순영"),
        _policy("N11-I-1", "저축보험", 14_200_000, 2_000_000),
        Card("366-K-1", 1_284_300),
    )
    pensions = pension_facts(
        _member("NPS", 312, 912_000, _benefit(day.event, "SURVIVOR_PENSION", ("SPOUSE",), 547_200), overpaid=912_000),
        Membership("COMWEL", "YES"),
    )
    tax = TaxFacts(
        (
            _refundable("N-1", "종합소득세", day.year(1), "노원세무서", 213_400),
            _arrears(
                "N-2",
                "부가가치세",
                f"{day.year(1)}-1",
                "노원세무서",
                1_840_000,
                surcharge=55_200,
                due=day.ago(1, 7, 25),
            ),
            _not_yet_due("L-1", "재산세", f"{day.event.year}-2", district, 386_500, due=day.ahead(24)),
            _arrears("L-2", "자동차세", f"{day.year(1)}-2", district, 259_000, surcharge=7_770, due=day.before(150)),
            _refundable("L-3", "지방소득세", day.year(1), district, 21_340),
        )
    )
    health = HealthFacts(
        eligibility=_eligibility("REGIONAL", day.ago(16, 3, 1), day.event),
        premiums=(Premium("HEALTH", 284_600, 5_690, 2), Premium("LONG_TERM_CARE", 36_860, 730, 2)),
        refunds=(_refund(day.event, "COPAY_CAP_EXCESS", 612_300),),
    )
    bought = day.ago(6, 3, 14)
    vehicles = VehicleFacts(
        vehicles=(
            _vehicle(
                "318머2047", "그랜저", bought, 17_650_000, inspected=day.ahead(113), insured=day.ahead(80),
                liens=(
                    VehicleLien("SEIZURE", district, 266_770, day.before(120)),
                    VehicleLien("MORTGAGE", "현대캐피탈", 20_000_000, bought, day.ago(3, 3, 20)),
                ),
                fines=(
                    Fine("PARKING", 32_000, day.before(15), district),
                    Fine("SPEED", 40_000, day.ago(1, 8, 20), "서울노원경찰서", day.ago(1, 8, 12)),
                ),
            ),
            _vehicle("86로1284", "포터II", day.ago(12, 6, 2), 3_420_000, inspected=day.ahead(192)),
            _vehicle("42더9016", "K5", day.ago(14, 1, 20), 0, deregistered=day.before(200)),
        )
    )  # fmt: skip
    return Holdings(land, finance, pensions, tax, health, vehicles)


def _heir_in_debt(day: _Days) -> Holdings:
    district, office = "부산광역시 영도구", "중부산세무서"
    land = LandFacts(
        parcels=(
            _parcel(
                day.today, "동삼동 510-22", "대", "92.40", 918_000, acquired=(day.ago(17, 9, 4), "매매"),
                encumbrances=(
                    Encumbrance("MORTGAGE", "부산은행", 96_000_000, day.ago(4, 2, 22)),
                    Encumbrance("PROVISIONAL_ATTACHMENT", "한국자산관리공사", 31_000_000, day.before(80)),
                ),
            ),
        ),
        buildings=(
            _building(
                "동삼동 510-22", "태종로|412|", "근린생활시설", "118.66", 54_300_000, approved=day.ago(29, 5, 19)
            ),
        ),
    )  # fmt: skip
    finance = finance_facts(
        _deposit("032-D-1", "저축예금", "1180", 412_770),
        Loan("032-L-1", "부동산담보대출", 78_000_000, 1_204_880, secured=True),
        Loan("050-L-1", "신용대출", 14_600_000, 842_310, secured=False),
        Guarantee("P01-G-1", 50_000_000, 42_500_000),
        Loan("P04-L-1", "소상공인 정책자금", 30_000_000, 318_000, secured=False),
        Card("365-K-1", 6_913_450),
        Card("381-K-1", 2_270_000),
        _policy("L05-I-1", "연금보험", 9_800_000, 7_000_000),
    )
    survivor = _benefit(day.event, "SURVIVOR_PENSION", ("SPOUSE",), 402_150)
    unpaid = _benefit(day.event, "UNPAID_PENSION", ("SPOUSE", "CHILD"), 318_400, part_of_estate=True)
    pensions = pension_facts(_member("NPS", 231, 0, survivor, unpaid, loan=2_400_000))
    tax = TaxFacts(
        (
            _arrears(
                "N-1", "부가가치세", f"{day.year(1)}-1", office, 11_280_000, surcharge=1_015_200, due=day.ago(1, 7, 25)
            ),
            _arrears("N-2", "종합소득세", day.year(2), office, 4_630_000, surcharge=509_300, due=day.ago(1, 5, 31)),
            _not_yet_due("L-1", "재산세", f"{day.event.year}-2", district, 141_200, due=day.ahead(18)),
        )
    )
    health = HealthFacts(
        eligibility=_eligibility("REGIONAL", day.ago(11, 10, 1), day.event),
        premiums=(
            Premium("HEALTH", 2_930_400, 87_910, 14),
            Premium("LONG_TERM_CARE", 379_490, 11_380, 14),
            Premium("PENSION", 1_134_000, 34_020, 14),
        ),
    )
    vehicles = VehicleFacts(
        vehicles=(
            _vehicle(
                "87버5530", "봉고III", day.ago(9, 10, 12), 5_120_000,
                inspected=day.before(-40), insured=day.before(-11),
                liens=(VehicleLien("PROVISIONAL_ATTACHMENT", "롯데캐피탈", 6_500_000, day.before(95)),),
                fines=(
                    Fine("BUS_LANE", 50_000, day.before(33), district),
                    Fine("TOLL", 12_400, day.before(60), "한국도로공사"),
                ),
            ),
        )
    )  # fmt: skip
    return Holdings(land, finance, pensions, tax, health, vehicles)


def _heir_substitute(day: _Days) -> Holdings:
    land = LandFacts(
        parcels=(
            _parcel(day.today, "동부리 208-1", "답", "2314.00", 61_200, acquired=(day.ago(36, 12, 3), "매매")),
            _parcel(
                day.today, "동부리 산 44", "임야", "14876.00", 3_180,
                acquired=(day.ago(28, 6, 21), "상속"), share=Fraction(2, 5),
            ),
        ),
        buildings=(
            _building(
                "복대동 3301", "가경로|55|107동 902호", "아파트", "101.77", 298_000_000,
                approved=day.ago(19, 8, 24), name="복대푸른마을아파트", share=_HALF,
            ),
        ),
    )  # fmt: skip
    finance = finance_facts(
        _deposit("012-D-1", "자립예탁금", "3390", 6_284_100),
        _deposit("012-D-2", "정기예탁금", "3391", 55_000_000),
        _deposit("071-D-1", "정기예금", "8024", 30_000_000),
        _deposit("088-D-1", "주거래우대통장", "1145", 4_902_660),
    )
    survivor = _benefit(day.event, "SURVIVOR_PENSION", ("SPOUSE",), 1_610_400)
    paid = TaxItem(
        "L-1", "LOCAL", "재산세", f"{day.year(1)}-2", "충청북도 청주시", "PAID", 412_300, 0, 0, 0, day.ago(1, 9, 30)
    )
    health = HealthFacts(
        eligibility=_eligibility("DEPENDANT", day.ago(14, 7, 1), day.event),
        refunds=(_refund(day.event, "COPAY_CAP_EXCESS", 1_148_700), _refund(day.event, "COPAY_REFUND", 38_400)),
    )
    car = _vehicle(
        "155노7713",
        "아반떼",
        day.ago(5, 5, 6),
        12_300_000,
        inspected=day.ahead(166),
        insured=day.ahead(45),
        share=_HALF,
    )
    return Holdings(
        land,
        finance,
        pension_facts(_member("GEPS", 396, 2_684_000, survivor)),
        TaxFacts((paid,)),
        health,
        VehicleFacts((car,)),
    )


def _heir_second_rank(day: _Days) -> Holdings:
    finance = finance_facts(
        _deposit("090-D-1", "입출금통장", "5521", 7_340_915),
        Loan("090-L-1", "전세자금대출", 120_000_000, 402_700, secured=True),
        _stock("271-S-1", "가람반도체", 14),
        _stock("271-S-2", "윤슬게임즈", 80),
        Card("367-K-1", 2_118_700),
    )
    pensions = pension_facts(
        _member("NPS", 97, 0, _benefit(day.event, "SURVIVOR_PENSION", ("SPOUSE",), 198_300)),
        Membership("COMWEL", "YES"),
    )
    health = HealthFacts(
        eligibility=_eligibility("EMPLOYEE", day.ago(8, 3, 2), day.event),
        refunds=(_refund(day.event, "OVERPAID_PREMIUM", 94_210),),
    )
    bought = day.ago(3, 9, 22)
    car = _vehicle(
        "261보3390", "아이오닉5", bought, 29_800_000, inspected=day.ahead(305), insured=day.ahead(156),
        liens=(VehicleLien("MORTGAGE", "현대캐피탈", 21_000_000, bought),),
    )  # fmt: skip
    tax = TaxFacts((_refundable("N-1", "종합소득세", day.year(1), "용인세무서", 318_900),))
    # He rented: the cadastre has never heard of him.
    return Holdings(None, finance, pensions, tax, health, VehicleFacts((car,)))


def _sibling(day: _Days) -> Holdings:
    land = LandFacts(
        parcels=(
            _parcel(day.today, "군내리 1020-5", "대", "231.00", 284_000, acquired=(day.ago(19, 5, 30), "상속")),
            _parcel(day.today, "군내리 1088", "양어장", "3305.00", 41_700, acquired=(day.ago(15, 3, 9), "매매")),
        ),
        buildings=(
            _building("군내리 1020-5", "장보고대로|88|", "단독주택", "99.18", 71_200_000, approved=day.ago(38, 4, 27)),
            _building("군내리 1088", "청해진남로|141|", "창고", "180.00", 23_400_000, approved=day.ago(13, 11, 11)),
        ),
    )
    finance = finance_facts(
        _deposit("007-D-1", "정기예금", "2288", 64_000_000),
        _deposit("007-D-2", "보통예금", "2291", 2_117_050),
        Loan("007-L-1", "영어자금대출", 38_000_000, 127_400, secured=True),
        _policy("N09-I-1", "운전자보험", 0, role="INSURED"),
    )
    pensions = pension_facts(_member("NPS", 268, 0, _benefit(day.event, "DEATH_LUMP_SUM", ("SIBLING",), 5_460_000)))
    tax = TaxFacts(
        (
            _arrears(
                "L-1", "재산세", f"{day.event.year}-1", "전라남도 완도군", 88_700, surcharge=2_660, due=day.before(-30)
            ),
        )
    )
    health = HealthFacts(
        eligibility=_eligibility("REGIONAL", day.ago(24, 1, 5), day.event),
        premiums=(Premium("HEALTH", 61_300, 1_220, 1),),
    )
    truck = _vehicle(
        "92서4471", "포터II", day.ago(10, 2, 15), 4_050_000, inspected=day.before(-163), insured=day.before(-163)
    )
    boat = FishingBoat("1103002-6480017", "제7완도호", Decimal("4.97"), "완도항", 46_800_000)
    return Holdings(land, finance, pensions, tax, health, VehicleFacts((truck,), (boat,)))


def _renounced(day: _Days) -> Holdings:
    finance = finance_facts(
        _deposit("031-D-1", "주거래우대통장", "4002", 880_120),
        Loan("031-L-1", "신용대출", 11_000_000, 208_300, secured=False),
        Card("368-K-1", 3_455_900),
    )
    health = HealthFacts(eligibility=_eligibility("DEPENDANT", day.ago(6, 2, 1), day.event))
    return Holdings(None, finance, pension_facts(_member("NPS", 141, 386_000)), None, health, None)


def _executor(day: _Days) -> Holdings:
    tenant = Encumbrance("LEASE_RIGHT", "임차인", 900_000_000, day.ago(2, 3, 3))
    land = LandFacts(
        parcels=(
            _parcel(day.today, "관청리 302-11", "과수원", "4120.00", 87_400, acquired=(day.ago(33, 10, 7), "매매")),
        ),
        buildings=(
            _building(
                "반포동 1093-2", "사평대로|205|12동 701호", "아파트", "138.22", 2_986_000_000,
                approved=day.ago(41, 6, 30), name="반포은하아파트", encumbrances=(tenant,),
            ),
            _building(
                "대치동 507-9", "삼성로|331|402호", "오피스텔", "41.35", 418_000_000,
                approved=day.ago(16, 2, 10), share=Fraction(3, 5),
            ),
        ),
    )  # fmt: skip
    finance = finance_facts(
        _deposit("081-D-1", "정기예금", "9011", 310_000_000),
        _deposit("081-D-2", "외화보통예금", "9017", 24_817_300),
        Custody("081-C-1", "SAFE_BOX", "반포지점 대여금고 22호"),
        _stock("240-S-1", "다온금융지주", 1500),
        _stock("240-S-2", "마루철강", 210),
        _policy("L01-I-1", "연금보험", 98_500_000, to="하소영"),
    )
    pensions = pension_facts(_member("TP", 388, 3_012_000, overpaid=3_012_000), Membership("KTCU", "YES"))
    tax = TaxFacts(
        (
            _arrears(
                "N-1", "종합부동산세", day.year(2), "서초세무서", 3_412_000, surcharge=102_360, due=day.ago(2, 12, 15)
            ),
            _not_yet_due("L-1", "재산세", f"{day.event.year}-2", "서울특별시 서초구", 2_914_500, due=day.ahead(24)),
        )
    )
    health = HealthFacts(
        eligibility=_eligibility("REGIONAL", day.ago(20, 9, 1), day.event),
        refunds=(_refund(day.event, "OVERPAID_PREMIUM", 412_900),),
    )
    return Holdings(land, finance, pensions, tax, health, None)


def _protected_person(day: _Days) -> Holdings:
    finance = finance_facts(_deposit("088-D-1", "저축예금", "7004", 5_120_330))
    health = HealthFacts(eligibility=_eligibility("MEDICAL_AID_1", day.ago(4, 4, 1), day.event))
    return Holdings(None, finance, pension_facts(), None, health, None)


# ---------------------------------------------------------------- newborn children and their parents


def _newborn(
    born: date,
    seen: date,
    *,
    order: int,
    kind: str,
    dependant_of: str | None,
    screenings: tuple[Screening, ...],
    voucher: int,
    credit: tuple[int, str | None],
    relief: tuple[str, str, int | None],
    account: tuple[Record, ...] = (),
) -> Holdings:
    """What is due has been given and taken up to the day `seen`; `relief` is for a home, a vehicle, and by how much."""
    first_encounter = Voucher(
        f"381-V-{order}", "첫만남이용권", "First Encounter Voucher", voucher, months_after(born, 24)
    )
    return Holdings(
        land=LandFacts(new_home_relief=relief[0]),
        finance=finance_facts(first_encounter, *account),
        pensions=pension_facts(months=credit[0], parent=credit[1]),
        tax=TaxFacts(child_tax_credit=0, birth_tax_credit=(300_000, 500_000, 700_000)[order - 1]),
        health=HealthFacts(
            eligibility=Eligibility(kind, born, None, None),
            dependant_of=dependant_of,
            screenings=screenings,
            immunizations=immunizations(born, seen),
            checkups=checkups(born, seen),
        ),
        vehicles=VehicleFacts(multi_child_relief=relief[1], relief_rate_percent=relief[2]),
    )


def _screenings(born: date, *taken: tuple[int, str] | None) -> tuple[Screening, ...]:
    """Metabolic, hearing, congenital, hip: days after birth and result of each that was taken."""
    return tuple(
        Screening(test, None, None) if done is None else Screening(test, born + timedelta(days=done[0]), done[1])
        for test, done in zip(("METABOLIC", "HEARING", "CONGENITAL", "HIP"), taken, strict=True)
    )


def _parent_child(day: _Days) -> Holdings:
    born = day.event
    return _newborn(
        born, day.ahead(-4), order=1, kind="DEPENDANT", dependant_of="FATHER", voucher=1_550_000, credit=(12, "MOTHER"),
        relief=("YES", "NO", None), screenings=_screenings(born, (2, "NORMAL"), (20, "RECHECK"), (3, "NORMAL"), None),
    )  # fmt: skip


def _parent_father(day: _Days) -> Holdings:
    """He owns the house in which the family lives."""
    house = _building("봉양리 230-2", "봉양3길|21|", "단독주택", "87.40", 96_400_000, approved=day.ago(12, 7, 7))
    return Holdings(LandFacts(buildings=(house,)), None, pension_facts(), None, None, None)


def _parent(day: _Days) -> Holdings:
    accounts = finance_facts(
        _deposit("011-D-1", "주거래우대통장", "6480", 2_914_330), _deposit("090-D-1", "입출금통장", "1207", 815_940)
    )
    health = HealthFacts(eligibility=Eligibility("DEPENDANT", day.ago(2, 5, 4), None, None))
    return Holdings(None, accounts, pension_facts(_member("NPS", 64)), None, health, None)


def _twin(order: int, voucher: int, months: int) -> Callable[[_Days], Holdings]:
    def held(day: _Days) -> Holdings:
        born = day.event
        return _newborn(
            born, day.ahead(-10), order=order, kind="DEPENDANT", dependant_of="MOTHER", voucher=voucher,
            credit=(months, "MOTHER"), relief=("NO", "YES", 100),
            screenings=_screenings(born, (3, "NORMAL"), (12, "NORMAL"), (4, "NORMAL"), (40, "NORMAL")),
        )  # fmt: skip

    return held


def _twins_mother(day: _Days) -> Holdings:
    flat = _building(
        "장항동 880", "정발산로|43|1107호", "주거용 오피스텔", "39.60", 201_000_000, approved=day.ago(9, 9, 9)
    )
    account = finance_facts(_deposit("004-D-1", "보통예금", "3312", 9_204_180))
    health = HealthFacts(eligibility=Eligibility("EMPLOYEE", day.ago(10, 3, 2), None, None))
    return Holdings(LandFacts(buildings=(flat,)), account, pension_facts(_member("NPS", 118)), None, health, None)


def _twins_father(day: _Days) -> Holdings:
    mortgage = Encumbrance("MORTGAGE", "우리은행", 286_000_000, day.ago(7, 3, 2))
    flat = _building(
        "다산동 6112", "다산중앙로|82|2204동 1701호", "아파트", "84.98", 543_000_000,
        approved=day.ago(7, 1, 31), name="다산가온아파트", encumbrances=(mortgage,),
    )  # fmt: skip
    return Holdings(LandFacts(buildings=(flat,)), None, pension_facts(), None, None, None)


def _protected_birth(day: _Days) -> Holdings:
    born = day.event
    return _newborn(
        born, day.ahead(-2), order=1, kind="MEDICAL_AID_1", dependant_of=None, voucher=2_000_000, credit=(0, None),
        relief=("NO", "NO", None), screenings=_screenings(born, (3, "NORMAL"), (10, "PENDING"), None, None),
        account=(_deposit("032-D-1", "보통예금", "0071", 100_000),),
    )  # fmt: skip


_WRITTEN: Final[dict[Subject, tuple[Callable[[_Days], Holdings], int]]] = {
    persona_subject(key): (held, (DIED_DAYS_AGO | BORN_DAYS_AGO)[key.split("/")[0]])
    for key, held in (
        ("heir/deceased", _heir),
        ("heir-in-debt/deceased", _heir_in_debt),
        ("heir-substitute/deceased", _heir_substitute),
        ("heir-second-rank/deceased", _heir_second_rank),
        ("sibling/deceased", _sibling),
        ("renounced/deceased", _renounced),
        ("executor/deceased", _executor),
        ("protected-person/deceased", _protected_person),
        ("parent/child", _parent_child),
        ("parent/father", _parent_father),
        ("parent", _parent),
        ("parent-of-twins/child", _twin(2, 640_000, 12)),
        ("parent-of-twins/second-child", _twin(3, 3_000_000, 18)),
        ("parent-of-twins", _twins_mother),
        ("parent-of-twins/father", _twins_father),
        ("protected-birth/child", _protected_birth),
    )
}


@lru_cache(maxsize=256)
def written_holdings(subject: Subject, today: date) -> Holdings | None:
    """What is written out here of this person; None for everybody else, whose holdings are drawn."""
    if subject not in _WRITTEN:
        return None
    held, days_ago = _WRITTEN[subject]
    return held(_Days(today, days_ago))
