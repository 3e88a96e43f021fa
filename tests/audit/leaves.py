"""A store with leaves that commit to nothing, for tests of the tree; as a program it sequences them until it is killed.

`python leaves.py URL EPOCH FOLDER SECOND` takes steps without end, printing the size after each.
"""

import asyncio
import hashlib
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from audit import store
from audit.entry import ENTRY_LEAF, leaf, leaf_hash
from audit.sequencer import Sequencer
from audit.tiles import Disk
from audit.tree import Range

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))


def leaf_of(number: int) -> bytes:
    return leaf(ENTRY_LEAF, 202603, hashlib.sha256(number.to_bytes(8, "big")).digest())


def root_of(numbers: Iterable[int]) -> bytes:
    grown = Range()
    for number in numbers:
        grown.append(leaf_hash(leaf_of(number)))
    return grown.root


class Leaves:
    """The store, and sequencers of it."""

    def __init__(self, url: str, epoch: str, engine: AsyncEngine, readers: AsyncEngine) -> None:
        self.url = url
        self.epoch = epoch
        self.engine = engine
        self._readers = readers

    async def add(self, begin: int, end: int) -> None:
        async with self.engine.connect() as connection, store.writing(connection):
            rows = [{"leaf_index": number, "leaf": leaf_of(number)} for number in range(begin, end)]
            await connection.execute(insert(store.LEAF), rows)

    def sequencer(self, folder: Path, second: Path | None = None, disk: Disk | None = None) -> Sequencer:
        return Sequencer(self._readers, self.epoch, KEY, folder, second, disk)


@asynccontextmanager
async def leaves_in(url: str) -> AsyncIterator[Leaves]:
    engine, readers = store.writing_engine(url, 1000), store.reading_engine(url)
    try:
        async with engine.connect() as connection, store.writing(connection):
            epoch = await store.create(connection, datetime(2026, 3, 1, tzinfo=UTC), bytes(32))
        yield Leaves(url, epoch, engine, readers)
    finally:
        await readers.dispose()
        await engine.dispose()


async def _forever(url: str, epoch: str, folder: str, second: str) -> None:
    sequencer = Sequencer(store.reading_engine(url), epoch, KEY, Path(folder), Path(second))
    while True:
        step = await sequencer.step()
        print(step.checkpoint.size if step else "busy", flush=True)  # noqa: T201 - whoever kills this reads it


if __name__ == "__main__":
    asyncio.run(_forever(*sys.argv[1:]))
