"""Access tokens per RFC 9068, validated strictly over joserfc.

Only ES256, PS256 and Ed25519; `typ` at+jwt; issuer, audience, expiry, issue time, subject, client and token id all
required. A key comes from the issuer's JWKS and from nowhere else: `jwk`, `jku`, `x5u` in a header are refused. Until
senders prove possession (RFC 9449, next stretch), a token bound to a key is refused when it comes as `Bearer`, and
`Bearer` is taken in the sandbox only.
"""

import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from auth.viewer import Viewer
from schema.identifiers import PersonId
from schema.viewer import Assurance, Role

ALGORITHMS = ("ES256", "PS256", "Ed25519")
ASSURANCE = {
    "urn:onestop:loa:1": Assurance.LOW,
    "urn:onestop:loa:2": Assurance.SUBSTANTIAL,
    "urn:onestop:loa:3": Assurance.HIGH,
}
LEEWAY = timedelta(seconds=10)
AHEAD = timedelta(seconds=60)
_FOREIGN_KEYS = frozenset({"jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256", "crit"})
_LONGEST = 8192
_SUBJECT = re.compile(r"[a-z2-7]{26}")


class UnauthenticatedError(Exception):
    """The request has no valid token: 401. `error` is of RFC 6750 §3.1; None when there was no token at all."""

    def __init__(self, description: str, error: str | None = "invalid_token") -> None:
        super().__init__(description)
        self.description = description
        self.error = error


Keys = Callable[[str], Awaitable[KeySet]]
"""Key id to the issuer's keys, refreshed when the id is new."""


@dataclass(frozen=True, slots=True)
class TokenCheck:
    """What a token must say here. `bearer_allowed` is the sandbox's."""

    issuer: str
    audience: str
    keys: Keys
    bearer_allowed: bool

    async def viewer(self, authorization: str | None, now: datetime) -> Viewer:
        """Who the `Authorization` header speaks for; raises `UnauthenticatedError`, which never quotes the token."""
        if not authorization:
            raise UnauthenticatedError("Send an access token: Authorization: Bearer <token>.", error=None)
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise UnauthenticatedError("The authorization scheme must be Bearer.", error="invalid_request")
        if not self.bearer_allowed:
            raise UnauthenticatedError("Bearer tokens are taken in the sandbox only.")
        return self._viewer(await self._claims(token.strip()), now)

    async def _claims(self, token: str) -> dict[str, Any]:
        if len(token) > _LONGEST:
            raise UnauthenticatedError("The token is too long.")
        try:
            unverified = jws.extract_compact(token.encode("ascii"))
        except (JoseError, ValueError) as wrong:
            raise UnauthenticatedError("The token is not a signed JWT.") from wrong
        header = unverified.headers()
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
        try:
            genuine = jws.validate_compact(unverified, await self.keys(kid), list(ALGORITHMS))
        except (JoseError, ValueError):
            genuine = False
        if not genuine:
            raise UnauthenticatedError("The token's signature does not verify with the issuer's keys.")
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
        if "cnf" in claims:
            raise UnauthenticatedError("This token is bound to a key and may not be sent as Bearer.")
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
        )


def _mapping(payload: bytes | None) -> dict[str, Any]:
    try:
        claims = json.loads(payload or b"")
    except (ValueError, RecursionError) as wrong:
        raise UnauthenticatedError("The token's claims are not JSON.") from wrong
    if not isinstance(claims, dict):
        raise UnauthenticatedError("The token's claims are not an object.")
    return claims


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
