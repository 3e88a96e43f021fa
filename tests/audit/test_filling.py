"""The large logs of benchmarks are made of the rows that the program would write, in a store that it would make."""

from dataclasses import replace
from uuid import UUID

from audit import aid, store
from audit.entry import Outcome, Records, entry
from audit.reading import Reading, checked, selections_of
from audit.store import ENTRY
from audit.verifying import verify
from benchmarks.filling import DOCUMENTS, MASTER, RECORD, fill
from schema.scalars import Coordinate

COORDINATES = {name: [Coordinate(f"{name}.field{at}") for at in range(20)] for name in ("HEALTH", "LAND", "TAX")}
ENTRIES = 400


async def test_what_is_filled_in_is_what_the_program_would_write(url: str) -> None:
    await fill(url, ENTRIES, COORDINATES)

    async with Reading.open(url, MASTER) as reading, reading.engine.connect() as connection:
        years = await store.references(connection, reading.vault)
        rows = (await connection.execute(store.leaves().where(ENTRY.c.leaf_index.is_not(None)))).all()
        read = await selections_of(connection, rows)
        placed = []
        for row in rows:
            found = checked(row, read, years, reading.vault).entry
            keys = {agency: Records(held.count, (RECORD,)) for agency, held in found.access.records.items()}
            again = entry(replace(found.access, records=keys), UUID(row.id), years[row.year])
            assert (found.person_part, found.staff_part) == (again.person_part, again.staff_part)
            assert found.person_salt != found.staff_salt
            placed.append((row.leaf_index, row.at_us, found))
        for table, wanted in aid.rows(placed, reading.vault):
            key = table.primary_key.columns.keys()[0]
            kept = sorted((await connection.execute(table.select())).mappings(), key=lambda row: row[key])
            assert [dict(row) for row in kept] == sorted(wanted, key=lambda row: row[key])

    assert [index for index, _, _ in sorted(placed)] == list(range(DOCUMENTS, DOCUMENTS + ENTRIES))
    assert {found.access.outcome for _, _, found in placed} == set(Outcome)
    assert {found.access.organisation for _, _, found in placed} >= {"org-0", None}


async def test_a_filled_log_is_whole(sqlite_url: str) -> None:
    await fill(sqlite_url, ENTRIES, COORDINATES)

    assert verify(sqlite_url, MASTER).intact
