"""Ten pension and mutual-aid schemes: memberships and survivor benefits; for a birth, the months of pension credit.

Source: docs/wire/, SOAP 1.1 in the X-Road message protocol 4.0, one request per scheme, all at once. Each scheme is an
institution of its own: one that fails or is late leaves the others standing and is named in the answer's problems. Only
an answer about somebody else or to another question takes everything down: then no connection is to be trusted.
"""

import asyncio
import base64
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from html import escape
from typing import Final

from lxml import etree

from connectors import guard
from connectors.connector import Answered, Asked, Connector, Speed
from connectors.guard import Desk, Late, Mismatch, attempt, settled
from connectors.transport import AgencyError, Refused, Transport, Unavailable, Unreadable, random_uuid
from schema.answer import Answer, AnswerStatus, KnownFact
from schema.disclosure import Agency
from schema.pensions import (
    BirthPensions,
    EstatePensions,
    PensionMembership,
    PensionScheme,
    SurvivorBenefit,
    SurvivorBenefitKind,
)
from schema.person import ParentRelation, Relation
from schema.scalars import Won

SOURCE: Final = "Public pension and mutual-aid schemes"
SOAP: Final = "http://schemas.xmlsoap.org/soap/envelope/"
XRD: Final = "http://x-road.eu/xsd/xroad.xsd"
ID: Final = "http://x-road.eu/xsd/identifiers"
PENSIONS: Final = "urn:onestop:pensions:1"
SHA512: Final = "http://www.w3.org/2001/04/xmlenc#sha512"
DEEPEST: Final = 8
"""Levels of elements; an answer has six."""

_ENVELOPE: Final = (
    f'<soap:Envelope xmlns:soap="{SOAP}" xmlns:xrd="{XRD}" xmlns:id="{ID}" xmlns:p="{PENSIONS}"><soap:Header>'
    '<xrd:client id:objectType="SUBSYSTEM"><id:xRoadInstance>KR</id:xRoadInstance><id:memberClass>GOV</id:memberClass>'
    "<id:memberCode>MOIS</id:memberCode><id:subsystemCode>onestop</id:subsystemCode></xrd:client>"
    '<xrd:service id:objectType="SERVICE"><id:xRoadInstance>KR</id:xRoadInstance><id:memberClass>GOV</id:memberClass>'
    "<id:memberCode>{scheme}</id:memberCode><id:subsystemCode>pensions</id:subsystemCode>"
    "<id:serviceCode>{operation}</id:serviceCode><id:serviceVersion>v1</id:serviceVersion></xrd:service>"
    "<xrd:userId>KR</xrd:userId><xrd:id>{request_id}</xrd:id>{issue}<xrd:protocolVersion>4.0</xrd:protocolVersion>"
    "</soap:Header><soap:Body><p:{operation}><p:personId>{person}</p:personId></p:{operation}></soap:Body></soap:Envelope>"
)


def request(operation: str, scheme: PensionScheme, person: str, request_id: str, case: str | None) -> bytes:
    """Bytes of one question to one scheme."""
    text = _ENVELOPE.format(
        operation=operation,
        scheme=scheme.name,
        person=escape(person),
        request_id=escape(request_id),
        issue="" if case is None else f"<xrd:issue>{escape(case)}</xrd:issue>",
    )
    return text.encode()


# ---------------------------------------------------------------- the wire


# The encoding is fixed, so that no declaration in a message can hide a document type from who looks for its bytes.
_PARSER: Final = etree.XMLParser(
    encoding="utf-8", resolve_entities=False, load_dtd=False, no_network=True, huge_tree=False
)
_TOO_DEEP: Final = etree.XPath(f"boolean({'/*' * (DEEPEST + 1)})")


def envelope(body: bytes) -> etree._Element:
    """Root of an XML message without any document type, so without entities; `Unreadable` for everything else."""
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise Unreadable("DOCUMENT_TYPE")
    try:
        root = etree.fromstring(body, _PARSER)
    except (etree.LxmlError, ValueError) as error:
        raise Unreadable("NOT_XML") from error
    if root.getroottree().docinfo.internalDTD is not None:
        raise Unreadable("DOCUMENT_TYPE")
    if _TOO_DEEP(root):
        raise Unreadable("TOO_DEEP")
    return root


def _children(element: etree._Element, namespace: str) -> dict[str, etree._Element]:
    """Child elements of the namespace by local name. The same name twice could be read two ways: `Unreadable`."""
    found: dict[str, etree._Element] = {}
    for child in element.iterchildren(f"{{{namespace}}}*"):
        name = child.tag[len(namespace) + 2 :]
        if name in found:
            raise Unreadable("UNKNOWN_SHAPE")
        found[name] = child
    return found


def _text(element: etree._Element) -> str:
    """Text of a leaf. Comments and instructions would cut it in two, so they count as a shape we do not know."""
    if len(element):
        raise Unreadable("UNKNOWN_SHAPE")
    return (element.text or "").strip()


def _only(element: etree._Element, namespace: str, name: str) -> etree._Element:
    child = _children(element, namespace).get(name)
    if child is None:
        raise Unreadable("UNKNOWN_SHAPE")
    return child


def _spelt(element: etree._Element | None) -> tuple[object, ...]:
    """All that an X-Road identifier says, to compare one with another."""
    if element is None:
        return ()
    return (element.get(f"{{{ID}}}objectType"), *((child.tag, _text(child)) for child in element))


@lru_cache(maxsize=64)
def _parties(operation: str, scheme: PensionScheme) -> tuple[tuple[object, ...], ...]:
    """Who asks and what is asked, as every request for it says."""
    root = etree.fromstring(request(operation, scheme, "", "", None))
    header = _children(_only(root, SOAP, "Header"), XRD)
    return tuple(_spelt(header[name]) for name in ("client", "service"))


def _said(
    body: bytes, sent: bytes, operation: str, scheme: PensionScheme, request_id: str
) -> Mapping[str, etree._Element]:
    """Elements of a response that answers exactly the bytes sent; a SOAP fault is `Unavailable`."""
    root = envelope(body)
    if root.tag != f"{{{SOAP}}}Envelope":
        raise Unreadable("UNKNOWN_SHAPE")
    content = _only(root, SOAP, "Body")
    if f"{{{SOAP}}}Fault" in {child.tag for child in content}:
        raise Unavailable("AGENCY_ERROR")
    header = _children(_only(root, SOAP, "Header"), XRD)
    guard.same_request(_text(header["id"]) if "id" in header else None, request_id)
    if tuple(_spelt(header.get(name)) for name in ("client", "service")) != _parties(operation, scheme):
        raise Mismatch("OTHER_REQUEST")
    seal = header.get("requestHash")
    digest = base64.b64encode(hashlib.sha512(sent).digest()).decode()
    if seal is None or (seal.get("algorithmId"), _text(seal)) != (SHA512, digest):
        raise Mismatch("OTHER_REQUEST")
    return _children(_only(content, PENSIONS, f"{operation}Response"), PENSIONS)


@dataclass(frozen=True, slots=True)
class _Reader:
    """One element's children as values; absent is None."""

    fields: Mapping[str, etree._Element]

    def text(self, name: str) -> str | None:
        element = self.fields.get(name)
        return None if element is None else _text(element)

    def needed(self, name: str) -> str:
        if (text := self.text(name)) is None:
            raise Unreadable("UNKNOWN_SHAPE")
        return text

    def number(self, name: str) -> int | None:
        if (text := self.text(name)) is None:
            return None
        if not re.fullmatch(r"-?[0-9]{1,18}", text):
            raise Unreadable("IMPOSSIBLE_NUMBER")
        return int(text)

    def truth(self, name: str) -> bool | None:
        if (text := self.text(name)) is None:
            return None
        if text not in ("true", "false"):
            raise Unreadable("UNKNOWN_CODE")
        return text == "true"

    def day(self, name: str) -> date | None:
        return None if (text := self.text(name)) is None else guard.day(text)


def _price(value: int | None) -> Won | None:
    return None if value is None else guard.price(value)


def _count(value: int | None) -> int | None:
    return None if value is None else guard.count(value)


def _opened(reader: _Reader, scheme: PensionScheme, person: str) -> datetime:
    """Check whom and which scheme a response is about, and whether it is one; give the moment its facts hold for."""
    guard.same_person(reader.text("personId"), person)
    if reader.text("scheme") != scheme.name:
        raise Mismatch("OTHER_REQUEST")
    as_of = guard.instant(reader.needed("asOf"))
    match reader.needed("state"):
        case "ANSWERED":
            return as_of
        case "PENDING":
            expected_by = reader.day("expectedBy")
            if expected_by is None or reader.text("member") is not None:
                raise Unreadable("UNKNOWN_SHAPE")
            raise Late(expected_by)
        case _:
            raise Unreadable("UNKNOWN_CODE")


def _benefit(reader: _Reader) -> SurvivorBenefit:
    part_of_estate = reader.truth("partOfEstate")
    if part_of_estate is None:
        raise Unreadable("UNKNOWN_SHAPE")
    return SurvivorBenefit(
        kind=guard.code(SurvivorBenefitKind, reader.needed("kind")),
        claimants=[guard.code(Relation, name) for name in reader.needed("claimants").split()],
        estimate=_price(reader.number("estimate")),
        claim_by=reader.day("claimBy"),
        part_of_estate=part_of_estate,
    )


def _benefits(element: etree._Element | None) -> list[SurvivorBenefit] | None:
    if element is None:
        return None
    guard.within_limit(len(element))
    if any(child.tag != f"{{{PENSIONS}}}benefit" for child in element):
        raise Unreadable("UNKNOWN_SHAPE")
    return [_benefit(_Reader(_children(child, PENSIONS))) for child in element]


def membership(reader: _Reader, scheme: PensionScheme) -> PensionMembership:
    """All that one scheme says of one person."""
    said = PensionMembership(
        scheme=scheme,
        member=guard.code(KnownFact, reader.needed("member")),
        receiving=reader.truth("receiving"),
        contribution_months=_count(reader.number("contributionMonths")),
        monthly_pension=_price(reader.number("monthlyPension")),
        overpaid_after_death=_price(reader.number("overpaidAfterDeath")),
        loan=guard.code(KnownFact, reader.text("loan") or KnownFact.UNKNOWN.name),
        loan_outstanding=_price(reader.number("loanOutstanding")),
        survivor_benefits=_benefits(reader.fields.get("survivorBenefits")),
    )
    if said.member is KnownFact.NO and (
        said.receiving
        or said.loan is KnownFact.YES
        or said.monthly_pension
        or said.overpaid_after_death
        or said.loan_outstanding
        or said.survivor_benefits
    ):
        raise Unreadable("CONTRADICTION")  # dropping it as "not a member" would hide what is owed
    return said


def says_no_more_than_existence(said: PensionMembership) -> bool:
    """Whether the scheme told nothing beside membership."""
    details = (
        said.receiving,
        said.contribution_months,
        said.monthly_pension,
        said.overpaid_after_death,
        said.loan_outstanding,
        said.survivor_benefits,
    )
    return said.loan is KnownFact.UNKNOWN and all(detail is None for detail in details)


# ---------------------------------------------------------------- what may be read of it


def _shown(asked: Asked, said: PensionMembership) -> PensionMembership:
    of = "PensionMembership"
    benefits = guard.allowed(asked, f"{of}.survivorBenefits", said.survivor_benefits)
    return PensionMembership(
        scheme=said.scheme,
        member=said.member,
        receiving=guard.allowed(asked, f"{of}.receiving", said.receiving),
        contribution_months=guard.allowed(asked, f"{of}.contributionMonths", said.contribution_months),
        monthly_pension=guard.allowed(asked, f"{of}.monthlyPension", said.monthly_pension),
        overpaid_after_death=guard.allowed(asked, f"{of}.overpaidAfterDeath", said.overpaid_after_death),
        loan=said.loan if asked.may_read(f"{of}.loan") else KnownFact.UNKNOWN,
        loan_outstanding=guard.allowed(asked, f"{of}.loanOutstanding", said.loan_outstanding),
        survivor_benefits=None
        if benefits is None
        else [
            SurvivorBenefit(
                kind=benefit.kind,
                claimants=benefit.claimants,
                estimate=guard.allowed(asked, "SurvivorBenefit.estimate", benefit.estimate),
                claim_by=guard.allowed(asked, "SurvivorBenefit.claimBy", benefit.claim_by),
                part_of_estate=benefit.part_of_estate,
            )
            for benefit in benefits
        ],
    )


# ---------------------------------------------------------------- the questions


@dataclass(frozen=True, slots=True)
class _Part:
    """What one scheme said, and the moment it holds for."""

    said: PensionMembership
    as_of: datetime


async def _heard(
    transport: Transport, asked: Asked, operation: str, scheme: PensionScheme, deadline: float
) -> tuple[_Reader, datetime, str]:
    """Ask one scheme; give its words, the moment they hold for, and the request's id."""
    request_id = random_uuid()
    sent = request(operation, scheme, asked.person, request_id, asked.case)
    reply = await transport.request(
        "POST",
        "/",
        purpose=asked.purpose,
        case=asked.case,
        headers={"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '""', "Accept": "text/xml"},
        body=sent,
        request_id=request_id,
        deadline=deadline,
    )
    reader = _Reader(_said(guard.facts(reply, asked.person, "text/xml"), sent, operation, scheme, request_id))
    return reader, _opened(reader, scheme, asked.person), request_id


async def _part(transport: Transport, asked: Asked, scheme: PensionScheme, deadline: float) -> _Part:
    reader, as_of, _ = await _heard(transport, asked, "memberships", scheme, deadline)
    return _Part(membership(reader, scheme), as_of)


def _none_answered(failed: Sequence[AgencyError]) -> AgencyError:
    """What describes best that no scheme answered: what they all say, else that they could not be asked."""
    for kind in (Refused, Unreadable):
        if all(isinstance(error, kind) for error in failed):
            return failed[0]
    return next((error for error in failed if isinstance(error, Unavailable)), Unavailable("AGENCY_ERROR"))


def picture(desk: Desk, asked: Asked, parts: Mapping[PensionScheme, _Part | AgencyError]) -> Answered[EstatePensions]:
    """All schemes together. Raises what makes the whole worthless, or describes it when no scheme answered."""
    for part in parts.values():
        if isinstance(part, Mismatch):
            raise part
    answered = [part for part in parts.values() if isinstance(part, _Part)]
    late = {scheme: part for scheme, part in parts.items() if isinstance(part, Late)}
    failed = {
        scheme: part for scheme, part in parts.items() if isinstance(part, AgencyError) and not isinstance(part, Late)
    }
    expected_by = min((part.expected_by for part in late.values()), default=None)
    problems = [guard.problem(part.code, scheme.name) for scheme, part in (failed | late).items()]
    if not answered:
        if not late:
            raise _none_answered(list(failed.values()))
        answer = desk.answer(asked, AnswerStatus.PENDING, expected_by=expected_by, problems=problems if failed else ())
        return Answered(EstatePensions(answer=answer, memberships=None), answer)
    listed = [part.said for part in answered if part.said.member is not KnownFact.NO]
    if problems:
        status = AnswerStatus.PARTIAL
    elif not listed:
        status = AnswerStatus.NONE_HELD
    elif all(says_no_more_than_existence(said) for said in listed):
        status = AnswerStatus.EXISTENCE_ONLY
    else:
        status = AnswerStatus.COMPLETE
    answer = desk.answer(
        asked, status, as_of=min(part.as_of for part in answered), expected_by=expected_by, problems=problems
    )
    # No membership among those that answered says nothing of those that did not: no list rather than an empty one.
    memberships = None if problems and not listed else [_shown(asked, said) for said in listed]
    return Answered(EstatePensions(answer=answer, memberships=memberships), answer)


async def _estate(transport: Transport, desk: Desk, asked: Asked) -> Answered[EstatePensions]:
    deadline = transport.deadline()
    schemes = list(PensionScheme)
    parts = await asyncio.gather(*(attempt(_part(transport, asked, scheme, deadline)) for scheme in schemes))
    return picture(desk, asked, dict(zip(schemes, parts, strict=True)))


async def _birth(transport: Transport, desk: Desk, asked: Asked) -> Answered[BirthPensions]:
    reader, as_of, reference = await _heard(transport, asked, "credits", PensionScheme.NPS, transport.deadline())
    months, credited = _count(reader.number("creditMonths")), reader.text("creditedParent")
    parent = None if credited is None else guard.code(ParentRelation, credited)
    # the scheme leaves both out when the birth brings nothing
    status = AnswerStatus.COMPLETE if months or parent else AnswerStatus.NONE_HELD
    answer = desk.answer(asked, status, reference=reference, as_of=as_of)
    section = BirthPensions(
        answer=answer,
        credit_months=guard.allowed(asked, "BirthPensions.creditMonths", months or (None if parent else 0)),
        credited_parent=guard.allowed(asked, "BirthPensions.creditedParent", parent),
    )
    return Answered(section, answer)


def estate(transport: Transport, clock: Callable[[], datetime]) -> Connector[EstatePensions]:
    """Memberships of a deceased person in all ten schemes."""
    desk = Desk(Agency.PENSIONS, SOURCE, clock)

    def unknown(answer: Answer) -> EstatePensions:
        return EstatePensions(answer=answer, memberships=None)

    def nothing(answer: Answer) -> EstatePensions:
        return EstatePensions(answer=answer, memberships=[])

    async def one(asked: Asked) -> Answered[EstatePensions]:
        if not asked.may_read("EstatePensions.memberships"):
            return desk.not_asked(unknown)
        work = _estate(transport, desk, asked)
        return await settled(desk, asked, work, unknown=unknown, nothing=nothing, drop_pool=transport.drop_pool)

    async def fetch(many: Sequence[Asked]) -> Sequence[Answered[EstatePensions]]:
        return await asyncio.gather(*(one(asked) for asked in many))

    return Connector(Agency.PENSIONS, Speed.WEEKS, SOURCE, EstatePensions, fetch)


def birth(transport: Transport, clock: Callable[[], datetime]) -> Connector[BirthPensions]:
    """Pension credit that a child brings a parent, from the National Pension Service alone."""
    desk = Desk(Agency.PENSIONS, SOURCE, clock)

    def unknown(answer: Answer) -> BirthPensions:
        return BirthPensions(answer=answer, credit_months=None, credited_parent=None)

    async def one(asked: Asked) -> Answered[BirthPensions]:
        if not asked.may_read("BirthPensions.creditMonths", "BirthPensions.creditedParent"):
            return desk.not_asked(unknown)
        work = _birth(transport, desk, asked)
        return await settled(desk, asked, work, unknown=unknown, nothing=unknown, drop_pool=transport.drop_pool)

    async def fetch(many: Sequence[Asked]) -> Sequence[Answered[BirthPensions]]:
        return await asyncio.gather(*(one(asked) for asked in many))

    return Connector(Agency.PENSIONS, Speed.WEEKS, SOURCE, BirthPensions, fetch)
