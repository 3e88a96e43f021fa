"""No receipt before the entry is on disk, whatever breaks, and writing again by itself once it no longer does."""

import asyncio
import base64
import resource
import secrets
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import uvloop
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import create_async_engine

from audit.entry import Access, leaf_hash, selection
from audit.keys import Keys
from audit.store import StoreError
from audit.verifying import verify
from audit.writer import AccessLog, LogUnavailable, Settings, signed_part
from schema.identifiers import CaseId, PersonId
from schema.scalars import Coordinate

IMPATIENT = Settings(gather_s=0.0, commit_limit_s=2.0, retry_s=0.02, busy_ms=100)
WITHIN_S = 20

Accesses = Callable[..., Access]
Clock = Callable[[], datetime]


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        for _ in iter(holds, True):
            await asyncio.sleep(0.005)


def path_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite+aiosqlite:///"))


def stored_ids(url: str) -> set[str]:
    """Ask with nothing of ours in between."""
    with closing(sqlite3.connect(path_of(url))) as store:
        return {row[0] for row in store.execute("SELECT id FROM entry")}


async def indexes(url: str) -> list[int]:
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        found = (await connection.execute(text("SELECT leaf_index FROM leaf ORDER BY leaf_index"))).scalars().all()
    await engine.dispose()
    return list(found)


async def on_commit(log: AccessLog, noted: Callable[[], None]) -> None:
    """Have every commit of the writer's present connection noted, in the driver's own word."""
    assert log._connection is not None
    driver = await driver_of(log)
    if log._connection.dialect.name == "postgresql":
        driver.add_query_logger(lambda said: noted() if said.query == "COMMIT;" else None)
        return
    await driver.set_trace_callback(lambda statement: noted() if statement == "COMMIT" else None)


async def driver_of(log: AccessLog) -> Any:
    assert log._connection is not None
    return (await log._connection.get_raw_connection()).driver_connection


async def test_a_receipt_names_the_entry_its_place_and_what_the_log_signed(
    url: str, keys: Keys, clock: Clock, access: Accesses
) -> None:
    async with AccessLog.open(url, keys, clock) as log:
        first, second = await log.append([access(), access(subject=None)])

        placed = await log.reading.entry(str(second.entry_id), about=PersonId("viewer-heir"), cases=[CaseId("case-1")])
    assert placed is not None
    assert (first.leaf_index, second.leaf_index) == (1, 2)  # 0 is the selection
    assert second.leaf_hash == leaf_hash(placed.entry.leaf).hex()
    signature = base64.b64decode(second.signature)
    keys.signing.public_key().verify(signature, signed_part(second.entry_id, second.leaf_hash))
    assert signed_part(second.entry_id, "ab") == f"onestop/receipt/1\n{second.entry_id}\nab\n".encode()


async def test_nothing_to_append_needs_no_log(sqlite_url: str, keys: Keys, clock: Clock) -> None:
    async with AccessLog.open(sqlite_url, keys, clock) as log:
        assert await log.append([]) == ()


async def test_sqlite_syncs_every_commit(sqlite_url: str, keys: Keys, clock: Clock) -> None:
    async with AccessLog.open(sqlite_url, keys, clock) as log:
        assert log._connection is not None
        asked = [
            (await log._connection.exec_driver_sql(f"PRAGMA {name}")).scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        ]
        await log._connection.rollback()

    assert asked == ["wal", 2, 1, 1000]  # 2 is FULL


async def test_a_store_that_would_not_sync_is_not_opened(sqlite_url: str, keys: Keys, clock: Clock) -> None:
    fired = []

    def careless(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.close()
        fired.append(connection)

    async with AccessLog.open(sqlite_url, keys, clock) as log:
        event.listen(log._engine.sync_engine, "connect", careless)

        with pytest.raises(StoreError, match="PRAGMA synchronous is not 2"):
            await log._connect()
    assert fired


async def test_postgresql_syncs_every_commit_even_where_the_database_says_otherwise(
    postgres_url: str, keys: Keys, clock: Clock
) -> None:
    engine = create_async_engine(postgres_url, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        name = (await connection.execute(text("SELECT current_database()"))).scalar_one()
        await connection.execute(text(f"ALTER DATABASE {name} SET synchronous_commit = off"))
    await engine.dispose()

    async with AccessLog.open(postgres_url, keys, clock) as log:
        assert log._connection is not None
        async with log._connection.begin():
            assert (await log._connection.execute(text("SHOW synchronous_commit"))).scalar_one() == "on"


async def test_the_entry_is_in_the_store_when_the_receipt_arrives(
    sqlite_url: str, keys: Keys, clock: Clock, access: Accesses
) -> None:
    order: list[str] = []
    async with AccessLog.open(sqlite_url, keys, clock) as log:
        await log.append([access()])
        await on_commit(log, lambda: order.append("commit"))

        for _ in range(20):
            (receipt,) = await log.append([access()])
            order.append("receipt")
            assert str(receipt.entry_id) in stored_ids(sqlite_url)

    assert order == ["commit", "receipt"] * 20


async def test_no_receipt_arrives_while_the_commit_is_held_up(
    postgres_url: str, keys: Keys, clock: Clock, access: Accesses
) -> None:
    """A deferred trigger makes COMMIT itself wait for a lock that the test holds."""
    other = create_async_engine(postgres_url)
    patient = Settings(commit_limit_s=WITHIN_S, busy_ms=WITHIN_S * 1000)
    async with AccessLog.open(postgres_url, keys, clock, patient) as log, other.connect() as holder:
        async with other.begin() as connection:
            await connection.execute(
                text(
                    "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS "
                    "$$ BEGIN PERFORM pg_advisory_xact_lock(42); RETURN NULL; END $$"
                )
            )
            await connection.execute(
                text(
                    "CREATE CONSTRAINT TRIGGER hold AFTER INSERT ON entry DEFERRABLE INITIALLY DEFERRED "
                    "FOR EACH ROW EXECUTE FUNCTION hold()"
                )
            )
        await holder.execute(text("SELECT pg_advisory_lock(42)"))
        appending = asyncio.create_task(log.append([access()]))

        waiting = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory' AND query = 'COMMIT;'")
        async with asyncio.timeout(WITHIN_S):
            while not (await holder.execute(waiting)).scalar_one():
                await holder.rollback()
        assert not appending.done()

        await holder.execute(text("SELECT pg_advisory_unlock(42)"))
        assert len(await appending) == 1
    await other.dispose()


async def test_a_commit_to_sqlite_is_one_hand_over_to_its_thread(
    sqlite_url: str, keys: Keys, clock: Clock, access: Accesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each costs more than the statement that it carries, so a statement of its own for anything is noticed here."""
    handed: list[object] = []
    async with AccessLog.open(sqlite_url, keys, clock) as log:
        await log.append([access()])
        driver = await driver_of(log)
        straight = driver._execute

        def hand_over(work: object) -> Any:
            handed.append(work)
            return straight(work)

        monkeypatch.setattr(driver, "_execute", hand_over)

        nothing: frozenset[str] = frozenset()
        new = selection("5c" * 32, [Coordinate("Vehicle.plate")])
        another = access(subject="somebody-new", selection=new, disclosed=nothing, null=nothing, withheld=nothing)
        await log.append([access(), another])

        assert len(handed) == 1
    assert (await asyncio.to_thread(verify, sqlite_url, keys.master)).entries == 3


async def test_what_a_commit_has_seen_is_not_asked_or_written_again(
    sqlite_url: str, keys: Keys, clock: Clock, access: Accesses
) -> None:
    """Each statement costs a thread beside a busy loop a wait for the interpreter."""
    said: list[str] = []
    async with AccessLog.open(sqlite_url, keys, clock) as log:
        await log.append([access()])
        driver = await driver_of(log)
        await driver.set_trace_callback(said.append)
        await log.append([access(), access()])
        await driver.set_trace_callback(None)

    assert [statement.split("(")[0].strip() for statement in said] == [
        "BEGIN IMMEDIATE",
        "SELECT id, NULL, NULL, NULL, NULL FROM selection WHERE id IN",
        "INSERT INTO leaf",
        "INSERT INTO entry",
        "INSERT OR IGNORE INTO entry_facet",
        "COMMIT",
    ]
    assert "FROM selection WHERE id IN ()" in said[1]


async def test_nobody_is_waited_for_when_all_who_are_under_way_are_here(
    sqlite_url: str, keys: Keys, clock: Clock, access: Accesses
) -> None:
    endless = Settings(gather_s=3600)
    async with AccessLog.open(sqlite_url, keys, clock, endless) as log, asyncio.timeout(WITHIN_S):
        log.under_way = lambda: 1
        (alone,) = await log.append([access()])
        log.under_way = lambda: 2
        first = asyncio.create_task(log.append([access()]))
        await until(lambda: bool(log._queue))
        second = await log.append([access()])

        assert [alone.leaf_index, *(each.leaf_index for each in (*await first, *second))] == [1, 2, 3]


async def test_a_key_that_was_destroyed_meanwhile_seals_nothing_more(
    sqlite_url: str, keys: Keys, clock: Clock, access: Accesses
) -> None:
    async with AccessLog.open(sqlite_url, keys, clock) as log:
        await log.append([access()])
        with closing(sqlite3.connect(path_of(sqlite_url))) as store, store:
            store.execute("UPDATE person_key SET wrapped = NULL")
        await log.append([access()])

    with closing(sqlite3.connect(path_of(sqlite_url))) as store:
        assert store.execute("SELECT count(DISTINCT key), count(*) FROM entry").fetchone() == (2, 2)
        assert store.execute("SELECT count(*), count(wrapped) FROM person_key").fetchone() == (2, 1)


async def test_what_another_process_stored_first_is_not_stored_again(
    url: str, keys: Keys, clock: Clock, access: Accesses
) -> None:
    """Selections and facets are remembered by connection, and another's are asked for."""
    new = selection("5c" * 32, [Coordinate("Vehicle.plate")])
    nothing: frozenset[str] = frozenset()
    other = access(selection=new, disclosed=nothing, null=nothing, withheld=nothing)
    async with AccessLog.open(url, keys, clock) as one, AccessLog.open(url, keys, clock) as two:
        for log in (one, two, one, two):
            await log.append([access()])
            await log.append([other])
    verdict = await asyncio.to_thread(verify, url, keys.master)

    assert (verdict.intact, verdict.entries) == (True, 8)
    assert await indexes(url) == list(range(10))


async def test_those_who_wait_together_share_few_commits(url: str, keys: Keys, clock: Clock, access: Accesses) -> None:
    commits: list[str] = []
    async with AccessLog.open(url, keys, clock) as log:
        await log.append([access()])
        await on_commit(log, lambda: commits.append("commit"))

        receipts = await asyncio.gather(*(log.append([access()]) for _ in range(64)))

    assert len({receipt.entry_id for (receipt,) in receipts}) == 64
    assert 1 <= len(commits) <= 2


async def test_a_full_batch_does_not_wait_for_more(sqlite_url: str, keys: Keys, clock: Clock, access: Accesses) -> None:
    endless = Settings(gather_s=3600, gather_entries=4)
    async with AccessLog.open(sqlite_url, keys, clock, endless) as log, asyncio.timeout(WITHIN_S):
        receipts = await asyncio.gather(*(log.append([access(), access()]) for _ in range(2)))

    assert [receipt.leaf_index for pair in receipts for receipt in pair] == [1, 2, 3, 4]


async def test_a_call_larger_than_a_batch_is_one_transaction(
    sqlite_url: str, keys: Keys, clock: Clock, access: Accesses
) -> None:
    commits: list[str] = []
    async with AccessLog.open(sqlite_url, keys, clock, Settings(gather_entries=4)) as log:
        await log.append([access()])
        await on_commit(log, lambda: commits.append("commit"))

        receipts = await log.append([access()] * 50)

    assert len(receipts) == 50
    assert len(commits) == 1


async def test_five_hundred_at_once_lose_nothing_and_leave_no_gap(
    url: str, keys: Keys, clock: Clock, access: Accesses
) -> None:
    """Two writers on one store, as two processes would be."""
    people = [access(subject=f"person-{n % 7}", case_id=f"case-{n % 3}") for n in range(500)]
    async with AccessLog.open(url, keys, clock) as one, AccessLog.open(url, keys, clock) as two:
        logs = [one if n % 2 else two for n in range(500)]
        receipts = await asyncio.gather(*(log.append([who]) for log, who in zip(logs, people, strict=True)))
        seen = [exported["id"] async for exported in one.reading.export()]
    verdict = await asyncio.to_thread(verify, url, keys.master)

    assert await indexes(url) == list(range(501))
    assert sorted(seen) == sorted(str(receipt.entry_id) for (receipt,) in receipts)
    assert (verdict.intact, verdict.entries) == (True, 500)


async def test_a_selection_is_a_leaf_once_and_before_its_first_use(
    url: str, keys: Keys, clock: Clock, access: Accesses
) -> None:
    async with AccessLog.open(url, keys, clock) as log:
        receipts = [await log.append([access()]) for _ in range(3)]

    assert [receipt.leaf_index for (receipt,) in receipts] == [1, 2, 3]


async def test_a_log_that_is_opened_again_goes_on_where_it_ended(
    url: str, keys: Keys, clock: Clock, access: Accesses
) -> None:
    for expected in (1, 2):
        async with AccessLog.open(url, keys, clock) as log:
            (receipt,) = await log.append([access()])
        assert receipt.leaf_index == expected


async def test_a_caller_who_leaves_does_not_cancel_the_write(
    url: str, keys: Keys, clock: Clock, access: Accesses
) -> None:
    async with AccessLog.open(url, keys, clock) as log:
        await log.append([access()])
        leaving = asyncio.create_task(log.append([access()]))
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        staying = await log.append([access()])

        seen = [exported["leaf_index"] async for exported in log.reading.export()]
    assert seen == [1, 2, 3]
    assert staying[0].leaf_index == 3


async def test_what_was_appended_before_the_end_is_written(
    sqlite_url: str, keys: Keys, clock: Clock, access: Accesses
) -> None:
    async with AccessLog.open(sqlite_url, keys, clock, Settings(gather_s=3600)) as log:
        await log.append([access()] * 256)
        late = asyncio.create_task(log.append([access()]))
        await until(lambda: bool(log._queue))

    (receipt,) = await late
    assert str(receipt.entry_id) in stored_ids(sqlite_url)
    with pytest.raises(LogUnavailable):
        await log.append([access()])


async def test_an_access_that_cannot_be_recorded_harms_nobody_else(
    sqlite_url: str, keys: Keys, clock: Clock, access: Accesses
) -> None:
    async with AccessLog.open(sqlite_url, keys, clock) as log:
        good, bad = await asyncio.gather(
            log.append([access()]), log.append([access(reason="\ud800")]), return_exceptions=True
        )

        assert log.healthy
    assert isinstance(bad, ValueError)
    assert not isinstance(good, BaseException)


async def test_a_year_begins_by_itself(url: str, keys: Keys, clock: Clock, access: Accesses) -> None:
    async with AccessLog.open(url, keys, clock) as log:
        await log.append([access(), access(at=datetime(2027, 1, 1, tzinfo=UTC))])

        page = await log.reading.of_person(PersonId("deceased-person"))
    assert [placed.entry.access.year for placed in page.entries] == [2027, 2026]
    assert page.entries[0].entry.subject_ref != page.entries[1].entry.subject_ref


async def test_the_wrong_master_key_opens_no_log(sqlite_url: str, keys: Keys, clock: Clock, access: Accesses) -> None:
    async with AccessLog.open(sqlite_url, keys, clock) as log:
        await log.append([access()])

    with pytest.raises(StoreError, match="another key"):
        async with AccessLog.open(sqlite_url, Keys(b"x" * 32, keys.signing), clock):
            pass


# ---------------------------------------------------------------- faults


async def test_a_writer_that_broke_leaves_nobody_waiting(
    sqlite_url: str, keys: Keys, clock: Clock, access: Accesses
) -> None:
    """A bug, not a fault of the store: a receipt that somebody else took cannot be given."""

    async def broken() -> None:
        async with AccessLog.open(sqlite_url, keys, clock, Settings(gather_s=0.05)) as log:
            await log.append([access()])
            appending = [asyncio.create_task(log.append([access()])) for _ in range(2)]
            await until(lambda: len(log._queue) == 2)
            log._queue[0].receipts.cancel()

            async with asyncio.timeout(WITHIN_S):
                ended.extend(await asyncio.gather(*appending, return_exceptions=True))
            await until(lambda: not log.healthy)
            with pytest.raises(LogUnavailable):
                await log.append([access()])

    ended: list[object] = []
    with pytest.raises(asyncio.InvalidStateError):
        await broken()
    assert [type(one) for one in ended] == [asyncio.CancelledError, LogUnavailable]


async def refused(append: Awaitable[object]) -> str:
    """What the database said when it refused."""
    with pytest.raises(LogUnavailable) as refusal:
        await append
    assert refusal.value.code == "LOG_UNAVAILABLE"
    return repr(refusal.value.__cause__)


@contextmanager
def locked_by_another_process(path: Path) -> Iterator[None]:
    code = (
        "import sqlite3, sys; store = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "store.execute('BEGIN IMMEDIATE'); print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        yield
        holder.communicate()


@contextmanager
def no_file_grows(path: Path) -> Iterator[None]:
    """Every write past the present size of the log's files fails, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    files = (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (max(file.stat().st_size for file in files), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_locked_store_refuses_and_recovers(sqlite_url: str, keys: Keys, clock: Clock, access: Accesses) -> None:
    async with AccessLog.open(sqlite_url, keys, clock, IMPATIENT) as log:
        await log.append([access()])
        with locked_by_another_process(path_of(sqlite_url)):
            assert "database is locked" in await refused(log.append([access()]))
            assert not log.healthy
            assert await refused(log.append([access()])) == "None"  # at once: nothing was tried

        await until(lambda: log.healthy)
        assert (await log.append([access()]))[0].leaf_index == 2


async def test_a_commit_that_takes_too_long_refuses_and_may_still_land(
    sqlite_url: str, keys: Keys, clock: Clock, access: Accesses
) -> None:
    slow = Settings(gather_s=0, commit_limit_s=1.0, retry_s=0.02, busy_ms=WITHIN_S * 1000)
    async with AccessLog.open(sqlite_url, keys, clock, slow) as log:
        (before,) = await log.append([access()])
        with locked_by_another_process(path_of(sqlite_url)):
            assert "TimeoutError" in await refused(log.append([access()]))
            assert not log.healthy
            assert stored_ids(sqlite_url) == {str(before.entry_id)}

        await until(lambda: log.healthy and len(stored_ids(sqlite_url)) == 2)
    assert (await asyncio.to_thread(verify, sqlite_url, keys.master)).intact


def test_a_loop_that_was_busy_does_not_take_a_commit_that_ended_in_time_for_late(
    sqlite_url: str, keys: Keys, clock: Clock, access: Accesses
) -> None:
    """The server's loop tells of the limit first, and of what its threads have done after it."""
    committing = threading.Event()

    def hold_up() -> None:
        committing.set()
        time.sleep(0.1)

    async def busy() -> None:
        async with AccessLog.open(sqlite_url, keys, clock, Settings(gather_s=0, commit_limit_s=0.5)) as log:
            await log.append([access()])
            await on_commit(log, hold_up)
            waiting = asyncio.create_task(log.append([access()]))
            await until(committing.is_set)
            time.sleep(1)  # noqa: ASYNC251 - the loop does something else for longer than a commit may take
            (receipt,) = await waiting
            assert str(receipt.entry_id) in stored_ids(sqlite_url)

    uvloop.run(busy())


async def test_a_full_disk_refuses_and_recovers(sqlite_url: str, keys: Keys, clock: Clock, access: Accesses) -> None:
    async with AccessLog.open(sqlite_url, keys, clock, IMPATIENT) as log:
        (before,) = await log.append([access()])
        with no_file_grows(path_of(sqlite_url)):
            said = await refused(log.append([access(reason="x" * 1_000_000)]))
            assert "disk I/O error" in said or "disk is full" in said
            assert not log.healthy

        await until(lambda: log.healthy)
        (after,) = await log.append([access()])
        assert stored_ids(sqlite_url) == {str(before.entry_id), str(after.entry_id)}
    assert (await asyncio.to_thread(verify, sqlite_url, keys.master)).intact


async def test_a_read_only_store_refuses_and_recovers(
    sqlite_url: str, keys: Keys, clock: Clock, access: Accesses
) -> None:
    read_only = [False]
    async with AccessLog.open(sqlite_url, keys, clock, IMPATIENT) as log:

        @event.listens_for(log._engine.sync_engine, "begin", insert=True)
        def begin(connection: Any) -> None:
            connection.exec_driver_sql(f"PRAGMA query_only={'ON' if read_only[0] else 'OFF'}")

        driver = await driver_of(log)
        await driver.execute("PRAGMA query_only=ON")
        read_only[0] = True
        assert "attempt to write a readonly database" in await refused(log.append([access()]))
        assert not log.healthy

        read_only[0] = False
        await until(lambda: log.healthy)
        assert (await log.append([access()]))[0].leaf_index == 1


async def test_a_connection_that_failed_is_not_used_again(
    sqlite_url: str, keys: Keys, clock: Clock, access: Accesses
) -> None:
    opened = []
    async with AccessLog.open(sqlite_url, keys, clock, IMPATIENT) as log:
        await log.append([access()])
        failed = log._connection
        event.listen(log._engine.sync_engine, "connect", lambda connection, _record: opened.append(connection))
        with locked_by_another_process(path_of(sqlite_url)):
            await refused(log.append([access()]))

        await until(lambda: log.healthy)
        assert opened
        assert failed is not None
        assert failed.closed
        assert log._connection is not failed


async def test_a_tail_that_changed_meanwhile_keeps_the_log_shut(
    sqlite_url: str, keys: Keys, clock: Clock, access: Accesses
) -> None:
    async with AccessLog.open(sqlite_url, keys, clock, IMPATIENT) as log:
        await log.append([access()])
        attempts = []
        event.listen(log._engine.sync_engine, "connect", lambda connection, _record: attempts.append(connection))
        with closing(sqlite3.connect(path_of(sqlite_url), isolation_level=None)) as store:
            store.execute("BEGIN IMMEDIATE")
            assert "database is locked" in await refused(log.append([access()]))
            store.execute("DROP TRIGGER entry_no_update")
            store.execute("UPDATE entry SET outcome = 'REFUSED'")
            store.execute("COMMIT")
        seen = len(attempts)

        await until(lambda: len(attempts) > seen + 3)
        assert not log.healthy


async def test_another_log_in_its_place_keeps_the_log_shut(
    sqlite_url: str, keys: Keys, clock: Clock, access: Accesses
) -> None:
    async with AccessLog.open(sqlite_url, keys, clock, IMPATIENT) as log:
        await log.append([access()])
        with closing(sqlite3.connect(path_of(sqlite_url))) as store, store:
            store.execute("UPDATE meta SET value = 'another' WHERE name = 'epoch'")

        with pytest.raises(StoreError, match="another log"):
            await log._connect()


async def test_a_database_that_drops_the_connection_refuses_and_recovers(
    postgres_url: str, keys: Keys, clock: Clock, access: Accesses
) -> None:
    other = create_async_engine(postgres_url)
    async with AccessLog.open(postgres_url, keys, clock, IMPATIENT) as log:
        await log.append([access()])
        async with other.begin() as connection:
            ended = await connection.execute(
                text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'onestop-log'")
            )
            assert ended.scalars().all() == [True]

        await refused(log.append([access()]))
        await until(lambda: log.healthy)
        assert (await log.append([access()]))[0].leaf_index == 2
    await other.dispose()
    assert (await asyncio.to_thread(verify, postgres_url, keys.master)).intact


async def test_a_writer_elsewhere_that_holds_the_lock_too_long_refuses_and_recovers(
    postgres_url: str, keys: Keys, clock: Clock, access: Accesses
) -> None:
    other = create_async_engine(postgres_url)
    async with AccessLog.open(postgres_url, keys, clock, IMPATIENT) as log:
        async with other.begin() as connection:
            await connection.execute(text(f"SELECT pg_advisory_xact_lock({0x6F6E6573746F70})"))
            assert "lock timeout" in await refused(log.append([access()]))

        await until(lambda: log.healthy)
        assert len(await log.append([access()])) == 1
    await other.dispose()


APPENDING = """
import asyncio, sys
from datetime import UTC, datetime
from uuid import UUID
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from audit.entry import Access, Outcome, Task, selection
from audit.keys import Keys
from audit.writer import AccessLog

def access(n):
    return Access(
        operation=UUID(int=n), at=datetime(2026, 3, 14, tzinfo=UTC), task=Task.VIEW, operation_name=None,
        document_hash=None, selection=selection("5c", ["A.a"]), subject=f"person-{n % 5}", subject_role=None,
        records={}, answers={}, disclosed=set(), null=set(), withheld=set(), failed=set(), sensitivity=None,
        purpose=None, legal_basis=None, case_id=None, case_number=None, organisation=None, outcome=Outcome.FAILED,
        policy_ids=(), policy_set_hash=None, viewer="v", roles=(), office=None, agency=None, on_behalf_of=None,
        session=None, assurance=None, client_id="c", source_address=None, reason=None, variables=None, trace_id=None,
        request_id=None,
    )

async def one(log, n):
    while True:
        (receipt,) = await log.append([access(n)])
        print(receipt.entry_id, flush=True)

async def main():
    keys = Keys(bytes(range(32)), Ed25519PrivateKey.from_private_bytes(bytes(32)))
    async with AccessLog.open(sys.argv[1], keys, lambda: datetime.now(UTC)) as log:
        await asyncio.gather(*(one(log, n) for n in range(8)))

asyncio.run(main())
"""


async def test_whatever_was_acknowledged_before_a_kill_is_in_the_log_after_it(sqlite_url: str, keys: Keys) -> None:
    """Twenty kills, each after a random number of acknowledgements, of a process on one and the same store."""
    acknowledged: set[str] = set()
    for _ in range(20):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", APPENDING, sqlite_url, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2]
        )
        assert process.stdout is not None
        for _ in range(1 + secrets.randbelow(60)):
            acknowledged.add((await process.stdout.readline()).decode().strip())
        process.kill()
        last = (await process.stdout.read()).decode().split("\n")[:-1]  # a torn last line was not received
        acknowledged.update(last)
        assert await process.wait() == -9

    verdict = await asyncio.to_thread(verify, sqlite_url, keys.master)
    assert len(acknowledged) > 100
    assert acknowledged <= stored_ids(sqlite_url)
    assert verdict.intact
    assert verdict.entries == len(stored_ids(sqlite_url))


async def test_a_log_that_was_made_with_another_key_does_not_open(url: str, keys: Keys, clock: Clock) -> None:
    async with AccessLog.open(url, keys, clock):
        pass

    with pytest.raises(StoreError, match="another key"):
        async with AccessLog.open(url, Keys(bytes(32), keys.signing), clock):
            pass


async def test_the_signing_key_never_shows(keys: Keys) -> None:
    assert "Ed25519" not in repr(Keys(keys.master, Ed25519PrivateKey.generate()))
