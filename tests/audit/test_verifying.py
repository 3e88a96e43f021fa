"""Honest logs are not accused, whatever happened to them; and what the command says of each kind of log."""

# ruff: noqa: S608 - statements are put together from our own words
import asyncio
import hashlib
import json
import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from app import main
from audit import store
from audit.checking import CIPHERS_REMEMBERED, Checker, Unreadable, rows_of
from audit.checkpoint import Checkpoint, VerifierKey, origin, signed
from audit.entry import Access, dropped_month_leaf, entry, erased_key_leaf, uuid7
from audit.keys import Keys, Vault
from audit.verifying import Evidence, Note, _place, verify
from audit.writer import AccessLog
from auth.ids import SANDBOX_ROOT
from schema.identifiers import PersonId

Accesses = Callable[..., Access]
Clock = Callable[[], datetime]

CHILD = PersonId("child")
SANDBOX_MASTER = hashlib.sha256(b"onestop/access-log/1" + SANDBOX_ROOT).digest()
NEXT_KEY = Ed25519PrivateKey.from_private_bytes(b"\2" * 32)


def path_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite+aiosqlite:///"))


@pytest.fixture
async def kept(sqlite_url: str, keys: Keys, clock: Clock, access: Accesses) -> str:
    """Give the URL of a log at rest: selection 0, entries 1 to 6."""
    async with AccessLog.open(sqlite_url, keys, clock) as log:
        await log.append([access(subject=subject) for subject in (CHILD, PersonId("deceased-person"), None) * 2])
    return sqlite_url


async def intact(url: str, keys: Keys, entries: int) -> bool:
    verdict = await asyncio.to_thread(verify, url, keys.master)
    return (verdict.intact, verdict.reason, verdict.entries) == (True, None, entries)


async def owner(url: str, *statements: str) -> None:
    """Do what only the owner of the store may: the triggers are gone meanwhile."""
    with closing(sqlite3.connect(path_of(url))) as opened, opened:
        triggers = opened.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            opened.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            opened.execute(statement)
        for _, sql in triggers:
            opened.execute(sql)


# ---------------------------------------------------------------- no false alarm


async def test_a_log_on_either_store_is_intact(url: str, keys: Keys, clock: Clock, access: Accesses) -> None:
    async with AccessLog.open(url, keys, clock) as log:
        await log.append([access(), access(subject=CHILD), access(subject=None, case_id=None, answers={})])

    assert await intact(url, keys, 3)


async def test_a_log_without_an_entry_is_intact(url: str, keys: Keys, clock: Clock) -> None:
    async with AccessLog.open(url, keys, clock):
        pass

    assert await intact(url, keys, 0)


async def test_entries_added_meanwhile_raise_no_alarm(url: str, keys: Keys, clock: Clock, access: Accesses) -> None:
    async with AccessLog.open(url, keys, clock) as log:
        await log.append([access() for _ in range(300)])
        verifying = [asyncio.create_task(asyncio.to_thread(verify, url, keys.master)) for _ in range(3)]
        while not all(each.done() for each in verifying):
            await log.append([access(subject=PersonId(f"person-{at}")) for at in range(20)])

    verdicts = [await each for each in verifying]
    assert [verdict.reason for verdict in verdicts] == [None] * 3
    assert all(verdict.entries >= 300 for verdict in verdicts)


HOLLOW = (
    "CREATE OR REPLACE FUNCTION onestop_append_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$"
)
WEAKER_CHECK = (
    "ALTER TABLE entry_202603 DROP CONSTRAINT id_of_its_moment, ADD CONSTRAINT id_of_its_moment CHECK (at_us > 0)"
)
SWALLOW = "CREATE TRIGGER more BEFORE INSERT ON leaf FOR EACH ROW EXECUTE FUNCTION onestop_append_only()"
WRITE_FOR_EVER = """
import asyncio, sys
from datetime import UTC, datetime
from uuid import uuid4
sys.path.insert(0, {tests!r})
import conftest
from audit.keys import Keys
from audit.writer import AccessLog
from auth.ids import SANDBOX_ROOT
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

async def main():
    keys = Keys(master=bytes(range(32)), signing=Ed25519PrivateKey.from_private_bytes(bytes(32)))
    access = conftest.access.__wrapped__() if hasattr(conftest.access, "__wrapped__") else conftest.access()
    async with AccessLog.open({url!r}, keys, lambda: datetime.now(UTC)) as log:
        while True:
            await log.append([access(operation=uuid4()) for _ in range(3)])
            print("written", flush=True)

asyncio.run(main())
"""


async def test_a_writer_killed_at_work_leaves_an_intact_log(sqlite_url: str, keys: Keys) -> None:
    code = WRITE_FOR_EVER.format(tests=str(Path(__file__).parent), url=sqlite_url)
    writer = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    assert writer.stdout is not None
    for _ in range(20):
        assert await writer.stdout.readline() == b"written\n"
    writer.send_signal(signal.SIGKILL)

    assert await writer.wait() == -signal.SIGKILL
    assert path_of(sqlite_url).with_name("log.db-wal").stat().st_size > 0
    verdict = await asyncio.to_thread(verify, sqlite_url, keys.master)
    assert verdict.reason is None
    assert verdict.entries >= 60


async def test_vacuum_and_analyze_change_nothing(kept: str, keys: Keys) -> None:
    with closing(sqlite3.connect(path_of(kept), isolation_level=None)) as opened:
        opened.execute("VACUUM")
        opened.execute("ANALYZE")

    assert await intact(kept, keys, 6)


async def test_a_log_made_with_smaller_pages_keeps_them_and_goes_on(
    sqlite_url: str, keys: Keys, clock: Clock, access: Accesses
) -> None:
    with closing(sqlite3.connect(path_of(sqlite_url))) as opened:
        opened.execute("PRAGMA page_size = 4096")
        opened.execute("PRAGMA user_version = 1")
    for _ in range(2):
        async with AccessLog.open(sqlite_url, keys, clock) as log:
            await log.append([access(), access()])

    with closing(sqlite3.connect(path_of(sqlite_url))) as opened:
        assert opened.execute("PRAGMA page_size").fetchone() == (4096,)
    assert await intact(sqlite_url, keys, 4)


async def test_a_backup_is_as_intact_as_the_log(
    sqlite_url: str, keys: Keys, clock: Clock, access: Accesses, tmp_path: Path
) -> None:
    copy, vacuumed = tmp_path / "copy.db", tmp_path / "vacuumed.db"
    async with AccessLog.open(sqlite_url, keys, clock) as log:
        await log.append([access(), access()])
        with closing(sqlite3.connect(path_of(sqlite_url))) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
            source.execute("VACUUM INTO ?", (str(vacuumed),))

    assert await intact(f"sqlite+aiosqlite:///{copy}", keys, 2)
    assert await intact(f"sqlite+aiosqlite:///{vacuumed}", keys, 2)


async def test_a_restored_log_that_went_on_is_intact(kept: str, keys: Keys, clock: Clock, access: Accesses) -> None:
    copy = path_of(kept).with_name("restored.db")
    shutil.copy(path_of(kept), copy)
    async with AccessLog.open(f"sqlite+aiosqlite:///{copy}", keys, clock) as log:
        await log.append([access()])

    assert await intact(f"sqlite+aiosqlite:///{copy}", keys, 7)


def checkpoint(url: str, size: int, root: str, key: Ed25519PrivateKey) -> Note:
    with closing(sqlite3.connect(path_of(url))) as opened:
        epoch = opened.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()[0]
    return Note("kept", signed(Checkpoint(origin(epoch), size, bytes.fromhex(root)), key).encode())


async def test_checkpoints_of_a_key_and_of_its_successor_both_hold(
    kept: str, keys: Keys, clock: Clock, access: Accesses
) -> None:
    before = await asyncio.to_thread(verify, kept, keys.master)
    old = checkpoint(kept, before.leaves, before.root or "", keys.signing)
    async with AccessLog.open(kept, Keys(keys.master, NEXT_KEY), clock) as log:
        await log.append([access()])
    after = await asyncio.to_thread(verify, kept, keys.master)
    new = checkpoint(kept, after.leaves, after.root or "", NEXT_KEY)
    both = [keys.signing.public_key(), NEXT_KEY.public_key()]

    verdict = await asyncio.to_thread(verify, kept, keys.master, Evidence(signers=both, notes=[old, new]))
    assert (verdict.intact, verdict.leaves, verdict.older_than) == (True, before.leaves + 1, None)


async def test_a_dropped_month_on_record_is_no_damage(kept: str, keys: Keys) -> None:
    order = dropped_month_leaf(202603)
    await owner(
        kept,
        "INSERT INTO dropped_month VALUES (202603, '2031-04-01')",
        f"INSERT INTO leaf VALUES (7, X'{order.hex()}')",
        "DELETE FROM entry WHERE leaf_index IN (2, 3)",  # the others are dropped when their turn comes
    )

    assert await intact(kept, keys, 6)


async def test_a_month_on_record_that_no_leaf_says_excuses_nothing(kept: str, keys: Keys) -> None:
    await owner(
        kept,
        "INSERT INTO dropped_month VALUES (202603, '2031-04-01')",
        "DELETE FROM entry WHERE leaf_index IN (2, 3)",
    )

    verdict = await asyncio.to_thread(verify, kept, keys.master)
    assert (verdict.intact, verdict.first_bad) == (False, 2)


@pytest.mark.parametrize("which", ["person", "year"])
async def test_a_key_destroyed_by_order_is_no_damage(kept: str, keys: Keys, which: str) -> None:
    with closing(sqlite3.connect(path_of(kept))) as opened:
        key_id = opened.execute("SELECT key FROM entry WHERE leaf_index = 2").fetchone()[0]
    name = key_id if which == "person" else "year:2026"
    emptied = (
        f"person_key SET wrapped = NULL WHERE id = '{name}'" if which == "person" else "year_key SET wrapped = NULL"
    )
    await owner(
        kept,
        f"INSERT INTO erased_key VALUES ('{name}', '2026-04-01', 'order 7')",
        f"INSERT INTO leaf VALUES (7, X'{erased_key_leaf(name).hex()}')",
        f"UPDATE {emptied}",
    )

    assert await intact(kept, keys, 6)


# ---------------------------------------------------------------- large, and by several processes


async def test_several_processes_name_the_lowest_of_several_bad_leaves(
    sqlite_url: str, keys: Keys, clock: Clock, access: Accesses
) -> None:
    engine = store.writing_engine(sqlite_url, 1000)
    async with AccessLog.open(sqlite_url, keys, clock) as log:
        await log.append([access()])
    async with engine.connect() as connection, store.writing(connection):
        vault = Vault(keys.master, store.epoch(await store.meta(connection)))
        years = await store.references(connection, vault)
    one = access()
    made = [entry(one, uuid7(clock()), years[2026]) for _ in range(17_000)]
    async with engine.connect() as connection:
        await store.commit(connection, made, vault)
    await engine.dispose()

    honest = await asyncio.to_thread(verify, sqlite_url, keys.master, processes=2)
    alone = await asyncio.to_thread(verify, sqlite_url, keys.master, processes=1)
    assert (honest.reason, honest.entries, honest.root) == (None, 17_001, alone.root)

    await owner(sqlite_url, "UPDATE entry SET purpose = NULL WHERE leaf_index IN (9000, 9500, 16500)")
    bent = await asyncio.to_thread(verify, sqlite_url, keys.master, processes=2)
    assert (bent.first_bad, bent.entries) == (9000, 8999)


async def test_a_log_of_more_persons_than_keys_are_kept_is_checked_all_the_same(
    url: str, keys: Keys, clock: Clock, access: Accesses
) -> None:
    async with AccessLog.open(url, keys, clock) as log:
        await log.append([access(subject=PersonId(f"person-{at % 3}")) for at in range(9)])

    def checked() -> tuple[int, tuple[int, str] | None]:
        with closing(rows_of(_place(url))) as rows:
            epoch = rows.ask("SELECT value FROM meta WHERE name = 'epoch'")[0][0]
            part = Checker(rows, Vault(keys.master, epoch), kept=2).part(0, 10)
            return part.entries, part.fault

    assert await asyncio.to_thread(checked) == (9, None)


async def test_a_log_of_more_persons_than_ciphers_are_kept_names_the_one_that_was_changed(
    sqlite_url: str, keys: Keys, clock: Clock, access: Accesses
) -> None:
    persons = 2 * CIPHERS_REMEMBERED
    async with AccessLog.open(sqlite_url, keys, clock) as log:
        await log.append([access(subject=PersonId(f"person-{at % persons}")) for at in range(3 * persons)])
    assert await intact(sqlite_url, keys, 3 * persons)

    late = 2 * persons + 5
    await owner(
        sqlite_url,
        f"UPDATE entry SET key = (SELECT o.key FROM entry AS o WHERE o.leaf_index = {late - 1}) "
        f"WHERE leaf_index = {late}",
    )
    verdict = await asyncio.to_thread(verify, sqlite_url, keys.master)
    assert (verdict.intact, verdict.first_bad) == (False, late)


@pytest.mark.parametrize(("kept", "few"), [(100, True), (2, False)])
async def test_few_pages_are_kept_where_nothing_is_looked_up_at_random(
    sqlite_url: str, keys: Keys, clock: Clock, access: Accesses, kept: int, few: bool
) -> None:
    async with AccessLog.open(sqlite_url, keys, clock) as log:
        await log.append([access(subject=PersonId(f"person-{at}")) for at in range(5)])

    with closing(rows_of(_place(sqlite_url))) as rows:
        before = rows.ask("PRAGMA cache_size")[0][0]
        epoch = rows.ask("SELECT value FROM meta WHERE name = 'epoch'")[0][0]
        assert Checker(rows, Vault(keys.master, epoch), kept=kept).part(0, 6).fault is None
        after = rows.ask("PRAGMA cache_size")[0][0]
    assert (after > before) == few  # both in kB, below zero


async def test_a_process_that_checks_a_file_loads_no_server_and_no_loop() -> None:
    code = (
        "import sys, audit.checking\n"
        "print(*{name.partition('.')[0] for name in sys.modules} & {'asyncio', 'asyncpg', 'sqlalchemy', 'strawberry'})"
    )
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)

    assert (await child.communicate())[0] == b"\n"


# ---------------------------------------------------------------- PostgreSQL


async def test_a_server_without_the_leaves_is_unreadable(
    postgres_url: str, keys: Keys, clock: Clock, access: Accesses
) -> None:
    async with AccessLog.open(postgres_url, keys, clock) as log:
        await log.append([access()])
    engine = create_async_engine(postgres_url)
    async with engine.begin() as connection:
        await connection.execute(text("ALTER TABLE leaf RENAME TO elsewhere"))
    await engine.dispose()

    with pytest.raises(Unreadable, match="cannot be read"):
        await asyncio.to_thread(verify, postgres_url, keys.master)


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE entry SET purpose = NULL WHERE leaf_index = 2", 2),
        ("DELETE FROM entry WHERE leaf_index = 3", 3),
        ("UPDATE leaf SET leaf = overlay(leaf PLACING '\\x00'::bytea FROM 20) WHERE leaf_index = 2", 2),
        ("UPDATE person_key SET wrapped = NULL", 1),
        ("ALTER TABLE selection RENAME TO elsewhere", 0),
        ("DROP INDEX entry_by_viewer", None),
        ("ALTER TABLE entry DISABLE TRIGGER ALL", None),
        ("ALTER TABLE entry_202603 DISABLE TRIGGER entry_202603_append_only", None),
        ("ALTER TABLE entry_202603 DROP CONSTRAINT entry_202603_id_key", None),
        ("ALTER TABLE entry_202603 DROP CONSTRAINT id_of_its_moment", None),
        (WEAKER_CHECK, None),
        ("ALTER TABLE entry DETACH PARTITION entry_202603", 1),
        ("ALTER TABLE selection DROP CONSTRAINT selection_leaf_index_fkey", None),
        ("ALTER TABLE person_key ALTER year DROP NOT NULL", None),
        ("DROP TRIGGER meta_stays ON meta", None),
        ("CREATE RULE swallow AS ON INSERT TO leaf DO INSTEAD NOTHING", None),
        (SWALLOW, None),
        ("ALTER FUNCTION onestop_log_month(integer) SECURITY INVOKER", None),
        ("DROP TRIGGER leaf_append_only ON leaf", None),
        (HOLLOW, None),
    ],
)
async def test_a_bent_log_on_postgresql_is_found(
    postgres_url: str, keys: Keys, clock: Clock, access: Accesses, statement: str, found: int | None
) -> None:
    async with AccessLog.open(postgres_url, keys, clock) as log:
        await log.append([access(), access(subject=CHILD), access()])
    engine = create_async_engine(postgres_url)
    async with engine.begin() as connection:
        await connection.execute(text("SET session_replication_role = replica"))  # its triggers sleep
        await connection.execute(text(statement))
    await engine.dispose()

    verdict = await asyncio.to_thread(verify, postgres_url, keys.master)
    assert (verdict.intact, verdict.first_bad) == (False, found)


# ---------------------------------------------------------------- unreadable


async def test_what_is_no_log_or_not_ours_is_unreadable_and_says_why(kept: str, keys: Keys, tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("no database, but a text that is long enough to be looked at" * 20)
    with closing(sqlite3.connect(tmp_path / "empty.db")) as opened:
        opened.execute("CREATE TABLE other (id)")
    unreadable = {
        f"sqlite+aiosqlite:///{tmp_path}/none.db": "there is no file",
        f"sqlite+aiosqlite:///{tmp_path}/text.db": "not a database",
        f"sqlite+aiosqlite:///{tmp_path}/empty.db": "no access log here",
        f"sqlite+aiosqlite:///{tmp_path}": "not a database",
        "postgresql+asyncpg://postgres@127.0.0.1:1/none": "does not let us in",
        "what is this": "none that is known",
    }
    for url, words in unreadable.items():
        with pytest.raises(Unreadable, match=words):
            await asyncio.to_thread(verify, url, keys.master)
    with pytest.raises(Unreadable, match="another log's"):
        await asyncio.to_thread(verify, kept, bytes(32))


async def test_a_file_that_may_not_be_read_is_unreadable(kept: str) -> None:
    path_of(kept).chmod(0)
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom audit.checking import Unreadable, SqliteRows\n"
        "os.getuid() or os.seteuid(65534)\n"
        "try: SqliteRows(Path(sys.argv[1]))\nexcept Unreadable: print('unreadable')"
    )
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(path_of(kept)), stdout=asyncio.subprocess.PIPE
    )

    assert (await child.communicate())[0] == b"unreadable\n"


# ---------------------------------------------------------------- the command


@pytest.fixture
async def data(tmp_path: Path, clock: Clock, access: Accesses, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the folder of a sandbox's state with a log of 3 leaves in it and its signing key."""
    for name in [name for name in os.environ if name.startswith("ONESTOP_")]:
        monkeypatch.delenv(name)
    pem = keys.signing.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "access-log-key.pem").write_bytes(pem)
    async with AccessLog.open(
        f"sqlite+aiosqlite:///{tmp_path}/access-log.db", Keys(SANDBOX_MASTER, keys.signing), clock
    ) as log:
        await log.append([access(), access(subject=CHILD)])
    return tmp_path


async def said(data: Path, *options: str) -> tuple[int, dict[str, Any]]:
    result = await asyncio.to_thread(
        CliRunner().invoke, main, ["log", "verify", "--data", str(data), "--json", *options], catch_exceptions=False
    )
    return result.exit_code, json.loads(result.stdout) if result.stdout.startswith("{") else {"words": result.output}


async def test_the_command_says_intact_tampered_unreadable_and_older(data: Path, keys: Keys) -> None:
    url = f"sqlite+aiosqlite:///{data}/access-log.db"
    code, told = await said(data)
    assert (code, told["entries"], told["first_bad"], told["reason"]) == (0, 2, None, None)

    for size, root, expected in ((3, told["root"], 0), (4, told["root"], 3), (3, "00" * 32, 1)):
        (data / "kept").write_bytes(checkpoint(url, size, root, keys.signing).text)
        code, verdict = await said(data, "--checkpoint", str(data / "kept"))
        assert (code, verdict["intact"]) == (expected, expected != 1)

    other = VerifierKey("successor", NEXT_KEY.public_key()).text
    (data / "kept").write_bytes(checkpoint(url, 3, told["root"], NEXT_KEY).text)
    assert (await said(data, "--checkpoint", str(data / "kept")))[0] == 1
    assert (await said(data, "--checkpoint", str(data / "kept"), "--key", other))[0] == 0

    await owner(url, "UPDATE entry SET purpose = NULL WHERE leaf_index = 2")
    code, told = await said(data)
    assert (code, told["first_bad"]) == (1, 2)
    assert (await said(data, "--checkpoint", str(data / "none")))[0] == 2
    assert (await said(data / "nowhere"))[0] == 2


async def test_the_command_takes_receipts_as_answers_carry_them(data: Path, keys: Keys, access: Accesses) -> None:
    url = f"sqlite+aiosqlite:///{data}/access-log.db"
    async with AccessLog.open(url, Keys(SANDBOX_MASTER, keys.signing), lambda: datetime(2026, 4, 1, tzinfo=UTC)) as log:
        (given,) = await log.append([access()])
    receipt = {"id": str(given.entry_id), "leafHash": given.leaf_hash, "signature": given.signature}
    (data / "answer.json").write_text(json.dumps({"data": None, "extensions": {"access": {"receipts": [receipt]}}}))

    assert (await said(data, "--receipts", str(data / "answer.json")))[0] == 0
    await owner(url, "DELETE FROM entry WHERE leaf_index = 3", "DELETE FROM leaf WHERE leaf_index = 3")
    code, told = await said(data, "--receipts", str(data / "answer.json"))
    assert (code, told["first_bad"]) == (1, None)
    assert str(given.entry_id) in told["reason"]
