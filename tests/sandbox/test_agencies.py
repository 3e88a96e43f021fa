"""What the six HTTP agencies say over real HTTP, compared with docs/wire/README.md."""

import asyncio
import json
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from hashlib import sha512
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
from joserfc import jws
from joserfc.errors import BadSignatureError
from joserfc.jwk import KeySet
from lxml import etree
from starlette.applications import Starlette

from sandbox import facts
from sandbox.agencies.finance import finance
from sandbox.agencies.frame import AgencyState
from sandbox.agencies.health import health
from sandbox.agencies.land import land
from sandbox.agencies.pensions import NAMESPACES, pensions
from sandbox.agencies.registry import registry
from sandbox.agencies.tax import tax
from sandbox.facts import Holdings
from sandbox.identifiers import sector_id

AS_OF = "2026-11-20T15:00:00Z"  # midnight in Korea
NOBODY = Holdings(None, None, None, None, None, None)

REST: dict[str, tuple[Callable[[AgencyState], Starlette], str, str]] = {
    "REGISTRY": (registry, "/v1/persons/{sid}", "personId"),
    "LAND": (land, "/v1/owners/{sid}/parcels", "ownerId"),
    "TAX": (tax, "/v1/taxpayers/{sid}/items?level=LOCAL", "taxpayerId"),
    "HEALTH": (health, "/fhir/Coverage?patient:identifier=urn:onestop:health|{sid}", "personId"),
}
EVERYTHING = Holdings(
    facts.LandFacts(),
    facts.FinanceFacts(),
    facts.PensionFacts(),
    facts.TaxFacts(),
    facts.HealthFacts(),
    facts.VehicleFacts(),
)

# ---------------------------------------------------------------- what all have in common


@pytest.mark.parametrize("agency", REST)
async def test_an_agency_refuses_strangers_and_purposes_it_does_not_know(agency: str, world: Any, opened: Any) -> None:
    build, path, _ = REST[agency]
    sid = sector_id(agency, world.person("a", EVERYTHING))
    port = await opened(build(world.state(agency)))
    for headers, word in (
        ({"X-Client-Id": "somebody"}, "CLIENT_REFUSED"),
        ({"X-Client-Id": None}, "CLIENT_REFUSED"),
        ({"X-Purpose": "CURIOSITY"}, "PURPOSE_REFUSED"),
        ({"X-Purpose": None}, "PURPOSE_REFUSED"),
    ):
        reply = await port.ask(path.format(sid=sid), headers=headers)
        assert (reply.status, reply.json) == (403, {"error": word, "requestId": reply.request_id})


@pytest.mark.parametrize("agency", REST)
async def test_a_malformed_question_is_a_bad_request(agency: str, world: Any, opened: Any) -> None:
    build, path, _ = REST[agency]
    subject = world.person("a", EVERYTHING)
    port = await opened(build(world.state(agency)))
    for foreign in ("x", sector_id("WELFARE", subject), sector_id(agency, subject).upper()):
        reply = await port.ask(path.format(sid=foreign))
        assert (reply.status, reply.json) == (400, {"error": "BAD_REQUEST", "requestId": reply.request_id})
    own = path.format(sid=sector_id(agency, subject))
    for no_uuid in (None, "17"):
        reply = await port.ask(own, headers={"X-Request-Id": no_uuid})
        assert (reply.status, reply.json) == (400, {"error": "BAD_REQUEST", "requestId": None})


@pytest.mark.parametrize("agency", ["REGISTRY", "LAND", "TAX"])
async def test_an_agency_says_in_its_own_words_that_it_knows_nobody_of_that_name(
    agency: str, world: Any, opened: Any
) -> None:
    build, path, key = REST[agency]
    world.person("a", NOBODY)
    strangers = [sector_id(agency, facts.Subject("z" * 26))]
    if agency != "REGISTRY":
        strangers.append(sector_id(agency, facts.Subject("a" * 26)))
    port = await opened(build(world.state(agency)))
    for sid in strangers:
        reply = await port.ask(path.format(sid=sid))
        assert (reply.status, reply.json) == (
            404,
            {"error": "UNKNOWN_PERSON", key: sid, "requestId": reply.request_id},
        )


@pytest.mark.parametrize("agency", REST)
async def test_faults_befall_one_person_and_are_counted(agency: str, world: Any, opened: Any) -> None:
    build, path, key = REST[agency]
    sid, other = (sector_id(agency, world.person(letter, EVERYTHING)) for letter in "ab")
    port = await opened(build(world.state(agency)))

    await port.set_faults(sid, {"kind": "DOWN"})
    reply = await port.ask(path.format(sid=sid))
    assert (reply.status, reply.media_type) == (503, "text/html")
    assert await port.fired(sid) == 1

    await port.set_faults(sid, {"kind": "SLOW", "seconds": 60})
    assert await port.fired(sid) == 0
    slow = asyncio.create_task(port.ask(path.format(sid=sid)))
    while await port.fired(sid) == 0:
        assert not slow.done()
    assert (await port.ask(path.format(sid=other))).status == 200
    assert slow.cancel()
    await port.set_faults(sid, {"kind": "SLOW", "seconds": 0.01})
    assert (await port.ask(path.format(sid=sid))).status == 200
    assert await port.fired(sid) == 1

    late = await port.ask(f"/sandbox/faults/{sid}", method="PUT", body=[{"kind": "LATE", "expectedBy": "2026-12-01"}])
    if agency == "REGISTRY":
        assert late.status == 400
    else:
        reply = await port.ask(path.format(sid=sid))
        pending = {"requestId": reply.request_id, key: sid, "state": "PENDING", "expectedBy": "2026-12-01"}
        assert (reply.status, reply.media_type, reply.json) == (202, "application/json", pending)
        assert await port.fired(sid) == 1
        await port.set_faults(sid, {"kind": "LATE", "expectedBy": "2026-11-21"})  # today, so not late any more
        assert (await port.ask(path.format(sid=sid))).status == 200
        assert await port.fired(sid) == 0

    await port.set_faults(sid)
    assert (await port.ask(path.format(sid=sid))).status == 200
    assert (await port.ask(path.format(sid=other))).status == 200
    assert await port.fired(sid) == await port.fired(other) == 0


@pytest.mark.parametrize(
    "body",
    [
        {},
        [{}],
        ["DOWN"],
        [{"kind": "LOUD"}],
        [{"kind": "SLOW"}],
        [{"kind": "SLOW", "seconds": -1}],
        [{"kind": "SLOW", "seconds": 1e9}],
        [{"kind": "LATE"}],
        [{"kind": "LATE", "expectedBy": "soon"}],
        [{"kind": "FAILED", "institution": 4}],
        [{"kind": "DOWN", "surprise": 1}],
    ],
)
async def test_a_fault_that_cannot_be_is_refused(body: Any, world: Any, opened: Any) -> None:
    sid = sector_id("FINANCE", world.person("a", EVERYTHING))
    port = await opened(finance(world.state("FINANCE")))
    assert (await port.ask(f"/sandbox/faults/{sid}", method="PUT", body=body)).status == 400
    assert (await port.ask(f"/sandbox/faults/{sid}")).json == {"faults": [], "fired": 0}


async def test_what_was_set_as_faults_can_be_read_again(world: Any, opened: Any) -> None:
    sid = sector_id("FINANCE", world.person("a", EVERYTHING))
    port = await opened(finance(world.state("FINANCE")))
    faults = [
        {"kind": "SLOW", "seconds": 3},
        {"kind": "DOWN"},
        {"kind": "LATE", "expectedBy": "2026-12-01"},
        {"kind": "FAILED", "institution": "004"},
    ]
    await port.set_faults(sid, *faults)
    assert (await port.ask(f"/sandbox/faults/{sid}")).json == {"faults": faults, "fired": 0}


# ---------------------------------------------------------------- registry


async def test_the_register_shows_a_person_as_its_page_says(world: Any, opened: Any) -> None:
    child = world.person(
        "c", birth=facts.Birth(facts.Subject("c" * 26), 2, multiple=False, under_protection=False), protected=True
    )
    parent = world.person("a", died=date(2026, 9, 12))
    port = await opened(registry(world.state("REGISTRY")))

    sid = sector_id("REGISTRY", parent)
    reply = await port.ask(f"/v1/persons/{sid}")
    assert reply.json == {
        "requestId": reply.request_id,
        "personId": sid,
        "asOf": AS_OF,
        "person": {
            "personId": sid,
            "subject": parent,
            "name": "김하늘",
            "birthDate": "1950-03-02",
            "deathDate": "2026-09-12",
            "missingDeclaredOn": None,
            "missingFinalOn": None,
            "sex": "FEMALE",
            "address": "경상북도 의성군 의성읍 군청길 31",
            "municipality": "47730",
            "maskedRegistrationNumber": "500231-2******",
            "protected": False,
            "birth": None,
        },
    }
    young = (await port.ask(f"/v1/persons/{sector_id('REGISTRY', child)}")).json["person"]
    assert (young["protected"], young["address"]) == (True, None)
    assert young["birth"] == {"order": 2, "multiple": False, "underProtection": False}


async def test_the_register_shows_whom_a_person_is_related_to_and_nobody_else(world: Any, opened: Any) -> None:
    names = {name: world.person(name) for name in "abcdefgs"}
    world.person("x")
    ego, mother, grandmother, dead_brother, niece, widow, her_father, guardian = (names[each] for each in "abcdefgs")
    brother = replace(world.nation.people[dead_brother], died=date(2026, 9, 1))
    world.nation.people[dead_brother] = brother
    world.nation.parentage += [
        facts.Parentage(mother, ego, "MOTHER", custody=True),
        facts.Parentage(mother, dead_brother, "MOTHER", custody=False),
        facts.Parentage(grandmother, mother, "MOTHER", custody=False),
        facts.Parentage(dead_brother, niece, "FATHER", custody=True),
        facts.Parentage(her_father, widow, "FATHER", custody=False),
    ]
    world.nation.marriages.append(facts.Marriage(dead_brother, widow, date(2010, 5, 1), date(2026, 9, 1), "DEATH"))
    world.nation.guardianships.append(
        facts.Guardianship(niece, guardian, date(2026, 9, 20), None, ("LAND",), "AMOUNT", "2026느단123")
    )
    world.nation.declarations.append(facts.Declaration(dead_brother, widow, "RENUNCIATION", date(2026, 10, 1)))
    world.nation.appointments.append(
        facts.Appointment(dead_brother, guardian, "EXECUTOR", date(2026, 9, 30), "2026느단77")
    )
    world.nation.disputes.append(facts.Dispute(dead_brother, date(2026, 10, 2), None))
    port = await opened(registry(world.state("REGISTRY")))

    reply = await port.ask(f"/v1/persons/{sector_id('REGISTRY', ego)}/relatives")
    sid = {name: sector_id("REGISTRY", subject) for name, subject in names.items()}
    told = reply.json
    assert told.keys() == {
        *("requestId", "personId", "asOf", "persons"),
        *("parentage", "marriages", "guardianships", "declarations", "appointments", "disputes"),
        "protectionOrders",
    }
    assert (told["requestId"], told["personId"], told["asOf"]) == (reply.request_id, sid["a"], AS_OF)
    assert {person["personId"] for person in told["persons"]} == set(sid.values())
    assert {"parent": sid["b"], "child": sid["a"], "relation": "MOTHER", "custody": True} in told["parentage"]
    assert len(told["parentage"]) == 5
    assert told["marriages"] == [
        {"a": sid["d"], "b": sid["f"], "since": "2010-05-01", "until": "2026-09-01", "endedBy": "DEATH"}
    ]
    assert told["guardianships"] == [
        {
            "ward": sid["e"],
            "guardian": sid["s"],
            "since": "2026-09-20",
            "until": None,
            "agencies": ["LAND"],
            "sensitivity": "AMOUNT",
            "order": "2026느단123",
        }
    ]
    assert told["declarations"] == [
        {"deceased": sid["d"], "heir": sid["f"], "kind": "RENUNCIATION", "on": "2026-10-01"}
    ]
    assert told["appointments"] == [
        {
            "deceased": sid["d"],
            "holder": sid["s"],
            "kind": "EXECUTOR",
            "on": "2026-09-30",
            "document": "2026느단77",
        }
    ]
    assert told["disputes"] == [{"deceased": sid["d"], "openedOn": "2026-10-02", "closedOn": None}]


async def test_a_fifth_degree_relative_is_not_among_the_relatives(world: Any, opened: Any) -> None:
    line = [world.person(letter) for letter in "abcdef"]
    world.nation.parentage += [
        facts.Parentage(parent, child, "MOTHER", custody=False) for parent, child in pairwise(line)
    ]
    port = await opened(registry(world.state("REGISTRY")))
    told = (await port.ask(f"/v1/persons/{sector_id('REGISTRY', line[0])}/relatives")).json
    assert {person["subject"] for person in told["persons"]} == set(line[:5])


async def test_a_lookup_finds_one_person_or_says_the_same_for_every_mistake(world: Any, opened: Any) -> None:
    subject = world.person("a")
    twin_name = {"name": "박도윤", "born": date(2000, 1, 1)}
    world.person("b", registration_number="000231-3111111", **twin_name)
    second = world.person("c", registration_number="000231-3222222", **twin_name)
    port = await opened(registry(world.state("REGISTRY")))

    async def look_up(name: str, born: str, number: str | None) -> Any:
        body = {"name": name, "birthDate": born, "registrationNumber": number}
        return await port.ask("/v1/lookup", method="POST", body=body)

    found = await look_up("김하늘", "1950-03-02", None)
    assert found.json.keys() == {"requestId", "personId", "person"}
    assert found.json["requestId"] == found.request_id
    assert found.json["personId"] == found.json["person"]["personId"] == sector_id("REGISTRY", subject)
    exact = await look_up("박도윤", "2000-01-01", "000231-3222222")
    assert exact.json["person"]["subject"] == second
    for wrong in (
        ("김하늘", "1950-03-03", None),
        ("김하느", "1950-03-02", None),
        ("김하늘", "1950-03-02", "500231-2123457"),
        ("박도윤", "2000-01-01", None),
    ):
        reply = await look_up(*wrong)
        assert (reply.status, reply.json) == (404, {"error": "UNKNOWN_PERSON", "requestId": reply.request_id})
    body: Any
    for body in ({}, [], {"name": "김하늘", "birthDate": "1950-02-31", "registrationNumber": None}):
        assert (await port.ask("/v1/lookup", method="POST", body=body)).status == 400
    assert (await port.ask("/v1/lookup", method="POST", headers={"X-Client-Id": "x"}, body={})).status == 403


# ---------------------------------------------------------------- land

PARCEL = facts.Parcel(
    pnu="4773025021101230004",
    address="경상북도 의성군 의성읍 도동리 123-4",
    ledger="LAND",
    category="전",
    area_m2=Decimal("1234.50"),
    share=Fraction(1, 3),
    price_per_m2=123000,
    price_year=2026,
    acquired_on=date(1998, 4, 1),
    acquisition_cause="매매",
    encumbrances=(facts.Encumbrance("MORTGAGE", "농협은행", 50_000_000, date(2015, 1, 5)),),
)
BUILDING = facts.Building(
    register_number="47730-100123",
    pnu="4773025021101230004",
    name=None,
    address="경상북도 의성군 의성읍 도동리 123-4",
    purpose="단독주택",
    area_m2=Decimal("84.97"),
    approved_on=date(2001, 7, 9),
    share=Fraction(1),
    house_price=540_000_000,
    encumbrances=(facts.Encumbrance("LEASE_RIGHT", None, None, date(2019, 2, 3), date(2021, 2, 3)),),
)


async def test_the_cadastre_shows_parcels_buildings_encumbrances_and_relief(world: Any, opened: Any) -> None:
    held = replace(NOBODY, land=facts.LandFacts((PARCEL,), (BUILDING,), "YES"))
    sid = sector_id("LAND", world.person("a", held))
    port = await opened(land(world.state("LAND")))

    async def told(name: str) -> Any:
        reply = await port.ask(f"/v1/owners/{sid}/{name}")
        body: dict[str, Any] = reply.json
        assert body.pop("requestId") == reply.request_id
        assert (body.pop("ownerId"), body.pop("asOf")) == (sid, AS_OF)
        return body

    assert await told("parcels") == {
        "total": 1,
        "next": None,
        "items": [
            {
                "ownerId": sid,
                "pnu": "4773025021101230004",
                "address": "경상북도 의성군 의성읍 도동리 123-4",
                "ledger": "LAND",
                "category": "전",
                "areaM2": "1234.50",
                "share": {"numerator": 1, "denominator": 3},
                "pricePerM2": 123000,
                "priceYear": 2026,
                "acquiredOn": "1998-04-01",
                "acquisitionCause": "매매",
            }
        ],
    }
    assert await told("buildings") == {
        "total": 1,
        "next": None,
        "items": [
            {
                "ownerId": sid,
                "registerNumber": "47730-100123",
                "pnu": "4773025021101230004",
                "name": None,
                "address": "경상북도 의성군 의성읍 도동리 123-4",
                "purpose": "단독주택",
                "areaM2": "84.97",
                "approvedOn": "2001-07-09",
                "share": {"numerator": 1, "denominator": 1},
                "housePrice": 540000000,
            }
        ],
    }
    assert await told("encumbrances") == {
        "total": 2,
        "next": None,
        "items": [
            {
                "ownerId": sid,
                "pnu": "4773025021101230004",
                "kind": "MORTGAGE",
                "holder": "농협은행",
                "maximumClaim": 50000000,
                "registeredOn": "2015-01-05",
                "releasedOn": None,
            },
            {
                "ownerId": sid,
                "registerNumber": "47730-100123",
                "kind": "LEASE_RIGHT",
                "holder": None,
                "maximumClaim": None,
                "registeredOn": "2019-02-03",
                "releasedOn": "2021-02-03",
            },
        ],
    }
    assert await told("reliefs") == {"newHomeTaxRelief": "YES"}


async def test_the_cadastre_pages_by_twenty_until_nothing_is_left(world: Any, opened: Any) -> None:
    parcels = tuple(replace(PARCEL, pnu=f"{4773025021100000000 + number}") for number in range(45))
    subject = world.person("a", replace(NOBODY, land=facts.LandFacts(parcels)))
    sid = sector_id("LAND", subject)
    port = await opened(land(world.state("LAND")))
    pages, query = [], ""
    while True:
        body = (await port.ask(f"/v1/owners/{sid}/parcels{query}")).json
        assert body["total"] == 45
        pages.append([item["pnu"] for item in body["items"]])
        if body["next"] is None:
            break
        query = f"?cursor={body['next']}"
    assert [len(page) for page in pages] == [20, 20, 5]
    assert [pnu for page in pages for pnu in page] == [parcel.pnu for parcel in parcels]
    world.held[subject] = replace(NOBODY, land=facts.LandFacts(parcels[:20]))
    full = (await port.ask(f"/v1/owners/{sid}/parcels")).json
    assert (len(full["items"]), full["next"]) == (20, None)
    world.held[subject] = replace(NOBODY, land=facts.LandFacts(parcels))
    for bad in ("x", "cGFyY2Vscy83"):  # the second reads parcels/7
        assert (await port.ask(f"/v1/owners/{sid}/parcels?cursor={bad}")).status == 400
    first = (await port.ask(f"/v1/owners/{sid}/parcels")).json["next"]
    assert (await port.ask(f"/v1/owners/{sid}/buildings?cursor={first}")).status == 400


# ---------------------------------------------------------------- pensions

REQUEST = """<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"
    xmlns:xrd="http://x-road.eu/xsd/xroad.xsd" xmlns:id="http://x-road.eu/xsd/identifiers"
    xmlns:p="urn:onestop:pensions:1">
  <soap:Header>
    <xrd:client id:objectType="SUBSYSTEM">
      <id:xRoadInstance>KR</id:xRoadInstance><id:memberClass>GOV</id:memberClass>
      <id:memberCode>MOIS</id:memberCode><id:subsystemCode>onestop</id:subsystemCode>
    </xrd:client>
    <xrd:service id:objectType="SERVICE">
      <id:xRoadInstance>KR</id:xRoadInstance><id:memberClass>GOV</id:memberClass>
      <id:memberCode>{scheme}</id:memberCode><id:subsystemCode>pensions</id:subsystemCode>
      <id:serviceCode>{operation}</id:serviceCode><id:serviceVersion>v1</id:serviceVersion>
    </xrd:service>
    <xrd:userId>KR</xrd:userId><xrd:id>{id}</xrd:id><xrd:issue>case-7</xrd:issue>
    <xrd:protocolVersion>4.0</xrd:protocolVersion>
  </soap:Header>
  <soap:Body><p:{operation}><p:personId>{sid}</p:personId></p:{operation}></soap:Body>
</soap:Envelope>"""

NPS = facts.Membership(
    "NPS",
    "YES",
    receiving=True,
    contribution_months=312,
    monthly_pension=912000,
    overpaid_after_death=0,
    loan="NO",
    loan_outstanding=0,
    survivor_benefits=(
        facts.SurvivorBenefit("SURVIVOR_PENSION", ("SPOUSE", "CHILD"), 456000, date(2031, 9, 12), part_of_estate=False),
    ),
)


async def soap(port: Any, sid: str, scheme: str, operation: str = "memberships") -> tuple[Any, bytes]:
    own = str(uuid4())
    sent = REQUEST.format(scheme=scheme, operation=operation, id=own, sid=sid).encode()
    reply = await port.ask(
        "/",
        method="POST",
        data=sent,
        request_id=own,
        headers={"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '""'},
    )
    return reply, sent


def said(element: etree._Element) -> Any:
    """Text of an element, or its children by local name."""
    if not len(element):
        return element.text
    return {etree.QName(child).localname: said(child) for child in element}


async def test_a_pension_scheme_answers_in_the_exchange_protocol(world: Any, opened: Any) -> None:
    held = replace(NOBODY, pensions=facts.PensionFacts((NPS, facts.Membership("KTCU", "YES"))))
    sid = sector_id("PENSIONS", world.person("a", held))
    port = await opened(pensions(world.state("PENSIONS")))
    reply, sent = await soap(port, sid, "NPS")
    assert (reply.status, reply.media_type) == (200, "text/xml")

    root, asked = etree.fromstring(reply.body), etree.fromstring(sent)
    for name in ("client", "service", "userId", "id", "issue", "protocolVersion"):
        ours, theirs = (tree.find(f"soap:Header/xrd:{name}", NAMESPACES) for tree in (asked, root))
        assert ours is not None
        assert theirs is not None
        assert (said(ours), ours.items()) == (said(theirs), theirs.items())
    digest = root.find("soap:Header/xrd:requestHash", NAMESPACES)
    assert digest is not None
    assert digest.get("algorithmId") == "http://www.w3.org/2001/04/xmlenc#sha512"
    assert digest.text == b64encode(sha512(sent).digest()).decode()

    answer = root.find("soap:Body/p:membershipsResponse", NAMESPACES)
    assert answer is not None
    assert said(answer) == {
        "personId": sid,
        "scheme": "NPS",
        "asOf": AS_OF,
        "state": "ANSWERED",
        "member": "YES",
        "receiving": "true",
        "contributionMonths": "312",
        "monthlyPension": "912000",
        "overpaidAfterDeath": "0",
        "loan": "NO",
        "loanOutstanding": "0",
        "survivorBenefits": {
            "benefit": {
                "kind": "SURVIVOR_PENSION",
                "claimants": "SPOUSE CHILD",
                "estimate": "456000",
                "claimBy": "2031-09-12",
                "partOfEstate": "false",
            }
        },
    }


def response(reply: Any) -> Any:
    body = etree.fromstring(reply.body).find("soap:Body", NAMESPACES)
    assert body is not None
    return said(body[0])


async def test_some_schemes_say_only_yes_and_one_that_knows_nobody_says_no(world: Any, opened: Any) -> None:
    held = replace(NOBODY, pensions=facts.PensionFacts((NPS, facts.Membership("KTCU", "YES"))))
    sid = sector_id("PENSIONS", world.person("a", held))
    stranger = sector_id("PENSIONS", facts.Subject("z" * 26))
    port = await opened(pensions(world.state("PENSIONS")))
    for person, scheme, member in ((sid, "KTCU", "YES"), (sid, "GEPS", "NO"), (stranger, "NPS", "NO")):
        reply, _ = await soap(port, person, scheme)
        assert response(reply) == {
            "personId": person,
            "scheme": scheme,
            "asOf": AS_OF,
            "state": "ANSWERED",
            "member": member,
        }


async def test_the_national_pension_says_what_credit_a_birth_brings(world: Any, opened: Any) -> None:
    held = replace(NOBODY, pensions=facts.PensionFacts(credit_months=12, credited_parent="MOTHER"))
    sid = sector_id("PENSIONS", world.person("a", held))
    port = await opened(pensions(world.state("PENSIONS")))
    reply, _ = await soap(port, sid, "NPS", "credits")
    assert response(reply) == {
        "personId": sid,
        "scheme": "NPS",
        "asOf": AS_OF,
        "state": "ANSWERED",
        "creditMonths": "12",
        "creditedParent": "MOTHER",
    }
    reply, _ = await soap(port, sid, "GEPS", "credits")
    assert reply.status == 400


async def test_one_scheme_can_fail_or_be_late_while_the_others_answer(world: Any, opened: Any) -> None:
    sid = sector_id("PENSIONS", world.person("a", replace(NOBODY, pensions=facts.PensionFacts((NPS,)))))
    port = await opened(pensions(world.state("PENSIONS")))
    await port.set_faults(
        sid,
        {"kind": "FAILED", "institution": "TP"},
        {"kind": "LATE", "expectedBy": "2026-12-01", "institution": "KTCU"},
    )
    failed, _ = await soap(port, sid, "TP")
    assert (failed.status, response(failed)["faultcode"]) == (500, "soap:Server")
    late, _ = await soap(port, sid, "KTCU")
    assert response(late) == {
        "personId": sid,
        "scheme": "KTCU",
        "asOf": AS_OF,
        "state": "PENDING",
        "expectedBy": "2026-12-01",
    }
    assert await port.fired(sid) == 2
    answered, _ = await soap(port, sid, "NPS")
    assert response(answered)["member"] == "YES"
    assert await port.fired(sid) == 2
    world.clock.at = datetime(2026, 11, 30, 15, 0, tzinfo=UTC)  # midnight in Korea
    answered, _ = await soap(port, sid, "KTCU")
    assert response(answered)["state"] == "ANSWERED"

    await port.set_faults(sid, {"kind": "DOWN"})
    down, _ = await soap(port, sid, "NPS")
    assert (down.status, down.media_type, await port.fired(sid)) == (503, "text/html", 1)


@pytest.mark.parametrize(
    "damage",
    [
        lambda _sent: b"",
        lambda _sent: b"<a/>",
        lambda sent: sent[:-5],
        lambda sent: b'<!DOCTYPE a [<!ENTITY b "c">]>' + sent,
        lambda sent: sent.replace(b"4.0<", b"3.0<"),
        lambda sent: sent.replace(b">NPS<", b">NASA<"),
        lambda sent: sent.replace(b"memberships", b"secrets"),
        lambda sent: sent.replace(b"<xrd:id>", b"<xrd:id>0"),
        lambda sent: sent.replace(b"pen1_", b"tax1_"),
    ],
)
async def test_the_exchange_refuses_what_is_not_its_protocol(
    damage: Callable[[bytes], bytes], world: Any, opened: Any
) -> None:
    sid = sector_id("PENSIONS", world.person("a"))
    port = await opened(pensions(world.state("PENSIONS")))
    own = str(uuid4())
    sent = damage(REQUEST.format(scheme="NPS", operation="memberships", id=own, sid=sid).encode())
    reply = await port.ask("/", method="POST", data=sent, request_id=own)
    assert (reply.status, reply.json) == (400, {"error": "BAD_REQUEST", "requestId": own})
    stranger = await port.ask("/", method="POST", data=sent, request_id=own, headers={"X-Purpose": "x"})
    assert stranger.status == 403


# ---------------------------------------------------------------- tax


async def test_a_tax_answer_is_signed_by_the_agency(world: Any, opened: Any) -> None:
    item = facts.TaxItem(
        reference="2026-1",
        level="LOCAL",
        tax="재산세",
        period="2026-09",
        authority="의성군",
        state="ARREARS",
        assessed=120000,
        arrears=120000,
        surcharge=3600,
        refundable=None,
        due_on=date(2026, 9, 30),
    )
    held = replace(
        NOBODY, tax=facts.TaxFacts((item, replace(item, level="NATIONAL", reference="2026-2")), 250000, None)
    )
    sid = sector_id("TAX", world.person("a", held))
    port = await opened(tax(world.state("TAX")))
    keys = KeySet.import_key_set((await port.ask("/v1/jwks.json", headers={"X-Client-Id": None})).json)
    assert all(not key.is_private for key in keys.keys)

    reply = await port.ask(f"/v1/taxpayers/{sid}/items?level=LOCAL")
    assert (reply.status, reply.media_type) == (200, "application/jose")
    token = jws.deserialize_compact(reply.body, keys, algorithms=["ES256"])
    assert token.protected == {"alg": "ES256", "typ": "tax+jws", "kid": keys.keys[0].kid}
    head, payload, signature = reply.body.split(b".")
    with pytest.raises(BadSignatureError):
        jws.deserialize_compact(b".".join((head, payload[:-2] + b"AA", signature)), keys, algorithms=["ES256"])
    assert _payload(token) == {
        "iss": "https://tax.sandbox.invalid",
        "iat": int(world.clock().timestamp()),
        "requestId": reply.request_id,
        "taxpayerId": sid,
        "asOf": AS_OF,
        "level": "LOCAL",
        "items": [
            {
                "taxpayerId": sid,
                "reference": "2026-1",
                "level": "LOCAL",
                "tax": "재산세",
                "period": "2026-09",
                "authority": "의성군",
                "state": "ARREARS",
                "assessed": 120000,
                "arrears": 120000,
                "surcharge": 3600,
                "refundable": None,
                "dueOn": "2026-09-30",
            }
        ],
    }
    reply = await port.ask(f"/v1/taxpayers/{sid}/credits")
    credit = _payload(jws.deserialize_compact(reply.body, keys, algorithms=["ES256"]))
    assert credit.keys() == {
        *("iss", "iat", "requestId", "taxpayerId", "asOf"),
        *("childTaxCredit", "birthTaxCredit"),
    }
    assert (credit["requestId"], credit["childTaxCredit"], credit["birthTaxCredit"]) == (reply.request_id, 250000, None)
    assert (await port.ask(f"/v1/taxpayers/{sid}/items")).status == 400


def _payload(token: jws.CompactSignature) -> Any:
    return json.loads(token.payload)


# ---------------------------------------------------------------- health

HELD = facts.HealthFacts(
    eligibility=facts.Eligibility("REGIONAL", date(2011, 3, 1), date(2026, 9, 13), "사망"),
    dependant_of="MOTHER",
    premiums=(facts.Premium("LONG_TERM_CARE", 81200, 2100, 3),),
    refunds=(facts.Refund("COPAY_CAP_EXCESS", 640000, date(2029, 8, 31)),),
    screenings=(
        facts.Screening("HEARING", date(2026, 10, 20), "NORMAL"),
        facts.Screening("HIP", None, None),
    ),
    immunizations=(
        facts.Immunization("HEPB", 1, date(2026, 10, 18), None, None),
        facts.Immunization("HEPB", 2, None, date(2026, 11, 18), date(2026, 12, 17)),
    ),
    checkups=(
        facts.Checkup(1, date(2026, 11, 1), date(2026, 11, 22), date(2026, 11, 9)),
        facts.Checkup(2, date(2027, 2, 18), date(2027, 4, 17), None),
    ),
)


async def fhir(port: Any, kind: str, sid: str, more: str = "") -> Any:
    parameter = "identifier" if kind == "Patient" else "patient:identifier"
    return await port.ask(f"/fhir/{kind}?{parameter}=urn:onestop:health|{sid}{more}")


async def test_health_answers_with_bundles_that_name_the_person_in_every_resource(world: Any, opened: Any) -> None:
    sid = sector_id("HEALTH", world.person("a", replace(NOBODY, health=HELD)))
    person = {"system": "urn:onestop:health", "value": sid}
    port = await opened(health(world.state("HEALTH")))

    async def resources(kind: str) -> Any:
        reply = await fhir(port, kind, sid)
        assert (reply.status, reply.media_type) == (200, "application/fhir+json")
        bundle = reply.json
        assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "searchset")
        assert bundle["identifier"] == {"system": "urn:onestop:request-id", "value": reply.request_id}
        assert bundle["meta"] == {"lastUpdated": AS_OF}
        assert [link["relation"] for link in bundle["link"]] == ["self"]
        assert bundle["total"] == len(bundle["entry"])
        assert all(entry["resource"].pop("resourceType") == kind for entry in bundle["entry"])
        return [entry["resource"] for entry in bundle["entry"]]

    (patient,) = await resources("Patient")
    assert patient["identifier"] == [person]

    (coverage,) = await resources("Coverage")
    assert coverage["beneficiary"] == {"identifier": person}
    assert (coverage["status"], coverage["type"]["coding"][0]["code"]) == ("cancelled", "REGIONAL")
    assert coverage["period"] == {"start": "2011-03-01", "end": "2026-09-13"}
    assert coverage["extension"] == [
        {"url": "urn:onestop:health:loss-reason", "valueString": "사망"},
        {"url": "urn:onestop:health:dependant-of", "valueCode": "MOTHER"},
        {
            "url": "urn:onestop:health:unpaid-premium",
            "extension": [
                {"url": "insurance", "valueCode": "LONG_TERM_CARE"},
                {"url": "unpaid", "valueMoney": {"value": 81200, "currency": "KRW"}},
                {"url": "surcharge", "valueMoney": {"value": 2100, "currency": "KRW"}},
                {"url": "months", "valueInteger": 3},
            ],
        },
        {
            "url": "urn:onestop:health:refund",
            "extension": [
                {"url": "kind", "valueCode": "COPAY_CAP_EXCESS"},
                {"url": "amount", "valueMoney": {"value": 640000, "currency": "KRW"}},
                {"url": "claimBy", "valueDate": "2029-08-31"},
            ],
        },
    ]

    given, due = await resources("Immunization")
    assert given["patient"] == due["patient"] == {"identifier": person}
    assert (given["status"], given["occurrenceDateTime"]) == ("completed", "2026-10-18")
    assert due["status"] == "not-done"
    assert due["extension"] == [
        {
            "url": "urn:onestop:health:due",
            "extension": [{"url": "period", "valuePeriod": {"start": "2026-11-18", "end": "2026-12-17"}}],
        }
    ]
    assert due["vaccineCode"]["coding"][0]["code"] == "HEPB"
    assert due["protocolApplied"] == [{"doseNumberPositiveInt": 2}]

    taken, open_ = await resources("Observation")
    assert taken["subject"] == open_["subject"] == {"identifier": person}
    assert (taken["status"], taken["effectiveDateTime"]) == ("final", "2026-10-20")
    assert taken["code"]["coding"][0]["code"] == "HEARING"
    assert taken["valueCodeableConcept"]["coding"][0]["code"] == "NORMAL"
    assert (open_["status"], "valueCodeableConcept" in open_) == ("registered", False)

    fulfilled, proposed = await resources("Appointment")
    assert all(each["participant"][0]["actor"] == {"identifier": person} for each in (fulfilled, proposed))
    assert (fulfilled["status"], fulfilled["start"]) == ("fulfilled", "2026-11-09T10:00:00+09:00")
    assert (proposed["status"], "start" in proposed) == ("proposed", False)
    assert proposed["identifier"] == [{"system": "urn:onestop:health:round", "value": "2"}]
    assert proposed["requestedPeriod"] == [{"start": "2027-02-18", "end": "2027-04-17"}]


async def test_health_pages_follow_next_links_on_the_same_host(world: Any, opened: Any) -> None:
    doses = tuple(facts.Immunization("IIV", number, date(2026, 1, 1), None, None) for number in range(1, 46))
    sid = sector_id("HEALTH", world.person("a", replace(NOBODY, health=facts.HealthFacts(immunizations=doses))))
    port = await opened(health(world.state("HEALTH")))
    for count, sizes in (("", [20, 20, 5]), ("&_count=100", [20, 20, 5]), ("&_count=15", [15, 15, 15])):
        pages, reply = [], await fhir(port, "Immunization", sid, count)
        while True:
            bundle = reply.json
            assert (bundle["total"], bundle["identifier"]["value"]) == (45, reply.request_id)
            pages.append([each["resource"]["protocolApplied"][0]["doseNumberPositiveInt"] for each in bundle["entry"]])
            links = {link["relation"]: link["url"] for link in bundle["link"]}
            if "next" not in links:
                break
            assert links["next"].startswith(f"{port.url}/fhir/Immunization?")
            reply = await port.ask(links["next"])
        assert [len(page) for page in pages] == sizes
        assert [dose for page in pages for dose in page] == list(range(1, 46))
    assert (await fhir(port, "Immunization", sid, "&_count=0")).status == 400


async def test_health_says_that_it_does_not_know_a_person_and_that_one_is_not_insured(world: Any, opened: Any) -> None:
    stranger = sector_id("HEALTH", world.person("a", NOBODY))
    uninsured = sector_id("HEALTH", world.person("b", replace(NOBODY, health=facts.HealthFacts())))
    port = await opened(health(world.state("HEALTH")))
    reply = await fhir(port, "Coverage", stranger)
    assert (reply.status, reply.media_type) == (404, "application/fhir+json")
    assert reply.json == {
        "resourceType": "OperationOutcome",
        "id": reply.request_id,
        "issue": [{"severity": "error", "code": "not-found", "diagnostics": "UNKNOWN_PERSON"}],
    }
    empty = (await fhir(port, "Coverage", uninsured)).json
    assert (empty["total"], "entry" in empty) == (0, False)
    assert (await port.ask(f"/fhir/Coverage?patient:identifier={uninsured}")).status == 400
