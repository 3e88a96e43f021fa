"""The published advisories of Authlib and joserfc, one test each, against our own doors.

These are tokens and proofs, and the portal's sign-in with the issuer's answer and ID token. Most advisories concern
algorithms and formats that we never reach; the tests hold us to that whatever the libraries do next.
"""

import base64
import hmac
import json
import zlib
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jws
from joserfc.jwk import ECKey, KeySet

from auth.dpop import ProofError, Shown, check
from auth.token import TokenCheck, UnauthenticatedError
from serving.session import BrowserSessions
from serving.signin import Attempt, RelyingParty, SignInError
from tests.auth import test_dpop as proofs
from tests.auth import test_token as tokens
from tests.auth.test_token import AUDIENCE, ISSUER, NOW, P256, RSA, STRANGER, b64, claims, signed
from tests.serving import test_signin as portal


async def refusal(token: str, proof: str | None = None) -> UnauthenticatedError:
    """Why it is refused: as Bearer, or with a proof."""
    door = TokenCheck(ISSUER, AUDIENCE, proofs.published, proofs.Store().once, bearer_allowed=True)
    asked = (
        tokens.CHECK.viewer(f"Bearer {token}", NOW)
        if proof is None
        else door.viewer(f"DPoP {token}", NOW, Shown(proof, "POST", AUDIENCE))
    )
    with pytest.raises(UnauthenticatedError) as refused:
        await asked
    return refused.value


def by_mac(secret: bytes) -> str:
    """A token in HS256 under this secret."""
    head = {"alg": "HS256", "typ": "at+jwt", "kid": "p256"}
    first = f"{b64(json.dumps(head).encode())}.{b64(json.dumps(claims()).encode())}"
    return f"{first}.{b64(hmac.digest(secret, first.encode(), 'sha256'))}"


async def signs_nobody_in(id_token: str) -> None:
    """What the portal does with an answer that has this ID token."""
    with pytest.raises(SignInError):
        await portal.party({"id_token": id_token}).signed_in(portal.ATTEMPT, portal.ANSWER)
    await portal.party({"id_token": portal.identity()}).signed_in(portal.ATTEMPT, portal.ANSWER)  # it is the token


def identity_by(alg: Any, sign: Any, **header: Any) -> str:
    """An ID token that says all that is wanted, under this algorithm."""
    head = {"alg": alg, "kid": "k", **header}
    first = f"{b64(json.dumps(head).encode())}.{b64(json.dumps(portal.CLAIMS).encode())}"
    return f"{first}.{b64(sign(first.encode()))}"


def encrypted(**header: Any) -> str:
    """Something that looks like an encrypted token (JWE); it never gets as far as a key."""
    return ".".join([b64(json.dumps({"typ": "at+jwt", "kid": "rsa"} | header).encode()), *(b64(b"x" * 256),) * 4])


@pytest.mark.parametrize("form", ["PEM", "DER", "point", "OpenSSH", "JWK"])
async def test_cve_2024_37568_a_public_key_is_no_secret(form: str) -> None:
    public = P256.get_op_key("verify")
    assert isinstance(public, ec.EllipticCurvePublicKey)
    spki = PublicFormat.SubjectPublicKeyInfo
    secret = {
        "PEM": lambda: public.public_bytes(Encoding.PEM, spki),
        "DER": lambda: public.public_bytes(Encoding.DER, spki),
        "point": lambda: public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint),
        "OpenSSH": lambda: public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        "JWK": lambda: json.dumps(P256.as_dict(private=False)).encode(),
    }[form]()
    assert "algorithm" in (await refusal(by_mac(secret))).description


@pytest.mark.parametrize("name", ["bork", "cnf", "exp", "b64", "alg"])
async def test_cve_2025_59420_critical_extensions_are_not_passed_over(name: str) -> None:
    crit = {"crit": [name], name: {"jkt": "x"}} if name != "alg" else {"crit": ["alg"]}
    assert "critical" in (await refusal(signed(claims(), **crit))).description
    assert "critical" in (await refusal(proofs.TOKEN, proofs.proof(header=crit))).description


@pytest.mark.parametrize("part", [0, 1, 2])
async def test_cve_2025_61920_what_is_too_large_is_not_even_decoded(part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("decoded")

    token, proof = signed(claims()).split("."), proofs.proof().split(".")
    token[part] = proof[part] = b64(b"x" * 1_000_000)
    monkeypatch.setattr(jws, "extract_compact", never)
    assert "too long" in (await refusal(".".join(token))).description
    with pytest.raises(ProofError, match="too long"):
        await check(Shown(".".join(proof), "POST", AUDIENCE), "", "", proofs.Store().once, NOW)


async def test_cve_2025_62706_nothing_is_inflated() -> None:
    bomb = base64.urlsafe_b64encode(zlib.compress(bytes(1_000_000))).decode().rstrip("=")
    head = encrypted(alg="dir", enc="A128GCM", zip="DEF").split(".")
    assert "not a signed JWT" in (await refusal(".".join([*head[:3], bomb, head[4]]))).description
    zipped = signed(zlib.compress(json.dumps(claims()).encode())[2:-4], zip="DEF")
    assert (await refusal(zipped)).error == "invalid_token"


async def test_cve_2025_65015_an_error_does_not_carry_what_was_sent() -> None:
    long = "x" * 6000
    for token, proof in ((f"{long}.{long[:100]}.x", None), (proofs.TOKEN, f"{long}.{long[:100]}.x")):
        refused = await refusal(token, proof)
        told: BaseException | None = refused
        while told is not None:
            assert len(str(told)) < 200
            told = told.__cause__


async def test_cve_2026_27932_a_count_of_rounds_in_a_header_is_not_worked_off() -> None:
    counted = encrypted(alg="PBES2-HS256+A128KW", enc="A128GCM", p2s="AAAA", p2c=2**31 - 1)
    assert "not a signed JWT" in (await refusal(counted)).description


async def test_cve_2026_27962_a_key_in_a_header_is_not_used_even_when_there_is_no_other() -> None:
    async def nothing(_kid: str) -> KeySet:
        return KeySet([])

    forged = signed(claims(), STRANGER, jwk=STRANGER.as_dict(private=False))
    for keys in (tokens.published, nothing):
        with pytest.raises(UnauthenticatedError):
            await TokenCheck(ISSUER, AUDIENCE, keys, tokens.never, bearer_allowed=True).viewer(f"Bearer {forged}", NOW)


async def test_cve_2026_28490_nothing_is_decrypted_so_nothing_is_told_of_paddings() -> None:
    told = {(await refusal(encrypted(alg=alg, enc="A128GCM"))).description for alg in ("RSA1_5", "RSA-OAEP", "dir")}
    assert told == {"The token is not a signed JWT."}


@pytest.mark.parametrize("alg", ["XX999", "", None, 7, ["ES256"], "es256", "ES256 "])
async def test_cve_2026_28498_an_unknown_algorithm_does_not_make_a_hash_right(alg: Any) -> None:
    header = {"alg": alg, "typ": "dpop+jwt", "jwk": proofs.EC.as_dict(private=False)}
    said = {"jti": "1", "htm": "POST", "htu": AUDIENCE, "iat": proofs.at(0), "ath": "wrong"}
    first = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(said).encode())}"
    assert (await refusal(proofs.TOKEN, f"{first}.AAAA")).error == "invalid_dpop_proof"
    head = {"alg": alg, "typ": "at+jwt", "kid": "p256"}
    assert (await refusal(f"{b64(json.dumps(head).encode())}.{b64(json.dumps(claims()).encode())}.AAAA")).error


async def test_cve_2026_48990_a_payload_that_is_not_encoded_is_refused() -> None:
    header = {"alg": "ES256", "typ": "at+jwt", "kid": "p256", "b64": False, "crit": ["b64"]}
    first = f"{b64(json.dumps(header).encode())}.{'x' * 5000}".encode()
    raw = f"{first.decode()}.{b64(jws.JWSRegistry.algorithms['ES256'].sign(first, P256))}"
    assert "critical" in (await refusal(raw)).description
    assert (await refusal(signed(claims(), b64=False))).error == "invalid_token"


async def test_cve_2026_49852_an_empty_secret_signs_nothing() -> None:
    assert "algorithm" in (await refusal(by_mac(b""))).description


async def test_rsa_keys_still_sign_with_the_padding_that_we_take_only() -> None:
    assert "algorithm" in (await refusal(signed(claims(), RSA, alg="RS256"))).description


async def test_cve_2025_68158_an_answer_is_good_only_in_the_browser_that_asked() -> None:
    until = portal.NOW + timedelta(minutes=10)
    theirs, ours = Attempt("/", until), Attempt("/", until)
    answer = {**portal.ANSWER, "state": theirs.state}
    with pytest.raises(SignInError, match="another attempt"):
        await portal.party({}).signed_in(ours, answer)
    assert portal.asked == []  # the code was not even redeemed
    unused: Any = None
    issuer: RelyingParty = unused
    sessions = BrowserSessions(issuer, unused, b"r" * 32, "https://onestop.test", lambda: portal.NOW)
    for cookie in ("", "00" * 64, theirs.state):
        with pytest.raises(SignInError, match="No sign-in was begun in this browser"):
            sessions._attempt(cookie)


async def test_cve_2024_37568_an_id_token_is_not_signed_with_a_public_key() -> None:
    public = portal.KEY.as_pem()
    for secret in (public, public.strip(), json.dumps(portal.KEY.as_dict(private=False)).encode(), b"portal", b""):
        await signs_nobody_in(identity_by("HS256", lambda first, secret=secret: hmac.digest(secret, first, "sha256")))


async def test_cve_2025_59420_critical_extensions_of_an_id_token_are_not_passed_over() -> None:
    es256 = jws.JWSRegistry.algorithms["ES256"]
    for name in ("bork", "b64"):
        crit = {"crit": [name], name: False}
        await signs_nobody_in(identity_by("ES256", lambda first: es256.sign(first, portal.KEY), **crit))


async def test_cve_2025_62706_an_encrypted_id_token_is_not_inflated() -> None:
    for alg in ("dir", "RSA-OAEP", "PBES2-HS256+A128KW"):
        await signs_nobody_in(encrypted(alg=alg, enc="A128GCM", zip="DEF", p2s="AAAA", p2c=2**31 - 1))


async def test_cve_2026_27962_a_key_in_an_id_tokens_header_is_not_used() -> None:
    stranger = ECKey.generate_key("P-256")
    es256 = jws.JWSRegistry.algorithms["ES256"]
    for kid in ("k", "unknown"):
        shown = {"jwk": stranger.as_dict(private=False), "kid": kid}
        await signs_nobody_in(identity_by("ES256", lambda first: es256.sign(first, stranger), **shown))


@pytest.mark.parametrize("alg", ["XX999", "", None, 7, "none", "None", "NONE"])
async def test_cve_2026_28498_an_unknown_algorithm_makes_no_id_token_right(alg: Any) -> None:
    for sign in (lambda _: b"", lambda _: b"AAAA"):
        await signs_nobody_in(identity_by(alg, sign))
