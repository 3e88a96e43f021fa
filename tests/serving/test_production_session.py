"""The portal's session in production mode: the whole program, which takes no `Bearer`, takes the cookie."""

import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc.jwk import ECKey

from sandbox.issuer import Issuer
from sandbox.server import served
from sandbox.signin.provider import provider
from schema.disclosure import Agency
from serving import program
from serving.drain import Drain
from serving.metrics import Metrics
from serving.settings import Settings
from tests.serving.test_session import OURS, Browser

AUDIENCE = "https://onestop.invalid/graphql"
QUESTION = {"query": "{ viewer { roles assurance } }"}


def free() -> socket.socket:
    """A socket that listens somewhere on this machine, once it is served."""
    its = socket.socket()
    its.bind(("127.0.0.1", 0))
    return its


@asynccontextmanager
async def running(folder: Path, *, portal: bool) -> AsyncIterator[Browser]:
    """A browser at the program in production mode, whose agencies are all away."""
    async with AsyncExitStack() as stack:
        at_issuer, at_program = stack.enter_context(free()), stack.enter_context(free())
        issuer_url, url = (f"http://127.0.0.1:{each.getsockname()[1]}" for each in (at_issuer, at_program))
        key, issuer = ECKey.generate_key("P-256"), Issuer(issuer_url, folder / "issuer.jwk")
        pages = provider(issuer, audience=AUDIENCE, portal_origin=url, portal_key=key, now=lambda: datetime.now(UTC))
        nowhere = dict.fromkeys(Agency, "https://127.0.0.1:1")
        wiring = program.Wiring(
            settings=Settings(mode="production", origin=url, introspection=False),
            database_url=f"sqlite+aiosqlite:///{folder}/cases.db",
            log_url=f"sqlite+aiosqlite:///{folder}/log.db",
            id_root=b"r" * 32,
            newer_id_keys=[],
            signing_key=Ed25519PrivateKey.generate(),
            tiles=folder / "tiles",
            issuer=issuer_url,
            audience=AUDIENCE,
            agencies=nowhere | {Agency.VEHICLES: "postgresql+asyncpg://127.0.0.1:1/none"},
            tax_issuer="https://127.0.0.1:1",
            callback_url=None,
            portal=program.Portal("sandbox-portal", key, url, f"{url}/session/callback") if portal else None,
        )
        app = await stack.enter_async_context(program.opened(wiring, Drain(), Metrics()))
        await stack.enter_async_context(served({at_issuer: pages, at_program: app}))
        jar = aiohttp.CookieJar(unsafe=True, treat_as_secure_origin=[url])
        yield Browser(url, await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=jar)))


async def test_the_cookie_is_as_good_as_a_bound_token_and_bearer_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path, portal=True) as browser:
        await browser.sign_in(assurance="2")
        asked = await browser.ask("/graphql", "POST", json=QUESTION, headers=OURS)
        assert asked.json["data"]["viewer"] == {"roles": ["CITIZEN"], "assurance": "SUBSTANTIAL"}
        again = await browser.ask("/graphql", "POST", json=QUESTION, headers=OURS)
        assert again.status == 200  # each question has a proof of its own
        bearer = await browser.ask("/graphql", "POST", json=QUESTION, headers={"Authorization": "Bearer x"})
        assert (bearer.status, bearer.error["code"]) == (401, "UNAUTHENTICATED")
        assert bearer.headers["WWW-Authenticate"].startswith("DPoP realm=")
        assert (await browser.ask("/session/logout", "POST", headers=OURS)).status == 204
        assert (await browser.ask("/session")).status == 401


async def test_without_a_client_for_the_portal_nobody_signs_in(tmp_path: Path) -> None:
    async with running(tmp_path, portal=False) as browser:
        for path, method in (("/session", "GET"), ("/session/login", "GET"), ("/session/logout", "POST")):
            seen = await browser.ask(path, method, headers=OURS)
            assert (seen.status, seen.error["code"]) == (404, "SIGN_IN_NOT_CONFIGURED")
        forged = await browser.ask("/graphql", "POST", json=QUESTION, headers={**OURS, "Cookie": "__Host-onestop=x"})
        assert (forged.status, forged.error["code"]) == (401, "UNAUTHENTICATED")
