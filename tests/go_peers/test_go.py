"""The log as Go's sumdb/note and sumdb/tlog see it: checkpoint, tiles, proofs, at sizes around the borders of tiles."""

import base64
import importlib.util
import json
import os
import subprocess
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from audit import tree
from audit.checkpoint import VerifierKey, origin, verified
from audit.entry import leaf_hash
from audit.tiles import Published, Shelf

HERE = Path(__file__).parent
_spec = importlib.util.spec_from_file_location("leaves", HERE.parent / "audit" / "leaves.py")
assert _spec
assert _spec.loader
leaves = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(leaves)

SIZES = (1, 255, 256, 257, 70_000)
GOPATH = "/usr/share/gocode"


@dataclass(frozen=True)
class Log:
    """Checkpoints by size, over one folder of tiles as it was left at the greatest."""

    folder: Path
    key: VerifierKey
    notes: dict[int, str]

    def case(self, size: int, indexes: Iterable[int]) -> dict[str, Any]:
        """Our proofs under the checkpoint of this size, as the peer takes them."""
        nodes = Shelf(self.folder).nodes(size)
        return {
            "Key": self.key.text,
            "Checkpoint": self.notes[size],
            "Tiles": str(self.folder),
            "Inclusion": [
                {
                    "Index": index,
                    "LeafHash": leaf_hash(leaves.leaf_of(index)).hex(),
                    "Path": [each.hex() for each in tree.inclusion(index, size, nodes)],
                }
                for index in indexes
            ],
            "Consistency": [
                {"Checkpoint": note, "Path": [each.hex() for each in tree.consistency(old, size, nodes)]}
                for old, note in self.notes.items()
                if old <= size
            ],
            "Leaves": list(indexes),
        }


Peer = Callable[[list[dict[str, Any]]], list[str]]


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Peer:
    """Give Go's answers to cases."""
    folder = tmp_path_factory.mktemp("go")
    environment = {
        **os.environ, "GOPATH": GOPATH, "GO111MODULE": "off", "GOCACHE": str(folder / "cache"), "GOFLAGS": "-mod=mod",
    }  # fmt: skip
    subprocess.run(["go", "build", "-o", folder / "peer", HERE / "peer.go"], check=True, env=environment)

    def asked(cases: list[dict[str, Any]]) -> list[str]:
        ran = subprocess.run([folder / "peer"], input=json.dumps(cases), capture_output=True, text=True, check=True)
        answers: list[str] = json.loads(ran.stdout)
        return answers

    return asked


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def log(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Log]:
    folder = tmp_path_factory.mktemp("log")
    notes = {}
    async with leaves.leaves_in(f"sqlite+aiosqlite:///{folder}/log.db") as store:
        sequencer = store.sequencer(folder / "tiles")
        before = 0
        for size in SIZES:
            await store.add(before, size)
            while not (await sequencer.step()).is_complete:
                pass
            notes[size] = (folder / "tiles" / "checkpoint").read_text()
            before = size
        yield Log(folder / "tiles", VerifierKey(origin(store.epoch), leaves.KEY.public_key()), notes)


def places(size: int) -> list[int]:
    return sorted({0, size // 2, max(0, size - 2), size - 1, *(each for each in (254, 255, 256) if each < size)})


def test_go_accepts_checkpoints_tiles_bundles_and_proofs(peer: Peer, log: Log) -> None:
    assert peer([log.case(size, places(size)) for size in SIZES]) == [""] * len(SIZES)


def flipped(text: str, at: int) -> str:
    return text[:at] + ("0" if text[at] != "0" else "1") + text[at + 1 :]


def test_go_refuses_what_was_altered(peer: Peer, log: Log) -> None:
    cases = []
    for size in SIZES:
        for index in places(size):
            whole = log.case(size, [index])
            for part in ("Inclusion", "Consistency"):
                for number, one in enumerate(whole[part]):
                    for step in range(len(one["Path"])):
                        altered = log.case(size, [index])
                        altered[part][number]["Path"][step] = flipped(one["Path"][step], 5)
                        cases.append(altered)
            altered = log.case(size, [index])
            altered["Inclusion"][0]["LeafHash"] = flipped(altered["Inclusion"][0]["LeafHash"], 63)
            cases.append(altered)
            altered = log.case(size, [index])
            altered["Inclusion"][0]["Index"] += 1
            cases.append(altered)
            for at in (0, whole["Checkpoint"].index("\n") + 1, -10):
                altered = log.case(size, [index])
                altered["Checkpoint"] = flipped(altered["Checkpoint"], at % len(altered["Checkpoint"]))
                cases.append(altered)
    answers = peer(cases)
    assert len(answers) == len(cases) > 300
    assert "" not in answers


@pytest.mark.parametrize("path", ["tile/0/000", "tile/1/000", "tile/2/000.p/1", "tile/entries/000"])
def test_go_refuses_a_tile_with_a_changed_byte(peer: Peer, log: Log, path: str) -> None:
    file = log.folder / path
    whole = file.read_bytes()
    try:
        file.write_bytes(whole[:20] + bytes([whole[20] ^ 1]) + whole[21:])
        (answer,) = peer([log.case(70_000, []) | {"Leaves": [0]}])
    finally:
        file.write_bytes(whole)
    assert answer


def test_a_person_has_go_check_what_the_graph_told_them(peer: Peer, log: Log) -> None:
    published = Published(log.folder, log.key)
    hashed = leaf_hash(leaves.leaf_of(69_999))
    (covered,) = published.covered([(69_999, hashed)])
    assert covered
    path = [each.hex() for each in covered.path]
    told = {"Index": 69_999, "LeafHash": hashed.hex(), "Path": path}
    case = {"Key": log.key.text, "Checkpoint": covered.note, "Tiles": "", "Inclusion": [told]}
    assert peer([case]) == [""]


def test_our_own_reading_refuses_another_key_as_go_does(peer: Peer, log: Log) -> None:
    other = VerifierKey("another/log", log.key.public)
    (answer,) = peer([log.case(1, [0]) | {"Key": other.text}])
    assert answer
    name, _, rest = log.key.text.partition("+")
    forged = base64.b64encode(base64.b64decode(rest.partition("+")[2])[:-1] + b"\0").decode()
    (answer,) = peer([log.case(1, [0]) | {"Key": f"{name}+{rest.partition('+')[0]}+{forged}"}])
    assert answer
    assert verified(log.notes[1], log.key).size == 1
