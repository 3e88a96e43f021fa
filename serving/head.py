"""The newest tree head and proofs under it, for commands: beside a server that runs, or alone."""

import asyncio
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit import store, succession
from audit.checkpoint import VerifierKey, origin
from audit.entry import leaf_hash
from audit.proof import proof
from audit.reading import Reading
from audit.sequencer import Sequencer
from audit.tiles import Published, Shelf
from audit.writer import receipt

TRIES: Final = 100


class NotProvenError(Exception):
    """There is no proof of what was asked for. The text says why."""

    code = "NOT_PROVEN"


class Head:
    """Of the log that `reading` reads, whose tree lies in `folder`."""

    def __init__(self, reading: Reading, key: Ed25519PrivateKey, folder: Path, second: Path | None) -> None:
        self._reading = reading
        self._key = key
        self._folder = folder
        self._sequencer = Sequencer(reading.engine, reading.epoch, key, folder, second)

    @property
    def key(self) -> VerifierKey:
        """The public key with the log's name."""
        return VerifierKey(origin(self._reading.epoch), self._key.public_key())

    async def changes(self) -> list[str]:
        """How the key came to be this one: notes, in order. Raise CheckpointError when it is not the log's."""
        async with self._reading.engine.connect() as connection:
            facts = await store.meta(connection)
        found = succession.changes(self.key.name, facts)
        succession.require_in_force(self.key, found)
        return [facts[each.fact] for each in found]

    async def note(self) -> str:
        """The signed head over all leaves that are there now. Raise what the sequencer raises."""
        await self._advanced()
        return Shelf(self._folder).note() or ""

    async def proof(self, entry_id: str) -> bytes:
        """The proof file of an entry. Raise NotProvenError."""
        placed = await self._reading.entry(entry_id)
        if placed is None:
            raise NotProvenError("The log has no entry with this id, or its key was destroyed.")
        await self._advanced()
        published = Published(self._folder, self.key, self._sequencer.mend)
        wanted = [(placed.leaf_index, leaf_hash(placed.entry.leaf))]
        (covered,) = await asyncio.to_thread(published.covered, wanted)
        if covered is None:  # a torn tile; now it is known, the next step mends it
            await self._sequencer.step()
            (covered,) = await asyncio.to_thread(published.covered, wanted)
        if covered is None:
            raise NotProvenError("The tree does not hold this entry as the store does; see `onestop log verify`.")
        return proof(placed.entry, covered, receipt(placed.entry, placed.leaf_index, self._key), self.key)

    async def _advanced(self) -> None:
        """Go as far as the store goes. A server may be at a step of its own at the same time."""
        busy = 0
        while busy < TRIES:
            step = await self._sequencer.step()
            if step is not None and step.is_complete:
                return
            if step is None:
                busy += 1
                await asyncio.sleep(0.05)
        if Shelf(self._folder).note() is None:
            raise NotProvenError("Another process is at the tree and has not signed anything yet; ask again.")
