"""Health insurance: coverage, premiums, refunds; for children also screenings, immunizations and check-ups."""

from datetime import date, timedelta

from sandbox.children import checkups, immunizations
from sandbox.dice import Dice, interpolated
from sandbox.facts import Eligibility, HealthFacts, Premium, Refund, Screening
from sandbox.holdings.profile import Profile
from sandbox.tables import months_after


def health(about: Profile) -> HealthFacts | None:
    """None for the few whom the insurer does not know."""
    dice = about.dice("HEALTH")
    if dice.chance(4):
        return None
    kind = _kind(about, dice)
    since = about.person.born if about.age < 20 else about.day(dice, 20)
    died = about.person.died
    eligibility = Eligibility(kind, min(since, about.until), died, "사망" if died else None)
    if about.age < 14:
        return _of_a_child(about, dice, eligibility)
    premiums: tuple[Premium, ...] = ()
    if dice.chance(110 if kind == "REGIONAL" else 8):
        premiums = _premiums(dice, self_employed=about.occupation == "SELF_EMPLOYED")
    refunds = []
    if dice.chance(interpolated(((18, 12), (50, 60), (70, 170), (90, 260)), about.age)):
        claim_by = months_after(about.until, 36)
        refunds.append(Refund("COPAY_CAP_EXCESS", dice.between(20, 3200) * 1000, claim_by))
    if dice.chance(40):
        refunds.append(
            Refund(
                dice.pick(("OVERPAID_PREMIUM", "COPAY_REFUND")),
                dice.between(4, 260) * 1000,
                months_after(about.until, 36),
            )
        )
    return HealthFacts(eligibility=eligibility, premiums=premiums, refunds=tuple(refunds))


def _kind(about: Profile, dice: Dice) -> str:
    if about.wealth < 400 and about.age >= 20 and dice.chance(180):
        return dice.pick(("MEDICAL_AID_1", "MEDICAL_AID_1", "MEDICAL_AID_2"))
    if about.age < 24 or (about.occupation == "HOMEMAKER") or (about.age > 66 and dice.chance(550)):
        return "DEPENDANT"
    if about.occupation in {"SELF_EMPLOYED", "FARMER"} or about.age > 62:
        return "REGIONAL"
    return "EMPLOYEE"


def _premiums(dice: Dice, *, self_employed: bool) -> tuple[Premium, ...]:
    months = dice.between(1, 18)
    due = months * dice.between(30, 240) * 1000
    care = due * 12 // 100 // 10 * 10
    premiums = [
        Premium("HEALTH", due, due * 2 // 100, months),
        Premium("LONG_TERM_CARE", care, care * 2 // 100, months),
    ]
    if self_employed and dice.chance(500):
        pension = months * dice.between(90, 300) * 1000
        premiums.append(Premium("PENSION", pension, pension * 2 // 100, months))
    if self_employed and dice.chance(200):
        premiums.append(
            Premium(dice.pick(("EMPLOYMENT", "INDUSTRIAL_ACCIDENT")), months * dice.between(8, 60) * 1000, 0, months)
        )
    return tuple(premiums)


def _of_a_child(about: Profile, dice: Dice, eligibility: Eligibility) -> HealthFacts:
    """What has been given and taken up to a few weeks ago, as careful as the parents are."""
    born = about.person.born
    seen = about.until - timedelta(days=dice.below(60))
    relations = sorted(relation for _, relation in about.parents)
    dependant_of = dice.pick(relations) if relations and eligibility.kind == "DEPENDANT" else None
    return HealthFacts(
        eligibility=eligibility,
        dependant_of=dependant_of,
        screenings=_screenings(dice, born, seen) if about.age < 3 else (),
        immunizations=immunizations(born, seen),
        checkups=checkups(born, seen) if about.age < 7 else (),
    )


def _screenings(dice: Dice, born: date, seen: date) -> tuple[Screening, ...]:
    screenings = []
    for test, day in (("METABOLIC", 3), ("HEARING", 14), ("CONGENITAL", 4), ("HIP", 40)):
        taken = born + timedelta(days=day + dice.below(6))
        throw = dice.below(1000)
        result = "NORMAL" if throw < 930 else "RECHECK" if throw < 965 else "REFERRED" if throw < 980 else "PENDING"
        screenings.append(Screening(test, taken, result) if taken <= seen else Screening(test, None, None))
    return tuple(screenings)
