"""What the log tells, to whom it belongs, and that a changed log says so."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from audit.entry import Access, Outcome, selection
from audit.keys import Keys
from audit.reading import DamageError, Filter, Page, Reading
from audit.store import StoreError
from audit.verifying import verify
from audit.writer import AccessLog
from schema.identifiers import CaseId, PersonId
from schema.scalars import Coordinate

Accesses = Callable[..., Access]
Clock = Callable[[], datetime]

DECEASED = PersonId("deceased-person")
CHILD = PersonId("child")
VEHICLE = selection("5c" * 32, [Coordinate("Vehicle.plate"), Coordinate("Vehicle.maker")])


def path_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite+aiosqlite:///"))


def tamper(url: str, *statements: str | tuple[str, Sequence[Any]]) -> int:
    """Change the store as somebody with the file does, triggers away meanwhile; how many rows it changed."""
    with closing(sqlite3.connect(path_of(url))) as store, store:
        triggers = store.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            store.execute(f"DROP TRIGGER {name}")
        before = store.total_changes
        for statement in statements:
            store.execute(*((statement,) if isinstance(statement, str) else statement))
        changed = store.total_changes - before
        for _, definition in triggers:
            store.execute(definition)
        return changed


def places(page: Page) -> list[int]:
    return [placed.leaf_index for placed in page.entries]


@pytest.fixture
async def log(url: str, keys: Keys, clock: Clock) -> AsyncIterator[AccessLog]:
    async with AccessLog.open(url, keys, clock) as opened:
        yield opened


@pytest.fixture
async def kept(sqlite_url: str, keys: Keys, clock: Clock, access: Accesses) -> str:
    """Give the URL of a log at rest: selection 0, entries 1 and 2, selection 3, entries 4 and 5 (of nobody)."""
    about_a_car: dict[str, Any] = {"selection": VEHICLE, "disclosed": {"Vehicle.plate"}}
    about_a_car |= {"null": frozenset(), "withheld": frozenset(), "answers": {"VEHICLES": "COMPLETE"}}
    async with AccessLog.open(sqlite_url, keys, clock) as log:
        await log.append([access(), access(subject=CHILD)])
        await log.append([access(**about_a_car), access(subject=None, **about_a_car)])
    return sqlite_url


async def verdict_on(url: str, keys: Keys) -> tuple[bool, int | None]:
    verdict = await asyncio.to_thread(verify, url, keys.master)
    assert verdict.intact == (verdict.reason is None)
    return verdict.intact, verdict.first_bad


# ---------------------------------------------------------------- reading


async def test_a_person_finds_the_accesses_to_their_own_data_newest_first(log: AccessLog, access: Accesses) -> None:
    await log.append([access(), access(subject=CHILD), access(case_id=CaseId("case-2")), access(subject=None)])

    assert places(await log.reading.of_person(DECEASED)) == [3, 1]
    assert places(await log.reading.of_person(CHILD)) == [2]
    assert places(await log.reading.of_person(PersonId("stranger"))) == []


async def test_a_case_shows_the_accesses_made_in_it_to_whomever(log: AccessLog, access: Accesses) -> None:
    await log.append([access(), access(subject=CHILD), access(case_id=CaseId("case-2")), access(case_id=None)])

    assert places(await log.reading.of_case(CaseId("case-1"))) == [2, 1]
    assert places(await log.reading.of_case(CaseId("case-2"))) == [3]


async def test_a_look_up_covers_every_year(log: AccessLog, access: Accesses) -> None:
    await log.append([access(at=datetime(year, 6, 1, tzinfo=UTC)) for year in (2024, 2025, 2026)])

    assert places(await log.reading.of_person(DECEASED)) == [3, 2, 1]
    assert places(await log.reading.of_case(CaseId("case-1"))) == [3, 2, 1]


async def test_pages_follow_one_another_without_a_gap(log: AccessLog, access: Accesses) -> None:
    await log.append([access() for _ in range(7)])

    first = await log.reading.of_person(DECEASED, first=3)
    await log.append([access()])  # a newer one does not shift the pages
    second = await log.reading.of_person(DECEASED, first=3, before=first.next)
    third = await log.reading.of_person(DECEASED, first=3, before=second.next)

    assert [places(page) for page in (first, second, third)] == [[7, 6, 5], [4, 3, 2], [1]]
    assert [page.next for page in (first, second, third)] == [5, 2, None]


@pytest.mark.parametrize(
    ("where", "found"),
    [
        (Filter(), [2, 1]),
        (Filter(agency="LAND"), [1]),
        (Filter(agency="AND"), []),
        (Filter(coordinate=Coordinate("Vehicle.plate")), []),
        (Filter(coordinate=Coordinate("LandParcel.pnu")), [2, 1]),
        (Filter(coordinate=Coordinate("LandParcel.pn_")), []),
        (Filter(purpose="SUBJECT_ACCESS"), [2]),
        (Filter(outcome=Outcome.REFUSED), [2]),
        (Filter(min_sensitivity="AMOUNT"), [2]),
        (Filter(min_sensitivity="INVENTORY"), [2, 1]),
        (Filter(case_id=CaseId("case-2")), [2]),
        (Filter(agency="TAX", outcome=Outcome.PARTIAL), []),
    ],
)
async def test_a_filter_narrows_to_what_it_names(
    log: AccessLog, access: Accesses, where: Filter, found: list[int]
) -> None:
    other: dict[str, Any] = {"answers": {"TAX": "COMPLETE"}, "purpose": "SUBJECT_ACCESS", "outcome": Outcome.REFUSED}
    await log.append([access(), access(**other, sensitivity="SPECIAL", case_id=CaseId("case-2"))])

    assert places(await log.reading.of_person(DECEASED, where)) == found


async def test_a_span_of_time_includes_its_start_and_not_its_end(log: AccessLog, access: Accesses) -> None:
    at = access().at
    await log.append([access(at=at + timedelta(microseconds=shift)) for shift in range(4)])

    span = Filter(since=at + timedelta(microseconds=1), until=at + timedelta(microseconds=3))

    assert places(await log.reading.of_person(DECEASED, span)) == [3, 2]


async def test_an_entry_is_found_by_its_id_with_everything_that_was_told(log: AccessLog, access: Accesses) -> None:
    (receipt,) = await log.append([access(reason="court order 7")])

    placed = await log.reading.entry(str(receipt.entry_id), about=DECEASED)

    assert placed is not None
    told = placed.entry.access
    assert (told.subject, told.viewer, told.reason) == (DECEASED, "viewer-heir", "court order 7")
    assert told.withheld == {"LandParcel.assessedValue"}
    assert told.variables == {"id": "case-1", "ratio": 0.5, "huge": 2**70}


async def test_an_entry_is_nothing_to_whom_it_does_not_concern(log: AccessLog, access: Accesses) -> None:
    (receipt,) = await log.append([access()])
    told = str(receipt.entry_id)

    assert await log.reading.entry(told, about=PersonId("a stranger"), cases=[CaseId("another case")]) is None
    assert await log.reading.entry(told, about=PersonId("a stranger"), cases=[CaseId("case-1")]) is not None
    assert await log.reading.entry("00000000-0000-7000-8000-000000000000", about=DECEASED) is None


async def test_an_export_is_plain_ordered_and_spells_coordinates_out(log: AccessLog, access: Accesses) -> None:
    receipts = await log.append([access() for _ in range(3)])

    lines = [line async for line in log.reading.export(since=2)]

    assert [line["leaf_index"] for line in lines] == [2, 3]
    assert [line["leaf_hash"] for line in lines] == [receipt.leaf_hash for receipt in receipts[1:]]
    assert lines[0]["disclosed"] == ["LandParcel.pnu"]
    assert lines[0]["null"] == ["LandParcel.address"]
    assert lines[0]["withheld"] == ["LandParcel.assessedValue"]
    assert lines[0]["staff"]["viewer"] == "viewer-heir"
    assert orjson.loads(orjson.dumps(lines[0] | {"staff": None}))["id"] == str(receipts[1].entry_id)


async def test_a_log_longer_than_a_chunk_is_exported_and_verified_whole(
    sqlite_url: str, keys: Keys, clock: Clock, access: Accesses
) -> None:
    async with AccessLog.open(sqlite_url, keys, clock) as log:
        await log.append([access()] * 1203)

        assert [line["leaf_index"] async for line in log.reading.export()] == list(range(1, 1204))
    assert (await asyncio.to_thread(verify, sqlite_url, keys.master)).entries == 1203


async def test_the_stored_rows_show_no_person_viewer_case_or_reason(kept: str) -> None:
    bytes_of_store = b"".join(file.read_bytes() for file in path_of(kept).parent.iterdir())

    for secret in (b"deceased-person", b"viewer-heir", b"case-1", b"1111010100100010000", b"MOIS", b"192.0.2.7"):
        assert secret not in bytes_of_store
    assert b"LandParcel.pnu" in bytes_of_store  # selections are not personal


async def test_where_there_is_no_log_reading_says_so_and_makes_none(sqlite_url: str, keys: Keys) -> None:
    with pytest.raises(StoreError):
        async with Reading.open(sqlite_url, keys.master):
            pass

    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        sqlite3.connect(f"file:{path_of(sqlite_url)}?mode=ro", uri=True)
    assert not [thread for thread in threading.enumerate() if "_connection_worker" in thread.name]


async def test_a_log_in_a_folder_with_an_odd_name_is_found(
    tmp_path: Path, keys: Keys, clock: Clock, access: Accesses
) -> None:
    odd = tmp_path / "50% #1 서울"
    odd.mkdir()
    async with AccessLog.open(f"sqlite+aiosqlite:///{odd}/log.db", keys, clock) as log:
        await log.append([access()])

        assert places(await log.reading.of_person(DECEASED)) == [1]


# ---------------------------------------------------------------- what may not happen to it


@pytest.mark.parametrize("table", ["leaf", "entry", "selection"])
@pytest.mark.parametrize("change", ["UPDATE {} SET leaf_index = leaf_index + 100", "DELETE FROM {}"])
async def test_the_store_itself_refuses_to_change_what_was_written(
    log: AccessLog, url: str, keys: Keys, access: Accesses, table: str, change: str
) -> None:
    await log.append([access()])
    engine = create_async_engine(url)

    with pytest.raises(DBAPIError, match="append only"):
        async with engine.begin() as connection:
            await connection.execute(text(change.format(table)))

    await engine.dispose()
    assert await verdict_on(url, keys) == (True, None)


async def test_an_untouched_log_is_intact(kept: str, keys: Keys) -> None:
    assert await verdict_on(kept, keys) == (True, None)


ENTRY_COLUMNS = (
    *("leaf_index", "id", "at_us", "year", "key", "subject_ref", "viewer_ref", "case_ref", "agencies", "outcome"),
    *("purpose", "max_sensitivity", "selection", "person_part", "staff_part"),
)


COLUMN_OF_FOUR = "SELECT {} FROM entry WHERE leaf_index = 4"
CHANGE_FOUR = "UPDATE entry SET {} = ? WHERE leaf_index = 4"
MOVE = "UPDATE entry SET leaf_index = {} WHERE leaf_index = {}"
COPY = "INSERT INTO entry (leaf_index, id, {0}) SELECT 6, 'x', {0} FROM entry WHERE leaf_index = 5"
CUT = "DELETE FROM {} WHERE leaf_index >= 3"


def changed(value: Any) -> Any:
    """Something else of the same kind."""
    if isinstance(value, int):
        return value + 1000
    if isinstance(value, bytes):
        return value[:-1] + bytes((value[-1] ^ 1,))
    return value[:-1] + ("0" if value[-1] != "0" else "1")


@pytest.mark.parametrize("column", ENTRY_COLUMNS)
async def test_a_changed_column_of_an_entry_is_found_at_that_entry(kept: str, keys: Keys, column: str) -> None:
    with closing(sqlite3.connect(path_of(kept))) as store:
        (value,) = store.execute(COLUMN_OF_FOUR.format(column)).fetchone()

    assert tamper(kept, (CHANGE_FOUR.format(column), (changed(value),))) == 1

    assert await verdict_on(kept, keys) == (False, 4)


async def test_every_column_of_an_entry_is_among_those_changed(kept: str) -> None:
    with closing(sqlite3.connect(path_of(kept))) as store:
        assert {row[1] for row in store.execute("PRAGMA table_info(entry)")} == set(ENTRY_COLUMNS)


@pytest.mark.parametrize(
    ("statement", "first_bad"),
    [
        ("UPDATE leaf SET leaf = zeroblob(38) WHERE leaf_index = 2", 2),
        ("UPDATE leaf SET leaf = substr(leaf, 1, 37) WHERE leaf_index = 2", 2),
        ("UPDATE leaf SET leaf = CAST(leaf || x'00' AS BLOB) WHERE leaf_index = 3", 3),
        ("UPDATE leaf SET leaf = CAST(x'02' || substr(leaf, 2) AS BLOB) WHERE leaf_index = 2", 2),
        ("UPDATE leaf SET leaf = CAST(substr(leaf, 1, 1) || x'02' || substr(leaf, 3) AS BLOB) WHERE leaf_index = 2", 2),
        ("UPDATE leaf SET leaf = CAST(substr(leaf, 1, 5) || x'00' || substr(leaf, 7) AS BLOB) WHERE leaf_index = 2", 2),
        ("UPDATE leaf SET leaf = CAST(leaf AS TEXT) WHERE leaf_index = 2", 2),
        ("UPDATE entry SET person_part = CAST(person_part AS TEXT) WHERE leaf_index = 2", 2),
        ("UPDATE entry SET at_us = 'x' WHERE leaf_index = 2", 2),
        ("UPDATE entry SET year = 'x' WHERE leaf_index = 2", 2),
        ("UPDATE year_key SET wrapped = CAST(wrapped AS TEXT)", 1),
        ("UPDATE person_key SET wrapped = 'x' WHERE id = (SELECT key FROM entry WHERE leaf_index = 2)", 2),
        ("UPDATE leaf SET leaf_index = -1 WHERE leaf_index = 2", 2),
        ("UPDATE leaf SET leaf_index = 99 WHERE leaf_index = 2", 2),
        ("DELETE FROM leaf WHERE leaf_index = 2", 2),
        ("DELETE FROM leaf WHERE leaf_index = 5", 5),
        ("DELETE FROM entry WHERE leaf_index = 2", 2),
        ("DELETE FROM entry WHERE leaf_index = 5", 5),
        ("DELETE FROM selection WHERE leaf_index = 3", 3),
        ("UPDATE selection SET coordinates = '[\"Vehicle.maker\"]' WHERE leaf_index = 3", 3),
        ("UPDATE selection SET coordinates = 'x' WHERE leaf_index = 3", 3),
        ("UPDATE selection SET schema_hash = 'x' WHERE leaf_index = 3", 3),
        ("UPDATE selection SET id = 'x' WHERE leaf_index = 3", 3),
        ("UPDATE selection SET leaf_index = 77 WHERE leaf_index = 3", 3),
        ("UPDATE year_key SET wrapped = zeroblob(60)", 1),
        ("UPDATE year_key SET wrapped = NULL", 1),
        ("UPDATE year_key SET year = 1999", 1),
        ("DELETE FROM year_key", 1),
        ("UPDATE person_key SET wrapped = NULL WHERE id = (SELECT key FROM entry WHERE leaf_index = 2)", 2),
        ("UPDATE person_key SET wrapped = zeroblob(60) WHERE id = (SELECT key FROM entry WHERE leaf_index = 2)", 2),
        ("DELETE FROM person_key WHERE id = (SELECT key FROM entry WHERE leaf_index = 5)", 5),
    ],
)
async def test_a_changed_or_missing_row_is_found_at_its_leaf(
    kept: str, keys: Keys, statement: str, first_bad: int
) -> None:
    assert tamper(kept, statement) >= 1

    assert await verdict_on(kept, keys) == (False, first_bad)


async def test_another_epoch_opens_no_key(kept: str, keys: Keys) -> None:
    assert tamper(kept, "UPDATE meta SET value = 'another' WHERE name = 'epoch'") == 1

    assert await verdict_on(kept, keys) == (False, 1)


async def test_two_entries_that_changed_places_are_found_at_the_first(kept: str, keys: Keys) -> None:
    swap = [MOVE.format(to, now) for now, to in ((1, 9), (4, 1), (9, 4))]

    assert tamper(kept, *swap) == 3

    assert await verdict_on(kept, keys) == (False, 1)


async def test_an_entry_without_a_leaf_is_found(kept: str, keys: Keys) -> None:
    copied = "at_us, year, key, subject_ref, viewer_ref, agencies, outcome, selection, person_part, staff_part"

    assert tamper(kept, COPY.format(copied)) == 1

    assert await verdict_on(kept, keys) == (False, 6)


async def test_a_cut_tail_looks_whole_from_inside(kept: str, keys: Keys) -> None:
    """The limit of what the store can tell about itself, kept here so that nobody believes otherwise."""
    cut = [CUT.format(table) for table in ("entry", "selection", "leaf")]

    assert tamper(kept, *cut) == 6

    assert await verdict_on(kept, keys) == (True, None)


async def test_a_log_whose_tail_was_changed_does_not_open(kept: str, keys: Keys, clock: Clock) -> None:
    assert tamper(kept, "UPDATE entry SET outcome = 'REFUSED' WHERE leaf_index = 4") == 1

    with pytest.raises(DamageError, match="leaf 4: column outcome"):
        async with AccessLog.open(kept, keys, clock):
            pass


async def test_a_changed_entry_is_not_shown(kept: str, keys: Keys) -> None:
    assert tamper(kept, "UPDATE entry SET outcome = 'REFUSED' WHERE leaf_index = 4") == 1

    async with Reading.open(kept, keys.master) as reading:
        with pytest.raises(DamageError):
            await reading.of_person(DECEASED)
        assert places(await reading.of_person(CHILD)) == [2]
        with pytest.raises(DamageError):
            _ = [line async for line in reading.export()]


async def test_a_person_whose_key_was_destroyed_is_unreadable_and_nobody_else_is(
    kept: str, keys: Keys, clock: Clock, access: Accesses
) -> None:
    destroy = "UPDATE person_key SET wrapped = NULL WHERE id = (SELECT key FROM entry WHERE leaf_index = 1)"
    async with AccessLog.open(kept, keys, clock) as log:
        assert tamper(kept, destroy) == 1

        assert places(await log.reading.of_person(DECEASED)) == []
        assert places(await log.reading.of_person(CHILD)) == [2]
        assert [len(line) > 3 async for line in log.reading.export()] == [False, True, False, True]

        await log.append([access()])  # what is recorded from now on has a key of its own
        assert places(await log.reading.of_person(DECEASED)) == [6]


async def test_a_year_whose_salt_was_destroyed_cannot_be_looked_up(kept: str, keys: Keys) -> None:
    assert tamper(kept, "UPDATE year_key SET wrapped = NULL") == 1

    async with Reading.open(kept, keys.master) as reading:
        assert places(await reading.of_person(DECEASED)) == []
        assert places(await reading.of_case(CaseId("case-1"))) == []
