"""Findings in the graph: privacy officers ask and judge, the official explains, the supervisor sees what is overdue.

Who may take which step is said in cases/finding_steps.py; what may not be done is a typed refusal that says what would
help. Nobody is named: officials and officers go by their pseudonyms.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

import strawberry

from cases.finding_steps import Actor as StepActor
from cases.finding_steps import (
    FindingRecord,
    State,
    Step,
    StepRefusedError,
    Verdict,
    closed,
    explained,
    may_see,
    requested,
)
from cases.findings import ChangedMeanwhileError
from resolvers import errors, log_review
from resolvers.context import Attempt, Context, Review
from resolvers.graph import In, context_of
from resolvers.redaction import without_numbers
from schema.access import AccessEntry, Actor, PageInfo
from schema.case import Refusal, RefusalCode
from schema.fields import resolves
from schema.finding import (
    CloseFindingInput,
    ExplainAccessInput,
    Finding,
    FindingConnection,
    FindingEdge,
    FindingFilter,
    FindingPayload,
    FindingRule,
    FindingState,
    FindingStep,
    RequestExplanationInput,
    Severity,
)
from schema.identifiers import PersonId
from schema.text import Bilingual
from schema.viewer import Role

ENTRIES = 200
PAGE = 100
BATCH = 200
TRIES = 3
SEVERITIES = tuple(each.name for each in Severity)
MACHINERY = "onestop"
Cursor = tuple[datetime, str]


# ---------------------------------------------------------------- reading


async def page(
    context: Context, where: FindingFilter | None, first: int | None, after: str | None
) -> FindingConnection:
    """Findings that the viewer may see: of their organisation, or about them, or gone over to them."""
    if first is None or not 1 <= first <= PAGE:
        raise errors.bad_input("first", f"Give a number from 1 to {PAGE}.")
    where, before = where or FindingFilter(), _before(context, after)
    if log_review.reviews(context.viewer):
        found = await _of_organisation(context, where, first + 1, before)
    else:
        found = [each for each in await _of_official(context) if _fits(each, where)]
        found = [each for each in found if before is None or (each.raised_at, each.id) < before][: first + 1]
    edges = [
        FindingEdge(
            cursor=context.sealed("FindingCursor", each.raised_at.astimezone(UTC).isoformat(), each.id),
            node=shown(context, each),
        )
        for each in found[:first]
    ]
    return FindingConnection(
        edges=edges,
        page_info=PageInfo(
            has_next_page=len(found) > first,
            has_previous_page=after is not None,
            start_cursor=edges[0].cursor if edges else None,
            end_cursor=edges[-1].cursor if edges else None,
        ),
        total_count=None,
    )


async def one(context: Context, sealed: str) -> Finding | None:
    """The finding of this id, where the viewer may see it."""
    record = await _visible(context, sealed)
    return None if record is None else shown(context, record)


async def _of_organisation(
    context: Context, where: FindingFilter, most: int, before: Cursor | None
) -> list[FindingRecord]:
    here = log_review.organisation(context)
    official = await log_review.official_of(context, where.actor, "filter.actor") if where.actor is not None else None
    actor, store = _actor(context), context.house.cases.findings()
    found: list[FindingRecord] = []
    while len(found) < most:
        some = await store.of_organisation(
            here,
            official=official,
            state=State[where.state.name] if where.state else None,
            first=BATCH,
            before=before,
        )
        found += [each for each in some if may_see(each, actor) and _fits(each, where)]
        if len(some) < BATCH:
            break
        before = (some[-1].raised_at, some[-1].id)
    return found[:most]


async def _of_official(context: Context) -> list[FindingRecord]:
    """About the official themself, once asked, and what went over to them as a supervisor."""
    if Role.OFFICIAL not in context.viewer.roles:
        context.attempts.append(Attempt(None, None, RefusalCode.NOT_ACCESSIBLE))
        raise errors.refused(RefusalCode.NOT_ACCESSIBLE)
    store, me, actor = context.house.cases.findings(), context.viewer.person, _actor(context)
    found = {each.id: each for each in [*await store.about(me), *await store.gone_over_to(me)] if may_see(each, actor)}
    for each in found.values():
        _recorded(context, each)
    return sorted(found.values(), key=lambda each: (each.raised_at, each.id), reverse=True)


async def _visible(context: Context, sealed: str) -> FindingRecord | None:
    """The finding, where the viewer may see it; for every other id the same nothing."""
    parts = context.opened(sealed, "Finding")
    record = await context.house.cases.findings().one(parts[1] if parts else "")
    if record is None or not may_see(record, _actor(context, record.organisation)):
        context.attempts.append(Attempt(None, None, RefusalCode.NOT_ACCESSIBLE))
        return None
    if log_review.reviews(context.viewer):
        log_review.organisation(context)
    else:
        _recorded(context, record)
    return record


def _recorded(context: Context, record: FindingRecord) -> None:
    """A look at somebody else's finding is recorded as one at the official; one's own is a look at oneself."""
    if record.official != context.viewer.person:
        context.looked(Review(record.official, "official"))


def _actor(context: Context, organisation: str | None = None) -> StepActor:
    """The viewer; `judges` findings of their own organisation as its privacy officer."""
    viewer = context.viewer
    here = viewer.agency is not None and organisation in {None, viewer.agency}
    return StepActor(viewer.person, judges=here and log_review.reviews(viewer) is not None)


def _fits(record: FindingRecord, where: FindingFilter) -> bool:
    gravest = _gravest(record)
    return (
        (where.state is None or record.state.name == where.state.name)
        and (where.rule is None or gravest[0] == where.rule.name)
        and (where.severity is None or gravest[1] == where.severity.name)
    )


def _gravest(record: FindingRecord) -> tuple[str, str]:
    """Rule and severity, the earliest of equals."""
    worst = max(record.noticed, key=lambda each: SEVERITIES.index(each.severity))
    return worst.rule, worst.severity


def _before(context: Context, after: str | None) -> Cursor | None:
    if after is None:
        return None
    parts = context.opened(after, "FindingCursor")
    if parts is None:
        raise errors.bad_input("after", "Give a cursor of this list, or leave it out to start anew.")
    return datetime.fromisoformat(parts[1]), parts[2]


# ---------------------------------------------------------------- showing


def shown(context: Context, record: FindingRecord) -> Finding:
    """A finding as everybody sees it who may see it at all."""
    here, (rule, severity) = record.organisation or "", _gravest(record)

    def called(person: PersonId | None) -> str:
        return MACHINERY if person is None else log_review.pseudonym(context, here, person)

    return Finding(
        id=strawberry.ID(context.sealed("Finding", record.id)),
        rule=FindingRule[rule],
        severity=Severity[severity],
        state=FindingState[record.state.name],
        raised_at=record.raised_at,
        due_at=record.due_at,
        actor=Actor(kind=Role.OFFICIAL, name=called(record.official), office=None, agency=here),
        history=[
            FindingStep(at=each.at, by=called(each.by), state=FindingState[each.state.name], note=_note(each))
            for each in record.steps
        ],
        words=_words(record),
        leaves=sorted({leaf for each in record.noticed for leaf in each.entries}, reverse=True)[:ENTRIES],
        organisation=here,
    )


def _note(step: Step) -> str | None:
    return "Overdue: went over to the supervisor." if step.supervisor is not None else step.note


def _words(record: FindingRecord) -> Bilingual:
    """One sentence for each thing that was noticed, with how often, the gravest first."""
    ordered = sorted(record.noticed, key=lambda each: -SEVERITIES.index(each.severity))
    return Bilingual(
        _counted((each.text_ko for each in ordered), "{0} ({1}회)"),
        _counted((each.text_en for each in ordered), "{0} ({1} times)"),
    )


def _counted(sentences: Iterable[str], times: str) -> str:
    counts: dict[str, int] = {}
    for each in sentences:
        counts[each] = counts.get(each, 0) + 1
    return " ".join(times.format(each, number) if number > 1 else each for each, number in counts.items())


@resolves(Finding, "entries")
async def entries(parent: strawberry.Parent[Finding], info: In) -> Sequence[AccessEntry]:
    """The accesses, newest first."""
    context = context_of(info)
    return await log_review.shown(context, await log_review.search(context).at(parent.leaves, parent.organisation))


# ---------------------------------------------------------------- steps


async def request_explanation(context: Context, asked: RequestExplanationInput) -> FindingPayload:
    """Ask the official why."""
    note = None if asked.note is None else without_numbers(asked.note)
    return await _stepped(
        context,
        asked.finding,
        lambda record, actor: requested(record, actor, asked.due_at, note, context.now),
        judging=True,
    )


async def explain_access(context: Context, asked: ExplainAccessInput) -> FindingPayload:
    """The official says why."""
    text = without_numbers(asked.text)
    return await _stepped(context, asked.finding, lambda record, actor: explained(record, actor, text, context.now))


async def close_finding(context: Context, asked: CloseFindingInput) -> FindingPayload:
    """The verdict."""
    verdict, note = Verdict[asked.verdict.name], without_numbers(asked.note)
    return await _stepped(
        context,
        asked.finding,
        lambda record, actor: closed(record, actor, verdict, note, context.now),
        judging=True,
    )


async def _stepped(
    context: Context, sealed: str, step: Callable[[FindingRecord, StepActor], Step], *, judging: bool = False
) -> FindingPayload:
    """Take a step on the finding as it stands now; whoever was first wins, and the other looks again."""
    for _ in range(TRIES):
        record = await _visible(context, sealed)
        if record is None or (judging and Role.AUDITOR in context.viewer.roles):
            return FindingPayload(finding=None, refusal=Refusal(code=RefusalCode.NOT_ACCESSIBLE))
        try:
            taken = step(record, _actor(context, record.organisation))
            kept = await context.house.cases.findings().take(record, taken)
        except StepRefusedError as refused:
            said = Bilingual(refused.text_ko, refused.text_en)
            return FindingPayload(finding=None, refusal=Refusal(code=RefusalCode[refused.code], said=said))
        except ChangedMeanwhileError:
            continue
        return FindingPayload(finding=shown(context, kept), refusal=None)
    raise errors.error("OVERLOADED", "Others are working on this finding. Look at it again.", retryAfterSeconds=1)
