"""What explains an access, at its time and not before or after."""

from datetime import timedelta
from typing import Any

import pytest

from audit.findings.shapes import Explanation
from tests.audit.findings.world import CASE, KIM, LEE, OFFICE, access, explanation, known, korean

AT = korean("2026-03-10")
SECOND = timedelta(seconds=1)
NOBODY: dict[str, Any] = {"assignments": []}


def test_the_official_assigned_to_the_open_case_is_explained() -> None:
    assert explanation(known(), access(1, AT, case=CASE)) == Explanation.ASSIGNED


def test_an_explanation_lies_in_any_case_of_the_person_even_if_none_is_named() -> None:
    assert explanation(known(), access(1, AT)) == Explanation.ASSIGNED


def test_a_person_who_is_no_party_is_not_explained_by_the_case() -> None:
    assert explanation(known(), access(1, AT, case=CASE, person="somebody")) is None


@pytest.mark.parametrize(("until", "is_explained"), [(AT, False), (AT + SECOND, True), (None, True)])
def test_an_assignment_holds_until_its_end_and_not_at_it(until: Any, is_explained: bool) -> None:
    world = known(assignments=[{"case": CASE, "official": KIM, "since": AT, "until": until}])
    assert (explanation(world, access(1, AT)) is not None) == is_explained


def test_an_assignment_that_begins_later_explains_nothing() -> None:
    world = known(assignments=[{"case": CASE, "official": KIM, "since": AT + SECOND}])
    assert explanation(world, access(1, AT)) is None


def test_a_case_that_is_closed_explains_nothing() -> None:
    closed = [{"case": CASE, "office": OFFICE, "opened": korean("2026-03-01"), "closed": AT}]
    assert explanation(known(cases=closed), access(1, AT)) is None
    assert explanation(known(cases=closed), access(1, AT - SECOND)) == Explanation.ASSIGNED


def test_a_colleague_on_the_roster_of_the_owning_office_is_explained() -> None:
    world = known(rosters=[{"office": OFFICE, "official": LEE, "since": AT}])
    assert explanation(world, access(1, AT, official=LEE)) == Explanation.ON_ROSTER
    assert explanation(world, access(1, AT, official=LEE, office="office-2")) is None
    assert explanation(world, access(1, AT - SECOND, official=LEE)) is None


def test_the_holder_of_a_mandate_is_explained() -> None:
    world = known(mandates=[{"case": CASE, "official": LEE, "since": AT, "until": AT + SECOND}])
    assert explanation(world, access(1, AT, official=LEE)) == Explanation.MANDATE
    assert explanation(world, access(1, AT + SECOND, official=LEE)) is None


def test_an_inspection_order_covers_closed_cases_of_its_office_too() -> None:
    closed = [{"case": CASE, "office": OFFICE, "opened": korean("2026-01-01"), "closed": korean("2026-02-01")}]
    order = [{"official": LEE, "office": OFFICE, "since": AT, "until": AT + SECOND}]
    world = known(cases=closed, inspections=order)
    assert explanation(world, access(1, AT, official=LEE)) == Explanation.INSPECTION
    assert explanation(world, access(1, AT + SECOND, official=LEE)) is None
    assert explanation(world, access(1, AT, official=LEE, person="somebody")) is None


@pytest.mark.parametrize(
    ("after", "is_explained"),
    [(timedelta(days=7), True), (timedelta(days=7) + SECOND, False), (timedelta(), True), (-SECOND, False)],
)
def test_a_colleagues_request_explains_for_seven_days(after: timedelta, is_explained: bool) -> None:
    world = known(requests=[{"case": CASE, "colleague": KIM, "official": LEE, "at": AT}])
    found = explanation(world, access(1, AT + after, official=LEE))
    assert found == (Explanation.ASKED if is_explained else None)


def test_a_request_of_somebody_who_is_not_assigned_explains_nothing() -> None:
    world = known(requests=[{"case": CASE, "colleague": "official-park", "official": LEE, "at": AT}])
    assert explanation(world, access(1, AT, official=LEE)) is None


@pytest.mark.parametrize(
    ("since", "until", "is_explained"), [(AT, None, True), (AT + SECOND, None, False), (AT - SECOND, AT, False)]
)
def test_who_asks_is_assigned_when_asking(since: Any, until: Any, is_explained: bool) -> None:
    world = known(
        requests=[{"case": CASE, "colleague": KIM, "official": LEE, "at": AT}],
        assignments=[{"case": CASE, "official": KIM, "since": since, "until": until}],
    )
    found = explanation(world, access(1, AT + timedelta(hours=1), official=LEE))
    assert found == (Explanation.ASKED if is_explained else None)


def test_a_request_explains_nothing_after_the_case_is_closed() -> None:
    closed = [{"case": CASE, "office": OFFICE, "opened": korean("2026-03-01"), "closed": AT + SECOND}]
    world = known(cases=closed, requests=[{"case": CASE, "colleague": KIM, "official": LEE, "at": AT}])
    assert explanation(world, access(1, AT, official=LEE)) == Explanation.ASKED
    assert explanation(world, access(1, AT + SECOND, official=LEE)) is None


def test_a_request_explains_only_whom_it_asked() -> None:
    world = known(requests=[{"case": CASE, "colleague": KIM, "official": LEE, "at": AT}])
    assert explanation(world, access(1, AT, official="official-park")) is None
