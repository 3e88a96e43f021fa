import asyncio
import hashlib
import hmac
import json
from base64 import b32encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from connectors import registry
from connectors.connector import Answered
from connectors.registry import DeclarationKind, Inquiry, MarriageEnd, Register
from connectors.transport import Transport, WireReply
from schema.answer import AnswerStatus
from schema.disclosure import Agency, Sensitivity
from schema.identifiers import PersonId, SectorId
from schema.person import ParentRelation, Sex
from tests.connectors.wire import NOW, Answering, Reply, Seen, reply_json, serving

INQUIRY = Inquiry(purpose="ESTATE_DISCOVERY", now=NOW, case="case-1")
NUMBER = "500399-2123456"


def sector_id(person: PersonId) -> SectorId:
    digest = hmac.digest(b"a key", person.encode(), hashlib.sha256)[:16]
    return SectorId("reg1_" + b32encode(digest).decode().rstrip("=").lower())


def subject(letter: str) -> PersonId:
    return PersonId(letter * 26)


MOTHER, FATHER, CHILD, STRANGER = (subject(letter) for letter in "abcd")
ME = sector_id(MOTHER)


def person(of: PersonId, **other: Any) -> dict[str, Any]:
    return {
        "personId": sector_id(of),
        "subject": of,
        "name": "김하늘",
        "birthDate": "1950-03-02",
        "deathDate": "2026-09-12",
        "missingDeclaredOn": None,
        "sex": "FEMALE",
        "address": "경상북도 문경시 하늘로 1",
        "municipality": "47280",
        "maskedRegistrationNumber": "500399-2******",
        "protected": False,
        "birth": None,
    } | other


CHILD_BIRTH = {"order": 2, "multiple": False, "underProtection": False}
FAMILY: dict[str, Any] = {
    "persons": [
        person(MOTHER),
        person(FATHER, name="이산", sex="MALE", deathDate=None),
        person(CHILD, name="이바다", birthDate="1980-01-31", deathDate=None, birth=CHILD_BIRTH),
    ],
    "parentage": [
        {"parent": ME, "child": sector_id(CHILD), "relation": "MOTHER", "custody": True},
        {"parent": sector_id(FATHER), "child": sector_id(CHILD), "relation": "FATHER", "custody": False},
    ],
    "marriages": [
        {"a": ME, "b": sector_id(FATHER), "since": "1975-05-01", "until": "2026-09-12", "endedBy": "DEATH"},
    ],
    "guardianships": [
        {
            "ward": sector_id(FATHER),
            "guardian": sector_id(CHILD),
            "since": "2025-01-01",
            "until": None,
            "agencies": ["LAND", "TAX"],
            "sensitivity": "AMOUNT",
            "order": "2026느단123",
        }
    ],
    "declarations": [{"deceased": ME, "heir": sector_id(CHILD), "kind": "RENUNCIATION", "on": "2026-10-01"}],
    "appointments": [
        {"deceased": ME, "holder": sector_id(FATHER), "kind": "EXECUTOR", "on": "2026-10-02", "document": "d-1"}
    ],
    "disputes": [{"deceased": ME, "openedOn": "2026-10-03", "closedOn": None}],
}


def body(seen: Seen, **said: Any) -> dict[str, Any]:
    return {"requestId": seen.request_id, "personId": ME, "asOf": "2026-11-21T00:00:00Z"} | said


def one(**changed: Any) -> Answering:
    return lambda seen: reply_json(body(seen, person=person(MOTHER, **changed)))


def family(**changed: Any) -> Answering:
    return lambda seen: reply_json(body(seen, **FAMILY | changed))


def unknown(seen: Seen) -> Reply:
    named = {} if seen.method == "POST" else {"personId": ME}
    return reply_json({"error": "UNKNOWN_PERSON", "requestId": seen.request_id} | named, 404)


@asynccontextmanager
async def register(answering: Answering) -> AsyncIterator[tuple[Register, list[Seen]]]:
    async with serving(answering) as agency:
        transport = Transport(Agency.REGISTRY, agency.base_url)
        yield Register(transport, lambda: NOW, sector_id), agency.seen
        await transport.close()


async def told(answering: Answering) -> Answered[registry.RegisteredPerson | None]:
    async with register(answering) as (asking, _):
        return await asking.person(ME, INQUIRY)


async def told_relatives(answering: Answering) -> Answered[registry.FamilyRegister | None]:
    async with register(answering) as (asking, _):
        return await asking.relatives(ME, INQUIRY)


def unreadable(answered: Answered[Any], code: str) -> None:
    assert [problem.code for problem in answered.answer.problems] == [code]
    assert answered.answer.status is AnswerStatus.UNREADABLE
    assert answered.section is None


# ---------------------------------------------------------------- one person


async def test_a_person_is_what_the_register_says_of_them() -> None:
    async with register(one()) as (asking, seen):
        answered = await asking.person(ME, INQUIRY)
    found = answered.section
    assert found is not None
    assert (found.subject, found.name, found.sex) == (MOTHER, "김하늘", Sex.FEMALE)
    assert (found.birth_date, found.death_date) == (date(1950, 3, 2), date(2026, 9, 12))
    assert (found.municipality, found.masked_registration_number) == ("47280", "500399-2******")
    assert found.birth is None
    assert answered.answer.status is AnswerStatus.COMPLETE
    assert answered.answer.as_of == datetime(2026, 11, 21, tzinfo=UTC)
    assert (answered.answer.requested_at, answered.answer.source_reference) == (NOW, seen[0].request_id)
    assert (seen[0].path, seen[0].headers["X-Case"]) == (f"/v1/persons/{ME}", "case-1")


async def test_a_person_does_not_print_themself() -> None:
    found = (await told(one())).section
    assert "김하늘" not in repr(found)


async def test_a_protected_persons_address_is_dropped_even_when_it_is_sent() -> None:
    found = (await told(one(protected=True))).section
    assert found is not None
    assert found.address is None


async def test_an_unknown_person_is_nobody_and_no_fault() -> None:
    answered = await told(unknown)
    assert answered.section is None
    assert answered.answer.status is AnswerStatus.NONE_HELD
    assert answered.answer.problems == []


@pytest.mark.parametrize(
    "reply",
    [
        Reply(b"<html>", content_type="text/html"),
        Reply(status=204),
        Reply(),
        Reply(b"Not Found", 404, "text/plain"),
        Reply(b'{"error": "UNKNOWN_TICKET"}', 404),
        Reply(status=500),
        Reply(status=302, headers={"Location": "/v1/other"}),
    ],
)
async def test_what_is_not_the_register_speaking_is_unavailable(reply: Reply) -> None:
    answered = await told(lambda _: reply)
    assert answered.section is None
    assert answered.answer.status is AnswerStatus.UNAVAILABLE


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (lambda seen: body(seen, person=person(MOTHER), personId=sector_id(CHILD)), "OTHER_PERSON"),
        (lambda seen: body(seen, person=person(CHILD)), "OTHER_PERSON"),
        (lambda seen: body(seen, person=person(CHILD, personId=ME)), "OTHER_PERSON"),
        (lambda seen: body(seen, person=person(MOTHER), requestId="another"), "OTHER_REQUEST"),
    ],
)
async def test_a_namesakes_record_is_unreadable_and_the_pool_is_dropped(
    said: Callable[[Seen], dict[str, Any]], code: str
) -> None:
    async with register(lambda seen: reply_json(said(seen))) as (asking, seen):
        first = await asking.person(ME, INQUIRY)
        second = await asking.person(ME, INQUIRY)
    unreadable(first, code)
    unreadable(second, code)
    assert seen[0].peer_port != seen[1].peer_port


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"birthDate": "1950-02-29"}, "UNKNOWN_SHAPE"),
        ({"deathDate": "1950-03-01"}, "IMPOSSIBLE_DATE"),
        ({"sex": "F"}, "UNKNOWN_SHAPE"),
        ({"maskedRegistrationNumber": NUMBER}, "UNKNOWN_SHAPE"),
        ({"municipality": "4728"}, "UNKNOWN_SHAPE"),
        ({"subject": "../../etc"}, "UNKNOWN_SHAPE"),
        ({"birth": CHILD_BIRTH | {"order": -1}}, "IMPOSSIBLE_NUMBER"),
        ({"name": None}, "UNKNOWN_SHAPE"),
        ({"protected": "no"}, "UNKNOWN_SHAPE"),
    ],
)
async def test_an_impossible_entry_makes_the_person_unreadable(changed: dict[str, Any], code: str) -> None:
    unreadable(await told(one(**changed)), code)


# ---------------------------------------------------------------- a family


async def test_a_family_is_persons_and_what_connects_them() -> None:
    answered = await told_relatives(family())
    found = answered.section
    assert found is not None
    assert found.subject == MOTHER
    assert set(found.persons) == {MOTHER, FATHER, CHILD}
    assert found.persons[CHILD].birth == registry.BirthReport(order=2, multiple=False, under_protection=False)
    assert found.parentage == (
        registry.Parentage(MOTHER, CHILD, ParentRelation.MOTHER, custody=True),
        registry.Parentage(FATHER, CHILD, ParentRelation.FATHER, custody=False),
    )
    (marriage,) = found.marriages
    assert (marriage.a, marriage.b, marriage.ended_by) == (MOTHER, FATHER, MarriageEnd.DEATH)
    (guardianship,) = found.guardianships
    assert (guardianship.ward, guardianship.guardian) == (FATHER, CHILD)
    assert guardianship.agencies == {Agency.LAND, Agency.TAX}
    assert guardianship.sensitivity is Sensitivity.AMOUNT
    assert found.declarations[0].kind is DeclarationKind.RENUNCIATION
    assert found.appointments[0].holder == FATHER
    assert found.disputes[0].closed_on is None


PARENTAGE = FAMILY["parentage"][0]


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"persons": FAMILY["persons"][1:]}, "OTHER_PERSON"),
        ({"persons": [*FAMILY["persons"], person(MOTHER)]}, "DUPLICATE_RECORD"),
        ({"persons": [*FAMILY["persons"], person(STRANGER, subject=CHILD)]}, "OTHER_PERSON"),
        ({"persons": [person(MOTHER)] * 201}, "TOO_MANY_RECORDS"),
        ({"parentage": [PARENTAGE] * 2}, "DUPLICATE_RECORD"),
        ({"parentage": [PARENTAGE] * 1001}, "TOO_MANY_RECORDS"),
        ({"parentage": [PARENTAGE | {"parent": sector_id(STRANGER)}]}, "CONTRADICTION"),
        ({"parentage": [PARENTAGE | {"parent": sector_id(CHILD), "child": ME}]}, "CONTRADICTION"),
        ({"parentage": [PARENTAGE | {"child": ME}]}, "CONTRADICTION"),
        ({"parentage": [PARENTAGE | {"relation": "AUNT"}]}, "UNKNOWN_SHAPE"),
        ({"marriages": [FAMILY["marriages"][0] | {"b": ME}]}, "CONTRADICTION"),
        ({"marriages": [FAMILY["marriages"][0] | {"until": "1975-04-30"}]}, "IMPOSSIBLE_DATE"),
        ({"marriages": [FAMILY["marriages"][0] | {"endedBy": "BOREDOM"}]}, "UNKNOWN_SHAPE"),
        ({"guardianships": [FAMILY["guardianships"][0] | {"sensitivity": "ALL"}]}, "UNKNOWN_CODE"),
        ({"guardianships": [FAMILY["guardianships"][0] | {"agencies": ["MOON"]}]}, "UNKNOWN_SHAPE"),
        ({"declarations": [FAMILY["declarations"][0] | {"heir": sector_id(STRANGER)}]}, "CONTRADICTION"),
        ({"disputes": [FAMILY["disputes"][0] | {"closedOn": "2026-10-02"}]}, "IMPOSSIBLE_DATE"),
        ({"disputes": None}, "UNKNOWN_SHAPE"),
    ],
)
async def test_an_impossible_family_is_unreadable(changed: dict[str, Any], code: str) -> None:
    unreadable(await told_relatives(family(**changed)), code)


class Canned(Transport):
    """Answer every question with one body, as if it had been asked under the request id r-1."""

    def __init__(self, body: bytes) -> None:
        super().__init__(Agency.REGISTRY, "http://127.0.0.1:1")
        self.body = body

    async def request(self, *_: str, **__: Any) -> WireReply:
        return WireReply(200, "application/json", "r-1", {}, self.body)


GENUINE = json.dumps(body(Seen("GET", "", {}, {"X-Request-Id": "r-1"}, b"", 0), **FAMILY), ensure_ascii=False).encode()


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_whatever_bytes_come_every_person_hashes_to_who_they_are_said_to_be(data: st.DataObject) -> None:
    changed = bytearray(GENUINE)
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(changed) - 1))
        changed[start : start + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    asking = Register(Canned(bytes(changed)), lambda: NOW, sector_id)
    answered = asyncio.run(asking.relatives(ME, INQUIRY))
    assert "INTERNAL" not in {problem.code for problem in answered.answer.problems}
    if answered.section is not None:
        assert set(answered.section.persons) <= {MOTHER, FATHER, CHILD}
        assert answered.section.subject == MOTHER


# ---------------------------------------------------------------- lookup


def found(seen: Seen, **changed: Any) -> Reply:
    said = body(seen, person=person(MOTHER, **changed))
    del said["asOf"]
    return reply_json(said)


async def test_a_lookup_sends_the_number_in_the_body_and_nowhere_else() -> None:
    async with register(found) as (asking, seen):
        answered = await asking.lookup("김하늘", date(1950, 3, 2), NUMBER, INQUIRY)
    assert answered.section is not None
    assert answered.section.subject == MOTHER
    (request,) = seen
    assert (request.method, request.path, request.query) == ("POST", "/v1/lookup", {})
    assert json.loads(request.body) == {
        "name": "김하늘",
        "birthDate": "1950-03-02",
        "registrationNumber": NUMBER,
    }
    assert request.headers["Content-Type"] == "application/json"
    assert NUMBER not in str(request.headers)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=500),
        Reply(b"{", content_type="application/json"),
        Reply(json.dumps({"requestId": NUMBER, "personId": NUMBER}).encode()),
        Reply(json.dumps({"error": "UNKNOWN_PERSON", "requestId": NUMBER}).encode(), 404),
    ],
)
async def test_a_lookup_that_fails_prints_no_number(reply: Reply, capsys: pytest.CaptureFixture[str]) -> None:
    with capture_logs() as logs:
        async with register(lambda _: reply) as (asking, seen):
            answered = await asking.lookup("김하늘", date(1950, 3, 2), NUMBER, INQUIRY)
    assert len(seen) == 1
    assert answered.section is None
    printed = repr(answered) + str(logs) + "".join(capsys.readouterr())
    assert NUMBER not in printed
    assert "김하늘" not in printed


async def test_a_fault_of_ours_in_a_lookup_prints_no_number() -> None:
    def broken(_: PersonId) -> SectorId:
        raise ZeroDivisionError(NUMBER)

    async with serving(found) as agency:
        transport = Transport(Agency.REGISTRY, agency.base_url)
        with capture_logs() as logs:
            asking = Register(transport, lambda: NOW, broken)
            answered = await asking.lookup("김하늘", date(1950, 3, 2), NUMBER, INQUIRY)
        await transport.close()
    assert answered.answer.status is AnswerStatus.UNAVAILABLE
    assert [entry["event"] for entry in logs] == ["connector_failed"]
    assert NUMBER not in str(logs)


async def test_nobody_found_is_an_answer() -> None:
    async with register(unknown) as (asking, _):
        answered = await asking.lookup("김하늘", date(1950, 3, 2), None, INQUIRY)
    assert answered.section is None
    assert answered.answer.status is AnswerStatus.NONE_HELD


@pytest.mark.parametrize("changed", [{"name": "김바다"}, {"birthDate": "1950-03-03"}, {"subject": CHILD}])
async def test_a_lookup_that_finds_somebody_else_is_unreadable(changed: dict[str, Any]) -> None:
    async with register(lambda seen: found(seen, **changed)) as (asking, _):
        unreadable(await asking.lookup("김하늘", date(1950, 3, 2), NUMBER, INQUIRY), "OTHER_PERSON")


async def test_a_lookup_without_a_match_may_not_name_a_person() -> None:
    def naming(seen: Seen) -> Reply:
        return reply_json({"error": "UNKNOWN_PERSON", "requestId": seen.request_id, "personId": ME}, 404)

    async with register(naming) as (asking, _):
        unreadable(await asking.lookup("김하늘", date(1950, 3, 2), NUMBER, INQUIRY), "OTHER_PERSON")
