"""The log that benchmarks verify: an officer's week of questions, with the program's own rows and without its waiting.

1 person in 8 entries is new, 40 viewers, 200 cases.
"""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import event

from audit import store
from audit.entry import Access, Outcome, Records, Task, entry, selection, uuid7
from audit.keys import Vault
from schema.identifiers import CaseId, PersonId
from schema.scalars import Coordinate

MASTER = bytes(range(32))
BATCH = 5000
START = datetime(2026, 3, 2, 9, tzinfo=UTC)
ESTATE = selection("5c" * 32, [Coordinate(f"Type{at // 10}.field{at % 10}") for at in range(80)])
AGENCIES = ("LAND", "FINANCE", "PENSIONS", "TAX", "HEALTH", "VEHICLES", "REGISTRY")


def access(at: int, chance: random.Random, persons: int) -> Access:
    names = ESTATE.coordinates
    return Access(
        operation=UUID(int=chance.getrandbits(128)),
        at=START + timedelta(milliseconds=300 * at),
        task=Task.VIEW,
        operation_name="Estate",
        document_hash="sha256:" + "d0" * 32,
        selection=ESTATE,
        subject=PersonId(f"person-{chance.randrange(persons):022}"),
        subject_role="deceased",
        records={
            "LAND": Records(2, ("1111010100100010000", "1111010100100020000")),
            "VEHICLES": Records(1, ("12가3456",)),
        },
        answers=dict.fromkeys(AGENCIES, "COMPLETE"),
        disclosed=set(names[: 40 + at % 16]),
        null=set(names[56:60]),
        withheld=set(names[60:80]),
        failed=frozenset(),
        sensitivity="AMOUNT",
        purpose="ESTATE_DISCOVERY",
        legal_basis="MOIS rule 211",
        case_id=CaseId(str(UUID(int=chance.randrange(200)))),
        case_number="2026-서울-000001",
        organisation="onestop",
        outcome=Outcome.PARTIAL,
        policy_ids=("D01", "D02", "D17"),
        policy_set_hash="0c" * 32,
        viewer=f"official-{chance.randrange(40)}",
        roles=("CASE_OFFICER",),
        office="jongno",
        agency=None,
        on_behalf_of=None,
        session=f"jti-{at}",
        assurance="HIGH",
        client_id="portal",
        source_address="192.0.2.7",
        reason=None,
        variables={"id": f"case-{at % 200}"},
        trace_id=f"{at:032x}",
        request_id=str(UUID(int=at)),
    )


async def build(url: str, entries: int, master: bytes = MASTER) -> None:
    engine = store.writing_engine(url, 1000)

    @event.listens_for(engine.sync_engine, "connect")
    def hurry(connection: object, _record: object) -> None:
        connection.cursor().execute("PRAGMA synchronous = OFF")  # type: ignore[attr-defined]  # the driver's own

    chance = random.Random(7)  # noqa: S311 - the same log every time
    async with engine.connect() as connection:
        async with store.writing(connection):
            vault = Vault(master, await store.create(connection, START, master))
            await store.new_year(connection, vault, START.year)
            years = await store.references(connection, vault)
        for begin in range(0, entries, BATCH):
            accesses = [access(at, chance, max(1, entries // 8)) for at in range(begin, min(begin + BATCH, entries))]
            made = [entry(each, uuid7(each.at), years[START.year]) for each in accesses]
            await store.commit(connection, made, vault)
    await engine.dispose()


def made(url: str, entries: int) -> None:
    """Build the log in a process of its own, whose memory is not what is measured."""
    asyncio.run(build(url, entries))
