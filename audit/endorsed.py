"""What others said of the log's checkpoints, as it lies beside the newest one, and whether it holds.

`endorsed/witnessed` is the newest checkpoint that the witness cosigned. `endorsed/timestamps/<day>.json` is the last
checkpoint of a day that was stamped, with the timestamp, so that what was there on a day can be shown years later.
"""

import base64
import binascii
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import orjson
from cryptography.x509 import Certificate

from audit.checkpoint import CheckpointError, VerifierKey
from audit.tiles import Shelf
from audit.timestamp import TimestampError, stamped_at
from audit.witness import cosigned_at

FOLDER: Final = "endorsed"
WITNESSED: Final = "witnessed"
TIMESTAMPS: Final = "timestamps"


@dataclass(frozen=True, slots=True)
class Endorsed:
    """A checkpoint and when it was cosigned or stamped; `fault` says why that does not hold."""

    name: str
    note: bytes
    at: datetime | None
    fault: str | None = None


class Endorsements:
    """Those in the folder of a log's tree. Only who holds the lock of the folder writes."""

    def __init__(self, tiles: Path) -> None:
        self.folder = tiles / FOLDER
        self._shelf = Shelf(self.folder)

    def tidy(self) -> None:
        """Remove what was left by who was killed."""
        self._shelf.tidy()

    def keep_witnessed(self, note: str) -> None:
        self._shelf.keep({WITNESSED: note.encode()})

    def keep_stamped(self, note: str, response: bytes, at: datetime) -> None:
        held = {"checkpoint": note, "timestamp": base64.b64encode(response).decode()}
        day = at.astimezone(UTC).date().isoformat()
        self._shelf.keep({f"{TIMESTAMPS}/{day}.json": orjson.dumps(held, option=orjson.OPT_INDENT_2)})

    @property
    def witnessed(self) -> bytes | None:
        file = self.folder / WITNESSED
        return file.read_bytes() if file.is_file() else None

    @property
    def stamped(self) -> bytes | None:
        """The newest."""
        days = self._days()
        return days[-1].read_bytes() if days else None

    def _days(self) -> list[Path]:
        return sorted((self.folder / TIMESTAMPS).glob("????-??-??.json"))

    def checked(self, witness: VerifierKey | None, roots: Sequence[Certificate]) -> Iterator[Endorsed]:
        """All that can be checked with what is known: a witness's key, an authority's certificates."""
        if witness is not None and (note := self.witnessed) is not None:
            name = "the checkpoint that the witness cosigned"
            try:
                yield Endorsed(name, note, cosigned_at(note, witness))
            except CheckpointError as error:
                yield Endorsed(name, note, None, f"{name}: {error}")
        for day in self._days() if roots else ():
            yield _stamped(f"the checkpoint stamped on {day.stem}", day.read_bytes(), roots)


def note_of(stamped: bytes) -> tuple[bytes, bytes]:
    """The checkpoint and the timestamp in a file of a day. Raise TimestampError."""
    try:
        held = orjson.loads(stamped)
        return held["checkpoint"].encode(), base64.b64decode(held["timestamp"], validate=True)
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error) as error:
        raise TimestampError("the file is no checkpoint with a timestamp") from error


def _stamped(name: str, file: bytes, roots: Sequence[Certificate]) -> Endorsed:
    note = b""
    try:
        note, response = note_of(file)
        return Endorsed(name, note, stamped_at(response, note, roots))
    except TimestampError as error:
        return Endorsed(name, note, None, f"{name}: {error}")
