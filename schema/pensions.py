"""Pensions and mutual aid: memberships in ten schemes and what survivors may claim.

Held by each scheme. Some say only whether somebody was a member or had a loan; the amounts are then null.
"""

from collections.abc import Mapping
from datetime import date
from typing import Final

import strawberry

from schema.answer import KnownFact, Section
from schema.choice import Choice
from schema.disclosure import Agency, Disclosure, Sensitivity
from schema.fields import computed
from schema.person import ParentRelation, Relation
from schema.scalars import Won
from schema.text import Bilingual, InLanguage, Language

_PRESENCE = Disclosure(agency=Agency.PENSIONS, sensitivity=Sensitivity.PRESENCE)
_INVENTORY = Disclosure(agency=Agency.PENSIONS, sensitivity=Sensitivity.INVENTORY)
_AMOUNT = Disclosure(agency=Agency.PENSIONS, sensitivity=Sensitivity.AMOUNT)


@strawberry.enum(description="A pension or mutual-aid scheme.")
class PensionScheme(Choice):
    NPS = strawberry.enum_value("NPS", description="National pension (국민연금).")
    GEPS = strawberry.enum_value("GEPS", description="Civil servants' pension (공무원연금).")
    TP = strawberry.enum_value("TP", description="Private-school teachers' pension (사학연금).")
    MILITARY = strawberry.enum_value("MILITARY", description="Military pension (군인연금).")
    COMWEL = strawberry.enum_value("COMWEL", description="Retirement pension of COMWEL (근로복지공단 퇴직연금).")
    CWMA = strawberry.enum_value(
        "CWMA", description="Construction workers' retirement mutual aid (건설근로자퇴직공제)."
    )
    POBA = strawberry.enum_value("POBA", description="Local administration mutual aid (대한지방행정공제회).")
    MMAA = strawberry.enum_value("MMAA", description="Military mutual aid (군인공제회).")
    SEMA = strawberry.enum_value("SEMA", description="Scientists' and engineers' mutual aid (과학기술인공제회).")
    KTCU = strawberry.enum_value("KTCU", description="Teachers' credit union (한국교직원공제회).")


SCHEME_NAMES: Final[Mapping[PensionScheme, Bilingual]] = {
    PensionScheme.NPS: Bilingual("국민연금", "National Pension"),
    PensionScheme.GEPS: Bilingual("공무원연금", "Government Employees Pension"),
    PensionScheme.TP: Bilingual("사립학교교직원연금", "Private School Teachers' Pension"),
    PensionScheme.MILITARY: Bilingual("군인연금", "Military Pension"),
    PensionScheme.COMWEL: Bilingual("근로복지공단 퇴직연금", "COMWEL Retirement Pension"),
    PensionScheme.CWMA: Bilingual("건설근로자 퇴직공제", "Construction Workers' Retirement Mutual Aid"),
    PensionScheme.POBA: Bilingual("대한지방행정공제회", "Public Officials Benefit Association"),
    PensionScheme.MMAA: Bilingual("군인공제회", "Military Mutual Aid Association"),
    PensionScheme.SEMA: Bilingual("과학기술인공제회", "Scientists and Engineers Mutual-aid Association"),
    PensionScheme.KTCU: Bilingual("한국교직원공제회", "Korean Teachers' Credit Union"),
}


@strawberry.enum(description="What survivors may claim from a scheme.")
class SurvivorBenefitKind(Choice):
    SURVIVOR_PENSION = strawberry.enum_value("SURVIVOR_PENSION", description="Monthly survivor pension (유족연금).")
    REFUND_LUMP_SUM = strawberry.enum_value("REFUND_LUMP_SUM", description="Refund of contributions (반환일시금).")
    DEATH_LUMP_SUM = strawberry.enum_value("DEATH_LUMP_SUM", description="Lump sum on death (사망일시금).")
    UNPAID_PENSION = strawberry.enum_value("UNPAID_PENSION", description="Pension due but not paid out (미지급급여).")
    MUTUAL_AID_PAYOUT = strawberry.enum_value("MUTUAL_AID_PAYOUT", description="Payout of a mutual-aid account.")


@strawberry.type(description="A benefit that survivors may claim.", directives=[_AMOUNT])
class SurvivorBenefit:
    kind: SurvivorBenefitKind = strawberry.field(description="What it is.")
    claimants: list[Relation] = strawberry.field(description="Who may claim, in order of precedence.")
    estimate: Won | None = strawberry.field(
        description="The scheme's estimate in whole won, per month for a pension; null when it gives none."
    )
    claim_by: date | None = strawberry.field(description="Last day to claim; null when not known.")
    part_of_estate: bool = strawberry.field(
        description="Whether it belongs to the estate; mostly it is the survivor's own right and does not."
    )


@strawberry.type(description="What one scheme says about the person.", directives=[_INVENTORY])
class PensionMembership:
    scheme: PensionScheme = strawberry.field(description="The scheme.")
    member: KnownFact = strawberry.field(description="Whether the person is or was a member.")
    receiving: bool | None = strawberry.field(description="Whether a pension was being paid; null when not told.")
    contribution_months: int | None = strawberry.field(description="Months contributed; null when not told.")
    monthly_pension: Won | None = strawberry.field(
        description="Pension per month in whole won; null when none is paid or it is not told.", directives=[_AMOUNT]
    )
    overpaid_after_death: Won | None = strawberry.field(
        description="Paid after death and to be returned, in whole won; null when not told.", directives=[_AMOUNT]
    )
    loan: KnownFact = strawberry.field(description="Whether the person has a loan from the scheme.")
    loan_outstanding: Won | None = strawberry.field(
        description="Loan outstanding in whole won; null when there is none or it is not told.", directives=[_AMOUNT]
    )
    survivor_benefits: list[SurvivorBenefit] | None = strawberry.field(
        description="What survivors may claim. Null when not known, empty when there is nothing.", directives=[_AMOUNT]
    )

    @computed(description="Name of the scheme to show.")
    def scheme_name(self, language: InLanguage = Language.KO) -> str:
        return SCHEME_NAMES[self.scheme].said_in(language or Language.KO)


@strawberry.type(description="Pensions and mutual aid of a deceased person.", directives=[_PRESENCE])
class EstatePensions(Section):
    memberships: list[PensionMembership] | None = strawberry.field(
        description="One for each scheme that said something other than no. "
        "Null when not known, empty when every scheme says no.",
        directives=[_INVENTORY],
    )


@strawberry.type(description="Pension credit that the birth brings a parent (출산크레딧).", directives=[_PRESENCE])
class BirthPensions(Section):
    credit_months: int | None = strawberry.field(
        description="Months credited to the national pension; null when not known.", directives=[_INVENTORY]
    )
    credited_parent: ParentRelation | None = strawberry.field(
        description="The parent who is credited; null when not chosen yet or not known.", directives=[_INVENTORY]
    )
