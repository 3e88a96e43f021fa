"""Banks, insurers, brokers and card issuers through the inquiry service: a ticket first, the answer later.

Source: docs/wire/. An inquiry is opened once per idempotency key and polled by its ticket, or answered by a signed
callback. The service deletes its answer after three months; the body that answered is handed back (`Answered.kept`) for
our own store, and `read_estate` and `read_birth` make the section of it again without asking, with the rights of then.
"""

import asyncio
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.registry import HeaderParameter
from msgspec import Meta, Struct
from msgspec.structs import replace

from connectors import guard
from connectors.connector import Answered, Asked, Connector, Speed, Ticket
from connectors.guard import Desk, Late, Mismatch, NoneHeld, allowed, attempt, settled
from connectors.jwks import Jwks
from connectors.transport import (
    BODY_LIMIT,
    AgencyError,
    Transport,
    Unavailable,
    Unreadable,
    WireReply,
    random_uuid,
)
from schema.answer import Answer, AnswerProblem, AnswerStatus
from schema.disclosure import Agency
from schema.finance import (
    BirthFinance,
    CardDebt,
    CustodyItem,
    Deposit,
    EstateFinance,
    Guarantee,
    Institution,
    InsurancePolicy,
    InsuredRole,
    Loan,
    SecurityHolding,
    Voucher,
)
from schema.identifiers import SectorId
from schema.scalars import Won
from schema.text import Bilingual

SOURCE: Final = "Financial Supervisory Service"
LONGEST_CALLBACK_AGE_S: Final = 600
CLOCK_SKEW_S: Final = 60
LONGEST_SIGNATURE: Final = 2048
ESTATE_LISTS: Final = ("deposits", "loans", "securities", "insurance", "cards", "guarantees", "custody")

guard.PROBLEMS.update(
    UNKNOWN_TICKET=Bilingual("기관이 조회 번호를 알지 못합니다.", "The agency does not know the inquiry any more."),
    DELETED=Bilingual("기관이 응답을 삭제했습니다.", "The agency has deleted its answer."),
)

# ---------------------------------------------------------------- the wire

_Reference = Annotated[str, Meta(min_length=1, max_length=200)]
_TicketText = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_\-]{1,128}$")]
_Instant = Annotated[datetime, Meta(tz=True)]
_Word = Annotated[str, Meta(min_length=1, max_length=200)]
_Balance = Annotated[int, Meta(ge=-(2**53) + 1, le=2**53 - 1)]
_Price = Annotated[int, Meta(ge=0, le=2**53 - 1)]


class _Institution(Struct, frozen=True):
    code: _Word
    name: _Word
    sector: _Word
    phone: str | None = None


class _Deposit(Struct, frozen=True, rename="camel"):
    reference: _Reference
    product: _Word
    dormant: bool
    jointly_held: bool
    number_suffix: Annotated[str, Meta(pattern="^[0-9]{1,4}$")] | None = None
    balance: _Balance | None = None


class _Loan(Struct, frozen=True, rename="camel"):
    reference: _Reference
    product: _Word
    secured: bool
    principal: _Price | None = None
    interest_due: _Price | None = None


class _Security(Struct, frozen=True, rename="camel"):
    reference: _Reference
    name: _Word
    quantity: str
    isin: Annotated[str, Meta(pattern="^[A-Z]{2}[A-Z0-9]{9}[0-9]$")] | None = None
    market_value: _Price | None = None


class _Policy(Struct, frozen=True, rename="camel"):
    reference: _Reference
    product: _Word
    role: InsuredRole
    surrender_value: _Price | None = None
    policy_loan: _Price | None = None
    part_of_estate: bool | None = None
    beneficiary_name: str | None = None


class _Card(Struct, frozen=True):
    reference: _Reference
    unpaid: _Balance | None = None


class _Guarantee(Struct, frozen=True):
    reference: _Reference
    limit: _Price | None = None
    outstanding: _Price | None = None


class _Custody(Struct, frozen=True):
    reference: _Reference
    kind: _Word
    location: str | None = None


class _Voucher(Struct, frozen=True, rename="camel"):
    reference: _Reference
    name_ko: _Word
    name_en: _Word
    balance: _Price | None = None
    expires_on: date | None = None


class _Part(Struct, frozen=True, rename="camel"):
    """What one institution says; one that failed says nothing."""

    person_id: str
    institution: _Institution
    state: Literal["COMPLETE", "FAILED"]
    error: Annotated[str, Meta(pattern="^[A-Z][A-Z0-9_]{0,63}$")] | None = None
    deposits: list[_Deposit] | None = None
    loans: list[_Loan] | None = None
    securities: list[_Security] | None = None
    insurance: list[_Policy] | None = None
    cards: list[_Card] | None = None
    guarantees: list[_Guarantee] | None = None
    custody: list[_Custody] | None = None
    vouchers: list[_Voucher] | None = None

    def records(self) -> list[tuple[str, str]]:
        """Kind and reference of everything listed."""
        return [(name, one.reference) for name in (*ESTATE_LISTS, "vouchers") for one in getattr(self, name) or ()]


class _Inquiry(Struct, frozen=True, rename="camel"):
    request_id: str
    person_id: str
    ticket: _TicketText
    visible_until: _Instant
    as_of: _Instant
    parts: list[_Part]


class _Opened(Struct, frozen=True, rename="camel"):
    request_id: str
    person_id: str
    ticket: _TicketText
    expected_by: date


class _Word404(Struct, frozen=True):
    error: str | None = None


_INQUIRY: Final = msgspec.json.Decoder(_Inquiry)
_OPENED: Final = msgspec.json.Decoder(_Opened)
_ERROR: Final = msgspec.json.Decoder(_Word404)


class DeletedError(AgencyError):
    """The agency's time to keep the answer is over."""


def _inquiry(body: bytes, person: SectorId, ticket: str | None) -> _Inquiry:
    """Parse an answer and check whom it is about, in every part. `ticket` is None where we do not remember one."""
    inquiry = guard.decoded(body, _INQUIRY)
    guard.same_person(inquiry.person_id, person)
    if ticket is not None and inquiry.ticket != ticket:
        raise Mismatch("OTHER_REQUEST")
    for part in inquiry.parts:
        guard.same_person(part.person_id, person)
        if part.state == "FAILED" and part.records():
            raise Unreadable("CONTRADICTION")
    guard.distinct([part.institution.code for part in inquiry.parts])
    records = [(part.institution.code, *record) for part in inquiry.parts for record in part.records()]
    guard.within_limit(max(len(records), len(inquiry.parts)))
    guard.distinct(["\n".join(record) for record in records])
    return inquiry


def _failed(part: _Part) -> AnswerProblem:
    name = part.institution.name
    return AnswerProblem(
        code=part.error or "INSTITUTION_FAILED",
        institution=name,
        message_text=Bilingual(
            f"{name}의 보유 내역을 아직 알 수 없습니다.", f"What {name} holds is not known: it did not answer."
        ),
    )


# ---------------------------------------------------------------- wire to values


def _won(value: int | None) -> Won | None:
    return None if value is None else Won(value)


@dataclass(frozen=True, slots=True)
class _Clerk:
    """Turns one institution's records into values, as far as they may be read."""

    asked: Asked
    wire: _Institution

    @property
    def institution(self) -> Institution:
        phone = allowed(self.asked, "Institution.phone", self.wire.phone)
        return Institution(code=self.wire.code, name=self.wire.name, sector=self.wire.sector, phone=phone)

    def id(self, kind: str, reference: str) -> Any:
        return self.asked.seal(kind, f"{self.wire.code}/{reference}")

    def deposit(self, wire: _Deposit) -> Deposit:
        return Deposit(
            id=self.id("Deposit", wire.reference),
            institution=self.institution,
            product=wire.product,
            number_suffix=allowed(self.asked, "Deposit.numberSuffix", wire.number_suffix),
            balance=allowed(self.asked, "Deposit.balance", _won(wire.balance)),
            dormant=wire.dormant,
            jointly_held=wire.jointly_held,
        )

    def loan(self, wire: _Loan) -> Loan:
        return Loan(
            id=self.id("Loan", wire.reference),
            institution=self.institution,
            product=wire.product,
            principal=allowed(self.asked, "Loan.principal", _won(wire.principal)),
            interest_due=allowed(self.asked, "Loan.interestDue", _won(wire.interest_due)),
            secured=wire.secured,
        )

    def security(self, wire: _Security) -> SecurityHolding:
        return SecurityHolding(
            id=self.id("SecurityHolding", wire.reference),
            institution=self.institution,
            isin=allowed(self.asked, "SecurityHolding.isin", wire.isin),
            name=wire.name,
            quantity=guard.decimal(wire.quantity),
            market_value=allowed(self.asked, "SecurityHolding.marketValue", _won(wire.market_value)),
        )

    def policy(self, wire: _Policy) -> InsurancePolicy:
        of = "InsurancePolicy"
        return InsurancePolicy(
            id=self.id(of, wire.reference),
            institution=self.institution,
            product=wire.product,
            role=wire.role,
            surrender_value=allowed(self.asked, f"{of}.surrenderValue", _won(wire.surrender_value)),
            policy_loan=allowed(self.asked, f"{of}.policyLoan", _won(wire.policy_loan)),
            part_of_estate=allowed(self.asked, f"{of}.partOfEstate", wire.part_of_estate),
            beneficiary_name=guard.shown(self.asked, f"{of}.beneficiaryName", wire.beneficiary_name),
        )

    def card(self, wire: _Card) -> CardDebt:
        return CardDebt(
            id=self.id("CardDebt", wire.reference),
            institution=self.institution,
            unpaid=allowed(self.asked, "CardDebt.unpaid", _won(wire.unpaid)),
        )

    def guarantee(self, wire: _Guarantee) -> Guarantee:
        return Guarantee(
            id=self.id("Guarantee", wire.reference),
            institution=self.institution,
            limit=allowed(self.asked, "Guarantee.limit", _won(wire.limit)),
            outstanding=allowed(self.asked, "Guarantee.outstanding", _won(wire.outstanding)),
        )

    def custody(self, wire: _Custody) -> CustodyItem:
        return CustodyItem(
            id=self.id("CustodyItem", wire.reference),
            institution=self.institution,
            kind=wire.kind,
            location=allowed(self.asked, "CustodyItem.location", wire.location),
        )

    def voucher(self, wire: _Voucher) -> Voucher:
        return Voucher(
            id=self.id("Voucher", wire.reference),
            balance=allowed(self.asked, "Voucher.balance", _won(wire.balance)),
            expires_on=allowed(self.asked, "Voucher.expiresOn", wire.expires_on),
            name_text=Bilingual(wire.name_ko, wire.name_en),
        )


_Wire = TypeVar("_Wire")
_Value = TypeVar("_Value")


def _listed(
    asked: Asked,
    coordinate: str,
    inquiries: Iterable[_Inquiry],
    records: Callable[[_Part], list[_Wire] | None],
    value: Callable[[_Clerk, _Wire], _Value],
    *,
    whole: bool = True,
) -> list[_Value] | None:
    """One kind of record from all institutions that answered; None where it may not be read.

    None, too, where nobody who answered holds one while others did not answer: an empty list would say that there is
    none, and an heir would believe it. `whole` is False when a whole inquiry is missing besides.
    """
    if not asked.may_read(coordinate):
        return None
    parts = [part for inquiry in inquiries for part in inquiry.parts]
    found = [value(_Clerk(asked, part.institution), one) for part in parts for one in records(part) or ()]
    missing = not whole or any(part.state == "FAILED" for part in parts)
    return None if missing and not found else found


def _status(parts: Sequence[_Part]) -> AnswerStatus:
    """What the institutions' answers come to. Raises nothing: all failed is UNAVAILABLE here."""
    failed = [part for part in parts if part.state == "FAILED"]
    if failed:
        return AnswerStatus.UNAVAILABLE if len(failed) == len(parts) else AnswerStatus.PARTIAL
    return AnswerStatus.COMPLETE if any(part.records() for part in parts) else AnswerStatus.NONE_HELD


def _estate_unknown(answer: Answer) -> EstateFinance:
    return EstateFinance(answer=answer, **dict.fromkeys(ESTATE_LISTS))


def _estate_section(asked: Asked, answer: Answer, inquiries: Sequence[_Inquiry]) -> EstateFinance:
    of = "EstateFinance"
    return EstateFinance(
        answer=answer,
        deposits=_listed(asked, f"{of}.deposits", inquiries, lambda part: part.deposits, _Clerk.deposit),
        loans=_listed(asked, f"{of}.loans", inquiries, lambda part: part.loans, _Clerk.loan),
        securities=_listed(asked, f"{of}.securities", inquiries, lambda part: part.securities, _Clerk.security),
        insurance=_listed(asked, f"{of}.insurance", inquiries, lambda part: part.insurance, _Clerk.policy),
        cards=_listed(asked, f"{of}.cards", inquiries, lambda part: part.cards, _Clerk.card),
        guarantees=_listed(asked, f"{of}.guarantees", inquiries, lambda part: part.guarantees, _Clerk.guarantee),
        custody=_listed(asked, f"{of}.custody", inquiries, lambda part: part.custody, _Clerk.custody),
    )


def _birth_unknown(answer: Answer) -> BirthFinance:
    return BirthFinance(answer=answer, vouchers=None, payout_accounts=None)


# ---------------------------------------------------------------- one person's inquiry


def _error(reply: WireReply) -> str | None:
    try:
        return guard.decoded(reply.body, _ERROR).error
    except Unreadable:
        return None


@dataclass(slots=True)
class _Visit:
    """One person's inquiry: what was known of it before, and what is known of it now."""

    person: SectorId
    scope: Literal["ESTATE", "BIRTH"]
    idempotency: str
    ticket: Ticket | None
    body: bytes | None = None
    """The body that answered, once it did and was believed."""

    async def inquiry(self, transport: Transport, asked: Asked, deadline: float) -> _Inquiry:
        """Open the inquiry unless it is, and ask for its answer. The ticket is kept also when the asking then fails."""
        if self.ticket is None:
            self.ticket = await self._opened(transport, asked, deadline)
        reply = await transport.request(
            "GET", f"/v1/inquiries/{self.ticket.reference}", purpose=asked.purpose, case=asked.case, deadline=deadline
        )
        error = _error(reply) if reply.status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE) else None
        match reply.status, error:
            case HTTPStatus.ACCEPTED, _:
                self.ticket = self._ticket(reply, self.ticket.reference)
                raise Late(self.ticket.expected_by, self.ticket.reference)
            case HTTPStatus.GONE, "DELETED":
                self.ticket = None
                raise DeletedError("DELETED")
            case HTTPStatus.NOT_FOUND, "UNKNOWN_TICKET":
                self.ticket = None
                raise Unavailable("UNKNOWN_TICKET")
        body = guard.facts(reply, self.person)
        inquiry = _inquiry(body, self.person, self.ticket.reference)
        guard.same_request(inquiry.request_id, reply.request_id)
        self.body = body
        return inquiry

    async def _opened(self, transport: Transport, asked: Asked, deadline: float) -> Ticket:
        request_id = random_uuid()
        question = {
            "requestId": request_id,
            "personId": self.person,
            "scope": self.scope,
            "callbackUrl": asked.callback_url,
        }
        reply = await transport.request(
            "POST",
            "/v1/inquiries",
            purpose=asked.purpose,
            case=asked.case,
            headers={"Content-Type": "application/json", "Idempotency-Key": self.idempotency},
            body=msgspec.json.encode(question),
            request_id=request_id,
            deadline=deadline,
        )
        if reply.status == HTTPStatus.ACCEPTED:
            return self._ticket(reply, None)
        guard.facts(reply, self.person)
        raise Unavailable("NOT_AN_ANSWER")  # an answer without a ticket

    def _ticket(self, reply: WireReply, reference: str | None) -> Ticket:
        opened = guard.decoded(reply.body, _OPENED)
        guard.same_request(opened.request_id, reply.request_id)
        guard.same_person(opened.person_id, self.person)
        if reference is not None and opened.ticket != reference:
            raise Mismatch("OTHER_REQUEST")
        return Ticket(opened.ticket, opened.expected_by)


# ---------------------------------------------------------------- a deceased person


def _estate_answered(desk: Desk, asked: Asked, inquiry: _Inquiry) -> Answered[EstateFinance]:
    status = _status(inquiry.parts)
    answer = desk.answer(
        asked,
        status,
        reference=inquiry.ticket,
        as_of=inquiry.as_of,
        visible_until=inquiry.visible_until,
        problems=[_failed(part) for part in inquiry.parts if part.state == "FAILED"],
    )
    known = status is not AnswerStatus.UNAVAILABLE
    return Answered(_estate_section(asked, answer, [inquiry]) if known else _estate_unknown(answer), answer)


def _estate_nothing(asked: Asked) -> Callable[[Answer], EstateFinance]:
    return lambda answer: _estate_section(asked, answer, [])


def estate(transport: Transport, clock: Callable[[], datetime]) -> Connector[EstateFinance]:
    """What institutions hold of a deceased person, and what is owed to them."""
    desk = Desk(Agency.FINANCE, SOURCE, clock)

    async def one(asked: Asked) -> Answered[EstateFinance]:
        if not asked.may_read(*(f"EstateFinance.{name}" for name in ESTATE_LISTS)):
            return desk.not_asked(_estate_unknown)
        visit = _Visit(asked.person, "ESTATE", asked.idempotency, asked.ticket)

        async def work() -> Answered[EstateFinance]:
            try:
                inquiry = await visit.inquiry(transport, asked, transport.deadline())
            except DeletedError as error:
                answer = desk.answer(asked, AnswerStatus.EXPIRED, problems=[guard.problem(error.code)])
                return Answered(_estate_unknown(answer), answer)
            answered = _estate_answered(desk, asked, inquiry)
            known = answered.answer.status is not AnswerStatus.UNAVAILABLE
            return replace(answered, kept=visit.body if known else None)

        answered = await settled(
            desk,
            asked,
            work(),
            unknown=_estate_unknown,
            nothing=_estate_nothing(asked),
            drop_pool=transport.drop_pool,
        )
        return replace(answered, ticket=visit.ticket)

    async def fetch(many: Sequence[Asked]) -> Sequence[Answered[EstateFinance]]:
        return await asyncio.gather(*(one(asked) for asked in many))

    return Connector(Agency.FINANCE, Speed.WEEKS, SOURCE, EstateFinance, fetch)


async def read_estate(
    kept: bytes, asked: Asked, *, requested_at: datetime, retrieved_at: datetime
) -> Answered[EstateFinance]:
    """Turn the body of an answer or a callback into the section again, with what may be read now. Nobody is asked."""
    desk = Desk(Agency.FINANCE, SOURCE, lambda: retrieved_at)

    async def work() -> Answered[EstateFinance]:
        ticket = None if asked.ticket is None else asked.ticket.reference
        return replace(_estate_answered(desk, at_that_time, _inquiry(kept, asked.person, ticket)), kept=kept)

    if not asked.may_read(*(f"EstateFinance.{name}" for name in ESTATE_LISTS)):
        return desk.not_asked(_estate_unknown)
    at_that_time = replace(asked, now=requested_at)
    answered = await settled(desk, at_that_time, work(), unknown=_estate_unknown, nothing=_estate_nothing(asked))
    return replace(answered, ticket=asked.ticket, asked_agency=False)


# ---------------------------------------------------------------- a child and its household


def references(ticket: Ticket) -> frozenset[str]:
    """The service's own numbers in a remembered ticket: one, or one for each person asked about for a birth."""
    return frozenset(one.rpartition("=")[2] for one in ticket.reference.split(" "))


def _remembered(asked: Asked) -> dict[str, Ticket]:
    if asked.ticket is None:
        return {}
    pairs = (one.partition("=") for one in asked.ticket.reference.split(" "))
    return {person: Ticket(reference, asked.ticket.expected_by) for person, _, reference in pairs}


def _together(visits: Iterable[_Visit]) -> Ticket | None:
    """One ticket for all inquiries that are open."""
    tickets = [(visit.person, visit.ticket) for visit in visits if visit.ticket is not None]
    if not tickets:
        return None
    reference = " ".join(f"{person}={ticket.reference}" for person, ticket in tickets)
    return Ticket(reference, min(ticket.expected_by for _, ticket in tickets))


_Heard = Sequence[_Inquiry | AgencyError]


def _known(heard: _Heard) -> list[_Inquiry] | None:
    """Answers of which any part is known; None where there is none, and the list is not known either."""
    known = [one for one in heard if isinstance(one, _Inquiry) and _status(one.parts) is not AnswerStatus.UNAVAILABLE]
    return known if known or any(isinstance(one, NoneHeld) for one in heard) else None


def _birth_answered(desk: Desk, asked: Asked, child: _Heard, household: _Heard) -> Answered[BirthFinance]:
    """Vouchers from what was heard about the child, accounts from that and what was heard about the household."""
    guard.failures([*child, *household])
    named = [("vouchers", one) for one in child] + [("payoutAccounts", one) for one in household]
    problems = [
        guard.problem(one.code, name)
        for name, one in named
        if isinstance(one, AgencyError) and not isinstance(one, NoneHeld)
    ]
    inquiries = [one for _, one in named if isinstance(one, _Inquiry)]
    nothing = sum(isinstance(one, NoneHeld) for _, one in named)
    problems += [_failed(part) for one in inquiries for part in one.parts if part.state == "FAILED"]
    of_child, of_all = _known(child), _known([*child, *household])
    vouchers = (
        None
        if of_child is None
        else _listed(asked, "BirthFinance.vouchers", of_child, lambda part: part.vouchers, _Clerk.voucher)
    )
    accounts = (
        None
        if of_all is None
        else _listed(
            asked,
            "BirthFinance.payoutAccounts",
            of_all,
            lambda part: part.deposits,
            _Clerk.deposit,
            whole=len(inquiries) + nothing == len(named),
        )
    )
    if vouchers is None and accounts is None:
        status = AnswerStatus.UNAVAILABLE
    elif problems:
        status = AnswerStatus.PARTIAL
    else:
        status = AnswerStatus.NONE_HELD if vouchers == [] == accounts else AnswerStatus.COMPLETE
    answer = desk.answer(
        asked,
        status,
        reference=inquiries[0].ticket if inquiries else None,
        as_of=min((one.as_of for one in inquiries), default=None),
        expected_by=min((one.expected_by for _, one in named if isinstance(one, Late)), default=None),
        visible_until=min((one.visible_until for one in inquiries), default=None),
        problems=problems,
    )
    return Answered(BirthFinance(answer=answer, vouchers=vouchers, payout_accounts=accounts), answer)


def _birth_nothing(asked: Asked) -> Callable[[Answer], BirthFinance]:
    return lambda answer: BirthFinance(
        answer=answer,
        vouchers=allowed(asked, "BirthFinance.vouchers", []),
        payout_accounts=allowed(asked, "BirthFinance.payoutAccounts", []),
    )


def _about(asked: Asked) -> tuple[list[SectorId], list[SectorId]]:
    """The child, and who else is asked about for the accounts."""
    child = [asked.person] if asked.may_read("BirthFinance.vouchers", "BirthFinance.payoutAccounts") else []
    return child, list(asked.household) if asked.may_read("BirthFinance.payoutAccounts") else []


def birth(transport: Transport, clock: Callable[[], datetime]) -> Connector[BirthFinance]:
    """Vouchers held for a child, and the household's accounts: one inquiry for each person."""
    desk = Desk(Agency.FINANCE, SOURCE, clock)

    async def one(asked: Asked) -> Answered[BirthFinance]:
        child, household = _about(asked)
        if not (child or household):
            return desk.not_asked(_birth_unknown)
        remembered = _remembered(asked)
        visits = [
            _Visit(person, "BIRTH", f"{asked.idempotency}/{person}", remembered.get(person))
            for person in (*child, *household)
        ]

        async def work() -> Answered[BirthFinance]:
            deadline = transport.deadline()
            heard = await asyncio.gather(*(attempt(visit.inquiry(transport, asked, deadline)) for visit in visits))
            if all(isinstance(one, DeletedError) for one in heard):
                answer = desk.answer(asked, AnswerStatus.EXPIRED, problems=[guard.problem("DELETED")])
                return Answered(_birth_unknown(answer), answer)
            answered = _birth_answered(desk, asked, heard[: len(child)], heard[len(child) :])
            bodies = [visit.body for visit in visits if visit.body is not None]
            known = bodies and answered.answer.status is not AnswerStatus.UNAVAILABLE
            return replace(answered, kept=b"[" + b",".join(bodies) + b"]" if known else None)

        answered = await settled(
            desk,
            asked,
            work(),
            unknown=_birth_unknown,
            nothing=_birth_nothing(asked),
            drop_pool=transport.drop_pool,
        )
        return replace(answered, ticket=_together(visits))

    async def fetch(many: Sequence[Asked]) -> Sequence[Answered[BirthFinance]]:
        return await asyncio.gather(*(one(asked) for asked in many))

    return Connector(Agency.FINANCE, Speed.WEEKS, SOURCE, BirthFinance, fetch)


def _bodies(kept: bytes) -> list[bytes]:
    """Bodies that were kept together; the body of a callback is one by itself."""
    if not kept.lstrip().startswith(b"["):
        return [kept]
    try:
        return [bytes(one) for one in msgspec.json.decode(kept, type=list[msgspec.Raw])]
    except msgspec.DecodeError as error:
        raise Unreadable("NOT_JSON") from error


async def read_birth(
    kept: bytes, asked: Asked, *, requested_at: datetime, retrieved_at: datetime
) -> Answered[BirthFinance]:
    """As `read_estate`. A person of whom nothing was kept is still to be heard of."""
    desk = Desk(Agency.FINANCE, SOURCE, lambda: retrieved_at)
    child, household = _about(asked)
    if not (child or household):
        return desk.not_asked(_birth_unknown)
    at_that_time = replace(asked, now=requested_at)
    remembered = _remembered(asked)

    async def work() -> Answered[BirthFinance]:
        found: dict[str, _Inquiry] = {}
        for body in _bodies(kept):
            person = SectorId(guard.decoded(body, _INQUIRY).person_id)
            if person != asked.person and person not in asked.household:
                if person in remembered:
                    continue  # kept when somebody else of the case asked about their own accounts too
                raise Mismatch("OTHER_PERSON")
            ticket = remembered.get(person)
            found[person] = _inquiry(body, person, None if ticket is None else ticket.reference)
        missing = Unavailable("PENDING")
        return replace(
            _birth_answered(
                desk,
                at_that_time,
                [found.get(person, missing) for person in child],
                [found.get(person, missing) for person in household],
            ),
            kept=kept,
        )

    answered = await settled(desk, at_that_time, work(), unknown=_birth_unknown, nothing=_birth_nothing(asked))
    return replace(answered, ticket=asked.ticket, asked_agency=False)


# ---------------------------------------------------------------- callbacks


@dataclass(frozen=True, slots=True)
class Callback:
    """A body that the service signed, and the inquiry and person it says it is about."""

    ticket: str
    person: SectorId
    body: bytes


class _SignatureHeader(Struct, frozen=True, forbid_unknown_fields=True):
    alg: Literal["ES256"]
    typ: Literal["finance-callback+jws"]
    kid: Annotated[str, Meta(min_length=1, max_length=200)]
    iat: int


_SIGNATURE_HEADER: Final = msgspec.json.Decoder(_SignatureHeader)


def _registry() -> jws.JWSRegistry:
    registry = jws.JWSRegistry({"iat": HeaderParameter("Issued At", "int")}, algorithms=["ES256"])
    registry.max_payload_length = 2 * BODY_LIMIT  # joserfc takes 128 kB, measured in Base64
    return registry


_REGISTRY: Final = _registry()


async def verify_callback(body: bytes, signature: str, jwks: Jwks, now: datetime) -> Callback:
    """Check the detached JWS (RFC 7515, appendix F) over exactly these bytes, and read whom they are about.

    Raises `Unreadable` for whatever is not the service's own word of the last ten minutes, and `Unavailable` when its
    keys cannot be had: then the service should call again.
    """
    if len(body) > BODY_LIMIT or len(signature) > LONGEST_SIGNATURE:
        raise Unreadable("TOO_LARGE")
    match signature.split("."):
        case [protected, "", sealed] if signature.isascii() and protected and sealed:
            pass
        case _:
            raise Unreadable("BAD_SIGNATURE")
    try:
        header = _SIGNATURE_HEADER.decode(urlsafe_b64decode(protected + "=" * (-len(protected) % 4)))
    except (msgspec.MsgspecError, ValueError) as error:
        raise Unreadable("BAD_SIGNATURE") from error
    if not -CLOCK_SKEW_S <= now.timestamp() - header.iat <= LONGEST_CALLBACK_AGE_S:
        raise Unreadable("SIGNATURE_TOO_OLD")
    key = await jwks.key(header.kid)
    payload = urlsafe_b64encode(body).rstrip(b"=").decode()
    try:
        jws.deserialize_compact(f"{protected}.{payload}.{sealed}", key, registry=_REGISTRY)
    except (JoseError, ValueError) as error:
        raise Unreadable("BAD_SIGNATURE") from error
    inquiry = guard.decoded(body, _INQUIRY)
    return Callback(inquiry.ticket, SectorId(inquiry.person_id), body)
