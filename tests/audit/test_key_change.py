"""The log's signing key given up for another: honest logs stay honest under either key, and nobody else can do it."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.checkpoint import Checkpoint, CheckpointError, VerifierKey, origin, signed, signed_text, verified
from audit.entry import Access
from audit.keys import Keys
from audit.owning import Owner, OwnerRefusal
from audit.reading import Reading
from audit.sequencer import Sequencer
from audit.store import meta
from audit.succession import Change
from audit.tiles import Shelf
from audit.verifying import Evidence, Note, Receipt, verify
from audit.writer import AccessLog

NEW, NEWER, STRANGER = (Ed25519PrivateKey.from_private_bytes(bytes([each]) * 32) for each in (1, 2, 3))
Accesses = Callable[..., Access]
Clock = Callable[[], datetime]


async def write(url: str, keys: Keys, clock: Clock, accesses: list[Access]) -> list[Receipt]:
    async with AccessLog.open(url, keys, clock) as log:
        return [Receipt(each.entry_id, each.leaf_hash, each.signature) for each in await log.append(accesses)]


async def change(url: str, keys: Keys, new: Ed25519PrivateKey) -> Change:
    async with Owner.open(url, keys.master) as owner:
        return await owner.change_signing_key(keys.signing, new)


async def step(url: str, key: Ed25519PrivateKey, keys: Keys, folder: Path, second: Path | None = None) -> str:
    """The note after a step of a sequencer with this key."""
    async with Reading.open(url, keys.master) as reading:
        await Sequencer(reading.engine, reading.epoch, key, folder, second).step()
    note = Shelf(folder).note()
    assert note
    return note


async def test_an_honest_log_is_intact_under_any_of_its_keys_after_two_changes(
    url: str, keys: Keys, clock: Clock, access: Accesses, tmp_path: Path
) -> None:
    here, there = tmp_path / "tiles", tmp_path / "second"
    held, notes, receipts = keys, [], []
    for new in (NEW, NEWER, None):
        receipts += await write(url, held, clock, [access() for _ in range(3)])
        notes.append(await step(url, held.signing, keys, here, there))
        if new is not None:
            await change(url, held, new)
            with pytest.raises(CheckpointError, match="gave this key up at leaf"):
                await step(url, held.signing, keys, here, there)
            held = replace(held, signing=new)
            notes.append(await step(url, new, keys, here, there))
    for key in (keys.signing, NEW, NEWER):
        evidence = Evidence(
            signers=[key.public_key()],
            notes=[Note(f"note {at}", note.encode()) for at, note in enumerate(notes)],
            receipts=receipts,
            tiles=here,
        )
        verdict = await asyncio.to_thread(verify, url, keys.master, evidence)
        assert (verdict.intact, verdict.reason, verdict.entries, verdict.leaves) == (True, None, 9, 12)
        assert verdict.older_than is None
    strange = Evidence(signers=[STRANGER.public_key()], notes=[Note("it", notes[0].encode())])
    verdict = await asyncio.to_thread(verify, url, keys.master, strange)
    assert verdict.reason is not None
    assert "not one of its keys is one that was given" in verdict.reason


async def test_whoever_knows_the_old_key_can_tell_the_new_one(
    url: str, keys: Keys, clock: Clock, access: Accesses
) -> None:
    await write(url, keys, clock, [access()])
    done = await change(url, keys, NEW)
    async with Reading.open(url, keys.master) as reading, reading.engine.connect() as connection:
        note = (await meta(connection))[done.fact]
        name = origin(reading.epoch)
    old, new = (VerifierKey(name, key.public_key()) for key in (keys.signing, NEW))
    assert signed_text(note, old) == signed_text(note, new) == done.text
    assert done.text == f"onestop/log-key/1\n{name}\n1\n2\n{old.text}\n{new.text}\n"
    with pytest.raises(CheckpointError):
        verified(note, old)  # it is no tree head


async def test_what_the_old_key_signs_beyond_its_end_is_not_taken(
    sqlite_url: str, keys: Keys, clock: Clock, access: Accesses, tmp_path: Path
) -> None:
    await write(sqlite_url, keys, clock, [access() for _ in range(3)])
    await change(sqlite_url, keys, NEW)
    good = await step(sqlite_url, NEW, keys, tmp_path / "tiles")
    async with Reading.open(sqlite_url, keys.master) as reading:
        name = origin(reading.epoch)
    head = verified(good, VerifierKey(name, NEW.public_key()))
    late = signed(Checkpoint(name, head.size, head.root), keys.signing)
    evidence = Evidence(signers=[NEW.public_key()], notes=[Note("the checkpoint", late.encode())])
    verdict = verify(sqlite_url, keys.master, evidence)
    assert (verdict.intact, verdict.first_bad) == (False, None)
    assert "the key had been given up" in str(verdict.reason)
    (tmp_path / "tiles" / "checkpoint").write_text(late)
    with pytest.raises(CheckpointError, match="a key that had been given up"):
        await step(sqlite_url, NEW, keys, tmp_path / "tiles")


async def test_a_key_that_nobody_introduced_signs_nothing(
    sqlite_url: str, keys: Keys, clock: Clock, access: Accesses, tmp_path: Path
) -> None:
    await write(sqlite_url, keys, clock, [access()])
    await step(sqlite_url, keys.signing, keys, tmp_path / "tiles")
    with pytest.raises(CheckpointError, match="not signed by this key"):
        await step(sqlite_url, STRANGER, keys, tmp_path / "tiles")
    await change(sqlite_url, keys, NEW)
    with pytest.raises(CheckpointError, match="signed with another key"):
        await step(sqlite_url, STRANGER, keys, tmp_path / "tiles")


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (0, NEWER, "gave this key up at leaf 2"),
        (STRANGER, NEWER, "is signed with another key"),
        (NEW, 0, "went back to a key"),
        (NEW, NEW, "went back to a key"),
    ],
)
async def test_only_the_key_in_force_introduces_and_only_a_new_one(
    sqlite_url: str, keys: Keys, clock: Clock, access: Accesses, old: Any, new: Any, why: str
) -> None:
    await write(sqlite_url, keys, clock, [access()])
    await change(sqlite_url, keys, NEW)
    with pytest.raises(OwnerRefusal, match=why):
        await change(sqlite_url, replace(keys, signing=old or keys.signing), new or keys.signing)
    assert verify(sqlite_url, keys.master).leaves == 3
