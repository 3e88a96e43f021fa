"""Cadastre and building ledger: the home, and fields, forests and shops besides."""

from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Final

from sandbox.dice import Dice, interpolated
from sandbox.facts import Building, Encumbrance, LandFacts, Parcel
from sandbox.holdings.profile import Profile
from sandbox.identifiers import pnu
from sandbox.tables import CATEGORIES, INSTITUTIONS, PLACES, RURAL_PLACES, cumulative, price_year

_USUAL: Final = ("전", "답", "임야", "대", "과수원", "묘지", "도로", "잡종지", "구거", "목장용지", "창고용지")
_USUAL_WEIGHTS: Final = cumulative((230, 250, 260, 90, 50, 30, 35, 25, 12, 10, 8))
_SHARES: Final = (Fraction(1), Fraction(1, 2), Fraction(1, 3), Fraction(1, 4), Fraction(2, 7), Fraction(3, 10))
_SHARE_WEIGHTS: Final = cumulative((700, 130, 70, 40, 30, 30))
_PRICE_PER_CENT: Final = {
    "대": 100,
    "임야": 2,
    "묘지": 4,
    "도로": 20,
    "구거": 8,
    "공장용지": 60,
    "주유소용지": 90,
    "주차장": 80,
}
_BURDENS: Final = (
    "ATTACHMENT", "PROVISIONAL_ATTACHMENT", "PROVISIONAL_DISPOSITION", "LEASE_RIGHT", "SUPERFICIES", "EASEMENT",
    "AUCTION", "TRUST", "OTHER",
)  # fmt: skip


def land(about: Profile) -> LandFacts | None:
    """None for somebody who never owned land."""
    if about.age < 19:
        return LandFacts(new_home_relief=_relief(about)) if about.age < 3 else None
    dice = about.dice("LAND")
    home = about.home
    parcels = [home.parcel] if home and home.parcel else []
    buildings = [home.building] if home else []
    likely = interpolated(((19, 8), (40, 90), (60, 260), (80, 330)), about.age) + (
        500 if about.occupation == "FARMER" else 0
    )
    if dice.chance(likely):
        parcels += [
            _parcel(about, dice) for _ in range(dice.between(1, 3) + (about.occupation == "FARMER") * dice.below(4))
        ]
    if about.wealth > 130_000 and dice.chance(250):
        parcels += [_parcel(about, dice) for _ in range(dice.between(12, 34))]
    if about.wealth > 60_000 and dice.chance(260):
        buildings.append(_let_building(about, dice))
    if not parcels and not buildings:
        return LandFacts() if dice.chance(60) else None
    return LandFacts(tuple(parcels), tuple(buildings))


def _relief(about: Profile) -> str:
    """Relief on a home bought for a child that is born: known for the first years."""
    return about.dice("LAND/relief").pick(("YES", "NO", "NO", "UNKNOWN"))


def _parcel(about: Profile, dice: Dice) -> Parcel:
    place = about.place if about.place.rural and dice.chance(700) else dice.pick(RURAL_PLACES)
    category = dice.pick(CATEGORIES) if dice.chance(30) else dice.weighted(_USUAL, _USUAL_WEIGHTS)
    ledger = "FOREST" if category == "임야" or (category == "묘지" and dice.chance(500)) else "LAND"
    main, sub = dice.between(1, 1500), dice.below(30) if dice.chance(600) else 0
    area = dice.between(90_000, 3_500_000) if ledger == "FOREST" else dice.between(9_000, 480_000)
    price = place.price_per_m2 * _PRICE_PER_CENT.get(category, 22) * dice.between(60, 140) // 10_000
    priced = not dice.chance(25)
    acquired = about.day(dice, 20)
    return Parcel(
        pnu=pnu(place.code, ledger, main, sub),
        address=place.lot_address(ledger, main, sub),
        ledger=ledger,
        category=category,
        area_m2=Decimal(area) / 100,
        share=dice.weighted(_SHARES, _SHARE_WEIGHTS),
        price_per_m2=max(100, price // 10 * 10) if priced else None,
        price_year=price_year(about.today) if priced else None,
        acquired_on=None if dice.chance(30) else acquired,
        acquisition_cause=dice.pick(("상속", "상속", "매매", "매매", "증여", "소유권보존")),
        encumbrances=_burdens(about, dice, acquired),
    )


def _burdens(about: Profile, dice: Dice, acquired: date) -> tuple[Encumbrance, ...]:
    if not dice.chance(140):
        return ()
    on = dice.day(acquired, about.until)
    released = dice.day(on, about.until) if dice.chance(400) else None
    if dice.chance(600):
        bank = INSTITUTIONS[dice.pick(("011", "012", "045", "048"))].name
        return (Encumbrance("MORTGAGE", bank, dice.between(8, 160) * 1_000_000, on, released),)
    kind = dice.pick(_BURDENS)
    holder = (
        None
        if kind in {"EASEMENT", "AUCTION", "OTHER"}
        else dice.pick((about.place.district, "한국자산관리공사", "신용보증기금"))
    )
    claim = dice.between(2, 90) * 500_000 if kind in {"ATTACHMENT", "PROVISIONAL_ATTACHMENT", "LEASE_RIGHT"} else None
    return (Encumbrance(kind, holder, claim, on, released),)


def _let_building(about: Profile, dice: Dice) -> Building:
    """A shop, office or warehouse that is let."""
    place = about.place if dice.chance(600) else dice.pick(PLACES)
    main, sub = dice.between(1, 1800), dice.below(40)
    area = dice.between(2200, 31_000)
    acquired = about.day(dice, 32)
    return Building(
        register_number=f"{place.municipality}-1{main:05d}{sub:03d}",
        pnu=pnu(place.code, "LAND", main, sub),
        name=None,
        address=place.road_address(dice.pick(place.roads), dice.between(1, 480)),
        purpose=dice.pick(("오피스텔", "근린생활시설", "근린생활시설", "창고", "업무시설")),
        area_m2=Decimal(area) / 100,
        approved_on=acquired,
        share=dice.weighted(_SHARES, _SHARE_WEIGHTS),
        house_price=(500_000 + place.price_per_m2) * area // 100 // 100_000 * 100_000 if dice.chance(960) else None,
        encumbrances=_burdens(about, dice, acquired),
    )
