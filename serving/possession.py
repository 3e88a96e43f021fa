"""The key of one session: its tokens are bound to it, and each request with them carries a proof of it.

Source: RFC 9449 §4.2 (what a proof says), §8 (a nonce that the other side gave).
"""

import base64
import hashlib
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from joserfc import jws, jwt
from joserfc.jwk import ECKey


class _Registry(jws.JWSRegistry):
    max_header_length = 2048  # the key is in the header


_REGISTRY = _Registry(algorithms=["ES256"])


def new_key() -> ECKey:
    """One for a session that begins."""
    return ECKey.generate_key("P-256")


def proof(
    key: ECKey, method: str, url: str, now: datetime, *, token: str | None = None, nonce: str | None = None
) -> str:
    """Good for one request to this URL (without query), with this token if there is one already."""
    public: Mapping[str, Any] = key.as_dict(private=False)
    claims: dict[str, Any] = {
        "jti": secrets.token_urlsafe(16),
        "htm": method,
        "htu": url,
        "iat": int(now.timestamp()),
    }
    if token is not None:
        claims["ath"] = spelled(hashlib.sha256(token.encode()).digest())
    if nonce is not None:
        claims["nonce"] = nonce
    header = {"alg": "ES256", "typ": "dpop+jwt", "jwk": {name: public[name] for name in ("kty", "crv", "x", "y")}}
    return jwt.encode(header, claims, key, registry=_REGISTRY)


def spelled(digest: bytes) -> str:
    """A hash as tokens have it."""
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
