"""Which keys sign the log, one after the other: how its signing key is given up for another.

The key in force introduces the next in a note (c2sp.org/signed-note) that both sign. It names the log, the number of
the change, the leaf that says so, and both keys; it lies among the store's facts, and that leaf is its hash. So whoever
trusts one key of the chain can tell which came before and after it. A key signs no tree head that covers the leaf at
which it was given up.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.checkpoint import Checkpoint, CheckpointError, VerifierKey, parts, signed_text, verified
from audit.entry import SIGNING_KEY

FORMAT: Final = "onestop/log-key/1"


@dataclass(frozen=True, slots=True)
class Change:
    """The `number`th change of the log's key, counted from 1."""

    number: int
    leaf_index: int
    old: VerifierKey
    new: VerifierKey

    @property
    def text(self) -> str:
        """What both keys sign."""
        return f"{FORMAT}\n{self.old.name}\n{self.number}\n{self.leaf_index}\n{self.old.text}\n{self.new.text}\n"

    @property
    def fact(self) -> str:
        """How the store's facts name it."""
        return f"{SIGNING_KEY}{self.number}"


def introduced(change: Change, old: Ed25519PrivateKey, new: Ed25519PrivateKey) -> str:
    """The note."""
    lines = [
        f"\u2014 {named.name} {base64.b64encode(named.id + key.sign(change.text.encode())).decode()}\n"
        for named, key in ((change.old, old), (change.new, new))
    ]
    return f"{change.text}\n{''.join(lines)}"


def changes(name: str, facts: Mapping[str, str]) -> list[Change]:
    """All changes that the store's facts tell of the log with this name, in order. Raise CheckpointError."""
    notes = {fact.removeprefix(SIGNING_KEY): said for fact, said in facts.items() if fact.startswith(SIGNING_KEY)}
    found = []
    for number in range(1, len(notes) + 1):
        if str(number) not in notes:
            raise CheckpointError(f"change {number} of the log's key is missing")
        try:
            change = _change(notes[str(number)])
        except CheckpointError as error:
            raise CheckpointError(f"change {number} of the log's key does not hold: {error}") from error
        if (change.number, change.old.name, change.new.name) != (number, name, name):
            raise CheckpointError(f"change {number} of the log's key is that of another log, or another change")
        found.append(change)
    if any(one.new != other.old or one.leaf_index >= other.leaf_index for one, other in pairwise(found)):
        raise CheckpointError("the changes of the log's key do not follow from each other")
    keys = [each.old.id for each in found] + [each.new.id for each in found[-1:]]
    if len(set(keys)) < len(keys):
        raise CheckpointError("the log went back to a key that it had given up")
    return found


def _change(note: str) -> Change:
    lines = parts(note)[0].split("\n")
    if len(lines) != 7 or lines[0] != FORMAT or not (lines[2].isdecimal() and lines[3].isdecimal()):
        raise CheckpointError("it is no change of a key")
    change = Change(int(lines[2]), int(lines[3]), VerifierKey.parsed(lines[4]), VerifierKey.parsed(lines[5]))
    if {signed_text(note, each) for each in (change.old, change.new)} != {change.text}:
        raise CheckpointError("it is not spelled as it was signed")
    return change


def require_in_force(key: VerifierKey, before: Sequence[Change]) -> None:
    """Raise CheckpointError for a key that does not sign the log, or does not any more."""
    for each in before:
        if each.old == key:
            raise CheckpointError(f"the log gave this key up at leaf {each.leaf_index}; give the one that followed it")
    if before and before[-1].new != key:
        raise CheckpointError("the log is signed with another key")


def head(note: str, key: VerifierKey, before: Sequence[Change]) -> Checkpoint:
    """The checkpoint of a note that this key signed, or one before it while it was in force. Raise CheckpointError."""
    for each in reversed(before):
        if any(data[:4] == each.old.id for _, data in parts(note)[1]):
            found = verified(note, each.old)
            if found.size > each.leaf_index:
                raise CheckpointError("the checkpoint is signed with a key that had been given up")
            return found
    return verified(note, key)
