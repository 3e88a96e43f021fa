"""Identifiers: what each agency calls a person, and what a portal may hold.

A sector identifier is HMAC-SHA-256 under a key of one agency over the internal id, so that two agencies cannot join
what they know (after Austria's bPK; domain research §4.3). An opaque id is AES-SIV (RFC 5297) over the internal one,
bound to the client: deterministic, so that the same thing has the same id, and meaningless anywhere else. Neither can
be turned back without the root key.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

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

_LONGEST = 1024  # a longer opaque id is none of ours


class Ids:
    """All identifiers that follow from one root key of at least 32 bytes."""

    def __init__(self, root: bytes) -> None:
        if len(root) < 32:
            message = "The identifier key must have at least 32 bytes."
            raise ValueError(message)
        self._sector = {agency: _derived(root, f"onestop/sector/1/{agency.name}") for agency in Agency}
        self._siv = AESSIV(_derived(root, "onestop/opaque/1/a") + _derived(root, "onestop/opaque/1/b"))
        self.is_sandbox = hmac.compare_digest(root, SANDBOX_ROOT)

    def sector_id(self, agency: Agency, person: PersonId) -> SectorId:
        """What the agency calls the person: prefix, key version, 128 bits in lower-case base32."""
        digest = hmac.digest(self._sector[agency], person.encode(), "sha256")[:16]
        return SectorId(f"{PREFIX[agency]}1_{base64.b32encode(digest).decode().rstrip('=').lower()}")

    def sector(self, agency: Agency) -> Callable[[PersonId], SectorId]:
        """`sector_id` of one agency."""
        return lambda person: self.sector_id(agency, person)

    def sealed(self, client: str, *parts: str) -> str:
        """The opaque id of what the parts name (kind first), good for this client only."""
        box = self._siv.encrypt("\x1f".join(parts).encode(), [client.encode()])
        return _spelled(box)

    def opened(self, client: str, sealed: str) -> tuple[str, ...] | None:
        """The parts that were sealed for this client; None for anything else, whatever is wrong with it."""
        if len(sealed) > _LONGEST:
            return None
        try:
            box = base64.b64decode(sealed + "=" * (-len(sealed) % 4), altchars=b"-_", validate=True)
            if _spelled(box) != sealed:
                return None  # one id has one spelling
            return tuple(self._siv.decrypt(box, [client.encode()]).decode().split("\x1f"))
        except (InvalidTag, ValueError, binascii.Error):
            return None


def _spelled(box: bytes) -> str:
    return base64.urlsafe_b64encode(box).decode().rstrip("=")


def _derived(root: bytes, label: str) -> bytes:
    return hmac.digest(root, label.encode(), "sha256")
