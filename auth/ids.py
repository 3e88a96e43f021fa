"""Identifiers: what each agency calls a person, and what a portal may hold.

A sector identifier is HMAC-SHA-256 under a key of one agency over the internal id, so that two agencies cannot join
what they know (after Austria's bPK; domain research §4.3). An opaque id is AES-SIV (RFC 5297) over the internal one,
bound to the client: deterministic, so that the same thing has the same id, and meaningless anywhere else. Neither can
be turned back without its key.

Opaque ids are made anew with every answer, so their key changes by putting a newer one before it: the newest seals, it
and the one before it open. Sector identifiers lie in the agencies' own files. They keep the key they began with, whose
version is in their prefix (``lan1_``): a second version is agreed with each agency before it is used.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from schema.disclosure import Agency
from schema.identifiers import PersonId, SectorId

SANDBOX_ROOT = hashlib.sha256(b"onestop sandbox identifiers: not a secret").digest()
"""The sandbox's root key. Production refuses it."""

PREFIX = {
    Agency.REGISTRY: "reg",
    Agency.LAND: "lan",
    Agency.FINANCE: "fin",
    Agency.PENSIONS: "pen",
    Agency.TAX: "tax",
    Agency.HEALTH: "hea",
    Agency.VEHICLES: "veh",
    Agency.WELFARE: "wel",
}

OPENING = 2
"""So many keys open opaque ids: the one that seals and the one before it."""

_LONGEST = 1024  # a longer opaque id is none of ours
_NOTHING = bytes(64)  # opens with no key
_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
_PAIRS = tuple(first + second for first in _LETTERS for second in _LETTERS)
"""Base32 (RFC 4648) in lower case, two letters at a time."""
_PLACES = tuple(range(120, -1, -10))


class Ids:
    """All identifiers. Keys have at least 32 bytes.

    `root` is the key it all began with; `newer` are those that opaque ids were sealed with since, the newest first.
    """

    def __init__(self, root: bytes, newer: Sequence[bytes] = ()) -> None:
        keys = [*newer, root]
        if any(len(key) < 32 for key in keys):
            message = "An identifier key must have at least 32 bytes."
            raise ValueError(message)
        self._sector = {agency: _keyed(_derived(root, f"onestop/sector/1/{agency.name}")) for agency in Agency}
        self._staff = _keyed(_derived(root, "onestop/sector/1/ROSTER"))
        self._pseudonyms = _derived(root, "onestop/pseudonym/1")
        self._sivs = [_siv(key) for key in keys[:OPENING]]
        self.is_sandbox = any(hmac.compare_digest(key, SANDBOX_ROOT) for key in keys)

    def sector_id(self, agency: Agency, person: PersonId) -> SectorId:
        """What the agency calls the person: prefix, key version, 128 bits in lower-case base32."""
        return _sector_id(PREFIX[agency], self._sector[agency], person)

    def staff_id(self, official: PersonId) -> SectorId:
        """What the staff roster calls an official."""
        return _sector_id("ros", self._staff, official)

    def sector(self, agency: Agency) -> Callable[[PersonId], SectorId]:
        """`sector_id` of one agency."""
        return lambda person: self.sector_id(agency, person)

    def pseudonym(self, of: PersonId, reader: PersonId) -> str:
        """What somebody is called to one reader of the access log: always the same, and to nobody else the same."""
        digest = hmac.digest(self._pseudonyms, f"{reader}\0{of}".encode(), "sha256")
        spelled = base64.b32encode(digest[:5]).decode()
        return f"{spelled[:4]}-{spelled[4:]}"

    def sealed(self, client: str, *parts: str) -> str:
        """The opaque id of what the parts name (kind first), good for this client only."""
        box = self._sivs[0].encrypt("\x1f".join(parts).encode(), [client.encode()])
        return _spelled(box)

    def opened(self, client: str, sealed: str) -> tuple[str, ...] | None:
        """The parts that were sealed for this client; None for anything else, whatever is wrong with it.

        Every key is tried on every text, so that the time tells neither which key fits nor what is wrong.
        """
        box = _box(sealed)
        found = [_decrypted(siv, _NOTHING if box is None else box, client) for siv in self._sivs]
        return next((tuple(plain.decode().split("\x1f")) for plain in found if plain is not None), None)


def _keyed(key: bytes) -> HMAC:
    """Made once for a key: to copy it costs a quarter of what `hmac.digest` does."""
    return HMAC(key, SHA256())


def _sector_id(prefix: str, keyed: HMAC, person: PersonId) -> SectorId:
    digest = keyed.copy()
    digest.update(person.encode())
    bits = int.from_bytes(digest.finalize()[:16], "big") << 2  # 26 letters of five bits
    return SectorId(f"{prefix}1_{''.join([_PAIRS[bits >> place & 1023] for place in _PLACES])}")


def _box(sealed: str) -> bytes | None:
    if len(sealed) > _LONGEST:
        return None
    try:
        box = base64.b64decode(sealed + "=" * (-len(sealed) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        return None
    return box if _spelled(box) == sealed else None  # one id has one spelling


def _decrypted(siv: AESSIV, box: bytes, client: str) -> bytes | None:
    try:
        return siv.decrypt(box, [client.encode()])
    except (InvalidTag, ValueError):
        return None


def _siv(key: bytes) -> AESSIV:
    return AESSIV(_derived(key, "onestop/opaque/1/a") + _derived(key, "onestop/opaque/1/b"))


def _spelled(box: bytes) -> str:
    return base64.urlsafe_b64encode(box).decode().rstrip("=")


def _derived(root: bytes, label: str) -> bytes:
    return hmac.digest(root, label.encode(), "sha256")
