"""The log's tree over HTTP: public tiles that a stranger rebuilds the root from, proofs in the graph, the drain."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from audit import tree
from audit.checkpoint import Checkpoint, VerifierKey, verified
from audit.entry import LEAF_BYTES, leaf_hash
from audit.proof import proven
from audit.tree import ENTRIES, Range, Tile
from tests.journeys.client import Onestop, Reply, sent, serving
from tests.journeys.documents import ESTATE, ONE_ENTRY

ONESTOP = Path(sys.executable).with_name("onestop")


def head(onestop: Onestop) -> Checkpoint:
    key = VerifierKey.parsed(onestop.command("log", "key", "--data", str(onestop.directory)))
    return verified(sent("GET", f"{onestop.url}/log/checkpoint").body, key)


def until(seen: Callable[[], Any]) -> Any:
    """What is seen, once it is; a checkpoint is at most five seconds behind, and a loaded machine slower."""
    for _ in range(300):
        if found := seen():
            return found
        time.sleep(0.1)
    raise AssertionError("never seen")


def test_a_stranger_rebuilds_the_root_from_the_public_tiles(onestop: Onestop) -> None:
    asker = onestop.as_("heir")
    reply = asker.ask(ESTATE, {"id": asker.case()})
    lines = onestop.command("log", "export", "--data", str(onestop.directory)).splitlines()
    places = {each["id"]: each["leaf_index"] for each in map(json.loads, lines)}
    last = max(places[each] for each in reply.entries)
    checkpoint = until(lambda: (found := head(onestop)).size > last and found)
    grown = Range()
    for tile in tree.tiles(checkpoint.size):
        fetched = sent("GET", f"{onestop.url}/log/{tile.path}")
        assert fetched.status == 200, tile
        assert fetched.headers["content-type"] == "application/octet-stream"
        assert fetched.headers["cache-control"] == "public, max-age=31536000, immutable"
        if tile.level == ENTRIES:
            for leaf in tree.bundled(fetched.body):
                assert len(leaf) == LEAF_BYTES
                grown.append(leaf_hash(leaf))
        else:
            assert len(fetched.body) == 32 * tile.width
    assert (grown.size, grown.root) == (checkpoint.size, checkpoint.root)


def test_checkpoints_are_not_kept_by_caches(onestop: Onestop) -> None:
    reply = sent("GET", f"{onestop.url}/log/checkpoint")
    assert (reply.status, reply.headers["cache-control"]) == (200, "no-store")
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    assert sent("HEAD", f"{onestop.url}/log/checkpoint").body == b""
    assert sent("POST", f"{onestop.url}/log/checkpoint").status == 405


@pytest.mark.parametrize(
    "path",
    [
        Tile(0, 999_999).path,
        *("tile/0/000.p/0", "tile/0/0", "tile/entries/../../checkpoint", "tile/../../access-log-key.pem", "tile/"),
        *("lock", "tile/0/%2e%2e/%2e%2e/lock", "..%2faccess-log-key.pem", "tile/0/000%00", "", "tile/0/000/../000"),
        "tile//etc/passwd",
    ],
)
def test_what_is_no_tile_is_not_found(onestop: Onestop, path: str) -> None:
    reply = sent("GET", f"{onestop.url}/log/{path}")
    assert (reply.status, reply.body) == (404, b"Nothing lies here.\n")


def test_the_person_sees_the_proof_of_an_entry(onestop: Onestop) -> None:
    asker = onestop.as_("heir")
    entry_id = asker.ask(ESTATE, {"id": asker.case()}).entries[0]

    def proven() -> Any:
        entry = asker.seen(ONE_ENTRY, id=entry_id)["accessEntry"]
        return entry["integrity"]["checkpoint"] and entry["integrity"]

    said = until(proven)
    key = VerifierKey.parsed(onestop.command("log", "key", "--data", str(onestop.directory)))
    checkpoint = verified(said["checkpoint"], key)
    path = [bytes.fromhex(each) for each in said["inclusionProof"]]
    leaf, index = bytes.fromhex(said["leafHash"]), int(said["leafIndex"])
    assert tree.is_included(leaf, index, checkpoint.size, path, checkpoint.root)
    assert not tree.is_included(leaf_hash(leaf), index, checkpoint.size, path, checkpoint.root)


def test_a_proof_file_is_written_beside_the_server_and_checked_without_it(onestop: Onestop, tmp_path: Path) -> None:
    asker = onestop.as_("heir")
    entry_id = asker.ask(ESTATE, {"id": asker.case()}).entries[0]
    key = onestop.command("log", "key", "--data", str(onestop.directory)).strip()
    file = tmp_path / "proof.json"
    assert onestop.command("log", "proof", entry_id, "--out", str(file), "--data", str(onestop.directory)) == ""

    said = onestop.command("log", "proof", "--check", str(file), "--key", key)
    assert said.startswith(f"Proven: entry {entry_id}")
    altered = file.read_text().replace('"purpose": "', '"purpose": "X')
    file.write_text(altered)
    ran = subprocess.run(
        [ONESTOP, "log", "proof", "--check", file, "--key", key], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "Not proven: the entry is not what the leaf commits to" in ran.stderr


def test_the_command_for_the_tree_head_is_as_far_as_the_log(onestop: Onestop, tmp_path: Path) -> None:
    asker = onestop.as_("heir")
    asker.ask(ESTATE, {"id": asker.case()})
    lines = onestop.command("log", "export", "--data", str(onestop.directory)).splitlines()
    onestop.command("log", "checkpoint", "--out", str(tmp_path / "head"), "--data", str(onestop.directory))
    key = VerifierKey.parsed(onestop.command("log", "key", "--data", str(onestop.directory)))
    assert verified((tmp_path / "head").read_bytes(), key).size > json.loads(lines[-1])["leaf_index"]


def test_the_last_checkpoint_of_a_server_covers_everything_and_lies_in_the_second_place(
    known: Any, tmp_path: Path
) -> None:
    with serving(tmp_path, known, ONESTOP_LOG_CHECKPOINT_DIR=str(tmp_path / "second")) as onestop:
        asker = onestop.as_("heir")
        asker.ask(ESTATE, {"id": asker.case()})
    lines = onestop.command("log", "export", "--data", str(onestop.directory)).splitlines()
    key = VerifierKey.parsed(onestop.command("log", "key", "--data", str(onestop.directory)))
    last = verified((tmp_path / "second" / "checkpoint").read_bytes(), key)
    assert last.size == json.loads(lines[-1])["leaf_index"] + 1
    assert last == verified((onestop.directory / "access-log-tiles" / "checkpoint").read_bytes(), key)


def test_the_key_is_changed_beside_a_server_and_what_it_signed_before_still_counts(known: Any, tmp_path: Path) -> None:
    new, receipts = tmp_path / "new.pem", tmp_path / "receipts.jsonl"
    with serving(tmp_path, known) as onestop:
        asker, data = onestop.as_("heir"), ("--data", str(onestop.directory))
        was = onestop.command("log", "key", *data).strip()
        case = asker.case()
        replies = [asker.ask(ESTATE, {"id": case})]
        assert was in onestop.command("log", "rotate-key", "--new-key", str(new), *data)
        replies.append(asker.ask(ESTATE, {"id": case}))  # answers go on until the server is started again
        end = sent("GET", f"{onestop.url}/log/checkpoint").body
    new.replace(onestop.directory / "access-log-key.pem")
    with serving(tmp_path, known) as onestop:
        now = VerifierKey.parsed(onestop.command("log", "key", *data))
        assert head(onestop).size > verified(end, VerifierKey.parsed(was)).size
        replies.append(onestop.as_("heir").ask(ESTATE, {"id": case}))
        proof = until(lambda: (found := fetched_proof(onestop, "heir", replies[0].entries[0])).status != 503 and found)
        assert proven(proof.body, now).told["id"] == replies[0].entries[0]
    receipts.write_text("\n".join(reply.body.decode() for reply in replies))
    assert len({reply.json["extensions"]["access"]["receipts"][0]["signature"] for reply in replies}) == 3
    for key in (was, now.text):
        checked = ("log", "verify", "--receipts", str(receipts), "--key", key, *data)
        assert onestop.command(*checked).startswith("Intact: ")


def fetched_proof(onestop: Onestop, persona: str | None, entry_id: str) -> Reply:
    headers = {"Authorization": f"Bearer {onestop.token(persona)}"} if persona else {}
    return sent("GET", f"{onestop.url}/log/proof/{entry_id}", headers=headers)


def test_the_person_downloads_a_proof_that_holds_without_us_and_tells_nothing_of_the_viewer(onestop: Onestop) -> None:
    asker = onestop.as_("heir")
    entry_id = asker.ask(ESTATE, {"id": asker.case()}).entries[0]
    reply = until(lambda: (found := fetched_proof(onestop, "heir", entry_id)).status != 503 and found)
    assert (reply.status, reply.headers["cache-control"]) == (200, "no-store")
    assert reply.headers["content-disposition"] == f'attachment; filename="access-log-proof-{entry_id}.json"'
    key = VerifierKey.parsed(onestop.command("log", "key", "--data", str(onestop.directory)))
    found = proven(reply.body, key)
    assert found.told["id"] == entry_id
    assert not found.told.keys() & {"viewer", "roles", "session", "client", "source_address", "reason", "variables"}
    (noted,) = [asker.seen(ONE_ENTRY, id=each)["accessEntry"] for each in reply.entries]
    assert (noted["task"], noted["outcome"]) == ("LOG_VIEW", "DISCLOSED")


def test_nobody_else_gets_the_proof(onestop: Onestop) -> None:
    asker = onestop.as_("heir")
    entry_id = asker.ask(ESTATE, {"id": asker.case()}).entries[0]
    stranger, unknown = (
        fetched_proof(onestop, "stranger", each) for each in (entry_id, "01958f7e-0000-7000-8000-000000000001")
    )
    assert (stranger.status, stranger.code) == (unknown.status, unknown.code) == (404, "NOT_ACCESSIBLE")
    anonymous = fetched_proof(onestop, None, entry_id)
    assert (anonymous.status, anonymous.code) == (401, "UNAUTHENTICATED")
    assert "www-authenticate" in anonymous.headers
