"""One operation, from a valid document to what may leave: viewer, plan, execution, witness, recheck, entries, reply.

Resolvers neither check rights nor log. Both happen here, once: before the execution the plan says what is read, cases
rule on it as they are entered; after it the witness reads off what the answer tells, the mandates are looked at once
more, and the entries are durable before the first byte is handed out.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog
from graphql import ExecutionResult, GraphQLError, GraphQLSchema, OperationType, execute, value_from_ast_untyped
from graphql.execution.values import get_variable_values

from audit.entry import Access, Outcome, Records, Task
from audit.entry import selection as selection_of
from audit.writer import LogUnavailable, Receipt
from auth.challenge import challenges
from auth.dpop import Shown
from auth.token import LEEWAY, ProofUnknownError, UnauthenticatedError
from auth.viewer import Viewer
from resolvers import errors, silence
from resolvers.context import Attempt, Context, Hand, Review
from resolvers.documents import Documents
from resolvers.execution import ProjectingExecutor
from resolvers.house import House
from resolvers.operation_types import Asked, FastPath, Reply
from resolvers.plan import Part, Plan, Plans, Region
from resolvers.recheck import taken_back
from resolvers.recording import RecordingExecutor
from resolvers.redaction import redacted, without_numbers
from resolvers.roots import Change
from resolvers.sections import SUMMARY_READS, permitted
from resolvers.trusted import Readings, Trust
from resolvers.visibility import delayed
from resolvers.whole import Whole, whole
from resolvers.witness import Leak, Seen, Subject, Witness
from schema.answer import AnswerStatus
from schema.case import CaseKind, Purpose, RefusalCode
from schema.disclosure import Agency, Sensitivity
from schema.identifiers import CaseId, PersonId
from schema.scalars import Coordinate

WHOLE = "whole"
"""Where a plan keeps its operation compiled."""
SUMMARY = Coordinate("EstateCase.summary")
GREATEST_FIRST = sorted(Sensitivity, reverse=True)
ROLES = {Part.PERSON: {CaseKind.ESTATE: "deceased", CaseKind.BIRTH: "child"}}
"""The words of the access log for the case's person; other parts are called by their own value."""

log = structlog.get_logger()


class Graph:
    """The engine behind serving: answers operations of one schema for one house."""

    def __init__(
        self, schema: GraphQLSchema, documents: Documents, house: House, *, fast_path: FastPath = FastPath.ON
    ) -> None:
        self._as_a_whole = fast_path is FastPath.ON
        self._executor = RecordingExecutor if fast_path is FastPath.OFF else ProjectingExecutor
        self._schema = schema
        self._house = house
        self._plans = Plans(schema, house.disclosed)
        self._running: set[asyncio.Task[Reply]] = set()
        house.log.under_way = lambda: len(self._running)
        self._trust = Trust(house.cases.documents, Readings(schema, house.disclosed), house.schema_hash)
        self.documents = documents

    async def answer(self, asked: Asked) -> Reply:
        """Answer a query or a mutation. It is finished, and its entries written, even when nobody waits any more."""
        task = asyncio.ensure_future(self._answered(asked))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def _answered(self, asked: Asked) -> Reply:
        began = asyncio.get_running_loop().time()
        prepared = self._prepared(asked)
        if isinstance(prepared, Reply):
            return prepared
        plan, variables = prepared
        if plan.operation.operation is OperationType.SUBSCRIPTION:
            return _request_error(errors.bad_input("Accept", "Ask for a subscription with Accept: text/event-stream."))
        if plan.asks_nobody and not self._needs_trust(asked):
            result = await self._executed(asked, None, None)
            return Reply(result.data, has_data=True, errors=[_formatted(each) for each in result.errors or ()])
        admitted = await self._admitted(asked)
        if isinstance(admitted, Reply):
            return admitted
        viewer, purposes = admitted
        context = Context.begun(self._house, viewer, asked, plan, purposes)
        reply = await self._replied(context, variables, None)
        if any(attempt.code is RefusalCode.NOT_ACCESSIBLE for attempt in context.attempts):
            await silence.until_the_next_line(began)
        return reply

    async def _admitted(self, asked: Asked, *, still: bool = False) -> tuple[Viewer, frozenset[Purpose] | None] | Reply:
        """Who asks, and for what their client may ask this document; `still` on a stream that has begun."""
        viewer = await self._viewer(asked, still=still)
        if isinstance(viewer, Reply):
            return viewer
        purposes = await self._purposes(asked, viewer)
        return purposes if isinstance(purposes, Reply) else (viewer, purposes)

    def _needs_trust(self, asked: Asked) -> bool:
        return asked.by_id or self.documents.trusted_only

    async def _purposes(self, asked: Asked, viewer: Viewer) -> frozenset[Purpose] | Reply | None:
        """For what the viewer's client may ask this document; None where any document will do."""
        if not self._needs_trust(asked):
            return None
        try:
            return await self._trust.purposes(asked.document, viewer.client)
        except GraphQLError as untrusted:
            return _request_error(untrusted)

    def _prepared(self, asked: Asked) -> tuple[Plan, Any] | Reply:
        """The plan and the coerced variables, or the error in the request."""
        operation = asked.document.operation(asked.operation_name)
        if operation is None:
            names = ", ".join(sorted(name for name in asked.document.operations if name))
            return _request_error(errors.bad_input("operationName", f"Name one of the document's operations: {names}."))
        coerced = get_variable_values(self._schema, operation.variable_definitions or (), asked.variables)
        if isinstance(coerced, list):
            return _request_error(*(_as_bad_input(each) for each in coerced))
        return self._plans.plan(asked.document, operation, coerced.coerced), coerced

    async def _viewer(self, asked: Asked, *, still: bool = False) -> Viewer | Reply:
        """Who asks; `still` on a stream that began with a good proof."""
        tokens, now = self._house.tokens, self._house.clock()
        try:
            if still:
                return await tokens.viewer_still(asked.authorization, now)
            return await tokens.viewer(asked.authorization, now, Shown(asked.dpop, asked.method, asked.url))
        except ProofUnknownError:
            unknown = errors.error("OVERLOADED", "The proof cannot be checked now, so nothing is shown. Try again.")
            return Reply(None, has_data=False, errors=[_formatted(unknown)], status=503, headers={"Retry-After": "5"})
        except UnauthenticatedError as wrong:
            told = {"error": wrong.error, "error_description": wrong.description} if wrong.error else {}
            return Reply(
                None,
                has_data=False,
                errors=[_formatted(errors.error("UNAUTHENTICATED", wrong.description))],
                status=401,
                headers={"WWW-Authenticate": challenges(tokens, asked.url, wrong.scheme, **told)},
            )

    def _stepped_up(self, context: Context, reply: Reply) -> Reply:
        """The reply; as 401 when a stronger or fresher sign-in is all that it takes to be shown anything at all."""
        fields = [key for key, field in context.plan.fields.of_root(context.plan).items() if field.name != "__typename"]
        wanting = {each["path"][0] for each in reply.errors if _wants_step_up(each)}
        only_that = bool(wanting) and wanting == set(fields) and all(map(_wants_step_up, reply.errors))
        shown = any((reply.data or {}).get(key) is not None for key in fields)
        return self._challenged(context, reply) if only_that and not shown else reply

    def _challenged(self, context: Context, reply: Reply) -> Reply:
        """401 with the challenge of RFC 9470 §3."""
        challenge = challenges(
            self._house.tokens,
            context.asked.url,
            "DPoP" if context.viewer.sender_bound else "Bearer",
            error="insufficient_user_authentication",
            error_description=reply.errors[0]["message"],
            acr_values=errors.STRONGEST,
            max_age=str(errors.FRESH_S),
        )
        return replace(reply, status=401, headers={"WWW-Authenticate": challenge})

    async def _answered_whole(self, context: Context, variables: Any) -> ExecutionResult | None:
        """The answer of an operation that is compiled as a whole; None where graphql-core has to give it."""
        compiled = context.plan.compiled
        if WHOLE not in compiled:
            compiled[WHOLE] = self._whole(context)
        data = await compiled[WHOLE].answered(context, variables) if compiled[WHOLE] else None
        return ExecutionResult(data, None) if data is not None else None

    def _whole(self, context: Context) -> Whole | None:
        asked = context.asked
        executor = self._executor.build(
            self._schema,
            asked.document.node,
            context_value=context,
            raw_variable_values=asked.variables,
            operation_name=asked.operation_name,
        )
        return None if isinstance(executor, list) else whole(executor, context.plan)

    async def _executed(self, asked: Asked, context: Context | None, root: Any) -> ExecutionResult:
        result = execute(
            self._schema,
            asked.document.node,
            root_value=root,
            context_value=context,
            variable_values=asked.variables,
            operation_name=asked.operation_name,
            executor_class=self._executor if context is not None else None,
        )
        return result if isinstance(result, ExecutionResult) else await result

    # ------------------------------------------------------------ from the answer to the reply

    async def _replied(self, context: Context, variables: Any, root: Any) -> Reply:
        result = await self._answered_whole(context, variables) if self._as_a_whole else None
        if result is None:
            result = await self._executed(context.asked, context, root)
        problems = [_formatted(each) for each in result.errors or ()]
        data, seen = result.data, {}
        try:
            rulings: dict[Any, Any] = {**context.hands, **context.own}
            if context.viewer.person not in rulings:
                rulings[context.viewer.person] = None
            seen = Witness(context.plan, context.completed, rulings, context.viewer.person).look(data)
        except Leak as leak:
            data, problems = None, [_incident(leak, coordinate=str(leak))]
        except Exception as error:
            data, problems = None, [_incident(error)]
        if data is not None and not await self._still_entitled(context):
            data, seen, problems = None, {}, [_formatted(errors.refused(RefusalCode.NOT_ACCESSIBLE))]
        if data is not None and (changed := await taken_back(context)):
            data, seen, problems = None, {}, [_formatted(changed)]
        if data is not None and isinstance(untrusted := await self._purposes(context.asked, context.viewer), Reply):
            data, seen, problems = None, {}, list(untrusted.errors)
        try:
            receipts = await self._logged(context, seen if data is not None else {})
        except LogUnavailable:
            unavailable = errors.error(
                "LOG_UNAVAILABLE", "The access log cannot be written, so nothing is shown. Try again."
            )
            return Reply(
                None, has_data=False, errors=[_formatted(unavailable)], status=503, headers={"Retry-After": "5"}
            )
        await self._noted(context)
        reply = Reply(
            data,
            has_data=True,
            errors=problems,
            extensions={"access": {"receipts": [_receipt(each) for each in receipts]}} if receipts else {},
            entry_ids=[str(each.entry_id) for each in receipts],
        )
        return self._stepped_up(context, reply)

    async def _logged(self, context: Context, seen: Mapping[Subject, Seen]) -> Sequence[Receipt]:
        """Raise LogUnavailable."""
        return await self._house.log.append(await delayed(accesses(context, seen), self._house.cases.delays()))

    async def _still_entitled(self, context: Context) -> bool:
        """Look again just before release: a mandate revoked, or a token run out, while agencies were asked."""
        now = self._house.clock()
        if context.viewer.expires_at + LEEWAY <= now:
            return False
        mandates = {each for hand in context.hands.values() for each in hand.mandate.rests_on} - context.ended
        if mandates and not await self._house.cases.still_active(mandates, now):
            return False
        if not any(hand.shown.power.facts.on_duty for hand in context.hands.values()):
            return True
        try:
            return await context.duty_now() == await context.duty()
        except GraphQLError:
            return False

    async def _noted(self, context: Context) -> None:
        """Remember how agencies stand, and wake who watches."""
        for hand in context.hands.values():
            said = {
                agency: answer.status
                for agency, answer in hand.answers.items()
                if answer.status is not AnswerStatus.REFUSED
            }
            if said and await self._house.cases.note(hand.case_id, said, context.now, hand.standings):
                self._house.changes.announce(hand.case_id)

    # ------------------------------------------------------------ subscriptions

    async def subscribe(self, asked: Asked) -> Reply | AsyncIterator[Reply]:
        """Events of a case; each is an operation of its own, with its own ruling and entries."""
        prepared = self._prepared(asked)
        if isinstance(prepared, Reply):
            return prepared
        plan, variables = prepared
        admitted = await self._admitted(asked)
        if isinstance(admitted, Reply):
            return admitted
        viewer, purposes = admitted
        if plan.operation.operation is not OperationType.SUBSCRIPTION:
            return _one(await self._replied(Context.begun(self._house, viewer, asked, plan, purposes), variables, None))
        field = next(iter(plan.fields.of_root(plan).values()))
        if field.name.startswith("__"):
            return _request_error(errors.bad_input("query", "Subscribe to caseUpdated."))
        sealed = _argument(field.nodes[0], variables)
        context = Context.begun(self._house, viewer, asked, plan, purposes)
        try:
            hand = await context.enter(sealed, *CaseKind)
        except GraphQLError as refusal:
            return await self._refused_stream(context, refusal)
        return self._events(asked, plan, variables, hand, hand.standings)

    async def _refused_stream(self, context: Context, refusal: GraphQLError) -> Reply:
        try:
            receipts = await self._logged(context, {})
        except LogUnavailable:
            receipts = ()
        said = _formatted(refusal)
        reply = Reply(None, has_data=False, errors=[said], entry_ids=[str(r.entry_id) for r in receipts])
        return self._challenged(context, reply) if _wants_step_up(said) else reply

    async def _events(
        self, asked: Asked, plan: Plan, variables: Any, hand: Hand, known: Mapping[Agency, AnswerStatus]
    ) -> AsyncIterator[Reply]:
        case_id, told = hand.case_id, dict(known)
        while True:
            admitted = await self._admitted(asked, still=True)
            if isinstance(admitted, Reply):
                yield replace(admitted, status=200)
                return
            viewer, purposes = admitted
            if not await self._house.cases.still_active(hand.mandate.rests_on, self._house.clock()):
                context = Context.begun(self._house, viewer, asked, plan, purposes)
                context.attempts.append(Attempt(hand.record.subject, hand.record, RefusalCode.NOT_ACCESSIBLE))
                yield await self._refused_stream(context, errors.refused(RefusalCode.NOT_ACCESSIBLE))
                return
            current = await self._house.cases.standings(case_id)
            for agency in [agency for agency, status in current.items() if told.get(agency) is not status]:
                context = Context.begun(self._house, viewer, asked, plan, purposes)
                reply = await asyncio.shield(
                    asyncio.ensure_future(self._replied(context, variables, Change(case_id, agency)))
                )
                yield reply
                if reply.data is None:
                    return
                told[agency] = (await self._house.cases.standings(case_id))[agency]
            await self._house.changes.wait(case_id, self._house.limits.watch_every_s)


async def _one(reply: Reply) -> AsyncIterator[Reply]:
    yield reply


def _argument(node: Any, variables: Any) -> str:
    value = value_from_ast_untyped(node.arguments[0].value, variables.coerced)
    return value if isinstance(value, str) else ""


# ---------------------------------------------------------------- entries


def accesses(context: Context, seen: Mapping[Subject, Seen]) -> Iterable[Access]:
    """One entry per person whose data the operation touched, and one for each attempt that was refused."""
    merged: dict[tuple[PersonId, CaseId | None, Part], Seen] = {}
    regions: dict[tuple[PersonId, CaseId | None, Part], set[Region]] = {}
    for hand in context.hands.values():
        merged[hand.record.subject, hand.case_id, Part.PERSON] = Seen()
        regions[hand.record.subject, hand.case_id, Part.PERSON] = {hand.region}
    reviewed = Seen()
    for subject, told in seen.items():
        if context.reviews and subject.region is Region.LOG:
            whole = reviewed
        else:
            key = (subject.person, subject.case_id, subject.part)
            regions.setdefault(key, set()).add(subject.region)
            whole = merged.setdefault(key, Seen())
        whole.disclosed |= told.disclosed
        whole.null |= told.null
        whole.failed |= told.failed
        whole.withheld |= told.withheld
        for type_name, keys in told.records.items():
            whole.records[type_name] |= keys
    for key, told in merged.items():
        yield _access(context, key, regions[key], told)
    for review in context.reviews.values():
        yield _looked(context, review, reviewed)
    for attempt in context.attempts:
        yield _attempted(context, attempt)


def _access(context: Context, key: tuple[PersonId, CaseId | None, Part], regions: set[Region], told: Seen) -> Access:
    person, case_id, part = key
    hand = context.hands.get(case_id) if case_id else None
    read: set[Coordinate] = set()
    for region in regions:
        read |= context.plan.coordinates(region, part)
    own = context.own.get(person)
    shown = hand.shown if hand else own.shown if own else None
    withheld = (told.withheld | (shown.withheld_of(part) if shown else frozenset())) & read
    touched = told.disclosed | told.null
    if unplanned := (touched | told.failed) - read:
        log.error("unplanned", coordinates=sorted(unplanned))  # recorded all the same: the witness has the last word
        read |= unplanned
    if touched:
        outcome = Outcome.PARTIAL if withheld or told.failed else Outcome.DISCLOSED
    else:
        outcome = Outcome.REFUSED if withheld else Outcome.FAILED
    is_main = hand is not None and part is Part.PERSON
    derived: frozenset[Coordinate] = frozenset()
    if hand is not None and SUMMARY in told.disclosed:
        derived = permitted(context, hand, SUMMARY_READS) - told.disclosed
    return _entry(
        context,
        hand,
        task=_task(context, person, regions),
        selection=selection_of(context.house.schema_hash, read | derived),
        subject=person,
        subject_role=ROLES[part][hand.record.kind] if is_main and hand else part.value,
        records={name: Records(len(keys), tuple(sorted(keys))) for name, keys in told.records.items()},
        answers={agency.name: answer.status.name for agency, answer in hand.answers.items()}
        if is_main and hand
        else {},
        disclosed=told.disclosed,
        null=told.null,
        withheld=withheld,
        failed=told.failed,
        derived=derived,
        sensitivity=_greatest(context, touched),
        purpose=None if hand else "SUBJECT_ACCESS",
        legal_basis=None if hand else "PIPA 35",
        outcome=outcome,
        policy_ids=tuple(sorted({*(shown.policies if shown else ()), *(hand.basis if hand else ())})),
    )


def _looked(context: Context, review: Review, told: Seen) -> Access:
    """A look at the log by who reviews it. Of persons it shows that they are the same one and nothing else."""
    withheld = frozenset(c for c in told.null if c.startswith("Person."))
    touched = (told.disclosed | told.null) - withheld
    told_anything = bool(touched) or review.tells
    outcome = (Outcome.PARTIAL if withheld else Outcome.DISCLOSED) if told_anything else Outcome.FAILED
    nothing: frozenset[Coordinate] = frozenset()
    basis = "log-review"
    return _entry(
        context,
        None,
        task=Task.SEARCH if review.tells else Task.LOG_VIEW,
        selection=selection_of(context.house.schema_hash, context.plan.coordinates(Region.LOG) | touched | withheld),
        subject=review.subject,
        subject_role=review.role,
        records={},
        answers={},
        disclosed=told.disclosed,
        null=told.null - withheld,
        withheld=withheld,
        failed=nothing,
        sensitivity=_greatest(context, touched),
        purpose=Purpose.LOG_REVIEW.name,
        legal_basis=context.house.policies.said(basis)["legal_basis"],
        outcome=outcome,
        policy_ids=(basis,),
        reason=review.reason,
    )


def _attempted(context: Context, attempt: Attempt) -> Access:
    nothing: frozenset[str] = frozenset()
    read: set[Coordinate] = set()
    for region in (Region.ESTATE, Region.BIRTH):
        read |= context.plan.coordinates(region)
    case_ = attempt.case
    access = _entry(
        context,
        None,
        task=_task(context, attempt.subject, ()),
        selection=selection_of(context.house.schema_hash, read),
        subject=attempt.subject,
        subject_role=ROLES[Part.PERSON].get(case_.kind) if case_ else None,
        records={},
        answers={},
        disclosed=nothing,
        null=nothing,
        withheld=frozenset(read) if attempt.code else nothing,
        failed=nothing if attempt.code else frozenset(read),
        sensitivity=None,
        purpose=case_.purpose.name if case_ else None,
        legal_basis=None,
        outcome=Outcome.REFUSED if attempt.code else Outcome.FAILED,
        policy_ids=attempt.policies,
        reason=attempt.reason,
    )
    return replace(access, case_id=case_.id, case_number=case_.number) if case_ else access


def _entry(context: Context, hand: Hand | None, **told: Any) -> Access:
    viewer, asked = context.viewer, context.asked
    told = {"reason": hand.reason if hand else None} | told
    if hand is not None:
        told |= {"purpose": hand.mandate.purpose.name, "legal_basis": hand.mandate.legal_basis}
    operation = context.plan.operation
    return Access(
        operation=context.operation,
        at=context.now,
        operation_name=without_numbers(operation.name.value) if operation.name else None,
        document_hash=asked.document.hash,
        case_id=hand.case_id if hand else None,
        case_number=hand.record.number if hand else None,
        organisation=viewer.agency,
        policy_set_hash=context.house.policies.hash,
        viewer=viewer.person,
        roles=tuple(sorted(role.name for role in viewer.roles)),
        office=viewer.office,
        agency=viewer.agency,
        on_behalf_of=(hand.mandate.on_behalf_of if hand else None) or viewer.on_behalf_of,
        session=viewer.token_id,
        assurance=viewer.assurance.name,
        client_id=viewer.client,
        source_address=asked.source_address,
        variables=redacted(asked.variables, asked.document.node, asked.document.text),
        trace_id=asked.trace_id,
        request_id=asked.request_id,
        **told,
    )


def _task(context: Context, person: PersonId | None, regions: Collection[Region]) -> Task:
    if context.asked.exports:
        return Task.EXPORT
    if Region.LOG in regions:
        return Task.LOG_VIEW
    if context.plan.operation.operation is not OperationType.MUTATION:
        return Task.VIEW
    opens = any(field.name.startswith("open") for field in context.plan.fields.of_root(context.plan).values())
    return Task.CREATE if opens or person in context.created else Task.UPDATE


def _greatest(context: Context, coordinates: Iterable[Coordinate]) -> str | None:
    return next(
        (each.name for each in GREATEST_FIRST if not context.house.so_sensitive(each).isdisjoint(coordinates)), None
    )


# ---------------------------------------------------------------- errors and receipts


def _receipt(receipt: Receipt) -> Mapping[str, str]:
    return {"id": str(receipt.entry_id), "leafHash": receipt.leaf_hash, "signature": receipt.signature}


def _request_error(*found: GraphQLError) -> Reply:
    return Reply(None, has_data=False, errors=[_formatted(each) for each in found])


def _wants_step_up(found: Mapping[str, Any]) -> bool:
    return bool(found["extensions"]["code"] == RefusalCode.STEP_UP_REQUIRED.name)


def _as_bad_input(found: GraphQLError) -> GraphQLError:
    found.extensions = {**(found.extensions or {}), "code": "BAD_INPUT"}
    return found


def _formatted(found: GraphQLError) -> Mapping[str, Any]:
    """An error as it is sent. What we did not foresee says nothing but where it can be found."""
    if found.extensions and "code" in found.extensions:
        return found.formatted
    cause = found.original_error
    if cause is None or isinstance(cause, GraphQLError):
        return _as_bad_input(found).formatted
    return {**_incident(cause), "path": found.path, "locations": found.formatted.get("locations")}


def _incident(cause: BaseException, **where: str) -> Mapping[str, Any]:
    incident = str(uuid.uuid4())
    frames = [f"{frame.tb_frame.f_code.co_filename.rpartition('/')[2]}:{frame.tb_lineno}" for frame in _trace(cause)]
    log.error("incident", incident=incident, error=cause, at=frames[-4:], **where)
    return {
        "message": f"Something broke on our side. Quote incident {incident}.",
        "extensions": {"code": "INTERNAL", "incident": incident},
    }


def _trace(cause: BaseException) -> Iterable[Any]:
    at = cause.__traceback__
    while at is not None:
        yield at
        at = at.tb_next
