"""Money: deposits, debts, securities, insurance and what is kept in custody.

Held by each institution, asked through the Financial Supervisory Service, which deletes its answer after three months.
Amounts are of the day of the inquiry (`answer.asOf`); interest to the day is the institution's to compute.
"""

from datetime import date
from decimal import Decimal

import strawberry

from schema.answer import Section
from schema.choice import Choice
from schema.disclosure import Agency, Disclosure, Sensitivity
from schema.fields import computed
from schema.scalars import Won
from schema.text import Bilingual, InLanguage, Language

_PRESENCE = Disclosure(agency=Agency.FINANCE, sensitivity=Sensitivity.PRESENCE)
_INVENTORY = Disclosure(agency=Agency.FINANCE, sensitivity=Sensitivity.INVENTORY)
_AMOUNT = Disclosure(agency=Agency.FINANCE, sensitivity=Sensitivity.AMOUNT)


@strawberry.type(description="A bank, insurer, broker or card issuer.", directives=[_INVENTORY])
class Institution:
    code: str = strawberry.field(description="Three digits (KFTC) for banks and brokers, else the association's code.")
    name: str = strawberry.field(description="Name to show, in Korean.")
    sector: str = strawberry.field(description="Branch of business, e.g. `BANK`, `INSURANCE`, `SECURITIES`, `CARD`.")
    phone: str | None = strawberry.field(description="Number to call; null when not told.")


@strawberry.type(description="A deposit account.", directives=[_INVENTORY])
class Deposit:
    id: strawberry.ID = strawberry.field(description="Opaque, good for this case only.")
    institution: Institution = strawberry.field(description="Where it is kept.")
    product: str = strawberry.field(description="Kind of account as the institution names it.")
    number_suffix: str | None = strawberry.field(description="Last four digits of the number; null when not told.")
    balance: Won | None = strawberry.field(
        description="Balance in whole won; null when only existence is told.", directives=[_AMOUNT]
    )
    dormant: bool = strawberry.field(description="Whether it was moved to the dormant-deposit fund (휴면예금).")
    jointly_held: bool = strawberry.field(description="Whether others hold it too; the balance is still the whole one.")


@strawberry.type(description="A loan.", directives=[_INVENTORY])
class Loan:
    id: strawberry.ID = strawberry.field(description="Opaque, good for this case only.")
    institution: Institution = strawberry.field(description="The lender.")
    product: str = strawberry.field(description="Kind of loan as the institution names it.")
    principal: Won | None = strawberry.field(
        description="Principal outstanding in whole won; null when only existence is told.", directives=[_AMOUNT]
    )
    interest_due: Won | None = strawberry.field(
        description="Interest due and unpaid in whole won; null when not told.", directives=[_AMOUNT]
    )
    secured: bool = strawberry.field(description="Whether property secures it.")


@strawberry.type(description="Securities kept with a broker.", directives=[_INVENTORY])
class SecurityHolding:
    id: strawberry.ID = strawberry.field(description="Opaque, good for this case only.")
    institution: Institution = strawberry.field(description="The broker.")
    isin: str | None = strawberry.field(description="ISIN (ISO 6166), 12 characters; null for unlisted holdings.")
    name: str = strawberry.field(description="Name of the security.")
    quantity: Decimal = strawberry.field(description="Number of units.")
    market_value: Won | None = strawberry.field(
        description="Value at the closing price of the inquiry day in whole won; null when there is no price.",
        directives=[_AMOUNT],
    )


@strawberry.enum(description="What the person is in an insurance contract.")
class InsuredRole(Choice):
    POLICYHOLDER = strawberry.enum_value("POLICYHOLDER", description="Made the contract and pays for it.")
    INSURED = strawberry.enum_value("INSURED", description="The risk is theirs.")
    BENEFICIARY = strawberry.enum_value("BENEFICIARY", description="Receives the benefit.")


@strawberry.type(description="An insurance contract.", directives=[_INVENTORY])
class InsurancePolicy:
    id: strawberry.ID = strawberry.field(description="Opaque, good for this case only.")
    institution: Institution = strawberry.field(description="The insurer.")
    product: str = strawberry.field(description="Product as the insurer names it.")
    role: InsuredRole = strawberry.field(description="What the person is in the contract.")
    surrender_value: Won | None = strawberry.field(
        description="Refund on surrender (해약환급금) in whole won; null when not told.", directives=[_AMOUNT]
    )
    policy_loan: Won | None = strawberry.field(
        description="Loan taken on the policy in whole won; null when not told.", directives=[_AMOUNT]
    )
    part_of_estate: bool | None = strawberry.field(
        description="False when the benefit goes to a named beneficiary and not to the estate; null when not known."
    )
    beneficiary_name: str | None = strawberry.field(
        description="The named beneficiary, masked for others; null when none is named or not told.",
        directives=[Disclosure(agency=Agency.FINANCE, sensitivity=Sensitivity.INVENTORY, third_party=True)],
    )


@strawberry.type(description="What is owed on cards of one issuer.", directives=[_INVENTORY])
class CardDebt:
    id: strawberry.ID = strawberry.field(description="Opaque, good for this case only.")
    institution: Institution = strawberry.field(description="The issuer.")
    unpaid: Won | None = strawberry.field(
        description="Unpaid in all, instalments included, in whole won; null when not told.", directives=[_AMOUNT]
    )


@strawberry.type(description="A guarantee given for somebody else's debt.", directives=[_INVENTORY])
class Guarantee:
    id: strawberry.ID = strawberry.field(description="Opaque, good for this case only.")
    institution: Institution = strawberry.field(description="The creditor.")
    limit: Won | None = strawberry.field(
        description="Most that can be claimed, in whole won; null when not told.", directives=[_AMOUNT]
    )
    outstanding: Won | None = strawberry.field(
        description="Guaranteed debt outstanding now, in whole won; null when not told.", directives=[_AMOUNT]
    )


@strawberry.type(description="Something kept for the person.", directives=[_INVENTORY])
class CustodyItem:
    id: strawberry.ID = strawberry.field(description="Opaque, good for this case only.")
    institution: Institution = strawberry.field(description="Who keeps it.")
    kind: str = strawberry.field(description="What it is, e.g. `SAFE_BOX`, `UNCLAIMED_SHARES`.")
    location: str | None = strawberry.field(description="Branch or place; null when not told.")


@strawberry.type(description="Money, debts and contracts a deceased person leaves.", directives=[_PRESENCE])
class EstateFinance(Section):
    deposits: list[Deposit] | None = strawberry.field(
        description="Deposit accounts. Null when not known, empty when there are none.", directives=[_INVENTORY]
    )
    loans: list[Loan] | None = strawberry.field(
        description="Loans. Null when not known, empty when there are none.", directives=[_INVENTORY]
    )
    securities: list[SecurityHolding] | None = strawberry.field(
        description="Securities. Null when not known, empty when there are none.", directives=[_INVENTORY]
    )
    insurance: list[InsurancePolicy] | None = strawberry.field(
        description="Insurance contracts. Null when not known, empty when there are none.", directives=[_INVENTORY]
    )
    cards: list[CardDebt] | None = strawberry.field(
        description="Card debts. Null when not known, empty when there are none.", directives=[_INVENTORY]
    )
    guarantees: list[Guarantee] | None = strawberry.field(
        description="Guarantees given. Null when not known, empty when there are none.", directives=[_INVENTORY]
    )
    custody: list[CustodyItem] | None = strawberry.field(
        description="Things in custody. Null when not known, empty when there are none.", directives=[_INVENTORY]
    )


@strawberry.type(description="A voucher held for the child.", directives=[_INVENTORY])
class Voucher:
    id: strawberry.ID = strawberry.field(description="Opaque, good for this case only.")
    balance: Won | None = strawberry.field(
        description="Left to spend in whole won; null when not told.", directives=[_AMOUNT]
    )
    expires_on: date | None = strawberry.field(description="Last day it can be spent; null when it does not expire.")
    name_text: strawberry.Private[Bilingual]

    @computed(description="Name of the voucher, e.g. 첫만남이용권.")
    def name(self, language: InLanguage = Language.KO) -> str:
        return self.name_text.said_in(language or Language.KO)


@strawberry.type(
    description="Vouchers held for the child and accounts that may receive payments.", directives=[_PRESENCE]
)
class BirthFinance(Section):
    vouchers: list[Voucher] | None = strawberry.field(
        description="Vouchers. Null when not known, empty when there are none.", directives=[_INVENTORY]
    )
    payout_accounts: list[Deposit] | None = strawberry.field(
        description="Parents' accounts that may receive payments. Null when not known, empty when there are none.",
        directives=[_INVENTORY],
    )
