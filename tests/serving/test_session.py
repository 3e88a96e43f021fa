"""The portal's session over real HTTP, against the sandbox's sign-in: begun, used, stepped up, and ended."""

import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import aiohttp
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey
from sqlalchemy import text
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from yarl import URL

from auth.dpop import Shown, check
from auth.keys import IssuerKeys
from cases.store import Cases
from sandbox.issuer import Issuer
from sandbox.server import served
from sandbox.signin.provider import provider
from serving.session import ATTEMPT_COOKIE, COOKIE, BrowserSessions, unconfigured
from serving.signin import RelyingParty, posting

AUDIENCE = "https://onestop.invalid/graphql"
ROOT = b"r" * 32
OURS = {"X-Onestop-Csrf": "1", "Sec-Fetch-Site": "same-origin"}
UNUSABLE = {"Authorization": "Bearer elsewhere"}


@dataclass
class Clock:
    at: datetime = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def on(self, **more: float) -> None:
        self.at += timedelta(**more)


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """An endpoint that says how it was asked."""
    request = Request(scope, receive)
    said = {name: request.headers.get(name) for name in ("authorization", "cookie")}
    said["dpop"] = ", ".join(request.headers.getlist("dpop"))
    await JSONResponse({**said, "body": (await request.body()).decode()})(scope, receive, send)


class Echo:
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await echo(scope, receive, send)


@dataclass
class Seen:
    status: int
    location: str
    cookies: dict[str, Any]
    body: str
    headers: Any

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> Any:
        return self.json["errors"][0]["extensions"]


class Browser:
    """Keeps cookies and follows nothing by itself."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url = url
        self.http = http

    async def ask(self, path: str, method: str = "GET", **more: Any) -> Seen:
        url = path if path.startswith("http") else self.url + path
        async with self.http.request(method, url, allow_redirects=False, **more) as reply:
            return Seen(
                reply.status,
                reply.headers.get("Location", ""),
                dict(reply.cookies),
                await reply.text(),
                reply.headers,
            )

    async def chosen(self, persona: str = "heir", assurance: str = "3", **asked: str) -> str:
        """From the portal to the issuer, a button there, and the address that leads back."""
        login = await self.ask(f"/session/login?{urlencode(asked)}")
        assert login.status == 303, login
        assert (await self.ask(login.location)).status == 200
        form = {"persona": persona, "assurance": assurance}
        return (await self.ask(login.location, "POST", data=form)).location

    async def sign_in(self, persona: str = "heir", assurance: str = "3", **asked: str) -> Seen:
        back = await self.ask(await self.chosen(persona, assurance, **asked))
        assert back.status == 303, back
        return back

    @property
    def cookie(self) -> str:
        return str(self.http.cookie_jar.filter_cookies(URL(self.url))[COOKIE].value)

    async def graphql(self, headers: dict[str, str] | None = None) -> Seen:
        return await self.ask("/graphql", "POST", data=b"{}", headers=OURS if headers is None else headers)


@dataclass
class World:
    url: str
    issuer: Issuer
    clock: Clock
    cases: Cases
    stack: AsyncExitStack

    async def browser(self) -> Browser:
        jar = aiohttp.CookieJar(unsafe=True, treat_as_secure_origin=[self.url])
        return Browser(self.url, await self.stack.enter_async_context(aiohttp.ClientSession(cookie_jar=jar)))

    async def rows(self) -> list[Any]:
        async with self.cases._engine.connect() as connection:
            return list((await connection.execute(text("select * from session"))).all())


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(2)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        issuer_url, url = (f"http://127.0.0.1:{each.getsockname()[1]}" for each in sockets)
        clock, key = Clock(), ECKey.generate_key("P-256")
        issuer = Issuer(issuer_url, tmp_path / "issuer.jwk")
        pages = provider(issuer, audience=AUDIENCE, portal_origin=url, portal_key=key, now=clock)
        cases = await stack.enter_async_context(Cases.opened(f"sqlite+aiosqlite:///{tmp_path}/cases.db"))
        http = await stack.enter_async_context(aiohttp.ClientSession())

        async def get(address: str) -> bytes:
            async with http.get(address) as reply:
                return await reply.read()

        party = RelyingParty(
            issuer=issuer_url,
            audience=AUDIENCE,
            client_id="sandbox-portal",
            key=key,
            redirect_uri=f"{url}/session/callback",
            keys=IssuerKeys(issuer_url, get),
            get=get,
            post=posting(http),
            clock=clock,
        )
        browser = BrowserSessions(party, cases.sessions(), ROOT, url, clock)
        app = Starlette(routes=[Route("/graphql", browser.guarded(Echo())), *browser.routes()])
        await stack.enter_async_context(served({sockets[0]: pages, sockets[1]: app}))
        yield World(url, issuer, clock, cases, stack)


@pytest.fixture
async def browser(world: World) -> Browser:
    return await world.browser()


async def test_who_signs_in_asks_with_the_cookie_and_never_sees_the_token(world: World, browser: Browser) -> None:
    back = await browser.sign_in(**{"return": "/cases?x=1#top"})
    assert back.location == "/cases?x=1#top"
    cookie = back.cookies[COOKIE]
    assert (cookie["path"], cookie["secure"], cookie["httponly"], cookie["samesite"]) == ("/", True, True, "lax")
    assert (cookie["domain"], cookie["max-age"]) == ("", "")
    assert back.cookies[ATTEMPT_COOKIE]["max-age"] == "0"
    who = (await browser.ask("/session")).json
    assert who == {"name": "이서연", "assurance": "HIGH", "until": "2026-11-21T03:15:00+00:00"}
    asked = (await browser.graphql()).json
    scheme, _, token = asked["authorization"].partition(" ")
    claims = jwt.decode(token, world.issuer.key, algorithms=["ES256"]).claims
    assert (scheme, claims["aud"], claims["client_id"]) == ("DPoP", AUDIENCE, "sandbox-portal")
    assert (asked["cookie"], asked["body"]) == (None, "{}")
    shown = Shown(asked["dpop"], "POST", f"{world.url}/graphql")
    await check(shown, token, claims["cnf"]["jkt"], first_time, world.clock())
    (row,) = await world.rows()
    assert cookie.value not in str(row)
    assert token.encode() not in row.kept


async def first_time(_proof: str, _until: datetime, _now: datetime) -> bool:
    return True


async def test_each_session_has_a_key_and_each_question_a_proof_of_its_own(world: World, browser: Browser) -> None:
    keys, proofs = set(), set()
    for _ in range(2):
        await browser.sign_in()
        for _ in range(2):
            asked = (await browser.graphql({**OURS, "DPoP": "sent by the page"})).json
            token = asked["authorization"].partition(" ")[2]
            keys.add(jwt.decode(token, world.issuer.key, algorithms=["ES256"]).claims["cnf"]["jkt"])
            proofs.add(asked["dpop"])
            assert "sent by the page" not in asked["dpop"]
    assert (len(keys), len(proofs)) == (2, 4)


async def test_where_no_client_is_registered_nobody_signs_in_and_is_told_why() -> None:
    async with AsyncExitStack() as stack:
        its = stack.enter_context(socket.socket())
        its.bind(("127.0.0.1", 0))
        await stack.enter_async_context(served({its: Starlette(routes=list(unconfigured()))}))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        browser = Browser(f"http://127.0.0.1:{its.getsockname()[1]}", http)
        for path, method in (("", "GET"), ("/login", "GET"), ("/callback?code=x", "GET"), ("/logout", "POST")):
            seen = await browser.ask(f"/session{path}", method)
            assert (seen.status, seen.error) == (404, {"code": "SIGN_IN_NOT_CONFIGURED"})
            assert "ONESTOP_PORTAL_CLIENT_ID" in seen.body


async def test_without_a_session_nobody_is_signed_in(world: World, browser: Browser) -> None:
    seen = await browser.ask("/session")
    assert (seen.status, seen.json) == (401, {"login": "/session/login"})
    assert (await browser.graphql()).json["authorization"] is None  # it is the endpoint that refuses
    for cookie in ("guessed", ""):
        seen = await browser.graphql({**OURS, "Cookie": f"{COOKIE}={cookie}"})
        assert (seen.status, seen.error) == (401, {"code": "UNAUTHENTICATED", "loginUrl": "/session/login"})
        assert seen.headers["WWW-Authenticate"] == "DPoP"
    assert await world.rows() == []


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Onestop-Csrf": "1"},
        {"Sec-Fetch-Site": "same-origin"},
        {"X-Onestop-Csrf": "0", "Sec-Fetch-Site": "same-origin"},
        {"X-Onestop-Csrf": "1", "Sec-Fetch-Site": "same-site"},
        {"X-Onestop-Csrf": "1", "Sec-Fetch-Site": "cross-site"},
        {"X-Onestop-Csrf": "1", "Sec-Fetch-Site": "none"},
    ],
)
async def test_a_page_of_another_site_does_nothing_with_the_cookie(browser: Browser, headers: dict[str, str]) -> None:
    await browser.sign_in()
    seen = await browser.graphql(headers)
    assert (seen.status, seen.error["code"]) == (403, "CROSS_SITE")
    assert (await browser.ask("/session/logout", "POST", headers=headers)).status == 403
    assert (await browser.graphql()).status == 200


async def test_a_token_of_ones_own_goes_before_the_cookie(browser: Browser) -> None:
    await browser.sign_in()
    assert (await browser.graphql(UNUSABLE)).json["authorization"] == "Bearer elsewhere"


async def test_signing_out_ends_the_session_at_once(world: World, browser: Browser) -> None:
    await browser.sign_in()
    cookie = browser.cookie
    seen = await browser.ask("/session/logout", "POST", headers=OURS)
    assert (seen.status, seen.cookies[COOKIE].value, seen.cookies[COOKIE]["max-age"]) == (204, "", "0")
    assert await world.rows() == []
    assert (await browser.graphql({**OURS, "Cookie": f"{COOKIE}={cookie}"})).status == 401
    assert (await browser.ask("/session/logout")).status == 405
    assert (await browser.ask("/session/logout", "POST", headers=OURS)).status == 204


async def test_every_sign_in_and_step_up_begins_a_new_session(world: World, browser: Browser) -> None:
    await browser.sign_in(assurance="1")
    assert (await browser.ask("/session")).json["assurance"] == "LOW"
    first = browser.cookie
    login = await browser.ask("/session/login?acr=high&max_age=900&return=/cases")
    asked = parse_qs(urlsplit(login.location).query)
    assert (asked["acr_values"], asked["max_age"]) == (["urn:onestop:loa:3"], ["900"])
    back = await browser.sign_in(acr="high", max_age="900", **{"return": "/cases"})
    assert (back.location, browser.cookie != first) == ("/cases", True)
    assert (await browser.ask("/session")).json["assurance"] == "HIGH"
    assert len(await world.rows()) == 1
    old = await world.browser()
    assert (await old.graphql({**OURS, "Cookie": f"{COOKIE}={first}"})).status == 401
    assert (await browser.graphql()).status == 200


async def test_a_session_that_nobody_uses_ends_after_15_minutes(world: World, browser: Browser) -> None:
    await browser.sign_in()
    world.clock.on(minutes=14)
    assert (await browser.graphql()).status == 200
    world.clock.on(minutes=14)
    assert (await browser.ask("/session")).status == 200  # which is no use
    world.clock.on(minutes=1)
    assert (await browser.graphql()).status == 401
    assert (await browser.ask("/session")).status == 401


async def test_a_session_ends_after_8_hours_however_much_it_is_used(world: World, browser: Browser) -> None:
    await browser.sign_in()
    long = await _with_a_token_that_lasts(world, browser.cookie)
    for _ in range(48):
        assert await long.session(browser.cookie)
        world.clock.on(minutes=10)
        found = await long.session(browser.cookie)
        if found:
            await long.in_use(found)
    assert await long.session(browser.cookie) is None
    await (await world.browser()).sign_in()
    assert len(await world.rows()) == 1  # and the old one is forgotten


async def _with_a_token_that_lasts(world: World, cookie: str) -> BrowserSessions:
    """The same session as if its issuer gave tokens for a day."""
    from serving.session import Kept, _hash, _sealed

    party: Any = None
    sessions = BrowserSessions(party, world.cases.sessions(), ROOT, world.url, world.clock)
    found = await sessions.session(cookie)
    assert found
    kept = Kept("token", {}, world.clock() + timedelta(days=1), found.kept.assurance, None)
    sealed = _sealed(sessions._key_with(cookie), kept, _hash(cookie))
    async with world.cases._engine.begin() as connection:
        await connection.execute(text("update session set kept = :kept"), {"kept": sealed})
    return sessions


async def test_a_session_ends_with_its_token(world: World, browser: Browser) -> None:
    await browser.sign_in()
    for _ in range(5):
        world.clock.on(minutes=10)
        assert (await browser.graphql()).status == 200
    assert (await browser.ask("/session")).json["until"] == "2026-11-21T04:00:00+00:00"
    world.clock.on(minutes=10)
    assert (await browser.graphql()).error["loginUrl"] == "/session/login"


@pytest.mark.parametrize(
    "back",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example/",
        "\\\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        " /cases",
        "cases",
        "javascript:alert(1)",
        "",
        "/" + "x" * 2001,
    ],
)
async def test_one_comes_back_to_a_place_here_only(browser: Browser, back: str) -> None:
    seen = await browser.ask(f"/session/login?{urlencode({'return': back})}")
    assert (seen.status, seen.error, seen.location) == (400, {"code": "BAD_INPUT", "field": "return"}, "")


@pytest.mark.parametrize("asked", [{"acr": "highest"}, {"max_age": "-1"}, {"max_age": "1e3"}, {"max_age": "999999"}])
async def test_a_step_up_that_cannot_be_is_refused(browser: Browser, asked: dict[str, str]) -> None:
    assert (await browser.ask(f"/session/login?{urlencode(asked)}")).status == 400


async def test_the_other_name_of_this_machine_leads_to_ours(browser: Browser) -> None:
    other = browser.url.replace("127.0.0.1", "localhost")
    seen = await browser.ask(f"{other}/session/login?return=/cases&acr=high")
    assert (seen.status, seen.location) == (303, f"{browser.url}/session/login?return=/cases&acr=high")


def changed(address: str, **changes: str | None) -> str:
    base, _, query = address.partition("?")
    said = {name: values[0] for name, values in parse_qs(query).items()}
    return f"{base}?{urlencode({k: v for k, v in {**said, **changes}.items() if v is not None})}"


@pytest.mark.parametrize(
    "changes",
    [
        {"state": "other"},
        {"state": None},
        {"iss": "https://evil.example"},
        {"iss": None},
        {"code": "guessed"},
        {"code": None},
        {"error": "server_error"},
    ],
)
async def test_an_answer_that_does_not_fit_signs_nobody_in(
    world: World, browser: Browser, changes: dict[str, str | None]
) -> None:
    seen = await browser.ask(changed(await browser.chosen(**{"return": "/cases"}), **changes))
    assert (seen.status, seen.location) == (400, "")
    assert "/session/login?return=%2Fcases" in seen.body
    assert COOKIE not in seen.cookies
    assert seen.cookies[ATTEMPT_COOKIE]["max-age"] == "0"
    assert await world.rows() == []


async def test_a_parameter_twice_signs_nobody_in(browser: Browser) -> None:
    address = await browser.chosen()
    assert (await browser.ask(f"{address}&code=x")).status == 400


async def test_an_answer_is_good_in_the_browser_that_asked_once_and_for_ten_minutes(
    world: World, browser: Browser
) -> None:
    address = await browser.chosen()
    assert (await (await world.browser()).ask(address)).status == 400
    assert (await browser.ask(address)).status == 303
    assert (await browser.ask(address)).status == 400
    login = await browser.ask("/session/login")
    world.clock.on(minutes=10)
    form = {"persona": "heir", "assurance": "3"}
    late = (await browser.ask(login.location, "POST", data=form)).location
    assert (await browser.ask(late)).status == 400
    kept = login.cookies[ATTEMPT_COOKIE].value
    flipped = ("0" if kept[0] != "0" else "1") + kept[1:]
    for cookie in (flipped, "00", "xyz"):
        seen = await (await world.browser()).ask(address, headers={"Cookie": f"{ATTEMPT_COOKIE}={cookie}"})
        assert seen.status == 400


async def test_the_code_of_another_sign_in_is_not_taken(world: World, browser: Browser) -> None:
    attacker = await world.browser()
    theirs = parse_qs(urlsplit(await attacker.chosen("stranger")).query)["code"][0]
    assert (await browser.ask(changed(await browser.chosen(), code=theirs))).status == 400
    assert await world.rows() == []


async def test_who_goes_back_at_the_issuer_is_where_they_were(browser: Browser) -> None:
    login = await browser.ask("/session/login?return=/cases")
    back = await browser.ask((await browser.ask(login.location, "POST", data={"cancel": "1"})).location)
    assert (back.status, back.location, COOKIE in back.cookies) == (303, "/cases", False)
