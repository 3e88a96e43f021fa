"""No search reads a whole table: every statement of every filter, by what the stores themselves say of it."""

import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection

from audit.entry import Access, Outcome
from audit.keys import Keys
from audit.reading import EVERYTHING, Filter
from audit.searching import Search, Wanted
from audit.writer import AccessLog
from schema.identifiers import CaseId, PersonId
from schema.scalars import Coordinate

Accesses = Callable[..., Access]
Clock = Callable[[], datetime]
NARROWED = {
    "nothing": EVERYTHING,
    "agency": Filter(agency="LAND"),
    "coordinate": Filter(coordinate=Coordinate("LandParcel.pnu")),
    "purpose": Filter(purpose="ESTATE_DISCOVERY"),
    "outcome": Filter(outcome=Outcome.PARTIAL),
    "sensitivity": Filter(min_sensitivity="PRESENCE"),
    "all": Filter(
        agency="LAND",
        coordinate=Coordinate("LandParcel.pnu"),
        purpose="ESTATE_DISCOVERY",
        outcome=Outcome.PARTIAL,
        min_sensitivity="PRESENCE",
    ),
}
NAMED: dict[str, dict[str, Any]] = {
    "nobody": {},
    "subject": {"subject": PersonId("deceased-person")},
    "viewer": {"viewer": PersonId("viewer-heir")},
    "both": {"subject": PersonId("deceased-person"), "viewer": PersonId("viewer-heir")},
    "case": {"case_id": CaseId("case-1")},
}
EFFORTS: dict[str, dict[str, Any]] = {"few": {}, "many": {"looked_at": ((0, 2), (0, 4)), "of_one": (2, 4)}}
LARGE = re.compile(r"entry(_facet|_\d{6})?|facet|leaf")
"""Tables that grow with the log. Selections are as many as documents."""


def whole(plan: list[str]) -> list[str]:
    """Steps of SQLite's plan that read all rows of a table, but for those along ids, which stop after so many."""
    found = [step for step in plan if (named := re.match(r"SCAN (\w+)", step)) and LARGE.fullmatch(named[1])]
    return [step for step in found if "USING COVERING INDEX sqlite_autoindex_entry_1" not in step]


def whole_of(node: dict[str, Any], limited: bool = False) -> Iterator[str]:
    """The same of PostgreSQL's."""
    limited = limited or node["Node Type"] == "Limit"
    bounded = "Index Cond" in node or node["Node Type"] == "Bitmap Heap Scan"
    along_ids = limited and str(node.get("Index Name")).endswith("_id_key")
    if LARGE.fullmatch(node.get("Relation Name", "")) and not bounded and not along_ids:
        yield f"{node['Node Type']} of {node['Relation Name']}"
    for inner in node.get("Plans", ()):
        yield from whole_of(inner, limited)


async def steps(connection: AsyncConnection, statement: str, passed: Any) -> list[str]:
    """What of the statement's plan reads a whole table."""
    if connection.dialect.name == "sqlite":
        rows = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", passed)
        return whole([row.detail for row in rows])
    said = (await connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", passed)).scalar_one()
    (plan,) = json.loads(said) if isinstance(said, str) else said
    return list(whole_of(plan["Plan"]))


@pytest.fixture
async def log(url: str, keys: Keys, clock: Clock, access: Accesses) -> AsyncIterator[AccessLog]:
    async with AccessLog.open(url, keys, clock) as log:
        await log.append([
            access(at=clock() + timedelta(minutes=number), organisation="here", purpose=f"PURPOSE_{number}")
            for number in range(20)
        ])  # fmt: skip
        yield log


def noted(log: AccessLog) -> list[tuple[str, Any]]:
    """What is asked of the log's readers from now on."""
    asked: list[tuple[str, Any]] = []

    @event.listens_for(log.reading.engine.sync_engine, "before_cursor_execute")
    def note(_connection: object, _cursor: object, statement: str, passed: Any, *_: object) -> None:
        if not statement.startswith("EXPLAIN"):
            asked.append((statement, passed))

    return asked


@pytest.mark.parametrize("effort", EFFORTS)
async def test_no_search_reads_a_whole_table(log: AccessLog, clock: Clock, effort: str) -> None:
    engine, vault = log.reading.engine, log.reading.vault
    asked = noted(log)
    search, found, seen = Search(engine, vault, **EFFORTS[effort]), [], 0
    async with engine.connect() as connection:
        if connection.dialect.name == "postgresql":  # so small a table is not worth an index, unless one must
            await connection.exec_driver_sql("SET enable_seqscan = off")
        soon, late = clock() + timedelta(minutes=3), clock() + timedelta(minutes=15)
        for name, where in NARROWED.items():
            for whom, told in NAMED.items():
                for since, until, before in ((None, None, None), (soon, late, None), (None, None, (2**50, 9))):
                    people = dict(told)
                    narrowed = replace(where, case_id=people.pop("case_id", None), since=since, until=until)
                    asked.clear()
                    wanted = Wanted(organisation="here", where=narrowed, **people)
                    await search.page(wanted, first=3, before=before)
                    for statement, passed in asked:
                        seen += 1
                        found += [(name, whom, step) for step in await steps(connection, statement, passed)]

    assert found == []
    assert seen > 2 * len(NARROWED) * len(NAMED)


async def test_no_reading_of_somebodys_entries_reads_a_whole_table(log: AccessLog) -> None:
    reading, found = log.reading, []
    asked, person, case_id = noted(log), PersonId("deceased-person"), CaseId("case-1")
    (entry_id, *others) = [str(each.entry.id) for each in (await reading.of_person(person)).entries]
    await reading.of_case(case_id)
    await reading.entry(entry_id)
    await reading.entry(entry_id, about=person, cases=[case_id])
    await reading.entries(others)
    async with reading.engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            await connection.exec_driver_sql("SET enable_seqscan = off")
            asked.pop()
        for statement, passed in list(asked):
            found += await steps(connection, statement, passed)

    assert found == []
    assert len(asked) > 5
