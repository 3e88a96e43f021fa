"""Vehicles with liens and fines, and fishing boats where there is a harbour."""

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

from sandbox.dice import Dice, interpolated
from sandbox.facts import Fine, FishingBoat, Vehicle, VehicleFacts, VehicleLien
from sandbox.holdings.profile import Profile
from sandbox.identifiers import vin
from sandbox.tables import MODEL_WEIGHTS, MODELS, PLATE_CLASSES, PRIVATE_SYLLABLES, months_after

_ELECTRIC_SINCE = 2021


def vehicles(about: Profile) -> VehicleFacts | None:
    """None for somebody who has no vehicle, no boat and no relief."""
    dice = about.dice("VEHICLES")
    if about.age < 18:
        return _of_a_child(about, dice)
    owned = []
    if dice.chance(interpolated(((18, 40), (28, 380), (45, 640), (65, 520), (80, 180), (92, 40)), about.age)):
        count = 1 + dice.chance(140) + (about.occupation in {"FARMER", "SELF_EMPLOYED"} and dice.chance(350))
        owned = [_vehicle(about, dice) for _ in range(count)]
        if dice.chance(40):
            owned.append(_vehicle(about, dice, deregistered=True))
    boats: tuple[FishingBoat, ...] = ()
    if about.place.port and about.age > 30 and dice.chance(70 if about.place.rural else 8):
        boats = (_boat(about, dice),)
    if not owned and not boats:
        return None
    return VehicleFacts(tuple(owned), boats)


def _of_a_child(about: Profile, dice: Dice) -> VehicleFacts | None:
    if about.birth_order is None or about.age >= 9:
        return None
    several = about.birth_order >= 2
    if dice.chance(20):
        return VehicleFacts(multi_child_relief="UNKNOWN")
    percent = 100 if about.birth_order >= 3 else 50
    return VehicleFacts(multi_child_relief="YES" if several else "NO", relief_rate_percent=percent if several else None)


def plate(dice: Dice, kind: str, registered: date) -> str:
    """Two figures before September 2019, three since; by class, with a syllable of private use."""
    if kind == "MOTORCYCLE":
        kind = "PASSENGER"
    first, last = PLATE_CLASSES[kind]
    if kind == "PASSENGER" and registered < date(2019, 9, 1):
        first, last = 1, 69
    elif kind != "PASSENGER":
        # Vans, trucks and special vehicles keep two figures.
        first, last = first // 10, last // 10
    number = f"{dice.between(first, last):02d}"
    return f"{number}{dice.pick(PRIVATE_SYLLABLES)}{dice.between(1000, 9999)}"


def _vehicle(about: Profile, dice: Dice, *, deregistered: bool = False) -> Vehicle:
    kind, maker, code, model, fuel, new = dice.weighted(MODELS, MODEL_WEIGHTS)
    registered = max(about.day(dice, 18), about.until - timedelta(days=dice.between(100, 5600)))
    if fuel in {"ELECTRIC", "HYDROGEN"} and registered.year < _ELECTRIC_SINCE:
        fuel, model, new = "GASOLINE", "쏘나타", 27_000_000
    years = max(0, about.until.year - registered.year)
    value = new * interpolated(((0, 92), (3, 62), (6, 40), (10, 20), (15, 6)), years) // 100 // 1000 * 1000
    gone = dice.day(max(registered, about.until - timedelta(days=360)), about.until) if deregistered else None
    return Vehicle(
        plate=plate(dice, kind, registered),
        kind=kind,
        maker=maker,
        model=model,
        model_year=registered.year,
        fuel=fuel,
        first_registered_on=registered,
        vin=vin(code, registered.year, dice.below(1_000_000)),
        share=Fraction(1) if dice.chance(930) else dice.pick((Fraction(1, 2), Fraction(99, 100), Fraction(1, 100))),
        standard_value=value if dice.chance(985) else None,
        inspection_valid_until=about.until + timedelta(days=dice.between(-40, 700)),
        insurance_valid_until=None if dice.chance(60) else about.until + timedelta(days=dice.between(-20, 360)),
        deregistered_on=gone,
        liens=_liens(about, dice, registered, value),
        fines=_fines(about, dice),
    )


def _liens(about: Profile, dice: Dice, registered: date, value: int) -> tuple[VehicleLien, ...]:
    liens = []
    if dice.chance(280):
        paid_off = registered + timedelta(days=dice.between(700, 2200))
        released = paid_off if paid_off <= about.until else None
        liens.append(VehicleLien("MORTGAGE", "현대캐피탈", value // 100_000 * 100_000, registered, released))
    if dice.chance(60):
        kind = dice.pick(("SEIZURE", "SEIZURE", "PROVISIONAL_ATTACHMENT"))
        on = dice.day(registered, about.until)
        liens.append(VehicleLien(kind, about.place.district, dice.between(30, 2400) * 1000, on))
    return tuple(liens)


def _fines(about: Profile, dice: Dice) -> tuple[Fine, ...]:
    if not dice.chance(160):
        return ()
    kind = dice.pick(("PARKING", "PARKING", "SPEED", "BUS_LANE", "TOLL", "INSPECTION_LATE", "NO_INSURANCE", "EMISSION"))
    due = about.until + timedelta(days=dice.between(-300, 40))
    paid = min(due, about.until) if dice.chance(400) else None
    return (Fine(kind, dice.between(4, 160) * 1000, due, about.place.district, paid),)


def _boat(about: Profile, dice: Dice) -> FishingBoat:
    tons = Decimal(dice.between(90, 2900)) / 100
    built = months_after(about.person.born, 12 * dice.between(25, 30)).year % 100
    return FishingBoat(
        number=f"{built:02d}{dice.between(1, 12):02d}{dice.below(1000):03d}-6{dice.below(10**6):06d}",
        name=f"제{dice.between(1, 99)}{dice.pick(('해성', '동진', '만복', '바다', '은성', '대풍'))}호",
        tonnage=tons,
        port=about.place.port,
        standard_value=int(tons * dice.between(60, 110)) * 100_000,
    )
