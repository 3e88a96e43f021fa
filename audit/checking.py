"""What must hold of a range of leaves, checked fast: rows straight from the driver, parts decoded into their types.

Every leaf is at its index and well formed. An entry's two parts open under its person's key of that year, belong
together, hash to the commitment in the leaf, and every look-up column follows from them. A selection hashes to its id.
What an order took away (a month, a person's year) is accepted when a leaf says so. Nothing here knows SQLAlchemy: a
process per core loads this, and all of them together stay small.
"""

import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.parse import quote
from uuid import UUID

import msgspec
import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from audit.entry import (
    COMMITMENT_PREFIX,
    ENTRY_LEAF,
    LEAF_BYTES,
    LEAF_VERSION,
    ORDER_LEAVES,
    SALT_BYTES,
    SELECTION_LEAF,
    SENSITIVITIES,
    Selection,
    dropped_month_leaf,
    erased_key_leaf,
    leaf,
    marked,
    part_name,
    recorded_leaf,
)
from audit.keys import KEY_BYTES, NOBODY, NONCE_BYTES, References, Vault
from audit.tree import complete

Row = Sequence[Any]

PART_HEIGHT = 12
PART_LEAVES = 1 << PART_HEIGHT
"""Leaves are checked in parts of this many, each a complete subtree."""
CIPHERS_REMEMBERED = 8
"""How many ciphers a process keeps at a time, 2 kB each: of more, each new one is made in memory that has left the
processor's cache. A person's entries lie side by side or far apart."""
NAMES_REMEMBERED = 5_000
OPENED_REMEMBERED = 130_000
"""How many keys it keeps opened besides, packed: 0.3 kB each."""
SELECTIONS_REMEMBERED = 500
BITMAPS_REMEMBERED = 1000
ANSWERS_REMEMBERED = 1000
ORDER_KINDS = tuple(bytes([kind]) for kind in ORDER_LEAVES)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
LATEST_US = (datetime(9999, 1, 1, tzinfo=UTC) - EPOCH) // MICROSECOND

UNFOUNDED = "the leaf is not well formed, or what it commits to is gone"
PERSON_NAME, STAFF_NAME = (part_name("", part) for part in ("person", "staff"))
RANKS: Mapping[str | None, int | None] = {None: None} | {name: rank for rank, name in enumerate(SENSITIVITIES)}

LEAVES = "SELECT leaf_index, leaf FROM leaf WHERE leaf_index >= $1 AND leaf_index < $2 ORDER BY leaf_index LIMIT $3"
ENTRIES = (
    "SELECT leaf_index, key, person_part, staff_part, id, at_us, year, subject_ref, viewer_ref, case_ref, agencies, "
    "outcome, purpose, max_sensitivity, selection FROM entry WHERE leaf_index >= $1 AND leaf_index < $2 "
    "ORDER BY leaf_index LIMIT $3"
)
SELECTIONS = (
    "SELECT leaf_index, id, schema_hash, coordinates FROM selection WHERE leaf_index >= $1 AND leaf_index < $2 "
    "ORDER BY leaf_index LIMIT $3"
)
SELECTION = "SELECT leaf_index, id, schema_hash, coordinates FROM selection WHERE id = $1"
YEARS = "SELECT year, wrapped FROM year_key"
KEYS = "SELECT id, year, subject_ref, wrapped FROM person_key LIMIT $1"
KEYS_OF = (
    "SELECT DISTINCT key FROM "
    "(SELECT key FROM entry WHERE leaf_index >= $1 AND leaf_index < $2 ORDER BY leaf_index LIMIT $3) AS stretch"
)
MONTHS = "SELECT month FROM dropped_month"
ERASED = "SELECT key_id FROM erased_key"
ORDERS = "SELECT leaf FROM leaf WHERE substr(leaf, 2, 1) IN ($1, $2, $3, $4)"
COMPACTIONS = "SELECT name, value FROM meta WHERE name LIKE 'compacted:%' OR name LIKE 'signing-key:%'"


class Unreadable(Exception):
    """The store cannot be opened, or is none of ours. The text says why, and names no person."""

    code = "LOG_UNAVAILABLE"


class Fault(Exception):
    """A leaf, or what it commits to, is not what was written."""

    code = "LOG_UNAVAILABLE"

    def __init__(self, leaf_index: int, reason: str) -> None:
        super().__init__(reason)
        self.leaf_index = leaf_index
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Place:
    """Where a store lies: the path of a file, or what asyncpg connects with."""

    path: Path | None
    server: Mapping[str, Any]


class Rows(Protocol):
    """One moment of a store, read by plain SQL with $1, $2 for what is passed; `failure` where it cannot be read."""

    failure: type[Exception]

    def ask(self, sql: str, *passed: object) -> Sequence[Row]: ...
    def each(self, sql: str, *passed: object) -> Iterable[Row]: ...
    def keys(self, ids: Sequence[str]) -> Sequence[Row]: ...
    def has_table(self, name: str) -> bool: ...
    def go_forward(self) -> None: ...
    def close(self) -> None: ...


class SqliteRows:
    """Read-only, in one transaction. Raise Unreadable when there is no database here."""

    failure: type[Exception] = sqlite3.DatabaseError

    def __init__(self, path: Path) -> None:
        wal = path.with_name(path.name + "-wal")
        try:
            path.stat()
            at_rest = not wal.exists() or not wal.stat().st_size
        except FileNotFoundError as error:
            raise Unreadable(f"there is no file {path}") from error
        except OSError as error:
            raise Unreadable(f"{path} may not be read") from error
        # A copy on read-only media has no place for the files that WAL needs, and needs none when nothing is in flight.
        still = ("mode=ro&immutable=1",) if at_rest else ()
        for how in ("mode=ro", *still):
            try:
                self._begin(f"file:{quote(str(path))}?{how}")
            except sqlite3.Error as error:
                failure = error
            else:
                return
        raise Unreadable(f"{path} is not a database that can be read ({failure})") from failure

    def _begin(self, uri: str) -> None:
        self.connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        try:
            self.connection.execute("PRAGMA query_only = ON")
            self.connection.execute("PRAGMA busy_timeout = 5000")
            self.connection.execute("BEGIN")
            self.connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.Error:
            self.connection.close()
            raise

    def ask(self, sql: str, *passed: object) -> Sequence[Row]:
        named = {str(at): value for at, value in enumerate(passed, 1)}
        try:
            return self.connection.execute(sql, named).fetchall()
        except sqlite3.OperationalError as error:
            if "decode" not in str(error):
                raise
        # SQLite keeps any bytes in any column: those that are no text are to be found, not stumbled over.
        self.connection.text_factory = partial(str, encoding="utf-8", errors="surrogateescape")
        try:
            return self.connection.execute(sql, named).fetchall()
        finally:
            self.connection.text_factory = str

    def each(self, sql: str, *passed: object) -> Iterable[Row]:
        """The same, one by one. Raise sqlite3.OperationalError at bytes that are no text."""
        return self.connection.execute(sql, {str(at): value for at, value in enumerate(passed, 1)})

    def keys(self, ids: Sequence[str]) -> Sequence[Row]:
        wanted = orjson.dumps(ids).decode()
        return self.ask(
            "SELECT id, year, subject_ref, wrapped FROM person_key WHERE id IN (SELECT value FROM json_each($1))",
            wanted,
        )

    def has_table(self, name: str) -> bool:
        return bool(self.ask("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = $1", name))

    def go_forward(self) -> None:
        """From now on rows are read in their order: few pages are enough, and these stay in the processor's cache."""
        self.connection.execute("PRAGMA cache_size = -128")

    def close(self) -> None:
        self.connection.close()


def rows_of(place: Place) -> Rows:
    if place.path is not None:
        return SqliteRows(place.path)
    from audit.served import PostgresRows  # noqa: PLC0415 - its driver and its loop are a third of a process

    return PostgresRows(place.server)


class WireRecords(msgspec.Struct, gc=False):
    count: int
    references: list[str]


class PersonPart(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The part told to the person, as it is stored: in the order of names, in which it is read fastest."""

    answers: msgspec.Raw
    at: str
    case: str | None
    case_number: str | None
    derived: str
    disclosed: str
    document_hash: str | None
    failed: str
    id: str
    legal_basis: str | None
    null: str
    operation: UUID
    operation_name: str | None
    organisation: str | None
    outcome: Literal["DISCLOSED", "PARTIAL", "REFUSED", "FAILED"]
    policy_ids: list[str]
    policy_set_hash: str | None
    purpose: str | None
    records: dict[str, WireRecords]
    selection: str
    sensitivity: Literal["PRESENCE", "IDENTITY", "INVENTORY", "AMOUNT", "SPECIAL"] | None
    subject: str | None
    subject_role: str | None
    task: Literal["VIEW", "SEARCH", "CREATE", "UPDATE", "EXPORT", "LOG_VIEW"]
    withheld: str


class StaffPart(msgspec.Struct, gc=False):
    """Of the officers' part, what columns follow from."""

    id: str
    subject: str | None
    viewer: str


PERSON_PART = msgspec.json.Decoder(PersonPart)
STAFF_PART = msgspec.json.Decoder(StaffPart)
ANSWERS = msgspec.json.Decoder(dict[str, str])


class PersonKey(msgspec.Struct, gc=False):
    """A key row; no cipher when the key was destroyed, or does not open under what the row says it is of.

    `subject` is the person's name, once one was found that leads to the reference.
    """

    year: int
    subject_ref: bytes
    cipher: AESGCM | None
    destroyed: bool = False
    subject: str | None = None


class OpenedKey(msgspec.Struct, array_like=True, gc=False):
    """What is kept of a key that opened."""

    secret: bytes
    year: int
    subject_ref: bytes
    subject: str | None = None


PACKED = msgspec.msgpack.Encoder()
UNPACKED = msgspec.msgpack.Decoder(OpenedKey)


@dataclass(frozen=True, slots=True)
class Minute:
    """A minute in microseconds since 1970, its year, and how the leaves of its entries begin."""

    us: int
    year: int
    leaf: bytes


@dataclass(frozen=True, slots=True)
class Reads:
    """A selection, and the bitmaps that were found to be ones over it."""

    selection: Selection
    known: set[str]


@dataclass(frozen=True, slots=True)
class Part:
    """What was found in one part. `root` is that of a complete part, `hashes` of its leaves, if asked for."""

    begin: int
    entries: int
    root: bytes
    hashes: bytes
    fault: tuple[int, str] | None


_checker: "Checker"


def begin(place: Place, master: bytes, epoch: str) -> None:
    """Make this process one that checks parts."""
    global _checker  # noqa: PLW0603 - a process of a pool has no other place to keep something
    _checker = Checker(rows_of(place), Vault(master, epoch))


def part(begin: int, end: int, hashes: bool) -> Part:
    return _checker.part(begin, end, hashes=hashes)


class Checker:
    """Checks parts of one store at one moment."""

    def __init__(self, rows: Rows, vault: Vault, kept: int = OPENED_REMEMBERED) -> None:
        self._rows = rows
        self._kept = kept
        self._vault = vault
        self.years = _years(rows, vault)
        self.changed_years = [row[0] for row in rows.ask(YEARS) if row[1] is not None and row[0] not in self.years]
        months, keys = _recorded(rows, "dropped_month", MONTHS), _recorded(rows, "erased_key", ERASED)
        compacted = {name: str(value) for name, value in rows.ask(COMPACTIONS)}
        orders = {month: dropped_month_leaf(month) for month in months if _is_month(month)}
        orders |= {key: erased_key_leaf(key) for key in keys if isinstance(key, str)}
        orders |= {name: order for name, value in compacted.items() if (order := recorded_leaf(name, value))}
        said = {row[0] for row in rows.ask(ORDERS, *ORDER_KINDS)} if orders else set()
        self.unsaid = sorted(str(what) for what in (*months, *keys, *compacted) if orders.get(what) not in said)
        """Orders on record that no leaf says: nothing is accepted as gone for them."""
        self._orders = said.intersection(orders.values())
        self._dropped = {month for month in months if orders.get(month) in said}
        self._erased = {key for key in keys if orders.get(key) in said}
        self._unlinked = {row[0] for row in rows.ask(YEARS) if row[1] is None and f"year:{row[0]}" in self._erased}
        self._keys: dict[str, PersonKey] = {}
        self._opened_keys: dict[str, bytes] = {}
        self._knows_keys: bool | None = None
        """Whether all keys were opened before the first part. If not, a part's are opened before it."""
        self._names: dict[int, dict[str, dict[str, bytes]]] = {year: {"viewer": {}, "case": {}} for year in self.years}
        self._minutes: dict[str, Minute] = {}
        self._answered: dict[bytes, str] = {}
        self._reads: dict[str, Reads] = {}

    def part(self, begin: int, end: int, *, hashes: bool = False) -> Part:
        """Check leaves begin to end (excluded). A page that cannot be read is found by reading one leaf at a time."""
        try:
            row, entries, fault = self._part(begin, end, 2 * PART_LEAVES)
        except self._rows.failure as error:
            return self._torn(begin, end, error)
        return Part(
            begin=begin,
            entries=entries,
            root=complete(row) if len(row) == PART_LEAVES else b"",
            hashes=b"".join(row) if hashes else b"",
            fault=None if fault is None else (fault.leaf_index, fault.reason),
        )

    def opens_anything(self) -> bool:
        """Whether some key opens, or there is none to open."""
        some = self._rows.ask(
            "SELECT id, year, subject_ref, wrapped FROM person_key WHERE wrapped IS NOT NULL LIMIT 100"
        )
        opened = [self._opened(*row) for row in some]
        return bool(self.years) or any(key.cipher for key in opened) or not (opened or self.changed_years)

    def _torn(self, begin: int, end: int, error: Exception) -> Part:
        reason = f"the store cannot be read here ({error})"
        for at in range(begin, end):
            try:
                fault = self._part(at, at + 1, 1)[2]  # not a row further, which may lie on the next page
            except self._rows.failure:
                fault = Fault(at, reason)
            if fault is not None:
                return Part(begin, at - begin, b"", b"", (at, fault.reason))
        # Each one can be read; a scan that ends with one of them cannot.
        sound, torn = begin, end
        while torn - sound > 1:
            middle = (sound + torn) // 2
            try:
                self._part(begin, middle, 2 * PART_LEAVES)
                sound = middle
            except self._rows.failure:
                torn = middle
        return Part(begin, 0, b"", b"", (sound, reason))

    def _part(self, begin: int, end: int, limit: int) -> tuple[list[bytes], int, Fault | None]:
        """Hashes of the leaves up to the first fault, how many entries are sound, and the fault."""
        if self._knows_keys is None:
            self._knows_keys = self._open_oldest()
            if self._knows_keys:
                self._rows.go_forward()
        if not self._knows_keys:
            self._open([row[0] for row in self._rows.ask(KEYS_OF, begin, end, limit)])
        try:
            return self._compared(begin, end, limit, self._rows.each)
        except sqlite3.OperationalError as error:
            if "decode" not in str(error):
                raise
        return self._compared(begin, end, limit, self._rows.ask)

    def _compared(
        self, begin: int, end: int, limit: int, read: Callable[..., Iterable[Row]]
    ) -> tuple[list[bytes], int, Fault | None]:
        """Each leaf, in order, with the entry or selection it commits to."""
        selections = {row[0]: row for row in read(SELECTIONS, begin, end, limit)}
        entries = iter(read(ENTRIES, begin, end, limit))
        entry, until, sound, sha256, fault = next(entries, None), begin, 0, hashlib.sha256, None
        hashes: list[bytes] = []
        try:
            for at, (index, data) in zip(range(begin, end), read(LEAVES, begin, end, limit), strict=False):
                if index != at:
                    break
                if type(data) is not bytes or len(data) != LEAF_BYTES or data[0] != LEAF_VERSION:
                    fault = Fault(at, "the leaf is not well formed")
                    break
                hashes.append(sha256(b"\x00" + data).digest())
                if data[1] == ENTRY_LEAF and entry is not None and entry[0] == at and at not in selections:
                    self._check_entry(at, data, entry)
                    entry = next(entries, None)
                    sound += 1
                else:
                    sound += self._check_other(at, data, entry, selections)
                until = at + 1
        except Fault as found:
            fault = found
        if fault is None and until < end:
            fault = Fault(until, "the leaf is missing or out of place")
        # An entry that comes behind its leaf is there twice, or out of place.
        behind = min((row[0] for row in chain([entry], entries) if row is not None and row[0] >= begin), default=end)
        if behind < until:
            return hashes, self._compared(begin, behind, limit, read)[1], Fault(behind, UNFOUNDED)
        return hashes, sound, fault

    def _check_other(self, at: int, data: bytes, entry: Row | None, selections: Mapping[int, Row]) -> int:
        """Whether a leaf is that of an entry that was dropped. Raise Fault unless it is, or that of what needs none."""
        kind, is_entry = data[1], entry is not None and entry[0] == at
        if kind == ENTRY_LEAF and not is_entry and at not in selections:
            if int.from_bytes(data[2:6], "big") in self._dropped:
                return True
        elif kind == SELECTION_LEAF and not is_entry and at in selections:
            _check_selection(at, data, selections[at])
            return False
        elif not is_entry and at not in selections and data in self._orders:
            return False
        raise Fault(at, UNFOUNDED)

    def _open_oldest(self) -> bool:
        """Open as many keys as are kept, in the order in which they lie, as that is fast. Whether these are all."""
        asked = 0
        try:
            for asked, row in enumerate(self._rows.each(KEYS, self._kept), 1):  # noqa: B007 - counted
                self._secret(*row)
        except self._rows.failure:
            return False  # whoever needs a key that cannot be read says so
        return asked < self._kept

    def _open(self, ids: Sequence[Any]) -> None:
        asked = [printable(name) for name in ids if isinstance(name, str) and name not in self._opened_keys]
        for at in range(0, len(asked), 1000):
            for row in self._rows.keys(asked[at : at + 1000]):
                self._secret(*row)

    def _key(self, name: Any) -> PersonKey | None:
        if packed := self._opened_keys.get(name):
            known = UNPACKED.decode(packed)
            key = PersonKey(known.year, known.subject_ref, AESGCM(known.secret), subject=known.subject)
        else:
            found = self._rows.keys([printable(name)]) if isinstance(name, str) else ()
            if not found or found[0][0] != name:
                return None
            key = self._opened(*found[0])
        if len(self._keys) >= CIPHERS_REMEMBERED:
            self._keys.clear()
        self._keys[name] = key
        return key

    def _opened(self, name: Any, year: Any, subject_ref: Any, wrapped: Any) -> PersonKey:
        secret = self._secret(name, year, subject_ref, wrapped)
        cipher = None if secret is None else AESGCM(secret)
        return PersonKey(year, subject_ref, cipher, destroyed=wrapped is None)

    def _secret(self, name: Any, year: Any, subject_ref: Any, wrapped: Any) -> bytes | None:
        """The key itself, kept from now on; None when it was destroyed or changed."""
        try:
            secret = self._vault.unwrapped(wrapped, year, subject_ref)
        except (InvalidTag, ValueError, TypeError):
            return None
        if len(secret) != KEY_BYTES:
            return None
        if len(self._opened_keys) >= self._kept:
            self._opened_keys.clear()
        if type(year) is int:  # SQLite keeps any type in any column
            self._opened_keys[name] = PACKED.encode(OpenedKey(secret, year, subject_ref))
        return secret

    def _person(self, name: Any, key: PersonKey, subject: str) -> bytes:
        """The reference of a person, kept with the key of their year when it is theirs."""
        ref = self.years[key.year].of("person", subject)
        if ref == key.subject_ref:
            key.subject = subject
            if packed := self._opened_keys.get(name):
                known = UNPACKED.decode(packed)
                known.subject = subject
                self._opened_keys[name] = PACKED.encode(known)
        return ref

    def _require_order(self, at: int, data: bytes, row: Row, key: PersonKey | None) -> None:
        """Raise Fault unless an order took away what would open an entry."""
        key_id, at_us, year, subject_ref = row[1], *row[5:8]
        month = int.from_bytes(data[2:6], "big")
        if key is None:
            raise Fault(at, "the key of its person and year is gone or was changed")
        if key.year != year or key.subject_ref != subject_ref:
            raise Fault(at, "its year, its person, or those of its key were changed")
        if (key.destroyed and key_id in self._erased) or (key.cipher is not None and year in self._unlinked):
            moment = EPOCH + at_us * MICROSECOND if isinstance(at_us, int) and 0 <= at_us < LATEST_US else EPOCH
            if moment.year * 100 + moment.month != month or moment.year != year:
                raise Fault(at, "a column to look it up by was changed")
            return
        which = "its person and year" if key.cipher is None else "its year"
        raise Fault(at, f"the key of {which} is gone or was changed")

    def _check_entry(self, at: int, data: bytes, row: Row) -> None:
        """Raise Fault unless leaf and columns follow from what was sealed, or an order took it away."""
        _, key_id, person_sealed, staff_sealed, *columns = row
        name, _, year, subject_ref = columns[:4]
        key, names, sha256 = self._keys.get(key_id) or self._key(key_id), self._names.get(year), hashlib.sha256
        if key is None or key.cipher is None or names is None or key.year != year or key.subject_ref != subject_ref:
            self._require_order(at, data, row, key)
            return
        try:
            decrypt, bound = key.cipher.decrypt, name.encode()
            person_plain = decrypt(person_sealed[:NONCE_BYTES], person_sealed[NONCE_BYTES:], bound + PERSON_NAME)
            staff_plain = decrypt(staff_sealed[:NONCE_BYTES], staff_sealed[NONCE_BYTES:], bound + STAFF_NAME)
            person = PERSON_PART.decode(person_plain[SALT_BYTES:])
            staff = STAFF_PART.decode(staff_plain[SALT_BYTES:])
            answers = bytes(person.answers)
            answered = self._answered.get(answers) or self._agencies(answers)
            moment = person.at
            minute = self._minutes.get(moment[:16]) or self._minute(moment[:16])
            happened_us = minute.us + int(moment[17:19] + moment[20:26])
        except (InvalidTag, ValueError, TypeError, AttributeError) as error:
            raise Fault(at, "a sealed part or the key to it was changed") from error
        parts = sha256(person_plain).digest() + sha256(staff_plain).digest()
        if data != minute.leaf + sha256(COMMITMENT_PREFIX + parts).digest():
            raise Fault(at, "the leaf does not commit to the entry")
        subject, case = staff.subject, person.case
        if subject is None:
            ref = NOBODY
        else:
            ref = subject_ref if subject == key.subject else self._person(key_id, key, subject)
        if person.id != staff.id or person.subject != (None if subject is None else ref.hex()):
            raise Fault(at, "the two parts are of different entries or persons")
        selection = person.selection
        if columns != [
            person.id,
            happened_us,
            minute.year,
            ref,
            names["viewer"].get(staff.viewer) or self._name(year, "viewer", staff.viewer),
            case and (names["case"].get(case) or self._name(year, "case", case)),
            answered,
            person.outcome,
            person.purpose,
            RANKS[person.sensitivity],
            selection,
        ]:
            raise Fault(at, "a column to look it up by was changed")
        reads = self._reads.get(selection) or self._read(at, selection)
        bitmaps = (person.disclosed, person.null, person.withheld, person.failed, person.derived)
        if not reads.known.issuperset(bitmaps):
            _learn_bitmaps(at, reads, bitmaps)

    def _minute(self, text: str) -> Minute:
        """A minute of UTC as parts spell it."""
        began = datetime.fromisoformat(text + "+00:00")
        prefix = leaf(ENTRY_LEAF, began.year * 100 + began.month, b"")
        self._minutes.clear()  # entries come in order, more or less
        self._minutes[text] = Minute((began - EPOCH) // MICROSECOND, began.year, prefix)
        return self._minutes[text]

    def _agencies(self, answers: bytes) -> str:
        """The column for the agencies that answered, from what the part says; the same ones mostly answer alike."""
        if len(self._answered) >= ANSWERS_REMEMBERED:
            self._answered.clear()
        self._answered[answers] = "|" + "".join(f"{agency}|" for agency in ANSWERS.decode(answers))
        return self._answered[answers]

    def _name(self, year: int, kind: str, name: str) -> bytes:
        """The reference of a name; few names make most entries."""
        names = self._names[year][kind]
        if len(names) >= NAMES_REMEMBERED:
            names.clear()
        names[name] = self.years[year].of(kind, name)
        return names[name]

    def _read(self, at: int, selection: str) -> Reads:
        rows = self._rows.ask(SELECTION, printable(selection))
        found = _selection(rows[0]) if rows else None
        if found is None:
            raise Fault(at, "its selection is gone or was changed")
        if len(self._reads) >= SELECTIONS_REMEMBERED:
            self._reads.clear()
        self._reads[selection] = Reads(found, set())
        return self._reads[selection]


def _learn_bitmaps(at: int, reads: Reads, bitmaps: Sequence[str]) -> None:
    try:
        for bits in bitmaps:
            marked(reads.selection, bits)
    except ValueError as error:
        raise Fault(at, "a bitmap is none over its selection") from error
    if len(reads.known) >= BITMAPS_REMEMBERED:
        reads.known.clear()
    reads.known.update(bitmaps)


def printable(text: str) -> str:
    """A text that a database takes as a parameter; one that was no text before matches nothing."""
    return text.encode("utf-8", errors="replace").decode()


def _recorded(rows: Rows, table: str, sql: str) -> list[Any]:
    return [row[0] for row in rows.ask(sql)] if rows.has_table(table) else []


def _is_month(value: object) -> bool:
    """Whether a leaf can say so."""
    return isinstance(value, int) and 0 < value < 1 << 32


def _years(rows: Rows, vault: Vault) -> dict[int, References]:
    """The years that can be referred to; one whose salt was destroyed or changed is not among them."""
    found = {}
    for year, wrapped in rows.ask(YEARS):
        try:
            found[year] = vault.references(vault.unwrapped(wrapped, year, None))
        except (InvalidTag, ValueError, TypeError):
            continue
    return found


def _selection(row: Row) -> Selection | None:
    try:
        selection = Selection(row[2], tuple(orjson.loads(row[3])))
    except (ValueError, TypeError):
        return None
    spelled = orjson.dumps(selection.coordinates).decode()  # look-ups search this text, so it is spelled one way only
    return selection if (selection.id, spelled) == (row[1], row[3]) else None


def _check_selection(at: int, data: bytes, row: Row) -> None:
    selection = _selection(row)
    if selection is None or selection.leaf != data:
        raise Fault(at, "the leaf does not commit to the selection")
