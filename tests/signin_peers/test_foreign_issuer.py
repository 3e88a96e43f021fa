"""An issuer that nobody here wrote, oidc-provider: our portal signs in there, and we take its tokens.

It wants a nonce in each DPoP proof, gives RFC 9068 tokens for our audience only when asked by resource indicator
(RFC 8707), and keeps people signed in, so that a step-up has to be asked for.
"""

import asyncio
import json
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp
import pytest
from joserfc.jwk import ECKey

from sandbox.personas import PERSONAS

HERE = Path(__file__).parent
AUDIENCE = "https://onestop.test/graphql"
OURS = {"X-Onestop-Csrf": "1", "Sec-Fetch-Site": "same-origin"}
OPEN = "mutation($input: OpenEstateCaseInput!) { openEstateCase(input: $input) { case { id } refusal { code } } }"
AMOUNTS = "query($id: ID!) { estateCase(id: $id) { finance { deposits { balance } } } }"
START_S = 60


@dataclass
class Served:
    url: str
    issuer: str


@asynccontextmanager
async def printed(*command: str, cwd: Path, env: dict[str, str]) -> AsyncIterator[str]:
    """The first line of a program's standard output, which runs until the block ends."""
    errors = cwd / f"{Path(command[0]).name}.stderr"
    with errors.open("wb") as said:
        child = await asyncio.create_subprocess_exec(
            *command, cwd=cwd, env=env, stdout=asyncio.subprocess.PIPE, stderr=said
        )
        try:
            assert child.stdout
            line = await asyncio.wait_for(child.stdout.readline(), START_S)
            assert line, errors.read_text()
            yield line.decode().strip()
        finally:
            child.terminate()
            await child.wait()


@asynccontextmanager
async def served(folder: Path, alg: str) -> AsyncIterator[Served]:
    """The issuer and `onestop serve`, which knows it by settings only."""
    for name in ("package.json", "package-lock.json", "issuer.mjs"):
        shutil.copy(HERE / name, folder)
    install = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--silent"]
    assert await (await asyncio.create_subprocess_exec(*install, cwd=folder)).wait() == 0
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    key = ECKey.generate_key("P-256", {"kid": "as registered"})
    (folder / "portal.jwk").write_text(json.dumps(key.as_dict(private=True)))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ONESTOP_")}
    told = [f"http://127.0.0.1:{port}/session/callback", json.dumps(key.as_dict(private=False))]
    told += [AUDIENCE, PERSONAS["heir"].subject, alg]
    async with printed("node", "issuer.mjs", *told, cwd=folder, env=environment) as issuer:
        settings = {
            "ONESTOP_ISSUER": issuer,
            "ONESTOP_AUDIENCE": AUDIENCE,
            "ONESTOP_PORTAL_CLIENT_ID": "our-portal",
            "ONESTOP_PORTAL_KEY_FILE": str(folder / "portal.jwk"),
        }
        onestop = [str(Path(sys.executable).with_name("onestop")), "serve", "--port", str(port)]
        async with printed(*onestop, cwd=folder, env=environment | settings) as ready:
            assert ready == f"READY http://127.0.0.1:{port}"
            yield Served(ready.removeprefix("READY "), issuer)


class Browser:
    """Keeps cookies, and follows redirects while they lead somewhere."""

    def __init__(self, served: Served, http: aiohttp.ClientSession) -> None:
        self._served = served
        self._http = http

    async def followed(self, path: str) -> tuple[int, str]:
        """The status and address that a link ends at, and whom it went through."""
        address, status = urljoin(self._served.url, path), 303
        while status in {302, 303}:
            async with self._http.get(address, allow_redirects=False) as reply:
                status = reply.status
                address = urljoin(address, reply.headers["Location"]) if status in {302, 303} else address
        return status, urlsplit(address).path

    async def ask(self, query: str, **variables: Any) -> Any:
        """The data of an answer without errors."""
        body = {"query": query, "variables": variables}
        async with self._http.post(f"{self._served.url}/graphql", json=body, headers=OURS) as reply:
            told = await reply.json(content_type=None)
            assert (reply.status, told.get("errors")) == (200, None)
            return told["data"]

    async def session(self) -> Any:
        async with self._http.get(f"{self._served.url}/session") as reply:
            return await reply.json()


@pytest.mark.parametrize("alg", ["ES256", "PS256", "Ed25519"])
async def test_our_portal_signs_in_at_oidc_provider_and_we_take_its_tokens(tmp_path: Path, alg: str) -> None:
    async with served(tmp_path, alg) as running, AsyncExitStack() as stack:
        jar = aiohttp.CookieJar(unsafe=True, treat_as_secure_origin=[running.url])
        browser = Browser(running, await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=jar)))
        assert await browser.followed("/session/login?return=/livez") == (200, "/livez")
        viewer = (await browser.ask("{ viewer { roles assurance candidates { person { id } } } }"))["viewer"]
        assert (viewer["roles"], viewer["assurance"]) == (["CITIZEN"], "LOW")
        (candidate,) = viewer["candidates"]
        wish = {"idempotencyKey": "peer", "candidate": candidate["person"]["id"]}
        refused = (await browser.ask(OPEN, input=wish))["openEstateCase"]
        assert refused == {"case": None, "refusal": {"code": "STEP_UP_REQUIRED"}}
        assert await browser.followed("/session/login?acr=high&max_age=900&return=/livez") == (200, "/livez")
        assert (await browser.session())["assurance"] == "HIGH"
        case = (await browser.ask(OPEN, input=wish))["openEstateCase"]["case"]["id"]
        estate = (await browser.ask(AMOUNTS, id=case))["estateCase"]
        assert estate["finance"]["deposits"]
