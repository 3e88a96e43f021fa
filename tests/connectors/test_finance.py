import asyncio
import base64
import hmac
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import ECKey
from msgspec.structs import replace

from connectors import finance
from connectors.connector import Answered, Asked, Ticket
from connectors.jwks import LARGEST_SET, LONGEST_KEPT_S, SHORTEST_BETWEEN_S, Jwks
from connectors.transport import AgencyError, Transport, Unavailable, Unreadable
from schema.answer import AnswerStatus
from schema.disclosure import Agency
from schema.finance import BirthFinance, EstateFinance, InsuredRole
from schema.identifiers import SectorId
from tests.connectors.wire import NOW, Answering, Reply, Seen, question, reply_json, serving

ME = "fin1_" + "a" * 26
OTHER = "fin1_" + "b" * 26
PARENT = "fin1_" + "c" * 26
ALL = (
    *(f"EstateFinance.{name}" for name in finance.ESTATE_LISTS),
    "Institution.phone",
    "Deposit.numberSuffix",
    "Deposit.balance",
    "Loan.principal",
    "Loan.interestDue",
    "SecurityHolding.isin",
    "SecurityHolding.marketValue",
    "InsurancePolicy.surrenderValue",
    "InsurancePolicy.policyLoan",
    "InsurancePolicy.partOfEstate",
    "InsurancePolicy.beneficiaryName",
    "CardDebt.unpaid",
    "Guarantee.limit",
    "Guarantee.outstanding",
    "CustodyItem.location",
)
BIRTH = (
    "BirthFinance.vouchers",
    "BirthFinance.payoutAccounts",
    "Voucher.balance",
    "Voucher.expiresOn",
    "Deposit.balance",
)
Wire = dict[str, Any]
DEPOSIT: Wire = {
    "reference": "d1",
    "product": "보통예금",
    "numberSuffix": "4321",
    "balance": -5,
    "dormant": False,
    "jointlyHeld": True,
}
BANK: Wire = {"code": "004", "name": "KB국민은행", "sector": "BANK", "phone": "1588-0000"}
POLICY: Wire = {
    "reference": "p1",
    "product": "종신보험",
    "role": "INSURED",
    "surrenderValue": 100,
    "policyLoan": 0,
    "partOfEstate": False,
    "beneficiaryName": "김하늘",
}
LISTS: Wire = {
    "deposits": [DEPOSIT],
    "loans": [{"reference": "l1", "product": "담보대출", "principal": 9, "interestDue": 1, "secured": True}],
    "securities": [
        {"reference": "s1", "isin": "KR7005930003", "name": "삼성전자", "quantity": "10.5", "marketValue": 7}
    ],
    "insurance": [POLICY],
    "cards": [{"reference": "c1", "unpaid": 3}],
    "guarantees": [{"reference": "g1", "limit": 8, "outstanding": 2}],
    "custody": [{"reference": "x1", "kind": "SAFE_BOX", "location": "문경지점"}],
}
VOUCHER: Wire = {
    "reference": "v1",
    "nameKo": "첫만남이용권",
    "nameEn": "First Meeting Voucher",
    "balance": 2000000,
    "expiresOn": "2028-10-01",
}


def part(person: str = ME, code: str = "004", **more: Any) -> Wire:
    return {"personId": person, "institution": BANK | {"code": code}, "state": "COMPLETE", "error": None} | more


FAILED: Wire = {"state": "FAILED", "error": "INSTITUTION_TIMEOUT"}


def ticket_of(person: str) -> str:
    return "t-" + person[5:8]


def answer(person: str, request_id: str, parts: list[Wire], **changed: Any) -> Wire:
    return {
        "requestId": request_id,
        "personId": person,
        "ticket": ticket_of(person),
        "receivedAt": "2026-11-01T00:00:00Z",
        "visibleUntil": "2027-02-01T00:00:00Z",
        "asOf": "2026-11-20T15:00:00Z",
        "parts": parts,
    } | changed


def opened(seen: Seen, person: str, **changed: Any) -> Reply:
    body = {"requestId": seen.request_id, "personId": person, "ticket": ticket_of(person), "expectedBy": "2026-11-20"}
    return reply_json(body | changed, 202)


def service(
    poll: Callable[[Seen, str], Reply | Awaitable[Reply]], post: Callable[[Seen, str], Reply] = opened
) -> Answering:
    """The inquiry service: what it says to a POST and to a GET, about the person concerned."""

    def answering(seen: Seen) -> Reply | Awaitable[Reply]:
        if seen.method == "POST":
            return post(seen, json.loads(seen.body)["personId"])
        return poll(seen, next(one for one in (ME, OTHER, PARENT) if seen.path.endswith(ticket_of(one))))

    return answering


def parts_of(*parts: Wire, **changed: Any) -> Callable[[Seen, str], Reply]:
    return lambda seen, person: reply_json(answer(person, seen.request_id, list(parts), **changed))


GOOD = parts_of(part(**LISTS))


async def fetched(
    make: Callable[..., Any],
    answering: Answering,
    asked: Asked,
    *,
    timeout_s: float = 5,
    seen: list[Seen] | None = None,
) -> Any:
    async with serving(answering) as served:
        transport = Transport(Agency.FINANCE, served.base_url, timeout_s=timeout_s)
        try:
            [answered] = await make(transport, lambda: NOW).fetch([asked])
        finally:
            await transport.close()
        if seen is not None:
            seen += served.seen
        return answered


async def estate(answering: Answering, *coordinates: str, **more: Any) -> Answered[EstateFinance]:
    seen, timeout_s = more.pop("seen", None), more.pop("timeout_s", 5)
    asked = question(ME, *(coordinates or ALL), **more)
    answered: Answered[EstateFinance] = await fetched(finance.estate, answering, asked, timeout_s=timeout_s, seen=seen)
    return answered


def told(answered: Answered[Any]) -> tuple[AnswerStatus, list[str]]:
    return answered.answer.status, [one.code for one in answered.answer.problems]


TICKET = Ticket(ticket_of(ME), date(2026, 11, 20))


async def test_an_inquiry_is_opened_once_asked_at_once_and_kept() -> None:
    seen: list[Seen] = []
    answered = await estate(service(GOOD), callback_url="http://127.0.0.1/callback", seen=seen)
    post, get = seen
    assert (post.method, post.path, post.headers["Idempotency-Key"]) == ("POST", "/v1/inquiries", "once")
    assert json.loads(post.body) == {
        "requestId": post.request_id,
        "personId": ME,
        "scope": "ESTATE",
        "callbackUrl": "http://127.0.0.1/callback",
    }
    assert (get.method, get.path, get.headers["X-Purpose"]) == ("GET", "/v1/inquiries/t-aaa", "ESTATE_DISCOVERY")
    assert told(answered) == (AnswerStatus.COMPLETE, [])
    assert (answered.answer.source_reference, answered.answer.as_of, answered.answer.visible_until) == (
        "t-aaa",
        datetime(2026, 11, 20, 15, tzinfo=UTC),
        datetime(2027, 2, 1, tzinfo=UTC),
    )
    assert answered.ticket == TICKET
    assert json.loads(answered.kept or b"")["ticket"] == "t-aaa"
    section = answered.section
    [deposit] = section.deposits or []
    assert (deposit.id, deposit.institution.name, deposit.institution.phone) == (
        "Deposit:004/d1",
        "KB국민은행",
        "1588-0000",
    )
    assert (deposit.balance, deposit.number_suffix, deposit.dormant, deposit.jointly_held) == (-5, "4321", False, True)
    [loan] = section.loans or []
    assert (loan.principal, loan.interest_due, loan.secured) == (9, 1, True)
    [security] = section.securities or []
    assert (security.isin, security.name, security.quantity, security.market_value) == (
        "KR7005930003",
        "삼성전자",
        Decimal("10.5"),
        7,
    )
    [policy] = section.insurance or []
    assert (policy.role, policy.surrender_value, policy.policy_loan, policy.part_of_estate) == (
        InsuredRole.INSURED,
        100,
        0,
        False,
    )
    assert policy.beneficiary_name == "김하늘"
    assert [one.unpaid for one in section.cards or []] == [3]
    assert [(one.limit, one.outstanding) for one in section.guarantees or []] == [(8, 2)]
    assert [(one.kind, one.location) for one in section.custody or []] == [("SAFE_BOX", "문경지점")]


async def test_a_remembered_ticket_is_asked_for_and_nothing_is_opened() -> None:
    seen: list[Seen] = []
    answered = await estate(service(GOOD), ticket=TICKET, seen=seen)
    assert [one.method for one in seen] == ["GET"]
    assert (answered.answer.status, answered.ticket) == (AnswerStatus.COMPLETE, TICKET)


async def test_an_answer_to_come_is_pending_with_its_day_and_ticket() -> None:
    answered = await estate(service(lambda seen, person: opened(seen, person, expectedBy="2026-12-09")), ticket=TICKET)
    assert (answered.answer.status, answered.answer.expected_by) == (AnswerStatus.PENDING, date(2026, 12, 9))
    assert (answered.ticket, answered.kept) == (replace(TICKET, expected_by=date(2026, 12, 9)), None)
    assert answered.section.deposits is None


async def test_the_ticket_is_remembered_also_when_the_asking_then_fails() -> None:
    answered = await estate(service(lambda *_: Reply(b"<html>", 503, "text/html")))
    assert (told(answered), answered.ticket) == ((AnswerStatus.UNAVAILABLE, ["AGENCY_ERROR"]), TICKET)


async def test_an_institution_that_failed_is_named_and_the_others_stand() -> None:
    answered = await estate(service(parts_of(part(**LISTS), part(code="088", **FAILED))))
    assert answered.answer.status is AnswerStatus.PARTIAL
    [problem] = answered.answer.problems
    assert (problem.code, problem.institution) == ("INSTITUTION_TIMEOUT", "KB국민은행")
    assert len(answered.section.deposits or []) == 1
    assert answered.kept is not None


async def test_while_an_institution_is_silent_nothing_found_elsewhere_is_not_none() -> None:
    answered = await estate(service(parts_of(part(deposits=[DEPOSIT]), part(code="088", **FAILED))))
    assert (len(answered.section.deposits or []), answered.section.loans) == (1, None)
    whole = await estate(service(parts_of(part(deposits=[DEPOSIT]))))
    assert whole.section.loans == []


async def test_all_institutions_failing_is_unavailable_and_not_kept() -> None:
    answered = await estate(service(parts_of(part(**FAILED), part(code="088", **FAILED))))
    assert told(answered) == (AnswerStatus.UNAVAILABLE, ["INSTITUTION_TIMEOUT"] * 2)
    assert (answered.section.deposits, answered.kept, answered.ticket) == (None, None, TICKET)


@pytest.mark.parametrize("parts", [[], [part()], [part(deposits=[], loans=[])]])
async def test_institutions_that_list_nothing_hold_nothing(parts: list[Wire]) -> None:
    answered = await estate(service(parts_of(*parts)))
    assert told(answered) == (AnswerStatus.NONE_HELD, [])
    assert (answered.section.deposits, answered.section.custody) == ([], [])


async def test_unknown_to_every_institution_is_none_held_at_once() -> None:
    def unknown(seen: Seen, person: str) -> Reply:
        return reply_json({"error": "UNKNOWN_PERSON", "personId": person, "requestId": seen.request_id}, 404)

    answered = await estate(service(GOOD, unknown), "EstateFinance.loans")
    assert (told(answered), answered.ticket) == ((AnswerStatus.NONE_HELD, []), None)
    assert (answered.section.loans, answered.section.deposits) == ([], None)
    foreign = await estate(service(GOOD, lambda *_: reply_json({"error": "NOT_FOUND"}, 404)))
    assert told(foreign) == (AnswerStatus.UNAVAILABLE, ["NOT_AN_ANSWER"])


async def test_a_deleted_answer_is_expired_and_a_lost_ticket_is_forgotten() -> None:
    deleted = await estate(service(lambda *_: reply_json({"error": "DELETED"}, 410)), ticket=TICKET)
    assert (told(deleted), deleted.ticket) == ((AnswerStatus.EXPIRED, ["DELETED"]), None)
    assert deleted.section.deposits is None
    lost = await estate(service(lambda *_: reply_json({"error": "UNKNOWN_TICKET"}, 404)), ticket=TICKET)
    assert (told(lost), lost.ticket) == ((AnswerStatus.UNAVAILABLE, ["UNKNOWN_TICKET"]), None)
    gone = await estate(service(lambda *_: Reply(b"gone", 410, "text/plain")), ticket=TICKET)
    assert (told(gone), gone.ticket) == ((AnswerStatus.UNAVAILABLE, ["NOT_AN_ANSWER"]), TICKET)


async def test_what_may_not_be_read_is_left_out_or_not_asked() -> None:
    answered = await estate(service(GOOD), "EstateFinance.deposits", "EstateFinance.insurance")
    [deposit] = answered.section.deposits or []
    [policy] = answered.section.insurance or []
    assert (deposit.balance, deposit.number_suffix, deposit.institution.phone) == (None, None, None)
    assert (policy.surrender_value, policy.part_of_estate, policy.beneficiary_name) == (None, None, None)
    assert (answered.section.loans, answered.section.cards) == (None, None)
    seen: list[Seen] = []
    nothing = await estate(service(GOOD), "Deposit.balance", seen=seen)
    assert (nothing.answer.status, nothing.asked_agency, seen) == (AnswerStatus.REFUSED, False, [])


async def test_a_beneficiarys_name_keeps_its_first_syllable_where_it_is_masked() -> None:
    answered = await estate(service(GOOD), masked=frozenset({"InsurancePolicy.beneficiaryName"}))
    assert [one.beneficiary_name for one in answered.section.insurance or []] == ["김**"]


@pytest.mark.parametrize(
    ("poll", "code"),
    [
        (parts_of(part(OTHER, **LISTS)), "OTHER_PERSON"),
        (parts_of(part(**LISTS), personId=OTHER), "OTHER_PERSON"),
        (parts_of(part(**LISTS), requestId="another"), "OTHER_REQUEST"),
        (parts_of(part(**LISTS), ticket="t-other"), "OTHER_REQUEST"),
        (lambda seen, _: opened(seen, OTHER), "OTHER_PERSON"),
        (lambda seen, _: opened(seen, ME, ticket="t-other"), "OTHER_REQUEST"),
        (lambda seen, _: opened(seen, ME, requestId=None), "UNKNOWN_SHAPE"),
    ],
)
async def test_another_persons_answer_is_dropped_with_every_connection(
    poll: Callable[[Seen, str], Reply], code: str
) -> None:
    async with serving(service(poll)) as served:
        transport = Transport(Agency.FINANCE, served.base_url)
        connector = finance.estate(transport, lambda: NOW)
        [answered] = await connector.fetch([question(ME, *ALL, ticket=TICKET)])
        await connector.fetch([question(ME, *ALL, ticket=TICKET)])
        await transport.close()
    assert told(answered) == (AnswerStatus.UNREADABLE, [code])
    assert (answered.section.deposits, answered.kept) == (None, None)
    assert (served.seen[0].peer_port != served.seen[1].peer_port) == code.startswith("OTHER")


def listing(name: str, *records: Wire) -> Callable[[Seen, str], Reply]:
    return parts_of(part(**{name: list(records)}))


@pytest.mark.parametrize(
    "poll",
    [
        listing("deposits", DEPOSIT | {"balance": 2**53}),
        listing("deposits", DEPOSIT | {"balance": "5"}),
        listing("deposits", DEPOSIT | {"balance": 1.5}),
        listing("deposits", DEPOSIT | {"dormant": None}),
        listing("deposits", DEPOSIT | {"numberSuffix": "123456-04-654321"}),
        listing("deposits", DEPOSIT, DEPOSIT),
        listing("deposits", *(DEPOSIT | {"reference": f"d{n}"} for n in range(201))),
        listing("securities", LISTS["securities"][0] | {"quantity": "-1"}),
        listing("securities", LISTS["securities"][0] | {"quantity": "1e9"}),
        listing("securities", LISTS["securities"][0] | {"isin": "KR70059300"}),
        listing("insurance", POLICY | {"role": "PAYER"}),
        listing("insurance", POLICY | {"surrenderValue": -1}),
        listing("loans", {"reference": "l1", "product": "x", "secured": True, "principal": -1}),
        parts_of(part(state="HALF")),
        parts_of(part(**FAILED, deposits=[DEPOSIT])),
        parts_of(part(), part()),
        parts_of(part(), asOf="2026-02-30T00:00:00Z"),
        parts_of(part(), visibleUntil="2026-12-01T00:00:00"),
        lambda seen, person: reply_json(answer(person, seen.request_id, []) | {"parts": None}),
        lambda *_: Reply(b'{"requestId"'),
        lambda seen, person: opened(seen, person, expectedBy="2026-11-31"),
    ],
)
async def test_what_cannot_be_is_unreadable(poll: Callable[[Seen, str], Reply]) -> None:
    answered = await estate(service(poll))
    assert (answered.answer.status, answered.section.deposits, answered.kept) == (AnswerStatus.UNREADABLE, None, None)


@pytest.mark.parametrize("ticket", ["", "../inquiries/other", "a b", "x" * 129, "a?b=c"])
async def test_a_ticket_that_could_be_another_address_is_unreadable(ticket: str) -> None:
    seen: list[Seen] = []
    answered = await estate(service(GOOD, lambda seen, person: opened(seen, person, ticket=ticket)), seen=seen)
    assert (answered.answer.status, len(seen), answered.ticket) == (AnswerStatus.UNREADABLE, 1, None)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(b"<html>", 200, "text/html"),
        Reply(b"", 200),
        Reply(b"", 204, None),
        Reply(b"", 302, None, {"Location": "/x"}),
    ],
)
async def test_what_is_not_an_answer_is_unavailable(reply: Reply) -> None:
    for answering in (service(lambda *_: reply), service(GOOD, lambda *_: reply)):
        answered = await estate(answering)
        assert told(answered) == (AnswerStatus.UNAVAILABLE, ["NOT_AN_ANSWER"])
        assert answered.section.deposits is None


async def test_a_slow_answer_is_unavailable_when_the_time_of_both_requests_is_over() -> None:
    never, was_asked = asyncio.Event(), asyncio.Event()

    async def poll(seen: Seen, person: str) -> Reply:
        was_asked.set()
        await never.wait()
        return GOOD(seen, person)

    answered = await estate(service(poll), timeout_s=0.5)
    assert was_asked.is_set()
    assert (told(answered), answered.ticket) == ((AnswerStatus.UNAVAILABLE, ["TIMEOUT"]), TICKET)


# ---------------------------------------------------------------- kept answers

THEN = {"requested_at": NOW - timedelta(days=9), "retrieved_at": NOW - timedelta(days=2)}


async def test_a_kept_answer_is_read_with_the_rights_of_now_and_asks_nobody() -> None:
    kept = (await estate(service(GOOD))).kept or b""
    answered = await finance.read_estate(kept, question(ME, "EstateFinance.deposits", ticket=TICKET), **THEN)
    assert (answered.answer.status, answered.asked_agency, answered.ticket) == (AnswerStatus.COMPLETE, False, TICKET)
    assert (answered.answer.requested_at, answered.answer.retrieved_at) == tuple(THEN.values())
    assert answered.section.loans is None
    assert [one.balance for one in answered.section.deposits or []] == [None]
    whole = await finance.read_estate(kept, question(ME, *ALL), **THEN)
    assert [one.balance for one in whole.section.deposits or []] == [-5]


@pytest.mark.parametrize(
    "kept",
    [
        b"",
        b"[]",
        b"{}",
        json.dumps(answer(OTHER, "x", [])).encode(),
        json.dumps(answer(ME, "x", [part(OTHER)])).encode(),
        json.dumps(answer(ME, "x", [], ticket="t-other")).encode(),
    ],
)
async def test_a_kept_answer_about_somebody_else_is_unreadable(kept: bytes) -> None:
    answered = await finance.read_estate(kept, question(ME, *ALL, ticket=TICKET), **THEN)
    assert (answered.answer.status, answered.section.deposits) == (AnswerStatus.UNREADABLE, None)


# ---------------------------------------------------------------- a child and its household


def family(seen: Seen, person: str) -> Reply:
    parts = {ME: [part(ME, vouchers=[VOUCHER])], PARENT: [part(PARENT, deposits=[DEPOSIT])]}[person]
    return reply_json(answer(person, seen.request_id, parts))


async def birth(answering: Answering, *coordinates: str, **more: Any) -> Answered[BirthFinance]:
    seen = more.pop("seen", None)
    asked = question(ME, *(coordinates or BIRTH), **{"household": (SectorId(PARENT),)} | more)
    answered: Answered[BirthFinance] = await fetched(finance.birth, answering, asked, seen=seen)
    return answered


async def test_vouchers_are_the_childs_and_accounts_the_households() -> None:
    seen: list[Seen] = []
    answered = await birth(service(family), seen=seen)
    posts = {json.loads(one.body)["personId"]: one for one in seen if one.method == "POST"}
    assert {json.loads(one.body)["scope"] for one in posts.values()} == {"BIRTH"}
    assert len({one.headers["Idempotency-Key"] for one in posts.values()}) == 2
    assert told(answered) == (AnswerStatus.COMPLETE, [])
    [voucher] = answered.section.vouchers or []
    assert (voucher.id, voucher.name_text.ko, voucher.balance, voucher.expires_on) == (
        "Voucher:004/v1",
        "첫만남이용권",
        2000000,
        date(2028, 10, 1),
    )
    assert [one.balance for one in answered.section.payout_accounts or []] == [-5]
    assert answered.ticket is not None
    assert finance.references(answered.ticket) == {"t-aaa", "t-ccc"}

    again: list[Seen] = []
    repeated = await birth(service(family), ticket=answered.ticket, seen=again)
    assert {one.path for one in again} == {"/v1/inquiries/t-aaa", "/v1/inquiries/t-ccc"}
    assert repeated.ticket == answered.ticket

    kept = await finance.read_birth(
        answered.kept or b"", question(ME, *BIRTH, household=(SectorId(PARENT),), ticket=answered.ticket), **THEN
    )
    assert kept.section.vouchers == answered.section.vouchers
    assert kept.section.payout_accounts == answered.section.payout_accounts


async def test_one_persons_late_answer_leaves_the_others_list() -> None:
    def late(seen: Seen, person: str) -> Reply:
        return family(seen, person) if person == ME else opened(seen, person, expectedBy="2026-12-09")

    answered = await birth(service(late))
    assert (told(answered), answered.answer.expected_by) == ((AnswerStatus.PARTIAL, ["PENDING"]), date(2026, 12, 9))
    assert [one.institution for one in answered.answer.problems] == ["payoutAccounts"]
    assert (len(answered.section.vouchers or []), answered.section.payout_accounts) == (1, None)
    assert finance.references(answered.ticket or TICKET) == {"t-aaa", "t-ccc"}
    both = await birth(service(lambda seen, person: opened(seen, person, expectedBy="2026-12-09")))
    assert (told(both), both.section.vouchers) == ((AnswerStatus.PENDING, []), None)


async def test_only_the_persons_whose_list_may_be_read_are_asked_about() -> None:
    seen: list[Seen] = []
    answered = await birth(service(family), "BirthFinance.vouchers", seen=seen)
    assert {json.loads(one.body)["personId"] for one in seen if one.method == "POST"} == {ME}
    assert (len(answered.section.vouchers or []), answered.section.payout_accounts) == (1, None)
    nobody: list[Seen] = []
    alone = await birth(service(family), "BirthFinance.payoutAccounts", household=(), seen=nobody)
    assert {json.loads(one.body)["personId"] for one in nobody if one.method == "POST"} == {ME}
    assert (alone.section.vouchers, len(alone.section.payout_accounts or [])) == (None, 0)


async def test_a_callback_about_the_child_alone_leaves_the_household_open() -> None:
    body = json.dumps(answer(ME, "x", [part(ME, vouchers=[VOUCHER])])).encode()
    answered = await finance.read_birth(body, question(ME, *BIRTH, household=(SectorId(PARENT),)), **THEN)
    assert (told(answered), len(answered.section.vouchers or [])) == ((AnswerStatus.PARTIAL, ["PENDING"]), 1)
    assert answered.section.payout_accounts is None
    foreign = json.dumps(answer(OTHER, "x", [])).encode()
    stranger = await finance.read_birth(foreign, question(ME, *BIRTH, household=(SectorId(PARENT),)), **THEN)
    assert told(stranger) == (AnswerStatus.UNREADABLE, ["OTHER_PERSON"])


async def test_a_child_and_household_who_hold_nothing_are_none_held() -> None:
    answered = await birth(service(parts_of()))
    assert (told(answered), answered.section.vouchers, answered.section.payout_accounts) == (
        (AnswerStatus.NONE_HELD, []),
        [],
        [],
    )
    failed = await birth(
        service(lambda seen, person: reply_json(answer(person, seen.request_id, [part(person, **FAILED)])))
    )
    assert (failed.answer.status, failed.section.vouchers, failed.kept) == (AnswerStatus.UNAVAILABLE, None, None)


# ---------------------------------------------------------------- keys and callbacks

KEY = ECKey.generate_key("P-256", {"kid": "k1"})
STRANGER = ECKey.generate_key("P-256", {"kid": "k1"})
BODY = json.dumps(answer(ME, "x", [part(**LISTS)]), ensure_ascii=False).encode()
LOOSE = jws.JWSRegistry(algorithms=["ES256", "HS256", "none"], strict_check_header=False)


def public(*keys: ECKey, **changed: Any) -> Wire:
    return {"keys": [key.as_dict(private=False) | changed for key in keys]}


def signed(body: bytes = BODY, key: Any = KEY, **changed: Any) -> str:
    header = {"alg": "ES256", "typ": "finance-callback+jws", "kid": "k1", "iat": int(NOW.timestamp())} | changed
    head, _, seal = jws.serialize_compact(header, body, key, registry=LOOSE).split(".")
    return f"{head}..{seal}"


async def verified(body: bytes, signature: str, now: datetime = NOW) -> finance.Callback:
    async with serving(lambda _: reply_json(public(KEY))) as served:
        transport = Transport(Agency.FINANCE, served.base_url)
        try:
            return await finance.verify_callback(body, signature, Jwks(transport), now)
        finally:
            await transport.close()


async def test_a_callback_that_the_service_signed_is_believed() -> None:
    callback = await verified(BODY, signed())
    assert (callback.ticket, callback.person, callback.body) == ("t-aaa", ME, BODY)
    answered = await finance.read_estate(callback.body, question(ME, *ALL, ticket=TICKET), **THEN)
    assert answered.answer.status is AnswerStatus.COMPLETE


async def test_a_callback_of_half_a_megabyte_is_believed() -> None:
    body = json.dumps(answer(ME, "x", [], note="x" * 500_000)).encode()
    assert (await verified(body, signed(body))).ticket == "t-aaa"


def b64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")


def signed_with_the_public_key() -> str:
    """HS256 with what everybody knows as its secret; joserfc would not even make it."""
    header = {"alg": "HS256", "typ": "finance-callback+jws", "kid": "k1", "iat": int(NOW.timestamp())}
    head = b64(json.dumps(header).encode())
    return f"{head}..{b64(hmac.digest(KEY.as_pem(private=False), f'{head}.{b64(BODY)}'.encode(), 'sha256'))}"


UNSIGNED = b64(b'{"alg":"none","typ":"finance-callback+jws","kid":"k1","iat":1}')


@pytest.mark.parametrize(
    ("body", "signature", "code"),
    [
        (BODY.replace(b'"balance": -5', b'"balance": 55'), signed(), "BAD_SIGNATURE"),
        (BODY + b" ", signed(), "BAD_SIGNATURE"),
        (BODY, signed(key=STRANGER), "BAD_SIGNATURE"),
        (BODY, signed_with_the_public_key(), "BAD_SIGNATURE"),
        (BODY, f"{UNSIGNED}..", "BAD_SIGNATURE"),
        (BODY, f"{UNSIGNED}..AAAA", "BAD_SIGNATURE"),
        (BODY, signed(typ="tax+jws"), "BAD_SIGNATURE"),
        (BODY, signed(jwk=STRANGER.as_dict(private=False)), "BAD_SIGNATURE"),
        (BODY, signed(iat="now"), "BAD_SIGNATURE"),
        (BODY, signed(kid="k2"), "UNKNOWN_KEY"),
        (BODY, signed(iat=int(NOW.timestamp()) - 601), "SIGNATURE_TOO_OLD"),
        (BODY, signed(iat=int(NOW.timestamp()) + 61), "SIGNATURE_TOO_OLD"),
        (BODY, signed().replace("..", "." + base64.urlsafe_b64encode(BODY).decode() + "."), "BAD_SIGNATURE"),
        (BODY, signed().replace("..", "."), "BAD_SIGNATURE"),
        (BODY, "", "BAD_SIGNATURE"),
        (BODY, "é..é", "BAD_SIGNATURE"),
        (BODY, "A" * 3000, "TOO_LARGE"),
        (b"not json", signed(b"not json"), "NOT_JSON"),
        (b"{}", signed(b"{}"), "UNKNOWN_SHAPE"),
    ],
)
async def test_a_forged_callback_is_not_believed(body: bytes, signature: str, code: str) -> None:
    with pytest.raises(Unreadable) as raised:
        await verified(body, signature)
    assert raised.value.code == code


async def test_a_callback_cannot_be_judged_while_the_keys_are_away() -> None:
    async with serving(lambda _: Reply(b"", 503, None)) as served:
        transport = Transport(Agency.FINANCE, served.base_url)
        with pytest.raises(Unavailable):
            await finance.verify_callback(BODY, signed(), Jwks(transport), NOW)
        await transport.close()
        assert len(served.seen) == 1


async def test_keys_are_kept_and_an_unknown_one_refreshes_at_most_every_half_minute() -> None:
    held, clock = [KEY], [0.0]
    async with serving(lambda _: reply_json(public(*held))) as served:
        transport = Transport(Agency.FINANCE, served.base_url)
        jwks = Jwks(transport, monotonic_s=lambda: clock[0])
        assert len({id(key) for key in await asyncio.gather(*(jwks.key("k1") for _ in range(20)))}) == 1
        assert len(served.seen) == 1
        for _ in range(5):
            with pytest.raises(Unreadable):
                await jwks.key("k2")
        assert len(served.seen) == 1
        held.append(ECKey.generate_key("P-256", {"kid": "k2"}))
        clock[0] = SHORTEST_BETWEEN_S
        await asyncio.gather(*(jwks.key("k2") for _ in range(20)))
        assert len(served.seen) == 2
        held.pop(0)
        clock[0] += LONGEST_KEPT_S
        with pytest.raises(Unreadable):  # a key that was withdrawn
            await jwks.key("k1")
        assert len(served.seen) == 3
        await transport.close()


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (json.dumps(public(KEY, STRANGER)).encode(), Unreadable),
        (json.dumps(public(*[KEY] * 21)).encode(), Unreadable),
        (json.dumps(public(KEY, x="AAAA")).encode(), Unreadable),
        (json.dumps(public(KEY, kid="")).encode(), Unreadable),
        (json.dumps(public(KEY) | {"more": "x" * LARGEST_SET}).encode(), Unreadable),
        (json.dumps(public(KEY, use="enc")).encode(), Unreadable),
        (json.dumps(public(KEY, alg="ES384")).encode(), Unreadable),
        (json.dumps({"keys": [{"kty": "oct", "k": "AAAA", "kid": "k1"}]}).encode(), Unreadable),
        (b'{"keys": {}}', Unreadable),
        (b"<html>", Unreadable),
    ],
)
async def test_an_odd_key_set_gives_no_key(body: bytes, error: type[AgencyError]) -> None:
    async with serving(lambda _: Reply(body)) as served:
        transport = Transport(Agency.FINANCE, served.base_url)
        with pytest.raises(error):
            await Jwks(transport).key("k1")
        await transport.close()
        assert len(served.seen) == 1


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_bytes_never_raise(data: st.DataObject) -> None:
    body = bytearray(BODY)
    place = data.draw(st.integers(0, len(body) - 1))
    body[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    answered = asyncio.run(finance.read_estate(bytes(body), question(ME, *ALL, ticket=TICKET), **THEN))
    assert answered.answer.status in (AnswerStatus.COMPLETE, AnswerStatus.UNREADABLE, AnswerStatus.NONE_HELD)
    assert "INTERNAL" not in told(answered)[1]
