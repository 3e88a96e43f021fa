"""How fast `onestop log verify` is, and in how much memory: `python benchmarks/verify.py [ENTRIES]`.

Builds a log of so many entries (an officer's week of questions: 1 person in 8 entries is new, 40 viewers, 200 cases),
with the program's own rows and without its waiting, then verifies it with every check on. Prints entries a second by
the clock and by the processors used (other work on the machine shows in the first only), and the greatest memory that
all processes held at one time.
"""

import asyncio
import multiprocessing
import os
import random
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
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
            async with store.writing(connection):
                await store.add(connection, made, vault)
    await engine.dispose()


def resident() -> int:
    """Bytes that this process and its children hold in memory, each shared page counted once (proportional set)."""
    mine = [os.getpid(), *children(os.getpid())]
    return sum(proportional(process) for process in mine)


def children(process: int) -> Iterator[int]:
    for thread in Path(f"/proc/{process}/task").glob("*/children"):
        yield from (int(child) for child in thread.read_text().split())


def proportional(process: int) -> int:
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def main() -> None:
    entries = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    with tempfile.TemporaryDirectory() as folder:
        url = os.environ.get("VERIFY_URL") or f"sqlite+aiosqlite:///{folder}/log.db"
        building = multiprocessing.get_context("spawn").Process(target=made, args=(url, entries))
        building.start()
        building.join()
        measure(url, entries)


def made(url: str, entries: int) -> None:
    """Build the log in a process of its own, whose memory is not what is measured."""
    asyncio.run(build(url, entries))


def measure(url: str, entries: int) -> None:
    from audit.verifying import verify  # noqa: PLC0415 - what builds the log is not what is measured

    most, ended = [0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.1):
            most[0] = max(most[0], resident())

    watching = threading.Thread(target=watch)
    watching.start()
    before, started = spent(), time.monotonic()
    verdict = verify(url, MASTER)
    took = time.monotonic() - started
    ended.set()
    watching.join()
    used = spent() - before
    assert verdict.intact, verdict
    assert verdict.entries == entries, verdict
    print(f"{entries} entries in {took:.1f} s: {entries / took:,.0f} entries/s, {most[0] / 2**20:.0f} MiB")
    print(f"processors used: {used:.1f} s, {used / entries * 1e6:.1f} us an entry")


def spent() -> float:
    """Seconds of processors, ended children included."""
    each = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in each)


if __name__ == "__main__":
    main()
