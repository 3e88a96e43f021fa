"""Subscriptions as server-sent events, in distinct connections mode of graphql-sse."""

import asyncio
import json
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any

import pytest

from resolvers.documents import Limits
from resolvers.operation_types import Asked, Reply
from serving.drain import Drain
from serving.endpoint import Endpoint
from serving.metrics import Metrics

EVENTS = {"accept": "text/event-stream"}
RAW_EVENTS = [(b"accept", b"text/event-stream"), (b"content-type", b"application/json")]
COMPLETE = "event: complete\ndata:"


def endpoint(engine: Any, **more: Any) -> Endpoint:
    given = {"limits": Limits(), "metrics": Metrics(), "drain": Drain(), **more}
    return Endpoint(engine, **given)


def events(body: bytes) -> list[Any]:
    """The `next` events; the last block has to be `complete`."""
    *blocks, complete, end = body.decode().split("\n\n")
    assert (complete, end) == (COMPLETE, "")
    assert all(block.startswith("event: next\ndata: {") for block in blocks)
    return [json.loads(block.removeprefix("event: next\ndata: ")) for block in blocks]


def silence(calling: Any, app: Endpoint) -> tuple[Any, "asyncio.Task[None]"]:
    """A caller who has asked for events that do not come."""
    caller = calling(app)
    caller.sent.put_nowait({"type": "http.request", "body": b'{"query": "subscription { silence }"}'})
    return caller, caller.begin("POST", RAW_EVENTS)


async def test_each_event_is_sent_and_then_the_end(engine: Any, ask: Any) -> None:
    seen = await ask(endpoint(engine), {"query": "subscription { ticks(count: 3) }"}, headers=EVENTS)
    assert (seen.status, seen.media_type) == (200, "text/event-stream; charset=utf-8")
    assert seen.headers["cache-control"] == "no-store"
    assert [event["data"] for event in events(seen.body)] == [{"ticks": n} for n in range(3)]


async def test_a_query_is_one_event(engine: Any, ask: Any) -> None:
    seen = await ask(endpoint(engine), {"query": "{ hello }"}, headers=EVENTS)
    assert [event["data"] for event in events(seen.body)] == [{"hello": "annyeong"}]
    assert seen.headers["access-log"] == "e-1,e-2"


@pytest.mark.parametrize("query", ["subscription {", "subscription { tacks }", "subscription { ticks }"])
async def test_an_invalid_document_is_an_event_too(engine: Any, ask: Any, query: str) -> None:
    seen = await ask(endpoint(engine), {"query": query}, headers=EVENTS)
    [event] = events(seen.body)
    assert seen.status == 200
    assert event["errors"][0]["extensions"]["code"] == "BAD_INPUT"


@pytest.mark.parametrize("operation", ["subscription { silence }", "{ hello }"])
async def test_a_refusal_before_the_start_is_a_status(engine: Any, ask: Any, operation: str) -> None:
    seen = await ask(endpoint(engine), {"query": operation}, headers={**EVENTS, "authorization": "Bearer 401"})
    assert (seen.status, seen.code, seen.media_type) == (401, "UNAUTHENTICATED", "application/json; charset=utf-8")


async def test_a_body_that_is_no_request_is_a_status(engine: Any, ask: Any) -> None:
    assert (await ask(endpoint(engine), {}, headers=EVENTS)).status == 400


async def test_a_source_that_breaks_ends_the_stream_with_an_incident(engine: Any, ask: Any) -> None:
    seen = await ask(endpoint(engine), {"query": "subscription { breaks }"}, headers=EVENTS)
    first, last = events(seen.body)
    assert first["data"] == {"breaks": 1}
    assert last["errors"][0]["extensions"]["code"] == "INTERNAL"
    assert b"person" not in seen.body


async def test_a_refusal_on_the_way_is_the_last_event_and_ends_the_source(program: ModuleType, ask: Any) -> None:
    ended = asyncio.Event()

    class Refusing(program.FakeEngine):  # type: ignore[misc, name-defined]
        async def subscribe(self, asked: Asked) -> AsyncIterator[Reply]:
            return self.refusals(asked)

        async def refusals(self, _asked: Asked) -> AsyncIterator[Reply]:
            try:
                yield Reply({"silence": 1}, has_data=True)
                yield Reply(None, has_data=False, errors=[{"message": "revoked"}], status=401)
                yield Reply({"silence": 2}, has_data=True)
            finally:
                ended.set()

    seen = await ask(endpoint(Refusing()), {"query": "subscription { silence }"}, headers=EVENTS)
    assert [list(event) for event in events(seen.body)] == [["data"], ["errors"]]
    assert ended.is_set()


async def test_comments_keep_a_silent_stream_open(engine: Any, calling: Any) -> None:
    app = endpoint(engine, limits=Limits(keep_alive_seconds=0))
    caller, request = silence(calling, app)
    await caller.chunk()
    assert [await caller.chunk() for _ in range(3)] == [b":\n\n"] * 3
    caller.leave()
    await request
    assert engine.finished.is_set()


async def test_a_caller_who_leaves_ends_the_source(engine: Any, calling: Any) -> None:
    caller, request = silence(calling, endpoint(engine))
    await engine.entered.wait()
    caller.leave()
    await request
    assert engine.finished.is_set()
    assert caller.received.qsize() == 1  # the start and nothing more


async def test_draining_completes_a_stream(engine: Any, calling: Any) -> None:
    drain = Drain()
    caller, request = silence(calling, endpoint(engine, drain=drain))
    await engine.entered.wait()
    drain.begin()
    await request
    assert engine.finished.is_set()
    await caller.chunk()
    assert (await caller.chunk()).decode() == f"{COMPLETE}\n\n"


async def test_a_cancelled_stream_ends_its_source(engine: Any, calling: Any) -> None:
    caller, request = silence(calling, endpoint(engine))
    await engine.entered.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert engine.finished.is_set()
    assert caller.received.qsize() == 1


async def test_streams_are_bounded_apart_from_questions(engine: Any, ask: Any, calling: Any) -> None:
    app = endpoint(engine, limits=Limits(streams=1))
    caller, request = silence(calling, app)
    await engine.entered.wait()
    turned_away = await ask(app, {"query": "subscription { ticks(count: 1) }"}, headers=EVENTS)
    assert (turned_away.status, turned_away.code) == (503, "OVERLOADED")
    assert (await ask(app, {"query": "{ hello }"})).status == 200
    caller.leave()
    await request
