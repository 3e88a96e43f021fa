"""The access log as persons see it: who looked at their data, or at a case of theirs. Officials are not named."""

import asyncio
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import strawberry
from graphql import GraphQLInterfaceType, GraphQLObjectType, GraphQLSchema, get_named_type, is_composite_type

from audit.entry import Access, Outcome, Records, leaf_hash
from audit.reading import EVERYTHING, Filter, Page
from audit.store import Placed
from audit.tiles import Covered
from auth.policy import Entries
from resolvers import authority, errors, officials, powers, sections
from resolvers.context import Context, Hand
from resolvers.plan import Part, Region
from schema.access import (
    AccessedFields,
    AccessEntry,
    AccessEntryConnection,
    AccessEntryEdge,
    AccessFilter,
    AccessOutcome,
    AccessTask,
    Actor,
    EntryIntegrity,
    PageInfo,
)
from schema.case import CaseKind, Purpose
from schema.disclosure import INHERITS, Agency, Disclosed, Sensitivity
from schema.identifiers import CaseId, PersonId
from schema.person import Person
from schema.scalars import Coordinate
from schema.viewer import Role

PROOF = frozenset({Coordinate("EntryIntegrity.checkpoint"), Coordinate("EntryIntegrity.inclusionProof")})
UUID_TEXT = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
PAGE = 100
"""Greatest number of entries on one page."""
EXPORTED = 1000
"""The same where the page leaves as a file."""
CAPACITIES = (Role.PRIVACY_OFFICER, Role.AUDITOR, Role.OFFICIAL, Role.SERVICE, Role.CITIZEN)
"""The one that weighs most first."""
CURSOR_LASTS = timedelta(hours=1)
"""A page is turned within this time: a cursor is no name for a place in the log."""


async def own(
    context: Context, where: AccessFilter | None, first: int | None, after: str | None
) -> AccessEntryConnection:
    """Accesses to the viewer's own data."""
    facts = authority.own_facts(context.viewer, context.now, sandbox=context.house.sandbox)
    verdict = context.house.policies.of_log(facts, Entries(about_self=True))
    if verdict.refusal is not None:
        raise errors.refused(verdict.refusal)
    reading = context.house.log.reading
    narrowed = _filter(context, where)
    mine = {record.id for record in await context.house.cases.cases_of(context.viewer.person)}

    def told(access: Access) -> bool:
        """What an entry is reduced by must not be found out by asking for it either."""
        return not access.is_hidden(context.now) and (
            not _is_reduced(access, mine) or not (narrowed.tells or narrowed.case_id)
        )

    page = await reading.of_person(
        context.viewer.person, narrowed, first=_first(context, first), before=_before(context, after), told=told
    )
    return await _connection(context, page, after)


async def of_case(context: Context, hand: Hand, first: int | None, after: str | None) -> AccessEntryConnection:
    """Accesses made in a case that was entered."""
    page = await context.house.log.reading.of_case(
        hand.case_id,
        EVERYTHING,
        first=_first(context, first),
        before=_before(context, after),
        told=lambda access: not access.is_hidden(context.now),
    )
    return await _connection(context, page, after)


async def entry(context: Context, entry_id: str) -> AccessEntry | None:
    """One entry about the viewer, or in a case of theirs; None for every other."""
    me = context.viewer.person
    cases = [record.id for record in await context.house.cases.cases_of(me)]
    placed = await context.house.log.reading.entry(entry_id, about=me, cases=cases)
    if placed is None or placed.entry.access.is_hidden(context.now):
        return None
    access = placed.entry.access
    if access.subject != me and not await _is_party(context, access.case_id):
        return None
    return (await _shown(context, [placed]))[0]


async def _is_party(context: Context, case_id: CaseId | None) -> bool:
    if case_id is None:
        return False
    mandates = await context.house.cases.mandates(case_id)
    held = powers.held(mandates, context.viewer.person, context.now)
    return any(officials.fits(context.viewer, mine.role) for mine in held)


def _first(context: Context, first: int | None) -> int:
    most = EXPORTED if context.asked.exports else PAGE
    if first is None or not 1 <= first <= most:
        raise errors.bad_input("first", f"Give a number from 1 to {most}.")
    return first


def _before(context: Context, after: str | None) -> int | None:
    if after is None:
        return None
    parts = context.opened(after, "LogCursor")
    if parts is None or len(parts) != 3:
        raise errors.bad_input("after", "Give a cursor of this log, or leave it out to start anew.")
    if context.now >= datetime.fromtimestamp(int(parts[2]), UTC) + CURSOR_LASTS:
        raise errors.bad_input("after", "This cursor is more than an hour old. Leave it out to start anew.")
    return int(parts[1])


def _filter(context: Context, where: AccessFilter | None) -> Filter:
    if where is None:
        return EVERYTHING
    if where.actor is not None:
        raise errors.bad_input("filter.actor", "Only privacy officers search by actor; leave it out.")
    if where.subject is not None:
        parts = context.opened(where.subject, "Person")
        if parts is None or parts[-1] != context.viewer.person:
            raise errors.bad_input("filter.subject", "Give your own id, or leave it out.")
    return filtered(context, where, "Give the id of a case of yours.")


def filtered(context: Context, where: AccessFilter, remedy: str) -> Filter:
    """What the log is searched by, persons apart; `remedy` is said where the case is none."""
    case = context.opened(where.case, *(kind.name for kind in CaseKind)) if where.case is not None else None
    if where.case is not None and case is None:
        raise errors.bad_input("filter.case", remedy)
    return Filter(
        since=where.from_,
        until=where.until,
        agency=where.agency.name if where.agency else None,
        coordinate=where.coordinate,
        purpose=where.purpose.name if where.purpose else None,
        outcome=Outcome[where.outcome.name] if where.outcome else None,
        min_sensitivity=where.min_sensitivity.name if where.min_sensitivity else None,
        case_id=CaseId(case[1]) if case else None,
    )


async def _connection(context: Context, page: Page, after: str | None) -> AccessEntryConnection:
    places = [(str(placed.leaf_index),) for placed in page.entries]
    entries = await _shown(context, page.entries)
    return connection(context, "LogCursor", zip(places, entries, strict=True), after, goes_on=page.next is not None)


def connection(
    context: Context,
    kind: str,
    entries: Iterable[tuple[tuple[str, ...], AccessEntry]],
    after: str | None,
    *,
    goes_on: bool,
) -> AccessEntryConnection:
    """A page of entries, each with its place, by which a cursor of this kind names it for a while."""
    now = str(int(context.now.timestamp()))
    edges = [AccessEntryEdge(cursor=context.sealed(kind, *place, now), node=each) for place, each in entries]
    return AccessEntryConnection(
        edges=edges,
        page_info=PageInfo(
            has_next_page=goes_on,
            has_previous_page=after is not None,
            start_cursor=edges[0].cursor if edges else None,
            end_cursor=edges[-1].cursor if edges else None,
        ),
        total_count=None,
    )


async def _shown(context: Context, placed: Iterable[Placed]) -> list[AccessEntry]:
    covered = await covered_by(context, placed := list(placed))
    mine = {record.id: record for record in await context.house.cases.cases_of(context.viewer.person)}
    shown = []
    for each, proof in zip(placed, covered, strict=True):
        access = each.entry.access
        known = mine.get(access.case_id) if access.case_id else None
        if _is_reduced(access, mine):
            shown.append(await _reduced(context, each, integrity(each, proof)))
            continue
        shown.append(
            AccessEntry(
                id=strawberry.ID(str(each.entry.id)),
                at=access.at,
                actor=_actor(context, access),
                on_behalf_of=_acted_for(context, access.on_behalf_of),
                client=access.client_id,
                subject=await _subject(context, access.subject),
                case=strawberry.ID(context.sealed(known.kind.name, known.id)) if known else None,
                case_number=known.number if known else None,
                purpose=Purpose[access.purpose] if access.purpose else None,
                legal_basis=access.legal_basis,
                operation_name=access.operation_name,
                document_hash=access.document_hash,
                task=AccessTask[access.task.name],
                outcome=AccessOutcome[access.outcome.name],
                disclosed=fields(context, access.disclosed, access.records),
                withheld=fields(context, access.withheld, {}),
                source_address=None,
                trace_id=None,
                integrity=integrity(each, proof),
            )
        )
    return shown


def _is_reduced(access: Access, mine: Collection[CaseId]) -> bool:
    """Whether it was made in somebody else's case: a look-up there can betray a will."""
    return access.case_id is not None and access.case_id not in mine


async def _reduced(context: Context, placed: Placed, integrity: EntryIntegrity) -> AccessEntry:
    """When, which organisation and how it ended. Citizens are no more than that: they may be known to the reader."""
    access = placed.entry.access
    return AccessEntry(
        id=strawberry.ID(str(placed.entry.id)),
        at=access.at,
        actor=_actor(context, access, known=capacity(access.roles) is not Role.CITIZEN),
        on_behalf_of=None,
        client=access.client_id,
        subject=await _subject(context, access.subject),
        case=None,
        case_number=None,
        purpose=None,
        legal_basis=None,
        operation_name=None,
        document_hash=None,
        task=AccessTask[access.task.name],
        outcome=AccessOutcome[access.outcome.name],
        disclosed=[],
        withheld=[],
        source_address=None,
        trace_id=None,
        integrity=integrity,
        reduced=True,
    )


def _actor(context: Context, access: Access, *, known: bool = True) -> Actor:
    """Who accessed, by no name: a pseudonym that another reader could not recognise."""
    me, viewer = context.viewer.person, PersonId(access.viewer)
    return Actor(
        kind=capacity(access.roles),
        name=None,
        office=None,
        agency=access.organisation or access.client_id,
        pseudonym=context.house.ids.pseudonym(viewer, me) if known and viewer != me else None,
    )


async def covered_by(context: Context, placed: Sequence[Placed]) -> Sequence[Covered | None]:
    """Proofs for entries, where the document asks for them."""
    published = context.house.published
    if published is None or not PROOF & context.plan.coordinates(Region.LOG):
        return [None for _ in placed]
    leaves = [(each.leaf_index, leaf_hash(each.entry.leaf)) for each in placed]
    return await asyncio.to_thread(published.covered, leaves)


def integrity(placed: Placed, covered: Covered | None) -> EntryIntegrity:
    """Where an entry lies in the tree, with the proof, if there is one."""
    return EntryIntegrity(
        leaf_index=str(placed.leaf_index),
        leaf_hash=leaf_hash(placed.entry.leaf).hex(),
        checkpoint=None if covered is None else covered.note,
        inclusion_proof=None if covered is None else [each.hex() for each in covered.path],
    )


async def _subject(context: Context, subject: PersonId | None) -> Person | None:
    """The person of an entry, where the viewer may know them: themself, or somebody of a case that was entered."""
    if subject is None:
        return None
    asked = context.plan.coordinates(Region.LOG)
    for hand in context.hands.values():
        if subject == hand.record.subject:
            may = sections.permitted(context, hand, {c for c in asked if c.startswith("Person.")})
            return context.person(subject, hand.register, may, hand.case_id)
    if subject != context.viewer.person:
        return None
    register = await context.register(subject, Purpose.SUBJECT_ACCESS.name)
    return context.person(subject, register, context.own_region().shown.allowed(Part.SELF))


def _acted_for(context: Context, somebody: str | None) -> str | None:
    """The viewer's own id where the actor acted for them; others are not told of."""
    me = context.viewer.person
    return context.sealed("Person", "", me) if somebody == me else None


def capacity(roles: Iterable[str]) -> Role:
    """The capacity that weighs most."""
    held = set(roles)
    return next((role for role in CAPACITIES if role.name in held), Role.CITIZEN)


def fields(context: Context, coordinates: Iterable[Coordinate], records: Mapping[str, Records]) -> list[AccessedFields]:
    """Leaf coordinates by agency and type; shared value types count to the agencies whose fields led to them."""
    all_ = set(coordinates)
    grouped: dict[tuple[Agency, str], list[tuple[Coordinate, Sensitivity]]] = defaultdict(list)
    for coordinate in sorted(all_):
        type_name = coordinate.partition(".")[0]
        if coordinate in context.house.leaves:
            for said in _disclosed(context, coordinate, type_name, all_):
                grouped[said.agency, type_name].append((coordinate, said.sensitivity))
    return [
        AccessedFields(
            agency=agency,
            type=type_name,
            coordinates=[c for c, _ in found],
            records=records[type_name].count if type_name in records else 1,
            max_sensitivity=max(sensitivity for _, sensitivity in found),
        )
        for (agency, type_name), found in sorted(grouped.items(), key=lambda item: (item[0][0].name, item[0][1]))
    ]


def _disclosed(context: Context, coordinate: Coordinate, type_name: str, all_: set[Coordinate]) -> Iterable[Disclosed]:
    if type_name not in INHERITS:
        said = context.house.disclosed.get(coordinate)
        return [said] if said else []
    by_agency: dict[Agency, Disclosed] = {}
    for via in all_:
        if context.house.leads_to.get(via) == type_name:
            for said in _disclosed(context, via, via.partition(".")[0], all_):
                known = by_agency.get(said.agency)
                if known is None or known.sensitivity < said.sensitivity:
                    by_agency[said.agency] = said
    return by_agency.values()


def shape(schema: GraphQLSchema) -> tuple[frozenset[Coordinate], dict[Coordinate, str]]:
    """The leaf coordinates of the graph, and the composite ones with the type they lead to."""
    leaves: set[Coordinate] = set()
    leads_to: dict[Coordinate, str] = {}
    for type_ in schema.type_map.values():
        if isinstance(type_, GraphQLObjectType | GraphQLInterfaceType) and not type_.name.startswith("__"):
            for name, field in type_.fields.items():
                named = get_named_type(field.type)
                if is_composite_type(named):
                    leads_to[Coordinate(f"{type_.name}.{name}")] = named.name
                else:
                    leaves.add(Coordinate(f"{type_.name}.{name}"))
    return frozenset(leaves), leads_to
