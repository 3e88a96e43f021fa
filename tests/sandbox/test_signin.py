"""The sandbox's sign-in over real HTTP: what it hands out, and everything that it refuses."""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import uuid4

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from sandbox.issuer import Issuer
from sandbox.personas import PERSONAS
from sandbox.signin.provider import provider
from tests.sandbox.conftest import Clock

URL = "http://127.0.0.1:8100"
AUDIENCE = "https://onestop.invalid/graphql"
PORTAL = "http://127.0.0.1:8000/session/callback"
APP = "http://127.0.0.1:4711/callback"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
HTML = {"Accept-Language": "ko"}
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"


@dataclass
class SignIn:
    """A served sign-in, and a client of it."""

    url: str
    session: Any
    issuer: Issuer
    key: ECKey
    clock: Clock = field(default_factory=Clock)

    def asked(self, **changes: str | None) -> dict[str, str]:
        asked: dict[str, str | None] = {
            "response_type": "code",
            "client_id": "sandbox-app",
            "redirect_uri": APP,
            "scope": "openid profile",
            "state": "s",
            "nonce": "n",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
        }
        return {name: value for name, value in {**asked, **changes}.items() if value is not None}

    async def authorize(self, form: dict[str, str] | None = None, query: str | None = None, **changes: Any) -> Any:
        """The page (without a form), or what choosing on it leads to: status, location's parameters, body."""
        url = f"{self.url}/authorize?{query if query is not None else urlencode(self.asked(**changes))}"
        sent = {} if form is None else {"data": form}
        method = "GET" if form is None else "POST"
        async with self.session.request(method, url, allow_redirects=False, headers=HTML, **sent) as reply:
            location = reply.headers.get("Location", "")
            said = {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}
            return Answer(reply.status, location.partition("?")[0], said, await reply.text(), dict(reply.headers))

    async def code(self, persona: str = "heir", assurance: str = "3", **changes: Any) -> str:
        answer = await self.authorize({"persona": persona, "assurance": assurance}, **changes)
        assert answer.status == 303, answer
        return str(answer.said["code"])

    async def token(self, **changes: str | None) -> tuple[int, Any]:
        asked: dict[str, str | None] = {
            "grant_type": "authorization_code",
            "client_id": "sandbox-app",
            "redirect_uri": APP,
            "code_verifier": VERIFIER,
        }
        sent = {name: value for name, value in {**asked, **changes}.items() if value is not None}
        async with self.session.post(f"{self.url}/token", data=sent) as reply:
            assert reply.headers["Cache-Control"] == "no-store"
            return reply.status, await reply.json()

    def assertion(self, key: ECKey | None = None, **changes: Any) -> dict[str, str | None]:
        """How the portal proves itself."""
        at = int(self.clock().timestamp())
        claims = {"iss": "sandbox-portal", "sub": "sandbox-portal", "aud": URL, "exp": at + 60, "jti": uuid4().hex}
        said = {name: value for name, value in {**claims, **changes}.items() if value is not None}
        return {
            "client_id": None,
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": jwt.encode({"alg": "ES256"}, said, key or self.key, algorithms=["ES256"]),
        }

    async def portal_code(self) -> str:
        return await self.code(client_id="sandbox-portal", redirect_uri=PORTAL)

    def read(self, token: str) -> Any:
        return jwt.decode(token, self.issuer.key, algorithms=["ES256"])

    def access_token(self, persona: str, **changes: Any) -> str:
        said = {"audience": AUDIENCE, "client_id": "sandbox-portal", "acr": 3, "ttl": timedelta(minutes=5)}
        return self.issuer.token(PERSONAS[persona], now=self.clock(), **{**said, **changes})

    async def exchanged(self, **changes: str | None) -> tuple[int, Any]:
        asked: dict[str, Any] = {
            "grant_type": EXCHANGE,
            "redirect_uri": None,
            "code_verifier": None,
            "subject_token": self.access_token("heir"),
            "subject_token_type": ACCESS_TOKEN,
            "actor_token": self.access_token("case-officer"),
            "actor_token_type": ACCESS_TOKEN,
        }
        return await self.token(**{**asked, **self.assertion(), **changes})


@dataclass
class Answer:
    status: int
    location: str
    said: dict[str, str]
    body: str
    headers: dict[str, str]


@pytest.fixture
async def signin(tmp_path: Path, opened: Callable[..., Any]) -> SignIn:
    clock, key = Clock(), ECKey.generate_key("P-256")
    issuer = Issuer(URL, tmp_path / "issuer.jwk")
    pages = provider(issuer, audience=AUDIENCE, portal_origin="http://127.0.0.1:8000", portal_key=key, now=clock)
    port = await opened(pages)
    return SignIn(port.url, port.session, issuer, key, clock)


async def test_metadata_says_all_that_there_is(signin: SignIn) -> None:
    async with signin.session.get(f"{signin.url}/.well-known/openid-configuration") as reply:
        openid = await reply.json()
    async with signin.session.get(f"{signin.url}/.well-known/oauth-authorization-server") as reply:
        assert await reply.json() == openid
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
        assert openid[name].startswith(URL)
    assert openid["issuer"] == URL
    assert openid["response_types_supported"] == ["code"]
    assert openid["code_challenge_methods_supported"] == ["S256"]
    assert openid["authorization_response_iss_parameter_supported"] is True
    async with signin.session.get(signin.url + urlsplit(openid["jwks_uri"]).path) as reply:
        (key,) = (await reply.json())["keys"]
    assert (key["kid"], "d" in key) == (signin.issuer.key.thumbprint(), False)


async def test_an_app_gets_tokens_for_the_persona_that_was_chosen(signin: SignIn) -> None:
    answer = await signin.authorize({"persona": "heir", "assurance": "2"}, state='a+b c%20"é')
    assert (answer.status, answer.location) == (303, APP)
    assert answer.said.keys() == {"code", "state", "iss"}
    assert (answer.said["state"], answer.said["iss"]) == ('a+b c%20"é', URL)
    signin.clock.at += timedelta(seconds=30)
    status, told = await signin.token(code=answer.said["code"])
    assert (status, told["token_type"], told["expires_in"], told["scope"]) == (200, "Bearer", 3600, "openid profile")
    access, identity = signin.read(told["access_token"]), signin.read(told["id_token"])
    heir, at = PERSONAS["heir"].subject, int(signin.clock().timestamp())
    assert access.header["typ"] == "at+jwt"
    assert (access.claims["sub"], access.claims["aud"], access.claims["client_id"]) == (heir, AUDIENCE, "sandbox-app")
    assert (access.claims["acr"], access.claims["auth_time"]) == ("urn:onestop:loa:2", at - 30)
    digest = hashlib.sha256(told["access_token"].encode()).digest()[:16]
    assert identity.claims == {
        "iss": URL,
        "sub": heir,
        "aud": "sandbox-app",
        "iat": at,
        "exp": at + 300,
        "auth_time": at - 30,
        "acr": "urn:onestop:loa:2",
        "nonce": "n",
        "at_hash": base64.urlsafe_b64encode(digest).decode().rstrip("="),
        "name": "이서연",
    }


async def test_the_portal_proves_itself_with_its_key(signin: SignIn) -> None:
    asked = {"redirect_uri": PORTAL, "code": await signin.portal_code()}
    status, told = await signin.token(**asked, **signin.assertion())
    assert (status, signin.read(told["access_token"]).claims["client_id"]) == (200, "sandbox-portal")


@pytest.mark.parametrize(
    "redirect", ["http://127.0.0.1/callback", "http://127.0.0.1:1/callback", "http://[::1]:9/callback"]
)
async def test_an_app_listens_on_any_loopback_port(signin: SignIn, redirect: str) -> None:
    assert (await signin.authorize(redirect_uri=redirect)).status == 200
    answer = await signin.authorize({"persona": "heir", "assurance": "3"}, redirect_uri=redirect)
    assert (answer.status, answer.location) == (303, redirect)


@pytest.mark.parametrize(
    "changes",
    [
        {"redirect_uri": None},
        {"redirect_uri": "http://127.0.0.1:4711/callback/"},
        {"redirect_uri": "http://127.0.0.1:4711/callback?x=1"},
        {"redirect_uri": "http://127.0.0.1:4711/callback#x"},
        {"redirect_uri": "http://127.0.0.1:4711@evil.example/callback"},
        {"redirect_uri": "http://localhost:4711/callback"},
        {"redirect_uri": "https://127.0.0.1:4711/callback"},
        {"redirect_uri": "http://127.0.0.1.evil.example/callback"},
        {"redirect_uri": 'http://127.0.0.1:4711/callback"'},
        {"redirect_uri": PORTAL},
        {"client_id": "sandbox-portal", "redirect_uri": APP},
        {"client_id": "sandbox-portal", "redirect_uri": "http://127.0.0.1:8001/session/callback"},
        {"client_id": "nobody"},
        {"client_id": None},
        {"request": "eyJ"},
    ],
)
async def test_who_may_not_be_answered_is_not_redirected(signin: SignIn, changes: dict[str, str | None]) -> None:
    for form in (None, {"persona": "heir", "assurance": "3"}):
        answer = await signin.authorize(form, **changes)
        assert (answer.status, answer.location) == (400, ""), answer


async def test_a_parameter_that_is_there_twice_is_refused(signin: SignIn) -> None:
    for name in ("redirect_uri", "state", "nonce", "code_challenge", "acr_values"):
        asked = signin.asked(acr_values="urn:onestop:loa:3")
        answer = await signin.authorize(query=urlencode([*asked.items(), (name, asked[name])]))
        assert (answer.status, answer.location) == (400, "")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_challenge_method": "plain", "code_challenge": VERIFIER}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "code id_token"}, "unsupported_response_type"),
        ({"scope": "openid admin"}, "invalid_scope"),
        ({"prompt": "none"}, "login_required"),
        ({"max_age": "-1"}, "invalid_request"),
        ({"acr_values": "urn:example:other"}, "unmet_authentication_requirements"),
        ({"resource": "https://elsewhere.invalid"}, "invalid_target"),
    ],
)
async def test_other_errors_go_back_to_the_client_with_state_and_issuer(
    signin: SignIn, changes: dict[str, str | None], error: str
) -> None:
    answer = await signin.authorize(**changes)
    assert (answer.status, answer.location) == (303, APP)
    assert (answer.said["error"], answer.said["state"], answer.said["iss"]) == (error, "s", URL)


async def test_who_goes_back_has_denied(signin: SignIn) -> None:
    answer = await signin.authorize({"cancel": "1"})
    assert (answer.said["error"], answer.said["state"], answer.said["iss"]) == ("access_denied", "s", URL)


async def test_an_assurance_below_the_wanted_one_cannot_be_chosen(signin: SignIn) -> None:
    wanted = "urn:onestop:loa:2 urn:onestop:loa:3"
    page = (await signin.authorize(acr_values=wanted)).body
    assert [f'name="assurance" value="{level}"' in page for level in (1, 2, 3)] == [False, True, True]
    assert 'value="2" checked' in page
    for form in ({"persona": "heir", "assurance": "1"}, {"persona": "heir"}, {"persona": "x", "assurance": "3"}, {}):
        answer = await signin.authorize(form, acr_values=wanted)
        assert (answer.status, answer.location) == (400, "")
    assert await signin.code(assurance="2", acr_values=wanted, max_age="0")


async def test_the_page_names_every_persona_in_two_languages_and_loads_nothing(signin: SignIn) -> None:
    for locale, title in (("ko", "체험용 로그인"), ("en", "Sandbox sign-in"), ("fr en", "Sandbox sign-in")):
        answer = await signin.authorize(ui_locales=locale, state='"><script>')
        assert (answer.status, title in answer.body) == (200, True)
        assert all(f'name="persona" value="{name}"' in answer.body for name in PERSONAS)
        assert "<script" not in answer.body
        assert "src=" not in answer.body
    assert "체험용 로그인" in (await signin.authorize()).body  # as the browser prefers
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "form-action 'self' http://127.0.0.1:4711" in policy
    style = answer.body.partition("<style>")[2].partition("</style>")[0]
    assert base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() in policy


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_verifier": None}, "invalid_request"),
        ({"code_verifier": "w" * 43}, "invalid_grant"),
        ({"redirect_uri": "http://127.0.0.1:4712/callback"}, "invalid_grant"),
        ({"redirect_uri": None}, "invalid_grant"),
        ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
        ({"grant_type": 'a"b'}, "invalid_request"),
        ({"client_id": "nobody"}, "invalid_client"),
        ({"client_id": None}, "invalid_client"),
        ({"client_id": "sandbox-portal"}, "invalid_client"),
        ({"code": "guessed"}, "invalid_grant"),
    ],
)
async def test_a_code_is_good_only_with_all_that_belongs_to_it(
    signin: SignIn, changes: dict[str, str | None], error: str
) -> None:
    status, told = await signin.token(**{"code": await signin.code(), **changes})
    assert (status, told["error"]) == (400, error)


async def test_a_code_is_good_once_for_a_minute_and_for_its_client(signin: SignIn) -> None:
    code = await signin.code()
    assert (await signin.token(code=code))[0] == 200
    assert (await signin.token(code=code))[1]["error"] == "invalid_grant"
    code = await signin.code()
    assert (await signin.token(code=code, code_verifier="w" * 43))[1]["error"] == "invalid_grant"
    assert (await signin.token(code=code))[1]["error"] == "invalid_grant"
    code = await signin.portal_code()
    assert (await signin.token(code=code, redirect_uri=PORTAL))[1]["error"] == "invalid_grant"
    code = await signin.code()
    signin.clock.at += timedelta(seconds=60)
    assert (await signin.token(code=code))[1]["error"] == "invalid_grant"


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "https://elsewhere.invalid"},
        {"aud": None},
        {"iss": "sandbox-app"},
        {"sub": "sandbox-app", "iss": "sandbox-app"},
        {"sub": "nobody"},
        {"sub": None},
        {"exp": 1},
        {"exp": None},
        {"jti": None},
        {"key": ECKey.generate_key("P-256")},
    ],
)
async def test_an_assertion_that_does_not_hold_proves_nothing(signin: SignIn, changes: dict[str, Any]) -> None:
    asked = {"redirect_uri": PORTAL, "code": await signin.portal_code()}
    status, told = await signin.token(**asked, **signin.assertion(**changes))
    assert (status, told["error"]) == (400, "invalid_client")
    assert (await signin.token(**asked, **signin.assertion()))[0] == 200  # the code was not spent by it


async def test_an_assertion_is_good_once(signin: SignIn) -> None:
    said = signin.assertion()
    for expected in (200, 400):
        status, _ = await signin.token(redirect_uri=PORTAL, code=await signin.portal_code(), **said)
        assert status == expected


async def test_an_official_exchanges_two_tokens_for_one_to_act_with(signin: SignIn) -> None:
    status, told = await signin.exchanged(audience=AUDIENCE, requested_token_type=ACCESS_TOKEN)
    assert (status, told["issued_token_type"], told["expires_in"]) == (200, ACCESS_TOKEN, 300)
    said = signin.read(told["access_token"]).claims
    assert (said["sub"], said["act"]) == (PERSONAS["heir"].subject, {"sub": PERSONAS["case-officer"].subject})
    assert (said["roles"], said["office"]) == (["OFFICIAL"], PERSONAS["case-officer"].office)


async def test_an_exchanged_token_ends_with_the_first_of_the_two(signin: SignIn) -> None:
    brief = signin.access_token("heir", ttl=timedelta(seconds=20))
    assert (await signin.exchanged(subject_token=brief))[1]["expires_in"] == 20


async def test_nothing_else_is_exchanged(signin: SignIn) -> None:
    citizen, officer = signin.access_token("heir"), signin.access_token("case-officer")
    acting = (await signin.exchanged())[1]["access_token"]
    for changes, error in (
        ({"actor_token": citizen}, "invalid_grant"),
        ({"subject_token": officer}, "invalid_grant"),
        ({"actor_token": acting}, "invalid_grant"),
        ({"subject_token": acting}, "invalid_grant"),
        ({"subject_token": "x.y.z"}, "invalid_grant"),
        ({"subject_token": None}, "invalid_grant"),
        ({"subject_token": signin.access_token("heir", ttl=timedelta(seconds=-1))}, "invalid_grant"),
        ({"subject_token": signin.access_token("heir", client_id="sandbox-app")}, "invalid_grant"),
        (
            {"subject_token": signin.access_token("heir", auth_time=signin.clock() - timedelta(minutes=16))},
            "invalid_grant",
        ),
        ({"subject_token": signin.access_token("heir", audience="https://x.invalid")}, "invalid_grant"),
        ({"subject_token_type": "urn:ietf:params:oauth:token-type:id_token"}, "invalid_request"),
        ({"actor_token_type": None}, "invalid_request"),
        ({"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"}, "invalid_request"),
        ({"audience": "https://elsewhere.invalid"}, "invalid_target"),
        ({"client_assertion": None, "client_id": "sandbox-portal"}, "invalid_client"),
        ({"client_assertion": None, "client_id": "sandbox-app"}, "invalid_client"),
    ):
        status, told = await signin.exchanged(**changes)
        assert (status, told["error"]) == (400, error), changes


async def test_the_token_endpoint_takes_forms_of_a_sane_size(signin: SignIn) -> None:
    for headers, body in (
        ({"Content-Type": "application/json"}, b"{}"),
        (FORM, b"a=" + b"x" * 40_000),
        (FORM, b"grant_type=authorization_code&code=1&code=2"),
    ):
        async with signin.session.post(f"{signin.url}/token", data=body, headers=headers) as reply:
            assert (reply.status, (await reply.json())["error"]) == (400, "invalid_request")
