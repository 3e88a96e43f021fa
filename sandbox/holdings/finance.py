"""What banks, securities firms, insurers and card companies hold, institution by institution."""

from collections import defaultdict
from decimal import Decimal
from typing import Final

from sandbox.dice import Dice, interpolated
from sandbox.facts import (
    Card,
    Custody,
    Deposit,
    FinanceFacts,
    Guarantee,
    InstitutionFacts,
    Loan,
    Policy,
    Security,
    Voucher,
)
from sandbox.holdings.profile import Profile
from sandbox.identifiers import isin
from sandbox.tables import (
    BANK_WEIGHTS,
    BANKS,
    CARD_ISSUERS,
    INSTITUTIONS,
    LIFE_INSURERS,
    NONLIFE_INSURERS,
    SECURITIES_FIRMS,
    SHARES,
    months_after,
)

_DEPOSITS: Final = (
    "보통예금",
    "저축예금",
    "정기예금",
    "정기적금",
    "주택청약종합저축",
    "주거래우대통장",
    "외화보통예금",
)
_LOANS: Final = ("신용대출", "마이너스통장대출", "전세자금대출", "자동차담보대출", "사업자대출")

_Record = Deposit | Loan | Security | Policy | Card | Guarantee | Custody | Voucher
_LIST_OF: Final[dict[type, str]] = {
    Deposit: "deposits",
    Loan: "loans",
    Security: "securities",
    Policy: "insurance",
    Card: "cards",
    Guarantee: "guarantees",
    Custody: "custody",
    Voucher: "vouchers",
}


class _Book:
    """Collects records by institution and gives each a reference of its own."""

    def __init__(self) -> None:
        self.parts: dict[str, list[_Record]] = defaultdict(list)

    def reference(self, code: str) -> str:
        return f"{code}-{len(self.parts[code]) + 1:02d}"

    def facts(self) -> FinanceFacts | None:
        if not self.parts:
            return None
        return FinanceFacts(
            tuple(
                InstitutionFacts(
                    INSTITUTIONS[code],
                    **{
                        name: tuple(record for record in records if isinstance(record, kind))
                        for kind, name in _LIST_OF.items()
                    },  # type: ignore[arg-type]  # each list is picked by its own type
                )
                for code, records in sorted(self.parts.items())
            )
        )


def finance(about: Profile) -> FinanceFacts | None:
    """None for somebody whom no institution knows."""
    dice, book = about.dice("FINANCE"), _Book()
    if about.age < 15:
        _child(about, dice, book)
        return book.facts()
    _deposits(about, dice, book)
    _loans(about, dice, book)
    if dice.chance(interpolated(((18, 90), (30, 380), (50, 360), (75, 120)), about.age)):
        _securities(about, dice, book)
    if dice.chance(interpolated(((18, 200), (35, 720), (60, 760), (85, 420)), about.age)):
        _insurance(about, dice, book)
    if dice.chance(interpolated(((18, 150), (28, 760), (60, 700), (85, 260)), about.age)):
        code = dice.pick(CARD_ISSUERS)
        book.parts[code].append(Card(book.reference(code), dice.between(3, 420) * 9_700 if dice.chance(620) else 0))
    if about.occupation == "SELF_EMPLOYED" and dice.chance(90):
        limit = dice.between(2, 30) * 10_000_000
        code = dice.pick(("P01", "P04"))
        book.parts[code].append(Guarantee(book.reference(code), limit, limit * dice.between(10, 100) // 100))
    if about.wealth > 45_000 and dice.chance(120):
        code = dice.pick(("004", "081", "088", "020"))
        kind = dice.pick(("SAFE_BOX", "SAFE_BOX", "SAFE_CUSTODY", "UNCLAIMED_SHARES", "UNCLAIMED_DIVIDEND"))
        location = f"{INSTITUTIONS[code].name} {about.place.town} 영업점"
        book.parts[code].append(Custody(book.reference(code), kind, location))
    return book.facts()


def _child(about: Profile, dice: Dice, book: _Book) -> None:
    if dice.chance(380):
        code = dice.weighted(BANKS, BANK_WEIGHTS)
        book.parts[code].append(_deposit(dice, book.reference(code), dice.between(1, 90) * 50_000))
    if about.age < 2 and about.birth_order is not None:
        left = (2_000_000 if about.birth_order == 1 else 3_000_000) * dice.below(101) // 100 // 10 * 10
        expires = months_after(about.person.born, 24)
        book.parts["381"].append(
            Voucher(book.reference("381"), "첫만남이용권", "First Encounter Voucher", left, expires)
        )


def _deposit(dice: Dice, reference: str, balance: int) -> Deposit:
    return Deposit(
        reference=reference,
        product=dice.pick(_DEPOSITS),
        number_suffix=None if dice.chance(20) else f"{dice.below(10_000):04d}",
        balance=balance,
        dormant=balance < 200_000 and dice.chance(250),
        jointly_held=dice.chance(12),
    )


def _deposits(about: Profile, dice: Dice, book: _Book) -> None:
    part = interpolated(((18, 60), (40, 22), (60, 20), (80, 34)), about.age)  # per cent of wealth
    saved = about.wealth * 10_000 * part // 100 + dice.between(0, 3_000_000)
    for _ in range(dice.between(1, 2) + (about.wealth > 8_000) + (about.wealth > 30_000) * dice.between(0, 2)):
        code = dice.weighted(BANKS, BANK_WEIGHTS)
        balance = saved * dice.between(5, 60) // 100
        saved -= balance
        book.parts[code].append(_deposit(dice, book.reference(code), balance))


def _loans(about: Profile, dice: Dice, book: _Book) -> None:
    home = about.home
    if home and home.mortgage:
        principal = int(home.mortgage * home.building.share)
        book.parts[home.bank].append(_loan(dice, book.reference(home.bank), "주택담보대출", principal, secured=True))
    if dice.chance(interpolated(((20, 80), (32, 420), (55, 330), (75, 90), (90, 20)), about.age)):
        code = dice.weighted(BANKS, BANK_WEIGHTS) if dice.chance(850) else "050"
        product = dice.pick(_LOANS)
        secured = product in {"전세자금대출", "자동차담보대출"}
        book.parts[code].append(
            _loan(dice, book.reference(code), product, dice.between(2, 160) * 500_000, secured=secured)
        )
    if about.age < 36 and dice.chance(180):
        book.parts["P02"].append(
            _loan(dice, book.reference("P02"), "취업후상환 학자금대출", dice.between(3, 60) * 400_000, secured=False)
        )


def _loan(dice: Dice, reference: str, product: str, principal: int, *, secured: bool) -> Loan:
    return Loan(reference, product, principal, principal * dice.between(2, 60) // 10_000, secured)


def _securities(about: Profile, dice: Dice, book: _Book) -> None:
    code = dice.pick(SECURITIES_FIRMS)
    for _ in range(dice.between(1, 4)):
        name, issuer, price = dice.pick(SHARES)
        most = max(2, about.wealth * 10_000 // 12 // price)
        quantity = Decimal(dice.between(1, most)) + (Decimal(dice.between(1, 99)) / 100 if dice.chance(60) else 0)
        value = None if dice.chance(15) else int(price * quantity)
        book.parts[code].append(Security(book.reference(code), isin(issuer), name, quantity, value))


def _insurance(about: Profile, dice: Dice, book: _Book) -> None:
    family = [each.name for each in (about.spouse, *about.children) if each]
    for _ in range(dice.between(1, 3)):
        life = dice.chance(550)
        code = dice.pick(LIFE_INSURERS if life else NONLIFE_INSURERS)
        product = dice.pick(
            ("종신보험", "연금보험", "건강보험") if life else ("실손의료보험", "자동차보험", "저축보험", "운전자보험")
        )
        role = "POLICYHOLDER" if dice.chance(820) else "INSURED"
        value = dice.between(0, 60) * 500_000 if role == "POLICYHOLDER" else 0
        named = dice.pick(family) if family and dice.chance(450) else None
        book.parts[code].append(
            Policy(
                reference=book.reference(code),
                product=product,
                role=role,
                surrender_value=value,
                policy_loan=value * dice.between(10, 60) // 100 if value and dice.chance(140) else 0,
                part_of_estate=None if dice.chance(20) else named is None,
                beneficiary_name=named,
            )
        )
