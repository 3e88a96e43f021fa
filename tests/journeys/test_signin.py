"""A browser at the running program: somebody signs in, asks about an estate, has to prove more, and signs out."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import aiohttp
import pytest

from tests.journeys.client import Onestop
from tests.journeys.documents import OPEN_ESTATE, VIEWER

COOKIE = "__Host-onestop"
OURS = {"X-Onestop-Csrf": "1", "Sec-Fetch-Site": "same-origin"}
AMOUNTS = "query($id: ID!) { estateCase(id: $id) { finance { deposits { balance } } } }"


@dataclass
class Page:
    """What a request led to."""

    status: int
    location: str
    text: str
    json: Any


@dataclass
class Browser:
    """Keeps cookies as a browser does, fills in the one form there is, and sends what its own pages would."""

    onestop: Onestop
    http: aiohttp.ClientSession

    async def get(self, url: str, method: str = "GET", **more: Any) -> Page:
        address = urljoin(self.onestop.url, url)
        async with self.http.request(method, address, allow_redirects=False, **more) as reply:
            json = await reply.json(content_type=None) if "json" in reply.content_type else None
            return Page(reply.status, reply.headers.get("Location", ""), await reply.text(), json)

    async def sign_in(self, persona: str, assurance: str, **asked: str) -> Page:
        """From our link over the issuer's page and back."""
        login = await self.get(f"/session/login?{urlencode(asked)}")
        assert (login.status, urlsplit(login.location).netloc) == (303, urlsplit(self.onestop.issuer).netloc)
        chooser = await self.get(login.location)
        assert f'name="persona" value="{persona}"' in chooser.text
        assert re.search(rf'name="assurance" value="{assurance}"', chooser.text)
        chosen = await self.get(login.location, "POST", data={"persona": persona, "assurance": assurance})
        assert chosen.location.startswith(f"{self.onestop.url}/session/callback?")
        return await self.get(chosen.location)

    async def ask(self, query: str, headers: dict[str, str] | None = None, **variables: Any) -> Page:
        body = {"query": query, "variables": variables}
        return await self.get("/graphql", "POST", json=body, headers=OURS if headers is None else headers)

    @property
    def cookie(self) -> str:
        (found,) = [each.value for each in self.http.cookie_jar if each.key == COOKIE]
        return found


@pytest.fixture
async def browser(onestop: Onestop) -> AsyncIterator[Browser]:
    # Browsers keep Secure cookies from the loopback address.
    jar = aiohttp.CookieJar(unsafe=True, treat_as_secure_origin=[onestop.url])
    async with aiohttp.ClientSession(cookie_jar=jar) as http:
        yield Browser(onestop, http)


async def test_an_heir_signs_in_asks_steps_up_and_signs_out(onestop: Onestop, browser: Browser) -> None:
    case = onestop.as_("heir").case()
    assert (await browser.get("/session")).json == {"login": "/session/login"}
    assert (await browser.sign_in("heir", "1", **{"return": "/?case=1"})).location == "/?case=1"
    first = browser.cookie
    assert (await browser.get("/session")).json["assurance"] == "LOW"

    asked = await browser.ask(AMOUNTS, id=case)
    (refusal,) = asked.json["errors"]
    assert (asked.status, refusal["extensions"]["code"]) == (401, "STEP_UP_REQUIRED")
    (wanted,) = refusal["extensions"]["acrValues"]
    acr = {"urn:onestop:loa:2": "substantial", "urn:onestop:loa:3": "high"}[wanted]
    told = {"acr": acr, "max_age": str(refusal["extensions"]["maxAge"]), "return": "/"}
    again = await browser.get(f"/session/login?{urlencode(told)}")
    assert parse_qs(urlsplit(again.location).query)["acr_values"] == [wanted]
    weaker = await browser.get(again.location, "POST", data={"persona": "heir", "assurance": "1"})
    assert weaker.status == 400

    assert (await browser.sign_in("heir", "3", **told)).location == "/"
    second = browser.cookie
    assert second != first
    held = (await browser.ask(AMOUNTS, id=case)).json
    assert "errors" not in held
    assert held["data"]["estateCase"]["finance"]["deposits"]
    old = {**OURS, "Cookie": f"{COOKIE}={first}"}
    async with aiohttp.ClientSession() as nobody:
        elsewhere = Browser(onestop, nobody)
        assert (await elsewhere.ask(AMOUNTS, old, id=case)).status == 401

        assert (await browser.get("/session/logout", "POST", headers=OURS)).status == 204
        assert [each.key for each in browser.http.cookie_jar] == []
        dead = await elsewhere.ask(AMOUNTS, {**OURS, "Cookie": f"{COOKIE}={second}"}, id=case)
    assert (dead.status, dead.json["errors"][0]["extensions"]["loginUrl"]) == (401, "/session/login")
    assert (await browser.get("/session")).status == 401


async def test_the_case_is_opened_through_the_cookie_and_only_from_our_own_page(browser: Browser) -> None:
    await browser.sign_in("heir", "3")
    (candidate,) = (await browser.ask(VIEWER)).json["data"]["viewer"]["candidates"]
    wish = {"idempotencyKey": "signin-journey", "candidate": candidate["person"]["id"]}
    for headers in (
        {},
        {"X-Onestop-Csrf": "1"},
        {"X-Onestop-Csrf": "1", "Sec-Fetch-Site": "cross-site"},
        {"X-Onestop-Csrf": "1", "Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "same-origin"},
    ):
        refused = await browser.ask(OPEN_ESTATE, headers, input=wish)
        assert (refused.status, refused.json["errors"][0]["extensions"]["code"]) == (403, "CROSS_SITE")
        assert (await browser.get("/session/logout", "POST", headers=headers)).status == 403
    assert (await browser.ask(OPEN_ESTATE, input=wish)).json["data"]["openEstateCase"]["case"]["id"]
    preflight = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    async with browser.http.options(f"{browser.onestop.url}/graphql", headers=preflight) as reply:
        assert "Access-Control-Allow-Origin" not in reply.headers


async def test_a_subscription_runs_through_the_cookie(onestop: Onestop, browser: Browser) -> None:
    await browser.sign_in("heir", "3")
    (candidate,) = (await browser.ask(VIEWER)).json["data"]["viewer"]["candidates"]
    wish = {"idempotencyKey": "signin-journey", "candidate": candidate["person"]["id"]}
    case = (await browser.ask(OPEN_ESTATE, input=wish)).json["data"]["openEstateCase"]["case"]["id"]
    body = {"query": "subscription($id: ID!) { caseUpdated(id: $id) { __typename } }", "variables": {"id": case}}
    headers = {**OURS, "Accept": "text/event-stream"}
    async with browser.http.post(f"{onestop.url}/graphql", json=body, headers=headers) as reply:
        assert (reply.status, reply.content_type) == (200, "text/event-stream")
