"""The word of ten schemes: four tell amounts, six only whether somebody is a member."""

from typing import Final

from sandbox.dice import Dice
from sandbox.facts import Membership, PensionFacts, SurvivorBenefit
from sandbox.holdings.profile import Profile, age_on
from sandbox.persona_holdings import SCHEMES
from sandbox.tables import months_after

_SCHEME_OF: Final = {
    "CIVIL_SERVANT": ("GEPS",),
    "LOCAL_OFFICIAL": ("GEPS", "POBA"),
    "TEACHER": ("GEPS", "KTCU"),
    "PRIVATE_TEACHER": ("TP", "KTCU"),
    "SOLDIER": ("MILITARY", "MMAA"),
    "SCIENTIST": ("NPS", "SEMA"),
    "BUILDER": ("NPS", "CWMA"),
}
_TELLING: Final = {"NPS": 6_300, "GEPS": 10_400, "TP": 10_100, "MILITARY": 11_200}
"""Schemes that tell amounts, with the monthly pension in won that one year of contributions brings, in tens."""


def pensions(about: Profile) -> PensionFacts | None:
    """None for somebody whom no scheme can know; a child's birth may bring a parent months of credit."""
    dice = about.dice("PENSIONS")
    if about.age < 18:
        return _of_a_child(about)
    schemes = set(
        _SCHEME_OF.get(about.occupation, ("NPS",) if about.occupation != "HOMEMAKER" or dice.chance(300) else ())
    )
    if about.occupation == "EMPLOYEE" and dice.chance(420):
        schemes.add("COMWEL")
    if not schemes and dice.chance(500):
        return None
    return PensionFacts(tuple(_membership(about, dice, scheme, member=scheme in schemes) for scheme in SCHEMES))


def _of_a_child(about: Profile) -> PensionFacts | None:
    if about.birth_order is None or about.age >= 9:
        return None
    months = (12, 12, 18)[min(about.birth_order, 3) - 1]
    relations = sorted(relation for _, relation in about.parents)
    parent = about.dice("PENSIONS/credit").pick(relations) if relations else None
    return PensionFacts(tuple(Membership(scheme, "NO") for scheme in SCHEMES), months if parent else None, parent)


def _membership(about: Profile, dice: Dice, scheme: str, *, member: bool) -> Membership:
    if not member:
        return Membership(scheme, "UNKNOWN" if dice.below(2000) == 0 else "NO")
    if scheme not in _TELLING:
        return Membership(scheme, "YES")
    started = dice.between(20, 34)
    pensionable = 63 if scheme == "NPS" else 61
    months = max(1, (min(about.age, 60) - started) * 12 * dice.between(55, 100) // 100)
    receiving = about.age >= pensionable and months >= 120
    monthly = months * _TELLING[scheme] * 10 // 12 // 10 * 10 if receiving else 0
    loan = dice.chance(50 if about.age >= 60 or scheme != "NPS" else 0)
    return Membership(
        scheme=scheme,
        member="YES",
        receiving=receiving,
        contribution_months=months,
        monthly_pension=monthly,
        overpaid_after_death=monthly if about.person.died and dice.chance(250) else 0,
        loan="YES" if loan else "NO",
        loan_outstanding=dice.between(5, 90) * 100_000 if loan else 0,
        survivor_benefits=_survivor_benefits(about, dice, months, monthly, _TELLING[scheme]),
    )


def _survivor_benefits(about: Profile, dice: Dice, months: int, monthly: int, rate: int) -> tuple[SurvivorBenefit, ...]:
    """National Pension Act 72 to 80: 40, 50 or 60 per cent to the first entitled; else a lump sum."""
    died = about.person.died
    if died is None:
        return ()
    until = months_after(died, 60)
    base = monthly or months * rate * 10 // 12
    percent = 40 if months < 120 else 50 if months < 240 else 60
    spouse = about.spouse is not None and (about.spouse.died is None or about.spouse.died > died)
    young = any(age_on(child.born, died) < 25 for child in about.children if child.died is None)
    benefits = []
    if spouse or young:
        claimants = ("SPOUSE",) if spouse else ("CHILD",)
        benefits.append(
            SurvivorBenefit("SURVIVOR_PENSION", claimants, base * percent // 1000 * 10, until, part_of_estate=False)
        )
    else:
        claimants = ("CHILD",) if about.children else ("PARENT",) if about.parents else ("SIBLING",)
        benefits.append(SurvivorBenefit("DEATH_LUMP_SUM", claimants, base * 4, until, part_of_estate=False))
    if monthly and dice.chance(200):
        benefits.append(SurvivorBenefit("UNPAID_PENSION", ("SPOUSE", "CHILD"), monthly, until, part_of_estate=True))
    return tuple(benefits)
