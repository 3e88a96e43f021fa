import asyncio
import json
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from connectors import land
from connectors.connector import Answered, Asked
from connectors.transport import BODY_LIMIT, Transport, WireReply
from schema.answer import AnswerStatus, KnownFact
from schema.disclosure import Agency
from schema.land import BirthLand, EncumbranceKind, EstateLand, LandLedger
from schema.person import Fraction
from tests.connectors.wire import (
    NOW,
    Answering,
    Reply,
    Seen,
    question,
    raw_reply,
    reply_json,
    request_head,
    serving,
    serving_raw,
)

ME = "lan1_" + "a" * 26
OTHER = "lan1_" + "b" * 26
PARTNER = "lan1_" + "c" * 26
ALL = (
    "EstateLand.parcels",
    "EstateLand.buildings",
    "LandParcel.ownershipShare",
    "LandParcel.pricePerM2",
    "LandParcel.priceYear",
    "LandParcel.assessedValue",
    "LandParcel.acquiredOn",
    "LandParcel.acquisitionCause",
    "LandParcel.encumbrances",
    "Building.name",
    "Building.approvedOn",
    "Building.ownershipShare",
    "Building.assessedValue",
    "Building.encumbrances",
    "Encumbrance.kind",
    "Encumbrance.holder",
    "Encumbrance.maximumClaim",
    "Encumbrance.registeredOn",
)
BIRTH = ("BirthLand.homes", "BirthLand.newHomeTaxRelief")

PARCEL: dict[str, Any] = {
    "ownerId": ME,
    "pnu": "4728010100100120003",
    "address": "경상북도 문경시 점촌동 12-3",
    "ledger": "LAND",
    "category": "전",
    "areaM2": "1234.57",
    "share": {"numerator": 1, "denominator": 3},
    "pricePerM2": 123001,
    "priceYear": 2026,
    "acquiredOn": "1999-05-01",
    "acquisitionCause": "상속",
}
BUILDING: dict[str, Any] = {
    "ownerId": ME,
    "registerNumber": "47280-1",
    "pnu": "4728010100100120004",
    "name": "하늘마을",
    "address": "문경시 하늘로 1, 101동 1001호",
    "purpose": "아파트",
    "areaM2": "84.99",
    "approvedOn": "2004-02-29",
    "share": {"numerator": 2, "denominator": 4},
    "housePrice": 540000001,
}
MORTGAGE: dict[str, Any] = {
    "ownerId": ME,
    "pnu": PARCEL["pnu"],
    "kind": "MORTGAGE",
    "holder": "국민은행",
    "maximumClaim": 120000000,
    "registeredOn": "2015-03-02",
    "releasedOn": None,
}
RELEASED = MORTGAGE | {"kind": "ATTACHMENT", "pnu": None, "registerNumber": "47280-1", "releasedOn": "2020-01-01"}
LISTS: dict[str, list[dict[str, Any]]] = {
    "parcels": [PARCEL],
    "buildings": [BUILDING],
    "encumbrances": [MORTGAGE, RELEASED],
}


def page(seen: Seen, items: Sequence[Mapping[str, Any]], **other: Any) -> dict[str, Any]:
    owner = seen.path.split("/")[3]
    return {
        "requestId": seen.request_id,
        "ownerId": owner,
        "asOf": "2026-11-21T00:00:00Z",
        "total": len(items),
        "items": items,
        "next": None,
    } | other


def endpoint(seen: Seen) -> str:
    return seen.path.rpartition("/")[2]


def good(seen: Seen) -> Reply:
    return reply_json(page(seen, LISTS[endpoint(seen)]))


def with_parcel(**changed: Any) -> Answering:
    return with_list("parcels", [PARCEL | changed])


def with_list(name: str, items: Sequence[Mapping[str, Any]]) -> Answering:
    return lambda seen: reply_json(page(seen, items if endpoint(seen) == name else LISTS[endpoint(seen)]))


def instead(name: str, reply: Callable[[Seen], Reply]) -> Answering:
    return lambda seen: reply(seen) if endpoint(seen) == name else good(seen)


def unknown_person(seen: Seen, **changed: Any) -> Reply:
    owner = seen.path.split("/")[3]
    return reply_json({"error": "UNKNOWN_PERSON", "ownerId": owner, "requestId": seen.request_id} | changed, 404)


async def ask(base_url: str, *asked: Asked, timeout_s: float = 30) -> Sequence[Answered[EstateLand]]:
    transport = Transport(Agency.LAND, base_url, timeout_s=timeout_s)
    try:
        return await land.estate(transport, lambda: NOW).fetch(asked)
    finally:
        await transport.close()


async def told(answering: Answering, *coordinates: str) -> tuple[Answered[EstateLand], list[Seen]]:
    async with serving(answering) as agency:
        (answered,) = await ask(agency.base_url, question(ME, *(coordinates or ALL)))
    return answered, agency.seen


def codes(answered: Answered[Any]) -> list[tuple[str, str | None]]:
    return [(problem.code, problem.institution) for problem in answered.answer.problems]


def unreadable(answered: Answered[EstateLand], code: str) -> None:
    assert codes(answered) == [(code, None)]
    assert answered.answer.status is AnswerStatus.UNREADABLE
    assert (answered.section.parcels, answered.section.buildings) == (None, None)


# ---------------------------------------------------------------- what is held


async def test_an_estate_is_parcels_and_buildings_with_what_weighs_on_them() -> None:
    answered, seen = await told(good)
    answer, section = answered.answer, answered.section
    assert section.answer is answer
    assert answer.status is AnswerStatus.COMPLETE
    assert (answer.agency, answer.source) == (Agency.LAND, land.SOURCE)
    assert (answer.requested_at, answer.retrieved_at) == (NOW, NOW)
    assert answer.as_of == datetime(2026, 11, 21, tzinfo=UTC)
    assert answer.source_reference in {one.request_id for one in seen}
    assert answer.problems == []
    (parcel,) = section.parcels or []
    assert (parcel.pnu, parcel.ledger, parcel.category) == (PARCEL["pnu"], LandLedger.LAND, "전")
    assert parcel.area_m2 == Decimal("1234.57")
    assert parcel.ownership_share == Fraction(numerator=1, denominator=3)
    assert parcel.assessed_value == 123001 * 123457 // 300
    assert (parcel.acquired_on, parcel.acquisition_cause) == (date(1999, 5, 1), "상속")
    (mortgage,) = parcel.encumbrances or []
    assert (mortgage.kind, mortgage.holder, mortgage.maximum_claim) == (EncumbranceKind.MORTGAGE, "국민은행", 120000000)
    (building,) = section.buildings or []
    assert building.ownership_share == Fraction(numerator=1, denominator=2)
    assert building.assessed_value == 270000000
    assert building.approved_on == date(2004, 2, 29)
    assert building.encumbrances == []
    assert {endpoint(one) for one in seen} == {"parcels", "buildings", "encumbrances"}
    assert {one.headers["X-Purpose"] for one in seen} == {"ESTATE_DISCOVERY"}


async def test_a_value_is_not_known_when_price_or_share_is_not() -> None:
    for changed in ({"share": None}, {"pricePerM2": None}):
        answered, _ = await told(with_parcel(**changed))
        (parcel,) = answered.section.parcels or []
        assert parcel.assessed_value is None
        assert answered.answer.status is AnswerStatus.COMPLETE


async def test_pages_are_read_to_the_last_one() -> None:
    parcels = [PARCEL | {"pnu": f"4728010100100{number:06d}"} for number in range(200)]

    def paged(seen: Seen) -> Reply:
        if endpoint(seen) != "parcels":
            return reply_json(page(seen, []))
        start = int(seen.query.get("cursor", "0"))
        following = start + 20
        return reply_json(
            page(seen, parcels[start:following], total=200, next=str(following) if following < 200 else None)
        )

    answered, seen = await told(paged)
    assert answered.answer.status is AnswerStatus.COMPLETE
    assert [one.pnu for one in answered.section.parcels or []] == [one["pnu"] for one in parcels]
    assert len([one for one in seen if endpoint(one) == "parcels"]) == 10


async def test_several_persons_are_answered_in_the_order_asked_each_by_themself() -> None:
    def answering(seen: Seen) -> Reply:
        owner = seen.path.split("/")[3]
        if owner == OTHER:
            return Reply(status=500)
        return reply_json(page(seen, [one | {"ownerId": owner} for one in LISTS[endpoint(seen)]]))

    async with serving(answering) as agency:
        answered = await ask(agency.base_url, *(question(one, *ALL) for one in (PARTNER, OTHER, ME)))
    assert [one.answer.status.name for one in answered] == ["COMPLETE", "UNAVAILABLE", "COMPLETE"]


# ---------------------------------------------------------------- what may be read


async def test_what_is_not_allowed_is_not_asked() -> None:
    answered, seen = await told(good, "EstateLand.parcels", "Building.encumbrances")
    assert [endpoint(one) for one in seen] == ["parcels"]
    assert answered.section.buildings is None
    (parcel,) = answered.section.parcels or []
    assert parcel.address == PARCEL["address"]
    withheld = (
        parcel.ownership_share,
        parcel.price_per_m2,
        parcel.price_year,
        parcel.assessed_value,
        parcel.acquired_on,
        parcel.acquisition_cause,
        parcel.encumbrances,
    )
    assert withheld == (None,) * 7
    assert answered.answer.status is AnswerStatus.COMPLETE


async def test_nobody_is_asked_when_nothing_may_be_read() -> None:
    answered, seen = await told(good, "BirthLand.homes")
    assert seen == []
    assert not answered.asked_agency
    assert answered.answer.status is AnswerStatus.REFUSED
    assert answered.answer.requested_at is None
    assert codes(answered) == [("NOTHING_ALLOWED", None)]


async def test_no_parcels_among_unasked_buildings_is_not_called_nothing_held() -> None:
    answered, _ = await told(with_list("parcels", []), "EstateLand.parcels")
    assert answered.answer.status is AnswerStatus.COMPLETE
    assert (answered.section.parcels, answered.section.buildings) == ([], None)


async def test_a_masked_holder_keeps_the_first_syllable() -> None:
    async with serving(good) as agency:
        (answered,) = await ask(agency.base_url, question(ME, *ALL, masked=frozenset({"Encumbrance.holder"})))
        (withheld,) = await ask(agency.base_url, question(ME, *(one for one in ALL if one != "Encumbrance.holder")))
    assert (answered.section.parcels or [])[0].encumbrances[0].holder == "국**"  # type: ignore[index]
    assert (withheld.section.parcels or [])[0].encumbrances[0].holder is None  # type: ignore[index]


# ---------------------------------------------------------------- nothing held, and what is not that


async def test_the_agencys_own_unknown_person_means_nothing_held() -> None:
    answered, seen = await told(unknown_person)
    assert answered.answer.status is AnswerStatus.NONE_HELD
    assert (answered.section.parcels, answered.section.buildings) == ([], [])
    assert answered.answer.source_reference in {one.request_id for one in seen}


async def test_empty_lists_mean_nothing_held() -> None:
    answered, _ = await told(lambda seen: reply_json(page(seen, [])))
    assert answered.answer.status is AnswerStatus.NONE_HELD
    assert (answered.section.parcels, answered.section.buildings) == ([], [])


async def test_never_heard_of_and_yet_holding_something_is_unreadable() -> None:
    answered, _ = await told(instead("buildings", unknown_person))
    unreadable(answered, "CONTRADICTION")


NOT_ANSWERS: list[tuple[str, Reply, str]] = [
    ("an HTML page", Reply(b"<html>maintenance</html>", content_type="text/html"), "NOT_AN_ANSWER"),
    ("an untyped body", Reply(b"{}", content_type="application/octet-stream"), "NOT_AN_ANSWER"),
    ("no content", Reply(status=204), "NOT_AN_ANSWER"),
    ("an empty body", Reply(), "NOT_AN_ANSWER"),
    ("a foreign 404", Reply(b"<h1>Not Found</h1>", 404, "text/html"), "NOT_AN_ANSWER"),
    ("a proxy's JSON 404", Reply(b'{"error": "NO_ROUTE"}', 404), "NOT_AN_ANSWER"),
    ("a redirect", Reply(status=302, headers={"Location": "/elsewhere"}), "NOT_AN_ANSWER"),
    ("a bad request", Reply(b'{"error": "BAD_REQUEST"}', 400), "NOT_AN_ANSWER"),
    ("an error page", Reply(b"<h1>503</h1>", 503, "text/html"), "AGENCY_ERROR"),
]


@pytest.mark.parametrize(("reply", "code"), [one[1:] for one in NOT_ANSWERS], ids=[one[0] for one in NOT_ANSWERS])
async def test_what_is_not_the_agency_speaking_is_unavailable_and_never_none(reply: Reply, code: str) -> None:
    answered, seen = await told(lambda _: reply)
    assert len(seen) == 3
    assert answered.answer.status is AnswerStatus.UNAVAILABLE
    assert codes(answered) == [(code, None)]
    assert (answered.section.parcels, answered.section.buildings) == (None, None)
    assert answered.answer.retrieved_at is None


async def test_the_agency_says_when_to_come_back() -> None:
    answered, _ = await told(lambda _: Reply(status=503, headers={"Retry-After": "30"}))
    assert answered.answer.retry_after_seconds == 30


async def test_a_refused_connection_is_unavailable() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    (answered,) = await ask(f"http://127.0.0.1:{port}", question(ME, *ALL))
    assert answered.answer.status is AnswerStatus.UNAVAILABLE
    assert codes(answered) == [("CONNECTION_FAILED", None)]


async def test_an_agency_that_refuses_is_refused() -> None:
    def refusing(seen: Seen) -> Reply:
        return reply_json({"error": "PURPOSE_REFUSED", "requestId": seen.request_id}, 403)

    answered, _ = await told(refusing)
    assert answered.answer.status is AnswerStatus.REFUSED
    assert codes(answered) == [("PURPOSE_REFUSED", None)]
    assert answered.section.parcels is None


async def test_an_agency_that_will_answer_later_is_pending() -> None:
    def late(seen: Seen) -> Reply:
        said = {"requestId": seen.request_id, "ownerId": ME, "state": "PENDING", "expectedBy": "2026-12-01"}
        return reply_json(said, 202)

    answered, _ = await told(late)
    assert answered.answer.status is AnswerStatus.PENDING
    assert answered.answer.expected_by == date(2026, 12, 1)
    assert answered.section.parcels is None


# ---------------------------------------------------------------- part of it


async def test_slow_encumbrances_leave_the_parcels_and_are_not_known() -> None:
    asked, enough = asyncio.Event(), asyncio.Event()

    async def answering(seen: Seen) -> Reply:
        if endpoint(seen) == "encumbrances":
            asked.set()
            await enough.wait()
        return good(seen)

    async with serving(answering) as agency:
        (answered,) = await ask(agency.base_url, question(ME, *ALL), timeout_s=0.5)
        enough.set()
    assert asked.is_set()
    assert answered.answer.status is AnswerStatus.PARTIAL
    assert codes(answered) == [("TIMEOUT", "encumbrances")]
    assert [one.encumbrances for one in answered.section.parcels or []] == [None]
    assert [one.encumbrances for one in answered.section.buildings or []] == [None]


async def test_one_failing_list_leaves_the_other() -> None:
    answered, _ = await told(instead("parcels", lambda _: Reply(status=500)))
    assert answered.answer.status is AnswerStatus.PARTIAL
    assert codes(answered) == [("AGENCY_ERROR", "parcels")]
    assert answered.section.parcels is None
    assert len(answered.section.buildings or []) == 1


async def test_encumbrances_alone_are_no_answer() -> None:
    answered, _ = await told(lambda seen: good(seen) if endpoint(seen) == "encumbrances" else Reply(status=500))
    assert answered.answer.status is AnswerStatus.UNAVAILABLE


# ---------------------------------------------------------------- somebody else's


def foreign_record(seen: Seen) -> Reply:
    return reply_json(page(seen, [PARCEL | {"ownerId": OTHER}]))


def foreign_body(seen: Seen) -> Reply:
    return reply_json(page(seen, [PARCEL], ownerId=OTHER))


def foreign_echo(seen: Seen) -> Reply:
    return reply_json(page(seen, [PARCEL], requestId="00000000-0000-4000-8000-000000000000"))


def foreign_unknown(seen: Seen) -> Reply:
    return unknown_person(seen, ownerId=OTHER)


def nameless_unknown(seen: Seen) -> Reply:
    return unknown_person(seen, ownerId=None)


def stale_unknown(seen: Seen) -> Reply:
    return unknown_person(seen, requestId="another")


def stale_late(_: Seen) -> Reply:
    return reply_json({"requestId": "another", "ownerId": ME, "state": "PENDING", "expectedBy": "2026-12-01"}, 202)


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (foreign_record, "OTHER_PERSON"),
        (foreign_body, "OTHER_PERSON"),
        (foreign_unknown, "OTHER_PERSON"),
        (nameless_unknown, "OTHER_PERSON"),
        (foreign_echo, "OTHER_REQUEST"),
        (stale_unknown, "OTHER_REQUEST"),
        (stale_late, "OTHER_REQUEST"),
    ],
)
async def test_an_agency_that_sends_a_namesakes_record_is_unreadable_and_its_pool_is_dropped(
    wrong: Callable[[Seen], Reply], code: str
) -> None:
    replies: Iterator[Callable[[Seen], Reply]] = iter([good, wrong, good])

    def answering(seen: Seen) -> Reply:
        return next(replies)(seen)

    async with serving(answering) as agency:
        transport = Transport(Agency.LAND, agency.base_url)
        connector = land.estate(transport, lambda: NOW)
        asked = question(ME, "EstateLand.parcels")
        (before,) = await connector.fetch([asked])
        (mismatch,) = await connector.fetch([asked])
        (after,) = await connector.fetch([asked])
        await transport.close()
    assert before.answer.status is after.answer.status is AnswerStatus.COMPLETE
    unreadable(mismatch, code)
    ports = [one.peer_port for one in agency.seen]
    assert ports[0] == ports[1] != ports[2]


async def test_a_missing_echo_is_unreadable() -> None:
    def silent(seen: Seen) -> Reply:
        said = page(seen, [PARCEL])
        del said["requestId"]
        return reply_json(said)

    answered, _ = await told(silent)
    unreadable(answered, "UNKNOWN_SHAPE")


async def test_a_surplus_response_that_comes_before_the_answer_reaches_nobody() -> None:
    asked: list[str] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        surplus = b""
        while True:
            head = await request_head(reader)
            asked.append(head[":path"])
            seen = Seen("GET", head[":path"], {}, {"X-Request-Id": head["x-request-id"]}, b"", 0)
            said = raw_reply(json.dumps(page(seen, [PARCEL | {"ownerId": head[":path"].split("/")[3]}])).encode())
            writer.write(surplus + said)
            surplus = said

    async with serving_raw(talk) as base_url:
        transport = Transport(Agency.LAND, base_url)
        connector = land.estate(transport, lambda: NOW)
        (mine,) = await connector.fetch([question(ME, "EstateLand.parcels")])
        (theirs,) = await connector.fetch([question(OTHER, "EstateLand.parcels")])
        (again,) = await connector.fetch([question(OTHER, "EstateLand.parcels")])
        await transport.close()
    assert mine.answer.status is again.answer.status is AnswerStatus.COMPLETE
    unreadable(theirs, "OTHER_REQUEST")
    assert len(asked) == 3


# ---------------------------------------------------------------- impossible content


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"acquiredOn": "2026-02-30"}, "UNKNOWN_SHAPE"),
        ({"acquiredOn": "20260203"}, "UNKNOWN_SHAPE"),
        ({"pricePerM2": 2**53}, "IMPOSSIBLE_AMOUNT"),
        ({"pricePerM2": 2**53 - 1}, "IMPOSSIBLE_AMOUNT"),  # times the area
        ({"pricePerM2": -1}, "IMPOSSIBLE_AMOUNT"),
        ({"pricePerM2": 1.5}, "UNKNOWN_SHAPE"),
        ({"pricePerM2": True}, "UNKNOWN_SHAPE"),
        ({"pricePerM2": "123"}, "UNKNOWN_SHAPE"),
        ({"priceYear": 2**31}, "IMPOSSIBLE_NUMBER"),
        ({"areaM2": "-1.00"}, "IMPOSSIBLE_NUMBER"),
        ({"areaM2": "NaN"}, "IMPOSSIBLE_NUMBER"),
        ({"areaM2": "1e9"}, "IMPOSSIBLE_NUMBER"),
        ({"areaM2": 12.5}, "UNKNOWN_SHAPE"),
        ({"areaM2": None}, "UNKNOWN_SHAPE"),
        ({"ledger": "SEA"}, "UNKNOWN_SHAPE"),
        ({"pnu": "472801010010012000"}, "UNKNOWN_SHAPE"),
        ({"pnu": "4728010100300120003"}, "UNKNOWN_SHAPE"),
        ({"share": {"numerator": 4, "denominator": 3}}, "IMPOSSIBLE_SHARE"),
        ({"share": {"numerator": 0, "denominator": 3}}, "IMPOSSIBLE_SHARE"),
        ({"share": {"numerator": 1, "denominator": 2**31}}, "IMPOSSIBLE_SHARE"),
        ({"share": {"numerator": -1, "denominator": -3}}, "IMPOSSIBLE_SHARE"),
        ({"ownerId": None}, "UNKNOWN_SHAPE"),
    ],
)
async def test_an_impossible_value_makes_the_answer_unreadable(changed: dict[str, Any], code: str) -> None:
    answered, _ = await told(with_parcel(**changed))
    unreadable(answered, code)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"kind": "CURSE"}, "UNKNOWN_SHAPE"),
        ({"pnu": "1111010100100010001"}, "CONTRADICTION"),
        ({"pnu": None, "registerNumber": "11110-9"}, "CONTRADICTION"),
        ({"pnu": None}, "UNKNOWN_SHAPE"),
        ({"registerNumber": "47280-1"}, "UNKNOWN_SHAPE"),
        ({"maximumClaim": 2**53}, "IMPOSSIBLE_AMOUNT"),
        ({"registeredOn": "1999-13-01"}, "UNKNOWN_SHAPE"),
    ],
)
async def test_an_impossible_encumbrance_makes_the_answer_unreadable(changed: dict[str, Any], code: str) -> None:
    answered, _ = await told(with_list("encumbrances", [MORTGAGE | changed]))
    unreadable(answered, code)


async def test_records_that_come_twice_are_unreadable() -> None:
    unreadable((await told(with_list("parcels", [PARCEL, PARCEL])))[0], "DUPLICATE_RECORD")
    unreadable((await told(with_list("buildings", [BUILDING, BUILDING])))[0], "DUPLICATE_RECORD")


async def test_two_hundred_and_one_records_are_too_many() -> None:
    many = [PARCEL | {"pnu": f"4728010100100{number:06d}"} for number in range(201)]
    unreadable((await told(with_list("parcels", many)))[0], "TOO_MANY_RECORDS")
    announced = instead("parcels", lambda seen: reply_json(page(seen, [PARCEL], total=201, next="2")))
    answered, seen = await told(announced)
    unreadable(answered, "TOO_MANY_RECORDS")
    assert len([one for one in seen if endpoint(one) == "parcels"]) == 1


@pytest.mark.parametrize("total", [0, 2, 199])
async def test_a_list_that_is_not_as_long_as_it_says_is_unreadable(total: int) -> None:
    answered, _ = await told(instead("parcels", lambda seen: reply_json(page(seen, [PARCEL], total=total))))
    unreadable(answered, "INCOMPLETE_LIST")


async def test_pages_that_go_round_in_circles_end() -> None:
    def circle(seen: Seen) -> Reply:
        following = {None: "a", "a": "b", "b": "a"}[seen.query.get("cursor")]
        return reply_json(page(seen, [], next=following))

    answered, seen = await told(instead("parcels", circle))
    unreadable(answered, "ENDLESS_LIST")
    assert [one.query.get("cursor") for one in seen if endpoint(one) == "parcels"] == [None, "a", "b"]


async def test_pages_without_end_end_after_ten() -> None:
    def endless(seen: Seen) -> Reply:
        return reply_json(page(seen, [], next=str(int(seen.query.get("cursor", "0")) + 1)))

    answered, seen = await told(instead("parcels", endless))
    unreadable(answered, "ENDLESS_LIST")
    assert len([one for one in seen if endpoint(one) == "parcels"]) == land.PAGE_LIMIT


@pytest.mark.parametrize(
    "body",
    [
        b'{"requestId": "x", "ownerId"',
        b"null",
        b"[]",
        b"<html>",
        b"\xff\xfe{}",
        b'{"x": ' + b"[" * 100_000,
        b'{"ownerId": "\\ud800"}',
    ],
)
async def test_a_body_that_does_not_parse_is_unreadable(body: bytes) -> None:
    answered, _ = await told(lambda _: Reply(body))
    assert answered.answer.status is AnswerStatus.UNREADABLE
    assert answered.section.parcels is None


async def test_too_much_and_packed_bodies_are_unreadable() -> None:
    unreadable((await told(lambda _: Reply(b" " * (BODY_LIMIT + 1))))[0], "TOO_LARGE")
    unreadable((await told(lambda _: Reply(b"x", headers={"Content-Encoding": "gzip"})))[0], "ENCODED")


async def test_a_fault_of_ours_is_that_agencys_missing_answer_and_no_exception() -> None:
    def broken() -> datetime:
        raise ZeroDivisionError("김하늘")

    async with serving(good) as agency:
        transport = Transport(Agency.LAND, agency.base_url)
        (answered,) = await land.estate(transport, broken).fetch([question(ME, *ALL)])
        await transport.close()
    assert answered.answer.status is AnswerStatus.UNAVAILABLE
    assert codes(answered) == [("INTERNAL", None)]


async def test_cancelling_the_question_cancels_it() -> None:
    asked, enough = asyncio.Event(), asyncio.Event()

    async def slow(seen: Seen) -> Reply:
        asked.set()
        await enough.wait()
        return good(seen)

    async with serving(slow) as agency:
        asking = asyncio.create_task(ask(agency.base_url, question(ME, *ALL)))
        await asked.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        enough.set()


# ---------------------------------------------------------------- any bytes


class Canned(Transport):
    """Give the same three bodies to every question, with the request id that they echo."""

    def __init__(self, bodies: Mapping[str, bytes]) -> None:
        super().__init__(Agency.LAND, "http://127.0.0.1:1")
        self.bodies = bodies
        self.dropped = 0

    async def request(self, _: str, path: str, **__: Any) -> WireReply:
        body = self.bodies[path.rpartition("/")[2]]
        return WireReply(200, "application/json", "r-1", {}, body)

    async def drop_pool(self) -> None:
        self.dropped += 1


def bodies() -> dict[str, bytes]:
    seen = Seen("GET", f"/v1/owners/{ME}/x", {}, {"X-Request-Id": "r-1"}, b"", 0)
    return {name: json.dumps(page(seen, items), ensure_ascii=False).encode() for name, items in LISTS.items()}


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_whatever_bytes_come_the_answer_is_a_status_and_never_another_persons(data: st.DataObject) -> None:
    original = bodies()
    name = data.draw(st.sampled_from(sorted(original)))
    body = bytearray(original[name])
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(body) - 1))
        end = data.draw(st.integers(start, min(len(body), start + 12)))
        body[start:end] = data.draw(st.binary(max_size=8) | st.sampled_from([b"null", b"-1", b'"', b"[]", b"9" * 20]))
    transport = Canned(original | {name: bytes(body)})
    (answered,) = asyncio.run(land.estate(transport, lambda: NOW).fetch([question(ME, *ALL)]))
    held = answered.answer.status in (AnswerStatus.COMPLETE, AnswerStatus.PARTIAL)
    assert (answered.section.parcels is not None) == held or answered.answer.status is AnswerStatus.NONE_HELD
    if held:
        assert json.loads(bytes(body))["ownerId"] == ME
        assert all(item["ownerId"] == ME for item in json.loads(bytes(body))["items"])
    assert "INTERNAL" not in {problem.code for problem in answered.answer.problems}


# ---------------------------------------------------------------- birth


async def ask_birth(base_url: str, asked: Asked) -> Answered[BirthLand]:
    transport = Transport(Agency.LAND, base_url)
    try:
        (answered,) = await land.birth(transport, lambda: NOW).fetch([asked])
    finally:
        await transport.close()
    return answered


def household(relief: str, owned: Mapping[str, Sequence[tuple[str, str]]]) -> Answering:
    def answering(seen: Seen) -> Reply:
        owner = seen.path.split("/")[3]
        if endpoint(seen) == "reliefs":
            said = {"requestId": seen.request_id, "ownerId": owner, "asOf": "2026-11-20T00:00:00Z"}
            return reply_json(said | {"newHomeTaxRelief": relief})
        if owner not in owned:
            return unknown_person(seen)
        return reply_json(
            page(
                seen,
                [
                    BUILDING | {"ownerId": owner, "registerNumber": number, "purpose": purpose}
                    for number, purpose in owned[owner]
                ],
            )
        )

    return answering


async def test_a_home_that_two_parents_share_counts_once_and_a_shop_not_at_all() -> None:
    owned = {OTHER: [("1", "아파트"), ("2", "근린생활시설")], PARTNER: [("1", "아파트"), ("3", "주거용 오피스텔")]}
    asked = question(ME, *BIRTH, household=(OTHER, PARTNER))
    async with serving(household("YES", owned)) as agency:
        answered = await ask_birth(agency.base_url, asked)
    assert answered.section.homes == 2
    assert answered.section.new_home_tax_relief is KnownFact.YES
    assert answered.answer.status is AnswerStatus.COMPLETE
    assert answered.answer.as_of == datetime(2026, 11, 20, tzinfo=UTC)
    assert {one.path for one in agency.seen} == {
        f"/v1/owners/{ME}/reliefs",
        *(f"/v1/owners/{one}/buildings" for one in (ME, OTHER, PARTNER)),
    }


async def test_homes_are_not_known_when_one_of_the_household_is_not() -> None:
    normal = household("NO", {OTHER: [("1", "아파트")]})

    def answering(seen: Seen) -> Reply:
        said = normal(seen)
        assert isinstance(said, Reply)
        return Reply(status=500) if seen.path == f"/v1/owners/{PARTNER}/buildings" else said

    async with serving(answering) as agency:
        answered = await ask_birth(agency.base_url, question(ME, *BIRTH, household=(OTHER, PARTNER)))
    assert answered.section.homes is None
    assert answered.section.new_home_tax_relief is KnownFact.NO
    assert answered.answer.status is AnswerStatus.PARTIAL
    assert codes(answered) == [("AGENCY_ERROR", "buildings")]


async def test_a_household_that_the_agency_never_heard_of_holds_no_home() -> None:
    async with serving(unknown_person) as agency:
        answered = await ask_birth(agency.base_url, question(ME, *BIRTH, household=(OTHER,)))
    assert answered.answer.status is AnswerStatus.NONE_HELD
    assert answered.section.homes == 0
    assert answered.section.new_home_tax_relief is KnownFact.UNKNOWN


@pytest.mark.parametrize(
    ("coordinate", "asked"), [("BirthLand.homes", "buildings"), ("BirthLand.newHomeTaxRelief", "reliefs")]
)
async def test_of_a_birth_only_what_may_be_read_is_asked(coordinate: str, asked: str) -> None:
    async with serving(household("YES", {ME: []})) as agency:
        answered = await ask_birth(agency.base_url, question(ME, coordinate))
        nothing = await ask_birth(agency.base_url, question(ME))
    assert [endpoint(one) for one in agency.seen] == [asked]
    assert answered.answer.status is AnswerStatus.COMPLETE
    assert not nothing.asked_agency


@pytest.mark.parametrize("changed", [{"areaM2": "-1"}, {"ownerId": OTHER}, {"housePrice": 2**53}])
async def test_an_impossible_home_is_unreadable(changed: dict[str, Any]) -> None:
    def answering(seen: Seen) -> Reply:
        return reply_json(page(seen, [BUILDING | changed]))

    async with serving(answering) as agency:
        answered = await ask_birth(agency.base_url, question(ME, "BirthLand.homes"))
    assert answered.answer.status is AnswerStatus.UNREADABLE
    assert answered.section.homes is None


async def test_another_persons_relief_is_unreadable() -> None:
    def answering(seen: Seen) -> Reply:
        said = {"requestId": seen.request_id, "ownerId": OTHER, "asOf": "2026-11-20T00:00:00Z"}
        return reply_json(said | {"newHomeTaxRelief": "YES"})

    async with serving(answering) as agency:
        answered = await ask_birth(agency.base_url, replace(question(ME, BIRTH[1]), household=()))
    assert answered.answer.status is AnswerStatus.UNREADABLE
    assert answered.section.new_home_tax_relief is KnownFact.UNKNOWN
