"""A proof file: one entry's part for the person, and all that shows, offline, that the log holds it.

It has the person's own part as it was committed to, with its salt; of the officers' part only a salted hash, from which
nothing can be learned. Whoever checks it needs the log's public key, from anywhere but the file.
"""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from cryptography.exceptions import InvalidSignature

from audit import tree
from audit.checkpoint import Checkpoint, CheckpointError, VerifierKey, verified
from audit.entry import COMMITMENT_PREFIX, ENTRY_LEAF, Entry, Selection, canonical, leaf, leaf_hash, marked
from audit.tiles import Covered
from audit.writer import Receipt, signed_part

FORMAT: Final = "onestop/proof/1"
BUNDLE: Final = "onestop/access-log/1"
"""A person's access log as a file: `entries`, each with its `proof`, or null where there is none."""
LARGEST_BUNDLE: Final = 256 * 1024 * 1024
LARGEST: Final = 4 * 1024 * 1024
BITMAPS: Final = ("disclosed", "null", "withheld", "failed", "derived")


class ProofError(Exception):
    """The file does not prove that the log holds the entry."""

    code = "NOT_PROVEN"


@dataclass(frozen=True, slots=True)
class Proven:
    """An entry that the log holds: what the person is told, with the coordinates spelled out."""

    told: Mapping[str, Any]
    leaf_index: int
    checkpoint: Checkpoint


def proof(entry: Entry, covered: Covered, receipt: Receipt, key: VerifierKey) -> bytes:
    """The file, as JSON."""
    selection = entry.access.selection
    return orjson.dumps(
        {
            "format": FORMAT,
            "entry": orjson.loads(entry.person_part),
            "selection": {"schema": selection.schema_hash, "coordinates": selection.coordinates},
            "salt": entry.person_salt.hex(),
            "staff": hashlib.sha256(entry.staff_salt + entry.staff_part).hexdigest(),
            "leaf_index": receipt.leaf_index,
            "leaf_hash": receipt.leaf_hash,
            "inclusion_proof": [each.hex() for each in covered.path],
            "checkpoint": covered.note,
            "receipt": receipt.signature,
            "key": key.text,
        },
        option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE,
    )


def proofs_in(file: bytes) -> list[bytes]:
    """The proof files in a person's access log; another file is taken for a proof itself. Raise ProofError."""
    if len(file) > LARGEST_BUNDLE:
        raise ProofError("the file is larger than any access log that was given out")
    try:
        held = orjson.loads(file)
        if not isinstance(held, dict) or held.get("format") != BUNDLE:
            return [file]
        found = [orjson.dumps(entry["proof"]) for entry in held["entries"] if entry["proof"] is not None]
    except (KeyError, TypeError, ValueError) as error:
        raise ProofError("the file is no proof, or something in it is malformed") from error
    if not found:
        raise ProofError("the access log in the file has no entry with a proof")
    return found


def proven(file: bytes, key: VerifierKey) -> Proven:
    """What the file proves under this key. Raise ProofError."""
    if len(file) > LARGEST:
        raise ProofError("the file is larger than any proof")
    try:
        held = orjson.loads(file)
        if held["format"] != FORMAT:
            raise ProofError(f"the file is not of the format {FORMAT}")
        return _proven(held, key)
    except (KeyError, TypeError, AttributeError, ValueError, IndexError, RecursionError) as error:
        raise ProofError("the file is no proof, or something in it is malformed") from error


def _proven(held: Mapping[str, Any], key: VerifierKey) -> Proven:
    told, index = held["entry"], held["leaf_index"]
    hashed = leaf_hash(_leaf(told, bytes.fromhex(held["salt"]), bytes.fromhex(held["staff"])))
    if hashed.hex() != held["leaf_hash"]:
        raise ProofError("the entry is not what the leaf commits to")
    try:
        checkpoint = verified(held["checkpoint"], key)
    except CheckpointError as error:
        raise ProofError(str(error)) from error
    path = [bytes.fromhex(each) for each in held["inclusion_proof"]]
    if type(index) is not int or not tree.is_included(hashed, index, checkpoint.size, path, checkpoint.root):
        raise ProofError("the leaf is not in the tree of the checkpoint at this place")
    _require_receipt(held["receipt"], told["id"], held["leaf_hash"], key)
    read = Selection(held["selection"]["schema"], tuple(held["selection"]["coordinates"]))
    if read.id != told["selection"]:
        raise ProofError("the fields listed are not those that the entry names")
    spelled = {name: sorted(marked(read, told[name])) for name in BITMAPS}
    return Proven(told | spelled, index, checkpoint)


def _leaf(told: Mapping[str, Any], salt: bytes, staff: bytes) -> bytes:
    person = hashlib.sha256(salt + canonical(told)).digest()
    month = int(told["at"][:4]) * 100 + int(told["at"][5:7])
    return leaf(ENTRY_LEAF, month, hashlib.sha256(COMMITMENT_PREFIX + person + staff).digest())


def _require_receipt(signature: str, entry_id: str, leaf_hash_hex: str, key: VerifierKey) -> None:
    try:
        key.public.verify(base64.b64decode(signature, validate=True), signed_part(entry_id, leaf_hash_hex))
    except (InvalidSignature, binascii.Error) as error:
        raise ProofError("the receipt is not signed by this key") from error
