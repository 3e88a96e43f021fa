"""What decides a person's holdings: age, place, wealth, work, family and the family's home."""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final

from sandbox.dice import Dice, hashed, interpolated
from sandbox.facts import Building, Encumbrance, Nation, Parcel, Person, Subject
from sandbox.identifiers import pnu
from sandbox.personas import is_of_a_persona
from sandbox.tables import BANK_WEIGHTS, BANKS, INSTITUTIONS, Place, cumulative, place_at, price_year

OCCUPATIONS: Final = (
    "EMPLOYEE", "SELF_EMPLOYED", "CIVIL_SERVANT", "LOCAL_OFFICIAL", "TEACHER", "PRIVATE_TEACHER", "SOLDIER",
    "SCIENTIST", "BUILDER", "FARMER", "HOMEMAKER",
)  # fmt: skip
_OCCUPATION_WEIGHTS: Final = cumulative((480, 170, 45, 25, 25, 15, 15, 15, 45, 55, 110))

_ESTATES: Final = ("한빛", "푸른마을", "은하", "가온", "느티", "햇살")
_WEALTH: Final = (
    (0, 0), (100, 900), (200, 2_400), (300, 4_800), (400, 8_000), (500, 12_500), (600, 18_500), (700, 27_000),
    (800, 40_000), (900, 68_000), (970, 130_000), (999, 420_000),
)  # fmt: skip
"""Wealth in units of 10,000 won by place in the nation, of 1,000, at its height."""
_WEALTH_BY_AGE: Final = ((0, 1), (18, 3), (25, 12), (35, 45), (45, 75), (58, 100), (68, 96), (80, 66), (95, 50))
"""Per cent of that height."""


@dataclass(frozen=True, slots=True)
class Home:
    """The house or flat that a household owns, and the loan on it."""

    building: Building
    parcel: Parcel | None  # a flat's part of the plot is not in the land ledger
    mortgage: int
    bank: str


@dataclass(frozen=True, slots=True)
class Profile:
    """One person as the six agencies' generators see them."""

    seed: str
    person: Person
    today: date
    until: date  # last day of which anything is known: of death, or the day before yesterday
    age: int  # in whole years on that day
    place: Place
    wealth: int  # units of 10,000 won
    occupation: str
    home: Home | None
    spouse: Person | None  # at the end of the person's life, or now
    parents: tuple[tuple[Person, str], ...]
    children: tuple[Person, ...]
    birth_order: int | None

    def dice(self, agency: str) -> Dice:
        """This agency's own dice for this person."""
        return Dice(f"{self.seed}/{self.person.subject}/{agency}")

    def day(self, dice: Dice, first_age: int, latest: date | None = None) -> date:
        """Some day between an age and the end of what is known."""
        first = self.person.born + timedelta(days=first_age * 365 + first_age // 4)
        last = min(latest or self.until, self.until)
        return dice.day(min(first, last), last)


def age_on(born: date, day: date) -> int:
    """Whole years."""
    return day.year - born.year - ((day.month, day.day) < (born.month, born.day))


def profile(nation: Nation, subject: Subject) -> Profile:
    """Gathers it; KeyError for somebody whom the register does not know."""
    person = nation.people[subject]
    # A persona's family is the same whatever the seed.
    seed = "persona" if is_of_a_persona(subject, nation.today) else str(nation.seed)
    ties = nation.ties(subject)
    until = _until(person, nation.today)
    age = age_on(person.born, until)
    place = place_at(person.municipality, person.address)
    together = [each for each in ties.marriages if each.ended_by != "DIVORCE"]
    spouse = nation.people[together[-1].b if together[-1].a == subject else together[-1].a] if together else None
    birth = nation.births.get(subject)
    return Profile(
        seed=seed,
        person=person,
        today=nation.today,
        until=until,
        age=age,
        place=place,
        wealth=_wealth(seed, person, age, place),
        occupation=_occupation(seed, subject, place),
        home=_home(seed, person, spouse, nation.today) if age >= 24 else None,
        spouse=spouse,
        parents=tuple((nation.people[tie.parent], tie.relation) for tie in ties.parents),
        children=tuple(nation.people[tie.child] for tie in ties.children),
        birth_order=birth.order if birth else None,
    )


def _until(person: Person, today: date) -> date:
    return person.died or today - timedelta(days=2)


def _wealth(seed: str, person: Person, age: int, place: Place) -> int:
    rank = hashed(f"{seed}/{person.subject}/wealth", 1000)
    dear = interpolated(((60_000, 70), (500_000, 85), (2_000_000, 100), (16_000_000, 190)), place.price_per_m2)
    return interpolated(_WEALTH, rank) * interpolated(_WEALTH_BY_AGE, age) * dear // 10_000


def _occupation(seed: str, subject: Subject, place: Place) -> str:
    drawn = Dice(f"{seed}/{subject}/occupation").weighted(OCCUPATIONS, _OCCUPATION_WEIGHTS)
    return "EMPLOYEE" if drawn == "FARMER" and not place.rural else drawn


def _home(seed: str, person: Person, spouse: Person | None, today: date) -> Home | None:
    """What the couple, or the single person, owns where they live: drawn once for both, each with their part."""
    owners = sorted((each for each in (person, spouse) if each), key=lambda each: each.subject)
    dice = Dice(f"{seed}/{'+'.join(each.subject for each in owners)}/home")
    untils = [_until(each, today) for each in owners]
    age = max(age_on(each.born, until) for each, until in zip(owners, untils, strict=True))
    rank = max(hashed(f"{seed}/{each.subject}/wealth", 1000) for each in owners)
    throw, split, pool = dice.below(1000), dice.below(1000), dice.below(1000)
    if throw >= interpolated(((24, 60), (35, 380), (50, 620), (65, 720), (90, 660)), age) * (400 + rank) // 1000:
        return None
    shares = (
        (Fraction(1, 2), Fraction(1, 2)) if split < 330 else (Fraction(1), None) if split < 700 else (None, Fraction(1))
    )
    share = Fraction(1) if spouse is None else shares[owners.index(person)]
    if share is None:
        return None
    place = place_at(person.municipality, person.address)
    flat = "동 " in person.address
    main, sub = dice.between(1, 1800), dice.below(40)
    area = Decimal(dice.pick((3960, 4988, 5996, 7451, 8493, 8498, 10177, 13515)) if flat else dice.between(4800, 16500))
    first = min(each.born for each in owners) + timedelta(days=27 * 365)
    acquired = dice.day(min(first, *untils), min(untils))
    approved = acquired - timedelta(days=dice.between(30, 9000))
    unit_price = 620_000 + place.price_per_m2 * (19 if flat else 11) // 10 * dice.between(80, 120) // 100
    price = int(unit_price * area) // 100 // 100_000 * 100_000
    borrowed = pool < interpolated(((24, 700), (40, 620), (60, 330), (80, 60)), age)
    mortgage = price * dice.between(8, 52) // 100 // 1_000_000 * 1_000_000 if borrowed else 0
    bank = dice.weighted(BANKS, BANK_WEIGHTS)
    liens: tuple[Encumbrance, ...] = ()
    if mortgage:
        liens = (Encumbrance("MORTGAGE", INSTITUTIONS[bank].name, mortgage * 12 // 10, acquired),)
    elif pool > 800 and acquired < min(untils):
        paid_off = dice.day(acquired, min(untils))
        liens = (Encumbrance("MORTGAGE", INSTITUTIONS[bank].name, price // 20 * 10, acquired, paid_off),)
    plot = pnu(place.code, "LAND", main, sub)
    building = Building(
        register_number=f"{place.municipality}-1{main:05d}{sub:03d}",
        pnu=plot,
        name=f"{place.town.rstrip('동읍면')}{dice.pick(_ESTATES)}아파트" if flat else None,
        address=person.address,
        purpose="아파트" if flat else dice.pick(("단독주택", "단독주택", "다세대주택", "다가구주택", "연립주택")),
        area_m2=area / 100,
        approved_on=approved,
        share=share,
        house_price=price,
        encumbrances=liens,
    )  # fmt: skip
    parcel = None
    if building.purpose == "단독주택":
        parcel = Parcel(
            pnu=plot,
            address=place.lot_address("LAND", main, sub),
            ledger="LAND",
            category="대",
            area_m2=Decimal(dice.between(9000, 52000)) / 100,
            share=share,
            price_per_m2=place.price_per_m2 * dice.between(70, 125) // 100 // 100 * 100,
            price_year=price_year(today),
            acquired_on=acquired,
            acquisition_cause=dice.pick(("매매", "매매", "상속", "증여")),
            encumbrances=liens,
        )
    return Home(building, parcel, mortgage, bank)
