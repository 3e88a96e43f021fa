"""Health insurance: coverage with premiums and refunds; for a child also screenings, immunizations and check-ups.

Source: docs/wire/, HL7 FHIR R4 searchsets. Only what we read of a resource is modelled (docs/decisions/), and all of it
is checked. A Bundle names nobody by itself, its resources do, and it echoes the request's id.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from enum import Enum
from http import HTTPStatus
from typing import Annotated, Final, Generic, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from connectors import guard
from connectors.connector import Answered, Asked, Connector, Speed
from connectors.guard import Desk, NoneHeld, allowed, attempt, settled
from connectors.transport import AgencyError, Transport, Unreadable, WireReply
from schema.answer import Answer, AnswerStatus
from schema.disclosure import Agency
from schema.health import (
    BirthHealth,
    Checkup,
    EstateHealth,
    HealthRefund,
    HealthRefundKind,
    Immunization,
    InsuranceEligibility,
    InsuranceKind,
    Screening,
    ScreeningResult,
    ScreeningTest,
    SocialInsurance,
    SocialPremium,
)
from schema.person import ParentRelation
from schema.scalars import Won

SOURCE: Final = "National Health Insurance Service"
MEDIA_TYPE: Final = "application/fhir+json"
PERSON: Final = "urn:onestop:health"
REQUEST: Final = "urn:onestop:request-id"
ROUND: Final = "urn:onestop:health:round"
KOREA: Final = timezone(timedelta(hours=9))
PAGE: Final = "20"
MOST_PAGES: Final = 10

# ---------------------------------------------------------------- the wire

_Word = Annotated[str, Meta(min_length=1, max_length=200)]


class _Identifier(Struct, frozen=True):
    system: str | None = None
    value: str | None = None


class _Reference(Struct, frozen=True):
    identifier: _Identifier | None = None


class _Coding(Struct, frozen=True):
    code: _Word


class _Concept(Struct, frozen=True):
    coding: Annotated[list[_Coding], Meta(min_length=1)]

    @property
    def code(self) -> str:
        return self.coding[0].code


class _Money(Struct, frozen=True):
    value: int
    currency: Literal["KRW"]


class _Period(Struct, frozen=True):
    start: str | None = None
    end: str | None = None


class _Extension(Struct, frozen=True, rename="camel"):
    url: str
    extension: list["_Extension"] = []
    value_code: str | None = None
    value_string: str | None = None
    value_integer: int | None = None
    value_date: str | None = None
    value_money: _Money | None = None
    value_period: _Period | None = None


class _Coverage(Struct, frozen=True, rename="camel"):
    resource_type: Literal["Coverage"]
    status: Literal["active", "cancelled"]
    beneficiary: _Reference
    type: _Concept
    period: _Period
    extension: list[_Extension] = []

    def persons(self) -> list[_Reference]:
        return [self.beneficiary]


class _Dose(Struct, frozen=True, rename="camel"):
    dose_number_positive_int: Annotated[int, Meta(ge=1, le=100)]


class _Immunization(Struct, frozen=True, rename="camel"):
    resource_type: Literal["Immunization"]
    status: Literal["completed", "not-done"]
    patient: _Reference
    vaccine_code: _Concept
    protocol_applied: Annotated[list[_Dose], Meta(min_length=1)]
    occurrence_date_time: str | None = None
    extension: list[_Extension] = []

    def persons(self) -> list[_Reference]:
        return [self.patient]


class _Observation(Struct, frozen=True, rename="camel"):
    resource_type: Literal["Observation"]
    status: Literal["final", "registered"]
    subject: _Reference
    code: _Concept
    effective_date_time: str | None = None
    value_codeable_concept: _Concept | None = None

    def persons(self) -> list[_Reference]:
        return [self.subject]


class _Participant(Struct, frozen=True):
    actor: _Reference | None = None


class _Appointment(Struct, frozen=True, rename="camel"):
    resource_type: Literal["Appointment"]
    status: Literal["proposed", "fulfilled"]
    participant: list[_Participant]
    identifier: Annotated[list[_Identifier], Meta(min_length=1)]
    requested_period: Annotated[list[_Period], Meta(min_length=1)]
    start: str | None = None

    def persons(self) -> list[_Reference]:
        return [participant.actor for participant in self.participant if participant.actor is not None]


_Resource = TypeVar("_Resource", _Coverage, _Immunization, _Observation, _Appointment)


class _Link(Struct, frozen=True):
    relation: str
    url: str


class _Entry(Struct, Generic[_Resource], frozen=True):
    resource: _Resource


class _LastUpdated(Struct, frozen=True, rename="camel"):
    last_updated: str


class _Bundle(Struct, Generic[_Resource], frozen=True, rename="camel"):
    resource_type: Literal["Bundle"]
    type: Literal["searchset"]
    total: Annotated[int, Meta(ge=0)]
    identifier: _Identifier
    meta: _LastUpdated
    link: list[_Link] = []
    entry: list[_Entry[_Resource]] = []


class _Issue(Struct, frozen=True):
    code: str
    diagnostics: str | None = None


class _Outcome(Struct, frozen=True, rename="camel"):
    resource_type: Literal["OperationOutcome"]
    issue: Annotated[list[_Issue], Meta(min_length=1)]
    id: str | None = None


_OUTCOME: Final = msgspec.json.Decoder(_Outcome)
_COVERAGE: Final = msgspec.json.Decoder(_Bundle[_Coverage])
_IMMUNIZATION: Final = msgspec.json.Decoder(_Bundle[_Immunization])
_OBSERVATION: Final = msgspec.json.Decoder(_Bundle[_Observation])
_APPOINTMENT: Final = msgspec.json.Decoder(_Bundle[_Appointment])


@dataclass(frozen=True, slots=True)
class Found(Generic[_Resource]):
    """All resources of one kind, and the moment they hold for."""

    resources: Sequence[_Resource]
    as_of: datetime


def _about(references: Iterable[_Reference], person: str) -> None:
    """Check that a resource names the person and, among those insured, nobody else."""
    identifiers = [reference.identifier for reference in references if reference.identifier is not None]
    insured = [identifier.value for identifier in identifiers if identifier.system == PERSON]
    if not insured:
        raise guard.Mismatch("OTHER_PERSON")
    for value in insured:
        guard.same_person(value, person)


def _facts(reply: WireReply, asked: Asked) -> bytes:
    """As `guard.facts`, and FHIR's own way to say that a person is unknown."""
    if reply.status == HTTPStatus.NOT_FOUND and reply.content_type == MEDIA_TYPE:
        outcome = guard.decoded(reply.body, _OUTCOME)
        if (outcome.issue[0].code, outcome.issue[0].diagnostics) == ("not-found", "UNKNOWN_PERSON"):
            guard.same_request(outcome.id, reply.request_id)
            raise NoneHeld(reply.request_id)
    return guard.facts(reply, asked.person, MEDIA_TYPE)


async def _found(
    transport: Transport, asked: Asked, kind: str, decoder: msgspec.json.Decoder[_Bundle[_Resource]], deadline: float
) -> Found[_Resource]:
    """All pages of one kind of resource; `total` must be what came."""
    path, params = f"/fhir/{kind}", {"patient:identifier": f"{PERSON}|{asked.person}", "_count": PAGE}
    resources: list[_Resource] = []
    moments: list[datetime] = []
    visited: set[str] = set()
    for _ in range(MOST_PAGES):
        reply = await transport.request(
            "GET",
            path,
            purpose=asked.purpose,
            case=asked.case,
            params=params,
            headers={"Accept": MEDIA_TYPE},
            deadline=deadline,
        )
        bundle = guard.decoded(_facts(reply, asked), decoder)
        guard.same_request(bundle.identifier.value if bundle.identifier.system == REQUEST else None, reply.request_id)
        for entry in bundle.entry:
            _about(entry.resource.persons(), asked.person)
            resources.append(entry.resource)
        guard.within_limit(max(len(resources), bundle.total))
        moments.append(guard.instant(bundle.meta.last_updated))
        following = [link.url for link in bundle.link if link.relation == "next"]
        if not following:
            if len(resources) != bundle.total:
                raise Unreadable("INCOMPLETE")
            return Found(resources, min(moments))
        if len(following) > 1 or following[0] in visited:
            raise Unreadable("ENDLESS_PAGES")
        visited.add(following[0])
        path, params = following[0], {}
    raise Unreadable("ENDLESS_PAGES")


# ---------------------------------------------------------------- resources to values


def _day(text: str | None) -> date | None:
    """Day in Korea of a FHIR date or dateTime; one without its day, which FHIR permits, is no day."""
    if text is None:
        return None
    return guard.instant(text).astimezone(KOREA).date() if "T" in text else guard.day(text)


def _needed_day(text: str | None) -> date:
    if (value := _day(text)) is None:
        raise Unreadable("UNKNOWN_SHAPE")
    return value


def _only(extensions: Iterable[_Extension], url: str) -> _Extension | None:
    """Extension of that name; two of them could be read two ways."""
    found = [extension for extension in extensions if extension.url == url]
    if len(found) > 1:
        raise Unreadable("UNKNOWN_SHAPE")
    return found[0] if found else None


_Choice = TypeVar("_Choice", bound=Enum)


def _code(choices: type[_Choice], extension: _Extension | None) -> _Choice:
    if extension is None or extension.value_code is None:
        raise Unreadable("UNKNOWN_SHAPE")
    return guard.code(choices, extension.value_code)


def _amount(extension: _Extension | None) -> Won | None:
    if extension is None:
        return None
    if extension.value_money is None:
        raise Unreadable("UNKNOWN_SHAPE")
    return guard.price(extension.value_money.value)


def _premium(asked: Asked, wire: _Extension) -> SocialPremium:
    months = _only(wire.extension, "months")
    if months is None or months.value_integer is None:
        raise Unreadable("UNKNOWN_SHAPE")
    return SocialPremium(
        insurance=_code(SocialInsurance, _only(wire.extension, "insurance")),
        unpaid=allowed(asked, "SocialPremium.unpaid", _amount(_only(wire.extension, "unpaid"))),
        surcharge=allowed(asked, "SocialPremium.surcharge", _amount(_only(wire.extension, "surcharge"))),
        months=guard.count(months.value_integer),
    )


def _refund(asked: Asked, wire: _Extension) -> HealthRefund:
    claim_by = _only(wire.extension, "claimBy")
    return HealthRefund(
        kind=_code(HealthRefundKind, _only(wire.extension, "kind")),
        amount=allowed(asked, "HealthRefund.amount", _amount(_only(wire.extension, "amount"))),
        claim_by=allowed(asked, "HealthRefund.claimBy", None if claim_by is None else _needed_day(claim_by.value_date)),
    )


def _eligibility(asked: Asked, wire: _Coverage) -> InsuranceEligibility:
    reason = _only(wire.extension, f"{PERSON}:loss-reason")
    return InsuranceEligibility(
        kind=guard.code(InsuranceKind, wire.type.code),
        valid_from=_needed_day(wire.period.start),
        valid_until=allowed(asked, "InsuranceEligibility.validUntil", _day(wire.period.end)),
        loss_reason=allowed(asked, "InsuranceEligibility.lossReason", None if reason is None else reason.value_string),
    )


def _coverage(found: Sequence[_Coverage]) -> _Coverage | None:
    """The person's one coverage; None for who is not insured."""
    if len(found) > 1:
        raise Unreadable("DUPLICATE_RECORD")
    return found[0] if found else None


def _screening(asked: Asked, wire: _Observation) -> Screening:
    result = None if wire.value_codeable_concept is None else wire.value_codeable_concept.code
    taken_on = _day(wire.effective_date_time)
    if wire.status == "final" and (result is None or taken_on is None):
        raise Unreadable("UNKNOWN_SHAPE")
    return Screening(
        test=guard.code(ScreeningTest, wire.code.code),
        taken_on=allowed(asked, "Screening.takenOn", taken_on),
        result=allowed(asked, "Screening.result", None if result is None else guard.code(ScreeningResult, result)),
    )


def _immunization(asked: Asked, wire: _Immunization) -> Immunization:
    given_on = _needed_day(wire.occurrence_date_time) if wire.status == "completed" else None
    due = _only(wire.extension, f"{PERSON}:due")
    part = None if due is None else _only(due.extension, "period")
    period = _Period() if part is None else part.value_period
    if period is None or (due is not None and part is None):
        raise Unreadable("UNKNOWN_SHAPE")
    return Immunization(
        vaccine=wire.vaccine_code.code,
        dose=wire.protocol_applied[0].dose_number_positive_int,
        given_on=allowed(asked, "Immunization.givenOn", given_on),
        due_from=allowed(asked, "Immunization.dueFrom", _day(period.start)),
        due_until=allowed(asked, "Immunization.dueUntil", _day(period.end)),
    )


def _checkup(asked: Asked, wire: _Appointment) -> Checkup:
    number = next((one.value for one in wire.identifier if one.system == ROUND), None)
    if number is None or number not in "12345678" or len(number) != 1:
        raise Unreadable("UNKNOWN_CODE")
    taken_on = _needed_day(wire.start) if wire.status == "fulfilled" else None
    return Checkup(
        round=int(number),
        due_from=_needed_day(wire.requested_period[0].start),
        due_until=_needed_day(wire.requested_period[0].end),
        taken_on=allowed(asked, "Checkup.takenOn", taken_on),
    )


# ---------------------------------------------------------------- the questions


async def _estate(transport: Transport, desk: Desk, asked: Asked) -> Answered[EstateHealth]:
    found = await _found(transport, asked, "Coverage", _COVERAGE, transport.deadline())
    coverage = _coverage(found.resources)
    hanging = () if coverage is None else coverage.extension
    premiums = [_premium(asked, one) for one in hanging if one.url == f"{PERSON}:unpaid-premium"]
    refunds = [_refund(asked, one) for one in hanging if one.url == f"{PERSON}:refund"]
    status = AnswerStatus.NONE_HELD if coverage is None else AnswerStatus.COMPLETE
    answer = desk.answer(asked, status, as_of=found.as_of)
    section = EstateHealth(
        answer=answer,
        eligibility=_eligibility(asked, coverage)
        if coverage is not None and asked.may_read("EstateHealth.eligibility")
        else None,
        unpaid_premiums=allowed(asked, "EstateHealth.unpaidPremiums", premiums),
        refunds=allowed(asked, "EstateHealth.refunds", refunds),
    )
    return Answered(section, answer)


_Part = Found[_Resource] | AgencyError | None
"""What came of one kind of resource: None where it may not be read."""


def _resources(part: _Part[_Resource]) -> Sequence[_Resource] | None:
    """Resources as far as they are known: none at all where the agency does not know the person."""
    if isinstance(part, Found):
        return part.resources
    return () if isinstance(part, NoneHeld) else None


async def _birth(transport: Transport, desk: Desk, asked: Asked) -> Answered[BirthHealth]:
    deadline = transport.deadline()

    async def part(kind: str, decoder: msgspec.json.Decoder[_Bundle[_Resource]], *coordinates: str) -> _Part[_Resource]:
        if not asked.may_read(*coordinates):
            return None
        return await attempt(_found(transport, asked, kind, decoder, deadline))

    coverages, observations, doses, appointments = await asyncio.gather(
        part("Coverage", _COVERAGE, "BirthHealth.eligibility", "BirthHealth.dependantOf"),
        part("Observation", _OBSERVATION, "BirthHealth.screenings"),
        part("Immunization", _IMMUNIZATION, "BirthHealth.immunizations"),
        part("Appointment", _APPOINTMENT, "BirthHealth.checkups"),
    )
    parts = {"Coverage": coverages, "Observation": observations, "Immunization": doses, "Appointment": appointments}
    asked_for = {kind: one for kind, one in parts.items() if one is not None}
    guard.failures(list(asked_for.values()))
    problems = [
        guard.problem(one.code, kind)
        for kind, one in asked_for.items()
        if isinstance(one, AgencyError) and not isinstance(one, NoneHeld)
    ]
    lists = [_resources(coverages), _resources(observations), _resources(doses), _resources(appointments)]
    nothing = all(one is not None and not one for one in lists)
    status = AnswerStatus.PARTIAL if problems else AnswerStatus.NONE_HELD if nothing else AnswerStatus.COMPLETE
    answer = desk.answer(
        asked,
        status,
        as_of=min((one.as_of for one in asked_for.values() if isinstance(one, Found)), default=None),
        expected_by=min((one.expected_by for one in asked_for.values() if isinstance(one, guard.Late)), default=None),
        problems=problems,
    )
    known = _resources(coverages)
    coverage = None if known is None else _coverage(known)
    dependant_of = None if coverage is None else _only(coverage.extension, f"{PERSON}:dependant-of")
    tested, injected, examined = _resources(observations), _resources(doses), _resources(appointments)
    section = BirthHealth(
        answer=answer,
        eligibility=_eligibility(asked, coverage)
        if coverage is not None and asked.may_read("BirthHealth.eligibility")
        else None,
        dependant_of=_code(ParentRelation, dependant_of)
        if dependant_of is not None and asked.may_read("BirthHealth.dependantOf")
        else None,
        screenings=None if tested is None else [_screening(asked, one) for one in tested],
        immunizations=None if injected is None else [_immunization(asked, one) for one in injected],
        checkups=None if examined is None else [_checkup(asked, one) for one in examined],
    )
    return Answered(section, answer)


def estate(transport: Transport, clock: Callable[[], datetime]) -> Connector[EstateHealth]:
    """Coverage of a deceased person with the premiums and refunds that hang on it. Nothing else is asked."""
    desk = Desk(Agency.HEALTH, SOURCE, clock)

    def unknown(answer: Answer) -> EstateHealth:
        return EstateHealth(answer=answer, eligibility=None, unpaid_premiums=None, refunds=None)

    async def one(asked: Asked) -> Answered[EstateHealth]:
        def nothing(answer: Answer) -> EstateHealth:
            return EstateHealth(
                answer=answer,
                eligibility=None,
                unpaid_premiums=allowed(asked, "EstateHealth.unpaidPremiums", []),
                refunds=allowed(asked, "EstateHealth.refunds", []),
            )

        if not asked.may_read("EstateHealth.eligibility", "EstateHealth.unpaidPremiums", "EstateHealth.refunds"):
            return desk.not_asked(unknown)
        work = _estate(transport, desk, asked)
        return await settled(desk, asked, work, unknown=unknown, nothing=nothing, drop_pool=transport.drop_pool)

    async def fetch(many: Sequence[Asked]) -> Sequence[Answered[EstateHealth]]:
        return await asyncio.gather(*(one(asked) for asked in many))

    return Connector(Agency.HEALTH, Speed.INSTANT, SOURCE, EstateHealth, fetch)


def birth(transport: Transport, clock: Callable[[], datetime]) -> Connector[BirthHealth]:
    """Coverage, screenings, immunizations and check-ups of a child, each asked for only where it may be read."""
    desk = Desk(Agency.HEALTH, SOURCE, clock)

    def unknown(answer: Answer) -> BirthHealth:
        return BirthHealth(
            answer=answer, eligibility=None, dependant_of=None, screenings=None, immunizations=None, checkups=None
        )

    async def one(asked: Asked) -> Answered[BirthHealth]:
        def nothing(answer: Answer) -> BirthHealth:
            return BirthHealth(
                answer=answer,
                eligibility=None,
                dependant_of=None,
                screenings=allowed(asked, "BirthHealth.screenings", []),
                immunizations=allowed(asked, "BirthHealth.immunizations", []),
                checkups=allowed(asked, "BirthHealth.checkups", []),
            )

        lists = ("eligibility", "dependantOf", "screenings", "immunizations", "checkups")
        if not asked.may_read(*(f"BirthHealth.{name}" for name in lists)):
            return desk.not_asked(unknown)
        work = _birth(transport, desk, asked)
        return await settled(desk, asked, work, unknown=unknown, nothing=nothing, drop_pool=transport.drop_pool)

    async def fetch(many: Sequence[Asked]) -> Sequence[Answered[BirthHealth]]:
        return await asyncio.gather(*(one(asked) for asked in many))

    return Connector(Agency.HEALTH, Speed.INSTANT, SOURCE, BirthHealth, fetch)
