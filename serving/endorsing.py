"""Has others say what the log's newest checkpoint is: a witness that cosigns it, an authority that stamps it.

Without either the log goes on and says so once. With one that fails it goes on for a grace; then no entry is taken, and
so no data leaves, until it answers again. How long ago everything was covered lies on the disk as the time of a file,
so that a restart grants no new grace, and so that of several processes on one folder one asks and all know.
"""

import asyncio
import fcntl
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import aiohttp
import structlog
from cryptography.x509 import Certificate
from prometheus_client import CollectorRegistry, Gauge
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from audit import tree
from audit.checkpoint import CheckpointError, VerifierKey, unverified
from audit.endorsed import Endorsements, note_of
from audit.tiles import Shelf, TornError
from audit.timestamp import TimestampError, asked, stamped_at
from audit.witness import add_checkpoint, witnessed

EVERY_S: Final = 2.0
AFTER_FAILURE_S: Final = 10.0
STAMP_EVERY_S: Final = 60.0
FIRST_S: Final = 2.0
"""The start waits so long for the first round."""
PATIENCE = aiohttp.ClientTimeout(total=10)
LARGEST: Final = 64 * 1024
TRIES: Final = 3
"""How often a witness may say that it is at another size than was thought."""
SIZE_TYPE: Final = "text/x.tlog.size"
NOT_KEPT = {"Access-Control-Allow-Origin": "*", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}


class NotEndorsed(Exception):
    """Nobody said anything good of the checkpoint. The text says why."""

    code = "NOT_ENDORSED"


class Endorser(Protocol):
    """Somebody who can be asked to endorse a checkpoint, and what they endorsed last."""

    name: str

    def covered(self) -> bytes | None:
        """The text of the checkpoint that was endorsed last."""

    async def endorse(self, note: str) -> None:
        """Have this note endorsed and keep that. Raise NotEndorsed, or what HTTP and the disk raise."""


class Witness:
    """C2SP tlog-witness at a URL."""

    name = "witness"

    def __init__(self, url: str, key: VerifierKey, http: aiohttp.ClientSession, tiles: Path) -> None:
        self._url = url.rstrip("/") + "/add-checkpoint"
        self._key = key
        self._http = http
        self._tiles = Shelf(tiles)
        self._kept = Endorsements(tiles)

    def covered(self) -> bytes | None:
        return self._kept.witnessed

    async def endorse(self, note: str) -> None:
        size = unverified(note).size
        last = await asyncio.to_thread(self.covered)
        old = 0 if last is None else unverified(last).size
        for _ in range(TRIES):
            if old > size:
                raise NotEndorsed(f"the witness has seen {old} leaves and the checkpoint has {size}: rolled back?")
            proof = await asyncio.to_thread(self._proof, old, size)
            async with self._http.post(
                self._url, data=add_checkpoint(old, proof, note), timeout=PATIENCE, allow_redirects=False
            ) as reply:
                said = await reply.content.read(LARGEST)
                if reply.status == 200:
                    await asyncio.to_thread(self._kept.keep_witnessed, witnessed(note, said, self._key))
                    return
                if reply.status != 409 or reply.content_type != SIZE_TYPE or not said.strip().isdigit():
                    raise NotEndorsed(f"the witness answered {reply.status}")
            if int(said) == old:
                raise NotEndorsed(f"the witness has seen another tree of {old} leaves")
            old = int(said)
        raise NotEndorsed("the witness says another size each time")

    def _proof(self, old: int, size: int) -> list[bytes]:
        return tree.consistency(old, size, self._tiles.nodes(size)) if old else []


class Authority:
    """RFC 3161 over HTTP."""

    name = "timestamp"

    def __init__(self, url: str, roots: list[Certificate], http: aiohttp.ClientSession, tiles: Path) -> None:
        self._url = url
        self._roots = roots
        self._http = http
        self._kept = Endorsements(tiles)
        self._asked_at = -STAMP_EVERY_S

    def covered(self) -> bytes | None:
        held = self._kept.stamped
        return None if held is None else note_of(held)[0]

    async def endorse(self, note: str) -> None:
        if time.monotonic() - self._asked_at < STAMP_EVERY_S:
            return
        request = asked(note.encode())
        headers = {"Content-Type": "application/timestamp-query"}
        async with self._http.post(
            self._url, data=request.as_bytes(), headers=headers, timeout=PATIENCE, allow_redirects=False
        ) as reply:
            said = await reply.content.read(LARGEST)
            if reply.status != 200:
                raise NotEndorsed(f"the authority answered {reply.status}")
        at = stamped_at(said, note.encode(), self._roots, request)
        await asyncio.to_thread(self._kept.keep_stamped, note, said, at)
        self._asked_at = time.monotonic()


@dataclass(slots=True)
class Standing:
    """How it is with one endorser: when everything was covered last (seconds since 1970), and when to ask again."""

    covered_at: float
    again_at: float = 0.0
    failing: bool = False


class Endorsing:
    """The task, its metrics and pages. `grace_s` is how long entries are taken while an endorser fails."""

    def __init__(
        self,
        tiles: Path,
        endorsers: list[Endorser],
        grace_s: float,
        registry: CollectorRegistry,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._tiles = tiles
        self._kept = Endorsements(tiles)
        self._endorsers = endorsers
        self._grace_s = grace_s
        self._clock = clock
        self._standing: dict[str, Standing] = {}
        self._task: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()
        self._ending = asyncio.Event()
        self._age = Gauge(
            "onestop_log_unendorsed_seconds",
            "Since the witness, or the timestamp authority, had covered every checkpoint.",
            ("by",),
            registry=registry,
        )
        self._stopped = Gauge(
            "onestop_log_stopped", "1 while the grace without endorsement is over.", registry=registry
        )
        Gauge("onestop_log_endorsers", "Witnesses and timestamp authorities.", registry=registry).set(len(endorsers))

    @property
    def allowed(self) -> bool:
        """Whether entries may be taken."""
        now = self._clock()
        return all(now - each.covered_at < self._grace_s for each in self._standing.values())

    async def begin(self) -> None:
        if not self._endorsers:
            structlog.get_logger().warning(
                "log_unendorsed",
                reason="no witness and no timestamp authority: whoever keeps the log and its key could rewrite it",
                remedy="ONESTOP_LOG_WITNESS_URL, ONESTOP_LOG_TSA_URL",
            )
            return
        for endorser in self._endorsers:
            self._standing[endorser.name] = Standing(await asyncio.to_thread(self._covered_at, endorser.name))
        self._task = asyncio.create_task(self._run())
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_S):
                await self._tried.wait()

    async def finish(self) -> None:
        self._ending.set()
        if self._task is not None:
            _, late = await asyncio.wait({self._task}, timeout=1)
            for task in late:
                task.cancel()

    async def _run(self) -> None:
        while not self._ending.is_set():
            try:
                await self._round()
            except Exception as error:
                structlog.get_logger().warning("log_endorsing_failed", error=error)
            self._tried.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY_S):
                    await self._ending.wait()

    async def _round(self) -> None:
        """Ask whoever is due, if no other process is at it; then say how it is."""
        lock = os.open(self._kept.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            with suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                await asyncio.to_thread(self._kept.tidy)
                note = await asyncio.to_thread(Shelf(self._tiles).note)
                if note is not None:
                    for endorser in self._endorsers:  # one by one: they write in one folder
                        await self._endorse(endorser, note)
        finally:
            os.close(lock)
        for name, standing in self._standing.items():
            standing.covered_at = await asyncio.to_thread(self._covered_at, name)
            self._age.labels(name).set(self._clock() - standing.covered_at)
        self._stopped.set(0 if self.allowed else 1)

    async def _endorse(self, endorser: Endorser, note: str) -> None:
        standing = self._standing[endorser.name]
        if time.monotonic() < standing.again_at:
            return
        try:
            if not await asyncio.to_thread(_is_covered, endorser, note):
                await endorser.endorse(note)
            if await asyncio.to_thread(_is_covered, endorser, note):
                await asyncio.to_thread(self._mark, endorser.name)
        except (NotEndorsed, CheckpointError, TimestampError, TornError, aiohttp.ClientError, OSError) as error:
            standing.again_at = time.monotonic() + AFTER_FAILURE_S
            if not standing.failing:
                structlog.get_logger().warning("log_not_endorsed", by=endorser.name, error=error, reason=str(error))
            standing.failing = True
        else:
            standing.failing = False

    def _marker(self, name: str) -> Path:
        return self._kept.folder / f"{name}.covered"

    def _mark(self, name: str) -> None:
        now = self._clock()
        os.utime(self._marker(name), (now, now))

    def _covered_at(self, name: str) -> float:
        """Before anything was covered, the moment this was asked first."""
        marker = self._marker(name)
        if not marker.exists():
            marker.parent.mkdir(parents=True, exist_ok=True)
            marker.touch()
            self._mark(name)
        return marker.stat().st_mtime

    def routes(self) -> list[Route]:
        """GET and HEAD, for everybody; to stand before those of the tree."""
        return [Route("/log/witnessed", self._witnessed), Route("/log/timestamp", self._stamped)]

    async def _witnessed(self, _request: Request) -> Response:
        return _told(await asyncio.to_thread(lambda: self._kept.witnessed), "text/plain")

    async def _stamped(self, _request: Request) -> Response:
        return _told(await asyncio.to_thread(lambda: self._kept.stamped), "application/json")


def _is_covered(endorser: Endorser, note: str) -> bool:
    last = endorser.covered()
    return last is not None and unverified(last) == unverified(note)


def _told(data: bytes | None, media_type: str) -> Response:
    if data is None:
        return PlainTextResponse("Nothing lies here.\n", 404, headers=NOT_KEPT)
    return Response(data, headers=NOT_KEPT, media_type=media_type)
