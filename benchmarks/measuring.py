"""Load on a server, what it costs the server's processes, and how quiet the machine is meanwhile.

CPU is utime + stime of the process and all its children from /proc, so that neither who asks nor the agencies count.
The machine is judged by a fixed piece of work done on all cores at once: it takes longer where somebody else works.
"""

import argparse
import asyncio
import math
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httptools
import uvloop

TICK = os.sysconf("SC_CLK_TCK")
PATIENCE_S = 60.0
MEDIAN_LIMIT, P90_LIMIT = 1.15, 1.5
"""The machine is too noisy when the fixed work took more than this many times its best time."""


def tree(pid: int) -> list[int]:
    """The process and all below it."""
    found, open_ = [], [pid]
    while open_:
        one = open_.pop()
        found.append(one)
        for children in Path(f"/proc/{one}/task").glob("*/children"):
            open_ += map(int, children.read_text().split())
    return found


def cpu_s(pid: int) -> float:
    """User and system time of the process and all below it, which may not end meanwhile."""
    stats = [Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split() for one in tree(pid)]
    return sum(int(each[11]) + int(each[12]) for each in stats) / TICK


def rss_mb(pid: int) -> float:
    """Resident memory of the process and all below it."""
    page = os.sysconf("SC_PAGE_SIZE")
    return sum(int(Path(f"/proc/{one}/statm").read_text().split()[1]) * page for one in tree(pid)) / 2**20


def pss_mb(pid: int) -> float:
    """The same, with each page divided among those who share it."""
    rolled = (Path(f"/proc/{one}/smaps_rollup").read_text().splitlines() for one in tree(pid))
    return sum(int(line.split()[1]) for lines in rolled for line in lines if line.startswith("Pss:")) / 1024


def request(port: int, body: bytes, headers: dict[str, str] | None = None) -> bytes:
    """A whole HTTP request to /graphql."""
    said = {
        "Host": f"127.0.0.1:{port}",
        "Content-Type": "application/json",
        "Accept": "application/json",
        "Content-Length": str(len(body)),
    } | (headers or {})
    lines = "".join(f"{name}: {value}\r\n" for name, value in said.items())
    return f"POST /graphql HTTP/1.1\r\n{lines}\r\n".encode() + body


class Client(asyncio.Protocol):
    """One who asks, waits for the answer, and asks again."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._answered: asyncio.Future[tuple[int, bytes]] | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, _: Exception | None) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(ConnectionError("closed before the answer"))

    def on_message_begin(self) -> None:
        self._body.clear()

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_result((self._parser.get_status_code(), b"".join(self._body)))

    async def ask(self, sent: bytes) -> tuple[int, bytes]:
        """Status and body."""
        self._parser = httptools.HttpResponseParser(self)
        self._answered = asyncio.get_running_loop().create_future()
        self.transport.write(sent)
        async with asyncio.timeout(PATIENCE_S):
            return await self._answered


@dataclass(slots=True)
class Slice:
    """What one stretch of load came to."""

    answers: int
    wrong: int
    seconds: float
    cpu_s: float
    rss_mb: float
    taken_ms: list[float] = field(repr=False)
    first_wrong: str = ""

    @property
    def cpu_ms(self) -> float:
        """Of the server, for each answer."""
        return self.cpu_s / max(self.answers, 1) * 1000


def loaded(
    port: int, pid: int, waiting: int, seconds: float, made: Callable[[], bytes], right: Callable[[bytes], bool]
) -> Slice:
    """Keep so many waiting for so long. Every answer is looked at; CPU counts from first question to last answer."""
    return uvloop.run(_loaded(port, pid, waiting, seconds, made, right))


async def _loaded(
    port: int, pid: int, waiting: int, seconds: float, made: Callable[[], bytes], right: Callable[[bytes], bool]
) -> Slice:
    loop = asyncio.get_running_loop()
    clients = [(await loop.create_connection(Client, "127.0.0.1", port))[1] for _ in range(waiting)]
    done = Slice(0, 0, 0.0, 0.0, 0.0, [])

    async def going_on(client: Client, until: float) -> None:
        while loop.time() < until or not done.taken_ms:
            asked = made()
            started = time.perf_counter()
            try:
                status, body = await client.ask(asked)
            except (OSError, TimeoutError) as failed:
                done.wrong += 1
                done.first_wrong = done.first_wrong or type(failed).__name__
                return
            done.taken_ms.append((time.perf_counter() - started) * 1000)
            done.answers += 1
            if status != 200 or not right(body):
                done.wrong += 1
                done.first_wrong = done.first_wrong or f"{status} {body[:300]!r}"

    before, started = cpu_s(pid), time.perf_counter()
    until = loop.time() + seconds
    await asyncio.gather(*(going_on(client, until) for client in clients))
    done.seconds, done.cpu_s, done.rss_mb = time.perf_counter() - started, cpu_s(pid) - before, rss_mb(pid)
    for client in clients:
        client.transport.close()
    return done


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that so much of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)] if ordered else math.nan


def drawable(file: str) -> Path:
    """Where a drawing is wanted, said before anything is measured: matplotlib comes with the group `bench` only."""
    if find_spec("matplotlib") is None:
        raise argparse.ArgumentTypeError("a drawing needs matplotlib, of the dependency group `bench`")
    return Path(file)


def pyplot() -> Any:
    """matplotlib's, for an SVG that is the same for the same figures and whose words stay words."""
    import matplotlib as mpl  # noqa: PLC0415 - of the group `bench`

    mpl.use("svg")
    mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "onestop"}
    from matplotlib import pyplot as plt  # noqa: PLC0415

    return plt


# ---------------------------------------------------------------- noise


def _spun(_: int) -> float:
    started = time.perf_counter()
    total = 0
    for number in range(400_000):
        total += number & 7
    return time.perf_counter() - started


class Quiet:
    """How long the fixed work took, each time it was tried on every core."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool
        self._cores = len(os.sched_getaffinity(0))
        self.taken: list[float] = []

    def listen(self, times: int = 1) -> None:
        """Try it."""
        for _ in range(times):
            self.taken.append(max(self._pool.map(_spun, range(self._cores))))

    @property
    def ratios(self) -> tuple[float, float]:
        """The median and the 90th percentile of what it took, over the best."""
        best = min(self.taken)
        return statistics.median(self.taken) / best, quantile(self.taken, 0.9) / best

    @property
    def is_quiet(self) -> bool:
        median, p90 = self.ratios
        return median <= MEDIAN_LIMIT and p90 <= P90_LIMIT

    def __str__(self) -> str:
        median, p90 = self.ratios
        return (
            f"fixed work on all cores, {len(self.taken)} times: median {median:.2f} and 90th percentile {p90:.2f} "
            f"of its best time (at most {MEDIAN_LIMIT} and {P90_LIMIT})"
        )


def spinning() -> ProcessPoolExecutor:
    """Processes that do the fixed work, one for each core."""
    return ProcessPoolExecutor(len(os.sched_getaffinity(0)), multiprocessing.get_context("spawn"))
