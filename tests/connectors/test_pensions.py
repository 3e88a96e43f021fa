import asyncio
import base64
import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from connectors import pensions
from connectors.connector import Answered
from connectors.transport import Transport, Unreadable
from schema.answer import AnswerStatus, KnownFact
from schema.disclosure import Agency
from schema.pensions import BirthPensions, EstatePensions, PensionScheme, SurvivorBenefitKind
from schema.person import ParentRelation, Relation
from tests.connectors.wire import NOW, Answering, Reply, Seen, question, serving

ME = "pen1_" + "a" * 26
OTHER = "pen1_" + "b" * 26
NAMES = {"soap": pensions.SOAP, "xrd": pensions.XRD, "id": pensions.ID, "p": pensions.PENSIONS}
ALL = (
    "EstatePensions.memberships",
    "PensionMembership.receiving",
    "PensionMembership.contributionMonths",
    "PensionMembership.monthlyPension",
    "PensionMembership.overpaidAfterDeath",
    "PensionMembership.loan",
    "PensionMembership.loanOutstanding",
    "PensionMembership.survivorBenefits",
    "SurvivorBenefit.estimate",
    "SurvivorBenefit.claimBy",
)
BENEFIT = (
    "<p:survivorBenefits><p:benefit><p:kind>SURVIVOR_PENSION</p:kind><p:claimants>SPOUSE CHILD</p:claimants>"
    "<p:estimate>456000</p:estimate><p:claimBy>2031-09-12</p:claimBy><p:partOfEstate>false</p:partOfEstate></p:benefit>"
    "</p:survivorBenefits>"
)
FULL = (
    "<p:member>YES</p:member><p:receiving>true</p:receiving><p:contributionMonths>312</p:contributionMonths>"
    "<p:monthlyPension>912000</p:monthlyPension><p:overpaidAfterDeath>0</p:overpaidAfterDeath><p:loan>NO</p:loan>"
    "<p:loanOutstanding>0</p:loanOutstanding>" + BENEFIT
)
EXISTS = "<p:member>YES</p:member>"
NO = "<p:member>NO</p:member>"
LATE = "<p:state>PENDING</p:state><p:expectedBy>2026-12-05</p:expectedBy>"


def scheme_of(seen: Seen) -> str:
    return etree.fromstring(seen.body).findtext(".//xrd:service/id:memberCode", namespaces=NAMES) or ""


def said(seen: Seen, facts: str, **changed: str) -> bytes:
    """The answer of one scheme to a request; `changed` replaces what it says of itself."""
    sent = etree.fromstring(seen.body)
    header = "".join(etree.tostring(child).decode() for child in sent.iterfind("soap:Header/*", NAMES))
    if "<p:state>" not in facts:
        facts = "<p:state>ANSWERED</p:state>" + facts
    told = {
        "header": header,
        "operation": "memberships",
        "person": ME,
        "scheme": scheme_of(seen),
        "as_of": "2026-11-20T15:00:00Z",
        "hash": base64.b64encode(hashlib.sha512(seen.body).digest()).decode(),
        "algorithm": pensions.SHA512,
    } | changed
    return (
        f'<s:Envelope xmlns:s="{pensions.SOAP}" xmlns:xrd="{pensions.XRD}" xmlns:p="{pensions.PENSIONS}">'
        f'<s:Header>{told["header"]}<xrd:requestHash algorithmId="{told["algorithm"]}">{told["hash"]}</xrd:requestHash>'
        f"</s:Header><s:Body><p:{told['operation']}Response><p:personId>{told['person']}</p:personId>"
        f"<p:scheme>{told['scheme']}</p:scheme><p:asOf>{told['as_of']}</p:asOf>{facts}</p:{told['operation']}Response>"
        "</s:Body></s:Envelope>"
    ).encode()


def xml(body: bytes, status: int = 200) -> Reply:
    return Reply(body, status, "text/xml; charset=utf-8")


def schemes(facts: Mapping[str, str | Reply], others: str | Reply = NO, **changed: str) -> Answering:
    """Each scheme says its facts, the others say something else; `changed` is about those that are named."""

    def answering(seen: Seen) -> Reply:
        scheme = scheme_of(seen)
        reply = facts.get(scheme, others)
        return reply if isinstance(reply, Reply) else xml(said(seen, reply, **changed if scheme in facts else {}))

    return answering


FAULT = xml(
    f'<s:Envelope xmlns:s="{pensions.SOAP}"><s:Body><s:Fault><faultcode>Server</faultcode></s:Fault></s:Body>'
    "</s:Envelope>".encode(),
    500,
)


async def estate(
    answering: Answering, *coordinates: str, timeout_s: float = 5, seen: list[Seen] | None = None
) -> Answered[EstatePensions]:
    async with serving(answering) as served:
        transport = Transport(Agency.PENSIONS, served.base_url, timeout_s=timeout_s)
        try:
            [answered] = await pensions.estate(transport, lambda: NOW).fetch([question(ME, *(coordinates or ALL))])
        finally:
            await transport.close()
        if seen is not None:
            seen += served.seen
        return answered


def status(answered: Answered[Any]) -> AnswerStatus:
    return answered.answer.status


async def test_every_scheme_is_asked_in_its_own_request_and_only_memberships_are_listed() -> None:
    seen: list[Seen] = []
    answered = await estate(schemes({"NPS": FULL, "KTCU": EXISTS}), seen=seen)
    assert sorted(map(scheme_of, seen)) == sorted(scheme.name for scheme in PensionScheme)
    assert len({one.request_id for one in seen}) == 10
    assert {one.headers["X-Purpose"] for one in seen} == {"ESTATE_DISCOVERY"}
    assert {one.headers["SOAPAction"] for one in seen} == {'""'}
    assert status(answered) is AnswerStatus.COMPLETE
    assert answered.answer.as_of == datetime(2026, 11, 20, 15, tzinfo=UTC)
    assert answered.answer.problems == []
    nps, ktcu = answered.section.memberships or []
    assert (nps.scheme, nps.member, nps.receiving, nps.contribution_months) == (
        PensionScheme.NPS,
        KnownFact.YES,
        True,
        312,
    )
    assert (nps.monthly_pension, nps.overpaid_after_death, nps.loan, nps.loan_outstanding) == (
        912000,
        0,
        KnownFact.NO,
        0,
    )
    [benefit] = nps.survivor_benefits or []
    assert (benefit.kind, benefit.claimants, benefit.estimate, benefit.claim_by, benefit.part_of_estate) == (
        SurvivorBenefitKind.SURVIVOR_PENSION,
        [Relation.SPOUSE, Relation.CHILD],
        456000,
        date(2031, 9, 12),
        False,
    )
    assert (ktcu.scheme, ktcu.receiving, ktcu.loan, ktcu.survivor_benefits) == (
        PensionScheme.KTCU,
        None,
        KnownFact.UNKNOWN,
        None,
    )


async def test_ten_schemes_that_say_no_hold_nothing() -> None:
    answered = await estate(schemes({}))
    assert (status(answered), answered.section.memberships) == (AnswerStatus.NONE_HELD, [])


async def test_memberships_without_any_detail_are_existence_only() -> None:
    answered = await estate(schemes({"KTCU": EXISTS, "POBA": EXISTS}))
    assert status(answered) is AnswerStatus.EXISTENCE_ONLY
    assert [one.scheme.name for one in answered.section.memberships or []] == ["POBA", "KTCU"]


async def test_a_scheme_that_does_not_say_is_listed_and_is_not_nothing() -> None:
    answered = await estate(schemes({"SEMA": "<p:member>UNKNOWN</p:member>"}))
    assert status(answered) is AnswerStatus.EXISTENCE_ONLY
    assert [one.member for one in answered.section.memberships or []] == [KnownFact.UNKNOWN]


async def test_existence_is_judged_by_what_was_said_and_not_by_what_may_be_read() -> None:
    answered = await estate(schemes({"NPS": FULL}), "EstatePensions.memberships")
    [nps] = answered.section.memberships or []
    assert status(answered) is AnswerStatus.COMPLETE
    assert (nps.receiving, nps.monthly_pension, nps.loan, nps.survivor_benefits) == (
        None,
        None,
        KnownFact.UNKNOWN,
        None,
    )


async def test_what_may_not_be_read_is_not_asked() -> None:
    seen: list[Seen] = []
    answered = await estate(schemes({}), "EstateLand.parcels", seen=seen)
    assert (status(answered), answered.asked_agency, answered.section.memberships, seen) == (
        AnswerStatus.REFUSED,
        False,
        None,
        [],
    )


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        (FAULT, "AGENCY_ERROR"),
        (xml(FAULT.body), "AGENCY_ERROR"),
        (Reply(b"<html>", 200, "text/html"), "NOT_AN_ANSWER"),
        (Reply(b"", 200, "text/xml"), "NOT_AN_ANSWER"),
        (Reply(b"", 204, None), "NOT_AN_ANSWER"),
        (xml(b"<a"), "NOT_XML"),
        (xml(b"<a/>"), "UNKNOWN_SHAPE"),
    ],
)
async def test_a_failing_scheme_is_named_and_leaves_the_others_standing(broken: Reply, code: str) -> None:
    answered = await estate(schemes({"NPS": FULL, "COMWEL": broken}))
    assert status(answered) is AnswerStatus.PARTIAL
    assert [(one.code, one.institution) for one in answered.answer.problems] == [(code, "COMWEL")]
    assert [one.scheme.name for one in answered.section.memberships or []] == ["NPS"]


async def test_no_membership_among_those_that_answered_is_not_none_while_one_is_silent() -> None:
    answered = await estate(schemes({"COMWEL": FAULT}))
    assert (status(answered), answered.section.memberships) == (AnswerStatus.PARTIAL, None)


async def test_a_late_scheme_is_named_with_the_earliest_day() -> None:
    later = LATE.replace("12-05", "12-09")
    answered = await estate(schemes({"NPS": FULL, "TP": later, "GEPS": LATE}))
    assert (status(answered), answered.answer.expected_by) == (AnswerStatus.PARTIAL, date(2026, 12, 5))
    assert {(one.code, one.institution) for one in answered.answer.problems} == {("PENDING", "TP"), ("PENDING", "GEPS")}


async def test_all_late_is_pending_and_all_failed_is_unavailable() -> None:
    late = await estate(schemes({}, others=LATE))
    assert (status(late), late.answer.expected_by) == (AnswerStatus.PENDING, date(2026, 12, 5))
    assert late.section.memberships is None
    failed = await estate(schemes({}, others=FAULT))
    assert (status(failed), failed.section.memberships) == (AnswerStatus.UNAVAILABLE, None)
    refused = await estate(schemes({}, others=Reply(b'{"error": "PURPOSE_REFUSED"}', 403)))
    assert (status(refused), refused.answer.problems[0].code) == (AnswerStatus.REFUSED, "PURPOSE_REFUSED")


async def test_a_slow_scheme_fails_alone_when_the_time_is_over() -> None:
    never, asked = asyncio.Event(), asyncio.Event()

    async def answering(seen: Seen) -> Reply:
        if scheme_of(seen) == "MMAA":
            asked.set()
            await never.wait()
        return xml(said(seen, FULL))

    answered = await estate(answering, timeout_s=0.5)
    assert asked.is_set()
    assert status(answered) is AnswerStatus.PARTIAL
    assert [(one.code, one.institution) for one in answered.answer.problems] == [("TIMEOUT", "MMAA")]
    assert len(answered.section.memberships or []) == 9


async def test_nobody_listening_is_unavailable() -> None:
    async with serving(schemes({})) as served:
        pass
    transport = Transport(Agency.PENSIONS, served.base_url)
    [answered] = await pensions.estate(transport, lambda: NOW).fetch([question(ME, *ALL)])
    await transport.close()
    assert (status(answered), answered.answer.problems[0].code) == (AnswerStatus.UNAVAILABLE, "CONNECTION_FAILED")


FORGERIES: list[tuple[dict[str, str], str]] = [
    ({"person": OTHER}, "OTHER_PERSON"),
    ({"person": ""}, "OTHER_PERSON"),
    ({"scheme": "KTCU"}, "OTHER_REQUEST"),
    ({"header": ""}, "OTHER_REQUEST"),
    ({"hash": "AAAA"}, "OTHER_REQUEST"),
    ({"algorithm": "http://www.w3.org/2001/04/xmlenc#sha256"}, "OTHER_REQUEST"),
]


@pytest.mark.parametrize(("forged", "code"), FORGERIES)
async def test_an_answer_about_somebody_or_something_else_takes_everything_down(
    forged: dict[str, str], code: str
) -> None:
    answered = await estate(schemes({"NPS": FULL}, **forged))
    assert (status(answered), answered.answer.problems[0].code) == (AnswerStatus.UNREADABLE, code)
    assert answered.section.memberships is None


@pytest.mark.parametrize("echo", ["id", "client", "service"])
async def test_every_header_is_echoed_or_the_answer_is_dropped(echo: str) -> None:
    def answering(seen: Seen) -> Reply:
        sent = etree.fromstring(seen.body)
        element = sent.find(f"soap:Header/xrd:{echo}", NAMES)
        assert element is not None
        if len(element):
            element[-1].text = "other"
        else:
            element.text = "other"
        header = "".join(etree.tostring(child).decode() for child in sent.iterfind("soap:Header/*", NAMES))
        return xml(said(seen, FULL, header=header))

    answered = await estate(answering)
    assert (status(answered), answered.answer.problems[0].code) == (AnswerStatus.UNREADABLE, "OTHER_REQUEST")


async def test_after_another_persons_answer_no_connection_is_used_again() -> None:
    person = OTHER

    def answering(seen: Seen) -> Reply:
        return xml(said(seen, FULL, person=person))

    async with serving(answering) as served:
        transport = Transport(Agency.PENSIONS, served.base_url)
        connector = pensions.estate(transport, lambda: NOW)
        [first] = await connector.fetch([question(ME, *ALL)])
        ports, person = {one.peer_port for one in served.seen}, ME
        [second] = await connector.fetch([question(ME, *ALL)])
        await transport.close()
    assert (status(first), status(second)) == (AnswerStatus.UNREADABLE, AnswerStatus.COMPLETE)
    assert ports.isdisjoint(one.peer_port for one in served.seen[10:])


@pytest.mark.parametrize(
    "facts",
    [
        "",
        "<p:member>PERHAPS</p:member>",
        "<p:member>YES</p:member><p:monthlyPension>912<!-- -->000</p:monthlyPension>",
        "<p:member>YES</p:member><p:monthlyPension>912<?cut?>000</p:monthlyPension>",
        "<p:member>YES</p:member><p:member>NO</p:member>",
        "<p:member>YES</p:member><p:receiving>maybe</p:receiving>",
        "<p:member>YES</p:member><p:loan>SOME</p:loan>",
        "<p:member>YES</p:member><p:monthlyPension>9007199254740992</p:monthlyPension>",
        "<p:member>YES</p:member><p:monthlyPension>-1</p:monthlyPension>",
        "<p:member>YES</p:member><p:monthlyPension>1e3</p:monthlyPension>",
        "<p:member>YES</p:member><p:contributionMonths>4294967296</p:contributionMonths>",
        "<p:member>NO</p:member><p:overpaidAfterDeath>5</p:overpaidAfterDeath>",
        "<p:state>SHUT</p:state>",
        "<p:state>PENDING</p:state>",
        LATE + "<p:member>NO</p:member>",
        "<p:member>YES</p:member>" + BENEFIT.replace("2031-09-12", "2031-02-29"),
        "<p:member>YES</p:member>" + BENEFIT.replace("SPOUSE", "FRIEND"),
        "<p:member>YES</p:member>" + BENEFIT.replace("SURVIVOR_PENSION", "GIFT"),
        "<p:member>YES</p:member>" + BENEFIT.replace("<p:partOfEstate>false</p:partOfEstate>", ""),
        "<p:member>YES</p:member><p:survivorBenefits>" + "<p:benefit/>" * 201 + "</p:survivorBenefits>",
    ],
)
async def test_what_cannot_be_is_unreadable(facts: str) -> None:
    answered = await estate(schemes({}, others=facts or "<p:other/>"))
    assert (status(answered), answered.section.memberships) == (AnswerStatus.UNREADABLE, None)


async def test_a_day_that_no_month_has_is_unreadable() -> None:
    answered = await estate(lambda seen: xml(said(seen, FULL, as_of="2026-02-30T00:00:00Z")))
    assert status(answered) is AnswerStatus.UNREADABLE


BOMB = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10 if n else "ha"}">' for n in range(9))
DOCTYPES: list[Callable[[bytes], bytes]] = [
    lambda body: b"<!DOCTYPE a>" + body,
    lambda body: f"<!DOCTYPE a [{BOMB}]>".encode() + body.replace(b">YES<", b">&a8;<"),
    lambda body: b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]>' + body.replace(b">YES<", b">&x;<"),
    lambda body: ('<?xml version="1.0" encoding="utf-16"?><!DOCTYPE a>' + body.decode()).encode("utf-16"),
    lambda body: b'<?xml version="1.0" encoding="utf-7"?>+ADw-+ACE-DOCTYPE a+AD4-' + body,
    lambda body: body.replace(b">YES<", b">&undeclared;<"),
    lambda body: body.replace(b"<p:member>", b"<p:deep>" * 300 + b"</p:deep>" * 300 + b"<p:member>"),
    lambda body: body.replace(
        b"<p:member>", b"<p:a><p:b><p:c><p:d><p:e><p:f/></p:e></p:d></p:c></p:b></p:a><p:member>"
    ),
]


@pytest.mark.parametrize("armed", DOCTYPES)
async def test_document_types_entities_and_endless_depth_are_unreadable(armed: Callable[[bytes], bytes]) -> None:
    answered = await estate(lambda seen: xml(armed(said(seen, EXISTS))))
    assert (status(answered), answered.section.memberships) == (AnswerStatus.UNREADABLE, None)


def test_an_unarmed_envelope_is_read() -> None:
    assert pensions.envelope(b'<?xml version="1.0" encoding="utf-8"?><a>&lt;&#44608;</a>').text == "<김"
    with pytest.raises(Unreadable):
        pensions.envelope(b"<a>\xff</a>")


CREDITS = ("BirthPensions.creditMonths", "BirthPensions.creditedParent")


async def birth(facts: str, *coordinates: str) -> Answered[BirthPensions]:
    async with serving(lambda seen: xml(said(seen, facts, operation="credits"))) as served:
        transport = Transport(Agency.PENSIONS, served.base_url)
        [answered] = await pensions.birth(transport, lambda: NOW).fetch([question(ME, *(coordinates or CREDITS))])
        await transport.close()
        assert [scheme_of(one) for one in served.seen] == ["NPS"]
        return answered


async def test_a_birth_brings_months_of_credit() -> None:
    facts = "<p:creditMonths>12</p:creditMonths><p:creditedParent>MOTHER</p:creditedParent>"
    answered = await birth(facts)
    assert (status(answered), answered.section.credit_months, answered.section.credited_parent) == (
        AnswerStatus.COMPLETE,
        12,
        ParentRelation.MOTHER,
    )
    assert (await birth(facts, "BirthPensions.creditMonths")).section.credited_parent is None


async def test_a_birth_without_credit_is_none_held_and_a_late_one_is_pending() -> None:
    none, late = await birth(""), await birth(LATE)
    assert (status(none), none.section.credit_months) == (AnswerStatus.NONE_HELD, 0)
    assert (status(late), late.section.credit_months, late.answer.expected_by) == (
        AnswerStatus.PENDING,
        None,
        date(2026, 12, 5),
    )
    assert status(await birth("<p:creditedParent>UNCLE</p:creditedParent>")) is AnswerStatus.UNREADABLE


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_damaged_bytes_never_raise_and_never_change_what_is_said(data: st.DataObject) -> None:
    def answering(seen: Seen) -> Reply:
        body = bytearray(said(seen, FULL))
        if scheme_of(seen) == "NPS":
            place = data.draw(st.integers(0, len(body) - 1))
            body[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        return xml(bytes(body))

    answered = asyncio.run(estate(answering))
    assert status(answered) in (AnswerStatus.COMPLETE, AnswerStatus.PARTIAL, AnswerStatus.UNREADABLE)
    assert status(answered) is AnswerStatus.UNREADABLE or len(answered.section.memberships or []) >= 9
