"""Closed months as Parquet: complete, sealed, recorded in the log, and found out when exchanged."""

import asyncio
import hashlib
import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import app
from audit import archive as archives
from audit.archive import ArchiveError, compact
from audit.entry import SALT_BYTES, Access, part_name
from audit.keys import Keys, Vault, opened
from audit.owning import Owner
from audit.reading import Reading
from audit.verifying import verify
from audit.writer import AccessLog
from auth.ids import SANDBOX_ROOT
from schema.identifiers import CaseId, PersonId

MASTER = hashlib.sha256(b"onestop/access-log/1" + SANDBOX_ROOT).digest()
SCALE = Path(__file__).parents[2] / "docs" / "scale.md"
FIRST = datetime(2025, 3, 1, tzinfo=UTC)
Accesses = Callable[..., Access]


def spread(access: Accesses) -> list[Access]:
    """Accesses in three months; those of March lie on each of its days, its first and its last instant among them."""
    days = [access(at=FIRST + timedelta(days=day, hours=9), subject=PersonId(f"person-{day % 4}")) for day in range(31)]
    edges = [access(at=FIRST), access(at=datetime(2025, 4, 1, tzinfo=UTC) - timedelta(microseconds=1))]
    return [access(at=FIRST - timedelta(microseconds=1)), *days, *edges, access(at=datetime(2025, 4, 1, tzinfo=UTC))]


@pytest.fixture
def data(tmp_path: Path, keys: Keys, access: Accesses) -> Path:
    async def written() -> None:
        url = f"sqlite+aiosqlite:///{tmp_path}/access-log.db"
        async with AccessLog.open(url, Keys(MASTER, keys.signing), lambda: datetime.now(UTC)) as log:
            await log.append(spread(access))

    asyncio.run(written())
    pem = keys.signing.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "access-log-key.pem").write_bytes(pem)
    return tmp_path


def said(data: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app.main, ["log", *arguments, "--data", str(data)])


def march(data: Path) -> Path:
    return data / "access-log-archive" / "2025-03"


def test_a_month_is_compacted_by_days_and_then_checked(data: Path) -> None:
    done = said(data, "compact", "--month", "2025-03")
    assert (done.exit_code, done.stdout.startswith("2025-03 is compacted: 33 entries in 31 files, ")) == (0, True)
    frame = pl.read_parquet(march(data) / "*.parquet").sort("leaf_index")
    store = sqlite3.connect(data / "access-log.db")
    kept = store.execute("SELECT leaf_index, id, staff_part FROM entry WHERE at_us >= ? AND at_us < ? ORDER BY 1",
                         (1740787200000000, 1743465600000000)).fetchall()  # fmt: skip
    assert frame.select("leaf_index", "id", "staff_part").rows() == kept
    assert sorted({file.name[:10] for file in march(data).glob("*.parquet")})[::30] == ["2025-03-01", "2025-03-31"]
    assert said(data, "compact", "--month", "2025-03").stdout.startswith("2025-03 is as it was recorded: 33 entries")
    told = json.loads(said(data, "verify", "--json").stdout)
    assert (told["intact"], told["entries"], told["leaves"]) == (True, 35, 37)


def test_nothing_in_the_files_can_be_read_without_the_keys_and_an_erasure_reaches_them(data: Path) -> None:
    said(data, "compact", "--month", "2025-03")
    whole = b"".join(file.read_bytes() for file in sorted(march(data).iterdir()))
    assert [word for word in (b"viewer-heir", b"person-1", b"192.0.2.7", b"case-1") if word in whole] == []
    row = pl.read_parquet(march(data) / "2025-03-02-0000.parquet").row(0, named=True)
    store = sqlite3.connect(data / "access-log.db")

    def wrapped() -> bytes | None:
        found: bytes | None = store.execute("SELECT wrapped FROM person_key WHERE id = ?", (row["key"],)).fetchone()[0]
        return found

    epoch = store.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()[0]
    cipher = AESGCM(Vault(MASTER, epoch).unwrapped(wrapped() or b"", row["year"], row["subject_ref"]))
    plain = opened(cipher, row["staff_part"], part_name(row["id"], "staff"))[SALT_BYTES:]
    assert json.loads(plain)["subject"] == "person-1"
    assert said(data, "erase", "--person", "person-1", "--year", "2025", "--order", "order 7").exit_code == 0
    assert wrapped() is None
    assert said(data, "verify").exit_code == 0


@pytest.mark.parametrize("what", ["a file", "a row", "the manifest", "the signature", "a missing file", "all of it"])
def test_files_that_were_exchanged_are_found(data: Path, keys: Keys, what: str) -> None:
    said(data, "compact", "--month", "2025-03")
    folder, file = march(data), march(data) / "2025-03-05-0000.parquet"
    manifest, signature = folder / "manifest.json", folder / "manifest.json.sig"
    if what == "a file":
        file.write_bytes(file.read_bytes()[:-1] + b"X")
    elif what == "a row":
        pl.read_parquet(file).clear().write_parquet(file)
    elif what == "the manifest":
        manifest.write_bytes(manifest.read_bytes().replace(b'"rows": 33', b'"rows": 32'))
    elif what == "the signature":
        signature.write_bytes(b"A" * 86 + b"==")
    elif what == "a missing file":
        file.unlink()
    else:  # the keeper has the signing key, and writes everything anew
        pl.read_parquet(file).clear().write_parquet(file)
        url = f"sqlite+aiosqlite:///{data}/access-log.db"

        async def again() -> None:
            async with Reading.open(url, MASTER) as reading:
                await compact(reading.engine, "onestop/access-log/other", 202503, folder.parent, keys.signing,
                              datetime(2025, 6, 1, tzinfo=UTC))  # fmt: skip

        asyncio.run(again())
    done = said(data, "compact", "--month", "2025-03")
    assert (done.exit_code, done.stdout) == (1, "")


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM meta WHERE name = 'compacted:202503'",
        "UPDATE meta SET value = replace(value, substr(value, 1, 1), 'g') WHERE name = 'compacted:202503'",
        "UPDATE meta SET name = 'compacted:202504' WHERE name = 'compacted:202503'",
        "INSERT INTO meta SELECT 'compacted:202502', value FROM meta WHERE name = 'compacted:202503'",
    ],
)
def test_a_record_that_was_changed_is_found(data: Path, statement: str) -> None:
    said(data, "compact", "--month", "2025-03")
    with sqlite3.connect(data / "access-log.db") as store:
        assert store.execute(statement).rowcount == 1
    assert said(data, "verify").exit_code == 1


def test_what_was_left_by_a_run_that_was_killed_is_written_again(data: Path) -> None:
    march(data).mkdir(parents=True)
    (march(data) / "2025-03-01-0000.parquet").write_bytes(b"half")
    (march(data).with_name("2025-03.draft")).mkdir()
    assert said(data, "compact", "--month", "2025-03").exit_code == 0
    assert [each.name for each in march(data).parent.iterdir()] == ["2025-03"]


@pytest.mark.parametrize(
    ("month", "status", "why"),
    [("2025-02-01", 2, "YYYY-MM"), ("2025-13", 2, "YYYY-MM"), ("2999-01", 1, "not over"), ("2024-01", 1, "no entries")],
)
def test_a_month_that_cannot_be_compacted_is_refused(data: Path, month: str, status: int, why: str) -> None:
    done = said(data, "compact", "--month", month)
    assert (done.exit_code, why in done.stderr) == (status, True)


def test_a_month_that_is_dropped_goes_with_its_files(data: Path, keys: Keys) -> None:
    async def older() -> None:
        url = f"sqlite+aiosqlite:///{data}/access-log.db"
        async with AccessLog.open(url, Keys(MASTER, keys.signing), lambda: datetime.now(UTC)) as log:
            reading = log.reading
            placed = await reading.of_case(CaseId("case-1"), first=1)
            await log.append([_moved(placed.entries[0].entry.access, datetime(2015, 1, 5, tzinfo=UTC))])

    asyncio.run(older())
    assert said(data, "compact", "--month", "2015-01").exit_code == 0
    assert said(data, "compact", "--month", "2025-03").exit_code == 0
    assert said(data, "retain").stdout == "Dropped 2015-01.\n"
    assert [each.name for each in march(data).parent.iterdir()] == ["2025-03"]
    assert said(data, "verify").exit_code == 0


def _moved(access: Access, at: datetime) -> Access:
    return replace(access, at=at, records={})


def test_the_queries_of_the_page_on_scale_run_on_duckdb(data: Path) -> None:
    said(data, "compact", "--month", "2025-03")
    blocks = [part.split("```")[0] for part in SCALE.read_text("utf-8").split("```sql duckdb\n")[1:]]
    assert len(blocks) == 2
    found = [
        duckdb.sql(block.replace("access-log-archive", str(data / "access-log-archive"))).fetchall() for block in blocks
    ]
    assert found[0] == [("LAND", "ESTATE_DISCOVERY", 33)]
    assert [many for _, many in found[1]] == [5]  # one viewer, and persons as different references


async def test_a_month_on_postgresql_is_compacted_alike(
    postgres_url: str, keys: Keys, access: Accesses, tmp_path: Path
) -> None:
    async with AccessLog.open(postgres_url, keys, lambda: datetime.now(UTC)) as log:
        await log.append(spread(access))
    async with Reading.open(postgres_url, keys.master) as reading:
        made = await compact(reading.engine, "log", 202503, tmp_path, keys.signing, datetime.now(UTC))
    async with Owner.open(postgres_url, keys.master) as owner:
        await owner.compacted(202503, made.hash)
    later = Ed25519PrivateKey.generate().public_key()  # one that followed: archives keep the signature of their time
    assert archives.checked(tmp_path, 202503, made.hash, [later, keys.signing.public_key()]).rows == 33
    with pytest.raises(archives.ArchiveError, match="is not a signature of the log's key"):
        archives.checked(tmp_path, 202503, made.hash, [later])
    with pytest.raises(ArchiveError):
        archives.checked(tmp_path, 202503, "0" * 64, [keys.signing.public_key()])
    verdict = await asyncio.to_thread(verify, postgres_url, keys.master)
    assert (verdict.intact, verdict.entries) == (True, 35)


async def test_entries_of_many_days_that_do_not_fit_into_memory_become_more_files(
    sqlite_url: str, keys: Keys, access: Accesses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "ROWS_HELD", 10)
    monkeypatch.setattr(archives, "CHUNK", 7)
    async with AccessLog.open(sqlite_url, keys, lambda: datetime.now(UTC)) as log:
        await log.append([access(at=FIRST + timedelta(days=n % 3)) for n in range(65)])
    async with Reading.open(sqlite_url, keys.master) as reading:
        made = await compact(reading.engine, "log", 202503, tmp_path, keys.signing, datetime.now(UTC))
    assert len(made.manifest.files) > 6
    assert sum(file.rows for file in made.manifest.files) == made.manifest.rows == 65
    frame = pl.read_parquet(tmp_path / "2025-03" / "*.parquet")
    assert frame["leaf_index"].sort().to_list() == list(range(1, 66))
