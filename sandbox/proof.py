"""Proofs of possession for the sandbox's tokens (RFC 9449 §4), as a portal makes them and as the sign-in takes them."""

import base64
import hashlib
from datetime import datetime, timedelta
from typing import Final
from uuid import uuid4

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

ALGORITHMS: Final = ("ES256",)
LASTS: Final = timedelta(seconds=60)
AHEAD: Final = timedelta(seconds=10)


class _Registry(jws.JWSRegistry):
    max_header_length = 2048  # the key is in the header


_REGISTRY: Final = _Registry(algorithms=list(ALGORITHMS))


class ProofError(ValueError):
    """The proof is none, or not one for this request."""


class Proofs:
    """Which proofs came, so that none is good twice. Kept in memory, for as long as one is good."""

    def __init__(self) -> None:
        self._taken: dict[tuple[str, str], datetime] = {}

    def thumbprint(self, proof: str, *, method: str, url: str, now: datetime, token: str | None = None) -> str:
        """Of the key that was proved for this request, and for `token` if there is one; raises `ProofError`."""
        try:
            header = jws.extract_compact(proof.encode("ascii"), registry=_REGISTRY).headers()
            if header.get("typ") != "dpop+jwt" or header.get("alg") not in ALGORITHMS or "d" in header["jwk"]:
                raise ProofError("The proof is of another kind.")
            key = ECKey.import_key(header["jwk"])
            claims = jwt.decode(proof, key, registry=_REGISTRY).claims
            issued = datetime.fromtimestamp(claims["iat"], now.tzinfo)
            jti, asked = str(claims["jti"]), (claims["htm"], claims["htu"])
        except (JoseError, ValueError, KeyError, TypeError, AttributeError, OverflowError, OSError) as wrong:
            raise ProofError("The proof does not hold.") from wrong
        if asked != (method, url) or not now - LASTS <= issued <= now + AHEAD:
            raise ProofError("The proof is for another request or time.")
        if token is not None and claims.get("ath") != _hashed(token):
            raise ProofError("The proof is for another token.")
        self._taken = {each: until for each, until in self._taken.items() if until >= now}
        one = (thumbprint := key.thumbprint(), jti)
        if one in self._taken:
            raise ProofError("The proof came before.")
        self._taken[one] = issued + LASTS
        return thumbprint


def proof(key: ECKey, *, method: str, url: str, token: str, now: datetime) -> str:
    """A proof for one request with this token."""
    claims = {
        "jti": uuid4().hex,
        "htm": method,
        "htu": url.partition("?")[0].partition("#")[0],
        "iat": int(now.timestamp()),
        "ath": _hashed(token),
    }
    public = {name: value for name, value in key.as_dict(private=False).items() if name in {"kty", "crv", "x", "y"}}
    header = {"alg": "ES256", "typ": "dpop+jwt", "jwk": public}
    return jwt.encode(header, claims, key, registry=_REGISTRY)


def _hashed(token: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).decode().rstrip("=")
