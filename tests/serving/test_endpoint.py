"""GraphQL over HTTP at our endpoint: every status, every media type, and nothing that breaks it."""

import asyncio
import json
from types import ModuleType
from typing import Any
from uuid import UUID, uuid4

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from resolvers.documents import Limits
from serving.drain import Drain
from serving.endpoint import GRAPHQL, JSON, Endpoint, Response, negotiated
from serving.metrics import Metrics

PAGE = Response(200, b"<!doctype html>", "text/html")
HELLO = {"query": "{ hello }"}


def endpoint(engine: Any, **more: Any) -> Endpoint:
    given = {"limits": Limits(), "metrics": Metrics(), "drain": Drain(), "page": PAGE, **more}
    return Endpoint(engine, **given)


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("application/json", JSON),
        ("application/graphql-response+json", GRAPHQL),
        ("application/graphql-response+json, application/json;q=0.9", GRAPHQL),
        ("application/json, application/graphql-response+json", GRAPHQL),
        ("application/json, application/graphql-response+json;q=0.5", JSON),
        ("application/json;q=0.2, application/graphql-response+json;q=0.1", JSON),
        ("APPLICATION/JSON ; charset=utf-8", JSON),
        ("application/json;q=0, */*", GRAPHQL),
        ("text/html, */*;q=0.1", JSON),
        ("text/event-stream", "text/event-stream"),
        ("text/event-stream;q=0.5, application/json", JSON),
        ("text/html", None),
        ("application/json;q=0", None),
        ("application/json;q=nan", None),
        ("application/json;q=many", None),
        (",;,;q=", None),
    ],
)
def test_the_media_type_is_what_the_client_likes_best(accept: str, media_type: str | None) -> None:
    assert negotiated(accept) == media_type


# What is sent, then the status for a client of GraphQL's media type and for one of plain JSON.
ANSWERS = [
    (HELLO, 200, 200, None),
    ({"query": "query A { hello } query B { hello }", "operationName": "B"}, 200, 200, None),
    ({"query": "{ hello }", "variables": None, "operationName": None, "extensions": None}, 200, 200, None),
    ({"query": "{ hello }", "extensions": {"a": 1}, "unknown": [1]}, 200, 200, None),
    ({"query": "mutation { touch }"}, 200, 200, None),
    ({"query": "{ hello broken }"}, 200, 200, None),
    ({"query": "{"}, 400, 200, "BAD_INPUT"),
    ({"query": ""}, 400, 200, "BAD_INPUT"),
    ({"query": "{ helo }"}, 400, 200, "BAD_INPUT"),
    ({"query": "query($n: Int!) { parcels(first: $n) { id } }"}, 400, 200, "BAD_INPUT"),
    ({"query": "query A { hello } query B { hello }"}, 400, 200, "BAD_INPUT"),
    ({"query": "query A { hello }", "operationName": "B"}, 400, 200, "BAD_INPUT"),
    ({"query": "subscription { ticks(count: 1) }"}, 400, 200, "BAD_INPUT"),
    (
        {"query": "{ parcels(first: 1000) { around { id } } parcels2: parcels(first: 30000) { id } }"},
        400,
        200,
        "TOO_COSTLY",
    ),
    ({"documentId": f"sha256:{'0' * 64}"}, 400, 200, "DOCUMENT_NOT_TRUSTED"),
    # No GraphQL request at all: 400 for everybody.
    ({}, 400, 400, "BAD_INPUT"),
    ({"qeury": "{ hello }"}, 400, 400, "BAD_INPUT"),
    ({"query": 1}, 400, 400, "BAD_INPUT"),
    ({"query": None}, 400, 400, "BAD_INPUT"),
    ({"query": "{ hello }", "documentId": f"sha256:{'0' * 64}"}, 400, 400, "BAD_INPUT"),
    ({"documentId": "md5:1"}, 400, 400, "BAD_INPUT"),
    ({"query": "{ hello }", "variables": []}, 400, 400, "BAD_INPUT"),
    ({"query": "{ hello }", "variables": "{}"}, 400, 400, "BAD_INPUT"),
    ({"query": "{ hello }", "operationName": 1}, 400, 400, "BAD_INPUT"),
    ({"query": "{ hello }", "extensions": []}, 400, 400, "BAD_INPUT"),
    ([HELLO], 400, 400, "BAD_INPUT"),
    (b"", 400, 400, "BAD_INPUT"),
    (b"null", 400, 400, "BAD_INPUT"),
    (b'"{ hello }"', 400, 400, "BAD_INPUT"),
    (b'{"query": "{ hello }"', 400, 400, "BAD_INPUT"),
    (b'{"query": "{ hello }", "query": "{ broken }"}', 400, 400, "BAD_INPUT"),
    (b'{"query": "{ hello }", "variables": {"a": NaN}}', 400, 400, "BAD_INPUT"),
    (b'{"query": "{ hello }", "variables": {"a": 1e999}}', 400, 400, "BAD_INPUT"),
    (b'{"query": "{ hello }", "variables": {"a": ' + b"9" * 5000 + b"}}", 400, 400, "BAD_INPUT"),
    (b'{"query": "{ hello }", "variables": {"a": "\\ud800"}}', 400, 400, "BAD_INPUT"),
    (b'{"query": "{ hello }", "variables": {"a": ' + b"[" * 40_000 + b"]" * 40_000 + b"}}", 400, 400, "BAD_INPUT"),
    (b'\xff{"query": "{ hello }"}', 400, 400, "BAD_INPUT"),
    ("{ hello }".encode("utf-16"), 400, 400, "BAD_INPUT"),
]


@pytest.mark.parametrize(("body", "graphql_status", "json_status", "code"), ANSWERS)
async def test_every_body_has_its_status(
    *, engine: Any, ask: Any, body: Any, graphql_status: int, json_status: int, code: str | None
) -> None:
    app = endpoint(engine)
    for media_type, status in ((GRAPHQL, graphql_status), (JSON, json_status)):
        seen = await ask(app, body, headers={"accept": media_type})
        assert (seen.status, seen.media_type) == (status, f"{media_type}; charset=utf-8")
        assert seen.headers["cache-control"] == "no-store"
        assert seen.headers["x-content-type-options"] == "nosniff"
        if code is None:
            assert seen.json["data"]
        else:
            assert seen.code == code
            assert "data" not in seen.json


# Headers, method and size, before anything is read as GraphQL.
@pytest.mark.parametrize(
    ("request_", "status", "header"),
    [
        ({"headers": {"accept": "text/html"}}, 406, None),
        ({"headers": {"accept": "application/json;q=0"}}, 406, None),
        ({"headers": {"content-type": ""}}, 415, ("accept", JSON)),
        ({"headers": {"content-type": "text/plain"}}, 415, ("accept", JSON)),
        ({"headers": {"content-type": "application/x-www-form-urlencoded"}}, 415, ("accept", JSON)),
        ({"headers": {"content-type": "multipart/form-data; boundary=x"}}, 415, ("accept", JSON)),
        ({"headers": {"content-type": "application/json; charset=euc-kr"}}, 415, ("accept", JSON)),
        ({"headers": {"content-encoding": "gzip"}}, 415, ("accept-encoding", "identity")),
        ({"headers": {"content-type": 'application/json; charset="UTF-8"'}}, 200, None),
        ({"headers": {"content-length": "100001"}}, 413, None),
        ({"headers": {"content-length": "9" * 5000}}, 413, None),
        ({"headers": {"content-length": "20"}, "chunks": [b"x" * 60_000, b"x" * 60_000]}, 413, None),
        ({"chunks": [b'{"query": ', b'"{ hel', b'lo }"}']}, 200, None),
        ({"method": "PUT"}, 405, ("allow", "GET, HEAD, POST")),
        ({"method": "OPTIONS"}, 405, ("allow", "GET, HEAD, POST")),
        ({"method": "GET", "headers": {"accept": "text/html"}}, 200, ("content-type", "text/html; charset=utf-8")),
        ({"method": "GET"}, 200, None),
        ({"method": "HEAD"}, 200, None),
        ({"method": "GET", "headers": {"accept": GRAPHQL}}, 405, ("allow", "POST")),
        ({"method": "GET", "query_string": b"query={hello}"}, 405, ("allow", "POST")),
        (
            {"method": "GET", "query_string": b"query=mutation{touch}", "headers": {"accept": JSON}},
            405,
            ("allow", "POST"),
        ),
        ({"headers": [("authorization", "Bearer a"), ("authorization", "Bearer b")]}, 400, None),
        ({"headers": [("dpop", "a"), ("dpop", "b")]}, 400, None),
    ],
)
async def test_every_request_has_its_status(
    engine: Any, ask: Any, request_: dict[str, Any], status: int, header: tuple[str, str] | None
) -> None:
    seen = await ask(endpoint(engine), HELLO, **request_)
    assert seen.status == status
    assert header is None or seen.headers[header[0]] == header[1]
    if status != 200:
        assert seen.code == "BAD_INPUT"
    assert len(engine.asked) == (status == 200 and request_.get("method", "POST") == "POST")


async def test_in_production_a_browser_finds_nothing(engine: Any, ask: Any) -> None:
    app = endpoint(engine, page=None)
    assert (await ask(app, method="GET", headers={"accept": "text/html"})).status == 404
    assert (await ask(app, method="DELETE")).headers["allow"] == "POST"


@pytest.mark.parametrize("media_type", [GRAPHQL, JSON])
@pytest.mark.parametrize(
    ("token", "status", "code", "header"),
    [
        ("401", 401, "UNAUTHENTICATED", "www-authenticate"),
        ("429", 429, "RATE_LIMITED", "retry-after"),
        ("503", 503, "LOG_UNAVAILABLE", "retry-after"),
    ],
)
async def test_the_engines_refusals_are_sent_as_they_are(
    *, engine: Any, ask: Any, media_type: str, token: str, status: int, code: str, header: str
) -> None:
    seen = await ask(endpoint(engine), HELLO, headers={"accept": media_type, "authorization": f"Bearer {token}"})
    assert (seen.status, seen.code) == (status, code)
    assert seen.headers[header]


async def test_an_answer_names_its_log_entries_and_the_callers_request(engine: Any, ask: Any) -> None:
    mine = str(uuid4())
    seen = await ask(endpoint(engine), HELLO, headers={"x-request-id": mine.upper()})
    assert seen.headers["access-log"] == "e-1,e-2"
    assert seen.headers["x-request-id"] == mine
    assert list(seen.json) == ["data", "extensions"]


@pytest.mark.parametrize("sent", ["not-a-uuid", "x" * 36, "", "1" * 36, "Ä" * 36])
async def test_a_request_id_that_is_no_uuid_is_replaced(engine: Any, ask: Any, sent: str) -> None:
    seen = await ask(endpoint(engine), HELLO, headers={"x-request-id": sent})
    assert str(UUID(seen.headers["x-request-id"])) == seen.headers["x-request-id"] != sent


async def test_the_engine_learns_the_transports_facts(engine: Any, ask: Any) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {
        "host": "api.example",
        "authorization": "DPoP t",
        "dpop": "p",
        "traceparent": f"00-{trace}-00f067aa0ba902b7-01",
    }
    await ask(endpoint(engine), {**HELLO, "variables": {"a": 1}}, headers=headers, query_string=b"a=1")
    await ask(endpoint(engine, origin="https://outside.example"), HELLO, headers=headers)
    seen, outside = engine.asked
    assert (seen.url, outside.url) == ("http://api.example/graphql", "https://outside.example/graphql")
    assert (seen.authorization, seen.dpop, seen.trace_id, seen.variables) == ("DPoP t", "p", trace, {"a": 1})
    assert seen.document is outside.document


async def test_a_registered_document_is_asked_by_its_id(program: ModuleType, ask: Any) -> None:
    document_id = program.FakeEngine().documents.take("{ hello }").hash
    app = endpoint(program.FakeEngine(registered={document_id: "{ hello }"}))
    assert (await ask(app, {"documentId": document_id})).json["data"] == {"hello": "annyeong"}


async def test_a_bug_is_an_incident_without_its_text(engine: Any, ask: Any) -> None:
    with structlog.testing.capture_logs() as logged:
        seen = await ask(endpoint(engine), HELLO, headers={"authorization": "Bearer break"})
    assert (seen.status, seen.code) == (500, "INTERNAL")
    [incident] = [line for line in logged if line["event"] == "incident"]
    assert incident["incident"] == seen.json["errors"][0]["extensions"]["incident"]
    assert b"person" not in seen.body


async def test_a_request_too_many_is_turned_away_until_there_is_room(engine: Any, ask: Any) -> None:
    app = endpoint(engine, limits=Limits(in_flight=1))
    first = asyncio.create_task(ask(app, {"query": "{ slow }"}))
    await engine.entered.wait()
    turned_away = await ask(app, HELLO)
    engine.released.set()
    assert (turned_away.status, turned_away.code) == (503, "OVERLOADED")
    assert turned_away.headers["retry-after"]
    assert (await first).json["data"] == {"slow": "done"}
    assert (await ask(app, HELLO)).status == 200


async def test_what_is_in_flight_is_finished_while_draining_and_nothing_new_begins(engine: Any, ask: Any) -> None:
    drain = Drain()
    app = endpoint(engine, drain=drain)
    first = asyncio.create_task(ask(app, {"query": "{ slow }"}))
    await engine.entered.wait()
    drain.begin()
    turned_away = await ask(app, HELLO)
    engine.released.set()
    assert (turned_away.status, turned_away.code) == (503, "DRAINING")
    assert (await first).status == 200


async def test_a_request_that_is_cancelled_does_not_cancel_its_answer(engine: Any, ask: Any) -> None:
    request = asyncio.create_task(ask(endpoint(engine), {"query": "{ slow }"}))
    await engine.entered.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    engine.released.set()
    async with asyncio.timeout(20):
        await engine.finished.wait()


async def test_a_client_that_leaves_while_sending_is_not_answered(engine: Any, calling: Any) -> None:
    caller = calling(endpoint(engine))
    request = caller.begin("POST", [(b"content-type", b"application/json")])
    caller.sent.put_nowait({"type": "http.request", "body": b'{"query"', "more_body": True})
    caller.leave()
    await request
    assert caller.received.empty()


async def test_a_body_that_does_not_come_is_not_waited_for(engine: Any, calling: Any) -> None:
    caller = calling(endpoint(engine, limits=Limits(body_seconds=0)))
    await caller.begin("POST", [(b"content-type", b"application/json")])
    assert caller.received.get_nowait()["status"] == 408


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
DOCUMENTS = st.text(alphabet='{}()[]!:=@$.#",&| \n\\queryfragmentonhellobrokenparcelsfirst0123', max_size=60)
REQUESTS = st.fixed_dictionaries(
    {},
    optional={
        "query": DOCUMENTS
        | JSON_VALUES
        | st.sampled_from(["{ hello }", "query($a: Int) { parcels(first: $a) { id } }"]),
        "variables": JSON_VALUES | st.dictionaries(st.sampled_from(["a", "b"]), JSON_VALUES),
        "operationName": JSON_VALUES,
        "extensions": JSON_VALUES,
        "documentId": JSON_VALUES | st.just(f"sha256:{'a' * 64}"),
    },
)
HEADERS = st.dictionaries(
    st.sampled_from(
        ["accept", "content-type", "content-length", "content-encoding", "host", "traceparent", "x-request-id"]
    ),
    st.sampled_from([JSON, GRAPHQL, "*/*", "gzip", "identity"])
    | st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=255), min_size=1, max_size=40),
    max_size=3,
)


@settings(max_examples=200, deadline=None)
@given(body=st.binary(max_size=200) | REQUESTS.map(lambda r: json.dumps(r).encode()), headers=HEADERS)
def test_no_input_leads_to_a_500(program: ModuleType, ask: Any, body: bytes, headers: dict[str, str]) -> None:
    async def answered() -> int:
        seen = await ask(endpoint(program.FakeEngine()), body, headers=headers)
        return int(seen.status)

    assert asyncio.run(answered()) in {200, 400, 406, 413, 415}
