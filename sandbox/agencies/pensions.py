"""Ten pension and mutual-aid schemes behind one exchange: SOAP 1.1 in the X-Road message protocol 4.0.

Source: docs/wire/README.md, "PENSIONS"; X-Road: Message Protocol v4.0.
"""

from base64 import b64encode
from copy import deepcopy
from dataclasses import dataclass
from hashlib import sha512
from typing import Final

from lxml import etree
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.agencies.frame import SURPLUS, AgencyState, application, bad_request, checked, is_late, is_sid, met
from sandbox.facts import Membership, PensionFacts, SurvivorBenefit

SCHEMES: Final = ("NPS", "GEPS", "TP", "MILITARY", "COMWEL", "CWMA", "POBA", "MMAA", "SEMA", "KTCU")

SOAP: Final = "http://schemas.xmlsoap.org/soap/envelope/"
XROAD: Final = "http://x-road.eu/xsd/xroad.xsd"
IDENTIFIERS: Final = "http://x-road.eu/xsd/identifiers"
PENSIONS: Final = "urn:onestop:pensions:1"
NAMESPACES: Final = {"soap": SOAP, "xrd": XROAD, "id": IDENTIFIERS, "p": PENSIONS}


@dataclass(frozen=True, slots=True)
class Message:
    """A request of the X-Road protocol, read."""

    headers: tuple[etree._Element, ...]
    request_id: str
    scheme: str
    operation: str  # memberships credits
    sid: str
    digest: bytes  # SHA-512 of the request's bytes


def pensions(state: AgencyState) -> Starlette:
    """Build the exchange."""

    async def endpoint(request: Request) -> Response:
        request_id = checked(state, request)
        message = read_message(await request.body())
        if message is None or message.request_id != request_id or not is_sid(state, message.sid):
            raise bad_request(request_id)
        await met(state, message.sid, request_id)
        failed = state.faults.find_part(message.sid, "FAILED", message.scheme)
        late = state.faults.find_part(message.sid, "LATE", message.scheme)
        if failed:
            state.faults.fire(message.sid, request_id)
            return _xml(_fault(message), 500)
        if late and is_late(state, late):
            state.faults.fire(message.sid, request_id)
            return _xml(_answer(message, state.as_of, *_said(state="PENDING", expectedBy=late.expected_by)))
        subject = state.sids.get(message.sid)
        facts = (state.holder(subject).pensions if subject else None) or PensionFacts()
        told = _membership(facts, message.scheme) if message.operation == "memberships" else _credit(facts)
        return _xml(_answer(message, state.as_of, *_said(state="ANSWERED"), *told))

    return application(state, [Route("/", endpoint, methods=["POST"])])


def read_message(body: bytes) -> Message | None:
    """Read a request; None when it is not one of the protocol. Any document type is refused, and so is every entity."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(body, parser)
    except etree.XMLSyntaxError:
        return None
    if root.getroottree().docinfo.internalDTD is not None or root.tag != f"{{{SOAP}}}Envelope":
        return None

    def text(path: str) -> str:
        found = root.xpath(f"string({path})", namespaces=NAMESPACES)
        return found.strip() if isinstance(found, str) else ""

    header = "soap:Header/xrd:"
    scheme, service = text(f"{header}service/id:memberCode"), text(f"{header}service/id:serviceCode")
    calls = root.findall("soap:Body/*", NAMESPACES)
    spoken = (
        text(f"{header}protocolVersion") == "4.0"
        and text(f"{header}service/id:serviceVersion") == "v1"
        and [call.tag for call in calls] == [f"{{{PENSIONS}}}{service}"]
        and text(f"{header}client/id:memberCode") != ""
    )
    if not spoken or scheme not in (SCHEMES if service == "memberships" else SCHEMES[:1] * (service == "credits")):
        return None
    return Message(
        headers=tuple(root.findall("soap:Header/*", NAMESPACES)),
        request_id=text(f"{header}id"),
        scheme=scheme,
        operation=service,
        sid=text(f"soap:Body/p:{service}/p:personId"),
        digest=sha512(body).digest(),
    )


def _answer(message: Message, as_of: str, *told: etree._Element) -> etree._Element:
    about = _said(personId=message.sid, scheme=message.scheme, asOf=as_of, registrationNumber=SURPLUS.get())
    return _envelope(message, _tag(PENSIONS, f"{message.operation}Response", *about, *told))


def _fault(message: Message) -> etree._Element:
    code, words = etree.Element("faultcode"), etree.Element("faultstring")
    code.text, words.text = "soap:Server", f"{message.scheme} does not answer {SURPLUS.get() or ''}".strip()
    return _envelope(message, _tag(SOAP, "Fault", code, words))


def _envelope(message: Message, body: etree._Element) -> etree._Element:
    request_hash = _tag(XROAD, "requestHash")
    request_hash.set("algorithmId", "http://www.w3.org/2001/04/xmlenc#sha512")
    request_hash.text = b64encode(message.digest).decode()
    headers = _tag(SOAP, "Header", *map(deepcopy, message.headers), request_hash)
    return _tag(SOAP, "Envelope", headers, _tag(SOAP, "Body", body))


def _tag(namespace: str, name: str, *children: etree._Element) -> etree._Element:
    tag = etree.Element(f"{{{namespace}}}{name}", nsmap=NAMESPACES)
    tag.extend(children)
    return tag


def _membership(facts: PensionFacts, scheme: str) -> list[etree._Element]:
    """One scheme's word; a scheme that does not know the person says so."""
    told = next((each for each in facts.memberships if each.scheme == scheme), Membership(scheme, "NO"))
    said = _said(
        member=told.member,
        receiving=told.receiving,
        contributionMonths=told.contribution_months,
        monthlyPension=told.monthly_pension,
        overpaidAfterDeath=told.overpaid_after_death,
        loan=None if told.loan == "UNKNOWN" else told.loan,
        loanOutstanding=told.loan_outstanding,
    )
    if told.survivor_benefits is not None:
        said.append(_tag(PENSIONS, "survivorBenefits", *map(_benefit, told.survivor_benefits)))
    return said


def _benefit(benefit: SurvivorBenefit) -> etree._Element:
    return _tag(
        PENSIONS,
        "benefit",
        *_said(
            kind=benefit.kind,
            claimants=" ".join(benefit.claimants),
            estimate=benefit.estimate,
            claimBy=benefit.claim_by,
            partOfEstate=benefit.part_of_estate,
        ),
    )


def _credit(facts: PensionFacts) -> list[etree._Element]:
    return _said(creditMonths=facts.credit_months, creditedParent=facts.credited_parent)


def _said(**values: object) -> list[etree._Element]:
    """Elements of this name and value; none for what is not said."""
    said = []
    for name, value in values.items():
        if value is not None:
            said.append(_tag(PENSIONS, name))
            said[-1].text = str(value).lower() if isinstance(value, bool) else str(value)
    return said


def _xml(root: etree._Element, status: int = 200) -> Response:
    body = etree.tostring(root, xml_declaration=True, encoding="utf-8")
    return Response(body, status, headers={"Content-Type": "text/xml; charset=utf-8"})
