"""Closed months as Parquet: what the store holds, as it holds it, in files that DuckDB and others read.

Both parts of an entry stay sealed under the key of person and year, so that an erasure by order reaches every copy of
these files; what they are looked up by (keyed references, agencies, outcome, purpose, sensitivity, time) is in the
open, as in the store. A manifest lists the files with their hashes; it is signed with the log's key, and its hash is a
leaf of the log, so that neither can be exchanged for another.
"""

import base64
import hashlib
import shutil
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
import polars as pl
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from audit import store
from audit.store import ENTRY, LEAF

FORMAT: Final = "onestop/archive/1"
MANIFEST: Final = "manifest.json"
SIGNATURE: Final = "manifest.json.sig"
CHUNK: Final = 2000
ROWS_HELD: Final = 100_000
"""Rows in memory, and about the most in one file."""
CLOSED_AFTER: Final = timedelta(hours=1)
"""A month is closed when nothing that began in it can still be on its way."""
_COLUMNS: dict[str, pl.DataType] = {
    "leaf_index": pl.Int64(),
    "leaf": pl.Binary(),
    "at": pl.Datetime("us", "UTC"),
    "id": pl.String(),
    "year": pl.Int32(),
    "key": pl.String(),
    "subject_ref": pl.Binary(),
    "viewer_ref": pl.Binary(),
    "case_ref": pl.Binary(),
    "agencies": pl.List(pl.String()),
    "outcome": pl.String(),
    "purpose": pl.String(),
    "max_sensitivity": pl.Int32(),
    "selection": pl.String(),
    "person_part": pl.Binary(),
    "staff_part": pl.Binary(),
}
SCHEMA: Final = pl.Schema(_COLUMNS)


class ArchiveError(Exception):
    """A month cannot be compacted, or what was compacted is not what was recorded. The text says why."""

    code = "BAD_ARCHIVE"


class File(msgspec.Struct, frozen=True):
    """One file of a day."""

    name: str
    rows: int
    bytes: int
    sha256: str
    first_index: int
    last_index: int


class Manifest(msgspec.Struct, frozen=True):
    """What a month was compacted to. `log` is the log's origin."""

    format: str
    log: str
    month: str
    rows: int
    first_index: int
    last_index: int
    files: list[File]


@dataclass(frozen=True, slots=True)
class Made:
    """A manifest, and the hash that is recorded of it."""

    manifest: Manifest
    hash: str


def folder_of(archive: Path, month: int) -> Path:
    """Where a month, yyyymm, lies."""
    return archive / f"{month // 100}-{month % 100:02}"


async def compact(
    engine: AsyncEngine, log: str, month: int, archive: Path, key: Ed25519PrivateKey, now: datetime
) -> Made:
    """Write the files of a month that is over, and the manifest. Raise ArchiveError when there is nothing to write.

    What lies there without being recorded, from a run that was killed, is written again.
    """
    since = datetime(month // 100, month % 100, 1, tzinfo=UTC)
    until = (since + timedelta(days=32)).replace(day=1)
    if now < until + CLOSED_AFTER:
        raise ArchiveError(f"{since:%Y-%m} is not over; ask again an hour after {until:%Y-%m-%d} began, in UTC")
    folder = folder_of(archive, month)
    draft = folder.with_name(folder.name + ".draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    held: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    files: list[File] = []

    def lay_down(day: str) -> None:
        number = sum(file.name.startswith(day) for file in files)
        files.append(_written(draft / f"{day}-{number:04}.parquet", held.pop(day)))

    count = 0
    async for row in _rows(engine, store.microseconds(since), store.microseconds(until)):
        held[f"{row['at']:%Y-%m-%d}"].append(row)
        count += 1
        if count % ROWS_HELD == 0:
            lay_down(max(held, key=lambda day: len(held[day])))
    for day in sorted(held):
        lay_down(day)
    if not files:
        shutil.rmtree(draft)
        raise ArchiveError(f"the log has no entries of {since:%Y-%m}")
    files.sort(key=lambda file: file.name)
    first, last = min(file.first_index for file in files), max(file.last_index for file in files)
    manifest = Manifest(FORMAT, log, f"{since:%Y-%m}", count, first, last, files)
    data = msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"
    (draft / MANIFEST).write_bytes(data)
    (draft / SIGNATURE).write_bytes(base64.b64encode(key.sign(_signed_part(data))) + b"\n")
    shutil.rmtree(folder, ignore_errors=True)
    draft.rename(folder)
    return Made(manifest, hashlib.sha256(data).hexdigest())


async def _rows(engine: AsyncEngine, since_us: int, until_us: int) -> AsyncIterator[dict[str, Any]]:
    """In the order of the log, each chunk in a transaction of its own, so that nothing is held up."""
    at = -1
    while True:
        asked = (
            select(LEAF.c.leaf, ENTRY)
            .join(LEAF, LEAF.c.leaf_index == ENTRY.c.leaf_index)
            .where(ENTRY.c.leaf_index > at, ENTRY.c.at_us >= since_us, ENTRY.c.at_us < until_us)
            .order_by(ENTRY.c.leaf_index)
            .limit(CHUNK)
        )
        async with engine.connect() as connection:
            rows = (await connection.execute(asked)).mappings().all()
        for row in rows:
            moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=row["at_us"])
            told = {name: row[name] for name in SCHEMA if name not in {"at", "agencies"}}
            yield told | {
                "at": moment,
                "agencies": row["agencies"].strip("|").split("|") if row["agencies"] != "|" else [],
            }
        if len(rows) < CHUNK:
            return
        at = rows[-1]["leaf_index"]


def _written(path: Path, rows: list[dict[str, Any]]) -> File:
    pl.DataFrame(rows, schema=SCHEMA).write_parquet(path, compression="zstd")
    indexes = [row["leaf_index"] for row in rows]
    return File(path.name, len(rows), path.stat().st_size, _sha256(path), min(indexes), max(indexes))


def checked(archive: Path, month: int, recorded: str, keys: Sequence[Ed25519PublicKey]) -> Manifest:
    """The manifest of a month when it and all its files are those that were recorded. Raise ArchiveError.

    `keys` are those that sign the log, and did.
    """
    folder = folder_of(archive, month)
    try:
        data, signature = (folder / MANIFEST).read_bytes(), base64.b64decode((folder / SIGNATURE).read_bytes())
        if hashlib.sha256(data).hexdigest() != recorded:
            raise ArchiveError(f"{folder / MANIFEST} is not the one whose hash is in the log")
        if not any(_is_signed(key, signature, data) for key in keys):
            raise ArchiveError(f"{folder / SIGNATURE} is not a signature of the log's key")
        manifest = msgspec.json.decode(data, type=Manifest)
        for file in manifest.files:
            if _sha256(folder / file.name) != file.sha256:
                raise ArchiveError(f"{folder / file.name} is not the file that the manifest lists")
    except (OSError, ValueError, msgspec.DecodeError) as error:
        raise ArchiveError(f"{folder} cannot be read as it was written ({error})") from error
    return manifest


def _is_signed(key: Ed25519PublicKey, signature: bytes, manifest: bytes) -> bool:
    try:
        key.verify(signature, _signed_part(manifest))
    except InvalidSignature:
        return False
    return True


def _signed_part(manifest: bytes) -> bytes:
    return FORMAT.encode() + b"\n" + manifest


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
