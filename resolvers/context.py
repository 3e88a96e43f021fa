"""One operation at work: who asks, what the document reads, which cases were entered and what came of each.

A context lives for one operation and holds personal data; it goes with it. Entering a case is the one place where
authority is established: case, mandate, register, facts, ruling. What the ruling does not allow is not asked of any
agency.
"""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property, partial
from typing import Any
from uuid import UUID

import strawberry
from aiodataloader import DataLoader
from graphql import GraphQLError

from audit.entry import uuid7
from auth.policy import Effect, Need, Policies, Ruling, Verdict
from auth.power import Power
from auth.viewer import Viewer
from cases.store import CaseRecord, Consent, MandateRecord
from cases.store import Inquiry as Kept
from connectors.connector import Answered
from connectors.registry import FamilyRegister, Inquiry
from connectors.roster import Duty
from connectors.transport import AgencyError, Unavailable
from resolvers import authority, errors, officials, powers
from resolvers.authority import Claim, Succession
from resolvers.house import House
from resolvers.operation_types import Asked
from resolvers.plan import Part, Plan, Read, Region
from resolvers.recording import Completed
from schema.answer import Answer, AnswerStatus
from schema.case import CaseKind, MandateRole, Purpose, Refusal, RefusalCode, Withheld
from schema.disclosure import Agency, Sensitivity
from schema.identifiers import CaseId, PersonId, SectorId
from schema.person import Person
from schema.scalars import Coordinate
from schema.viewer import Assurance, Role

REGION = {CaseKind.ESTATE: Region.ESTATE, CaseKind.BIRTH: Region.BIRTH}
PRESENCE = Need(Agency.REGISTRY, Sensitivity.PRESENCE)
CLAIM = frozenset(
    {"Person.id", *(f"CaseCandidate.{name}" for name in ("kind", "person", "relation", "opensUntil", "obstacle"))}
)
"""What a candidate with an obstacle still says: that the viewer has a claim, and what stands in its way."""
STANDS = frozenset(f"{kind}{agency.name.capitalize()}.answer" for kind in ("Estate", "Birth") for agency in Agency)
"""How a section stands: of an agency of which nothing may be shown it says that it was not asked, and no more."""
ASSURED = authority.ASSURANCE[Assurance.HIGH]
HIGH_ONLY: Coordinate = Coordinate("Person.maskedRegistrationNumber")
"""Shown at HIGH assurance only, whatever the row says."""

RULED = 64
"""Rulings over one document that are kept."""


class Shown:
    """A ruling laid over the coordinates that a document reads in one region."""

    def __init__(
        self,
        power: Power,
        reads: Sequence[tuple[Read, Need]],
        ruling: Ruling,
        always: frozenset[str] = frozenset(),
        *,
        frame: bool = False,
    ) -> None:
        """`always` is shown whatever the ruling: what says nothing but that the viewer has a claim of their own.

        `frame`: so is the case itself (that it is there, and the viewer's own mandate), whose reach is one agency.
        """
        self.power = power
        self.readable: dict[Any, frozenset[Coordinate]] = {}
        """What agencies may be asked by it, once that was worked out (resolvers/sections.py)."""
        self._ruling = ruling
        self._verdicts: dict[tuple[Coordinate, Part], Verdict] = {}
        self._refused: dict[tuple[Coordinate, Part], tuple[Sensitivity, RefusalCode]] = {}
        self._allowed: dict[Part, frozenset[Coordinate]] = {}
        self._masked: dict[Part, frozenset[Coordinate]] = {}
        self._withheld: dict[Part, frozenset[Coordinate]] = {}
        for read, needed in reads:
            verdict = ruling[needed]
            self._verdicts[read.coordinate, read.part] = verdict
            hides = not verdict.shows and read.coordinate not in always and not (frame and needed == PRESENCE)
            code = verdict.refusal if hides else None
            if code is None and read.coordinate == HIGH_ONLY and power.facts.assurance < ASSURED:
                code = RefusalCode.STEP_UP_REQUIRED
            if code is not None:
                self._refused[read.coordinate, read.part] = (needed.sensitivity, code)

    def withholds(self, coordinate: Coordinate, part: Part) -> bool:
        """Whether the field may not be shown of this part."""
        return (coordinate, part) in self._refused

    def allowed(self, part: Part) -> frozenset[Coordinate]:
        """The coordinates that may be shown of this part."""
        found = self._allowed.get(part)
        if found is None:
            found = self._allowed[part] = frozenset(
                c for c, p in self._verdicts if p is part and (c, p) not in self._refused
            )
        return found

    def holds(self, policies: Policies) -> bool:
        """Whether its verdicts are remembered still: all on the same facts are forgotten together."""
        need, verdict = next(iter(self._ruling.items()), (None, None))
        return need is not None and self.power.ruling(policies, [need])[need] is verdict

    def still(self, power: Power, policies: Policies) -> bool:
        """Whether a power shows everything that this ruling showed."""
        now = power.ruling(policies, list(self._ruling))
        return all(
            now[needed].effect in {was.effect, Effect.ALLOW} for needed, was in self._ruling.items() if was.shows
        )

    def masked(self, part: Part) -> frozenset[Coordinate]:
        """Those whose value keeps its first syllable only."""
        found = self._masked.get(part)
        if found is None:
            third = RefusalCode.THIRD_PARTY
            found = self._masked[part] = frozenset(
                c for (c, p), v in self._verdicts.items() if p is part and v.refusal is third and v.shows
            )
        return found

    @cached_property
    def policies(self) -> tuple[str, ...]:
        """The policies that decided, for the log."""
        return tuple(sorted({policy for verdict in self._verdicts.values() for policy in verdict.policies}))

    @property
    def withheld(self) -> list[Withheld]:
        """Fields of the document that are not shown, each once."""
        by_coordinate = {c: said for (c, _), said in sorted(self._refused.items(), key=lambda item: item[0][0])}
        return [
            Withheld(coordinate=c, sensitivity=sensitivity, refusal=Refusal(code=code))
            for c, (sensitivity, code) in by_coordinate.items()
        ]

    def withheld_of(self, part: Part) -> frozenset[Coordinate]:
        """The withheld coordinates of one part."""
        found = self._withheld.get(part)
        if found is None:
            found = self._withheld[part] = frozenset(c for c, p in self._refused if p is part)
        return found


@dataclass(slots=True)
class Hand:
    """A case that was entered: everything about it that this operation knows."""

    record: CaseRecord
    mandate: MandateRecord
    mandates: Sequence[MandateRecord]
    register: FamilyRegister
    succession: Succession | None
    shown: Shown
    basis: tuple[str, ...] = ()
    """The policies by which an official is in the case at all, for the log."""
    reason: str | None = None
    """The words in which an emergency was declared."""
    standings: Mapping[Agency, AnswerStatus] = field(default_factory=dict)
    """How each agency's last answer stood when the case was entered."""
    inquiry: Kept | None = None
    """The newest question to the agency that answers later."""
    answers: dict[Agency, Answer] = field(default_factory=dict)
    sections: dict[Agency, asyncio.Task[Any]] = field(default_factory=dict)
    whole: set[Agency] = field(default_factory=set)
    """Agencies whose state is asked for as such, besides what the document reads."""
    renewed: set[Agency] = field(default_factory=set)
    """Agencies that are to be asked again although their answer is kept."""
    region: Region = field(init=False)
    """Where in the graph this case is."""

    def __post_init__(self) -> None:
        self.region = REGION[self.record.kind]

    @property
    def case_id(self) -> CaseId:
        """Internal id."""
        return self.record.id

    def withholds(self, coordinate: Coordinate, part: Part) -> bool:
        """Whether the field may not be shown of this part."""
        return self.shown.withholds(coordinate, part)


@dataclass(slots=True)
class Own:
    """The viewer's own region, or a candidate's: no case yet."""

    shown: Shown
    case_id: None = None

    def withholds(self, coordinate: Coordinate, part: Part) -> bool:
        """Whether the field may not be shown of this part."""
        return self.shown.withholds(coordinate, part)


@dataclass(frozen=True, slots=True)
class Attempt:
    """Something that was asked for and refused, or whose authority could not be established."""

    subject: PersonId | None
    case: CaseRecord | None
    code: RefusalCode | None
    policies: tuple[str, ...] = ()
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Review:
    """A look at the log by who reviews it, to be recorded: of whom, in what capacity, and why."""

    subject: PersonId | None = None
    role: str | None = None
    reason: str | None = None
    tells: bool = False
    """The answer tells who somebody is, besides what the log says."""


@dataclass(slots=True)
class Context:
    """See the module."""

    house: House
    viewer: Viewer
    asked: Asked
    plan: Plan
    now: datetime
    operation: UUID
    purposes: frozenset[Purpose] | None
    """What the document is approved for; None where any document will do."""
    completed: Completed = field(default_factory=dict)
    attempts: list[Attempt] = field(default_factory=list)
    reviews: dict[PersonId | None, Review] = field(default_factory=dict)
    hands: dict[CaseId, Hand] = field(default_factory=dict)
    own: dict[PersonId, Own] = field(default_factory=dict)
    created: set[PersonId] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)
    """Mandates that the viewer ended in this very operation: they do not take its answer back."""
    loaders: dict[Any, DataLoader[Any, Any]] = field(default_factory=dict)
    _duty: asyncio.Task[Duty | None] | None = None
    _entering: dict[CaseId, asyncio.Task[Hand]] = field(default_factory=dict)
    _ends_at: float = 0.0

    @classmethod
    def begun(
        cls, house: House, viewer: Viewer, asked: Asked, plan: Plan, purposes: frozenset[Purpose] | None = None
    ) -> "Context":
        """A fresh context; its time starts now."""
        now = house.clock()
        context = cls(house, viewer, asked, plan, now, uuid7(now), purposes)
        context._ends_at = asyncio.get_running_loop().time() + house.limits.deadline_s
        return context

    @property
    def left_s(self) -> float:
        """Seconds until the operation has to be answered."""
        return max(0.0, self._ends_at - asyncio.get_running_loop().time())

    # ------------------------------------------------------------ ids

    def sealed(self, *parts: str) -> str:
        """An opaque id for this viewer's client."""
        return self.house.ids.sealed(self.viewer.client, *parts)

    def opened(self, sealed: str, *kinds: str) -> tuple[str, ...] | None:
        """What an opaque id names, when it is of one of the kinds."""
        parts = self.house.ids.opened(self.viewer.client, sealed)
        return parts if parts and parts[0] in kinds else None

    # ------------------------------------------------------------ the register

    async def register(self, person: PersonId, purpose: str, case: CaseRecord | None = None) -> FamilyRegister:
        """The family register around a person. Raises OVERLOADED when it does not answer: authority fails closed."""
        loader = self.loaders.get(FamilyRegister)
        if loader is None:
            loader = self.loaders[FamilyRegister] = DataLoader(partial(_relatives, self.house, self.now))
        found: Answered[FamilyRegister | None] = await loader.load((person, purpose))
        if found.section is None:
            raise self.register_silent(found.answer, person, case)
        return found.section

    def register_silent(
        self, answer: Answer, person: PersonId | None = None, case: CaseRecord | None = None
    ) -> GraphQLError:
        """The register was asked about somebody and did not answer: an attempt to be recorded, and what to say.

        Whoever waits for the same answer, in whichever way the operation is executed, it is one attempt.
        """
        attempt = Attempt(person, case, None)
        if attempt not in self.attempts:
            self.attempts.append(attempt)
        return errors.register_silent(answer.retry_after_seconds)

    async def duty(self) -> Duty | None:
        """Where the viewer, an official, stands on the roster; asked once. Raises OVERLOADED when it is silent."""
        if self._duty is None:
            self._duty = asyncio.ensure_future(self.duty_now())
        return await asyncio.shield(self._duty)

    async def duty_now(self) -> Duty | None:
        """The same, asked anew."""
        if self.house.roster is None:
            return None
        try:
            return await self.house.roster.duty(self.viewer.person, Purpose.ESTATE_DISCOVERY.name)
        except AgencyError as silent:
            self.attempts.append(Attempt(None, None, None))
            raise errors.roster_silent(silent.retry_after_s if isinstance(silent, Unavailable) else None) from silent

    # ------------------------------------------------------------ entering

    async def enter(self, sealed: str, *kinds: CaseKind) -> Hand:
        """The case behind an opaque id. Raises NOT_ACCESSIBLE alike for unknown, foreign and protected ones.

        Whatever the id, the work is the same until a mandate is found: nothing tells which of them it was. An id that
        opens to nothing is looked up under a name that no case has.
        """
        parts = self.opened(sealed, *(kind.name for kind in CaseKind))
        hand = await self.enter_case(CaseId(parts[1]) if parts and len(parts) == 2 else _no_case(sealed))
        if hand.record.kind not in kinds:
            raise errors.refused(RefusalCode.NOT_ACCESSIBLE)
        return hand

    async def enter_case(self, case_id: CaseId) -> Hand:
        """The same by internal id; once per operation."""
        task = self._entering.get(case_id)
        if task is None:
            task = self._entering[case_id] = asyncio.ensure_future(self._entered(case_id))
        return await asyncio.shield(task)

    async def all_entered(self) -> None:
        """Wait until every case that this operation has begun to enter is entered or refused."""
        if entering := [task for task in self._entering.values() if not task.done()]:
            await asyncio.wait(entering)

    async def _entered(self, case_id: CaseId) -> Hand:
        narrowed = self.viewer.case and self.opened(self.viewer.case, *(kind.name for kind in CaseKind))
        file = await self.house.cases.file(case_id)
        record, mandates = (file.record, file.mandates) if file else (None, ())
        mine_now = powers.held(mandates, self.viewer.person, self.now)
        held = [mine for mine in mine_now if officials.fits(self.viewer, mine.role)]
        held.sort(key=lambda mine: mine.role is not MandateRole.BREAK_GLASS)  # what was declared is what is recorded
        if (
            file is None
            or record is None
            or not held
            or (self.viewer.case and (not narrowed or narrowed[1] != record.id))
        ):
            raise self._refusal(self._without_mandate(record, mandates))
        if self.purposes is not None and not any(mine.purpose in self.purposes for mine in held):
            self.require_purpose(held[0].purpose, Attempt(record.subject, record, RefusalCode.OUT_OF_SCOPE))
        held = [mine for mine in held if self.purposes is None or mine.purpose in self.purposes]
        register = await self.register(record.subject, held[0].purpose.name, record)
        together = powers.joint(mandates, register, self.now)
        mandates = [*mandates, *together]
        mine_too = [each for each in together if each.holder == self.viewer.person]
        if self.purposes is None or Purpose.ESTATE_DISCOVERY in self.purposes:
            held = powers.by_reach([*held, *mine_too])
        refused = []
        for mine in held:
            register, power = await self.borne_out(mine, record, file.consents)
            verdict = power.entering(self.house.policies)
            if verdict.shows:
                shown = self.shown(power, REGION[record.kind], always=STANDS, mandates=REGION[record.kind])
                hand = Hand(record, mine, mandates, register, authority.succession(register), shown)
                hand.standings, hand.inquiry = file.standings, file.inquiry
                if mine.role in officials.ROLES:
                    hand.basis = verdict.policies
                if mine.role is MandateRole.BREAK_GLASS:
                    hand.reason = file.justifications.get(mine.id)
                self.hands[record.id] = hand
                return hand
            refused.append(verdict)
        policies = refused[0].policies if self.viewer.is_official else ()
        raise self._refusal(Attempt(record.subject, record, refused[0].refusal, policies))

    async def _official(
        self, mine: MandateRecord, record: CaseRecord, register: FamilyRegister, consents: frozenset[Consent] | None
    ) -> Power:
        """What an official's mandate gives the viewer."""
        emergency = mine.role is MandateRole.BREAK_GLASS
        duty = None if emergency else await self.duty()
        if emergency or consents is None:
            consents = frozenset() if emergency else await self.house.cases.consents(record)
        family = await self.register(self.viewer.person, mine.purpose.name)
        stands = officials.standing(self.viewer, mine, record, register, family, duty, consents, self.now)
        return officials.power(self.viewer, mine, stands, self.now, sandbox=self.house.sandbox)

    def _without_mandate(self, record: CaseRecord | None, mandates: Sequence[MandateRecord]) -> Attempt:
        """The attempt of somebody who holds nothing here; an official's with the rows that refuse it."""
        subject, code = record.subject if record else None, RefusalCode.NOT_ACCESSIBLE
        if Role.OFFICIAL not in self.viewer.roles:
            return Attempt(subject, record, code)
        facts = officials.without_mandate(self.viewer, record, mandates, self.now, sandbox=self.house.sandbox)
        verdict = self.house.policies.ruling(facts, [PRESENCE])[PRESENCE]
        return Attempt(subject, record, code, verdict.policies)

    async def borne_out(
        self, mine: MandateRecord, record: CaseRecord, consents: frozenset[Consent] | None = None
    ) -> tuple[FamilyRegister, Power]:
        """The register around the case's person, and what it and our records leave of the viewer's mandate.

        `consents` are the applicant's, where they were read with the case.
        """
        register = await self.register(record.subject, mine.purpose.name, record)
        if mine.role in officials.ROLES:
            return register, await self._official(mine, record, register, consents)
        power = powers.power(self.viewer, mine, record, register, self.now, sandbox=self.house.sandbox)
        if mine.role is MandateRole.PROXY:  # no relative, as a rule; a proxy ends with its holder (Civil Act 127)
            own = await self.register(self.viewer.person, mine.purpose.name, record)
            if own.persons[self.viewer.person].death_date is not None:
                power = replace(power, facts=replace(power.facts, mandate_active=False))
        return register, officials.applied(power, record)

    def shown(
        self,
        power: Power,
        *regions: Region,
        always: frozenset[str] = frozenset(),
        mandates: Region | None = None,
    ) -> Shown:
        """The ruling on everything the document reads in these regions.

        `mandates` is the region of the case whose mandates are given and ended: what is read of them is as in there.
        With it the case is entered, and its frame is shown. What was ruled on these facts is laid over the same
        document once, for as long as the verdicts are remembered.
        """
        key = (power, regions, always, mandates)
        found: Shown | None = self.plan.ruled.get(key)
        if found is not None and found.holds(self.house.policies):
            return found
        places = [(region, region) for region in regions]
        if mandates is not None:
            places.append((Region.MANDATE, mandates))
        reads = [each for region, of in places for each in self.plan.needs(region, of)]
        ruling = power.ruling(self.house.policies, [needed for _, needed in reads])
        if len(self.plan.ruled) >= RULED:
            self.plan.ruled.clear()
        shown = self.plan.ruled[key] = Shown(power, reads, ruling, always, frame=mandates is not None)
        return shown

    def own_region(self) -> Own:
        """The ruling on the viewer's own data, wherever the document reads it."""
        own = self.own.get(self.viewer.person)
        if own is None:
            facts = authority.own_facts(self.viewer, self.now, sandbox=self.house.sandbox)
            own = Own(self.shown(Power(facts), Region.SELF, Region.LOG, always=frozenset({"Person.id"})))
            self.own[self.viewer.person] = own
        return own

    def claimed(self, claim: Claim, register: FamilyRegister, asker: Viewer | None = None) -> Shown:
        """The ruling as it would be if the viewer, or whom they act for, opened the case today."""
        facts = authority.facts(
            asker or self.viewer,
            claim.role,
            claim.purpose,
            register,
            active=True,
            case_opened_on=authority.day_of(self.now),
            now=self.now,
            sandbox=self.house.sandbox,
        )
        return self.shown(Power(facts), Region.CANDIDATE, always=CLAIM)

    def require_purpose(self, purpose: Purpose, attempt: Attempt) -> None:
        """Only once the viewer is known to have a claim: others learn nothing, not even this."""
        if self.purposes is not None and purpose not in self.purposes:
            self.attempts.append(attempt)
            raise errors.wrong_purpose(self.purposes, purpose)

    def _refusal(self, attempt: Attempt) -> GraphQLError:
        self.attempts.append(attempt)
        return errors.refused(attempt.code or RefusalCode.NOT_ACCESSIBLE)

    def looked(self, review: Review) -> None:
        """A look at the log is to be recorded; once somebody is named, of them only."""
        if review.subject is not None:
            self.reviews.pop(None, None)
        elif self.reviews:
            return
        self.reviews[review.subject] = review

    # ------------------------------------------------------------ persons

    def person(self, subject: PersonId, register: FamilyRegister, may: frozenset[Coordinate], case: str = "") -> Person:
        """A person of the register, with the fields that may be shown."""
        found = register.persons[subject]

        def field_(name: str, value: Any) -> Any:
            return value if f"Person.{name}" in may else None

        return Person(
            id=strawberry.ID(self.sealed("Person", case, subject)),
            name=field_("name", found.name),
            birth_date=field_("birthDate", found.birth_date),
            death_date=field_("deathDate", found.death_date),
            sex=field_("sex", found.sex),
            address=field_("address", found.address),
            masked_registration_number=field_("maskedRegistrationNumber", found.masked_registration_number),
            subject=subject,
        )

    def unnamed(self, subject: PersonId) -> Person:
        """A person of whom nothing is shown but that it is the same one."""
        return Person(
            id=strawberry.ID(self.sealed("Person", "", subject)),
            name=None,
            birth_date=None,
            death_date=None,
            sex=None,
            address=None,
            masked_registration_number=None,
            subject=subject,
        )

    def sector_id(self, agency: Agency, person: PersonId) -> SectorId:
        """What the agency calls the person."""
        return self.house.ids.sector_id(agency, person)


async def _relatives(
    house: House, now: datetime, keys: Sequence[tuple[PersonId, str]]
) -> list[Answered[FamilyRegister | None]]:
    """Not a method: a context that is bound in its own loader would wait for the garbage collector to go."""

    async def one(person: PersonId, purpose: str) -> Answered[FamilyRegister | None]:
        return await house.registry.relatives(house.ids.sector_id(Agency.REGISTRY, person), Inquiry(purpose, now))

    if len(keys) == 1:  # nearly always: no task for what is waited for at once
        return [await one(*keys[0])]
    return list(await asyncio.gather(*(one(*key) for key in keys)))


def _no_case(sealed: str) -> CaseId:
    """As long as a case's id, one for each text, and none of a case."""
    return CaseId(f"none:{hashlib.sha256(sealed.encode()).hexdigest()[:31]}")


POSITIVE = frozenset({AnswerStatus.COMPLETE, AnswerStatus.NONE_HELD, AnswerStatus.EXISTENCE_ONLY})
"""Statuses in which an agency has said everything that it says."""
