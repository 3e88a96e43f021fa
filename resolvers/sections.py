"""Crossing to an agency: what is asked of it for one case, and what came back.

An agency is asked at most once a case and operation, for the allowed coordinates only; two cases in one document
share one call of its connector. An agency that has no allowed coordinate is not asked at all. A status is about the
whole agency: where one is shown, all lists that the viewer may see are asked, so that "nothing held" is said of
everything or not at all.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

import structlog
from aiodataloader import DataLoader

from auth.policy import Need
from connectors import finance
from connectors.connector import Answered, Asked, Connector, Ticket
from resolvers.context import POSITIVE, Context, Hand
from resolvers.house import House
from resolvers.plan import Part, Region
from schema.answer import Answer, AnswerProblem, AnswerStatus, KnownFact
from schema.case import CaseKind, CaseStatus
from schema.disclosure import Agency
from schema.scalars import Coordinate
from schema.text import Bilingual

SIX = (Agency.LAND, Agency.FINANCE, Agency.PENSIONS, Agency.TAX, Agency.HEALTH, Agency.VEHICLES)
"""The agencies that hold what a person leaves or is due, in the order of the graph."""

SUMMARY_READS: frozenset[Coordinate] = frozenset(
    Coordinate(f"{type_}.{name}")
    for type_, names in {
        "EstateLand": "parcels buildings",
        "LandParcel": "assessedValue encumbrances",
        "Building": "assessedValue encumbrances",
        "Encumbrance": "kind maximumClaim",
        "EstateFinance": "deposits loans securities insurance cards guarantees custody",
        "Deposit": "balance",
        "Loan": "principal interestDue",
        "SecurityHolding": "marketValue",
        "InsurancePolicy": "surrenderValue policyLoan partOfEstate",
        "CardDebt": "unpaid",
        "Guarantee": "outstanding",
        "EstatePensions": "memberships",
        "PensionMembership": "member receiving overpaidAfterDeath loan loanOutstanding survivorBenefits",
        "SurvivorBenefit": "estimate partOfEstate",
        "EstateTax": "items",
        "TaxItem": "state assessed arrears surcharge refundable",
        "EstateHealth": "unpaidPremiums refunds",
        "SocialPremium": "unpaid surcharge",
        "HealthRefund": "amount",
        "EstateVehicles": "vehicles fishingBoats",
        "Vehicle": "assessedValue unpaidFines",
        "Fine": "amount",
        "FishingBoat": "assessedValue",
    }.items()
    for name in names.split()
)
"""What a summary is computed from: showing `EstateCase.summary` counts as reading these."""

_LATE = Bilingual(
    "정해진 시간 안에 응답하지 않았습니다.", "The agency did not answer within the time this question has."
)

_BROKEN = Bilingual(
    "내부 오류로 응답을 처리하지 못했습니다.", "The answer could not be processed because of an error of ours."
)
log = structlog.get_logger()


async def section(context: Context, hand: Hand, agency: Agency) -> Any:
    """All that the agency says in this case, as far as the viewer may see it."""
    return (await _sections(context, hand, [agency]))[0]


async def answers(context: Context, hand: Hand, agencies: Sequence[Agency] = SIX) -> list[Answer]:
    """How the agencies stand, asking those that this operation has not asked yet."""
    return [each.answer for each in await _sections(context, hand, agencies)]


async def begun(context: Context, hand: Hand) -> None:
    """Ask every agency of which the document reads anything, before any of its fields is looked at."""
    await _begun(context, hand, [agency for agency in SIX if asks(context, hand, agency)])


async def _begun(context: Context, hand: Hand, agencies: Sequence[Agency]) -> None:
    """Ask these agencies unless they were asked already.

    The first to ask asks for every case of the kind, so that the agency's connector is called once for all of them.
    """
    if any(agency not in hand.sections for agency in agencies):
        await context.all_entered()
        for agency in agencies:
            if agency not in hand.sections:
                _ask(context, hand, agency)


async def _sections(context: Context, hand: Hand, agencies: Sequence[Agency]) -> list[Any]:
    """What these agencies say; those not asked yet are asked together before any is waited for."""
    await _begun(context, hand, agencies)
    # Several wait for the same task: none of them ends it, and what is there is taken without another one.
    tasks = [hand.sections[agency] for agency in agencies]
    return [task.result() if task.done() else await asyncio.shield(task) for task in tasks]


async def all_answered(context: Context) -> None:
    """Wait for every agency that was asked."""
    tasks = [task for hand in context.hands.values() for task in hand.sections.values() if not task.done()]
    if tasks:
        await asyncio.wait(tasks)


def _ask(context: Context, hand: Hand, agency: Agency) -> None:
    for each in (hand, *context.hands.values()):
        if each.region is hand.region and agency not in each.sections and (each is hand or asks(context, each, agency)):
            each.sections[agency] = asyncio.ensure_future(_fetched(context, each, agency))


async def status(context: Context, hand: Hand) -> CaseStatus:
    """Where the case stands, by how each agency answered last; nobody is asked for it."""
    if hand.record.closed_at is not None:
        return CaseStatus.CLOSED
    await all_answered(context)
    known = {**hand.standings, **{agency: answer.status for agency, answer in hand.answers.items()}}
    said = [known.get(agency) for agency in SIX]
    if not any(said):
        return CaseStatus.OPENED
    if AnswerStatus.PENDING in said:
        return CaseStatus.COLLECTING
    return CaseStatus.COMPLETE if POSITIVE.issuperset(said) else CaseStatus.PARTIAL


def asks(context: Context, hand: Hand, agency: Agency) -> bool:
    """Whether the document reads the agency's section of this kind of case."""
    coordinates = context.plan.coordinates(hand.region)
    name = "EstateCase" if hand.region is Region.ESTATE else "BirthCase"
    return not coordinates.isdisjoint(
        {f"{name}.{agency.name.lower()}", f"{name}.answers", *({"EstateCase.summary"} if name == "EstateCase" else ())}
    )


# ---------------------------------------------------------------- one agency


def connector_of(context: Context, hand: Hand, agency: Agency) -> Connector[Any]:
    """The agency's connector for this kind of case."""
    by_agency = context.house.estate if hand.record.kind is CaseKind.ESTATE else context.house.birth
    return by_agency[agency]


async def _fetched(context: Context, hand: Hand, agency: Agency) -> Any:
    connector = connector_of(context, hand, agency)
    lists = section_fields(context.house, connector)
    readable = _readable(context, hand, agency, connector, lists)
    if readable.isdisjoint(lists):
        found = blank(connector, AnswerStatus.REFUSED)
    else:
        question = _question(context, hand, agency, readable)
        load = _asking(context, connector)
        try:
            async with asyncio.timeout(context.left_s):
                if agency is Agency.FINANCE:
                    found = (await _finance(context, hand, question, load)).section
                else:
                    found = (await load(question)).section
        except TimeoutError:
            found = blank(connector, AnswerStatus.UNAVAILABLE, "DEADLINE", _LATE)
        except Exception as error:
            log.error("section_failed", agency=agency.name, error=error)  # noqa: TRY400 - class and place only
            found = blank(connector, AnswerStatus.UNAVAILABLE, "INTERNAL", _BROKEN)
        if found.answer.status is AnswerStatus.NONE_HELD and not readable.issuperset(lists):
            found.answer.status = AnswerStatus.COMPLETE  # nothing in what was asked; the rest is withheld
    hand.answers[agency] = found.answer
    return found


def section_fields(house: House, connector: Connector[Any]) -> frozenset[Coordinate]:
    """The section's own fields besides the answer."""
    name = connector.section.__name__
    found = house.coordinates.get(name)
    if found is None:
        found = house.coordinates[name] = frozenset(
            c for c in house.disclosed if c.startswith(f"{name}.") and c != f"{name}.answer"
        )
    return found


def _readable(
    context: Context, hand: Hand, agency: Agency, connector: Connector[Any], lists: frozenset[Coordinate]
) -> frozenset[Coordinate]:
    """What may be read of the agency: what the document asks, and what a status or a summary is made from."""
    key = (connector.section, agency in hand.whole)
    found = hand.shown.readable.get(key)
    if found is None:
        found = hand.shown.readable[key] = _worked_out(context, hand, agency, connector, lists)
    return found


def _worked_out(
    context: Context, hand: Hand, agency: Agency, connector: Connector[Any], lists: frozenset[Coordinate]
) -> frozenset[Coordinate]:
    asked = context.plan.coordinates(hand.region)
    wanted = context.plan.of_agency(hand.region, agency)
    shown = hand.shown.allowed(Part.PERSON) & wanted
    behind: set[Coordinate] = set()
    if (
        agency in hand.whole
        or f"{connector.section.__name__}.answer" in asked
        or f"{hand.region.value}.answers" in asked
    ):
        behind |= lists
    if "EstateCase.summary" in shown_summary(hand):
        behind |= _behind_summary(context.house, agency) | lists
    return shown | permitted(context, hand, behind - wanted) | (behind & shown)


def shown_summary(hand: Hand) -> frozenset[Coordinate]:
    """The summary's coordinate where it is asked for and may be shown."""
    return hand.shown.allowed(Part.PERSON) & {Coordinate("EstateCase.summary")}


def permitted(context: Context, hand: Hand, coordinates: AbstractSet[Coordinate]) -> frozenset[Coordinate]:
    """Those coordinates of the case's person that the viewer might see, though the document does not show them."""
    if not coordinates:
        return frozenset()
    key = frozenset(coordinates)
    found = hand.shown.readable.get(key)
    if found is None:
        found = hand.shown.readable[key] = _permitted(context, hand, key)
    return found


def _permitted(context: Context, hand: Hand, coordinates: frozenset[Coordinate]) -> frozenset[Coordinate]:
    known = context.house.disclosed
    needs = {c: Need(d.agency, d.sensitivity, third_party=d.third_party) for c in coordinates if (d := known.get(c))}
    ruling = hand.shown.power.ruling(context.house.policies, list(needs.values()))
    return frozenset(c for c, needed in needs.items() if ruling[needed].shows)


def _behind_summary(house: House, agency: Agency) -> frozenset[Coordinate]:
    """What a summary reads of the agency."""
    found = house.coordinates.get(agency)
    if found is None:
        found = house.coordinates[agency] = frozenset(
            c for c in SUMMARY_READS if (said := house.disclosed.get(c)) and said.agency is agency
        )
    return found


def _question(context: Context, hand: Hand, agency: Agency, readable: frozenset[Coordinate]) -> Asked:
    case_id, ids, client = hand.case_id, context.house.ids, context.viewer.client

    def seal(kind: str, reference: str) -> str:  # without the context, which ends with the operation
        return ids.sealed(client, kind, case_id, reference)

    parents = [p.parent for p in hand.register.parentage if p.child == hand.record.subject]
    household = parents if hand.region is Region.BIRTH and agency is Agency.LAND else []
    if hand.region is Region.BIRTH and agency is Agency.FINANCE:
        household = [parent for parent in parents if parent in {context.viewer.person, hand.mandate.on_behalf_of}]
    return Asked(
        person=context.sector_id(agency, hand.record.subject),
        purpose=hand.mandate.purpose.name,
        coordinates=frozenset(readable),
        masked=frozenset(hand.shown.masked(Part.PERSON)),
        household=tuple(context.sector_id(agency, person) for person in household),
        case=context.house.ids.sealed(agency.name, "Case", case_id),
        now=context.now,
        seal=seal,
    )


Asking = Callable[[Asked], Awaitable[Answered[Any]]]


def _asking(context: Context, connector: Connector[Any]) -> Asking:
    """How the connector is asked: once for all cases of the operation, and at once where there is only one."""
    loader = context.loaders.get(connector.section)
    if loader is None:

        async def fetch(questions: list[Asked]) -> list[Answered[Any]]:
            return list(await connector.fetch(questions))

        async def alone(question: Asked) -> Answered[Any]:
            return (await connector.fetch([question]))[0]

        if len(context.hands) == 1:
            return alone
        loader = context.loaders[connector.section] = DataLoader(fetch, cache=False)
    return loader.load


def blank(
    connector: Connector[Any], status_: AnswerStatus, code: str | None = None, message: Bilingual | None = None
) -> Any:
    """A section about which nothing is known."""
    problems = [AnswerProblem(code=code, institution=None, message_text=message)] if code and message else []
    answer = Answer(
        agency=connector.agency,
        status=status_,
        source=connector.source,
        source_reference=None,
        requested_at=None,
        expected_by=None,
        retrieved_at=None,
        as_of=None,
        visible_until=None,
        retry_after_seconds=None,
        problems=problems,
    )
    unknown: dict[str, Any] = {
        each.name: KnownFact.UNKNOWN if each.type is KnownFact else None for each in fields(connector.section)
    }
    return connector.section(**unknown | {"answer": answer})


# ---------------------------------------------------------------- the agency that answers later


async def _finance(context: Context, hand: Hand, question: Asked, load: Asking) -> Answered[Any]:
    """Ask once, come back with the ticket, and keep the answer: the agency deletes its copy after three months."""
    house = context.house
    inquiry = hand.inquiry
    generation = inquiry.generation if inquiry else 1
    if inquiry and inquiry.kept is not None and Agency.FINANCE in hand.renewed:
        inquiry, generation = None, generation + 1
    if inquiry and inquiry.kept is not None:
        read = finance.read_estate if hand.region is Region.ESTATE else finance.read_birth
        return await read(
            house.unsealed(inquiry.kept, inquiry.ticket),
            replace(question, ticket=Ticket(inquiry.ticket, inquiry.expected_by)),
            requested_at=inquiry.opened_at,
            retrieved_at=inquiry.retrieved_at or context.now,
        )
    question = replace(question, callback_url=house.callback_url if hand.region is Region.ESTATE else None)
    ticket = Ticket(inquiry.ticket, inquiry.expected_by) if inquiry else None
    answered = await load(replace(question, ticket=ticket, idempotency=f"{hand.case_id}:{generation}"))
    if answered.answer.status is AnswerStatus.EXPIRED and Agency.FINANCE in hand.renewed:
        inquiry, generation = None, generation + 1
        answered = await load(replace(question, ticket=None, idempotency=f"{hand.case_id}:{generation}"))
    if answered.ticket is not None and inquiry is None:
        await house.cases.inquire(
            hand.case_id,
            Agency.FINANCE,
            generation,
            question.person,
            answered.ticket.reference,
            answered.ticket.expected_by,
            context.now,
            context.now + timedelta(seconds=house.limits.poll_every_s),
        )
        hand.inquiry = await house.cases.inquiry(hand.case_id, Agency.FINANCE)
    reference = answered.ticket.reference if answered.ticket else inquiry.ticket if inquiry else None
    if answered.kept is not None and reference is not None:
        kept = house.sealed(answered.kept, reference)
        await house.cases.keep(reference, kept, context.now, answered.answer.visible_until)
        hand.inquiry = await house.cases.inquiry(hand.case_id, Agency.FINANCE)
    return answered
