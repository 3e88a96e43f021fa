"""The ways into the graph."""

from dataclasses import dataclass
from typing import Annotated

import strawberry
from graphql import GraphQLError

from cases.store import Evidence, Grant, KeyReusedError
from connectors.registry import FamilyRegister
from resolvers import (
    authority,
    case,
    counter,
    emergency,
    errors,
    findings,
    inputs,
    log,
    log_review,
    mandates,
    sections,
    viewer,
)
from resolvers.authority import Claim
from resolvers.context import Attempt, Context
from resolvers.graph import In, context_of
from schema.access import AccessEntry, AccessEntryConnection, AccessFilter, Actor
from schema.birth import BirthCase
from schema.case import (
    BreakGlassInput,
    CaseKind,
    CaseUpdate,
    GrantProxyInput,
    MandatePayload,
    OpenBirthCaseInput,
    OpenCasePayload,
    OpenEstateCaseInput,
    PersonLookupInput,
    Purpose,
    Refusal,
    RefusalCode,
    RequestAnswersInput,
    RequestAnswersPayload,
    RevokeMandateInput,
)
from schema.disclosure import Agency
from schema.estate import EstateCase
from schema.fields import computed as entry
from schema.finding import (
    CloseFindingInput,
    ExplainAccessInput,
    FindingConnection,
    FindingFilter,
    FindingPayload,
    RequestExplanationInput,
)
from schema.identifiers import CaseId, PersonId
from schema.node import Node
from schema.person import Person
from schema.viewer import Viewer

PURPOSE = {CaseKind.ESTATE: Purpose.ESTATE_DISCOVERY, CaseKind.BIRTH: Purpose.BIRTH_BENEFITS}

CaseID = Annotated[
    strawberry.ID, strawberry.argument(description="Id of the case, as `cases` or an opening mutation gave it.")
]


@strawberry.type(description="Questions. One question, one answer from every agency it needs.")
class Query:
    @entry(description="Who is asking: the signed-in person or official, and the cases open to them.")
    async def viewer(self, info: In) -> Viewer:
        return viewer.viewer(context_of(info))

    @entry(
        description="Everything a deceased person leaves, as far as the viewer's mandate reaches. Unknown, foreign and "
        "protected cases all give null and one NOT_ACCESSIBLE error."
    )
    async def estate_case(self, info: In, id: CaseID) -> EstateCase | None:
        context = context_of(info)
        return await case.shown(context, await context.enter(id, CaseKind.ESTATE))  # type: ignore[return-value]

    @entry(
        description="Everything that follows from a birth. Unknown, foreign and protected cases all give null and one "
        "NOT_ACCESSIBLE error."
    )
    async def birth_case(self, info: In, id: CaseID) -> BirthCase | None:
        context = context_of(info)
        return await case.shown(context, await context.enter(id, CaseKind.BIRTH))  # type: ignore[return-value]

    @entry(
        description="The access log, the latest first. Privacy officers and auditors see accesses by their own "
        "organisation; everyone else sees accesses to their own data."
    )
    async def access_log(
        self,
        info: In,
        filter: Annotated[AccessFilter | None, strawberry.argument(description="Which entries; null for all.")] = None,
        first: Annotated[int | None, strawberry.argument(description="Greatest number of entries, 1 to 100.")] = 50,
        after: Annotated[str | None, strawberry.argument(description="Cursor after which to go on.")] = None,
    ) -> AccessEntryConnection:
        context = context_of(info)
        if log_review.reviews(context.viewer):
            return await log_review.page(context, filter, first, after)
        return await log.own(context, filter, first, after)

    @entry(
        description="One entry of the access log, by the id that the `Access-Log` header gives. "
        "Null unless it is about the viewer or a case of theirs, or of the organisation that the viewer reviews."
    )
    async def access_entry(
        self,
        info: In,
        id: Annotated[strawberry.ID, strawberry.argument(description="Id of the entry.")],
    ) -> AccessEntry | None:
        return await logged(context_of(info), id)

    @entry(
        description="Accesses that want a word of explanation, the latest first: of the organisation for its privacy "
        "officers, of themself for an official who was asked."
    )
    async def findings(
        self,
        info: In,
        filter: Annotated[
            FindingFilter | None, strawberry.argument(description="Which findings; null for all.")
        ] = None,
        first: Annotated[int | None, strawberry.argument(description="Greatest number of findings, 1 to 100.")] = 50,
        after: Annotated[str | None, strawberry.argument(description="Cursor after which to go on.")] = None,
    ) -> FindingConnection:
        return await findings.page(context_of(info), filter, first, after)

    @entry(description="Any case, log entry or finding by its id; null when it is not accessible.")
    async def node(
        self,
        info: In,
        id: Annotated[strawberry.ID, strawberry.argument(description="Id of a case, log entry or finding.")],
    ) -> Node | None:
        context = context_of(info)
        if log.UUID_TEXT.fullmatch(id):
            return await logged(context, id)
        if context.opened(id, "Finding"):
            return await findings.one(context, id)
        return await case.shown(context, await context.enter(id, *CaseKind))


async def logged(context: Context, entry_id: str) -> AccessEntry | None:
    """One entry of the log, as the viewer may see it."""
    if log_review.reviews(context.viewer):
        return await log_review.entry(context, entry_id)
    return await log.entry(context, entry_id)


# ---------------------------------------------------------------- opening a case


@dataclass(frozen=True, slots=True)
class Opening:
    """A case to be opened, whichever kind."""

    kind: CaseKind
    candidate: str | None
    lookup: PersonLookupInput | None
    lookup_name: str
    key: str


async def opened(context: Context, opening: Opening) -> OpenCasePayload:
    """Open the case of a person whose heir, parent or guardian the viewer is, or find it again.

    An official opens it for whom they act, and is its officer from then on.
    """
    inputs.require_key(opening.key)
    if (opening.candidate is None) == (opening.lookup is None):
        raise errors.bad_input("input", f"Give exactly one of candidate and {opening.lookup_name}.")
    subject = await _subject(context, opening)
    # Who is no relative of the applicant is as nobody: nothing more is asked about them.
    asker = counter.applicant(context.viewer)
    mine = await context.register(asker.person, PURPOSE[opening.kind].name)
    if not asker.claims or subject is None or subject not in mine.persons or context.viewer.case is not None:
        return _refused(context, subject, RefusalCode.NOT_ACCESSIBLE)
    register = await context.register(subject, PURPOSE[opening.kind].name)
    claim = authority.claim(opening.kind, register, asker.person, context.purposes)
    if claim is None:
        return _refused(context, subject, RefusalCode.NOT_ACCESSIBLE)
    _, refusal = viewer.standing(context, claim, register, asker.viewer)
    facts, assignment = ["open", opening.kind.name, subject], None
    purpose = claim.purpose
    if refusal is None and asker.at_counter:
        assignment, refusal = await counter.assignment(context, opening.kind, register)
        facts.append(asker.person)
        purpose = PURPOSE[opening.kind]
    if refusal is not None:
        return _refused(context, subject, refusal)
    context.require_purpose(purpose, Attempt(subject, None, RefusalCode.OUT_OF_SCOPE))
    request = inputs.request(context, opening.key, facts)
    try:
        record = await context.house.cases.opened_case(
            opening.kind, subject, _grant(context, claim, register, asker.person), request, context.now, assignment
        )
    except KeyReusedError as reused:
        raise inputs.reused() from reused
    context.created.add(subject)
    try:
        hand = await context.enter_case(record.id)
    except GraphQLError as error:
        if (error.extensions or {}).get("code") != RefusalCode.NOT_ACCESSIBLE.name:
            raise
        return OpenCasePayload(case=None, refusal=Refusal(code=RefusalCode.NOT_ACCESSIBLE))
    return OpenCasePayload(case=await case.shown(context, hand), refusal=None)


async def _subject(context: Context, opening: Opening) -> PersonId | None:
    """Whom the input names; None for nobody that we could name to the viewer."""
    if opening.candidate is not None:
        parts = context.opened(opening.candidate, "Person")
        return PersonId(parts[-1]) if parts else None
    if opening.lookup is None:
        return None
    return await inputs.looked_up(context, opening.lookup, opening.lookup_name, PURPOSE[opening.kind])


def _grant(context: Context, claim: Claim, register: FamilyRegister, holder: PersonId) -> Grant:
    events = [repr(sorted(map(str, each))) for each in (register.parentage, register.marriages, register.declarations)]
    return Grant(
        role=claim.role,
        holder=holder,
        purpose=claim.purpose,
        legal_basis=claim.legal_basis,
        issued_by="Family register",
        evidence=Evidence(
            kind="FAMILY_REGISTER",
            issuer="Family register",
            dated=context.now,
            assurance=context.viewer.assurance.name,
            hash=inputs.fingerprint(events),
            verified_by="onestop",
        ),
    )


def _refused(context: Context, subject: PersonId | None, code: RefusalCode) -> OpenCasePayload:
    context.attempts.append(Attempt(subject, None, code))
    return OpenCasePayload(case=None, refusal=Refusal(code=code))


OpenEstate = Annotated[OpenEstateCaseInput, strawberry.argument(description="Whose estate.")]
OpenBirth = Annotated[OpenBirthCaseInput, strawberry.argument(description="Which child.")]


@strawberry.type(description="Changes. Each takes an idempotency key: the same key gives the same answer.")
class Mutation:
    @entry(description="Open (or find again) the estate case of a deceased person. Same idempotencyKey, same answer.")
    async def open_estate_case(self, info: In, input: OpenEstate) -> OpenCasePayload:
        opening = Opening(CaseKind.ESTATE, input.candidate, input.deceased, "deceased", input.idempotency_key)
        return await opened(context_of(info), opening)

    @entry(description="Open (or find again) the birth case of a child. Same idempotencyKey, same answer.")
    async def open_birth_case(self, info: In, input: OpenBirth) -> OpenCasePayload:
        opening = Opening(CaseKind.BIRTH, input.candidate, input.child, "child", input.idempotency_key)
        return await opened(context_of(info), opening)

    @entry(
        description="Let another registered person act for the viewer, who is an heir, on a case: for at most a year, "
        "never for more than the viewer may see, and nothing of health. One given to the same person before ends."
    )
    async def grant_proxy(
        self, info: In, input: Annotated[GrantProxyInput, strawberry.argument(description="Case, person and end.")]
    ) -> MandatePayload:
        return await mandates.granted(context_of(info), input)

    @entry(
        description="End a mandate at once. Its holder may, and who gave it; proxies given out of it end with it. "
        "Ending it again changes nothing."
    )
    async def revoke_mandate(
        self, info: In, input: Annotated[RevokeMandateInput, strawberry.argument(description="Which, and why.")]
    ) -> MandatePayload:
        return await mandates.revoked(context_of(info), input)

    @entry(
        description="Declare an emergency (officials only): half an hour's look, up to amounts, at what the agencies "
        "hold of one person. It is reviewed every time."
    )
    async def break_glass(
        self, info: In, input: Annotated[BreakGlassInput, strawberry.argument(description="Whose case, and why.")]
    ) -> OpenCasePayload:
        return await emergency.declared(context_of(info), input)

    @entry(
        description="Ask the official of a finding why (privacy officers). Overdue answers go to the supervisor too."
    )
    async def request_explanation(
        self,
        info: In,
        input: Annotated[RequestExplanationInput, strawberry.argument(description="Which finding, until when.")],
    ) -> FindingPayload:
        return await findings.request_explanation(context_of(info), input)

    @entry(description="Say why (the official whom the finding is about).")
    async def explain_access(
        self,
        info: In,
        input: Annotated[ExplainAccessInput, strawberry.argument(description="Which finding, and the answer.")],
    ) -> FindingPayload:
        return await findings.explain_access(context_of(info), input)

    @entry(
        description="Judge a finding (privacy officers). A violation is found after the official was heard or let the "
        "due date pass; nobody judges a finding about themself."
    )
    async def close_finding(
        self,
        info: In,
        input: Annotated[CloseFindingInput, strawberry.argument(description="Which finding, the verdict, why.")],
    ) -> FindingPayload:
        return await findings.close_finding(context_of(info), input)

    @entry(
        description="The name behind the pseudonym of an official of the viewer's organisation (privacy officers and "
        "auditors). The reason stays in the log, and the official sees that the name was told."
    )
    async def reveal_actor(
        self,
        info: In,
        of: Annotated[strawberry.ID, strawberry.argument(description="Id of a log entry or finding of the official.")],
        reason: Annotated[str, strawberry.argument(description="Why, in 20 to 500 characters.")],
    ) -> Actor:
        return await log_review.revealed(context_of(info), of, reason)

    @entry(
        description="Who complains, as an id for `AccessFilter.subject` (privacy officers and auditors). Null when the "
        "register names nobody. The person sees that they were looked up, and why."
    )
    async def look_up_subject(
        self,
        info: In,
        person: Annotated[PersonLookupInput, strawberry.argument(description="The person's particulars.")],
        reason: Annotated[str, strawberry.argument(description="Why, in 20 to 500 characters.")],
    ) -> Person | None:
        return await log_review.looked_up(context_of(info), person, reason)

    @entry(
        description="Ask agencies again. Those that answer later get a new inquiry where their last answer is in; "
        "the others are asked at once."
    )
    async def request_answers(
        self,
        info: In,
        input: Annotated[RequestAnswersInput, strawberry.argument(description="Case and agencies.")],
    ) -> RequestAnswersPayload:
        context = context_of(info)
        inputs.require_key(input.idempotency_key)
        unknown = [agency.name for agency in input.agencies if agency not in sections.SIX]
        if unknown or not input.agencies:
            names = ", ".join(agency.name for agency in sections.SIX)
            raise errors.bad_input("input.agencies", f"Name some of {names}.")
        hand = await context.enter(input.case, *CaseKind)
        agencies = list(dict.fromkeys(input.agencies))
        facts = ["ask", *sorted(agency.name for agency in agencies)]
        request = inputs.request(context, input.idempotency_key, facts)
        try:
            first = await context.house.cases.once(request, hand.case_id, context.now)
        except KeyReusedError as reused:
            raise inputs.reused() from reused
        hand.whole.update(agencies)
        if first and Agency.FINANCE in agencies:
            hand.renewed.add(Agency.FINANCE)
        answers = await sections.answers(context, hand, agencies)
        return RequestAnswersPayload(answers=answers, refusal=None, ref=hand.case_id, subject=hand.record.subject)


# ---------------------------------------------------------------- watching a case


@dataclass(frozen=True, slots=True)
class Change:
    """What woke a subscription: an agency of a case."""

    case_id: CaseId
    agency: Agency


@strawberry.type(description="Events, as server-sent events.")
class Subscription:
    @entry(description="One event each time an agency's answer to the case changes.")
    async def case_updated(self, info: In, id: CaseID) -> CaseUpdate:
        context = context_of(info)
        change = info.root_value
        hand = await context.enter_case(change.case_id)
        hand.whole.add(change.agency)
        section = await sections.section(context, hand, change.agency)
        return CaseUpdate(
            case=await case.shown(context, hand),
            answer=section.answer,
            ref=hand.case_id,
            subject=hand.record.subject,
        )
