"""National and local taxes: what is in arrears, not yet due, paid, deferred or to be refunded."""

from datetime import timedelta
from typing import Final

from sandbox.dice import Dice
from sandbox.facts import TaxFacts, TaxItem
from sandbox.holdings.profile import Profile
from sandbox.tables import cumulative

_NATIONAL: Final = frozenset({"종합소득세", "부가가치세", "종합부동산세", "양도소득세", "증여세", "상속세", "인지세"})
_STATES: Final = ("PAID", "ARREARS", "NOT_YET_DUE", "REFUNDABLE", "DEFERRED")
_STATE_WEIGHTS: Final = cumulative((560, 170, 130, 125, 15))


def tax(about: Profile) -> TaxFacts | None:
    """None for somebody of whom neither the tax office nor a municipality has ever had a file."""
    if about.age < 19:
        return _of_a_child(about)
    dice = about.dice("TAX")
    items = (*_on_income(about, dice), *_on_property(about, dice), *_others(about, dice))
    return TaxFacts(items) if items or dice.chance(300) else None


def _on_income(about: Profile, dice: Dice) -> list[TaxItem]:
    if about.occupation == "SELF_EMPLOYED":
        income = _item(about, dice, "종합소득세", range(400, 18_000))
        return [income, _item(about, dice, "부가가치세", range(200, 9_000))]
    return [_item(about, dice, "종합소득세", range(30, 2_600))] if dice.chance(320) else []


def _on_property(about: Profile, dice: Dice) -> list[TaxItem]:
    if about.home is None:
        return []
    price = int((about.home.building.house_price or 0) * about.home.building.share)
    items = [_item(about, dice, "재산세", range(price // 1_600_000 + 1, price // 900_000 + 20))]
    if price > 1_200_000_000:
        items.append(_item(about, dice, "종합부동산세", range(price // 900_000, price // 400_000)))
    return items


def _others(about: Profile, dice: Dice) -> list[TaxItem]:
    """Taxes that some pay: how many of 1,000, and between how many thousand won."""
    return [
        _item(about, dice, dice.pick(names), amounts)
        for per_mille, names, amounts in (
            (360, ("자동차세",), range(50, 620)),
            (150, ("주민세",), range(6, 8)),
            (90, ("지방소득세",), range(10, 900)),
            (30, ("양도소득세", "증여세", "상속세", "인지세"), range(100, 40_000)),
            (30, ("취득세", "등록면허세", "지역자원시설세", "지방교육세"), range(20, 9_000)),
        )
        if dice.chance(per_mille)
    ]


def _of_a_child(about: Profile) -> TaxFacts | None:
    """Birth tax credit of the year of birth; child tax credit from the year in which the child allowance ends."""
    if about.birth_order is None or about.age >= 18:
        return None
    order = min(about.birth_order, 3)
    born_lately = about.person.born.year >= about.today.year - 1
    credit = (250_000, 300_000, 400_000)[order - 1] if about.age >= 8 else 0
    return TaxFacts(
        child_tax_credit=credit, birth_tax_credit=(300_000, 500_000, 700_000)[order - 1] if born_lately else 0
    )


def _item(about: Profile, dice: Dice, name: str, thousands: range) -> TaxItem:
    """One item of so many thousand won."""
    level = "NATIONAL" if name in _NATIONAL else "LOCAL"
    state = dice.weighted(_STATES, _STATE_WEIGHTS)
    amount = dice.pick(thousands) * 1000
    if state == "NOT_YET_DUE":
        due = about.today + timedelta(days=dice.between(1, 60))
    else:
        due = dice.day(max(about.person.born, about.until - timedelta(days=900)), about.until)
    year = (about.until if state == "NOT_YET_DUE" else due).year
    arrears = amount * dice.between(20, 100) // 100 if state == "ARREARS" else 0
    return TaxItem(
        reference=f"{level[0]}{dice.below(10**9):09d}",
        level=level,
        tax=name,
        period=f"{year}-{dice.between(1, 2)}" if name in {"부가가치세", "재산세", "자동차세"} else f"{year}",
        authority=about.place.district if level == "LOCAL" else f"{_seat(about)}세무서",
        state=state,
        assessed=0 if state == "REFUNDABLE" else amount,
        arrears=arrears,
        surcharge=arrears * dice.between(3, 22) // 100 // 10 * 10,
        refundable=amount // 4 // 10 * 10 if state == "REFUNDABLE" else 0,
        due_on=None if state == "REFUNDABLE" else due,
    )


def _seat(about: Profile) -> str:
    """Name of the municipality without its kind, as tax offices are called."""
    return (about.place.city or "세종시").split()[0].rstrip("시군구")
