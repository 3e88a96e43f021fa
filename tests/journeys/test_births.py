"""Parents and a guardian see what the agencies hold for a newborn: exactly the known answers."""

import calendar
from datetime import date, timedelta
from typing import Any

from tests.journeys import known
from tests.journeys.client import Onestop
from tests.journeys.documents import BIRTH, BIRTH_SECTIONS, SHARED
from tests.journeys.graph import Graph

TWO = (
    """
query Two($one: ID!, $other: ID!) {
  one: birthCase(id: $one) { id ...Sections }
  other: birthCase(id: $other) { id ...Sections }
}
"""
    + BIRTH_SECTIONS
    + SHARED
)
COUNTING = {"kind": "SLOW", "seconds": 0.001}
"""A fault that is none: the agency counts the requests that meet it."""


def months_after(first: date, months: int) -> date:
    """Last day of a period of months whose first day is `first` (Civil Act 160)."""
    year, month = divmod(first.year * 12 + first.month - 1 + months, 12)
    length = calendar.monthrange(year, month + 1)[1]
    if first.day > length:
        return date(year, month + 1, length)
    return date(year, month + 1, first.day) - timedelta(days=1)


def the_birth(onestop: Onestop, persona: str, index: int = 0, **how: Any) -> Any:
    """The whole birth case of the persona's child."""
    name = onestop.case(persona, index)["child"]["name"]
    case_id = onestop.as_(persona).case(name)
    return onestop.as_(persona, **how).seen(BIRTH, id=case_id)["birthCase"]


def parents(case: Any) -> Any:
    """Parents in the form of the known answers."""
    return sorted(
        (
            {"name": each["person"]["name"], "relation": each["relation"], "custody": each["custody"]}
            for each in case["parents"]
        ),
        key=lambda each: str(each["relation"]),
    )


def test_a_mother_sees_everything_that_follows_from_the_birth(onestop: Onestop) -> None:
    expected = onestop.case("parent")
    case = the_birth(onestop, "parent")
    known.require(case, expected)
    assert known.graph(case["child"]) == known.person(expected["child"])
    assert (case["birthOrder"], case["multipleBirth"]) == (1, False)
    assert parents(case) == expected["parents"]
    assert (case["withheld"], case["status"]) == ([], "COMPLETE")
    assert (case["mandate"]["role"], case["purpose"]) == ("PARENT", "BIRTH_BENEFITS")
    assert case["health"]["immunizations"]
    assert case["finance"]["vouchers"]


def test_a_mother_is_told_what_falls_due(onestop: Onestop) -> None:
    born = date.fromisoformat(onestop.case("parent")["child"]["birthDate"])
    told = the_birth(onestop, "parent")["deadlines"]
    assert {each["code"]: each["dueOn"] for each in told} == {
        "BIRTH_REPORT": months_after(born, 1).isoformat(),
        "PARENTAL_ALLOWANCE_BACKPAY": (born + timedelta(days=59)).isoformat(),
        "CHILD_ALLOWANCE_BACKPAY": (born + timedelta(days=59)).isoformat(),
        "HEALTH_DEPENDANT_REGISTRATION": (born + timedelta(days=90)).isoformat(),
        "FIRST_VOUCHER_USE": months_after(born, 24).isoformat(),
    }
    assert [each["dueOn"] for each in told] == sorted(each["dueOn"] for each in told)


def test_without_a_fresh_sign_in_at_high_a_mother_sees_all_but_health_findings(onestop: Onestop, graph: Graph) -> None:
    high = the_birth(onestop, "parent")
    case = the_birth(onestop, "parent", assurance="substantial")
    special = {c for c in graph.selected(BIRTH) if graph.disclosures.get(c, ("", ""))[1] == "SPECIAL"}
    assert {each["coordinate"] for each in case["withheld"]} == special | {"Person.maskedRegistrationNumber"}
    assert {each["refusal"]["code"] for each in case["withheld"]} == {"STEP_UP_REQUIRED"}
    lost = {"screenings": None, "immunizations": None, "checkups": None}
    assert known.graph(case["health"]) == known.graph(high["health"]) | lost
    assert known.graph(case["child"]) == known.graph(high["child"]) | {"maskedRegistrationNumber": None}
    for name in (each for each in known.SECTIONS if each != "health"):
        assert known.graph(case[name]) == known.graph(high[name])


def test_twins_are_two_cases_with_an_order_each(onestop: Onestop) -> None:
    for index in (0, 1):
        expected = onestop.case("parent-of-twins", index)
        case = the_birth(onestop, "parent-of-twins", index)
        known.require(case, expected)
        assert known.graph(case["child"]) == known.person(expected["child"])
        assert (case["birthOrder"], case["multipleBirth"]) == (2 + index, True)
        assert parents(case) == expected["parents"]


def test_a_mother_of_twins_may_also_open_the_case_of_their_brother(onestop: Onestop) -> None:
    found = onestop.as_("parent-of-twins").candidates()
    twins = {onestop.case("parent-of-twins", index)["child"]["name"] for index in (0, 1)}
    assert {each["person"]["name"] for each in found} == twins | {"조도윤"}
    assert {(each["kind"], each["relation"], each["obstacle"]) for each in found} == {("BIRTH", "PARENT", None)}


def test_two_cases_in_one_document_answer_as_each_alone_and_ask_once_for_each_case(onestop: Onestop) -> None:
    asker = onestop.as_("parent-of-twins")
    expected = [onestop.case("parent-of-twins", index) for index in (0, 1)]
    ids = [asker.case(each["child"]["name"]) for each in expected]
    mother = onestop.known["parent-of-twins"]["sectorIds"]["LAND"]
    child = expected[0]["child"]["sectorIds"]["LAND"]
    with onestop.faults("LAND", mother, COUNTING) as of_mother, onestop.faults("LAND", child, COUNTING) as of_child:
        asker.seen(TWO, one=ids[0], other=ids[0])
        alone = (of_mother.fired, of_child.fired)
    with onestop.faults("LAND", mother, COUNTING) as of_mother, onestop.faults("LAND", child, COUNTING) as of_child:
        both = asker.seen(TWO, one=ids[0], other=ids[1])
        together = (of_mother.fired, of_child.fired)
    assert min(alone) > 0
    assert together == (2 * alone[0], alone[1])  # a request names its case, and the mother's home is asked for both
    for case, each in zip((both["one"], both["other"]), expected, strict=True):
        known.require(case, each)


def test_a_guardian_sees_what_the_court_named_and_that_no_parent_is_recorded(onestop: Onestop, graph: Graph) -> None:
    expected = onestop.case("protected-birth")
    case = the_birth(onestop, "protected-birth")
    assert case["parents"] == expected["parents"] == []
    findings = {"screenings": None, "immunizations": None, "checkups": None}
    sections = dict(expected["sections"])
    sections["health"] = {**sections["health"], **findings}
    known.require(case, {"sections": sections})
    assert known.graph(case["child"]) == known.person(expected["child"])
    special = {c for c in graph.selected(BIRTH) if graph.disclosures.get(c, ("", ""))[1] == "SPECIAL"}
    assert {each["coordinate"] for each in case["withheld"]} == special
    assert {each["refusal"]["code"] for each in case["withheld"]} == {"EVIDENCE_REQUIRED"}  # row D27
    mandate = case["mandate"]
    assert (mandate["role"], mandate["purpose"]) == ("GUARDIAN", "WARD_ADMINISTRATION")
