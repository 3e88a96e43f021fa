"""Proofs of possession for the sandbox's tokens (RFC 9449 §4.2), as a portal would make them."""

import base64
import hashlib
from datetime import datetime
from uuid import uuid4

from joserfc import jws, jwt
from joserfc.jwk import ECKey


class _Registry(jws.JWSRegistry):
    max_header_length = 2048  # the key is in the header


def proof(key: ECKey, *, method: str, url: str, token: str, now: datetime) -> str:
    """A proof for one request with this token."""
    digest = hashlib.sha256(token.encode()).digest()
    claims = {
        "jti": uuid4().hex,
        "htm": method,
        "htu": url.partition("?")[0].partition("#")[0],
        "iat": int(now.timestamp()),
        "ath": base64.urlsafe_b64encode(digest).decode().rstrip("="),
    }
    public = {name: value for name, value in key.as_dict(private=False).items() if name in {"kty", "crv", "x", "y"}}
    header = {"alg": "ES256", "typ": "dpop+jwt", "jwk": public}
    return jwt.encode(header, claims, key, registry=_Registry(algorithms=["ES256"]))
