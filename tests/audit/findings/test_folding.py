"""Hits into findings, and the same findings however the accesses come."""

from datetime import timedelta
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from audit.findings.evaluation import Evaluation
from audit.findings.folding import folded
from audit.findings.shapes import Finding, Hit, Rule, Severity
from audit.findings.words import explanation
from tests.audit.findings.world import KIM, LEE, TEXT, access, accesses, judged, known, korean

AT = korean("2026-03-10")
THIRTY_DAYS = timedelta(days=30)


def hit(rule: Rule, at: Any = AT, official: str | None = KIM, entry: int = 1) -> Hit:
    return Hit(rule, official, at, (entry,))


def test_what_one_official_did_within_thirty_days_is_one_finding() -> None:
    later = hit(Rule.BREAK_GLASS, AT + THIRTY_DAYS - timedelta(microseconds=1), entry=2)
    (finding,) = folded([later, hit(Rule.NO_OPEN_CASE)])
    assert finding.entries == (1, 2)
    assert finding.raised_at == AT


def test_thirty_days_after_the_first_begins_another() -> None:
    assert len(folded([hit(Rule.NO_OPEN_CASE), hit(Rule.NO_OPEN_CASE, AT + THIRTY_DAYS, entry=2)])) == 2


def test_thirty_days_run_from_the_first_however_many_follow() -> None:
    days = (0, 20, 40, 49)
    found = folded(hit(Rule.NO_OPEN_CASE, AT + timedelta(days=day), entry=day) for day in days)
    assert [finding.entries for finding in found] == [(0, 20), (40, 49)]


def test_a_hit_that_comes_twice_is_said_once_with_its_last_numbers() -> None:
    early, late = (Hit(Rule.UNUSUAL_VOLUME, KIM, AT, (1,), {"persons": number}) for number in (20, 30))
    (finding,) = folded([early, late])
    assert finding.hits == (late,)


def test_an_entry_is_judged_once_in_its_batch_and_after_it() -> None:
    rows = [access(each, AT + timedelta(seconds=each), person=f"p{each}", refused=1) for each in range(5)]
    evaluation = Evaluation.of(TEXT)
    hits = evaluation.judge(accesses(*rows, *rows), known())
    assert {each.rule for each in hits} == {Rule.NO_OPEN_CASE}, "five cells were refused, not ten"
    assert (len(hits), evaluation.accesses) == (5, 5)
    assert evaluation.judge(accesses(*rows), known()) == []
    assert evaluation.accesses == 5


def test_officials_are_not_folded_into_each_other_nor_into_the_log() -> None:
    assert len(folded([hit(Rule.NO_OPEN_CASE, official=who) for who in (KIM, LEE, None)])) == 3


def test_a_finding_is_named_for_the_gravest_of_what_it_holds() -> None:
    (finding,) = folded([hit(Rule.OFF_HOURS), hit(Rule.OWN_RECORD, AT + timedelta(days=1), entry=2)])
    assert (finding.rule, finding.severity) == (Rule.OWN_RECORD, Severity.HIGH)


def test_a_finding_says_in_both_languages_what_it_holds_and_how_often() -> None:
    rows = [access(each, AT + timedelta(seconds=each), person=f"p{each}") for each in range(3)]
    (finding,) = folded(judged(known(), *rows))
    assert explanation(finding, "EN") == (
        "No case with this person as a party was open, and nothing else explains the access. (3 times)"
    )
    assert "3회" in explanation(finding, "KO")


DRAWN = st.lists(
    st.tuples(
        st.sampled_from([KIM, LEE]),
        st.sampled_from(["person-1", "person-2", "person-3", "kim", "stranger"]),
        st.integers(0, 24 * 40),
        st.integers(0, 4),
        st.booleans(),
    ),
    max_size=40,
)


def drawn_rows(drawn: list[Any]) -> list[dict[str, Any]]:
    return [
        access(number, AT + timedelta(hours=hour), official=who, person=whom, refused=refused, break_glass=glass)
        for number, (who, whom, hour, refused, glass) in enumerate(drawn)
    ]


def known_findings(findings: list[Finding]) -> list[Any]:
    return [(each.id, each.official, each.rule, each.raised_at, each.entries) for each in findings]


@settings(max_examples=40, deadline=None)
@given(DRAWN, st.randoms(use_true_random=False))
def test_neither_order_nor_repetition_changes_the_findings(drawn: list[Any], chance: Random) -> None:
    rows = drawn_rows(drawn)
    shuffled = rows + rows
    chance.shuffle(shuffled)
    assert known_findings(folded(judged(known(), *shuffled))) == known_findings(folded(judged(known(), *rows)))


@settings(max_examples=40, deadline=None)
@given(DRAWN, st.integers(0, 40))
def test_batch_by_batch_gives_what_all_at_once_gives(drawn: list[Any], cut: int) -> None:
    rows = sorted(drawn_rows(drawn), key=lambda row: (row["at"], row["entry"]))
    evaluation = Evaluation.of(TEXT)
    hits = evaluation.judge(accesses(*rows[:cut]), known()) + evaluation.judge(accesses(*rows[cut:]), known())
    hits += evaluation.judge(accesses(*rows[:cut][-3:]), known())  # seen before
    assert known_findings(folded(hits)) == known_findings(folded(judged(known(), *rows)))
