"""How a finding runs: open, explanation requested, explained, then justified or a violation. Pure.

Privacy officers of the official's organisation ask and judge, the official explains, and what is overdue goes to the
official's supervisor as well. Nobody asks about, judges or supervises a finding about themself. Source: access-log.md.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from schema.identifiers import PersonId


class State(StrEnum):
    """Names of the graph's FindingState."""

    OPEN = "OPEN"
    EXPLANATION_REQUESTED = "EXPLANATION_REQUESTED"
    EXPLAINED = "EXPLAINED"
    JUSTIFIED = "JUSTIFIED"
    VIOLATION = "VIOLATION"


class Verdict(StrEnum):
    """Names of the graph's FindingVerdict."""

    JUSTIFIED = "JUSTIFIED"
    VIOLATION = "VIOLATION"


LONGEST_TEXT = 4000
CLOSED = frozenset({State.JUSTIFIED, State.VIOLATION})


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened to a finding; the state is the one after it. `by` is None for the machinery itself."""

    state: State
    at: datetime
    by: PersonId | None
    note: str | None = None
    due_at: datetime | None = None
    supervisor: PersonId | None = None
    """The supervisor that an overdue explanation went to."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts on a finding: `judges` where they are privacy officer of the official's organisation."""

    person: PersonId
    judges: bool = False


@dataclass(frozen=True, slots=True)
class Noticed:
    """One thing that was noticed: which rule (names of FindingRule and Severity), when, in which entries, in words."""

    rule: str
    severity: str
    at: datetime
    entries: tuple[int, ...]
    text_ko: str
    text_en: str


@dataclass(frozen=True, slots=True)
class FindingRecord:
    """A finding as it is kept, with what was noticed by time and its steps, oldest first.

    `official` is None where it is about the log.
    """

    id: str
    official: PersonId | None
    organisation: str | None
    raised_at: datetime
    noticed: tuple[Noticed, ...]
    steps: tuple[Step, ...]

    @property
    def state(self) -> State:
        return self.steps[-1].state

    @property
    def due_at(self) -> datetime | None:
        """When the explanation is due; None unless one is awaited."""
        return self.steps[-1].due_at

    @property
    def supervisor(self) -> PersonId | None:
        """The supervisor to whom the explanation that is awaited went over."""
        return self.steps[-1].supervisor


class StepRefusedError(Exception):
    """The step may not be taken. The text names what would help; `code` is a RefusalCode of the graph."""

    def __init__(self, code: str, field: str, text_ko: str, text_en: str) -> None:
        super().__init__(text_en)
        self.code = code
        self.field = field
        self.text_ko = text_ko
        self.text_en = text_en


def requested(finding: FindingRecord, actor: Actor, due_at: datetime, note: str | None, now: datetime) -> Step:
    """The explanation is asked for; asked again after an answer, the finding waits once more."""
    _require_judge(finding, actor)
    _require_unfinished(finding)
    if finding.official is None:
        raise StepRefusedError(
            "OUT_OF_SCOPE",
            "finding",
            "기록 자체에 관한 건에는 소명할 공무원이 없습니다. 조사 결과를 적어 종결하십시오.",
            "A finding about the log has no official who could explain it. Close it with what was found out.",
        )
    if due_at <= now:
        raise StepRefusedError(
            "OUT_OF_TIME",
            "dueAt",
            "소명 기한은 앞으로 올 시각이어야 합니다.",
            "The explanation is due at a moment that has passed. Give a later one.",
        )
    return Step(State.EXPLANATION_REQUESTED, now, actor.person, _text(note, "note") if note else None, due_at)


def explained(finding: FindingRecord, actor: Actor, text: str, now: datetime) -> Step:
    """The official says why, asked or not; late is better than never."""
    if actor.person != finding.official:
        raise _not_accessible()
    _require_unfinished(finding)
    return Step(State.EXPLAINED, now, actor.person, _text(text, "text"))


def closed(finding: FindingRecord, actor: Actor, verdict: Verdict, note: str, now: datetime) -> Step:
    """The verdict. A violation is not found before the official was heard, or let the due date pass."""
    _require_judge(finding, actor)
    _require_unfinished(finding)
    heard = finding.official is None or any(step.state is State.EXPLAINED for step in finding.steps)
    let_pass = finding.due_at is not None and finding.due_at <= now
    if verdict is Verdict.VIOLATION and not heard and not let_pass:
        raise StepRefusedError(
            "EVIDENCE_REQUIRED",
            "verdict",
            "소명을 듣거나 기한이 지난 뒤에만 위반으로 판단합니다. 먼저 requestExplanation으로 소명을 요청하십시오.",
            "A violation is found after the official was heard or let the due date pass. Use requestExplanation first.",
        )
    return Step(State(verdict.value), now, actor.person, _text(note, "note"))


def escalated(finding: FindingRecord, supervisor: PersonId | None, now: datetime) -> Step | None:
    """An overdue explanation goes to the supervisor, once; None where none is overdue or nobody is above."""
    overdue = finding.due_at is not None and finding.due_at <= now and finding.supervisor is None
    if not overdue or supervisor is None or supervisor == finding.official:
        return None
    return Step(State.EXPLANATION_REQUESTED, now, None, due_at=finding.due_at, supervisor=supervisor)


def may_see(finding: FindingRecord, actor: Actor) -> bool:
    """Officers who judge it, the official once asked, and the supervisor it went to. Nobody judges themself."""
    if actor.person == finding.official:
        return any(step.state is State.EXPLANATION_REQUESTED for step in finding.steps)
    return actor.judges or any(step.supervisor == actor.person for step in finding.steps)


def _require_judge(finding: FindingRecord, actor: Actor) -> None:
    if actor.person == finding.official:
        raise StepRefusedError(
            "OUT_OF_SCOPE",
            "finding",
            "자신에 관한 건은 스스로 처리할 수 없습니다. 다른 개인정보 보호담당자가 처리해야 합니다.",
            "Nobody handles a finding about themself. Another privacy officer has to.",
        )
    if not actor.judges:
        raise _not_accessible()


def _require_unfinished(finding: FindingRecord) -> None:
    if finding.state in CLOSED:
        raise StepRefusedError(
            "OUT_OF_TIME",
            "finding",
            "이미 종결된 건입니다. 새로운 사실은 새로운 건으로 다룹니다.",
            "The finding is closed. What is new becomes a new finding.",
        )


def _not_accessible() -> StepRefusedError:
    return StepRefusedError("NOT_ACCESSIBLE", "finding", "조회할 수 없습니다.", "Not accessible.")


def _text(text: str, field: str) -> str:
    text = text.strip()
    if not 1 <= len(text) <= LONGEST_TEXT:
        raise StepRefusedError(
            "EVIDENCE_REQUIRED",
            field,
            f"{field}에 1자 이상 {LONGEST_TEXT}자 이하로 적으십시오.",
            f"{field} has to be a text of 1 to {LONGEST_TEXT} characters.",
        )
    return text
