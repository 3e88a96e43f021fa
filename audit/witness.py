"""What a witness says of a checkpoint: that it continues the last one the witness saw of this log, and when it saw it.

Sources: c2sp.org/tlog-witness (`add-checkpoint`), c2sp.org/tlog-cosignature (Ed25519, cosignature/v1). A witness that
is somebody else's is what a keeper of the log cannot bend: it would have to sign two histories as well.
"""

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from cryptography.exceptions import InvalidSignature

from audit.checkpoint import CheckpointError, VerifierKey, parts

TIME_BYTES: Final = 8
COSIGNATURE_BYTES: Final = 4 + TIME_BYTES + 64
LATEST: Final = 253_402_300_799
"""The last second of the year 9999."""


def add_checkpoint(old: int, proof: Sequence[bytes], note: str) -> bytes:
    """The body that asks for a cosignature; `proof` leads from `old` leaves to those of the note."""
    lines = [f"old {old}", *(base64.b64encode(each).decode() for each in proof)]
    return ("\n".join(lines) + f"\n\n{note}").encode()


def witnessed(note: str, reply: bytes, key: VerifierKey) -> str:
    """The note with the cosignature of this witness from a reply; others in it are left out. Raise CheckpointError."""
    try:
        said = reply.decode()
    except UnicodeDecodeError as error:
        raise CheckpointError("the witness did not answer with signatures") from error
    for line in said.splitlines():
        whole = f"{note}{line}\n"
        try:
            cosigned_at(whole, key)
        except CheckpointError:
            continue
        return whole
    raise CheckpointError("the witness did not answer with a good cosignature of its key")


def cosigned_at(note: str | bytes, key: VerifierKey) -> datetime:
    """When this witness cosigned the note. Raise CheckpointError when it did not."""
    text, signatures = parts(note)
    ours = [data for name, data in signatures if name == key.name and data[:4] == key.id]
    if not ours:
        raise CheckpointError("the checkpoint is not cosigned by this witness")
    for data in ours:
        at = int.from_bytes(data[4 : 4 + TIME_BYTES], "big")
        try:
            key.public.verify(data[4 + TIME_BYTES :], cosigned_part(text, at))
        except InvalidSignature as error:
            raise CheckpointError("the cosignature is not good") from error
        if len(data) != COSIGNATURE_BYTES or at > LATEST:
            raise CheckpointError("the cosignature is malformed")
    return datetime.fromtimestamp(at, UTC)


def cosigned_part(text: str, at: int) -> bytes:
    """The bytes that a witness signs."""
    return f"cosignature/v1\ntime {at}\n{text}".encode()
