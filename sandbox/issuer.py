"""The sandbox's sign-in, its first stretch: signing keys, metadata and access tokens for personas.

Sources: RFC 9068 (access tokens), RFC 7638 (thumbprint as `kid`), RFC 8414 and OpenID Connect Discovery (metadata),
docs: contract of the outside, "Tokens".
"""

import json
import os
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from joserfc import jwt
from joserfc.jwk import ECKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from sandbox.personas import PersonaRecord


def signing_key(file: Path) -> ECKey:
    """Key in this file; made at the first start, readable by its owner only, whole or not there at all."""
    if not file.exists():
        key = ECKey.generate_key("P-256", auto_kid=True)
        draft = file.with_name(f"{file.name}.{uuid4().hex}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            json.dump(key.as_dict(private=True), out)
        try:
            os.link(draft, file)
        except FileExistsError:
            pass  # another process was first
        finally:
            draft.unlink()
    return ECKey.import_key(json.loads(file.read_text()))


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who signs the sandbox's access tokens."""

    issuer_url: str
    key_file: Path
    _key: ECKey = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Read the key, or make it."""
        object.__setattr__(self, "_key", signing_key(self.key_file))

    def token(
        self,
        persona: PersonaRecord,
        *,
        audience: str,
        client_id: str,
        acr: Literal[1, 2, 3],
        ttl: timedelta,
        now: datetime,
        case: str | None = None,
        auth_time: datetime | None = None,
        jkt: str | None = None,
    ) -> str:
        """Access token of a persona who signed in at `auth_time` (now) with the assurance `acr`; `case` narrows it.

        `jkt` is the thumbprint of the key that it is bound to (RFC 9449 §6.1).
        """
        claims: dict[str, Any] = {
            "iss": self.issuer_url,
            "sub": persona.subject,
            "aud": audience,
            "iat": int(now.timestamp()),
            "exp": int((now + ttl).timestamp()),
            "jti": uuid4().hex,
            "client_id": client_id,
            "acr": f"urn:onestop:loa:{acr}",
            "auth_time": int((auth_time or now).timestamp()),
            "roles": list(persona.roles),
        }
        named = persona.title.partition(",")[0] if persona.office else None
        said = {"office": persona.office, "agency": persona.agency, "name": named, "case": case}
        claims |= {name: value for name, value in said.items() if value is not None}
        if jkt is not None:
            claims["cnf"] = {"jkt": jkt}
        header = {"alg": "ES256", "typ": "at+jwt", "kid": self._key.kid}
        return jwt.encode(header, claims, self._key, algorithms=["ES256"])

    def application(self) -> Starlette:
        """Build the pages: metadata and keys."""
        metadata = {
            "issuer": self.issuer_url,
            "jwks_uri": f"{self.issuer_url}/jwks.json",
            "acr_values_supported": [f"urn:onestop:loa:{level}" for level in (1, 2, 3)],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            # Empty, not absent: absent would mean the code and implicit grants (RFC 8414 §2), and there is no grant.
            "response_types_supported": [],
            "grant_types_supported": [],
        }
        keys = {"keys": [self._key.as_dict(private=False)]}

        async def describe(_request: Request) -> JSONResponse:
            return JSONResponse(metadata)

        async def publish(_request: Request) -> JSONResponse:
            return JSONResponse(keys)

        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", describe),
                Route("/.well-known/oauth-authorization-server", describe),
                Route("/jwks.json", publish),
            ]
        )
