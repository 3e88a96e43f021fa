"""Takes new leaves in order into the tree and signs what it got to, so that no history can be told in two ways.

One step reads what came since the last checkpoint, writes tiles and bundles, copies the new checkpoint to a second
place, and publishes it last. Every part of a step can be done again: the same leaves make the same bytes. Steps exclude
each other by a lock on the folder and, on PostgreSQL, an advisory lock, so several processes may each have a sequencer.

It signs only what extends every checkpoint it finds, in its folder and in the second place: the roots at their sizes
are computed again on the way. Where they differ, or the store has fewer leaves, it raises ForkError and signs nothing.
"""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from audit import store, succession
from audit.checkpoint import Checkpoint, CheckpointError, VerifierKey, origin, signed
from audit.entry import leaf_hash
from audit.store import LEAF
from audit.tiles import CHECKPOINT, Disk, Edge, Shelf, TornError
from audit.tree import ENTRIES, TILE_HEIGHT, TILE_WIDTH, Tile

CHUNK: Final = 4096
"""Leaves that are hashed at a time, beside the loop."""
STEP: Final = 65_536
"""Leaves that one checkpoint adds at most, so that a long way is gone in steps that need not be gone again."""


class ForkError(Exception):
    """What the store holds is no continuation of what was signed. Nothing is signed until somebody has looked."""

    code = "LOG_UNAVAILABLE"


@dataclass(frozen=True, slots=True)
class Step:
    """Where a step got to: the tree's size, and how many leaves the store had then."""

    checkpoint: Checkpoint
    leaves: int

    @property
    def is_complete(self) -> bool:
        return self.checkpoint.size == self.leaves


class Sequencer:
    """Of the log with this epoch. `second` is the other place for checkpoints; None is for who has none."""

    def __init__(
        self,
        engine: AsyncEngine,
        epoch: str,
        key: Ed25519PrivateKey,
        folder: Path,
        second: Path | None,
        disk: Disk | None = None,
    ) -> None:
        self._engine = engine
        self._epoch = epoch
        self._key = key
        self._named = VerifierKey(origin(epoch), key.public_key())
        self._folder = folder
        self._shelf = Shelf(folder, disk)
        self._second = None if second is None else Shelf(second, disk)
        self._is_torn = False
        self._is_ending = False

    def mend(self) -> None:
        """Have the next step write everything again: a tile was found torn."""
        self._is_torn = True

    def end(self) -> None:
        """Begin no further chunk of leaves."""
        self._is_ending = True

    async def step(self) -> Step | None:
        """Take new leaves in, at most STEP. None when another process is at it, or the end came.

        Raise ForkError, CheckpointError for a checkpoint that is not ours, OSError, or the database's own error.
        """
        async with self._alone() as alone:
            if not alone:
                return None
            notes = await asyncio.to_thread(self._notes)
            # Only now, when the checkpoints were read under the lock, the transaction begins: it sees their leaves.
            async with self._engine.connect() as connection:
                return await self._taken(connection, notes)

    async def _taken(self, connection: AsyncConnection, notes: Mapping[Path, str]) -> Step | None:
        facts = await store.meta(connection)
        if store.epoch(facts) != self._epoch:
            raise ForkError("another log lies where this one was")
        # The same moment of the store: the key that was given up signs nothing beyond the leaf that says so.
        before = succession.changes(self._named.name, facts)
        succession.require_in_force(self._named, before)
        here, there = self._found(notes, before)
        leaves = await store.next_index(connection)
        known = {each.size: each.root for each in (here, there) if each is not None}
        newest = max(known, default=0)
        if leaves < newest:
            raise ForkError(f"the store has {leaves} leaves, but {newest} were signed: it was rolled back")
        if here is not None and here.size == leaves and not self._is_torn and (self._second is None or here == there):
            return Step(here, leaves)
        edge = await self._edge(connection, here, newest, known)
        target = min(leaves, max(newest, (0 if here is None else here.size) + STEP))
        if not await self._grow(connection, edge, target, known, self._shelf):
            return None
        self._is_torn = False
        checkpoint = await asyncio.to_thread(self._publish, edge, 0 if here is None else here.size)
        return Step(checkpoint, leaves)

    async def _edge(
        self, connection: AsyncConnection, here: Checkpoint | None, newest: int, known: Mapping[int, bytes]
    ) -> Edge:
        """The edge to go on from. It lies before the end of what was signed, so that its leaves are compared again."""
        if here is not None and not self._is_torn:
            begin = max(0, here.size - 1) // TILE_WIDTH * TILE_WIDTH
            try:
                edge, trial = [await asyncio.to_thread(Edge.at, begin, self._shelf.nodes(here.size)) for _ in range(2)]
                await self._grow(connection, trial, here.size, known, None)
            except (TornError, ForkError):
                pass  # a torn tile, or a store that was rewritten: the whole store will tell
            else:
                return edge
        # Before anything is written over what lies there: do the leaves say what was signed?
        await self._grow(connection, Edge(), newest, known, None)
        return Edge()

    async def _grow(
        self, connection: AsyncConnection, edge: Edge, target: int, known: Mapping[int, bytes], shelf: Shelf | None
    ) -> bool:
        """Take leaves in up to a size, comparing roots where they are known. False when the end came before.

        Without a shelf nothing is written.
        """
        while edge.size < target:
            if self._is_ending and shelf is not None:
                return False
            upto = min([target, edge.size + CHUNK, *(size for size in known if size > edge.size)])
            asked = select(LEAF).where(LEAF.c.leaf_index >= edge.size, LEAF.c.leaf_index < upto)
            rows = (await connection.execute(asked.order_by(LEAF.c.leaf_index))).all()
            indexes = [row.leaf_index for row in rows]
            if indexes != list(range(edge.size, upto)):
                raise ForkError(f"a leaf from {edge.size} to {upto} is missing")
            await asyncio.to_thread(_appended, edge, [row.leaf for row in rows], known.get(upto), shelf)
        return True

    def _publish(self, edge: Edge, size_before: int) -> Checkpoint:
        self._shelf.keep({tile.path: data for tile, data in edge.partial().items()})
        self._shelf.drop_narrower(_filled(size_before, edge.size))
        checkpoint = Checkpoint(self._named.name, edge.size, edge.root)
        note = signed(checkpoint, self._key).encode()
        for shelf in (self._second, self._shelf):
            if shelf is not None:
                shelf.keep({CHECKPOINT: note})
        return checkpoint

    def _notes(self) -> dict[Path, str]:
        """The checkpoints here and in the second place, as they lie there."""
        found = {}
        for shelf in (self._shelf, self._second):
            if shelf is not None:
                shelf.tidy()
                if (note := shelf.note()) is not None:
                    found[shelf.folder] = note
        return found

    def _found(
        self, notes: Mapping[Path, str], before: Sequence[succession.Change]
    ) -> tuple[Checkpoint | None, Checkpoint | None]:
        """The same, read; `before` are the changes of the key that signed them."""
        heads = {}
        for folder, note in notes.items():
            try:
                heads[folder] = succession.head(note, self._named, before)
            except CheckpointError as error:
                raise CheckpointError(f"{folder / CHECKPOINT}: {error}") from error
        here, there = heads.get(self._shelf.folder), heads.get(self._second.folder) if self._second else None
        if here is not None and there is not None and here.size == there.size and here.root != there.root:
            raise ForkError(f"two checkpoints of {here.size} leaves were signed")
        return here, there

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[bool]:
        """Whether nobody else takes a step, until the end of the block."""
        for shelf in (self._shelf, self._second):
            if shelf is not None:
                shelf.folder.mkdir(parents=True, exist_ok=True)
        async with AsyncExitStack() as stack:
            lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            stack.callback(os.close, lock)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            if self._engine.dialect.name == "postgresql":
                # Processes on other machines have folders of their own, and perhaps the second place in common.
                connection = await stack.enter_async_context(self._engine.connect())
                asked = select(func.pg_try_advisory_xact_lock(store.ADVISORY_LOCK + 1))
                if not (await connection.execute(asked)).scalar_one():
                    yield False
                    return
            yield True


def _appended(edge: Edge, leaves: Sequence[bytes], root: bytes | None, shelf: Shelf | None) -> None:
    full: dict[Tile, bytes] = {}
    for leaf in leaves:
        full |= edge.append(leaf, leaf_hash(leaf))
    if root is not None and edge.root != root:
        raise ForkError(f"the first {edge.size} leaves are not those that were signed")
    if shelf is not None:
        shelf.keep({tile.path: data for tile, data in full.items()})


def _filled(before: int, after: int) -> Iterator[Tile]:
    """The tiles that a tree did not fill at one size and fills at another."""
    level = 0
    while count := before >> (level * TILE_HEIGHT):
        index = count // TILE_WIDTH
        if count % TILE_WIDTH and after >> ((level + 1) * TILE_HEIGHT) > index:
            yield Tile(level, index)
            if level == 0:
                yield Tile(ENTRIES, index)
        level += 1
