"""Proof files: what a person is handed, checked with nothing but the public key, and everything in it changed."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from audit.checkpoint import VerifierKey, origin
from audit.entry import Access, leaf_hash
from audit.keys import Keys
from audit.proof import ProofError, proof, proven
from audit.sequencer import Sequencer
from audit.tiles import Published
from audit.writer import AccessLog


@pytest.fixture
async def made(sqlite_url: str, keys: Keys, clock: Any, access: Callable[..., Access], tmp_path: Path) -> Any:
    """Give the proof file of the second of three entries, its key, and the entry."""
    async with AccessLog.open(sqlite_url, keys, clock) as log:
        _, receipt, _ = await log.append([access(), access(reason="an officer's word"), access()])
        sequencer = Sequencer(log.reading.engine, log.epoch, keys.signing, tmp_path / "tiles", None)
        assert await sequencer.step()
        placed = await log.reading.entry(str(receipt.entry_id))
        assert placed
        key = VerifierKey(origin(log.epoch), keys.signing.public_key())
        wanted = [(placed.leaf_index, leaf_hash(placed.entry.leaf))]
        (covered,) = Published(tmp_path / "tiles", key).covered(wanted)
        assert covered
        return proof(placed.entry, covered, receipt, key), key, placed.entry


def test_a_proof_holds_offline_and_tells_the_person_what_was_seen(made: Any) -> None:
    file, key, entry = made
    found = proven(file, VerifierKey.parsed(key.text))
    assert found.told["id"] == str(entry.id)
    assert found.told["withheld"] == ["LandParcel.assessedValue"]
    assert (found.leaf_index, found.checkpoint.size) == (2, 4)


def test_a_proof_has_nothing_of_the_officers_part(made: Any) -> None:
    file, _, entry = made
    for secret in ("viewer-heir", "an officer's word", "192.0.2.7", "jti-1", "trace-1", "deceased-person"):
        assert secret.encode() in entry.staff_part
        assert secret.encode() not in file
    assert entry.staff_salt.hex().encode() not in file


def leaves_of(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict | list) and value:
        for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves_of(inner, (*path, name))
    else:
        yield path


def changed(value: Any) -> Any:
    match value:
        case bool() | None:
            return "x"
        case int():
            return value + 1
        case str():
            return value[:-1] + chr(ord(value[-1]) ^ 1) if value else "x"
        case _:
            return ["x"]


def test_whatever_is_changed_in_a_proof_it_proves_no_more(made: Any) -> None:
    file, key, _ = made
    tried = 0
    for path in leaves_of(json.loads(file)):
        if path == ("key",):  # for whoever files it; nobody trusts a key that comes along
            continue
        held = json.loads(file)
        place = held
        for name in path[:-1]:
            place = place[name]
        place[path[-1]] = changed(place[path[-1]])
        with pytest.raises(ProofError):
            proven(json.dumps(held).encode(), key)
        del place[path[-1]]
        with pytest.raises(ProofError):
            proven(json.dumps(held).encode(), key)
        tried += 1
    assert tried > 40


@pytest.mark.parametrize(
    "file", [b"", b"{", b"[]", b"null", b"{}", b'{"format":"onestop/proof/1"}', b"[" * 9000, b"\xff", b" " * 5_000_000]
)
def test_what_is_no_proof_is_refused(made: Any, file: bytes) -> None:
    with pytest.raises(ProofError):
        proven(file, made[1])


def test_the_key_of_another_log_does_not_do(made: Any) -> None:
    file, key, _ = made
    with pytest.raises(ProofError, match="not signed by this key"):
        proven(file, VerifierKey(origin("00" * 16), key.public))
