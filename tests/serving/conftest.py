"""The endpoint asked directly, as a server would, and the program of this folder started as one."""

import asyncio
import importlib.util
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from starlette.types import ASGIApp

PROGRAM = Path(__file__).with_name("program.py")


def _loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("serving_program", PROGRAM)
    assert spec
    assert spec.loader
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_program = _loaded()


@dataclass
class Seen:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return self.json["errors"][0]["extensions"]["code"]

    @property
    def media_type(self) -> str:
        return self.headers["content-type"]


class Caller:
    """One request over ASGI, whose client may leave or send its body in pieces."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.received: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def begin(self, method: str, headers: list[tuple[bytes, bytes]], query_string: bytes = b"") -> "asyncio.Task[None]":
        scope = {
            "type": "http",
            "method": method,
            "path": "/graphql",
            "raw_path": b"/graphql",
            "query_string": query_string,
            "scheme": "http",
            "headers": headers,
            "client": ("127.0.0.1", 5),
            "server": ("127.0.0.1", 80),
        }
        return asyncio.create_task(self._app(scope, self.sent.get, self.received.put))  # type: ignore[arg-type]

    def leave(self) -> None:
        self.sent.put_nowait({"type": "http.disconnect"})

    async def chunk(self) -> bytes:
        message = await self.received.get()
        return message.get("body", b"")


Ask = Callable[..., Awaitable[Seen]]


async def asked(
    app: ASGIApp,
    body: Any = None,
    *,
    method: str = "POST",
    headers: Mapping[str, str] | list[tuple[str, str]] | None = None,
    chunks: list[bytes] | None = None,
    query_string: bytes = b"",
) -> Seen:
    pairs = list(headers.items()) if isinstance(headers, Mapping) else list(headers or [])
    if not any(name.lower() == "content-type" for name, _ in pairs):
        pairs.append(("content-type", "application/json"))
    raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    caller = Caller(app)
    pieces = [raw] if chunks is None else chunks
    for n, piece in enumerate(pieces, 1):
        caller.sent.put_nowait({"type": "http.request", "body": piece, "more_body": n < len(pieces)})
    encoded = [(name.lower().encode(), value.encode("latin-1")) for name, value in pairs if value != ""]
    await caller.begin(method, encoded, query_string)
    start = caller.received.get_nowait()
    parts = [caller.received.get_nowait()["body"] for _ in range(caller.received.qsize())]
    seen = {name.decode(): value.decode() for name, value in start["headers"]}
    return Seen(start["status"], seen, b"".join(parts))


@pytest.fixture(scope="session")
def program() -> ModuleType:
    return _program


@pytest.fixture(scope="session")
def ask() -> Ask:
    return asked


@pytest.fixture(scope="session")
def calling() -> type[Caller]:
    return Caller


@pytest.fixture
async def engine(program: ModuleType) -> Any:
    return program.FakeEngine()


@contextmanager
def _started(*arguments: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    process = subprocess.Popen(
        [sys.executable, str(PROGRAM), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout
        line = process.stdout.readline()
        yield process, line.removeprefix("READY ").strip()
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=20)


@pytest.fixture(scope="session")
def started() -> Callable[..., Any]:
    """The program as a process and its address, ended afterwards."""
    return _started
