"""Keys of the access log: a log stolen alone says nothing.

One master key is handed in. It wraps (AES-256-GCM) what the store keeps: a random salt per year, from which the
year's reference key is derived (HKDF-SHA-256, RFC 5869), and a random body key per person and year. Destroying a salt
unlinks a year, destroying a body key makes one person's year unreadable, and neither touches any other entry. The log's
epoch is bound into every wrapping: a key row moved in from another log, or an epoch that was changed, does not open.
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
NONCE_BYTES = 12
NOBODY = b""
"""Stands for the person in entries without one: they share one body key a year."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The master key (32 bytes) reads and refers, the signing key promises."""

    master: bytes = field(repr=False)
    signing: Ed25519PrivateKey = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.master) != KEY_BYTES:
            raise ValueError(f"the master key of the access log has {len(self.master)} bytes, not {KEY_BYTES}")


class References:
    """Keyed names of one year: equal within the year, unrelated between years and between kinds."""

    def __init__(self, key: bytes) -> None:
        self._begun = HMAC(key, SHA256())

    def of(self, kind: str, name: str) -> bytes:
        (found,) = self.each(kind, (name,))
        return found

    def each(self, kind: str, names: Iterable[str]) -> list[bytes]:
        """In the order of the names."""
        begun, found = self._begun.copy, []
        for name in names:
            keyed = begun()  # a third of what beginning anew takes
            keyed.update(f"{kind}\0{name}".encode())
            found.append(keyed.finalize())
        return found


class Vault:
    """Opens and closes the wrapped keys of one log."""

    def __init__(self, master: bytes, epoch: str) -> None:
        self._master = master
        self.epoch = epoch
        self._epoch = epoch.encode()
        self._wrapping = AESGCM(_derived(master, salt=None, info=b"onestop/access/wrap/1"))
        self._names = References(_derived(master, salt=epoch.encode(), info=b"onestop/access/names/1"))

    def wrapped(self, secret: bytes, year: int, subject_ref: bytes | None) -> bytes:
        """A secret as the store keeps it. `subject_ref` is None for the salt of a year."""
        return sealed(self._wrapping, secret, self._name(year, subject_ref))

    def unwrapped(self, wrapped: bytes, year: int, subject_ref: bytes | None) -> bytes:
        """Raise cryptography's InvalidTag when the row was changed or belongs to another log, year or person."""
        return opened(self._wrapping, wrapped, self._name(year, subject_ref))

    def reference(self, kind: str, name: str) -> bytes:
        """A keyed name that holds for all years: of what is no person's."""
        return self._names.of(kind, name)

    def references(self, salt: bytes) -> References:
        return References(_derived(self._master, salt=salt, info=b"onestop/access/reference/1"))

    def _name(self, year: int, subject_ref: bytes | None) -> bytes:
        whose = b"salt" if subject_ref is None else b"body:" + subject_ref
        return b"%b|%b|%b" % (self._epoch, str(year).encode(), whose)


def key_check(master: bytes) -> str:
    """What a master key is known by in the log, so that another log's key is told from a changed log."""
    return _derived(master, salt=None, info=b"onestop/access/key-check/1").hex()


def sealed(cipher: AESGCM, plain: bytes, name: bytes, nonce: bytes | None = None) -> bytes:
    """Nonce and ciphertext, bound to a name that is not stored with them. A nonce that is given is random and new."""
    nonce = nonce or secrets.token_bytes(NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, plain, name)


def opened(cipher: AESGCM, stored: bytes, name: bytes) -> bytes:
    return cipher.decrypt(stored[:NONCE_BYTES], stored[NONCE_BYTES:], name)


def _derived(master: bytes, salt: bytes | None, info: bytes) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, salt, info).derive(master)
