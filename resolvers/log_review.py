"""The access log as privacy officers and auditors read it: their own organisation's entries, never values (D37).

Officials go by a pseudonym, the same one throughout an organisation, until somebody asks for the name and says why.
Persons are an opaque id and nothing else. Every look is an entry of its own, with the filter among its variables, and
of the person whom it was narrowed to or whose name was told.
"""

import asyncio
import base64
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime

import strawberry

from audit.entry import Access
from audit.searching import Found, Place, Search, Wanted
from audit.store import Placed, microseconds
from audit.tiles import Covered
from auth.policy import Entries, Facts
from auth.viewer import Viewer
from resolvers import authority, errors, inputs
from resolvers.context import Attempt, Context, Review
from resolvers.log import CURSOR_LASTS, PAGE, UUID_TEXT, capacity, connection, covered_by, fields, filtered, integrity
from resolvers.redaction import without_numbers
from schema.access import (
    AccessEntry,
    AccessEntryConnection,
    AccessFilter,
    AccessOutcome,
    AccessTask,
    Actor,
)
from schema.case import PersonLookupInput, Purpose, RefusalCode
from schema.identifiers import CaseId, PersonId
from schema.person import Person
from schema.viewer import Role

REVIEWERS = (Role.PRIVACY_OFFICER, Role.AUDITOR)
SHORTEST, LONGEST = 20, 500


def reviews(viewer: Viewer) -> Role | None:
    """In which capacity the viewer reviews the log; None when in none."""
    return next((role for role in REVIEWERS if role in viewer.roles), None)


def organisation(context: Context, look: Review | None = None) -> str:
    """The organisation whose entries the viewer may read; the look is recorded. Raises what a viewer may be told."""
    viewer, role = context.viewer, reviews(context.viewer)
    facts = Facts(
        role=role.name if role else "NONE",
        purpose=Purpose.LOG_REVIEW,
        assurance=authority.ASSURANCE[viewer.assurance],
        fresh=authority.fresh(viewer, context.now),
        sender_bound=viewer.sender_bound,
        sandbox=context.house.sandbox,
    )
    verdict = context.house.policies.of_log(facts, Entries(own_agency=viewer.agency is not None))
    if verdict.refusal is not None or viewer.agency is None:
        code = verdict.refusal or RefusalCode.OUT_OF_SCOPE
        context.attempts.append(Attempt(None, None, code, verdict.policies))
        raise errors.refused(code)
    context.require_purpose(Purpose.LOG_REVIEW, Attempt(None, None, RefusalCode.OUT_OF_SCOPE))
    context.looked(look or Review())
    return viewer.agency


async def page(
    context: Context, where: AccessFilter | None, first: int | None, after: str | None
) -> AccessEntryConnection:
    """Entries of the officer's organisation."""
    organisation(context)
    wanted = await _wanted(context, where or AccessFilter())
    if wanted.subject is not None:
        context.looked(Review(wanted.subject, "person"))
    if first is None or not 1 <= first <= PAGE:
        raise errors.bad_input("first", f"Give a number from 1 to {PAGE}.")
    found = await search(context).page(wanted, first=first, before=_before(context, after))
    return await _connection(context, found, after)


async def entry(context: Context, entry_id: str) -> AccessEntry | None:
    """One entry of the officer's organisation; None for every other."""
    placed = await _entry(context, entry_id, organisation(context))
    if placed is None:
        return None
    subject = placed.entry.access.subject
    context.looked(Review(subject, None if subject is None else "person"))
    return (await shown(context, [placed]))[0]


def search(context: Context) -> Search:
    """The search over the log."""
    reading = context.house.log.reading
    return Search(reading.engine, reading.vault)


async def official_of(context: Context, named: str, field: str) -> PersonId:
    """The official whom an entry or a finding of the organisation is about."""
    here, official = context.viewer.agency, None
    if UUID_TEXT.fullmatch(named):
        placed = await _entry(context, named, here)
        official = PersonId(placed.entry.access.viewer) if placed else None
    elif parts := context.opened(named, "Finding"):
        record = await context.house.cases.findings().one(parts[1])
        official = record.official if record and record.organisation == here else None
    if official is None:
        raise errors.bad_input(field, "Give the id of a log entry or a finding of your organisation.")
    return official


async def revealed(context: Context, of: str, reason: str) -> Actor:
    """The name behind a pseudonym, for a reason that stays in the log; the official sees that it was told."""
    said = _worded(reason)
    here = organisation(context, Review(reason=said))
    official = await official_of(context, of, "of")
    context.looked(Review(official, "official", said))
    register = await context.register(official, Purpose.LOG_REVIEW.name)
    return Actor(kind=Role.OFFICIAL, name=register.persons[official].name, office=None, agency=here)


async def looked_up(context: Context, person: PersonLookupInput, reason: str) -> Person | None:
    """Who complains, as the log's filter takes them; None for nobody whom the register names."""
    said = _worded(reason)
    organisation(context, Review(reason=said, tells=True))
    subject = await inputs.looked_up(context, person, "person", Purpose.LOG_REVIEW)
    if subject is None:
        return None
    context.looked(Review(subject, "person", said, tells=True))
    return context.unnamed(subject)


def _worded(reason: str) -> str:
    said = " ".join(reason.split())
    if not SHORTEST <= len(said) <= LONGEST:
        raise errors.bad_input("reason", f"Say why, in {SHORTEST} to {LONGEST} characters; it stays in the log.")
    return without_numbers(said)


# ---------------------------------------------------------------- what is asked for


async def _entry(context: Context, entry_id: str, here: str | None) -> Placed | None:
    found = await context.house.log.reading.entry(entry_id)
    return found if found and here is not None and found.entry.access.organisation == here else None


async def _wanted(context: Context, where: AccessFilter) -> Wanted:
    return Wanted(
        organisation=context.viewer.agency or "",
        where=filtered(context, where, "Give the id of a case, as entries give it."),
        subject=await _subject(context, where.subject) if where.subject is not None else None,
        viewer=await official_of(context, where.actor, "filter.actor") if where.actor is not None else None,
    )


async def _subject(context: Context, named: str) -> PersonId:
    """A person by the id that entries give, or by the id of an entry about them."""
    if UUID_TEXT.fullmatch(named):
        placed = await _entry(context, named, context.viewer.agency)
        subject = placed.entry.access.subject if placed else None
    else:
        parts = context.opened(named, "Person")
        subject = PersonId(parts[-1]) if parts else None
    if subject is None:
        raise errors.bad_input("filter.subject", "Give `subject.id` of an entry, or the id of an entry about them.")
    return subject


def _before(context: Context, after: str | None) -> Place | None:
    if after is None:
        return None
    parts = context.opened(after, "ReviewCursor")
    if parts is None:
        raise errors.bad_input("after", "Give a cursor of this log, or leave it out to start anew.")
    if context.now >= datetime.fromtimestamp(int(parts[3]), UTC) + CURSOR_LASTS:
        raise errors.bad_input("after", "This cursor is more than an hour old. Leave it out to start anew.")
    return int(parts[1]), int(parts[2])


# ---------------------------------------------------------------- what is shown


async def _connection(context: Context, found: Found, after: str | None) -> AccessEntryConnection:
    places = [(str(microseconds(each.entry.access.at)), str(each.leaf_index)) for each in found.entries]
    entries = zip(places, await shown(context, found.entries), strict=True)
    return connection(context, "ReviewCursor", entries, after, goes_on=found.next is not None)


async def shown(context: Context, placed: Sequence[Placed]) -> list[AccessEntry]:
    """Entries as officers see them, and officials their own that are asked about."""
    proofs = await covered_by(context, placed)
    ids = {case for each in placed if (case := each.entry.access.case_id) is not None}
    records = await asyncio.gather(*(context.house.cases.case(each) for each in sorted(ids)))
    kinds = {record.id: record.kind.name for record in records if record}
    return [
        _shown(context, each, proof, kinds.get(each.entry.access.case_id or CaseId("")))
        for each, proof in zip(placed, proofs, strict=True)
    ]


def _shown(context: Context, placed: Placed, proof: Covered | None, kind: str | None) -> AccessEntry:
    access = placed.entry.access
    return AccessEntry(
        id=strawberry.ID(str(placed.entry.id)),
        at=access.at,
        actor=actor(context, access),
        on_behalf_of=context.sealed("Person", "", access.on_behalf_of) if access.on_behalf_of else None,
        client=access.client_id,
        subject=context.unnamed(access.subject) if access.subject else None,
        case=strawberry.ID(context.sealed(kind, access.case_id)) if kind and access.case_id else None,
        case_number=access.case_number,
        purpose=Purpose[access.purpose] if access.purpose else None,
        legal_basis=access.legal_basis,
        operation_name=access.operation_name,
        document_hash=access.document_hash,
        task=AccessTask[access.task.name],
        outcome=AccessOutcome[access.outcome.name],
        disclosed=fields(context, access.disclosed, access.records),
        withheld=fields(context, access.withheld, {}),
        source_address=access.source_address,
        trace_id=access.trace_id,
        integrity=integrity(placed, proof),
    )


def actor(context: Context, access: Access) -> Actor:
    """Who accessed, under their pseudonym."""
    here = access.organisation or access.client_id
    return Actor(
        kind=capacity(access.roles),
        name=pseudonym(context, here, PersonId(access.viewer)),
        office=access.office,
        agency=here,
    )


def pseudonym(context: Context, here: str, official: PersonId) -> str:
    """What an organisation calls an official who is not named: the same for everybody who reads there."""
    named = context.house.ids.sealed(here, "Pseudonym", official)
    code = base64.b32encode(hashlib.sha256(named.encode()).digest()).decode()
    return f"{code[:4]}-{code[4:8]}"
