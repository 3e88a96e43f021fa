"""Each rule at its border: it speaks there, and is silent one step short of it."""

from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from audit.findings.evaluation import Evaluation
from audit.findings.rules import RECEIPTS, log_gaps, robust_z
from audit.findings.shapes import Rule
from tests.audit.findings.world import (
    CASE,
    KIM,
    LEE,
    OFFICE,
    ORGANISATION,
    PERSON,
    TEXT,
    access,
    accesses,
    fired,
    judged,
    known,
    korean,
    persons,
    table,
    working_days,
)

AT = korean("2026-03-10")
SECOND = timedelta(seconds=1)
A_SHIFT = {"official": KIM, "start": korean("2026-03-10", "09:00"), "end": korean("2026-03-10", "18:00")}
ON_DUTY = A_SHIFT | {"for_holiday": False}


def test_an_ordinary_access_gives_no_cause_to_ask() -> None:
    assert judged(known(), access(1, AT, case=CASE)) == []


# ---------------------------------------------------------------- what one access shows


def test_no_open_case_and_no_explanation() -> None:
    assert fired(known(), Rule.NO_OPEN_CASE, access(1, AT, person="somebody"))[0].entries == (1,)


def test_a_stranger_to_an_open_case_is_unexplained_but_there_is_a_case() -> None:
    assert fired(known(assignments=[]), Rule.NO_OPEN_CASE, access(1, AT)) == []


def test_an_access_to_nobody_in_particular_needs_no_case() -> None:
    assert judged(known(), access(1, AT, person=None)) == []


@pytest.mark.parametrize(("closed", "fires"), [(AT, True), (AT + SECOND, False), (None, False)])
def test_the_named_case_was_closed(closed: Any, fires: bool) -> None:
    world = known(cases=[{"case": CASE, "office": OFFICE, "opened": korean("2026-03-01"), "closed": closed}])
    assert bool(fired(world, Rule.CASE_ALREADY_CLOSED, access(1, AT, case=CASE))) == fires


def test_the_person_is_no_party_of_the_named_case() -> None:
    hits = fired(known(), Rule.CASE_ALREADY_CLOSED, access(1, AT, case=CASE, person="somebody"))
    assert [hit.numbers for hit in hits] == [{"why": "no party"}]


def test_an_inspection_of_closed_cases_gives_no_cause_to_ask() -> None:
    closed = [{"case": CASE, "office": OFFICE, "opened": korean("2026-01-01"), "closed": korean("2026-02-01")}]
    order = [{"official": KIM, "office": OFFICE, "since": korean("2026-03-01")}]
    assert judged(known(cases=closed, inspections=order), access(1, AT, case=CASE)) == []


def test_the_own_record_even_in_a_case_of_ones_own() -> None:
    world = known(parties=[{"case": CASE, "person": "kim"}])
    assert fired(world, Rule.OWN_RECORD, access(1, AT, person="kim"))
    assert not fired(world, Rule.OWN_RECORD, access(1, AT, person="kim", official="official-lee"))


@pytest.mark.parametrize(
    ("degree", "of_spouse", "fires"),
    [(0, False, True), (2, False, True), (3, False, False), (1, True, True), (2, True, False)],
)
def test_family_to_the_second_degree_and_the_spouses_to_the_first(degree: int, of_spouse: bool, fires: bool) -> None:
    world = known(kinship=[{"official": KIM, "person": PERSON, "degree": degree, "of_spouse": of_spouse}])
    assert bool(fired(world, Rule.FAMILY_MEMBER, access(1, AT))) == fires


@pytest.mark.parametrize(
    ("place", "until", "fires"), [(ORGANISATION, None, True), (ORGANISATION, AT, False), ("elsewhere", None, False)]
)
def test_somebody_of_the_same_organisation_at_the_time(place: str, until: Any, fires: bool) -> None:
    work = [{"person": PERSON, "organisation": place, "since": korean("2020-01-01"), "until": until}]
    assert bool(fired(known(employment=work), Rule.COLLEAGUE, access(1, AT))) == fires


def test_one_looks_at_oneself_and_not_at_a_colleague() -> None:
    work = [{"person": "kim", "organisation": ORGANISATION, "since": korean("2020-01-01")}]
    world = known(employment=work)
    assert not fired(world, Rule.COLLEAGUE, access(1, AT, person="kim"))


LISTED = {"person": PERSON, "since": korean("2026-03-01")}
ADMITTED = LISTED | {"official": KIM, "organisation": ORGANISATION}


def test_the_protected_list_and_its_access_list() -> None:
    assert fired(known(protected=[LISTED, LISTED]), Rule.PUBLIC_FIGURE, access(1, AT))[0].entries == (1,)
    assert not fired(known(protected=[LISTED], admitted=[ADMITTED]), Rule.PUBLIC_FIGURE, access(1, AT))


@pytest.mark.parametrize("changed", [{"official": LEE}, {"person": "somebody"}, {"organisation": "elsewhere"}])
def test_the_access_list_is_of_one_official_one_person_and_one_organisation(changed: dict[str, str]) -> None:
    others = known(protected=[LISTED, LISTED | {"person": "somebody"}], admitted=[ADMITTED | changed])
    assert fired(others, Rule.PUBLIC_FIGURE, access(1, AT))


@pytest.mark.parametrize(("since", "until", "holds"), [(AT, None, True), (AT + SECOND, None, False), (AT, AT, False)])
def test_both_lists_are_what_they_were_at_the_time(since: Any, until: Any, holds: bool) -> None:
    then = {"since": since, "until": until}
    assert bool(fired(known(protected=[LISTED | then]), Rule.PUBLIC_FIGURE, access(1, AT))) == holds
    lets = known(protected=[LISTED], admitted=[ADMITTED | then])
    assert bool(fired(lets, Rule.PUBLIC_FIGURE, access(1, AT))) != holds


def test_of_two_ways_to_be_family_the_nearer_is_told() -> None:
    ways = [{"official": KIM, "person": PERSON, "degree": degree, "of_spouse": False} for degree in (2, 1)]
    assert [hit.numbers["degree"] for hit in fired(known(kinship=ways), Rule.FAMILY_MEMBER, access(1, AT))] == [1]


def test_who_came_to_the_organisation_later_was_no_colleague() -> None:
    for since, fires in ((AT, True), (AT + SECOND, False)):
        work = [{"person": PERSON, "organisation": ORGANISATION, "since": since}]
        assert bool(fired(known(employment=work), Rule.COLLEAGUE, access(1, AT))) == fires


def test_emergency_access_always() -> None:
    assert fired(known(), Rule.BREAK_GLASS, access(1, AT, case=CASE, break_glass=True))


# ---------------------------------------------------------------- off hours


@pytest.mark.parametrize(("number", "fires"), [(2, False), (3, True)])
def test_three_persons_outside_the_roster(number: int, fires: bool) -> None:
    world = known(shifts=[ON_DUTY])
    rows = persons(number, korean("2026-03-10", "22:00"))
    assert bool(fired(world, Rule.OFF_HOURS, *rows)) == fires


@pytest.mark.parametrize(("first", "fires"), [("19:00", False), ("19:01", True), ("08:00", False), ("07:58", True)])
def test_an_hour_before_and_after_the_shift_is_inside(first: str, fires: bool) -> None:
    rows = [{**row, "at": korean("2026-03-10", first)} for row in persons(3, AT)]
    assert bool(fired(known(shifts=[ON_DUTY]), Rule.OFF_HOURS, *rows)) == fires
    assert bool(fired(known(), Rule.OFF_HOURS, *rows)) == fires, "without a roster, office hours count"


def test_a_long_shift_that_began_before_a_short_one_still_runs() -> None:
    night = {"official": KIM, "start": korean("2026-03-10", "08:00"), "end": korean("2026-03-11", "08:00")}
    world = known(shifts=[ON_DUTY, night | {"for_holiday": False}])
    assert not fired(world, Rule.OFF_HOURS, *persons(3, korean("2026-03-11", "02:00")))


def test_a_night_is_one_night_on_both_sides_of_midnight_and_of_the_year() -> None:
    world = known(shifts=[ON_DUTY])
    rows = persons(2, korean("2025-12-31", "23:58")) + persons(1, korean("2026-01-01", "00:02"), first=3)
    (hit,) = fired(world, Rule.OFF_HOURS, *rows)
    assert hit.entries == (1, 2, 3)


def test_a_day_later_is_another_night() -> None:
    late = persons(2, korean("2026-03-10", "22:00")) + persons(1, korean("2026-03-11", "22:00:01"), first=3)
    assert not fired(known(shifts=[ON_DUTY]), Rule.OFF_HOURS, *late)


def test_the_same_person_thrice_is_one_person() -> None:
    rows = [access(each, korean("2026-03-10", "22:00")) for each in range(1, 4)]
    assert not fired(known(shifts=[ON_DUTY]), Rule.OFF_HOURS, *rows)


@pytest.mark.parametrize(("ordered", "fires"), [(False, True), (True, False)])
def test_a_public_holiday_counts_unless_duty_was_ordered_for_it(ordered: bool, fires: bool) -> None:
    day = {"official": KIM, "start": korean("2026-02-17", "09:00"), "end": korean("2026-02-17", "18:00")}
    world = known(shifts=[day | {"for_holiday": ordered}])
    assert bool(fired(world, Rule.OFF_HOURS, *persons(3, korean("2026-02-17")))) == fires


def test_a_saturday_without_a_roster_is_outside_and_a_friday_is_not() -> None:
    assert fired(known(), Rule.OFF_HOURS, *persons(3, korean("2026-03-14")))
    assert not fired(known(), Rule.OFF_HOURS, *persons(3, korean("2026-03-13")))


def test_a_holiday_ends_at_midnight_in_korea() -> None:
    assert not fired(known(), Rule.OFF_HOURS, *persons(3, korean("2026-02-19", "08:30"))), "2026-02-18 in UTC"
    assert fired(known(), Rule.OFF_HOURS, *persons(3, korean("2026-02-18", "08:30")))


def test_the_long_shift_of_another_covers_nobody_else() -> None:
    night = {"official": LEE, "start": korean("2026-03-10", "08:00"), "end": korean("2026-03-11", "08:00")}
    world = known(shifts=[ON_DUTY, night | {"for_holiday": False}])
    assert fired(world, Rule.OFF_HOURS, *persons(3, korean("2026-03-10", "22:00")))


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(("number", "cells", "fires"), [(5, 2, True), (4, 3, False), (9, 1, False), (10, 1, True)])
def test_ten_cells_over_five_persons(number: int, cells: int, fires: bool) -> None:
    assert bool(fired(known(), Rule.REFUSALS_IN_A_ROW, *persons(number, AT, refused=cells))) == fires


def test_refusals_of_more_than_a_day_are_not_in_a_row() -> None:
    rows = persons(4, AT, refused=2) + persons(1, AT + timedelta(hours=24) - SECOND, first=5, refused=2)
    assert fired(known(), Rule.REFUSALS_IN_A_ROW, *rows)
    rows = persons(4, AT, refused=2) + persons(1, AT + timedelta(hours=24), first=5, refused=2)
    assert not fired(known(), Rule.REFUSALS_IN_A_ROW, *rows)


# ---------------------------------------------------------------- repeat interest

D1, D2 = korean("2026-03-02"), korean("2026-03-05")


@pytest.mark.parametrize(("third", "fires"), [("2026-03-31", True), ("2026-04-01", False)])
def test_three_days_of_thirty(third: str, fires: bool) -> None:
    rows = [access(1, D1), access(2, D2), access(3, korean(third))]
    assert bool(fired(known(), Rule.REPEAT_INTEREST, *rows)) == fires


def test_two_days_are_two_days_however_often() -> None:
    rows = [access(1, D1), access(2, D2), access(3, D2 + SECOND), access(4, D2 + 2 * SECOND)]
    assert not fired(known(), Rule.REPEAT_INTEREST, *rows)


def test_activity_between_makes_it_work() -> None:
    rows = [access(1, D1), access(2, D2), access(3, AT)]
    assert not fired(known(activity=[{"case": CASE, "at": D2 + SECOND}]), Rule.REPEAT_INTEREST, *rows)
    assert fired(known(activity=[{"case": CASE, "at": AT + SECOND}]), Rule.REPEAT_INTEREST, *rows)
    assert fired(known(activity=[{"case": "another", "at": D2 + SECOND}]), Rule.REPEAT_INTEREST, *rows)


def test_a_third_day_is_the_third_whenever_the_first_were_judged() -> None:
    evaluation = Evaluation.of(TEXT)
    batches = [access(1, D1), access(2, D2), access(3, korean("2026-03-31"))]
    hits = [evaluation.judge(accesses(row), known()) for row in batches]
    assert [[hit.entries for hit in some if hit.rule is Rule.REPEAT_INTEREST] for some in hits] == [[], [], [(1, 2, 3)]]


# ---------------------------------------------------------------- over broad


@pytest.mark.parametrize(("others", "fires"), [(99, False), (100, True)])
def test_what_fewer_than_one_in_a_hundred_read(others: int, fires: bool) -> None:
    spelled = [
        {"selection": "usual", "coordinate": "Person.name"},
        {"selection": "broad", "coordinate": "Person.name"},
        {"selection": "broad", "coordinate": "MedicalHistory.entries"},
    ]
    rows = [access(each, AT, official="official-lee") for each in range(others)]
    hits = fired(known(selections=spelled), Rule.OVER_BROAD, *rows, access(1000, AT, selection="broad"))
    assert bool(hits) == fires
    if fires:
        assert hits[0].numbers["coordinates"] == "MedicalHistory.entries"
        assert hits[0].entries == (1000,)


@pytest.mark.parametrize(("before", "fires"), [(27, True), (28, False)])
def test_the_last_28_days_tell_what_is_rare(before: int, fires: bool) -> None:
    spelled = [{"selection": "usual", "coordinate": "Person.name"}, {"selection": "broad", "coordinate": "Tax.arrears"}]
    rows = [access(each, AT - timedelta(days=before)) for each in range(200)]
    hits = fired(known(selections=spelled), Rule.OVER_BROAD, *rows, access(1000, AT, selection="broad"))
    assert bool(hits) == fires


def test_what_other_purposes_read_does_not_count() -> None:
    spelled = [
        {"selection": "usual", "coordinate": "Person.name"},
        {"selection": "broad", "coordinate": "Tax.arrears"},
    ]
    rows = [access(each, AT, purpose="MEANS_TEST", selection="broad") for each in range(200)]
    rows += [access(1000 + each, AT) for each in range(100)] + [access(2000, AT, selection="broad")]
    assert [hit.entries for hit in fired(known(selections=spelled), Rule.OVER_BROAD, *rows)] == [(2000,)]


# ---------------------------------------------------------------- volume


D0 = korean("2026-01-01")


def volume(own: list[int], peers: list[int], number: int, first_person: int = 0, **tables: Any) -> bool:
    """Whether so many persons on a day stand out against one's own days and the peers' day."""
    days = working_days(date(2026, 1, 5), len(own) + 1)
    officials = [{"official": KIM, "person": "kim", "peers": "clerks"}]
    officials += [{"official": f"peer-{each}", "person": None, "peers": "clerks"} for each in range(len(peers))]
    noted = [{"case": CASE, "at": korean(str(day))} for day in days]
    world = known(**({"officials": officials, "activity": noted} | tables))
    evaluation = Evaluation.of(TEXT)
    first = 1
    for day, count in zip(days[:-1], own, strict=True):
        evaluation.judge(accesses(*persons(count, korean(str(day)), first)), world)
        first += count
    at = korean(str(days[-1]))
    rows = []
    for each, count in enumerate(peers):
        rows += persons(count, at, first, official=f"peer-{each}")
        first += count
    hits = evaluation.judge(accesses(*rows, *persons(number, at, max(first, first_person))), world)
    return any(hit.rule is Rule.UNUSUAL_VOLUME and hit.official == KIM for hit in hits)


QUIET = [3, 4, 5, 6, 7] * 5


def test_twenty_persons_are_needed() -> None:
    assert volume(QUIET, QUIET, 20)
    assert not volume(QUIET, QUIET, 19)


def test_a_busy_day_of_everybody_is_no_matter_of_one() -> None:
    assert not volume(QUIET, [18, 20, 22, 24, 19, 21], 25)


def test_who_always_does_much_does_nothing_unusual() -> None:
    assert not volume([18, 20, 22, 24, 19, 21], QUIET, 25)


def test_only_the_last_28_working_days_count() -> None:
    assert volume([40] * 40 + [3, 4, 5, 6] * 7, QUIET, 30)
    assert not volume([40] * 20 + [3, 4, 5, 6] * 2, QUIET, 30)


def test_both_comparisons_are_needed_and_each_needs_five_figures() -> None:
    assert volume([3, 4, 5, 6, 7], [3, 4, 5, 6, 7], 30)
    assert not volume([3, 4, 5, 6], [3, 4, 5, 6, 7], 30), "somebody new"
    assert not volume([3, 4, 5, 6, 7], [3, 4, 5, 6], 30), "hardly anybody else at work"
    assert not volume([], [], 200)


WIDE = [2, 5, 8, 11, 14]
"""Median 8 and MAD 3: a z of 4 lies between 25 and 26."""


@pytest.mark.parametrize(("own", "peers"), [(WIDE, QUIET), (QUIET, WIDE)])
def test_a_z_of_four_against_each(own: list[int], peers: list[int]) -> None:
    assert volume(own, peers, 26)
    assert not volume(own, peers, 25)


def test_twenty_eight_days_are_neither_more_nor_fewer() -> None:
    low, high = [3, 4, 5, 6] * 3 + [3, 4], [40]
    days = [3, *high, *low, *high * 13]  # of the last 28 one half is low: only with 27 or 29 of them most are
    assert not volume(days, QUIET, 30)
    assert volume(days[2:], QUIET, 30)
    assert volume([3, *days[2:]], QUIET, 30)


def test_the_official_is_none_of_the_peers() -> None:
    assert not volume([3, 4, 5, 6, 7], [3, 4, 5, 6], 30)
    assert volume(QUIET, [3, 4, 5, 6, 7], 30)


def test_officials_of_no_group_are_no_peers_of_each_other() -> None:
    alone = [{"official": who, "person": None} for who in (KIM, *(f"peer-{each}" for each in range(25)))]
    assert not volume(QUIET, QUIET, 30, officials=alone)


def one_day_a_week(weeks: int, *batches: int) -> bool:
    """Whether Kim, who works on Mondays, stands out on the last, which is judged in batches of so many persons."""
    officials = [
        {"official": who, "person": None, "peers": "clerks"} for who in (KIM, *(f"peer-{n}" for n in range(5)))
    ]
    world, evaluation, first, hits = known(officials=officials), Evaluation.of(TEXT), 1, []
    for week in range(weeks):
        at = korean("2026-01-05") + timedelta(weeks=week)
        evaluation.judge(accesses(*persons(3 + week % 3, at, first)), world)
        first += 10
    at = korean("2026-01-05") + timedelta(weeks=weeks)
    rows = [row for each in range(5) for row in persons(3 + each, at, 9000 + 100 * each, official=f"peer-{each}")]
    for number in batches:
        hits += evaluation.judge(accesses(*rows, *persons(number, at + first * SECOND, first)), world)
        first, rows = first + number, []
    return any(hit.rule is Rule.UNUSUAL_VOLUME and hit.official == KIM for hit in hits)


def test_working_days_are_remembered_longer_than_accesses() -> None:
    assert one_day_a_week(8, 30)


def test_a_day_that_is_judged_by_the_minute_is_one_day() -> None:
    assert one_day_a_week(8, 12, 12)
    assert not one_day_a_week(8, 12, 7)


HANDED = korean("2026-01-12", "00:00")
"""The beginning of the Korean day that `volume` judges after five days."""


def of_own_cases(**tables: Any) -> bool:
    """Whether 25 persons stand out, of whose cases these tables tell."""
    ids = [f"case-{each}" for each in range(25)]
    whole = {
        "cases": [{"case": case, "office": OFFICE, "opened": korean("2026-01-02")} for case in ids],
        "parties": [{"case": case, "person": f"person-{101 + each}"} for each, case in enumerate(ids)],
        "assignments": [],
    }
    made = {name: [row | {"case": case} for case in ids for row in rows] for name, rows in tables.items()}
    return volume([3, 4, 5, 6, 7], [3, 4, 5, 6, 7], 25, first_person=101, **(whole | made))


@pytest.mark.parametrize(("since", "counts"), [(HANDED - SECOND, False), (HANDED, True)])
def test_a_case_assigned_before_the_day_was_handed_over_and_one_opened_today_was_not(since: Any, counts: bool) -> None:
    assert of_own_cases(assignments=[{"official": KIM, "since": since}]) == counts


def test_mandates_and_requests_hand_over_and_the_roster_does_not() -> None:
    asked = {"colleague": LEE, "official": KIM, "at": HANDED}
    assert not of_own_cases(mandates=[{"official": KIM, "since": HANDED}])
    assert not of_own_cases(requests=[asked], assignments=[{"official": LEE, "since": korean("2026-01-02")}])
    roster = [{"office": OFFICE, "official": KIM, "since": korean("2026-01-02")}]
    assert of_own_cases()
    assert of_own_cases(rosters=roster)


def test_an_order_to_inspect_names_an_office_and_no_number() -> None:
    assert of_own_cases(inspections=[{"official": KIM, "office": OFFICE, "since": korean("2026-01-02")}])


def test_a_day_of_nothing_but_handed_over_cases_is_a_working_day() -> None:
    own = {"assignments": [{"case": CASE, "official": KIM, "since": korean("2026-01-01")}]}
    rows = [access(each, korean(f"2026-01-{5 + each:02}"), person=PERSON) for each in range(5)]
    evaluation = Evaluation.of(TEXT)
    evaluation.judge(accesses(*rows), known(cases=[{"case": CASE, "office": OFFICE, "opened": D0}], **own))
    assert evaluation.days.sort("day")["persons"].to_list() == [0] * 5


def test_the_finding_is_about_the_persons_that_counted() -> None:
    world = known(
        officials=[
            {"official": who, "person": None, "peers": "clerks"}
            for who in (KIM, *(f"peer-{each}" for each in range(5)))
        ],
        cases=[{"case": CASE, "office": OFFICE, "opened": D0}],
        assignments=[{"case": CASE, "official": KIM, "since": D0}],
    )
    evaluation = Evaluation.of(TEXT)
    days = working_days(date(2026, 1, 5), 6)
    for each, day in enumerate(days[:-1]):
        evaluation.judge(accesses(*persons(3 + each, korean(str(day)), 1000 * (each + 1))), world)
    at = korean(str(days[-1]))
    rows = [row for each in range(5) for row in persons(3 + each, at, 9000 + 100 * each, official=f"peer-{each}")]
    rows += [access(1, at, case=CASE), *persons(20, at + SECOND, 2)]
    (hit,) = [hit for hit in evaluation.judge(accesses(*rows), world) if hit.rule is Rule.UNUSUAL_VOLUME]
    assert hit.entries == tuple(range(2, 22))
    assert hit.numbers["persons"] == 20


def test_the_robust_z_is_four_at_four_scaled_deviations() -> None:
    figures = np.array([8, 9, 10, 11, 12])  # median 10, MAD 1
    assert robust_z(10 + 4 * 1.482602218505602, figures) == pytest.approx(4)


def test_figures_that_hardly_vary_have_a_z_too() -> None:
    assert robust_z(20, np.array([5, 5, 5, 5, 5, 6])) == pytest.approx(15 / (1.2533141373155001 / 6))
    assert robust_z(6, np.array([5, 5, 5])) == float("inf")
    assert robust_z(5, np.array([5, 5, 5])) == 0


# ---------------------------------------------------------------- the log itself


def gaps(behind: int = 0, **changed: Any) -> list[str]:
    row = {"entry": 7, "issued": AT, "integrated": AT + 60 * SECOND, "recorded": True} | changed
    hits = log_gaps(table([row], RECEIPTS), timedelta(seconds=behind), AT + 61 * SECOND)
    return [str(hit.numbers["why"]) for hit in hits]


def test_a_receipt_has_a_minute_to_be_in_the_tree() -> None:
    assert gaps() == []
    assert gaps(integrated=AT + 61 * SECOND) == ["late"]
    assert gaps(integrated=None) == ["late"]
    assert gaps(integrated=None, issued=AT + SECOND) == []


def test_a_leaf_without_record_and_a_sequencer_that_is_behind() -> None:
    assert gaps(recorded=False) == ["no record"]
    assert gaps(behind=59) == []
    assert gaps(behind=60) == ["behind"]


def test_receipts_may_be_none() -> None:
    assert log_gaps(pl.DataFrame(schema=RECEIPTS), timedelta(0), AT) == []
