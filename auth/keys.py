"""The issuer's public keys (RFC 7517), found through its metadata (OpenID Connect Discovery 1.0 §4).

Kept for ten minutes, and for an hour while the issuer does not answer. An unknown key id makes one refresh, at most
every 30 s however many come. Whoever's key is known does not wait for the refresh that another began.
"""

import asyncio
import base64
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key, KeySet

FRESH_S = 600.0
LONGEST_S = 3600.0
BETWEEN_S = 30.0
BETWEEN_EMPTY_S = 1.0
MOST_KEYS = 20
ALGORITHMS = ("ES256", "PS256", "Ed25519")
"""What tokens and proofs may be signed with."""
SHAPES = (("EC", "P-256"), ("RSA", None), ("OKP", "Ed25519"))
"""Kind and curve of the keys that go with them."""
RSA_BITS = range(2048, 4096 + 1)
RSA_EXPONENT = 65537
PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"})

Get = Callable[[str], Awaitable[bytes]]
"""The body at a URL; raises OSError when there is none. Redirects are not followed and the size is bounded."""


class IssuerKeys:
    """The keys of one issuer. Calling it with a key id gives the set that should hold it."""

    def __init__(self, issuer: str, get: Get, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._issuer = issuer
        self._get = get
        self._monotonic_s = monotonic_s
        self._refreshing = asyncio.Lock()
        self._keys = KeySet([])
        self._fetched_s: float | None = None
        self._tried_s: float | None = None

    async def __call__(self, kid: str) -> KeySet:
        """The keys, refreshed when they are old or do not have this id. Empty when they cannot be had."""
        if not self._serves(kid) and not (self._refreshing.locked() and self._has(kid)):
            async with self._refreshing:
                if not self._serves(kid) and self._may_try():
                    await self._refresh()
        return self._keys if self._age() < LONGEST_S else KeySet([])

    async def healthy(self) -> bool:
        """Whether there are keys to check tokens with."""
        return bool((await self("")).keys)

    def _serves(self, kid: str) -> bool:
        return self._has(kid) and self._age() < FRESH_S

    def _has(self, kid: str) -> bool:
        return any(key.kid == kid for key in self._keys.keys) or (kid == "" and bool(self._keys.keys))

    def _age(self) -> float:
        return float("inf") if self._fetched_s is None else self._monotonic_s() - self._fetched_s

    def _may_try(self) -> bool:
        pause = BETWEEN_S if self._keys.keys else BETWEEN_EMPTY_S
        return self._tried_s is None or self._monotonic_s() - self._tried_s >= pause

    async def _refresh(self) -> None:
        self._tried_s = self._monotonic_s()
        try:
            metadata = json.loads(await self._get(f"{self._issuer.rstrip('/')}/.well-known/openid-configuration"))
            if metadata["issuer"] != self._issuer:
                return
            if urlsplit(metadata["jwks_uri"]).scheme != urlsplit(self._issuer).scheme:
                return  # keys that came by plain http could be anybody's
            self._keys = _usable(json.loads(await self._get(metadata["jwks_uri"])))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, JoseError):
            return
        self._fetched_s = self._monotonic_s()


def _usable(published: Any) -> KeySet:
    """Public signing keys with an id, of the kinds that we check with; others are ignored (RFC 7517 §5)."""
    listed = published["keys"]
    if not isinstance(listed, list):
        raise TypeError("keys")
    return KeySet([key for each in listed[:MOST_KEYS] if (key := _key(each)) is not None])


def _key(published: Any) -> Key | None:
    if not isinstance(published, dict) or published.get("use", "sig") != "sig":
        return None
    if not isinstance(published.get("kid"), str):
        return None
    try:
        return public_key({name: value for name, value in published.items() if name not in PRIVATE})
    except ValueError:
        return None


def public_key(jwk: dict[str, Any]) -> Key:
    """The key of a JWK that one of our algorithms checks with; raises ValueError for any other, and a private one."""
    if not PRIVATE.isdisjoint(jwk):
        raise ValueError("a private key")
    is_rsa = jwk.get("kty") == "RSA"
    if (jwk.get("kty"), None if is_rsa else jwk.get("crv")) not in SHAPES:
        raise ValueError("no key of ours")
    if is_rsa and (_number(jwk.get("n")).bit_length() not in RSA_BITS or _number(jwk.get("e")) != RSA_EXPONENT):
        raise ValueError("an RSA key too small, too large or odd")
    try:
        return JWKRegistry.import_key(jwk)
    except (JoseError, ValueError, KeyError, TypeError) as wrong:
        raise ValueError("no key") from wrong


def _number(spelled: object) -> int:
    if not isinstance(spelled, str):
        raise ValueError("no number")  # noqa: TRY004 - the key is bad, not the call
    return int.from_bytes(base64.urlsafe_b64decode(spelled + "=" * (-len(spelled) % 4)))
