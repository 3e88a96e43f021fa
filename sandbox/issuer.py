"""The sandbox's signing keys and access tokens for personas; sandbox/signin hands them out.

Sources: RFC 9068 (access tokens), RFC 7638 (thumbprint as `kid`), RFC 8693 §4.1 (`act`), docs: contract of the outside,
"Tokens".
"""

import json
import os
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal
from uuid import uuid4

from joserfc import jwt
from joserfc.jwk import ECKey

from sandbox.facts import Subject
from sandbox.personas import PersonaRecord

PORTAL_KEY: Final = "portal.jwk"
"""File in the sandbox's directory with the key that the portal proves itself with."""


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

    @property
    def key(self) -> ECKey:
        """The key that everything is signed with."""
        return self._key

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
        on_behalf_of: Subject | None = None,
        scope: str | None = None,
    ) -> str:
        """Access token of a persona who signed in at `auth_time` (now) with the assurance `acr`; `case` narrows it.

        `jkt` is the thumbprint of the key that it is bound to (RFC 9449 §6.1). With `on_behalf_of` the token is about
        that citizen, and the persona is the one who acts.
        """
        claims: dict[str, Any] = {
            "iss": self.issuer_url,
            "sub": on_behalf_of or persona.subject,
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
        act = {"sub": persona.subject} if on_behalf_of else None
        said = {
            "office": persona.office,
            "agency": persona.agency,
            "name": named,
            "case": case,
            "act": act,
            "scope": scope,
        }
        claims |= {name: value for name, value in said.items() if value is not None}
        if jkt is not None:
            claims["cnf"] = {"jkt": jkt}
        header = {"alg": "ES256", "typ": "at+jwt", "kid": self._key.kid}
        return jwt.encode(header, claims, self._key, algorithms=["ES256"])
