"""A large access log for benchmarks: the rows that the program would write, without its waiting.

The parts of an entry are written once for each kind of access, by the program's own `entry`, and then filled in; each
is sealed and committed to like every other. `audit.reading.checked`, and so every search, would refuse a row that the
program would not have written; `tests/audit/test_filling.py` compares rows with the program's byte by byte.

A year of accesses: 100 organisations, of which the one that is searched makes a fifth, and persons themselves another
fifth; 5,000 officials, ten of them with ten times as much to do. The organisation that is searched asks 60 documents in
up to 240 ways each, which makes more than 10,000 facets; others make a tenth of them. One case in 500 accesses is the
same famous one.
"""

import hashlib
import os
import random
import sqlite3
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Index, Table, text
from sqlalchemy.dialects import postgresql as postgresql_dialect
from sqlalchemy.dialects import sqlite as sqlite_dialect
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.schema import CreateIndex

from audit import aid, postgres, sqlite, store
from audit.entry import COMMITMENT_PREFIX, ENTRY_LEAF, Access, Outcome, Records, Selection, Task, entry, part_name
from audit.entry import leaf as leaf_of
from audit.entry import selection as selection_of
from audit.keys import KEY_BYTES, References, Vault
from schema.identifiers import CaseId, PersonId
from schema.scalars import Coordinate

MASTER = bytes(range(32))
BATCH = 20_000
START = datetime(2025, 1, 1, tzinfo=UTC)
BEGIN_US = store.microseconds(START)
YEAR_US = 365 * 86_400 * 1_000_000
LATE_US = 10_000_000
"""An access is written down up to so much later than it was: places are not quite in the order of moments."""
ORGANISATIONS, OFFICIALS, BUSY = 100, 5000, 10
HERE = "org-0"
PURPOSES = ("ESTATE_DISCOVERY", "BIRTH_BENEFITS", "MEANS_TEST", "ESTATE_SETTLEMENT")
OUTCOMES, WEIGHTS = tuple(Outcome), (0.7, 0.95, 0.99)
DOCUMENTS, WAYS = 60, 15
RECORD = "1111010100100010000"
GIVEN = ("id", "operation", "at", "subject_ref", "case", "number", "organisation", "subject", "viewer", "session",
         "trace", "request")  # fmt: skip
"""What differs between entries of one kind."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Accesses that agree in all that is coarse: parts of an entry to be filled in."""

    named: tuple[int, ...]
    person: str
    staff: str
    coarse: Mapping[str, Any]
    """Columns of the entry, in their order, that its facet has too."""
    access: Access


@dataclass
class Filling:
    """Makes the rows. `coordinates` are the graph's, by agency; the same number makes the same log but for secrets."""

    vault: Vault
    references: References
    entries: int
    coordinates: Mapping[str, Sequence[Coordinate]]
    chance: random.Random = field(default_factory=lambda: random.Random(7))  # noqa: S311 - the same log every time
    kinds: dict[tuple[int, ...], Kind] = field(default_factory=dict)
    facets: dict[tuple[int, tuple[int, ...]], int] = field(default_factory=dict)
    known: set[int] = field(default_factory=set)
    minutes: dict[int, tuple[int, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        of = self.references.of
        self.documents = documents(self.coordinates)
        self.cases, self.persons = self.entries // 20 + 1, self.entries // 40 + 1
        names = [person(at) for at in range(self.persons)]
        self.people = [(name, of("person", name), of("viewer", name), os.urandom(KEY_BYTES)) for name in names]
        self.officials = [(official(at), of("viewer", official(at))) for at in range(OFFICIALS)]
        self.case_refs = [of("case", case(at)) for at in range(self.cases)]
        self.organisations = [*(f'"org-{at}"' for at in range(ORGANISATIONS)), "null"]

    def selections(self) -> Iterator[tuple[list[Any], list[Any]]]:
        """Rows of leaf and selection, which come first."""
        for at, each in enumerate(self.documents):
            columns = store.selection_columns(each, at)
            yield [at, each.leaf], [columns[column.name] for column in store.SELECTION.c]

    def person_keys(self) -> Iterator[list[Any]]:
        for at, (_, ref, _, secret) in enumerate(self.people):
            yield [key_id(at), START.year, ref, self.vault.wrapped(secret, START.year, ref)]

    def batches(self) -> Iterator[Mapping[Table, list[list[Any]]]]:
        for begin in range(0, self.entries, BATCH):
            made: dict[Table, list[list[Any]]] = {
                store.LEAF: [], store.ENTRY: [], aid.FACET: [], aid.ENTRY_FACET: [],
            }  # fmt: skip
            for at in range(begin, min(begin + BATCH, self.entries)):
                self._row(at, made)
            yield made

    def _row(self, at: int, made: Mapping[Table, list[list[Any]]]) -> None:
        chance = self.chance.random
        leaf_index = DOCUMENTS + at
        at_us = BEGIN_US + min(YEAR_US - 1, YEAR_US * at // self.entries + int(chance() * LATE_US))
        share = chance()
        case_at = 0 if chance() < 0.002 else int(chance() * self.cases)
        person_at = case_at % self.persons
        who, person_ref, viewer_of_person, secret = self.people[person_at]
        mine = 0
        if share < 0.2:  # a tenth of it by the busy ones
            viewer_at = int(chance() * BUSY) if chance() < 0.09 else BUSY + int(chance() * (OFFICIALS // 5 - BUSY))
            viewer, viewer_ref = self.officials[viewer_at]
        elif share < 0.4:
            viewer, viewer_ref, mine = who, viewer_of_person, ORGANISATIONS
        else:
            viewer_at = OFFICIALS // 5 + int(chance() * OFFICIALS * 4 // 5)
            viewer, viewer_ref = self.officials[viewer_at]
            mine = 1 + viewer_at % (ORGANISATIONS - 1)
        kind = self.kind(
            int(DOCUMENTS * (1 - (1 - chance()) ** 0.5)),  # the first are asked most
            bisect_right(WEIGHTS, chance()),
            int(chance() * (4 if mine == 0 else 2)),
            int(chance() * (WAYS if mine == 0 else 3)),
        )
        random_ = os.urandom(154)
        more = random_[:66].hex()
        month, minute = self._minute(at_us)
        milliseconds = f"{at_us // 1000:012x}"
        begun = f"{milliseconds[:8]}-{milliseconds[8:]}-7"
        entry_id = f"{begun}{more[:3]}-{'89ab'[at & 3]}{more[3:6]}-{more[6:18]}"
        given = {
            "id": entry_id,
            "operation": f"{begun}{more[18:21]}-8{more[21:24]}-{more[24:36]}",
            "at": f"{minute}:{at_us // 1_000_000 % 60:02}.{at_us % 1_000_000:06}+00:00",
            "subject_ref": person_ref.hex(),
            "case": case(case_at),
            "number": f"2025-서울-{case_at:06}",
            "organisation": self.organisations[mine],
            "subject": who,
            "viewer": viewer,
            "session": more[36:68],
            "trace": more[68:100],
            "request": more[100:132],
        }
        sha256 = hashlib.sha256
        person_part, staff_part = (kind.person % given).encode(), (kind.staff % given).encode()
        person_part, staff_part = random_[66:98] + person_part, random_[98:130] + staff_part
        committed = sha256(COMMITMENT_PREFIX + sha256(person_part).digest() + sha256(staff_part).digest()).digest()
        encrypt, first, second = AESGCM(secret).encrypt, random_[130:142], random_[142:]
        coarse = kind.coarse
        made[store.LEAF].append([leaf_index, leaf_of(ENTRY_LEAF, month, committed)])
        made[store.ENTRY].append([
            leaf_index, entry_id, at_us, START.year, key_id(person_at), person_ref, viewer_ref, self.case_refs[case_at],
            *coarse.values(),
            first + encrypt(first, person_part, part_name(entry_id, "person")),
            second + encrypt(second, staff_part, part_name(entry_id, "staff")),
        ])  # fmt: skip
        facet = self.facets.get((mine, kind.named)) or self._facet(mine, kind, made[aid.FACET])
        made[aid.ENTRY_FACET].append([leaf_index, at_us, facet])

    def _minute(self, at_us: int) -> tuple[int, str]:
        """The month, and the minute as an entry says it."""
        minute = at_us // 60_000_000
        found = self.minutes.get(minute)
        if found is None:
            at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
            found = self.minutes[minute] = at.year * 100 + at.month, f"{at:%Y-%m-%dT%H:%M}"
        return found

    def _facet(self, mine: int, kind: Kind, new: list[list[Any]]) -> int:
        access = replace(kind.access, organisation=None if mine == ORGANISATIONS else f"org-{mine}")
        said = aid.facet_of(entry(access, UUID(int=1), self.references), self.vault)
        found: int = said["id"]
        self.facets[mine, kind.named] = found
        if found not in self.known:
            self.known.add(found)
            new.append([said[column.name] for column in aid.FACET.c])
        return found

    def kind(self, document_at: int, outcome_at: int, purpose_at: int, way: int) -> Kind:
        named = (document_at, outcome_at, purpose_at, way)
        found = self.kinds.get(named)
        if found is None:
            found = self.kinds[named] = self._kind(*named)
        return found

    def _kind(self, document_at: int, outcome_at: int, purpose_at: int, way: int) -> Kind:
        outcome, read = OUTCOMES[outcome_at], self.documents[document_at]
        names = read.coordinates
        asked = agencies_of(document_at, self.coordinates)
        refused = outcome is Outcome.REFUSED
        shown = () if refused or outcome is Outcome.FAILED else names[: max(1, len(names) * 3 // 4)]
        access = Access(
            operation=UUID(int=2),
            at=START,
            task=Task.VIEW,
            operation_name=f"Document{document_at}",
            document_hash="sha256:" + hashlib.sha256(bytes([document_at])).hexdigest(),
            selection=read,
            subject=PersonId("{subject}"),
            subject_role="deceased",
            records={asked[0]: Records(1, (RECORD,))} if shown else {},
            answers={} if refused else dict.fromkeys(asked[: 1 + way % len(asked)], "COMPLETE"),
            disclosed=frozenset(shown),
            null=frozenset(),
            withheld=frozenset(names) if refused else frozenset(names) - frozenset(shown),
            failed=frozenset(),
            sensitivity=("PRESENCE", "IDENTITY", "INVENTORY", "AMOUNT", "SPECIAL")[way % 5] if shown else None,
            purpose=PURPOSES[purpose_at],
            legal_basis="Civil Act 1000",
            case_id=CaseId("{case}"),
            case_number="{number}",
            organisation="{organisation}",
            outcome=outcome,
            policy_ids=("D14", "D15"),
            policy_set_hash="0c" * 32,
            viewer="{viewer}",
            roles=("CASE_OFFICER",),
            office="civil affairs",
            agency="{organisation}",
            on_behalf_of=None,
            session="{session}",
            assurance="HIGH",
            client_id="portal",
            source_address="192.0.2.7",
            reason=None,
            variables={"id": "a case"},
            trace_id="{trace}",
            request_id="{request}",
        )
        made = entry(access, UUID(int=1), self.references)
        standing = {
            str(UUID(int=1)): "id",
            str(UUID(int=2)): "operation",
            START.isoformat(timespec="microseconds"): "at",
            (made.subject_ref or b"").hex(): "subject_ref",
            '"{organisation}"': "organisation",
            **{f"{{{name}}}": name for name in GIVEN},
        }
        parts = [made.person_part.decode(), made.staff_part.decode()]
        for value, name in standing.items():
            parts = [part.replace(value, f"%({name})s") for part in parts]
        coarse = {
            "agencies": aid.agencies_text(access.answers),
            "outcome": outcome.value,
            "purpose": access.purpose,
            "max_sensitivity": store.looked_up_by(made)["max_sensitivity"],
            "selection": read.id,
        }
        return Kind((document_at, outcome_at, purpose_at, way), parts[0], parts[1], coarse, access)


def documents(coordinates: Mapping[str, Sequence[Coordinate]]) -> list[Selection]:
    """Each reads six coordinates of up to three agencies."""
    return [
        selection_of(
            "5c" * 32,
            [
                each
                for agency in agencies_of(at, coordinates)
                for each in coordinates[agency][at % 7 : at % 7 + 6]
            ] + [Coordinate(f"Document{at}.id")],
        )
        for at in range(DOCUMENTS)
    ]  # fmt: skip


def agencies_of(document_at: int, coordinates: Mapping[str, object]) -> list[str]:
    names = sorted(coordinates)
    return [names[(document_at + step) % len(names)] for step in range(1 + document_at % 3)]


def person(at: int) -> PersonId:
    return PersonId(f"{at:026}")


def official(at: int) -> PersonId:
    return PersonId(f"official{at:018}")


def case(at: int) -> CaseId:
    return CaseId(str(UUID(int=at + 1)))


def key_id(at: int) -> str:
    return f"{at:032x}"


# ---------------------------------------------------------------- into a store


async def fill(url: str, entries: int, coordinates: Mapping[str, Sequence[Coordinate]], master: bytes = MASTER) -> None:
    """Make a log of so many entries where there is none."""
    engine = store.writing_engine(url, 1000, limit_s=None)
    async with engine.connect() as connection:
        async with store.writing(connection):
            vault = Vault(master, await store.create(connection, START, master))
            await store.new_year(connection, vault, START.year)
        references = (await store.references(connection, vault))[START.year]
        await connection.rollback()
        filling = Filling(vault, references, entries, coordinates)
        into = _postgresql if connection.dialect.name == "postgresql" else _sqlite
        await into(connection, filling)
    await engine.dispose()


def _first(filling: Filling) -> list[tuple[Table, list[list[Any]]]]:
    selections = list(filling.selections())
    return [
        (store.LEAF, [leaf for leaf, _ in selections]),
        (store.SELECTION, [columns for _, columns in selections]),
        (store.PERSON_KEY, list(filling.person_keys())),
    ]


def _indexes() -> list[Index]:
    """Those that are made faster of all rows at once."""
    return [*store.ENTRY.indexes, *aid.ENTRY_FACET.indexes]


async def _sqlite(connection: AsyncConnection, filling: Filling) -> None:
    def work(inner: sqlite3.Connection) -> None:
        for pragma in ("synchronous=OFF", "foreign_keys=OFF", "cache_size=-1000000", "temp_store=FILE"):
            inner.execute(f"PRAGMA {pragma}")
        for index in _indexes():
            inner.execute(f"DROP INDEX {index.name}")
        for table, rows in _first(filling):
            _inserted(inner, table, rows)
        for batch in filling.batches():
            inner.execute(sqlite.BEGIN)
            for table, rows in batch.items():
                _inserted(inner, table, rows)
            inner.execute("COMMIT")
        for index in _indexes():
            inner.execute(str(CreateIndex(index).compile(dialect=SQLITE)))
        inner.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    await sqlite.inside(connection, work)


def _inserted(inner: sqlite3.Connection, table: Table, rows: Sequence[Sequence[Any]]) -> None:
    marks = ",".join("?" * len(table.c))
    inner.executemany(f"INSERT INTO {table.name} VALUES ({marks})", rows)  # noqa: S608 - our own tables


async def _postgresql(connection: AsyncConnection, filling: Filling) -> None:
    async with store.writing(connection):
        await postgres.make_months(connection, [START.year * 100 + month for month in range(1, 13)])
        for index in _indexes():
            await connection.execute(text(f"DROP INDEX {index.name}"))
    driver: Any = (await connection.get_raw_connection()).driver_connection
    # Foreign keys hold by the way the rows are made; asking for each takes longer than all the rest.
    await driver.execute("SET session_replication_role = replica")
    await driver.execute("SET synchronous_commit = off")
    await driver.execute("SET lock_timeout = 0")  # the server's own vacuum may be at a partition
    await driver.execute("SET maintenance_work_mem = '1GB'")
    for table, rows in _first(filling):
        await _copied(driver, table, rows)
    for batch in filling.batches():
        for table, rows in batch.items():
            await _copied(driver, table, rows)
    served = postgres.partitioned(store.ENTRY)
    for index in [*served.indexes, *aid.ENTRY_FACET.indexes]:
        await driver.execute(str(CreateIndex(index).compile(dialect=POSTGRESQL)))
    await driver.execute("VACUUM ANALYZE")  # as autovacuum would have done
    await driver.execute("RESET ALL")


async def _copied(driver: Any, table: Table, rows: Sequence[Sequence[Any]]) -> None:
    columns = [column.name for column in table.c]
    await driver.copy_records_to_table(table.name, columns=columns, records=rows)


SQLITE = sqlite_dialect.dialect()
POSTGRESQL = postgresql_dialect.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's own
