"""Is it alive, is it ready: /livez says that the loop turns, /readyz what it can do.

Without the log, the database or the keys there is no answer at all: 503. An agency that is down is one section.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from serving.drain import Drain

Check = Callable[[], Awaitable[bool]]
"""Whether something works. Raising means that it does not."""

NO_STORE = {"Cache-Control": "no-store"}


class Health:
    """`checks` are named log, database, keys. Everybody may ask, so all who ask within a second share one round."""

    def __init__(
        self,
        checks: Mapping[str, Check],
        agencies: Mapping[str, Check],
        drain: Drain,
        *,
        timeout_s: float = 2.0,
        fresh_s: float = 1.0,
    ) -> None:
        self._checks = checks
        self._agencies = agencies
        self._drain = drain
        self._timeout_s = timeout_s
        self._fresh_s = fresh_s
        self._round: asyncio.Task[tuple[dict[str, str], dict[str, str]]] | None = None
        self._round_at = 0.0

    def routes(self) -> list[Route]:
        return [Route("/livez", self.livez), Route("/readyz", self.readyz)]

    async def livez(self, _request: Request) -> JSONResponse:
        return JSONResponse({"loop": "ok"}, headers=NO_STORE)

    async def readyz(self, _request: Request) -> JSONResponse:
        if self._round is None or time.monotonic() - self._round_at > self._fresh_s:
            self._round_at = time.monotonic()
            self._round = asyncio.create_task(self._asked())
        needed, agencies = await asyncio.shield(self._round)
        drain = {"drain": "begun"} if self._drain.begun else {}
        ready = not drain and all(state == "ok" for state in needed.values())
        return JSONResponse({**needed, "agencies": agencies, **drain}, 200 if ready else 503, headers=NO_STORE)

    async def _asked(self) -> tuple[dict[str, str], dict[str, str]]:
        names = [*self._checks, *self._agencies]
        checks = [*self._checks.values(), *self._agencies.values()]
        states = await asyncio.gather(*(self._state(name, check) for name, check in zip(names, checks, strict=True)))
        cut = len(self._checks)
        return dict(zip(names[:cut], states[:cut], strict=True)), dict(zip(names[cut:], states[cut:], strict=True))

    async def _state(self, name: str, check: Check) -> str:
        try:
            async with asyncio.timeout(self._timeout_s):
                return "ok" if await check() else "down"
        except TimeoutError:
            return "slow"
        except Exception as error:
            structlog.get_logger().warning("check_failed", check=name, error=error)
            return "down"
