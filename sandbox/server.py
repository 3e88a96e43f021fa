"""The whole sandbox in one event loop: the sign-in and seven agencies, each on a port of its own.

Ports follow each other in the order of the contract; the one after vehicles is kept for welfare and not served yet, and
the one after that is the staff roster's.
"""

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Final, Self

import uvicorn
import uvloop
from starlette.applications import Starlette

from sandbox.agencies.finance import finance
from sandbox.agencies.frame import AgencyState, Holder
from sandbox.agencies.health import health
from sandbox.agencies.land import land
from sandbox.agencies.pensions import pensions
from sandbox.agencies.registry import registry
from sandbox.agencies.roster import roster
from sandbox.agencies.tax import tax
from sandbox.agencies.vehicles import vehicles, write_replica
from sandbox.facts import Faults
from sandbox.faults import FaultBook
from sandbox.holdings import holdings
from sandbox.identifiers import SANDBOX_ROOT, sector_id
from sandbox.issuer import PORTAL_KEY, Issuer, signing_key
from sandbox.nation import nation
from sandbox.personas import faults
from sandbox.signin.provider import provider

AUDIENCE: Final = "https://onestop.sandbox.invalid/graphql"
PORTAL_ORIGIN: Final = "http://127.0.0.1:8000"

ROSTER: Final = 9
"""The roster's place among the ports."""

HTTP_AGENCIES: Final[Mapping[str, Callable[[AgencyState], Starlette]]] = {
    "REGISTRY": registry,
    "LAND": land,
    "FINANCE": finance,
    "PENSIONS": pensions,
    "TAX": tax,
    "HEALTH": health,
}


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where everything is: the sign-in, what a connector is given per agency, where faults are set, the roster."""

    issuer: str
    agencies: Mapping[str, str]
    controls: Mapping[str, str]
    roster: str


class Sandbox:
    """A nation, its agencies and its sign-in; running between `start` and `stop`, or inside ``async with``."""

    def __init__(
        self,
        *,
        directory: Path,
        today: date,
        now: Callable[[], datetime],
        port_base: int = 0,
        people: int = 1000,
        seed: int = 7,
        id_root: bytes = SANDBOX_ROOT,
        audience: str = AUDIENCE,
        portal_origin: str = PORTAL_ORIGIN,
    ) -> None:
        """Keep what it is made of: `port_base` 0 means any free ports; `directory` gets signing keys and replica."""
        self._directory = directory
        self._today = today
        self._now = now
        self._port_base = port_base
        self._people = people
        self._seed = seed
        self._id_root = id_root
        self._audience = audience
        self._portal_origin = portal_origin
        self._running = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Make the nation and serve it; everything answers when this returns."""
        async with AsyncExitStack() as starting:
            places = {name: at for at, name in enumerate(("issuer", *HTTP_AGENCIES, "VEHICLES"))} | {"ROSTER": ROSTER}
            sockets = [starting.enter_context(socket.socket()) for _ in places]
            for place, sock in zip(places.values(), sockets, strict=True):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind(("127.0.0.1", self._port_base and self._port_base + place))
                sock.listen()  # at once: two that are only bound may have one port
            issuer_url, *urls, roster_url = (f"http://127.0.0.1:{sock.getsockname()[1]}" for sock in sockets)
            controls = dict(zip((*HTTP_AGENCIES, "VEHICLES"), urls, strict=True))
            self._directory.mkdir(parents=True, exist_ok=True)
            replica = self._directory.resolve() / "vehicles.db"
            self.issuer = Issuer(issuer_url, self._directory / "issuer.jwk")
            self.nation = nation(self._seed, self._people, self._today)
            states = dict(self._states())
            write_replica(replica, states["VEHICLES"])
            signin = provider(
                self.issuer,
                audience=self._audience,
                portal_origin=self._portal_origin,
                portal_key=signing_key(self._directory / PORTAL_KEY),
                now=self._now,
            )
            applications = [signin]
            applications += [build(states[agency]) for agency, build in HTTP_AGENCIES.items()]
            applications += [vehicles(replica, self._now), roster(states["ROSTER"])]
            await starting.enter_async_context(served(dict(zip(sockets, applications, strict=True))))
            self.endpoints = Endpoints(
                issuer=issuer_url,
                agencies=controls | {"VEHICLES": f"sqlite+aiosqlite:///file:{replica}?mode=ro&uri=true"},
                controls=controls,
                roster=roster_url,
            )
            self._running = starting.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop serving; what is still being answered is cut off."""
        await self._running.aclose()

    def _states(self) -> Iterator[tuple[str, AgencyState]]:
        holder = lru_cache(maxsize=4096)(lambda subject: holdings(self.nation, subject))
        from_the_start = faults(self._today)
        for agency in (*HTTP_AGENCIES, "VEHICLES", "ROSTER"):
            yield agency, self._state(agency, holder, from_the_start)

    def _state(self, agency: str, holder: Holder, from_the_start: Faults) -> AgencyState:
        sids = {sector_id(agency, subject, self._id_root): subject for subject in self.nation.people}
        book = {
            sector_id(agency, subject, self._id_root): found
            for (whose, subject), found in from_the_start.items()
            if whose == agency
        }
        return AgencyState(agency, self.nation, holder, sids, FaultBook(agency, book), self._now)


@asynccontextmanager
async def served(applications: Mapping[socket.socket, Starlette]) -> AsyncIterator[None]:
    """Serve applications on bound sockets; at the end what is still being answered is cut off."""
    servers = [
        (_Server(uvicorn.Config(each, log_config=None, log_level="critical", timeout_graceful_shutdown=0)), sock)
        for sock, each in applications.items()
    ]
    tasks = [asyncio.create_task(server.serve(sockets=[sock])) for server, sock in servers]
    try:
        while not all(server.started for server, _ in servers):
            if any(task.done() for task in tasks):
                raise RuntimeError("an agency did not start")
            await asyncio.sleep(0.002)
        yield
    finally:
        for server, _ in servers:
            server.should_exit = True
        await asyncio.gather(*tasks)


class _Server(uvicorn.Server):
    """A server that leaves signals to the program it runs in."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve(sandbox: Sandbox, ready: Callable[[Endpoints], None]) -> None:
    """Serve until SIGTERM or SIGINT; blocks. `ready` is told once, when everything answers."""

    async def run() -> None:
        ended = asyncio.Event()
        async with sandbox:
            for each in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(each, ended.set)
            ready(sandbox.endpoints)
            await ended.wait()

    uvloop.run(run())
