"""The server: one process, or several on one socket under a supervisor, that drains when told to end.

SIGTERM: no new connection, what is in flight is finished, streams are completed, then the process ends with 0, within
DRAIN_SECONDS. Nothing is printed here.
"""

import asyncio
import gc
import http.client
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import structlog
import uvicorn
import uvloop
from starlette.types import ASGIApp

from serving.drain import Drain
from serving.listening import bound

DRAIN_SECONDS: Final = 9
KILL_SECONDS: Final = 12
START_FAILED: Final = 3
"""How uvicorn ends when the application could not start; starting it again would not help."""

COLLECT: Final = (20_000, 2, 2)
"""Containers made and not yet let go of before the collector looks for cycles: more than the operations in flight hold.

At Python's own 700 it looked at them over and again, took them for long-lived, and then went through the whole heap:
a quarter of all CPU and pauses of a quarter of a second, for nothing, since a compiled operation leaves no cycles. What
graphql-core executes does, and lies in the older generations, which are small, so these are looked at soon.
"""

_ENDING: Final = (signal.SIGTERM, signal.SIGINT)

MakeApp = Callable[[Drain], ASGIApp]
"""The application, made in the process that serves it: loops, pools and threads do not survive a fork."""

OnReady = Callable[[str], None]
"""Called once with http://host:port when /readyz has answered 200."""


def run(
    make_app: MakeApp,
    listener: socket.socket,
    url: str,
    on_ready: OnReady,
    *,
    workers: int = 1,
    admin: tuple[ASGIApp, str, int] | None = None,
) -> int:
    """Serve on a listening socket, which is `url`, until SIGTERM or SIGINT, and return the exit status.

    With several workers each has metrics of its own: worker n listens for them on the admin port plus n.
    """
    if workers == 1:
        _once_ready(url, on_ready)
        return _serve(make_app, listener, admin)
    supervisor = _Supervisor(lambda worker: _serve(make_app, listener, _moved(admin, worker)), workers)
    return supervisor.run(lambda: _once_ready(url, on_ready))


def _moved(admin: tuple[ASGIApp, str, int] | None, worker: int) -> tuple[ASGIApp, str, int] | None:
    return admin and (admin[0], admin[1], admin[2] + worker)


def _serve(make_app: MakeApp, listener: socket.socket, admin: tuple[ASGIApp, str, int] | None) -> int:
    """One worker. While uvicorn serves it handles signals itself, and when it is done it raises them once more."""
    for number in _ENDING:
        signal.signal(number, lambda *_: sys.exit(0))
    try:
        uvloop.run(_served(make_app, listener, admin))
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else START_FAILED
    return 0


async def _served(make_app: MakeApp, listener: socket.socket, admin: tuple[ASGIApp, str, int] | None) -> None:
    drain = Drain()
    server = _Server(_config(make_app(drain)), drain)
    if admin is None:
        await server.serve([listener])
        return
    with bound(admin[1], admin[2]) as beside:
        metrics = _Server(_config(admin[0]), drain, with_signals=False)
        serving = asyncio.create_task(metrics.serve([beside]))
        try:
            await server.serve([listener])
        finally:
            metrics.should_exit = True
            await serving


def _config(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="auto",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )


class _Server(uvicorn.Server):
    """uvicorn, telling the application that the end begins."""

    def __init__(self, config: uvicorn.Config, drain: Drain, *, with_signals: bool = True) -> None:
        super().__init__(config)
        self._drain = drain
        self._with_signals = with_signals

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        await (super().serve(sockets) if self._with_signals else self._serve(sockets))

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        gc.collect()
        gc.freeze()  # what is there now stays until the end
        gc.set_threshold(*COLLECT)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._drain.begin()
        await super().shutdown(sockets)


class _Supervisor:
    """Forks the workers, forks one again that died, and ends with them."""

    def __init__(self, work: Callable[[int], int], workers: int) -> None:
        self._work = work
        self._workers = workers
        self._numbers: dict[int, int] = {}
        self._ending = False

    def run(self, begun: Callable[[], None]) -> int:
        for number in _ENDING:
            signal.signal(number, self._end)
        for worker in range(self._workers):
            self._fork(worker)
        begun()
        failed = False
        while self._numbers:
            pid, status = os.wait()
            worker_ended = self._numbers.pop(pid, None)
            if worker_ended is None or self._ending:
                continue
            code = os.waitstatus_to_exitcode(status)
            structlog.get_logger().warning("worker_ended", worker=worker_ended, status=code)
            if code == START_FAILED:
                failed = True
                self._end()
            else:
                time.sleep(0.1)  # so that a worker that dies at once does not fork as fast as it can
                self._fork(worker_ended)
        return START_FAILED if failed else 0

    def _fork(self, worker: int) -> None:
        # A signal waits until the new worker is known here, and until it has let go of our handlers there.
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
        try:
            pid = 0 if self._ending else os.fork()
            if pid == 0 and not self._ending:
                self._become(worker)
            elif pid:
                self._numbers[pid] = worker
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)

    def _become(self, worker: int) -> None:
        status = START_FAILED
        try:
            for number in _ENDING:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
            status = self._work(worker)
        finally:
            os._exit(status)

    def _end(self, *_: object) -> None:
        if not self._ending:
            self._ending = True
            signal.signal(signal.SIGALRM, lambda *_: self._tell(signal.SIGKILL))
            signal.alarm(KILL_SECONDS)
        self._tell(signal.SIGTERM)

    def _tell(self, number: int) -> None:
        for pid in list(self._numbers):
            with suppress(ProcessLookupError):
                os.kill(pid, number)


def _once_ready(url: str, on_ready: OnReady) -> None:
    """Ask /readyz from a thread of its own until it answers 200."""
    host = url.removeprefix("http://")

    def ask() -> None:
        while True:
            try:
                connection = http.client.HTTPConnection(host, timeout=5)
                connection.request("GET", "/readyz")
                if connection.getresponse().status == 200:
                    on_ready(url)
                    return
            except (OSError, http.client.HTTPException):
                pass
            finally:
                connection.close()
            time.sleep(0.05)

    threading.Thread(target=ask, name="ready", daemon=True).start()
