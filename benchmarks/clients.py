"""What HTTP clients cost: six agencies asked at once over kept connections, each client in a process of its own.

`python benchmarks/clients.py` needs the group `bench`. The agencies are those of benchmarks/agencies.py (400 leaves),
the headers those of docs/wire/README.md, the loop uvloop, as in the server. Clients take turns, so that a busy minute
is busy for all. CPU is the whole process's, threads of a client included; memory is what its process grew by.

`--faults` asks each client three questions of an agency that breaks the rules, and tells what was taken for an answer.
What follows from both is in docs/decisions/http-client.md.
"""

import argparse
import asyncio
import gzip
import itertools
import multiprocessing
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httptools
import orjson
import uvloop
from yarl import URL

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import servers
from benchmarks.measuring import rss_mb
from connectors.transport import BODY_LIMIT, Transport

Ask = Callable[[int], Awaitable[bytes]]
"""Asks the agency of that number and gives its body."""
PERSON = {"person": "lan1_" + "a" * 26}


def sent() -> dict[str, str]:
    """The headers of one request."""
    return {
        "X-Client-Id": "onestop",
        "X-Purpose": "ESTATE_DISCOVERY",
        "X-Request-Id": str(uuid.uuid4()),
        "X-Case": "c-1",
        "Accept-Encoding": "identity",
    }


# ---------------------------------------------------------------- clients


@asynccontextmanager
async def ours(urls: Sequence[str]) -> AsyncIterator[Ask]:
    """What the connectors use, with all its guards."""
    transports = [Transport(None, url) for url in urls]

    async def ask(number: int) -> bytes:
        reply = await transports[number].request("GET", "/", purpose="ESTATE_DISCOVERY", case="c-1", params=PERSON)
        return reply.body

    yield ask
    for each in transports:
        await each.close()


@asynccontextmanager
async def aiohttp_bare(urls: Sequence[str]) -> AsyncIterator[Ask]:
    """Its least: one session, no cookies, no time-outs, no limits, URLs made before, the body read in one go."""
    import aiohttp  # noqa: PLC0415 - each process takes its own client only

    whole = [URL(f"{url}/?person={PERSON['person']}", encoded=True) for url in urls]
    async with aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
        auto_decompress=False,
        skip_auto_headers=("User-Agent", "Accept"),
    ) as session:

        async def ask(number: int) -> bytes:
            async with session.get(whole[number], headers=sent(), allow_redirects=False) as response:
                return await response.read()

        yield ask


def _reqwest() -> Any:
    from pyreqwest.client import ClientBuilder  # noqa: PLC0415

    plain = ClientBuilder().follow_redirects(enable=False).no_proxy().connect_timeout(timedelta(seconds=1))
    return plain.gzip(enable=False).brotli(enable=False).zstd(enable=False).deflate(enable=False).build()


@asynccontextmanager
async def pyreqwest_bare(urls: Sequence[str]) -> AsyncIterator[Ask]:
    """The body read whole, however long it is."""
    whole = [f"{url}/?person={PERSON['person']}" for url in urls]
    async with _reqwest() as client:

        async def ask(number: int) -> bytes:
            response = await client.get(whole[number]).headers(sent()).build().send()
            return bytes(await response.bytes())

        yield ask


@asynccontextmanager
async def pyreqwest_counted(urls: Sequence[str]) -> AsyncIterator[Ask]:
    """The body counted while it streams, a deadline, and the headers looked at: what our transport does."""
    whole = [f"{url}/?person={PERSON['person']}" for url in urls]
    async with _reqwest() as client:

        async def ask(number: int) -> bytes:
            chunks, size = [], 0
            request = client.get(whole[number]).headers(sent()).build_streamed()
            async with asyncio.timeout(2.5), request as response:
                assert response.get_header("Content-Encoding") is None
                while (chunk := await response.body_reader.read_chunk()) is not None:
                    size += len(chunk)
                    assert size <= BODY_LIMIT
                    chunks.append(bytes(chunk))
            return b"".join(chunks)

        yield ask


@asynccontextmanager
async def niquests_bare(urls: Sequence[str]) -> AsyncIterator[Ask]:
    """Requests' interface over urllib3.future."""
    import niquests  # noqa: PLC0415

    whole = [f"{url}/?person={PERSON['person']}" for url in urls]
    async with niquests.AsyncSession() as session:
        session.trust_env = False

        async def ask(number: int) -> bytes:
            response = await session.get(whole[number], headers=sent(), allow_redirects=False)
            return bytes(response.content or b"")

        yield ask


@asynccontextmanager
async def httpcore_bare(urls: Sequence[str]) -> AsyncIterator[Ask]:
    """HTTPX without HTTPX, over h11."""
    import httpcore  # noqa: PLC0415

    whole = [f"{url}/?person={PERSON['person']}" for url in urls]
    async with httpcore.AsyncConnectionPool(max_connections=64) as pool:

        async def ask(number: int) -> bytes:
            response = await pool.request("GET", whole[number], headers=list(sent().items()))
            return response.content

        yield ask


class _Bare(asyncio.Protocol):
    """One kept connection that trusts whatever it is told; for comparison, not for use."""

    def __init__(self, idle: list["_Bare"]) -> None:
        self._idle = idle

    def connection_made(self, transport: Any) -> None:
        self._transport, self._parser = transport, httptools.HttpResponseParser(self)

    def asked(self, request: bytes) -> asyncio.Future[bytes]:
        self._chunks: list[bytes] = []
        self._answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._chunks.append(body)

    def on_message_complete(self) -> None:
        self._answer.set_result(b"".join(self._chunks))
        self._idle.append(self)


@asynccontextmanager
async def own_protocol(urls: Sequence[str]) -> AsyncIterator[Ask]:
    """The least that Python can do: asyncio.Protocol with httptools, nothing guarded, nothing timed."""
    idle: list[list[_Bare]] = [[] for _ in urls]
    where = [URL(url) for url in urls]
    loop = asyncio.get_running_loop()

    async def ask(number: int) -> bytes:
        if not (kept := idle[number]):
            target = where[number]
            connection = (await loop.create_connection(lambda: _Bare(kept), target.host, target.port))[1]
        else:
            connection = kept.pop()
        lines = "".join(f"{name}: {value}\r\n" for name, value in sent().items())
        return await connection.asked(f"GET /?person={PERSON['person']} HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode())

    yield ask


CLIENTS: dict[str, Callable[[Sequence[str]], AbstractAsyncContextManager[Ask]]] = {
    "our transport": ours,
    "aiohttp, bare": aiohttp_bare,
    "pyreqwest, counted": pyreqwest_counted,
    "pyreqwest, bare": pyreqwest_bare,
    "niquests": niquests_bare,
    "httpcore": httpcore_bare,
    "asyncio.Protocol and httptools, bare": own_protocol,
}


# ---------------------------------------------------------------- faults


def answer(body: bytes, *headers: str) -> bytes:
    """One complete response."""
    lines = "".join(f"{line}\r\n" for line in (*headers, f"Content-Length: {len(body)}"))
    return f"HTTP/1.1 200 OK\r\n{lines}\r\n".encode() + body


SURPLUS = answer(b"surplus")
FAULTS: dict[str, Callable[[int], Sequence[bytes]]] = {
    "a surplus response with the first": lambda n: [answer(b"%d" % n) + SURPLUS * (n == 1)],
    "a surplus response later, unasked": lambda n: [answer(b"%d" % n), SURPLUS * (n == 1)],
    "a surplus response before the second": lambda n: [SURPLUS * (n == 2) + answer(b"%d" % n)],
    "bytes later, unasked": lambda n: [answer(b"%d" % n), b"?" * (n == 1)],
    "a header of 70 kB": lambda n: [answer(b"%d" % n, "X: " + "a" * 70_000)],
    "1,000 headers": lambda n: [answer(b"%d" % n, *(f"X{at}: a" for at in range(1000)))],
    "two lengths": lambda n: [answer(b"%d" % n, "Content-Length: 2")],
    "a length and chunks": lambda n: [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n%d\r\n0\r\n\r\n" % n
    ],
    "half an answer": lambda n: [answer(b"%d" % n)[:-1]],
    "a redirect": lambda n: [answer(b"%d" % n, "Location: /").replace(b"200 OK", b"302 Found")],
    "a packed body": lambda n: [answer(gzip.compress(b"%d" % n), "Content-Encoding: gzip")],
    "two mebibytes": lambda n: [answer(b"%d" % n + bytes(2 * BODY_LIMIT))],
}
"""What is said to the question of that number: at once, and 50 ms later where something follows."""


async def taken(name: str, fault: str) -> str:
    """What each of three questions took for its answer."""
    asked = itertools.count(1)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                for at, said in enumerate(FAULTS[fault](next(asked))):
                    await asyncio.sleep(at * 0.05)
                    writer.write(said)
                if fault == "half an answer":
                    break
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    found = []
    async with CLIENTS[name]([f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"]) as ask:
        for _ in range(3):
            try:
                async with asyncio.timeout(3):
                    body = await ask(0)
                found.append(body.decode() if len(body) < 10 else f"{len(body)} bytes")
            except Exception as error:  # noqa: BLE001 - each client has its own
                found.append(f"({type(error).__name__})")
            await asyncio.sleep(0.1)
    server.close()
    return found[0] if len({*found}) == 1 else ", ".join(found)


async def faulty(names: Sequence[str]) -> str:
    """A table."""
    rows = [[fault, *[await taken(name, fault) for name in names]] for fault in FAULTS]
    lines = [["said", *names], ["---"] * (1 + len(names)), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


# ---------------------------------------------------------------- measuring


async def _worked(pipe: Connection, name: str, urls: Sequence[str]) -> None:
    """Fan out as often as told, by so many at a time, until told 0; each time say the CPU seconds it took."""
    grown = rss_mb(multiprocessing.current_process().pid or 0)
    async with CLIENTS[name](urls) as ask:
        pipe.send([orjson.loads(each) for each in await asyncio.gather(*map(ask, range(len(urls))))])

        async def going_on(times: int) -> None:
            for _ in range(times):
                await asyncio.gather(*map(ask, range(len(urls))))

        while (told := pipe.recv()) is not None:
            times, waiting = told
            before = time.process_time()
            await asyncio.gather(*(going_on(times // waiting) for _ in range(waiting)))
            pipe.send((time.process_time() - before) / (times // waiting * waiting))
        pipe.send(rss_mb(multiprocessing.current_process().pid or 0) - grown)


def work(pipe: Connection, name: str, urls: Sequence[str]) -> None:
    """A process of its own."""
    uvloop.run(_worked(pipe, name, urls))


def measured(urls: Sequence[str], names: Sequence[str], rounds: int, times: int, waiting: Sequence[int]) -> str:
    """A table."""
    spawned = multiprocessing.get_context("spawn")
    pipes, told, said = {}, {(name, many): [] for name in names for many in waiting}, []
    for name in names:
        pipes[name], far = spawned.Pipe()
        spawned.Process(target=work, args=(far, name, urls), daemon=True).start()
        said.append(pipes[name].recv())
    assert all(each == said[0] for each in said)
    for number in range(rounds + 1):  # the first is for warming up
        for name in names:
            for many in waiting:
                pipes[name].send((times, many))
                cost = pipes[name].recv() * 1e6
                if number:
                    told[name, many].append(cost)
    head = "".join(f" | {many} waiting, min | median" for many in waiting)
    lines = [f"| client{head} | MB |", "|---" * (2 + 2 * len(waiting)) + "|"]
    for name in names:
        pipes[name].send(None)
        costs = "".join(
            f" | {min(told[name, many]):.0f} | {statistics.median(told[name, many]):.0f}" for many in waiting
        )
        lines.append(f"| {name}{costs} | {pipes[name].recv():.1f} |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print µs of CPU for each fan-out of six."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--times", type=int, default=128, help="fan-outs in each turn")
    parser.add_argument("--waiting", type=lambda text: [int(each) for each in text.split(",")], default=[1, 16])
    parser.add_argument("--clients", type=lambda text: text.split(";"), default=list(CLIENTS))
    parser.add_argument("--faults", action="store_true")
    given = parser.parse_args()
    if given.faults:
        print(uvloop.run(faulty([name for name in given.clients if CLIENTS[name] is not own_protocol])))
        return
    servers.end_when_told()
    with tempfile.TemporaryDirectory() as folder, servers.agencies(Path(folder)) as said:
        urls = [f"http://127.0.0.1:{port}" for port in said.ports.values()]
        print(measured(urls, given.clients, given.rounds, given.times, given.waiting))


if __name__ == "__main__":
    main()
