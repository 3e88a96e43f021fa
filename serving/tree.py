"""The log's tree at work: a sequencer in every process, the public pages under /log/, and how far it is behind.

Source of paths and media types: c2sp.org/tlog-tiles. What is served holds no personal data: hashes, and leaves that
commit to entries without saying anything.
"""

import asyncio
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from prometheus_client import CollectorRegistry, Gauge
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from audit import store, tree
from audit.checkpoint import CheckpointError, VerifierKey, origin
from audit.sequencer import ForkError, Sequencer
from audit.tiles import Published, Shelf

EVERY_S: Final = 1.0
AFTER_FAILURE_S: Final = 5.0
AFTER_REFUSAL_S: Final = 30.0
BEHIND_S: Final = 60.0
"""From here on the process is not ready: an access log that is not integrated is one that could be bent."""
FINISH_S: Final = 3.0
TRIES: Final = 100

OPEN = {"Access-Control-Allow-Origin": "*", "X-Content-Type-Options": "nosniff"}
FOR_EVER = OPEN | {"Cache-Control": "public, max-age=31536000, immutable"}
NOT_KEPT = OPEN | {"Cache-Control": "no-store"}


class Tree:
    """The tree of one log. Made before the log is opened, so that it can be finished after the log was closed."""

    def __init__(
        self, log_url: str, folder: Path, second: Path | None, key: Ed25519PrivateKey, registry: CollectorRegistry
    ) -> None:
        self._engine = store.reading_engine(log_url)
        self._folder = folder
        self._second = second
        self._key = key
        self._task: asyncio.Task[None] | None = None
        self._sequencer: Sequencer | None = None
        self._tried = asyncio.Event()
        self._ending = asyncio.Event()
        self._complete_at = time.monotonic()
        behind = Gauge(
            "onestop_log_behind_seconds", "Since every entry was covered by a checkpoint.", registry=registry
        )
        behind.set_function(lambda: self.behind_s)
        self._covered = Gauge("onestop_log_covered_leaves", "Leaves under the checkpoint.", registry=registry)
        self._leaves = Gauge("onestop_log_leaves", "Leaves of the log, as last seen.", registry=registry)
        self._refused = Gauge(
            "onestop_log_refused", "1 while the store does not continue what was signed.", registry=registry
        )

    async def begin(self, epoch: str) -> Published:
        """Take new leaves in from now on, and return what was published. A first step that is short is waited for."""
        self._sequencer = Sequencer(self._engine, epoch, self._key, self._folder, self._second)
        self._complete_at = time.monotonic()
        self._task = asyncio.create_task(self._run(self._sequencer))
        with suppress(TimeoutError):
            async with asyncio.timeout(2):
                await self._tried.wait()
        return Published(self._folder, VerifierKey(origin(epoch), self._key.public_key()), self._sequencer.mend)

    async def finish(self) -> None:
        """A last checkpoint over what was written before the end."""
        self._ending.set()
        if self._task is not None and self._sequencer is not None:
            await asyncio.wait({self._task}, timeout=FINISH_S)
            self._sequencer.end()
            await asyncio.wait({self._task}, timeout=FINISH_S)
            self._task.cancel()
        await self._engine.dispose()

    @property
    def behind_s(self) -> float:
        """Seconds since every entry was covered."""
        return time.monotonic() - self._complete_at

    @property
    def healthy(self) -> bool:
        """Whether it is less than a minute behind."""
        return self.behind_s < BEHIND_S

    async def _run(self, sequencer: Sequencer) -> None:
        pause_s = 0.0
        while not self._ending.is_set():
            pause_s = await self._step(sequencer)
            self._tried.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s or 0.001):
                    await self._ending.wait()
        for _ in range(TRIES):  # other processes may be at their last step too
            if await self._step(sequencer):
                break
            await asyncio.sleep(0.02)

    async def _step(self, sequencer: Sequencer) -> float:
        """Take a step, and return after how many seconds another is due; 0 when more is to be done."""
        began = time.monotonic()
        try:
            step = await sequencer.step()
        except (ForkError, CheckpointError) as error:
            self._refused.set(1)
            structlog.get_logger().error("log_refused", reason=str(error), remedy="docs/decisions/tree.md")
            return AFTER_REFUSAL_S
        except Exception as error:
            structlog.get_logger().warning("log_step_failed", error=error)
            return AFTER_FAILURE_S
        self._refused.set(0)
        if step is None:
            return 0 if self._ending.is_set() else EVERY_S
        self._covered.set(step.checkpoint.size)
        self._leaves.set(step.leaves)
        if not step.is_complete:
            return 0
        self._complete_at = began
        return EVERY_S

    def routes(self) -> list[Route]:
        """GET and HEAD, for everybody."""
        return [Route("/log/checkpoint", self._checkpoint), Route("/log/{path:path}", self._tile)]

    async def _checkpoint(self, _request: Request) -> Response:
        note = await asyncio.to_thread(Shelf(self._folder).note)
        return _absent() if note is None else PlainTextResponse(note, headers=NOT_KEPT)

    async def _tile(self, request: Request) -> Response:
        # Only what spells a tile exactly becomes the name of a file.
        wanted = tree.tile(request.path_params["path"])
        data = None if wanted is None else await asyncio.to_thread(Shelf(self._folder).tile, wanted)
        return _absent() if data is None else Response(data, headers=FOR_EVER, media_type="application/octet-stream")


def _absent() -> Response:
    return PlainTextResponse("Nothing lies here.\n", 404, headers=NOT_KEPT)
