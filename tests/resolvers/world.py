"""A house with everything of its own (policies, cases, access log, graph) and fakes in its seams.

The fake connectors make their values from the coordinates they are asked for, and from nothing else, as every connector
does; they note what they were asked. The fake register knows two families and a stranger's.
"""

import asyncio
import types
import typing
import zlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import orjson
import strawberry
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet
from msgspec.structs import replace as changed
from strawberry.types.base import get_object_definition
from strawberry.utils.str_converters import to_camel_case

from audit.keys import Keys
from audit.writer import AccessLog
from audit.writer import Settings as LogSettings
from auth.ids import SANDBOX_ROOT, Ids
from auth.policy import Policies
from auth.token import TokenCheck
from cases.store import CaseRecord, Cases, Evidence, Grant, Request
from connectors.connector import Answered, Asked, Connector, Speed
from connectors.registry import (
    BirthReport,
    Declaration,
    Dispute,
    FamilyRegister,
    Guardianship,
    Inquiry,
    Marriage,
    MarriageEnd,
    Parentage,
    Register,
    RegisteredPerson,
)
from connectors.roster import Duty, Roster
from connectors.transport import Unavailable
from resolvers.documents import Document, Documents
from resolvers.documents import Limits as DocumentLimits
from resolvers.house import House, Limits
from resolvers.log import shape
from resolvers.operation import Graph
from resolvers.operation_types import Asked as Request_
from resolvers.operation_types import Reply
from schema.answer import Answer, AnswerStatus, KnownFact
from schema.birth import BirthCase
from schema.case import CaseKind, MandateRole, Purpose
from schema.disclosure import Agency, disclosures
from schema.estate import EstateCase
from schema.identifiers import CaseId, PersonId, SectorId
from schema.person import ParentRelation, Sex
from schema.text import Bilingual
from serving import program

NOW = datetime(2026, 3, 14, 6, 0, tzinfo=UTC)
ISSUER, AUDIENCE, CLIENT = "https://issuer.test", "https://onestop.test/graphql", "portal"
KEY = ECKey.generate_key("P-256", {"kid": "test"})
SCHEMA = program.schema()
CORE = SCHEMA._schema
DISCLOSED = disclosures(CORE)
LEAVES, LEADS_TO = shape(CORE)
SIX = (Agency.LAND, Agency.FINANCE, Agency.PENSIONS, Agency.TAX, Agency.HEALTH, Agency.VEHICLES)
KNOWN = frozenset({AnswerStatus.COMPLETE, AnswerStatus.PARTIAL, AnswerStatus.NONE_HELD, AnswerStatus.EXISTENCE_ONLY})


def person_id(name: str) -> PersonId:
    return PersonId((name + "a" * 26)[:26])


HUSBAND, WIFE, SON, DAUGHTER = (person_id(name) for name in ("husband", "wife", "son", "daughter"))
FATHER, BABY, STRANGER, UNCLE = (person_id(name) for name in ("father", "baby", "stranger", "uncle"))
OFFICER, COLLEAGUE = (person_id(name) for name in ("officer", "colleague"))
OFFICE, MUNICIPALITY = "civil affairs", "Nowon-gu"


# ---------------------------------------------------------------- the register


def registered(subject: PersonId, born: date, died: date | None = None) -> RegisteredPerson:
    return RegisteredPerson(
        subject=subject,
        name=f"김{subject[:6]}",
        birth_date=born,
        death_date=died,
        missing_declared_on=None,
        sex=Sex.FEMALE,
        address=f"address of {subject[:6]}",
        municipality="11110",
        masked_registration_number="700101-2******",
        protected=False,
        birth=BirthReport(order=1, multiple=False, under_protection=False),
    )


PERSONS = {
    HUSBAND: registered(HUSBAND, date(1955, 1, 1), date(2026, 1, 10)),
    WIFE: registered(WIFE, date(1957, 1, 1)),
    SON: registered(SON, date(1985, 1, 1)),
    DAUGHTER: registered(DAUGHTER, date(1987, 1, 1)),
    FATHER: registered(FATHER, date(1930, 1, 1), date(2025, 12, 24)),
    BABY: registered(BABY, date(2026, 2, 1)),
    UNCLE: registered(UNCLE, date(1950, 1, 1), date(2026, 2, 2)),
    STRANGER: registered(STRANGER, date(1980, 1, 1)),
    OFFICER: registered(OFFICER, date(1983, 1, 1)),
    COLLEAGUE: registered(COLLEAGUE, date(1984, 1, 1)),
}


def born_to(child: PersonId, mother: PersonId, father: PersonId | None = None) -> list[Parentage]:
    found = [Parentage(mother, child, ParentRelation.MOTHER, custody=True)]
    return [*found, Parentage(father, child, ParentRelation.FATHER, custody=True)] if father else found


FAMILY = FamilyRegister(
    subject=WIFE,
    persons={name: each for name, each in PERSONS.items() if name not in {UNCLE, STRANGER, OFFICER, COLLEAGUE}},
    parentage=(
        *born_to(SON, WIFE, HUSBAND),
        *born_to(DAUGHTER, WIFE, HUSBAND),
        Parentage(FATHER, WIFE, ParentRelation.FATHER, custody=False),
        *born_to(BABY, WIFE),
    ),
    marriages=(Marriage(HUSBAND, WIFE, date(1980, 1, 1), date(2026, 1, 10), MarriageEnd.DEATH),),
    guardianships=(),
    declarations=(),
    appointments=(),
    disputes=(),
)
STRANGERS = replace(
    FAMILY,
    subject=STRANGER,
    persons={name: PERSONS[name] for name in (UNCLE, STRANGER)},
    parentage=(Parentage(UNCLE, STRANGER, ParentRelation.FATHER, custody=False),),
    marriages=(),
)


ALONE = replace(STRANGERS, persons={}, parentage=())


class FakeRoster:
    """Knows both officials, who are at work. `silent` answers nobody."""

    def __init__(self) -> None:
        here = Duty(OFFICE, MUNICIPALITY, frozenset({"ESTATE", "BIRTH"}), on_duty=True)
        self.staff: dict[PersonId, Duty] = {OFFICER: here, COLLEAGUE: here}
        self.silent = False
        self.asked = 0

    async def duty(self, official: PersonId, purpose: str) -> Duty | None:
        del purpose
        self.asked += 1
        await asyncio.sleep(0)
        if self.silent:
            raise Unavailable("TIMEOUT", 9)
        return self.staff.get(official)

    def send_home(self, official: PersonId) -> None:
        self.staff[official] = replace(self.staff[official], on_duty=False)


class FakeRegister:
    """Knows everybody by what the register calls them. `silent` answers nobody."""

    def __init__(self, ids: Ids) -> None:
        self._by_sector = {ids.sector_id(Agency.REGISTRY, person): person for person in PERSONS}
        self.family, self.strangers = FAMILY, STRANGERS
        self.silent = False
        self.raises: Exception | None = None
        self.asked: list[PersonId] = []

    def declare(self, *declared: Declaration) -> None:
        self.family = replace(self.family, declarations=declared)

    def dispute(self, deceased: PersonId) -> None:
        self.family = replace(self.family, disputes=(Dispute(deceased, date(2026, 3, 1), None),))

    def protect(self, person: PersonId) -> None:
        hidden = changed(self.family.persons[person], protected=True, address=None)
        self.family = replace(self.family, persons={**self.family.persons, person: hidden})

    def appoint(self, guardianship: Guardianship) -> None:
        self.family = replace(self.family, guardianships=(guardianship,))

    async def relatives(self, person: SectorId, inquiry: Inquiry) -> Answered[FamilyRegister | None]:
        subject = self._by_sector[person]
        self.asked.append(subject)
        await asyncio.sleep(0)
        if self.raises is not None:
            raise self.raises
        if self.silent:
            return Answered(None, answer_of(Agency.REGISTRY, AnswerStatus.UNAVAILABLE, inquiry.now, retry=7))
        of = next((each for each in (self.strangers, self.family) if subject in each.persons), ALONE)
        of = replace(of, persons={subject: PERSONS[subject], **of.persons})
        return Answered(replace(of, subject=subject), answer_of(Agency.REGISTRY, AnswerStatus.COMPLETE, inquiry.now))

    async def lookup(
        self, name: str, birth_date: date, registration_number: str | None, inquiry: Inquiry
    ) -> Answered[RegisteredPerson | None]:
        del registration_number
        await asyncio.sleep(0)
        if self.silent:
            return Answered(None, answer_of(Agency.REGISTRY, AnswerStatus.UNAVAILABLE, inquiry.now, retry=7))
        everybody = (*self.family.persons.values(), *self.strangers.persons.values())
        found = next((each for each in everybody if (each.name, each.birth_date) == (name, birth_date)), None)
        status = AnswerStatus.COMPLETE if found else AnswerStatus.NONE_HELD
        return Answered(found, answer_of(Agency.REGISTRY, status, inquiry.now))


# ---------------------------------------------------------------- agencies


def answer_of(agency: Agency, status: AnswerStatus, now: datetime, *, retry: int | None = None) -> Answer:
    known = status in KNOWN
    return Answer(
        agency=agency,
        status=status,
        source=agency.name,
        source_reference="R-1" if known else None,
        requested_at=now,
        expected_by=now.date() if status is AnswerStatus.PENDING else None,
        retrieved_at=now if known else None,
        as_of=now if known else None,
        visible_until=None,
        retry_after_seconds=retry,
        problems=[],
    )


def holding(type_: Any, asked: Asked, at: str, seed: str, *, full: bool = False) -> Any:
    """A value of the type as a connector makes it: what may not be read is None.

    Now and then there is nothing, unless it is to be `full`: then every list has two items and nothing is missing.
    """
    dice = zlib.crc32(f"{seed}/{at}".encode())
    origin, inner = typing.get_origin(type_), typing.get_args(type_)
    if origin in {typing.Union, types.UnionType}:
        if at not in asked.coordinates or (dice % 6 == 0 and not full):
            return None
        return holding(next(each for each in inner if each is not type(None)), asked, at, seed, full=full)
    if origin is list:
        length = 2 if full else dice // 6 % 3
        return [holding(inner[0], asked, at, f"{seed}/{number}", full=full) for number in range(length)]
    if type_ is KnownFact and at not in asked.coordinates:
        return KnownFact.UNKNOWN
    if get_object_definition(type_) is not None:
        return made(type_, asked, seed, full=full)
    return plain(type_, at, seed, dice)


def plain(type_: Any, at: str, seed: str, dice: int) -> Any:
    """An enum's value or a scalar."""
    if isinstance(type_, type) and issubclass(type_, Enum):
        return list(type_)[dice % len(type_)]
    values: dict[Any, Any] = {
        str: f"{at} {dice % 100}",
        strawberry.ID: f"{seed} {dice}",
        int: dice % 1000,
        bool: dice % 2 == 0,
        date: date(2020, 1, 1) + timedelta(days=dice % 1000),
        datetime: NOW,
        Decimal: Decimal(dice % 1000) / 10,
        Bilingual: Bilingual("이름", "name"),
    }
    return values.get(type_, dice % 1_000_000)


def made(type_: type, asked: Asked, seed: str, *, full: bool = False, **told: Any) -> Any:
    """An object of the graph, all the way down."""
    definition = get_object_definition(type_, strict=True)
    hints = typing.get_type_hints(type_)
    values = dict(told)
    shared = definition.name in {"Fraction", "AnswerProblem"}
    for each in fields(cast("Any", type_)):
        if not each.init or each.name in values:
            continue
        at = f"{definition.name}.{to_camel_case(each.name)}"
        allowed = changed(asked, coordinates=asked.coordinates | {at}) if shared else asked
        values[each.name] = holding(hints[each.name], allowed, at, seed, full=full)
    return type_(**values)


class FakeAgency:
    """One agency: what its connector is asked, and how it answers."""

    def __init__(self, agency: Agency, section: type) -> None:
        self.agency, self.section = agency, section
        self.asked: list[list[Asked]] = []
        self.status = AnswerStatus.COMPLETE
        self.full = False
        self.leaks: frozenset[str] = frozenset()
        self.raises: Exception | None = None
        self.entered, self.released = asyncio.Event(), asyncio.Event()
        self.released.set()
        self.answers: Callable[[Asked], Answered[Any]] | None = None
        self.connector: Connector[Any] = Connector(agency, Speed.INSTANT, agency.name, section, self.fetch)

    @property
    def questions(self) -> list[Asked]:
        return [question for questions in self.asked for question in questions]

    async def fetch(self, questions: Sequence[Asked]) -> Sequence[Answered[Any]]:
        self.asked.append(list(questions))
        self.entered.set()
        await self.released.wait()
        if self.raises is not None:
            raise self.raises
        return [self.answered(question) for question in questions]

    def answered(self, question: Asked) -> Answered[Any]:
        if self.answers is not None:
            return self.answers(question)
        answer = answer_of(self.agency, self.status, question.now)
        known = question if self.status in KNOWN else changed(question, coordinates=frozenset())
        leaky = changed(known, coordinates=known.coordinates | self.leaks)
        return Answered(made(self.section, leaky, f"{question.person}", full=self.full, answer=answer), answer)


def agencies(case: type) -> Mapping[Agency, FakeAgency]:
    definition = get_object_definition(case, strict=True)
    sections = {each.python_name: each for each in definition.fields}
    hints = {name: each.type for name, each in sections.items()}
    return {agency: FakeAgency(agency, cast("type", hints[agency.name.lower()])) for agency in SIX}


# ---------------------------------------------------------------- the house


@dataclass
class World:
    """The house at work. `ask` asks as the wife, at high assurance, unless told otherwise."""

    house: House
    graph: Graph
    register: FakeRegister
    roster: FakeRoster
    estate: Mapping[Agency, FakeAgency]
    birth: Mapping[Agency, FakeAgency]
    log: AccessLog
    time: list[datetime]
    kinds: dict[CaseId, CaseRecord] = field(default_factory=dict)
    read_to: int = 0

    @property
    def everyone(self) -> list[FakeAgency]:
        return [*self.estate.values(), *self.birth.values()]

    def forget(self) -> None:
        for agency in self.everyone:
            agency.asked.clear()
            agency.entered.clear()
        self.register.asked.clear()

    @property
    def contacted(self) -> list[str]:
        """The agencies whose connectors were called."""
        return [agency.section.__name__ for agency in self.everyone if agency.asked]

    async def opened(self, kind: CaseKind, subject: PersonId, holder: PersonId, **told: Any) -> str:
        """A case with a mandate, by its id for the portal."""
        estate = kind is CaseKind.ESTATE
        grant = Grant(
            role=told.get("role", MandateRole.HEIR if estate else MandateRole.PARENT),
            holder=holder,
            purpose=told.get("purpose", Purpose.ESTATE_DISCOVERY if estate else Purpose.BIRTH_BENEFITS),
            legal_basis="Civil Act 1000",
            issued_by="Family register",
            evidence=Evidence("FAMILY_REGISTER", "Family register", NOW, "HIGH", "0" * 64, "onestop"),
        )
        request = Request(holder, uuid4().hex, "0" * 64)
        record = await self.house.cases.opened_case(kind, subject, grant, request, self.time[0])
        self.kinds[record.id] = record
        return self.house.ids.sealed(told.get("client", CLIENT), kind.name, record.id)

    def register_of(self, person: PersonId) -> FamilyRegister:
        """What the register says around somebody of the family."""
        return replace(self.register.family, subject=person)

    def case_of(self, sealed: str) -> CaseId:
        parts = self.house.ids.opened(CLIENT, sealed)
        assert parts is not None
        return CaseId(parts[1])

    def token(self, viewer: PersonId = WIFE, *, acr: int = 3, signed_in_s: int = 60, **claims: Any) -> str:
        now = self.time[0]
        said: dict[str, Any] = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": viewer,
            "client_id": CLIENT,
            "jti": "token",
            "iat": int(now.timestamp()) - 30,
            "exp": int(now.timestamp()) + 300,
            "acr": f"urn:onestop:loa:{acr}",
            "auth_time": int(now.timestamp()) - signed_in_s,
        }
        header = {"alg": "ES256", "typ": "at+jwt", "kid": "test"}
        return f"Bearer {jwt.encode(header, said | claims, KEY, algorithms=['ES256'])}"

    def request(
        self, text: str, variables: Mapping[str, Any] | None = None, *, token: str | None = "", name: str | None = None
    ) -> Request_:
        document = self.graph.documents.take(text)
        assert isinstance(document, Document), document
        return Request_(
            document=document,
            operation_name=name,
            variables=dict(variables or {}),
            authorization=self.token() if token == "" else token,
            dpop=None,
            method="POST",
            url=AUDIENCE,
            source_address="192.0.2.1",
            request_id="request",
            trace_id=None,
        )

    async def ask(self, text: str, variables: Mapping[str, Any] | None = None, *, token: str | None = "") -> Reply:
        reply = await self.graph.answer(self.request(text, variables, token=token))
        return replace(reply, data=orjson.loads(orjson.dumps(reply.data)))  # as it is sent

    async def new_entries(self) -> list[dict[str, Any]]:
        """The entries since this was asked last."""
        found = [entry async for entry in self.log.reading.export(self.read_to)]
        self.read_to = found[-1]["leaf_index"] + 1 if found else self.read_to
        return found

    async def entries(self, reply: Reply | None = None) -> list[dict[str, Any]]:
        """All entries, or those that a reply names."""
        found = [entry async for entry in self.log.reading.export()]
        if reply is None:
            return found
        return [entry for entry in found if entry["id"] in set(reply.entry_ids)]


async def _published(_kid: str) -> KeySet:
    return KeySet([KEY])


@asynccontextmanager
async def world_in(folder: Path, *, busy_ms: int = 1000, **changed: Any) -> AsyncIterator[World]:
    """A world whose stores lie in the folder; `changed` replaces parts of the house."""
    time = [NOW]
    ids = Ids(SANDBOX_ROOT)
    register, roster = FakeRegister(ids), FakeRoster()
    estate, birth = agencies(EstateCase), agencies(BirthCase)
    keys = Keys(master=bytes(range(32)), signing=Ed25519PrivateKey.from_private_bytes(bytes(32)))
    alarms: list[str] = []
    async with (
        Cases.opened(f"sqlite+aiosqlite:///{folder}/cases.db") as cases,
        AccessLog.open(
            f"sqlite+aiosqlite:///{folder}/log.db", keys, lambda: time[0], LogSettings(busy_ms=busy_ms)
        ) as log,
    ):
        parts: dict[str, Any] = {
            "ids": ids,
            "tokens": TokenCheck(ISSUER, AUDIENCE, _published, cases.proofs.first, bearer_allowed=True),
            "sandbox": True,
            "policies": Policies(alarms.append),
            "cases": cases,
            "log": log,
            "registry": cast("Register", register),
            "roster": cast("Roster", roster),
            "estate": {agency: fake.connector for agency, fake in estate.items()},
            "birth": {agency: fake.connector for agency, fake in birth.items()},
            "kept": AESGCM(bytes(32)),
            "clock": lambda: time[0],
            "disclosed": DISCLOSED,
            "leaves": LEAVES,
            "leads_to": LEADS_TO,
            "schema_hash": "5c" * 32,
            "limits": Limits(deadline_s=5.0),
        }
        house = House(**parts | changed)
        graph = Graph(CORE, Documents(CORE, DocumentLimits()), house)
        yield World(house, graph, register, roster, estate, birth, log, time)
        assert alarms == []
