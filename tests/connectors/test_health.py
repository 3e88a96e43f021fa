import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors import health
from connectors.connector import Answered
from connectors.transport import BODY_LIMIT, Transport
from schema.answer import AnswerStatus
from schema.disclosure import Agency
from schema.health import (
    BirthHealth,
    EstateHealth,
    HealthRefundKind,
    InsuranceKind,
    ScreeningResult,
    ScreeningTest,
    SocialInsurance,
)
from schema.person import ParentRelation
from tests.connectors.wire import NOW, Answering, Reply, Seen, question, reply_json, serving

ME = "hea1_" + "a" * 26
OTHER = "hea1_" + "b" * 26
WHO = {"identifier": {"system": health.PERSON, "value": ME}}
ESTATE = (
    "EstateHealth.eligibility",
    "EstateHealth.unpaidPremiums",
    "EstateHealth.refunds",
    "InsuranceEligibility.validUntil",
    "InsuranceEligibility.lossReason",
    "SocialPremium.unpaid",
    "SocialPremium.surcharge",
    "HealthRefund.amount",
    "HealthRefund.claimBy",
)
BIRTH = (
    "BirthHealth.eligibility",
    "BirthHealth.dependantOf",
    "BirthHealth.screenings",
    "BirthHealth.immunizations",
    "BirthHealth.checkups",
    "Screening.takenOn",
    "Screening.result",
    "Immunization.givenOn",
    "Immunization.dueFrom",
    "Immunization.dueUntil",
    "Checkup.takenOn",
)

Resource = dict[str, Any]


def coded(code: str) -> Resource:
    return {"coding": [{"system": "urn:onestop:health:x", "code": code}]}


def won(value: Any, currency: str = "KRW") -> Resource:
    return {"valueMoney": {"value": value, "currency": currency}}


def parts(name: str, **values: Resource) -> Resource:
    return {"url": f"urn:onestop:health:{name}", "extension": [{"url": url} | one for url, one in values.items()]}


PREMIUM = parts(
    "unpaid-premium",
    insurance={"valueCode": "LONG_TERM_CARE"},
    unpaid=won(120000),
    surcharge=won(3600),
    months={"valueInteger": 2},
)
REFUND = parts(
    "refund", kind={"valueCode": "COPAY_CAP_EXCESS"}, amount=won(900000), claimBy={"valueDate": "2029-08-31"}
)
COVERAGE: Resource = {
    "resourceType": "Coverage",
    "id": "1",
    "status": "cancelled",
    "beneficiary": WHO,
    "payor": [{"display": "국민건강보험공단"}],
    "type": coded("REGIONAL"),
    "period": {"start": "2010-01-01", "end": "2026-09-12"},
    "extension": [{"url": "urn:onestop:health:loss-reason", "valueString": "사망"}, PREMIUM, REFUND],
}
CHILDS = COVERAGE | {
    "status": "active",
    "type": coded("DEPENDANT"),
    "period": {"start": "2026-10-01"},
    "extension": [{"url": "urn:onestop:health:dependant-of", "valueCode": "MOTHER"}],
}
GIVEN: Resource = {
    "resourceType": "Immunization",
    "status": "completed",
    "patient": WHO,
    "vaccineCode": coded("HEPB"),
    "protocolApplied": [{"doseNumberPositiveInt": 1}],
    "occurrenceDateTime": "2026-10-01T23:30:00Z",
}
DUE: Resource = GIVEN | {
    "status": "not-done",
    "occurrenceDateTime": None,
    "occurrenceString": "not given",
    "vaccineCode": coded("BCG"),
    "extension": [parts("due", period={"valuePeriod": {"start": "2026-10-29"}})],
}
SCREENED: Resource = {
    "resourceType": "Observation",
    "status": "final",
    "subject": WHO,
    "code": coded("HEARING"),
    "effectiveDateTime": "2026-10-03",
    "valueCodeableConcept": coded("RECHECK"),
}
TO_COME: Resource = {"resourceType": "Observation", "status": "registered", "subject": WHO, "code": coded("HIP")}
TAKEN: Resource = {
    "resourceType": "Appointment",
    "status": "fulfilled",
    "identifier": [{"system": health.ROUND, "value": "1"}],
    "requestedPeriod": [{"start": "2026-10-15", "end": "2026-11-05"}],
    "participant": [{"actor": {"display": "소아과"}}, {"actor": WHO}],
    "start": "2026-10-20T00:10:00+09:00",
}
ALL: dict[str, list[Resource]] = {
    "Coverage": [CHILDS],
    "Immunization": [GIVEN, DUE],
    "Observation": [SCREENED, TO_COME],
    "Appointment": [TAKEN],
}


def bundle(seen: Seen, resources: Sequence[Resource], **changed: Any) -> Resource:
    return {
        "resourceType": "Bundle",
        "type": "searchset",
        "total": len(resources),
        "identifier": {"system": health.REQUEST, "value": seen.request_id},
        "meta": {"lastUpdated": "2026-11-20T15:00:00Z"},
        "link": [{"relation": "self", "url": "http://self.invalid/"}],
        "entry": [{"resource": one} for one in resources],
    } | changed


def fhir(body: Resource, status: int = 200) -> Reply:
    return Reply(json.dumps(body).encode(), status, health.MEDIA_TYPE)


def kind_of(seen: Seen) -> str:
    return seen.path.rpartition("/")[2]


def holding(held: Mapping[str, Sequence[Resource] | Reply]) -> Answering:
    def answering(seen: Seen) -> Reply:
        said = held.get(kind_of(seen), ())
        return said if isinstance(said, Reply) else fhir(bundle(seen, said))

    return answering


async def asked(
    make: Callable[..., Any],
    answering: Answering,
    *coordinates: str,
    timeout_s: float = 5,
    seen: list[Seen] | None = None,
) -> Any:
    async with serving(answering) as served:
        transport = Transport(Agency.HEALTH, served.base_url, timeout_s=timeout_s)
        try:
            [answered] = await make(transport, lambda: NOW).fetch([question(ME, *coordinates)])
        finally:
            await transport.close()
        if seen is not None:
            seen += served.seen
        return answered


async def estate(answering: Answering, *coordinates: str, **more: Any) -> Answered[EstateHealth]:
    answered: Answered[EstateHealth] = await asked(health.estate, answering, *(coordinates or ESTATE), **more)
    return answered


async def birth(answering: Answering, *coordinates: str, **more: Any) -> Answered[BirthHealth]:
    answered: Answered[BirthHealth] = await asked(health.birth, answering, *(coordinates or BIRTH), **more)
    return answered


def told(answered: Answered[Any]) -> tuple[AnswerStatus, list[str]]:
    return answered.answer.status, [one.code for one in answered.answer.problems]


async def test_coverage_tells_eligibility_premiums_and_refunds_and_nothing_else_is_asked() -> None:
    seen: list[Seen] = []
    answered = await estate(holding({"Coverage": [COVERAGE]}), seen=seen)
    [one] = seen
    assert (one.path, one.query["patient:identifier"]) == ("/fhir/Coverage", f"urn:onestop:health|{ME}")
    assert one.headers["Accept"] == "application/fhir+json"
    assert told(answered) == (AnswerStatus.COMPLETE, [])
    assert answered.answer.as_of == datetime(2026, 11, 20, 15, tzinfo=UTC)
    eligibility = answered.section.eligibility
    assert eligibility is not None
    assert (eligibility.kind, eligibility.valid_from, eligibility.valid_until, eligibility.loss_reason) == (
        InsuranceKind.REGIONAL,
        date(2010, 1, 1),
        date(2026, 9, 12),
        "사망",
    )
    [premium] = answered.section.unpaid_premiums or []
    assert (premium.insurance, premium.unpaid, premium.surcharge, premium.months) == (
        SocialInsurance.LONG_TERM_CARE,
        120000,
        3600,
        2,
    )
    [refund] = answered.section.refunds or []
    assert (refund.kind, refund.amount, refund.claim_by) == (
        HealthRefundKind.COPAY_CAP_EXCESS,
        900000,
        date(2029, 8, 31),
    )


async def test_an_empty_coverage_bundle_is_not_insured() -> None:
    answered = await estate(lambda seen: fhir({k: v for k, v in bundle(seen, []).items() if k != "entry"}))
    assert told(answered) == (AnswerStatus.NONE_HELD, [])
    assert (answered.section.eligibility, answered.section.unpaid_premiums, answered.section.refunds) == (None, [], [])


def unknown(seen: Seen, **changed: Any) -> Reply:
    issue = {"severity": "error", "code": "not-found", "diagnostics": "UNKNOWN_PERSON"}
    return fhir({"resourceType": "OperationOutcome", "id": seen.request_id, "issue": [issue | changed]}, 404)


async def test_only_the_agencys_own_word_says_that_a_person_is_unknown() -> None:
    answered = await estate(unknown, "EstateHealth.refunds")
    assert told(answered) == (AnswerStatus.NONE_HELD, [])
    assert (answered.section.unpaid_premiums, answered.section.refunds) == (None, [])
    assert told(await estate(lambda seen: unknown(seen, diagnostics="no route"))) == (
        AnswerStatus.UNAVAILABLE,
        ["NOT_AN_ANSWER"],
    )
    foreign = Reply(b"<html>404</html>", 404, "text/html")
    assert told(await estate(lambda _: foreign)) == (AnswerStatus.UNAVAILABLE, ["NOT_AN_ANSWER"])

    def echoless(seen: Seen) -> Reply:
        return fhir(json.loads(unknown(seen).body) | {"id": "another"}, 404)

    assert told(await estate(echoless)) == (AnswerStatus.UNREADABLE, ["OTHER_REQUEST"])


async def test_what_may_not_be_read_is_left_out() -> None:
    answered = await estate(
        holding({"Coverage": [COVERAGE]}), "EstateHealth.eligibility", "EstateHealth.unpaidPremiums"
    )
    assert answered.section.eligibility is not None
    assert (answered.section.eligibility.valid_until, answered.section.eligibility.loss_reason) == (None, None)
    [premium] = answered.section.unpaid_premiums or []
    assert (premium.unpaid, premium.surcharge, answered.section.refunds) == (None, None, None)
    seen: list[Seen] = []
    nothing = await estate(holding({}), "HealthRefund.amount", seen=seen)
    assert (told(nothing), nothing.asked_agency, seen) == ((AnswerStatus.REFUSED, ["NOTHING_ALLOWED"]), False, [])


async def test_a_childs_four_kinds_of_record_are_read() -> None:
    answered = await birth(holding(ALL))
    section = answered.section
    assert told(answered) == (AnswerStatus.COMPLETE, [])
    assert section.eligibility is not None
    assert (section.eligibility.kind, section.dependant_of) == (InsuranceKind.DEPENDANT, ParentRelation.MOTHER)
    assert [(one.test, one.taken_on, one.result) for one in section.screenings or []] == [
        (ScreeningTest.HEARING, date(2026, 10, 3), ScreeningResult.RECHECK),
        (ScreeningTest.HIP, None, None),
    ]
    given, due = section.immunizations or []
    assert (given.vaccine, given.dose, given.given_on) == ("HEPB", 1, date(2026, 10, 2))  # a Korean day
    assert (due.vaccine, due.given_on, due.due_from, due.due_until) == ("BCG", None, date(2026, 10, 29), None)
    [checkup] = section.checkups or []
    assert (checkup.round, checkup.due_from, checkup.due_until, checkup.taken_on) == (
        1,
        date(2026, 10, 15),
        date(2026, 11, 5),
        date(2026, 10, 20),
    )


async def test_only_the_kinds_that_may_be_read_are_asked_for() -> None:
    seen: list[Seen] = []
    answered = await birth(holding(ALL), "BirthHealth.screenings", seen=seen)
    assert [kind_of(one) for one in seen] == ["Observation"]
    assert [(one.taken_on, one.result) for one in answered.section.screenings or []] == [(None, None)] * 2
    assert (answered.section.immunizations, answered.section.checkups, answered.section.eligibility) == (None,) * 3


async def test_a_child_of_whom_nothing_is_held_and_one_who_is_unknown_are_none_held() -> None:
    for answering in (holding({}), unknown):
        answered = await birth(answering)
        assert told(answered) == (AnswerStatus.NONE_HELD, [])
        assert (answered.section.screenings, answered.section.immunizations, answered.section.checkups) == ([], [], [])


@pytest.mark.parametrize("kind", list(ALL))
async def test_a_kind_that_fails_is_named_and_leaves_the_others_standing(kind: str) -> None:
    answered = await birth(holding(ALL | {kind: Reply(b"<html>", 503, "text/html")}))
    assert answered.answer.status is AnswerStatus.PARTIAL
    assert [(one.code, one.institution) for one in answered.answer.problems] == [("AGENCY_ERROR", kind)]
    lists = {
        "Observation": answered.section.screenings,
        "Immunization": answered.section.immunizations,
        "Appointment": answered.section.checkups,
        "Coverage": answered.section.eligibility,
    }
    assert {name for name, one in lists.items() if one is None} == {kind}


async def test_all_down_is_unavailable_and_all_late_is_pending() -> None:
    down = await birth(lambda _: Reply(b"", 503, None, {"Retry-After": "30"}))
    assert (told(down), down.answer.retry_after_seconds) == ((AnswerStatus.UNAVAILABLE, ["AGENCY_ERROR"]), 30)

    def late(seen: Seen) -> Reply:
        body = {"requestId": seen.request_id, "personId": ME, "state": "PENDING", "expectedBy": "2026-12-01"}
        return reply_json(body, 202)

    answered = await birth(late)
    assert (answered.answer.status, answered.answer.expected_by) == (AnswerStatus.PENDING, date(2026, 12, 1))
    assert answered.section.screenings is None


async def test_a_slow_kind_fails_alone_when_the_time_is_over() -> None:
    never, was_asked = asyncio.Event(), asyncio.Event()

    async def answering(seen: Seen) -> Reply:
        if kind_of(seen) == "Appointment":
            was_asked.set()
            await never.wait()
        return fhir(bundle(seen, ALL[kind_of(seen)]))

    answered = await birth(answering, timeout_s=0.5)
    assert was_asked.is_set()
    assert (told(answered), answered.section.checkups) == ((AnswerStatus.PARTIAL, ["TIMEOUT"]), None)


# ---------------------------------------------------------------- pages


def paged(pages: int, *, total: int | None = None, following: Callable[[Seen, int], str] | None = None) -> Answering:
    """Pages of 20 doses each, linked by `next`."""

    def answering(seen: Seen) -> Reply:
        page = int(seen.query.get("page", "0"))
        doses = [GIVEN] * 20
        origin = f"http://{seen.headers['Host']}"
        link = following(seen, page) if following else f"{origin}/fhir/Immunization?page={page + 1}"
        links = [{"relation": "next", "url": link}] if page + 1 < pages else []
        return fhir(bundle(seen, doses, total=pages * 20 if total is None else total, link=links))

    return answering


async def test_pages_are_followed_as_they_are_linked() -> None:
    seen: list[Seen] = []
    answered = await birth(paged(3), "BirthHealth.immunizations", seen=seen)
    assert len(answered.section.immunizations or []) == 60
    assert [dict(one.query) for one in seen[1:]] == [{"page": "1"}, {"page": "2"}]
    assert len({one.request_id for one in seen}) == 3


@pytest.mark.parametrize(
    ("answering", "code"),
    [
        (paged(2, total=39), "INCOMPLETE"),
        (paged(2, total=41), "INCOMPLETE"),
        (paged(11), "TOO_MANY_RECORDS"),
        (paged(2, total=201), "TOO_MANY_RECORDS"),
        (
            paged(9, following=lambda seen, _: f"http://{seen.headers['Host']}/fhir/Immunization?page=0"),
            "ENDLESS_PAGES",
        ),
        (paged(9, following=lambda *_: "http://127.0.0.1:1/fhir/Immunization"), "FOREIGN_LINK"),
        (paged(9, following=lambda *_: "//evil.invalid/fhir"), "FOREIGN_LINK"),
    ],
)
async def test_pages_that_do_not_add_up_end_or_stay_are_unreadable(answering: Answering, code: str) -> None:
    answered = await birth(answering, "BirthHealth.immunizations")
    if code == "FOREIGN_LINK":
        assert answered.answer.status in (AnswerStatus.UNREADABLE, AnswerStatus.UNAVAILABLE)
        assert answered.section.immunizations is None
    else:
        assert told(answered) == (AnswerStatus.UNREADABLE, [code])


# ---------------------------------------------------------------- what is not believed

SOMEBODY = {"identifier": {"system": health.PERSON, "value": OTHER}}


@pytest.mark.parametrize(
    ("kind", "resource"),
    [
        ("Coverage", CHILDS | {"beneficiary": SOMEBODY}),
        ("Coverage", CHILDS | {"beneficiary": {"display": "김하늘"}}),
        ("Immunization", GIVEN | {"patient": SOMEBODY}),
        ("Observation", SCREENED | {"subject": SOMEBODY}),
        ("Appointment", TAKEN | {"participant": [{"actor": WHO}, {"actor": SOMEBODY}]}),
        ("Appointment", TAKEN | {"participant": []}),
    ],
)
async def test_another_persons_resource_drops_the_answer(kind: str, resource: Resource) -> None:
    answered = await birth(holding(ALL | {kind: [resource]}))
    assert told(answered) == (AnswerStatus.UNREADABLE, ["OTHER_PERSON"])
    assert (answered.section.screenings, answered.section.immunizations, answered.section.checkups) == (None,) * 3


async def test_after_another_persons_resource_no_connection_is_used_again() -> None:
    who = SOMEBODY
    async with serving(lambda seen: fhir(bundle(seen, [COVERAGE | {"beneficiary": who}]))) as served:
        transport = Transport(Agency.HEALTH, served.base_url)
        connector = health.estate(transport, lambda: NOW)
        first = await connector.fetch([question(ME, *ESTATE)])
        who = WHO
        second = await connector.fetch([question(ME, *ESTATE)])
        await transport.close()
    assert (first[0].answer.status, second[0].answer.status) == (AnswerStatus.UNREADABLE, AnswerStatus.COMPLETE)
    assert served.seen[0].peer_port != served.seen[1].peer_port


@pytest.mark.parametrize(
    "changed",
    [
        {"identifier": {"system": health.REQUEST, "value": "another"}},
        {"identifier": {"system": "urn:other", "value": "echo"}},
        {"identifier": None},
        {"type": "collection"},
        {"resourceType": "Patient"},
        {"total": -1},
        {"total": "1"},
        {"meta": {"lastUpdated": "2026-02-30T00:00:00Z"}},
        {"meta": {}},
        {"entry": [{"resource": COVERAGE}, {"resource": COVERAGE}], "total": 2},
        {"entry": [{"resource": {k: v for k, v in COVERAGE.items() if k != "resourceType"}}]},
        {"entry": [{"resource": TAKEN}]},
    ],
)
async def test_a_bundle_that_is_not_the_answer_is_unreadable(changed: Resource) -> None:
    answered = await estate(lambda seen: fhir(bundle(seen, [COVERAGE], **changed)))
    assert (answered.answer.status, answered.section.refunds) == (AnswerStatus.UNREADABLE, None)


def extended(*extensions: Resource) -> tuple[str, Resource]:
    return "Coverage", COVERAGE | {"extension": list(extensions)}


LOSS = COVERAGE["extension"][0]


@pytest.mark.parametrize(
    ("kind", "resource"),
    [
        ("Coverage", COVERAGE | {"type": coded("EMPEROR")}),
        ("Coverage", COVERAGE | {"type": {"coding": []}}),
        ("Coverage", COVERAGE | {"status": "entered-in-error"}),
        ("Coverage", COVERAGE | {"period": {"start": "2026-02-30"}}),
        ("Coverage", COVERAGE | {"period": {"start": "2010-01"}}),
        ("Coverage", COVERAGE | {"period": {}}),
        extended(LOSS, LOSS),
        extended(parts("unpaid-premium", insurance={"valueCode": "HEALTH"}, unpaid=won(1))),
        extended(parts("unpaid-premium", insurance={"valueCode": "PETS"}, months={"valueInteger": 1})),
        extended(parts("refund", kind={"valueCode": "COPAY_REFUND"}, amount=won(2**53))),
        extended(parts("refund", kind={"valueCode": "COPAY_REFUND"}, amount=won(-1))),
        extended(parts("refund", kind={"valueCode": "COPAY_REFUND"}, amount=won(1, "USD"))),
        extended(parts("refund", kind={"valueCode": "COPAY_REFUND"}, amount=won(1.5))),
        extended(parts("refund", kind={"valueCode": "COPAY_REFUND"}, claimBy={"valueDate": "2026-13-01"})),
        extended({"url": "urn:onestop:health:dependant-of", "valueCode": "UNCLE"}),
        ("Immunization", GIVEN | {"occurrenceDateTime": None}),
        ("Immunization", GIVEN | {"protocolApplied": [{"doseNumberPositiveInt": 0}]}),
        ("Immunization", DUE | {"extension": [{"url": "urn:onestop:health:due"}]}),
        ("Immunization", GIVEN | {"status": "entered-in-error"}),
        ("Observation", SCREENED | {"valueCodeableConcept": None}),
        ("Observation", SCREENED | {"code": coded("IQ")}),
        ("Observation", SCREENED | {"valueCodeableConcept": coded("FINE")}),
        ("Appointment", TAKEN | {"identifier": [{"system": health.ROUND, "value": "9"}]}),
        ("Appointment", TAKEN | {"identifier": [{"system": "urn:other", "value": "1"}]}),
        ("Appointment", TAKEN | {"requestedPeriod": [{"start": "2026-10-15"}]}),
        ("Appointment", TAKEN | {"start": "2026-10-20T25:00:00+09:00"}),
    ],
)
async def test_what_cannot_be_is_unreadable(kind: str, resource: Resource) -> None:
    answered = await birth(holding(ALL | {kind: [resource]}))
    if kind == "Coverage" and any("refund" in one["url"] or "unpaid" in one["url"] for one in resource["extension"]):
        answered = await estate(holding({"Coverage": [resource]}))  # type: ignore[assignment]
    if kind == "Coverage" and resource["extension"] == [LOSS, LOSS]:
        answered = await estate(holding({"Coverage": [resource]}))  # type: ignore[assignment]
    assert answered.answer.status is AnswerStatus.UNREADABLE


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (Reply(b"<html>", 200, "text/html"), AnswerStatus.UNAVAILABLE),
        (Reply(b"{}", 200, "application/json"), AnswerStatus.UNAVAILABLE),
        (Reply(b"", 200, health.MEDIA_TYPE), AnswerStatus.UNAVAILABLE),
        (Reply(b"", 204, None), AnswerStatus.UNAVAILABLE),
        (Reply(b"", 302, None, {"Location": "/elsewhere"}), AnswerStatus.UNAVAILABLE),
        (Reply(b'{"error": "PURPOSE_REFUSED"}', 403), AnswerStatus.REFUSED),
        (Reply(b'{"resourceType": "Bundle"', 200, health.MEDIA_TYPE), AnswerStatus.UNREADABLE),
        (Reply(b"[" * 100_000, 200, health.MEDIA_TYPE), AnswerStatus.UNREADABLE),
        (Reply(b" " * (BODY_LIMIT + 1), 200, health.MEDIA_TYPE), AnswerStatus.UNREADABLE),
    ],
)
async def test_what_is_not_an_answer_is_never_taken_for_none(reply: Reply, status: AnswerStatus) -> None:
    seen: list[Seen] = []
    answered = await estate(lambda _: reply, seen=seen)
    assert (answered.answer.status, answered.section.refunds, len(seen)) == (status, None, 1)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_damaged_bytes_never_raise(data: st.DataObject) -> None:
    def answering(seen: Seen) -> Reply:
        body = bytearray(fhir(bundle(seen, [COVERAGE])).body)
        place = data.draw(st.integers(0, len(body) - 1))
        body[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        return Reply(bytes(body), 200, health.MEDIA_TYPE)

    answered = asyncio.run(estate(answering))
    assert answered.answer.status in (AnswerStatus.COMPLETE, AnswerStatus.UNREADABLE)
    assert "INTERNAL" not in told(answered)[1]
