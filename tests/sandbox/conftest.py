"""Agencies built from a few hand-made facts and served over real HTTP."""

import json
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from starlette.applications import Starlette

from sandbox.agencies.frame import AgencyState
from sandbox.facts import Birth, Holdings, Nation, Person, Subject
from sandbox.faults import FaultBook
from sandbox.identifiers import sector_id
from sandbox.server import served

TODAY = date(2026, 11, 21)
NOBODY = Holdings(None, None, None, None, None, None)


@dataclass
class Clock:
    """A clock that tests move."""

    at: datetime = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at


@dataclass
class World:
    """Facts of a test, and what the agencies are built from."""

    nation: Nation = field(default_factory=lambda: Nation(seed=0, today=TODAY))
    held: dict[Subject, Holdings] = field(default_factory=dict)
    clock: Clock = field(default_factory=Clock)

    def person(self, letter: str, held: Holdings = NOBODY, birth: Birth | None = None, **changes: Any) -> Subject:
        subject = Subject(letter * 26)
        facts: dict[str, Any] = {
            "name": "김하늘",
            "sex": "FEMALE",
            "born": date(1950, 3, 2),
            "died": None,
            "missing_declared_on": None,
            "address": "경상북도 의성군 의성읍 군청길 31",
            "municipality": "47730",
            "registration_number": "500231-2123456",
        }
        self.nation.people[subject] = Person(subject=subject, **facts | changes)
        self.held[subject] = held
        if birth:
            self.nation.births[subject] = birth
        return subject

    def state(self, agency: str) -> AgencyState:
        sids = {sector_id(agency, subject): subject for subject in self.nation.people}
        return AgencyState(agency, self.nation, self.held.__getitem__, sids, FaultBook(agency), self.clock)


@dataclass(frozen=True)
class Reply:
    status: int
    media_type: str
    body: bytes
    request_id: str

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Port:
    """One agency's port, asked the way onestop asks."""

    url: str
    session: aiohttp.ClientSession

    async def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str | None] | None = None,
        body: Any = None,
        data: bytes | None = None,
        request_id: str | None = None,
    ) -> Reply:
        own = request_id or str(uuid4())
        asked = {"X-Client-Id": "onestop", "X-Purpose": "ESTATE_DISCOVERY", "X-Request-Id": own, **(headers or {})}
        sent = {name: value for name, value in asked.items() if value is not None}
        url = path if path.startswith("http") else self.url + path
        async with self.session.request(method, url, headers=sent, json=body, data=data) as response:
            return Reply(response.status, response.content_type, await response.read(), own)

    async def set_faults(self, sid: str, *faults: Mapping[str, Any]) -> None:
        reply = await self.ask(f"/sandbox/faults/{sid}", method="PUT", body=list(faults))
        assert reply.status == 200

    async def fired(self, sid: str) -> int:
        fired: int = (await self.ask(f"/sandbox/faults/{sid}")).json["fired"]
        return fired


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def opened() -> AsyncIterator[Callable[[Starlette], Any]]:
    """Give a function that serves an application until the test ends."""
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())

        async def open_port(application: Starlette) -> Port:
            sock = stack.enter_context(socket.socket())
            sock.bind(("127.0.0.1", 0))
            await stack.enter_async_context(served({sock: application}))
            return Port(f"http://127.0.0.1:{sock.getsockname()[1]}", session)

        yield open_port
