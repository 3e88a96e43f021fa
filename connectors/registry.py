"""The family register (가족관계등록부): who somebody is, who their relatives are, and what was declared about them.

Wire format: docs/wire/README.md, REGISTRY. It is the vault of identities: the only agency that knows internal ids, each
checked here to hash to the sector identifier beside it, and the only one that is ever sent a registration number
(`Register.lookup`).
"""

import unicodedata
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import Enum
from typing import Annotated, Any, Final, TypeVar

import msgspec

from connectors.connector import Answered
from connectors.guard import (
    RECORD_LIMIT,
    Desk,
    Mismatch,
    code,
    count,
    decoded,
    distinct,
    facts,
    same_person,
    same_request,
    settled,
    within_limit,
)
from connectors.transport import Transport, Unreadable
from schema.answer import AnswerStatus
from schema.disclosure import Agency, Sensitivity
from schema.identifiers import PersonId, SectorId
from schema.person import ParentRelation, Sex

SOURCE: Final = "Family register"
Known = TypeVar("Known")
EVENT_LIMIT: Final = 5 * RECORD_LIMIT
"""Of one kind, in the family of one person: every record has two parents, and some marry more than once."""

# ---------------------------------------------------------------- what the register knows


class MarriageEnd(Enum):
    """How a marriage ended."""

    DEATH = "DEATH"
    DIVORCE = "DIVORCE"


class DeclarationKind(Enum):
    """What an heir or a court declared about one person's part in one succession."""

    RENUNCIATION = "RENUNCIATION"
    LIMITED_ACCEPTANCE = "LIMITED_ACCEPTANCE"
    DISQUALIFICATION = "DISQUALIFICATION"
    LOSS_OF_RIGHTS = "LOSS_OF_RIGHTS"
    VEHICLE_TAKEOVER = "VEHICLE_TAKEOVER"
    """The heirs agreed that this one takes over the vehicles (Civil Act 1013)."""


class AppointmentKind(Enum):
    """What somebody is to an estate by will or court order."""

    EXECUTOR = "EXECUTOR"
    ADMINISTRATOR = "ADMINISTRATOR"


class BirthReport(msgspec.Struct, frozen=True):
    """What only the birth report says: which child of the parents, one of several, born under protection."""

    order: int
    multiple: bool
    under_protection: bool


class RegisteredPerson(msgspec.Struct, frozen=True):
    """One person's own entries. A protected person has no address here."""

    subject: PersonId
    name: str
    birth_date: date
    death_date: date | None
    missing_declared_on: date | None
    sex: Sex
    address: str | None
    municipality: str | None
    """Five digits: province and city, county or district."""
    masked_registration_number: str | None
    protected: bool
    birth: BirthReport | None
    """None where the birth report did not carry these facts yet."""
    missing_final_on: date | None = None
    """When the declaration of absence became final; None while it can be appealed."""

    __repr__ = object.__repr__  # a person's entries are in no text about them


class Parentage(msgspec.Struct, frozen=True):
    """Who is whose parent; `custody` is parental authority (Civil Act 909)."""

    parent: PersonId
    child: PersonId
    relation: ParentRelation
    custody: bool


class Marriage(msgspec.Struct, frozen=True):
    """A marriage; `until` is None while it lasts."""

    a: PersonId
    b: PersonId
    since: date
    until: date | None
    ended_by: MarriageEnd | None


class Guardianship(msgspec.Struct, frozen=True):
    """What a court order lets a guardian read: these agencies, up to this sensitivity."""

    ward: PersonId
    guardian: PersonId
    since: date
    until: date | None
    agencies: frozenset[Agency]
    sensitivity: Sensitivity
    order: str


class Declaration(msgspec.Struct, frozen=True):
    """A declaration about one heir of one deceased person."""

    deceased: PersonId
    heir: PersonId
    kind: DeclarationKind
    on: date


class Appointment(msgspec.Struct, frozen=True):
    """Who executes a will or administers an estate, and by what document."""

    deceased: PersonId
    holder: PersonId
    kind: AppointmentKind
    on: date
    document: str


class Dispute(msgspec.Struct, frozen=True):
    """A dispute about a succession; `closed_on` is None while it is open."""

    deceased: PersonId
    opened_on: date
    closed_on: date | None


class ProtectionOrder(msgspec.Struct, frozen=True):
    """Whom an order protects from whom (Domestic Violence Act 29 and 55-2); `until` is None while no end is set."""

    protected: PersonId
    against: PersonId
    since: date
    until: date | None


@dataclass(frozen=True, slots=True)
class FamilyRegister:
    """Everybody within reach of one person (docs/wire/), that person included, and what connects them."""

    subject: PersonId
    persons: Mapping[PersonId, RegisteredPerson]
    parentage: tuple[Parentage, ...]
    marriages: tuple[Marriage, ...]
    guardianships: tuple[Guardianship, ...]
    declarations: tuple[Declaration, ...]
    appointments: tuple[Appointment, ...]
    disputes: tuple[Dispute, ...]
    protection_orders: tuple[ProtectionOrder, ...] = ()
    worked_out: dict[str, Any] = field(default_factory=dict, init=False, compare=False, repr=False)
    """What follows from all this and was asked for before. A register with a change has none."""


@dataclass(frozen=True, slots=True)
class Inquiry:
    """Why the register is asked, for which case (an opaque reference), and when."""

    purpose: str
    now: datetime
    case: str | None = None


# ---------------------------------------------------------------- wire

_Instant = Annotated[datetime, msgspec.Meta(tz=True)]
_Subject = Annotated[str, msgspec.Meta(pattern=r"\A[a-z2-7]{26}\Z")]
_Masked = Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{6}-[0-9]\*{6}\Z")]
_Municipality = Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{5}\Z")]


class _Birth(msgspec.Struct, frozen=True, rename="camel"):
    order: int
    multiple: bool
    under_protection: bool


class _Person(msgspec.Struct, frozen=True, rename="camel"):
    person_id: str
    subject: _Subject
    name: str
    birth_date: date
    sex: Sex
    protected: bool
    death_date: date | None = None
    missing_declared_on: date | None = None
    address: str | None = None
    municipality: _Municipality | None = None
    masked_registration_number: _Masked | None = None
    birth: _Birth | None = None
    missing_final_on: date | None = None


class _Parentage(msgspec.Struct, frozen=True, rename="camel"):
    parent: str
    child: str
    relation: ParentRelation
    custody: bool


class _Marriage(msgspec.Struct, frozen=True, rename="camel"):
    a: str
    b: str
    since: date
    until: date | None = None
    ended_by: MarriageEnd | None = None


class _Guardianship(msgspec.Struct, frozen=True, rename="camel"):
    ward: str
    guardian: str
    since: date
    agencies: list[Agency]
    sensitivity: str
    order: str
    until: date | None = None


class _Declaration(msgspec.Struct, frozen=True, rename="camel"):
    deceased: str
    heir: str
    kind: DeclarationKind
    on: date


class _Appointment(msgspec.Struct, frozen=True, rename="camel"):
    deceased: str
    holder: str
    kind: AppointmentKind
    on: date
    document: str


class _Dispute(msgspec.Struct, frozen=True, rename="camel"):
    deceased: str
    opened_on: date
    closed_on: date | None = None


class _ProtectionOrder(msgspec.Struct, frozen=True, rename="camel"):
    protected: str
    against: str
    since: date
    until: date | None = None


class _One(msgspec.Struct, frozen=True, rename="camel"):
    request_id: str
    person_id: str
    person: _Person
    as_of: _Instant | None = None


class _Relatives(msgspec.Struct, frozen=True, rename="camel"):
    request_id: str
    person_id: str
    as_of: _Instant
    persons: list[_Person]
    parentage: list[_Parentage]
    marriages: list[_Marriage]
    guardianships: list[_Guardianship]
    declarations: list[_Declaration]
    appointments: list[_Appointment]
    disputes: list[_Dispute]
    protection_orders: list[_ProtectionOrder] = []


_ONE: Final = msgspec.json.Decoder(_One)
_RELATIVES: Final = msgspec.json.Decoder(_Relatives)


# ---------------------------------------------------------------- asking


class Register:
    """The register's three questions. The section of an answer is None where nobody was found or nothing is known."""

    def __init__(
        self, transport: Transport, clock: Callable[[], datetime], sector_id: Callable[[PersonId], SectorId]
    ) -> None:
        """`sector_id` is the register's own: HMAC of an internal id under the register's key."""
        self._transport = transport
        self._desk = Desk(Agency.REGISTRY, SOURCE, clock)
        self._sector_id = sector_id

    async def person(self, person: SectorId, inquiry: Inquiry) -> Answered[RegisteredPerson | None]:
        """One person's own entries."""
        return await self._settled(inquiry, self._person(person, inquiry))

    async def relatives(self, person: SectorId, inquiry: Inquiry) -> Answered[FamilyRegister | None]:
        """The person and everybody within reach."""
        return await self._settled(inquiry, self._relatives(person, inquiry))

    async def lookup(
        self, name: str, birth_date: date, registration_number: str | None, inquiry: Inquiry
    ) -> Answered[RegisteredPerson | None]:
        """The one person of that name, day and number.

        NONE_HELD alike for a wrong name, day or number, and when several persons fit and no number was given.
        """
        return await self._settled(inquiry, self._lookup(name, birth_date, registration_number, inquiry))

    async def _settled(self, inquiry: Inquiry, work: Awaitable[Answered[Known | None]]) -> Answered[Known | None]:
        return await settled(
            self._desk,
            inquiry,
            work,
            unknown=lambda _: None,
            nothing=lambda _: None,
            drop_pool=self._transport.drop_pool,
        )

    async def _person(self, person: SectorId, inquiry: Inquiry) -> Answered[RegisteredPerson | None]:
        reply = await self._transport.request(
            "GET", f"/v1/persons/{person}", purpose=inquiry.purpose, case=inquiry.case
        )
        wire = decoded(facts(reply, person), _ONE)
        same_request(wire.request_id, reply.request_id)
        same_person(wire.person_id, person)
        same_person(wire.person.person_id, person)
        return self._answered(self._registered(wire.person), inquiry, reply.request_id, wire.as_of)

    async def _lookup(
        self, name: str, birth_date: date, registration_number: str | None, inquiry: Inquiry
    ) -> Answered[RegisteredPerson | None]:
        body = {"name": name, "birthDate": birth_date, "registrationNumber": registration_number}
        reply = await self._transport.request(
            "POST",
            "/v1/lookup",
            purpose=inquiry.purpose,
            case=inquiry.case,
            headers={"Content-Type": "application/json"},
            body=msgspec.json.encode(body),
        )
        wire = decoded(facts(reply, None), _ONE)
        same_request(wire.request_id, reply.request_id)
        same_person(wire.person.person_id, wire.person_id)
        found = self._registered(wire.person)
        if (_plain(found.name), found.birth_date) != (_plain(name), birth_date):
            raise Mismatch("OTHER_PERSON")
        return self._answered(found, inquiry, reply.request_id, wire.as_of)

    async def _relatives(self, person: SectorId, inquiry: Inquiry) -> Answered[FamilyRegister | None]:
        reply = await self._transport.request(
            "GET", f"/v1/persons/{person}/relatives", purpose=inquiry.purpose, case=inquiry.case
        )
        wire = decoded(facts(reply, person), _RELATIVES)
        same_request(wire.request_id, reply.request_id)
        same_person(wire.person_id, person)
        within_limit(len(wire.persons))
        distinct([one.person_id for one in wire.persons])
        registered = {one.person_id: self._registered(one) for one in wire.persons}
        if person not in registered:
            raise Mismatch("OTHER_PERSON")
        return self._answered(_family(person, registered, wire), inquiry, reply.request_id, wire.as_of)

    def _registered(self, wire: _Person) -> RegisteredPerson:
        subject = PersonId(wire.subject)
        same_person(wire.person_id, self._sector_id(subject))
        if wire.death_date is not None and wire.death_date < wire.birth_date:
            raise Unreadable("IMPOSSIBLE_DATE")
        if wire.missing_final_on is not None and wire.missing_final_on < (wire.missing_declared_on or date.max):
            raise Unreadable("IMPOSSIBLE_DATE")
        return RegisteredPerson(
            subject=subject,
            name=wire.name,
            birth_date=wire.birth_date,
            death_date=wire.death_date,
            missing_declared_on=wire.missing_declared_on,
            sex=wire.sex,
            address=None if wire.protected else wire.address,
            municipality=wire.municipality,
            masked_registration_number=wire.masked_registration_number,
            protected=wire.protected,
            birth=None
            if wire.birth is None
            else BirthReport(count(wire.birth.order), wire.birth.multiple, wire.birth.under_protection),
            missing_final_on=wire.missing_final_on,
        )

    def _answered(
        self, section: Known | None, inquiry: Inquiry, request_id: str, as_of: datetime | None
    ) -> Answered[Known | None]:
        answer = self._desk.answer(inquiry, AnswerStatus.COMPLETE, reference=request_id, as_of=as_of)
        return Answered(section=section, answer=answer)


def _plain(name: str) -> str:
    """A name as it compares: composed syllables, no outer spaces."""
    return unicodedata.normalize("NFC", name.strip())


def _family(person: SectorId, registered: Mapping[str, RegisteredPerson], wire: _Relatives) -> FamilyRegister:
    """What connects the persons.

    Whoever an event names is among them, periods run forward, and parents are older than their children.
    """

    def who(named: str) -> PersonId:
        if named not in registered:
            raise Unreadable("CONTRADICTION")
        return registered[named].subject

    events: Sequence[Sequence[object]] = (
        wire.parentage,
        wire.marriages,
        wire.guardianships,
        wire.declarations,
        wire.appointments,
        wire.disputes,
        wire.protection_orders,
    )
    if any(len(kind) > EVENT_LIMIT for kind in events):
        raise Unreadable("TOO_MANY_RECORDS")
    distinct([f"{one.parent} {one.child}" for one in wire.parentage])
    family = FamilyRegister(
        subject=registered[person].subject,
        persons={one.subject: one for one in registered.values()},
        parentage=tuple(
            Parentage(who(one.parent), who(one.child), one.relation, one.custody) for one in wire.parentage
        ),
        marriages=tuple(Marriage(who(one.a), who(one.b), one.since, one.until, one.ended_by) for one in wire.marriages),
        guardianships=tuple(
            Guardianship(
                who(one.ward),
                who(one.guardian),
                one.since,
                one.until,
                frozenset(one.agencies),
                code(Sensitivity, one.sensitivity),
                one.order,
            )
            for one in wire.guardianships
        ),
        declarations=tuple(
            Declaration(who(one.deceased), who(one.heir), one.kind, one.on) for one in wire.declarations
        ),
        appointments=tuple(
            Appointment(who(one.deceased), who(one.holder), one.kind, one.on, one.document) for one in wire.appointments
        ),
        disputes=tuple(Dispute(who(one.deceased), one.opened_on, one.closed_on) for one in wire.disputes),
        protection_orders=tuple(
            ProtectionOrder(who(one.protected), who(one.against), one.since, one.until)
            for one in wire.protection_orders
        ),
    )
    periods = [
        *((one.since, one.until) for one in family.marriages),
        *((one.since, one.until) for one in family.guardianships),
        *((one.opened_on, one.closed_on) for one in family.disputes),
        *((one.since, one.until) for one in family.protection_orders),
    ]
    if any(end is not None and end < start for start, end in periods):
        raise Unreadable("IMPOSSIBLE_DATE")
    older = all(
        family.persons[one.parent].birth_date < family.persons[one.child].birth_date for one in family.parentage
    )
    if not older or any(one.a == one.b for one in family.marriages):
        raise Unreadable("CONTRADICTION")  # also what keeps a walk through the generations from going in circles
    return family
