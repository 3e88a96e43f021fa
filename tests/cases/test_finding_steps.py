"""Who may do what with a finding, and in which order."""

from datetime import UTC, datetime, timedelta

import pytest

from cases.finding_steps import (
    Actor,
    FindingRecord,
    Noticed,
    State,
    Step,
    StepRefusedError,
    Verdict,
    closed,
    escalated,
    explained,
    may_see,
    requested,
)
from schema.identifiers import PersonId

NOW = datetime(2026, 3, 14, tzinfo=UTC)
DAY = timedelta(days=1)
KIM, OFFICER, CHIEF = PersonId("kim"), PersonId("officer"), PersonId("chief")
JUDGE, STRANGER = Actor(OFFICER, judges=True), Actor(PersonId("stranger"))
ASKED = Step(State.EXPLANATION_REQUESTED, NOW, OFFICER, None, NOW + DAY)
ANSWERED = Step(State.EXPLAINED, NOW, KIM, "I was asked to.")


def finding(*steps: Step, official: PersonId | None = KIM) -> FindingRecord:
    noticed = Noticed("NO_OPEN_CASE", "MEDIUM", NOW, (1,), "가", "a")
    return FindingRecord("f", official, "city-1", NOW, (noticed,), (Step(State.OPEN, NOW, None), *steps))


def code(refused: pytest.ExceptionInfo[StepRefusedError]) -> tuple[str, str]:
    assert refused.value.text_ko
    return refused.value.code, refused.value.field


def test_asked_answered_and_judged() -> None:
    assert requested(finding(), JUDGE, NOW + DAY, "Why?", NOW).due_at == NOW + DAY
    assert explained(finding(ASKED), Actor(KIM), " Because. ", NOW).note == "Because."
    assert closed(finding(ASKED, ANSWERED), JUDGE, Verdict.VIOLATION, "No.", NOW).state is State.VIOLATION


def test_it_may_be_asked_again_after_an_answer() -> None:
    assert requested(finding(ASKED, ANSWERED), JUDGE, NOW + DAY, None, NOW).state is State.EXPLANATION_REQUESTED


@pytest.mark.parametrize("due_at", [NOW, NOW - DAY])
def test_an_explanation_is_due_later_than_now(due_at: datetime) -> None:
    with pytest.raises(StepRefusedError) as refused:
        requested(finding(), JUDGE, due_at, None, NOW)
    assert code(refused) == ("OUT_OF_TIME", "dueAt")


def test_nobody_handles_a_finding_about_themself() -> None:
    own = Actor(KIM, judges=True)
    for step in (
        lambda: requested(finding(), own, NOW + DAY, None, NOW),
        lambda: closed(finding(ASKED, ANSWERED), own, Verdict.JUSTIFIED, "It was me.", NOW),
    ):
        with pytest.raises(StepRefusedError) as refused:
            step()
        assert code(refused) == ("OUT_OF_SCOPE", "finding")


def test_others_learn_nothing() -> None:
    for step in (
        lambda: requested(finding(), STRANGER, NOW + DAY, None, NOW),
        lambda: explained(finding(ASKED), JUDGE, "For Kim.", NOW),
        lambda: closed(finding(), STRANGER, Verdict.JUSTIFIED, "x", NOW),
    ):
        with pytest.raises(StepRefusedError) as refused:
            step()
        assert code(refused) == ("NOT_ACCESSIBLE", "finding")


def test_no_violation_before_the_official_was_heard_or_let_the_day_pass() -> None:
    for unheard, now in ((finding(), NOW), (finding(ASKED), NOW + DAY - timedelta(seconds=1))):
        with pytest.raises(StepRefusedError) as refused:
            closed(unheard, JUDGE, Verdict.VIOLATION, "x", now)
        assert code(refused) == ("EVIDENCE_REQUIRED", "verdict")
    assert closed(finding(ASKED), JUDGE, Verdict.VIOLATION, "Silence.", NOW + DAY)
    assert closed(finding(), JUDGE, Verdict.JUSTIFIED, "The order is on file.", NOW)
    assert closed(finding(official=None), JUDGE, Verdict.VIOLATION, "A disk was pulled.", NOW)


def test_nobody_can_explain_for_the_log() -> None:
    with pytest.raises(StepRefusedError) as refused:
        requested(finding(official=None), JUDGE, NOW + DAY, None, NOW)
    assert code(refused) == ("OUT_OF_SCOPE", "finding")


@pytest.mark.parametrize("state", [State.JUSTIFIED, State.VIOLATION])
def test_what_is_closed_stays_closed(state: State) -> None:
    over = finding(ASKED, ANSWERED, Step(state, NOW, OFFICER, "x"))
    for step in (
        lambda: requested(over, JUDGE, NOW + DAY, None, NOW),
        lambda: explained(over, Actor(KIM), "But.", NOW),
        lambda: closed(over, JUDGE, Verdict.JUSTIFIED, "x", NOW),
    ):
        with pytest.raises(StepRefusedError) as refused:
            step()
        assert code(refused) == ("OUT_OF_TIME", "finding")


@pytest.mark.parametrize("text", ["", "  ", "x" * 4001])
def test_words_are_needed_and_not_too_many(text: str) -> None:
    with pytest.raises(StepRefusedError) as refused:
        explained(finding(ASKED), Actor(KIM), text, NOW)
    assert code(refused) == ("EVIDENCE_REQUIRED", "text")
    with pytest.raises(StepRefusedError) as refused:
        closed(finding(ASKED, ANSWERED), JUDGE, Verdict.JUSTIFIED, text, NOW)
    assert code(refused) == ("EVIDENCE_REQUIRED", "note")


def test_an_overdue_explanation_goes_to_the_supervisor_once() -> None:
    assert escalated(finding(ASKED), CHIEF, NOW + DAY - timedelta(seconds=1)) is None
    up = escalated(finding(ASKED), CHIEF, NOW + DAY)
    assert up is not None
    assert (up.supervisor, up.by, up.due_at) == (CHIEF, None, NOW + DAY)
    assert escalated(finding(ASKED, up), CHIEF, NOW + DAY) is None
    assert escalated(finding(ASKED, ANSWERED), CHIEF, NOW + DAY) is None
    assert escalated(finding(ASKED), None, NOW + DAY) is None
    assert escalated(finding(ASKED), KIM, NOW + DAY) is None
    assert explained(finding(ASKED, up), Actor(KIM), "Late, sorry.", NOW + DAY)


def test_who_may_see_it() -> None:
    up = Step(State.EXPLANATION_REQUESTED, NOW, None, None, NOW, CHIEF)
    assert may_see(finding(), JUDGE)
    assert not may_see(finding(), STRANGER)
    assert not may_see(finding(), Actor(KIM, judges=True)), "not before one is asked"
    assert may_see(finding(ASKED), Actor(KIM))
    assert not may_see(finding(ASKED), Actor(CHIEF))
    assert may_see(finding(ASKED, up), Actor(CHIEF))
