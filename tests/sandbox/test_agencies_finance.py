"""The inquiry service over real HTTP: tickets, polls and callbacks, compared with docs/wire/README.md."""

import asyncio
import json
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from joserfc import jws
from joserfc.errors import BadSignatureError
from joserfc.jwk import KeySet
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox import facts
from sandbox.agencies.finance import finance
from sandbox.facts import Holdings
from sandbox.identifiers import sector_id

NOBODY = Holdings(None, None, None, None, None, None)
KB = facts.Institution("004", "KB국민은행", "BANK", "1588-0000")
CARD = facts.Institution("381", "국민카드", "CARD", None)
HELD = replace(
    NOBODY,
    finance=facts.FinanceFacts(
        (
            facts.InstitutionFacts(
                KB,
                deposits=(facts.Deposit("d1", "보통예금", "1234", 1_500_000, dormant=False, jointly_held=True),),
                loans=(facts.Loan("l1", "주택담보대출", 90_000_000, 120_000, secured=True),),
                securities=(facts.Security("s1", "KR7000010009", "가온전자", Decimal(10), 720_000),),
                insurance=(facts.Policy("p1", "종신보험", "POLICYHOLDER", 8_000_000, None, None, "이서연"),),
                guarantees=(facts.Guarantee("g1", 5_000_000, 0),),
                custody=(facts.Custody("c1", "SAFE_BOX", "의성지점"),),
                vouchers=(
                    facts.Voucher("v1", "첫만남이용권", "First encounter voucher", 2_000_000, date(2028, 10, 1)),
                ),
            ),
            facts.InstitutionFacts(CARD, cards=(facts.Card("k1", 340_000),)),
        )
    ),
)


@dataclass
class Listener:
    """Where callbacks go; answers each with the next status of `answers`, then with 200."""

    answers: list[int] = field(default_factory=list)
    heard: asyncio.Queue[tuple[str, str | None, bytes]] = field(default_factory=asyncio.Queue)

    def application(self) -> Starlette:
        async def hear(request: Request) -> Response:
            body = await request.body()
            signature = request.headers["x-signature"]
            await self.heard.put((signature, request.headers.get("content-type"), body))
            return Response(status_code=self.answers.pop(0) if self.answers else 200)

        return Starlette(routes=[Route("/callbacks/finance", hear, methods=["POST"])])


@pytest.fixture
def listener() -> Listener:
    return Listener()


async def inquire(port: Any, sid: str, *, key: str | None = "k", scope: str = "ESTATE", **more: Any) -> Any:
    own = str(uuid4())
    body = {"requestId": own, "personId": sid, "scope": scope, "callbackUrl": None} | more
    return await port.ask("/v1/inquiries", method="POST", headers={"Idempotency-Key": key}, body=body, request_id=own)


async def poll(port: Any, ticket: str) -> Any:
    return await port.ask(f"/v1/inquiries/{ticket}")


async def test_an_inquiry_gets_a_ticket_and_the_first_poll_has_the_answer(world: Any, opened: Any) -> None:
    sid = sector_id("FINANCE", world.person("a", HELD))
    port = await opened(finance(world.state("FINANCE")))
    received = await inquire(port, sid)
    ticket = received.json["ticket"]
    assert received.status == 202
    assert received.json == {
        "requestId": received.request_id,
        "personId": sid,
        "ticket": ticket,
        "expectedBy": "2026-11-20",  # yesterday in Korea
    }
    answered = await poll(port, ticket)
    assert answered.status == 200
    assert answered.json == {
        "requestId": answered.request_id,
        "personId": sid,
        "ticket": ticket,
        "receivedAt": "2026-11-21T03:00:00Z",
        "visibleUntil": "2027-02-21T03:00:00Z",
        "asOf": "2026-11-20T15:00:00Z",
        "parts": [
            {
                "personId": sid,
                "institution": {"code": "004", "name": "KB국민은행", "sector": "BANK", "phone": "1588-0000"},
                "state": "COMPLETE",
                "error": None,
                "deposits": [
                    {
                        "reference": "d1",
                        "product": "보통예금",
                        "numberSuffix": "1234",
                        "balance": 1500000,
                        "dormant": False,
                        "jointlyHeld": True,
                    }
                ],
                "loans": [
                    {
                        "reference": "l1",
                        "product": "주택담보대출",
                        "principal": 90000000,
                        "interestDue": 120000,
                        "secured": True,
                    }
                ],
                "securities": [
                    {
                        "reference": "s1",
                        "isin": "KR7000010009",
                        "name": "가온전자",
                        "quantity": "10",
                        "marketValue": 720000,
                    }
                ],
                "insurance": [
                    {
                        "reference": "p1",
                        "product": "종신보험",
                        "role": "POLICYHOLDER",
                        "surrenderValue": 8000000,
                        "policyLoan": None,
                        "partOfEstate": None,
                        "beneficiaryName": "이서연",
                    }
                ],
                "cards": [],
                "guarantees": [{"reference": "g1", "limit": 5000000, "outstanding": 0}],
                "custody": [{"reference": "c1", "kind": "SAFE_BOX", "location": "의성지점"}],
            },
            {
                "personId": sid,
                "institution": {"code": "381", "name": "국민카드", "sector": "CARD", "phone": None},
                "state": "COMPLETE",
                "error": None,
                **{name: [] for name in ("deposits", "loans", "securities", "insurance", "guarantees", "custody")},
                "cards": [{"reference": "k1", "unpaid": 340000}],
            },
        ],
    }


async def test_an_inquiry_about_a_birth_is_told_of_deposits_and_vouchers_only(world: Any, opened: Any) -> None:
    sid = sector_id("FINANCE", world.person("a", HELD))
    port = await opened(finance(world.state("FINANCE")))
    (part,) = (await poll(port, (await inquire(port, sid, scope="BIRTH")).json["ticket"])).json["parts"]
    assert part.keys() == {"personId", "institution", "state", "error", "deposits", "vouchers"}
    assert part["vouchers"] == [
        {
            "reference": "v1",
            "nameKo": "첫만남이용권",
            "nameEn": "First encounter voucher",
            "balance": 2000000,
            "expiresOn": "2028-10-01",
        }
    ]


async def test_the_same_key_gives_the_same_ticket_also_to_fifty_requests_at_once(world: Any, opened: Any) -> None:
    sid, other = (sector_id("FINANCE", world.person(letter, HELD)) for letter in "ab")
    port = await opened(finance(world.state("FINANCE")))
    replies = await asyncio.gather(*(inquire(port, sid, key="one") for _ in range(50)))
    assert {reply.status for reply in replies} == {202}
    assert len({reply.json["ticket"] for reply in replies}) == 1
    assert all(reply.json["requestId"] == reply.request_id for reply in replies)
    assert (await inquire(port, sid, key="two")).json["ticket"] != replies[0].json["ticket"]
    assert (await inquire(port, other, key="one")).status == 400
    assert (await inquire(port, sid, key="one", scope="BIRTH")).status == 400


async def test_an_inquiry_that_cannot_be_is_refused(world: Any, opened: Any) -> None:
    sid = sector_id("FINANCE", world.person("a", HELD))
    port = await opened(finance(world.state("FINANCE")))
    for wrong in (
        {"key": None},
        {"scope": "ALL"},
        {"requestId": "f6f9f3a5-0000-4000-8000-000000000000"},
        {"callbackUrl": "http://192.0.2.7/callbacks/finance"},
        {"callbackUrl": "http://callbacks.invalid/"},
        {"callbackUrl": "file:///etc/hosts"},
        {"callbackUrl": 7},
        {"personId": "tax1_" + "a" * 26},
    ):
        reply = await inquire(port, sid, **wrong)
        assert (reply.status, reply.json) == (400, {"error": "BAD_REQUEST", "requestId": reply.request_id})
    unspoken: Any
    for unspoken in ([], {}, "x"):
        reply = await port.ask("/v1/inquiries", method="POST", headers={"Idempotency-Key": "k"}, body=unspoken)
        assert reply.status == 400


async def test_that_nobody_holds_anything_is_said_at_once(world: Any, opened: Any) -> None:
    nobody = sector_id("FINANCE", world.person("a", NOBODY))
    stranger = sector_id("FINANCE", facts.Subject("z" * 26))
    port = await opened(finance(world.state("FINANCE")))
    for sid in (nobody, stranger):
        reply = await inquire(port, sid)
        assert (reply.status, reply.json) == (
            404,
            {"error": "UNKNOWN_PERSON", "personId": sid, "requestId": reply.request_id},
        )


async def test_a_ticket_can_be_unknown_deleted_or_outlive_its_three_months(world: Any, opened: Any) -> None:
    sid = sector_id("FINANCE", world.person("a", HELD))
    world.clock.at = datetime(2026, 11, 30, 3, 0, tzinfo=UTC)
    port = await opened(finance(world.state("FINANCE")))
    reply = await poll(port, "nothing")
    assert (reply.status, reply.json) == (404, {"error": "UNKNOWN_TICKET", "requestId": reply.request_id})
    assert (await poll(port, "x")).status == 404

    first, second = [(await inquire(port, sid, key=key)).json["ticket"] for key in "ab"]
    assert (await poll(port, first)).json["visibleUntil"] == "2027-02-28T03:00:00Z"  # no 30 February
    assert (await port.ask(f"/sandbox/delete/{first}", method="POST")).status == 200
    reply = await poll(port, first)
    assert (reply.status, reply.json) == (410, {"error": "DELETED", "requestId": reply.request_id})
    assert (await port.ask("/sandbox/delete/nothing", method="POST")).status == 404

    world.clock.at = datetime(2027, 2, 28, 2, 59, 59, tzinfo=UTC)
    assert (await poll(port, second)).status == 200
    world.clock.at += timedelta(seconds=1)
    assert (await poll(port, second)).status == 410
    assert (await port.ask(f"/v1/inquiries/{second}", headers={"X-Client-Id": "x"})).status == 403


async def test_one_institution_can_fail_and_then_names_no_lists(world: Any, opened: Any) -> None:
    sid = sector_id("FINANCE", world.person("a", HELD))
    port = await opened(finance(world.state("FINANCE")))
    ticket = (await inquire(port, sid)).json["ticket"]
    await port.set_faults(sid, {"kind": "FAILED", "institution": "381"})
    complete, failed = (await poll(port, ticket)).json["parts"]
    assert complete["state"] == "COMPLETE"
    assert failed == {
        "personId": sid,
        "institution": {"code": "381", "name": "국민카드", "sector": "CARD", "phone": None},
        "state": "FAILED",
        "error": "INSTITUTION_TIMEOUT",
    }
    assert await port.fired(sid) == 1
    await port.set_faults(sid, {"kind": "FAILED"})
    parts = (await poll(port, ticket)).json["parts"]
    assert [part["state"] for part in parts] == ["FAILED", "FAILED"]
    assert await port.fired(sid) == 1


async def test_the_service_can_be_down_for_inquiries_and_for_polls(world: Any, opened: Any) -> None:
    sid = sector_id("FINANCE", world.person("a", HELD))
    port = await opened(finance(world.state("FINANCE")))
    ticket = (await inquire(port, sid)).json["ticket"]
    await port.set_faults(sid, {"kind": "DOWN"})
    for reply in (await inquire(port, sid), await poll(port, ticket)):
        assert (reply.status, reply.media_type) == (503, "text/html")
    assert await port.fired(sid) == 2


async def test_a_late_answer_comes_on_its_day_and_calls_back(world: Any, opened: Any, listener: Listener) -> None:
    sid = sector_id("FINANCE", world.person("a", HELD))
    port = await opened(finance(world.state("FINANCE"), look_every_s=0.01))
    house = await opened(listener.application())
    await port.set_faults(sid, {"kind": "LATE", "expectedBy": "2026-12-03"})
    received = await inquire(port, sid, callbackUrl=f"{house.url}/callbacks/finance")
    assert (received.status, received.json["expectedBy"]) == (202, "2026-12-03")
    ticket = received.json["ticket"]
    pending = await poll(port, ticket)
    assert (pending.status, pending.json) == (
        202,
        {"requestId": pending.request_id, "personId": sid, "ticket": ticket, "expectedBy": "2026-12-03"},
    )
    assert await port.fired(sid) == 2

    world.clock.at = datetime(2026, 12, 2, 15, 0, tzinfo=UTC)  # midnight in Korea
    signature, media_type, body = await listener.heard.get()
    answered = await poll(port, ticket)
    assert answered.status == 200
    assert media_type == "application/json"
    assert json.loads(body) == answered.json | {"requestId": received.request_id}

    keys = KeySet.import_key_set((await port.ask("/v1/jwks.json", headers={"X-Client-Id": None})).json)
    assert all(not key.is_private for key in keys.keys)
    header = verified(signature, body, keys)
    assert header == {
        "alg": "ES256",
        "typ": "finance-callback+jws",
        "kid": keys.keys[0].kid,
        "iat": int(world.clock.at.timestamp()),
    }
    for place in (0, len(body) // 2, len(body) - 1):
        changed = body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]
        with pytest.raises(BadSignatureError):
            verified(signature, changed, keys)


def verified(signature: str, body: bytes, keys: KeySet) -> Any:
    """Header of a detached signature over these bytes."""
    head, nothing, tail = signature.split(".")
    assert nothing == ""
    payload = urlsafe_b64encode(body).decode().rstrip("=")
    registry = jws.JWSRegistry(algorithms=["ES256"], strict_check_header=False)
    return jws.deserialize_compact(f"{head}.{payload}.{tail}", keys, registry=registry).protected


async def test_a_released_inquiry_calls_back_until_it_is_taken_and_never_again(
    world: Any, opened: Any, listener: Listener
) -> None:
    sid = sector_id("FINANCE", world.person("a", HELD))
    port = await opened(finance(world.state("FINANCE"), look_every_s=0.01, pauses_s=(0.01, 0.01, 0.01)))
    house = await opened(listener.application())
    listener.answers = [503, 409]
    await port.set_faults(sid, {"kind": "LATE", "expectedBy": "2026-12-03"})
    url = f"{house.url}/callbacks/finance"
    ticket = (await inquire(port, sid, callbackUrl=url)).json["ticket"]
    assert (await port.ask(f"/sandbox/release/{sid}", method="POST")).json == {"released": 1}
    assert (await poll(port, ticket)).status == 200
    calls = [await listener.heard.get() for _ in range(3)]
    assert len({body for _, _, body in calls}) == 1
    assert (await port.ask(f"/sandbox/release/{sid}", method="POST")).json == {"released": 0}

    # Another inquiry's callback comes next, so nothing more was sent for the first.
    second = (await inquire(port, sid, key="two", callbackUrl=url)).json["ticket"]
    await port.ask(f"/sandbox/release/{sid}", method="POST")
    assert json.loads((await listener.heard.get())[2])["ticket"] == second


async def test_a_callback_that_is_never_taken_is_sent_four_times(world: Any, opened: Any, listener: Listener) -> None:
    sid, other = (sector_id("FINANCE", world.person(letter, HELD)) for letter in "ab")
    port = await opened(finance(world.state("FINANCE"), look_every_s=0.01, pauses_s=(0.0, 0.0, 0.0)))
    house = await opened(listener.application())
    listener.answers = [500] * 4
    url = f"{house.url}/callbacks/finance"
    for person in (sid, other):
        await port.set_faults(person, {"kind": "LATE", "expectedBy": "2026-12-03"})
        await inquire(port, person, key=person, callbackUrl=url)
    await port.ask(f"/sandbox/release/{sid}", method="POST")
    for _ in range(4):
        assert json.loads((await listener.heard.get())[2])["personId"] == sid
    await port.ask(f"/sandbox/release/{other}", method="POST")
    assert json.loads((await listener.heard.get())[2])["personId"] == other


async def test_an_answer_expected_in_the_past_is_there_and_brings_no_callback(
    world: Any, opened: Any, listener: Listener
) -> None:
    sid, late = (sector_id("FINANCE", world.person(letter, HELD)) for letter in "ab")
    port = await opened(finance(world.state("FINANCE"), look_every_s=0.01))
    house = await opened(listener.application())
    url = f"{house.url}/callbacks/finance"
    await port.set_faults(sid, {"kind": "LATE", "expectedBy": "2026-11-02"})
    received = await inquire(port, sid, key="past", callbackUrl=url)
    assert received.json["expectedBy"] == "2026-11-02"
    assert (await poll(port, received.json["ticket"])).status == 200

    await port.set_faults(late, {"kind": "LATE", "expectedBy": "2026-12-02"})
    await inquire(port, late, key="future", callbackUrl=url)
    await port.ask(f"/sandbox/release/{late}", method="POST")
    assert json.loads((await listener.heard.get())[2])["personId"] == late
