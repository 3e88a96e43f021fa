"""The agency that answers later: pending, kept, asked anew on request, expired; read with the rights of the day."""

import asyncio
import json
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from connectors.connector import Answered, Asked, Ticket
from connectors.finance import Callback
from resolvers import deferred
from resolvers.operation_types import Reply
from schema.answer import AnswerStatus
from schema.disclosure import Agency
from schema.finance import EstateFinance
from tests.resolvers.world import HUSBAND, NOW, World, answer_of, made

LATER = date(2026, 4, 2)
DEPOSITS = """query ($id: ID!) { estateCase(id: $id) { status
  finance { answer { status expectedBy visibleUntil requestedAt } deposits { product balance } } } }"""
AGAIN = """mutation ($input: RequestAnswersInput!) { requestAnswers(input: $input) {
  answers { agency status } refusal { code } } }"""


class Bureau:
    """The inquiry service behind a fake connector: a ticket for each idempotency key, an answer when it is ready."""

    def __init__(self, world: World) -> None:
        self.agency = world.estate[Agency.FINANCE]
        self.agency.answers = self.answered
        self.tickets: dict[str, str] = {}
        self.ready: dict[str, int] = {}
        self.deleted: set[str] = set()

    @property
    def asked(self) -> list[tuple[str | None, str]]:
        """Ticket and idempotency key of each question, in order."""
        return [(each.ticket.reference if each.ticket else None, each.idempotency) for each in self.agency.questions]

    def release(self, ticket: str, balance: int) -> None:
        self.ready[ticket] = balance

    def body(self, person: str, ticket: str) -> bytes:
        said = {
            "requestId": "R-1",
            "personId": person,
            "ticket": ticket,
            "visibleUntil": "2026-07-02T00:00:00Z",
            "asOf": NOW.isoformat(),
            "parts": [
                {
                    "personId": person,
                    "institution": {"code": "004", "name": "국민은행", "sector": "BANK"},
                    "state": "COMPLETE",
                    "deposits": [
                        {
                            "reference": "D-1",
                            "product": "savings",
                            "dormant": False,
                            "jointlyHeld": False,
                            "balance": self.ready[ticket],
                        }
                    ],
                }
            ],
        }
        return json.dumps(said).encode()

    def answered(self, asked: Asked) -> Answered[Any]:
        if asked.ticket is None:
            ticket = self.tickets.setdefault(asked.idempotency, f"T-{len(self.tickets) + 1}")
        else:
            ticket = asked.ticket.reference
        remembered = Ticket(ticket, LATER)
        if ticket in self.deleted:
            return self._unknown(asked, AnswerStatus.EXPIRED, remembered)
        if ticket not in self.ready:
            return self._unknown(asked, AnswerStatus.PENDING, remembered)
        answer = answer_of(Agency.FINANCE, AnswerStatus.COMPLETE, asked.now)
        answer.visible_until = datetime.fromisoformat("2026-07-02T00:00:00+00:00")
        section = made(EstateFinance, asked, "kept", answer=answer)
        return Answered(section, answer, remembered, kept=self.body(asked.person, ticket))

    def _unknown(self, asked: Asked, status: AnswerStatus, ticket: Ticket) -> Answered[Any]:
        answer = answer_of(Agency.FINANCE, status, asked.now)
        answer.expected_by = ticket.expected_by if status is AnswerStatus.PENDING else None
        nothing = Asked(asked.person, asked.purpose, frozenset(), asked.now, asked.seal)
        return Answered(made(EstateFinance, nothing, "", answer=answer), answer, ticket)


@pytest.fixture
def bureau(world: World) -> Bureau:
    return Bureau(world)


def finance(reply: Reply) -> Mapping[str, Any]:
    assert reply.data is not None, reply.errors
    found: Mapping[str, Any] = reply.data["estateCase"]["finance"]
    return found


def status(reply: Reply) -> str:
    said: str = finance(reply)["answer"]["status"]
    return said


async def again(world: World, case: str, key: str, *agencies: str) -> Reply:
    return await world.ask(
        AGAIN, {"input": {"case": case, "agencies": agencies or ("FINANCE",), "idempotencyKey": key}}
    )


async def kept(world: World, bureau: Bureau, case: str, balance: int = 1000) -> None:
    """An inquiry that was opened, answered and read once."""
    await world.ask(DEPOSITS, {"id": case})
    bureau.release("T-1", balance)
    assert status(await world.ask(DEPOSITS, {"id": case})) == "COMPLETE"
    world.forget()


@pytest.mark.usefixtures("bureau")
async def test_what_is_not_answered_yet_is_pending_with_its_day_and_unknown(world: World, husbands: str) -> None:
    reply = await world.ask(DEPOSITS, {"id": husbands})
    assert finance(reply)["answer"]["expectedBy"] == LATER.isoformat()
    assert (status(reply), finance(reply)["deposits"]) == ("PENDING", None)
    assert reply.data is not None
    assert reply.data["estateCase"]["status"] == "COLLECTING"
    (entry,) = await world.entries(reply)
    assert "EstateFinance.deposits" in entry["failed"]
    assert entry["answers"] == {"FINANCE": "PENDING"}


async def test_a_pending_inquiry_is_come_back_to_with_its_ticket_and_never_opened_twice(
    world: World, bureau: Bureau, husbands: str
) -> None:
    for _ in range(3):
        await world.ask(DEPOSITS, {"id": husbands})
    (_, key), *later = bureau.asked
    assert later == [("T-1", key)] * 2
    assert list(bureau.tickets) == [key]


async def test_questions_at_the_same_time_open_one_inquiry(world: World, bureau: Bureau, husbands: str) -> None:
    await asyncio.gather(*(world.ask(DEPOSITS, {"id": husbands}) for _ in range(8)))
    assert len(bureau.tickets) == 1
    found = await world.house.cases.inquiry(world.case_of(husbands), Agency.FINANCE)
    assert found is not None
    assert (found.ticket, found.generation, found.kept) == ("T-1", 1, None)


async def test_an_answer_that_came_is_kept_and_nobody_is_asked_again(
    world: World, bureau: Bureau, husbands: str
) -> None:
    await kept(world, bureau, husbands, balance=4200)
    bureau.deleted.add("T-1")  # the agency's own copy may go
    world.time[0] += timedelta(days=120)
    reply = await world.ask(DEPOSITS, {"id": husbands})
    assert world.contacted == []
    assert (status(reply), finance(reply)["deposits"]) == ("COMPLETE", [{"product": "savings", "balance": 4200}])
    assert finance(reply)["answer"]["visibleUntil"] == "2026-07-02T00:00:00Z"
    (entry,) = await world.entries(reply)
    assert {"Deposit.balance", "Deposit.product"} <= set(entry["disclosed"])


async def test_a_kept_answer_is_shown_with_the_rights_of_the_day(world: World, bureau: Bureau, husbands: str) -> None:
    await kept(world, bureau, husbands)
    weak = await world.ask(DEPOSITS, {"id": husbands}, token=world.token(acr=2))
    assert finance(weak)["deposits"] == [{"product": "savings", "balance": None}]
    world.register.dispute(HUSBAND)
    disputed = await world.ask(DEPOSITS, {"id": husbands})
    assert finance(disputed)["deposits"] == [{"product": "savings", "balance": None}]
    for reply in (weak, disputed):
        (entry,) = await world.entries(reply)
        assert "Deposit.balance" in entry["withheld"]


async def test_what_is_kept_is_sealed(world: World, bureau: Bureau, husbands: str) -> None:
    await kept(world, bureau, husbands)
    found = await world.house.cases.inquiry(world.case_of(husbands), Agency.FINANCE)
    assert found is not None
    assert found.kept is not None
    assert b"savings" not in found.kept
    assert b"savings" in world.house.unsealed(found.kept, found.ticket)


async def test_a_request_opens_a_new_inquiry_once_a_key(world: World, bureau: Bureau, husbands: str) -> None:
    await kept(world, bureau, husbands, balance=1)
    for _ in range(2):
        reply = await again(world, husbands, "renew")
        assert reply.data == {
            "requestAnswers": {"answers": [{"agency": "FINANCE", "status": "PENDING"}], "refusal": None}
        }
    assert [ticket for ticket, _ in bureau.asked] == [None, "T-2"]
    assert len(bureau.tickets) == 2
    bureau.release("T-2", 2)
    await world.ask(DEPOSITS, {"id": husbands})
    assert finance(await world.ask(DEPOSITS, {"id": husbands}))["deposits"] == [{"product": "savings", "balance": 2}]
    found = await world.house.cases.inquiry(world.case_of(husbands), Agency.FINANCE)
    assert found is not None
    assert found.generation == 2


async def test_a_request_while_the_first_is_open_opens_no_second(world: World, bureau: Bureau, husbands: str) -> None:
    await world.ask(DEPOSITS, {"id": husbands})
    await again(world, husbands, "renew")
    assert len(bureau.tickets) == 1


@pytest.mark.usefixtures("bureau")
async def test_a_request_key_stands_for_one_request(world: World, husbands: str, fathers: str) -> None:
    await again(world, husbands, "key")
    for reply in (await again(world, husbands, "key", "LAND"), await again(world, fathers, "key")):
        assert [error["extensions"]["code"] for error in reply.errors] == ["BAD_INPUT"]


async def test_a_request_for_a_foreign_case_asks_nobody(world: World, foreign: str) -> None:
    reply = await again(world, foreign, "key")
    assert [error["extensions"]["code"] for error in reply.errors] == ["NOT_ACCESSIBLE"]
    assert world.contacted == []
    (entry,) = await world.entries(reply)
    assert (entry["outcome"], entry["task"]) == ("REFUSED", "UPDATE")


async def test_an_answer_that_the_agency_deleted_is_expired_until_it_is_asked_anew(
    world: World, bureau: Bureau, husbands: str
) -> None:
    await world.ask(DEPOSITS, {"id": husbands})
    bureau.deleted.add("T-1")
    reply = await world.ask(DEPOSITS, {"id": husbands})
    assert (status(reply), finance(reply)["deposits"]) == ("EXPIRED", None)
    renewed = await again(world, husbands, "renew")
    assert renewed.data is not None
    assert renewed.data["requestAnswers"]["answers"] == [{"agency": "FINANCE", "status": "PENDING"}]
    assert status(await world.ask(DEPOSITS, {"id": husbands})) == "PENDING"
    assert len(bureau.tickets) == 2


# ---------------------------------------------------------------- in the background


async def test_polling_keeps_what_came_and_wakes_who_watches(world: World, bureau: Bureau, husbands: str) -> None:
    case = world.case_of(husbands)
    await world.ask(DEPOSITS, {"id": husbands})
    bureau.release("T-1", 7)
    world.time[0] += timedelta(seconds=world.house.limits.poll_every_s)
    (due,) = await world.house.cases.due(world.time[0], deferred.LEASE)
    woken = asyncio.create_task(world.house.changes.wait(case, 30))
    await asyncio.sleep(0)
    await deferred.poll(world.house, due)
    await asyncio.wait_for(woken, 5)
    assert (await world.house.cases.standings(case))[Agency.FINANCE] is AnswerStatus.COMPLETE
    world.forget()
    assert finance(await world.ask(DEPOSITS, {"id": husbands}))["deposits"] == [{"product": "savings", "balance": 7}]
    assert world.contacted == []
    assert await world.house.cases.due(world.time[0] + timedelta(days=1), deferred.LEASE) == []


async def test_polling_comes_back_later_while_it_is_pending_and_never_when_expired(
    world: World, bureau: Bureau, husbands: str
) -> None:
    await world.ask(DEPOSITS, {"id": husbands})
    cases = world.house.cases
    world.time[0] += timedelta(minutes=5)
    (due,) = await cases.due(world.time[0], deferred.LEASE)
    await deferred.poll(world.house, due)
    assert await cases.due(world.time[0] + deferred.LEASE, deferred.LEASE) == []
    world.time[0] += timedelta(hours=1)
    (due,) = await cases.due(world.time[0], deferred.LEASE)
    bureau.deleted.add("T-1")
    await deferred.poll(world.house, due)
    assert await cases.due(world.time[0] + timedelta(days=30), deferred.LEASE) == []


async def test_a_callback_is_taken_once_and_only_about_its_own_person(
    world: World, bureau: Bureau, husbands: str
) -> None:
    await world.ask(DEPOSITS, {"id": husbands})
    bureau.release("T-1", 9)
    person = world.house.ids.sector_id(Agency.FINANCE, HUSBAND)
    body = bureau.body(person, "T-1")
    others = Callback(ticket="T-1", person=world.house.ids.sector_id(Agency.FINANCE, "x" * 26), body=body)  # type: ignore[arg-type]  # nobody
    unknown = Callback(ticket="T-9", person=person, body=body)
    good = Callback(ticket="T-1", person=person, body=body)
    assert [await deferred.called_back(world.house, each) for each in (others, unknown)] == [409, 409]
    assert [await deferred.called_back(world.house, good) for _ in range(2)] == [200, 200]
    world.forget()
    assert finance(await world.ask(DEPOSITS, {"id": husbands}))["deposits"] == [{"product": "savings", "balance": 9}]
    assert world.contacted == []


async def test_who_watches_a_case_is_told_with_an_entry_of_its_own(world: World, bureau: Bureau, husbands: str) -> None:
    await world.ask(DEPOSITS, {"id": husbands})
    text = "subscription ($id: ID!) { caseUpdated(id: $id) { case { id status } answer { agency status } } }"
    stream = await world.graph.subscribe(world.request(text, {"id": husbands}))
    assert not isinstance(stream, Reply)
    bureau.release("T-1", 7)
    coming = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    inquiry = await world.house.cases.inquiry(world.case_of(husbands), Agency.FINANCE)
    assert inquiry is not None
    await deferred.poll(world.house, inquiry)
    event = await asyncio.wait_for(coming, 5)
    assert event.data is not None, event.errors
    assert event.data["caseUpdated"]["answer"] == {"agency": "FINANCE", "status": "COMPLETE"}
    (entry,) = await world.entries(event)
    assert entry["staff"]["subject"] == HUSBAND
    assert {"Answer.status", "CaseUpdate.answer"} <= set(entry["disclosed"])
    await stream.aclose()  # type: ignore[attr-defined]  # an async generator


@pytest.mark.usefixtures("bureau")
async def test_watching_ends_with_the_mandate(world: World, husbands: str) -> None:
    await world.ask(DEPOSITS, {"id": husbands})
    text = "subscription ($id: ID!) { caseUpdated(id: $id) { answer { status } } }"
    stream = await world.graph.subscribe(world.request(text, {"id": husbands}))
    assert not isinstance(stream, Reply)
    case = world.case_of(husbands)
    (mandate,) = await world.house.cases.mandates(case)
    await world.house.cases.revoke(mandate.id, mandate.holder, "Enough.", NOW)
    await world.house.cases.note(case, {Agency.FINANCE: AnswerStatus.COMPLETE}, NOW)
    replies = [reply async for reply in stream]
    assert [reply.data for reply in replies] == [None]
    assert replies[0].errors[0]["extensions"]["code"] == "NOT_ACCESSIBLE"


async def test_all_six_agencies_are_asked_before_any_is_waited_for(world: World, husbands: str) -> None:
    for agency in world.estate.values():
        agency.released.clear()
    asking = asyncio.create_task(
        world.ask("query ($id: ID!) { estateCase(id: $id) { answers { agency status } } }", {"id": husbands})
    )
    async with asyncio.timeout(10):
        await asyncio.gather(*(agency.entered.wait() for agency in world.estate.values()))
    for agency in world.estate.values():
        agency.released.set()
    reply = await asking
    assert not reply.errors
    assert [len(agency.asked) for agency in world.estate.values()] == [1] * 6


async def test_deadlines_know_the_day_of_an_answer_that_comes_with_the_same_question(
    world: World, bureau: Bureau, husbands: str
) -> None:
    await world.ask(DEPOSITS, {"id": husbands})
    bureau.release("T-1", 1000)
    bureau.agency.released.clear()
    text = "query ($id: ID!) { estateCase(id: $id) { deadlines { code dueOn } finance { answer { status } } } }"
    asked = asyncio.ensure_future(world.ask(text, {"id": husbands}))
    await bureau.agency.entered.wait()
    asyncio.get_running_loop().call_later(0.2, bureau.agency.released.set)
    reply = await asked
    assert status(reply) == "COMPLETE"
    again_ = await world.ask(text, {"id": husbands})
    assert reply.data is not None
    assert again_.data is not None
    assert reply.data["estateCase"]["deadlines"] == again_.data["estateCase"]["deadlines"]
    assert "2026-07-02" in {each["dueOn"] for each in reply.data["estateCase"]["deadlines"]}


async def test_an_entry_says_how_an_agency_answered_whose_field_was_not_looked_at_any_more(
    world: World, husbands: str
) -> None:
    land, tax = world.estate[Agency.LAND], world.estate[Agency.TAX]
    sound = land.answered

    def broken(asked: Asked) -> Answered[Any]:
        land.answers = None
        said = sound(asked)
        land.answers = broken
        said.section.answer.source = None  # type: ignore[assignment]  # which none may be: the whole case is null
        return said

    land.answers = broken
    tax.released.clear()
    text = "query ($id: ID!) { estateCase(id: $id) { land { answer { source } } tax { answer { status } } } }"
    asked = asyncio.ensure_future(world.ask(text, {"id": husbands}))
    await tax.entered.wait()
    asyncio.get_running_loop().call_later(0.2, tax.released.set)
    reply = await asked
    assert reply.data == {"estateCase": None}
    (entry,) = await world.entries(reply)
    assert entry["answers"] == {"LAND": "COMPLETE", "TAX": "COMPLETE"}
