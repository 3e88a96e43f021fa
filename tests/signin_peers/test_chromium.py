"""A real Chromium at the running program: it keeps our cookies, says where a page is from, and steps up."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from tests.journeys.client import serving

START_S = 30
ASK = """async (query, variables, headers) => {
  const body = JSON.stringify({ query, variables });
  const sent = { "Content-Type": "application/json", ...headers };
  const answer = await fetch("/graphql", { method: "POST", body, headers: sent });
  return { status: answer.status, ...(await answer.json()) };
}"""
OURS = {"X-Onestop-Csrf": "1"}
AMOUNTS = "query($id: ID!) { estateCase(id: $id) { finance { deposits { balance } } } }"


class Tab:
    """One tab, driven over the DevTools protocol."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._ids = count(1)

    async def send(self, method: str, **params: Any) -> Any:
        """A command's result; a page that loads meanwhile is waited for with `until`."""
        number = next(self._ids)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        while (said := await self._socket.receive_json(timeout=START_S)).get("id") != number:
            pass
        return said.get("result", {})  # none when the page went away meanwhile

    async def js(self, expression: str) -> Any:
        """What a script on the page comes to."""
        told = await self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "result" in told, told
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    async def until(self, expression: str) -> None:
        """Wait for a page that says so."""
        async with asyncio.timeout(START_S):
            while True:
                told = await self.send("Runtime.evaluate", expression=expression, returnByValue=True)
                if told.get("result", {}).get("value") is True:
                    return
                await asyncio.sleep(0.05)

    async def open(self, url: str) -> None:
        """Go there; `until` waits for being there."""
        await self.send("Page.navigate", url=url)

    async def ask(self, query: str, headers: dict[str, str], **variables: Any) -> Any:
        """GraphQL as a script of the page asks it."""
        return await self.js(f"({ASK})({json.dumps(query)}, {json.dumps(variables)}, {json.dumps(headers)})")


@asynccontextmanager
async def chromium(folder: Path) -> AsyncIterator[Tab]:
    """A browser without a window, with a profile of its own."""
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--no-first-run"]
    child = await asyncio.create_subprocess_exec(
        "chromium", *options, f"--user-data-dir={folder}", "about:blank",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(START_S):
            assert child.stderr
            while not (line := await child.stderr.readline()).startswith(b"DevTools listening on ws://"):
                assert line, "Chromium did not start"
        place = urlsplit(line.decode().split()[-1]).netloc
        async with aiohttp.ClientSession() as http:
            async with http.get(f"http://{place}/json") as reply:
                (page,) = [each for each in await reply.json() if each["type"] == "page"]
            async with http.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                yield Tab(socket)
    finally:
        child.terminate()
        await child.wait()


async def test_chromium_signs_in_steps_up_and_signs_out(tmp_path: Path) -> None:
    (tmp_path / "onestop").mkdir()
    with serving(tmp_path / "onestop", {}) as onestop:
        case = onestop.as_("heir").case()
        async with chromium(tmp_path / "profile") as tab:

            async def signed_in(assurance: int, asked: str = "") -> None:
                await tab.open(f"{onestop.url}/session/login?return=/livez{asked}")
                await tab.until("document.querySelector('button[value=heir]') !== null")
                await tab.js(f"document.querySelector('input[name=assurance][value=\"{assurance}\"]').click()")
                await tab.js("document.querySelector('button[value=heir]').click()")
                await tab.until(f"location.href === '{onestop.url}/livez' && document.readyState === 'complete'")

            await signed_in(1)
            refused = await tab.ask(AMOUNTS, OURS, id=case)
            assert (refused["status"], refused["errors"][0]["extensions"]["code"]) == (401, "STEP_UP_REQUIRED")
            await signed_in(3, "&acr=high&max_age=900")
            held = await tab.ask(AMOUNTS, OURS, id=case)
            assert held["data"]["estateCase"]["finance"]["deposits"], held
            assert await tab.js("document.cookie") == ""  # no script sees it

            assert (await tab.ask(AMOUNTS, {}, id=case))["status"] == 403
            out = "fetch('/session/logout', {method: 'POST', headers: {'X-Onestop-Csrf': '1'}}).then(r => r.status)"
            assert await tab.js(out) == 204
            assert await tab.js("fetch('/session').then(r => r.status)") == 401

            await signed_in(3)
            assert await tab.js("fetch('/session').then(r => r.status)") == 200
            await tab.open(f"{onestop.issuer}/jwks.json")  # another origin on this machine: same site, not ours
            await tab.until(f"location.href === '{onestop.issuer}/jwks.json' && document.readyState === 'complete'")
            out = f"fetch('{onestop.url}/session/logout', {{method: 'POST', credentials: 'include', %s}})"
            out += ".then(() => 'sent', () => 'not sent')"
            assert await tab.js(out % "mode: 'no-cors'") == "sent"
            assert await tab.js(out % "headers: {'X-Onestop-Csrf': '1'}") == "not sent"  # preflight says no
            await tab.open(f"{onestop.url}/livez")
            await tab.until(f"location.href === '{onestop.url}/livez' && document.readyState === 'complete'")
            assert await tab.js("fetch('/session').then(r => r.status)") == 200
