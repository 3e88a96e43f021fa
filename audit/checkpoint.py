"""Signed tree heads: how many leaves the log has and the root over them, as a C2SP checkpoint in a signed note.

Sources: c2sp.org/tlog-checkpoint, c2sp.org/signed-note (what Go's sumdb/note reads). The key is the one that signs
receipts; the two kinds of text cannot be taken for each other, as they begin differently. A log's origin, which is also
its key's name, carries its epoch: two logs under one key have different names.
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from audit.tree import EMPTY_ROOT, HASH_BYTES

ED25519: Final = b"\x01"
COSIGNATURE: Final = b"\x04"
LARGEST_NOTE: Final = 64 * 1024
SIGNATURE = re.compile("\u2014 ([^ +]+) ([A-Za-z0-9+/]+={0,2})")
SIZE = re.compile("0|[1-9][0-9]{0,18}")


class CheckpointError(Exception):
    """This is no checkpoint, or not one that the key has signed."""

    code = "BAD_CHECKPOINT"


def origin(epoch: str) -> str:
    """The name of the log with this epoch, and of its key."""
    return f"onestop/access-log/{epoch}"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The first `size` leaves of the log have this root."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """What is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key with the name it signs under, as text `name+id+key`.

    `kind` is what it signs: ED25519 for notes, COSIGNATURE for what a witness has seen (audit/witness.py).
    """

    name: str
    public: Ed25519PublicKey
    kind: bytes = ED25519

    def __post_init__(self) -> None:
        if not self.name or re.search(r"[\s+]", self.name):
            raise CheckpointError("the name of a key is not empty and has neither spaces nor a plus sign")

    @classmethod
    def parsed(cls, text: str, kind: bytes = ED25519) -> "VerifierKey":
        """Raise CheckpointError for what is no verifier key of a signed note."""
        name, _, rest = text.strip().partition("+")
        key_id, _, encoded = rest.partition("+")
        data = _decoded(encoded)
        if data is None or len(data) != 33 or data[:1] != kind:
            raise CheckpointError("give a key as name+id+base64, as `onestop log key` prints it")
        key = cls(name, Ed25519PublicKey.from_public_bytes(data[1:]), kind)
        if key.id.hex() != key_id:
            raise CheckpointError("the key does not match its id")
        return key

    @property
    def id(self) -> bytes:
        """Four bytes that tell the keys of one name apart."""
        return hashlib.sha256(self.name.encode() + b"\n" + self._data).digest()[:4]

    @property
    def text(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(self._data).decode()}"

    @property
    def _data(self) -> bytes:
        return self.kind + self.public.public_bytes_raw()


def signed(checkpoint: Checkpoint, key: Ed25519PrivateKey) -> str:
    """The note. The same checkpoint under the same key is always the same text."""
    named = VerifierKey(checkpoint.origin, key.public_key())
    signature = base64.b64encode(named.id + key.sign(checkpoint.text.encode())).decode()
    return f"{checkpoint.text}\n\u2014 {named.name} {signature}\n"


def verified(note: str | bytes, key: VerifierKey) -> Checkpoint:
    """The checkpoint of a note that this key signed; others (witnesses) may have signed it as well.

    Raise CheckpointError.
    """
    found = _checkpoint(signed_text(note, key))
    if found.origin != key.name:
        raise CheckpointError("the checkpoint is of another log")
    return found


def signed_text(note: str | bytes, key: VerifierKey) -> str:
    """What this key signed, whatever it says. Raise CheckpointError."""
    text, signatures = parts(note)
    ours = [data[4:] for name, data in signatures if name == key.name and data[:4] == key.id]
    if not ours:
        raise CheckpointError("the checkpoint is not signed by this key")
    try:
        for signature in ours:
            key.public.verify(signature, text.encode())
    except InvalidSignature as error:
        raise CheckpointError("the signature is not good") from error
    return text


def unverified(note: str | bytes) -> Checkpoint:
    """What a note says, whoever signed it. Raise CheckpointError."""
    return _checkpoint(parts(note)[0])


def parts(note: str | bytes) -> tuple[str, list[tuple[str, bytes]]]:
    """The text and the signatures, each with its name."""
    try:
        whole = note.decode() if isinstance(note, bytes) else note
    except UnicodeDecodeError as error:
        raise CheckpointError("this is no checkpoint: not UTF-8") from error
    body, blank, rest = whole.rpartition("\n\n")
    if not blank or not rest.endswith("\n") or len(whole) > LARGEST_NOTE or re.search(r"[\x00-\x09\x0b-\x1f]", whole):
        raise CheckpointError("this is no checkpoint: not a signed note")
    signatures = []
    for line in rest[:-1].split("\n"):
        found = SIGNATURE.fullmatch(line)
        data = _decoded(found[2]) if found else None
        if found is None or data is None or len(data) < 5:
            raise CheckpointError("this is no checkpoint: a signature is malformed")
        signatures.append((found[1], data))
    return body + "\n", signatures


def _checkpoint(text: str) -> Checkpoint:
    """Further lines are extensions, which say nothing to us."""
    lines = text.split("\n")
    root = _decoded(lines[2]) if len(lines) > 3 else None
    if root is None or len(root) != HASH_BYTES or not lines[0] or not SIZE.fullmatch(lines[1]):
        raise CheckpointError("this is no checkpoint: origin, size and root are wanted")
    size = int(lines[1])
    if size == 0 and root != EMPTY_ROOT:
        raise CheckpointError("this is no checkpoint: an empty tree has another root")
    return Checkpoint(lines[0], size, root)


def _decoded(text: str) -> bytes | None:
    """None for what is not the one base64 text of some bytes."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if base64.b64encode(data).decode() == text else None
