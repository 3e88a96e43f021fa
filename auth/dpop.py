"""Proofs of possession (DPoP): a token sent with the `DPoP` scheme is good only with a fresh proof by its key.

Source: RFC 9449 §4.3, all twelve checks, numbered below; over joserfc, whose limit of 512 bytes for a header refuses
RSA keys and is raised. We give no nonces (§8), so there is none to compare (check 10). A proof is taken once: what was
taken is kept until it would be too old anyway, in a store that all workers share; when the store does not answer, no
proof is taken.
"""

import base64
import hashlib
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import SplitResult, urlsplit
from uuid import uuid4

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import Key

from auth.keys import ALGORITHMS, public_key

BACK = timedelta(seconds=60)
"""How old a proof may be: a slow line, and a clock that is behind."""
AHEAD = timedelta(seconds=10)
"""How far a sender's clock may be ahead of ours."""
BETWEEN_CLOCKS = timedelta(seconds=60)
"""How much longer a taken proof is kept: our workers' own clocks may differ."""
LONGEST = 8192
LONGEST_JTI = 256
REQUIRED = frozenset({"jti", "htm", "htu", "iat", "ath"})

_REFUSED_IN_HEADER = frozenset({"jku", "x5u", "x5c", "x5t", "x5t#S256", "crit", "b64"})
_URL = re.compile(r"[!-~]{1,2048}")
_PORTS = {"http": 80, "https": 443}
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")

Once = Callable[[str, datetime, datetime], Awaitable[bool]]
"""Key of a proof, until when it is kept, and now: whether it came for the first time. OSError: nobody knows."""


class ProofError(Exception):
    """The proof is none, or not one for this request. Never quotes it."""


class _Registry(jws.JWSRegistry):
    max_header_length = 2048


# Unknown header members are ignored, as RFC 7515 §4 wants it; those that could change the meaning are refused above.
_REGISTRY = _Registry(algorithms=ALGORITHMS, strict_check_header=False)


@dataclass(frozen=True, slots=True)
class Shown:
    """The `DPoP` header and the request that it has to be about; `url` without query."""

    proof: str | None
    method: str
    url: str


async def check(shown: Shown, token: str, thumbprint: str, once: Once, now: datetime) -> None:
    """Raise `ProofError` unless the sender of this token shows now that they hold the key with this thumbprint.

    OSError when it cannot be told whether the proof came before.
    """
    if not shown.proof:
        raise ProofError("Send one DPoP proof with the token.")  # check 1; several are refused where headers are read
    key, claims = _verified(shown.proof)
    if not claims.keys() >= REQUIRED:
        raise ProofError("The proof must have jti, htm, htu, iat and ath.")  # check 3
    if claims["htm"] != shown.method:
        raise ProofError("The proof is for another method.")  # check 8
    if _target(claims["htu"]) != _target(shown.url):
        raise ProofError("The proof is for another URL.")  # check 9
    issued = _instant(claims["iat"])
    if not now - BACK <= issued <= now + AHEAD:
        raise ProofError("The proof is too old, or from a clock that is ahead.")  # check 11
    if claims["ath"] != _spelled(hashlib.sha256(token.encode()).digest()):
        raise ProofError("The proof is for another token.")  # check 12a
    if key.thumbprint() != thumbprint:
        raise ProofError("The proof is by another key than the token's.")  # check 12b
    jti = claims["jti"]
    if not isinstance(jti, str) or not jti or len(jti) > LONGEST_JTI:
        raise ProofError(f"The proof's jti must be a text of at most {LONGEST_JTI} characters.")
    one = hashlib.sha256(json.dumps([thumbprint, jti, _target(shown.url)]).encode()).hexdigest()
    if not await once(one, issued + BACK + BETWEEN_CLOCKS, now):
        raise ProofError("The proof came before. Make a new one for each request.")  # §11.1


def made(key: Key, token: str, method: str, url: str, now: datetime) -> str:
    """A proof by a private key for one request with this token (RFC 9449 §4.2)."""
    public = key.as_dict(private=False)
    curve = {"P-256": "ES256", "Ed25519": "Ed25519"}
    header = {
        "alg": curve.get(str(public.get("crv")), "PS256"),
        "typ": "dpop+jwt",
        "jwk": {name: public[name] for name in ("kty", "crv", "x", "y", "n", "e") if name in public},
    }
    claims = {
        "jti": uuid4().hex,
        "htm": method,
        "htu": url,
        "iat": int(now.timestamp()),
        "ath": _spelled(hashlib.sha256(token.encode()).digest()),
    }
    return jwt.encode(header, claims, key, registry=_REGISTRY)


def _verified(proof: str) -> tuple[Key, dict[str, Any]]:
    """The key in the header and what it signed."""
    if len(proof) > LONGEST:
        raise ProofError("The proof is too long.")
    try:
        unverified = jws.extract_compact(proof.encode("ascii"), registry=_REGISTRY)
        header = unverified.headers()
    except (JoseError, ValueError, RecursionError) as wrong:
        raise ProofError("The proof is not a signed JWT.") from wrong  # check 2
    jwk = _jwk(header)
    try:
        key = public_key(jwk)  # check 7: a private one is none
        genuine = jws.validate_compact(unverified, key, registry=_REGISTRY)
    except (JoseError, ValueError, TypeError) as wrong:
        raise ProofError("The proof's key must be public and go with its algorithm.") from wrong
    if not genuine:
        raise ProofError("The proof's signature does not verify with its key.")  # check 6
    try:
        claims = json.loads(unverified.payload or b"")
    except (ValueError, RecursionError) as wrong:
        raise ProofError("The proof's claims are not JSON.") from wrong
    if not isinstance(claims, dict):
        raise ProofError("The proof's claims are not an object.")
    return key, claims


def _jwk(header: object) -> dict[str, Any]:
    """The key that the header shows."""
    if not isinstance(header, dict):
        raise ProofError("The proof is not a signed JWT.")
    if _REFUSED_IN_HEADER & header.keys():
        raise ProofError("The proof's header may not carry a URL, a certificate or critical extensions.")
    if str(header.get("typ", "")).lower().removeprefix("application/") != "dpop+jwt":
        raise ProofError("The proof's typ must be dpop+jwt.")  # check 4
    if header.get("alg") not in ALGORITHMS:
        raise ProofError(f"The proof's algorithm must be one of {', '.join(ALGORITHMS)}.")  # check 5
    jwk = header.get("jwk")
    if not isinstance(jwk, dict):
        raise ProofError("The proof must carry its public key (jwk).")
    return jwk


def _target(url: object) -> str:
    """A URL without query and fragment, in its one spelling (RFC 3986 §6.2.2 and §6.2.3)."""
    if not isinstance(url, str) or not _URL.fullmatch(url):
        raise ProofError("The proof's htu must be a URL.")
    try:
        parts = urlsplit(url)
        host, port = _unescaped(_host(parts)).lower(), parts.port
    except ValueError as wrong:
        raise ProofError("The proof's htu must be a URL.") from wrong
    if parts.scheme not in _PORTS or not host or "@" in parts.netloc:
        raise ProofError("The proof's htu must be a web URL.")
    shown_port = "" if port in {None, _PORTS[parts.scheme]} else f":{port}"
    return f"{parts.scheme}://{host}{shown_port}{_without_dots(_unescaped(parts.path)) or '/'}"


def _host(parts: SplitResult) -> str:
    name = parts.hostname or ""
    return f"[{name}]" if ":" in name else name


def _unescaped(text: str) -> str:
    """Escapes of unreserved characters undone, the others in capitals."""

    def one(escape: re.Match[str]) -> str:
        character = chr(int(escape[1], 16))
        return character if _UNRESERVED.fullmatch(character) else escape[0].upper()

    return _ESCAPE.sub(one, text)


def _without_dots(path: str) -> str:
    """The path with `.` and `..` taken out (RFC 3986 §5.2.4)."""
    kept: list[str] = []
    segments = path.split("/")
    for segment in segments[1:]:
        if segment == "..":
            kept = kept[:-1]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in {".", ".."}:
        kept.append("")
    return "".join(f"/{segment}" for segment in kept)


def _instant(value: object) -> datetime:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**33:
        raise ProofError("The proof's iat must be a time.")
    return datetime.fromtimestamp(value, UTC)


def _spelled(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
