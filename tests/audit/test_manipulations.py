"""Everything that is done to a log to bend it, and where each is found. docs/manipulations.md is this list in words.

The log at rest: selection 0, entries 1 to 9; selection 10, entries 11 to 19; entries 20 to 39 of the next year. Whoever
bends it has the store; "with the keys" its master key too, so that what they write opens and hashes as it should. They
have neither the signing key, nor what was published and kept elsewhere: a checkpoint of all 40 leaves and its tiles.
"""
# ruff: noqa: S608 - statements are put together from our own words, as whoever bends a log does

import asyncio
import base64
import shutil
import sqlite3
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from audit import tree
from audit.checking import Unreadable
from audit.checkpoint import Checkpoint, VerifierKey, origin, signed
from audit.entry import Access, Entry, Selection, changed_key_leaf, leaf_hash, selection, uuid7
from audit.entry import entry as entry_of
from audit.keys import Keys, Vault, opened, sealed
from audit.owning import Owner
from audit.store import PAGE_BYTES, BodyKey, entry_columns, part_name, selection_columns
from audit.succession import Change, introduced
from audit.verifying import Evidence, Note, Receipt, Verdict, verify
from audit.writer import AccessLog, signed_part
from schema.identifiers import PersonId
from schema.scalars import Coordinate

Accesses = Callable[..., Access]

KEYS = Keys(master=bytes(range(32)), signing=Ed25519PrivateKey.from_private_bytes(bytes(32)))
OTHER_KEY, THIRD_KEY = (Ed25519PrivateKey.from_private_bytes(each * 32) for each in (b"\1", b"\2"))
FIRST = datetime(2025, 12, 31, 9, tzinfo=UTC)
SECOND = datetime(2026, 3, 14, 15, 9, 26, 535897, tzinfo=UTC)
CAR = selection("5c" * 32, [Coordinate("Vehicle.plate"), Coordinate("Vehicle.maker")])
ABOUT_A_CAR: dict[str, Any] = {"selection": CAR, "disclosed": {"Vehicle.plate"}, "null": frozenset()}
ABOUT_A_CAR |= {"withheld": frozenset(), "answers": {"VEHICLES": "COMPLETE"}, "records": {}}
LEAVES = 40

Found = int | None | str
"""The index of the first leaf that does not hold, None where none can be named, "older" or "unreadable"."""


@dataclass
class Bent:
    """A log to be bent, and what is known of it from elsewhere."""

    path: Path
    evidence: Evidence
    accesses: Accesses

    @property
    def url(self) -> str:
        return f"sqlite+aiosqlite:///{self.path}"

    @contextmanager
    def store(self) -> Iterator[sqlite3.Connection]:
        """The file, whose triggers are out of the way meanwhile."""
        with closing(sqlite3.connect(self.path)) as store, store:
            triggers = store.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
            for name, _ in triggers:
                store.execute(f"DROP TRIGGER {name}")
            yield store
            for _, sql in triggers:
                store.execute(sql)

    def run(self, *statements: str | tuple[str, Sequence[Any]]) -> None:
        with self.store() as store:
            before = store.total_changes
            for statement in statements:
                store.execute(*((statement,) if isinstance(statement, str) else statement))
            assert store.total_changes > before

    @property
    def vault(self) -> Vault:
        with closing(sqlite3.connect(self.path)) as store:
            return Vault(KEYS.master, store.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()[0])

    def page_of(self, needle: bytes) -> int:
        """Where in the file the page begins that holds these bytes."""
        at = self.path.read_bytes().index(needle)
        return at - at % PAGE_BYTES

    def overwrite(self, at: int, data: bytes) -> None:
        whole = bytearray(self.path.read_bytes())
        assert whole[at : at + len(data)] != data
        whole[at : at + len(data)] = data
        self.path.write_bytes(whole)


def value(bent: Bent, sql: str, *passed: object) -> Any:
    with closing(sqlite3.connect(bent.path)) as store:
        return store.execute(sql, passed).fetchone()[0]


async def fill(path: Path, accesses: Accesses, now: Callable[[], datetime], *, until: int = LEAVES) -> None:
    persons = [PersonId("deceased-person"), PersonId("child"), None]
    async with AccessLog.open(f"sqlite+aiosqlite:///{path}", KEYS, now) as log:
        await log.append([accesses(at=FIRST, subject=persons[at % 3]) for at in range(9)])
        await log.append([accesses(at=FIRST, subject=persons[at % 3], **ABOUT_A_CAR) for at in range(9)])
        more = [accesses(at=SECOND + timedelta(seconds=at), subject=persons[at % 3]) for at in range(until - 20)]
        if more:
            await log.append(more)


def leaves(path: Path) -> list[bytes]:
    with closing(sqlite3.connect(path)) as store:
        return [row[0] for row in store.execute("SELECT leaf FROM leaf ORDER BY leaf_index")]


def checkpoint(path: Path, size: int | None = None, key: Ed25519PrivateKey = KEYS.signing) -> Note:
    hashes = [leaf_hash(leaf) for leaf in leaves(path)][:size]
    grown = tree.Range()
    for each in hashes:
        grown.append(each)
    with closing(sqlite3.connect(path)) as store:
        epoch = store.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()[0]
    return Note("the checkpoint", signed(Checkpoint(origin(epoch), len(hashes), grown.root), key).encode())


@pytest.fixture(scope="module")
def at_rest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder in which an empty place for the log lies; filled by the first who asks."""
    return tmp_path_factory.mktemp("at-rest")


@pytest.fixture
async def bent(at_rest: Path, tmp_path: Path, access: Accesses) -> Bent:
    original = at_rest / "log.db"
    if not original.exists():
        await fill(original, access, lambda: SECOND)
        row = b"".join(leaf_hash(leaf) for leaf in leaves(original))
        file = at_rest / "tiles" / tree.Tile(0, 0, LEAVES).path
        file.parent.mkdir(parents=True)
        file.write_bytes(row)
    copy = tmp_path / "log.db"
    shutil.copy(original, copy)
    evidence = Evidence(signers=[KEYS.signing.public_key()], notes=[checkpoint(original)], tiles=at_rest / "tiles")
    return Bent(copy, evidence, access)


async def verdict_on(bent: Bent) -> Found | Verdict:
    try:
        verdict = await asyncio.to_thread(verify, bent.url, KEYS.master, bent.evidence)
    except Unreadable:
        return "unreadable"
    assert verdict.intact == (verdict.reason is None)
    if verdict.intact:
        return verdict if verdict.older_than is None else "older"
    return verdict.first_bad


# ---------------------------------------------------------------- what is done


Do = Callable[[Bent], Found]


@dataclass(frozen=True)
class Manipulation:
    """What is done, and the function that does it and says where it is to be found."""

    words: str
    do: Do


LIST: list[Manipulation] = []


def done(words: str) -> Callable[[Do], Do]:
    def listed(do: Do) -> Do:
        LIST.append(Manipulation(words, do))
        return do

    return listed


def by_sql(words: str, found: Found, *statements: str) -> None:
    def do(bent: Bent) -> Found:
        bent.run(*statements)
        return found

    LIST.append(Manipulation(words, do))


FLIP_BLOB = "CAST(X'00' || substr({0}, 2) AS BLOB)"
COLUMNS: dict[str, str] = {
    "leaf_index": "100",
    "id": "'00000000-0000-7000-8000-000000000000'",
    "at_us": "at_us + 1",
    "year": "year + 1",
    "key": "(SELECT id FROM person_key WHERE id <> entry.key LIMIT 1)",
    "subject_ref": FLIP_BLOB.format("subject_ref"),
    "viewer_ref": FLIP_BLOB.format("viewer_ref"),
    "case_ref": "NULL",
    "agencies": "'|LAND|'",
    "outcome": "'REFUSED'",
    "purpose": "NULL",
    "max_sensitivity": "0",
    "selection": "(SELECT id FROM selection WHERE leaf_index = 0)",
    "person_part": "CAST(substr(person_part, 1, 50) || X'00' || substr(person_part, 52) AS BLOB)",
    "staff_part": "CAST(substr(staff_part, 1, 50) || X'00' || substr(staff_part, 52) AS BLOB)",
}
for name, bad in COLUMNS.items():
    by_sql(f"entry.{name} changed", 14, f"UPDATE entry SET {name} = {bad} WHERE leaf_index = 14")

by_sql("leaf.leaf_index changed", 14, "UPDATE leaf SET leaf_index = 100 WHERE leaf_index = 14")
by_sql(
    "leaf.leaf: its commitment changed", 14, "UPDATE leaf SET leaf = substr(leaf, 1, 37) || X'00' WHERE leaf_index = 14"
)
by_sql("leaf.leaf: its version changed", 14, "UPDATE leaf SET leaf = X'02' || substr(leaf, 2) WHERE leaf_index = 14")
by_sql(
    "leaf.leaf: its kind changed to that of a dropped month",
    14,
    "UPDATE leaf SET leaf = X'0103' || substr(leaf, 3) WHERE leaf_index = 14",
)
by_sql(
    "leaf.leaf: its month changed",
    14,
    "UPDATE leaf SET leaf = substr(leaf, 1, 5) || X'01' || substr(leaf, 7) WHERE leaf_index = 14",
)
by_sql("leaf.leaf cut short", 14, "UPDATE leaf SET leaf = substr(leaf, 1, 37) WHERE leaf_index = 14")
by_sql("leaf.leaf made text", 14, "UPDATE leaf SET leaf = CAST(leaf AS TEXT) WHERE leaf_index = 14")
by_sql("selection.id changed", 10, "UPDATE selection SET id = 'f' || substr(id, 2) || 'f' WHERE leaf_index = 10")
by_sql("selection.leaf_index changed", 10, "UPDATE selection SET leaf_index = 100 WHERE leaf_index = 10")
by_sql("selection.schema_hash changed", 10, "UPDATE selection SET schema_hash = 'other' WHERE leaf_index = 10")
by_sql(
    "selection.coordinates changed",
    10,
    "UPDATE selection SET coordinates = replace(coordinates, 'plate', 'owner') WHERE leaf_index = 10",
)
by_sql("year_key.year changed", 20, "UPDATE year_key SET year = 2030 WHERE year = 2026")
by_sql("year_key.wrapped changed", 20, "UPDATE year_key SET wrapped = zeroblob(60) WHERE year = 2026")
by_sql("year_key.wrapped emptied without an order", 20, "UPDATE year_key SET wrapped = NULL WHERE year = 2026")
OF_LAST = "WHERE id = (SELECT key FROM entry WHERE leaf_index = 39)"
by_sql("person_key.id changed", 21, f"UPDATE person_key SET id = 'other' {OF_LAST}")
by_sql("person_key.year changed", 21, f"UPDATE person_key SET year = 2025 {OF_LAST}")
by_sql("person_key.subject_ref changed", 21, f"UPDATE person_key SET subject_ref = X'00' {OF_LAST}")
by_sql("person_key.wrapped changed", 21, f"UPDATE person_key SET wrapped = zeroblob(60) {OF_LAST}")
by_sql("person_key.wrapped emptied without an order", 21, f"UPDATE person_key SET wrapped = NULL {OF_LAST}")
by_sql("meta: the epoch changed", 1, "UPDATE meta SET value = 'f0' WHERE name = 'epoch'")
by_sql("meta: the name of the epoch changed", "unreadable", "UPDATE meta SET name = 'era' WHERE name = 'epoch'")
by_sql("meta: the version changed", "unreadable", "UPDATE meta SET value = '99' WHERE name = 'schema_version'")
by_sql("meta: what the key is known by changed", None, "UPDATE meta SET value = 'f0' WHERE name = 'key_check'")

for words, at in (("first", 1), ("middle", 21), ("last", 39)):
    by_sql(f"the {words} entry deleted", at, f"DELETE FROM entry WHERE leaf_index = {at}")
    by_sql(f"the leaf of the {words} entry deleted", at, f"DELETE FROM leaf WHERE leaf_index = {at}")
for words, at in (("first", 1), ("middle", 21)):
    both = (f"DELETE FROM entry WHERE leaf_index = {at}", f"DELETE FROM leaf WHERE leaf_index = {at}")
    by_sql(f"the {words} entry deleted with its leaf", at, *both)
by_sql("the first leaf deleted", 0, "DELETE FROM leaf WHERE leaf_index = 0")
by_sql("a selection deleted", 10, "DELETE FROM selection WHERE leaf_index = 10")
by_sql("a year's key deleted", 20, "DELETE FROM year_key WHERE year = 2026")
by_sql("a person's key deleted", 21, f"DELETE FROM person_key {OF_LAST}")
CUT = ("DELETE FROM entry WHERE leaf_index >= 35", "DELETE FROM leaf WHERE leaf_index >= 35")
by_sql("the tail cut, entries and leaves", "older", *CUT)
by_sql("all of it emptied", "older", *(f"DELETE FROM {each}" for each in ("entry", "selection", "leaf")))
by_sql(
    "a deleted entry's gap closed by moving up those behind it",
    21,
    "DELETE FROM entry WHERE leaf_index = 21",
    "DELETE FROM leaf WHERE leaf_index = 21",
    "UPDATE entry SET leaf_index = leaf_index - 1 WHERE leaf_index > 21",
    "UPDATE leaf SET leaf_index = leaf_index - 1 WHERE leaf_index > 21",
)

COPY = "INSERT INTO entry SELECT {0}, {1}, at_us, year, key, subject_ref, viewer_ref, case_ref, agencies, outcome, "
COPY += "purpose, max_sensitivity, selection, person_part, staff_part FROM entry WHERE leaf_index = 14"
by_sql("an entry without a leaf inserted behind the end", 40, COPY.format(40, "'copy'"))
by_sql(
    "an entry doubled at the end with its leaf",
    40,
    COPY.format(40, "'copy'"),
    "INSERT INTO leaf SELECT 40, leaf FROM leaf WHERE leaf_index = 14",
)
by_sql(
    "a leaf without an entry inserted at the end",
    40,
    "INSERT INTO leaf SELECT 40, leaf FROM leaf WHERE leaf_index = 14",
)
by_sql("a leaf inserted before the first", -1, "INSERT INTO leaf SELECT -1, leaf FROM leaf WHERE leaf_index = 14")
by_sql("an entry inserted before the first", -3, COPY.format(-3, "'copy'"))
by_sql("an entry put beside the leaf of a selection", 10, COPY.format(10, "'copy'"))
by_sql(
    "a leaf that says a month was dropped, without a record of it",
    40,
    "INSERT INTO leaf VALUES (40, X'010300031519' || zeroblob(32))",
)

SWAP = "UPDATE {0} SET leaf_index = CASE leaf_index WHEN 14 THEN -99 ELSE -98 END WHERE leaf_index IN (14, 24)"
BACK = "UPDATE {0} SET leaf_index = CASE leaf_index WHEN -99 THEN 24 ELSE 14 END WHERE leaf_index < 0"
by_sql("two entries swapped", 14, SWAP.format("entry"), BACK.format("entry"))
by_sql("two leaves swapped", 14, SWAP.format("leaf"), BACK.format("leaf"))
by_sql(
    "two entries swapped with their leaves",
    14,
    *(each.format(table) for table in ("entry", "leaf") for each in (SWAP, BACK)),
)
OTHER = "(SELECT {0} FROM entry AS o WHERE o.leaf_index = {1})"
by_sql(
    "the staff parts of two entries of one person swapped",
    14,
    "UPDATE entry SET staff_part = CASE leaf_index WHEN 14 THEN "
    + OTHER.format("staff_part", 17)
    + " ELSE "
    + OTHER.format("staff_part", 14)
    + " END WHERE leaf_index IN (14, 17)",
)
by_sql(
    "the two parts of an entry swapped",
    14,
    "UPDATE entry SET person_part = staff_part, staff_part = person_part WHERE leaf_index = 14",
)
by_sql(
    "an entry laid to another person",
    14,
    "UPDATE entry SET subject_ref = " + OTHER.format("subject_ref", 13) + " WHERE leaf_index = 14",
)
by_sql(
    "an entry laid to another person and their key",
    14,
    "UPDATE entry SET subject_ref = "
    + OTHER.format("subject_ref", 13)
    + ", key = "
    + OTHER.format("key", 13)
    + " WHERE leaf_index = 14",
)


@done("the keys of two persons swapped")
def _swapped_keys(bent: Bent) -> Found:
    asked = "SELECT k.id, wrapped FROM person_key k JOIN entry ON key = k.id WHERE leaf_index IN (20, 21)"
    with closing(sqlite3.connect(bent.path)) as store:
        (one, first), (other, second) = store.execute(asked).fetchall()
    assert first != second
    change = "UPDATE person_key SET wrapped = ? WHERE id = ?"
    bent.run((change, (second, one)), (change, (first, other)))
    return 20


by_sql(
    "a year's key replaced by that of another year",
    20,
    "UPDATE year_key SET wrapped = (SELECT wrapped FROM year_key WHERE year = 2025) WHERE year = 2026",
)
by_sql(
    "an entry's year and month written back",
    24,
    "UPDATE entry SET at_us = at_us - 31536000000000, year = 2025 WHERE leaf_index = 24",
)
by_sql(
    "a name of the graph written in small letters",
    14,
    "UPDATE entry SET outcome = lower(outcome) WHERE leaf_index = 14",
)
by_sql("a text made bytes", 14, "UPDATE entry SET purpose = CAST(purpose AS BLOB) WHERE leaf_index = 14")
by_sql(
    "bytes that are no text put where a text was",
    14,
    "UPDATE entry SET purpose = CAST(X'FFFE' AS TEXT) WHERE leaf_index = 14",
)
by_sql(
    "a selection's list spelled with other spaces",
    0,
    "UPDATE selection SET coordinates = replace(coordinates, ',', ', ') WHERE leaf_index = 0",
)

for index in ("entry_by_subject", "entry_by_viewer", "entry_by_case", "person_key_by_subject"):

    @done(f"the index {index} dropped")
    def _drop_index(bent: Bent, index: str = index) -> Found:
        with bent.store() as store:
            store.execute(f"DROP INDEX {index}")
        return None


for trigger in (f"{table}_no_{verb}" for table in ("leaf", "selection", "entry") for verb in ("update", "delete")):

    @done(f"the trigger {trigger} dropped")
    def _drop_trigger(bent: Bent, trigger: str = trigger) -> Found:
        with closing(sqlite3.connect(bent.path)) as store, store:
            store.execute(f"DROP TRIGGER {trigger}")
        return None


@done("a trigger replaced by one that does nothing")
def _hollow(bent: Bent) -> Found:
    with closing(sqlite3.connect(bent.path)) as store, store:
        store.execute("DROP TRIGGER entry_no_update")
        store.execute("CREATE TRIGGER entry_no_update BEFORE UPDATE ON entry BEGIN SELECT 1; END")
    return None


@done("a trigger added that keeps entries out")
def _added_trigger(bent: Bent) -> Found:
    with closing(sqlite3.connect(bent.path)) as store, store:
        store.execute("CREATE TRIGGER quiet BEFORE INSERT ON entry BEGIN SELECT RAISE(IGNORE); END")
    return None


@done("an index rebuilt over some of the entries only")
def _partial_index(bent: Bent) -> Found:
    with bent.store() as store:
        store.execute("DROP INDEX entry_by_subject")
        store.execute("CREATE INDEX entry_by_subject ON entry (subject_ref, leaf_index) WHERE leaf_index <> 14")
    return None


@done("an index that does not list an entry, under its old definition")
def _short_index(bent: Bent) -> Found:
    with bent.store() as store:
        sql = store.execute("SELECT sql FROM sqlite_master WHERE name = 'entry_by_viewer'").fetchone()[0]
        store.execute("DROP INDEX entry_by_viewer")
        store.execute("CREATE INDEX entry_by_viewer ON entry (viewer_ref, leaf_index) WHERE leaf_index <> 14")
        store.execute("PRAGMA writable_schema = ON")
        store.execute("UPDATE sqlite_master SET sql = ? WHERE name = 'entry_by_viewer'", (sql,))
    return None


@done("the rule that ids are unique taken out of a table")
def _not_unique(bent: Bent) -> Found:
    with bent.store() as store:
        made = store.execute("SELECT sql FROM sqlite_master WHERE name = 'entry'").fetchone()[0]
        indexes = store.execute("SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'entry'").fetchall()
        store.execute("ALTER TABLE entry RENAME TO old")
        store.execute(made.replace("UNIQUE (id)", "CHECK (1)"))
        store.execute("INSERT INTO entry SELECT * FROM old")
        store.execute("DROP TABLE old")
        for (sql,) in indexes:
            if sql is not None:
                store.execute(sql)
    return None


# ---------------------------------------------------------------- with the keys


def entries_of(bent: Bent, number: int, **told: Any) -> Entry:
    """An entry that a holder of the keys makes up."""
    facts: dict[str, Any] = {"at": SECOND, "subject": PersonId("child")} | told
    made = bent.accesses(**facts)
    salt = value(bent, "SELECT wrapped FROM year_key WHERE year = ?", made.year)
    vault = bent.vault
    return entry_of(
        made, uuid7(SECOND + timedelta(milliseconds=number)), vault.references(vault.unwrapped(salt, made.year, None))
    )


def columns_of(bent: Bent, made: Entry, at: int) -> dict[str, Any]:
    with closing(sqlite3.connect(bent.path)) as store:
        asked = "SELECT id, wrapped FROM person_key WHERE subject_ref = ? AND year = ?"
        key_id, wrapped = store.execute(asked, (made.subject_ref or b"", made.access.year)).fetchone()
    cipher = AESGCM(bent.vault.unwrapped(wrapped, made.access.year, made.subject_ref or b""))
    return entry_columns(made, at, BodyKey(key_id, cipher))


def write(bent: Bent, made: Entry, at: int, *, replacing: bool) -> None:
    columns = columns_of(bent, made, at)
    names, marks = ", ".join(columns), ", ".join("?" * len(columns))
    gone: list[tuple[str, Sequence[Any]]] = []
    if replacing:
        gone = [(f"DELETE FROM {table} WHERE leaf_index = ?", (at,)) for table in ("entry", "leaf")]
    bent.run(
        *gone,
        ("INSERT INTO leaf VALUES (?, ?)", (at, made.leaf)),
        (f"INSERT INTO entry ({names}) VALUES ({marks})", tuple(columns.values())),
    )


@done("with the keys: an entry rewritten with its leaf and columns")
def _rewritten(bent: Bent) -> Found:
    write(bent, entries_of(bent, 1, viewer="somebody-else"), 24, replacing=True)
    return 24


@done("with the keys: an entry rewritten, and nobody kept the tiles")
def _rewritten_without_tiles(bent: Bent) -> Found:
    write(bent, entries_of(bent, 1, viewer="somebody-else"), 24, replacing=True)
    bent.evidence = replace(bent.evidence, tiles=None)
    return None


@done("with the keys: an entry rewritten, and the tiles with it")
def _rewritten_with_tiles(bent: Bent) -> Found:
    write(bent, entries_of(bent, 1, viewer="somebody-else"), 24, replacing=True)
    file = bent.path.parent / "tiles" / tree.Tile(0, 0, LEAVES).path
    file.parent.mkdir(parents=True)
    file.write_bytes(b"".join(leaf_hash(leaf) for leaf in leaves(bent.path)))
    bent.evidence = replace(bent.evidence, tiles=bent.path.parent / "tiles")
    return None


@done("with the keys: an entry rewritten, and a cruder change behind it")
def _rewritten_and_crude(bent: Bent) -> Found:
    write(bent, entries_of(bent, 1, viewer="somebody-else"), 24, replacing=True)
    bent.run("UPDATE entry SET purpose = NULL WHERE leaf_index = 30")
    return 24


@done("with the keys: everything from an entry on written again")
def _recomputed(bent: Bent) -> Found:
    for at in range(24, LEAVES):
        write(bent, entries_of(bent, at, viewer="somebody-else"), at, replacing=True)
    return 24


@done("with the keys: an entry inserted and all behind it moved down")
def _inserted(bent: Bent) -> Found:
    moves = [f"UPDATE {t} SET leaf_index = -leaf_index - 1 WHERE leaf_index >= 24" for t in ("entry", "leaf")]
    moves += [f"UPDATE {t} SET leaf_index = -leaf_index WHERE leaf_index < 0" for t in ("entry", "leaf")]
    bent.run(*moves)
    write(bent, entries_of(bent, 1), 24, replacing=False)
    return 24


def resealed(bent: Bent, at: int, change: Callable[[bytes], bytes]) -> None:
    """Open the person's part of an entry, change its bytes, and seal it again under the same key."""
    with closing(sqlite3.connect(bent.path)) as store:
        asked = (
            "SELECT e.id, person_part, e.year, e.subject_ref, wrapped FROM entry e JOIN person_key k ON k.id = e.key"
        )
        name, part, year, ref, wrapped = store.execute(asked + " WHERE leaf_index = ?", (at,)).fetchone()
    cipher = AESGCM(bent.vault.unwrapped(wrapped, year, ref))
    plain = opened(cipher, part, part_name(name, "person"))
    changed = change(plain)
    assert changed != plain
    again = sealed(cipher, changed, part_name(name, "person"))
    bent.run(("UPDATE entry SET person_part = ? WHERE leaf_index = ?", (again, at)))


@done("with the keys: a text inside an entry renormalized (NFC to NFD)")
def _renormalized(bent: Bent) -> Found:
    resealed(bent, 24, lambda plain: plain[:32] + unicodedata.normalize("NFD", plain[32:].decode()).encode())
    return 24


@done("with the keys: the moment inside an entry rewritten")
def _time_rewritten(bent: Bent) -> Found:
    resealed(bent, 24, lambda plain: plain.replace(b"2026-03-14", b"2026-03-13"))
    bent.run("UPDATE entry SET at_us = at_us - 86400000000 WHERE leaf_index = 24")
    return 24


@done("with the keys: a salt changed")
def _salt(bent: Bent) -> Found:
    resealed(bent, 24, lambda plain: bytes(32) + plain[32:])
    return 24


@done("with the keys: a field taken out of an entry")
def _field(bent: Bent) -> Found:
    resealed(bent, 24, lambda plain: plain[:32] + orjson.dumps(orjson.loads(plain[32:]) | {"purpose": None}))
    return 24


@done("with the keys: an entry whose bitmap is none over its selection (nothing kept elsewhere)")
def _bitmap(bent: Bent) -> Found:
    made = entries_of(bent, 1)
    told = orjson.dumps(orjson.loads(made.person_part) | {"null": "ff"})
    write(bent, replace(made, person_part=told), 24, replacing=True)
    bent.evidence = Evidence()
    return 24


@done("with the keys: a year given a new key")
def _new_year_key(bent: Bent) -> Found:
    bent.run(("UPDATE year_key SET wrapped = ? WHERE year = 2026", (bent.vault.wrapped(bytes(32), 2026, None),)))
    return 20


@done("with the keys: a selection redefined under a new id, its leaf too")
def _redefined(bent: Bent) -> Found:
    new = Selection(CAR.schema_hash, (Coordinate("Vehicle.maker"), Coordinate("Vehicle.owner")))
    columns = selection_columns(new, 10)
    bent.run(
        ("UPDATE selection SET id = ?, coordinates = ? WHERE leaf_index = 10", (columns["id"], columns["coordinates"])),
        ("UPDATE leaf SET leaf = ? WHERE leaf_index = 10", (new.leaf,)),
        ("UPDATE entry SET selection = ? WHERE selection = ?", (new.id, CAR.id)),
    )
    return 10


@done("with the keys: the whole store built again, another epoch")
def _rebuilt(bent: Bent) -> Found:
    bent.path.unlink()
    asyncio.run(fill(bent.path, bent.accesses, lambda: SECOND))
    return None


@done("with the keys: the whole store built again under its epoch")
def _rebuilt_under_its_epoch(bent: Bent) -> Found:
    for at in [*range(1, 10), *range(11, LEAVES)]:
        told = ABOUT_A_CAR if 10 < at < 20 else {}
        write(bent, entries_of(bent, at, at=FIRST if at < 20 else SECOND, **told), at, replacing=True)
    return 1


@done("an older valid copy put back")
def _older(bent: Bent) -> Found:
    bent.run("DELETE FROM entry WHERE leaf_index >= 20", "DELETE FROM leaf WHERE leaf_index >= 20")
    return "older"


@done("with the keys: a second valid history, as long as the first (a fork)")
def _forked(bent: Bent) -> Found:
    for at in range(30, LEAVES):
        write(bent, entries_of(bent, at, purpose="CASE_SUPERVISION"), at, replacing=True)
    return 30


@done("with the keys: a second valid history, longer than the first")
def _forked_longer(bent: Bent) -> Found:
    _forked(bent)
    write(bent, entries_of(bent, LEAVES), LEAVES, replacing=False)
    return 30


# ---------------------------------------------------------------- what is kept elsewhere


def with_note(bent: Bent, text: bytes) -> None:
    assert text != bent.evidence.notes[0].text
    bent.evidence = replace(bent.evidence, notes=[Note("the checkpoint", text)])


@done("the checkpoint's size changed")
def _note_size(bent: Bent) -> Found:
    with_note(bent, bent.evidence.notes[0].text.replace(b"\n40\n", b"\n39\n"))
    return None


@done("the checkpoint's root changed")
def _note_root(bent: Bent) -> Found:
    lines = bent.evidence.notes[0].text.split(b"\n")
    lines[2] = b"A" * 43 + b"="
    with_note(bent, b"\n".join(lines))
    return None


@done("the checkpoint signed with another key")
def _note_key(bent: Bent) -> Found:
    with_note(bent, checkpoint(bent.path, key=OTHER_KEY).text)
    return None


@done("a checkpoint of another log under the same key")
def _note_of_another(bent: Bent) -> Found:
    with_note(bent, signed(Checkpoint(origin("another"), 40, bytes(32)), KEYS.signing).encode())
    return None


@done("a checkpoint of as many leaves with another root, signed with the log's key")
def _note_fork(bent: Bent) -> Found:
    epoch = value(bent, "SELECT value FROM meta WHERE name = 'epoch'")
    with_note(bent, signed(Checkpoint(origin(epoch), 40, bytes(32)), KEYS.signing).encode())
    return None


@done("the log's key replaced by another")
def _signer(bent: Bent) -> Found:
    bent.evidence = replace(bent.evidence, signers=[OTHER_KEY.public_key()])
    return None


def with_changed_key(bent: Bent) -> None:
    """Leaf 40 says that the log's key was given up for another, which signed the checkpoint of 41."""

    async def change() -> None:
        async with Owner.open(bent.url, KEYS.master) as owner:
            await owner.change_signing_key(KEYS.signing, OTHER_KEY)

    asyncio.run(change())
    note = checkpoint(bent.path, key=OTHER_KEY)
    bent.evidence = Evidence(signers=[OTHER_KEY.public_key()], notes=[note])


def written_in(bent: Bent, at: int, name: str, note: str) -> None:
    """A change of the log's key as a fact of the store, and the leaf that says so."""
    bent.run(
        ("INSERT INTO leaf VALUES (?, ?)", (at, changed_key_leaf(name, note))),
        ("INSERT INTO meta VALUES (?, ?)", (name, note)),
    )


def a_change(bent: Bent, old: Ed25519PrivateKey, new: Ed25519PrivateKey) -> Change:
    name = origin(value(bent, "SELECT value FROM meta WHERE name = 'epoch'"))
    return Change(1, LEAVES, VerifierKey(name, old.public_key()), VerifierKey(name, new.public_key()))


OF_THE_CHANGE = "WHERE name = 'signing-key:1'"


def without_change(bent: Bent) -> None:
    bent.run(f"DELETE FROM meta {OF_THE_CHANGE}", f"DELETE FROM leaf WHERE leaf_index = {LEAVES}")


@done("a change of the log's key taken out")
def _change_out(bent: Bent) -> Found:
    with_changed_key(bent)
    bent.run(f"DELETE FROM meta {OF_THE_CHANGE}")
    return LEAVES


@done("a change of the log's key taken out with its leaf")
def _change_and_leaf_out(bent: Bent) -> Found:
    with_changed_key(bent)
    without_change(bent)
    return "older"


@done("a change of the log's key made to name another key")
def _change_of_another(bent: Bent) -> Found:
    with_changed_key(bent)
    note = introduced(a_change(bent, KEYS.signing, THIRD_KEY), THIRD_KEY, THIRD_KEY)
    bent.run((f"UPDATE meta SET value = ? {OF_THE_CHANGE}", (note,)))
    return LEAVES


@done("a change of the log's key put back at another leaf (no checkpoint at hand)")
def _change_elsewhere(bent: Bent) -> Found:
    with_changed_key(bent)
    note = value(bent, f"SELECT value FROM meta {OF_THE_CHANGE}")
    without_change(bent)
    write(bent, entries_of(bent, LEAVES), LEAVES, replacing=False)
    written_in(bent, LEAVES + 1, "signing-key:1", note)
    bent.evidence = replace(bent.evidence, notes=[])
    return None


@done("a change of the log's key that its key did not sign, and its leaf")
def _change_forged(bent: Bent) -> Found:
    change = a_change(bent, KEYS.signing, OTHER_KEY)
    written_in(bent, LEAVES, change.fact, introduced(change, OTHER_KEY, OTHER_KEY))
    return None


@done("a change between two keys that are not the log's, and its leaf")
def _change_of_strangers(bent: Bent) -> Found:
    change = a_change(bent, OTHER_KEY, THIRD_KEY)
    written_in(bent, LEAVES, change.fact, introduced(change, OTHER_KEY, THIRD_KEY))
    return None


@done("a checkpoint beyond a change of the log's key, signed with the key that was given up")
def _note_too_late(bent: Bent) -> Found:
    with_changed_key(bent)
    with_note(bent, checkpoint(bent.path, key=KEYS.signing).text)
    return None


@done("a text put in the place of the checkpoint")
def _no_note(bent: Bent) -> Found:
    with_note(bent, b"nothing to see here\n")
    return "unreadable"


def receipt(name: str, hashed: str) -> Receipt:
    signature = KEYS.signing.sign(signed_part(UUID(name), hashed))
    return Receipt(UUID(name), hashed, base64.b64encode(signature).decode())


@done("a receipt whose entry is not in the log (its tail cut, no checkpoint at hand)")
def _receipt(bent: Bent) -> Found:
    promised = receipt(
        value(bent, "SELECT id FROM entry WHERE leaf_index = 39"), leaf_hash(leaves(bent.path)[39]).hex()
    )
    bent.evidence = Evidence(signers=bent.evidence.signers, receipts=[promised])
    bent.run("DELETE FROM entry WHERE leaf_index = 39", "DELETE FROM leaf WHERE leaf_index = 39")
    return None


@done("with the keys: a receipt whose entry was rewritten under its id (no checkpoint at hand)")
def _receipt_of_another(bent: Bent) -> Found:
    name = value(bent, "SELECT id FROM entry WHERE leaf_index = 24")
    promised = receipt(name, leaf_hash(b"what was promised").hex())
    bent.evidence = Evidence(signers=bent.evidence.signers, receipts=[promised])
    return 24


@done("a receipt that the log did not sign")
def _receipt_forged(bent: Bent) -> Found:
    promised = receipt(value(bent, "SELECT id FROM entry WHERE leaf_index = 24"), "00" * 32)
    bent.evidence = replace(bent.evidence, receipts=[Receipt(promised.id, promised.leaf_hash, "AAAA")])
    return "unreadable"


# ---------------------------------------------------------------- pages


def first_on(bent: Bent, page: int) -> int:
    """The lowest index of an entry whose row begins on a page."""
    data = bent.path.read_bytes()[page : page + PAGE_BYTES]
    with closing(sqlite3.connect(bent.path)) as store:
        rows = store.execute("SELECT leaf_index, id, key FROM entry ORDER BY leaf_index").fetchall()
    # The id alone stands in an index too; the key's id follows it in the row.
    return next(at for at, name, key in rows if name.encode() in data and key.encode() in data)


def row_page(bent: Bent, at: int) -> int:
    with closing(sqlite3.connect(bent.path)) as store:
        store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        part = store.execute("SELECT person_part FROM entry WHERE leaf_index = ?", (at,)).fetchone()[0]
    return bent.page_of(part[:200])


@done("a page of entries zeroed")
def _zeroed(bent: Bent) -> Found:
    page = row_page(bent, 24)
    found = first_on(bent, page)
    bent.overwrite(page, bytes(PAGE_BYTES))
    return found


@done("a page of entries torn: its second half zeroed, so that it speaks of an entry 0")
def _torn(bent: Bent) -> Found:
    bent.overwrite(row_page(bent, 24) + PAGE_BYTES // 2, bytes(PAGE_BYTES // 2))
    return 0


@done("a page of entries overwritten by an earlier one, whose entries are there twice then")
def _doubled_page(bent: Bent) -> Found:
    page, other = row_page(bent, 24), row_page(bent, 14)
    found = first_on(bent, other)
    assert page != other
    bent.overwrite(page, bent.path.read_bytes()[other : other + PAGE_BYTES])
    return found


def zero_root(bent: Bent, name: str) -> None:
    root = value(bent, "SELECT rootpage FROM sqlite_master WHERE name = ?", name)
    bent.overwrite((root - 1) * PAGE_BYTES, bytes(PAGE_BYTES))


@done("the root page of the entries zeroed")
def _entries_root(bent: Bent) -> Found:
    zero_root(bent, "entry")
    return 0


@done("the root page of the leaves zeroed")
def _leaves_root(bent: Bent) -> Found:
    zero_root(bent, "leaf")
    return 0


@done("a page of an index zeroed")
def _index_page(bent: Bent) -> Found:
    zero_root(bent, "entry_by_subject")
    return None


@done("one bit of a sealed part turned on the disk")
def _bit(bent: Bent) -> Found:
    part = value(bent, "SELECT person_part FROM entry WHERE leaf_index = 24")
    at = bent.path.read_bytes().index(part[:200]) + 100
    bent.overwrite(at, bytes([part[100] ^ 1]))
    return 24


@done("the first page of the file zeroed")
def _header(bent: Bent) -> Found:
    bent.overwrite(0, bytes(PAGE_BYTES))
    return "unreadable"


@done("the page of the log's own facts zeroed")
def _meta_root(bent: Bent) -> Found:
    zero_root(bent, "meta")
    return "unreadable"


# ---------------------------------------------------------------- the tests


@pytest.mark.parametrize("manipulation", LIST, ids=lambda each: each.words)
async def test_what_was_bent_is_found_where_it_was(bent: Bent, manipulation: Manipulation) -> None:
    wanted = await asyncio.to_thread(manipulation.do, bent)

    assert await verdict_on(bent) == wanted


async def test_the_log_at_rest_is_intact(bent: Bent) -> None:
    verdict = await verdict_on(bent)

    assert isinstance(verdict, Verdict)
    assert (verdict.entries, verdict.leaves) == (38, LEAVES)


def test_the_list_is_the_one_that_is_written_down() -> None:
    page = (Path(__file__).parents[2] / "docs" / "manipulations.md").read_text("utf-8")
    listed = [line.removeprefix("- ") for line in page.splitlines() if line.startswith("- ")]

    assert listed == [each.words for each in LIST]
    assert len(listed) >= 60
