"""Health insurance: coverage, premiums and refunds; for a child also screenings, immunizations and check-ups.

Held by the National Health Insurance Service, which collects all social-insurance premiums. Never modelled: cause of
death, diagnoses, prescriptions, the identity behind a protected birth.
"""

from datetime import date

import strawberry

from schema.answer import Section
from schema.choice import Choice
from schema.disclosure import Agency, Disclosure, Sensitivity
from schema.person import ParentRelation
from schema.scalars import Won

_PRESENCE = Disclosure(agency=Agency.HEALTH, sensitivity=Sensitivity.PRESENCE)
_INVENTORY = Disclosure(agency=Agency.HEALTH, sensitivity=Sensitivity.INVENTORY)
_AMOUNT = Disclosure(agency=Agency.HEALTH, sensitivity=Sensitivity.AMOUNT)
_SPECIAL = Disclosure(agency=Agency.HEALTH, sensitivity=Sensitivity.SPECIAL)


@strawberry.enum(description="How somebody is insured.")
class InsuranceKind(Choice):
    EMPLOYEE = strawberry.enum_value("EMPLOYEE", description="Through employment (직장가입자).")
    REGIONAL = strawberry.enum_value("REGIONAL", description="By residence (지역가입자).")
    DEPENDANT = strawberry.enum_value("DEPENDANT", description="With somebody else's insurance (피부양자).")
    MEDICAL_AID_1 = strawberry.enum_value("MEDICAL_AID_1", description="Medical aid, class 1 (의료급여 1종).")
    MEDICAL_AID_2 = strawberry.enum_value("MEDICAL_AID_2", description="Medical aid, class 2 (의료급여 2종).")


@strawberry.type(description="Coverage by health insurance or medical aid.", directives=[_INVENTORY])
class InsuranceEligibility:
    kind: InsuranceKind = strawberry.field(description="How the person is insured.")
    valid_from: date = strawberry.field(description="First day of coverage.")
    valid_until: date | None = strawberry.field(description="Last day of coverage; null while it goes on.")
    loss_reason: str | None = strawberry.field(
        description="Why coverage ended; null while it goes on or when not told."
    )


@strawberry.enum(description="A social insurance whose premiums the service collects.")
class SocialInsurance(Choice):
    HEALTH = strawberry.enum_value("HEALTH", description="Health insurance (건강보험).")
    LONG_TERM_CARE = strawberry.enum_value("LONG_TERM_CARE", description="Long-term care insurance (장기요양보험).")
    PENSION = strawberry.enum_value("PENSION", description="National pension (국민연금).")
    EMPLOYMENT = strawberry.enum_value("EMPLOYMENT", description="Employment insurance (고용보험).")
    INDUSTRIAL_ACCIDENT = strawberry.enum_value(
        "INDUSTRIAL_ACCIDENT", description="Industrial accident insurance (산재보험)."
    )


@strawberry.type(description="Premiums of one insurance that were not paid.", directives=[_AMOUNT])
class SocialPremium:
    insurance: SocialInsurance = strawberry.field(description="The insurance.")
    unpaid: Won | None = strawberry.field(description="Unpaid in whole won, without surcharge; null when not told.")
    surcharge: Won | None = strawberry.field(description="Late-payment surcharge in whole won; null when not told.")
    months: int = strawberry.field(description="Number of months unpaid.")


@strawberry.enum(description="What a refund is for.")
class HealthRefundKind(Choice):
    COPAY_CAP_EXCESS = strawberry.enum_value(
        "COPAY_CAP_EXCESS", description="Co-payments above the yearly ceiling (본인부담상한액초과금)."
    )
    OVERPAID_PREMIUM = strawberry.enum_value("OVERPAID_PREMIUM", description="Premiums paid too much.")
    COPAY_REFUND = strawberry.enum_value("COPAY_REFUND", description="Co-payments charged wrongly (본인부담금환급금).")


@strawberry.type(description="Money the insurer pays back on request.", directives=[_INVENTORY])
class HealthRefund:
    kind: HealthRefundKind = strawberry.field(description="What it is for.")
    amount: Won | None = strawberry.field(description="In whole won; null when not told.", directives=[_AMOUNT])
    claim_by: date | None = strawberry.field(description="Last day to claim; null when not told.")


@strawberry.type(description="Coverage, unpaid premiums and refunds of a deceased person.", directives=[_PRESENCE])
class EstateHealth(Section):
    eligibility: InsuranceEligibility | None = strawberry.field(
        description="Last coverage; null when not known or there was none.", directives=[_INVENTORY]
    )
    unpaid_premiums: list[SocialPremium] | None = strawberry.field(
        description="Unpaid premiums. Null when not known, empty when there are none.", directives=[_AMOUNT]
    )
    refunds: list[HealthRefund] | None = strawberry.field(
        description="Refunds to claim. Null when not known, empty when there are none.", directives=[_INVENTORY]
    )


@strawberry.enum(description="A newborn screening.")
class ScreeningTest(Choice):
    METABOLIC = strawberry.enum_value("METABOLIC", description="Inborn errors of metabolism.")
    HEARING = strawberry.enum_value("HEARING", description="Hearing.")
    CONGENITAL = strawberry.enum_value("CONGENITAL", description="Congenital anomalies.")
    HIP = strawberry.enum_value("HIP", description="Hip dysplasia.")


@strawberry.enum(description="How a screening came out.")
class ScreeningResult(Choice):
    NORMAL = strawberry.enum_value("NORMAL", description="Nothing found.")
    RECHECK = strawberry.enum_value("RECHECK", description="To be repeated.")
    REFERRED = strawberry.enum_value("REFERRED", description="Sent on to a specialist.")
    PENDING = strawberry.enum_value("PENDING", description="Taken; the result is awaited.")


@strawberry.type(description="A screening of the newborn.", directives=[_SPECIAL])
class Screening:
    test: ScreeningTest = strawberry.field(description="What was screened for.")
    taken_on: date | None = strawberry.field(description="Day it was taken; null when not yet.")
    result: ScreeningResult | None = strawberry.field(description="How it came out; null when not taken yet.")


@strawberry.type(description="One dose of the national immunization schedule.", directives=[_SPECIAL])
class Immunization:
    vaccine: str = strawberry.field(description="Short name of the vaccine, e.g. `HEPB`, `BCG`, `DTAP`.")
    dose: int = strawberry.field(description="Number of the dose, from 1.")
    given_on: date | None = strawberry.field(description="Day it was given; null when not yet.")
    due_from: date | None = strawberry.field(description="First day it is due; null when given before the schedule.")
    due_until: date | None = strawberry.field(description="Last recommended day; null when there is none.")


@strawberry.type(description="One round of the infant check-ups (영유아건강검진).", directives=[_SPECIAL])
class Checkup:
    round: int = strawberry.field(description="Number of the round, from 1.")
    due_from: date = strawberry.field(description="First day it can be taken.")
    due_until: date = strawberry.field(description="Last day it can be taken free of charge.")
    taken_on: date | None = strawberry.field(description="Day it was taken; null when not yet.")


@strawberry.type(description="Coverage of the child, and what is done for its health.", directives=[_PRESENCE])
class BirthHealth(Section):
    eligibility: InsuranceEligibility | None = strawberry.field(
        description="The child's coverage; null when not registered yet or not known.", directives=[_INVENTORY]
    )
    dependant_of: ParentRelation | None = strawberry.field(
        description="The parent with whom the child is insured; null when not registered yet or not known.",
        directives=[_INVENTORY],
    )
    screenings: list[Screening] | None = strawberry.field(
        description="Newborn screenings. Null when not known, empty when there are none.", directives=[_SPECIAL]
    )
    immunizations: list[Immunization] | None = strawberry.field(
        description="Doses given and due. Null when not known, empty when there are none.", directives=[_SPECIAL]
    )
    checkups: list[Checkup] | None = strawberry.field(
        description="Check-ups taken and due. Null when not known, empty when there are none.", directives=[_SPECIAL]
    )
