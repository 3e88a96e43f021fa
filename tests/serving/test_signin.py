"""What the portal's client believes of an issuer's answer."""

import base64
import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey

from schema.viewer import Assurance
from serving.signin import Attempt, IssuerUnavailableError, RelyingParty, SignInError, client_key

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
AT = int(NOW.timestamp())
ISSUER = "https://issuer.test"
KEY = ECKey.generate_key("P-256", {"kid": "k"})
OTHER = ECKey.generate_key("P-256", {"kid": "k"})
METADATA = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/authorize",
    "token_endpoint": f"{ISSUER}/token",
    "authorization_response_iss_parameter_supported": True,
}
ATTEMPT = Attempt("/", NOW + timedelta(minutes=10), Assurance.SUBSTANTIAL, 900)
ANSWER = {"code": "c", "state": ATTEMPT.state, "iss": ISSUER}
TOLD = {"access_token": "at", "token_type": "DPoP", "expires_in": 300}
AT_HASH = base64.urlsafe_b64encode(hashlib.sha256(b"at").digest()[:16]).decode().rstrip("=")
asked: list[tuple[str, Any]] = []
"""Client assertions and proofs' claims that came to the token endpoint."""
CLAIMS = {
    "iss": ISSUER,
    "sub": "s",
    "aud": "portal",
    "exp": AT + 60,
    "iat": AT,
    "auth_time": AT,
    "nonce": ATTEMPT.nonce,
    "acr": "urn:onestop:loa:2",
    "at_hash": AT_HASH,
}


def identity(claims: Mapping[str, Any] | None = None, key: ECKey = KEY, **header: str) -> str:
    said = {name: value for name, value in {**CLAIMS, **(claims or {})}.items() if value is not None}
    return jwt.encode({"alg": "ES256", "kid": "k", **header}, said, key, algorithms=["ES256"])


def said_by(token: str) -> Any:
    """Header and claims, unverified."""
    head, claims, _ = token.split(".")
    return tuple(json.loads(base64.urlsafe_b64decode(part + "==")) for part in (head, claims))


def party(
    told: Any = None,
    metadata: Any = METADATA,
    status: int = 200,
    nonce: str | None = None,
    key: ECKey | RSAKey | None = None,
) -> RelyingParty:
    asked.clear()

    async def keys(_kid: str) -> KeySet:
        return KeySet([ECKey.import_key(KEY.as_dict(private=False))])

    async def get(_url: str) -> bytes:
        if metadata is None:
            raise OSError
        return json.dumps(metadata).encode()

    async def post(url: str, form: Mapping[str, str], shown: str) -> tuple[int, bytes, str | None]:
        if told == "down":
            raise OSError
        assert (form["code"], form["code_verifier"], form["resource"]) == (
            "c",
            ATTEMPT.verifier,
            "https://onestop.test",
        )
        header, claims = said_by(shown)
        assert (header["typ"], claims["htm"], claims["htu"], claims["iat"]) == ("dpop+jwt", "POST", url, AT)
        asked.append((form["client_assertion"], claims))
        if nonce is not None and claims.get("nonce") != nonce:
            return 400, b'{"error": "use_dpop_nonce"}', nonce
        body = told if isinstance(told, bytes) else json.dumps({**TOLD, "id_token": identity(), **told}).encode()
        return status, body, None

    return RelyingParty(
        issuer=ISSUER,
        audience="https://onestop.test",
        client_id="portal",
        key=key or ECKey.generate_key("P-256"),
        redirect_uri="https://onestop.test/session/callback",
        keys=keys,
        get=get,
        post=post,
        clock=lambda: NOW,
    )


async def test_an_answer_that_fits_says_who_signed_in() -> None:
    who = await party({}).signed_in(ATTEMPT, ANSWER)
    assert (who.access_token, who.assurance, who.name) == ("at", Assurance.SUBSTANTIAL, None)
    assert who.until == NOW + timedelta(seconds=300)
    await party({"id_token": identity({"at_hash": None, "aud": ["portal"]})}).signed_in(ATTEMPT, ANSWER)


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "other"},
        {"nonce": None},
        {"iss": "https://evil.test"},
        {"aud": "other"},
        {"aud": ["portal", "other"]},
        {"aud": None},
        {"sub": None},
        {"exp": AT - 10},
        {"exp": None},
        {"exp": True},
        {"iat": AT + 61},
        {"iat": None},
        {"at_hash": "other"},
        {"auth_time": AT - 911},
        {"auth_time": None},
        {"acr": "urn:onestop:loa:1"},
        {"acr": "urn:example:other"},
        {"acr": None},
    ],
)
async def test_an_id_token_that_does_not_fit_signs_nobody_in(claims: dict[str, Any]) -> None:
    with pytest.raises(SignInError):
        await party({"id_token": identity(claims)}).signed_in(ATTEMPT, ANSWER)


@pytest.mark.parametrize(
    "told",
    [
        {"id_token": identity(key=OTHER)},
        {"id_token": identity(typ="at+jwt")},
        {"id_token": identity().rpartition(".")[0] + "."},
        {"id_token": "eyJhbGciOiJub25lIn0.e30."},
        {"id_token": "é"},
        {"id_token": None},
        {"access_token": None},
        {"expires_in": None},
        {"expires_in": True},
        {"token_type": "mac"},
        {"token_type": "Bearer"},
        b"[]",
        b"no",
    ],
)
async def test_tokens_that_are_none_sign_nobody_in(told: Any) -> None:
    with pytest.raises(SignInError):
        await party(told).signed_in(ATTEMPT, ANSWER)


@pytest.mark.parametrize(
    "changes", [{"state": "other"}, {"state": "é"}, {"iss": "https://evil.test"}, {"error": "server_error"}]
)
async def test_an_answer_of_another_attempt_or_issuer_is_not_redeemed(changes: dict[str, str]) -> None:
    with pytest.raises(SignInError) as seen:
        await party("down").signed_in(ATTEMPT, {**ANSWER, **changes})
    assert seen.value.code == "SIGN_IN_FAILED"  # nobody was asked for a token


async def test_an_issuer_that_promises_its_name_must_give_it() -> None:
    silent = {name: value for name, value in ANSWER.items() if name != "iss"}
    with pytest.raises(SignInError):
        await party({}).signed_in(ATTEMPT, silent)
    older = {**METADATA, "authorization_response_iss_parameter_supported": False}
    assert await party({}, older).signed_in(ATTEMPT, silent)


@pytest.mark.parametrize("metadata", [None, [], {}, {**METADATA, "issuer": "https://evil.test"}])
async def test_without_the_issuers_metadata_nobody_is_sent_anywhere(metadata: Any) -> None:
    with pytest.raises(IssuerUnavailableError):
        await party({}, metadata).address(ATTEMPT)


async def test_an_issuer_that_refuses_or_is_down_signs_nobody_in() -> None:
    with pytest.raises(SignInError):
        await party({}, status=400).signed_in(ATTEMPT, ANSWER)
    with pytest.raises(IssuerUnavailableError):
        await party("down").signed_in(ATTEMPT, ANSWER)


async def test_an_issuer_that_wants_a_nonce_in_the_proof_gets_it_in_a_second_request() -> None:
    who = await party({}, nonce="n1").signed_in(ATTEMPT, ANSWER)
    assert who.key.is_private
    (first, said), (second, again) = asked
    assert ("nonce" in said, again["nonce"]) == (False, "n1")
    assert (first != second, said["jti"] != again["jti"]) == (True, True)  # each is good once


async def test_an_issuer_that_goes_on_wanting_nonces_is_not_asked_for_ever() -> None:
    with pytest.raises(SignInError):
        await party(b'{"error": "use_dpop_nonce"}', status=400, nonce="n1").signed_in(ATTEMPT, ANSWER)
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("key", "algorithm", "kid"),
    [
        (ECKey.generate_key("P-256", {"kid": "of the register"}), "ES256", "of the register"),
        (RSAKey.generate_key(2048), "PS256", None),
    ],
)
async def test_the_client_proves_itself_with_its_key(key: ECKey | RSAKey, algorithm: str, kid: str | None) -> None:
    await party({}, key=key).signed_in(ATTEMPT, ANSWER)
    assertion = jwt.decode(asked[0][0], key, algorithms=[algorithm])
    assert assertion.header["kid"] == (kid or key.thumbprint())
    assert (assertion.claims["iss"], assertion.claims["sub"], assertion.claims["aud"]) == ("portal", "portal", ISSUER)
    assert assertion.claims["exp"] - assertion.claims["iat"] == 60


def test_a_client_key_is_a_private_one_that_issuers_take(tmp_path: Path) -> None:
    file = tmp_path / "portal.key"
    ec, rsa = ECKey.generate_key("P-256", {"kid": "k1"}), RSAKey.generate_key(2048)
    for good in (json.dumps(ec.as_dict(private=True)).encode(), ec.as_pem(private=True), rsa.as_pem(private=True)):
        file.write_bytes(good)
        assert client_key(file).is_private
    file.write_text(json.dumps(ec.as_dict(private=True)))
    assert client_key(file).kid == "k1"
    for bad in (
        json.dumps(ec.as_dict(private=False)).encode(),
        json.dumps(OKPKey.generate_key("Ed25519").as_dict(private=True)).encode(),
        ECKey.generate_key("P-384").as_pem(private=True),
        ec.as_pem(),
        OKPKey.generate_key("Ed25519").as_pem(private=True),
        b'{"kty": "oct", "k": "c2VjcmV0"}',
        b"{}",
        b"[]",
        b"",
        "비밀".encode(),
    ):
        file.write_bytes(bad)
        with pytest.raises(ValueError, match="give a private key as JWK or PEM"):
            client_key(file)
