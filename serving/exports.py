"""Exports of the log: recorded first, written then.

An export is an access like any other: its entry is on disk before anything leaves. It covers what the log held before
that entry, so that two exports of one state differ in nothing.
"""

import getpass
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import IO, Final

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.entry import selection, uuid7
from audit.exporting import SCHEMA, Told, csv_line, export_access, ocsf, row, write_parquet
from audit.keys import Keys
from audit.reading import Reading
from audit.writer import AccessLog
from schema.scalars import Coordinate
from serving import program

FORMATS: Final = ("jsonl", "ocsf", "csv", "parquet")


async def record(url: str, master: bytes, signing: Ed25519PrivateKey, form: str, since: int, reason: str) -> int:
    """Leave the entry of an export, and return its place in the log. Raise what `AccessLog` raises."""
    graph = program.schema()
    fields = graph._schema.type_map["AccessEntry"].fields  # type: ignore[attr-defined]  # noqa: SLF001 - no public name
    read = selection(program.schema_hash(graph), [Coordinate(f"AccessEntry.{name}") for name in fields])
    now = datetime.now(UTC)
    told = export_access(
        operation=uuid7(now), at=now, form=form, since=since, reason=reason, account=getpass.getuser(), read=read
    )
    async with AccessLog.open(url, Keys(master, signing), lambda: now) as log:
        (receipt,) = await log.append([told])
    return receipt.leaf_index


async def write(reading: Reading, form: str, since: int, until: int | None, out: IO[bytes]) -> None:
    """Entries from one place to another (None: to the end) in one of FORMATS. Raise DamageError at one that is bad."""
    entries = _until(reading.export(since), until)
    if form == "parquet":
        await write_parquet(entries, out)
        return
    if form == "csv":
        out.write(csv_line(SCHEMA).encode())
    async for told in entries:
        if form == "csv":
            out.write(csv_line(row(told).values()).encode())
        else:
            out.write(_line(ocsf(told) if form == "ocsf" else told))


def _line(told: Told) -> bytes:
    try:
        return orjson.dumps(told, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # variables are whatever was sent, also integers of more than 64 bits
        return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


async def _until(entries: AsyncIterator[Told], until: int | None) -> AsyncIterator[Told]:
    async for told in entries:
        if until is not None and told["leaf_index"] >= until:
            return
        yield told
