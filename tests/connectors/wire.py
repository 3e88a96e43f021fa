"""Small agencies for tests: real servers on a free loopback port that say exactly what a test wants them to say."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from connectors.connector import Asked
from schema.identifiers import SectorId


@dataclass(frozen=True)
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    peer_port: int
    """The other side's port: equal for two requests on one connection, different on a new one."""

    @property
    def request_id(self) -> str:
        return self.headers["X-Request-Id"]


@dataclass(frozen=True)
class Reply:
    """Bytes to send back, right or wrong."""

    body: bytes = b""
    status: int = 200
    content_type: str | None = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


def reply_json(value: Any, status: int = 200, **headers: str) -> Reply:
    return Reply(json.dumps(value, ensure_ascii=False).encode(), status, headers=headers)


@dataclass(frozen=True)
class Served:
    """Where a server listens and what it was asked so far."""

    base_url: str
    seen: list[Seen]


NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


def question(person: str, *coordinates: str, **more: Any) -> Asked:
    """A question that may read these coordinates."""
    standing: dict[str, Any] = {"case": "case-1", "idempotency": "once", "seal": lambda kind, text: f"{kind}:{text}"}
    return Asked(
        person=SectorId(person),
        purpose="ESTATE_DISCOVERY",
        coordinates=frozenset(coordinates),
        now=NOW,
        **standing | more,
    )


Answering = Callable[[Seen], Reply | Awaitable[Reply]]


@asynccontextmanager
async def serving(answering: Answering) -> AsyncIterator[Served]:
    """Serve HTTP/1.1 with kept connections; whatever `answering` gives goes out as it is."""
    seen: list[Seen] = []

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        peer = request.get_extra_info("peername")
        one = Seen(request.method, request.path, dict(request.query), request.headers, await request.read(), peer[1])
        seen.append(one)
        said = answering(one)
        reply = said if isinstance(said, Reply) else await said
        response = web.Response(status=reply.status, body=reply.body, headers=dict(reply.headers))
        if reply.content_type is not None:
            response.headers["Content-Type"] = reply.content_type
        return response

    runner = web.ServerRunner(web.Server(handle, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield Served(f"http://127.0.0.1:{runner.addresses[0][1]}", seen)
    finally:
        await runner.cleanup()


@asynccontextmanager
async def serving_raw(
    talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    """Serve bare TCP, for what no HTTP library lets a server do. Gives the base URL."""

    talks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talking = asyncio.current_task()
        assert talking is not None
        talks.add(talking)
        try:
            await talk(reader, writer)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass  # the other side left, or the test is over
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for talking in talks:
            talking.cancel()
        await asyncio.gather(*talks)


async def request_head(reader: asyncio.StreamReader) -> dict[str, str]:
    """Read one bodiless request from a bare connection; its headers with names in lower case, and `:path`."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:] if line)
    return {name.lower(): value for name, value in headers.items()} | {":path": lines[0].split(" ")[1]}


def raw_reply(body: bytes, content_type: str = "application/json") -> bytes:
    """One complete HTTP/1.1 response that keeps the connection open."""
    return f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
