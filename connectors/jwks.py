"""Public keys of one agency: the JSON Web Key Set (RFC 7517) behind the signatures on its answers.

ES256 only. A set is kept for an hour; an unknown key id makes one refresh, at most every 30 s, so that forged
ids do not become a flood of requests to the agency.
"""

import asyncio
import time
from collections.abc import Callable, Mapping

import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from connectors.transport import Transport, Unavailable, Unreadable

LONGEST_KEPT_S = 3600.0
SHORTEST_BETWEEN_S = 30.0
LARGEST_SET = 64 * 1024
MOST_KEYS = 20


class _WireKey(msgspec.Struct):
    kty: str
    kid: str | None = None
    crv: str | None = None
    x: str | None = None
    y: str | None = None
    use: str | None = None
    alg: str | None = None


class _WireKeys(msgspec.Struct):
    keys: list[_WireKey]


class Jwks:
    """The keys at one path of one agency.

    Keys concern nobody, but an agency wants a purpose with every request: any known one will do (docs/wire/).
    """

    def __init__(
        self,
        transport: Transport,
        path: str = "/v1/jwks.json",
        *,
        purpose: str = "ESTATE_DISCOVERY",
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Ask for nothing yet."""
        self._transport = transport
        self._path = path
        self._purpose = purpose
        self._monotonic_s = monotonic_s
        self._refreshing = asyncio.Lock()
        self._keys: Mapping[str, ECKey] = {}
        self._fetched_s: float | None = None

    async def key(self, kid: str, *, deadline: float | None = None) -> ECKey:
        """Give the key of that id; `Unreadable` where the agency has none, `Unavailable` where they cannot be had."""
        if (known := self._known(kid)) is not None:
            return known
        async with self._refreshing:
            if (known := self._known(kid)) is not None:  # somebody else asked while we waited
                return known
            if self._fetched_s is None or self._age_s() >= SHORTEST_BETWEEN_S:
                self._keys = await self._fetched(deadline)
                self._fetched_s = self._monotonic_s()
        if (known := self._known(kid)) is None:
            raise Unreadable("UNKNOWN_KEY")
        return known

    def _age_s(self) -> float:
        return float("inf") if self._fetched_s is None else self._monotonic_s() - self._fetched_s

    def _known(self, kid: str) -> ECKey | None:
        return self._keys.get(kid) if self._age_s() < LONGEST_KEPT_S else None

    async def _fetched(self, deadline: float | None) -> dict[str, ECKey]:
        reply = await self._transport.request("GET", self._path, purpose=self._purpose, deadline=deadline)
        if reply.status != 200 or reply.content_type not in ("application/json", "application/jwk-set+json"):
            raise Unavailable("KEYS_UNAVAILABLE", reply.retry_after_s)
        return keys(reply.body)


def keys(body: bytes) -> dict[str, ECKey]:
    """Usable keys of a key set by id. Keys of another kind or use are passed over; anything odd is `Unreadable`."""
    if len(body) > LARGEST_SET:
        raise Unreadable("KEYS_UNREADABLE")
    try:
        wire = msgspec.json.decode(body, type=_WireKeys).keys
    except msgspec.DecodeError as error:
        raise Unreadable("KEYS_UNREADABLE") from error
    if len(wire) > MOST_KEYS:
        raise Unreadable("KEYS_UNREADABLE")
    usable: dict[str, ECKey] = {}
    for key in wire:
        if (key.kty, key.crv) != ("EC", "P-256") or key.use not in (None, "sig") or key.alg not in (None, "ES256"):
            continue
        if not key.kid or key.kid in usable or key.x is None or key.y is None:
            raise Unreadable("KEYS_UNREADABLE")
        try:
            usable[key.kid] = ECKey.import_key({"kty": "EC", "crv": "P-256", "x": key.x, "y": key.y})
        except (JoseError, ValueError) as error:
            raise Unreadable("KEYS_UNREADABLE") from error
    return usable
