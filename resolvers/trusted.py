"""Trusted documents: what a document reads, whether an approval still holds for that, and who may ask it for what.

A document is answered for a client and purpose while enough privacy officers stand by it: one, or two when it reads
special categories. Each approval is about the disclosures that the officer saw. When the graph changes and a field of
the document tells more than it did, the approval is suspended until it is given again.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final
from weakref import WeakKeyDictionary

import msgspec
from graphql import GraphQLError, GraphQLSchema, OperationType

from auth.policy import Need
from auth.rows import Row, Rows
from cases.documents import Approval, DocumentStore
from resolvers import errors
from resolvers.documents import Document
from resolvers.plan import Plans, Read, Region, need
from resolvers.sections import SIX, SUMMARY_READS
from schema.case import Purpose
from schema.disclosure import Agency, Disclosed, Sensitivity
from schema.scalars import Coordinate

OWN: Final = frozenset({Region.SELF, Region.LOG})
"""Regions of the viewer's own data, which is read for that purpose whatever the document's is."""
SUMMARY: Final = Coordinate("EstateCase.summary")


class State(Enum):
    """Where a document stands."""

    PENDING = "PENDING"
    APPROVED = "APPROVED"
    SUSPENDED = "SUSPENDED"
    REVOKED = "REVOKED"
    INVALID = "INVALID"


@dataclass(frozen=True, slots=True)
class Standing:
    """The state, why, and what to do about it; `approvers` whose approvals hold."""

    state: State
    reason: str | None = None
    approvers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """What a document reads, all operations and conditions together. `derived`: what its summary is computed from."""

    disclosures: Mapping[Coordinate, Disclosed]
    derived: Mapping[Coordinate, Disclosed]
    undisclosed: tuple[Coordinate, ...]
    agencies: tuple[Agency, ...]
    needs: frozenset[Need]
    own_needs: frozenset[Need]

    @property
    def everything(self) -> Mapping[Coordinate, Disclosed]:
        """What an approval is about."""
        return {**self.derived, **self.disclosures}

    @property
    def approvers_needed(self) -> int:
        """How many privacy officers have to agree."""
        return 2 if any(each.sensitivity is Sensitivity.SPECIAL for each in self.everything.values()) else 1

    def rows(self, rows: Rows, purpose: Purpose) -> list[Row]:
        """The rows of the decision table that can apply."""
        own = rows.applying(Purpose.SUBJECT_ACCESS, self.own_needs)
        return sorted({*rows.applying(purpose, self.needs), *own})

    def encoded(self) -> str:
        """As an approval keeps it."""
        said = {name: [d.agency.name, d.sensitivity.name, d.third_party] for name, d in sorted(self.everything.items())}
        return msgspec.json.encode(said).decode()


def decoded(disclosures: str) -> Mapping[Coordinate, Disclosed]:
    """What an approval kept."""
    said = msgspec.json.decode(disclosures, type=dict[str, tuple[str, str, bool]])
    return {Coordinate(name): Disclosed(Agency[a], Sensitivity[s], t) for name, (a, s, t) in said.items()}


class Readings:
    """Readings by document, made once."""

    def __init__(self, schema: GraphQLSchema, disclosed: Mapping[Coordinate, Disclosed]) -> None:
        self._plans = Plans(schema, disclosed)
        self._disclosed = disclosed
        self._made: WeakKeyDictionary[Document, Reading] = WeakKeyDictionary()

    def of(self, document: Document) -> Reading:
        """What the document reads."""
        reading = self._made.get(document)
        if reading is None:
            reading = self._made[document] = self._reading(document)
        return reading

    def _reading(self, document: Document) -> Reading:
        plans = [self._plans.whole(document, operation) for operation in document.operations.values()]
        reads = {(region, read) for plan in plans for region, found in plan.reads.items() for read in found}
        told = {read.coordinate: read.disclosed for _, read in reads if read.disclosed and not read.inherited}
        derived = self._derived(reads)
        needs = {region: set[Need]() for region in Region}
        for region, read in reads:
            if not read.inherited and (needed := need(read, region)) is not None:
                needs[region].add(needed)
        entered = {region for region, _ in reads} - OWN
        agencies = {read.disclosed.agency for region, read in reads if region not in OWN and read.disclosed}
        agencies |= {each.agency for each in derived.values()}
        if entered & {Region.REQUEST, Region.UPDATE}:
            agencies |= set(SIX)
        if reads or any(plan.operation.operation is not OperationType.QUERY for plan in plans):
            agencies.add(Agency.REGISTRY)  # authority over somebody is established there, and so is who one is
        case_needs = {each for region in entered for each in needs[region]}
        case_needs |= {Need(each.agency, each.sensitivity, third_party=each.third_party) for each in derived.values()}
        return Reading(
            disclosures=told,
            derived={name: each for name, each in derived.items() if name not in told},
            undisclosed=tuple(sorted({read.coordinate for _, read in reads if not read.disclosed})),
            agencies=tuple(agency for agency in Agency if agency in agencies),
            needs=frozenset(case_needs),
            own_needs=frozenset(each for region in OWN for each in needs[region]),
        )

    def _derived(self, reads: Iterable[tuple[Region, Read]]) -> Mapping[Coordinate, Disclosed]:
        if all(read.coordinate != SUMMARY for _, read in reads):
            return {}
        return {name: said for name in SUMMARY_READS if (said := self._disclosed.get(name))}


def grown(before: Mapping[Coordinate, Disclosed], now: Mapping[Coordinate, Disclosed]) -> list[str]:
    """How the same document tells more than it did, a sentence for each coordinate."""
    return [
        f"{name} is {_said(told)}, and was {_said(before[name]) if name in before else 'not read'} when approved."
        for name, told in sorted(now.items())
        if name not in before
        or told.sensitivity > before[name].sensitivity
        or told.agency is not before[name].agency
        or (told.third_party and not before[name].third_party)
    ]


def _said(disclosed: Disclosed) -> str:
    third = " of third parties" if disclosed.third_party else ""
    return f"{disclosed.agency.name} {disclosed.sensitivity.name}{third}"


def standing(reading: Reading, approvals: Sequence[Approval], schema_hash: str) -> Standing:
    """Where a document stands with the approvals of one client and purpose."""
    live = [each for each in approvals if each.ended_at is None]
    now = reading.everything
    more = {
        each.approver: grown(decoded(each.disclosures), now) if each.schema_hash != schema_hash else [] for each in live
    }
    sound = tuple(sorted(approver for approver, sentences in more.items() if not sentences))
    needed = reading.approvers_needed
    if len(sound) >= needed:
        return Standing(State.APPROVED, None, sound)
    if len(more) > len(sound):
        reasons = sorted({sentence for sentences in more.values() for sentence in sentences})
        return Standing(State.SUSPENDED, " ".join([*reasons, "Have it approved again."]), sound)
    if sound:
        return Standing(State.PENDING, "It reads special categories: another privacy officer has to approve.", sound)
    if approvals:
        return Standing(State.REVOKED, approvals[-1].ended_because)
    return Standing(State.PENDING, f"Waits for {needed} privacy officer{'s' if needed > 1 else ''} to approve.")


class Trust:
    """Decides for each operation, once its client is known. Asks the store each time: a revocation holds at once."""

    def __init__(self, store: DocumentStore, readings: Readings, schema_hash: str) -> None:
        self._store = store
        self._readings = readings
        self._schema_hash = schema_hash

    async def purposes(self, document: Document, client: str) -> frozenset[Purpose]:
        """For which purposes the client may ask the document. Raises DOCUMENT_NOT_TRUSTED when for none."""
        approvals = await self._store.approvals(client, document.hash)
        reading = self._readings.of(document)
        found = {
            purpose: standing(reading, [each for each in approvals if each.purpose is purpose], self._schema_hash)
            for purpose in {each.purpose for each in approvals}
        }
        approved = frozenset(purpose for purpose, its in found.items() if its.state is State.APPROVED)
        if not approved:
            raise not_approved({its.state for its in found.values()})
        return approved


def not_approved(states: set[State]) -> GraphQLError:
    """What the portal is told: the remedy is always an approval. Reasons are for its team, who can list them."""
    state = next((each for each in (State.SUSPENDED, State.REVOKED) if each in states), None)
    why = f"Its approval is {state.name.lower()}" if state else "It is not approved for this client"
    return errors.error(
        "DOCUMENT_NOT_TRUSTED",
        f"{why}. Register the document, and have a privacy officer approve it (onestop documents register, approve).",
    )
