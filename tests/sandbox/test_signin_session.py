"""After the sandbox's sign-in: tokens bound to a key, who it was, signing out, and codes that come twice."""

import base64
import hashlib
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from sandbox.personas import PERSONAS
from sandbox.proof import proof
from tests.sandbox.test_signin import PORTAL, URL, SignIn, signin

__all__ = ["signin"]  # the fixture

KEY = ECKey.generate_key("P-256")
TOKEN, USERINFO = f"{URL}/token", f"{URL}/userinfo"


def proved(signin: SignIn, key: ECKey = KEY, url: str = TOKEN, method: str = "POST", **changes: Any) -> str:
    """A proof without a token, as the token endpoint wants it."""
    public = key.as_dict(private=False)
    header = {"alg": "ES256", "typ": "dpop+jwt", "jwk": {name: public[name] for name in ("kty", "crv", "x", "y")}}
    claims = {"jti": uuid4().hex, "htm": method, "htu": url, "iat": int(signin.clock().timestamp())}
    return jwt.encode({**header, **changes.pop("header", {})}, {**claims, **changes}, key, algorithms=["ES256"])


async def bound(signin: SignIn, dpop: str | None, **changes: str | None) -> tuple[int, Any]:
    """Redeem a code with a proof beside it."""
    form = {"grant_type": "authorization_code", "client_id": "sandbox-app", "code_verifier": "v" * 43}
    form |= {"redirect_uri": "http://127.0.0.1:4711/callback", "code": await signin.code()}
    sent = {name: value for name, value in {**form, **changes}.items() if value is not None}
    headers = {"DPoP": dpop} if dpop else {}
    async with signin.session.post(f"{signin.url}/token", data=sent, headers=headers) as reply:
        return reply.status, await reply.json()


async def asked(signin: SignIn, token: str, scheme: str = "Bearer", dpop: str | None = None) -> tuple[int, Any]:
    """What /userinfo says, and its challenge."""
    headers = {"Authorization": f"{scheme} {token}"} | ({"DPoP": dpop} if dpop else {})
    async with signin.session.get(f"{signin.url}/userinfo", headers=headers) as reply:
        assert reply.headers["Cache-Control"] == "no-store"
        return reply.status, await reply.json() if reply.status == 200 else reply.headers["WWW-Authenticate"]


async def test_a_token_that_a_key_was_proved_for_is_bound_to_it(signin: SignIn) -> None:
    status, told = await bound(signin, proved(signin))
    assert (status, told["token_type"]) == (200, "DPoP")
    token = told["access_token"]
    assert signin.read(token).claims["cnf"] == {"jkt": KEY.thumbprint()}
    assert (await bound(signin, None))[1]["token_type"] == "Bearer"
    shown = proof(KEY, method="GET", url=USERINFO, token=token, now=signin.clock())
    assert await asked(signin, token, "DPoP", shown) == (200, {"sub": PERSONAS["heir"].subject, "name": "이서연"})
    for scheme, sent in (
        ("DPoP", None),
        ("DPoP", shown),  # the second time
        ("DPoP", proof(KEY, method="POST", url=USERINFO, token=token, now=signin.clock())),
        ("DPoP", proof(KEY, method="GET", url=TOKEN, token=token, now=signin.clock())),
        ("DPoP", proof(KEY, method="GET", url=USERINFO, token="x", now=signin.clock())),
        ("DPoP", proof(ECKey.generate_key(), method="GET", url=USERINFO, token=token, now=signin.clock())),
        ("Bearer", None),
    ):
        status, challenge = await asked(signin, token, scheme, sent)
        assert (status, 'error="invalid_' in challenge) == (401, True)


async def test_a_proof_that_does_not_hold_gets_no_token(signin: SignIn) -> None:
    spent = proved(signin)
    assert (await bound(signin, spent))[0] == 200
    at = int(signin.clock().timestamp())
    for wrong in (
        spent,
        "x.y.z",
        "é",
        f"{proved(signin)}, {proved(signin)}",
        proved(signin, url=USERINFO),
        proved(signin, method="GET"),
        proved(signin, iat=at - 61),
        proved(signin, iat=at + 11),
        proved(signin, iat="now"),
        proved(signin, iat=2**62),
        proved(signin, header={"typ": "JWT"}),
        proved(signin, header={"jwk": KEY.as_dict(private=True)}),
        proved(signin, header={"jwk": ECKey.generate_key().as_dict(private=False)}),
        proved(signin, header={"jwk": {"kty": "RSA", "n": "AQAB", "e": "AQAB"}}),
    ):
        status, told = await bound(signin, wrong)
        assert (status, told.get("error")) == (400, "invalid_dpop_proof"), wrong


async def test_userinfo_says_what_was_asked_for_and_nothing_to_others(signin: SignIn) -> None:
    for scope, names in (("openid", {"sub"}), ("openid profile", {"sub", "name"})):
        token = (await signin.token(code=await signin.code(scope=scope)))[1]["access_token"]
        status, told = await asked(signin, token)
        assert (status, told.keys()) == (200, names)
    async with signin.session.post(
        f"{signin.url}/userinfo", headers={"Authorization": f"Bearer {token}"}, data={}
    ) as reply:
        assert reply.status == 200
    told = (await signin.token(code=await signin.code()))[1]
    for wrong in (told["id_token"], "", "x.y.z", signin.access_token("heir", ttl=timedelta(seconds=-1))):
        assert (await asked(signin, wrong))[0] == 401
    assert (await asked(signin, told["access_token"], "Basic"))[0] == 401
    status, challenge = await asked(signin, signin.access_token("heir"))
    assert (status, 'error="insufficient_scope"' in challenge) == (403, True)


async def test_a_code_that_comes_again_takes_back_what_it_was_good_for(signin: SignIn) -> None:
    code, other = await signin.portal_code(), await signin.portal_code()
    redeem = {"redirect_uri": PORTAL, "code": code}
    token = (await signin.token(**redeem, **signin.assertion()))[1]["access_token"]
    beside = (await signin.token(**{**redeem, "code": other}, **signin.assertion()))[1]["access_token"]
    assert (await asked(signin, token))[0] == 200
    await signin.token(code="guessed")
    await signin.token(**redeem, **signin.assertion(key=ECKey.generate_key()))  # nobody in particular
    assert (await asked(signin, token))[0] == 200
    assert (await signin.token(**redeem, **signin.assertion()))[1]["error"] == "invalid_grant"
    status, challenge = await asked(signin, token)
    assert (status, 'error="invalid_token"' in challenge) == (401, True)
    assert (await signin.exchanged(subject_token=token))[1]["error"] == "invalid_grant"
    assert (await asked(signin, beside))[0] == 200  # another sign-in is left alone
    assert (await signin.exchanged(subject_token=beside))[0] == 200


async def out(signin: SignIn, method: str = "GET", **said: str) -> tuple[int, str, str]:
    sent = {"params": said} if method == "GET" else {"data": said}
    url = f"{signin.url}/end_session"
    async with signin.session.request(
        method, url, allow_redirects=False, headers={"Accept-Language": "en"}, **sent
    ) as reply:
        return reply.status, reply.headers.get("Location", ""), await reply.text()


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_who_signs_out_is_led_back_to_the_client(signin: SignIn, method: str) -> None:
    redeem = {"redirect_uri": PORTAL, "code": await signin.portal_code()}
    hint = (await signin.token(**redeem, **signin.assertion()))[1]["id_token"]
    signin.clock.at += timedelta(days=1)
    back = "http://127.0.0.1:8000/"
    for said in ({"id_token_hint": hint}, {"client_id": "sandbox-portal"}):
        seen = await out(signin, method, post_logout_redirect_uri=back, state="a b", **said)
        assert seen[:2] == (303, f"{back}?state=a+b")
    status, location, page = await out(signin, method)
    assert (status, location, "You are signed out" in page) == (200, "", True)
    assert "로그아웃했습니다" in (await out(signin, method, ui_locales="ko"))[2]


async def test_nobody_is_led_elsewhere(signin: SignIn) -> None:
    redeem = {"redirect_uri": PORTAL, "code": await signin.portal_code()}
    told = (await signin.token(**redeem, **signin.assertion()))[1]
    back, hint = "http://127.0.0.1:8000/", told["id_token"]
    forged = jwt.encode({"alg": "ES256"}, signin.read(hint).claims, ECKey.generate_key(), algorithms=["ES256"])
    for said in (
        {"post_logout_redirect_uri": "https://evil.example/", "id_token_hint": hint},
        {"post_logout_redirect_uri": back + "x", "id_token_hint": hint},
        {"post_logout_redirect_uri": back},
        {"post_logout_redirect_uri": back, "client_id": "sandbox-app"},
        {"post_logout_redirect_uri": back, "client_id": "sandbox-app", "id_token_hint": hint},
        {"post_logout_redirect_uri": back, "id_token_hint": forged},
        {"post_logout_redirect_uri": back, "id_token_hint": told["access_token"]},
        {"id_token_hint": "x"},
    ):
        status, location, _ = await out(signin, **said)
        assert (status, location) == (400, ""), said


async def test_the_metadata_names_both(signin: SignIn) -> None:
    async with signin.session.get(f"{signin.url}/.well-known/openid-configuration") as reply:
        openid = await reply.json()
    assert (openid["userinfo_endpoint"], openid["end_session_endpoint"]) == (USERINFO, f"{URL}/end_session")
    assert openid["dpop_signing_alg_values_supported"] == ["ES256"]


async def test_at_hash_is_of_the_bound_token_too(signin: SignIn) -> None:
    told = (await bound(signin, proved(signin)))[1]
    half = hashlib.sha256(told["access_token"].encode()).digest()[:16]
    assert signin.read(told["id_token"]).claims["at_hash"] == base64.urlsafe_b64encode(half).decode().rstrip("=")
