"""Forged, expired and odd tokens over HTTP: all are refused alike, before anything is read, asked or written down."""

import base64
import json
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from tests.journeys.client import Asker, Onestop, Reply
from tests.journeys.documents import ESTATE

OTHER = ECKey.generate_key("P-256")
P384 = ECKey.generate_key("P-384")
RSA = RSAKey.generate_key(2048)
ED = OKPKey.generate_key("Ed25519")


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


@dataclass(frozen=True)
class Mint:
    """Makes tokens like the issuer's, with the issuer's own key unless told otherwise; `...` takes something out."""

    onestop: Onestop
    key: Any

    def claims(self, **said: Any) -> dict[str, Any]:
        subject = json.loads(base64.urlsafe_b64decode(self.onestop.token("heir").split(".")[1] + "=="))["sub"]
        now = int(datetime.now(UTC).timestamp())
        good = {"iss": self.onestop.issuer, "aud": self.onestop.audience, "sub": subject, "client_id": "sandbox-portal"}
        good |= {"jti": uuid.uuid4().hex, "iat": now, "exp": now + 300, "acr": "urn:onestop:loa:3", "auth_time": now}
        return {name: value for name, value in (good | said).items() if value is not ...}

    def token(self, claims: Any = None, *, key: Any = None, **header: Any) -> str:
        head = {"alg": "ES256", "typ": "at+jwt", "kid": self.key.kid} | header
        head = {name: value for name, value in head.items() if value is not ...}
        said = self.claims() if claims is None else claims
        payload = said if isinstance(said, bytes) else json.dumps(said).encode()
        first = f"{b64(json.dumps(head).encode())}.{b64(payload)}"
        signer = jws.JWSRegistry.algorithms[head["alg"]] if head.get("alg") != "none" else None
        return f"{first}.{b64(signer.sign(first.encode(), key or self.key)) if signer else ''}"

    def saying(self, **said: Any) -> str:
        return self.token(self.claims(**said))

    def swapped(self) -> str:
        """One token's claims under another one's signature."""
        (head, _, tail), (_, body, _) = self.saying().split("."), self.saying(sub="b" * 26).split(".")
        return f"{head}.{body}.{tail}"

    def confused(self) -> str:
        """HS256, with the public key as the secret."""
        pem = self.key.get_op_key("verify").public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return self.token(key=OctKey.import_key(base64.urlsafe_b64encode(pem).decode()), alg="HS256")

    @property
    def now(self) -> int:
        return int(datetime.now(UTC).timestamp())


FORGED: dict[str, Callable[[Mint], str]] = {
    "no algorithm": lambda m: m.token(alg="none"),
    "no algorithm, in capitals": lambda m: m.token(alg="none").replace(b64(b'"none"'), b64(b'"NONE"')),
    "the public key as a secret": Mint.confused,
    "another key under the issuer's id": lambda m: m.token(key=OTHER),
    "another key under its own id": lambda m: m.token(key=OTHER, kid="other"),
    "another key, in the header": lambda m: m.token(key=OTHER, jwk=OTHER.as_dict(private=False)),
    "another curve": lambda m: m.token(key=P384, alg="ES384"),
    "RS256": lambda m: m.token(key=RSA, alg="RS256"),
    "PS256 by nobody's key": lambda m: m.token(key=RSA, alg="PS256"),
    "Ed25519 by nobody's key": lambda m: m.token(key=ED, alg="Ed25519"),
    "a key URL": lambda m: m.token(jku=f"{m.onestop.issuer}/jwks.json"),
    "a certificate URL": lambda m: m.token(x5u="https://evil.test/pem"),
    "critical extensions": lambda m: m.token(crit=["exp"]),
    "no key id": lambda m: m.token(kid=...),
    "key id with a path": lambda m: m.token(kid="../../jwks.json"),
    "an ID token": lambda m: m.token(typ="JWT"),
    "no type": lambda m: m.token(typ=...),
    "a proof": lambda m: m.token(typ="dpop+jwt"),
    "another's claims": Mint.swapped,
    "signature cut": lambda m: m.token()[:-3],
    "no signature": lambda m: m.token().rpartition(".")[0] + ".",
    "two parts": lambda m: m.token().rpartition(".")[0],
    "five parts": lambda m: m.token() + ".AA.AA",
    "padded": lambda m: m.token() + "==",
    "two in one": lambda m: f"{m.token()},{m.token()}",
    "dots": lambda _: "..",
    "words": lambda _: "let me in",
    "nothing": lambda _: "",
    "huge": lambda m: m.saying(note="x" * 9000),
    "claims no JSON": lambda m: m.token(b"{"),
    "claims a list": lambda m: m.token(b"[]"),
    "claims nested deeply": lambda m: m.token(b"[" * 4000),
    "another issuer": lambda m: m.saying(iss="https://other.test"),
    "issuer with a slash": lambda m: m.saying(iss=f"{m.onestop.issuer}/"),
    "no issuer": lambda m: m.saying(iss=...),
    "another audience": lambda m: m.saying(aud="https://other.test"),
    "other audiences": lambda m: m.saying(aud=["https://other.test", f"{m.onestop.audience}/"]),
    "no audience": lambda m: m.saying(aud=...),
    "expired": lambda m: m.saying(exp=m.now - 11),
    "expired long ago": lambda m: m.saying(iat=m.now - 90000, exp=m.now - 86400),
    "no expiry": lambda m: m.saying(exp=...),
    "expiry a text": lambda m: m.saying(exp=str(m.now + 300)),
    "expiry in milliseconds": lambda m: m.saying(exp=(m.now + 300) * 1000),
    "issued tomorrow": lambda m: m.saying(iat=m.now + 86400, exp=m.now + 86700),
    "issue time a truth": lambda m: m.saying(iat=True),
    "not valid yet": lambda m: m.saying(nbf=m.now + 100),
    "signed in tomorrow": lambda m: m.saying(auth_time=m.now + 86400),
    "no subject": lambda m: m.saying(sub=...),
    "a subject that is none": lambda m: m.saying(sub="admin"),
    "no client": lambda m: m.saying(client_id=...),
    "no token id": lambda m: m.saying(jti=...),
    "bound to a key": lambda m: m.saying(cnf={"jkt": "A" * 43}),
    "a role that is none": lambda m: m.saying(roles=["KING"]),
    "an actor that is none": lambda m: m.saying(act="heir"),
}
COUNTING = {"kind": "SLOW", "seconds": 0.001}


@pytest.fixture(scope="module")
def mint(onestop: Onestop) -> Mint:
    """The issuer's key stands in the sandbox's directory."""
    return Mint(onestop, ECKey.import_key(json.loads((onestop.directory / "sandbox" / "issuer.jwk").read_text())))


def bare(reply: Reply) -> tuple[Any, ...]:
    """The answer without its one sentence, and the names of its headers."""
    said = re.sub(rb'"message":"[^"]*"', b'"message":""', reply.body)
    challenge = re.sub(r'error_description="[^"]*"', "", reply.headers["www-authenticate"])
    return reply.status, said, challenge, sorted(reply.headers)


def entries(onestop: Onestop) -> int:
    return len(onestop.command("log", "export", "--data", str(onestop.directory)).splitlines())


def test_no_forged_expired_or_odd_token_is_accepted(onestop: Onestop, mint: Mint) -> None:
    assert len(FORGED) >= 40
    case_id = onestop.as_("heir").case()
    deceased = onestop.case("heir")["deceased"]["sectorIds"]
    before = entries(onestop)
    with (
        onestop.faults("REGISTRY", deceased["REGISTRY"], COUNTING) as register,
        onestop.faults("LAND", deceased["LAND"], COUNTING) as land,
    ):
        replies = {what: Asker(onestop, made(mint)).ask(ESTATE, {"id": case_id}) for what, made in FORGED.items()}
        assert (register.fired, land.fired) == (0, 0)
        assert entries(onestop) == before
        for what, reply in replies.items():
            assert (what, reply.status, reply.code) == (what, 401, "UNAUTHENTICATED")
            assert (what, "data" in reply.json, reply.entries) == (what, False, [])
            assert (what, bare(reply)) == (what, bare(replies["expired"]))
        # and a good one, made in the same way, is taken
        assert Asker(onestop, mint.token()).ask(ESTATE, {"id": case_id}).data["estateCase"]["id"] == case_id
        assert min(register.fired, land.fired) > 0
        assert entries(onestop) > before


def test_a_refusal_quotes_nothing_of_the_token(onestop: Onestop, mint: Mint) -> None:
    for made in FORGED.values():
        token = made(mint)
        reply = Asker(onestop, token).ask("{ viewer { roles } }")
        said = reply.body.decode() + reply.headers["www-authenticate"]
        assert not [part for part in token.split(".") if len(part) > 8 and part in said]
        assert "evil.test" not in said
