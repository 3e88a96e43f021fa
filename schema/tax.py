"""Tax: what is owed, falls due, or comes back; and credits for a child.

Held by the National Tax Service (national) and the municipalities (local).
"""

from datetime import date

import strawberry

from schema.answer import Section
from schema.choice import Choice
from schema.disclosure import Agency, Disclosure, Sensitivity
from schema.scalars import Won

_PRESENCE = Disclosure(agency=Agency.TAX, sensitivity=Sensitivity.PRESENCE)
_INVENTORY = Disclosure(agency=Agency.TAX, sensitivity=Sensitivity.INVENTORY)
_AMOUNT = Disclosure(agency=Agency.TAX, sensitivity=Sensitivity.AMOUNT)


@strawberry.enum(description="Who levies a tax.")
class TaxLevel(Choice):
    NATIONAL = strawberry.enum_value("NATIONAL", description="National tax (국세).")
    LOCAL = strawberry.enum_value("LOCAL", description="Local tax (지방세).")


@strawberry.enum(description="Where a tax item stands.")
class TaxState(Choice):
    ARREARS = strawberry.enum_value("ARREARS", description="Overdue (체납).")
    NOT_YET_DUE = strawberry.enum_value("NOT_YET_DUE", description="Assessed, to be paid by `dueOn`.")
    PAID = strawberry.enum_value("PAID", description="Paid.")
    REFUNDABLE = strawberry.enum_value("REFUNDABLE", description="Too much was paid; can be claimed back (환급).")
    DEFERRED = strawberry.enum_value("DEFERRED", description="Deferred or paid by instalments.")


@strawberry.type(description="One tax of one period.", directives=[_INVENTORY])
class TaxItem:
    id: strawberry.ID = strawberry.field(description="Opaque, good for this case only.")
    level: TaxLevel = strawberry.field(description="National or local.")
    tax: str = strawberry.field(description="Name of the tax, e.g. 종합소득세, 재산세.")
    period: str = strawberry.field(description="Period as the authority writes it, e.g. `2025` or `2025-09`.")
    authority: str = strawberry.field(description="Tax office or municipality to turn to.")
    state: TaxState = strawberry.field(description="Where it stands.")
    assessed: Won | None = strawberry.field(
        description="Assessed in whole won; null when not told.", directives=[_AMOUNT]
    )
    arrears: Won | None = strawberry.field(
        description="Overdue in whole won, without surcharge; null when not told.", directives=[_AMOUNT]
    )
    surcharge: Won | None = strawberry.field(
        description="Late-payment surcharge so far in whole won; null when not told.", directives=[_AMOUNT]
    )
    refundable: Won | None = strawberry.field(
        description="Can be claimed back in whole won; null when not told.", directives=[_AMOUNT]
    )
    due_on: date | None = strawberry.field(description="Day it was or is due; null when not told.")


@strawberry.type(
    description="Taxes of a deceased person. Heirs owe them up to what they inherit.", directives=[_PRESENCE]
)
class EstateTax(Section):
    items: list[TaxItem] | None = strawberry.field(
        description="Tax items. Null when not known, empty when there are none.", directives=[_INVENTORY]
    )


@strawberry.type(description="Income-tax credits that follow from the child.", directives=[_PRESENCE])
class BirthTax(Section):
    child_tax_credit: Won | None = strawberry.field(
        description="Credit for the child per year (자녀세액공제) in whole won; null when not known.",
        directives=[_AMOUNT],
    )
    birth_tax_credit: Won | None = strawberry.field(
        description="Credit for the year of birth (출산·입양세액공제) in whole won; null when not known.",
        directives=[_AMOUNT],
    )
