"""Access tokens (RFC 9068): a table of forged and odd ones, and the few that are taken."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jws
from joserfc.jwk import ECKey, KeySet, OctKey, OKPKey, RSAKey

from auth.token import TokenCheck, UnauthenticatedError
from schema.viewer import Assurance, Role

ISSUER, AUDIENCE = "https://issuer.test", "https://onestop.test/graphql"
NOW = datetime(2026, 3, 14, 15, 9, 26, tzinfo=UTC)
SUBJECT = "abcdefghijklmnopqrstuvwxyz"

P256 = ECKey.generate_key("P-256", {"kid": "p256"})
P384 = ECKey.generate_key("P-384", {"kid": "p384"})
RSA = RSAKey.generate_key(2048, {"kid": "rsa"})
ED = OKPKey.generate_key("Ed25519", {"kid": "ed"})
STRANGER = ECKey.generate_key("P-256", {"kid": "p256"})
PUBLISHED = KeySet([P256, P384, RSA, ED])

Claims = dict[str, Any]


async def published(_kid: str) -> KeySet:
    return PUBLISHED


async def never(_hash: str, _until: datetime, _now: datetime) -> bool:
    raise AssertionError("no proof is shown here")


CHECK = TokenCheck(ISSUER, AUDIENCE, published, never, bearer_allowed=True)


def at(seconds: float) -> int:
    return int((NOW + timedelta(seconds=seconds)).timestamp())


def claims(**told: Any) -> Claims:
    """What a good token says; `...` takes a claim out."""
    good = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": SUBJECT,
        "client_id": "portal",
        "jti": "token-1",
        "iat": at(-30),
        "exp": at(300),
        "acr": "urn:onestop:loa:3",
        "auth_time": at(-60),
        "roles": ["CITIZEN"],
    }
    return {name: value for name, value in (good | told).items() if value is not ...}


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def signed(said: Claims | bytes, key: Any = P256, **header: Any) -> str:
    """A token whatever its header is: signed as `alg` says, with the key given."""
    made = {"alg": "ES256", "typ": "at+jwt", "kid": key.kid} | header
    made = {name: value for name, value in made.items() if value is not ...}
    payload = said if isinstance(said, bytes) else json.dumps(said).encode()
    first = f"{b64(json.dumps(made).encode())}.{b64(payload)}".encode()
    algorithm = jws.JWSRegistry.algorithms[made["alg"]]
    return f"{first.decode()}.{b64(algorithm.sign(first, key))}"


def with_header(raw: str, said: Claims) -> str:
    """A token whose header is this text, signed over it as it is."""
    first = f"{b64(raw.encode())}.{b64(json.dumps(said).encode())}".encode()
    return f"{first.decode()}.{b64(jws.JWSRegistry.algorithms['ES256'].sign(first, P256))}"


def confused() -> str:
    """HS256, with the public key's PEM as the secret."""
    public = P256.get_op_key("verify")
    assert isinstance(public, ec.EllipticCurvePublicKey)
    secret = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return signed(claims(), OctKey.import_key(base64.urlsafe_b64encode(secret).decode(), {"kid": "p256"}), alg="HS256")


@dataclass(frozen=True, slots=True)
class Forged:
    what: str
    token: Callable[[], str]


def odd(what: str, said: Claims | bytes | None = None, key: Any = P256, **header: Any) -> Forged:
    return Forged(what, lambda: signed(claims() if said is None else said, key, **header))


def tampered() -> str:
    head, _, tail = signed(claims()).split(".")
    return f"{head}.{b64(json.dumps(claims(sub='b' * 26)).encode())}.{tail}"


def doubled(name: str, *values: Any) -> bytes:
    """Claims in which one name stands several times."""
    rest = claims(**{name: ...})
    inner = ", ".join(f"{json.dumps(name)}: {json.dumps(value)}" for value in values)
    return (json.dumps(rest)[:-1] + f", {inner}}}").encode()


REFUSED = [
    Forged(
        "no algorithm",
        lambda: (
            f"{b64(json.dumps({'alg': 'none', 'typ': 'at+jwt', 'kid': 'p256'}).encode())}."
            f"{b64(json.dumps(claims()).encode())}."
        ),
    ),
    Forged("HS256 with the public key", confused),
    odd("RS256", key=RSA, alg="RS256"),
    odd("PS384", key=RSA, alg="PS384"),
    odd("ES384", key=P384, alg="ES384"),
    odd("typ JWT", typ="JWT"),
    odd("typ dpop+jwt", typ="dpop+jwt"),
    odd("no typ", typ=...),
    odd("typ is a list", typ=["at+jwt"]),
    odd("a key in the header", jwk=P256.as_dict(private=False)),
    odd("a stranger's key in the header", key=STRANGER, jwk=STRANGER.as_dict(private=False)),
    odd("a key URL in the header", jku="https://evil.test/jwks"),
    odd("a certificate URL in the header", x5u="https://evil.test/pem"),
    odd("a certificate in the header", x5c=["AAAA"]),
    odd("a certificate's thumbprint in the header", x5t="AAAA"),
    odd("critical extensions", crit=["exp"], exp=1),
    odd("no key id", kid=...),
    odd("key id is empty", kid=""),
    odd("key id is a list", kid=["p256"]),
    odd("unknown key id", kid="another"),
    odd("key of another issuer under our key id", key=STRANGER),
    odd("the right key under another one's id", kid="p384"),
    Forged("claims changed after signing", tampered),
    Forged("signature cut", lambda: signed(claims())[:-4]),
    Forged("no signature", lambda: signed(claims()).rpartition(".")[0] + "."),
    Forged("two parts", lambda: signed(claims()).rpartition(".")[0]),
    Forged("four parts", lambda: signed(claims()) + ".AAAA"),
    Forged("padded", lambda: signed(claims()) + "=="),
    Forged("padding within", lambda: signed(claims()).replace(".", "=.", 1)),
    Forged("line break within", lambda: signed(claims()).replace(".", ".\n", 1)),
    Forged("nothing but dots", lambda: ".."),
    Forged("not ASCII", lambda: signed(claims()) + "é"),
    Forged("huge", lambda: signed(claims(note="x" * 10_000))),
    Forged("header is a text", lambda: with_header('"alg"', claims())),
    Forged("header is a list", lambda: with_header('["alg", "typ", "kid"]', claims())),
    Forged("header is nested deeply", lambda: with_header("[" * 380, claims())),
    odd("header is larger than any of ours", note="x" * 4000),
    odd("claims are no JSON", b"{"),
    odd("claims are a list", b"[]"),
    odd("claims are null", b"null"),
    odd("claims are nested deeply", b"[" * 5000),
    odd("claims are not UTF-8", b'{"iss": "\xff"}'),
    odd("other issuer", claims(iss="https://other.test")),
    odd("issuer with a slash more", claims(iss=ISSUER + "/")),
    odd("no issuer", claims(iss=...)),
    odd("other audience", claims(aud="https://other.test")),
    odd("audience list without us", claims(aud=["https://other.test", AUDIENCE + "/"])),
    odd("audience list is empty", claims(aud=[])),
    odd("no audience", claims(aud=...)),
    odd("audience is an object", claims(aud={AUDIENCE: True})),
    odd("audience that merely contains us", claims(aud=AUDIENCE + " https://other.test")),
    odd("expired beyond the leeway", claims(exp=at(-10))),
    odd("issued too far ahead", claims(iat=at(61))),
    odd("not valid yet", claims(nbf=at(11))),
    *(odd(f"no {name}", claims(**{name: ...})) for name in ("sub", "client_id", "jti", "exp", "iat")),
    *(odd(f"{name} is empty", claims(**{name: ""})) for name in ("sub", "client_id", "jti")),
    *(odd(f"{name} is a number", claims(**{name: 1})) for name in ("sub", "client_id", "jti")),
    *(odd(f"{name} is a truth", claims(**{name: True})) for name in ("exp", "iat", "nbf", "auth_time")),
    *(odd(f"{name} is a text", claims(**{name: str(at(100))})) for name in ("exp", "iat", "nbf", "auth_time")),
    odd("exp in milliseconds", claims(exp=at(300) * 1000)),
    odd("exp is not a number", json.dumps(claims(exp=float("nan"))).encode()),
    odd("exp is infinite", json.dumps(claims(exp=float("inf"))).encode()),
    odd("exp is larger than any number", json.dumps(claims(exp=10**30)).encode()),
    odd("iat is negative", claims(iat=-1)),
    odd("bound to a key and sent as Bearer", claims(cnf={"jkt": "AAAA"})),
    odd("bound to nothing and sent as Bearer", claims(cnf=None)),
    odd("subject that is not one of ours", claims(sub="ABCDEFGHIJKLMNOPQRSTUVWXYZ")),
    odd("subject with a line break", claims(sub=SUBJECT + "\n")),
    odd("unknown role", claims(roles=["CITIZEN", "KING"])),
    odd("role is a list", claims(roles=[["OFFICIAL"]])),
    odd("expires twice, the last time in the past", doubled("exp", at(300), at(-300))),
    odd("two audiences under two names, the last one another's", doubled("aud", AUDIENCE, "https://other.test")),
    odd("signed in a year from now", claims(auth_time=at(365 * 86400))),
]

TAKEN = [
    odd("ES256"),
    odd("PS256", key=RSA, alg="PS256"),
    odd("Ed25519", key=ED, alg="Ed25519"),
    odd("typ with its full media type", typ="application/at+jwt"),
    odd("typ in capitals", typ="AT+JWT"),
    odd("audience list with us", claims(aud=["https://other.test", AUDIENCE])),
    odd("expired within the leeway", claims(exp=at(-9))),
    odd("issued by a clock that is a little ahead", claims(iat=at(60))),
    odd("valid from a little ahead", claims(nbf=at(10))),
    odd("seconds with a fraction", claims(iat=at(-30) + 0.5, exp=at(300) + 0.5)),
    odd("claims that we do not know", claims(scope="all", nonce="x")),
]


@pytest.mark.parametrize("forged", REFUSED, ids=lambda forged: forged.what)
async def test_a_token_is_refused(forged: Forged) -> None:
    token = forged.token()
    with pytest.raises(UnauthenticatedError) as refused:
        await CHECK.viewer(f"Bearer {token}", NOW)
    assert refused.value.error == "invalid_token"
    assert token not in str(refused.value)
    assert SUBJECT not in str(refused.value)


@pytest.mark.parametrize("good", TAKEN, ids=lambda good: good.what)
async def test_a_token_is_taken(good: Forged) -> None:
    viewer = await CHECK.viewer(f"Bearer {good.token()}", NOW)
    assert (viewer.person, viewer.client, viewer.token_id) == (SUBJECT, "portal", "token-1")
    assert viewer.assurance is Assurance.HIGH
    assert viewer.roles == {Role.CITIZEN}
    assert not viewer.is_official


def test_the_table_is_long_enough_to_mean_something() -> None:
    assert len({forged.what for forged in REFUSED}) == len(REFUSED) >= 30


@pytest.mark.parametrize("authorization", [None, "", "Basic dTpw", "Basic", "DPoP x.y.z", "Bearer"])
async def test_no_token_or_another_scheme_is_no_token(authorization: str | None) -> None:
    with pytest.raises(UnauthenticatedError):
        await CHECK.viewer(authorization, NOW)


async def test_who_sends_nothing_is_told_how_without_an_error_code() -> None:
    with pytest.raises(UnauthenticatedError) as refused:
        await CHECK.viewer(None, NOW)
    assert refused.value.error is None  # RFC 6750, section 3.1


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer"])
async def test_the_scheme_is_written_in_any_case(scheme: str) -> None:
    assert (await CHECK.viewer(f"{scheme} {signed(claims())}", NOW)).person == SUBJECT


async def test_production_takes_no_plain_bearer_token_however_good() -> None:
    production = TokenCheck(ISSUER, AUDIENCE, published, never, bearer_allowed=False)
    with pytest.raises(UnauthenticatedError):
        await production.viewer(f"Bearer {signed(claims())}", NOW)


async def test_a_token_is_refused_while_the_issuers_keys_cannot_be_had() -> None:
    async def nothing(_kid: str) -> KeySet:
        return KeySet([])

    with pytest.raises(UnauthenticatedError):
        await TokenCheck(ISSUER, AUDIENCE, nothing, never, bearer_allowed=True).viewer(
            f"Bearer {signed(claims())}", NOW
        )


async def test_a_token_that_was_good_is_good_no_longer_than_its_time_its_keys_and_its_signature() -> None:
    keys = [PUBLISHED]

    async def current(_kid: str) -> KeySet:
        return keys[0]

    check = TokenCheck(ISSUER, AUDIENCE, current, never, bearer_allowed=True)
    token = signed(claims())
    for _ in range(2):
        assert (await check.viewer(f"Bearer {token}", NOW)).person == SUBJECT
    with pytest.raises(UnauthenticatedError):
        await check.viewer(f"Bearer {token}", NOW + timedelta(seconds=311))
    with pytest.raises(UnauthenticatedError):  # the same words, signed by somebody else
        await check.viewer(f"Bearer {token.rpartition('.')[0]}.{signed(claims(), STRANGER).rpartition('.')[2]}", NOW)
    keys[0] = KeySet([ED])
    with pytest.raises(UnauthenticatedError):
        await check.viewer(f"Bearer {token}", NOW)


@pytest.mark.parametrize(
    ("acr", "assurance"),
    [
        ("urn:onestop:loa:1", Assurance.LOW),
        ("urn:onestop:loa:2", Assurance.SUBSTANTIAL),
        ("urn:onestop:loa:3", Assurance.HIGH),
        ("urn:other:loa:3", Assurance.LOW),
        (3, Assurance.LOW),
        (["urn:onestop:loa:3"], Assurance.LOW),
        (..., Assurance.LOW),
    ],
)
async def test_assurance_is_what_the_token_names_and_else_the_least(acr: Any, assurance: Assurance) -> None:
    assert (await CHECK.viewer(f"Bearer {signed(claims(acr=acr))}", NOW)).assurance is assurance


async def test_an_official_brings_office_and_agency() -> None:
    said = claims(roles=["OFFICIAL"], office="Sejong-ro", agency="Jongno-gu", case="sealed", auth_time=...)
    viewer = await CHECK.viewer(f"Bearer {signed(said)}", NOW)
    assert viewer.is_official
    assert (viewer.office, viewer.agency, viewer.case, viewer.signed_in_at) == (
        "Sejong-ro",
        "Jongno-gu",
        "sealed",
        None,
    )
    assert viewer.expires_at == NOW + timedelta(seconds=300)


async def test_without_roles_one_is_a_citizen() -> None:
    assert (await CHECK.viewer(f"Bearer {signed(claims(roles=...))}", NOW)).roles == {Role.CITIZEN}
