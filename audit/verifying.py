"""Whether the log still says what was written: every leaf and entry, the store's own definitions, and tree heads.

What a store can tell ends with itself. A log whose tail was cut, or that was replaced by an older or a wholly rewritten
copy with the keys at hand, is consistent; that shows against a signed head kept elsewhere, and the tiles that were
published with it say which leaf is the first that differs. docs/manipulations.md lists what is found.

Entries that are added meanwhile are left to the next run: how many leaves there are is asked once. The order in which
parts are checked does not matter; the lowest leaf that does not hold is the one that is named.
"""

import base64
import multiprocessing
import os
import sqlite3
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from audit import store, tree
from audit.checking import LEAVES, PART_HEIGHT, PART_LEAVES, Checker, Part, Place, Rows, Unreadable, rows_of
from audit.checking import begin as _begin
from audit.checking import part as _part
from audit.checkpoint import CheckpointError, VerifierKey, origin, unverified, verified
from audit.definitions import differences
from audit.entry import changed_key_leaf, leaf_hash
from audit.keys import Vault, key_check
from audit.succession import changes
from audit.tree import HASH_BYTES, TILE_WIDTH, Tile
from audit.writer import signed_part

ALONE = 4 * PART_LEAVES
"""Up to so many leaves, starting processes costs more than they save."""
CONNECTED_BY = ("host", "port", "user", "password", "database", "ssl", "passfile")


@dataclass(frozen=True, slots=True)
class Note:
    """A checkpoint as it was found. `name` is what the reader knows it by."""

    name: str
    text: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """What was signed: the first `size` leaves have this root."""

    name: str
    size: int
    root: bytes


class Receipt(msgspec.Struct, frozen=True, rename="camel"):
    """As an answer carries it."""

    id: UUID
    leaf_hash: str
    signature: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """`first_bad` is the lowest leaf index that does not hold, None where no leaf can be named.

    `entries` counts the entries found sound before it. `older_than` is the head with more leaves than the log has.
    """

    intact: bool
    first_bad: int | None
    reason: str | None
    entries: int
    leaves: int
    root: str | None = None
    older_than: Head | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known of the log from elsewhere, and the keys (the log's own, and those before or after it) it may bear.

    `tiles` is a folder of tiles; nothing in it is believed unless it leads to the root of a checkpoint.
    """

    signers: Sequence[Ed25519PublicKey] = ()
    notes: Sequence[Note] = ()
    receipts: Sequence[Receipt] = ()
    tiles: Path | None = None


NOTHING = Evidence()


def verify(url: str, master: bytes, evidence: Evidence = NOTHING, *, processes: int | None = None) -> Verdict:
    """Check everything. Raise Unreadable when there is no log that can be read with this key, or evidence is none."""
    place = _place(url)
    with closing(rows_of(place)) as rows:
        try:
            return _verdict(_Asked(place, master, evidence, processes or os.cpu_count() or 1), rows)
        except rows.failure as error:
            raise Unreadable(f"the store cannot be read ({error})") from error


@dataclass(frozen=True, slots=True)
class _Asked:
    place: Place
    master: bytes
    evidence: Evidence
    processes: int


def receipts_in(text: bytes) -> list[Receipt]:
    """The receipts in a JSON document or in lines of them, whole answers too. Raise Unreadable when there is none."""
    try:
        try:
            documents = [msgspec.json.decode(text)]
        except msgspec.DecodeError:
            documents = [msgspec.json.decode(line) for line in text.splitlines() if line.strip()]
        found = [receipt for document in documents for receipt in _receipts(document)]
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise Unreadable(f"the receipts are not JSON as answers carry it ({error})") from error
    if not found:
        raise Unreadable("there is no receipt in the file of receipts")
    return found


def _receipts(document: object) -> Iterator[Receipt]:
    if isinstance(document, list):
        for each in document:
            yield from _receipts(each)
    elif isinstance(document, dict) and "leafHash" in document:
        yield msgspec.convert(document, Receipt)
    elif isinstance(document, dict):
        for name in ("extensions", "access", "receipts"):
            yield from _receipts(document.get(name, ()))


def _place(url: str) -> Place:
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            return Place(Path(parsed.database or ""), {})
        connect = parsed.get_dialect()().create_connect_args(parsed)[1]
    except (ArgumentError, ImportError, LookupError) as error:
        raise Unreadable("the URL of the store is none that is known") from error
    return Place(None, {name: value for name, value in connect.items() if name in CONNECTED_BY})


def _verdict(asked: _Asked, rows: Rows) -> Verdict:
    epoch, evidence = _epoch(rows), asked.evidence
    checker = Checker(rows, Vault(asked.master, epoch))
    general = _general(rows, checker, asked)
    evidence, given_up = _succeeded(rows, epoch, evidence, general)
    heads = list(_heads(epoch, evidence, general, given_up))
    _require_signed(evidence)
    size = _size(rows)
    if size is None:
        return Verdict(False, 0, "the leaves cannot be read", 0, 0)
    known = [head for head in heads if head.size <= size]
    with ThreadPoolExecutor(1) as beside:
        broken = beside.submit(_broken_pages, asked.place)
        walked = _walk(asked, epoch, checker, size, {head.size for head in known})
        general += broken.result()
    fault, root = walked.fault or _stray(rows, size), None
    if fault is None:
        root = tree.root(size, walked.node).hex()
        forked = [head for head in known if tree.root(head.size, walked.node) != head.root]
        general += [f"the first {head.size} leaves are not those under {head.name}" for head in forked]
        fault = _unlike_receipt(rows, evidence.receipts, general)
    if evidence.tiles is not None and (fault or general or len(known) < len(heads)):
        fault = _unlike_tiles(rows, evidence.tiles, heads, size if fault is None else fault[0]) or fault
    if fault is not None or general:
        first_bad, reason = fault or (None, "; ".join(general))
        return Verdict(False, first_bad, reason, walked.entries, size)
    newest = max(heads, key=lambda head: head.size, default=None)
    return Verdict(True, None, None, walked.entries, size, root, newest if newest and newest.size > size else None)


def _size(rows: Rows) -> int | None:
    """How many leaves there are, None when the table of leaves is broken where it begins or ends."""
    try:
        size: int = rows.ask("SELECT coalesce(max(leaf_index) + 1, 0) FROM leaf")[0][0]
    except sqlite3.DatabaseError:
        return None
    return size


def _succeeded(rows: Rows, epoch: str, evidence: Evidence, general: list[str]) -> tuple[Evidence, Mapping[bytes, int]]:
    """The evidence with every key that signed the log, where one of them was given; when those before were given up.

    What is wrong with the changes is added to `general`.
    """
    facts = {row[0]: str(row[1]) for row in rows.ask("SELECT name, value FROM meta")}
    try:
        found = changes(origin(epoch), facts)
    except CheckpointError as error:
        general.append(str(error))
        return evidence, {}
    for each in found:
        said = rows.ask("SELECT leaf FROM leaf WHERE leaf_index = $1", each.leaf_index)
        if [row[0] for row in said] != [changed_key_leaf(each.fact, facts[each.fact])]:
            general.append(f"leaf {each.leaf_index} does not say change {each.number} of the log's key")
    ours = [key.public for each in found for key in (each.old, each.new)]
    if not found or not evidence.signers:
        return evidence, {}
    if not any(signer in ours for signer in evidence.signers):
        general.append("the log says that its key was changed, and not one of its keys is one that was given")
        return evidence, {}
    return replace(evidence, signers=[*evidence.signers, *ours]), {each.old.id: each.leaf_index for each in found}


def _heads(epoch: str, evidence: Evidence, general: list[str], given_up: Mapping[bytes, int]) -> Iterator[Head]:
    """What the notes say; one that none of the keys signed for this log is a fault. Raise Unreadable for no note."""
    for note in evidence.notes:
        said: list[str] = []
        for signer in evidence.signers:
            try:
                key = VerifierKey(origin(epoch), signer)
                found = verified(note.text, key)
                if found.size > given_up.get(key.id, found.size):
                    raise CheckpointError("the key had been given up")  # noqa: TRY301 - told like the others
            except CheckpointError as error:
                said.append(str(error))
            else:
                yield Head(note.name, found.size, found.root)
                break
        else:
            try:
                unverified(note.text)
            except CheckpointError as error:
                raise Unreadable(f"{note.name}: {error}") from error
            general.append(f"{note.name} was not signed for this log, or was changed ({'; '.join(sorted(set(said)))})")


def _require_signed(evidence: Evidence) -> None:
    for receipt in evidence.receipts:
        promised = signed_part(receipt.id, receipt.leaf_hash)
        if not any(_is_signed(promised, receipt.signature, signer) for signer in evidence.signers):
            raise Unreadable(f"the receipt for entry {receipt.id} was not signed with the key of this log")


def _is_signed(promised: bytes, signature: str, signer: Ed25519PublicKey) -> bool:
    try:
        signer.verify(base64.b64decode(signature, validate=True), promised)
    except (InvalidSignature, ValueError):
        return False
    return True


def _epoch(rows: Rows) -> str:
    if not rows.has_table("meta"):
        raise Unreadable("there is no access log here")
    try:
        epoch = store.epoch({row[0]: row[1] for row in rows.ask("SELECT name, value FROM meta")})
    except store.StoreError as error:
        raise Unreadable(str(error)) from error
    if not isinstance(epoch, str):  # SQLite keeps any type in any column
        raise Unreadable("the epoch of the log is no text")
    return epoch


def _general(rows: Rows, checker: Checker, asked: _Asked) -> list[str]:
    """What is wrong with the store as a whole. Raise Unreadable when the key is not the log's."""
    marks = [row[0] for row in rows.ask("SELECT value FROM meta WHERE name = 'key_check'")]
    ours = marks == [key_check(asked.master)]
    if not ours and not checker.opens_anything():
        raise Unreadable(
            "nothing in the log opens with the key given: it is another log's, or all its keys were changed"
        )
    found = differences(rows, served=asked.place.path is None)
    found += [f"no leaf says the order about {what}" for what in checker.unsaid]
    found += [f"the key of the year {year} was changed" for year in checker.changed_years]
    if marks and not ours:
        found.append("what the log's key is known by was changed")
    return found


def _broken_pages(place: Place) -> list[str]:
    """What SQLite finds wrong with its own file: pages, and indexes that do not list what the tables hold."""
    if place.path is None:
        return []
    try:
        with closing(rows_of(place)) as rows:
            rows.ask("PRAGMA cache_size = -50000")  # indexes are looked into at random
            found = [str(row[0]) for row in rows.ask("PRAGMA integrity_check(3)")]
    except (sqlite3.DatabaseError, Unreadable) as error:
        found = [str(error)]
    return [] if found == ["ok"] else [f"the file is damaged ({'; '.join(found)})"]


@dataclass(slots=True)
class _Walked:
    """What came of all parts, and the nodes that roots are made of: a root per part, and leaves where a head ends."""

    entries: int
    fault: tuple[int, str] | None
    roots: bytearray
    hashes: dict[int, bytes]

    def node(self, height: int, index: int) -> bytes:
        above = height - PART_HEIGHT
        if above >= 0:
            return _complete(self.roots, index << above, 1 << above)
        first = index << height
        return _complete(self.hashes[first // PART_LEAVES], first % PART_LEAVES, 1 << height)


def _complete(row: bytes | bytearray, first: int, width: int) -> bytes:
    return tree.complete([bytes(row[at * HASH_BYTES : (at + 1) * HASH_BYTES]) for at in range(first, first + width)])


def _walk(asked: _Asked, epoch: str, checker: Checker, size: int, marks: set[int]) -> _Walked:
    """All parts in order, up to the first fault."""
    with_hashes = {mark // PART_LEAVES for mark in marks | {size}}
    wanted = [
        (begin, min(size, begin + PART_LEAVES), begin // PART_LEAVES in with_hashes)
        for begin in range(0, size, PART_LEAVES)
    ]
    walked = _Walked(0, None, bytearray(), {})
    alone = asked.processes == 1 or size <= ALONE
    with closing(_parts(checker, wanted) if alone else _shared_parts(asked, epoch, wanted)) as parts:
        for part in parts:
            walked.entries += part.entries
            walked.roots += part.root
            if part.hashes:
                walked.hashes[part.begin // PART_LEAVES] = part.hashes
            if part.fault is not None:
                walked.fault = part.fault
                break
    return walked


Wanted = tuple[int, int, bool]


def _parts(checker: Checker, wanted: Sequence[Wanted]) -> Generator[Part, None, None]:
    for begin, end, hashes in wanted:
        yield checker.part(begin, end, hashes=hashes)


def _shared_parts(asked: _Asked, epoch: str, wanted: Sequence[Wanted]) -> Generator[Part, None, None]:
    """The same by several processes, in the same order, with few parts under way at a time."""
    told = (asked.place, asked.master, epoch)
    spawn = multiprocessing.get_context("spawn")  # a fork would share what may only be used by one
    with ProcessPoolExecutor(asked.processes, spawn, _begin, told) as pool:
        waiting: deque[Future[Part]] = deque()
        try:
            for each in wanted:
                waiting.append(pool.submit(_part, *each))
                if len(waiting) > 2 * asked.processes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for late in waiting:
                late.cancel()


def _stray(rows: Rows, size: int) -> tuple[int, str] | None:
    """Within the leaves every index was looked at; nothing may lie outside them."""
    found = []
    for table in ("leaf", "selection", "entry"):
        outside = f"SELECT min(leaf_index) FROM {table} WHERE leaf_index < 0 OR leaf_index >= $1"  # noqa: S608 - ours
        stray = rows.ask(outside, size)[0][0]
        if stray is not None:
            found.append((stray, f"the {table} is out of place"))
    return min(found, default=None)


def _unlike_receipt(rows: Rows, receipts: Sequence[Receipt], general: list[str]) -> tuple[int, str] | None:
    """The first leaf that is not what a receipt promised; of an entry that is gone only its receipt is known."""
    found = []
    for receipt in receipts:
        asked = "SELECT leaf_index, leaf FROM entry JOIN leaf USING (leaf_index) WHERE id = $1"
        for leaf_index, leaf in rows.ask(asked, str(receipt.id)):
            if leaf_hash(leaf).hex() != receipt.leaf_hash:
                found.append((leaf_index, "the leaf is not the one that a receipt promised"))
            break
        else:
            general.append(f"entry {receipt.id} is missing, which a receipt promised")
    return min(found, default=None)


def _unlike_tiles(rows: Rows, folder: Path, heads: Sequence[Head], until: int) -> tuple[int, str] | None:
    """The first leaf below an index that differs from the tiles that lead to the root of the greatest head."""
    head = max(heads, key=lambda head: head.size, default=None)
    published = b"" if head is None else _published(folder, head.size)
    if head is None or tree.root(head.size, lambda h, i: _complete(published, i << h, 1 << h)) != head.root:
        return None
    for begin in range(0, min(until, head.size), TILE_WIDTH):
        for at, leaf in rows.ask(LEAVES, begin, min(until, head.size, begin + TILE_WIDTH), TILE_WIDTH):
            if leaf_hash(leaf) != published[at * HASH_BYTES : (at + 1) * HASH_BYTES]:
                return at, f"the leaf is not the one under {head.name}"
    return None


def _published(folder: Path, size: int) -> bytes:
    """The leaf hashes in the tiles of a tree; nothing when one of them is missing."""
    found = bytearray()
    for index in range(-(-size // TILE_WIDTH)):
        width = min(TILE_WIDTH, size - index * TILE_WIDTH)
        files = [folder / Tile(0, index, wide).path for wide in (width, TILE_WIDTH)]
        data = next((file.read_bytes() for file in files if file.is_file()), b"")[: width * HASH_BYTES]
        if len(data) != width * HASH_BYTES:
            return b"\0" * (size * HASH_BYTES)
        found += data
    return bytes(found)
