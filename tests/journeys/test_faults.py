"""One agency fails, and the other five answer as if nothing had happened."""

import uuid
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import pytest

from tests.journeys import known
from tests.journeys.client import Onestop
from tests.journeys.documents import BIRTH_SECTIONS, ESTATE, REQUEST, SECTIONS, SHARED, VIEWER

DOWN = {"kind": "DOWN"}
SLOW = {"kind": "SLOW", "seconds": 20}
BIRTH = "query($id: ID!) { birthCase(id: $id) { id status ...Sections } }" + BIRTH_SECTIONS + SHARED
IN_TURN = [agency for agency in known.AGENCIES if agency != "FINANCE"]
"""Agencies that are asked each time; finance answers once, and is kept."""


def late(onestop: Onestop) -> dict[str, str]:
    """An agency that answers in nine days."""
    today = date.fromisoformat(onestop.known["heir"]["today"])
    return {"kind": "LATE", "expectedBy": (today + timedelta(days=9)).isoformat()}


def require_unknown(section: Mapping[str, Any], status: str, expected_by: str | None = None) -> None:
    """Nothing is said of what the agency holds: neither something nor nothing."""
    assert (section["answer"]["status"], section["answer"]["expectedBy"]) == (status, expected_by)
    assert set(known.graph(section).values()) == {None}


def require_only(case: Mapping[str, Any], expected: Mapping[str, Any], agency: str) -> None:
    """The others are untouched, and the sum says whose answer is missing."""
    others = tuple(name for name in known.SECTIONS if name != agency.lower())
    known.require(case, expected, others)
    assert not case["summary"]["complete"]
    assert set(case["summary"]["missing"]) == {agency, *expected["summary"]["missing"]}


@pytest.mark.parametrize("agency", IN_TURN)
def test_an_agency_that_is_down_is_unavailable_and_the_others_are_not(onestop: Onestop, agency: str) -> None:
    asker, expected = onestop.as_("heir"), onestop.case("heir")
    case_id = asker.case()
    with onestop.faults(agency, expected["deceased"]["sectorIds"][agency], DOWN) as fault:
        case = asker.seen(SECTIONS, id=case_id)["estateCase"]
        assert fault.fired != 0
        assert fault.fired is not None or agency == "VEHICLES"
    require_unknown(case[agency.lower()], "UNAVAILABLE")
    assert case[agency.lower()]["answer"]["problems"][0]["message"]
    require_only(case, expected, agency)
    assert case["status"] == "PARTIAL"
    again = asker.seen(SECTIONS, id=case_id)["estateCase"]
    known.require(again, expected)
    assert again["status"] == "COMPLETE"


def test_agencies_that_are_too_slow_are_unavailable_and_the_others_are_not(onestop: Onestop) -> None:
    asker, expected = onestop.as_("heir"), onestop.case("heir")
    case_id, sids = asker.case(), expected["deceased"]["sectorIds"]
    with onestop.faults("LAND", sids["LAND"], SLOW) as land, onestop.faults("HEALTH", sids["HEALTH"], SLOW) as health:
        case = asker.seen(SECTIONS, id=case_id)["estateCase"]
        assert (land.fired > 0, health.fired > 0) == (True, True)
    for name in ("land", "health"):
        require_unknown(case[name], "UNAVAILABLE")
        assert case[name]["answer"]["problems"][0]["code"] in {"TIMEOUT", "DEADLINE"}
    known.require(case, expected, ("finance", "pensions", "tax", "vehicles"))


def test_other_agencies_that_are_too_slow_are_unavailable_and_the_others_are_not(onestop: Onestop) -> None:
    asker, expected = onestop.as_("heir"), onestop.case("heir")
    case_id, sids = asker.case(), expected["deceased"]["sectorIds"]
    slow_query = {"kind": "SLOW", "seconds": 4}  # it goes on in the database until it is done
    with (
        onestop.faults("PENSIONS", sids["PENSIONS"], SLOW) as pensions,
        onestop.faults("TAX", sids["TAX"], SLOW) as tax,
        onestop.faults("VEHICLES", sids["VEHICLES"], slow_query),
    ):
        case = asker.seen(SECTIONS, id=case_id)["estateCase"]
        assert (pensions.fired > 0, tax.fired > 0) == (True, True)
    for name in ("pensions", "tax", "vehicles"):
        require_unknown(case[name], "UNAVAILABLE")
    known.require(case, expected, ("land", "finance", "health"))


@pytest.mark.parametrize("agency", ["LAND", "PENSIONS", "TAX", "HEALTH"])
def test_an_agency_that_answers_later_is_pending_with_its_day(onestop: Onestop, agency: str) -> None:
    asker, expected = onestop.as_("heir"), onestop.case("heir")
    case_id, fault_ = asker.case(), late(onestop)
    with onestop.faults(agency, expected["deceased"]["sectorIds"][agency], fault_) as fault:
        case = asker.seen(SECTIONS, id=case_id)["estateCase"]
        assert fault.fired > 0
    require_unknown(case[agency.lower()], "PENDING", fault_["expectedBy"])
    require_only(case, expected, agency)
    assert case["status"] == "COLLECTING"


def test_a_pension_scheme_that_fails_is_named_and_the_other_is_there(onestop: Onestop) -> None:
    asker, expected = onestop.as_("heir"), onestop.case("heir")
    case_id = asker.case()
    with onestop.faults(
        "PENSIONS", expected["deceased"]["sectorIds"]["PENSIONS"], {"kind": "FAILED", "institution": "NPS"}
    ) as fault:
        case = asker.seen(SECTIONS, id=case_id)["estateCase"]
        assert fault.fired > 0
    answer = case["pensions"]["answer"]
    assert (answer["status"], len(answer["problems"])) == ("PARTIAL", 1)
    assert answer["problems"][0]["institution"]
    assert [each["scheme"] for each in case["pensions"]["memberships"]] == ["COMWEL"]
    known.require(case, expected, tuple(name for name in known.SECTIONS if name != "pensions"))


@pytest.mark.parametrize("agency", IN_TURN)
def test_a_birth_is_told_without_the_agency_that_is_down(onestop: Onestop, agency: str) -> None:
    asker, expected = onestop.as_("parent"), onestop.case("parent")
    case_id = asker.case()
    with onestop.faults(agency, expected["child"]["sectorIds"][agency], DOWN) as fault:
        case = asker.seen(BIRTH, id=case_id)["birthCase"]
        assert fault.fired != 0
    # of land, the home is the household's and known
    assert case[agency.lower()]["answer"]["status"] == ("PARTIAL" if agency == "LAND" else "UNAVAILABLE")
    shown = {value for name, value in known.graph(case[agency.lower()]).items() if name != "homes"}
    assert shown <= {None, "UNKNOWN"}
    known.require(case, expected, tuple(name for name in known.SECTIONS if name != agency.lower()))


# ---------------------------------------------------------------- finance answers once: each test has its own persona


def test_finance_down_is_unavailable_until_it_is_there(other_onestop: Onestop) -> None:
    asker, expected = other_onestop.as_("heir"), other_onestop.case("heir")
    case_id, sid = asker.case(), expected["deceased"]["sectorIds"]["FINANCE"]
    with other_onestop.faults("FINANCE", sid, DOWN) as fault:
        case = asker.seen(SECTIONS, id=case_id)["estateCase"]
        assert fault.fired > 0
    require_unknown(case["finance"], "UNAVAILABLE")
    require_only(case, expected, "FINANCE")
    known.require(asker.seen(SECTIONS, id=case_id)["estateCase"], expected)


def test_finance_too_slow_is_unavailable_until_it_is_there(other_onestop: Onestop) -> None:
    asker, expected = other_onestop.as_("heir-in-debt"), other_onestop.case("heir-in-debt")
    case_id, sid = asker.case(), expected["deceased"]["sectorIds"]["FINANCE"]
    with other_onestop.faults("FINANCE", sid, SLOW) as fault:
        case = asker.seen(SECTIONS, id=case_id)["estateCase"]
        assert fault.fired > 0
    require_unknown(case["finance"], "UNAVAILABLE")
    require_only(case, expected, "FINANCE")
    known.require(asker.seen(SECTIONS, id=case_id)["estateCase"], expected)


def test_finance_of_a_birth_down_is_unavailable_until_it_is_there(other_onestop: Onestop) -> None:
    asker, expected = other_onestop.as_("parent"), other_onestop.case("parent")
    case_id = asker.case()
    sids = [expected["child"]["sectorIds"]["FINANCE"], other_onestop.known["parent"]["sectorIds"]["FINANCE"]]
    with other_onestop.faults("FINANCE", sids[0], DOWN) as child, other_onestop.faults("FINANCE", sids[1], DOWN):
        case = asker.seen(BIRTH, id=case_id)["birthCase"]
        assert child.fired > 0
    require_unknown(case["finance"], "UNAVAILABLE")
    known.require(case, expected, tuple(name for name in known.SECTIONS if name != "finance"))
    known.require(asker.seen(BIRTH, id=case_id)["birthCase"], expected)


def test_a_new_inquiry_that_fails_leaves_the_answer_that_is_kept(onestop: Onestop) -> None:
    asker, expected = onestop.as_("heir"), onestop.case("heir")
    case_id = asker.case()
    known.require(asker.seen(SECTIONS, id=case_id)["estateCase"], expected)
    given = {"idempotencyKey": str(uuid.uuid4()), "case": case_id, "agencies": ["FINANCE"]}
    with onestop.faults("FINANCE", expected["deceased"]["sectorIds"]["FINANCE"], DOWN) as fault:
        answers = asker.seen(REQUEST, input=given)["requestAnswers"]["answers"]
        assert fault.fired > 0
        known.require(asker.seen(SECTIONS, id=case_id)["estateCase"], expected)
    assert [(each["agency"], each["status"]) for each in answers] == [("FINANCE", "UNAVAILABLE")]
    again = asker.seen(REQUEST, input={**given, "idempotencyKey": str(uuid.uuid4())})["requestAnswers"]["answers"]
    assert [each["status"] for each in again] == ["COMPLETE"]


# ---------------------------------------------------------------- the register


def test_without_the_register_nobody_is_entitled_and_nothing_is_shown(onestop: Onestop) -> None:
    asker, expected = onestop.as_("heir"), onestop.case("heir")
    case_id, sids = asker.case(), expected["deceased"]["sectorIds"]
    counting = {"kind": "SLOW", "seconds": 0.001}
    with (
        onestop.faults("REGISTRY", sids["REGISTRY"], DOWN) as register,
        onestop.faults("LAND", sids["LAND"], counting) as land,
    ):
        reply = asker.ask(ESTATE, {"id": case_id})
        assert (register.fired > 0, land.fired) == (True, 0)
    assert (reply.code, reply.json["data"]) == ("OVERLOADED", {"estateCase": None})
    assert reply.errors[0]["extensions"]["retryAfterSeconds"] > 0
    assert len(reply.entries) == 1
    known.require(asker.seen(SECTIONS, id=case_id)["estateCase"], expected)


def test_without_the_register_nobody_is_a_candidate(onestop: Onestop) -> None:
    asker = onestop.as_("heir-in-debt")
    with onestop.faults("REGISTRY", onestop.known["heir-in-debt"]["sectorIds"]["REGISTRY"], DOWN) as fault:
        reply = asker.ask(VIEWER)
        assert fault.fired > 0
    assert {each["extensions"]["code"] for each in reply.errors} == {"OVERLOADED"}
    assert reply.json["data"] is None or not reply.json["data"]["viewer"]
    assert onestop.known["heir-in-debt"]["name"] not in reply.body.decode()


def test_a_register_too_slow_is_as_one_that_is_down(onestop: Onestop) -> None:
    asker = onestop.as_("heir")
    case_id = asker.case()
    with onestop.faults("REGISTRY", onestop.case("heir")["deceased"]["sectorIds"]["REGISTRY"], SLOW) as fault:
        reply = asker.ask(SECTIONS, {"id": case_id})
        assert fault.fired > 0
    assert (reply.code, reply.json["data"]) == ("OVERLOADED", {"estateCase": None})
