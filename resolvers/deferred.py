"""Answers that come later: polled in the background, or brought by the agency's signed callback, and kept.

The store hands out what is due under a lease, so that several processes poll each inquiry once. Nothing is shown
here: the asking was recorded with the operation that opened the inquiry, and the showing will be with the one that
reads it.
"""

import asyncio
from datetime import datetime, timedelta

import structlog

from cases.store import Inquiry
from connectors.connector import Asked, Ticket
from connectors.finance import Callback, read_estate
from resolvers import authority
from resolvers.house import House
from resolvers.sections import section_fields
from schema.answer import AnswerStatus
from schema.case import CaseKind
from schema.disclosure import Agency

LEASE = timedelta(seconds=30)
log = structlog.get_logger()


async def poll_forever(house: House, every_s: float = 1.0) -> None:
    """Poll what is due, again and again; a failing round is told and the next one tries again."""
    while True:
        try:
            for inquiry in await house.cases.due(house.clock(), LEASE):
                await poll(house, inquiry)
        except Exception as error:
            log.warning("poll_failed", error=error)
        await asyncio.sleep(every_s)


async def poll(house: House, inquiry: Inquiry) -> None:
    """Ask the agency whether it has the answer now."""
    record = await house.cases.case(inquiry.case_id)
    if record is None:
        return
    by_agency = house.estate if record.kind is CaseKind.ESTATE else house.birth
    connector = by_agency[inquiry.agency]
    now = house.clock()
    asked = Asked(
        person=inquiry.person,
        purpose=record.purpose.name,
        coordinates=section_fields(house, connector),
        now=now,
        seal=lambda _kind, _reference: "",
        case=house.ids.sealed(inquiry.agency.name, "Case", inquiry.case_id),
        ticket=Ticket(inquiry.ticket, inquiry.expected_by),
    )
    (answered,) = await connector.fetch([asked])
    status, answer = answered.answer.status, answered.answer
    if answered.kept is not None:
        await keep(house, inquiry, answered.kept, answer.visible_until, status)
    elif status is AnswerStatus.EXPIRED:
        await house.cases.poll_again(inquiry.ticket, None)
    else:
        later = timedelta(seconds=house.limits.poll_every_s)
        if answer.expected_by is not None and answer.expected_by > authority.day_of(now):
            later = max(later, timedelta(hours=1))
        await house.cases.poll_again(inquiry.ticket, now + later, answer.expected_by)


async def keep(
    house: House, inquiry: Inquiry, body: bytes, visible_until: datetime | None, status: AnswerStatus
) -> bool:
    """Keep an answer that came, and wake who watches the case. False when it was there before."""
    now = house.clock()
    fresh = await house.cases.keep(inquiry.ticket, house.sealed(body, inquiry.ticket), now, visible_until)
    if fresh:
        await house.cases.note(inquiry.case_id, {inquiry.agency: status}, now)
        house.changes.announce(inquiry.case_id)
    return fresh


async def called_back(house: House, callback: Callback) -> int:
    """Take a verified callback: 200 taken (or taken before), 409 another inquiry's, 410 too late."""
    found = await house.cases.inquiry_of(callback.ticket)
    if found is None:
        return 409
    inquiry, newest = found
    if inquiry.person != callback.person:
        return 409
    record = await house.cases.case(inquiry.case_id)
    if record is None or record.closed_at is not None or (not newest and inquiry.kept is None):
        return 410
    if inquiry.kept is None:
        connector = house.estate[Agency.FINANCE]
        read = await read_estate(
            callback.body,
            Asked(
                person=inquiry.person,
                purpose=record.purpose.name,
                coordinates=section_fields(house, connector),
                now=house.clock(),
                seal=lambda _kind, _reference: "",
                ticket=Ticket(inquiry.ticket, inquiry.expected_by),
            ),
            requested_at=inquiry.opened_at,
            retrieved_at=house.clock(),
        )
        await keep(house, inquiry, callback.body, read.answer.visible_until, read.answer.status)
    return 200
