"""Signing somebody in at the issuer: the client's side of the code flow, with PKCE and a key of our own.

Sources: OpenID Connect Core §3.1 (code flow, ID token), RFC 7636 (S256), RFC 7523 (private_key_jwt), RFC 8707
(`resource`), RFC 9207 (`iss`), RFC 9449 §5 (tokens bound to a key), RFC 9470 (`acr_values`, `max_age`), RFC 9700 (what
a client must compare).
"""

import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
import msgspec
import orjson
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from auth.keys import Get, public_key
from auth.token import AHEAD, ASSURANCE, LEEWAY, Keys
from schema.viewer import Assurance
from serving.possession import new_key, proof, spelled

METADATA_FRESH: Final = timedelta(minutes=10)
LARGEST_ANSWER: Final = 64 * 1024
ACR: Final = {assurance: acr for acr, assurance in ASSURANCE.items()}
ALGORITHMS: Final = ("ES256", "PS256")
"""Of ID tokens. Both hash with SHA-256, which `at_hash` follows."""

ClientKey = ECKey | RSAKey
"""Signs with ES256 or PS256."""

_ORDER: Final = tuple(ASSURANCE.values())
_KINDS: Final[Mapping[str, type[ClientKey]]] = {"EC": ECKey, "RSA": RSAKey}
_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

Post = Callable[[str, Mapping[str, str], str], Awaitable[tuple[int, bytes, str | None]]]
"""For a URL, a form and a DPoP proof: status, body and `DPoP-Nonce`; raises OSError when there is none.

Redirects are not followed and the size is bounded.
"""


class SignInError(Exception):
    """Nobody is signed in. The text is for whoever looks into it, and quotes nothing that was sent."""

    code = "SIGN_IN_FAILED"


class IssuerUnavailableError(SignInError):
    """The issuer does not answer as one."""

    code = "ISSUER_UNAVAILABLE"


class DeniedError(SignInError):
    """The person went back without signing in."""

    code = "DENIED"


class Attempt(msgspec.Struct, frozen=True):
    """What a browser keeps, sealed, while somebody signs in: what the answer has to fit, and where to go then."""

    back: str
    until: datetime
    assurance: Assurance | None = None
    max_age_s: int | None = None
    state: str = msgspec.field(default_factory=lambda: secrets.token_urlsafe(32))
    nonce: str = msgspec.field(default_factory=lambda: secrets.token_urlsafe(32))
    verifier: str = msgspec.field(default_factory=lambda: secrets.token_urlsafe(48))


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who signed in, and the access token to ask with until then, with the key that it is bound to."""

    access_token: str = field(repr=False)
    key: ECKey = field(repr=False)
    until: datetime
    assurance: Assurance
    name: str | None


class RelyingParty:
    """This program as a client of the issuer."""

    def __init__(
        self,
        *,
        issuer: str,
        audience: str,
        client_id: str,
        key: ClientKey,
        redirect_uri: str,
        keys: Keys,
        get: Get,
        post: Post,
        clock: Callable[[], datetime],
    ) -> None:
        self._issuer = issuer
        self._audience = audience
        self._client_id = client_id
        self._key = key
        self._redirect_uri = redirect_uri
        self._keys = keys
        self._get = get
        self._post = post
        self._clock = clock
        self._metadata: tuple[datetime, Mapping[str, Any]] | None = None

    async def address(self, attempt: Attempt, ui_locales: str | None = None) -> str:
        """Where the browser is sent to."""
        asked = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": self._redirect_uri,
            "scope": "openid profile",
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": spelled(hashlib.sha256(attempt.verifier.encode()).digest()),
            "code_challenge_method": "S256",
            "resource": self._audience,
        }
        if attempt.assurance is not None:
            asked["acr_values"] = ACR[attempt.assurance]
        if attempt.max_age_s is not None:
            asked["max_age"] = str(attempt.max_age_s)
        if ui_locales:
            asked["ui_locales"] = ui_locales
        endpoint = (await self._described())["authorization_endpoint"]
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(asked)}"

    async def signed_in(self, attempt: Attempt, said: Mapping[str, str]) -> SignedIn:
        """Who the answer says has signed in. An answer that does not fit the attempt raises `SignInError`."""
        metadata = await self._described()
        if not hmac.compare_digest(said.get("state", "").encode(), attempt.state.encode()):
            raise SignInError("The answer belongs to another attempt.")
        expects_issuer = metadata.get("authorization_response_iss_parameter_supported") is True
        if said.get("iss", None if expects_issuer else self._issuer) != self._issuer:
            raise SignInError("The answer is another issuer's.")
        if said.get("error") == "access_denied":
            raise DeniedError("The person went back.")
        if "error" in said or "code" not in said:
            raise SignInError("The issuer refused.")
        key = new_key()
        told = await self._redeemed(metadata["token_endpoint"], said["code"], attempt.verifier, key)
        access_token, lasts_s = told.get("access_token"), told.get("expires_in")
        if not isinstance(access_token, str) or not isinstance(lasts_s, int) or isinstance(lasts_s, bool):
            raise SignInError("The issuer gave no access token, or one without an end.")
        if str(told.get("token_type")).lower() != "dpop":
            raise SignInError("The issuer gave a token that is not bound to our key.")
        claims = await self._identity(told.get("id_token"))
        assurance = self._checked(claims, attempt, access_token)
        name = claims.get("name")
        until = self._clock() + timedelta(seconds=lasts_s)
        return SignedIn(access_token, key, until, assurance, name if isinstance(name, str) else None)

    async def _described(self) -> Mapping[str, Any]:
        now = self._clock()
        if self._metadata is None or self._metadata[0] + METADATA_FRESH <= now:
            try:
                found = orjson.loads(await self._get(f"{self._issuer.rstrip('/')}/.well-known/openid-configuration"))
                named = [found[name] for name in ("issuer", "authorization_endpoint", "token_endpoint")]
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise IssuerUnavailableError("The issuer's metadata cannot be had.") from error
            if named[0] != self._issuer or not all(isinstance(each, str) for each in named):
                raise IssuerUnavailableError("The metadata is another issuer's.")
            self._metadata = now, found
        return self._metadata[1]

    async def _redeemed(self, endpoint: str, code: str, verifier: str, key: ECKey) -> Mapping[str, Any]:
        """What the issuer gives for the code. One that wants a nonce in the proof says so once (RFC 9449 §8)."""
        status, told, nonce = await self._asked(endpoint, code, verifier, proof(key, "POST", endpoint, self._clock()))
        if status == 400 and told.get("error") == "use_dpop_nonce" and nonce:
            again = proof(key, "POST", endpoint, self._clock(), nonce=nonce)
            status, told, _ = await self._asked(endpoint, code, verifier, again)
        if status != 200:
            raise SignInError("The issuer did not take the code.")
        return told

    async def _asked(
        self, endpoint: str, code: str, verifier: str, shown: str
    ) -> tuple[int, Mapping[str, Any], str | None]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_uri,
            "code_verifier": verifier,
            "resource": self._audience,
            "client_assertion_type": _ASSERTION,
            "client_assertion": self._assertion(),
        }
        try:
            status, body, nonce = await self._post(endpoint, form, shown)
        except OSError as error:
            raise IssuerUnavailableError("The issuer gives no tokens now.") from error
        try:
            told = orjson.loads(body)
        except ValueError as error:
            raise SignInError("The issuer's answer is no JSON.") from error
        if not isinstance(told, dict):
            raise SignInError("The issuer's answer is no object.")
        return status, told, nonce

    def _assertion(self) -> str:
        now = int(self._clock().timestamp())
        claims = {
            "iss": self._client_id,
            "sub": self._client_id,
            "aud": self._issuer,
            "iat": now,
            "exp": now + 60,
            "jti": secrets.token_urlsafe(16),
        }
        algorithm = "ES256" if isinstance(self._key, ECKey) else "PS256"
        header = {"alg": algorithm, "kid": self._key.kid or self._key.thumbprint()}
        return jwt.encode(header, claims, self._key, algorithms=[algorithm])

    async def _identity(self, token: Any) -> dict[str, Any]:
        """The ID token's claims, if the issuer signed them."""
        if not isinstance(token, str):
            raise SignInError("The issuer did not say who signed in.")
        try:
            header = jws.extract_compact(token.encode("ascii")).headers()
            if str(header.get("typ", "JWT")).upper() != "JWT":
                raise SignInError("The ID token is of another kind.")
            keys = await self._keys(str(header.get("kid", "")))
            return jwt.decode(token, keys, algorithms=list(ALGORITHMS)).claims
        except (JoseError, ValueError) as error:
            raise SignInError("The ID token is not the issuer's.") from error

    def _checked(self, claims: Mapping[str, Any], attempt: Attempt, access_token: str) -> Assurance:
        """How surely the person is who they are, if the ID token fits the attempt (OpenID Connect Core §3.1.3.7)."""
        now = self._clock().timestamp()
        if claims.get("iss") != self._issuer or claims.get("aud") not in (self._client_id, [self._client_id]):
            raise SignInError("The ID token is from or for somebody else.")
        if not hmac.compare_digest(str(claims.get("nonce")).encode(), attempt.nonce.encode()):
            raise SignInError("The ID token belongs to another attempt.")
        if not isinstance(claims.get("sub"), str):
            raise SignInError("The ID token names nobody.")
        if _time(claims, "exp") + LEEWAY.total_seconds() <= now or _time(claims, "iat") > now + AHEAD.total_seconds():
            raise SignInError("The ID token is not of this time.")
        half = spelled(hashlib.sha256(access_token.encode()).digest()[:16])
        if claims.get("at_hash", half) != half:
            raise SignInError("The ID token belongs to another access token.")
        oldest = None if attempt.max_age_s is None else now - attempt.max_age_s - LEEWAY.total_seconds()
        if oldest is not None and _time(claims, "auth_time") < oldest:
            raise SignInError("The sign-in is older than asked for.")
        assurance = ASSURANCE.get(str(claims.get("acr")), Assurance.LOW)
        if attempt.assurance is not None and _ORDER.index(assurance) < _ORDER.index(attempt.assurance):
            raise SignInError("The sign-in is less sure than asked for.")
        return assurance


def posting(http: aiohttp.ClientSession) -> Post:
    """Forms sent over `http`."""

    async def post(url: str, form: Mapping[str, str], shown: str) -> tuple[int, bytes, str | None]:
        try:
            async with http.post(url, data=form, headers={"DPoP": shown}, allow_redirects=False) as reply:
                body = await reply.content.read(LARGEST_ANSWER + 1)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise OSError(type(error).__name__) from error
        if len(body) > LARGEST_ANSWER:
            raise OSError("too large")
        return reply.status, body, reply.headers.get("DPoP-Nonce")

    return post


def client_key(file: Path) -> ClientKey:
    """The private key, as JWK or PEM, that we prove ourselves with; raises ValueError for any other file.

    Its id is the JWK's own `kid`, else its thumbprint.
    """
    wanted = f"{file}: give a private key as JWK or PEM, P-256 or RSA of 2048 to 4096 bits"
    try:
        text = file.read_text("ascii")
        jwk = orjson.loads(text) if text.lstrip().startswith("{") else None
        key: ClientKey = _KINDS[jwk["kty"] if jwk else _kind(text)].import_key(jwk or text)
        public_key(key.as_dict(private=False))  # of a kind and size that is taken
    except (JoseError, OSError, ValueError, KeyError, TypeError) as wrong:
        raise ValueError(wanted) from wrong
    if not key.is_private:
        raise ValueError(wanted)
    return key


def _kind(pem: str) -> str:
    return "RSA" if isinstance(load_pem_private_key(pem.encode(), password=None), RSAPrivateKey) else "EC"


def _time(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SignInError("The ID token lacks a time.")
    return value
