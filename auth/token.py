"""Access tokens per RFC 9068, validated strictly over joserfc.

Only ES256, PS256 and Ed25519; `typ` at+jwt; issuer, audience, expiry, issue time, subject, client and token id all
required. A key comes from the issuer's JWKS and from nowhere else: `jwk`, `jku`, `x5u` in a header are refused. A token
bound to a key (`cnf`) is taken with the scheme `DPoP` and a proof only (auth/dpop.py), one that is not with `Bearer`
only, and that in the sandbox only.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import orjson
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.util import urlsafe_b64decode

from auth import dpop
from auth.keys import ALGORITHMS
from auth.viewer import Viewer
from schema.identifiers import PersonId
from schema.viewer import Assurance, Role

ASSURANCE = {
    "urn:onestop:loa:1": Assurance.LOW,
    "urn:onestop:loa:2": Assurance.SUBSTANTIAL,
    "urn:onestop:loa:3": Assurance.HIGH,
}
LEEWAY = timedelta(seconds=10)
AHEAD = timedelta(seconds=60)
_FOREIGN_KEYS = frozenset({"jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256", "crit"})
_LONGEST = 8192
_REMEMBERED = 4096
_SUBJECT = re.compile(r"[a-z2-7]{26}")
_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")


class UnauthenticatedError(Exception):
    """The request has no valid token: 401. `error` is of RFC 6750 §3.1 or RFC 9449 §7.1; None without any token.

    `scheme` is the one that was sent, as far as it is one of ours.
    """

    def __init__(self, description: str, error: str | None = "invalid_token", scheme: str = "") -> None:
        super().__init__(description)
        self.description = description
        self.error = error
        self.scheme = scheme


class ProofUnknownError(Exception):
    """Whether the proof came before cannot be told now: 503."""


Keys = Callable[[str], Awaitable[KeySet]]
"""Key id to the issuer's keys, refreshed when the id is new."""


@dataclass(frozen=True, slots=True)
class TokenCheck:
    """What a token must say here. `bearer_allowed` is the sandbox's; `once` tells a proof that came before."""

    issuer: str
    audience: str
    keys: Keys
    once: dpop.Once
    bearer_allowed: bool
    _verified: dict[bytes, tuple[str, KeySet]] = field(default_factory=dict, init=False, repr=False, compare=False)
    """By the hash of a token, its key's id and the keys that its signature verified with: the oldest go first."""

    async def viewer(self, authorization: str | None, now: datetime, shown: dpop.Shown | None = None) -> Viewer:
        """Who the `Authorization` header speaks for; raises `UnauthenticatedError`, which never quotes the token.

        `shown` is what came beside the token. Raises `ProofUnknownError` when the store of proofs does not answer.
        """
        scheme, token = self._sent(authorization)
        try:
            viewer, thumbprint = await self._bound(scheme, token, now)
            if thumbprint is not None:
                await dpop.check(shown or dpop.Shown(None, "", ""), token, thumbprint, self.once, now)
        except dpop.ProofError as wrong:
            raise UnauthenticatedError(str(wrong), "invalid_dpop_proof", scheme) from wrong
        except OSError as unknown:
            raise ProofUnknownError from unknown
        except UnauthenticatedError as wrong:
            wrong.scheme = scheme
            raise
        return viewer

    async def viewer_still(self, authorization: str | None, now: datetime) -> Viewer:
        """The same later, on a stream that is open: a proof was shown when it began, and is good for once."""
        scheme, token = self._sent(authorization)
        return (await self._bound(scheme, token, now))[0]

    def _sent(self, authorization: str | None) -> tuple[str, str]:
        """Scheme and token of the header."""
        schemes = {"dpop": "DPoP"} | ({"bearer": "Bearer"} if self.bearer_allowed else {})
        if not authorization:
            how = " or ".join(f"{scheme} <token>" for scheme in schemes.values())
            raise UnauthenticatedError(f"Send an access token: Authorization: {how}.", error=None)
        sent, _, token = authorization.partition(" ")
        scheme = schemes.get(sent.lower())
        if scheme is None and sent.lower() == "bearer":
            raise UnauthenticatedError("Bearer tokens are taken in the sandbox only.")
        if scheme is None:
            raise UnauthenticatedError(
                f"The authorization scheme must be {' or '.join(schemes.values())}.", error="invalid_request"
            )
        return scheme, token.strip()

    async def _bound(self, scheme: str, token: str, now: datetime) -> tuple[Viewer, str | None]:
        """The token's viewer, and the thumbprint of the key whose possession has to be proved."""
        claims = await self._claims(token)
        viewer, thumbprint = self._viewer(claims, now), _thumbprint(claims)
        if scheme == "Bearer" and thumbprint is not None:
            raise UnauthenticatedError("This token is bound to a key: send it as DPoP, with a proof.")
        if scheme == "DPoP" and thumbprint is None:
            raise UnauthenticatedError("This token is not bound to a key and may not be sent as DPoP.")
        return viewer, thumbprint

    async def _claims(self, token: str) -> dict[str, Any]:
        """What a genuine token claims. Header and signature are looked at once for the very keys they verified with."""
        if len(token) > _LONGEST:
            raise UnauthenticatedError("The token is too long.")
        digest = sha256(token.encode(errors="surrogatepass")).digest()
        if known := self._verified.get(digest):
            kid, keys = known
            if await self.keys(kid) is keys:
                return _mapping(urlsafe_b64decode(token.split(".")[1].encode()))
        try:
            unverified = jws.extract_compact(token.encode("ascii"))
        except (JoseError, ValueError) as wrong:
            raise UnauthenticatedError("The token is not a signed JWT.") from wrong
        kid = _key_id(unverified.headers())
        keys = await self.keys(kid)
        try:
            genuine = jws.validate_compact(unverified, keys, list(ALGORITHMS))
        except (JoseError, ValueError):
            genuine = False
        if not genuine:
            raise UnauthenticatedError("The token's signature does not verify with the issuer's keys.")
        while len(self._verified) >= _REMEMBERED:
            del self._verified[next(iter(self._verified))]
        self._verified[digest] = kid, keys
        return _mapping(unverified.payload)

    def _viewer(self, claims: dict[str, Any], now: datetime) -> Viewer:
        if claims.get("iss") != self.issuer:
            raise UnauthenticatedError("The token is from another issuer.")
        audience = claims.get("aud")
        if self.audience not in (audience if isinstance(audience, list) else [audience]):
            raise UnauthenticatedError("The token is for another audience.")
        expires, issued = _instant(claims, "exp"), _instant(claims, "iat")
        if expires + LEEWAY <= now:
            raise UnauthenticatedError("The token has expired.")
        if issued > now + AHEAD:
            raise UnauthenticatedError("The token was issued in the future.")
        if "nbf" in claims and _instant(claims, "nbf") > now + LEEWAY:
            raise UnauthenticatedError("The token is not valid yet.")
        signed_in_at = _instant(claims, "auth_time") if "auth_time" in claims else None
        if signed_in_at is not None and signed_in_at > now + AHEAD:
            raise UnauthenticatedError("The token says that the sign-in is yet to come.")
        viewer, on_behalf_of = _parties(claims)
        return Viewer(
            person=viewer,
            client=_text(claims, "client_id"),
            roles=_roles(claims.get("roles")),
            assurance=ASSURANCE.get(str(claims.get("acr")), Assurance.LOW),
            signed_in_at=signed_in_at,
            token_id=_text(claims, "jti"),
            expires_at=expires,
            office=_optional(claims, "office"),
            agency=_optional(claims, "agency"),
            name=_optional(claims, "name"),
            on_behalf_of=on_behalf_of,
            case=_optional(claims, "case"),
            issued_at=issued,
            sender_bound="cnf" in claims,
        )


def _key_id(header: object) -> str:
    """Of a header that is one of ours."""
    if not isinstance(header, dict):
        raise UnauthenticatedError("The token is not a signed JWT.")
    if _FOREIGN_KEYS & header.keys():
        raise UnauthenticatedError(
            "The token's header may not carry a key, a certificate, a URL or critical extensions."
        )
    if str(header.get("typ", "")).lower().removeprefix("application/") != "at+jwt":
        raise UnauthenticatedError("The token's typ must be at+jwt (RFC 9068).")
    if header.get("alg") not in ALGORITHMS:
        raise UnauthenticatedError(f"The token's algorithm must be one of {', '.join(ALGORITHMS)}.")
    kid = header.get("kid")
    if not isinstance(kid, str) or not kid:
        raise UnauthenticatedError("The token must name its key (kid).")
    return kid


def _mapping(payload: bytes | None) -> dict[str, Any]:
    try:
        claims = orjson.loads(payload or b"")
    except ValueError as wrong:
        raise UnauthenticatedError("The token's claims are not JSON.") from wrong
    if not isinstance(claims, dict):
        raise UnauthenticatedError("The token's claims are not an object.")
    return claims


def _thumbprint(claims: dict[str, Any]) -> str | None:
    """Of the key that the token is bound to (RFC 9449 §6.1). Another confirmation we could not check."""
    if "cnf" not in claims:
        return None
    cnf = claims["cnf"]
    if not isinstance(cnf, dict) or cnf.keys() != {"jkt"}:
        raise UnauthenticatedError("The token is bound in a way that is not known here.")
    jkt = cnf["jkt"]
    if not isinstance(jkt, str) or not _THUMBPRINT.fullmatch(jkt):
        raise UnauthenticatedError("The token's cnf.jkt is no thumbprint.")
    return jkt


def _parties(claims: dict[str, Any]) -> tuple[PersonId, PersonId | None]:
    """Who asks, and for whom: with `act` the actor asks on behalf of the token's subject (RFC 8693 §4.1)."""
    subject = _person(claims)
    if "act" not in claims:
        return subject, None
    actor = claims["act"]
    if not isinstance(actor, dict):
        raise UnauthenticatedError("The token's claim act is not an object.")
    return _person(actor), subject


def _person(claims: dict[str, Any]) -> PersonId:
    subject = _text(claims, "sub")
    if not _SUBJECT.fullmatch(subject):
        raise UnauthenticatedError("The token's subject is not one of ours.")
    return PersonId(subject)


def _text(claims: dict[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not value or len(value) > 256:
        raise UnauthenticatedError(f"The token's claim {name} is missing or not a text.")
    return value


def _optional(claims: dict[str, Any], name: str) -> str | None:
    return _text(claims, name) if claims.get(name) is not None else None


def _instant(claims: dict[str, Any], name: str) -> datetime:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**33:
        raise UnauthenticatedError(f"The token's claim {name} is missing or not a time.")
    return datetime.fromtimestamp(value, UTC)


def _roles(value: object) -> frozenset[Role]:
    if not isinstance(value, list) or not value:
        return frozenset({Role.CITIZEN})
    try:
        return frozenset(Role[name] for name in value)
    except (KeyError, TypeError) as wrong:
        raise UnauthenticatedError("The token names a role that is not one of ours.") from wrong
