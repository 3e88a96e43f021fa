import asyncio
import base64
import hmac
import json
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import ECKey

from connectors import tax
from connectors.connector import Answered
from connectors.jwks import Jwks
from connectors.transport import Transport, WireReply
from schema.answer import AnswerStatus
from schema.disclosure import Agency
from schema.tax import BirthTax, EstateTax, TaxLevel, TaxState
from tests.connectors.wire import NOW, Answering, Reply, Seen, question, reply_json, serving

ME = "tax1_" + "a" * 26
OTHER = "tax1_" + "b" * 26
ISSUER = "https://tax.example"
KEY = ECKey.generate_key("P-256", {"kid": "k1"})
STRANGER = ECKey.generate_key("P-256", {"kid": "k1"})
JWKS = {"keys": [KEY.as_dict(private=False)]}
ALL = ("EstateTax.items", *(f"TaxItem.{name}" for name in ["assessed", "arrears", "surcharge", "refundable", "dueOn"]))
CREDITS = ("BirthTax.childTaxCredit", "BirthTax.birthTaxCredit")

ARREARS: dict[str, Any] = {
    "taxpayerId": ME,
    "reference": "n-1",
    "level": "NATIONAL",
    "tax": "종합소득세",
    "period": "2025",
    "authority": "문경세무서",
    "state": "ARREARS",
    "assessed": 1_200_000,
    "arrears": 1_000_000,
    "surcharge": 30_000,
    "refundable": None,
    "dueOn": "2026-05-31",
}
PROPERTY = ARREARS | {"reference": "l-1", "level": "LOCAL", "tax": "재산세", "state": "PAID", "arrears": 0}
ITEMS = {"NATIONAL": [ARREARS], "LOCAL": [PROPERTY]}

Signing = Callable[[dict[str, Any]], str]


def signed(payload: dict[str, Any], key: Any = KEY, **header: Any) -> str:
    protected = {"alg": "ES256", "typ": "tax+jws", "kid": "k1"} | header
    return jws.serialize_compact(protected, json.dumps(payload, ensure_ascii=False), key, algorithms=["ES256"])


def payload(seen: Seen, **other: Any) -> dict[str, Any]:
    common = {
        "iss": ISSUER,
        "iat": int(NOW.timestamp()),
        "requestId": seen.request_id,
        "taxpayerId": seen.path.split("/")[3],
        "asOf": "2026-11-21T00:00:00Z",
    }
    if seen.path.endswith("/credits"):
        return common | {"childTaxCredit": 250_000, "birthTaxCredit": 300_000} | other
    return common | {"level": seen.query["level"], "items": ITEMS[seen.query["level"]]} | other


def jose(token: str) -> Reply:
    return Reply(token.encode(), content_type="application/jose")


def agency(national: Callable[[Seen], Reply], local: Callable[[Seen], Reply] | None = None) -> Answering:
    """Serve the keys, and one answer for each level (the same for both where only one is given)."""

    def answering(seen: Seen) -> Reply:
        if seen.path == "/v1/jwks.json":
            return reply_json(JWKS)
        return (national if local is None or seen.query.get("level") == "NATIONAL" else local)(seen)

    return answering


def good(seen: Seen) -> Reply:
    return jose(signed(payload(seen)))


def saying(**other: Any) -> Answering:
    return agency(lambda seen: jose(signed(payload(seen, **other))), good)


def item(**changed: Any) -> Answering:
    return saying(items=[ARREARS | changed])


def unknown_person(seen: Seen) -> Reply:
    owner = seen.path.split("/")[3]
    return reply_json({"error": "UNKNOWN_PERSON", "taxpayerId": owner, "requestId": seen.request_id}, 404)


async def told(answering: Answering, *coordinates: str) -> tuple[Answered[EstateTax], list[Seen]]:
    async with serving(answering) as served:
        transport = Transport(Agency.TAX, served.base_url, timeout_s=30)
        connector = tax.estate(transport, lambda: NOW, ISSUER, Jwks(transport))
        (answered,) = await connector.fetch([question(ME, *(coordinates or ALL))])
        await transport.close()
    return answered, served.seen


async def told_of_birth(answering: Answering, *coordinates: str) -> tuple[Answered[BirthTax], list[Seen]]:
    async with serving(answering) as served:
        transport = Transport(Agency.TAX, served.base_url, timeout_s=30)
        connector = tax.birth(transport, lambda: NOW, ISSUER, Jwks(transport))
        (answered,) = await connector.fetch([question(ME, *coordinates)])
        await transport.close()
    return answered, served.seen


def codes(answered: Answered[Any]) -> list[tuple[str, str | None]]:
    return [(problem.code, problem.institution) for problem in answered.answer.problems]


def unreadable(answered: Answered[EstateTax], code: str) -> None:
    assert codes(answered) == [(code, None)]
    assert answered.answer.status is AnswerStatus.UNREADABLE
    assert answered.section.items is None


# ---------------------------------------------------------------- what is owed


async def test_both_levels_are_one_list() -> None:
    answered, seen = await told(agency(good))
    assert answered.answer.status is AnswerStatus.COMPLETE
    assert answered.answer.as_of == datetime(2026, 11, 21, tzinfo=UTC)
    assert [one.level for one in answered.section.items or []] == [TaxLevel.NATIONAL, TaxLevel.LOCAL]
    first = (answered.section.items or [])[0]
    assert (first.id, first.tax, first.state) == ("TaxItem:n-1", "종합소득세", TaxState.ARREARS)
    assert (first.assessed, first.arrears, first.surcharge, first.refundable) == (1_200_000, 1_000_000, 30_000, None)
    assert first.due_on == date(2026, 5, 31)
    asked = [one for one in seen if one.path.endswith("/items")]
    assert {one.query["level"] for one in asked} == {"NATIONAL", "LOCAL"}
    assert len(seen) == len(asked) + 1  # the keys, once


async def test_withheld_amounts_are_dropped_and_withheld_items_not_asked() -> None:
    answered, _ = await told(agency(good), "EstateTax.items", "TaxItem.dueOn")
    first = (answered.section.items or [])[0]
    assert (first.assessed, first.arrears, first.surcharge, first.refundable) == (None,) * 4
    assert first.due_on is not None
    answered, seen = await told(agency(good), "TaxItem.arrears")
    assert seen == []
    assert not answered.asked_agency
    assert answered.answer.status is AnswerStatus.REFUSED


@pytest.mark.parametrize("saying_none", [unknown_person, lambda seen: jose(signed(payload(seen, items=[])))])
async def test_nothing_at_either_level_means_nothing_held(saying_none: Callable[[Seen], Reply]) -> None:
    answered, _ = await told(agency(saying_none))
    assert answered.answer.status is AnswerStatus.NONE_HELD
    assert answered.section.items == []


@pytest.mark.parametrize(
    ("failing", "code"),
    [
        (Reply(status=500), "AGENCY_ERROR"),
        (Reply(status=204), "NOT_AN_ANSWER"),
        (Reply(b"<html>", content_type="text/html"), "NOT_AN_ANSWER"),
        (Reply(b'{"items": []}'), "NOT_AN_ANSWER"),
        (Reply(b"", content_type="application/jose"), "NOT_AN_ANSWER"),
        (Reply(b"<h1>Not Found</h1>", 404, "text/html"), "NOT_AN_ANSWER"),
        (Reply(b"{}", 403), "REFUSED"),
    ],
)
async def test_one_level_that_fails_is_named_and_leaves_the_other(failing: Reply, code: str) -> None:
    answered, _ = await told(agency(good, lambda _: failing))
    assert answered.answer.status is AnswerStatus.PARTIAL
    assert codes(answered) == [(code, "LOCAL")]
    assert [one.level for one in answered.section.items or []] == [TaxLevel.NATIONAL]
    both, _ = await told(agency(lambda _: failing))
    assert both.answer.status is (AnswerStatus.REFUSED if code == "REFUSED" else AnswerStatus.UNAVAILABLE)
    assert both.section.items is None


async def test_nothing_at_one_level_is_not_nothing_while_the_other_is_silent() -> None:
    def nothing(seen: Seen) -> Reply:
        return jose(signed(payload(seen, items=[])))

    answered, _ = await told(agency(nothing, lambda _: Reply(status=500)))
    assert (answered.answer.status, answered.section.items) == (AnswerStatus.PARTIAL, None)


async def test_a_level_that_answers_later_is_named_and_all_late_is_pending() -> None:
    def late(seen: Seen) -> Reply:
        said = {"requestId": seen.request_id, "taxpayerId": ME, "state": "PENDING", "expectedBy": "2026-12-01"}
        return reply_json(said, 202)

    answered, _ = await told(agency(good, late))
    assert answered.answer.status is AnswerStatus.PARTIAL
    assert codes(answered) == [("PENDING", "LOCAL")]
    answered, _ = await told(agency(late))
    assert answered.answer.status is AnswerStatus.PENDING
    assert answered.answer.expected_by == date(2026, 12, 1)
    assert answered.section.items is None


async def test_slow_beyond_the_budget_is_a_missing_level() -> None:
    asked, enough = asyncio.Event(), asyncio.Event()

    async def answering(seen: Seen) -> Reply:
        if seen.query.get("level") == "LOCAL":
            asked.set()
            await enough.wait()
        return reply_json(JWKS) if seen.path == "/v1/jwks.json" else good(seen)

    async with serving(answering) as served:
        transport = Transport(Agency.TAX, served.base_url, timeout_s=0.5)
        connector = tax.estate(transport, lambda: NOW, ISSUER, Jwks(transport))
        (answered,) = await connector.fetch([question(ME, *ALL)])
        enough.set()
        await transport.close()
    assert asked.is_set()
    assert codes(answered) == [("TIMEOUT", "LOCAL")]
    assert len(answered.section.items or []) == 1


# ---------------------------------------------------------------- who signed


def unsigned(said: dict[str, Any]) -> str:
    return f"{segment({'alg': 'none', 'typ': 'tax+jws', 'kid': 'k1'})}.{segment(said)}."


def segment(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def signed_with_the_public_key(said: dict[str, Any]) -> str:
    text = f"{segment({'alg': 'HS256', 'typ': 'tax+jws', 'kid': 'k1'})}.{segment(said)}"
    return f"{text}.{segment(hmac.digest(KEY.as_pem(private=False), text.encode(), 'sha256'))}"


def changed_after_signing(said: dict[str, Any]) -> str:
    header, _, signature = signed(said).split(".")
    return f"{header}.{segment(said | {'items': []})}.{signature}"


def with_a_key_of_its_own(said: dict[str, Any]) -> str:
    header = {"alg": "ES256", "typ": "tax+jws", "kid": "k1", "jwk": STRANGER.as_dict(private=False)}
    return jws.serialize_compact(header, json.dumps(said), STRANGER, algorithms=["ES256"])


FORGERIES: dict[str, tuple[Signing, str]] = {
    "unsigned": (unsigned, "BAD_SIGNATURE"),
    "HS256 with the public key": (signed_with_the_public_key, "BAD_SIGNATURE"),
    "another key": (lambda said: signed(said, STRANGER), "BAD_SIGNATURE"),
    "a key in the header": (with_a_key_of_its_own, "BAD_SIGNATURE"),
    "changed after signing": (changed_after_signing, "BAD_SIGNATURE"),
    "an unknown key": (lambda said: signed(said, kid="k2"), "UNKNOWN_KEY"),
    "another kind of token": (lambda said: signed(said, typ="finance-callback+jws"), "BAD_SIGNATURE"),
    "no key id": (lambda said: f"{segment({'alg': 'ES256', 'typ': 'tax+jws'})}.{segment(said)}.AA", "BAD_SIGNATURE"),
    "a missing signature": (lambda said: signed(said).rpartition(".")[0] + ".", "BAD_SIGNATURE"),
    "two parts": (lambda said: signed(said).rpartition(".")[0], "BAD_SIGNATURE"),
    "four parts": (lambda said: signed(said) + ".AA", "BAD_SIGNATURE"),
    "no token": (lambda _: "….….…", "BAD_SIGNATURE"),
}


@pytest.mark.parametrize("name", FORGERIES)
async def test_what_the_agency_did_not_sign_is_unreadable(name: str) -> None:
    forge, code = FORGERIES[name]
    answered, seen = await told(agency(lambda seen: jose(forge(payload(seen))), good))
    assert any(one.query.get("level") == "NATIONAL" for one in seen)
    unreadable(answered, code)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"iss": "https://elsewhere.example"}, "WRONG_ISSUER"),
        ({"iat": int(NOW.timestamp()) - 601}, "WRONG_TIME"),
        ({"iat": int(NOW.timestamp()) + 61}, "WRONG_TIME"),
        ({"iat": 10**400}, "WRONG_TIME"),
        ({"iat": "now"}, "UNKNOWN_SHAPE"),
        ({"level": "LOCAL"}, "CONTRADICTION"),
        ({"asOf": "2026-11-21T00:00:00"}, "UNKNOWN_SHAPE"),
        ({"items": None}, "UNKNOWN_SHAPE"),
    ],
)
async def test_a_signed_answer_of_another_issuer_time_or_level_is_unreadable(
    changed: dict[str, Any], code: str
) -> None:
    unreadable((await told(saying(**changed)))[0], code)


@pytest.mark.parametrize("seconds", [-600, 60])
async def test_a_signature_may_be_ten_minutes_old_and_a_clock_one_minute_fast(seconds: int) -> None:
    answered, _ = await told(saying(iat=int(NOW.timestamp()) + seconds))
    assert answered.answer.status is AnswerStatus.COMPLETE


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"taxpayerId": OTHER}, "OTHER_PERSON"),
        ({"requestId": "another"}, "OTHER_REQUEST"),
        ({"items": [ARREARS | {"taxpayerId": OTHER}]}, "OTHER_PERSON"),
    ],
)
async def test_a_signed_answer_about_somebody_else_is_unreadable_and_its_pool_is_dropped(
    changed: dict[str, Any], code: str
) -> None:
    async with serving(saying(**changed)) as served:
        transport = Transport(Agency.TAX, served.base_url, timeout_s=30)
        keys = Jwks(transport)
        connector = tax.estate(transport, lambda: NOW, ISSUER, keys)
        (answered,) = await connector.fetch([question(ME, *ALL)])
        before = {one.peer_port for one in served.seen}
        await connector.fetch([question(ME, *ALL)])
        after = {one.peer_port for one in served.seen[3:]}
        await transport.close()
    unreadable(answered, code)
    assert after
    assert not before & after


# ---------------------------------------------------------------- impossible content


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"arrears": 2**53}, "IMPOSSIBLE_AMOUNT"),
        ({"arrears": -1}, "IMPOSSIBLE_AMOUNT"),
        ({"arrears": 1.5}, "UNKNOWN_SHAPE"),
        ({"dueOn": "2026-02-30"}, "UNKNOWN_SHAPE"),
        ({"state": "FORGIVEN"}, "UNKNOWN_SHAPE"),
        ({"level": "LOCAL"}, "CONTRADICTION"),
        ({"reference": None}, "UNKNOWN_SHAPE"),
        ({"reference": "l-1"}, "DUPLICATE_RECORD"),
    ],
)
async def test_an_impossible_item_makes_the_answer_unreadable(changed: dict[str, Any], code: str) -> None:
    unreadable((await told(item(**changed)))[0], code)


async def test_impossible_amounts_are_noticed_when_they_may_not_be_read_too() -> None:
    unreadable((await told(item(arrears=2**53), "EstateTax.items"))[0], "IMPOSSIBLE_AMOUNT")


async def test_two_hundred_and_one_items_are_too_many_over_both_levels() -> None:
    def many(count: int) -> Sequence[dict[str, Any]]:
        return [ARREARS | {"reference": f"n-{number}"} for number in range(count)]

    answered, _ = await told(saying(items=many(199)))
    assert answered.answer.status is AnswerStatus.COMPLETE
    unreadable((await told(saying(items=many(200))))[0], "TOO_MANY_RECORDS")


async def test_never_heard_of_and_yet_taxed_is_unreadable() -> None:
    unreadable((await told(agency(good, unknown_person)))[0], "CONTRADICTION")


async def test_signed_nonsense_is_unreadable() -> None:
    def nonsense(_: Seen) -> Reply:
        header = {"alg": "ES256", "typ": "tax+jws", "kid": "k1"}
        return jose(jws.serialize_compact(header, b'{"iss": ', KEY, algorithms=["ES256"]))

    unreadable((await told(agency(nonsense)))[0], "NOT_JSON")


class Canned(Transport):
    """Answer every question with one body, as if it had been asked under the request id r-1."""

    def __init__(self, body: bytes) -> None:
        super().__init__(Agency.TAX, "http://127.0.0.1:1")
        self.body = body

    async def request(self, _: str, path: str, **__: Any) -> WireReply:
        if path == "/v1/jwks.json":
            return WireReply(200, "application/json", "r-0", {}, json.dumps(JWKS).encode())
        return WireReply(200, "application/jose", "r-1", {}, self.body)


GENUINE = signed(payload(Seen("GET", f"/v1/taxpayers/{ME}/credits", {}, {"X-Request-Id": "r-1"}, b"", 0))).encode()


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_changed_byte_of_a_signed_answer_is_believed(data: st.DataObject) -> None:
    body = bytearray(GENUINE)
    start = data.draw(st.integers(0, len(body)))
    body[start : start + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    transport = Canned(bytes(body))
    connector = tax.birth(transport, lambda: NOW, ISSUER, Jwks(transport))
    (answered,) = asyncio.run(connector.fetch([question(ME, *CREDITS)]))
    if answered.answer.status is AnswerStatus.COMPLETE:
        assert (answered.section.child_tax_credit, answered.section.birth_tax_credit) == (250_000, 300_000)
    else:
        assert answered.section.child_tax_credit is None
    assert "INTERNAL" not in {code for code, _ in codes(answered)}


# ---------------------------------------------------------------- birth


async def test_credits_follow_from_the_child() -> None:
    answered, seen = await told_of_birth(agency(good), *CREDITS)
    assert answered.answer.status is AnswerStatus.COMPLETE
    assert (answered.section.child_tax_credit, answered.section.birth_tax_credit) == (250_000, 300_000)
    assert seen[0].path == f"/v1/taxpayers/{ME}/credits"


async def test_of_the_credits_only_what_may_be_read_is_given() -> None:
    answered, _ = await told_of_birth(agency(good), "BirthTax.birthTaxCredit")
    assert (answered.section.child_tax_credit, answered.section.birth_tax_credit) == (None, 300_000)
    answered, seen = await told_of_birth(agency(good))
    assert seen == []
    assert answered.answer.status is AnswerStatus.REFUSED


async def test_a_child_that_the_agency_never_heard_of_has_no_known_credit() -> None:
    answered, _ = await told_of_birth(agency(unknown_person), *CREDITS)
    assert answered.answer.status is AnswerStatus.NONE_HELD
    assert (answered.section.child_tax_credit, answered.section.birth_tax_credit) == (None, None)


async def test_keys_that_cannot_be_had_make_the_agency_unavailable() -> None:
    def keyless(seen: Seen) -> Reply:
        return Reply(status=503) if seen.path == "/v1/jwks.json" else good(seen)

    answered, seen = await told_of_birth(keyless, *CREDITS)
    assert "/v1/jwks.json" in {one.path for one in seen}
    assert answered.answer.status is AnswerStatus.UNAVAILABLE
    assert codes(answered) == [("KEYS_UNAVAILABLE", None)]
