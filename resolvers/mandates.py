"""Giving and ending mandates: what one holder lets another do in their place, and how that stops at once."""

from datetime import UTC, datetime

from graphql import GraphQLError

from cases.store import Evidence, GiverEndedError, Grant, KeyReusedError, MandateRecord
from resolvers import case, errors, inputs, powers
from resolvers.authority import person_of
from resolvers.context import ASSURED, Attempt, Context, Hand
from schema.case import (
    CaseKind,
    GrantProxyInput,
    MandatePayload,
    MandateRole,
    Refusal,
    RefusalCode,
    RevokeMandateInput,
)
from schema.disclosure import Agency, Sensitivity
from schema.identifiers import CaseId, PersonId

PROXY_AGENCIES = frozenset(Agency) - {Agency.HEALTH}
"""What a proxy may ask (decision table D14)."""
PROXY_SENSITIVITY = Sensitivity.AMOUNT
LONGEST_REASON = 500


async def granted(context: Context, asked: GrantProxyInput) -> MandatePayload:
    """Let another registered person act for the viewer, who is an heir, on one case."""
    inputs.require_key(asked.idempotency_key)
    hand = await context.enter(asked.case, CaseKind.ESTATE)
    giver = hand.mandate
    if giver.role is not MandateRole.HEIR:
        return _refused(context, hand, RefusalCode.OUT_OF_SCOPE)
    if hand.shown.power.facts.assurance < ASSURED:
        return _refused(context, hand, RefusalCode.STEP_UP_REQUIRED)
    until = _until(asked.until, giver, context.now)
    holder = await inputs.looked_up(context, asked.holder, "holder", giver.purpose)
    if holder == context.viewer.person:
        raise errors.bad_input("input.holder", "Name somebody else.")
    if holder is None or not await _may_act(context, holder, giver):
        return _refused(context, hand, RefusalCode.NOT_ACCESSIBLE)
    proof = [giver.id, holder, until.isoformat()]
    grant = Grant(
        role=MandateRole.PROXY,
        holder=holder,
        purpose=giver.purpose,
        legal_basis="Civil Act 114",
        issued_by="The heir for whom the proxy acts",
        evidence=Evidence(
            kind="POWER_OF_ATTORNEY",
            issuer="The heir for whom the proxy acts",
            dated=context.now,
            assurance=context.viewer.assurance.name,
            hash=inputs.fingerprint(proof),
            verified_by="onestop",
        ),
        on_behalf_of=giver.holder,
        giver=giver.id,
        valid_until=until,
        agencies=PROXY_AGENCIES,
        sensitivity=PROXY_SENSITIVITY,
        justification="Given by the heir.",
    )
    request = inputs.request(context, asked.idempotency_key, ["proxy", *proof])
    try:
        record = await context.house.cases.granted(hand.case_id, grant, request, context.now)
    except KeyReusedError as reused:
        raise inputs.reused() from reused
    except GiverEndedError:
        return _refused(context, hand, RefusalCode.NOT_ACCESSIBLE)
    return _given(context, hand, record)


async def revoked(context: Context, asked: RevokeMandateInput) -> MandatePayload:
    """End a mandate: its holder or its giver may. It ends even when it cannot be shown that it did.

    Of a proxy of all heirs, each ends what they gave, and its holder all of it.
    """
    reason = asked.reason.strip()
    if not 0 < len(reason) <= LONGEST_REASON:
        raise errors.bad_input("input.reason", f"Give 1 to {LONGEST_REASON} characters.")
    parts = context.opened(asked.mandate, "Mandate")
    records = await _named(context, parts[1]) if parts else []
    mine = [each for each in records if context.viewer.person in {each.holder, each.on_behalf_of}]
    if not mine:
        context.attempts.append(Attempt(None, None, RefusalCode.NOT_ACCESSIBLE))
        return MandatePayload(mandate=None, refusal=Refusal(code=RefusalCode.NOT_ACCESSIBLE))
    record = mine[0]
    hand: Hand | GraphQLError
    try:  # entered before, since nobody enters on a mandate that they have just ended
        hand = await context.enter_case(record.case_id)
    except GraphQLError as unseen:
        hand = unseen
    for each in mine:
        context.ended.add(each.id)
        await context.house.cases.revoke(each.id, context.viewer.person, reason, context.now)
    context.house.policies.forget()
    context.house.changes.announce(record.case_id)
    if isinstance(hand, GraphQLError):
        raise hand
    ended = await context.house.cases.mandate(record.id)
    return _given(context, hand, ended or record)


async def _named(context: Context, mandate_id: str) -> list[MandateRecord]:
    """The mandate of this id; for a proxy of all heirs, those in force that make it."""
    cases = context.house.cases
    if not mandate_id.startswith(powers.JOINT):
        record = await cases.mandate(mandate_id)
        return [record] if record else []
    case_id, _, holder = mandate_id.removeprefix(powers.JOINT).partition("/")
    held = powers.held(await cases.mandates(CaseId(case_id)), PersonId(holder), context.now)
    return [each for each in held if each.giver is not None]


def _until(asked: datetime, giver: MandateRecord, now: datetime) -> datetime:
    """The end of a proxy: within a year, and no later than its giver's."""
    until = asked.replace(tzinfo=asked.tzinfo or UTC)
    leap = (now.month, now.day) == (2, 29)
    last = now.replace(year=now.year + 1, day=28 if leap else now.day)
    if giver.valid_until is not None:
        last = min(last, giver.valid_until)
    if not now < until <= last:
        raise errors.bad_input("input.until", f"Give a moment to come, {last.isoformat(timespec='seconds')} at most.")
    return until


async def _may_act(context: Context, holder: PersonId, giver: MandateRecord) -> bool:
    """Whether the register knows the person as somebody who can be named to the giver and can act."""
    found = person_of(await context.register(holder, giver.purpose.name))
    return found.death_date is None and not found.protected


def _given(context: Context, hand: Hand, record: MandateRecord) -> MandatePayload:
    return MandatePayload(
        mandate=case.mandate_of(context, record), refusal=None, ref=hand.case_id, subject=hand.record.subject
    )


def _refused(context: Context, hand: Hand, code: RefusalCode) -> MandatePayload:
    context.attempts.append(Attempt(hand.record.subject, hand.record, code))
    return MandatePayload(mandate=None, refusal=Refusal(code=code))
