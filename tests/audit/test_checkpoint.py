"""Checkpoints as signed notes: the specification's own example, and everything about one changed."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.checkpoint import Checkpoint, CheckpointError, VerifierKey, origin, signed, unverified, verified
from audit.tree import EMPTY_ROOT

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
HEAD = Checkpoint(origin("00" * 16), 257, bytes(range(32)))
NAMED = VerifierKey(HEAD.origin, KEY.public_key())
NOTE = signed(HEAD, KEY)

# From Go's golang.org/x/mod/sumdb/note, whose key and note stand in its documentation.
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"


def test_a_key_of_another_program_reads_and_prints_the_same() -> None:
    assert VerifierKey.parsed(PETER).text == PETER


def test_what_was_signed_is_what_is_read() -> None:
    assert verified(NOTE, NAMED) == verified(NOTE.encode(), VerifierKey.parsed(NAMED.text)) == HEAD
    assert unverified(NOTE) == HEAD
    assert signed(HEAD, KEY) == NOTE


def test_a_witness_may_sign_too_and_an_extension_may_follow() -> None:
    text = HEAD.text + "extension\n"
    ours = base64.b64encode(NAMED.id + KEY.sign(text.encode())).decode()
    witness = base64.b64encode(bytes(80)).decode()
    note = f"{text}\n\u2014 witness.example {witness}\n\u2014 {NAMED.name} {ours}\n"
    assert verified(note, NAMED) == HEAD


def test_a_note_of_which_any_character_was_changed_is_refused() -> None:
    for at in range(len(NOTE)):
        changed = NOTE[:at] + chr(ord(NOTE[at]) ^ 1) + NOTE[at + 1 :]
        with pytest.raises(CheckpointError):
            verified(changed, NAMED)


@pytest.mark.parametrize(
    "note",
    [
        *("", "\n", "\n\n", NOTE[:-1], NOTE + "\n", NOTE.replace("\n\n", "\n"), NOTE + NOTE, b"\xff\n\n\xff\n"),
        NOTE.replace("\n257\n", "\n0257\n"),
        signed(Checkpoint(HEAD.origin, 0, bytes(32)), KEY),
        signed(Checkpoint(HEAD.origin, 1, bytes(31)), KEY),
        signed(Checkpoint(HEAD.origin + "0", 1, EMPTY_ROOT), KEY),
    ],
)
def test_what_is_no_checkpoint_of_this_log_is_refused(note: str | bytes) -> None:
    with pytest.raises(CheckpointError):
        verified(note, NAMED)


@pytest.mark.parametrize("key", ["", "a", "a+b+c", PETER[:-1], PETER.replace("c7", "c8"), PETER.replace("P", "p", 1)])
def test_what_is_no_key_is_refused(key: str) -> None:
    with pytest.raises(CheckpointError):
        VerifierKey.parsed(key)


def test_another_key_is_not_this_one() -> None:
    other = VerifierKey(HEAD.origin, Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key())
    with pytest.raises(CheckpointError, match="not signed by this key"):
        verified(NOTE, other)
